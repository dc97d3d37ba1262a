//! Sums of whole numbers: arguments stay of their own type, so that coercing a call twice changes nothing, and are
//! brought to the type of the sum as they come.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Accumulator, EmitTo, Expr, GroupsAccumulator, LogicalPlan};
use datafusion::optimizer::optimizer::{ApplyOrder, Optimizer};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// An accumulator whose values are cast first.
#[derive(Debug)]
pub struct Widened<A: ?Sized> {
    to: DataType,
    inner: Box<A>,
}

impl<A: ?Sized> Widened<A> {
    pub fn new(inner: Box<A>, to: DataType) -> Box<Self> {
        Box::new(Self { to, inner })
    }

    fn cast(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        values.iter().map(|v| Ok(cast(v, &self.to)?)).collect()
    }
}

impl Accumulator for Widened<dyn Accumulator> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.cast(values)?;
        self.inner.update_batch(&values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.cast(values)?;
        self.inner.retract_batch(&values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

impl GroupsAccumulator for Widened<dyn GroupsAccumulator> {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        let values = self.cast(values)?;
        self.inner.update_batch(&values, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&self.cast(values)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

/// DataFusion's rules but for two: the one that makes groups of a DISTINCT passes over aggregates that also sum whole
/// numbers, since it adds sums up with the function of their arguments' type; the one that makes inner joins of cross joins
/// loses conditions between more than two relations.
pub fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter();
    rules
        .map(|rule| -> Arc<dyn OptimizerRule + Send + Sync> {
            match rule.name() {
                "single_distinct_aggregation_to_group_by" => Arc::new(Checked { rule, rewrite: groups_of_distinct }),
                "eliminate_cross_join" => Arc::new(Checked { rule, rewrite: inner_joins }),
                _ => rule,
            }
        })
        .collect()
}

/// One of the rules, with what is asked around it.
#[derive(Debug)]
struct Checked {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
    rewrite: fn(&dyn OptimizerRule, LogicalPlan, &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>>,
}

impl OptimizerRule for Checked {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        (self.rewrite)(self.rule.as_ref(), plan, config)
    }
}

fn groups_of_distinct(
    rule: &dyn OptimizerRule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let sums = |expr: &Expr| match expr.clone().unalias() {
        Expr::AggregateFunction(call) => call.func.name() == "sum" && !call.params.distinct,
        _ => false,
    };
    match &plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(sums) => Ok(Transformed::no(plan)),
        _ => rule.rewrite(plan, config),
    }
}

fn inner_joins(rule: &dyn OptimizerRule, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let rewritten = rule.rewrite(plan.clone(), config)?;
    let lost = rewritten.transformed && conditions(&rewritten.data)? < conditions(&plan)?;
    Ok(if lost { Transformed::no(plan) } else { rewritten })
}

/// How many conditions joins and filters have.
fn conditions(plan: &LogicalPlan) -> Result<usize> {
    let mut count = 0;
    plan.apply(|node| {
        count += match node {
            LogicalPlan::Join(join) => join.on.len() + join.filter.as_ref().map_or(0, |filter| split_conjunction(filter).len()),
            LogicalPlan::Filter(filter) => split_conjunction(&filter.predicate).len(),
            _ => 0,
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(count)
}

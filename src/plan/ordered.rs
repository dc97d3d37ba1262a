//! ORDER BY of a subquery stays: what reads its rows, an aggregate above all, meets them in that order.
//!
//! SQL promises nothing of the kind, but PostgreSQL does it and its clients build ordered JSON so. While a plan is
//! optimised every such sort stands below a node that wants its order; a plan that is ready has none of them left.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, LexOrdering, OrderingRequirements, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};

use crate::plan::traits::plan_over_one_input;

/// Puts the node above every sort of a subquery; before all other rules.
#[derive(Debug)]
pub struct SortsStay;

impl PhysicalOptimizerRule for SortsStay {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        below_the_top(plan)
    }

    fn name(&self) -> &str {
        "sorts_stay"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Of the sort that orders the result nothing need be said.
fn below_the_top(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let below = if plan.is::<SortExec>() {
        plan.map_children(|child| wanted(child).map(Transformed::yes))
    } else if keeps_order(&plan) {
        plan.map_children(|child| below_the_top(child).map(Transformed::yes))
    } else {
        return wanted(plan);
    };
    below.map(|t| t.data)
}

fn wanted(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|plan| match plan.downcast_ref::<SortExec>() {
        Some(sort) => {
            let order = sort.expr().clone();
            Ok(Transformed::yes(WantOrder::of(plan, order)))
        }
        None => Ok(Transformed::no(plan)),
    })
    .map(|t| t.data)
}

/// Whether rows leave the node as they come.
fn keeps_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<FilterExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<GlobalLimitExec>()
}

/// The plan without these nodes, and without what would deal ordered rows out between partitions.
pub fn released(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let mut any = false;
    plan.apply(|node| {
        any |= node.is::<WantOrder>();
        Ok(if any { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !any {
        return Ok(plan);
    }
    let plan = plan.transform_up(|plan| match plan.downcast_ref::<RepartitionExec>() {
        Some(dealt) if matches!(dealt.partitioning(), Partitioning::RoundRobinBatch(_)) && is_ordered(dealt.input()) => {
            Ok(Transformed::yes(Arc::clone(dealt.input())))
        }
        _ => Ok(Transformed::no(plan)),
    })?;
    let released = plan.data.transform_up(|plan| match plan.downcast_ref::<WantOrder>() {
        Some(node) => Ok(Transformed::yes(Arc::clone(&node.input))),
        None => Ok(Transformed::no(plan)),
    })?;
    Ok(released.data)
}

fn is_ordered(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<WantOrder>() || keeps_order(plan) && plan.children().iter().all(|input| is_ordered(input))
}

/// Gives its input as it comes, which must be in one partition and in this order.
#[derive(Debug)]
struct WantOrder {
    input: Arc<dyn ExecutionPlan>,
    order: LexOrdering,
    properties: Arc<PlanProperties>,
}

impl WantOrder {
    fn of(input: Arc<dyn ExecutionPlan>, order: LexOrdering) -> Arc<dyn ExecutionPlan> {
        let properties = Arc::clone(input.properties());
        Arc::new(Self { input, order, properties })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Self::of(input, self.order.clone())
    }
}

impl DisplayAs for WantOrder {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WantOrder")
    }
}

impl ExecutionPlan for WantOrder {
    plan_over_one_input!("WantOrder");

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

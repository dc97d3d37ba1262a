//! One correlated subquery: planned once, run once for every outer row that differs.
//!
//! Between runs nothing is kept but what no outer column touches (see `once`). A subquery whose clause about
//! system time names an outer column is planned for every run, since the clause decides what is scanned.

use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use parking_lot::Mutex;

use super::nested::Nested;
use super::once::Once;
use super::slots::{self, Slots};
use crate::plan::marker::Clause;
use crate::plan::table::ScopedTable;

/// The subquery as analysed, its outer columns as placeholders.
#[derive(Debug)]
pub struct Correlated {
    plan: LogicalPlan,
    /// The outer columns, in the order of the values that a run is given.
    pub outer: Vec<FieldRef>,
    prepared: Mutex<Option<Arc<Prepared>>>,
}

/// The subquery made ready for one run of its statement.
pub struct Prepared {
    nested: Nested,
    state: Arc<SessionState>,
    plan: LogicalPlan,
    /// Planned anew with the values in it, for every run.
    replans: bool,
    idle: Mutex<Vec<Instance>>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prepared")
    }
}

/// A plan with slots of its own, for one run at a time.
struct Instance {
    slots: Arc<Slots>,
    plan: Arc<dyn ExecutionPlan>,
}

/// Takes its turn on one instance; gives it back when dropped.
pub struct Runner {
    prepared: Arc<Prepared>,
    instance: Option<Instance>,
}

impl Correlated {
    /// The subquery and the expressions over `schema` that its outer columns stand for.
    pub fn new(plan: LogicalPlan, schema: &DFSchema) -> Result<(Self, Vec<Expr>)> {
        let (plan, outer, exprs) = slots::detach(plan, schema)?;
        Ok((Self { plan, outer, prepared: Mutex::default() }, exprs))
    }

    pub fn schema(&self) -> &DFSchema {
        self.plan.schema()
    }

    /// Optimises it, the first time in this run of the statement.
    pub fn prepare(&self, nested: &Nested) -> Result<Arc<Prepared>> {
        let mut prepared = self.prepared.lock();
        if let Some(prepared) = prepared.as_ref().filter(|p| p.nested.is(nested)) {
            return Ok(Arc::clone(prepared));
        }
        let state = nested.state();
        let plan = state.optimizer().optimize(self.plan.clone(), state.as_ref(), |_, _| {})?;
        let replans = needs_values(&plan)?;
        let plan = if replans || self.outer.is_empty() { plan } else { settled(plan)?.0 };
        let made = Arc::new(Prepared { nested: nested.clone(), state, plan, replans, idle: Mutex::default() });
        *prepared = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Prepared {
    pub fn nested(&self) -> &Nested {
        &self.nested
    }

    pub fn context(&self) -> Arc<TaskContext> {
        self.state.task_ctx()
    }

    pub fn runner(self: &Arc<Self>) -> Runner {
        let instance = self.idle.lock().pop();
        Runner { prepared: Arc::clone(self), instance }
    }

    async fn instance(&self) -> Result<Instance> {
        let slots = Arc::new(Slots::default());
        let plan = slots::into_slots(self.plan.clone(), &slots)?;
        let plan = self.state.query_planner().create_physical_plan(&plan, self.state.as_ref()).await?;
        Ok(Instance { slots, plan })
    }
}

impl Runner {
    /// The rows for these values of the outer columns. They must be read to their end, or dropped, before the next run.
    pub async fn run(&mut self, values: Vec<ScalarValue>) -> Result<SendableRecordBatchStream> {
        let prepared = &self.prepared;
        prepared.nested.ctx().cancel.check().map_err(crate::plan::scan::external)?;
        if prepared.replans {
            let plan = slots::with_values(prepared.plan.clone(), &values)?;
            let plan = prepared.state.optimizer().optimize(plan, prepared.state.as_ref(), |_, _| {})?;
            let plan = prepared.state.query_planner().create_physical_plan(&plan, prepared.state.as_ref()).await?;
            return execute_stream(plan, prepared.context());
        }
        let instance = match self.instance.take() {
            Some(instance) => self.instance.insert(instance),
            None => self.instance.insert(prepared.instance().await?),
        };
        instance.slots.fill(values);
        execute_stream(reset_plan_states(Arc::clone(&instance.plan))?, prepared.context())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.prepared.idle.lock().push(instance);
        }
    }
}

/// Whether an outer column decides what is planned: an instant, a row of VALUES, the steps of a recursion.
fn needs_values(plan: &LogicalPlan) -> Result<bool> {
    let mut needs = false;
    plan.apply(|node| {
        match node {
            LogicalPlan::RecursiveQuery(_) => needs |= slots::any_expr(node, &slots::depends)?,
            LogicalPlan::TableScan(scan) => {
                needs |= scan.filters.iter().any(|f| Clause::of_filter(f).is_some() && slots::depends(f));
            }
            // Values are evaluated while they are planned.
            LogicalPlan::Values(_) => needs |= slots::any_expr(node, &slots::depends)?,
            LogicalPlan::Limit(limit) => {
                needs |= limit.skip.iter().chain(&limit.fetch).any(|count| slots::depends(count));
            }
            _ => {}
        }
        Ok(if needs { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(needs)
}

/// The plan with every largest part that no outer column touches read once; whether the plan as a whole depends
/// on outer columns.
fn settled(plan: LogicalPlan) -> Result<(LogicalPlan, bool)> {
    if let LogicalPlan::TableScan(scan) = plan {
        let scan = without_idle_filters(scan)?;
        let depends = scan.filters.iter().any(slots::depends);
        return Ok((LogicalPlan::TableScan(scan), depends));
    }
    if matches!(plan, LogicalPlan::RecursiveQuery(_)) {
        return Ok((plan, false));
    }
    let mut depends = false;
    plan.apply_expressions(|expr| {
        depends |= slots::depends(expr) || expr.is_volatile();
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut below = Vec::new();
    let plan = plan.map_children(|child| {
        let (child, child_depends) = settled(child)?;
        below.push(child_depends);
        Ok(Transformed::yes(child))
    })?;
    depends |= below.contains(&true);
    if !depends {
        return Ok((plan.data, false));
    }
    let mut below = below.into_iter();
    let plan = plan.data.map_children(|child| {
        let keep = below.next() == Some(false) && reads(&child)?;
        Ok(if keep { Transformed::yes(Once::of(child)) } else { Transformed::no(child) })
    })?;
    Ok((plan.data, true))
}

/// Whether the plan reads anything worth keeping.
fn reads(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::TableScan(_))))
}

/// A scan of a table keeps filters with outer columns only where they name keys; all are checked again above.
fn without_idle_filters(mut scan: TableScan) -> Result<TableScan> {
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = provider.downcast_ref::<ScopedTable>() else { return Ok(scan) };
    let (with, without): (Vec<Expr>, Vec<Expr>) = scan.filters.iter().cloned().partition(slots::depends);
    if with.is_empty() {
        return Ok(scan);
    }
    let samples = with.iter().map(sample).collect::<Result<Vec<_>>>()?;
    if !table.finds_items(&samples) {
        scan.filters = without;
    }
    Ok(scan)
}

/// The filter with some value of the right type in place of every outer column.
fn sample(filter: &Expr) -> Result<Expr> {
    let sampled = filter.clone().transform_up(|expr| {
        let Expr::Placeholder(placeholder) = &expr else { return Ok(Transformed::no(expr)) };
        let Some(field) = &placeholder.field else { return Ok(Transformed::no(expr)) };
        let value = ScalarValue::new_default(field.data_type())?;
        Ok(Transformed::yes(Expr::Literal(value, None)))
    })?;
    slots::filled(&sampled.data)
}

//! Rows of several partitions, one partition after the other: the branches of UNION ALL come as they are written,
//! a table that is read in parts comes in the order of its keys.
//!
//! PostgreSQL promises no order there, but its clients see one; so does whoever compares two runs. Where rows were
//! dealt out between the partitions there is no order to keep, and DataFusion's coalescing stays.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{LimitStream, LocalLimitExec};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::{StreamExt, stream};

use super::ordered;
use super::scan::VersionScanExec;
use crate::plan::traits::plan_over_one_input;

/// Batches of a later partition that wait for the earlier ones.
const AHEAD: usize = 8;

/// Puts partitions together in order where they have one.
#[derive(Debug)]
pub struct KeepOrder;

impl PhysicalOptimizerRule for KeepOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = ordered::released(plan)?.transform_up(|plan| match plan.downcast_ref::<CoalescePartitionsExec>() {
            Some(coalesced) if has_order(coalesced.input()) => {
                Ok(Transformed::yes(InOrderExec::of(Arc::clone(coalesced.input()), coalesced.fetch())))
            }
            _ => Ok(Transformed::no(plan)),
        })?;
        let plan = plan.data;
        let whole = plan.output_partitioning().partition_count() > 1 && has_order(&plan);
        Ok(if whole { InOrderExec::of(plan, None) } else { plan })
    }

    fn name(&self) -> &str {
        "keep_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the order of a plan's partitions means something.
fn has_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<UnionExec>() || plan.is::<VersionScanExec>() {
        return true;
    }
    let keeps =
        plan.is::<FilterExec>() || plan.is::<ProjectionExec>() || plan.is::<CooperativeExec>() || plan.is::<LocalLimitExec>();
    keeps && plan.children().iter().all(|input| has_order(input))
}

/// All partitions run at once; a later one waits when it is [`AHEAD`] batches ahead.
#[derive(Debug)]
pub struct InOrderExec {
    input: Arc<dyn ExecutionPlan>,
    /// At most this many rows.
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl InOrderExec {
    fn of(input: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Arc::new(Self { input, fetch, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Self::of(input, self.fetch)
    }
}

impl DisplayAs for InOrderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fetch {
            Some(rows) => write!(f, "InOrderExec: fetch={rows}"),
            None => f.write_str("InOrderExec"),
        }
    }
}

impl ExecutionPlan for InOrderExec {
    plan_over_one_input!("InOrderExec");

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partition = |partition| {
            let mut rows = RecordBatchReceiverStream::builder(self.schema(), AHEAD);
            let (input, context, sender) = (Arc::clone(&self.input), Arc::clone(&context), rows.tx());
            rows.spawn(async move {
                let mut batches = input.execute(partition, context)?;
                while let Some(batch) = batches.next().await {
                    let failed = batch.is_err();
                    // Nobody listens any more when a limit is reached.
                    if sender.send(batch).await.is_err() || failed {
                        break;
                    }
                }
                Ok(())
            });
            rows.build()
        };
        let count = self.input.output_partitioning().partition_count();
        let partitions: Vec<SendableRecordBatchStream> = (0..count).map(partition).collect();
        let rows = RecordBatchStreamAdapter::new(self.schema(), stream::iter(partitions).flatten());
        let metrics = BaselineMetrics::new(&self.metrics, 0);
        Ok(Box::pin(LimitStream::new(Box::pin(rows), 0, self.fetch, metrics)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

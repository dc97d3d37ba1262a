//! The part of a subquery that no outer column touches, read once and kept for all runs.
//!
//! Keeps up to [`MOST_BYTES`], accounted for in the statement's memory; what is larger is read again by every run.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::{DFSchemaRef, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, execute_stream};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use crate::plan::traits::plan_without_inputs;

/// Bytes that one such part may hold.
const MOST_BYTES: usize = 64 << 20;

/// What was read, shared by all plans of the subquery.
#[derive(Default)]
struct Kept(OnceCell<Option<Held>>);

struct Held {
    batches: Vec<RecordBatch>,
    /// Given back to the pool with the batches.
    _memory: MemoryReservation,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// The logical node; its input is hidden, since it is planned by itself.
#[derive(Debug)]
pub struct Once {
    pub input: LogicalPlan,
    kept: Arc<Kept>,
}

impl Once {
    /// The plan, to be read once.
    pub fn of(input: LogicalPlan) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input, kept: Arc::default() }) })
    }

    pub fn physical(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Arc::new(OnceExec { input, kept: Arc::clone(&self.kept), properties: Arc::new(properties) })
    }
}

impl PartialEq for Once {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kept, &other.kept)
    }
}

impl Eq for Once {}

impl PartialOrd for Once {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl Hash for Once {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Once {
    fn name(&self) -> &str {
        "Once"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Once")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { input: self.input.clone(), kept: Arc::clone(&self.kept) })
    }
}

/// A leaf for all rules: its input has been planned and is not to be reset between runs.
#[derive(Debug)]
struct OnceExec {
    input: Arc<dyn ExecutionPlan>,
    kept: Arc<Kept>,
    properties: Arc<PlanProperties>,
}

impl OnceExec {
    async fn read(input: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Option<Held>> {
        let memory = MemoryConsumer::new("subquery").register(context.memory_pool());
        let mut rows = execute_stream(input, context)?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.try_next().await? {
            let bytes = batch.get_array_memory_size();
            if memory.size() + bytes > MOST_BYTES || memory.try_grow(bytes).is_err() {
                return Ok(None);
            }
            batches.push(batch);
        }
        Ok(Some(Held { batches, _memory: memory }))
    }
}

impl DisplayAs for OnceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

impl ExecutionPlan for OnceExec {
    plan_without_inputs!("OnceExec");

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (input, kept) = (Arc::clone(&self.input), Arc::clone(&self.kept));
        let rows = stream::once(async move {
            let first = Self::read(Arc::clone(&input), Arc::clone(&context));
            let rows = match kept.0.get_or_try_init(|| first).await? {
                Some(held) => stream::iter(held.batches.clone().into_iter().map(Ok)).boxed(),
                None => execute_stream(reset_plan_states(input)?, context)?,
            };
            Ok::<_, datafusion::common::DataFusionError>(rows)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.try_flatten())))
    }
}

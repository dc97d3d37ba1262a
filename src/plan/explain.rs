//! EXPLAIN: a physical plan as lines of text, with what every scan pushed down and, when it ran, what it read.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::memory::MemoryStream;

use super::diagnose::diagnose;
use super::{ResultColumn, RowStream};
use crate::error::Result;
use crate::types::PgType;

pub fn columns() -> Arc<[ResultColumn]> {
    Arc::new([ResultColumn { name: "QUERY PLAN".to_owned(), ty: PgType::TEXT, table_oid: 0, attribute: 0 }])
}

/// The plan, one row per line; with counts after it has run.
pub fn rows(plan: &Arc<dyn ExecutionPlan>, analysed: bool, verbose: bool) -> Result<RowStream> {
    let shown = match analysed {
        true => DisplayableExecutionPlan::with_metrics(plan.as_ref()),
        false => DisplayableExecutionPlan::new(plan.as_ref()),
    };
    let text = shown.indent(verbose).to_string();
    let schema = Arc::new(Schema::new(vec![PgType::TEXT.field("QUERY PLAN", true)]));
    let lines = Arc::new(StringArray::from(text.lines().collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![lines]).map_err(|e| diagnose(e.into()))?;
    let batches = MemoryStream::try_new(vec![batch], schema, None).map_err(diagnose)?;
    Ok(RowStream { columns: columns(), batches: Box::pin(batches) })
}

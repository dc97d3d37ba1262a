//! EXPLAIN: a physical plan as lines of text or as JSON, with what every scan pushed down and, when it ran, what
//! it read.
//!
//! Costs and times are not among it: there are no estimates to show.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::datatypes::Schema;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::memory::MemoryStream;
use serde_json::{Map, Value, json};

use super::diagnose::diagnose;
use super::{ResultColumn, RowStream};
use crate::error::Result;
use crate::sql::ExplainOptions;
use crate::types::{PgType, TypeName};

/// The write above the plan that finds its rows.
#[derive(Debug)]
pub struct Write {
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub verb: &'static str,
    pub table: String,
    /// How many rows it wrote, when it ran.
    pub rows: Option<u64>,
}

pub fn columns(options: ExplainOptions) -> Arc<[ResultColumn]> {
    let ty = if options.json { PgType::new(TypeName::Json) } else { PgType::TEXT };
    Arc::new([ResultColumn { name: "QUERY PLAN".to_owned(), ty, table_oid: 0, attribute: 0 }])
}

/// The plan, one row per line or all of it in one JSON array; with counts where `options.analyze` says that it has
/// run.
pub fn rows(write: Option<Write>, plan: Option<&Arc<dyn ExecutionPlan>>, options: ExplainOptions) -> Result<RowStream> {
    let lines = match options.json {
        true => vec![format!("{:#}", json!([{ "Plan": document(write, plan, options) }]))],
        false => text(write, plan, options),
    };
    let columns = columns(options);
    let schema = Arc::new(Schema::new(columns.iter().map(|c| c.ty.field(&c.name, true)).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringArray::from(lines))]);
    let batches = MemoryStream::try_new(vec![batch.map_err(|e| diagnose(e.into()))?], schema, None).map_err(diagnose)?;
    Ok(RowStream { columns, batches: Box::pin(batches) })
}

fn shown(plan: &Arc<dyn ExecutionPlan>, options: ExplainOptions) -> DisplayableExecutionPlan<'_> {
    match options.analyze {
        true => DisplayableExecutionPlan::with_metrics(plan.as_ref()),
        false => DisplayableExecutionPlan::new(plan.as_ref()),
    }
}

fn verb(write: &Write) -> String {
    let lower = write.verb.to_ascii_lowercase();
    format!("{}{}", &write.verb[..1], &lower[1..])
}

fn text(write: Option<Write>, plan: Option<&Arc<dyn ExecutionPlan>>, options: ExplainOptions) -> Vec<String> {
    let below = plan.map(|plan| shown(plan, options).indent(options.verbose).to_string()).unwrap_or_default();
    let Some(write) = write else { return below.lines().map(str::to_owned).collect() };
    let rows = write.rows.map(|rows| format!(" (actual rows={rows})")).unwrap_or_default();
    let mut lines = vec![format!("{} on {}{rows}", verb(&write), write.table)];
    lines.extend(below.lines().map(|line| format!("  {line}")));
    lines
}

fn document(write: Option<Write>, plan: Option<&Arc<dyn ExecutionPlan>>, options: ExplainOptions) -> Value {
    let below = plan.map(|plan| node(plan, options));
    let Some(write) = write else { return below.unwrap_or(Value::Null) };
    let mut members = Map::new();
    members.insert("Node Type".to_owned(), json!("ModifyTable"));
    members.insert("Operation".to_owned(), json!(verb(&write)));
    members.insert("Relation Name".to_owned(), json!(write.table));
    if let Some(rows) = write.rows {
        members.insert("Actual Rows".to_owned(), json!(rows));
    }
    if let Some(below) = below {
        members.insert("Plans".to_owned(), json!([below]));
    }
    Value::Object(members)
}

fn node(plan: &Arc<dyn ExecutionPlan>, options: ExplainOptions) -> Value {
    let mut members = Map::new();
    members.insert("Node Type".to_owned(), json!(plan.name()));
    let line = shown(plan, options).one_line().to_string();
    members.insert("Details".to_owned(), json!(line.trim_end()));
    let children: Vec<Value> = plan.children().into_iter().map(|child| node(child, options)).collect();
    if !children.is_empty() {
        members.insert("Plans".to_owned(), Value::Array(children));
    }
    Value::Object(members)
}

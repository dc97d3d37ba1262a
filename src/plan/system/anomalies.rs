//! `chronogate.anomalies`: what documents of collections say that they should not.
//!
//! Found anew by each query, which reads whole collections for it; reads of the tables themselves go on all the same.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt, stream};

use super::Batches;
use crate::error::{Result, SqlError};
use crate::history::document_id;
use crate::plan::StatementContext;
use crate::plan::names::Planning;
use crate::store::AnomalyBatch;
use crate::store::chronos::Anomaly;
use crate::types::PgType;
use crate::versions::TableId;

/// A table to look at, with its name as it is shown.
pub type Suspect = (TableId, String);

pub fn columns() -> Vec<(&'static str, PgType)> {
    vec![
        ("database", PgType::TEXT),
        ("table", PgType::TEXT),
        ("key", PgType::TEXT),
        ("version", PgType::INT8),
        ("kind", PgType::TEXT),
        ("detail", PgType::TEXT),
        ("found_at", PgType::TIMESTAMPTZ),
    ]
}

/// The tables over collections that the current role may read.
pub fn suspects(planning: &Planning) -> Vec<Suspect> {
    let authority = planning.ctx.authority();
    let catalog = Arc::clone(&planning.ctx.transaction.lock().catalog);
    let readable = catalog.tables.values().filter(|t| t.is_of_documents() && authority.may("SELECT", &t.grants, &t.owner));
    readable.map(|table| (table.id, table.name.to_string())).collect()
}

pub fn batches(ctx: Arc<StatementContext>, suspects: Arc<[Suspect]>, schema: SchemaRef) -> Batches {
    ctx.transaction.lock().has_read_more();
    let all: Vec<Suspect> = suspects.to_vec();
    stream::iter(all)
        .then(move |(id, name)| {
            let (ctx, schema) = (Arc::clone(&ctx), Arc::clone(&schema));
            async move {
                let found = ctx.database.anomalies(id).await?;
                Ok::<_, SqlError>(found.map_err(SqlError::from).and_then(move |found| {
                    let batch = ctx.cancel.check().and_then(|()| batch(&ctx, &name, &found, &schema));
                    std::future::ready(batch)
                }))
            }
        })
        .try_flatten()
        .boxed()
}

fn batch(ctx: &StatementContext, table: &str, found: &AnomalyBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let text = |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let times = TimestampMicrosecondArray::from_value(ctx.statement_time.micros(), found.len()).with_timezone("UTC");
    let version = |odd: &Anomaly| i64::try_from(odd.number()).unwrap_or(i64::MAX);
    let columns: Vec<ArrayRef> = vec![
        text(vec![ctx.database.name().to_owned(); found.len()]),
        text(vec![table.to_owned(); found.len()]),
        Arc::new(StringArray::from_iter(found.iter().map(|(key, _)| document_id(key)))),
        Arc::new(Int64Array::from_iter_values(found.iter().map(|(_, odd)| version(odd)))),
        text(found.iter().map(|(_, odd)| odd.kind().to_owned()).collect()),
        text(found.iter().map(|(_, odd)| detail(odd)).collect()),
        Arc::new(times),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|cause| {
        tracing::error!(%cause, "anomalies do not fit their columns");
        SqlError::internal("anomalies do not fit their columns")
    })
}

fn detail(odd: &Anomaly) -> String {
    match odd {
        Anomaly::DuplicateNumber { cv, passed_over, .. } => {
            let others: Vec<String> = passed_over.iter().map(i64::to_string).collect();
            format!("several versions have this number: that with _cv {cv} counts, not {}", others.join(", "))
        }
        Anomaly::MissingPayload { cv, .. } => format!("the payload of the version with _cv {cv} is missing or damaged"),
        Anomaly::HeadAhead { newest_row: Some(newest), .. } => {
            format!("the head is ahead of version {newest}, the newest there is: written while no versions were kept")
        }
        Anomaly::HeadAhead { newest_row: None, .. } => "there is no version but the head".to_owned(),
        Anomaly::HeadBehind { head, .. } => format!("the head was left behind at version {head}"),
        Anomaly::NoHead { .. } => "there are versions and no head".to_owned(),
        Anomaly::HeadDeleted { .. } => "the head says deleted, the newest version does not: the version counts".to_owned(),
        Anomaly::HeadNotDeleted { .. } => {
            "the newest version is a deletion, which the head does not say: the version counts".to_owned()
        }
        Anomaly::NotUnique { members, other, .. } => format!("{members}: the same as in {other}, where no two should agree"),
    }
}

//! `chronogate.commits`: who changed what, when and why.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Builder, ListBuilder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use datafusion::arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt};

use super::{Batches, Horizon};
use crate::error::{Result, SqlError};
use crate::plan::StatementContext;
use crate::types::PgType;
use crate::versions::{CommitInfo, CommitNo};

pub fn columns() -> Vec<(&'static str, PgType)> {
    vec![
        ("commit", PgType::INT8),
        ("committed_at", PgType::TIMESTAMPTZ),
        ("user", PgType::TEXT),
        ("application_name", PgType::TEXT),
        ("client_address", PgType::TEXT),
        ("actor", PgType::TEXT),
        ("reason", PgType::TEXT),
        ("context", PgType::JSONB),
        ("tables", PgType::TEXT.array_of()),
        ("rows", PgType::INT8),
    ]
}

pub fn batches(ctx: Arc<StatementContext>, schema: SchemaRef) -> Batches {
    let horizon = Horizon::of(&ctx);
    ctx.transaction.lock().has_read_more();
    let commits = ctx.database.commits(CommitNo(1), horizon.commit);
    commits
        .map_err(SqlError::from)
        .and_then(move |commits| {
            let batch = ctx.cancel.check().and_then(|()| {
                let shown: Vec<CommitInfo> = commits.into_iter().filter(|c| horizon.shows(c.stamp.time)).collect();
                batch(&shown, &schema)
            });
            std::future::ready(batch)
        })
        .boxed()
}

fn batch(commits: &[CommitInfo], schema: &SchemaRef) -> Result<RecordBatch> {
    let text = |value: &dyn Fn(&CommitInfo) -> Option<String>| -> ArrayRef {
        let mut builder = StringBuilder::new();
        commits.iter().for_each(|c| builder.append_option(value(c)));
        Arc::new(builder.finish())
    };
    let number = |value: &dyn Fn(&CommitInfo) -> u64| -> ArrayRef {
        let mut builder = Int64Builder::new();
        commits.iter().for_each(|c| builder.append_value(i64::try_from(value(c)).unwrap_or(i64::MAX)));
        Arc::new(builder.finish())
    };
    let mut times = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut tables = ListBuilder::new(StringBuilder::new()).with_field(PgType::TEXT.field("item", true));
    for commit in commits {
        times.append_value(commit.stamp.time.micros());
        commit.tables.iter().for_each(|table| tables.values().append_value(table));
        tables.append(true);
    }
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let columns: Vec<ArrayRef> = vec![
        number(&|c| c.stamp.commit.0),
        Arc::new(times.finish()),
        text(&|c| Some(c.context.user.clone())),
        text(&|c| filled(&c.context.application_name)),
        text(&|c| filled(&c.context.client_address)),
        text(&|c| c.context.actor.clone()),
        text(&|c| c.context.reason.clone()),
        text(&|c| c.context.context.as_deref().map(super::changes::normalised)),
        crate::types::nested::carrying(Arc::new(tables.finish()))?,
        number(&|c| c.rows),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|cause| {
        tracing::error!(%cause, "commits do not fit their columns");
        SqlError::internal("commits do not fit their columns")
    })
}

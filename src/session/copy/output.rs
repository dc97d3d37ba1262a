//! COPY … TO STDOUT: a relation or a query as lines or binary rows.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};

use super::super::ddl::{quoted, quoted_name};
use super::super::dispatch::cancellable;
use super::super::{Reply, Session};
use super::binary::TupleWriter;
use super::format::LineWriter;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::{Execution, ResultColumn, StatementContext};
use crate::sql::{Copy, CopyFormat, CopySource, Name, Statement};
use crate::types::encode::Column;
use crate::types::{PgType, Qualified, Zone};

/// A chunk holds about so many bytes of lines.
const CHUNK: usize = 64 * 1024;

impl Session {
    pub(super) async fn copy_out(&mut self, ctx: StatementContext, copy: &Copy) -> Result<Reply> {
        let statement = match &copy.source {
            CopySource::Query(query) => Statement::Query(query.clone()),
            CopySource::Relation { name, columns } => select_of(name, columns)?,
        };
        let engine = Arc::clone(&self.shared.engine);
        let prepared = cancellable(&ctx, engine.prepare(&ctx, &statement, &[])).await?;
        let Execution::Rows(rows) = cancellable(&ctx, engine.execute(&ctx, &prepared, Vec::new())).await? else {
            return Err(SqlError::internal("a query gave no rows"));
        };
        let columns = Arc::clone(&rows.columns);
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        if let Some(unknown) = copy.options.force_quote.iter().find(|name| *name != "*" && !names.contains(name)) {
            let message = format!("FORCE_QUOTE column \"{unknown}\" not referenced by COPY");
            return Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
        }
        let width = columns.len();
        let batches = rows.batches.map_err(crate::plan::diagnose);
        if copy.options.format == CopyFormat::Binary {
            let types: Vec<PgType> = columns.iter().map(|column| column.ty).collect();
            let mut tuples = TupleWriter::new(&types, self.zone()?);
            let data = batches
                .map(Some)
                .chain(futures::stream::once(async { None }))
                .map(move |batch| match batch {
                    Some(batch) => batch.and_then(|batch| tuples.chunks(&batch)),
                    None => Ok(vec![tuples.end()]),
                })
                .map_ok(|chunks| futures::stream::iter(chunks.into_iter().map(Ok)))
                .try_flatten();
            return Ok(Reply::CopyOut { columns: width, binary: true, chunks: data.boxed(), cancel: ctx.cancel });
        }
        let lines = Lines { columns, zone: self.zone()?, writer: LineWriter::new(copy.options.clone(), &names) };
        let mut header = Vec::new();
        if copy.options.header {
            lines.writer.header(&names, &mut header);
        }
        let header = futures::stream::iter((!header.is_empty()).then(|| Ok((Bytes::from(header), 0))));
        let data = batches
            .map(move |batch| batch.and_then(|batch| lines.chunks(&batch)))
            .map_ok(|chunks| futures::stream::iter(chunks.into_iter().map(Ok)))
            .try_flatten();
        Ok(Reply::CopyOut { columns: width, binary: false, chunks: header.chain(data).boxed(), cancel: ctx.cancel })
    }
}

/// The query that reads a relation as COPY gives it.
fn select_of(name: &Name, columns: &[String]) -> Result<Statement> {
    let list = match columns {
        [] => "*".to_owned(),
        columns => columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", "),
    };
    let relation = match &name.schema {
        Some(schema) => quoted_name(&Qualified::new(schema.as_str(), name.name.as_str())),
        None => quoted(&name.name),
    };
    let parsed = crate::sql::parse(&format!("SELECT {list} FROM {relation}"))?.pop();
    parsed.map(|parsed| parsed.statement).ok_or_else(|| SqlError::internal("a query of ours is empty"))
}

struct Lines {
    columns: Arc<[ResultColumn]>,
    zone: Zone,
    writer: LineWriter,
}

impl Lines {
    /// A batch as chunks of whole lines, each with how many rows it holds.
    fn chunks(&self, batch: &RecordBatch) -> Result<Vec<(Bytes, u64)>> {
        let typed = self.columns.iter().zip(batch.columns());
        let columns = typed.map(|(column, array)| Column::new(column.ty, array, self.zone)).collect::<Result<Vec<_>>>()?;
        let mut chunks = Vec::new();
        let mut lines = Vec::with_capacity(CHUNK + CHUNK / 4);
        let mut rows = 0;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            for (n, column) in columns.iter().enumerate() {
                text.clear();
                let value = if column.is_null(row) {
                    None
                } else {
                    column.write_text(row, &mut text);
                    Some(text.as_str())
                };
                self.writer.field(n, columns.len(), value, &mut lines);
            }
            lines.push(b'\n');
            rows += 1;
            if lines.len() >= CHUNK {
                chunks.push((Bytes::from(std::mem::take(&mut lines)), std::mem::take(&mut rows)));
            }
        }
        if rows > 0 {
            chunks.push((Bytes::from(lines), rows));
        }
        Ok(chunks)
    }
}

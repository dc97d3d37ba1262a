//! What a statement answers, in terms of the protocol but without a byte of it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::datatypes::Schema;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::error::{Result, SqlError};
use crate::plan::{ResultColumn, diagnose};
use crate::runtime::Cancel;
use crate::types::{Oid, PgType};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InBlock,
    Failed,
}

/// What Describe of a statement says.
#[derive(Clone, Debug)]
pub struct StatementDescription {
    pub parameters: Vec<Oid>,
    pub columns: Option<Arc<[ResultColumn]>>,
}

/// A statement's answer.
pub enum Reply {
    /// An empty query.
    Empty,
    /// CommandComplete with this tag: `CREATE TABLE`, `INSERT 0 3`.
    Command(String),
    /// Rows, and then `tag` with the number of rows appended (`SELECT 3`) where `count_rows`, else as it is
    /// (`INSERT 0 3` of a RETURNING).
    Rows {
        columns: Arc<[ResultColumn]>,
        formats: Vec<i16>,
        batches: SendableRecordBatchStream,
        tag: String,
        count_rows: bool,
        /// Checked while rows are sent.
        cancel: Cancel,
        /// For the text format of timestamptz.
        time_zone: String,
    },
    /// COPY … FROM STDIN: the wire feeds the sink.
    CopyIn { columns: usize, binary: bool, sink: Box<dyn CopyInSink> },
    /// COPY … TO STDOUT: chunks of whole lines or one binary row each, then `COPY n`.
    CopyOut { columns: usize, binary: bool, chunks: BoxStream<'static, Result<(Bytes, u64)>>, cancel: Cancel },
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Command(tag) => write!(f, "Command({tag})"),
            Self::Rows { tag, .. } => write!(f, "Rows({tag})"),
            Self::CopyIn { columns, .. } => write!(f, "CopyIn({columns})"),
            Self::CopyOut { columns, .. } => write!(f, "CopyOut({columns})"),
        }
    }
}

/// The reply with all its rows at hand: what fails, fails here.
pub(super) async fn collected(reply: Reply) -> Result<Reply> {
    let Reply::Rows { columns, formats, batches, tag, count_rows, cancel, time_zone } = reply else { return Ok(reply) };
    let schema = batches.schema();
    let all: Vec<RecordBatch> = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(cancel.error()),
        all = batches.try_collect() => all.map_err(diagnose)?,
    };
    let batches = Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(all.into_iter().map(Ok))));
    Ok(Reply::Rows { columns, formats, batches, tag, count_rows, cancel, time_zone })
}

/// The reply with its first rows at hand, about so many bytes of them: what fails among those, fails here.
pub(super) async fn begun(reply: Reply, bytes: usize) -> Result<Reply> {
    let Reply::Rows { columns, formats, mut batches, tag, count_rows, cancel, time_zone } = reply else { return Ok(reply) };
    let schema = batches.schema();
    let (mut first, mut size) = (Vec::new(), 0);
    while size < bytes {
        let batch = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancel.error()),
            batch = batches.try_next() => batch.map_err(diagnose)?,
        };
        let Some(batch) = batch else { break };
        size += batch.get_array_memory_size();
        first.push(Ok(batch));
    }
    let batches = Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(first).chain(batches)));
    Ok(Reply::Rows { columns, formats, batches, tag, count_rows, cancel, time_zone })
}

/// Takes a COPY's data as it comes, cut anywhere.
#[async_trait]
pub trait CopyInSink: Send {
    async fn data(&mut self, chunk: Bytes) -> Result<()>;
    /// CopyDone: everything is written (and committed where the statement stands alone); returns the tag.
    async fn done(&mut self) -> Result<String>;
    /// CopyFail or a lost connection: nothing was written.
    async fn fail(&mut self, message: &str);
}

/// Columns of type text that belong to no table.
pub(super) fn text_columns(names: &[&str]) -> Arc<[ResultColumn]> {
    let column = |name: &&str| ResultColumn { name: (*name).to_owned(), ty: PgType::TEXT, table_oid: 0, attribute: 0 };
    names.iter().map(column).collect()
}

/// Rows of text that are at hand already.
pub(super) fn text_rows(
    columns: Arc<[ResultColumn]>,
    rows: Vec<Vec<Option<String>>>,
    tag: &str,
    cancel: &Cancel,
) -> Result<Reply> {
    let schema = Arc::new(Schema::new(columns.iter().map(|c| c.ty.field(&c.name, true)).collect::<Vec<_>>()));
    let cells = |column: usize| rows.iter().map(move |row| row.get(column).cloned().flatten());
    let arrays = (0..columns.len()).map(|column| Arc::new(StringArray::from_iter(cells(column))) as ArrayRef).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
        .map_err(|_| SqlError::internal("rows of text do not fit their columns"))?;
    let batches = Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)])));
    Ok(Reply::Rows {
        formats: vec![0; columns.len()],
        columns,
        batches,
        tag: tag.to_owned(),
        count_rows: false,
        cancel: cancel.clone(),
        time_zone: "UTC".to_owned(),
    })
}

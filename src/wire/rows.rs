//! Result rows from a stream of batches into the socket's buffer, as fast as the client takes them.
//!
//! Checks for cancellation at every batch and every flush, so that a cancel or a time limit reaches a statement
//! that is already sending rows.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::backend::{column_count, framed};
use super::channel::{Channel, FLUSH_AT};
use super::connection::Stopped;
use super::copy::flush;
use super::guard::{guarded, guarded_now};
use crate::error::Result;
use crate::plan::{ResultColumn, diagnose};
use crate::runtime::Cancel;
use crate::session::Reply;
use crate::types::{RowEncoder, Zone};

/// The fields of [`Reply::Rows`].
pub struct Rows {
    pub columns: Arc<[ResultColumn]>,
    pub formats: Vec<i16>,
    pub batches: SendableRecordBatchStream,
    pub tag: String,
    pub count_rows: bool,
    pub cancel: Cancel,
    pub time_zone: String,
}

/// How far a result was sent.
pub enum Sent {
    /// To its end; the command's tag.
    All(String),
    /// As many rows as were asked for; a reply that goes on behind them.
    Some(Reply),
}

impl Rows {
    /// Sends rows up to the limit. On an error the rows before it have been sent and no part of the next.
    pub async fn send(mut self, channel: &mut Channel, limit: Option<u64>) -> Result<Sent, Stopped> {
        column_count(&self.columns)?;
        let types: Vec<_> = self.columns.iter().map(|c| c.ty).collect();
        let mut encoder = RowEncoder::new(&types, &self.formats, Zone::parse(&self.time_zone)?);
        let mut sent = 0;
        while let Some(batch) = self.next().await? {
            let mut row = 0;
            while row < batch.num_rows() {
                let until = match limit {
                    Some(limit) => batch.num_rows().min(row + usize::try_from(limit - sent).unwrap_or(usize::MAX)),
                    None => batch.num_rows(),
                };
                let next = encode(&mut encoder, &batch, row, until, &mut channel.out)?;
                sent += (next - row) as u64;
                row = next;
                if channel.out.len() >= FLUSH_AT {
                    flush(channel, &self.cancel).await?;
                }
                if Some(sent) == limit {
                    return Ok(Sent::Some(self.rest(batch.slice(row, batch.num_rows() - row))));
                }
            }
        }
        Ok(Sent::All(if self.count_rows { format!("{} {sent}", self.tag) } else { self.tag }))
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, Stopped> {
        let batches = &mut self.batches;
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(self.cancel.error().into()),
            next = guarded(async { batches.next().await.transpose().map_err(diagnose) }) => Ok(next?),
        }
    }

    /// A reply of what is left: the remainder of a batch, and the stream behind it.
    fn rest(self, remainder: RecordBatch) -> Reply {
        let Self { columns, formats, batches, tag, count_rows, cancel, time_zone } = self;
        let batches: SendableRecordBatchStream = if remainder.num_rows() == 0 {
            batches
        } else {
            let schema = batches.schema();
            let all = futures::stream::once(async move { Ok(remainder) }).chain(batches);
            Box::pin(RecordBatchStreamAdapter::new(schema, all))
        };
        Reply::Rows { columns, formats, batches, tag, count_rows, cancel, time_zone }
    }
}

/// Encodes rows from `row` until `until` or until the buffer is full; returns the first that was not. What a failed
/// row has left in the buffer is taken out again.
fn encode(encoder: &mut RowEncoder, batch: &RecordBatch, row: usize, until: usize, out: &mut BytesMut) -> Result<usize> {
    let mut whole = out.len();
    let encoded = guarded_now(|| {
        let mut at = row;
        while at < until && (at == row || out.len() < FLUSH_AT) {
            framed(out, b'D', |out| encoder.encode(batch, at, out))?;
            whole = out.len();
            at += 1;
        }
        Ok(at)
    });
    if encoded.is_err() {
        out.truncate(whole);
    }
    encoded
}

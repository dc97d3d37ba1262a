//! How a history load reaches a store's writer, and what is checked of a state alone.
//!
//! [`feed`] runs with the caller and hands batches to the writer. Others wait while a load runs, so the writer is bothered
//! only when the states are all there or keep coming: a source that pauses for too long fails the load. What the writer
//! makes of the states is each store's own.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{LoadRequest, PayloadRef, RowState, StoreError};
use crate::versions::change::bad_period;
use crate::versions::{CommitStamp, Context, TableId, Timestamp};

/// The writer is called when this many bytes wait for it, or when there are no more.
const HEAD_START: usize = if cfg!(test) { 256 } else { 16 << 20 };

/// A source that gives nothing for this long while the writer waits for it fails its load.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a writer's answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub struct LoadHeader {
    pub context: Context,
    pub table: TableId,
    pub table_name: String,
}

/// A load that waits for the writer.
pub struct QueuedLoad {
    pub header: LoadHeader,
    pub batches: mpsc::Receiver<Feed>,
    pub reply: Reply<(CommitStamp, u64)>,
}

/// What reaches the writer. A feed that stops without `End` is abandoned: its caller has gone.
pub enum Feed {
    States(Vec<RowState>),
    End,
    Failed(StoreError),
}

/// Takes states from the request to the writer and waits for its answer.
pub async fn feed(
    request: LoadRequest,
    last: CommitStamp,
    send: impl FnOnce(Box<QueuedLoad>) -> Result<(), StoreError>,
) -> Result<(CommitStamp, u64), StoreError> {
    let LoadRequest { context, table, table_name, mut states } = request;
    let mut waiting = Vec::new();
    let mut bytes = 0;
    let mut ended = false;
    while bytes < HEAD_START && !ended {
        match states.recv().await {
            Some(batch) => {
                let batch = batch?;
                bytes += batch.iter().map(weight).sum::<usize>();
                waiting.push(batch);
            }
            None => ended = true,
        }
    }
    if ended && waiting.iter().all(Vec::is_empty) {
        return Ok((last, 0));
    }
    let (to_writer, batches) = mpsc::channel(4);
    let (reply, answer) = oneshot::channel();
    let header = LoadHeader { context, table, table_name };
    send(Box::new(QueuedLoad { header, batches, reply }))?;
    // An error of sending means that the writer has refused a state: its answer says why.
    let _ = forward(waiting, &mut states, &to_writer).await;
    drop(to_writer);
    answer.await.unwrap_or(Err(StoreError::Closed))
}

async fn forward(
    waiting: Vec<Vec<RowState>>,
    states: &mut mpsc::Receiver<Result<Vec<RowState>, StoreError>>,
    writer: &mpsc::Sender<Feed>,
) -> Result<(), mpsc::error::SendError<Feed>> {
    for batch in waiting {
        writer.send(Feed::States(batch)).await?;
    }
    loop {
        let next = match tokio::time::timeout(PATIENCE, states.recv()).await {
            Ok(Some(Ok(batch))) => Feed::States(batch),
            Ok(Some(Err(error))) => Feed::Failed(error),
            Ok(None) => Feed::End,
            Err(_) => Feed::Failed(StoreError::Engine("the source of a history load paused for too long".to_owned())),
        };
        let more = matches!(next, Feed::States(_));
        writer.send(next).await?;
        if !more {
            return Ok(());
        }
    }
}

/// About how many bytes a state takes.
pub fn weight(state: &RowState) -> usize {
    let payload = match &state.payload {
        PayloadRef::Inline(bytes) => bytes.len(),
        PayloadRef::Object { name, .. } => name.len(),
    };
    128 + payload
}

/// What a writer says of a feed that stopped without its end.
pub fn abandoned() -> StoreError {
    StoreError::Engine("the source of a history load has gone".to_owned())
}

/// Refuses a period that is empty, reversed or reaches beyond the load's own time.
pub fn check_period(table: TableId, state: &RowState, load: Timestamp) -> Result<(), StoreError> {
    if state.to.is_some_and(|to| to <= state.from) {
        return Err(refusal(table, state, bad_period::EMPTY));
    }
    if state.to.unwrap_or(state.from) > load {
        return Err(refusal(table, state, bad_period::FUTURE));
    }
    Ok(())
}

pub fn refusal(table: TableId, state: &RowState, reason: &'static str) -> StoreError {
    StoreError::BadPeriod { table, key: state.key.clone(), reason }
}

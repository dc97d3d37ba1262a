//! The one task that writes: it takes all requests that wait, gives them one turn, and answers each when that turn is
//! durable. While one turn travels the next gathers.
//!
//! A turn that another gateway's was in the way of, or that was lost with its connection, is taken again. One of whose
//! commit nothing was heard is looked for in the log before it is: nothing is ever committed twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Core;
use super::apply;
use super::load;
use super::server::Trouble;
use super::turn::{Done, Turn};
use crate::store::loading::{QueuedLoad, Reply};
use crate::store::{CommitRequest, StoreError};
use crate::versions::CommitStamp;

/// A group ends at this many requests, or rows of them.
const GROUP: usize = 512;
const ROWS: usize = 20_000;

/// How many times the usual patience is worth knowing what became of a commit.
const DECIDING: u32 = 3;

/// What a caller can ask of the writer.
pub enum Request {
    Commit(Box<CommitRequest>, Reply<CommitStamp>),
    Load(Box<QueuedLoad>),
    /// Finishes what came before and ends the task.
    Close(Reply<()>),
}

/// Serves requests until `Close`, or until nobody can send any more.
pub async fn run(core: Arc<Core>, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(request) => request,
            None => match requests.recv().await {
                Some(request) => request,
                None => return,
            },
        };
        match first {
            Request::Commit(request, reply) => {
                let mut group = vec![(*request, reply)];
                next = gather(&mut group, &mut requests);
                commit(&core, group).await;
            }
            Request::Load(queued) => load::serve(&core, *queued).await,
            Request::Close(reply) => {
                requests.close();
                let _ = reply.send(Ok(()));
                return;
            }
        }
    }
}

/// Adds requests that wait to a group; the first that does not go with it.
fn gather(
    group: &mut Vec<(CommitRequest, Reply<CommitStamp>)>,
    requests: &mut mpsc::UnboundedReceiver<Request>,
) -> Option<Request> {
    let mut rows: usize = group.iter().map(|(request, _)| request.rows.len()).sum();
    if group.iter().any(|(request, _)| apply::stands_alone(request)) {
        return None;
    }
    while group.len() < GROUP && rows < ROWS {
        match requests.try_recv().ok()? {
            Request::Commit(request, reply) if !apply::stands_alone(&request) => {
                rows += request.rows.len();
                group.push((*request, reply));
            }
            other => return Some(other),
        }
    }
    None
}

async fn commit(core: &Core, group: Vec<(CommitRequest, Reply<CommitStamp>)>) {
    let mut requests = Vec::with_capacity(group.len());
    let mut replies = Vec::with_capacity(group.len());
    for (request, reply) in group {
        match core.prepare(&request).await {
            Ok(()) => {
                requests.push(request);
                replies.push(reply);
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }
    if requests.is_empty() {
        return;
    }
    let outcomes = outcomes(core, &requests).await;
    for (reply, outcome) in replies.into_iter().zip(outcomes) {
        // Nobody may be waiting any more; what was committed stays committed.
        let _ = reply.send(outcome);
    }
}

async fn outcomes(core: &Core, requests: &[CommitRequest]) -> Vec<Result<CommitStamp, StoreError>> {
    let patience = core.server.patience();
    let begun = Instant::now();
    let mut undecided: Option<Done> = None;
    let mut tries = 0;
    loop {
        let (trouble, unheard) = match take_turn(core, requests, &mut undecided).await {
            Ok(done) => {
                core.publish(done.last);
                return done.outcomes;
            }
            Err(failed) => failed,
        };
        if matches!(trouble, Trouble::Undecided) {
            undecided = unheard.or(undecided);
        }
        let given = if undecided.is_some() { patience * DECIDING } else { patience };
        let error = match trouble {
            // One request's damage is not its neighbours'.
            Trouble::Store(_) if undecided.is_none() && requests.len() > 1 => return each_alone(core, requests).await,
            Trouble::Store(error) if undecided.is_none() => error,
            _ if begun.elapsed() < given => {
                pause(tries).await;
                tries += 1;
                continue;
            }
            _ if undecided.is_some() => StoreError::Undecided,
            _ => StoreError::Unreachable,
        };
        tracing::warn!(%error, "a group of {} commits failed", requests.len());
        return requests.iter().map(|_| Err(error.clone())).collect();
    }
}

async fn each_alone(core: &Core, requests: &[CommitRequest]) -> Vec<Result<CommitStamp, StoreError>> {
    let mut all = Vec::with_capacity(requests.len());
    for request in requests {
        all.extend(Box::pin(outcomes(core, std::slice::from_ref(request))).await);
    }
    all
}

async fn take_turn(
    core: &Core,
    requests: &[CommitRequest],
    undecided: &mut Option<Done>,
) -> Result<Done, (Trouble, Option<Done>)> {
    let mut turn = Turn::begin(core).await.map_err(|trouble| (trouble, None))?;
    if let Some(earlier) = undecided {
        if turn.was_made(earlier).await.map_err(|trouble| (trouble, None))? {
            turn.transaction.abort().await;
            return Ok(earlier.clone());
        }
        *undecided = None;
    }
    match requests {
        [request] if apply::stands_alone(request) => turn.commit_alone(request).await,
        _ => turn.commit_group(requests).await,
    }
}

/// Longer from try to try, and never quite the same for two gateways.
pub async fn pause(tries: u32) {
    let [.., last] = mongodb::bson::oid::ObjectId::new().bytes();
    let most = 1_u64 << tries.min(7);
    tokio::time::sleep(Duration::from_micros(500 * most + u64::from(last) * 4 * most)).await;
}

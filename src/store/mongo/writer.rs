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
use super::joint::{self, Joint};
use super::load;
use super::server::Trouble;
use super::turn::{Done, Turn};
use crate::store::loading::{QueuedLoad, Reply};
use crate::store::{CommitRequest, StoreError};
use crate::versions::CommitStamp;

/// A group ends at this many requests, or rows of them.
const GROUP: usize = 512;
const ROWS: usize = 20_000;

/// Those who were answered together come again at about the same time: that many of them are waited for, for this share of
/// the time that their turn took.
const LULL: u32 = 8;
const LONGEST_LULL: Duration = Duration::from_millis(100);

/// How many times the usual patience is worth knowing what became of a commit.
const DECIDING: u32 = 3;

/// A commit that somebody waits for.
pub struct Pending {
    pub request: CommitRequest,
    pub reply: Reply<CommitStamp>,
    since: Instant,
}

impl Pending {
    pub fn new(request: CommitRequest, reply: Reply<CommitStamp>) -> Self {
        Self { request, reply, since: Instant::now() }
    }
}

/// The way back to the writer's queue, for what has to wait for others.
pub struct Back(mpsc::WeakUnboundedSender<Request>);

impl Back {
    pub fn to(requests: &mpsc::UnboundedSender<Request>) -> Self {
        Self(requests.downgrade())
    }

    /// Puts a request at the queue's end after a moment; refuses it with `reason` when it has waited long enough.
    pub fn later(&self, core: &Core, pending: Pending, reason: StoreError) {
        // Nobody waits for what was cancelled.
        if pending.reply.is_closed() {
            return;
        }
        if pending.since.elapsed() > core.server.patience() {
            let _ = pending.reply.send(Err(reason));
            return;
        }
        let queue = self.0.clone();
        let pause = Duration::from_millis(5 + core.ids.chance() / 4);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let request = Request::Commit(Box::new(pending));
            let Err(mpsc::error::SendError(Request::Commit(refused))) = (match queue.upgrade() {
                Some(queue) => queue.send(request),
                None => Err(mpsc::error::SendError(request)),
            }) else {
                return;
            };
            let _ = refused.reply.send(Err(StoreError::Closed));
        });
    }
}

/// What a caller can ask of the writer.
pub enum Request {
    Commit(Box<Pending>),
    Load(Box<QueuedLoad>),
    /// Finishes what came before and ends the task.
    Close(Reply<()>),
}

/// Serves requests until `Close`, or until nobody can send any more.
pub async fn run(core: Arc<Core>, mut requests: mpsc::UnboundedReceiver<Request>, back: Back) {
    let mut next = None;
    let mut crowd = Crowd::default();
    loop {
        let first = match next.take() {
            Some(request) => request,
            None => match requests.recv().await {
                Some(request) => request,
                None => return,
            },
        };
        match first {
            Request::Commit(pending) => {
                let mut group = vec![*pending];
                next = crowd.gather(&mut group, &mut requests).await;
                let (size, begun) = (group.len(), Instant::now());
                commit(&core, group, &back).await;
                crowd = Crowd { size, lull: (begun.elapsed() / LULL).min(LONGEST_LULL) };
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

/// How many requests the last turn had, and how long as many are waited for.
#[derive(Debug, Default)]
struct Crowd {
    size: usize,
    lull: Duration,
}

impl Crowd {
    /// Adds the requests that wait to a group, and while the last turn had more, those that come soon; the first that does
    /// not go with the group.
    async fn gather(&self, group: &mut Vec<Pending>, requests: &mut mpsc::UnboundedReceiver<Request>) -> Option<Request> {
        let until = tokio::time::Instant::now() + self.lull;
        let mut rows: usize = group.iter().map(|pending| pending.request.rows.len()).sum();
        let stands_alone = group.iter().any(|pending| apply::stands_alone(&pending.request));
        while !stands_alone && group.len() < GROUP && rows < ROWS {
            let next = match requests.try_recv() {
                Ok(request) => request,
                Err(_) if group.len() >= self.size => return None,
                Err(_) => tokio::time::timeout_at(until, requests.recv()).await.ok()??,
            };
            match next {
                Request::Commit(pending) if !apply::stands_alone(&pending.request) => {
                    rows += pending.request.rows.len();
                    group.push(*pending);
                }
                other => return Some(other),
            }
        }
        None
    }
}

async fn commit(core: &Arc<Core>, group: Vec<Pending>, back: &Back) {
    let mut own = Vec::with_capacity(group.len());
    let mut joint = Vec::new();
    for mut pending in group {
        match prepare(core, &mut pending.request).await {
            Ok(false) => own.push(pending),
            Ok(true) => joint.push(pending),
            Err(error) => drop(pending.reply.send(Err(error))),
        }
    }
    if !own.is_empty() {
        let (requests, replies): (Vec<_>, Vec<_>) = own.into_iter().map(|pending| (pending.request, pending.reply)).unzip();
        let outcomes = outcomes(core, &requests, None).await;
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Nobody may be waiting any more; what was committed stays committed.
            let _ = reply.send(outcome);
        }
    }
    joint::commit(core, joint, back).await;
}

/// Makes ready what a request changes; whether others write some of it too.
async fn prepare(core: &Arc<Core>, request: &mut CommitRequest) -> Result<bool, StoreError> {
    core.prepare(request).await?;
    let is_joint = core.is_joint(request).await?;
    if is_joint {
        joint::spell_out(core, request).await?;
    }
    Ok(is_joint)
}

/// Gives requests one turn, again until it is decided; what became of each.
pub async fn outcomes(core: &Core, requests: &[CommitRequest], joint: Option<&Joint>) -> Vec<Result<CommitStamp, StoreError>> {
    let patience = core.server.patience();
    let begun = Instant::now();
    let mut undecided: Option<Done> = None;
    let mut tries = 0;
    loop {
        let (trouble, unheard) = match take_turn(core, requests, joint, &mut undecided).await {
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
            Trouble::Store(_) if undecided.is_none() && requests.len() > 1 => return each_alone(core, requests, joint).await,
            Trouble::Store(error) if undecided.is_none() => error,
            _ if begun.elapsed() < given => {
                pause(core, tries).await;
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

async fn each_alone(core: &Core, requests: &[CommitRequest], joint: Option<&Joint>) -> Vec<Result<CommitStamp, StoreError>> {
    let mut all = Vec::with_capacity(requests.len());
    for request in requests {
        all.extend(Box::pin(outcomes(core, std::slice::from_ref(request), joint)).await);
    }
    all
}

async fn take_turn(
    core: &Core,
    requests: &[CommitRequest],
    joint: Option<&Joint>,
    undecided: &mut Option<Done>,
) -> Result<Done, (Trouble, Option<Done>)> {
    let mut turn = Turn::begin(core, joint).await.map_err(|trouble| (trouble, None))?;
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
pub async fn pause(core: &Core, tries: u32) {
    let most = 1_u64 << tries.min(7);
    tokio::time::sleep(Duration::from_micros(500 * most + core.ids.chance() * 4 * most)).await;
}

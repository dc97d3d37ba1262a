//! The one thread that writes: it takes all requests that wait, applies them in one SQLite transaction, each
//! in its own savepoint, and answers them when that transaction is durable.
//!
//! While one group reaches the disk the next gathers, so the more callers wait the more each group carries.
//! A request that fails, or panics, takes none of its neighbours with it, unless SQLite itself could not go
//! on: then the whole group is refused and nothing of it is kept.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rusqlite::Connection;

use super::apply::{self, State};
use super::checkpoint;
use super::load;
use super::readers::Readers;
use super::schema::failure;
use crate::runtime::Clock;
use crate::store::loading::{QueuedLoad, Reply};
use crate::store::{CommitRequest, StoreError};
use crate::versions::{CommitStamp, Timestamp};

/// A group ends at this many requests, so that the first of them need not wait for the last of very many.
const GROUP: usize = 512;

/// What a caller can ask of the writer.
pub enum Request {
    Commit(Box<CommitRequest>, Reply<CommitStamp>),
    Reserve {
        counter: u32,
        count: u64,
        reply: Reply<u64>,
    },
    SetCounter {
        counter: u32,
        next: u64,
        reply: Reply<()>,
    },
    Load(Box<QueuedLoad>),
    /// Finishes what came before and ends the thread.
    Close(Reply<()>),
}

pub struct Writer {
    pub conn: Connection,
    pub state: State,
    pub clock: Arc<dyn Clock>,
    /// The newest commit that readers may see.
    pub published: Arc<RwLock<CommitStamp>>,
    /// Why SQLite gave up the transaction at hand, if it did.
    pub broken: Option<StoreError>,
    /// Told after every group how many pages it may have written.
    pub written: Sender<usize>,
    /// Set when the log should be moved whole between two groups.
    pub finish_log: Arc<AtomicBool>,
    /// Whose idle transactions would keep the log from beginning anew.
    pub readers: Arc<Readers>,
    pub gathering: Gathering,
}

/// Whether a group waits a moment for more requests. Those answered a moment ago come back soon, and whoever the
/// group takes along costs no commit of its own; but when nobody comes, waiting is lost time. So only groups after
/// a crowded one wait, and after a wait in vain the next ones do not.
#[derive(Debug, Default)]
pub struct Gathering {
    /// Requests of the group before.
    crowd: usize,
    /// Groups that are not to wait.
    resting: u32,
    /// Requests of this group that came while it waited, and until when it may.
    came: usize,
    until: Option<Instant>,
}

impl Gathering {
    const CROWD: usize = 4;
    const RESTING: u32 = 32;
    /// From one request to the next, and all together.
    const GAP: Duration = Duration::from_micros(120);
    const LONGEST: Duration = Duration::from_micros(500);

    fn next(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        if self.crowd < Self::CROWD || self.resting > 0 {
            return None;
        }
        let now = Instant::now();
        let left = self.until.get_or_insert(now + Self::LONGEST).checked_duration_since(now)?;
        let request = requests.recv_timeout(left.min(Self::GAP)).ok()?;
        self.came += 1;
        Some(request)
    }

    /// The group is complete.
    fn done(&mut self, size: usize) {
        let waited = self.until.take().is_some();
        let in_vain = waited && std::mem::take(&mut self.came) * 4 < size;
        self.resting = if in_vain { Self::RESTING } else { self.resting.saturating_sub(1) };
        self.crowd = size;
    }
}

/// What becomes of a request once its group is durable, or is not.
type Answer = Box<dyn FnOnce(Result<(), StoreError>)>;

impl Writer {
    /// Serves requests until `Close`, or until nobody can send any more.
    pub fn run(mut self, requests: &Receiver<Request>) {
        let mut closing = None;
        while closing.is_none() {
            let Ok(first) = requests.recv() else { break };
            closing = self.serve(first, requests);
            if self.finish_log.swap(false, Ordering::AcqRel) {
                checkpoint::passive(&self.conn, &self.readers);
            }
        }
        let closed = self.finish();
        if let Some(reply) = closing {
            let _ = reply.send(closed);
        }
    }

    /// Serves one group that begins with `first`, and a load that cut it short.
    fn serve(&mut self, first: Request, requests: &Receiver<Request>) -> Option<Reply<()>> {
        let mut group = Vec::new();
        let mut after = None;
        let mut next = Some(first);
        while let Some(request) = next.take() {
            if matches!(request, Request::Load(_) | Request::Close(_)) {
                after = Some(request);
                break;
            }
            group.push(request);
            if group.len() == GROUP {
                break;
            }
            next = requests.try_recv().ok().or_else(|| self.gathering.next(requests));
        }
        self.gathering.done(group.len());
        if !group.is_empty() {
            self.commit_group(group);
        }
        match after {
            Some(Request::Close(reply)) => return Some(reply),
            Some(Request::Load(queued)) => self.load(*queued),
            Some(Request::Commit(..) | Request::Reserve { .. } | Request::SetCounter { .. }) | None => {}
        }
        None
    }

    fn commit_group(&mut self, group: Vec<Request>) {
        let size = group.iter().map(pages).sum();
        let mut answers = Vec::with_capacity(group.len());
        let mut waiting = group.into_iter();
        let outcome = self.in_transaction(|writer| {
            for request in waiting.by_ref() {
                let answer = writer.apply(request);
                answers.push(answer);
                if let Some(cause) = writer.broken.take() {
                    return Err(cause);
                }
            }
            Ok(())
        });
        answers.extend(waiting.map(unserved));
        answers.into_iter().for_each(|answer| answer(outcome.clone()));
        let _ = self.written.send(size);
    }

    /// Applies one request within the group's transaction; a failure is answered with the rest of the group,
    /// when what it may have seen of its neighbours is durable too.
    fn apply(&mut self, request: Request) -> Answer {
        let now = Timestamp::from_micros(self.clock.now_micros());
        match request {
            Request::Commit(request, reply) => {
                let result = self.in_savepoint(|conn, state| apply::commit(conn, state, &request, now));
                answer(result, reply)
            }
            Request::Reserve { counter, count, reply } => {
                answer(self.in_savepoint(|conn, _| apply::reserve(conn, counter, count)), reply)
            }
            Request::SetCounter { counter, next, reply } => {
                answer(self.in_savepoint(|conn, _| apply::set_counter(conn, counter, next)), reply)
            }
            Request::Load(_) | Request::Close(_) => Box::new(|_| {}),
        }
    }

    fn in_savepoint<T>(&mut self, work: impl FnOnce(&Connection, &mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        apply::execute(&self.conn, "SAVEPOINT request", [])?;
        let result = catch_unwind(AssertUnwindSafe(|| work(&self.conn, &mut self.state))).unwrap_or_else(|_| Err(panicked()));
        if self.conn.is_autocommit() {
            // SQLite gives the whole transaction up when it cannot go on, as on a full disk.
            self.broken = result.as_ref().err().cloned();
            return result;
        }
        if result.is_err() {
            apply::execute(&self.conn, "ROLLBACK TO request", [])?;
        }
        apply::execute(&self.conn, "RELEASE request", [])?;
        result
    }

    /// Runs `work` in one durable transaction and shows readers what it did; on an error nothing is kept.
    fn in_transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        apply::execute(&self.conn, "BEGIN IMMEDIATE", [])?;
        let worked = catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_| Err(panicked()));
        let result = worked.and_then(|done| apply::execute(&self.conn, "COMMIT", []).map(|_| done));
        match &result {
            Ok(_) => *self.published.write() = self.state.last,
            Err(cause) => self.abandon(cause),
        }
        result
    }

    fn abandon(&mut self, cause: &StoreError) {
        tracing::debug!(error = %cause, "a write transaction was abandoned");
        if !self.conn.is_autocommit()
            && let Err(error) = apply::execute(&self.conn, "ROLLBACK", [])
        {
            tracing::error!(%error, "the store could not roll back");
        }
        match State::read(&self.conn) {
            Ok(state) => self.state = state,
            Err(error) => tracing::error!(%error, "the store could not be read after a failure"),
        }
    }

    fn load(&mut self, queued: QueuedLoad) {
        let QueuedLoad { header, batches, reply } = queued;
        let now = Timestamp::from_micros(self.clock.now_micros());
        let mut size = 0;
        let outcome = self.in_transaction(|writer| {
            let (done, payload_bytes) = load::run(&writer.conn, &mut writer.state, &header, batches, now)?;
            size = payload_bytes / 4096 + usize::try_from(done.1).unwrap_or(usize::MAX) / 8;
            Ok(done)
        });
        let _ = reply.send(outcome);
        let _ = self.written.send(size);
    }

    /// Leaves one file with everything in it.
    fn finish(&self) -> Result<(), StoreError> {
        self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failure)
    }
}

fn answer<T: 'static>(result: Result<T, StoreError>, reply: Reply<T>) -> Answer {
    // Nobody may be waiting any more; what was committed stays committed.
    Box::new(move |group| {
        let _ = reply.send(group.and(result));
    })
}

/// The answer to a request that the group did not come to.
fn unserved(request: Request) -> Answer {
    fn refuse<T: 'static>(reply: Reply<T>) -> Answer {
        answer(Err(StoreError::Closed), reply)
    }
    match request {
        Request::Commit(_, reply) => refuse(reply),
        Request::Reserve { reply, .. } => refuse(reply),
        Request::SetCounter { reply, .. } | Request::Close(reply) => refuse(reply),
        Request::Load(queued) => refuse(queued.reply),
    }
}

fn panicked() -> StoreError {
    StoreError::Engine("the writer panicked; the request was rolled back".to_owned())
}

/// How many pages a request may dirty, roughly: enough to decide when a checkpoint is worth it.
fn pages(request: &Request) -> usize {
    match request {
        Request::Commit(request, _) => {
            2 + 4 * request.rows.len() + request.backfill.iter().map(|b| b.entries.len()).sum::<usize>()
        }
        Request::Reserve { .. } | Request::SetCounter { .. } => 1,
        Request::Load(_) | Request::Close(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn request() -> Request {
        Request::Reserve { counter: 1, count: 1, reply: tokio::sync::oneshot::channel().0 }
    }

    #[test]
    fn only_a_crowd_is_waited_for_and_not_again_when_nobody_came() {
        let (sender, requests) = mpsc::channel();
        let mut gathering = Gathering::default();
        gathering.done(Gathering::CROWD - 1);
        sender.send(request()).unwrap();
        assert!(gathering.next(&requests).is_none(), "a few are not waited for");
        gathering.done(Gathering::CROWD);
        assert!(gathering.next(&requests).is_some(), "a crowd is");
        assert!(gathering.next(&requests).is_none(), "nobody else came");
        gathering.done(2 * Gathering::CROWD);
        sender.send(request()).unwrap();
        for _ in 0..Gathering::RESTING {
            assert!(gathering.next(&requests).is_none(), "too few had come");
            gathering.done(2 * Gathering::CROWD);
        }
        assert!(gathering.next(&requests).is_some());
    }
}

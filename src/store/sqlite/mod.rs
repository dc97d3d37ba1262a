//! The embedded store: one SQLite file that holds index and payloads of one database.
//!
//! One thread writes (`writer`), any number read beside it (`readers`, `reader`, `scan`), one moves the log into the file
//! (`checkpoint`). The file's layout is in `schema`; a lock beside it keeps other processes out (`lock`).

mod apply;
mod borders;
mod checkpoint;
pub mod import;
mod load;
mod lock;
mod reader;
mod readers;
mod row;
mod scan;
mod schema;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;
use tokio::sync::oneshot;

pub use lock::holder;

use self::borders::Borders;
use self::lock::StoreLock;
use self::reader::Moment;
use self::readers::Readers;
use self::scan::Scan;
use self::writer::{Request, Writer};
use super::loading::{self, Reply};
use super::{CatalogRow, CommitRequest, IndexStore, LoadRequest, ScanRequest, StoreError, StoredVersion, VersionBatch};
use crate::runtime::{Clock, meter};
use crate::versions::{CommitInfo, CommitNo, CommitStamp, IndexId, ItemKey, KeyFilter, Scope, Snapshot, TableId, Timestamp};

/// How many commits one batch of the log holds.
const COMMITS: usize = 1024;

/// A scan of at most this many single states is answered on the calling thread.
const AT_ONCE: usize = 16;

/// An index store in one SQLite file. Dropping it closes it as [`IndexStore::close`] does, and waits for that.
pub struct SqliteIndex {
    path: PathBuf,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    readers: Arc<Readers>,
    published: Arc<RwLock<CommitStamp>>,
    borders: Borders,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    checkpointer: JoinHandle<()>,
    /// Given up when both have ended.
    _lock: StoreLock,
}

impl SqliteIndex {
    /// Opens the file, or makes it. [`StoreError::InUse`] when it is open already, here or elsewhere (then
    /// [`holder`] knows by whom), [`StoreError::Corrupt`] when it is not a store that this program can read.
    /// Blocks on the disk.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with(path, clock, |_| Ok(()))
    }

    /// `prepare` may change settings of the connection that writes.
    fn open_with(
        path: &Path,
        clock: Arc<dyn Clock>,
        prepare: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let lock = StoreLock::acquire(path)?;
        let conn = schema::open_writer(path)?;
        prepare(&conn)?;
        let state = apply::State::read(&conn)?;
        let published = Arc::new(RwLock::new(state.last));
        let (requests, waiting) = mpsc::channel();
        let (written, pages) = mpsc::channel();
        let finish_log = Arc::new(AtomicBool::new(false));
        let readers = Arc::new(Readers::new(path, published.clone()));
        let checkpoints = schema::open_checkpointer(path)?;
        let checkpointer = spawn("store-checkpoint", {
            let (finish, readers) = (finish_log.clone(), readers.clone());
            move || checkpoint::run(&checkpoints, &readers, &pages, &finish)
        })?;
        let writer = Writer {
            conn,
            state,
            clock,
            published: published.clone(),
            broken: None,
            written,
            finish_log,
            readers: readers.clone(),
            gathering: Default::default(),
        };
        let writer = spawn("store-writer", move || writer.run(&waiting))?;
        Ok(Self {
            path: path.to_owned(),
            requests: Mutex::new(Some(requests)),
            readers,
            published,
            borders: Borders::default(),
            threads: Mutex::new(Some(Threads { writer, checkpointer, _lock: lock })),
        })
    }

    fn send(&self, request: Request) -> Result<(), StoreError> {
        let requests = self.requests.lock();
        let sender = requests.as_ref().ok_or(StoreError::Closed)?;
        sender.send(request).map_err(|_| StoreError::Closed)
    }

    /// Asks the writer and waits for its answer. Dropped while waiting, the request is made all the same.
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    fn join(&self) {
        let Some(threads) = self.threads.lock().take() else { return };
        for thread in [threads.writer, threads.checkpointer] {
            if thread.join().is_err() {
                tracing::error!("a thread of the store ended by a panic");
            }
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let failed = |e: std::io::Error| StoreError::Engine(format!("cannot start a thread: {e}"));
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(failed)
}

impl Drop for SqliteIndex {
    fn drop(&mut self) {
        self.readers.close();
        self.requests.lock().take();
        self.join();
    }
}

impl fmt::Debug for SqliteIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteIndex").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl IndexStore for SqliteIndex {
    fn last_commit(&self) -> CommitStamp {
        *self.published.read()
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitStamp, StoreError> {
        self.ask(|reply| Request::Commit(Box::new(request), reply)).await
    }

    async fn load(&self, request: LoadRequest) -> Result<(CommitStamp, u64), StoreError> {
        loading::feed(request, self.last_commit(), |load| self.send(Request::Load(load))).await
    }

    async fn get(
        &self,
        table: TableId,
        keys: &[ItemKey],
        scope: Scope,
        snapshot: Snapshot,
    ) -> Result<Vec<Option<StoredVersion>>, StoreError> {
        self.readers.with(|conn| keys.iter().map(|key| reader::get(conn, table, key, (scope, snapshot), true)).collect())
    }

    fn scan(&self, request: ScanRequest) -> BoxStream<'static, Result<VersionBatch, StoreError>> {
        let few = matches!(&request.keys, KeyFilter::Points(keys) if keys.len() <= AT_ONCE);
        let at_once = few && request.candidates.is_none() && Moment::of(request.scope, request.snapshot).is_some();
        let readers = self.readers.clone();
        let mut scan = Scan::new(request);
        let mut next = move || readers.with_fresh(|conn| scan.piece(conn));
        if !at_once {
            return pieces(next);
        }
        stream::once(async move { next().map(|(batch, _)| batch) }).filter(is_filled).boxed()
    }

    async fn unique_holder(&self, index: IndexId, key: &ItemKey) -> Result<Option<ItemKey>, StoreError> {
        self.readers.with(|conn| reader::unique_holder(conn, index, key))
    }

    async fn live_count(&self, table: TableId, snapshot: Snapshot) -> Result<Option<u64>, StoreError> {
        let state = self.readers.with(|conn| reader::table_state(conn, table))?;
        Ok((state.changed <= snapshot.commit).then_some(state.live))
    }

    async fn borders(&self, table: TableId, shares: usize) -> Result<Vec<ItemKey>, StoreError> {
        self.readers.with(|conn| self.borders.of(conn, table, shares))
    }

    async fn last_change(&self, table: TableId) -> Result<CommitNo, StoreError> {
        let state = self.readers.with(|conn| reader::table_state(conn, table))?;
        Ok(state.changed.min(self.last_commit().commit))
    }

    fn commits(&self, from: CommitNo, to: CommitNo) -> BoxStream<'static, Result<Vec<CommitInfo>, StoreError>> {
        let readers = self.readers.clone();
        let to = to.min(self.last_commit().commit);
        let mut from = from;
        pieces(move || {
            let found = readers.with(|conn| reader::commits(conn, from, to, COMMITS))?;
            from = found.last().map_or(from, |c| c.stamp.commit.next());
            let more = found.len() == COMMITS;
            Ok((found, more))
        })
    }

    async fn commit_at(&self, at: Timestamp) -> Result<Option<CommitStamp>, StoreError> {
        let last = self.last_commit();
        self.readers.with(|conn| reader::commit_at(conn, at, last))
    }

    async fn commit_stamp(&self, commit: CommitNo) -> Result<Option<CommitStamp>, StoreError> {
        if commit > self.last_commit().commit {
            return Ok(None);
        }
        self.readers.with(|conn| reader::commit_stamp(conn, commit))
    }

    async fn catalog(&self) -> Result<Vec<CatalogRow>, StoreError> {
        let last = self.last_commit().commit;
        self.readers.with(|conn| reader::catalog(conn, last))
    }

    async fn reserve(&self, counter: u32, count: u64) -> Result<u64, StoreError> {
        self.ask(|reply| Request::Reserve { counter, count, reply }).await
    }

    async fn counter(&self, counter: u32) -> Result<u64, StoreError> {
        self.readers.with_fresh(|conn| reader::counter(conn, counter))
    }

    async fn set_counter(&self, counter: u32, next: u64) -> Result<(), StoreError> {
        self.ask(|reply| Request::SetCounter { counter, next, reply }).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        let Some(requests) = self.requests.lock().take() else { return Ok(()) };
        self.readers.close();
        let (reply, answer) = oneshot::channel();
        requests.send(Request::Close(reply)).map_err(|_| StoreError::Closed)?;
        drop(requests);
        let closed = answer.await.unwrap_or(Err(StoreError::Closed));
        self.join();
        closed
    }
}

fn is_filled<T>(batch: &Result<Vec<T>, StoreError>) -> std::future::Ready<bool> {
    std::future::ready(batch.as_ref().map_or(true, |rows| !rows.is_empty()))
}

/// A stream of what `next` returns until it says that there is no more, each piece read on a blocking thread
/// while the one before it is used.
fn pieces<T: Send + 'static>(
    next: impl FnMut() -> Result<(Vec<T>, bool), StoreError> + Send + 'static,
) -> BoxStream<'static, Result<Vec<T>, StoreError>> {
    let states = stream::unfold(Pieces::Ahead(next), |pieces| async move {
        let running = match pieces {
            Pieces::Ahead(next) => read_piece(next),
            Pieces::Running(running) => running,
            Pieces::Done => return None,
        };
        let (piece, next) = match running.await {
            Ok(done) => done,
            Err(_) => return Some((Err(StoreError::Engine("a read was interrupted".to_owned())), Pieces::Done)),
        };
        Some(match piece {
            Ok((rows, true)) => (Ok(rows), Pieces::Running(read_piece(next))),
            Ok((rows, false)) => (Ok(rows), Pieces::Done),
            Err(error) => (Err(error), Pieces::Done),
        })
    });
    states.filter(is_filled).boxed()
}

type Running<T, F> = tokio::task::JoinHandle<(Result<(Vec<T>, bool), StoreError>, F)>;

enum Pieces<T, F> {
    Ahead(F),
    Running(Running<T, F>),
    Done,
}

fn read_piece<T: Send + 'static, F>(mut next: F) -> Running<T, F>
where
    F: FnMut() -> Result<(Vec<T>, bool), StoreError> + Send + 'static,
{
    tokio::task::spawn_blocking(meter::carried_over(move || {
        let piece = next();
        (piece, next)
    }))
}

#[cfg(test)]
mod tests;

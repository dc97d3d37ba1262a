//! The index in MongoDB: heads, versions and commits of one database, over one or several MongoDB databases of a server.
//!
//! One task of each gateway writes (`writer`, `turn`, `apply`, `load`), anyone reads (`reader`, `scan`), a tail notices what
//! other gateways write (`tail`). Documents are described in `row`, collections in `home`.

mod apply;
mod collections;
mod home;
mod ids;
mod inspection;
mod joint;
mod library;
mod load;
mod members;
mod object;
mod object_scan;
mod reader;
mod row;
mod scan;
mod server;
mod tail;
mod turn;
mod writer;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

pub use home::{Identity, Place};
pub use inspection::{CollectionFacts, Inspection, MongoServer, hosts};
pub use joint::{Counters, LINGER, Layout, PlaceLayout};
pub use library::{Collection, CollectionIndex, Sample, Shape};

use self::home::{Home, Homes, Own};
use self::ids::Ids;
use self::reader::{Borders, Reader};
use self::scan::Scan;
use self::server::{Namespace, Server};
use self::writer::{Pending, Request};
use super::loading;
use super::{
    CatalogRow, CommitRequest, IndexStore, LoadRequest, PayloadRef, PayloadStore, ScanRequest, StoreError, StoredVersion,
    VersionBatch, VersionName,
};
use crate::runtime::{Clock, Entropy, SystemEntropy, meter};
use crate::store::chronos::Anomaly;
use crate::versions::{CommitInfo, CommitNo, CommitStamp, Context, IndexId, ItemKey, Scope, Snapshot, TableId, Timestamp};

/// What a [`MongoIndex`] is opened with.
#[derive(Clone)]
pub struct MongoOptions {
    /// May have a password in it: never shown.
    pub uri: String,
    /// The MongoDB database that the commit log, the catalogue and the like are kept in.
    pub home: String,
    /// Where tables' items live; those that say nothing of it in the first.
    pub places: Vec<Place>,
    /// About how long any call waits for a server that does not answer.
    pub patience: Duration,
    /// How long what another gateway committed may stay unnoticed.
    pub tail: Duration,
    /// Where payloads of the library's collections are. Asked which are there where several versions have one number.
    pub payloads: Option<Arc<dyn PayloadStore>>,
    /// How versions of the library's collections are written; without it they are only read.
    pub layout: Option<Layout>,
    /// For ids, tokens and pauses.
    pub entropy: Arc<dyn Entropy>,
}

impl MongoOptions {
    /// One place, `public`, in `database`, which is the home too.
    pub fn new(uri: impl Into<String>, database: &str) -> Self {
        let place = Place { schema: "public".to_owned(), database: database.to_owned() };
        let patience = Duration::from_secs(10);
        Self {
            uri: uri.into(),
            home: database.to_owned(),
            places: vec![place],
            patience,
            tail: home::TAIL,
            payloads: None,
            layout: None,
            entropy: Arc::new(SystemEntropy),
        }
    }
}

impl fmt::Debug for MongoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoOptions").field("home", &self.home).field("places", &self.places).finish_non_exhaustive()
    }
}

/// Bytes of a payload that a document of MongoDB's (at most 16 MiB) has room for.
const LARGEST: usize = 15 << 20;

/// What all parts of an index share.
struct Core {
    server: Server,
    own: Own,
    homes: Homes,
    clock: Arc<dyn Clock>,
    /// The newest commit known here.
    published: RwLock<CommitStamp>,
    borders: Borders,
    /// The library's collections, as found last.
    found: RwLock<Vec<Arc<Home>>>,
    /// Heads of collections that the library has written to, and since when, in milliseconds.
    noticed: Mutex<BTreeMap<Namespace, i64>>,
    /// Asked which of competing versions has its payload.
    payloads: Option<Arc<dyn PayloadStore>>,
    layout: Option<Layout>,
    ids: Ids,
    /// What this gateway is called in locks.
    gateway: String,
    closed: AtomicBool,
}

impl Core {
    fn last_commit(&self) -> CommitStamp {
        *self.published.read()
    }

    /// A commit is known now; an older one changes nothing.
    fn publish(&self, stamp: CommitStamp) {
        let mut published = self.published.write();
        *published = stamp.max(*published);
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) { Err(StoreError::Closed) } else { Ok(()) }
    }

    async fn home(&self, table: TableId) -> Result<Arc<Home>, StoreError> {
        self.homes.of(table, &self.server, &self.own).await
    }

    /// A table's home with its collections made.
    async fn writable(&self, table: TableId) -> Result<Arc<Home>, StoreError> {
        let home = self.home(table).await?;
        if self.homes.is_made(table) {
            return Ok(home);
        }
        match home.identity {
            Identity::Key => self.homes.ensure(table, &home, &self.server).await?,
            Identity::ObjectId => {
                joint::ensure(self, &home).await?;
                self.homes.is_made_now(table);
            }
        }
        Ok(home)
    }

    /// Makes ready for a commit what a transaction cannot make.
    async fn prepare(&self, request: &CommitRequest) -> Result<(), StoreError> {
        let is_large = |row: &super::RowChange| matches!(&row.payload, Some(PayloadRef::Inline(bytes)) if bytes.len() > LARGEST);
        if request.rows.iter().any(is_large) {
            return Err(StoreError::Unsupported("a row of more than 15 MB in a document"));
        }
        self.homes.learn(&request.catalog)?;
        let rows = request.rows.iter().map(|row| row.table);
        let truncated = request.truncate.iter().map(|(table, _)| *table);
        for table in rows.chain(truncated) {
            if !self.homes.is_made(table) {
                self.writable(table).await?;
            }
        }
        Ok(())
    }

    /// Where the items of tables are whose definitions it changes, collections that the library writes too.
    async fn defined(&self, request: &CommitRequest) -> Result<Vec<(TableId, Arc<Home>)>, StoreError> {
        let mut tables = Vec::new();
        for change in request.catalog.iter().filter(|change| change.kind == "table" && change.definition.is_some()) {
            let home = self.home(TableId(change.id)).await?;
            if home.identity == Identity::ObjectId {
                tables.push((TableId(change.id), home));
            }
        }
        Ok(tables)
    }

    /// Whether it changes items of collections that the library writes too.
    async fn is_joint(&self, request: &CommitRequest) -> Result<bool, StoreError> {
        let mut tables: BTreeSet<TableId> = request.rows.iter().map(|row| row.table).collect();
        tables.extend(request.truncate.iter().map(|(table, _)| *table));
        for table in tables {
            if self.home(table).await?.identity == Identity::ObjectId {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// An index store in MongoDB. Dropping it ends its tasks; what was accepted is still committed.
pub struct MongoIndex {
    core: Arc<Core>,
    requests: Mutex<Option<mpsc::UnboundedSender<Request>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    tails: Mutex<Vec<AbortOnDropHandle<()>>>,
}

impl MongoIndex {
    /// Connects, makes the database's own collections if they are not there, and starts the tasks, which need a tokio
    /// runtime. [`StoreError::Unreachable`] when the server does not answer in time.
    pub async fn open(options: MongoOptions, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with(options, clock, |_| {}).await
    }

    /// `prepare` may change how the server is spoken to.
    async fn open_with(
        options: MongoOptions,
        clock: Arc<dyn Clock>,
        prepare: impl FnOnce(&mut Server),
    ) -> Result<Self, StoreError> {
        let mut server = Server::connect(&options.uri, options.patience).await?;
        prepare(&mut server);
        let own = Own::new(&options.home);
        own.ensure(&server).await?;
        let ids = Ids::new(clock.clone(), options.entropy);
        let core = Arc::new(Core {
            gateway: format!("chronogate-{}", ids.make().to_hex()),
            ids,
            layout: options.layout,
            server,
            own,
            homes: Homes::new(options.places),
            clock,
            published: RwLock::new(CommitStamp { commit: CommitNo::ZERO, time: Timestamp::MIN }),
            borders: Borders::default(),
            found: RwLock::default(),
            noticed: Mutex::default(),
            payloads: options.payloads,
            closed: AtomicBool::new(false),
        });
        let mut tail = tail::Tail::default();
        tail.step(&core).await?;
        tail::look(&core).await?;
        let (requests, waiting) = mpsc::unbounded_channel();
        let writer = tokio::spawn(writer::run(core.clone(), waiting, writer::Back::to(&requests)));
        let mut tails = vec![AbortOnDropHandle::new(tokio::spawn(tail.run(core.clone(), options.tail)))];
        tails.push(AbortOnDropHandle::new(tokio::spawn(tail::mend(core.clone()))));
        let databases: BTreeSet<String> = core.homes.places().iter().map(|place| place.database.clone()).collect();
        for database in databases {
            tails.push(AbortOnDropHandle::new(tokio::spawn(tail::follow(core.clone(), database))));
        }
        Ok(Self { core, requests: Mutex::new(Some(requests)), writer: Mutex::new(Some(writer)), tails: Mutex::new(tails) })
    }

    /// Every collection of items in the places, ours and the library's, in order of place and name.
    pub async fn collections(&self) -> Result<Vec<Collection>, StoreError> {
        self.core.check_open()?;
        library::collections(&self.core).await
    }

    /// Up to `most` of the newest items' payloads and as many of the newest versions', with what `metaIndexed` has of them.
    pub async fn sample(&self, place: &str, collection: &str, most: usize) -> Result<Sample, StoreError> {
        self.core.check_open()?;
        let place = self.core.homes.places().iter().find(|p| p.schema == place);
        let place = place.ok_or_else(|| StoreError::Engine("a sample was asked for of an unknown place".to_owned()))?;
        library::sample(&self.core, &Home::new(place, collection, Identity::ObjectId), most).await
    }

    /// What the documents of a table's items should not say, in order of keys; nothing for a table of ours.
    pub async fn anomalies(
        &self,
        table: TableId,
    ) -> Result<BoxStream<'static, Result<Vec<(ItemKey, Anomaly)>, StoreError>>, StoreError> {
        self.core.check_open()?;
        let home = self.core.home(table).await?;
        Ok(match home.identity {
            Identity::Key => stream::empty().boxed(),
            Identity::ObjectId => pieces(library::Anomalies::new(self.core.clone(), home)),
        })
    }

    /// How many round trips were made so far.
    pub fn calls(&self) -> u64 {
        self.core.server.calls()
    }

    fn send(&self, request: Request) -> Result<(), StoreError> {
        let requests = self.requests.lock();
        let sender = requests.as_ref().ok_or(StoreError::Closed)?;
        sender.send(request).map_err(|_| StoreError::Closed)
    }

    fn reader(&self) -> Result<Reader<'_>, StoreError> {
        self.core.check_open()?;
        Ok(Reader::new(&self.core))
    }
}

impl fmt::Debug for MongoIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoIndex").field("places", &self.core.homes.places()).finish_non_exhaustive()
    }
}

#[async_trait]
impl IndexStore for MongoIndex {
    fn last_commit(&self) -> CommitStamp {
        self.core.last_commit()
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitStamp, StoreError> {
        self.core.check_open()?;
        if request.is_empty() {
            return Ok(self.last_commit());
        }
        request.check_form()?;
        let (reply, answer) = oneshot::channel();
        let before = self.core.defined(&request).await?;
        self.send(Request::Commit(Box::new(Pending::new(request, reply))))?;
        let made = answer.await.unwrap_or(Err(StoreError::Closed))?;
        for (table, before) in before {
            tokio::spawn(joint::indexing::follow(self.core.clone(), table, before));
        }
        Ok(made)
    }

    async fn load(&self, request: LoadRequest) -> Result<(CommitStamp, u64), StoreError> {
        self.core.check_open()?;
        loading::feed(request, self.last_commit(), |load| self.send(Request::Load(load))).await
    }

    async fn get(
        &self,
        table: TableId,
        keys: &[ItemKey],
        scope: Scope,
        snapshot: Snapshot,
    ) -> Result<Vec<Option<StoredVersion>>, StoreError> {
        self.reader()?.get(table, keys, (scope, snapshot)).await
    }

    fn scan(&self, request: ScanRequest) -> BoxStream<'static, Result<VersionBatch, StoreError>> {
        if let Err(closed) = self.core.check_open() {
            return stream::iter([Err(closed)]).boxed();
        }
        pieces(Scan::new(self.core.clone(), request))
    }

    async fn unique_holder(&self, index: IndexId, key: &ItemKey) -> Result<Option<ItemKey>, StoreError> {
        self.reader()?.unique_holder(index, key).await
    }

    async fn live_count(&self, table: TableId, snapshot: Snapshot) -> Result<Option<u64>, StoreError> {
        self.reader()?.live_count(table, snapshot).await
    }

    async fn borders(&self, table: TableId, shares: usize) -> Result<Vec<ItemKey>, StoreError> {
        self.reader()?.borders(table, shares).await
    }

    async fn last_change(&self, table: TableId) -> Result<CommitNo, StoreError> {
        self.reader()?.last_change(table).await
    }

    fn commits(&self, from: CommitNo, to: CommitNo) -> BoxStream<'static, Result<Vec<CommitInfo>, StoreError>> {
        if let Err(closed) = self.core.check_open() {
            return stream::iter([Err(closed)]).boxed();
        }
        pieces(reader::Log::new(self.core.clone(), from, to.min(self.last_commit().commit)))
    }

    async fn told(&self, table: TableId, versions: &[VersionName]) -> Result<Option<Vec<Option<Context>>>, StoreError> {
        self.core.check_open()?;
        let home = self.core.home(table).await?;
        match home.identity {
            Identity::Key => Ok(None),
            Identity::ObjectId => library::told(&self.core, &home, versions).await.map(Some),
        }
    }

    async fn commit_at(&self, at: Timestamp) -> Result<Option<CommitStamp>, StoreError> {
        self.reader()?.commit_at(at).await
    }

    async fn commit_stamp(&self, commit: CommitNo) -> Result<Option<CommitStamp>, StoreError> {
        self.reader()?.commit_stamp(commit).await
    }

    async fn catalog(&self) -> Result<Vec<CatalogRow>, StoreError> {
        self.reader()?.catalog().await
    }

    async fn reserve(&self, counter: u32, count: u64) -> Result<u64, StoreError> {
        self.reader()?.reserve(counter, count).await
    }

    async fn counter(&self, counter: u32) -> Result<u64, StoreError> {
        self.reader()?.counter(counter).await
    }

    async fn set_counter(&self, counter: u32, next: u64) -> Result<(), StoreError> {
        self.reader()?.set_counter(counter, next).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.core.closed.store(true, Ordering::SeqCst);
        self.tails.lock().clear();
        let Some(requests) = self.requests.lock().take() else { return Ok(()) };
        let (reply, answer) = oneshot::channel();
        requests.send(Request::Close(reply)).map_err(|_| StoreError::Closed)?;
        drop(requests);
        let closed = answer.await.unwrap_or(Err(StoreError::Closed));
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            let _ = writer.await;
        }
        self.core.server.shutdown().await;
        closed
    }
}

/// Drops a MongoDB database and everything in it.
pub async fn remove(uri: &str, database: &str, patience: Duration) -> Result<(), StoreError> {
    let server = Server::connect(uri, patience).await?;
    let dropped = server.command(database, mongodb::bson::doc! { "dropDatabase": 1 }).await.map(drop);
    server.shutdown().await;
    dropped
}

/// Something that is read piece by piece.
#[async_trait]
trait Pieces: Send + 'static {
    type Row: Send + 'static;

    /// The next rows, and whether there may be more.
    async fn next(&mut self) -> Result<(Vec<Self::Row>, bool), StoreError>;
}

/// A stream of pieces, each read while the one before it is used.
fn pieces<P: Pieces>(source: P) -> BoxStream<'static, Result<Vec<P::Row>, StoreError>> {
    let states = stream::unfold(Reading::Ahead(source), |reading| async move {
        let (piece, source) = match reading {
            Reading::Ahead(mut source) => (source.next().await, source),
            Reading::Running(running) => match running.await {
                Ok(done) => done,
                Err(_) => return Some((Err(StoreError::Engine("a read was interrupted".to_owned())), Reading::Done)),
            },
            Reading::Done => return None,
        };
        Some(match piece {
            Ok((rows, true)) => (Ok(rows), Reading::Running(read_ahead(source))),
            Ok((rows, false)) => (Ok(rows), Reading::Done),
            Err(error) => (Err(error), Reading::Done),
        })
    });
    let is_filled =
        |piece: &Result<Vec<P::Row>, StoreError>| std::future::ready(piece.as_ref().map_or(true, |rows| !rows.is_empty()));
    states.filter(is_filled).boxed()
}

type Running<P> = AbortOnDropHandle<(Result<(Vec<<P as Pieces>::Row>, bool), StoreError>, P)>;

enum Reading<P: Pieces> {
    Ahead(P),
    Running(Running<P>),
    Done,
}

fn read_ahead<P: Pieces>(mut source: P) -> Running<P> {
    AbortOnDropHandle::new(tokio::spawn(meter::carried(async move {
        let piece = source.next().await;
        (piece, source)
    })))
}

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod library_tests;
#[cfg(test)]
mod member_tests;
#[cfg(test)]
mod tests;

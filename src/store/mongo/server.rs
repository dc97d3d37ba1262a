//! The connection to a MongoDB server: calls with bounds on time, retried while nothing is lost by it, and what an
//! error of the driver means to those above.
//!
//! Knows collections and commands. Knows nothing of heads, versions or commits.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure};
use mongodb::options::{ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, ClientSession, Collection, Database, IndexModel};

use parking_lot::{Mutex, RwLock};

use crate::runtime::meter;
use crate::store::StoreError;

/// MongoDB 8.0 takes writes to several collections in one command.
const BULK_WRITE_SINCE: i32 = 25;

/// The server's codes for "not now, not here": it steps down, shuts down, lost touch, or ended a query before its time.
const PASSING: [i32; 17] = [6, 7, 43, 50, 89, 91, 134, 175, 189, 237, 262, 9001, 10107, 11600, 11602, 13435, 13436];

const DUPLICATE_KEY: i32 = 11000;
const DISK_FULL: [i32; 2] = [14031, 12501];

/// A collection of a database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    pub database: String,
    pub collection: String,
}

impl Namespace {
    pub fn new(database: &str, collection: impl Into<String>) -> Self {
        Self { database: database.to_owned(), collection: collection.into() }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}

/// What a query asks for. `limit` 0 is all.
#[derive(Clone, Debug, Default)]
pub struct Find {
    pub filter: Document,
    pub sort: Document,
    pub projection: Document,
    pub limit: u32,
}

impl Find {
    pub fn new(filter: Document) -> Self {
        Self { filter, ..Self::default() }
    }

    pub fn sort(self, sort: Document) -> Self {
        Self { sort, ..self }
    }

    pub fn only(self, projection: Document) -> Self {
        Self { projection, ..self }
    }

    pub fn limit(self, limit: usize) -> Self {
        Self { limit: u32::try_from(limit).unwrap_or(u32::MAX), ..self }
    }
}

/// One server or replica set.
pub struct Server {
    client: RwLock<(Client, u64)>,
    options: ClientOptions,
    patience: Duration,
    bulk_writes: bool,
    /// Whether it has transactions: a lone server has none.
    transactions: bool,
    calls: AtomicU64,
    /// Sessions of transactions that were lost before they ended. The server holds what they wrote for up to a minute.
    lost: Mutex<Vec<Document>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own text has the address and may have more.
        f.debug_struct("Server").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Server {
    /// Connects, and asks the server what it is. No call waits for the server longer than about `patience`.
    pub async fn connect(uri: &str, patience: Duration) -> Result<Self, StoreError> {
        let parsed = ClientOptions::parse(uri).await;
        let mut options = parsed.map_err(|e| match unreachable(&e) {
            true => StoreError::Unreachable,
            // The driver's text may quote the URI, which may have a password in it.
            false => StoreError::Engine("the MongoDB URI cannot be understood".to_owned()),
        })?;
        options.app_name.get_or_insert_with(|| "chronogate".to_owned());
        options.server_selection_timeout.get_or_insert(patience / 2);
        options.connect_timeout.get_or_insert(patience / 2);
        options.max_pool_size.get_or_insert(32);
        // A snapshot is right only where everything acknowledged can be seen.
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        options.read_concern = Some(ReadConcern::majority());
        options.write_concern = Some(WriteConcern::majority());
        let client = Client::with_options(options.clone()).map_err(|e| failure(&e))?;
        let mut server = Self {
            client: RwLock::new((client, 0)),
            options,
            patience,
            bulk_writes: false,
            transactions: false,
            calls: AtomicU64::new(0),
            lost: Mutex::default(),
        };
        let hello = server.command("admin", doc! { "hello": 1 }).await?;
        server.bulk_writes = hello.get_i32("maxWireVersion").is_ok_and(|version| version >= BULK_WRITE_SINCE);
        server.transactions = hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
        Ok(server)
    }

    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How many calls were made so far, each of them a round trip; those of the driver itself are not in it.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub fn transactions(&self) -> bool {
        self.transactions
    }

    pub fn bulk_writes(&self) -> bool {
        self.bulk_writes
    }

    /// Writes as to a server before 8.0.
    #[cfg(test)]
    pub fn without_bulk_writes(&mut self) {
        self.bulk_writes = false;
    }

    fn client(&self) -> Client {
        self.client.read().0.clone()
    }

    /// Grows whenever connections were made anew.
    pub fn age(&self) -> u64 {
        self.client.read().1
    }

    /// Connects anew after a call of a client of this age was not answered: the driver would go on using connections, and
    /// waiting for ones it had begun to make, that lead nowhere any more.
    fn renew(&self, age: u64) {
        let Ok(client) = Client::with_options(self.options.clone()) else { return };
        let mut current = self.client.write();
        if current.1 == age {
            // Whoever still uses the old one ends it when done.
            *current = (client, age + 1);
        }
    }

    /// Makes a call of which the answer is not waited for longer than one's patience.
    async fn timely<T>(&self, call: impl IntoFuture<Output = Result<T, Error>>) -> Option<Result<T, Error>> {
        self.count_call();
        let age = self.age();
        match tokio::time::timeout(self.patience, call.into_future()).await {
            Ok(answer) => Some(answer),
            Err(_) => {
                self.renew(age);
                None
            }
        }
    }

    fn database(&self, name: &str) -> Database {
        self.client.read().0.database(name)
    }

    fn collection(&self, ns: &Namespace) -> Collection<RawDocumentBuf> {
        self.database(&ns.database).collection(&ns.collection)
    }

    fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        meter::index_is_called();
    }

    /// Makes a call that may be made twice, again and again while the server cannot be reached, for a time.
    async fn again<T, F>(&self, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let until = Instant::now() + self.patience;
        let mut pause = Duration::from_millis(20);
        loop {
            let error = match self.timely(call()).await {
                Some(Ok(done)) => return Ok(done),
                Some(Err(error)) if unreachable(&error) => error.to_string(),
                Some(Err(error)) => return Err(failure(&error)),
                None => "no answer in time".to_owned(),
            };
            if Instant::now() + pause >= until {
                tracing::warn!(%error, "MongoDB cannot be reached");
                return Err(StoreError::Unreachable);
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(Duration::from_secs(1));
        }
    }

    /// The documents that a query finds.
    pub async fn find(&self, ns: &Namespace, find: Find) -> Result<Vec<Bytes>, StoreError> {
        self.find_some(ns, find, usize::MAX).await
    }

    /// The documents that a query finds, until they have `most` bytes; at least one of them.
    pub async fn find_some(&self, ns: &Namespace, find: Find, most: usize) -> Result<Vec<Bytes>, StoreError> {
        let find = &find;
        self.again(|| async move {
            let collection = self.collection(ns);
            let query = collection.find(find.filter.clone()).sort(find.sort.clone()).projection(find.projection.clone());
            let query = query.limit(i64::from(find.limit)).batch_size(batch_size(find.limit));
            let mut cursor = query.await?;
            let mut found = Vec::new();
            let mut bytes = 0;
            while bytes < most && cursor.advance().await? {
                let document = cursor.current().as_bytes();
                bytes += document.len();
                found.push(Bytes::copy_from_slice(document));
            }
            Ok(found)
        })
        .await
    }

    pub async fn find_one(&self, ns: &Namespace, find: Find) -> Result<Option<Bytes>, StoreError> {
        Ok(self.find(ns, find.limit(1)).await?.pop())
    }

    /// Runs a command that may be run twice.
    pub async fn command(&self, database: &str, command: Document) -> Result<Document, StoreError> {
        let command = &command;
        self.again(|| async move { self.database(database).run_command(command.clone()).await }).await
    }

    /// Runs a pipeline that only reads.
    pub async fn aggregate(&self, ns: &Namespace, pipeline: Vec<Document>) -> Result<Vec<Bytes>, StoreError> {
        let pipeline = &pipeline;
        self.again(|| async move {
            let collection = self.collection(ns);
            let mut cursor = collection.aggregate(pipeline.iter().cloned()).await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.push(Bytes::copy_from_slice(cursor.current().as_bytes()));
            }
            Ok(found)
        })
        .await
    }

    /// Adds `by` to a number of one document, which is made if need be; the document after it. Repeated by the driver
    /// at most once, and never applied twice.
    pub async fn find_and_update(&self, ns: &Namespace, filter: Document, update: Document) -> Result<Document, StoreError> {
        let collection = self.database(&ns.database).collection::<Document>(&ns.collection);
        let call = collection.find_one_and_update(filter, update).upsert(true);
        let call = call.return_document(mongodb::options::ReturnDocument::After);
        match self.timely(call).await {
            Some(Ok(Some(document))) => Ok(document),
            Some(Ok(None)) => Err(StoreError::Engine(format!("{ns}: an upsert left nothing"))),
            Some(Err(error)) => Err(failure(&error)),
            None => Err(StoreError::Unreachable),
        }
    }

    /// Makes the collection, if it is not there, with these indexes.
    pub async fn ensure(&self, ns: &Namespace, indexes: &[IndexModel]) -> Result<(), StoreError> {
        let make = || async move { self.database(&ns.database).create_collection(&ns.collection).await };
        match self.again(make).await {
            Ok(()) => {}
            Err(StoreError::Engine(text)) if text.contains("NamespaceExists") || text.contains("already exists") => {}
            Err(other) => return Err(other),
        }
        if indexes.is_empty() {
            return Ok(());
        }
        self.again(|| async move { self.collection(ns).create_indexes(indexes.iter().cloned()).await }).await.map(|_| ())
    }

    /// Names of the server's databases.
    pub async fn databases(&self) -> Result<Vec<String>, StoreError> {
        self.again(|| async move { self.client().list_database_names().await }).await
    }

    /// Names of a database's collections.
    pub async fn collections(&self, database: &str) -> Result<Vec<String>, StoreError> {
        self.again(|| async move { self.database(database).list_collection_names().await }).await
    }

    /// About how many documents a collection has.
    pub async fn estimate(&self, ns: &Namespace) -> Result<u64, StoreError> {
        self.again(|| async move { self.collection(ns).estimated_document_count().await }).await
    }

    /// A collection's indexes, as the server describes them; none where there is no collection.
    pub async fn indexes(&self, ns: &Namespace) -> Result<Vec<Document>, StoreError> {
        let reply = match self.command(&ns.database, doc! { "listIndexes": &ns.collection }).await {
            Err(StoreError::Engine(text)) if text.contains("NamespaceNotFound") => return Ok(Vec::new()),
            reply => reply?,
        };
        let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).ok();
        Ok(batch.into_iter().flatten().filter_map(|index| index.as_document().cloned()).collect())
    }

    /// What happens to a database from now on. An error where the server has no change streams.
    pub async fn watch(&self, database: &str, pipeline: Vec<Document>) -> Result<Changes, StoreError> {
        let database = self.database(database);
        let stream = self.timely(database.watch().pipeline(pipeline)).await;
        let stream = stream.ok_or(StoreError::Unreachable)?.map_err(|e| failure(&e))?;
        Ok(Changes(stream.with_type::<Document>()))
    }

    /// Begins a transaction: one snapshot for all its reads, and nothing of it seen before it is committed.
    pub async fn begin(&self) -> Result<Transaction<'_>, Trouble> {
        if !self.transactions {
            return Err(StoreError::Unsupported("writing to a MongoDB server without transactions").into());
        }
        self.end_lost().await;
        let client = self.client();
        let session = tokio::time::timeout(self.patience, client.start_session().causal_consistency(false)).await;
        let session = session.map_err(|_| Trouble::Gone)?.map_err(|e| trouble(&e))?;
        let mut transaction = Transaction { server: self, session, has_ended: false };
        let start = transaction.session.start_transaction();
        let start = start.read_concern(ReadConcern::snapshot()).write_concern(WriteConcern::majority());
        start.await.map_err(|e| trouble(&e))?;
        Ok(transaction)
    }

    /// Tells the server of transactions that nobody will go on with, so that it lets go of what they wrote.
    async fn end_lost(&self) {
        let lost = std::mem::take(&mut *self.lost.lock());
        if lost.is_empty() {
            return;
        }
        let admin = self.database("admin");
        match self.timely(admin.run_command(doc! { "killSessions": &lost })).await {
            Some(Ok(_)) => {}
            Some(Err(error)) if !unreachable(&error) => tracing::debug!(%error, "lost transactions are left to their time"),
            Some(Err(_)) | None => self.lost.lock().extend(lost),
        }
    }

    pub async fn shutdown(&self) {
        self.client().shutdown().immediate(true).await;
    }

    /// A call of a transaction.
    async fn told<T>(&self, call: impl IntoFuture<Output = Result<T, Error>>) -> Result<T, Trouble> {
        match self.timely(call).await {
            Some(done) => done.map_err(|e| trouble(&e)),
            None => Err(Trouble::Gone),
        }
    }
}

/// Events of a change stream, as its pipeline shapes them.
pub struct Changes(ChangeStream<Document>);

impl Changes {
    /// The next event; `None` when the stream has ended, by an error or not.
    pub async fn next(&mut self) -> Option<Document> {
        match self.0.next().await? {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::debug!(%error, "a change stream has ended");
                None
            }
        }
    }
}

/// One more than the limit, so that the server need not keep a cursor for a batch that is full; 0 leaves it to the server.
fn batch_size(limit: u32) -> u32 {
    if limit == 0 { 4096 } else { limit.saturating_add(1) }
}

/// Why a transaction did not do what was asked.
#[derive(Debug)]
pub enum Trouble {
    /// Another one was in its way, or it was lost. Nothing of it was kept; it may be tried again.
    Again,
    /// The server could not be reached. Before its commit nothing was kept.
    Gone,
    /// Whether it was committed is not known.
    Undecided,
    /// Trying again is of no use.
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What trouble outside a transaction comes to.
pub fn settled(trouble: Trouble) -> StoreError {
    match trouble {
        Trouble::Store(error) => error,
        Trouble::Again | Trouble::Gone | Trouble::Undecided => StoreError::Unreachable,
    }
}

/// An open transaction. Dropped without a commit it is aborted.
pub struct Transaction<'s> {
    server: &'s Server,
    session: ClientSession,
    /// Whether the server has said so.
    has_ended: bool,
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.server.lost.lock().push(self.session.id().clone());
        }
    }
}

impl Transaction<'_> {
    pub fn server(&self) -> &Server {
        self.server
    }

    pub async fn find(&mut self, ns: &Namespace, find: Find) -> Result<Vec<Bytes>, Trouble> {
        let (server, session) = (self.server, &mut self.session);
        let collection = server.collection(ns);
        let found = server.told(async {
            let query = collection.find(find.filter).sort(find.sort).projection(find.projection);
            let query = query.limit(i64::from(find.limit)).batch_size(batch_size(find.limit));
            let mut cursor = query.session(&mut *session).await?;
            let mut found = Vec::new();
            while cursor.advance(&mut *session).await? {
                found.push(Bytes::copy_from_slice(cursor.current().as_bytes()));
            }
            Ok(found)
        });
        let found = found.await;
        self.heard(found)
    }

    /// A transaction that was in another one's way has been ended by the server.
    fn heard<T>(&mut self, reply: Result<T, Trouble>) -> Result<T, Trouble> {
        self.has_ended |= matches!(reply, Err(Trouble::Again));
        reply
    }

    /// Runs a command of which a failure of a single document is a failure of all.
    pub async fn command(&mut self, database: &str, command: RawDocumentBuf) -> Result<Document, Trouble> {
        let database = self.server.database(database);
        let reply = self.server.told(database.run_raw_command(command).session(&mut self.session)).await;
        self.heard(reply)
    }

    pub async fn commit(mut self) -> Result<(), Trouble> {
        let until = Instant::now() + self.server.patience;
        loop {
            let error = match self.server.timely(self.session.commit_transaction()).await {
                Some(Ok(())) => {
                    self.has_ended = true;
                    return Ok(());
                }
                Some(Err(error)) => error,
                None => return Err(Trouble::Undecided),
            };
            let undecided = error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
            self.has_ended = !undecided && !unreachable(&error);
            if self.has_ended && error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
                return Err(Trouble::Again);
            }
            if self.has_ended {
                return Err(Trouble::Store(failure(&error)));
            }
            if Instant::now() >= until {
                return Err(Trouble::Undecided);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Gives it up. That it could not be told so is no error: the server will notice.
    pub async fn abort(mut self) {
        let told = self.server.timely(self.session.abort_transaction()).await;
        self.has_ended = matches!(told, Some(Ok(())));
    }
}

fn trouble(error: &Error) -> Trouble {
    if unreachable(error) {
        return Trouble::Gone;
    }
    if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
        return Trouble::Again;
    }
    Trouble::Store(failure(error))
}

/// Whether the server may well answer if it is asked again later.
fn unreachable(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Io(_)
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::InvalidResponse { .. } => true,
        // The driver says so of servers that it has not heard of for a while.
        ErrorKind::Transaction { message, .. } => message.contains("not supported by this deployment"),
        ErrorKind::Command(e) => PASSING.contains(&e.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(e)) => PASSING.contains(&e.code) || e.code == 64,
        _ => false,
    }
}

/// What an error of the driver is to a caller who will not try again.
pub fn failure(error: &Error) -> StoreError {
    if unreachable(error) {
        return StoreError::Unreachable;
    }
    match &*error.kind {
        ErrorKind::Command(e) if DISK_FULL.contains(&e.code) => StoreError::Full,
        ErrorKind::Shutdown => StoreError::Closed,
        ErrorKind::Bson(e) => StoreError::Corrupt(e.to_string()),
        _ => StoreError::Engine(error.to_string()),
    }
}

/// What the reply to a write command says of the documents that failed, if any did.
pub fn refused(reply: &Document) -> Option<Trouble> {
    let in_cursor = || reply.get_document("cursor").ok().and_then(|cursor| cursor.get_array("firstBatch").ok());
    let errors = reply.get_array("writeErrors").ok().or_else(in_cursor)?;
    let first = errors.iter().filter_map(|e| e.as_document()).find(|e| e.get_i32("code").is_ok_and(|code| code != 0))?;
    let (code, text) = (first.get_i32("code").unwrap_or_default(), first.get_str("errmsg").unwrap_or_default());
    // What another one had written meanwhile is seen at the next try.
    Some(if code == DUPLICATE_KEY { Trouble::Again } else { Trouble::Store(StoreError::Engine(text.to_owned())) })
}

/// A document of bytes that came from the server.
pub fn raw(bytes: &Bytes) -> Result<&RawDocument, StoreError> {
    RawDocument::from_bytes(&**bytes).map_err(|e| StoreError::Corrupt(e.to_string()))
}

//! One database: its stores, its definitions through time, and the only way to read or change either.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::commit_log::CommitLog;
use super::definition::Kind;
use super::documents::{self, Unfit};
use super::indexing::Builds;
use super::sequences::Sequences;
use super::timeline::{PUBLIC_ID, Timeline};
use super::{Catalog, ColumnDef, HistoryError, SequenceDef, TableDef, Transaction, definition, request};
use crate::runtime::Clock;
use crate::store::{
    AnomalyBatch, CatalogChange, Collections, CommitRequest, IndexStore, LoadRequest, PayloadRef, PayloadStore, RowState,
    ScanRequest, StoreError, StoredVersion, VersionName,
};
use crate::types::Qualified;
use crate::versions::{
    CommitInfo, CommitNo, CommitStamp, Context, IndexId, ItemKey, Scope, Snapshot, TableId, Timestamp, Version,
};

/// Microseconds after which collections are looked at again for new ones.
const LOOK_AGAIN: i64 = 5_000_000;

/// One state with its payload's bytes.
#[derive(Clone, Debug)]
pub struct StateRow {
    pub key: ItemKey,
    pub version: Version,
    pub payload: Bytes,
    /// What it was made of, for rows that are documents.
    pub document: Option<Document>,
}

/// A document in a payload store.
#[derive(Clone, Debug)]
pub struct Document {
    /// As it is stored; empty where payloads were not asked for.
    pub text: Bytes,
    pub name: String,
    pub size: u64,
    pub sha256: [u8; 32],
}

pub type RowBatch = Vec<StateRow>;
pub type RowScan = BoxStream<'static, Result<RowBatch, HistoryError>>;

/// A database that is open. Shared by all its connections.
#[derive(Clone, Debug)]
pub struct Database {
    name: String,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    index: Arc<dyn IndexStore>,
    payloads: Arc<dyn PayloadStore>,
    clock: Arc<dyn Clock>,
    definitions: RwLock<Definitions>,
    /// Told whenever `Definitions::held` becomes `None`.
    released: Notify,
    /// Held by the one commit that changes definitions.
    turn: tokio::sync::Mutex<()>,
    sequences: Sequences,
    log: CommitLog,
    /// What another program keeps beside the database's own tables, and when it was last looked at.
    collections: OnceLock<Arc<dyn Collections>>,
    looked: AtomicI64,
    builds: Builds,
}

#[derive(Debug)]
struct Definitions {
    timeline: Timeline,
    /// While a commit of definitions is on its way: the snapshot before it, which is what new transactions
    /// get, and beyond which nothing is acknowledged. So no one ever holds a snapshot that is newer than
    /// the definitions beside it.
    held: Option<Snapshot>,
}

impl Database {
    /// Opens over these stores; reads every definition. A new database has the schema `public`.
    pub async fn open(
        name: &str,
        index: Arc<dyn IndexStore>,
        payloads: Arc<dyn PayloadStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, HistoryError> {
        let timeline = Timeline::read(index.catalog().await?, None)?;
        let inner = Inner {
            index,
            payloads,
            clock,
            definitions: RwLock::new(Definitions { timeline, held: None }),
            released: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            sequences: Sequences::default(),
            log: CommitLog::default(),
            collections: OnceLock::new(),
            looked: AtomicI64::new(i64::MIN),
            builds: Builds::default(),
        };
        Ok(Arc::new(Self { name: name.to_owned(), inner: Arc::new(inner) }))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Microseconds now, never earlier than the newest commit.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.inner.clock.now_micros()).max(self.inner.index.last_commit().time)
    }

    /// Definitions at the newest commit.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(self.inner.definitions.read().timeline.current())
    }

    /// Definitions as they were in `scope` (`Current` and the ranges: at the snapshot).
    pub fn catalog_at(&self, scope: Scope, snapshot: Snapshot) -> Arc<Catalog> {
        self.inner.definitions.read().timeline.catalog_at(scope, snapshot)
    }

    /// The table that a name means in `scope`, in the state its definition had there.
    ///
    /// An instant picks the table that had the name then; failing that the one that has it at the snapshot
    /// (so that loaded history older than its table can be read, and a renamed table by its present name);
    /// failing that the first one to get the name later. `Current` picks the one at the snapshot, the
    /// ranges likewise or else the last one that had the name.
    pub fn table_at(&self, name: &Qualified, scope: Scope, snapshot: Snapshot) -> Option<Arc<TableDef>> {
        self.inner.definitions.read().timeline.table_at(name, scope, snapshot)
    }

    /// Every definition this table ever had with the commit it began at, oldest first.
    pub fn table_states(&self, table: TableId) -> Vec<(CommitStamp, Arc<TableDef>)> {
        let definitions = self.inner.definitions.read();
        definitions.timeline.table_states(table).map(|(begun, def)| (begun, Arc::clone(def))).collect()
    }

    /// Every column that the committed table ever had, see [`TableDef::union_columns`]; empty for an unknown table.
    pub fn union_columns(&self, table: TableId) -> Vec<ColumnDef> {
        let definitions = self.inner.definitions.read();
        definitions.timeline.table_states(table).last().map(|(_, def)| def.union_columns()).unwrap_or_default()
    }

    /// The newest acknowledged commit, as a bound for reads.
    pub fn snapshot(&self) -> Snapshot {
        self.inner.snapshot_under(&self.inner.definitions.read())
    }

    /// A transaction on the newest snapshot.
    pub fn begin(&self, context: Context) -> Transaction {
        let definitions = self.inner.definitions.read();
        let snapshot = self.inner.snapshot_under(&definitions);
        Transaction::new(snapshot, Arc::clone(definitions.timeline.current()), context)
    }

    /// Makes the transaction's changes one commit. `Ok(None)` when it changed nothing. Dropped before it
    /// returns, the commit may have been made or not, but never in part.
    ///
    /// A lost race is `StoreError::Conflict` or `CatalogConflict`; definitions of others that changed since
    /// are no conflict for a transaction that only writes rows of tables that are as it knows them.
    pub async fn commit(&self, transaction: Transaction) -> Result<Option<CommitStamp>, HistoryError> {
        if transaction.is_empty() {
            return Ok(None);
        }
        if transaction.catalog_changes.is_empty() {
            return self.inner.commit_rows(&transaction).await.map(Some);
        }
        let task = tokio::spawn(Arc::clone(&self.inner).commit_definitions(transaction));
        match task.await {
            Ok(outcome) => outcome.map(Some),
            Err(cause) => Err(HistoryError::Store(StoreError::Engine(cause.to_string()))),
        }
    }

    /// See [`crate::store::LoadRequest`].
    pub async fn load(
        &self,
        context: Context,
        table: &TableDef,
        states: tokio::sync::mpsc::Receiver<Result<Vec<RowState>, StoreError>>,
    ) -> Result<u64, HistoryError> {
        let request = LoadRequest { context, table: table.id, table_name: table.name.to_string(), states };
        let (stamp, count) = self.inner.index.load(request).await.map_err(|error| match error {
            StoreError::KeyExists { key, .. } if table.primary_key.is_some() => HistoryError::duplicate_key(table, &key),
            StoreError::UniqueExists { index, key } => HistoryError::duplicate_entry(table, index, &key),
            other => HistoryError::Store(other),
        })?;
        self.inner.released_beyond(stamp).await;
        Ok(count)
    }

    /// States of one table with their payloads, ordered by (key, from). Own writes of a transaction are not
    /// in it: who scans lays them over.
    pub fn scan(&self, request: ScanRequest) -> RowScan {
        self.scan_with(request, OnMissing::Error)
    }

    /// The same, where `on_missing` says what becomes of documents that are missing or damaged.
    pub fn scan_with(&self, request: ScanRequest, on_missing: OnMissing) -> RowScan {
        let payloads = request.payloads.then(|| Arc::clone(&self.inner.payloads));
        let documents = self.documents_of(request.table, on_missing);
        let batches = self.inner.index.scan(request).map_err(HistoryError::from);
        match documents {
            None => batches.and_then(move |batch| resolve(payloads.clone(), batch)).fuse().boxed(),
            Some(documents) => {
                let documents = Arc::new(documents);
                batches
                    .and_then(move |batch| {
                        let (documents, payloads) = (Arc::clone(&documents), payloads.clone());
                        async move { documents.rows(payloads.as_deref(), batch).await }
                    })
                    .fuse()
                    .boxed()
            }
        }
    }

    /// How the table's rows come about, where they are documents.
    fn documents_of(&self, table: TableId, on_missing: OnMissing) -> Option<Documents> {
        let definitions = self.inner.definitions.read();
        let def = definitions.timeline.table_states(table).last().map(|(_, def)| def).filter(|def| def.is_of_documents())?;
        Some(Documents { database: self.clone(), table: Arc::clone(def), on_missing })
    }

    /// Lets tables be defined over these collections; once.
    pub fn attach(&self, collections: Arc<dyn Collections>) {
        let _ = self.inner.collections.set(collections);
    }

    pub(super) fn collections(&self) -> Option<&Arc<dyn Collections>> {
        self.inner.collections.get()
    }

    pub(super) fn builds(&self) -> &Builds {
        &self.inner.builds
    }

    /// Whether some of its tables may be over collections of another program.
    pub fn has_collections(&self) -> bool {
        self.collections().is_some()
    }

    /// What is odd in the documents of a table, in order of keys; nothing for a table of our own.
    pub async fn anomalies(
        &self,
        table: TableId,
    ) -> Result<BoxStream<'static, Result<AnomalyBatch, HistoryError>>, HistoryError> {
        match self.collections() {
            Some(collections) => Ok(collections.anomalies(table).await?.map_err(HistoryError::from).boxed()),
            None => Ok(futures::stream::empty().boxed()),
        }
    }

    /// Learns what other servers of the same store have defined.
    pub(super) async fn learn(&self) -> Result<(), HistoryError> {
        self.inner.learn().await
    }

    /// The collections, unless they have been looked at just now.
    pub(super) fn collections_to_look_at(&self) -> Option<Arc<dyn Collections>> {
        let collections = self.inner.collections.get()?;
        let now = self.inner.clock.now_micros();
        let last = self.inner.looked.load(Ordering::Relaxed);
        let due = last == i64::MIN || now.saturating_sub(last) >= LOOK_AGAIN;
        let mine = due && self.inner.looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        mine.then(|| Arc::clone(collections))
    }

    pub(super) fn payloads(&self) -> &dyn PayloadStore {
        self.inner.payloads.as_ref()
    }

    /// The state of each item in a scope that picks at most one, in order.
    pub async fn get(
        &self,
        table: TableId,
        keys: &[ItemKey],
        scope: Scope,
        snapshot: Snapshot,
    ) -> Result<Vec<Option<StateRow>>, HistoryError> {
        self.get_with(table, keys, scope, snapshot, OnMissing::Error).await
    }

    /// The same, where `on_missing` says what becomes of documents that are missing or damaged.
    pub async fn get_with(
        &self,
        table: TableId,
        keys: &[ItemKey],
        scope: Scope,
        snapshot: Snapshot,
        on_missing: OnMissing,
    ) -> Result<Vec<Option<StateRow>>, HistoryError> {
        let found = self.inner.index.get(table, keys, scope, snapshot).await?;
        let is_inline = |version: &StoredVersion| matches!(version.payload, PayloadRef::Inline(_));
        if found.iter().flatten().all(is_inline) {
            return Ok(found.into_iter().map(|version| version.map(inline)).collect());
        }
        let asked: Vec<Option<ItemKey>> = found.iter().map(|version| version.as_ref().map(|v| v.key.clone())).collect();
        let found = found.into_iter().flatten().collect();
        let rows = match self.documents_of(table, on_missing) {
            None => resolve(Some(Arc::clone(&self.inner.payloads)), found).await?,
            Some(documents) => documents.rows(Some(self.inner.payloads.as_ref()), found).await?,
        };
        let mut rows = rows.into_iter().peekable();
        Ok(asked.into_iter().map(|key| rows.next_if(|row| key.as_ref() == Some(&row.key))).collect())
    }

    /// The live item that holds this key of a unique index at the newest commit.
    pub async fn unique_holder(&self, index: IndexId, key: &ItemKey) -> Result<Option<ItemKey>, HistoryError> {
        Ok(self.inner.index.unique_holder(index, key).await?)
    }

    /// Keys that part the table's items into at most so many shares of about the same size; none for a table that
    /// is not worth parting.
    pub async fn parts(&self, table: TableId, shares: usize) -> Result<Vec<ItemKey>, HistoryError> {
        Ok(self.inner.index.borders(table, shares).await?)
    }

    pub async fn live_count(&self, table: TableId, snapshot: Snapshot) -> Result<Option<u64>, HistoryError> {
        Ok(self.inner.index.live_count(table, snapshot).await?)
    }

    /// Commits with `from <= number <= to`, ascending.
    pub fn commits(&self, from: CommitNo, to: CommitNo) -> BoxStream<'static, Result<Vec<CommitInfo>, HistoryError>> {
        self.inner.index.commits(from, to).map_err(HistoryError::from).boxed()
    }

    /// These commits by number, in any order and with repeats; those not made are left out. Cached, so that
    /// joining versions to their commits batch by batch is cheap.
    pub async fn commit_infos(
        &self,
        commits: impl IntoIterator<Item = CommitNo>,
    ) -> Result<HashMap<CommitNo, Arc<CommitInfo>>, HistoryError> {
        self.inner.log.read(self.inner.index.as_ref(), commits).await
    }

    /// Who made each of these versions, and why, where they say so themselves; `None` where the commit log does.
    pub async fn told(&self, table: TableId, versions: &[VersionName]) -> Result<Option<Vec<Option<Context>>>, HistoryError> {
        Ok(self.inner.index.told(table, versions).await?)
    }

    /// The commit's stamp, or [`HistoryError::CommitNotReached`].
    pub async fn commit_stamp(&self, commit: CommitNo) -> Result<CommitStamp, HistoryError> {
        if commit == CommitNo::ZERO {
            return Ok(CommitStamp { commit, time: Timestamp::MIN });
        }
        self.inner.index.commit_stamp(commit).await?.ok_or(HistoryError::CommitNotReached(commit))
    }

    /// The newest commit with `time <= at`; `None` before the first.
    pub async fn commit_at(&self, at: Timestamp) -> Result<Option<CommitStamp>, HistoryError> {
        Ok(self.inner.index.commit_at(at).await?)
    }

    /// The next value of a sequence; never given twice, whatever becomes of the transaction.
    pub async fn next_value(&self, sequence: &SequenceDef) -> Result<i64, HistoryError> {
        let stored = self.inner.is_stored(Kind::Sequence, sequence.id);
        self.inner.sequences.next(self.inner.index.as_ref(), sequence, stored).await
    }

    /// The last value given, and true; or the one that will be given first, and false.
    pub async fn last_value(&self, sequence: &SequenceDef) -> Result<(i64, bool), HistoryError> {
        let stored = self.inner.is_stored(Kind::Sequence, sequence.id);
        self.inner.sequences.last(self.inner.index.as_ref(), sequence, stored).await
    }

    /// `setval`: the next value is `value` itself when `is_called` is false, else the one after it.
    pub async fn set_value(&self, sequence: &SequenceDef, value: i64, is_called: bool) -> Result<(), HistoryError> {
        let stored = self.inner.is_stored(Kind::Sequence, sequence.id);
        self.inner.sequences.set(self.inner.index.as_ref(), sequence, stored, value, is_called).await
    }

    /// `count` hidden row numbers of a table without primary key; returns the first.
    pub async fn row_numbers(&self, table: &TableDef, count: u64) -> Result<u64, HistoryError> {
        if table.is_temporary() {
            return Ok(self.inner.sequences.temporary_row_numbers(table, count));
        }
        self.inner.sequences.row_numbers(self.inner.index.as_ref(), table, count).await
    }

    /// Forgets the counters of temporary tables and sequences that are gone.
    pub fn forget_counters(&self, gone: impl IntoIterator<Item = u32>) {
        gone.into_iter().for_each(|id| self.inner.sequences.forget(id));
    }

    /// Finishes what was accepted and refuses what comes after.
    pub async fn close(&self) -> Result<(), HistoryError> {
        let _turn = self.inner.turn.lock().await;
        let given_back = self.inner.sequences.give_back(self.inner.index.as_ref()).await;
        self.inner.index.close().await?;
        given_back
    }
}

/// Payloads in place of references; without a payload store, empty.
async fn resolve(payloads: Option<Arc<dyn PayloadStore>>, batch: Vec<StoredVersion>) -> Result<RowBatch, HistoryError> {
    let Some(payloads) = payloads else {
        return Ok(batch.into_iter().map(|v| StateRow::new(v.key, v.version, Bytes::new())).collect());
    };
    if batch.iter().all(|version| matches!(version.payload, PayloadRef::Inline(_))) {
        return Ok(batch.into_iter().map(inline).collect());
    }
    let (places, refs): (Vec<_>, Vec<_>) = batch.into_iter().map(|v| ((v.key, v.version), v.payload)).unzip();
    let bytes = payloads.get(&refs).await?;
    let rows = places.into_iter().zip(bytes);
    Ok(rows.map(|((key, version), payload)| StateRow::new(key, version, payload)).collect())
}

impl Document {
    /// The name within its bucket.
    pub fn key(&self) -> &str {
        self.name.split_once('/').map_or(self.name.as_str(), |(_, key)| key)
    }

    /// SHA-256 in lower-case hexadecimal digits.
    pub fn checksum(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A table whose rows are documents.
#[derive(Debug)]
struct Documents {
    database: Database,
    table: Arc<TableDef>,
    on_missing: OnMissing,
}

/// What a read does where a payload is missing or damaged (`chronogate.on_missing_payload`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissing {
    /// 58030, naming it.
    #[default]
    Error,
    /// The row has nothing but its id and system columns.
    Null,
    /// There is no row.
    Skip,
}

impl OnMissing {
    /// The setting's value; anything else is the default.
    pub fn named(name: &str) -> Self {
        match name {
            "null" => Self::Null,
            "skip" => Self::Skip,
            _ => Self::Error,
        }
    }
}

impl Documents {
    /// The rows of these versions; without a payload store, empty ones. A value that its column does not hold makes
    /// the column wider and fails the read with [`HistoryError::Widened`].
    async fn rows(&self, payloads: Option<&dyn PayloadStore>, batch: Vec<StoredVersion>) -> Result<RowBatch, HistoryError> {
        let (places, refs): (Vec<_>, Vec<_>) = batch.into_iter().map(|v| ((v.key, v.version), v.payload)).unzip();
        let texts: Vec<Option<Bytes>> = match payloads {
            Some(payloads) => self.texts(payloads, &refs).await?,
            None => vec![Some(Bytes::new()); refs.len()],
        };
        let mut rows = Vec::with_capacity(refs.len());
        for (((key, version), place), text) in places.into_iter().zip(refs).zip(texts) {
            let payload = match (payloads, &text) {
                (Some(_), Some(text)) => self.row(&key, &place, text).await?,
                (Some(_), None) if self.on_missing == OnMissing::Skip => continue,
                (Some(_), None) => documents::without_document(&key),
                (None, _) => Bytes::new(),
            };
            let text = text.unwrap_or_default();
            let document = match place {
                PayloadRef::Object { name, size, sha256 } => Some(Document { text, name, size, sha256 }),
                PayloadRef::Inline(_) => None,
            };
            rows.push(StateRow { key, version, payload, document });
        }
        Ok(rows)
    }

    /// The documents of these references, `None` for one that is missing where that is no error.
    async fn texts(&self, payloads: &dyn PayloadStore, refs: &[PayloadRef]) -> Result<Vec<Option<Bytes>>, HistoryError> {
        match payloads.get(refs).await {
            Ok(texts) => return Ok(texts.into_iter().map(Some).collect()),
            Err(StoreError::Payload { .. }) if self.on_missing != OnMissing::Error => {}
            Err(error) => return Err(error.into()),
        }
        let mut texts = Vec::with_capacity(refs.len());
        for one in refs {
            match payloads.get(std::slice::from_ref(one)).await {
                Ok(text) => texts.push(text.into_iter().next()),
                Err(StoreError::Payload { .. }) => texts.push(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(texts)
    }

    async fn row(&self, key: &ItemKey, place: &PayloadRef, text: &Bytes) -> Result<Bytes, HistoryError> {
        match documents::row_of(&self.table, key, text) {
            Ok(payload) => Ok(payload),
            Err(Unfit::Malformed) => Err(HistoryError::Store(StoreError::Payload { name: place.name().to_owned() })),
            Err(Unfit::Surprise { field, shape }) => {
                self.database.widen(self.table.id, &field, shape).await?;
                Err(HistoryError::Widened { table: self.table.name.name.clone(), column: field })
            }
        }
    }
}

impl StateRow {
    fn new(key: ItemKey, version: Version, payload: Bytes) -> Self {
        Self { key, version, payload, document: None }
    }
}

fn inline(version: StoredVersion) -> StateRow {
    let payload = match version.payload {
        PayloadRef::Inline(bytes) => bytes,
        PayloadRef::Object { .. } => Bytes::new(),
    };
    StateRow::new(version.key, version.version, payload)
}

impl Inner {
    fn snapshot_under(&self, definitions: &Definitions) -> Snapshot {
        definitions.held.unwrap_or_else(|| {
            let CommitStamp { commit, time } = self.index.last_commit();
            Snapshot { commit, time }
        })
    }

    fn is_stored(&self, kind: Kind, id: u32) -> bool {
        self.definitions.read().timeline.is_stored(kind, id)
    }

    async fn commit_rows(&self, transaction: &Transaction) -> Result<CommitStamp, HistoryError> {
        let seen = self.catalog_known_to(transaction);
        let request = request::assemble(transaction, self.index.as_ref(), self.payloads.as_ref(), seen).await?;
        match self.index.commit(request).await {
            Ok(stamp) => {
                self.released_beyond(stamp).await;
                Ok(stamp)
            }
            Err(error) => {
                if matches!(error, StoreError::CatalogConflict) {
                    let _turn = self.turn.lock().await;
                    self.read_again(Hold::new(self)).await;
                }
                Err(request::explain(transaction, error))
            }
        }
    }

    /// Learns what another server of the same store has defined since definitions were read.
    async fn learn(&self) -> Result<(), HistoryError> {
        let rows = self.index.catalog().await?;
        let changed = rows.iter().map(|row| row.ended.map_or(row.begun.commit, |end| end.commit.max(row.begun.commit)));
        if changed.max().is_some_and(|newest| newest > self.definitions.read().timeline.current().commit) {
            let _turn = self.turn.lock().await;
            self.read_again(Hold::new(self)).await;
        }
        Ok(())
    }

    /// The newest catalogue commit under which the transaction's rows mean what they meant to it.
    fn catalog_known_to(&self, transaction: &Transaction) -> CommitNo {
        let current = Arc::clone(self.definitions.read().timeline.current());
        if current.commit == transaction.catalog_seen {
            return current.commit;
        }
        let unchanged = |id: &TableId| {
            transaction.catalog.table_by_id(*id) == current.table_by_id(*id)
                && transaction.catalog.references_to(*id) == current.references_to(*id)
        };
        if transaction.writes.keys().all(unchanged) { current.commit } else { transaction.catalog_seen }
    }

    /// Returns once nobody can be given a snapshot before this commit.
    async fn released_beyond(&self, stamp: CommitStamp) {
        loop {
            let released = self.released.notified();
            if self.definitions.read().held.is_none_or(|held| stamp.commit <= held.commit) {
                return;
            }
            released.await;
        }
    }

    async fn commit_definitions(self: Arc<Self>, transaction: Transaction) -> Result<CommitStamp, HistoryError> {
        let _turn = self.turn.lock().await;
        let seen = self.store_public_before_it_is_dropped(&transaction).await?;
        for sequence in transaction.catalog.sequences.values().filter(|s| !self.is_stored(Kind::Sequence, s.id)) {
            self.sequences.settle(self.index.as_ref(), sequence).await?;
        }
        let request = request::assemble(&transaction, self.index.as_ref(), self.payloads.as_ref(), seen).await?;
        let hold = Hold::new(&self);
        match self.index.commit(request).await {
            Ok(stamp) => {
                let catalog = Catalog::clone(&transaction.catalog);
                hold.release(|timeline| timeline.apply(stamp, &transaction.catalog_changes, catalog))?;
                Ok(stamp)
            }
            Err(error) => {
                // Definitions that nobody here knows of came from another server of the same store.
                if !is_certain(&error) || matches!(error, StoreError::CatalogConflict) {
                    self.read_again(hold).await;
                }
                Err(request::explain(&transaction, error))
            }
        }
    }

    /// `public` exists without a row; so that its end can be kept, it gets one first. Returns the catalogue
    /// commit that the transaction then counts as having seen.
    async fn store_public_before_it_is_dropped(&self, transaction: &Transaction) -> Result<CommitNo, HistoryError> {
        let is_public = |change: &CatalogChange| change.kind == Kind::Schema.name() && change.id == PUBLIC_ID;
        let drops = |change: &CatalogChange| is_public(change) && change.definition.is_none();
        if !transaction.catalog_changes.iter().any(drops) || self.is_stored(Kind::Schema, PUBLIC_ID) {
            return Ok(transaction.catalog_seen);
        }
        let mut catalog = definition::changes(&Catalog::default(), &transaction.base_catalog)?;
        catalog.retain(is_public);
        let changes = catalog.clone();
        let (context, catalog_seen) = (transaction.context.clone(), Some(transaction.catalog_seen));
        let hold = Hold::new(self);
        let stamp = self.index.commit(CommitRequest { context, catalog, catalog_seen, ..CommitRequest::default() }).await?;
        let before = Catalog::clone(&transaction.base_catalog);
        hold.release(|timeline| timeline.apply(stamp, &changes, before))?;
        Ok(stamp.commit)
    }

    /// After a failure that leaves open what was made: believes the store.
    async fn read_again(&self, hold: Hold<'_>) {
        let Ok(rows) = self.index.catalog().await else { return };
        let ids = self.definitions.read().timeline.current().ids.clone();
        match Timeline::read(rows, Some(ids)) {
            Ok(timeline) => hold.release(|current| *current = timeline),
            Err(cause) => tracing::error!(%cause, "definitions cannot be read again after a failed commit"),
        }
    }
}

/// Whether the store made nothing of the request, for sure.
fn is_certain(error: &StoreError) -> bool {
    match error {
        StoreError::Conflict { .. }
        | StoreError::KeyExists { .. }
        | StoreError::UniqueExists { .. }
        | StoreError::Locked { .. }
        | StoreError::Unfit(_)
        | StoreError::CatalogConflict
        | StoreError::BadPeriod { .. }
        | StoreError::Payload { .. }
        | StoreError::Full
        | StoreError::InUse
        | StoreError::Unreachable
        | StoreError::Unsupported(_)
        | StoreError::Closed => true,
        StoreError::Undecided | StoreError::Corrupt(_) | StoreError::Engine(_) => false,
    }
}

/// Keeps snapshots before the commit of definitions that is on its way; ends when dropped.
struct Hold<'a>(&'a Inner);

impl<'a> Hold<'a> {
    fn new(inner: &'a Inner) -> Self {
        let mut definitions = inner.definitions.write();
        definitions.held = Some(inner.snapshot_under(&definitions));
        drop(definitions);
        Self(inner)
    }

    /// Changes the definitions and lets snapshots go on, at once.
    fn release<T>(self, change: impl FnOnce(&mut Timeline) -> T) -> T {
        let mut definitions = self.0.definitions.write();
        let changed = change(&mut definitions.timeline);
        definitions.held = None;
        changed
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.definitions.write().held = None;
        self.0.released.notify_waiters();
    }
}

//! The contract of a version index: heads, versions, commits, catalogue rows, sequences.
//!
//! Everything is opaque bytes and numbers here: a key is an `ItemKey`, a payload a `PayloadRef`, a
//! catalogue row a JSON text. Meaning is given by `history`.

use std::fmt::Debug;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{PayloadRef, StoreError};
use crate::versions::{
    CommitInfo, CommitNo, CommitStamp, Context, IndexId, ItemKey, KeyFilter, Op, Scope, Snapshot, TableId, Timestamp, Version,
    VersionNo,
};

/// What a commit does to one item. At most one per item and commit.
#[derive(Clone, Debug)]
pub struct RowChange {
    pub table: TableId,
    pub key: ItemKey,
    /// What the writer believed the item to be; the commit fails when it is not so.
    pub check: HeadCheck,
    /// `Update` on an item without a live state, or `Create` on a live one, is refused by `check`.
    pub op: Op,
    /// The new state's payload; `None` exactly when `op.ends_item()`.
    pub payload: Option<PayloadRef>,
    /// Entries of the state that is replaced, removed from unique indexes.
    pub old_entries: Vec<IndexEntry>,
    /// Entries of the new state, added to their indexes.
    pub new_entries: Vec<IndexEntry>,
}

/// What must hold of an item's head for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadCheck {
    /// No live state: else [`StoreError::KeyExists`].
    Absent,
    /// The live state is this one: else [`StoreError::Conflict`].
    At(VersionNo),
}

/// One row's entry in one index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IndexEntry {
    pub index: IndexId,
    /// The indexed values, encoded as a key.
    pub key: ItemKey,
    /// Whether at most one live item may hold it. (An entry with a NULL in it is never unique.)
    pub unique: bool,
}

/// A change of the catalogue: `Some` sets the definition of `(kind, id)`, `None` drops it. History of
/// definitions is kept like that of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogChange {
    pub kind: String,
    pub id: u32,
    pub definition: Option<String>,
}

/// One state of one definition, current or past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogRow {
    pub kind: String,
    pub id: u32,
    pub definition: String,
    pub begun: CommitStamp,
    pub ended: Option<CommitStamp>,
}

/// Entries for states that exist already, made together with a new index.
#[derive(Clone, Debug)]
pub struct IndexBackfill {
    pub table: TableId,
    pub entries: Vec<(ItemKey, IndexEntry)>,
}

/// An atomic set of changes. Applied whole, durable before it is acknowledged, or not at all.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    pub context: Context,
    /// Names for the commit log, see [`CommitInfo::tables`].
    pub tables: Vec<String>,
    pub rows: Vec<RowChange>,
    /// Tables whose every live item ends with [`Op::Truncate`] before `rows` are applied; with the newest
    /// commit that may have changed them ([`StoreError::Conflict`] when a later one did).
    pub truncate: Vec<(TableId, CommitNo)>,
    pub catalog: Vec<CatalogChange>,
    pub backfill: Vec<IndexBackfill>,
    /// The newest catalogue commit the request was planned under; `None` skips the check.
    pub catalog_seen: Option<CommitNo>,
    /// The commit's time. `None` takes the store's clock; given (by loaders), it must be later than the
    /// last commit's. Either way the time used is `max(this, last + 1 µs)`.
    pub time: Option<Timestamp>,
}

/// One state with the period it is to have. States of one item must come in order of time.
#[derive(Clone, Debug)]
pub struct RowState {
    pub key: ItemKey,
    pub from: Timestamp,
    /// `None` is open.
    pub to: Option<Timestamp>,
    pub payload: PayloadRef,
    pub entries: Vec<IndexEntry>,
}

/// A history load: states that bring their own periods, in one commit. Refused as a whole with
/// [`StoreError::BadPeriod`] when a period is empty or reversed, when periods of one item overlap or run
/// backwards (among themselves or with what the item has), or when an open state is followed by another.
/// Where a state begins where the item's last one ended the op is UPDATE, after a gap or at first CREATE;
/// an end that no later state of the load continues is a DELETE.
pub struct LoadRequest {
    pub context: Context,
    pub table: TableId,
    pub table_name: String,
    /// Batches of states; an `Err` abandons the load. One item's states may be spread over batches.
    pub states: tokio::sync::mpsc::Receiver<Result<Vec<RowState>, StoreError>>,
}

/// A read of one table.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    pub table: TableId,
    pub snapshot: Snapshot,
    pub scope: Scope,
    pub keys: KeyFilter,
    /// Only items with an entry like this (a superset may be returned).
    pub candidates: Option<IndexCandidates>,
    /// Without payloads the versions' `payload` is empty and unusable.
    pub payloads: bool,
    /// Stop after this many versions.
    pub limit: Option<usize>,
}

/// Items that had, in any version, an entry of `index` whose key satisfies `keys`.
#[derive(Clone, Debug)]
pub struct IndexCandidates {
    pub index: IndexId,
    pub keys: KeyFilter,
}

/// One state as it is stored, its period as the request's snapshot sees it.
#[derive(Clone, Debug)]
pub struct StoredVersion {
    pub key: ItemKey,
    pub version: Version,
    pub payload: PayloadRef,
}

/// Some states, a bounded number of bytes of them.
pub type VersionBatch = Vec<StoredVersion>;

/// Heads, versions, commits, catalogue and sequences of one database.
///
/// Reads never wait for the writer, nor it for them. A read under a snapshot gives the same rows whenever
/// it is repeated. Commit times and numbers increase strictly.
#[async_trait]
pub trait IndexStore: Send + Sync + Debug {
    /// The newest acknowledged commit; `CommitNo(0)` at `Timestamp::MIN` when there is none.
    fn last_commit(&self) -> CommitStamp;

    /// Makes one commit. Requests of many callers may travel in one group; each fails or succeeds alone.
    /// A request with nothing in it makes no commit and returns the last one.
    async fn commit(&self, request: CommitRequest) -> Result<CommitStamp, StoreError>;

    /// Makes one commit of states with their periods; returns it and the number of states.
    async fn load(&self, request: LoadRequest) -> Result<(CommitStamp, u64), StoreError>;

    /// The state each of these items has in `scope` (one that picks at most one per item: `Current`,
    /// `AsOf`, `AsOfCommit`), in order; answers without leaving the calling thread where the store can.
    async fn get(
        &self,
        table: TableId,
        keys: &[ItemKey],
        scope: Scope,
        snapshot: Snapshot,
    ) -> Result<Vec<Option<StoredVersion>>, StoreError>;

    /// States of one table, ordered by (key, from). Batches hold a bounded number of bytes; dropping the
    /// stream ends the read.
    fn scan(&self, request: ScanRequest) -> BoxStream<'static, Result<VersionBatch, StoreError>>;

    /// The live item that holds this key of a unique index at the newest commit.
    async fn unique_holder(&self, index: IndexId, key: &ItemKey) -> Result<Option<ItemKey>, StoreError>;

    /// How many live items the table has under this snapshot, when the store knows it without reading them.
    async fn live_count(&self, table: TableId, snapshot: Snapshot) -> Result<Option<u64>, StoreError>;

    /// The newest commit that changed this table, at most the newest acknowledged one; zero when none has.
    async fn last_change(&self, table: TableId) -> Result<CommitNo, StoreError>;

    /// Commits with `from <= number <= to`, ascending.
    fn commits(&self, from: CommitNo, to: CommitNo) -> BoxStream<'static, Result<Vec<CommitInfo>, StoreError>>;

    /// The newest commit with `time <= at`; `None` before the first.
    async fn commit_at(&self, at: Timestamp) -> Result<Option<CommitStamp>, StoreError>;

    /// This commit's stamp; `None` when it has not been made.
    async fn commit_stamp(&self, commit: CommitNo) -> Result<Option<CommitStamp>, StoreError>;

    /// Every state of every definition, ascending by begin.
    async fn catalog(&self) -> Result<Vec<CatalogRow>, StoreError>;

    /// Sets aside `count` numbers of a counter that starts at 0 and returns the first. Durable before it
    /// returns, outside every commit: numbers are never given twice, and may be lost.
    async fn reserve(&self, counter: u32, count: u64) -> Result<u64, StoreError>;

    /// The counter's next number, without taking it; and setting it.
    async fn counter(&self, counter: u32) -> Result<u64, StoreError>;
    async fn set_counter(&self, counter: u32, next: u64) -> Result<(), StoreError>;

    /// Finishes what was accepted, writes everything out and refuses what comes after.
    async fn close(&self) -> Result<(), StoreError>;
}

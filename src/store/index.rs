//! The contract of a version index: heads, versions, commits, catalogue rows, sequences.
//!
//! Everything is opaque bytes and numbers here: a key is an `ItemKey`, a payload a `PayloadRef`, a
//! catalogue row a JSON text. Meaning is given by `history`.

use std::fmt::Debug;

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{PayloadRef, StoreError};
use crate::versions::{
    self, CommitInfo, CommitNo, CommitStamp, Context, IndexId, ItemKey, Scope, Snapshot, TableId, Timestamp, VersionNo,
};

pub use crate::versions::{
    Candidates, CatalogChange, CatalogRow, HeadCheck, IndexBackfill, IndexCandidates, IndexEntry, Requirement, ScanRequest,
};

/// See [`versions::RowChange`].
pub type RowChange = versions::RowChange<PayloadRef>;

/// See [`versions::CommitRequest`].
pub type CommitRequest = versions::CommitRequest<PayloadRef>;

/// See [`versions::RowState`].
pub type RowState = versions::RowState<PayloadRef>;

/// One state as it is stored, its period as the request's snapshot sees it.
pub type StoredVersion = versions::StoredVersion<PayloadRef>;

/// A history load: states that bring their own periods, in one commit; the rules are those of
/// [`versions::RowState`]. A load without states makes no commit.
pub struct LoadRequest {
    pub context: Context,
    pub table: TableId,
    pub table_name: String,
    /// Batches of states until the sender is dropped; an `Err` abandons the load. One item's states may be
    /// spread over batches. Other commits may have to wait for a load: who feeds one must not pause.
    pub states: tokio::sync::mpsc::Receiver<Result<Vec<RowState>, StoreError>>,
}

/// One version of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionName {
    pub key: ItemKey,
    pub number: VersionNo,
    /// See [`versions::Version::collection`]; picks among several of one number.
    pub collection: Option<u64>,
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

    /// Up to `shares - 1` keys, ascending and without repeats, between which the table has about equally many live
    /// items; none for a table too small to gain by it. Only a help for reading: any keys are right.
    async fn borders(&self, table: TableId, shares: usize) -> Result<Vec<ItemKey>, StoreError>;

    /// The newest commit that changed this table, at most the newest acknowledged one; zero when none has.
    async fn last_change(&self, table: TableId) -> Result<CommitNo, StoreError>;

    /// Commits with `from <= number <= to`, ascending.
    fn commits(&self, from: CommitNo, to: CommitNo) -> BoxStream<'static, Result<Vec<CommitInfo>, StoreError>>;

    /// Who made each of these versions, and why, where versions say so themselves; `None` where the commit log does.
    async fn told(&self, table: TableId, versions: &[VersionName]) -> Result<Option<Vec<Option<Context>>>, StoreError> {
        let _ = (table, versions);
        Ok(None)
    }

    /// The newest commit with `time <= at`; `None` before the first.
    async fn commit_at(&self, at: Timestamp) -> Result<Option<CommitStamp>, StoreError>;

    /// This commit's stamp; `None` when it has not been made.
    async fn commit_stamp(&self, commit: CommitNo) -> Result<Option<CommitStamp>, StoreError>;

    /// Every state of every definition, ascending by begin.
    async fn catalog(&self) -> Result<Vec<CatalogRow>, StoreError>;

    /// Sets aside `count` numbers of a counter that starts at 0 and returns the first. Durable before it
    /// returns, outside every commit: numbers are never given twice, and may be lost.
    async fn reserve(&self, counter: u32, count: u64) -> Result<u64, StoreError>;

    /// The counter's next number, without taking it; and setting it, to any number there is.
    async fn counter(&self, counter: u32) -> Result<u64, StoreError>;
    async fn set_counter(&self, counter: u32, next: u64) -> Result<(), StoreError>;

    /// Finishes what was accepted, writes everything out and refuses what comes after.
    async fn close(&self) -> Result<(), StoreError>;
}

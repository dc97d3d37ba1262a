//! What one transaction has seen and done: its snapshot, its own writes and its own definitions.
//!
//! Nothing here reaches a store before `Database::commit`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Catalog;
use crate::store::{CatalogChange, IndexBackfill, IndexEntry};
use crate::versions::{CommitNo, Context, ItemKey, Snapshot, TableId, Timestamp, VersionNo};

/// An item as this transaction has left it.
#[derive(Clone, Debug)]
pub struct PendingRow {
    /// The item's live state at the snapshot, which the commit is checked against.
    pub base: Option<VersionNo>,
    /// Index entries of that state.
    pub base_entries: Vec<IndexEntry>,
    /// The new state and its index entries; `None` is deleted.
    pub state: Option<(Bytes, Vec<IndexEntry>)>,
}

/// What this transaction has done to one table.
#[derive(Clone, Debug, Default)]
pub struct TableWrites {
    /// Every item of the snapshot has ended; only `rows` with a state are alive.
    pub truncated: bool,
    pub rows: BTreeMap<ItemKey, PendingRow>,
}

/// One transaction, explicit or of a single statement. Dropped without a commit, it never was.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub snapshot: Snapshot,
    /// Definitions as this transaction sees them, its own DDL included.
    pub catalog: Arc<Catalog>,
    /// The catalogue commit that `catalog` began from.
    pub catalog_seen: CommitNo,
    pub catalog_changes: Vec<CatalogChange>,
    pub backfill: Vec<IndexBackfill>,
    pub writes: BTreeMap<TableId, Arc<TableWrites>>,
    pub context: Context,
    /// A time the commit is to have, for loaders of old data.
    pub time: Option<Timestamp>,
}

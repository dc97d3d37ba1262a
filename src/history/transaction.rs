//! What one transaction has seen and done: its snapshot, its own writes and its own definitions.
//!
//! Nothing here reaches a store before `Database::commit`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::savepoint::Undo;
use super::{Catalog, ForeignKeyDef, HistoryError, Reads, UniqueDef, definition};
use crate::store::{CatalogChange, IndexBackfill, IndexEntry};
use crate::versions::{CommitNo, Context, IndexId, ItemKey, Snapshot, TableId, Timestamp, VersionNo};

/// An item as this transaction has left it.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingRow {
    /// The item's live state at the snapshot, which the commit is checked against.
    pub base: Option<VersionNo>,
    /// Index entries of that state.
    pub base_entries: Vec<IndexEntry>,
    /// The new state and its index entries; `None` is deleted.
    pub state: Option<(Bytes, Vec<IndexEntry>)>,
    /// Whether the item has ended in between, so that nothing of the state at the snapshot goes on.
    pub anew: bool,
}

/// What this transaction has done to one table.
#[derive(Clone, Debug, Default)]
pub struct TableWrites {
    /// Every item of the snapshot has ended; only `rows` with a state are alive.
    pub truncated: bool,
    pub rows: BTreeMap<ItemKey, PendingRow>,
    /// Whose new state has which entry of a unique index.
    holders: HashMap<(IndexId, ItemKey), ItemKey>,
}

/// An item's live state at the snapshot, as a write found it.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    pub version: VersionNo,
    /// The index entries of that state.
    pub entries: Vec<IndexEntry>,
}

/// What SET CONSTRAINTS said in this transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// ALL: whether constraints are deferred. What was said of single ones since goes before it.
    all: Option<bool>,
    each: BTreeMap<IndexId, bool>,
}

impl Timing {
    pub fn set_all(&mut self, deferred: bool) {
        *self = Self { all: Some(deferred), each: BTreeMap::new() };
    }

    pub fn set(&mut self, constraint: IndexId, deferred: bool) {
        self.each.insert(constraint, deferred);
    }

    /// Whether the foreign key waits for the end of the transaction.
    pub fn defers(&self, key: &ForeignKeyDef) -> bool {
        self.of(key.id, key.deferrable, key.deferred)
    }

    /// The same of a unique constraint.
    pub fn defers_unique(&self, unique: &UniqueDef) -> bool {
        self.of(unique.id, unique.deferrable, unique.deferred)
    }

    fn of(&self, constraint: IndexId, deferrable: bool, initially: bool) -> bool {
        deferrable && self.each.get(&constraint).copied().or(self.all).unwrap_or(initially)
    }
}

/// One transaction, explicit or of a single statement. Dropped without a commit, it never was.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub snapshot: Snapshot,
    /// Definitions as this transaction sees them, its own DDL included.
    pub catalog: Arc<Catalog>,
    /// The catalogue commit that `catalog` began from.
    pub catalog_seen: CommitNo,
    /// What leads from the definitions at the snapshot to `catalog`, at most one change per definition.
    pub catalog_changes: Vec<CatalogChange>,
    pub backfill: Vec<IndexBackfill>,
    pub writes: BTreeMap<TableId, Arc<TableWrites>>,
    pub context: Context,
    /// A time the commit is to have, for loaders of old data.
    pub time: Option<Timestamp>,
    /// When deferrable constraints are checked.
    pub timing: Timing,
    /// What it has read, where that is remembered.
    pub reads: Option<Reads>,
    /// Definitions at the snapshot.
    pub(super) base_catalog: Arc<Catalog>,
    /// The same without temporary ones, where the transaction began with some.
    pub(super) permanent: Option<Arc<Catalog>>,
    pub(super) undo: Undo,
}

impl Transaction {
    pub(super) fn new(snapshot: Snapshot, catalog: Arc<Catalog>, context: Context) -> Self {
        Self {
            snapshot,
            catalog_seen: catalog.commit,
            base_catalog: Arc::clone(&catalog),
            permanent: None,
            catalog,
            catalog_changes: Vec::new(),
            backfill: Vec::new(),
            writes: BTreeMap::new(),
            context,
            time: None,
            timing: Timing::default(),
            reads: None,
            undo: Undo::default(),
        }
    }

    /// A transaction on the same snapshot that has done nothing and has no temporary relations.
    pub fn reader(&self) -> Self {
        let definitions = self.permanent.as_ref().unwrap_or(&self.base_catalog);
        Self::new(self.snapshot, Arc::clone(definitions), Context::default())
    }

    /// Gives the item a new state. `base` is its live state at the snapshot, `None` when it has none; it
    /// counts only at the transaction's first change of the item. Whether the item may be created or
    /// replaced is for the caller to know.
    pub fn write(&mut self, table: TableId, key: ItemKey, base: Option<Base>, payload: Bytes, entries: Vec<IndexEntry>) {
        let writes = Arc::make_mut(self.writes.entry(table).or_default());
        self.undo.row(table, &key, writes.rows.get(&key));
        let base = base.filter(|_| !writes.truncated);
        writes.let_go(&key);
        writes.hold(&key, &entries);
        match writes.rows.entry(key) {
            Entry::Occupied(mut pending) => {
                let pending = pending.get_mut();
                pending.anew |= pending.state.is_none();
                pending.state = Some((payload, entries));
            }
            Entry::Vacant(place) => {
                let (base, base_entries) = base.map_or((None, Vec::new()), |base| (Some(base.version), base.entries));
                place.insert(PendingRow { base, base_entries, state: Some((payload, entries)), anew: false });
            }
        }
    }

    /// Ends the item. An item that only this transaction knows is as if it had never been.
    pub fn delete(&mut self, table: TableId, key: ItemKey, base: Option<Base>) {
        let writes = Arc::make_mut(self.writes.entry(table).or_default());
        self.undo.row(table, &key, writes.rows.get(&key));
        writes.let_go(&key);
        match writes.rows.entry(key) {
            Entry::Occupied(pending) if pending.get().base.is_none() => drop(pending.remove()),
            Entry::Occupied(mut pending) => pending.get_mut().state = None,
            Entry::Vacant(place) => {
                if let Some(base) = base.filter(|_| !writes.truncated) {
                    place.insert(PendingRow { base: Some(base.version), base_entries: base.entries, state: None, anew: false });
                }
            }
        }
    }

    /// Ends every item of the table, those of this transaction included.
    pub fn truncate(&mut self, table: TableId) {
        self.undo.table(table, self.writes.get(&table));
        self.writes.insert(table, Arc::new(TableWrites { truncated: true, ..TableWrites::default() }));
    }

    /// Changes the rows written to one table all at once; nothing where there are none.
    pub fn rewrite<E>(&mut self, table: TableId, change: impl FnOnce(&mut TableWrites) -> Result<(), E>) -> Result<(), E> {
        let before = self.writes.get(&table).cloned();
        let Some(before) = before else { return Ok(()) };
        self.undo.table(table, Some(&before));
        let mut writes = TableWrites::clone(&before);
        change(&mut writes)?;
        self.writes.insert(table, Arc::new(writes));
        Ok(())
    }

    /// Makes these the transaction's definitions. They must have been made from `self.catalog`.
    pub fn apply_catalog(&mut self, catalog: Catalog) -> Result<(), HistoryError> {
        self.catalog_changes = definition::changes(&self.base_catalog, &catalog)?;
        self.catalog = Arc::new(catalog);
        Ok(())
    }

    /// What the transaction has done to this table, to lay over what is read of it; `None` for nothing.
    pub fn overlay(&self, table: TableId) -> Option<Arc<TableWrites>> {
        self.writes.get(&table).filter(|writes| !writes.is_empty()).cloned()
    }

    /// Whether the store has this index's entries: those of one that the transaction made come with its commit.
    pub fn has_filled(&self, table: TableId, index: IndexId) -> bool {
        self.base_catalog.table_by_id(table).is_some_and(|def| def.has_index_id(index))
            || !self.catalog_changes.iter().any(|change| TableId(change.id) == table)
    }

    /// Whether it has written to a table that a deferred foreign key is about.
    pub fn has_deferred(&self) -> bool {
        self.writes.keys().any(|id| {
            let own = self.catalog.table_by_id(*id).is_some_and(|def| def.foreign_keys.iter().any(|key| self.timing.defers(key)));
            own || (self.catalog.is_referenced(*id)
                && self.catalog.references_to(*id).iter().any(|(_, key)| self.timing.defers(key)))
        })
    }

    /// Whether there is nothing to commit to the database.
    pub fn is_empty(&self) -> bool {
        let nothing = |(id, writes): (&TableId, &Arc<TableWrites>)| writes.is_empty() || self.is_temporary(*id);
        self.catalog_changes.is_empty() && self.backfill.is_empty() && self.writes.iter().all(nothing)
    }
}

impl TableWrites {
    pub fn is_empty(&self) -> bool {
        !self.truncated && self.rows.is_empty()
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        /// Nodes, pointers and lengths around the bytes themselves.
        const AROUND: usize = 160;
        let entry = |entry: &IndexEntry| entry.key.as_bytes().len() + AROUND / 2;
        let of_row = |(key, row): (&ItemKey, &PendingRow)| {
            let state = row.state.as_ref().map_or(0, |(payload, new)| payload.len() + new.iter().map(entry).sum::<usize>());
            AROUND + key.as_bytes().len() + state
        };
        self.rows.iter().map(of_row).sum()
    }

    /// The item whose new state has this entry of a unique index.
    pub fn holder(&self, index: IndexId, key: &ItemKey) -> Option<&ItemKey> {
        self.holders.get(&(index, key.clone()))
    }

    /// Gives every new state the entries that `of` makes of its payload, beside those it has.
    pub fn add_entries<E>(&mut self, mut of: impl FnMut(&[u8]) -> Result<Vec<IndexEntry>, E>) -> Result<(), E> {
        let mut added = Vec::new();
        for (item, row) in &mut self.rows {
            if let Some((payload, entries)) = &mut row.state {
                let new = of(payload)?;
                entries.extend_from_slice(&new);
                added.push((item.clone(), new));
            }
        }
        added.iter().for_each(|(item, entries)| self.hold(item, entries));
        Ok(())
    }

    /// Leaves the item's row as it was.
    pub(super) fn put_back(&mut self, item: ItemKey, before: Option<PendingRow>) {
        self.let_go(&item);
        let Some(row) = before else {
            self.rows.remove(&item);
            return;
        };
        if let Some((_, entries)) = &row.state {
            self.hold(&item, entries);
        }
        self.rows.insert(item, row);
    }

    fn hold(&mut self, item: &ItemKey, entries: &[IndexEntry]) {
        for entry in entries.iter().filter(|entry| entry.unique) {
            self.holders.insert((entry.index, entry.key.clone()), item.clone());
        }
    }

    fn let_go(&mut self, item: &ItemKey) {
        let Some((_, entries)) = self.rows.get(item).and_then(|row| row.state.as_ref()) else { return };
        for entry in entries.iter().filter(|entry| entry.unique) {
            let held = (entry.index, entry.key.clone());
            // Another item may have taken it over meanwhile.
            if self.holders.get(&held) == Some(item) {
                self.holders.remove(&held);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::{KeyPart, encode_key};

    const TABLE: TableId = TableId(20000);

    fn key(n: i64) -> ItemKey {
        encode_key([KeyPart::Int(n)])
    }

    fn entry(n: i64) -> IndexEntry {
        IndexEntry { index: IndexId(20001), key: key(n), unique: true }
    }

    fn base(version: u64) -> Option<Base> {
        Some(Base { version: VersionNo(version), entries: vec![entry(1)] })
    }

    fn transaction() -> Transaction {
        let snapshot = Snapshot { commit: CommitNo(7), time: Timestamp::from_micros(7) };
        Transaction::new(snapshot, Arc::new(Catalog::default()), Context::default())
    }

    fn write(tx: &mut Transaction, base: Option<Base>, payload: &'static str) {
        tx.write(TABLE, key(1), base, Bytes::from_static(payload.as_bytes()), vec![entry(2)]);
    }

    /// The one row the transaction has left: base version, base entries, payload.
    fn left(tx: &Transaction) -> Option<(Option<u64>, usize, Option<String>)> {
        let row = tx.overlay(TABLE)?.rows.get(&key(1)).cloned()?;
        let payload = row.state.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned());
        Some((row.base.map(|v| v.0), row.base_entries.len(), payload))
    }

    #[test]
    fn insert_then_delete_is_nothing() {
        let mut tx = transaction();
        write(&mut tx, None, "{}");
        assert!(!tx.is_empty());
        tx.delete(TABLE, key(1), None);
        assert!(tx.is_empty());
        assert!(tx.overlay(TABLE).is_none());
    }

    #[test]
    fn delete_then_insert_replaces_the_state_at_the_snapshot() {
        let mut tx = transaction();
        tx.delete(TABLE, key(1), base(4));
        assert_eq!(left(&tx), Some((Some(4), 1, None)));
        write(&mut tx, None, "new");
        assert_eq!(left(&tx), Some((Some(4), 1, Some("new".to_owned()))));
        write(&mut tx, base(4), "newer");
        assert!(
            tx.overlay(TABLE).is_some_and(|writes| writes.rows[&key(1)].anew),
            "an update of it is no update of the state before"
        );
    }

    #[test]
    fn update_then_delete_ends_the_state_at_the_snapshot() {
        let mut tx = transaction();
        write(&mut tx, base(4), "new");
        tx.delete(TABLE, key(1), base(5));
        assert_eq!(left(&tx), Some((Some(4), 1, None)));
    }

    #[test]
    fn insert_delete_insert_is_an_insert() {
        let mut tx = transaction();
        write(&mut tx, None, "a");
        tx.delete(TABLE, key(1), None);
        write(&mut tx, None, "b");
        assert_eq!(left(&tx), Some((None, 0, Some("b".to_owned()))));
    }

    #[test]
    fn the_last_of_many_updates_stays_over_the_first_base() {
        let mut tx = transaction();
        write(&mut tx, base(4), "a");
        write(&mut tx, base(9), "b");
        assert_eq!(left(&tx), Some((Some(4), 1, Some("b".to_owned()))));
    }

    #[test]
    fn deleting_what_is_not_there_is_nothing() {
        let mut tx = transaction();
        tx.delete(TABLE, key(1), None);
        assert!(tx.is_empty());
    }

    #[test]
    fn after_truncate_only_new_rows_are_alive() {
        let mut tx = transaction();
        write(&mut tx, base(4), "old");
        tx.truncate(TABLE);
        assert_eq!(left(&tx), None);
        tx.delete(TABLE, key(1), base(4));
        assert_eq!(left(&tx), None);
        write(&mut tx, base(4), "new");
        assert_eq!(left(&tx), Some((None, 0, Some("new".to_owned()))));
        assert!(tx.overlay(TABLE).is_some_and(|writes| writes.truncated));
    }

    #[test]
    fn a_unique_entry_is_held_by_the_item_that_has_it_now() {
        let mut tx = transaction();
        let holder =
            |tx: &Transaction, n| tx.overlay(TABLE).and_then(|writes| writes.holder(IndexId(20001), &entry(n).key).cloned());
        let row = |tx: &mut Transaction, item, n| tx.write(TABLE, key(item), None, Bytes::from_static(b"{}"), vec![entry(n)]);
        row(&mut tx, 1, 7);
        row(&mut tx, 2, 8);
        assert_eq!((holder(&tx, 7), holder(&tx, 8)), (Some(key(1)), Some(key(2))));
        // They swap: the second is given what the first has before that is given something else.
        row(&mut tx, 2, 7);
        row(&mut tx, 1, 8);
        assert_eq!((holder(&tx, 7), holder(&tx, 8)), (Some(key(2)), Some(key(1))));
        tx.delete(TABLE, key(2), None);
        assert_eq!((holder(&tx, 7), holder(&tx, 8)), (None, Some(key(1))));
        tx.truncate(TABLE);
        assert_eq!(holder(&tx, 8), None);
    }

    #[test]
    fn writes_do_not_reach_an_overlay_that_was_handed_out() {
        let mut tx = transaction();
        write(&mut tx, None, "a");
        let seen = tx.overlay(TABLE).unwrap();
        tx.delete(TABLE, key(1), None);
        assert_eq!(seen.rows.len(), 1);
    }
}

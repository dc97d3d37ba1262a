//! Places in a transaction that it can go back to: its writes and definitions as they were.
//!
//! Keeps what each write replaced, not copies of everything written: a savepoint costs nothing, and each change
//! after it costs one row. Knows no names; who names savepoints keeps the order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Catalog;
use super::transaction::{PendingRow, TableWrites, Timing, Transaction};
use crate::store::{CatalogChange, IndexBackfill};
use crate::versions::{ItemKey, TableId, VersionNo};

/// A place in one transaction. Going back to one ends those made after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Savepoint(usize);

/// What going back needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Undo {
    marks: Vec<Mark>,
    log: Vec<Replaced>,
}

#[derive(Clone, Debug)]
struct Mark {
    /// How long the log was.
    log: usize,
    catalog: Arc<Catalog>,
    catalog_changes: Vec<CatalogChange>,
    backfill: Vec<IndexBackfill>,
    timing: Timing,
}

#[derive(Clone, Debug)]
enum Replaced {
    Row { table: TableId, key: ItemKey, before: Option<PendingRow> },
    Table { table: TableId, before: Option<Arc<TableWrites>> },
}

impl Undo {
    /// To be told before a row changes.
    pub fn row(&mut self, table: TableId, key: &ItemKey, before: Option<&PendingRow>) {
        if !self.marks.is_empty() {
            self.log.push(Replaced::Row { table, key: key.clone(), before: before.cloned() });
        }
    }

    /// To be told before a table's writes change as a whole.
    pub fn table(&mut self, table: TableId, before: Option<&Arc<TableWrites>>) {
        if !self.marks.is_empty() {
            self.log.push(Replaced::Table { table, before: before.cloned() });
        }
    }
}

impl Transaction {
    /// Remembers this place.
    pub fn savepoint(&mut self) -> Savepoint {
        self.undo.marks.push(Mark {
            log: self.undo.log.len(),
            catalog: Arc::clone(&self.catalog),
            catalog_changes: self.catalog_changes.clone(),
            backfill: self.backfill.clone(),
            timing: self.timing.clone(),
        });
        Savepoint(self.undo.marks.len() - 1)
    }

    /// Undoes what was written and defined since `place`, which stays; later ones are gone. Nothing for a place
    /// that is gone itself.
    pub fn roll_back_to(&mut self, place: Savepoint) {
        let Some(mark) = self.undo.marks.get(place.0).cloned() else { return };
        self.undo.marks.truncate(place.0 + 1);
        let later = self.undo.log.split_off(mark.log.min(self.undo.log.len()));
        for replaced in later.into_iter().rev() {
            self.put_back(replaced);
        }
        self.catalog = mark.catalog;
        self.catalog_changes = mark.catalog_changes;
        self.backfill = mark.backfill;
        self.timing = mark.timing;
    }

    /// Forgets this place and later ones; what was done since stays done.
    pub fn release(&mut self, place: Savepoint) {
        self.undo.marks.truncate(place.0);
        if self.undo.marks.is_empty() {
            self.undo.log.clear();
        }
    }

    /// Stored items that were changed since the place, each with the version it had at the snapshot; `None` where they
    /// are more than `most`, or a table was emptied.
    pub fn changed_since(&self, place: Savepoint, most: usize) -> Option<Vec<(TableId, ItemKey, VersionNo)>> {
        let mark = self.undo.marks.get(place.0)?;
        let log = self.undo.log.get(mark.log..)?;
        if log.len() > most {
            return None;
        }
        let mut changed = BTreeMap::new();
        for replaced in log {
            let Replaced::Row { table, key, .. } = replaced else { return None };
            let row = self.writes.get(table).and_then(|writes| writes.rows.get(key));
            if let Some(base) = row.and_then(|row| row.base).filter(|_| !self.is_temporary(*table)) {
                changed.insert((*table, key.clone()), base);
            }
        }
        Some(changed.into_iter().map(|((table, key), base)| (table, key, base)).collect())
    }

    fn put_back(&mut self, replaced: Replaced) {
        match replaced {
            Replaced::Table { table, before: Some(writes) } => drop(self.writes.insert(table, writes)),
            Replaced::Table { table, before: None } => drop(self.writes.remove(&table)),
            Replaced::Row { table, key, before } => {
                Arc::make_mut(self.writes.entry(table).or_default()).put_back(key, before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::history::transaction::Base;
    use crate::versions::{CommitNo, Context, KeyPart, Snapshot, Timestamp, VersionNo, encode_key};

    const TABLE: TableId = TableId(20000);

    fn transaction() -> Transaction {
        let snapshot = Snapshot { commit: CommitNo(7), time: Timestamp::from_micros(7) };
        Transaction::new(snapshot, Arc::new(Catalog::default()), Context::default())
    }

    fn key(n: i64) -> ItemKey {
        encode_key([KeyPart::Int(n)])
    }

    fn write(tx: &mut Transaction, n: i64, payload: &str) {
        tx.write(TABLE, key(n), None, Bytes::copy_from_slice(payload.as_bytes()), Vec::new());
    }

    /// Payloads of what the transaction would write, `-` for an end.
    fn left(tx: &Transaction) -> Vec<String> {
        let rows = tx.overlay(TABLE).map(|writes| writes.rows.clone()).unwrap_or_default();
        let text = |row: &PendingRow| match &row.state {
            Some((payload, _)) => String::from_utf8_lossy(payload).into_owned(),
            None => "-".to_owned(),
        };
        rows.values().map(text).collect()
    }

    #[test]
    fn going_back_undoes_writes_ends_and_truncation() {
        let mut tx = transaction();
        write(&mut tx, 1, "a");
        let place = tx.savepoint();
        write(&mut tx, 1, "b");
        write(&mut tx, 2, "c");
        tx.delete(TABLE, key(3), Some(Base { version: VersionNo(4), entries: Vec::new() }));
        tx.truncate(TABLE);
        write(&mut tx, 5, "e");
        assert_eq!(left(&tx), ["e"]);
        tx.roll_back_to(place);
        assert_eq!(left(&tx), ["a"]);
        assert!(!tx.overlay(TABLE).unwrap().truncated);
        write(&mut tx, 2, "d");
        tx.roll_back_to(place);
        assert_eq!(left(&tx), ["a"], "a place can be gone back to many times");
    }

    #[test]
    fn a_released_place_leaves_what_was_done_to_the_one_around_it() {
        let mut tx = transaction();
        let outer = tx.savepoint();
        write(&mut tx, 1, "a");
        let inner = tx.savepoint();
        write(&mut tx, 1, "b");
        tx.release(inner);
        assert_eq!(left(&tx), ["b"]);
        tx.roll_back_to(inner);
        assert_eq!(left(&tx), ["b"], "a released place is gone");
        tx.roll_back_to(outer);
        assert_eq!(left(&tx), Vec::<String>::new());
        assert!(tx.is_empty());
    }

    /// Random writes under random savepoints, against a model that copies everything.
    #[test]
    fn it_agrees_with_copies_of_everything() {
        for seed in 0..200_u64 {
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut next = |bound: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % bound
            };
            let mut tx = transaction();
            let mut model: BTreeMap<TableId, Arc<TableWrites>> = BTreeMap::new();
            let mut places: Vec<(Savepoint, BTreeMap<TableId, Arc<TableWrites>>)> = Vec::new();
            for step in 0..40 {
                match next(8) {
                    0 => places.push((tx.savepoint(), model.clone())),
                    1 if !places.is_empty() => {
                        let at = next(places.len() as u64) as usize;
                        tx.roll_back_to(places[at].0);
                        model = places[at].1.clone();
                        places.truncate(at + 1);
                    }
                    2 if !places.is_empty() => {
                        let at = next(places.len() as u64) as usize;
                        tx.release(places[at].0);
                        places.truncate(at);
                    }
                    3 => {
                        tx.delete(TABLE, key(next(5) as i64), Some(Base { version: VersionNo(1), entries: Vec::new() }));
                        model.clone_from(&tx.writes);
                    }
                    4 if next(4) == 0 => {
                        tx.truncate(TABLE);
                        model.clone_from(&tx.writes);
                    }
                    _ => {
                        write(&mut tx, next(5) as i64, &format!("{step}"));
                        model.clone_from(&tx.writes);
                    }
                }
                let rows =
                    |writes: &BTreeMap<TableId, Arc<TableWrites>>| writes.get(&TABLE).map(|w| w.rows.clone()).unwrap_or_default();
                assert_eq!(rows(&tx.writes), rows(&model), "seed {seed}, step {step}");
            }
        }
    }
}

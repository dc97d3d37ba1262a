//! Commit requests of one group applied in memory, in order, over what a transaction has read: each succeeds with a
//! stamp or is refused alone. What the group as a whole changes is left to be written.
//!
//! Pure: reads nothing and writes nothing. What only the server can tell (definitions, whole tables, who claims an
//! entry) has been checked before a request comes here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::ids::Ids;
use super::row::{self, Head, NewVersion};
use crate::store::{CommitRequest, HeadCheck, IndexEntry, Requirement, RowChange};
use crate::versions::change::whole_table;
use crate::versions::{CommitNo, CommitStamp, IndexId, ItemKey, Op, PeriodEnd, Refusal, TableId, Timestamp};

pub type Item = (TableId, ItemKey);
/// A key of a unique index.
pub type Slot = (IndexId, ItemKey);

/// From here on numbers of commits are their times: the library wrote here, and its versions are numbered so.
pub const TIMED: u64 = 1_000_000_000_000;

/// The stamp of a commit made at `time` after `last`.
pub fn next_stamp(last: CommitStamp, time: Timestamp) -> CommitStamp {
    let time = time.max(last.time.next());
    let next = last.commit.next();
    let timed = u64::try_from(time.micros()).map_or(next, CommitNo);
    CommitStamp { commit: if last.commit.0 >= TIMED { next.max(timed) } else { next }, time }
}

/// `_id` of an entry, and the beginning of those of one key.
pub fn entry_id(index: IndexId, key: &ItemKey, item: &ItemKey) -> String {
    format!("{}.{}", slot_id(index, key), row::hex(item.as_bytes()))
}

/// `_id` of a holder.
pub fn slot_id(index: IndexId, key: &ItemKey) -> String {
    format!("{:08x}.{}", index.0, row::hex(key.as_bytes()))
}

/// What requests of a group have to be known of before they can be applied.
#[derive(Debug, Default)]
pub struct Needs {
    pub heads: BTreeMap<TableId, BTreeSet<ItemKey>>,
    /// Each with the table that its index is of.
    pub slots: BTreeMap<Slot, TableId>,
}

impl Needs {
    pub fn add(&mut self, request: &CommitRequest) {
        for row in &request.rows {
            self.heads.entry(row.table).or_default().insert(row.key.clone());
            let unique = row.old_entries.iter().chain(&row.new_entries).filter(|e| e.unique);
            self.slots.extend(unique.map(|e| ((e.index, e.key.clone()), row.table)));
        }
        for backfill in &request.backfill {
            let unique = backfill.entries.iter().map(|(_, entry)| entry).filter(|e| e.unique);
            self.slots.extend(unique.map(|e| ((e.index, e.key.clone()), backfill.table)));
        }
        for requirement in &request.requires {
            match requirement {
                Requirement::Live { table, key } => {
                    self.heads.entry(*table).or_default().insert(key.clone());
                }
                Requirement::Held { table, index, key } => {
                    self.slots.insert((*index, key.clone()), *table);
                }
                Requirement::Unclaimed { .. } => {}
            }
        }
    }
}

/// A commit of the group, as the log will have it.
#[derive(Debug)]
pub struct Made {
    pub stamp: CommitStamp,
    /// Which request it came of.
    pub request: usize,
    pub changes: u64,
}

/// A version that the group adds, and by which of its commits.
#[derive(Debug)]
pub struct Added {
    pub table: TableId,
    pub made: usize,
    pub version: NewVersion,
}

/// What a group knows and what it changes.
#[derive(Debug)]
pub struct Group {
    pub last: CommitStamp,
    /// The newest commit that changed a definition.
    pub catalog: CommitNo,
    pub heads: HashMap<Item, Head>,
    pub holders: HashMap<Slot, Option<Item>>,
    /// Those of them that documents alone tell of: nothing is kept about them.
    pub told_by_documents: HashSet<Slot>,
    pub made: Vec<Made>,
    pub added: Vec<Added>,
    place: HashMap<(Item, u64), usize>,
    /// Ends of states that were there before.
    pub ends: Vec<(Item, u64, PeriodEnd)>,
    pub new_heads: HashSet<Item>,
    pub new_holders: HashSet<Slot>,
    pub entries: BTreeSet<String>,
    /// By how much each changed table's number of live items grows, and its newest change.
    pub touched: BTreeMap<TableId, (i64, CommitNo)>,
    ids: Ids,
}

impl Group {
    pub fn new(last: CommitStamp, catalog: CommitNo, ids: Ids) -> Self {
        Self {
            ids,
            last,
            catalog,
            heads: HashMap::new(),
            holders: HashMap::new(),
            told_by_documents: HashSet::new(),
            made: Vec::new(),
            added: Vec::new(),
            place: HashMap::new(),
            ends: Vec::new(),
            new_heads: HashSet::new(),
            new_holders: HashSet::new(),
            entries: BTreeSet::new(),
            touched: BTreeMap::new(),
        }
    }

    /// Applies one request, at `stamp`; `ended` items of truncated tables were ended by it already.
    pub fn commit(
        &mut self,
        number: usize,
        request: &CommitRequest,
        stamp: CommitStamp,
        ended: &BTreeMap<TableId, u64>,
    ) -> Result<CommitStamp, Refusal> {
        let touched = ended.iter().map(|(table, n)| (*table, -i64::try_from(*n).unwrap_or(i64::MAX))).collect();
        let done = Done { changes: ended.values().sum(), touched, ..Done::default() };
        let mut draft = Draft { group: self, stamp, done };
        request.rows.iter().try_for_each(|row| draft.change(row))?;
        request.rows.iter().for_each(|row| draft.release(row));
        draft.release_ended(request);
        for row in &request.rows {
            let item = (row.table, row.key.clone());
            row.new_entries.iter().try_for_each(|entry| draft.hold(&item, entry, row.old_entries.contains(entry)))?;
        }
        for backfill in &request.backfill {
            draft.done.touched.entry(backfill.table).or_default();
            for (key, entry) in &backfill.entries {
                draft.hold(&(backfill.table, key.clone()), entry, false)?;
            }
        }
        request.requires.iter().try_for_each(|requirement| draft.check_there(requirement))?;
        let done = draft.done;
        self.keep(done, number, stamp);
        Ok(stamp)
    }

    fn keep(&mut self, done: Done, request: usize, stamp: CommitStamp) {
        let made = self.made.len();
        self.made.push(Made { stamp, request, changes: done.changes });
        for (item, number, end) in done.ends {
            match self.place.get(&(item.clone(), number)).and_then(|place| self.added.get_mut(*place)) {
                Some(added) => added.version.end = Some(end),
                None => self.ends.push((item, number, end)),
            }
        }
        for (table, version) in done.versions {
            self.place.insert(((table, version.key.clone()), version.number), self.added.len());
            self.added.push(Added { table, made, version });
        }
        self.new_heads.extend(done.heads.keys().cloned());
        self.heads.extend(done.heads);
        self.new_holders.extend(done.holders.keys().cloned());
        self.holders.extend(done.holders);
        self.entries.extend(done.entries);
        for (table, grown) in done.touched {
            let touched = self.touched.entry(table).or_default();
            *touched = (touched.0 + grown, stamp.commit);
        }
        self.last = stamp;
    }
}

/// A commit in the making, laid over the group, which it leaves alone.
struct Draft<'a> {
    group: &'a Group,
    stamp: CommitStamp,
    done: Done,
}

/// What a commit adds to its group.
#[derive(Default)]
struct Done {
    heads: HashMap<Item, Head>,
    holders: HashMap<Slot, Option<Item>>,
    versions: Vec<(TableId, NewVersion)>,
    ends: Vec<(Item, u64, PeriodEnd)>,
    entries: Vec<String>,
    touched: BTreeMap<TableId, i64>,
    changes: u64,
}

impl Draft<'_> {
    fn head(&self, item: &Item) -> Option<&Head> {
        self.done.heads.get(item).or_else(|| self.group.heads.get(item))
    }

    fn change(&mut self, row: &RowChange) -> Result<(), Refusal> {
        let item = (row.table, row.key.clone());
        let head = self.head(&item).cloned();
        if head.as_ref().is_some_and(|h| h.begun == self.stamp.commit) {
            return Err(Refusal::Malformed("an item is changed twice in one commit"));
        }
        let live = head.as_ref().filter(|h| h.is_live());
        match (row.check, live) {
            (HeadCheck::Absent, None) => {}
            (HeadCheck::Absent, Some(_)) => return Err(Refusal::KeyExists { table: row.table, key: row.key.clone() }),
            (HeadCheck::At(expected), Some(h)) if h.number == expected.0 => {
                let end = PeriodEnd { to: self.stamp.time, commit: self.stamp.commit, op: row.op };
                self.done.ends.push((item.clone(), h.number, end));
            }
            (HeadCheck::At(_), _) => return Err(Refusal::Conflict { table: row.table, key: row.key.clone() }),
        }
        let grown = i64::from(row.payload.is_some()) - i64::from(live.is_some());
        *self.done.touched.entry(row.table).or_default() += grown;
        self.done.changes += 1;
        self.add(item, head, row);
        Ok(())
    }

    /// The version that a change makes, and the head after it.
    fn add(&mut self, item: Item, head: Option<Head>, row: &RowChange) {
        let before = head.as_ref();
        let id = before.map_or_else(|| self.group.ids.make(), |h| h.id);
        let payload = match &row.payload {
            Some(payload) => payload.clone(),
            None => before.map_or_else(row::no_payload, |h| h.payload.clone()),
        };
        let number = before.map_or(0, |h| h.number + 1);
        let (commit, time) = (self.stamp.commit, self.stamp.time);
        let after = Head {
            id,
            number,
            op: row.op,
            changed: commit,
            time,
            begun: if row.op.ends_item() { before.map_or(commit, |h| h.begun) } else { commit },
            first: before.map_or(commit, |h| h.first),
            created_at: before.map_or_else(|| row::millis(time), |h| h.created_at),
            payload: payload.clone(),
        };
        let (key, follows) = (row.key.clone(), before.is_some());
        let version = NewVersion { id, key, number, op: row.op, commit, time, end: None, payload, follows };
        self.done.versions.push((row.table, version));
        self.done.heads.insert(item, after);
    }

    fn holder(&self, slot: &Slot) -> Option<&Item> {
        self.done.holders.get(slot).or_else(|| self.group.holders.get(slot)).and_then(Option::as_ref)
    }

    fn release(&mut self, row: &RowChange) {
        let item = (row.table, row.key.clone());
        // What the item keeps it need not give away first.
        for entry in row.old_entries.iter().filter(|e| e.unique && !row.new_entries.contains(e)) {
            let slot = (entry.index, entry.key.clone());
            if self.holder(&slot) == Some(&item) {
                self.done.holders.insert(slot, None);
            }
        }
    }

    /// Documents that end hold nothing any more, also where nobody said what they held: those of a truncated collection.
    fn release_ended(&mut self, request: &CommitRequest) {
        if self.group.told_by_documents.is_empty() {
            return;
        }
        let ended = request.rows.iter().filter(|row| row.op.ends_item());
        let ended: HashSet<Item> = ended.map(|row| (row.table, row.key.clone())).collect();
        let slots = self.group.told_by_documents.iter();
        let free = slots.filter(|slot| self.holder(slot).is_some_and(|holder| ended.contains(holder)));
        let free: Vec<Slot> = free.cloned().collect();
        self.done.holders.extend(free.into_iter().map(|slot| (slot, None)));
    }

    /// Adds an entry; one that the item had before (`kept`) is there already.
    fn hold(&mut self, item: &Item, entry: &IndexEntry, kept: bool) -> Result<(), Refusal> {
        let slot = (entry.index, entry.key.clone());
        if !kept && !self.group.told_by_documents.contains(&slot) {
            self.done.entries.push(entry_id(entry.index, &entry.key, &item.1));
        }
        if !entry.unique {
            return Ok(());
        }
        match self.holder(&slot) {
            // Where others write documents too, two may have it; who has it may keep it.
            Some(holder) if holder == item || kept => Ok(()),
            Some(_) => Err(Refusal::UniqueExists { index: entry.index, key: entry.key.clone() }),
            None => {
                self.done.holders.insert(slot, Some(item.clone()));
                Ok(())
            }
        }
    }

    fn check_there(&self, requirement: &Requirement) -> Result<(), Refusal> {
        let met = match requirement {
            Requirement::Live { table, key } => self.head(&(*table, key.clone())).is_some_and(Head::is_live),
            Requirement::Held { index, key, .. } => self.holder(&(*index, key.clone())).is_some(),
            Requirement::Unclaimed { .. } => true,
        };
        match requirement {
            _ if met => Ok(()),
            Requirement::Live { table, key } => Err(Refusal::Conflict { table: *table, key: key.clone() }),
            Requirement::Held { table, .. } | Requirement::Unclaimed { table, .. } => {
                Err(Refusal::Conflict { table: *table, key: whole_table() })
            }
        }
    }
}

/// Whether a request asks for what is done on the server and not in memory; such a one makes a group of its own.
pub fn stands_alone(request: &CommitRequest) -> bool {
    let asks = |r: &Requirement| matches!(r, Requirement::Unclaimed { .. });
    !request.truncate.is_empty()
        || !request.catalog.is_empty()
        || !request.backfill.is_empty()
        || request.requires.iter().any(asks)
}

/// A row's op as the end of what the table had.
pub fn truncated(head: &Head, key: ItemKey, stamp: CommitStamp) -> (NewVersion, Head, PeriodEnd) {
    let (commit, time) = (stamp.commit, stamp.time);
    let (op, number) = (Op::Truncate, head.number + 1);
    let after = Head { number, op, changed: commit, time, ..head.clone() };
    let payload = head.payload.clone();
    let version = NewVersion { id: head.id, key, number, op, commit, time, end: None, payload, follows: true };
    (version, after, PeriodEnd { to: time, commit, op })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_one_another_or_time() {
        let stamp = |n, t| CommitStamp { commit: CommitNo(n), time: Timestamp::from_micros(t) };
        assert_eq!(next_stamp(stamp(0, i64::MIN), Timestamp::from_micros(5)), stamp(1, 5));
        assert_eq!(next_stamp(stamp(7, 9), Timestamp::from_micros(5)), stamp(8, 10));
        let library = stamp(1_795_000_000_000_000, 1_795_000_000_000_000);
        let later = Timestamp::from_micros(1_795_000_000_000_777);
        assert_eq!(next_stamp(library, later), stamp(1_795_000_000_000_777, 1_795_000_000_000_777));
        assert_eq!(next_stamp(library, Timestamp::from_micros(3)), stamp(1_795_000_000_000_001, 1_795_000_000_000_001));
    }

    #[test]
    fn entries_are_in_the_order_of_index_key_and_item() {
        let key = |bytes: &[u8]| ItemKey::from_bytes(bytes);
        let ids = [
            entry_id(IndexId(1), &key(&[1]), &key(&[9])),
            entry_id(IndexId(1), &key(&[1]), &key(&[9, 0])),
            entry_id(IndexId(1), &key(&[1, 0]), &key(&[1])),
            entry_id(IndexId(1), &key(&[1, 255]), &key(&[1])),
            entry_id(IndexId(1), &key(&[2]), &key(&[1])),
            entry_id(IndexId(12), &key(&[]), &key(&[])),
        ];
        assert!(ids.is_sorted(), "{ids:?}");
    }
}

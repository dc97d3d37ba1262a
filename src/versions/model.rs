//! The whole of a store in a BTreeMap: slow, obvious, and the oracle that stores are compared with.
//!
//! Every state of every item is one element of one list, and every question is answered by going through
//! that list with [`Period::is_visible`]. No index, no shortcut: where a store and the model disagree, the
//! store is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{bad_period, whole_table};
use super::{
    CatalogChange, CatalogRow, CommitInfo, CommitNo, CommitRequest, CommitStamp, Context, HeadCheck, IndexCandidates, IndexEntry,
    IndexId, ItemKey, KeyFilter, Op, Period, PeriodEnd, Refusal, Requirement, RowChange, RowState, ScanRequest, Scope, Snapshot,
    StoredVersion, TableId, Timestamp, Version, VersionNo,
};

/// Everything one database holds. `P` stands for a payload.
#[derive(Clone, Debug)]
pub struct Model<P> {
    commits: Vec<CommitInfo>,
    items: BTreeMap<Item, Vec<State<P>>>,
    /// Every entry that a state of the item ever had.
    entries: BTreeMap<IndexId, BTreeSet<(ItemKey, ItemKey)>>,
    /// Which live item holds a key of a unique index.
    holders: BTreeMap<(IndexId, ItemKey), Item>,
    catalog: Vec<CatalogRow>,
    changed: BTreeMap<TableId, CommitNo>,
    counters: BTreeMap<u32, u64>,
}

type Item = (TableId, ItemKey);

#[derive(Clone, Debug)]
struct State<P> {
    version: Version,
    payload: P,
}

impl<P> Default for Model<P> {
    fn default() -> Self {
        Self {
            commits: Vec::new(),
            items: BTreeMap::new(),
            entries: BTreeMap::new(),
            holders: BTreeMap::new(),
            catalog: Vec::new(),
            changed: BTreeMap::new(),
            counters: BTreeMap::new(),
        }
    }
}

impl<P: Clone> Model<P> {
    pub fn last_commit(&self) -> CommitStamp {
        self.commits.last().map_or(CommitStamp { commit: CommitNo::ZERO, time: Timestamp::MIN }, |c| c.stamp)
    }

    /// Makes one commit; `now` is its time unless the request brings one. See [`CommitRequest`].
    pub fn commit(&mut self, request: CommitRequest<P>, now: Timestamp) -> Result<CommitStamp, Refusal> {
        if request.is_empty() {
            return Ok(self.last_commit());
        }
        request.check_form()?;
        self.check_unchanged(&request)?;
        request.requires.iter().try_for_each(|requirement| self.check_unclaimed(requirement))?;
        let stamp = self.next_stamp(request.time.unwrap_or(now));
        let mut draft = Draft::new(self, stamp);
        for (table, _) in &request.truncate {
            draft.truncate(*table);
        }
        request.rows.iter().try_for_each(|row| draft.change(row))?;
        request.rows.iter().for_each(|row| draft.release(row));
        for row in &request.rows {
            draft.hold_all(&(row.table, row.key.clone()), &row.new_entries)?;
        }
        for backfill in &request.backfill {
            for (key, entry) in &backfill.entries {
                draft.hold_all(&(backfill.table, key.clone()), std::slice::from_ref(entry))?;
            }
        }
        request.requires.iter().try_for_each(|requirement| draft.check_there(requirement))?;
        let done = draft.done();
        let backfilled = request.backfill.iter().map(|b| b.table);
        let touched =
            request.rows.iter().map(|r| r.table).chain(request.truncate.iter().map(|t| t.0)).chain(backfilled).collect();
        self.keep(done, request.context, request.tables, touched);
        self.define(&request.catalog, stamp);
        Ok(stamp)
    }

    /// Makes one commit of states that bring their own periods; see [`RowState`].
    pub fn load(
        &mut self,
        context: Context,
        table: TableId,
        table_name: String,
        states: Vec<RowState<P>>,
        now: Timestamp,
    ) -> Result<(CommitStamp, u64), Refusal> {
        if states.is_empty() {
            return Ok((self.last_commit(), 0));
        }
        let stamp = self.next_stamp(now);
        let mut draft = Draft::new(self, stamp);
        let count = states.len() as u64;
        for state in states {
            draft.append(table, state)?;
        }
        let done = draft.done();
        self.keep(done, context, vec![table_name], BTreeSet::from([table]));
        Ok((stamp, count))
    }

    /// The state of each item in a scope that picks at most one.
    pub fn get(&self, table: TableId, keys: &[ItemKey], scope: Scope, snapshot: Snapshot) -> Vec<Option<StoredVersion<P>>> {
        keys.iter().map(|key| self.visible(table, key, scope, snapshot).next()).collect()
    }

    /// States ordered by (key, from).
    pub fn scan(&self, request: &ScanRequest) -> Vec<StoredVersion<P>> {
        let named = request.index_candidates().map(|c| self.candidates(c));
        let lowest = (request.table, ItemKey::from_bytes([]));
        self.items
            .range(lowest..)
            .take_while(|((table, _), _)| *table == request.table)
            .map(|((_, key), _)| key)
            .filter(|key| request.keys.contains(key) && named.as_ref().is_none_or(|named| named.contains(*key)))
            .flat_map(|key| self.visible(request.table, key, request.scope, request.snapshot))
            .take(request.limit.unwrap_or(usize::MAX))
            .collect()
    }

    pub fn unique_holder(&self, index: IndexId, key: &ItemKey) -> Option<ItemKey> {
        self.holders.get(&(index, key.clone())).map(|(_, item)| item.clone())
    }

    pub fn live_count(&self, table: TableId, snapshot: Snapshot) -> u64 {
        let request = ScanRequest {
            table,
            snapshot,
            scope: Scope::Current,
            keys: KeyFilter::All,
            candidates: None,
            payloads: false,
            limit: None,
        };
        self.scan(&request).len() as u64
    }

    pub fn last_change(&self, table: TableId) -> CommitNo {
        self.changed.get(&table).copied().unwrap_or_default()
    }

    /// Commits with `from <= number <= to`, ascending.
    pub fn commits(&self, from: CommitNo, to: CommitNo) -> Vec<CommitInfo> {
        self.commits.iter().filter(|c| (from..=to).contains(&c.stamp.commit)).cloned().collect()
    }

    pub fn commit_at(&self, at: Timestamp) -> Option<CommitStamp> {
        self.commits.iter().map(|c| c.stamp).rfind(|stamp| stamp.time <= at)
    }

    pub fn commit_stamp(&self, commit: CommitNo) -> Option<CommitStamp> {
        self.commits.iter().map(|c| c.stamp).find(|stamp| stamp.commit == commit)
    }

    pub fn catalog(&self) -> Vec<CatalogRow> {
        self.catalog.clone()
    }

    /// Takes `count` numbers of a counter that starts at 0; the first of them.
    pub fn reserve(&mut self, counter: u32, count: u64) -> u64 {
        let next = self.counters.entry(counter).or_default();
        let first = *next;
        *next = first.saturating_add(count);
        first
    }

    pub fn counter(&self, counter: u32) -> u64 {
        self.counters.get(&counter).copied().unwrap_or_default()
    }

    pub fn set_counter(&mut self, counter: u32, next: u64) {
        self.counters.insert(counter, next);
    }

    fn next_stamp(&self, time: Timestamp) -> CommitStamp {
        let last = self.last_commit();
        CommitStamp { commit: last.commit.next(), time: time.max(last.time.next()) }
    }

    fn visible(
        &self,
        table: TableId,
        key: &ItemKey,
        scope: Scope,
        snapshot: Snapshot,
    ) -> impl Iterator<Item = StoredVersion<P>> + '_ {
        let key = key.clone();
        let states = self.items.get(&(table, key.clone())).map_or(&[][..], Vec::as_slice);
        states.iter().filter(move |s| s.version.period.is_visible(scope, snapshot)).filter_map(move |s| {
            let version = Version { period: s.version.period.under(snapshot)?, ..s.version };
            Some(StoredVersion { key: key.clone(), version, payload: s.payload.clone() })
        })
    }

    fn candidates(&self, wanted: &IndexCandidates) -> BTreeSet<ItemKey> {
        let entries = self.entries.get(&wanted.index).into_iter().flatten();
        entries.filter(|(key, _)| wanted.keys.contains(key)).map(|(_, item)| item.clone()).collect()
    }

    fn check_unchanged(&self, request: &CommitRequest<P>) -> Result<(), Refusal> {
        let defined = self.catalog.iter().map(|row| row.ended.unwrap_or(row.begun).commit).max().unwrap_or_default();
        if request.catalog_seen.is_some_and(|seen| defined > seen) {
            return Err(Refusal::CatalogConflict);
        }
        let truncated = request.truncate.iter().copied();
        let backfilled = request.backfill.iter().map(|b| (b.table, b.seen));
        for (table, seen) in truncated.chain(backfilled) {
            if self.last_change(table) > seen {
                return Err(Refusal::Conflict { table, key: whole_table() });
            }
        }
        Ok(())
    }

    fn check_unclaimed(&self, requirement: &Requirement) -> Result<(), Refusal> {
        let Requirement::Unclaimed { table, index, key, seen } = requirement else { return Ok(()) };
        let claims = |item: &ItemKey| {
            let last = self.items.get(&(*table, item.clone())).and_then(|states| states.last());
            last.is_some_and(|s| s.version.period.end.is_none() && s.version.period.begun > *seen)
        };
        let entries = self.entries.get(index).into_iter().flatten();
        match entries.filter(|(entry, _)| entry == key).find(|(_, item)| claims(item)) {
            Some((_, item)) => Err(Refusal::Conflict { table: *table, key: item.clone() }),
            None => Ok(()),
        }
    }

    fn keep(&mut self, done: Done<P>, context: Context, mut tables: Vec<String>, touched: BTreeSet<TableId>) {
        tables.sort();
        tables.dedup();
        self.commits.push(CommitInfo { stamp: done.stamp, context, tables, rows: done.changes });
        self.items.extend(done.items);
        for (index, key, item) in done.entries {
            self.entries.entry(index).or_default().insert((key, item));
        }
        for (slot, holder) in done.holders {
            match holder {
                Some(item) => self.holders.insert(slot, item),
                None => self.holders.remove(&slot),
            };
        }
        self.changed.extend(touched.into_iter().map(|table| (table, done.stamp.commit)));
    }

    fn define(&mut self, changes: &[CatalogChange], stamp: CommitStamp) {
        let last_of_each: BTreeMap<_, _> = changes.iter().map(|c| ((&c.kind, c.id), &c.definition)).collect();
        for ((kind, id), definition) in last_of_each {
            if let Some(row) = self.catalog.iter_mut().find(|row| row.kind == *kind && row.id == id && row.ended.is_none()) {
                row.ended = Some(stamp);
            }
            if let Some(definition) = definition.clone() {
                self.catalog.push(CatalogRow { kind: kind.clone(), id, definition, begun: stamp, ended: None });
            }
        }
    }
}

/// A commit in the making: what it touches, laid over the model, which it leaves alone.
struct Draft<'a, P> {
    base: &'a Model<P>,
    stamp: CommitStamp,
    items: BTreeMap<Item, Vec<State<P>>>,
    holders: BTreeMap<(IndexId, ItemKey), Option<Item>>,
    entries: Vec<(IndexId, ItemKey, ItemKey)>,
    changes: u64,
}

struct Done<P> {
    stamp: CommitStamp,
    items: BTreeMap<Item, Vec<State<P>>>,
    holders: BTreeMap<(IndexId, ItemKey), Option<Item>>,
    entries: Vec<(IndexId, ItemKey, ItemKey)>,
    changes: u64,
}

impl<'a, P: Clone> Draft<'a, P> {
    fn new(base: &'a Model<P>, stamp: CommitStamp) -> Self {
        Self { base, stamp, items: BTreeMap::new(), holders: BTreeMap::new(), entries: Vec::new(), changes: 0 }
    }

    fn done(self) -> Done<P> {
        Done { stamp: self.stamp, items: self.items, holders: self.holders, entries: self.entries, changes: self.changes }
    }

    fn states(&mut self, item: &Item) -> &mut Vec<State<P>> {
        let base = self.base;
        self.items.entry(item.clone()).or_insert_with(|| base.items.get(item).cloned().unwrap_or_default())
    }

    fn truncate(&mut self, table: TableId) {
        let base = self.base;
        for (item, states) in base.items.iter().filter(|((of, _), _)| *of == table) {
            if states.last().is_some_and(|s| s.version.period.end.is_none()) && !self.items.contains_key(item) {
                self.end(item, Op::Truncate);
                self.changes += 1;
            }
        }
        let held = base.holders.iter().filter(|(_, (of, _))| *of == table);
        self.holders.extend(held.map(|(slot, _)| (slot.clone(), None)));
    }

    fn end(&mut self, item: &Item, op: Op) {
        let end = PeriodEnd { to: self.stamp.time, commit: self.stamp.commit, op };
        if let Some(last) = self.states(item).last_mut() {
            last.version.period.end = Some(end);
        }
    }

    fn change(&mut self, row: &RowChange<P>) -> Result<(), Refusal> {
        let item = (row.table, row.key.clone());
        let last = self.states(&item).last().map(|s| s.version);
        if last.is_some_and(|v| v.period.begun == self.stamp.commit) {
            return Err(Refusal::Malformed("an item is changed twice in one commit"));
        }
        let live = last.filter(|v| v.period.end.is_none());
        match (row.check, live) {
            (HeadCheck::Absent, None) => {}
            (HeadCheck::Absent, Some(_)) => return Err(Refusal::KeyExists { table: row.table, key: row.key.clone() }),
            (HeadCheck::At(expected), Some(v)) if v.number == expected => self.end(&item, row.op),
            (HeadCheck::At(_), _) => return Err(Refusal::Conflict { table: row.table, key: row.key.clone() }),
        }
        if let Some(payload) = row.payload.clone() {
            let number = next_number(last, live.is_some());
            let period = Period { from: self.stamp.time, begun: self.stamp.commit, end: None };
            self.states(&item).push(State { version: Version { number, op: row.op, period, collection: None }, payload });
        }
        self.changes += 1;
        Ok(())
    }

    fn append(&mut self, table: TableId, state: RowState<P>) -> Result<(), Refusal> {
        let stamp = self.stamp;
        let refuse = |reason| Err(Refusal::BadPeriod { table, key: state.key.clone(), reason });
        if state.to.is_some_and(|to| to <= state.from) {
            return refuse(bad_period::EMPTY);
        }
        if state.to.unwrap_or(state.from) > stamp.time {
            return refuse(bad_period::FUTURE);
        }
        let item = (table, state.key.clone());
        let last = self.states(&item).last().map(|s| s.version);
        let mut op = Op::Create;
        let mut number = next_number(last, false);
        if let Some(last) = last {
            let Some(end) = last.period.end else { return refuse(bad_period::AFTER_OPEN) };
            if end.to > state.from {
                return refuse(bad_period::OVERLAP);
            }
            if end.to == state.from && end.commit == last.period.begun {
                self.end_by_update(&item);
                op = Op::Update;
                number = last.number.next();
            }
        }
        let end = state.to.map(|to| PeriodEnd { to, commit: stamp.commit, op: Op::Delete });
        let period = Period { from: state.from, begun: stamp.commit, end };
        self.states(&item)
            .push(State { version: Version { number, op, period, collection: None }, payload: state.payload.clone() });
        self.changes += 1;
        if state.to.is_none() {
            return self.hold_all(&item, &state.entries);
        }
        self.entries.extend(state.entries.iter().map(|e| (e.index, e.key.clone(), state.key.clone())));
        Ok(())
    }

    fn end_by_update(&mut self, item: &Item) {
        if let Some(end) = self.states(item).last_mut().and_then(|s| s.version.period.end.as_mut()) {
            end.op = Op::Update;
        }
    }

    fn release(&mut self, row: &RowChange<P>) {
        let item = (row.table, row.key.clone());
        for entry in row.old_entries.iter().filter(|e| e.unique) {
            let slot = (entry.index, entry.key.clone());
            if self.holder(&slot) == Some(&item) {
                self.holders.insert(slot, None);
            }
        }
    }

    fn check_there(&mut self, requirement: &Requirement) -> Result<(), Refusal> {
        match requirement {
            Requirement::Live { table, key } => {
                let item = (*table, key.clone());
                let states = self.items.get(&item).or_else(|| self.base.items.get(&item));
                let is_live = states.and_then(|s| s.last()).is_some_and(|s| s.version.period.end.is_none());
                if is_live { Ok(()) } else { Err(Refusal::Conflict { table: *table, key: key.clone() }) }
            }
            Requirement::Held { table, index, key } => match self.holder(&(*index, key.clone())) {
                Some(_) => Ok(()),
                None => Err(Refusal::Conflict { table: *table, key: whole_table() }),
            },
            Requirement::Unclaimed { .. } => Ok(()),
        }
    }

    fn holder(&self, slot: &(IndexId, ItemKey)) -> Option<&Item> {
        match self.holders.get(slot) {
            Some(drafted) => drafted.as_ref(),
            None => self.base.holders.get(slot),
        }
    }

    fn hold_all(&mut self, item: &Item, entries: &[IndexEntry]) -> Result<(), Refusal> {
        for entry in entries {
            self.entries.push((entry.index, entry.key.clone(), item.1.clone()));
            if !entry.unique {
                continue;
            }
            let slot = (entry.index, entry.key.clone());
            if self.holder(&slot).is_some_and(|holder| holder != item) {
                return Err(Refusal::UniqueExists { index: entry.index, key: entry.key.clone() });
            }
            self.holders.insert(slot, Some(item.clone()));
        }
        Ok(())
    }
}

/// A change takes one number, the end of an item too.
fn next_number(last: Option<Version>, alive: bool) -> VersionNo {
    match last {
        None => VersionNo(0),
        Some(v) if alive => v.number.next(),
        Some(v) => v.number.next().next(),
    }
}

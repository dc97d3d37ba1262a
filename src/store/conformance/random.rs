//! Random commits, loads and truncates, and random reads of them, each answer compared with the model's.
//!
//! Few items, few index values and a clock that stands still or runs back make collisions common. A failure
//! names its seed; the same seed gives the same history.
#![expect(clippy::panic, reason = "a failed comparison ends the test")]

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;

use super::{TABLE, at, doc, entry, key, load, scan};
use crate::runtime::{Entropy, ManualClock, SeededEntropy};
use crate::store::{
    CatalogChange, CommitRequest, HeadCheck, IndexBackfill, IndexCandidates, IndexEntry, IndexStore, PayloadRef, Requirement,
    RowChange, RowState, ScanRequest, StoreError, StoredVersion,
};
use crate::versions::model::Model;
use crate::versions::{
    CommitNo, CommitStamp, Context, IndexId, ItemKey, KeyFilter, Op, Refusal, Scope, Snapshot, TableId, Timestamp, VersionNo,
};
use std::ops::Bound;

const TABLES: [TableId; 2] = [TABLE, TableId(8)];
const UNIQUE: u32 = 1;
const PLAIN: u32 = 2;

/// Plays `steps` random steps on a store that `make` gives, empty.
pub async fn history(seed: u64, steps: usize, make: &impl AsyncFn(Arc<dyn crate::runtime::Clock>) -> Arc<dyn IndexStore>) {
    let clock = Arc::new(ManualClock::at(1_000));
    let store = make(clock.clone()).await;
    let mut play = Play { seed, step: 0, dice: SeededEntropy::new(seed), clock, model: Model::default(), store };
    for step in 0..steps {
        play.step = step;
        play.write().await;
        for _ in 0..3 {
            play.read().await;
        }
    }
}

struct Play {
    seed: u64,
    step: usize,
    dice: SeededEntropy,
    clock: Arc<ManualClock>,
    model: Model<PayloadRef>,
    store: Arc<dyn IndexStore>,
}

impl Play {
    fn below(&self, n: usize) -> usize {
        usize::try_from(self.dice.next_u64() % n as u64).unwrap_or_default()
    }

    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn item(&self) -> ItemKey {
        key(["a", "b", "c", "ca", "cb", "d", "e\0f", "g", "h", "i"][self.below(10)])
    }

    fn table(&self) -> TableId {
        TABLES[usize::from(self.one_in(5))]
    }

    fn text(&self) -> PayloadRef {
        match self.below(12) {
            0 => doc(""),
            1 => PayloadRef::Object { name: format!("o:{}", self.below(99)), size: 3, sha256: [self.below(256) as u8; 32] },
            n => doc(&"x".repeat(n * n)),
        }
    }

    fn same<T: Debug + PartialEq>(&self, what: &str, expected: T, got: Result<T, StoreError>) {
        match got {
            Ok(got) if got == expected => {}
            got => panic!("seed {} step {}: {what}\nexpected {expected:?}\n     got {got:?}", self.seed, self.step),
        }
    }

    /// Success or refusal must be the same, and for the same reason.
    fn same_outcome<T: Debug>(&self, what: &str, expected: Result<T, Refusal>, got: Result<T, StoreError>) {
        let expected = format!("{:?}", expected.map_err(StoreError::from));
        let got = format!("{got:?}");
        assert_eq!(expected, got, "seed {} step {}: {what}", self.seed, self.step);
    }

    fn now(&self) -> Timestamp {
        use crate::runtime::Clock;
        at(self.clock.now_micros())
    }

    fn newest(&self) -> Snapshot {
        super::snapshot(self.model.last_commit())
    }

    fn live(&self, table: TableId, item: &ItemKey) -> Option<StoredVersion> {
        self.model.get(table, std::slice::from_ref(item), Scope::Current, self.newest()).pop().flatten()
    }

    async fn write(&mut self) {
        self.clock.advance([0, 1, 1, 3, 10, -2][self.below(6)]);
        match self.below(20) {
            0..=2 => self.load().await,
            3 => self.count().await,
            _ => self.commit().await,
        }
        self.same("last commit", self.model.last_commit(), Ok(self.store.last_commit()));
    }

    async fn commit(&mut self) {
        let request = self.request();
        let expected = self.model.commit(request.clone(), self.now());
        let got = self.store.commit(request.clone()).await;
        self.same_outcome(&format!("{request:?}"), expected, got);
    }

    fn request(&self) -> CommitRequest {
        let last = self.model.last_commit().commit;
        let seen = |this: &Self| CommitNo(last.0.saturating_sub(this.below(3) as u64));
        let mut request = CommitRequest { tables: vec!["b".into(), "a".into(), "b".into()], ..CommitRequest::default() };
        if self.one_in(15) {
            request.truncate.push((self.table(), if self.one_in(3) { seen(self) } else { last }));
        }
        let mut used = Vec::new();
        for _ in 0..self.below(5) {
            let (table, item) = (self.table(), self.item());
            if !used.contains(&(table, item.clone())) {
                let truncated = request.truncate.iter().any(|t| t.0 == table);
                request.rows.push(self.change(table, item.clone(), truncated));
                used.push((table, item));
            }
        }
        if self.one_in(12) {
            let definition = (!self.one_in(3)).then(|| format!("{{\"n\":{}}}", self.below(100)));
            request.catalog.push(CatalogChange { kind: "table".into(), id: self.below(3) as u32, definition });
        }
        if self.one_in(20) {
            let entries = vec![(self.item(), entry(PLAIN, ["p", "q"][self.below(2)], false))];
            request.backfill.push(IndexBackfill { table: TABLE, seen: if self.one_in(2) { seen(self) } else { last }, entries });
        }
        if self.one_in(6) {
            request.requires.push(match self.below(3) {
                0 => Requirement::Live { table: self.table(), key: self.item() },
                1 => Requirement::Held { table: TABLE, index: IndexId(UNIQUE), key: key(["u", "v", "w", "x"][self.below(4)]) },
                _ => Requirement::Unclaimed {
                    table: TABLE,
                    index: IndexId(PLAIN),
                    key: key(["p", "q"][self.below(2)]),
                    seen: seen(self),
                },
            });
        }
        request.catalog_seen = self.one_in(4).then(|| if self.one_in(2) { last } else { seen(self) });
        request.time = self.one_in(8).then(|| at(self.now().micros() + self.below(4) as i64 - 2));
        request.context = Context { user: "u".into(), reason: self.one_in(2).then(|| "why".into()), ..Context::default() };
        request
    }

    /// A change that fits the item as it is, mostly.
    fn change(&self, table: TableId, item: ItemKey, truncated: bool) -> RowChange {
        let live = self.live(table, &item).filter(|_| !truncated);
        let (check, op) = match (&live, self.below(12)) {
            (_, 0) => (HeadCheck::Absent, Op::Create),
            (_, 1) => (HeadCheck::At(VersionNo(self.below(3) as u64)), Op::Update),
            (None, 2) => (HeadCheck::Absent, Op::Restore),
            (None, _) => (HeadCheck::Absent, Op::Create),
            (Some(v), 2..=4) => (HeadCheck::At(v.version.number), Op::Delete),
            (Some(v), 5) => (HeadCheck::At(v.version.number), Op::Restore),
            (Some(v), _) => (HeadCheck::At(v.version.number), Op::Update),
        };
        let held = |values: &[&str], index, unique| {
            let all = values.iter().map(|value| entry(index, value, unique));
            all.filter(|e| self.model.unique_holder(e.index, &e.key).as_ref() == Some(&item)).collect::<Vec<_>>()
        };
        // Unique values belong to one table, as an index does.
        let is_first = table == TABLE;
        let old_entries = if is_first && live.is_some() { held(&["u", "v", "w", "x"], UNIQUE, true) } else { vec![] };
        let new_entries = if op.ends_item() || !is_first { vec![] } else { self.entries() };
        RowChange { table, key: item, check, op, payload: (!op.ends_item()).then(|| self.text()), old_entries, new_entries }
    }

    fn entries(&self) -> Vec<IndexEntry> {
        let mut entries = vec![entry(PLAIN, ["p", "q", "pq"][self.below(3)], false)];
        if self.one_in(2) {
            entries.push(entry(UNIQUE, ["u", "v", "w", "x"][self.below(4)], true));
        }
        entries
    }

    async fn load(&mut self) {
        let table = self.table();
        let states = self.states(table);
        let mut batches: Vec<Result<Vec<RowState>, StoreError>> = vec![Ok(vec![])];
        for state in states.clone() {
            match batches.last_mut() {
                Some(Ok(batch)) if !self.one_in(3) => batch.push(state),
                _ => batches.push(Ok(vec![state])),
            }
        }
        if self.one_in(8) {
            batches.push(Err(StoreError::Full));
            // A state before the error may be refused first.
            assert!(load(&*self.store, table, batches).await.is_err(), "seed {} step {}", self.seed, self.step);
            return;
        }
        let expected = self.model.load(Context::default(), table, "public.t".into(), states.clone(), self.now());
        let got = load(&*self.store, table, batches).await;
        self.same_outcome(&format!("load {table:?} {states:?}"), expected, got);
    }

    /// States that mostly fit: each item's begin behind what it has, the last one sometimes open.
    fn states(&self, table: TableId) -> Vec<RowState> {
        let newest = self.newest();
        let mut states = Vec::new();
        let mut items: Vec<ItemKey> = (0..=self.below(4)).map(|_| self.item()).collect();
        if self.one_in(2) {
            items.sort();
            items.dedup();
        }
        for item in items {
            let all = ScanRequest { table, keys: KeyFilter::points(vec![item.clone()]), ..super::whole(Scope::All, newest) };
            let last = self.model.scan(&all).pop().and_then(|v| v.version.period.end);
            let mut from = last.map_or(self.below(900) as i64, |end| end.to.micros());
            for n in 0..=self.below(3) {
                from += [0, 0, 1, 40, -1][self.below(if n == 0 { 5 } else { 4 })];
                let to = (!self.one_in(5)).then(|| from + [1, 2, 30, 0][self.below(if self.one_in(6) { 4 } else { 3 })]);
                let entries = if table == TABLE { self.entries() } else { vec![] };
                states.push(RowState { key: item.clone(), from: at(from), to: to.map(at), payload: self.text(), entries });
                from = to.unwrap_or(from + 1);
            }
        }
        states
    }

    async fn count(&mut self) {
        let counter = self.below(3) as u32;
        if self.one_in(4) {
            let next = self.below(1000) as u64;
            self.model.set_counter(counter, next);
            self.same("set", (), self.store.set_counter(counter, next).await);
        } else {
            let count = self.below(40) as u64;
            let first = self.model.reserve(counter, count);
            self.same("reserve", first, self.store.reserve(counter, count).await);
        }
        self.same("counter", self.model.counter(counter), self.store.counter(counter).await);
    }

    async fn read(&self) {
        match self.below(8) {
            0 => self.read_items().await,
            1 => self.read_log().await,
            2 => self.read_tables().await,
            _ => self.read_scan().await,
        }
    }

    fn snapshot(&self) -> Snapshot {
        let last = self.model.last_commit();
        if self.one_in(2) {
            return super::snapshot(last);
        }
        let none = CommitStamp { commit: CommitNo::ZERO, time: Timestamp::MIN };
        let commit = CommitNo(self.below(last.commit.0 as usize + 1) as u64);
        super::snapshot(self.model.commit_stamp(commit).unwrap_or(none))
    }

    fn instant(&self) -> Timestamp {
        match self.below(10) {
            0 => Timestamp::MIN,
            1 => Timestamp::MAX,
            2..=4 => {
                let commit = CommitNo(1 + self.below(self.model.last_commit().commit.0 as usize + 1) as u64);
                let time = self.model.commit_stamp(commit).map_or(500, |stamp| stamp.time.micros());
                at(time + self.below(3) as i64 - 1)
            }
            _ => at(self.below(self.now().micros().max(1) as usize + 20) as i64),
        }
    }

    fn scope(&self) -> Scope {
        let (from, until) = (self.instant(), self.instant());
        match self.below(9) {
            0 => Scope::Current,
            1..=3 => Scope::AsOf(from),
            4 => Scope::AsOfCommit(CommitNo(self.below(self.model.last_commit().commit.0 as usize + 2) as u64)),
            5 => Scope::FromTo { from, until },
            6 => Scope::Between { from, until },
            7 => Scope::ContainedIn { from, until },
            _ => Scope::All,
        }
    }

    fn filter(&self, of: impl Fn() -> ItemKey) -> KeyFilter {
        let bound = || match self.below(3) {
            0 => Bound::Included(of()),
            1 => Bound::Excluded(of()),
            _ => Bound::Unbounded,
        };
        match self.below(4) {
            0 => KeyFilter::points((0..self.below(5)).map(|_| of()).collect()),
            1 => KeyFilter::Range { low: bound(), high: bound() },
            2 => KeyFilter::prefix(of().as_bytes().split_last().map_or(&[], |(_, rest)| rest)),
            _ => KeyFilter::All,
        }
    }

    async fn read_items(&self) {
        let scope = match self.scope() {
            scope @ (Scope::Current | Scope::AsOf(_) | Scope::AsOfCommit(_)) => scope,
            _ => Scope::Current,
        };
        let keys: Vec<ItemKey> = (0..self.below(4)).map(|_| self.item()).collect();
        let (table, snapshot) = (self.table(), self.snapshot());
        let expected = self.model.get(table, &keys, scope, snapshot);
        self.same(&format!("{scope:?} {snapshot:?}"), expected, self.store.get(table, &keys, scope, snapshot).await);
    }

    async fn read_scan(&self) {
        let request = ScanRequest {
            table: self.table(),
            snapshot: self.snapshot(),
            scope: self.scope(),
            keys: self.filter(|| self.item()),
            candidates: None,
            payloads: !self.one_in(5),
            limit: self.one_in(4).then(|| self.below(6)),
        };
        let mut expected = self.model.scan(&request);
        if !request.payloads {
            expected.iter_mut().for_each(|v| v.payload = doc(""));
        }
        self.same(&format!("{request:?}"), expected, scan(&*self.store, request.clone()).await);
        self.read_candidates(ScanRequest { payloads: true, limit: None, ..request }).await;
    }

    /// All that have the entry, in order, and nothing that the scan without candidates has not.
    async fn read_candidates(&self, request: ScanRequest) {
        let index = IndexId([UNIQUE, PLAIN][self.below(2)]);
        let value = || key(["p", "q", "pq", "u", "v", "w", "x"][self.below(7)]);
        let narrowed =
            ScanRequest { candidates: Some(IndexCandidates { index, keys: self.filter(value) }.into()), ..request.clone() };
        let (all, least) = (self.model.scan(&request), self.model.scan(&narrowed));
        let got = scan(&*self.store, narrowed.clone()).await.unwrap_or_else(|e| panic!("seed {}: {e:?}", self.seed));
        let kept = all.into_iter().filter(|v| got.contains(v)).collect::<Vec<_>>();
        self.same(&format!("{narrowed:?}"), kept, Ok(got.clone()));
        assert!(least.iter().all(|v| got.contains(v)), "seed {} step {}: {narrowed:?} lost a version", self.seed, self.step);
    }

    async fn read_log(&self) {
        let (from, to) = (CommitNo(self.below(20) as u64), CommitNo(self.below(60) as u64));
        let mut got = Vec::new();
        let mut batches = self.store.commits(from, to);
        while let Some(batch) = batches.next().await {
            got.extend(batch.unwrap_or_else(|e| panic!("seed {}: {e:?}", self.seed)));
        }
        self.same("commits", self.model.commits(from, to), Ok(got));
        self.same("stamp", self.model.commit_stamp(to), self.store.commit_stamp(to).await);
        let at = self.instant();
        self.same(&format!("commit at {at:?}"), self.model.commit_at(at), self.store.commit_at(at).await);
    }

    async fn read_tables(&self) {
        let (table, snapshot) = (self.table(), self.snapshot());
        self.same("last change", self.model.last_change(table), self.store.last_change(table).await);
        let count = self.store.live_count(table, snapshot).await;
        let expected = self.model.live_count(table, snapshot);
        self.same("live count", expected, count.map(|known| known.unwrap_or(expected)));
        let value = key(["u", "v", "w", "x"][self.below(4)]);
        let holder = self.model.unique_holder(IndexId(UNIQUE), &value);
        self.same("holder", holder, self.store.unique_holder(IndexId(UNIQUE), &value).await);
        let mut rows = self.store.catalog().await;
        let order = |rows: &mut Vec<crate::store::CatalogRow>| {
            rows.sort_by(|a, b| (a.begun, &a.kind, a.id).cmp(&(b.begun, &b.kind, b.id)))
        };
        let _ = rows.as_mut().map(order);
        let mut expected = self.model.catalog();
        order(&mut expected);
        self.same("catalog", expected, rows);
    }
}

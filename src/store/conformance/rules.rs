//! The contract of an index store, rule by rule. Each function is one rule and begins with an empty store.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite of tests: what fails ends it")]

use std::future::ready;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::{TABLE, at, change, create, delete, doc, entry, key, load, rows, scan, snapshot, state, update, whole};
use crate::runtime::{Clock, ManualClock};
use crate::store::{
    CatalogChange, CommitRequest, HeadCheck, IndexBackfill, IndexCandidates, IndexStore, PayloadRef, Requirement, RowChange,
    ScanRequest, StoreError, StoredVersion,
};
use crate::versions::{CommitNo, CommitStamp, Context, IndexId, KeyFilter, Op, Scope, TableId, Timestamp, VersionNo};

struct Fresh {
    clock: Arc<ManualClock>,
    store: Arc<dyn IndexStore>,
}

impl Fresh {
    /// Commits at this time of the clock.
    async fn commit(&self, micros: i64, changes: Vec<RowChange>) -> Result<CommitStamp, StoreError> {
        self.clock.set(micros);
        self.store.commit(rows(changes)).await
    }

    /// `key:number:op:from..to:end_op:payload` of each state, as the newest snapshot sees them.
    async fn see(&self, scope: Scope) -> Vec<String> {
        self.see_at(scope, self.store.last_commit()).await
    }

    async fn see_at(&self, scope: Scope, stamp: CommitStamp) -> Vec<String> {
        scan(&*self.store, whole(scope, snapshot(stamp))).await.unwrap().iter().map(show).collect()
    }
}

fn show(state: &StoredVersion) -> String {
    let name: String = state.key.as_bytes().iter().filter(|b| b.is_ascii_graphic()).map(|b| char::from(*b)).collect();
    let version = state.version;
    let end = version.period.end.map_or("..".to_owned(), |end| format!("..{} {}", end.to.micros(), end.op.name()));
    let text = match &state.payload {
        PayloadRef::Inline(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        PayloadRef::Object { name, .. } => name.clone(),
    };
    format!("{name} {} {} {}{end} {text}", version.number.0, version.op.name(), version.period.from.micros())
}

macro_rules! rules {
    ($($rule:ident,)*) => {
        /// Every rule, in order.
        pub async fn all(make: &impl AsyncFn(Arc<dyn Clock>) -> Arc<dyn IndexStore>) {
            $(
                eprintln!("rule {}", stringify!($rule));
                let clock = Arc::new(ManualClock::at(100));
                let store = make(clock.clone()).await;
                $rule(Fresh { clock, store }).await;
            )*
        }
    };
}

rules! {
    commits_are_numbered_from_one_and_times_increase,
    a_refused_commit_leaves_nothing,
    a_change_needs_the_head_it_was_made_for,
    every_change_of_an_item_takes_a_number,
    each_scope_has_its_bounds,
    a_commit_number_names_the_state_it_left,
    a_snapshot_reads_the_same_whatever_is_written,
    scans_are_ordered_and_keep_to_their_keys,
    a_long_scan_is_whole_and_may_be_dropped,
    a_payload_comes_back_as_it_was,
    a_unique_key_has_one_live_holder,
    rows_of_one_commit_may_exchange_unique_keys,
    candidates_lose_no_version,
    a_new_index_is_filled_with_its_commit,
    what_a_commit_requires_must_hold,
    truncate_ends_every_item_in_one_commit,
    a_load_brings_its_own_periods,
    a_load_goes_on_where_another_ended,
    a_load_that_cannot_be_is_refused_as_a_whole,
    an_abandoned_load_leaves_nothing,
    loaded_items_change_like_others,
    definitions_are_kept_with_their_commits,
    a_commit_planned_under_old_definitions_is_refused,
    counters_never_give_a_number_twice,
    the_log_tells_who_and_why,
    borders_part_the_live_items_into_equal_shares,
    live_items_are_counted_or_not_known,
    the_first_of_many_writers_wins,
    a_closed_store_refuses,
}

async fn commits_are_numbered_from_one_and_times_increase(fresh: Fresh) {
    let none = CommitStamp { commit: CommitNo(0), time: Timestamp::MIN };
    assert_eq!(fresh.store.last_commit(), none);
    assert_eq!(fresh.store.commit(CommitRequest::default()).await.unwrap(), none, "nothing makes no commit");
    let stamp = |n, micros| CommitStamp { commit: CommitNo(n), time: at(micros) };
    assert_eq!(fresh.commit(500, vec![create("a", "1")]).await.unwrap(), stamp(1, 500));
    assert_eq!(fresh.commit(500, vec![create("b", "1")]).await.unwrap(), stamp(2, 501), "the clock stands still");
    assert_eq!(fresh.commit(90, vec![create("c", "1")]).await.unwrap(), stamp(3, 502), "the clock runs back");
    let timed = |time| CommitRequest { time: Some(at(time)), ..rows(vec![create(&format!("t{time}"), "1")]) };
    assert_eq!(fresh.store.commit(timed(9_000)).await.unwrap(), stamp(4, 9_000));
    assert_eq!(fresh.store.commit(timed(8_000)).await.unwrap(), stamp(5, 9_001), "a given time is no exception");
    assert_eq!(fresh.store.last_commit(), stamp(5, 9_001));
}

async fn a_refused_commit_leaves_nothing(fresh: Fresh) {
    let first = fresh.commit(500, vec![create("a", "1")]).await.unwrap();
    let mut fails = rows(vec![create("b", "1"), update("a", 0, "2"), create("a", "3")]);
    fails.rows[0].new_entries.push(entry(1, "v", true));
    fails.catalog.push(CatalogChange { kind: "table".into(), id: 1, definition: Some("{}".into()) });
    assert!(fresh.store.commit(fails).await.is_err());
    assert_eq!(fresh.store.last_commit(), first);
    assert_eq!(fresh.see(Scope::All).await, ["a 0 CREATE 500.. 1"]);
    assert_eq!(fresh.store.unique_holder(IndexId(1), &key("v")).await.unwrap(), None);
    assert_eq!(fresh.store.catalog().await.unwrap(), []);
    assert_eq!(fresh.commit(600, vec![create("b", "1")]).await.unwrap().commit, CommitNo(2), "its number is free again");
}

async fn a_change_needs_the_head_it_was_made_for(fresh: Fresh) {
    fresh.commit(500, vec![create("a", "1"), create("b", "1")]).await.unwrap();
    fresh.commit(600, vec![update("a", 0, "2"), delete("b", 0)]).await.unwrap();
    let refused = async |changes| fresh.commit(700, changes).await.unwrap_err();
    let is_a = |k: &crate::versions::ItemKey| *k == key("a");
    assert!(matches!(refused(vec![create("a", "3")]).await, StoreError::KeyExists { table: TABLE, key } if is_a(&key)));
    assert!(matches!(refused(vec![update("a", 0, "3")]).await, StoreError::Conflict { table: TABLE, key } if is_a(&key)));
    assert!(matches!(refused(vec![delete("a", 7)]).await, StoreError::Conflict { .. }));
    assert!(matches!(refused(vec![update("b", 0, "3")]).await, StoreError::Conflict { .. }), "b has been deleted");
    assert!(matches!(refused(vec![delete("nobody", 0)]).await, StoreError::Conflict { .. }));
    for malformed in [
        change("c", HeadCheck::Absent, Op::Update, Some("1")),
        change("c", HeadCheck::Absent, Op::Delete, None),
        change("c", HeadCheck::Absent, Op::Create, None),
        change("a", HeadCheck::At(VersionNo(1)), Op::Create, Some("1")),
        change("a", HeadCheck::At(VersionNo(1)), Op::Delete, Some("1")),
    ] {
        assert!(matches!(refused(vec![malformed]).await, StoreError::Engine(_)));
    }
    assert!(
        matches!(refused(vec![update("a", 1, "3"), update("a", 2, "4")]).await, StoreError::Engine(_)),
        "twice in one commit"
    );
}

async fn every_change_of_an_item_takes_a_number(fresh: Fresh) {
    fresh.commit(500, vec![create("a", "1")]).await.unwrap();
    fresh.commit(600, vec![update("a", 0, "2")]).await.unwrap();
    fresh.commit(700, vec![delete("a", 1)]).await.unwrap();
    assert_eq!(fresh.see(Scope::Current).await, [""; 0]);
    fresh.commit(800, vec![create("a", "3")]).await.unwrap();
    fresh.commit(900, vec![change("a", HeadCheck::At(VersionNo(3)), Op::Restore, Some("2"))]).await.unwrap();
    let history =
        ["a 0 CREATE 500..600 UPDATE 1", "a 1 UPDATE 600..700 DELETE 2", "a 3 CREATE 800..900 RESTORE 3", "a 4 RESTORE 900.. 2"];
    assert_eq!(fresh.see(Scope::All).await, history);
}

async fn each_scope_has_its_bounds(fresh: Fresh) {
    fresh.commit(500, vec![create("a", "1")]).await.unwrap();
    fresh.commit(600, vec![update("a", 0, "2")]).await.unwrap();
    fresh.commit(700, vec![delete("a", 1)]).await.unwrap();
    fresh.commit(800, vec![create("a", "3")]).await.unwrap();
    let numbers = async |scope| {
        let found = scan(&*fresh.store, whole(scope, snapshot(fresh.store.last_commit()))).await.unwrap();
        found.iter().map(|v| v.version.number.0).collect::<Vec<_>>()
    };
    let as_of = |micros| Scope::AsOf(at(micros));
    assert_eq!(numbers(as_of(499)).await, [] as [u64; 0]);
    assert_eq!(numbers(as_of(500)).await, [0], "the begin belongs to the state");
    assert_eq!(numbers(as_of(599)).await, [0]);
    assert_eq!(numbers(as_of(600)).await, [1], "the end does not");
    assert_eq!(numbers(as_of(700)).await, [] as [u64; 0]);
    assert_eq!(numbers(as_of(i64::MAX)).await, [3]);
    let from_to = |from, until| Scope::FromTo { from: at(from), until: at(until) };
    assert_eq!(numbers(from_to(400, 500)).await, [] as [u64; 0], "until is exclusive");
    assert_eq!(numbers(from_to(400, 501)).await, [0]);
    assert_eq!(numbers(from_to(600, 700)).await, [1], "what ended at from is not in it");
    assert_eq!(numbers(from_to(600, 600)).await, [] as [u64; 0]);
    assert_eq!(numbers(from_to(700, 600)).await, [] as [u64; 0]);
    let between = |from, until| Scope::Between { from: at(from), until: at(until) };
    assert_eq!(numbers(between(400, 500)).await, [0], "until is inclusive");
    assert_eq!(numbers(between(600, 800)).await, [1, 3]);
    assert_eq!(numbers(between(600, 600)).await, [1]);
    assert_eq!(numbers(between(700, 600)).await, [] as [u64; 0]);
    let contained = |from, until| Scope::ContainedIn { from: at(from), until: at(until) };
    assert_eq!(numbers(contained(500, 600)).await, [0]);
    assert_eq!(numbers(contained(501, 700)).await, [1]);
    assert_eq!(numbers(contained(500, 699)).await, [0]);
    assert_eq!(numbers(contained(0, i64::MAX)).await, [0, 1], "an open state has not ended");
    assert_eq!(numbers(Scope::All).await, [0, 1, 3]);
    assert_eq!(numbers(Scope::Current).await, [3]);
}

async fn a_commit_number_names_the_state_it_left(fresh: Fresh) {
    fresh.commit(500, vec![create("a", "1")]).await.unwrap();
    fresh.commit(600, vec![update("a", 0, "2"), create("b", "1")]).await.unwrap();
    fresh.commit(700, vec![delete("a", 1)]).await.unwrap();
    let at_commit = |n| Scope::AsOfCommit(CommitNo(n));
    assert_eq!(fresh.see(at_commit(0)).await, [""; 0]);
    assert_eq!(fresh.see(at_commit(1)).await, ["a 0 CREATE 500..600 UPDATE 1"]);
    assert_eq!(fresh.see(at_commit(2)).await, ["a 1 UPDATE 600..700 DELETE 2", "b 0 CREATE 600.. 1"]);
    assert_eq!(fresh.see(at_commit(3)).await, ["b 0 CREATE 600.. 1"]);
    assert_eq!(fresh.see(at_commit(99)).await, ["b 0 CREATE 600.. 1"], "the snapshot is the bound");
}

async fn a_snapshot_reads_the_same_whatever_is_written(fresh: Fresh) {
    fresh.commit(500, vec![create("a", "1"), create("b", "1")]).await.unwrap();
    let before = fresh.commit(600, vec![update("a", 0, "2")]).await.unwrap();
    let scopes = [Scope::Current, Scope::AsOf(at(550)), Scope::AsOf(at(5_000)), Scope::AsOfCommit(CommitNo(1)), Scope::All];
    let mut seen = Vec::new();
    for scope in scopes {
        seen.push(fresh.see_at(scope, before).await);
    }
    assert_eq!(seen[0], ["a 1 UPDATE 600.. 2", "b 0 CREATE 500.. 1"]);
    fresh.commit(700, vec![update("a", 1, "3"), delete("b", 0), create("c", "1")]).await.unwrap();
    fresh.store.commit(CommitRequest { truncate: vec![(TABLE, CommitNo(3))], ..CommitRequest::default() }).await.unwrap();
    for (scope, before_it) in scopes.into_iter().zip(seen) {
        assert_eq!(fresh.see_at(scope, before).await, before_it, "{scope:?}");
    }
    let got = fresh.store.get(TABLE, &[key("b"), key("c")], Scope::AsOf(at(9_000)), snapshot(before)).await.unwrap();
    assert_eq!(got.iter().flatten().map(show).collect::<Vec<_>>(), ["b 0 CREATE 500.. 1"]);
}

async fn scans_are_ordered_and_keep_to_their_keys(fresh: Fresh) {
    fresh.commit(500, ["d", "a", "c", "b", "ca"].map(|name| create(name, "1")).to_vec()).await.unwrap();
    fresh.commit(600, vec![update("c", 0, "2"), delete("b", 0)]).await.unwrap();
    let other = RowChange { table: TableId(TABLE.0 + 1), ..create("c", "other") };
    fresh.commit(700, vec![other]).await.unwrap();
    let names = async |keys, scope, limit| {
        let request = ScanRequest { keys, limit, ..whole(scope, snapshot(fresh.store.last_commit())) };
        let found = scan(&*fresh.store, request).await.unwrap();
        found.iter().map(|v| format!("{}{}", show(v).split(' ').next().unwrap(), v.version.number.0)).collect::<Vec<_>>()
    };
    let range = |low, high| KeyFilter::Range { low, high };
    assert_eq!(names(KeyFilter::All, Scope::All, None).await, ["a0", "b0", "c0", "c1", "ca0", "d0"]);
    assert_eq!(names(KeyFilter::All, Scope::All, Some(3)).await, ["a0", "b0", "c0"]);
    assert_eq!(names(KeyFilter::All, Scope::All, Some(0)).await, [""; 0]);
    assert_eq!(names(range(Bound::Included(key("a")), Bound::Excluded(key("c"))), Scope::All, None).await, ["a0", "b0"]);
    assert_eq!(names(range(Bound::Excluded(key("a")), Bound::Included(key("c"))), Scope::All, None).await, ["b0", "c0", "c1"]);
    assert_eq!(names(range(Bound::Excluded(key("c")), Bound::Unbounded), Scope::Current, None).await, ["ca0", "d0"]);
    assert_eq!(names(range(Bound::Included(key("d")), Bound::Included(key("a"))), Scope::All, None).await, [""; 0]);
    let prefix = KeyFilter::prefix(&key("c").as_bytes()[..2]);
    assert_eq!(names(prefix, Scope::Current, None).await, ["c1", "ca0"]);
    let points = KeyFilter::points(["ca", "zz", "c", "b"].map(key).to_vec());
    assert_eq!(names(points.clone(), Scope::All, None).await, ["b0", "c0", "c1", "ca0"]);
    assert_eq!(names(points.clone(), Scope::Current, None).await, ["c1", "ca0"]);
    assert_eq!(names(points, Scope::Current, Some(1)).await, ["c1"]);
    let got =
        fresh.store.get(TABLE, &["d", "b", "d"].map(key), Scope::Current, snapshot(fresh.store.last_commit())).await.unwrap();
    assert_eq!(got.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true], "in the order asked for");
}

async fn a_long_scan_is_whole_and_may_be_dropped(fresh: Fresh) {
    const ITEMS: usize = 6_000;
    let name = |n: usize| format!("{n:06}");
    let text = "x".repeat(300);
    let loaded = (0..ITEMS).map(|n| state(&name(n), 10, Some(20), &text)).collect();
    load(&*fresh.store, TABLE, vec![Ok(loaded)]).await.unwrap();
    fresh.commit(500, (0..ITEMS).map(|n| create(&name(n), &text)).collect()).await.unwrap();
    let mut at_500 = whole(Scope::All, snapshot(fresh.store.last_commit()));
    let mut batches = fresh.store.scan(at_500.clone());
    let mut found = batches.next().await.unwrap().unwrap();
    assert!(found.len() < ITEMS, "a batch is bounded");
    // What is written between two batches of a scan moves states about under it.
    let changed = (0..ITEMS).step_by(3).map(|n| update(&name(n), 2, "new")).collect();
    fresh.commit(600, changed).await.unwrap();
    fresh.commit(700, (1..ITEMS).step_by(3).map(|n| delete(&name(n), 2)).collect()).await.unwrap();
    while let Some(batch) = batches.next().await {
        found.extend(batch.unwrap());
    }
    assert_eq!(found.len(), 2 * ITEMS);
    assert!(found.is_sorted_by_key(|v| (v.key.clone(), v.version.period.from)));
    assert!(found.iter().all(|v| v.payload == doc(&text)));
    for scope in [Scope::Current, Scope::AsOf(at(550)), Scope::AsOfCommit(CommitNo(2))] {
        at_500.scope = scope;
        assert_eq!(scan(&*fresh.store, at_500.clone()).await.unwrap().len(), ITEMS, "{scope:?}");
    }
    at_500.limit = Some(ITEMS - 1);
    assert_eq!(scan(&*fresh.store, at_500.clone()).await.unwrap().len(), ITEMS - 1);
    let mut dropped = fresh.store.scan(at_500);
    assert!(dropped.next().await.unwrap().is_ok());
    drop(dropped);
    fresh.commit(800, vec![create("last", "1")]).await.unwrap();
}

async fn a_payload_comes_back_as_it_was(fresh: Fresh) {
    let large = PayloadRef::Inline(Bytes::from((0..3_000_000_u32).map(|n| n as u8).collect::<Vec<_>>()));
    let object = PayloadRef::Object { name: "a:b/c é".into(), size: 12, sha256: [0xab; 32] };
    let empty = doc("");
    let payloads = [("a", large), ("b", object), ("c", empty)];
    let creates = payloads.iter().map(|(name, p)| RowChange { payload: Some(p.clone()), ..create(name, "") });
    fresh.commit(500, creates.collect()).await.unwrap();
    let now = snapshot(fresh.store.last_commit());
    for (scanned, (name, payload)) in scan(&*fresh.store, whole(Scope::Current, now)).await.unwrap().iter().zip(&payloads) {
        assert!(scanned.payload == *payload);
        let got = fresh.store.get(TABLE, &[key(name)], Scope::Current, now).await.unwrap();
        assert!(got[0].as_ref().unwrap().payload == *payload);
    }
    let bare = ScanRequest { payloads: false, ..whole(Scope::Current, now) };
    assert!(scan(&*fresh.store, bare).await.unwrap().iter().all(|v| v.payload == doc("")));
}

fn with_entries(mut change: RowChange, old: &[(u32, &str, bool)], new: &[(u32, &str, bool)]) -> RowChange {
    let entries = |of: &[(u32, &str, bool)]| of.iter().map(|(index, value, unique)| entry(*index, value, *unique)).collect();
    change.old_entries = entries(old);
    change.new_entries = entries(new);
    change
}

async fn a_unique_key_has_one_live_holder(fresh: Fresh) {
    let v = (1, "v", true);
    let holder = async || fresh.store.unique_holder(IndexId(1), &key("v")).await.unwrap();
    fresh.commit(500, vec![with_entries(create("a", "1"), &[], &[v])]).await.unwrap();
    assert_eq!(holder().await, Some(key("a")));
    let twice = fresh.commit(600, vec![with_entries(create("b", "1"), &[], &[v])]).await.unwrap_err();
    assert!(matches!(twice, StoreError::UniqueExists { index: IndexId(1), key: k } if k == key("v")));
    fresh.commit(600, vec![with_entries(create("b", "1"), &[], &[(1, "v", false)])]).await.unwrap();
    assert_eq!(holder().await, Some(key("a")), "an entry that is not unique takes nothing and is not refused");
    fresh.commit(700, vec![with_entries(update("a", 0, "2"), &[v], &[v])]).await.unwrap();
    assert_eq!(holder().await, Some(key("a")), "an update may keep its key");
    fresh.commit(800, vec![with_entries(delete("a", 1), &[v], &[])]).await.unwrap();
    assert_eq!(holder().await, None);
    fresh.commit(900, vec![with_entries(create("c", "1"), &[], &[v])]).await.unwrap();
    assert_eq!(holder().await, Some(key("c")));
    let same =
        vec![with_entries(create("d", "1"), &[], &[(1, "w", true)]), with_entries(create("e", "1"), &[], &[(1, "w", true)])];
    assert!(matches!(fresh.commit(950, same).await, Err(StoreError::UniqueExists { .. })), "within one commit too");
}

async fn rows_of_one_commit_may_exchange_unique_keys(fresh: Fresh) {
    let (v, w) = ((1, "v", true), (1, "w", true));
    fresh.commit(500, vec![with_entries(create("a", "1"), &[], &[v]), with_entries(create("b", "1"), &[], &[w])]).await.unwrap();
    let exchange = vec![with_entries(update("a", 0, "2"), &[v], &[w]), with_entries(update("b", 0, "2"), &[w], &[v])];
    fresh.commit(600, exchange).await.unwrap();
    assert_eq!(fresh.store.unique_holder(IndexId(1), &key("v")).await.unwrap(), Some(key("b")));
    assert_eq!(fresh.store.unique_holder(IndexId(1), &key("w")).await.unwrap(), Some(key("a")));
}

async fn candidates_lose_no_version(fresh: Fresh) {
    let mut changes: Vec<_> =
        (0..30).map(|n| with_entries(create(&format!("x{n:02}"), "1"), &[], &[(2, "red", false)])).collect();
    changes.push(with_entries(create("a", "1"), &[], &[(2, "red", false)]));
    changes.push(with_entries(create("b", "1"), &[], &[(2, "green", false)]));
    fresh.commit(500, changes).await.unwrap();
    fresh.commit(600, vec![with_entries(update("a", 0, "2"), &[(2, "red", false)], &[(2, "blue", false)])]).await.unwrap();
    let find = async |keys, scope| {
        let candidates = Some(IndexCandidates { index: IndexId(2), keys }.into());
        let request = ScanRequest { candidates, ..whole(scope, snapshot(fresh.store.last_commit())) };
        scan(&*fresh.store, request).await.unwrap().iter().map(show).collect::<Vec<_>>()
    };
    let red = KeyFilter::points(vec![key("red")]);
    let found = find(red.clone(), Scope::AsOf(at(550))).await;
    assert!(found.contains(&"a 0 CREATE 500..600 UPDATE 1".to_owned()), "a was red then");
    assert!(found.len() >= 31 && found.is_sorted());
    let blue_or_green = KeyFilter::Range { low: Bound::Included(key("blue")), high: Bound::Excluded(key("red")) };
    let found = find(blue_or_green, Scope::Current).await;
    assert!(found.contains(&"a 1 UPDATE 600.. 2".to_owned()) && found.contains(&"b 0 CREATE 500.. 1".to_owned()));
}

async fn a_new_index_is_filled_with_its_commit(fresh: Fresh) {
    fresh.commit(500, vec![create("a", "1"), create("b", "1")]).await.unwrap();
    let fill = |seen, entries| {
        let entries = entries_of(entries);
        CommitRequest {
            backfill: vec![IndexBackfill { table: TABLE, seen: CommitNo(seen), entries }],
            ..CommitRequest::default()
        }
    };
    fn entries_of(of: &[(&str, &str)]) -> Vec<(crate::versions::ItemKey, crate::store::IndexEntry)> {
        of.iter().map(|(item, value)| (key(item), entry(1, value, true))).collect()
    }
    let both = [("a", "v"), ("b", "v")];
    assert!(matches!(fresh.store.commit(fill(1, &both)).await, Err(StoreError::UniqueExists { .. })), "values are not unique");
    let stale = fresh.store.commit(fill(0, &[("a", "v")])).await;
    assert!(matches!(stale, Err(StoreError::Conflict { table: TABLE, .. })), "the table has changed since it was read");
    fresh.store.commit(fill(1, &[("a", "v"), ("b", "w")])).await.unwrap();
    assert_eq!(fresh.store.unique_holder(IndexId(1), &key("w")).await.unwrap(), Some(key("b")));
}

async fn truncate_ends_every_item_in_one_commit(fresh: Fresh) {
    let other = TableId(TABLE.0 + 1);
    let v = (1, "v", true);
    let changes =
        vec![with_entries(create("a", "1"), &[], &[v]), create("b", "1"), RowChange { table: other, ..create("a", "1") }];
    fresh.commit(500, changes).await.unwrap();
    let truncate = |seen| CommitRequest { truncate: vec![(TABLE, CommitNo(seen))], ..CommitRequest::default() };
    assert!(matches!(fresh.store.commit(truncate(0)).await, Err(StoreError::Conflict { table: TABLE, .. })));
    fresh.clock.set(600);
    let again = CommitRequest { rows: vec![with_entries(create("a", "2"), &[], &[v])], ..truncate(1) };
    fresh.store.commit(again).await.unwrap();
    let history = ["a 0 CREATE 500..600 TRUNCATE 1", "a 2 CREATE 600.. 2", "b 0 CREATE 500..600 TRUNCATE 1"];
    assert_eq!(fresh.see(Scope::All).await, history);
    let now = snapshot(fresh.store.last_commit());
    assert!(fresh.store.get(other, &[key("a")], Scope::Current, now).await.unwrap()[0].is_some(), "another table stays");
    assert_eq!(fresh.store.live_count(TABLE, now).await.unwrap().unwrap_or(1), 1);
    let log: Vec<_> = fresh.store.commits(CommitNo(2), CommitNo(2)).try_concat().await.unwrap();
    assert_eq!(log[0].rows, 3, "two ended, one made");
}

async fn a_load_brings_its_own_periods(fresh: Fresh) {
    let batches = vec![
        Ok(vec![state("b", 10, Some(20), "1"), state("b", 20, Some(30), "2")]),
        Ok(vec![]),
        Ok(vec![state("a", 10, Some(20), "1")]),
        Ok(vec![state("b", 40, None, "3"), state("a", 20, None, "2")]),
    ];
    assert_eq!(load(&*fresh.store, TABLE, vec![Ok(vec![])]).await.unwrap(), (fresh.store.last_commit(), 0), "nothing, no commit");
    let (stamp, count) = load(&*fresh.store, TABLE, batches).await.unwrap();
    assert_eq!((stamp, count), (CommitStamp { commit: CommitNo(1), time: at(100) }, 5));
    let history = [
        "a 0 CREATE 10..20 UPDATE 1",
        "a 1 UPDATE 20.. 2",
        "b 0 CREATE 10..20 UPDATE 1",
        "b 1 UPDATE 20..30 DELETE 2",
        "b 3 CREATE 40.. 3",
    ];
    assert_eq!(fresh.see(Scope::All).await, history);
    assert_eq!(fresh.see(Scope::AsOf(at(25))).await, [history[1], history[3]]);
    assert_eq!(fresh.see(Scope::AsOf(at(35))).await, [history[1]]);
    assert_eq!(fresh.see(Scope::Current).await, [history[1], history[4]]);
    assert_eq!(fresh.see(Scope::AsOfCommit(CommitNo(1))).await, [history[1], history[4]], "a load is one commit");
    assert_eq!(fresh.see(Scope::AsOfCommit(CommitNo(0))).await, [""; 0]);
    let log: Vec<_> = fresh.store.commits(CommitNo(0), CommitNo::MAX).try_concat().await.unwrap();
    assert_eq!((log.len(), log[0].rows, log[0].tables.as_slice()), (1, 5, ["public.t".to_owned()].as_slice()));
}

async fn a_load_goes_on_where_another_ended(fresh: Fresh) {
    let closed = ["a", "b", "c"].map(|name| state(name, 10, Some(20), "1")).to_vec();
    load(&*fresh.store, TABLE, vec![Ok(closed)]).await.unwrap();
    assert_eq!(fresh.see(Scope::All).await[0], "a 0 CREATE 10..20 DELETE 1");
    load(&*fresh.store, TABLE, vec![Ok(vec![state("a", 20, None, "2"), state("b", 30, None, "2")])]).await.unwrap();
    let history = [
        "a 0 CREATE 10..20 UPDATE 1",
        "a 1 UPDATE 20.. 2",
        "b 0 CREATE 10..20 DELETE 1",
        "b 2 CREATE 30.. 2",
        "c 0 CREATE 10..20 DELETE 1",
    ];
    assert_eq!(fresh.see(Scope::All).await, history);
}

async fn a_load_that_cannot_be_is_refused_as_a_whole(fresh: Fresh) {
    fresh.commit(500, vec![create("live", "1"), create("ended", "1")]).await.unwrap();
    fresh.commit(600, vec![delete("ended", 0)]).await.unwrap();
    let before = fresh.store.last_commit();
    fresh.clock.set(1_000);
    let good = || state("good", 10, Some(20), "1");
    for (wrong, rule) in [
        (vec![state("x", 20, Some(20), "1")], "an empty period"),
        (vec![state("x", 20, Some(10), "1")], "a reversed one"),
        (vec![state("x", 10, Some(2_000), "1")], "one that ends in the future"),
        (vec![state("x", 2_000, None, "1")], "one that begins in the future"),
        (vec![state("x", 10, Some(30), "1"), state("x", 20, Some(40), "2")], "an overlap"),
        (vec![state("x", 30, Some(40), "1"), state("x", 10, Some(20), "2")], "running backwards"),
        (vec![state("x", 10, None, "1"), state("x", 20, Some(30), "2")], "a state after an open one"),
        (vec![state("x", 10, None, "1"), good(), state("x", 20, Some(30), "2")], "the same, apart"),
        (vec![state("live", 700, None, "1")], "an item that lives"),
        (vec![state("ended", 550, Some(560), "1")], "what the item has"),
    ] {
        let states = [vec![good()], wrong].concat();
        let refused = load(&*fresh.store, TABLE, vec![Ok(states)]).await;
        assert!(matches!(refused, Err(StoreError::BadPeriod { table: TABLE, .. })), "{rule}: {refused:?}");
    }
    assert_eq!(fresh.store.last_commit(), before);
    assert_eq!(fresh.see(Scope::All).await.len(), 2);
    let taken = |name: &str| crate::store::RowState { entries: vec![entry(1, "v", true)], ..state(name, 10, None, "1") };
    assert!(matches!(
        load(&*fresh.store, TABLE, vec![Ok(vec![taken("x"), taken("y")])]).await,
        Err(StoreError::UniqueExists { .. })
    ));
    load(&*fresh.store, TABLE, vec![Ok(vec![state("ended", 600, None, "2")])]).await.unwrap();
    let ended = ["ended 0 CREATE 500..600 DELETE 1", "ended 2 CREATE 600.. 2", "live 0 CREATE 500.. 1"];
    assert_eq!(fresh.see(Scope::All).await, ended, "what a commit has ended stays so");
}

async fn an_abandoned_load_leaves_nothing(fresh: Fresh) {
    let batches = vec![Ok(vec![state("a", 10, None, "1")]), Err(StoreError::Full)];
    assert!(matches!(load(&*fresh.store, TABLE, batches).await, Err(StoreError::Full)));
    assert_eq!(fresh.store.last_commit().commit, CommitNo::ZERO);
    let (send, states) = tokio::sync::mpsc::channel(1);
    let request = crate::store::LoadRequest { context: Context::default(), table: TABLE, table_name: "t".into(), states };
    let mut loading = fresh.store.load(request);
    send.send(Ok(vec![state("a", 10, None, "1")])).await.unwrap();
    assert!(futures::poll!(&mut loading).is_pending());
    drop(loading);
    fresh.commit(500, vec![create("a", "2")]).await.unwrap();
    assert_eq!(fresh.see(Scope::All).await, ["a 0 CREATE 500.. 2"]);
}

async fn loaded_items_change_like_others(fresh: Fresh) {
    let states = vec![state("a", 10, Some(20), "1"), state("a", 20, None, "2"), state("b", 10, Some(20), "1")];
    load(&*fresh.store, TABLE, vec![Ok(states)]).await.unwrap();
    let loaded = fresh.store.last_commit();
    fresh.commit(500, vec![update("a", 1, "3"), create("b", "2")]).await.unwrap();
    let history = [
        "a 0 CREATE 10..20 UPDATE 1",
        "a 1 UPDATE 20..500 UPDATE 2",
        "a 2 UPDATE 500.. 3",
        "b 0 CREATE 10..20 DELETE 1",
        "b 2 CREATE 500.. 2",
    ];
    assert_eq!(fresh.see(Scope::All).await, history);
    assert_eq!(fresh.see(Scope::AsOf(at(499))).await, [history[1]]);
    assert_eq!(fresh.see_at(Scope::Current, loaded).await, ["a 1 UPDATE 20.. 2"]);
    assert_eq!(fresh.see_at(Scope::AsOf(at(600)), loaded).await, ["a 1 UPDATE 20.. 2"]);
    assert_eq!(fresh.see_at(Scope::AsOf(at(15)), loaded).await, [history[0], history[3]]);
}

async fn definitions_are_kept_with_their_commits(fresh: Fresh) {
    let define = async |kind: &str, id, definition: Option<&str>| {
        let catalog = vec![CatalogChange { kind: kind.into(), id, definition: definition.map(str::to_owned) }];
        fresh.store.commit(CommitRequest { catalog, ..CommitRequest::default() }).await.unwrap()
    };
    let one = define("table", 1, Some("{\"a\":1}")).await;
    let two = define("table", 1, Some("{\"a\":2}")).await;
    define("view", 1, Some("{}")).await;
    let four = define("table", 1, None).await;
    let rows = fresh.store.catalog().await.unwrap();
    let seen: Vec<_> = rows.iter().map(|r| (r.kind.as_str(), r.definition.as_str(), r.begun, r.ended)).collect();
    assert_eq!(seen[0], ("table", "{\"a\":1}", one, Some(two)));
    assert_eq!(seen[1], ("table", "{\"a\":2}", two, Some(four)));
    assert_eq!((seen[2].0, seen[2].3, seen.len()), ("view", None, 3));
}

async fn a_commit_planned_under_old_definitions_is_refused(fresh: Fresh) {
    let catalog = vec![CatalogChange { kind: "table".into(), id: 1, definition: Some("{}".into()) }];
    fresh.commit(500, vec![create("a", "1")]).await.unwrap();
    fresh.store.commit(CommitRequest { catalog, ..CommitRequest::default() }).await.unwrap();
    fresh.commit(600, vec![create("b", "1")]).await.unwrap();
    let planned = |name, seen| CommitRequest { catalog_seen: seen, ..rows(vec![create(name, "1")]) };
    assert!(matches!(fresh.store.commit(planned("c", Some(CommitNo(1)))).await, Err(StoreError::CatalogConflict)));
    fresh.store.commit(planned("c", Some(CommitNo(2)))).await.unwrap();
    fresh.store.commit(planned("d", None)).await.unwrap();
}

async fn counters_never_give_a_number_twice(fresh: Fresh) {
    assert_eq!(fresh.store.counter(1).await.unwrap(), 0);
    assert_eq!(fresh.store.reserve(1, 3).await.unwrap(), 0);
    assert_eq!(fresh.store.reserve(1, 1).await.unwrap(), 3);
    assert_eq!(fresh.store.reserve(2, 1).await.unwrap(), 0, "each counter counts for itself");
    fresh.store.set_counter(1, 100).await.unwrap();
    assert_eq!(fresh.store.counter(1).await.unwrap(), 100);
    let taken = futures::stream::iter(0..64).map(|_| fresh.store.reserve(1, 2)).buffer_unordered(16);
    let mut taken: Vec<u64> = taken.try_collect().await.unwrap();
    taken.sort_unstable();
    assert_eq!(taken, (0..64).map(|n| 100 + 2 * n).collect::<Vec<_>>());
    assert_eq!(fresh.store.last_commit().commit, CommitNo::ZERO, "a counter makes no commit");
}

async fn the_log_tells_who_and_why(fresh: Fresh) {
    let context = Context {
        user: "ann".into(),
        application_name: "psql".into(),
        client_address: "127.0.0.1:9".into(),
        actor: Some("bob".into()),
        reason: Some("a \"reason\"\n".into()),
        context: Some("{\"k\":[1,2]}".into()),
    };
    let request = CommitRequest { context: context.clone(), ..rows(vec![create("a", "1"), create("b", "1")]) };
    let request = CommitRequest { tables: vec!["s.b".into(), "s.a".into(), "s.b".into()], ..request };
    fresh.clock.set(500);
    let first = fresh.store.commit(request).await.unwrap();
    for n in 0..2_500 {
        fresh.commit(600 + n, vec![RowChange { table: TableId(99), ..create(&format!("{n}"), "1") }]).await.unwrap();
    }
    let all: Vec<_> = fresh.store.commits(CommitNo(0), CommitNo::MAX).try_concat().await.unwrap();
    assert_eq!((all[0].stamp, &all[0].context, all[0].rows), (first, &context, 2));
    assert_eq!(all[0].tables, ["s.a", "s.b"], "sorted, each once");
    assert!(all.iter().map(|c| c.stamp.commit.0).eq(1..=2_501), "ascending, without gaps");
    let some: Vec<_> = fresh.store.commits(CommitNo(7), CommitNo(9)).try_concat().await.unwrap();
    assert_eq!(some, all[6..9]);
    let none = fresh.store.commits(CommitNo(9), CommitNo(7)).try_filter(|batch| ready(!batch.is_empty()));
    assert_eq!(none.count().await, 0);
    let stamp_at = async |micros| fresh.store.commit_at(at(micros)).await.unwrap().map(|stamp| stamp.commit.0);
    assert_eq!(stamp_at(499).await, None);
    assert_eq!((stamp_at(500).await, stamp_at(599).await, stamp_at(600).await), (Some(1), Some(1), Some(2)));
    assert_eq!((stamp_at(1_700).await, stamp_at(i64::MAX).await), (Some(1_102), Some(2_501)));
    assert_eq!(fresh.store.commit_stamp(CommitNo(1)).await.unwrap(), Some(first));
    assert_eq!(fresh.store.commit_stamp(CommitNo(0)).await.unwrap(), None);
    assert_eq!(fresh.store.commit_stamp(CommitNo(2_502)).await.unwrap(), None);
    assert_eq!(fresh.store.last_change(TABLE).await.unwrap(), CommitNo(1));
    assert_eq!(fresh.store.last_change(TableId(5)).await.unwrap(), CommitNo(0));
}

async fn borders_part_the_live_items_into_equal_shares(fresh: Fresh) {
    assert_eq!(fresh.store.borders(TABLE, 4).await.unwrap(), [], "an empty table has no shares");
    let names: Vec<String> = (0..400).map(|n| format!("{n:04}")).collect();
    fresh.commit(500, names.iter().map(|name| create(name, "1")).collect()).await.unwrap();
    fresh.commit(600, names[..200].iter().map(|name| delete(name, 0)).collect()).await.unwrap();
    for shares in [1, 2, 3, 4] {
        let borders = fresh.store.borders(TABLE, shares).await.unwrap();
        assert!(borders.len() < shares && borders.is_sorted(), "{borders:?}");
        for (n, border) in borders.iter().enumerate() {
            let below = names[200..].iter().filter(|name| key(name) < *border).count();
            assert!(below.abs_diff((n + 1) * 200 / shares) <= 4, "border {n} of {shares}: {below} items below");
        }
    }
    assert_eq!(fresh.store.borders(TableId(5), 4).await.unwrap(), []);
}

async fn live_items_are_counted_or_not_known(fresh: Fresh) {
    let zero = snapshot(fresh.store.last_commit());
    assert_eq!(fresh.store.live_count(TABLE, zero).await.unwrap().unwrap_or(0), 0);
    let two = fresh.commit(500, vec![create("a", "1"), create("b", "1")]).await.unwrap();
    assert_eq!(fresh.store.live_count(TABLE, snapshot(two)).await.unwrap(), Some(2));
    let one = fresh.commit(600, vec![update("a", 0, "2"), delete("b", 0)]).await.unwrap();
    assert_eq!(fresh.store.live_count(TABLE, snapshot(one)).await.unwrap(), Some(1));
    assert_eq!(fresh.store.live_count(TABLE, snapshot(two)).await.unwrap().unwrap_or(2), 2, "an old snapshot's, or none");
}

/// Sixteen writers add one to the same item and make one of their own, in the same commit, and try again when
/// they lose: no addition is lost, and each commit's two changes are there or neither.
async fn the_first_of_many_writers_wins(fresh: Fresh) {
    const WRITERS: u64 = 16;
    const TIMES: u64 = 20;
    fresh.commit(500, vec![create("sum", "0")]).await.unwrap();
    let add = async |writer: u64| {
        for n in 0..TIMES {
            loop {
                let now = snapshot(fresh.store.last_commit());
                let sum = fresh.store.get(TABLE, &[key("sum")], Scope::Current, now).await.unwrap().pop().flatten().unwrap();
                let PayloadRef::Inline(text) = &sum.payload else { unreachable!("it was stored inline") };
                let value: u64 = std::str::from_utf8(text).unwrap().parse().unwrap();
                let own = create(&format!("{writer}-{n}"), &(value + 1).to_string());
                let changes = vec![update("sum", sum.version.number.0, &(value + 1).to_string()), own];
                match fresh.store.commit(rows(changes)).await {
                    Ok(_) => break,
                    Err(StoreError::Conflict { .. }) => tokio::task::yield_now().await,
                    Err(other) => unreachable!("{other}"),
                }
            }
        }
    };
    futures::future::join_all((0..WRITERS).map(add)).await;
    let now = snapshot(fresh.store.last_commit());
    let found = scan(&*fresh.store, whole(Scope::Current, now)).await.unwrap();
    let sum = found.iter().find(|v| v.key == key("sum")).unwrap();
    assert_eq!(sum.payload, doc(&(WRITERS * TIMES).to_string()));
    let mut values: Vec<u64> = found.iter().filter(|v| v.key != key("sum")).map(|v| v.version.period.begun.0).collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(2..2 + WRITERS * TIMES), "each commit carried exactly one of them");
}

async fn a_closed_store_refuses(fresh: Fresh) {
    let last = fresh.commit(500, vec![create("a", "1")]).await.unwrap();
    fresh.store.close().await.unwrap();
    fresh.store.close().await.unwrap();
    assert!(matches!(fresh.commit(600, vec![create("b", "1")]).await, Err(StoreError::Closed)));
    assert!(matches!(fresh.store.reserve(1, 1).await, Err(StoreError::Closed)));
    assert!(matches!(fresh.store.get(TABLE, &[key("a")], Scope::Current, snapshot(last)).await, Err(StoreError::Closed)));
    assert!(matches!(scan(&*fresh.store, whole(Scope::All, snapshot(last))).await, Err(StoreError::Closed)));
    assert!(matches!(load(&*fresh.store, TABLE, vec![Ok(vec![state("c", 1, None, "1")])]).await, Err(StoreError::Closed)));
    assert_eq!(fresh.store.last_commit(), last);
}

async fn what_a_commit_requires_must_hold(fresh: Fresh) {
    const CHILD: TableId = TableId(8);
    let child =
        |name: &str, of: &str| RowChange { table: CHILD, new_entries: vec![entry(9, of, false)], ..create(name, "child") };
    let require = |request: CommitRequest, requires: Vec<Requirement>| CommitRequest { requires, ..request };
    let live = |name: &str| Requirement::Live { table: TABLE, key: key(name) };
    let held = |value: &str| Requirement::Held { table: TABLE, index: IndexId(5), key: key(value) };
    let unclaimed = |name: &str, seen: CommitStamp| Requirement::Unclaimed {
        table: CHILD,
        index: IndexId(9),
        key: key(name),
        seen: seen.commit,
    };
    let refused = |got: Result<CommitStamp, StoreError>| assert!(matches!(got, Err(StoreError::Conflict { .. })), "{got:?}");
    let parent = RowChange { new_entries: vec![entry(5, "u", true)], ..create("p", "1") };
    let first = fresh.store.commit(rows(vec![parent])).await.unwrap();

    // A reference needs its target when the commit is made: there already, or made by it.
    refused(fresh.store.commit(require(rows(vec![child("c", "q")]), vec![live("q")])).await);
    refused(fresh.store.commit(require(rows(vec![child("c", "q")]), vec![held("w")])).await);
    assert_eq!(fresh.store.last_commit(), first, "a refused commit leaves nothing");
    fresh.store.commit(require(rows(vec![child("c", "p")]), vec![live("p"), held("u")])).await.unwrap();
    let both = vec![create("q", "1"), child("d", "q")];
    let second = fresh.store.commit(require(rows(both), vec![live("q")])).await.unwrap();

    // What ends needs to be unclaimed: a reference that came after the snapshot is a conflict, one before it is not.
    let gone = || RowChange { old_entries: vec![entry(5, "u", true)], ..delete("p", 0) };
    refused(fresh.store.commit(require(rows(vec![gone()]), vec![unclaimed("p", first)])).await);
    fresh.store.commit(require(rows(vec![gone()]), vec![unclaimed("p", second)])).await.unwrap();
    refused(fresh.store.commit(require(rows(vec![child("e", "p")]), vec![live("p")])).await);
    refused(fresh.store.commit(require(rows(vec![child("e", "p")]), vec![held("u")])).await);

    // References that have ended claim nothing.
    let ended = RowChange { table: CHILD, ..delete("d", 0) };
    fresh.store.commit(rows(vec![ended])).await.unwrap();
    fresh.store.commit(require(rows(vec![delete("q", 0)]), vec![unclaimed("q", first)])).await.unwrap();
}

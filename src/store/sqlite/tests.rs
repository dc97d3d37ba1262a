//! What only this store promises: reopening, locking, full disks, panics, and how its statements are run.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;
use crate::runtime::ManualClock;
use crate::store::conformance::{self, TABLE, create, delete, entry, key, load, rows, scan, snapshot, state, update, whole};
use crate::store::{CatalogChange, StoreError};

/// Makes an empty store per call in one directory.
fn maker(dir: &tempfile::TempDir) -> impl AsyncFn(Arc<dyn Clock>) -> Arc<dyn IndexStore> {
    let path = dir.path().to_owned();
    let made = AtomicU32::new(0);
    async move |clock| {
        let n = made.fetch_add(1, Ordering::SeqCst);
        Arc::new(SqliteIndex::open(&path.join(format!("{n}.sqlite")), clock).unwrap()) as Arc<dyn IndexStore>
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(1_000))
}

#[tokio::test]
async fn keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    conformance::index_store(&maker(&dir)).await;
}

#[tokio::test]
async fn agrees_with_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let make = maker(&dir);
    for seed in 0..12 {
        conformance::random::history(seed, 120, &make).await;
    }
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sqlite");
    let store = SqliteIndex::open(&path, clock()).unwrap();
    load(&store, TABLE, vec![Ok(vec![state("a", 10, Some(20), "1"), state("b", 10, None, "1")])]).await.unwrap();
    let mut first = rows(vec![create("c", "1"), update("b", 0, "2")]);
    first.rows[0].new_entries.push(entry(1, "v", true));
    first.catalog.push(CatalogChange { kind: "table".into(), id: 1, definition: Some("{}".into()) });
    store.commit(first).await.unwrap();
    store.reserve(1, 5).await.unwrap();
    let last = store.last_commit();
    let before = scan(&store, whole(Scope::All, snapshot(last))).await.unwrap();
    let defined = store.catalog().await.unwrap();
    drop(store);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "s.sqlite-wal"), "nothing is left to recover: {left:?}");

    let store = SqliteIndex::open(&path, clock()).unwrap();
    assert_eq!(store.last_commit(), last);
    assert_eq!(scan(&store, whole(Scope::All, snapshot(last))).await.unwrap(), before);
    assert_eq!(store.catalog().await.unwrap(), defined);
    assert_eq!(store.counter(1).await.unwrap(), 5);
    let taken = CommitRequest { catalog_seen: Some(CommitNo(1)), ..rows(vec![create("d", "1")]) };
    assert!(matches!(store.commit(taken).await, Err(StoreError::CatalogConflict)));
    let mut twice = rows(vec![create("d", "1")]);
    twice.rows[0].new_entries.push(entry(1, "v", true));
    assert!(matches!(store.commit(twice).await, Err(StoreError::UniqueExists { .. })));
    let next = store.commit(rows(vec![create("d", "new")])).await.unwrap();
    assert_eq!(next.commit, last.commit.next());
    assert!(next.time > last.time);
    let truncate = CommitRequest { truncate: vec![(TABLE, next.commit)], ..CommitRequest::default() };
    store.commit(truncate).await.unwrap();
    assert_eq!(store.unique_holder(IndexId(1), &key("v")).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sqlite");
    let store = SqliteIndex::open(&path, clock()).unwrap();
    assert!(matches!(SqliteIndex::open(&path, clock()), Err(StoreError::InUse)));
    assert_eq!(holder(&path), Some(std::process::id()));
    store.close().await.unwrap();
    SqliteIndex::open(&path, clock()).unwrap();
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str| {
        let path = dir.path().join(name);
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(SqliteIndex::open(&path, clock()), Err(StoreError::Corrupt(_))), "{name}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{name}");
    };
    std::fs::write(dir.path().join("text"), "not a database, but long enough to be looked at".repeat(40)).unwrap();
    refused("text");
    let other = Connection::open(dir.path().join("other")).unwrap();
    other.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1;").unwrap();
    drop(other);
    refused("other");
    let path = dir.path().join("newer");
    drop(SqliteIndex::open(&path, clock()).unwrap());
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 99").unwrap();
    newer.close().unwrap();
    refused("newer");
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_kept_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let limited = |conn: &Connection| conn.pragma_update(None, "max_page_count", "60").map_err(schema::failure);
    let store = SqliteIndex::open_with(&dir.path().join("s.sqlite"), clock(), limited).unwrap();
    let first = store.commit(rows(vec![create("a", "1")])).await.unwrap();
    let large = "x".repeat(400_000);
    let small = create("b", "1");
    let both =
        futures::join!(store.commit(rows(vec![small, create("c", &large)])), store.commit(rows(vec![create("d", &large)])));
    assert!(matches!(both, (Err(StoreError::Full), Err(StoreError::Full))), "{both:?}");
    let filling = load(&store, TABLE, vec![Ok(vec![state("e", 1, None, &large)])]).await;
    assert!(matches!(filling, Err(StoreError::Full)), "{filling:?}");
    assert_eq!(store.last_commit(), first);
    let second = store.commit(rows(vec![update("a", 0, "2")])).await.unwrap();
    assert_eq!(second.commit, CommitNo(2));
    assert_eq!(scan(&store, whole(Scope::All, snapshot(second))).await.unwrap().len(), 2);
}

/// A clock that breaks when it is told to.
#[derive(Debug)]
struct Breaking(AtomicBool);

impl Clock for Breaking {
    fn now_micros(&self) -> i64 {
        assert!(!self.0.swap(false, Ordering::SeqCst), "broken on purpose");
        1_000
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_is_an_error_of_those_who_wait_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let breaking = Arc::new(Breaking(AtomicBool::new(false)));
    let store = SqliteIndex::open(&dir.path().join("s.sqlite"), breaking.clone()).unwrap();
    store.commit(rows(vec![create("a", "1")])).await.unwrap();
    breaking.0.store(true, Ordering::SeqCst);
    assert!(store.commit(rows(vec![create("b", "1")])).await.is_err());
    let next = store.commit(rows(vec![create("b", "2")])).await.unwrap();
    assert_eq!(next.commit, CommitNo(2));
}

#[tokio::test]
async fn a_load_and_commits_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteIndex::open(&dir.path().join("s.sqlite"), clock()).unwrap());
    let loading = {
        let store = store.clone();
        let batches = (0..50).map(|n| Ok(vec![state(&format!("l{n:02}"), 10, None, "1")])).collect();
        tokio::spawn(async move { load(&*store, TABLE, batches).await })
    };
    for n in 0..50 {
        store.commit(rows(vec![create(&format!("c{n}"), "1")])).await.unwrap();
    }
    assert_eq!(loading.await.unwrap().unwrap().1, 50);
    assert_eq!(store.last_commit().commit, CommitNo(51));
    store.commit(rows(vec![delete("l00", 0)])).await.unwrap();
    assert_eq!(store.live_count(TABLE, snapshot(store.last_commit())).await.unwrap(), Some(99));
}

//! The contract on a real server, and what only this store promises. The server is the one that
//! `CHRONOGATE_TEST_MONGODB_URI` names; every test has MongoDB databases of its own there.

use std::sync::atomic::{AtomicU32, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use mongodb::bson::oid::ObjectId;

use super::*;
use crate::runtime::ManualClock;
use crate::store::conformance::{self, TABLE, create, delete, doc as payload, entry, key, rows, scan, snapshot, update, whole};
use crate::store::{IndexCandidates, PayloadRef};
use crate::versions::KeyFilter;

/// The server's URI; says so and gives nothing when the test cannot run.
pub(super) fn uri() -> Option<String> {
    let uri = std::env::var("CHRONOGATE_TEST_MONGODB_URI").ok();
    if uri.is_none() {
        eprintln!("not run: CHRONOGATE_TEST_MONGODB_URI names no server");
    }
    uri
}

/// A name that no other test, nor an earlier run of this one, has.
pub(super) fn name() -> String {
    format!("cg_{}", ObjectId::new().to_hex())
}

pub(super) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(1_000))
}

/// Makes empty stores in databases of their own, and removes them.
pub(super) struct Maker {
    uri: String,
    name: String,
    made: AtomicU32,
    /// Whether the server is spoken to as one before 8.0.
    plain: bool,
}

impl Maker {
    pub(super) fn new(uri: String) -> Self {
        Self { uri, name: name(), made: AtomicU32::new(0), plain: false }
    }

    pub(super) async fn make(&self, clock: Arc<dyn Clock>) -> Arc<dyn IndexStore> {
        let n = self.made.fetch_add(1, Ordering::SeqCst);
        let options = MongoOptions::new(&self.uri, &format!("{}_{n}", self.name));
        let prepare = |server: &mut Server| {
            if self.plain {
                server.without_bulk_writes();
            }
        };
        Arc::new(MongoIndex::open_with(options, clock, prepare).await.unwrap())
    }

    /// Another gateway to the store made last.
    pub(super) async fn another(&self, uri: &str, patience: Duration) -> Arc<MongoIndex> {
        let n = self.made.load(Ordering::SeqCst) - 1;
        let options = MongoOptions { patience, ..MongoOptions::new(uri, &format!("{}_{n}", self.name)) };
        Arc::new(MongoIndex::open(options, clock()).await.unwrap())
    }

    pub(super) async fn clean(&self) {
        let client = mongodb::Client::with_uri_str(&self.uri).await.unwrap();
        for n in 0..self.made.load(Ordering::SeqCst) {
            client.database(&format!("{}_{n}", self.name)).drop().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri);
    conformance::index_store(&async |clock| maker.make(clock).await).await;
    maker.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agrees_with_the_model() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri);
    for seed in 0..6 {
        conformance::random::history(seed, 120, &async |clock| maker.make(clock).await).await;
    }
    maker.clean().await;
}

/// The same in the commands that servers before 8.0 have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_servers_are_written_to_as_well() {
    let Some(uri) = uri() else { return };
    let maker = Maker { plain: true, ..Maker::new(uri) };
    for seed in 100..102 {
        conformance::random::history(seed, 120, &async |clock| maker.make(clock).await).await;
    }
    maker.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_there_after_reopening() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri);
    let store = maker.make(clock()).await;
    store.commit(rows(vec![create("a", "1"), create("b", "1")])).await.unwrap();
    let last = store.commit(rows(vec![update("a", 0, "2"), delete("b", 0)])).await.unwrap();
    let before = scan(&*store, whole(Scope::All, snapshot(last))).await.unwrap();
    store.reserve(1, 5).await.unwrap();
    store.close().await.unwrap();
    let store = maker.another(&maker.uri, Duration::from_secs(10)).await;
    assert_eq!(store.last_commit(), last);
    assert_eq!(scan(&*store, whole(Scope::All, snapshot(last))).await.unwrap(), before);
    assert_eq!(store.counter(1).await.unwrap(), 5);
    let next = store.commit(rows(vec![create("b", "3")])).await.unwrap();
    assert_eq!((next.commit, next.time > last.time), (last.commit.next(), true));
    maker.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_go_to_the_last_number_there_is() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri);
    let store = maker.make(clock()).await;
    let most = i64::MAX.cast_unsigned();
    for (next, count, after) in [(most - 1, 1, most), (most, 1, most + 1), (most + 1, 2, most + 3)] {
        store.set_counter(1, next).await.unwrap();
        assert_eq!(store.reserve(1, count).await.unwrap(), next);
        assert_eq!(store.counter(1).await.unwrap(), after);
    }
    maker.clean().await;
}

/// Gateways that know nothing of each other add to one number: none is lost, each commit has its own number, and each sees
/// what the other did soon after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_take_turns() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri);
    let first = maker.make(clock()).await;
    let second = maker.another(&maker.uri, Duration::from_secs(10)).await;
    first.commit(rows(vec![create("sum", "0")])).await.unwrap();
    let add = async |store: &dyn IndexStore, writer: u32| {
        for n in 0..10 {
            loop {
                let now = snapshot(store.last_commit());
                let got = store.get(TABLE, &[key("sum")], Scope::Current, now).await.unwrap().pop().flatten();
                let Some(sum) = got else { continue };
                let PayloadRef::Inline(text) = &sum.payload else { unreachable!("it was stored inline") };
                let next = std::str::from_utf8(text).unwrap().parse::<u64>().unwrap() + 1;
                let own = create(&format!("{writer}-{n}"), "1");
                let request = rows(vec![update("sum", sum.version.number.0, &next.to_string()), own]);
                match store.commit(request).await {
                    Ok(_) => break,
                    // The other gateway's commit may not have been noticed yet.
                    Err(StoreError::Conflict { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(other) => panic!("{other}"),
                }
            }
        }
    };
    futures::join!(add(&*first, 1), add(&*second, 2), add(&*first, 3), add(&*second, 4));
    let until = std::time::Instant::now() + Duration::from_secs(5);
    while first.last_commit() != second.last_commit() && std::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let last = first.last_commit();
    assert_eq!((last.commit, second.last_commit()), (CommitNo(41), last));
    let found = scan(&*second, whole(Scope::Current, snapshot(last))).await.unwrap();
    assert_eq!(found.len(), 41);
    assert_eq!(found.iter().find(|v| v.key == key("sum")).map(|v| v.payload.clone()), Some(payload("40")));
    let begun: BTreeSet<u64> = found.iter().filter(|v| v.key != key("sum")).map(|v| v.version.period.begun.0).collect();
    assert_eq!(begun.len(), 40, "each commit has a number of its own");
    maker.clean().await;
}

/// How many calls reads and writes take. These numbers are promises: a network makes each of them a round trip.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_few() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri);
    maker.make(clock()).await.close().await.unwrap();
    let n = maker.made.load(Ordering::SeqCst) - 1;
    let tail = Duration::from_secs(600);
    let options = MongoOptions { tail, ..MongoOptions::new(&maker.uri, &format!("{}_{n}", maker.name)) };
    let store = Arc::new(MongoIndex::open(options, clock()).await.unwrap());
    // What they look for is not counted.
    store.tails.lock().clear();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut first = rows(vec![create("a", "1"), create("b", "1")]);
    first.rows[0].new_entries.push(entry(1, "v", true));
    let old = store.commit(first).await.unwrap();
    // The server may be busy with others, so that a transaction has to be tried again: the least of some counts.
    let counted = async |what: &str, most: u64, calls: &mut (dyn FnMut(u64) -> BoxFuture<'static, ()> + Send)| {
        let mut least = u64::MAX;
        for n in 0..4 {
            let before = store.calls();
            calls(n).await;
            least = least.min(store.calls() - before);
        }
        eprintln!("{what}: {least}");
        assert!(least <= most, "{what} took {least} calls");
    };
    let commit = |request: CommitRequest| {
        let store = store.clone();
        async move { store.commit(request).await.map(|_| ()).unwrap() }.boxed()
    };
    counted("an update", 5, &mut |n| commit(rows(vec![update("a", n, "2")]))).await;
    counted("an insert", 5, &mut |n| commit(rows(vec![create(&format!("c{n}"), "1")]))).await;
    let unique = |n| {
        let mut unique = rows(vec![create(&format!("d{n}"), "1")]);
        unique.rows[0].new_entries.push(entry(1, &format!("w{n}"), true));
        commit(unique)
    };
    counted("an insert with a unique key", 6, &mut |n| unique(n)).await;
    let many = |n: u64| (0..16).map(|i| commit(rows(vec![create(&format!("many{n}-{i}"), "1")]))).collect::<Vec<_>>();
    counted("sixteen inserts at once", 15, &mut |n| futures::future::join_all(many(n)).map(|_| ()).boxed()).await;
    let now = snapshot(store.last_commit());
    let get = |scope, view| {
        let store = store.clone();
        async move { drop(store.get(TABLE, &[key("a")], scope, view).await.unwrap()) }.boxed()
    };
    counted("a current item", 1, &mut |_| get(Scope::Current, now)).await;
    counted("an item as of an instant", 1, &mut |_| get(Scope::AsOf(old.time), now)).await;
    counted("an item as of a commit", 1, &mut |_| get(Scope::AsOfCommit(old.commit), now)).await;
    counted("an item changed since the snapshot", 2, &mut |_| get(Scope::Current, snapshot(old))).await;
    let all = |request: ScanRequest| {
        let store = store.clone();
        async move { drop(scan(&*store, request).await.unwrap()) }.boxed()
    };
    let few = |scope, view| ScanRequest { keys: KeyFilter::points(vec![key("a"), key("b")]), ..whole(scope, view) };
    counted("a scan of two items", 1, &mut |_| all(few(Scope::Current, now))).await;
    counted("a scan of two items as of", 1, &mut |_| all(few(Scope::AsOf(old.time), now))).await;
    let candidates = Some(IndexCandidates { index: IndexId(1), keys: KeyFilter::points(vec![key("v")]) }.into());
    let by_index = ScanRequest { candidates, ..whole(Scope::Current, now) };
    counted("a scan by an index", 2, &mut |_| all(by_index.clone())).await;
    maker.clean().await;
}

/// A document that is not as it must be is named, and nothing else suffers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_document_is_named() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri);
    let store = maker.make(clock()).await;
    let last = store.commit(rows(vec![create("a", "1"), create("b", "1")])).await.unwrap();
    let client = mongodb::Client::with_uri_str(&maker.uri).await.unwrap();
    let heads = client.database(&format!("{}_0", maker.name)).collection::<mongodb::bson::Document>("t7_head");
    let filter = mongodb::bson::doc! { "cg.k": row::hex(key("a").as_bytes()) };
    let damaged = heads.find_one_and_update(filter, mongodb::bson::doc! { "$set": { "cg.o": 99 } }).await.unwrap().unwrap();
    let id = damaged.get_object_id("_id").unwrap().to_hex();
    let got = store.get(TABLE, &[key("a")], Scope::Current, snapshot(last)).await;
    assert!(matches!(&got, Err(StoreError::Corrupt(text)) if text.contains(&id) && text.contains("t7_head")), "{got:?}");
    assert!(store.get(TABLE, &[key("b")], Scope::Current, snapshot(last)).await.unwrap()[0].is_some());
    // In one group with one that meets the damage.
    let (damaged, sound) =
        futures::join!(store.commit(rows(vec![update("a", 0, "2")])), store.commit(rows(vec![update("b", 0, "2")])));
    assert!(matches!(damaged, Err(StoreError::Corrupt(_))), "{damaged:?}");
    sound.unwrap();
    maker.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_document_can_hold_is_refused_alone() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri);
    let store = maker.make(clock()).await;
    let large = "x".repeat(16 << 20);
    let (large, small) =
        futures::join!(store.commit(rows(vec![create("a", &large)])), store.commit(rows(vec![create("b", "1")])));
    assert!(matches!(large, Err(StoreError::Unsupported(_))));
    assert_eq!(small.unwrap().commit, CommitNo(1));
    maker.clean().await;
}

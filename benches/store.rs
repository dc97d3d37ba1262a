//! The embedded store by itself: appending with one writer and sixteen, point reads now and in the past, and
//! the scan of a snapshot. Items have five versions of about 200 bytes.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chronogate::runtime::SystemClock;
use chronogate::store::sqlite::SqliteIndex;
use chronogate::store::{
    CommitRequest, HeadCheck, IndexEntry, IndexStore, LoadRequest, PayloadRef, RowChange, RowState, ScanRequest, StoreError,
};
use chronogate::versions::{Context, IndexId, ItemKey, KeyFilter, KeyPart, Op, Scope, Snapshot, TableId, Timestamp, encode_key};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt;
use tokio::runtime::Runtime;

const HISTORY: TableId = TableId(1);
const APPENDED: TableId = TableId(2);
const ITEMS: i64 = 100_000;
const DAY: i64 = 86_400_000_000;
const FIRST: i64 = 1_600_000_000_000_000;

fn key(n: i64) -> ItemKey {
    encode_key([KeyPart::Int(n)])
}

fn payload(n: i64, version: i64) -> PayloadRef {
    let text = format!("{{\"id\":{n},\"version\":{version},\"note\":\"{}\"}}", "x".repeat(160));
    PayloadRef::Inline(Bytes::from(text))
}

fn entries(n: i64) -> Vec<IndexEntry> {
    vec![IndexEntry { index: IndexId(1), key: encode_key([KeyPart::Int(n * 7919 % 5000)]), unique: false }]
}

fn state(n: i64, version: i64) -> RowState {
    let from = FIRST + version * DAY + n;
    let to = (version < 4).then(|| Timestamp::from_micros(from + DAY));
    RowState { key: key(n), from: Timestamp::from_micros(from), to, payload: payload(n, version), entries: entries(n) }
}

/// Loads the closed states of all items and then the open ones, as a copied history comes.
async fn filled(store: &SqliteIndex) -> Result<(), StoreError> {
    let closed = (0..ITEMS).flat_map(|n| (0..4).map(move |version| state(n, version)));
    let open = (0..ITEMS).map(|n| state(n, 4));
    load(store, closed).await?;
    load(store, open).await
}

async fn load(store: &SqliteIndex, states: impl Iterator<Item = RowState>) -> Result<(), StoreError> {
    let (send, receive) = tokio::sync::mpsc::channel(4);
    let request = LoadRequest { context: Context::default(), table: HISTORY, table_name: "public.t".into(), states: receive };
    let feed = async move {
        let mut states = states.peekable();
        while states.peek().is_some() {
            let batch = states.by_ref().take(1024).collect();
            if send.send(Ok(batch)).await.is_err() {
                break;
            }
        }
    };
    futures::future::join(store.load(request), feed).await.0.map(|_| ())
}

fn now(store: &SqliteIndex) -> Snapshot {
    let last = store.last_commit();
    Snapshot { commit: last.commit, time: last.time }
}

fn midway() -> Scope {
    Scope::AsOf(Timestamp::from_micros(FIRST + 2 * DAY + ITEMS / 2))
}

async fn append(store: &SqliteIndex, n: i64) {
    let row = RowChange {
        table: APPENDED,
        key: key(n),
        check: HeadCheck::Absent,
        op: Op::Create,
        payload: Some(payload(n, 0)),
        old_entries: vec![],
        new_entries: entries(n),
    };
    store.commit(CommitRequest { rows: vec![row], ..CommitRequest::default() }).await.unwrap();
}

/// The time of `times` appends by this many writers at once.
async fn append_from(store: &Arc<SqliteIndex>, next: &Arc<AtomicI64>, writers: u64, times: u64) -> Duration {
    let start = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let (store, next) = (store.clone(), next.clone());
        let share = times / writers + u64::from(writer < times % writers);
        tokio::spawn(async move {
            for _ in 0..share {
                append(&store, next.fetch_add(1, Ordering::SeqCst)).await;
            }
        })
    });
    futures::future::join_all(tasks).await;
    start.elapsed()
}

fn store(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteIndex::open(&dir.path().join("bench.sqlite"), Arc::new(SystemClock)).unwrap());
    runtime.block_on(filled(&store)).unwrap();
    points(c, &runtime, &store);
    scans(c, &runtime, &store);
    appends(c, &runtime, &store);
}

fn points(c: &mut Criterion, runtime: &Runtime, store: &SqliteIndex) {
    let snapshot = now(store);
    for (name, scope) in [("store/point read", Scope::Current), ("store/point read as of", midway())] {
        let mut n = 0;
        c.bench_function(name, |b| {
            b.iter(|| {
                n = (n + 7919) % ITEMS;
                runtime.block_on(store.get(HISTORY, &[key(n)], scope, snapshot)).unwrap()
            });
        });
    }
}

fn scans(c: &mut Criterion, runtime: &Runtime, store: &SqliteIndex) {
    let mut group = c.benchmark_group("store/scan");
    group.sample_size(20).throughput(Throughput::Elements(u64::try_from(5 * ITEMS).unwrap()));
    for (name, scope) in [("current", Scope::Current), ("as of", midway())] {
        let request = ScanRequest {
            table: HISTORY,
            snapshot: now(store),
            scope,
            keys: KeyFilter::All,
            candidates: None,
            payloads: true,
            limit: None,
        };
        group.bench_function(name, |b| {
            b.iter(|| {
                let batches = store.scan(request.clone());
                runtime.block_on(batches.fold(0, async |sum, batch| sum + batch.unwrap().len()))
            });
        });
    }
    group.finish();
}

fn appends(c: &mut Criterion, runtime: &Runtime, store: &Arc<SqliteIndex>) {
    let next = Arc::new(AtomicI64::new(0));
    let mut group = c.benchmark_group("store/append");
    for writers in [1, 16] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{writers} writers"), |b| {
            b.iter_custom(|times| runtime.block_on(append_from(store, &next, writers, times)));
        });
    }
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);

//! The embedded store under SIGKILL: sixteen writers in a child process, killed at random moments, fifty times.
//!
//! After each kill every commit that was acknowledged is there whole, and every commit that is there at all is
//! there whole. The child is this test binary, started again for [`child`] alone.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chronogate::runtime::{Entropy, SeededEntropy, SystemClock};
use chronogate::store::sqlite::SqliteIndex;
use chronogate::store::{CommitRequest, HeadCheck, IndexStore, PayloadRef, RowChange, ScanRequest};
use chronogate::versions::{CommitNo, ItemKey, KeyFilter, KeyPart, Op, Scope, Snapshot, TableId, encode_key};
use futures::StreamExt;

const STORE: &str = "CHRONOGATE_TEST_CRASH_STORE";
const WRITERS: usize = 16;
const ROUNDS: u32 = 50;
/// Rounds that go on with the same file.
const ROUNDS_PER_STORE: u32 = 10;
const TABLES: [TableId; 2] = [TableId(1), TableId(2)];

#[test]
fn acknowledged_commits_outlive_sigkill() {
    let seed = 7;
    println!("seed {seed}");
    let dice = SeededEntropy::new(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut acknowledged = 0;
    for store in 0..ROUNDS / ROUNDS_PER_STORE {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sqlite");
        let mut checked = CommitNo::ZERO;
        for round in 0..ROUNDS_PER_STORE {
            let lines = run_and_kill(&path, Duration::from_micros(dice.next_u64() % 150_000));
            acknowledged += lines.len();
            checked = runtime.block_on(check(&path, checked, &lines, &format!("seed {seed} store {store} round {round}")));
        }
    }
    assert!(acknowledged > 1_000, "the writers hardly wrote: {acknowledged} commits");
}

/// Lets the writers run for `delay` after their first commit, kills them, and returns what they acknowledged.
fn run_and_kill(path: &Path, delay: Duration) -> Vec<(CommitNo, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store_crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (first, started) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            // The last line may have been cut by the kill: only what ends with a dot is whole.
            let Some((commit, name)) = line.strip_suffix('.').and_then(|l| l.strip_prefix("ack ")?.split_once(' ')) else {
                continue;
            };
            acknowledged.push((CommitNo(commit.parse().unwrap()), name.to_owned()));
            let _ = first.send(());
        }
        acknowledged
    });
    started.recv_timeout(Duration::from_secs(30)).expect("the child does not commit");
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Opens what the kill left and looks at every commit after `checked`; returns the newest.
async fn check(path: &Path, checked: CommitNo, acknowledged: &[(CommitNo, String)], round: &str) -> CommitNo {
    let store = SqliteIndex::open(path, Arc::new(SystemClock)).unwrap();
    let last = store.last_commit();
    let mut states: HashMap<CommitNo, Vec<String>> = HashMap::new();
    for table in TABLES {
        let snapshot = Snapshot { commit: last.commit, time: last.time };
        let request = ScanRequest {
            table,
            snapshot,
            scope: Scope::All,
            keys: KeyFilter::All,
            candidates: None,
            payloads: true,
            limit: None,
        };
        let mut batches = store.scan(request);
        while let Some(batch) = batches.next().await {
            for state in batch.unwrap() {
                let PayloadRef::Inline(name) = state.payload else { panic!("{round}: a payload has moved") };
                states.entry(state.version.period.begun).or_default().push(String::from_utf8(name.to_vec()).unwrap());
            }
        }
    }
    for number in checked.0 + 1..=last.commit.0 {
        let names = states.get(&CommitNo(number)).map_or(&[][..], Vec::as_slice);
        assert!(names.len() == 3 && names.iter().all(|n| *n == names[0]), "{round}: commit {number} is in parts: {names:?}");
    }
    for (commit, name) in acknowledged {
        let found = states.get(commit).and_then(|names| names.first());
        assert_eq!(found, Some(name), "{round}: commit {commit:?} was acknowledged");
    }
    let log: Vec<_> = store.commits(CommitNo(1), CommitNo::MAX).collect().await;
    let logged: usize = log.into_iter().map(|batch| batch.unwrap().len()).sum();
    assert_eq!(logged as u64, last.commit.0, "{round}: the log has a row per commit");
    store.close().await.unwrap();
    last.commit
}

/// The process that is killed; does nothing when it is run as a test.
#[test]
fn child() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WRITERS).enable_all().build().unwrap();
    let store = Arc::new(SqliteIndex::open(Path::new(&path), Arc::new(SystemClock)).unwrap());
    let round = store.last_commit().commit.0;
    runtime.block_on(async {
        let writers = (0..WRITERS).map(|writer| tokio::spawn(write(store.clone(), format!("{round}-{writer}"))));
        futures::future::join_all(writers).await;
    });
}

/// Commits for ever: a row in each of two tables, and the next version of the writer's own item.
async fn write(store: Arc<SqliteIndex>, writer: String) {
    let mut own = None;
    for n in 0_u64.. {
        let name = format!("{writer}-{n}");
        let change = |table, key: &str, check, op| RowChange {
            table,
            key: item(key),
            check,
            op,
            payload: Some(PayloadRef::Inline(Bytes::from(name.clone()))),
            old_entries: vec![],
            new_entries: vec![],
        };
        let (check, op) = match own {
            None => (HeadCheck::Absent, Op::Create),
            Some(number) => (HeadCheck::At(number), Op::Update),
        };
        let rows = vec![
            change(TABLES[0], &name, HeadCheck::Absent, Op::Create),
            change(TABLES[1], &name, HeadCheck::Absent, Op::Create),
            change(TABLES[0], &writer, check, op),
        ];
        let stamp = store.commit(CommitRequest { rows, ..CommitRequest::default() }).await.unwrap();
        own = Some(own.map_or(chronogate::versions::VersionNo(0), |number| number.next()));
        let mut out = std::io::stdout().lock();
        writeln!(out, "ack {} {name}.", stamp.commit.0).and_then(|()| out.flush()).unwrap();
    }
}

fn item(name: &str) -> ItemKey {
    encode_key([KeyPart::Text(name)])
}

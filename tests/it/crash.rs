//! Killed at any moment, the server keeps every commit it acknowledged, whole, and no part of any other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chronogate::runtime::{Entropy, SeededEntropy};
use tokio_postgres::{Client, Error};

use crate::harness::{Process, config, connect, run};

const WRITERS: i64 = 16;
const ROUNDS: usize = 50;
/// Rows of one transaction, besides the writer's counter.
const PARTS: i64 = 3;

#[test]
fn killed_at_random_moments_under_sixteen_writers_it_keeps_what_it_acknowledged() {
    let seed =
        std::env::var("CHRONOGATE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| u64::from(std::process::id()));
    println!("CHRONOGATE_SEED={seed}");
    let moments = SeededEntropy::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut reached = BTreeMap::new();
    let mut commits = 0;
    for round in 0..=ROUNDS {
        reached = run(one_life(folder.path(), round, &reached, &moments));
        let now: i64 = reached.values().sum();
        commits = now.max(commits);
    }
    assert!(commits > ROUNDS as i64, "the writers wrote: {commits}");
}

/// Starts the server, checks what it kept of the lives before, writes until it is killed. Returns what each writer
/// got acknowledged.
async fn one_life(folder: &Path, round: usize, acknowledged: &BTreeMap<i64, i64>, moments: &SeededEntropy) -> BTreeMap<i64, i64> {
    let mut process = Process::serve(folder);
    let client = connect(&config(process.address())).await.expect("connects");
    if round == 0 {
        create(&client).await.expect("the tables");
    }
    let kept = check(&client, round, acknowledged).await;
    if round == ROUNDS {
        return kept;
    }
    let counters: Vec<Arc<AtomicI64>> =
        (0..WRITERS).map(|writer| Arc::new(AtomicI64::new(kept.get(&writer).copied().unwrap_or(0)))).collect();
    let writers: Vec<_> = (0..WRITERS)
        .zip(&counters)
        .map(|(writer, counter)| tokio::spawn(write(process.address(), writer, counter.clone())))
        .collect();
    tokio::time::sleep(Duration::from_millis(20 + moments.next_u64() % 400)).await;
    process.kill();
    for writer in writers {
        writer.await.expect("no panic");
    }
    (0..WRITERS).zip(&counters).map(|(writer, counter)| (writer, counter.load(Ordering::SeqCst))).collect()
}

async fn create(client: &Client) -> Result<(), Error> {
    client
        .batch_execute(
            "CREATE TABLE entries (writer bigint, n bigint, part bigint, PRIMARY KEY (writer, n, part));
             CREATE TABLE counters (writer bigint PRIMARY KEY, n bigint NOT NULL);
             INSERT INTO counters SELECT w, 0 FROM generate_series(0, 15) AS g(w);",
        )
        .await
}

/// Transactions 1, 2, 3 … of one writer, one after the other until the server is gone.
async fn write(address: SocketAddr, writer: i64, counter: Arc<AtomicI64>) {
    let Ok(mut client) = connect(&config(address)).await else { return };
    loop {
        let n = counter.load(Ordering::SeqCst) + 1;
        if transaction(&mut client, writer, n).await.is_err() {
            return;
        }
        counter.store(n, Ordering::SeqCst);
    }
}

async fn transaction(client: &mut Client, writer: i64, n: i64) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    let insert = format!("INSERT INTO entries VALUES ({writer}, {n}, 1), ({writer}, {n}, 2), ({writer}, {n}, 3)");
    transaction.batch_execute(&insert).await?;
    transaction.batch_execute(&format!("UPDATE counters SET n = {n} WHERE writer = {writer}")).await?;
    transaction.commit().await
}

/// What is there, after checking that it is whole: at most the one transaction in doubt beyond what was acknowledged.
async fn check(client: &Client, round: usize, acknowledged: &BTreeMap<i64, i64>) -> BTreeMap<i64, i64> {
    let sql = "SELECT c.writer, c.n, count(e.part), count(DISTINCT e.n), coalesce(max(e.n), 0)
               FROM counters c LEFT JOIN entries e ON e.writer = c.writer GROUP BY c.writer, c.n ORDER BY c.writer";
    let rows = client.query(sql, &[]).await.expect("the tables can be read");
    assert_eq!(rows.len() as i64, WRITERS);
    let mut kept = BTreeMap::new();
    for row in rows {
        let [writer, counter, parts, transactions, last] = [0, 1, 2, 3, 4].map(|i| row.get::<_, i64>(i));
        let least = acknowledged.get(&writer).copied().unwrap_or(0);
        let state = format!("round {round}, writer {writer}: counter {counter}, {parts} parts of {transactions} up to {last}");
        assert!((least..=least + 1).contains(&last), "{state}, acknowledged {least}");
        assert_eq!((counter, transactions, parts), (last, last, last * PARTS), "{state}");
        kept.insert(writer, last);
    }
    kept
}

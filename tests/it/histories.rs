//! Generated transactions that run at once, over the wire: what they saw and left must be what snapshot isolation allows.
//!
//! Each write puts a value of its own, and the table's history tells which commit each value belongs to and what came
//! before it. So for every transaction it can be asked whether there is one snapshot that explains all that it read
//! and wrote; write skew is allowed. Seeds are printed with what fails; CHRONOGATE_LOAD_SECONDS makes the load longer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::harness::{TestServer, code, run};

const KEYS: i64 = 6;

/// A small generator whose whole state is its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Debug)]
enum Step {
    /// `None` where there was no such row.
    Read(i64, Option<i64>),
    Wrote(i64, i64),
}

/// What a client did in one transaction and what it saw.
#[derive(Debug)]
struct Done {
    name: String,
    steps: Vec<Step>,
    committed: bool,
    /// The newest commit that this client knew of when it began.
    after: i64,
}

/// One state of a key: its value, the commit that began it and the one that ended it.
#[derive(Clone, Copy, Debug)]
struct State {
    value: i64,
    from: i64,
    to: i64,
}

#[test]
fn transactions_that_run_at_once_are_explained_by_snapshots() {
    run(async {
        for seed in [0x51_u64, 0xA7C3, 0x9E37_79B9] {
            history(seed).await;
        }
    });
}

async fn history(seed: u64) {
    let server = TestServer::start().await;
    let admin = server.connect().await;
    admin.batch_execute("CREATE TABLE reg (k bigint PRIMARY KEY, v bigint NOT NULL)").await.unwrap();
    admin.execute("INSERT INTO reg SELECT k, -k FROM generate_series(1, $1::bigint) g(k)", &[&KEYS]).await.unwrap();
    let mut clients = Vec::new();
    for number in 0..5_u64 {
        let client = server.connect().await;
        clients.push(tokio::spawn(transactions(client, number, seed)));
    }
    let mut done = Vec::new();
    for client in clients {
        done.extend(client.await.unwrap());
    }
    let states = states(&admin).await;
    check(seed, &states, &done);
    server.stop().await;
}

/// Some transactions of one client, in every style: by key and by condition, at either level, with a savepoint.
async fn transactions(client: Client, number: u64, seed: u64) -> Vec<Done> {
    let mut random = Random(seed.wrapping_mul(31).wrapping_add(number * 7919) | 1);
    let mut done = Vec::new();
    for round in 0..25_i64 {
        let after: i64 = client.query_one("SELECT coalesce(max(_commit), 0) FROM reg", &[]).await.unwrap().get(0);
        let name = format!("client {number}, transaction {round}");
        let level = if random.below(3) == 0 { "REPEATABLE READ" } else { "READ COMMITTED" };
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
        let mut steps = Vec::new();
        let outcome = attempt(&client, &mut random, &mut steps, (number as i64 + 1) * 1_000_000 + round * 100).await;
        let committed = match outcome {
            Ok(()) if random.below(6) > 0 => {
                let ended = client.batch_execute("COMMIT").await;
                assert!(matches!(code_of(&ended).as_str(), "00000" | "40001"), "{name}: {ended:?}");
                ended.is_ok()
            }
            Ok(()) => {
                client.batch_execute("ROLLBACK").await.unwrap();
                false
            }
            Err(error) => {
                assert!(matches!(error.as_str(), "40001" | "40P01"), "{name}: {error}");
                client.batch_execute("ROLLBACK").await.unwrap();
                false
            }
        };
        done.push(Done { name, steps, committed, after });
    }
    done
}

fn code_of(done: &Result<(), tokio_postgres::Error>) -> String {
    match done {
        Ok(()) => "00000".to_owned(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

async fn attempt(client: &Client, random: &mut Random, steps: &mut Vec<Step>, first: i64) -> Result<(), String> {
    let failed = |error: tokio_postgres::Error| code::<()>(Err(error));
    for n in 0..=random.below(5) as i64 {
        let key = random.below(KEYS as u64) as i64 + 1;
        match random.below(6) {
            0 | 1 => {
                let row = client.query_opt("SELECT v FROM reg WHERE k = $1", &[&key]).await.map_err(failed)?;
                steps.push(Step::Read(key, row.map(|row| row.get(0))));
            }
            2 => {
                let rows = client.query("SELECT k, v FROM reg ORDER BY k", &[]).await.map_err(failed)?;
                let found: BTreeMap<i64, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                steps.extend((1..=KEYS).map(|k| Step::Read(k, found.get(&k).copied())));
            }
            3 => {
                let row = client.query_opt("SELECT v FROM reg WHERE k = $1 FOR UPDATE", &[&key]).await.map_err(failed)?;
                steps.push(Step::Read(key, row.map(|row| row.get(0))));
            }
            4 => {
                // What is written and then undone is nobody's to see.
                client.batch_execute("SAVEPOINT s").await.map_err(failed)?;
                client.execute("UPDATE reg SET v = $2 WHERE k = $1", &[&key, &(first + 50 + n)]).await.map_err(failed)?;
                client.batch_execute("ROLLBACK TO s").await.map_err(failed)?;
            }
            _ => {
                let value = first + n;
                let sql = match random.below(2) {
                    0 => "UPDATE reg SET v = $2 WHERE k = $1",
                    _ => "UPDATE reg SET v = $2 WHERE k + 0 = $1",
                };
                client.execute(sql, &[&key, &value]).await.map_err(failed)?;
                steps.push(Step::Wrote(key, value));
            }
        }
        if random.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(random.below(4))).await;
        }
    }
    Ok(())
}

/// Every state of every key, in order.
async fn states(client: &Client) -> BTreeMap<i64, Vec<State>> {
    let sql = "SELECT k, v, _commit, coalesce(_end_commit, 9000000000) FROM reg__history ORDER BY k, _commit";
    let mut states: BTreeMap<i64, Vec<State>> = BTreeMap::new();
    for row in client.query(sql, &[]).await.unwrap() {
        states.entry(row.get(0)).or_default().push(State { value: row.get(1), from: row.get(2), to: row.get(3) });
    }
    states
}

fn check(seed: u64, states: &BTreeMap<i64, Vec<State>>, done: &[Done]) {
    let all = states.values().flatten();
    let begun: HashMap<i64, i64> = all.map(|state| (state.value, state.from)).collect();
    let mut commits: HashMap<i64, &str> = HashMap::new();
    for transaction in done {
        let fail = |what: &str| -> ! { panic!("seed {seed:#x}, {}: {what}\n{transaction:#?}\n{states:#?}", transaction.name) };
        let mut last: BTreeMap<i64, i64> = BTreeMap::new();
        // Snapshots that explain it, as commits: from the one until before the other.
        let (mut least, mut most) = (0, i64::MAX);
        for step in &transaction.steps {
            match step {
                Step::Read(key, seen) if last.contains_key(key) => {
                    if last.get(key) != seen.as_ref() {
                        fail("it does not see its own write");
                    }
                }
                Step::Read(key, seen) => {
                    let state = states.get(key).and_then(|all| all.iter().find(|state| Some(state.value) == *seen));
                    let Some(state) = state else { fail("it read a value that was never committed") };
                    (least, most) = (least.max(state.from), most.min(state.to));
                }
                Step::Wrote(key, value) => drop(last.insert(*key, *value)),
            }
        }
        let written: BTreeSet<i64> = last.values().filter_map(|value| begun.get(value).copied()).collect();
        let kept = last.values().filter(|value| begun.contains_key(value)).count();
        match transaction.committed {
            false if kept > 0 => fail("it was undone and left something"),
            true if kept < last.len() => fail("a write of it is lost"),
            true if written.len() > 1 => fail("its writes are of several commits"),
            _ => {}
        }
        let overwritten = transaction.steps.iter().filter_map(|step| match step {
            Step::Wrote(key, value) if last.get(key) != Some(value) => Some(value),
            _ => None,
        });
        if overwritten.into_iter().any(|value| begun.contains_key(value)) {
            fail("a value in between was committed");
        }
        if let (true, Some(commit)) = (transaction.committed, written.first()) {
            if let Some(other) = commits.insert(*commit, &transaction.name) {
                fail(&format!("it shares a commit with {other}"));
            }
            // Nobody else may have changed what it changed between its snapshot and its commit.
            for key in last.keys() {
                let before = states.get(key).and_then(|all| all.iter().find(|state| state.to == *commit));
                let Some(before) = before else { fail("its write follows nothing") };
                (least, most) = (least.max(before.from), most.min(*commit));
            }
        }
        if least.max(transaction.after) >= most {
            fail(&format!("no snapshot explains it: from {least} (and {} known before), before {most}", transaction.after));
        }
    }
}

const ACCOUNTS: i64 = 1000;
const SUMS: &str = "SELECT (SELECT sum(abalance) FROM accounts)::bigint, (SELECT sum(bbalance) FROM branches)::bigint,
    (SELECT sum(tbalance) FROM tellers)::bigint, (SELECT coalesce(sum(delta), 0) FROM deltas)::bigint";

/// pgbench's transaction, by 16 clients: each one is done at the first try, and the books agree at the end, while it
/// runs, and at every instant of the past.
#[test]
fn the_books_agree_at_any_time() {
    run(async {
        let seconds = std::env::var("CHRONOGATE_LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
        let server = TestServer::start().await;
        let admin = server.connect().await;
        admin
            .batch_execute(
                "CREATE TABLE branches (bid int PRIMARY KEY, bbalance int);
                 CREATE TABLE tellers (tid int PRIMARY KEY, bid int, tbalance int);
                 CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int);
                 CREATE TABLE deltas (tid int, bid int, aid int, delta int, mtime timestamp);
                 INSERT INTO branches VALUES (1, 0);
                 INSERT INTO tellers SELECT n, 1, 0 FROM generate_series(1, 10) g(n);
                 INSERT INTO accounts SELECT n, 1, 0 FROM generate_series(1, 1000) g(n)",
            )
            .await
            .unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for number in 0..16_u64 {
            let (client, over) = (server.connect().await, Arc::clone(&over));
            clients.push(tokio::spawn(async move { payments(&client, number, &over).await }));
        }
        let mut instants: Vec<String> = Vec::new();
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            balanced(&admin, SUMS, "now").await;
            instants.push(admin.query_one("SELECT clock_timestamp()::text", &[]).await.unwrap().get(0));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        over.store(true, Ordering::Relaxed);
        let mut done = 0;
        for client in clients {
            done += client.await.unwrap();
        }
        balanced(&admin, SUMS, "at the end").await;
        let counted: i64 = admin.query_one("SELECT count(*) FROM deltas", &[]).await.unwrap().get(0);
        assert_eq!(counted, done, "every payment that was told of is there, once");
        assert!(done >= 16, "too little was done: {done}");
        for at in instants.iter().rev().take(20) {
            admin.batch_execute(&format!("SET chronogate.as_of = '{at}'")).await.unwrap();
            balanced(&admin, SUMS, at).await;
        }
        server.stop().await;
    });
}

async fn balanced(client: &Client, sums: &str, when: &str) {
    let row = client.query_one(sums, &[]).await.unwrap();
    let seen: Vec<i64> = (0..4).map(|n| row.get(n)).collect();
    assert!(seen.iter().all(|sum| *sum == seen[0]), "{when}: accounts, branches, tellers and deltas are {seen:?}");
}

/// Payments until it is over; how many.
async fn payments(client: &Client, number: u64, over: &AtomicBool) -> i64 {
    let mut random = Random(number * 104_729 + 11);
    let prepared = |text: &'static str| client.prepare(text);
    let account = prepared("UPDATE accounts SET abalance = abalance + $2 WHERE aid = $1").await.unwrap();
    let look = prepared("SELECT abalance FROM accounts WHERE aid = $1").await.unwrap();
    let teller = prepared("UPDATE tellers SET tbalance = tbalance + $2 WHERE tid = $1").await.unwrap();
    let branch = prepared("UPDATE branches SET bbalance = bbalance + $2 WHERE bid = $1").await.unwrap();
    let note = prepared("INSERT INTO deltas VALUES ($1, 1, $2, $3, CURRENT_TIMESTAMP)").await.unwrap();
    let mut done = 0;
    while !over.load(Ordering::Relaxed) || done == 0 {
        let (aid, tid) = (random.below(ACCOUNTS as u64) as i32 + 1, random.below(10) as i32 + 1);
        let delta = random.below(10_000) as i32 - 5_000;
        client.batch_execute("BEGIN").await.unwrap();
        client.execute(&account, &[&aid, &delta]).await.unwrap();
        client.query_one(&look, &[&aid]).await.unwrap();
        client.execute(&teller, &[&tid, &delta]).await.unwrap();
        client.execute(&branch, &[&1_i32, &delta]).await.unwrap();
        client.execute(&note, &[&tid, &aid, &delta]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        done += 1;
    }
    done
}

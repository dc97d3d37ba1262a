//! Two gateways and a writer that follows the library's protocol write to one collection at once: nothing is lost, doubled
//! or out of order, by the documents themselves and by what SQL says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use super::Served;
use super::format::{Items, Library, Place, Refused, Version};
use super::writes::{bucket, rows};
use crate::harness::{TestServer, code, connect, sized};

/// How many writes there are, unless CHRONOGATE_TEST_WRITES says otherwise. The full size is 10,000.
const WRITES: usize = 600;

/// Sessions of each gateway.
const SESSIONS: usize = 6;

/// Items that are there from the beginning; gateways alone delete, and only the last of them.
const ITEMS: usize = 40;
const MORTAL: usize = 10;

const TABLE: &str = "\"Together\"";

/// A write that was acknowledged: whose it is by its number there, and to which item it was.
struct Done {
    item: String,
    /// What the version has in `title`; a deletion has it as its reason.
    token: String,
}

#[derive(Clone)]
struct Work {
    left: Arc<AtomicUsize>,
    items: Arc<Vec<String>>,
    place: Place,
}

impl Work {
    /// Whether there is another write to be made.
    fn go_on(&self) -> bool {
        self.left.load(Ordering::SeqCst) > 0
    }

    fn is_done(&self) {
        let _ = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    }
}

pub async fn check(served: &Served, seed: u64) {
    let writes = sized("CHRONOGATE_TEST_WRITES", WRITES);
    println!("seed {seed}, {writes} writes");
    let second = TestServer::of_deployment(&served.config).await;
    let gateways = [served.server.config(), second.config()];
    let (place, work) = begin(served, writes).await;
    let begun = Instant::now();
    let mut running = Vec::new();
    for (gateway, config) in gateways.iter().enumerate() {
        for session in 0..SESSIONS {
            let client = connect(config.clone().dbname("acme")).await.expect("connects");
            let name = format!("gateway {gateway}.{session}");
            let random = StdRng::seed_from_u64(seed + (gateway * SESSIONS + session) as u64 + 1);
            running.push(tokio::spawn(session_writes(client, name, work.clone(), random)));
        }
    }
    running.push(tokio::spawn(library_writes(work.clone(), StdRng::seed_from_u64(seed))));
    let mut done = Vec::new();
    for writer in running {
        done.push(writer.await.expect("no panic"));
    }
    let took = begun.elapsed();
    let of = |writer: Option<&Vec<Done>>| writer.map_or(0, Vec::len);
    let all: usize = done.iter().map(Vec::len).sum();
    println!("{all} writes in {took:.1?}, {} of them by the library's protocol", of(done.last()));
    assert!(
        all >= writes && done.iter().all(|done| !done.is_empty()),
        "everyone has written: {:?}",
        done.iter().map(Vec::len).collect::<Vec<_>>()
    );
    let items = place.read().await;
    every_write_is_one_version(&items, &done);
    for (gateway, config) in gateways.iter().enumerate() {
        let client = connect(config.clone().dbname("acme")).await.expect("connects");
        history_is_that_of_the_documents(&client, &items, gateway).await;
        let odd = rows(&client, "SELECT * FROM chronogate.anomalies WHERE \"table\" LIKE '%Together%'").await;
        assert!(odd.is_empty(), "{odd:?}");
    }
    second.stop().await;
}

/// A collection that the library made, with all its items.
async fn begin(served: &Served, writes: usize) -> (Place, Work) {
    let client = served.mongo.client().await;
    let place = Place {
        database: client.database("acme_rt"),
        collection: TABLE.trim_matches('"').to_owned(),
        bucket: bucket(served),
        folder: served.sample.folder.join("payload"),
        indented: true,
    };
    super::shared::create(&place, ObjectId::new()).await;
    // Collections that are new are looked for every five seconds.
    tokio::time::sleep(Duration::from_millis(5_200)).await;
    let sql = served.connect("acme").await;
    let insert =
        format!("INSERT INTO {TABLE} (title, n) SELECT 'first ' || i, 0 FROM generate_series(1, {ITEMS}) i RETURNING _id");
    let items = Arc::new(rows(&sql, &insert).await);
    assert_eq!(items.len(), ITEMS);
    let left = Arc::new(AtomicUsize::new(writes));
    (place.clone(), Work { left, items, place })
}

async fn session_writes(client: Client, name: String, work: Work, mut random: StdRng) -> Vec<Done> {
    let mut done = Vec::new();
    let mut number = 0;
    while work.go_on() {
        number += 1;
        let token = format!("{name} {number}");
        let item = work.items[random.random_range(0..ITEMS)].clone();
        let mortal = work.items[ITEMS - 1 - random.random_range(0..MORTAL)].clone();
        let written = match random.random_range(0..100) {
            0..6 => insert(&client, &token, &ObjectId::new().to_hex()).await,
            6..12 => insert(&client, &token, &mortal).await,
            12..18 => delete(&client, &token, &mortal).await,
            18..26 => two_in_one(&client, &token, (&item, &mortal)).await,
            _ => update(&client, &token, &item).await,
        };
        for item in written.unwrap_or_default() {
            work.is_done();
            done.push(Done { item, token: token.clone() });
        }
    }
    done
}

/// What a statement lost a race for, or waited for in vain.
struct Lost;

/// The ids that a statement returned.
async fn written(client: &Client, sql: &str) -> Result<Vec<String>, Lost> {
    match client.query(sql, &[]).await {
        Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
        Err(error) => Err(lost(error, sql)),
    }
}

fn lost(error: tokio_postgres::Error, sql: &str) -> Lost {
    let code = code::<()>(Err(error));
    assert!(["40001", "55P03", "23505"].contains(&code.as_str()), "{code}: {sql}");
    Lost
}

async fn update(client: &Client, token: &str, item: &str) -> Result<Vec<String>, Lost> {
    written(client, &format!("UPDATE {TABLE} SET title = '{token}', n = n + 1 WHERE _id = '{item}' RETURNING _id")).await
}

async fn insert(client: &Client, token: &str, id: &str) -> Result<Vec<String>, Lost> {
    written(client, &format!("INSERT INTO {TABLE} (_id, title, n) VALUES ('{id}', '{token}', 0) RETURNING _id")).await
}

/// In a block, so that its reason can be told.
async fn delete(client: &Client, token: &str, item: &str) -> Result<Vec<String>, Lost> {
    client.batch_execute(&format!("BEGIN; SET LOCAL chronogate.reason = '{token}'")).await.expect("begun");
    let found = written(client, &format!("DELETE FROM {TABLE} WHERE _id = '{item}' RETURNING _id")).await;
    end(client, found).await
}

/// Two items in one commit: both or neither.
async fn two_in_one(client: &Client, token: &str, (one, other): (&str, &str)) -> Result<Vec<String>, Lost> {
    client.batch_execute("BEGIN").await.expect("begun");
    let mut found = update(client, token, one).await;
    if let Ok(items) = &mut found
        && one != other
    {
        match update(client, token, other).await {
            Ok(more) => items.extend(more),
            Err(Lost) => found = Err(Lost),
        }
    }
    end(client, found).await
}

/// Ends a block.
async fn end(client: &Client, found: Result<Vec<String>, Lost>) -> Result<Vec<String>, Lost> {
    let end = if found.is_ok() { "COMMIT" } else { "ROLLBACK" };
    match client.batch_execute(end).await {
        Ok(()) => found,
        Err(error) => Err(lost(error, end)),
    }
}

async fn library_writes(work: Work, mut random: StdRng) -> Vec<Done> {
    let library = Library { place: work.place.clone(), server: "host-1-1".to_owned(), unindexed: None };
    let mut done = Vec::new();
    let mut number = 0;
    while work.go_on() {
        number += 1;
        let token = format!("library {number}");
        let item = work.items[random.random_range(0..ITEMS - MORTAL)].clone();
        let change = |payload: &mut serde_json::Value| {
            payload["title"] = token.clone().into();
            payload["n"] = (payload["n"].as_i64().expect("a number") + 1).into();
        };
        match library.update(item.parse().expect("an ObjectId"), change).await {
            Ok(_) => {
                work.is_done();
                done.push(Done { item, token });
            }
            Err(Refused::Locked | Refused::Changed) => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(Refused::NotFound) => panic!("{item} is gone"),
        }
    }
    done
}

/// What a version says of who wrote it.
fn token_of(version: &Version) -> String {
    match version.op.as_str() {
        "DELETE" => version.reason.clone().expect("a reason"),
        _ => version.payload["title"].as_str().expect("a title").to_owned(),
    }
}

fn every_write_is_one_version(items: &Items, done: &[Vec<Done>]) {
    let mut versions: BTreeMap<(String, String), i32> = BTreeMap::new();
    for (item, life) in items {
        let mut n = None;
        for version in life {
            let now = version.payload["n"].as_i64();
            match version.op.as_str() {
                "DELETE" => {}
                // Each counted on from what it had read: an update that was lost would leave a number out.
                "UPDATE" if n.is_some() => assert_eq!(now, n.map(|n: i64| n + 1), "{item} {version:?}"),
                _ => assert!(now == Some(0) || life.len() == 1, "{item} {version:?}"),
            }
            n = if version.op == "DELETE" { None } else { now };
            let token = token_of(version);
            if ["gateway", "library"].iter().any(|writer| token.starts_with(writer)) {
                assert!(versions.insert((item.clone(), token), version.ov).is_none(), "{item} has {version:?} twice");
            }
        }
    }
    for writer in done {
        let mut newest: BTreeMap<&str, i32> = BTreeMap::new();
        for Done { item, token } in writer {
            let ov = versions.remove(&(item.clone(), token.clone())).unwrap_or_else(|| panic!("{token} of {item} is lost"));
            let before = newest.insert(item, ov);
            assert!(before < Some(ov), "{token} of {item} is version {ov}, what was written before it {before:?}");
        }
    }
    assert!(versions.is_empty(), "nobody was told of {versions:?}");
}

/// A state as both tell it: item, number, op, title, n.
type State = (String, i64, String, String, i64);

async fn history_is_that_of_the_documents(client: &Client, items: &Items, gateway: usize) {
    let expected: Vec<State> = items
        .iter()
        .flat_map(|(item, life)| life.iter().map(move |version| (item, version)))
        .filter(|(_, version)| version.op != "DELETE")
        .map(|(item, version)| {
            let n = version.payload["n"].as_i64().expect("a number");
            (item.clone(), i64::from(version.ov), version.op.clone(), token_of(version), n)
        })
        .collect();
    let sql = format!(
        "SELECT _id, _version, _op, title, n, _end_op, (extract(epoch FROM _system_from) * 1000000)::bigint,
                (extract(epoch FROM _system_to) * 1000000)::bigint FROM {}__history\" ORDER BY _id, _version",
        TABLE.trim_end_matches('"')
    );
    let begun = Instant::now();
    let found = loop {
        let found = client.query(&sql, &[]).await.expect("read");
        if found.len() >= expected.len() || begun.elapsed() > Duration::from_secs(10) {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let states: Vec<State> = found.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect();
    let differs = states.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert!(
        states.len() == expected.len() && differs.is_none(),
        "gateway {gateway}: {} of {}, {differs:?}",
        states.len(),
        expected.len()
    );
    for pair in found.windows(2) {
        let [one, next] = pair else { continue };
        let (from, to): (i64, Option<i64>) = (one.get(6), one.get(7));
        assert!(to.is_none_or(|to| from < to), "{one:?}");
        if one.get::<_, String>(0) != next.get::<_, String>(0) {
            continue;
        }
        let begins: i64 = next.get(6);
        match one.get::<_, Option<String>>(5).as_deref() {
            Some("DELETE") => assert!(to.is_some_and(|to| to < begins), "{one:?} {next:?}"),
            _ => assert_eq!(to, Some(begins), "{one:?} {next:?}"),
        }
    }
    let living: BTreeSet<String> =
        items.iter().filter(|(_, life)| life.last().is_some_and(|v| v.op != "DELETE")).map(|(id, _)| id.clone()).collect();
    let open: BTreeSet<String> =
        found.iter().filter(|row| row.get::<_, Option<i64>>(7).is_none()).map(|row| row.get(0)).collect();
    assert_eq!(open, living, "gateway {gateway}");
}

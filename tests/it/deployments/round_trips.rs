//! What reads and commits cost in round trips: counted on the line to each server, and with lines that take their time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use tokio_postgres::Client;

use super::Served;
use super::proxy::{Framing, Proxy};
use super::sample::Sample;
use super::servers::{Mongo, S3};
use super::writes::rows;
use crate::harness::{TestServer, connect};

/// How long each number of sessions commits, at each delay.
const FOR: Duration = Duration::from_millis(2_500);

/// What each line takes, in milliseconds.
const DELAYS: [u64; 3] = [1, 10, 30];

/// The first server of a connection string, and the string with another in its place.
fn redirected(uri: &str, to: SocketAddr) -> (SocketAddr, String) {
    let (_, rest) = uri.split_once("://").expect("a URI");
    let hosts = rest.split(['/', '?']).next().expect("hosts");
    let host = hosts.rsplit('@').next().and_then(|hosts| hosts.split(',').next()).expect("a host");
    let address = std::net::ToSocketAddrs::to_socket_addrs(host).expect("an address").next().expect("an address");
    (address, uri.replace(hosts.rsplit('@').next().expect("hosts"), &to.to_string()))
}

/// The server's address in a connection string.
fn address(uri: &str) -> SocketAddr {
    redirected(uri, SocketAddr::from(([127, 0, 0, 1], 1))).0
}

struct World {
    served: Served,
    mongo: Proxy,
    s3: Option<Proxy>,
}

impl World {
    async fn start(name: &str, over_s3: bool) -> Self {
        let (sample, server) = (Sample::unpack(name), Mongo::own().await);
        let mongo = Proxy::before(address(&server.uri), Framing::Mongo).await;
        let (_, uri) = redirected(&server.uri, mongo.address);
        let (s3, line) = match over_s3 {
            true => {
                let s3 = S3::over(sample.folder.join("payload")).await;
                let line = Proxy::before(s3.address, Framing::Http).await;
                (Some(s3), Some(line))
            }
            false => (None, None),
        };
        let endpoint = line.as_ref().map(|line| format!("http://{}", line.address));
        let served = Served::of(sample, server, s3, (&uri, endpoint.as_deref())).await;
        Self { served, mongo, s3: line }
    }

    fn delay(&self, millis: u64) {
        let delay = Duration::from_millis(millis);
        self.mongo.delay(delay);
        self.s3.iter().for_each(|line| line.delay(delay));
    }

    /// Asks for one item; what went over the lines about it, and how long it took.
    async fn asked(&self, client: &Client, sql: &str, id: &str) -> (Vec<String>, Vec<String>, Duration) {
        let about: ObjectId = id.parse().expect("an ObjectId");
        let s3 = self.s3.as_ref().expect("a line to S3");
        self.mongo.forget();
        s3.forget();
        let begun = Instant::now();
        assert_eq!(rows(client, sql).await.len(), 1, "{sql}");
        let took = begun.elapsed();
        (self.mongo.take_about(&about.bytes()), s3.take_about(id.as_bytes()), took)
    }
}

pub async fn reads() {
    let world = World::start("s3-sample", true).await;
    drop(world.served.connect("acme").await);
    // What the first one fetched to define tables, another does not have.
    let second = TestServer::of_deployment(&world.served.config).await;
    let client = connect(second.config().dbname("acme")).await.expect("connects");
    // An instant at which each item had a state that it has no more.
    let sql = "SELECT _id, to_char(_system_from AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
               FROM users__history WHERE _id IN (SELECT _id FROM users) AND _end_op = 'UPDATE' AND _version = 0";
    let items = rows(&client, sql).await;
    assert!(items.len() >= DELAYS.len(), "{items:?}");
    for (delay, item) in DELAYS.into_iter().zip(items.iter().cycle()) {
        let (id, instant) = item.split_once('|').expect("two values");
        world.delay(delay);
        let present = format!("SELECT email, status FROM users WHERE _id = '{id}'");
        let past = format!("SELECT email, status FROM users FOR SYSTEM_TIME AS OF '{instant}' WHERE _id = '{id}'");
        for (sql, call) in [(&present, "find users_head"), (&past, "aggregate users_ver")] {
            // What was analysed for the first item serves the others too; only the first time is cold.
            let (calls, gets, took) = world.asked(&client, sql, id).await;
            println!("{delay} ms: {call} and {} GET in {took:.1?}: {sql}", gets.len());
            assert_eq!((calls, gets), (vec![call.to_owned()], vec!["GET".to_owned()]), "cold: {sql}");
            let (calls, gets, took) = world.asked(&client, sql, id).await;
            println!("{delay} ms: {call} and {} GET in {took:.1?}: the same", gets.len());
            assert_eq!((calls, gets), (vec![call.to_owned()], vec![]), "warm: {sql}");
        }
    }
    world.delay(0);
    explained(&world, &client).await;
    second.stop().await;
}

/// EXPLAIN ANALYZE tells the same numbers.
async fn explained(world: &World, client: &Client) {
    // One whose head tells all: of those that were restored the versions have to be asked.
    let sql = "SELECT _id FROM documents WHERE _op = 'UPDATE' AND _payload_key LIKE '%/v' || _version || '/item.json' LIMIT 1";
    let fresh = rows(client, sql).await;
    let id = fresh.first().expect("a document");
    let about: ObjectId = id.parse().expect("an ObjectId");
    // The second time the payload is in the cache.
    for (scope, call, reads) in [("", "find documents_head", 1), ("FOR SYSTEM_TIME AS OF '2100-01-01'", "find documents_head", 0)]
    {
        let sql = format!("EXPLAIN ANALYZE SELECT _doc FROM documents {scope} WHERE _id = '{id}'");
        world.mongo.forget();
        let plan = rows(client, &sql).await.join("\n");
        assert!(plan.contains("index_calls=1") && plan.contains(&format!("payload_reads={reads}")), "{plan}");
        assert_eq!(world.mongo.take_about(&about.bytes()), [call]);
    }
}

/// How many commits sessions made that each change an item of their own, and how many that is a second.
async fn committed(world: &World, items: &[String]) -> (u64, f64) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut sessions = Vec::new();
    for item in items {
        let client = world.served.connect("acme").await;
        let sql = format!("UPDATE users SET rev = coalesce(rev, 0) + 1 WHERE _id = '{item}'");
        // What is planned once is not part of the rate.
        client.batch_execute(&sql).await.expect("updated");
        sessions.push((client, sql));
    }
    let begun = Instant::now();
    let running: Vec<_> = sessions
        .into_iter()
        .map(|(client, sql)| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut done = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    client.batch_execute(&sql).await.expect("updated");
                    done += 1;
                }
                done
            })
        })
        .collect();
    tokio::time::sleep(FOR).await;
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for session in running {
        done += session.await.expect("no panic");
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    (done + items.len() as u64, rate)
}

/// What the items' counters have come to.
async fn counted(client: &Client, items: &[String]) -> u64 {
    let sql = format!("SELECT coalesce(sum(rev), 0)::bigint FROM users WHERE _id IN ('{}')", items.join("', '"));
    rows(client, &sql).await[0].parse().expect("a number")
}

pub async fn commits() {
    let world = World::start("main", false).await;
    let client = world.served.connect("acme").await;
    let items = rows(&client, "SELECT _id FROM users WHERE rev IS NULL OR rev < 1000 LIMIT 16").await;
    assert_eq!(items.len(), 16);
    for delay in DELAYS {
        let before = counted(&client, &items).await;
        world.delay(delay);
        let (first, alone) = committed(&world, &items[..1]).await;
        let (second, together) = committed(&world, &items).await;
        println!("{delay} ms: {alone:.1} commits/s by one session, {together:.1} by 16, {:.1} times as many", together / alone);
        world.delay(0);
        // However long the lines are, each of them is there once.
        assert_eq!(counted(&client, &items).await - before, first + second, "at {delay} ms");
    }
}

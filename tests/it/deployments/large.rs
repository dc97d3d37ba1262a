//! A collection of many documents, scanned by the real binary: what it holds in memory does not grow with them.

use std::net::SocketAddr;
use std::time::Instant;

use futures::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::Client;

use super::sample::Sample;
use super::servers::Mongo;
use crate::harness::{Process, config, connect, sized};

/// How many heads there are, unless CHRONOGATE_TEST_HEADS says otherwise. The full size is 1,000,000.
const HEADS: usize = 20_000;

/// What the process may hold at any time, in KiB; and what scans may add to what it held before, caches and all.
const MOST: u64 = 512 << 10;
const MORE: u64 = 256 << 10;

const BUCKET: &str = "s3-acme-runtime";

const AT: &str = "2026-11-01T12:00:00.000Z";

/// Documents made and inserted at a time.
const BATCH: usize = 2_000;

pub async fn check() {
    let heads = sized("CHRONOGATE_TEST_HEADS", HEADS);
    let (sample, mongo) = (Sample::unpack("s3-sample"), Mongo::own().await);
    let client = mongo.client().await;
    sample.load(&client, "").await;
    let begun = Instant::now();
    fill(&client.database("acme_s3_rt"), heads).await;
    println!("{heads} documents made in {:.1?}", begun.elapsed());
    let configured = sample.configure(&mongo.uri, Some(&format!("http://{}", payloads().await)));
    let data = tempfile::tempdir().expect("a folder");
    let [configured, folder] = [configured.as_path(), data.path()].map(|path| path.to_str().expect("UTF-8"));
    let mut server = Process::spawn(&["serve", "--config", configured, "--data", folder, "--listen", "127.0.0.1:0"]);
    server.await_address();
    let sql = connect(config(server.address()).dbname("acme")).await.expect("connects");
    assert!(scanned(&sql, "SELECT _id FROM users").await > 0);
    let before = peak(server.id());
    println!("before: {} MiB at most", before >> 10);
    for (query, rows) in [
        ("SELECT _id FROM \"Many\" WHERE n >= 0 LIMIT 1", 1),
        ("SELECT _id FROM \"Many\"", heads),
        ("SELECT n, word FROM \"Many\" WHERE n < 500", 500),
        ("SELECT * FROM \"Many\"", heads),
        ("SELECT _id, n FROM \"Many\" FOR SYSTEM_TIME AS OF '2100-01-01'", heads),
        ("SELECT _id, _version FROM \"Many__history\"", heads),
    ] {
        let begun = Instant::now();
        assert_eq!(scanned(&sql, query).await, rows, "{query}");
        println!("{:.1?}, {} MiB at most: {query}", begun.elapsed(), peak(server.id()) >> 10);
    }
    let counted = sql.query_one("SELECT count(*) FROM \"Many\"", &[]).await.expect("counted");
    assert_eq!(usize::try_from(counted.get::<_, i64>(0)), Ok(heads));
    let after = peak(server.id());
    assert!(after < MOST, "{} MiB", after >> 10);
    assert!(after - before < MORE, "from {} to {} MiB", before >> 10, after >> 10);
}

/// How many rows a query gives; they are not kept.
async fn scanned(client: &Client, sql: &str) -> usize {
    let nothing: [&str; 0] = [];
    let rows = client.query_raw(sql, nothing).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let count = rows.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await;
    count.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// The most memory that a process has held so far, in KiB.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Documents with one version each, as the library makes them, with payloads of their own.
async fn fill(database: &mongodb::Database, count: usize) {
    let part = |name: &str| database.collection::<Document>(&format!("Many_{name}"));
    let index = |keys: Document| IndexModel::builder().keys(keys).build();
    for keys in [doc! { "updatedAt": -1 }, doc! { "metaIndexed.n": 1 }] {
        part("head").create_index(index(keys)).await.expect("made");
    }
    for keys in [doc! { "itemId": 1, "ov": -1 }, doc! { "at": -1 }] {
        part("ver").create_index(index(keys)).await.expect("made");
    }
    database.create_collection("Many_locks").await.expect("made");
    for first in (0..count).step_by(BATCH) {
        let numbers = first..(first + BATCH).min(count);
        let made = tokio::task::spawn_blocking(move || numbers.map(document).collect::<Vec<_>>());
        let (heads, versions): (Vec<Document>, Vec<Document>) = made.await.expect("no panic").into_iter().unzip();
        part("ver").insert_many(versions).await.expect("inserted");
        part("head").insert_many(heads).await.expect("inserted");
    }
    let value = i32::try_from(count).expect("few");
    part("counter").insert_one(doc! { "_id": "cv", "value": value }).await.expect("inserted");
}

/// A document's id tells its number, so that its payload can be made whenever it is asked for.
fn id(number: usize) -> ObjectId {
    let mut bytes = [7; 12];
    bytes[4..].copy_from_slice(&(number as u64).to_be_bytes());
    ObjectId::from_bytes(bytes)
}

fn payload(number: usize) -> Vec<u8> {
    let word = format!("{:02x}", Sha256::digest(number.to_le_bytes())[0]).repeat(20);
    let header = json!({ "insertedAt": AT, "updatedAt": AT, "state": "new-not-synched" });
    serde_json::to_vec(&json!({ "n": number, "word": word, "_system": header })).expect("JSON")
}

/// A head and its version.
fn document(number: usize) -> (Document, Document) {
    let (id, bytes) = (id(number), payload(number));
    let at = DateTime::parse_rfc3339_str(AT).expect("a date");
    let n = i32::try_from(number).expect("few");
    let checksum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let common = doc! {
        "itemId": id, "ov": 0, "cv": n + 1, "jsonBucket": BUCKET, "jsonKey": format!("many/{id}/v0/item.json"),
        "metaIndexed": { "n": n }, "size": i32::try_from(bytes.len()).expect("small"), "checksum": checksum,
    };
    let mut head = doc! { "_id": id };
    head.extend(common.clone());
    head.extend(doc! { "createdAt": at, "updatedAt": at });
    let mut version = doc! { "_id": ObjectId::new(), "op": "CREATE", "at": at };
    version.extend(common);
    (head, version)
}

/// A service that has the payload of every number: a file system takes longer than all else to make and to remove so many.
async fn payloads() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            tokio::spawn(answer(socket));
        }
    });
    address
}

async fn answer(mut socket: TcpStream) {
    let mut asked = Vec::new();
    while socket.read_buf(&mut asked).await.is_ok_and(|count| count > 0) {
        let Some(end) = asked.windows(4).position(|part| part == b"\r\n\r\n") else { continue };
        let request = String::from_utf8_lossy(&asked[..end]).into_owned();
        asked.drain(..end + 4);
        let id = request.split("/many/").nth(1).and_then(|rest| rest.get(..24)).and_then(|id| ObjectId::parse_str(id).ok());
        let number = id.and_then(|id| id.bytes()[4..].try_into().ok()).map(u64::from_be_bytes);
        let (status, body) = match number {
            Some(number) => ("200 OK", payload(usize::try_from(number).expect("few"))),
            None => ("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>".to_vec()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\netag: \"1\"\r\nlast-modified: Sun, 01 Nov 2026 00:00:00 GMT\r\n\r\n"
        );
        if socket.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}

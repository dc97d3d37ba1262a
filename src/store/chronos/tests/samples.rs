//! The data set that the library itself wrote, for tests: documents, payloads and expected answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::{Head, Presence, Row, Written};
use crate::versions::Op;

/// Where a payload is, as a document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    pub bucket: String,
    pub key: String,
    pub size: u64,
    pub checksum: String,
}

/// One item's documents.
#[derive(Debug, Default)]
pub struct Item {
    pub rows: Vec<Row<Pointer>>,
    pub head: Option<Head<Pointer>>,
}

/// The folder of one part. Unpacked once and kept under the archive's digest; tests only read it.
pub fn folder(set: &str) -> PathBuf {
    static UNPACKED: OnceLock<PathBuf> = OnceLock::new();
    UNPACKED.get_or_init(|| unpack(&data("chronos-public.tar.gz"))).join("chronos-public").join(set)
}

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn unpack(archive: &Path) -> PathBuf {
    let bytes = std::fs::read(archive).unwrap_or_else(|e| panic!("{}: {e}", archive.display()));
    let kept = std::env::temp_dir().join(format!("chronogate-samples-{}", &hex(&Sha256::digest(&bytes))[..16]));
    if !kept.exists() {
        let fresh = tempfile::tempdir().expect("a folder").keep();
        let done = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(&fresh).status().expect("tar runs");
        assert!(done.success(), "{} can be unpacked", archive.display());
        // Another process may have been quicker; either's copy will do.
        if std::fs::rename(&fresh, &kept).is_err() {
            std::fs::remove_dir_all(&fresh).expect("removed");
        }
    }
    kept
}

/// A JSON file; of a lone surrogate (which a Rust string cannot hold) only U+FFFD is left.
pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lone = regex::Regex::new(r"\\ud[89a-f][0-9a-f]{2}").expect("a pattern");
    serde_json::from_str(&lone.replace_all(&text, r"\ufffd")).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn expected(set: &str) -> Value {
    json(&folder(set).join("expected.json"))
}

/// The items of one collection, by their ids in hexadecimal.
pub fn items(set: &str, database: &str, collection: &str) -> BTreeMap<String, Item> {
    let mut items: BTreeMap<String, Item> = BTreeMap::new();
    let file = |suffix: &str| folder(set).join("mongo").join(database).join(format!("{collection}{suffix}.jsonl"));
    for document in documents(&file("_ver")) {
        items.entry(text(&document["itemId"]["$oid"])).or_default().rows.push(row(set, &document));
    }
    for document in documents(&file("_head")) {
        items.entry(text(&document["_id"]["$oid"])).or_default().head = Some(head(&document));
    }
    items
}

/// A collection's files of one part: its database's folder and its name.
pub fn collections(set: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for database in std::fs::read_dir(folder(set).join("mongo")).expect("a folder") {
        let database = database.expect("an entry").path();
        for file in std::fs::read_dir(&database).expect("a folder") {
            let name = file.expect("an entry").file_name().into_string().expect("text");
            found.extend(name.strip_suffix("_ver.jsonl").map(|name| (database.clone(), name.to_owned())));
        }
    }
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Every payload that a version points to and that is there and sound: its file, size and digest.
pub fn payloads(set: &str) -> Vec<(PathBuf, u64, String)> {
    let mut found = Vec::new();
    for (database, collection) in collections(set) {
        for document in documents(&database.join(format!("{collection}_ver.jsonl"))) {
            let row = row(set, &document);
            let Pointer { bucket, key, size, checksum } = row.payload;
            if row.presence == Presence::There {
                found.push((folder(set).join("payload").join(bucket).join(key), size, checksum));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

pub fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a document")).collect()
}

pub fn row(set: &str, document: &Value) -> Row<Pointer> {
    let op = match document["op"].as_str() {
        Some("CREATE") => Op::Create,
        Some("UPDATE") => Op::Update,
        Some("DELETE") => Op::Delete,
        Some("RESTORE") => Op::Restore,
        other => panic!("op {other:?}"),
    };
    let payload = pointer(document);
    let presence = match std::fs::read(folder(set).join("payload").join(&payload.bucket).join(&payload.key)) {
        Ok(bytes) if hex(&Sha256::digest(&bytes)) == payload.checksum => Presence::There,
        _ => Presence::Missing,
    };
    let written = Written::Library { millis: number(&document["at"]) };
    Row { number: unsigned(&document["ov"]), cv: number(&document["cv"]), op, written, presence, payload }
}

fn head(document: &Value) -> Head<Pointer> {
    Head {
        number: unsigned(&document["ov"]),
        cv: number(&document["cv"]),
        created: number(&document["createdAt"]),
        updated: number(&document["updatedAt"]),
        deleted: document.get("deletedAt").filter(|at| !at.is_null()).map(number),
        payload: pointer(document),
    }
}

fn pointer(document: &Value) -> Pointer {
    Pointer {
        bucket: text(&document["jsonBucket"]),
        key: text(&document["jsonKey"]),
        size: unsigned(&document["size"]),
        checksum: text(&document["checksum"]),
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}")).to_owned()
}

/// Extended JSON's `$numberInt`, `$numberLong` and `$date`.
pub fn number(value: &Value) -> i64 {
    match value {
        Value::String(digits) => digits.parse().expect("digits"),
        Value::Object(wrapped) => number(wrapped.values().next().expect("wrapped")),
        other => panic!("a wrapped number, not {other}"),
    }
}

fn unsigned(value: &Value) -> u64 {
    u64::try_from(number(value)).expect("not negative")
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Milliseconds of an instant as the expected answers spell it.
pub fn millis(instant: &Value) -> i64 {
    let text = text(instant);
    chrono::DateTime::parse_from_rfc3339(&text).unwrap_or_else(|e| panic!("{text}: {e}")).timestamp_millis()
}

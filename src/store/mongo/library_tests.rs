//! Collections that the library wrote, loaded into a real server as they were exported, against the answers that came
//! with them and against [`Life`] over the same documents read from files.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::tests::{name, uri};
use super::*;
use crate::runtime::ManualClock;
use crate::store::chronos::samples::{self, Pointer, millis, text};
use crate::store::chronos::{Life, Presence};
use crate::store::{CatalogChange, PayloadRef};
use crate::versions::{KeyFilter, Op};

/// One part of the data set in a server.
pub(super) struct Sampled {
    set: &'static str,
    pub index: MongoIndex,
    /// By MongoDB database and collection, as they are called in the data set.
    pub tables: BTreeMap<(String, String), TableId>,
    prefix: String,
    client: mongodb::Client,
}

/// Payloads as the files that came with the documents.
#[derive(Debug)]
pub(super) struct Files(pub &'static str);

#[async_trait]
impl PayloadStore for Files {
    async fn put(&self, _: Vec<Bytes>) -> Result<Vec<PayloadRef>, StoreError> {
        Err(StoreError::Unsupported("writing"))
    }

    async fn get(&self, refs: &[PayloadRef]) -> Result<Vec<Bytes>, StoreError> {
        let read = |payload: &PayloadRef| match payload {
            PayloadRef::Inline(bytes) => Ok(bytes.clone()),
            PayloadRef::Object { name, sha256, .. } => std::fs::read(samples::folder(self.0).join("payload").join(name))
                .ok()
                .filter(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)) == *sha256)
                .map(Bytes::from)
                .ok_or_else(|| StoreError::Payload { name: name.clone() }),
        };
        refs.iter().map(read).collect()
    }
}

/// A value of canonical Extended JSON.
fn bson(value: &Value) -> Bson {
    let digits = |value: &Value| text(value).parse::<i64>().unwrap();
    match value {
        Value::Null => Bson::Null,
        Value::Bool(b) => Bson::Boolean(*b),
        Value::String(s) => Bson::String(s.clone()),
        Value::Array(list) => Bson::Array(list.iter().map(bson).collect()),
        Value::Number(n) => panic!("a bare number: {n}"),
        Value::Object(members) => match members.iter().next().map(|(name, value)| (name.as_str(), value)) {
            Some(("$oid", id)) => Bson::ObjectId(ObjectId::parse_str(text(id)).unwrap()),
            Some(("$numberInt", n)) => Bson::Int32(i32::try_from(digits(n)).unwrap()),
            Some(("$numberLong", n)) => Bson::Int64(digits(n)),
            Some(("$numberDouble", x)) => Bson::Double(text(x).parse().unwrap()),
            Some(("$date", date)) => Bson::DateTime(DateTime::from_millis(samples::number(date))),
            Some(("$binary", binary)) => Bson::Binary(mongodb::bson::Binary {
                subtype: BinarySubtype::Generic,
                bytes: text(&binary["base64"]).into_bytes(),
            }),
            _ => Bson::Document(members.iter().map(|(name, value)| (name.clone(), bson(value))).collect()),
        },
    }
}

fn document(line: &str) -> Document {
    match bson(&serde_json::from_str(line).unwrap()) {
        Bson::Document(document) => document,
        other => panic!("no document: {other}"),
    }
}

impl Sampled {
    /// Loads a part into databases of its own and makes each collection a table.
    pub async fn load(uri: &str, set: &'static str) -> Self {
        let prefix = name();
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        let mut places = Vec::new();
        for database in folders(set) {
            let place = format!("{prefix}_{database}");
            load_database(&client.database(&place), set, &database).await;
            places.push(Place { schema: database, database: place });
        }
        let home = format!("{prefix}_home");
        let payloads: Option<Arc<dyn PayloadStore>> = Some(Arc::new(Files(set)));
        let options = MongoOptions { home, places, payloads, ..MongoOptions::new(uri, "") };
        let index = MongoIndex::open(options, Arc::new(ManualClock::at(1_000))).await.unwrap();
        let mut sampled = Self { set, index, tables: BTreeMap::new(), prefix, client };
        sampled.adopt().await;
        sampled
    }

    async fn adopt(&mut self) {
        let mut catalog = Vec::new();
        for (id, found) in (1..).zip(self.index.collections().await.unwrap()) {
            assert_eq!(found.identity, Identity::ObjectId);
            let home = format!(r#"{{"place":"{}","name":"{}","identity":"object_id"}}"#, found.place, found.name);
            let definition = Some(format!(r#"{{"name":"x","collection":{home}}}"#));
            catalog.push(CatalogChange { kind: "table".into(), id, definition });
            self.tables.insert((found.place, found.name), TableId(id));
        }
        self.index.commit(CommitRequest { catalog, ..CommitRequest::default() }).await.unwrap();
    }

    pub fn now(&self) -> Snapshot {
        let last = self.index.last_commit();
        Snapshot { commit: last.commit, time: last.time }
    }

    async fn scan(&self, table: TableId, scope: Scope) -> BTreeMap<String, Vec<StoredVersion>> {
        let keys = KeyFilter::All;
        let request = ScanRequest { table, snapshot: self.now(), scope, keys, candidates: None, payloads: true, limit: None };
        let found: Vec<_> = self.index.scan(request).try_concat().await.unwrap();
        assert!(found.is_sorted_by_key(|v| (v.key.clone(), v.version.period.from)), "in order");
        let mut items: BTreeMap<String, Vec<StoredVersion>> = BTreeMap::new();
        for state in found {
            items.entry(id(&state.key)).or_default().push(state);
        }
        items
    }

    async fn get(&self, table: TableId, ids: &[String], scope: Scope) -> Vec<Option<StoredVersion>> {
        let keys: Vec<ItemKey> = ids.iter().map(|id| object::key_of(ObjectId::parse_str(id).unwrap())).collect();
        self.index.get(table, &keys, scope, self.now()).await.unwrap()
    }

    pub async fn drop(self) {
        self.index.close().await.unwrap();
        for database in folders(self.set).iter().map(String::as_str).chain(["home"]) {
            self.client.database(&format!("{}_{database}", self.prefix)).drop().await.unwrap();
        }
    }
}

pub(super) fn folders(set: &str) -> Vec<String> {
    let found = std::fs::read_dir(samples::folder(set).join("mongo")).unwrap();
    let mut names: Vec<String> = found.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) async fn load_database(target: &mongodb::Database, set: &str, database: &str) {
    for file in std::fs::read_dir(samples::folder(set).join("mongo").join(database)).unwrap() {
        let path = file.unwrap().path();
        let Some(collection) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".jsonl")) else { continue };
        let lines = std::fs::read_to_string(&path).unwrap();
        let documents: Vec<Document> = lines.lines().map(document).collect();
        if documents.is_empty() {
            target.create_collection(collection).await.unwrap();
        } else {
            target.collection::<Document>(collection).insert_many(documents).await.unwrap();
        }
        let keys: &[Document] = match collection.rsplit('_').next() {
            Some("head") => &[doc! { "updatedAt": -1 }],
            Some("ver") => &[doc! { "itemId": 1, "ov": -1 }, doc! { "at": -1 }],
            _ => &[],
        };
        for keys in keys {
            let index = mongodb::IndexModel::builder().keys(keys.clone()).build();
            target.collection::<Document>(collection).create_index(index).await.unwrap();
        }
    }
}

fn id(key: &ItemKey) -> String {
    object::id_of(key).unwrap().to_hex()
}

/// A state's number, op, and where its payload is.
fn show(state: &StoredVersion) -> String {
    let PayloadRef::Object { name, size, sha256 } = &state.payload else { panic!("an object") };
    format!("{} {} {name} {size} {}", state.version.number.0, state.version.op.name(), samples::hex(sha256))
}

fn show_expected(version: &Value, bucket: Option<&str>) -> String {
    let bucket = bucket.map_or_else(|| text(&version["jsonBucket"]), str::to_owned);
    let (key, sum) = (text(&version["jsonKey"]), text(&version["checksum"]));
    format!("{} {} {bucket}/{key} {} {sum}", version["ov"], text(&version["op"]), version["size"])
}

/// What an item's versions and head in `expected.json` tell of its newest change: whether it lives, and its number.
fn newest(item: &Value) -> (bool, u64) {
    let versions = item["versions"].as_array().unwrap();
    let head = item["latest"]["ov"].as_u64().unwrap();
    match versions.last() {
        Some(last) if last["ov"].as_u64().unwrap() >= head => (last["op"] != "DELETE", head),
        _ => (item["latest"]["visible"].as_bool().unwrap(), head),
    }
}

fn contexts(expected: &Value) -> Vec<(String, (String, String))> {
    let contexts = expected["contexts"].as_array().unwrap().iter();
    contexts.map(|c| (text(&c["key"]), (text(&c["dbName"]), text(&c["collection"])))).collect()
}

async fn check_versions(sampled: &Sampled, table: TableId, items: &serde_json::Map<String, Value>) {
    let all = sampled.scan(table, Scope::All).await;
    for (id, item) in items {
        let versions = item["versions"].as_array().unwrap();
        let states = versions.iter().filter(|v| v["op"] != "DELETE");
        let expected: Vec<String> = states.map(|v| show_expected(v, None)).collect();
        let found = all.get(id).map_or(&[][..], Vec::as_slice);
        let listed: Vec<String> = found.iter().take(expected.len()).map(show).collect();
        assert_eq!(listed, expected, "{}: versions of {id}", sampled.set);
        let unlisted = found.get(expected.len()..).unwrap_or_default();
        let is_ahead = item["historyIncomplete"] == true && item["latest"]["visible"] == true;
        assert_eq!(unlisted.len(), usize::from(is_ahead), "{}: states of {id} beside its versions", sampled.set);
        let times = versions.iter().filter(|v| v["op"] != "DELETE").map(|v| millis(&v["at"]) * 1000);
        assert!(found.iter().map(|v| v.version.period.from.micros()).zip(times).all(|(a, b)| a == b), "times of {id}");
    }
    assert!(all.keys().all(|id| items.contains_key(id)), "no items but those");
}

async fn check_latest(sampled: &Sampled, table: TableId, items: &serde_json::Map<String, Value>, divergent: &[String]) {
    let current = sampled.scan(table, Scope::Current).await;
    let ids: Vec<String> = items.keys().cloned().collect();
    let got = sampled.get(table, &ids, Scope::Current).await;
    for ((id, item), got) in items.iter().zip(got) {
        let (lives, number) = newest(item);
        let listed = current.get(id).and_then(|states| states.first());
        assert_eq!(listed, got.as_ref(), "{}: {id} by key and by scan", sampled.set);
        assert_eq!(got.is_some(), lives, "{}: whether {id} lives", sampled.set);
        let visible = item["latest"]["visible"].as_bool().unwrap();
        assert!(lives == visible || divergent.contains(id), "{}: {id} is not said to diverge", sampled.set);
        if let Some(state) = &got {
            assert_eq!(state.version.number.0, number, "{id}");
            let PayloadRef::Object { name, .. } = &state.payload else { panic!("an object") };
            assert!(name.ends_with(&text(&item["latest"]["jsonKey"])), "{id}: {name}");
        }
        let asked = sampled.get(table, std::slice::from_ref(id), Scope::AsOf(sampled.now().time)).await;
        assert_eq!(asked, [got], "{id} alone");
    }
}

async fn check_as_of(
    sampled: &Sampled,
    table: TableId,
    at: i64,
    answers: Option<&Value>,
    items: &serde_json::Map<String, Value>,
) {
    // Instants are milliseconds; whatever was written in one is in it.
    let scope = Scope::AsOf(Timestamp::from_micros(at * 1000 + 999));
    let found = sampled.scan(table, scope).await;
    let ids: Vec<String> = items.keys().cloned().collect();
    let got = sampled.get(table, &ids, scope).await;
    for ((id, item), got) in items.iter().zip(got) {
        let listed = found.get(id).and_then(|states| states.first());
        assert_eq!(listed, got.as_ref(), "{}: {id} by key and by scan as of {at}", sampled.set);
        let answer = answers.map(|answers| &answers[id]).filter(|answer| !answer.is_null());
        let mut expected = answer.filter(|answer| answer["op"] != "DELETE").map(|answer| answer["ov"].as_u64().unwrap());
        if item["historyIncomplete"] == true && millis(&item["latest"]["updatedAt"]) <= at {
            // Written while versioning was off: the head tells.
            expected = newest(item).0.then(|| newest(item).1);
        }
        assert_eq!(got.map(|state| state.version.number.0), expected, "{}: {id} as of {at}", sampled.set);
    }
}

async fn check_set(set: &'static str) {
    let Some(uri) = uri() else { return };
    let sampled = Sampled::load(&uri, set).await;
    let expected = samples::expected(set);
    for (key, place) in contexts(&expected) {
        let table = sampled.tables[&place];
        let items = expected["items"][&key].as_object().unwrap();
        let divergent: Vec<String> =
            expected["divergent"][&key].as_array().into_iter().flatten().map(|d| text(&d["id"])).collect();
        check_versions(&sampled, table, items).await;
        if set != "v1-sample" {
            check_latest(&sampled, table, items, &divergent).await;
        }
        for instant in expected["asOf"].as_array().unwrap() {
            let answers = instant["answers"].get(&key);
            check_as_of(&sampled, table, millis(&instant["at"]), answers, items).await;
        }
        assert_eq!(sampled.index.live_count(table, sampled.now()).await.unwrap(), None, "others write it too");
    }
    check_lives(&sampled).await;
    check_log(&sampled).await;
    sampled.drop().await;
}

/// Every collection's states are those of [`Life`] over the files.
async fn check_lives(sampled: &Sampled) {
    for ((database, collection), table) in &sampled.tables {
        let found = sampled.scan(*table, Scope::All).await;
        let mut expected = BTreeMap::new();
        let mut odd = Vec::new();
        for (id, item) in samples::items(sampled.set, database, collection) {
            let contested = crate::store::chronos::life::contested(&item.rows);
            let mut rows = item.rows;
            // Payloads are asked for only where several versions have one number.
            rows.iter_mut().filter(|row| !contested.contains(&row.number)).for_each(|row| row.presence = Presence::Unknown);
            let life: Life<Pointer> = Life::of(rows, item.head.as_ref());
            odd.extend(life.anomalies.iter().map(|anomaly| (id.clone(), anomaly.clone())));
            if !life.states.is_empty() {
                expected.insert(id, life.states);
            }
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{database}.{collection}");
        for (id, states) in &expected {
            for (state, found) in states.iter().zip(&found[id]) {
                let pointer = &state.payload;
                assert_eq!(found.version, state.version, "{database}.{collection} {id}");
                let PayloadRef::Object { name, size, sha256 } = &found.payload else { panic!("an object") };
                assert_eq!(*name, format!("{}/{}", pointer.bucket, pointer.key));
                assert_eq!((*size, samples::hex(sha256)), (pointer.size, pointer.checksum.clone()));
            }
            assert_eq!(states.len(), found[id].len());
        }
        let told: Vec<_> = sampled.index.anomalies(*table).await.unwrap().try_concat().await.unwrap();
        let told: Vec<_> = told.into_iter().map(|(key, anomaly)| (id(&key), anomaly)).collect();
        assert_eq!(told, odd, "{database}.{collection}");
    }
}

/// Every version is in the log, under its instant.
async fn check_log(sampled: &Sampled) {
    let mut rows: BTreeMap<u64, u64> = BTreeMap::new();
    for (database, collection) in sampled.tables.keys() {
        for item in samples::items(sampled.set, database, collection).into_values() {
            for row in item.rows {
                let crate::store::chronos::Written::Library { millis } = row.written else { panic!("the library's") };
                *rows.entry(u64::try_from(millis * 1000).unwrap()).or_default() += 1;
            }
        }
    }
    let last = sampled.index.last_commit();
    let log: Vec<_> = sampled.index.commits(CommitNo(0), last.commit).try_concat().await.unwrap();
    assert!(log.is_sorted_by_key(|c| (c.stamp.commit, c.stamp.time)));
    let (own, library): (Vec<_>, Vec<_>) = log.iter().partition(|c| c.tables.is_empty());
    assert_eq!(library.iter().map(|c| (c.stamp.commit.0, c.rows)).collect::<BTreeMap<_, _>>(), rows);
    assert_eq!(own.len(), 1, "the one that adopted the collections");
    assert!(own[0].stamp.commit.0 > *rows.keys().last().unwrap() && own[0].stamp == last);
    for (commit, _) in rows.iter().take(5) {
        let at = Timestamp::from_micros(i64::try_from(*commit).unwrap());
        assert_eq!(sampled.index.commit_at(at).await.unwrap(), Some(library::stamp_of(CommitNo(*commit))));
        assert_eq!(sampled.index.commit_stamp(CommitNo(*commit)).await.unwrap().map(|s| s.time), Some(at));
    }
    let before = Timestamp::from_micros(i64::try_from(*rows.keys().next().unwrap()).unwrap() - 1);
    assert_eq!(sampled.index.commit_at(before).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_main_deployment_reads_as_it_was_written() {
    check_set("main").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deployment_on_s3_reads_as_it_was_written() {
    check_set("s3-sample").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deployment_of_the_first_version_reads_as_it_was_written() {
    check_set("v1-sample").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_raced_versions_those_count_whose_payloads_are_there() {
    let Some(uri) = uri() else { return };
    let sampled = Sampled::load(&uri, "race-sample").await;
    check_lives(&sampled).await;
    check_log(&sampled).await;
    let table = sampled.tables[&("race_app".to_owned(), "tickets".to_owned())];
    let current = sampled.scan(table, Scope::Current).await;
    let expected = samples::expected("race-sample");
    for head in expected["heads"].as_array().unwrap() {
        let state = &current[&text(&head["id"])][0];
        assert_eq!(state.version.number.0, head["ov"].as_u64().unwrap());
    }
    sampled.drop().await;
}

/// What the library writes is seen by a snapshot taken a moment later, and numbers of our commits go on after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_the_library_are_noticed() {
    let Some(uri) = uri() else { return };
    let sampled = Sampled::load(&uri, "s3-sample").await;
    let before = sampled.now();
    let (place, table) = sampled.tables.iter().next().unwrap();
    let database = sampled.client.database(&format!("{}_{}", sampled.prefix, place.0));
    let (id, at) = (ObjectId::new(), DateTime::from_millis(before.time.micros() / 1000 + 5));
    let common = doc! {
        "itemId": id, "ov": 0, "cv": 1000.0, "jsonBucket": "b", "jsonKey": format!("{}/{}/v0/item.json", place.1, id.to_hex()),
        "metaIndexed": {}, "size": 3_i64, "checksum": "ab".repeat(32),
    };
    let mut version = common.clone();
    version.extend(doc! { "op": "CREATE", "at": at, "actor": "ann" });
    let mut head = common;
    head.extend(doc! { "_id": id, "createdAt": at, "updatedAt": at, "deletedAt": null });
    database.collection::<Document>(&format!("{}_ver", place.1)).insert_one(version).await.unwrap();
    database.collection::<Document>(&format!("{}_head", place.1)).insert_one(head).await.unwrap();
    let begun = std::time::Instant::now();
    while sampled.now().commit == before.commit {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let key = object::key_of(id);
    let got = sampled.index.get(*table, std::slice::from_ref(&key), Scope::Current, sampled.now()).await.unwrap();
    let state = got[0].as_ref().unwrap();
    assert_eq!((state.version.op, state.version.period.from.micros()), (Op::Create, at.timestamp_millis() * 1000));
    let earlier = sampled.index.get(*table, std::slice::from_ref(&key), Scope::Current, before).await.unwrap();
    assert_eq!(earlier, [None], "but not by an older snapshot");
    let catalog = vec![CatalogChange { kind: "view".into(), id: 1, definition: Some("{}".into()) }];
    let own = sampled.index.commit(CommitRequest { catalog, ..CommitRequest::default() }).await.unwrap();
    assert!(own.commit.0 >= state.version.period.begun.0 && own.commit == sampled.now().commit);
    sampled.drop().await;
}

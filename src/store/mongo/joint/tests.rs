//! Collections written through the index, read by a second hand that knows the format only from its description, and
//! written by others meanwhile.

#[path = "../../../../tests/it/deployments/format.rs"]
mod format;

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use mongodb::bson::{DateTime, Document};
use serde_json::Value;

use self::format::{Items, Library, Place, Refused, Version};
use super::*;
use crate::config::deployment::{Base64Property, CollectionMap, Objects};
use crate::runtime::{Clock, Entropy, SeededEntropy, SystemClock, SystemEntropy};
use crate::store::chronos::counters::Rule;
use crate::store::chronos::json::{self, Form, Json};
use crate::store::chronos::samples;
use crate::store::conformance::{self, scan, snapshot, whole};
use crate::store::mongo::fault_tests::{Mood, Proxy};
use crate::store::mongo::tests::{name, uri};
use crate::store::mongo::{MongoIndex, MongoOptions};
use crate::store::object::tests::s3_server::S3Server;
use crate::store::object::tests::{service, settings};
use crate::store::{CatalogChange, IndexStore, ObjectPayloads, PayloadStore, StoredVersion};
use crate::versions::{CommitNo, Context, ItemKey, Op, Scope, VersionNo};

const TABLE: TableId = conformance::TABLE;
const BUCKET: &str = "shop-data";
const COLLECTION: &str = "Users";

/// A deployment in the making: databases of its own on the server, and a folder.
struct Site {
    uri: String,
    name: String,
    folder: tempfile::TempDir,
    s3: Option<S3Server>,
    map: CollectionMap,
    rules: Vec<Rule>,
}

impl Site {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        Some(Self { uri: uri()?, name: name(), folder, s3: None, map: CollectionMap::default(), rules: Vec::new() })
    }

    /// The same over an S3 service.
    fn over_s3() -> Option<Self> {
        let mut site = Self::new()?;
        let buckets = site.folder.path().join("buckets");
        std::fs::create_dir_all(buckets.join(BUCKET)).unwrap();
        let served = tempfile::tempdir().unwrap();
        site.s3 = Some(S3Server::over(&buckets, served.path()));
        site.folder = served;
        Some(site)
    }

    /// Where objects are on disk.
    fn objects(&self) -> std::path::PathBuf {
        if self.s3.is_some() { self.folder.path().join("buckets") } else { self.folder.path().to_owned() }
    }

    fn payloads(&self, seed: u64) -> ObjectPayloads {
        let objects = match &self.s3 {
            Some(server) => service(server.address),
            None => Objects::Folder(self.objects()),
        };
        ObjectPayloads::open(&[(BUCKET.to_owned(), objects)], settings(), Arc::new(SeededEntropy::new(seed))).unwrap()
    }

    async fn open(&self, uri: &str, home: &str, clock: Arc<dyn Clock>) -> MongoIndex {
        let objects = self.payloads(SystemEntropy.next_u64());
        let form = if self.s3.is_some() { Form::Compact } else { Form::Indented };
        let counters = Counters { database: format!("{}_analytics", self.name), tenant: "shop".to_owned() };
        let (bucket, content_bucket) = (BUCKET.to_owned(), BUCKET.to_owned());
        let place = PlaceLayout { bucket, content_bucket, form, counters: Some(counters) };
        let layout = Layout {
            objects: objects.clone(),
            places: [("public".to_owned(), place)].into(),
            collections: [(COLLECTION.to_owned(), self.map.clone())].into(),
            rules: self.rules.clone(),
            linger: LINGER,
        };
        let place = crate::store::mongo::Place { schema: "public".to_owned(), database: format!("{}_rt", self.name) };
        let options = MongoOptions {
            home: format!("{}_{home}", self.name),
            places: vec![place],
            patience: Duration::from_secs(3),
            payloads: Some(Arc::new(objects)),
            layout: Some(layout),
            ..MongoOptions::new(uri, "")
        };
        MongoIndex::open(options, clock).await.unwrap()
    }

    /// A gateway to the one database.
    async fn gateway(&self) -> MongoIndex {
        self.open(&self.uri, "rt", Arc::new(SystemClock)).await
    }

    /// The first one, which defines the table.
    async fn first(&self) -> MongoIndex {
        let gateway = self.gateway().await;
        define(&gateway).await;
        gateway
    }

    async fn client(&self) -> mongodb::Client {
        mongodb::Client::with_uri_str(&self.uri).await.unwrap()
    }

    async fn place(&self) -> Place {
        let database = self.client().await.database(&format!("{}_rt", self.name));
        let (collection, bucket) = (COLLECTION.to_owned(), BUCKET.to_owned());
        Place { database, collection, bucket, folder: self.objects(), indented: self.s3.is_none() }
    }

    async fn library(&self, server: &str) -> Library {
        Library { place: self.place().await, server: server.to_owned(), unindexed: None }
    }

    async fn locks(&self) -> mongodb::Collection<Document> {
        self.place().await.database.collection(&format!("{COLLECTION}_locks"))
    }

    async fn clean(&self) {
        let client = self.client().await;
        for part in ["rt", "analytics", "other"] {
            client.database(&format!("{}_{part}", self.name)).drop().await.unwrap();
        }
    }
}

async fn define(gateway: &MongoIndex) {
    define_as(gateway, TABLE, COLLECTION).await;
}

async fn define_as(gateway: &MongoIndex, table: TableId, collection: &str) {
    let home = format!(r#"{{"place":"public","name":"{collection}","identity":"object_id"}}"#);
    let definition = Some(format!(r#"{{"name":"users","collection":{home}}}"#));
    let catalog = vec![CatalogChange { kind: "table".into(), id: table.0, definition }];
    gateway.commit(CommitRequest { catalog, ..CommitRequest::default() }).await.unwrap();
}

fn hex_id(n: u32) -> String {
    format!("65f0000000000000{n:08x}")
}

fn key(n: u32) -> ItemKey {
    object::key_of(ObjectId::parse_str(hex_id(n)).unwrap())
}

fn row(n: u32, check: HeadCheck, op: Op, document: Option<&str>) -> RowChange {
    let payload = document.map(|text| PayloadRef::Inline(Bytes::copy_from_slice(text.as_bytes())));
    RowChange { table: TABLE, key: key(n), check, op, payload, old_entries: vec![], new_entries: vec![] }
}

fn create(n: u32, document: &str) -> RowChange {
    row(n, HeadCheck::Absent, Op::Create, Some(document))
}

fn update(n: u32, number: u64, document: &str) -> RowChange {
    row(n, HeadCheck::At(VersionNo(number)), Op::Update, Some(document))
}

fn delete(n: u32, number: u64) -> RowChange {
    row(n, HeadCheck::At(VersionNo(number)), Op::Delete, None)
}

fn request(rows: Vec<RowChange>) -> CommitRequest {
    let context = Context { user: "ann".into(), actor: Some("bob".into()), reason: Some("why".into()), ..Context::default() };
    CommitRequest { rows, context, tables: vec!["public.users".into()], ..CommitRequest::default() }
}

async fn commit(gateway: &MongoIndex, rows: Vec<RowChange>) -> Result<crate::versions::CommitStamp, StoreError> {
    gateway.commit(request(rows)).await
}

fn ops(versions: &[Version]) -> Vec<&str> {
    versions.iter().map(|version| version.op.as_str()).collect()
}

/// The states of all items at the present, by key.
async fn states(gateway: &MongoIndex, scope: Scope) -> Vec<StoredVersion> {
    scan(gateway, whole(scope, snapshot(gateway.last_commit()))).await.unwrap()
}

/// What the index tells is what the second hand reads, state by state and byte by byte.
async fn same_history(gateway: &MongoIndex, site: &Site, items: &Items) {
    let mut expected = Vec::new();
    for (id, versions) in items {
        let states = versions.iter().filter(|version| version.op != "DELETE");
        expected.extend(states.map(|version| (id.clone(), version.ov, version.key.clone(), version.payload.clone())));
    }
    let found = states(gateway, Scope::All).await;
    let payloads = site.payloads(1);
    let mut told = Vec::new();
    for state in &found {
        let PayloadRef::Object { name, .. } = &state.payload else { panic!("an object") };
        let bytes = payloads.get(std::slice::from_ref(&state.payload)).await.unwrap().remove(0);
        let key = name.strip_prefix(&format!("{BUCKET}/")).unwrap().to_owned();
        let number = i32::try_from(state.version.number.0).unwrap();
        told.push((object::id_of(&state.key).unwrap().to_hex(), number, key, serde_json::from_slice(&bytes).unwrap()));
    }
    assert_eq!(told, expected);
}

async fn writes_are_as_the_format_says(mut site: Site) {
    site.rules = rules();
    let gateway = site.first().await;
    let place = site.place().await;
    let first = commit(&gateway, vec![create(1, r#"{"name":"Ann","age":31,"nick":null}"#), create(2, r#"{"name":"Ben"}"#)]);
    let first = first.await.unwrap();
    let second = commit(&gateway, vec![update(1, 0, r#"{"name":"Ann","age":32}"#), delete(2, 0)]).await.unwrap();
    assert!(first < second);
    assert_eq!(states(&gateway, Scope::Current).await.len(), 1);
    assert_eq!(states(&gateway, Scope::AsOf(first.time)).await.len(), 2);
    commit(&gateway, vec![create(2, r#"{"name":"Ben again"}"#)]).await.unwrap();
    let back = row(1, HeadCheck::At(VersionNo(1)), Op::Restore, Some(r#"{"name":"Ann","age":31,"nick":null}"#));
    let last = commit(&gateway, vec![back]).await.unwrap();
    let items = place.read().await;
    assert_eq!(ops(&items[&hex_id(1)]), ["CREATE", "UPDATE", "RESTORE"]);
    assert_eq!(ops(&items[&hex_id(2)]), ["CREATE", "DELETE", "CREATE"]);
    for (id, versions) in &items {
        for version in versions {
            assert_eq!((version.actor.as_deref(), version.reason.as_deref()), (Some("bob"), Some("why")));
            let number = if version.op == "DELETE" { version.ov - 1 } else { version.ov };
            assert_eq!(version.key, format!("users/{id}/v{number}/item.json"));
            let mut plain = version.payload.clone();
            plain.as_object_mut().unwrap().shift_remove("_system");
            assert_eq!(version.meta, plain, "every member is indexed");
        }
    }
    let age: Vec<&Value> = items[&hex_id(1)].iter().map(|version| &version.payload["age"]).collect();
    assert_eq!(age, [31, 32, 31]);
    let members: Vec<&str> = items[&hex_id(1)][0].payload.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["name", "age", "nick", "_system"]);
    same_history(&gateway, &site, &items).await;
    assert_eq!(place.objects().len(), 5, "and no object beside those");
    check_indexes(&place).await;
    check_told(&gateway, last).await;
    check_counts(&site).await;
    // Another gateway sees the same, and goes on.
    let another = site.gateway().await;
    same_history(&another, &site, &items).await;
    commit(&another, vec![update(1, 2, r#"{"name":"Ann","age":33}"#)]).await.unwrap();
    assert_eq!(place.read().await[&hex_id(1)].len(), 4);
    site.clean().await;
}

async fn check_indexes(place: &Place) {
    let head = ["_id_", "idx_head_cv", "idx_head_deletedAt", "idx_head_itemId", "idx_head_ov", "idx_head_updatedAt"];
    assert_eq!(place.indexes("head").await, head);
    let versions = ["_id_", "idx_ver_at", "idx_ver_at_ov", "idx_ver_cv", "idx_ver_itemId_ov", "idx_ver_op", "idx_ver_ov"];
    assert_eq!(place.indexes("ver").await, versions);
    let locks = ["_id_", "expiresAt_ttl", "itemId_unique", "serverId_expiresAt_compound", "serverId_index"];
    assert_eq!(place.indexes("locks").await, locks);
}

/// Who and why are told in full, as our own log has it.
async fn check_told(gateway: &MongoIndex, last: crate::versions::CommitStamp) {
    let now = snapshot(gateway.last_commit());
    let state = gateway.get(TABLE, &[key(1)], Scope::Current, now).await.unwrap().remove(0).unwrap();
    assert_eq!((state.version.period.begun, state.version.period.from), (last.commit, last.time));
    let name = crate::store::VersionName { key: key(1), number: state.version.number, collection: state.version.collection };
    let told = gateway.told(TABLE, &[name]).await.unwrap().unwrap().remove(0).unwrap();
    assert_eq!(told, request(vec![]).context);
}

fn rules() -> Vec<Rule> {
    let rule = |name: &str, on: Option<&[&str]>, when: &str| {
        let Ok(Json::Object(when)) = json::parse(when.as_bytes()) else { panic!("{when}") };
        Rule { name: name.to_owned(), on: on.map(|on| on.iter().map(|&event| event.to_owned()).collect()), when }
    };
    vec![
        rule("adults", Some(&["CREATE", "UPDATE"]), r#"{"age": {"$gte": 32}}"#),
        rule("Bs", None, r#"{"name": {"$regex": "^B"}, "age": {"$exists": false}}"#),
        rule("never", Some(&[]), "{}"),
    ]
}

/// Counts are there as soon as what they count is.
async fn check_counts(site: &Site) {
    let counters = site.client().await.database(&format!("{}_analytics", site.name)).collection::<Document>("cnt_total");
    let id = format!("tenant:shop|db:{}_rt|coll:{COLLECTION}", site.name);
    let mut found = counters.find_one(doc! { "_id": &id }).await.unwrap().unwrap();
    assert!(found.remove("lastAt").is_some_and(|at| at.as_datetime().is_some()));
    let expected = doc! {
        "_id": &id, "tenant": "shop", "dbName": format!("{}_rt", site.name), "collection": COLLECTION,
        "created": 0, "updated": 0, "deleted": 0, "create": 3, "update": 1, "delete": 1,
        "rules": { "Bs": { "create": 2, "delete": 1 }, "adults": { "update": 1 } },
    };
    let sorted = |document: Document| document.into_iter().collect::<std::collections::BTreeMap<_, _>>();
    assert_eq!(sorted(found), sorted(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_as_the_format_says_in_a_folder() {
    let Some(site) = Site::new() else { return };
    writes_are_as_the_format_says(site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_as_the_format_says_on_s3() {
    let Some(site) = Site::over_s3() else { return };
    writes_are_as_the_format_says(site).await;
}

/// What a collection's map says: paths to index, properties to move out, members to insist on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collections_map_is_followed() {
    let Some(mut site) = Site::new() else { return };
    let bio = Base64Property { content_type: "text/plain".into(), preferred_text: false, charset: None };
    site.map = CollectionMap {
        indexed: vec!["name".into(), "address.city".into(), "tags[]".into()],
        base64: vec![("bio".into(), bio)],
        required: vec!["name".into()],
    };
    let gateway = site.first().await;
    let document = r#"{"name":"Ann","bio":"aGVsbG8=","tags":["a","b"],"address":{"city":"Bern","zip":3000}}"#;
    commit(&gateway, vec![create(1, document)]).await.unwrap();
    for (unfit, what) in [
        (r#"{"age":1}"#, "a member that must be there"),
        (r#"{"name":"x","bio":"not base64"}"#, "base64"),
        ("[1]", "an object"),
        ("{", "JSON"),
    ] {
        let (refused, kept) = futures::join!(
            commit(&gateway, vec![create(2, unfit)]),
            commit(&gateway, vec![update(1, 0, r#"{"name":"no"}"#), create(3, "{}")])
        );
        assert!(matches!(refused, Err(StoreError::Unfit(_))), "{what}: {refused:?}");
        assert!(matches!(kept, Err(StoreError::Unfit(_))), "all of a request or nothing: {kept:?}");
    }
    let place = site.place().await;
    let items = place.read().await;
    assert_eq!(items.len(), 1);
    let version = &items[&hex_id(1)][0];
    let id = hex_id(1);
    let reference = serde_json::json!({ "ref": {
        "contentBucket": BUCKET, "blobKey": format!("users/bio/{id}/v0/blob.bin"), "textKey": format!("users/bio/{id}/v0/text.txt"),
    }});
    assert_eq!(version.payload["bio"], reference);
    let read =
        |name: &str| std::fs::read(site.objects().join(BUCKET).join(version.payload["bio"]["ref"][name].as_str().unwrap()));
    assert_eq!((read("blobKey").unwrap(), read("textKey").unwrap()), (b"hello".to_vec(), b"hello".to_vec()));
    let meta = serde_json::json!({ "name": "Ann", "address": { "city": "Bern" }, "tags": { "tags": ["a", "b"] } });
    assert_eq!(version.meta, meta);
    let indexes = place.indexes("head").await;
    assert!(["meta_name_1", "meta_address_city_1", "meta_tags_array_1"].iter().all(|name| indexes.contains(&(*name).to_owned())));
    site.clean().await;
}

/// An update's document brings its old header along; it is written anew in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_is_brought_along_keeps_its_place() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    commit(&gateway, vec![create(1, r#"{"a":"\u0000\ud800","n":1e21,"z":[],"o":{}}"#)]).await.unwrap();
    let old = std::fs::read_to_string(site.objects().join(BUCKET).join(format!("users/{}/v0/item.json", hex_id(1)))).unwrap();
    assert!(
        old.starts_with("{\n  \"a\": \"\\u0000\\ud800\",\n  \"n\": 1e+21,\n  \"z\": [],\n  \"o\": {},\n  \"_system\": {"),
        "{old}"
    );
    let next = old.trim_end_matches('}').trim_end().to_owned() + ",\"b\":2}";
    commit(&gateway, vec![update(1, 0, &next)]).await.unwrap();
    let new = std::fs::read_to_string(site.objects().join(BUCKET).join(format!("users/{}/v1/item.json", hex_id(1)))).unwrap();
    assert!(new.ends_with("\"state\": \"new-not-synched\"\n  },\n  \"b\": 2\n}"), "{new}");
    let at = |text: &str, name: &str| text.split(&format!("\"{name}\": \"")).nth(1).unwrap()[..24].to_owned();
    assert_eq!(at(&old, "insertedAt"), at(&new, "insertedAt"));
    assert_ne!(at(&old, "updatedAt"), at(&new, "updatedAt"));
    site.clean().await;
}

/// What the library has locked is waited for, for a while, and nobody else waits with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_of_others_are_respected() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    commit(&gateway, (1..=4).map(|n| create(n, "{}")).collect()).await.unwrap();
    let locks = site.locks().await;
    let lock = async |n: u32, left: i64| {
        let id = ObjectId::parse_str(hex_id(n)).unwrap();
        locks.delete_many(doc! { "itemId": id }).await.unwrap();
        let expires = DateTime::from_millis(DateTime::now().timestamp_millis() + left);
        locks.insert_one(doc! { "itemId": id, "serverId": "host-1-1", "expiresAt": expires }).await.unwrap();
    };
    lock(1, 30_000).await;
    lock(2, 1_000).await;
    lock(3, -1).await;
    let begun = Instant::now();
    let timed = async |rows| (commit(&gateway, rows).await, begun.elapsed());
    let (held, short, expired, free) = futures::join!(
        timed(vec![update(1, 0, r#"{"n":1}"#), create(5, "{}")]),
        timed(vec![update(2, 0, r#"{"n":2}"#)]),
        timed(vec![update(3, 0, r#"{"n":3}"#)]),
        timed(vec![update(4, 0, r#"{"n":4}"#)]),
    );
    assert!(matches!(&held.0, Err(StoreError::Locked { key: locked, .. }) if *locked == key(1)), "{held:?}");
    assert!(held.1 >= Duration::from_secs(3) && held.1 < Duration::from_secs(20), "{held:?}");
    short.0.unwrap();
    assert!(short.1 >= Duration::from_millis(900), "{:?}", short.1);
    expired.0.unwrap();
    free.0.unwrap();
    assert!(free.1 < short.1, "{:?} {:?}", free.1, short.1);
    // What was waiting has locked nothing else.
    commit(&gateway, vec![create(5, "{}")]).await.unwrap();
    let items = site.place().await.read().await;
    assert_eq!(items.values().map(Vec::len).sum::<usize>(), 8);
    // Gateways do not wait for what another one has released.
    let another = site.gateway().await;
    let begun = Instant::now();
    for (n, gateway) in [&gateway, &another, &gateway, &another].into_iter().enumerate() {
        wait_for(gateway, &another).await;
        commit(gateway, vec![update(5, n as u64, "{}")]).await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(8));
    site.clean().await;
}

/// Waits until one gateway knows of all that another one does.
async fn wait_for(gateway: &MongoIndex, other: &MongoIndex) {
    let begun = Instant::now();
    while gateway.last_commit() < other.last_commit() {
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An object that is where a new payload belongs is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_object_is_written_over() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    commit(&gateway, vec![create(1, r#"{"n":0}"#)]).await.unwrap();
    let left = site.objects().join(BUCKET).join(format!("users/{}/v1/item.json", hex_id(1)));
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "of another").unwrap();
    commit(&gateway, vec![update(1, 0, r#"{"n":1}"#)]).await.unwrap();
    commit(&gateway, vec![update(1, 1, r#"{"n":2}"#)]).await.unwrap();
    assert_eq!(std::fs::read(&left).unwrap(), b"of another");
    let items = site.place().await.read().await;
    let numbers: Vec<&Value> = items[&hex_id(1)].iter().map(|version| &version.payload["n"]).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert!(items[&hex_id(1)][1].key.len() > items[&hex_id(1)][0].key.len());
    same_history(&gateway, &site, &items).await;
    site.clean().await;
}

/// The library writes what we wrote, and we what it wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_library_and_we_write_in_turns() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    let library = site.library("host-1-1").await;
    commit(&gateway, vec![create(1, r#"{"n":0}"#), create(2, r#"{"n":0}"#)]).await.unwrap();
    let id = |n| ObjectId::parse_str(hex_id(n)).unwrap();
    for turn in 0..3 {
        tokio::time::sleep(LINGER).await;
        let n = 2 * turn;
        assert_eq!(library.update(id(1), |payload| payload["n"] = (n + 1).into()).await, Ok(n + 1));
        let before = commit(&gateway, vec![update(1, u64::try_from(n).unwrap(), r#"{"n":-1}"#)]).await;
        assert!(matches!(before, Err(StoreError::Conflict { .. })), "it has changed: {before:?}");
        commit(&gateway, vec![update(1, u64::try_from(n + 1).unwrap(), &format!("{{\"n\":{}}}", n + 2))]).await.unwrap();
    }
    // A deletion by the library carries our members of the head along.
    tokio::time::sleep(LINGER).await;
    assert_eq!(library.delete(id(2)).await, Ok(1));
    let begun = Instant::now();
    while states(&gateway, Scope::Current).await.len() != 1 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let gone = commit(&gateway, vec![update(2, 0, "{}")]).await;
    assert!(matches!(gone, Err(StoreError::Conflict { .. })), "{gone:?}");
    commit(&gateway, vec![create(2, r#"{"n":2}"#)]).await.unwrap();
    let items = site.place().await.read().await;
    assert_eq!(
        items[&hex_id(1)].iter().map(|v| v.payload["n"].as_i64().unwrap()).collect::<Vec<_>>(),
        (0..7).collect::<Vec<_>>()
    );
    assert_eq!(ops(&items[&hex_id(2)]), ["CREATE", "DELETE", "CREATE"]);
    same_history(&gateway, &site, &items).await;
    let found = states(&gateway, Scope::All).await;
    let periods: Vec<_> = found.iter().filter(|state| state.key == key(1)).map(|state| state.version.period).collect();
    assert!(periods.windows(2).all(|pair| pair[0].end.is_some_and(|end| end.to == pair[1].from) && pair[0].from < pair[1].from));
    site.clean().await;
}

/// Whatever state the library left an item in, its next version follows the newest that a reader sees, and what was before
/// stays as it was.
async fn odd_items_are_written(set: &'static str, database: &str) {
    let Some(site) = Site::new() else { return };
    let payloads = samples::folder(set).join("payload/.");
    let copied = std::process::Command::new("cp").arg("-r").arg(payloads).arg(site.objects()).status().unwrap();
    assert!(copied.success());
    let target = site.client().await.database(&format!("{}_rt", site.name));
    crate::store::mongo::library_tests::load_database(&target, set, database).await;
    let gateway = site.gateway().await;
    let mut written = 0;
    for (id, found) in (1..).zip(gateway.collections().await.unwrap()) {
        let table = TableId(id);
        define_as(&gateway, table, &found.name).await;
        written += write_all(&gateway, table).await;
    }
    assert!(written > 0);
    site.clean().await;
}

async fn all_of(gateway: &MongoIndex, table: TableId, scope: Scope) -> Vec<StoredVersion> {
    let request = crate::store::ScanRequest { table, ..whole(scope, snapshot(gateway.last_commit())) };
    scan(gateway, request).await.unwrap()
}

async fn oddities(gateway: &MongoIndex, table: TableId) -> Vec<(ItemKey, crate::store::chronos::Anomaly)> {
    use crate::store::chronos::Anomaly::{DuplicateNumber, MissingPayload};
    let found: Vec<_> = futures::TryStreamExt::try_concat(gateway.anomalies(table).await.unwrap()).await.unwrap();
    found.into_iter().filter(|(_, odd)| matches!(odd, DuplicateNumber { .. } | MissingPayload { .. })).collect()
}

/// Updates what lives and creates again what does not; how many items there were.
async fn write_all(gateway: &MongoIndex, table: TableId) -> usize {
    let (before, odd) = (all_of(gateway, table, Scope::All).await, oddities(gateway, table).await);
    let live: BTreeMap<ItemKey, VersionNo> =
        all_of(gateway, table, Scope::Current).await.into_iter().map(|state| (state.key, state.version.number)).collect();
    let keys: std::collections::BTreeSet<ItemKey> = before.iter().map(|state| state.key.clone()).collect();
    let change = |key: &ItemKey| {
        let (check, op) = match live.get(key) {
            Some(number) => (HeadCheck::At(*number), Op::Update),
            None => (HeadCheck::Absent, Op::Create),
        };
        let payload = Some(PayloadRef::Inline(Bytes::from_static(b"{\"n\":1}")));
        RowChange { table, key: key.clone(), check, op, payload, old_entries: vec![], new_entries: vec![] }
    };
    let changes: Vec<RowChange> = keys.iter().map(change).collect();
    let requests = changes.chunks(7).map(|rows| commit(gateway, rows.to_vec()));
    for outcome in futures::future::join_all(requests).await {
        outcome.unwrap();
    }
    let after = all_of(gateway, table, Scope::All).await;
    assert_eq!(after.len(), before.len() + keys.len());
    for key in &keys {
        let of = |states: &[StoredVersion]| states.iter().filter(|state| state.key == *key).cloned().collect::<Vec<_>>();
        let (old, mut new) = (of(&before), of(&after));
        let newest = new.pop().unwrap();
        assert!(newest.version.period.end.is_none());
        for (old, new) in old.iter().zip(&new) {
            let same = |state: &StoredVersion| (state.version.number, state.version.period.from, state.payload.clone());
            assert_eq!(same(old), same(new));
            assert!(new.version.number < newest.version.number);
            let end = new.version.period.end.unwrap();
            assert_eq!(end.to, old.version.period.end.map_or(newest.version.period.from, |end| end.to));
        }
    }
    assert_eq!(all_of(gateway, table, Scope::Current).await.len(), keys.len());
    assert_eq!(oddities(gateway, table).await, odd, "none is added");
    keys.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_that_the_library_left_odd_are_written() {
    odd_items_are_written("main", "acme_rt").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_that_the_library_raced_for_are_written() {
    odd_items_are_written("race-sample", "race_app").await;
}

/// How many writes each writer of a race makes.
fn writes() -> u32 {
    std::env::var("CHRONOGATE_TEST_WRITES").ok().and_then(|n| n.parse().ok()).unwrap_or(25)
}

/// Two gateways and a process of the library add to the same items. Every write that was said to be made is a version,
/// once, with its payload, and in its place. (Two processes of the library lose payloads to each other.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_version_is_lost_between_writers() {
    let Some(site) = Site::new() else { return };
    let first = site.first().await;
    let second = site.gateway().await;
    const ITEMS: u32 = 4;
    commit(&first, (0..ITEMS).map(|n| create(n, r#"{"by":[]}"#)).collect()).await.unwrap();
    wait_for(&second, &first).await;
    let library = site.library("host-1-1").await;
    let payloads = site.payloads(1);
    let ours = async |gateway: &MongoIndex, who: u32| {
        let mut made = Vec::new();
        for write in 0..writes() {
            let (n, mark) = ((write + who) % ITEMS, who * 1_000_000 + write);
            loop {
                let now = snapshot(gateway.last_commit());
                let state = gateway.get(TABLE, &[key(n)], Scope::Current, now).await.unwrap().remove(0);
                let Some(state) = state else { continue };
                let bytes = payloads.get(std::slice::from_ref(&state.payload)).await.unwrap().remove(0);
                let mut document: Value = serde_json::from_slice(&bytes).unwrap();
                document["by"].as_array_mut().unwrap().push(mark.into());
                match commit(gateway, vec![update(n, state.version.number.0, &document.to_string())]).await {
                    Ok(_) => break made.push((n, mark)),
                    Err(StoreError::Conflict { .. } | StoreError::Locked { .. }) => {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
        made
    };
    let theirs = async |library: &Library, who: u32| {
        let mut made = Vec::new();
        for write in 0..writes() {
            let (n, mark) = ((write + who) % ITEMS, who * 1_000_000 + write);
            let id = ObjectId::parse_str(hex_id(n)).unwrap();
            let begun = Instant::now();
            loop {
                let add = |payload: &mut Value| payload["by"].as_array_mut().unwrap().push(mark.into());
                match library.update(id, add).await {
                    Ok(_) => break made.push((n, mark)),
                    Err(Refused::Locked | Refused::Changed) if begun.elapsed() < Duration::from_secs(2) => {
                        tokio::time::sleep(Duration::from_millis(7)).await;
                    }
                    // It does not wait for its turn.
                    Err(Refused::Locked | Refused::Changed) => break,
                    Err(Refused::NotFound) => panic!("it is there"),
                }
            }
        }
        made
    };
    let (a, b, c) = futures::join!(ours(&first, 1), ours(&second, 2), theirs(&library, 3));
    let made: Vec<(u32, u32)> = [a, b, c].into_iter().flatten().collect();
    let by_library = made.iter().filter(|(_, mark)| *mark >= 3_000_000).count();
    eprintln!("{} versions, {by_library} by the library", made.len());
    assert!(by_library > 0, "there was a race");
    let items = site.place().await.read().await;
    assert_eq!(items.values().map(|versions| versions.len() - 1).sum::<usize>(), made.len());
    for n in 0..ITEMS {
        let versions = &items[&hex_id(n)];
        let marks: Vec<u64> =
            versions.last().unwrap().payload["by"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        let mut sorted = marks.clone();
        sorted.sort_unstable();
        let mut expected: Vec<u64> = made.iter().filter(|(item, _)| *item == n).map(|(_, mark)| u64::from(*mark)).collect();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "every write is there, once");
        for (at, version) in versions.iter().enumerate() {
            assert_eq!(version.payload["by"].as_array().unwrap().len(), at, "one more from version to version");
        }
    }
    wait_for(&first, &second).await;
    same_history(&first, &site, &items).await;
    site.clean().await;
}

/// Who loses a lock while it works commits nothing, however late it notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_lock_nothing_is_committed() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    commit(&gateway, vec![create(1, r#"{"n":0}"#)]).await.unwrap();
    let locks = site.locks().await;
    let thief = tokio::spawn(async move {
        loop {
            locks.delete_many(doc! { "released": { "$exists": false } }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let (mut made, mut lost) = (0, 0);
    while lost < 5 && made < 500 {
        match commit(&gateway, vec![update(1, made, &format!("{{\"n\":{}}}", made + 1))]).await {
            Ok(_) => made += 1,
            Err(StoreError::Conflict { .. }) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }
    thief.abort();
    assert!(lost > 0, "locks were lost");
    let items = site.place().await.read().await;
    let numbers: Vec<u64> = items[&hex_id(1)].iter().filter_map(|version| version.payload["n"].as_u64()).collect();
    assert_eq!(numbers, (0..=made).collect::<Vec<_>>());
    same_history(&gateway, &site, &items).await;
    site.clean().await;
}

/// How many calls writes take, whatever the number of rows. These numbers are promises: a network makes each a round trip.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_few() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    commit(&gateway, (1..=16).map(|n| create(n, "{}")).collect()).await.unwrap();
    let counted = async |what: &str, most: u64, requests: &dyn Fn(u64) -> Vec<Vec<RowChange>>| {
        let mut least = u64::MAX;
        for n in 0..5 {
            // What was counted afterwards and what looks for others' commits is not of the next one.
            tokio::time::sleep(Duration::from_millis(30)).await;
            let before = gateway.calls();
            let outcomes = futures::future::join_all(requests(n).into_iter().map(|rows| commit(&gateway, rows))).await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            least = least.min(gateway.calls() - before);
        }
        eprintln!("{what}: {least}");
        assert!(least <= most, "{what} took {least} calls");
    };
    counted("an update", 12, &|n| vec![vec![update(1, n, "{}")]]).await;
    counted("an insert", 12, &|n| vec![vec![create(100 + n as u32, "{}")]]).await;
    counted("sixteen inserts at once", 22, &|n| (0..16).map(|i| vec![create(1000 + 100 * n as u32 + i, "{}")]).collect()).await;
    site.clean().await;
}

/// A commit whose answer is lost, or that is lost itself, is made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_made_once() {
    let Some(site) = Site::new() else { return };
    let first = site.first().await;
    commit(&first, vec![create(1, r#"{"n":0}"#)]).await.unwrap();
    let proxy = Proxy::to(&site.uri).await;
    let gateway = site.open(&proxy.uri, "rt", Arc::new(SystemClock)).await;
    for (n, mood) in [Mood::HidingOneCommit, Mood::LosingOneCommit, Mood::HidingOneCommit].into_iter().enumerate() {
        proxy.be(mood);
        let document = format!("{{\"n\":{}}}", n + 1);
        let made = commit(&gateway, vec![update(1, n as u64, &document), create(10 + n as u32, "{}")]).await;
        made.unwrap_or_else(|error| panic!("{mood:?}: {error}"));
    }
    let items = site.place().await.read().await;
    assert_eq!(items[&hex_id(1)].iter().map(|v| v.payload["n"].as_i64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(items.len(), 4);
    same_history(&gateway, &site, &items).await;
    site.clean().await;
}

/// While payloads cannot be put, or the server does not answer, nothing is written; then it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_leaves_no_version() {
    let Some(mut site) = Site::over_s3() else { return };
    let first = site.first().await;
    commit(&first, vec![create(1, r#"{"n":0}"#)]).await.unwrap();
    site.s3.as_mut().unwrap().kill();
    let lost = commit(&first, vec![update(1, 0, r#"{"n":-1}"#)]).await;
    assert!(matches!(lost, Err(StoreError::Unreachable)), "{lost:?}");
    site.s3.as_mut().unwrap().start();
    let proxy = Proxy::to(&site.uri).await;
    let gateway = site.open(&proxy.uri, "rt", Arc::new(SystemClock)).await;
    proxy.be(Mood::Refusing);
    let lost = commit(&gateway, vec![update(1, 0, r#"{"n":-2}"#)]).await;
    assert!(matches!(lost, Err(StoreError::Unreachable)), "{lost:?}");
    proxy.be(Mood::Honest);
    commit(&first, vec![update(1, 0, r#"{"n":1}"#)]).await.unwrap();
    let items = site.place().await.read().await;
    assert_eq!(items[&hex_id(1)].iter().map(|v| v.payload["n"].as_i64().unwrap()).collect::<Vec<_>>(), [0, 1]);
    site.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_can_be_truncated() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    commit(&gateway, (1..=30).map(|n| create(n, "{}")).collect()).await.unwrap();
    let seen = gateway.last_commit().commit;
    let truncate = |seen| CommitRequest { truncate: vec![(TABLE, seen)], ..request(vec![]) };
    commit(&gateway, vec![delete(30, 0)]).await.unwrap();
    let old = gateway.commit(truncate(seen)).await;
    assert!(matches!(old, Err(StoreError::Conflict { .. })), "{old:?}");
    gateway.commit(truncate(gateway.last_commit().commit)).await.unwrap();
    assert_eq!(states(&gateway, Scope::Current).await.len(), 0);
    let items = site.place().await.read().await;
    assert!(items.len() == 30 && items.values().all(|versions| ops(versions) == ["CREATE", "DELETE"]));
    site.clean().await;
}

/// Two databases would number their commits without regard to each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_database_writes_in_a_place() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    commit(&gateway, vec![create(1, "{}")]).await.unwrap();
    let other = site.open(&site.uri, "other", Arc::new(SystemClock)).await;
    define(&other).await;
    let refused = commit(&other, vec![create(2, "{}")]).await;
    assert!(matches!(refused, Err(StoreError::Unsupported(_))), "{refused:?}");
    assert_eq!(states(&other, Scope::Current).await.len(), 1, "but it reads");
    site.clean().await;
}

/// A commit may change tables of ours and collections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_spans_own_tables_and_collections() {
    let Some(site) = Site::new() else { return };
    let gateway = site.first().await;
    let own = |n: u64| {
        let mut own = conformance::create(&format!("own{n}"), "1");
        own.table = TableId(8);
        own
    };
    commit(&gateway, vec![create(1, "{}"), own(1)]).await.unwrap();
    let (lost, kept) =
        futures::join!(commit(&gateway, vec![create(2, "{}"), own(1)]), commit(&gateway, vec![create(3, "{}"), own(2)]));
    assert!(matches!(lost, Err(StoreError::KeyExists { .. })), "{lost:?}");
    kept.unwrap();
    // The locks of what was refused are free again.
    commit(&gateway, vec![create(2, "{}"), own(3)]).await.unwrap();
    let items = site.place().await.read().await;
    assert_eq!(items.len(), 3);
    same_history(&gateway, &site, &items).await;
    assert!(gateway.commit_stamp(CommitNo(1)).await.unwrap().is_some());
    assert!(Path::new(&site.objects()).is_dir());
    site.clean().await;
}

//! Collections of Chronos-DB by a second hand: a reader that holds every document and object against the description of
//! the format, and a writer that does what the library does, in its order. Shares no code with the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures::TryStreamExt;
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A collection, where its documents and objects are.
#[derive(Clone)]
pub struct Place {
    pub database: Database,
    pub collection: String,
    pub bucket: String,
    /// Holds `<bucket>/<key>`.
    pub folder: PathBuf,
    /// As on local disk; else as on S3.
    pub indented: bool,
}

/// One version row with its payload.
#[derive(Clone, Debug)]
pub struct Version {
    pub ov: i32,
    pub cv: i32,
    pub op: String,
    pub at: DateTime,
    pub actor: Option<String>,
    pub reason: Option<String>,
    pub key: String,
    pub payload: Value,
    pub meta: Value,
}

/// What a collection holds, by item.
pub type Items = BTreeMap<String, Vec<Version>>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn int(document: &Document, name: &str) -> i32 {
    document.get_i32(name).unwrap_or_else(|_| panic!("{name} is an int32 in {document}"))
}

fn text(document: &Document, name: &str) -> String {
    document.get_str(name).unwrap_or_else(|_| panic!("{name} is a string in {document}")).to_owned()
}

fn date(document: &Document, name: &str) -> DateTime {
    *document.get_datetime(name).unwrap_or_else(|_| panic!("{name} is a date in {document}"))
}

fn iso(date: DateTime) -> String {
    let short = date.try_to_rfc3339_string().expect("a date");
    let (day, rest) = short.trim_end_matches('Z').split_once('T').expect("a date and a time");
    let (seconds, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    format!("{day}T{seconds}.{fraction:0<3}Z")
}

/// Values that JSON has, as JSON.
fn json(bson: &Bson) -> Value {
    match bson {
        Bson::Null => Value::Null,
        Bson::Boolean(value) => Value::Bool(*value),
        Bson::Int32(n) => Value::from(*n),
        Bson::Double(x) => Value::from(*x),
        Bson::String(text) => Value::from(text.as_str()),
        Bson::Array(elements) => elements.iter().map(json).collect(),
        Bson::Document(document) => Value::Object(document.iter().map(|(name, value)| (name.clone(), json(value))).collect()),
        other => panic!("{other} came from no JSON"),
    }
}

/// The other way round, as the driver for JavaScript does it.
fn bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::Number(n) => match n.as_i64().and_then(|n| i32::try_from(n).ok()) {
            Some(n) => Bson::Int32(n),
            None => Bson::Double(n.as_f64().expect("a double")),
        },
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(elements) => Bson::Array(elements.iter().map(bson).collect()),
        Value::Object(members) => Bson::Document(members.iter().map(|(name, value)| (name.clone(), bson(value))).collect()),
    }
}

impl Place {
    pub fn part(&self, suffix: &str) -> mongodb::Collection<Document> {
        self.database.collection(&format!("{}_{suffix}", self.collection))
    }

    async fn all(&self, suffix: &str, sort: Document) -> Vec<Document> {
        self.part(suffix).find(doc! {}).sort(sort).await.expect("found").try_collect().await.expect("documents")
    }

    fn file(&self, bucket: &str, key: &str) -> PathBuf {
        self.folder.join(bucket).join(key)
    }

    /// Reads everything and panics at the first thing that is not as the format says.
    pub async fn read(&self) -> Items {
        let heads = self.all("head", doc! { "_id": 1 }).await;
        let rows = self.all("ver", doc! { "itemId": 1, "ov": 1 }).await;
        let mut items = Items::new();
        let mut seen = BTreeSet::new();
        for row in &rows {
            assert!(seen.insert(int(row, "cv")), "cv of {row} is taken");
            let id = row.get_object_id("itemId").expect("itemId").to_hex();
            let before = items.get(&id).and_then(|versions| versions.last()).cloned();
            let version = self.version(&id, row, before.as_ref());
            items.entry(id).or_default().push(version);
        }
        for head in &heads {
            self.head(head, &items, &rows);
        }
        assert_eq!(heads.len(), items.len(), "each item has a head");
        let counter = self.part("counter").find_one(doc! {}).await.expect("found").expect("a counter");
        assert_eq!(text(&counter, "_id"), "cv");
        assert!(int(&counter, "value") >= seen.last().copied().unwrap_or(0), "the counter is in step: {counter}");
        items
    }

    fn version(&self, id: &str, row: &Document, before: Option<&Version>) -> Version {
        let (ov, op) = (int(row, "ov"), text(row, "op"));
        assert_eq!(ov, before.map_or(0, |before| before.ov + 1), "numbers follow one another: {row}");
        match op.as_str() {
            "CREATE" => assert!(!row.contains_key("prevOv"), "{row}"),
            "UPDATE" | "DELETE" | "RESTORE" => assert_eq!(int(row, "prevOv"), ov - 1, "{row}"),
            other => panic!("op {other}"),
        }
        let (bucket, key) = (text(row, "jsonBucket"), text(row, "jsonKey"));
        assert_eq!(bucket, self.bucket);
        match op.as_str() {
            "DELETE" => assert_eq!(Some(&key), before.map(|before| &before.key), "a deletion points to what was before"),
            "RESTORE" => {}
            _ => {
                let folder = format!("{}/{id}/v", self.collection.trim().to_lowercase());
                assert!(key.starts_with(&folder) && key.ends_with("/item.json"), "{key}");
            }
        }
        let (at, cv) = (date(row, "at"), int(row, "cv"));
        if let Some(before) = before {
            assert!(before.at <= at && before.cv < cv, "times and cv of an item grow: {row}");
        }
        let payload = self.payload(&bucket, &key, row);
        if op != "DELETE" {
            let system = &payload["_system"];
            assert_eq!(system["updatedAt"], iso(at), "{row}");
            assert_eq!(system["state"], "new-not-synched");
            let members: Vec<&str> = system.as_object().expect("a header").keys().map(String::as_str).collect();
            assert_eq!(members, ["insertedAt", "updatedAt", "state"]);
        }
        let optional = |name: &str| row.get_str(name).ok().map(str::to_owned);
        let meta = json(row.get("metaIndexed").expect("metaIndexed"));
        assert!(meta.is_object(), "{row}");
        let (actor, reason) = (optional("actor"), optional("reason"));
        Version { ov, cv, op, at, actor, reason, key, payload, meta }
    }

    fn payload(&self, bucket: &str, key: &str, row: &Document) -> Value {
        let path = self.file(bucket, key);
        let bytes = std::fs::read(&path).unwrap_or_else(|cause| panic!("{}: {cause}: {row}", path.display()));
        assert_eq!(bytes.len(), usize::try_from(int(row, "size")).expect("a size"), "{row}");
        assert_eq!(hex(&Sha256::digest(&bytes)), text(row, "checksum"), "{row}");
        let payload: Value = serde_json::from_slice(&bytes).expect("JSON");
        let written = match self.indented {
            true => serde_json::to_vec_pretty(&payload),
            false => serde_json::to_vec(&payload),
        };
        assert_eq!(written.expect("written"), bytes, "{key} is laid out as the library does");
        payload
    }

    fn head(&self, head: &Document, items: &Items, rows: &[Document]) {
        let id = head.get_object_id("_id").expect("_id");
        assert_eq!(head.get_object_id("itemId").expect("itemId"), id);
        let newest = items[&id.to_hex()].last().expect("a version");
        let row = rows.iter().find(|row| int(row, "cv") == newest.cv).expect("its row");
        assert_eq!((int(head, "ov"), int(head, "cv")), (newest.ov, newest.cv), "{head}");
        for name in ["jsonBucket", "jsonKey", "size", "checksum", "metaIndexed"] {
            assert_eq!(head.get(name), row.get(name), "{name} of {head}");
        }
        assert_eq!(date(head, "updatedAt"), newest.at, "{head}");
        let created = date(head, "createdAt");
        for version in &items[&id.to_hex()] {
            assert_eq!(version.payload["_system"]["insertedAt"], iso(created), "{head}");
        }
        match newest.op.as_str() {
            "DELETE" => assert_eq!(date(head, "deletedAt"), newest.at, "{head}"),
            _ => assert!(matches!(head.get("deletedAt"), None | Some(Bson::Null)), "{head}"),
        }
    }

    /// Names of a part's indexes, sorted.
    pub async fn indexes(&self, suffix: &str) -> Vec<String> {
        let mut names = self.part(suffix).list_index_names().await.expect("indexes");
        names.sort();
        names
    }

    /// Every object of the collection, by key, whether anything points to it or not.
    pub fn objects(&self) -> BTreeSet<String> {
        let base = self.folder.join(&self.bucket);
        let mut folders = vec![base.join(self.collection.to_lowercase())];
        let mut found = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(found.insert(path.strip_prefix(&base).expect("below").display().to_string())),
                }
            }
        }
        found
    }
}

/// Why the library did not do it.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    NotFound,
    /// It does not wait.
    Locked,
    /// The head was another when it was to be replaced.
    Changed,
}

/// Writes as the library does: no better, no worse.
pub struct Library {
    pub place: Place,
    pub server: String,
    /// A member that its configuration does not name.
    pub unindexed: Option<&'static str>,
}

impl Library {
    /// Its lock; its id when it was got.
    async fn lock(&self, item: ObjectId, operation: &str) -> Result<ObjectId, Refused> {
        let locks = self.place.part("locks");
        let now = DateTime::now();
        locks.delete_many(doc! { "expiresAt": { "$lt": now } }).await.expect("deleted");
        let own = ObjectId::new();
        let expires = DateTime::from_millis(now.timestamp_millis() + 30_000);
        let row = doc! {
            "_id": own, "itemId": item, "collection": &self.place.collection, "dbName": self.place.database.name(),
            "operation": operation, "lockedAt": now, "expiresAt": expires, "serverId": &self.server,
        };
        match locks.insert_one(row).await {
            Ok(_) => Ok(own),
            Err(error) if error.to_string().contains("11000") => Err(Refused::Locked),
            Err(error) => panic!("{error}"),
        }
    }

    async fn unlock(&self, lock: ObjectId) {
        self.place.part("locks").delete_one(doc! { "_id": lock }).await.expect("deleted");
    }

    fn put(&self, key: &str, payload: &Value) -> (i32, String) {
        let path = self.place.file(&self.place.bucket, key);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let bytes = match self.place.indented {
            true => serde_json::to_vec_pretty(payload),
            false => serde_json::to_vec(payload),
        };
        let bytes = bytes.expect("written");
        std::fs::write(path, &bytes).expect("written");
        (i32::try_from(bytes.len()).expect("small"), hex(&Sha256::digest(&bytes)))
    }

    /// Reads the head, then locks, then writes: in that order, which is the library's. One that lost so much time between
    /// the first two that a gateway's lock could have come and gone gives up: that nobody is protected from.
    pub async fn update(&self, item: ObjectId, change: impl FnOnce(&mut Value)) -> Result<i32, Refused> {
        let begun = DateTime::now();
        let head = self.place.part("head").find_one(doc! { "_id": item }).await.expect("found").ok_or(Refused::NotFound)?;
        let at = DateTime::now();
        let lock = self.lock(item, "UPDATE").await?;
        if DateTime::now().timestamp_millis() - begun.timestamp_millis() > 100 {
            self.unlock(lock).await;
            return Err(Refused::Locked);
        }
        let path = self.place.file(&self.place.bucket, &text(&head, "jsonKey"));
        let done = match std::fs::read(path) {
            Ok(bytes) => {
                let mut payload: Value = serde_json::from_slice(&bytes).expect("JSON");
                change(&mut payload);
                self.write(&head, at, payload).await
            }
            Err(_) => Err(Refused::Changed),
        };
        self.unlock(lock).await;
        done
    }

    async fn write(&self, head: &Document, at: DateTime, mut payload: Value) -> Result<i32, Refused> {
        let item = head.get_object_id("_id").expect("_id");
        let ov = int(head, "ov") + 1;
        let inserted = iso(date(head, "createdAt"));
        payload["_system"] = serde_json::json!({ "insertedAt": inserted, "updatedAt": iso(at), "state": "new-not-synched" });
        let key = format!("{}/{}/v{ov}/item.json", self.place.collection.to_lowercase(), item.to_hex());
        let (size, checksum) = self.put(&key, &payload);
        let mut meta = payload.clone();
        for member in ["_system"].into_iter().chain(self.unindexed) {
            meta.as_object_mut().expect("an object").remove(member);
        }
        let meta = bson(&meta);
        let common = doc! {
            "itemId": item, "ov": ov, "jsonBucket": &self.place.bucket, "jsonKey": &key, "metaIndexed": meta,
            "size": size, "checksum": &checksum,
        };
        let done = self.transaction(head, ov, at, common).await;
        if done.is_err() {
            // Its clean-up, which is what others have to be protected from.
            let _ = std::fs::remove_file(self.place.file(&self.place.bucket, &key));
        }
        done
    }

    async fn transaction(&self, head: &Document, ov: i32, at: DateTime, common: Document) -> Result<i32, Refused> {
        let item = head.get_object_id("_id").expect("_id");
        let mut session = self.place.database.client().start_session().await.expect("a session");
        session.start_transaction().await.expect("started");
        let done: Result<bool, mongodb::error::Error> = async {
            let counters = self.place.part("counter");
            let counter = counters.find_one_and_update(doc! { "_id": "cv" }, doc! { "$inc": { "value": 1 } });
            let counter = counter.upsert(true).return_document(mongodb::options::ReturnDocument::After);
            let cv = int(&counter.session(&mut session).await?.expect("a counter"), "value");
            let mut row = doc! { "op": "UPDATE", "at": at, "actor": "library", "prevOv": ov - 1, "cv": cv };
            row.extend(common.clone());
            self.place.part("ver").insert_one(row).session(&mut session).await?;
            let mut next = doc! { "_id": item, "cv": cv, "createdAt": date(head, "createdAt"), "updatedAt": at };
            next.extend(common);
            let heads = self.place.part("head");
            let replaced = heads.replace_one(doc! { "_id": item, "ov": ov - 1 }, next);
            Ok(replaced.session(&mut session).await?.matched_count == 1)
        }
        .await;
        match done {
            Ok(true) if session.commit_transaction().await.is_ok() => Ok(ov),
            Err(error) if !error.contains_label("TransientTransactionError") => panic!("{error}"),
            _ => {
                let _ = session.abort_transaction().await;
                Err(Refused::Changed)
            }
        }
    }

    /// A logical deletion, which keeps members of the head that the library does not know.
    pub async fn delete(&self, item: ObjectId) -> Result<i32, Refused> {
        let head = self.place.part("head").find_one(doc! { "_id": item }).await.expect("found").ok_or(Refused::NotFound)?;
        let lock = self.lock(item, "DELETE").await?;
        let (at, ov) = (DateTime::now(), int(&head, "ov") + 1);
        let counters = self.place.part("counter");
        let counter = counters.find_one_and_update(doc! { "_id": "cv" }, doc! { "$inc": { "value": 1 } });
        let counter =
            counter.return_document(mongodb::options::ReturnDocument::After).await.expect("counted").expect("a counter");
        let cv = int(&counter, "value");
        let mut row = doc! { "itemId": item, "ov": ov, "cv": cv, "op": "DELETE", "at": at, "prevOv": ov - 1 };
        for name in ["jsonBucket", "jsonKey", "metaIndexed", "size", "checksum"] {
            row.insert(name, head.get(name).cloned().unwrap_or(Bson::Null));
        }
        self.place.part("ver").insert_one(row).await.expect("inserted");
        let mut next = head.clone();
        next.extend(doc! { "ov": ov, "cv": cv, "updatedAt": at, "deletedAt": at });
        let replaced = self.place.part("head").replace_one(doc! { "_id": item, "ov": ov - 1 }, next).await.expect("replaced");
        self.unlock(lock).await;
        if replaced.matched_count == 1 { Ok(ov) } else { Err(Refused::Changed) }
    }
}

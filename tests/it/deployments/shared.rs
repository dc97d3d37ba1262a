//! A collection that the library makes and both write: each goes on from what the other left, and a reader that knows the
//! format only from its description finds nothing amiss.

use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use sha2::{Digest, Sha256};

use super::Served;
use super::format::{Library, Place, Refused};
use super::writes::{bucket, rows};

pub async fn check(served: &Served, database: &str, indented: bool) {
    let client = served.mongo.client().await;
    let folder = served.sample.folder.join("payload");
    let place =
        Place { database: client.database(database), collection: "Notes".into(), bucket: bucket(served), folder, indented };
    let id = ObjectId::new();
    create(&place, id).await;
    // Collections that are new are looked for every five seconds.
    tokio::time::sleep(Duration::from_millis(5_200)).await;
    let sql = served.connect("acme").await;
    let read = "SELECT title, n FROM \"Notes\" ORDER BY n";
    assert_eq!(rows(&sql, read).await, ["one|1"]);
    sql.batch_execute("UPDATE \"Notes\" SET n = n + 1").await.expect("updated");
    let insert = "INSERT INTO \"Notes\" (title, n) VALUES ('new', 10) RETURNING _id";
    let new: ObjectId = rows(&sql, insert).await[0].parse().expect("an ObjectId");
    let library = Library { place: place.clone(), server: "host-1-1".to_owned(), unindexed: None };
    update(&library, id, "n", 3.into()).await;
    update(&library, new, "n", 11.into()).await;
    let begun = Instant::now();
    while rows(&sql, read).await != ["one|3", "new|11"] {
        assert!(begun.elapsed() < Duration::from_secs(10), "the library's writes are not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sql.batch_execute("UPDATE \"Notes\" SET title = title || '!'").await.expect("updated");
    sql.batch_execute(&format!("DELETE FROM \"Notes\" WHERE _id = '{new}'")).await.expect("deleted");
    let items = place.read().await;
    let told: Vec<(String, Vec<String>)> = items
        .iter()
        .map(|(id, versions)| {
            let version = |v: &super::format::Version| format!("{} {} {}", v.op, v.payload["title"], v.payload["n"]);
            (id.clone(), versions.iter().map(version).collect())
        })
        .collect();
    let first = ["CREATE \"one\" 1", "UPDATE \"one\" 2", "UPDATE \"one\" 3", "UPDATE \"one!\" 3"];
    let second = ["CREATE \"new\" 10", "UPDATE \"new\" 11", "UPDATE \"new!\" 11", "DELETE \"new!\" 11"];
    assert_eq!(told.len(), 2);
    for (item, expected) in [(id, first), (new, second)] {
        assert_eq!(
            told.iter().find(|(id, _)| *id == item.to_hex()).map(|(_, versions)| versions.as_slice()),
            Some(&expected.map(str::to_owned)[..])
        );
    }
    let history = format!("SELECT _version, _op, title, n FROM \"Notes__history\" WHERE _id = '{id}' ORDER BY _version");
    assert_eq!(rows(&sql, &history).await, ["0|CREATE|one|1", "1|UPDATE|one|2", "2|UPDATE|one|3", "3|UPDATE|one!|3"]);
    let odd = format!("SELECT kind FROM chronogate.anomalies WHERE key IN ('{id}', '{new}')");
    assert_eq!(rows(&sql, &odd).await, Vec::<String>::new());
    // What no column holds makes one wider, and the query that meets it answers all the same.
    update(&library, id, "n", "many".into()).await;
    let begun = Instant::now();
    while rows(&sql, "SELECT n FROM \"Notes\"").await != ["\"many\""] {
        assert!(begun.elapsed() < Duration::from_secs(10), "the library's write is not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    update(&library, id, "more", true.into()).await;
    assert_eq!(rows(&sql, "SELECT chronogate.infer('\"Notes\"')").await, ["t"]);
    assert_eq!(rows(&sql, "SELECT chronogate.infer('public.\"Notes\"')").await, ["f"]);
    assert_eq!(rows(&sql, "SELECT length(chronogate.object_id()), more FROM \"Notes\"").await, ["24|t"]);
}

/// An update by the library, which does not wait for our lock that lingers for a moment.
pub async fn update(library: &Library, item: ObjectId, member: &str, value: serde_json::Value) {
    let begun = Instant::now();
    while let Err(refused) = library.update(item, |payload| payload[member] = value.clone()).await {
        assert_eq!(refused, Refused::Locked);
        assert!(begun.elapsed() < Duration::from_secs(5), "the lock stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The library's creation of a collection's first item.
pub async fn create(place: &Place, id: ObjectId) {
    let at = DateTime::now();
    let iso = chrono::DateTime::from_timestamp_millis(at.timestamp_millis()).expect("a time");
    let iso = iso.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let header = serde_json::json!({ "insertedAt": iso, "updatedAt": iso, "state": "new-not-synched" });
    let payload = serde_json::json!({ "title": "one", "n": 1, "_system": header });
    let bytes = if place.indented { serde_json::to_vec_pretty(&payload) } else { serde_json::to_vec(&payload) };
    let bytes = bytes.expect("JSON");
    let key = format!("{}/{id}/v0/item.json", place.collection.to_lowercase());
    let path = place.folder.join(&place.bucket).join(&key);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(path, &bytes).expect("written");
    let checksum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let pointer = doc! {
        "jsonBucket": &place.bucket, "jsonKey": key, "metaIndexed": { "title": "one", "n": 1 },
        "size": i32::try_from(bytes.len()).expect("small"), "checksum": checksum,
    };
    let mut version = doc! { "_id": ObjectId::new(), "itemId": id, "ov": 0, "cv": 1, "op": "CREATE", "at": at };
    version.extend(pointer.clone());
    let mut head = doc! { "_id": id, "itemId": id, "ov": 0, "cv": 1 };
    head.extend(pointer);
    head.extend(doc! { "createdAt": at, "updatedAt": at });
    for (part, document) in [("counter", doc! { "_id": "cv", "value": 1 }), ("ver", version), ("head", head)] {
        let part = format!("{}_{part}", place.collection);
        place.database.collection::<Document>(&part).insert_one(document).await.expect("inserted");
    }
    place.database.create_collection(format!("{}_locks", place.collection)).await.expect("made");
}

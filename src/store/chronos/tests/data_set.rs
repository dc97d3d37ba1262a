//! The format's rules held against every document and object that the library wrote.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Extended, json};

use super::super::base64_props::{self, Owner};
use super::super::indexes::{self, Index};
use super::super::json::{self, Form, Json, Object};
use super::super::meta::{self, Value};
use super::super::system::{self, Lineage, Record};
use super::super::{Presence, Row, keys};
use super::samples::{self, Pointer, number, text};
use crate::config::deployment::{CollectionMap, ConfigFile, Deployment};
use crate::versions::Op;

/// A version that has a payload of its own, with all there is to know of it.
struct Written {
    collection: String,
    id: String,
    row: Row<Pointer>,
    at: i64,
    created: i64,
    meta: Extended,
    payload: Object,
}

const SETS: [&str; 4] = ["main", "s3-sample", "v1-sample", "race-sample"];

fn written(set: &str) -> Vec<Written> {
    let mut all = Vec::new();
    for (database, collection) in samples::collections(set) {
        let file = |suffix: &str| database.join(format!("{collection}{suffix}.jsonl"));
        let heads = samples::documents(&file("_head"));
        for document in samples::documents(&file("_ver")) {
            let row = samples::row(set, &document);
            let makes_payload = matches!(row.op, Op::Create | Op::Update) && row.presence == Presence::There;
            let id = text(&document["itemId"]["$oid"]);
            let Some(head) = heads.iter().find(|head| head["_id"]["$oid"] == id.as_str()).filter(|_| makes_payload) else {
                continue;
            };
            let path = samples::folder(set).join("payload").join(&row.payload.bucket).join(&row.payload.key);
            let Ok(Json::Object(payload)) = json::parse(&std::fs::read(&path).expect("there")) else {
                panic!("{}", path.display())
            };
            let (at, created) = (number(&document["at"]), number(&head["createdAt"]));
            all.push(Written {
                collection: collection.clone(),
                id,
                row,
                at,
                created,
                meta: document["metaIndexed"].clone(),
                payload,
            });
        }
    }
    all
}

fn deployment(set: &str) -> Deployment {
    match ConfigFile::read(&samples::folder(set).join("config.json")).expect("valid") {
        ConfigFile::Deployment(deployment) => *deployment,
        ConfigFile::Own(_) => panic!("{set}"),
    }
}

#[test]
fn every_payload_lies_under_the_key_of_its_version() {
    for set in SETS {
        for Written { collection, id, row, .. } in written(set) {
            let key = keys::payload(&collection, &id, row.number as i64).expect("a key");
            assert_eq!(row.payload.key, key, "{set}");
        }
    }
}

#[test]
fn what_is_indexed_of_every_version_is_what_its_payload_gives() {
    let mut compared = 0;
    for set in ["main", "s3-sample", "race-sample"] {
        let maps = deployment(set).collections;
        for Written { collection, id, row, meta, payload, .. } in written(set) {
            let indexed = maps.get(&collection).map(|map| map.indexed.clone()).unwrap_or_default();
            let ours = meta::document(&meta::extract(&indexed, &payload)).expect("no NUL in a name");
            let (ours, stored) = (extended(&Value::Document(ours)), as_in_payload(&meta));
            assert_eq!(ours.to_string(), stored.to_string(), "{set} {collection} {id} {}", row.number);
            compared += 1;
        }
    }
    assert!(compared > 900, "{compared}");
}

fn extended(value: &Value) -> Extended {
    match value {
        Value::Null => Extended::Null,
        Value::Bool(value) => json!(value),
        Value::Int32(value) => json!({"$numberInt": value.to_string()}),
        Value::Double(value) => double(*value),
        Value::String(value) => json!(value),
        Value::Array(values) => values.iter().map(extended).collect(),
        Value::Document(members) => {
            Extended::Object(members.iter().map(|(name, value)| (name.clone(), extended(value))).collect())
        }
    }
}

fn double(value: f64) -> Extended {
    let text = Json::from(value).written(Form::Compact);
    json!({"$numberDouble": text})
}

/// What the library copied as JavaScript values (dates, what is not finite, negative zero) as its JSON has it.
fn as_in_payload(stored: &Extended) -> Extended {
    let wrapped = |name: &str| stored.as_object().filter(|members| members.len() == 1).and_then(|members| members.get(name));
    if let Some(date) = wrapped("$date") {
        return json!(system::instant(number(date)));
    }
    if let Some(value) = wrapped("$numberDouble") {
        let value: f64 = text(value).replace("Infinity", "inf").parse().expect("a number");
        return match value {
            value if !value.is_finite() => Extended::Null,
            0.0 => json!({"$numberInt": "0"}),
            value => double(value),
        };
    }
    match stored {
        Extended::Array(values) => values.iter().map(as_in_payload).collect(),
        Extended::Object(members) => {
            Extended::Object(members.iter().map(|(name, value)| (name.clone(), as_in_payload(value))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn every_header_is_as_we_would_write_it() {
    let (mut with_lineage, mut with_functions) = (0, 0);
    for set in ["main", "s3-sample", "race-sample"] {
        for Written { id, row, at, created, payload, .. } in written(set) {
            let header = payload.get("_system").expect("a header");
            let of = |name: &str| header.step(name).and_then(Json::as_str).map(str::to_owned);
            let record = |id: &str, collection: &str| {
                of(id).zip(of(collection)).map(|(id, collection)| Record { id, collection, system: None })
            };
            let functions = header.step("functionIds").is_some();
            let ours = match row.op {
                Op::Create => {
                    let lineage = Lineage {
                        parent: record("parentId", "parentCollection"),
                        origin: record("originId", "originCollection"),
                    };
                    with_lineage += usize::from(lineage.origin.is_some());
                    system::created(at, &lineage)
                }
                _ if functions => system::enriched(Some(header), created, at, None),
                _ => system::updated(None, created, at),
            };
            with_functions += usize::from(functions);
            let ours = Json::Object(ours).written(Form::Compact);
            assert_eq!(ours, header.written(Form::Compact), "{set} {id} {}", row.number);
        }
    }
    assert!(with_lineage > 0 && with_functions > 0, "{with_lineage} {with_functions}");
}

#[test]
fn every_base64_property_went_where_we_would_put_it() {
    let (mut blobs, mut texts) = (0, 0);
    for set in ["main", "s3-sample"] {
        let maps = deployment(set).collections;
        for written in written(set) {
            let Some(map) = maps.get(&written.collection).filter(|map| !map.base64.is_empty()) else { continue };
            let bucket = samples::folder(set).join("payload").join(&written.row.payload.bucket);
            let Some(given) = given_anew(&written, map, &bucket) else { continue };
            let owner = Owner {
                collection: &written.collection,
                id: &written.id,
                version: written.row.number as i64,
                content_bucket: &written.row.payload.bucket,
            };
            let (object, moved) = base64_props::externalize(given, &map.base64, owner).expect("moved");
            let [ours, theirs] = [&object, &written.payload].map(|object| Json::Object(object.clone()).written(Form::Compact));
            assert_eq!(ours, theirs, "{set} {}", written.id);
            for blob in moved {
                assert_eq!(std::fs::read(bucket.join(&blob.key)).expect("a blob"), blob.bytes);
                blobs += 1;
                if let Some((key, text)) = blob.text {
                    assert_eq!(std::fs::read_to_string(bucket.join(&key)).expect("a text"), text, "{key}");
                    texts += 1;
                }
            }
        }
    }
    assert!(blobs > 100 && texts > 30, "{blobs} blobs, {texts} texts");
}

/// The object as the library was given it, where base64 was given: references made by this version become base64 again.
fn given_anew(written: &Written, map: &CollectionMap, bucket: &std::path::Path) -> Option<Object> {
    let mut given = Json::Object(written.payload.clone());
    let mut any = false;
    for (path, _) in &map.base64 {
        let Some(key) = given.at(path).and_then(|value| value.at("ref.blobKey")).and_then(Json::as_str).map(str::to_owned) else {
            continue;
        };
        if !key.contains(&format!("/v{}/", written.row.number)) {
            continue;
        }
        let bytes = std::fs::read(bucket.join(&key)).expect("a blob");
        let value = path.split('.').try_fold(&mut given, |value, segment| value.step_mut(segment)).expect("the property");
        *value = STANDARD.encode(bytes).as_str().into();
        any = true;
    }
    given.as_object().filter(|_| any).cloned()
}

#[test]
fn indexes_are_those_we_would_make() {
    let mut compared = 0;
    for set in SETS {
        let maps = deployment(set).collections;
        for (database, collection) in samples::collections(set) {
            let stored = samples::json(&database.join("_indexes.json"));
            // The version that wrote this part read no collection maps.
            let map = maps.get(&collection).filter(|_| set != "v1-sample");
            for (suffix, ours) in [("head", indexes::head(map)), ("ver", indexes::versions()), ("locks", indexes::locks())] {
                let stored = stored[format!("{collection}_{suffix}")].as_array().cloned().unwrap_or_default();
                let mut stored: Vec<Index> = stored.iter().filter(|index| index["name"] != "_id_").map(index).collect();
                let mut ours = ours;
                stored.sort_by(|one, other| one.name.cmp(&other.name));
                ours.sort_by(|one, other| one.name.cmp(&other.name));
                assert_eq!(stored, ours, "{set} {collection}_{suffix}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 30, "{compared}");
}

fn index(stored: &Extended) -> Index {
    let keys = stored["key"].as_object().expect("keys").iter();
    Index {
        name: text(&stored["name"]),
        keys: keys
            .map(|(field, direction)| (field.clone(), direction.as_i64().unwrap_or_else(|| number(direction)) as i32))
            .collect(),
        unique: stored["unique"] == true,
        where_exists: stored["partialFilterExpression"].as_object().and_then(|filter| filter.keys().next().cloned()),
    }
}

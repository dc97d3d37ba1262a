//! The vectors that the library's own functions gave, one test for each group, none left out.

use sha2::{Digest, Sha256};

use super::super::hrw::RoutingContext;
use super::super::json::{self, Form, Json, Object, Text};
use super::super::system::{Lineage, Record};
use super::super::{backoff, base64_props, counters, hrw, indexes, keys, merge, meta, system};
use super::samples;

fn group(name: &str) -> Json {
    let path = samples::data("chronos-vectors.json");
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    json::parse(&bytes).expect("valid").step(name).unwrap_or_else(|| panic!("no vectors of {name}")).clone()
}

fn list(name: &str, count: usize) -> Vec<Json> {
    let Json::Array(list) = group(name) else { panic!("{name} is a list") };
    assert_eq!(list.len(), count, "{name}");
    list
}

fn object<'j>(vector: &'j Json, name: &str) -> &'j Object {
    vector.step(name).and_then(Json::as_object).unwrap_or_else(|| panic!("{name} in {vector:?}"))
}

fn text<'j>(vector: &'j Json, name: &str) -> &'j str {
    vector.step(name).and_then(Json::as_str).unwrap_or_else(|| panic!("{name} in {vector:?}"))
}

fn compact(value: &Json) -> String {
    value.written(Form::Compact)
}

#[test]
fn keys_of_objects() {
    for vector in list("keys", 7) {
        let arguments = vector.step("args").and_then(Json::as_array).expect("arguments");
        let words: Vec<&str> = arguments.iter().filter_map(Json::as_str).collect();
        let numbers: Vec<i64> = arguments.iter().filter_map(Json::as_f64).map(|number| number as i64).collect();
        let made = match (text(&vector, "fn"), words.as_slice(), numbers.as_slice()) {
            ("jsonKey", [collection, id], [version]) => keys::payload(collection, id, *version),
            ("propBlobKey", [collection, property, id], [version]) => keys::blob(collection, property, id, *version),
            ("propTextKey", [collection, property, id], [version]) => keys::text(collection, property, id, *version),
            ("manifestKey", [collection], [year, month, version]) => {
                keys::manifest(collection, *year as u16, *month as u8, *version as u64)
            }
            other => panic!("{other:?}"),
        };
        match vector.step("result").expect("a result") {
            Json::String(key) => assert_eq!(made.as_deref().ok(), key.as_str()),
            Json::Object(error) if error.get("error").is_some() => assert!(made.is_err(), "{vector:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(keys::payload("x", " ", 0), Err(keys::BadKey::Nameless));
    assert_eq!(keys::payload("x", "y", -1), Err(keys::BadKey::NegativeVersion));
}

#[test]
fn what_is_indexed() {
    for vector in list("metaIndexed", 19) {
        let paths = vector.step("indexedProps").and_then(Json::as_array).expect("paths");
        let paths: Vec<String> = paths.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        let meta = meta::extract(&paths, object(&vector, "data"));
        assert_eq!(compact(&Json::Object(meta)), compact(vector.step("metaIndexed").expect("a result")), "{paths:?}");
    }
}

#[test]
fn indexes_of_paths() {
    let paths = ["email", "address.city", "a.b.c", "tags[]", "a.tags[]", "items.0.sku"];
    for (vector, path) in list("indexNames", 6).iter().zip(paths) {
        let index = indexes::of_path(path);
        assert_eq!(index.name, text(vector, "name"));
        let keys: Vec<(String, i32)> = object(vector, "key")
            .iter()
            .map(|(name, value)| (name.to_lossy(), value.as_f64().expect("a direction") as i32))
            .collect();
        assert_eq!(index.keys, keys);
        let filter = object(vector, "partialFilterExpression").iter().next().expect("a filter");
        assert_eq!((index.where_exists.as_deref(), compact(&filter.1)), (filter.0.as_str(), "{\"$exists\":true}".to_owned()));
    }
}

#[test]
fn renditions_as_text() {
    for vector in list("textRendition", 9) {
        let bytes = base64_props::decode(text(&vector, "bytesBase64")).expect("base64");
        let rendition = base64_props::text_rendition(&bytes, text(&vector, "charset"));
        assert_eq!(rendition.as_deref(), vector.step("text").and_then(Json::as_str), "{vector:?}");
    }
}

#[test]
fn canonical_base64() {
    for vector in list("base64Valid", 8) {
        let valid = base64_props::decode(text(&vector, "value")).is_some();
        assert_eq!(Some(&Json::Bool(valid)), vector.step("valid"), "{vector:?}");
    }
}

#[test]
fn merges() {
    for vector in list("merge", 23) {
        let mut target = object(&vector, "target").clone();
        merge::enrich(&mut target, object(&vector, "patch"));
        assert_eq!(compact(&Json::Object(target)), compact(vector.step("result").expect("a result")), "{vector:?}");
    }
}

#[test]
fn rendezvous_hashing() {
    let group = group("hrw");
    let cases = group.step("cases").and_then(Json::as_array).expect("cases");
    assert!(cases.len() >= 30, "{}", cases.len());
    for case in cases {
        let strings = |name: &str| -> Vec<String> {
            case.step(name).and_then(Json::as_array).expect(name).iter().filter_map(Json::as_str).map(str::to_owned).collect()
        };
        let (servers, key) = (strings("backendIds"), text(case, "key"));
        let scores: Vec<String> = servers.iter().map(|server| format!("{:016x}", hrw::score(key, server))).collect();
        assert_eq!(scores, strings("scoresHex"), "{key}");
        assert_eq!(Some(hrw::choose(key, &servers) as f64), case.step("index").and_then(Json::as_f64), "{key}");
    }
}

#[test]
fn routing_keys() {
    for vector in list("routingKey", 9) {
        let of = |name: &str| vector.step("ctx").and_then(|context| context.step(name)).and_then(Json::as_str);
        let context = RoutingContext {
            tenant: of("tenantId"),
            database: of("dbName"),
            collection: of("collection"),
            object: of("objectId"),
        };
        assert_eq!(hrw::routing_key(text(&vector, "dsl"), context), text(&vector, "key"), "{vector:?}");
    }
}

#[test]
fn headers() {
    let group = group("systemHeader");
    let record = |id: &str, collection: &str, system: Option<&str>| {
        Some(Record { id: id.to_owned(), collection: collection.to_owned(), system: system.map(str::to_owned) })
    };
    const AT: i64 = 1_748_779_200_123;
    let created = |parent, origin| system::created(AT, &Lineage { parent, origin });
    let parent = created(record("p1", "users", None), None);
    let given = Json::Object(parent.clone());
    let headers = [
        ("createPlain", created(None, None)),
        ("createParent", parent),
        ("createOrigin", created(None, record("o1", "customers", None))),
        ("createParentAndOriginSystem", created(record("p1", "users", None), record("o1", "customers", Some("stripe")))),
        ("updateOfParent", system::updated(Some(&given), 0, AT + 1000)),
        ("deleteHeader", system::deleted(Some(&given), 0, AT + 2000)),
    ];
    assert_eq!(group.as_object().map(Object::len), Some(headers.len()));
    for (name, header) in headers {
        assert_eq!(compact(&Json::Object(header)), compact(group.step(name).expect(name)), "{name}");
    }
}

#[test]
fn rules_of_counters() {
    for vector in list("counterPredicate", 16) {
        let counts = counters::counts(object(&vector, "when"), object(&vector, "data"));
        assert_eq!(Some(&Json::Bool(counts)), vector.step("result"), "{vector:?}");
    }
}

#[test]
fn pauses_of_the_fallback_queue() {
    let rule = group("fallbackBackoff");
    assert!(rule.as_str().is_some_and(|rule| rule.contains("2^attempt*baseDelayMs") && rule.contains("10% random")), "{rule:?}");
    assert_eq!(
        [0, 1, 2, 5, 6, 200].map(|attempt| backoff::pause(attempt, 2000, 60_000, 0.0)),
        [2000, 4000, 8000, 60_000, 60_000, 60_000]
    );
    assert_eq!([-1.0, 1.0].map(|chance| backoff::pause(1, 2000, 60_000, chance)), [3600, 4400]);
}

#[test]
fn bytes_of_json() {
    for vector in list("json", 1) {
        let value = vector.step("value").expect("a value");
        for (form, name) in [(Form::Indented, "local"), (Form::Compact, "s3")] {
            let written = value.written(form);
            assert_eq!(Text::from(written.as_str()), *vector.step(name).and_then(Json::as_text).expect(name));
            assert_eq!(samples::hex(&Sha256::digest(&written)), text(&vector, &format!("{name}Sha256")));
            assert_eq!(Some(written.len() as f64), vector.step(&format!("{name}Bytes")).and_then(Json::as_f64));
        }
    }
}

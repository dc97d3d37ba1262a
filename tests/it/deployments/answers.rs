//! Every item's latest state, every version, every instant and every filter of `expected.json`, asked in SQL.
//!
//! Where an item's head and its newest version disagree about its being deleted, the newest version decides here; the
//! library believes the head. Everything else is equal.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio_postgres::Client;

use super::sample::paired;
use super::{Context, Served};

type Ids = BTreeSet<String>;

pub async fn check(served: &Served) {
    let expected = &served.sample.expected;
    let mut checked = 0;
    for context in served.contexts() {
        let client = served.connect(&context.database).await;
        let items = expected["items"][&context.key].as_object().unwrap_or_else(|| panic!("items of {}", context.key));
        let lives = living(items);
        latest(&client, &context, items, &lives).await;
        // What is expected of 1.x leaves out who and why.
        let texts: &[_] = if expected["set"] == "v1" { &TEXTS[2..] } else { &TEXTS };
        versions(&client, &context, items, texts).await;
        for instant in expected["asOf"].as_array().expect("instants") {
            as_of(&client, &context, instant, items).await;
        }
        for filter in expected["listByMeta"].as_array().into_iter().flatten().filter(|f| f["context"] == context.key) {
            list_by_meta(&client, &context, filter, expected).await;
        }
        checked += items.len();
    }
    assert!(checked > 0, "nothing was checked");
}

/// Whether the head is newer than every version.
fn is_ahead(item: &Value) -> bool {
    let newest = item["versions"].as_array().and_then(|versions| versions.last()).and_then(|version| version["ov"].as_i64());
    newest < item["latest"]["ov"].as_i64()
}

/// The items whose newest version is a state.
fn living(items: &serde_json::Map<String, Value>) -> Ids {
    let lives = |item: &Value| match item["versions"].as_array().and_then(|versions| versions.last()) {
        Some(newest) if !is_ahead(item) => newest["op"] != "DELETE",
        _ => item["latest"]["visible"] == true,
    };
    items.iter().filter(|(_, item)| lives(item)).map(|(id, _)| id.clone()).collect()
}

pub async fn latest(client: &Client, context: &Context, items: &serde_json::Map<String, Value>, lives: &Ids) {
    let sql = format!("SELECT _id, _version, _cv, _payload_key, _doc::text FROM {}", context.table);
    let rows = client.query(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let found: Ids = rows.iter().map(|row| row.get::<_, String>(0)).collect();
    assert_eq!(found, *lives, "{}: which items there are", context.key);
    for row in rows {
        let (id, version): (String, i64) = (row.get(0), row.get(1));
        let head = &items[&id]["latest"];
        assert_eq!(Some(version), head["ov"].as_i64(), "{} {id}: the newest version", context.key);
        assert_eq!(row.get::<_, Option<i64>>(2), head["cv"].as_i64(), "{} {id}: the collection's number", context.key);
        assert_eq!(row.get::<_, Option<String>>(3).as_deref(), head["jsonKey"].as_str(), "{} {id}: the payload", context.key);
        same_document(&row.get::<_, String>(4), &head["item"], &format!("{} {id}", context.key));
    }
}

/// Texts of a version: the column's position and the member that it is.
pub const TEXTS: [(usize, &str); 6] = [(3, "actor"), (4, "reason"), (2, "op"), (6, "jsonKey"), (8, "checksum"), (10, "at")];

/// Every state in history.
pub async fn versions(client: &Client, context: &Context, items: &serde_json::Map<String, Value>, texts: &[(usize, &str)]) {
    let history = context.suffixed("__history");
    let sql = format!(
        "SELECT _id, _version, _op, _actor, _reason, _cv, _payload_key, _size, _checksum, _doc::text,
                to_char(_system_from AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM {history}"
    );
    let rows = client.query(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let mut found: BTreeMap<(String, i64), tokio_postgres::Row> = BTreeMap::new();
    for row in rows {
        let key: (String, i64) = (row.get(0), row.get(1));
        assert!(found.insert(key.clone(), row).is_none(), "{} {key:?} twice in history", context.key);
    }
    for (id, item) in items {
        for version in item["versions"].as_array().expect("versions").iter().filter(|version| version["op"] != "DELETE") {
            let key = (id.clone(), version["ov"].as_i64().expect("a number"));
            let place = format!("{} {key:?}", context.key);
            let row = found.remove(&key).unwrap_or_else(|| panic!("{place} is not in history"));
            for (at, member) in texts {
                assert_eq!(row.get::<_, Option<String>>(*at).as_deref(), version[*member].as_str(), "{place}: {member}");
            }
            for (at, member) in [(5, "cv"), (7, "size")] {
                assert_eq!(row.get::<_, Option<i64>>(at), version[member].as_i64(), "{place}: {member}");
            }
            same_document(&row.get::<_, String>(9), &version["item"], &place);
        }
    }
    for (id, version) in found.keys() {
        let newer = items.get(id).is_some_and(|item| {
            item["versions"].as_array().and_then(|all| all.last()).is_none_or(|last| last["ov"].as_i64() < Some(*version))
                && item["latest"]["ov"].as_i64() == Some(*version)
        });
        assert!(newer, "{} {id} {version} is in history only", context.key);
    }
}

pub async fn as_of(client: &Client, context: &Context, instant: &Value, items: &serde_json::Map<String, Value>) {
    let at = instant["at"].as_str().expect("an instant");
    let sql = format!("SELECT _id, _version FROM {} FOR SYSTEM_TIME AS OF '{at}'", context.table);
    let rows = client.query(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let found: BTreeMap<String, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let answers = instant["answers"][&context.key].as_object().expect("answers");
    let mut expected: BTreeMap<String, i64> = answers
        .iter()
        .filter(|(_, version)| version["op"] != "DELETE")
        .map(|(id, version)| (id.clone(), version["ov"].as_i64().expect("a number")))
        .collect();
    // What was written while the library kept no versions counts as one more, from the head's last change on.
    for (id, item) in items.iter().filter(|(_, item)| is_ahead(item)) {
        let (head, changed) = (&item["latest"], item["latest"]["updatedAt"].as_str().expect("an instant"));
        if changed <= at {
            match head["visible"] == true {
                true => expected.insert(id.clone(), head["ov"].as_i64().expect("a number")),
                false => expected.remove(id),
            };
        }
    }
    assert_eq!(found, expected, "{} as of {at}", context.key);
}

pub async fn list_by_meta(client: &Client, context: &Context, filter: &Value, expected: &Value) {
    let conditions = filter["filter"].as_object().expect("a filter");
    let conditions: Vec<String> = conditions.iter().map(|(path, condition)| condition_sql(path, condition)).collect();
    let sql = format!("SELECT _id FROM {} WHERE {}", context.table, conditions.join(" AND "));
    let rows = client.query(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let found: Ids = rows.iter().map(|row| row.get::<_, String>(0)).collect();
    let ids = |member: &str| -> Ids {
        filter[member].as_array().expect("ids").iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
    };
    let mut visible = ids("idsVisible");
    for item in expected["divergent"][&context.key].as_array().into_iter().flatten() {
        let id = item["id"].as_str().expect("an id").to_owned();
        if item["newestVersionOp"] != "DELETE" && ids("idsIncludingDeleted").contains(&id) {
            visible.insert(id);
        }
    }
    assert_eq!(found, visible, "{} {}", context.key, filter["filter"]);
}

/// A condition on a path of `metaIndexed` with MongoDB's meaning, on the document.
fn condition_sql(path: &str, condition: &Value) -> String {
    // The library keeps `tags[]` under its own name once more, and only where it is a list.
    if path == "tags.tags" {
        return format!("jsonb_typeof(_doc -> 'tags') = 'array' AND {}", condition_sql("tags", condition));
    }
    let steps: String = path.split('.').map(|step| format!(".{}", Value::from(step))).collect();
    let exists = |test: &str| format!("jsonb_path_exists(_doc, '$ {steps} ? ({})')", test.replace('\'', "''"));
    let present = format!("jsonb_path_exists(_doc, '$ {steps}')");
    let Some(operators) = condition.as_object() else {
        return match condition {
            Value::Null => format!("(NOT {present} OR {})", exists("@ == null")),
            value => exists(&format!("@ == {value}")),
        };
    };
    let tests = operators.iter().map(|(operator, value)| match operator.as_str() {
        "$in" => {
            let any: Vec<String> = value.as_array().expect("a list").iter().map(|value| format!("@ == {value}")).collect();
            exists(&any.join(" || "))
        }
        "$gt" => exists(&format!("@ > {value}")),
        "$gte" => exists(&format!("@ >= {value}")),
        "$lt" => exists(&format!("@ < {value}")),
        "$lte" => exists(&format!("@ <= {value}")),
        "$exists" if *value == false => format!("NOT {present}"),
        "$regex" => exists(&format!("@ like_regex {value}")),
        other => panic!("{other} in a filter"),
    });
    tests.collect::<Vec<_>>().join(" AND ")
}

/// The document as jsonb shows it: numbers by value, members in any order.
fn same_document(shown: &str, expected: &Value, place: &str) {
    // jsonb writes the greatest numbers out, which serde does not read.
    let long = regex::Regex::new("[1-9][0-9]{29,}").expect("valid");
    let shortest = |found: &regex::Captures<'_>| format!("{:e}", found[0].parse::<f64>().expect("a number"));
    // Lone surrogates are kept as they are written.
    let shown = paired(&long.replace_all(shown, shortest));
    let shown: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{place}: {error}: {shown}"));
    assert!(same(&shown, expected), "{place}:\n{shown}\n{expected}");
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (a, b) => a == b,
    }
}

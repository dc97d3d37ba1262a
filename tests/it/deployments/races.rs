//! Items that twelve writers of the library raced for without transactions, asked in SQL.
//!
//! What SQL should say is worked out here from the exported documents and files. It differs from the bare documents where
//! that was decided, and nowhere else:
//! * of several rows with one number the one counts whose payload is there, then the one with the greatest `cv`; before that
//!   row's instant the item is what it was before;
//! * a version whose payload is not there is in history; reading its columns is 58030 unless `chronogate.on_missing_payload`
//!   says otherwise;
//! * both are told by `chronogate.anomalies`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Context, Served, answers};
use crate::harness::code;

/// One version row.
struct Row {
    id: String,
    ov: i64,
    cv: i64,
    at: i64,
    document: Value,
    /// The payload that it points to, where that is there and its own.
    item: Option<Value>,
}

impl Row {
    fn read(line: &str, payloads: &Path) -> Self {
        let document: Value = serde_json::from_str(line).expect("JSON");
        let path = payloads.join(text(&document, "jsonBucket")).join(text(&document, "jsonKey"));
        let digest = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let bytes = std::fs::read(path).ok().filter(|bytes| digest(bytes) == text(&document, "checksum"));
        Self {
            id: document["itemId"]["$oid"].as_str().expect("an id").to_owned(),
            ov: number(&document["ov"]),
            cv: number(&document["cv"]),
            at: number(&document["at"]["$date"]),
            item: bytes.map(|bytes| serde_json::from_slice(&bytes).expect("JSON")),
            document,
        }
    }

    /// As the other samples describe versions.
    fn described(&self) -> Value {
        json!({
            "ov": self.ov, "cv": self.cv, "op": text(&self.document, "op"), "at": iso(self.at),
            "jsonKey": text(&self.document, "jsonKey"), "size": number(&self.document["size"]),
            "checksum": text(&self.document, "checksum"), "item": self.item,
            "actor": self.document["actor"], "reason": self.document["reason"],
        })
    }
}

fn text<'d>(document: &'d Value, member: &str) -> &'d str {
    document[member].as_str().unwrap_or_else(|| panic!("{member} of {document}"))
}

fn number(value: &Value) -> i64 {
    let (_, digits) = value.as_object().and_then(|wrapped| wrapped.iter().next()).expect("a wrapped number");
    digits.as_str().and_then(|digits| digits.parse().ok()).expect("a number")
}

fn iso(millis: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(millis).expect("a time");
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// By item and number, those that count last.
type Rows = BTreeMap<(String, i64), Vec<Row>>;

fn rows(folder: &Path) -> Rows {
    let lines = std::fs::read_to_string(folder.join("mongo/race_app/tickets_ver.jsonl")).expect("readable");
    let mut rows = Rows::new();
    for row in lines.lines().map(|line| Row::read(line, &folder.join("payload"))) {
        rows.entry((row.id.clone(), row.ov)).or_default().push(row);
    }
    rows.values_mut().for_each(|same| same.sort_by_key(|row| (row.item.is_some(), row.cv)));
    rows
}

/// The rows that count, as `expected.json` of the other samples has items; those without payload left out of the versions.
fn items(rows: &Rows) -> Map<String, Value> {
    let mut items: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    rows.values().filter_map(|same| same.last()).for_each(|row| items.entry(&row.id).or_default().push(row));
    let item = |(id, versions): (&str, Vec<&Row>)| {
        let newest = versions.last().expect("a version").described();
        let mut latest = newest.clone();
        latest["visible"] = true.into();
        let there: Vec<Value> = versions.iter().filter(|row| row.item.is_some()).map(|row| row.described()).collect();
        (id.to_owned(), json!({ "latest": latest, "versions": there }))
    };
    items.into_iter().map(item).collect()
}

pub async fn check(served: &Served) {
    let context = Context { key: "race".to_owned(), ..Context::of(&served.sample.expected["context"]) };
    let rows = rows(&served.sample.folder);
    let items = items(&rows);
    assert_eq!(items.len(), 5);
    let client = served.connect(&context.database).await;
    answers::latest(&client, &context, &items, &items.keys().cloned().collect()).await;
    let history = context.suffixed("__history");
    let whole = format!("SELECT who FROM {history}");
    assert_eq!(code(client.batch_execute(&whole).await), "58030");
    client.batch_execute("SET chronogate.on_missing_payload = 'skip'").await.expect("set");
    answers::versions(&client, &context, &items, &answers::TEXTS).await;
    every_instant(&client, &context, &rows, &items).await;
    missing_payloads(&client, &history, &rows, &served.sample.expected).await;
    every_filter(&client, &context, &items).await;
    anomalies(&client, &rows, &served.sample.expected).await;
}

/// At each row's instant and a millisecond before it.
async fn every_instant(client: &tokio_postgres::Client, context: &Context, rows: &Rows, items: &Map<String, Value>) {
    let all = rows.values().flatten().flat_map(|row| [row.at - 1, row.at]);
    for at in all.collect::<BTreeSet<i64>>() {
        let mut answers = Map::new();
        for row in rows.values().filter_map(|same| same.last()).filter(|row| row.at <= at) {
            answers.insert(row.id.clone(), json!({ "ov": row.ov, "op": row.document["op"] }));
        }
        let instant = json!({ "at": iso(at), "answers": { &context.key: answers } });
        answers::as_of(client, context, &instant, items).await;
    }
}

async fn missing_payloads(client: &tokio_postgres::Client, history: &str, rows: &Rows, expected: &Value) {
    let counting = rows.values().filter_map(|same| same.last());
    let missing: BTreeSet<(String, i64)> =
        counting.filter(|row| row.item.is_none()).map(|row| (row.id.clone(), row.ov)).collect();
    let listed = expected["versionRowsWithoutPayload"].as_array().expect("a list");
    let listed: BTreeSet<(String, i64)> =
        listed.iter().map(|row| (text(row, "id").to_owned(), row["ov"].as_i64().expect("a number"))).collect();
    assert_eq!(missing, listed, "there are no others");
    client.batch_execute("SET chronogate.on_missing_payload = 'null'").await.expect("set");
    let sql = format!("SELECT _id, _version FROM {history} WHERE who IS NULL AND n IS NULL");
    let found = client.query(&sql, &[]).await.expect("read");
    assert_eq!(found.iter().map(|row| (row.get(0), row.get(1))).collect::<BTreeSet<(String, i64)>>(), missing);
    let all = client.query_one(&format!("SELECT count(*) FROM {history}"), &[]).await.expect("read");
    assert_eq!(all.get::<_, i64>(0), i64::try_from(rows.len()).expect("few"), "each number is there once");
    client.batch_execute("RESET chronogate.on_missing_payload").await.expect("reset");
}

async fn every_filter(client: &tokio_postgres::Client, context: &Context, items: &Map<String, Value>) {
    let ids = |test: &dyn Fn(&Value) -> bool| -> Vec<&String> {
        items.iter().filter(|(_, item)| test(&item["latest"]["item"])).map(|(id, _)| id).collect()
    };
    let n = |item: &Value| item["n"].as_i64().expect("a number");
    let writers: BTreeSet<&str> = items.values().map(|item| text(&item["latest"]["item"], "who")).collect();
    let mut filters = vec![
        (json!({ "n": { "$gt": 12 } }), "n > 12".to_owned(), ids(&|item| n(item) > 12)),
        (json!({ "n": { "$lte": 12 } }), "n <= 12".to_owned(), ids(&|item| n(item) <= 12)),
        (json!({ "n": 13 }), "n = 13".to_owned(), ids(&|item| n(item) == 13)),
        (
            json!({ "who": { "$in": ["w3", "w10"] } }),
            "who IN ('w3', 'w10')".to_owned(),
            ids(&|item| ["w3", "w10"].contains(&text(item, "who"))),
        ),
        (json!({ "who": "nobody" }), "who = 'nobody'".to_owned(), Vec::new()),
    ];
    filters.extend(
        writers.iter().map(|who| (json!({ "who": who }), format!("who = '{who}'"), ids(&|item| text(item, "who") == *who))),
    );
    for (filter, condition, expected) in &filters {
        let listed = json!({ "filter": filter, "idsVisible": expected, "idsIncludingDeleted": expected });
        answers::list_by_meta(client, context, &listed, &Value::Null).await;
        // As columns, which go down to `metaIndexed`.
        let sql = format!("SELECT _id FROM {} WHERE {condition} ORDER BY _id", context.table);
        let found = client.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(
            found.iter().map(|row| row.get(0)).collect::<Vec<String>>(),
            expected.iter().map(|id| (*id).clone()).collect::<Vec<_>>(),
            "{condition}"
        );
    }
}

async fn anomalies(client: &tokio_postgres::Client, rows: &Rows, expected: &Value) {
    let found = client.query("SELECT key, version, kind FROM chronogate.anomalies", &[]).await.expect("read");
    let found: BTreeSet<(String, i64, String)> = found.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let of_kind = |(id, ov): &(String, i64), kind: &str| (id.clone(), *ov, kind.to_owned());
    let doubled = rows.iter().filter(|(_, same)| same.len() > 1).map(|(key, _)| of_kind(key, "duplicate_version"));
    let missing = rows.iter().filter(|(_, same)| same.last().is_some_and(|row| row.item.is_none()));
    let all: BTreeSet<_> = doubled.chain(missing.map(|(key, _)| of_kind(key, "missing_payload"))).collect();
    assert_eq!(found, all);
    let duplicates = expected["duplicateVersionRows"].as_array().expect("a list").len();
    assert_eq!(found.iter().filter(|(_, _, kind)| kind == "duplicate_version").count(), duplicates);
}

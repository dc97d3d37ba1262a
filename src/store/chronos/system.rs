//! `_system`: the header the library adds to every payload.

use super::json::{Json, Object};

/// Where an item comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    pub parent: Option<Record>,
    /// Taken to be the parent when not given.
    pub origin: Option<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub id: String,
    pub collection: String,
    /// Of origins only: stored before the collection's name.
    pub system: Option<String>,
}

/// The state of everything that is stored; others are in shadows only.
const STATE: &str = "new-not-synched";

/// An instant as JavaScript's `toISOString` spells it; years outside 0..=9999 have a sign and six digits.
pub fn instant(millis: i64) -> String {
    use chrono::Datelike;
    let Some(time) = chrono::DateTime::from_timestamp_millis(millis) else { return millis.to_string() };
    match time.year() {
        0..=9999 => time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        year => format!("{year:+07}-{}", time.format("%m-%dT%H:%M:%S%.3fZ")),
    }
}

/// Of a CREATE.
pub fn created(at: i64, lineage: &Lineage) -> Object {
    let mut header = times(&instant(at), at);
    header.set("state", STATE.into());
    if let Some(parent) = &lineage.parent {
        header.set("parentId", parent.id.as_str().into());
        header.set("parentCollection", parent.collection.as_str().into());
    }
    if let Some(origin) = lineage.origin.as_ref().or(lineage.parent.as_ref()) {
        let collection = match origin.system.as_ref().filter(|_| lineage.origin.is_some()) {
            Some(system) => format!("{system}:{}", origin.collection),
            None => origin.collection.clone(),
        };
        header.set("originId", origin.id.as_str().into());
        header.set("originCollection", collection.as_str().into());
    }
    header
}

/// Of an UPDATE. `given` is the `_system` that the caller's object brought along; lineage and functions are lost.
pub fn updated(given: Option<&Json>, head_created: i64, at: i64) -> Object {
    let inserted = given.and_then(inserted_at).map_or_else(|| instant(head_created), str::to_owned);
    let mut header = times(&inserted, at);
    header.set("state", STATE.into());
    header
}

/// Of an enrichment: as an update's, but keeps functions and what a shadow said of a deletion. `function` is added once.
pub fn enriched(given: Option<&Json>, head_created: i64, at: i64, function: Option<&str>) -> Object {
    let before = given.filter(|given| inserted_at(given).is_some()).and_then(Json::as_object);
    let inserted = given.and_then(inserted_at).map_or_else(|| instant(head_created), str::to_owned);
    let mut header = times(&inserted, at);
    for name in ["deleted", "deletedAt"] {
        if let Some(value) = before.and_then(|before| before.get(name)) {
            header.set(name, value.clone());
        }
    }
    let mut functions: Vec<Json> = Vec::new();
    let earlier = before.and_then(|before| before.get("functionIds")).and_then(Json::as_array).unwrap_or_default();
    for id in earlier.iter().cloned().chain(function.map(Json::from)) {
        if !functions.iter().any(|known| known.is_identical_scalar(&id)) {
            functions.push(id);
        }
    }
    if !functions.is_empty() {
        header.set("functionIds", Json::Array(functions));
    }
    header.set("state", STATE.into());
    header
}

/// Of a DELETE, which only a shadow has: no payload is written then.
pub fn deleted(given: Option<&Json>, head_created: i64, at: i64) -> Object {
    let inserted = given.and_then(inserted_at).map_or_else(|| instant(head_created), str::to_owned);
    let mut header = times(&inserted, at);
    header.set("deletedAt", instant(at).as_str().into());
    header.set("deleted", Json::Bool(true));
    header.set("state", STATE.into());
    header
}

/// The object as stored: `_system` at the end, or where the caller's object already had one.
pub fn with_header(mut object: Object, header: Object) -> Object {
    object.set("_system", Json::Object(header));
    object
}

fn times(inserted: &str, at: i64) -> Object {
    [("insertedAt", inserted.into()), ("updatedAt", instant(at).as_str().into())].into_iter().collect()
}

/// `insertedAt` of a header that is well-formed; of another nothing is believed.
fn inserted_at(header: &Json) -> Option<&str> {
    let header = header.as_object()?;
    let text = |name: &str| header.get(name).map(|value| value.as_str().is_some());
    let flag = header.get("deleted").is_none_or(|value| matches!(value, Json::Bool(_)));
    let state = match header.get("state") {
        None => true,
        Some(state) => matches!(state.as_str(), Some("new" | "new-not-synched" | "processed")),
    };
    let sound = text("updatedAt") == Some(true) && text("deletedAt") != Some(false) && flag && state;
    header.get("insertedAt").and_then(Json::as_str).filter(|_| sound)
}

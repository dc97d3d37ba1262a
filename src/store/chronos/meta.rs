//! `metaIndexed`: the part of an object that the library keeps beside the pointer to search by, odd nestings and all.

use super::json::{Json, Object, Text};

/// What of this object (as the caller gave it, base64 properties still in it) is kept under `metaIndexed`.
///
/// Without paths every top-level member but `_system`. A path walks objects by name and arrays by number, never fans out, and
/// is stored nested again, numbers as names. `a.tags[]` keeps a whole array, one level too deep, under its full path.
pub fn extract(indexed: &[String], object: &Object) -> Object {
    if indexed.is_empty() {
        return object.iter().filter(|(name, _)| name.as_str() != Some("_system")).cloned().collect();
    }
    let source = Json::Object(object.clone());
    let mut meta = Json::Object(Object::default());
    for path in indexed {
        if let Some(found) = find(path, &source) {
            let (path, last) = match path.strip_suffix("[]") {
                Some(path) => (path, Some(path)),
                None => (path.as_str(), None),
            };
            let segments: Vec<&str> = path.split('.').chain(last).collect();
            put(&mut meta, &segments, found.clone());
        }
    }
    match meta {
        Json::Object(meta) => meta,
        _ => Object::default(),
    }
}

/// The first of these paths that leads to nothing, a null or an empty string.
pub fn missing_required<'p>(required: &'p [String], object: &Object) -> Option<&'p str> {
    let source = Json::Object(object.clone());
    let given = |path: &String| match find(path, &source) {
        None | Some(Json::Null) => false,
        Some(value) => value.as_text().is_none_or(|text| !text.is_empty()),
    };
    required.iter().find(|path| !given(path)).map(String::as_str)
}

fn find<'v>(path: &str, source: &'v Json) -> Option<&'v Json> {
    match path.strip_suffix("[]") {
        Some(path) => source.at(path).filter(|value| value.as_array().is_some()),
        None => source.at(path),
    }
}

fn put(into: &mut Json, segments: &[&str], value: Json) {
    let [first, rest @ ..] = segments else {
        *into = value;
        return;
    };
    match into {
        Json::Object(object) => {
            if object.get(first).is_none() {
                object.set(*first, Json::Object(Object::default()));
            }
        }
        // An element of an array that is kept whole is there already.
        Json::Array(_) => {}
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
            *into = Json::Object([(*first, Json::Object(Object::default()))].into_iter().collect());
        }
    }
    if let Some(next) = into.step_mut(first) {
        put(next, rest, value);
    }
}

/// A value as the library's MongoDB driver stores it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// Integers that fit, and no negative zero.
    Int32(i32),
    Double(f64),
    String(String),
    Array(Vec<Value>),
    Document(Vec<(String, Value)>),
}

/// A member's name holds a NUL, which no document can have; the library fails too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a member's name with a NUL character cannot be indexed")]
pub struct NulInName;

/// `metaIndexed` as stored: lone surrogates become U+FFFD, numbers int32 or double.
pub fn document(meta: &Object) -> Result<Vec<(String, Value)>, NulInName> {
    meta.iter().map(|(name, value)| Ok((member_name(name)?, self::value(value)?))).collect()
}

fn member_name(name: &Text) -> Result<String, NulInName> {
    let name = name.to_lossy();
    if name.contains('\0') { Err(NulInName) } else { Ok(name) }
}

/// One value as stored.
pub fn value(value: &Json) -> Result<Value, NulInName> {
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => stored_number(number.as_f64()),
        Json::String(text) => Value::String(text.to_lossy()),
        Json::Array(elements) => Value::Array(elements.iter().map(self::value).collect::<Result<_, _>>()?),
        Json::Object(object) => Value::Document(document(object)?),
    })
}

/// How the driver stores a JavaScript number.
pub fn stored_number(value: f64) -> Value {
    let fits = value.fract() == 0.0 && f64::from(i32::MIN) <= value && value <= f64::from(i32::MAX);
    let negative_zero = value == 0.0 && value.is_sign_negative();
    if fits && !negative_zero { Value::Int32(value as i32) } else { Value::Double(value) }
}

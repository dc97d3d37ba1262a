//! Enrichment: one object merged into another, arrays as unions.

use super::json::{Json, Object, Text};

/// Puts every member of the patch into the target: objects into objects, member by member; anything into an array as one more
/// of its elements unless it is there; anything else, and null always, in place of what was.
pub fn enrich(target: &mut Object, patch: &Object) {
    for (name, value) in patch.iter() {
        match target.get_mut(name) {
            None => target.set(name.clone(), value.clone()),
            Some(own) => merge(own, value),
        }
    }
}

fn merge(own: &mut Json, patch: &Json) {
    match (own, patch) {
        (own, Json::Null) => *own = Json::Null,
        (Json::Object(own), Json::Object(patch)) => enrich(own, patch),
        (Json::Array(own), Json::Array(patch)) => patch.iter().for_each(|value| unite(own, value)),
        (Json::Array(own), value) => unite(own, value),
        (own, value) => *own = value.clone(),
    }
}

/// What an array already has is not added: the same scalar, an object with the same identity (which is merged), or an equal
/// object. Arrays within arrays are never the same.
fn unite(array: &mut Vec<Json>, value: &Json) {
    match value {
        Json::Object(object) => {
            if let Some(identity) = identity(object) {
                let same = |own: &&mut Json| matches!(own, Json::Object(own) if self::identity(own) == Some(identity));
                if let Some(Json::Object(own)) = array.iter_mut().find(same) {
                    return enrich(own, object);
                }
            } else if array.iter().any(|own| own.is_deeply_equal(value)) {
                return;
            }
        }
        Json::Array(_) => {}
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
            if array.iter().any(|own| own.is_identical_scalar(value)) {
                return;
            }
        }
    }
    array.push(value.clone());
}

/// `id`, else `_id`, where it is a string.
fn identity(object: &Object) -> Option<&Text> {
    ["id", "_id"].into_iter().find_map(|name| object.get(name).and_then(Json::as_text))
}

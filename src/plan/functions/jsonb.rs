//! jsonb's operators (as functions that `operators` calls) and the jsonb and json functions.
//!
//! Reading walks the normal form's text; only what changes a value builds a tree.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array};

use super::define::{Call, Function, INT8, JSON, Returns, TEXT, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::encode::Column;
use crate::types::json::{self, Json, Kind};
use crate::types::nested::Parts;
use crate::types::{PgType, TypeName, Zone};

const JSONB_RESULT: Returns = Returns::Fixed(PgType::JSONB);
const JSON_RESULT: Returns = Returns::of(TypeName::Json);
const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const BOOL: Returns = Returns::Fixed(PgType::BOOL);
/// The result is json where the argument is, else jsonb.
const SAME: Returns = Returns::Computed(|types, _| {
    let json = types.first().is_some_and(|t| t.name == TypeName::Json);
    Ok(if json { PgType::new(TypeName::Json) } else { PgType::JSONB })
});
const ANY: &[Want] = &[Want::Any];
const JSON_AND_TEXT: &[Want] = &[JSON, TEXT];
const JSON_AND_PLACE: &[Want] = &[JSON, INT8];
const JSON_AND_PATH: &[Want] = &[JSON, Want::Texts];

pub const FUNCTIONS: &[Function] = &[
    Function::new("jsonb_field", JSON_AND_TEXT, SAME, |c| raw(c, |j, c, row| c.text(1, row).and_then(|k| json::member(j, k)))),
    Function::new("jsonb_element", JSON_AND_PLACE, SAME, |c| {
        raw(c, |j, c, row| c.int8(1, row).and_then(|i| json::element(j, i)))
    }),
    Function::new("jsonb_field_text", JSON_AND_TEXT, TEXT_RESULT, |c| {
        text(c, |j, c, row| c.text(1, row).and_then(|k| json::member(j, k)))
    }),
    Function::new("jsonb_element_text", JSON_AND_PLACE, TEXT_RESULT, |c| {
        text(c, |j, c, row| c.int8(1, row).and_then(|i| json::element(j, i)))
    }),
    Function::new("jsonb_path", JSON_AND_PATH, SAME, |c| raw(c, |j, c, row| walk(j, &strings(c, 1, row)?))).dimensional(),
    Function::new("jsonb_path_text", JSON_AND_PATH, TEXT_RESULT, |c| text(c, |j, c, row| walk(j, &strings(c, 1, row)?)))
        .dimensional(),
    Function::new("jsonb_extract_path", JSON_AND_TEXT, SAME, |c| raw(c, walk_arguments))
        .variadic()
        .aliases(&["json_extract_path"]),
    Function::new("jsonb_extract_path_text", JSON_AND_TEXT, TEXT_RESULT, |c| text(c, walk_arguments))
        .variadic()
        .aliases(&["json_extract_path_text"]),
    Function::new("jsonb_contains", &[JSON, JSON], BOOL, |c| compare(c, contains)),
    Function::new("jsonb_contained", &[JSON, JSON], BOOL, |c| compare(c, |a, b| contains(b, a))),
    Function::new("jsonb_exists", JSON_AND_TEXT, BOOL, |c| exists(c, |c, row| Some(vec![c.text(1, row)?.to_owned()]), true)),
    Function::new("jsonb_exists_any", JSON_AND_PATH, BOOL, |c| exists(c, |c, row| strings(c, 1, row), false)).dimensional(),
    Function::new("jsonb_exists_all", JSON_AND_PATH, BOOL, |c| exists(c, |c, row| strings(c, 1, row), true)).dimensional(),
    Function::new("jsonb_concat", &[JSON, JSON], JSONB_RESULT, |c| {
        trees(c, |c, a, row| Ok(tree(c, 1, row)?.map(|b| concat(a, b))))
    }),
    Function::new("jsonb_delete_key", JSON_AND_TEXT, JSONB_RESULT, |c| {
        trees(c, |c, j, row| c.text(1, row).map(|k| delete_keys(j, &[k.to_owned()])).transpose())
    }),
    Function::new("jsonb_delete_keys", JSON_AND_PATH, JSONB_RESULT, |c| {
        trees(c, |c, j, row| strings(c, 1, row).map(|k| delete_keys(j, &k)).transpose())
    }),
    Function::new("jsonb_delete_element", JSON_AND_PLACE, JSONB_RESULT, |c| {
        trees(c, |c, j, row| c.int8(1, row).map(|i| delete_element(j, i)).transpose())
    }),
    Function::new("jsonb_delete_path", JSON_AND_PATH, JSONB_RESULT, |c| {
        trees(c, |c, j, row| Ok(strings(c, 1, row).map(|path| at_path(j, &path, &mut |_| None, false))))
    }),
    Function::new("jsonb_set", &[JSON, Want::Texts, JSON, Want::Type(TypeName::Bool)], JSONB_RESULT, set).optional(1),
    Function::new("jsonb_set_lax", &[JSON, Want::Texts, JSON, Want::Type(TypeName::Bool), TEXT], JSONB_RESULT, set_lax)
        .optional(2),
    Function::new("jsonb_insert", &[JSON, Want::Texts, JSON, Want::Type(TypeName::Bool)], JSONB_RESULT, insert).optional(1),
    Function::new("jsonb_strip_nulls", &[JSON], JSONB_RESULT, |c| trees(c, |_, j, _| Ok(Some(strip_nulls(j))))),
    Function::new("json_strip_nulls", &[JSON], JSON_RESULT, |c| {
        c.map_text(|row| {
            let Some(json) = c.text(0, row) else { return Ok(None) };
            json::validate(json)?;
            let mut out = String::new();
            strip_text(&mut out, json);
            Ok(Some(out))
        })
    }),
    Function::new("pg_jsonb_array", &[Want::Array], JSONB_RESULT, json_array),
    Function::new("pg_json_array", &[Want::Array], JSON_RESULT, json_array),
    Function::new("jsonb_object", &[Want::Texts, Want::Texts], JSONB_RESULT, |c| object_of(c, true)).optional(1).dimensional(),
    Function::new("json_object", &[Want::Texts, Want::Texts], JSON_RESULT, |c| object_of(c, false)).optional(1).dimensional(),
    Function::new("jsonb_typeof", &[JSON], TEXT_RESULT, |c| c.map_text(|row| Ok(c.json(0, row)?.map(|j| json::kind(&j).name()))))
        .aliases(&["json_typeof"]),
    Function::new("jsonb_array_length", &[JSON], Returns::Fixed(PgType::INT4), array_length).aliases(&["json_array_length"]),
    Function::new("jsonb_pretty", &[JSON], TEXT_RESULT, |c| {
        c.map_text(|row| {
            Ok(tree(c, 0, row)?.map(|j| {
                let mut out = String::new();
                pretty(&mut out, &j, 0);
                out
            }))
        })
    }),
    Function::new("to_jsonb", ANY, JSONB_RESULT, |c| convert(c, true)).stable(),
    Function::new("to_json", ANY, JSON_RESULT, |c| convert(c, false)).stable().aliases(&["row_to_json", "array_to_json"]),
    Function::new("jsonb_build_object", ANY, JSONB_RESULT, |c| build_object(c, true)).variadic().optional(1).stable(),
    Function::new(ROW_JSON, ANY, JSON_RESULT, row_json).variadic().optional(1).stable(),
    Function::new("json_build_object", ANY, JSON_RESULT, |c| build_object(c, false)).variadic().optional(1).stable(),
    Function::new("jsonb_build_array", ANY, JSONB_RESULT, |c| build_array(c, true)).variadic().optional(1).stable(),
    Function::new("json_build_array", ANY, JSON_RESULT, |c| build_array(c, false)).variadic().optional(1).stable(),
];

/// A part of the first argument, as JSON.
fn raw(call: &Call<'_>, part: impl for<'j> Fn(&'j str, &Call<'_>, usize) -> Option<&'j str>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let Some(json) = call.json(0, row)? else { return Ok(None) };
        Ok(part(&json, call, row).map(|part| part.trim().to_owned()))
    })
}

/// A part of the first argument, as text.
fn text(call: &Call<'_>, part: impl for<'j> Fn(&'j str, &Call<'_>, usize) -> Option<&'j str>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let Some(json) = call.json(0, row)? else { return Ok(None) };
        match part(&json, call, row) {
            Some(part) => Ok(json::as_text(part)?.map(Cow::into_owned)),
            None => Ok(None),
        }
    })
}

fn walk<'j>(json: &'j str, path: &[String]) -> Option<&'j str> {
    path.iter().try_fold(json, |at, key| json::step(at, key))
}

fn walk_arguments<'j>(json: &'j str, call: &Call<'_>, row: usize) -> Option<&'j str> {
    (1..call.args.len()).try_fold(json, |at, arg| json::step(at, call.text(arg, row)?))
}

/// A text[] argument; `None` for NULL and for an array with a NULL in it.
fn strings(call: &Call<'_>, arg: usize, row: usize) -> Option<Vec<String>> {
    let lists = call.args[arg].as_list_opt::<i32>()?;
    if lists.is_null(row) {
        return None;
    }
    let items = lists.value(row);
    let items = items.as_string_opt::<i32>()?;
    items.iter().map(|item| item.map(str::to_owned)).collect()
}

fn tree(call: &Call<'_>, arg: usize, row: usize) -> Result<Option<Json>> {
    call.text(arg, row).map(Json::parse).transpose()
}

/// The first argument changed.
fn trees(call: &Call<'_>, change: impl Fn(&Call<'_>, Json, usize) -> Result<Option<Json>>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let Some(json) = tree(call, 0, row)? else { return Ok(None) };
        Ok(change(call, json, row)?.map(|json| json.to_string()))
    })
}

fn compare(call: &Call<'_>, holds: fn(&Json, &Json) -> bool) -> Result<ArrayRef> {
    call.map::<bool, BooleanArray>(|row| {
        let (Some(a), Some(b)) = (tree(call, 0, row)?, tree(call, 1, row)?) else { return Ok(None) };
        Ok(Some(holds(&a, &b)))
    })
}

/// `@>`: every member and element of `b` is in `a`; an array contains a bare value at the top only.
fn contains(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Array(items), Json::Array(_) | Json::Object(_)) => {
            contains_inside(a, b) || (matches!(b, Json::Array(_)) && items == &[])
        }
        (Json::Array(items), scalar) => items.iter().any(|i| same(i, scalar)),
        _ => contains_inside(a, b),
    }
}

fn contains_inside(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(_), Json::Object(members)) => {
            members.iter().all(|(name, value)| a.get(name).is_some_and(|own| contains_inside(own, value)))
        }
        (Json::Array(own), Json::Array(items)) => items.iter().all(|item| own.iter().any(|o| contains_inside(o, item))),
        _ => same(a, b),
    }
}

/// Equal, numbers by their value.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => number_key(a) == number_key(b),
        _ => a == b,
    }
}

fn number_key(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn exists(call: &Call<'_>, keys: fn(&Call<'_>, usize) -> Option<Vec<String>>, every: bool) -> Result<ArrayRef> {
    call.map::<bool, BooleanArray>(|row| {
        let (Some(json), Some(keys)) = (tree(call, 0, row)?, keys(call, row)) else { return Ok(None) };
        let has = |key: &String| match &json {
            Json::Object(_) => json.get(key).is_some(),
            Json::Array(items) => items.iter().any(|i| matches!(i, Json::String(s) if s == key)),
            Json::String(s) => s == key,
            _ => false,
        };
        Ok(Some(if every { keys.iter().all(has) } else { keys.iter().any(has) }))
    })
}

fn concat(a: Json, b: Json) -> Json {
    let items = |json: Json| match json {
        Json::Array(items) => items,
        other => vec![other],
    };
    match (a, b) {
        (Json::Object(mut own), Json::Object(more)) => {
            own.extend(more);
            Json::object(own)
        }
        (a, b) => {
            let mut own = items(a);
            own.extend(items(b));
            Json::Array(own)
        }
    }
}

fn no_delete(from: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot delete from {from}"))
}

fn delete_keys(json: Json, keys: &[String]) -> Result<Json> {
    match json {
        Json::Object(members) => Ok(Json::Object(members.into_iter().filter(|(name, _)| !keys.contains(name)).collect())),
        Json::Array(items) => {
            let named = |item: &Json| matches!(item, Json::String(s) if keys.contains(s));
            Ok(Json::Array(items.into_iter().filter(|i| !named(i)).collect()))
        }
        _ => Err(no_delete("scalar")),
    }
}

fn delete_element(json: Json, index: i64) -> Result<Json> {
    match json {
        Json::Array(mut items) => {
            if let Some(at) = place(index, items.len()) {
                items.remove(at);
            }
            Ok(Json::Array(items))
        }
        Json::Object(_) => Err(no_delete("object using integer index")),
        _ => Err(no_delete("scalar")),
    }
}

fn place(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { i64::try_from(len).ok()?.checked_add(index)? } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

/// Replaces what is at the path by what `change` makes of it (`None` removes it); `create` adds a last step
/// that is missing.
fn at_path(json: Json, path: &[String], change: &mut dyn FnMut(Option<Json>) -> Option<Json>, create: bool) -> Json {
    let Some((key, rest)) = path.split_first() else { return json };
    match json {
        Json::Object(members) => {
            let known = members.iter().any(|(name, _)| name == key);
            let mut kept: Vec<(String, Json)> = Vec::with_capacity(members.len() + 1);
            for (name, value) in members {
                if name != *key {
                    kept.push((name, value));
                } else if rest.is_empty() {
                    kept.extend(change(Some(value)).map(|v| (name, v)));
                } else {
                    kept.push((name, at_path(value, rest, change, create)));
                }
            }
            if !known && rest.is_empty() && create {
                kept.extend(change(None).map(|v| (key.clone(), v)));
            }
            Json::object(kept)
        }
        Json::Array(mut items) => {
            let Ok(index) = key.trim().parse::<i64>() else { return Json::Array(items) };
            match place(index, items.len()) {
                Some(at) => {
                    let item = items.remove(at);
                    let changed = if rest.is_empty() { change(Some(item)) } else { Some(at_path(item, rest, change, create)) };
                    if let Some(item) = changed {
                        items.insert(at, item);
                    }
                }
                None if rest.is_empty() && create => {
                    let at = if index < 0 { 0 } else { items.len() };
                    if let Some(item) = change(None) {
                        items.insert(at, item);
                    }
                }
                None => {}
            }
            Json::Array(items)
        }
        scalar => scalar,
    }
}

fn set(call: &Call<'_>) -> Result<ArrayRef> {
    trees(call, |call, json, row| {
        let create = if call.args.len() == 4 { call.bool(3, row) } else { Some(true) };
        let (Some(path), Some(value), Some(create)) = (strings(call, 1, row), tree(call, 2, row)?, create) else {
            return Ok(None);
        };
        if !matches!(json, Json::Object(_) | Json::Array(_)) {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "cannot set path in scalar"));
        }
        Ok(Some(at_path(json, &path, &mut |_| Some(value.clone()), create)))
    })
}

/// As `jsonb_set`, with a choice of what NULL does.
fn set_lax(call: &Call<'_>) -> Result<ArrayRef> {
    trees(call, |call, json, row| {
        let create = if call.args.len() > 3 { call.bool(3, row) } else { Some(true) };
        let treatment = if call.args.len() > 4 { call.text(4, row) } else { Some("use_json_null") };
        let (Some(path), Some(create)) = (strings(call, 1, row), create) else { return Ok(None) };
        let invalid = |message: &str| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
        let Some(treatment) = treatment else {
            let message =
                "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"";
            return Err(invalid(message));
        };
        let value = tree(call, 2, row)?;
        if value.is_none() && treatment == "return_target" {
            return Ok(Some(json));
        }
        if !matches!(json, Json::Object(_) | Json::Array(_)) {
            return Err(invalid("cannot set path in scalar"));
        }
        match (value, treatment) {
            (Some(value), _) => Ok(Some(at_path(json, &path, &mut |_| Some(value.clone()), create))),
            (None, "use_json_null") => Ok(Some(at_path(json, &path, &mut |_| Some(Json::Null), create))),
            (None, "delete_key") => Ok(Some(at_path(json, &path, &mut |_| None, false))),
            (None, "raise_exception") => Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "JSON value must not be null")
                .detail("Exception was raised because null_value_treatment is \"raise_exception\".")),
            (None, _) => Err(invalid(
                "null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"",
            )),
        }
    })
}

fn insert(call: &Call<'_>) -> Result<ArrayRef> {
    trees(call, |call, json, row| {
        let after = if call.args.len() == 4 { call.bool(3, row) } else { Some(false) };
        let (Some(path), Some(value), Some(after)) = (strings(call, 1, row), tree(call, 2, row)?, after) else {
            return Ok(None);
        };
        if !matches!(json, Json::Object(_) | Json::Array(_)) {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "cannot set path in scalar"));
        }
        insert_at(json, &path, &value, after).map(Some)
    })
}

/// A value put into an array beside the element at the path, or into an object that lacks the member.
fn insert_at(json: Json, path: &[String], value: &Json, after: bool) -> Result<Json> {
    let Some((key, rest)) = path.split_first() else { return Ok(json) };
    match json {
        Json::Object(mut members) => {
            let known = members.iter().position(|(name, _)| name == key);
            match known {
                Some(_) if rest.is_empty() => {
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "cannot replace existing key")
                        .hint("Try using the function jsonb_set to replace key value."));
                }
                Some(at) => {
                    let inner = std::mem::replace(&mut members[at].1, Json::Null);
                    members[at].1 = insert_at(inner, rest, value, after)?;
                }
                None if rest.is_empty() => members.push((key.clone(), value.clone())),
                None => {}
            }
            Ok(Json::object(members))
        }
        Json::Array(mut items) => {
            let Ok(index) = key.trim().parse::<i64>() else {
                let message = format!("path element at position 1 is not an integer: \"{key}\"");
                return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
            };
            match place(index, items.len()) {
                Some(at) if rest.is_empty() => items.insert(if after { at + 1 } else { at }, value.clone()),
                Some(at) => {
                    let inner = std::mem::replace(&mut items[at], Json::Null);
                    items[at] = insert_at(inner, rest, value, after)?;
                }
                None if rest.is_empty() => items.insert(if index < 0 { 0 } else { items.len() }, value.clone()),
                None => {}
            }
            Ok(Json::Array(items))
        }
        scalar => Ok(scalar),
    }
}

/// json without its null members, its order and repeats kept.
fn strip_text(out: &mut String, text: &str) {
    match json::kind(text) {
        Kind::Object => {
            out.push('{');
            let kept = json::members(text).filter(|(_, value)| json::kind(value) != Kind::Null);
            for (i, (name, value)) in kept.enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                json::write_string(out, &name);
                out.push(':');
                strip_text(out, value);
            }
            out.push('}');
        }
        Kind::Array => {
            out.push('[');
            for (i, item) in json::elements(text).enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                strip_text(out, item);
            }
            out.push(']');
        }
        _ => out.push_str(text.trim()),
    }
}

/// JSON values of a list as one JSON array.
fn json_array(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = call.args[0].as_list_opt::<i32>().ok_or_else(|| SqlError::internal("an array was expected"))?;
    let items = lists.values().as_string_opt::<i32>().ok_or_else(|| SqlError::internal("JSON values were expected"))?;
    let ends = lists.value_offsets();
    call.map_text(|row| {
        if lists.is_null(row) {
            return Ok(None);
        }
        let places = ends[row] as usize..ends[row + 1] as usize;
        let texts = places.map(|at| if items.is_null(at) { "null" } else { items.value(at) });
        Ok(Some(format!("[{}]", texts.collect::<Vec<_>>().join(", "))))
    })
}

/// An object of texts: names and values in turn, or each in an array of its own.
fn object_of(call: &Call<'_>, jsonb: bool) -> Result<ArrayRef> {
    let all = |arg: usize, row: usize| -> Option<Vec<Option<String>>> {
        let lists = call.args.get(arg)?.as_list_opt::<i32>().filter(|l| l.is_valid(row))?.value(row);
        Some(lists.as_string_opt::<i32>()?.iter().map(|t| t.map(str::to_owned)).collect())
    };
    let refused = |message: &str| SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message);
    call.map_text(|row| {
        let Some(first) = all(0, row) else { return Ok(None) };
        let bounds = [0, 1].map(|arg| call.bounds(arg, row).unwrap_or_default());
        match bounds.each_ref().map(|bounds| &bounds[..]) {
            [[_, (_, columns)], []] if call.args.len() == 1 && *columns != 2 => {
                return Err(refused("array must have two columns"));
            }
            [[_, _], []] if call.args.len() == 1 => {}
            [[] | [_], [] | [_]] => {}
            _ => return Err(refused("wrong number of array subscripts")),
        }
        let pairs: Vec<(Option<String>, Option<String>)> = if call.args.len() == 2 {
            let Some(second) = all(1, row) else { return Ok(None) };
            if first.len() != second.len() {
                return Err(SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "mismatched array dimensions"));
            }
            first.into_iter().zip(second).collect()
        } else {
            if !first.len().is_multiple_of(2) {
                return Err(SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "array must have even number of elements"));
            }
            let (pairs, _) = first.as_chunks::<2>();
            pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect()
        };
        let mut out = String::from("{");
        for (i, (name, value)) in pairs.into_iter().enumerate() {
            let null = || SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "null value not allowed for object key");
            out.push_str(if i > 0 { ", " } else { "" });
            json::write_string(&mut out, &name.ok_or_else(null)?);
            out.push_str(" : ");
            match value {
                Some(value) => json::write_string(&mut out, &value),
                None => out.push_str("null"),
            }
        }
        out.push('}');
        finish(out, jsonb).map(Some)
    })
}

fn strip_nulls(json: Json) -> Json {
    match json {
        Json::Object(members) => {
            let kept = members.into_iter().filter(|(_, v)| *v != Json::Null).map(|(n, v)| (n, strip_nulls(v)));
            Json::Object(kept.collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(strip_nulls).collect()),
        scalar => scalar,
    }
}

fn array_length(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<i32, Int32Array>(|row| {
        let Some(json) = call.json(0, row)? else { return Ok(None) };
        match json::kind(&json) {
            Kind::Array => Ok(Some(json::elements(&json).count() as i32)),
            kind => {
                let what = if kind == Kind::Object { "a non-array" } else { "a scalar" };
                Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("cannot get array length of {what}")))
            }
        }
    })
}

fn pretty(out: &mut String, json: &Json, depth: usize) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth * 4));
    };
    let (open, close, len) = match json {
        Json::Array(items) => ('[', ']', items.len()),
        Json::Object(members) => ('{', '}', members.len()),
        scalar => return scalar.write(out),
    };
    out.push(open);
    for i in 0..len {
        out.push_str(if i > 0 { "," } else { "" });
        indent(out, depth + 1);
        match json {
            Json::Array(items) => pretty(out, &items[i], depth + 1),
            Json::Object(members) => {
                json::write_string(out, &members[i].0);
                out.push_str(": ");
                pretty(out, &members[i].1, depth + 1);
            }
            _ => {}
        }
    }
    indent(out, depth);
    out.push(close);
}

/// Writes values of one column as JSON.
#[derive(Debug)]
pub(super) struct JsonColumn {
    column: Option<Column>,
    /// The values' own text is JSON.
    verbatim: bool,
    members: Vec<(String, JsonColumn)>,
    nulls: ArrayRef,
    items: Option<(Parts, Box<JsonColumn>)>,
    timestamp: bool,
    jsonb: bool,
}

impl JsonColumn {
    pub(super) fn new(ty: PgType, array: &ArrayRef, zone: Zone, jsonb: bool) -> Result<Self> {
        let mut this = Self {
            column: None,
            verbatim: false,
            members: Vec::new(),
            nulls: Arc::clone(array),
            items: None,
            timestamp: false,
            jsonb,
        };
        if let Some(row) = array.as_struct_opt() {
            for (field, column) in row.fields().iter().zip(row.columns()) {
                this.members.push((field.name().clone(), Self::new(PgType::of_field(field), column, zone, jsonb)?));
            }
            return Ok(this);
        }
        if let Some(parts) = Parts::of(array) {
            let items = Self::new(ty.element(), parts.lists.values(), zone, jsonb)?;
            this.items = Some((parts, Box::new(items)));
            return Ok(this);
        }
        this.verbatim = matches!(
            ty.name,
            TypeName::Json | TypeName::Jsonb | TypeName::Int2 | TypeName::Int4 | TypeName::Int8 | TypeName::Numeric
        );
        this.timestamp = matches!(ty.name, TypeName::Timestamp | TypeName::Timestamptz);
        this.column = Some(Column::new(ty, array, zone)?);
        Ok(this)
    }

    pub(super) fn write(&self, row: usize, out: &mut String) {
        if self.nulls.is_null(row) || self.nulls.data_type() == &datafusion::arrow::datatypes::DataType::Null {
            out.push_str("null");
            return;
        }
        if let Some((parts, items)) = &self.items {
            let start = parts.lists.value_offsets()[row] as usize;
            let bounds = parts.bounds(row).unwrap_or_default();
            return write_level(&bounds, items, &mut (start..), self.jsonb, out);
        }
        let Some(column) = &self.column else { return self.write_members(row, out) };
        let mut text = String::new();
        column.write_text(row, &mut text);
        match column {
            Column::Bool(values) => out.push_str(if values.value(row) { "true" } else { "false" }),
            Column::Float4(_) | Column::Float8(_) if text.bytes().all(|b| !b.is_ascii_alphabetic() || b == b'e') => {
                out.push_str(&text)
            }
            // NaN and the infinities are no numbers in JSON.
            Column::Numeric(_) if text.bytes().any(|b| b.is_ascii_alphabetic()) => json::write_string(out, &text),
            _ if self.verbatim => out.push_str(&text),
            _ => {
                if self.timestamp {
                    text = iso(&text);
                }
                json::write_string(out, &text);
            }
        }
    }

    fn write_members(&self, row: usize, out: &mut String) {
        out.push('{');
        for (i, (name, column)) in self.members.iter().enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            json::write_string(out, name);
            out.push(':');
            column.write(row, out);
        }
        out.push('}');
    }
}

/// The items of one dimension, or arrays of those of the next.
fn write_level(
    bounds: &[(i32, i32)],
    items: &JsonColumn,
    places: &mut std::ops::RangeFrom<usize>,
    jsonb: bool,
    out: &mut String,
) {
    out.push('[');
    for i in 0..bounds.first().map_or(0, |(_, length)| *length) {
        out.push_str(match (i, jsonb) {
            (0, _) => "",
            (_, true) => ", ",
            (_, false) => ",",
        });
        if bounds.len() > 1 {
            write_level(&bounds[1..], items, places, jsonb, out);
        } else if let Some(item) = places.next() {
            items.write(item, out);
        }
    }
    out.push(']');
}

/// JSON has `T` between date and time, and minutes in the offset.
fn iso(text: &str) -> String {
    let text = text.replacen(' ', "T", 1);
    let offset = text.rfind(['+', '-']).filter(|at| *at > 10 && text.len() - at == 3);
    if offset.is_some() { format!("{text}:00") } else { text }
}

fn columns(call: &Call<'_>, jsonb: bool) -> Result<Vec<JsonColumn>> {
    let zone = call.zone();
    call.args.iter().zip(&call.types).map(|(array, ty)| JsonColumn::new(*ty, array, zone, jsonb)).collect()
}

/// jsonb in normal form, json as it was put together.
fn finish(text: String, jsonb: bool) -> Result<String> {
    if jsonb { json::normalise(&text) } else { Ok(text) }
}

fn convert(call: &Call<'_>, jsonb: bool) -> Result<ArrayRef> {
    let columns = columns(call, jsonb)?;
    call.map_text(|row| {
        if call.args[0].is_null(row) {
            return Ok(None);
        }
        let mut out = String::new();
        columns[0].write(row, &mut out);
        finish(out, jsonb).map(Some)
    })
}

/// A row as JSON, of the names and values of its columns.
pub const ROW_JSON: &str = "__row_json";

/// As `build_object`, without the spaces, as rows are written.
fn row_json(call: &Call<'_>) -> Result<ArrayRef> {
    let columns = columns(call, false)?;
    call.map_text(|row| {
        let mut out = String::from("{");
        for (n, pair) in columns.chunks(2).enumerate() {
            let [_, value] = pair else { continue };
            out.push_str(if n > 0 { "," } else { "" });
            json::write_string(&mut out, call.text(n * 2, row).unwrap_or_default());
            out.push(':');
            value.write(row, &mut out);
        }
        out.push('}');
        finish(out, false).map(Some)
    })
}

fn build_object(call: &Call<'_>, jsonb: bool) -> Result<ArrayRef> {
    if !call.args.len().is_multiple_of(2) {
        let message = "argument list must have even number of elements";
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
            .hint("The arguments of jsonb_build_object() must consist of alternating keys and values."));
    }
    let columns = columns(call, jsonb)?;
    let zone = call.zone();
    let names = call.args.iter().zip(&call.types).step_by(2).map(|(array, ty)| Column::new(*ty, array, zone));
    let names = names.collect::<Result<Vec<_>>>()?;
    call.map_text(|row| {
        let mut out = String::from("{");
        for (i, name) in names.iter().enumerate() {
            if name.is_null(row) {
                let message = format!("argument {}: key must not be null", i * 2 + 1);
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            let mut text = String::new();
            name.write_text(row, &mut text);
            out.push_str(if i > 0 { ", " } else { "" });
            json::write_string(&mut out, &text);
            out.push_str(" : ");
            columns[i * 2 + 1].write(row, &mut out);
        }
        out.push('}');
        finish(out, jsonb).map(Some)
    })
}

fn build_array(call: &Call<'_>, jsonb: bool) -> Result<ArrayRef> {
    let columns = columns(call, jsonb)?;
    call.map_text(|row| {
        let mut out = String::from("[");
        for (i, column) in columns.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            column.write(row, &mut out);
        }
        out.push(']');
        finish(out, jsonb).map(Some)
    })
}

//! The functions and operators that run a jsonpath over a jsonb value.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, ListBuilder, StringBuilder};

use super::define::{Call, Function, JSON, Returns, TEXT, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::json::Json;
use crate::types::jsonpath::{self, Path, Paths};
use crate::types::{PgType, TypeName};

/// `json @? path` and `json @@ path`, which hide errors about the value.
pub const EXISTS: &str = "pg_json_path_exists";
pub const MATCHES: &str = "pg_json_path_match";
/// What `jsonb_path_query` gives, as a list.
pub const QUERY: &str = "pg_json_path_query";

const BOTH: &[Want] = &[JSON, TEXT];
/// The value, the path, its variables and whether errors are hidden.
const ALL: &[Want] = &[JSON, TEXT, JSON, Want::Type(TypeName::Bool)];
const BOOL: Returns = Returns::Fixed(PgType::BOOL);
const JSONB: Returns = Returns::Fixed(PgType::JSONB);

pub const FUNCTIONS: &[Function] = &[
    Function::new(EXISTS, BOTH, BOOL, |c| answers(c, Some(true), jsonpath::exists)),
    Function::new(MATCHES, BOTH, BOOL, |c| answers(c, Some(true), jsonpath::matches)),
    Function::new("jsonb_path_exists", ALL, BOOL, |c| answers(c, None, jsonpath::exists))
        .optional(2)
        .aliases(&["jsonb_path_exists_tz"]),
    Function::new("jsonb_path_match", ALL, BOOL, |c| answers(c, None, jsonpath::matches))
        .optional(2)
        .aliases(&["jsonb_path_match_tz"]),
    Function::new("jsonb_path_query_array", ALL, JSONB, |c| selected(c, |items| Some(Json::Array(items))))
        .optional(2)
        .aliases(&["jsonb_path_query_array_tz"]),
    Function::new("jsonb_path_query_first", ALL, JSONB, |c| selected(c, |items| items.into_iter().next()))
        .optional(2)
        .aliases(&["jsonb_path_query_first_tz"]),
    Function::new(QUERY, ALL, Returns::Fixed(PgType::JSONB.array_of()), lists).optional(2),
];

/// One row's arguments; `None` where one of them is NULL.
struct Asked {
    document: Json,
    variables: Json,
    silent: bool,
}

fn asked(call: &Call<'_>, row: usize, silent: Option<bool>) -> Result<Option<Asked>> {
    let Some(document) = call.json(0, row)? else { return Ok(None) };
    let document = Json::stored(&document)?;
    if call.args.len() <= 2 {
        return Ok(Some(Asked { document, variables: Json::Object(Vec::new()), silent: silent.unwrap_or(false) }));
    }
    let Some(variables) = call.json(2, row)? else { return Ok(None) };
    let variables = Json::parse(&variables)?;
    if !matches!(variables, Json::Object(_)) {
        let message = "\"vars\" argument is not an object";
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
            .detail("Jsonpath parameters should be encoded as key-value pairs of \"vars\" object."));
    }
    let silent = if call.args.len() > 3 { call.bool(3, row) } else { Some(false) };
    Ok(silent.map(|silent| Asked { document, variables, silent }))
}

type Answer = fn(&Path, &Json, &Json, bool) -> Result<Option<bool>>;

fn answers(call: &Call<'_>, silent: Option<bool>, answer: Answer) -> Result<ArrayRef> {
    let mut paths = Paths::default();
    call.map::<bool, BooleanArray>(|row| {
        let (Some(path), Some(asked)) = (call.text(1, row), asked(call, row, silent)?) else { return Ok(None) };
        answer(paths.get(path)?, &asked.document, &asked.variables, asked.silent)
    })
}

fn items(call: &Call<'_>, row: usize, paths: &mut Paths) -> Result<Option<Vec<Json>>> {
    let (Some(path), Some(asked)) = (call.text(1, row), asked(call, row, None)?) else { return Ok(None) };
    jsonpath::query(paths.get(path)?, &asked.document, &asked.variables, asked.silent).map(Some)
}

fn selected(call: &Call<'_>, choose: fn(Vec<Json>) -> Option<Json>) -> Result<ArrayRef> {
    let paths = RefCell::new(Paths::default());
    call.map_text(|row| Ok(items(call, row, &mut paths.borrow_mut())?.and_then(choose).map(|json| json.to_string())))
}

fn lists(call: &Call<'_>) -> Result<ArrayRef> {
    let mut paths = Paths::default();
    let mut out = ListBuilder::new(StringBuilder::new()).with_field(PgType::JSONB.field("item", true));
    for row in 0..call.rows {
        let found = items(call, row, &mut paths)?;
        let valid = found.is_some();
        for item in found.unwrap_or_default() {
            out.values().append_value(item.to_string());
        }
        out.append(valid);
    }
    Ok(Arc::new(out.finish()))
}

//! A JSON array as the text of an array, as `json_to_record` and its kin read one.

use std::borrow::Cow;

use datafusion::arrow::array::ArrayRef;

use super::define::{Call, Function, JSON, Returns, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::array::write_element;
use crate::types::json::{self, Kind};
use crate::types::{PgType, TypeName};

/// `pg_json_array_text(json, elements are json)`: the literal of an array. A string is a literal already; NULL for JSON's
/// null; 22P02 for anything else that is no array, and where arrays and others stand beside each other.
pub const ARRAY_TEXT: &str = "pg_json_array_text";

pub const FUNCTIONS: &[Function] =
    &[Function::new(ARRAY_TEXT, &[JSON, Want::Type(TypeName::Bool)], Returns::Fixed(PgType::TEXT), array_text)];

fn array_text(call: &Call<'_>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let Some(json) = call.json(0, row)? else { return Ok(None) };
        match json::kind(&json) {
            Kind::Null => Ok(None),
            Kind::String => Ok(json::as_text(&json)?.map(Cow::into_owned)),
            Kind::Array => {
                let mut out = String::new();
                match depth(&json) {
                    Some(depth) => write(&json, depth, call.bool(1, row).unwrap_or_default(), &mut out)?,
                    None => out.push_str("{}"),
                }
                Ok(Some(out))
            }
            _ => Err(no_array()),
        }
    })
}

/// How many arrays there are around the first value that is none; `None` where there is no such value.
fn depth(json: &str) -> Option<usize> {
    json::elements(json).find_map(|element| match json::kind(element) {
        Kind::Array => depth(element).map(|inner| inner + 1),
        _ => Some(1),
    })
}

fn write(json: &str, depth: usize, verbatim: bool, out: &mut String) -> Result<()> {
    if json::kind(json) != Kind::Array {
        return Err(no_array());
    }
    out.push('{');
    for (at, element) in json::elements(json).enumerate() {
        if at > 0 {
            out.push(',');
        }
        if depth > 1 {
            write(element, depth - 1, verbatim, out)?;
            continue;
        }
        match (json::as_text(element)?, verbatim) {
            (None, _) => out.push_str("NULL"),
            (Some(_), true) => write_element(out, element, ','),
            (Some(text), false) => write_element(out, &text, ','),
        }
    }
    out.push('}');
    Ok(())
}

fn no_array() -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "expected JSON array")
}

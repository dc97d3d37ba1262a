//! The parts of a JSON value, as lists.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;

use crate::error::{Result, SqlError, SqlState};
use crate::plan::functions::define::{Call, Function, JSON, Returns, Want};
use crate::types::{PgType, TypeName, json};

pub const ELEMENTS: &str = "__json_elements";
pub const ELEMENT_TEXTS: &str = "__json_element_texts";
pub const KEYS: &str = "__json_keys";
pub const VALUES: &str = "__json_values";
pub const VALUE_TEXTS: &str = "__json_value_texts";

const ONE: &[Want] = &[JSON];
const SAME: Returns = Returns::Field(same);
const TEXTS: Returns = Returns::Fixed(PgType::TEXT.array_of());

pub const FUNCTIONS: &[Function] = &[
    Function::new(ELEMENTS, ONE, SAME, |c| elements(c, |v| Ok(Some(v.into())))),
    Function::new(ELEMENT_TEXTS, ONE, TEXTS, |c| elements(c, json::as_text)),
    Function::new(KEYS, ONE, TEXTS, |c| members(c, |k, _| Ok(Some(k)))),
    Function::new(VALUES, ONE, SAME, |c| members(c, |_, v| Ok(Some(v.into())))),
    Function::new(VALUE_TEXTS, ONE, TEXTS, |c| members(c, |_, v| json::as_text(v))),
];

/// A list of the argument's own kind of JSON.
fn same(types: &[PgType], _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<Field> {
    let name = if types.first().is_some_and(|t| t.name == TypeName::Json) { TypeName::Json } else { TypeName::Jsonb };
    Ok(PgType::new(name).array_of().field("value", true))
}

type Parts<'a> = Vec<Option<Cow<'a, str>>>;

/// A list per row; NULL of NULL.
fn lists<'c>(call: &'c Call<'_>, parts: impl Fn(&str, &mut dyn FnMut(Option<&str>)) -> Result<()> + 'c) -> Result<ArrayRef> {
    let item = match call.returns.data_type() {
        DataType::List(item) => Arc::clone(item),
        _ => return Err(SqlError::internal("a list that is none")),
    };
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item);
    for row in 0..call.rows {
        match call.json(0, row)? {
            Some(text) => {
                parts(&text, &mut |part| lists.values().append_option(part))?;
                lists.append(true);
            }
            None => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()))
}

fn elements(call: &Call<'_>, part: fn(&str) -> Result<Option<Cow<'_, str>>>) -> Result<ArrayRef> {
    lists(call, |text, give| {
        match json::kind(text) {
            json::Kind::Array => {}
            json::Kind::Object => return Err(invalid("cannot extract elements from an object")),
            _ => return Err(invalid("cannot extract elements from a scalar")),
        }
        for element in json::elements(text) {
            give(part(element)?.as_deref());
        }
        Ok(())
    })
}

fn members(call: &Call<'_>, part: for<'a> fn(Cow<'a, str>, &'a str) -> Result<Option<Cow<'a, str>>>) -> Result<ArrayRef> {
    lists(call, |text, give| {
        match json::kind(text) {
            json::Kind::Object => {}
            json::Kind::Array => return Err(invalid("cannot call json_object_keys on an array")),
            _ => return Err(invalid("cannot call json_object_keys on a scalar")),
        }
        let found: Parts<'_> = json::members(text).map(|(k, v)| part(k, v)).collect::<Result<_>>()?;
        found.iter().for_each(|p| give(p.as_deref()));
        Ok(())
    })
}

fn invalid(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

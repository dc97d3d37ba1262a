//! The place of a late error: what its message complains about, looked for in the statement's text.

use crate::error::{SqlError, SqlState};
use crate::sql::{Sought, place_of};

/// The error with the place in `text` of what it complains about, when it names something that stands there and
/// has no place yet.
pub fn located(error: SqlError, text: &str) -> SqlError {
    if error.fields().position.is_some() {
        return error;
    }
    match sought(&error).and_then(|sought| place_of(text, sought)) {
        Some(place) => error.at(place),
        None => error,
    }
}

fn sought(error: &SqlError) -> Option<Sought<'_>> {
    let message = error.message();
    let quoted = between(message, "\"", "\"");
    match error.code() {
        SqlState::UNDEFINED_COLUMN | SqlState::AMBIGUOUS_COLUMN => match quoted {
            Some(name) => Some(Sought::Column(name)),
            None => between(message, "column ", " ").map(dotted),
        },
        SqlState::GROUPING_ERROR => quoted.map(dotted),
        SqlState::UNDEFINED_TABLE if message.starts_with("missing FROM-clause") => quoted.map(Sought::Qualifier),
        SqlState::UNDEFINED_TABLE => quoted.map(|name| match name.split_once('.') {
            Some((schema, name)) => Sought::Relation(Some(schema), name),
            None => Sought::Relation(None, name),
        }),
        SqlState::UNDEFINED_FUNCTION => match message.strip_prefix("operator does not exist: ") {
            Some(operands) => operands.split(' ').find(|word| is_operator(word)).map(Sought::Operator),
            None => function(message),
        },
        SqlState::UNDEFINED_OBJECT if message.starts_with("type ") => quoted.map(Sought::Name),
        SqlState::UNDEFINED_PARAMETER => message.strip_prefix("there is no parameter ").map(Sought::Parameter),
        SqlState::INVALID_TEXT_REPRESENTATION | SqlState::INVALID_DATETIME_FORMAT | SqlState::DATETIME_FIELD_OVERFLOW => {
            let value = message.split_once(": \"")?.1;
            value.strip_suffix('"').map(Sought::Literal)
        }
        _ => None,
    }
}

fn function(message: &str) -> Option<Sought<'_>> {
    let name = message.strip_prefix("function ")?.split(['(', ' ']).next()?;
    Some(Sought::Function(name.rsplit('.').next().unwrap_or(name)))
}

fn is_operator(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| "+-*/<>=~!@#%^&|`?".contains(c))
}

/// `t.x` or `x`.
fn dotted(name: &str) -> Sought<'_> {
    match name.rsplit_once('.') {
        Some((qualifier, name)) => Sought::Member(qualifier, name),
        None => Sought::Column(name),
    }
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let rest = &text[text.find(open)? + open.len()..];
    rest.find(close).map(|end| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: SqlState, message: &str, text: &str, place: Option<usize>) {
        assert_eq!(located(SqlError::new(code, message), text).fields().position, place, "{message}");
    }

    #[test]
    fn messages_lead_to_places() {
        check(SqlState::UNDEFINED_COLUMN, "column \"x\" does not exist", "SELECT é, x FROM xs", Some(11));
        check(SqlState::UNDEFINED_COLUMN, "column t.x does not exist", "SELECT t.x FROM t", Some(8));
        check(SqlState::UNDEFINED_TABLE, "relation \"t\" does not exist", "SELECT t.x FROM t", Some(17));
        check(SqlState::UNDEFINED_TABLE, "relation \"s.t\" does not exist", "SELECT 1 FROM s.t", Some(15));
        check(SqlState::UNDEFINED_FUNCTION, "function f(integer) does not exist", "SELECT 1, f(1)", Some(11));
        check(SqlState::UNDEFINED_FUNCTION, "operator does not exist: text = integer", "SELECT 'a'::text = 1", Some(18));
        check(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type integer: \"a\"", "SELECT 'a'::int", Some(8));
        check(SqlState::UNDEFINED_COLUMN, "column \"y\" does not exist", "SELECT x", None);
        check(SqlState::UNDEFINED_OBJECT, "role \"x\" does not exist", "SELECT x", None);
    }
}

//! The errors of reading values, in PostgreSQL's words. Every reader of this module's folder uses these, so a
//! bad literal, a bad parameter and a bad COPY field are told apart only by their context.

use super::PgType;
use crate::error::{SqlError, SqlState};

/// 22P02 (or the code given): the text is no value of the type.
pub fn bad_syntax(type_name: &str, text: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

/// 22007: the text is no date, time or interval.
pub fn bad_datetime(type_name: &str, text: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

/// 22008: well-formed, but no such day or hour.
pub fn bad_datetime_field(text: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
}

/// 22003: a number of the right form that the type cannot hold.
pub fn text_out_of_range(type_name: &str, text: &str) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value \"{text}\" is out of range for type {type_name}"))
}

/// 22003 of a computation: `integer out of range`.
pub fn out_of_range(type_name: &str) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{type_name} out of range"))
}

pub fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// 22001: the value is longer than varchar(n) or char(n) allows.
pub fn too_long(ty: PgType) -> SqlError {
    SqlError::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, format!("value too long for type {}", ty.element().sql_name()))
}

/// 08P01: a binary value shorter or longer than its type.
pub fn bad_message_length() -> SqlError {
    SqlError::new(SqlState::PROTOCOL_VIOLATION, "insufficient data left in message")
}

/// 22P03: bytes that are no value of the type.
pub fn bad_binary(what: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_BINARY_REPRESENTATION, what)
}

//! A version's payload, one JSON object, to and from Arrow columns.
//!
//! Members are keyed by a column's `field`. Numbers, booleans and arrays are JSON's own; text, uuid, dates and
//! times are strings (instants in ISO 8601, UTC), bytea `\x` and hex, intervals `P14M3DT3600.5S`; numeric keeps
//! its digits; NaN and the infinities are strings; json and jsonb are the value itself. An absent member reads
//! as the column's `missing` value, `null` as NULL; where it is JSON's null instead, the member without a name,
//! which comes first, lists it: `{"":["j"],"id":3,"j":null}`. Knows no table definition beyond the columns it is given.

pub(in crate::plan) mod calendar;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{PayloadColumn, PayloadDecoder};
pub use encode::{PayloadEncoder, shown_json, value_json};

use crate::error::{Diagnose, SqlError, SqlState};

/// A payload or a value that does not fit its column.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PayloadError {
    /// The stored bytes are not what the column's type says. The text is for the log.
    #[error("stored row cannot be read: {0}")]
    Unreadable(String),
    /// A json or jsonb value that is not JSON.
    #[error("invalid input syntax for type json")]
    NotJson,
    /// A text that is no label of its column's enumeration; the rest of the message.
    #[error("invalid input value for enum {0}")]
    NotALabel(String),
    /// A type that no payload holds.
    #[error("column of type {0} cannot be stored")]
    Unstorable(String),
}

impl Diagnose for PayloadError {
    fn diagnose(&self) -> SqlError {
        match self {
            Self::Unreadable(cause) => {
                tracing::error!(cause, "payload does not fit its table");
                SqlError::new(SqlState::DATA_CORRUPTED, "a stored row does not fit the types of its columns").hint(
                    "When a column's type was changed, SET chronogate.schema_at = 'then' reads the past under its own types.",
                )
            }
            Self::NotALabel(_) => SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, self.to_string()),
            Self::NotJson => SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, self.to_string()),
            Self::Unstorable(_) => SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, self.to_string()),
        }
    }
}

impl From<PayloadError> for SqlError {
    fn from(error: PayloadError) -> Self {
        error.diagnose()
    }
}

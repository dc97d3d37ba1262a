//! Text to statement: comment cutting, the token-level canonicaliser for AS OF, the dialect, DDL and
//! utility forms as plain values. Pure and synchronous: no IO, no catalogue, no plan.

pub mod statement;

pub use statement::*;

use crate::error::Result;

/// Splits a query text into its statements and parses each. Empty statements vanish.
///
/// Errors are 42601 with a position in `text`, or 0A000 with a hint for a form that is known and refused.
pub fn parse(text: &str) -> Result<Vec<Parsed>> {
    let _ = text;
    todo!("sql::parse")
}

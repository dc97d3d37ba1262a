//! Which statement a run of tokens is, by its first words.

use super::cursor::Cursor;
use super::lex::Slice;
use super::query;
use super::statement::Statement;
use crate::error::Result;

pub fn statement(slice: Slice<'_>) -> Result<Statement> {
    let cursor = Cursor::new(slice);
    let _ = cursor;
    query::parse(slice)
}

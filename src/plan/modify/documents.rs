//! Rows that become documents: what they are called, which of their NULLs were written, and whether a document can keep
//! their values.
//!
//! A NULL that a statement gives is a member `null`, one that nobody gave is no member. What the document then is, is for
//! `history` to say when the transaction commits.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};

use super::target::Target;
use crate::error::{Result, SqlError, SqlState};
use crate::history::{HistoryError, check_document, member_name, object_id};
use crate::types::members::Members;

/// The columns that a statement gives a row values for, by position; `None` where it does not say.
pub type Given = Option<Arc<[usize]>>;

/// The payload of a row: without the NULLs that neither the statement gives nor `pending`, the state that the transaction
/// has written before, has. 22003 and 0A000 for what a document cannot keep.
pub fn encode(target: &Target, values: &[ArrayRef], row: usize, given: &Given, pending: Option<&Bytes>) -> Result<Bytes> {
    let is_given = |at: usize| given.as_ref().is_some_and(|given| given.contains(&at));
    let before = match pending {
        Some(payload) if values.iter().any(|array| array.is_null(row)) => nulls_of(target, payload)?,
        _ => Vec::new(),
    };
    let is_there = |at: usize| values.get(at).is_some_and(|array| array.is_valid(row));
    let payload = target.layout.encode_where(values, row, |at| is_there(at) || is_given(at) || before.contains(&at))?;
    let table = target.table();
    let position = |at: usize| table.columns.get(at).and_then(|of| target.layout.columns.iter().position(|c| c.id == of.id));
    let asked = |at: usize| given.is_none() || position(at).is_some_and(is_given);
    check_document(table, &payload, asked).map_err(HistoryError::from)?;
    Ok(payload)
}

/// The columns whose member is `null`.
fn nulls_of(target: &Target, payload: &[u8]) -> Result<Vec<usize>> {
    let broken = || SqlError::internal("a row that was written cannot be read");
    let mut members = Members::new(payload).map_err(|_| broken())?;
    let mut found = Vec::new();
    while let Some((name, value)) = members.next_member().map_err(|_| broken())? {
        if value == b"null" {
            let name = member_name(name).ok_or_else(broken)?;
            found.extend(target.layout.columns.iter().position(|column| column.field == name));
        }
    }
    Ok(found)
}

impl Target {
    /// The rows with the names of their documents as they are kept: 22P02 for what is no name.
    pub fn named(&self, mut values: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        if !self.table().is_of_documents() {
            return Ok(values);
        }
        for at in self.layout.key_positions() {
            let Some(place) = values.get_mut(at) else { continue };
            let Some(texts) = place.as_string_opt::<i32>() else { continue };
            let is_kept = |text: &str| object_id(text).is_some_and(|id| id == text);
            if texts.iter().flatten().all(is_kept) {
                continue;
            }
            let named = texts.iter().map(|text| text.map(|text| object_id(text).ok_or_else(|| no_name(text))).transpose());
            *place = Arc::new(named.collect::<Result<StringArray>>()?);
        }
        Ok(values)
    }
}

fn no_name(text: &str) -> SqlError {
    let message = format!("invalid input syntax for the _id of a document: \"{text}\"");
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
        .hint("It has 24 hexadecimal digits. Leave the column out to have a new one made.")
}

/// 0A000: a document is called what it is called.
pub fn renamed() -> SqlError {
    SqlError::unsupported("cannot change the _id of a document", "Insert the document anew and delete this one.")
}

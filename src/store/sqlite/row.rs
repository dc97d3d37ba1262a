//! Rows of `head`, `version` and `payload` as values of ours, and payloads as SQLite keeps them.

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};

use super::schema::{counted, failure, stored};
use crate::store::{PayloadRef, StoreError};
use crate::versions::{CommitNo, CommitStamp, ItemKey, Op, Period, PeriodEnd, Timestamp, Version, VersionNo};

/// A column holds what no writer of ours puts there.
pub fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("unexpected {what}"))
}

pub fn int(row: &Row<'_>, column: usize) -> Result<i64, StoreError> {
    row.get_ref(column).map_err(failure)?.as_i64().map_err(|_| corrupt("number"))
}

pub fn op(row: &Row<'_>, column: usize) -> Result<Op, StoreError> {
    u8::try_from(int(row, column)?).ok().and_then(Op::from_u8).ok_or_else(|| corrupt("op"))
}

pub fn bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], StoreError> {
    row.get_ref(column).map_err(failure)?.as_blob().map_err(|_| corrupt("bytes"))
}

pub fn key(row: &Row<'_>, column: usize) -> Result<ItemKey, StoreError> {
    Ok(ItemKey::from_bytes(bytes(row, column)?))
}

pub fn commit(row: &Row<'_>, column: usize) -> Result<CommitNo, StoreError> {
    Ok(CommitNo(counted(int(row, column)?)))
}

pub fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_micros(int(row, column)?))
}

/// Columns `number, time`.
pub fn stamp(row: &Row<'_>) -> Result<CommitStamp, StoreError> {
    Ok(CommitStamp { commit: commit(row, 0)?, time: time(row, 1)? })
}

/// Columns `from_, begun, number, op` from `first` on: an open state.
pub fn open_version(row: &Row<'_>, first: usize) -> Result<Version, StoreError> {
    let period = Period { from: time(row, first)?, begun: commit(row, first + 1)?, end: None };
    Ok(Version { number: VersionNo(counted(int(row, first + 2)?)), op: op(row, first + 3)?, period, collection: None })
}

/// [`open_version`] with the columns `to_, ended, end_op` of its end from `last` on: a closed state.
pub fn closed_version(row: &Row<'_>, first: usize, last: usize) -> Result<Version, StoreError> {
    let mut version = open_version(row, first)?;
    version.period.end = Some(PeriodEnd { to: time(row, last)?, commit: commit(row, last + 1)?, op: op(row, last + 2)? });
    Ok(version)
}

/// A payload as the column `doc` holds it.
pub struct Doc<'a>(pub &'a PayloadRef);

impl ToSql for Doc<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            PayloadRef::Inline(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            PayloadRef::Object { name, size, sha256 } => {
                let digest: String = sha256.iter().map(|b| format!("{b:02x}")).collect();
                ToSqlOutput::Owned(format!("{}:{digest}:{name}", stored(*size)).into())
            }
        })
    }
}

/// The inverse of [`Doc`] for a reference to an object.
pub fn object(text: &[u8]) -> Result<PayloadRef, StoreError> {
    parse_object(text).ok_or_else(|| corrupt("reference to an object"))
}

fn parse_object(text: &[u8]) -> Option<PayloadRef> {
    let mut parts = std::str::from_utf8(text).ok()?.splitn(3, ':');
    let size = parts.next()?.parse().ok()?;
    let digest = parts.next()?;
    let name = parts.next()?.to_owned();
    if digest.len() != 64 || !digest.is_ascii() {
        return None;
    }
    let mut sha256 = [0; 32];
    for (i, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digest.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(PayloadRef::Object { name, size, sha256 })
}

/// The payload in a column, copied; a state without one is damage.
pub fn payload(value: ValueRef<'_>) -> Result<PayloadRef, StoreError> {
    match value {
        ValueRef::Blob(bytes) => Ok(PayloadRef::Inline(Bytes::copy_from_slice(bytes))),
        ValueRef::Text(text) => object(text),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => Err(missing()),
    }
}

pub fn missing() -> StoreError {
    StoreError::Payload { name: "(in the index)".to_owned() }
}

/// What a state that was read without its payload carries.
pub fn no_payload() -> PayloadRef {
    PayloadRef::Inline(Bytes::new())
}

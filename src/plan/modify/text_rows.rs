//! Rows of text fields straight to payloads, keys and index entries, for COPY.
//!
//! The same payloads and keys as by way of Arrow arrays (a test holds them to it), without building any.

use std::borrow::Cow;

use bytes::Bytes;
use datafusion::arrow::array::ArrayRef;

use super::target::Target;
use super::values::read_literal;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::keys::key_part;
use crate::plan::payload::{calendar, value_json};
use crate::store::IndexEntry;
use crate::types::plain::{self, Fit};
use crate::types::precision::rounded;
use crate::types::{PgType, TypeName, Zone, datetime, json, number};
use crate::versions::key::encode_part;
use crate::versions::{IndexId, ItemKey, KeyPart};

/// How rows of one table come as text.
#[derive(Debug)]
pub struct TextRows {
    columns: Vec<Column>,
    /// Parts of the primary key, and of each index, as places among a row's parts.
    key: Vec<usize>,
    indexes: Vec<(IndexId, bool, Vec<usize>)>,
    /// Foreign keys: a row with a NULL has no entry.
    foreign: Vec<(IndexId, Vec<usize>)>,
    parts: usize,
    zone: Zone,
    digits: String,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// `"field":`, escaped.
    member: Vec<u8>,
    ty: PgType,
    required: bool,
    /// Where its key part goes among a row's parts.
    part: Option<usize>,
}

/// A row whose members are not all there yet.
#[derive(Debug, Default)]
pub struct OpenRow {
    payload: Vec<u8>,
    /// Encoded key parts; empty where not yet known.
    parts: Vec<Vec<u8>>,
}

/// A row ready to be written.
#[derive(Debug)]
pub struct TextRow {
    /// `None` for a table without primary key.
    pub key: Option<ItemKey>,
    pub payload: Bytes,
    pub entries: Vec<IndexEntry>,
}

impl TextRows {
    pub fn new(target: &Target) -> Result<Self> {
        let table = target.table();
        let keyed: Vec<_> = table
            .key_columns()
            .map(|c| c.id)
            .chain(table.uniques.iter().flat_map(|u| u.columns.iter().copied()))
            .chain(table.indexes.iter().flat_map(|i| i.columns.iter().copied()))
            .chain(table.foreign_keys.iter().flat_map(|f| f.entry.iter().copied()))
            .collect();
        let mut places = Vec::new();
        let mut columns = Vec::with_capacity(target.layout.columns.len());
        let key_positions = target.layout.key_positions();
        for (position, column) in target.layout.columns.iter().enumerate() {
            let part = keyed.contains(&column.id).then(|| {
                places.push(column.id);
                places.len() - 1
            });
            let mut member = serde_json::to_vec(&column.field).map_err(|e| SqlError::internal(e.to_string()))?;
            member.push(b':');
            // What is computed is checked once it is.
            let required = (column.not_null || key_positions.contains(&position)) && column.generated.is_none();
            columns.push(Column { name: column.name.clone(), member, ty: column.ty, required, part });
        }
        let place = |ids: &[crate::history::ColumnId]| -> Vec<usize> {
            ids.iter().filter_map(|id| places.iter().position(|p| p == id)).collect()
        };
        let key = place(&table.key_columns().map(|c| c.id).collect::<Vec<_>>());
        let mut indexes: Vec<_> = table.uniques.iter().map(|u| (u.id, true, place(&u.columns))).collect();
        indexes.extend(table.indexes.iter().map(|i| (i.id, false, place(&i.columns))));
        let foreign = table.foreign_keys.iter().map(|f| (f.id, place(&f.entry))).collect();
        Ok(Self { columns, key, indexes, foreign, parts: places.len(), zone: target.zone, digits: String::new() })
    }

    pub fn open(&self) -> OpenRow {
        OpenRow { payload: Vec::with_capacity(192), parts: vec![Vec::new(); self.parts] }
    }

    /// Adds a column's value; 23502 (without a detail) for NULL where there may be none.
    pub fn add(&mut self, row: &mut OpenRow, position: usize, field: Option<&str>) -> Result<()> {
        let Self { columns, zone, digits, .. } = self;
        let column = columns.get(position).ok_or_else(|| SqlError::internal("a field beyond the table's columns"))?;
        begin(row, column);
        let part = column.part.and_then(|part| row.parts.get_mut(part));
        match field {
            None if column.required => Err(null_refused(&column.name)),
            None => {
                row.payload.extend_from_slice(b"null");
                if let Some(part) = part {
                    encode_part(&KeyPart::Null, part);
                }
                Ok(())
            }
            Some(text) => write_field(column.ty, text, *zone, digits, &mut row.payload, part),
        }
    }

    /// Adds a column's value from an array of the column's type.
    pub fn add_value(&self, row: &mut OpenRow, position: usize, values: &ArrayRef, at: usize) -> Result<()> {
        let column = self.columns.get(position).ok_or_else(|| SqlError::internal("a field beyond the table's columns"))?;
        begin(row, column);
        if column.required && values.is_null(at) {
            return Err(null_refused(&column.name));
        }
        row.payload.extend_from_slice(value_json(values, at, column.ty)?.as_bytes());
        if let Some(part) = column.part.and_then(|part| row.parts.get_mut(part)) {
            encode_part(&key_part(values, at, column.ty)?, part);
        }
        Ok(())
    }

    pub fn close(&self, mut row: OpenRow) -> Result<TextRow> {
        if row.payload.is_empty() {
            row.payload.push(b'{');
        }
        row.payload.push(b'}');
        let joined = |places: &[usize]| -> ItemKey {
            let parts: Vec<&[u8]> = places.iter().filter_map(|p| row.parts.get(*p)).map(Vec::as_slice).collect();
            ItemKey::from_bytes(parts.concat())
        };
        let null = |places: &[usize]| places.iter().any(|p| row.parts.get(*p).is_some_and(|part| part.first() == Some(&0x02)));
        let entries = self.indexes.iter().map(|(index, unique, places)| IndexEntry {
            index: *index,
            key: joined(places),
            unique: *unique && !null(places),
        });
        let foreign = self.foreign.iter().filter(|(_, places)| !null(places));
        let foreign = foreign.map(|(index, places)| IndexEntry { index: *index, key: joined(places), unique: false });
        let entries: Vec<IndexEntry> = entries.chain(foreign).collect();
        let key = (!self.key.is_empty()).then(|| joined(&self.key));
        if let Some(long) =
            entries.iter().map(|e| &e.key).chain(&key).find(|k| k.as_bytes().len() > crate::plan::rows::LONGEST_KEY)
        {
            let message = format!("index row size {} exceeds maximum {}", long.as_bytes().len(), crate::plan::rows::LONGEST_KEY);
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok(TextRow { key, payload: Bytes::from(row.payload), entries })
    }
}

fn null_refused(column: &str) -> SqlError {
    SqlError::new(SqlState::NOT_NULL_VIOLATION, format!("null value in column \"{column}\" violates not-null constraint"))
        .column(column)
}

fn begin(row: &mut OpenRow, column: &Column) {
    row.payload.push(if row.payload.is_empty() { b'{' } else { b',' });
    row.payload.extend_from_slice(&column.member);
}

/// Appends the value as a payload has it, and as a key has it where one is asked for.
fn write_field(
    ty: PgType,
    text: &str,
    zone: Zone,
    digits: &mut String,
    out: &mut Vec<u8>,
    part: Option<&mut Vec<u8>>,
) -> Result<()> {
    if ty.array {
        return write_other(ty, text, zone, out, part);
    }
    match ty.name {
        TypeName::Int2 | TypeName::Int4 | TypeName::Int8 => {
            let n = match ty.name {
                TypeName::Int2 => i64::from(number::parse_int2(text)?),
                TypeName::Int4 => i64::from(number::parse_int4(text)?),
                _ => number::parse_int8(text)?,
            };
            let mut buffer = [0; lexical_core::BUFFER_SIZE];
            out.extend_from_slice(lexical_core::write(n, &mut buffer));
            put(part, KeyPart::Int(n));
        }
        TypeName::Numeric => {
            let Some((precision, scale)) = ty.numeric_precision() else { return write_other(ty, text, zone, out, part) };
            let mantissa = number::parse_numeric(text, (precision, scale))?;
            digits.clear();
            number::write_numeric(digits, mantissa, scale);
            out.extend_from_slice(digits.as_bytes());
            put(part, KeyPart::Decimal(mantissa));
        }
        TypeName::Float8 => {
            let x = number::parse_float8(text)?;
            if !x.is_finite() {
                return write_other(ty, text, zone, out, part);
            }
            serde_json::to_writer(&mut *out, &x).map_err(|e| SqlError::internal(e.to_string()))?;
            put(part, KeyPart::Float(x));
        }
        TypeName::Bool => {
            let b = plain::parse_bool(text)?;
            out.extend_from_slice(if b { b"true" } else { b"false" });
            put(part, KeyPart::Bool(b));
        }
        TypeName::Text | TypeName::Varchar | TypeName::Bpchar => {
            let fitted = match ty.max_chars() {
                None => Cow::Borrowed(text),
                Some(_) => plain::fit_text(ty, text, Fit::Assign)?,
            };
            serde_json::to_writer(&mut *out, fitted.as_ref()).map_err(|e| SqlError::internal(e.to_string()))?;
            put(part, KeyPart::Text(if ty.name == TypeName::Bpchar { fitted.trim_end_matches(' ') } else { &fitted }));
        }
        TypeName::Date => {
            let days = datetime::parse_date(text)?;
            quoted(out, |out| calendar::write_date(out, days));
            put(part, KeyPart::Int(days.into()));
        }
        TypeName::Timestamp => {
            let micros = rounded(ty, datetime::parse_timestamp(text)?);
            quoted(out, |out| calendar::write_timestamp(out, micros, false));
            put(part, KeyPart::Int(micros));
        }
        TypeName::Timestamptz => {
            let micros = rounded(ty, datetime::parse_timestamptz(text, zone)?);
            quoted(out, |out| calendar::write_timestamp(out, micros, true));
            put(part, KeyPart::Int(micros));
        }
        TypeName::Json => {
            json::validate(text)?;
            out.extend_from_slice(text.as_bytes());
        }
        TypeName::Jsonb => {
            let normal = json::normalise(text)?;
            out.extend_from_slice(normal.as_bytes());
            put(part, KeyPart::Text(&normal));
        }
        TypeName::Float4
        | TypeName::Name
        | TypeName::Char
        | TypeName::Bytea
        | TypeName::Time
        | TypeName::Interval
        | TypeName::Uuid
        | TypeName::Written(_)
        | TypeName::Oid
        | TypeName::Xid
        | TypeName::Regclass
        | TypeName::Regtype
        | TypeName::Regproc
        | TypeName::Regprocedure
        | TypeName::Regoper
        | TypeName::Regoperator
        | TypeName::Regnamespace
        | TypeName::Regrole
        | TypeName::Int2vector
        | TypeName::Oidvector
        | TypeName::Aclitem
        | TypeName::NodeTree
        | TypeName::Enum(_)
        | TypeName::Composite(_)
        | TypeName::Record
        | TypeName::Void
        | TypeName::Unknown => return write_other(ty, text, zone, out, part),
    }
    Ok(())
}

fn put(part: Option<&mut Vec<u8>>, value: KeyPart<'_>) {
    if let Some(part) = part {
        encode_part(&value, part);
    }
}

/// By way of a scalar, for the types that are rare.
fn write_other(ty: PgType, text: &str, zone: Zone, out: &mut Vec<u8>, part: Option<&mut Vec<u8>>) -> Result<()> {
    let value = super::target::repeat(&read_literal(text, ty, zone)?, 1)?;
    out.extend_from_slice(value_json(&value, 0, ty)?.as_bytes());
    if let Some(part) = part {
        encode_part(&key_part(&value, 0, ty)?, part);
    }
    Ok(())
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

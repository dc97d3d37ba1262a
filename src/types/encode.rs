//! Rows for the wire: DataRow bodies in text and binary format, every type.
//!
//! Columns are looked at once per batch; a value then costs a match and a copy. Also the one place that
//! writes a value's text ([`Column::write_text`]).

use bytes::{BufMut, BytesMut};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
    Int32Array, Int64Array, IntervalMonthDayNanoArray, LargeBinaryArray, ListArray, RecordBatch, StringArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType,
};

use super::calendar::{
    POSTGRES_EPOCH_DAYS, POSTGRES_EPOCH_MICROS, is_infinite, write_date, write_time, write_timestamp, write_timestamptz,
};
use super::interval::write_interval;
use super::nested::{Bounds, Parts};
use super::number::{write_float4, write_float8, write_numeric};
use super::numeric::Numeric;
use super::plain::{parse_uuid, write_bytea};
use super::written::Written;
use super::zone::Zone;
use super::{PgType, TypeName, array, record};
use crate::error::{Result, SqlError, SqlState};

const BINARY: i16 = 1;

/// Encodes rows of one result. Keeps the last batch's columns, so rows of one batch should come together.
#[derive(Debug)]
pub struct RowEncoder {
    types: Vec<PgType>,
    formats: Vec<i16>,
    zone: Zone,
    seen: Vec<ArrayRef>,
    columns: Vec<Column>,
    scratch: String,
}

impl RowEncoder {
    /// `formats` as the protocol has them: none (text), one for all columns, or one each. `zone` is the
    /// session's, for timestamptz in text.
    pub fn new(types: &[PgType], formats: &[i16], zone: Zone) -> Self {
        let format = |i: usize| match formats {
            [] => 0,
            [all] => *all,
            each => each.get(i).copied().unwrap_or(0),
        };
        let formats = (0..types.len()).map(format).collect();
        Self { types: types.to_vec(), formats, zone, seen: Vec::new(), columns: Vec::new(), scratch: String::new() }
    }

    /// Appends the body of one DataRow: the number of fields, and each field's length and bytes.
    pub fn encode(&mut self, batch: &RecordBatch, row: usize, out: &mut BytesMut) -> Result<()> {
        self.look_at(batch)?;
        out.put_i16(self.columns.len() as i16);
        for (column, format) in self.columns.iter().zip(&self.formats) {
            if column.is_null(row) {
                out.put_i32(-1);
            } else {
                column.put_field(row, *format, &mut self.scratch, out)?;
            }
        }
        Ok(())
    }

    fn look_at(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns();
        let same = |(a, b): (&ArrayRef, &ArrayRef)| std::sync::Arc::ptr_eq(a, b);
        if self.seen.len() == columns.len() && !columns.is_empty() && self.seen.iter().zip(columns).all(same) {
            return Ok(());
        }
        if columns.len() != self.types.len() {
            return Err(SqlError::internal("a batch has other columns than its result"));
        }
        let typed = self.types.iter().zip(columns).map(|(ty, array)| Column::new(*ty, array, self.zone));
        self.columns = typed.collect::<Result<_>>()?;
        self.seen = columns.to_vec();
        Ok(())
    }
}

/// An Arrow array known to hold one PostgreSQL type.
#[derive(Debug)]
pub enum Column {
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    /// Object numbers: four bytes on the wire.
    Oid(Int64Array),
    /// Shown by the type's name.
    Regtype(Int64Array),
    /// Object numbers that come with the names they are shown by.
    Named(Int64Array, StringArray),
    /// Numbers with blanks between them; counted from 0.
    Vector(Box<Column>),
    Float4(Float32Array),
    Float8(Float64Array),
    /// Numerics that all show the same digits after the point.
    Decimal(Decimal128Array, i8),
    Numeric(LargeBinaryArray),
    Text(StringArray),
    Uuid(StringArray),
    Jsonb(StringArray),
    Written(StringArray, Written, Zone),
    Bytea(BinaryArray),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    Timestamptz(TimestampMicrosecondArray, Zone),
    Interval(IntervalMonthDayNanoArray),
    List {
        lists: ListArray,
        /// Of values that are not plain.
        bounds: Option<Vec<Option<Bounds>>>,
        items: Box<Column>,
        element: PgType,
    },
    /// A row, with the types of its fields.
    Record(StructArray, Vec<(PgType, Column)>),
    /// Of type void: an empty text.
    Void,
}

impl Column {
    /// An array of another Arrow type than the type's own is cast; numerics keep the scale they come with.
    pub fn new(ty: PgType, array: &ArrayRef, zone: Zone) -> Result<Self> {
        if ty.array {
            return Self::list(ty, array, zone);
        }
        if let Some(element) = ty.name.vector_of() {
            return Ok(Self::Vector(Box::new(Self::list(PgType::new(element).array_of(), array, zone)?)));
        }
        if let (true, Some(named)) = (ty.name.is_reg(), array.as_struct_opt()) {
            let (Some(oids), Some(names)) = (named.column(0).as_primitive_opt(), named.column(1).as_string_opt()) else {
                return Err(unfit(ty, array));
            };
            return Ok(Self::Named(oids.clone(), names.clone()));
        }
        if let (TypeName::Record | TypeName::Composite(_), Some(rows)) = (ty.name, array.as_struct_opt()) {
            let fields = rows.fields().iter().zip(rows.columns()).map(|(field, values)| {
                let ty = PgType::of_field(field);
                Ok((ty, Self::new(ty, values, zone)?))
            });
            return Ok(Self::Record(rows.clone(), fields.collect::<Result<_>>()?));
        }
        let cast_array;
        let array = match (ty.name, array.data_type()) {
            (TypeName::Numeric, DataType::Decimal128(..) | DataType::LargeBinary) => array,
            (_, have) if *have == ty.arrow() => array,
            _ => {
                cast_array = cast(array, &ty.arrow()).map_err(|_| unfit(ty, array))?;
                &cast_array
            }
        };
        Ok(match ty.name {
            TypeName::Bool => Self::Bool(array.as_boolean().clone()),
            TypeName::Int2 => Self::Int2(array.as_primitive::<Int16Type>().clone()),
            TypeName::Int4 => Self::Int4(array.as_primitive::<Int32Type>().clone()),
            TypeName::Int8 => Self::Int8(array.as_primitive::<Int64Type>().clone()),
            TypeName::Oid
            | TypeName::Xid
            | TypeName::Regclass
            | TypeName::Regproc
            | TypeName::Regprocedure
            | TypeName::Regoper
            | TypeName::Regoperator
            | TypeName::Regnamespace
            | TypeName::Regrole => Self::Oid(array.as_primitive::<Int64Type>().clone()),
            TypeName::Regtype => Self::Regtype(array.as_primitive::<Int64Type>().clone()),
            TypeName::Float4 => Self::Float4(array.as_primitive::<Float32Type>().clone()),
            TypeName::Float8 => Self::Float8(array.as_primitive::<Float64Type>().clone()),
            TypeName::Numeric => {
                if let Some(values) = array.as_binary_opt::<i64>() {
                    return Ok(Self::Numeric(values.clone()));
                }
                let values = array.as_primitive::<Decimal128Type>().clone();
                let scale = values.scale();
                Self::Decimal(values, scale)
            }
            TypeName::Text
            | TypeName::Varchar
            | TypeName::Bpchar
            | TypeName::Name
            | TypeName::Char
            | TypeName::Json
            | TypeName::Aclitem
            | TypeName::NodeTree
            | TypeName::Enum(_)
            | TypeName::Unknown => Self::Text(array.as_string::<i32>().clone()),
            TypeName::Written(kind) => Self::Written(array.as_string::<i32>().clone(), kind, zone),
            TypeName::Uuid => Self::Uuid(array.as_string::<i32>().clone()),
            TypeName::Jsonb => Self::Jsonb(array.as_string::<i32>().clone()),
            TypeName::Bytea => Self::Bytea(array.as_binary::<i32>().clone()),
            TypeName::Date => Self::Date(array.as_primitive::<Date32Type>().clone()),
            TypeName::Time => Self::Time(array.as_primitive::<Time64MicrosecondType>().clone()),
            TypeName::Timestamp => Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>().clone()),
            TypeName::Timestamptz => Self::Timestamptz(array.as_primitive::<TimestampMicrosecondType>().clone(), zone),
            TypeName::Interval => Self::Interval(array.as_primitive::<IntervalMonthDayNanoType>().clone()),
            TypeName::Record | TypeName::Composite(_) => return Err(unfit(ty, array)),
            TypeName::Void | TypeName::Int2vector | TypeName::Oidvector => Self::Void,
        })
    }

    fn list(ty: PgType, array: &ArrayRef, zone: Zone) -> Result<Self> {
        let Some(Parts { lists, bounds }) = Parts::of(array) else { return Err(unfit(ty, array)) };
        let items = Box::new(Self::new(ty.element(), lists.values(), zone)?);
        Ok(Self::List { lists, bounds, items, element: ty.element() })
    }

    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Bool(a) => a.is_null(row),
            Self::Int2(a) => a.is_null(row),
            Self::Int4(a) => a.is_null(row),
            Self::Int8(a) | Self::Oid(a) | Self::Regtype(a) | Self::Named(a, _) => a.is_null(row),
            Self::Vector(list) => list.is_null(row),
            Self::Float4(a) => a.is_null(row),
            Self::Float8(a) => a.is_null(row),
            Self::Decimal(a, _) => a.is_null(row),
            Self::Numeric(a) => a.is_null(row),
            Self::Text(a) | Self::Uuid(a) | Self::Jsonb(a) | Self::Written(a, ..) => a.is_null(row),
            Self::Bytea(a) => a.is_null(row),
            Self::Date(a) => a.is_null(row),
            Self::Time(a) => a.is_null(row),
            Self::Timestamp(a) | Self::Timestamptz(a, _) => a.is_null(row),
            Self::Interval(a) => a.is_null(row),
            Self::List { lists, .. } => lists.is_null(row),
            Self::Record(rows, _) => rows.is_null(row),
            Self::Void => false,
        }
    }

    /// Appends the text of a value that is not NULL.
    pub fn write_text(&self, row: usize, out: &mut String) {
        match self {
            Self::Bool(a) => out.push(if a.value(row) { 't' } else { 'f' }),
            Self::Int2(a) => push_integer(out, i64::from(a.value(row))),
            Self::Int4(a) => push_integer(out, i64::from(a.value(row))),
            Self::Int8(a) | Self::Oid(a) => push_integer(out, a.value(row)),
            Self::Regtype(a) => push_regtype(out, a.value(row)),
            Self::Named(_, names) => out.push_str(names.value(row)),
            Self::Vector(list) => write_vector(out, list, row),
            Self::Float4(a) => write_float4(out, a.value(row)),
            Self::Float8(a) => write_float8(out, a.value(row)),
            Self::Decimal(a, scale) => write_numeric(out, a.value(row), *scale),
            Self::Numeric(a) => Numeric::decode(a.value(row)).write(out),
            Self::Text(a) | Self::Uuid(a) | Self::Jsonb(a) => out.push_str(a.value(row)),
            Self::Written(a, kind, zone) => kind.show(a.value(row), *zone, out),
            Self::Bytea(a) => write_bytea(out, a.value(row)),
            Self::Date(a) => write_date(out, a.value(row)),
            Self::Time(a) => write_time(out, a.value(row)),
            Self::Timestamp(a) => write_timestamp(out, a.value(row)),
            Self::Timestamptz(a, zone) => write_timestamptz(out, a.value(row), *zone),
            Self::Interval(a) => write_interval(out, a.value(row)),
            Self::List { lists, bounds, items, element } => {
                write_list(out, lists, bounds_of(lists, bounds.as_deref(), row, 1), items, element.delimiter(), row);
            }
            Self::Record(_, fields) => write_record(out, fields, row),
            Self::Void => {}
        }
    }

    /// One field of a DataRow: its length and its bytes.
    fn put_field(&self, row: usize, format: i16, scratch: &mut String, out: &mut BytesMut) -> Result<()> {
        match self {
            Self::Text(a) => put_bytes(out, a.value(row).as_bytes()),
            Self::Uuid(a) | Self::Jsonb(a) if format != BINARY => put_bytes(out, a.value(row).as_bytes()),
            _ if format != BINARY => {
                scratch.clear();
                self.write_text(row, scratch);
                put_bytes(out, scratch.as_bytes())
            }
            _ => {
                let at = out.len();
                out.put_i32(0);
                self.put_binary(row, out)?;
                let len = length(out.len() - at - 4)?;
                out[at..at + 4].copy_from_slice(&len.to_be_bytes());
                Ok(())
            }
        }
    }

    /// Appends the binary form of a value that is not NULL.
    fn put_binary(&self, row: usize, out: &mut BytesMut) -> Result<()> {
        match self {
            Self::Bool(a) => out.put_u8(u8::from(a.value(row))),
            Self::Int2(a) => out.put_i16(a.value(row)),
            Self::Int4(a) => out.put_i32(a.value(row)),
            Self::Int8(a) => out.put_i64(a.value(row)),
            Self::Oid(a) | Self::Regtype(a) | Self::Named(a, _) => out.put_u32(a.value(row) as u32),
            Self::Float4(a) => out.put_f32(a.value(row)),
            Self::Float8(a) => out.put_f64(a.value(row)),
            Self::Decimal(a, scale) => {
                let mut text = String::with_capacity(48);
                write_numeric(&mut text, a.value(row), *scale);
                put_numeric(out, &text);
            }
            Self::Numeric(a) => put_any_numeric(out, &Numeric::decode(a.value(row))),
            Self::Text(a) => out.put_slice(a.value(row).as_bytes()),
            Self::Uuid(a) => out.put_slice(&parse_uuid(a.value(row))?),
            Self::Written(a, kind, _) => kind.put_binary(a.value(row), out)?,
            Self::Jsonb(a) => {
                out.put_u8(1);
                out.put_slice(a.value(row).as_bytes());
            }
            Self::Bytea(a) => out.put_slice(a.value(row)),
            Self::Date(a) => out.put_i32(binary_date(a.value(row))),
            Self::Time(a) => out.put_i64(a.value(row)),
            Self::Timestamp(a) | Self::Timestamptz(a, _) => out.put_i64(binary_timestamp(a.value(row))),
            Self::Interval(a) => {
                let interval = a.value(row);
                out.put_i64(interval.nanoseconds / 1000);
                out.put_i32(interval.days);
                out.put_i32(interval.months);
            }
            Self::List { lists, bounds, items, element } => {
                put_list(out, lists, &bounds_of(lists, bounds.as_deref(), row, 1), items, *element, row)?;
            }
            Self::Record(_, fields) => put_record(out, fields, row)?,
            Self::Vector(list) => {
                if let Self::List { lists, items, element, .. } = list.as_ref() {
                    put_list(out, lists, &bounds_of(lists, None, row, 0), items, *element, row)?;
                }
            }
            Self::Void => {}
        }
        Ok(())
    }
}

fn unfit(ty: PgType, array: &ArrayRef) -> SqlError {
    SqlError::internal(format!("a column of Arrow type {} cannot be sent as {}", array.data_type(), ty.sql_name()))
}

fn length(len: usize) -> Result<i32> {
    let too_large = || SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a value is too large to be sent");
    i32::try_from(len).map_err(|_| too_large())
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) -> Result<()> {
    out.put_i32(length(bytes.len())?);
    out.put_slice(bytes);
    Ok(())
}

fn push_integer(out: &mut String, n: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        out.push('-');
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

fn push_regtype(out: &mut String, oid: i64) {
    match u32::try_from(oid).ok().and_then(PgType::from_oid) {
        Some(ty) => out.push_str(&ty.sql_name()),
        None if oid == 0 => out.push('-'),
        None => push_integer(out, oid),
    }
}

/// The bounds of one value; a plain one begins at `first`.
fn bounds_of(lists: &ListArray, bounds: Option<&[Option<Bounds>]>, row: usize, first: i32) -> Bounds {
    let own = bounds.and_then(|all| all.get(row)?.clone());
    let length = lists.value_length(row);
    own.unwrap_or_else(|| if length == 0 { Vec::new() } else { vec![(first, length)] })
}

fn write_list(out: &mut String, lists: &ListArray, bounds: Bounds, items: &Column, delimiter: char, row: usize) {
    let offsets = lists.value_offsets();
    let mut scratch = String::new();
    let start = offsets[row] as usize;
    array::write_array(out, &bounds, delimiter, &mut |at, out| {
        if items.is_null(start + at) {
            out.push_str("NULL");
        } else {
            scratch.clear();
            items.write_text(start + at, &mut scratch);
            array::write_element(out, &scratch, delimiter);
        }
    });
}

fn write_record(out: &mut String, fields: &[(PgType, Column)], row: usize) {
    let mut scratch = String::new();
    out.push('(');
    for (i, (_, field)) in fields.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if !field.is_null(row) {
            scratch.clear();
            field.write_text(row, &mut scratch);
            record::write_field(out, &scratch);
        }
    }
    out.push(')');
}

/// The number of fields, then of each the OID of its type, its length and its bytes.
fn put_record(out: &mut BytesMut, fields: &[(PgType, Column)], row: usize) -> Result<()> {
    out.put_i32(length(fields.len())?);
    let mut scratch = String::new();
    for (ty, field) in fields {
        out.put_u32(ty.oid());
        if field.is_null(row) {
            out.put_i32(-1);
        } else {
            field.put_field(row, BINARY, &mut scratch, out)?;
        }
    }
    Ok(())
}

fn write_vector(out: &mut String, list: &Column, row: usize) {
    let Column::List { lists, items, .. } = list else { return };
    let offsets = lists.value_offsets();
    for (i, item) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
        if i > 0 {
            out.push(' ');
        }
        items.write_text(item, out);
    }
}

/// Dimensions, whether there are NULLs, the element's OID, the bounds, then length and bytes of each element.
fn put_list(out: &mut BytesMut, lists: &ListArray, bounds: &Bounds, items: &Column, element: PgType, row: usize) -> Result<()> {
    let offsets = lists.value_offsets();
    let range = offsets[row] as usize..offsets[row + 1] as usize;
    let has_null = range.clone().any(|item| items.is_null(item));
    out.put_i32(length(bounds.len())?);
    out.put_i32(i32::from(has_null));
    out.put_u32(element.oid());
    for (first, length) in bounds {
        out.put_i32(*length);
        out.put_i32(*first);
    }
    let mut scratch = String::new();
    for item in range {
        if items.is_null(item) {
            out.put_i32(-1);
        } else {
            items.put_field(item, BINARY, &mut scratch, out)?;
        }
    }
    Ok(())
}

/// A numeric of any kind.
pub(super) fn put_any_numeric(out: &mut BytesMut, value: &Numeric) {
    match value {
        Numeric::NaN => put_special(out, 0xc000),
        Numeric::Infinity => put_special(out, 0xd000),
        Numeric::NegativeInfinity => put_special(out, 0xf000),
        finite => put_numeric(out, &finite.to_string()),
    }
}

/// Days as they go over the wire: from PostgreSQL's epoch, infinities as they are.
pub(super) fn binary_date(days: i32) -> i32 {
    if matches!(days, i32::MAX | i32::MIN) { days } else { days - POSTGRES_EPOCH_DAYS }
}

/// Microseconds as they go over the wire.
pub(super) fn binary_timestamp(micros: i64) -> i64 {
    if is_infinite(micros) { micros } else { micros.saturating_sub(POSTGRES_EPOCH_MICROS) }
}

/// NaN and the infinities: no digits, and a sign of their own.
fn put_special(out: &mut BytesMut, sign: u16) {
    out.put_i16(0);
    out.put_i16(0);
    out.put_u16(sign);
    out.put_i16(0);
}

/// Groups of four digits, where the first stands, the sign and the digits shown after the point.
fn put_numeric(out: &mut BytesMut, text: &str) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut padded = String::with_capacity(digits.len() + 8);
    padded.extend(std::iter::repeat_n('0', (4 - whole.len() % 4) % 4));
    padded.push_str(whole);
    let whole_groups = padded.len() / 4;
    padded.push_str(fraction);
    padded.extend(std::iter::repeat_n('0', (4 - fraction.len() % 4) % 4));
    let group = |b: &[u8]| b.iter().fold(0i16, |n, b| n * 10 + i16::from(b - b'0'));
    let groups: Vec<i16> = padded.as_bytes().chunks(4).map(group).collect();
    let leading = groups.iter().take_while(|g| **g == 0).count();
    let trailing = groups[leading..].iter().rev().take_while(|g| **g == 0).count();
    let kept = &groups[leading..groups.len() - trailing];
    let weight = if kept.is_empty() { 0 } else { whole_groups as i16 - 1 - leading as i16 };
    out.put_i16(kept.len() as i16);
    out.put_i16(weight);
    out.put_u16(if text.starts_with('-') { 0x4000 } else { 0 });
    out.put_i16(fraction.len() as i16);
    kept.iter().for_each(|g| out.put_i16(*g));
}

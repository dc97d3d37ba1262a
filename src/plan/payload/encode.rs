//! One row of Arrow columns to payload bytes.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use serde::de::IgnoredAny;

use super::{PayloadError, calendar};
use crate::types::nested::View;
use crate::types::numeric::Numeric;
use crate::types::{PgType, TypeName};

/// Writes rows as payloads: one member per column, in the order given, NULL as `null`.
#[derive(Clone, Debug)]
pub struct PayloadEncoder {
    columns: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    /// `"name":`, escaped.
    prefix: Vec<u8>,
    ty: PgType,
}

impl PayloadEncoder {
    /// `columns`: the member's name and type of each array that rows will come with.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, PgType)>) -> Self {
        let columns = columns.into_iter().map(|(field, ty)| {
            let mut prefix = Vec::new();
            write_string(&mut prefix, field);
            prefix.push(b':');
            Member { prefix, ty }
        });
        Self { columns: columns.collect() }
    }

    /// Appends row `row` of `arrays`, one per column with the Arrow type of its column's type.
    pub fn encode(&self, arrays: &[ArrayRef], row: usize, out: &mut Vec<u8>) -> Result<(), PayloadError> {
        self.encode_where(arrays, row, out, |_| true)
    }

    /// The same without the members of columns, by position, that are not to be kept.
    pub fn encode_where(
        &self,
        arrays: &[ArrayRef],
        row: usize,
        out: &mut Vec<u8>,
        keeps: impl Fn(usize) -> bool,
    ) -> Result<(), PayloadError> {
        out.push(b'{');
        self.write_json_nulls(arrays, row, out);
        let mut first = true;
        for (_, (column, array)) in self.columns.iter().zip(arrays).enumerate().filter(|(index, _)| keeps(*index)) {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(&column.prefix);
            write_value(out, array, row, column.ty)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// The member without a name, where a json or jsonb value is JSON's null, which is not NULL.
    fn write_json_nulls(&self, arrays: &[ArrayRef], row: usize, out: &mut Vec<u8>) {
        let mut any = false;
        for (column, _) in self.columns.iter().zip(arrays).filter(|(column, array)| is_json_null(array, row, column.ty)) {
            out.extend_from_slice(if any { b"," } else { b"\"\":[" });
            out.extend_from_slice(column.prefix.strip_suffix(b":").unwrap_or(&column.prefix));
            any = true;
        }
        if any {
            out.extend_from_slice(b"],");
        }
    }
}

/// Whether a value is JSON's null. In a payload `null` is NULL, so such a value is named once more.
fn is_json_null(array: &dyn Array, row: usize, ty: PgType) -> bool {
    matches!(ty.name, TypeName::Json | TypeName::Jsonb)
        && !ty.array
        && array.as_string_opt::<i32>().is_some_and(|texts| texts.is_valid(row) && texts.value(row).trim() == "null")
}

/// One value as JSON shows it: as the payload holds it, but that enumerations have their labels of now.
pub fn shown_json(array: &ArrayRef, row: usize, ty: PgType) -> Result<String, PayloadError> {
    value_json(array, row, if ty.name.enumeration().is_some() { PgType { name: TypeName::Text, ..ty } } else { ty })
}

/// One value as the payload holds it: what `PayloadColumn::missing` takes, and so not JSON's null.
pub fn value_json(array: &ArrayRef, row: usize, ty: PgType) -> Result<String, PayloadError> {
    if is_json_null(array, row, ty) {
        return Err(PayloadError::Unstorable(format!("{} with null as its default", ty.sql_name())));
    }
    let mut out = Vec::new();
    write_value(&mut out, array, row, ty)?;
    String::from_utf8(out).map_err(|e| PayloadError::Unreadable(e.to_string()))
}

fn write_value(out: &mut Vec<u8>, array: &dyn Array, row: usize, ty: PgType) -> Result<(), PayloadError> {
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Boolean => out.extend_from_slice(if array.as_boolean().value(row) { b"true" } else { b"false" }),
        DataType::Int16 => write_integer(out, i64::from(array.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => write_integer(out, i64::from(array.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => write_integer(out, array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => {
            let x = array.as_primitive::<Float32Type>().value(row);
            write_float(out, x.is_finite(), x.is_nan(), x.is_sign_negative(), |out| serde_json::to_writer(out, &x));
        }
        DataType::Float64 => {
            let x = array.as_primitive::<Float64Type>().value(row);
            write_float(out, x.is_finite(), x.is_nan(), x.is_sign_negative(), |out| serde_json::to_writer(out, &x));
        }
        DataType::Decimal128(_, scale) => {
            write_decimal(out, array.as_primitive::<Decimal128Type>().value(row), *scale);
        }
        DataType::LargeBinary => write_numeric(out, &Numeric::decode(array.as_binary::<i64>().value(row))),
        DataType::Utf8 => write_text(out, array.as_string::<i32>().value(row), ty)?,
        DataType::Binary => write_bytes(out, array.as_binary::<i32>().value(row)),
        DataType::Date32 => quoted(out, |out| calendar::write_date(out, array.as_primitive::<Date32Type>().value(row))),
        DataType::Time64(TimeUnit::Microsecond) => {
            quoted(out, |out| calendar::write_time(out, array.as_primitive::<Time64MicrosecondType>().value(row)));
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            quoted(out, |out| calendar::write_timestamp(out, micros, zone.is_some()));
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let x = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            quoted(out, |out| calendar::write_interval(out, x.months, x.days, x.nanoseconds));
        }
        _ => match View::of(array) {
            Some(view) => write_array(out, &view, row, ty)?,
            None => return Err(PayloadError::Unstorable(ty.sql_name())),
        },
    }
    Ok(())
}

/// A JSON array of the items; of a value that is not plain an object of its bounds, the first subscript and the length
/// of each dimension, and its items.
fn write_array(out: &mut Vec<u8>, view: &View<'_>, row: usize, ty: PgType) -> Result<(), PayloadError> {
    let bounds = view.bounds(row);
    if let Some(bounds) = &bounds {
        let shown: Vec<String> = bounds.iter().map(|(first, length)| format!("[{first},{length}]")).collect();
        out.extend_from_slice(format!("{{\"bounds\":[{}],\"items\":", shown.join(",")).as_bytes());
    }
    out.push(b'[');
    for (index, item) in view.range(row).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if is_json_null(view.items, item, ty.element()) {
            return Err(PayloadError::Unstorable(format!("{} with null among its elements", ty.sql_name())));
        }
        write_value(out, view.items, item, ty.element())?;
    }
    out.push(b']');
    if bounds.is_some() {
        out.push(b'}');
    }
    Ok(())
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_integer(out: &mut Vec<u8>, n: i64) {
    let mut buffer = [0; lexical_core::BUFFER_SIZE];
    out.extend_from_slice(lexical_core::write(n, &mut buffer));
}

fn write_float(
    out: &mut Vec<u8>,
    finite: bool,
    nan: bool,
    negative: bool,
    write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
) {
    if finite {
        // Writing into memory cannot fail.
        let _ = write(out);
    } else if nan {
        out.extend_from_slice(b"\"NaN\"");
    } else {
        out.extend_from_slice(if negative { b"\"-Infinity\"" } else { b"\"Infinity\"" });
    }
}

/// The digits as they are shown; what is no number as a string.
fn write_numeric(out: &mut Vec<u8>, value: &Numeric) {
    let text = value.to_string();
    match value {
        Numeric::Finite(_) => out.extend_from_slice(text.as_bytes()),
        _ => quoted(out, |out| out.extend_from_slice(text.as_bytes())),
    }
}

/// Digits at the scale.
fn write_decimal(out: &mut Vec<u8>, mantissa: i128, scale: i8) {
    let scale = usize::try_from(scale).unwrap_or(0);
    let mut digits = mantissa.unsigned_abs().to_string();
    if digits.len() <= scale {
        digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
    }
    if mantissa < 0 {
        out.push(b'-');
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    out.extend_from_slice(whole.as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

fn write_text(out: &mut Vec<u8>, text: &str, ty: PgType) -> Result<(), PayloadError> {
    if let TypeName::Enum(user) = ty.name {
        user.check(text).map_err(|_| PayloadError::NotALabel(format!("{}: \"{text}\"", user.shown_name())))?;
        write_string(out, user.stored_of(text));
        return Ok(());
    }
    if !matches!(ty.name, TypeName::Json | TypeName::Jsonb) {
        write_string(out, text);
        return Ok(());
    }
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| PayloadError::NotJson)?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\"\\\\x");
    for b in bytes {
        out.push(HEX[usize::from(b >> 4)]);
        out.push(HEX[usize::from(b & 15)]);
    }
    out.push(b'"');
}

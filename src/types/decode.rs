//! Bound parameters: bytes in text or binary format to the value that a plan takes.
//!
//! Never trusts a length or a count that the client sent.

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;

use super::calendar::{FIRST_MICROS, MICROS_PER_DAY, POSTGRES_EPOCH_DAYS, POSTGRES_EPOCH_MICROS, is_infinite};
use super::complaint::{bad_binary, bad_message_length};
use super::nested::{Bounds, MOST_DIMENSIONS, items_within, too_many_dimensions};
use super::numeric::{MAX_SCALE, Mantissa, Numeric, column};
use super::text::{array_of, null_of, row_of, scalar_from_text, vector_of};
use super::user::UserType;
use super::zone::Zone;
use super::{PgType, TypeName, datetime, json, number, plain};
use crate::error::{Result, SqlError, SqlState};

/// The value of a parameter, as the type's Arrow type has it; `None` is NULL.
///
/// Errors: 22021 for text that is not UTF-8 or has a zero byte, 22P02 and the type's own codes for text that
/// does not parse, 22P03 and 08P01 for malformed binary values, 22023 for a format other than 0 and 1.
/// Parameters carry no modifier in PostgreSQL: give `ty` without one unless the value is stored as such.
pub fn decode_parameter(ty: PgType, format: i16, value: Option<&[u8]>, zone: Zone) -> Result<ScalarValue> {
    let Some(value) = value else { return null_of(ty) };
    match format {
        // A name that only a catalogue knows: left for whoever has one.
        0 if ty.name.is_reg() && !ty.array && !value.iter().all(u8::is_ascii_digit) => {
            Ok(ScalarValue::Utf8(Some(utf8(value)?.to_owned())))
        }
        0 => scalar_from_text(ty, utf8(value)?, zone),
        1 => binary(ty, value),
        _ => Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {format}"))),
    }
}

/// Text as PostgreSQL accepts it: UTF-8 without zero bytes, else 22021.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    let bad = |at: usize| {
        let shown: Vec<String> = bytes[at..].iter().take(4).map(|b| format!("0x{b:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
        SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, message)
    };
    let text = std::str::from_utf8(bytes).map_err(|e| bad(e.valid_up_to()))?;
    match bytes.iter().position(|b| *b == 0) {
        Some(_) => Err(SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\": 0x00")),
        None => Ok(text),
    }
}

/// A value's bytes, taken from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n).ok_or_else(bad_message_length)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| bad_message_length())
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(bad_binary("incorrect binary data format")) }
    }
}

/// The value of a parameter in binary format.
pub fn binary(ty: PgType, value: &[u8]) -> Result<ScalarValue> {
    let mut input = Input(value);
    let value = if ty.array { list(ty, &mut input)? } else { scalar(ty, &mut input)? };
    input.finish()?;
    Ok(value)
}

fn scalar(ty: PgType, input: &mut Input<'_>) -> Result<ScalarValue> {
    Ok(match ty.name {
        TypeName::Bool => ScalarValue::Boolean(Some(input.array::<1>()? != [0])),
        TypeName::Int2 => ScalarValue::Int16(Some(input.i16()?)),
        TypeName::Int4 => ScalarValue::Int32(Some(input.i32()?)),
        TypeName::Int8 => ScalarValue::Int64(Some(input.i64()?)),
        TypeName::Oid
        | TypeName::Xid
        | TypeName::Regclass
        | TypeName::Regtype
        | TypeName::Regproc
        | TypeName::Regprocedure
        | TypeName::Regoper
        | TypeName::Regoperator
        | TypeName::Regnamespace
        | TypeName::Regrole => ScalarValue::Int64(Some(i64::from(u32::from_be_bytes(input.array()?)))),
        TypeName::Float4 => ScalarValue::Float32(Some(f32::from_be_bytes(input.array()?))),
        TypeName::Float8 => ScalarValue::Float64(Some(f64::from_be_bytes(input.array()?))),
        TypeName::Numeric => numeric(ty, input)?,
        TypeName::Text
        | TypeName::Varchar
        | TypeName::Bpchar
        | TypeName::Name
        | TypeName::Char
        | TypeName::Aclitem
        | TypeName::NodeTree
        | TypeName::Enum(_)
        | TypeName::Unknown => scalar_from_text(ty, utf8(input.rest())?, Zone::UTC)?,
        TypeName::Uuid => {
            let mut text = String::with_capacity(36);
            plain::write_uuid(&mut text, &input.array()?);
            ScalarValue::Utf8(Some(text))
        }
        TypeName::Written(kind) => ScalarValue::Utf8(Some(kind.from_binary(input.rest(), ty.modifier)?)),
        TypeName::Json => scalar_from_text(ty, utf8(input.rest())?, Zone::UTC)?,
        TypeName::Jsonb => jsonb(input)?,
        TypeName::Bytea => ScalarValue::Binary(Some(input.rest().to_vec())),
        TypeName::Date => date(input.i32()?)?,
        TypeName::Time => time(input.i64()?)?,
        TypeName::Timestamp => ScalarValue::TimestampMicrosecond(Some(timestamp(input.i64()?)?), None),
        TypeName::Timestamptz => {
            let micros = timestamp(input.i64()?)?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        }
        TypeName::Interval => interval(input)?,
        TypeName::Int2vector | TypeName::Oidvector => {
            let element = PgType::new(ty.name.vector_of().unwrap_or(TypeName::Oid));
            vector_of(element, elements(element.array_of(), input)?.0)?
        }
        TypeName::Composite(user) => composite(user, input)?,
        TypeName::Record => {
            let message = "input of anonymous composite types is not implemented";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        TypeName::Void => ScalarValue::Null,
    })
}

fn jsonb(input: &mut Input<'_>) -> Result<ScalarValue> {
    let [version] = input.array::<1>()?;
    if version != 1 {
        return Err(SqlError::internal(format!("unsupported jsonb version number {version}")));
    }
    Ok(ScalarValue::Utf8(Some(json::normalise(utf8(input.rest())?)?)))
}

fn date(days: i32) -> Result<ScalarValue> {
    if matches!(days, i32::MIN | i32::MAX) {
        return Ok(ScalarValue::Date32(Some(days)));
    }
    let days = i64::from(days) + i64::from(POSTGRES_EPOCH_DAYS);
    Ok(ScalarValue::Date32(Some(datetime::in_date_range(days, &days.to_string())?)))
}

fn time(micros: i64) -> Result<ScalarValue> {
    if !(0..=MICROS_PER_DAY).contains(&micros) {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "time out of range"));
    }
    Ok(ScalarValue::Time64Microsecond(Some(micros)))
}

fn timestamp(micros: i64) -> Result<i64> {
    if is_infinite(micros) {
        return Ok(micros);
    }
    match micros.checked_add(POSTGRES_EPOCH_MICROS) {
        Some(micros) if micros >= FIRST_MICROS => Ok(micros),
        _ => Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")),
    }
}

fn interval(input: &mut Input<'_>) -> Result<ScalarValue> {
    let (micros, days, months) = (input.i64()?, input.i32()?, input.i32()?);
    let out_of_range = || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range");
    let nanoseconds = micros.checked_mul(1000).ok_or_else(out_of_range)?;
    Ok(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds })))
}

fn numeric(ty: PgType, input: &mut Input<'_>) -> Result<ScalarValue> {
    let (groups, weight, sign, scale) = (input.i16()?, input.i16()?, input.i16()? as u16, input.i16()?);
    let bad = |what: &str| bad_binary(format!("invalid {what} in external \"numeric\" value"));
    let groups = usize::try_from(groups).map_err(|_| bad("length"))?;
    let value = match sign {
        0 | 0x4000 => {
            let scale = u32::try_from(scale).ok().filter(|s| *s <= MAX_SCALE).ok_or_else(|| bad("scale"))?;
            let mut digits = String::with_capacity(groups * 4);
            for _ in 0..groups {
                let group = input.i16()?;
                if !(0..=9999).contains(&group) {
                    return Err(bad("digit"));
                }
                let _ = std::fmt::Write::write_fmt(&mut digits, format_args!("{group:04}"));
            }
            // Digits beyond those that are shown do not count.
            let fraction = groups as i64 * 4 - (i64::from(weight) + 1) * 4;
            digits_at(&digits, fraction, scale, sign != 0)?
        }
        0xC000 => Numeric::NaN,
        0xD000 => Numeric::Infinity,
        0xF000 => Numeric::NegativeInfinity,
        _ => return Err(bad("sign")),
    };
    match (ty.numeric_precision(), ty.numeric_digits()) {
        (Some((p, s)), _) => Ok(ScalarValue::Decimal128(Some(number::parse_numeric(&value.to_string(), (p, s))?), p, s)),
        (None, Some((p, s))) => Ok(column::scalar(Some(&value.fit(p, s)?))),
        (None, None) => Ok(column::scalar(Some(&value))),
    }
}

/// `digits × 10^-fraction`, cut to so many digits after the point.
fn digits_at(digits: &str, fraction: i64, scale: u32, negative: bool) -> Result<Numeric> {
    let wide = Mantissa::of_digits("", if digits.is_empty() { "0" } else { digits }, negative);
    let wide = wide.ok_or_else(|| bad_binary("invalid digit in external \"numeric\" value"))?;
    let shift = i64::from(scale) - fraction;
    let mantissa = match u32::try_from(shift) {
        Ok(more) => wide.times_ten(more),
        Err(_) => wide.without_digits(shift.unsigned_abs() as u32),
    };
    Numeric::of_mantissa(mantissa, scale)
}

fn composite(user: UserType, input: &mut Input<'_>) -> Result<ScalarValue> {
    let wrong = |message: String| SqlError::new(SqlState::DATATYPE_MISMATCH, message);
    let (fields, count) = (user.fields(), input.i32()?);
    if usize::try_from(count).ok() != Some(fields.len()) {
        return Err(wrong(format!("wrong number of columns: {count}, expected {}", fields.len())));
    }
    let mut values = Vec::with_capacity(fields.len());
    for (at, (_, ty)) in (1..).zip(fields) {
        let oid = input.i32()? as u32;
        if oid != ty.oid() {
            let (found, expected) = (oid, ty.oid());
            return Err(wrong(format!("binary data has type {found} instead of expected {expected} in record column {at}")));
        }
        values.push(match input.i32()? {
            -1 => null_of(*ty)?,
            len => {
                let len = usize::try_from(len).map_err(|_| bad_message_length())?;
                binary(*ty, input.take(len)?)?
            }
        });
    }
    row_of(user, values)
}

fn list(ty: PgType, input: &mut Input<'_>) -> Result<ScalarValue> {
    let (values, bounds) = elements(ty, input)?;
    array_of(ty, values, bounds)
}

/// The elements of an array and its bounds.
fn elements(ty: PgType, input: &mut Input<'_>) -> Result<(Vec<ScalarValue>, Bounds)> {
    let (dimensions, flags, element_oid) = (input.i32()?, input.i32()?, input.i32()? as u32);
    if !matches!(flags, 0 | 1) {
        return Err(bad_binary("invalid array flags"));
    }
    let element = if element_oid == ty.element().oid() {
        ty.element()
    } else {
        PgType::from_oid(element_oid).filter(|e| !e.array).ok_or_else(|| bad_binary("wrong element type"))?
    };
    if element.arrow() != ty.element().arrow() {
        return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, "wrong element type"));
    }
    let dimensions =
        usize::try_from(dimensions).map_err(|_| bad_binary(format!("invalid number of dimensions: {dimensions}")))?;
    if dimensions > MOST_DIMENSIONS {
        return Err(too_many_dimensions(dimensions));
    }
    let mut bounds = Bounds::with_capacity(dimensions);
    for _ in 0..dimensions {
        let (length, first) = (input.i32()?, input.i32()?);
        bounds.push((first, length));
    }
    // Every element has at least a length, so a count beyond the bytes is a lie.
    let count = items_within(&bounds)?;
    if count > input.0.len() / 4 {
        return Err(bad_message_length());
    }
    if count == 0 {
        bounds.clear();
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(match input.i32()? {
            -1 => null_of(element)?,
            len => {
                let len = usize::try_from(len).map_err(|_| bad_message_length())?;
                binary(element, input.take(len)?)?
            }
        });
    }
    Ok((values, bounds))
}

#[cfg(test)]
mod tests;

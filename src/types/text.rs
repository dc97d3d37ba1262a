//! One value of any type from its text, and back: the door to the readers and writers of this folder.
//!
//! What a literal, a text-format parameter or a COPY field means is decided here and nowhere else.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_empty_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;

use super::complaint::bad_syntax;
use super::encode::Column;
use super::nested::{Bounds, Parts};
use super::numeric::Numeric;
use super::plain::{Fit, fit_text, parse_bool, parse_bytea, parse_uuid, write_uuid};
use super::precision::{rounded, rounded_interval};
use super::record::parse_record;
use super::user::UserType;
use super::written::Written;
use super::zone::Zone;
use super::{PgType, TypeName, array, datetime, interval, json, number, numeric};
use crate::error::{Result, SqlError, SqlState};

/// The value that the text stands for, as the type's Arrow type has it.
///
/// Text that is too long for varchar(n) or char(n) is refused with 22001, as in an assignment; see
/// [`scalar_from_text_as`]. `zone` is for timestamptz text without a zone.
pub fn scalar_from_text(ty: PgType, text: &str, zone: Zone) -> Result<ScalarValue> {
    scalar_from_text_as(ty, text, zone, Fit::Assign)
}

/// As [`scalar_from_text`], with a choice of what becomes of text that is too long.
pub fn scalar_from_text_as(ty: PgType, text: &str, zone: Zone, fit: Fit) -> Result<ScalarValue> {
    if ty.array {
        let element = ty.element();
        let read = array::parse_array(text, element.delimiter())?;
        let values = read
            .items
            .iter()
            .map(|t| t.as_deref().map_or_else(|| null_of(element), |t| scalar_from_text_as(element, t, zone, fit)))
            .collect::<Result<Vec<_>>>()?;
        return array_of(ty, values, read.bounds);
    }
    Ok(match ty.name {
        TypeName::Bool => ScalarValue::Boolean(Some(parse_bool(text)?)),
        TypeName::Int2 => ScalarValue::Int16(Some(number::parse_int2(text)?)),
        TypeName::Int4 => ScalarValue::Int32(Some(number::parse_int4(text)?)),
        TypeName::Int8 => ScalarValue::Int64(Some(number::parse_int8(text)?)),
        TypeName::Float4 => ScalarValue::Float32(Some(number::parse_float4(text)?)),
        TypeName::Float8 => ScalarValue::Float64(Some(number::parse_float8(text)?)),
        TypeName::Numeric => numeric_scalar(ty, text)?,
        TypeName::Text | TypeName::Aclitem | TypeName::NodeTree | TypeName::Unknown => utf8(text),
        TypeName::Varchar | TypeName::Bpchar | TypeName::Name | TypeName::Char => utf8(fit_text(ty, text, fit)?),
        TypeName::Bytea => ScalarValue::Binary(Some(parse_bytea(text)?)),
        TypeName::Date => ScalarValue::Date32(Some(datetime::parse_date(text)?)),
        TypeName::Time => ScalarValue::Time64Microsecond(Some(rounded(ty, datetime::parse_time(text)?))),
        TypeName::Timestamp => ScalarValue::TimestampMicrosecond(Some(rounded(ty, datetime::parse_timestamp(text)?)), None),
        TypeName::Timestamptz => {
            let micros = rounded(ty, datetime::parse_timestamptz(text, zone)?);
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        }
        TypeName::Interval => ScalarValue::IntervalMonthDayNano(Some(rounded_interval(ty, interval::parse_interval(text)?))),
        TypeName::Uuid => utf8(canonical_uuid(text)?),
        TypeName::Written(kind) => utf8(kind.read(text, ty.modifier, fit, zone)?),
        TypeName::Json => {
            json::validate(text)?;
            utf8(text)
        }
        TypeName::Jsonb => utf8(json::normalise(text)?),
        TypeName::Oid
        | TypeName::Xid
        | TypeName::Regproc
        | TypeName::Regclass
        | TypeName::Regprocedure
        | TypeName::Regoper
        | TypeName::Regoperator
        | TypeName::Regnamespace
        | TypeName::Regrole => ScalarValue::Int64(Some(number::parse_oid(text)?)),
        TypeName::Int2vector => vector(TypeName::Int2, text, zone)?,
        TypeName::Oidvector => vector(TypeName::Oid, text, zone)?,
        TypeName::Regtype => ScalarValue::Int64(Some(regtype(text)?)),
        TypeName::Void => ScalarValue::Null,
        TypeName::Composite(user) => composite(user, text, zone, fit)?,
        TypeName::Record => {
            let message = "input of anonymous composite types is not implemented";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        TypeName::Enum(ty) => {
            ty.check(text)?;
            utf8(text)
        }
    })
}

fn utf8(text: impl Into<String>) -> ScalarValue {
    ScalarValue::Utf8(Some(text.into()))
}

fn numeric_scalar(ty: PgType, text: &str) -> Result<ScalarValue> {
    if let Some((p, s)) = ty.numeric_precision() {
        return Ok(ScalarValue::Decimal128(Some(number::parse_numeric(text, (p, s))?), p, s));
    }
    let value = Numeric::parse(text)?;
    let value = match ty.numeric_digits() {
        Some((precision, scale)) => value.fit(precision, scale)?,
        None => value,
    };
    Ok(numeric::column::scalar(Some(&value)))
}

/// A row of a user's type from its fields.
pub fn row_of(user: UserType, values: Vec<ScalarValue>) -> Result<ScalarValue> {
    let arrow = PgType::new(TypeName::Composite(user)).arrow();
    let DataType::Struct(fields) = &arrow else { return Err(SqlError::internal("a row type without fields")) };
    let arrays = values.iter().map(ScalarValue::to_array).collect::<std::result::Result<Vec<_>, _>>();
    let arrays = arrays.map_err(|_| SqlError::internal("a value without an array form"))?;
    let row = StructArray::try_new(fields.clone(), arrays, None);
    Ok(ScalarValue::Struct(Arc::new(row.map_err(|_| SqlError::internal("values do not fit the fields of their type"))?)))
}

fn composite(user: UserType, text: &str, zone: Zone, fit: Fit) -> Result<ScalarValue> {
    let texts = parse_record(text)?;
    let fields = user.fields();
    let malformed = |detail: &str| {
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed record literal: \"{text}\"")).detail(detail)
    };
    match texts.len() {
        n if n < fields.len() => return Err(malformed("Too few columns.")),
        n if n > fields.len() => return Err(malformed("Too many columns.")),
        _ => {}
    }
    let value = |(text, (_, ty)): (&Option<String>, &(String, PgType))| match text {
        None => null_of(*ty),
        Some(text) => scalar_from_text_as(*ty, text, zone, fit),
    };
    row_of(user, texts.iter().zip(fields).map(value).collect::<Result<_>>()?)
}

/// A vector of the catalogue: numbers with white space between them.
fn vector(element: TypeName, text: &str, zone: Zone) -> Result<ScalarValue> {
    let element = PgType::new(element);
    let values = text.split_ascii_whitespace().map(|t| scalar_from_text(element, t, zone)).collect::<Result<Vec<_>>>()?;
    vector_of(element, values)
}

/// A vector of the catalogue from its numbers.
pub fn vector_of(element: PgType, values: Vec<ScalarValue>) -> Result<ScalarValue> {
    list_of(element.array_of(), values)
}

/// The uuid's canonical text. 22P02 when it is none.
pub fn canonical_uuid(text: &str) -> Result<String> {
    let mut out = String::with_capacity(36);
    write_uuid(&mut out, &parse_uuid(text)?);
    Ok(out)
}

/// A type by any of its names, as its OID.
fn regtype(text: &str) -> Result<i64> {
    if let Ok(oid) = number::parse_oid(text) {
        return Ok(oid);
    }
    let ty = type_by_name(text)
        .ok_or_else(|| SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{}\" does not exist", text.trim())))?;
    Ok(i64::from(ty.oid()))
}

/// A type by its internal or SQL name, `int4[]` and `pg_catalog.` included; modifiers are ignored.
pub fn type_by_name(text: &str) -> Option<PgType> {
    let lower = text.trim().to_ascii_lowercase();
    let name = lower.strip_prefix("pg_catalog.").unwrap_or(&lower);
    let (name, array) = name.strip_suffix("[]").map_or((name, false), |n| (n.trim_end(), true));
    let name = match name.split_once('(') {
        Some((base, rest)) => format!("{}{}", base.trim_end(), rest.split_once(')').map_or("", |(_, after)| after)),
        None => name.to_owned(),
    };
    let plain = match name.as_str() {
        "int" => Some(PgType::INT4),
        "decimal" => Some(PgType::new(TypeName::Numeric)),
        "float" => Some(PgType::new(TypeName::Float8)),
        "time" => Some(PgType::new(TypeName::Time)),
        // Of one digit, and of any number of them.
        "bit" => Some(PgType::new(TypeName::Written(Written::Bit)).with_modifier(1)),
        "char" => Some(PgType::new(TypeName::Bpchar)),
        "\"char\"" => Some(PgType::new(TypeName::Char)),
        name => PgType::from_internal_name(name).or_else(|| PgType::from_sql_name(name)),
    }?;
    Some(if array { plain.array_of() } else { plain })
}

/// NULL of the type.
pub fn null_of(ty: PgType) -> Result<ScalarValue> {
    ScalarValue::try_from(&ty.arrow()).map_err(|_| SqlError::internal(format!("no NULL of type {}", ty.sql_name())))
}

/// An array value of `ty` (an array type) from its elements and bounds.
pub fn array_of(ty: PgType, values: Vec<ScalarValue>, bounds: Bounds) -> Result<ScalarValue> {
    let ScalarValue::List(lists) = list_of(ty, values)? else { return Err(SqlError::internal("an array of no elements")) };
    let array = Parts { lists: lists.as_ref().clone(), bounds: Some(vec![Some(bounds)]) }.put_together()?;
    let array = array.as_list_opt::<i64>().ok_or_else(|| SqlError::internal("an array of no elements"))?;
    Ok(ScalarValue::LargeList(Arc::new(array.clone())))
}

/// A list of elements of `ty`, an array type.
fn list_of(ty: PgType, values: Vec<ScalarValue>) -> Result<ScalarValue> {
    let element = ty.element();
    let items: ArrayRef = if values.is_empty() {
        new_empty_array(&element.arrow())
    } else {
        ScalarValue::iter_to_array(values).map_err(|_| bad_syntax(&ty.sql_name(), "…"))?
    };
    let field = FieldRef::new(element.field("item", true));
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    let list = ListArray::try_new(field, offsets, items, None)
        .map_err(|_| SqlError::internal(format!("elements do not fit type {}", ty.sql_name())))?;
    Ok(ScalarValue::List(Arc::new(list)))
}

/// Appends one value as PostgreSQL's text output prints it. False, and nothing written, for NULL.
pub fn write_value(out: &mut String, ty: PgType, array: &ArrayRef, row: usize, zone: Zone) -> Result<bool> {
    let column = Column::new(ty, array, zone)?;
    if column.is_null(row) {
        return Ok(false);
    }
    column.write_text(row, out);
    Ok(true)
}

/// A value's text; `None` for NULL.
pub fn text_of_scalar(ty: PgType, value: &ScalarValue, zone: Zone) -> Result<Option<String>> {
    if value.is_null() {
        return Ok(None);
    }
    let array = value.to_array().map_err(|_| SqlError::internal("a value without an array form"))?;
    let mut out = String::new();
    Ok(write_value(&mut out, ty, &array, 0, zone)?.then_some(out))
}

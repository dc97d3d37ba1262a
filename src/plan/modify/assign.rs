//! Assignment: a value of one type becomes the value of a column, by PostgreSQL's assignment casts.
//!
//! Owns which casts there are, rounding, ranges and lengths. An explicit cast is DataFusion's business, a
//! literal of unknown type is read by `types` before it comes here.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, PrimitiveArray, StringArray, StringBuilder, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;

use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::types::nested::Parts;
use crate::types::numeric::Numeric;
use crate::types::numeric::column::{Numbers, is_numeric};
use crate::types::precision::rounded_column;
use crate::types::{PgType, TypeName, Written, Zone, calendar, complaint, number, numeric, text};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Types between which assignment goes by the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Integer,
    Float,
    Numeric,
    Text,
    Instant,
    Json,
    Alone(TypeName),
}

fn family(name: TypeName) -> Family {
    match name {
        TypeName::Int2 | TypeName::Int4 | TypeName::Int8 | TypeName::Oid => Family::Integer,
        TypeName::Xid
        | TypeName::Regclass
        | TypeName::Regtype
        | TypeName::Regproc
        | TypeName::Regprocedure
        | TypeName::Regoper
        | TypeName::Regoperator
        | TypeName::Regnamespace
        | TypeName::Regrole => Family::Integer,
        TypeName::Float4 | TypeName::Float8 => Family::Float,
        TypeName::Numeric => Family::Numeric,
        TypeName::Text
        | TypeName::Varchar
        | TypeName::Bpchar
        | TypeName::Name
        | TypeName::Char
        | TypeName::Aclitem
        | TypeName::NodeTree => Family::Text,
        TypeName::Date | TypeName::Timestamp | TypeName::Timestamptz => Family::Instant,
        TypeName::Json | TypeName::Jsonb => Family::Json,
        TypeName::Bool
        | TypeName::Bytea
        | TypeName::Time
        | TypeName::Interval
        | TypeName::Uuid
        | TypeName::Written(_)
        | TypeName::Int2vector
        | TypeName::Oidvector
        | TypeName::Enum(_)
        | TypeName::Composite(_)
        | TypeName::Record
        | TypeName::Void
        | TypeName::Unknown => Family::Alone(name),
    }
}

/// Whether a value of `from` may be assigned to a column of `to`.
pub fn assignable(from: PgType, to: PgType) -> bool {
    use Family::{Alone, Float, Instant, Integer, Json, Numeric, Text};
    if matches!(from.name, TypeName::Unknown | TypeName::Void) && !from.array {
        return true;
    }
    if from.array != to.array {
        return from.array && family(to.name) == Text;
    }
    match (family(from.name), family(to.name)) {
        (a, b) if a == b => true,
        (Integer | Float | Numeric, Integer | Float | Numeric) => true,
        (_, Text) => !from.array,
        (Instant, Alone(TypeName::Time)) => from.name != TypeName::Date,
        (Integer | Numeric, Alone(TypeName::Written(Written::Money))) => true,
        (Alone(TypeName::Written(Written::Money)), Numeric) => true,
        (Alone(TypeName::Time), Alone(TypeName::Written(Written::Timetz))) => true,
        (Alone(TypeName::Written(Written::Timetz)), Alone(TypeName::Time)) => true,
        (Instant, Alone(TypeName::Written(Written::Timetz))) => from.name == TypeName::Timestamptz,
        (Alone(TypeName::Written(a)), Alone(TypeName::Written(b))) => written_meet(a, b),
        (Alone(TypeName::Time), Alone(TypeName::Interval)) | (Alone(TypeName::Interval), Alone(TypeName::Time)) => true,
        (Integer | Float | Numeric | Text | Instant | Json | Alone(_), _) => false,
    }
}

/// Types of one kind, between which values are assigned.
pub fn written_meet(a: Written, b: Written) -> bool {
    use Written::{Bit, Cidr, Inet, Macaddr, Macaddr8, Varbit};
    matches!((a, b), (Inet | Cidr, Inet | Cidr) | (Bit | Varbit, Bit | Varbit) | (Macaddr | Macaddr8, Macaddr | Macaddr8))
}

/// 42804 in PostgreSQL's words.
pub fn not_assignable(column: &str, from: PgType, to: PgType) -> SqlError {
    SqlError::new(
        SqlState::DATATYPE_MISMATCH,
        format!(
            "column \"{column}\" is of type {} but expression is of type {}",
            to.with_modifier(-1).sql_name(),
            from.with_modifier(-1).sql_name()
        ),
    )
    .hint("You will need to rewrite or cast the expression.")
}

/// The values as a column of type `to` holds them; the result has `to.arrow()`.
///
/// Numbers are rounded to the column's scale and refused out of its range (22003); text is cut only of blanks
/// beyond its length (22001); times without a zone are read in `zone`. The caller has checked [`assignable`].
pub fn assign(values: &ArrayRef, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    if values.data_type() == &DataType::Null {
        return Ok(new_null_array(&to.arrow(), values.len()));
    }
    if from.array && to.array {
        return assign_items(values, from, to, zone);
    }
    if from.array {
        return to_text(values, from, to, zone);
    }
    if to.time_precision().is_some() {
        return Ok(rounded_column(to, &assign(values, from, to.with_modifier(-1), zone)?));
    }
    // What a truth is as text its cast says, not its output.
    if from.name == TypeName::Bool && family(to.name) == Family::Text {
        return assign(&cast_array(values, from, PgType::TEXT, zone)?, PgType::TEXT, to, zone);
    }
    if to.name.written().is_some() {
        return written(values, from, to, zone);
    }
    if from.name.written().is_some() && family(to.name) != Family::Text {
        return cast_array(values, from, to, zone);
    }
    match (family(from.name), family(to.name)) {
        (Family::Integer | Family::Float | Family::Numeric, Family::Integer) => to_integer(values, from, to),
        (Family::Integer | Family::Float | Family::Numeric, Family::Float) => to_float(values, from, to),
        (Family::Integer | Family::Float | Family::Numeric, Family::Numeric) => to_numeric(values, from, to),
        (Family::Text, Family::Text) => fit_text(plain_text(values)?, from, to),
        (_, Family::Text) => to_text(values, from, to, zone),
        (Family::Instant, _) => from_instant(values, from, to, zone),
        (Family::Json, Family::Json) => to_json(values, from, to),
        (Family::Alone(TypeName::Time), Family::Alone(TypeName::Interval)) => {
            map::<Time64MicrosecondType, IntervalMonthDayNanoType>(values, |t| Ok(IntervalMonthDayNano::new(0, 0, t * 1000)))
        }
        (Family::Alone(TypeName::Interval), Family::Alone(TypeName::Time)) => {
            map::<IntervalMonthDayNanoType, Time64MicrosecondType>(values, |i| {
                Ok((i.nanoseconds / 1000).rem_euclid(MICROS_PER_DAY))
            })
        }
        _ => arrow_cast(values, &to.arrow()),
    }
}

/// Values of a type that is carried as its text, at the length that the column asks for.
fn written(values: &ArrayRef, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    if from.with_modifier(-1) == to.with_modifier(-1) && (to.modifier == -1 || from.modifier == to.modifier) {
        return Ok(values.clone());
    }
    if from.name != to.name && family(from.name) != Family::Text && from.name != TypeName::Unknown {
        let exact = cast_array(values, from, to.with_modifier(-1), zone)?;
        return written(&exact, to.with_modifier(-1), to, zone);
    }
    let texts = values.as_string_opt::<i32>().ok_or_else(mismatch)?;
    let fitted = texts.iter().map(|t| match t.map(|t| text::scalar_from_text(to, t, zone)).transpose()? {
        Some(ScalarValue::Utf8(text)) => Ok(text),
        _ => Ok(None),
    });
    Ok(Arc::new(fitted.collect::<Result<StringArray>>()?))
}

fn arrow_cast(values: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if values.data_type() == to {
        return Ok(values.clone());
    }
    cast(values, to).map_err(|e| SqlError::internal(format!("a value could not be brought to its column's type: {e}")))
}

/// One primitive type to another, value by value; NULL stays NULL.
fn map<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(
    values: &ArrayRef,
    convert: impl Fn(A::Native) -> Result<B::Native>,
) -> Result<ArrayRef> {
    let values = values.as_primitive_opt::<A>().ok_or_else(mismatch)?;
    let converted: PrimitiveArray<B> = values.iter().map(|v| v.map(&convert).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(converted))
}

fn mismatch() -> SqlError {
    SqlError::internal("a value does not have the Arrow type of its PostgreSQL type")
}

fn to_integer(values: &ArrayRef, from: PgType, to: PgType) -> Result<ArrayRef> {
    let name = integer_name(to);
    let wide: ArrayRef = match values.data_type() {
        DataType::Float32 => map::<Float32Type, Int64Type>(values, |x| round_float(f64::from(x), name))?,
        DataType::Float64 => map::<Float64Type, Int64Type>(values, |x| round_float(x, name))?,
        DataType::Decimal128(_, scale) => {
            let shift = -i32::from(*scale);
            map::<Decimal128Type, Int64Type>(values, |m| {
                let whole = number::rescale(m, shift).and_then(|n| i64::try_from(n).ok());
                whole.ok_or_else(|| complaint::out_of_range(name))
            })?
        }
        DataType::LargeBinary => {
            let whole = |n: Numeric| i64::try_from(n.to_integer(name)?).map_err(|_| complaint::out_of_range(name));
            let whole: Vec<_> = Numbers::new(values)?.iter().map(|n| n.map(whole).transpose()).collect::<Result<_>>()?;
            Arc::new(whole.into_iter().collect::<PrimitiveArray<Int64Type>>())
        }
        DataType::UInt64 => {
            let narrow = cast(values, &DataType::Int64).map_err(|_| complaint::out_of_range(name))?;
            if narrow.null_count() != values.null_count() {
                return Err(complaint::out_of_range(name));
            }
            narrow
        }
        _ => arrow_cast(values, &DataType::Int64)?,
    };
    if values.data_type() == &to.arrow() && from.name == to.name {
        return Ok(values.clone());
    }
    match to.arrow() {
        DataType::Int16 => map::<Int64Type, Int16Type>(&wide, |n| i16::try_from(n).map_err(|_| complaint::out_of_range(name))),
        DataType::Int32 => map::<Int64Type, Int32Type>(&wide, |n| i32::try_from(n).map_err(|_| complaint::out_of_range(name))),
        _ => Ok(wide),
    }
}

fn integer_name(ty: PgType) -> &'static str {
    match ty.name {
        TypeName::Int2 => "smallint",
        TypeName::Int4 => "integer",
        TypeName::Int8 => "bigint",
        _ => "OID",
    }
}

/// To the nearest, halves to even, as PostgreSQL's cast does.
fn round_float(x: f64, name: &'static str) -> Result<i64> {
    let rounded = x.round_ties_even();
    // 2^63 is the first float that does not fit.
    if rounded.is_nan() || !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
        return Err(complaint::out_of_range(name));
    }
    Ok(rounded as i64)
}

fn to_float(values: &ArrayRef, from: PgType, to: PgType) -> Result<ArrayRef> {
    if values.data_type() == &to.arrow() {
        return Ok(values.clone());
    }
    if is_numeric(values.data_type()) {
        return numeric::cast::to_float(values, to);
    }
    if to.name == TypeName::Float4 && from.name == TypeName::Float8 {
        return map::<Float64Type, Float32Type>(values, |x| {
            let narrow = x as f32;
            match (narrow.is_infinite() && x.is_finite(), narrow == 0.0 && x != 0.0) {
                (true, _) => Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")),
                (_, true) => Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow")),
                _ => Ok(narrow),
            }
        });
    }
    arrow_cast(values, &to.arrow())
}

fn to_numeric(values: &ArrayRef, from: PgType, to: PgType) -> Result<ArrayRef> {
    if values.data_type() == &to.arrow() && (from.modifier == to.modifier || to.modifier == -1) {
        return Ok(values.clone());
    }
    numeric::cast::to_numeric(values, to)
}

fn plain_text(values: &ArrayRef) -> Result<ArrayRef> {
    arrow_cast(values, &DataType::Utf8)
}

/// Text that is text already: blanks of char(n) go, lengths are kept.
fn fit_text(values: ArrayRef, from: PgType, to: PgType) -> Result<ArrayRef> {
    let strip = from.name == TypeName::Bpchar && to.name != TypeName::Bpchar;
    if !strip && to.max_chars().is_none() {
        return Ok(values);
    }
    let texts = values.as_string_opt::<i32>().ok_or_else(mismatch)?;
    let mut fitted = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for text in texts {
        match text {
            None => fitted.append_null(),
            Some(text) => append_fitted(if strip { text.trim_end_matches(' ') } else { text }, to, &mut fitted)?,
        }
    }
    Ok(Arc::new(fitted.finish()))
}

fn append_fitted(text: &str, to: PgType, out: &mut StringBuilder) -> Result<()> {
    let Some(limit) = to.max_chars() else {
        out.append_value(text);
        return Ok(());
    };
    let kept = match text.char_indices().nth(limit) {
        None => text,
        Some((cut, _)) if text[cut..].bytes().all(|b| b == b' ') => &text[..cut],
        Some(_) => return Err(complaint::too_long(to)),
    };
    if to.name != TypeName::Bpchar {
        out.append_value(kept);
        return Ok(());
    }
    let missing = limit.saturating_sub(kept.chars().count());
    out.append_value(format!("{kept}{:missing$}", ""));
    Ok(())
}

/// Anything to text, through its output form.
fn to_text(values: &ArrayRef, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    let mut texts = StringBuilder::new();
    let mut buffer = String::new();
    for row in 0..values.len() {
        if values.is_null(row) {
            texts.append_null();
            continue;
        }
        buffer.clear();
        text::write_value(&mut buffer, from, values, row, zone)?;
        append_fitted(&buffer, to, &mut texts)?;
    }
    Ok(Arc::new(texts.finish()))
}

fn to_json(values: &ArrayRef, from: PgType, to: PgType) -> Result<ArrayRef> {
    if from.name == to.name || to.name == TypeName::Json {
        return plain_text(values);
    }
    let texts = values.as_string_opt::<i32>().ok_or_else(mismatch)?;
    let normal: StringArray = texts.iter().map(|t| t.map(crate::types::json::normalise).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(normal))
}

fn from_instant(values: &ArrayRef, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    use TypeName::{Date, Time, Timestamp, Timestamptz};
    if from.name == to.name {
        return arrow_cast(values, &to.arrow());
    }
    let beyond = || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    let days = |micros: i64| -> Result<i32> { Ok(calendar::day_of(micros)) };
    let local = |utc: i64| zone.local(utc).ok_or_else(beyond);
    let midnight = |days: i32| calendar::midnight(days).ok_or_else(beyond);
    match (from.name, to.name) {
        (Date, Timestamp) => map::<Date32Type, TimestampMicrosecondType>(values, midnight),
        (Date, Timestamptz) => {
            map::<Date32Type, TimestampMicrosecondType>(values, |d| zone.instant(midnight(d)?).ok_or_else(beyond)).map(in_utc)?
        }
        (Timestamp, Timestamptz) => {
            map::<TimestampMicrosecondType, TimestampMicrosecondType>(values, |t| zone.instant(t).ok_or_else(beyond))
                .map(in_utc)?
        }
        (Timestamptz, Timestamp) => map::<TimestampMicrosecondType, TimestampMicrosecondType>(values, local),
        (Timestamp, Date) => map::<TimestampMicrosecondType, Date32Type>(values, days),
        (Timestamptz, Date) => map::<TimestampMicrosecondType, Date32Type>(values, |t| days(local(t)?)),
        (Timestamp, Time) => map::<TimestampMicrosecondType, Time64MicrosecondType>(values, |t| Ok(t.rem_euclid(MICROS_PER_DAY))),
        (Timestamptz, Time) => {
            map::<TimestampMicrosecondType, Time64MicrosecondType>(values, |t| Ok(local(t)?.rem_euclid(MICROS_PER_DAY)))
        }
        _ => arrow_cast(values, &to.arrow()),
    }
}

fn in_utc(values: ArrayRef) -> Result<ArrayRef> {
    arrow_cast_zone(&values)
}

/// The same instants, marked as UTC.
fn arrow_cast_zone(values: &ArrayRef) -> Result<ArrayRef> {
    let plain = values.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(mismatch)?;
    Ok(Arc::new(plain.clone().with_timezone("UTC")))
}

fn assign_items(values: &ArrayRef, from: PgType, to: PgType, zone: Zone) -> Result<ArrayRef> {
    let Parts { lists, bounds } = Parts::of(values).ok_or_else(mismatch)?;
    let items = assign(lists.values(), from.element(), to.element(), zone)?;
    let field = Arc::new(to.element().field("item", true));
    let lists = ListArray::try_new(field, lists.offsets().clone(), items, lists.nulls().cloned()).map_err(|_| mismatch())?;
    Parts { lists, bounds }.put_together()
}

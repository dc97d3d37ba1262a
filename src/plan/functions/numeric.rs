//! Functions of numbers whose PostgreSQL result depends on the kind of number: rounding, absolute value, mod.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, Float64Type};
use datafusion::common::ScalarValue;

use super::define::{Call, Function, INT4, Returns, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::PgType;
use crate::types::complaint::out_of_range;
use crate::types::number::{power_of_ten, rescale};

const FLOAT8: Returns = Returns::of(crate::types::TypeName::Float8);
const NUMBER: &[Want] = &[Want::Any];
const ROUND: &[Want] = &[Want::Any, INT4];
const FLOAT: &[Want] = &[Want::Type(crate::types::TypeName::Float8)];

pub const FUNCTIONS: &[Function] = &[
    Function::new("sign", NUMBER, Returns::Arrow(rounded_type), sign),
    Function::new("round", ROUND, Returns::Field(rounded_field), |c| rounded(c, Rounding::HalfAway)).optional(1),
    Function::new("trunc", ROUND, Returns::Field(rounded_field), |c| rounded(c, Rounding::Cut)).optional(1),
    Function::new("ceil", NUMBER, Returns::Arrow(rounded_type), |c| rounded(c, Rounding::Up)).aliases(&["ceiling"]),
    Function::new("floor", NUMBER, Returns::Arrow(rounded_type), |c| rounded(c, Rounding::Down)),
    Function::new("pg_bit_not", NUMBER, Returns::Arrow(integer_type), bit_not),
    Function::new("div", &[Want::Any, Want::Any], Returns::Field(divided_field), div),
    Function::new("width_bucket", BUCKET, Returns::Fixed(PgType::INT4), width_bucket),
    Function::new("sqrt", FLOAT, FLOAT8, |c| {
        float(c, |x| {
            if x < 0.0 {
                Err(argument(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, "cannot take square root of a negative number"))
            } else {
                Ok(x.sqrt())
            }
        })
    }),
    Function::new("ln", FLOAT, FLOAT8, |c| float(c, |x| positive(x).map(f64::ln))),
    Function::new("log10", FLOAT, FLOAT8, |c| float(c, |x| positive(x).map(f64::log10))),
];

const FLOAT_WANT: Want = Want::Type(crate::types::TypeName::Float8);
const BUCKET: &[Want] = &[FLOAT_WANT, FLOAT_WANT, FLOAT_WANT, INT4];

fn integer_type(types: &[DataType]) -> Result<DataType> {
    match types {
        [t @ (DataType::Int16 | DataType::Int32 | DataType::Int64)] => Ok(t.clone()),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "operator does not exist: ~ for this type")),
    }
}

fn bit_not(call: &Call<'_>) -> Result<ArrayRef> {
    use datafusion::arrow::array::{Int16Array, Int32Array, Int64Array};
    use datafusion::arrow::datatypes::{Int16Type, Int32Type, Int64Type};
    let value = &call.args[0];
    Ok(match value.data_type() {
        DataType::Int16 => Arc::new(value.as_primitive::<Int16Type>().iter().map(|n| n.map(|n| !n)).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(value.as_primitive::<Int32Type>().iter().map(|n| n.map(|n| !n)).collect::<Int32Array>()),
        _ => Arc::new(value.as_primitive::<Int64Type>().iter().map(|n| n.map(|n| !n)).collect::<Int64Array>()),
    })
}

fn divided_field(_: &[PgType], fields: &[DataType], _: &[Option<&ScalarValue>]) -> Result<Field> {
    let number = |t: &DataType| matches!(t, DataType::Decimal128(..) | DataType::Int16 | DataType::Int32 | DataType::Int64);
    if fields.iter().all(number) {
        return Ok(Field::new("div", DataType::Decimal128(38, 0), true));
    }
    Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "function div does not exist for these types")
        .hint("Cast the values to numeric."))
}

/// The whole part of a quotient.
fn div(call: &Call<'_>) -> Result<ArrayRef> {
    let brought = |array: &ArrayRef| match array.data_type() {
        DataType::Decimal128(..) => Ok(Arc::clone(array)),
        _ => datafusion::arrow::compute::cast(array, &DataType::Decimal128(20, 0))
            .map_err(|_| SqlError::internal("a number that is none")),
    };
    let (a, b) = (brought(&call.args[0])?, brought(&call.args[1])?);
    let (a, b) = (a.as_primitive::<Decimal128Type>(), b.as_primitive::<Decimal128Type>());
    let scale = i32::from(a.scale().max(b.scale()));
    let one = |row: usize| -> Result<Option<i128>> {
        if a.is_null(row) || b.is_null(row) {
            return Ok(None);
        }
        let shifted = |v: i128, s: i8| rescale(v, scale - i32::from(s)).ok_or_else(|| out_of_range("numeric"));
        let (x, y) = (shifted(a.value(row), a.scale())?, shifted(b.value(row), b.scale())?);
        if y == 0 { Err(crate::types::complaint::division_by_zero()) } else { Ok(Some(x / y)) }
    };
    let values = (0..call.rows).map(one).collect::<Result<Vec<_>>>()?;
    let array = values.into_iter().collect::<Decimal128Array>().with_precision_and_scale(38, 0);
    Ok(Arc::new(array.map_err(|_| out_of_range("numeric"))?))
}

fn width_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let value = |arg: usize, row: usize| {
        let values = call.args[arg].as_primitive::<Float64Type>();
        values.is_valid(row).then(|| values.value(row))
    };
    let bad = |message: &str| SqlError::new(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION, message);
    call.map::<i32, datafusion::arrow::array::Int32Array>(|row| {
        let (Some(x), Some(low), Some(high), Some(count)) = (value(0, row), value(1, row), value(2, row), call.int4(3, row))
        else {
            return Ok(None);
        };
        if count <= 0 {
            return Err(bad("count must be greater than zero"));
        }
        if x.is_nan() || low.is_nan() || high.is_nan() {
            return Err(bad("operand, lower bound, and upper bound cannot be NaN"));
        }
        if !low.is_finite() || !high.is_finite() {
            return Err(bad("lower and upper bounds must be finite"));
        }
        if low == high {
            return Err(bad("lower bound cannot equal upper bound"));
        }
        let (from, to, x) = if low < high { (low, high, x) } else { (-low, -high, -x) };
        Ok(Some(if x < from {
            0
        } else if x >= to {
            count.checked_add(1).ok_or_else(|| out_of_range("integer"))?
        } else {
            ((x - from) / (to - from) * f64::from(count)).floor().min(f64::from(count) - 1.0) as i32 + 1
        }))
    })
}

fn argument(code: SqlState, message: &str) -> SqlError {
    SqlError::new(code, message)
}

fn positive(x: f64) -> Result<f64> {
    let message = if x == 0.0 { "cannot take logarithm of zero" } else { "cannot take logarithm of a negative number" };
    if x <= 0.0 { Err(argument(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message)) } else { Ok(x) }
}

fn float(call: &Call<'_>, compute: fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    let values = call.args[0].as_primitive::<Float64Type>();
    call.map::<f64, Float64Array>(|row| values.is_valid(row).then(|| compute(values.value(row))).transpose())
}

#[derive(Clone, Copy, PartialEq)]
enum Rounding {
    HalfAway,
    Cut,
    Up,
    Down,
}

/// Numerics keep their digits, everything else becomes double precision.
fn rounded_type(types: &[DataType]) -> Result<DataType> {
    match types {
        [decimal @ DataType::Decimal128(..), _] => Ok(decimal.clone()),
        [DataType::Decimal128(p, s)] => Ok(DataType::Decimal128((i16::from(*p) - i16::from(*s) + 1).clamp(1, 38) as u8, 0)),
        [t] if t.is_numeric() => Ok(DataType::Float64),
        // round(integer, places) is of a numeric in PostgreSQL.
        [DataType::Int16 | DataType::Int32 | DataType::Int64, _] => Ok(DataType::Decimal128(20, 0)),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "function round(double precision, integer) does not exist")
            .hint("Cast the value to numeric.")),
    }
}

/// As [`rounded_type`]; a numeric rounded to a constant number of places has so many.
fn rounded_field(_: &[PgType], fields: &[DataType], values: &[Option<&ScalarValue>]) -> Result<Field> {
    let ty = match (rounded_type(fields)?, values) {
        (DataType::Decimal128(p, s), [_, Some(ScalarValue::Int32(Some(places)))]) if i32::from(s) >= *places => {
            let scale = (*places).max(0) as i8;
            let whole = i16::from(p) - i16::from(s) + 1;
            DataType::Decimal128((whole + i16::from(scale)).clamp(1, 38) as u8, scale)
        }
        (ty, _) => ty,
    };
    Ok(Field::new("round", ty, true))
}

fn sign(call: &Call<'_>) -> Result<ArrayRef> {
    match call.returns.data_type() {
        DataType::Decimal128(precision, scale) => {
            let values = call.args[0].as_primitive::<Decimal128Type>();
            let signs = values.iter().map(|v| v.map(i128::signum)).collect::<Decimal128Array>();
            let signs = signs.with_precision_and_scale(*precision, *scale);
            Ok(Arc::new(signs.map_err(|_| out_of_range("numeric"))?))
        }
        _ => {
            let values = datafusion::arrow::compute::cast(&call.args[0], &DataType::Float64)
                .map_err(|_| SqlError::internal("a number that is none"))?;
            let values = values.as_primitive::<Float64Type>();
            call.map::<f64, Float64Array>(|row| {
                let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
                Ok(values.is_valid(row).then(|| sign(values.value(row))))
            })
        }
    }
}

fn rounded(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    match call.returns.data_type() {
        DataType::Decimal128(precision, scale) => decimals(call, rounding, *precision, *scale),
        _ => {
            let values = datafusion::arrow::compute::cast(&call.args[0], &DataType::Float64)
                .map_err(|_| SqlError::internal("a number that is none"))?;
            let values = values.as_primitive::<Float64Type>();
            call.map::<f64, Float64Array>(|row| {
                Ok(values.is_valid(row).then(|| values.value(row)).map(|x| match rounding {
                    Rounding::HalfAway => x.round_ties_even(),
                    Rounding::Cut => x.trunc(),
                    Rounding::Up => x.ceil(),
                    Rounding::Down => x.floor(),
                }))
            })
        }
    }
}

fn decimals(call: &Call<'_>, rounding: Rounding, precision: u8, scale: i8) -> Result<ArrayRef> {
    let source = match call.args[0].data_type() {
        DataType::Decimal128(..) => Arc::clone(&call.args[0]),
        _ => datafusion::arrow::compute::cast(&call.args[0], &DataType::Decimal128(20, 0))
            .map_err(|_| SqlError::internal("a number that is none"))?,
    };
    let values = source.as_primitive::<Decimal128Type>();
    let from = i32::from(values.scale());
    let one = |row: usize| -> Result<Option<i128>> {
        let places = if call.args.len() == 2 { call.int4(1, row) } else { Some(0) };
        let (true, Some(places)) = (values.is_valid(row), places) else { return Ok(None) };
        let places = places.clamp(-38, from);
        let cut = round_at(values.value(row), from - places, rounding);
        let shifted = rescale(cut, i32::from(scale) - places);
        shifted.filter(|v| v.abs() < power_of_ten(38)).map(Some).ok_or_else(|| out_of_range("numeric"))
    };
    let values = (0..call.rows).map(one).collect::<Result<Vec<_>>>()?;
    let array = values.into_iter().collect::<Decimal128Array>().with_precision_and_scale(precision, scale);
    Ok(Arc::new(array.map_err(|_| out_of_range("numeric"))?))
}

/// The mantissa without its last `digits` digits.
fn round_at(mantissa: i128, digits: i32, rounding: Rounding) -> i128 {
    let digits = digits.clamp(0, 38).unsigned_abs();
    let unit = power_of_ten(digits);
    let (quotient, remainder) = (mantissa / unit, mantissa % unit);
    match rounding {
        Rounding::HalfAway => rescale(mantissa, -(digits as i32)).unwrap_or(0),
        Rounding::Cut => quotient,
        Rounding::Up => quotient + i128::from(remainder > 0),
        Rounding::Down => quotient - i128::from(remainder < 0),
    }
}

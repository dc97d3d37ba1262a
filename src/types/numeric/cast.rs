//! Columns of numbers brought to a numeric type, and numerics to floats: the same for casts and for assignments.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type};

use super::Numeric;
use super::column::{Numbers, collect, is_exact};
use crate::error::{Result, SqlError};
use crate::types::number::{numeric_field_overflow, power_of_ten, rescale};
use crate::types::{PgType, TypeName};

/// Rounded half away from zero to the digits of `to`, a numeric; 22003 for what then does not fit. Without precision
/// each value keeps the digits that it comes with.
pub fn to_numeric(values: &ArrayRef, to: PgType) -> Result<ArrayRef> {
    match to.numeric_precision() {
        Some((precision, scale)) => to_decimal(values, precision, scale),
        None => to_own_digits(values, to),
    }
}

/// To real or double precision, whichever `to` is.
pub fn to_float(values: &ArrayRef, to: PgType) -> Result<ArrayRef> {
    let values = Numbers::new(values)?;
    if to.name == TypeName::Float4 {
        let floats = values.iter().map(|n| n.map(|n| n.to_f32()).transpose()).collect::<Result<Vec<_>>>()?;
        return Ok(Arc::new(floats.into_iter().collect::<Float32Array>()));
    }
    let floats = values.iter().map(|n| n.map(|n| n.to_f64()).transpose()).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(floats.into_iter().collect::<Float64Array>()))
}

fn to_decimal(values: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef> {
    let overflow = || numeric_field_overflow(precision, scale);
    let limit = power_of_ten(u32::from(precision.min(38)));
    let fit = |m: Option<i128>| m.filter(|m| m.unsigned_abs() < limit.unsigned_abs()).ok_or_else(overflow);
    let shift = match values.data_type() {
        DataType::Decimal128(_, old) => Some(i32::from(scale) - i32::from(*old)),
        _ => None,
    };
    let scaled: Decimal128Array = match (values.as_primitive_opt::<Decimal128Type>(), shift) {
        (Some(decimals), Some(shift)) => {
            decimals.iter().map(|m| m.map(|m| fit(rescale(m, shift))).transpose()).collect::<Result<_>>()?
        }
        _ => {
            let one = |n: Numeric| match n.fit(precision.into(), scale.into())? {
                special @ (Numeric::NaN | Numeric::Infinity | Numeric::NegativeInfinity) => Err(unheld(&special)),
                finite => fit(finite.mantissa_at(u32::from(scale.unsigned_abs()))),
            };
            each(values, |n| one(n).map(Some))?.into_iter().collect()
        }
    };
    Ok(Arc::new(scaled.with_precision_and_scale(precision, scale).map_err(|_| overflow())?))
}

fn to_own_digits(values: &ArrayRef, to: PgType) -> Result<ArrayRef> {
    let fit = |n: Numeric| match to.numeric_digits() {
        Some((precision, scale)) => n.fit(precision, scale).map(Some),
        None => Ok(Some(n)),
    };
    if *values.data_type() == DataType::LargeBinary && to.modifier == -1 {
        return Ok(Arc::clone(values));
    }
    collect(each(values, fit)?.into_iter().map(Ok))
}

/// Each number that is not NULL, as a numeric, by way of this.
fn each<T>(values: &ArrayRef, change: impl Fn(Numeric) -> Result<Option<T>>) -> Result<Vec<Option<T>>> {
    let changed = |n: Option<Result<Numeric>>| n.map_or(Ok(None), |n| change(n?));
    match values.data_type() {
        DataType::Float32 => values.as_primitive::<Float32Type>().iter().map(|x| changed(x.map(Numeric::of_f32))).collect(),
        DataType::Float64 => values.as_primitive::<Float64Type>().iter().map(|x| changed(x.map(Numeric::of_f64))).collect(),
        ty if is_exact(ty) => Numbers::new(values)?.iter().map(|n| changed(n.map(Ok))).collect(),
        _ => {
            let whole = cast(values, &DataType::Int64).map_err(|_| SqlError::internal("a number of an unknown type"))?;
            Numbers::new(&whole)?.iter().map(|n| changed(n.map(Ok))).collect()
        }
    }
}

/// 0A000 for a value that columns of numeric(p, s) do not hold here.
fn unheld(special: &Numeric) -> SqlError {
    SqlError::unsupported(
        format!("numeric value \"{special}\" is not supported in a column of numeric(p, s)"),
        "A numeric without precision holds NaN and the infinities.",
    )
}

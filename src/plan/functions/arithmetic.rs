//! `+ - * / %` of numbers: overflow is 22003, a zero divisor 22012, quotients of integers are cut and those of
//! numerics carry as many digits as PostgreSQL's.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{ArrowNativeType, DataType, Decimal128Type, Float32Type, Float64Type, i256};
use datafusion::arrow::error::ArrowError;
use datafusion::common::ScalarValue;

use super::define::{Call, Function, Returns, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::COMPUTED_SCALE;
use crate::types::PgType;
use crate::types::complaint::{division_by_zero, out_of_range};
use crate::types::number::{power_of_ten, rescale};

const BOTH: &[Want] = &[Want::Any, Want::Any];

pub const ADD: &str = "pg_add";
pub const SUBTRACT: &str = "pg_subtract";
pub const MULTIPLY: &str = "pg_multiply";
pub const DIVIDE: &str = "pg_divide";
pub const MODULO: &str = "pg_modulo";

/// Both arguments come in one type of number, or as two numerics; see [`common_type`].
pub const FUNCTIONS: &[Function] = &[
    Function::new(ADD, BOTH, Returns::Arrow(|t| result(t, sum_type)), |c| run(c, Operation::Add)),
    Function::new(SUBTRACT, BOTH, Returns::Arrow(|t| result(t, sum_type)), |c| run(c, Operation::Subtract)),
    Function::new(MULTIPLY, BOTH, Returns::Arrow(|t| result(t, product_type)), |c| run(c, Operation::Multiply)),
    Function::new(DIVIDE, BOTH, Returns::Arrow(|t| result(t, |_, _| (38, COMPUTED_SCALE))), |c| run(c, Operation::Divide)),
    Function::new(MODULO, BOTH, Returns::Arrow(|t| result(t, sum_type)), |c| run(c, Operation::Modulo)).aliases(&["mod"]),
];

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

type Digits = (u8, i8);

/// The type that two numbers are brought to before they are computed with; numerics keep their own digits.
pub fn common_type(left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    use DataType::{Decimal128, Float32, Float64, Int16, Int32, Int64};
    let integer = |t: &DataType| matches!(t, Int16 | Int32 | Int64);
    let decimal = |t: &DataType| match t {
        Int16 => Some(Decimal128(5, 0)),
        Int32 => Some(Decimal128(10, 0)),
        Int64 => Some(Decimal128(19, 0)),
        DataType::UInt64 => Some(Decimal128(20, 0)),
        Decimal128(..) => Some(t.clone()),
        _ => None,
    };
    match (left, right) {
        (Float32, Float32) => Some((Float32, Float32)),
        (Float32 | Float64, other) | (other, Float32 | Float64) => {
            let number = integer(other) || matches!(other, Decimal128(..) | Float32 | Float64);
            number.then_some((Float64, Float64))
        }
        (a, b) if integer(a) && integer(b) => {
            let wide = if *a == Int64 || *b == Int64 {
                Int64
            } else if *a == Int32 || *b == Int32 {
                Int32
            } else {
                Int16
            };
            Some((wide.clone(), wide))
        }
        (a, b) => Some((decimal(a)?, decimal(b)?)),
    }
}

fn result(types: &[DataType], digits: fn(Digits, Digits) -> Digits) -> Result<DataType> {
    let common = match types {
        [left, right] => common_type(left, right),
        _ => None,
    };
    match common {
        Some((DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2))) => {
            let (p, s) = digits((p1, s1), (p2, s2));
            Ok(DataType::Decimal128(p, s))
        }
        Some((left, _)) => Ok(left),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "operator does not exist for these types")),
    }
}

fn sum_type((p1, s1): Digits, (p2, s2): Digits) -> Digits {
    let scale = s1.max(s2);
    let whole = (p1 as i8 - s1).max(p2 as i8 - s2);
    let precision = i16::from(whole) + i16::from(scale) + 1;
    (precision.clamp(1, 38) as u8, scale)
}

fn product_type((p1, s1): Digits, (p2, s2): Digits) -> Digits {
    let scale = (s1 + s2).min(COMPUTED_SCALE.max(s1).max(s2));
    ((u16::from(p1) + u16::from(p2)).min(38) as u8, scale)
}

fn run(call: &Call<'_>, operation: Operation) -> Result<ArrayRef> {
    let (left, right) = (&call.args[0], &call.args[1]);
    let common = common_type(left.data_type(), right.data_type());
    let (left_type, right_type) = common.ok_or_else(|| SqlError::internal("numbers of types that do not meet"))?;
    let brought = |array: &ArrayRef, ty: &DataType| {
        if array.data_type() == ty {
            return Ok(Arc::clone(array));
        }
        cast(array, ty).map_err(|_| SqlError::internal("numbers of types that do not meet"))
    };
    let (left, right) = (&brought(left, &left_type)?, &brought(right, &right_type)?);
    match left.data_type() {
        DataType::Float32 => float4(left, right, operation),
        DataType::Float64 => float8(left, right, operation),
        DataType::Decimal128(..) => decimals(left, right, call.returns.data_type(), operation),
        _ => integers(left, right, operation),
    }
}

fn integers(left: &ArrayRef, right: &ArrayRef, operation: Operation) -> Result<ArrayRef> {
    let computed = match operation {
        Operation::Add => numeric::add(left, right),
        Operation::Subtract => numeric::sub(left, right),
        Operation::Multiply => numeric::mul(left, right),
        Operation::Divide => numeric::div(left, right),
        Operation::Modulo => numeric::rem(left, right),
    };
    computed.map_err(|e| match e {
        ArrowError::DivideByZero => division_by_zero(),
        _ => out_of_range(&PgType::of_arrow(left.data_type()).sql_name()),
    })
}

macro_rules! floats {
    ($name:ident, $native:ty, $arrow:ty, $array:ty) => {
        fn $name(left: &ArrayRef, right: &ArrayRef, operation: Operation) -> Result<ArrayRef> {
            let (left, right) = (left.as_primitive::<$arrow>(), right.as_primitive::<$arrow>());
            let compute = |(a, b): (Option<$native>, Option<$native>)| {
                let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
                let value: $native = match operation {
                    Operation::Add => a + b,
                    Operation::Subtract => a - b,
                    Operation::Multiply => a * b,
                    Operation::Divide | Operation::Modulo if b == 0.0 => return Err(division_by_zero()),
                    Operation::Divide => a / b,
                    Operation::Modulo => a % b,
                };
                let scaled = matches!(operation, Operation::Multiply | Operation::Divide);
                if value.is_infinite() && a.is_finite() && b.is_finite() {
                    return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow"));
                }
                if scaled && value == 0.0 && a != 0.0 && b.is_finite() && b != 0.0 {
                    return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow"));
                }
                Ok(Some(value))
            };
            let values = left.iter().zip(right.iter()).map(compute).collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(values.into_iter().collect::<$array>()))
        }
    };
}

floats!(float4, f32, Float32Type, Float32Array);
floats!(float8, f64, Float64Type, Float64Array);

fn decimals(left: &ArrayRef, right: &ArrayRef, result: &DataType, operation: Operation) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = result else { return Err(SqlError::internal("a numeric result is expected")) };
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let (s1, s2) = (i32::from(left.scale()), i32::from(right.scale()));
    let target = i32::from(*scale);
    let overflow = || {
        SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
            .detail("Results of numeric arithmetic hold 38 digits.")
            .hint("Cast an operand to a numeric(precision, scale) with fewer digits, or to double precision.")
    };
    let compute = |(a, b): (Option<i128>, Option<i128>)| {
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        let value = match operation {
            Operation::Multiply => product(a, b, s1 + s2 - target),
            Operation::Divide if b == 0 => return Err(division_by_zero()),
            Operation::Divide => quotient((a, s1), (b, s2), target),
            Operation::Modulo if b == 0 => return Err(division_by_zero()),
            _ => aligned(a, s1, b, s2, target, operation),
        };
        value.filter(|v| v.unsigned_abs() < power_of_ten(38).unsigned_abs()).map(Some).ok_or_else(overflow)
    };
    let values = left.iter().zip(right.iter()).map(compute).collect::<Result<Vec<_>>>()?;
    let array = values.into_iter().collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale);
    Ok(Arc::new(array.map_err(|_| overflow())?))
}

fn aligned(a: i128, s1: i32, b: i128, s2: i32, target: i32, operation: Operation) -> Option<i128> {
    let (a, b) = (rescale(a, target - s1)?, rescale(b, target - s2)?);
    match operation {
        Operation::Add => a.checked_add(b),
        Operation::Subtract => a.checked_sub(b),
        _ => a.checked_rem(b),
    }
}

/// The product with `drop` digits fewer; `None` when they are not all zero.
fn product(a: i128, b: i128, drop: i32) -> Option<i128> {
    if drop == 0 {
        return a.checked_mul(b);
    }
    let exact = i256::from_i128(a).checked_mul(i256::from_i128(b))?;
    let unit = i256::from_i128(power_of_ten(drop.unsigned_abs().min(38)));
    if exact.checked_rem(unit)? != i256::ZERO {
        return None;
    }
    exact.checked_div(unit)?.to_i128()
}

/// `a / b` at scale `target`, with no more digits than PostgreSQL's rule gives it, rounded half away from zero.
pub fn quotient((a, s1): (i128, i32), (b, s2): (i128, i32), target: i32) -> Option<i128> {
    let digits = quotient_scale((a, s1), (b, s2)).min(target);
    rescale(rounded_quotient((a, s1), (b, s2), digits)?, target - digits)
}

/// `a / b` at a scale, rounded half away from zero.
fn rounded_quotient((a, s1): (i128, i32), (b, s2): (i128, i32), digits: i32) -> Option<i128> {
    let shift = digits + s2 - s1;
    let ten = |n: i32| (0..n).try_fold(i256::ONE, |p, _| p.checked_mul(i256::from_i128(10)));
    let (numerator, denominator) = if shift >= 0 {
        (i256::from_i128(a).checked_mul(ten(shift)?)?, i256::from_i128(b))
    } else {
        (i256::from_i128(a), i256::from_i128(b).checked_mul(ten(-shift)?)?)
    };
    let quotient = numerator.checked_div(denominator)?;
    let remainder = numerator.checked_rem(denominator)?.wrapping_abs();
    let up = remainder.checked_add(remainder)? >= denominator.wrapping_abs();
    let sign = if (a < 0) == (b < 0) { 1 } else { -1 };
    quotient.to_i128()?.checked_add(if up { sign } else { 0 })
}

/// The quotient of two constants of which one is a numeric, with all the digits that PostgreSQL shows. `None` where
/// that is not known at once, and for a divisor of zero.
pub fn constant_quotient(a: &ScalarValue, b: &ScalarValue) -> Option<ScalarValue> {
    let whole = |value: &ScalarValue| match value {
        ScalarValue::Int16(Some(n)) => Some(i128::from(*n)),
        ScalarValue::Int32(Some(n)) => Some(i128::from(*n)),
        ScalarValue::Int64(Some(n)) => Some(i128::from(*n)),
        _ => None,
    };
    let parts = |value: &ScalarValue| match value {
        ScalarValue::Decimal128(Some(m), p, s) if *p < 38 => Some((*m, i32::from(*s))),
        other => whole(other).map(|n| (n, 0)),
    };
    if whole(a).is_some() && whole(b).is_some() {
        return None;
    }
    let (a, b) = (parts(a)?, parts(b)?);
    if b.0 == 0 {
        return None;
    }
    let scale = quotient_scale(a, b).max(a.1).max(b.1);
    let mantissa = rounded_quotient(a, b, scale)?;
    let digits = mantissa.unsigned_abs().checked_ilog10().map_or(1, |n| n as u8 + 1).max(scale as u8);
    (digits < 38).then(|| ScalarValue::Decimal128(Some(mantissa), digits, scale as i8))
}

/// PostgreSQL gives a quotient at least 16 significant digits, counted in groups of four.
pub fn quotient_scale((a, s1): (i128, i32), (b, s2): (i128, i32)) -> i32 {
    let (weight1, first1, shown1) = leading_group(a, s1);
    let (weight2, first2, shown2) = leading_group(b, s2);
    let weight = weight1 - weight2 - i32::from(first1 <= first2);
    (16 - weight * 4).max(shown1).max(shown2).max(0)
}

/// Weight and value of the first group of four digits, and the digits after the point that are not zeros at
/// the end.
fn leading_group(mantissa: i128, scale: i32) -> (i32, i128, i32) {
    if mantissa == 0 {
        return (0, 0, 0);
    }
    let magnitude = mantissa.unsigned_abs();
    let digits = magnitude.ilog10() as i32 + 1;
    let weight = (digits - scale - 1).div_euclid(4);
    // The group begins at the digit of weight 4 × weight + 3.
    let below = scale + weight * 4;
    let first =
        if below >= 0 { magnitude / 10u128.pow(below.as_usize() as u32) } else { magnitude * 10u128.pow((-below) as u32) };
    let mut shown = scale;
    let mut rest = magnitude;
    while shown > 0 && rest.is_multiple_of(10) {
        rest /= 10;
        shown -= 1;
    }
    (weight, first as i128, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_have_postgresqls_digits() {
        let shown = |a: i128, s1: i32, b: i128, s2: i32| {
            let mut out = String::new();
            crate::types::number::write_numeric(&mut out, quotient((a, s1), (b, s2), 20).unwrap(), 20, true);
            out
        };
        assert_eq!(shown(1, 0, 3, 0), "0.33333333333333333333");
        assert_eq!(shown(10, 0, 3, 0), "3.3333333333333333");
        assert_eq!(shown(20, 1, -30, 1), "-0.66666666666666666667");
        assert_eq!(shown(100_000, 0, 3, 0), "33333.333333333333");
        assert_eq!(shown(1, 0, 8, 0), "0.125");
        assert_eq!(shown(0, 0, 8, 0), "0");
    }

    #[test]
    fn products_are_exact_or_refused() {
        assert_eq!(product(15, 20, 1), Some(30));
        assert_eq!(product(15, 15, 1), None);
        assert_eq!(product(i128::MAX, 2, 0), None);
    }
}

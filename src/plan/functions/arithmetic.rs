//! `+ - * / %` of numbers: overflow is 22003, a zero divisor 22012, quotients of integers are cut and numerics show
//! PostgreSQL's digits.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;

use super::define::{Call, Function, Returns, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::PgType;
use crate::types::complaint::{division_by_zero, out_of_range};
use crate::types::number::rescale;
use crate::types::numeric::Numeric;
use crate::types::numeric::cast::to_float;
use crate::types::numeric::column::{ARROW, Numbers, collect, is_exact, is_numeric};

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
    Function::new(DIVIDE, BOTH, Returns::Arrow(|t| result(t, |_, _| None)), |c| run(c, Operation::Divide)),
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
        (DataType::LargeBinary, other) if is_exact(other) => Some((DataType::LargeBinary, other.clone())),
        (other, DataType::LargeBinary) if is_exact(other) => Some((other.clone(), DataType::LargeBinary)),
        (Float32, Float32) => Some((Float32, Float32)),
        (Float32 | Float64, other) | (other, Float32 | Float64) => {
            let number = integer(other) || is_numeric(other) || matches!(other, Float32 | Float64);
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

/// Of decimals that `digits` gives digits to, a decimal with those; of other numerics one whose values have their own.
fn result(types: &[DataType], digits: fn(Digits, Digits) -> Option<Digits>) -> Result<DataType> {
    let common = match types {
        [left, right] => common_type(left, right),
        _ => None,
    };
    match common {
        Some((DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2))) => {
            Ok(digits((p1, s1), (p2, s2)).map_or(ARROW, |(p, s)| DataType::Decimal128(p, s)))
        }
        Some((DataType::LargeBinary, _) | (_, DataType::LargeBinary)) => Ok(ARROW),
        Some((left, _)) => Ok(left),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "operator does not exist for these types")),
    }
}

/// `None` for more digits than a decimal holds.
fn sum_type((p1, s1): Digits, (p2, s2): Digits) -> Option<Digits> {
    let scale = s1.max(s2);
    let whole = (p1 as i8 - s1).max(p2 as i8 - s2);
    let precision = i16::from(whole) + i16::from(scale) + 1;
    (precision <= 38).then_some((precision.max(1) as u8, scale))
}

fn product_type((p1, s1): Digits, (p2, s2): Digits) -> Option<Digits> {
    let precision = u16::from(p1) + u16::from(p2);
    (precision <= 38).then_some((precision as u8, s1 + s2))
}

fn run(call: &Call<'_>, operation: Operation) -> Result<ArrayRef> {
    let (left, right) = (&call.args[0], &call.args[1]);
    let common = common_type(left.data_type(), right.data_type());
    let (left_type, right_type) = common.ok_or_else(|| SqlError::internal("numbers of types that do not meet"))?;
    if *call.returns.data_type() == ARROW {
        return own_digits(left, right, operation);
    }
    let brought = |array: &ArrayRef, ty: &DataType| {
        if array.data_type() == ty {
            return Ok(Arc::clone(array));
        }
        if is_numeric(array.data_type()) && ty.is_floating() {
            return to_float(array, PgType::of_arrow(ty));
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

/// Numerics of which each shows its own digits.
fn own_digits(left: &ArrayRef, right: &ArrayRef, operation: Operation) -> Result<ArrayRef> {
    let (left, right) = (Numbers::new(left)?, Numbers::new(right)?);
    let compute = match operation {
        Operation::Add => Numeric::plus,
        Operation::Subtract => Numeric::minus,
        Operation::Multiply => Numeric::times,
        Operation::Divide => Numeric::over,
        Operation::Modulo => Numeric::rest,
    };
    collect(left.iter().zip(right.iter()).map(|(a, b)| a.zip(b).map(|(a, b)| compute(&a, &b)).transpose()))
}

/// Decimals whose result has room for every digit.
fn decimals(left: &ArrayRef, right: &ArrayRef, result: &DataType, operation: Operation) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = result else { return Err(SqlError::internal("a numeric result is expected")) };
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let (s1, s2) = (i32::from(left.scale()), i32::from(right.scale()));
    let target = i32::from(*scale);
    let compute = |(a, b): (Option<i128>, Option<i128>)| {
        let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
        let value = match operation {
            Operation::Multiply => a.checked_mul(b),
            Operation::Modulo if b == 0 => return Err(division_by_zero()),
            _ => aligned(a, s1, b, s2, target, operation),
        };
        value.map(Some).ok_or_else(|| out_of_range("numeric"))
    };
    let values = left.iter().zip(right.iter()).map(compute).collect::<Result<Vec<_>>>()?;
    let array = values.into_iter().collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale);
    Ok(Arc::new(array.map_err(|_| out_of_range("numeric"))?))
}

fn aligned(a: i128, s1: i32, b: i128, s2: i32, target: i32, operation: Operation) -> Option<i128> {
    let (a, b) = (rescale(a, target - s1)?, rescale(b, target - s2)?);
    match operation {
        Operation::Add => a.checked_add(b),
        Operation::Subtract => a.checked_sub(b),
        _ => a.checked_rem(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_stay_decimals_while_their_digits_have_room() {
        let decimal = |p, s| DataType::Decimal128(p, s);
        assert_eq!(result(&[decimal(10, 2), DataType::Int32], product_type).unwrap(), decimal(20, 2));
        assert_eq!(result(&[decimal(10, 2), decimal(3, 1)], sum_type).unwrap(), decimal(11, 2));
        assert_eq!(result(&[decimal(20, 2), decimal(19, 2)], product_type).unwrap(), ARROW);
        assert_eq!(result(&[decimal(38, 2), decimal(1, 0)], sum_type).unwrap(), ARROW);
        assert_eq!(result(&[ARROW, DataType::Int64], sum_type).unwrap(), ARROW);
        assert_eq!(result(&[ARROW, DataType::Float32], sum_type).unwrap(), DataType::Float64);
    }
}

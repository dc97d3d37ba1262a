//! Functions of numbers whose PostgreSQL result depends on the kind of number: rounding, absolute value, roots, powers.
//!
//! Of whole numbers they mostly are those of double precision; of numerics each shows PostgreSQL's digits. Numerics that
//! all show the same digits stay such where that is known before they are computed.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array};
use datafusion::arrow::compute::kernels::numeric::neg;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::ScalarValue;

use super::define::{Call, Function, INT4, INT8, Returns, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::types::complaint::out_of_range;
use crate::types::number::{power_of_ten, rescale};
use crate::types::numeric::Numeric;
use crate::types::numeric::column::{ARROW, Numbers, collect, is_exact, is_numeric};
use crate::types::{PgType, TypeName};

const FLOAT8: Returns = Returns::of(TypeName::Float8);
const NUMERIC: Returns = Returns::of(TypeName::Numeric);
const NUMBER: &[Want] = &[Want::Any];
const PAIR: &[Want] = &[Want::Any, Want::Any];
const ROUND: &[Want] = &[Want::Any, INT4];
const FLOAT: Want = Want::Type(TypeName::Float8);
const OF_NUMERIC: Want = Want::Type(TypeName::Numeric);

/// Minus, as a function: the planner knows none of numerics.
pub const NEGATE: &str = "pg_negate";

pub const FUNCTIONS: &[Function] = &[
    Function::new(NEGATE, NUMBER, Returns::Field(|types, arrow, _| negated_field(types, arrow)), negate),
    Function::new("abs", NUMBER, Returns::Arrow(magnitude_type), magnitude),
    Function::new("sign", NUMBER, Returns::Arrow(|t| Ok(kind(t))), |c| one(c, |n| Ok(n.sign()), |x| Ok(sign(x)))),
    Function::new("round", ROUND, Returns::Field(rounded_field), |c| rounded(c, Rounding::HalfAway)).optional(1),
    Function::new("trunc", ROUND, Returns::Field(rounded_field), |c| rounded(c, Rounding::Cut)).optional(1),
    Function::new("ceil", NUMBER, Returns::Arrow(|t| rounded_type(t, Some(0))), |c| rounded(c, Rounding::Up))
        .aliases(&["ceiling"]),
    Function::new("floor", NUMBER, Returns::Arrow(|t| rounded_type(t, Some(0))), |c| rounded(c, Rounding::Down)),
    Function::new("pg_bit_not", NUMBER, Returns::Arrow(integer_type), bit_not),
    Function::new("div", PAIR, Returns::Arrow(|t| exact("div", t)), |c| two(c, Numeric::over_whole)),
    Function::new("gcd", PAIR, Returns::Arrow(|t| divisor_type("gcd", t)), |c| divisors(c, Numeric::gcd)),
    Function::new("lcm", PAIR, Returns::Arrow(|t| divisor_type("lcm", t)), |c| divisors(c, Numeric::lcm)),
    Function::new("scale", &[OF_NUMERIC], Returns::Fixed(PgType::INT4), |c| scales(c, |n| n.scale())),
    Function::new("min_scale", &[OF_NUMERIC], Returns::Fixed(PgType::INT4), |c| {
        scales(c, |n| n.trim_scale().ok().and_then(|n| n.scale()))
    }),
    Function::new("trim_scale", &[OF_NUMERIC], NUMERIC, |c| one(c, Numeric::trim_scale, Ok)),
    Function::new("factorial", &[INT8], NUMERIC, factorial),
    Function::new("width_bucket", BUCKET, Returns::Fixed(PgType::INT4), |c| match kind(&types_of(c, 3)) {
        DataType::Float64 => width_bucket(c),
        _ => numeric_bucket(c),
    }),
    Function::new("sqrt", NUMBER, Returns::Arrow(|t| Ok(kind(t))), |c| one(c, Numeric::sqrt, root)),
    float_function("dsqrt", |c| float(c, root)),
    Function::new("exp", NUMBER, Returns::Arrow(|t| Ok(kind(t))), |c| one(c, Numeric::exp, |x| within(x, x.exp()))),
    Function::new("ln", NUMBER, Returns::Arrow(|t| Ok(kind(t))), |c| one(c, Numeric::ln, |x| positive(x).map(f64::ln))),
    Function::new("log10", NUMBER, Returns::Arrow(|t| Ok(kind(t))), |c| {
        one(c, |n| n.log(&Numeric::of_i64(10)), |x| positive(x).map(f64::log10))
    }),
    Function::new("log", PAIR, Returns::Arrow(log_type), |c| match c.args.len() {
        1 => one(c, |n| n.log(&Numeric::of_i64(10)), |x| positive(x).map(f64::log10)),
        _ => two(c, |base, n| n.log(base)),
    })
    .optional(1),
    Function::new("power", PAIR, Returns::Arrow(|t| Ok(kind(t))), power).aliases(&["pow"]),
    float_function("sin", |c| float(c, |x| Ok(x.sin()))),
    float_function("cos", |c| float(c, |x| Ok(x.cos()))),
    float_function("tan", |c| float(c, |x| Ok(x.tan()))),
    float_function("cot", |c| float(c, |x| Ok(1.0 / x.tan()))),
    float_function("asin", |c| float(c, |x| bounded(x).map(f64::asin))),
    float_function("acos", |c| float(c, |x| bounded(x).map(f64::acos))),
    float_function("atan", |c| float(c, |x| Ok(x.atan()))),
    float_function("sinh", |c| float(c, |x| Ok(x.sinh()))),
    float_function("cosh", |c| float(c, |x| Ok(x.cosh()))),
    float_function("tanh", |c| float(c, |x| Ok(x.tanh()))),
    float_function("degrees", |c| float(c, |x| Ok(x.to_degrees()))),
    float_function("radians", |c| float(c, |x| Ok(x.to_radians()))),
    float_function("cbrt", |c| float(c, |x| Ok(x.cbrt()))),
    Function::new("atan2", &[FLOAT, FLOAT], FLOAT8, |c| {
        c.map::<f64, Float64Array>(|row| Ok(c.float8(0, row).zip(c.float8(1, row)).map(|(y, x)| y.atan2(x))))
    }),
];

const BUCKET: &[Want] = &[Want::Any, Want::Any, Want::Any, INT4];

const fn float_function(name: &'static str, body: super::define::Body) -> Function {
    Function::new(name, &[FLOAT], FLOAT8, body)
}

/// Numerics give a numeric, whatever whole numbers are beside them; all else double precision.
fn kind(types: &[DataType]) -> DataType {
    if types.iter().all(is_exact) && types.iter().any(is_numeric) { ARROW } else { DataType::Float64 }
}

fn types_of(call: &Call<'_>, count: usize) -> Vec<DataType> {
    call.args.iter().take(count).map(|a| a.data_type().clone()).collect()
}

fn undefined(name: &str, types: &[DataType]) -> SqlError {
    let types: Vec<String> = types.iter().map(|t| PgType::of_arrow(t).sql_name()).collect();
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name}({}) does not exist", types.join(", ")))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// A numeric, of numerics and whole numbers only.
fn exact(name: &str, types: &[DataType]) -> Result<DataType> {
    if types.iter().all(is_exact) { Ok(ARROW) } else { Err(undefined(name, types)) }
}

fn log_type(types: &[DataType]) -> Result<DataType> {
    if types.len() == 2 { exact("log", types) } else { Ok(kind(types)) }
}

fn floats(array: &ArrayRef) -> Result<ArrayRef> {
    let from = PgType::of_arrow(array.data_type());
    cast_array(array, from, PgType::new(TypeName::Float8), crate::types::Zone::UTC)
}

/// A function of one number: of numerics this, of all others that.
fn one(call: &Call<'_>, exact: impl Fn(&Numeric) -> Result<Numeric>, float: impl Fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    if *call.returns.data_type() == ARROW {
        return collect(Numbers::new(&call.args[0])?.iter().map(|n| n.map(|n| exact(&n)).transpose()));
    }
    let values = floats(&call.args[0])?;
    let values = values.as_primitive::<Float64Type>();
    call.map::<f64, Float64Array>(|row| values.is_valid(row).then(|| float(values.value(row))).transpose())
}

/// A function of two numerics.
fn two(call: &Call<'_>, exact: impl Fn(&Numeric, &Numeric) -> Result<Numeric>) -> Result<ArrayRef> {
    let (a, b) = (Numbers::new(&call.args[0])?, Numbers::new(&call.args[1])?);
    collect((0..call.rows).map(|row| a.get(row).zip(b.get(row)).map(|(a, b)| exact(&a, &b)).transpose()))
}

fn power(call: &Call<'_>) -> Result<ArrayRef> {
    if *call.returns.data_type() == ARROW {
        return two(call, Numeric::power);
    }
    let (a, b) = (floats(&call.args[0])?, floats(&call.args[1])?);
    let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
    call.map::<f64, Float64Array>(|row| {
        if a.is_null(row) || b.is_null(row) {
            return Ok(None);
        }
        let (x, y) = (a.value(row), b.value(row));
        let undefined = |message| Err(argument(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
        if x == 0.0 && y < 0.0 {
            return undefined("zero raised to a negative power is undefined");
        }
        if x < 0.0 && y.fract() != 0.0 && y.is_finite() {
            return undefined("a negative number raised to a non-integer power yields a complex result");
        }
        let result = x.powf(y);
        if x == 0.0 || !y.is_finite() { Ok(Some(result)) } else { within(x, result).map(Some) }
    })
}

/// 22003 where a finite value has no finite result, or none but zero.
fn within(x: f64, result: f64) -> Result<f64> {
    let out = |what: &str| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value out of range: {what}"));
    if result.is_infinite() && x.is_finite() {
        return Err(out("overflow"));
    }
    if result == 0.0 && x.is_finite() { Err(out("underflow")) } else { Ok(result) }
}

fn root(x: f64) -> Result<f64> {
    if x < 0.0 {
        return Err(argument(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, "cannot take square root of a negative number"));
    }
    Ok(x.sqrt())
}

fn bounded(x: f64) -> Result<f64> {
    if (-1.0..=1.0).contains(&x) || x.is_nan() {
        Ok(x)
    } else {
        Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "input is out of range"))
    }
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

fn scales(call: &Call<'_>, scale: impl Fn(&Numeric) -> Option<u32>) -> Result<ArrayRef> {
    let values = Numbers::new(&call.args[0])?;
    call.map::<i32, Int32Array>(|row| Ok(values.get(row).and_then(|n| scale(&n)).map(|s| s as i32)))
}

fn factorial(call: &Call<'_>) -> Result<ArrayRef> {
    collect((0..call.rows).map(|row| {
        let Some(n) = call.int8(0, row) else { return Ok(None) };
        if n < 0 {
            return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "factorial of a negative number is undefined"));
        }
        if n > 32_177 {
            return Err(crate::types::numeric::overflow());
        }
        (1..=n).try_fold(Numeric::of_i64(1), |product, k| product.times(&Numeric::of_i64(k))).map(Some)
    }))
}

fn divisor_type(name: &str, types: &[DataType]) -> Result<DataType> {
    match types {
        [DataType::Int16 | DataType::Int32, DataType::Int16 | DataType::Int32] => Ok(DataType::Int32),
        [a, b] if a.is_integer() && b.is_integer() => Ok(DataType::Int64),
        _ => exact(name, types),
    }
}

fn divisors(call: &Call<'_>, exact: fn(&Numeric, &Numeric) -> Result<Numeric>) -> Result<ArrayRef> {
    let numerics = two(call, exact)?;
    match call.returns.data_type() {
        DataType::Int32 => cast_array(&numerics, PgType::new(TypeName::Numeric), PgType::INT4, call.zone()),
        DataType::Int64 => cast_array(&numerics, PgType::new(TypeName::Numeric), PgType::INT8, call.zone()),
        _ => Ok(numerics),
    }
}

fn negated_field(types: &[PgType], arrow: &[DataType]) -> Result<Field> {
    match (types, arrow) {
        ([ty], [arrow]) if !ty.array && (is_exact(arrow) || arrow.is_floating() || matches!(arrow, DataType::Interval(_))) => {
            Ok(ty.with_modifier(-1).field(NEGATE, true).with_data_type(arrow.clone()))
        }
        (_, [DataType::Utf8 | DataType::Null]) => {
            Err(SqlError::new(SqlState::AMBIGUOUS_FUNCTION, "operator is not unique: - unknown")
                .hint("Could not choose a best candidate operator. You might need to add explicit type casts."))
        }
        _ => {
            let name = types.first().map_or_else(String::new, |t| t.with_modifier(-1).sql_name());
            Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: - {name}"))
                .hint("No operator matches the given name and argument type. You might need to add an explicit type cast."))
        }
    }
}

fn negate(call: &Call<'_>) -> Result<ArrayRef> {
    let values = &call.args[0];
    if *values.data_type() == ARROW {
        return collect(Numbers::new(values)?.iter().map(|n| Ok(n.map(|n| n.negated()))));
    }
    neg(values).map_err(|_| out_of_range(&PgType::of_arrow(values.data_type()).sql_name()))
}

fn magnitude_type(types: &[DataType]) -> Result<DataType> {
    match types {
        [t] if is_exact(t) || matches!(t, DataType::Float32 | DataType::Float64) => Ok(t.clone()),
        [DataType::Utf8] => Ok(DataType::Float64),
        _ => Err(undefined("abs", types)),
    }
}

fn magnitude(call: &Call<'_>) -> Result<ArrayRef> {
    let values = &call.args[0];
    let name = PgType::of_arrow(values.data_type()).sql_name();
    let beyond = || out_of_range(&name);
    macro_rules! whole {
        ($ty:ty) => {{
            let values = values.as_primitive::<$ty>();
            let one = |row: usize| match values.is_valid(row) {
                true => values.value(row).checked_abs().map(Some).ok_or_else(beyond),
                false => Ok(None),
            };
            call.map::<_, datafusion::arrow::array::PrimitiveArray<$ty>>(one)
        }};
    }
    match values.data_type() {
        DataType::Int16 => whole!(Int16Type),
        DataType::Int32 => whole!(Int32Type),
        DataType::Int64 => whole!(Int64Type),
        DataType::Float32 => Ok(Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs))),
        DataType::Decimal128(p, s) => {
            let magnitudes = values.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(i128::abs);
            Ok(Arc::new(magnitudes.with_precision_and_scale(*p, *s).map_err(|_| beyond())?))
        }
        DataType::LargeBinary => collect(Numbers::new(values)?.iter().map(|n| Ok(n.map(|n| n.magnitude())))),
        _ => {
            let values = floats(values)?;
            Ok(Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs)))
        }
    }
}

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

/// 2201G for buckets that there cannot be.
fn check_buckets(count: i32, any_nan: bool, bounds_are_finite: bool, bounds_are_equal: bool) -> Result<()> {
    let message = if count <= 0 {
        "count must be greater than zero"
    } else if any_nan {
        "operand, lower bound, and upper bound cannot be NaN"
    } else if !bounds_are_finite {
        "lower and upper bounds must be finite"
    } else if bounds_are_equal {
        "lower bound cannot equal upper bound"
    } else {
        return Ok(());
    };
    Err(SqlError::new(SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION, message))
}

fn width_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let numbers = [floats(&call.args[0])?, floats(&call.args[1])?, floats(&call.args[2])?];
    let value = |arg: usize, row: usize| {
        let values = numbers[arg].as_primitive::<Float64Type>();
        values.is_valid(row).then(|| values.value(row))
    };
    call.map::<i32, Int32Array>(|row| {
        let (Some(x), Some(low), Some(high), Some(count)) = (value(0, row), value(1, row), value(2, row), call.int4(3, row))
        else {
            return Ok(None);
        };
        let are_finite = low.is_finite() && high.is_finite();
        check_buckets(count, x.is_nan() || low.is_nan() || high.is_nan(), are_finite, low == high)?;
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

fn numeric_bucket(call: &Call<'_>) -> Result<ArrayRef> {
    let (values, lows, highs) = (Numbers::new(&call.args[0])?, Numbers::new(&call.args[1])?, Numbers::new(&call.args[2])?);
    call.map::<i32, Int32Array>(|row| {
        let (Some(x), Some(low), Some(high), Some(count)) = (values.get(row), lows.get(row), highs.get(row), call.int4(3, row))
        else {
            return Ok(None);
        };
        let are_finite = low.scale().is_some() && high.scale().is_some();
        check_buckets(count, x.is_nan() || low.is_nan() || high.is_nan(), are_finite, low == high)?;
        let (from, to, x) = if low < high { (low, high, x) } else { (low.negated(), high.negated(), x.negated()) };
        if x < from {
            return Ok(Some(0));
        }
        if x >= to {
            return count.checked_add(1).map(Some).ok_or_else(|| out_of_range("integer"));
        }
        let share = x.minus(&from)?.times(&Numeric::of_i64(count.into()))?;
        let bucket = share.over_whole(&to.minus(&from)?)?.to_integer("integer")?;
        Ok(Some(i32::try_from(bucket).unwrap_or(count).min(count - 1) + 1))
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

/// The type of a number rounded to so many places, where they are known: decimals stay such with fewer digits.
fn rounded_type(types: &[DataType], places: Option<i32>) -> Result<DataType> {
    match (types, places) {
        ([DataType::Decimal128(p, s), ..], Some(places)) if (0..=i32::from(*s)).contains(&places) => {
            let whole = i32::from(*p) - i32::from(*s) + 1;
            Ok(DataType::Decimal128((whole + places).clamp(1, 38) as u8, places as i8))
        }
        ([t], _) if is_numeric(t) => Ok(ARROW),
        ([t], _) if t.is_numeric() || *t == DataType::Utf8 => Ok(DataType::Float64),
        // round(integer, places) is of a numeric in PostgreSQL.
        ([t, _], _) if is_exact(t) => Ok(ARROW),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "function round(double precision, integer) does not exist")
            .hint("Cast the value to numeric.")),
    }
}

/// Does not depend on how many places are asked for: a constant may become known only later.
fn rounded_field(_: &[PgType], fields: &[DataType], values: &[Option<&ScalarValue>]) -> Result<Field> {
    let places = match values {
        [_] => Some(0),
        _ => None,
    };
    Ok(Field::new("round", rounded_type(fields, places)?, true))
}

fn rounded(call: &Call<'_>, rounding: Rounding) -> Result<ArrayRef> {
    match call.returns.data_type() {
        DataType::Decimal128(precision, scale) => decimals(call, rounding, *precision, *scale),
        DataType::LargeBinary => {
            let values = Numbers::new(&call.args[0])?;
            collect((0..call.rows).map(|row| {
                let places = if call.args.len() == 2 { call.int4(1, row) } else { Some(0) };
                let (Some(value), Some(places)) = (values.get(row), places) else { return Ok(None) };
                match rounding {
                    Rounding::HalfAway => value.round(places),
                    Rounding::Cut => value.trunc(places),
                    Rounding::Up => value.ceil(),
                    Rounding::Down => value.floor(),
                }
                .map(Some)
            }))
        }
        _ => {
            let values = floats(&call.args[0])?;
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

/// Decimals to the scale of the result.
fn decimals(call: &Call<'_>, rounding: Rounding, precision: u8, scale: i8) -> Result<ArrayRef> {
    let values = call.args[0].as_primitive_opt::<Decimal128Type>().ok_or_else(|| SqlError::internal("a decimal that is none"))?;
    let drop = i32::from(values.scale()) - i32::from(scale);
    let known = |row: usize| call.args.len() < 2 || call.int4(1, row).is_some();
    let one = |row: usize| (values.is_valid(row) && known(row)).then(|| round_at(values.value(row), drop, rounding));
    let array = (0..call.rows).map(one).collect::<Decimal128Array>().with_precision_and_scale(precision, scale);
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

//! Arithmetic of dates, times and intervals. Months and days are added on the session's wall clock.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, IntervalMonthDayNanoArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::define::{Call, Function, INT8, Returns, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::calendar::{
    Civil, FIRST_MICROS, MICROS_PER_DAY, civil_of, days_in_month, days_of, is_infinite, midnight, split,
};
use crate::types::complaint::division_by_zero;
use crate::types::datetime::in_date_range;
use crate::types::{PgType, TypeName, Zone};

const INTERVAL: PgType = PgType::new(TypeName::Interval);
const SPAN: Want = Want::Type(TypeName::Interval);
const FLOAT8: Want = Want::Type(TypeName::Float8);
const ANY2: &[Want] = &[Want::Any, Want::Any];

pub const FUNCTIONS: &[Function] = &[
    Function::new("pg_plus_interval", &[Want::Any, SPAN], Returns::Arrow(moved_type), |c| moved(c, 1)).stable(),
    Function::new("pg_minus_interval", &[Want::Any, SPAN], Returns::Arrow(moved_type), |c| moved(c, -1)).stable(),
    Function::new("pg_date_plus_days", &[Want::Any, INT8], Returns::of(TypeName::Date), |c| date_moved(c, 1)),
    Function::new("pg_date_minus_days", &[Want::Any, INT8], Returns::of(TypeName::Date), |c| date_moved(c, -1)),
    Function::new("pg_date_difference", ANY2, Returns::of(TypeName::Int4), date_difference),
    Function::new("pg_time_difference", ANY2, Returns::Fixed(INTERVAL), time_difference).stable(),
    Function::new("overlaps", &[Want::Any, Want::Any, Want::Any, Want::Any], Returns::of(TypeName::Bool), overlaps).stable(),
    Function::new("pg_date_plus_time", ANY2, Returns::of(TypeName::Timestamp), date_plus_time),
    Function::new("pg_interval_add", &[SPAN, SPAN], Returns::Fixed(INTERVAL), |c| intervals(c, 1)),
    Function::new("pg_interval_subtract", &[SPAN, SPAN], Returns::Fixed(INTERVAL), |c| intervals(c, -1)),
    Function::new("pg_interval_multiply", &[SPAN, FLOAT8], Returns::Fixed(INTERVAL), |c| scaled(c, Ok)),
    Function::new("pg_interval_divide", &[SPAN, FLOAT8], Returns::Fixed(INTERVAL), |c| {
        scaled(c, |f| if f == 0.0 { Err(division_by_zero()) } else { Ok(1.0 / f) })
    }),
];

/// The function for an operator on these types, and whether its operands change places.
pub fn operator(op: &BinaryOperator, left: PgType, right: PgType) -> Option<(&'static str, bool)> {
    use BinaryOperator::{Divide, Minus, Multiply, Plus};
    use TypeName::{Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Time, Timestamp, Timestamptz};
    if left.array || right.array {
        return None;
    }
    let whole = |t: PgType| matches!(t.name, Int2 | Int4 | Int8);
    let number = |t: PgType| whole(t) || matches!(t.name, Float4 | Float8 | Numeric);
    let instant = |t: PgType| matches!(t.name, Date | Timestamp | Timestamptz);
    Some(match (op, left.name, right.name) {
        (Plus, Interval, Interval) => ("pg_interval_add", false),
        (Minus, Interval, Interval) => ("pg_interval_subtract", false),
        (Plus, _, Interval) if instant(left) || left.name == Time => ("pg_plus_interval", false),
        (Plus, Interval, _) if instant(right) || right.name == Time => ("pg_plus_interval", true),
        (Minus, _, Interval) if instant(left) || left.name == Time => ("pg_minus_interval", false),
        (Plus, Date, _) if whole(right) => ("pg_date_plus_days", false),
        (Plus, _, Date) if whole(left) => ("pg_date_plus_days", true),
        (Minus, Date, _) if whole(right) => ("pg_date_minus_days", false),
        (Minus, Date, Date) => ("pg_date_difference", false),
        (Minus, Time, Time) => ("pg_time_difference", false),
        (Minus, _, _) if instant(left) && instant(right) => ("pg_time_difference", false),
        (Plus, Date, Time) => ("pg_date_plus_time", false),
        (Plus, Time, Date) => ("pg_date_plus_time", true),
        (Multiply, Interval, _) if number(right) => ("pg_interval_multiply", false),
        (Multiply, _, Interval) if number(left) => ("pg_interval_multiply", true),
        (Divide, Interval, _) if number(right) => ("pg_interval_divide", false),
        _ => return None,
    })
}

/// What an untyped operand is, beside one of type `ty`.
pub fn other_side(op: &BinaryOperator, ty: PgType) -> PgType {
    use TypeName::{Date, Interval, Time, Timestamp, Timestamptz};
    match (op, ty.name) {
        (BinaryOperator::Plus, Date | Time | Timestamp | Timestamptz) => INTERVAL,
        (BinaryOperator::Multiply | BinaryOperator::Divide, Interval) => PgType::new(TypeName::Float8),
        _ => ty.with_modifier(-1),
    }
}

pub(super) fn out_of_range(what: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{what} out of range"))
}

pub(super) fn timestamp_type(t: &DataType) -> DataType {
    match t {
        DataType::Timestamp(_, Some(_)) => PgType::TIMESTAMPTZ.arrow(),
        _ => PgType::new(TypeName::Timestamp).arrow(),
    }
}

fn moved_type(types: &[DataType]) -> Result<DataType> {
    match types.first() {
        Some(DataType::Time64(_)) => Ok(PgType::new(TypeName::Time).arrow()),
        Some(t @ (DataType::Date32 | DataType::Timestamp(..))) => Ok(timestamp_type(t)),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "operator does not exist for these types")),
    }
}

/// Microseconds of a date's midnight or of a timestamp, as they are stored.
pub(super) fn micros_at(array: &ArrayRef, row: usize) -> Option<i64> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Date32 => midnight(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => Some(array.as_primitive_opt::<TimestampMicrosecondType>()?.value(row)),
        DataType::Time64(_) => Some(array.as_primitive_opt::<Time64MicrosecondType>()?.value(row)),
        _ => None,
    }
}

pub(super) fn interval_at(array: &ArrayRef, row: usize) -> Option<IntervalMonthDayNano> {
    let array = array.as_primitive_opt::<IntervalMonthDayNanoType>()?;
    array.is_valid(row).then(|| array.value(row))
}

/// The zone in which a column's days begin: the session's for timestamptz.
pub(super) fn clock_of(call: &Call<'_>, arg: usize) -> Zone {
    match call.args[arg].data_type() {
        DataType::Timestamp(_, Some(_)) => call.zone(),
        _ => Zone::UTC,
    }
}

pub(super) fn timestamps(values: Vec<Option<i64>>, data_type: &DataType) -> ArrayRef {
    let array: TimestampMicrosecondArray = values.into_iter().collect();
    match data_type {
        DataType::Timestamp(_, zone) => Arc::new(array.with_timezone_opt(zone.clone())),
        _ => Arc::new(array),
    }
}

/// A timestamp later by an interval: months and days on the zone's clock, then the time.
pub fn plus_interval(micros: i64, interval: IntervalMonthDayNano, sign: i64, zone: Zone) -> Result<i64> {
    let overflow = || out_of_range("timestamp");
    if is_infinite(micros) {
        return Ok(micros);
    }
    let mut micros = micros;
    if interval.months != 0 || interval.days != 0 {
        let (day, time) = split(zone.local(micros).ok_or_else(overflow)?);
        let mut day = day;
        if interval.months != 0 {
            let date = civil_of(day);
            let months = i64::from(date.year) * 12 + i64::from(date.month) - 1 + sign * i64::from(interval.months);
            let year = i32::try_from(months.div_euclid(12)).map_err(|_| overflow())?;
            let month = months.rem_euclid(12) as u32 + 1;
            day = days_of(Civil { year, month, day: date.day.min(days_in_month(year, month)) });
        }
        day += sign * i64::from(interval.days);
        let local = day.checked_mul(MICROS_PER_DAY).and_then(|d| d.checked_add(time)).ok_or_else(overflow)?;
        micros = zone.instant(local).ok_or_else(overflow)?;
    }
    let moved = micros.checked_add(sign * (interval.nanoseconds / 1000)).ok_or_else(overflow)?;
    if moved < FIRST_MICROS { Err(overflow()) } else { Ok(moved) }
}

fn moved(call: &Call<'_>, sign: i64) -> Result<ArrayRef> {
    let (times, spans) = (&call.args[0], &call.args[1]);
    let zone = clock_of(call, 0);
    let time_of_day = matches!(times.data_type(), DataType::Time64(_));
    let one = |row: usize| -> Result<Option<i64>> {
        let (Some(at), Some(span)) = (micros_at(times, row), interval_at(spans, row)) else { return Ok(None) };
        if time_of_day {
            return Ok(Some((at + sign * (span.nanoseconds / 1000) % MICROS_PER_DAY).rem_euclid(MICROS_PER_DAY)));
        }
        plus_interval(at, span, sign, zone).map(Some)
    };
    let values = (0..call.rows).map(one).collect::<Result<Vec<_>>>()?;
    if time_of_day {
        return Ok(Arc::new(values.into_iter().collect::<Time64MicrosecondArray>()));
    }
    Ok(timestamps(values, call.returns.data_type()))
}

fn date_moved(call: &Call<'_>, sign: i64) -> Result<ArrayRef> {
    let dates = call.args[0].as_primitive::<Date32Type>();
    call.map::<i32, Date32Array>(|row| {
        let (false, Some(days)) = (dates.is_null(row), call.int8(1, row)) else { return Ok(None) };
        if is_infinite_day(dates.value(row)) {
            return Ok(Some(dates.value(row)));
        }
        let moved = days.checked_mul(sign).and_then(|d| d.checked_add(i64::from(dates.value(row))));
        let moved = moved.and_then(|d| in_date_range(d, "").ok()).ok_or_else(|| out_of_range("date"))?;
        Ok(Some(moved))
    })
}

fn is_infinite_day(days: i32) -> bool {
    matches!(days, i32::MAX | i32::MIN)
}

fn date_difference(call: &Call<'_>) -> Result<ArrayRef> {
    let (a, b) = (call.args[0].as_primitive::<Date32Type>(), call.args[1].as_primitive::<Date32Type>());
    call.map::<i32, datafusion::arrow::array::Int32Array>(|row| {
        if a.is_null(row) || b.is_null(row) {
            return Ok(None);
        }
        if is_infinite_day(a.value(row)) || is_infinite_day(b.value(row)) {
            return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite dates"));
        }
        a.value(row).checked_sub(b.value(row)).map(Some).ok_or_else(|| out_of_range("date"))
    })
}

/// Whole days and the rest, as subtracting timestamps gives them.
fn time_difference(call: &Call<'_>) -> Result<ArrayRef> {
    let with_zone = |t: &ArrayRef| matches!(t.data_type(), DataType::Timestamp(_, Some(_)));
    let mixed = with_zone(&call.args[0]) != with_zone(&call.args[1]);
    let zone = call.zone();
    let value = |arg: usize, row: usize| {
        let micros = micros_at(&call.args[arg], row)?;
        if mixed && !with_zone(&call.args[arg]) { zone.instant(micros) } else { Some(micros) }
    };
    let time_of_day = matches!(call.args[0].data_type(), DataType::Time64(_));
    call.map::<IntervalMonthDayNano, IntervalMonthDayNanoArray>(|row| {
        let (Some(a), Some(b)) = (value(0, row), value(1, row)) else { return Ok(None) };
        if is_infinite(a) || is_infinite(b) {
            return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "cannot subtract infinite timestamps"));
        }
        let micros = a.checked_sub(b).ok_or_else(|| out_of_range("interval"))?;
        let days = if time_of_day { 0 } else { micros / MICROS_PER_DAY };
        Ok(Some(IntervalMonthDayNano { months: 0, days: days as i32, nanoseconds: (micros - days * MICROS_PER_DAY) * 1000 }))
    })
}

/// Whether two spans of time have anything in common, each given by its ends in any order and half open; NULL where an
/// end that is not known might decide. 0A000 for an end that is given as a length.
fn overlaps(call: &Call<'_>) -> Result<ArrayRef> {
    if call.args.iter().any(|arg| matches!(arg.data_type(), DataType::Interval(_))) {
        let message = "OVERLAPS with a length that is no literal is not supported";
        return Err(SqlError::unsupported(message, "Give the end of the span: start + length."));
    }
    let with_zone = |t: &ArrayRef| matches!(t.data_type(), DataType::Timestamp(_, Some(_)));
    let mixed = call.args.iter().any(with_zone);
    let zone = call.zone();
    let value = |arg: usize, row: usize| {
        let micros = micros_at(&call.args[arg], row)?;
        if mixed && !with_zone(&call.args[arg]) { zone.instant(micros) } else { Some(micros) }
    };
    call.map::<bool, datafusion::arrow::array::BooleanArray>(|row| {
        let span = |at: usize| match (value(at, row), value(at + 1, row)) {
            (Some(a), Some(b)) => Some((a.min(b), Some(a.max(b)))),
            (Some(known), None) | (None, Some(known)) => Some((known, None)),
            (None, None) => None,
        };
        Ok(match (span(0), span(2)) {
            (Some(first), Some(second)) => spans_meet(first, second),
            _ => None,
        })
    })
}

fn spans_meet(first: (i64, Option<i64>), second: (i64, Option<i64>)) -> Option<bool> {
    let (earlier, later) = if first.0 <= second.0 { (first, second) } else { (second, first) };
    if earlier.0 == later.0 {
        return (earlier.1.is_some() && later.1.is_some()).then_some(true);
    }
    match earlier.1? > later.0 {
        true => Some(true),
        false => later.1.map(|_| false),
    }
}

fn date_plus_time(call: &Call<'_>) -> Result<ArrayRef> {
    let value = |row| match (micros_at(&call.args[0], row), micros_at(&call.args[1], row)) {
        (Some(date), Some(_)) if is_infinite(date) => Some(date),
        (Some(date), Some(time)) => date.checked_add(time),
        _ => None,
    };
    Ok(timestamps((0..call.rows).map(value).collect(), call.returns.data_type()))
}

fn intervals(call: &Call<'_>, sign: i64) -> Result<ArrayRef> {
    call.map::<IntervalMonthDayNano, IntervalMonthDayNanoArray>(|row| {
        let (Some(a), Some(b)) = (interval_at(&call.args[0], row), interval_at(&call.args[1], row)) else { return Ok(None) };
        let part = |a: i32, b: i32| i32::try_from(i64::from(a) + sign * i64::from(b)).ok();
        let nanoseconds = b.nanoseconds.checked_mul(sign).and_then(|b| a.nanoseconds.checked_add(b));
        let sum = part(a.months, b.months).zip(part(a.days, b.days)).zip(nanoseconds);
        let ((months, days), nanoseconds) = sum.ok_or_else(|| out_of_range("interval"))?;
        Ok(Some(IntervalMonthDayNano { months, days, nanoseconds }))
    })
}

fn scaled(call: &Call<'_>, factor: fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    let factors = call.args[1].as_primitive::<Float64Type>();
    call.map::<IntervalMonthDayNano, IntervalMonthDayNanoArray>(|row| {
        let (Some(span), false) = (interval_at(&call.args[0], row), factors.is_null(row)) else { return Ok(None) };
        scale_interval(span, factor(factors.value(row))?).map(Some)
    })
}

/// Fractions of months become days of which a month has 30, fractions of days become time.
pub(super) fn scale_interval(span: IntervalMonthDayNano, factor: f64) -> Result<IntervalMonthDayNano> {
    const SECONDS_PER_DAY: f64 = 86_400.0;
    let microsecond = |seconds: f64| (seconds * 1e6).round_ties_even() / 1e6;
    let whole = |x: f64| if x.abs() < 2_147_483_648.0 { Ok(x.trunc()) } else { Err(out_of_range("interval")) };
    let months = whole(f64::from(span.months) * factor)?;
    let days = whole(f64::from(span.days) * factor)?;
    let month_days = microsecond((f64::from(span.months) * factor - months) * 30.0);
    let mut seconds = microsecond((f64::from(span.days) * factor - days + month_days - month_days.trunc()) * SECONDS_PER_DAY);
    let mut days = days + month_days.trunc();
    if seconds.abs() >= SECONDS_PER_DAY {
        let carried = (seconds / SECONDS_PER_DAY).trunc();
        days += carried;
        seconds -= carried * SECONDS_PER_DAY;
    }
    let micros = ((span.nanoseconds / 1000) as f64 * factor + seconds * 1e6).round_ties_even();
    if micros.is_nan() || micros.abs() > 9.2e15 {
        return Err(out_of_range("interval"));
    }
    Ok(IntervalMonthDayNano { months: months as i32, days: whole(days)? as i32, nanoseconds: micros as i64 * 1000 })
}

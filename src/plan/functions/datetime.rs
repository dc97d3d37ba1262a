//! Functions of dates and times by their PostgreSQL names: what time it is, truncation, fields, zones, age.
//!
//! Days and months of timestamptz are those of the session's zone. Patterns are in `patterns`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Date32Array, Decimal128Array, Float64Array, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{DataType, Field, IntervalMonthDayNano};
use datafusion::common::ScalarValue;

use super::ambient::statement;
use super::calendar::julian;
use super::define::{Call, Function, INT4, Returns, TEXT, Want};
use super::temporal::{clock_of, interval_at, micros_at, out_of_range, timestamp_type, timestamps};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::types::calendar::{
    Civil, MICROS_PER_DAY, MICROS_PER_SECOND, civil_of, days_in_month, days_of, is_infinite, iso_week, iso_weekday, split,
};
use crate::types::{PgType, TypeName, Zone};

const TIMESTAMPTZ: Returns = Returns::Fixed(PgType::TIMESTAMPTZ);
const UNIT: &[Want] = &[TEXT, Want::Any];

pub const FUNCTIONS: &[Function] = &[
    Function::new("now", &[], TIMESTAMPTZ, |c| instant(c, At::Transaction))
        .stable()
        .aliases(&["transaction_timestamp", "current_timestamp"]),
    Function::new("statement_timestamp", &[], TIMESTAMPTZ, |c| instant(c, At::Statement)).stable(),
    Function::new("clock_timestamp", &[], TIMESTAMPTZ, |c| instant(c, At::Now)).volatile(),
    Function::new("localtimestamp", &[], Returns::of(TypeName::Timestamp), local_now).stable(),
    Function::new("current_date", &[], Returns::of(TypeName::Date), current_date).stable().aliases(&["today"]),
    Function::new("localtime", &[], Returns::of(TypeName::Time), local_time).stable(),
    Function::new("date_trunc", &[TEXT, Want::Any, TEXT], Returns::Arrow(truncated_type), truncate)
        .scalar()
        .optional(1)
        .stable()
        .aliases(&["datetrunc"]),
    Function::new("date_part", UNIT, Returns::of(TypeName::Float8), date_part).scalar().stable().aliases(&["datepart"]),
    Function::new("extract", UNIT, Returns::Field(extract_field), extract).scalar().stable(),
    Function::new("timezone", &[Want::Any, Want::Any], Returns::Arrow(timezone_type), timezone).scalar().stable(),
    Function::new("age", &[Want::Any, Want::Any], Returns::of(TypeName::Interval), age).scalar().optional(1).stable(),
    Function::new("make_date", &[INT4, INT4, INT4], Returns::of(TypeName::Date), make_date),
    Function::new("isfinite", &[Want::Any], Returns::Fixed(PgType::BOOL), |c| {
        let finite = |row| match micros_at(&c.args[0], row) {
            Some(micros) => Some(!is_infinite(micros)),
            None => c.args[0].is_valid(row).then_some(true),
        };
        c.map::<bool, datafusion::arrow::array::BooleanArray>(|row| Ok(finite(row)))
    })
    .scalar(),
];

enum At {
    Transaction,
    Statement,
    Now,
}

fn instant(call: &Call<'_>, at: At) -> Result<ArrayRef> {
    let statement = statement(call.options)?;
    let time = match at {
        At::Transaction => statement.transaction_time,
        At::Statement => statement.statement_time,
        At::Now => statement.database.now(),
    };
    Ok(timestamps(vec![Some(time.micros()); call.rows], &PgType::TIMESTAMPTZ.arrow()))
}

/// The wall clock of the session at the transaction's start.
fn local_start(call: &Call<'_>) -> Result<i64> {
    let time = statement(call.options)?.transaction_time.micros();
    call.zone().local(time).ok_or_else(|| out_of_range("timestamp"))
}

fn local_now(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(timestamps(vec![Some(local_start(call)?); call.rows], &PgType::new(TypeName::Timestamp).arrow()))
}

fn current_date(call: &Call<'_>) -> Result<ArrayRef> {
    let (days, _) = split(local_start(call)?);
    Ok(Arc::new(Date32Array::from_value(days as i32, call.rows)))
}

fn local_time(call: &Call<'_>) -> Result<ArrayRef> {
    let (_, time) = split(local_start(call)?);
    Ok(Arc::new(datafusion::arrow::array::Time64MicrosecondArray::from_value(time, call.rows)))
}

fn no_unit(unit: &str, ty: &DataType) -> SqlError {
    let message = format!("unit \"{unit}\" not recognized for type {}", PgType::of_arrow(ty).sql_name());
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn truncated_type(types: &[DataType]) -> Result<DataType> {
    match types {
        [_, t @ DataType::Interval(_), ..] => Ok(t.clone()),
        // A date is a timestamptz here, as in PostgreSQL.
        [_, DataType::Date32, ..] => Ok(PgType::TIMESTAMPTZ.arrow()),
        [_, t @ DataType::Timestamp(..), ..] => Ok(timestamp_type(t)),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "function date_trunc does not exist for these types")),
    }
}

fn truncate(call: &Call<'_>) -> Result<ArrayRef> {
    let times = &call.args[1];
    if matches!(times.data_type(), DataType::Interval(_)) {
        return truncate_intervals(call);
    }
    let dates = matches!(times.data_type(), DataType::Date32);
    let with_zone = dates || matches!(times.data_type(), DataType::Timestamp(_, Some(_)));
    let session = call.zone();
    let overflow = || out_of_range("timestamp");
    let one = |row: usize| -> Result<Option<i64>> {
        let (Some(unit), Some(micros)) = (call.text(0, row), micros_at(times, row)) else { return Ok(None) };
        if is_infinite(micros) {
            return Ok(Some(micros));
        }
        let zone = match call.args.len() {
            3 => match call.text(2, row) {
                Some(name) => Zone::parse(name)?,
                None => return Ok(None),
            },
            _ if with_zone => session,
            _ => Zone::UTC,
        };
        let local = if dates { micros } else { zone.local(micros).ok_or_else(overflow)? };
        let cut = truncate_local(unit, local, times.data_type())?;
        zone.instant(cut).map(Some).ok_or_else(overflow)
    };
    Ok(timestamps((0..call.rows).map(one).collect::<Result<Vec<_>>>()?, call.returns.data_type()))
}

/// The beginning of the unit that a wall clock time is in.
fn truncate_local(unit: &str, local: i64, ty: &DataType) -> Result<i64> {
    let (day, _) = split(local);
    let down = |to: i64| local - local.rem_euclid(to);
    let date = civil_of(day);
    let midnight = |year: i32, month: u32| days_of(Civil { year, month, day: 1 }) * MICROS_PER_DAY;
    // There is no year 0: the first century began in the year 1.
    let years = |n: i32| (date.year - 1).div_euclid(n) * n + 1;
    Ok(match unit.to_ascii_lowercase().as_str() {
        "microsecond" | "microseconds" | "us" => local,
        "millisecond" | "milliseconds" | "ms" => down(1000),
        "second" | "seconds" | "sec" | "s" => down(MICROS_PER_SECOND),
        "minute" | "minutes" | "min" | "m" => down(60 * MICROS_PER_SECOND),
        "hour" | "hours" | "hr" | "h" => down(3600 * MICROS_PER_SECOND),
        "day" | "days" | "d" => day * MICROS_PER_DAY,
        "week" | "weeks" | "w" => (day + 1 - iso_weekday(day)) * MICROS_PER_DAY,
        "month" | "months" | "mon" => midnight(date.year, date.month),
        "quarter" | "quarters" | "qtr" => midnight(date.year, (date.month - 1) / 3 * 3 + 1),
        "year" | "years" | "y" | "yr" => midnight(date.year, 1),
        "decade" | "decades" => midnight(date.year.div_euclid(10) * 10, 1),
        "century" | "centuries" => midnight(years(100), 1),
        "millennium" | "millennia" => midnight(years(1000), 1),
        _ => return Err(no_unit(unit, ty)),
    })
}

fn truncate_intervals(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<IntervalMonthDayNano, IntervalMonthDayNanoArray>(|row| {
        let (Some(unit), Some(span)) = (call.text(0, row), interval_at(&call.args[1], row)) else { return Ok(None) };
        let months = |n: i32| IntervalMonthDayNano { months: span.months / n * n, days: 0, nanoseconds: 0 };
        let time = |nanos: i64| IntervalMonthDayNano { nanoseconds: span.nanoseconds / nanos * nanos, ..span };
        Ok(Some(match unit.to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" => span,
            "millisecond" | "milliseconds" => time(1_000_000),
            "second" | "seconds" => time(1_000_000_000),
            "minute" | "minutes" => time(60_000_000_000),
            "hour" | "hours" => time(3_600_000_000_000),
            "day" | "days" => IntervalMonthDayNano { nanoseconds: 0, ..span },
            "month" | "months" => months(1),
            "quarter" | "quarters" => months(3),
            "year" | "years" => months(12),
            "decade" | "decades" => months(120),
            "century" | "centuries" => months(1200),
            "millennium" | "millennia" => months(12_000),
            _ => return Err(no_unit(unit, call.args[1].data_type())),
        }))
    })
}

/// A field of a date, time or interval, in millionths.
fn field_of(call: &Call<'_>, unit: &str, row: usize) -> Result<Option<i128>> {
    let array = &call.args[1];
    let unit = unit.to_ascii_lowercase();
    if matches!(array.data_type(), DataType::Interval(_)) {
        let Some(span) = interval_at(array, row) else { return Ok(None) };
        return interval_field(&unit, span).map(Some).ok_or_else(|| no_unit(&unit, array.data_type()));
    }
    let Some(micros) = micros_at(array, row) else { return Ok(None) };
    if is_infinite(micros) {
        // What grows for ever would be infinite too, the rest is unknown.
        let grows = ["epoch", "year", "years", "y", "isoyear", "decade", "century", "millennium", "julian"];
        if grows.contains(&unit.as_str()) {
            let message = format!("{unit} of infinite dates and timestamps is not supported");
            return Err(SqlError::unsupported(message, "Leave them out with isfinite()."));
        }
        return Ok(None);
    }
    let zone = clock_of(call, 1);
    let local = zone.local(micros).ok_or_else(|| out_of_range("timestamp"))?;
    let (day, time) = split(local);
    let one = |n: i64| Ok(Some(i128::from(n) * 1_000_000));
    let with_zone = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let offset = i64::from(zone.offset_at(micros));
    match unit.as_str() {
        "epoch" => return Ok(Some(i128::from(micros))),
        "timezone" if with_zone => return one(offset),
        "timezone_hour" if with_zone => return one(offset / 3600),
        "timezone_minute" if with_zone => return one(offset / 60 % 60),
        _ => {}
    }
    if !matches!(array.data_type(), DataType::Time64(_))
        && let Some(value) = day_field(&unit, day)
    {
        return one(value);
    }
    if matches!(array.data_type(), DataType::Date32) {
        return Err(no_unit(&unit, array.data_type()));
    }
    time_field(&unit, time).map(Some).ok_or_else(|| no_unit(&unit, array.data_type()))
}

fn day_field(unit: &str, day: i64) -> Option<i64> {
    let date = civil_of(day);
    let year = i64::from(if date.year > 0 { date.year } else { date.year - 1 });
    let group = |n: i64| if year > 0 { (year + n - 1) / n } else { -((n - 1 - year) / n) };
    Some(match unit {
        "year" | "years" | "y" => year,
        "isoyear" => i64::from(iso_week(day).0),
        "quarter" | "qtr" => i64::from((date.month - 1) / 3 + 1),
        "month" | "months" | "mon" => i64::from(date.month),
        "week" | "weeks" | "w" => iso_week(day).1,
        "day" | "days" | "d" => i64::from(date.day),
        "dow" => iso_weekday(day) % 7,
        "isodow" => iso_weekday(day),
        "doy" => day - days_of(Civil { year: date.year, month: 1, day: 1 }) + 1,
        "decade" => i64::from(date.year.div_euclid(10)),
        "century" => group(100),
        "millennium" => group(1000),
        "julian" => julian(day),
        _ => return None,
    })
}

fn time_field(unit: &str, micros: i64) -> Option<i128> {
    let seconds = micros / MICROS_PER_SECOND;
    let in_minute = i128::from(micros % (60 * MICROS_PER_SECOND));
    let one = |n: i64| i128::from(n) * 1_000_000;
    Some(match unit {
        "hour" | "hours" | "h" => one(seconds / 3600),
        "minute" | "minutes" | "min" | "m" => one(seconds / 60 % 60),
        "second" | "seconds" | "sec" | "s" => in_minute,
        "millisecond" | "milliseconds" | "ms" => in_minute * 1000,
        "microsecond" | "microseconds" | "us" => in_minute * 1_000_000,
        _ => return None,
    })
}

fn interval_field(unit: &str, span: IntervalMonthDayNano) -> Option<i128> {
    let (years, months) = (span.months / 12, span.months % 12);
    let one = |n: i32| Some(i128::from(n) * 1_000_000);
    match unit {
        "year" | "years" => one(years),
        "quarter" => one(months / 3 + 1),
        "month" | "months" => one(months),
        "day" | "days" => one(span.days),
        "decade" => one(years / 10),
        "century" => one(years / 100),
        "millennium" => one(years / 1000),
        // A year counts 365.25 days, a month 30.
        "epoch" => {
            let days = i128::from(years) * 36_525 / 100 * 86_400_000_000
                + i128::from(years) * 36_525 % 100 * 864_000_000
                + (i128::from(months) * 30 + i128::from(span.days)) * 86_400_000_000;
            Some(days + i128::from(span.nanoseconds / 1000))
        }
        _ => {
            let micros = span.nanoseconds / 1000;
            match unit {
                "hour" | "hours" => Some(i128::from(micros / (3600 * MICROS_PER_SECOND)) * 1_000_000),
                _ => time_field(unit, micros),
            }
        }
    }
}

fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<f64, Float64Array>(|row| {
        let Some(unit) = call.text(0, row) else { return Ok(None) };
        Ok(field_of(call, unit, row)?.map(|millionths| millionths as f64 / 1e6))
    })
}

/// Digits after the point that `extract` shows of a field.
fn extract_field(_: &[PgType], _: &[DataType], values: &[Option<&ScalarValue>]) -> Result<Field> {
    let scale = match values.first() {
        Some(Some(ScalarValue::Utf8(Some(unit)))) => match unit.to_ascii_lowercase().as_str() {
            "second" | "seconds" | "epoch" => 6,
            "millisecond" | "milliseconds" => 3,
            _ => 0,
        },
        _ => 6,
    };
    Ok(Field::new("extract", DataType::Decimal128(30, scale), true))
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *call.returns.data_type() else {
        return Err(SqlError::internal("extract gives a numeric"));
    };
    let unit_of = 10i128.pow(6 - scale.unsigned_abs() as u32);
    let value = |row: usize| -> Result<Option<i128>> {
        let Some(unit) = call.text(0, row) else { return Ok(None) };
        Ok(field_of(call, unit, row)?.map(|millionths| millionths / unit_of))
    };
    let values = (0..call.rows).map(value).collect::<Result<Vec<_>>>()?;
    let array = values.into_iter().collect::<Decimal128Array>().with_precision_and_scale(precision, scale);
    Ok(Arc::new(array.map_err(|_| out_of_range("numeric"))?))
}

fn timezone_type(types: &[DataType]) -> Result<DataType> {
    match types {
        [_, DataType::Timestamp(_, Some(_))] => Ok(PgType::new(TypeName::Timestamp).arrow()),
        [_, DataType::Timestamp(_, None) | DataType::Date32] => Ok(PgType::TIMESTAMPTZ.arrow()),
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "function timezone does not exist for these types")),
    }
}

/// `AT TIME ZONE`: the zone's wall clock of an instant, or the instant of a wall clock time.
fn timezone(call: &Call<'_>) -> Result<ArrayRef> {
    let to_local = matches!(call.args[1].data_type(), DataType::Timestamp(_, Some(_)));
    let date = matches!(call.args[1].data_type(), DataType::Date32);
    let session = call.zone();
    let one = |row: usize| -> Result<Option<i64>> {
        let Some(micros) = micros_at(&call.args[1], row) else { return Ok(None) };
        let zone = match (call.text(0, row), interval_at(&call.args[0], row)) {
            (Some(name), _) => Zone::parse(name)?,
            (None, Some(span)) if span.months == 0 && span.days == 0 => {
                Zone::Fixed(i32::try_from(span.nanoseconds / 1_000_000_000).map_err(|_| out_of_range("interval"))?)
            }
            (None, Some(_)) => {
                let message = "interval time zone must not include months or days";
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            (None, None) => return Ok(None),
        };
        let moved = if date {
            // PostgreSQL makes a date a timestamptz first.
            session.instant(micros).and_then(|t| zone.local(t))
        } else if to_local {
            zone.local(micros)
        } else {
            zone.instant(micros)
        };
        moved.map(Some).ok_or_else(|| out_of_range("timestamp"))
    };
    Ok(timestamps((0..call.rows).map(one).collect::<Result<Vec<_>>>()?, call.returns.data_type()))
}

/// The difference in years, months, days and time, as one counts on a calendar.
/// Literals in quotes are timestamps beside one, and for themselves.
fn with_instants<'a>(call: &Call<'a>) -> Result<Call<'a>> {
    let instant = |(array, ty): (&ArrayRef, &PgType)| match array.data_type() {
        DataType::Utf8 => cast_array(array, *ty, PgType::new(TypeName::Timestamp), call.zone()),
        _ => Ok(Arc::clone(array)),
    };
    let args = call.args.iter().zip(&call.types).map(instant).collect::<Result<_>>()?;
    let (types, returns) = (call.types.clone(), Arc::clone(&call.returns));
    Ok(Call { args, types, rows: call.rows, returns, options: call.options, bounds: Vec::new() })
}

fn age(call: &Call<'_>) -> Result<ArrayRef> {
    let call = &with_instants(call)?;
    let today = if call.args.len() == 1 { Some(split(local_start(call)?).0 * MICROS_PER_DAY) } else { None };
    let local = |arg: usize, row: usize| micros_at(&call.args[arg], row).and_then(|t| clock_of(call, arg).local(t));
    call.map::<IntervalMonthDayNano, IntervalMonthDayNanoArray>(|row| {
        let (later, earlier) = match today {
            Some(today) => (Some(today), local(0, row)),
            None => (local(0, row), local(1, row)),
        };
        match later.zip(earlier) {
            Some((later, earlier)) if is_infinite(later) || is_infinite(earlier) => Err(out_of_range("timestamp")),
            both => Ok(both.map(|(later, earlier)| calendar_difference(later, earlier))),
        }
    })
}

fn calendar_difference(later: i64, earlier: i64) -> IntervalMonthDayNano {
    if later < earlier {
        let age = calendar_difference(earlier, later);
        return IntervalMonthDayNano { months: -age.months, days: -age.days, nanoseconds: -age.nanoseconds };
    }
    let ((day1, time1), (day2, time2)) = (split(later), split(earlier));
    let (a, b) = (civil_of(day1), civil_of(day2));
    let mut time = time1 - time2;
    let mut days = i64::from(a.day) - i64::from(b.day);
    let mut months = (i64::from(a.year) - i64::from(b.year)) * 12 + i64::from(a.month) - i64::from(b.month);
    if time < 0 {
        time += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        days += i64::from(days_in_month(b.year, b.month));
        months -= 1;
    }
    IntervalMonthDayNano { months: months as i32, days: days as i32, nanoseconds: time * 1000 }
}

fn make_date(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<i32, Date32Array>(|row| {
        let (Some(year), Some(month), Some(day)) = (call.int4(0, row), call.int4(1, row), call.int4(2, row)) else {
            return Ok(None);
        };
        let bad = || {
            let message = format!("date field value out of range: {year}-{month:02}-{day:02}");
            SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
        };
        let civil_year = if year < 0 { year + 1 } else { year };
        let month = u32::try_from(month).ok().filter(|m| (1..=12).contains(m)).ok_or_else(bad)?;
        let last = days_in_month(civil_year, month);
        let day = u32::try_from(day).ok().filter(|d| (1..=last).contains(d)).ok_or_else(bad)?;
        let in_range = year != 0 && (-4713..=5_874_897).contains(&year);
        if in_range { Ok(Some(days_of(Civil { year: civil_year, month, day }) as i32)) } else { Err(bad()) }
    })
}

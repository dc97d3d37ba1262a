//! Dates, times and intervals made from their parts or brought into other parts, and text made of them or read
//! by a pattern.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, IntervalMonthDayNanoArray, Time64MicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, IntervalMonthDayNano};

use super::ambient::statement;
use super::define::{Call, Function, INT4, Returns, TEXT, Want};
use super::number_text::{NumberPattern, read_number};
use super::temporal::{clock_of, interval_at, micros_at, out_of_range, timestamps};
use super::{date_input, patterns};
use crate::error::{Result, SqlError, SqlState};
use crate::types::calendar::{Civil, MICROS_PER_DAY, MICROS_PER_SECOND, days_in_month, days_of, is_infinite, split};
use crate::types::datetime::in_date_range;
use crate::types::encode::Column;
use crate::types::numeric::Numeric;
use crate::types::numeric::cast::to_float;
use crate::types::numeric::column::is_numeric;
use crate::types::text::scalar_from_text;
use crate::types::{PgType, TypeName, Zone};

const FLOAT8: Want = Want::Type(TypeName::Float8);
const SPAN: Want = Want::Type(TypeName::Interval);
const INTERVAL: Returns = Returns::of(TypeName::Interval);
const TIMESTAMPTZ: Returns = Returns::Fixed(PgType::TIMESTAMPTZ);

pub const FUNCTIONS: &[Function] = &[
    Function::new("make_time", &[INT4, INT4, FLOAT8], Returns::of(TypeName::Time), |c| {
        c.map::<i64, Time64MicrosecondArray>(|row| time_of(c, 0, row))
    }),
    Function::new("make_timestamp", &[INT4, INT4, INT4, INT4, INT4, FLOAT8], Returns::of(TypeName::Timestamp), |c| {
        Ok(timestamps((0..c.rows).map(|row| local_of(c, row)).collect::<Result<_>>()?, c.returns.data_type()))
    }),
    Function::new("make_timestamptz", &[INT4, INT4, INT4, INT4, INT4, FLOAT8, TEXT], TIMESTAMPTZ, |c| {
        let one = |row: usize| -> Result<Option<i64>> {
            let zone = match (c.args.len(), c.text(6, row)) {
                (7, None) => return Ok(None),
                (7, Some(name)) => Zone::parse(name)?,
                _ => c.zone(),
            };
            local_of(c, row)?.map(|local| zone.instant(local).ok_or_else(|| out_of_range("timestamp"))).transpose()
        };
        Ok(timestamps((0..c.rows).map(one).collect::<Result<_>>()?, c.returns.data_type()))
    })
    .optional(1)
    .stable(),
    Function::new("make_interval", &[INT4, INT4, INT4, INT4, INT4, INT4, FLOAT8], INTERVAL, make_interval).optional(7),
    Function::new("justify_days", &[SPAN], INTERVAL, |c| spans(c, |x| justified(x, false, true))),
    Function::new("justify_hours", &[SPAN], INTERVAL, |c| spans(c, |x| justified(x, true, false))),
    Function::new("justify_interval", &[SPAN], INTERVAL, |c| spans(c, |x| justified(x, true, true))),
    Function::new("to_char", &[Want::Any, TEXT], Returns::Fixed(PgType::TEXT), to_char).scalar().stable(),
    Function::new("to_date", &[TEXT, TEXT], Returns::of(TypeName::Date), |c| {
        c.map::<i32, Date32Array>(|row| {
            let (Some(text), Some(pattern)) = (c.text(0, row), c.text(1, row)) else { return Ok(None) };
            in_date_range(split(date_input::read(text, pattern)?.0).0, text).map(Some)
        })
    }),
    Function::new("to_timestamp", &[Want::Any, TEXT], TIMESTAMPTZ, to_timestamp).scalar().optional(1).stable(),
    Function::new("to_number", &[TEXT, TEXT], Returns::of(TypeName::Numeric), |c| {
        let ty = PgType::new(TypeName::Numeric);
        let values = (0..c.rows).map(|row| match (c.text(0, row), c.text(1, row)) {
            (Some(text), Some(pattern)) => scalar_from_text(ty, &read_number(text, pattern)?, Zone::UTC),
            _ => crate::types::text::null_of(ty),
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        datafusion::common::ScalarValue::iter_to_array(values).map_err(|_| out_of_range("numeric"))
    }),
    Function::new("timeofday", &[], Returns::Fixed(PgType::TEXT), |c| {
        let now = statement(c.options)?.database.now().micros();
        let (zone, mut out) = (c.zone(), String::new());
        let local = zone.local(now).ok_or_else(|| out_of_range("timestamp"))?;
        out.push_str(&patterns::format("Dy Mon DD HH24:MI:SS.US YYYY TZ", local, Some(zone.offset_at(now)))?);
        c.map_text(|_| Ok(Some(out.clone())))
    })
    .volatile(),
];

fn float(call: &Call<'_>, arg: usize, row: usize) -> Option<f64> {
    let values = call.args.get(arg)?.as_primitive_opt::<Float64Type>()?;
    values.is_valid(row).then(|| values.value(row))
}

/// Hours, minutes and seconds from the argument `first` on.
fn time_of(call: &Call<'_>, first: usize, row: usize) -> Result<Option<i64>> {
    let (Some(h), Some(m), Some(s)) = (call.int4(first, row), call.int4(first + 1, row), float(call, first + 2, row)) else {
        return Ok(None);
    };
    let micros = (s * 1e6).round_ties_even();
    let fits = (0..=24).contains(&h) && (0..60).contains(&m) && (0.0..=60e6).contains(&micros);
    let total = (i64::from(h) * 3600 + i64::from(m) * 60) * MICROS_PER_SECOND + micros as i64;
    if !fits || total > MICROS_PER_DAY {
        let message = format!("time field value out of range: {h}:{m:02}:{s:02}");
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message));
    }
    Ok(Some(total))
}

fn local_of(call: &Call<'_>, row: usize) -> Result<Option<i64>> {
    let (Some(year), Some(month), Some(day)) = (call.int4(0, row), call.int4(1, row), call.int4(2, row)) else { return Ok(None) };
    let Some(time) = time_of(call, 3, row)? else { return Ok(None) };
    let bad = || {
        let message = format!("date field value out of range: {year}-{month:02}-{day:02}");
        SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
    };
    let civil_year = if year < 0 { year + 1 } else { year };
    let month = u32::try_from(month).ok().filter(|m| (1..=12).contains(m) && year != 0).ok_or_else(bad)?;
    let last = days_in_month(civil_year, month);
    let day = u32::try_from(day).ok().filter(|d| (1..=last).contains(d)).ok_or_else(bad)?;
    let days = days_of(Civil { year: civil_year, month, day });
    Ok(Some(days.checked_mul(MICROS_PER_DAY).and_then(|d| d.checked_add(time)).ok_or_else(|| out_of_range("timestamp"))?))
}

fn make_interval(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<IntervalMonthDayNano, IntervalMonthDayNanoArray>(|row| {
        if call.args.iter().any(|a| a.is_null(row)) {
            return Ok(None);
        }
        let part = |arg: usize| i64::from(call.int4(arg, row).unwrap_or(0));
        let seconds = float(call, 6, row).unwrap_or(0.0);
        let micros = (part(4) * 3600 + part(5) * 60) as f64 * 1e6 + (seconds * 1e6).round_ties_even();
        let months = i32::try_from(part(0) * 12 + part(1)).map_err(|_| out_of_range("interval"))?;
        let days = i32::try_from(part(2) * 7 + part(3)).map_err(|_| out_of_range("interval"))?;
        if micros.is_nan() || micros.abs() > 9.2e15 {
            return Err(out_of_range("interval"));
        }
        Ok(Some(IntervalMonthDayNano { months, days, nanoseconds: micros as i64 * 1000 }))
    })
}

fn spans(call: &Call<'_>, change: impl Fn(IntervalMonthDayNano) -> Option<IntervalMonthDayNano>) -> Result<ArrayRef> {
    call.map::<IntervalMonthDayNano, IntervalMonthDayNanoArray>(|row| {
        let Some(span) = interval_at(&call.args[0], row) else { return Ok(None) };
        change(span).map(Some).ok_or_else(|| out_of_range("interval"))
    })
}

/// Whole days out of the hours, whole months out of the days, and all parts of one sign where both are wanted.
fn justified(span: IntervalMonthDayNano, hours: bool, days: bool) -> Option<IntervalMonthDayNano> {
    const DAY: i64 = MICROS_PER_DAY * 1000;
    let (mut months, mut d, mut nanos) = (i64::from(span.months), i64::from(span.days), span.nanoseconds);
    if hours {
        d += nanos / DAY;
        nanos %= DAY;
    }
    if days {
        months += d / 30;
        d %= 30;
        if months > 0 && (d < 0 || (d == 0 && hours && nanos < 0)) {
            (months, d) = (months - 1, d + 30);
        } else if months < 0 && (d > 0 || (d == 0 && hours && nanos > 0)) {
            (months, d) = (months + 1, d - 30);
        }
    }
    if hours {
        if d > 0 && nanos < 0 {
            (d, nanos) = (d - 1, nanos + DAY);
        } else if d < 0 && nanos > 0 {
            (d, nanos) = (d + 1, nanos - DAY);
        }
    }
    Some(IntervalMonthDayNano { months: i32::try_from(months).ok()?, days: i32::try_from(d).ok()?, nanoseconds: nanos })
}

fn to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let array = &call.args[0];
    match array.data_type() {
        DataType::Timestamp(..) | DataType::Date32 => {}
        DataType::Interval(_) => {
            return call.map_text(|row| {
                let (Some(span), Some(pattern)) = (interval_at(array, row), call.text(1, row)) else { return Ok(None) };
                patterns::format_interval(pattern, span).map(Some)
            });
        }
        t if t.is_numeric() || is_numeric(t) => return number_to_char(call),
        other => {
            let message = format!("function to_char({}, text) does not exist", PgType::of_arrow(other).sql_name());
            return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                .hint("No function matches the given name and argument types. You might need to add explicit type casts."));
        }
    }
    let zone = clock_of(call, 0);
    let with_zone = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    call.map_text(|row| {
        let (Some(micros), Some(pattern)) = (micros_at(array, row), call.text(1, row)) else { return Ok(None) };
        if is_infinite(micros) {
            return Ok(None);
        }
        let local = zone.local(micros).ok_or_else(|| out_of_range("timestamp"))?;
        let offset = if with_zone { Some(zone.offset_at(micros)) } else { None };
        patterns::format_in(pattern, local, offset, with_zone.then(|| zone.abbreviation(micros)).as_deref()).map(Some)
    })
}

fn number_to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let array = &call.args[0];
    let column = Column::new(call.types[0], array, Zone::UTC)?;
    call.map_text(|row| {
        let (false, Some(text)) = (column.is_null(row), call.text(1, row)) else { return Ok(None) };
        let pattern = NumberPattern::parse(text)?;
        let (post, multi) = pattern.digits();
        let float = match array.data_type() {
            DataType::Float64 => Some((array.as_primitive::<Float64Type>().value(row), 15)),
            DataType::Float32 => Some((f64::from(array.as_primitive::<Float32Type>().value(row)), 6)),
            _ => None,
        };
        if let Some((x, digits)) = float {
            return float_to_char(&pattern, x, digits).map(Some);
        }
        let mut plain = String::new();
        column.write_text(row, &mut plain);
        if plain.bytes().any(|b| b.is_ascii_alphabetic()) {
            return Err(SqlError::unsupported("to_char of NaN and infinities is not supported", "Filter them out."));
        }
        if pattern.is_roman() {
            let whole = rounded(&plain, 0, 0)?;
            return Ok(Some(pattern.write_roman(whole.parse().ok())));
        }
        if pattern.is_scientific() {
            return Ok(Some(scientific(&plain, post)));
        }
        Ok(Some(pattern.write(&rounded(&plain, post, multi)?)))
    })
}

fn float_to_char(pattern: &NumberPattern, x: f64, digits: usize) -> Result<String> {
    let (post, multi) = pattern.digits();
    if !x.is_finite() {
        return Err(SqlError::unsupported("to_char of NaN and infinities is not supported", "Filter them out."));
    }
    if pattern.is_roman() {
        return Ok(pattern.write_roman(Some(x.round_ties_even() as i64)));
    }
    if pattern.is_scientific() {
        return Ok(scientific_of(&format!("{x:.post$e}")));
    }
    let x = x * 10f64.powi(multi as i32);
    let whole = format!("{:.0}", x.abs()).len();
    let kept = if whole >= digits { 0 } else { post.min(digits - whole) };
    let mut text = format!("{x:.kept$}");
    if kept < post {
        text.push_str(if kept == 0 { "." } else { "" });
        text.extend(std::iter::repeat_n('0', post - kept));
    }
    Ok(pattern.write(&text))
}

/// Plain digits multiplied by a power of ten and rounded half away from zero.
fn rounded(plain: &str, post: usize, multi: usize) -> Result<String> {
    let shifted = Numeric::parse(plain)?.times(&Numeric::parse(&format!("1e{multi}"))?)?.round(post as i32)?;
    let mut out = String::new();
    shifted.write(&mut out);
    Ok(out)
}

fn scientific(plain: &str, post: usize) -> String {
    let x: f64 = plain.parse().unwrap_or(0.0);
    scientific_of(&format!("{x:.post$e}"))
}

/// ` 1.23e+03` from `1.23e3`.
fn scientific_of(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let space = if mantissa.starts_with('-') { "" } else { " " };
    format!("{space}{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Seconds since 1970, or a text by a pattern.
fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    let one: Box<dyn Fn(usize) -> Result<Option<i64>>> = if call.args.len() == 2 {
        Box::new(|row| {
            let (Some(text), Some(pattern)) = (call.text(0, row), call.text(1, row)) else { return Ok(None) };
            let (local, offset) = date_input::read(text, pattern)?;
            let instant = match offset {
                Some(seconds) => local.checked_sub(seconds * MICROS_PER_SECOND),
                None => call.zone().instant(local),
            };
            instant.map(Some).ok_or_else(|| out_of_range("timestamp"))
        })
    } else {
        let none = || SqlError::new(SqlState::UNDEFINED_FUNCTION, "function to_timestamp does not exist for this type");
        let seconds: Float64Array = match call.args[0].data_type() {
            numeric if is_numeric(numeric) => {
                to_float(&call.args[0], PgType::new(TypeName::Float8))?.as_primitive::<Float64Type>().clone()
            }
            _ => {
                let cast = datafusion::arrow::compute::cast(&call.args[0], &DataType::Float64).map_err(|_| none())?;
                cast.as_primitive::<Float64Type>().clone()
            }
        };
        Box::new(move |row| {
            if seconds.is_null(row) {
                return Ok(None);
            }
            let micros = (seconds.value(row) * 1e6).round_ties_even();
            if micros.is_nan() || micros.abs() > 9.2e18 { Err(out_of_range("timestamp")) } else { Ok(Some(micros as i64)) }
        })
    };
    Ok(timestamps((0..call.rows).map(one).collect::<Result<Vec<_>>>()?, call.returns.data_type()))
}

/// The day's number in the Julian calendar's count.
pub fn julian(day: i64) -> i64 {
    day + 2_440_588
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_justified_to_one_sign() {
        let span = |months, days, hours: i64| IntervalMonthDayNano { months, days, nanoseconds: hours * 3_600_000_000_000 };
        assert_eq!(justified(span(1, 0, -1), true, true), Some(span(0, 29, 23)));
        assert_eq!(justified(span(0, 35, 0), false, true), Some(span(1, 5, 0)));
        assert_eq!(justified(span(0, 0, 27), true, false), Some(span(0, 1, 3)));
    }

    #[test]
    fn digits_are_rounded_away_from_zero() {
        assert_eq!(rounded("12.345", 1, 0).unwrap(), "12.3");
        assert_eq!(rounded("-0.05", 1, 0).unwrap(), "-0.1");
        assert_eq!(rounded("12", 0, 2).unwrap(), "1200");
        assert_eq!(scientific("1234.5", 2), " 1.23e+03");
    }
}

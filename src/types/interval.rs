//! Text of intervals: PostgreSQL's verbose form, its `1-2 3 4:05:06` form and ISO 8601 durations in; the
//! `postgres` style out.
//!
//! An interval is months, days and a time, in Arrow's nanoseconds but never finer than microseconds.

use std::fmt::Write;

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use super::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, push_two, write_fraction};
use super::complaint::bad_datetime;
use crate::error::{Result, SqlError, SqlState};

/// Parts being added up. PostgreSQL keeps fractions of a unit in the next smaller one.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    months: i64,
    days: i64,
    micros: i64,
}

enum Trouble {
    Syntax,
    Range,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    Micros(i64),
    Days(i64),
    Months(i64),
}

const SECOND: Unit = Unit::Micros(MICROS_PER_SECOND);
const HOUR: Unit = Unit::Micros(3600 * MICROS_PER_SECOND);
const MINUTE: Unit = Unit::Micros(60 * MICROS_PER_SECOND);

fn unit(word: &str) -> Option<Unit> {
    Some(match word {
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" | "microsecon" => Unit::Micros(1),
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" | "millisecon" => Unit::Micros(1000),
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE,
        "h" | "hr" | "hrs" | "hour" | "hours" => HOUR,
        "d" | "day" | "days" => Unit::Days(1),
        "w" | "week" | "weeks" => Unit::Days(7),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        "decade" | "decades" | "dec" | "decs" => Unit::Months(120),
        "c" | "cent" | "century" | "centuries" => Unit::Months(1200),
        "mil" | "mils" | "millennium" | "millennia" => Unit::Months(12_000),
        _ => return None,
    })
}

/// 22007 for what is no interval, 22015 for a field that is too large.
pub fn parse_interval(text: &str) -> Result<IntervalMonthDayNano> {
    let body = text.trim();
    let parsed = body.strip_prefix('P').map_or_else(|| verbose(body), iso_8601);
    parsed.and_then(Parts::finish).map_err(|trouble| match trouble {
        Trouble::Syntax => bad_datetime("interval", text),
        Trouble::Range => {
            SqlError::new(SqlState::INTERVAL_FIELD_OVERFLOW, format!("interval field value out of range: \"{text}\""))
        }
    })
}

impl Parts {
    fn finish(self) -> Result<IntervalMonthDayNano, Trouble> {
        Ok(IntervalMonthDayNano {
            months: i32::try_from(self.months).map_err(|_| Trouble::Range)?,
            days: i32::try_from(self.days).map_err(|_| Trouble::Range)?,
            nanoseconds: self.micros.checked_mul(1000).ok_or(Trouble::Range)?,
        })
    }

    /// Adds `number` of `unit`; the number's fraction goes to days and to time.
    fn add(&mut self, number: Number, unit: Unit) -> Result<(), Trouble> {
        let Number { whole, fraction } = number;
        let times = |per: i64| whole.checked_mul(per).ok_or(Trouble::Range);
        match unit {
            Unit::Micros(per) => self.add_micros(times(per)?, fraction * per as f64),
            Unit::Days(per) => {
                self.days = self.days.checked_add(times(per)?).ok_or(Trouble::Range)?;
                self.add_days(fraction * per as f64)
            }
            Unit::Months(1) => {
                self.months = self.months.checked_add(whole).ok_or(Trouble::Range)?;
                self.add_days(fraction * 30.0)
            }
            Unit::Months(per) => {
                let months = times(per)?.checked_add((fraction * per as f64).round_ties_even() as i64);
                self.months = months.and_then(|m| self.months.checked_add(m)).ok_or(Trouble::Range)?;
                Ok(())
            }
        }
    }

    fn add_days(&mut self, days: f64) -> Result<(), Trouble> {
        self.days += days.trunc() as i64;
        self.add_micros(0, days.fract() * MICROS_PER_DAY as f64)
    }

    fn add_micros(&mut self, whole: i64, fraction: f64) -> Result<(), Trouble> {
        let micros = whole.checked_add(fraction.round_ties_even() as i64);
        self.micros = micros.and_then(|m| self.micros.checked_add(m)).ok_or(Trouble::Range)?;
        Ok(())
    }

    fn negate(&mut self) {
        *self = Self { months: -self.months, days: -self.days, micros: -self.micros };
    }
}

#[derive(Clone, Copy)]
struct Number {
    whole: i64,
    fraction: f64,
}

fn number(text: &str) -> Result<Number, Trouble> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(Trouble::Syntax);
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| Trouble::Range)? };
    let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().map_err(|_| Trouble::Syntax)? };
    Ok(if negative { Number { whole: -whole, fraction: -fraction } } else { Number { whole, fraction } })
}

/// `1 year 2 mons -3 days 04:05:06.7 ago`, `1-2 3 4:05:06`, `@ 1 minute`, `90` (seconds).
fn verbose(body: &str) -> Result<Parts, Trouble> {
    let mut parts = Parts::default();
    let mut pending: Option<Number> = None;
    let mut seen = false;
    let spaced = space_units(body);
    let mut tokens = spaced.split_ascii_whitespace().peekable();
    while let Some(token) = tokens.next() {
        if token == "@" {
            continue;
        }
        if token.contains(':') {
            // In `3 4:05:06` the number before the time is days.
            if let Some(days) = pending.take() {
                parts.add(days, Unit::Days(1))?;
            }
            parts.add_micros(clock(token)?, 0.0)?;
            seen = true;
        } else if let Some(at) = second_dash(token) {
            parts.months = parts.months.checked_add(year_month(token, at)?).ok_or(Trouble::Range)?;
            seen = true;
        } else if token.starts_with(is_number_start) {
            if pending.is_some() {
                return Err(Trouble::Syntax);
            }
            pending = Some(number(token)?);
        } else if token.eq_ignore_ascii_case("ago") && tokens.peek().is_none() && seen {
            parts.negate();
        } else {
            let unit = unit(&token.to_ascii_lowercase()).ok_or(Trouble::Syntax)?;
            parts.add(pending.take().ok_or(Trouble::Syntax)?, unit)?;
            seen = true;
        }
    }
    if let Some(seconds) = pending {
        parts.add(seconds, SECOND)?;
        seen = true;
    }
    if seen { Ok(parts) } else { Err(Trouble::Syntax) }
}

/// Where `[-]years-months` has its dash.
fn second_dash(token: &str) -> Option<usize> {
    token.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| at).filter(|_| token.starts_with(is_number_start))
}

fn is_number_start(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | '+' | '.')
}

/// `1day` and `2h30m` with a space between each number and its unit.
fn space_units(body: &str) -> String {
    let mut out = String::with_capacity(body.len() + 8);
    let mut last = ' ';
    for c in body.chars() {
        let numeric = |c: char| c.is_ascii_digit() || c == '.';
        if (numeric(last) && c.is_alphabetic()) || (last.is_alphabetic() && is_number_start(c)) {
            out.push(' ');
        }
        out.push(if c == ',' { ' ' } else { c });
        last = c;
    }
    out
}

/// `[-]hh:mm[:ss[.f]]` with hours of any size, or `mm:ss.f`: microseconds.
fn clock(token: &str) -> Result<i64, Trouble> {
    let (negative, digits) = match token.as_bytes().first() {
        Some(b'-') => (true, &token[1..]),
        Some(b'+') => (false, &token[1..]),
        _ => (false, token),
    };
    let (head, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let micros = super::datetime::fraction_micros(fraction).ok_or(Trouble::Syntax)?;
    let fields = head.split(':').map(clock_field).collect::<Result<Vec<i64>, Trouble>>()?;
    let (hours, minutes, seconds) = match fields[..] {
        [h, m, s] => (h, m, s),
        [m, s] if head.len() != digits.len() => (0, m, s),
        [h, m] => (h, m, 0),
        _ => return Err(Trouble::Syntax),
    };
    if minutes > 59 || seconds > 60 {
        return Err(Trouble::Range);
    }
    let whole = hours.checked_mul(3600).and_then(|s| s.checked_add(minutes * 60 + seconds));
    let total = whole.and_then(|s| s.checked_mul(MICROS_PER_SECOND)).and_then(|m| m.checked_add(micros)).ok_or(Trouble::Range)?;
    Ok(if negative { -total } else { total })
}

fn clock_field(field: &str) -> Result<i64, Trouble> {
    if field.is_empty() || !field.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Trouble::Syntax);
    }
    field.parse().map_err(|_| Trouble::Range)
}

/// `[-]years-months`, the dash at `at`: months.
fn year_month(token: &str, at: usize) -> Result<i64, Trouble> {
    let (years, months) = (number(&token[..at])?, number(&token[at + 1..])?);
    if years.fraction != 0.0 || months.fraction != 0.0 || !(0..12).contains(&months.whole) {
        return Err(Trouble::Range);
    }
    let years = years.whole.checked_mul(12).ok_or(Trouble::Range)?;
    Ok(if token.starts_with('-') { years - months.whole } else { years + months.whole })
}

/// What follows the `P` of `P1Y2M3DT4H5M6.5S`, `P2W` or `P0001-02-03T04:05:06`.
fn iso_8601(body: &str) -> Result<Parts, Trouble> {
    let mut parts = Parts::default();
    let (date, time) = body.split_once('T').map_or((body, None), |(d, t)| (d, Some(t)));
    if date.is_empty() && time.is_none_or(str::is_empty) {
        return Err(Trouble::Syntax);
    }
    if date.trim_start_matches('-').contains('-') && date.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        let fields = date.splitn(3, '-').map(clock_field).collect::<Result<Vec<i64>, Trouble>>()?;
        let [years, months, days] = fields[..] else { return Err(Trouble::Syntax) };
        parts.months = years.checked_mul(12).and_then(|y| y.checked_add(months)).ok_or(Trouble::Range)?;
        parts.days = days;
    } else {
        designated(date, &mut parts, |letter| match letter {
            'Y' => Some(Unit::Months(12)),
            'M' => Some(Unit::Months(1)),
            'W' => Some(Unit::Days(7)),
            'D' => Some(Unit::Days(1)),
            _ => None,
        })?;
    }
    match time {
        Some(time) if time.contains(':') => parts.micros = clock(time)?,
        Some(time) => designated(time, &mut parts, |letter| match letter {
            'H' => Some(HOUR),
            'M' => Some(MINUTE),
            'S' => Some(SECOND),
            _ => None,
        })?,
        None => {}
    }
    Ok(parts)
}

fn designated(mut text: &str, parts: &mut Parts, unit: impl Fn(char) -> Option<Unit>) -> Result<(), Trouble> {
    while !text.is_empty() {
        let at = text.find(|c: char| !is_number_start(c)).ok_or(Trouble::Syntax)?;
        let letter = text[at..].chars().next().ok_or(Trouble::Syntax)?;
        parts.add(number(&text[..at])?, unit(letter).ok_or(Trouble::Syntax)?)?;
        text = &text[at + letter.len_utf8()..];
    }
    Ok(())
}

/// `1 year 2 mons 3 days 04:05:06.7`; parts after a negative one carry a `+`.
pub fn write_interval(out: &mut String, interval: IntervalMonthDayNano) {
    let begin = out.len();
    let mut negative_before = false;
    let mut part = |out: &mut String, n: i32, unit: &str| {
        if n == 0 {
            return;
        }
        let space = if out.len() > begin { " " } else { "" };
        let plus = if negative_before && n > 0 { "+" } else { "" };
        let plural = if n == 1 { "" } else { "s" };
        let _ = write!(out, "{space}{plus}{n} {unit}{plural}");
        negative_before = n < 0;
    };
    part(out, interval.months / 12, "year");
    part(out, interval.months % 12, "mon");
    part(out, interval.days, "day");
    let micros = interval.nanoseconds / 1000;
    if micros == 0 && out.len() > begin {
        return;
    }
    if out.len() > begin {
        out.push(' ');
    }
    if micros < 0 {
        out.push('-');
    } else if negative_before {
        out.push('+');
    }
    let (seconds, fraction) = (micros.abs() / MICROS_PER_SECOND, micros.abs() % MICROS_PER_SECOND);
    push_two(out, seconds / 3600);
    out.push(':');
    push_two(out, seconds / 60 % 60);
    out.push(':');
    push_two(out, seconds % 60);
    write_fraction(out, fraction);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_and_print_as_in_postgresql() {
        for (text, expected) in [
            ("1 year 2 months 3 days 04:05:06.7", "1 year 2 mons 3 days 04:05:06.7"),
            ("1 day", "1 day"),
            ("-1 day", "-1 days"),
            ("-1 day 2 hours", "-1 days +02:00:00"),
            ("1 day ago", "-1 days"),
            ("@ 1 minute", "00:01:00"),
            ("1.5 hours", "01:30:00"),
            ("1.5 months", "1 mon 15 days"),
            ("1.5 years", "1 year 6 mons"),
            ("0.5 days", "12:00:00"),
            ("1 week", "7 days"),
            ("1-2", "1 year 2 mons"),
            ("-1-2", "-1 years -2 mons"),
            ("3 4:05:06", "3 days 04:05:06"),
            ("100:00", "100:00:00"),
            ("90", "00:01:30"),
            ("2h30m", "02:30:00"),
            ("1day", "1 day"),
            ("P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06"),
            ("P2W", "14 days"),
            ("PT0.5S", "00:00:00.5"),
            ("P0001-02-03T04:05:06", "1 year 2 mons 3 days 04:05:06"),
            ("-00:00:01", "-00:00:01"),
            ("0", "00:00:00"),
            ("1 millisecond", "00:00:00.001"),
            ("10 decades", "100 years"),
        ] {
            let mut out = String::new();
            match parse_interval(text) {
                Ok(interval) => write_interval(&mut out, interval),
                Err(e) => out = e.to_string(),
            }
            assert_eq!(out, expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for (text, code) in
            [("", "22007"), ("soon", "22007"), ("1 2 3", "22007"), ("day", "22007"), ("3000000000 years", "22015")]
        {
            assert_eq!(parse_interval(text).unwrap_err().code().code(), code, "{text:?}");
        }
    }
}

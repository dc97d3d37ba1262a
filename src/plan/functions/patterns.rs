//! `to_char` of dates, timestamps and intervals. What is no pattern is copied out, as PostgreSQL does.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::error::{Result, SqlError};
use crate::types::calendar::{Civil, MICROS_PER_SECOND, civil_of, days_of, iso_week, iso_weekday, split, write_offset};

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Longest first where one begins another.
const PATTERNS: &[&str] = &[
    "SSSSS", "SSSS", "Y,YYY", "HH24", "HH12", "HH", "MI", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "AM", "PM",
    "am", "pm", "A.M.", "P.M.", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "IDDD", "IW", "ID", "I", "J", "RM", "rm", "BC",
    "AD", "bc", "ad", "B.C.", "A.D.", "b.c.", "a.d.", "a.m.", "p.m.", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM",
    "DAY", "Day", "day", "DY", "Dy", "dy", "DDD", "DD", "D", "WW", "W", "Q", "CC", "OF", "TZH", "TZM", "TZ", "tz",
];

/// A wall clock time by the pattern; `offset` is the zone's, in seconds east, for timestamptz.
pub fn format(pattern: &str, local: i64, offset: Option<i32>) -> Result<String> {
    format_in(pattern, local, offset, offset.filter(|o| *o == 0).map(|_| "UTC"))
}

/// As [`format`]; `zone` is what the zone calls itself.
pub fn format_in(pattern: &str, local: i64, offset: Option<i32>, zone: Option<&str>) -> Result<String> {
    let moment = Moment { local, offset, zone, span: None };
    written(pattern, &moment)
}

/// An interval's parts: years and months, days, and hours of any number.
pub fn format_interval(pattern: &str, span: IntervalMonthDayNano) -> Result<String> {
    let moment = Moment { local: span.nanoseconds / 1000, offset: None, zone: None, span: Some(span) };
    written(pattern, &moment)
}

struct Moment<'a> {
    local: i64,
    offset: Option<i32>,
    zone: Option<&'a str>,
    span: Option<IntervalMonthDayNano>,
}

fn written(pattern: &str, moment: &Moment<'_>) -> Result<String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, tail) = quoted.split_once('"').unwrap_or((quoted, ""));
            out.push_str(text);
            rest = tail;
            continue;
        }
        if let Some(escaped) = rest.strip_prefix('\\').filter(|r| r.starts_with('"')) {
            out.push('"');
            rest = &escaped[1..];
            continue;
        }
        let (fill, body) = match rest.get(..2) {
            Some(prefix) if prefix.eq_ignore_ascii_case("FM") => (false, &rest[2..]),
            Some(prefix) if prefix.eq_ignore_ascii_case("TM") && !rest[2..].is_empty() => (false, &rest[2..]),
            _ => (true, rest),
        };
        let longest = PATTERNS.iter().filter(|p| body.get(..p.len()).is_some_and(|b| same(b, p))).max_by_key(|p| p.len());
        if let Some(name) = longest {
            let tail = &body[name.len()..];
            let (ordinal, tail) = match tail.get(..2) {
                Some(suffix @ ("th" | "TH")) => (Some(suffix), &tail[2..]),
                _ => (None, tail),
            };
            let begin = out.len();
            match moment.span {
                Some(span) => interval_field(&mut out, &body[..name.len()], fill, span)?,
                None => field(&mut out, &body[..name.len()], fill, moment.local, moment.offset, moment.zone),
            }
            if let Some(suffix) = ordinal {
                let ending = ordinal_ending(&out[begin..]);
                out.push_str(&if suffix == "TH" { ending.to_uppercase() } else { ending.to_owned() });
            }
            rest = tail;
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Ok(out)
}

fn interval_field(out: &mut String, pattern: &str, fill: bool, span: IntervalMonthDayNano) -> Result<()> {
    let micros = span.nanoseconds / 1000;
    let seconds = micros / MICROS_PER_SECOND;
    let mut number = |n: i64, width: usize| {
        // The sign takes a place of its own.
        let width = if n < 0 { width + 1 } else { width };
        out.push_str(&if fill { format!("{n:0width$}") } else { n.to_string() });
    };
    let hour = seconds / 3600;
    match pattern.to_ascii_uppercase().as_str() {
        "HH24" => number(hour, 2),
        "HH12" | "HH" => number(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
        "MI" => number(seconds / 60 % 60, 2),
        "SS" => number(seconds % 60, 2),
        "MS" => number(micros % MICROS_PER_SECOND / 1000, 3),
        "US" => number(micros % MICROS_PER_SECOND, 6),
        "SSSS" | "SSSSS" => number(seconds, 0),
        "YYYY" => number(i64::from(span.months / 12), 4),
        "YY" => number(i64::from(span.months / 12 % 100), 2),
        "MM" => number(i64::from(span.months % 12), 2),
        "DD" => number(i64::from(span.days), 2),
        "AM" | "PM" => {
            let word = if hour % 24 < 12 { "AM" } else { "PM" };
            out.push_str(&if pattern.starts_with(char::is_lowercase) { word.to_lowercase() } else { word.to_owned() });
        }
        _ => {
            let message = format!("to_char pattern \"{pattern}\" of an interval is not supported");
            return Err(SqlError::unsupported(message, "Use HH24, MI, SS, MS, US, DD, MM and YYYY."));
        }
    }
    Ok(())
}

/// Patterns of digits may be written in any case; for names the case says how they are written.
fn same(text: &str, pattern: &str) -> bool {
    text == pattern || (pattern.chars().all(|c| !c.is_ascii_lowercase()) && text.eq_ignore_ascii_case(pattern) && !named(pattern))
}

fn named(pattern: &str) -> bool {
    matches!(
        pattern,
        "MONTH" | "MON" | "DAY" | "DY" | "AM" | "PM" | "A.M." | "P.M." | "BC" | "AD" | "B.C." | "A.D." | "RM" | "TZ"
    )
}

fn field(out: &mut String, pattern: &str, fill: bool, local: i64, offset: Option<i32>, zone: Option<&str>) {
    let (day, time) = split(local);
    let date = civil_of(day);
    let seconds = time / MICROS_PER_SECOND;
    let micros = time % MICROS_PER_SECOND;
    let hour = seconds / 3600;
    let year = i64::from(if date.year > 0 { date.year } else { 1 - date.year });
    let day_of_year = day - days_of(Civil { year: date.year, month: 1, day: 1 }) + 1;
    let mut number = |n: i64, width: usize| out.push_str(&if fill { format!("{n:0width$}") } else { n.to_string() });
    match pattern.to_ascii_uppercase().as_str() {
        "SSSSS" | "SSSS" => number(seconds, 0),
        "HH24" => number(hour, 2),
        "HH12" | "HH" => number((hour + 11) % 12 + 1, 2),
        "MI" => number(seconds / 60 % 60, 2),
        "SS" => number(seconds % 60, 2),
        "MS" => number(micros / 1000, 3),
        "US" => number(micros, 6),
        "Y,YYY" => out.push_str(&format!("{},{:03}", year / 1000, year % 1000)),
        "J" => number(day + 2_440_588, 0),
        "IDDD" => number((iso_week(day).1 - 1) * 7 + iso_weekday(day), 3),
        "IYY" => number(i64::from(iso_week(day).0) % 1000, 3),
        "IY" => number(i64::from(iso_week(day).0) % 100, 2),
        "I" => number(i64::from(iso_week(day).0) % 10, 1),
        "YYYY" => number(year, 4),
        "YYY" => number(year % 1000, 3),
        "YY" => number(year % 100, 2),
        "Y" => number(year % 10, 1),
        "IYYY" => number(i64::from(iso_week(day).0), 4),
        "IW" => number(iso_week(day).1, 2),
        "ID" => number(iso_weekday(day), 1),
        "MM" => number(i64::from(date.month), 2),
        "DDD" => number(day_of_year, 3),
        "DD" => number(i64::from(date.day), 2),
        "D" => number(iso_weekday(day) % 7 + 1, 1),
        "WW" => number((day_of_year - 1) / 7 + 1, 2),
        "W" => number((i64::from(date.day) - 1) / 7 + 1, 1),
        "Q" => number(i64::from((date.month - 1) / 3 + 1), 1),
        "CC" => number((year + 99) / 100, 2),
        "BC" | "AD" | "B.C." | "A.D." => {
            let era = if date.year > 0 { "AD" } else { "BC" };
            let era = if pattern.contains('.') { format!("{}.{}.", &era[..1], &era[1..]) } else { era.to_owned() };
            out.push_str(&if pattern.starts_with(char::is_lowercase) { era.to_lowercase() } else { era });
        }
        "RM" => {
            let name = ROMAN[(date.month as usize - 1) % 12];
            let name = if pattern == "rm" { name.to_lowercase() } else { name.to_owned() };
            out.push_str(&if fill { format!("{name:4}") } else { name });
        }
        "TZ" => {
            let name = zone.unwrap_or_default();
            out.push_str(&if pattern == "tz" { name.to_lowercase() } else { name.to_owned() });
        }
        _ => words(out, pattern, fill, date, day, (hour, micros), offset),
    }
}

fn words(out: &mut String, pattern: &str, fill: bool, date: Civil, day: i64, (hour, micros): (i64, i64), offset: Option<i32>) {
    let month = MONTHS[(date.month as usize - 1) % 12];
    let weekday = DAYS[(iso_weekday(day) as usize - 1) % 7];
    let mut name = |word: &str, width: usize| {
        let cased = if pattern.chars().all(char::is_uppercase) {
            word.to_uppercase()
        } else if pattern.starts_with(char::is_lowercase) {
            word.to_lowercase()
        } else {
            word.to_owned()
        };
        out.push_str(&if fill { format!("{cased:width$}") } else { cased });
    };
    match pattern.to_ascii_uppercase().as_str() {
        "MONTH" => name(month, 9),
        "MON" => name(&month[..3], 0),
        "DAY" => name(weekday, 9),
        "DY" => name(&weekday[..3], 0),
        "AM" | "PM" => name(if hour < 12 { "AM" } else { "PM" }, 0),
        "A.M." | "P.M." => name(if hour < 12 { "A.M." } else { "P.M." }, 0),
        "OF" => write_offset(out, offset.unwrap_or(0)),
        "TZH" => out.push_str(&format!("{:+03}", offset.unwrap_or(0) / 3600)),
        "TZM" => out.push_str(&format!("{:02}", offset.unwrap_or(0).abs() / 60 % 60)),
        fraction => {
            let digits = fraction.trim_start_matches("FF").parse().unwrap_or(6).min(6);
            out.push_str(&format!("{micros:06}")[..digits]);
        }
    }
}

fn ordinal_ending(number: &str) -> &'static str {
    let n: i64 = number.parse().unwrap_or(0);
    match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_print_as_postgresql_prints_them() {
        // 2025-03-05 14:07:09.012345, a Wednesday.
        let local = 1_741_183_629_012_345;
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS", "2025-03-05 14:07:09"),
            ("YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"", "2025-03-05T14:07:09.012Z"),
            ("yyyy-mm-dd", "2025-03-05"),
            ("FMDD FMMonth YYYY", "5 March 2025"),
            ("Month|", "March    |"),
            ("Dy, DD Mon YYYY HH12:MI AM", "Wed, 05 Mar 2025 02:07 PM"),
            ("IYYY-IW-ID Q DDD", "2025-10-3 1 064"),
            ("DDth US", "05th 012345"),
            ("OF", "+02"),
        ] {
            assert_eq!(format(pattern, local, Some(7200)).unwrap(), expected, "{pattern}");
        }
        assert_eq!(format("hello", local, None).unwrap(), "hello");
        let span = IntervalMonthDayNano { months: 14, days: 3, nanoseconds: 93_784_000_000_000 };
        assert_eq!(format_interval("YYYY-MM-DD HH24:MI:SS", span).unwrap(), "0001-02-03 26:03:04");
        assert!(format_interval("Day", span).is_err());
    }
}

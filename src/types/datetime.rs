//! Text of dates, times and timestamps, read as PostgreSQL reads it under `DateStyle = ISO, MDY`.
//!
//! The ends of the range of days and of microseconds are the infinities. Refuses what depends on a clock (`now`,
//! `today`: the caller has functions for these).

use super::calendar::{Civil, FIRST_DAY, FIRST_MICROS, LAST_DAY, MICROS_PER_DAY, MICROS_PER_SECOND, days_in_month, days_of};
use super::complaint::{bad_datetime, bad_datetime_field};
use super::zone::{Zone, parse_offset};
use crate::error::{Result, SqlError, SqlState};

/// Days since 1970-01-01.
pub fn parse_date(text: &str) -> Result<i32> {
    if let Some((days, "")) = iso_date(text.trim()) {
        return Ok(days);
    }
    let read = Fields::read(text, "date")?;
    let days = match read.special {
        Some(Special::Epoch) => 0,
        Some(Special::Infinity) => return Ok(i32::MAX),
        Some(Special::NegativeInfinity) => return Ok(i32::MIN),
        None => read.days(text, "date")?,
    };
    in_date_range(days, text)
}

/// Microseconds since midnight, 24:00:00 included.
pub fn parse_time(text: &str) -> Result<i64> {
    let read = Fields::read(text, "time")?;
    match (read.special, read.time) {
        (None, Some(time)) => Ok(time),
        _ => Err(bad_datetime("time", text)),
    }
}

/// A time of day, and the zone behind it where there is one. A zone whose offset depends on the day takes that of
/// the date in the text.
pub fn parse_time_and_zone(text: &str) -> Result<(i64, Option<Zone>)> {
    const NAME: &str = "time with time zone";
    let read = Fields::read(text, NAME)?;
    let (None, Some(time)) = (read.special, read.time) else { return Err(bad_datetime(NAME, text)) };
    let zone = match (read.zone, read.days(text, NAME)) {
        (Some(zone @ Zone::Named(_)), Ok(days)) => Some(Zone::Fixed(zone.offset_of_local(days * MICROS_PER_DAY + time))),
        (zone, _) => zone,
    };
    Ok((time, zone))
}

/// Microseconds since 1970-01-01 on a wall clock; a zone in the text is read and ignored.
pub fn parse_timestamp(text: &str) -> Result<i64> {
    if let Some((micros, "")) = iso_timestamp(text.trim()) {
        return Ok(micros);
    }
    let read = Fields::read(text, "timestamp")?;
    read.local_micros(text, "timestamp")
}

/// Microseconds since 1970-01-01 UTC; `zone` is for text that names none.
pub fn parse_timestamptz(text: &str, zone: Zone) -> Result<i64> {
    const NAME: &str = "timestamp with time zone";
    let out_of_range = || timestamp_out_of_range(text);
    if let Some((micros, rest)) = iso_timestamp(text.trim()) {
        match rest {
            "" => return zone.instant(micros).ok_or_else(out_of_range),
            "Z" => return Ok(micros),
            rest => {
                if let Some(east) = parse_offset(rest) {
                    return micros.checked_sub(i64::from(east) * MICROS_PER_SECOND).ok_or_else(out_of_range);
                }
            }
        }
    }
    let read = Fields::read(text, NAME)?;
    let local = read.local_micros(text, NAME)?;
    if read.special.is_some() {
        return Ok(local);
    }
    let instant = read.zone.unwrap_or(zone).instant(local).ok_or_else(out_of_range)?;
    if instant < FIRST_MICROS { Err(out_of_range()) } else { Ok(instant) }
}

/// 22008: a date that PostgreSQL does not have.
pub fn in_date_range(days: i64, text: &str) -> Result<i32> {
    match i32::try_from(days) {
        Ok(days @ FIRST_DAY..=LAST_DAY) => Ok(days),
        _ => Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date out of range: \"{text}\""))),
    }
}

fn timestamp_out_of_range(text: &str) -> SqlError {
    SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\""))
}

/// `YYYY-MM-DD` of a day that exists, and what follows it.
fn iso_date(text: &str) -> Option<(i32, &str)> {
    let (head, rest) = text.split_at_checked(10)?;
    let b = head.as_bytes();
    if b[4] != b'-' || b[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&b[..4])?, digits(&b[5..7])?, digits(&b[8..10])?);
    let year = i32::try_from(year).ok()?;
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    Some((days_of(Civil { year, month, day }) as i32, rest))
}

/// `YYYY-MM-DD[( |T)HH:MM:SS[.ffffff]]` and what follows it; anything unusual is left to the full reader.
fn iso_timestamp(text: &str) -> Option<(i64, &str)> {
    let (days, rest) = iso_date(text)?;
    let midnight = i64::from(days) * MICROS_PER_DAY;
    if rest.is_empty() {
        return Some((midnight, rest));
    }
    let (head, mut rest) = rest.split_at_checked(9)?;
    let b = head.as_bytes();
    if !matches!(b[0], b' ' | b'T') || b[3] != b':' || b[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&b[1..3])?, digits(&b[4..6])?, digits(&b[7..9])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = i64::from(hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND;
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 || len > 6 {
            return None;
        }
        micros += i64::from(digits(&fraction.as_bytes()[..len])?) * 10i64.pow(6 - len as u32);
        rest = &fraction[len..];
    }
    Some((midnight + micros, rest))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Special {
    Epoch,
    Infinity,
    NegativeInfinity,
}

/// What the words and numbers of one text said.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    /// The year was written with one or two digits.
    short_year: bool,
    before_christ: bool,
    time: Option<i64>,
    afternoon: Option<bool>,
    zone: Option<Zone>,
    special: Option<Special>,
}

/// Why a field could not be taken.
enum Trouble {
    Syntax,
    Range,
    Zone(String),
    Refused(SqlError),
}

impl Fields {
    fn read(text: &str, type_name: &'static str) -> Result<Self> {
        let trouble = match Self::read_fields(text, type_name) {
            Ok(fields) => return Ok(fields),
            Err(trouble) => trouble,
        };
        Err(match trouble {
            Trouble::Syntax => bad_datetime(type_name, text),
            Trouble::Range => bad_datetime_field(text),
            Trouble::Zone(name) => {
                SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized"))
            }
            Trouble::Refused(error) => error,
        })
    }

    fn read_fields(text: &str, type_name: &str) -> Result<Self, Trouble> {
        let mut fields = Self::default();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(Trouble::Syntax);
        }
        while let Some(first) = rest.chars().next() {
            let (token, tail) = next_token(rest, first)?;
            match token {
                Token::Skip => {}
                Token::Time(s) => fields.take_time(s)?,
                Token::Date(s) => fields.take_date(s)?,
                Token::Number(s) => fields.take_number(s)?,
                Token::Offset(s) => fields.take_zone(Zone::Fixed(parse_offset(s).ok_or(Trouble::Syntax)?))?,
                Token::Word(s) => fields.take_word(s, type_name)?,
            }
            rest = tail;
        }
        fields.finish()
    }

    fn take_time(&mut self, s: &str) -> Result<(), Trouble> {
        if self.time.is_some() {
            return Err(Trouble::Syntax);
        }
        let mut parts = s.split(':');
        let mut part = || parts.next();
        let hour = whole(part().unwrap_or_default(), 2)?;
        let minute = whole(part().unwrap_or_default(), 2)?;
        let second = part().map_or(Ok(0), seconds)?;
        if part().is_some() {
            return Err(Trouble::Syntax);
        }
        self.time = Some(time_of(hour, minute, second)?);
        Ok(())
    }

    /// `2025-01-31`, `1/31/2025`, `31-Jan-2025`, `Jan-31-2025`, `2025.01.31`.
    fn take_date(&mut self, s: &str) -> Result<(), Trouble> {
        if self.year.is_some() || self.day.is_some() {
            return Err(Trouble::Syntax);
        }
        let parts: Vec<&str> = s.split(['-', '/', '.']).collect();
        let [a, b, c] = parts[..] else { return Err(Trouble::Syntax) };
        let named = |s: &str| s.starts_with(|c: char| c.is_ascii_alphabetic());
        if named(a) {
            self.month = Some(month_name(a).ok_or(Trouble::Syntax)?);
            self.day = Some(whole(b, 2)?);
            return self.set_year(c);
        }
        let year_first = a.len() > 2;
        if named(b) {
            self.month = Some(month_name(b).ok_or(Trouble::Syntax)?);
            let (year, day) = if year_first { (a, c) } else { (c, a) };
            self.day = Some(whole(day, 2)?);
            return self.set_year(year);
        }
        let (year, month, day) = if year_first { (a, b, c) } else { (c, a, b) };
        self.month = Some(whole(month, 2)?);
        self.day = Some(whole(day, 2)?);
        self.set_year(year)
    }

    fn set_year(&mut self, s: &str) -> Result<(), Trouble> {
        self.short_year = s.len() <= 2;
        self.year = Some(i32::try_from(whole(s, 7)?).map_err(|_| Trouble::Range)?);
        Ok(())
    }

    /// A run of digits on its own: a packed date, a packed time, a day or a year.
    fn take_number(&mut self, s: &str) -> Result<(), Trouble> {
        let have_date = self.year.is_some() && self.day.is_some();
        let (integer, _) = s.split_once('.').unwrap_or((s, ""));
        if have_date && self.time.is_none() && matches!(integer.len(), 4 | 6) {
            let hour = whole(&integer[..2], 2)?;
            let minute = whole(&integer[2..4], 2)?;
            let second = if integer.len() == 6 { seconds(&s[4..])? } else { 0 };
            self.time = Some(time_of(hour, minute, second)?);
            return Ok(());
        }
        if s.contains('.') {
            return Err(Trouble::Syntax);
        }
        match (s.len(), self.month) {
            (8, None) if !have_date => {
                self.month = Some(whole(&s[4..6], 2)?);
                self.day = Some(whole(&s[6..], 2)?);
                self.set_year(&s[..4])
            }
            (6, None) if !have_date => {
                self.month = Some(whole(&s[2..4], 2)?);
                self.day = Some(whole(&s[4..], 2)?);
                self.set_year(&s[..2])
            }
            (1 | 2, Some(_)) if self.day.is_none() => {
                self.day = Some(whole(s, 2)?);
                Ok(())
            }
            (1 | 2, None) if !have_date && self.day.is_none() => {
                self.day = Some(whole(s, 2)?);
                Ok(())
            }
            (_, Some(_)) if self.year.is_none() => self.set_year(s),
            _ => Err(Trouble::Syntax),
        }
    }

    fn take_zone(&mut self, zone: Zone) -> Result<(), Trouble> {
        if self.zone.replace(zone).is_some() { Err(Trouble::Syntax) } else { Ok(()) }
    }

    fn take_word(&mut self, word: &str, type_name: &str) -> Result<(), Trouble> {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "am" | "pm" => self.afternoon = Some(lower == "pm"),
            "bc" => self.before_christ = true,
            "ad" => {}
            "t" | "at" | "on" => {}
            "epoch" => self.special = Some(Special::Epoch),
            "allballs" => {
                self.time = Some(0);
                return self.take_zone(Zone::UTC);
            }
            "infinity" | "+infinity" if type_name != "time" => self.special = Some(Special::Infinity),
            "-infinity" if type_name != "time" => self.special = Some(Special::NegativeInfinity),
            "now" | "today" | "tomorrow" | "yesterday" => {
                return Err(Trouble::Refused(SqlError::unsupported(
                    format!("date/time value \"{lower}\" is not supported"),
                    "Use now() or current_date.",
                )));
            }
            _ if is_weekday(&lower) => {}
            _ => {
                if let Some(month) = month_name(&lower) {
                    if self.month.is_some() && self.day.is_some() {
                        return Err(Trouble::Syntax);
                    }
                    // `31 Jan`: the number before the name was the day.
                    self.month = Some(month);
                } else if let Some(zone) = Zone::named(word) {
                    return self.take_zone(zone);
                } else if word.contains('/') {
                    return Err(Trouble::Zone(lower));
                } else {
                    return Err(Trouble::Syntax);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Self, Trouble> {
        if let (Some(afternoon), Some(time)) = (self.afternoon, self.time) {
            const HALF: i64 = MICROS_PER_DAY / 2;
            let hour = time / (3600 * MICROS_PER_SECOND);
            if hour > 12 {
                return Err(Trouble::Range);
            }
            self.time = Some(time % HALF + if afternoon { HALF } else { 0 });
        }
        if let Some(year) = self.year {
            let year = match (self.short_year, self.before_christ) {
                (_, true) => 1 - year,
                (true, false) if year < 70 => year + 2000,
                (true, false) => year + 1900,
                (false, false) => year,
            };
            let zero = self.before_christ && year == 1 || !self.before_christ && year == 0;
            let (month, day) = (self.month.unwrap_or(0), self.day.unwrap_or(0));
            if zero || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
                return Err(Trouble::Range);
            }
            self.year = Some(year);
        }
        Ok(self)
    }

    fn days(&self, text: &str, type_name: &str) -> Result<i64> {
        match (self.year, self.month, self.day) {
            (Some(year), Some(month), Some(day)) => Ok(days_of(Civil { year, month, day })),
            _ => Err(bad_datetime(type_name, text)),
        }
    }

    fn local_micros(&self, text: &str, type_name: &str) -> Result<i64> {
        match self.special {
            Some(Special::Epoch) => return Ok(0),
            Some(Special::Infinity) => return Ok(i64::MAX),
            Some(Special::NegativeInfinity) => return Ok(i64::MIN),
            None => {}
        }
        let days = self.days(text, type_name)?;
        let micros = days.checked_mul(MICROS_PER_DAY).and_then(|d| d.checked_add(self.time.unwrap_or(0)));
        match micros {
            Some(micros) if micros >= FIRST_MICROS => Ok(micros),
            _ => Err(timestamp_out_of_range(text)),
        }
    }
}

/// `24:00:00` and a 60th second are allowed.
fn time_of(hour: u32, minute: u32, second_micros: i64) -> Result<i64, Trouble> {
    let micros = i64::from(hour * 3600 + minute * 60) * MICROS_PER_SECOND + second_micros;
    let ok = hour <= 24 && minute <= 59 && second_micros <= 60 * MICROS_PER_SECOND && micros <= MICROS_PER_DAY;
    if ok { Ok(micros) } else { Err(Trouble::Range) }
}

/// Digits only, at most `max` of them.
fn whole(s: &str, max: usize) -> Result<u32, Trouble> {
    if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Trouble::Syntax);
    }
    if s.len() > max {
        return Err(Trouble::Range);
    }
    s.parse().map_err(|_| Trouble::Range)
}

/// `07`, `07.5`: microseconds, rounded.
fn seconds(s: &str) -> Result<i64, Trouble> {
    let (integer, fraction) = s.split_once('.').unwrap_or((s, ""));
    let integer = i64::from(whole(integer, 2)?);
    Ok(integer * MICROS_PER_SECOND + fraction_micros(fraction).ok_or(Trouble::Syntax)?)
}

/// Digits after a point as microseconds, rounded half up.
pub(super) fn fraction_micros(fraction: &str) -> Option<i64> {
    let mut micros = 0;
    for (i, b) in fraction.bytes().enumerate() {
        let digit = b.is_ascii_digit().then(|| i64::from(b - b'0'))?;
        match i {
            0..=5 => micros += digit * 10i64.pow(5 - i as u32),
            6 => micros += i64::from(digit >= 5),
            _ => {}
        }
    }
    Some(micros)
}

enum Token<'a> {
    Skip,
    Time(&'a str),
    Date(&'a str),
    Number(&'a str),
    Offset(&'a str),
    Word(&'a str),
}

fn run(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|c| !keep(c)).unwrap_or(text.len())
}

fn next_token(text: &str, first: char) -> Result<(Token<'_>, &str), Trouble> {
    if first.is_ascii_whitespace() || matches!(first, ',' | '.' | '(' | ')') {
        return Ok((Token::Skip, &text[1..]));
    }
    if first.is_ascii_digit() {
        return Ok(digit_token(text));
    }
    if matches!(first, '+' | '-') {
        if text[1..].to_ascii_lowercase().starts_with("infinity") {
            return Ok((Token::Word(&text[..9]), &text[9..]));
        }
        let end = 1 + run(&text[1..], |c| c.is_ascii_digit() || c == ':');
        return Ok((Token::Offset(&text[..end]), &text[end..]));
    }
    if first.is_ascii_alphabetic() {
        return Ok(word_token(text));
    }
    Err(Trouble::Syntax)
}

fn digit_token(text: &str) -> (Token<'_>, &str) {
    let first = run(text, |c| c.is_ascii_digit());
    let after = &text[first..];
    if after.starts_with(':') {
        let end = run(text, |c| c.is_ascii_digit() || matches!(c, ':' | '.'));
        return (Token::Time(&text[..end]), &text[end..]);
    }
    let second = after.get(1..).unwrap_or_default();
    let in_date = match after.chars().next() {
        Some('-' | '/') => second.starts_with(|c: char| c.is_ascii_alphanumeric()),
        Some('.') => second.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('.'),
        _ => false,
    };
    if !in_date {
        let end = run(text, |c| c.is_ascii_digit() || c == '.');
        return (Token::Number(&text[..end]), &text[end..]);
    }
    let middle = first + 1 + alphanumeric_run(second);
    if !text[middle..].starts_with(['-', '/', '.']) {
        return (Token::Date(&text[..middle]), &text[middle..]);
    }
    let end = middle + 1 + run(&text[middle + 1..], |c| c.is_ascii_digit());
    (Token::Date(&text[..end]), &text[end..])
}

/// Digits, or letters, whichever it begins with.
fn alphanumeric_run(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        run(text, |c| c.is_ascii_digit())
    } else {
        run(text, |c| c.is_ascii_alphabetic())
    }
}

fn word_token(text: &str) -> (Token<'_>, &str) {
    let letters = run(text, |c| c.is_ascii_alphabetic());
    let after = &text[letters..];
    if after.starts_with(['-', '/']) && month_name(&text[..letters]).is_some() {
        let end = run(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '/'));
        return (Token::Date(&text[..end]), &text[end..]);
    }
    let end = if after.starts_with(['/', '_']) {
        run(text, |c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+'))
    } else {
        letters
    };
    (Token::Word(&text[..end]), &text[end..])
}

const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];

fn month_name(word: &str) -> Option<u32> {
    let lower = word.to_ascii_lowercase();
    let lower = if lower == "sept" { "sep" } else { &lower };
    let index = MONTHS.iter().position(|m| *m == lower || (lower.len() == 3 && m.starts_with(lower)))?;
    Some(index as u32 + 1)
}

fn is_weekday(lower: &str) -> bool {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    DAYS.iter().any(|d| *d == lower || (lower.len() == 3 && d.starts_with(lower))) || matches!(lower, "tues" | "thur" | "thurs")
}

#[cfg(test)]
mod tests {
    use super::super::calendar::{write_date, write_time, write_timestamp, write_timestamptz};
    use super::*;

    fn shown<T>(parsed: Result<T>, write: impl FnOnce(&mut String, T)) -> String {
        match parsed {
            Ok(value) => {
                let mut out = String::new();
                write(&mut out, value);
                out
            }
            Err(e) => e.code().code().to_owned(),
        }
    }

    #[test]
    fn dates_in_every_accepted_order() {
        for (text, expected) in [
            ("2025-01-31", "2025-01-31"),
            (" 2025-1-3 ", "2025-01-03"),
            ("20250131", "2025-01-31"),
            ("1/31/2025", "2025-01-31"),
            ("01/02/03", "2003-01-02"),
            ("Jan 31, 2025", "2025-01-31"),
            ("31 January 2025", "2025-01-31"),
            ("31-Jan-2025", "2025-01-31"),
            ("2025-Jan-31", "2025-01-31"),
            ("Jan-31-2025", "2025-01-31"),
            ("0044-03-15 BC", "0044-03-15 BC"),
            ("2025-01-31 10:00:00", "2025-01-31"),
            ("epoch", "1970-01-01"),
            ("2024-02-29", "2024-02-29"),
            ("2025-02-29", "22008"),
            ("2025-13-01", "22008"),
            ("0000-01-01", "22008"),
            ("5874898-01-01", "22008"),
            ("infinity", "infinity"),
            ("-Infinity", "-infinity"),
            ("today", "0A000"),
            ("x", "22007"),
            ("", "22007"),
            ("2025-01", "22007"),
            ("10:00", "22007"),
        ] {
            assert_eq!(shown(parse_date(text), write_date), expected, "{text:?}");
        }
    }

    #[test]
    fn times_of_day() {
        for (text, expected) in [
            ("10:00", "10:00:00"),
            ("10:00:01.5", "10:00:01.5"),
            ("10:00:01.1234567", "10:00:01.123457"),
            ("24:00:00", "24:00:00"),
            ("04:05 PM", "16:05:00"),
            ("12:30 am", "00:30:00"),
            ("25:00", "22008"),
            ("10:60", "22008"),
            ("x", "22007"),
        ] {
            assert_eq!(shown(parse_time(text), write_time), expected, "{text:?}");
        }
    }

    #[test]
    fn timestamps_ignore_a_zone() {
        for (text, expected) in [
            ("2025-01-01 10:00:00+02", "2025-01-01 10:00:00"),
            ("2025-01-01T10:00:00.25Z", "2025-01-01 10:00:00.25"),
            ("20250101T101112", "2025-01-01 10:11:12"),
            ("2025-01-01", "2025-01-01 00:00:00"),
            ("2025-01-01 24:00", "2025-01-02 00:00:00"),
            ("epoch", "1970-01-01 00:00:00"),
            ("294277-01-01", "22008"),
            ("2025-01-01 10", "22007"),
        ] {
            assert_eq!(shown(parse_timestamp(text), write_timestamp), expected, "{text:?}");
        }
    }

    #[test]
    fn instants_in_the_session_zone_unless_the_text_names_one() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2025-01-01 10:00:00+02", "2025-01-01 09:00:00+01"),
            ("2025-07-01 10:00:00", "2025-07-01 10:00:00+02"),
            ("2025-07-01 10:00 America/New_York", "2025-07-01 16:00:00+02"),
            ("2025-07-01 10:00 PST", "2025-07-01 20:00:00+02"),
            ("2025-07-01 10:00:00-08:30", "2025-07-01 20:30:00+02"),
            ("2025-03-30 02:30", "2025-03-30 03:30:00+02"),
            ("2025-10-26 02:30", "2025-10-26 02:30:00+01"),
            ("1880-01-01 00:00", "1880-01-01 00:00:00+00:53:28"),
            ("Wed Dec 17 07:37:16 1997 PST", "1997-12-17 16:37:16+01"),
            ("epoch", "1970-01-01 01:00:00+01"),
            ("2025-07-01 10:00 Europe/Nowhere", "22023"),
            ("2025-07-01 25:00", "22008"),
            ("soon", "22007"),
        ] {
            let parsed = parse_timestamptz(text, berlin);
            assert_eq!(shown(parsed, |out, t| write_timestamptz(out, t, berlin)), expected, "{text:?}");
        }
    }
}

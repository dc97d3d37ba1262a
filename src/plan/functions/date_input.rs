//! `to_date` and `to_timestamp` with a pattern. Patterns and combinations that PostgreSQL has and this has not are
//! refused with 0A000.

use crate::error::{Result, SqlError, SqlState};
use crate::types::calendar::{Civil, MICROS_PER_DAY, MICROS_PER_SECOND, civil_of, days_in_month, days_of};

/// What a text said.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
    twelve: bool,
    before_christ: bool,
    /// Seconds east.
    offset: Option<i64>,
}

/// A time as it was written: microseconds of its wall clock, and its offset in seconds where it named one.
pub fn read(text: &str, pattern: &str) -> Result<(i64, Option<i64>)> {
    let mut reader = Reader { text, rest: text.trim_start(), fields: Fields::default() };
    reader.follow(pattern)?;
    reader.fields.finish(text)
}

const WORDS: &[&str] = &[
    "YYYY", "YYY", "Y,YYY", "YY", "Y", "MONTH", "MON", "MM", "MI", "MS", "DDD", "DD", "DAY", "DY", "HH24", "HH12", "HH", "SSSSS",
    "SSSS", "SS", "US", "AM", "PM", "A.M.", "P.M.", "AD", "BC", "A.D.", "B.C.", "J", "TZH", "TZM", "TH", "FM", "FX", "Q",
];
const REFUSED: &[&str] = &["IYYY", "IYY", "IY", "I", "IW", "ID", "IDDD", "WW", "W", "CC", "D", "RM", "TZ", "OF", "FF", "TM"];
const MONTHS: [&str; 12] =
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    fields: Fields,
}

fn begins(pattern: &str, word: &str) -> bool {
    pattern.get(..word.len()).is_some_and(|p| p.eq_ignore_ascii_case(word))
}

impl Reader<'_> {
    fn follow(&mut self, pattern: &str) -> Result<()> {
        let mut pattern = pattern;
        let mut filled = true;
        while let Some(c) = pattern.chars().next() {
            if let Some(quoted) = pattern.strip_prefix('"') {
                let (literal, tail) = quoted.split_once('"').unwrap_or((quoted, ""));
                self.skip(literal.chars().count());
                pattern = tail;
                continue;
            }
            let word = WORDS.iter().filter(|w| begins(pattern, w)).max_by_key(|w| w.len());
            let refused = REFUSED.iter().filter(|w| begins(pattern, w)).max_by_key(|w| w.len());
            if refused.is_some_and(|r| word.is_none_or(|w| w.len() < r.len())) {
                let message = format!("pattern \"{}\" is not supported", refused.copied().unwrap_or_default());
                return Err(SqlError::unsupported(message, "Use year, month, day and time of day."));
            }
            let Some(word) = word else {
                self.separator(c);
                pattern = &pattern[c.len_utf8()..];
                continue;
            };
            pattern = &pattern[word.len()..];
            match *word {
                "FM" => filled = false,
                "FX" => return Err(SqlError::unsupported("pattern \"FX\" is not supported", "Leave it out.")),
                word => {
                    // Digits that follow at once belong to the next field.
                    let next_is_digits =
                        WORDS.iter().any(|w| begins(pattern, w) && !matches!(*w, "AM" | "PM" | "TH" | "MONTH" | "MON"));
                    self.field(word, filled && next_is_digits)?;
                    filled = true;
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, chars: usize) {
        let at = self.rest.char_indices().nth(chars).map_or(self.rest.len(), |(at, _)| at);
        self.rest = &self.rest[at..];
    }

    /// Blanks and separators match each other; letters stand for any one character.
    fn separator(&mut self, c: char) {
        if c.is_alphanumeric() {
            self.skip(1);
            return;
        }
        let separates = |r: char| !r.is_alphanumeric() && !matches!(r, '-' | '+') || r == c;
        if self.rest.starts_with(separates) || (self.rest.starts_with('-') && !c.is_whitespace()) {
            self.skip(1);
        }
    }

    fn number(&mut self, width: usize, fixed: bool, name: &str) -> Result<(i64, usize)> {
        self.rest = self.rest.trim_start();
        let (negative, digits) = match self.rest.strip_prefix('-') {
            Some(rest) if !fixed => (true, rest),
            _ => (false, self.rest.strip_prefix('+').unwrap_or(self.rest)),
        };
        let most = if fixed { width } else { 18 };
        let len = digits.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if len == 0 {
            let shown: String = self.rest.chars().take(width).collect();
            if shown.is_empty() {
                let message = format!("source string too short for \"{name}\" formatting field");
                return Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message)
                    .detail(format!("Field requires {width} characters, but only 0 remain."))
                    .hint("If your source string is not fixed-width, try using the \"FM\" modifier."));
            }
            return Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{shown}\" for \"{name}\""))
                .detail("Value must be an integer."));
        }
        let value: i64 = digits[..len].parse().unwrap_or(i64::MAX);
        self.rest = &digits[len..];
        Ok((if negative { -value } else { value }, len))
    }

    fn word(&mut self, words: &[&str], short: bool, name: &str) -> Result<i64> {
        self.rest = self.rest.trim_start();
        let found = words.iter().position(|w| begins(self.rest, if short { &w[..3] } else { w }));
        let Some(at) = found else {
            let shown: String = self.rest.chars().take(if short { 3 } else { 9 }).collect();
            return Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{shown}\" for \"{name}\""))
                .detail("The given value did not match any of the allowed values for this field."));
        };
        self.skip(if short { 3 } else { words[at].len() });
        Ok(at as i64 + 1)
    }

    fn field(&mut self, word: &str, fixed: bool) -> Result<()> {
        match word {
            "YYYY" => self.fields.year = Some(self.number(4, fixed, word)?.0),
            "Y,YYY" => {
                let thousands = self.number(1, false, word)?.0;
                self.skip(usize::from(self.rest.starts_with(',')));
                self.fields.year = Some(thousands * 1000 + self.number(3, fixed, word)?.0);
            }
            "YYY" | "YY" | "Y" => {
                let (value, len) = self.number(word.len(), fixed, word)?;
                // Years of less than four digits are those nearest to 2020.
                self.fields.year = Some(match value {
                    v if len >= 4 => v,
                    v @ 0..70 => v + 2000,
                    v @ 70..100 => v + 1900,
                    v @ 100..520 => v + 2000,
                    v @ 520..1000 => v + 1000,
                    v => v,
                });
            }
            "MONTH" => self.fields.month = Some(self.word(&MONTHS, false, "Month")?),
            "MON" => self.fields.month = Some(self.word(&MONTHS, true, "Mon")?),
            "DAY" => drop(self.word(&DAYS, false, "Day")?),
            "DY" => drop(self.word(&DAYS, true, "Dy")?),
            "MM" => self.fields.month = Some(self.number(2, fixed, word)?.0),
            "DD" => self.fields.day = Some(self.number(2, fixed, word)?.0),
            "DDD" => self.fields.day_of_year = Some(self.number(3, fixed, word)?.0),
            "J" => self.fields.julian = Some(self.number(7, false, word)?.0),
            "HH24" => self.fields.hour = self.number(2, fixed, word)?.0,
            "HH12" | "HH" => {
                self.fields.hour = self.number(2, fixed, word)?.0;
                self.fields.twelve = true;
                if !(1..=12).contains(&self.fields.hour) {
                    let message = format!("hour \"{}\" is invalid for the 12-hour clock", self.fields.hour);
                    return Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message)
                        .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
                }
            }
            "MI" => self.fields.minute = self.number(2, fixed, word)?.0,
            "SS" => self.fields.second = self.number(2, fixed, word)?.0,
            "SSSS" | "SSSSS" => {
                let seconds = self.number(5, fixed, word)?.0;
                (self.fields.hour, self.fields.minute, self.fields.second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            }
            "MS" => {
                let (value, len) = self.number(3, true, word)?;
                self.fields.micros += value * 10i64.pow(3 - len.min(3) as u32) * 1000;
            }
            "US" => {
                let (value, len) = self.number(6, true, word)?;
                self.fields.micros += value * 10i64.pow(6 - len.min(6) as u32);
            }
            "AM" | "PM" => {
                let word = self.two("AM", "PM", word)?;
                self.fields.afternoon = Some(word == 2);
                self.fields.twelve = true;
            }
            "A.M." | "P.M." => {
                let word = self.two("A.M.", "P.M.", word)?;
                self.fields.afternoon = Some(word == 2);
                self.fields.twelve = true;
            }
            "AD" | "BC" => self.fields.before_christ = self.two("AD", "BC", word)? == 2,
            "A.D." | "B.C." => self.fields.before_christ = self.two("A.D.", "B.C.", word)? == 2,
            "TZH" => {
                let negative = self.rest.trim_start().starts_with('-');
                let (value, _) = self.number(2, false, word)?;
                self.fields.offset = Some(value * 3600 + if negative && value == 0 { -1 } else { 0 });
            }
            "TZM" => {
                let (value, _) = self.number(2, fixed, word)?;
                let hours = self.fields.offset.unwrap_or(0);
                self.fields.offset = Some(if hours < 0 { hours - value * 60 } else { hours + value * 60 });
            }
            "TH" => self.skip(2),
            "Q" => drop(self.number(1, fixed, word)?),
            _ => return Err(SqlError::internal("a pattern that is read nowhere")),
        }
        Ok(())
    }

    fn two(&mut self, first: &str, second: &str, name: &str) -> Result<i64> {
        self.rest = self.rest.trim_start();
        for (at, word) in [first, second].iter().enumerate() {
            if begins(self.rest, word) {
                self.skip(word.len());
                return Ok(at as i64 + 1);
            }
        }
        let shown: String = self.text.chars().take(name.len()).collect();
        Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid value \"{shown}\" for \"{name}\""))
            .detail("The given value did not match any of the allowed values for this field."))
    }
}

impl Fields {
    fn finish(self, text: &str) -> Result<(i64, Option<i64>)> {
        let out_of_range =
            || SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""));
        let mut hour = self.hour;
        if self.twelve {
            match self.afternoon {
                Some(true) if hour < 12 => hour += 12,
                Some(false) if hour == 12 => hour = 0,
                None if hour == 12 => hour = 0,
                _ => {}
            }
        }
        if !(0..24).contains(&hour) || !(0..60).contains(&self.minute) || !(0..60).contains(&self.second) {
            return Err(out_of_range());
        }
        let mut year = self.year.unwrap_or(0);
        if self.before_christ {
            year = 1 - year;
        } else if self.year.is_none() || year == 0 {
            // Without a year it is 1 BC.
            year = 0;
        } else if year < 0 {
            year += 1;
        }
        let year = i32::try_from(year).map_err(|_| out_of_range())?;
        let days = match (self.julian, self.day_of_year) {
            (Some(julian), _) => julian - 2_440_588,
            (None, Some(day)) if self.month.is_none() => {
                let first = days_of(Civil { year, month: 1, day: 1 });
                let found = first + day - 1;
                if civil_of(found).year != year {
                    return Err(out_of_range());
                }
                found
            }
            _ => {
                let month = self.month.unwrap_or(1);
                let month = u32::try_from(month).ok().filter(|m| (1..=12).contains(m)).ok_or_else(out_of_range)?;
                let day = u32::try_from(self.day.unwrap_or(1)).map_err(|_| out_of_range())?;
                if !(1..=days_in_month(year, month)).contains(&day) {
                    return Err(out_of_range());
                }
                days_of(Civil { year, month, day })
            }
        };
        let seconds = hour * 3600 + self.minute * 60 + self.second;
        let time = seconds * MICROS_PER_SECOND + self.micros;
        let local = days.checked_mul(MICROS_PER_DAY).and_then(|d| d.checked_add(time)).ok_or_else(out_of_range)?;
        Ok((local, self.offset.map(|o| if o == -1 { 0 } else { o })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::calendar::write_timestamp;

    #[test]
    fn patterns_read_as_in_postgresql() {
        for (text, pattern, expected) in [
            ("06.05.2024", "DD.MM.YYYY", "2024-05-06 00:00:00"),
            ("20240506", "YYYYMMDD", "2024-05-06 00:00:00"),
            ("6 May 2024", "DD Mon YYYY", "2024-05-06 00:00:00"),
            ("05/06/24", "MM/DD/YY", "2024-05-06 00:00:00"),
            ("2024-05-06 05:08:09 PM", "YYYY-MM-DD HH12:MI:SS PM", "2024-05-06 17:08:09"),
            ("2024-05-06T17:08:09.5", "YYYY-MM-DD\"T\"HH24:MI:SS.MS", "2024-05-06 17:08:09.5"),
            ("2024 127", "YYYY DDD", "2024-05-06 00:00:00"),
        ] {
            let mut out = String::new();
            write_timestamp(&mut out, read(text, pattern).unwrap().0);
            assert_eq!(out, expected, "{text} {pattern}");
        }
        assert_eq!(read("2024-13-01", "YYYY-MM-DD").unwrap_err().code(), SqlState::DATETIME_FIELD_OVERFLOW);
        assert_eq!(read("x", "YYYY").unwrap_err().code(), SqlState::INVALID_DATETIME_FORMAT);
        assert_eq!(read("2024-01", "IYYY-IW").unwrap_err().code(), SqlState::FEATURE_NOT_SUPPORTED);
    }
}

//! Time zones: IANA names, PostgreSQL's POSIX-style offsets, and what a wall clock shows at an instant.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName, Tz};

use super::calendar::is_infinite;
use crate::error::{Result, SqlError, SqlState};

/// A time zone that has been looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Seconds east of Greenwich.
    Fixed(i32),
    Named(Tz),
}

/// Beyond this, chrono has no calendar; the rules of that day go on for ever.
const CHRONO_LIMIT: i64 = 8_000_000_000_000;

/// Abbreviations that may follow a time, in seconds east.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("utc", 0),
    ("gmt", 0),
    ("z", 0),
    ("zulu", 0),
    ("ut", 0),
    ("wet", 0),
    ("west", 3600),
    ("bst", 3600),
    ("cet", 3600),
    ("met", 3600),
    ("cest", 7200),
    ("mest", 7200),
    ("eet", 7200),
    ("eest", 10800),
    ("msk", 10800),
    ("ist", 7200),
    ("jst", 32400),
    ("kst", 32400),
    ("aest", 36000),
    ("aedt", 39600),
    ("nzst", 43200),
    ("nzdt", 46800),
    ("ast", -14400),
    ("adt", -10800),
    ("est", -18000),
    ("edt", -14400),
    ("cst", -21600),
    ("cdt", -18000),
    ("mst", -25200),
    ("mdt", -21600),
    ("pst", -28800),
    ("pdt", -25200),
    ("akst", -32400),
    ("akdt", -28800),
    ("hst", -36000),
];

impl Zone {
    pub const UTC: Zone = Zone::Fixed(0);

    /// A zone as the TimeZone setting and AT TIME ZONE name it: an IANA name in any case, an abbreviation, or
    /// a POSIX-style offset, where `+02` and `<+02>-02`'s second half count *westward*. 22023 for anything else.
    pub fn parse(name: &str) -> Result<Self> {
        let trimmed = name.trim();
        Self::named(trimmed)
            .or_else(|| posix(trimmed))
            .ok_or_else(|| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized")))
    }

    /// An IANA name or abbreviation.
    pub fn named(name: &str) -> Option<Self> {
        let abbreviation = ABBREVIATIONS.iter().find(|(a, _)| a.eq_ignore_ascii_case(name));
        if let Some((_, seconds)) = abbreviation {
            return Some(Self::Fixed(*seconds));
        }
        let any_case = || chrono_tz::TZ_VARIANTS.iter().copied().find(|tz| tz.name().eq_ignore_ascii_case(name));
        name.parse::<Tz>().ok().or_else(any_case).map(|tz| match tz {
            Tz::UTC | Tz::Etc__UTC | Tz::GMT | Tz::Etc__GMT => Self::UTC,
            tz => Self::Named(tz),
        })
    }

    /// Seconds east of Greenwich at an instant (microseconds UTC).
    pub fn offset_at(self, utc_micros: i64) -> i32 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(tz) => tz.offset_from_utc_datetime(&naive(utc_micros.div_euclid(1_000_000))).fix().local_minus_utc(),
        }
    }

    /// What the zone calls itself at an instant: `CET`, `CEST`, `UTC`, `+05`.
    pub fn abbreviation(self, utc_micros: i64) -> String {
        match self {
            Self::Fixed(0) => "UTC".to_owned(),
            Self::Fixed(seconds) => {
                let mut out = String::new();
                super::calendar::write_offset(&mut out, seconds);
                out
            }
            Self::Named(tz) => {
                let offset = tz.offset_from_utc_datetime(&naive(utc_micros.div_euclid(1_000_000)));
                offset.abbreviation().map_or_else(|| offset.fix().to_string(), str::to_owned)
            }
        }
    }

    /// Whether daylight saving is in force at an instant.
    pub fn is_daylight_saving(self, utc_micros: i64) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Named(tz) => !tz.offset_from_utc_datetime(&naive(utc_micros.div_euclid(1_000_000))).dst_offset().is_zero(),
        }
    }

    /// What the wall clock shows at an instant, as if that were UTC; infinities stay what they are. `None` beyond the
    /// range of i64.
    pub fn local(self, utc_micros: i64) -> Option<i64> {
        if is_infinite(utc_micros) {
            return Some(utc_micros);
        }
        utc_micros.checked_add(i64::from(self.offset_at(utc_micros)) * 1_000_000)
    }

    /// Seconds east that a wall clock time stands for. A time that a change of clocks skips is read with the
    /// offset before the change, one that occurs twice with the offset after it, as PostgreSQL does.
    pub fn offset_of_local(self, local_micros: i64) -> i32 {
        let Self::Named(tz) = self else { return self.offset_at(0) };
        let seconds = local_micros.div_euclid(1_000_000);
        match tz.offset_from_local_datetime(&naive(seconds)) {
            chrono::MappedLocalTime::Single(offset) => offset.fix().local_minus_utc(),
            chrono::MappedLocalTime::Ambiguous(_, after) => after.fix().local_minus_utc(),
            chrono::MappedLocalTime::None => {
                let day_before = naive(seconds.saturating_sub(86_400));
                tz.offset_from_utc_datetime(&day_before).fix().local_minus_utc()
            }
        }
    }

    /// The instant that a wall clock time stands for; infinities stay what they are. `None` beyond the range of i64.
    pub fn instant(self, local_micros: i64) -> Option<i64> {
        if is_infinite(local_micros) {
            return Some(local_micros);
        }
        local_micros.checked_sub(i64::from(self.offset_of_local(local_micros)) * 1_000_000)
    }
}

fn naive(seconds: i64) -> chrono::NaiveDateTime {
    let clamped = seconds.clamp(-CHRONO_LIMIT, CHRONO_LIMIT);
    DateTime::from_timestamp(clamped, 0).unwrap_or_default().naive_utc()
}

/// `+02`, `-5:30`, `UTC+3`, `<+02>-02`: digits count westward.
fn posix(name: &str) -> Option<Zone> {
    let offset = match name.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => name.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    };
    let letters = name.len() - offset.len();
    if letters > 0 && letters < 3 {
        return None;
    }
    let signed = if offset.starts_with(|c: char| c.is_ascii_digit()) { format!("+{offset}") } else { offset.to_owned() };
    parse_offset(&signed).map(|east| Zone::Fixed(-east))
}

/// `+hh`, `+hhmm`, `+hh:mm`, `+hh:mm:ss` with either sign: seconds. `None` when malformed or beyond 15:59:59.
pub fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let number = |s: &str| (!s.is_empty() && s.len() <= 2).then(|| s.parse::<u16>().ok()).flatten().map(i32::from);
    let (hours, minutes, seconds) = if digits.contains(':') {
        let mut parts = digits.split(':');
        let fields = (number(parts.next()?)?, number(parts.next()?)?, parts.next().map_or(Some(0), number)?);
        if parts.next().is_some() {
            return None;
        }
        fields
    } else if digits.is_ascii() {
        match digits.len() {
            1 | 2 => (number(digits)?, 0, 0),
            3 | 4 => (number(&digits[..digits.len() - 2])?, number(&digits[digits.len() - 2..])?, 0),
            6 => (number(&digits[..2])?, number(&digits[2..4])?, number(&digits[4..])?),
            _ => return None,
        }
    } else {
        return None;
    };
    (hours < 16 && minutes < 60 && seconds < 60).then_some(sign * (hours * 3600 + minutes * 60 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_offsets() {
        assert_eq!(Zone::parse("utc").unwrap(), Zone::UTC);
        assert_eq!(Zone::parse("europe/berlin").unwrap(), Zone::Named(Tz::Europe__Berlin));
        assert_eq!(Zone::parse("+02").unwrap(), Zone::Fixed(-7200));
        assert_eq!(Zone::parse("<+02>-02").unwrap(), Zone::Fixed(7200));
        assert_eq!(Zone::parse("Europe/Nowhere").unwrap_err().code(), SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(parse_offset("+0530"), Some(19800));
        assert_eq!(parse_offset("-08:30"), Some(-30600));
        assert_eq!(parse_offset("+16"), None);
        assert_eq!(parse_offset("+é1"), None);
    }

    #[test]
    fn skipped_hours_go_forward_and_repeated_ones_are_the_later() {
        let berlin = Zone::Named(Tz::Europe__Berlin);
        let second = 1_000_000;
        // 2025-03-30 02:30 does not exist, 2025-10-26 02:30 comes twice.
        assert_eq!(berlin.offset_of_local(1_743_301_800 * second), 3600);
        assert_eq!(berlin.offset_of_local(1_761_445_800 * second), 3600);
        assert_eq!(berlin.offset_at(1_751_328_000 * second), 7200);
    }
}

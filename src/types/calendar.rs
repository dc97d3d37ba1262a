//! Days and wall clocks as numbers, and their text in PostgreSQL's ISO style.
//!
//! Days count from 1970-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC. Times are microseconds. The least and
//! the greatest number are the infinities.

use super::zone::Zone;

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL's binary dates begin.
pub const POSTGRES_EPOCH_DAYS: i32 = 10_957;
pub const POSTGRES_EPOCH_MICROS: i64 = POSTGRES_EPOCH_DAYS as i64 * MICROS_PER_DAY;
/// 4714-11-24 BC, the first day PostgreSQL has.
pub const FIRST_DAY: i32 = -2_440_588;
/// 5874897-12-31, the last date PostgreSQL has.
pub const LAST_DAY: i32 = 2_145_042_905;
/// 4714-11-24 BC 00:00, the first timestamp; the last is what Arrow's microseconds hold, in the year 294247.
pub const FIRST_MICROS: i64 = FIRST_DAY as i64 * MICROS_PER_DAY;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

/// The day's number. Any month of 1..=12 and any day number are taken as they are.
pub fn days_of(date: Civil) -> i64 {
    // Years begin in March, so that the leap day comes last; 400 years have 146097 days.
    let year = i64::from(date.year) - i64::from(date.month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = (i64::from(date.month) + 9) % 12;
    let day_of_year = (153 * month + 2) / 5 + i64::from(date.day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

pub fn civil_of(days: i64) -> Civil {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    Civil { year: (year_of_era + era * 400) as i32 + i32::from(month <= 2), month, day }
}

pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Monday is 1, Sunday 7.
pub fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// ISO 8601 week-numbering year and week.
pub fn iso_week(days: i64) -> (i32, i64) {
    let thursday = days + 4 - iso_weekday(days);
    let year = civil_of(thursday).year;
    (year, (thursday - days_of(Civil { year, month: 1, day: 1 })) / 7 + 1)
}

/// Day and time of day of a timestamp.
pub fn split(micros: i64) -> (i64, i64) {
    (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY))
}

/// Whether microseconds are one of the infinities.
pub const fn is_infinite(micros: i64) -> bool {
    micros == i64::MAX || micros == i64::MIN
}

/// Microseconds of a day's midnight; infinities stay what they are. `None` beyond the range of i64.
pub fn midnight(days: i32) -> Option<i64> {
    match days {
        i32::MAX => Some(i64::MAX),
        i32::MIN => Some(i64::MIN),
        _ => i64::from(days).checked_mul(MICROS_PER_DAY),
    }
}

/// The day of a timestamp; infinities stay what they are.
pub fn day_of(micros: i64) -> i32 {
    match micros {
        i64::MAX => i32::MAX,
        i64::MIN => i32::MIN,
        _ => split(micros).0 as i32,
    }
}

fn push_infinity(out: &mut String, micros: i64) {
    out.push_str(if micros < 0 { "-infinity" } else { "infinity" });
}

/// `2025-01-31`, `0044-03-15 BC`, `infinity`.
pub fn write_date(out: &mut String, days: i32) {
    if matches!(days, i32::MAX | i32::MIN) {
        return push_infinity(out, i64::from(days));
    }
    let date = civil_of(i64::from(days));
    write_ymd(out, date);
    push_era(out, date);
}

/// `10:00:00`, `10:00:00.5`.
pub fn write_time(out: &mut String, micros: i64) {
    let seconds = micros / MICROS_PER_SECOND;
    push_two(out, seconds / 3600);
    out.push(':');
    push_two(out, seconds / 60 % 60);
    out.push(':');
    push_two(out, seconds % 60);
    write_fraction(out, micros % MICROS_PER_SECOND);
}

/// `.25` for 250000; nothing for 0.
pub fn write_fraction(out: &mut String, micros: i64) {
    if micros == 0 {
        return;
    }
    let mut digits = [b'.'; 7];
    let mut rest = micros.unsigned_abs();
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let text = std::str::from_utf8(&digits).unwrap_or_default();
    out.push_str(text.trim_end_matches('0'));
}

/// `2025-01-31 10:00:00.5`.
pub fn write_timestamp(out: &mut String, micros: i64) {
    if is_infinite(micros) {
        return push_infinity(out, micros);
    }
    let date = write_date_and_time(out, micros);
    push_era(out, date);
}

/// `2025-01-31 12:00:00.5+02` as the zone's clock shows it.
pub fn write_timestamptz(out: &mut String, utc_micros: i64, zone: Zone) {
    if is_infinite(utc_micros) {
        return push_infinity(out, utc_micros);
    }
    let offset = zone.offset_at(utc_micros);
    let local = utc_micros.saturating_add(i64::from(offset) * MICROS_PER_SECOND);
    let date = write_date_and_time(out, local);
    write_offset(out, offset);
    push_era(out, date);
}

/// `+02`, `-03:30`, `+00:53:28`.
pub fn write_offset(out: &mut String, seconds: i32) {
    out.push(if seconds < 0 { '-' } else { '+' });
    let seconds = i64::from(seconds.abs());
    push_two(out, seconds / 3600);
    if seconds % 3600 != 0 {
        out.push(':');
        push_two(out, seconds / 60 % 60);
    }
    if seconds % 60 != 0 {
        out.push(':');
        push_two(out, seconds % 60);
    }
}

fn write_date_and_time(out: &mut String, micros: i64) -> Civil {
    let (days, time) = split(micros);
    let date = civil_of(days);
    write_ymd(out, date);
    out.push(' ');
    write_time(out, time);
    date
}

fn write_ymd(out: &mut String, date: Civil) {
    let year = if date.year > 0 { date.year } else { 1 - date.year };
    if year < 10_000 {
        push_two(out, i64::from(year / 100));
        push_two(out, i64::from(year % 100));
    } else {
        use std::fmt::Write;
        let _ = write!(out, "{year}");
    }
    out.push('-');
    push_two(out, i64::from(date.month));
    out.push('-');
    push_two(out, i64::from(date.day));
}

fn push_era(out: &mut String, date: Civil) {
    if date.year <= 0 {
        out.push_str(" BC");
    }
}

/// Two digits; more where the number has more.
pub(super) fn push_two(out: &mut String, n: i64) {
    if (0..100).contains(&n) {
        out.push((b'0' + (n / 10) as u8) as char);
        out.push((b'0' + (n % 10) as u8) as char);
    } else {
        use std::fmt::Write;
        let _ = write!(out, "{n}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_lead_back_to_each_other() {
        for days in (-2_440_588..3_000_000).step_by(97).chain([i64::from(LAST_DAY), 0, -719_162, 59]) {
            assert_eq!(days_of(civil_of(days)), days);
        }
        assert_eq!(civil_of(i64::from(FIRST_DAY)), Civil { year: -4713, month: 11, day: 24 });
        assert_eq!(civil_of(i64::from(LAST_DAY)), Civil { year: 5_874_897, month: 12, day: 31 });
    }

    #[test]
    fn weeks_follow_iso_8601() {
        let day = |year, month, day| days_of(Civil { year, month, day });
        assert_eq!(iso_week(day(2021, 1, 3)), (2020, 53));
        assert_eq!(iso_week(day(2018, 12, 31)), (2019, 1));
        assert_eq!(iso_weekday(day(2025, 1, 5)), 7);
    }

    #[test]
    fn text_has_the_zone_the_era_and_no_zeros_at_the_end() {
        let mut out = String::new();
        write_timestamptz(&mut out, 1_735_725_600_500_000, Zone::Fixed(-12_600));
        assert_eq!(out, "2025-01-01 06:30:00.5-03:30");
        out.clear();
        write_date(&mut out, days_of(Civil { year: -43, month: 3, day: 15 }) as i32);
        assert_eq!(out, "0044-03-15 BC");
    }
}

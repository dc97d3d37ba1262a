//! Dates, times and intervals as the text a payload holds. Proleptic Gregorian, UTC, microseconds; years before
//! 1 or after 9999 carry a sign. The ends of the value range are `infinity` and `-infinity`.

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Days since 1970-01-01 of a civil date.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn push_digits(out: &mut Vec<u8>, value: i64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
    }
}

pub fn write_date(out: &mut Vec<u8>, days: i32) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        _ => write_civil(out, i64::from(days)),
    }
}

fn write_civil(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9999).contains(&year) {
        push_digits(out, year, 4);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        push_digits(out, year.abs(), 6);
    }
    out.push(b'-');
    push_digits(out, month, 2);
    out.push(b'-');
    push_digits(out, day, 2);
}

/// Microseconds since midnight.
pub fn write_time(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / MICROS_PER_SECOND;
    push_digits(out, seconds / 3600, 2);
    out.push(b':');
    push_digits(out, seconds / 60 % 60, 2);
    out.push(b':');
    push_digits(out, seconds % 60, 2);
    out.push(b'.');
    push_digits(out, micros % MICROS_PER_SECOND, 6);
}

pub fn write_timestamp(out: &mut Vec<u8>, micros: i64, utc: bool) {
    match micros {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            write_civil(out, micros.div_euclid(MICROS_PER_DAY));
            out.push(b'T');
            write_time(out, micros.rem_euclid(MICROS_PER_DAY));
            if utc {
                out.push(b'Z');
            }
        }
    }
}

/// Months, days and nanoseconds stay apart, each with its sign.
pub fn write_interval(out: &mut Vec<u8>, months: i32, days: i32, nanos: i64) {
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    out.extend_from_slice(format!("P{months}M{days}DT{sign}{seconds}.{fraction:09}S").as_bytes());
}

/// Reads digits from the front; the rest follows.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let hit = self.0.first() == Some(&byte);
        if hit {
            self.0 = &self.0[1..];
        }
        hit
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let digits = self.0.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if digits < least {
            return None;
        }
        let (head, rest) = self.0.split_at(digits);
        self.0 = rest;
        Some(head.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
    }

    fn signed(&mut self) -> Option<i64> {
        let negative = self.eat(b'-');
        let n = self.number(1, 18)?;
        Some(if negative { -n } else { n })
    }

    /// Digits after a point, scaled to `width` of them; further ones are dropped.
    fn fraction(&mut self, width: usize) -> Option<i64> {
        if !self.eat(b'.') {
            return Some(0);
        }
        let all = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let used = all.min(width);
        let n = self.number(1, used)?;
        self.0 = &self.0[all - used..];
        Some(n * 10_i64.pow((width - used) as u32))
    }

    fn date(&mut self) -> Option<i64> {
        let negative = self.eat(b'-');
        let _ = !negative && self.eat(b'+');
        let year = self.number(4, 6)?;
        self.expect(b'-')?;
        let month = self.number(2, 2).filter(|m| (1..=12).contains(m))?;
        self.expect(b'-')?;
        let day = self.number(2, 2).filter(|d| (1..=31).contains(d))?;
        Some(days_from_civil(if negative { -year } else { year }, month, day))
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.number(2, 2).filter(|h| *h <= 24)?;
        self.expect(b':')?;
        let minute = self.number(2, 2).filter(|m| *m < 60)?;
        let second = if self.eat(b':') { self.number(2, 2).filter(|s| *s <= 60)? } else { 0 };
        let fraction = self.fraction(6)?;
        Some((hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + fraction)
    }

    /// An offset from UTC in microseconds: none, `Z`, `+hh`, `+hh:mm`.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.eat(b'Z') {
            return Some(0);
        }
        let negative = self.eat(b'-');
        if !negative {
            self.expect(b'+')?;
        }
        let hours = self.number(2, 2)?;
        let _ = self.eat(b':');
        let minutes = if self.0.is_empty() { 0 } else { self.number(2, 2)? };
        let micros = (hours * 60 + minutes) * 60 * MICROS_PER_SECOND;
        Some(if negative { -micros } else { micros })
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

pub fn read_date(text: &str) -> Option<i32> {
    match text {
        "infinity" => return Some(i32::MAX),
        "-infinity" => return Some(i32::MIN),
        _ => {}
    }
    let mut reader = Reader(text.as_bytes());
    let days = reader.date()?;
    // A timestamp in a column that became a date reads as its day.
    if !reader.0.is_empty() && !reader.0.starts_with(b"T") {
        return None;
    }
    i32::try_from(days).ok()
}

pub fn read_time(text: &str) -> Option<i64> {
    let mut reader = Reader(text.as_bytes());
    let micros = reader.time()?;
    reader.end(micros)
}

/// A timestamp with or without offset; a date alone is its midnight.
pub fn read_timestamp(text: &str) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let mut reader = Reader(text.as_bytes());
    let midnight = reader.date()?.checked_mul(MICROS_PER_DAY)?;
    if reader.0.is_empty() {
        return Some(midnight);
    }
    if !reader.eat(b'T') {
        reader.expect(b' ')?;
    }
    let local = midnight.checked_add(reader.time()?)?;
    let offset = reader.offset()?;
    reader.end(local.checked_sub(offset)?)
}

pub fn read_interval(text: &str) -> Option<(i32, i32, i64)> {
    let mut reader = Reader(text.as_bytes());
    reader.expect(b'P')?;
    let months = i32::try_from(reader.signed()?).ok()?;
    reader.expect(b'M')?;
    let days = i32::try_from(reader.signed()?).ok()?;
    reader.expect(b'D')?;
    reader.expect(b'T')?;
    let negative = reader.eat(b'-');
    let seconds = reader.number(1, 18)?;
    let nanos = seconds.checked_mul(1_000_000_000)?.checked_add(reader.fraction(9)?)?;
    reader.expect(b'S')?;
    reader.end((months, days, if negative { -nanos } else { nanos }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_instants_have_their_text() {
        assert_eq!(text(|o| write_timestamp(o, 1_735_689_600_000_000, true)), "2025-01-01T00:00:00.000000Z");
        assert_eq!(text(|o| write_timestamp(o, -1, false)), "1969-12-31T23:59:59.999999");
        assert_eq!(text(|o| write_date(o, 0)), "1970-01-01");
        assert_eq!(text(|o| write_date(o, -719_529)), "-000001-12-31");
        assert_eq!(read_timestamp("2025-01-01T02:00:00+02:00"), Some(1_735_689_600_000_000));
        assert_eq!(read_timestamp("2025-13-01T00:00:00Z"), None);
        assert_eq!(read_timestamp("2025-01-01T00:00:00Zx"), None);
    }

    #[test]
    fn every_day_leads_back_to_itself() {
        for days in (-1_000_000..3_000_000).step_by(97) {
            assert_eq!(read_date(&text(|o| write_date(o, days))), Some(days));
        }
    }

    #[test]
    fn intervals_keep_their_three_parts() {
        for parts in [(0, 0, 0), (14, -3, 3_600_500_000_000), (-1, 2, -1), (i32::MAX, i32::MIN, i64::MAX)] {
            let text = text(|o| write_interval(o, parts.0, parts.1, parts.2));
            assert_eq!(read_interval(&text), Some(parts), "{text}");
        }
    }
}

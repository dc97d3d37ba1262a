//! Times relative to now, as `AS OF SYSTEM TIME` takes them: `'-4h'`, `'-1h30m'`, `'-2 days'`, and the
//! nanosecond clock values that Cockroach gives out.

/// A span of time that PostgreSQL's interval has: months, days and microseconds, each with its sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub months: i64,
    pub days: i64,
    pub micros: i64,
}

/// Reads a signed span. `None` when the text is not one (a timestamp, say) or is beyond what an interval holds.
pub fn span(text: &str) -> Option<Span> {
    let text = text.trim();
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut span = Span::default();
    if rest.trim().is_empty() {
        return None;
    }
    while !rest.trim_start().is_empty() {
        rest = span.add_part(rest.trim_start())?;
    }
    if negative {
        span = Span { months: -span.months, days: -span.days, micros: -span.micros };
    }
    Some(span)
}

impl Span {
    /// Adds one `<number><unit>` and returns what follows it.
    fn add_part<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit_text = text[number_end..].trim_start();
        let unit_end = unit_text.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(unit_text.len());
        let (number, unit) = (&text[..number_end], unit_text[..unit_end].to_ascii_lowercase());
        if let Some(micros) = micros_per(&unit) {
            self.micros = self.micros.checked_add(scaled(number, micros)?)?;
        } else {
            let count: i64 = number.parse().ok()?;
            match unit.as_str() {
                "d" | "day" | "days" => self.days = self.days.checked_add(count)?,
                "w" | "week" | "weeks" => self.days = self.days.checked_add(count.checked_mul(7)?)?,
                "mon" | "mons" | "month" | "months" => self.months = self.months.checked_add(count)?,
                "y" | "year" | "years" => self.months = self.months.checked_add(count.checked_mul(12)?)?,
                _ => return None,
            }
        }
        Some(&unit_text[unit_end..])
    }

    pub fn is_future(self) -> bool {
        self.months > 0 || self.days > 0 || self.micros > 0
    }

    /// As an interval literal's text.
    pub fn interval(self) -> String {
        format!("{} months {} days {} microseconds", self.months, self.days, self.micros)
    }
}

fn micros_per(unit: &str) -> Option<i64> {
    let micros = match unit {
        "us" | "µs" | "microsecond" | "microseconds" => 1,
        "ms" | "millisecond" | "milliseconds" => 1_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000_000,
        _ => return None,
    };
    Some(micros)
}

/// `number × unit` in whole microseconds; what is finer is refused rather than rounded.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut micros = whole.checked_mul(unit)?;
    let mut digit_unit = unit;
    for digit in fraction.bytes() {
        if digit_unit % 10 != 0 && digit != b'0' {
            return None;
        }
        digit_unit /= 10;
        micros = micros.checked_add(i64::from(digit.checked_sub(b'0').filter(|d| *d < 10)?).checked_mul(digit_unit)?)?;
    }
    Some(micros)
}

/// Nanoseconds since 1970, optionally with a logical part after a point, as a timestamp's text in UTC, cut to
/// the microsecond. `None` for numbers too small to be meant as such a clock value, and too great for a time.
pub fn clock_value(number: &str) -> Option<String> {
    let (nanos, logical) = number.split_once('.').unwrap_or((number, "0"));
    if nanos.len() < 16 || !logical.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = nanos.parse().ok()?;
    let time = chrono::DateTime::from_timestamp_micros(nanos.div_euclid(1_000))?;
    Some(time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_or_refused_whole() {
        const HOUR: i64 = 3_600_000_000;
        for (text, expected) in [
            ("-4h", Some((0, 0, -4 * HOUR))),
            ("-1h30m", Some((0, 0, -HOUR - HOUR / 2))),
            ("-1.5s", Some((0, 0, -1_500_000))),
            ("10ms", Some((0, 0, 10_000))),
            ("-2 days", Some((0, -2, 0))),
            ("-1 year 2 months", Some((-14, 0, 0))),
            ("-0.0000001s", None),
            ("2020-01-01", None),
            ("-4", None),
            ("-", None),
            ("", None),
            ("v12", None),
            ("-4 fortnights", None),
        ] {
            let expected = expected.map(|(months, days, micros)| Span { months, days, micros });
            assert_eq!(span(text), expected, "{text}");
        }
    }

    /// The engine reads the text of an interval by itself; it must read the same span.
    #[test]
    fn an_intervals_text_is_read_back() {
        use datafusion::arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
        let span = Span { months: -14, days: -2, micros: -5_400_000_001 };
        let value = parse_interval_month_day_nano(&span.interval()).unwrap();
        assert_eq!((value.months, value.days, value.nanoseconds), (-14, -2, -5_400_000_001_000));
    }

    #[test]
    fn clock_values_are_nanoseconds() {
        for (number, expected) in [
            ("1700000000123456789", Some("2023-11-14 22:13:20.123456+00")),
            ("1700000000123456789.0000000042", Some("2023-11-14 22:13:20.123456+00")),
            ("12", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(clock_value(number).as_deref(), expected, "{number}");
        }
    }
}

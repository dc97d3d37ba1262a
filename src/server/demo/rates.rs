//! The rates that the program carries, read: per fixing day, the rate of each currency that had one.

use std::io::{Cursor, Read};

use chrono::{NaiveDate, TimeZone};
use chrono_tz::Europe::Berlin;

use super::DemoError;
use crate::versions::Timestamp;

/// data/README.md names the source and its terms.
const ARCHIVE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/eurofxref-hist.zip"));

/// One fixing.
#[derive(Debug, PartialEq)]
pub struct Day {
    pub date: NaiveDate,
    /// 16:00 in Frankfurt.
    pub time: Timestamp,
    /// Currency and rate (a decimal number as it was published), in the file's order.
    pub rates: Vec<(String, String)>,
}

/// Every fixing, oldest first.
pub fn days() -> Result<Vec<Day>, DemoError> {
    let unreadable = |error: zip::result::ZipError| DemoError::Rates(error.to_string());
    let mut archive = zip::ZipArchive::new(Cursor::new(ARCHIVE)).map_err(unreadable)?;
    let mut text = String::new();
    let mut file = archive.by_index(0).map_err(unreadable)?;
    file.read_to_string(&mut text).map_err(|error| DemoError::Rates(error.to_string()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Day>, DemoError> {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').skip(1).collect();
    let mut days = lines.map(|line| day(&header, line)).collect::<Result<Vec<_>, _>>()?;
    days.sort_by_key(|day| day.date);
    Ok(days)
}

fn day(header: &[&str], line: &str) -> Result<Day, DemoError> {
    let bad = || DemoError::Rates(format!("line \"{line}\""));
    let (date, values) = line.split_once(',').ok_or_else(bad)?;
    let date: NaiveDate = date.parse().map_err(|_| bad())?;
    let local = date.and_hms_opt(16, 0, 0).ok_or_else(bad)?;
    let instant = Berlin.from_local_datetime(&local).single().ok_or_else(bad)?;
    let mut rates = Vec::new();
    for (currency, value) in header.iter().zip(values.split(',')) {
        if currency.is_empty() || matches!(value, "" | "N/A") {
            continue;
        }
        if !is_decimal(value) {
            return Err(bad());
        }
        rates.push(((*currency).to_owned(), value.to_owned()));
    }
    Ok(Day { date, time: Timestamp::from_micros(instant.timestamp_micros()), rates })
}

/// Digits, perhaps with a point between them: what JSON takes for a number as it stands.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixing_is_at_sixteen_hundred_in_frankfurt_in_summer_and_winter() {
        let days = parse("Date,USD,ISK,\n2008-09-15,1.4151,N/A,\n2008-01-02,1.4688,91.5,\n").expect("valid");
        assert_eq!(days[0].date.to_string(), "2008-01-02");
        assert_eq!(days[0].time.micros(), 1_199_286_000_000_000); // 15:00 UTC
        assert_eq!(days[1].time.micros(), 1_221_487_200_000_000); // 14:00 UTC
        assert_eq!(days[1].rates, [("USD".to_owned(), "1.4151".to_owned())]);
        assert!(parse("Date,USD,\n2008-09-15,1.4e3,\n").is_err());
    }

    #[test]
    fn the_program_carries_every_fixing_since_1999() {
        let days = days().expect("valid");
        assert_eq!(days[0].date.to_string(), "1999-01-04");
        assert!(days.is_sorted_by(|a, b| a.time < b.time));
        assert!(days.iter().map(|day| day.rates.len()).sum::<usize>() > 210_000);
    }
}

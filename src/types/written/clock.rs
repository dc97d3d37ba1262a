//! time with time zone: a time of day and an offset from UTC.

use bytes::{BufMut, BytesMut};

use super::whole;
use crate::error::{Result, SqlError, SqlState};
use crate::types::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, write_offset, write_time};
use crate::types::complaint::bad_datetime;
use crate::types::datetime;
use crate::types::zone::{Zone, parse_offset};

/// Microseconds since midnight, and seconds east of Greenwich.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    pub micros: i64,
    pub east: i32,
}

impl Clock {
    /// From a canonical text.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || bad_datetime("time with time zone", text);
        let at = text.rfind(['+', '-']).ok_or_else(bad)?;
        let micros = datetime::parse_time(&text[..at])?;
        Ok(Self { micros, east: parse_offset(&text[at..]).ok_or_else(bad)? })
    }

    pub fn write(self) -> String {
        let mut out = String::new();
        write_time(&mut out, self.micros);
        write_offset(&mut out, self.east);
        out
    }

    /// The time that it is in UTC then, which may be of the day before or after.
    pub fn utc(self) -> i64 {
        self.micros - i64::from(self.east) * MICROS_PER_SECOND
    }
}

/// The canonical text; a time that names no zone is one of the session's, where that has one offset only.
pub fn read(text: &str, zone: Zone) -> Result<String> {
    let (micros, named) = datetime::parse_time_and_zone(text)?;
    let east = match named.unwrap_or(zone) {
        Zone::Fixed(east) => east,
        Zone::Named(_) => {
            return Err(SqlError::unsupported(
                "a time with time zone whose offset depends on the day is not supported",
                "Write the offset behind the time.",
            ));
        }
    };
    Ok(Clock { micros, east }.write())
}

/// Microseconds, then seconds *west*.
pub fn put(text: &str, out: &mut BytesMut) -> Result<()> {
    let clock = Clock::parse(text)?;
    out.put_i64(clock.micros);
    out.put_i32(-clock.east);
    Ok(())
}

pub fn from_binary(bytes: &[u8]) -> Result<String> {
    let bytes: [u8; 12] = whole(bytes)?;
    let (micros, west) = bytes.split_at(8);
    let micros = i64::from_be_bytes(micros.try_into().unwrap_or_default());
    let west = i32::from_be_bytes(west.try_into().unwrap_or_default());
    if !(0..=MICROS_PER_DAY).contains(&micros) {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "time out of range"));
    }
    if west.unsigned_abs() >= 16 * 3600 {
        return Err(SqlError::new(SqlState::INVALID_TIME_ZONE_DISPLACEMENT, "time zone displacement out of range"));
    }
    Ok(Clock { micros, east: -west }.write())
}

/// By the instant, then the farther west the later.
pub fn push_key(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let clock = Clock::parse(text)?;
    out.extend_from_slice(&((clock.utc() as u64) ^ (1 << 63)).to_be_bytes());
    out.extend_from_slice(&((-clock.east as u32) ^ (1 << 31)).to_be_bytes());
    Ok(())
}

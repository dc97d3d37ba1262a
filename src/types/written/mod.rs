//! Types whose values travel as their text in one canonical form: addresses of networks, ranges, shapes, strings of
//! bits, money and a few more. In Arrow they are Utf8, in a payload strings.
//!
//! Each file here owns one family: its text both ways, its binary format and bytes that order its values. Knows no
//! Arrow array and no function of SQL.

pub mod bits;
pub mod clock;
pub mod geometry;
pub mod money;
pub mod network;
pub mod range;

use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};

use super::complaint::{bad_binary, bad_message_length, bad_syntax};
use super::decode::utf8;
use super::plain::Fit;
use super::zone::Zone;
use crate::error::{Result, SqlError, SqlState};
use range::Subtype;

/// One such type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    Inet,
    Cidr,
    Macaddr,
    Macaddr8,
    /// A time of day with an offset from UTC.
    Timetz,
    Bit,
    Varbit,
    Money,
    /// Carried as it was written: nobody checks that it is well-formed.
    Xml,
    PgLsn,
    Point,
    Lseg,
    Path,
    Box,
    Polygon,
    Line,
    Circle,
    Int4range,
    Int8range,
    Numrange,
    Tsrange,
    Tstzrange,
    Daterange,
}

/// Every one of them.
pub const ALL: &[Written] = &[
    Written::Inet,
    Written::Cidr,
    Written::Macaddr,
    Written::Macaddr8,
    Written::Timetz,
    Written::Bit,
    Written::Varbit,
    Written::Money,
    Written::Xml,
    Written::PgLsn,
    Written::Point,
    Written::Lseg,
    Written::Path,
    Written::Box,
    Written::Polygon,
    Written::Line,
    Written::Circle,
    Written::Int4range,
    Written::Int8range,
    Written::Numrange,
    Written::Tsrange,
    Written::Tstzrange,
    Written::Daterange,
];

/// How values of a type compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// By their keys; equal values have equal texts.
    Ordered,
    /// By their keys; equal values may have several texts.
    OrderedByKey,
    /// Not at all.
    None,
}

impl Written {
    /// What a range is of.
    pub const fn subtype(self) -> Option<Subtype> {
        Some(match self {
            Self::Int4range => Subtype::Int4,
            Self::Int8range => Subtype::Int8,
            Self::Numrange => Subtype::Numeric,
            Self::Tsrange => Subtype::Timestamp,
            Self::Tstzrange => Subtype::Timestamptz,
            Self::Daterange => Subtype::Date,
            _ => return None,
        })
    }

    pub const fn is_shape(self) -> bool {
        use Written::{Box, Circle, Line, Lseg, Path, Point, Polygon};
        matches!(self, Point | Lseg | Path | Box | Polygon | Line | Circle)
    }

    /// Whether a text means another value, or none, in a session with another zone.
    pub const fn depends_on_zone(self) -> bool {
        matches!(self, Self::Timetz | Self::Tstzrange)
    }

    pub const fn comparison(self) -> Comparison {
        match self {
            Self::Numrange => Comparison::OrderedByKey,
            Self::Xml => Comparison::None,
            shape if shape.is_shape() => Comparison::None,
            _ => Comparison::Ordered,
        }
    }

    /// The canonical text of a value. `modifier` is the length of bit and bit varying, -1 for none; `zone` is for
    /// times without one. 22P02 and the like for a text that is no value.
    pub fn read(self, text: &str, modifier: i32, fit: Fit, zone: Zone) -> Result<String> {
        match self {
            Self::Inet => network::read_inet(text),
            Self::Cidr => network::read_cidr(text),
            Self::Macaddr => network::read_mac(text),
            Self::Macaddr8 => network::read_mac8(text),
            Self::Timetz => clock::read(text, zone),
            Self::Bit => bits::read(text, modifier, true, fit),
            Self::Varbit => bits::read(text, modifier, false, fit),
            Self::Money => money::parse(text).map(money::write),
            Self::Xml => Ok(text.to_owned()),
            Self::PgLsn => lsn(text).map(lsn_text),
            Self::Point | Self::Lseg | Self::Path | Self::Box | Self::Polygon | Self::Line | Self::Circle => {
                geometry::read(self, text)
            }
            Self::Int4range | Self::Int8range | Self::Numrange | Self::Tsrange | Self::Tstzrange | Self::Daterange => {
                Ok(self.range(text, zone)?.write(Zone::UTC))
            }
        }
    }

    /// A range from its text; 22P02 where it is none.
    pub fn range(self, text: &str, zone: Zone) -> Result<range::Range> {
        match self.subtype() {
            Some(subtype) => range::Range::parse(subtype, text, zone),
            None => Err(SqlError::internal("a value of no range type was read as a range")),
        }
    }

    /// Appends a canonical text as a session with this zone shows it.
    pub fn show(self, text: &str, zone: Zone, out: &mut String) {
        let moved = (self == Self::Tstzrange && zone != Zone::UTC).then(|| self.range(text, Zone::UTC));
        match moved {
            Some(Ok(range)) => out.push_str(&range.write(zone)),
            _ => out.push_str(text),
        }
    }

    /// Appends the binary form of a canonical text.
    pub fn put_binary(self, text: &str, out: &mut BytesMut) -> Result<()> {
        match self {
            Self::Inet | Self::Cidr => network::put(text, self == Self::Cidr, out),
            Self::Macaddr | Self::Macaddr8 => {
                out.put_slice(&network::mac_bytes(text));
                Ok(())
            }
            Self::Timetz => clock::put(text, out),
            Self::Bit | Self::Varbit => bits::put(text, out),
            Self::Money => {
                out.put_i64(money::parse(text)?);
                Ok(())
            }
            Self::Xml => {
                out.put_slice(text.as_bytes());
                Ok(())
            }
            Self::PgLsn => {
                out.put_u64(lsn(text)?);
                Ok(())
            }
            Self::Point | Self::Lseg | Self::Path | Self::Box | Self::Polygon | Self::Line | Self::Circle => {
                geometry::put(self, text, out)
            }
            Self::Int4range | Self::Int8range | Self::Numrange | Self::Tsrange | Self::Tstzrange | Self::Daterange => {
                self.range(text, Zone::UTC)?.put(out)
            }
        }
    }

    /// The canonical text of a binary value; 22P03 and 08P01 for bytes that are none.
    pub fn from_binary(self, bytes: &[u8], modifier: i32) -> Result<String> {
        match self {
            Self::Inet | Self::Cidr => network::from_binary(bytes, self == Self::Cidr),
            Self::Macaddr | Self::Macaddr8 => network::mac_from_binary(bytes, self == Self::Macaddr8),
            Self::Timetz => clock::from_binary(bytes),
            Self::Bit | Self::Varbit => bits::from_binary(bytes, modifier, self == Self::Bit),
            Self::Money => Ok(money::write(i64::from_be_bytes(whole(bytes)?))),
            Self::Xml => Ok(utf8(bytes)?.to_owned()),
            Self::PgLsn => Ok(lsn_text(u64::from_be_bytes(whole(bytes)?))),
            Self::Point | Self::Lseg | Self::Path | Self::Box | Self::Polygon | Self::Line | Self::Circle => {
                geometry::from_binary(self, bytes)
            }
            Self::Int4range | Self::Int8range | Self::Numrange | Self::Tsrange | Self::Tstzrange | Self::Daterange => {
                let subtype = self.subtype().ok_or_else(|| bad_binary("incorrect binary data format"))?;
                Ok(range::Range::from_binary(subtype, bytes)?.write(Zone::UTC))
            }
        }
    }

    /// Appends bytes that order and equal canonical texts as their values; the text itself for a type without order.
    pub fn push_key(self, text: &str, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Inet | Self::Cidr => network::push_key(text, out)?,
            Self::Timetz => clock::push_key(text, out)?,
            Self::Money => out.extend_from_slice(&((money::parse(text)? as u64) ^ (1 << 63)).to_be_bytes()),
            Self::PgLsn => out.extend_from_slice(&lsn(text)?.to_be_bytes()),
            Self::Int4range | Self::Int8range | Self::Numrange | Self::Tsrange | Self::Tstzrange | Self::Daterange => {
                self.range(text, Zone::UTC)?.push_key(out);
            }
            // The digits of these, of one length or with the shorter first, are in the order of their values.
            Self::Macaddr | Self::Macaddr8 | Self::Bit | Self::Varbit | Self::Xml => out.extend_from_slice(text.as_bytes()),
            Self::Point | Self::Lseg | Self::Path | Self::Box | Self::Polygon | Self::Line | Self::Circle => {
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(())
    }
}

/// Exactly so many bytes: 08P01 for fewer, 22P03 for more.
fn whole<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    match bytes.len() {
        len if len < N => Err(bad_message_length()),
        len if len > N => Err(bad_binary("incorrect binary data format")),
        _ => bytes.try_into().map_err(|_| bad_message_length()),
    }
}

/// A place in the log: two numbers in hexadecimal digits with a slash between them.
fn lsn(text: &str) -> Result<u64> {
    let bad = || bad_syntax("pg_lsn", text);
    let (high, low) = text.split_once('/').ok_or_else(bad)?;
    let part = |digits: &str| {
        let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if plain { u32::from_str_radix(digits, 16).map_err(|_| bad()) } else { Err(bad()) }
    };
    Ok(u64::from(part(high)?) << 32 | u64::from(part(low)?))
}

fn lsn_text(place: u64) -> String {
    format!("{:X}/{:X}", place >> 32, place as u32)
}

/// 22003 of a value that its type cannot hold.
fn out_of_range(message: &str) -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

#[cfg(test)]
mod tests;

//! PostgreSQL's numeric: a decimal of up to 131072 digits before the point and 16383 after it that knows how many
//! it shows, NaN and the infinities.
//!
//! Owns the value, its text, its bytes and its order; arithmetic is in [`arithmetic`], roots, powers and logarithms in
//! [`functions`]. A finite value is a whole mantissa at its display scale, so `1.0` and `1.00` are equal and differ in
//! bytes. Knows no table; columns of values are in [`column`].

pub mod arithmetic;
pub mod cast;
pub mod column;
pub mod functions;
mod mantissa;

use std::cmp::Ordering;

pub use mantissa::Mantissa;

use super::complaint::bad_syntax;
use super::number::trim;
use crate::error::{Result, SqlError, SqlState};

/// Digits after the point that a value may show.
pub const MAX_SCALE: u32 = 16_383;
/// Digits before the point that a value may have.
const MAX_WHOLE: i64 = 131_072;

#[derive(Clone, Debug)]
pub enum Numeric {
    NegativeInfinity,
    Finite(Finite),
    Infinity,
    /// Equal to itself and greater than every number.
    NaN,
}

/// `mantissa × 10^-scale`, printed with `scale` digits after the point.
#[derive(Clone, Debug)]
pub struct Finite {
    pub(super) mantissa: Mantissa,
    pub(super) scale: u32,
}

const TAG_NAN: u16 = 0xffff;
const TAG_INFINITY: u16 = 0xfffe;
const TAG_NEGATIVE_INFINITY: u16 = 0xfffd;

/// 22003: more digits than a numeric has.
pub fn overflow() -> SqlError {
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

impl Numeric {
    pub fn of_i128(mantissa: i128, scale: u32) -> Self {
        Self::Finite(Finite { mantissa: Mantissa::Small(mantissa), scale })
    }

    /// `mantissa × 10^-scale`, where a negative scale stands for zeros before the point.
    pub fn of_decimal(mantissa: i128, scale: i32) -> Self {
        match u32::try_from(scale) {
            Ok(scale) => Self::of_i128(mantissa, scale),
            Err(_) => Self::Finite(Finite { mantissa: Mantissa::Small(mantissa).times_ten(scale.unsigned_abs()), scale: 0 }),
        }
    }

    pub fn of_i64(n: i64) -> Self {
        Self::of_i128(i128::from(n), 0)
    }

    /// The value, unless it has more digits than a numeric may have (22003).
    pub fn of_mantissa(mantissa: Mantissa, scale: u32) -> Result<Self> {
        let finite = Finite { mantissa, scale };
        finite.checked().map(Self::Finite)
    }

    /// To 15 significant digits, as PostgreSQL casts double precision.
    pub fn of_f64(x: f64) -> Result<Self> {
        Self::of_float(x, 15)
    }

    /// To 6 significant digits.
    pub fn of_f32(x: f32) -> Result<Self> {
        Self::of_float(f64::from(x), 6)
    }

    fn of_float(x: f64, digits: usize) -> Result<Self> {
        if x.is_nan() {
            return Ok(Self::NaN);
        }
        if x.is_infinite() {
            return Ok(if x > 0.0 { Self::Infinity } else { Self::NegativeInfinity });
        }
        match Self::parse(&format!("{x:.*e}", digits - 1))? {
            Self::Finite(finite) => Ok(Self::Finite(finite.trimmed())),
            other => Ok(other),
        }
    }

    /// 22P02 for what is no number, 22003 for one with too many digits.
    pub fn parse(text: &str) -> Result<Self> {
        let body = trim(text);
        if body.eq_ignore_ascii_case("nan") {
            return Ok(Self::NaN);
        }
        let (negative, unsigned) = match body.as_bytes().first() {
            Some(b'-') => (true, &body[1..]),
            Some(b'+') => (false, &body[1..]),
            _ => (false, body),
        };
        if ["inf", "infinity"].iter().any(|n| unsigned.eq_ignore_ascii_case(n)) {
            return Ok(if negative { Self::NegativeInfinity } else { Self::Infinity });
        }
        let bad = || bad_syntax("numeric", text);
        let (digits, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
            None => (unsigned, None),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !plain(whole) || !plain(fraction) {
            return Err(bad());
        }
        let exponent = exponent.map_or(Ok(0), |e| exponent_of(e).ok_or_else(bad)?)?;
        let scale = i64::try_from(fraction.len()).map_err(|_| overflow())? - exponent;
        let mantissa = Mantissa::of_digits(whole, fraction, negative).ok_or_else(bad)?;
        if scale > i64::from(MAX_SCALE) {
            return Err(overflow());
        }
        let significant = digits.trim_start_matches(['0', '.']).len() as i64;
        if scale < 0 && !mantissa.is_zero() && significant - scale > MAX_WHOLE + 16_400 {
            return Err(overflow());
        }
        let finite = match u32::try_from(scale) {
            Ok(scale) => Finite { mantissa, scale },
            Err(_) if mantissa.is_zero() => Finite { mantissa, scale: 0 },
            Err(_) => Finite { mantissa: mantissa.times_ten(scale.unsigned_abs() as u32), scale: 0 },
        };
        finite.checked().map(Self::Finite)
    }

    pub fn is_nan(&self) -> bool {
        matches!(self, Self::NaN)
    }

    pub fn is_zero(&self) -> bool {
        matches!(self, Self::Finite(f) if f.mantissa.is_zero())
    }

    /// -1, 0 or 1; NaN counts as 1.
    pub fn signum(&self) -> i32 {
        match self {
            Self::NegativeInfinity => -1,
            Self::Finite(f) => f.mantissa.signum(),
            Self::Infinity | Self::NaN => 1,
        }
    }

    /// Digits shown after the point; `None` for what is not finite.
    pub fn scale(&self) -> Option<u32> {
        match self {
            Self::Finite(f) => Some(f.scale),
            _ => None,
        }
    }

    /// Appends the text that PostgreSQL prints.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::NaN => out.push_str("NaN"),
            Self::Infinity => out.push_str("Infinity"),
            Self::NegativeInfinity => out.push_str("-Infinity"),
            Self::Finite(finite) => finite.write(out),
        }
    }

    /// Appends the value's bytes: the scale and the mantissa, or a mark for what is not finite.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let tag = match self {
            Self::NaN => TAG_NAN,
            Self::Infinity => TAG_INFINITY,
            Self::NegativeInfinity => TAG_NEGATIVE_INFINITY,
            Self::Finite(finite) => {
                out.extend_from_slice(&(finite.scale as u16).to_be_bytes());
                finite.mantissa.encode(out);
                return;
            }
        };
        out.extend_from_slice(&tag.to_be_bytes());
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20);
        self.encode(&mut out);
        out
    }

    /// The value that [`Self::encode`] wrote; of other bytes some value.
    pub fn decode(bytes: &[u8]) -> Self {
        let Some((tag, rest)) = bytes.split_first_chunk::<2>() else { return Self::NaN };
        match u16::from_be_bytes(*tag) {
            TAG_NAN => Self::NaN,
            TAG_INFINITY => Self::Infinity,
            TAG_NEGATIVE_INFINITY => Self::NegativeInfinity,
            scale => Self::Finite(Finite { mantissa: Mantissa::decode(rest), scale: u32::from(scale) }),
        }
    }

    /// Appends bytes whose order and equality are those of values, whatever digits they show. No value's bytes begin
    /// another's.
    pub fn write_key(&self, out: &mut Vec<u8>) {
        match self {
            Self::NegativeInfinity => out.push(0x10),
            Self::Infinity => out.push(0xe0),
            Self::NaN => out.push(0xf0),
            Self::Finite(finite) => finite.write_key(out),
        }
    }

    /// The value that [`Self::write_key`] wrote, without zeros at its end; `None` for other bytes.
    pub fn of_key(key: &[u8]) -> Option<Self> {
        let (kind, rest) = key.split_first()?;
        let negative = match kind {
            0x10 => return Some(Self::NegativeInfinity),
            0xe0 => return Some(Self::Infinity),
            0xf0 => return Some(Self::NaN),
            0x80 => return Some(Self::of_i64(0)),
            0x40 => true,
            0xc0 => false,
            _ => return None,
        };
        let plain: Vec<u8> = rest.iter().map(|b| if negative { !b } else { *b }).collect();
        let (exponent, digits) = plain.split_first_chunk::<4>()?;
        let exponent = (u32::from_be_bytes(*exponent) ^ (1 << 31)) as i32;
        let digits = std::str::from_utf8(digits.strip_suffix(&[0])?).ok()?;
        let shift = i64::from(exponent) - (digits.len() as i64 - 1);
        Self::parse(&format!("{}{digits}e{shift}", if negative { "-" } else { "" })).ok()
    }

    /// Rounded half away from zero to the digits of `numeric(p, s)`; 22003 where it does not fit.
    pub fn fit(self, precision: i32, scale: i32) -> Result<Self> {
        let finite = match self {
            Self::NaN => return Ok(self),
            Self::Infinity | Self::NegativeInfinity => {
                return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
                    .detail(format!("A field with precision {precision}, scale {scale} cannot hold an infinite value.")));
            }
            Self::Finite(finite) => finite,
        };
        let rounded = finite.rounded(scale);
        if !rounded.mantissa.is_zero() && rounded.exponent() >= i64::from(precision) - i64::from(scale) {
            let whole = precision - scale;
            let bound = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
            return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").detail(format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than {bound}."
            )));
        }
        Ok(Self::Finite(rounded))
    }

    /// The mantissa at a scale, where that is the whole value and it has at most 38 digits.
    pub fn mantissa_at(&self, scale: u32) -> Option<i128> {
        let Self::Finite(finite) = self else { return None };
        let exact = if finite.scale > scale {
            let trimmed = finite.clone().trimmed();
            if trimmed.scale > scale {
                return None;
            }
            trimmed.mantissa.times_ten(scale - trimmed.scale)
        } else {
            finite.mantissa.clone().times_ten(scale - finite.scale)
        };
        exact.small().filter(|m| m.unsigned_abs() < 10u128.pow(38))
    }

    /// To the nearest whole number, halves away from zero. The names of the types are those of the error.
    pub fn to_integer(&self, name: &str) -> Result<i128> {
        let special = |what: &str| SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("cannot convert {what} to {name}"));
        match self {
            Self::NaN => Err(special("NaN")),
            Self::Infinity | Self::NegativeInfinity => Err(special("infinity")),
            Self::Finite(finite) => {
                let whole = finite.rounded(0).mantissa.small();
                whole.ok_or_else(|| super::complaint::out_of_range(name))
            }
        }
    }

    /// The nearest double; 22003 where there is none but infinity.
    pub fn to_f64(&self) -> Result<f64> {
        const EXACT: u128 = 1 << 53;
        match self {
            Self::NaN => Ok(f64::NAN),
            Self::Infinity => Ok(f64::INFINITY),
            Self::NegativeInfinity => Ok(f64::NEG_INFINITY),
            // Two exact numbers, so their quotient is rounded once.
            Self::Finite(Finite { mantissa: Mantissa::Small(m), scale }) if m.unsigned_abs() < EXACT && *scale <= 22 => {
                Ok(*m as f64 / 10f64.powi(*scale as i32))
            }
            Self::Finite(_) => super::number::parse_float8(&self.to_string()),
        }
    }

    pub fn to_f32(&self) -> Result<f32> {
        match self {
            Self::NaN => Ok(f32::NAN),
            Self::Infinity => Ok(f32::INFINITY),
            Self::NegativeInfinity => Ok(f32::NEG_INFINITY),
            Self::Finite(_) => super::number::parse_float4(&self.to_string()),
        }
    }
}

/// The number after `e`; `None` for what is none, an error for one beyond all numerics.
fn exponent_of(text: &str) -> Option<Result<i64>> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent = text.strip_prefix('+').unwrap_or(text).parse::<i64>().ok().filter(|e| e.abs() < 1_000_000_000);
    Some(exponent.ok_or_else(overflow))
}

impl std::fmt::Display for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By value: the digits shown make no difference.
impl Ord for Numeric {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |n: &Self| match n {
            Self::NegativeInfinity => 0,
            Self::Finite(_) => 1,
            Self::Infinity => 2,
            Self::NaN => 3,
        };
        match (self, other) {
            (Self::Finite(a), Self::Finite(b)) => {
                let scale = a.scale.max(b.scale);
                a.at_scale(scale).cmp(&b.at_scale(scale))
            }
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

impl Finite {
    fn checked(self) -> Result<Self> {
        let large = matches!(self.mantissa, Mantissa::Large(_));
        if self.scale > MAX_SCALE || (large && self.exponent() >= MAX_WHOLE) { Err(overflow()) } else { Ok(self) }
    }

    /// The mantissa at a scale that is not less than its own.
    pub(super) fn at_scale(&self, scale: u32) -> Mantissa {
        self.mantissa.clone().times_ten(scale.saturating_sub(self.scale))
    }

    /// The power of ten of the first digit that is not zero; of zero 0.
    pub(super) fn exponent(&self) -> i64 {
        if self.mantissa.is_zero() { 0 } else { i64::from(self.mantissa.digits()) - 1 - i64::from(self.scale) }
    }

    /// Without the zeros that end the fraction.
    pub fn trimmed(self) -> Self {
        let (mantissa, dropped) = self.mantissa.without_zeros(self.scale);
        Self { mantissa, scale: self.scale - dropped }
    }

    /// To `places` digits after the point, halves away from zero; shown with so many, never with less than none.
    pub(super) fn rounded(&self, places: i32) -> Self {
        self.cut(places, Mantissa::divided_by_ten)
    }

    /// The same without rounding.
    pub(super) fn truncated(&self, places: i32) -> Self {
        self.cut(places, Mantissa::without_digits)
    }

    fn cut(&self, places: i32, divide: fn(&Mantissa, u32) -> Mantissa) -> Self {
        let own = self.scale as i32;
        if places >= own {
            return Self { mantissa: self.at_scale(places as u32), scale: places as u32 };
        }
        let kept = divide(&self.mantissa, (own - places) as u32);
        match u32::try_from(places) {
            Ok(scale) => Self { mantissa: kept, scale },
            Err(_) => Self { mantissa: kept.times_ten(places.unsigned_abs()), scale: 0 },
        }
    }

    fn write(&self, out: &mut String) {
        if self.mantissa.signum() < 0 {
            out.push('-');
        }
        let digits = self.mantissa.text();
        let scale = self.scale as usize;
        if scale == 0 {
            out.push_str(&digits);
            return;
        }
        let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
        out.push_str(if whole.is_empty() { "0" } else { whole });
        out.push('.');
        out.extend(std::iter::repeat_n('0', scale - fraction.len()));
        out.push_str(fraction);
    }

    fn write_key(&self, out: &mut Vec<u8>) {
        match self.mantissa.signum() {
            0 => return out.push(0x80),
            1 => out.push(0xc0),
            _ => out.push(0x40),
        }
        let from = out.len();
        let exponent = self.exponent() as i32;
        out.extend_from_slice(&((exponent as u32) ^ (1 << 31)).to_be_bytes());
        let digits = self.mantissa.text();
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
        out.push(0);
        if self.mantissa.signum() < 0 {
            out[from..].iter_mut().for_each(|b| *b = !*b);
        }
    }
}

#[cfg(test)]
mod tests;

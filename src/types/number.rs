//! Text of integers, floats and numerics, in and out.
//!
//! A numeric(p, s) is its mantissa, an `i128`, at the scale that its type fixes; what does not fit is refused, never
//! cut: see [`parse_numeric`]. Numerics without precision are those of [`super::numeric`].

use std::fmt::Write;

use super::complaint::{bad_syntax, text_out_of_range};
use super::numeric::Numeric;
use crate::error::{Result, SqlError, SqlState};

pub fn parse_int2(text: &str) -> Result<i16> {
    parse_integer(text, "smallint")
}

pub fn parse_int4(text: &str) -> Result<i32> {
    parse_integer(text, "integer")
}

pub fn parse_int8(text: &str) -> Result<i64> {
    parse_integer(text, "bigint")
}

/// An oid: unsigned 32 bits; negative ones wrap as in PostgreSQL.
pub fn parse_oid(text: &str) -> Result<i64> {
    let n: i64 = parse_integer(text, "oid")?;
    match (u32::try_from(n), i32::try_from(n)) {
        (Ok(n), _) => Ok(i64::from(n)),
        (_, Ok(n)) => Ok(i64::from(n as u32)),
        _ => Err(text_out_of_range("oid", text)),
    }
}

fn parse_integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str, type_name: &str) -> Result<T> {
    let digits = trim(text);
    digits.parse().map_err(|e: std::num::ParseIntError| match e.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => text_out_of_range(type_name, text),
        _ => bad_syntax(type_name, text),
    })
}

/// What PostgreSQL's isspace skips around a value.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

pub fn parse_float8(text: &str) -> Result<f64> {
    let (value, written) = parse_float::<f64>(text, "double precision")?;
    if (value.is_infinite() || value == 0.0) && written != Written::Plain {
        return Err(float_out_of_range(text, "double precision"));
    }
    Ok(value)
}

pub fn parse_float4(text: &str) -> Result<f32> {
    let (value, written) = parse_float::<f32>(text, "real")?;
    if (value.is_infinite() || value == 0.0) && written != Written::Plain {
        return Err(float_out_of_range(text, "real"));
    }
    Ok(value)
}

fn float_out_of_range(text: &str, type_name: &str) -> SqlError {
    let message = format!("\"{}\" is out of range for type {type_name}", trim(text));
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)
}

#[derive(PartialEq)]
enum Written {
    /// Zero or infinity spelt out, so that reading one is no overflow or underflow.
    Plain,
    NonZeroDigits,
}

fn parse_float<T: std::str::FromStr>(text: &str, type_name: &str) -> Result<(T, Written)> {
    let body = trim(text);
    let unsigned = body.strip_prefix(['-', '+']).unwrap_or(body);
    let named = ["nan", "inf", "infinity"].iter().any(|n| unsigned.eq_ignore_ascii_case(n));
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !(named || numeric) {
        return Err(bad_syntax(type_name, text));
    }
    let value = body.parse().map_err(|_| bad_syntax(type_name, text))?;
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let non_zero = !named && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'));
    Ok((value, if non_zero { Written::NonZeroDigits } else { Written::Plain }))
}

/// 10 to the `n`, for `n` of at most 38.
pub const fn power_of_ten(n: u32) -> i128 {
    10i128.pow(n)
}

/// The mantissa of a numeric(p, s): rounded half away from zero to `s` digits; 22003 when it then needs more than `p`.
pub fn parse_numeric(text: &str, (p, s): (u8, i8)) -> Result<i128> {
    if text.contains(['i', 'I'])
        && let Ok(infinite) = Numeric::parse(text)
    {
        return infinite.fit(p.into(), s.into()).map(|_| 0);
    }
    Decimal::parse(text)?.rounded(p, s).ok_or_else(|| numeric_field_overflow(p, s))
}

/// 22003 in the words of a numeric(p, s) that is too small for its value.
pub fn numeric_field_overflow(p: u8, s: i8) -> SqlError {
    let whole = i32::from(p) - i32::from(s);
    let bound = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow")
        .detail(format!("A field with precision {p}, scale {s} must round to an absolute value less than {bound}."))
}

/// A decimal as it was written: `±mantissa × 10^-scale`, at most 38 significant digits kept exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decimal {
    pub mantissa: i128,
    pub scale: i32,
    /// A non-zero digit beyond the 38th was left out, the first such digit being this one.
    rest: Option<u8>,
}

impl Decimal {
    /// 22P02 for what is no number, 0A000 for NaN and infinities, which cannot be kept.
    pub fn parse(text: &str) -> Result<Self> {
        let body = trim(text);
        let (negative, unsigned) = match body.as_bytes().first() {
            Some(b'-') => (true, &body[1..]),
            Some(b'+') => (false, &body[1..]),
            _ => (false, body),
        };
        if ["nan", "inf", "infinity"].iter().any(|n| unsigned.eq_ignore_ascii_case(n)) {
            return Err(SqlError::unsupported(
                format!("numeric value \"{body}\" is not supported"),
                "A numeric without precision holds NaN and the infinities.",
            ));
        }
        let bad = || bad_syntax("numeric", text);
        let (digits, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i32>().map_err(|_| bad())?),
            None => (unsigned, 0),
        };
        if exponent.abs() > 100_000 {
            return Err(super::numeric::overflow());
        }
        let mut decimal = Self::read_digits(digits).ok_or_else(bad)?;
        decimal.scale -= exponent;
        if negative {
            decimal.mantissa = -decimal.mantissa;
        }
        Ok(decimal)
    }

    fn read_digits(digits: &str) -> Option<Self> {
        let mut decimal = Self { mantissa: 0, scale: 0, rest: None };
        let (mut seen, mut point, mut kept) = (false, false, 0);
        for b in digits.bytes() {
            match b {
                b'.' if !point => point = true,
                b'0'..=b'9' => {
                    seen = true;
                    if kept < 38 {
                        decimal.mantissa = decimal.mantissa * 10 + i128::from(b - b'0');
                        kept += i32::from(decimal.mantissa != 0);
                        decimal.scale += i32::from(point);
                    } else {
                        decimal.scale -= i32::from(!point);
                        if decimal.rest.is_none() && (b != b'0' || kept == 38) {
                            decimal.rest = Some(b - b'0');
                        } else if b != b'0' && decimal.rest == Some(0) {
                            decimal.rest = Some(1);
                        }
                        kept += 1;
                    }
                }
                _ => return None,
            }
        }
        if decimal.rest == Some(0) {
            decimal.rest = None;
        }
        seen.then_some(decimal)
    }

    /// Rounded half away from zero to this scale; `None` beyond `precision` digits.
    pub fn rounded(self, precision: u8, scale: i8) -> Option<i128> {
        let shift = i32::from(scale) - self.scale;
        if shift > 0 && self.rest.is_some() {
            return None;
        }
        let mut mantissa = self.mantissa;
        if shift == 0 && self.rest.is_some_and(|d| d >= 5) {
            mantissa += mantissa.signum();
        }
        let mantissa = rescale(mantissa, shift)?;
        (mantissa.abs() < power_of_ten(u32::from(precision.min(38)))).then_some(mantissa)
    }
}

/// `mantissa × 10^shift`, rounding half away from zero when `shift` is negative; `None` on overflow.
pub fn rescale(mantissa: i128, shift: i32) -> Option<i128> {
    match shift {
        0 => Some(mantissa),
        1..=38 => mantissa.checked_mul(power_of_ten(shift.unsigned_abs())),
        -38..=-1 => {
            let unit = power_of_ten(shift.unsigned_abs());
            let (quotient, remainder) = (mantissa / unit, mantissa % unit);
            let up = remainder.unsigned_abs() >= unit.unsigned_abs() - remainder.unsigned_abs();
            Some(if up { quotient + mantissa.signum() } else { quotient })
        }
        _ if mantissa == 0 || shift < 0 => Some(0),
        _ => None,
    }
}

/// Digits of a mantissa at a scale.
pub fn write_numeric(out: &mut String, mantissa: i128, scale: i8) {
    let mut digits = [0u8; 40];
    let mut rest = mantissa.unsigned_abs();
    let mut at = digits.len();
    // The common case stays in 64-bit arithmetic.
    while rest > u128::from(u64::MAX) {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut small = rest as u64;
    while small > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + (small % 10) as u8;
        small /= 10;
    }
    if mantissa < 0 {
        out.push('-');
    }
    let digits = std::str::from_utf8(&digits[at..]).unwrap_or_default();
    push_point(out, digits, scale);
}

fn push_point(out: &mut String, digits: &str, scale: i8) {
    let Ok(scale @ 1..) = usize::try_from(scale) else {
        out.push_str(digits);
        if digits != "0" {
            out.extend(std::iter::repeat_n('0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    out.push_str(if whole.is_empty() { "0" } else { whole });
    let zeros = scale - fraction.len();
    out.push('.');
    out.extend(std::iter::repeat_n('0', zeros));
    out.push_str(fraction);
}

pub fn write_float8(out: &mut String, value: f64) {
    if value.is_finite() {
        let mut scientific = ScientificText::default();
        let _ = write!(scientific, "{value:e}");
        scientific.write_as_postgres(out, 15);
    } else {
        out.push_str(non_finite(value));
    }
}

pub fn write_float4(out: &mut String, value: f32) {
    if value.is_finite() {
        let mut scientific = ScientificText::default();
        let _ = write!(scientific, "{value:e}");
        scientific.write_as_postgres(out, 6);
    } else {
        out.push_str(non_finite(f64::from(value)));
    }
}

fn non_finite(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

/// Rust's shortest scientific form (`-1.25e-7`), on the stack.
struct ScientificText {
    bytes: [u8; 40],
    len: usize,
}

impl Default for ScientificText {
    fn default() -> Self {
        Self { bytes: [0; 40], len: 0 }
    }
}

impl Write for ScientificText {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        let end = self.len + s.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl ScientificText {
    /// Plain digits for exponents of -4 up to below `limit`, else `1.5e+20` with two digits of exponent.
    fn write_as_postgres(&self, out: &mut String, limit: i32) {
        let text = std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default();
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
        out.push_str(sign);
        if !(-4..limit).contains(&exponent) {
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
            return;
        }
        let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if exponent < 0 {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
            out.push_str(first);
            out.push_str(rest);
            return;
        }
        out.push_str(first);
        let whole = exponent.unsigned_abs() as usize;
        match rest.split_at_checked(whole) {
            Some((before, "")) => out.push_str(before),
            Some((before, after)) => {
                out.push_str(before);
                out.push('.');
                out.push_str(after);
            }
            None => {
                out.push_str(rest);
                out.extend(std::iter::repeat_n('0', whole - rest.len()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float8(value: f64) -> String {
        let mut out = String::new();
        write_float8(&mut out, value);
        out
    }

    fn numeric(text: &str, precision: (u8, i8)) -> String {
        match parse_numeric(text, precision) {
            Ok(mantissa) => {
                let mut out = String::new();
                write_numeric(&mut out, mantissa, precision.1);
                out
            }
            Err(e) => e.code().code().to_owned(),
        }
    }

    #[test]
    fn integers_say_whether_they_are_malformed_or_too_large() {
        assert_eq!(parse_int4(" -12\n").unwrap(), -12);
        assert_eq!(parse_int4("x").unwrap_err().message(), "invalid input syntax for type integer: \"x\"");
        let large = parse_int4("99999999999").unwrap_err();
        assert_eq!(large.message(), "value \"99999999999\" is out of range for type integer");
        assert_eq!(large.code(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert_eq!(parse_int2("").unwrap_err().code(), SqlState::INVALID_TEXT_REPRESENTATION);
    }

    #[test]
    fn floats_print_as_postgresql_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (9.0, "9"),
            (1.5, "1.5"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123456789012345.6, "123456789012345.6"),
            (1.2345678901234568e17, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e-300, "1e-300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float8(value), text);
        }
        let mut out = String::new();
        write_float4(&mut out, 1_000_000.0);
        assert_eq!(out, "1e+06");
    }

    #[test]
    fn float_overflow_and_underflow_are_refused() {
        assert_eq!(parse_float8("1e400").unwrap_err().message(), "\"1e400\" is out of range for type double precision");
        assert_eq!(parse_float8("1e-400").unwrap_err().code(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        assert!(parse_float8("-Infinity").unwrap().is_infinite());
        assert!(parse_float8("infinit").is_err());
        assert_eq!(parse_float8("0e5").unwrap(), 0.0);
    }

    #[test]
    fn numerics_round_at_their_scale_and_refuse_what_does_not_fit() {
        let price = (10, 2);
        for (text, precision, expected) in [
            ("12.345", price, "12.35"),
            ("-12.345", price, "-12.35"),
            ("12.344999", price, "12.34"),
            ("99999999.995", price, "22003"),
            (".5", price, "0.50"),
            ("5.", price, "5.00"),
            ("1e3", price, "1000.00"),
            ("12345678901234567890123456789012345678", (38, 0), "12345678901234567890123456789012345678"),
            ("123456789012345678901234567890123456785", (38, 0), "22003"),
            ("0.123456789012345678901234567890123456785", (38, 38), "0.12345678901234567890123456789012345679"),
            ("1.2.3", price, "22P02"),
            ("", price, "22P02"),
            (".", price, "22P02"),
            ("NaN", price, "0A000"),
        ] {
            assert_eq!(numeric(text, precision), expected, "{text}");
        }
    }
}

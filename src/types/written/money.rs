//! money: cents in 64 bits, shown as `$1,234.56`.

use crate::error::Result;
use crate::types::complaint::{bad_syntax, text_out_of_range};

/// Cents. Accepts a dollar sign, separators of thousands, a sign or parentheses for less than nothing, and rounds to
/// cents.
pub fn parse(text: &str) -> Result<i64> {
    let bad = || bad_syntax("money", text);
    let mut rest = text.trim();
    let mut negative = false;
    if let Some(inner) = rest.strip_prefix('(') {
        negative = true;
        rest = inner.strip_suffix(')').ok_or_else(bad)?;
    }
    rest = rest.trim();
    loop {
        if let Some(after) = rest.strip_prefix('-') {
            negative = true;
            rest = after.trim_start();
        } else if let Some(after) = rest.strip_prefix('+').or_else(|| rest.strip_prefix('$')) {
            rest = after.trim_start();
        } else {
            break;
        }
    }
    if let Some(before) = rest.strip_suffix('-') {
        negative = true;
        rest = before.trim_end();
    }
    rest = rest.strip_suffix('$').map_or(rest, str::trim_end);
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let whole: String = whole.split(',').collect();
    if (whole.is_empty() && fraction.is_empty()) || !digits(&whole) || !digits(fraction) {
        return Err(bad());
    }
    let range = || text_out_of_range("money", text);
    let units = whole.bytes().try_fold(0i128, |n, b| n.checked_mul(10)?.checked_add(i128::from(b - b'0'))).ok_or_else(range)?;
    let mut places = fraction.bytes().map(|b| i128::from(b - b'0'));
    let tens = places.next().unwrap_or(0) * 10 + places.next().unwrap_or(0);
    let cents = units * 100 + tens + i128::from(places.next().is_some_and(|d| d >= 5));
    i64::try_from(if negative { -cents } else { cents }).map_err(|_| range())
}

pub fn write(cents: i64) -> String {
    let (units, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let digits = units.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 6);
    out.push_str(if cents < 0 { "-$" } else { "$" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out.push_str(&format!(".{rest:02}"));
    out
}

//! Numbers by their digits, and as JavaScript writes them.

use std::fmt;

/// A finite number, in the digits it was given in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(Box<str>);

impl Number {
    /// `None` for what is not finite.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| Self(javascript(value).into()))
    }

    /// `digits` are a JSON number, which the caller has seen to.
    pub(super) fn from_digits(digits: &str) -> Self {
        Self(digits.into())
    }

    /// The nearest double; infinite beyond them.
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// As JavaScript would write it wherever that is the same number, else digit by digit: so the library's own numbers come
    /// out as they were, and those that only we can hold are not rounded.
    pub(super) fn written(&self) -> String {
        if is_double(&self.0) { javascript(self.as_f64()) } else { self.0.to_string() }
    }
}

/// Whether JavaScript gives this number back when it has read it: its value is that of the shortest digits of the nearest
/// double. `digits` are a JSON number, which the caller has seen to.
pub fn is_double(digits: &str) -> bool {
    let value: f64 = digits.parse().unwrap_or(f64::NAN);
    value.is_finite() && Decimal::of(&javascript(value)) == Decimal::of(digits)
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The shortest digits that mean this double, placed by JavaScript's rules; `-0` is `0`.
fn javascript(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let count = digits.len() as i64;
    // Where the point is, counted from before the first digit.
    let point = exponent.parse::<i64>().unwrap_or(0) + 1;
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let sign = if value < 0.0 { "-" } else { "" };
    let text = match point {
        point if count <= point && point <= 21 => format!("{digits}{}", zeros(point - count)),
        1..=21 => {
            let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
            format!("{whole}.{rest}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let (dot, plus) = (if rest.is_empty() { "" } else { "." }, if point > 0 { "+" } else { "" });
            format!("{first}{dot}{rest}e{plus}{}", point - 1)
        }
    };
    format!("{sign}{text}")
}

/// A number's value, exactly: digits without zeros around them, and where the point is.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    point: i128,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        let point = whole.len() as i128 - (all.len() - significant.len()) as i128 + exponent.parse::<i128>().unwrap_or(0);
        let digits = significant.trim_end_matches('0').to_owned();
        match digits.is_empty() {
            true => Self { negative: false, digits, point: 0 },
            false => Self { negative, digits, point },
        }
    }
}

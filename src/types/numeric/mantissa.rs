//! Whole numbers of any length, quick while they fit 128 bits.
//!
//! Knows no scale and no sign of infinity; a value has one form only, so equality is that of the form.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mantissa {
    Small(i128),
    /// What does not fit the other.
    Large(BigInt),
}

/// 10 to the `n`, of any size.
pub fn big_ten(n: u32) -> BigInt {
    if n <= 38 { BigInt::from(10i128.pow(n)) } else { BigInt::from(10).pow(n) }
}

impl From<BigInt> for Mantissa {
    fn from(n: BigInt) -> Self {
        match i128::try_from(&n) {
            Ok(small) => Self::Small(small),
            Err(_) => Self::Large(n),
        }
    }
}

impl From<i128> for Mantissa {
    fn from(n: i128) -> Self {
        Self::Small(n)
    }
}

impl Mantissa {
    pub fn big(&self) -> BigInt {
        match self {
            Self::Small(n) => BigInt::from(*n),
            Self::Large(n) => n.clone(),
        }
    }

    pub fn small(&self) -> Option<i128> {
        match self {
            Self::Small(n) => Some(*n),
            Self::Large(_) => None,
        }
    }

    /// The number written with these two runs of digits; `None` for what are no digits.
    pub fn of_digits(whole: &str, fraction: &str, negative: bool) -> Option<Self> {
        if whole.len() + fraction.len() <= 38 {
            let mut n: i128 = 0;
            for b in whole.bytes().chain(fraction.bytes()) {
                n = n * 10 + i128::from(b - b'0');
            }
            return Some(Self::Small(if negative { -n } else { n }));
        }
        let n = BigInt::parse_bytes([whole, fraction].concat().as_bytes(), 10)?;
        Some(Self::from(if negative { -n } else { n }))
    }

    pub fn is_zero(&self) -> bool {
        matches!(self, Self::Small(0))
    }

    pub fn signum(&self) -> i32 {
        match self {
            Self::Small(n) => n.signum() as i32,
            Self::Large(n) => match n.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
        }
    }

    /// How many decimal digits it has; 1 for zero.
    pub fn digits(&self) -> u32 {
        match self {
            Self::Small(n) => n.unsigned_abs().checked_ilog10().map_or(1, |n| n + 1),
            Self::Large(n) => {
                let bits = n.bits().saturating_sub(1);
                let least = (bits as f64 * std::f64::consts::LOG10_2) as u32;
                // The estimate is at most one too small or too large.
                let magnitude = n.magnitude();
                let reaches = |digits: u32| *magnitude >= *big_ten(digits).magnitude();
                let from = least.saturating_sub(1);
                (from..from + 4).rev().find(|d| reaches(*d)).map_or(1, |d| d + 1)
            }
        }
    }

    /// Its digits without a sign.
    pub fn text(&self) -> String {
        match self {
            Self::Small(n) => n.unsigned_abs().to_string(),
            Self::Large(n) => n.magnitude().to_string(),
        }
    }

    pub fn times_ten(self, power: u32) -> Self {
        if power == 0 || self.is_zero() {
            return self;
        }
        if let Self::Small(n) = self
            && power <= 38
            && let Some(product) = n.checked_mul(10i128.pow(power))
        {
            return Self::Small(product);
        }
        Self::from(self.big() * big_ten(power))
    }

    /// Without its last `digits` digits, rounded half away from zero.
    pub fn divided_by_ten(&self, digits: u32) -> Self {
        match self {
            Self::Small(n) if digits <= 38 => {
                let unit = 10i128.pow(digits);
                let (quotient, remainder) = (n / unit, n % unit);
                let up = remainder.unsigned_abs() >= unit.unsigned_abs() - remainder.unsigned_abs();
                Self::Small(if up { quotient + n.signum() } else { quotient })
            }
            Self::Small(_) => Self::Small(0),
            Self::Large(n) => {
                if u64::from(digits) > u64::from(self.digits()) + 1 {
                    return Self::Small(0);
                }
                Self::from(rounded_quotient(n, &big_ten(digits)))
            }
        }
    }

    /// Without its last `digits` digits.
    pub fn without_digits(&self, digits: u32) -> Self {
        match self {
            Self::Small(n) if digits <= 38 => Self::Small(n / 10i128.pow(digits)),
            Self::Small(_) => Self::Small(0),
            Self::Large(n) => {
                if digits > self.digits() {
                    return Self::Small(0);
                }
                Self::from(n / big_ten(digits))
            }
        }
    }

    /// Without at most `most` zeros at its end, and how many that were; of zero all.
    pub fn without_zeros(&self, most: u32) -> (Self, u32) {
        if self.is_zero() {
            return (self.clone(), most);
        }
        match self {
            Self::Small(n) => {
                let (mut n, mut dropped) = (*n, 0);
                while dropped < most && n % 10 == 0 {
                    n /= 10;
                    dropped += 1;
                }
                (Self::Small(n), dropped)
            }
            Self::Large(n) => {
                let text = n.magnitude().to_string();
                let zeros = (text.len() - text.trim_end_matches('0').len()) as u32;
                let dropped = zeros.min(most);
                (Self::from(n / big_ten(dropped)), dropped)
            }
        }
    }

    pub fn negated(&self) -> Self {
        match self {
            Self::Small(n) if *n != i128::MIN => Self::Small(-n),
            other => Self::from(-other.big()),
        }
    }

    pub fn magnitude(&self) -> Self {
        if self.signum() < 0 { self.negated() } else { self.clone() }
    }

    pub fn plus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Small(a), Self::Small(b)) if a.checked_add(*b).is_some() => Self::Small(a + b),
            _ => Self::from(self.big() + other.big()),
        }
    }

    pub fn minus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Small(a), Self::Small(b)) if a.checked_sub(*b).is_some() => Self::Small(a - b),
            _ => Self::from(self.big() - other.big()),
        }
    }

    pub fn times(&self, other: &Self) -> Self {
        if let (Self::Small(a), Self::Small(b)) = (self, other)
            && let Some(product) = a.checked_mul(*b)
        {
            return Self::Small(product);
        }
        Self::from(self.big() * other.big())
    }

    /// The quotient cut towards zero; the divisor is not zero.
    pub fn over(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Small(a), Self::Small(b)) if a.checked_div(*b).is_some() => Self::Small(a / b),
            _ => Self::from(self.big() / other.big()),
        }
    }

    /// The quotient rounded half away from zero; the divisor is not zero.
    pub fn over_rounded(&self, other: &Self) -> Self {
        if let (Self::Small(a), Self::Small(b)) = (self, other)
            && let (Some(quotient), Some(remainder)) = (a.checked_div(*b), a.checked_rem(*b))
        {
            let (remainder, divisor) = (remainder.unsigned_abs(), b.unsigned_abs());
            let away = if (*a < 0) == (*b < 0) { 1 } else { -1 };
            return Self::Small(if remainder >= divisor - remainder { quotient + away } else { quotient });
        }
        Self::from(rounded_quotient(&self.big(), &other.big()))
    }

    /// What is left by [`Self::over`]; it has the sign of the dividend.
    pub fn rest(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Small(a), Self::Small(b)) if a.checked_rem(*b).is_some() => Self::Small(a % b),
            _ => Self::from(self.big() % other.big()),
        }
    }

    /// Big-endian in two's complement, with no more bytes than it needs.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Small(n) => {
                let bytes = n.to_be_bytes();
                let fill = if *n < 0 { 0xff } else { 0 };
                let mut from = 0;
                while from < 15 && bytes[from] == fill && (bytes[from + 1] ^ fill) & 0x80 == 0 {
                    from += 1;
                }
                out.extend_from_slice(&bytes[from..]);
            }
            Self::Large(n) => out.extend_from_slice(&n.to_signed_bytes_be()),
        }
    }

    pub fn decode(bytes: &[u8]) -> Self {
        if bytes.len() > 16 {
            return Self::from(BigInt::from_signed_bytes_be(bytes));
        }
        let fill = if bytes.first().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        Self::Small(i128::from_be_bytes(wide))
    }
}

/// `a / b`, halves away from zero.
pub fn rounded_quotient(a: &BigInt, b: &BigInt) -> BigInt {
    let quotient = a / b;
    let rest = a - &quotient * b;
    if (rest.magnitude() << 1) >= *b.magnitude() {
        let away = if (a.sign() == Sign::Minus) == (b.sign() == Sign::Minus) { 1 } else { -1 };
        return quotient + away;
    }
    quotient
}

impl PartialOrd for Mantissa {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Mantissa {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Small(a), Self::Small(b)) => a.cmp(b),
            _ => self.big().cmp(&other.big()),
        }
    }
}

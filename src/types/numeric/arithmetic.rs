//! Sums, products, quotients and roundings with PostgreSQL's digits.
//!
//! Each result shows as many digits after the point as PostgreSQL's own: the rules are in the functions' comments.

use std::cmp::Ordering;

use super::{Finite, MAX_SCALE, Mantissa, Numeric};
use crate::error::Result;
use crate::types::complaint::division_by_zero;

/// The least number of significant digits of a quotient, root or logarithm.
pub(super) const MIN_SIGNIFICANT: i32 = 16;
/// The most digits after the point that a rule about significant digits asks for.
pub(super) const MOST_SHOWN: i32 = 1000;
/// Places that round and trunc can name.
const MOST_PLACES: i32 = 2000;

impl Numeric {
    /// Shows the digits of the operand that shows more.
    pub fn plus(&self, other: &Self) -> Result<Self> {
        use Numeric::{Finite as F, Infinity, NaN, NegativeInfinity};
        Ok(match (self, other) {
            (F(a), F(b)) => return a.combined(b, Mantissa::plus),
            (NaN, _) | (_, NaN) | (Infinity, NegativeInfinity) | (NegativeInfinity, Infinity) => NaN,
            (F(_), special) | (special, _) => special.clone(),
        })
    }

    pub fn minus(&self, other: &Self) -> Result<Self> {
        match (self, other) {
            (Self::Finite(a), Self::Finite(b)) => a.combined(b, Mantissa::minus),
            _ => self.plus(&other.negated()),
        }
    }

    pub fn negated(&self) -> Self {
        match self {
            Self::Finite(f) => Self::Finite(Finite { mantissa: f.mantissa.negated(), scale: f.scale }),
            Self::Infinity => Self::NegativeInfinity,
            Self::NegativeInfinity => Self::Infinity,
            Self::NaN => Self::NaN,
        }
    }

    pub fn magnitude(&self) -> Self {
        if self.signum() < 0 { self.negated() } else { self.clone() }
    }

    /// Shows the digits of both operands together, at most 16383.
    pub fn times(&self, other: &Self) -> Result<Self> {
        let (Self::Finite(a), Self::Finite(b)) = (self, other) else {
            if self.is_nan() || other.is_nan() {
                return Ok(Self::NaN);
            }
            return Ok(match self.signum() * other.signum() {
                0 => Self::NaN,
                1 => Self::Infinity,
                _ => Self::NegativeInfinity,
            });
        };
        let product = Finite { mantissa: a.mantissa.times(&b.mantissa), scale: a.scale + b.scale };
        let kept = if product.scale > MAX_SCALE { product.rounded(MAX_SCALE as i32) } else { product };
        kept.checked().map(Self::Finite)
    }

    /// At least 16 significant digits, and no fewer after the point than either operand shows. 22012 for zero.
    pub fn over(&self, other: &Self) -> Result<Self> {
        match self.special_quotient(other)? {
            Some(special) => Ok(special),
            None => match (self, other) {
                (Self::Finite(a), Self::Finite(b)) => a.over_at(b, quotient_scale(a, b) as u32),
                _ => Ok(Self::NaN),
            },
        }
    }

    /// The whole part of the quotient.
    pub fn over_whole(&self, other: &Self) -> Result<Self> {
        match self.special_quotient(other)? {
            Some(special) => Ok(special),
            None => match (self, other) {
                (Self::Finite(a), Self::Finite(b)) => {
                    let scale = a.scale.max(b.scale);
                    Self::of_mantissa(a.at_scale(scale).over(&b.at_scale(scale)), 0)
                }
                _ => Ok(Self::NaN),
            },
        }
    }

    /// Quotients of which an operand is not finite. 22012 for a divisor of zero.
    fn special_quotient(&self, other: &Self) -> Result<Option<Self>> {
        if self.is_nan() || other.is_nan() {
            return Ok(Some(Self::NaN));
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
        Ok(match (self, other) {
            (Self::Finite(_), Self::Finite(_)) => None,
            (Self::Finite(_), _) => Some(Self::of_i64(0)),
            (_, Self::Finite(_)) => Some(if self.signum() == other.signum() { Self::Infinity } else { Self::NegativeInfinity }),
            _ => Some(Self::NaN),
        })
    }

    /// What the whole quotient leaves, with the sign of the dividend. 22012 for zero.
    pub fn rest(&self, other: &Self) -> Result<Self> {
        if self.is_nan() || other.is_nan() {
            return Ok(Self::NaN);
        }
        match (self, other) {
            (Self::Finite(_), Self::Finite(b)) if b.mantissa.is_zero() => Err(division_by_zero()),
            (Self::Finite(a), Self::Finite(b)) => a.combined(b, Mantissa::rest),
            (Self::Finite(_), _) => Ok(self.clone()),
            _ if other.is_zero() => Err(division_by_zero()),
            _ => Ok(Self::NaN),
        }
    }

    /// Half away from zero; shows so many places, none for places before the point.
    pub fn round(&self, places: i32) -> Result<Self> {
        self.each(|f| f.rounded(places.clamp(-MOST_PLACES, MOST_PLACES)))
    }

    pub fn trunc(&self, places: i32) -> Result<Self> {
        self.each(|f| f.truncated(places.clamp(-MOST_PLACES, MOST_PLACES)))
    }

    pub fn ceil(&self) -> Result<Self> {
        self.each(|f| f.towards(Ordering::Greater))
    }

    pub fn floor(&self) -> Result<Self> {
        self.each(|f| f.towards(Ordering::Less))
    }

    pub fn trim_scale(&self) -> Result<Self> {
        self.each(|f| f.clone().trimmed())
    }

    /// The same value with so many digits shown; it must not need more.
    pub fn with_scale(self, scale: u32) -> Result<Self> {
        match &self {
            Self::Finite(f) if f.scale == scale => Ok(self),
            _ => self.each(|f| f.rounded(scale as i32)),
        }
    }

    fn each(&self, change: impl Fn(&Finite) -> Finite) -> Result<Self> {
        match self {
            Self::Finite(f) => change(f).checked().map(Self::Finite),
            special => Ok(special.clone()),
        }
    }

    pub fn sign(&self) -> Self {
        if self.is_nan() { Self::NaN } else { Self::of_i64(i64::from(self.signum())) }
    }

    /// The greatest common divisor, shown with the digits of the operand that shows more.
    pub fn gcd(&self, other: &Self) -> Result<Self> {
        let (Self::Finite(a), Self::Finite(b)) = (self, other) else {
            if self.is_nan() || other.is_nan() {
                return Ok(Self::NaN);
            }
            return Ok(Self::NaN);
        };
        let scale = a.scale.max(b.scale);
        let (mut x, mut y) = (a.at_scale(scale).magnitude(), b.at_scale(scale).magnitude());
        while !y.is_zero() {
            (x, y) = (y.clone(), x.rest(&y));
        }
        Self::of_mantissa(x, scale)
    }

    /// The least common multiple; zero where an operand is zero.
    pub fn lcm(&self, other: &Self) -> Result<Self> {
        let (Self::Finite(a), Self::Finite(b)) = (self, other) else { return Ok(Self::NaN) };
        let scale = a.scale.max(b.scale);
        if a.mantissa.is_zero() || b.mantissa.is_zero() {
            return Ok(Self::of_i128(0, scale));
        }
        match self.gcd(other)? {
            Self::Finite(divisor) => {
                let times = a.at_scale(scale).over(&divisor.mantissa);
                Self::of_mantissa(times.times(&b.at_scale(scale)).magnitude(), scale)
            }
            special => Ok(special),
        }
    }
}

impl Finite {
    fn combined(&self, other: &Self, operation: fn(&Mantissa, &Mantissa) -> Mantissa) -> Result<Numeric> {
        let scale = self.scale.max(other.scale);
        let mantissa = if self.scale == other.scale {
            operation(&self.mantissa, &other.mantissa)
        } else {
            operation(&self.at_scale(scale), &other.at_scale(scale))
        };
        Numeric::of_mantissa(mantissa, scale)
    }

    /// The quotient with so many digits after the point, rounded half away from zero; the divisor is not zero.
    pub(super) fn over_at(&self, other: &Self, scale: u32) -> Result<Numeric> {
        let shift = i64::from(scale) + i64::from(other.scale) - i64::from(self.scale);
        let (mut a, mut b) = (self.mantissa.clone(), other.mantissa.clone());
        match u32::try_from(shift) {
            Ok(more) => a = a.times_ten(more),
            Err(_) => b = b.times_ten(shift.unsigned_abs() as u32),
        }
        Numeric::of_mantissa(a.over_rounded(&b), scale)
    }

    /// To a whole number, in this direction.
    fn towards(&self, direction: Ordering) -> Self {
        let cut = self.truncated(0);
        let rest = !self.mantissa.rest(&Mantissa::Small(1).times_ten(self.scale)).is_zero();
        let step = match (direction, self.mantissa.signum()) {
            (Ordering::Greater, 1) if rest => 1,
            (Ordering::Less, -1) if rest => -1,
            _ => 0,
        };
        Self { mantissa: cut.mantissa.plus(&Mantissa::Small(step)), scale: 0 }
    }

    /// Weight and value of the first group of four digits, groups being counted from the point; of zero (0, 0).
    pub(super) fn first_group(&self) -> (i32, i64) {
        self.group(0)
    }

    /// The weight of the first group, and the value of the first groups up to `further` ones after it.
    pub(super) fn group(&self, further: u32) -> (i32, i64) {
        if self.mantissa.is_zero() {
            return (0, 0);
        }
        let exponent = self.exponent();
        let weight = exponent.div_euclid(4);
        let wanted = (exponent - weight * 4 + 1) as u32 + further * 4;
        let have = self.mantissa.digits();
        let magnitude = self.mantissa.magnitude();
        let leading = if have > wanted { magnitude.without_digits(have - wanted) } else { magnitude.times_ten(wanted - have) };
        (weight as i32, leading.small().and_then(|n| i64::try_from(n).ok()).unwrap_or(0))
    }
}

/// The digits after the point that PostgreSQL gives a quotient.
pub(super) fn quotient_scale(a: &Finite, b: &Finite) -> i32 {
    let ((weight1, first1), (weight2, first2)) = (a.first_group(), b.first_group());
    let weight = weight1 - weight2 - i32::from(first1 <= first2);
    (MIN_SIGNIFICANT - weight * 4).max(a.scale as i32).max(b.scale as i32).clamp(0, MOST_SHOWN)
}

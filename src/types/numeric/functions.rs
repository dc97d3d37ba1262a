//! Roots, powers, exponentials and logarithms: computed with whole numbers to more digits than are shown, then rounded.
//!
//! Digits after the point are PostgreSQL's: at least 16 significant ones, by its own estimates of a result's size.

use num_bigint::{BigInt, Sign};

use super::arithmetic::{MIN_SIGNIFICANT, MOST_SHOWN, quotient_scale};
use super::mantissa::{big_ten, rounded_quotient};
use super::{Finite, Mantissa, Numeric, overflow};
use crate::error::{Result, SqlError, SqlState};

/// Digits computed beyond those shown.
const GUARD: u32 = 20;
/// Above this, exponents of e overflow or underflow.
const MOST_EXPONENT: f64 = 6000.0;
const LOG10_E: f64 = std::f64::consts::LOG10_E;

fn complaint(code: SqlState, message: &str) -> SqlError {
    SqlError::new(code, message)
}

fn shown(scale: i32, least: impl IntoIterator<Item = u32>) -> u32 {
    let least = least.into_iter().fold(0, |a, b| a.max(b as i32));
    scale.max(least).clamp(0, MOST_SHOWN) as u32
}

impl Numeric {
    /// 2201F for a negative number.
    pub fn sqrt(&self) -> Result<Self> {
        let negative =
            || complaint(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, "cannot take square root of a negative number");
        match self {
            Self::Finite(f) if f.mantissa.signum() < 0 => Err(negative()),
            Self::NegativeInfinity => Err(negative()),
            Self::Finite(f) => {
                let weight = f.first_group().0;
                let root_weight = (weight + 1) * 4 / 2 - 1;
                f.sqrt_at(shown(MIN_SIGNIFICANT - root_weight, [f.scale]))
            }
            special => Ok(special.clone()),
        }
    }

    pub fn exp(&self) -> Result<Self> {
        match self {
            Self::Finite(f) => {
                let digits = (self.to_f64_or_large() * LOG10_E).clamp(-2000.0, 2000.0);
                f.exp_at(shown(MIN_SIGNIFICANT - digits as i32, [f.scale]))
            }
            Self::NegativeInfinity => Ok(Self::of_i64(0)),
            special => Ok(special.clone()),
        }
    }

    /// 2201E for what is not positive.
    pub fn ln(&self) -> Result<Self> {
        match self.positive()? {
            Some(f) => f.ln_at(shown(MIN_SIGNIFICANT - f.ln_weight(), [f.scale])),
            None => Ok(self.clone()),
        }
    }

    /// The logarithm to a base.
    pub fn log(&self, base: &Self) -> Result<Self> {
        if self.is_nan() || base.is_nan() {
            return Ok(Self::NaN);
        }
        let (base_finite, number) = (base.positive()?, self.positive()?);
        let (base, number) = match (base_finite, number) {
            (Some(base), Some(number)) => (base, number),
            (None, None) => return Ok(Self::NaN),
            (None, Some(_)) => return Ok(Self::of_i64(0)),
            (Some(_), None) => return Ok(Self::Infinity),
        };
        let (base_weight, weight) = (base.ln_weight(), number.ln_weight());
        let result_weight = weight - base_weight;
        let scale = shown(MIN_SIGNIFICANT - result_weight, [base.scale, number.scale]);
        let digits = |own: i32| (scale as i32 + result_weight - own + 8).max(0) as u32 + GUARD;
        let (over, under) = (number.ln_at(digits(weight))?, base.ln_at(digits(base_weight))?);
        match (over, under) {
            (_, Self::Finite(under)) if under.mantissa.is_zero() => Err(super::super::complaint::division_by_zero()),
            (Self::Finite(over), Self::Finite(under)) => over.over_at(&under, scale),
            _ => Ok(Self::NaN),
        }
    }

    /// 2201F for zero to a negative power and for a negative number to one that is not whole.
    pub fn power(&self, exponent: &Self) -> Result<Self> {
        let one = Self::of_i64(1);
        if self.is_nan() || exponent.is_nan() {
            let defined = exponent.is_zero() || (!self.is_nan() && *self == one);
            return Ok(if defined { one } else { Self::NaN });
        }
        let undefined = |message| Err(complaint(SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
        if self.is_zero() && exponent.signum() < 0 {
            return undefined("zero raised to a negative power is undefined");
        }
        if self.signum() < 0 && exponent.whole().is_none() {
            return undefined("a negative number raised to a non-integer power yields a complex result");
        }
        match (self, exponent) {
            (Self::Finite(base), Self::Finite(exponent)) => base.power(exponent),
            _ => Ok(self.infinite_power(exponent)),
        }
    }

    fn infinite_power(&self, exponent: &Self) -> Self {
        let one = Self::of_i64(1);
        if *self == one || exponent.is_zero() {
            return one;
        }
        if matches!(exponent, Self::Finite(_)) {
            // The base is infinite.
            let odd = exponent.whole().is_some_and(|n| n % 2u32 != BigInt::from(0));
            return match (exponent.signum(), self.signum(), odd) {
                (-1, ..) => Self::of_i64(0),
                (_, -1, true) => Self::NegativeInfinity,
                _ => Self::Infinity,
            };
        }
        match (self.magnitude().cmp(&one), exponent.signum()) {
            (std::cmp::Ordering::Equal, _) => one,
            (std::cmp::Ordering::Greater, 1) | (std::cmp::Ordering::Less, -1) => Self::Infinity,
            _ => Self::of_i64(0),
        }
    }

    /// The value where it is whole; an infinity counts as an even number.
    fn whole(&self) -> Option<BigInt> {
        match self {
            Self::Finite(f) => f.whole(),
            _ => Some(BigInt::from(0)),
        }
    }

    /// `None` for infinity and NaN. 2201E for what is not positive.
    fn positive(&self) -> Result<Option<&Finite>> {
        let message = match self.signum() {
            0 => "cannot take logarithm of zero",
            -1 => "cannot take logarithm of a negative number",
            _ => return Ok(if let Self::Finite(f) = self { Some(f) } else { None }),
        };
        Err(complaint(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, message))
    }

    fn to_f64_or_large(&self) -> f64 {
        self.to_f64().unwrap_or_else(|_| match self {
            Self::Finite(f) if f.exponent() < 0 => 0.0,
            _ => f64::MAX * f64::from(self.signum()),
        })
    }

    /// Variance, or its root, of `count` values from their sum and the sum of their squares; `None` where there are too
    /// few. Neither sum is of what is not finite.
    pub fn spread(count: i64, sum: &Self, squares: &Self, sample: bool, root: bool) -> Result<Option<Self>> {
        if count < if sample { 2 } else { 1 } {
            return Ok(None);
        }
        let n = Self::of_i64(count);
        let difference = n.times(squares)?.minus(&sum.times(sum)?)?;
        if difference.signum() <= 0 {
            return Ok(Some(Self::of_i64(0)));
        }
        let divisor = n.times(&Self::of_i64(if sample { count - 1 } else { count }))?;
        let (Self::Finite(difference), Self::Finite(divisor)) = (&difference, &divisor) else { return Ok(Some(Self::NaN)) };
        let scale = quotient_scale(difference, divisor) as u32;
        match difference.over_at(divisor, scale)? {
            Self::Finite(variance) if root => variance.sqrt_at(scale).map(Some),
            variance => Ok(Some(variance)),
        }
    }
}

impl Finite {
    /// The value times `10^digits`, cut.
    fn fixed(&self, digits: u32) -> BigInt {
        if digits >= self.scale { self.at_scale(digits).big() } else { self.mantissa.without_digits(self.scale - digits).big() }
    }

    fn whole(&self) -> Option<BigInt> {
        let trimmed = self.clone().trimmed();
        (trimmed.scale == 0).then(|| trimmed.mantissa.big())
    }

    fn sqrt_at(&self, scale: u32) -> Result<Numeric> {
        let doubled = (2 * scale).saturating_sub(self.scale);
        let square = self.mantissa.clone().times_ten(doubled).big();
        let down = square.sqrt();
        let root = if square > &down * &down + &down { down + 1 } else { down };
        Numeric::of_mantissa(root.into(), scale)
    }

    fn exp_at(&self, scale: u32) -> Result<Numeric> {
        let value = Numeric::Finite(self.clone()).to_f64_or_large();
        if value.abs() >= MOST_EXPONENT {
            return if value > 0.0 { Err(overflow()) } else { Ok(Numeric::of_i128(0, scale)) };
        }
        let weight = (value * LOG10_E).ceil().max(0.0) as u32;
        // Halved until small, squared as often: each squaring doubles the error.
        let halvings = (value.abs().log2().ceil().max(0.0) as u32) + 8;
        let digits = scale + weight + halvings / 3 + GUARD;
        let reduced = self.fixed(digits + halvings) >> halvings;
        let reduced = reduced / big_ten(halvings);
        let unit = big_ten(digits);
        let (mut sum, mut term, mut n) = (unit.clone(), unit.clone(), 1u32);
        loop {
            term = &term * &reduced / &unit / n;
            if term.sign() == Sign::NoSign {
                break;
            }
            sum += &term;
            n += 1;
        }
        for _ in 0..halvings {
            sum = &sum * &sum / &unit;
        }
        Numeric::of_mantissa(rounded_quotient(&sum, &big_ten(digits - scale)).into(), scale)
    }

    fn ln_at(&self, scale: u32) -> Result<Numeric> {
        let digits = scale + GUARD;
        let logarithm = self.ln_fixed(digits);
        Numeric::of_mantissa(rounded_quotient(&logarithm, &big_ten(digits - scale)).into(), scale)
    }

    /// The natural logarithm of a positive value times `10^digits`, but for the last few digits.
    fn ln_fixed(&self, digits: u32) -> BigInt {
        // value = y × 2^k with y between 0.7 and 1.5; small values need as many more digits as they have zeros.
        let small = (-self.exponent()).max(0) as u32;
        let exact = self.fixed((digits + small).max(self.scale.min(digits + small)));
        let unit = big_ten(digits + small);
        let k = exact.bits() as i64 - unit.bits() as i64;
        let scaled = |power: u32| big_ten(power);
        let y = if k >= 0 { (&exact * scaled(digits) / &unit) >> k } else { ((&exact << -k) * scaled(digits)) / &unit };
        let one = big_ten(digits);
        let (y, k) = if &y * 2 > &one * 3 { (y >> 1, k + 1) } else { (y, k) };
        let z = (&y - &one) * &one / (&y + &one);
        let mut logarithm = twice_artanh(&z, &one);
        if k != 0 {
            // ln 2 is twice the artanh of 1/3.
            logarithm += twice_artanh(&(&one / 3), &one) * k;
        }
        logarithm
    }

    /// About how many digits the logarithm has before the point, by PostgreSQL's estimate.
    fn ln_weight(&self) -> i32 {
        let number = Numeric::Finite(self.clone());
        let tenths = |n: i128| Numeric::of_i128(n, 1);
        if number >= tenths(9) && number <= tenths(11) {
            return match number.minus(&Numeric::of_i64(1)) {
                Ok(Numeric::Finite(rest)) if !rest.mantissa.is_zero() => {
                    let (weight, first) = rest.first_group();
                    weight * 4 + (first as f64).log10() as i32
                }
                _ => 0,
            };
        }
        if self.mantissa.is_zero() {
            return 0;
        }
        let (weight, digits) = self.group(1);
        let logarithm = (digits as f64).ln() + f64::from((weight - 1) * 4) * std::f64::consts::LN_10;
        logarithm.abs().log10() as i32
    }

    fn power(&self, exponent: &Self) -> Result<Numeric> {
        let whole = exponent.whole();
        if let Some(n) = whole.as_ref().and_then(|n| i32::try_from(n).ok()) {
            return self.whole_power(n, shown(MIN_SIGNIFICANT, [self.scale]));
        }
        if self.mantissa.is_zero() {
            return Ok(Numeric::of_i128(0, MIN_SIGNIFICANT as u32));
        }
        let negative = self.mantissa.signum() < 0 && whole.is_some_and(|n| n % 2u32 != BigInt::from(0));
        let base = Self { mantissa: self.mantissa.magnitude(), scale: self.scale };
        let weight = base.ln_weight();
        // As rough as PostgreSQL's own estimate: the result's digits depend on it.
        let local = (8 - weight).max(0);
        let rough = base.ln_at(local as u32)?.times(&Numeric::Finite(exponent.clone()))?.round(local)?.to_f64_or_large();
        if rough.abs() > 6020.0 {
            return if rough > 0.0 { Err(overflow()) } else { Ok(Numeric::of_i128(0, MOST_SHOWN as u32)) };
        }
        let digits = (rough * LOG10_E) as i32;
        let scale = shown(MIN_SIGNIFICANT - digits, [self.scale, exponent.scale]);
        let local = (scale as i32 + digits - weight + 8).max(0) as u32 + GUARD;
        let power = match base.ln_at(local)?.times(&Numeric::Finite(exponent.clone()))? {
            Numeric::Finite(power) => power.exp_at(scale)?,
            special => special,
        };
        Ok(if negative { power.negated() } else { power })
    }

    /// By squaring, with as many digits kept as the result shows and some more.
    fn whole_power(&self, exponent: i32, scale: u32) -> Result<Numeric> {
        let number = Numeric::Finite(self.clone());
        match exponent {
            0 => return Numeric::of_i64(1).round(scale as i32),
            1 => return number.round(scale as i32),
            2 => return number.times(&number)?.round(scale as i32),
            _ => {}
        }
        if self.mantissa.is_zero() {
            return Ok(Numeric::of_i128(0, scale));
        }
        let (weight, first) = self.group(2);
        let digits = f64::from(exponent) * ((first as f64).log10() + f64::from((weight - 2) * 4));
        if digits > 131_072.0 {
            return Err(overflow());
        }
        if digits + 1.0 < -f64::from(scale) || digits + 1.0 < -f64::from(MOST_SHOWN) {
            return Ok(Numeric::of_i128(0, scale));
        }
        let kept = scale + digits.abs() as u32 + GUARD + 12;
        let power = Scientific { mantissa: self.mantissa.big(), exponent: -i64::from(self.scale) };
        let power = power.raised(exponent.unsigned_abs(), kept);
        let shift = i64::from(scale) + if exponent < 0 { -power.exponent } else { power.exponent };
        let mantissa = match (exponent < 0, u32::try_from(shift)) {
            (false, Ok(shift)) => power.mantissa * big_ten(shift),
            (false, Err(_)) => rounded_quotient(&power.mantissa, &big_ten(shift.unsigned_abs() as u32)),
            (true, Ok(shift)) => rounded_quotient(&big_ten(shift), &power.mantissa),
            (true, Err(_)) => BigInt::from(0),
        };
        Numeric::of_mantissa(Mantissa::from(mantissa), scale)
    }
}

/// Twice the inverse hyperbolic tangent of `z`, both times `unit`.
fn twice_artanh(z: &BigInt, unit: &BigInt) -> BigInt {
    let square = z * z / unit;
    let (mut power, mut sum, mut n) = (z.clone(), z.clone(), 3u32);
    loop {
        power = &power * &square / unit;
        let term = &power / n;
        if term.sign() == Sign::NoSign {
            return sum * 2;
        }
        sum += term;
        n += 2;
    }
}

/// A number with a limited count of digits.
struct Scientific {
    mantissa: BigInt,
    exponent: i64,
}

impl Scientific {
    fn times(&self, other: &Self, kept: u32) -> Self {
        let product = Mantissa::from(&self.mantissa * &other.mantissa);
        let drop = product.digits().saturating_sub(kept);
        let exponent = self.exponent + other.exponent + i64::from(drop);
        Self { mantissa: product.divided_by_ten(drop).big(), exponent }
    }

    fn raised(self, mut power: u32, kept: u32) -> Self {
        let mut result = Self { mantissa: BigInt::from(1), exponent: 0 };
        let mut square = self;
        while power > 0 {
            if power & 1 == 1 {
                result = result.times(&square, kept);
            }
            power >>= 1;
            if power > 0 {
                square = square.times(&square, kept);
            }
        }
        result
    }
}

//! Variance and standard deviation: exact for whole numbers and numerics, whose results are numerics; for floats
//! DataFusion's own.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, TypeSignature, Volatility,
};
use num_bigint::{BigInt, Sign};

use super::ambient::external;
use super::arithmetic::quotient_scale;
use crate::error::{SqlError, SqlState};
use crate::plan::casts::COMPUTED_SCALE;
use crate::types::PgType;
use crate::types::complaint::out_of_range;

type Result<T> = datafusion::common::Result<T>;

pub fn functions() -> Vec<Arc<AggregateUDF>> {
    let own = |name, aliases: &[&str], root, sample| {
        let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
        let aliases = aliases.iter().map(|a| (*a).to_owned()).collect();
        Arc::new(AggregateUDF::new_from_impl(Spread { name, aliases, root, sample, signature }))
    };
    vec![
        own("stddev", &["stddev_samp"], true, true),
        own("stddev_pop", &[], true, false),
        own("var", &["variance", "var_samp", "var_sample"], false, true),
        own("var_pop", &["var_population"], false, false),
    ]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Spread {
    name: &'static str,
    aliases: Vec<String>,
    root: bool,
    sample: bool,
    signature: Signature,
}

impl Spread {
    fn of_floats(&self, argument: Option<&DataType>) -> Option<Arc<AggregateUDF>> {
        matches!(argument, Some(DataType::Float64)).then(|| match (self.root, self.sample) {
            (true, true) => stddev_udaf(),
            (true, false) => stddev_pop_udaf(),
            (false, true) => var_samp_udaf(),
            (false, false) => var_pop_udaf(),
        })
    }

    fn of_args(&self, args: &AccumulatorArgs) -> Option<Arc<AggregateUDF>> {
        self.of_floats(args.expr_fields.first().map(|f| f.data_type()))
    }
}

impl AggregateUDFImpl for Spread {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{Decimal128, Float32, Float64, Int16, Int32, Int64, Null};
        match types {
            [Int16 | Int32 | Int64] => Ok(vec![Decimal128(20, 0)]),
            [decimal @ Decimal128(..)] => Ok(vec![decimal.clone()]),
            [Float32 | Float64 | Null] => Ok(vec![Float64]),
            _ => {
                let types: Vec<String> = types.iter().map(|t| PgType::of_arrow(t).sql_name()).collect();
                let message = format!("function {}({}) does not exist", self.name, types.join(", "));
                Err(external(
                    SqlError::new(SqlState::UNDEFINED_FUNCTION, message).hint(
                        "No function matches the given name and argument types. You might need to add explicit type casts.",
                    ),
                ))
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(DataType::Decimal128(..)) => Ok(DataType::Decimal128(38, COMPUTED_SCALE)),
            _ => Ok(DataType::Float64),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if let Some(floats) = self.of_args(&args) {
            return floats.accumulator(args);
        }
        if args.is_distinct {
            let message = format!("{}(DISTINCT …) is not supported here", self.name);
            return Err(external(SqlError::unsupported(message, "Select the distinct rows in a subquery.")));
        }
        let scale = match args.expr_fields.first().map(|f| f.data_type()) {
            Some(DataType::Decimal128(_, scale)) => *scale,
            _ => return Err(external(SqlError::internal("a spread of what are no numbers"))),
        };
        let zero = || BigInt::from(0);
        Ok(Box::new(Exact { root: self.root, sample: self.sample, scale, count: 0, sum: zero(), squares: zero() }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if let Some(floats) = self.of_floats(args.input_fields.first().map(|f| f.data_type())) {
            return floats.state_fields(args);
        }
        let field = |name: &str, ty| Arc::new(Field::new(format!("{}[{name}]", args.name), ty, true));
        Ok(vec![field("count", DataType::Int64), field("sum", DataType::Binary), field("squares", DataType::Binary)])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.of_args(&args).is_some_and(|floats| floats.groups_accumulator_supported(args))
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match self.of_args(&args) {
            Some(floats) => floats.create_groups_accumulator(args),
            None => Err(external(SqlError::internal("an aggregate without groups"))),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// Sums of mantissas and of their squares.
#[derive(Debug)]
struct Exact {
    root: bool,
    sample: bool,
    scale: i8,
    count: i64,
    sum: BigInt,
    squares: BigInt,
}

impl Exact {
    fn add(&mut self, values: &ArrayRef, sign: i64) {
        for value in values.as_primitive::<Decimal128Type>().iter().flatten() {
            let value = BigInt::from(value);
            self.squares += &value * &value * sign;
            self.sum += value * sign;
            self.count += sign;
        }
    }

    fn result(&self) -> Option<i128> {
        let least = if self.sample { 2 } else { 1 };
        if self.count < least {
            return None;
        }
        let n = BigInt::from(self.count);
        let numerator = &n * &self.squares - &self.sum * &self.sum;
        let divisor = self.count * if self.sample { self.count - 1 } else { self.count };
        if numerator.sign() != Sign::Plus {
            return Some(0);
        }
        let scale = i32::from(self.scale) * 2;
        // As many digits as a quotient of these two has.
        let digits = quotient_scale(leading(&numerator, scale)?, (i128::from(divisor), 0)).min(1000);
        let divided = divide(&(numerator * ten(digits)), &(BigInt::from(divisor) * ten(scale)));
        let shown = if self.root { root(&(divided * ten(digits))) } else { divided };
        let wanted = i32::from(COMPUTED_SCALE);
        let at_scale = if digits <= wanted { shown * ten(wanted - digits) } else { divide(&shown, &ten(digits - wanted)) };
        i128::try_from(at_scale).ok().filter(|v| v.unsigned_abs() < 10u128.pow(38))
    }
}

/// The first 37 digits and the scale they are at: enough to see how large a number is.
fn leading(number: &BigInt, scale: i32) -> Option<(i128, i32)> {
    let digits = number.to_string();
    let cut = digits.len().saturating_sub(37);
    let head = digits.get(..digits.len() - cut)?.parse().ok()?;
    Some((head, scale - cut as i32))
}

fn ten(exponent: i32) -> BigInt {
    BigInt::from(10).pow(exponent.max(0).unsigned_abs())
}

/// Rounded half away from zero; both are positive.
fn divide(a: &BigInt, b: &BigInt) -> BigInt {
    (a * 2 + b) / (b * 2)
}

/// The square root, rounded to the nearest.
fn root(square: &BigInt) -> BigInt {
    let down = square.sqrt();
    let half = &down * &down + &down;
    if *square > half { down + 1 } else { down }
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], 1);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], -1);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[0].as_primitive::<Int64Type>();
        let (sums, squares) = (states[1].as_binary::<i32>(), states[2].as_binary::<i32>());
        for row in (0..counts.len()).filter(|row| counts.is_valid(*row)) {
            self.count += counts.value(row);
            self.sum += BigInt::from_signed_bytes_be(sums.value(row));
            self.squares += BigInt::from_signed_bytes_be(squares.value(row));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Int64(Some(self.count)),
            ScalarValue::Binary(Some(self.sum.to_signed_bytes_be())),
            ScalarValue::Binary(Some(self.squares.to_signed_bytes_be())),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let least = if self.sample { 2 } else { 1 };
        let value = self.result();
        if value.is_none() && self.count >= least {
            return Err(external(out_of_range("numeric")));
        }
        Ok(ScalarValue::Decimal128(value, 38, COMPUTED_SCALE))
    }

    fn size(&self) -> usize {
        size_of_val(self) + 64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::Decimal128Array;

    use super::*;

    fn spread(values: &[i128], scale: i8, root: bool, sample: bool) -> String {
        let zero = || BigInt::from(0);
        let mut exact = Exact { root, sample, scale, count: 0, sum: zero(), squares: zero() };
        let array: ArrayRef = Arc::new(values.iter().map(|v| Some(*v)).collect::<Decimal128Array>());
        exact.add(&array, 1);
        let mut out = String::new();
        crate::types::number::write_numeric(&mut out, exact.result().unwrap(), COMPUTED_SCALE, true);
        out
    }

    #[test]
    fn spreads_have_postgresqls_digits() {
        assert_eq!(spread(&[1, 2, 4], 0, false, true), "2.3333333333333333");
        assert_eq!(spread(&[1, 2, 4], 0, true, true), "1.5275252316519467");
        assert_eq!(spread(&[1, 2, 4], 0, false, false), "1.5555555555555556");
        assert_eq!(spread(&[1, 2, 4], 0, true, false), "1.2472191289246471");
        assert_eq!(spread(&[150, 225, 400], 2, true, true), "1.282900359861721");
        assert_eq!(spread(&[5, 5], 0, true, true), "0");
    }
}

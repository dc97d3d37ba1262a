//! Variance and standard deviation: exact for whole numbers and numerics, whose results are numerics; for floats
//! DataFusion's own.

use std::hash::Hash;
use std::sync::Arc;

use super::ambient::external;
use crate::error::{SqlError, SqlState};
use crate::types::PgType;
use crate::types::numeric::Numeric;
use crate::types::numeric::column::{ARROW, Numbers, is_numeric, scalar};
use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, TypeSignature, Volatility,
};

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
            [numeric @ (Decimal128(..) | DataType::LargeBinary)] => Ok(vec![numeric.clone()]),
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
            Some(numeric) if is_numeric(numeric) => Ok(ARROW),
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
        Ok(Box::new(Exact::new(self.root, self.sample)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if let Some(floats) = self.of_floats(args.input_fields.first().map(|f| f.data_type())) {
            return floats.state_fields(args);
        }
        let field = |name: &str, ty| Arc::new(Field::new(format!("{}[{name}]", args.name), ty, true));
        Ok(vec![field("count", DataType::Int64), field("sum", ARROW), field("squares", ARROW)])
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

/// Sums of values and of their squares; one that is not finite makes the result NaN.
#[derive(Debug)]
struct Exact {
    root: bool,
    sample: bool,
    count: i64,
    infinite: i64,
    sum: Numeric,
    squares: Numeric,
}

impl Exact {
    fn new(root: bool, sample: bool) -> Self {
        let zero = || Numeric::of_i64(0);
        Self { root, sample, count: 0, infinite: 0, sum: zero(), squares: zero() }
    }

    fn add(&mut self, values: &ArrayRef, sign: i64) -> crate::error::Result<()> {
        for value in Numbers::new(values)?.iter().flatten() {
            self.count += sign;
            if value.scale().is_none() {
                self.infinite += sign;
                continue;
            }
            let combine = if sign > 0 { Numeric::plus } else { Numeric::minus };
            self.squares = combine(&self.squares, &value.times(&value)?)?;
            self.sum = combine(&self.sum, &value)?;
        }
        Ok(())
    }

    fn result(&self) -> crate::error::Result<Option<Numeric>> {
        if self.infinite > 0 {
            return Ok((self.count > i64::from(self.sample)).then_some(Numeric::NaN));
        }
        Numeric::spread(self.count, &self.sum, &self.squares, self.sample, self.root)
    }
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], 1).map_err(external)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], -1).map_err(external)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[0].as_primitive::<Int64Type>();
        let (sums, squares) = (Numbers::new(&states[1]).map_err(external)?, Numbers::new(&states[2]).map_err(external)?);
        for (count, (sum, squared)) in counts.iter().flatten().zip(sums.iter().flatten().zip(squares.iter().flatten())) {
            self.count += count;
            if sum.scale().is_none() {
                self.infinite += 1;
                continue;
            }
            self.sum = self.sum.plus(&sum).map_err(external)?;
            self.squares = self.squares.plus(&squared).map_err(external)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = if self.infinite > 0 { &Numeric::NaN } else { &self.sum };
        Ok(vec![ScalarValue::Int64(Some(self.count)), scalar(Some(sum)), scalar(Some(&self.squares))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(scalar(self.result().map_err(external)?.as_ref()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::numeric::column::collect;

    fn spread(values: &[&str], root: bool, sample: bool) -> String {
        let mut exact = Exact::new(root, sample);
        exact.add(&collect(values.iter().map(|v| Numeric::parse(v).map(Some))).unwrap(), 1).unwrap();
        exact.result().unwrap().unwrap().to_string()
    }

    #[test]
    fn spreads_have_postgresqls_digits() {
        assert_eq!(spread(&["1", "2", "4"], false, true), "2.3333333333333333");
        assert_eq!(spread(&["1", "2", "4"], true, true), "1.5275252316519467");
        assert_eq!(spread(&["1", "2", "4"], false, false), "1.5555555555555556");
        assert_eq!(spread(&["1", "2", "4"], true, false), "1.2472191289246471");
        assert_eq!(spread(&["1.50", "2.25", "4.00"], true, true), "1.2829003598617210");
        assert_eq!(spread(&["5", "5"], true, true), "0");
        assert_eq!(spread(&["5", "NaN"], true, true), "NaN");
    }
}

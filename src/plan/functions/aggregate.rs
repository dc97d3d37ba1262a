//! Aggregates whose result differs in PostgreSQL: sums and averages by the kind of number, and the JSON ones.
//!
//! `DISTINCT` inside them works where the optimiser makes a GROUP BY of it; elsewhere it is refused.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::bool_and_or::bool_and_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, TypeSignature, Volatility,
};

use super::ambient::external;
use super::jsonb::JsonColumn;
use super::numeric_sum::{self, AverageDecimals, MOST_DIGITS, SumNumeric};
use super::temporal::{out_of_range, scale_interval};
use super::widened::Widened;
use super::{ordered_set, spread};
use crate::error::{SqlError, SqlState};
use crate::types::encode::Column;
use crate::types::numeric::column::{ARROW, is_numeric};
use crate::types::{PgType, TypeName, Zone, json};

type Result<T> = datafusion::common::Result<T>;

/// Our aggregates.
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    let own = |aggregate: Aggregate| {
        let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
        Arc::new(AggregateUDF::new_from_impl(Own { aggregate, signature }))
    };
    let every = bool_and_udaf().as_ref().clone().with_aliases(["every"]);
    let mut all = vec![
        own(Aggregate::Sum),
        own(Aggregate::Average),
        own(Aggregate::Array { jsonb: true }),
        own(Aggregate::Array { jsonb: false }),
        own(Aggregate::Object { jsonb: true }),
        own(Aggregate::Object { jsonb: false }),
        Arc::new(every),
    ];
    all.extend(spread::functions());
    all.extend(ordered_set::functions());
    all
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Aggregate {
    /// Of smallint and integer bigint, of bigint numeric.
    Sum,
    /// Of whole numbers and numerics numeric.
    Average,
    Array {
        jsonb: bool,
    },
    Object {
        jsonb: bool,
    },
}

#[derive(Debug)]
struct Own {
    aggregate: Aggregate,
    signature: Signature,
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.aggregate == other.aggregate
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.aggregate.hash(state);
    }
}

impl Own {
    /// DataFusion's aggregate that does the work for arguments of this type.
    fn inner(&self, argument: &DataType) -> Option<Arc<AggregateUDF>> {
        match (self.aggregate, argument) {
            (Aggregate::Sum, DataType::Float32 | DataType::LargeBinary) => None,
            (Aggregate::Sum, DataType::Decimal128(precision, _)) if *precision > MOST_DIGITS => None,
            (Aggregate::Sum, _) => Some(sum_udaf()),
            (Aggregate::Average, DataType::Float64) => Some(avg_udaf()),
            _ => None,
        }
    }

    /// What whole numbers are brought to before they are added up.
    fn widens_to(&self, argument: &DataType) -> Option<DataType> {
        match (self.aggregate, argument) {
            (Aggregate::Sum, DataType::Int16 | DataType::Int32) => Some(DataType::Int64),
            (Aggregate::Sum, DataType::Int64) => Some(DataType::Decimal128(38, 0)),
            _ => None,
        }
    }

    fn widening_of(&self, args: &AccumulatorArgs) -> Option<DataType> {
        args.expr_fields.first().and_then(|f| self.widens_to(f.data_type()))
    }

    fn inner_of(&self, args: &AccumulatorArgs) -> Option<Arc<AggregateUDF>> {
        args.expr_fields.first().and_then(|f| self.inner(f.data_type()))
    }

    /// The scale of the decimals whose average this is, where they have room to be added up.
    fn averages_decimals(&self, args: &AccumulatorArgs) -> Option<i8> {
        match (self.aggregate, args.expr_fields.first()?.data_type()) {
            (Aggregate::Average, DataType::Decimal128(precision, scale)) if *precision <= MOST_DIGITS => Some(*scale),
            _ => None,
        }
    }

    fn undefined(&self, types: &[DataType]) -> SqlError {
        let types: Vec<String> = types.iter().map(|t| PgType::of_arrow(t).sql_name()).collect();
        SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {}({}) does not exist", self.name(), types.join(", ")))
            .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
    }
}

impl AggregateUDFImpl for Own {
    fn name(&self) -> &str {
        match self.aggregate {
            Aggregate::Sum => "sum",
            Aggregate::Average => "avg",
            Aggregate::Array { jsonb: true } => "jsonb_agg",
            Aggregate::Array { jsonb: false } => "json_agg",
            Aggregate::Object { jsonb: true } => "jsonb_object_agg",
            Aggregate::Object { jsonb: false } => "json_object_agg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::{Decimal128, Float32, Float64, Int16, Int32, Int64, Interval, Null};
        let coerced = match (self.aggregate, types) {
            (Aggregate::Sum, [whole @ (Int16 | Int32 | Int64)]) => vec![whole.clone()],
            (Aggregate::Sum, [DataType::UInt64]) => vec![Int64],
            (Aggregate::Average, [Int16 | Int32 | Int64 | DataType::UInt64]) => vec![Decimal128(20, 0)],
            (Aggregate::Sum | Aggregate::Average, [numeric @ (Decimal128(..) | DataType::LargeBinary)]) => vec![numeric.clone()],
            (Aggregate::Sum, [Float32]) => vec![Float32],
            (Aggregate::Sum | Aggregate::Average, [Float32 | Float64 | Null]) => vec![Float64],
            (Aggregate::Sum | Aggregate::Average, [span @ Interval(_)]) => vec![span.clone()],
            (Aggregate::Array { .. }, [any]) => vec![any.clone()],
            (Aggregate::Object { .. }, [name, value]) => vec![name.clone(), value.clone()],
            _ => return Err(external(self.undefined(types))),
        };
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.aggregate, types.first()) {
            (Aggregate::Array { .. } | Aggregate::Object { .. }, _) => Ok(DataType::Utf8),
            (Aggregate::Average, Some(numeric)) if is_numeric(numeric) => Ok(ARROW),
            (Aggregate::Sum, Some(numeric)) if is_numeric(numeric) && self.inner(numeric).is_none() => Ok(ARROW),
            (Aggregate::Average, Some(span @ DataType::Interval(_))) => Ok(span.clone()),
            (Aggregate::Sum, Some(DataType::Float32)) => Ok(DataType::Float32),
            (Aggregate::Sum, Some(argument)) => match self.widens_to(argument) {
                Some(to) => Ok(to),
                None => sum_udaf().return_type(types),
            },
            (_, Some(argument)) => match self.inner(argument) {
                Some(inner) => inner.return_type(types),
                None => Err(external(self.undefined(types))),
            },
            _ => Err(external(self.undefined(types))),
        }
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let jsonb = match self.aggregate {
            Aggregate::Array { jsonb } | Aggregate::Object { jsonb } => jsonb,
            _ => {
                let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
                return Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)));
            }
        };
        let ty = if jsonb { PgType::JSONB } else { PgType::new(TypeName::Json) };
        Ok(Arc::new(ty.field(self.name(), true)))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if let Some(inner) = self.inner_of(&args) {
            let widening = self.widening_of(&args);
            let accumulator = inner.accumulator(args)?;
            return Ok(match widening {
                Some(to) => Widened::new(accumulator, to),
                None => accumulator,
            });
        }
        if args.is_distinct {
            let message = format!("DISTINCT in {} is not supported here", self.name());
            return Err(external(SqlError::unsupported(message, "Select the distinct rows in a subquery.")));
        }
        let types: Vec<PgType> = args.expr_fields.iter().map(|f| PgType::of_field(f)).collect();
        Ok(match (self.aggregate, args.expr_fields.first().map(|f| f.data_type())) {
            (Aggregate::Average, Some(DataType::Interval(_))) => Box::new(AverageInterval::default()),
            (Aggregate::Sum, Some(DataType::Float32)) => Box::new(SumReal::default()),
            (Aggregate::Average, Some(DataType::Decimal128(precision, scale))) if *precision <= MOST_DIGITS => {
                Box::new(AverageDecimals::new(*scale))
            }
            (average, Some(numeric)) if is_numeric(numeric) => Box::new(SumNumeric::new(average == Aggregate::Average)),
            (Aggregate::Array { jsonb }, _) => Box::new(Pieces { types, jsonb, object: false, text: String::new(), any: false }),
            (Aggregate::Object { jsonb }, _) => Box::new(Pieces { types, jsonb, object: true, text: String::new(), any: false }),
            _ => return Err(external(SqlError::internal("an aggregate over a type it was not planned for"))),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let argument = args.input_fields.first().map(|f| f.data_type().clone()).unwrap_or(DataType::Null);
        if let Some(inner) = self.inner(&argument) {
            return inner.state_fields(args);
        }
        let field = |name: &str, ty: DataType| Arc::new(Field::new(format!("{}[{name}]", args.name), ty, true));
        Ok(match argument {
            span @ DataType::Interval(_) if self.aggregate == Aggregate::Average => {
                vec![field("sum", span), field("count", DataType::Int64)]
            }
            DataType::Decimal128(precision, scale) if self.aggregate == Aggregate::Average && precision <= MOST_DIGITS => {
                vec![field("sum", DataType::Decimal128(38, scale)), field("count", DataType::Int64)]
            }
            numeric if is_numeric(&numeric) => {
                let [sum, count] = numeric_sum::STATE;
                vec![field("sum", sum), field("count", count)]
            }
            DataType::Float32 if self.aggregate == Aggregate::Sum => vec![field("sum", DataType::Float64)],
            _ => vec![field("text", DataType::Utf8)],
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.inner_of(&args) {
            Some(inner) => inner.groups_accumulator_supported(args),
            None => self.averages_decimals(&args).is_some() && !args.is_distinct,
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let widening = self.widening_of(&args);
        match (self.inner_of(&args), widening) {
            (Some(inner), Some(to)) => Ok(Widened::new(inner.create_groups_accumulator(args)?, to)),
            (Some(inner), None) => inner.create_groups_accumulator(args),
            (None, _) => match self.averages_decimals(&args) {
                Some(scale) => Ok(Box::new(AverageDecimals::new(scale))),
                None => Err(external(SqlError::internal("an aggregate without groups"))),
            },
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let widening = self.widening_of(&args);
        match (self.inner_of(&args), widening) {
            (Some(inner), Some(to)) => Ok(Widened::new(inner.create_sliding_accumulator(args)?, to)),
            (Some(inner), None) => inner.create_sliding_accumulator(args),
            (None, _) => self.accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.aggregate {
            Aggregate::Sum | Aggregate::Average => ReversedUDAF::Identical,
            Aggregate::Array { .. } | Aggregate::Object { .. } => ReversedUDAF::NotSupported,
        }
    }
}

/// Reals added up in double precision and rounded at the end.
#[derive(Debug, Default)]
struct SumReal {
    sum: Option<f64>,
}

impl SumReal {
    fn add(&mut self, values: impl Iterator<Item = f64>) {
        for value in values {
            self.sum = Some(self.sum.unwrap_or(0.0) + value);
        }
    }
}

impl Accumulator for SumReal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values[0].as_primitive::<Float32Type>().iter().flatten().map(f64::from));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add(states[0].as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Float64(self.sum)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let narrow = self.sum.map(|sum| sum as f32);
        if narrow.is_some_and(f32::is_infinite) && self.sum.is_some_and(f64::is_finite) {
            return Err(external(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow")));
        }
        Ok(ScalarValue::Float32(narrow))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[derive(Debug, Default)]
struct AverageInterval {
    sum: IntervalMonthDayNano,
    count: i64,
}

impl AverageInterval {
    fn add(&mut self, spans: &ArrayRef) -> Result<()> {
        for span in spans.as_primitive::<IntervalMonthDayNanoType>().iter().flatten() {
            let sum = &mut self.sum;
            let parts = sum.months.checked_add(span.months).zip(sum.days.checked_add(span.days));
            let sums = parts.zip(sum.nanoseconds.checked_add(span.nanoseconds));
            let ((months, days), nanoseconds) = sums.ok_or_else(|| external(out_of_range("interval")))?;
            *sum = IntervalMonthDayNano { months, days, nanoseconds };
        }
        Ok(())
    }
}

impl Accumulator for AverageInterval {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count += (values[0].len() - values[0].null_count()) as i64;
        self.add(&values[0])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let counts = states[1].as_primitive::<datafusion::arrow::datatypes::Int64Type>();
        self.count += counts.iter().flatten().sum::<i64>();
        self.add(&states[0])
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::IntervalMonthDayNano(Some(self.sum)), ScalarValue::Int64(Some(self.count))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let average = scale_interval(self.sum, 1.0 / self.count as f64).map_err(external)?;
        Ok(ScalarValue::IntervalMonthDayNano(Some(average)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The inside of an array's or object's text as it grows.
#[derive(Debug)]
struct Pieces {
    types: Vec<PgType>,
    jsonb: bool,
    object: bool,
    text: String,
    any: bool,
}

impl Pieces {
    fn next(&mut self) {
        if self.any {
            self.text.push_str(", ");
        }
        self.any = true;
    }

    fn update(&mut self, values: &[ArrayRef]) -> crate::error::Result<()> {
        // Timestamps with a zone are written in UTC: an aggregate knows no session.
        let column = |i: usize| JsonColumn::new(self.types[i], &values[i], Zone::UTC, self.jsonb);
        if !self.object {
            let items = column(0)?;
            for row in 0..values[0].len() {
                self.next();
                items.write(row, &mut self.text);
            }
            return Ok(());
        }
        let (names, items) = (Column::new(self.types[0], &values[0], Zone::UTC)?, column(1)?);
        for row in 0..values[0].len() {
            if names.is_null(row) {
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "field name must not be null"));
            }
            self.next();
            let mut name = String::new();
            names.write_text(row, &mut name);
            json::write_string(&mut self.text, &name);
            self.text.push_str(" : ");
            items.write(row, &mut self.text);
        }
        Ok(())
    }
}

impl Accumulator for Pieces {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.update(values).map_err(external)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for text in states[0].as_string::<i32>().iter().flatten() {
            self.next();
            self.text.push_str(text);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Utf8(self.any.then(|| self.text.clone()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if !self.any {
            return Ok(ScalarValue::Utf8(None));
        }
        let text = if self.object { format!("{{ {} }}", self.text) } else { format!("[{}]", self.text) };
        let text = if self.jsonb { json::normalise(&text).map_err(external)? } else { text };
        Ok(ScalarValue::Utf8(Some(text)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.text.capacity()
    }
}

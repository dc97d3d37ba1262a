//! Aggregates of a sorted set: `mode` and `percentile_disc`. `forms` brings their WITHIN GROUP to plain arguments.
//!
//! Holds every value of its group in memory.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, TypeSignature, Volatility};

use super::ambient::external;
use super::order_key::order_keys;
use crate::error::{SqlError, SqlState};
use crate::plan::keys::key_part;
use crate::types::PgType;
use crate::versions::key::encode_part;

type Result<T> = datafusion::common::Result<T>;

pub const MODE: &str = "pg_mode";
/// `pg_percentile_disc(value, fraction)`.
pub const PERCENTILE: &str = "pg_percentile_disc";

pub fn functions() -> Vec<Arc<AggregateUDF>> {
    [MODE, PERCENTILE]
        .into_iter()
        .map(|name| {
            let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
            Arc::new(AggregateUDF::new_from_impl(OrderedSet { name, signature }))
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedSet {
    name: &'static str,
    signature: Signature,
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.name, types) {
            (MODE, [value]) => Ok(vec![value.clone()]),
            (PERCENTILE, [value, fraction]) if fraction.is_numeric() => Ok(vec![value.clone(), DataType::Float64]),
            _ => {
                let message = format!("function {} does not exist for these types", self.name.trim_start_matches("pg_"));
                Err(external(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)))
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| external(SqlError::internal("an aggregate of nothing")))
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let field = fields.first().ok_or_else(|| external(SqlError::internal("an aggregate of nothing")))?;
        Ok(Arc::new(field.as_ref().clone().with_name(self.name).with_nullable(true)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = args.input_fields.first().map(|f| f.data_type().clone()).unwrap_or(DataType::Null);
        let values = Field::new_list(format!("{}[values]", args.name), Field::new("item", item, true), true);
        let fraction = Field::new(format!("{}[fraction]", args.name), DataType::Float64, true);
        Ok(vec![Arc::new(values), Arc::new(fraction)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let field = args.expr_fields.first().ok_or_else(|| external(SqlError::internal("an aggregate of nothing")))?;
        Ok(Box::new(Values {
            mode: self.name == MODE,
            ty: PgType::of_field(field),
            data_type: field.data_type().clone(),
            batches: Vec::new(),
            fraction: None,
        }))
    }
}

#[derive(Debug)]
struct Values {
    mode: bool,
    ty: PgType,
    data_type: DataType,
    batches: Vec<ArrayRef>,
    fraction: Option<f64>,
}

impl Values {
    fn all(&self) -> Result<ArrayRef> {
        let arrays: Vec<&dyn Array> = self.batches.iter().map(|b| b.as_ref()).collect();
        if arrays.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(&self.data_type));
        }
        Ok(concat(&arrays)?)
    }

    /// Places of the values that are not NULL with their keys, in order.
    fn sorted(&self, values: &ArrayRef) -> crate::error::Result<Vec<(Vec<u8>, usize)>> {
        let keys = order_keys(values, self.ty)?;
        let key = |at: usize| {
            let mut bytes = Vec::new();
            encode_part(&key_part(&keys, at, self.ty)?, &mut bytes);
            Ok((bytes, at))
        };
        let mut sorted = (0..keys.len()).filter(|at| keys.is_valid(*at)).map(key).collect::<crate::error::Result<Vec<_>>>()?;
        sorted.sort();
        Ok(sorted)
    }
}

/// The place of the value that occurs most often, the first in order of those.
fn most_frequent(sorted: &[(Vec<u8>, usize)]) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    for run in sorted.chunk_by(|a, b| a.0 == b.0) {
        if best.is_none_or(|(count, _)| run.len() > count) {
            best = Some((run.len(), run.first()?.1));
        }
    }
    best.map(|(_, at)| at)
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.batches.push(Arc::clone(&values[0]));
        if let Some(fractions) = values.get(1).and_then(|f| f.as_primitive_opt::<Float64Type>())
            && fractions.len() > fractions.null_count()
        {
            self.fraction = fractions.iter().flatten().next();
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            self.batches.push(lists.value(row));
        }
        if let Some(fraction) = states[1].as_primitive::<Float64Type>().iter().flatten().next() {
            self.fraction = Some(fraction);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.all()?;
        let field = Arc::new(Field::new("item", self.data_type.clone(), true));
        let list = ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list)), ScalarValue::Float64(self.fraction)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.all()?;
        let sorted = self.sorted(&values).map_err(external)?;
        let place = if self.mode {
            most_frequent(&sorted)
        } else {
            let Some(fraction) = self.fraction else { return ScalarValue::try_from(&self.data_type) };
            if !(0.0..=1.0).contains(&fraction) {
                let message = format!("percentile value {fraction} is not between 0 and 1");
                return Err(external(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message)));
            }
            let row = (fraction * sorted.len() as f64).ceil() as usize;
            sorted.get(row.max(1) - 1).map(|(_, at)| *at)
        };
        match place {
            Some(at) => ScalarValue::try_from_array(&values, at),
            None => Ok(ScalarValue::try_from(&self.data_type)?),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.batches.iter().map(|b| b.get_array_memory_size()).sum::<usize>()
    }
}

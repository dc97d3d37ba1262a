//! `sum(DISTINCT x)` and `avg(DISTINCT x)` of numerics that show digits of their own: of values that are equal the first
//! counts, whatever digits it shows. Only `plan::ordering` puts them into plans.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::ambient::external;
use super::numeric_sum::SumNumeric;
use crate::types::numeric::Numeric;
use crate::types::numeric::column::{ARROW, Numbers, collect};

type Result<T> = datafusion::common::Result<T>;

/// The aggregate in place of `sum` or, for an average, `avg`.
pub fn distinct(average: bool) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Distinct { average, signature: Signature::any(1, Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Distinct {
    average: bool,
    signature: Signature,
}

impl AggregateUDFImpl for Distinct {
    fn name(&self) -> &str {
        if self.average { "pg_avg_distinct" } else { "pg_sum_distinct" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(ARROW)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new_list(format!("{}[values]", args.name), Field::new("item", ARROW, true), true))])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Seen { average: self.average, keys: HashSet::new(), values: Vec::new() }))
    }
}

#[derive(Debug)]
struct Seen {
    average: bool,
    keys: HashSet<Vec<u8>>,
    values: Vec<Numeric>,
}

impl Seen {
    fn all(&self) -> Result<ArrayRef> {
        collect(self.values.iter().map(|v| Ok(Some(v.clone())))).map_err(external)
    }
}

impl Accumulator for Seen {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in Numbers::new(&values[0]).map_err(external)?.iter().flatten() {
            let mut key = Vec::new();
            value.write_key(&mut key);
            if self.keys.insert(key) {
                self.values.push(value);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        (0..lists.len()).filter(|row| lists.is_valid(*row)).try_for_each(|row| self.update_batch(&[lists.value(row)]))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.all()?;
        let field = Arc::new(Field::new("item", ARROW, true));
        let list = ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut sum = SumNumeric::new(self.average);
        sum.update_batch(&[self.all()?])?;
        sum.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.len() * 128
    }
}

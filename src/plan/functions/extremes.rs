//! min and max of types whose order in PostgreSQL is not Arrow's: the value whose order key is least or greatest.

use std::cmp::Ordering;
use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::ambient::external;
use super::order_key::order_keys;
use crate::error::SqlError;
use crate::types::PgType;

type Result<T> = datafusion::common::Result<T>;

/// The greatest or the least value.
pub fn extreme(greatest: bool) -> Arc<AggregateUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(Extreme { greatest, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    greatest: bool,
    signature: Signature,
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        if self.greatest { "pg_max" } else { "pg_min" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().ok_or_else(|| external(SqlError::internal("an extreme of nothing")))
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let field = fields.first().ok_or_else(|| external(SqlError::internal("an extreme of nothing")))?;
        Ok(Arc::new(field.as_ref().clone().with_name(self.name()).with_nullable(true)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(args
            .input_fields
            .first()
            .map(|f| Arc::new(f.as_ref().clone().with_name(args.name).with_nullable(true)))
            .into_iter()
            .collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let field = args.expr_fields.first().ok_or_else(|| external(SqlError::internal("an extreme of nothing")))?;
        let none = ScalarValue::try_from(field.data_type())?;
        Ok(Box::new(Best { greatest: self.greatest, ty: PgType::of_field(field), none, best: None }))
    }
}

#[derive(Debug)]
struct Best {
    greatest: bool,
    ty: PgType,
    none: ScalarValue,
    /// The value and its key.
    best: Option<(ScalarValue, ScalarValue)>,
}

impl Best {
    fn wins(&self, order: Ordering) -> bool {
        order == if self.greatest { Ordering::Greater } else { Ordering::Less }
    }
}

impl Accumulator for Best {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let keys = order_keys(&values[0], self.ty).map_err(external)?;
        let compare = datafusion::arrow::array::make_comparator(&keys, &keys, SortOptions::default())?;
        let mut row: Option<usize> = None;
        for next in (0..keys.len()).filter(|row| keys.is_valid(*row)) {
            if row.is_none_or(|row| self.wins(compare(next, row))) {
                row = Some(next);
            }
        }
        let Some(row) = row else { return Ok(()) };
        let key = ScalarValue::try_from_array(&keys, row)?;
        let better = match &self.best {
            None => true,
            Some((_, best)) => key.partial_cmp(best).is_some_and(|order| self.wins(order)),
        };
        if better {
            self.best = Some((ScalarValue::try_from_array(&values[0], row)?, key));
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.best.as_ref().map_or_else(|| self.none.clone(), |(value, _)| value.clone()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.best.as_ref().map_or(0, |(value, key)| value.size() + key.size())
    }
}

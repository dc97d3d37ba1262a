//! array_agg over values whose type Arrow's does not tell: its arrays say what their elements are.
//!
//! `plan::ordering` puts it in the place of DataFusion's, which does the work.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ListArray};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::ambient::external;
use crate::error::SqlError;
use crate::types::{PgType, TypeName};

type Result<T> = datafusion::common::Result<T>;

/// The aggregate.
pub fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(TypedArrays { signature: Signature::any(1, Volatility::Immutable) }))
}

/// Whether arrays of the type need it.
pub fn is_needed(ty: PgType) -> bool {
    use TypeName::{Char, Composite, Enum, Json, Jsonb, Name, Oid, Uuid};
    !ty.array && matches!(ty.name, Enum(_) | Composite(_) | Oid | Uuid | Json | Jsonb | Name | Char)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypedArrays {
    signature: Signature,
}

fn item_of(fields: &[FieldRef]) -> Result<&FieldRef> {
    fields.first().ok_or_else(|| external(SqlError::internal("array_agg of nothing")))
}

impl AggregateUDFImpl for TypedArrays {
    fn name(&self) -> &str {
        "array_agg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        array_agg_udaf().return_type(types)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let ty = PgType::of_field(item_of(fields)?).with_modifier(-1).array_of();
        Ok(Arc::new(ty.field(self.name(), true)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        array_agg_udaf().state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let ty = PgType::of_field(item_of(args.expr_fields)?).with_modifier(-1).array_of();
        let return_field = array_agg_udaf().return_field(args.expr_fields)?;
        let inner = array_agg_udaf().accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(Box::new(Typed { inner, ty }))
    }
}

#[derive(Debug)]
struct Typed {
    inner: Box<dyn Accumulator>,
    ty: PgType,
}

impl Accumulator for Typed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = self.inner.evaluate()?;
        let (ScalarValue::List(lists), DataType::List(item)) = (&value, self.ty.arrow()) else { return Ok(value) };
        let lists = ListArray::try_new(item, lists.offsets().clone(), Arc::clone(lists.values()), lists.nulls().cloned())?;
        Ok(ScalarValue::List(Arc::new(lists)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}

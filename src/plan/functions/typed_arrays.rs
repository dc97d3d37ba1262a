//! What makes arrays of values: `ARRAY[…]`, array_agg and `ARRAY(SELECT …)`. The arrays say what their elements are, and
//! arrays among the values become the parts of one with a dimension more.
//!
//! DataFusion's functions do the work of collecting; here their lists become arrays.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, new_null_array};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_nested::make_array::make_array_udf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, EmitTo, GroupsAccumulator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::ambient::external;
use super::define::scalar_at;
use crate::error::{Result as Answer, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::types::nested::{Bounds, MOST_DIMENSIONS, Parts, data_type, too_many_dimensions};
use crate::types::{PgType, TypeName, Zone};

type Result<T> = datafusion::common::Result<T>;

/// `array_agg`.
pub fn function() -> Arc<AggregateUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(AggregateUDF::new_from_impl(TypedArrays { inner: array_agg_udaf(), signature }))
}

/// `make_array`, which `ARRAY[…]` of values is planned as.
pub fn make_array() -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(MakeArray { inner: make_array_udf(), signature }))
}

/// The elements of an array of such values.
fn item_field(value: &Field) -> Field {
    let ty = PgType::of_field(value);
    let arrow = value.data_type();
    if arrow.is_null() {
        return PgType::TEXT.field("item", true);
    }
    let exact = [ty.with_modifier(-1), ty].into_iter().find(|ty| ty.arrow() == *arrow);
    match (exact, ty.name) {
        (Some(ty), _) => ty.field("item", true),
        (None, TypeName::Numeric) => PgType::new(TypeName::Numeric).field("item", true),
        (None, _) => value.clone().with_name("item").with_nullable(true),
    }
}

/// The field of an array of such values; arrays become parts of one.
pub fn array_field(value: &Field, name: &str) -> Field {
    let ty = PgType::of_field(value);
    if ty.array {
        return Field::new(name, value.data_type().clone(), true).with_metadata(value.metadata().clone());
    }
    let item = item_field(value);
    let field = PgType::of_field(&item).array_of().field(name, true);
    field.with_data_type(data_type(item))
}

/// Arrays of what each list holds, as `array_field` has them. Errors as PostgreSQL's where arrays do not go together.
pub fn arrays(lists: &ListArray, field: &Field) -> Answer<ArrayRef> {
    let value = PgType::of_field(&Field::new("item", lists.value_type(), true));
    if value.array {
        return of_arrays(lists);
    }
    let DataType::List(item) = crate::types::nested::listed(field.data_type()) else {
        return Err(SqlError::internal("an array that is none"));
    };
    let values = match lists.values().data_type() {
        have if have == item.data_type() => Arc::clone(lists.values()),
        DataType::Null => new_null_array(item.data_type(), lists.values().len()),
        have => cast_array(lists.values(), PgType::of_arrow(have), PgType::of_field(&item), Zone::UTC)?,
    };
    let lists = ListArray::try_new(item, lists.offsets().clone(), values, lists.nulls().cloned());
    Parts { lists: lists.map_err(|_| SqlError::internal("elements do not fit their array"))?, bounds: None }.put_together()
}

/// Lists of arrays: each as one array with a dimension more.
fn of_arrays(lists: &ListArray) -> Answer<ArrayRef> {
    let parts = Parts::of(lists.values()).ok_or_else(|| SqlError::internal("an array was expected"))?;
    let inner = parts.lists.value_offsets();
    let (mut ends, mut all) = (Vec::with_capacity(lists.len() + 1), Vec::with_capacity(lists.len()));
    let ends_of = lists.value_offsets();
    ends.push(inner.get(ends_of[0] as usize).copied().unwrap_or_default());
    for row in 0..lists.len() {
        ends.push(inner.get(ends_of[row + 1] as usize).copied().unwrap_or_default());
        let range = ends_of[row] as usize..ends_of[row + 1] as usize;
        all.push(if lists.is_null(row) || range.is_empty() { None } else { Some(bounds_of(&parts, range)?) });
    }
    let DataType::List(item) = parts.lists.data_type() else { return Err(SqlError::internal("an array was expected")) };
    let values = Arc::clone(parts.lists.values());
    let whole = ListArray::try_new(Arc::clone(item), OffsetBuffer::new(ends.into()), values, lists.nulls().cloned());
    Parts { lists: whole.map_err(|_| SqlError::internal("elements do not fit their array"))?, bounds: Some(all) }.put_together()
}

fn bounds_of(parts: &Parts, range: std::ops::Range<usize>) -> Answer<Bounds> {
    let count = i32::try_from(range.len()).unwrap_or(i32::MAX);
    let refused = |message: &str| SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message);
    let mut common: Option<Bounds> = None;
    for at in range {
        let own = parts.bounds(at);
        let own = own.ok_or_else(|| SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "cannot accumulate null arrays"))?;
        if own.is_empty() {
            return Err(refused("cannot accumulate empty arrays"));
        }
        if own.len() >= MOST_DIMENSIONS {
            return Err(too_many_dimensions(own.len() + 1));
        }
        if *common.get_or_insert_with(|| own.clone()) != own {
            return Err(refused("cannot accumulate arrays of different dimensionality"));
        }
    }
    Ok([vec![(1, count)], common.unwrap_or_default()].concat())
}

/// One array of all the values.
pub fn array_of_all(values: ArrayRef, field: &Field) -> Answer<ArrayRef> {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    let list = ListArray::try_new(item, offsets, values, Some(NullBuffer::new_valid(1)));
    arrays(&list.map_err(|_| SqlError::internal("values without a list form"))?, field)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MakeArray {
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

impl ScalarUDFImpl for MakeArray {
    fn name(&self) -> &'static str {
        "make_array"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.windows(2).all(|pair| pair[0] == pair[1]) {
            return Ok(types.to_vec());
        }
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let first = types.iter().find(|ty| !ty.is_null()).cloned().unwrap_or(DataType::Null);
        Ok(array_field(&Field::new("item", first, true), self.name()).data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let told = |field: &&FieldRef| !field.data_type().is_null();
        Ok(Arc::new(match args.arg_fields.iter().find(told) {
            Some(field) => array_field(field, self.name()),
            None => PgType::TEXT.array_of().field(self.name(), true),
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let values = args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let arrays = arrays(&beside(&values, rows)?, &args.return_field).map_err(external)?;
        Ok(if constant { ColumnarValue::Scalar(scalar_at(&arrays, 0)?) } else { ColumnarValue::Array(arrays) })
    }
}

/// By row, the list of the columns' values.
fn beside(columns: &[ArrayRef], rows: usize) -> Result<ListArray> {
    let arrow = columns.first().map_or(DataType::Null, |column| column.data_type().clone());
    let picks: Vec<(usize, usize)> = (0..rows).flat_map(|row| (0..columns.len()).map(move |column| (column, row))).collect();
    let parts: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let values = match arrow.is_null() {
        true => new_null_array(&arrow, picks.len()),
        false => interleave(&parts, &picks)?,
    };
    let item = Arc::new(Field::new("item", arrow, true));
    Ok(ListArray::try_new(item, OffsetBuffer::from_repeated_length(columns.len(), rows), values, None)?)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypedArrays {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

fn item_of(fields: &[FieldRef]) -> Result<&FieldRef> {
    fields.first().ok_or_else(|| external(SqlError::internal("array_agg of nothing")))
}

/// As the inner aggregate is called, and the field of our result.
fn inner_args<'a>(inner: &AggregateUDF, args: AccumulatorArgs<'a>) -> Result<(AccumulatorArgs<'a>, Field)> {
    let field = array_field(item_of(args.expr_fields)?, "array_agg");
    let return_field = inner.return_field(args.expr_fields)?;
    Ok((AccumulatorArgs { return_field, ..args }, field))
}

impl AggregateUDFImpl for TypedArrays {
    fn name(&self) -> &str {
        "array_agg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let first = types.first().cloned().unwrap_or(DataType::Null);
        Ok(array_field(&Field::new("item", first, true), self.name()).data_type().clone())
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        Ok(Arc::new(array_field(item_of(fields)?, self.name())))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn with_beneficial_ordering(self: Arc<Self>, beneficial: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = self.inner.as_ref().clone().with_beneficial_ordering(beneficial)?;
        let signature = self.signature.clone();
        Ok(inner.map(|inner| Arc::new(Self { inner: Arc::new(inner), signature }) as Arc<dyn AggregateUDFImpl>))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (args, field) = inner_args(&self.inner, args)?;
        Ok(Box::new(Typed { inner: self.inner.accumulator(args)?, field }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let (args, field) = inner_args(&self.inner, args)?;
        Ok(Box::new(TypedGroups { inner: self.inner.create_groups_accumulator(args)?, field }))
    }
}

#[derive(Debug)]
struct Typed {
    inner: Box<dyn Accumulator>,
    field: Field,
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
        match self.inner.evaluate()? {
            ScalarValue::List(lists) if lists.is_valid(0) => scalar_at(&arrays(&lists, &self.field).map_err(external)?, 0),
            _ => ScalarValue::try_from(self.field.data_type()),
        }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}

struct TypedGroups {
    inner: Box<dyn GroupsAccumulator>,
    field: Field,
}

impl GroupsAccumulator for TypedGroups {
    fn update_batch(&mut self, values: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) -> Result<()> {
        self.inner.update_batch(values, groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let made = self.inner.evaluate(emit)?;
        let lists = made.as_list_opt::<i32>().ok_or_else(|| external(SqlError::internal("an array was expected")))?;
        arrays(lists, &self.field).map_err(external)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

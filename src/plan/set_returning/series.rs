//! `generate_series` and `generate_subscripts`, as lists.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, TimestampMicrosecondArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::common::ScalarValue;

use super::MOST;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::plan::functions::define::{Call, Function, Returns, Want};
use crate::plan::functions::plus_interval;
use crate::types::nested::Parts;
use crate::types::numeric::Numeric;
use crate::types::numeric::column::{Numbers, collect};
use crate::types::{PgType, TypeName, Zone};

pub const SERIES: &str = "__series";
pub const SUBSCRIPTS: &str = "__subscripts";
/// The numbers 1, 2 … of the longest of its arguments.
pub const ORDINALS: &str = "__ordinals";

const INTS: Returns = Returns::Fixed(PgType::INT4.array_of());

pub const FUNCTIONS: &[Function] = &[
    Function::new(SERIES, &[Want::Any, Want::Any, Want::Any], Returns::Field(series_type), series).optional(1).stable(),
    Function::new(SUBSCRIPTS, &[Want::Array, Want::Type(TypeName::Int4), Want::Type(TypeName::Bool)], INTS, subscripts)
        .optional(1)
        .dimensional(),
    Function::new(ORDINALS, &[Want::Any], Returns::Fixed(PgType::INT8.array_of()), ordinals).variadic(),
];

fn series_type(types: &[PgType], _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<Field> {
    use TypeName::{Date, Int2, Int4, Int8, Numeric, Text, Timestamp, Timestamptz};
    let any = |names: &[TypeName]| types.iter().any(|t| !t.array && names.contains(&t.name));
    let all = |names: &[TypeName]| types.iter().all(|t| !t.array && names.contains(&t.name));
    let bounds = types.get(..2).unwrap_or_default();
    let both = |names: &[TypeName]| bounds.iter().all(|t| !t.array && names.contains(&t.name));
    // Text stands for quoted literals and for parameters that nobody typed yet: they take the numbers' type.
    let element = if all(&[Int2, Int4, Text]) && any(&[Int2, Int4]) {
        PgType::INT4
    } else if all(&[Int2, Int4, Int8, Text]) && any(&[Int8]) {
        PgType::INT8
    } else if all(&[Int2, Int4, Int8, Numeric, Text]) && any(&[Numeric]) {
        PgType::new(Numeric)
    } else if both(&[Timestamp, Text]) && types.len() == 3 {
        PgType::new(Timestamp)
    } else if both(&[Timestamp, Timestamptz, Date, Text]) && types.len() == 3 {
        PgType::TIMESTAMPTZ
    } else {
        let names: Vec<String> = types.iter().map(|t| t.sql_name()).collect();
        let message = format!("function generate_series({}) does not exist", names.join(", "));
        let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
        return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message).hint(hint));
    };
    Ok(element.array_of().field("generate_series", true))
}

fn series(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = call.returns.data_type() else { return Err(SqlError::internal("a list that is none")) };
    let element = PgType::of_field(item);
    let bound = |i: usize| cast_array(&call.args[i], call.types[i], element, call.zone());
    let (start, stop) = (bound(0)?, bound(1)?);
    match item.data_type() {
        DataType::Timestamp(..) => {
            let step = cast_array(&call.args[2], call.types[2], PgType::new(TypeName::Interval), call.zone())?;
            let zone = if element.name == TypeName::Timestamptz { call.zone() } else { Zone::UTC };
            times(item.clone(), &start, &stop, &step, zone)
        }
        DataType::LargeBinary => {
            let step = if call.args.len() > 2 { Some(bound(2)?) } else { None };
            let lists = numerics(call.rows, &start, &stop, step.as_ref())?;
            list(item.clone(), lists, |values| collect(values.into_iter().map(|v| Ok(Some(v)))))
        }
        whole => {
            let wide = |a: &ArrayRef| cast(a, &DataType::Int64).map_err(|_| SqlError::internal("a bound that is no number"));
            let step = if call.args.len() > 2 { Some(wide(&bound(2)?)?) } else { None };
            let value = |a: &ArrayRef, row: usize| a.is_valid(row).then(|| i128::from(a.as_primitive::<Int64Type>().value(row)));
            let lists = numbers(call.rows, &wide(&start)?, &wide(&stop)?, step.as_ref(), 1, value)?;
            list(item.clone(), lists, |values| {
                let values: Int64Array = values.into_iter().map(|v| i64::try_from(v).ok()).collect();
                cast(&values, whole).map_err(|_| SqlError::internal("a series that does not fit its type"))
            })
        }
    }
}

/// A list per row; none where an argument is NULL.
type Lists<T> = Vec<Option<Vec<T>>>;

fn numbers(
    rows: usize,
    start: &ArrayRef,
    stop: &ArrayRef,
    step: Option<&ArrayRef>,
    one: i128,
    value: impl Fn(&ArrayRef, usize) -> Option<i128>,
) -> Result<Lists<i128>> {
    (0..rows)
        .map(|row| {
            let step = step.map_or(Some(one), |step| value(step, row));
            let (Some(start), Some(stop), Some(step)) = (value(start, row), value(stop, row), step) else { return Ok(None) };
            if step == 0 {
                return Err(no_step());
            }
            let mut values = Vec::new();
            let mut next = start;
            while (step > 0 && next <= stop) || (step < 0 && next >= stop) {
                push(&mut values, next)?;
                next += step;
            }
            Ok(Some(values))
        })
        .collect()
}

fn numerics(rows: usize, start: &ArrayRef, stop: &ArrayRef, step: Option<&ArrayRef>) -> Result<Lists<Numeric>> {
    let (start, stop, step) = (Numbers::new(start)?, Numbers::new(stop)?, step.map(Numbers::new).transpose()?);
    let one = |row: usize| {
        let step = step.as_ref().map_or(Some(Numeric::of_i64(1)), |step| step.get(row));
        let (Some(start), Some(stop), Some(step)) = (start.get(row), stop.get(row), step) else { return Ok(None) };
        for (bound, what) in [(&start, "start value"), (&stop, "stop value"), (&step, "step size")] {
            let kind = if bound.is_nan() { "NaN" } else { "infinity" };
            if bound.scale().is_none() {
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("{what} cannot be {kind}")));
            }
        }
        if step.is_zero() {
            return Err(no_step());
        }
        let mut values = Vec::new();
        let mut next = start;
        while if step.signum() > 0 { next <= stop } else { next >= stop } {
            push(&mut values, next.clone())?;
            next = next.plus(&step)?;
        }
        Ok(Some(values))
    };
    (0..rows).map(one).collect()
}

fn times(item: Arc<Field>, start: &ArrayRef, stop: &ArrayRef, step: &ArrayRef, zone: Zone) -> Result<ArrayRef> {
    let (starts, stops) = (start.as_primitive::<TimestampMicrosecondType>(), stop.as_primitive::<TimestampMicrosecondType>());
    let steps = step.as_primitive::<IntervalMonthDayNanoType>();
    let mut lists: Lists<i64> = Vec::with_capacity(starts.len());
    for row in 0..starts.len() {
        if starts.is_null(row) || stops.is_null(row) || steps.is_null(row) {
            lists.push(None);
            continue;
        }
        let (mut next, stop, step) = (starts.value(row), stops.value(row), steps.value(row));
        let spans = i128::from(step.months) * 30 + i128::from(step.days);
        let sign = (spans * 86_400_000_000_000 + i128::from(step.nanoseconds)).signum();
        if sign == 0 {
            return Err(no_step());
        }
        let mut values = Vec::new();
        while (sign > 0 && next <= stop) || (sign < 0 && next >= stop) {
            push(&mut values, next)?;
            next = plus_interval(next, step, 1, zone)?;
        }
        lists.push(Some(values));
    }
    let zoned = matches!(item.data_type(), DataType::Timestamp(_, Some(_)));
    list(item, lists, |values| {
        let array = TimestampMicrosecondArray::from(values);
        Ok(Arc::new(if zoned { array.with_timezone("UTC") } else { array }))
    })
}

fn push<T>(values: &mut Vec<T>, value: T) -> Result<()> {
    if values.len() >= MOST {
        let message = format!("a set of more than {MOST} values");
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).hint("Make it from smaller sets."));
    }
    values.push(value);
    Ok(())
}

fn no_step() -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "step size cannot equal zero")
}

fn list<T>(item: Arc<Field>, lists: Lists<T>, array: impl FnOnce(Vec<T>) -> Result<ArrayRef>) -> Result<ArrayRef> {
    let nulls = NullBuffer::from_iter(lists.iter().map(Option::is_some));
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(|l| l.as_ref().map_or(0, Vec::len)));
    let values = array(lists.into_iter().flatten().flatten().collect())?;
    let made = ListArray::try_new(item, offsets, values, Some(nulls));
    Ok(Arc::new(made.map_err(|_| SqlError::internal("a series that does not fit its type"))?))
}

fn subscripts(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = call.returns.data_type() else { return Err(SqlError::internal("a list that is none")) };
    let one = |row: usize| -> Option<Vec<i32>> {
        let (bounds, dimension) = (call.bounds(0, row)?, call.int4(1, row)?);
        let at = usize::try_from(i64::from(dimension) - 1).unwrap_or(usize::MAX);
        let (first, length) = bounds.get(at).copied().unwrap_or((1, 0));
        let ascending = first..first.saturating_add(length);
        match call.args.len() > 2 {
            true if call.bool(2, row)? => Some(ascending.rev().collect()),
            _ => Some(ascending.collect()),
        }
    };
    let lists = (0..call.rows).map(one).collect();
    list(item.clone(), lists, |values| Ok(Arc::new(datafusion::arrow::array::Int32Array::from(values))))
}

fn ordinals(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = call.returns.data_type() else { return Err(SqlError::internal("a list that is none")) };
    let length = |list: &Option<Parts>, row: usize| {
        list.as_ref().filter(|l| l.lists.is_valid(row)).map_or(0, |l| i64::from(l.lists.value_length(row)))
    };
    let lists: Vec<Option<Parts>> = call.args.iter().map(|array| Parts::of(array)).collect();
    let longest = |row: usize| lists.iter().map(|list| length(list, row)).max().unwrap_or(0);
    let lists = (0..call.rows).map(|row| Some((1..=longest(row)).collect())).collect();
    list(item.clone(), lists, |values| Ok(Arc::new(Int64Array::from(values))))
}

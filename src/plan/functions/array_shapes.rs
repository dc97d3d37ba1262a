//! Functions that make arrays of other bounds than their arguments have: what stands behind or inside what, slices,
//! arrays of arrays, arrays filled with a value.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt64Array};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Int32Type};

use super::arrays::{NULL_ELEMENT, Picked, Picks, picked, range};
use super::define::Call;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::plan::modify::{assign, assignable};
use crate::types::nested::{Bounds, MOST_DIMENSIONS, Parts, items_within, place, too_many_dimensions};
use crate::types::{PgType, TypeName};

fn subscript_error(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message)
}

fn all_of(arg: usize, places: Vec<usize>) -> Picks {
    places.into_iter().map(|i| (arg, i)).collect()
}

/// The first subscript of an array of at most one dimension. 22000 for one of more.
fn only_first(bounds: &Bounds) -> Result<i32> {
    match &bounds[..] {
        [] => Ok(1),
        [(first, _)] => Ok(*first),
        _ => Err(SqlError::new(SqlState::DATA_EXCEPTION, "argument must be empty or one-dimensional array")),
    }
}

pub fn append(call: &Call<'_>) -> Result<ArrayRef> {
    picked(call, |row| {
        let first = only_first(&call.bounds(0, row).unwrap_or_default())?;
        let mut picks = all_of(0, range(call, 0, row).unwrap_or_default());
        picks.push((1, row));
        let bounds = vec![(first, picks.len() as i32)];
        Ok(Some((picks, Some(bounds))))
    })
}

pub fn prepend(call: &Call<'_>) -> Result<ArrayRef> {
    picked(call, |row| {
        let first = only_first(&call.bounds(1, row).unwrap_or_default())?;
        let mut picks = vec![(0, row)];
        picks.extend(all_of(1, range(call, 1, row).unwrap_or_default()));
        let bounds = vec![(first, picks.len() as i32)];
        Ok(Some((picks, Some(bounds))))
    })
}

/// One array behind another. Where one has a dimension more, the other is a part of it.
pub fn cat(call: &Call<'_>) -> Result<ArrayRef> {
    picked(call, |row| {
        let (left, right) = (call.bounds(0, row), call.bounds(1, row));
        let (left, right) = match (left, right) {
            (None, None) => return Ok(None),
            (left, right) => (left.unwrap_or_default(), right.unwrap_or_default()),
        };
        let bounds = joined(&left, &right)?;
        let mut picks = all_of(0, range(call, 0, row).unwrap_or_default());
        picks.extend(all_of(1, range(call, 1, row).unwrap_or_default()));
        items_within(&bounds)?;
        Ok(Some((picks, Some(bounds))))
    })
}

fn joined(left: &Bounds, right: &Bounds) -> Result<Bounds> {
    let incompatible = |detail: String| Err(subscript_error("cannot concatenate incompatible arrays").detail(detail));
    let longer = |bounds: &Bounds, by: i32| {
        let mut bounds = bounds.clone();
        bounds[0].1 = bounds[0].1.saturating_add(by);
        bounds
    };
    let differing = "Arrays with differing dimensions are not compatible for concatenation.".to_owned();
    match (left.len(), right.len()) {
        (_, 0) => Ok(left.clone()),
        (0, _) => Ok(right.clone()),
        (a, b) if a == b && left[1..] == right[1..] => Ok(longer(left, right[0].1)),
        (a, b) if a == b => {
            incompatible("Arrays with differing element dimensions are not compatible for concatenation.".to_owned())
        }
        (a, b) if a == b + 1 && left[1..] == right[..] => Ok(longer(left, 1)),
        (a, b) if a + 1 == b && right[1..] == left[..] => Ok(longer(right, 1)),
        (a, b) if a == b + 1 || a + 1 == b => incompatible(differing),
        (a, b) => incompatible(format!("Arrays of {a} and {b} dimensions are not compatible for concatenation.")),
    }
}

/// Cuts parts of the first dimension off the end.
pub fn trim(call: &Call<'_>) -> Result<ArrayRef> {
    picked(call, |row| {
        let (Some(bounds), Some(n)) = (call.bounds(0, row), call.int4(1, row)) else { return Ok(None) };
        let (first, length) = bounds.first().copied().unwrap_or((1, 0));
        if !(0..=length).contains(&n) {
            return Err(subscript_error(format!("number of elements to trim must be between 0 and {length}")));
        }
        let last = i64::from(first) + i64::from(length) - i64::from(n) - 1;
        Ok(sliced(call, row, &bounds, &[(i64::from(first), last)]))
    })
}

/// `array[from:to][from:to]…`: both bounds are inside; what is beyond the array is left out. A NULL bound gives NULL.
pub fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    picked(call, |row| {
        let Some(bounds) = call.bounds(0, row) else { return Ok(None) };
        let given = (1..call.args.len()).map(|arg| call.int8(arg, row)).collect::<Option<Vec<_>>>();
        let Some(given) = given else { return Ok(None) };
        let (pairs, _) = given.as_chunks::<2>();
        let ranges: Vec<(i64, i64)> = pairs.iter().map(|[from, to]| (*from, *to)).collect();
        Ok(sliced(call, row, &bounds, &ranges))
    })
}

/// The part of an array within the ranges of its first dimensions, both ends included; subscripts begin at 1.
fn sliced(call: &Call<'_>, row: usize, bounds: &Bounds, ranges: &[(i64, i64)]) -> Picked {
    let empty = Some((Picks::new(), None));
    let places = range(call, 0, row)?;
    if bounds.len() < ranges.len() {
        return empty;
    }
    // Of each dimension the first part that is kept and how many.
    let mut kept = Vec::with_capacity(bounds.len());
    for (at, (first, length)) in bounds.iter().enumerate() {
        let (first, length) = (i64::from(*first), i64::from(*length));
        let (from, to) = ranges.get(at).copied().unwrap_or((first, first + length - 1));
        let (from, to) = (from.max(first), to.min(first + length - 1));
        if from > to {
            return empty;
        }
        kept.push(((from - first) as usize, (to - from + 1) as usize));
    }
    let mut inside = vec![0];
    for ((start, count), (_, length)) in kept.iter().zip(bounds) {
        let next = inside.iter().flat_map(|at| (*start..start + count).map(move |part| at * *length as usize + part));
        inside = next.collect();
    }
    let picks = inside.iter().filter_map(|at| places.get(*at)).map(|i| (0, *i)).collect();
    Some((picks, Some(kept.iter().map(|(_, count)| (1, *count as i32)).collect())))
}

/// Arrays as the parts of one with a dimension more. Empty ones and NULL give an empty array, and go with nothing else.
pub fn nest(call: &Call<'_>) -> Result<ArrayRef> {
    let uneven = || subscript_error("multidimensional arrays must have array expressions with matching dimensions");
    picked(call, |row| {
        let mut whole: Option<Bounds> = None;
        let mut picks = Picks::new();
        let mut empty = false;
        for arg in 0..call.args.len() {
            let part = call.bounds(arg, row).unwrap_or_default();
            if part.is_empty() {
                empty = true;
                continue;
            }
            if whole.as_ref().is_some_and(|whole| whole[1..] != part[..]) {
                return Err(uneven());
            }
            if part.len() >= MOST_DIMENSIONS {
                return Err(too_many_dimensions(part.len() + 1));
            }
            whole.get_or_insert_with(|| [vec![(1, call.args.len() as i32)], part].concat());
            picks.extend(all_of(arg, range(call, arg, row).unwrap_or_default()));
        }
        if empty && whole.is_some() {
            return Err(uneven());
        }
        Ok(Some((picks, whole)))
    })
}

/// The array with another value in the place that the subscripts name. One of one dimension grows to have the place,
/// an empty one has nothing else; in all others the place must be there.
pub fn assigned(call: &Call<'_>) -> Result<ArrayRef> {
    let call = &with_element(call)?;
    picked(call, |row| {
        let bounds = call.bounds(0, row).unwrap_or_default();
        let mut picks = all_of(0, range(call, 0, row).unwrap_or_default());
        let null = || SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "array subscript in assignment must not be null");
        let subscripts = (2..call.args.len()).map(|arg| call.int8(arg, row).ok_or_else(null)).collect::<Result<Vec<_>>>()?;
        let small = |n: i64| i32::try_from(n).map_err(|_| subscript_error("array subscript out of range"));
        if bounds.is_empty() {
            let bounds = subscripts.iter().map(|n| Ok((small(*n)?, 1))).collect::<Result<Bounds>>()?;
            items_within(&bounds)?;
            return Ok(Some((vec![(1, row)], Some(bounds))));
        }
        if bounds.len() != subscripts.len() {
            return Err(subscript_error("wrong number of array subscripts"));
        }
        if let Some(place) = place(&bounds, &subscripts) {
            picks[place] = (1, row);
            return Ok(Some((picks, Some(bounds))));
        }
        let ([(first, length)], [subscript]) = (&bounds[..], &subscripts[..]) else {
            return Err(subscript_error("array subscript out of range"));
        };
        let subscript = small(*subscript)?;
        let (least, end) = ((*first).min(subscript), i64::from(*first) + i64::from(*length));
        let grown = vec![(least, small(end.max(i64::from(subscript) + 1) - i64::from(least))?)];
        let mut whole = vec![(NULL_ELEMENT, 0); items_within(&grown)?];
        let start = (i64::from(*first) - i64::from(least)) as usize;
        whole[start..start + picks.len()].copy_from_slice(&picks);
        whole[(i64::from(subscript) - i64::from(least)) as usize] = (1, row);
        Ok(Some((whole, Some(grown))))
    })
}

/// The call with its value as an element of its array. 42804 for a value that cannot be one.
fn with_element<'a>(call: &Call<'a>) -> Result<Call<'a>> {
    let (from, element) = (call.types[1], call.types[0].element());
    let mut args = call.args.clone();
    args[1] = if assignable(from, element) {
        assign(&args[1], from, element, call.zone())?
    } else if !from.array && matches!(from.name, TypeName::Text | TypeName::Unknown) {
        cast_array(&args[1], from, element, call.zone())?
    } else {
        let (from, element) = (from.with_modifier(-1).sql_name(), element.with_modifier(-1).sql_name());
        let message = format!("subscripted assignment requires type {element} but expression is of type {from}");
        return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message).hint("You will need to rewrite or cast the expression."));
    };
    let (types, returns) = (call.types.clone(), Arc::clone(&call.returns));
    Ok(Call { args, types, rows: call.rows, returns, options: call.options, bounds: call.bounds.clone() })
}

/// `array_fill(value, lengths [, first subscripts])`
pub fn fill(call: &Call<'_>) -> Result<ArrayRef> {
    let DataType::List(field) = call.returns.data_type() else { return Err(SqlError::internal("an array was expected")) };
    let mut places: Vec<u64> = Vec::new();
    let (mut lengths, mut all_bounds) = (Vec::new(), Vec::new());
    for row in 0..call.rows {
        let bounds = fill_bounds(call, row)?;
        let items = items_within(&bounds)?;
        places.extend(std::iter::repeat_n(row as u64, items));
        lengths.push(items);
        all_bounds.push((items > 0).then_some(bounds));
    }
    let element = PgType::of_field(field);
    let value = match call.args[0].data_type() == field.data_type() {
        true => Arc::clone(&call.args[0]),
        false => cast_array(&call.args[0], call.types[0], element, call.zone())?,
    };
    let values = take(&value, &UInt64Array::from(places), None).map_err(|e| SqlError::internal(e.to_string()))?;
    let valid = NullBuffer::new_valid(call.rows);
    let lists = ListArray::try_new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), values, Some(valid));
    let lists = lists.map_err(|_| SqlError::internal("a value that does not fit its array"))?;
    Parts { lists, bounds: Some(all_bounds) }.put_together()
}

fn fill_bounds(call: &Call<'_>, row: usize) -> Result<Bounds> {
    let null = |what: &str| SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, format!("{what} cannot be null"));
    let numbers = |arg: usize| -> Result<Vec<i32>> {
        let array = call.args.get(arg).and_then(|array| array.as_list_opt::<i32>()).filter(|lists| lists.is_valid(row));
        let array = array.ok_or_else(|| null("dimension array or low bound array"))?;
        if call.bounds(arg, row).is_some_and(|bounds| bounds.len() > 1) {
            let detail = "Dimension array must be one dimensional.";
            return Err(subscript_error("wrong number of array subscripts").detail(detail));
        }
        let values = array.value(row);
        let values = values.as_primitive_opt::<Int32Type>().ok_or_else(|| SqlError::internal("bounds that are no integers"))?;
        values.iter().map(|n| n.ok_or_else(|| null("dimension values"))).collect()
    };
    let lengths = numbers(1)?;
    let firsts = if call.args.len() > 2 { numbers(2)? } else { vec![1; lengths.len()] };
    if firsts.len() != lengths.len() {
        let detail = "Low bound array has different size than dimensions array.";
        return Err(subscript_error("wrong number of array subscripts").detail(detail));
    }
    if lengths.len() > MOST_DIMENSIONS {
        return Err(too_many_dimensions(lengths.len()));
    }
    Ok(firsts.into_iter().zip(lengths).collect())
}

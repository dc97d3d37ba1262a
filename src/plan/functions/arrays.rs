//! Functions and operators of arrays: PostgreSQL's NULL rules, elements equal and ordered by their order keys. What makes
//! arrays of other bounds than its arguments have is in `array_shapes`.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int32Builder, ListArray, ListBuilder, StringBuilder, new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, Field};

use super::array_shapes;
use super::define::{Call, Function, INT4, INT8, Returns, TEXT, Want};
use super::order_key::order_keys;
use super::pattern_lists::Pattern;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::keys::key_part;
use crate::sql::element_assignments::ASSIGNED;
use crate::types::PgType;
use crate::types::encode::Column;
use crate::types::nested::{self, Bounds, Parts};
use crate::versions::key::encode_part;

const INT4_RESULT: Returns = Returns::Fixed(PgType::INT4);
const BOOL: Returns = Returns::Fixed(PgType::BOOL);
const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const TEXTS: Returns = Returns::Fixed(PgType::TEXT.array_of());
const INTS: Returns = Returns::Fixed(PgType::INT4.array_of());
const SAME: Returns = Returns::Field(|_, t, _| same_list(t, 0));
const ARRAY: Want = Want::Array;
const ELEMENT: Want = Want::Element;

pub const CONTAINS: &str = "pg_array_contains";
pub const CONTAINED: &str = "pg_array_contained";
pub const OVERLAPS: &str = "pg_array_overlaps";
/// `pg_array_element(array, subscript, …)`
pub const SUBSCRIPT: &str = "pg_array_element";
/// `pg_array_slice(array, from, to, …)`
pub const SLICE: &str = "pg_array_slice";
/// Arrays as the parts of one with a dimension more.
pub const NESTED: &str = "pg_array_of_arrays";
/// A value as it is.
pub const WHOLE: &str = "pg_whole";
/// The list of an array's items, to be unnested.
pub const ITEMS: &str = "__items";
/// `pg_compare_any(array, value, operator)`: whether `value operator element` holds for one.
pub const ANY: &str = "pg_compare_any";
pub const ALL: &str = "pg_compare_all";

pub const FUNCTIONS: &[Function] = &[
    Function::new(ASSIGNED, &[ARRAY, Want::Any, INT8], SAME, array_shapes::assigned).variadic().dimensional(),
    Function::new("array_append", &[ARRAY, ELEMENT], SAME, array_shapes::append).dimensional(),
    Function::new("array_prepend", &[ELEMENT, ARRAY], Returns::Field(|_, t, _| same_list(t, 1)), array_shapes::prepend)
        .dimensional(),
    Function::new("array_cat", &[ARRAY, ARRAY], SAME, array_shapes::cat).dimensional(),
    Function::new("array_position", &[ARRAY, ELEMENT, INT4], INT4_RESULT, position).optional(1).dimensional(),
    Function::new("array_positions", &[ARRAY, ELEMENT], INTS, positions).dimensional(),
    Function::new("array_remove", &[ARRAY, ELEMENT], SAME, remove).dimensional(),
    Function::new("array_replace", &[ARRAY, ELEMENT, ELEMENT], SAME, |c| {
        let (items, wanted) = (Keys::items(c, 0)?, Keys::values(c, 1)?);
        picked(c, |row| {
            let replaced = |i: usize| if items.key(i) == wanted.key(row) { (2, row) } else { (0, i) };
            let Some(places) = range(c, 0, row) else { return Ok(None) };
            Ok(Some((places.into_iter().map(replaced).collect(), c.bounds(0, row))))
        })
    })
    .dimensional(),
    Function::new("array_to_string", &[ARRAY, TEXT, TEXT], TEXT_RESULT, to_string).optional(1).stable().dimensional(),
    Function::new("string_to_array", &[TEXT, TEXT, TEXT], TEXTS, split).optional(1),
    Function::new("array_length", &[ARRAY, INT8], INT4_RESULT, |c| dimension(c, |_, length| length)).dimensional(),
    Function::new("array_upper", &[ARRAY, INT8], INT4_RESULT, |c| dimension(c, |first, length| first + (length - 1)))
        .dimensional(),
    Function::new("array_lower", &[ARRAY, INT8], INT4_RESULT, |c| dimension(c, |first, _| first)).dimensional(),
    Function::new("array_ndims", &[ARRAY], INT4_RESULT, |c| {
        c.map::<i32, Int32Array>(|row| Ok(c.bounds(0, row).filter(|b| !b.is_empty()).map(|b| b.len() as i32)))
    })
    .dimensional(),
    Function::new("array_dims", &[ARRAY], TEXT_RESULT, |c| {
        c.map_text(|row| Ok(c.bounds(0, row).filter(|b| !b.is_empty()).map(|b| nested::shown(&b))))
    })
    .dimensional(),
    Function::new("cardinality", &[ARRAY], INT4_RESULT, |c| {
        c.map::<i32, Int32Array>(|row| Ok(range(c, 0, row).map(|r| r.len() as i32)))
    })
    .dimensional(),
    Function::new("array_fill", &[Want::Any, Want::Integers, Want::Integers], Returns::Field(filled_type), array_shapes::fill)
        .optional(1)
        .dimensional(),
    Function::new("trim_array", &[ARRAY, INT4], SAME, array_shapes::trim).dimensional(),
    Function::new(CONTAINS, &[ARRAY, ARRAY], BOOL, |c| compared(c, |a, b| b.iter().all(|k| k.is_some() && a.contains(k))))
        .dimensional(),
    Function::new(CONTAINED, &[ARRAY, ARRAY], BOOL, |c| compared(c, |a, b| a.iter().all(|k| k.is_some() && b.contains(k))))
        .dimensional(),
    Function::new(OVERLAPS, &[ARRAY, ARRAY], BOOL, |c| compared(c, |a, b| a.iter().any(|k| k.is_some() && b.contains(k))))
        .dimensional(),
    Function::new("array_has", &[ARRAY, ELEMENT], BOOL, |c| quantified(c, true, |_| Ok(|o| o == Ordering::Equal))).dimensional(),
    Function::new(ANY, &[ARRAY, ELEMENT, TEXT], BOOL, |c| quantified(c, true, operator)).dimensional(),
    Function::new(ALL, &[ARRAY, ELEMENT, TEXT], BOOL, |c| quantified(c, false, operator)).dimensional(),
    Function::new(SUBSCRIPT, &[ARRAY, INT8], Returns::Field(|_, t, _| element_field(t)), element).variadic().dimensional(),
    Function::new(SLICE, &[ARRAY, INT8, INT8], SAME, array_shapes::slice).variadic().dimensional(),
    Function::new(NESTED, &[ARRAY], SAME, array_shapes::nest).variadic().dimensional(),
    Function::new(WHOLE, &[Want::Any], Returns::Field(whole), |c| Ok(Arc::clone(&c.args[0]))).dimensional(),
    // A text beside the array only tells calls apart.
    Function::new(ITEMS, &[ARRAY, TEXT], SAME, |c| Ok(Arc::clone(&c.args[0]))).optional(1).dimensional().lists(),
];

fn same_list(types: &[DataType], at: usize) -> Result<Field> {
    match types.get(at) {
        Some(list @ DataType::List(item)) => {
            let ty = PgType::of_field(item).array_of();
            Ok(ty.field("array", true).with_data_type(list.clone()))
        }
        _ => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "an array is expected")),
    }
}

fn whole(types: &[PgType], arrow: &[DataType], _: &[Option<&datafusion::common::ScalarValue>]) -> Result<Field> {
    match (types, arrow) {
        ([ty], [arrow]) => Ok(ty.field("array", true).with_data_type(arrow.clone())),
        _ => Err(SqlError::internal("one value was expected")),
    }
}

fn element_field(types: &[DataType]) -> Result<Field> {
    match types.first() {
        Some(DataType::List(item)) => Ok(item.as_ref().clone().with_name("array").with_nullable(true)),
        _ => Err(SqlError::new(SqlState::DATATYPE_MISMATCH, "cannot subscript a value that is no array")),
    }
}

fn filled_type(types: &[PgType], _: &[DataType], _: &[Option<&datafusion::common::ScalarValue>]) -> Result<Field> {
    Ok(types.first().copied().unwrap_or(PgType::TEXT).array_of().field("array", true))
}

pub fn lists<'a>(call: &'a Call<'_>, arg: usize) -> Option<&'a ListArray> {
    call.args.get(arg)?.as_list_opt::<i32>()
}

/// Places of an array's elements among all elements of its column; `None` for NULL.
pub fn range(call: &Call<'_>, arg: usize, row: usize) -> Option<Vec<usize>> {
    let lists = lists(call, arg)?;
    let ends = lists.value_offsets();
    lists.is_valid(row).then(|| (ends[row] as usize..ends[row + 1] as usize).collect())
}

/// The argument that an element which is NULL is picked from.
pub const NULL_ELEMENT: usize = usize::MAX;

/// Elements by argument and place.
pub type Picks = Vec<(usize, usize)>;
/// The elements of one array, and its bounds where it need not be plain; `None` for NULL.
pub type Picked = Option<(Picks, Option<Bounds>)>;

/// Arrays made of elements that are picked, by argument and place, from the arguments' elements and values.
pub fn picked(call: &Call<'_>, pick: impl Fn(usize) -> Result<Picked>) -> Result<ArrayRef> {
    let sources: Vec<ArrayRef> = call
        .args
        .iter()
        .map(|array| array.as_list_opt::<i32>().map_or_else(|| Arc::clone(array), |lists| Arc::clone(lists.values())))
        .collect();
    let DataType::List(field) = call.returns.data_type() else { return Err(SqlError::internal("an array was expected")) };
    let usable: Vec<usize> = (0..sources.len()).filter(|i| sources[*i].data_type() == field.data_type()).collect();
    let mut picks: Picks = Vec::new();
    let (mut lengths, mut valid) = (Vec::with_capacity(call.rows), Vec::with_capacity(call.rows));
    let mut all_bounds = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let own = pick(row)?;
        valid.push(own.is_some());
        let (own, bounds) = own.unwrap_or_default();
        lengths.push(own.len());
        all_bounds.push(bounds);
        for (source, at) in own {
            let source = match source {
                NULL_ELEMENT => Some(usable.len()),
                source => usable.iter().position(|i| *i == source),
            };
            picks.push((source.ok_or_else(|| SqlError::internal("elements of two types"))?, at));
        }
    }
    let null = new_null_array(field.data_type(), 1);
    let arrays: Vec<&dyn Array> = usable.iter().map(|i| sources[*i].as_ref()).chain([null.as_ref()]).collect();
    let values = match picks.is_empty() {
        true => datafusion::arrow::array::new_empty_array(field.data_type()),
        false => interleave(&arrays, &picks).map_err(|e| SqlError::internal(e.to_string()))?,
    };
    let nulls = NullBuffer::from(valid);
    let lists = ListArray::try_new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), values, Some(nulls));
    let lists = lists.map_err(|e| SqlError::internal(e.to_string()))?;
    Parts { lists, bounds: Some(all_bounds) }.put_together()
}

/// Values as bytes that are equal and ordered as PostgreSQL has them.
struct Keys {
    keys: Vec<Option<Vec<u8>>>,
}

impl Keys {
    fn of(values: &ArrayRef, ty: PgType) -> Result<Self> {
        let ordered = order_keys(values, ty)?;
        let key = |at: usize| -> Result<Option<Vec<u8>>> {
            if ordered.is_null(at) {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            encode_part(&key_part(&ordered, at, ty)?, &mut bytes);
            Ok(Some(bytes))
        };
        Ok(Self { keys: (0..ordered.len()).map(key).collect::<Result<_>>()? })
    }

    /// Of the elements of an array argument.
    fn items(call: &Call<'_>, arg: usize) -> Result<Self> {
        let lists = lists(call, arg).ok_or_else(|| SqlError::internal("an array was expected"))?;
        Self::of(lists.values(), call.types[arg].element())
    }

    fn values(call: &Call<'_>, arg: usize) -> Result<Self> {
        Self::of(&call.args[arg], call.types[arg])
    }

    fn key(&self, at: usize) -> Option<&[u8]> {
        self.keys.get(at)?.as_deref()
    }
}

/// The first subscript of an array of one dimension. 0A000 for one of more.
fn only_first(call: &Call<'_>, row: usize, doing: &str) -> Result<i32> {
    let bounds = call.bounds(0, row).unwrap_or_default();
    match &bounds[..] {
        [] => Ok(call.first_subscript(0)),
        [(first, _)] => Ok(*first),
        _ => {
            let message = format!("{doing} multidimensional arrays is not supported");
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message))
        }
    }
}

fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let (items, wanted) = (Keys::items(call, 0)?, Keys::values(call, 1)?);
    call.map::<i32, Int32Array>(|row| {
        let Some(places) = range(call, 0, row) else { return Ok(None) };
        let first = only_first(call, row, "searching for elements in")?;
        let from = match call.args.len() {
            3 => match call.int4(2, row) {
                Some(from) => usize::try_from(i64::from(from) - i64::from(first)).unwrap_or(0),
                None => return Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "initial position must not be null")),
            },
            _ => 0,
        };
        let found = places.iter().skip(from).position(|i| items.key(*i) == wanted.key(row));
        Ok(found.map(|at| (at + from) as i32 + first))
    })
}

fn positions(call: &Call<'_>) -> Result<ArrayRef> {
    let (items, wanted) = (Keys::items(call, 0)?, Keys::values(call, 1)?);
    let mut out = ListBuilder::new(Int32Builder::new()).with_field(PgType::INT4.field("item", true));
    for row in 0..call.rows {
        let Some(places) = range(call, 0, row) else {
            out.append_null();
            continue;
        };
        let first = only_first(call, row, "searching for elements in")?;
        for (at, item) in places.into_iter().enumerate() {
            if items.key(item) == wanted.key(row) {
                out.values().append_value(at as i32 + first);
            }
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn remove(call: &Call<'_>) -> Result<ArrayRef> {
    let (items, wanted) = (Keys::items(call, 0)?, Keys::values(call, 1)?);
    picked(call, |row| {
        let Some(places) = range(call, 0, row) else { return Ok(None) };
        let first = only_first(call, row, "removing elements from")?;
        let kept: Picks = places.into_iter().filter(|i| items.key(*i) != wanted.key(row)).map(|i| (0, i)).collect();
        let bounds = vec![(first, kept.len() as i32)];
        Ok(Some((kept, Some(bounds))))
    })
}

fn to_string(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = lists(call, 0).ok_or_else(|| SqlError::internal("an array was expected"))?;
    let items = Column::new(call.types[0].element(), lists.values(), call.zone())?;
    call.map_text(|row| {
        let (Some(places), Some(delimiter)) = (range(call, 0, row), call.text(1, row)) else { return Ok(None) };
        let mut out = String::new();
        let mut any = false;
        for item in places {
            let null = items.is_null(item);
            let replacement = call.text(2, row);
            if null && replacement.is_none() {
                continue;
            }
            if any {
                out.push_str(delimiter);
            }
            any = true;
            match replacement.filter(|_| null) {
                Some(replacement) => out.push_str(replacement),
                None => items.write_text(item, &mut out),
            }
        }
        Ok(Some(out))
    })
}

/// Texts in lists, a row at a time.
pub fn text_lists(rows: impl Iterator<Item = Result<Option<Vec<Option<String>>>>>) -> Result<ArrayRef> {
    lists_of(rows, &nested::listed(&PgType::TEXT.array_of().arrow()))
}

/// As [`text_lists`], of a list type whose elements are carried as text.
pub fn lists_of(rows: impl Iterator<Item = Result<Option<Vec<Option<String>>>>>, data_type: &DataType) -> Result<ArrayRef> {
    let DataType::List(field) = data_type else { return Err(SqlError::internal("an array was expected")) };
    let mut out = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(field));
    for row in rows {
        let row = row?;
        let valid = row.is_some();
        for item in row.unwrap_or_default() {
            out.values().append_option(item);
        }
        out.append(valid);
    }
    Ok(Arc::new(out.finish()))
}

fn split(call: &Call<'_>) -> Result<ArrayRef> {
    text_lists((0..call.rows).map(|row| {
        let Some(text) = call.text(0, row) else { return Ok(None) };
        let null = call.text(2, row);
        let parts: Vec<String> = match call.text(1, row) {
            _ if text.is_empty() => vec![],
            None => text.chars().map(String::from).collect(),
            Some("") => vec![text.to_owned()],
            Some(delimiter) => text.split(delimiter).map(str::to_owned).collect(),
        };
        Ok(Some(parts.into_iter().map(|part| (null != Some(part.as_str())).then_some(part)).collect()))
    }))
}

fn dimension(call: &Call<'_>, of: impl Fn(i32, i32) -> i32) -> Result<ArrayRef> {
    call.map::<i32, Int32Array>(|row| {
        let at = call.int8(1, row).and_then(|n| usize::try_from(n.checked_sub(1)?).ok());
        let bound = call.bounds(0, row).zip(at).and_then(|(bounds, at)| bounds.get(at).copied());
        Ok(bound.map(|(first, length)| of(first, length)))
    })
}

type KeyList<'a> = [Option<&'a [u8]>];

fn compared(call: &Call<'_>, holds: fn(&KeyList<'_>, &KeyList<'_>) -> bool) -> Result<ArrayRef> {
    let (a, b) = (Keys::items(call, 0)?, Keys::items(call, 1)?);
    call.map::<bool, BooleanArray>(|row| {
        let (Some(left), Some(right)) = (range(call, 0, row), range(call, 1, row)) else { return Ok(None) };
        let left: Vec<Option<&[u8]>> = left.into_iter().map(|i| a.key(i)).collect();
        let right: Vec<Option<&[u8]>> = right.into_iter().map(|i| b.key(i)).collect();
        Ok(Some(holds(&left, &right)))
    })
}

type Holds = fn(Ordering) -> bool;

fn operator(name: &str) -> Result<Holds> {
    Ok(match name {
        "=" => |o| o == Ordering::Equal,
        "<>" | "!=" => |o| o != Ordering::Equal,
        "<" => |o| o == Ordering::Less,
        "<=" => |o| o != Ordering::Greater,
        ">" => |o| o == Ordering::Greater,
        ">=" => |o| o != Ordering::Less,
        _ => {
            let message = format!("operator {name} with ANY or ALL of an array is not supported");
            return Err(SqlError::unsupported(message, "Unnest the array in a subquery with EXISTS."));
        }
    })
}

/// `value op ANY/ALL (array)` with SQL's three values.
fn quantified(call: &Call<'_>, any: bool, of: fn(&str) -> Result<Holds>) -> Result<ArrayRef> {
    let operator = call.text(2, 0).unwrap_or("=");
    if let Some(pattern) = Pattern::of(operator) {
        return pattern.quantified(call, any);
    }
    let holds = of(operator)?;
    let (items, values) = (Keys::items(call, 0)?, Keys::values(call, 1)?);
    call.map::<bool, BooleanArray>(|row| {
        let Some(places) = range(call, 0, row) else { return Ok(None) };
        if places.is_empty() {
            return Ok(Some(!any));
        }
        let Some(value) = values.key(row) else { return Ok(None) };
        let mut unknown = false;
        for place in places {
            match items.key(place) {
                Some(item) if holds(value.cmp(item)) == any => return Ok(Some(any)),
                Some(_) => {}
                None => unknown = true,
            }
        }
        Ok((!unknown).then_some(!any))
    })
}

fn element(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = lists(call, 0).ok_or_else(|| SqlError::internal("an array was expected"))?;
    let start = lists.value_offsets();
    let place = |row: usize| {
        let subscripts = (1..call.args.len()).map(|arg| call.int8(arg, row)).collect::<Option<Vec<_>>>()?;
        let at = nested::place(&call.bounds(0, row)?, &subscripts)?;
        Some(start[row] as u64 + at as u64)
    };
    let places: datafusion::arrow::array::UInt64Array = (0..call.rows).map(place).collect();
    datafusion::arrow::compute::take(lists.values(), &places, None).map_err(|e| SqlError::internal(e.to_string()))
}

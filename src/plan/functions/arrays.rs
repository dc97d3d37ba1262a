//! Functions and operators of one-dimensional arrays: PostgreSQL's NULL rules, elements equal and ordered by their
//! order keys.
//!
//! Refuses a second dimension wherever one would arise.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int32Builder, ListArray, ListBuilder, StringBuilder,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, Field};

use super::define::{Call, Function, INT4, INT8, Returns, TEXT, Want};
use super::order_key::order_keys;
use crate::error::{Result, SqlError, SqlState};
use crate::plan::keys::key_part;
use crate::types::encode::Column;
use crate::types::{PgType, TypeName};
use crate::versions::key::encode_part;

const INT4_RESULT: Returns = Returns::Fixed(PgType::INT4);
const BOOL: Returns = Returns::Fixed(PgType::BOOL);
const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const TEXTS: Returns = Returns::Fixed(PgType::TEXT.array_of());
const INTS: Returns = Returns::Fixed(PgType::INT4.array_of());
const ARRAY: Want = Want::Array;
const ELEMENT: Want = Want::Element;

pub const CONTAINS: &str = "pg_array_contains";
pub const CONTAINED: &str = "pg_array_contained";
pub const OVERLAPS: &str = "pg_array_overlaps";
pub const SUBSCRIPT: &str = "pg_array_element";
pub const SLICE: &str = "pg_array_slice";
/// `pg_compare_any(array, value, operator)`: whether `value operator element` holds for one.
pub const ANY: &str = "pg_compare_any";
pub const ALL: &str = "pg_compare_all";

pub const FUNCTIONS: &[Function] = &[
    Function::new("array_append", &[ARRAY, ELEMENT], Returns::Field(|_, t, _| same_list(t, 0)), |c| {
        picked(c, |row| Some(both(range(c, 0, row).unwrap_or_default(), 0, vec![row], 1)))
    }),
    Function::new("array_prepend", &[ELEMENT, ARRAY], Returns::Field(|_, t, _| same_list(t, 1)), |c| {
        picked(c, |row| Some(both(vec![row], 0, range(c, 1, row).unwrap_or_default(), 1)))
    }),
    Function::new("array_cat", &[ARRAY, ARRAY], Returns::Field(|_, t, _| same_list(t, 0)), |c| {
        picked(c, |row| match (range(c, 0, row), range(c, 1, row)) {
            (None, None) => None,
            (a, b) => Some(both(a.unwrap_or_default(), 0, b.unwrap_or_default(), 1)),
        })
    }),
    Function::new("array_position", &[ARRAY, ELEMENT, INT4], INT4_RESULT, position).optional(1),
    Function::new("array_positions", &[ARRAY, ELEMENT], INTS, positions),
    Function::new("array_remove", &[ARRAY, ELEMENT], Returns::Field(|_, t, _| same_list(t, 0)), |c| {
        let (items, wanted) = (Keys::items(c, 0)?, Keys::values(c, 1)?);
        picked(c, |row| {
            let kept = range(c, 0, row)?.into_iter().filter(|i| items.key(*i) != wanted.key(row));
            Some(kept.map(|i| (0, i)).collect())
        })
    }),
    Function::new("array_replace", &[ARRAY, ELEMENT, ELEMENT], Returns::Field(|_, t, _| same_list(t, 0)), |c| {
        let (items, wanted) = (Keys::items(c, 0)?, Keys::values(c, 1)?);
        picked(c, |row| {
            let replaced = |i: usize| if items.key(i) == wanted.key(row) { (2, row) } else { (0, i) };
            Some(range(c, 0, row)?.into_iter().map(replaced).collect())
        })
    }),
    Function::new("array_to_string", &[ARRAY, TEXT, TEXT], TEXT_RESULT, to_string).optional(1).stable(),
    Function::new("string_to_array", &[TEXT, TEXT, TEXT], TEXTS, split).optional(1),
    Function::new("array_length", &[ARRAY, INT8], INT4_RESULT, |c| dimension(c, |len| len)),
    Function::new("array_upper", &[ARRAY, INT8], INT4_RESULT, |c| dimension(c, |len| first_subscript(c) + len - 1)),
    Function::new("array_lower", &[ARRAY, INT8], INT4_RESULT, |c| dimension(c, |_| first_subscript(c))),
    Function::new("array_ndims", &[ARRAY], INT4_RESULT, |c| {
        c.map::<i32, Int32Array>(|row| Ok(range(c, 0, row).filter(|r| !r.is_empty()).map(|_| 1)))
    }),
    Function::new("array_dims", &[ARRAY], TEXT_RESULT, |c| {
        let first = first_subscript(c);
        c.map_text(|row| {
            Ok(range(c, 0, row).filter(|r| !r.is_empty()).map(|r| format!("[{first}:{}]", first + r.len() as i32 - 1)))
        })
    }),
    Function::new("cardinality", &[ARRAY], INT4_RESULT, |c| {
        c.map::<i32, Int32Array>(|row| Ok(range(c, 0, row).map(|r| r.len() as i32)))
    }),
    Function::new("array_fill", &[ELEMENT, Want::Type(TypeName::Int4), INT4], Returns::Field(filled_type), |_| {
        Err(SqlError::unsupported("array_fill is not supported", "Write the elements, or use array_agg over generate_series."))
    })
    .optional(1),
    Function::new("trim_array", &[ARRAY, INT4], Returns::Field(|_, t, _| same_list(t, 0)), trim),
    Function::new(CONTAINS, &[ARRAY, ARRAY], BOOL, |c| compared(c, |a, b| b.iter().all(|k| k.is_some() && a.contains(k)))),
    Function::new(CONTAINED, &[ARRAY, ARRAY], BOOL, |c| compared(c, |a, b| a.iter().all(|k| k.is_some() && b.contains(k)))),
    Function::new(OVERLAPS, &[ARRAY, ARRAY], BOOL, |c| compared(c, |a, b| a.iter().any(|k| k.is_some() && b.contains(k)))),
    Function::new("array_has", &[ARRAY, ELEMENT], BOOL, |c| quantified(c, true, |_| Ok(|o| o == Ordering::Equal))),
    Function::new(ANY, &[ARRAY, ELEMENT, TEXT], BOOL, |c| quantified(c, true, operator)),
    Function::new(ALL, &[ARRAY, ELEMENT, TEXT], BOOL, |c| quantified(c, false, operator)),
    Function::new(SUBSCRIPT, &[ARRAY, INT8], Returns::Field(|_, t, _| element_field(t)), element),
    Function::new(SLICE, &[ARRAY, INT8, INT8], Returns::Field(|_, t, _| same_list(t, 0)), slice),
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

fn element_field(types: &[DataType]) -> Result<Field> {
    match types.first() {
        Some(DataType::List(item)) => Ok(item.as_ref().clone().with_name("array").with_nullable(true)),
        _ => Err(SqlError::new(SqlState::DATATYPE_MISMATCH, "cannot subscript a value that is no array")),
    }
}

fn filled_type(types: &[PgType], _: &[DataType], _: &[Option<&datafusion::common::ScalarValue>]) -> Result<Field> {
    Ok(types.first().copied().unwrap_or(PgType::TEXT).array_of().field("array", true))
}

fn lists<'a>(call: &'a Call<'_>, arg: usize) -> Option<&'a ListArray> {
    call.args.get(arg)?.as_list_opt::<i32>()
}

/// Places of an array's elements among all elements of its column; `None` for NULL.
fn range(call: &Call<'_>, arg: usize, row: usize) -> Option<Vec<usize>> {
    let lists = lists(call, arg)?;
    let ends = lists.value_offsets();
    lists.is_valid(row).then(|| (ends[row] as usize..ends[row + 1] as usize).collect())
}

type Picks = Vec<(usize, usize)>;

fn both(first: Vec<usize>, a: usize, second: Vec<usize>, b: usize) -> Picks {
    first.into_iter().map(|i| (a, i)).chain(second.into_iter().map(|i| (b, i))).collect()
}

/// Arrays made of elements that are picked, by argument and place, from the arguments' elements and values.
fn picked(call: &Call<'_>, pick: impl Fn(usize) -> Option<Picks>) -> Result<ArrayRef> {
    let sources: Vec<ArrayRef> = call
        .args
        .iter()
        .map(|array| array.as_list_opt::<i32>().map_or_else(|| Arc::clone(array), |lists| Arc::clone(lists.values())))
        .collect();
    let DataType::List(field) = call.returns.data_type() else { return Err(SqlError::internal("an array was expected")) };
    let usable: Vec<usize> = (0..sources.len()).filter(|i| sources[*i].data_type() == field.data_type()).collect();
    let mut picks: Picks = Vec::new();
    let (mut lengths, mut valid) = (Vec::with_capacity(call.rows), Vec::with_capacity(call.rows));
    for row in 0..call.rows {
        let own = pick(row);
        valid.push(own.is_some());
        let own = own.unwrap_or_default();
        lengths.push(own.len());
        for (source, at) in own {
            let source = usable.iter().position(|i| *i == source);
            picks.push((source.ok_or_else(|| SqlError::internal("elements of two types"))?, at));
        }
    }
    let arrays: Vec<&dyn Array> = usable.iter().map(|i| sources[*i].as_ref()).collect();
    let values = interleave(&arrays, &picks).map_err(|e| SqlError::internal(e.to_string()))?;
    let nulls = NullBuffer::from(valid);
    let list = ListArray::try_new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), values, Some(nulls));
    Ok(Arc::new(list.map_err(|e| SqlError::internal(e.to_string()))?))
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

fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let (items, wanted, first) = (Keys::items(call, 0)?, Keys::values(call, 1)?, first_subscript(call));
    call.map::<i32, Int32Array>(|row| {
        let Some(places) = range(call, 0, row) else { return Ok(None) };
        let from = match call.args.len() {
            3 => match call.int4(2, row) {
                Some(from) => usize::try_from(from - first).unwrap_or(0),
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
    let first = first_subscript(call);
    let mut out = ListBuilder::new(Int32Builder::new()).with_field(PgType::INT4.field("item", true));
    for row in 0..call.rows {
        let Some(places) = range(call, 0, row) else {
            out.append_null();
            continue;
        };
        for (at, item) in places.into_iter().enumerate() {
            if items.key(item) == wanted.key(row) {
                out.values().append_value(at as i32 + first);
            }
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
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
    lists_of(rows, &PgType::TEXT.array_of().arrow())
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

/// The subscript of an array's first element: PostgreSQL counts the catalogue's vectors from 0.
pub fn first_subscript(call: &Call<'_>) -> i32 {
    let vector = call.types.first().is_some_and(|ty| !ty.array && ty.name.vector_of().is_some());
    if vector { 0 } else { 1 }
}

fn dimension(call: &Call<'_>, of: impl Fn(i32) -> i32) -> Result<ArrayRef> {
    call.map::<i32, Int32Array>(|row| {
        let places = range(call, 0, row).filter(|places| !places.is_empty());
        Ok(places.filter(|_| call.int8(1, row) == Some(1)).map(|places| of(places.len() as i32)))
    })
}

fn trim(call: &Call<'_>) -> Result<ArrayRef> {
    for row in 0..call.rows {
        if let (Some(places), Some(n)) = (range(call, 0, row), call.int4(1, row))
            && !(0..=places.len() as i64).contains(&i64::from(n))
        {
            let message = format!("number of elements to trim must be between 0 and {}", places.len());
            return Err(SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, message));
        }
    }
    picked(call, |row| {
        let (mut places, n) = (range(call, 0, row)?, call.int4(1, row)?);
        places.truncate(places.len().saturating_sub(n.unsigned_abs() as usize));
        Some(places.into_iter().map(|i| (0, i)).collect())
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
    let holds = of(call.text(2, 0).unwrap_or("="))?;
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
    let first = i64::from(first_subscript(call));
    let place = |row: usize| {
        let places = range(call, 0, row)?;
        let at = usize::try_from(call.int8(1, row)?.checked_sub(first)?).ok()?;
        places.get(at).map(|at| *at as u64)
    };
    let places: datafusion::arrow::array::UInt64Array = (0..call.rows).map(place).collect();
    datafusion::arrow::compute::take(lists.values(), &places, None).map_err(|e| SqlError::internal(e.to_string()))
}

/// Both bounds are inside; what is beyond the array is left out. A NULL bound gives NULL.
fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    let first = i64::from(first_subscript(call));
    picked(call, |row| {
        let (places, from, to) = (range(call, 0, row)?, call.int8(1, row)?, call.int8(2, row)?);
        let from = usize::try_from(from.max(first) - first).ok()?;
        let to = usize::try_from(to.saturating_add(1 - first).max(0)).ok()?.min(places.len());
        Some(places.get(from..to).unwrap_or_default().iter().map(|i| (0, *i)).collect())
    })
}

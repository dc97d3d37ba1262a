//! Functions of ranges, and what their operators do. Values are read from their texts row by row.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int32Array, Int64Array, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::ScalarValue;

use super::define::{Call, Function, Returns, TEXT, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::casts::cast_array;
use crate::types::numeric::Numeric;
use crate::types::numeric::column::{Numbers, collect};
use crate::types::written::range::{Bound, Range, Subtype, Value};
use crate::types::{PgType, TypeName, Written, Zone};

const ONE: &[Want] = &[Want::Any];
const BOOL: Returns = Returns::Fixed(PgType::BOOL);

macro_rules! constructor {
    ($name:literal, $kind:ident, $subtype:ident) => {
        Function::new(
            $name,
            &[Want::Type(TypeName::$subtype), Want::Type(TypeName::$subtype), TEXT],
            Returns::of(TypeName::Written(Written::$kind)),
            |c| construct(c, Written::$kind),
        )
        .optional(1)
    };
}

pub const FUNCTIONS: &[Function] = &[
    constructor!("int4range", Int4range, Int4),
    constructor!("int8range", Int8range, Int8),
    constructor!("numrange", Numrange, Numeric),
    constructor!("tsrange", Tsrange, Timestamp),
    constructor!("tstzrange", Tstzrange, Timestamptz),
    constructor!("daterange", Daterange, Date),
    Function::new("isempty", ONE, BOOL, |c| fact(c, Range::is_empty)),
    Function::new("lower_inc", ONE, BOOL, |c| fact(c, |r| r.lower().is_some_and(|b| b.inclusive))),
    Function::new("upper_inc", ONE, BOOL, |c| fact(c, |r| r.upper().is_some_and(|b| b.inclusive))),
    Function::new("lower_inf", ONE, BOOL, |c| fact(c, |r| r.lower().is_some_and(|b| b.value.is_none()))),
    Function::new("upper_inf", ONE, BOOL, |c| fact(c, |r| r.upper().is_some_and(|b| b.value.is_none()))),
    Function::new("range_merge", &[Want::Any, Want::Any], Returns::Field(merged_field), |c| {
        let kind = kind_of(c, 0)?;
        c.map_text(|row| match (range(c, 0, row, kind)?, range(c, 1, row, kind)?) {
            (Some(a), Some(b)) => a.union(&b, false).map(|r| Some(r.write(Zone::UTC))),
            _ => Ok(None),
        })
    }),
];

fn undefined(name: &str, types: &[PgType]) -> SqlError {
    let types: Vec<String> = types.iter().map(|t| t.with_modifier(-1).sql_name()).collect();
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name}({}) does not exist", types.join(", ")))
        .hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

fn merged_field(types: &[PgType], _: &[DataType], _: &[Option<&ScalarValue>]) -> Result<Field> {
    let range = types.iter().find(|ty| !ty.array && ty.name.written().is_some_and(|kind| kind.subtype().is_some()));
    match range {
        Some(ty) => Ok(ty.field("range_merge", true)),
        None => Err(undefined("range_merge", types)),
    }
}

/// The type of range that a call is about: of the first argument that is one, from `first` on.
fn kind_of(call: &Call<'_>, first: usize) -> Result<Written> {
    let range = |ty: &PgType| ty.name.written().filter(|kind| kind.subtype().is_some() && !ty.array);
    let found = call.types.iter().skip(first).find_map(range);
    found.ok_or_else(|| undefined(call.returns.name(), &call.types))
}

fn range(call: &Call<'_>, arg: usize, row: usize, kind: Written) -> Result<Option<Range>> {
    call.text(arg, row).map(|text| kind.range(text, call.zone())).transpose()
}

fn fact(call: &Call<'_>, fact: fn(&Range) -> bool) -> Result<ArrayRef> {
    let kind = kind_of(call, 0)?;
    call.map::<bool, BooleanArray>(|row| Ok(range(call, 0, row, kind)?.map(|r| fact(&r))))
}

/// Values of a range's subtype, from an array that holds such.
fn values(array: &ArrayRef, subtype: Subtype) -> Result<Vec<Option<Value>>> {
    let unfit = || SqlError::internal("a bound of another type than its range");
    let whole = |n: i64| Value::Whole(n);
    Ok(match subtype {
        Subtype::Int4 => {
            let values = array.as_primitive_opt::<Int32Type>().ok_or_else(unfit)?;
            values.iter().map(|n| n.map(|n| whole(n.into()))).collect()
        }
        Subtype::Int8 => array.as_primitive_opt::<Int64Type>().ok_or_else(unfit)?.iter().map(|n| n.map(whole)).collect(),
        Subtype::Date => {
            let values = array.as_primitive_opt::<Date32Type>().ok_or_else(unfit)?;
            values.iter().map(|n| n.map(|n| whole(n.into()))).collect()
        }
        Subtype::Timestamp | Subtype::Timestamptz => {
            array.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(unfit)?.iter().map(|n| n.map(whole)).collect()
        }
        Subtype::Numeric => Numbers::new(array)?.iter().map(|n| n.map(Value::Number)).collect(),
    })
}

fn construct(call: &Call<'_>, kind: Written) -> Result<ArrayRef> {
    let Some(subtype) = kind.subtype() else { return Err(SqlError::internal("a range of nothing")) };
    let (lower, upper) = (values(&call.args[0], subtype)?, values(&call.args[1], subtype)?);
    let value = |values: &[Option<Value>], row: usize| values.get(row).cloned().flatten();
    call.map_text(|row| {
        let (from, to) = if call.args.len() > 2 { inclusion(call.text(2, row))? } else { (true, false) };
        let lower = Bound { value: value(&lower, row), inclusive: from };
        let upper = Bound { value: value(&upper, row), inclusive: to };
        Range::new(subtype, lower, upper).map(|range| Some(range.write(Zone::UTC)))
    })
}

/// Whether each bound is inside, from `[)` and its like.
fn inclusion(flags: Option<&str>) -> Result<(bool, bool)> {
    match flags {
        Some("[]") => Ok((true, true)),
        Some("[)") => Ok((true, false)),
        Some("(]") => Ok((false, true)),
        Some("()") => Ok((false, false)),
        Some(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "invalid range bound flags")
            .hint("Valid values are \"[]\", \"[)\", \"(]\", and \"()\".")),
        None => {
            let message = "range constructor flags argument must not be null";
            Err(SqlError::new(SqlState::DATA_EXCEPTION, message))
        }
    }
}

/// `lower(range)` and `upper(range)`: NULL where there is no such bound.
pub fn bound(call: &Call<'_>, kind: Written, is_lower: bool) -> Result<ArrayRef> {
    let Some(subtype) = kind.subtype() else { return Err(undefined(call.returns.name(), &call.types)) };
    let value = |row: usize| -> Result<Option<Value>> {
        let range = range(call, 0, row, kind)?;
        let bound = range.as_ref().and_then(|r| if is_lower { r.lower() } else { r.upper() });
        Ok(bound.and_then(|bound| bound.value.clone()))
    };
    let values = (0..call.rows).map(value).collect::<Result<Vec<_>>>()?;
    let whole = values.iter().map(|value| match value {
        Some(Value::Whole(n)) => Some(*n),
        _ => None,
    });
    Ok(match subtype {
        Subtype::Int4 => Arc::new(whole.map(|n| n.map(|n| n as i32)).collect::<Int32Array>()),
        Subtype::Date => Arc::new(whole.map(|n| n.map(|n| n as i32)).collect::<Date32Array>()),
        Subtype::Int8 => Arc::new(whole.collect::<Int64Array>()),
        Subtype::Timestamp => Arc::new(whole.collect::<TimestampMicrosecondArray>()),
        Subtype::Timestamptz => Arc::new(whole.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Subtype::Numeric => {
            let number = |value: &Option<Value>| -> Result<Option<Numeric>> {
                Ok(match value {
                    Some(Value::Number(n)) => Some(n.clone()),
                    _ => None,
                })
            };
            collect(values.iter().map(number))?
        }
    })
}

/// What an operator between ranges, or a range and a value of its subtype, gives.
pub fn operator_type(left: PgType, op: &str, right: PgType) -> Option<PgType> {
    let range = |ty: PgType| ty.name.written().filter(|kind| kind.subtype().is_some() && !ty.array);
    match (range(left), op, range(right)) {
        (Some(a), "@>" | "<@" | "&&" | "<<" | ">>" | "&<" | "&>" | "-|-", Some(b)) if a == b => Some(PgType::BOOL),
        (Some(a), "+" | "-" | "*", Some(b)) if a == b => Some(left),
        (Some(_), "@>", None) | (None, "<@", Some(_)) => Some(PgType::BOOL),
        _ => None,
    }
}

pub fn operate(call: &Call<'_>, op: &str) -> Result<ArrayRef> {
    let kind = kind_of(call, 0)?;
    let is_range = |arg: usize| call.types.get(arg).is_some_and(|ty| ty.name == TypeName::Written(kind));
    match (is_range(0), is_range(1)) {
        (true, false) => return contains_values(call, kind, 0, 1),
        (false, true) => return contains_values(call, kind, 1, 0),
        _ => {}
    }
    let both = |row: usize| -> Result<Option<(Range, Range)>> { Ok(range(call, 0, row, kind)?.zip(range(call, 1, row, kind)?)) };
    let made: fn(&Range, &Range) -> Result<Range> = match op {
        "+" => |a, b| a.union(b, true),
        "-" => |a, b| a.difference(b),
        "*" => |a, b| a.intersection(b),
        _ => {
            let holds: fn(&Range, &Range) -> bool = match op {
                "@>" => Range::contains,
                "<@" => |a, b| b.contains(a),
                "&&" => Range::overlaps,
                "<<" => Range::before,
                ">>" => |a, b| b.before(a),
                "&<" => Range::ends_within,
                "&>" => Range::begins_within,
                _ => Range::adjacent,
            };
            return call.map::<bool, BooleanArray>(|row| Ok(both(row)?.map(|(a, b)| holds(&a, &b))));
        }
    };
    call.map_text(|row| both(row)?.map(|(a, b)| made(&a, &b).map(|r| r.write(Zone::UTC))).transpose())
}

fn contains_values(call: &Call<'_>, kind: Written, ranges: usize, elements: usize) -> Result<ArrayRef> {
    let Some(subtype) = kind.subtype() else { return Err(SqlError::internal("a range of nothing")) };
    let array = &call.args[elements];
    let array = match *array.data_type() == subtype.ty().arrow() {
        true => Arc::clone(array),
        false => cast_array(array, call.types[elements], subtype.ty(), call.zone())?,
    };
    let values = values(&array, subtype)?;
    call.map::<bool, BooleanArray>(|row| {
        let range = range(call, ranges, row, kind)?;
        Ok(range.zip(values.get(row).cloned().flatten()).map(|(range, value)| range.contains_value(&value)))
    })
}

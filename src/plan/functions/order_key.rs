//! `pg_order_key`: a value that compares in Arrow as the argument does in PostgreSQL. Only `plan::ordering` puts
//! it into plans.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Decimal128Array, Int32Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType};

use super::define::{Call, Function, Returns, Want};
use crate::error::{Result, SqlError};
use crate::plan::keys::key_part;
use crate::types::calendar::MICROS_PER_DAY;
use crate::types::json::Json;
use crate::types::nested::{Bounds, Parts};
use crate::types::numeric::column::{ARROW, keys};
use crate::types::{PgType, TypeName, Written, order};
use crate::versions::key::encode_part;

/// The function's name.
pub const ORDER_KEY: &str = "pg_order_key";

pub fn function() -> Function {
    Function::new(
        ORDER_KEY,
        &[Want::Any],
        Returns::Field(|types, arrow, _| Ok(Field::new(ORDER_KEY, key_type(types, arrow), true))),
        run,
    )
}

fn key_type(types: &[PgType], arrow: &[DataType]) -> DataType {
    match types.first() {
        // Decimals of one scale compare as they are.
        Some(ty) if ty.name == TypeName::Numeric && !ty.array && arrow.first() != Some(&ARROW) => {
            arrow.first().cloned().unwrap_or(DataType::Binary)
        }
        Some(ty) if ty.array || matches!(ty.name, TypeName::Jsonb | TypeName::Numeric | TypeName::Written(_)) => DataType::Binary,
        Some(ty) if ty.name == TypeName::Interval => DataType::Decimal128(38, 0),
        Some(ty) if ty.name.enumeration().is_some() => DataType::Int32,
        _ => DataType::Utf8,
    }
}

fn run(call: &Call<'_>) -> Result<ArrayRef> {
    order_keys(&call.args[0], call.types[0])
}

/// Keys of all values; NULL stays NULL.
pub fn order_keys(values: &ArrayRef, ty: PgType) -> Result<ArrayRef> {
    if ty.array {
        return arrays(values, ty);
    }
    match ty.name {
        TypeName::Interval => intervals(values),
        TypeName::Jsonb => documents(values),
        TypeName::Written(kind) => written(values, kind),
        TypeName::Numeric => match values.as_binary_opt::<i64>() {
            Some(numbers) => Ok(Arc::new(keys(numbers))),
            None => Ok(Arc::clone(values)),
        },
        TypeName::Bpchar => {
            let texts = values.as_string_opt::<i32>().ok_or_else(no_key)?;
            let trimmed = texts.iter().map(|t| t.map(|t| t.trim_end_matches(' ')));
            Ok(Arc::new(trimmed.collect::<StringArray>()))
        }
        TypeName::Enum(user) => {
            let labels = values.as_string_opt::<i32>().ok_or_else(no_key)?;
            let ranks = labels.iter().map(|label| label.map(|label| i32::try_from(user.rank(label)).unwrap_or(i32::MAX)));
            Ok(Arc::new(ranks.collect::<Int32Array>()))
        }
        _ => Ok(Arc::clone(values)),
    }
}

fn no_key() -> SqlError {
    SqlError::internal("a value without an order was to be compared")
}

/// A month counts 30 days, a day 24 hours.
pub fn span(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * i128::from(MICROS_PER_DAY) + i128::from(interval.nanoseconds / 1000)
}

fn intervals(values: &ArrayRef) -> Result<ArrayRef> {
    let spans = values.as_primitive_opt::<IntervalMonthDayNanoType>().ok_or_else(no_key)?;
    let keys = spans.iter().map(|x| x.map(span)).collect::<Decimal128Array>();
    Ok(Arc::new(keys.with_precision_and_scale(38, 0).map_err(|_| no_key())?))
}

fn documents(values: &ArrayRef) -> Result<ArrayRef> {
    of_texts(values, |text, key| {
        order::push_json(key, &Json::stored(text)?);
        Ok(())
    })
}

fn written(values: &ArrayRef, kind: Written) -> Result<ArrayRef> {
    of_texts(values, |text, key| kind.push_key(text, key))
}

/// The keys that `push` appends for each text; NULL for NULL.
fn of_texts(values: &ArrayRef, push: impl Fn(&str, &mut Vec<u8>) -> Result<()>) -> Result<ArrayRef> {
    let texts = values.as_string_opt::<i32>().ok_or_else(no_key)?;
    let mut out = BinaryBuilder::new();
    let mut key = Vec::new();
    for text in texts {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        key.clear();
        push(text, &mut key)?;
        out.append_value(&key);
    }
    Ok(Arc::new(out.finish()))
}

/// Element by element, NULL after every value and equal to NULL, the shorter of two that begin alike first.
fn arrays(values: &ArrayRef, ty: PgType) -> Result<ArrayRef> {
    let parts = Parts::of(values).ok_or_else(no_key)?;
    let lists = &parts.lists;
    let items = order_keys(lists.values(), ty.element())?;
    let mut out = BinaryBuilder::new();
    let mut key = Vec::new();
    for (row, ends) in lists.value_offsets().windows(2).enumerate() {
        if lists.is_null(row) {
            out.append_null();
            continue;
        }
        key.clear();
        for item in ends[0] as usize..ends[1] as usize {
            // Keys of such elements are bytes already.
            let element = if ty.name.written().is_some() { PgType::new(TypeName::Bytea) } else { ty.element() };
            encode_part(&key_part(&items, item, element)?, &mut key);
        }
        key.push(0);
        push_bounds(&parts.bounds(row).unwrap_or_default(), &mut key);
        out.append_value(&key);
    }
    Ok(Arc::new(out.finish()))
}

/// How many dimensions, then their lengths, then their first subscripts.
fn push_bounds(bounds: &Bounds, key: &mut Vec<u8>) {
    key.push(bounds.len() as u8);
    bounds.iter().for_each(|(_, length)| key.extend(length.to_be_bytes()));
    bounds.iter().for_each(|(first, _)| key.extend(((*first as u32) ^ (1 << 31)).to_be_bytes()));
}

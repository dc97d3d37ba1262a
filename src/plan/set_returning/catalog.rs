//! Functions of the catalogue that give rows: options as names and values, arrays with the numbers of their elements.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, ListBuilder, StringArray, StringBuilder, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;

use crate::error::{Result, SqlError};
use crate::plan::functions::define::{Call, Function, Returns, Want};
use crate::types::{PgType, TypeName};

pub const OPTION_NAMES: &str = "__option_names";
pub const OPTION_VALUES: &str = "__option_values";
/// The elements of an array as rows of `x` and `n`.
pub const EXPANDED: &str = "__expanded";

const TEXTS: Returns = Returns::Fixed(PgType::TEXT.array_of());

/// The columns of `pg_get_keywords`, in order.
pub const KEYWORDS: [&str; 5] =
    ["__keyword_words", "__keyword_codes", "__keyword_labels", "__keyword_kinds", "__keyword_label_kinds"];
/// What a partition descends from: nothing, since no relation is one.
pub const ANCESTORS: &str = "__partition_ancestors";

/// Word, code, whether it may be a label without AS, and the last two in words.
const KEYWORD_ROWS: &str = include_str!("../../../data/pg_catalog/keywords.tsv");

const CODES: Returns = Returns::Fixed(PgType::new(TypeName::Char).array_of());
const TRUTHS: Returns = Returns::Fixed(PgType::BOOL.array_of());

pub const FUNCTIONS: &[Function] = &[
    Function::new(KEYWORDS[0], &[], TEXTS, |c| keywords(c, 0)).stable(),
    Function::new(KEYWORDS[1], &[], CODES, |c| keywords(c, 1)).stable(),
    Function::new(KEYWORDS[2], &[], TRUTHS, |c| keywords(c, 2)).stable(),
    Function::new(KEYWORDS[3], &[], TEXTS, |c| keywords(c, 3)).stable(),
    Function::new(KEYWORDS[4], &[], TEXTS, |c| keywords(c, 4)).stable(),
    Function::new(ANCESTORS, &[Want::Any], Returns::Fixed(PgType::new(TypeName::Regclass).array_of()), |c| {
        Ok(datafusion::arrow::array::new_null_array(c.returns.data_type(), c.rows))
    })
    .stable(),
    Function::new(OPTION_NAMES, &[Want::Texts], TEXTS, |c| options(c, |option| option.split_once('=').map_or(option, |o| o.0))),
    Function::new(OPTION_VALUES, &[Want::Texts], TEXTS, |c| options(c, |option| option.split_once('=').map_or("", |o| o.1))),
    Function::new(EXPANDED, &[Want::Array], Returns::Field(expanded_field), expanded).dimensional(),
];

fn keywords(call: &Call<'_>, column: usize) -> Result<ArrayRef> {
    let DataType::List(item) = call.returns.data_type() else { return Err(SqlError::internal("a list that is none")) };
    let cells = || KEYWORD_ROWS.lines().filter_map(|line| line.split('\t').nth(column));
    let values: ArrayRef = match item.data_type() {
        DataType::Boolean => Arc::new(cells().map(|cell| Some(cell == "t")).collect::<BooleanArray>()),
        _ => Arc::new(cells().map(Some).collect::<StringArray>()),
    };
    let lists: Vec<ArrayRef> = (0..call.rows).map(|_| Arc::clone(&values)).collect();
    let parts: Vec<&dyn Array> = lists.iter().map(AsRef::as_ref).collect();
    let all = match parts.is_empty() {
        true => datafusion::arrow::array::new_empty_array(item.data_type()),
        false => datafusion::arrow::compute::concat(&parts).map_err(|_| SqlError::internal("keywords are no list"))?,
    };
    let offsets = OffsetBuffer::from_repeated_length(values.len(), call.rows);
    let list = ListArray::try_new(Arc::clone(item), offsets, all, None);
    Ok(Arc::new(list.map_err(|_| SqlError::internal("keywords are no list"))?))
}

/// A part of each `name=value`.
fn options(call: &Call<'_>, part: fn(&str) -> &str) -> Result<ArrayRef> {
    let item = match call.returns.data_type() {
        DataType::List(item) => Arc::clone(item),
        _ => return Err(SqlError::internal("a list that is none")),
    };
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item);
    let given = call.args[0].as_list_opt::<i32>();
    for row in 0..call.rows {
        match given.filter(|lists| !lists.is_null(row)) {
            Some(given) => {
                let values = given.value(row);
                lists.append_value(values.as_string::<i32>().iter().map(|option| option.map(part)));
            }
            None => lists.append_null(),
        }
    }
    Ok(Arc::new(lists.finish()))
}

fn expanded_field(_: &[PgType], types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<Field> {
    let Some(DataType::List(element)) = types.first() else {
        return Err(SqlError::internal("an array that is none"));
    };
    let x = element.as_ref().clone().with_name("x").with_nullable(true);
    let fields = Fields::from(vec![x, PgType::INT4.field("n", true)]);
    let item = Field::new("item", DataType::Struct(fields), true);
    Ok(Field::new(EXPANDED, DataType::List(Arc::new(item)), true))
}

fn expanded(call: &Call<'_>) -> Result<ArrayRef> {
    let broken = || SqlError::internal("an array that is none");
    let lists = call.args[0].as_list_opt::<i32>().ok_or_else(broken)?;
    let DataType::List(item) = call.returns.data_type() else { return Err(broken()) };
    let DataType::Struct(fields) = item.data_type() else { return Err(broken()) };
    let lengths: Vec<usize> = (0..lists.len()).map(|row| if lists.is_null(row) { 0 } else { lists.value(row).len() }).collect();
    let numbers: Int32Array = lengths.iter().flat_map(|length| 1..=i32::try_from(*length).unwrap_or(i32::MAX)).collect();
    let parts: Vec<ArrayRef> = (0..lists.len()).filter(|row| !lists.is_null(*row)).map(|row| lists.value(row)).collect();
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    let values = match parts.is_empty() {
        true => datafusion::arrow::array::new_empty_array(&lists.value_type()),
        false => datafusion::arrow::compute::concat(&parts).map_err(|_| broken())?,
    };
    let rows = StructArray::try_new(fields.clone(), vec![values, Arc::new(numbers)], None).map_err(|_| broken())?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = lists.nulls().cloned();
    let list = ListArray::try_new(Arc::clone(item), offsets, Arc::new(rows), nulls).map_err(|_| broken())?;
    Ok(Arc::new(list))
}

//! Rows as keys: the item a row is, and its entries in the table's indexes.
//!
//! The one place that says how a column's value becomes a key part, so that what is written and what is looked
//! up agree byte for byte. Reads no store.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;

use crate::error::{Result, SqlError, SqlState};
use crate::history::{ColumnId, TableDef};
use crate::store::IndexEntry;
use crate::types::{PgType, TypeName};
use crate::versions::key::encode_part;
use crate::versions::{IndexId, ItemKey, KeyPart};

/// Bytes that a key may have; longer ones would not fit the stores' indexes.
const LONGEST_KEY: usize = 8_000;

/// The key part of one value. The array has the Arrow type of `ty`. Arrays and json have no order: 0A000.
pub fn key_part(array: &dyn Array, row: usize, ty: PgType) -> Result<KeyPart<'_>> {
    if array.is_null(row) {
        return Ok(KeyPart::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => KeyPart::Bool(array.as_boolean().value(row)),
        DataType::Int16 => KeyPart::Int(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => KeyPart::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => KeyPart::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => KeyPart::Float(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => KeyPart::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => KeyPart::Decimal(array.as_primitive::<Decimal128Type>().value(row)),
        DataType::Date32 => KeyPart::Int(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Time64(TimeUnit::Microsecond) => KeyPart::Int(array.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            KeyPart::Int(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let x = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            // As PostgreSQL compares them: a month has 30 days, a day 24 hours.
            let days = i128::from(x.months) * 30 + i128::from(x.days);
            KeyPart::Decimal(days * 86_400_000_000_000 + i128::from(x.nanoseconds))
        }
        DataType::Utf8 if ty.name != TypeName::Json => {
            let text = array.as_string::<i32>().value(row);
            // Blanks at the end of a char(n) do not count.
            KeyPart::Text(if ty.name == TypeName::Bpchar { text.trim_end_matches(' ') } else { text })
        }
        DataType::Binary => KeyPart::Bytes(array.as_binary::<i32>().value(row)),
        _ => return Err(no_order(ty)),
    })
}

fn no_order(ty: PgType) -> SqlError {
    SqlError::unsupported(
        format!("values of type {} cannot be part of a key or an index", ty.sql_name()),
        "Use columns of a scalar type that has an order.",
    )
}

/// The encoded part of a scalar of the Arrow type of `ty`; `None` for NULL, which no comparison matches.
pub fn scalar_part(value: &ScalarValue, ty: PgType) -> Result<Option<Vec<u8>>> {
    if value.is_null() {
        return Ok(None);
    }
    let array = value.to_array().map_err(|_| no_order(ty))?;
    if array.data_type() != &ty.arrow() {
        return Err(no_order(ty));
    }
    let mut bytes = Vec::new();
    encode_part(&key_part(&array, 0, ty)?, &mut bytes);
    Ok(Some(bytes))
}

/// How the rows of one table become keys and index entries.
#[derive(Clone, Debug)]
pub struct RowKeys {
    /// Array and type of each key column; empty for a table without primary key.
    key: Vec<(usize, PgType)>,
    indexes: Vec<IndexColumns>,
}

#[derive(Clone, Debug)]
struct IndexColumns {
    index: IndexId,
    name: String,
    unique: bool,
    columns: Vec<(usize, PgType)>,
}

impl RowKeys {
    /// `position` is where a column's array is among those the rows come with. Indexes with a column that is
    /// not among them are left out; a key column that is not is XX000.
    pub fn new(table: &TableDef, position: impl Fn(ColumnId) -> Option<usize>) -> Result<Self> {
        let place = |ids: &[ColumnId]| -> Option<Vec<(usize, PgType)>> {
            ids.iter().map(|id| Some((position(*id)?, table.column_by_id(*id)?.ty))).collect()
        };
        let key = match &table.primary_key {
            None => Vec::new(),
            Some((_, ids)) => place(ids).ok_or_else(|| SqlError::internal("a row came without its key columns"))?,
        };
        let uniques = table.uniques.iter().map(|u| (u.id, &u.name, true, &u.columns));
        let plain = table.indexes.iter().map(|i| (i.id, &i.name, false, &i.columns));
        let indexes = uniques
            .chain(plain)
            .filter_map(|(index, name, unique, ids)| {
                Some(IndexColumns { index, name: name.clone(), unique, columns: place(ids)? })
            })
            .collect();
        Ok(Self { key, indexes })
    }

    /// Whether rows carry their key; else it is a hidden number, see [`hidden_key`].
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// The item that this row is. A NULL in it is a caller's mistake and gives a key like any other.
    pub fn key(&self, arrays: &[ArrayRef], row: usize) -> Result<ItemKey> {
        encode(&self.key, arrays, row, "primary key")
    }

    /// The row's entries in every index, in the order of the definition: uniques first.
    pub fn entries(&self, arrays: &[ArrayRef], row: usize) -> Result<Vec<IndexEntry>> {
        self.indexes
            .iter()
            .map(|index| {
                let has_null = index.columns.iter().any(|(at, _)| arrays.get(*at).is_none_or(|a| a.is_null(row)));
                let key = encode(&index.columns, arrays, row, &index.name)?;
                Ok(IndexEntry { index: index.index, key, unique: index.unique && !has_null })
            })
            .collect()
    }
}

fn encode(columns: &[(usize, PgType)], arrays: &[ArrayRef], row: usize, index: &str) -> Result<ItemKey> {
    let mut bytes = Vec::with_capacity(16);
    for (at, ty) in columns {
        let array = arrays.get(*at).ok_or_else(|| SqlError::internal("a row came without its key columns"))?;
        encode_part(&key_part(array, row, *ty)?, &mut bytes);
    }
    if bytes.len() > LONGEST_KEY {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("index row size {} exceeds maximum {LONGEST_KEY} for index \"{index}\"", bytes.len()),
        ));
    }
    Ok(ItemKey::from_bytes(bytes))
}

/// The key of a row of a table without primary key.
pub fn hidden_key(number: u64) -> ItemKey {
    crate::versions::encode_key([KeyPart::Int(number as i64)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use datafusion::arrow::array::{Int32Array, StringArray};

    use super::*;
    use crate::history::{ColumnDef, IndexDef, UniqueDef};
    use crate::types::Qualified;
    use crate::versions::{TableId, encode_key};

    fn table() -> TableDef {
        let column = |id: u16, name: &str, ty| ColumnDef {
            id: ColumnId(id),
            name: name.into(),
            field: name.into(),
            ty,
            not_null: false,
            default: None,
            identity: None,
            missing: None,
            dropped: false,
        };
        TableDef {
            id: TableId(1),
            name: Qualified::new("public", "t"),
            owner: "o".into(),
            columns: vec![
                column(1, "a", PgType::INT4),
                column(2, "b", PgType::TEXT),
                column(3, "c", PgType::new(TypeName::Bpchar)),
            ],
            primary_key: Some(("t_pkey".into(), vec![ColumnId(2), ColumnId(1)])),
            row_counter: 1,
            uniques: vec![UniqueDef { id: IndexId(7), name: "u".into(), columns: vec![ColumnId(3)], constraint: true }],
            indexes: vec![IndexDef { id: IndexId(8), name: "i".into(), columns: vec![ColumnId(1)] }],
            checks: vec![],
            grants: BTreeMap::new(),
        }
    }

    #[test]
    fn key_parts_come_in_the_order_of_the_primary_key() {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![5, 6])),
            Arc::new(StringArray::from(vec!["x", "y"])),
            Arc::new(StringArray::from(vec![Some("z  "), None])),
        ];
        let keys = RowKeys::new(&table(), |id| Some(usize::from(id.0) - 1)).unwrap();
        assert_eq!(keys.key(&arrays, 1).unwrap(), encode_key([KeyPart::Text("y"), KeyPart::Int(6)]));
        let entries = keys.entries(&arrays, 0).unwrap();
        assert_eq!(entries[0], IndexEntry { index: IndexId(7), key: encode_key([KeyPart::Text("z")]), unique: true });
        assert!(!keys.entries(&arrays, 1).unwrap()[0].unique, "a NULL is never a duplicate");
        assert!(!entries[1].unique);
    }

    #[test]
    fn a_scalar_and_a_row_agree() {
        let array: ArrayRef = Arc::new(Int32Array::from(vec![-3]));
        let mut bytes = Vec::new();
        encode_part(&key_part(&array, 0, PgType::INT4).unwrap(), &mut bytes);
        assert_eq!(scalar_part(&ScalarValue::Int32(Some(-3)), PgType::INT4).unwrap(), Some(bytes));
        assert_eq!(scalar_part(&ScalarValue::Int32(None), PgType::INT4).unwrap(), None);
        assert!(scalar_part(&ScalarValue::Int64(Some(-3)), PgType::INT4).is_err(), "types must agree");
    }
}

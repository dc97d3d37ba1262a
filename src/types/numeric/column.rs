//! Numerics in Arrow: a column whose values each show digits of their own is LargeBinary, one whose values all show the
//! same is Decimal128. Readers take either, and whole numbers too.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int16Array, Int32Array, Int64Array, LargeBinaryArray, LargeBinaryBuilder,
    UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int16Type, Int32Type, Int64Type, UInt64Type};
use datafusion::common::ScalarValue;

use super::Numeric;
use crate::error::{Result, SqlError};

/// The Arrow type of numerics that show digits of their own. No other type of PostgreSQL has it.
pub const ARROW: DataType = DataType::LargeBinary;

/// An array of numerics or whole numbers.
pub enum Numbers {
    Own(LargeBinaryArray),
    Decimal(Decimal128Array, i32),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Unsigned(UInt64Array),
}

impl Numbers {
    pub fn new(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::LargeBinary => Self::Own(array.as_binary::<i64>().clone()),
            DataType::Decimal128(_, scale) => Self::Decimal(array.as_primitive::<Decimal128Type>().clone(), i32::from(*scale)),
            DataType::Int16 => Self::Int2(array.as_primitive::<Int16Type>().clone()),
            DataType::Int32 => Self::Int4(array.as_primitive::<Int32Type>().clone()),
            DataType::Int64 => Self::Int8(array.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => Self::Unsigned(array.as_primitive::<UInt64Type>().clone()),
            other => return Err(SqlError::internal(format!("{other} is no type of exact numbers"))),
        })
    }

    /// The value; `None` for NULL.
    pub fn get(&self, row: usize) -> Option<Numeric> {
        match self {
            Self::Own(a) => a.is_valid(row).then(|| Numeric::decode(a.value(row))),
            Self::Decimal(a, scale) => a.is_valid(row).then(|| Numeric::of_decimal(a.value(row), *scale)),
            Self::Int2(a) => a.is_valid(row).then(|| Numeric::of_i64(a.value(row).into())),
            Self::Int4(a) => a.is_valid(row).then(|| Numeric::of_i64(a.value(row).into())),
            Self::Int8(a) => a.is_valid(row).then(|| Numeric::of_i64(a.value(row))),
            Self::Unsigned(a) => a.is_valid(row).then(|| Numeric::of_i128(a.value(row).into(), 0)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Own(a) => a.len(),
            Self::Decimal(a, _) => a.len(),
            Self::Int2(a) => a.len(),
            Self::Int4(a) => a.len(),
            Self::Int8(a) => a.len(),
            Self::Unsigned(a) => a.len(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Option<Numeric>> + '_ {
        (0..self.len()).map(|row| self.get(row))
    }
}

/// Whether a column of this type holds exact numbers that [`Numbers`] reads.
pub fn is_exact(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::LargeBinary | DataType::Decimal128(..) | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::UInt64
    )
}

/// Whether it is a numeric, in either form.
pub fn is_numeric(ty: &DataType) -> bool {
    matches!(ty, DataType::LargeBinary | DataType::Decimal128(..))
}

/// Values as a column of their own digits.
pub fn collect(values: impl IntoIterator<Item = Result<Option<Numeric>>>) -> Result<ArrayRef> {
    let values = values.into_iter();
    let mut out = LargeBinaryBuilder::with_capacity(values.size_hint().0, values.size_hint().0 * 8);
    let mut bytes = Vec::with_capacity(20);
    for value in values {
        match value? {
            None => out.append_null(),
            Some(value) => {
                bytes.clear();
                value.encode(&mut bytes);
                out.append_value(&bytes);
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

pub fn scalar(value: Option<&Numeric>) -> ScalarValue {
    ScalarValue::LargeBinary(value.map(Numeric::to_bytes))
}

/// Order keys: bytes that are equal and ordered as the values are.
pub fn keys(values: &LargeBinaryArray) -> datafusion::arrow::array::BinaryArray {
    let mut out = datafusion::arrow::array::BinaryBuilder::with_capacity(values.len(), values.len() * 16);
    let mut key = Vec::with_capacity(24);
    for value in values {
        match value {
            None => out.append_null(),
            Some(value) => {
                key.clear();
                Numeric::decode(value).write_key(&mut key);
                out.append_value(&key);
            }
        }
    }
    out.finish()
}

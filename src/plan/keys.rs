//! Values as parts of keys: the one place that says how, so that what is written and what is looked up agree
//! byte for byte. Knows no table and reads no store.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;

use crate::error::{Result, SqlError};
use crate::types::numeric::Numeric;
use crate::types::written::Comparison;
use crate::types::{PgType, TypeName};
use crate::versions::key::{NUMERIC_SCALE, encode_part};
use crate::versions::{ItemKey, KeyPart};

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
        DataType::Utf8 if ty.name.written().is_some_and(|kind| kind.comparison() != Comparison::Ordered) => {
            return Err(no_order(ty));
        }
        DataType::Utf8 if ty.name != TypeName::Json => {
            let text = array.as_string::<i32>().value(row);
            KeyPart::Text(match ty.name {
                // Blanks at the end of a char(n) do not count.
                TypeName::Bpchar => text.trim_end_matches(' '),
                // Keys outlive labels.
                TypeName::Enum(user) => user.stored_of(text),
                _ => text,
            })
        }
        DataType::LargeBinary => numeric_part(array.as_binary::<i64>().value(row)),
        DataType::Binary => KeyPart::Bytes(array.as_binary::<i32>().value(row)),
        _ => return Err(no_order(ty)),
    })
}

/// One key for equal values, whatever digits they show: the mantissa at a fixed scale where that is the value.
fn numeric_part(bytes: &[u8]) -> KeyPart<'_> {
    let value = Numeric::decode(bytes);
    match value.mantissa_at(NUMERIC_SCALE) {
        Some(mantissa) => KeyPart::Decimal(mantissa),
        None => {
            let mut rest = Vec::with_capacity(48);
            value.write_key(&mut rest);
            let beyond = if value.signum() < 0 { i128::MIN } else { i128::MAX };
            KeyPart::Between(below(&value).unwrap_or(beyond), rest.into())
        }
    }
}

/// The greatest mantissa at the scale of keys that is less than the value; `None` where there is none.
fn below(value: &Numeric) -> Option<i128> {
    let scaled = value.times(&Numeric::of_i128(10i128.pow(NUMERIC_SCALE), 0)).ok()?.floor().ok()?;
    scaled.mantissa_at(0)
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

/// The key of a row of a table without primary key: unlike any that a primary key has, which never begins with NULL.
pub fn hidden_key(number: u64) -> ItemKey {
    crate::versions::encode_key([KeyPart::Null, KeyPart::Int(number as i64)])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::*;
    use crate::types::numeric;

    #[test]
    fn blanks_at_the_end_of_a_char_do_not_tell_keys_apart() {
        let padded: ArrayRef = Arc::new(StringArray::from(vec!["z  "]));
        assert_eq!(key_part(&padded, 0, PgType::new(TypeName::Bpchar)).unwrap(), KeyPart::Text("z"));
        assert_eq!(key_part(&padded, 0, PgType::TEXT).unwrap(), KeyPart::Text("z  "));
    }

    fn numeric_key(text: &str) -> Vec<u8> {
        let value = numeric::column::scalar(Some(&Numeric::parse(text).unwrap()));
        scalar_part(&value, PgType::new(TypeName::Numeric)).unwrap().unwrap()
    }

    #[test]
    fn numerics_have_one_key_per_value_in_their_order() {
        let ascending = [
            "-Infinity",
            "-1e40",
            "-12345678901234567890123456789.5",
            "-1.00000000001",
            "-1",
            "-1e-30",
            "0",
            "1e-12",
            "2e-12",
            "0.5",
            "0.50000000001",
            "0.6",
            "9999999999999999999999999999",
            "10000000000000000000000000000",
            "1e300",
            "Infinity",
            "NaN",
        ];
        // Another column follows, whatever its value.
        for next in [&[][..], &[0x01, 0xff], &[0x02]] {
            for pair in ascending.windows(2) {
                let (a, b) = ([&numeric_key(pair[0]), next].concat(), [&numeric_key(pair[1]), &[0x01][..]].concat());
                assert!(a < b, "{} < {}", pair[0], pair[1]);
            }
        }
        assert_eq!(numeric_key("1.0"), numeric_key("1.00"));
        assert_eq!(numeric_key("1e-20"), numeric_key("0.000000000000000000010"));
        // As keys were when such columns had ten digits after the point.
        let mut older = Vec::new();
        encode_part(&KeyPart::Decimal(12_300_000_000), &mut older);
        assert_eq!(numeric_key("1.23"), older);
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

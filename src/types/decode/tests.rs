//! Values through both formats and back, and what malformed input is answered with.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Schema;
use proptest::prelude::*;

use super::super::RowEncoder;
use super::super::text::text_of_scalar;
use super::*;
use crate::types::numeric;

const NUMERIC_10_2: PgType = PgType::new(TypeName::Numeric).with_modifier(((10 << 16) | 2) + 4);
const NUMERIC_38_20: PgType = PgType::new(TypeName::Numeric).with_modifier(((38 << 16) | 20) + 4);

/// A value's field as the wire carries it in a format.
fn encoded(ty: PgType, value: &ScalarValue, format: i16) -> Option<Vec<u8>> {
    let array = value.to_array().unwrap();
    let field = datafusion::arrow::datatypes::Field::new("a", array.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
    let mut out = BytesMut::new();
    RowEncoder::new(&[ty], &[format], Zone::UTC).encode(&batch, 0, &mut out).unwrap();
    assert_eq!(&out[..2], [0, 1]);
    let len = i32::from_be_bytes(out[2..6].try_into().unwrap());
    (len >= 0).then(|| out[6..].to_vec())
}

fn check_round_trip(ty: PgType, text: &str) {
    let value = scalar_from_text(ty, text, Zone::UTC).unwrap();
    assert_eq!(value.data_type(), ty.arrow(), "{text}");
    assert_eq!(text_of_scalar(ty, &value, Zone::UTC).unwrap().as_deref(), Some(text));
    for format in [0, 1] {
        let bytes = encoded(ty, &value, format).unwrap();
        let back = decode_parameter(ty, format, Some(&bytes), Zone::UTC).unwrap();
        assert_eq!(back, value, "{} {text} in format {format}", ty.sql_name());
    }
}

#[test]
fn every_type_goes_through_both_formats_and_back() {
    let plain = PgType::new;
    for (ty, text) in [
        (plain(TypeName::Bool), "t"),
        (plain(TypeName::Int2), "-32768"),
        (plain(TypeName::Int4), "2147483647"),
        (plain(TypeName::Int8), "-9223372036854775808"),
        (plain(TypeName::Oid), "4294967295"),
        (plain(TypeName::Float4), "1.5"),
        (plain(TypeName::Float8), "-1e-300"),
        (plain(TypeName::Float8), "NaN"),
        (plain(TypeName::Numeric), "0"),
        (plain(TypeName::Numeric), "-12345678901234567890.0000000001"),
        (plain(TypeName::Numeric), "10000"),
        (plain(TypeName::Numeric), "0.0001"),
        (NUMERIC_10_2, "12.30"),
        (NUMERIC_10_2, "0.00"),
        (NUMERIC_38_20, "-123456789012345678.12345678901234567890"),
        (PgType::TEXT, "a 'b' \u{1f600}"),
        (plain(TypeName::Varchar).with_modifier(9), "abc"),
        (plain(TypeName::Bpchar).with_modifier(9), "abc  "),
        (plain(TypeName::Bytea), "\\x00ff"),
        (plain(TypeName::Date), "4713-01-01 BC"),
        (plain(TypeName::Time), "23:59:59.999999"),
        (plain(TypeName::Timestamp), "1999-12-31 23:59:59.5"),
        (PgType::TIMESTAMPTZ, "2025-01-01 10:00:00+00"),
        (plain(TypeName::Interval), "-1 years -2 mons +3 days -04:05:06.7"),
        (plain(TypeName::Uuid), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (plain(TypeName::Json), "{\"b\":1, \"a\": [ ]}"),
        (PgType::JSONB, "{\"a\": [], \"b\": 1}"),
        (PgType::INT4.array_of(), "{1,NULL,-3}"),
        (PgType::TEXT.array_of(), "{\"a b\",NULL,\"NULL\",\"\"}"),
        (PgType::JSONB.array_of(), "{\"{\\\"a\\\": 1}\"}"),
        (PgType::BOOL.array_of(), "{}"),
        (plain(TypeName::Uuid).array_of(), "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"),
        (NUMERIC_10_2.array_of(), "{1.50,NULL}"),
        (PgType::TIMESTAMPTZ.array_of(), "{\"2025-01-01 10:00:00+00\"}"),
    ] {
        check_round_trip(ty, text);
    }
}

#[test]
fn null_is_a_length_of_minus_one() {
    for ty in [PgType::INT4, PgType::JSONB, PgType::TEXT.array_of(), PgType::new(TypeName::Interval)] {
        let null = decode_parameter(ty, 1, None, Zone::UTC).unwrap();
        assert!(null.is_null());
        assert_eq!(encoded(ty, &null, 1), None);
        assert_eq!(encoded(ty, &null, 0), None);
    }
}

#[test]
fn malformed_parameters_say_what_is_wrong() {
    let list_of_a_million: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 15, 66, 64, 0, 0, 0, 1];
    for (ty, format, bytes, code) in [
        (PgType::INT4, 0, &b"x"[..], "22P02"),
        (PgType::INT4, 0, b"99999999999", "22003"),
        (PgType::INT4, 1, b"\0\0", "08P01"),
        (PgType::INT4, 1, b"\0\0\0\0\0", "22P03"),
        (PgType::TEXT, 0, b"\xff", "22021"),
        (PgType::TEXT, 1, b"a\0", "22021"),
        (PgType::JSONB, 1, b"\x01{", "22P02"),
        (PgType::JSONB, 1, b"\x02{}", "XX000"),
        (PgType::INT4.array_of(), 1, list_of_a_million, "08P01"),
        (PgType::new(TypeName::Numeric), 1, b"\0\x01\0\0\0\0\0\0\x7f\xff", "22P03"),
        (PgType::new(TypeName::Date), 1, b"\x7f\xff\xff\xfe", "22008"),
        (PgType::INT4, 2, b"1", "22023"),
    ] {
        let error = decode_parameter(ty, format, Some(bytes), Zone::UTC).unwrap_err();
        assert_eq!(error.code().code(), code, "{} {bytes:?}: {error}", ty.sql_name());
    }
}

#[test]
fn numerics_have_postgresqls_binary_groups() {
    let value = scalar_from_text(NUMERIC_10_2, "-12345.60", Zone::UTC).unwrap();
    let groups: Vec<i16> = [2i16 + 1, 1, 0x4000, 2, 1, 2345, 6000].to_vec();
    let expected: Vec<u8> = groups.iter().flat_map(|g| g.to_be_bytes()).collect();
    assert_eq!(encoded(NUMERIC_10_2, &value, 1).unwrap(), expected);
}

proptest! {
    #[test]
    fn any_bytes_are_a_value_or_an_error_but_never_a_panic(
        oid in prop::sample::select(vec![16u32, 21, 23, 20, 700, 701, 1700, 25, 17, 1082, 1083, 1114, 1184, 1186, 2950, 114, 3802, 1007, 1009, 1231]),
        format in 0i16..2,
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let ty = PgType::from_oid(oid).unwrap();
        if let Ok(value) = decode_parameter(ty, format, Some(&bytes), Zone::UTC) {
            // What was accepted must survive its own encoding.
            let again = encoded(ty, &value, 1).unwrap();
            let back = decode_parameter(ty, 1, Some(&again), Zone::UTC).unwrap();
            prop_assert_eq!(back, value);
        }
    }

    #[test]
    fn any_text_is_a_value_or_an_error_but_never_a_panic(
        oid in prop::sample::select(vec![16u32, 23, 701, 1700, 17, 1082, 1083, 1114, 1184, 1186, 2950, 3802, 1007, 1009]),
        text in "[0-9A-Za-z:+\\-./ {}\",\\\\\\[\\]eéPT]{0,24}",
    ) {
        let _ = scalar_from_text(PgType::from_oid(oid).unwrap(), &text, Zone::UTC);
    }

    #[test]
    fn numbers_and_times_survive_text_and_binary(
        float in any::<f64>(), mantissa in -10i128.pow(37)..10i128.pow(37),
        micros in -200_000_000_000_000_000i64..9_000_000_000_000_000_000,
        months in any::<i32>(), days in any::<i32>(), time in -9_000_000_000_000_000i64..9_000_000_000_000_000,
    ) {
        let interval = IntervalMonthDayNano { months, days, nanoseconds: time * 1000 };
        for (ty, value) in [
            (PgType::new(TypeName::Float8), ScalarValue::Float64(Some(float))),
            (PgType::new(TypeName::Numeric), numeric::column::scalar(Some(&numeric::Numeric::of_i128(mantissa, 10)))),
            (PgType::numeric(38, 10), ScalarValue::Decimal128(Some(mantissa), 38, 10)),
            (PgType::new(TypeName::Timestamp), ScalarValue::TimestampMicrosecond(Some(micros), None)),
            (PgType::new(TypeName::Interval), ScalarValue::IntervalMonthDayNano(Some(interval))),
        ] {
            for format in [0, 1] {
                let bytes = encoded(ty, &value, format).unwrap();
                prop_assert_eq!(decode_parameter(ty, format, Some(&bytes), Zone::UTC).unwrap(), value.clone());
            }
        }
    }
}

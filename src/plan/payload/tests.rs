//! Rows of every type survive the way into a payload and back.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, UInt32Array, new_null_array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::common::ScalarValue;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::types::nested::Parts;
use crate::types::numeric::{self, Numeric};
use crate::types::user::{Kind, Label, Shape};
use crate::types::{PgType, Qualified, TypeName, UserType};

fn any_text(rng: &mut StdRng) -> String {
    const CHARS: [char; 9] = ['a', 'Z', '"', '\\', '\n', 'é', '漢', '\u{1}', '🙂'];
    (0..rng.random_range(0..12)).map(|_| CHARS[rng.random_range(0..CHARS.len())]).collect()
}

fn any_json(rng: &mut StdRng) -> String {
    ["{\"a\": 1, \"b\": [1, 2]}", "[]", "\"x\"", "1.50", "true", "{\"k\":null}"][rng.random_range(0..6)].to_owned()
}

fn any_value(rng: &mut StdRng, ty: PgType) -> ScalarValue {
    match ty.name {
        TypeName::Bool => ScalarValue::Boolean(Some(rng.random())),
        TypeName::Int2 => ScalarValue::Int16(Some(rng.random())),
        TypeName::Int4 => ScalarValue::Int32(Some(rng.random())),
        TypeName::Int8
        | TypeName::Oid
        | TypeName::Xid
        | TypeName::Regclass
        | TypeName::Regtype
        | TypeName::Regproc
        | TypeName::Regprocedure
        | TypeName::Regoper
        | TypeName::Regoperator
        | TypeName::Regnamespace
        | TypeName::Regrole => ScalarValue::Int64(Some(rng.random())),
        TypeName::Float4 => {
            let x = f32::from_bits(rng.random());
            ScalarValue::Float32(Some(if x.is_nan() { f32::NAN } else { x }))
        }
        TypeName::Float8 => {
            let x = f64::from_bits(rng.random());
            ScalarValue::Float64(Some(if x.is_nan() { f64::NAN } else { x }))
        }
        TypeName::Numeric => {
            let (p, s) = ty.numeric_precision().unwrap_or((38, 0));
            let bound = 10_i128.pow(u32::from(p));
            let mantissa = rng.random_range(1 - bound..bound);
            match ty.numeric_precision() {
                Some(_) => ScalarValue::Decimal128(Some(mantissa), p, s),
                None => numeric::column::scalar(Some(&Numeric::of_i128(mantissa, rng.random_range(0..60)))),
            }
        }
        TypeName::Text
        | TypeName::Varchar
        | TypeName::Bpchar
        | TypeName::Name
        | TypeName::Char
        | TypeName::Aclitem
        | TypeName::NodeTree
        | TypeName::Unknown => ScalarValue::Utf8(Some(any_text(rng))),
        TypeName::Written(_) => ScalarValue::Utf8(Some("10.0.0.1".to_owned())),
        TypeName::Uuid => ScalarValue::Utf8(Some("0191b7a2-6f5c-7c3e-8c64-3a1b2c3d4e5f".to_owned())),
        TypeName::Json | TypeName::Jsonb => ScalarValue::Utf8(Some(any_json(rng))),
        TypeName::Bytea => ScalarValue::Binary(Some((0..rng.random_range(0..9)).map(|_| rng.random()).collect())),
        TypeName::Date => ScalarValue::Date32(Some(rng.random_range(-900_000..2_932_896))),
        TypeName::Time => ScalarValue::Time64Microsecond(Some(rng.random_range(0..86_400_000_000))),
        TypeName::Timestamp => {
            ScalarValue::TimestampMicrosecond(Some(rng.random_range(-60_000_000_000_000_000..250_000_000_000_000_000)), None)
        }
        TypeName::Timestamptz => ScalarValue::TimestampMicrosecond(Some(rng.random_range(-9_999..9_999)), Some("UTC".into())),
        TypeName::Interval => ScalarValue::new_interval_mdn(rng.random(), rng.random(), rng.random()),
        TypeName::Enum(user) => {
            let labels = user.labels();
            ScalarValue::Utf8(Some(labels[rng.random_range(0..labels.len())].label.clone()))
        }
        TypeName::Composite(_) | TypeName::Record | TypeName::Void | TypeName::Int2vector | TypeName::Oidvector => {
            ScalarValue::Null
        }
    }
}

/// An enumeration of which one label was renamed and its former name given to another.
fn mood() -> PgType {
    let label = |label: &str, stored: &str| Label { label: label.into(), stored: stored.into() };
    let labels = vec![label("blue", "sad"), label("ok", "ok"), label("sad", "sad 2")];
    let name = Qualified::new("public", "mood");
    PgType::new(TypeName::Enum(UserType::of(Shape { oid: 91_001, array_oid: 91_002, name, kind: Kind::Enum(labels) })))
}

/// Some values of a type, NULLs among them.
fn any_column(rng: &mut StdRng, ty: PgType, rows: usize) -> ArrayRef {
    let values: Vec<ScalarValue> = (0..rows * if ty.array { 2 } else { 1 })
        .map(|_| if rng.random_ratio(1, 5) { ScalarValue::try_from(ty.element().arrow()).unwrap() } else { any_value(rng, ty) })
        .collect();
    let flat = ScalarValue::iter_to_array(values).unwrap();
    if !ty.array {
        return flat;
    }
    let field = Arc::new(ty.element().field("item", true));
    let nulls = (0..rows).map(|_| rng.random_ratio(4, 5)).collect::<Vec<_>>();
    let lengths: Vec<usize> = nulls.iter().map(|there| if *there { rng.random_range(0..3) } else { 0 }).collect();
    let total: usize = lengths.iter().sum();
    let picks = UInt32Array::from_iter_values((0..total).map(|i| (i % flat.len()) as u32));
    let items = take(&flat, &picks, None).unwrap();
    // Some are of two dimensions, some begin at 0.
    let bounds = lengths.iter().map(|length| match (*length as i32, rng.random_range(0..3)) {
        (1.., 0) => Some(vec![(1, *length as i32), (1, 1)]),
        (1.., 1) => Some(vec![(0, *length as i32)]),
        _ => None,
    });
    let bounds = Some(bounds.collect());
    let lists = ListArray::new(field, OffsetBuffer::from_lengths(lengths), items, Some(nulls.into()));
    Parts { lists, bounds }.put_together().unwrap()
}

fn every_type() -> Vec<PgType> {
    use TypeName::*;
    let plain = [
        Bool,
        Int2,
        Int4,
        Int8,
        Float4,
        Float8,
        Numeric,
        Text,
        Varchar,
        Bpchar,
        Name,
        Char,
        Bytea,
        Date,
        Time,
        Timestamp,
        Timestamptz,
        Interval,
        Uuid,
        Json,
        Jsonb,
        Oid,
    ];
    let mut types: Vec<PgType> = plain.into_iter().map(PgType::new).collect();
    types.extend(plain.into_iter().map(|name| PgType::new(name).array_of()));
    types.extend([mood(), mood().array_of()]);
    let inet = PgType::new(Written(crate::types::Written::Inet));
    types.extend([inet, inet.array_of()]);
    types.push(PgType::new(Numeric).with_modifier(((12 << 16) | 2) + 4));
    types
}

#[test]
fn rows_of_every_type_come_back_as_they_were() {
    let seed = crate::runtime::Entropy::next_u64(&crate::runtime::SystemEntropy) % 100_000;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let types = every_type();
    let columns: Vec<PayloadColumn> =
        types.iter().enumerate().map(|(i, ty)| PayloadColumn { field: format!("c\"{i}"), ty: *ty, missing: None }).collect();
    let arrays: Vec<ArrayRef> = types.iter().map(|ty| any_column(&mut rng, *ty, 50)).collect();
    let encoder = PayloadEncoder::new(columns.iter().map(|c| (c.field.as_str(), c.ty)));
    let mut decoder = PayloadDecoder::new(&columns).unwrap();
    for row in 0..50 {
        let mut payload = Vec::new();
        encoder.encode(&arrays, row, &mut payload).unwrap();
        decoder.append(&payload).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&payload)));
    }
    for ((before, after), ty) in arrays.iter().zip(decoder.finish()).zip(&types) {
        assert_eq!(&after, before, "{}", ty.sql_name());
        assert_eq!(after.data_type(), &ty.arrow());
    }
}

fn decode(columns: &[PayloadColumn], payload: &str) -> Result<Vec<ArrayRef>, PayloadError> {
    let mut decoder = PayloadDecoder::new(columns)?;
    decoder.append(payload.as_bytes())?;
    Ok(decoder.finish())
}

fn column(field: &str, ty: PgType, missing: Option<&str>) -> PayloadColumn {
    PayloadColumn { field: field.to_owned(), ty, missing: missing.map(str::to_owned) }
}

#[test]
fn an_absent_member_reads_as_its_default_and_a_null_as_null() {
    let columns = [column("a", PgType::INT4, Some("7")), column("b", PgType::INT4, Some("7")), column("c", PgType::TEXT, None)];
    let arrays = decode(&columns, r#"{"x": [1, {"y": 2}], "b": null}"#).unwrap();
    assert_eq!(arrays[0].as_primitive::<Int32Type>().value(0), 7);
    assert!(arrays[1].is_null(0));
    assert_eq!(&arrays[2], &new_null_array(&DataType::Utf8, 1));
}

#[test]
fn numeric_keeps_the_digits_of_its_scale() {
    let price = PgType::new(TypeName::Numeric).with_modifier(((10 << 16) | 2) + 4);
    let array = ScalarValue::Decimal128(Some(-1230), 10, 2).to_array().unwrap();
    assert_eq!(value_json(&array, 0, price).unwrap(), "-12.30");
    for (written, stored) in [("12.300", "12.300"), ("NaN", "\"NaN\""), ("-inf", "\"-Infinity\"")] {
        let any = numeric::column::scalar(Some(&Numeric::parse(written).unwrap())).to_array().unwrap();
        assert_eq!(value_json(&any, 0, PgType::new(TypeName::Numeric)).unwrap(), stored);
        let back = decode(&[column("n", PgType::new(TypeName::Numeric), None)], &format!(r#"{{"n": {stored}}}"#)).unwrap();
        assert_eq!(&back[0], &any);
    }
    assert_eq!(decode::decimal("1.5e2", 2), Some(15_000));
    assert_eq!(decode::decimal("0.005", 2), Some(1));
    assert_eq!(decode::decimal("1e99", 2), None);
}

#[test]
fn a_value_that_does_not_fit_is_an_error_and_never_a_null() {
    for payload in [r#"{"a": 3000000000}"#, r#"{"a": {}}"#, r#"{"a": [1]}"#, r#"{"a": "x"}"#, "[]", r#"{"a": 1"#, ""] {
        let error = decode(&[column("a", PgType::INT4, None)], payload).unwrap_err();
        assert!(matches!(error, PayloadError::Unreadable(_)), "{payload}");
    }
    let broken = ScalarValue::Utf8(Some("{oops".into())).to_array().unwrap();
    assert!(matches!(value_json(&broken, 0, PgType::JSONB), Err(PayloadError::NotJson)));
}

#[test]
fn labels_are_stored_under_words_that_do_not_change() {
    let array: ArrayRef = Arc::new(StringArray::from(vec!["blue", "sad", "ok", "nope"]));
    let stored = |row| value_json(&array, row, mood());
    assert_eq!(
        (stored(0).unwrap(), stored(1).unwrap(), stored(2).unwrap()),
        ("\"sad\"".into(), "\"sad 2\"".into(), "\"ok\"".into())
    );
    assert!(matches!(stored(3), Err(PayloadError::NotALabel(_))));
    assert_eq!(super::shown_json(&array, 0, mood()).unwrap(), "\"blue\"");
}

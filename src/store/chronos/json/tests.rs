//! Rules of JSON.parse and JSON.stringify, and every payload of the data set.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::store::chronos::tests::samples;

fn compact(text: &str) -> String {
    parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}")).written(Form::Compact)
}

#[test]
fn numbers_are_written_as_javascript_does() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e21, "1.5e+21"),
        (1e-6, "0.000001"),
        (1.25e-6, "0.00000125"),
        (1e-7, "1e-7"),
        (-1.25e-7, "-1.25e-7"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740993.0, "9007199254740992"),
        (100.0, "100"),
        (4.35, "4.35"),
    ] {
        assert_eq!(Json::from(value).written(Form::Compact), text);
    }
    assert_eq!([f64::NAN, f64::INFINITY].map(Json::from), [Json::Null, Json::Null]);
}

#[test]
fn a_number_that_javascript_would_round_keeps_its_digits() {
    for (text, written) in [
        ("1.0", "1"),
        ("1E2", "100"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("12.30", "12.3"),
        ("0.10e1", "1"),
        ("9007199254740993", "9007199254740993"),
        ("12345678901234567890.12", "12345678901234567890.12"),
        ("1e400", "1e400"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("1e-400", "1e-400"),
    ] {
        assert_eq!(compact(text), written);
    }
}

#[test]
fn members_come_in_javascripts_order_and_once() {
    assert_eq!(
        compact("{\"b\":1,\"10\":2,\"2\":3,\"a\":4,\"b\":5,\"01\":6,\"-1\":7}"),
        "{\"2\":3,\"10\":2,\"b\":5,\"a\":4,\"01\":6,\"-1\":7}"
    );
    assert_eq!(compact("{\"4294967295\":1,\"4294967294\":2}"), "{\"4294967294\":2,\"4294967295\":1}");
    let mut object = Object::from_members(vec![("b".into(), Json::Null), ("7".into(), Json::Null)]);
    object.set("3", Json::Null);
    object.set("9", Json::Null);
    object.set("b", Json::Bool(true));
    object.set("a", Json::Null);
    assert_eq!(Json::Object(object).written(Form::Compact), "{\"3\":null,\"7\":null,\"9\":null,\"b\":true,\"a\":null}");
}

#[test]
fn strings_keep_every_character() {
    for text in [
        "\"\\ud800\"",
        "\"a\\udfff\\u0000b\"",
        "\"\\udc00\\ud83d\"",
        "\"\\b\\f\\n\\r\\t\\u001f\\\"\\\\/\"",
        "\"\u{2028}\u{7f}é😀\"",
    ] {
        assert_eq!(compact(text), text);
    }
    assert_eq!(compact("\"\\u00e9\\ud83d\\ude00\\/\""), "\"é😀/\"");
    assert_eq!(parse(b"\"x\\ud800\"").expect("valid").as_text().map(Text::to_lossy).as_deref(), Some("x\u{fffd}"));
}

#[test]
fn what_is_no_json_is_refused() {
    let deep = "[".repeat(600);
    for text in [
        "",
        " ",
        "nul",
        "tru e",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "[1,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12é\"",
        "\"\n\"",
        "1 2",
        "[",
        "{\"a\":",
        "NaN",
        deep.as_str(),
        "\"\\u+123\"",
        "'a'",
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(parse(b"\"\xff\""), Err(BadJson { at: 1, expected: "UTF-8" }));
}

#[test]
fn every_payload_of_the_data_set_is_written_again_byte_for_byte() {
    let mut payloads = 0;
    for set in ["main", "s3-sample", "v1-sample", "race-sample"] {
        let form = if set == "s3-sample" { Form::Compact } else { Form::Indented };
        for (path, size, checksum) in samples::payloads(set) {
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let written = parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display())).written(form);
            assert_eq!(written.as_bytes(), bytes, "{}", path.display());
            assert_eq!((written.len() as u64, samples::hex(&Sha256::digest(&written))), (size, checksum), "{}", path.display());
            payloads += 1;
        }
    }
    assert!(payloads > 1000, "{payloads}");
}

fn values() -> impl Strategy<Value = Json> {
    let text = prop::collection::vec(prop_oneof![any::<u16>(), 0xd7f0..0xe010u16, 0..0x80u16], 0..6).prop_map(Text::from_units);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<f64>().prop_map(Json::from),
        (-1000..1000i32).prop_map(|n| Json::from(f64::from(n))),
        text.clone().prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
            prop::collection::vec((text.clone(), inner), 0..6).prop_map(|members| Json::Object(Object::from_members(members))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in values()) {
        for form in [Form::Compact, Form::Indented] {
            prop_assert_eq!(&parse(value.written(form).as_bytes()).expect("valid"), &value);
        }
    }

    #[test]
    fn a_double_survives(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        prop_assert_eq!(Json::from(value).as_f64(), Some(value + 0.0));
    }

    #[test]
    fn no_text_is_a_panic(text in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\u0e-.tfn ".to_vec())], 0..40)) {
        let _ = parse(&text);
    }
}

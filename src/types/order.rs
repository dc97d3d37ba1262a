//! Values as bytes whose order and equality are PostgreSQL's, for the types where those of the stored form are
//! not: jsonb, and numbers written in decimal digits.
//!
//! Bytes are compared as unsigned, and no value's bytes begin another's. Knows nothing of Arrow.

use super::json::Json;

const NEGATIVE: u8 = 0x40;
const ZERO: u8 = 0x80;
const POSITIVE: u8 = 0xc0;

/// jsonb: null, strings, numbers, booleans, arrays and objects, in this order; arrays and objects by how many
/// parts they have and then part by part. An empty array at the top comes before everything, as it does there.
pub fn push_json(out: &mut Vec<u8>, value: &Json) {
    match value {
        Json::Object(_) | Json::Array(_) => push_nested(out, value),
        scalar => {
            // A scalar at the top counts as an array of one that is less than other arrays of one.
            out.push(ARRAY);
            push_count(out, 1);
            out.push(0);
            push_nested(out, scalar);
        }
    }
}

const ARRAY: u8 = 0x10;
const OBJECT: u8 = 0x11;

fn push_nested(out: &mut Vec<u8>, value: &Json) {
    match value {
        Json::Null => out.push(0),
        Json::String(s) => {
            out.push(1);
            push_text(out, s);
        }
        Json::Number(digits) => {
            out.push(2);
            push_number(out, digits);
        }
        Json::Bool(b) => out.extend_from_slice(&[3, u8::from(*b)]),
        Json::Array(items) => {
            out.push(ARRAY);
            push_count(out, items.len());
            out.push(1);
            items.iter().for_each(|item| push_nested(out, item));
        }
        Json::Object(members) => {
            out.push(OBJECT);
            push_count(out, members.len());
            for (name, value) in members {
                push_text(out, name);
                push_nested(out, value);
            }
        }
    }
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

/// The zero byte that ends it is less than any other.
fn push_text(out: &mut Vec<u8>, text: &str) {
    for b in text.bytes() {
        out.push(b);
        if b == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// A number by its plain digits (`-12.50`, no exponent); zeros that do not count make no difference.
pub fn push_number(out: &mut Vec<u8>, digits: &str) {
    let (negative, unsigned) = digits.strip_prefix('-').map_or((false, digits), |d| (true, d));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.trim_start_matches('0');
    let (all, point) = if whole.is_empty() {
        let significant = fraction.trim_start_matches('0');
        (significant.to_owned(), significant.len() as i64 - fraction.len() as i64)
    } else {
        ([whole, fraction].concat(), whole.len() as i64)
    };
    let all = all.trim_end_matches('0');
    if all.is_empty() {
        out.push(ZERO);
        return;
    }
    out.push(if negative { NEGATIVE } else { POSITIVE });
    let from = out.len();
    let point = i32::try_from(point).unwrap_or(i32::MAX);
    out.extend_from_slice(&((point as u32) ^ (1 << 31)).to_be_bytes());
    out.extend_from_slice(all.as_bytes());
    out.push(0);
    if negative {
        out[from..].iter_mut().for_each(|b| *b = !*b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        push_json(&mut out, &Json::parse(text).unwrap());
        out
    }

    #[test]
    fn jsonb_orders_as_in_postgresql() {
        let ascending = [
            "[]",
            "null",
            r#""""#,
            r#""a""#,
            r#""b""#,
            "-10.5",
            "-10",
            "-0.01",
            "0",
            "0.001",
            "0.01",
            "9",
            "10",
            "100",
            "false",
            "true",
            "[null]",
            "[1]",
            "[[]]",
            "[{}]",
            "[1, 2]",
            "[1, 3]",
            "{}",
            r#"{"a": 1}"#,
            r#"{"b": 0}"#,
            r#"{"a": 1, "b": 1}"#,
            r#"{"a": 1, "c": 0}"#,
        ];
        for pair in ascending.windows(2) {
            assert!(key(pair[0]) < key(pair[1]), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn numbers_are_equal_by_value() {
        for (a, b) in [("1.0", "1.00"), ("0", "-0.00"), ("[100]", "[1e2]"), ("0.10", "1e-1")] {
            assert_eq!(key(a), key(b), "{a} = {b}");
        }
        assert_ne!(key("1"), key("10"));
    }
}

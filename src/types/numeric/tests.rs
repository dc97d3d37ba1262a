//! Values against recorded answers of PostgreSQL, and laws that hold for all.

use std::cmp::Ordering;

use num_bigint::BigInt;
use proptest::prelude::*;

use super::*;

fn number(text: &str) -> Numeric {
    Numeric::parse(text).unwrap()
}

fn computed(op: &str, a: &str, b: &str) -> Result<String> {
    let (x, y) = (number(a), number(if b.is_empty() { "0" } else { b }));
    let places = b.parse().unwrap_or(0);
    let result = match op {
        "add" => x.plus(&y)?,
        "sub" => x.minus(&y)?,
        "mul" => x.times(&y)?,
        "over" => x.over(&y)?,
        "div" => x.over_whole(&y)?,
        "mod" => x.rest(&y)?,
        "power" => x.power(&y)?,
        "log" => y.log(&x)?,
        "gcd" => x.gcd(&y)?,
        "lcm" => x.lcm(&y)?,
        "round" => x.round(places)?,
        "trunc" => x.trunc(places)?,
        "sqrt" => x.sqrt()?,
        "exp" => x.exp()?,
        "ln" => x.ln()?,
        "neg" => x.negated(),
        "abs" => x.magnitude(),
        "sign" => x.sign(),
        "ceil" => x.ceil()?,
        "floor" => x.floor()?,
        "trim" => x.trim_scale()?,
        "text" => x,
        "cmp" => return Ok((x.cmp(&y) as i32).to_string()),
        "float" => {
            let mut out = String::new();
            crate::types::number::write_float8(&mut out, x.to_f64()?);
            return Ok(out);
        }
        "int8" => {
            let n = x.to_integer("bigint")?;
            return i64::try_from(n).map(|n| n.to_string()).map_err(|_| crate::types::complaint::out_of_range("bigint"));
        }
        other => panic!("no operation {other}"),
    };
    Ok(result.to_string())
}

#[test]
fn every_recorded_answer_of_postgresql_is_given() {
    let mut wrong = Vec::new();
    let lines = include_str!("expected.tsv").lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        let [op, a, b, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("not four fields: {line}") };
        let got = computed(op, a, b).unwrap_or_else(|e| format!("!{}", e.code().code()));
        if got != expected {
            wrong.push(format!("{op} {a} {b}: {got}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn text_is_read_as_postgresql_reads_it() {
    let check = |text: &str, expected: &str| {
        let got = Numeric::parse(text).map_or_else(|e| format!("!{}", e.code().code()), |n| n.to_string());
        assert_eq!(got, expected, "{text}");
    };
    for (text, expected) in [
        (" 1.50 ", "1.50"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1e10", "10000000000"),
        ("1.5e-3", "0.0015"),
        ("-0.00", "0.00"),
        ("+inf", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("nan", "NaN"),
        ("-nan", "!22P02"),
        ("", "!22P02"),
        (".", "!22P02"),
        ("1.2.3", "!22P02"),
        ("1e", "!22P02"),
        ("1_0", "!22P02"),
        ("1e131072", "!22003"),
        ("1e-16384", "!22003"),
        ("1e2000000000", "!22003"),
        ("0e10", "0"),
    ] {
        check(text, expected);
    }
    assert_eq!(number("1e131071").to_string().len(), 131_072);
    assert_eq!(number("1e-16383").to_string().len(), 16_385);
}

#[test]
fn digits_of_a_type_are_kept() {
    let fit = |text: &str, p, s| number(text).fit(p, s).map_or_else(|e| format!("!{}", e.code().code()), |n| n.to_string());
    assert_eq!(fit("12.345", 4, 1), "12.3");
    assert_eq!(fit("12345", 3, -2), "12300");
    assert_eq!(fit("0.00012", 2, 4), "0.0001");
    assert_eq!(fit("12345", 2, -2), "!22003");
    assert_eq!(fit("NaN", 3, 1), "NaN");
    assert_eq!(fit("inf", 3, 1), "!22003");
    assert_eq!(fit("99.95", 3, 1), "!22003");
}

fn any_number() -> impl Strategy<Value = Numeric> {
    prop_oneof![
        8 => (any::<i128>(), 0u32..45).prop_map(|(m, scale)| Numeric::of_i128(m, scale)),
        8 => (-1_000i128..1_000, 0u32..6).prop_map(|(m, scale)| Numeric::of_i128(m, scale)),
        4 => (any::<i128>(), any::<i128>(), 0u32..90)
            .prop_map(|(a, b, scale)| Numeric::of_mantissa((BigInt::from(a) * b).into(), scale).unwrap()),
        1 => Just(Numeric::NaN),
        1 => Just(Numeric::Infinity),
        1 => Just(Numeric::NegativeInfinity),
    ]
}

fn key(n: &Numeric) -> Vec<u8> {
    let mut out = Vec::new();
    n.write_key(&mut out);
    out
}

proptest! {
    #[test]
    fn bytes_and_text_give_the_value_back(n in any_number()) {
        prop_assert_eq!(Numeric::decode(&n.to_bytes()).to_string(), n.to_string());
        prop_assert_eq!(number(&n.to_string()).to_string(), n.to_string());
    }

    #[test]
    fn keys_order_as_values_do(a in any_number(), b in any_number()) {
        prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
        prop_assert!(a == b || !key(&a).starts_with(&key(&b)));
        prop_assert_eq!(Numeric::of_key(&key(&a)), Some(a));
    }

    #[test]
    fn zeros_at_the_end_change_no_value(n in any_number(), zeros in 0i32..9) {
        if let Some(scale) = n.scale() {
            let longer = n.round(scale as i32 + zeros).unwrap();
            prop_assert_eq!(longer.cmp(&n), Ordering::Equal);
            prop_assert_eq!(key(&longer), key(&n));
        }
    }

    #[test]
    fn differences_and_rests_undo(a in any_number(), b in any_number()) {
        if a.scale().is_some() && b.scale().is_some() {
            prop_assert_eq!(a.plus(&b).unwrap().minus(&b).unwrap(), a.clone());
            if !b.is_zero() {
                let whole = a.over_whole(&b).unwrap();
                prop_assert_eq!(whole.times(&b).unwrap().plus(&a.rest(&b).unwrap()).unwrap(), a);
            }
        }
    }
}

//! What paths select, and what they refuse.

use super::*;
use crate::types::json::Json;

const DOCUMENT: &str = r#"{"a": [{"n": 1.50, "t": "abc"}, {"n": 20}, {"t": "xyz"}], "b": {"c": null}, "deep": [[1], [2, [3]]]}"#;

fn selected(text: &str) -> String {
    let document = Json::parse(DOCUMENT).unwrap();
    let variables = Json::parse(r#"{"x": 2, "s": "ab"}"#).unwrap();
    match Path::parse(text).and_then(|path| query(&path, &document, &variables, false)) {
        Ok(items) => items.iter().map(Json::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => error.code().code().to_owned(),
    }
}

#[test]
fn paths_select_as_in_postgresql() {
    for (path, expected) in [
        ("$.a[*].n", "1.50 20"),
        ("$.a.n", "1.50 20"),
        ("strict $.a.n", "2203A"),
        ("strict $.a[*].n", "2203A"),
        ("$.a[0]", r#"{"n": 1.50, "t": "abc"}"#),
        ("$.a[last].t", "\"xyz\""),
        ("$.a[0 to 1].n", "1.50 20"),
        ("$.a[last - 1, 0].n", "20 1.50"),
        ("$.a[5]", ""),
        ("strict $.a[5]", "22033"),
        ("$.a[*] ? (@.n > 2)", r#"{"n": 20}"#),
        ("$.a[*] ? (@.n > $x).n", "20"),
        ("$.a[*] ? (@.n == 1.5).n", "1.50"),
        ("$.a[*] ? (exists(@.t) && !(@.n == 20)).t", "\"abc\" \"xyz\""),
        ("$.a[*] ? (@.t starts with $s).n", "1.50"),
        ("$.a[*].t ? (@ like_regex \"^X\" flag \"i\")", "\"xyz\""),
        ("$.a[*] ? ((@.n > 0) is unknown)", ""),
        ("$.b.c", "null"),
        ("$.b.c == null", "true"),
        ("$.nothing", ""),
        ("strict $.nothing", "2203A"),
        ("$.*", r#"[{"n": 1.50, "t": "abc"}, {"n": 20}, {"t": "xyz"}] {"c": null} [[1], [2, [3]]]"#),
        ("$.deep.**{2}", "1 2 [3]"),
        ("$.deep.**{last}", "1 2 3"),
        ("$.a.size()", "3"),
        ("$.b.type()", "\"object\""),
        ("$.a[0].n + 1", "2.50"),
        ("-$.a[0].n", "-1.50"),
        ("$.a[*].n * 2", "22038"),
        ("$.a[1].n / 0", "22012"),
        ("7 % 4", "3"),
        ("$.a[0].n.ceiling()", "2"),
        ("\"1.25\".double()", "1.25"),
        ("$.a.n > 5", "true"),
        ("$ ? (@.b.c == 1 || @.a.n == 20).b", r#"{"c": null}"#),
        ("$missing", "42704"),
        ("$.a[", "42601"),
        ("$.a[*] ? (@.n)", "42601"),
        ("@.a", "42601"),
        ("last", "42601"),
        ("$.a && 1", "42601"),
        ("", "42601"),
        ("$.t.datetime()", "0A000"),
    ] {
        assert_eq!(selected(path), expected, "{path}");
    }
}

#[test]
fn numbers_keep_all_their_digits() {
    let document = Json::parse("[123456789012345678901234567890.12345678901234567890]").unwrap();
    let path = Path::parse("$[*] ? (@ > 123456789012345678901234567890.12345678901234567889)").unwrap();
    assert_eq!(
        query(&path, &document, &Json::Null, false).unwrap(),
        [Json::Number("123456789012345678901234567890.12345678901234567890".into())]
    );
}

#[test]
fn errors_about_the_document_can_be_hidden() {
    let document = Json::parse("{}").unwrap();
    let path = Path::parse("strict $.a").unwrap();
    assert_eq!(exists(&path, &document, &Json::Null, true).unwrap(), None);
    assert_eq!(matches(&path, &document, &Json::Null, true).unwrap(), None);
    assert!(query(&path, &document, &Json::Null, true).unwrap().is_empty());
    assert!(exists(&path, &document, &Json::Null, false).is_err());
}

#[test]
fn deep_paths_are_refused_and_not_run_out_of_stack() {
    let deep = "(".repeat(100_000) + "$" + &")".repeat(100_000);
    assert_eq!(Path::parse(&deep).unwrap_err().code().code(), "54001");
    assert!(Path::parse(&"-".repeat(100_000)).is_err());
}

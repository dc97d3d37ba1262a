//! What is refused, with which code, where, and with a word on what to do instead.

use super::*;

#[test]
fn known_statements_are_refused_with_a_hint() {
    for text in [
        "CREATE TRIGGER x INSTEAD OF INSERT ON t EXECUTE FUNCTION f()",
        "CREATE FUNCTION f(VARIADIC a int[]) RETURNS int AS 'select 1' LANGUAGE sql",
        "CREATE TYPE e AS RANGE (subtype = int4)",
        "CREATE TYPE e",
        "ALTER TYPE e ADD ATTRIBUTE a int",
        "CREATE INDEX i ON t USING gin (a gin_ops(length = 3))",
        "CREATE DATABASE d ENCODING 'LATIN1'",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "ALTER DATABASE d SET x = 1",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bob",
        "DROP OWNED BY bob",
        "GRANT SELECT (a) ON t TO bob",
        "GRANT SELECT ON t TO bob WITH GRANT OPTION",
        "EXPLAIN (FORMAT xml) SELECT 1",
        "EXPLAIN CREATE TABLE t (a int)",
        "INSERT INTO t SELECT a FROM u FOR UPDATE",
        "DROP TABLE a.b.c",
        "UNDROP TABLE t",
        "RESTORE TABLE t TO VERSION AS OF 1",
        "FLASHBACK TABLE t TO BEFORE DROP",
        "ERASE FROM t WHERE a = 1",
        "SUBSCRIBE TO t",
    ] {
        let error = error(text);
        assert_eq!(error.code().code(), "0A000", "{text}: {error}");
        assert!(error.fields().hint.is_some(), "{text}: no hint");
        assert!(error.fields().position.is_some(), "{text}: no position");
    }
}

#[test]
fn syntax_errors_name_the_token_and_its_place() {
    for (text, near, position) in [
        ("SELEC 1", "at or near \"SELEC\"", 1),
        ("SELECT 1 +", "at end of input", 11),
        ("SELECT 1 +; SELECT 2", "at or near \";\"", 11),
        ("SELECT 'é' FROM WHERE", "at or near \"WHERE\"", 17),
        ("SELECT 'é' FROM FROM t", "at or near \"FROM\"", 17),
        ("SELECT\n  1 2", "at or near \"2\"", 12),
        ("SELECT (1", "at end of input", 10),
        ("SELECT 1)", "at or near \")\"", 9),
        ("SELECT 1; foo", "at or near \"foo\"", 11),
        ("INSERT INTO", "at end of input", 12),
        ("DROP", "at end of input", 5),
        ("DROP TABLE t u", "at or near \"u\"", 14),
        ("CREATE TABLE select (a int)", "at or near \"select\"", 14),
        ("ALTER TABLE t", "at end of input", 14),
        ("SET x", "at end of input", 6),
        ("COMMIT foo", "at or near \"foo\"", 8),
        ("BEGIN ISOLATION LEVEL foo", "at or near \"foo\"", 23),
        ("\"SELECT\" 1", "at or near \"\"SELECT\"\"", 1),
        (")", "at or near \")\"", 1),
    ] {
        let error = error(text);
        let expected = format!("syntax error {near}");
        assert_eq!(
            (error.code().code(), error.message(), error.fields().position),
            ("42601", expected.as_str(), Some(position)),
            "{text}"
        );
    }
}

#[test]
fn an_overly_deep_statement_is_refused() {
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(error(&deep).code().code(), "54001");
    let deep = format!("SELECT * FROM {}t AS OF 'v1'{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(error(&deep).code().code(), "54001");
}

#[test]
fn output_columns_have_postgresql_names() {
    for (select, expected) in [
        ("1", "?column?"),
        ("a", "a"),
        ("t.A", "a"),
        ("\"X\"", "X"),
        ("a AS \"B\"", "B"),
        ("count(*)", "count"),
        ("pg_catalog.lower(a)", "lower"),
        ("a::text", "a"),
        ("1::int", "int4"),
        ("'x'::varchar(3)", "varchar"),
        ("CAST(1 AS numeric(5,2))", "numeric"),
        ("1::bigint::text", "text"),
        ("'{1}'::int[]", "int4"),
        ("DATE '2020-01-01'", "date"),
        ("interval '1 day'", "interval"),
        ("CASE WHEN a THEN 1 END", "case"),
        ("CASE WHEN a THEN 1 ELSE b END", "b"),
        ("coalesce(a, b)", "coalesce"),
        ("nullif(a, b)", "nullif"),
        ("EXISTS (SELECT 1)", "exists"),
        ("(SELECT max(x) FROM u)", "max"),
        ("ARRAY[1, 2]", "array"),
        ("ARRAY(SELECT 1)", "array"),
        ("(1, 2)", "row"),
        ("current_date", "current_date"),
        ("current_user", "current_user"),
        ("extract(year FROM a)", "extract"),
        ("a[1]", "a"),
        ("-a", "?column?"),
        ("a || b", "?column?"),
        ("a IS NULL", "?column?"),
        ("NOT a", "?column?"),
        ("a AT TIME ZONE 'UTC'", "timezone"),
        ("substring(a FROM 1)", "substring"),
        ("trim(a)", "btrim"),
        ("row_number() OVER ()", "row_number"),
        ("doc->>'a'", "?column?"),
        ("true", "?column?"),
        ("NULL", "?column?"),
    ] {
        let Statement::Query(query) = one(&format!("SELECT {select} FROM t")).statement else { panic!() };
        assert_eq!(columns::output_names(&query), [Some(expected.to_owned())], "{select}");
    }
    for (query, expected) in [
        ("VALUES (1, 2)", vec![Some("column1".to_owned()), Some("column2".to_owned())]),
        ("SELECT *, t.* FROM t", vec![None, None]),
        ("SELECT a FROM t UNION SELECT b FROM t", vec![Some("a".to_owned())]),
        ("(SELECT a FROM t) ORDER BY 1", vec![Some("a".to_owned())]),
    ] {
        let Statement::Query(parsed) = one(query).statement else { panic!() };
        assert_eq!(columns::output_names(&parsed), expected, "{query}");
    }
}

#[test]
fn forms_that_differ_only_in_writing_become_one() {
    for (written, expected) in [
        ("SELECT pg_catalog.lower(a)", "SELECT lower(a)"),
        ("SELECT a OPERATOR(pg_catalog.~) 'x'", "SELECT a ~ 'x'"),
        ("SELECT a OPERATOR(pg_catalog.=) ANY (b)", "SELECT a = ANY(b)"),
        ("SELECT a OPERATOR(pg_catalog.<>) ALL (ARRAY['r', 's'])", "SELECT a <> ALL(ARRAY['r', 's'])"),
        ("SELECT E'a\\tb', $$c$$, U&'\\0041'", "SELECT 'a\tb', 'c', 'A'"),
        ("SELECT a LIKE 'x/_%' ESCAPE '/'", "SELECT a LIKE 'x\\_%'"),
        ("SELECT a NOT ILIKE 'x\\!%' ESCAPE '!'", "SELECT a NOT ILIKE 'x\\\\\\%'"),
        ("SELECT x.count FROM (SELECT count(*), 1 FROM t) x", "SELECT x.count FROM (SELECT count(*) AS \"count\", 1 FROM t) x"),
        (
            "SELECT * FROM (SELECT max(a) FROM t GROUP BY b HAVING avg(max) > 1) x",
            "SELECT * FROM (SELECT max(a) FROM t GROUP BY b HAVING avg(max) > 1) x",
        ),
        ("SELECT 'a'\n'b'", "SELECT 'ab'"),
    ] {
        assert_eq!(tree(&one(written).statement).to_string(), expected, "{written}");
    }
}

//! Every spelling of the past, before and after the alias, and what only looks like one.

use super::*;

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(relations(text), expected, "{text}");
}

/// `FROM t <clause> a`, `FROM t <clause> AS a`, `FROM t AS a <clause>` and `FROM t a <clause>` read the same.
#[track_caller]
fn clause(clause: &str, expected: &str) {
    check(&format!("SELECT * FROM t {clause}"), &[&format!("t: {expected}")]);
    check(&format!("SELECT * FROM t {clause} a WHERE a.x = 1"), &[&format!("t a: {expected}")]);
    check(&format!("SELECT * FROM s.t {clause} AS a ORDER BY 1"), &[&format!("s.t a: {expected}")]);
    check(&format!("SELECT * FROM t AS a {clause} WHERE true"), &[&format!("t a: {expected}")]);
    check(&format!("SELECT * FROM t a {clause}, u"), &[&format!("t a: {expected}"), "u"]);
    check(&format!("SELECT * FROM u JOIN t a {clause} ON u.x = a.x"), &["u", &format!("t a: {expected}")]);
    check(&format!("SELECT (SELECT max(x) FROM t {clause}) FROM u"), &[&format!("t: {expected}"), "u"]);
}

#[test]
fn standard_spellings() {
    clause("FOR SYSTEM_TIME AS OF '2020-01-01'", "as of time '2020-01-01'");
    clause("for system_time as of '2020-01-01'::timestamptz", "as of time '2020-01-01'::TIMESTAMPTZ");
    clause("FOR SYSTEM_TIME AS OF $1", "as of either $1");
    clause("FOR SYSTEM_TIME AS OF $1::timestamptz", "as of time $1::TIMESTAMPTZ");
    clause("FOR SYSTEM_TIME AS OF ($1)", "as of either $1");
    clause("FOR SYSTEM_TIME AS OF now() - interval '1 day'", "as of time now() - INTERVAL '1 day'");
    clause("FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP", "as of time CURRENT_TIMESTAMP");
    clause("FOR SYSTEM_TIME AS OF now() - $1::interval", "as of time now() - $1::INTERVAL");
    clause("FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01 00:00:00+02'", "as of time '2020-01-01 00:00:00+02'");
    clause("FOR SYSTEM_TIME AS OF DATE '2020-01-01'", "as of time DATE '2020-01-01'");
    clause("FOR SYSTEM_TIME AS OF 12", "as of commit 12");
    clause("FOR SYSTEM_TIME AS OF 'v12'", "as of commit 12");
    clause("FOR SYSTEM_TIME AS OF $1::bigint", "as of commit $1::BIGINT");
    clause("FOR SYSTEM_TIME AS OF $1 - 1", "as of commit $1 - 1");
    clause("FOR SYSTEM_TIME FROM '2020-01-01' TO '2021-01-01'", "from time '2020-01-01' to time '2021-01-01'");
    clause("FOR SYSTEM_TIME FROM now() - interval '1 day' TO now()", "from time now() - INTERVAL '1 day' to time now()");
    clause("FOR SYSTEM_TIME BETWEEN 'v3' AND $2", "between commit 3 and either $2");
    clause("FOR SYSTEM_TIME CONTAINED IN ('2020-01-01', '2021-01-01')", "contained in time '2020-01-01', time '2021-01-01'");
    clause("FOR SYSTEM_TIME ALL", "all");
    clause("FOR ALL SYSTEM_TIME", "all");
}

#[test]
fn spellings_of_other_systems() {
    clause("AS OF '2020-01-01'", "as of time '2020-01-01'");
    clause("AS OF $1", "as of either $1");
    clause("AS OF 7", "as of commit 7");
    clause("AS OF now()", "as of time now()");
    clause("AS OF ('2020-01-01'::date + 1)", "as of time '2020-01-01'::DATE + 1");
    clause("AS OF TIMESTAMP '2020-01-01'", "as of time '2020-01-01'");
    clause("AS OF TIMESTAMP $1", "as of time $1");
    clause("AS OF TIMESTAMP WITH TIME ZONE '2020-01-01 00:00+01'", "as of time '2020-01-01 00:00+01'");
    clause("AS OF TIMESTAMP now() - interval '1' hour", "as of time now() - INTERVAL '1' HOUR");
    clause("AS OF SCN 12", "as of commit 12");
    clause("AS OF SCN $1", "as of commit $1");
    clause("FOR TIMESTAMP AS OF '2020-01-01'", "as of time '2020-01-01'");
    clause("FOR VERSION AS OF 12", "as of commit 12");
    clause("FOR VERSION AS OF 'v12'", "as of commit 12");
    clause("TIMESTAMP AS OF '2020-01-01'", "as of time '2020-01-01'");
    clause("VERSION AS OF $1", "as of commit $1");
    clause("AT (TIMESTAMP => '2020-01-01'::timestamptz)", "as of time '2020-01-01'::TIMESTAMPTZ");
    clause("AT(OFFSET => -60*5)", "as of time now() + INTERVAL '-300000000 microseconds'");
    clause("AT (VERSION => 12)", "as of commit 12");
    clause("BEFORE (TIMESTAMP => $1)", "as of before $1");
    clause("BEFORE(VERSION => 12)", "as of before commit 12");
    clause("VERSIONS BETWEEN TIMESTAMP '2020-01-01' AND $1", "between time '2020-01-01' and time $1");
    clause("VERSIONS BETWEEN SCN 3 AND 9", "between commit 3 and commit 9");
    clause("VERSIONS BETWEEN SCN MINVALUE AND MAXVALUE", "all");
    clause("VERSIONS BETWEEN SCN MINVALUE AND 9", "between commit 0 and commit 9");
}

#[test]
fn a_statement_wide_clause_reaches_every_relation_without_one() {
    check(
        "SELECT * FROM a, b AS OF SYSTEM TIME '2020-01-01'",
        &["a: pinned to time '2020-01-01'", "b: pinned to time '2020-01-01'"],
    );
    check(
        "SELECT * FROM a x JOIN b ON x.i = b.i AS OF SYSTEM TIME 'v3' WHERE x.i > 1",
        &["a x: pinned to commit 3", "b: pinned to commit 3"],
    );
    check(
        "SELECT * FROM a JOIN b USING (i) AS OF SYSTEM TIME 'v3' ORDER BY 1",
        &["a: pinned to commit 3", "b: pinned to commit 3"],
    );
    check(
        "SELECT * FROM a AS OF SYSTEM TIME '-4h'",
        &["a: pinned to time now() + INTERVAL '0 months 0 days -14400000000 microseconds'"],
    );
    check(
        "SELECT * FROM a AS OF SYSTEM TIME INTERVAL '-1 day'",
        &["a: pinned to time now() + INTERVAL '0 months -1 days 0 microseconds'"],
    );
    check("SELECT * FROM a AS OF SYSTEM TIME 1700000000123456789", &["a: pinned to time '2023-11-14 22:13:20.123456+00'"]);
    check(
        "SELECT * FROM a AS OF SYSTEM TIME '1700000000123456789.0000000001'",
        &["a: pinned to time '2023-11-14 22:13:20.123456+00'"],
    );
    check("SELECT * FROM a AS OF SYSTEM TIME $1", &["a: pinned to either $1"]);
    check(
        "SELECT * FROM a FOR SYSTEM_TIME AS OF 'v1', b AS OF SYSTEM TIME 'v2'",
        &["a: as of commit 1", "b: pinned to commit 2"],
    );
    check(
        "SELECT * FROM a AS OF SYSTEM TIME 'v2' WHERE x IN (SELECT y FROM c) UNION SELECT * FROM d",
        &["a: pinned to commit 2", "c: pinned to commit 2", "d: pinned to commit 2"],
    );
    check("SELECT * FROM (SELECT * FROM a AS OF SYSTEM TIME 'v2') x, b", &["a: pinned to commit 2", "b"]);
    check(
        "SELECT * FROM (SELECT * FROM a AS OF SYSTEM TIME 'v1') x, b AS OF SYSTEM TIME 'v2'",
        &["a: pinned to commit 1", "b: pinned to commit 2"],
    );
    check("SELECT * FROM f(1), a AS OF SYSTEM TIME 'v2'", &["f", "a: pinned to commit 2"]);
    check("INSERT INTO t SELECT * FROM s AS OF SYSTEM TIME 'v2'", &["s: pinned to commit 2"]);
}

#[test]
fn a_with_query_is_not_a_table() {
    check(
        "WITH c AS (SELECT * FROM a) SELECT * FROM c, b AS OF SYSTEM TIME 'v2'",
        &["a: pinned to commit 2", "c", "b: pinned to commit 2"],
    );
    // Outside WITH RECURSIVE a query's own name is the table's.
    check("WITH a AS (SELECT * FROM a) SELECT * FROM a AS OF SYSTEM TIME 'v2'", &["a: pinned to commit 2", "a"]);
    check(
        "WITH RECURSIVE a AS (SELECT * FROM z UNION SELECT * FROM a) SELECT * FROM a AS OF SYSTEM TIME 'v2'",
        &["z: pinned to commit 2", "a", "a"],
    );
    check(
        "WITH c AS (SELECT * FROM a FOR SYSTEM_TIME AS OF 'v1') SELECT * FROM c JOIN a ON true",
        &["a: as of commit 1", "c", "a"],
    );
}

#[test]
fn different_times_in_one_statement() {
    check(
        "SELECT * FROM t FOR SYSTEM_TIME AS OF $1 old JOIN t AS new FOR SYSTEM_TIME AS OF $2 ON old.id = new.id LEFT JOIN t cur USING (id)",
        &["t old: as of either $1", "t new: as of either $2", "t cur"],
    );
    check(
        "SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b AS OF 'v2' WHERE b.x IS DISTINCT FROM a.x)",
        &["a", "b: as of commit 2"],
    );
    check(
        "SELECT * FROM (a AS OF 'v1' JOIN b ON true), LATERAL (SELECT * FROM c AS OF 'v2') x",
        &["a: as of commit 1", "b", "c: as of commit 2"],
    );
    check("UPDATE t SET x = s.x FROM s FOR SYSTEM_TIME AS OF 'v1' WHERE s.id = t.id", &["t", "s: as of commit 1"]);
    check("DELETE FROM t USING s AS OF 'v1' WHERE s.id = t.id", &["t", "s: as of commit 1"]);
    check("INSERT INTO t SELECT * FROM t FOR SYSTEM_TIME AS OF 'v1' ON CONFLICT DO NOTHING", &["t: as of commit 1"]);
    check("SELECT extract(year FROM at) FROM t AS OF 'v1'", &["t: as of commit 1"]);
    check("TABLE t AS OF 'v1'", &["t: as of commit 1"]);
    check("TABLE ONLY t", &["t"]);
    check("SELECT * FROM ONLY t AS OF 'v1' UNION ALL TABLE u", &["t: as of commit 1", "u"]);
}

#[test]
fn names_that_look_like_clauses_stay_names() {
    for alias in ["at", "before", "of", "changes", "timestamp", "version", "versions", "system_time", "system"] {
        check(&format!("SELECT {alias}.x FROM t {alias}"), &[&format!("t {alias}")]);
        check(&format!("SELECT * FROM t AS {alias} WHERE {alias}.x = 1"), &[&format!("t {alias}")]);
        check(&format!("SELECT * FROM t AS {alias}, u AS OF 'v1'"), &[&format!("t {alias}"), "u: as of commit 1"]);
        check(&format!("SELECT {alias} FROM {alias} AS OF 'v1'"), &[&format!("{alias}: as of commit 1")]);
    }
    check("SELECT * FROM t AS of (a, b)", &["t of"]);
    check("SELECT * FROM t AS of JOIN u ON true", &["t of", "u"]);
    check("SELECT timestamp AS of, version AS at FROM t", &["t"]);
    check("SELECT * FROM t WHERE versions BETWEEN 1 AND 3", &["t"]);
    check("SELECT 'x FOR SYSTEM_TIME AS OF y' FROM t -- AS OF 'v1'", &["t"]);
    check("SELECT /* FOR SYSTEM_TIME AS OF 'v1' /* */ */ $$AS OF 'v1'$$, \"AS OF\" FROM t", &["t"]);
    check(
        "SELECT x AT TIME ZONE 'UTC' FROM t AS OF '2020-01-01' AT TIME ZONE 'Europe/Berlin'",
        &["t: as of time '2020-01-01' AT TIME ZONE 'Europe/Berlin'"],
    );
    check("SELECT * FROM \"of\" AS \"of\" AS OF 'v1'", &["\"of\" \"of\": as of commit 1"]);
}

#[track_caller]
fn refused(text: &str, code: &str, position: usize) {
    let error = error(text);
    assert_eq!((error.code().code(), error.fields().position), (code, Some(position)), "{text}: {error}");
    assert!(code == "42601" || code.starts_with("22") || error.fields().hint.is_some() || code == "42804", "{text}: no hint");
}

#[test]
fn what_cannot_be_an_instant_is_refused() {
    refused("SELECT * FROM t FOR SYSTEM_TIME AS OF x", "0A000", 39);
    refused("SELECT * FROM t AS OF x", "0A000", 23);
    refused("SELECT * FROM t AS OF (SELECT now())", "0A000", 23);
    refused("SELECT * FROM t AS OF clock_timestamp()", "0A000", 23);
    refused("SELECT * FROM t AS OF random()", "0A000", 23);
    refused("SELECT * FROM t AS OF now() - x.y", "0A000", 23);
    refused("SELECT * FROM t AS OF $1 - $2", "0A000", 23);
    refused("SELECT * FROM t AS OF 1.5", "22023", 23);
    refused("SELECT * FROM t AS OF TIMESTAMP 12", "42804", 33);
    refused("SELECT * FROM t AS OF interval '1 day'", "42804", 23);
    refused("SELECT * FROM t FOR VERSION AS OF 'release'", "42704", 35);
    refused("SELECT * FROM t FOR VERSION AS OF now()", "42804", 35);
    refused("SELECT * FROM t AS OF SYSTEM TIME '4h'", "22023", 35);
    refused("SELECT * FROM t AS OF SYSTEM TIME 12", "22023", 35);
    refused("SELECT * FROM t AT (STATEMENT => 'x')", "0A000", 34);
    refused("SELECT * FROM t AT (OFFSET => $1)", "0A000", 17);
}

#[test]
fn a_clause_where_none_can_stand_is_refused() {
    refused("UPDATE t FOR SYSTEM_TIME AS OF 'v1' SET x = 1", "0A000", 10);
    refused("UPDATE t a AS OF 'v1' SET x = 1", "0A000", 12);
    refused("DELETE FROM t FOR SYSTEM_TIME AS OF 'v1' WHERE id = 1", "0A000", 15);
    refused("DELETE FROM t AS a FOR SYSTEM_TIME ALL", "0A000", 20);
    refused("INSERT INTO t FOR SYSTEM_TIME AS OF 'v1' VALUES (1)", "0A000", 15);
    refused("INSERT INTO t AS OF 'v1' VALUES (1)", "0A000", 15);
    refused("UPDATE t SET x = 1 FROM s AS OF SYSTEM TIME 'v1'", "0A000", 27);
    refused("DELETE FROM t AS OF SYSTEM TIME 'v1'", "0A000", 15);
    refused("SELECT * FROM (SELECT * FROM t) x FOR SYSTEM_TIME AS OF 'v1'", "0A000", 35);
    refused("SELECT * FROM (a JOIN b ON true) AS OF 'v1'", "0A000", 34);
    refused("SELECT * FROM f(1) AS OF 'v1'", "0A000", 20);
    refused("SELECT * FROM unnest(ARRAY[1]) u FOR SYSTEM_TIME ALL", "0A000", 34);
    refused("WITH c AS (SELECT 1) SELECT * FROM c FOR SYSTEM_TIME AS OF 'v1'", "0A000", 36);
    refused("SELECT * FROM t AS OF 'v1' FOR SYSTEM_TIME ALL", "42601", 28);
    refused("SELECT * FROM a AS OF SYSTEM TIME 'v1', b", "42601", 39);
    refused("SELECT * FROM a AS OF SYSTEM TIME 'v1' x", "42601", 40);
    refused("SELECT * FROM a AS OF SYSTEM TIME 'v1' UNION SELECT * FROM b AS OF SYSTEM TIME 'v2'", "42601", 62);
    refused("SELECT * FROM t FOR SYSTEM_TIME", "42601", 32);
    refused("SELECT * FROM t FOR SYSTEM_TIME AS OF", "42601", 38);
    refused("SELECT * FROM t FOR SYSTEM_TIME FROM 'v1'", "42601", 42);
    refused("SELECT * FROM t WHERE x = 1 FOR SYSTEM_TIME AS OF 'v1'", "42601", 33);
    refused("SELECT x FOR SYSTEM_TIME AS OF 'v1'", "42601", 14);
}

#[test]
fn spellings_that_are_known_and_not_served_are_refused() {
    refused("SELECT * FROM t FOR SYSTEM_TIME BEFORE 'v1'", "0A000", 33);
    refused("SELECT * FROM t FOR VALID_TIME AS OF '2020-01-01'", "0A000", 21);
    refused("UPDATE t FOR PORTION OF p FROM a TO b SET x = 1", "0A000", 14);
    refused("SELECT * FROM t FOR TIMESTAMP BETWEEN a AND b", "42601", 21);
    refused("SELECT * FROM t CHANGES (INFORMATION => DEFAULT) AT (VERSION => 1)", "0A000", 17);
    refused("SELECT * FROM t AS OF 'v1' FOR UPDATE", "0A000", 1);
    refused("SELECT * FROM (SELECT * FROM t FOR SHARE) x", "0A000", 1);
}

//! What each statement becomes.

use super::*;
use crate::types::{Identity, PgType};

/// A statement's plain value as Rust shows it, without the parts a test does not look at.
fn ddl(text: &str) -> Ddl {
    match one(text).statement {
        Statement::Ddl(ddl) => *ddl,
        other => panic!("{text}: {other:?}"),
    }
}

fn table(text: &str) -> CreateTable {
    match ddl(text) {
        Ddl::CreateTable(table) => table,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn type_names_in_all_their_spellings() {
    for (spelling, expected) in [
        ("int", "integer"),
        ("INT4", "integer"),
        ("integer", "integer"),
        ("int2", "smallint"),
        ("smallint", "smallint"),
        ("bigint", "bigint"),
        ("int8", "bigint"),
        ("decimal", "numeric"),
        ("numeric", "numeric"),
        ("numeric(10)", "numeric(10,0)"),
        ("DEC(10, 2)", "numeric(10,2)"),
        ("numeric(38,38)", "numeric(38,38)"),
        ("numeric(100,50)", "numeric(100,50)"),
        ("numeric(5,6)", "numeric(5,6)"),
        ("numeric(5,-1)", "numeric(5,-1)"),
        ("varchar", "character varying"),
        ("varchar(20)", "character varying(20)"),
        ("character varying(20)", "character varying(20)"),
        ("char varying", "character varying"),
        ("national character varying(3)", "character varying(3)"),
        ("char", "character(1)"),
        ("character(4)", "character(4)"),
        ("bpchar", "character"),
        ("\"char\"", "\"char\""),
        ("text", "text"),
        ("TEXT COLLATE \"C\"", "text"),
        ("bytea", "bytea"),
        ("bool", "boolean"),
        ("boolean", "boolean"),
        ("date", "date"),
        ("time", "time without time zone"),
        ("time(6) without time zone", "time(6) without time zone"),
        ("timestamp", "timestamp without time zone"),
        ("timestamp without time zone", "timestamp without time zone"),
        ("timestamp with time zone", "timestamp with time zone"),
        ("timestamp(6) with time zone", "timestamp(6) with time zone"),
        ("timestamptz", "timestamp with time zone"),
        ("timestamptz(9)", "timestamp(6) with time zone"),
        ("timestamp(0)", "timestamp(0) without time zone"),
        ("interval", "interval"),
        ("interval(3)", "interval(3)"),
        ("uuid", "uuid"),
        ("json", "json"),
        ("jsonb", "jsonb"),
        ("real", "real"),
        ("float4", "real"),
        ("float(24)", "real"),
        ("float", "double precision"),
        ("float(25)", "double precision"),
        ("double precision", "double precision"),
        ("oid", "oid"),
        ("name", "name"),
        ("regclass", "regclass"),
        ("pg_catalog.int4", "integer"),
        ("pg_catalog.\"char\"", "\"char\""),
        ("int[]", "integer[]"),
        ("int[3]", "integer[]"),
        ("text ARRAY", "text[]"),
        ("varchar(5)[]", "character varying(5)[]"),
        ("_int4", "integer[]"),
    ] {
        let table = table(&format!("CREATE TABLE t (a {spelling})"));
        assert_eq!(table.columns[0].ty.sql_name(), expected, "{spelling}");
    }
}

#[test]
fn types_that_are_not_there() {
    for (spelling, code) in [
        ("citext", "0A000"),
        ("tsvector", "0A000"),
        ("int4multirange", "0A000"),
        ("timetz(3)", "0A000"),
        ("bit(0)", "22023"),
        ("bit varying(83886081)", "22023"),
        ("interval day to second", "0A000"),
        ("serial[]", "0A000"),
        ("numeric(1001)", "22023"),
        ("numeric(5,1001)", "22023"),
        ("numeric(0)", "22023"),
        ("varchar(0)", "22023"),
        ("varchar(10485761)", "22023"),
        ("float(0)", "22023"),
        ("float(54)", "22023"),
        ("text COLLATE \"de_DE\"", "0A000"),
        ("select", "42601"),
        ("", "42601"),
    ] {
        assert_eq!(error(&format!("CREATE TABLE t (a {spelling})")).code().code(), code, "{spelling}");
    }
}

#[test]
fn types_of_users_are_names_and_places() {
    for (spelling, schema, name, array) in [
        ("foo", None, "foo", false),
        ("\"int\"", None, "int", false),
        ("\"INT4\"[]", None, "INT4", true),
        ("MySchema.\"Foo\" ARRAY", Some("myschema"), "Foo", true),
    ] {
        let Statement::Ddl(ddl) = one(&format!("CREATE TABLE t (a int, b {spelling})")).statement else { panic!() };
        let Ddl::CreateTable(create) = *ddl else { panic!() };
        let written = Name { schema: schema.map(str::to_owned), name: name.to_owned() };
        assert_eq!(create.columns[1].own, Some(OwnType { name: written, position: 26 }), "{spelling}");
        assert_eq!(create.columns[1].ty.array, array, "{spelling}");
    }
}

#[test]
fn enumerations_and_domains() {
    let ddl = |text: &str| match one(text).statement {
        Statement::Ddl(ddl) => *ddl,
        other => panic!("{other:?}"),
    };
    let Ddl::CreateEnum { name, labels } = ddl("CREATE TYPE s.mood AS ENUM ('sad', 'it''s')") else { panic!() };
    assert_eq!((name, labels), (Name::qualified("s", "mood"), vec!["sad".to_owned(), "it's".to_owned()]));
    let Ddl::CreateEnum { labels, .. } = ddl("CREATE TYPE empty AS ENUM ()") else { panic!() };
    assert!(labels.is_empty());
    let Ddl::AlterType { action, .. } = ddl("ALTER TYPE m ADD VALUE IF NOT EXISTS 'a' BEFORE 'b'") else { panic!() };
    let place = Some((true, "b".to_owned()));
    assert_eq!(action, AlterType::AddValue { label: "a".into(), if_not_exists: true, place });
    let text = "CREATE DOMAIN d AS varchar(5) DEFAULT 'x' NOT NULL CONSTRAINT c CHECK (VALUE <> '') CHECK (true)";
    let Ddl::CreateDomain(domain) = ddl(text) else { panic!() };
    assert_eq!((domain.ty.modifier, domain.default.as_deref(), domain.not_null), (9, Some("'x'"), true));
    let checks = vec![(Some("c".to_owned()), "VALUE <> ''".to_owned()), (None, "true".to_owned())];
    assert_eq!(domain.checks, checks);
    for text in ["CREATE DOMAIN d AS int UNIQUE", "CREATE DOMAIN d AS int NULL NOT NULL", "ALTER DOMAIN d ADD UNIQUE"] {
        assert_eq!(error(text).code().code(), "42601", "{text}");
    }
}

#[test]
fn a_table_with_everything() {
    let table = table(
        "CREATE TABLE IF NOT EXISTS s.T (
            id bigint GENERATED BY DEFAULT AS IDENTITY (START WITH 10 INCREMENT BY 2) PRIMARY KEY,
            n serial,
            \"Name\" varchar(10) DEFAULT 'a, b' || lower('X') NOT NULL CONSTRAINT named UNIQUE,
            v int NULL DEFAULT NULL,
            w numeric(6,2) CHECK (w > 0 AND w < (1 + 2)) DEFAULT -1,
            at timestamptz NOT NULL DEFAULT now(),
            doc jsonb DEFAULT '{}'::jsonb,
            CONSTRAINT pos CHECK (v > 0),
            UNIQUE (v, w),
            CHECK (n > 0)
        ) WITH (fillfactor = 70)",
    );
    assert!(table.if_not_exists);
    assert_eq!(table.name, Name::qualified("s", "t"));
    let columns: Vec<_> = table.columns.iter().map(|c| (c.name.as_str(), c.not_null, c.serial, c.default.as_deref())).collect();
    assert_eq!(
        columns,
        [
            ("id", true, false, None),
            ("n", true, true, None),
            ("Name", true, false, Some("'a, b' || lower('X')")),
            ("v", false, false, Some("NULL")),
            ("w", false, false, Some("-1")),
            ("at", true, false, Some("now()")),
            ("doc", false, false, Some("'{}'::jsonb")),
        ]
    );
    let (identity, options) = table.columns[0].identity.clone().unwrap();
    assert_eq!((identity, options.start, options.increment), (Identity::ByDefault, Some(10), Some(2)));
    let constraints: Vec<_> = table.constraints.iter().map(|c| format!("{:?} {:?}", c.name, c.kind)).collect();
    assert_eq!(
        constraints,
        [
            r#"None PrimaryKey(["id"])"#,
            r#"Some("named") Unique(["Name"])"#,
            r#"None Check { expression: "w > 0 AND w < (1 + 2)", column: Some("w") }"#,
            r#"Some("pos") Check { expression: "v > 0", column: None }"#,
            r#"None Unique(["v", "w"])"#,
            r#"None Check { expression: "n > 0", column: None }"#,
        ]
    );
}

#[test]
fn a_default_ends_where_the_next_constraint_begins() {
    for (text, default, not_null) in [
        ("a int DEFAULT 1 NOT NULL", "1", true),
        ("a int DEFAULT 1 + 2 * 3", "1 + 2 * 3", false),
        ("a text DEFAULT 'NOT NULL' NOT NULL", "'NOT NULL'", true),
        ("a text DEFAULT NULL NULL", "NULL", false),
        ("a text DEFAULT NULL::text", "NULL::text", false),
        ("a int DEFAULT (1) CHECK (a > 0)", "(1)", false),
        ("a int DEFAULT coalesce(NULL, 1) UNIQUE", "coalesce(NULL, 1)", false),
        ("a timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL", "CURRENT_TIMESTAMP", true),
        ("a int[] DEFAULT ARRAY[1, 2] NOT NULL", "ARRAY[1, 2]", true),
    ] {
        let table = table(&format!("CREATE TABLE t ({text})"));
        assert_eq!((table.columns[0].default.as_deref(), table.columns[0].not_null), (Some(default), not_null), "{text}");
    }
}

#[test]
fn tables_that_contradict_themselves() {
    for (text, code, message) in [
        ("(a int, a text)", "42701", "column \"a\" specified more than once"),
        ("(a int PRIMARY KEY, b int PRIMARY KEY)", "42P16", "multiple primary keys for table \"t\" are not allowed"),
        ("(a int, PRIMARY KEY (b))", "42703", "column \"b\" named in key does not exist"),
        ("(a int, UNIQUE (a, a))", "42701", "column \"a\" appears twice in constraint"),
        ("(a int NULL NOT NULL)", "42601", "conflicting NULL/NOT NULL declarations for column \"a\" of table \"t\""),
        ("(a int DEFAULT 1 DEFAULT 2)", "42601", "multiple default values specified for column \"a\" of table \"t\""),
        ("(a serial DEFAULT 2)", "42601", "multiple default values specified for column \"a\" of table \"t\""),
        (
            "(a int DEFAULT 1 GENERATED ALWAYS AS IDENTITY)",
            "42601",
            "both default and identity specified for column \"a\" of table \"t\"",
        ),
        ("(a text GENERATED ALWAYS AS IDENTITY)", "22023", "identity column type must be smallint, integer, or bigint"),
        ("(LIKE u INCLUDING nothing)", "42601", "syntax error at or near \"nothing\""),
        ("(a int) INHERITS (u)", "0A000", "inheritance is not supported"),
        ("(a int) PARTITION BY RANGE (a)", "0A000", "partitioned tables are not supported"),
        ("(a int PRIMARY KEY DEFERRABLE)", "0A000", "deferrable primary keys are not supported"),
        (
            "(a int REFERENCES b NOT DEFERRABLE INITIALLY DEFERRED)",
            "42601",
            "constraint declared INITIALLY DEFERRED must be DEFERRABLE",
        ),
        ("(a int REFERENCES b ON DELETE NOTHING)", "42601", "syntax error at or near \"NOTHING\""),
        ("(a int GENERATED BY DEFAULT AS (1 + 1) STORED)", "42601", "for a generated column, GENERATED ALWAYS must be specified"),
        (
            "(a int DEFAULT 1 GENERATED ALWAYS AS (1 + 1) STORED)",
            "42601",
            "both default and generation expression specified for column \"a\" of table \"t\"",
        ),
        ("(a int UNIQUE NULLS NOT DISTINCT)", "0A000", "NULLS NOT DISTINCT is not supported"),
        ("(a int) WITH (foo = 1)", "0A000", "storage parameter \"foo\" is not supported"),
        ("(a int DEFAULT)", "42601", "syntax error at or near \")\""),
        ("(a int DEFAULT 1 +)", "42601", "syntax error at or near \")\""),
        ("(a int CHECK ())", "42601", "syntax error at or near \")\""),
        ("(a int,)", "42601", "syntax error at or near \")\""),
        ("(a int", "42601", "syntax error at end of input"),
    ] {
        let error = error(&format!("CREATE TABLE t {text}"));
        assert_eq!((error.code().code(), error.message()), (code, message), "{text}");
    }
}

#[test]
fn alterations() {
    for (text, expected) in [
        ("ADD COLUMN IF NOT EXISTS c int NOT NULL DEFAULT 0 CHECK (c >= 0)", "AddColumn"),
        ("ADD c int", "AddColumn"),
        ("DROP COLUMN c CASCADE", "DropColumn { name: \"c\", if_exists: false, cascade: true }"),
        ("DROP IF EXISTS c", "DropColumn { name: \"c\", if_exists: true, cascade: false }"),
        ("RENAME c TO d", "RenameColumn { from: \"c\", to: \"d\" }"),
        ("RENAME COLUMN c TO d", "RenameColumn { from: \"c\", to: \"d\" }"),
        ("RENAME TO u", "RenameTable { to: \"u\" }"),
        ("RENAME CONSTRAINT c TO d", "RenameConstraint { from: \"c\", to: \"d\" }"),
        ("SET SCHEMA s", "SetSchema { schema: \"s\" }"),
        (
            "ALTER c SET DEFAULT now() + interval '1 day'",
            "SetDefault { column: \"c\", default: Some(\"now() + interval '1 day'\") }",
        ),
        ("ALTER COLUMN c DROP DEFAULT", "SetDefault { column: \"c\", default: None }"),
        ("ALTER c SET NOT NULL", "SetNotNull { column: \"c\", not_null: true }"),
        ("ALTER c DROP NOT NULL", "SetNotNull { column: \"c\", not_null: false }"),
        ("ALTER c TYPE text USING c::text || 'x'", "using: Some(\"c::text || 'x'\")"),
        ("ALTER c SET DATA TYPE bigint", "using: None"),
        (
            "ADD CONSTRAINT k PRIMARY KEY (a, b)",
            "AddConstraint(ConstraintSpec { name: Some(\"k\"), kind: PrimaryKey([\"a\", \"b\"]), timing",
        ),
        ("DROP CONSTRAINT IF EXISTS k", "DropConstraint { name: \"k\", if_exists: true, cascade: false }"),
        ("OWNER TO bob", "OwnerTo { role: \"bob\" }"),
    ] {
        let Ddl::AlterTable { actions, .. } = ddl(&format!("ALTER TABLE t {text}")) else { panic!("{text}") };
        assert!(format!("{:?}", actions[0]).contains(expected), "{text}: {actions:?}");
    }
    let Ddl::AlterTable { name, if_exists, actions } =
        ddl("ALTER TABLE IF EXISTS ONLY s.t ADD a int, DROP b, ALTER c SET DEFAULT 1, ADD CHECK (a > 1)")
    else {
        panic!()
    };
    assert_eq!((name, if_exists, actions.len()), (Name::qualified("s", "t"), true, 4));
}

#[test]
fn indexes_over_columns() {
    let Ddl::CreateIndex(index) = ddl(
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON s.t USING btree (a DESC NULLS LAST, \"B\" text_pattern_ops) INCLUDE (c)",
    ) else {
        panic!()
    };
    assert!(index.unique && index.if_not_exists);
    let part = |name: &str, descending, class: Option<&str>| IndexElement {
        key: IndexKey::Column(name.to_owned()),
        ordered: descending,
        descending,
        nulls_first: false,
        operator_class: class.map(str::to_owned),
    };
    let parts = vec![part("a", true, None), part("B", false, Some("text_pattern_ops"))];
    assert_eq!((index.name.as_deref(), index.parts, index.include), (Some("i"), parts, vec!["c".to_owned()]));
    let Ddl::CreateIndex(index) = ddl("CREATE INDEX ON t (lower(a), (b + 1) DESC) WHERE c > 0") else { panic!() };
    let texts: Vec<_> = index.parts.iter().map(|part| part.key.clone()).collect();
    assert_eq!(texts, [IndexKey::Expression("lower(a)".into()), IndexKey::Expression("b + 1".into())]);
    assert!(index.parts[1].nulls_first, "a descending column has NULLs first");
    assert_eq!(index.predicate.as_deref(), Some("c > 0"));
    let Ddl::CreateIndex(index) = ddl("CREATE INDEX ON t (a)") else { panic!() };
    assert_eq!(index.name, None);
}

#[test]
fn other_definitions() {
    for (text, expected) in [
        (
            "DROP TABLE IF EXISTS a, s.b CASCADE",
            "Drop { kind: Table, names: [Name { schema: None, name: \"a\" }, Name { schema: Some(\"s\"), name: \"b\" }], if_exists: true, cascade: true }",
        ),
        ("DROP INDEX CONCURRENTLY i", "Drop { kind: Index"),
        ("DROP USER bob", "Drop { kind: Role"),
        ("DROP DATABASE IF EXISTS d", "Drop { kind: Database"),
        ("TRUNCATE a, ONLY b RESTART IDENTITY CASCADE", "restart_identity: true, cascade: true"),
        ("TRUNCATE TABLE a", "restart_identity: false, cascade: false"),
        (
            "CREATE SCHEMA IF NOT EXISTS s AUTHORIZATION bob",
            "CreateSchema { name: \"s\", if_not_exists: true, owner: Some(\"bob\") }",
        ),
        ("CREATE SCHEMA AUTHORIZATION bob", "CreateSchema { name: \"bob\", if_not_exists: false, owner: Some(\"bob\") }"),
        ("CREATE DATABASE d WITH ENCODING 'UTF8' TEMPLATE = template0", "CreateDatabase { name: \"d\""),
        (
            "CREATE SEQUENCE s AS int START 5 INCREMENT -1 NO MINVALUE MAXVALUE 10 CYCLE CACHE 3 OWNED BY s.t.c",
            "max: Some(Some(10)), cycle: Some(true)",
        ),
        ("ALTER SEQUENCE s RESTART", "restart: Some(None)"),
        ("ALTER SEQUENCE IF EXISTS s RESTART WITH 7", "restart: Some(Some(7))"),
        ("ALTER SEQUENCE s OWNED BY NONE", "owned_by: Some(None)"),
        ("ALTER SEQUENCE s RENAME TO r", "AlterRelation { kind: Sequence"),
        ("ALTER VIEW v RENAME TO w", "AlterRelation { kind: View"),
        ("ALTER INDEX s.i RENAME TO j", "AlterRelation { kind: Index"),
        ("ALTER SCHEMA a RENAME TO b", "RenameSchema"),
        ("CREATE USER bob PASSWORD 'x' CREATEDB", "login: Some(true), create_database: Some(true)"),
        ("CREATE ROLE bob NOLOGIN IN ROLE a, b", "login: Some(false)"),
        ("ALTER ROLE bob WITH PASSWORD NULL", "password: Some(None)"),
        ("ALTER ROLE bob LOADHISTORY", "load_history: Some(true)"),
        (
            "ALTER ROLE bob SET chronogate.as_of = '2020-01-01'",
            "setting: Some(\"chronogate.as_of\"), value: Some(\"2020-01-01\")",
        ),
        ("ALTER USER bob RESET ALL", "setting: None, value: None"),
        ("ALTER ROLE bob RESET search_path", "setting: Some(\"search_path\"), value: None"),
        ("GRANT select, insert ON TABLE a, s.b TO bob, PUBLIC", "privileges: [\"SELECT\", \"INSERT\"]"),
        ("GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO bob", "AllTablesIn([\"public\"])"),
        ("GRANT USAGE ON SCHEMA s TO bob", "Schemas([\"s\"])"),
        ("GRANT admin TO bob", "Grant { privileges: [], objects: Roles([\"admin\"]), roles: [\"bob\"] }"),
        ("REVOKE ALL ON t FROM bob CASCADE", "Revoke(Grant { privileges: [\"ALL\"], objects: Tables("),
    ] {
        let shown = format!("{:?}", ddl(text));
        assert!(shown.contains(expected), "{text}: {shown}");
    }
}

#[test]
fn a_view_keeps_the_text_of_its_query() {
    let Ddl::CreateView { name, or_replace, columns, query_text, .. } =
        ddl("CREATE OR REPLACE VIEW v (a, b) AS  SELECT x, y FROM t a FOR SYSTEM_TIME AS OF '2020-01-01' -- why\n;")
    else {
        panic!()
    };
    assert_eq!((name.name.as_str(), or_replace, columns.len()), ("v", true, 2));
    assert_eq!(query_text, "SELECT x, y FROM t a FOR SYSTEM_TIME AS OF '2020-01-01'");
}

#[test]
fn settings() {
    for (text, local, name, value) in [
        ("SET x TO y", false, "x", Some("y")),
        ("SET X = 'Y z'", false, "x", Some("Y z")),
        ("SET LOCAL chronogate.as_of = '2020-01-01'", true, "chronogate.as_of", Some("2020-01-01")),
        ("SET SESSION work_mem TO 64", false, "work_mem", Some("64")),
        ("SET x = -1.5", false, "x", Some("-1.5")),
        ("SET x = on", false, "x", Some("on")),
        ("SET x TO DEFAULT", false, "x", None),
        ("SET search_path TO a, \"B c\", '$user'", false, "search_path", Some("a, \"B c\", \"$user\"")),
        ("SET datestyle = ISO, MDY", false, "datestyle", Some("iso, mdy")),
        ("SET TIME ZONE 'Europe/Berlin'", false, "timezone", Some("Europe/Berlin")),
        ("SET TIME ZONE -7", false, "timezone", Some("-7")),
        ("SET TIME ZONE LOCAL", false, "timezone", None),
        ("SET NAMES 'UTF8'", false, "client_encoding", Some("UTF8")),
        ("SET ROLE NONE", false, "role", Some("none")),
        ("SET SCHEMA 'a b'", false, "search_path", Some("\"a b\"")),
    ] {
        let Statement::Set(set) = one(text).statement else { panic!("{text}") };
        assert_eq!((set.local, set.name.as_str(), set.value.as_deref()), (local, name, value), "{text}");
    }
    for (text, expected) in [
        ("SHOW ALL", "Show(All)"),
        ("SHOW TIME ZONE", "Show(Name(\"timezone\"))"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "Show(Name(\"transaction_isolation\"))"),
        ("SHOW chronogate.as_of", "Show(Name(\"chronogate.as_of\"))"),
        ("RESET ALL", "Reset(None)"),
        ("RESET TIME ZONE", "Reset(Some(\"timezone\"))"),
        ("DISCARD ALL", "Discard(All)"),
        ("DISCARD TEMPORARY", "Discard(Temp)"),
        ("DEALLOCATE ALL", "Deallocate(None)"),
        ("DEALLOCATE PREPARE p", "Deallocate(Some(\"p\"))"),
    ] {
        assert_eq!(format!("{:?}", one(text).statement), expected, "{text}");
    }
}

#[test]
fn transactions() {
    for (text, expected) in [
        ("BEGIN", "Begin(TransactionModes { isolation: None, read_only: None, as_of: None, snapshot: None })"),
        ("SET TRANSACTION SNAPSHOT '00000003-1'", "snapshot: Some(\"00000003-1\")"),
        (
            "BEGIN WORK ISOLATION LEVEL REPEATABLE READ, READ ONLY NOT DEFERRABLE",
            "isolation: Some(\"repeatable read\"), read_only: Some(true)",
        ),
        ("START TRANSACTION READ WRITE", "read_only: Some(false)"),
        ("BEGIN AS OF SYSTEM TIME '2020-01-01'", "as_of: Some(Time("),
        ("BEGIN READ ONLY, AS OF SYSTEM TIME 'v12'", "as_of: Some(Commit("),
        ("BEGIN TRANSACTION AS OF SYSTEM TIME '-1h'", "as_of: Some(Time(BinaryOp"),
        ("START TRANSACTION READ ONLY AS OF TIMESTAMP '2020-01-01'", "as_of: Some(Time("),
        ("COMMIT", "Commit { chain: false }"),
        ("END TRANSACTION AND CHAIN", "Commit { chain: true }"),
        ("ROLLBACK AND NO CHAIN", "Rollback { chain: false }"),
        ("ABORT", "Rollback { chain: false }"),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "Set(TransactionModes { isolation: Some(\"serializable\")"),
        ("SET TRANSACTION AS OF SYSTEM TIME '2020-01-01'", "Set(TransactionModes"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SetSession(TransactionModes"),
    ] {
        let shown = format!("{:?}", one(text).statement);
        assert!(shown.contains(expected), "{text}: {shown}");
    }
}

#[test]
fn copies() {
    fn copy(text: &str) -> Copy {
        match one(text).statement {
            Statement::Copy(copy) => *copy,
            other => panic!("{text}: {other:?}"),
        }
    }
    let text = CopyOptions {
        format: CopyFormat::Text,
        delimiter: b'\t',
        null: "\\N".into(),
        header: false,
        quote: b'"',
        escape: b'"',
        force_quote: vec![],
    };
    let csv = CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text.clone() };
    for (statement, direction, expected) in [
        ("COPY t FROM STDIN", CopyDirection::FromStdin, text.clone()),
        ("COPY t (a, b) TO STDOUT", CopyDirection::ToStdout, text.clone()),
        (
            "COPY s.t__history FROM STDIN WITH (FORMAT csv, HEADER)",
            CopyDirection::FromStdin,
            CopyOptions { header: true, ..csv.clone() },
        ),
        (
            "COPY t FROM stdin WITH CSV HEADER DELIMITER ';'",
            CopyDirection::FromStdin,
            CopyOptions { header: true, delimiter: b';', ..csv.clone() },
        ),
        (
            "COPY t FROM STDIN CSV NULL AS 'x' QUOTE '$' ESCAPE '\\'",
            CopyDirection::FromStdin,
            CopyOptions { null: "x".into(), quote: b'$', escape: b'\\', ..csv.clone() },
        ),
        (
            "COPY t TO STDOUT (FORMAT 'CSV', HEADER false, FORCE_QUOTE *)",
            CopyDirection::ToStdout,
            CopyOptions { force_quote: vec!["*".into()], ..csv.clone() },
        ),
        (
            "COPY t TO STDOUT WITH (DELIMITER E'\\x01', NULL '')",
            CopyDirection::ToStdout,
            CopyOptions { delimiter: 1, null: String::new(), ..text.clone() },
        ),
        ("COPY (SELECT * FROM t AS OF 'v1') TO STDOUT", CopyDirection::ToStdout, text.clone()),
        ("COPY BINARY t FROM STDIN", CopyDirection::FromStdin, CopyOptions { format: CopyFormat::Binary, ..text.clone() }),
        ("COPY t TO STDOUT BINARY", CopyDirection::ToStdout, CopyOptions { format: CopyFormat::Binary, ..text.clone() }),
        (
            "COPY t TO STDOUT (FORMAT 'binary')",
            CopyDirection::ToStdout,
            CopyOptions { format: CopyFormat::Binary, ..text.clone() },
        ),
    ] {
        let copy = copy(statement);
        assert_eq!((copy.direction, copy.options), (direction, expected), "{statement}");
    }
    for (statement, code) in [
        ("COPY t FROM '/etc/passwd'", "42501"),
        ("COPY t TO PROGRAM 'sh'", "42501"),
        ("COPY BINARY t FROM STDIN CSV", "42601"),
        ("COPY t FROM STDIN (FORMAT binary, NULL 'x')", "42601"),
        ("COPY t FROM STDIN (FORMAT binary, HEADER)", "0A000"),
        ("COPY t FROM STDIN (FORMAT parquet)", "22023"),
        ("COPY t FROM STDIN (FORMAT csv, FORMAT csv)", "42601"),
        ("COPY t FROM STDIN (DELIMITER 'ab')", "0A000"),
        ("COPY t FROM STDIN (DELIMITER 'a')", "22023"),
        ("COPY t FROM STDIN (QUOTE 'a')", "0A000"),
        ("COPY t FROM STDIN (FORMAT csv, DELIMITER '\"')", "22023"),
        ("COPY t FROM STDIN (bogus 1)", "42601"),
        ("COPY t FROM STDIN WHERE a = 1", "0A000"),
        ("COPY t FOR SYSTEM_TIME AS OF 'v1' TO STDOUT", "0A000"),
        ("COPY (SELECT 1) FROM STDIN", "42601"),
        ("COPY (DELETE FROM t RETURNING *) TO STDOUT", "0A000"),
        ("COPY t FROM STDIN (ENCODING 'latin1')", "0A000"),
    ] {
        assert_eq!(error(statement).code().code(), code, "{statement}");
    }
}

#[test]
fn prepared_and_explained() {
    let Statement::Prepare { name, types, statement } = one("PREPARE p (int, text[]) AS SELECT $1, $2 /*a='b'*/").statement
    else {
        panic!()
    };
    assert_eq!((name.as_str(), types), ("p", vec![(PgType::INT4, None), (PgType::TEXT.array_of(), None)]));
    assert_eq!((statement.text.as_str(), statement.offset), ("SELECT $1, $2", 27));
    let Statement::Execute { name, arguments } = one("EXECUTE p (1 + f(2, 3), 'x')").statement else { panic!() };
    assert_eq!((name.as_str(), arguments.len()), ("p", 2));
    for (text, expected) in [
        ("EXPLAIN SELECT 1", (false, false)),
        ("EXPLAIN ANALYZE VERBOSE SELECT 1", (true, true)),
        ("EXPLAIN (ANALYZE, VERBOSE off, COSTS false) SELECT 1", (true, false)),
        ("EXPLAIN (SELECT 1)", (false, false)),
    ] {
        let Statement::Explain { options: ExplainOptions { analyze, verbose, .. }, .. } = one(text).statement else {
            panic!("{text}")
        };
        assert_eq!((analyze, verbose), expected, "{text}");
    }
}

#[test]
fn a_text_of_several_statements() {
    let parsed = parse(" ;; SELECT 'é;' ; /* ; */ SELECT $$;$$ -- ;\n; ").unwrap();
    let found: Vec<_> = parsed.iter().map(|p| (p.text.as_str(), p.offset)).collect();
    assert_eq!(found, [("SELECT 'é;'", 4), ("SELECT $$;$$", 26)]);
    for text in ["", " ", ";", "-- nothing", "/* a /* b */ */ ;"] {
        assert!(parse(text).unwrap().is_empty(), "{text}");
    }
}

#[test]
fn context_comments_belong_to_their_statement() {
    let parsed = parse("INSERT INTO t VALUES (1) /*Bemi {\"a\":\"*/ x\"} Bemi*/; SELECT 2 /*route='%2Fx'*/").unwrap();
    let contexts: Vec<_> = parsed.iter().map(|p| p.context.as_deref()).collect();
    assert_eq!(contexts, [Some("{\"a\":\"*/ x\"}"), Some("{\"route\":\"/x\"}")]);
    assert_eq!(parsed[0].text, "INSERT INTO t VALUES (1)");
    let broken = one("SELECT 1 /*Bemi {oops Bemi*/");
    assert_eq!((broken.context, broken.notices.len()), (None, 1));
    let alone = one("/*Bemi {\"a\":1} Bemi*/");
    assert!(matches!(alone.statement, Statement::Set(SetStatement { local: true, .. })));
    assert_eq!(one("SELECT '/*Bemi {} Bemi*/'").context, None);
}

#[test]
fn writes() {
    for text in [
        "INSERT INTO t DEFAULT VALUES RETURNING *",
        "INSERT INTO s.t AS x (a, b) VALUES (1, DEFAULT), (2, 'b') ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE x.b <> 'c' RETURNING a AS id",
        "INSERT INTO t SELECT * FROM u ON CONFLICT ON CONSTRAINT k DO NOTHING",
        "UPDATE t AS x SET a = 1, b = u.b FROM u, v WHERE x.id = u.id RETURNING x.*",
        "UPDATE ONLY t SET (a, b) = (1, 2)",
        "DELETE FROM ONLY t x USING u WHERE x.id = u.id RETURNING 1",
        "WITH c AS (SELECT 1 AS a) INSERT INTO t SELECT a FROM c",
        "WITH c AS (SELECT 1 AS a) UPDATE t SET a = c.a FROM c WHERE t.id IN (SELECT a FROM c)",
        "WITH c AS (SELECT 1 AS a) DELETE FROM t USING c WHERE t.id = c.a",
    ] {
        tree(&one(text).statement);
    }
    assert_eq!(
        relations("WITH c AS (SELECT a FROM z) UPDATE t SET a = c.a FROM c AS d"),
        ["t", "z", "c"],
        "a WITH query before UPDATE moves to where it is read"
    );
    for (text, code) in [
        ("INSERT INTO t (a) OVERRIDING USER VALUE VALUES (1)", "0A000"),
        ("INSERT OR REPLACE INTO t VALUES (1)", "42601"),
        ("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1", "42601"),
        ("UPDATE t SET a = 1 LIMIT 1", "42601"),
        ("DELETE t WHERE a = 1", "42601"),
        ("SELECT 1 UNION SELECT * INTO u FROM t", "0A000"),
        ("SELECT * FROM t TABLESAMPLE SYSTEM (1)", "0A000"),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE RETURNING 1", "0A000"),
        ("SELECT * FROM (WITH x AS (DELETE FROM t RETURNING *) SELECT 1) s", "0A000"),
        ("WITH x AS (DELETE FROM t) SELECT * FROM x", "0A000"),
        ("CREATE TEMP TABLE public.t (a int)", "42P16"),
        ("CREATE TABLE t (a int) ON COMMIT DROP", "42P16"),
        ("SELECT * INTO TEMP public.u FROM t", "42P16"),
    ] {
        assert_eq!(error(text).code().code(), code, "{text}");
    }
}

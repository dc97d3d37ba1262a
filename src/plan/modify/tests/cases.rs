//! Each rule with the statement that shows it.

use super::*;
use crate::history::{CheckDef, ColumnDef, ColumnId, UniqueDef};
use crate::types::{Identity, Qualified, TypeName};
use crate::versions::{IndexId, TableId, Timestamp};

pub fn context(database: Arc<Database>) -> StatementContext {
    let transaction = database.begin(Context::default());
    StatementContext {
        transaction: Arc::new(Mutex::new(transaction)),
        database,
        session_user: "u".into(),
        current_user: "u".into(),
        superuser: true,
        authorities: Arc::new(crate::history::Authority { superuser: true, ..Default::default() }),
        server: Arc::new(()),
        catalogues: Default::default(),
        search_path: vec!["public".into()],
        time_zone: "UTC".into(),
        default_scope: None,
        schema_at: Default::default(),
        read_only: false,
        commits_alone: false,
        transaction_time: Timestamp::from_micros(1),
        statement_time: Timestamp::from_micros(1),
        settings: Arc::new(NoSettings),
        notices: Notices::default(),
        sequences: Default::default(),
        messages: Default::default(),
        advisory: std::sync::Arc::new(crate::plan::context::Unlocked),
        objects: Default::default(),
        held: Default::default(),
        cancel: Cancel::new(),
        backend_pid: 1,
        seen: None,
        returned: Default::default(),
        depth: 0,
        calls: Default::default(),
    }
}

fn column(id: u16, name: &str, ty: PgType) -> ColumnDef {
    ColumnDef::plain(ColumnId(id), name, ty)
}

fn numeric(p: i32, s: i32) -> PgType {
    PgType::new(TypeName::Numeric).with_modifier(((p << 16) | s) + 4)
}

/// `t (id int primary key, name varchar(5) unique, price numeric(6,2) default 1.5 check (price >= 0), note text not null default 'n')`
fn table() -> TableDef {
    let mut name = column(2, "name", PgType::new(TypeName::Varchar).with_modifier(9));
    let mut price = column(3, "price", numeric(6, 2));
    price.default = Some("1.5".into());
    let mut note = column(4, "note", PgType::TEXT);
    note.not_null = true;
    note.default = Some("'n'".into());
    name.not_null = false;
    TableDef {
        id: TableId(20_000),
        name: Qualified::new("public", "t"),
        owner: "u".into(),
        columns: vec![column(1, "id", PgType::INT4), name, price, note],
        primary_key: Some(("t_pkey".into(), vec![ColumnId(1)])),
        row_counter: 1,
        uniques: vec![UniqueDef {
            id: IndexId(20_001),
            name: "t_name_key".into(),
            columns: vec![ColumnId(2)],
            constraint: true,
            deferrable: false,
            deferred: false,
            shape: Default::default(),
        }],
        indexes: vec![],
        checks: vec![CheckDef { id: 1, name: "t_price_check".into(), expression: "price >= 0".into() }],
        foreign_keys: vec![],
        triggers: vec![],
        computed_indexes: vec![],
        comments: Default::default(),
        on_commit: Default::default(),
        materialized: None,
        collection: None,
        grants: Default::default(),
    }
}

/// `log (at timestamptz, what text)`, without a primary key.
fn log() -> TableDef {
    TableDef {
        id: TableId(20_010),
        name: Qualified::new("public", "log"),
        columns: vec![column(1, "at", PgType::TIMESTAMPTZ), column(2, "what", PgType::TEXT)],
        primary_key: None,
        row_counter: 2,
        uniques: vec![],
        checks: vec![],
        ..table()
    }
}

async fn client() -> Client {
    Client::with_tables(vec![table(), log()]).await
}

async fn ok(client: &mut Client, sql: &str, count: u64, returned: &[&str]) {
    let done = client.run(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e} {:?}", e.fields().detail));
    assert_eq!(done, Done(count, returned.iter().map(|s| (*s).to_owned()).collect()), "{sql}");
}

async fn refused(client: &mut Client, sql: &str, code: &str, message: &str) -> SqlError {
    let before = client.rows("t").await;
    let error = match client.run(sql, &[]).await {
        Err(error) => error,
        Ok(done) => panic!("{sql} gave {done:?}"),
    };
    assert_eq!((error.code().code(), error.message()), (code, message), "{sql}");
    assert_eq!(client.rows("t").await, before, "a refused statement writes nothing: {sql}");
    error
}

#[tokio::test]
async fn values_get_defaults_casts_and_the_columns_types() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO t VALUES (1, 'a', 2.345, 'x'), ('2', NULL, DEFAULT, DEFAULT)", 2, &[]).await;
    ok(&mut c, "INSERT INTO t (id) VALUES (1 + 2) RETURNING *, id * 2 AS twice, note", 1, &["3|~|1.50|n|6|n"]).await;
    ok(&mut c, "INSERT INTO t (note, id) SELECT 'copy ' || note, id + 10 FROM t WHERE id < 3", 2, &[]).await;
    assert_eq!(c.rows("t").await, ["1|a|2.35|x", "2|~|1.50|n", "3|~|1.50|n", "11|~|1.50|copy x", "12|~|1.50|copy n"]);
}

#[tokio::test]
async fn a_table_without_a_key_takes_equal_rows_and_tells_them_apart() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO log VALUES ('2025-01-01 10:00+02', 'a'), ('2025-01-01 10:00+02', 'a')", 2, &[]).await;
    ok(&mut c, "INSERT INTO log DEFAULT VALUES", 1, &[]).await;
    ok(&mut c, "UPDATE log SET what = 'b' WHERE what IS NULL", 1, &[]).await;
    assert_eq!(c.rows("log").await, ["2025-01-01 08:00:00+00|a", "2025-01-01 08:00:00+00|a", "~|b"]);
    ok(&mut c, "DELETE FROM log WHERE what = 'a'", 2, &[]).await;
    assert_eq!(c.rows("log").await, ["~|b"]);
}

#[tokio::test]
async fn parameters_have_the_types_of_their_columns() {
    let mut c = client().await;
    let queries = c.queries().await;
    let modify = c.plan(&queries, "INSERT INTO t (id, name, price) VALUES ($1, $2, $3 + 1) RETURNING $4 || note").await.unwrap();
    assert_eq!(modify.parameters()[..2], [PgType::INT4, PgType::new(TypeName::Varchar)]);
    let values = [ScalarValue::Int32(Some(7)), ScalarValue::Utf8(Some("p".into()))];
    assert_eq!(c.run("INSERT INTO t (id, name) VALUES ($1, $2) RETURNING id", &values).await.unwrap(), Done(1, vec!["7".into()]));
    let values = [ScalarValue::Utf8(Some("q".into())), ScalarValue::Int32(Some(7))];
    let done = c.run("UPDATE t SET name = $1 WHERE id = $2 RETURNING name", &values).await.unwrap();
    assert_eq!(done, Done(1, vec!["q".into()]));
    assert_eq!(c.run("DELETE FROM t WHERE id = $1", &[ScalarValue::Int32(Some(7))]).await.unwrap(), Done(1, vec![]));
}

#[tokio::test]
async fn constraints_are_kept_and_named() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO t (id, name) VALUES (1, 'a')", 1, &[]).await;
    let e = refused(
        &mut c,
        "INSERT INTO t (id, note) VALUES (2, NULL)",
        "23502",
        "null value in column \"note\" of relation \"t\" violates not-null constraint",
    )
    .await;
    assert_eq!(e.fields().detail.as_deref(), Some("Failing row contains (2, null, 1.50, null)."));
    assert_eq!(e.fields().column.as_deref(), Some("note"));
    let message = "null value in column \"id\" of relation \"t\" violates not-null constraint";
    refused(&mut c, "INSERT INTO t (name) VALUES ('z')", "23502", message).await;
    let message = "new row for relation \"t\" violates check constraint \"t_price_check\"";
    let e = refused(&mut c, "UPDATE t SET price = -1", "23514", message).await;
    assert_eq!(e.fields().constraint.as_deref(), Some("t_price_check"));
    let message = "duplicate key value violates unique constraint \"t_pkey\"";
    let e = refused(&mut c, "INSERT INTO t (id) VALUES (1)", "23505", message).await;
    assert_eq!(e.fields().detail.as_deref(), Some("Key (id)=(1) already exists."));
    refused(&mut c, "INSERT INTO t (id) VALUES (5), (5)", "23505", message).await;
    let message = "duplicate key value violates unique constraint \"t_name_key\"";
    let e = refused(&mut c, "INSERT INTO t (id, name) VALUES (2, 'a')", "23505", message).await;
    assert_eq!(e.fields().detail.as_deref(), Some("Key (name)=(a) already exists."));
    refused(&mut c, "INSERT INTO t (id, name) VALUES (2, 'b'), (3, 'b')", "23505", message).await;
}

#[tokio::test]
async fn uniqueness_is_that_of_the_state_after_the_statement() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b'), (3, NULL)", 3, &[]).await;
    ok(&mut c, "UPDATE t SET id = id + 1", 3, &[]).await;
    ok(&mut c, "UPDATE t SET name = CASE name WHEN 'a' THEN 'b' ELSE 'a' END WHERE name IS NOT NULL", 2, &[]).await;
    assert_eq!(c.rows("t").await, ["2|b|1.50|n", "3|a|1.50|n", "4|~|1.50|n"]);
    let message = "duplicate key value violates unique constraint \"t_pkey\"";
    refused(&mut c, "UPDATE t SET id = 4 WHERE id = 2", "23505", message).await;
    let message = "duplicate key value violates unique constraint \"t_name_key\"";
    refused(&mut c, "UPDATE t SET name = 'same'", "23505", message).await;
}

#[tokio::test]
async fn own_writes_count_within_a_transaction() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO t (id, name) VALUES (1, 'a')", 1, &[]).await;
    c.begin().await;
    c.autocommit = false;
    ok(&mut c, "INSERT INTO t (id, name) VALUES (2, 'b')", 1, &[]).await;
    let message = "duplicate key value violates unique constraint \"t_name_key\"";
    refused(&mut c, "INSERT INTO t (id, name) VALUES (3, 'b')", "23505", message).await;
    ok(&mut c, "DELETE FROM t WHERE id = 1", 1, &[]).await;
    ok(&mut c, "INSERT INTO t (id, name) VALUES (1, 'a')", 1, &[]).await;
    ok(&mut c, "UPDATE t SET id = 9 WHERE id = 2", 1, &[]).await;
    ok(&mut c, "UPDATE t SET name = 'c' WHERE id = 9", 1, &[]).await;
    c.commit().await.unwrap();
    c.autocommit = true;
    assert_eq!(c.rows("t").await, ["1|a|1.50|n", "9|c|1.50|n"]);
}

#[tokio::test]
async fn the_first_committer_wins() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO t (id) VALUES (1)", 1, &[]).await;
    let mut other = Client { ctx: context(c.ctx.database.clone()), autocommit: false, compiled: false };
    other.begin().await;
    ok(&mut other, "UPDATE t SET note = 'slow' WHERE id = 1", 1, &[]).await;
    ok(&mut c, "UPDATE t SET note = 'fast' WHERE id = 1", 1, &[]).await;
    assert_eq!(other.commit().await.unwrap_err().code().code(), "40001");
    assert_eq!(c.rows("t").await, ["1|~|1.50|fast"]);
}

#[tokio::test]
async fn the_version_is_an_optimistic_lock() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO t (id) VALUES (1)", 1, &[]).await;
    ok(&mut c, "UPDATE t SET note = 'a' WHERE id = 1 AND _version = 0", 1, &[]).await;
    ok(&mut c, "UPDATE t SET note = 'b' WHERE id = 1 AND _version = 0", 0, &[]).await;
    ok(&mut c, "DELETE FROM t WHERE id = 1 AND _version = 1", 1, &[]).await;
}

#[tokio::test]
async fn update_from_and_delete_using_join() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b')", 2, &[]).await;
    ok(&mut c, "INSERT INTO log (what) VALUES ('a'), ('a'), ('x')", 3, &[]).await;
    let sql = "UPDATE t AS u SET note = l.what || '!' FROM log l WHERE l.what = u.name RETURNING u.id, u.note, l.what";
    ok(&mut c, sql, 1, &["1|a!|a"]).await;
    ok(&mut c, "DELETE FROM t USING log WHERE log.what = t.name RETURNING t.*", 1, &["1|a|1.50|a!"]).await;
    ok(&mut c, "UPDATE t SET (name, price) = ('z', DEFAULT), note = (SELECT max(what) FROM log) RETURNING *", 1, &["2|z|1.50|x"])
        .await;
}

#[tokio::test]
async fn on_conflict_does_nothing_or_updates() {
    let mut c = client().await;
    ok(&mut c, "INSERT INTO t (id, name) VALUES (1, 'a')", 1, &[]).await;
    ok(
        &mut c,
        "INSERT INTO t (id, name) VALUES (1, 'q'), (2, 'a'), (3, 'c'), (3, 'd') ON CONFLICT DO NOTHING RETURNING id",
        1,
        &["3"],
    )
    .await;
    let sql = "INSERT INTO t AS x (id, name) VALUES (4, 'd'), (1, 'e') ON CONFLICT (id) DO UPDATE \
               SET name = excluded.name, note = x.note || excluded.note || x.name RETURNING id, name, note";
    ok(&mut c, sql, 2, &["4|d|n", "1|e|nna"]).await;
    let sql = "INSERT INTO t (id, name) VALUES (9, 'e') ON CONFLICT ON CONSTRAINT t_name_key DO UPDATE SET price = 7 \
               WHERE t.price < 3 RETURNING id, price";
    ok(&mut c, sql, 1, &["1|7.00"]).await;
    ok(&mut c, sql, 0, &[]).await;
    let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
    let sql = "INSERT INTO t (id) VALUES (8), (8) ON CONFLICT (id) DO UPDATE SET note = 'x'";
    refused(&mut c, sql, "21000", message).await;
    let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
    refused(&mut c, "INSERT INTO t (id) VALUES (8) ON CONFLICT (note) DO NOTHING", "42P10", message).await;
    let message = "constraint \"nope\" for table \"t\" does not exist";
    refused(&mut c, "INSERT INTO t (id) VALUES (8) ON CONFLICT ON CONSTRAINT nope DO NOTHING", "42704", message).await;
    let message = "duplicate key value violates unique constraint \"t_name_key\"";
    refused(&mut c, "INSERT INTO t (id, name) VALUES (1, 'c') ON CONFLICT (id) DO UPDATE SET name = 'c'", "23505", message).await;
}

#[tokio::test]
async fn wrong_statements_are_refused_in_postgresqls_words() {
    let mut c = client().await;
    for (sql, code, message) in [
        ("INSERT INTO nope VALUES (1)", "42P01", "relation \"nope\" does not exist"),
        ("INSERT INTO t (nope) VALUES (1)", "42703", "column \"nope\" of relation \"t\" does not exist"),
        ("INSERT INTO t (id, id) VALUES (1, 2)", "42701", "column \"id\" specified more than once"),
        ("INSERT INTO t (id) VALUES (1, 2)", "42601", "INSERT has more expressions than target columns"),
        ("INSERT INTO t (id, name) VALUES (1)", "42601", "INSERT has more target columns than expressions"),
        ("INSERT INTO t VALUES (1), (1, 'b')", "42601", "VALUES lists must all be the same length"),
        ("INSERT INTO t (id) VALUES ('x')", "22P02", "invalid input syntax for type integer: \"x\""),
        ("INSERT INTO t (id) VALUES ('1'::text)", "42804", "column \"id\" is of type integer but expression is of type text"),
        ("INSERT INTO t (id, name) VALUES (1, 'toolong')", "22001", "value too long for type character varying(5)"),
        ("INSERT INTO t (id, price) VALUES (1, 12345.6)", "22003", "numeric field overflow"),
        ("INSERT INTO t (id) VALUES (3000000000)", "22003", "integer out of range"),
        ("INSERT INTO t (id) SELECT 3000000000", "22003", "integer out of range"),
        ("UPDATE t SET id = 1, id = 2", "42601", "multiple assignments to same column \"id\""),
        ("UPDATE t SET t.id = 1", "42703", "cannot assign to a field of column \"t\""),
        ("DELETE FROM nope", "42P01", "relation \"nope\" does not exist"),
        ("INSERT INTO t (id) VALUES (1) RETURNING (SELECT 1)", "0A000", "subqueries in RETURNING are not supported"),
    ] {
        refused(&mut c, sql, code, message).await;
    }
    c.ctx.read_only = true;
    refused(&mut c, "DELETE FROM t", "25006", "cannot execute DELETE in a read-only transaction").await;
    c.ctx.default_scope = Some(crate::plan::DefaultScope::AsOf(Timestamp::from_micros(5)));
    refused(&mut c, "INSERT INTO t VALUES (1)", "25006", "cannot execute INSERT while reading the past").await;
}

#[tokio::test]
async fn an_identity_column_gives_its_own_numbers() {
    let mut def = log();
    def.columns[1].ty = PgType::INT8;
    def.columns[1].identity = Some(Identity::Always);
    let mut c = Client::with_tables(vec![def, table()]).await;
    let error = c.run("INSERT INTO log (at) VALUES (NULL)", &[]).await.unwrap_err();
    assert_eq!(error.message(), "no owned sequence found for column \"what\"");
}

#[test]
fn assignment_rounds_and_keeps_ranges() {
    use super::super::assign::{assign, assignable};
    let check = |value: ScalarValue, from: PgType, to: PgType, expected: std::result::Result<&str, &str>| {
        assert!(assignable(from, to), "{from:?} to {to:?}");
        let got = assign(&value.to_array().unwrap(), from, to, Zone::UTC).map(|a| shown(&[a], &[to]).remove(0));
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{value}"),
            (Err(e), Err(code)) => assert_eq!(e.code().code(), code, "{value}"),
            (got, _) => panic!("{value} to {to:?}: {got:?}"),
        }
    };
    let ty = PgType::new;
    let decimal = |m, p, s| ScalarValue::Decimal128(Some(m), p, s);
    check(ScalarValue::Float64(Some(2.5)), ty(TypeName::Float8), PgType::INT4, Ok("2"));
    check(ScalarValue::Float64(Some(3.5)), ty(TypeName::Float8), PgType::INT4, Ok("4"));
    check(ScalarValue::Float64(Some(3e10)), ty(TypeName::Float8), PgType::INT4, Err("22003"));
    check(decimal(25, 3, 1), numeric(3, 1), PgType::INT8, Ok("3"));
    check(decimal(-25, 3, 1), numeric(3, 1), PgType::INT8, Ok("-3"));
    check(decimal(99_995, 6, 3), numeric(6, 3), numeric(4, 2), Err("22003"));
    check(decimal(12_345, 6, 3), numeric(6, 3), numeric(4, 2), Ok("12.35"));
    check(ScalarValue::Float64(Some(0.1)), ty(TypeName::Float8), ty(TypeName::Numeric), Ok("0.1"));
    check(ScalarValue::Int64(Some(70_000)), PgType::INT8, ty(TypeName::Int2), Err("22003"));
    check(ScalarValue::Int32(Some(7)), PgType::INT4, PgType::TEXT, Ok("7"));
    check(ScalarValue::from("ab   "), PgType::TEXT, ty(TypeName::Varchar).with_modifier(4 + 3), Ok("ab "));
    check(ScalarValue::from("ab"), PgType::TEXT, ty(TypeName::Bpchar).with_modifier(4 + 4), Ok("ab  "));
    check(ScalarValue::from("abcde"), PgType::TEXT, ty(TypeName::Bpchar).with_modifier(4 + 4), Err("22001"));
    assert!(!assignable(PgType::TEXT, PgType::INT4));
    assert!(!assignable(PgType::BOOL, PgType::INT4));
    assert!(!assignable(PgType::INT4, PgType::INT4.array_of()));
}

async fn copy(client: &mut Client, table: &str, columns: &[&str], rows: &[&[Option<&str>]]) -> Result<u64> {
    client.begin().await;
    let queries = Arc::new(client.queries().await);
    let columns: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
    let mut copy = super::super::CopyInsert::new(&client.ctx, queries, None, table, &columns)?;
    for row in rows {
        if copy.row(row)? {
            copy.flush().await?;
        }
    }
    let count = copy.finish().await?;
    client.commit().await?;
    Ok(count)
}

#[tokio::test]
async fn copy_keeps_the_rules_of_insert() {
    let mut c = client().await;
    let rows: &[&[Option<&str>]] = &[&[Some("1"), Some("a"), Some("2.345")], &[Some("2"), None, None]];
    assert_eq!(copy(&mut c, "t", &["id", "name", "price"], rows).await.unwrap(), 2);
    assert_eq!(copy(&mut c, "log", &[], &[&[Some("2025-01-01 10:00+02"), Some("x\"\n")]]).await.unwrap(), 1);
    assert_eq!(c.rows("t").await, ["1|a|2.35|n", "2|~|~|n"]);
    assert_eq!(c.rows("log").await, ["2025-01-01 08:00:00+00|x\"\n"]);
    for (row, code) in [
        (&[Some("1"), None, None][..], "23505"),
        (&[Some("3"), Some("a"), None][..], "23505"),
        (&[Some("3"), None, Some("-1")][..], "23514"),
        (&[None, None, None][..], "23502"),
        (&[Some("x"), None, None][..], "22P02"),
        (&[Some("3"), None][..], "22P04"),
        (&[Some("3"), None, None, None][..], "22P04"),
    ] {
        let error = copy(&mut c, "t", &["id", "name", "price"], &[row]).await.unwrap_err();
        assert_eq!(error.code().code(), code, "{row:?}: {error}");
    }
    assert_eq!(copy(&mut c, "t", &["nope"], &[]).await.unwrap_err().code().code(), "42703");
}

#[tokio::test]
async fn history_comes_with_its_periods_and_is_refused_as_a_whole() {
    let mut c = client().await;
    let load = |c: &Client, rows: Vec<[Option<&'static str>; 4]>| {
        let (ctx, columns) = (c.ctx.clone(), ["id", "note", "_system_from", "_system_to"].map(str::to_owned));
        let database = c.ctx.database.clone();
        async move {
            let client = Client { ctx: StatementContext { database, ..ctx }, autocommit: true, compiled: false };
            let queries = Arc::new(client.queries().await);
            let mut load = super::super::HistoryLoad::new(&client.ctx, queries, None, "t", &columns)?;
            for row in &rows {
                load.row(row)?;
            }
            load.finish().await
        }
    };
    let (a, b) = (Some("2020-01-01"), Some("2021-01-01"));
    let reversed = load(&c, vec![[Some("1"), Some("x"), b, a]]).await.unwrap_err();
    assert_eq!(reversed.code().code(), "22023");
    let rows = vec![
        [Some("1"), Some("x"), a, b],
        [Some("1"), Some("y"), b, Some("infinity")],
        [Some("2"), Some("z"), a, b],
        [Some("3"), Some("w"), a, Some("9999-12-31")],
    ];
    assert_eq!(load(&c, rows).await.unwrap(), 4);
    assert_eq!(c.rows("t").await, ["1|~|~|y", "3|~|~|w"]);
    let twice = load(&c, vec![[Some("1"), Some("q"), a, b]]).await.unwrap_err();
    assert_eq!(twice.code().code(), "22023");
    assert_eq!(load(&c, vec![[Some("7"), Some("q"), None, b]]).await.unwrap_err().code().code(), "22004");
    assert_eq!(load(&c, vec![[Some("7"), None, a, b]]).await.unwrap_err().code().code(), "23502");
}

/// The way of text and the way of arrays give the same bytes, so that either can read the other's rows.
#[tokio::test]
async fn text_and_arrays_make_the_same_payloads_and_keys() {
    use super::super::target::Target;
    use super::super::text_rows::TextRows;
    use TypeName::{Bool, Bpchar, Bytea, Date, Float4, Float8, Int2, Int4, Int8, Interval, Json, Jsonb, Numeric};
    use TypeName::{Text, Time, Timestamp, Timestamptz, Uuid, Varchar};
    let samples: &[(PgType, &[&str])] = &[
        (PgType::new(Bool), &["t", "false"]),
        (PgType::new(Int2), &["-7", "+3"]),
        (PgType::new(Int4), &["2147483647"]),
        (PgType::new(Int8), &["-9223372036854775808", " 5 "]),
        (PgType::new(Float4), &["0.1", "NaN"]),
        (PgType::new(Float8), &["0.1", "-Infinity", "1e300", "-0"]),
        (PgType::new(Numeric), &["1.50", "-0.001", "12"]),
        (numeric(6, 2), &["1.505", "-3", "0.1"]),
        (PgType::new(Text), &["", "a\"b\\c\n\u{1}é"]),
        (PgType::new(Varchar).with_modifier(7), &["ab    "]),
        (PgType::new(Bpchar).with_modifier(8), &["ab"]),
        (PgType::new(Bytea), &["\\x00ff"]),
        (PgType::new(Date), &["2024-02-29", "0044-03-15 BC"]),
        (PgType::new(Time), &["13:14:15.5"]),
        (PgType::new(Timestamp), &["2024-02-29 13:14:15.000001"]),
        (PgType::new(Timestamptz), &["2024-02-29 13:14:15+02", "2024-07-01T00:00:00"]),
        (PgType::new(Interval), &["1 year 2 days 03:04:05"]),
        (PgType::new(Uuid), &["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]),
        (PgType::new(Json), &["{\"b\" : 1, \"a\":[ ]}"]),
        (PgType::new(Jsonb), &["{\"b\" : 1, \"a\":[ ]}"]),
        (PgType::new(Int4).array_of(), &["{1,NULL,3}"]),
    ];
    for (ty, texts) in samples {
        let keyed = !matches!(ty.name, Json | Jsonb) && !ty.array;
        let mut def = table();
        def.columns = vec![column(1, "id", if keyed { *ty } else { PgType::INT4 }), column(2, "v", *ty)];
        def.uniques.clear();
        def.checks.clear();
        let c = Client::with_tables(vec![def]).await;
        let queries = c.queries().await;
        let def = c.ctx.transaction.lock().catalog.tables.values().next().cloned().unwrap();
        let mut target = Target::new(&c.ctx, &queries, def).unwrap();
        target.zone = Zone::parse("Europe/Berlin").unwrap();
        for text in *texts {
            let id = if keyed { *text } else { "1" };
            let mut rows = TextRows::new(&target).unwrap();
            let mut row = rows.open();
            rows.add(&mut row, 0, Some(id)).unwrap();
            rows.add(&mut row, 1, Some(text)).unwrap();
            let row = rows.close(row).unwrap();
            let values: Vec<ArrayRef> = [id, *text]
                .iter()
                .zip(&target.layout.columns)
                .map(|(text, c)| crate::types::scalar_from_text(c.ty, text, target.zone).unwrap().to_array().unwrap())
                .collect();
            let payload = target.layout.encode(&values, 0).unwrap();
            assert_eq!(row.payload, payload, "{} {text:?}", ty.sql_name());
            assert_eq!(row.key, Some(target.layout.keys.key(&values, 0).unwrap()), "{} {text:?}", ty.sql_name());
        }
    }
}

#[tokio::test]
async fn statements_about_one_item_run_without_a_planner() {
    let mut c = client().await;
    for (sql, compiled) in [
        ("INSERT INTO t (id, name, price) VALUES ($1, 'a' || 'b', $1 + 0.5) RETURNING id, upper(name), price", true),
        ("INSERT INTO t VALUES (2, NULL, DEFAULT, DEFAULT) ON CONFLICT (id) DO UPDATE SET note = excluded.note || 'z'", true),
        ("UPDATE t SET note = note || 'x', price = price + 1 WHERE id = $1 AND price > 0 RETURNING *", true),
        ("UPDATE t SET note = 'y' WHERE id = $1 OR id = 2", false),
        ("UPDATE t SET note = (SELECT max(what) FROM log), name = 'q' WHERE id = $1", false),
        ("INSERT INTO t (id, price) SELECT 3, 4", false),
        ("DELETE FROM t WHERE $1 = id RETURNING id", true),
        ("DELETE FROM t WHERE id = '2' AND note IS NOT NULL AND $1 > 0", true),
    ] {
        let done = c.run(sql, &[ScalarValue::Int32(Some(1))]).await;
        assert!(done.is_ok() || sql.contains("SELECT max"), "{sql}: {done:?}");
        assert_eq!(c.compiled, compiled, "{sql}");
    }
    assert_eq!(c.rows("t").await, ["3|~|4.00|n"]);
}

/// Whatever a statement does by way of the key, it does by way of a scan.
#[tokio::test]
async fn the_short_way_gives_the_answers_of_the_long_one() {
    use rand::rngs::StdRng;
    use rand::seq::IndexedRandom;
    use rand::{Rng, SeedableRng};
    for seed in 0..12_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut short, mut long) = (client().await, client().await);
        for step in 0..40 {
            let id = random.random_range(1..5);
            let value = *["'a'", "NULL", "'bb'", "'toolong'", "$2", "upper($2)", "DEFAULT"].choose(&mut random).unwrap();
            let price =
                *["1", "price", "price * 2", "-1", "99999", "NULL", "DEFAULT", "1.005", "price / 0"].choose(&mut random).unwrap();
            let rest = *["", " AND price > 2", " AND name IS NULL", " AND note = $2"].choose(&mut random).unwrap();
            let returning = *["", " RETURNING *", " RETURNING id + 1 AS n, name"].choose(&mut random).unwrap();
            let fresh = price.contains("price");
            let (a, b) = match random.random_range(0..4) {
                0 | 1 if !fresh => {
                    let rows = |sql: &str| format!("INSERT INTO t (id, name, price) {sql}{returning}");
                    // The long way cannot say DEFAULT: it names the column only where there is a value.
                    if [value, price].contains(&"DEFAULT") {
                        let sql = rows(&format!("VALUES ({id}, {value}, {price})"));
                        (sql.clone(), sql)
                    } else {
                        let long = rows(&format!("SELECT {id} AS a, {value} AS b, {price} AS c FROM (SELECT 1) x"));
                        (rows(&format!("VALUES ({id}, {value}, {price})")), long)
                    }
                }
                2 => {
                    let sql = |key: &str| format!("DELETE FROM t WHERE {key} = $1{rest}{returning}");
                    (sql("id"), sql("id + 0"))
                }
                _ => {
                    let to = *["", ", id = id + 1"].choose(&mut random).unwrap();
                    let sql =
                        |key: &str| format!("UPDATE t SET name = {value}, price = {price}{to} WHERE {key} = $1{rest}{returning}");
                    (sql("id"), sql("id + 0"))
                }
            };
            let parameters = [ScalarValue::Int32(Some(id)), ScalarValue::Utf8(Some("n".into()))];
            let told = |done: Result<Done>| done.map_err(|e| (e.code(), e.message().to_owned(), e.fields().detail.clone()));
            let (one, other) = (told(short.run(&a, &parameters).await), told(long.run(&b, &parameters).await));
            assert_eq!(one, other, "seed {seed} step {step}: {a} / {b}");
            assert_eq!(short.rows("t").await, long.rows("t").await, "seed {seed} step {step}: {a} / {b}");
        }
    }
}

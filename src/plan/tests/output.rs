//! Names, types and values of result columns; stopping and failing.

use super::*;
use crate::runtime::cancel::Reason;

async fn described(world: &World, sql: &str) -> Vec<(String, String, u32, i16)> {
    let parsed = crate::sql::parse(sql).unwrap().remove(0);
    let prepared = world.engine.prepare(&world.ctx, &parsed.statement, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    prepared.columns.unwrap().iter().map(|c| (c.name.clone(), c.ty.sql_name(), c.table_oid, c.attribute)).collect()
}

#[tokio::test]
async fn columns_have_postgres_names_and_types() {
    let world = World::with_orders().await;
    let column = |name: &str, ty: &str| (name.to_owned(), ty.to_owned(), 0, 0);
    assert_eq!(
        described(&world, "SELECT 1, 3000000000, 1.50, 'a', count(*), NULL FROM orders").await,
        [
            column("?column?", "integer"),
            column("?column?", "bigint"),
            column("?column?", "numeric"),
            column("?column?", "text"),
            column("count", "bigint"),
            column("?column?", "text")
        ]
    );
    assert_eq!(
        described(&world, "SELECT o.amount, o.id AS a, o.id + 1 AS b FROM (SELECT * FROM orders) o").await,
        [
            ("amount".to_owned(), "numeric(10,2)".to_owned(), 20_000, 3),
            ("a".to_owned(), "integer".to_owned(), 20_000, 1),
            column("b", "integer")
        ]
    );
    assert_eq!(described(&world, "SELECT data FROM orders").await[0].1, "jsonb");
}

#[tokio::test]
async fn a_name_may_stand_twice() {
    let mut world = World::with_orders().await;
    world.check("SELECT id, id, state AS id FROM orders", &["2|2|new"]).await;
    world.check("SELECT 1, 1, NULL, NULL", &["1|1||"]).await;
    world.check("SELECT *, id FROM orders ORDER BY id", &["2|new|||2"]).await;
    let names = described(&world, "SELECT *, id, count(*) OVER () FROM orders").await;
    assert_eq!(names.iter().map(|c| c.0.as_str()).collect::<Vec<_>>(), ["id", "state", "amount", "data", "id", "count"]);
}

#[tokio::test]
async fn integers_do_not_wrap() {
    let mut world = World::with_orders().await;
    world.check("SELECT 2147483647 + 0, 2147483647::int8 + 1, 7 / 2, -7 % 3", &["2147483647|2147483648|3|-1"]).await;
    for sql in ["SELECT 2147483647 + 1", "SELECT id * 2000000000 FROM orders", "SELECT 9223372036854775807 + 1"] {
        let (code, message) = world.fails(sql).await;
        assert_eq!(code, "22003", "{sql}");
        assert!(message.ends_with("out of range"), "{message}");
    }
    world.check("SELECT x + 1 FROM (VALUES (1), (2)) v(x) ORDER BY 1", &["2", "3"]).await;
}

#[tokio::test]
async fn parameters_get_their_types_from_where_they_stand() {
    let world = World::with_orders().await;
    for (sql, expected) in [
        ("SELECT $1", vec!["text"]),
        ("SELECT $1::uuid, $2::jsonb", vec!["uuid", "jsonb"]),
        ("SELECT 1 FROM orders WHERE id = $1 AND state = $2 LIMIT $3 OFFSET $4", vec!["integer", "text", "bigint", "bigint"]),
        ("SELECT 1 FROM orders WHERE id = ANY($1)", vec!["integer[]"]),
        ("SELECT coalesce(amount, $1) FROM orders", vec!["numeric"]),
        (
            "SELECT 1 FROM orders WHERE id IN ($1, $2) AND amount BETWEEN $3 AND $4",
            vec!["integer", "integer", "numeric", "numeric"],
        ),
    ] {
        let parsed = crate::sql::parse(sql).unwrap().remove(0);
        let prepared = world.engine.prepare(&world.ctx, &parsed.statement, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(prepared.parameters.iter().map(|p| p.sql_name()).collect::<Vec<_>>(), expected, "{sql}");
    }
}

#[tokio::test]
async fn a_cancelled_statement_ends_soon() {
    let mut world = World::with_orders().await;
    world.begin();
    let sql = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 1000) c";
    let parsed = crate::sql::parse(sql).unwrap().remove(0);
    let prepared = world.engine.prepare(&world.ctx, &parsed.statement, &[]).await.unwrap();
    let Execution::Rows(rows) = world.engine.execute(&world.ctx, &prepared, vec![]).await.unwrap() else { panic!() };
    let cancel = world.ctx.cancel.clone();
    let begun = std::time::Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        cancel.cancel(Reason::UserRequest);
    });
    let error = text_of(rows).await.err().unwrap();
    assert_eq!(error.code().code(), "57014");
    assert!(begun.elapsed().as_secs() < 5);
}

#[tokio::test]
async fn explain_tells_what_was_pushed_down() {
    let mut world = World::with_orders().await;
    let plan = world.run("EXPLAIN SELECT id FROM orders FOR SYSTEM_TIME AS OF '2025-01-02' WHERE id = 1").await.join("\n");
    assert!(plan.contains("scope=as of 2025-01-02T00:00:00.000000Z, keys=1 points"), "{plan}");
    let plan = world.run("EXPLAIN SELECT id FROM orders WHERE state = 'new'").await.join("\n");
    assert!(plan.contains("scope=current, index=20001, rechecked=[state = "), "{plan}");
    let plan = world.run("EXPLAIN ANALYZE SELECT id FROM orders").await.join("\n");
    assert!(
        plan.contains("index_calls=1")
            && plan.contains("payload_reads=0")
            && plan.contains("versions_read=1")
            && plan.contains("payload_bytes="),
        "{plan}"
    );
    let plan = world.run("EXPLAIN SELECT id FROM orders LIMIT 1").await.join("\n");
    assert!(plan.contains("limit=1"), "{plan}");
}

#[tokio::test]
async fn an_expression_is_evaluated_without_a_query() {
    let world = World::new().await;
    let parsed = crate::sql::parse("SELECT 6 * 7").unwrap().remove(0);
    let crate::sql::Statement::Query(query) = parsed.statement else { panic!() };
    let datafusion::sql::sqlparser::ast::SetExpr::Select(select) = *query.body else { panic!() };
    let datafusion::sql::sqlparser::ast::SelectItem::UnnamedExpr(expr) = &select.projection[0] else { panic!() };
    let value = world.engine.evaluate(&world.ctx, expr, PgType::TEXT).await.unwrap();
    assert_eq!(value, ScalarValue::Utf8(Some("42".into())));
}

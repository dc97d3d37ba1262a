//! Reading the present, own writes and keys.

use super::*;

#[tokio::test]
async fn a_select_sees_what_was_committed() {
    let mut world = World::with_orders().await;
    world.check("SELECT * FROM orders", &["2|new||"]).await;
    world.check("SELECT count(*) FROM orders", &["1"]).await;
    world.check("SELECT o.id, state AS s FROM public.orders o WHERE o.id = 2", &["2|new"]).await;
    world.check("SELECT id FROM orders WHERE id > 2 OR state = 'x'", &[]).await;
    world.check("SELECT id FROM orders WHERE state = 'new' AND id IN (1, 2, 3)", &["2"]).await;
}

#[tokio::test]
async fn own_writes_are_seen_and_nobody_elses() {
    let mut world = World::with_orders().await;
    world.autocommit = false;
    world.begin();
    world.run("INSERT INTO orders (id, state) VALUES (3, 'mine')").await;
    world.run("UPDATE orders SET state = 'changed' WHERE id = 2").await;
    world.check("SELECT id, state FROM orders ORDER BY id", &["2|changed", "3|mine"]).await;
    world.check("SELECT count(*) FROM orders WHERE state = 'mine'", &["1"]).await;
    world.check("SELECT state FROM orders WHERE id = 2", &["changed"]).await;
    world.check("SELECT id FROM orders ORDER BY id LIMIT 1", &["2"]).await;
    world.check("SELECT id FROM orders WHERE state = 'new'", &[]).await;
    world.run("DELETE FROM orders").await;
    world.check("SELECT count(*) FROM orders", &["0"]).await;
    // The past knows nothing of what is not committed.
    world.check("SELECT id, state FROM orders FOR SYSTEM_TIME AS OF now()", &["2|new"]).await;
    world.begin();
    world.check("SELECT id, state FROM orders", &["2|new"]).await;
}

#[tokio::test]
async fn a_snapshot_stays_while_others_commit() {
    let mut world = World::with_orders().await;
    world.autocommit = false;
    world.begin();
    let mine = world.ctx.transaction.clone();
    world.begin();
    world.run("INSERT INTO orders (id) VALUES (9)").await;
    world.commit().await;
    world.ctx.transaction = mine;
    world.check("SELECT id FROM orders", &["2"]).await;
    world.check("SELECT id FROM orders FOR SYSTEM_TIME AS OF now() ORDER BY 1", &["2"]).await;
}

#[tokio::test]
async fn names_that_are_not_there_are_told() {
    let mut world = World::with_orders().await;
    let cases = [
        ("SELECT * FROM nothing", "42P01", "relation \"nothing\" does not exist"),
        ("SELECT nothing FROM orders", "42703", "column \"nothing\" does not exist"),
        ("SELECT o.nothing FROM orders o", "42703", "column o.nothing does not exist"),
        ("SELECT x.id FROM orders o", "42P01", "missing FROM-clause entry for table \"x\""),
        ("SELECT nofunction(1)", "42883", "function nofunction does not exist"),
        ("SELECT id, count(*) FROM orders", "42803", ""),
        ("SELECT 1/0", "22012", "division by zero"),
        ("SELECT * FROM other.public.orders", "0A000", ""),
        ("SELECT (SELECT id FROM orders FOR SYSTEM_TIME AS OF '2025-01-03')", "21000", ""),
    ];
    for (sql, code, message) in cases {
        let (seen, said) = world.fails(sql).await;
        assert_eq!(seen, code, "{sql}: {said}");
        assert!(message.is_empty() || said == message, "{sql}: {said}");
    }
}

#[tokio::test]
async fn reading_takes_the_privilege() {
    let mut world = World::with_orders().await;
    world.create_view("open_orders", "chronogate", "SELECT id FROM orders", &[("number", PgType::INT4)]).await;
    world.ctx.current_user = "guest".into();
    world.ctx.superuser = false;
    world.ctx.authorities = Arc::new(crate::history::Authority::default());
    for sql in [
        "SELECT * FROM orders",
        "SELECT * FROM orders__history",
        "SELECT * FROM orders__changes",
        "SELECT * FROM orders__as_of('2025-01-02')",
        "SELECT * FROM open_orders",
        "WITH orders AS (SELECT * FROM orders) SELECT * FROM orders",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM orders)",
    ] {
        assert_eq!(world.fails(sql).await.0, "42501", "{sql}");
    }
    world.check("SELECT count(*) FROM chronogate.changes", &["0"]).await;
}

#[tokio::test]
async fn a_prepared_statement_serves_many_values_and_snapshots() {
    let world = World::with_orders().await;
    let sql = "SELECT state FROM orders FOR SYSTEM_TIME AS OF $1 WHERE id = $2 LIMIT $3";
    let parsed = crate::sql::parse(sql).unwrap().remove(0);
    let prepared = world.engine.prepare(&world.ctx, &parsed.statement, &[]).await.unwrap();
    assert_eq!(prepared.parameters, [PgType::TIMESTAMPTZ, PgType::INT4, PgType::INT8]);
    for (day, expected) in [(0, vec![]), (1, vec!["new"]), (2, vec!["paid"]), (3, vec![])] {
        let at = ScalarValue::TimestampMicrosecond(Some(START + day * DAY), Some("UTC".into()));
        let parameters = vec![at, ScalarValue::Int32(Some(1)), ScalarValue::Int64(Some(5))];
        let Execution::Rows(rows) = world.engine.execute(&world.ctx, &prepared, parameters).await.unwrap() else { panic!() };
        assert_eq!(text_of(rows).await.unwrap(), expected, "day {day}");
    }
}

#[tokio::test]
async fn a_plan_follows_the_definitions() {
    let mut world = World::with_orders().await;
    let parse = |sql| crate::sql::parse(sql).unwrap().remove(0).statement;
    let all = world.engine.prepare(&world.ctx, &parse("SELECT * FROM orders"), &[]).await.unwrap();
    let one = world.engine.prepare(&world.ctx, &parse("SELECT id FROM orders"), &[]).await.unwrap();
    let mut wider = orders(20_000);
    wider.columns.push(ColumnDef { missing: Some("7 * 6".into()), ..column(5, "more", PgType::INT4) });
    world.change(|catalog| catalog.replace_table(wider).unwrap()).await;
    let error = world.engine.execute(&world.ctx, &all, vec![]).await.err().unwrap();
    assert_eq!(error.message(), "cached plan must not change result type");
    assert!(world.engine.execute(&world.ctx, &one, vec![]).await.is_ok());
    world.check("SELECT id, more FROM orders", &["2|42"]).await;
}

/// A table is read in partitions when it is large (in tests: when it has 64 rows); what is read stays the same.
#[tokio::test]
async fn partitions_together_read_every_row_once() {
    let mut world = World::with_orders().await;
    let rows: Vec<String> = (10..210).map(|n| format!("({n}, 's{}', {n})", n % 3)).collect();
    world.run(&format!("INSERT INTO orders (id, state, amount) VALUES {}", rows.join(", "))).await;
    world.day(4);
    world.run("DELETE FROM orders WHERE id % 10 = 0").await;
    world.autocommit = false;
    world.begin();
    let plan = world.run("EXPLAIN SELECT state, count(*) FROM orders GROUP BY state").await.join("\n");
    assert!(plan.contains("partitions=2"), "{plan}");
    world
        .check("SELECT count(*), count(DISTINCT id), sum(amount), min(id), max(id) FROM orders", &["181|181|19800.00|2|209"])
        .await;
    world.check("SELECT count(*) FROM orders AS OF '2025-01-04 12:00'", &["201"]).await;
    world.run("INSERT INTO orders (id, state) VALUES (0, 'mine'), (1000, 'mine'), (100, 'mine')").await;
    world.run("UPDATE orders SET state = 'mine' WHERE id IN (11, 208)").await;
    world.run("DELETE FROM orders WHERE id IN (12, 207)").await;
    world.check("SELECT count(*), count(DISTINCT id) FROM orders", &["182|182"]).await;
    world.check("SELECT id FROM orders WHERE state = 'mine' ORDER BY id", &["0", "11", "100", "208", "1000"]).await;
    world.check("SELECT id FROM orders ORDER BY id DESC LIMIT 2 OFFSET 1", &["209", "208"]).await;
    assert_eq!(world.run("SELECT id FROM orders LIMIT 150").await.len(), 150);
    assert_eq!(world.run("SELECT DISTINCT id FROM orders__history").await.len(), 202);
    let versions = world.run("SELECT id FROM orders__history").await.len();
    assert_eq!(versions, 1 + 1 + 1 + 200, "each version is read once");
}

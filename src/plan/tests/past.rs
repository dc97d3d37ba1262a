//! Clauses about system time and the session's time.

use super::*;

#[tokio::test]
async fn every_clause_reads_its_part_of_history() {
    let mut world = World::with_orders().await;
    let id_state = |clause: &str| format!("SELECT id, state FROM orders {clause} ORDER BY id, _version");
    for (clause, expected) in [
        ("FOR SYSTEM_TIME AS OF '2025-01-01T23:59:59Z'", vec![]),
        ("FOR SYSTEM_TIME AS OF '2025-01-02T00:00:00Z'", vec!["1|new"]),
        ("FOR SYSTEM_TIME AS OF '2025-01-03T12:00:00Z'", vec!["1|paid", "2|new"]),
        ("FOR SYSTEM_TIME AS OF '2025-01-04'", vec!["2|new"]),
        ("AS OF TIMESTAMP '2025-01-03'", vec!["1|paid", "2|new"]),
        ("FOR SYSTEM_TIME AS OF TIMESTAMP '2025-01-04' - INTERVAL '1 day'", vec!["1|paid", "2|new"]),
        ("FOR VERSION AS OF 2", vec!["1|new"]),
        ("AS OF 'v3'", vec!["1|paid", "2|new"]),
        ("FOR SYSTEM_TIME ALL", vec!["1|new", "1|paid", "2|new"]),
        ("FOR SYSTEM_TIME BETWEEN '2025-01-02' AND '2025-01-03'", vec!["1|new", "1|paid", "2|new"]),
        ("FOR SYSTEM_TIME FROM '2025-01-02' TO '2025-01-03'", vec!["1|new"]),
        ("FOR SYSTEM_TIME CONTAINED IN ('2025-01-02', '2025-01-03')", vec!["1|new"]),
        ("FOR SYSTEM_TIME BETWEEN '2025-01-03' AND '2025-01-02'", vec![]),
    ] {
        world.check(&id_state(clause), &expected).await;
    }
}

#[tokio::test]
async fn two_times_meet_in_one_statement() {
    let mut world = World::with_orders().await;
    let sql = "SELECT b.id, a.state, b.state FROM orders FOR SYSTEM_TIME AS OF '2025-01-02' a \
               RIGHT JOIN orders FOR SYSTEM_TIME AS OF '2025-01-03' b ON a.id = b.id ORDER BY 1";
    world.check(sql, &["1|new|paid", "2||new"]).await;
    let sql = "WITH old AS (SELECT * FROM orders AS OF SYSTEM TIME '2025-01-02') \
               SELECT old.id FROM old WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = old.id)";
    world.check(sql, &["1"]).await;
    world.check("SELECT count(*) FROM orders FOR SYSTEM_TIME AS OF '2025-01-03'", &["2"]).await;
}

#[tokio::test]
async fn the_version_is_picked_before_the_filter() {
    let mut world = World::with_orders().await;
    world.check("SELECT id FROM orders FOR SYSTEM_TIME AS OF '2025-01-03' WHERE state = 'new'", &["2"]).await;
    world.check("SELECT id FROM orders FOR SYSTEM_TIME AS OF '2025-01-03' WHERE state = 'paid'", &["1"]).await;
    world.check("SELECT id FROM orders WHERE state = 'paid'", &[]).await;
}

#[tokio::test]
async fn instants_that_are_none_are_refused() {
    let mut world = World::with_orders().await;
    for (clause, code) in [
        ("FOR SYSTEM_TIME AS OF NULL", "22004"),
        ("FOR SYSTEM_TIME AS OF 'yesterdayish'", "22007"),
        ("FOR VERSION AS OF 99", "22023"),
        ("FOR SYSTEM_TIME AS OF id", "0A000"),
    ] {
        let (seen, message) = world.fails(&format!("SELECT * FROM orders {clause}")).await;
        assert_eq!(seen, code, "{clause}: {message}");
    }
    for sql in [
        "SELECT * FROM orders__history FOR SYSTEM_TIME AS OF '2025-01-02'",
        "SELECT * FROM chronogate.commits FOR SYSTEM_TIME ALL",
        "WITH w AS (SELECT 1) SELECT * FROM w FOR SYSTEM_TIME ALL",
        "SELECT * FROM orders FOR SYSTEM_TIME ALL FOR UPDATE",
    ] {
        assert_eq!(world.fails(sql).await.0, "0A000", "{sql}");
    }
}

#[tokio::test]
async fn the_future_is_the_present_and_says_so() {
    let mut world = World::with_orders().await;
    world.ctx.notices.drain();
    world.check("SELECT id FROM orders FOR SYSTEM_TIME AS OF '2100-01-01'", &["2"]).await;
    assert_eq!(world.ctx.notices.drain().len(), 1);
    world.check("SELECT id FROM orders FOR SYSTEM_TIME FROM '2025-02-01' TO '2025-01-01'", &[]).await;
    assert_eq!(world.ctx.notices.drain().len(), 1);
}

#[tokio::test]
async fn a_sessions_time_is_the_default_and_a_clause_beats_it() {
    let mut world = World::with_orders().await;
    world.as_of_day(2);
    world.check("SELECT id, state FROM orders ORDER BY id", &["1|paid", "2|new"]).await;
    world.check("SELECT id, state FROM orders FOR SYSTEM_TIME AS OF '2025-01-02'", &["1|new"]).await;
    world.check("SELECT state, _end_op FROM orders__history ORDER BY _system_from, id", &["new|UPDATE", "paid|", "new|"]).await;
    world.check("SELECT count(*) FROM orders__changes", &["3"]).await;
    world.check("SELECT max(commit) FROM chronogate.commits", &["3"]).await;
}

#[tokio::test]
async fn a_clause_on_a_view_reaches_its_relations() {
    let mut world = World::with_orders().await;
    let query = "SELECT o.id, o.state FROM orders o UNION ALL \
                 SELECT -id, state FROM orders FOR SYSTEM_TIME AS OF '2025-01-02'";
    world.create_view("mixed", "chronogate", query, &[("key", PgType::INT4), ("state", PgType::TEXT)]).await;
    world.check("SELECT key, state FROM mixed ORDER BY key", &["-1|new", "2|new"]).await;
    let sql = "SELECT b.key, b.state FROM mixed FOR SYSTEM_TIME AS OF '2025-01-03' b ORDER BY key";
    world.check(sql, &["-1|new", "1|paid", "2|new"]).await;
    // A WITH query of the statement does not take the place of the view's table.
    world.check("WITH orders AS (SELECT 5 AS id) SELECT count(*) FROM mixed, orders", &["2"]).await;
}

#[tokio::test]
async fn a_table_that_was_dropped_and_made_again_has_two_histories() {
    let mut world = World::with_orders().await;
    world.day(4);
    world.change(|catalog| drop(catalog.drop_table(&Qualified::new("public", "orders")).unwrap())).await;
    assert_eq!(world.fails("SELECT * FROM orders").await.0, "42P01");
    world.check("SELECT id FROM orders FOR SYSTEM_TIME AS OF '2025-01-03' ORDER BY id", &["1", "2"]).await;
    world.day(5);
    let mut again = orders(21_000);
    again.columns.truncate(1);
    again.indexes.clear();
    world.create(again).await;
    world.run("INSERT INTO orders VALUES (7)").await;
    world.check("SELECT * FROM orders", &["7"]).await;
    world.check("SELECT * FROM orders FOR SYSTEM_TIME AS OF '2025-01-02'", &["1|new|10.50|{\"a\": 2, \"b\": 1}"]).await;
    // With a parameter the instant is not known when the statement is planned: refused rather than wrong.
    let at = ScalarValue::TimestampMicrosecond(Some(START + 2 * DAY), Some("UTC".into()));
    let error = world.try_run("SELECT id FROM orders FOR SYSTEM_TIME AS OF $1", vec![at]).await.err().unwrap();
    assert_eq!(error.code().code(), "0A000");
}

#[tokio::test]
async fn the_past_shows_the_columns_the_setting_says() {
    let mut world = World::with_orders().await;
    let mut changed = orders(20_000);
    changed.columns[1].dropped = true;
    changed.columns[2].name = "total".into();
    changed.columns.push(column(5, "state", PgType::INT4));
    changed.indexes.clear();
    world.day(4);
    world.change(|catalog| catalog.replace_table(changed).unwrap()).await;
    let names = async |world: &World| {
        let parsed = crate::sql::parse("SELECT * FROM orders FOR SYSTEM_TIME AS OF '2025-01-02'").unwrap().remove(0);
        let prepared = world.engine.prepare(&world.ctx, &parsed.statement, &[]).await.unwrap();
        prepared.columns.unwrap().iter().map(|c| c.name.clone()).collect::<Vec<_>>()
    };
    world.begin();
    assert_eq!(names(&world).await, ["id", "state__2", "total", "data", "state"]);
    world.ctx.schema_at = SchemaAt::Then;
    assert_eq!(names(&world).await, ["id", "state", "amount", "data"]);
    world.check("SELECT state, amount FROM orders FOR SYSTEM_TIME AS OF '2025-01-02'", &["new|10.50"]).await;
    world.ctx.schema_at = SchemaAt::Now;
    assert_eq!(names(&world).await, ["id", "total", "data", "state"]);
}

//! System columns, and relations made from a table's name.

use super::*;

#[tokio::test]
async fn system_columns_are_there_by_name_and_not_in_the_star() {
    let mut world = World::with_orders().await;
    world.check("SELECT _version, _op, _end_op FROM orders", &["0|CREATE|"]).await;
    world.check("SELECT *, _version FROM orders", &["2|new|||0"]).await;
    world.check("SELECT o.*, o._version FROM orders o", &["2|new|||0"]).await;
    let sql = "SELECT *, a._commit FROM orders a JOIN orders b ON a.id = b.id WHERE b._version = 0";
    world.check(sql, &["2|new|||2|new|||3"]).await;
    world.check("SELECT *, a._commit FROM orders a JOIN orders b USING (id)", &["2|new|||new|||3"]).await;
    world.check("SELECT id FROM orders WHERE _system_from = '2025-01-03'", &["2"]).await;
    let sql = "SELECT *, _version FROM orders FOR SYSTEM_TIME ALL ORDER BY id, _version";
    world.check(sql, &["1|new|10.50|{\"a\": 2, \"b\": 1}|0", "1|paid|10.50|{\"a\": 2, \"b\": 1}|1", "2|new|||0"]).await;
}

#[tokio::test]
async fn history_has_one_row_per_state() {
    let mut world = World::with_orders().await;
    let sql = "SELECT id, state, _system_from, _system_to, _version, _commit, _op, _end_commit, _end_op \
               FROM orders__history ORDER BY id, _version";
    let expected = [
        "1|new|2025-01-02 00:00:00+00|2025-01-03 00:00:00+00|0|2|CREATE|3|UPDATE",
        "1|paid|2025-01-03 00:00:00+00|2025-01-04 00:00:00+00|1|3|UPDATE|4|DELETE",
        "2|new|2025-01-03 00:00:00+00||0|3|CREATE||",
    ];
    world.check(sql, &expected).await;
    let parsed = crate::sql::parse("SELECT * FROM orders__history").unwrap().remove(0);
    let prepared = world.engine.prepare(&world.ctx, &parsed.statement, &[]).await.unwrap();
    assert_eq!(prepared.columns.unwrap().len(), 4 + 10);
}

#[tokio::test]
async fn changes_have_one_row_per_version() {
    let mut world = World::with_orders().await;
    let sql = "SELECT primary_key, operation, before->>'state', after->>'state', transaction_id, _version \
               FROM orders__changes ORDER BY transaction_id, primary_key";
    world.check(sql, &["1|CREATE||new|2|0", "1|UPDATE|new|paid|3|1", "2|CREATE||new|3|0", "1|DELETE|paid||4|2"]).await;
    world.check("SELECT before FROM orders__changes WHERE operation = 'CREATE' AND before IS NOT NULL", &[]).await;
    let sql = "SELECT after FROM orders__changes WHERE primary_key = '1' AND operation = 'CREATE'";
    world.check(sql, &["{\"id\": 1, \"data\": {\"a\": 2, \"b\": 1}, \"state\": \"new\", \"amount\": 10.50}"]).await;
    let sql = "SELECT \"table\", operation, before, count(DISTINCT id) FROM chronogate.changes GROUP BY 1, 2, 3 ORDER BY 2, 3";
    let rows = world.run(sql).await;
    assert_eq!(rows[0], "orders|CREATE|{}|2");
}

#[tokio::test]
async fn functions_made_from_the_tables_name() {
    let mut world = World::with_orders().await;
    world.check("SELECT id, state FROM orders__as_of('2025-01-02')", &["1|new"]).await;
    world.check("SELECT o.id, _version FROM orders__as_of(3) o ORDER BY 1", &["1|1", "2|0"]).await;
    world.check("SELECT count(*) FROM orders__between('2025-01-02', '2025-01-03')", &["3"]).await;
    world.check("SELECT count(*) FROM orders__from_to('2025-01-02', '2025-01-03')", &["1"]).await;
    let sql =
        "SELECT from_id, to_id, from_state, to_state, diff_type FROM orders__diff('2025-01-02', '2025-01-03') ORDER BY to_id";
    world.check(sql, &["1|1|new|paid|modified", "|2||new|added"]).await;
    world.check("SELECT from_id, diff_type FROM orders__diff('2025-01-03', now())", &["1|removed"]).await;
    assert_eq!(world.fails("SELECT * FROM orders__as_of()").await.0, "42883");
}

#[tokio::test]
async fn commits_tell_who_and_why() {
    let mut world = World::with_orders().await;
    world.begin();
    {
        let mut transaction = world.ctx.transaction.lock();
        transaction.context.user = "ann".into();
        transaction.context.actor = Some("bob".into());
        transaction.context.reason = Some("because".into());
        transaction.context.context = Some("{\"request\":7}".into());
    }
    world.autocommit = false;
    world.run("UPDATE orders SET state = 'shipped' WHERE id = 2").await;
    world.commit().await;
    let sql =
        "SELECT commit, \"user\", actor, reason, context->>'request', tables, rows FROM chronogate.commits WHERE actor = 'bob'";
    world.check(sql, &["5|ann|bob|because|7|{public.orders}|1"]).await;
    world.check("SELECT state, _actor, _reason, _context FROM orders", &["shipped|bob|because|{\"request\": 7}"]).await;
}

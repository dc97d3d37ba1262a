//! Functions that depend on the statement, and operators over columns.

use super::*;
use crate::history::SequenceDef;

#[tokio::test]
async fn time_is_the_transactions_and_days_are_the_sessions() {
    let mut world = World::new().await;
    world.ctx.time_zone = "Pacific/Auckland".into();
    world.check("SELECT now() = transaction_timestamp(), now() - interval '1 day' < now()", &["t|t"]).await;
    world.check("SELECT now()::date = (now() AT TIME ZONE 'Pacific/Auckland')::date", &["t"]).await;
    world.check("SELECT date_trunc('day', '2025-07-01 20:00+00'::timestamptz)", &["2025-07-01 12:00:00+00"]).await;
    world.check("SELECT '2025-07-01 00:00'::timestamptz", &["2025-06-30 12:00:00+00"]).await;
    world.check("SELECT '2025-07-01 20:00+00'::timestamptz::text", &["2025-07-02 08:00:00+12"]).await;
    world.check("SELECT extract(hour from '2025-07-01 20:00+00'::timestamptz)", &["8"]).await;
}

#[tokio::test]
async fn the_session_is_asked_for_its_names() {
    let mut world = World::new().await;
    world
        .check("SELECT current_user, session_user, current_database(), current_schema()", &["chronogate|chronogate|d|public"])
        .await;
    assert!(world.run("SELECT version()").await[0].starts_with("PostgreSQL 15"));
    assert_eq!(world.fails("SELECT current_setting('no.such')").await.0, "42704");
}

#[tokio::test]
async fn sequences_give_each_row_its_value_and_the_session_remembers() {
    let mut world = World::new().await;
    let sequence = SequenceDef {
        id: 40_000,
        name: Qualified::new("public", "s"),
        owner: "chronogate".into(),
        start: 5,
        increment: 2,
        min: 1,
        max: 100,
        cycle: false,
        owned_by: None,
        comment: None,
        grants: BTreeMap::new(),
    };
    world.change(|catalog| catalog.create_sequence(sequence).unwrap()).await;
    assert_eq!(world.fails("SELECT currval('s')").await.0, "55000");
    world.check("SELECT nextval('s') FROM (VALUES (1), (2)) v", &["5", "7"]).await;
    world.check("SELECT currval('public.s'), lastval()", &["7|7"]).await;
    world.check("SELECT setval('s'::regclass, 20, false)", &["20"]).await;
    world.check("SELECT nextval('\"s\"')", &["20"]).await;
    assert_eq!(world.fails("SELECT nextval('nowhere')").await.0, "42P01");
}

#[tokio::test]
async fn jsonb_columns_answer_to_operators_and_parameters() {
    let mut world = World::with_orders().await;
    world.run("INSERT INTO orders VALUES (7, 'x', 1.50, '{\"tags\": [\"a\", \"b\"], \"n\": {\"k\": 5}}')").await;
    world
        .check("SELECT data -> 'n' ->> 'k', data #>> '{tags,1}' FROM orders WHERE data @> '{\"n\": {\"k\": 5}}'", &["5|b"])
        .await;
    world.check("SELECT id FROM orders WHERE data -> 'tags' ? 'a' AND (data -> 'n' ->> 'k')::int > 4", &["7"]).await;
    let key = vec![ScalarValue::Utf8(Some("n".into()))];
    assert_eq!(world.try_run("SELECT data -> $1 FROM orders WHERE id = 7", key).await.unwrap(), ["{\"k\": 5}"]);
    let whole = vec![ScalarValue::Utf8(Some("{\"n\": {\"k\": 5}}".into()))];
    assert_eq!(world.try_run("SELECT id FROM orders WHERE data @> $1", whole).await.unwrap(), ["7"]);
}

#[tokio::test]
async fn numbers_keep_their_digits_and_refuse_to_overflow() {
    let mut world = World::with_orders().await;
    world.run("INSERT INTO orders VALUES (8, 'y', 10.50, NULL), (9, 'y', 0.25, NULL)").await;
    world
        .check(
            "SELECT sum(amount), sum(id), avg(id), max(amount) * 2 FROM orders WHERE state = 'y'",
            &["10.75|17|8.5000000000000000|21.00"],
        )
        .await;
    world.check("SELECT amount / 3, id / 2, id % 2 FROM orders WHERE id = 9", &["0.08333333333333333333|4|1"]).await;
    assert_eq!(
        world.fails("SELECT id + 2147483647 FROM orders WHERE id = 9").await,
        ("22003".into(), "integer out of range".into())
    );
    assert_eq!(world.fails("SELECT id / 0 FROM orders").await.0, "22012");
    assert_eq!(world.fails("SELECT state::int FROM orders").await.0, "22P02");
}

//! Statements about one item: which are recognised, and that they answer as the general path does.

use super::*;

fn int(n: i32) -> ScalarValue {
    ScalarValue::Int32(Some(n))
}

async fn is_short(world: &World, sql: &str, declared: &[Option<PgType>]) -> bool {
    let parsed = crate::sql::parse(sql).unwrap().remove(0);
    world.engine.prepare(&world.ctx, &parsed.statement, declared).await.unwrap_or_else(|e| panic!("{sql}: {e}")).is_short()
}

/// Statements that clients send by the thousand, and some that only look like them.
#[tokio::test]
async fn statements_that_name_one_key_take_the_short_way() {
    let mut world = World::with_orders().await;
    world
        .change(|catalog| {
            let mut table = orders(20_100);
            table.name.name = "bench".into();
            table.primary_key = Some(("bench_pkey".into(), vec![ColumnId(1)]));
            table.indexes.clear();
            table.columns.push(column(5, "updated_at", PgType::new(TypeName::Timestamp)));
            table.columns.push(column(6, "qty", PgType::INT8));
            catalog.create_table(table).unwrap();
        })
        .await;
    for (sql, short) in [
        ("SELECT id, state, data FROM orders WHERE id = $1", true),
        ("SELECT * FROM public.orders o WHERE o.id = 1", true),
        ("SELECT id AS n FROM orders WHERE '1' = id", true),
        ("SELECT id, state FROM orders FOR SYSTEM_TIME AS OF TIMESTAMP '2025-01-02 10:00:00' WHERE id = 77", true),
        ("SELECT id, state FROM orders FOR SYSTEM_TIME AS OF $1 o WHERE id = $2", true),
        ("SELECT id FROM orders AS OF '2025-01-02' WHERE id = 1", true),
        ("SELECT id + 1 FROM orders WHERE id = 1", false),
        ("SELECT id FROM orders WHERE id = 1.0", false),
        ("SELECT id FROM orders WHERE id = 3000000000", false),
        ("SELECT id FROM orders WHERE id = 1 OR id = 2", false),
        ("SELECT id FROM orders WHERE id = 1 AND state = 'new'", false),
        ("SELECT _version FROM orders WHERE id = 1", false),
        ("SELECT id FROM orders WHERE id = 1 LIMIT 1", false),
        ("SELECT id FROM orders FOR SYSTEM_TIME ALL WHERE id = 1", false),
        ("SELECT id FROM orders__history WHERE id = 1", false),
        ("SELECT count(*) FROM orders WHERE id = 1", false),
        ("INSERT INTO bench (id, state, amount, qty, updated_at, data) VALUES ($1,$2,$3,$4,now(),$5)", true),
        ("UPDATE bench SET state=$1, amount=$2, qty=$3, updated_at=now() WHERE id=$4", true),
        ("UPDATE bench SET qty = coalesce(qty, 0) + 1, data = data || '{\"a\": 1}' WHERE id = $1 RETURNING qty", true),
        ("DELETE FROM bench WHERE id = $1", true),
        ("INSERT INTO bench (id) VALUES (1), (2) ON CONFLICT (id) DO UPDATE SET qty = excluded.qty + 1", true),
        ("UPDATE bench SET state = current_setting('x', true) WHERE id = 1", false),
        ("UPDATE bench SET state = gen_random_uuid()::text WHERE id = 1", false),
        ("UPDATE bench SET qty = 1 WHERE id = 1 AND _version = 3", false),
    ] {
        assert_eq!(is_short(&world, sql, &[]).await, short, "{sql}");
    }
    // psycopg declares small numbers as int2, and text as unknown or text.
    let small = [Some(PgType::new(TypeName::Int2))];
    assert!(is_short(&world, "SELECT id FROM orders WHERE id = $1", &small).await);
    assert!(!is_short(&world, "SELECT id FROM orders WHERE id = $1", &[Some(PgType::new(TypeName::Numeric))]).await);
}

/// Every read by key answers as one that hides the key in an expression.
#[tokio::test]
async fn a_lookup_answers_as_a_scan_does() {
    let mut world = World::with_orders().await;
    let clauses = [
        "",
        " AS OF '2024-12-31'",
        " FOR SYSTEM_TIME AS OF TIMESTAMP '2025-01-02 12:00:00'",
        " FOR SYSTEM_TIME AS OF '2025-01-03 00:00:00+00'",
        " AS OF '2025-01-04'",
        " AS OF '2999-01-01'",
        " AS OF 'v3'",
    ];
    for pinned in [None, Some(1), Some(2), Some(3)] {
        for clause in clauses {
            for id in 0..4 {
                world.ctx.default_scope = None;
                if let Some(day) = pinned {
                    world.as_of_day(day);
                }
                let ask = |key: &str| format!("SELECT id, state, amount, data FROM orders{clause} WHERE {key} = {id}");
                let short = world.try_run(&ask("id"), vec![]).await.map_err(|e| e.to_string());
                let noticed = world.ctx.notices.drain().len();
                let long = world.try_run(&ask("id + 0"), vec![]).await.map_err(|e| e.to_string());
                assert_eq!(short, long, "{} on day {pinned:?}", ask("id"));
                assert_eq!(noticed, world.ctx.notices.drain().len(), "{}", ask("id"));
            }
        }
    }
}

#[tokio::test]
async fn a_lookup_sees_the_writes_of_its_transaction_and_not_in_the_past() {
    let mut world = World::with_orders().await;
    world.autocommit = false;
    world.begin();
    world.run("UPDATE orders SET state = 'mine' WHERE id = 2").await;
    world.run("INSERT INTO orders (id, state) VALUES (7, 'mine')").await;
    let one = "SELECT state FROM orders WHERE id = $1";
    assert_eq!(world.try_run(one, vec![int(2)]).await.unwrap(), ["mine"]);
    assert_eq!(world.try_run(one, vec![int(7)]).await.unwrap(), ["mine"]);
    assert_eq!(world.try_run(one, vec![ScalarValue::Int32(None)]).await.unwrap(), Vec::<String>::new());
    assert_eq!(world.run("SELECT state FROM orders AS OF '2025-01-03 12:00' WHERE id = 2").await, ["new"]);
    world.run("DELETE FROM orders WHERE id = 2").await;
    assert!(world.try_run(one, vec![int(2)]).await.unwrap().is_empty());
    world.run("INSERT INTO orders (id, state) VALUES (2, 'again') RETURNING state").await;
    assert_eq!(world.try_run(one, vec![int(2)]).await.unwrap(), ["again"]);
    world.commit().await;
    assert_eq!(world.try_run(one, vec![int(2)]).await.unwrap(), ["again"]);
}

/// RETURNING and assignments have PostgreSQL's types, in whichever way they are run.
#[tokio::test]
async fn writes_through_the_engine_keep_types_and_time() {
    let mut world = World::with_orders().await;
    world
        .check(
            "INSERT INTO orders VALUES (5, 'x', 1.255, '{\"z\": [1, 2], \"a\": null}') RETURNING *",
            &["5|x|1.26|{\"a\": null, \"z\": [1, 2]}"],
        )
        .await;
    world
        .check(
            "UPDATE orders SET amount = amount * 2, data = data || '{\"n\": 1}' WHERE id = 5 RETURNING amount + 1, data->>'n'",
            &["3.52|1"],
        )
        .await;
    world
        .check(
            "UPDATE orders SET amount = NULL WHERE state = 'x' RETURNING id + 1, coalesce(amount, 7), now() = now()",
            &["6|7|t"],
        )
        .await;
    world
        .check(
            "INSERT INTO orders (id, state) SELECT id + 100, upper(state) FROM orders WHERE id = 5 RETURNING id, state",
            &["105|X"],
        )
        .await;
    world
        .check(
            "UPDATE orders o SET state = s.state FROM orders s WHERE s.id = 5 AND o.id = 105 RETURNING o.id, s.*",
            &["105|5|x||{\"a\": null, \"n\": 1, \"z\": [1, 2]}"],
        )
        .await;
    world
        .check(
            "DELETE FROM orders USING (VALUES (5), (105)) v (id) WHERE v.id = orders.id AND _version >= 0 RETURNING orders.id",
            &["5", "105"],
        )
        .await;
    assert_eq!(world.fails("UPDATE orders SET amount = 1 / 0 WHERE id = 2").await.0, "22012");
    assert_eq!(world.fails("UPDATE orders SET amount = $1::text WHERE id = 2").await.0, "42804");
    assert_eq!(world.fails("UPDATE orders SET nope = 1 WHERE id = 2").await.0, "42703");
    assert_eq!(world.fails("UPDATE orders SET state = nope WHERE id = 2").await.0, "42703");
    assert_eq!(world.fails("UPDATE orders FOR SYSTEM_TIME AS OF '2025-01-01' SET state = 'x' WHERE id = 2").await.0, "0A000");
    assert_eq!(world.fails("INSERT INTO orders (id) VALUES (2147483648)").await.0, "22003");
}

#[tokio::test]
async fn an_identity_column_takes_a_value_only_when_told_to() {
    use crate::history::SequenceDef;
    use crate::types::Identity;
    let mut world = World::new().await;
    let mut table = orders(20_200);
    table.columns[0].identity = Some(Identity::Always);
    world
        .change(|catalog| {
            catalog.create_table(table).unwrap();
            let sequence = SequenceDef {
                id: 20_300,
                name: Qualified::new("public", "orders_id_seq"),
                owner: "chronogate".into(),
                start: 1,
                increment: 1,
                min: 1,
                max: i64::from(i32::MAX),
                cycle: false,
                owned_by: Some((TableId(20_200), ColumnId(1))),
                comment: None,
                grants: BTreeMap::new(),
            };
            catalog.create_sequence(sequence).unwrap();
        })
        .await;
    world.check("INSERT INTO orders (state) VALUES ('a'), ('b') RETURNING id", &["1", "2"]).await;
    world.check("INSERT INTO orders VALUES (DEFAULT, 'c') RETURNING id", &["3"]).await;
    world.check("SELECT currval('orders_id_seq')", &["3"]).await;
    let refused = world.fails("INSERT INTO orders (id) VALUES (9)").await;
    assert_eq!(refused, ("428C9".into(), "cannot insert a non-DEFAULT value into column \"id\"".into()));
    assert_eq!(world.fails("INSERT INTO orders (id) SELECT 9").await.0, "428C9");
    assert_eq!(world.fails("UPDATE orders SET id = 9 WHERE id = 1").await.0, "428C9");
    world.check("INSERT INTO orders (id) OVERRIDING SYSTEM VALUE VALUES (9) RETURNING id", &["9"]).await;
}

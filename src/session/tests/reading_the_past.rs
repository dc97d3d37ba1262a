//! The time of a whole session or transaction: every way to set it, and which one wins.

use super::*;

/// One row with a value per day from New Year on: `day 1`, `day 2`, `day 3`.
async fn with_days() -> (World, Client) {
    let world = World::new().await;
    let mut client = world.client().await;
    client.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    client.run("INSERT INTO t VALUES (1, 'day 1')").await;
    for day in 2..=3 {
        world.clock.advance(86_400_000_000);
        client.run(&format!("UPDATE t SET v = 'day {day}'")).await;
    }
    world.clock.advance(3_600_000_000);
    (world, client)
}

const V: &str = "SELECT v FROM t";

#[tokio::test]
async fn set_pins_the_session_and_makes_it_read_only() {
    let (_world, mut client) = with_days().await;
    client.run("SET chronogate.as_of = '2024-01-01 12:00'").await;
    assert_eq!(client.notices(), ["NOTICE reading the past as of 2024-01-01 12:00:00+00"]);
    assert_eq!(client.rows(V).await, ["day 1"]);
    let error = client.error("INSERT INTO t VALUES (2, 'x')").await;
    assert_eq!(
        (error.code(), error.message()),
        (SqlState::READ_ONLY_SQL_TRANSACTION, "cannot execute INSERT while reading the past")
    );
    for refused in ["DELETE FROM t", "DROP TABLE t", "TRUNCATE t", "COPY t FROM STDIN"] {
        assert!(client.refused(refused).await.starts_with("25006"), "{refused}");
    }
    for works in ["SHOW ALL", "SHOW chronogate.as_of", "RESET work_mem", "SET work_mem = '8MB'", "DISCARD ALL"] {
        client.run(works).await;
    }
    assert_eq!(client.rows(V).await, ["day 3"]);
}

#[tokio::test]
async fn a_time_is_an_instant_a_commit_or_a_distance() {
    let (_world, mut client) = with_days().await;
    for (value, expected) in
        [("v2", "day 1"), ("3", "day 2"), ("-25h", "day 2"), ("1 day 2 hours ago", "day 1"), ("2 hours", "day 2"), ("", "day 3")]
    {
        client.run(&format!("SET system_versioning_asof = '{value}'")).await;
        assert_eq!(client.rows(V).await, [expected], "{value}");
    }
    client.run("SET timezone = 'Asia/Tokyo'; SET chronogate.as_of = '2024-01-02 08:00'").await;
    client.run("SET timezone = 'UTC'").await;
    assert_eq!(client.rows("SHOW chronogate.as_of").await, ["2024-01-01 23:00:00+00"]);
}

#[tokio::test]
async fn a_distance_counts_from_each_transactions_start() {
    let (world, mut client) = with_days().await;
    client.run("SET chronogate.as_of = '-2h'; ").await;
    assert_eq!(client.rows(V).await, ["day 2"]);
    client.run("BEGIN").await;
    assert_eq!(client.rows(V).await, ["day 2"]);
    world.clock.advance(2 * 3_600_000_000);
    assert_eq!(client.rows(V).await, ["day 2"]);
    client.run("COMMIT").await;
    assert_eq!(client.rows(V).await, ["day 3"]);
}

#[tokio::test]
async fn what_has_not_happened_or_does_not_parse_is_refused() {
    let (_world, mut client) = with_days().await;
    for (value, code) in [("2100-01-01", "22023"), ("v99", "22023"), ("last week", "22007")] {
        assert!(client.refused(&format!("SET chronogate.as_of = '{value}'")).await.starts_with(code), "{value}");
    }
    client.run("SET chronogate.as_of = '2024-01-03T01:00:01Z'").await;
}

#[tokio::test]
async fn the_database_name_carries_a_time_and_what_is_set_later_beats_it() {
    let (world, mut client) = with_days().await;
    client.run("ALTER ROLE chief SET chronogate.as_of = 'v2'").await;
    let mut by_role = world.client().await;
    assert_eq!(by_role.rows(V).await, ["day 1"]);
    let mut by_name = world.open("chief", "chronogate@2024-01-02T06:00Z", &[]).await.unwrap();
    assert_eq!(by_name.rows(V).await, ["day 2"]);
    let mut by_number = world.open("chief", "chronogate@v2", &[]).await.unwrap();
    assert_eq!(by_number.rows(V).await, ["day 1"]);
    let startup = [("options", "-c chronogate.as_of=v3")];
    let mut by_startup = world.open("chief", "chronogate@v2", &startup).await.unwrap();
    assert_eq!(by_startup.rows(V).await, ["day 2"]);
    by_startup.run("SET chronogate.as_of = ''").await;
    assert_eq!(by_startup.rows(V).await, ["day 3"]);
    by_startup.run("RESET chronogate.as_of; BEGIN; SET LOCAL chronogate.as_of = 'v2'").await;
    assert_eq!(by_startup.rows(V).await, ["day 1"]);
    by_startup.run("COMMIT").await;
    assert_eq!(by_startup.rows(V).await, ["day 2"]);
}

#[tokio::test]
async fn begin_as_of_pins_one_transaction() {
    let (_world, mut client) = with_days().await;
    for begin in ["BEGIN AS OF SYSTEM TIME '2024-01-01 12:00'", "BEGIN AS OF SYSTEM TIME '-30h'", "BEGIN AS OF SYSTEM TIME 'v2'"]
    {
        client.run(begin).await;
        assert_eq!(client.rows(V).await, ["day 1"], "{begin}");
        assert!(client.refused("DELETE FROM t").await.starts_with("25006"));
        client.run("ROLLBACK").await;
        assert_eq!(client.rows(V).await, ["day 3"]);
    }
    client.run("BEGIN AS OF SYSTEM TIME now() - interval '30 hours'").await;
    assert_eq!(client.rows(V).await, ["day 1"]);
    client.run("COMMIT").await;
    assert!(client.refused("BEGIN AS OF SYSTEM TIME '2100-01-01'").await.starts_with("22023"));
    assert_eq!(client.session.transaction_status(), TransactionStatus::Idle);
}

#[tokio::test]
async fn a_bad_time_at_the_start_is_fatal() {
    let (world, _) = with_days().await;
    for (database, code) in [("chronogate@2100-01-01", "22023"), ("chronogate@soon", "22007"), ("nowhere", "3D000")] {
        let error = world.open("chief", database, &[]).await.err().unwrap();
        assert_eq!((error.code().code(), error.fields().severity), (code, Severity::Fatal), "{database}");
    }
    let error = world.open("nobody", "chronogate", &[]).await.err().unwrap();
    assert_eq!(error.code(), SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    let error = world.open("chief", "chronogate", &[("no_such", "1")]).await.err().unwrap();
    assert_eq!(error.message(), "unrecognized configuration parameter \"no_such\"");
}

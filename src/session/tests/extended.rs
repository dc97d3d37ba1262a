//! The extended protocol's statements and portals, and PREPARE's.

use super::*;
use crate::types::PgType;

async fn with_table() -> (World, Client) {
    let world = World::new().await;
    let mut client = world.client().await;
    client.run("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')").await;
    (world, client)
}

impl Client {
    async fn bound(&mut self, values: &[&str], last: bool) -> Result<Answer> {
        let values: Vec<Option<Bytes>> = values.iter().map(|v| Some(Bytes::copy_from_slice(v.as_bytes()))).collect();
        self.session.bind("", "s", &[], &values, &[]).await?;
        let reply = if last { self.session.execute_last("").await? } else { self.session.execute("").await? };
        collect(reply).await
    }
}

#[tokio::test]
async fn a_statement_is_described_bound_and_executed() {
    let (_world, mut client) = with_table().await;
    client.session.parse("s", "SELECT v FROM t WHERE id = $1", &[]).await.unwrap();
    let described = client.session.describe_statement("s").unwrap();
    assert_eq!(described.parameters, [PgType::INT4.oid()]);
    assert_eq!(described.columns.unwrap()[0].name, "v");
    assert_eq!(client.bound(&["1"], true).await.unwrap(), ("SELECT 1".to_owned(), vec!["a".to_owned()]));
    assert_eq!(client.bound(&["2"], true).await.unwrap().0, "SELECT 0");
    assert_eq!(client.bound(&["one"], true).await.unwrap_err().code(), SqlState::INVALID_TEXT_REPRESENTATION);
    let error = client.bound(&[], true).await.unwrap_err();
    assert_eq!(error.message(), "bind message supplies 0 parameters, but prepared statement \"s\" requires 1");
}

#[tokio::test]
async fn names_are_given_once_and_missed_when_gone() {
    let (_world, mut client) = with_table().await;
    client.session.parse("s", "SELECT 1", &[]).await.unwrap();
    assert_eq!(client.session.parse("s", "SELECT 2", &[]).await.unwrap_err().code(), SqlState::DUPLICATE_PREPARED_STATEMENT);
    client.session.close_statement("s");
    let gone = client.session.describe_statement("s").unwrap_err();
    assert_eq!((gone.code().code(), gone.message()), ("26000", "prepared statement \"s\" does not exist"));
    assert_eq!(client.session.describe_portal("p").unwrap_err().code(), SqlState::INVALID_CURSOR_NAME);
    let two = client.session.parse("", "SELECT 1; SELECT 2", &[]).await.unwrap_err();
    assert_eq!(two.message(), "cannot insert multiple commands into a prepared statement");
}

#[tokio::test]
async fn a_cursor_takes_parameters_and_is_described_as_a_portal() {
    let (_world, mut client) = with_table().await;
    client.rows("BEGIN").await;
    client.session.parse("s", "DECLARE walk CURSOR FOR SELECT id AS n FROM t WHERE id <> $1", &[]).await.unwrap();
    assert_eq!(client.session.describe_statement("s").unwrap().parameters, [23]);
    client.bound(&["99"], false).await.unwrap();
    let (columns, formats) = client.session.describe_portal("walk").unwrap().unwrap();
    assert_eq!((columns[0].name.as_str(), &formats[..]), ("n", &[0][..]));
}

#[tokio::test]
async fn until_sync_everything_is_one_transaction() {
    let (world, mut client) = with_table().await;
    let mut other = world.client().await;
    client.session.parse("s", "INSERT INTO t VALUES ($1, 'x')", &[]).await.unwrap();
    client.bound(&["2"], false).await.unwrap();
    client.bound(&["3"], false).await.unwrap();
    assert_eq!(other.rows("SELECT count(*) FROM t").await, ["1"]);
    client.session.sync().await.unwrap();
    assert_eq!(other.rows("SELECT count(*) FROM t").await, ["3"]);
    client.bound(&["4"], false).await.unwrap();
    let error = client.bound(&["4"], false).await.unwrap_err();
    assert_eq!(error.code(), SqlState::UNIQUE_VIOLATION);
    client.session.failed(&error).await;
    client.session.sync().await.unwrap();
    assert_eq!(other.rows("SELECT count(*) FROM t").await, ["3"]);
    client.bound(&["5"], true).await.unwrap();
    assert_eq!(other.rows("SELECT count(*) FROM t").await, ["4"]);
}

#[tokio::test]
async fn a_statement_follows_definitions_but_keeps_its_columns() {
    let (_world, mut client) = with_table().await;
    client.session.parse("s", "SELECT v FROM t WHERE id = $1", &[]).await.unwrap();
    client.run("ALTER TABLE t ADD COLUMN w int DEFAULT 5").await;
    assert_eq!(client.bound(&["1"], true).await.unwrap().1, ["a"]);
    client.session.parse("star", "SELECT * FROM t", &[]).await.unwrap();
    client.run("ALTER TABLE t DROP COLUMN w").await;
    client.session.bind("", "star", &[], &[], &[]).await.unwrap();
    let error = client.session.execute_last("").await.unwrap_err();
    assert_eq!(error.message(), "cached plan must not change result type");
}

#[tokio::test]
async fn prepare_and_execute_share_names_with_the_protocol() {
    let (_world, mut client) = with_table().await;
    assert_eq!(client.tag("PREPARE s (int) AS SELECT v FROM t WHERE id = $1").await, "PREPARE");
    assert_eq!(client.rows("EXECUTE s(1)").await, ["a"]);
    assert_eq!(client.bound(&["1"], true).await.unwrap().1, ["a"]);
    assert!(client.refused("EXECUTE s").await.starts_with("42601"));
    assert_eq!(client.tag("DEALLOCATE s").await, "DEALLOCATE");
    assert_eq!(client.refused("EXECUTE s(1)").await, "26000 prepared statement \"s\" does not exist");
    client.run("PREPARE w (int) AS UPDATE t SET v = 'z' WHERE id = $1").await;
    assert_eq!(client.tag("EXECUTE w(1)").await, "UPDATE 1");
}

#[tokio::test]
async fn a_suspended_portal_goes_on_where_it_stopped() {
    let (_world, mut client) = with_table().await;
    client.run("INSERT INTO t SELECT n, 'r' FROM generate_series(2, 9) AS g(n); BEGIN").await;
    client.session.parse("s", "SELECT id FROM t ORDER BY id", &[]).await.unwrap();
    client.session.bind("p", "s", &[], &[], &[]).await.unwrap();
    let reply = client.session.execute("p").await.unwrap();
    client.session.suspend("p", reply);
    let reply = client.session.execute("p").await.unwrap();
    assert_eq!(collect(reply).await.unwrap().1.len(), 9);
    client.run("COMMIT").await;
    assert_eq!(client.session.execute("p").await.unwrap_err().code(), SqlState::INVALID_CURSOR_NAME);
}

#[tokio::test]
async fn show_has_columns_before_it_runs() {
    let (_world, mut client) = with_table().await;
    client.session.parse("s", "SHOW timezone", &[]).await.unwrap();
    assert_eq!(client.session.describe_statement("s").unwrap().columns.unwrap()[0].name, "TimeZone");
    assert_eq!(client.bound(&[], true).await.unwrap(), ("SHOW".to_owned(), vec!["UTC".to_owned()]));
    assert_eq!(client.session.parse("x", "SHOW no_such", &[]).await.unwrap_err().code(), SqlState::UNDEFINED_OBJECT);
}

#[tokio::test]
async fn fetch_and_move_take_rows_of_a_portal_that_bind_made() {
    let (_world, mut client) = with_table().await;
    client.rows("BEGIN").await;
    client.session.parse("s", "SELECT generate_series(1, $1::int)", &[]).await.unwrap();
    let ten = [Some(Bytes::from_static(b"10"))];
    client.session.bind("walk", "s", &[], &ten, &[]).await.unwrap();
    let rows = |numbers: &[i32]| numbers.iter().map(i32::to_string).collect::<Vec<_>>();
    assert_eq!(client.rows("FETCH 2 FROM walk").await, rows(&[1, 2]));
    client.run("MOVE FORWARD 3 IN walk").await;
    assert_eq!(client.rows("FETCH NEXT FROM walk").await, rows(&[6]));
    assert_eq!(client.refused("FETCH BACKWARD 1 FROM walk").await, "55000 cursor can only scan forward");
    client.run("ROLLBACK; BEGIN").await;
    client.session.parse("t", "SELECT generate_series(1, $1::int)", &[]).await.unwrap();
    client.session.bind("walk", "t", &[], &ten, &[]).await.unwrap();
    client.run("MOVE 8 FROM walk").await;
    // Execute goes on where MOVE stopped.
    let rest = client.session.execute("walk").await.unwrap();
    assert_eq!(collect(rest).await.unwrap().1, rows(&[9, 10]));
}

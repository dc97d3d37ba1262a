//! COPY in and out, and histories with their periods.

use super::*;

impl Client {
    async fn copy_in(&mut self, text: &str, data: &str) -> Result<String> {
        let statement = self.session.split(text)?.pop().unwrap();
        self.session.canceller();
        let Reply::CopyIn { mut sink, .. } = self.session.run(statement, true).await? else { panic!("{text} takes no data") };
        for chunk in data.as_bytes().chunks(7) {
            if let Err(error) = sink.data(Bytes::copy_from_slice(chunk)).await {
                sink.fail("refused").await;
                self.session.failed(&error).await;
                return Err(error);
            }
        }
        let done = sink.done().await;
        if let Err(error) = &done {
            self.session.failed(error).await;
        }
        done
    }
}

async fn with_table() -> (World, Client) {
    let world = World::new().await;
    let mut client = world.client().await;
    client.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    (world, client)
}

#[tokio::test]
async fn rows_go_in_and_come_out_in_both_formats() {
    let (_world, mut client) = with_table().await;
    assert_eq!(client.copy_in("COPY t FROM STDIN", "1\ta\\tb\n2\t\\N\n").await.unwrap(), "COPY 2");
    assert_eq!(
        client.copy_in("COPY t (v, id) FROM STDIN WITH (FORMAT csv, HEADER)", "v,id\n\"x,\"\"y\"\"\",3\n").await.unwrap(),
        "COPY 1"
    );
    assert_eq!(
        client.answer("COPY t TO STDOUT").await,
        ("COPY 3".to_owned(), vec!["1\ta\\tb".into(), "2\t\\N".into(), "3\tx,\"y\"".into()])
    );
    assert_eq!(
        client.rows("COPY (SELECT id, v FROM t WHERE id > 1 ORDER BY id) TO STDOUT (FORMAT csv, HEADER)").await,
        ["id,v", "2,", "3,\"x,\"\"y\"\"\""]
    );
}

#[tokio::test]
async fn a_bad_line_is_named_and_nothing_is_kept() {
    let (_world, mut client) = with_table().await;
    let error = client.copy_in("COPY t FROM STDIN", "1\ta\nx\tb\n").await.unwrap_err();
    assert_eq!(error.code(), SqlState::INVALID_TEXT_REPRESENTATION);
    assert_eq!(error.fields().context.as_deref(), Some("COPY t, line 2, column id: \"x\""));
    let error = client.copy_in("COPY t FROM STDIN", "1\ta\n2\n").await.unwrap_err();
    assert_eq!(error.message(), "missing data for column \"v\"");
    let error = client.copy_in("COPY t FROM STDIN", "1\ta\n1\tb\n").await.unwrap_err();
    assert_eq!(error.code(), SqlState::UNIQUE_VIOLATION);
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["0"]);
}

#[tokio::test]
async fn copy_is_part_of_a_block() {
    let (_world, mut client) = with_table().await;
    client.run("BEGIN").await;
    client.copy_in("COPY t FROM STDIN", "1\ta\n").await.unwrap();
    assert_eq!(client.rows("SELECT v FROM t").await, ["a"]);
    client.run("ROLLBACK").await;
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["0"]);
}

#[tokio::test]
async fn a_history_is_loaded_with_its_periods_in_one_commit() {
    let (_world, mut client) = with_table().await;
    client.run("SET chronogate.actor = 'loader'").await;
    let data = "1,a,2020-01-01,2021-01-01\n1,b,2021-01-01,\n2,c,2020-06-01,2020-07-01\n";
    let copy = "COPY t__history (id, v, _system_from, _system_to) FROM STDIN (FORMAT csv)";
    assert_eq!(client.copy_in(copy, data).await.unwrap(), "COPY 3");
    assert_eq!(client.rows("SELECT id, v FROM t").await, ["1|b"]);
    client.run("SET chronogate.as_of = '2020-06-15'").await;
    assert_eq!(client.rows("SELECT id, v FROM t ORDER BY id").await, ["1|a", "2|c"]);
    client.run("SET chronogate.as_of = ''").await;
    let overlapping = "3,a,2020-01-01,2021-01-01\n3,b,2020-06-01,\n";
    assert!(client.copy_in(copy, overlapping).await.is_err());
    assert_eq!(client.rows("SELECT count(*) FROM t").await, ["1"]);
    client.run("BEGIN").await;
    assert_eq!(client.copy_in(copy, data).await.unwrap_err().code(), SqlState::ACTIVE_SQL_TRANSACTION);
    client.run("ROLLBACK").await;
    let newest = client.session.database.snapshot().commit;
    let log: Vec<_> = client.session.database.commits(newest, newest).try_concat().await.unwrap();
    assert_eq!(log[0].context.actor.as_deref(), Some("loader"));
}

//! What one session may count on: errors with a place, messages from others, memory that ends a statement and
//! nothing else.

use std::time::Duration;

use futures::{SinkExt, StreamExt, future};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::harness::{TestServer, code, run};
use crate::raw::{Raw, bind, execute, parse, query, sync, tags};

/// The position field of the error that a text gives, 0 when it has none.
async fn position(raw: &mut Raw, extended: bool, sql: &str) -> (String, usize) {
    let said = if extended { raw.extended(sql).await } else { raw.simple(sql).await };
    let error = said.iter().find_map(|m| m.error()).unwrap_or_else(|| panic!("{sql} gave no error"));
    (error.code().to_owned(), error.field('P').parse().unwrap_or(0))
}

#[test]
fn errors_say_where_in_the_text_they_are() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("CREATE TABLE t (a int PRIMARY KEY, b text)").await;
        // Places are those that PostgreSQL 15 gives.
        let cases = [
            ("SELECT x FROM t", "42703", 8),
            ("SELECT 'äöü €', x FROM t", "42703", 17),
            ("SELECT a FROM t WHERE t.x = 1", "42703", 23),
            ("SELECT * FROM nowhere", "42P01", 15),
            ("SELECT * FROM public.nowhere", "42P01", 15),
            ("SELECT u.a FROM t", "42P01", 8),
            ("SELECT 1, missing(1)", "42883", 11),
            ("SELECT 'a'::text = true", "42883", 18),
            ("SELECT 'é', 'abc'::int", "22P02", 13),
            ("INSERT INTO t (a, x) VALUES (1, 2)", "42703", 19),
            ("INSERT INTO t VALUES ('abc', 'x')", "22P02", 23),
            ("UPDATE t SET x = 1", "42703", 14),
            ("DELETE FROM t WHERE x = 1", "42703", 21),
            ("SELECT 1/0", "22012", 0),
            ("SELEC 1", "42601", 1),
        ];
        for (sql, wanted, place) in cases {
            for extended in [false, true] {
                assert_eq!(position(&mut raw, extended, sql).await, (wanted.to_owned(), place), "{sql}");
            }
        }
        // In a later statement of a text, counted from the beginning of the text.
        let second = position(&mut raw, false, "SELECT 'é'; SELECT x FROM t").await;
        assert_eq!(second, ("42703".to_owned(), 20));
        server.stop().await;
    });
}

#[test]
fn notifications_reach_listeners_when_their_transaction_commits() {
    run(async {
        let server = TestServer::start().await;
        let (listener, mut connection) = server.config().connect(NoTls).await.expect("connects");
        let (mut sender, mut receiver) = futures::channel::mpsc::unbounded();
        tokio::spawn(async move {
            let messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
            messages
                .for_each(|message| {
                    if let Ok(AsyncMessage::Notification(n)) = message {
                        let _ = sender.start_send_unpin((n.channel().to_owned(), n.payload().to_owned()));
                    }
                    future::ready(())
                })
                .await;
        });
        let other = server.connect().await;
        listener.batch_execute("LISTEN orders; LISTEN \"Mixed\"").await.expect("listens");
        other.batch_execute("BEGIN; NOTIFY orders, 'early'").await.expect("sends");
        other.batch_execute("SAVEPOINT s; NOTIFY orders, 'undone'; ROLLBACK TO s").await.expect("goes back");
        assert!(tokio::time::timeout(Duration::from_millis(200), receiver.next()).await.is_err(), "sent before the commit");
        other.batch_execute("NOTIFY orders, 'early'; SELECT pg_notify('Mixed', 'm'); COMMIT").await.expect("commits");
        other.batch_execute("BEGIN; NOTIFY orders, 'never'; ROLLBACK").await.expect("rolls back");
        other.batch_execute("NOTIFY unheard, 'x'; NOTIFY orders").await.expect("sends");
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(tokio::time::timeout(Duration::from_secs(20), receiver.next()).await.expect("in time").expect("one"));
        }
        let told = |channel: &str, payload: &str| (channel.to_owned(), payload.to_owned());
        assert_eq!(heard, [told("orders", "early"), told("Mixed", "m"), told("orders", "")]);
        // Within a transaction nothing is told; after it everything is, and after UNLISTEN nothing.
        listener.batch_execute("BEGIN").await.expect("begins");
        other.batch_execute("NOTIFY orders, 'later'").await.expect("sends");
        assert!(tokio::time::timeout(Duration::from_millis(200), receiver.next()).await.is_err(), "told in a transaction");
        listener.batch_execute("COMMIT").await.expect("commits");
        assert_eq!(receiver.next().await, Some(told("orders", "later")));
        listener.batch_execute("UNLISTEN *; NOTIFY orders, 'gone'").await.expect("sends");
        assert!(tokio::time::timeout(Duration::from_millis(200), receiver.next()).await.is_err(), "told after UNLISTEN");
        server.stop().await;
    });
}

#[test]
fn a_session_hears_itself_before_it_is_ready() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        assert_eq!(tags(&raw.simple("LISTEN x").await), "CZ");
        assert_eq!(tags(&raw.simple("NOTIFY x, 'p'").await), "CAZ");
        assert_eq!(tags(&raw.extended("NOTIFY x").await), "12nCAZ");
        server.stop().await;
    });
}

#[test]
fn a_statement_beyond_the_memory_limit_fails_alone_and_gives_it_back() {
    run(async {
        let server = TestServer::start_with(|settings| settings.limits.memory_limit_bytes = 16 << 20).await;
        let (greedy, other) = (server.connect().await, server.connect().await);
        greedy.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.expect("creates");
        let sql = "SELECT length(string_agg(repeat('x', 1000) || i, '')) FROM generate_series(1, 100000) AS g(i)";
        for round in 0..3 {
            assert_eq!(code(greedy.query(sql, &[]).await), "53200", "round {round}");
            assert_eq!(other.query_one("SELECT 1", &[]).await.expect("unharmed").get::<_, i32>(0), 1);
        }
        // What a transaction writes counts too, and comes back whole when it is over.
        for round in 0..2 {
            let copied = copy(&greedy, 40_000).await;
            assert_eq!(code(copied), "53200", "round {round}");
            assert_eq!(other.query_one("SELECT count(*) FROM t", &[]).await.expect("unharmed").get::<_, i64>(0), 0);
        }
        assert_eq!(copy(&greedy, 4_000).await.expect("fits"), 4_000);
        greedy.batch_execute("DELETE FROM t").await.expect("fits");
        let fill = "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) AS g(i)";
        assert_eq!(code(greedy.batch_execute(fill).await), "53200");
        greedy.batch_execute("INSERT INTO t VALUES (1, 'a')").await.expect("goes on");
        // A cursor that keeps its rows.
        greedy.batch_execute("BEGIN").await.expect("begins");
        let declare = "DECLARE c SCROLL CURSOR FOR SELECT repeat('x', 1000) || i FROM generate_series(1, 100000) AS g(i)";
        greedy.batch_execute(declare).await.expect("declares");
        assert_eq!(code(greedy.batch_execute("MOVE ALL FROM c").await), "53200");
        greedy.batch_execute("ROLLBACK").await.expect("ends");
        assert_eq!(copy(&greedy, 4_000).await.map_err(|e| e.code().map(|c| c.code().to_owned())), Err(Some("23505".to_owned())));
        server.stop().await;
    });
}

async fn copy(client: &tokio_postgres::Client, rows: u32) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in("COPY t FROM STDIN").await?;
    let mut sink = std::pin::pin!(sink);
    let value = "v".repeat(1000);
    for first in (1..=rows).step_by(1000) {
        let chunk: String = (first..first + 1000).map(|id| format!("{id}\t{value}\n")).collect();
        sink.send(bytes::Bytes::from(chunk)).await?;
    }
    sink.finish().await
}

#[test]
fn a_value_of_ten_megabytes_goes_in_and_comes_out() {
    run(async {
        let server = TestServer::start().await;
        let client = server.connect().await;
        client.batch_execute("CREATE TABLE big (id int PRIMARY KEY, v text, b bytea)").await.expect("creates");
        let text = "0123456789äöü€".repeat(10 << 20 >> 4);
        let bytes: Vec<u8> = text.bytes().rev().collect();
        client.execute("INSERT INTO big VALUES (1, $1, $2)", &[&text, &bytes]).await.expect("goes in");
        let row = client.query_one("SELECT v, b, length(v) FROM big", &[]).await.expect("comes out");
        assert!(row.get::<_, String>(0) == text && row.get::<_, Vec<u8>>(1) == bytes);
        assert_eq!(row.get::<_, i32>(2) as usize, text.chars().count());
        let literal = format!("UPDATE big SET v = '{}' WHERE id = 1", text.replace('0', "-"));
        client.batch_execute(&literal).await.expect("goes in as a literal");
        let row =
            client.query_one("SELECT v FROM big FOR SYSTEM_TIME ALL ORDER BY _version DESC LIMIT 1", &[]).await.expect("row");
        assert!(row.get::<_, String>(0) == text.replace('0', "-"));
        server.stop().await;
    });
}

#[test]
fn a_cursor_of_another_format_and_a_portal_share_their_names() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("BEGIN").await;
        raw.simple("DECLARE c BINARY CURSOR FOR SELECT 258").await;
        let said = raw.simple("FETCH c").await;
        let row = said.iter().find(|m| m.tag == 'D').expect("a row");
        assert_eq!(row.body[2..], [0, 0, 0, 4, 0, 0, 1, 2]);
        raw.send(&[parse("", "SELECT 1"), bind("c", "", &[]), execute("c", 0), sync()].concat()).await;
        assert_eq!(raw.until_ready().await.iter().find_map(|m| m.error()).expect("an error").code(), "42P03");
        raw.send(&query("ROLLBACK")).await;
        raw.until_ready().await;
        server.stop().await;
    });
}

#[test]
fn counters_behind_a_row_lock_or_an_advisory_lock_lose_nothing() {
    run(async {
        let server = TestServer::start().await;
        let first = server.connect().await;
        first.batch_execute("CREATE TABLE c (id int PRIMARY KEY, n int)").await.expect("creates");
        first.batch_execute("INSERT INTO c VALUES (1, 0), (2, 0)").await.expect("inserts");
        let (workers, rounds) = (6, 10);
        let locked = "BEGIN; SELECT n FROM c WHERE id = 1 FOR UPDATE; UPDATE c SET n = n + 1 WHERE id = 1; COMMIT";
        let advised =
            "SELECT pg_advisory_lock(1); BEGIN; UPDATE c SET n = n + 1 WHERE id = 2; COMMIT; SELECT pg_advisory_unlock(1)";
        let work = (0..workers).map(|_| async {
            let client = server.connect().await;
            for _ in 0..rounds {
                // One message each: the transaction begins where its lock is taken.
                for statement in locked.split("; ").chain(advised.split("; ")) {
                    client.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
                }
            }
        });
        future::join_all(work).await;
        let rows = first.query("SELECT n FROM c ORDER BY id", &[]).await.expect("rows");
        assert_eq!(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), [workers * rounds; 2]);
        server.stop().await;
    });
}

#[test]
fn two_that_wait_for_each_other_do_not_wait_for_ever() {
    run(async {
        let server = TestServer::start().await;
        let (a, b) = (server.connect().await, server.connect().await);
        a.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.expect("creates");
        a.batch_execute("INSERT INTO t VALUES (1), (2)").await.expect("inserts");
        for (client, id) in [(&a, 1), (&b, 2)] {
            client.batch_execute("BEGIN").await.expect("begins");
            client.batch_execute(&format!("SELECT * FROM t WHERE id = {id} FOR UPDATE")).await.expect("locks");
        }
        let waits = async {
            let got = a.batch_execute("SELECT * FROM t WHERE id = 2 FOR UPDATE").await;
            a.batch_execute("ROLLBACK").await.expect("ends");
            code(got)
        };
        let closes = async {
            let got = b.batch_execute("SELECT * FROM t WHERE id = 1 FOR UPDATE").await;
            b.batch_execute("ROLLBACK").await.expect("ends");
            code(got)
        };
        let (one, other) = future::join(waits, closes).await;
        let mut codes = [one, other];
        codes.sort();
        assert_eq!(codes, ["00000", "40P01"]);
        server.stop().await;
    });
}

#[test]
fn a_session_that_another_ends_is_told_so() {
    run(async {
        let server = TestServer::start().await;
        let other = server.connect().await;
        // One that does nothing, one in a transaction, one that runs a statement.
        for occupied in [None, Some("BEGIN"), Some("SELECT pg_sleep(30)")] {
            let victim = server.connect().await;
            let pid: i32 = victim.query_one("SELECT pg_backend_pid()", &[]).await.expect("answers").get(0);
            let running = async {
                match occupied {
                    Some("BEGIN") => victim.batch_execute("BEGIN").await,
                    Some(statement) => victim.batch_execute(statement).await,
                    None => Ok(()),
                }
            };
            let ending = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let row = other.query_one("SELECT pg_terminate_backend($1)", &[&pid]).await.expect("answers");
                assert!(row.get::<_, bool>(0));
            };
            let (ran, ()) = tokio::join!(running, ending);
            if occupied == Some("SELECT pg_sleep(30)") {
                assert_eq!(code(ran), "57P01");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(victim.batch_execute("SELECT 1").await.is_err(), "{occupied:?} is still there");
        }
        let gone = other.query_one("SELECT pg_terminate_backend(2147483647)", &[]).await.expect("answers");
        assert!(!gone.get::<_, bool>(0));
        server.stop().await;
    });
}

#[test]
fn rows_that_fail_undo_what_came_before_them() {
    run(async {
        let server = TestServer::start().await;
        let client = server.connect().await;
        client.batch_execute("CREATE TABLE undone (a int)").await.expect("made");
        let failing = "SELECT 1 / a FROM (VALUES (1), (0)) v(a)";
        let together = format!("INSERT INTO undone VALUES (1); {failing}");
        assert_eq!(code(client.batch_execute(&together).await), "22012");
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        let asked = |sql: &str| [parse("", sql), bind("", "", &[]), execute("", 0)].concat();
        raw.send(&[asked("INSERT INTO undone VALUES (2)"), asked(failing), sync()].concat()).await;
        let answers = raw.until_ready().await;
        assert_eq!(answers.iter().find_map(|m| m.error()).expect("an error").code(), "22012");
        let count = async || client.query_one("SELECT count(*) FROM undone", &[]).await.expect("counted").get::<_, i64>(0);
        assert_eq!(count().await, 0);
        client.batch_execute("INSERT INTO undone VALUES (3); SELECT a FROM undone").await.expect("both");
        assert_eq!(count().await, 1);
        raw.send(&[asked("INSERT INTO undone VALUES (4)"), asked("SELECT a FROM undone"), sync()].concat()).await;
        assert!(raw.until_ready().await.iter().all(|message| message.error().is_none()));
        assert_eq!(count().await, 2);
        let long = format!("SELECT 1{}", " + 1".repeat(5000));
        assert_eq!(code(client.batch_execute(&long).await), "54001");
        server.stop().await;
    });
}

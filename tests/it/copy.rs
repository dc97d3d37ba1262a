//! `chronogate copy` between data directories: what is asked of the copy is answered as it was by the original, also when the
//! copy was killed on its way.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::harness::{TestServer, code, connect, run};

/// Everything that definitions, rows and their past can have.
const MADE: &str = "
    CREATE ROLE ann LOGIN;
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE customer (id int PRIMARY KEY, email text UNIQUE, mood mood DEFAULT 'glad');
    CREATE TABLE orders (id serial PRIMARY KEY, customer_id int REFERENCES customer ON DELETE CASCADE, total numeric, doc jsonb);
    CREATE INDEX ON orders (customer_id);
    CREATE UNIQUE INDEX ON customer (lower(email)) WHERE mood = 'glad';
    CREATE TABLE nokey (a int, b text[]);
    CREATE TABLE gone (a int PRIMARY KEY);
    CREATE TABLE loaded (id int PRIMARY KEY, v text);
    CREATE SEQUENCE numbers START 100;
    CREATE VIEW busy AS SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id;
    GRANT SELECT ON customer TO ann;
    INSERT INTO gone VALUES (1), (2);
    DROP TABLE gone;
    SET chronogate.actor = 'tester'; SET chronogate.reason = 'a copy';
    INSERT INTO customer SELECT i, 'C' || i || '@example.org' FROM generate_series(1, 50) i;
    INSERT INTO orders (customer_id, total, doc) SELECT 1 + i % 50, i * 1.25, jsonb_build_object('n', i) FROM generate_series(1, 500) i;
    UPDATE orders SET total = total + 1 WHERE id % 3 = 0;
    UPDATE customer SET email = NULL, mood = 'sad' WHERE id % 7 = 0;
    DELETE FROM customer WHERE id = 10;
    INSERT INTO customer VALUES (10, 'again@example.org');
    INSERT INTO nokey SELECT i, ARRAY[i::text] FROM generate_series(1, 20) i;
    TRUNCATE nokey;
    INSERT INTO nokey VALUES (1, '{x,y}');
    ALTER TABLE orders ADD COLUMN note text DEFAULT 'none';
    UPDATE orders SET note = 'seen' WHERE id < 10;
    SELECT nextval('numbers'), nextval('numbers')";

const ASKED: [&str; 14] = [
    "SELECT * FROM customer ORDER BY id",
    "SELECT *, _version, _commit, _op, _system_from, _system_to, _end_op, _end_commit, _actor, _reason FROM customer__history ORDER BY id, _version",
    "SELECT *, _version, _commit, _op, _system_from, _system_to, _end_op, _end_commit FROM orders__history ORDER BY id, _version",
    "SELECT *, _version, _op, _system_from, _system_to, _end_op FROM nokey__history ORDER BY a, _system_from",
    "SELECT *, _version, _op, _system_from, _system_to, _end_op, _commit FROM loaded__history ORDER BY id, _system_from",
    "SELECT * FROM chronogate.commits ORDER BY commit",
    "SELECT * FROM busy ORDER BY 1",
    "SELECT count(*), sum(total) FROM orders WHERE customer_id = 4",
    "SELECT id FROM customer WHERE email = 'C3@example.org'",
    "SELECT a FROM gone FOR SYSTEM_TIME AS OF 12 ORDER BY a",
    "SELECT datname FROM pg_database ORDER BY 1",
    "SELECT rolname, rolcanlogin FROM pg_roles ORDER BY 1",
    "SELECT relname, relkind, oid FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT has_table_privilege('ann', 'customer', 'SELECT'), has_table_privilege('ann', 'orders', 'SELECT')",
];

async fn rows(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
        _ => None,
    });
    rows.collect()
}

async fn answers(client: &Client) -> Vec<Vec<Vec<Option<String>>>> {
    let mut answers = Vec::new();
    for sql in ASKED {
        answers.push(rows(client, sql).await);
    }
    answers
}

async fn serve(data: &Path) -> TestServer {
    TestServer::start_with(|settings| settings.data = data.to_owned()).await
}

fn command(from: &Path, to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronogate"));
    command.arg("copy").arg("--from").arg(from).arg("--to").arg(to).stdin(Stdio::null());
    command
}

async fn copied(from: &Path, to: &Path) -> Output {
    let mut command = command(from, to);
    tokio::task::spawn_blocking(move || command.output().expect("the binary runs")).await.expect("no panic")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A directory with two databases, and what is answered there.
async fn original(data: &Path) -> Vec<Vec<Vec<Option<String>>>> {
    let server = serve(data).await;
    let client = server.connect().await;
    for statement in MADE.split(';') {
        client.simple_query(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    let copy = client.copy_in("COPY loaded__history (id, v, _system_from, _system_to) FROM STDIN").await.expect("begun");
    let mut copy = std::pin::pin!(copy);
    let lines = "1\ta\t2001-01-01\t2002-01-01\n1\tb\t2002-01-01\t2003-01-01\n2\tc\t2001-05-01\t\\N\n";
    futures::SinkExt::send(&mut copy, bytes::Bytes::from(lines)).await.expect("sent");
    assert_eq!(copy.finish().await.expect("loaded"), 3);
    client.batch_execute("CREATE DATABASE second").await.expect("made");
    let second = connect(server.config().dbname("second")).await.expect("connects");
    second.batch_execute("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (7)").await.expect("made");
    let answers = answers(&client).await;
    assert!(answers.iter().all(|answer| !answer.is_empty()), "{answers:?}");
    drop((client, second));
    server.stop().await;
    answers
}

#[test]
fn a_copied_directory_answers_as_the_original() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let before = original(&from).await;
        let output = copied(&from, &to).await;
        assert!(output.status.success(), "{}", said(&output));
        let told = String::from_utf8(output.stdout.clone()).expect("UTF-8");
        for table in ["chronogate.public.customer: 58 states, 50 of the present, checksum ", "second.public.t: 1 states, 1 of"] {
            assert!(told.contains(table), "{table:?} is not in\n{told}");
        }
        let server = serve(&to).await;
        let client = server.connect().await;
        for ((sql, before), after) in ASKED.iter().zip(before).zip(answers(&client).await) {
            assert_eq!(after, before, "{sql}");
        }
        let second = connect(server.config().dbname("second")).await.expect("connects");
        assert_eq!(rows(&second, "SELECT a FROM t").await, [[Some("7".to_owned())]]);
        // It goes on as the original would have: numbers, references, unique values.
        assert_eq!(rows(&client, "SELECT nextval('numbers') > 101").await, [[Some("t".to_owned())]]);
        assert_eq!(code(client.batch_execute("INSERT INTO customer VALUES (99, 'C3@example.org')").await), "23505");
        assert_eq!(code(client.batch_execute("INSERT INTO customer VALUES (99, 'c3@EXAMPLE.org')").await), "23505");
        assert_eq!(code(client.batch_execute("INSERT INTO orders (customer_id) VALUES (1000)").await), "23503");
        client
            .batch_execute("INSERT INTO orders (customer_id) VALUES (1); DELETE FROM customer WHERE id = 1")
            .await
            .expect("written");
        assert_eq!(rows(&client, "SELECT count(*) FROM orders WHERE customer_id = 1").await, [[Some("0".to_owned())]]);
        // Neither a directory in use nor one with something in it is taken.
        let output = copied(&to, &folder.path().join("third")).await;
        assert!(!output.status.success() && said(&output).contains("is in use by another process"), "{}", said(&output));
        drop((client, second));
        server.stop().await;
        let output = copied(&from, &to).await;
        assert!(
            !output.status.success() && said(&output).contains("is not empty and is no unfinished copy of"),
            "{}",
            said(&output)
        );
        let output = copied(&folder.path().join("nothing"), &folder.path().join("fourth")).await;
        assert!(!output.status.success() && said(&output).contains("is neither a data directory nor"), "{}", said(&output));
    });
}

#[test]
fn a_copy_that_was_killed_goes_on() {
    run(async {
        let folder = tempfile::tempdir().expect("a folder");
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let server = serve(&from).await;
        let client = server.connect().await;
        client.batch_execute("CREATE TABLE t (a int PRIMARY KEY, b text)").await.expect("made");
        let insert = "INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, 60000) i";
        client.batch_execute(insert).await.expect("inserted");
        client.batch_execute("UPDATE t SET b = 'y' WHERE a % 2 = 0").await.expect("updated");
        let asked = "SELECT count(*), sum(a), max(_commit), min(_system_from) FROM t__history";
        let before = rows(&client, asked).await;
        drop(client);
        server.stop().await;
        // Killed whenever it has come a little further.
        let unfinished = || {
            let files = std::fs::read_dir(&to).into_iter().flatten().flatten();
            let sizes = files.filter(|file| file.file_name().to_string_lossy().contains(".copying"));
            sizes.map(|file| file.metadata().map_or(0, |facts| facts.len())).sum::<u64>()
        };
        let mut kills = 0;
        for _ in 0..3 {
            let had = unfinished();
            let mut child = command(&from, &to).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
            let begun = Instant::now();
            while unfinished() < had + 500_000 && child.try_wait().expect("a child").is_none() {
                assert!(begun.elapsed() < Duration::from_secs(60), "it does not copy");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            child.kill().expect("killed");
            if child.wait().expect("a child").success() {
                break;
            }
            kills += 1;
        }
        assert!(kills > 0 && unfinished() > 0, "it was too quick to be killed");
        let mut served = Command::new(env!("CARGO_BIN_EXE_chronogate"));
        let refused = served.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&to).output().expect("the binary runs");
        assert!(!refused.status.success() && said(&refused).contains("is an unfinished copy of"), "{}", said(&refused));
        let output = copied(&from, &to).await;
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("chronogate.public.t: 90000 states, 60000 of the present"), "{}", said(&output));
        let server = serve(&to).await;
        let client = server.connect().await;
        assert_eq!(rows(&client, asked).await, before);
        drop(client);
        server.stop().await;
    });
}

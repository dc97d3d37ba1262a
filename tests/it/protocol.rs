//! The protocol itself: what is said in which order, and what becomes of those who break it.

use std::time::{Duration, Instant};

use crate::harness::{TestServer, run};
use crate::raw::{Raw, bind, describe, execute, message, parse, query, sync, tags};

#[test]
fn a_simple_query_answers_every_statement_in_order() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        let said =
            raw.simple("CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL); TABLE t").await;
        assert_eq!(tags(&said), "CCTDCZ");
        let commands: Vec<String> = said.iter().filter(|m| m.tag == 'C').map(|m| m.command()).collect();
        assert_eq!(commands, ["CREATE TABLE", "INSERT 0 2", "SELECT 2"]);
        let rows = raw.rows("SELECT a, b FROM t ORDER BY a").await.expect("rows");
        assert_eq!(rows, [[Some("1".to_owned()), Some("x".to_owned())], [Some("2".to_owned()), None]]);
        server.stop().await;
    });
}

#[test]
fn an_empty_query_is_answered_as_such() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        assert_eq!(tags(&raw.simple("").await), "IZ");
        assert_eq!(tags(&raw.simple(" -- nothing\n;").await), "IZ");
        assert_eq!(tags(&raw.extended("").await), "12nIZ");
        server.stop().await;
    });
}

#[test]
fn an_error_stops_a_simple_query_and_undoes_what_came_before_it() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("CREATE TABLE t (a int PRIMARY KEY)").await;
        let said = raw.simple("INSERT INTO t VALUES (1); SELECT nonsense; INSERT INTO t VALUES (2)").await;
        assert_eq!(tags(&said), "CEZ");
        let error = said[1].error().expect("an error");
        assert_eq!((error.code(), error.field('S'), error.field('V')), ("42703", "ERROR", "ERROR"));
        assert_eq!(said[2].body, b"I");
        assert_eq!(raw.rows("SELECT count(*) FROM t").await.expect("rows"), [[Some("0".to_owned())]]);
        server.stop().await;
    });
}

#[test]
fn ready_for_query_tells_where_the_transaction_is() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        for (sql, status) in
            [("BEGIN", b"T"), ("SELECT 1", b"T"), ("SELECT nonsense", b"E"), ("SELECT 1", b"E"), ("ROLLBACK", b"I")]
        {
            let said = raw.simple(sql).await;
            assert_eq!(said.last().expect("ready").body, status, "{sql}");
        }
        server.stop().await;
    });
}

#[test]
fn pipelined_messages_are_answered_in_order_and_an_error_skips_to_sync() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        let one = [parse("", "SELECT 1"), bind("", "", &[]), execute("", 0)].concat();
        let bad = [parse("", "SELECT nonsense"), bind("", "", &[]), execute("", 0)].concat();
        raw.send(&[one.clone(), one.clone(), sync(), one.clone(), bad, one.clone(), sync(), one, sync()].concat()).await;
        assert_eq!(tags(&raw.until_ready().await), "12DC12DCZ");
        assert_eq!(tags(&raw.until_ready().await), "12DCEZ");
        assert_eq!(tags(&raw.until_ready().await), "12DCZ");
        server.stop().await;
    });
}

#[test]
fn a_portal_gives_its_rows_in_parts() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("BEGIN").await;
        let begin = [parse("s", "SELECT * FROM generate_series(1, 5)"), bind("p", "s", &[])].concat();
        raw.send(&[begin, execute("p", 2), execute("p", 2), execute("p", 2), sync()].concat()).await;
        let said = raw.until_ready().await;
        assert_eq!(tags(&said), "12DsDsDCZ");
        let values: Vec<_> = said.iter().filter(|m| m.tag == 'D').flat_map(|m| m.row()).flatten().collect();
        assert_eq!(values, ["1", "2", "3", "4", "5"]);
        let command = said.iter().find(|m| m.tag == 'C').expect("complete").command();
        assert_eq!(command, "SELECT 1", "the tag counts the rows of its own Execute");
        server.stop().await;
    });
}

#[test]
fn describe_tells_parameters_and_columns() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("CREATE TABLE t (a int PRIMARY KEY, b varchar(7))").await;
        let ask = [parse("s", "SELECT b FROM t WHERE a = $1"), describe('S', "s"), sync()].concat();
        raw.send(&ask).await;
        let said = raw.until_ready().await;
        assert_eq!(tags(&said), "1tTZ");
        assert_eq!(said[1].body, [&1i16.to_be_bytes()[..], &23i32.to_be_bytes()].concat());
        let field = &said[2].body[4..];
        assert_eq!(&said[2].body[2..4], b"b\0");
        assert_eq!(i32::from_be_bytes(field[6..10].try_into().unwrap()), 1043, "varchar");
        assert_eq!(i32::from_be_bytes(field[12..16].try_into().unwrap()), 11, "its modifier");
        server.stop().await;
    });
}

#[test]
fn flush_sends_what_is_there() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.send(&[parse("", "SELECT 1"), message('H', &[])].concat()).await;
        assert_eq!(raw.next().await.expect("an answer").tag, '1');
        raw.send(&sync()).await;
        assert_eq!(tags(&raw.until_ready().await), "Z");
        server.stop().await;
    });
}

#[test]
fn text_that_is_not_utf8_is_an_error_of_its_message_only() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.send(&message('Q', b"SELECT '\xff'\0")).await;
        let said = raw.until_ready().await;
        assert_eq!(tags(&said), "EZ");
        assert_eq!(said[0].error().expect("an error").code(), "22021");
        raw.send(&[message('P', b"\0SELECT '\xff'\0\0\0"), bind("", "", &[]), sync()].concat()).await;
        assert_eq!(tags(&raw.until_ready().await), "EZ");
        assert_eq!(tags(&raw.simple("SELECT 1").await), "TDCZ");
        server.stop().await;
    });
}

/// Each of these ends its connection with a FATAL error and does nothing to any other.
#[test]
fn a_malformed_message_ends_its_own_connection() {
    run(async {
        let server = TestServer::start_with(|settings| settings.limits.max_message_bytes = 1 << 20).await;
        let mut other = Raw::connect(server.address(), "chronogate").await.expect("connects");
        let oversized = [&b"Q"[..], &(2i32 << 20).to_be_bytes()].concat();
        for (what, bytes, code) in [
            ("an unknown type", message('~', b"x"), "08P01"),
            ("a negative length", b"Q\xff\xff\xff\xff".to_vec(), "08P01"),
            ("a length below its own size", b"Q\0\0\0\x03".to_vec(), "08P01"),
            ("a length above the limit", oversized, "54000"),
            ("a string without end", message('Q', b"SELECT 1"), "08P01"),
            ("bytes behind a Sync", message('S', b"x"), "08P01"),
            ("more parameters than bytes", message('B', b"\0\0\0\0\x7f\xff"), "08P01"),
            ("a parameter longer than the message", message('B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"), "08P01"),
            ("a Describe of nothing", message('D', b"?\0"), "08P01"),
            ("a password out of turn", message('p', b"x\0"), "08P01"),
        ] {
            let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
            raw.send(&bytes).await;
            let said = raw.rest().await;
            let error = said.first().and_then(|m| m.error()).unwrap_or_else(|| panic!("{what}: {said:?}"));
            assert_eq!((error.code(), error.field('S'), said.len()), (code, "FATAL", 1), "{what}");
            assert_eq!(tags(&other.simple("SELECT 1").await), "TDCZ", "{what}");
        }
        server.stop().await;
    });
}

#[test]
fn a_malformed_start_is_refused() {
    run(async {
        let server = TestServer::start().await;
        for (what, bytes) in [
            ("another protocol", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
            ("an oversized packet", [&20_000i32.to_be_bytes()[..], &196_608i32.to_be_bytes()].concat()),
            ("a packet below its own size", [&4i32.to_be_bytes()[..], &196_608i32.to_be_bytes()].concat()),
            ("protocol 2", [&9i32.to_be_bytes()[..], &(2i32 << 16).to_be_bytes(), b"\0"].concat()),
            ("no user", [&9i32.to_be_bytes()[..], &196_608i32.to_be_bytes(), b"\0"].concat()),
            ("a name without end", [&12i32.to_be_bytes()[..], &196_608i32.to_be_bytes(), b"user"].concat()),
        ] {
            let mut raw = Raw::open(server.address()).await;
            raw.send(&bytes).await;
            let said = raw.rest().await;
            let error = said.first().and_then(|m| m.error());
            assert!(error.as_ref().is_some_and(|e| e.field('S') == "FATAL"), "{what}: {said:?}");
        }
        let mut silent = Raw::open(server.address()).await;
        silent.send(&[0, 0]).await;
        assert_eq!(tags(&Raw::connect(server.address(), "chronogate").await.expect("connects").simple("SELECT 1").await), "TDCZ");
        server.stop().await;
    });
}

#[test]
fn a_newer_protocol_is_negotiated_down() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::open(server.address()).await;
        let body = [&(196_608i32 + 9999).to_be_bytes()[..], b"user\0chronogate\0_pq_.new\0on\0\0"].concat();
        raw.send(&[&(body.len() as i32 + 4).to_be_bytes()[..], &body].concat()).await;
        let said = raw.until_ready().await;
        assert_eq!(said[0].tag, 'v');
        assert!(said[0].body.ends_with(b"_pq_.new\0"));
        let key = said.iter().find(|m| m.tag == 'K').expect("a key");
        assert_eq!(key.body.len(), 4 + 32);
        server.stop().await;
    });
}

#[test]
fn a_cancel_request_stops_the_statement_and_needs_the_secret() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        let (pid, secret) = (raw.pid, raw.secret.clone());
        let address = server.address();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            for secret in [b"none".to_vec(), secret] {
                let body = [&80_877_102i32.to_be_bytes()[..], &pid.to_be_bytes(), &secret].concat();
                let mut cancel = Raw::open(address).await;
                cancel.send(&[&(body.len() as i32 + 4).to_be_bytes()[..], &body].concat()).await;
                assert!(cancel.rest().await.is_empty());
            }
        });
        let began = Instant::now();
        let said = raw.simple(ENDLESS).await;
        assert!(began.elapsed() < Duration::from_secs(20));
        let error = said.iter().find_map(|m| m.error()).expect("an error");
        assert_eq!((error.code(), error.field('M')), ("57014", "canceling statement due to user request"));
        assert_eq!(tags(&raw.simple("SELECT 1").await), "TDCZ");
        server.stop().await;
    });
}

/// Sends rows for much longer than any test waits.
const ENDLESS: &str = "SELECT a.n + b.n FROM generate_series(1, 100000) AS a(n), generate_series(1, 100000) AS b(n)";

#[test]
fn a_statement_timeout_reaches_rows_that_are_being_sent() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("SET statement_timeout = '3s'").await;
        let began = Instant::now();
        raw.send(&query(ENDLESS)).await;
        let (mut rows, mut error) = (0u64, None);
        while let Some(message) = raw.next().await {
            match message.tag {
                'D' => rows += 1,
                'Z' => break,
                _ => error = error.or(message.error()),
            }
        }
        assert!(rows > 0, "rows were being sent");
        let error = error.expect("an error");
        assert_eq!((error.code(), error.field('M')), ("57014", "canceling statement due to statement timeout"));
        assert!(began.elapsed() < Duration::from_secs(20));
        raw.simple("SET statement_timeout = 0").await;
        assert_eq!(tags(&raw.simple("SELECT 1").await), "TDCZ");
        server.stop().await;
    });
}

#[test]
fn the_servers_time_limit_is_a_default_that_a_role_and_a_session_may_change() {
    run(async {
        let server = TestServer::start_with(|settings| settings.limits.statement_timeout_ms = 7000).await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        let shown = async |raw: &mut Raw| raw.rows("SHOW statement_timeout").await.expect("rows")[0][0].clone();
        assert_eq!(shown(&mut raw).await.as_deref(), Some("7s"));
        raw.simple("SET statement_timeout = '3s'").await;
        assert_eq!(shown(&mut raw).await.as_deref(), Some("3s"));
        raw.simple("RESET statement_timeout").await;
        assert_eq!(shown(&mut raw).await.as_deref(), Some("7s"));
        raw.simple("ALTER ROLE chronogate SET statement_timeout = '5s'").await;
        let mut another = Raw::connect(server.address(), "chronogate").await.expect("connects");
        assert_eq!(shown(&mut another).await.as_deref(), Some("5s"));
        server.stop().await;
    });
}

#[test]
fn a_client_that_does_not_read_does_not_fill_the_server() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("SET statement_timeout = '1s'").await;
        raw.send(&query(ENDLESS)).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut bytes = 0;
        while let Some(message) = raw.next().await {
            bytes += message.body.len();
            if message.tag == 'Z' {
                break;
            }
        }
        assert!(bytes < 64 << 20, "{bytes} bytes were kept for a client that did not read");
        server.stop().await;
    });
}

#[test]
fn copy_takes_and_gives_rows_in_both_protocols() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("CREATE TABLE t (a int PRIMARY KEY, b text)").await;

        raw.send(&query("COPY t FROM STDIN")).await;
        assert_eq!(raw.next().await.expect("an answer").tag, 'G');
        raw.send(&[message('d', b"1\tx\n2"), message('d', b"\t\\N\n"), message('c', &[])].concat()).await;
        let said = raw.until_ready().await;
        assert_eq!((tags(&said).as_str(), said[0].command().as_str()), ("CZ", "COPY 2"));

        // As drivers pipeline it: a Sync before the data, one after it.
        raw.send(&[parse("", "COPY t FROM STDIN"), bind("", "", &[]), execute("", 0), sync()].concat()).await;
        raw.send(&[message('d', b"3\tz\n"), message('c', &[]), sync()].concat()).await;
        assert_eq!(tags(&raw.until_ready().await), "12GCZ");

        let said = raw.simple("COPY t TO STDOUT").await;
        let data: Vec<u8> = said.iter().filter(|m| m.tag == 'd').flat_map(|m| m.body.clone()).collect();
        assert_eq!(data, b"1\tx\n2\t\\N\n3\tz\n");
        assert_eq!(said.iter().find(|m| m.tag == 'C').expect("complete").command(), "COPY 3");
        server.stop().await;
    });
}

#[test]
fn a_copy_that_fails_leaves_nothing_and_a_usable_connection() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("CREATE TABLE t (a int PRIMARY KEY)").await;

        raw.send(&[query("COPY t FROM STDIN"), message('d', b"1\n"), message('f', b"changed my mind\0")].concat()).await;
        let said = raw.until_ready().await;
        let error = said.iter().find_map(|m| m.error()).expect("an error");
        assert_eq!((error.code(), error.field('M')), ("57014", "COPY from stdin failed: changed my mind"));

        raw.send(&[query("COPY t FROM STDIN"), message('d', b"1\nnot a number\n"), message('c', &[])].concat()).await;
        let said = raw.until_ready().await;
        assert_eq!(said.iter().find_map(|m| m.error()).expect("an error").code(), "22P02");
        assert_eq!(raw.rows("SELECT count(*) FROM t").await.expect("rows"), [[Some("0".to_owned())]]);
        server.stop().await;
    });
}

#[test]
fn a_value_of_ten_megabytes_goes_in_and_comes_out() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        raw.simple("CREATE TABLE t (a int PRIMARY KEY, b text)").await;
        let big = "x".repeat(10 << 20);
        raw.send(&[parse("", "INSERT INTO t VALUES (1, $1)"), bind("", "", &[Some(&big)]), execute("", 0), sync()].concat())
            .await;
        assert_eq!(tags(&raw.until_ready().await), "12CZ");
        let rows = raw.rows("SELECT b FROM t").await.expect("rows");
        assert!(rows[0][0].as_deref() == Some(&big));
        server.stop().await;
    });
}

#[test]
fn changed_settings_are_told() {
    run(async {
        let server = TestServer::start().await;
        let mut raw = Raw::connect(server.address(), "chronogate").await.expect("connects");
        let said = raw.simple("SET TimeZone = 'Europe/Berlin'").await;
        let told = said.iter().find(|m| m.tag == 'S').expect("a ParameterStatus");
        assert_eq!(told.body, b"TimeZone\0Europe/Berlin\0");
        assert!(raw.simple("SELECT 1").await.iter().all(|m| m.tag != 'S'));
        server.stop().await;
    });
}

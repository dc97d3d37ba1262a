//! Starting and stopping the real program.

use std::time::{Duration, Instant};

use crate::harness::{Process, code, config, connect, run};
use crate::raw::{Raw, query, tags};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_second_process_on_the_same_folder_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Process::serve(folder.path());
    let mut second = Process::spawn(&["serve", "--data", folder.path().to_str().expect("UTF-8"), "--listen", "127.0.0.1:0"]);
    let line = second.await_line("in use by another process");
    assert!(line.starts_with("chronogate: ") && line.contains(folder.path().to_str().expect("UTF-8")), "{line}");
    assert_eq!(second.wait(SOON).and_then(|status| status.code()), Some(1));
    run(async { Raw::connect(first.address(), "chronogate").await.expect("the first one serves on") });
}

#[test]
fn mistakes_are_one_line_and_an_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = folder.path().join("bad.json");
    std::fs::write(&bad, "{\"limits\": {\"max_conections\": 1}}").expect("written");
    let data = folder.path().join("data");
    let (bad, data) = (bad.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
    for (arguments, says, exit) in [
        (vec!["serve", "--config", bad], "unknown field `max_conections`", 1),
        (vec!["serve", "--config", "/nowhere.json"], "cannot read /nowhere.json", 1),
        (vec!["serve", "--data", data, "--listen", "0.0.0.0:0"], "without a password", 1),
        (vec!["serve", "--data", data, "--listen", "nonsense"], "cannot listen on nonsense", 1),
        (vec!["serve", "--superuser-password-file", "/nowhere"], "cannot read /nowhere", 1),
        (vec!["serve", "--colour"], "unexpected argument", 2),
    ] {
        let mut process = Process::spawn(&arguments);
        let status = process.wait(SOON).expect("ends");
        let lines = process.said();
        assert_eq!(status.code(), Some(exit), "{arguments:?}: {lines:?}");
        assert!(lines.iter().any(|line| line.contains(says)), "{arguments:?}: {lines:?}");
        assert!(exit == 2 || lines.len() == 1, "{lines:?}");
    }
}

#[test]
#[cfg(unix)]
fn sigterm_closes_idle_connections_and_lets_a_transaction_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::serve(folder.path());
    let address = process.address();
    run(async {
        let mut idle = Raw::connect(address, "chronogate").await.expect("connects");
        let mut busy = Raw::connect(address, "chronogate").await.expect("connects");
        busy.simple("CREATE TABLE t (a int PRIMARY KEY)").await;
        assert_eq!(tags(&busy.simple("BEGIN; INSERT INTO t VALUES (1)").await), "CCZ");
        process.signal("TERM");
        let said = idle.rest().await;
        let error = said[0].error().expect("an error");
        assert_eq!((error.code(), error.field('S')), ("57P01", "FATAL"));
        let refused = async {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, refused).await.expect("nobody new is let in");
        assert_eq!(tags(&busy.simple("INSERT INTO t VALUES (2)").await), "CZ");
        let said = busy.simple("COMMIT").await;
        assert_eq!(tags(&said), "CZ");
        assert_eq!(busy.rest().await[0].error().expect("an error").code(), "57P01");
    });
    assert_eq!(process.wait(SOON).and_then(|status| status.code()), Some(0));

    let again = Process::serve(folder.path());
    run(async {
        let mut raw = Raw::connect(again.address(), "chronogate").await.expect("connects");
        assert_eq!(raw.rows("SELECT count(*) FROM t").await.expect("rows"), [[Some("2".to_owned())]]);
    });
}

#[test]
#[cfg(unix)]
fn what_runs_past_the_grace_period_is_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("c.json");
    std::fs::write(&config, "{\"limits\": {\"shutdown_grace_s\": 1}, \"listen\": \"127.0.0.1:0\"}").expect("written");
    let data = folder.path().join("data");
    let arguments = ["serve", "--config", config.to_str().expect("UTF-8"), "--data", data.to_str().expect("UTF-8")];
    let mut process = Process::spawn(&arguments);
    process.await_address();
    let address = process.address();
    run(async {
        let mut waiting = Raw::connect(address, "chronogate").await.expect("connects");
        waiting.simple("BEGIN").await;
        let mut running = Raw::connect(address, "chronogate").await.expect("connects");
        let endless = "SELECT count(*) FROM generate_series(1, 10000000) AS a(n), generate_series(1, 10000000) AS b(n)";
        running.send(&query(endless)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        process.signal("TERM");
        for raw in [&mut waiting, &mut running] {
            let said = raw.rest().await;
            let error = said.last().and_then(|m| m.error()).expect("an error");
            assert_eq!((error.code(), error.field('S')), ("57P01", "FATAL"));
        }
        assert!(began.elapsed() > Duration::from_millis(900), "they had their grace");
    });
    assert_eq!(process.wait(SOON).and_then(|status| status.code()), Some(0));
}

#[test]
#[cfg(unix)]
fn a_second_signal_stops_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = Process::serve(folder.path());
    run(async {
        let mut raw = Raw::connect(process.address(), "chronogate").await.expect("connects");
        raw.simple("BEGIN").await;
        process.signal("INT");
        process.await_line("stopping");
        process.signal("INT");
        assert_eq!(process.wait(SOON).and_then(|status| status.code()), Some(1));
    });
}

#[test]
fn a_password_file_is_asked_for_from_then_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("password");
    std::fs::write(&secret, "pa ss\n").expect("written");
    let data = folder.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let arguments = [
        "serve",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--superuser",
        "root",
        "--superuser-password-file",
        secret.to_str().expect("UTF-8"),
    ];
    let mut process = Process::spawn(&arguments);
    process.await_address();
    run(async {
        connect(config(process.address()).user("root").password("pa ss")).await.expect("the right password");
        assert_eq!(code(connect(config(process.address()).user("root").password("pass")).await), "28P01");
    });
    assert!(process_log_is_free_of(&mut process, "pa ss"));
}

fn process_log_is_free_of(process: &mut Process, secret: &str) -> bool {
    process.kill();
    process.said().iter().all(|line| !line.contains(secret))
}

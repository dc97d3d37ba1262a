//! What the real psql shows of a schema, compared with tests/it/psql/expected.txt.
//!
//! The file has what psql shows of the same schema on PostgreSQL 15 (`initdb -U chronogate --lc-collate=C --lc-ctype=C.UTF-8`).
//! Without psql on the machine nothing is compared, which is said.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{TestServer, run};

/// Commands that show something else here, and why.
const DIFFERENT: &[(&str, &str)] = &[("\\dn", "the schema chronogate is the system's own")];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/psql")
}

fn psql(address: SocketAddr, arguments: &[&str]) -> Option<String> {
    let output = Command::new("psql")
        .args(["-X", "-q", "-h", &address.ip().to_string(), "-p", &address.port().to_string()])
        .args(["-U", "chronogate", "-d", "chronogate"])
        .args(arguments)
        .env("PGCLIENTENCODING", "UTF8")
        .output()
        .ok()?;
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn psql_lists_what_there_is_as_on_postgresql() {
    run(async {
        let server = TestServer::start().await;
        let address = server.address();
        let compared = tokio::task::spawn_blocking(move || compare(address)).await.expect("compares");
        server.stop().await;
        let (compared, differences) = compared;
        println!("psql: {compared} commands compared, {} differ", differences.len());
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    });
}

/// How many commands were run, and those whose answer is another than expected.
fn compare(address: SocketAddr) -> (usize, Vec<String>) {
    if Command::new("psql").arg("--version").output().is_err() {
        println!("psql is not installed: nothing is compared");
        return (0, Vec::new());
    }
    let schema = folder().join("schema.sql");
    let made = psql(address, &["-v", "ON_ERROR_STOP=1", "-f", schema.to_str().expect("UTF-8")]).expect("psql runs");
    assert!(made.is_empty(), "{made}");
    let text = std::fs::read_to_string(folder().join("expected.txt")).expect("readable");
    let (mut differences, mut commands) = (Vec::new(), 0);
    for section in text.split("=== ").skip(1) {
        let (command, expected) = section.split_once('\n').expect("a command and its answer");
        let shown = psql(address, &["-c", command]).expect("psql runs");
        commands += 1;
        let known = DIFFERENT.iter().find(|(different, _)| *different == command);
        if let Some((_, reason)) = known {
            println!("psql {command} differs: {reason}");
            assert!(!shown.contains("ERROR"), "{command}\n{shown}");
        } else if shown != expected {
            differences.push(format!("{command}\nshows\n{shown}\ninstead of\n{expected}"));
        }
    }
    (commands, differences)
}

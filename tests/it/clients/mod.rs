//! Real clients against the real server: every script of tests/clients, each in a database of its own, over a socket with a password.
//!
//! A check that fails must be on the list of known failures, and one on that list must fail: so the list only shrinks.
//! `CHRONOGATE_CLIENTS=psql,jdbc` runs only those; `CHRONOGATE_CLIENTS_AGAINST=HOST:PORT` runs them against a PostgreSQL 15
//! with the same role and password instead, where every check must pass: that is what shows the checks to be right.

mod rust;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::harness::{Process, config, connect, run};

const PASSWORD: &str = "between you and me";
const AT_ONCE: usize = 2;

/// The clients, those that take long first.
const CLIENTS: &[&str] = &[
    "pgbench",
    "pg_dump",
    "jdbc",
    "psql",
    "django",
    "sqlalchemy",
    "typeorm",
    "node_pg",
    "prisma",
    "sequelize",
    "data_frames",
    "mikro_orm",
    "kysely",
    "knex",
    "psycopg",
    "asyncpg",
    "postgres_js",
    "drizzle",
    "tortoise",
    "odbc",
    "peewee",
    "pg_promise",
    "psycopg2",
    "pg8000",
    "tokio_postgres",
];

/// Where the clients connect to.
#[derive(Clone, Copy)]
struct Target {
    address: SocketAddr,
    /// Whether it has a past to travel to.
    travels: bool,
}

/// What a check came to: nothing, or the reason why it failed.
type Results = BTreeMap<String, Option<String>>;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients")
}

/// The process that runs a client's checks.
fn command(client: &str, target: Target) -> Command {
    let folder = source().join(client);
    let mut command = if folder.join("check.py").exists() {
        let mut python = Command::new(installed().join("venv/bin/python"));
        python.arg(folder.join("check.py"));
        python
    } else if folder.join("check.cjs").exists() {
        let mut node = Command::new("node");
        node.arg("--no-deprecation").arg(folder.join("check.cjs"));
        node
    } else {
        let mut java = Command::new("java");
        java.args(["-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/postgresql.jar"]).arg(folder.join("Check.java"));
        java
    };
    let address = target.address;
    command
        .env("PGHOST", address.ip().to_string())
        .env("PGPORT", address.port().to_string())
        .env("PGUSER", "chronogate")
        .env("PGPASSWORD", PASSWORD)
        .env("PGDATABASE", database(client))
        .env("NODE_PATH", installed().join("node/node_modules"))
        .env("PYTHONWARNINGS", "ignore")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("CHRONOGATE_TRAVEL")
        .stdin(Stdio::null());
    if target.travels {
        command.env("CHRONOGATE_TRAVEL", "1");
    }
    command
}

fn database(client: &str) -> String {
    format!("of_{client}")
}

/// Runs one client to its end; panics when it does not end as a client does.
fn results(client: &str, target: Target) -> Results {
    if client == "tokio_postgres" {
        return rust::results(target.address, PASSWORD, &database(client), target.travels);
    }
    let done = command(client, target).output().unwrap_or_else(|error| panic!("{client} does not run: {error}"));
    let out = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    let mut results = Results::new();
    for line in out.lines() {
        if let Some(name) = line.strip_prefix("ok ") {
            results.insert(name.to_owned(), None);
        } else if let Some((name, reason)) = line.strip_prefix("not ok ").and_then(|rest| rest.split_once(": ")) {
            results.insert(name.to_owned(), Some(reason.to_owned()));
        }
    }
    let (failed, passed) = results.values().fold((0, 0), |(f, p), r| if r.is_some() { (f + 1, p) } else { (f, p + 1) });
    let closing = format!("{client}: {passed} passed, {failed} failed");
    assert_eq!(out.lines().last(), Some(closing.as_str()), "{client} did not end well: {errors}");
    results
}

/// The known failures: `client check: reason` on each line, `#` for remarks.
fn known() -> BTreeMap<(String, String), String> {
    let text = std::fs::read_to_string(source().join("known_failures.txt")).expect("the list is there");
    let mut known = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, reason) = line.split_once(": ").unwrap_or_else(|| panic!("no reason in {line:?}"));
        let (client, check) = name.split_once(' ').unwrap_or_else(|| panic!("no check in {line:?}"));
        assert!(known.insert((client.to_owned(), check.to_owned()), reason.to_owned()).is_none(), "twice: {line:?}");
    }
    known
}

fn wanted() -> Vec<&'static str> {
    match std::env::var("CHRONOGATE_CLIENTS") {
        Ok(names) => CLIENTS.iter().copied().filter(|client| names.split(',').any(|name| name == *client)).collect(),
        Err(_) => CLIENTS.to_vec(),
    }
}

/// Makes each client's database afresh.
fn databases(target: Target, clients: &[&str]) {
    run(async {
        let mut settings = config(target.address);
        settings.password(PASSWORD);
        if !target.travels {
            settings.dbname("postgres");
        }
        let admin = connect(&settings).await.expect("the superuser connects");
        for client in clients {
            let name = database(client);
            admin.simple_query(&format!("DROP DATABASE IF EXISTS {name}")).await.expect("dropped");
            admin.simple_query(&format!("CREATE DATABASE {name}")).await.expect("made");
        }
    });
}

/// Runs the clients, a few at once.
fn run_all(target: Target, clients: &[&'static str]) -> BTreeMap<&'static str, Results> {
    databases(target, clients);
    let queue = Mutex::new(clients.iter());
    let all = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(client) = queue.lock().expect("no panic").next() else { break };
                    let started = std::time::Instant::now();
                    let results = results(client, target);
                    let passed = results.values().filter(|reason| reason.is_none()).count();
                    println!("{client}: {passed} of {} checks passed in {:.1} s", results.len(), started.elapsed().as_secs_f32());
                    all.lock().expect("no panic").insert(*client, results);
                }
            });
        }
    });
    all.into_inner().expect("no panic")
}

/// Failures that are not on the list, and what is on it and is no check at all. What is on it and passes is told.
fn surprises(all: &BTreeMap<&str, Results>, known: &BTreeMap<(String, String), String>) -> Vec<String> {
    let mut surprises = Vec::new();
    for (client, results) in all {
        for (check, reason) in results {
            let listed = known.contains_key(&((*client).to_owned(), check.clone()));
            match reason {
                Some(reason) if !listed => surprises.push(format!("{client} {check}: {reason}")),
                None if listed => println!("{client} {check} passes: take it off the list of known failures"),
                _ => {}
            }
        }
    }
    for (client, check) in known.keys() {
        if all.get(client.as_str()).is_some_and(|results| !results.contains_key(check)) {
            surprises.push(format!("{client} {check} is on the list of known failures and is no check"));
        }
    }
    surprises
}

#[test]
fn clients_pass_the_checks_that_postgresql_passes() {
    let clients = wanted();
    let folder = tempfile::tempdir().expect("a folder");
    let against = std::env::var("CHRONOGATE_CLIENTS_AGAINST").ok();
    let mut server = None;
    let (target, known) = match against {
        Some(address) => (Target { address: address.parse().expect("HOST:PORT"), travels: false }, BTreeMap::new()),
        None => {
            let secret = folder.path().join("password");
            std::fs::write(&secret, PASSWORD).expect("written");
            let data = folder.path().join("data");
            let (data, secret) = (data.to_str().expect("UTF-8"), secret.to_str().expect("UTF-8"));
            let mut process =
                Process::spawn(&["serve", "--data", data, "--listen", "127.0.0.1:0", "--superuser-password-file", secret]);
            process.await_address();
            let address = server.insert(process).address();
            (Target { address, travels: true }, known())
        }
    };
    let all = run_all(target, &clients);
    let total: usize = all.values().map(Results::len).sum();
    let passed: usize = all.values().flat_map(Results::values).filter(|reason| reason.is_none()).count();
    println!("{passed} of {total} checks of {} clients passed; {} known failures are listed", all.len(), known.len());
    if std::env::var_os("CHRONOGATE_BLESS").is_some() {
        return bless(&all);
    }
    let mut left = surprises(&all, &known);
    if !left.is_empty() {
        // Some checks hold a client to a time, which a busy machine may miss: what fails must fail again, alone.
        println!("once more, of these: {left:#?}");
        let again: Vec<&str> = clients.iter().copied().filter(|client| left.iter().any(|line| names(line, client))).collect();
        let again = again.iter().flat_map(|client| run_all(target, &[*client])).collect();
        left.retain(|line| !again_passed(&again, line));
    }
    assert!(left.is_empty(), "\n{}", left.join("\n"));
    assert_eq!(all.keys().copied().collect::<BTreeSet<_>>(), clients.into_iter().collect());
}

fn names(line: &str, client: &str) -> bool {
    line.split(' ').next() == Some(client)
}

/// Whether the check that a line is about has passed now.
fn again_passed(again: &BTreeMap<&str, Results>, line: &str) -> bool {
    let (name, _) = line.split_once(": ").unwrap_or((line, ""));
    let Some((client, check)) = name.split_once(' ') else { return false };
    again.get(client).and_then(|results| results.get(check)).is_some_and(Option::is_none)
}

/// Writes the list anew: what failed now.
fn bless(all: &BTreeMap<&str, Results>) {
    let mut text = String::from(
        "# Checks that PostgreSQL 15 passes and Chronogate does not yet: `client check: what happens instead`, one a line.\n\
         # The test fails when a check that is not listed fails. CHRONOGATE_BLESS=1 writes the list anew.\n",
    );
    for (client, results) in all {
        for (check, reason) in results {
            if let Some(reason) = reason {
                let reason: String = reason.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(140).collect();
                text.push_str(&format!("{client} {check}: it fails: {reason}\n"));
            }
        }
    }
    std::fs::write(source().join("known_failures.txt"), text).expect("the list is written");
}

#[test]
fn every_known_failure_has_a_client() {
    let clients: BTreeSet<&str> = CLIENTS.iter().copied().collect();
    for ((client, check), reason) in known() {
        assert!(clients.contains(client.as_str()), "{client} {check} names no client");
        assert!(reason.len() > 10, "{client} {check} has no reason");
    }
}

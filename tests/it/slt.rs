//! Runs every tests/it/slt/**/*.slt over a socket, in the simple and in the extended protocol.
//!
//! Each file has a server of its own whose clock stands at 2025-01-01T00:00:00Z until `SET test.now = '…'` moves it;
//! that statement never reaches the server. `connection NAME` records open further connections. A record that fails does
//! not end its file; CHRONOGATE_SLT runs only the files whose path contains it. The same files hold where tables are kept in
//! MongoDB with payloads in a folder; some of them are run there, all with CHRONOGATE_SLT_MONGODB=all.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chronogate::config::deployment::{ConfigFile, Deployment};
use chronogate::runtime::ManualClock;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::deployments::servers::Mongo;
use crate::harness::{TestServer, run, run_for};
use crate::raw::{Message, Raw, ServerError};

const START: &str = "2025-01-01T00:00:00Z";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Simple,
    Extended,
}

/// What is run over MongoDB unless all is asked for: of everything that a store has to do, one file or two.
const OVER_MONGODB: [&str; 16] = [
    "as_of/bounds",
    "as_of/commits",
    "as_of/indexes",
    "as_of/recreate",
    "as_of/truncate",
    "as_of/update",
    "ddl/alter",
    "ddl/indexes",
    "ddl/sequences",
    "ddl/unique_expressions",
    "history/changes",
    "history/commits",
    "history/views",
    "session_time/transactions",
    "writes/constraints",
    "writes/foreign_keys",
];

#[test]
fn files_hold_in_the_simple_protocol() {
    run(all_files(Protocol::Simple, None));
}

#[test]
fn files_hold_in_the_extended_protocol() {
    run(all_files(Protocol::Extended, None));
}

#[test]
fn files_hold_over_mongodb() {
    run_for(Duration::from_secs(3_600), async {
        let mongo = Mongo::start().await;
        all_files(Protocol::Extended, Some(&mongo)).await;
        let databases = mongo.client().await.list_database_names().await.expect("listed");
        let own = databases.iter().filter(|name| name.starts_with(&format!("slt{}x", std::process::id()))).count();
        assert!(own > 0, "tables were kept elsewhere: {databases:?}");
    });
}

async fn all_files(protocol: Protocol, mongo: Option<&Mongo>) {
    let mut files = Vec::new();
    find(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/slt"), &mut files);
    files.sort();
    if let Ok(only) = std::env::var("CHRONOGATE_SLT") {
        files.retain(|file| file.to_string_lossy().contains(&only));
    }
    if mongo.is_some() && std::env::var("CHRONOGATE_SLT_MONGODB").is_err() {
        let is_one = |file: &PathBuf| OVER_MONGODB.iter().any(|one| file.with_extension("").ends_with(one));
        files.retain(is_one);
        assert!(files.len() == OVER_MONGODB.len() || std::env::var("CHRONOGATE_SLT").is_ok(), "{files:?}");
    }
    let mut failures = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let deployment = mongo.map(|mongo| in_mongodb(mongo, number, folder.path()));
        if let Err(failure) = one_file(file, protocol, deployment).await {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{protocol:?}: {} of {} files:\n{}", failures.len(), files.len(), failures.join("\n\n"));
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
}

/// A configuration with databases of a file's own in MongoDB, payloads in a folder.
fn in_mongodb(mongo: &Mongo, number: usize, folder: &Path) -> Deployment {
    let text = serde_json::json!({
        "dbConnections": { "m": { "mongoUri": mongo.uri } },
        "spacesConnections": {},
        "databases": {},
        "localStorage": { "basePath": folder, "enabled": true },
        "chronogate": {
            "databases": { "dbConnRef": "m", "bucket": "own", "dbName": format!("slt{}x{number}", std::process::id()) },
        },
    });
    match ConfigFile::parse(&folder.join("own.json"), &text.to_string()).expect("valid") {
        ConfigFile::Deployment(deployment) => *deployment,
        ConfigFile::Own(_) => panic!("not a deployment's configuration"),
    }
}

async fn one_file(file: &Path, protocol: Protocol, deployment: Option<Deployment>) -> Result<(), String> {
    let clock = Arc::new(ManualClock::at(micros(START).expect("valid")));
    let server = TestServer::start_with(|settings| {
        settings.clock = clock.clone();
        settings.deployment = deployment;
    })
    .await;
    let address = server.address();
    let mut runner = Runner::new(|| Client::connect(address, protocol, clock.clone()));
    let records = sqllogictest::parse_file(file).map_err(|error| error.to_string())?;
    let mut failures = Vec::new();
    for record in records {
        if let Err(error) = runner.run_async(record).await {
            failures.push(error.to_string());
        }
    }
    runner.shutdown_async().await;
    server.stop().await;
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n\n")) }
}

/// A connection as sqllogictest wants it.
struct Client {
    raw: Raw,
    protocol: Protocol,
    clock: Arc<ManualClock>,
}

impl Client {
    async fn connect(address: SocketAddr, protocol: Protocol, clock: Arc<ManualClock>) -> Result<Self, ServerError> {
        Ok(Self { raw: Raw::connect(address, "chronogate").await?, protocol, clock })
    }
}

#[async_trait::async_trait]
impl AsyncDB for Client {
    type Error = ServerError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, ServerError> {
        if let Some(instant) = moved_clock(sql) {
            self.clock.set(instant);
            return Ok(DBOutput::StatementComplete(0));
        }
        let messages = match self.protocol {
            Protocol::Simple => self.raw.simple(sql).await,
            Protocol::Extended => self.raw.extended(sql).await,
        };
        output(&messages)
    }

    async fn shutdown(&mut self) {
        self.raw.send(&crate::raw::message('X', &[])).await;
    }

    fn engine_name(&self) -> &'static str {
        match self.protocol {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
        }
    }

    fn error_sql_state(error: &ServerError) -> Option<String> {
        Some(error.code().to_owned())
    }
}

/// The instant of `SET test.now = '…'`.
fn moved_clock(sql: &str) -> Option<i64> {
    let value = sql.trim().trim_end_matches(';').strip_prefix("SET test.now = ")?;
    Some(micros(value.trim_matches('\'')).unwrap_or_else(|| panic!("not an instant: {value}")))
}

fn micros(text: &str) -> Option<i64> {
    Some(text.parse::<DateTime<Utc>>().ok()?.timestamp_micros())
}

fn output(messages: &[Message]) -> Result<DBOutput<DefaultColumnType>, ServerError> {
    let rows = crate::raw::rows(messages)?;
    let described = messages.iter().find(|m| m.tag == 'T');
    match described {
        Some(description) => {
            let columns = i16::from_be_bytes([description.body[0], description.body[1]]) as usize;
            let rows = rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect();
            Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows })
        }
        None => {
            let tag = messages.iter().rev().find(|m| m.tag == 'C').map(Message::command).unwrap_or_default();
            Ok(DBOutput::StatementComplete(tag.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)))
        }
    }
}

fn shown(value: Option<String>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text,
    }
}

//! The server's settings as plain data: every member with its unit, default and reason.
//!
//! Reads JSON and secrets from files or the environment. Decides nothing and opens nothing else; an unknown or
//! unfit member is refused with its path, line and column.

pub mod deployment;
mod secret;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use deployment::{ConfigFile, Deployment};
pub use secret::Secret;

/// What a configuration file may say. Every member may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `HOST:PORT` to listen on. Default `127.0.0.1:5433`: only this machine, and beside a PostgreSQL on 5432. Anything
    /// else needs a role with a password.
    pub listen: Listen,
    /// The folder of the databases, made when it is not there; one process owns it. Default `./chronogate-data`.
    pub data: DataFolder,
    /// TLS for those who ask for it. Default none.
    pub tls: Option<Tls>,
    pub superuser: Superuser,
    pub limits: Limits,
    /// Of a deployment, whose payloads are objects on a service or files of a folder.
    pub payloads: Payloads,
    pub log: Log,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Listen(pub String);

impl Default for Listen {
    fn default() -> Self {
        Self("127.0.0.1:5433".to_owned())
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct DataFolder(pub PathBuf);

impl Default for DataFolder {
    fn default() -> Self {
        Self(PathBuf::from("./chronogate-data"))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file: the server's certificate, then those that lead to its issuer.
    pub certificate: PathBuf,
    /// PEM file: the certificate's private key (PKCS#8, PKCS#1 or SEC1), without a passphrase.
    pub key: PathBuf,
    /// Refuse clients from other hosts that do not use TLS. Default false, as PostgreSQL's `host` rules.
    #[serde(default)]
    pub required: bool,
}

/// The role that may do everything; made at first start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Superuser {
    /// Default `chronogate`.
    pub name: String,
    /// Replaces the stored one at every start when given. Default none: then clients of this machine need no password
    /// until a role has one.
    pub password: Option<Secret>,
}

impl Default for Superuser {
    fn default() -> Self {
        Self { name: "chronogate".to_owned(), password: None }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Clients at a time; the next is told 53300. Default 100, as PostgreSQL.
    pub max_connections: usize,
    /// Bytes that all running statements may hold together; above it they spill to disk or fail with 53200. Default
    /// 1 GiB: a small machine survives it.
    pub memory_limit_bytes: usize,
    /// Milliseconds a statement may run; 0 is without end. Default 0, as PostgreSQL; a role or session may set its own.
    pub statement_timeout_ms: u64,
    /// Bytes of one message from a client; a larger one closes the connection. Default 256 MiB: room for large values,
    /// and no client can make the server take more.
    pub max_message_bytes: usize,
    /// Seconds that running transactions get when the server is asked to stop. Default 30.
    pub shutdown_grace_s: u64,
    /// Seconds from connecting to being let in. Default 60, as PostgreSQL.
    pub authentication_timeout_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 100,
            memory_limit_bytes: 1 << 30,
            statement_timeout_ms: 0,
            max_message_bytes: 256 << 20,
            shutdown_grace_s: 30,
            authentication_timeout_s: 60,
        }
    }
}

/// How payloads are fetched and what of them is kept. All figures are for each database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Payloads {
    /// Bytes kept in memory. Default 64 MiB.
    pub memory_cache_bytes: usize,
    /// Where payloads are kept on disk, in a folder for each database; one process owns it. Default none: then nothing is.
    pub disk_cache: Option<PathBuf>,
    /// Bytes kept there. Default 1 GiB.
    pub disk_cache_bytes: u64,
    /// Bytes that may be on their way at a time. Default 64 MiB: enough to fill a fast line.
    pub in_flight_bytes: usize,
    /// Objects that one read fetches at a time. Default 64: hides a round trip of 30 ms at 2,000 objects a second.
    pub concurrency: usize,
    /// Milliseconds one request may take, its body included. Default 30,000.
    pub request_timeout_ms: u64,
    /// Milliseconds a service may fail to answer, through all attempts, before a statement fails with 08006. Default 60,000.
    pub give_up_ms: u64,
}

impl Default for Payloads {
    fn default() -> Self {
        Self {
            memory_cache_bytes: 64 << 20,
            disk_cache: None,
            disk_cache_bytes: 1 << 30,
            in_flight_bytes: 64 << 20,
            concurrency: 64,
            request_timeout_ms: 30_000,
            give_up_ms: 60_000,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `human` or `json` (one object a line). Default `human`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,chronogate::wire=debug`. Default `info`;
    /// the environment variable CHRONOGATE_LOG goes before it.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, level: "info".to_owned() }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

/// Why a configuration cannot be used. The text is for the operator and never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: std::io::Error },
    #[error("{}: {member}: {cause}", path.display())]
    Member { path: PathBuf, member: String, cause: serde_json::Error },
    /// A member of a deployment's configuration.
    #[error("{}: {member}: found {found}, expected {expected}", path.display())]
    Unfit { path: PathBuf, member: String, found: String, expected: String },
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    #[error("{member} must be at least {least}")]
    TooSmall { member: &'static str, least: u64 },
}

impl Config {
    /// Reads a file. Paths in it are relative to the working directory, as they are on the command line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(path, &text)
    }

    /// Parses JSON; `path` names it in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let member = error.path().to_string();
            ConfigError::Member { path: path.to_owned(), member, cause: error.into_inner() }
        })?;
        json.end().map_err(|cause| ConfigError::Member { path: path.to_owned(), member: "the end".to_owned(), cause })?;
        config.check()?;
        Ok(config)
    }
}

impl Config {
    fn check(&self) -> Result<(), ConfigError> {
        let Self { limits, payloads, .. } = self;
        let least = [
            ("limits.max_connections", limits.max_connections as u64, 1),
            ("limits.memory_limit_bytes", limits.memory_limit_bytes as u64, 16 << 20),
            ("limits.max_message_bytes", limits.max_message_bytes as u64, 64 << 10),
            ("limits.authentication_timeout_s", limits.authentication_timeout_s, 1),
            ("payloads.in_flight_bytes", payloads.in_flight_bytes as u64, 1 << 20),
            ("payloads.concurrency", payloads.concurrency as u64, 1),
            ("payloads.request_timeout_ms", payloads.request_timeout_ms, 1),
            ("payloads.give_up_ms", payloads.give_up_ms, 1),
        ];
        match least.into_iter().find(|(_, value, least)| value < least) {
            Some((member, _, least)) => Err(ConfigError::TooSmall { member, least }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("c.json"), text)
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err("refused").to_string()
    }

    #[test]
    fn an_empty_object_is_the_defaults() {
        let config = parse("{}").expect("valid");
        assert_eq!(config.listen.0, "127.0.0.1:5433");
        assert_eq!(config.data.0, Path::new("./chronogate-data"));
        assert_eq!(config.superuser.name, "chronogate");
        assert_eq!(config.limits.max_connections, 100);
    }

    #[test]
    fn a_member_that_is_unknown_or_unfit_is_refused_by_name_and_place() {
        let unknown = refused("{\n  \"limits\": {\"max_conections\": 3}\n}");
        assert!(unknown.contains("unknown field `max_conections`") && unknown.contains("line 2 column 29"), "{unknown}");
        let unfit = refused("{\"limits\": {\"max_connections\": \"many\"}}");
        assert!(unfit.contains("limits.max_connections") && unfit.contains("line 1"), "{unfit}");
        assert!(refused("{\"limits\": {\"max_connections\": 0}}").contains("limits.max_connections must be at least 1"));
        assert!(refused("{} {}").contains("trailing characters"));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let config = parse("{\"superuser\": {\"password\": \"hunter2\"}}").expect("valid");
        assert!(!format!("{config:?}").contains("hunter2"));
        let wrong = refused("{\"superuser\": {\"password\": {\"$fil\": \"hunter2\"}}}");
        assert!(wrong.contains("superuser.password") && !wrong.contains("hunter2"), "{wrong}");
    }

    #[test]
    fn the_example_file_is_valid_and_shows_every_member() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("chronogate.example.json");
        let config = Config::read(&path).expect("valid");
        assert!(config.tls.is_some() && config.superuser.password.is_some());
        let text = std::fs::read_to_string(&path).expect("there");
        for member in [
            "statement_timeout_ms",
            "memory_limit_bytes",
            "max_message_bytes",
            "shutdown_grace_s",
            "required",
            "disk_cache",
            "give_up_ms",
        ] {
            assert!(text.contains(member), "{member}");
        }
    }
}

//! Logging: what the process says about itself on standard error, for people or as JSON lines.
//!
//! Owns the subscriber and the panic hook. Nothing that is logged may hold a secret: values that can are types
//! whose `Debug` hides them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// The environment variable that goes before any configured level.
pub const LEVEL_VARIABLE: &str = "CHRONOGATE_LOG";

/// A level or directives that do not parse.
#[derive(Debug, thiserror::Error)]
#[error("log level \"{level}\" is not valid: {cause}")]
pub struct BadLevel {
    level: String,
    cause: tracing_subscriber::filter::ParseError,
}

/// Sets logging up for the whole process; a second call changes nothing. Panics are logged from here on, as one line.
pub fn install(log: &Log) -> Result<(), BadLevel> {
    let level = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| log.level.clone());
    let filter = EnvFilter::try_new(&level).map_err(|cause| BadLevel { level, cause })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match log.format {
        LogFormat::Human => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "{}", panic.payload_as_str().unwrap_or("panic"));
    }));
    Ok(())
}

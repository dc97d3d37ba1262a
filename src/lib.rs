//! Chronogate: a database that forgets nothing, over the PostgreSQL wire protocol.
//!
//! ARCHITECTURE.md follows one SELECT and one COMMIT through these modules.

pub mod auth;
pub mod config;
pub mod error;
pub mod history;
pub mod observe;
pub mod plan;
pub mod runtime;
pub mod server;
pub mod services;
pub mod session;
pub mod sql;
pub mod store;
pub mod tenancy;
pub mod types;
pub mod versions;
pub mod wire;

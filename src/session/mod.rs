//! One client's state without a socket: settings, transaction, prepared statements, portals, dispatch.
//!
//! Opens no socket and touches no store: plans run through `plan`, commits through `history`.

pub mod reply;

pub use reply::{CopyInSink, Reply, StatementDescription, TransactionStatus};

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Result, SqlError};
use crate::history::Database;
use crate::plan::{Engine, ResultColumn};
use crate::runtime::{Cancel, Clock};
use crate::sql::Parsed;
use crate::types::Oid;

/// What a connection was opened with, after authentication.
#[derive(Clone, Debug)]
pub struct SessionStart {
    pub user: String,
    /// As the client wrote it: may carry `@time` or `@vN`.
    pub database: String,
    pub client_address: String,
    /// Startup parameters other than user and database, in order; `options` still unsplit.
    pub parameters: Vec<(String, String)>,
    pub backend_pid: i32,
}

/// What every session of a server shares.
#[derive(Clone, Debug)]
pub struct Shared {
    pub engine: Arc<Engine>,
    pub tenancy: Arc<crate::tenancy::Tenancy>,
    pub clock: Arc<dyn Clock>,
}

/// One client. Methods run one at a time; only [`Session::canceller`]'s result may be used beside them.
#[derive(Debug)]
pub struct Session {
    _shared: Shared,
    _database: Arc<Database>,
}

#[expect(unused_variables)]
impl Session {
    /// Opens the database, applies settings (role, database name, startup options, in design.md's
    /// precedence). Errors are FATAL: 3D000, 42501, 22023 …
    pub async fn open(shared: Shared, start: SessionStart) -> Result<Session> {
        todo!()
    }

    /// Settings that clients are told about (`server_version`, `TimeZone` …) at start, and again whenever
    /// one changes: call after every statement.
    pub fn changed_parameters(&mut self) -> Vec<(String, String)> {
        todo!()
    }

    /// NOTICEs since the last call.
    pub fn notices(&mut self) -> Vec<SqlError> {
        todo!()
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        todo!()
    }

    /// A fresh handle for the statement that is about to run; cancelling it stops that statement only.
    pub fn canceller(&mut self) -> Cancel {
        todo!()
    }

    /// Splits a simple query's text. The whole text is one implicit transaction unless it has a BEGIN of its own.
    pub fn split(&self, text: &str) -> Result<Vec<Parsed>> {
        crate::sql::parse(text)
    }

    /// Runs one statement of a simple query. `last` closes the implicit transaction.
    pub async fn run(&mut self, statement: Parsed, last: bool) -> Result<Reply> {
        todo!()
    }

    /// To be called when a statement, or the sending of its rows, failed: ends the implicit transaction or
    /// marks the block as failed.
    pub async fn failed(&mut self, error: &SqlError) {
        todo!()
    }

    /// Parse. An empty name is the unnamed statement.
    pub async fn parse(&mut self, name: &str, text: &str, types: &[Oid]) -> Result<()> {
        todo!()
    }

    pub fn describe_statement(&self, name: &str) -> Result<StatementDescription> {
        todo!()
    }

    /// Bind. Formats as the protocol has them: none, one for all, or one each (0 text, 1 binary).
    pub async fn bind(
        &mut self,
        portal: &str,
        statement: &str,
        parameter_formats: &[i16],
        parameters: &[Option<Bytes>],
        result_formats: &[i16],
    ) -> Result<()> {
        todo!()
    }

    /// Result columns with the format each was asked in; `None` when there are no rows.
    pub fn describe_portal(&self, portal: &str) -> Result<Option<(Arc<[ResultColumn]>, Vec<i16>)>> {
        todo!()
    }

    /// Execute. Row replies of a portal that was suspended go on where they stopped: the reply's stream is the rest.
    pub async fn execute(&mut self, portal: &str) -> Result<Reply> {
        todo!()
    }

    /// Gives back the rest of a row stream after PortalSuspended.
    pub fn suspend(&mut self, portal: &str, rest: Reply) {
        todo!()
    }

    pub fn close_statement(&mut self, name: &str) {
        todo!()
    }

    pub fn close_portal(&mut self, name: &str) {
        todo!()
    }

    /// Sync: ends the implicit transaction (commits it, or rolls it back when it failed).
    pub async fn sync(&mut self) -> Result<()> {
        todo!()
    }

    /// The connection is gone: rolls back.
    pub async fn end(&mut self) {
        todo!()
    }
}

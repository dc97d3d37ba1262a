//! One client's state without a socket: settings, transaction, prepared statements, portals, dispatch.
//!
//! Opens no socket and touches no store: plans run through `plan`, commits through `history`.

mod activity;
mod as_of;
mod constraints;
mod copy;
mod cursors;
mod ddl;
mod dispatch;
mod locking;
mod locks;
mod notify;
mod prepared;
mod procedural;
mod recall;
pub mod reply;
mod retry;
mod roles;
mod savepoints;
mod server_view;
pub mod settings;
mod snapshots;
mod start;
mod temporary;
mod transaction;
mod utility;
mod writing;

#[cfg(test)]
mod tests;

pub use activity::Activity;
pub use locks::LockTables;
pub use notify::{Channels, Notification};
pub use reply::{CopyInSink, Reply, StatementDescription, TransactionStatus};
pub use retry::Turns;
pub use snapshots::ExportedSnapshots;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::{Result, Severity, SqlError, SqlState};
use crate::history::Database;
use crate::plan::{Engine, Messages, Notices, ResultColumn, SequenceValues, SessionObjects};
use crate::runtime::{Cancel, Clock, Entropy, cancel::Reason};
use crate::sql::Parsed;
use crate::types::{Oid, zone::Zone};
use cursors::Cursor;
use locking::Advisory;
use locks::Owner;
use notify::Mailbox;
use prepared::{Portal, PreparedStatement};
use settings::{NoticeFloor, Settings};
use transaction::State;

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
    pub entropy: Arc<dyn Entropy>,
    /// What its sessions are doing.
    pub activity: Arc<Activity>,
    /// Whose turn it is when statements keep losing against each other; start with `Turns::default()`.
    pub turns: Arc<Turns>,
    /// Who has locked what; start with `LockTables::default()`.
    pub locks: Arc<LockTables>,
    /// Snapshots that transactions have exported; start with `ExportedSnapshots::default()`.
    pub snapshots: Arc<ExportedSnapshots>,
    /// Who listens to what; start with `Channels::default()`.
    pub channels: Arc<Channels>,
    /// Settings that every session starts with, before those of its role: the server's configuration.
    pub defaults: Arc<[(String, String)]>,
}

/// One client. Methods run one at a time; only [`Session::canceller`]'s result may be used beside them.
#[derive(Debug)]
pub struct Session {
    shared: Shared,
    database: Arc<Database>,
    /// The role that was authenticated.
    user: String,
    client_address: String,
    backend_pid: i32,
    settings: Arc<Settings>,
    /// What its statements ask about roles, and about the server.
    authorities: Arc<roles::Roles>,
    server: Arc<server_view::Seen>,
    notices: Notices,
    sequences: SequenceValues,
    cancel: Cancel,
    timer: Timer,
    place: activity::Place,
    transaction: State,
    statements: HashMap<String, Arc<PreparedStatement>>,
    portals: HashMap<String, Portal>,
    recall: recall::Recall,
    cursors: HashMap<String, Cursor>,
    /// Portals and cursors made so far, and how many of them before the transaction that is open.
    born: u64,
    born_before: u64,
    /// What the open transaction sends when it commits.
    messages: Messages,
    mailbox: Mailbox,
    locks: Arc<Owner>,
    advisory: Arc<Advisory>,
    temporary: Arc<temporary::Kept>,
    /// What the catalogue shows of this session.
    objects: Arc<Mutex<SessionObjects>>,
}

/// Cancels a statement when its time is over; stopped when dropped.
#[derive(Debug, Default)]
struct Timer(Option<tokio::task::AbortHandle>);

impl Timer {
    fn start(limit: Option<Duration>, cancel: &Cancel) -> Self {
        let cancel = cancel.clone();
        Self(limit.map(|limit| {
            let ring = async move {
                tokio::time::sleep(limit).await;
                cancel.cancel(Reason::StatementTimeout);
            };
            tokio::spawn(ring).abort_handle()
        }))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Result columns and the format code each was asked in.
pub type DescribedColumns = (Arc<[ResultColumn]>, Vec<i16>);

impl Session {
    /// Opens the database, applies settings (role, database name, startup options, in design.md's
    /// precedence). Errors are FATAL: 3D000, 42501, 22023 …
    pub async fn open(shared: Shared, start: SessionStart) -> Result<Session> {
        start::open(shared, start).await
    }

    /// Settings that clients are told about (`server_version`, `TimeZone` …) at start, and again whenever
    /// one changes: call after every statement.
    pub fn changed_parameters(&mut self) -> Vec<(String, String)> {
        self.settings.changed_reports()
    }

    /// NOTICEs since the last call, without those below `client_min_messages`.
    pub fn notices(&mut self) -> Vec<SqlError> {
        let drained = self.notices.drain();
        if drained.is_empty() {
            return drained;
        }
        let floor = self.settings.effective().notice_floor;
        let kept = |notice: &SqlError| match notice.fields().severity {
            Severity::Debug => floor <= NoticeFloor::Debug,
            Severity::Log => floor <= NoticeFloor::Log,
            Severity::Notice => floor <= NoticeFloor::Notice,
            Severity::Warning => floor <= NoticeFloor::Warning,
            Severity::Info | Severity::Error | Severity::Fatal => true,
        };
        drained.into_iter().filter(kept).collect()
    }

    pub fn transaction_status(&self) -> TransactionStatus {
        self.status()
    }

    /// How long the client may keep silent now before the connection is to be closed with the error beside it:
    /// 25P03 in a transaction, 57P01's sibling 57P05 outside; `None` for as long as it likes.
    pub fn idle_limit(&self) -> Option<(Duration, SqlError)> {
        self.place.rest(self.status(), || self.database.now());
        let effective = self.settings.effective();
        let fatal = |code, what: &str| SqlError::fatal(code, format!("terminating connection due to {what} timeout"));
        match self.status() {
            TransactionStatus::Idle => {
                effective.idle_session.map(|limit| (limit, fatal(SqlState::IDLE_SESSION_TIMEOUT, "idle-session")))
            }
            TransactionStatus::InBlock | TransactionStatus::Failed => effective
                .idle_in_transaction
                .map(|limit| (limit, fatal(SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT, "idle-in-transaction"))),
        }
    }

    /// Cancelled when another session ends this one: the connection is to be closed with 57P01.
    pub fn ending(&self) -> tokio_util::sync::CancellationToken {
        self.place.ending()
    }

    /// A fresh handle for the statement that is about to run; cancelling it stops that statement only.
    pub fn canceller(&mut self) -> Cancel {
        self.timer = Timer::default();
        self.cancel = Cancel::new();
        self.cancel.clone()
    }

    /// Splits a simple query's text. The whole text is one implicit transaction unless it has a BEGIN of its own.
    pub fn split(&self, text: &str) -> Result<Vec<Parsed>> {
        crate::sql::parse(text)
    }

    /// Runs one statement of a simple query. `last` closes the implicit transaction, unless others came before and rows are
    /// to be sent: then [`Self::sync`] does.
    pub async fn run(&mut self, statement: Parsed, last: bool) -> Result<Reply> {
        self.start_timer();
        let reply = self.run_parsed(&statement, last).await;
        reply.map_err(|error| {
            self.abort();
            placed(error, &statement)
        })
    }

    /// To be called when a statement, or the sending of its rows, failed: ends the implicit transaction or
    /// marks the block as failed.
    pub async fn failed(&mut self, error: &SqlError) {
        tracing::debug!(code = error.code().code(), "statement failed");
        self.abort();
    }

    /// Parse. An empty name is the unnamed statement.
    pub async fn parse(&mut self, name: &str, text: &str, types: &[Oid]) -> Result<()> {
        self.start_timer();
        self.parse_statement(name, text, types).await
    }

    pub fn describe_statement(&self, name: &str) -> Result<StatementDescription> {
        Ok(self.statement(name)?.description())
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
        self.bind_portal(portal, statement, parameter_formats, parameters, result_formats).await
    }

    /// Result columns with the format each was asked in; `None` when there are no rows.
    pub fn describe_portal(&self, portal: &str) -> Result<Option<DescribedColumns>> {
        match self.cursors.get(portal) {
            Some(cursor) => Ok(Some(cursor.description())),
            None => self.portal(portal).map(Portal::description),
        }
    }

    /// Execute. Row replies of a portal that was suspended go on where they stopped: the reply's stream is the rest.
    /// What it writes is committed at Sync: a conflict then is 40001.
    pub async fn execute(&mut self, portal: &str) -> Result<Reply> {
        self.start_timer();
        self.execute_portal(portal, false).await
    }

    /// Execute when the next message is known to be Sync: the statement stands alone if nothing came before it,
    /// is committed here and tries again by itself when it lost against another commit.
    pub async fn execute_last(&mut self, portal: &str) -> Result<Reply> {
        self.start_timer();
        self.execute_portal(portal, true).await
    }

    /// Gives back the rest of a row stream after PortalSuspended.
    pub fn suspend(&mut self, portal: &str, rest: Reply) {
        if let Some(portal) = self.portals.get_mut(portal) {
            portal.rest = Some(rest).into();
        }
    }

    pub fn close_statement(&mut self, name: &str) {
        self.statements.remove(name);
        self.objects.lock().prepared.remove(name);
    }

    pub fn close_portal(&mut self, name: &str) {
        self.portals.remove(name);
    }

    /// Sync: ends the implicit transaction (commits it, or rolls it back when it failed).
    pub async fn sync(&mut self) -> Result<()> {
        self.end_implicit().await
    }

    /// Messages of channels that are listened to, come since the last call. To be asked for outside transactions only.
    pub fn notifications(&mut self) -> Vec<Notification> {
        self.mailbox.take()
    }

    /// Waits for the next such message.
    pub async fn notified(&mut self) -> Option<Notification> {
        self.mailbox.next().await
    }

    /// The connection is gone: rolls back.
    pub async fn end(&mut self) {
        self.timer = Timer::default();
        self.forget(false);
        self.statements.clear();
        self.cursors.clear();
        self.advisory.give_back_all();
    }

    fn start_timer(&mut self) {
        self.timer = Timer::start(self.settings.effective().statement_timeout, &self.cancel);
    }

    fn zone(&self) -> Result<Zone> {
        Zone::parse(&self.settings.effective().time_zone)
    }

    fn notice(&self, message: impl Into<String>) {
        self.notices.push(SqlError::notice(message));
    }

    fn warn(&self, code: SqlState, message: impl Into<String>) {
        self.notices.push(SqlError::warning(code, message));
    }
}

/// The error with the place it is about, counted from the beginning of the text that the client sent.
fn placed(error: SqlError, statement: &Parsed) -> SqlError {
    let mut error = match prepared::is_planned(&statement.statement) {
        true => crate::plan::located(error, &statement.text),
        false => error,
    };
    if let Some(position) = &mut error.fields_mut().position {
        *position += statement.offset;
    }
    error
}

//! A session's transaction: implicit or a block, its snapshot, its modes, how it ends.
//!
//! The snapshot is taken at the first statement that needs one. Nothing is written here: a commit hands the whole
//! transaction to `history`.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;

use super::as_of::AsOf;
use super::locking::TransactionLocks;
use super::locks::Wait;
use super::savepoints::Named;
use super::{Reply, Session, TransactionStatus};
use crate::error::{Diagnose, Result, SqlError, SqlState};
use crate::history::{HistoryError, Transaction};
use crate::plan::{DefaultScope, Held};
use crate::sql::{AsOfValue, TransactionModes, TransactionStatement};
use crate::types::{PgType, TypeName};
use crate::versions::{CommitStamp, Context, Timestamp};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Block {
    #[default]
    None,
    /// Statements of one query text, or of the extended protocol until Sync.
    Implicit,
    Explicit,
    /// A block that had an error: only its end is accepted.
    Failed,
}

/// What the session knows of its transaction.
#[derive(Debug, Default)]
pub(super) struct State {
    pub block: Block,
    /// Snapshot and own writes, from the first statement that needed them.
    pub current: Option<Arc<Mutex<Transaction>>>,
    /// What now() says, and what relative times count from.
    pub started: Option<Timestamp>,
    pub modes: Modes,
    /// It is that of one statement, whose success is told when it has been committed.
    pub alone: bool,
    /// It has lost a race before and locks what it changes.
    pub insists: bool,
    /// A statement's own context comments, merged over `chronogate.context`.
    pub comment: Option<String>,
    /// Places to go back to, the innermost last.
    pub savepoints: Vec<Named>,
    /// What it has locked, until it ends.
    pub locks: TransactionLocks,
    /// Memory that own writes take.
    pub held: Option<Held>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Modes {
    pub isolation: Option<&'static str>,
    pub read_only: Option<bool>,
    /// Of BEGIN … AS OF SYSTEM TIME.
    pub as_of: Option<AsOf>,
}

impl Session {
    pub(super) fn status(&self) -> TransactionStatus {
        match self.transaction.block {
            Block::None | Block::Implicit => TransactionStatus::Idle,
            Block::Explicit => TransactionStatus::InBlock,
            Block::Failed => TransactionStatus::Failed,
        }
    }

    /// The transaction that statements run in, begun on the newest snapshot if there is none.
    pub(super) fn current(&mut self) -> Arc<Mutex<Transaction>> {
        if let Some(current) = &self.transaction.current {
            return Arc::clone(current);
        }
        let transaction = self.database.begin(Context::default());
        self.read_from(transaction)
    }

    /// Makes this the transaction that statements run in.
    pub(super) fn read_from(&mut self, mut transaction: Transaction) -> Arc<Mutex<Transaction>> {
        self.temporary.enter(&mut transaction);
        if self.transaction.block == Block::Explicit {
            transaction.watch_reads();
        }
        self.settings.snapshot_is(transaction.snapshot.commit.0);
        let current = Arc::new(Mutex::new(transaction));
        self.transaction.current = Some(Arc::clone(&current));
        current
    }

    /// The memory that own writes of the open transaction count against.
    pub(super) fn held(&mut self) -> Held {
        let engine = &self.shared.engine;
        self.transaction.held.get_or_insert_with(|| engine.hold("transaction")).clone()
    }

    pub(super) fn started(&mut self) -> Timestamp {
        let database = &self.database;
        *self.transaction.started.get_or_insert_with(|| database.now())
    }

    /// The pinned time of the transaction or the session.
    pub(super) fn default_scope(&mut self) -> Option<DefaultScope> {
        let pinned = self.transaction.modes.as_of.or(self.settings.effective().as_of)?;
        Some(pinned.scope(self.started()))
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.transaction.modes.read_only.unwrap_or(self.settings.effective().default_read_only)
    }

    /// Transaction control. Works in a failed block as far as it ends one.
    pub(super) async fn control(&mut self, statement: TransactionStatement) -> Result<Reply> {
        let tag = match statement {
            TransactionStatement::Begin(modes) => {
                self.begin(modes).await?;
                "BEGIN"
            }
            TransactionStatement::Commit { chain } => self.commit_block(chain).await?,
            TransactionStatement::Rollback { chain } => self.rollback_block(chain)?,
            TransactionStatement::Savepoint(name) => {
                self.savepoint(name)?;
                "SAVEPOINT"
            }
            TransactionStatement::Release(name) => {
                self.release(&name)?;
                "RELEASE"
            }
            TransactionStatement::RollbackTo(name) => {
                self.roll_back_to(&name)?;
                "ROLLBACK"
            }
            TransactionStatement::Set(modes) => {
                self.set_modes(modes).await?;
                "SET"
            }
            TransactionStatement::SetConstraints { names, deferred } => {
                self.set_constraints(&names, deferred).await?;
                "SET CONSTRAINTS"
            }
            TransactionStatement::SetSession(modes) => {
                self.set_session_modes(modes)?;
                "SET"
            }
        };
        Ok(Reply::Command(tag.to_owned()))
    }

    async fn begin(&mut self, modes: TransactionModes) -> Result<()> {
        match self.transaction.block {
            Block::None => self.transaction = State { block: Block::Explicit, ..State::default() },
            // Statements of the same text before the BEGIN become part of the block.
            Block::Implicit => self.transaction.block = Block::Explicit,
            Block::Explicit => {
                self.warn(SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
                return Ok(());
            }
            Block::Failed => return Err(aborted()),
        }
        let applied = self.apply_modes(modes).await;
        if applied.is_err() {
            self.forget(false);
        }
        applied
    }

    async fn set_modes(&mut self, modes: TransactionModes) -> Result<()> {
        if self.transaction.block != Block::Explicit {
            self.warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET TRANSACTION can only be used in transaction blocks");
            return Ok(());
        }
        if let Some(name) = &modes.snapshot {
            return self.import_snapshot(name);
        }
        if self.transaction.current.is_some() {
            let now = self.settings.show("transaction_isolation").map(|(_, level)| level).unwrap_or_default();
            if modes.isolation.is_some_and(|level| level != now) {
                let message = "SET TRANSACTION ISOLATION LEVEL must be called before any query";
                return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
            }
            if modes.as_of.is_some() {
                let message = "SET TRANSACTION AS OF SYSTEM TIME must be called before any query";
                return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
            }
            if modes.read_only == Some(false) && self.is_read_only() {
                let message = "transaction read-write mode must be set before any query";
                return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
            }
        }
        self.apply_modes(modes).await
    }

    async fn apply_modes(&mut self, modes: TransactionModes) -> Result<()> {
        if let Some(value) = modes.as_of {
            if modes.read_only == Some(false) {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "a transaction that reads the past cannot be READ WRITE",
                ));
            }
            self.transaction.modes.as_of = Some(self.evaluate_as_of(value).await?);
        }
        if let Some(isolation) = modes.isolation {
            self.transaction.modes.isolation = Some(isolation);
        }
        if let Some(read_only) = modes.read_only {
            self.transaction.modes.read_only = Some(read_only);
        }
        self.show_modes();
        Ok(())
    }

    fn set_session_modes(&mut self, modes: TransactionModes) -> Result<()> {
        use super::settings::Source;
        if modes.as_of.is_some() {
            return Err(SqlError::unsupported(
                "AS OF SYSTEM TIME cannot be a default of transactions",
                "Use SET chronogate.as_of = '…'.",
            ));
        }
        if let Some(isolation) = modes.isolation {
            self.settings.assign("default_transaction_isolation", isolation, Source::Session)?;
        }
        if let Some(read_only) = modes.read_only {
            let value = if read_only { "on" } else { "off" };
            self.settings.assign("default_transaction_read_only", value, Source::Session)?;
        }
        self.show_modes();
        Ok(())
    }

    /// Lets SHOW transaction_isolation and transaction_read_only answer for the open transaction.
    pub(super) fn show_modes(&mut self) {
        let default = self.settings.show("default_transaction_isolation").map(|(_, v)| v).unwrap_or_default();
        let isolation = self.transaction.modes.isolation.map_or(default, str::to_owned);
        self.settings.fix("transaction_isolation", &isolation);
        let past = self.transaction.modes.as_of.is_some();
        self.settings.fix("transaction_read_only", if past || self.is_read_only() { "on" } else { "off" });
    }

    /// The instant of BEGIN … AS OF: a setting's text, an expression of constants, or a commit's number.
    async fn evaluate_as_of(&mut self, value: AsOfValue) -> Result<AsOf> {
        let as_of = match value {
            AsOfValue::Time(expression) => match literal(&expression) {
                Some(text) => AsOf::parse(text, self.zone()?)?,
                None => self.evaluate_time(&expression).await?,
            },
            AsOfValue::Commit(expression) => {
                let ctx = self.context().await?;
                match self.shared.engine.evaluate(&ctx, &expression, PgType::INT8).await? {
                    ScalarValue::Int64(Some(n)) if n >= 0 => AsOf::Commit(crate::versions::CommitNo(n.unsigned_abs())),
                    ScalarValue::Int64(Some(n)) => {
                        let message = format!("commit number {n} is out of range");
                        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                    }
                    _ => return Err(null_instant()),
                }
            }
        };
        // The clock was asked without taking a snapshot that BEGIN does not have yet.
        self.transaction.current = None;
        as_of.check(self.database.now(), self.database.snapshot().commit)
    }

    async fn evaluate_time(&mut self, expression: &ast::Expr) -> Result<AsOf> {
        let ctx = self.context().await?;
        if matches!(expression, ast::Expr::Interval(_)) {
            return match self.shared.engine.evaluate(&ctx, expression, PgType::new(TypeName::Interval)).await? {
                ScalarValue::IntervalMonthDayNano(Some(distance)) => Ok(AsOf::Ago(distance)),
                _ => Err(null_instant()),
            };
        }
        match self.shared.engine.evaluate(&ctx, expression, PgType::TIMESTAMPTZ).await? {
            ScalarValue::TimestampMicrosecond(Some(micros), _) => Ok(AsOf::Instant(Timestamp::from_micros(micros))),
            _ => Err(null_instant()),
        }
    }

    async fn commit_block(&mut self, chain: bool) -> Result<&'static str> {
        let modes = self.transaction.modes.clone();
        let tag = match self.transaction.block {
            Block::Explicit => {
                self.commit().await?;
                "COMMIT"
            }
            Block::Failed => {
                self.forget(false);
                "ROLLBACK"
            }
            Block::None | Block::Implicit => {
                self.outside_block("COMMIT", chain)?;
                self.commit().await?;
                "COMMIT"
            }
        };
        self.chain(chain, modes);
        Ok(tag)
    }

    fn rollback_block(&mut self, chain: bool) -> Result<&'static str> {
        let modes = self.transaction.modes.clone();
        if matches!(self.transaction.block, Block::None | Block::Implicit) {
            self.outside_block("ROLLBACK", chain)?;
        }
        self.forget(false);
        self.chain(chain, modes);
        Ok("ROLLBACK")
    }

    fn outside_block(&mut self, statement: &str, chain: bool) -> Result<()> {
        if chain {
            let message = format!("{statement} AND CHAIN can only be used in transaction blocks");
            return Err(SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        self.warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
        Ok(())
    }

    fn chain(&mut self, chain: bool, modes: Modes) {
        if chain {
            self.transaction = State { block: Block::Explicit, modes, ..State::default() };
            self.show_modes();
        }
    }

    /// Makes the open transaction one commit. Whatever comes of it, the transaction is over.
    pub(super) async fn commit(&mut self) -> Result<Option<CommitStamp>> {
        if let Err(error) = self.check_deferred().await {
            self.forget(false);
            return Err(error);
        }
        if !self.cursors.is_empty()
            && let Err(error) = self.keep_held_cursors().await
        {
            self.forget(false);
            return Err(error);
        }
        if let Err(error) = self.drop_on_commit().await {
            self.forget(false);
            return Err(error);
        }
        let Some(mut transaction) = self.take_transaction() else {
            self.forget(true);
            return Ok(None);
        };
        let left = match self.temporary.leave(&mut transaction) {
            Ok(left) => left,
            Err(error) => {
                self.forget(false);
                return Err(error);
            }
        };
        let wait = Wait::Up(self.settings.effective().lock_timeout);
        let pass = match transaction.is_empty() {
            true => None,
            false => match self.locks.pass(&transaction, wait, &self.cancel).await {
                Ok(pass) => Some(pass),
                Err(error) => {
                    self.temporary.give_up(left);
                    self.forget(false);
                    return Err(error);
                }
            },
        };
        let committed = self.database.commit(transaction).await;
        drop(pass);
        match committed {
            Ok(stamp) => {
                self.temporary.keep(left);
                self.forget(true);
                Ok(stamp)
            }
            Err(error) => {
                self.temporary.give_up(left);
                self.forget(false);
                Err(self.diagnose(error))
            }
        }
    }

    /// Takes the transaction out to be committed, with the context it is to have.
    pub(super) fn take_transaction(&mut self) -> Option<Transaction> {
        let current = self.transaction.current.take()?;
        let mut transaction = match Arc::try_unwrap(current) {
            Ok(transaction) => transaction.into_inner(),
            // A row stream still reads through it.
            Err(shared) => shared.lock().clone(),
        };
        if !transaction.is_empty() {
            transaction.context = self.commit_context();
        }
        Some(transaction)
    }

    /// Ends the transaction without committing anything (more): portals go with it.
    pub(super) fn forget(&mut self, committed: bool) {
        let shown = self.transaction.modes.isolation.is_some() || self.transaction.modes.read_only.is_some();
        let pinned = self.transaction.modes.as_of.is_some();
        self.transaction = State::default();
        self.portals.clear();
        self.withdraw_snapshots();
        self.end_cursors(committed);
        match committed {
            true => self.send_messages(),
            false => drop(self.messages.take()),
        }
        self.settings.end_transaction(committed);
        if shown || pinned {
            self.show_modes();
        }
    }

    /// Who and why, as it is kept with the commit.
    pub(super) fn commit_context(&self) -> Context {
        let effective = self.settings.effective();
        Context {
            user: self.user.clone(),
            application_name: effective.application_name.clone(),
            client_address: self.client_address.clone(),
            actor: effective.actor.clone(),
            reason: effective.reason.clone(),
            context: merged(effective.context.as_deref(), self.transaction.comment.as_deref()),
        }
    }

    /// Remembers a statement's context comment for the commit; later ones win member by member.
    pub(super) fn note_comment(&mut self, comment: Option<&str>) {
        if comment.is_some() {
            self.transaction.comment = merged(self.transaction.comment.as_deref(), comment);
        }
    }

    pub(super) fn diagnose(&self, error: HistoryError) -> SqlError {
        let told = error.diagnose();
        if matches!(told.code(), SqlState::IO_ERROR | SqlState::DATA_CORRUPTED | SqlState::INTERNAL_ERROR) {
            tracing::error!(%error, database = self.database.name(), "commit failed");
        }
        told
    }

    /// In a block, an error makes everything but its end refused; without one, the transaction is gone.
    pub(super) fn abort(&mut self) {
        match self.transaction.block {
            Block::Explicit => {
                if self.return_to_last() {
                    self.transaction.block = Block::Failed;
                    return;
                }
                let modes = self.transaction.modes.clone();
                self.transaction = State { block: Block::Failed, modes, ..State::default() };
                self.portals.clear();
                self.withdraw_snapshots();
                self.end_cursors(false);
                self.messages.take();
                self.settings.end_transaction(false);
            }
            Block::Failed => {}
            Block::None | Block::Implicit => self.forget(false),
        }
    }
}

/// 25P02.
pub(super) fn aborted() -> SqlError {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    SqlError::new(SqlState::IN_FAILED_SQL_TRANSACTION, message)
}

fn null_instant() -> SqlError {
    SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "the time to read cannot be null")
}

fn literal(expression: &ast::Expr) -> Option<&str> {
    match expression {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The members of two JSON objects, those of the second winning. Both are known to be objects.
fn merged(under: Option<&str>, over: Option<&str>) -> Option<String> {
    let (Some(under), Some(over)) = (under, over) else { return over.or(under).map(str::to_owned) };
    let object = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).unwrap_or_default();
    let mut members = object(under);
    members.extend(object(over));
    Some(serde_json::Value::Object(members).to_string())
}

//! From a statement to who answers it, and the surroundings it is answered in.
//!
//! Owns the order of checks: failed block, read-only, privileges, then the statement itself.

use std::future::Future;
use std::sync::Arc;

use datafusion::common::ScalarValue;

use super::prepared::PreparedStatement;
use super::transaction::{Block, aborted};
use super::writing::changes_rows;
use super::{Reply, Session};
use crate::error::{Result, SqlError, SqlState};
use crate::history::TEMPORARY;
use crate::plan::{DefaultScope, Execution, Prepared, RowStream, StatementContext};
use crate::sql::{CopyDirection, Ddl, ObjectKind, Parsed, RoutineKind, Statement, TransactionStatement};
use crate::types::PgType;
use crate::versions::Timestamp;

/// One statement to run: as text gave it, or bound to parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work<'a> {
    Text(&'a Parsed),
    Bound { statement: &'a PreparedStatement, parameters: &'a [ScalarValue], formats: &'a [i16] },
}

impl<'a> Work<'a> {
    pub fn parsed(self) -> Option<&'a Parsed> {
        match self {
            Self::Text(parsed) => Some(parsed),
            Self::Bound { statement, .. } => statement.parsed.as_deref(),
        }
    }

    /// Formats that Bind asked for.
    pub fn formats(self) -> &'a [i16] {
        match self {
            Self::Text(_) => &[],
            Self::Bound { formats, .. } => formats,
        }
    }

    /// Types and values of the parameters that Bind gave.
    pub fn bound(self) -> (&'a [PgType], &'a [ScalarValue]) {
        match self {
            Self::Text(_) => (&[], &[]),
            Self::Bound { statement, parameters, .. } => (statement.parameters(), parameters),
        }
    }

    pub fn statement(self) -> Option<&'a Statement> {
        self.parsed().map(|parsed| &parsed.statement)
    }
}

impl Session {
    pub(super) async fn run_parsed(&mut self, parsed: &Parsed, last: bool) -> Result<Reply> {
        self.run_work(Work::Text(parsed), last).await
    }

    /// Runs one statement where the transaction stands; `last` closes an implicit one.
    pub(super) async fn run_work(&mut self, work: Work<'_>, last: bool) -> Result<Reply> {
        let Some(parsed) = work.parsed() else { return Ok(Reply::Empty) };
        let (started, now) = (self.transaction.started, self.database.now());
        self.place.begin(&parsed.text, &self.settings.effective().application_name, started, now, &self.cancel);
        for notice in &parsed.notices {
            self.notice(notice.as_str());
        }
        if let Statement::Transaction(control) = &parsed.statement {
            return Box::pin(self.run_control(control, last)).await;
        }
        match self.transaction.block {
            Block::Failed => Err(aborted()),
            Block::Explicit => self.perform(work).await,
            Block::None if last => self.alone(work).await,
            Block::None | Block::Implicit => {
                self.transaction.block = Block::Implicit;
                let reply = self.perform(work).await?;
                // Rows that are yet to be read may fail, and with them all that came before: those are sent first.
                if last && !matches!(reply, Reply::Rows { .. } | Reply::CopyOut { .. }) {
                    self.commit().await?;
                }
                Ok(reply)
            }
        }
    }

    async fn run_control(&mut self, control: &TransactionStatement, last: bool) -> Result<Reply> {
        use TransactionStatement::{Commit, Rollback, RollbackTo};
        let ends = matches!(control, Commit { .. } | Rollback { .. } | RollbackTo(_));
        if self.transaction.block == Block::Failed && !ends {
            return Err(aborted());
        }
        let reply = self.control(control.clone()).await?;
        if last {
            self.end_implicit().await?;
        }
        Ok(reply)
    }

    /// Commits what is open outside a block.
    pub(super) async fn end_implicit(&mut self) -> Result<()> {
        match self.transaction.block {
            Block::None | Block::Implicit => self.commit().await.map(drop),
            Block::Explicit | Block::Failed => Ok(()),
        }
    }

    /// Runs a statement in the transaction that is open, without ending it.
    pub(super) async fn perform(&mut self, work: Work<'_>) -> Result<Reply> {
        let Some(parsed) = work.parsed() else { return Ok(Reply::Empty) };
        self.note_comment(parsed.context.as_deref());
        match (&parsed.statement, work) {
            (Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_), _)
            | (Statement::Merge(_) | Statement::With { .. } | Statement::Explain { .. }, _) => self.perform_planned(work).await,
            // Boxed, as everything rare is: the future of a common statement is moved about.
            (Statement::Copy(copy), _) => Box::pin(self.copy(copy)).await,
            (Statement::Ddl(ddl), _) => {
                self.refuse_write(&parsed.statement)?;
                Box::pin(self.define(ddl)).await
            }
            (Statement::Execute { name, arguments }, _) => Box::pin(self.execute_named(name, arguments)).await,
            (Statement::Declare(declare), work) => Box::pin(self.declare(declare, &parsed.text, work.bound())).await,
            (Statement::Do(block), _) => Box::pin(self.run_inline(block)).await,
            (Statement::Call(call), work) => Box::pin(self.call(call, work)).await,
            (Statement::Fetch(fetch), work) => Box::pin(self.fetch(fetch, work.formats())).await,
            (utility, _) => Box::pin(self.utility(utility)).await,
        }
    }

    /// A statement that takes advisory locks is run to its end at once, and again when it had to wait for one.
    async fn perform_planned(&mut self, work: Work<'_>) -> Result<Reply> {
        let locks = work.parsed().is_some_and(|parsed| Self::mentions_locks(&parsed.text));
        if !locks && self.calls_routines(work) {
            // What its functions write is written when all its rows are there.
            return super::reply::collected(self.perform_once(work).await?).await;
        }
        if !locks {
            return match work.statement().is_some_and(changes_rows) && self.may_run_again() {
                true => Box::pin(self.perform_write(work)).await,
                false => self.perform_once(work).await,
            };
        }
        loop {
            let done = match self.perform_once(work).await {
                Ok(reply) => super::reply::collected(reply).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(reply) => {
                    self.keep_advisory();
                    return Ok(reply);
                }
                Err(error) => {
                    if !self.wait_for_advisory().await? {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Whether it is a query that calls, by name, functions that may write.
    pub(super) fn calls_routines(&mut self, work: Work<'_>) -> bool {
        let Some(statement @ Statement::Query(_)) = work.statement() else { return false };
        let catalog = match &self.transaction.current {
            Some(current) => Arc::clone(&current.lock().catalog),
            None => self.temporary.beside(self.database.catalog()),
        };
        crate::plan::routines::may_write(&catalog, statement)
    }

    pub(super) async fn perform_once(&mut self, work: Work<'_>) -> Result<Reply> {
        let Some(statement) = work.statement() else { return Ok(Reply::Empty) };
        self.refuse_write(statement)?;
        match (statement, work) {
            (Statement::Query(query), Work::Text(_)) if !query.locks.is_empty() => {
                return self.select_locking(query, &[], &[], &[]).await;
            }
            (Statement::Query(query), Work::Bound { statement: kept, parameters, formats }) if !query.locks.is_empty() => {
                return self.select_locking(query, kept.parameters(), parameters, formats).await;
            }
            (Statement::Explain { options, inner }, _) if options.analyze && locks_rows(inner) => {
                return Err(SqlError::unsupported(
                    "EXPLAIN ANALYZE of a SELECT that locks rows is not supported",
                    "Explain it without its FOR UPDATE.",
                ));
            }
            _ => {}
        }
        let ctx = self.context().await?;
        match work {
            Work::Text(_) => {
                let engine = Arc::clone(&self.shared.engine);
                let prepared = cancellable(&ctx, engine.prepare(&ctx, statement, &[])).await?;
                if !prepared.parameters.is_empty() {
                    return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
                }
                self.run_prepared(&ctx, statement, &prepared, Vec::new(), &[]).await
            }
            Work::Bound { statement: kept, parameters, formats } => {
                let prepared = self.plan_kept(&ctx, kept).await?;
                self.run_prepared(&ctx, statement, &prepared, parameters.to_vec(), formats).await
            }
        }
    }

    /// Runs a plan and says what it did.
    pub(super) async fn run_prepared(
        &self,
        ctx: &StatementContext,
        statement: &Statement,
        prepared: &Prepared,
        parameters: Vec<ScalarValue>,
        formats: &[i16],
    ) -> Result<Reply> {
        let execution = cancellable(ctx, self.shared.engine.execute(ctx, prepared, parameters)).await?;
        Ok(match execution {
            Execution::Rows(rows) => {
                let (tag, count_rows) = match statement {
                    Statement::Explain { .. } => ("EXPLAIN", false),
                    _ => ("SELECT", true),
                };
                rows_reply(ctx, rows, tag.to_owned(), count_rows, formats)
            }
            Execution::Modified { count, returning } => {
                let main = match statement {
                    Statement::With { main, .. } => main.as_ref(),
                    other => other,
                };
                let tag = match main {
                    Statement::Insert(_) => format!("INSERT 0 {count}"),
                    Statement::Delete(_) => format!("DELETE {count}"),
                    Statement::Merge(_) => format!("MERGE {count}"),
                    _ => format!("UPDATE {count}"),
                };
                match returning {
                    Some(rows) => rows_reply(ctx, rows, tag, false, formats),
                    None => Reply::Command(tag),
                }
            }
        })
    }

    /// The surroundings of the statement that is about to run. Fixes the transaction's snapshot.
    pub(super) async fn context(&mut self) -> Result<StatementContext> {
        let started = self.started();
        let current = self.current();
        let effective = self.settings.effective();
        let default_scope = self.default_scope();
        let current_user = effective.role.clone().unwrap_or_else(|| effective.session_user.clone());
        let superuser = self.shared.tenancy.role(&current_user).is_some_and(|role| role.superuser);
        let catalog = Arc::clone(&current.lock().catalog);
        let search_path = searched(&effective.search_path, &current_user, &catalog);
        let clock = match default_scope.filter(|_| effective.clock_follows) {
            Some(scope) => Some(self.instant_of(scope).await?),
            None => None,
        };
        Ok(StatementContext {
            database: Arc::clone(&self.database),
            transaction: current,
            session_user: effective.session_user.clone(),
            current_user,
            superuser,
            authorities: self.authorities.clone(),
            server: self.server.clone(),
            catalogues: self.shared.engine.catalogues(),
            search_path,
            time_zone: effective.time_zone.clone(),
            default_scope,
            schema_at: effective.schema_at,
            read_only: default_scope.is_some() || self.is_read_only(),
            commits_alone: self.transaction.alone,
            transaction_time: clock.unwrap_or(started),
            statement_time: clock.unwrap_or_else(|| self.database.now()),
            settings: self.settings.clone(),
            notices: self.notices.clone(),
            sequences: self.sequences.clone(),
            messages: self.messages.clone(),
            advisory: Arc::<super::locking::Advisory>::clone(&self.advisory),
            objects: Arc::clone(&self.objects),
            held: self.held(),
            cancel: self.cancel.clone(),
            backend_pid: self.backend_pid,
            seen: None,
            returned: Default::default(),
            depth: 0,
            calls: Default::default(),
        })
    }

    async fn instant_of(&self, scope: DefaultScope) -> Result<Timestamp> {
        match scope {
            DefaultScope::AsOf(at) => Ok(at),
            DefaultScope::AsOfCommit(commit) => Ok(self.database.commit_stamp(commit).await?.time),
        }
    }

    /// 25006 for what changes data or definitions while the transaction may not.
    pub(super) fn refuse_write(&mut self, statement: &Statement) -> Result<()> {
        let Some(name) = change_made_by(statement) else { return Ok(()) };
        if self.default_scope().is_some() {
            let error =
                SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, format!("cannot execute {name} while reading the past"));
            return Err(error.hint("SET chronogate.as_of = '' returns to the present."));
        }
        if self.is_read_only() {
            let message = format!("cannot execute {name} in a read-only transaction");
            return Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
        }
        Ok(())
    }
}

/// Runs to the end, or to the moment somebody cancels.
pub(super) async fn cancellable<T>(ctx: &StatementContext, work: impl Future<Output = Result<T>>) -> Result<T> {
    ctx.cancel.check()?;
    tokio::select! {
        biased;
        done = work => done,
        () = ctx.cancel.cancelled() => Err(ctx.cancel.error()),
    }
}

fn rows_reply(ctx: &StatementContext, rows: RowStream, tag: String, count_rows: bool, formats: &[i16]) -> Reply {
    Reply::Rows {
        formats: super::prepared::each_format(formats, rows.columns.len()),
        columns: rows.columns,
        batches: rows.batches,
        tag,
        count_rows,
        cancel: ctx.cancel.clone(),
        time_zone: ctx.time_zone.clone(),
    }
}

/// The schemas of a search path that exist; `$user` is the role's own, never a schema of the system: the superuser is
/// called `chronogate`, and so is one of those.
pub(super) fn searched(path: &[String], user: &str, catalog: &crate::history::Catalog) -> Vec<String> {
    let temporary = catalog.temporary_schema().map(|schema| schema.name.as_str());
    let exists =
        |name: &str| catalog.schemas.contains_key(name) || matches!(name, "pg_catalog" | "information_schema" | "chronogate");
    let resolved = path.iter().filter_map(|name| match name.as_str() {
        "$user" => catalog.schemas.contains_key(user).then_some(user),
        TEMPORARY => temporary,
        name => exists(name).then_some(name),
    });
    let resolved: Vec<&str> = resolved.collect();
    // Temporary relations come first, unless the path gives them another place.
    let implicit = temporary.filter(|name| !resolved.contains(name));
    implicit.into_iter().chain(resolved).map(str::to_owned).collect()
}

fn locks_rows(statement: &Statement) -> bool {
    matches!(statement, Statement::Query(query) if !query.locks.is_empty())
}

/// What PostgreSQL calls the statement when it refuses it in a read-only transaction; `None` when it changes nothing.
fn change_made_by(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Insert(_) => Some("INSERT"),
        Statement::Update(_) => Some("UPDATE"),
        Statement::Delete(_) => Some("DELETE"),
        Statement::Merge(_) => Some("MERGE"),
        Statement::With { main, .. } => change_made_by(main).or(Some("SELECT")),
        Statement::Query(query) if !query.locks.is_empty() => Some("SELECT FOR UPDATE"),
        Statement::Explain { options, inner } if options.analyze => change_made_by(inner),
        Statement::Copy(copy) if copy.direction == CopyDirection::FromStdin => Some("COPY FROM"),
        Statement::Ddl(ddl) => Some(tag_of(ddl)),
        Statement::Query(_)
        | Statement::Explain { .. }
        | Statement::Copy(_)
        | Statement::Transaction(_)
        | Statement::Set(_)
        | Statement::Show(_)
        | Statement::Reset(_)
        | Statement::Discard(_)
        | Statement::Prepare { .. }
        | Statement::Execute { .. }
        | Statement::Deallocate(_)
        | Statement::Declare(_)
        | Statement::Fetch(_)
        | Statement::Close(_)
        | Statement::Listen(_)
        | Statement::Unlisten(_)
        | Statement::Notify { .. }
        | Statement::Upkeep(_)
        | Statement::Lock(_)
        | Statement::Call(_)
        | Statement::Do(_) => None,
    }
}

/// The command tag of a change of definitions.
pub(super) fn tag_of(ddl: &Ddl) -> &'static str {
    match ddl {
        Ddl::CreateTable(_) => "CREATE TABLE",
        Ddl::CreateTableAs(_) => "CREATE TABLE AS",
        Ddl::CreateMaterializedView { .. } => "CREATE MATERIALIZED VIEW",
        Ddl::Refresh { .. } => "REFRESH MATERIALIZED VIEW",
        Ddl::AlterTable { .. } => "ALTER TABLE",
        Ddl::Drop { kind, .. } => match kind {
            ObjectKind::Table => "DROP TABLE",
            ObjectKind::View => "DROP VIEW",
            ObjectKind::MaterializedView => "DROP MATERIALIZED VIEW",
            ObjectKind::Index => "DROP INDEX",
            ObjectKind::Type => "DROP TYPE",
            ObjectKind::Domain => "DROP DOMAIN",
            ObjectKind::Schema => "DROP SCHEMA",
            ObjectKind::Sequence => "DROP SEQUENCE",
            ObjectKind::Role => "DROP ROLE",
            ObjectKind::Database => "DROP DATABASE",
        },
        Ddl::Truncate { .. } => "TRUNCATE TABLE",
        Ddl::CreateIndex(_) => "CREATE INDEX",
        Ddl::CreateSchema { .. } => "CREATE SCHEMA",
        Ddl::CreateView { .. } => "CREATE VIEW",
        Ddl::CreateSequence { .. } => "CREATE SEQUENCE",
        Ddl::AlterSequence { .. } | Ddl::AlterRelation { kind: ObjectKind::Sequence, .. } => "ALTER SEQUENCE",
        Ddl::CreateEnum { .. } | Ddl::CreateComposite { .. } => "CREATE TYPE",
        Ddl::CreateDomain(_) => "CREATE DOMAIN",
        Ddl::AlterType { domain: false, .. } => "ALTER TYPE",
        Ddl::AlterType { domain: true, .. } => "ALTER DOMAIN",
        Ddl::CreateRole { .. } => "CREATE ROLE",
        Ddl::AlterRole { .. } | Ddl::AlterRoleSet { .. } => "ALTER ROLE",
        Ddl::CreateDatabase { .. } => "CREATE DATABASE",
        Ddl::Grant(grant) if matches!(grant.objects, crate::sql::GrantObjects::Roles(_)) => "GRANT ROLE",
        Ddl::Revoke(grant) if matches!(grant.objects, crate::sql::GrantObjects::Roles(_)) => "REVOKE ROLE",
        Ddl::Grant(_) => "GRANT",
        Ddl::Revoke(_) => "REVOKE",
        Ddl::AlterRelation { kind: ObjectKind::View, .. } => "ALTER VIEW",
        Ddl::AlterRelation { kind: ObjectKind::MaterializedView, .. } => "ALTER MATERIALIZED VIEW",
        Ddl::AlterRelation { .. } => "ALTER INDEX",
        Ddl::RenameSchema { .. } | Ddl::SchemaOwner { .. } => "ALTER SCHEMA",
        Ddl::CreateRoutine(create) if create.procedure => "CREATE PROCEDURE",
        Ddl::CreateRoutine(_) => "CREATE FUNCTION",
        Ddl::DropRoutine { kind, .. } => match kind {
            RoutineKind::Function => "DROP FUNCTION",
            RoutineKind::Procedure => "DROP PROCEDURE",
            RoutineKind::Routine => "DROP ROUTINE",
        },
        Ddl::AlterRoutine { kind, .. } => match kind {
            RoutineKind::Function => "ALTER FUNCTION",
            RoutineKind::Procedure => "ALTER PROCEDURE",
            RoutineKind::Routine => "ALTER ROUTINE",
        },
        Ddl::CreateTrigger(_) => "CREATE TRIGGER",
        Ddl::DropTrigger { .. } => "DROP TRIGGER",
        Ddl::RenameTrigger { .. } => "ALTER TRIGGER",
        Ddl::CreateExtension(_) => "CREATE EXTENSION",
        Ddl::UpdateExtension { .. } => "ALTER EXTENSION",
        Ddl::DropExtension { .. } => "DROP EXTENSION",
        Ddl::Comment { .. } => "COMMENT",
    }
}

//! INSERT, UPDATE, DELETE and MERGE: planned as SELECTs by DataFusion, materialised, checked and then written into
//! the transaction, whole or not at all.
//!
//! Owns assignment (defaults, casts, lengths), constraints, ON CONFLICT, RETURNING, and the same for COPY.
//! Never prints a statement to parse it again, never commits.

mod assign;
mod assigned;
mod cells;
mod compiled;
mod conflict;
mod copy;
mod documents;
mod existing;
mod fire;
mod foreign;
mod insert;
mod later;
mod merge;
mod parameters;
mod program;
mod returning;
mod run;
mod select;
mod set;
mod system;
mod target;
#[cfg(test)]
mod tests;
mod text_rows;
mod through;
mod update;
mod values;
mod write;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;

pub use self::assign::{assign, assignable, written_meet};
pub use self::copy::{CopyInsert, HistoryLoad};
pub use self::foreign::check_deferred;
use self::insert::Insert;
pub use self::later::Later;
use self::merge::Merge;
use self::parameters::Parameters;
pub use self::program::simplifier;
pub use self::run::Run;
pub use self::select::fold;
pub use self::target::{computed_keys, find_relation, parse_expression};
use self::update::Change;
pub use self::write::computed_parts;
use super::routines::Within;
use super::{Execution, ResultColumn, StatementContext};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{RoutineDef, TableDef, ViewDef};
use crate::types::PgType;

/// What writing needs of the engine: queries planned and run under one statement's context.
///
/// A scan of a table that is written to must resolve, by name and beside the table's own columns, `_version`
/// (the number of the live state read) and [`ITEM_KEY`] (the item's key, Binary); neither is in `*`.
#[async_trait]
pub trait Queries: Send + Sync + Debug {
    /// The state that expressions are planned under: functions, planners, analyzer rules of the statement.
    fn state(&self) -> &SessionState;

    /// Plans a query: names resolved, parameters of these types, others typed as far as the query alone tells,
    /// not optimised.
    async fn plan(&self, query: ast::Query, known: &[Option<PgType>]) -> Result<LogicalPlan>;

    /// Plans an expression over columns, parameters likewise.
    fn expression(&self, expression: ast::Expr, schema: &DFSchema, known: &[Option<PgType>]) -> Result<Expr>;

    /// Runs a plan with these parameters to its end, own writes of the transaction included.
    async fn collect(&self, plan: &LogicalPlan, parameters: &[ScalarValue]) -> Result<Vec<RecordBatch>>;

    /// What a client is told about an error of DataFusion.
    fn diagnose(&self, error: DataFusionError) -> SqlError;

    /// The surroundings in which the body of a routine runs.
    fn within(&self, routine: &RoutineDef) -> Result<Within>;
}

/// Hidden column of every scan of a current table: the item's key, as bytes.
pub const ITEM_KEY: &str = "_key";

/// An INSERT, UPDATE, DELETE or MERGE that has been analysed: bound to definitions, not to data or parameters.
#[derive(Debug)]
pub struct Modify {
    parameters: Vec<PgType>,
    /// The same as far as the statement tells.
    known: Vec<Option<PgType>>,
    kind: Kind,
    compiled: bool,
}

#[derive(Debug)]
enum Kind {
    Insert(Box<Insert>),
    Change(Box<Change>),
    Merge(Box<Merge>),
}

/// Analyses an INSERT; `declared` are the parameter types that the client gave.
pub async fn plan_insert(
    ctx: &StatementContext,
    queries: &dyn Queries,
    insert: &ast::Insert,
    declared: &[Option<PgType>],
) -> Result<Modify> {
    let mut parameters = Parameters::new(declared);
    let kind = Kind::Insert(Box::new(insert::plan_insert(ctx, queries, insert, &mut parameters).await?));
    Modify::new(queries, parameters, kind)
}

/// Analyses an UPDATE.
pub async fn plan_update(
    ctx: &StatementContext,
    queries: &dyn Queries,
    update: &ast::Update,
    declared: &[Option<PgType>],
) -> Result<Modify> {
    let mut parameters = Parameters::new(declared);
    let kind = Kind::Change(Box::new(update::plan_update(ctx, queries, update, &mut parameters).await?));
    Modify::new(queries, parameters, kind)
}

/// Analyses a DELETE.
pub async fn plan_delete(
    ctx: &StatementContext,
    queries: &dyn Queries,
    delete: &ast::Delete,
    declared: &[Option<PgType>],
) -> Result<Modify> {
    let mut parameters = Parameters::new(declared);
    let kind = Kind::Change(Box::new(update::plan_delete(ctx, queries, delete, &mut parameters).await?));
    Modify::new(queries, parameters, kind)
}

/// Analyses a MERGE.
pub async fn plan_merge(
    ctx: &StatementContext,
    queries: &dyn Queries,
    merge: &crate::sql::Merge,
    declared: &[Option<PgType>],
) -> Result<Modify> {
    let mut parameters = Parameters::new(declared);
    let kind = Kind::Merge(Box::new(Merge::plan(ctx, queries, merge, &mut parameters).await?));
    Modify::new(queries, parameters, kind)
}

impl Modify {
    fn new(queries: &dyn Queries, parameters: Parameters, mut kind: Kind) -> Result<Self> {
        let known = parameters.known();
        let parameters = parameters.finish();
        let compiled = match &mut kind {
            Kind::Insert(insert) => insert.compile(queries, &parameters)?,
            Kind::Change(change) => change.compile(queries, &parameters)?,
            Kind::Merge(_) => false,
        };
        Ok(Self { parameters, known, kind, compiled })
    }

    /// Whether it runs without a planner: with [`Run::compiled`].
    pub fn is_compiled(&self) -> bool {
        self.compiled
    }

    /// Types of `$1` …
    pub fn parameters(&self) -> &[PgType] {
        &self.parameters
    }

    /// The same; `None` for those that nothing in the statement tells.
    pub fn known(&self) -> &[Option<PgType>] {
        &self.known
    }

    /// What RETURNING gives; `None` without one.
    pub fn columns(&self) -> Option<Arc<[ResultColumn]>> {
        let returning = match &self.kind {
            Kind::Insert(insert) => &insert.returning,
            Kind::Change(change) => &change.returning,
            Kind::Merge(_) => &None,
        };
        returning.as_ref().map(|r| r.columns.clone())
    }

    /// The table that is written to.
    pub fn table(&self) -> &TableDef {
        match &self.kind {
            Kind::Insert(insert) => insert.target().table(),
            Kind::Change(change) => change.target().table(),
            Kind::Merge(merge) => merge.target().table(),
        }
    }

    /// `INSERT`, `UPDATE`, `DELETE` or `MERGE`: its name in messages, and but for the last the privilege it takes.
    pub fn verb(&self) -> &'static str {
        match &self.kind {
            Kind::Insert(_) => "INSERT",
            Kind::Change(change) if change.is_update() => "UPDATE",
            Kind::Change(_) => "DELETE",
            Kind::Merge(_) => "MERGE",
        }
    }

    /// The view that it names, where it writes through one.
    fn view(&self) -> Option<&ViewDef> {
        match &self.kind {
            Kind::Insert(insert) => insert.view.as_deref(),
            Kind::Change(change) => change.view.as_deref(),
            Kind::Merge(_) => None,
        }
    }

    /// 42501 unless the role may do it: to the table; or to the view, and the view's owner to the table.
    fn check_privileges(&self, ctx: &StatementContext) -> Result<()> {
        let Some(view) = self.view() else {
            return self.privileges().into_iter().try_for_each(|privilege| allow(ctx, self.table(), privilege));
        };
        let (own, owner, table) = (ctx.authority(), ctx.authorities.of(&view.owner), self.table());
        for privilege in self.privileges() {
            ctx.require(&own, privilege, "view", &view.name, &view.grants, &view.owner)?;
            ctx.require(&owner, privilege, "table", &table.name, &table.grants, &table.owner)?;
        }
        Ok(())
    }

    /// For EXPLAIN: the SELECT that gives the rows, where there is one.
    pub fn source(&self) -> Option<&LogicalPlan> {
        match &self.kind {
            Kind::Insert(insert) => insert.source(),
            Kind::Change(change) => change.source(),
            Kind::Merge(merge) => Some(merge.source()),
        }
    }

    /// The privileges that its actions take. And UPDATE for ON CONFLICT DO UPDATE, and SELECT where values of rows decide
    /// something or are shown. A query that finds rows asks for its own, but for one of a view's rows.
    fn privileges(&self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Insert(insert) if insert.updates_on_conflict() => vec!["INSERT", "SELECT", "UPDATE"],
            Kind::Insert(insert) if insert.returning.is_some() || insert.has_conflict() => vec!["INSERT", "SELECT"],
            Kind::Change(change) if change.returning.is_some() || change.is_lookup() || change.view.is_some() => {
                vec![self.verb(), "SELECT"]
            }
            Kind::Insert(_) | Kind::Change(_) => vec![self.verb()],
            Kind::Merge(merge) => merge.privileges(),
        }
    }

    /// Runs it: reads, checks, and writes to `ctx.transaction`, whole or not at all. Always `Execution::Modified`.
    /// 25006 where nothing may be written, 42501 without the privilege.
    pub async fn execute(&self, run: Run<'_>) -> Result<Execution> {
        refuse_read_only(run.ctx, self.verb())?;
        if !run.ctx.superuser {
            self.check_privileges(run.ctx)?;
        }
        match &self.kind {
            Kind::Insert(insert) => insert.execute(run).await,
            Kind::Change(change) => change.execute(run).await,
            Kind::Merge(merge) => merge.execute(run).await,
        }
    }
}

/// 42501 unless the current role has this privilege on the table.
pub fn allow(ctx: &StatementContext, table: &TableDef, privilege: &str) -> Result<()> {
    if ctx.superuser {
        return Ok(());
    }
    ctx.require(&ctx.authority(), privilege, "table", &table.name, &table.grants, &table.owner)
}

/// 25006 when the transaction is read-only or reads the past.
pub fn refuse_read_only(ctx: &StatementContext, verb: &str) -> Result<()> {
    if ctx.default_scope.is_some() {
        let message = format!("cannot execute {verb} while reading the past");
        return Err(
            SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message).hint("RESET chronogate.as_of returns to the present.")
        );
    }
    if ctx.read_only {
        let message = format!("cannot execute {verb} in a read-only transaction");
        return Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
    }
    Ok(())
}

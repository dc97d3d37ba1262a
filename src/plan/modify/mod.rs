//! INSERT, UPDATE and DELETE: planned as SELECTs by DataFusion, materialised, checked and then written into
//! the transaction, whole or not at all.
//!
//! Owns assignment (defaults, casts, lengths), constraints, ON CONFLICT, RETURNING, and the same for COPY.
//! Never prints a statement to parse it again, never commits.

mod assign;
mod cells;
mod compiled;
mod conflict;
mod copy;
mod existing;
mod foreign;
mod insert;
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

pub use self::assign::assignable;
pub use self::copy::{CopyInsert, HistoryLoad};
pub use self::foreign::check_deferred;
use self::insert::Insert;
use self::parameters::Parameters;
pub use self::program::simplifier;
pub use self::run::Run;
pub use self::select::fold;
pub use self::target::{find_relation, parse_expression};
use self::update::Change;
use super::{Execution, ResultColumn, StatementContext};
use crate::error::{Result, SqlError, SqlState};
use crate::history::TableDef;
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
}

/// Hidden column of every scan of a current table: the item's key, as bytes.
pub const ITEM_KEY: &str = "_key";

/// An INSERT, UPDATE or DELETE that has been analysed: bound to definitions, not to data or parameters.
#[derive(Debug)]
pub struct Modify {
    parameters: Vec<PgType>,
    kind: Kind,
    compiled: bool,
}

#[derive(Debug)]
enum Kind {
    Insert(Box<Insert>),
    Change(Box<Change>),
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

impl Modify {
    fn new(queries: &dyn Queries, parameters: Parameters, mut kind: Kind) -> Result<Self> {
        let parameters = parameters.finish();
        let compiled = match &mut kind {
            Kind::Insert(insert) => insert.compile(queries, &parameters)?,
            Kind::Change(change) => change.compile(queries, &parameters)?,
        };
        Ok(Self { parameters, kind, compiled })
    }

    /// Whether it runs without a planner: with [`Run::compiled`].
    pub fn is_compiled(&self) -> bool {
        self.compiled
    }

    /// Types of `$1` …
    pub fn parameters(&self) -> &[PgType] {
        &self.parameters
    }

    /// What RETURNING gives; `None` without one.
    pub fn columns(&self) -> Option<Arc<[ResultColumn]>> {
        let returning = match &self.kind {
            Kind::Insert(insert) => &insert.returning,
            Kind::Change(change) => &change.returning,
        };
        returning.as_ref().map(|r| r.columns.clone())
    }

    /// The table that is written to.
    pub fn table(&self) -> &TableDef {
        match &self.kind {
            Kind::Insert(insert) => insert.target().table(),
            Kind::Change(change) => change.target().table(),
        }
    }

    /// `INSERT`, `UPDATE` or `DELETE`: the privilege it takes, and its name in messages.
    pub fn verb(&self) -> &'static str {
        match &self.kind {
            Kind::Insert(_) => "INSERT",
            Kind::Change(change) if change.is_update() => "UPDATE",
            Kind::Change(_) => "DELETE",
        }
    }

    /// For EXPLAIN: the SELECT that gives the rows, where there is one.
    pub fn source(&self) -> Option<&LogicalPlan> {
        match &self.kind {
            Kind::Insert(insert) => insert.source(),
            Kind::Change(change) => change.source(),
        }
    }

    /// Privileges beside the verb's: UPDATE for ON CONFLICT DO UPDATE, and SELECT where values of rows decide
    /// something or are shown. A query that finds rows asks for its own.
    fn further_privileges(&self) -> &'static [&'static str] {
        match &self.kind {
            Kind::Insert(insert) if insert.updates_on_conflict() => &["SELECT", "UPDATE"],
            Kind::Insert(insert) if insert.returning.is_some() || insert.has_conflict() => &["SELECT"],
            Kind::Change(change) if change.returning.is_some() || change.is_lookup() => &["SELECT"],
            Kind::Insert(_) | Kind::Change(_) => &[],
        }
    }

    /// Runs it: reads, checks, and writes to `ctx.transaction`, whole or not at all. Always `Execution::Modified`.
    /// 25006 where nothing may be written, 42501 without the privilege.
    pub async fn execute(&self, run: Run<'_>) -> Result<Execution> {
        refuse_read_only(run.ctx, self.verb())?;
        allow(run.ctx, self.table(), self.verb())?;
        for privilege in self.further_privileges() {
            allow(run.ctx, self.table(), privilege)?;
        }
        match &self.kind {
            Kind::Insert(insert) => insert.execute(run).await,
            Kind::Change(change) => change.execute(run).await,
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

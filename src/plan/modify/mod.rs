//! INSERT, UPDATE and DELETE: planned as SELECTs by DataFusion, materialised, checked and then written into
//! the transaction, whole or not at all.
//!
//! Owns assignment (defaults, casts, lengths), constraints, ON CONFLICT, RETURNING, and the same for COPY.
//! Never prints a statement to parse it again, never commits.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;

use super::{Execution, ResultColumn, StatementContext};
use crate::error::{Result, SqlError};
use crate::types::PgType;

/// What writing needs of the engine: queries planned and run under one statement's context.
///
/// A scan of a table that is written to must resolve, by name and beside the table's own columns, `_version`
/// (the number of the live state read) and [`ITEM_KEY`] (the item's key, Binary); neither is in `*`.
#[async_trait]
pub trait Queries: Send + Sync {
    /// The state that expressions are planned under: functions, planners, analyzer rules of the statement.
    fn state(&self) -> &SessionState;

    /// Plans a query: names resolved, parameters typed as far as the query alone tells, not optimised.
    async fn plan(&self, query: ast::Query) -> Result<LogicalPlan>;

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
    columns: Option<Arc<[ResultColumn]>>,
}

pub async fn plan_insert(
    ctx: &StatementContext,
    queries: &dyn Queries,
    insert: &ast::Insert,
    declared: &[Option<PgType>],
) -> Result<Modify> {
    let _ = (ctx, queries, insert, declared);
    Err(SqlError::unsupported("INSERT is not supported", "It is being built."))
}

pub async fn plan_update(
    ctx: &StatementContext,
    queries: &dyn Queries,
    update: &ast::Update,
    declared: &[Option<PgType>],
) -> Result<Modify> {
    let _ = (ctx, queries, update, declared);
    Err(SqlError::unsupported("UPDATE is not supported", "It is being built."))
}

pub async fn plan_delete(
    ctx: &StatementContext,
    queries: &dyn Queries,
    delete: &ast::Delete,
    declared: &[Option<PgType>],
) -> Result<Modify> {
    let _ = (ctx, queries, delete, declared);
    Err(SqlError::unsupported("DELETE is not supported", "It is being built."))
}

impl Modify {
    /// Types of `$1` …
    pub fn parameters(&self) -> &[PgType] {
        &self.parameters
    }

    /// What RETURNING gives; `None` without one.
    pub fn columns(&self) -> Option<Arc<[ResultColumn]>> {
        self.columns.clone()
    }

    /// Runs it: reads, checks, and writes to `ctx.transaction`, whole or not at all. Always `Execution::Modified`.
    pub async fn execute(&self, ctx: &StatementContext, queries: &dyn Queries, parameters: &[ScalarValue]) -> Result<Execution> {
        let _ = (ctx, queries, parameters);
        Err(SqlError::unsupported("writing is not supported", "It is being built."))
    }
}

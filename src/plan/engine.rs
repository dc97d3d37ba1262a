//! The door of this module: prepare a statement, run it.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;

use super::StatementContext;
use crate::error::Result;
use crate::sql::Statement;
use crate::types::{Oid, PgType};

/// Limits of one server.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Bytes that all running statements may hold together; above it they spill or fail with 53200.
    pub memory_limit: usize,
    /// Parallel partitions of one statement.
    pub partitions: usize,
    /// Where sorts and joins spill.
    pub spill_directory: std::path::PathBuf,
}

/// Everything that plans and runs statements; one per server.
#[derive(Debug)]
pub struct Engine {
    _config: EngineConfig,
}

/// One output column, as RowDescription tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumn {
    /// PostgreSQL's name for it: `?column?`, `count`, the column's own.
    pub name: String,
    pub ty: PgType,
    /// Table and attribute number where the column is a table's, else 0.
    pub table_oid: Oid,
    pub attribute: i16,
}

/// A statement that has been analysed. Bound to definitions, not to data: it may be run many times, under
/// different snapshots and parameters, until the catalogue changes.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Types of `$1` …, inferred where the client did not declare them.
    pub parameters: Vec<PgType>,
    /// `None` for a statement without result rows.
    pub columns: Option<Arc<[ResultColumn]>>,
}

/// Result rows. Batches' columns are in the order of `columns`; their Arrow types are `columns[i].ty.arrow()`.
pub struct RowStream {
    pub columns: Arc<[ResultColumn]>,
    pub batches: SendableRecordBatchStream,
}

/// What running a statement gave.
pub enum Execution {
    Rows(RowStream),
    /// Rows inserted, updated or deleted into the transaction (not yet committed), with RETURNING's rows.
    Modified {
        count: u64,
        returning: Option<RowStream>,
    },
}

#[expect(unused_variables)]
impl Engine {
    pub fn new(config: EngineConfig) -> Result<Arc<Self>> {
        todo!()
    }

    /// Analyses a Query, Insert, Update, Delete or Explain. `declared` are the parameter types that the client gave.
    pub async fn prepare(&self, ctx: &StatementContext, statement: &Statement, declared: &[Option<PgType>]) -> Result<Prepared> {
        todo!()
    }

    /// Runs it. Parameters must have the Arrow types of `prepared.parameters`. Writes go to `ctx.transaction`,
    /// whole or not at all; the session commits.
    pub async fn execute(&self, ctx: &StatementContext, prepared: &Prepared, parameters: Vec<ScalarValue>) -> Result<Execution> {
        todo!()
    }

    /// Evaluates an expression without columns (DEFAULT of a setting, AS OF of a BEGIN, EXECUTE's arguments).
    pub async fn evaluate(
        &self,
        ctx: &StatementContext,
        expression: &datafusion::sql::sqlparser::ast::Expr,
        ty: PgType,
    ) -> Result<ScalarValue> {
        todo!()
    }
}

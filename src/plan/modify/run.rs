//! What one execution of a write has at hand.

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;

use super::{Later, Queries};
use crate::error::{Result, SqlError};
use crate::plan::StatementContext;

/// Surroundings, parameters, and a planner where the statement needs one.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    pub ctx: &'a StatementContext,
    /// `None` for statements that are compiled whole.
    pub queries: Option<&'a dyn Queries>,
    pub parameters: &'a [ScalarValue],
    diagnose: Option<fn(DataFusionError) -> SqlError>,
    /// Who sees to foreign keys when the statement has more parts than this one.
    pub(super) later: Option<&'a Later>,
}

impl<'a> Run<'a> {
    pub fn planned(ctx: &'a StatementContext, queries: &'a dyn Queries, parameters: &'a [ScalarValue]) -> Self {
        Self { ctx, queries: Some(queries), parameters, diagnose: None, later: None }
    }

    /// Without a planner; `diagnose` says what a client is told about an error of DataFusion.
    pub fn compiled(ctx: &'a StatementContext, parameters: &'a [ScalarValue], diagnose: fn(DataFusionError) -> SqlError) -> Self {
        Self { ctx, queries: None, parameters, diagnose: Some(diagnose), later: None }
    }

    /// Leaves foreign keys to `later`.
    pub fn leaving(self, later: &'a Later) -> Self {
        Self { later: Some(later), ..self }
    }

    /// For expressions of definitions, which have none.
    pub fn without_parameters(self) -> Self {
        Self { parameters: &[], ..self }
    }

    pub async fn collect(self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>> {
        match self.queries {
            Some(queries) => queries.collect(plan, self.parameters).await,
            None => Err(SqlError::internal("a query was run without a planner")),
        }
    }

    pub fn diagnose(self, error: DataFusionError) -> SqlError {
        match (self.queries, self.diagnose) {
            (Some(queries), _) => queries.diagnose(error),
            (None, Some(diagnose)) => diagnose(error),
            (None, None) => SqlError::internal(error.to_string()),
        }
    }
}

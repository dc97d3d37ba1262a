//! Expressions without columns, as values: instants, defaults of added columns, settings.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::diagnose::diagnose;
use crate::error::{Result, SqlError};

/// The value of a planned expression that the optimiser has seen.
pub fn value_in(state: &dyn Session, expr: &Expr) -> Result<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Ok(value.clone());
    }
    let schema = DFSchema::empty();
    let physical = state.create_physical_expr(expr.clone(), &schema).map_err(diagnose)?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).map_err(|e| diagnose(e.into()))?;
    let value = physical.evaluate(&row).map_err(diagnose)?;
    let array = value.into_array(1).map_err(diagnose)?;
    ScalarValue::try_from_array(&array, 0).map_err(diagnose)
}

/// The value of an expression as it was planned from SQL: analysed and folded first.
pub fn value_of(state: &SessionState, expr: Expr) -> Result<ScalarValue> {
    let row = LogicalPlanBuilder::empty(true).project(vec![expr.alias("value")]).and_then(LogicalPlanBuilder::build);
    let plan = state.optimize(&row.map_err(diagnose)?).map_err(diagnose)?;
    let LogicalPlan::Projection(projection) = plan else {
        return Err(SqlError::internal("a constant expression was planned as something else"));
    };
    let expr = projection.expr.first().cloned().map(Expr::unalias);
    let expr = expr.ok_or_else(|| SqlError::internal("a constant expression has no value"))?;
    value_in(state, &expr)
}

/// Whether the plan gives one row of literals and looks at nothing.
pub fn is_row_of_literals(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Projection(projection) = plan else { return false };
    let of_nothing = matches!(&*projection.input, LogicalPlan::EmptyRelation(empty) if empty.produce_one_row);
    let is_literal = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Literal(..));
    of_nothing && projection.expr.iter().all(is_literal)
}

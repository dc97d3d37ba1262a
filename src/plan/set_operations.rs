//! EXCEPT ALL and INTERSECT ALL: as often as the difference, or the lesser, of how often both sides have a row;
//! and VALUES whose columns take literals of several kinds.
//!
//! Rows that are equal are numbered on either side, so that each is told from the next; then the operation is one of sets.

use std::sync::Arc;

use datafusion::common::{Column, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, Union};
use datafusion::sql::sqlparser::ast;

use super::resolution;
use super::scan::external;
use crate::error::{SqlError, SqlState};

/// The names that the operations are written under, as functions of two queries in FROM.
pub const EXCEPT_ALL: &str = "__except_all";
pub const INTERSECT_ALL: &str = "__intersect_all";

/// The name that VALUES of mixed literals is written under, as a function of a query per row.
pub const VALUES: &str = "__values";

const NUMBER: &str = "\u{1}number";

/// The rows of such an operation; `None` for another function.
pub fn plan(name: &str, args: &[ast::FunctionArg], context: &mut dyn RelationPlannerContext) -> Result<Option<LogicalPlan>> {
    if ![EXCEPT_ALL, INTERSECT_ALL, VALUES].contains(&name) {
        return Ok(None);
    }
    let queries = args.iter().filter_map(|arg| match arg {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Subquery(query))) => Some(query.clone()),
        _ => None,
    });
    let mut sides = Vec::with_capacity(2);
    for subquery in queries {
        let factor = ast::TableFactor::Derived { lateral: false, subquery, alias: None, sample: None };
        sides.push(Arc::new(context.plan(factor)?));
    }
    if name == VALUES {
        let rows = resolution::aligned(sides, "VALUES")?;
        return Ok(Some(LogicalPlan::Union(Union::try_new_with_loose_types(rows)?)));
    }
    let widths: Vec<usize> = sides.iter().map(|s| s.schema().fields().len()).collect();
    if widths.windows(2).any(|w| w[0] != w[1]) {
        let word = if name == EXCEPT_ALL { "EXCEPT" } else { "INTERSECT" };
        let message = format!("each {word} query must have the same number of columns");
        return Err(external(SqlError::new(SqlState::SYNTAX_ERROR, message)));
    }
    let names: Vec<String> =
        sides.first().map(|s| s.schema().fields().iter().map(|f| f.name().clone()).collect()).unwrap_or_default();
    let mut numbered =
        resolution::aligned(sides, "UNION")?.into_iter().map(|side| numbered(&side)).collect::<Result<Vec<_>>>()?;
    let (Some(right), Some(left)) = (numbered.pop(), numbered.pop()) else {
        return Err(external(SqlError::internal("a set operation without its queries")));
    };
    let made = match name {
        EXCEPT_ALL => LogicalPlanBuilder::except(left, right, true)?,
        _ => LogicalPlanBuilder::intersect(left, right, true)?,
    };
    let columns = names.iter().enumerate().map(|(i, name)| Expr::Column(Column::from_name(place(i))).alias(name));
    LogicalPlanBuilder::from(made).project(columns.collect::<Vec<_>>())?.build().map(Some)
}

fn place(index: usize) -> String {
    format!("\u{1}{index}")
}

/// The side's columns by their places, and the number of each row among those equal to it.
fn numbered(side: &Arc<LogicalPlan>) -> Result<LogicalPlan> {
    let columns = side.schema().columns().into_iter().enumerate().map(|(i, c)| Expr::Column(c).alias(place(i)));
    let placed = LogicalPlanBuilder::from(side.as_ref().clone()).project(columns.collect::<Vec<_>>())?;
    let width = side.schema().fields().len();
    let keys: Vec<Expr> = (0..width).map(|i| Expr::Column(Column::from_name(place(i)))).collect();
    let number = row_number().partition_by(keys.clone()).build()?.alias(NUMBER);
    let mut all = keys;
    all.push(Expr::Column(Column::from_name(NUMBER)));
    placed.window(vec![number])?.project(all)?.build()
}

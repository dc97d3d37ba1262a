//! The SELECT that a write is planned as: built as a tree, never as text.

use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::Queries;
use crate::error::{Result, SqlError};

/// `SELECT items FROM from WHERE selection`.
pub fn select(items: Vec<ast::SelectItem>, from: Vec<ast::TableWithJoins>, selection: Option<ast::Expr>) -> Result<ast::Query> {
    let template = Parser::new(&PostgreSqlDialect {}).try_with_sql("SELECT 1").and_then(|mut parser| parser.parse_query());
    let mut query = *template.map_err(|_| SqlError::internal("the empty query does not parse"))?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
        select.from = from;
        select.selection = selection;
    }
    Ok(query)
}

/// `alias.name` as an output column.
pub fn column_of(alias: &str, name: &str) -> ast::SelectItem {
    let quoted = |text: &str| ast::Ident::with_quote('"', text);
    ast::SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(vec![quoted(alias), quoted(name)]))
}

/// `expr AS name`.
pub fn named(expr: ast::Expr, name: &str) -> ast::SelectItem {
    ast::SelectItem::ExprWithAlias { expr, alias: ast::Ident::with_quote('"', name) }
}

/// The name an identifier means: folded unless it was quoted.
pub fn fold(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// Changes the output expressions of a plan whose top is a projection; other plans stay.
pub fn map_outputs(queries: &dyn Queries, plan: LogicalPlan, change: impl Fn(usize, Expr) -> Expr) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(plan) };
    let expressions = projection.expr.into_iter().enumerate().map(|(n, e)| change(n, e)).collect();
    let changed = Projection::try_new(expressions, projection.input).map_err(|e| queries.diagnose(e))?;
    Ok(LogicalPlan::Projection(changed))
}

/// The output expressions of a plan whose top is a projection.
pub fn outputs(plan: &LogicalPlan) -> &[Expr] {
    match plan {
        LogicalPlan::Projection(projection) => &projection.expr,
        _ => &[],
    }
}

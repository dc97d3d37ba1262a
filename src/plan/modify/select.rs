//! The SELECT that a write is planned as: built as a tree, never as text.

use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::Queries;
use super::parameters::Parameters;
use super::program::untyped_placeholder;
use crate::error::{Result, SqlError};
use crate::types::PgType;

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

/// Plans a query whose parameters may get their types from where its outputs go: `wanted` tells these types, by
/// output, once the query's width is known.
pub async fn plan_typed(
    queries: &dyn Queries,
    query: ast::Query,
    parameters: &mut Parameters,
    mut wanted: impl FnMut(&LogicalPlan) -> Result<Vec<(usize, PgType)>>,
) -> Result<LogicalPlan> {
    let first = queries.plan(query.clone(), &parameters.known()).await?;
    for (n, ty) in wanted(&first)? {
        if let Some(number) = outputs(&first).get(n).and_then(untyped_placeholder) {
            parameters.wants(number, ty);
        }
    }
    parameters.of_plan(queries, &first)?;
    let known = parameters.known();
    // With every parameter typed, so are the columns made of them.
    if known.is_empty() { Ok(first) } else { queries.plan(query, &known).await }
}

/// The output expressions of a plan whose top is a projection.
pub fn outputs(plan: &LogicalPlan) -> &[Expr] {
    match plan {
        LogicalPlan::Projection(projection) => &projection.expr,
        _ => &[],
    }
}

//! The SET list of UPDATE and of ON CONFLICT DO UPDATE: which column gets what.

use std::borrow::Cow;
use std::ops::ControlFlow;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast;

use super::Run;
use super::assign::{assign, assignable, not_assignable};
use super::program::untyped_literal;
use super::select::fold;
use super::target::{Target, repeat};
use super::values::read_literal;
use crate::error::{Result, SqlError, SqlState};
use crate::types::{Identity, PgType, text};

/// One column that gets a new value.
#[derive(Clone, Debug)]
pub struct Assignment {
    pub position: usize,
    pub value: AssignedValue,
}

#[derive(Clone, Debug)]
pub enum AssignedValue {
    Default,
    /// The n-th expression of the list.
    Expression(usize),
}

/// How the values of an expression become those of a column.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A literal of no type of its own: already a value of the column.
    Constant(ScalarValue),
    Typed(PgType),
}

/// Takes the list apart: the assignments, and the expressions they refer to.
pub fn take_apart(target: &Target, list: &[ast::Assignment]) -> Result<(Vec<Assignment>, Vec<ast::Expr>)> {
    let mut assignments: Vec<Assignment> = Vec::new();
    let mut expressions = Vec::new();
    for (name, value) in pairs(list)? {
        let position = target.position(&name)?;
        if assignments.iter().any(|a| a.position == position) {
            return Err(SqlError::syntax(format!("multiple assignments to same column \"{name}\"")));
        }
        let column = target.column(position)?;
        let value = if is_default(&value) {
            AssignedValue::Default
        } else if column.generated.is_some() {
            let message = format!("column \"{name}\" can only be updated to DEFAULT");
            let detail = format!("Column \"{name}\" is a generated column.");
            return Err(SqlError::new(SqlState::GENERATED_ALWAYS, message).detail(detail));
        } else if column.identity == Some(Identity::Always) {
            let message = format!("column \"{name}\" can only be updated to DEFAULT");
            return Err(SqlError::new(SqlState::GENERATED_ALWAYS, message)
                .detail(format!("Column \"{name}\" is an identity column defined as GENERATED ALWAYS.")));
        } else {
            expressions.push(value.into_owned());
            AssignedValue::Expression(expressions.len() - 1)
        };
        assignments.push(Assignment { position, value });
    }
    Ok((assignments, expressions))
}

fn pairs(list: &[ast::Assignment]) -> Result<Vec<(String, Cow<'_, ast::Expr>)>> {
    let mut pairs = Vec::with_capacity(list.len());
    for assignment in list {
        match &assignment.target {
            ast::AssignmentTarget::ColumnName(name) => pairs.push((column_name(name)?, Cow::Borrowed(&assignment.value))),
            ast::AssignmentTarget::Tuple(names) => {
                let values = row_values(&assignment.value)?;
                if values.len() != names.len() {
                    return Err(SqlError::syntax("number of columns does not match number of values"));
                }
                for (name, value) in names.iter().zip(values) {
                    pairs.push((column_name(name)?, value));
                }
            }
        }
    }
    Ok(pairs)
}

fn column_name(name: &ast::ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(fold).ok_or_else(|| SqlError::syntax("syntax error in SET")),
        [first, ..] => {
            let first = first.as_ident().map(fold).unwrap_or_default();
            let message = format!("cannot assign to a field of column \"{first}\"");
            Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message)
                .hint("SET takes the bare name of a column, without the table's name."))
        }
        [] => Err(SqlError::syntax("syntax error in SET")),
    }
}

fn row_values(value: &ast::Expr) -> Result<Vec<Cow<'_, ast::Expr>>> {
    match value {
        ast::Expr::Tuple(values) => Ok(values.iter().map(Cow::Borrowed).collect()),
        ast::Expr::Subquery(query) => columns_of(query),
        ast::Expr::Nested(single) if matches!(**single, ast::Expr::Subquery(_)) => row_values(single),
        ast::Expr::Nested(single) => Ok(vec![Cow::Borrowed(single.as_ref())]),
        ast::Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("row") => match &call.args {
            ast::FunctionArguments::List(list) => list
                .args
                .iter()
                .map(|arg| match arg {
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value)) => Ok(Cow::Borrowed(value)),
                    _ => Err(SqlError::syntax("syntax error in ROW")),
                })
                .collect(),
            _ => Err(SqlError::syntax("syntax error in ROW")),
        },
        _ => Err(SqlError::syntax("source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression")),
    }
}

/// Each column of a subquery as a subquery of its own: the snapshot is one, so they see one row. 0A000 where each of
/// them might see another.
fn columns_of(query: &ast::Query) -> Result<Vec<Cow<'_, ast::Expr>>> {
    let unsupported = || {
        SqlError::unsupported(
            "setting several columns from this subquery is not supported",
            "Name the columns of one plain SELECT, or use UPDATE … FROM.",
        )
    };
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return Err(unsupported()) };
    let named = |item: &ast::SelectItem| matches!(item, ast::SelectItem::UnnamedExpr(_) | ast::SelectItem::ExprWithAlias { .. });
    // Of several rows LIMIT picks any, unless an order says which; the order may name any column.
    let picks = query.limit_clause.is_some() || query.fetch.is_some() || query.order_by.is_some();
    // An aggregate makes one row of many: alone, a column without one would see them all.
    let aggregates = select.projection.iter().filter(|item| has_aggregate(item)).count();
    let mixed = aggregates > 0 && aggregates < select.projection.len();
    if !select.projection.iter().all(named) || select.distinct.is_some() || picks || mixed {
        return Err(unsupported());
    }
    let column = |n: usize| {
        let mut query = query.clone();
        if let ast::SetExpr::Select(select) = query.body.as_mut() {
            select.projection = select.projection.get(n).cloned().into_iter().collect();
        }
        Cow::Owned(ast::Expr::Subquery(Box::new(query)))
    };
    Ok((0..select.projection.len()).map(column).collect())
}

fn has_aggregate(item: &ast::SelectItem) -> bool {
    const AGGREGATES: &[&str] = &[
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "array_agg",
        "string_agg",
        "bool_and",
        "bool_or",
        "every",
        "json_agg",
        "jsonb_agg",
        "json_object_agg",
        "jsonb_object_agg",
        "bit_and",
        "bit_or",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "variance",
        "var_pop",
        "var_samp",
        "corr",
        "covar_pop",
        "covar_samp",
        "mode",
        "percentile_cont",
        "percentile_disc",
    ];
    let (ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. }) = item else { return false };
    let found = ast::visit_expressions(expr, |expr| match expr {
        ast::Expr::Function(call) if call.over.is_none() => {
            let name = call.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
            if AGGREGATES.contains(&name.as_str()) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Whether this is the word DEFAULT.
pub fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// How an expression that was planned comes into a column; 42804 when it cannot.
pub fn incoming(target: &Target, position: usize, expr: Option<&Expr>, ty: PgType) -> Result<Incoming> {
    let column = target.column(position)?;
    match expr.and_then(untyped_literal) {
        Some(Some(text)) => read_literal(text, column.ty, target.zone).map(Incoming::Constant),
        Some(None) => text::null_of(column.ty).map(Incoming::Constant),
        None if assignable(ty, column.ty) => Ok(Incoming::Typed(ty)),
        None => Err(not_assignable(&column.name, ty, column.ty)),
    }
}

impl Incoming {
    /// The column's values; `values` are the expression's.
    pub fn bring(&self, target: &Target, position: usize, values: &ArrayRef) -> Result<ArrayRef> {
        match self {
            Self::Constant(value) => repeat(value, values.len()),
            Self::Typed(from) => assign(values, *from, target.column(position)?.ty, target.zone),
        }
    }
}

/// The rows after the assignments: `old` are the layout's columns, `results` the expressions' values.
pub async fn apply(
    run: Run<'_>,
    target: &Target,
    assignments: &[Assignment],
    incoming: &[Incoming],
    old: &[ArrayRef],
    results: &[ArrayRef],
    rows: usize,
) -> Result<Vec<ArrayRef>> {
    let mut new = old.to_vec();
    for assignment in assignments {
        let position = assignment.position;
        let values = match assignment.value {
            AssignedValue::Default => target.default_values(run, position, rows).await?,
            AssignedValue::Expression(n) => match (incoming.get(n), results.get(n)) {
                (Some(incoming), Some(values)) => incoming.bring(target, position, values)?,
                _ => return Err(SqlError::internal("an assignment lost its expression")),
            },
        };
        if let Some(place) = new.get_mut(position) {
            *place = values;
        }
    }
    target.generate(run, new, rows)
}

//! Which subqueries DataFusion's own rules turn into joins that answer as PostgreSQL does.
//!
//! Says yes only to shapes known to be exact; a no costs time, never an answer.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Subquery};

use super::call::has_call;
use super::has_subquery;

/// Whether EXISTS or IN over it, as a condition of a filter, is a semi or anti join.
pub fn joins(subquery: &Subquery, schema: &DFSchema) -> Result<bool> {
    let mut plan = subquery.subquery.as_ref();
    if subquery.outer_ref_columns.is_empty() {
        return Ok(true);
    }
    if !resolves(subquery, schema) {
        return Ok(false);
    }
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) if !projection.expr.iter().any(is_special) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => break,
        };
    }
    filters_alone(plan)
}

/// Whether a scalar subquery, in a filter or a projection, is a left join with groups; or an uncorrelated one,
/// which is computed once.
pub fn is_joined_value(subquery: &Subquery, schema: &DFSchema) -> Result<bool> {
    if subquery.outer_ref_columns.is_empty() {
        // What is computed once is declared as the subquery declares it: without a row it could not be NULL.
        return Ok(subquery.subquery.schema().fields().iter().all(|f| f.is_nullable()));
    }
    let LogicalPlan::Projection(projection) = subquery.subquery.as_ref() else { return Ok(false) };
    let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else { return Ok(false) };
    let plain = |expr: &Expr| match expr {
        Expr::AggregateFunction(AggregateFunction { params, .. }) => {
            params.filter.is_none() && params.order_by.is_empty() && !params.args.iter().any(is_special)
        }
        _ => false,
    };
    let bare = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Column(_));
    let simple = aggregate.group_expr.is_empty() && aggregate.aggr_expr.iter().all(plain) && projection.expr.iter().all(bare);
    Ok(simple && resolves(subquery, schema) && filters_alone(&aggregate.input)?)
}

fn is_special(expr: &Expr) -> bool {
    expr.contains_outer() || has_call(expr) || has_subquery(expr) || expr.is_volatile()
}

/// Whether every outer column is one of the query right around.
fn resolves(subquery: &Subquery, schema: &DFSchema) -> bool {
    subquery.outer_ref_columns.iter().all(|expr| match expr {
        Expr::OuterReferenceColumn(_, column) => schema.has_column(column),
        _ => false,
    })
}

/// Whether outer columns are only in the conditions of one filter at the top, each an equality with an inner column.
fn filters_alone(plan: &LogicalPlan) -> Result<bool> {
    let mut plan = plan;
    while let LogicalPlan::SubqueryAlias(alias) = plan {
        plan = &alias.input;
    }
    let LogicalPlan::Filter(filter) = plan else { return Ok(false) };
    let conditions = split_conjunction(&filter.predicate);
    let fits = |condition: &&Expr| !condition.contains_outer() && !has_call(condition) || is_equality(condition);
    if !conditions.iter().all(fits) || !conditions.iter().any(|c| c.contains_outer()) {
        return Ok(false);
    }
    let mut clean = true;
    filter.input.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            clean &= !expr.contains_outer();
            Ok(TreeNodeRecursion::Continue)
        })?;
        clean &= !matches!(node, LogicalPlan::Subquery(_) | LogicalPlan::Extension(_));
        Ok(if clean { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(clean)
}

fn is_equality(condition: &Expr) -> bool {
    let Expr::BinaryExpr(binary) = condition else { return false };
    let sides = (binary.left.as_ref(), binary.right.as_ref());
    let plain =
        matches!(sides, (Expr::Column(_), Expr::OuterReferenceColumn(..)) | (Expr::OuterReferenceColumn(..), Expr::Column(_)));
    plain && binary.op == Operator::Eq
}

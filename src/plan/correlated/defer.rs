//! Subqueries in the select list of a derived table that is joined run for the rows that the join leaves, and not
//! for all that it reads: catalogues are asked so (`FROM (SELECT …, (SELECT …)) t JOIN …`).
//!
//! Only where nothing but the result needs what they give. Moves calls, changes no answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, Projection, SubqueryAlias};

use super::call::has_call;

/// What a column is called that is carried along for a call above the join.
const CARRIED: &str = "__carried_";

/// For one node, seen from above; its inputs come later.
pub fn deferred(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let (predicate, join) = match &plan {
        LogicalPlan::Filter(filter) => match filter.input.as_ref() {
            LogicalPlan::Join(join) => (Some(&filter.predicate), join),
            _ => return Ok(Transformed::no(plan)),
        },
        LogicalPlan::Join(join) => (None, join),
        _ => return Ok(Transformed::no(plan)),
    };
    if join.join_type != JoinType::Inner {
        return Ok(Transformed::no(plan));
    }
    let mut used: HashSet<Column> = HashSet::new();
    let conditions = join.on.iter().flat_map(|(left, right)| [left, right]).chain(&join.filter).chain(predicate);
    conditions.for_each(|expr| used.extend(expr.column_refs().into_iter().cloned()));
    let mut moved = HashMap::new();
    let left = slimmed(&join.left, &used, &mut moved)?;
    let right = slimmed(&join.right, &used, &mut moved)?;
    if moved.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let schema = Arc::clone(plan.schema());
    let join = LogicalPlan::Join(Join { left, right, ..join.clone() }).recompute_schema()?;
    let below = match predicate {
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate.clone(), Arc::new(join))?),
        None => join,
    };
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Column::new(qualifier.cloned(), field.name());
        match moved.remove(&column) {
            Some(expr) => expr.alias_qualified(qualifier.cloned(), field.name()),
            None => Expr::Column(column),
        }
    });
    let columns: Vec<Expr> = columns.collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(below))?)))
}

/// A derived table without the calls that nothing in `used` needs, which `moved` gets by the columns they were.
fn slimmed(side: &Arc<LogicalPlan>, used: &HashSet<Column>, moved: &mut HashMap<Column, Expr>) -> Result<Arc<LogicalPlan>> {
    let LogicalPlan::SubqueryAlias(derived) = side.as_ref() else { return Ok(Arc::clone(side)) };
    let LogicalPlan::Projection(projection) = derived.input.as_ref() else { return Ok(Arc::clone(side)) };
    let mut kept: Vec<Expr> = Vec::new();
    let mut carried: Vec<Column> = Vec::new();
    let mut calls: Vec<(Column, Expr)> = Vec::new();
    for (expr, field) in projection.expr.iter().zip(derived.schema.fields()) {
        let column = Column::new(Some(derived.alias.clone()), field.name());
        if used.contains(&column) || !has_call(expr) {
            kept.push(expr.clone());
            continue;
        }
        let above = expr.clone().unalias().transform(|e| {
            Ok(match e {
                Expr::Column(inner) => {
                    let at = carried.iter().position(|c| *c == inner).unwrap_or_else(|| {
                        carried.push(inner);
                        carried.len() - 1
                    });
                    Transformed::yes(Expr::Column(Column::new(Some(derived.alias.clone()), format!("{CARRIED}{at}"))))
                }
                other => Transformed::no(other),
            })
        })?;
        calls.push((column, above.data));
    }
    if calls.is_empty() {
        return Ok(Arc::clone(side));
    }
    kept.extend(carried.into_iter().enumerate().map(|(at, column)| Expr::Column(column).alias(format!("{CARRIED}{at}"))));
    moved.extend(calls);
    let input = LogicalPlan::Projection(Projection::try_new(kept, Arc::clone(&projection.input))?);
    Ok(Arc::new(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), derived.alias.clone())?)))
}

//! Types of `$1` …: what the client declared, else what the statement says, else text.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::functions::arrays::{ALL, ANY};
use crate::types::{PgType, TypeName};

/// Parameter fields as the planner takes them.
pub fn fields(types: &[Option<PgType>]) -> Vec<Option<FieldRef>> {
    types.iter().map(|ty| ty.map(|ty| Arc::new(ty.field("", true)))).collect()
}

/// The types that a plan tells of its parameters, and the greatest number that occurs.
pub fn found(plan: &LogicalPlan) -> Result<(BTreeMap<usize, PgType>, usize)> {
    let mut found = Found::default();
    plan.apply_with_subqueries(|plan| {
        found.of_node(plan)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((found.types, found.last))
}

/// The types of all parameters of a plan that was made with `declared`.
pub fn infer(plan: &LogicalPlan, declared: &[Option<PgType>]) -> Result<Vec<PgType>> {
    let (types, last) = found(plan)?;
    let count = last.max(declared.len());
    Ok((1..=count)
        .map(|n| {
            let declared = declared.get(n - 1).copied().flatten().filter(|ty| ty.name != TypeName::Unknown);
            declared.or_else(|| types.get(&n).copied()).unwrap_or(PgType::TEXT)
        })
        .collect())
}

/// The number in `$n`.
fn number(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse().ok().filter(|n| *n > 0)
}

#[derive(Default)]
struct Found {
    /// The first use that tells a type.
    types: BTreeMap<usize, PgType>,
    /// The greatest number that occurs.
    last: usize,
}

impl Found {
    fn of_node(&mut self, plan: &LogicalPlan) -> Result<()> {
        let mut schema = DFSchema::empty();
        for input in plan.inputs() {
            schema.merge(input.schema());
        }
        if let LogicalPlan::Limit(limit) = plan {
            for count in limit.skip.iter().chain(&limit.fetch) {
                self.wants(count, PgType::INT8);
            }
        }
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                self.of_expr(expr, &schema);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(())
    }

    fn of_expr(&mut self, expr: &Expr, schema: &DFSchema) {
        match expr {
            Expr::Placeholder(Placeholder { id, field }) => {
                let Some(n) = number(id) else { return };
                self.last = self.last.max(n);
                if let Some(field) = field {
                    self.types.entry(n).or_insert(PgType::of_field(field).with_modifier(-1));
                }
            }
            Expr::Cast(cast) => self.wants(&cast.expr, PgType::of_field(&cast.field)),
            Expr::TryCast(cast) => self.wants(&cast.expr, PgType::of_field(&cast.field)),
            Expr::ScalarFunction(call) => match call.func.name() {
                // `x = ANY($1)` is planned as array_has($1, x).
                "array_has" | ANY | ALL => {
                    if let [list, item, ..] = &call.args[..]
                        && let Some(ty) = type_of(item, schema)
                    {
                        self.wants(list, ty.element().array_of());
                    }
                }
                "coalesce" | "nullif" | "greatest" | "least" | "nvl" => {
                    if let Some(ty) = call.args.iter().find_map(|arg| type_of(arg, schema)) {
                        call.args.iter().for_each(|arg| self.wants(arg, ty));
                    }
                }
                _ => {}
            },
            Expr::BinaryExpr(binary) => {
                if let Some(ty) = type_of(&binary.right, schema) {
                    self.wants(&binary.left, ty);
                }
                if let Some(ty) = type_of(&binary.left, schema) {
                    self.wants(&binary.right, ty);
                }
            }
            _ => {}
        }
    }

    /// `expr`, where it is a parameter without type, gets this one.
    fn wants(&mut self, expr: &Expr, ty: PgType) {
        if let Expr::Placeholder(Placeholder { id, field: None }) = expr
            && let Some(n) = number(id)
        {
            self.last = self.last.max(n);
            self.types.entry(n).or_insert(ty.with_modifier(-1));
        }
    }
}

/// The type of an expression that has one of its own.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<PgType> {
    if matches!(expr, Expr::Placeholder(Placeholder { field: None, .. })) {
        return None;
    }
    let (_, field) = expr.to_field(schema).ok()?;
    if field.data_type().is_null() {
        return None;
    }
    Some(PgType::of_field(&field))
}

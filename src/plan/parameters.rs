//! Types of `$1` …: what the client declared, else what the statement says, else text.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::functions::arrays::{ALL, ANY};
use super::set_returning::SERIES;
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
        match plan {
            LogicalPlan::Limit(limit) => {
                limit.skip.iter().chain(&limit.fetch).for_each(|count| self.wants(count, PgType::INT8));
            }
            LogicalPlan::Filter(filter) => self.wants(&filter.predicate, PgType::BOOL),
            LogicalPlan::Union(union) => self.of_union(&union.inputs),
            _ => {}
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
                        self.is(list, operand(ty.element()).array_of());
                    }
                }
                "coalesce" | "nullif" | "greatest" | "least" | "nvl" | "make_array" => self.alike(call.args.iter(), schema),
                SERIES => self.of_series(&call.args, schema),
                _ => self.of_function(call, schema),
            },
            Expr::BinaryExpr(binary) => self.pair(&binary.left, &binary.right, schema),
            Expr::InList(list) => list.list.iter().for_each(|item| self.pair(&list.expr, item, schema)),
            // Patterns and what they match are text, whatever kind of text the column is.
            Expr::Like(like) | Expr::SimilarTo(like) => {
                self.is(&like.expr, PgType::TEXT);
                self.is(&like.pattern, PgType::TEXT);
            }
            Expr::Not(inner) => self.wants(inner, PgType::BOOL),
            Expr::Case(case) => {
                for (when, _) in &case.when_then_expr {
                    match &case.expr {
                        Some(base) => self.pair(base, when, schema),
                        None => self.wants(when, PgType::BOOL),
                    }
                }
                let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref()).chain(case.else_expr.as_deref());
                self.alike(results, schema);
            }
            _ => {}
        }
    }

    /// Two operands of an operator: each is of the other's type where it has none of its own; rows column by column.
    fn pair(&mut self, left: &Expr, right: &Expr, schema: &DFSchema) {
        if let (Some(left), Some(right)) = (row(left), row(right)) {
            left.iter().zip(right).for_each(|(left, right)| self.pair(left, right, schema));
            return;
        }
        if let Some(ty) = type_of(right, schema) {
            self.wants(left, operand(ty));
        }
        if let Some(ty) = type_of(left, schema) {
            self.wants(right, operand(ty));
        }
    }

    /// Values of which one is chosen: all are of the first type that is known.
    fn alike<'e>(&mut self, values: impl Iterator<Item = &'e Expr> + Clone, schema: &DFSchema) {
        if let Some(ty) = values.clone().find_map(|value| type_of(value, schema)) {
            values.for_each(|value| self.wants(value, ty));
        }
    }

    /// Where a function takes an int or a boolean and nothing else, a parameter is one.
    fn of_function(&mut self, call: &ScalarFunction, schema: &DFSchema) {
        let bare = |arg: &Expr| matches!(arg, Expr::Placeholder(Placeholder { field: None, .. }));
        if !call.args.iter().any(bare) {
            return;
        }
        let types: Vec<DataType> = call.args.iter().map(|arg| arg.get_type(schema).unwrap_or(DataType::Null)).collect();
        let Ok(wanted) = call.func.coerce_types(&types) else { return };
        for (arg, wanted) in call.args.iter().zip(wanted) {
            if matches!(wanted, DataType::Int32 | DataType::Boolean) {
                self.wants(arg, PgType::of_arrow(&wanted));
            }
        }
    }

    /// `generate_series` of numbers: bounds and step are of one type. A series of times has a step of its own kind.
    fn of_series(&mut self, args: &[Expr], schema: &DFSchema) {
        let bounds = args.get(..2).unwrap_or_default();
        let Some(ty) = bounds.iter().find_map(|bound| type_of(bound, schema)) else { return };
        let times = matches!(ty.name, TypeName::Date | TypeName::Timestamp | TypeName::Timestamptz);
        bounds.iter().for_each(|bound| self.wants(bound, ty));
        if let Some(step) = args.get(2) {
            self.wants(step, if times { PgType::new(TypeName::Interval) } else { ty });
        }
    }

    /// Columns of a union: those that are mere parameters are of the type that another branch gives.
    fn of_union(&mut self, inputs: &[Arc<LogicalPlan>]) {
        let width = inputs.first().map_or(0, |input| input.schema().fields().len());
        for column in 0..width {
            let told = inputs.iter().find_map(|input| {
                let bare = output(input, column).is_some_and(|expr| matches!(expr, Expr::Placeholder(p) if p.field.is_none()));
                let field = input.schema().fields().get(column)?;
                (!bare && !field.data_type().is_null()).then(|| PgType::of_field(field))
            });
            let Some(ty) = told else { continue };
            inputs.iter().filter_map(|input| output(input, column)).for_each(|expr| self.wants(expr, ty));
        }
    }

    /// `expr`, where it is a parameter, is of this type whatever the planner made of it.
    fn is(&mut self, expr: &Expr, ty: PgType) {
        if let Expr::Placeholder(Placeholder { id, .. }) = expr
            && let Some(n) = number(id)
        {
            self.last = self.last.max(n);
            self.types.entry(n).or_insert(ty);
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

/// What an operand without a type is taken for beside one of `ty`: there are no operators on varchar but those on text.
fn operand(ty: PgType) -> PgType {
    if !ty.array && ty.name == TypeName::Varchar { PgType::TEXT } else { ty }
}

/// The columns of a row constructor.
fn row(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == "struct" => Some(&call.args),
        _ => None,
    }
}

/// The expression that makes a column of a plan's output, its name taken off.
fn output(plan: &LogicalPlan, column: usize) -> Option<&Expr> {
    match plan {
        LogicalPlan::Projection(projection) => match projection.expr.get(column)? {
            Expr::Alias(alias) => Some(&alias.expr),
            expr => Some(expr),
        },
        _ => None,
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

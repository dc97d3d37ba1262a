//! The types of UNION's columns and of CASE, COALESCE and ARRAY, by PostgreSQL's rules: literals in quotes take
//! the type of the others, which must be of one category; 42804 where they are not.
//!
//! Runs over the plan as it was made from SQL, before anything is coerced in another way.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Case, Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, Union, lit};

use super::scan::external;
use crate::error::{SqlError, SqlState};
use crate::types::{PgType, TypeName};

/// The plan with these types settled.
pub fn resolve(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Union(union) => resolve_union(union).map(Transformed::yes),
        LogicalPlan::Filter(filter) if has_window(&filter.predicate) => {
            let message = "window functions are not allowed in WHERE";
            Err(external(SqlError::new(SqlState::WINDOWING_ERROR, message)))
        }
        plan => resolve_exprs(plan)?.data.recompute_schema().map(Transformed::yes),
    })
    .map(|t| t.data)
}

fn has_window(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::WindowFunction(_)))).unwrap_or(false)
}

/// What is known of one of the values that must come to one type.
#[derive(Clone, Debug)]
enum Candidate {
    /// A quoted literal, or NULL.
    Literal,
    Field(FieldRef),
}

fn resolve_exprs(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let resolved = expr.transform_up(|expr| resolve_expr(expr, &schema))?;
        Ok(resolved.update_data(|e| name.restore(e)))
    })
}

fn resolve_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Case(case) => resolve_case(case, schema),
        Expr::ScalarFunction(call) if matches!(call.func.name(), "coalesce" | "make_array") => resolve_call(call, schema),
        other => Ok(Transformed::no(other)),
    }
}

fn resolve_case(mut case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    // PostgreSQL looks at ELSE first.
    let branches = || case.else_expr.iter().chain(case.when_then_expr.iter().map(|(_, then)| then));
    let Some(candidates) = branches().map(|e| candidate(e, schema)).collect::<Option<Vec<_>>>() else {
        return Ok(Transformed::no(Expr::Case(case)));
    };
    let target = common("CASE", &candidates)?;
    let is_boolean = target.as_ref().map_or_else(|| field_of(&candidates), |t| Some(Arc::clone(t)));
    let is_boolean = is_boolean.is_some_and(|f| *f.data_type() == DataType::Boolean);
    let plain = branches().all(|e| matches!(e.as_ref(), Expr::Literal(..)));
    if let Some(target) = &target {
        let branches = case.else_expr.iter_mut().chain(case.when_then_expr.iter_mut().map(|(_, then)| then));
        branches.for_each(|branch| **branch = as_target(std::mem::take(branch), target, schema));
    }
    // The optimiser makes AND and OR of a searched CASE of truths, which no longer guards what it guarded.
    if is_boolean && !plain && case.expr.is_none() {
        case.expr = Some(Box::new(lit(true)));
    }
    Ok(Transformed::yes(Expr::Case(case)))
}

fn resolve_call(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let what = if call.func.name() == "coalesce" { "COALESCE" } else { "ARRAY" };
    let Some(candidates) = call.args.iter().map(|e| candidate(e, schema)).collect::<Option<Vec<_>>>() else {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    };
    let Some(target) = common(what, &candidates)? else { return Ok(Transformed::no(Expr::ScalarFunction(call))) };
    let args = call.args.into_iter().map(|arg| as_target(arg, &target, schema)).collect();
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { args, ..call })))
}

/// `None` for what has no type yet: a parameter.
fn candidate(expr: &Expr, schema: &DFSchema) -> Option<Candidate> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(_), None) | Expr::Literal(ScalarValue::Null, _) => Some(Candidate::Literal),
        Expr::Alias(alias) => candidate(&alias.expr, schema),
        Expr::Placeholder(p) if p.field.is_none() => None,
        expr => expr.to_field(schema).ok().map(|(_, field)| match field.data_type() {
            DataType::Null => Candidate::Literal,
            _ => Candidate::Field(field),
        }),
    }
}

fn field_of(candidates: &[Candidate]) -> Option<FieldRef> {
    candidates.iter().find_map(|c| if let Candidate::Field(field) = c { Some(Arc::clone(field)) } else { None })
}

fn as_target(expr: Expr, target: &FieldRef, schema: &DFSchema) -> Expr {
    if let Expr::Alias(mut alias) = expr {
        *alias.expr = as_target(std::mem::take(&mut alias.expr), target, schema);
        return Expr::Alias(alias);
    }
    let fits = match candidate(&expr, schema) {
        Some(Candidate::Field(field)) => same(&field, target),
        Some(Candidate::Literal) => matches!(&expr, Expr::Literal(value, _) if value.is_null() && is_text(target)),
        None => true,
    };
    if fits { expr } else { Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::clone(target))) }
}

fn is_text(field: &Field) -> bool {
    PgType::of_field(field) == PgType::TEXT
}

fn same(a: &Field, b: &Field) -> bool {
    a.data_type() == b.data_type() && PgType::of_field(a) == PgType::of_field(b)
}

/// The type that all of them come to; `None` where they have it already.
fn common(what: &str, candidates: &[Candidate]) -> Result<Option<FieldRef>> {
    let fields: Vec<&FieldRef> =
        candidates.iter().filter_map(|c| if let Candidate::Field(field) = c { Some(field) } else { None }).collect();
    let Some(first) = fields.first() else { return Ok(None) };
    if fields.len() == candidates.len() && fields.iter().all(|f| same(f, first)) {
        return Ok(None);
    }
    let mut ty = PgType::of_field(first);
    for field in &fields[1..] {
        let next = PgType::of_field(field);
        if next.with_modifier(-1) == ty.with_modifier(-1) {
            if next.modifier != ty.modifier {
                ty = ty.with_modifier(-1);
            }
            continue;
        }
        if category(next) != category(ty) {
            let message = format!(
                "{what} types {} and {} cannot be matched",
                ty.with_modifier(-1).sql_name(),
                next.with_modifier(-1).sql_name()
            );
            return Err(external(SqlError::new(SqlState::DATATYPE_MISMATCH, message)));
        }
        if widens(ty, next) && !widens(next, ty) {
            ty = next;
        }
        ty = ty.with_modifier(-1);
    }
    Ok(Some(target_field(ty, &fields)))
}

/// The field of the type; a numeric without precision keeps the digits that the values have.
fn target_field(ty: PgType, fields: &[&FieldRef]) -> FieldRef {
    let scale = |field: &&FieldRef| match field.data_type() {
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    };
    let numeric = ty.name == TypeName::Numeric && !ty.array && ty.modifier == -1;
    if numeric {
        if let [only] = fields {
            return Arc::new(only.as_ref().clone().with_name("").with_nullable(true));
        }
        if let Some(most) = fields.iter().filter_map(scale).max().filter(|s| *s > crate::types::pg_type::UNCONSTRAINED_SCALE) {
            return Arc::new(Field::new("", DataType::Decimal128(38, most), true));
        }
    }
    Arc::new(ty.field("", true))
}

/// PostgreSQL's categories: types within one may be brought together.
fn category(ty: PgType) -> (char, Option<TypeName>) {
    use TypeName::*;
    if ty.array {
        return ('A', Some(ty.name));
    }
    match ty.name {
        Bool => ('B', None),
        Int2 | Int4 | Int8 | Float4 | Float8 | Numeric | Oid | Regclass | Regtype | Regproc => ('N', None),
        Text | Varchar | Bpchar | Name | Char => ('S', None),
        Date | Time | Timestamp | Timestamptz => ('D', None),
        Interval => ('T', None),
        other => ('U', Some(other)),
    }
}

/// Whether the first becomes the second by itself.
fn widens(from: PgType, to: PgType) -> bool {
    use TypeName::*;
    let rank = |name| [Int2, Int4, Int8, Numeric, Float4, Float8].iter().position(|n| *n == name);
    match (from.name, to.name) {
        (a, b) if rank(a).is_some() && rank(b).is_some() => rank(a) <= rank(b),
        (Int2 | Int4 | Int8, Oid | Regclass | Regtype | Regproc) => true,
        (Regclass | Regtype | Regproc, Oid) => true,
        (Varchar | Bpchar | Name | Char, Text) => true,
        (Varchar, Bpchar) | (Bpchar, Varchar) => true,
        (Date, Timestamp | Timestamptz) | (Timestamp, Timestamptz) => true,
        (a, b) => a == b,
    }
}

fn resolve_union(union: Union) -> Result<LogicalPlan> {
    let Union { inputs, schema } = union;
    let inputs = aligned(inputs, "UNION")?;
    let fields = schema.iter().enumerate().map(|(column, (qualifier, field))| {
        let made = inputs.first().and_then(|input| input.schema().fields().get(column));
        let field = made.map_or_else(
            || Arc::clone(field),
            |made| {
                let nullable = inputs.iter().any(|i| i.schema().fields().get(column).is_none_or(|f| f.is_nullable()));
                Arc::new(made.as_ref().clone().with_name(field.name()).with_nullable(nullable))
            },
        );
        (qualifier.cloned(), field)
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?;
    Ok(LogicalPlan::Union(Union { inputs, schema: Arc::new(schema) }))
}

/// Branches of one width with their columns in common types.
pub fn aligned(inputs: Vec<Arc<LogicalPlan>>, what: &str) -> Result<Vec<Arc<LogicalPlan>>> {
    let width = inputs.first().map_or(0, |input| input.schema().fields().len());
    let mut targets = Vec::with_capacity(width);
    for column in 0..width {
        let Some(candidates) = inputs.iter().map(|input| column_candidate(input, column)).collect::<Option<Vec<_>>>() else {
            targets.push(None);
            continue;
        };
        // Literals alone are text.
        targets.push(match field_of(&candidates) {
            None => Some(Arc::new(PgType::TEXT.field("", true))),
            Some(_) => common(what, &candidates)?,
        });
    }
    inputs.into_iter().map(|input| with_types(input, &targets)).collect()
}

/// The column of one branch; a literal where the branch's own select list says so.
fn column_candidate(input: &LogicalPlan, column: usize) -> Option<Candidate> {
    if let LogicalPlan::Projection(projection) = input {
        return candidate(projection.expr.get(column)?, projection.input.schema());
    }
    let field = input.schema().fields().get(column)?;
    Some(if field.data_type().is_null() { Candidate::Literal } else { Candidate::Field(Arc::clone(field)) })
}

fn with_types(input: Arc<LogicalPlan>, targets: &[Option<FieldRef>]) -> Result<Arc<LogicalPlan>> {
    if targets.iter().all(Option::is_none) {
        return Ok(input);
    }
    let names: Vec<_> = input.schema().iter().map(|(q, f)| (q.cloned(), f.name().clone())).collect();
    let (exprs, below) = match input.as_ref() {
        LogicalPlan::Projection(projection) => (projection.expr.clone(), Arc::clone(&projection.input)),
        _ => (input.schema().columns().into_iter().map(Expr::Column).collect(), Arc::clone(&input)),
    };
    let typed = exprs.into_iter().zip(targets).zip(names).map(|((expr, target), (qualifier, name))| match target {
        Some(target) => as_target(expr, target, below.schema()).alias_qualified(qualifier, name),
        None => expr,
    });
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(typed.collect(), below.clone())?)))
}

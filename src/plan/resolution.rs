//! The types of UNION's columns and of CASE, COALESCE and ARRAY, by PostgreSQL's rules: literals in quotes take
//! the type of the others, which must be of one category; 42804 where they are not.
//!
//! Runs over the plan as it was made from SQL, before anything is coerced in another way.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{BinaryExpr, Case, Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, Projection, RecursiveQuery, Union, Values, lit};

use super::casts;
use super::functions::numerics;
use super::scan::external;
use super::text_arguments;
use crate::error::{SqlError, SqlState};
use crate::types::numeric::column::ARROW;
use crate::types::pg_type::PG_TYPE;
use crate::types::{PgType, TypeName, nested};

/// The plan with these types settled.
pub fn resolve(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Values(values) => resolve_values(values).map(Transformed::yes),
        LogicalPlan::RecursiveQuery(query) => {
            check_recursive(&query)?;
            carried_as_planned(query).map(LogicalPlan::RecursiveQuery).map(Transformed::yes)
        }
        LogicalPlan::Union(union) => resolve_union(union).map(Transformed::yes),
        LogicalPlan::Filter(filter) if has_window(&filter.predicate) => {
            let message = "window functions are not allowed in WHERE";
            Err(external(SqlError::new(SqlState::WINDOWING_ERROR, message)))
        }
        plan => resolve_exprs(plan)?.data.recompute_schema().and_then(typed_aggregates).map(Transformed::yes),
    })
    .map(|t| t.data)
}

fn has_window(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::WindowFunction(_)))).unwrap_or(false)
}

/// Aggregates of values with the types of those, of which the planner keeps no more than how they are carried.
fn typed_aggregates(plan: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(plan) };
    let groups = aggregate.schema.fields().len().saturating_sub(aggregate.aggr_expr.len());
    let mut any = false;
    let mut exprs = Vec::with_capacity(aggregate.schema.fields().len());
    for (at, (qualifier, field)) in aggregate.schema.iter().enumerate() {
        let column = Expr::Column(Column::from((qualifier, field)));
        let call = at.checked_sub(groups).and_then(|n| aggregate.aggr_expr.get(n));
        match call.and_then(|call| lost_type(call, field, aggregate.input.schema())) {
            Some(target) => {
                any = true;
                let typed = Expr::Cast(Cast::new_from_field(Box::new(column), Arc::new(target)));
                exprs.push(typed.alias_qualified(qualifier.cloned(), field.name()));
            }
            None => exprs.push(column),
        }
    }
    Ok(if any { LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?) } else { plan })
}

/// The type that an aggregate gives, where its field does not say so.
fn lost_type(call: &Expr, field: &Field, input: &DFSchema) -> Option<Field> {
    let Expr::AggregateFunction(call) = call.clone().unalias() else { return None };
    let of = type_of(call.params.args.first()?, input)?;
    let ty = match call.func.name() {
        "array_agg" if of.array => return None,
        "array_agg" if of.name == TypeName::Numeric => of.array_of(),
        "array_agg" => of.with_modifier(-1).array_of(),
        "min" | "max" if of.name == TypeName::Varchar && !of.array => PgType::TEXT,
        "min" | "max" => of,
        _ => return None,
    };
    let target = ty.field(field.name(), true);
    (carried_alike(target.data_type(), field.data_type()) && PgType::of_field(field) != ty).then_some(target)
}

/// Whether values differ in what they are called at most.
fn carried_alike(a: &DataType, b: &DataType) -> bool {
    match (nested::item_of(a), nested::item_of(b)) {
        (Some(a), Some(b)) => a.data_type() == b.data_type(),
        _ => a == b,
    }
}

/// What is known of one of the values that must come to one type.
#[derive(Clone, Debug)]
enum Candidate {
    /// A quoted literal.
    Literal,
    /// NULL.
    Null,
    Field(FieldRef),
}

fn resolve_exprs(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let shown = matches!(plan, LogicalPlan::Projection(_));
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let resolved = expr.transform_up(|expr| resolve_expr(expr, &schema))?;
        let resolved = if shown { resolved.transform_data(|expr| unveiled(expr, &schema))? } else { resolved };
        Ok(resolved.update_data(|e| name.restore(e)))
    })
}

/// A column that is a cast to a plain type of what Arrow has the same values for, as a call that is of that type: the
/// cast alone would go on saying what it casts, and whoever reads the column from outside would believe it.
fn unveiled(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Alias(mut alias) => {
            let inner = unveiled(*alias.expr, schema)?;
            alias.expr = Box::new(inner.data);
            Ok(Transformed::new_transformed(Expr::Alias(alias), inner.transformed))
        }
        Expr::Cast(cast) => {
            let to = PgType::of_field(&cast.field);
            let veiled = cast.expr.to_field(schema).is_ok_and(|(_, of)| {
                of.data_type() == cast.field.data_type() && PgType::of_field(&of) != to && cast.field.metadata().is_empty()
            });
            match veiled {
                true => Ok(Transformed::yes(casts::cast_call(*cast.expr, to))),
                false => Ok(Transformed::no(Expr::Cast(cast))),
            }
        }
        other => Ok(Transformed::no(other)),
    }
}

fn resolve_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Case(case) => resolve_case(case, schema),
        Expr::Like(ref like) => {
            no_arrays([&like.expr, &like.pattern], schema, "~~")?;
            Ok(Transformed::no(expr))
        }
        Expr::Not(ref truth) => check_truth(truth, schema, "NOT").map(|()| Transformed::no(expr)),
        Expr::BinaryExpr(BinaryExpr { ref left, op, ref right }) if matches!(op, Operator::And | Operator::Or) => {
            let what = op.to_string();
            check_truth(left, schema, &what)?;
            check_truth(right, schema, &what)?;
            Ok(Transformed::no(expr))
        }
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => Ok(resolve_comparison(binary, schema)),
        Expr::ScalarFunction(call) if matches!(call.func.name(), "coalesce" | "make_array") => resolve_call(call, schema),
        Expr::ScalarFunction(call) => {
            text_arguments::check(&call, schema)?;
            Ok(Transformed::no(Expr::ScalarFunction(call)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// 42883 for an operator of texts between arrays.
fn no_arrays(operands: [&Expr; 2], schema: &DFSchema, op: &str) -> Result<()> {
    let types = operands.map(|operand| type_of(operand, schema));
    if !types.iter().flatten().any(|ty| ty.array) {
        return Ok(());
    }
    let [left, right] = types.map(|ty| ty.map_or_else(|| "unknown".to_owned(), |ty| ty.with_modifier(-1).sql_name()));
    let hint = "No operator matches the given name and argument types. You might need to add explicit type casts.";
    let message = format!("operator does not exist: {left} {op} {right}");
    Err(external(SqlError::new(SqlState::UNDEFINED_FUNCTION, message).hint(hint)))
}

/// 42804 for an array where a truth is wanted.
fn check_truth(operand: &Expr, schema: &DFSchema, what: &str) -> Result<()> {
    match type_of(operand, schema) {
        Some(ty) if ty.array => {
            let name = ty.with_modifier(-1).sql_name();
            let message = format!("argument of {what} must be type boolean, not type {name}");
            Err(external(SqlError::new(SqlState::DATATYPE_MISMATCH, message)))
        }
        _ => Ok(()),
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Numerics whose types a UNION or VALUES below has settled meanwhile, in a form that both sides have.
fn resolve_comparison(binary: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    let own = |side: &Expr| side.get_type(schema).is_ok_and(|ty| ty == ARROW);
    if own(&binary.left) == own(&binary.right) {
        return Transformed::no(Expr::BinaryExpr(binary));
    }
    let BinaryExpr { left, op, right } = binary;
    let (left, right) = numerics(*left, *right, schema);
    Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
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
    let kept = target.clone().or_else(|| field_of(&candidates));
    // The optimiser makes AND and OR of a searched CASE of truths, which no longer guards what it guarded.
    if is_boolean && !plain && case.expr.is_none() {
        case.expr = Some(Box::new(lit(true)));
    }
    Ok(Transformed::yes(with_type(Expr::Case(case), kept.as_ref())))
}

fn resolve_call(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let what = if call.func.name() == "coalesce" { "COALESCE" } else { "ARRAY" };
    let Some(candidates) = call.args.iter().map(|e| candidate(e, schema)).collect::<Option<Vec<_>>>() else {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    };
    // Elements of an array come to one type whatever they are.
    let decimals = what == "ARRAY" && candidates.iter().any(|c| matches!(c, Candidate::Field(f) if is_decimal(f)));
    let target = match common(what, &candidates)? {
        None if decimals => field_of(&candidates),
        target => target,
    };
    let target = match target {
        Some(field) if decimals && is_decimal(&field) => Some(Arc::new(PgType::new(TypeName::Numeric).field("", true))),
        target => target,
    };
    let kept = match (what, &target) {
        ("ARRAY", Some(element)) => array_field(PgType::of_field(element)),
        ("ARRAY", None) => call.args.iter().find_map(|element| array_field(type_of(element, schema)?)),
        (_, Some(target)) => Some(Arc::clone(target)),
        (_, None) => field_of(&candidates),
    };
    let args = match &target {
        Some(target) => call.args.into_iter().map(|arg| as_target(arg, target, schema)).collect(),
        None => call.args,
    };
    let element = if what == "ARRAY" { args.iter().find_map(|element| type_of(element, schema)) } else { None };
    let changed = target.is_some() || kept.is_some();
    let call = with_type(Expr::ScalarFunction(ScalarFunction { args, ..call }), kept.as_ref());
    match element.filter(|element| !element.array).map(|element| element.with_modifier(-1).array_of().field("", true)) {
        Some(field) if takes_name(&call, &field, schema) => {
            Ok(Transformed::yes(Expr::Cast(Cast::new_from_field(Box::new(call), Arc::new(field)))))
        }
        _ => Ok(Transformed::new_transformed(call, changed)),
    }
}

/// Whether an array is only called another: its elements' cast was none for Arrow.
fn takes_name(array: &Expr, field: &Field, schema: &DFSchema) -> bool {
    let Ok((_, made)) = array.to_field(schema) else { return false };
    carried_alike(made.data_type(), field.data_type()) && PgType::of_field(&made) != PgType::of_field(field)
}

/// The array of such elements, where its Arrow type does not say what they are.
fn array_field(element: PgType) -> Option<FieldRef> {
    use TypeName::{Enum, Json, Jsonb, Uuid, Written};
    let is_lost = !element.array && matches!(element.name, Enum(_) | Json | Jsonb | Uuid | Written(_));
    is_lost.then(|| Arc::new(element.array_of().field("", true)))
}

/// The type of an expression. A cast that Arrow has nothing to do for keeps the metadata of what it casts.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<PgType> {
    match expr {
        Expr::Cast(cast) => Some(PgType::of_field(&cast.field)),
        expr => expr.to_field(schema).ok().map(|(_, field)| PgType::of_field(&field)),
    }
}

/// An expression that says only its Arrow type, as one of the type that its values have.
pub fn with_type(expr: Expr, field: Option<&FieldRef>) -> Expr {
    let ty = field.map_or(PgType::TEXT, |field| PgType::of_field(field));
    use TypeName::{Bpchar, Char, Enum, Json, Jsonb, Name, Oid, Uuid, Varchar, Written};
    let told_apart =
        matches!(ty.name, Enum(_) | Json | Jsonb | Uuid | Oid | Name | Char | Varchar | Bpchar | Written(_)) || ty.name.is_reg();
    if !told_apart {
        return expr;
    }
    Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(ty.field("", true))))
}

/// `None` for what has no type yet: a parameter.
fn candidate(expr: &Expr, schema: &DFSchema) -> Option<Candidate> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(None), None) | Expr::Literal(ScalarValue::Null, _) => Some(Candidate::Null),
        Expr::Literal(ScalarValue::Utf8(_), None) => Some(Candidate::Literal),
        Expr::Alias(alias) => candidate(&alias.expr, schema),
        Expr::Placeholder(p) if p.field.is_none() => None,
        Expr::ScalarSubquery(query) => query.subquery.schema().fields().first().map(|field| Candidate::Field(Arc::clone(field))),
        expr => expr.to_field(schema).ok().map(|(_, field)| match field.data_type() {
            DataType::Null => Candidate::Null,
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
        Some(Candidate::Literal | Candidate::Null) => {
            matches!(&expr, Expr::Literal(value, _) if value.is_null() && is_text(target))
        }
        None => true,
    };
    if fits { expr } else { Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::clone(target))) }
}

/// A numeric that is a decimal of digits that no column has declared.
fn is_decimal(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Decimal128(..)) && PgType::of_field(field).modifier == -1
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
    let nulls = |c: &Candidate| matches!(c, Candidate::Field(_) | Candidate::Null);
    if fields.iter().all(|f| same(f, first)) && candidates.iter().all(nulls) {
        // What all have but NULL, which needs no digits.
        return Ok(Some(Arc::new(first.as_ref().clone().with_name("").with_nullable(true))));
    }
    let types: Vec<PgType> = fields.iter().map(|field| PgType::of_field(field)).collect();
    Ok(Some(Arc::new(common_type(what, &types)?.field("", true))))
}

/// The type that all of these come to, text for none. 42804 where there is no such type.
pub fn common_type(what: &str, types: &[PgType]) -> Result<PgType> {
    let mut ty = types.first().copied().unwrap_or(PgType::TEXT);
    for next in types.iter().skip(1).copied() {
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
    Ok(ty)
}

/// PostgreSQL's categories: types within one may be brought together.
fn category(ty: PgType) -> (char, Option<TypeName>) {
    use TypeName::*;
    if ty.array {
        return match category(ty.element()) {
            (category, None) => (category.to_ascii_lowercase(), None),
            (_, alone) => ('A', alone),
        };
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

/// Arrays of a recursive query whose items turned out to have a type of their own: known by it, but carried as what the
/// query reads of itself was planned to be.
fn carried_as_planned(mut query: RecursiveQuery) -> Result<RecursiveQuery> {
    let planned = Arc::clone(&query.schema);
    let first = Arc::clone(query.static_term.schema());
    let fields = planned.iter().zip(first.fields()).map(|((qualifier, planned), found)| {
        let differs = match (nested::item_of(planned.data_type()), nested::item_of(found.data_type())) {
            (Some(a), Some(b)) => a != b && a.data_type() == b.data_type(),
            _ => false,
        };
        let named = HashMap::from([(PG_TYPE.to_owned(), PgType::of_field(found).tag())]);
        let field = found.as_ref().clone().with_data_type(planned.data_type().clone()).with_metadata(named);
        (qualifier.cloned(), differs.then_some(Arc::new(field)))
    });
    let fields: Vec<_> = fields.collect();
    if fields.iter().all(|(_, field)| field.is_none()) {
        return Ok(query);
    }
    let carried = |term: Arc<LogicalPlan>| {
        let columns = term.schema().iter().zip(&fields).map(|((qualifier, field), (_, wanted))| {
            let column = Expr::Column(Column::from((qualifier, field)));
            match wanted {
                Some(wanted) => {
                    let cast = Expr::Cast(Cast::new_from_field(Box::new(column), Arc::clone(wanted)));
                    cast.alias_qualified(qualifier.cloned(), field.name())
                }
                None => column,
            }
        });
        Projection::try_new(columns.collect(), Arc::clone(&term)).map(|p| Arc::new(LogicalPlan::Projection(p)))
    };
    query.static_term = carried(query.static_term)?;
    query.recursive_term = carried(query.recursive_term)?;
    let known = planned.iter().zip(&fields).map(|((_, planned), (qualifier, wanted))| {
        let field = wanted.as_ref().map_or_else(
            || Arc::clone(planned),
            |wanted| Arc::new(wanted.as_ref().clone().with_name(planned.name()).with_nullable(true)),
        );
        (qualifier.clone(), field)
    });
    query.schema = Arc::new(DFSchema::new_with_metadata(known.collect(), planned.metadata().clone())?);
    Ok(query)
}

/// 0A000 where numerics of a recursive query would be cut to the digits of those it begins with.
fn check_recursive(query: &RecursiveQuery) -> Result<()> {
    let LogicalPlan::Projection(next) = query.recursive_term.as_ref() else { return Ok(()) };
    for (field, expr) in query.static_term.schema().fields().iter().zip(&next.expr) {
        let expr = expr.clone().unalias();
        let before = before_cast(&expr, field.data_type());
        if is_decimal(field) && *before != expr && before.get_type(next.input.schema())? != *field.data_type() {
            let message = "a recursive query whose numerics grow in digits is not supported";
            return Err(external(SqlError::unsupported(message, "Cast the column of its first part to numeric.")));
        }
    }
    Ok(())
}

/// Columns of VALUES whose numerics show several digits: the planner has brought them to those of the longest.
fn resolve_values(values: Values) -> Result<LogicalPlan> {
    let Values { schema, mut values } = values;
    let empty = DFSchema::empty();
    let numeric: FieldRef = Arc::new(PgType::new(TypeName::Numeric).field("", true));
    let mut fields: Vec<_> = schema.iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).collect();
    for (column, (_, field)) in fields.iter_mut().enumerate() {
        let DataType::Decimal128(..) = field.data_type() else { continue };
        let written = |row: &Vec<Expr>| row.get(column).map(|e| before_cast(e, field.data_type()).clone());
        let exprs: Vec<Expr> = values.iter().filter_map(written).collect();
        let types = exprs.iter().filter(|e| !matches!(e, Expr::Literal(v, _) if v.is_null())).map(|e| e.get_type(&empty));
        let Ok(types) = types.collect::<Result<Vec<_>>>() else { continue };
        if types.windows(2).all(|pair| pair[0] == pair[1]) {
            continue;
        }
        for (row, expr) in values.iter_mut().zip(exprs) {
            row[column] = Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::clone(&numeric)));
        }
        *field = Arc::new(numeric.as_ref().clone().with_name(field.name()).with_nullable(field.is_nullable()));
    }
    let schema = DFSchema::new_with_metadata(fields, schema.metadata().clone())?;
    Ok(LogicalPlan::Values(Values { schema: Arc::new(schema), values }))
}

/// The expression inside a cast to this type that the planner has added.
fn before_cast<'e>(expr: &'e Expr, ty: &DataType) -> &'e Expr {
    match expr {
        Expr::Cast(cast) if cast.field.data_type() == ty => &cast.expr,
        other => other,
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
    Some(if field.data_type().is_null() { Candidate::Null } else { Candidate::Field(Arc::clone(field)) })
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

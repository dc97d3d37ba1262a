//! PostgreSQL's equality and order where Arrow has another: an analyzer rule that compares, sorts, groups and joins
//! intervals, jsonb, char(n), numerics without precision and arrays by their order keys (`pg_order_key`), and orders
//! enumerations by theirs.
//!
//! Runs before type coercion, so that operands of one kind meet. What PostgreSQL does not compare (json) is 42883;
//! what cannot be done by keys is refused with 0A000.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinConstraint, Result};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, BinaryExpr, Case, Cast, InList, InSubquery, ScalarFunction, SetComparison, Sort, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Distinct, DistinctOn, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, ScalarUDF, Subquery, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::casts::{PG_CAST, cast_call};
use super::functions::ambient::external;
use super::functions::arrays::{ALL, ANY, CONTAINED, CONTAINS, OVERLAPS};
use super::functions::{extremes, is_mixed, numeric_distinct, order_key};
use crate::error::{SqlError, SqlState};
use crate::types::numeric::column::{ARROW, is_exact};
use crate::types::written::Comparison;
use crate::types::{PgType, TypeName, Written, Zone, scalar_from_text};

#[derive(Debug)]
pub struct PostgresOrder {
    key: Arc<ScalarUDF>,
    least: Arc<AggregateUDF>,
    greatest: Arc<AggregateUDF>,
}

impl Default for PostgresOrder {
    fn default() -> Self {
        Self { key: order_key::function().udf(), least: extremes::extreme(false), greatest: extremes::extreme(true) }
    }
}

impl AnalyzerRule for PostgresOrder {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.rewrite_node(plan)).map(|t| t.data)
    }

    fn name(&self) -> &str {
        "postgres_order"
    }
}

/// What is known of an expression's type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    /// A quoted literal or NULL: takes the other's type.
    Untyped,
    Of(PgType),
    /// A column of an outer query that nothing is known of here.
    Unknown,
}

/// Whether values of the type are equal, or ordered, otherwise than Arrow has it.
fn keyed(ty: PgType) -> bool {
    ty.array || ty.name.enumeration().is_some() || ty.name.written().is_some() || grouped_by_key(ty)
}

/// Whether values are equal in Arrow when they are in PostgreSQL, and only ordered otherwise.
fn equal_as_they_are(ty: PgType) -> bool {
    let unique = ty.name.written().is_some_and(|kind| kind.comparison() == Comparison::Ordered);
    (ty.name.enumeration().is_some() || unique) && !ty.array
}

/// Whether PostgreSQL has no order and no equality of values of the type.
fn incomparable(ty: PgType) -> bool {
    ty.name == TypeName::Json || ty.name.written().is_some_and(|kind| kind.comparison() == Comparison::None)
}

/// Whether values that are equal may differ in Arrow.
fn grouped_by_key(ty: PgType) -> bool {
    match ty.name {
        TypeName::Interval | TypeName::Jsonb | TypeName::Bpchar => true,
        TypeName::Numeric => ty.element().arrow() == ARROW,
        TypeName::Written(kind) => kind.comparison() == Comparison::OrderedByKey,
        _ => false,
    }
}

fn known(expr: &Expr, schema: &DFSchema) -> Known {
    match expr {
        Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, None) => Known::Untyped,
        expr => match expr.to_field(schema) {
            Ok((_, field)) if field.data_type().is_null() => Known::Untyped,
            Ok((_, field)) => {
                let ty = PgType::of_field(&field);
                match field.data_type() {
                    // Numerics that all show the same digits are ordered as Arrow has it.
                    DataType::Decimal128(p, s) if ty.name == TypeName::Numeric => {
                        Known::Of(PgType::numeric(i32::from(*p), i32::from(*s)))
                    }
                    _ => Known::Of(ty),
                }
            }
            Err(_) => Known::Unknown,
        },
    }
}

fn is_text(ty: PgType) -> bool {
    !ty.array && matches!(ty.name, TypeName::Text | TypeName::Varchar | TypeName::Name | TypeName::Unknown)
}

fn no_operator(left: PgType, op: &str, right: PgType) -> SqlError {
    let (left, right) = (left.with_modifier(-1).sql_name(), right.with_modifier(-1).sql_name());
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {left} {op} {right}"))
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}

fn no_order(ty: PgType, what: &str) -> SqlError {
    SqlError::new(
        SqlState::UNDEFINED_FUNCTION,
        format!("could not identify an {what} operator for type {}", ty.with_modifier(-1).sql_name()),
    )
}

impl PostgresOrder {
    fn rewrite_node(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
        }
        let names = NamePreserver::new(&plan);
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|e| self.rewrite_expr(e, &schema))?.update_data(|e| name.restore(e)))
        })?;
        let changed = rewritten.transformed;
        let plan = if changed { rewritten.data.recompute_schema()? } else { rewritten.data };
        let (plan, node_changed) = self.rewrite_kind(plan, &schema)?;
        Ok(Transformed::new_transformed(plan, changed || node_changed))
    }

    fn rewrite_kind(&self, plan: LogicalPlan, schema: &DFSchema) -> Result<(LogicalPlan, bool)> {
        match plan {
            LogicalPlan::Sort(mut sort) => {
                let changed = self.sort_keys(&mut sort.expr, schema)?;
                Ok((LogicalPlan::Sort(sort), changed))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let columns = input.schema().columns();
                let needs = columns.iter().any(|c| matches!(known(&Expr::Column(c.clone()), input.schema()), Known::Of(t) if incomparable(t) || grouped_by_key(t)));
                if !needs {
                    return Ok((LogicalPlan::Distinct(Distinct::All(input)), false));
                }
                let group = columns.into_iter().map(Expr::Column).collect();
                let aggregate = Aggregate::try_new(input, group, vec![])?;
                self.keyed_aggregate(aggregate).map(|(plan, _)| (plan, true))
            }
            LogicalPlan::Distinct(Distinct::On(mut on)) => {
                let changed = self.distinct_on(&mut on)?;
                Ok((LogicalPlan::Distinct(Distinct::On(on)), changed))
            }
            LogicalPlan::Aggregate(aggregate) => self.keyed_aggregate(aggregate),
            LogicalPlan::Join(join) => self.joined(join),
            LogicalPlan::RecursiveQuery(query) => {
                let keyed = |ty: Known| matches!(ty, Known::Of(t) if grouped_by_key(t));
                let schema = &query.schema;
                if query.is_distinct && schema.columns().into_iter().any(|c| keyed(known(&Expr::Column(c), schema))) {
                    let message = "UNION in a recursive query over intervals, jsonb, char(n) or numerics without precision is not supported";
                    return Err(external(SqlError::unsupported(message, "Use UNION ALL, or cast the columns to text.")));
                }
                Ok((LogicalPlan::RecursiveQuery(query), false))
            }
            other => Ok((other, false)),
        }
    }

    fn key_of(&self, expr: Expr) -> Expr {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&self.key), vec![expr.unalias()]))
    }

    fn sort_keys(&self, sorts: &mut [Sort], schema: &DFSchema) -> Result<bool> {
        let mut changed = false;
        for sort in sorts {
            match known(&sort.expr, schema) {
                Known::Of(ty) if incomparable(ty) => return Err(external(no_order(ty, "ordering"))),
                Known::Of(ty) if keyed(ty) => {
                    sort.expr = self.key_of(std::mem::take(&mut sort.expr));
                    changed = true;
                }
                _ => {}
            }
        }
        Ok(changed)
    }

    /// Values that tell groups apart.
    fn partition_keys(&self, exprs: &mut [Expr], schema: &DFSchema) -> Result<bool> {
        let mut changed = false;
        for expr in exprs {
            match known(expr, schema) {
                Known::Of(ty) if incomparable(ty) => return Err(external(no_order(ty, "equality"))),
                Known::Of(ty) if grouped_by_key(ty) => {
                    *expr = self.key_of(std::mem::take(expr));
                    changed = true;
                }
                _ => {}
            }
        }
        Ok(changed)
    }

    fn distinct_on(&self, on: &mut DistinctOn) -> Result<bool> {
        let schema = Arc::clone(on.input.schema());
        let mut changed = self.partition_keys(&mut on.on_expr, &schema)?;
        if let Some(sorts) = &mut on.sort_expr {
            for sort in sorts {
                if matches!(known(&sort.expr, &schema), Known::Of(ty) if grouped_by_key(ty)) {
                    sort.expr = self.key_of(std::mem::take(&mut sort.expr));
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    /// Groups by keys; the value shown is the group's first.
    fn keyed_aggregate(&self, aggregate: Aggregate) -> Result<(LogicalPlan, bool)> {
        let schema = Arc::clone(aggregate.input.schema());
        let mut keys = aggregate.group_expr.clone();
        if let [Expr::GroupingSet(set)] = &keys[..] {
            let originals = set.distinct_expr().into_iter().cloned().collect::<Vec<_>>();
            let mut keys = originals.clone();
            return match self.partition_keys(&mut keys, &schema)? {
                true => keyed_sets(&aggregate, &originals, &keys).map(|plan| (plan, true)),
                false => Ok((LogicalPlan::Aggregate(aggregate), false)),
            };
        }
        if !self.partition_keys(&mut keys, &schema)? {
            return Ok((LogicalPlan::Aggregate(aggregate), false));
        }
        let groups = keys.len();
        let mut aggregates = aggregate.aggr_expr.clone();
        let firsts = firsts_of(&keys, &aggregate.group_expr, &mut aggregates);
        let inner = Aggregate::try_new(Arc::clone(&aggregate.input), keys, aggregates)?;
        let columns = inner.schema.columns();
        let shown = aggregate.schema.iter().enumerate().map(|(at, (qualifier, field))| {
            let from = firsts.get(at).copied().flatten().map_or(at, |first| groups + first);
            let column = columns.get(from).cloned().ok_or_else(|| external(SqlError::internal("a group without its column")))?;
            Ok(Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()))
        });
        let shown = shown.collect::<Result<Vec<_>>>()?;
        let input = Arc::new(LogicalPlan::Aggregate(inner));
        Ok((LogicalPlan::Projection(Projection::try_new(shown, input)?), true))
    }

    fn joined(&self, join: Join) -> Result<(LogicalPlan, bool)> {
        let mut changed = false;
        let mut on = Vec::with_capacity(join.on.len());
        for (left, right) in join.on.clone() {
            let (l, r) = (known(&left, join.left.schema()), known(&right, join.right.schema()));
            let pair = self.operands([left, right], [l, r], "=", keyed_operands([l, r]))?;
            changed |= pair.1;
            let [left, right] = pair.0;
            on.push((left, right));
        }
        if !changed {
            return Ok((LogicalPlan::Join(join), false));
        }
        Ok((LogicalPlan::Join(Join { on, join_constraint: JoinConstraint::On, ..join }), true))
    }

    /// Two operands brought to keys of one kind; false, and nothing changed, where Arrow compares as PostgreSQL.
    fn operands(&self, exprs: [Expr; 2], known: [Known; 2], op: &str, kind: Option<PgType>) -> Result<([Expr; 2], bool)> {
        if let [Known::Of(a), Known::Of(b)] = known
            && incomparable(a)
            && a.name == b.name
        {
            return Err(external(no_operator(a, op, b)));
        }
        let Some(kind) = kind else { return Ok((exprs, false)) };
        if let [Known::Of(a), Known::Of(b)] = known
            && !meet(a, b)
        {
            return Err(external(no_operator(a, op, b)));
        }
        let [left, right] = exprs;
        if is_own(kind) {
            if known.iter().any(|k| is_float(*k)) {
                return Ok(([as_float(left, known[0]), as_float(right, known[1])], true));
            }
            if let Some(right) = beside(known[0], &right) {
                return Ok(([left, right], true));
            }
            if let Some(left) = beside(known[1], &left) {
                return Ok(([left, right], true));
            }
        }
        let one_type = matches!(known, [Known::Of(a), Known::Of(b)] if a.name != b.name);
        if equal_as_they_are(kind) && is_equality(op) && !one_type {
            return Ok(([typed(left, known[0], kind)?, typed(right, known[1], kind)?], true));
        }
        let side =
            |expr, known| self.operand(if equal_as_they_are(kind) { typed(expr, known, kind)? } else { expr }, known, kind);
        Ok(([side(left, known[0])?, side(right, known[1])?], true))
    }

    fn operand(&self, expr: Expr, known: Known, kind: PgType) -> Result<Expr> {
        Ok(match known {
            Known::Untyped if equal_as_they_are(kind) => self.key_of(expr),
            Known::Untyped => self.key_of(cast_call(expr, kind.with_modifier(-1))),
            // Text beside char(n): the char's blanks go, the text's stay.
            Known::Of(ty) if kind.name == TypeName::Bpchar && !kind.array && is_text(ty) && ty.name != TypeName::Varchar => expr,
            Known::Of(ty) if !ty.array && ty.name == TypeName::Bpchar && kind.name == TypeName::Bpchar => self.key_of(expr),
            Known::Of(ty) if ty.name == TypeName::Numeric && !ty.array && is_own(ty) && is_own(kind) => self.key_of(expr),
            // Addresses of both kinds have keys of one kind, strings of bits likewise.
            Known::Of(PgType { name: TypeName::Written(_), array: false, .. }) if kind.name.written().is_some() => {
                self.key_of(expr)
            }
            Known::Of(ty) if ty.with_modifier(-1) != kind.with_modifier(-1) || ty.name == TypeName::Numeric => {
                self.key_of(cast_call(expr, kind.with_modifier(-1)))
            }
            Known::Of(_) | Known::Unknown => self.key_of(expr),
        })
    }

    fn rewrite_expr(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(binary) if is_comparison(binary.op) => self.comparison(binary, schema),
            Expr::InList(list) => self.in_list(list, schema),
            Expr::Between(between) => self.between(between, schema),
            Expr::Case(case) if case.expr.is_some() => self.case(case, schema),
            Expr::InSubquery(within) => self.in_subquery(within, schema),
            Expr::SetComparison(set) => self.set_comparison(set, schema),
            Expr::AggregateFunction(aggregate) => self.aggregate(aggregate, schema),
            Expr::WindowFunction(window) => self.window(*window, schema),
            Expr::ScalarFunction(call) if call.name() == "coalesce" => Ok(with_own_digits(call, schema)),
            Expr::ScalarFunction(call) if call.name() == "nullif" && call.args.len() == 2 => self.null_if(call, schema),
            Expr::ScalarFunction(call) if matches!(call.name(), "greatest" | "least") => self.greatest(call, schema),
            Expr::ScalarFunction(call) if array_arguments(call.name()).is_some() => label_arguments(call, schema),
            other => Ok(Transformed::no(other)),
        }
    }

    fn comparison(&self, binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let BinaryExpr { left, op, right } = binary;
        let [left, right] = bare(*left, *right, schema);
        let types = [known(&left, schema), known(&right, schema)];
        let ([left, right], changed) = self.operands([left, right], types, &op.to_string(), keyed_operands(types))?;
        Ok(Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))), changed))
    }

    /// The first expression compared with each of the others; `None` where nothing has to change.
    fn compared(&self, first: &Expr, others: &[Expr], op: &str, schema: &DFSchema) -> Result<Option<(Expr, Vec<Expr>)>> {
        let own = known(first, schema);
        let types: Vec<Known> = others.iter().map(|e| known(e, schema)).collect();
        let kind = types
            .iter()
            .fold(keyed_operands([own, Known::Untyped]), |kind, t| kind.or_else(|| keyed_operands([*t, Known::Untyped])));
        let Some(kind) = kind else { return Ok(None) };
        let mut all = types.iter().copied().chain([own]);
        if is_own(kind) && all.clone().any(is_float) {
            let others = others.iter().zip(&types).map(|(e, t)| as_float(e.clone(), *t)).collect();
            return Ok(Some((as_float(first.clone(), own), others)));
        }
        // Constants beside a column of decimals.
        if is_own(kind)
            && let Some(others) = others.iter().map(|e| beside(own, e)).collect::<Option<Vec<_>>>()
        {
            return Ok(Some((first.clone(), others)));
        }
        for ty in all.by_ref().take(types.len()) {
            let ty = &ty;
            if let (Known::Of(a), Known::Of(b)) = (own, *ty)
                && !meet(a, b)
            {
                return Err(external(no_operator(a, "=", b)));
            }
        }
        let side = |expr: &Expr, known: Known| {
            let expr = if equal_as_they_are(kind) { typed(expr.clone(), known, kind)? } else { expr.clone() };
            if equal_as_they_are(kind) && is_equality(op) { Ok(expr) } else { self.operand(expr, known, kind) }
        };
        let others = others.iter().zip(&types).map(|(e, t)| side(e, *t)).collect::<Result<Vec<_>>>()?;
        Ok(Some((side(first, own)?, others)))
    }

    fn in_list(&self, list: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(match self.compared(&list.expr, &list.list, "=", schema)? {
            Some((expr, items)) => Transformed::yes(Expr::InList(InList::new(Box::new(expr), items, list.negated))),
            None => Transformed::no(Expr::InList(list)),
        })
    }

    fn between(&self, between: Between, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let bounds = [between.low.as_ref().clone(), between.high.as_ref().clone()];
        Ok(match self.compared(&between.expr, &bounds, ">=", schema)? {
            Some((expr, bounds)) => {
                let [low, high] =
                    <[Expr; 2]>::try_from(bounds).map_err(|_| external(SqlError::internal("BETWEEN without bounds")))?;
                Transformed::yes(Expr::Between(Between::new(Box::new(expr), between.negated, Box::new(low), Box::new(high))))
            }
            None => Transformed::no(Expr::Between(between)),
        })
    }

    fn case(&self, case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let Some(base) = &case.expr else { return Ok(Transformed::no(Expr::Case(case))) };
        let whens: Vec<Expr> = case.when_then_expr.iter().map(|(when, _)| when.as_ref().clone()).collect();
        let Some((base, whens)) = self.compared(base, &whens, "=", schema)? else { return Ok(Transformed::no(Expr::Case(case))) };
        let arms = whens.into_iter().map(Box::new).zip(case.when_then_expr.into_iter().map(|(_, then)| then)).collect();
        Ok(Transformed::yes(Expr::Case(Case::new(Some(Box::new(base)), arms, case.else_expr))))
    }

    /// A subquery that gives keys, where its values are compared by them.
    fn keyed_subquery(&self, expr: &Expr, subquery: &Subquery, schema: &DFSchema) -> Result<Option<(Expr, Subquery)>> {
        let inner = subquery.subquery.schema();
        let Some(column) = inner.columns().into_iter().next().map(Expr::Column) else { return Ok(None) };
        let types = [known(expr, schema), known(&column, inner)];
        let ([expr, column], changed) = self.operands([expr.clone(), column], types, "=", keyed_operands(types))?;
        if !changed {
            return Ok(None);
        }
        let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project([column])?.build()?;
        Ok(Some((expr, subquery.with_plan(Arc::new(plan)))))
    }

    fn in_subquery(&self, within: InSubquery, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(match self.keyed_subquery(&within.expr, &within.subquery, schema)? {
            Some((expr, subquery)) => {
                Transformed::yes(Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, within.negated)))
            }
            None => Transformed::no(Expr::InSubquery(within)),
        })
    }

    fn set_comparison(&self, set: SetComparison, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(match self.keyed_subquery(&set.expr, &set.subquery, schema)? {
            Some((expr, subquery)) => {
                Transformed::yes(Expr::SetComparison(SetComparison::new(Box::new(expr), subquery, set.op, set.quantifier)))
            }
            None => Transformed::no(Expr::SetComparison(set)),
        })
    }

    fn aggregate(&self, mut call: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        refuse_arrays(&call, schema)?;
        let mut changed = as_texts(&mut call, schema);
        changed |= self.sort_keys(&mut call.params.order_by, schema)?;
        let argument = call.params.args.first().map(|arg| known(arg, schema));
        let is_label = matches!(argument, Some(Known::Of(ty)) if equal_as_they_are(ty) && ty.name.written().is_none());
        if call.params.distinct && changed && is_label {
            let message = format!("{}(DISTINCT …) of an enumeration is not supported", call.func.name());
            return Err(external(SqlError::unsupported(message, "Select the distinct rows in a subquery.")));
        }
        if let Some(func) = self.extreme(call.func.name(), argument)? {
            call.func = func;
            call.params.distinct = false;
            changed = true;
        } else if call.params.distinct && matches!(argument, Some(Known::Of(ty)) if grouped_by_key(ty) || ty.array) {
            if let (Some(Known::Of(ty)), "sum" | "avg") = (argument, call.func.name())
                && is_own(ty)
            {
                call.func = numeric_distinct::distinct(call.func.name() == "avg");
                call.params.distinct = false;
                return Ok(Transformed::yes(Expr::AggregateFunction(call)));
            }
            if call.func.name() != "count" {
                let message = format!("{}(DISTINCT …) of this type is not supported", call.func.name());
                return Err(external(SqlError::unsupported(message, "Select the distinct rows in a subquery.")));
            }
            changed |= self.partition_keys(&mut call.params.args, schema)?;
        }
        Ok(Transformed::new_transformed(Expr::AggregateFunction(call), changed))
    }

    /// min and max of types that Arrow orders otherwise; 42883 where PostgreSQL has none.
    fn extreme(&self, name: &str, argument: Option<Known>) -> Result<Option<Arc<AggregateUDF>>> {
        let (Some(Known::Of(ty)), "min" | "max") = (argument, name) else { return Ok(None) };
        if !ty.array && (incomparable(ty) || has_no_extremes(ty.name)) {
            let message = format!("function {name}({}) does not exist", ty.with_modifier(-1).sql_name());
            return Err(external(
                SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                    .hint("No function matches the given name and argument types. You might need to add explicit type casts."),
            ));
        }
        Ok(keyed(ty).then(|| Arc::clone(if name == "max" { &self.greatest } else { &self.least })))
    }

    fn window(&self, mut window: WindowFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let mut changed = self.partition_keys(&mut window.params.partition_by, schema)?;
        changed |= self.sort_keys(&mut window.params.order_by, schema)?;
        self.frame(&mut window)?;
        if let WindowFunctionDefinition::AggregateUDF(func) = &window.fun {
            let argument = window.params.args.first().map(|arg| known(arg, schema));
            if let Some(func) = self.extreme(func.name(), argument)? {
                window.fun = WindowFunctionDefinition::AggregateUDF(func);
                changed = true;
            }
        }
        Ok(Transformed::new_transformed(Expr::from(window), changed))
    }

    /// Keys have no distances: a range of peers is one of groups, any other is refused.
    fn frame(&self, window: &mut WindowFunction) -> Result<()> {
        let frame = &mut window.params.window_frame;
        let keyed = |sort: &Sort| matches!(&sort.expr, Expr::ScalarFunction(call) if call.name() == order_key::ORDER_KEY);
        if frame.units != WindowFrameUnits::Range || !window.params.order_by.iter().any(keyed) {
            return Ok(());
        }
        let distance = |bound: &WindowFrameBound| match bound {
            WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) => !value.is_null(),
            WindowFrameBound::CurrentRow => false,
        };
        if distance(&frame.start_bound) || distance(&frame.end_bound) {
            let message = "RANGE with an offset over a column of this type is not supported";
            return Err(external(SqlError::unsupported(message, "Order by numeric(precision, scale), or use ROWS or GROUPS.")));
        }
        *frame = WindowFrame::new_bounds(WindowFrameUnits::Groups, frame.start_bound.clone(), frame.end_bound.clone());
        Ok(())
    }

    fn null_if(&self, call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let types = [known(&call.args[0], schema), known(&call.args[1], schema)];
        let arrow = call.args.iter().map(|arg| arg.get_type(schema)).collect::<Result<Vec<DataType>>>();
        if keyed_operands(types).is_none() && !arrow.is_ok_and(|types| is_mixed(&types)) {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        }
        let value = call.args[0].clone();
        let exprs = <[Expr; 2]>::try_from(call.args).map_err(|_| external(SqlError::internal("nullif of other than two")))?;
        let ([left, right], _) = self.operands(exprs, types, "=", keyed_operands(types))?;
        let equal = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::Eq, Box::new(right)));
        let null = Expr::Literal(ScalarValue::try_from(value.get_type(schema)?)?, None);
        let case = Expr::Case(Case::new(None, vec![(Box::new(equal), Box::new(null))], Some(Box::new(value))));
        Ok(Transformed::yes(match types[0] {
            Known::Of(ty) if ty.name.enumeration().is_some() || ty.name.written().is_some() => cast_call(case, ty),
            _ => case,
        }))
    }

    fn greatest(&self, mut call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let types: Vec<Known> = call.args.iter().map(|arg| known(arg, schema)).collect();
        if types.iter().any(|k| is_float(*k)) {
            call.args = call.args.into_iter().zip(&types).map(|(arg, known)| as_float(arg, *known)).collect();
            return Ok(Transformed::yes(Expr::ScalarFunction(call)));
        }
        // Numerics of several digits keep their own.
        let digits = |k: &Known| matches!(k, Known::Of(ty) if ty.name == TypeName::Numeric && !ty.array);
        let mixed = types.iter().any(digits) && types.iter().any(|k| *k != types[0]);
        let keyed = types.iter().find_map(|t| keyed_operands([*t, Known::Untyped]));
        let Some(kind) = keyed.or(mixed.then(|| PgType::new(TypeName::Numeric))) else {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        };
        if call.args.len() > 4 {
            let message = format!("{} of more than four values of type {} is not supported", call.name(), kind.sql_name());
            return Err(external(SqlError::unsupported(message, "Nest several calls.")));
        }
        let op = if call.name() == "greatest" { Operator::Gt } else { Operator::Lt };
        let typed = |(arg, known): (Expr, &Known)| match known {
            Known::Of(ty) if ty.with_modifier(-1) == kind.with_modifier(-1) && ty.name != TypeName::Numeric => arg,
            _ => cast_call(arg, kind.with_modifier(-1)),
        };
        let mut args = call.args.into_iter().zip(&types).map(typed);
        let Some(mut best) = args.next() else { return Err(external(SqlError::internal("greatest of nothing"))) };
        for next in args {
            let wins =
                Expr::BinaryExpr(BinaryExpr::new(Box::new(self.key_of(next.clone())), op, Box::new(self.key_of(best.clone()))));
            let arms = vec![(Box::new(wins.or(best.clone().is_null())), Box::new(next))];
            best = Expr::Case(Case::new(None, arms, Some(Box::new(best))));
        }
        if kind.name.enumeration().is_some() || kind.name.written().is_some() {
            best = cast_call(best, kind);
        }
        Ok(Transformed::yes(best))
    }
}

/// 42883 for arrays where texts are wanted.
fn refuse_arrays(call: &AggregateFunction, schema: &DFSchema) -> Result<()> {
    let array = call.params.args.iter().find_map(|arg| match known(arg, schema) {
        Known::Of(ty) if ty.array => Some(ty),
        _ => None,
    });
    match array {
        Some(ty) if call.func.name() == "string_agg" => {
            let message = format!("function string_agg({}, unknown) does not exist", ty.with_modifier(-1).sql_name());
            Err(external(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)))
        }
        _ => Ok(()),
    }
}

/// `string_agg` of char(n) is one of text, its order too where that is by the value.
fn as_texts(call: &mut AggregateFunction, schema: &DFSchema) -> bool {
    let is_char = |e: &Expr| matches!(known(e, schema), Known::Of(PgType { name: TypeName::Bpchar, array: false, .. }));
    let Some(value) = call.params.args.first_mut().filter(|value| call.func.name() == "string_agg" && is_char(value)) else {
        return false;
    };
    let text = cast_call(value.clone(), PgType::TEXT);
    for sort in call.params.order_by.iter_mut().filter(|sort| sort.expr == *value) {
        sort.expr = text.clone();
    }
    *value = text;
    true
}

/// For groups that have keys, the places of their first values among the aggregates, which get them.
fn firsts_of(keys: &[Expr], originals: &[Expr], aggregates: &mut Vec<Expr>) -> Vec<Option<usize>> {
    let firsts = keys.iter().zip(originals).map(|(key, original)| {
        (key != original).then(|| {
            let args = vec![original.clone().unalias()];
            let first = AggregateFunction::new_udf(first_value_udaf(), args, false, None, vec![], None);
            aggregates.push(Expr::AggregateFunction(first));
            aggregates.len() - 1
        })
    });
    firsts.collect()
}

/// Grouping sets by keys: of a group that a set leaves out nothing is shown, of others the first value.
fn keyed_sets(aggregate: &Aggregate, originals: &[Expr], keys: &[Expr]) -> Result<LogicalPlan> {
    let key_of = |expr: Expr| match originals.iter().position(|original| *original == expr) {
        Some(at) => Transformed::yes(keys[at].clone()),
        None => Transformed::no(expr),
    };
    let keyed = |expr: &Expr| {
        expr.clone()
            .transform_down(|e| {
                let mapped = key_of(e);
                Ok(Transformed {
                    tnr: if mapped.transformed { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue },
                    ..mapped
                })
            })
            .map(|t| t.data)
    };
    let group = aggregate.group_expr.iter().map(keyed).collect::<Result<Vec<_>>>()?;
    let is_grouping = |expr: &Expr| matches!(expr, Expr::AggregateFunction(call) if call.func.name() == "grouping");
    let calls = aggregate.aggr_expr.iter().map(|call| if is_grouping(call) { keyed(call) } else { Ok(call.clone()) });
    let mut aggregates = calls.collect::<Result<Vec<_>>>()?;
    let firsts = firsts_of(keys, originals, &mut aggregates);
    let inner = Aggregate::try_new(Arc::clone(&aggregate.input), group, aggregates)?;
    let columns = inner.schema.columns();
    let column = |at: usize| {
        let column = columns.get(at).cloned().map(Expr::Column);
        column.ok_or_else(|| external(SqlError::internal("a group without its column")))
    };
    // Behind the groups stands the number of the set.
    let groups = originals.len() + 1;
    // Its number is the aggregate's own affair.
    let fields = aggregate.schema.iter().enumerate().filter(|(at, _)| at + 1 != groups);
    let shown = fields.map(|(at, (qualifier, field))| {
        let shown = match firsts.get(at).copied().flatten() {
            Some(first) => {
                let arm = (Box::new(column(at)?.is_not_null()), Box::new(column(groups + first)?));
                Expr::Case(Case::new(None, vec![arm], None))
            }
            None => column(at)?,
        };
        Ok(typed_as(shown, field).alias_qualified(qualifier.cloned(), field.name()))
    });
    let shown = shown.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(shown, Arc::new(LogicalPlan::Aggregate(inner)))?))
}

/// A CASE says only how its values are carried: told what they are.
fn typed_as(expr: Expr, field: &FieldRef) -> Expr {
    match expr {
        case @ Expr::Case(_) => Expr::Cast(Cast::new_from_field(Box::new(case), Arc::clone(field))),
        other => other,
    }
}

/// For functions of arrays and their elements: which arguments are arrays, the others up to the last one named here
/// being elements.
fn array_arguments(name: &str) -> Option<&'static [bool]> {
    Some(match name {
        "array_append" | "array_remove" | "array_position" | "array_positions" | "array_has" | ANY | ALL => &[true, false],
        "array_prepend" => &[false, true],
        "array_replace" => &[true, false, false],
        "array_cat" | CONTAINS | CONTAINED | OVERLAPS => &[true, true],
        _ => return None,
    })
}

/// Literals beside an enumeration, or arrays of one, are its labels; 42883 for values of another type.
fn label_arguments(mut call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let arrays = array_arguments(call.name()).unwrap_or_default();
    let types: Vec<Known> = call.args.iter().map(|arg| known(arg, schema)).collect();
    let kind = types.iter().zip(arrays).find_map(|(known, _)| match known {
        Known::Of(ty) if ty.name.enumeration().is_some() || ty.name.written().is_some() => Some(ty.element()),
        _ => None,
    });
    let Some(kind) = kind else { return Ok(Transformed::no(Expr::ScalarFunction(call))) };
    for ((arg, known), array) in call.args.iter_mut().zip(&types).zip(arrays) {
        let wanted = if *array { kind.array_of() } else { kind };
        match known {
            Known::Untyped => *arg = typed(std::mem::take(arg), *known, wanted)?,
            Known::Of(ty) if ty.name != kind.name => {
                let shown = |at: usize| match types.get(at) {
                    Some(Known::Of(ty)) => ty.with_modifier(-1).sql_name(),
                    _ => "unknown".to_owned(),
                };
                let message = match call.func.name() {
                    "array_has" | ANY | ALL => format!("operator does not exist: {} = {}", shown(1), shown(0).replace("[]", "")),
                    name => format!("function {name}({}, {}) does not exist", shown(0), shown(1)),
                };
                return Err(external(SqlError::new(SqlState::UNDEFINED_FUNCTION, message).hint(
                    "No operator or function matches the given name and argument types. You might need to add explicit type casts.",
                )));
            }
            Known::Of(_) | Known::Unknown => {}
        }
    }
    Ok(Transformed::yes(Expr::ScalarFunction(call)))
}

/// Types that have an order but no min and max.
fn has_no_extremes(name: TypeName) -> bool {
    use TypeName::{Bool, Bytea, Jsonb, Uuid};
    use Written::{Bit, Macaddr, Macaddr8, Varbit};
    matches!(name, Jsonb | Uuid | Bool | Bytea | TypeName::Written(Macaddr | Macaddr8 | Bit | Varbit))
        || name.written().is_some_and(|kind| kind.subtype().is_some())
}

fn is_equality(op: &str) -> bool {
    matches!(op, "=" | "!=" | "<>" | "IS DISTINCT FROM" | "IS NOT DISTINCT FROM")
}

/// A literal in quotes as a value of the type: 22P02 for one that is none. All else as it is.
fn typed(expr: Expr, known: Known, kind: PgType) -> Result<Expr> {
    if known != Known::Untyped {
        return Ok(expr);
    }
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), None) if !kind.name.written().is_some_and(Written::depends_on_zone) => {
            let value = scalar_from_text(kind, &text, Zone::UTC).map_err(external)?;
            Ok(Expr::Literal(value, Some(FieldMetadata::from(kind.field("", true).metadata().clone()))))
        }
        expr => Ok(cast_call(expr, kind.with_modifier(-1))),
    }
}

/// The arguments of a call in one form where they are numerics of several digits.
fn with_own_digits(mut call: ScalarFunction, schema: &DFSchema) -> Transformed<Expr> {
    let types: Result<Vec<DataType>> = call.args.iter().map(|arg| arg.get_type(schema)).collect();
    if !types.is_ok_and(|types| is_mixed(&types)) {
        return Transformed::no(Expr::ScalarFunction(call));
    }
    call.args = call.args.into_iter().map(|arg| cast_call(arg, PgType::new(TypeName::Numeric))).collect();
    Transformed::yes(Expr::ScalarFunction(call))
}

/// Beside a numeric constant, the number inside a cast that the planner has put around it to compare the two.
fn bare(left: Expr, right: Expr, schema: &DFSchema) -> [Expr; 2] {
    let constant = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::LargeBinary(_), _));
    let peeled = |e: Expr| match e {
        Expr::ScalarFunction(mut call) if is_numeric_cast(&call, schema) => call.args.swap_remove(0),
        other => other,
    };
    match (constant(&left), constant(&right)) {
        (false, true) => [peeled(left), right],
        (true, false) => [left, peeled(right)],
        _ => [left, right],
    }
}

/// A cast of a column of exact numbers to numeric without precision.
fn is_numeric_cast(call: &ScalarFunction, schema: &DFSchema) -> bool {
    let to = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Utf8(Some(name)), _) if name == "numeric");
    let plain = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Int32(Some(-1)), _));
    let exact = |e: &Expr| matches!(e, Expr::Column(_)) && e.get_type(schema).is_ok_and(|t| is_exact(&t) && t != ARROW);
    matches!(&call.args[..], [value, name, modifier] if call.name() == PG_CAST && exact(value) && to(name) && plain(modifier))
}

/// A numeric whose values each show their own digits.
fn is_own(ty: PgType) -> bool {
    ty.name == TypeName::Numeric && !ty.array && ty.numeric_precision().is_none()
}

fn is_float(known: Known) -> bool {
    matches!(known, Known::Of(PgType { name: TypeName::Float4 | TypeName::Float8, array: false, .. }))
}

/// What is no float yet, as one.
fn as_float(expr: Expr, known: Known) -> Expr {
    match known {
        Known::Of(ty) if ty.name == TypeName::Numeric && is_own(ty) => cast_call(expr, PgType::new(TypeName::Float8)),
        Known::Untyped => cast_call(expr, PgType::new(TypeName::Float8)),
        _ => expr,
    }
}

/// A numeric constant as a decimal that compares with values of this type as Arrow has it; `None` where there is none.
fn beside(known: Known, constant: &Expr) -> Option<Expr> {
    use TypeName::{Int2, Int4, Int8, Numeric};
    let Expr::Literal(value, _) = constant else { return None };
    let Known::Of(ty @ PgType { name: Int2 | Int4 | Int8 | Numeric, array: false, .. }) = known else { return None };
    let (precision, scale) = match ty.name {
        Numeric => ty.numeric_precision()?,
        _ => (38, 0),
    };
    let decimal = |m: Option<i128>, p: u8, s: i8| Some(Expr::Literal(ScalarValue::Decimal128(m, p, s), None));
    match value {
        ScalarValue::LargeBinary(None) => decimal(None, precision, scale),
        ScalarValue::LargeBinary(Some(bytes)) => {
            let value = crate::types::numeric::Numeric::decode(bytes);
            let digits = |m: i128| m.unsigned_abs().checked_ilog10().map_or(1, |n| n as u8 + 1);
            if let Some(mantissa) = value.mantissa_at(u32::from(scale.unsigned_abs()))
                && digits(mantissa) <= precision
            {
                // A whole number beside integers is one of few digits, so that they meet without losing any.
                let precision = if ty.name == Numeric { precision } else { digits(mantissa) };
                return decimal(Some(mantissa), precision, scale);
            }
            let own = value.trim_scale().ok()?;
            let own_scale = i8::try_from(own.scale()?).ok()?;
            let mantissa = own.mantissa_at(u32::from(own_scale.unsigned_abs()))?;
            let whole = i16::from(digits(mantissa)) - i16::from(own_scale);
            let most_whole = if ty.name == Numeric { i16::from(precision) - i16::from(scale) } else { 19 };
            // Both must fit one decimal.
            let width = whole.max(most_whole) + i16::from(own_scale.max(scale));
            (width <= 38).then_some(())?;
            decimal(Some(mantissa), digits(mantissa).max(own_scale.unsigned_abs()), own_scale)
        }
        _ => None,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// The type by whose keys two operands are compared, where they are.
fn keyed_operands(types: [Known; 2]) -> Option<PgType> {
    // Elements that differ meet as those of the first whose keys both can have.
    types.into_iter().find_map(|known| match known {
        Known::Of(ty) if keyed(ty) => Some(ty),
        _ => None,
    })
}

/// Whether PostgreSQL compares values of the two types.
fn meet(a: PgType, b: PgType) -> bool {
    use TypeName::{Float4, Float8, Int2, Int4, Int8, Numeric};
    if a.array != b.array {
        return false;
    }
    let text = |t: PgType| is_text(t) || t.name == TypeName::Bpchar;
    let number = |t: PgType| matches!(t.name, Int2 | Int4 | Int8 | Numeric | Float4 | Float8);
    let written = |t: PgType| if t.array { None } else { t.name.written() };
    a.name == b.name
        || written(a).zip(written(b)).is_some_and(|(a, b)| super::modify::written_meet(a, b))
        || (!a.array && text(PgType { array: false, ..a }) && text(PgType { array: false, ..b }))
        || (!a.array && number(a) && number(b))
}

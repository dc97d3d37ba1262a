//! PostgreSQL's equality and order where Arrow has another: an analyzer rule that compares, sorts, groups and joins
//! intervals, jsonb, char(n), numerics without precision and arrays by their order keys (`pg_order_key`), and orders
//! enumerations by theirs.
//!
//! Runs before type coercion, so that operands of one kind meet. What PostgreSQL does not compare (json) is 42883;
//! what cannot be done by keys is refused with 0A000.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, JoinConstraint, Result};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, BinaryExpr, Case, InList, InSubquery, ScalarFunction, SetComparison, Sort, WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Distinct, DistinctOn, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, ScalarUDF, Subquery, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use super::casts::cast_call;
use super::functions::ambient::external;
use super::functions::arrays::{ALL, ANY, CONTAINED, CONTAINS, OVERLAPS};
use super::functions::{extremes, order_key};
use crate::error::{SqlError, SqlState};
use crate::types::{PgType, TypeName, Zone, scalar_from_text};

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
    ty.array || ty.name.user().is_some() || grouped_by_key(ty)
}

/// Whether values are equal in Arrow when they are in PostgreSQL, and only ordered otherwise.
fn equal_as_they_are(ty: PgType) -> bool {
    ty.name.user().is_some() && !ty.array
}

/// Whether values that are equal may differ in Arrow.
fn grouped_by_key(ty: PgType) -> bool {
    match ty.name {
        TypeName::Interval | TypeName::Jsonb | TypeName::Bpchar => true,
        TypeName::Numeric => ty.arrow() == DataType::LargeBinary,
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
                // A numeric that has digits of its own is Arrow's.
                let fixed = ty.name == TypeName::Numeric && matches!(field.data_type(), DataType::Decimal128(..));
                Known::Of(if fixed { PgType::new(TypeName::Numeric).with_modifier((38 << 16) + 4) } else { ty })
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
                let needs = columns.iter().any(|c| matches!(known(&Expr::Column(c.clone()), input.schema()), Known::Of(t) if t.name == TypeName::Json || grouped_by_key(t)));
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
                Known::Of(ty) if ty.name == TypeName::Json => return Err(external(no_order(ty, "ordering"))),
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
                Known::Of(ty) if ty.name == TypeName::Json => return Err(external(no_order(ty, "equality"))),
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
            let mut inside = set.distinct_expr().into_iter().cloned().collect::<Vec<_>>();
            if self.partition_keys(&mut inside, &schema)? {
                let message = "GROUPING SETS, ROLLUP and CUBE over intervals, jsonb, char(n) or numerics without precision are not supported";
                return Err(external(SqlError::unsupported(
                    message,
                    "Cast the column to text, or to numeric(precision, scale).",
                )));
            }
            return Ok((LogicalPlan::Aggregate(aggregate), false));
        }
        if !self.partition_keys(&mut keys, &schema)? {
            return Ok((LogicalPlan::Aggregate(aggregate), false));
        }
        let groups = keys.len();
        let mut aggregates = aggregate.aggr_expr.clone();
        let mut firsts = Vec::with_capacity(groups);
        for (key, original) in keys.iter().zip(&aggregate.group_expr) {
            let first = (key != original).then(|| {
                let first =
                    AggregateFunction::new_udf(first_value_udaf(), vec![original.clone().unalias()], false, None, vec![], None);
                aggregates.push(Expr::AggregateFunction(first));
                aggregates.len() - 1
            });
            firsts.push(first);
        }
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
        if let [Known::Of(a @ PgType { name: TypeName::Json, .. }), Known::Of(b)]
        | [Known::Of(b), Known::Of(a @ PgType { name: TypeName::Json, .. })] = known
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
        if equal_as_they_are(kind) && is_equality(op) {
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
            Expr::ScalarFunction(call) if call.name() == "nullif" && call.args.len() == 2 => self.null_if(call, schema),
            Expr::ScalarFunction(call) if matches!(call.name(), "greatest" | "least") => self.greatest(call, schema),
            Expr::ScalarFunction(call) if array_arguments(call.name()).is_some() => label_arguments(call, schema),
            other => Ok(Transformed::no(other)),
        }
    }

    fn comparison(&self, binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let BinaryExpr { left, op, right } = binary;
        let types = [known(&left, schema), known(&right, schema)];
        let ([left, right], changed) = self.operands([*left, *right], types, &op.to_string(), keyed_operands(types))?;
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
        for ty in &types {
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
        let mut changed = self.sort_keys(&mut call.params.order_by, schema)?;
        let argument = call.params.args.first().map(|arg| known(arg, schema));
        if let Some(func) = self.extreme(call.func.name(), argument)? {
            call.func = func;
            call.params.distinct = false;
            changed = true;
        } else if call.params.distinct && matches!(argument, Some(Known::Of(ty)) if grouped_by_key(ty)) {
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
        if !ty.array && matches!(ty.name, TypeName::Json | TypeName::Jsonb | TypeName::Uuid | TypeName::Bool | TypeName::Bytea) {
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
        if let WindowFunctionDefinition::AggregateUDF(func) = &window.fun {
            let argument = window.params.args.first().map(|arg| known(arg, schema));
            if let Some(func) = self.extreme(func.name(), argument)? {
                window.fun = WindowFunctionDefinition::AggregateUDF(func);
                changed = true;
            }
        }
        Ok(Transformed::new_transformed(Expr::from(window), changed))
    }

    fn null_if(&self, call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let types = [known(&call.args[0], schema), known(&call.args[1], schema)];
        if keyed_operands(types).is_none() {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        }
        let value = call.args[0].clone();
        let exprs = <[Expr; 2]>::try_from(call.args).map_err(|_| external(SqlError::internal("nullif of other than two")))?;
        let ([left, right], _) = self.operands(exprs, types, "=", keyed_operands(types))?;
        let equal = Expr::BinaryExpr(BinaryExpr::new(Box::new(left), Operator::Eq, Box::new(right)));
        let null = Expr::Literal(ScalarValue::try_from(value.get_type(schema)?)?, None);
        Ok(Transformed::yes(Expr::Case(Case::new(None, vec![(Box::new(equal), Box::new(null))], Some(Box::new(value))))))
    }

    fn greatest(&self, call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let types: Vec<Known> = call.args.iter().map(|arg| known(arg, schema)).collect();
        let Some(kind) = types.iter().find_map(|t| keyed_operands([*t, Known::Untyped])) else {
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
        Ok(Transformed::yes(best))
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
        Known::Of(ty) if ty.name.user().is_some() => Some(ty.element()),
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

fn is_equality(op: &str) -> bool {
    matches!(op, "=" | "!=" | "<>" | "IS DISTINCT FROM" | "IS NOT DISTINCT FROM")
}

/// A literal in quotes as a value of the type: 22P02 for one that is none. All else as it is.
fn typed(expr: Expr, known: Known, kind: PgType) -> Result<Expr> {
    if known != Known::Untyped {
        return Ok(expr);
    }
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), None) => {
            let value = scalar_from_text(kind, &text, Zone::UTC).map_err(external)?;
            Ok(Expr::Literal(value, Some(FieldMetadata::from(kind.field("", true).metadata().clone()))))
        }
        expr => Ok(cast_call(expr, kind.with_modifier(-1))),
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
    a.name == b.name
        || (!a.array && text(PgType { array: false, ..a }) && text(PgType { array: false, ..b }))
        || (!a.array && number(a) && number(b))
}

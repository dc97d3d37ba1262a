//! Expressions over rows that are at hand: defaults, checks, RETURNING, the actions of ON CONFLICT.
//!
//! A program is planned once over a schema and bound to parameters at every execution. It cannot look into
//! tables: an expression with a subquery is refused with 0A000.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::{DFSchemaRef, ParamValues, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, Projection};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;

use super::compiled::Compiled;
use super::parameters::{Parameters, number};
use super::{Queries, Run};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::literals::narrow;
use crate::plan::select_forms::has_subquery;
use crate::types::PgType;

/// Expressions over one schema, parameters still open.
#[derive(Clone, Debug)]
pub struct RowProgram {
    schema: DFSchemaRef,
    /// A projection over nothing of that schema; carries the expressions through DataFusion's plan rewrites.
    plan: LogicalPlan,
    fields: Vec<FieldRef>,
    /// The same, once and for all, where that can be.
    compiled: Option<Arc<Compiled>>,
}

/// A program with its parameters in it, ready for batches.
#[derive(Clone, Debug)]
pub struct BoundProgram {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
}

impl RowProgram {
    /// `place` names the clause in errors: `RETURNING`, `DEFAULT`.
    pub fn plan(
        queries: &dyn Queries,
        items: &[ast::Expr],
        schema: DFSchemaRef,
        parameters: &Parameters,
        place: &str,
    ) -> Result<Self> {
        let known = parameters.known();
        let planned = items.iter().map(|item| logical(queries, item, &schema, &known, place));
        let expressions = planned.collect::<Result<Vec<_>>>()?;
        Self::of(queries, expressions, schema)
    }

    /// Of expressions that are planned already.
    pub fn of(queries: &dyn Queries, expressions: Vec<Expr>, schema: DFSchemaRef) -> Result<Self> {
        let named = expressions.into_iter().enumerate().map(|(n, e)| e.unalias_nested().data.alias(format!("__{n}")));
        let input = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: schema.clone() });
        let projection = Projection::try_new(named.collect(), Arc::new(input)).map_err(|e| queries.diagnose(e))?;
        let plan = narrow(LogicalPlan::Projection(projection)).map_err(|e| queries.diagnose(e))?;
        let analysed = analyse(queries, plan.clone())?;
        let fields = analysed.schema().fields().iter().cloned().collect();
        Ok(Self { schema, plan, fields, compiled: None })
    }

    /// What each expression gives.
    pub fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    pub fn types(&self) -> Vec<PgType> {
        self.fields.iter().map(|f| PgType::of_field(f)).collect()
    }

    /// The plan whose placeholders are this program's.
    pub fn logical_plan(&self) -> &LogicalPlan {
        &self.plan
    }

    /// The n-th expression as it was planned.
    pub fn expression(&self, n: usize) -> Option<&Expr> {
        match &self.plan {
            LogicalPlan::Projection(projection) => projection.expr.get(n).map(strip_alias),
            _ => None,
        }
    }

    /// Compiles it for all executions with parameters of these types, when nothing in it depends on one
    /// execution's surroundings; whether it did.
    pub fn compile(&mut self, queries: &dyn Queries, parameters: &[PgType]) -> Result<bool> {
        if self.compiled.is_none() {
            let LogicalPlan::Projection(projection) = &self.plan else { return Ok(false) };
            // What cannot be compiled now fails, if it does, where the general path fails: at execution.
            let compiled = Compiled::new(queries, &projection.expr, &self.schema, parameters).unwrap_or(None);
            self.compiled = compiled.map(Arc::new);
        }
        Ok(self.compiled.is_some())
    }

    /// Each expression's value for every row of the batch, whose columns are the program's schema.
    pub fn run(&self, run: Run<'_>, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        match (&self.compiled, run.queries) {
            (Some(compiled), _) => compiled.run(run, batch),
            (None, Some(queries)) => self.bind(queries, run.parameters)?.evaluate(queries, batch),
            (None, None) => Err(SqlError::internal("an expression that needs planning was run without a planner")),
        }
    }

    /// Puts parameters in, folds constants (`now()` among them) and compiles.
    pub fn bind(&self, queries: &dyn Queries, parameters: &[ScalarValue]) -> Result<BoundProgram> {
        let values = ParamValues::from(parameters.to_vec());
        let plan = self.plan.clone().replace_params_with_values(&values).map_err(|e| queries.diagnose(e))?;
        let plan = analyse(queries, plan)?;
        let LogicalPlan::Projection(projection) = plan else {
            return Err(SqlError::internal("analysis changed the shape of a row expression"));
        };
        let simplifier = simplifier(queries.state(), &self.schema);
        let expressions =
            projection.expr.into_iter().map(|e| compile(queries, &simplifier, e, &self.schema)).collect::<Result<Vec<_>>>()?;
        Ok(BoundProgram { expressions })
    }
}

impl BoundProgram {
    pub fn into_expressions(self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.expressions
    }

    /// Each expression's value for every row of the batch, whose columns are the program's schema.
    pub fn evaluate(&self, queries: &dyn Queries, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.expressions
            .iter()
            .map(|e| e.evaluate(batch).and_then(|v| v.into_array(batch.num_rows())).map_err(|e| queries.diagnose(e)))
            .collect()
    }
}

fn strip_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => strip_alias(&alias.expr),
        other => other,
    }
}

fn logical(queries: &dyn Queries, item: &ast::Expr, schema: &DFSchemaRef, known: &[Option<PgType>], place: &str) -> Result<Expr> {
    if has_subquery(item) {
        return Err(SqlError::unsupported(
            format!("subqueries in {place} are not supported"),
            "Read the value in a statement of its own, or in the FROM or WHERE clause.",
        ));
    }
    let expr = queries.expression(item.clone(), schema, known)?;
    if contains_aggregate(&expr) {
        let message = format!("aggregate functions are not allowed in {place}");
        return Err(SqlError::new(SqlState::GROUPING_ERROR, message));
    }
    Ok(expr)
}

fn contains_aggregate(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_) | Expr::WindowFunction(_)))).unwrap_or(false)
}

fn analyse(queries: &dyn Queries, plan: LogicalPlan) -> Result<LogicalPlan> {
    let state = queries.state();
    state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(|e| queries.diagnose(e))
}

pub fn simplifier(state: &SessionState, schema: &DFSchemaRef) -> ExprSimplifier {
    let context = SimplifyContext::builder()
        .with_schema(schema.clone())
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    ExprSimplifier::new(context)
}

fn compile(
    queries: &dyn Queries,
    simplifier: &ExprSimplifier,
    expr: Expr,
    schema: &DFSchemaRef,
) -> Result<Arc<dyn PhysicalExpr>> {
    let expr = strip_alias(&expr).clone();
    let expr = simplifier.simplify(expr).map_err(|e| queries.diagnose(e))?;
    queries.state().create_physical_expr(expr, schema).map_err(|e| queries.diagnose(e))
}

/// The value of an expression when it is a literal whose type nobody has settled: a bare string or NULL.
pub fn untyped_literal(expr: &Expr) -> Option<Option<&str>> {
    match strip_alias(expr) {
        Expr::Literal(ScalarValue::Null, _) => Some(None),
        Expr::Literal(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text), metadata)
            if metadata.is_none() =>
        {
            Some(text.as_deref())
        }
        _ => None,
    }
}

/// A bare parameter whose type nobody has settled gets this one, unless it has one elsewhere; every other
/// expression stays.
pub fn type_placeholder(expr: Expr, ty: PgType, parameters: &Parameters) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            let ty = number(&id).and_then(|n| parameters.get(n)).unwrap_or(ty);
            Expr::Placeholder(Placeholder { id, field: Some(Arc::new(ty.field("", true))) })
        }
        Expr::Alias(mut alias) => {
            alias.expr = Box::new(type_placeholder(*alias.expr, ty, parameters));
            Expr::Alias(alias)
        }
        other => other,
    }
}

/// Which rows a condition holds of: `filter`'s only expression. NULL holds of none. 42804 when it is no boolean.
pub fn rows_where(filter: &RowProgram, run: Run<'_>, batch: &RecordBatch) -> Result<Vec<u32>> {
    let values = filter.run(run, batch)?;
    let condition = values
        .first()
        .and_then(|v| v.as_boolean_opt())
        .ok_or_else(|| SqlError::new(SqlState::DATATYPE_MISMATCH, "argument of WHERE must be type boolean"))?;
    let rows = 0..batch.num_rows();
    Ok(rows.filter(|row| condition.is_valid(*row) && condition.value(*row)).map(|row| row as u32).collect())
}

/// The number of a bare parameter whose type nobody has settled.
pub fn untyped_placeholder(expr: &Expr) -> Option<usize> {
    match strip_alias(expr) {
        Expr::Placeholder(Placeholder { id, field: None }) => number(id),
        _ => None,
    }
}

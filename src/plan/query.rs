//! A query's tree to a plan: expansion, name resolution, parameter types, literals, result columns.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;

use super::columns::SystemColumn;
use super::correlated::Nested;
use super::diagnose::diagnose;
use super::functions::{Ambient, forms};
use super::names::{Catalogue, Planning};
use super::type_planner::PostgresTypes;
use super::{
    ResultColumn, StatementContext, distinct_casts, expand, literals, outer_names, output, parameters, resolution, routines,
    select_forms, set_returning, using, void_arguments, whole_rows, wildcards,
};
use crate::error::{Result, SqlError, SqlState};
use crate::sql::columns::output_names;
use crate::types::PgType;

/// A query that has been analysed.
pub struct PlannedQuery {
    /// Parameters typed, not optimised.
    pub plan: Box<LogicalPlan>,
    pub parameters: Vec<PgType>,
    pub columns: Arc<[ResultColumn]>,
}

/// A copy of the shared configuration that carries one statement.
pub fn statement_state(base: &Arc<SessionState>, ctx: &Arc<StatementContext>) -> SessionState {
    let mut state = SessionState::clone(base);
    let config = state.config_mut();
    config.set_extension(Arc::clone(ctx));
    let options = config.options_mut();
    options.extensions.insert(Ambient(Arc::clone(ctx)));
    options.extensions.insert(Nested::new(Arc::clone(base), Arc::clone(ctx)));
    state.mark_start_execution();
    state
}

/// Plans a client's query.
pub fn plan(
    ctx: &Arc<StatementContext>,
    state: &SessionState,
    query: &ast::Query,
    declared: &[Option<PgType>],
) -> Result<PlannedQuery> {
    let names = output_names(query);
    let mut query = query.clone();
    void_arguments::leave_out(&mut query, declared);
    if whole_rows::any(&mut query) {
        whole_rows::rewrite(&planning(ctx, state, vec![]), &mut query);
    }
    forms::rewrite(&mut query);
    wildcards::rename_repeats(&mut query);
    let planner = Planner::new(ctx, state, &mut query)?;
    let first = planner.plan(query.clone(), declared)?;
    let types = parameters::infer(&first, declared).map_err(diagnose)?;
    let plan = if types.is_empty() {
        first
    } else {
        // With every parameter typed, so are the columns made of them.
        let known: Vec<Option<PgType>> = types.iter().map(|ty| Some(*ty)).collect();
        planner.plan(query, &known)?
    };
    let plan = literals::narrow(plan).and_then(resolution::resolve).map_err(diagnose)?;
    let analysed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {}).map_err(diagnose)?;
    let columns = output::columns_of(&analysed, &names);
    Ok(PlannedQuery { plan: Box::new(plan), parameters: types, columns })
}

/// Plans a query that is part of a write: parameters of the types known, others as far as the query tells.
pub fn plan_inner(
    ctx: &Arc<StatementContext>,
    state: &SessionState,
    mut query: ast::Query,
    known: &[Option<PgType>],
) -> Result<LogicalPlan> {
    if whole_rows::any(&mut query) {
        whole_rows::rewrite(&planning(ctx, state, vec![]), &mut query);
    }
    forms::rewrite(&mut query);
    let planner = Planner::new(ctx, state, &mut query)?;
    literals::narrow(planner.plan(query, known)?).and_then(resolution::resolve).map_err(diagnose)
}

/// Plans an expression over the columns of a row.
pub fn row_expr(
    ctx: &Arc<StatementContext>,
    state: &SessionState,
    mut expression: ast::Expr,
    schema: &DFSchema,
    known: &[Option<PgType>],
) -> Result<Expr> {
    let planning = planning(ctx, state, vec![]);
    routines::rewrite_calls(&planning, &mut expression, false)?;
    forms::rewrite(&mut expression);
    select_forms::rewrite(&mut expression);
    let catalogue = Catalogue::new(Arc::new(planning));
    let planner = SqlToRel::new_with_options(&catalogue, options(state));
    let mut context = PlannerContext::new().with_prepare_param_data_types(parameters::fields(known));
    planner.sql_to_expr(expression, schema, &mut context).map_err(diagnose)
}

/// An expression without columns, cast to a type, ready to be evaluated.
pub fn constant_expr(ctx: &Arc<StatementContext>, state: &SessionState, mut expression: ast::Expr, ty: PgType) -> Result<Expr> {
    let planning = planning(ctx, state, vec![]);
    routines::rewrite_calls(&planning, &mut expression, false)?;
    let catalogue = Catalogue::new(Arc::new(planning));
    let planner = SqlToRel::new_with_options(&catalogue, options(state));
    forms::rewrite(&mut expression);
    select_forms::rewrite(&mut expression);
    let expr = planner.sql_to_expr(expression, &DFSchema::empty(), &mut PlannerContext::new()).map_err(diagnose)?;
    Ok(Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(ty.field("", true)))))
}

fn planning(ctx: &Arc<StatementContext>, state: &SessionState, exposed: Vec<SystemColumn>) -> Planning {
    Planning { ctx: Arc::clone(ctx), state: state.clone(), types: Arc::new(PostgresTypes::of(ctx)), exposed }
}

fn options(state: &SessionState) -> ParserOptions {
    let options = &state.config_options().sql_parser;
    ParserOptions::new()
        .with_parse_float_as_decimal(options.parse_float_as_decimal)
        .with_map_string_types_to_utf8view(options.map_string_types_to_utf8view)
}

struct Planner<'a> {
    state: &'a SessionState,
    catalogue: Catalogue,
}

impl<'a> Planner<'a> {
    /// Expands the query in place and makes a planner that knows what it names.
    fn new(ctx: &Arc<StatementContext>, state: &'a SessionState, query: &mut ast::Query) -> Result<Self> {
        let mut planning = planning(ctx, state, vec![]);
        routines::rewrite_calls(&planning, query, true)?;
        set_returning::records::rewrite(&planning, query)?;
        let mut expanded = expand::expand(&planning, query)?;
        // Those of views.
        if whole_rows::any(query) {
            whole_rows::rewrite(&planning, query);
        }
        let commits = super::catalog::tableoid::resolve(&planning, query);
        if commits && !expanded.named.contains(&SystemColumn::Commit) {
            expanded.named.push(SystemColumn::Commit);
        }
        wildcards::qualify(query);
        check_locks(ctx, query, expanded.clauses)?;
        wildcards::rename_inner_repeats(query);
        using::rewrite(&planning, query)?;
        wildcards::hide(&planning, &expanded.named, query)?;
        forms::rewrite(query);
        select_forms::lateral_functions(&planning, query);
        select_forms::rewrite(query);
        distinct_casts::rewrite(&planning, query);
        outer_names::mark(query);
        planning.exposed = expanded.named;
        Ok(Self { state, catalogue: Catalogue::new(Arc::new(planning)) })
    }

    fn plan(&self, query: ast::Query, declared: &[Option<PgType>]) -> Result<LogicalPlan> {
        let planner = SqlToRel::new_with_options(&self.catalogue, options(self.state));
        let mut context = PlannerContext::new().with_prepare_param_data_types(parameters::fields(declared));
        let plan = planner.sql_statement_to_plan_with_context(ast::Statement::Query(Box::new(query)), &mut context);
        plan.and_then(set_returning::typed).map_err(diagnose)
    }
}

/// FOR UPDATE means the present: rows are not locked, since a writer that comes second fails at its commit.
fn check_locks(ctx: &StatementContext, query: &ast::Query, clauses: bool) -> Result<()> {
    if query.locks.is_empty() {
        return Ok(());
    }
    if clauses {
        return Err(SqlError::unsupported("FOR UPDATE cannot be used with a clause about system time", "Leave one of them out."));
    }
    if ctx.read_only {
        let message = "cannot execute SELECT FOR UPDATE in a read-only transaction";
        return Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
    }
    Ok(())
}

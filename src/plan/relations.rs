//! Relations with a clause about system time, and the functions made from a table's name, as plans.
//!
//! A clause becomes a filter over a scan of all states (see `marker`), so that parameters reach it. Whatever
//! carries a clause and is not a versioned table is refused: a clause is never dropped.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DataFusionError, JoinType, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit, when};
use datafusion::sql::sqlparser::ast;

use super::columns::{Source, SystemColumn};
use super::marker::{Clause, ClauseKind, InstantKind, Names};
use super::names::{HistoryFunction, Planning, Relation, no_relation, split};
use super::scan::external;
use super::{constant, scope, set_operations, set_returning};
use crate::error::{SqlError, SqlState};
use crate::history::TableDef;
use crate::sql::temporal::{InstantExpr, ScopeClause, scope_of};
use crate::types::PgType;
use crate::versions::Scope;

#[derive(Debug)]
pub struct Relations {
    planning: Arc<Planning>,
}

impl Relations {
    pub fn new(planning: Arc<Planning>) -> Self {
        Self { planning }
    }
}

impl RelationPlanner for Relations {
    fn plan_relation(&self, relation: ast::TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        if let Some(call) = Call::of(&relation) {
            let planned = call.plan(context)?;
            return Ok(planned.unwrap_or_else(|| RelationPlanning::Original(Box::new(relation))));
        }
        let ast::TableFactor::Table { name, alias, args, version, with_ordinality, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let alias = alias.clone();
        if let Some(version) = version {
            let reference = context.object_name_to_table_reference(name.clone())?;
            if args.is_some() {
                return Err(external(not_versioned(reference.table())));
            }
            let clause = scope_of(version).map_err(external)?;
            let plan = self.clause_plan(reference, clause, context)?;
            return planned(plan, alias, context);
        }
        if let Some(args) = args {
            let reference = context.object_name_to_table_reference(name.clone())?;
            if let Some(plan) = set_operations::plan(reference.table(), &args.args, context)? {
                return planned(plan, alias, context);
            }
            let given = args.args.clone();
            if let Some(plan) = self.function_plan(&reference, given, context)? {
                return planned(plan, alias, context);
            }
            let call = Call { name: name.clone(), args: args.args.clone(), ordinality: *with_ordinality, alias };
            if let Some(planning) = call.plan(context)? {
                return Ok(planning);
            }
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        match &alias {
            Some(alias) if !alias.columns.is_empty() => {
                let alias = alias.clone();
                let plan = context.plan(without_alias(relation))?;
                planned(plan, Some(alias), context)
            }
            _ => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

/// A function in FROM.
struct Call {
    name: ast::ObjectName,
    args: Vec<ast::FunctionArg>,
    ordinality: bool,
    alias: Option<ast::TableAlias>,
}

impl Call {
    fn of(relation: &ast::TableFactor) -> Option<Self> {
        match relation {
            ast::TableFactor::Function { name, args, with_ordinality, alias, .. } => {
                Some(Self { name: name.clone(), args: args.clone(), ordinality: *with_ordinality, alias: alias.clone() })
            }
            ast::TableFactor::UNNEST { array_exprs, with_ordinality, alias, .. } => {
                let arg = |e: &ast::Expr| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e.clone()));
                Some(Self {
                    name: ast::ObjectName::from(vec![ast::Ident::new("unnest")]),
                    args: array_exprs.iter().map(arg).collect(),
                    ordinality: *with_ordinality,
                    alias: alias.clone(),
                })
            }
            _ => None,
        }
    }

    /// `None` for a function that is not known here.
    fn plan(&self, context: &mut dyn RelationPlannerContext) -> Result<Option<RelationPlanning>> {
        let args = self.args.iter().map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        });
        let Some(args) = args.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let Some(from) = set_returning::plan_from(&self.name, &args, self.ordinality, context)? else { return Ok(None) };
        let alias = match self.alias.clone() {
            // The alias of a function with one column is that column's name too.
            Some(mut alias) => {
                if alias.columns.is_empty() && from.takes_alias {
                    alias.columns.push(ast::TableAliasColumnDef { name: alias.name.clone(), data_type: None });
                }
                alias
            }
            None => {
                let name = ast::Ident::with_quote('"', from.name);
                ast::TableAlias { explicit: false, name, columns: vec![], at: None }
            }
        };
        planned(from.plan, Some(alias), context).map(Some)
    }
}

fn without_alias(mut relation: ast::TableFactor) -> ast::TableFactor {
    if let ast::TableFactor::Table { alias, .. } = &mut relation {
        *alias = None;
    }
    relation
}

/// The plan under its alias; an alias may name fewer columns than there are.
fn planned(plan: LogicalPlan, alias: Option<ast::TableAlias>, context: &dyn RelationPlannerContext) -> Result<RelationPlanning> {
    let Some(mut alias) = alias else {
        return Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))));
    };
    let columns = plan.schema().columns();
    if alias.columns.len() > columns.len() {
        let message = format!(
            "table \"{}\" has {} columns available but {} columns specified",
            alias.name.value,
            columns.len(),
            alias.columns.len()
        );
        return Err(external(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)));
    }
    let names: Vec<String> = alias.columns.drain(..).map(|c| context.normalize_ident(c.name)).collect();
    let exprs = columns.into_iter().enumerate().map(|(i, column)| match names.get(i) {
        Some(name) => Expr::Column(column).alias(name),
        None => Expr::Column(column),
    });
    let plan = LogicalPlanBuilder::from(plan).project(exprs.collect::<Vec<_>>())?.build()?;
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, Some(alias)))))
}

fn not_versioned(name: &str) -> SqlError {
    SqlError::unsupported(
        format!("\"{name}\" has no history that a clause about system time could read"),
        "Give the clause to a table or a view.",
    )
}

impl Relations {
    fn clause_plan(
        &self,
        reference: TableReference,
        clause: ScopeClause,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<LogicalPlan> {
        let (kind, instants) = match clause {
            ScopeClause::AsOf(at) => (ClauseKind::AsOf, vec![at]),
            ScopeClause::Pinned(at) => (ClauseKind::Pinned, vec![at]),
            ScopeClause::FromTo { from, to } => (ClauseKind::FromTo, vec![from, to]),
            ScopeClause::Between { from, to } => (ClauseKind::Between, vec![from, to]),
            ScopeClause::ContainedIn { from, to } => (ClauseKind::ContainedIn, vec![from, to]),
            ScopeClause::All => (ClauseKind::All, vec![]),
        };
        let instants = instants.into_iter().map(|at| self.instant(at, context)).collect::<Result<Vec<_>>>()?;
        let clause = Clause { kind, instants };
        let (schema, name) = split(&self.planning, &reference).map_err(external)?;
        let then = self.scope_at_planning(&clause).map_err(external)?;
        match self.planning.relation_in(schema, name, then).map_err(external)? {
            Relation::Table(table) => self.past_plan(reference.clone(), &table, clause),
            Relation::View(_) => Err(external(no_relation(schema, name))),
            Relation::History(_)
            | Relation::Changes(_)
            | Relation::System(_)
            | Relation::Catalogue(_)
            | Relation::Sequence(_) => Err(external(not_versioned(name))),
        }
    }

    /// The table's states in the clause's scope: its own columns, and the system columns that the statement names.
    fn past_plan(&self, reference: TableReference, table: &Arc<TableDef>, clause: Clause) -> Result<LogicalPlan> {
        let provider = self.planning.clause_table(table).map_err(external)?;
        let shown = provider.shown.clone();
        let scan = LogicalPlanBuilder::scan(reference.clone(), provider_as_source(Arc::new(provider)), None)?;
        let column = |name: &str| Expr::Column(Column::new(Some(reference.clone()), name));
        let Some(system) = shown.columns.iter().find(|c| matches!(c.source, Source::System(_))) else {
            let message = "a table whose columns hide every system column cannot be read in the past";
            return Err(external(SqlError::unsupported(message, "Rename one of its columns.")));
        };
        let scan = scan.filter(clause.filter(column(&system.name)))?;
        let visible = shown.columns.iter().filter(|c| match &c.source {
            Source::Column(_) => true,
            Source::System(system) => self.planning.exposed.contains(system),
        });
        scan.project(visible.map(|c| column(&c.name)).collect::<Vec<_>>())?.build()
    }

    fn instant(&self, at: InstantExpr, context: &mut dyn RelationPlannerContext) -> Result<(InstantKind, Expr)> {
        let (names, before, expr) = match at {
            InstantExpr::Time(e) => (Names::Time, false, e),
            InstantExpr::Before(e) => (Names::Time, true, e),
            InstantExpr::Commit(e) => (Names::Commit, false, e),
            InstantExpr::BeforeCommit(e) => (Names::Commit, true, e),
            InstantExpr::Either(e) => (Names::Either, false, e),
            InstantExpr::BeforeEither(e) => (Names::Either, true, e),
        };
        let written = expr.to_string();
        let expr = context.sql_to_expr(expr, &DFSchema::empty()).map_err(|error| match error.find_root() {
            DataFusionError::SchemaError(..) => external(not_around(&written)),
            _ => error,
        })?;
        Ok((InstantKind { names, before }, typed(names, expr)?))
    }

    /// The scope to look names up in. An instant that is a parameter or a column around is not known yet: then any will do.
    fn scope_at_planning(&self, clause: &Clause) -> Result<Scope, SqlError> {
        let one = matches!(clause.kind, ClauseKind::AsOf | ClauseKind::Pinned);
        let Some((kind, expr)) = clause.instants.first().filter(|_| one) else { return Ok(Scope::All) };
        if has_parameter(expr) {
            return Ok(Scope::All);
        }
        let value = constant::value_of(&self.planning.state, expr.clone())?;
        scope::as_of_scope(&self.planning.ctx, *kind, &value)
    }

    fn function_plan(
        &self,
        reference: &TableReference,
        args: Vec<ast::FunctionArg>,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Option<LogicalPlan>> {
        let (schema, name) = split(&self.planning, reference).map_err(external)?;
        let Some((table, function)) = self.planning.history_function(schema, name) else { return Ok(None) };
        let wanted = if function == HistoryFunction::AsOf { 1 } else { 2 };
        let mut instants = Vec::with_capacity(args.len());
        for arg in args {
            let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) = arg else {
                return Err(external(wrong_arguments(name)));
            };
            instants.push(self.instant(InstantExpr::Either(expr), context)?);
        }
        if instants.len() != wanted {
            return Err(external(wrong_arguments(name)));
        }
        let reference = TableReference::bare(name);
        let clause = |kind, instants| Clause { kind, instants };
        let at = |instant: &(InstantKind, Expr)| clause(ClauseKind::AsOf, vec![instant.clone()]);
        let plan = match function {
            HistoryFunction::AsOf => {
                let then = self.scope_at_planning(&at(&instants[0])).map_err(external)?;
                let base = &name[..name.len() - "__as_of".len()];
                match self.planning.relation_in(schema, base, then).map_err(external)? {
                    Relation::Table(table) => self.past_plan(reference, &table, at(&instants[0]))?,
                    _ => self.past_plan(reference, &table, at(&instants[0]))?,
                }
            }
            HistoryFunction::Between => self.past_plan(reference, &table, clause(ClauseKind::Between, instants))?,
            HistoryFunction::FromTo => self.past_plan(reference, &table, clause(ClauseKind::FromTo, instants))?,
            HistoryFunction::Diff => self.diff_plan(reference, &table, at(&instants[0]), at(&instants[1]))?,
        };
        Ok(Some(plan))
    }

    /// One row per item that is not the same at both instants: `from_…`, `to_…` and `diff_type`.
    fn diff_plan(&self, reference: TableReference, table: &Arc<TableDef>, from: Clause, to: Clause) -> Result<LogicalPlan> {
        let (from, names) = self.diff_side("from_", table, from)?;
        let (to, _) = self.diff_side("to_", table, to)?;
        let keys = (vec![Column::from_name("from_")], vec![Column::from_name("to_")]);
        let joined = LogicalPlanBuilder::from(from).join(to, JoinType::Full, keys, None)?;
        let column = |name: String| Expr::Column(Column::from_name(name));
        let differs = names.iter().map(|name| {
            let (from, to) = (column(format!("from_{name}")), column(format!("to_{name}")));
            datafusion::logical_expr::binary_expr(from, datafusion::logical_expr::Operator::IsDistinctFrom, to)
        });
        let (no_from, no_to) = (column("from_".into()).is_null(), column("to_".into()).is_null());
        let changed = differs.fold(no_from.clone().or(no_to.clone()), Expr::or);
        let kind = when(no_from, lit("added")).when(no_to, lit("removed")).otherwise(lit("modified"))?;
        let columns = ["from_", "to_"].iter().flat_map(|side| names.iter().map(move |name| format!("{side}{name}")));
        let mut exprs: Vec<Expr> = columns.map(column).collect();
        exprs.push(kind.alias("diff_type"));
        joined.filter(changed)?.project(exprs)?.alias(reference)?.build()
    }

    /// The state at one instant, its columns under `prefix`, the item's key as the bare prefix.
    fn diff_side(&self, prefix: &str, table: &Arc<TableDef>, clause: Clause) -> Result<(LogicalPlan, Vec<String>)> {
        let provider = self.planning.clause_table(table).map_err(external)?;
        let shown = provider.shown.clone();
        let name = |column: SystemColumn| shown.position_of(column).map(|_| column.name());
        let Some(key) = name(SystemColumn::Key) else {
            return Err(external(SqlError::unsupported(
                "a table with a column named \"_key\" cannot be compared",
                "Rename the column.",
            )));
        };
        let reference = TableReference::bare(format!("__{prefix}"));
        let scan = LogicalPlanBuilder::scan(reference.clone(), provider_as_source(Arc::new(provider)), None)?;
        let column = |name: &str| Expr::Column(Column::new(Some(reference.clone()), name));
        let scan = scan.filter(clause.filter(column(key)))?;
        let own = shown.columns.iter().filter(|c| matches!(c.source, Source::Column(_)));
        let names: Vec<String> = own.map(|c| c.name.clone()).collect();
        let mut exprs = vec![column(key).alias(prefix)];
        exprs.extend(names.iter().map(|name| column(name).alias(format!("{prefix}{name}"))));
        Ok((scan.project(exprs)?.build()?, names))
    }
}

/// A column that is not one of a row around the subquery that reads the past.
fn not_around(instant: &str) -> SqlError {
    SqlError::unsupported(
        format!("cannot use column {instant} as an instant"),
        "An instant is a literal, a parameter, an expression of those such as now() - interval '1 day', or, in a subquery, a \
         column of the query around it.",
    )
}

fn wrong_arguments(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not take these arguments"))
        .hint("It takes instants: one for __as_of, two for __between, __from_to and __diff.")
}

fn has_parameter(expr: &Expr) -> bool {
    let mut found = false;
    let _ = datafusion::common::tree_node::TreeNode::apply(expr, |e| {
        found |= matches!(e, Expr::Placeholder(_) | Expr::OuterReferenceColumn(..));
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    found
}

/// An instant's expression with the type it is wanted in: a parameter of no type is a timestamptz, a time of
/// another type is cast, text and numbers are told apart when their value is known.
fn typed(names: Names, expr: Expr) -> Result<Expr> {
    let ty = if names == Names::Commit { PgType::INT8 } else { scope::INSTANT };
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            Ok(Expr::Placeholder(Placeholder::new_with_field(id, Some(Arc::new(ty.field("", true))))))
        }
        Expr::Literal(..) | Expr::Placeholder(_) => Ok(expr),
        expr => {
            let found = PgType::of_arrow(&expr.get_type(&DFSchema::empty())?);
            if found == PgType::TEXT || found == PgType::INT8 || found == PgType::INT4 || found == ty {
                return Ok(expr);
            }
            Ok(Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(ty.field("", true)))))
        }
    }
}

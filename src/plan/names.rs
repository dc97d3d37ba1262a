//! Names of a statement as relations: the search path, tables of now and then, and the names made from theirs.
//!
//! One [`Planning`] serves one statement. It answers DataFusion's planner synchronously, since definitions are in
//! memory; nothing here reads a row.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue, TableReference, plan_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::catalog::CatalogueRelation;
use super::columns::{Shown, Source, SystemColumn, present};
use super::relations::Relations;
use super::scan::external;
use super::sequence::SequenceTable;
use super::table::{Reads, ScopedTable};
use super::{SchemaAt, StatementContext, constant, payload, scope, system};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ColumnDef, ColumnId, SequenceDef, TableDef, ViewDef};
use crate::sql::RETURNED;
use crate::types::Qualified;
use crate::versions::Scope;

/// What a name in FROM means.
#[derive(Clone, Debug)]
pub enum Relation {
    Table(Arc<TableDef>),
    View(Arc<ViewDef>),
    Sequence(Arc<SequenceDef>),
    /// `t__history`.
    History(Arc<TableDef>),
    /// `t__changes`.
    Changes(Arc<TableDef>),
    /// Our own tables in schema `chronogate`, and the catalogue's.
    System(system::SystemTable),
    /// `pg_catalog` and `information_schema`.
    Catalogue(CatalogueRelation),
}

/// `t__as_of(x)` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryFunction {
    AsOf,
    Between,
    FromTo,
    Diff,
}

const HISTORY: &str = "__history";
const CHANGES: &str = "__changes";
const FUNCTIONS: [(&str, HistoryFunction); 4] = [
    ("__as_of", HistoryFunction::AsOf),
    ("__between", HistoryFunction::Between),
    ("__from_to", HistoryFunction::FromTo),
    ("__diff", HistoryFunction::Diff),
];

/// One statement being planned: its surroundings and the planner's configuration.
#[derive(Debug)]
pub struct Planning {
    pub ctx: Arc<StatementContext>,
    pub state: SessionState,
    pub types: Arc<dyn TypePlanner>,
    /// System columns that the statement names, so that its relations have to show them.
    pub exposed: Vec<SystemColumn>,
}

impl Planning {
    /// Schemas in which an unqualified name is looked for, in order.
    fn schemas<'a>(&'a self, schema: Option<&'a str>) -> Vec<&'a str> {
        match schema {
            Some(schema) => vec![self.ctx.schema_named(schema)],
            None => {
                let path = self.ctx.search_path.iter().map(String::as_str);
                std::iter::once("pg_catalog").chain(path.filter(|s| *s != "pg_catalog")).collect()
            }
        }
    }

    /// The relation of this name as the statement sees it, in its default scope. 42P01 when there is none.
    pub fn relation(&self, schema: Option<&str>, name: &str) -> Result<Relation> {
        self.relation_in(schema, name, scope::default_scope(&self.ctx))
    }

    /// The relation of this name as of `scope`.
    pub fn relation_in(&self, schema: Option<&str>, name: &str, scope: Scope) -> Result<Relation> {
        for schema in self.schemas(schema) {
            if let Some(relation) = self.relation_of(&Qualified::new(schema, name), scope) {
                return Ok(relation);
            }
        }
        Err(no_relation(schema, name))
    }

    fn relation_of(&self, name: &Qualified, scope: Scope) -> Option<Relation> {
        if let Some(system) = system::SystemTable::of_name(&name.schema, &name.name) {
            return Some(Relation::System(system));
        }
        if let Some(relation) = CatalogueRelation::of_name(&name.schema, &name.name) {
            return Some(Relation::Catalogue(relation));
        }
        if let Some(table) = self.table_of(name, scope) {
            return Some(Relation::Table(table));
        }
        if let Some(view) = self.ctx.transaction.lock().catalog.views.get(name) {
            return Some(Relation::View(Arc::clone(view)));
        }
        if let Some(sequence) = self.ctx.transaction.lock().catalog.sequences.get(name) {
            return Some(Relation::Sequence(Arc::clone(sequence)));
        }
        let base = |suffix: &str| {
            let base = Qualified::new(name.schema.as_str(), name.name.strip_suffix(suffix)?);
            self.table_of(&base, scope).or_else(|| self.table_of(&base, Scope::All))
        };
        base(HISTORY).map(Relation::History).or_else(|| base(CHANGES).map(Relation::Changes))
    }

    fn table_of(&self, name: &Qualified, scope: Scope) -> Option<Arc<TableDef>> {
        let (catalog, snapshot) = {
            let transaction = self.ctx.transaction.lock();
            (Arc::clone(&transaction.catalog), transaction.snapshot)
        };
        let now = || catalog.tables.get(name).cloned();
        match scope {
            Scope::Current => now(),
            // Values of the past are shown as types are now.
            _ => self.ctx.database.table_at(name, scope, snapshot).map(|then| catalog.shaped_table(&then)).or_else(now),
        }
    }

    /// The table and function that a name like `t__as_of` is made of.
    pub fn history_function(&self, schema: Option<&str>, name: &str) -> Option<(Arc<TableDef>, HistoryFunction)> {
        FUNCTIONS.iter().find_map(|(suffix, function)| {
            let base = name.strip_suffix(suffix)?;
            match self.relation_in(schema, base, Scope::All) {
                Ok(Relation::Table(table)) => Some((table, *function)),
                _ => None,
            }
        })
    }

    /// The newest definition of this incarnation, own changes included.
    fn newest(&self, table: &Arc<TableDef>) -> Arc<TableDef> {
        let catalog = Arc::clone(&self.ctx.transaction.lock().catalog);
        let last = || self.ctx.database.table_states(table.id).pop().map(|(_, def)| catalog.shaped_table(&def));
        catalog.table_by_id(table.id).cloned().or_else(last).unwrap_or_else(|| Arc::clone(table))
    }

    /// The columns a relation over the past shows, `then` being the definition of the time it reads.
    fn past_columns(&self, then: &Arc<TableDef>) -> Vec<ColumnDef> {
        match self.ctx.schema_at {
            SchemaAt::Union => {
                // A column whose values were computed anew for another type reads then as it was then.
                let as_then = |column: ColumnDef| match then.column_by_id(column.id) {
                    Some(old) if old.field != column.field && !old.dropped => {
                        ColumnDef { name: column.name, dropped: column.dropped, ..old.clone() }
                    }
                    _ => column,
                };
                self.newest(then).union_columns().into_iter().map(as_then).collect()
            }
            SchemaAt::Then => present(then),
            SchemaAt::Now => present(&self.newest(then)),
        }
    }

    /// Rows of the table as the statement's own scope has them.
    pub fn statement_table(&self, table: &Arc<TableDef>) -> Result<ScopedTable> {
        let exposed = self.exposed.iter().copied();
        if scope::default_scope(&self.ctx) == Scope::Current {
            return self.scoped(table, Shown::new(table, present(table), exposed), Reads::Statement);
        }
        let keyed = self.newest(table);
        self.scoped(&keyed, Shown::new(&keyed, self.past_columns(table), exposed), Reads::Statement)
    }

    /// Every state of the table, for a clause to pick from; shows all system columns after the table's own.
    pub fn clause_table(&self, then: &Arc<TableDef>) -> Result<ScopedTable> {
        let system = SystemColumn::SHOWN.into_iter().chain([SystemColumn::Key]).chain(SystemColumn::OF_DOCUMENTS);
        let keyed = self.newest(then);
        self.scoped(&keyed, Shown::new(&keyed, self.past_columns(then), system), Reads::Clause)
    }

    /// `t__history`.
    pub fn history_table(&self, table: &Arc<TableDef>) -> Result<ScopedTable> {
        let keyed = self.newest(table);
        let named = SystemColumn::OF_DOCUMENTS.into_iter().filter(|column| self.exposed.contains(column));
        let system = SystemColumn::SHOWN.into_iter().chain(named);
        self.scoped(&keyed, Shown::new(&keyed, self.past_columns(table), system), Reads::History)
    }

    fn scoped(&self, table: &Arc<TableDef>, shown: Shown, reads: Reads) -> Result<ScopedTable> {
        let missing = self.missing_of(&table.columns)?;
        let past = reads != Reads::Statement || scope::default_scope(&self.ctx) != Scope::Current;
        if past && table.is_temporary() {
            return Err(without_past(&table.name.name));
        }
        let table = match past {
            true => Arc::new(self.as_always_keyed(self.with_filled_indexes(table, &shown))),
            false if self.ctx.transaction.lock().catalog_changes.is_empty() => Arc::clone(table),
            false => Arc::new(self.with_filled_indexes(table, &shown)),
        };
        Ok(ScopedTable::new(table, shown, reads, missing))
    }

    /// The definition without indexes whose entries do not tell which items have a value: those that this
    /// transaction has made, which get their entries when it commits, and those of a column that is shown in
    /// another type than its entries have. All others have an entry for every state that there ever was.
    fn with_filled_indexes(&self, table: &TableDef, shown: &Shown) -> TableDef {
        let transaction = self.ctx.transaction.lock();
        let shows = |id: &ColumnId| {
            let ty = table.column_by_id(*id).map(|c| c.ty);
            let shown = shown.columns.iter().filter_map(|c| if let Source::Column(c) = &c.source { Some(c) } else { None });
            shown.filter(|c| c.id == *id).all(|c| Some(c.ty) == ty)
        };
        let filled = |index, columns: &[ColumnId]| transaction.has_filled(table.id, index) && columns.iter().all(shows);
        let mut known = table.clone();
        known.indexes.retain(|index| filled(index.id, &index.columns));
        known.uniques.retain(|unique| filled(unique.id, &unique.columns));
        known.foreign_keys.retain(|key| filled(key.id, &key.entry));
        known
    }

    /// The definition without its key where items may have had other ones.
    fn as_always_keyed(&self, mut table: TableDef) -> TableDef {
        let Some((_, first)) = self.ctx.database.table_states(table.id).into_iter().next() else { return table };
        table.foreign_keys.retain(|key| first.foreign_keys.iter().any(|k| k.id == key.id));
        let key = |def: &TableDef| def.primary_key.as_ref().map(|(_, ids)| ids.clone());
        let types = |def: &TableDef| def.key_columns().map(|c| c.ty).collect::<Vec<_>>();
        if key(&table) != key(&first) || types(&table) != types(&first) {
            table.primary_key = None;
        }
        table
    }

    /// What rows written before a column existed read as, in the payload's form.
    pub fn missing_of(&self, columns: &[ColumnDef]) -> Result<HashMap<ColumnId, String>> {
        let given = columns.iter().filter_map(|c| Some((c, c.missing.as_deref()?)));
        given.map(|(column, text)| Ok((column.id, self.missing_value(column, text)?))).collect()
    }

    fn missing_value(&self, column: &ColumnDef, text: &str) -> Result<String> {
        let broken = || SqlError::internal(format!("default of column \"{}\" cannot be evaluated", column.name));
        let mut parsed =
            Parser::new(&PostgreSqlDialect {}).try_with_sql(text).and_then(|mut p| p.parse_expr()).map_err(|_| broken())?;
        super::functions::forms::rewrite(&mut parsed);
        let parsed = datafusion::sql::sqlparser::ast::ExprWithAlias { expr: parsed, alias: None };
        let planned = self.state.create_logical_expr_from_sql_expr(parsed, &DFSchema::empty());
        let planned = planned.map_err(super::diagnose::diagnose)?;
        let field = Arc::new(column.ty.field("value", true));
        let cast = Expr::Cast(datafusion::logical_expr::Cast::new_from_field(Box::new(planned), field));
        let value = constant::value_of(&self.state, cast)?;
        let array = value.to_array().map_err(super::diagnose::diagnose)?;
        Ok(payload::value_json(&array, 0, column.ty)?)
    }
}

/// Whole numbers as the planner's own functions in FROM take them.
fn wide(arg: Expr) -> Expr {
    match arg {
        Expr::Literal(value @ ScalarValue::Int32(_), metadata) => match value.cast_to(&DataType::Int64) {
            Ok(value) => Expr::Literal(value, None),
            Err(_) => Expr::Literal(value, metadata),
        },
        other => other,
    }
}

/// 0A000: only the present of a temporary table is there.
pub fn without_past(table: &str) -> SqlError {
    SqlError::unsupported(
        format!("temporary table \"{table}\" has no past"),
        "Only its present can be read; keep rows whose past matters in a table of the database.",
    )
}

pub fn no_relation(schema: Option<&str>, name: &str) -> SqlError {
    let name = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
    SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
}

/// Schema and name of a reference; 0A000 for one into another database.
pub fn split<'a>(planning: &Planning, reference: &'a TableReference) -> Result<(Option<&'a str>, &'a str)> {
    match reference.catalog() {
        Some(catalog) if catalog != planning.ctx.database.name() => Err(SqlError::unsupported(
            format!("cross-database references are not implemented: \"{reference}\""),
            "Connect to that database instead.",
        )),
        _ => Ok((reference.schema(), reference.table())),
    }
}

/// Answers DataFusion's planner for one statement.
pub struct Catalogue {
    planning: Arc<Planning>,
    relations: [Arc<dyn RelationPlanner>; 1],
}

impl Catalogue {
    pub fn new(planning: Arc<Planning>) -> Self {
        let relations: [Arc<dyn RelationPlanner>; 1] = [Arc::new(Relations::new(Arc::clone(&planning)))];
        Self { planning, relations }
    }
}

impl ContextProvider for Catalogue {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>, DataFusionError> {
        let planning = &self.planning;
        let (schema, table) = split(planning, &name).map_err(external)?;
        if schema == Some(RETURNED)
            && let Some(returned) = planning.ctx.returned.provider(table)
        {
            return Ok(provider_as_source(returned));
        }
        let source = match planning.relation(schema, table).map_err(external)? {
            Relation::Table(table) => provider_as_source(Arc::new(planning.statement_table(&table).map_err(external)?)),
            Relation::History(table) => provider_as_source(Arc::new(planning.history_table(&table).map_err(external)?)),
            Relation::Changes(table) => provider_as_source(system::changes_of(planning, &table).map_err(external)?),
            Relation::System(system) => provider_as_source(system.provider(planning).map_err(external)?),
            Relation::Catalogue(relation) => provider_as_source(relation.provider()),
            Relation::Sequence(sequence) => provider_as_source(Arc::new(SequenceTable::new(sequence))),
            Relation::View(view) => {
                return Err(external(SqlError::new(
                    SqlState::WRONG_OBJECT_TYPE,
                    format!("\"{}\" is a view and cannot be used here", view.name.name),
                )));
            }
        };
        Ok(source)
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>, DataFusionError> {
        let state = &self.planning.state;
        let Some(function) = state.table_functions().get(name) else {
            return Err(external(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not exist"))));
        };
        let context = SimplifyContext::builder()
            .with_config_options(Arc::clone(state.config_options()))
            .with_query_execution_start_time(state.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.coerce(arg, &schema).and_then(|e| simplifier.simplify(e)).map(wide))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(provider_as_source(function.create_table_provider_with_args(TableFunctionArgs::new(&args, state))?))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>, DataFusionError> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.planning.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.planning.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let own = self.planning.state.scalar_functions().get(name).cloned();
        own.or_else(|| super::routines::function(&self.planning.ctx, name))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.planning.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.planning.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.planning.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.planning.state.config_options()
    }

    fn get_file_type(&self, _: &str) -> Result<Arc<dyn datafusion::common::file_options::file_type::FileType>, DataFusionError> {
        Err(plan_datafusion_err!("files cannot be named in a statement"))
    }

    // Names of functions only serve suggestions in error messages, which want to have one.
    fn udf_names(&self) -> Vec<String> {
        vec!["now".to_owned()]
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

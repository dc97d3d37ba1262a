//! The table a statement writes to: found by name, with its defaults and checks compiled.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, new_null_array};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue, TableReference};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::assign::{assign, assignable, not_assignable};
use super::foreign::Family;
use super::parameters::Parameters;
use super::program::{RowProgram, untyped_literal};
use super::select::fold;
use super::values::{read_literal, row_text};
use super::{Queries, Run};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ColumnDef, ComputedIndexDef, DOCUMENT_ID, IndexPart, SequenceDef, TableDef, ViewDef, object_ids};
use crate::plan::StatementContext;
use crate::plan::catalog::updatable::UpdatableView;
use crate::plan::columns::SystemColumn;
use crate::plan::computed_keys::ComputedKeys;
use crate::plan::domains::{self, Rule};
use crate::plan::routines::Triggers;
use crate::plan::rows::{RowLayout, batch_of};
use crate::runtime::SystemEntropy;
use crate::types::{Identity, PgType, Qualified, Zone, text};

/// A table as a writer sees it.
#[derive(Clone, Debug)]
pub struct Target {
    pub layout: RowLayout,
    /// What a column gets when nothing is given, by position.
    pub defaults: Vec<DefaultValue>,
    checks: Option<RowProgram>,
    /// WITH CHECK OPTION: the view's name, and which rows it shows.
    view_check: Option<(String, RowProgram)>,
    /// Conditions of the columns' domains, one expression of the program each.
    domains: Option<(Vec<Rule>, RowProgram)>,
    /// Columns computed from the others: position, expression, its type.
    generated: Vec<(usize, RowProgram, PgType)>,
    /// For statements that may take keys away which others refer to.
    pub family: Option<Arc<Family>>,
    /// Triggers that are enabled, if there are any.
    pub triggers: Option<Arc<Triggers>>,
    /// The session's, read once.
    pub zone: Zone,
    zone_name: String,
}

/// Where a column's value comes from when the statement gives none.
#[derive(Clone, Debug)]
pub enum DefaultValue {
    /// The same for every row; NULL when there is no default.
    Constant(ScalarValue),
    /// A number of a sequence's own for every row.
    Sequence(Arc<SequenceDef>),
    /// The name of a new document for every row.
    DocumentName,
    /// Evaluated for every row; of this type before assignment.
    Expression(RowProgram, PgType),
}

/// What a write names: a table, or a view.
pub enum Named {
    Table(Arc<TableDef>),
    View(Arc<ViewDef>),
}

/// Finds the table that a write names. Views and histories are not written to.
pub fn find_table(ctx: &StatementContext, name: &ast::ObjectName, verb: &str) -> Result<Arc<TableDef>> {
    find_named(ctx, name)?.table(verb)
}

/// As [`find_table`], of a name already taken apart.
pub fn find_relation(ctx: &StatementContext, schema: Option<&str>, relation: &str, verb: &str) -> Result<Arc<TableDef>> {
    look_up(ctx, schema, relation)?.table(verb)
}

/// The table or view that a write names. 42P01, 42809 for what cannot be written to.
pub fn find_named(ctx: &StatementContext, name: &ast::ObjectName) -> Result<Named> {
    let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(fold).unwrap_or_default()).collect();
    match parts.as_slice() {
        [relation] => look_up(ctx, None, relation),
        [schema, relation] | [_, schema, relation] => look_up(ctx, Some(schema), relation),
        _ => Err(SqlError::syntax(format!("improper relation name (too many dotted names): {name}"))),
    }
}

impl Named {
    /// 55000 for a view.
    fn table(self, verb: &str) -> Result<Arc<TableDef>> {
        match self {
            Self::Table(table) => Ok(table),
            Self::View(view) => Err(not_writable(&view, verb, "Views are not automatically updatable.")),
        }
    }
}

/// 55000: why a view cannot be written through.
pub fn not_writable(view: &ViewDef, verb: &str, reason: &str) -> SqlError {
    let message = format!("cannot {verb} view \"{}\"", view.name.name);
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .detail(reason)
        .hint("Write to the table that the view reads.")
}

fn look_up(ctx: &StatementContext, schema: Option<&str>, relation: &str) -> Result<Named> {
    let catalog = ctx.transaction.lock().catalog.clone();
    let schemas: Vec<&str> = match schema {
        Some(schema) => vec![ctx.schema_named(schema)],
        None => ctx.search_path.iter().map(String::as_str).collect(),
    };
    for schema in &schemas {
        let name = Qualified::new(*schema, relation);
        if let Some(table) = catalog.tables.get(&name) {
            if table.materialized.is_some() {
                let message = format!("cannot change materialized view \"{relation}\"");
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).hint("REFRESH MATERIALIZED VIEW fills it anew."));
            }
            return Ok(Named::Table(table.clone()));
        }
        if let Some(view) = catalog.views.get(&name) {
            return Ok(Named::View(view.clone()));
        }
        let history = relation.strip_suffix("__history").or_else(|| relation.strip_suffix("__changes"));
        if history.is_some_and(|table| catalog.tables.contains_key(&Qualified::new(*schema, table))) {
            let message = format!("cannot change \"{relation}\": the past cannot be changed");
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
    }
    let shown = schema.map_or_else(|| relation.to_owned(), |schema| format!("{schema}.{relation}"));
    if schema.is_some_and(|s| matches!(s, "pg_catalog" | "information_schema" | "chronogate")) {
        let message = format!("permission denied: \"{relation}\" is a system catalog");
        return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
    }
    Err(SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist")))
}

impl Target {
    pub fn new(ctx: &StatementContext, queries: &dyn Queries, table: Arc<TableDef>) -> Result<Self> {
        let zone = Zone::parse(&ctx.time_zone)?;
        let mut layout = RowLayout::new(table, |column| missing_value(queries, column, zone))?;
        layout.keys.compute(computed_keys(queries, &layout)?);
        let defaults =
            layout.columns.iter().map(|column| default_of(ctx, queries, &layout.table, column, zone)).collect::<Result<_>>()?;
        let checks = compile_checks(queries, &layout)?;
        let domains = compile_domains(ctx, queries, &layout)?;
        let generated = compile_generated(queries, &layout)?;
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        let triggers = Triggers::of(&catalog, &layout.table)?.map(Arc::new);
        Ok(Self {
            layout,
            defaults,
            checks,
            view_check: None,
            domains,
            generated,
            family: None,
            triggers,
            zone,
            zone_name: ctx.time_zone.clone(),
        })
    }

    /// Rows written through a view that checks them must be rows that it shows.
    pub fn keep_in_view(&mut self, queries: &dyn Queries, through: Option<&UpdatableView>) -> Result<()> {
        let Some(through) = through.filter(|through| through.view.check_option.is_some()) else { return Ok(()) };
        let Some(predicate) = through.predicate.clone() else { return Ok(()) };
        let schema = qualified(&through.alias, &self.layout.schema)?;
        let program = RowProgram::plan(queries, &[predicate], schema, &Parameters::default(), "WITH CHECK OPTION")?;
        self.view_check = Some((through.view.name.name.clone(), program));
        Ok(())
    }

    /// Gets ready for taking away keys: all of them, or those of these columns.
    pub fn reach(&mut self, ctx: &StatementContext, queries: &dyn Queries, columns: Option<&[usize]>) -> Result<()> {
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        let id = self.table().id;
        if !catalog.is_referenced(id) {
            return Ok(());
        }
        let touched: Option<Vec<_>> =
            columns.map(|columns| columns.iter().filter_map(|at| self.layout.columns.get(*at)).map(|c| c.id).collect());
        let concerned = catalog
            .references_to(id)
            .iter()
            .any(|(_, key)| touched.as_ref().is_none_or(|touched| key.referenced.iter().any(|column| touched.contains(column))));
        if concerned {
            self.family = Some(Arc::new(Family::of(ctx, queries, id)?));
        }
        Ok(())
    }

    /// The rows with their generated columns computed anew.
    pub fn generate(&self, run: Run<'_>, values: Vec<ArrayRef>, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut values = self.named(values)?;
        if self.generated.is_empty() {
            return Ok(values);
        }
        let batch = self.layout.batch(values.clone(), rows)?;
        for (position, program, from) in &self.generated {
            let results = program.run(run.without_parameters(), &batch)?;
            let result = results.first().ok_or_else(|| SqlError::internal("a generated column has no value"))?;
            let value = assign(result, *from, self.column(*position)?.ty, self.zone)?;
            if let Some(place) = values.get_mut(*position) {
                *place = value;
            }
        }
        Ok(values)
    }

    /// Whether some columns are computed from others.
    pub fn has_generated(&self) -> bool {
        !self.generated.is_empty()
    }

    /// The same under the statement's time zone, which may have changed since it was planned.
    pub fn in_zone_of(&self, ctx: &StatementContext) -> Result<Cow<'_, Target>> {
        if ctx.time_zone == self.zone_name {
            return Ok(Cow::Borrowed(self));
        }
        let zone = Zone::parse(&ctx.time_zone)?;
        Ok(Cow::Owned(Self { zone, zone_name: ctx.time_zone.clone(), ..self.clone() }))
    }

    pub fn table(&self) -> &TableDef {
        &self.layout.table
    }

    pub fn column(&self, position: usize) -> Result<&ColumnDef> {
        self.layout.columns.get(position).ok_or_else(|| SqlError::internal("a statement names a column beyond its table"))
    }

    /// The position of a column named in a statement; 42703.
    pub fn position(&self, name: &str) -> Result<usize> {
        self.layout.position(name).ok_or_else(|| {
            if crate::history::SYSTEM_COLUMNS.contains(&name) {
                return SqlError::unsupported(
                    format!("system column \"{name}\" cannot be written"),
                    "Versions, times and commits number themselves; use WHERE _version = … to change a row only as you have seen it.",
                );
            }
            if SystemColumn::of_name(name).is_some_and(|column| column.is_of(self.table())) {
                let message = format!("column \"{name}\" can only be read");
                return SqlError::new(SqlState::GENERATED_ALWAYS, message)
                    .hint("It tells of the document as it is stored. Write the columns that its members are.");
            }
            let table = &self.table().name.name;
            SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" of relation \"{table}\" does not exist"))
        })
    }

    /// The table's columns as `alias.column`.
    pub fn schema(&self, alias: &str) -> Result<DFSchemaRef> {
        qualified(alias, &self.layout.schema)
    }

    /// `rows` values of a column that the statement gives none for.
    pub async fn default_values(&self, run: Run<'_>, position: usize, rows: usize) -> Result<ArrayRef> {
        let column = self.column(position)?;
        match self.defaults.get(position) {
            None => Ok(new_null_array(&column.ty.arrow(), rows)),
            Some(DefaultValue::Constant(value)) => repeat(value, rows),
            Some(DefaultValue::Sequence(sequence)) => {
                let mut numbers = Vec::with_capacity(rows);
                for _ in 0..rows {
                    let number = run.ctx.database.next_value(sequence).await?;
                    run.ctx.sequences.record(sequence.id, number);
                    numbers.push(number);
                }
                let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
                assign(&numbers, PgType::INT8, column.ty, self.zone)
            }
            Some(DefaultValue::DocumentName) => {
                Ok(Arc::new(StringArray::from(object_ids(run.ctx.database.now().micros(), &SystemEntropy, rows))))
            }
            Some(DefaultValue::Expression(program, from)) => {
                let batch = batch_of(SchemaRef::new(datafusion::arrow::datatypes::Schema::empty()), Vec::new(), rows)?;
                let values = program.run(run.without_parameters(), &batch)?;
                let values = values.first().ok_or_else(|| SqlError::internal("a default gave no value"))?;
                assign(values, *from, column.ty, self.zone)
            }
        }
    }

    /// Compiles checks and defaults as far as they can be; whether all of them could.
    pub fn compile(&mut self, queries: &dyn Queries) -> Result<bool> {
        // Functions of triggers run queries.
        let mut all = self.triggers.is_none() && self.family.as_ref().is_none_or(|family| family.compiled);
        for default in &mut self.defaults {
            if let DefaultValue::Expression(program, _) = default {
                all &= program.compile(queries, &[])?;
            }
        }
        for (_, program, _) in &mut self.generated {
            all &= program.compile(queries, &[])?;
        }
        if let Some((_, program)) = &mut self.domains {
            all &= program.compile(queries, &[])?;
        }
        if let Some(checks) = &mut self.checks {
            all &= checks.compile(queries, &[])?;
        }
        if let Some((_, check)) = &mut self.view_check {
            all &= check.compile(queries, &[])?;
        }
        Ok(all)
    }

    /// Whether rows must keep to conditions beside NOT NULL.
    pub fn has_conditions(&self) -> bool {
        self.checks.is_some() || self.domains.is_some() || self.view_check.is_some()
    }

    /// Checks NOT NULL, CHECK and the columns' domains of every row; the first row that breaks one is the error.
    pub fn check(&self, run: Run<'_>, values: &[ArrayRef], rows: usize) -> Result<()> {
        self.check_domains(run, values, rows)?;
        self.check_nulls(values)?;
        self.check_table(run, values, rows)?;
        self.check_view(run, values, rows)
    }

    /// What is not certainly shown by the view is refused: unlike in a CHECK, NULL does not pass.
    fn check_view(&self, run: Run<'_>, values: &[ArrayRef], rows: usize) -> Result<()> {
        let Some((view, program)) = &self.view_check else { return Ok(()) };
        let results = program.run(run.without_parameters(), &self.layout.batch(values.to_vec(), rows)?)?;
        let shown = results.first().and_then(|result| result.as_boolean_opt());
        let shown = shown.ok_or_else(|| SqlError::internal("a view's condition has no value"))?;
        match (0..rows).find(|row| shown.is_null(*row) || !shown.value(*row)) {
            None => Ok(()),
            Some(row) => {
                let message = format!("new row violates check option for view \"{view}\"");
                Err(SqlError::new(SqlState::WITH_CHECK_OPTION_VIOLATION, message).detail(self.failing_row(values, row)))
            }
        }
    }

    fn check_table(&self, run: Run<'_>, values: &[ArrayRef], rows: usize) -> Result<()> {
        let Some(program) = &self.checks else { return Ok(()) };
        let batch = self.layout.batch(values.to_vec(), rows)?;
        let results = program.run(run.without_parameters(), &batch)?;
        for (check, result) in self.table().checks.iter().zip(&results) {
            let Some(result) = result.as_boolean_opt() else { continue };
            // NULL passes: only false breaks a check.
            if let Some(row) = (0..rows).find(|row| result.is_valid(*row) && !result.value(*row)) {
                let table = &self.table().name;
                let message = format!("new row for relation \"{}\" violates check constraint \"{}\"", table.name, check.name);
                return Err(SqlError::new(SqlState::CHECK_VIOLATION, message)
                    .detail(self.failing_row(values, row))
                    .table(&table.schema, &table.name)
                    .constraint(&check.name));
            }
        }
        Ok(())
    }

    fn check_domains(&self, run: Run<'_>, values: &[ArrayRef], rows: usize) -> Result<()> {
        let Some((rules, program)) = &self.domains else { return Ok(()) };
        let batch = self.layout.batch(values.to_vec(), rows)?;
        let results = program.run(run.without_parameters(), &batch)?;
        let breaks = |result: &ArrayRef| {
            result.as_boolean_opt().is_some_and(|holds| (0..rows).any(|row| holds.is_valid(row) && !holds.value(row)))
        };
        match rules.iter().zip(&results).find(|(_, result)| breaks(result)) {
            Some((rule, _)) => Err(rule.broken()),
            None => Ok(()),
        }
    }

    fn check_nulls(&self, values: &[ArrayRef]) -> Result<()> {
        let keys = self.layout.key_positions();
        let required = |position: usize, column: &ColumnDef| column.not_null || keys.contains(&position);
        let first = self
            .layout
            .columns
            .iter()
            .zip(values)
            .enumerate()
            .filter(|(position, (column, array))| array.null_count() > 0 && required(*position, column))
            .filter_map(|(_, (column, array))| Some(((0..array.len()).find(|row| array.is_null(*row))?, column)))
            .min_by_key(|(row, _)| *row);
        let Some((row, column)) = first else { return Ok(()) };
        let table = &self.table().name;
        let message =
            format!("null value in column \"{}\" of relation \"{}\" violates not-null constraint", column.name, table.name);
        Err(SqlError::new(SqlState::NOT_NULL_VIOLATION, message)
            .detail(self.failing_row(values, row))
            .table(&table.schema, &table.name)
            .column(&column.name))
    }

    fn failing_row(&self, values: &[ArrayRef], row: usize) -> String {
        let types: Vec<PgType> = self.layout.columns.iter().map(|c| c.ty).collect();
        format!("Failing row contains ({}).", row_text(values, &types, row, self.zone))
    }
}

/// A schema whose columns are `alias.column`.
pub fn qualified(alias: &str, schema: &SchemaRef) -> Result<DFSchemaRef> {
    let schema = DFSchema::try_from_qualified_schema(TableReference::bare(alias.to_owned()), schema);
    schema.map(Arc::new).map_err(|e| SqlError::internal(format!("columns have no schema: {e}")))
}

pub fn repeat(value: &ScalarValue, rows: usize) -> Result<ArrayRef> {
    value.to_array_of_size(rows).map_err(|e| SqlError::internal(format!("a constant cannot be repeated: {e}")))
}

/// An expression from a definition.
pub fn parse_expression(text: &str) -> Result<ast::Expr> {
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|_| SqlError::new(SqlState::DATA_CORRUPTED, "an expression in the catalogue cannot be read"))
}

fn default_of(
    ctx: &StatementContext,
    queries: &dyn Queries,
    table: &TableDef,
    column: &ColumnDef,
    zone: Zone,
) -> Result<DefaultValue> {
    if table.is_of_documents() && column.name == DOCUMENT_ID {
        return Ok(DefaultValue::DocumentName);
    }
    if column.identity.is_some() {
        return owned_sequence(ctx, table, column).map(DefaultValue::Sequence);
    }
    let domain = || {
        let catalog = ctx.transaction.lock().catalog.clone();
        domains::default_of(&catalog, column.domain?)
    };
    let Some(text) = column.default.clone().or_else(domain) else { return null_of(column) };
    let expression = parse_expression(&text)?;
    if let Some(name) = nextval_argument(&expression) {
        return find_sequence(ctx, &name).map(DefaultValue::Sequence);
    }
    let program = RowProgram::plan(queries, &[expression], Arc::new(DFSchema::empty()), &Parameters::default(), "DEFAULT")?;
    let from = program.types().first().copied().unwrap_or(PgType::TEXT);
    if let Some(literal) = program.expression(0).and_then(untyped_literal) {
        return literal.map_or_else(|| null_of(column), |text| Ok(DefaultValue::Constant(read_literal(text, column.ty, zone)?)));
    }
    if !assignable(from, column.ty) {
        return Err(not_assignable(&column.name, from, column.ty));
    }
    Ok(DefaultValue::Expression(program, from))
}

fn null_of(column: &ColumnDef) -> Result<DefaultValue> {
    text::null_of(column.ty).map(DefaultValue::Constant)
}

/// The value, as payloads have it, that rows written before the column existed read as.
fn missing_value(queries: &dyn Queries, column: &ColumnDef, zone: Zone) -> Result<Option<String>> {
    let Some(text) = &column.missing else { return Ok(None) };
    let program =
        RowProgram::plan(queries, &[parse_expression(text)?], Arc::new(DFSchema::empty()), &Parameters::default(), "DEFAULT")?;
    let value = match program.expression(0).and_then(untyped_literal) {
        Some(None) => return Ok(None),
        Some(Some(text)) => repeat(&read_literal(text, column.ty, zone)?, 1)?,
        None => {
            let batch = batch_of(SchemaRef::new(datafusion::arrow::datatypes::Schema::empty()), Vec::new(), 1)?;
            let values = program.bind(queries, &[])?.evaluate(queries, &batch)?;
            let from = program.types().first().copied().unwrap_or(PgType::TEXT);
            let value = values.first().ok_or_else(|| SqlError::internal("a default gave no value"))?;
            assign(value, from, column.ty, zone)?
        }
    };
    Ok(Some(crate::plan::payload::value_json(&value, 0, column.ty)?))
}

fn owned_sequence(ctx: &StatementContext, table: &TableDef, column: &ColumnDef) -> Result<Arc<SequenceDef>> {
    let catalog = ctx.transaction.lock().catalog.clone();
    let owned = catalog.sequences.values().find(|s| s.owned_by == Some((table.id, column.id)));
    owned.cloned().ok_or_else(|| {
        let message = format!("no owned sequence found for column \"{}\"", column.name);
        SqlError::new(SqlState::UNDEFINED_OBJECT, message)
    })
}

/// The sequence's name when the expression is `nextval('name')`, with or without `::regclass`.
pub fn nextval_argument(expression: &ast::Expr) -> Option<String> {
    let ast::Expr::Function(call) = expression else { return None };
    let name = call.name.0.last()?.as_ident()?;
    if !name.value.eq_ignore_ascii_case("nextval") {
        return None;
    }
    let ast::FunctionArguments::List(list) = &call.args else { return None };
    let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument))] = list.args.as_slice() else { return None };
    let literal = match argument {
        ast::Expr::Cast { expr, .. } => expr.as_ref(),
        other => other,
    };
    match literal {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// A sequence by a name as regclass reads it: dotted, parts folded unless quoted.
pub fn find_sequence(ctx: &StatementContext, name: &str) -> Result<Arc<SequenceDef>> {
    let missing = || SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(name).and_then(|mut p| p.parse_object_name(false));
    let parts: Vec<String> = parsed.map_err(|_| missing())?.0.iter().filter_map(|part| part.as_ident()).map(fold).collect();
    let catalog = ctx.transaction.lock().catalog.clone();
    let found = match parts.as_slice() {
        [schema, name] => catalog.sequences.get(&Qualified::new(ctx.schema_named(schema), name)),
        [name] => ctx.search_path.iter().find_map(|schema| catalog.sequences.get(&Qualified::new(schema, name))),
        _ => None,
    };
    found.cloned().ok_or_else(missing)
}

fn compile_checks(queries: &dyn Queries, layout: &RowLayout) -> Result<Option<RowProgram>> {
    if layout.table.checks.is_empty() {
        return Ok(None);
    }
    let expressions = layout.table.checks.iter().map(|check| parse_expression(&check.expression)).collect::<Result<Vec<_>>>()?;
    let schema = qualified(&layout.table.name.name, &layout.schema)?;
    RowProgram::plan(queries, &expressions, schema, &Parameters::default(), "CHECK constraints").map(Some)
}

fn compile_domains(ctx: &StatementContext, queries: &dyn Queries, layout: &RowLayout) -> Result<Option<(Vec<Rule>, RowProgram)>> {
    if layout.columns.iter().all(|column| column.domain.is_none()) {
        return Ok(None);
    }
    let catalog = ctx.transaction.lock().catalog.clone();
    let (mut rules, mut expressions) = (Vec::new(), Vec::new());
    for column in &layout.columns {
        for rule in column.domain.map(|domain| domains::rules(&catalog, domain)).unwrap_or_default() {
            let name = format!("\"{}\"", column.name.replace('"', "\"\""));
            expressions.push(parse_expression(&rule.condition(&name)?)?);
            rules.push(rule);
        }
    }
    if rules.is_empty() {
        return Ok(None);
    }
    let schema = qualified(&layout.table.name.name, &layout.schema)?;
    let program = RowProgram::plan(queries, &expressions, schema, &Parameters::default(), "conditions of domains")?;
    Ok(Some((rules, program)))
}

fn compile_generated(queries: &dyn Queries, layout: &RowLayout) -> Result<Vec<(usize, RowProgram, PgType)>> {
    let mut programs = Vec::new();
    for (position, column) in layout.columns.iter().enumerate() {
        let Some(text) = &column.generated else { continue };
        let schema = qualified(&layout.table.name.name, &layout.schema)?;
        let expression = [parse_expression(text)?];
        let program = RowProgram::plan(queries, &expression, schema, &Parameters::default(), "generated columns")?;
        let from = program.types().first().copied().unwrap_or(PgType::TEXT);
        if !assignable(from, column.ty) {
            return Err(not_assignable(&column.name, from, column.ty));
        }
        programs.push((position, program, from));
    }
    Ok(programs)
}

/// How rows get their entries in the table's unique indexes over expressions or part of the rows.
pub fn computed_keys(queries: &dyn Queries, layout: &RowLayout) -> Result<Vec<ComputedKeys>> {
    let unique = layout.table.computed_indexes.iter().filter(|index| index.unique);
    unique.map(|index| computed_key(queries, layout, index)).collect()
}

fn computed_key(queries: &dyn Queries, layout: &RowLayout, index: &ComputedIndexDef) -> Result<ComputedKeys> {
    let mut expressions = Vec::with_capacity(index.parts.len() + 1);
    for part in &index.parts {
        expressions.push(match part {
            IndexPart::Expression(text) => parse_expression(text)?,
            IndexPart::Column(id) => {
                let column = layout.columns.iter().find(|column| column.id == *id);
                let column = column.ok_or_else(|| SqlError::internal("an index is over a column that is not there"))?;
                ast::Expr::Identifier(ast::Ident::with_quote('"', &column.name))
            }
        });
    }
    if let Some(text) = &index.predicate {
        expressions.push(parse_expression(text)?);
    }
    let schema = qualified(&layout.table.name.name, &layout.schema)?;
    let program = RowProgram::plan(queries, &expressions, schema, &Parameters::default(), "index expressions")?;
    let types = program.types();
    let mut bound = program.bind(queries, &[])?.into_expressions();
    let predicate = if index.predicate.is_some() { bound.pop() } else { None };
    let (index, name, schema) = (index.id, index.name.clone(), layout.schema.clone());
    Ok(ComputedKeys { index, name, schema, parts: bound.into_iter().zip(types).collect(), predicate })
}

/// 428C9 when a statement gives an identity column of the kind ALWAYS a value of its own.
pub fn refuse_given_identity(column: &ColumnDef, overriding: bool) -> Result<()> {
    if column.generated.is_some() {
        let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
        return Err(SqlError::new(SqlState::GENERATED_ALWAYS, message)
            .detail(format!("Column \"{}\" is a generated column.", column.name)));
    }
    if column.identity != Some(Identity::Always) || overriding {
        return Ok(());
    }
    let message = format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
    Err(SqlError::new(SqlState::GENERATED_ALWAYS, message)
        .detail(format!("Column \"{}\" is an identity column defined as GENERATED ALWAYS.", column.name))
        .hint("Use OVERRIDING SYSTEM VALUE to override."))
}

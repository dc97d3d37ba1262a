//! UPDATE and DELETE: the rows to change are read by a SELECT over the target and what FROM or USING adds.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;

use super::conflict::old_of;
use super::documents::Given;
use super::existing::{Old, see_items};
use super::fire::{self, Firing};
use super::parameters::Parameters;
use super::program::{RowProgram, rows_where, type_placeholder};
use super::returning::{Clause, Returning};
use super::select::{column_of, fold, named, outputs, plan_typed, select};
use super::set::{self, AssignedValue, Assignment, Incoming};
use super::target::Target;
use super::through::{carried, find_writable};
use super::write::{Edit, write};
use super::{ITEM_KEY, Queries, Run};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ColumnId, ViewDef};
use crate::plan::point::KeyMatch;
use crate::plan::routines::{Event, Triggers};
use crate::plan::{Execution, StatementContext};
use crate::types::PgType;
use crate::versions::{ItemKey, VersionNo};

/// An UPDATE or DELETE, planned.
#[derive(Debug)]
pub struct Change {
    target: Target,
    source: Source,
    /// `None` for a DELETE.
    assignments: Option<(Vec<Assignment>, Vec<Incoming>)>,
    pub returning: Option<Returning>,
    /// The view that the statement names.
    pub view: Option<Arc<ViewDef>>,
}

/// Where the rows to change come from.
#[derive(Debug)]
enum Source {
    /// Gives the target's columns, its version, its key, the expressions assigned, then FROM's columns.
    Query(Box<LogicalPlan>),
    /// One item, by its whole key, of which the rest of the condition (`filter`) holds; `program` has the
    /// expressions assigned, evaluated only then.
    Item(Box<Item>),
}

#[derive(Debug)]
struct Item {
    key: KeyMatch,
    filter: Option<RowProgram>,
    program: RowProgram,
}

/// The rows that a source gave.
struct Found {
    /// The layout's columns before the change.
    old: Vec<ArrayRef>,
    olds: Vec<Old>,
    /// Values of the expressions assigned.
    results: Vec<ArrayRef>,
    /// Columns of FROM's relations.
    beside: Vec<ArrayRef>,
}

/// What an UPDATE and a DELETE have in common.
struct Parts<'a> {
    table: &'a ast::TableWithJoins,
    from: &'a [ast::TableWithJoins],
    selection: Option<&'a ast::Expr>,
    returning: Option<&'a [ast::SelectItem]>,
    assignments: Option<&'a [ast::Assignment]>,
    verb: &'static str,
}

pub async fn plan_update(
    ctx: &StatementContext,
    queries: &dyn Queries,
    update: &ast::Update,
    parameters: &mut Parameters,
) -> Result<Change> {
    if update.or.is_some() || update.output.is_some() || !update.order_by.is_empty() || update.limit.is_some() {
        return Err(SqlError::syntax("syntax error in UPDATE"));
    }
    let from = match &update.from {
        None => &[][..],
        Some(ast::UpdateTableFromKind::AfterSet(from)) => from,
        Some(ast::UpdateTableFromKind::BeforeSet(_)) => return Err(SqlError::syntax("syntax error at or near \"FROM\"")),
    };
    let parts = Parts {
        table: &update.table,
        from,
        selection: update.selection.as_ref(),
        returning: update.returning.as_deref(),
        assignments: Some(&update.assignments),
        verb: "update",
    };
    parts.plan(ctx, queries, parameters).await
}

pub async fn plan_delete(
    ctx: &StatementContext,
    queries: &dyn Queries,
    delete: &ast::Delete,
    parameters: &mut Parameters,
) -> Result<Change> {
    let extra = !delete.tables.is_empty() || !delete.order_by.is_empty() || delete.limit.is_some();
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) = &delete.from;
    let [table] = tables.as_slice() else { return Err(SqlError::syntax("syntax error in DELETE")) };
    if extra || delete.output.is_some() {
        return Err(SqlError::syntax("syntax error in DELETE"));
    }
    let parts = Parts {
        table,
        from: delete.using.as_deref().unwrap_or(&[]),
        selection: delete.selection.as_ref(),
        returning: delete.returning.as_deref(),
        assignments: None,
        verb: "delete from",
    };
    parts.plan(ctx, queries, parameters).await
}

impl Parts<'_> {
    async fn plan(&self, ctx: &StatementContext, queries: &dyn Queries, parameters: &mut Parameters) -> Result<Change> {
        let (name, alias) = self.target_name()?;
        let (table, through) = find_writable(ctx, name, self.verb)?;
        let through = through.as_ref();
        let mut target = Target::new(ctx, queries, table)?;
        target.keep_in_view(queries, through)?;
        let (assignments, expressions) = match (self.assignments, through) {
            (Some(list), None) => set::take_apart(&target, list).map(|(a, e)| (Some(a), e))?,
            (Some(list), Some(through)) => set::take_apart(&target, &through.assignments(list)?).map(|(a, e)| (Some(a), e))?,
            (None, _) => (None, Vec::new()),
        };
        let assigned: Option<Vec<usize>> = assignments.as_ref().map(|list| list.iter().map(|a| a.position).collect());
        target.reach(ctx, queries, assigned.as_deref())?;
        if through.is_none()
            && let Some(change) = self.plan_item(queries, &target, &alias, assignments.as_deref(), &expressions, parameters)?
        {
            return Ok(change);
        }
        let own = target.layout.columns.len();
        let names = target.layout.columns.iter().map(|column| column.name.as_str()).chain(["_version", ITEM_KEY]);
        let mut items: Vec<ast::SelectItem> = match through {
            None => names.map(|name| column_of(&alias, name)).collect(),
            Some(_) => names.map(|name| column_of(&alias, &carried(name))).collect(),
        };
        let assigned = expressions.len();
        items.extend(expressions.into_iter().enumerate().map(|(n, e)| named(e, &format!("__set_{n}"))));
        if self.returning.is_some() {
            for relation in self.from.iter().flat_map(relations) {
                items.push(wildcard_of(&relation));
            }
        }
        let mut from = vec![match through {
            None => self.table.clone(),
            Some(through) => through.relation(&alias)?,
        }];
        from.extend_from_slice(self.from);
        let wanted = wanted_columns(&target, assignments.as_deref().unwrap_or(&[]), assigned)?;
        let wanted: Vec<(usize, PgType)> = wanted.into_iter().enumerate().map(|(n, ty)| (own + 2 + n, ty)).collect();
        let query = select(items, from, self.selection.cloned())?;
        let plan = plan_typed(queries, query, parameters, |_| Ok(wanted.clone())).await?;
        let assignments = match assignments {
            Some(assignments) => {
                let given = |n: usize| {
                    let field = plan.schema().fields().get(own + 2 + n);
                    (outputs(&plan).get(own + 2 + n), field.map_or(PgType::TEXT, |field| PgType::of_field(field)))
                };
                let incoming = incoming_of(&target, &assignments, assigned, given)?;
                Some((assignments, incoming))
            }
            None => None,
        };
        let returning = match self.returning {
            None => None,
            Some(items) => {
                let schema = &returning_schema(&target, &alias, &plan, own + 2 + assigned)?;
                let items = match through {
                    Some(through) => {
                        let beside: Vec<_> = self.from.iter().flat_map(relations).collect();
                        Cow::Owned(through.returning(items, &alias, &beside)?)
                    }
                    None => Cow::Borrowed(items),
                };
                let clause = Clause { items: &items, schema, deletes: assignments.is_none() };
                let returning = Returning::plan(queries, &target, &alias, clause, parameters)?;
                parameters.of_plan(queries, returning.program().logical_plan())?;
                Some(returning)
            }
        };
        let view = through.map(|through| Arc::clone(&through.view));
        Ok(Change { target, source: Source::Query(Box::new(plan)), assignments, returning, view })
    }

    /// The statement as one about a single item, when all of it can be compiled.
    fn plan_item(
        &self,
        queries: &dyn Queries,
        target: &Target,
        alias: &str,
        assignments: Option<&[Assignment]>,
        expressions: &[ast::Expr],
        parameters: &mut Parameters,
    ) -> Result<Option<Change>> {
        let Some(condition) = self.selection.filter(|_| self.from.is_empty()) else { return Ok(None) };
        let Some(key) = KeyMatch::of(target.table(), alias, condition, target.zone) else { return Ok(None) };
        let rest = key.rest.iter().cloned().reduce(|a, b| ast::Expr::BinaryOp {
            left: Box::new(a),
            op: ast::BinaryOperator::And,
            right: Box::new(b),
        });
        let schema = target.schema(alias)?;
        // What is wrong with an expression is for the general path to say.
        let mut tried = parameters.clone();
        for (n, ty) in key.parameters() {
            tried.wants(n, ty);
        }
        let program_of = |items: &[ast::Expr]| RowProgram::plan(queries, items, schema.clone(), &tried, "a write");
        let Ok(planned) = program_of(expressions) else { return Ok(None) };
        let Ok(mut filter) = rest.map(|rest| program_of(&[rest])).transpose() else { return Ok(None) };
        let wanted = wanted_columns(target, assignments.unwrap_or(&[]), expressions.len())?;
        let typed = (0..expressions.len()).filter_map(|n| {
            let expr = planned.expression(n).cloned()?;
            Some(match wanted.get(n) {
                Some(ty) => type_placeholder(expr, *ty, &tried),
                None => expr,
            })
        });
        let Ok(mut program) = RowProgram::of(queries, typed.collect(), schema.clone()) else { return Ok(None) };
        tried.of_plan(queries, program.logical_plan())?;
        if let Some(filter) = &filter {
            tried.of_plan(queries, filter.logical_plan())?;
        }
        let mut returning = None;
        if let Some(items) = self.returning {
            let clause = Clause { items, schema: &schema, deletes: assignments.is_none() };
            let clause = Returning::plan(queries, target, alias, clause, &tried)?;
            tried.of_plan(queries, clause.program().logical_plan())?;
            returning = Some(clause);
        }
        let types = tried.clone().finish();
        let filter_compiled = filter.as_mut().map_or(Ok(true), |filter| filter.compile(queries, &types))?;
        if !key.fits(&types) || !filter_compiled || !program.compile(queries, &types)? {
            return Ok(None);
        }
        let assignments = match assignments {
            None => None,
            Some(assignments) => {
                let types = program.types();
                let given = |n: usize| (program.expression(n), types.get(n).copied().unwrap_or(PgType::TEXT));
                let incoming = incoming_of(target, assignments, expressions.len(), given)?;
                Some((assignments.to_vec(), incoming))
            }
        };
        *parameters = tried;
        let source = Source::Item(Box::new(Item { key, filter, program }));
        Ok(Some(Change { target: target.clone(), source, assignments, returning, view: None }))
    }

    fn target_name(&self) -> Result<(&ast::ObjectName, String)> {
        if !self.table.joins.is_empty() {
            return Err(SqlError::syntax("syntax error at or near \"JOIN\""));
        }
        let ast::TableFactor::Table { name, alias, version, args: None, .. } = &self.table.relation else {
            return Err(SqlError::syntax("a table's name is expected here"));
        };
        if version.is_some() {
            return Err(SqlError::unsupported(
                format!("cannot {} a table as of a past time", self.verb),
                "The past cannot be changed; a FOR SYSTEM_TIME clause belongs to the tables that a write reads from.",
            ));
        }
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            return Err(SqlError::syntax("syntax error at or near \"(\""));
        }
        let last = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
        Ok((name, alias.as_ref().map_or(last, |alias| fold(&alias.name))))
    }
}

/// The type of the column that each assigned expression goes to.
fn wanted_columns(target: &Target, assignments: &[Assignment], assigned: usize) -> Result<Vec<PgType>> {
    let mut wanted = vec![PgType::TEXT; assigned];
    for assignment in assignments {
        if let AssignedValue::Expression(n) = assignment.value
            && let Some(place) = wanted.get_mut(n)
        {
            *place = target.column(assignment.position)?.ty;
        }
    }
    Ok(wanted)
}

/// How each assigned expression comes into its column; `given` tells what it was planned as.
fn incoming_of<'a>(
    target: &Target,
    assignments: &[Assignment],
    assigned: usize,
    given: impl Fn(usize) -> (Option<&'a Expr>, PgType),
) -> Result<Vec<Incoming>> {
    let mut incoming = vec![Incoming::Typed(PgType::TEXT); assigned];
    for assignment in assignments {
        let AssignedValue::Expression(n) = assignment.value else { continue };
        let (expr, ty) = given(n);
        if let Some(place) = incoming.get_mut(n) {
            *place = set::incoming(target, assignment.position, expr, ty)?;
        }
    }
    Ok(incoming)
}

/// Names that FROM's relations are known by.
fn relations(table: &ast::TableWithJoins) -> Vec<ast::ObjectName> {
    let factors = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    factors.flat_map(relation_names).collect()
}

pub(super) fn relation_names(factor: &ast::TableFactor) -> Vec<ast::ObjectName> {
    let aliased = |alias: &Option<ast::TableAlias>| alias.as_ref().map(|a| ast::ObjectName::from(vec![a.name.clone()]));
    match factor {
        ast::TableFactor::Table { name, alias, .. } => vec![aliased(alias).unwrap_or_else(|| name.clone())],
        ast::TableFactor::Derived { alias, .. }
        | ast::TableFactor::Function { alias, .. }
        | ast::TableFactor::TableFunction { alias, .. }
        | ast::TableFactor::UNNEST { alias, .. } => aliased(alias).into_iter().collect(),
        ast::TableFactor::NestedJoin { table_with_joins, .. } => relations(table_with_joins),
        _ => Vec::new(),
    }
}

pub(super) fn wildcard_of(relation: &ast::ObjectName) -> ast::SelectItem {
    let kind = ast::SelectItemQualifiedWildcardKind::ObjectName(relation.clone());
    ast::SelectItem::QualifiedWildcard(kind, ast::WildcardAdditionalOptions::default())
}

/// The target's columns under its alias, then what FROM's relations give.
pub(super) fn returning_schema(target: &Target, alias: &str, plan: &LogicalPlan, first: usize) -> Result<DFSchemaRef> {
    let own = target.layout.schema.fields().iter();
    let mut fields: Vec<(Option<TableReference>, _)> =
        own.map(|field| (Some(TableReference::bare(alias.to_owned())), field.clone())).collect();
    let all = plan.schema().iter().skip(first);
    fields.extend(all.map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))));
    DFSchema::new_with_metadata(fields, Default::default())
        .map(Arc::new)
        .map_err(|e| SqlError::internal(format!("columns have no schema: {e}")))
}

impl Change {
    /// Compiles what it can; whether it runs without a planner.
    pub fn compile(&mut self, queries: &dyn Queries, parameters: &[PgType]) -> Result<bool> {
        let mut all = self.target.compile(queries)?;
        if let Some(returning) = &mut self.returning {
            all &= returning.compile(queries, parameters)?;
        }
        all &= match &mut self.source {
            Source::Query(_) => false,
            Source::Item(item) => {
                let filter = item.filter.as_mut().map_or(Ok(true), |filter| filter.compile(queries, parameters))?;
                filter && item.program.compile(queries, parameters)?
            }
        };
        Ok(all)
    }

    /// Whether it is a change of one item, found by its key without a query.
    pub fn is_lookup(&self) -> bool {
        matches!(self.source, Source::Item { .. })
    }

    pub fn is_update(&self) -> bool {
        self.assignments.is_some()
    }

    /// The SELECT that gives the rows to change; `None` for one item, which is looked up.
    pub fn source(&self) -> Option<&LogicalPlan> {
        match &self.source {
            Source::Query(plan) => Some(plan),
            Source::Item(_) => None,
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub async fn execute(&self, run: Run<'_>) -> Result<Execution> {
        let target = self.target.in_zone_of(run.ctx)?;
        let target = target.as_ref();
        let found = match &self.source {
            Source::Query(plan) => self.find(run, target, plan).await?,
            Source::Item(item) => find_item(run, target, item).await?,
        };
        let Some(Found { old, olds, results, beside }) = found else {
            if let Some(triggers) = target.firing(&[self.event()]) {
                let within = fire::surroundings(run);
                let firing = Firing::begin(run, target, &triggers, &within, vec![self.event()], self.assigned(target)).await?;
                return firing.answer(self.returning.as_ref()).await;
            }
            let returning = self.returning.as_ref().map(Returning::none).transpose()?;
            return Ok(Execution::Modified { count: 0, returning });
        };
        let count = olds.len();
        if let Some(triggers) = target.firing(&[self.event()]) {
            let found = Found { old, olds, results, beside };
            return Box::pin(self.execute_firing(run, target, &triggers, found)).await;
        }
        let (new, edits): (_, Vec<Edit>) = match &self.assignments {
            None => (old, olds.into_iter().map(|old| Edit { old: Some(old), ..Edit::default() }).collect()),
            Some((assignments, incoming)) => {
                let new = set::apply(run, target, assignments, incoming, &old, &results, count).await?;
                target.check(run, &new, count)?;
                let given: Given = Some(assignments.iter().map(|assignment| assignment.position).collect());
                let edits = olds.into_iter().enumerate();
                let edits = edits.map(|(n, old)| Edit { old: Some(old), new: Some(n), given: given.clone() });
                (new, edits.collect())
            }
        };
        let returning = match &self.returning {
            None => None,
            Some(returning) => {
                let mut values = new.clone();
                values.extend(beside);
                values.extend(returning.system(run, target, &edits, &new).await?);
                Some(returning.rows(run, values, count)?)
            }
        };
        write(run, target, edits, &new).await?;
        Ok(Execution::Modified { count: count as u64, returning })
    }

    fn event(&self) -> Event {
        if self.is_update() { Event::Update } else { Event::Delete }
    }

    fn assigned(&self, target: &Target) -> Vec<ColumnId> {
        let assignments = self.assignments.iter().flat_map(|(assignments, _)| assignments);
        assignments.filter_map(|assignment| target.layout.columns.get(assignment.position)).map(|column| column.id).collect()
    }

    /// The same, row by row between triggers.
    async fn execute_firing(&self, run: Run<'_>, target: &Target, triggers: &Triggers, found: Found) -> Result<Execution> {
        let Found { old, olds, results, beside } = found;
        let count = olds.len();
        let within = fire::surroundings(run);
        let mut firing = Firing::begin(run, target, triggers, &within, vec![self.event()], self.assigned(target)).await?;
        let new = match &self.assignments {
            None => None,
            Some((assignments, incoming)) => Some(set::apply(run, target, assignments, incoming, &old, &results, count).await?),
        };
        for (at, item) in olds.into_iter().enumerate() {
            let before = fire::slice(&old, at);
            let after = match &new {
                None if !firing.before_delete(&old, at).await? => continue,
                None => None,
                Some(new) => match firing.before_update(&before, &fire::slice(new, at), 0).await? {
                    None => continue,
                    Some(row) => Some(row),
                },
            };
            let shown = match &self.returning {
                None => None,
                Some(returning) => {
                    let state = after.as_ref().unwrap_or(&before);
                    let edits = [Edit { old: Some(item.clone()), new: after.as_ref().map(|_| 0), given: None }];
                    let mut shown = state.clone();
                    shown.extend(fire::slice(&beside, at));
                    shown.extend(returning.system(run, target, &edits, state).await?);
                    Some(shown)
                }
            };
            firing.write(Some((item, before)), after, shown).await?;
        }
        firing.answer(self.returning.as_ref()).await
    }

    async fn find(&self, run: Run<'_>, target: &Target, plan: &LogicalPlan) -> Result<Option<Found>> {
        let own = target.layout.columns.len();
        let Some(rows) = one_of_each(run.collect(plan).await?, own + 1)? else { return Ok(None) };
        let Some(rows) = unchanged(run.ctx, target, rows, own + 1)? else { return Ok(None) };
        let old = layout_columns(target, &rows)?;
        let olds = old_items(target, &rows, &old)?;
        let beside = own + 2 + self.assignments.as_ref().map_or(0, |(_, incoming)| incoming.len());
        let rest = rows.columns().get(own + 2..).unwrap_or(&[]);
        let (results, beside) = rest.split_at(rest.len().min(beside - own - 2));
        Ok(Some(Found { old, olds, results: results.to_vec(), beside: beside.to_vec() }))
    }
}

/// The rows whose items no other part of the statement has changed already: the first change counts.
fn unchanged(ctx: &StatementContext, target: &Target, rows: RecordBatch, key_at: usize) -> Result<Option<RecordBatch>> {
    if ctx.seen.is_none() {
        return Ok(Some(rows));
    }
    let keys = rows.columns().get(key_at).and_then(|c| c.as_binary_opt::<i32>());
    let keys = keys.ok_or_else(|| SqlError::internal("a scan gave no keys of its rows"))?;
    let changed = |row: &u32| ctx.has_changed(target.table().id, &ItemKey::from_bytes(keys.value(*row as usize)));
    let left: Vec<u32> = (0..rows.num_rows() as u32).filter(|row| !changed(row)).collect();
    if left.is_empty() {
        return Ok(None);
    }
    let left = take_record_batch(&rows, &UInt32Array::from(left));
    left.map(Some).map_err(|e| SqlError::internal(format!("rows cannot be sorted out: {e}")))
}

pub(super) fn old_items(target: &Target, rows: &RecordBatch, old: &[ArrayRef]) -> Result<Vec<Old>> {
    let own = target.layout.columns.len();
    let broken = || SqlError::internal("a scan gave no version or key of its rows");
    let versions = rows.columns().get(own).and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(broken)?;
    let keys = rows.columns().get(own + 1).and_then(|c| c.as_binary_opt::<i32>()).ok_or_else(broken)?;
    (0..rows.num_rows())
        .map(|row| {
            let version = u64::try_from(versions.value(row)).map_err(|_| broken())?;
            let entries = target.layout.keys.entries(old, row)?;
            Ok(Old::new(ItemKey::from_bytes(keys.value(row)), VersionNo(version), entries))
        })
        .collect()
}

/// The item that the key names, unless there is none or the rest of the condition does not hold of it.
async fn find_item(run: Run<'_>, target: &Target, of: &Item) -> Result<Option<Found>> {
    let key =
        of.key.key(run.parameters).map_err(|_| SqlError::internal("a parameter is not of the type it was prepared with"))?;
    let Some(key) = key else { return Ok(None) };
    if run.ctx.has_changed(target.table().id, &key) {
        return Ok(None);
    }
    let items = see_items(run.ctx, target, &[key]).await?;
    let Some(item) = items.into_iter().next().flatten() else { return Ok(None) };
    let old = target.layout.decode([item.payload.as_ref()])?;
    let row = target.layout.batch(old.clone(), 1)?;
    if let Some(filter) = &of.filter
        && rows_where(filter, run, &row)?.is_empty()
    {
        return Ok(None);
    }
    let results = of.program.run(run, &row)?;
    let olds = vec![old_of(target, &item, &old, 0)?];
    Ok(Some(Found { old, olds, results, beside: Vec::new() }))
}

/// The target's columns of the rows read, in exactly the layout's types.
pub(super) fn layout_columns(target: &Target, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let columns = target.layout.columns.iter().zip(rows.columns());
    columns
        .map(|(column, array)| match array.data_type() == &column.ty.arrow() {
            true => Ok(array.clone()),
            false => datafusion::arrow::compute::cast(array, &column.ty.arrow())
                .map_err(|e| SqlError::internal(format!("a scan gave another type than its table has: {e}"))),
        })
        .collect()
}

/// All rows as one batch, each item once: of several rows that a join gives for one, the first counts.
fn one_of_each(batches: Vec<RecordBatch>, key_at: usize) -> Result<Option<RecordBatch>> {
    let failed = |e| SqlError::new(SqlState::OUT_OF_MEMORY, format!("the rows to change do not fit one batch: {e}"));
    let Some(schema) = batches.first().map(RecordBatch::schema) else { return Ok(None) };
    let all = concat_batches(&schema, &batches).map_err(failed)?;
    if all.num_rows() == 0 {
        return Ok(None);
    }
    let keys = all.columns().get(key_at).filter(|c| c.data_type() == &DataType::Binary);
    let keys = keys.ok_or_else(|| SqlError::internal("a scan gave no keys of its rows"))?.as_binary::<i32>();
    let mut seen = HashSet::with_capacity(keys.len());
    let first: Vec<u32> = (0..keys.len() as u32).filter(|row| seen.insert(keys.value(*row as usize))).collect();
    if first.len() == all.num_rows() {
        return Ok(Some(all));
    }
    take_record_batch(&all, &UInt32Array::from(first)).map(Some).map_err(failed)
}

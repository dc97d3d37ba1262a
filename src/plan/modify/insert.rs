//! INSERT: rows of VALUES, of a query or of defaults, brought to the table's columns.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;

use super::cells::{Cell, Cells};
use super::conflict::Conflict;
use super::documents::Given;
use super::fire::{self, Firing};
use super::parameters::Parameters;
use super::returning::{Clause, Returning};
use super::select::{fold, outputs, plan_typed};
use super::set::{self, Incoming};
use super::target::{Target, refuse_given_identity};
use super::through::find_writable;
use super::write::{Edit, write};
use super::{Queries, Run};
use crate::error::{Result, SqlError, SqlState};
use crate::history::ViewDef;
use crate::plan::catalog::updatable::ViewColumn;
use crate::plan::routines::{Event, Triggers};
use crate::plan::{Execution, StatementContext};
use crate::types::PgType;

/// An INSERT, planned.
#[derive(Debug)]
pub struct Insert {
    target: Target,
    /// Positions of the columns that the source gives, in its order.
    given: Vec<usize>,
    source: Source,
    conflict: Option<Conflict>,
    pub returning: Option<Returning>,
    /// The view that the statement names.
    pub view: Option<Arc<ViewDef>>,
}

/// The columns that a source's values go to, in its order.
#[derive(Clone)]
enum Listed {
    /// All of these, as the statement names them.
    Named(Vec<usize>),
    /// As many as there are values; `None` cannot be written, and why not is the error's to say.
    First(Vec<Result<usize, SqlError>>),
}

#[derive(Debug)]
enum Source {
    /// One row of defaults.
    Defaults,
    Values(Cells),
    Query {
        plan: LogicalPlan,
        incoming: Vec<Incoming>,
    },
}

pub async fn plan_insert(
    ctx: &StatementContext,
    queries: &dyn Queries,
    insert: &ast::Insert,
    parameters: &mut Parameters,
) -> Result<Insert> {
    refuse_foreign_forms(insert)?;
    let ast::TableObject::TableName(name) = &insert.table else {
        return Err(SqlError::syntax("a table's name is expected after INSERT INTO"));
    };
    let (table, through) = find_writable(ctx, name, "insert into")?;
    let through = through.as_ref();
    let relation = through.map_or(&table.name.name, |through| &through.view.name.name);
    let alias = insert.table_alias.as_ref().map_or_else(|| relation.clone(), |alias| fold(&alias.alias));
    let mut target = Target::new(ctx, queries, table)?;
    target.keep_in_view(queries, through)?;
    if matches!(&insert.on, Some(ast::OnInsert::OnConflict(clause)) if matches!(clause.action, ast::OnConflictAction::DoUpdate(_)))
    {
        target.reach(ctx, queries, None)?;
    }
    let columns = match through {
        Some(through) => Cow::Owned(through.inserted(&insert.columns)?),
        None => Cow::Borrowed(&insert.columns),
    };
    let listed = match (named_columns(&target, &columns)?, through) {
        (Some(named), _) => Listed::Named(named),
        (None, None) => Listed::First((0..target.layout.columns.len()).map(Ok).collect()),
        (None, Some(through)) => {
            let position = |column: &ViewColumn| match &column.base {
                Some(base) => target.position(base),
                None => Err(through.computed(&column.name, "insert into")),
            };
            Listed::First(through.columns.iter().map(position).collect())
        }
    };
    // The parser has no word for it: `overwrite` stands for OVERRIDING SYSTEM VALUE.
    let overriding = insert.overwrite;
    let (given, source) = match &insert.source {
        None => (Vec::new(), Source::Defaults),
        Some(query) => plan_source(queries, &target, &listed, query, overriding, parameters).await?,
    };
    let conflict = match &insert.on {
        None => None,
        Some(ast::OnInsert::OnConflict(clause)) => {
            let clause = match through {
                Some(through) => Cow::Owned(through.on_conflict(clause, &alias)?),
                None => Cow::Borrowed(clause),
            };
            Some(Conflict::plan(queries, &target, &alias, &clause, parameters)?)
        }
        Some(_) => return Err(SqlError::syntax("syntax error at or near \"ON\"")),
    };
    let returning = match &insert.returning {
        None => None,
        Some(items) => {
            let items = match through {
                Some(through) => Cow::Owned(through.returning(items, &alias, &[])?),
                None => Cow::Borrowed(items),
            };
            let clause = Clause { items: &items, schema: &target.schema(&alias)?, deletes: false };
            let returning = Returning::plan(queries, &target, &alias, clause, parameters)?;
            parameters.of_plan(queries, returning.program().logical_plan())?;
            Some(returning)
        }
    };
    let view = through.map(|through| Arc::clone(&through.view));
    Ok(Insert { target, given, source, conflict, returning, view })
}

fn refuse_foreign_forms(insert: &ast::Insert) -> Result<()> {
    let foreign = insert.or.is_some()
        || insert.ignore
        || !insert.assignments.is_empty()
        || insert.partitioned.is_some()
        || !insert.after_columns.is_empty()
        || insert.output.is_some()
        || insert.replace_into
        || insert.insert_alias.is_some()
        || insert.settings.is_some()
        || insert.format_clause.is_some()
        || insert.multi_table_insert_type.is_some();
    if foreign { Err(SqlError::syntax("syntax error in INSERT")) } else { Ok(()) }
}

/// Positions of the columns in the list; `None` without a list.
pub(super) fn named_columns(target: &Target, columns: &[ast::ObjectName]) -> Result<Option<Vec<usize>>> {
    if columns.is_empty() {
        return Ok(None);
    }
    let mut positions = Vec::with_capacity(columns.len());
    for column in columns {
        let name = match column.0.as_slice() {
            [part] => part.as_ident().map(fold).unwrap_or_default(),
            _ => return Err(SqlError::syntax("the columns of INSERT are bare names")),
        };
        let position = target.position(&name)?;
        if positions.contains(&position) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        positions.push(position);
    }
    Ok(Some(positions))
}

/// Positions for a source of this many values in each row.
fn given_columns(listed: &Listed, width: usize) -> Result<Vec<usize>> {
    let columns = match listed {
        Listed::Named(named) if width < named.len() => {
            return Err(SqlError::syntax("INSERT has more target columns than expressions"));
        }
        Listed::Named(named) => named.clone(),
        Listed::First(columns) => columns.iter().take(width).cloned().collect::<Result<_>>()?,
    };
    if width > columns.len() {
        return Err(SqlError::syntax("INSERT has more expressions than target columns"));
    }
    Ok(columns)
}

async fn plan_source(
    queries: &dyn Queries,
    target: &Target,
    listed: &Listed,
    query: &ast::Query,
    overriding: bool,
    parameters: &mut Parameters,
) -> Result<(Vec<usize>, Source)> {
    if let Some(rows) = plain_values(query) {
        let width = rows.first().map_or(0, |row| row.content.len());
        if rows.iter().any(|row| row.content.len() != width) {
            return Err(SqlError::syntax("VALUES lists must all be the same length"));
        }
        let given = given_columns(listed, width)?;
        let rows: Vec<&[ast::Expr]> = rows.iter().map(|row| row.content.as_slice()).collect();
        let cells = Cells::plan(queries, target, &given, &rows, parameters).await?;
        for (n, position) in given.iter().enumerate() {
            if cells.rows().iter().any(|row| !matches!(row.get(n), Some(Cell::Default))) {
                refuse_given_identity(target.column(*position)?, overriding)?;
            }
        }
        return Ok((given, Source::Values(cells)));
    }
    let mut given = Vec::new();
    let plan = plan_typed(queries, query.clone(), parameters, |plan| {
        given = given_columns(listed, plan.schema().fields().len())?;
        given.iter().enumerate().map(|(n, p)| Ok((n, target.column(*p)?.ty))).collect()
    })
    .await?;
    let mut incoming = Vec::with_capacity(given.len());
    for (n, position) in given.iter().enumerate() {
        refuse_given_identity(target.column(*position)?, overriding)?;
        let ty = plan.schema().fields().get(n).map_or(PgType::TEXT, |field| PgType::of_field(field));
        incoming.push(set::incoming(target, *position, outputs(&plan).get(n), ty)?);
    }
    Ok((given, Source::Query { plan, incoming }))
}

/// The rows of a VALUES list that is all there is of the query.
pub fn plain_values(query: &ast::Query) -> Option<&[ast::Parens<Vec<ast::Expr>>]> {
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty();
    match query.body.as_ref() {
        ast::SetExpr::Values(values) if plain && !values.explicit_row => Some(&values.rows),
        _ => None,
    }
}

impl Insert {
    pub fn source(&self) -> Option<&LogicalPlan> {
        match &self.source {
            Source::Query { plan, .. } => Some(plan),
            Source::Values(cells) => cells.source(),
            Source::Defaults => None,
        }
    }

    pub fn has_conflict(&self) -> bool {
        self.conflict.is_some()
    }

    pub fn updates_on_conflict(&self) -> bool {
        self.conflict.as_ref().is_some_and(Conflict::is_update)
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Compiles what it can; whether it runs without a planner.
    pub fn compile(&mut self, queries: &dyn Queries, parameters: &[PgType]) -> Result<bool> {
        let mut all = self.target.compile(queries)?;
        all &= match &mut self.source {
            Source::Defaults => true,
            Source::Values(cells) => cells.compile(queries, parameters)?,
            Source::Query { .. } => false,
        };
        if let Some(conflict) = &mut self.conflict {
            all &= conflict.compile(queries, parameters)?;
        }
        if let Some(returning) = &mut self.returning {
            all &= returning.compile(queries, parameters)?;
        }
        Ok(all)
    }

    pub async fn execute(&self, run: Run<'_>) -> Result<Execution> {
        let target = self.target.in_zone_of(run.ctx)?;
        let target = target.as_ref();
        if let Some(triggers) = target.firing(&self.events()) {
            return Box::pin(self.execute_firing(run, target, &triggers)).await;
        }
        let (values, rows) = self.new_rows(run, target).await?;
        target.check(run, &values, rows)?;
        let (values, edits) = match &self.conflict {
            None => {
                let edit = |n| Edit { old: None, new: Some(n), given: self.given_of(target, n) };
                (values, (0..rows).map(edit).collect())
            }
            Some(conflict) => {
                let given = |row| self.given_of(target, row);
                let resolved = Box::pin(conflict.resolve(run, target, values, rows, &given)).await?;
                (resolved.values, resolved.edits)
            }
        };
        let rows = edits.len();
        let returning = match &self.returning {
            None => None,
            Some(returning) => {
                let mut shown = values.clone();
                shown.extend(returning.system(run, target, &edits, &values).await?);
                Some(returning.rows(run, shown, rows)?)
            }
        };
        write(run, target, edits, &values).await?;
        Ok(Execution::Modified { count: rows as u64, returning })
    }

    /// The columns that a row has values for, DEFAULT being none; told of rows that become documents only.
    fn given_of(&self, target: &Target, row: usize) -> Given {
        if !target.table().is_of_documents() {
            return None;
        }
        let cells = match &self.source {
            Source::Values(cells) => cells.rows().get(row),
            Source::Defaults | Source::Query { .. } => None,
        };
        let is_given = |n: usize| !cells.is_some_and(|cells| matches!(cells.get(n), Some(Cell::Default)));
        Some(self.given.iter().enumerate().filter(|(n, _)| is_given(*n)).map(|(_, position)| *position).collect())
    }

    fn events(&self) -> Vec<Event> {
        match self.updates_on_conflict() {
            true => vec![Event::Insert, Event::Update],
            false => vec![Event::Insert],
        }
    }

    /// The same, row by row between triggers.
    async fn execute_firing(&self, run: Run<'_>, target: &Target, triggers: &Triggers) -> Result<Execution> {
        let assigned = self.conflict.as_ref().map(|conflict| conflict.assigned(target)).unwrap_or_default();
        let within = fire::surroundings(run);
        let mut firing = Firing::begin(run, target, triggers, &within, self.events(), assigned).await?;
        let (values, rows) = self.new_rows(run, target).await?;
        for at in 0..rows {
            let Some(new) = firing.before_insert(&values, at).await? else { continue };
            let (old, new) = match &self.conflict {
                None => (None, new),
                Some(conflict) => {
                    let resolved = Box::pin(conflict.resolve(run, target, new, 1, &|_| None)).await?;
                    let Some(edit) = resolved.edits.into_iter().next() else { continue };
                    match edit.old {
                        None => (None, resolved.values),
                        Some(old) => {
                            let before = resolved.before;
                            match firing.before_update(&before, &resolved.values, 0).await? {
                                Some(new) => (Some((old, before)), new),
                                None => continue,
                            }
                        }
                    }
                }
            };
            let shown = match &self.returning {
                None => None,
                Some(returning) => {
                    let edits = [Edit { old: old.as_ref().map(|(old, _)| old.clone()), new: Some(0), given: None }];
                    let mut shown = new.clone();
                    shown.extend(returning.system(run, target, &edits, &new).await?);
                    Some(shown)
                }
            };
            firing.write(old, Some(new), shown).await?;
        }
        firing.answer(self.returning.as_ref()).await
    }

    /// The layout's columns of the rows to insert, constraints not yet checked.
    async fn new_rows(&self, run: Run<'_>, target: &Target) -> Result<(Vec<ArrayRef>, usize)> {
        let (given, rows): (Vec<ArrayRef>, usize) = match &self.source {
            Source::Defaults => (Vec::new(), 1),
            Source::Values(cells) => {
                let columns = cells.columns(run, target, &self.given).await?;
                (columns, cells.rows().len())
            }
            Source::Query { plan, incoming } => {
                let Some(batch) = one_batch(run.collect(plan).await?)? else {
                    return self.empty();
                };
                let columns = self.given.iter().zip(incoming).zip(batch.columns());
                let brought = columns.map(|((position, incoming), array)| incoming.bring(target, *position, array));
                (brought.collect::<Result<_>>()?, batch.num_rows())
            }
        };
        let mut values = Vec::with_capacity(self.target.layout.columns.len());
        for position in 0..self.target.layout.columns.len() {
            values.push(match self.given.iter().position(|p| *p == position).and_then(|n| given.get(n)) {
                Some(array) => array.clone(),
                None => target.default_values(run, position, rows).await?,
            });
        }
        Ok((target.generate(run, values, rows)?, rows))
    }

    fn empty(&self) -> Result<(Vec<ArrayRef>, usize)> {
        let columns = &self.target.layout.columns;
        Ok((columns.iter().map(|c| datafusion::arrow::array::new_empty_array(&c.ty.arrow())).collect(), 0))
    }
}

fn one_batch(batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else { return Ok(None) };
    let all = concat_batches(&schema, &batches);
    all.map(Some).map_err(|e| SqlError::new(SqlState::OUT_OF_MEMORY, format!("the rows to insert do not fit one batch: {e}")))
}

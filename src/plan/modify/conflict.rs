//! ON CONFLICT: which of the rows to insert meet a live item, and what becomes of those.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::assigned::Assigned;
use super::documents::Given;
use super::existing::{Existing, Old, read_items};
use super::parameters::Parameters;
use super::program::{RowProgram, rows_where};
use super::select::fold;
use super::target::Target;
use super::write::Edit;
use super::{Queries, Run};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ColumnId, HistoryError, IndexPart};
use crate::plan::StatementContext;
use crate::plan::catalog::deparse::{Style, check, index_part};
use crate::plan::routines::Event;
use crate::plan::rows::batch_of;
use crate::sql::inference::INFERRED;
use crate::store::StoreError;
use crate::types::PgType;
use crate::versions::{IndexId, ItemKey};

/// An ON CONFLICT clause, planned.
#[derive(Clone, Debug)]
pub struct Conflict {
    arbiters: Vec<Arbiter>,
    update: Option<Update>,
}

/// A constraint that decides what a conflict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arbiter {
    Key,
    Index(IndexId),
}

/// DO UPDATE. Its expressions see the item (under the target's alias) and the row that was not inserted
/// (`excluded`); the values are evaluated only where `filter`, the WHERE clause, holds.
#[derive(Clone, Debug)]
struct Update {
    assigned: Assigned,
    filter: Option<RowProgram>,
    schema: DFSchemaRef,
}

/// What to write for an INSERT with ON CONFLICT.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The layout's columns of every row that is written, in the order of the rows given.
    pub values: Vec<ArrayRef>,
    pub edits: Vec<Edit>,
    /// The layout's columns of the rows that are replaced, as they were.
    pub before: Vec<ArrayRef>,
}

impl Conflict {
    /// The columns that DO UPDATE sets.
    pub fn assigned(&self, target: &Target) -> Vec<ColumnId> {
        let positions = self.update.iter().flat_map(|update| update.assigned.positions());
        positions.filter_map(|at| target.layout.columns.get(at)).map(|column| column.id).collect()
    }

    /// Whether it is DO UPDATE.
    pub fn is_update(&self) -> bool {
        self.update.is_some()
    }

    pub fn plan(
        queries: &dyn Queries,
        target: &Target,
        alias: &str,
        clause: &ast::OnConflict,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let arbiters = arbiters(target, clause.conflict_target.as_ref())?;
        let update = match &clause.action {
            ast::OnConflictAction::DoNothing => None,
            ast::OnConflictAction::DoUpdate(_) if clause.conflict_target.is_none() => {
                return Err(SqlError::syntax("ON CONFLICT DO UPDATE requires inference specification or constraint name")
                    .hint("For example, ON CONFLICT (column_name)."));
            }
            ast::OnConflictAction::DoUpdate(update) => Some(Update::plan(queries, target, alias, update, parameters)?),
        };
        Ok(Self { arbiters, update })
    }

    /// Whether its expressions could be compiled for good.
    pub fn compile(&mut self, queries: &dyn Queries, parameters: &[PgType]) -> Result<bool> {
        let Some(update) = &mut self.update else { return Ok(true) };
        let filter = update.filter.as_mut().map_or(Ok(true), |filter| filter.compile(queries, parameters))?;
        Ok(update.assigned.compile(queries, parameters)? && filter)
    }

    /// Sorts the rows out. `values` are the layout's columns, checked; `given` tells which of them a row came with.
    pub async fn resolve(
        &self,
        run: Run<'_>,
        target: &Target,
        values: Vec<ArrayRef>,
        rows: usize,
        given: &(dyn Fn(usize) -> Given + Sync),
    ) -> Result<Resolved> {
        let (inserted, met) = self.sort_out(run.ctx, target, &values, rows).await?;
        let Some(update) = &self.update else {
            let values = pick(&values, &inserted)?;
            let edit = |(n, row): (usize, &u32)| Edit { old: None, new: Some(n), given: given(*row as usize) };
            let edits = inserted.iter().enumerate().map(edit).collect();
            return Ok(Resolved { values, edits, before: Vec::new() });
        };
        let (updated, olds, new, before) = update.run(run, target, &values, met).await?;
        if target.firing(&[Event::Update]).is_none() {
            target.check(run, &new, updated.len())?;
        }
        // The rows written, in the order they were given, so that RETURNING keeps it.
        let mut order: Vec<(u32, usize)> = inserted.iter().chain(&updated).copied().zip(0..).collect();
        order.sort_unstable();
        let taken = pick(&values, &inserted)?;
        let at: Vec<u32> = order.iter().map(|(_, at)| *at as u32).collect();
        let joined = taken.iter().zip(&new).map(|(a, b)| concat(&[a.as_ref(), b.as_ref()]).map_err(broken));
        let values = pick(&joined.collect::<Result<Vec<_>>>()?, &at)?;
        let mut olds: Vec<Option<Old>> = olds.into_iter().map(Some).collect();
        let assigned: Given = Some(update.assigned.positions().collect());
        let edits = order.iter().enumerate().map(|(n, (row, at))| {
            let old = at.checked_sub(inserted.len()).and_then(|n| olds.get_mut(n)).and_then(Option::take);
            let given = if old.is_some() { assigned.clone() } else { given(*row as usize) };
            Edit { old, new: Some(n), given }
        });
        Ok(Resolved { values, edits: edits.collect(), before })
    }

    /// Rows that go in, and rows that meet a live item. 21000 when DO UPDATE would meet one item twice.
    async fn sort_out(
        &self,
        ctx: &StatementContext,
        target: &Target,
        values: &[ArrayRef],
        rows: usize,
    ) -> Result<(Vec<u32>, Vec<(u32, Existing)>)> {
        let layout = &target.layout;
        let by_key = layout.keys.has_key() && self.arbiters.contains(&Arbiter::Key);
        let keys = match by_key {
            true => (0..rows).map(|row| layout.keys.key(values, row)).collect::<Result<Vec<_>>>()?,
            false => Vec::new(),
        };
        let mut items = if by_key { read_items(ctx, target, &keys).await? } else { Vec::new() };
        let mut mine: HashSet<(Option<IndexId>, ItemKey)> = HashSet::new();
        let mut updated: HashSet<ItemKey> = HashSet::new();
        let (mut inserted, mut met) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let mut identities: Vec<(Option<IndexId>, ItemKey)> = Vec::new();
            let mut existing = items.get_mut(row).and_then(Option::take);
            identities.extend(keys.get(row).map(|key| (None, key.clone())));
            for entry in layout.keys.entries(values, row)? {
                if entry.unique && self.arbiters.contains(&Arbiter::Index(entry.index)) {
                    if existing.is_none() {
                        existing = holder(ctx, target, entry.index, &entry.key).await?;
                    }
                    identities.push((Some(entry.index), entry.key));
                }
            }
            let twice = identities.iter().any(|id| mine.contains(id));
            match (existing, &self.update) {
                (Some(_), None) => {}
                (_, None) if twice => {}
                (Some(item), Some(_)) if ctx.has_changed(target.table().id, &item.key) => return Err(twice_affected()),
                (Some(item), Some(_)) if updated.insert(item.key.clone()) => met.push((row as u32, item)),
                (existing, Some(_)) if existing.is_some() || twice => return Err(twice_affected()),
                _ => {
                    mine.extend(identities);
                    inserted.push(row as u32);
                }
            }
        }
        Ok((inserted, met))
    }
}

fn twice_affected() -> SqlError {
    SqlError::new(SqlState::CARDINALITY_VIOLATION, "ON CONFLICT DO UPDATE command cannot affect row a second time")
        .hint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
}

/// The live item that holds this entry of a unique index, as the transaction sees it. 40001 when it came after
/// the snapshot: only a newer one can settle the conflict.
async fn holder(ctx: &StatementContext, target: &Target, index: IndexId, key: &ItemKey) -> Result<Option<Existing>> {
    let overlay = ctx.transaction.lock().overlay(target.table().id);
    if let Some(overlay) = &overlay {
        let own = overlay.rows.iter().find(|(_, row)| {
            row.state.as_ref().is_some_and(|(_, entries)| entries.iter().any(|e| e.unique && e.index == index && e.key == *key))
        });
        if let Some((item, _)) = own {
            return Ok(read_items(ctx, target, std::slice::from_ref(item)).await?.into_iter().next().flatten());
        }
    }
    let Some(item) = ctx.database.unique_holder(index, key).await? else { return Ok(None) };
    if overlay.is_some_and(|o| o.truncated || o.rows.contains_key(&item)) {
        return Ok(None);
    }
    let found = read_items(ctx, target, std::slice::from_ref(&item)).await?.into_iter().next().flatten();
    let found = found.filter(|found| holds(target, found, index, key));
    match found {
        Some(found) => Ok(Some(found)),
        None => Err(HistoryError::Store(StoreError::Conflict { table: target.table().id, key: item }).into()),
    }
}

fn holds(target: &Target, item: &Existing, index: IndexId, key: &ItemKey) -> bool {
    let Ok(values) = target.layout.decode([item.payload.as_ref()]) else { return false };
    let entries = target.layout.keys.entries(&values, 0).unwrap_or_default();
    entries.iter().any(|e| e.index == index && e.key == *key)
}

impl Update {
    fn plan(
        queries: &dyn Queries,
        target: &Target,
        alias: &str,
        update: &ast::DoUpdate,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let schema = both_rows(target, alias)?;
        let place = "ON CONFLICT DO UPDATE";
        let assigned = Assigned::plan(queries, target, &update.assignments, &schema, parameters, place)?;
        let filter = match &update.selection {
            None => None,
            Some(condition) => {
                let items = std::slice::from_ref(condition);
                let filter = RowProgram::plan(queries, items, schema.clone(), parameters, place)?;
                parameters.of_plan(queries, filter.logical_plan())?;
                Some(filter)
            }
        };
        Ok(Self { assigned, filter, schema })
    }

    /// The rows that are updated (as numbered in the rows given), what they replace, and their new values.
    async fn run(
        &self,
        run: Run<'_>,
        target: &Target,
        values: &[ArrayRef],
        met: Vec<(u32, Existing)>,
    ) -> Result<(Vec<u32>, Vec<Old>, Vec<ArrayRef>, Vec<ArrayRef>)> {
        let old = target.layout.decode(met.iter().map(|(_, item)| item.payload.as_ref()))?;
        let rows: Vec<u32> = met.iter().map(|(row, _)| *row).collect();
        let mut columns = old.clone();
        columns.extend(pick(values, &rows)?);
        let batch = batch_of(Arc::new(self.schema.as_arrow().clone()), columns, met.len())?;
        let kept = match &self.filter {
            None => (0..met.len() as u32).collect(),
            Some(filter) => rows_where(filter, run, &batch)?,
        };
        let batch = batch_of(batch.schema(), pick(batch.columns(), &kept)?, kept.len())?;
        let old = pick(&old, &kept)?;
        let new = self.assigned.apply(run, target, &batch, &old).await?;
        let mut olds = Vec::with_capacity(kept.len());
        let mut updated = Vec::with_capacity(kept.len());
        for (n, at) in kept.iter().enumerate() {
            let Some((row, item)) = met.get(*at as usize) else { continue };
            updated.push(*row);
            olds.push(old_of(target, item, &old, n)?);
        }
        Ok((updated, olds, new, old))
    }
}

/// What replacing an item replaces; `values` holds its columns in row `n`.
pub fn old_of(target: &Target, item: &Existing, values: &[ArrayRef], n: usize) -> Result<Old> {
    let entries = match &item.own_entries {
        Some(entries) => entries.clone(),
        None => target.layout.keys.entries(values, n)?,
    };
    Ok(match item.version {
        Some(version) => Old::new(item.key.clone(), version, entries),
        None => Old { key: item.key.clone(), base: None, entries },
    })
}

/// The target's columns under its alias, then the same as `excluded`.
fn both_rows(target: &Target, alias: &str) -> Result<DFSchemaRef> {
    let fields = |alias: &str| {
        let of = TableReference::bare(alias.to_owned());
        target.layout.schema.fields().iter().map(|f| (Some(of.clone()), f.clone())).collect::<Vec<_>>()
    };
    let mut all = fields(alias);
    all.extend(fields("excluded"));
    let schema = DFSchema::new_with_metadata(all, HashMap::new());
    schema.map(Arc::new).map_err(|e| SqlError::internal(format!("columns have no schema: {e}")))
}

fn pick(values: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let rows = UInt32Array::from(rows.to_vec());
    values.iter().map(|array| take(array, &rows, None).map_err(broken)).collect()
}

fn broken(e: datafusion::arrow::error::ArrowError) -> SqlError {
    SqlError::internal(format!("rows cannot be sorted out: {e}"))
}

fn arbiters(target: &Target, clause: Option<&ast::ConflictTarget>) -> Result<Vec<Arbiter>> {
    let table = target.table();
    let key = || table.primary_key.as_ref().map(|(name, columns)| (name, columns, Arbiter::Key));
    let uniques = || table.uniques.iter().map(|u| (&u.name, &u.columns, Arbiter::Index(u.id), u.constraint));
    let computed = || table.computed_indexes.iter().filter(|index| index.unique).map(|index| Arbiter::Index(index.id));
    if let Some(ast::ConflictTarget::OnConstraint(name)) = clause
        && let Some(inferred) = name.0.last().and_then(|part| part.as_ident()).and_then(|i| i.value.strip_prefix(INFERRED))
    {
        return by_expressions(target, inferred);
    }
    match clause {
        None => Ok(key().map(|k| k.2).into_iter().chain(uniques().map(|u| u.2)).chain(computed()).collect()),
        Some(ast::ConflictTarget::Columns(columns)) => {
            let named: HashSet<ColumnId> = columns
                .iter()
                .map(|ident| target.position(&fold(ident)).and_then(|p| target.column(p)).map(|c| c.id))
                .collect::<Result<_>>()
                .map_err(|e| SqlError::new(SqlState::UNDEFINED_COLUMN, plain_column_error(&e)))?;
            let same = |ids: &[ColumnId]| ids.len() == named.len() && ids.iter().all(|id| named.contains(id));
            let found = key().filter(|k| same(k.1)).map(|k| k.2);
            let mut found: Vec<Arbiter> = found.into_iter().collect();
            found.extend(uniques().filter(|u| same(u.1)).map(|u| u.2));
            if found.is_empty() { Err(none_matches()) } else { Ok(found) }
        }
        Some(ast::ConflictTarget::OnConstraint(name)) => {
            let name = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
            let found = key().filter(|k| *k.0 == name).map(|k| k.2);
            let found = found.or_else(|| uniques().find(|u| *u.0 == name && u.3).map(|u| u.2));
            found.map(|arbiter| vec![arbiter]).ok_or_else(|| {
                let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name.name);
                SqlError::new(SqlState::UNDEFINED_OBJECT, message)
            })
        }
    }
}

fn none_matches() -> SqlError {
    let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
    SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)
}

/// The unique indexes with these parts whose rows include those of the condition. The parts and the condition come as one
/// text, see [`INFERRED`].
fn by_expressions(target: &Target, inferred: &str) -> Result<Vec<Arbiter>> {
    let table = target.table();
    let (parts, condition) = inferred.split_once('\u{1}').unwrap_or((inferred, ""));
    let parts = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(parts)
        .and_then(|mut parser| parser.parse_comma_separated(Parser::parse_expr))
        .map_err(|e| SqlError::syntax(e.to_string()))?;
    let mut named = Vec::with_capacity(parts.len());
    for part in parts {
        named.push(match plain(part) {
            ast::Expr::Identifier(ident) => {
                let found = target.position(&fold(&ident)).and_then(|at| target.column(at));
                let id = found.map(|column| column.id);
                Part::Column(id.map_err(|e| SqlError::new(SqlState::UNDEFINED_COLUMN, plain_column_error(&e)))?)
            }
            other => Part::Expression(index_part(table, &other.to_string(), Style::Full)),
        });
    }
    let given: Vec<String> = conjuncts(condition).iter().map(|text| check(table, text)).collect();
    let part_of = |part: &IndexPart| match part {
        IndexPart::Column(id) => Part::Column(*id),
        IndexPart::Expression(text) => Part::Expression(index_part(table, text, Style::Full)),
    };
    let same = |parts: &[Part]| parts.len() == named.len() && parts.iter().all(|part| named.contains(part));
    let columns = |ids: &[ColumnId]| ids.iter().map(|id| Part::Column(*id)).collect::<Vec<_>>();
    let key = table.primary_key.iter().filter(|(_, ids)| same(&columns(ids))).map(|_| Arbiter::Key);
    let uniques = table.uniques.iter().filter(|u| same(&columns(&u.columns))).map(|u| Arbiter::Index(u.id));
    let computed = table.computed_indexes.iter().filter(|index| {
        let parts: Vec<Part> = index.parts.iter().map(part_of).collect();
        let wanted = index.predicate.as_deref().map(conjuncts).unwrap_or_default();
        index.unique && same(&parts) && wanted.iter().all(|text| given.contains(&check(table, text)))
    });
    let found: Vec<Arbiter> = key.chain(uniques).chain(computed.map(|index| Arbiter::Index(index.id))).collect();
    if found.is_empty() { Err(none_matches()) } else { Ok(found) }
}

/// What an index has at a place; expressions as they are printed.
#[derive(PartialEq)]
enum Part {
    Column(ColumnId),
    Expression(String),
}

fn plain(expr: ast::Expr) -> ast::Expr {
    match expr {
        ast::Expr::Nested(inner) => plain(*inner),
        ast::Expr::Collate { expr, .. } => plain(*expr),
        other => other,
    }
}

/// The conditions that a condition joins by AND.
fn conjuncts(condition: &str) -> Vec<String> {
    fn split(expr: ast::Expr, out: &mut Vec<String>) {
        match plain(expr) {
            ast::Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
                split(*left, out);
                split(*right, out);
            }
            other => out.push(other.to_string()),
        }
    }
    let mut out = Vec::new();
    if let Ok(expr) = super::target::parse_expression(condition) {
        split(expr, &mut out);
    }
    out
}

/// PostgreSQL does not name the relation here.
fn plain_column_error(error: &SqlError) -> String {
    let quoted = error.message().split('"').nth(1).unwrap_or_default();
    format!("column \"{quoted}\" does not exist")
}

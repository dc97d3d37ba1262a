//! From checked rows to the transaction: keys, uniqueness, payloads; then all of them, or none.
//!
//! Uniqueness is that of the state after the statement: rows may swap keys. What other transactions do
//! meanwhile is caught when the store commits.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use bytes::Bytes;
use datafusion::arrow::array::ArrayRef;
use futures::TryStreamExt;

use super::Run;
use super::documents::{self, Given};
use super::existing::{Old, read_items};
use super::foreign::{self, Touched, settle};
use super::target::Target;
use super::values::row_text;
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, ColumnId, IndexPart, TableDef, UniqueDef};
use crate::plan::StatementContext;
use crate::plan::catalog::deparse::{Style, index_part};
use crate::plan::keys::hidden_key;
use crate::store::{IndexEntry, ScanRequest};
use crate::types::{PgType, TypeName};
use crate::versions::{IndexId, ItemKey, KeyFilter, Scope};

/// Above so many new keys, one read of the range they span is tried before one read for each.
const MANY_KEYS: usize = 64;

/// One row of a statement: a new item, a new state of an old one (of another key, perhaps), or an end.
#[derive(Debug, Default)]
pub struct Edit {
    pub old: Option<Old>,
    /// The new state: a row of the values given to [`write`].
    pub new: Option<usize>,
    /// Which values of the new state the statement gives, for rows that become documents.
    pub given: Given,
}

struct Row {
    old: Option<Old>,
    new: Option<NewState>,
}

impl Row {
    /// About what it takes in the transaction.
    fn bytes(&self) -> usize {
        /// Nodes, pointers and lengths around the bytes themselves.
        const AROUND: usize = 160;
        let entries = |entries: &[IndexEntry]| entries.iter().map(|e| e.key.as_bytes().len() + AROUND / 2).sum::<usize>();
        let old = self.old.as_ref().map_or(0, |old| old.key.as_bytes().len() + entries(&old.entries));
        let new = self.new.as_ref().map_or(0, |new| new.key.as_bytes().len() + new.payload.len() + entries(&new.entries));
        old + new + AROUND
    }
}

struct NewState {
    key: ItemKey,
    payload: Bytes,
    entries: Vec<IndexEntry>,
}

/// Writes the edits to the transaction; on an error it is as before. `values` are the layout's columns, checked
/// and of the columns' types; 23505 when a key would be held twice.
///
/// Then foreign keys are seen to: 23503, after which the transaction has part of it and must not be committed.
pub async fn write(run: Run<'_>, target: &Target, edits: Vec<Edit>, values: &[ArrayRef]) -> Result<()> {
    match write_edits(run.ctx, target, edits, values).await? {
        None => Ok(()),
        Some(touched) => see_to(run, target, touched).await,
    }
}

async fn see_to(run: Run<'_>, target: &Target, touched: Touched) -> Result<()> {
    match run.later {
        Some(later) => {
            later.push(target, touched);
            Ok(())
        }
        None => Box::pin(settle(run, target, touched)).await,
    }
}

/// As [`write`], leaving foreign keys to the caller.
pub async fn write_edits(
    ctx: &StatementContext,
    target: &Target,
    edits: Vec<Edit>,
    values: &[ArrayRef],
) -> Result<Option<Touched>> {
    let rows = prepare(ctx, target, edits, values).await?;
    write_rows(ctx, target, rows).await
}

/// A row that comes without arrays.
#[derive(Debug)]
pub struct NewRow {
    /// `None` for a table without primary key.
    pub key: Option<ItemKey>,
    pub payload: Bytes,
    pub entries: Vec<IndexEntry>,
}

/// As [`write`], of rows that are all new and encoded already.
pub async fn write_new(run: Run<'_>, target: &Target, rows: Vec<NewRow>) -> Result<()> {
    let ctx = run.ctx;
    let hidden = rows.iter().filter(|row| row.key.is_none()).count() as u64;
    let mut number = if hidden == 0 { 0 } else { ctx.database.row_numbers(target.table(), hidden).await? };
    let mut numbered = Vec::with_capacity(rows.len());
    for row in rows {
        let key = row.key.unwrap_or_else(|| {
            number += 1;
            hidden_key(number - 1)
        });
        numbered.push(Row { old: None, new: Some(NewState { key, payload: row.payload, entries: row.entries }) });
    }
    match write_rows(ctx, target, numbered).await? {
        None => Ok(()),
        Some(touched) => see_to(run, target, touched).await,
    }
}

async fn write_rows(ctx: &StatementContext, target: &Target, rows: Vec<Row>) -> Result<Option<Touched>> {
    let check = Uniqueness { ctx, target, rows: &rows };
    check.keys().await?;
    check.indexes().await?;
    ctx.cancel.check()?;
    ctx.held.grow(rows.iter().map(Row::bytes).sum())?;
    let id = target.table().id;
    let mut transaction = ctx.transaction.lock();
    let touched = touched(&transaction.catalog, target.table(), &rows);
    let (mut ended, mut written) = (Vec::new(), Vec::new());
    for row in rows {
        match (row.old, row.new) {
            (Some(old), Some(new)) if old.key == new.key => written.push((new, old.base)),
            (old, new) => {
                ended.extend(old);
                written.extend(new.map(|new| (new, None)));
            }
        }
    }
    // Ends first: a key that one row leaves may be the one that another takes.
    for old in ended {
        transaction.delete(id, old.key, old.base);
    }
    for (new, base) in written {
        transaction.write(id, new.key, base, new.payload, new.entries);
    }
    Ok(touched)
}

fn touched(catalog: &Catalog, table: &TableDef, rows: &[Row]) -> Option<Touched> {
    let mut touched = Touched::begin(catalog, table)?;
    let targets = foreign::targets(catalog, table.id);
    for row in rows {
        let new = row.new.as_ref().map(|new| foreign::After(&new.key, &new.entries, &new.payload));
        touched.add(table, &targets, row.old.as_ref().map(foreign::before), new);
    }
    Some(touched)
}

async fn prepare(ctx: &StatementContext, target: &Target, edits: Vec<Edit>, values: &[ArrayRef]) -> Result<Vec<Row>> {
    let layout = &target.layout;
    let created = edits.iter().filter(|e| e.old.is_none() && e.new.is_some()).count() as u64;
    let mut numbers = match layout.keys.has_key() || created == 0 {
        true => 0..0,
        false => {
            let first = ctx.database.row_numbers(target.table(), created).await?;
            first..first + created
        }
    };
    let of_documents = target.table().is_of_documents();
    let overlay = if of_documents { ctx.transaction.lock().overlay(target.table().id) } else { None };
    let mut rows = Vec::with_capacity(edits.len());
    for edit in edits {
        let new = match edit.new {
            None => None,
            Some(row) => {
                let key = match (layout.keys.has_key(), &edit.old) {
                    (true, _) => layout.keys.key(values, row)?,
                    (false, Some(old)) => old.key.clone(),
                    (false, None) => hidden_key(numbers.next().ok_or_else(|| SqlError::internal("row numbers ran out"))?),
                };
                let entries = layout.keys.entries(values, row)?;
                let payload = match of_documents {
                    false => layout.encode(values, row)?,
                    true if edit.old.as_ref().is_some_and(|old| old.key != key) => return Err(documents::renamed()),
                    true => {
                        let pending = edit.old.as_ref().and_then(|old| overlay.as_ref()?.rows.get(&old.key)?.state.as_ref());
                        documents::encode(target, values, row, &edit.given, pending.map(|(payload, _)| payload))?
                    }
                };
                Some(NewState { key, payload, entries })
            }
        };
        rows.push(Row { old: edit.old, new });
    }
    Ok(rows)
}

struct Uniqueness<'a> {
    ctx: &'a StatementContext,
    target: &'a Target,
    rows: &'a [Row],
}

impl Uniqueness<'_> {
    /// No two items of one primary key.
    async fn keys(&self) -> Result<()> {
        if !self.target.layout.keys.has_key() {
            return Ok(());
        }
        let mut taken = BTreeSet::new();
        let mut left: BTreeSet<&ItemKey> = BTreeSet::new();
        let mut arriving = Vec::new();
        for row in self.rows {
            let (old, new) = (row.old.as_ref().map(|old| &old.key), row.new.as_ref());
            if let Some(new) = new
                && !taken.insert(&new.key)
            {
                return Err(self.duplicate_key(new));
            }
            if old != new.map(|new| &new.key) {
                left.extend(old);
                arriving.extend(new);
            }
        }
        if self.ctx.commits_alone && left.is_empty() && !self.target.table().is_temporary() && self.commit_says_the_same() {
            return Ok(());
        }
        arriving.retain(|new| !left.contains(&new.key));
        let keys: Vec<ItemKey> = arriving.iter().map(|new| new.key.clone()).collect();
        if keys.is_empty() || (keys.len() > MANY_KEYS && self.none_between(&keys).await?) {
            return Ok(());
        }
        let existing = read_items(self.ctx, self.target, &keys).await?;
        match arriving.iter().zip(existing).find(|(_, item)| item.is_some()) {
            Some((new, _)) => Err(self.duplicate_key(new)),
            None => Ok(()),
        }
    }

    /// Whether the commit refuses a key that is held with the very error that is given here: its key shows the
    /// values as they are, and no other constraint could be broken first.
    fn commit_says_the_same(&self) -> bool {
        let table = self.target.table();
        let shown_alike = |ty: PgType| {
            let plain = matches!(
                ty.name,
                TypeName::Int2 | TypeName::Int4 | TypeName::Int8 | TypeName::Text | TypeName::Varchar | TypeName::Uuid
            );
            plain && !ty.array
        };
        let only_key = table.uniques.is_empty() && self.target.layout.keys.computed().is_empty();
        only_key && table.key_columns().all(|column| shown_alike(column.ty))
    }

    /// Whether no live item has a key from the least to the greatest of these: one short read instead of one
    /// for each, which is what loads in the order of the key need.
    async fn none_between(&self, keys: &[ItemKey]) -> Result<bool> {
        let (Some(low), Some(high)) = (keys.iter().min(), keys.iter().max()) else { return Ok(true) };
        let (snapshot, overlay) = {
            let transaction = self.ctx.transaction.lock();
            (transaction.snapshot, transaction.overlay(self.target.table().id))
        };
        let own = overlay.as_ref().is_some_and(|o| o.rows.range::<ItemKey, _>(low..=high).any(|(_, row)| row.state.is_some()));
        if own || overlay.as_ref().is_some_and(|o| o.truncated) {
            return Ok(!own);
        }
        let request = ScanRequest {
            table: self.target.table().id,
            snapshot,
            scope: Scope::Current,
            keys: KeyFilter::Range { low: Bound::Included(low.clone()), high: Bound::Included(high.clone()) },
            candidates: None,
            payloads: false,
            limit: Some(1),
        };
        let mut scan = self.ctx.database.scan(request);
        while let Some(batch) = scan.try_next().await? {
            if !batch.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// No two items with one entry in a unique index.
    async fn indexes(&self) -> Result<()> {
        let table = self.target.table();
        if table.uniques.is_empty() && self.target.layout.keys.computed().is_empty() {
            return Ok(());
        }
        // A deferred constraint is for the commit to check, which no temporary table comes to.
        let timing = self.ctx.transaction.lock().timing.clone();
        let waits = |unique: &&UniqueDef| !table.is_temporary() && timing.defers_unique(unique);
        let deferred: Vec<IndexId> = table.uniques.iter().filter(waits).map(|u| u.id).collect();
        let mut holders: HashMap<(IndexId, &ItemKey), &ItemKey> = HashMap::new();
        let mut arriving = Vec::new();
        for row in self.rows {
            let Some(new) = &row.new else { continue };
            let had: &[IndexEntry] = row.old.as_ref().map_or(&[], |old| &old.entries);
            for entry in new.entries.iter().filter(|e| e.unique && !deferred.contains(&e.index)) {
                // Documents that another program made agree may stay so.
                let stays = table.is_of_documents() && had.contains(entry);
                if holders.insert((entry.index, &entry.key), &new.key).is_some() && !stays {
                    return Err(self.duplicate_entry(entry, new));
                }
                if !had.contains(entry) {
                    arriving.push((entry, new));
                }
            }
        }
        if arriving.is_empty() {
            return Ok(());
        }
        let touched: BTreeSet<&ItemKey> = self
            .rows
            .iter()
            .flat_map(|row| row.old.iter().map(|old| &old.key).chain(row.new.iter().map(|new| &new.key)))
            .collect();
        let overlay = self.ctx.transaction.lock().overlay(table.id);
        for (entry, new) in arriving {
            let own = overlay.as_ref().and_then(|o| o.holder(entry.index, &entry.key));
            if own.is_some_and(|item| !touched.contains(item)) {
                return Err(self.duplicate_entry(entry, new));
            }
            let holder = self.ctx.database.unique_holder(entry.index, &entry.key).await?;
            let Some(holder) = holder else { continue };
            let settled = overlay.as_ref().is_some_and(|o| o.truncated || o.rows.contains_key(&holder));
            if !settled && !touched.contains(&holder) {
                return Err(self.duplicate_entry(entry, new));
            }
        }
        Ok(())
    }

    fn duplicate_key(&self, row: &NewState) -> SqlError {
        let (name, columns) = match &self.target.table().primary_key {
            Some((name, columns)) => (name.as_str(), columns.as_slice()),
            None => ("", &[][..]),
        };
        duplicate(self.target, name, columns, &row.payload)
    }

    fn duplicate_entry(&self, entry: &IndexEntry, row: &NewState) -> SqlError {
        match self.target.table().uniques.iter().find(|u| u.id == entry.index) {
            Some(unique) => duplicate(self.target, &unique.name, &unique.columns, &row.payload),
            None => self.duplicate_computed(entry.index, &row.payload),
        }
    }

    /// 23505 for an index over expressions.
    fn duplicate_computed(&self, index: IndexId, payload: &[u8]) -> SqlError {
        let layout = &self.target.layout;
        let values = layout.keys.computed().iter().find(|computed| computed.index == index).and_then(|computed| {
            let values = layout.decode([payload]).and_then(|row| computed.values(&row, 0)).ok()??;
            let types: Vec<PgType> = computed.parts.iter().map(|(_, ty)| *ty).collect();
            Some(row_text(&values, &types, 0, self.target.zone))
        });
        let definition = self.target.table().computed_indexes.iter().find(|computed| computed.id == index);
        match (definition, values) {
            (Some(computed), Some(shown)) => {
                let parts = computed_parts(self.target.table(), &computed.parts);
                violation(self.target, &computed.name, &parts.join(", "), &shown)
            }
            _ => SqlError::internal("an index without a definition holds this key"),
        }
    }
}

/// 23505 with the key as PostgreSQL shows it.
fn duplicate(target: &Target, constraint: &str, columns: &[ColumnId], payload: &[u8]) -> SqlError {
    let positions: Vec<usize> = columns.iter().filter_map(|id| target.layout.columns.iter().position(|c| c.id == *id)).collect();
    let names: Vec<&str> = positions.iter().map(|p| target.layout.columns[*p].name.as_str()).collect();
    let types: Vec<PgType> = positions.iter().map(|p| target.layout.columns[*p].ty).collect();
    let values = match target.layout.decode([payload]) {
        Ok(values) => values,
        Err(error) => return error,
    };
    let arrays: Vec<ArrayRef> = positions.iter().map(|p| values[*p].clone()).collect();
    let shown = row_text(&arrays, &types, 0, target.zone);
    violation(target, constraint, &names.join(", "), &shown)
}

/// The parts of an index over expressions as messages name them.
pub fn computed_parts(table: &TableDef, parts: &[IndexPart]) -> Vec<String> {
    let name = |part: &IndexPart| match part {
        IndexPart::Column(id) => table.column_by_id(*id).map(|column| column.name.clone()).unwrap_or_default(),
        IndexPart::Expression(text) => index_part(table, text, Style::Pretty),
    };
    parts.iter().map(name).collect()
}

fn violation(target: &Target, constraint: &str, names: &str, shown: &str) -> SqlError {
    let table = &target.table().name;
    let message = format!("duplicate key value violates unique constraint \"{constraint}\"");
    SqlError::new(SqlState::UNIQUE_VIOLATION, message)
        .detail(format!("Key ({names})=({shown}) already exists."))
        .table(&table.schema, &table.name)
        .constraint(constraint)
}

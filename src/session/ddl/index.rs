//! CREATE and RENAME INDEX: the definition, and entries for every version there is.
//!
//! An index answers AS OF too, so it gets entries of the past as well as of the present.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;

use super::Change;
use super::column::key_columns;
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ColumnId, IndexDef, IndexShape, StateRow, TableDef, UniqueDef};
use crate::plan::payload::value_json;
use crate::plan::rows::RowLayout;
use crate::sql::{CreateIndex, Name};
use crate::store::{IndexBackfill, IndexEntry, ScanRequest};
use crate::types::Qualified;
use crate::versions::{IndexId, ItemKey, KeyFilter, Scope};

impl Change {
    pub(super) async fn create_index(&mut self, create: &CreateIndex) -> Result<()> {
        let mut table = self.own_table(&create.table)?;
        let schema = table.name.schema.clone();
        if let Some(name) = &create.name
            && self.catalog.has_relation(&Qualified::new(schema.as_str(), name.as_str()))
        {
            let message = format!("relation \"{name}\" already exists");
            if !create.if_not_exists {
                return Err(SqlError::new(SqlState::DUPLICATE_TABLE, message));
            }
            self.notice(format!("{message}, skipping"));
            return Ok(());
        }
        if let Some(missing) = create.columns.iter().find(|column| table.column(column).is_none()) {
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{missing}\" does not exist")));
        }
        let columns = key_columns(&table, &unrepeated(&create.columns), "index")?;
        let name = match &create.name {
            Some(name) if name.len() > 63 => return Err(super::too_long(name)),
            Some(name) => name.clone(),
            None => self.free_index_name(&table, &format!("{}_{}_idx", table.name.name, create.columns.join("_")))?,
        };
        let id = IndexId(self.catalog.ids.next());
        if create.unique {
            let names: Vec<&str> = create.columns.iter().map(String::as_str).collect();
            self.verify_unique(&table, &name, &names).await?;
            table.uniques.push(UniqueDef {
                id,
                name,
                columns,
                constraint: false,
                deferrable: false,
                deferred: false,
                shape: IndexShape::default(),
            });
        } else {
            table.indexes.push(IndexDef { id, name, columns, shape: IndexShape::default() });
        }
        self.catalog.replace_table(table.clone())?;
        self.fill_index(&table, id).await
    }

    pub(super) fn rename_index(&mut self, name: &Name, to: &str) -> Result<()> {
        let found = self.find(name, |catalog, q| catalog.table_of_index(q).is_some());
        let table = found.as_ref().and_then(|found| self.catalog.table_of_index(found)).cloned();
        let (Some(found), Some(table)) = (found, table) else {
            return Err(super::undefined("relation", name));
        };
        self.require_owner("index", &found.name, &table.owner)?;
        let mut def = TableDef::clone(&table);
        rename(&mut def, &found.name, to);
        Ok(self.catalog.replace_table(def)?)
    }

    /// Gives the new index entries for every version of the table, those of this transaction included.
    pub(super) async fn fill_index(&self, table: &TableDef, index: IndexId) -> Result<()> {
        let reader = EntryReader::new(self, table, index).await?;
        let (snapshot, overlay) = {
            let transaction = self.ctx.transaction.lock();
            (transaction.snapshot, transaction.overlay(table.id))
        };
        let replaced: BTreeSet<ItemKey> = overlay.as_ref().map(|w| w.rows.keys().cloned().collect()).unwrap_or_default();
        let truncated = overlay.as_ref().is_some_and(|writes| writes.truncated);
        let mut states = self.ctx.database.scan(ScanRequest {
            table: table.id,
            snapshot,
            scope: Scope::All,
            keys: KeyFilter::All,
            candidates: None,
            payloads: true,
            limit: None,
        });
        let mut entries = Vec::new();
        while let Some(batch) = states.try_next().await? {
            self.ctx.cancel.check()?;
            let found = reader.read(&batch.iter().map(|state| state.payload.as_ref()).collect::<Vec<_>>())?;
            entries.extend(batch.iter().zip(found).filter_map(|(state, entry)| {
                let mut entry = entry?;
                entry.unique &= is_live(state) && !truncated && !replaced.contains(&state.key);
                Some((state.key.clone(), entry))
            }));
        }
        entries.dedup();
        let mut transaction = self.ctx.transaction.lock();
        transaction.rewrite(table.id, |writes| {
            writes.add_entries(|payload| reader.read(&[payload]).map(|entries| entries.into_iter().flatten().collect()))
        })?;
        transaction.backfill.push(IndexBackfill { table: table.id, seen: snapshot.commit, entries });
        Ok(())
    }
}

fn is_live(state: &StateRow) -> bool {
    state.version.period.end.is_none()
}

/// Gives an index, unique or not, or the primary key another name.
pub(super) fn rename(table: &mut TableDef, from: &str, to: &str) {
    if let Some((name, _)) = table.primary_key.as_mut().filter(|(name, _)| name == from) {
        to.clone_into(name);
    }
    table.uniques.iter_mut().filter(|u| u.name == from).for_each(|u| to.clone_into(&mut u.name));
    table.indexes.iter_mut().filter(|i| i.name == from).for_each(|i| to.clone_into(&mut i.name));
}

fn unrepeated(columns: &[String]) -> Vec<String> {
    let mut seen = Vec::with_capacity(columns.len());
    for column in columns {
        if !seen.contains(column) {
            seen.push(column.clone());
        }
    }
    seen
}

/// From payloads to entries of one index.
struct EntryReader {
    layout: RowLayout,
    index: IndexId,
}

impl EntryReader {
    async fn new(change: &Change, table: &TableDef, index: IndexId) -> Result<Self> {
        let mut missing: BTreeMap<ColumnId, String> = BTreeMap::new();
        for column in table.live_columns() {
            if let Some(text) = &column.missing {
                let value = change.evaluate(text, column.ty).await?;
                let array = value.to_array().map_err(|_| SqlError::internal("a column's missing value has no array"))?;
                missing.insert(column.id, value_json(&array, 0, column.ty)?);
            }
        }
        let layout = RowLayout::new(Arc::new(table.clone()), |column| Ok(missing.get(&column.id).cloned()))?;
        Ok(Self { layout, index })
    }

    /// One entry per payload, or none where the row has none.
    fn read(&self, payloads: &[&[u8]]) -> Result<Vec<Option<IndexEntry>>> {
        let values = self.layout.decode(payloads.iter().copied())?;
        let mut entries = Vec::with_capacity(payloads.len());
        for row in 0..payloads.len() {
            let of_row = self.layout.keys.entries(&values, row)?;
            entries.push(of_row.into_iter().find(|entry| entry.index == self.index));
        }
        Ok(entries)
    }
}

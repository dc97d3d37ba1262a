//! CREATE and RENAME INDEX: the definition, and entries for every version there is.
//!
//! An index answers AS OF too, so it gets entries of the past as well as of the present.

use std::collections::BTreeSet;

use futures::TryStreamExt;

use super::super::dispatch::cancellable;
use super::column::key_columns;
use super::index_method::{method_of, shape_of};
use super::{Change, member_index};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ComputedIndexDef, IndexDef, IndexPart, IndexShape, StateRow, TableDef, UniqueDef};
use crate::plan::modify::computed_parts;
use crate::plan::rows::RowLayout;
use crate::sql::{CreateIndex, IndexElement, IndexKey, Name};
use crate::store::{IndexBackfill, IndexEntry, Progress, ScanRequest};
use crate::types::Qualified;
use crate::versions::{IndexId, ItemKey, KeyFilter, Scope, TableId};

impl Change {
    pub(super) async fn create_index(&mut self, create: &CreateIndex) -> Result<()> {
        let of_documents = self.find_table(&create.table).is_some_and(|table| table.is_of_documents());
        let mut table = match of_documents {
            true => self.own_table_or_collection(&create.table)?,
            false => self.own_stored(&create.table)?,
        };
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
        let named: Vec<String> = create.parts.iter().filter_map(column_of).collect();
        if let Some(missing) = named.iter().chain(&create.include).find(|column| table.column(column).is_none()) {
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{missing}\" does not exist")));
        }
        if table.is_of_documents() {
            member_index::check(&table, create)?;
        }
        let id = IndexId(self.catalog.ids.next());
        let method = method_of(create)?;
        let shape = shape_of(&table, create, method)?;
        // What orders no keys serves no lookup here: it is kept as it was defined, to be shown.
        let defined_only = !method.is_btree();
        if defined_only || create.predicate.is_some() || named.len() < create.parts.len() {
            return self.create_computed_index(table, create, id, shape).await;
        }
        let columns = key_columns(&table, &unrepeated(&named), "index")?;
        let name = self.index_name(&table, create)?;
        if create.unique {
            let names: Vec<&str> = named.iter().map(String::as_str).collect();
            self.verify_unique(&table, &name, &names).await?;
            table.uniques.push(UniqueDef { id, name, columns, constraint: false, deferrable: false, deferred: false, shape });
        } else {
            table.indexes.push(IndexDef { id, name, columns, shape });
        }
        self.catalog.replace_table(table.clone())?;
        self.fill_index(&table, id).await
    }

    /// Over expressions or part of the rows. One that is not unique changes no answer: a definition is all it is.
    async fn create_computed_index(
        &mut self,
        mut table: TableDef,
        create: &CreateIndex,
        id: IndexId,
        shape: IndexShape,
    ) -> Result<()> {
        let mut parts = Vec::with_capacity(create.parts.len());
        let from = super::quoted_name(&table.name);
        for part in &create.parts {
            parts.push(match &part.key {
                IndexKey::Column(name) if shape.method.is_some() => IndexPart::Column(
                    table.column(name).map(|column| column.id).ok_or_else(|| SqlError::internal("an index lost its column"))?,
                ),
                IndexKey::Column(name) => IndexPart::Column(key_columns(&table, std::slice::from_ref(name), "index")?[0]),
                IndexKey::Expression(text) => {
                    refuse_changing(text, "index expression")?;
                    self.analyse(&format!("SELECT ({text}) FROM {from} LIMIT 0")).await?;
                    IndexPart::Expression(text.clone())
                }
            });
        }
        if let Some(predicate) = &create.predicate {
            refuse_changing(predicate, "index predicate")?;
            self.analyse(&format!("SELECT 1 FROM {from} WHERE ({predicate}) LIMIT 0")).await?;
        }
        let name = self.index_name(&table, create)?;
        let predicate = create.predicate.clone();
        if create.unique {
            let named = computed_parts(&table, &parts);
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            let texts: Vec<String> = parts.iter().map(|part| part_text(&table, part)).collect();
            self.verify_unique_parts(&table, &name, &named, &texts, predicate.as_deref()).await?;
        }
        table.computed_indexes.push(ComputedIndexDef { id, name, unique: create.unique, parts, predicate, shape });
        let has_entries = create.unique || table.is_of_documents();
        if let Some(collection) = &mut table.collection {
            collection.indexes.push(member_index::of_expressions(&table.columns, create, id)?);
        }
        self.catalog.replace_table(table.clone())?;
        if has_entries { self.fill_index(&table, id).await } else { Ok(()) }
    }

    fn index_name(&self, table: &TableDef, create: &CreateIndex) -> Result<String> {
        match &create.name {
            Some(name) if name.len() > 63 => Err(super::too_long(name)),
            Some(name) => Ok(name.clone()),
            None => {
                let names: Vec<String> = create.parts.iter().map(|part| part_name(&part.key)).collect();
                self.free_index_name(table, &format!("{}_{}_idx", table.name.name, names.join("_")))
            }
        }
    }

    /// ADD CONSTRAINT … USING INDEX: a unique index becomes a constraint under the constraint's name.
    pub(super) async fn constrain_by_index(
        &mut self,
        mut table: TableDef,
        name: Option<&String>,
        primary: bool,
        index: &str,
        timing: crate::sql::ConstraintTiming,
    ) -> Result<()> {
        let Some(at) = table.uniques.iter().position(|u| !u.constraint && u.name == index) else {
            let message = match table.has_index(index) {
                true => format!("\"{index}\" is not a unique index, or it belongs to a constraint already"),
                false => format!("index \"{index}\" does not exist"),
            };
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        };
        let name = name.cloned().unwrap_or_else(|| index.to_owned());
        if name != index {
            let message = format!("ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index \"{index}\" to \"{name}\"");
            self.notice(message);
        }
        if !primary {
            if let Some(unique) = table.uniques.get_mut(at) {
                unique.constraint = true;
                unique.deferrable = timing.deferrable;
                unique.deferred = timing.deferred;
                name.clone_into(&mut unique.name);
            }
            return Ok(self.catalog.replace_table(table)?);
        }
        let unique = table.uniques.remove(at);
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        let columns = unique.columns.iter().filter_map(|c| table.column_by_id(*c)).map(|c| c.name.clone()).collect();
        let kind = crate::sql::ConstraintKind::PrimaryKey(columns);
        self.add_constraint(table, &crate::sql::ConstraintSpec { name: Some(name), kind, timing }).await
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
        let building = self.ctx.database.building(self.ctx.backend_pid, table.id, index);
        let reader = EntryReader::new(self, table, index).await?;
        if table.is_of_documents() {
            return self.fill_members(table.id, index, &reader, building.progress()).await;
        }
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
            building.progress().add(batch.len() as u64);
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

impl Change {
    /// Has the store keep the members of an index over documents. Of a unique one, what this transaction wrote gets its
    /// entries, and no other commit may come between what was verified and this one.
    async fn fill_members(&self, table: TableId, index: IndexId, reader: &EntryReader, progress: &Progress) -> Result<()> {
        let table = self.table_now(table)?;
        let indexes = table.collection.iter().flat_map(|collection| &collection.indexes);
        let Some(members) = indexes.into_iter().find(|known| known.id == index) else {
            return Err(SqlError::internal("a new index is missing from its collection"));
        };
        let work = async { Ok(self.ctx.database.index_members(table.id, members, progress).await?) };
        cancellable(&self.ctx, work).await?;
        if members.unique {
            let mut transaction = self.ctx.transaction.lock();
            transaction.rewrite(table.id, |writes| {
                writes.add_entries(|payload| reader.read(&[payload]).map(|entries| entries.into_iter().flatten().collect()))
            })?;
            let seen = transaction.snapshot.commit;
            transaction.backfill.push(IndexBackfill { table: table.id, seen, entries: Vec::new() });
        }
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
    table.computed_indexes.iter_mut().filter(|i| i.name == from).for_each(|i| to.clone_into(&mut i.name));
    table.comments.rename(from, to);
}

/// A part of an index as an expression over the table.
fn part_text(table: &TableDef, part: &IndexPart) -> String {
    match part {
        IndexPart::Column(id) => table.column_by_id(*id).map(|column| super::quoted(&column.name)).unwrap_or_default(),
        IndexPart::Expression(text) => format!("({text})"),
    }
}

/// 42P17 for what gives another value some other time.
fn refuse_changing(text: &str, place: &str) -> Result<()> {
    match super::alter::changing_call(&super::verify::parse_expression(text)?) {
        None => Ok(()),
        Some(_) => {
            let message = format!("functions in {place} must be marked IMMUTABLE");
            Err(SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message))
        }
    }
}

fn column_of(part: &IndexElement) -> Option<String> {
    match &part.key {
        IndexKey::Column(name) => Some(name.clone()),
        IndexKey::Expression(_) => None,
    }
}

/// What an index without a name is called after: PostgreSQL takes the function's name, or `expr`.
fn part_name(key: &IndexKey) -> String {
    match key {
        IndexKey::Column(name) => name.clone(),
        IndexKey::Expression(text) => match super::verify::parse_expression(text) {
            Ok(datafusion::sql::sqlparser::ast::Expr::Function(call)) => {
                let name = call.name.0.last().and_then(|part| part.as_ident());
                name.map_or_else(|| "expr".to_owned(), |ident| ident.value.to_lowercase())
            }
            _ => "expr".to_owned(),
        },
    }
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
        Ok(Self { layout: change.layout(table).await?, index })
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

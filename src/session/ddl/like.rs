//! CREATE TABLE (LIKE …): columns of another relation, and what of its parts was asked for.

use super::Change;
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, CheckDef, ColumnId, IndexDef, TableDef, UniqueDef};
use crate::sql::{ColumnSpec, ConstraintKind, ConstraintSpec, LikeSpec, Name, SequenceOptions};
use crate::versions::IndexId;

impl Change {
    /// Adds what the clause takes to the definition. 42P01, 42809 for what has no columns.
    pub(super) fn add_like(&mut self, table: &mut TableDef, like: &LikeSpec) -> Result<()> {
        if let Some(view) = self.find_view(&like.table) {
            self.require("SELECT", "view", &view.name.name, &view.owner, &view.grants)?;
            for (name, ty) in &view.columns {
                self.add_column_def(table, &ColumnSpec::plain(name, *ty))?;
            }
            return Ok(());
        }
        let Some(source) = self.find_table(&like.table) else { return Err(self.without_columns(&like.table)) };
        self.require("SELECT", "table", &source.name.name, &source.owner, &source.grants)?;
        for column in source.live_columns() {
            let sequence = self.catalog.sequences.values().find(|s| s.owned_by == Some((source.id, column.id)));
            let options = sequence.map(|s| SequenceOptions {
                start: Some(s.start),
                increment: Some(s.increment),
                min: Some(Some(s.min)),
                max: Some(Some(s.max)),
                cycle: Some(s.cycle),
                ..SequenceOptions::default()
            });
            let spec = ColumnSpec {
                not_null: column.not_null,
                default: column.default.clone().filter(|_| like.including.defaults),
                generated: column.generated.clone().filter(|_| like.including.generated),
                domain: column.domain,
                identity: column.identity.filter(|_| like.including.identity).map(|kind| (kind, options.unwrap_or_default())),
                ..ColumnSpec::plain(&column.name, column.ty)
            };
            let id = self.add_column_def(table, &spec)?;
            if let Some(text) = source.comments.columns.get(&column.id).filter(|_| like.including.comments) {
                table.comments.columns.insert(id, text.clone());
            }
        }
        if like.including.constraints {
            for check in &source.checks {
                let id = self.catalog.ids.next();
                table.checks.push(CheckDef { id, ..check.clone() });
            }
        }
        if like.including.indexes {
            self.add_indexes(table, &source)?;
        }
        Ok(())
    }

    fn add_indexes(&self, table: &mut TableDef, source: &TableDef) -> Result<()> {
        if !source.computed_indexes.is_empty() {
            let message = "LIKE … INCLUDING INDEXES of a table with indexes over expressions or with WHERE is not supported";
            return Err(SqlError::unsupported(message, "Make the indexes with CREATE INDEX."));
        }
        let names = |ids: &[ColumnId]| -> Vec<String> {
            ids.iter().filter_map(|id| source.column_by_id(*id)).map(|column| column.name.clone()).collect()
        };
        if let Some((_, ids)) = &source.primary_key {
            let kind = ConstraintKind::PrimaryKey(names(ids));
            self.add_constraint_def(table, &ConstraintSpec { name: None, kind, timing: Default::default() })?;
        }
        for unique in &source.uniques {
            let named = names(&unique.columns);
            let end = if unique.constraint { "key" } else { "idx" };
            let name = self.free_index_name(table, &format!("{}_{}_{end}", table.name.name, named.join("_")))?;
            let columns = ids_of(table, &named);
            let mut shape = unique.shape.clone();
            shape.include = ids_of(table, &names(&unique.shape.include));
            table.uniques.push(UniqueDef { id: IndexId(self.catalog.ids.next()), name, columns, shape, ..unique.clone() });
        }
        for index in &source.indexes {
            let named = names(&index.columns);
            let name = self.free_index_name(table, &format!("{}_{}_idx", table.name.name, named.join("_")))?;
            let columns = ids_of(table, &named);
            let mut shape = index.shape.clone();
            shape.include = ids_of(table, &names(&index.shape.include));
            table.indexes.push(IndexDef { id: IndexId(self.catalog.ids.next()), name, columns, shape });
        }
        Ok(())
    }

    fn without_columns(&self, name: &Name) -> SqlError {
        match self.find(name, Catalog::has_relation) {
            Some(_) => {
                SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("relation \"{}\" is invalid in LIKE clause", name.name))
            }
            None => super::undefined("relation", name),
        }
    }
}

fn ids_of(table: &TableDef, names: &[String]) -> Vec<ColumnId> {
    names.iter().filter_map(|name| table.column(name)).map(|column| column.id).collect()
}

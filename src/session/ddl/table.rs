//! CREATE TABLE.

use std::sync::Arc;

use super::Change;
use crate::error::{Result, SqlError};
use crate::history::TableDef;
use crate::sql::{ConstraintKind, ConstraintSpec, CreateTable};
use crate::types::Qualified;
use crate::versions::TableId;

impl Change {
    pub(super) async fn create_table(&mut self, create: &CreateTable) -> Result<()> {
        let name = self.new_name(&create.name)?;
        if create.if_not_exists && self.catalog.has_relation(&name) {
            self.notice(format!("relation \"{}\" already exists, skipping", name.name));
            return Ok(());
        }
        if self.catalog.has_relation(&name) {
            return Err(crate::history::CatalogError::RelationExists(name.name).into());
        }
        self.prepare_schema(&name)?;
        let mut table = self.empty_table(name);
        table.on_commit = create.on_commit;
        for n in 0..=create.columns.len() {
            for like in create.likes.iter().filter(|like| like.at == n) {
                self.add_like(&mut table, like)?;
            }
            if let Some(column) = create.columns.get(n) {
                let column = self.resolved(column)?;
                self.add_column_def(&mut table, &column)?;
            }
        }
        // References come last: they may be to the table's own keys.
        let is_reference = |spec: &&ConstraintSpec| matches!(spec.kind, ConstraintKind::ForeignKey(_));
        for constraint in create.constraints.iter().filter(|spec| !is_reference(spec)) {
            self.add_constraint_def(&mut table, constraint)?;
        }
        for constraint in create.constraints.iter().filter(is_reference) {
            self.add_constraint_def(&mut table, constraint)?;
        }
        // A table without rows has none that could break them.
        table.foreign_keys.iter_mut().for_each(|key| key.validated = true);
        self.catalog.create_table(table.clone())?;
        self.apply()?;
        self.verify_expressions(&table).await
    }

    /// A table of this name without columns.
    fn empty_table(&self, name: Qualified) -> TableDef {
        TableDef {
            id: TableId(self.catalog.ids.next()),
            name,
            owner: self.ctx.current_user.clone(),
            columns: Vec::new(),
            primary_key: None,
            row_counter: self.catalog.ids.next(),
            uniques: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            triggers: Vec::new(),
            computed_indexes: Vec::new(),
            comments: Default::default(),
            on_commit: Default::default(),
            materialized: None,
            collection: None,
            grants: Default::default(),
        }
    }

    /// The definition with this number as the catalogue has it now.
    pub(super) fn table_now(&self, id: TableId) -> Result<Arc<TableDef>> {
        self.catalog.table_by_id(id).cloned().ok_or_else(|| SqlError::internal("a table is missing from the catalogue"))
    }
}

//! COMMENT ON: kept with the definition that it is about.

use super::{Change, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, CatalogError, SchemaDef, SequenceDef, TableDef, ViewDef};
use crate::sql::{Commented, Name, ObjectKind};

impl Change {
    pub(super) fn comment(&mut self, object: &Commented, text: Option<&str>) -> Result<()> {
        let comment = text.map(str::to_owned);
        match object {
            Commented::Relation(ObjectKind::View, name) => {
                let Some(view) = self.find_view(name) else { return Err(self.not_a(name, "view")) };
                self.require_owner("view", &view.name.name, &view.owner)?;
                Ok(self.catalog.replace_view(ViewDef { comment, ..ViewDef::clone(&view) })?)
            }
            Commented::Relation(ObjectKind::Sequence, name) => {
                let Some(sequence) = self.find_sequence(name) else { return Err(self.not_a(name, "sequence")) };
                self.require_owner("sequence", &sequence.name.name, &sequence.owner)?;
                Ok(self.catalog.replace_sequence(SequenceDef { comment, ..sequence })?)
            }
            Commented::Relation(ObjectKind::Index, name) => self.comment_index(name, comment),
            Commented::Relation(kind, name) => {
                let is_materialized = matches!(kind, ObjectKind::MaterializedView);
                let mut table = if is_materialized { self.own_materialized(name)? } else { self.own_table(name)? };
                table.comments.table = comment;
                Ok(self.catalog.replace_table(table)?)
            }
            Commented::Column(name, column) => self.comment_column(name, column, comment),
            Commented::Constraint { table, name } => {
                let mut table = self.own_table(table)?;
                if !table.has_constraint(name) {
                    let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name.name);
                    return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                }
                set(&mut table.comments.constraints, name.clone(), comment);
                Ok(self.catalog.replace_table(table)?)
            }
            Commented::Type { name, domain } => self.comment_type(name, *domain, comment),
            Commented::Routine(kind, routine) => self.comment_routine(*kind, routine, comment),
            Commented::Trigger { name, table } => self.comment_trigger(name, table, comment),
            Commented::Extension(name) => self.comment_on_extension(name, comment.as_deref()),
            Commented::Schema(name) => {
                let Some(old) = self.catalog.schemas.get(name).cloned() else {
                    return Err(CatalogError::NoSchema(name.clone()).into());
                };
                self.require_owner("schema", name, &old.owner)?;
                Ok(self.catalog.replace_schema(name, SchemaDef { comment, ..SchemaDef::clone(&old) })?)
            }
        }
    }

    fn comment_index(&mut self, name: &Name, comment: Option<String>) -> Result<()> {
        let found = self.find(name, |catalog, q| catalog.table_of_index(q).is_some());
        let table = found.as_ref().and_then(|found| self.catalog.table_of_index(found)).cloned();
        let (Some(found), Some(table)) = (found, table) else { return Err(self.not_a(name, "index")) };
        self.require_owner("index", &found.name, &table.owner)?;
        let mut table = TableDef::clone(&table);
        set(&mut table.comments.indexes, found.name, comment);
        Ok(self.catalog.replace_table(table)?)
    }

    fn comment_column(&mut self, name: &Name, column: &str, comment: Option<String>) -> Result<()> {
        let missing = |relation: &str| {
            let message = format!("column \"{column}\" of relation \"{relation}\" does not exist");
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        };
        if let Some(view) = self.find_view(name) {
            self.require_owner("view", &view.name.name, &view.owner)?;
            let mut view = ViewDef::clone(&view);
            let at = view.columns.iter().position(|(of, _)| of == column).ok_or_else(|| missing(&name.name))?;
            set(&mut view.column_comments, u16::try_from(at + 1).unwrap_or(u16::MAX), comment);
            return Ok(self.catalog.replace_view(view)?);
        }
        let mut table = self.own_table(name)?;
        let id = table.column(column).map(|c| c.id).ok_or_else(|| missing(&name.name))?;
        set(&mut table.comments.columns, id, comment);
        Ok(self.catalog.replace_table(table)?)
    }

    fn not_a(&self, name: &Name, kind: &str) -> SqlError {
        if self.find(name, Catalog::has_relation).is_some() {
            let article = if kind == "index" { "an" } else { "a" };
            return SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not {article} {kind}", name.name));
        }
        undefined("relation", name)
    }
}

fn set<K: Ord>(comments: &mut std::collections::BTreeMap<K, String>, of: K, comment: Option<String>) {
    match comment {
        Some(text) => drop(comments.insert(of, text)),
        None => drop(comments.remove(&of)),
    }
}

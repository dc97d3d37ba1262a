//! RENAME TO, SET SCHEMA and OWNER TO of views, sequences and indexes; also in the words of ALTER TABLE.

use super::{Change, quoted, quoted_name, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, SequenceDef, TableDef, ViewDef};
use crate::sql::{AlterTable, Name, ObjectKind, RelationAction};
use crate::types::Qualified;

impl Change {
    pub(super) fn alter_relation(
        &mut self,
        kind: ObjectKind,
        name: &Name,
        if_exists: bool,
        action: &RelationAction,
    ) -> Result<()> {
        if self.find(name, Catalog::has_relation).is_none() && if_exists {
            self.notice(format!("relation \"{name}\" does not exist, skipping"));
            return Ok(());
        }
        match kind {
            ObjectKind::View => self.alter_view(name, action),
            ObjectKind::Sequence => self.alter_sequence_as_relation(name, action),
            ObjectKind::Index => match action {
                RelationAction::Rename(to) => self.rename_index(name, to),
                RelationAction::SetSchema(_) => {
                    let message = format!("cannot change schema of index \"{}\"", name.name);
                    let hint = "Change the schema of the table instead.";
                    Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).hint(hint))
                }
                // An index belongs to whom its table belongs.
                RelationAction::OwnerTo(_) => Ok(()),
            },
            ObjectKind::Table
            | ObjectKind::MaterializedView
            | ObjectKind::Type
            | ObjectKind::Domain
            | ObjectKind::Schema
            | ObjectKind::Role
            | ObjectKind::Database => Err(SqlError::internal("a relation of another kind went astray")),
        }
    }

    /// ALTER TABLE of a name that is a view's, a sequence's or an index's; whether it was one.
    pub(super) fn alter_other_relation(&mut self, name: &Name, actions: &[AlterTable]) -> Result<bool> {
        let action = match actions {
            [AlterTable::RenameTable { to }] => RelationAction::Rename(to.clone()),
            [AlterTable::SetSchema { schema }] => RelationAction::SetSchema(schema.clone()),
            [AlterTable::OwnerTo { role }] => RelationAction::OwnerTo(role.clone()),
            _ => return Ok(false),
        };
        let Some(found) = self.find(name, Catalog::has_relation) else { return Ok(false) };
        let kind = if self.catalog.tables.contains_key(&found) {
            return Ok(false);
        } else if self.catalog.views.contains_key(&found) {
            ObjectKind::View
        } else if self.catalog.sequences.contains_key(&found) {
            ObjectKind::Sequence
        } else {
            ObjectKind::Index
        };
        self.alter_relation(kind, name, false, &action)?;
        Ok(true)
    }

    fn alter_view(&mut self, name: &Name, action: &RelationAction) -> Result<()> {
        if let RelationAction::Rename(to) = action {
            return self.rename_view(name, to);
        }
        let Some(view) = self.find_view(name) else {
            let exists = self.find(name, Catalog::has_relation).is_some();
            let message = format!("\"{}\" is not a view", name.name);
            return Err(if exists { SqlError::new(SqlState::WRONG_OBJECT_TYPE, message) } else { undefined("relation", name) });
        };
        self.require_owner("view", &view.name.name, &view.owner)?;
        let mut def = ViewDef::clone(&view);
        match action {
            RelationAction::SetSchema(schema) => {
                super::refuse_move(&view.name, schema)?;
                self.new_name(&Name::qualified(schema.as_str(), view.name.name.as_str()))?;
                self.follow_rename("view", &view.name, &Qualified::new(schema.as_str(), view.name.name.as_str()))?;
                schema.clone_into(&mut def.name.schema);
            }
            RelationAction::OwnerTo(role) => {
                self.require_membership(role)?;
                role.clone_into(&mut def.owner);
            }
            RelationAction::Rename(_) => {}
        }
        Ok(self.catalog.replace_view(def)?)
    }

    fn alter_sequence_as_relation(&mut self, name: &Name, action: &RelationAction) -> Result<()> {
        let Some(old) = self.find_sequence(name) else { return Err(undefined("relation", name)) };
        self.require_owner("sequence", &old.name.name, &old.owner)?;
        match action {
            RelationAction::Rename(to) => {
                if to.len() > 63 {
                    return Err(super::too_long(to));
                }
                self.move_sequence(old.clone(), Qualified::new(old.name.schema.as_str(), to.as_str()))
            }
            RelationAction::SetSchema(schema) => {
                if old.owned_by.is_some() {
                    let message = "cannot move an owned sequence into another schema";
                    return Err(
                        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).hint("Move the table: its sequences go along.")
                    );
                }
                super::refuse_move(&old.name, schema)?;
                self.new_name(&Name::qualified(schema.as_str(), old.name.name.as_str()))?;
                self.move_sequence(old.clone(), Qualified::new(schema.as_str(), old.name.name.as_str()))
            }
            RelationAction::OwnerTo(role) => {
                self.require_membership(role)?;
                Ok(self.catalog.replace_sequence(SequenceDef { owner: role.clone(), ..old })?)
            }
        }
    }

    /// Gives the sequence another name; defaults that take values from it name it anew.
    pub(super) fn move_sequence(&mut self, def: SequenceDef, to: Qualified) -> Result<()> {
        let users = self.defaults_calling(&def.name);
        let old = [def.name.to_string(), def.name.name.clone(), quoted_name(&def.name), quoted(&def.name.name)];
        let new = format!("'{}'", super::column::text_of(&to).replace('\'', "''"));
        for (table, column) in users {
            let mut table = TableDef::clone(&*self.table_now(table.id)?);
            for column in table.columns.iter_mut().filter(|c| c.name == column && !c.dropped) {
                if let Some(default) = &mut column.default {
                    for old in &old {
                        *default = default.replace(&format!("'{old}'"), &new);
                    }
                }
            }
            self.catalog.replace_table(table)?;
        }
        Ok(self.catalog.replace_sequence(SequenceDef { name: to, ..def })?)
    }

    /// 42501 for a role that the current one is no member of.
    pub(super) fn require_membership(&self, role: &str) -> Result<()> {
        if self.authority.owns(role) {
            return Ok(());
        }
        Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("must be member of role \"{role}\"")))
    }
}

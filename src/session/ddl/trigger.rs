//! CREATE, ALTER, DROP and COMMENT of triggers: parts of their tables.

use super::Change;
use crate::error::{Result, SqlError, SqlState};
use crate::history::{RoutineType, TEMPORARY, TableDef, TriggerDef};
use crate::sql::{CreateTrigger, Name};
use crate::types::Qualified;

impl Change {
    pub(super) fn create_trigger(&mut self, create: &CreateTrigger) -> Result<()> {
        if let Some(view) = self.find_view(&create.table) {
            let message = format!("\"{}\" is a view", view.name.name);
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message)
                .detail("Views cannot have row-level BEFORE or AFTER triggers."));
        }
        let mut table = self.own_table(&create.table)?;
        let function = self.trigger_function(&create.function)?;
        let mut columns = Vec::new();
        for name in create.update.iter().flatten() {
            let column = table.column(name).ok_or_else(|| {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name.name);
                SqlError::new(SqlState::UNDEFINED_COLUMN, message)
            })?;
            columns.push(column.id);
        }
        if let Some(when) = &create.when {
            check_when(create, when)?;
        }
        let old = table.triggers.iter().position(|trigger| trigger.name == create.name);
        if old.is_some() && !create.or_replace {
            return Err(exists_already(&create.name, &table));
        }
        let replaced = old.map(|at| table.triggers.remove(at));
        table.triggers.push(TriggerDef {
            id: replaced.as_ref().map_or_else(|| self.catalog.ids.next(), |old| old.id),
            name: create.name.clone(),
            timing: create.timing,
            insert: create.insert,
            update: create.update.is_some(),
            delete: create.delete,
            columns,
            row: create.row,
            when: create.when.clone(),
            function,
            arguments: create.arguments.clone(),
            disabled: false,
            comment: replaced.and_then(|old| old.comment),
        });
        table.triggers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(self.catalog.replace_table(table)?)
    }

    /// The number of a function without arguments that returns trigger. 42883, 42P17.
    fn trigger_function(&self, name: &Name) -> Result<u32> {
        let temporary = self.temporary_schema();
        let schemas: Vec<&str> = match name.schema.as_deref() {
            Some(TEMPORARY) => vec![temporary.as_str()],
            Some(schema) => vec![schema],
            None => self.ctx.search_path.iter().map(String::as_str).filter(|schema| **schema != *temporary).collect(),
        };
        let found = schemas.iter().find_map(|schema| {
            let name = Qualified::new(*schema, name.name.as_str());
            self.catalog.routine_taking(&name, &[])
        });
        let Some(def) = found else {
            return Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name}() does not exist")));
        };
        if def.returns != RoutineType::Trigger {
            let message = format!("function {} must return type trigger", def.name.name);
            return Err(SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message));
        }
        Ok(def.id)
    }

    pub(super) fn drop_trigger(&mut self, name: &str, table: &Name, if_exists: bool) -> Result<()> {
        if if_exists && self.find_table(table).is_none() {
            self.notice(format!("relation \"{table}\" does not exist, skipping"));
            return Ok(());
        }
        let table = self.own_table(table)?;
        if !table.triggers.iter().any(|trigger| trigger.name == name) {
            if if_exists {
                self.notice(format!("trigger \"{name}\" for relation \"{}\" does not exist, skipping", table.name.name));
                return Ok(());
            }
            return Err(no_trigger(name, &table));
        }
        self.remove_trigger(&table.name, name)
    }

    pub(super) fn remove_trigger(&mut self, table: &Qualified, name: &str) -> Result<()> {
        let Some(table) = self.catalog.tables.get(table) else { return Ok(()) };
        let mut table = TableDef::clone(table);
        table.triggers.retain(|trigger| trigger.name != name);
        Ok(self.catalog.replace_table(table)?)
    }

    pub(super) fn rename_trigger(&mut self, name: &str, table: &Name, to: &str) -> Result<()> {
        let mut table = self.own_table(table)?;
        if table.triggers.iter().any(|trigger| trigger.name == to) {
            return Err(exists_already(to, &table));
        }
        let missing = no_trigger(name, &table);
        let trigger = table.triggers.iter_mut().find(|trigger| trigger.name == name).ok_or(missing)?;
        to.clone_into(&mut trigger.name);
        table.triggers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(self.catalog.replace_table(table)?)
    }

    /// ENABLE and DISABLE; no name for all of them.
    pub(super) fn set_trigger(&mut self, mut table: TableDef, name: Option<&str>, enabled: bool) -> Result<()> {
        if let Some(name) = name
            && !table.triggers.iter().any(|trigger| trigger.name == name)
        {
            return Err(no_trigger(name, &table));
        }
        for trigger in &mut table.triggers {
            if name.is_none_or(|name| trigger.name == name) {
                trigger.disabled = !enabled;
            }
        }
        Ok(self.catalog.replace_table(table)?)
    }

    pub(super) fn comment_trigger(&mut self, name: &str, table: &Name, comment: Option<String>) -> Result<()> {
        let mut table = self.own_table(table)?;
        let missing = no_trigger(name, &table);
        table.triggers.iter_mut().find(|trigger| trigger.name == name).ok_or(missing)?.comment = comment;
        Ok(self.catalog.replace_table(table)?)
    }
}

/// 42P17 for a row that the event has not.
fn check_when(create: &CreateTrigger, when: &str) -> Result<()> {
    let names = |row: &str| when.to_lowercase().contains(&format!("{row}."));
    let refuse = |event: &str, row: &str| {
        let message = format!("{event} trigger's WHEN condition cannot reference {row} values");
        Err(SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message))
    };
    if create.insert && names("old") {
        return refuse("INSERT", "OLD");
    }
    if create.delete && names("new") {
        return refuse("DELETE", "NEW");
    }
    Ok(())
}

fn no_trigger(name: &str, table: &TableDef) -> SqlError {
    let message = format!("trigger \"{name}\" for table \"{}\" does not exist", table.name.name);
    SqlError::new(SqlState::UNDEFINED_OBJECT, message)
}

fn exists_already(name: &str, table: &TableDef) -> SqlError {
    let message = format!("trigger \"{name}\" for relation \"{}\" already exists", table.name.name);
    SqlError::new(SqlState::DUPLICATE_OBJECT, message)
}

/// Whether the condition of a trigger names a column of this name.
pub(super) fn names_column(trigger: &TriggerDef, name: &str) -> bool {
    let Some(when) = &trigger.when else { return false };
    let (when, name) = (when.to_lowercase(), name.to_lowercase());
    ["old", "new"].iter().any(|row| {
        let written = [format!("{row}.{name}"), format!("{row}.\"{name}\"")];
        written.iter().any(|text| {
            when.match_indices(text.as_str())
                .any(|(at, _)| !when[at + text.len()..].chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_'))
        })
    })
}

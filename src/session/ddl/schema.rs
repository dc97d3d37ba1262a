//! CREATE and RENAME SCHEMA.

use super::Change;
use crate::error::{Result, SqlError, SqlState};
use crate::history::privilege::denied;
use crate::history::{CatalogError, SchemaDef};

impl Change {
    /// A database has no grants of its own: superusers make schemas, others only by being given one.
    pub(super) fn create_schema(&mut self, name: &str, if_not_exists: bool, owner: String) -> Result<()> {
        if !self.authority.superuser {
            return Err(denied("database", self.ctx.database.name()));
        }
        if if_not_exists && self.catalog.schemas.contains_key(name) {
            self.notice(format!("schema \"{name}\" already exists, skipping"));
            return Ok(());
        }
        let id = self.catalog.ids.next();
        let def = SchemaDef { id, name: name.to_owned(), owner, comment: None, grants: Default::default() };
        Ok(self.catalog.create_schema(def)?)
    }

    pub(super) fn rename_schema(&mut self, name: &str, to: &str) -> Result<()> {
        let Some(old) = self.catalog.schemas.get(name).cloned() else {
            return Err(CatalogError::NoSchema(name.to_owned()).into());
        };
        self.require_owner("schema", name, &old.owner)?;
        let dependent = self.catalog.queries().any(|view| view.name.schema == name && !view.bound)
            || self.catalog.tables.values().flat_map(|t| t.columns.iter()).any(|c| {
                !c.dropped && c.default.as_deref().is_some_and(|d| d.contains(&format!("{name}.")) && d.contains("nextval"))
            });
        if dependent {
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("schema \"{name}\" cannot be renamed while views or defaults name it"),
            )
            .hint("Drop them first and make them again afterwards."));
        }
        self.follow_schema_rename(name, to)?;
        let def = SchemaDef { name: to.to_owned(), ..SchemaDef::clone(&old) };
        Ok(self.catalog.replace_schema(name, def)?)
    }

    pub(super) fn give_schema(&mut self, name: &str, role: &str) -> Result<()> {
        let Some(old) = self.catalog.schemas.get(name).cloned() else {
            return Err(CatalogError::NoSchema(name.to_owned()).into());
        };
        self.require_owner("schema", name, &old.owner)?;
        self.require_membership(role)?;
        Ok(self.catalog.replace_schema(name, SchemaDef { owner: role.to_owned(), ..SchemaDef::clone(&old) })?)
    }
}

//! CREATE and DROP DATABASE: never part of a transaction.

use std::sync::Arc;

use super::super::Session;
use super::super::dispatch::tag_of;
use crate::error::{Result, SqlError, SqlState};
use crate::sql::{Ddl, Name, ObjectKind};

impl Session {
    /// Databases and roles belong to the cluster: their changes take effect at once.
    pub(super) async fn define_in_cluster(&mut self, ddl: &Ddl) -> Result<&'static str> {
        let tag = tag_of(ddl);
        match ddl {
            Ddl::CreateDatabase { name, if_not_exists } => {
                self.refuse_in_block(tag)?;
                self.create_database(name, *if_not_exists).await?;
            }
            Ddl::Drop { kind: ObjectKind::Database, names, if_exists, .. } => {
                self.refuse_in_block(tag)?;
                for name in names {
                    self.drop_database(name, *if_exists).await?;
                }
            }
            _ => self.define_role(ddl).await?,
        }
        Ok(tag)
    }

    async fn create_database(&mut self, name: &str, if_not_exists: bool) -> Result<()> {
        let user = self.current_user();
        let may = self.shared.tenancy.role(&user).is_some_and(|role| role.superuser || role.create_database);
        if !may {
            return Err(super::role::permission_denied("create database"));
        }
        if name.contains('@') {
            let message = format!("database name \"{name}\" contains \"@\"");
            return Err(SqlError::new(SqlState::INVALID_NAME, message)
                .detail("What follows \"@\" in the name of a database is the time to read it at."));
        }
        if if_not_exists && self.shared.tenancy.database_def(name).is_some() {
            self.notice(format!("database \"{name}\" already exists, skipping"));
            return Ok(());
        }
        self.shared.tenancy.create_database(name, &user).await
    }

    async fn drop_database(&mut self, name: &Name, if_exists: bool) -> Result<()> {
        let name = name.name.as_str();
        let Some(def) = self.shared.tenancy.database_def(name) else {
            if if_exists {
                self.notice(format!("database \"{name}\" does not exist, skipping"));
                return Ok(());
            }
            return Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist")));
        };
        let user = self.current_user();
        if !self.shared.tenancy.authority(&user, name).owns(&def.owner) {
            return Err(crate::history::privilege::not_owner("database", name));
        }
        if name == self.database.name() {
            return Err(SqlError::new(SqlState::OBJECT_IN_USE, "cannot drop the currently open database"));
        }
        // Every session holds the database it is connected to; the tenancy and we hold one each.
        let open = self.shared.tenancy.database(name).await?;
        let in_use = Arc::strong_count(&open) > 2;
        drop(open);
        self.shared.tenancy.drop_database(name, in_use).await
    }

    pub(super) fn current_user(&self) -> String {
        let effective = self.settings.effective();
        effective.role.clone().unwrap_or_else(|| effective.session_user.clone())
    }
}

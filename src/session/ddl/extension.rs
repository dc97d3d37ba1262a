//! CREATE, ALTER and DROP EXTENSION: what an extension brings is built in, so only its name comes and goes.

use super::Change;
use crate::error::{Result, SqlError, SqlState};
use crate::history::privilege::denied;
use crate::history::{CatalogError, ExtensionDef};
use crate::plan::catalog::extension::{self, Available};
use crate::sql::CreateExtension;

impl Change {
    /// 42501 for all but superusers, 0A000 for one that is not built in.
    pub(super) fn create_extension(&mut self, create: &CreateExtension) -> Result<()> {
        let found = available(&create.name)?;
        if found.built_in || self.catalog.extensions.contains_key(found.name) {
            let message = format!("extension \"{}\" already exists", found.name);
            if !create.if_not_exists {
                return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
            }
            self.notice(format!("{message}, skipping"));
            return Ok(());
        }
        self.require_superuser(found)?;
        check_version(found, create.version.as_deref())?;
        let schema = match &create.schema {
            Some(schema) => schema.clone(),
            None => {
                let path = self.ctx.search_path.iter().find(|schema| self.catalog.schemas.contains_key(*schema));
                path.cloned()
                    .ok_or_else(|| SqlError::new(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in"))?
            }
        };
        if !self.catalog.schemas.contains_key(&schema) {
            return Err(CatalogError::NoSchema(schema).into());
        }
        self.catalog.put_extension(ExtensionDef {
            id: self.catalog.ids.next(),
            name: found.name.to_owned(),
            schema,
            owner: self.ctx.current_user.clone(),
            version: found.version.to_owned(),
            comment: Some(found.comment.to_owned()),
        });
        Ok(())
    }

    /// There is one version of each: the newest.
    pub(super) fn update_extension(&mut self, name: &str, version: Option<&str>) -> Result<()> {
        let found = available(name).ok().filter(|found| found.built_in || self.catalog.extensions.contains_key(found.name));
        let found = found.ok_or_else(|| missing(name))?;
        self.require_superuser(found)?;
        check_version(found, version)?;
        self.notice(format!("version \"{}\" of extension \"{name}\" is already installed", found.version));
        Ok(())
    }

    pub(super) fn drop_extensions(&mut self, names: &[String], if_exists: bool) -> Result<()> {
        for name in names {
            if let Some(found) = available(name).ok().filter(|found| found.built_in) {
                let message = format!("cannot drop extension {} because it is required by the database system", found.name);
                return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message));
            }
            match self.catalog.extensions.get(name).cloned() {
                Some(def) => self.require_owner("extension", name, &def.owner)?,
                None if if_exists => {
                    self.notice(format!("extension \"{name}\" does not exist, skipping"));
                    continue;
                }
                None => return Err(missing(name)),
            }
            self.catalog.drop_extension(name);
        }
        Ok(())
    }

    pub(super) fn comment_on_extension(&mut self, name: &str, text: Option<&str>) -> Result<()> {
        let Some(def) = self.catalog.extensions.get(name).cloned() else {
            // The comment of one that is always there is its own.
            return if available(name).is_ok_and(|found| found.built_in) { Ok(()) } else { Err(missing(name)) };
        };
        self.require_owner("extension", name, &def.owner)?;
        self.catalog.put_extension(ExtensionDef { comment: text.map(str::to_owned), ..ExtensionDef::clone(&def) });
        Ok(())
    }

    fn require_superuser(&self, extension: &Available) -> Result<()> {
        match self.authority.superuser {
            true => Ok(()),
            false => Err(denied("extension", extension.name)),
        }
    }
}

fn available(name: &str) -> Result<&'static Available> {
    extension::available(name).ok_or_else(|| {
        let names: Vec<&str> = extension::AVAILABLE.iter().map(|extension| extension.name).collect();
        SqlError::unsupported(
            format!("extension \"{name}\" is not available"),
            format!("Extensions that are built in: {}.", names.join(", ")),
        )
    })
}

fn check_version(extension: &Available, version: Option<&str>) -> Result<()> {
    match version.filter(|version| *version != extension.version) {
        None => Ok(()),
        Some(version) => {
            let message = format!("extension \"{}\" has no installation script for version \"{version}\"", extension.name);
            Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .hint(format!("There is version {}.", extension.version)))
        }
    }
}

fn missing(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("extension \"{name}\" does not exist"))
}

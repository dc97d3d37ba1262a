//! GRANT and REVOKE on tables, sequences and schemas of the database.

use std::collections::BTreeSet;

use super::{Change, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, CatalogError, Grants, SchemaDef, SequenceDef, TableDef, ViewDef};
use crate::sql::{Grant, GrantObjects, Name};
use crate::types::Qualified;

const OF_TABLES: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
const OF_SEQUENCES: &[&str] = &["USAGE", "SELECT", "UPDATE"];
const OF_SCHEMAS: &[&str] = &["CREATE", "USAGE"];

/// One statement's effect on the grants of one object.
struct Edit<'a> {
    grant: bool,
    roles: &'a [String],
    privileges: Vec<String>,
}

impl Edit<'_> {
    fn apply(&self, grants: &mut Grants) {
        for role in self.roles {
            let mut held: BTreeSet<String> = grants.remove(role).unwrap_or_default().into_iter().collect();
            for privilege in &self.privileges {
                if self.grant {
                    held.insert(privilege.clone());
                } else {
                    held.remove(privilege);
                }
            }
            if !held.is_empty() {
                grants.insert(role.clone(), held.into_iter().collect());
            }
        }
    }
}

impl Change {
    pub(super) fn grant(&mut self, statement: &Grant, grant: bool) -> Result<()> {
        let edit = |known: &[&str], kind: &str| -> Result<Edit<'_>> {
            Ok(Edit { grant, roles: &statement.roles, privileges: privileges(&statement.privileges, known, kind)? })
        };
        match &statement.objects {
            GrantObjects::Tables(names) => {
                let edit = edit(OF_TABLES, "relation")?;
                names.iter().try_for_each(|name| self.grant_relation(name, &edit))
            }
            GrantObjects::AllTablesIn(schemas) => {
                let edit = edit(OF_TABLES, "relation")?;
                let names =
                    self.inside(schemas, |catalog| catalog.tables.keys().chain(catalog.views.keys()).cloned().collect())?;
                names.iter().try_for_each(|name| self.grant_relation(name, &edit))
            }
            GrantObjects::Sequences(names) => {
                let edit = edit(OF_SEQUENCES, "sequence")?;
                names.iter().try_for_each(|name| self.grant_sequence(name, &edit))
            }
            GrantObjects::AllSequencesIn(schemas) => {
                let edit = edit(OF_SEQUENCES, "sequence")?;
                let names = self.inside(schemas, |catalog| catalog.sequences.keys().cloned().collect())?;
                names.iter().try_for_each(|name| self.grant_sequence(name, &edit))
            }
            GrantObjects::Schemas(names) => {
                let edit = edit(OF_SCHEMAS, "schema")?;
                names.iter().try_for_each(|name| self.grant_schema(name, &edit))
            }
            GrantObjects::Databases(_) => Err(SqlError::unsupported(
                "privileges on databases are not supported",
                "Every role that may log in may connect; grant privileges on schemas and tables.",
            )),
            GrantObjects::Roles(_) => Err(SqlError::internal("a grant of roles went astray")),
        }
    }

    fn inside(&self, schemas: &[String], names: impl Fn(&Catalog) -> Vec<Qualified>) -> Result<Vec<Name>> {
        if let Some(missing) = schemas.iter().find(|schema| !self.catalog.schemas.contains_key(*schema)) {
            return Err(CatalogError::NoSchema(missing.clone()).into());
        }
        let all = names(&self.catalog).into_iter().filter(|name| schemas.contains(&name.schema));
        Ok(all.map(|name| Name::qualified(name.schema, name.name)).collect())
    }

    fn grant_relation(&mut self, name: &Name, edit: &Edit<'_>) -> Result<()> {
        if let Some(table) = self.find_table(name) {
            self.require_owner("table", &table.name.name, &table.owner)?;
            let mut def = TableDef::clone(&table);
            edit.apply(&mut def.grants);
            return Ok(self.catalog.replace_table(def)?);
        }
        if let Some(view) = self.find_view(name) {
            self.require_owner("view", &view.name.name, &view.owner)?;
            let mut def = ViewDef::clone(&view);
            edit.apply(&mut def.grants);
            return Ok(self.catalog.replace_view(def)?);
        }
        if self.find_sequence(name).is_some() {
            return self.grant_sequence(name, edit);
        }
        Err(undefined("relation", name))
    }

    fn grant_sequence(&mut self, name: &Name, edit: &Edit<'_>) -> Result<()> {
        let Some(mut def): Option<SequenceDef> = self.find_sequence(name) else { return Err(undefined("relation", name)) };
        self.require_owner("sequence", &def.name.name, &def.owner)?;
        edit.apply(&mut def.grants);
        Ok(self.catalog.replace_sequence(def)?)
    }

    fn grant_schema(&mut self, name: &str, edit: &Edit<'_>) -> Result<()> {
        let Some(schema) = self.catalog.schemas.get(name).cloned() else {
            return Err(CatalogError::NoSchema(name.to_owned()).into());
        };
        self.require_owner("schema", name, &schema.owner)?;
        let mut def = SchemaDef::clone(&schema);
        edit.apply(&mut def.grants);
        Ok(self.catalog.replace_schema(name, def)?)
    }
}

/// ALL is every privilege of the kind; one that the kind does not have is 0LP01.
fn privileges(written: &[String], known: &[&str], kind: &str) -> Result<Vec<String>> {
    if written.iter().any(|p| p == "ALL") {
        return Ok(known.iter().map(|p| (*p).to_owned()).collect());
    }
    match written.iter().find(|p| !known.contains(&p.as_str())) {
        Some(unknown) => {
            let message = format!("invalid privilege type {unknown} for {kind}");
            Err(SqlError::new(SqlState::INVALID_GRANT_OPERATION, message))
        }
        None => Ok(written.to_vec()),
    }
}

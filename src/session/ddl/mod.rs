//! Changes of definitions: what each clause means, who may make it, and what it must find true of the data.
//!
//! Every change is made on a copy of the transaction's catalogue, which becomes the transaction's when the
//! statement has succeeded. Nothing here commits.

mod alter;
mod column;
mod comment;
mod create_as;
mod database;
mod domain;
mod drop;
mod extension;
mod foreign_key;
mod grant;
mod identity;
mod index;
mod index_method;
mod like;
mod materialized;
mod member_index;
mod rekey;
mod relation;
mod relations;
mod retype;
mod role;
mod routine;
mod schema;
mod sequence;
mod table;
mod trigger;
mod truncate;
mod types;
pub(super) mod user_type;
mod verify;
mod view;

use std::sync::Arc;

use super::dispatch::tag_of;
use super::roles::authority;
use super::{Reply, Session};
use crate::error::{Result, SqlError, SqlState};
use crate::history::privilege::{denied, not_owner};
use crate::history::{Authority, Catalog, Grants, PUBLIC, SchemaDef, TEMPORARY, TableDef, is_temporary_schema};
use crate::plan::{Engine, Notices, StatementContext};
use crate::sql::{Ddl, GrantObjects, Name, ObjectKind};
use crate::types::Qualified;

/// One statement at work on the catalogue.
struct Change {
    ctx: StatementContext,
    engine: Arc<Engine>,
    authority: Authority,
    catalog: Catalog,
}

impl Session {
    pub(super) async fn define(&mut self, ddl: &Ddl) -> Result<Reply> {
        let named = ddl.with_roles(&self.current_user(), &self.settings.effective().session_user);
        let ddl = named.as_ref().unwrap_or(ddl);
        let tag = match ddl {
            Ddl::CreateTableAs(create) => return self.create_table_as(create).await,
            Ddl::CreateMaterializedView { create, query_text } => return self.create_materialized_view(create, query_text).await,
            Ddl::Refresh { name, concurrently, with_data } => return self.refresh(name, *concurrently, *with_data).await,
            Ddl::CreateDatabase { .. }
            | Ddl::Drop { kind: ObjectKind::Database, .. }
            | Ddl::Drop { kind: ObjectKind::Role, .. }
            | Ddl::CreateRole { .. }
            | Ddl::AlterRole { .. }
            | Ddl::AlterRoleSet { .. } => self.define_in_cluster(ddl).await?,
            Ddl::Grant(grant) | Ddl::Revoke(grant) if matches!(grant.objects, GrantObjects::Roles(_)) => {
                self.define_in_cluster(ddl).await?
            }
            _ => return self.define_in_database(ddl).await.map(Reply::Command),
        };
        Ok(Reply::Command(tag.to_owned()))
    }

    async fn define_in_database(&mut self, ddl: &Ddl) -> Result<String> {
        let mut change = self.change().await?;
        match ddl {
            Ddl::CreateTable(create) => Box::pin(change.create_table(create)).await?,
            Ddl::AlterTable { name, if_exists, actions } => Box::pin(change.alter_table(name, *if_exists, actions)).await?,
            Ddl::Drop { kind, names, if_exists, cascade } => Box::pin(change.drop(*kind, names, *if_exists, *cascade)).await?,
            Ddl::Truncate { tables, restart_identity, cascade } => change.truncate(tables, *restart_identity, *cascade).await?,
            Ddl::CreateIndex(create) => Box::pin(change.create_index(create)).await?,
            Ddl::CreateSchema { name, if_not_exists, owner } => {
                let owner = owner.clone().unwrap_or_else(|| change.ctx.current_user.clone());
                self.require_role(&owner)?;
                change.create_schema(name, *if_not_exists, owner)?;
            }
            Ddl::CreateView { name, or_replace, columns, query_text, query, check_option } => {
                let texts = view::NewView { columns, query_text, query, check_option: *check_option };
                change.create_view(name, *or_replace, texts).await?;
            }
            Ddl::CreateEnum { name, labels } => change.create_enum(name, labels)?,
            Ddl::CreateComposite { name, fields } => change.create_composite(name, fields)?,
            Ddl::CreateDomain(create) => Box::pin(change.create_domain(create)).await?,
            Ddl::AlterType { name, domain, action } => Box::pin(change.alter_type(name, *domain, action)).await?,
            Ddl::CreateSequence { name, if_not_exists, options } => change.create_sequence(name, *if_not_exists, options)?,
            Ddl::AlterSequence { name, if_exists, options } => change.alter_sequence(name, *if_exists, options).await?,
            Ddl::Grant(grant) | Ddl::Revoke(grant) => {
                grant.roles.iter().filter(|role| *role != crate::history::PUBLIC).try_for_each(|role| self.require_role(role))?;
                change.grant(grant, matches!(ddl, Ddl::Grant(_)))?;
            }
            Ddl::AlterRelation { kind: ObjectKind::MaterializedView, name, if_exists, action } => {
                if !*if_exists || change.find(name, Catalog::has_relation).is_some() {
                    Box::pin(change.alter_materialized_view(name, action)).await?;
                } else {
                    change.notice(format!("relation \"{name}\" does not exist, skipping"));
                }
            }
            Ddl::AlterRelation { kind, name, if_exists, action } => change.alter_relation(*kind, name, *if_exists, action)?,
            Ddl::RenameSchema { name, to } => change.rename_schema(name, to)?,
            Ddl::SchemaOwner { name, role } => change.give_schema(name, role)?,
            Ddl::CreateRoutine(create) => Box::pin(change.create_routine(create)).await?,
            Ddl::DropRoutine { kind, routines, if_exists, cascade } => {
                change.drop_routines(*kind, routines, *if_exists, *cascade)?;
            }
            Ddl::AlterRoutine { kind, routine, action } => change.alter_routine(*kind, routine, action)?,
            Ddl::CreateTrigger(create) => change.create_trigger(create)?,
            Ddl::DropTrigger { name, table, if_exists, .. } => change.drop_trigger(name, table, *if_exists)?,
            Ddl::RenameTrigger { name, table, to } => change.rename_trigger(name, table, to)?,
            Ddl::CreateExtension(create) => change.create_extension(create)?,
            Ddl::UpdateExtension { name, version } => change.update_extension(name, version.as_deref())?,
            Ddl::DropExtension { names, if_exists } => change.drop_extensions(names, *if_exists)?,
            Ddl::Comment { object, text } => change.comment(object, text.as_deref())?,
            Ddl::CreateTableAs(_)
            | Ddl::CreateMaterializedView { .. }
            | Ddl::Refresh { .. }
            | Ddl::CreateRole { .. }
            | Ddl::AlterRole { .. }
            | Ddl::AlterRoleSet { .. }
            | Ddl::CreateDatabase { .. } => {
                return Err(SqlError::internal("a statement of another kind went astray"));
            }
        }
        change.apply()?;
        Ok(tag_of(ddl).to_owned())
    }

    /// Drops temporary tables, and with them what depends on them, without a word.
    pub(super) async fn drop_tables(&mut self, tables: &[Qualified]) -> Result<()> {
        let ctx = self.context().await?;
        let catalog = Catalog::clone(&ctx.transaction.lock().catalog);
        let authority = Authority { superuser: true, ..authority(&self.shared.tenancy, ctx.database.name(), &ctx.current_user) };
        let ctx = StatementContext { notices: Notices::default(), ..ctx };
        let mut change = Change { ctx, engine: Arc::clone(&self.shared.engine), authority, catalog };
        let names: Vec<Name> = tables.iter().map(|name| Name::qualified(name.schema.as_str(), name.name.as_str())).collect();
        change.drop(ObjectKind::Table, &names, true, true).await?;
        change.apply()
    }

    /// 42704 `role "x" does not exist`.
    pub(super) fn require_role(&self, name: &str) -> Result<()> {
        match self.shared.tenancy.role(name) {
            Some(_) => Ok(()),
            None => Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))),
        }
    }
}

impl Change {
    /// Makes the changed catalogue the transaction's, so that queries from here on see it.
    fn apply(&self) -> Result<()> {
        self.ctx.transaction.lock().apply_catalog(self.catalog.clone())?;
        Ok(())
    }

    fn notice(&self, message: impl Into<String>) {
        self.ctx.notices.push(SqlError::notice(message));
    }

    /// The full name of something new: in the schema that was written, else in the first one of the search path that
    /// is not the temporary one.
    fn new_name(&self, name: &Name) -> Result<Qualified> {
        let temporary = self.temporary_schema();
        let schema = match &name.schema {
            Some(schema) if schema == TEMPORARY => temporary.as_str(),
            Some(schema) => schema.as_str(),
            None => self
                .ctx
                .search_path
                .iter()
                .map(String::as_str)
                .find(|s| *s != "pg_catalog" && *s != temporary)
                .ok_or_else(|| SqlError::new(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in"))?,
        };
        if name.name.len() > 63 {
            return Err(too_long(&name.name));
        }
        if let Some(def) = self.catalog.schemas.get(schema) {
            self.require("CREATE", "schema", schema, &def.owner, &def.grants)?;
        }
        Ok(Qualified::new(schema, name.name.as_str()))
    }

    /// What the session's schema of temporary relations is called.
    fn temporary_schema(&self) -> String {
        format!("{TEMPORARY}_{}", self.ctx.backend_pid)
    }

    /// Makes that schema when something is about to be made in it.
    fn prepare_schema(&mut self, name: &Qualified) -> Result<()> {
        if name.schema != self.temporary_schema() || self.catalog.schemas.contains_key(&name.schema) {
            return Ok(());
        }
        let def = SchemaDef {
            id: self.catalog.ids.next(),
            name: name.schema.clone(),
            owner: self.ctx.current_user.clone(),
            comment: None,
            grants: [(PUBLIC.to_owned(), vec!["CREATE".to_owned(), "USAGE".to_owned()])].into(),
        };
        Ok(self.catalog.create_temporary_schema(def)?)
    }

    fn require(&self, privilege: &str, kind: &str, name: &str, owner: &str, grants: &Grants) -> Result<()> {
        if self.authority.may(privilege, grants, owner) { Ok(()) } else { Err(denied(kind, name)) }
    }

    fn require_owner(&self, kind: &str, name: &str, owner: &str) -> Result<()> {
        if self.authority.owns(owner) { Ok(()) } else { Err(not_owner(kind, name)) }
    }

    /// Where a name leads, for the kinds of relation that `exists` looks for.
    fn find(&self, name: &Name, exists: impl Fn(&Catalog, &Qualified) -> bool) -> Option<Qualified> {
        let in_schema = |schema: &str| Some(Qualified::new(schema, name.name.as_str())).filter(|q| exists(&self.catalog, q));
        match &name.schema {
            Some(schema) if schema == TEMPORARY => in_schema(&self.temporary_schema()),
            Some(schema) => in_schema(schema),
            None => self.ctx.search_path.iter().find_map(|schema| in_schema(schema)),
        }
    }

    fn find_table(&self, name: &Name) -> Option<Arc<TableDef>> {
        let found = self.find(name, |catalog, q| catalog.tables.contains_key(q))?;
        self.catalog.tables.get(&found).cloned()
    }

    /// The table of this name, owned by the current role: 42P01 `relation "t" does not exist`, 42809 for a
    /// relation that is no table, 42501.
    fn own_table(&self, name: &Name) -> Result<TableDef> {
        let table = self.own_table_or_collection(name)?;
        table.check_definable()?;
        Ok(table)
    }

    fn own_table_or_collection(&self, name: &Name) -> Result<TableDef> {
        let Some(table) = self.find_table(name) else { return Err(self.not_a_table(name)) };
        self.require_owner("table", &table.name.name, &table.owner)?;
        materialized::refuse_materialized(&table)?;
        Ok(TableDef::clone(&table))
    }

    fn not_a_table(&self, name: &Name) -> SqlError {
        if self.find(name, Catalog::has_relation).is_some() {
            return SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", name.name));
        }
        undefined("relation", name)
    }
}

/// 42P01 `table "t" does not exist`.
fn undefined(kind: &str, name: &Name) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_TABLE, format!("{kind} \"{name}\" does not exist"))
}

/// 0A000 for a relation that would become temporary or cease to be.
fn refuse_move(name: &Qualified, schema: &str) -> Result<()> {
    if is_temporary_schema(&name.schema) || is_temporary_schema(schema) || schema == TEMPORARY {
        let message = "cannot move objects into or out of temporary schemas";
        return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    }
    Ok(())
}

fn too_long(name: &str) -> SqlError {
    SqlError::new(SqlState::NAME_TOO_LONG, format!("identifier \"{name}\" is too long")).detail("A name has at most 63 bytes.")
}

/// An identifier as SQL text must write it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A relation's full name as SQL text must write it.
pub(super) fn quoted_name(name: &Qualified) -> String {
    format!("{}.{}", quoted(&name.schema), quoted(&name.name))
}

/// A text as an SQL literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

//! DROP TABLE, VIEW, INDEX, SEQUENCE and SCHEMA, with what depends on them.

use std::sync::Arc;

use super::materialized::refuse_materialized;
use super::{Change, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, CatalogError, TableDef, ViewDef};
use crate::sql::{Name, ObjectKind};
use crate::types::{PgType, Qualified};

impl Change {
    pub(super) async fn drop(&mut self, kind: ObjectKind, names: &[Name], if_exists: bool, cascade: bool) -> Result<()> {
        // Objects of one list may depend on each other.
        let together: Vec<Qualified> = names.iter().filter_map(|name| self.find(name, Catalog::has_relation)).collect();
        for name in names {
            match kind {
                ObjectKind::Table => self.drop_table(name, if_exists, cascade, &together)?,
                ObjectKind::View => self.drop_view(name, if_exists, cascade, &together)?,
                ObjectKind::MaterializedView => self.drop_materialized_view(name, if_exists, cascade)?,
                ObjectKind::Index => self.drop_index(name, if_exists, cascade)?,
                ObjectKind::Sequence => self.drop_sequence(name, if_exists, cascade)?,
                ObjectKind::Schema => Box::pin(self.drop_schema(&name.name, if_exists, cascade)).await?,
                ObjectKind::Type | ObjectKind::Domain => {
                    Box::pin(self.drop_user_type(name, kind == ObjectKind::Domain, if_exists, cascade)).await?;
                }
                ObjectKind::Role | ObjectKind::Database => {
                    return Err(SqlError::internal("a statement about the cluster went astray"));
                }
            }
        }
        Ok(())
    }

    /// IF EXISTS says so in a NOTICE; otherwise it is the error, 42809 when the name is another kind of relation's.
    pub(super) fn missing(&self, kind: &'static str, name: &Name, if_exists: bool) -> Result<()> {
        if let Some(schema) = name.schema.as_ref().filter(|s| !self.catalog.schemas.contains_key(*s)) {
            if if_exists {
                self.notice(format!("schema \"{schema}\" does not exist, skipping"));
                return Ok(());
            }
            return Err(CatalogError::NoSchema(schema.clone()).into());
        }
        if self.find(name, Catalog::has_relation).is_some() {
            let article = if kind == "index" { "an" } else { "a" };
            let message = format!("\"{}\" is not {article} {kind}", name.name);
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        if if_exists {
            self.notice(format!("{kind} \"{name}\" does not exist, skipping"));
            return Ok(());
        }
        Err(match kind {
            "index" => SqlError::new(SqlState::UNDEFINED_OBJECT, format!("index \"{name}\" does not exist")),
            kind => undefined(kind, name),
        })
    }

    /// A name that no type of a user's has: it is nobody's, or PostgreSQL's, or a relation's.
    pub(super) fn drop_other_type(&self, name: &Name, if_exists: bool) -> Result<()> {
        let needed = |message: String| SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
        let plain = name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
        if let Some(ty) = PgType::from_internal_name(&name.name).filter(|_| plain) {
            let message = format!("cannot drop type {} because it is required by the database system", ty.sql_name());
            return Err(needed(message));
        }
        if let Some(relation) = self.find(name, Catalog::has_relation) {
            let relation = relation.name;
            return Err(needed(format!("cannot drop type {relation} because table {relation} requires it"))
                .hint(format!("You can drop table {relation} instead.")));
        }
        if if_exists {
            self.notice(format!("type \"{name}\" does not exist, skipping"));
            return Ok(());
        }
        Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist")))
    }

    fn drop_table(&mut self, name: &Name, if_exists: bool, cascade: bool, together: &[Qualified]) -> Result<()> {
        let Some(table) = self.find_table(name) else { return self.missing("table", name, if_exists) };
        self.require_owner("table", &table.name.name, &table.owner)?;
        table.check_definable()?;
        refuse_materialized(&table)?;
        // A table named later in the list may refer to one before it.
        let needing = self.referring(&table, |child, _| !together.contains(&child.name));
        self.drop_dependents("table", &table.name, needing, cascade, together)?;
        self.drop_routines_of_rows(&table.name, table.id.0, cascade)?;
        self.catalog.drop_foreign_keys_to(table.id, |_| true);
        self.catalog.drop_table(&table.name)?;
        Ok(())
    }

    fn drop_view(&mut self, name: &Name, if_exists: bool, cascade: bool, together: &[Qualified]) -> Result<()> {
        let Some(view) = self.find_view(name) else { return self.missing("view", name, if_exists) };
        self.require_owner("view", &view.name.name, &view.owner)?;
        self.drop_dependents("view", &view.name, Vec::new(), cascade, together)?;
        self.drop_routines_of_rows(&view.name, view.id, cascade)?;
        // A view named later in the list may have gone with one before it.
        self.catalog.drop_view(&view.name)?;
        Ok(())
    }

    /// Views over the relation and what else needs it (`needing`): 2BP01, or with CASCADE the views go.
    pub(super) fn drop_dependents(
        &mut self,
        kind: &str,
        name: &Qualified,
        mut needing: Vec<String>,
        cascade: bool,
        together: &[Qualified],
    ) -> Result<()> {
        let dependents: Vec<Arc<ViewDef>> =
            self.dependents_of(name).into_iter().filter(|view| !together.contains(&view.name)).collect();
        let of = format!("{kind} {}", name.name);
        needing.extend(dependents.iter().map(|view| format!("{} {}", self.kind_of(view), view.name.name)));
        let lines = needing.iter().map(|what| format!("{what} depends on {of}")).collect();
        self.cascade(&of, lines, needing, cascade)?;
        for view in dependents {
            self.catalog.drop_view(&view.name)?;
        }
        Ok(())
    }

    fn kind_of(&self, view: &ViewDef) -> &'static str {
        if self.catalog.views.contains_key(&view.name) { "view" } else { "materialized view" }
    }

    /// 2BP01 with one line per dependent, or with CASCADE a NOTICE of what goes along.
    pub(super) fn cascade(&self, object: &str, lines: Vec<String>, dropped: Vec<String>, cascade: bool) -> Result<()> {
        if !cascade && !lines.is_empty() {
            return Err(CatalogError::Needed { object: object.to_owned(), detail: lines.join("\n") }.into());
        }
        match dropped.as_slice() {
            [] => {}
            [one] => self.notice(format!("drop cascades to {one}")),
            many => {
                let detail = many.iter().map(|what| format!("drop cascades to {what}")).collect::<Vec<_>>().join("\n");
                let message = format!("drop cascades to {} other objects", many.len());
                self.ctx.notices.push(SqlError::notice(message).detail(detail));
            }
        }
        Ok(())
    }

    fn drop_index(&mut self, name: &Name, if_exists: bool, cascade: bool) -> Result<()> {
        let found = self.find(name, |catalog, q| catalog.table_of_index(q).is_some());
        let Some(found) = found else { return self.missing("index", name, if_exists) };
        if let Some(table) = self.catalog.table_of_index(&found).cloned() {
            self.require_owner("index", &found.name, &table.owner)?;
            if let Some(unique) = table.uniques.iter().find(|u| !u.constraint && u.name == found.name) {
                let mut def = TableDef::clone(&table);
                self.release_key(&mut def, &format!("index {}", found.name), &found.name, Some(unique.id), cascade)?;
                self.catalog.replace_table(def)?;
            }
        }
        self.catalog.drop_index(&found)?;
        Ok(())
    }

    fn drop_sequence(&mut self, name: &Name, if_exists: bool, cascade: bool) -> Result<()> {
        let Some(sequence) = self.find_sequence(name) else { return self.missing("sequence", name, if_exists) };
        self.require_owner("sequence", &sequence.name.name, &sequence.owner)?;
        let users = self.defaults_calling(&sequence.name);
        let of = format!("sequence {}", sequence.name.name);
        let described =
            |(table, column): &(Arc<TableDef>, String)| format!("default value for column {column} of table {}", table.name.name);
        let lines = users.iter().map(|user| format!("{} depends on {of}", described(user))).collect();
        // An identity column's sequence never goes without its column; the catalogue refuses that below.
        self.cascade(&of, lines, users.iter().map(described).collect(), cascade)?;
        self.catalog.drop_sequence(&sequence.name)?;
        for (table, column) in users {
            let mut def = TableDef::clone(&*self.table_now(table.id)?);
            def.columns.iter_mut().filter(|c| c.name == column && !c.dropped).for_each(|c| c.default = None);
            self.catalog.replace_table(def)?;
        }
        Ok(())
    }

    /// Columns, identity columns aside, whose default takes its value from this sequence.
    pub(super) fn defaults_calling(&self, sequence: &Qualified) -> Vec<(Arc<TableDef>, String)> {
        let calls = |default: &str| {
            let plain = [format!("'{sequence}'"), format!("'{}'", sequence.name)];
            let written = [super::quoted_name(sequence), super::quoted(&sequence.name)].map(|name| format!("'{name}'"));
            default.to_lowercase().contains("nextval") && plain.iter().chain(&written).any(|name| default.contains(name.as_str()))
        };
        let mut found = Vec::new();
        for table in self.catalog.tables.values() {
            for column in table.live_columns() {
                if column.identity.is_none() && column.default.as_deref().is_some_and(calls) {
                    found.push((Arc::clone(table), column.name.clone()));
                }
            }
        }
        found
    }

    async fn drop_schema(&mut self, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let Some(schema) = self.catalog.schemas.get(name).cloned() else {
            if if_exists {
                self.notice(format!("schema \"{name}\" does not exist, skipping"));
                return Ok(());
            }
            return Err(CatalogError::NoSchema(name.to_owned()).into());
        };
        self.require_owner("schema", name, &schema.owner)?;
        if cascade {
            self.drop_inside(name)?;
            self.drop_types_inside(name).await?;
        }
        Ok(self.catalog.drop_schema(name, cascade)?)
    }

    /// Views elsewhere that read what is inside go along; what is inside goes with the schema.
    fn drop_inside(&mut self, schema: &str) -> Result<()> {
        let inside = |name: &&Qualified| name.schema == schema;
        let tables = self.catalog.tables.keys().filter(inside).map(|name| ("table", name.clone()));
        let views = self.catalog.views.keys().filter(inside).map(|name| ("view", name.clone()));
        let sequences = self.catalog.sequences.values().filter(|s| s.name.schema == schema && s.owned_by.is_none());
        let types = self.catalog.live_types().filter(|def| inside(&&def.name)).map(|def| ("type", def.name.clone()));
        let objects: Vec<(&str, Qualified)> =
            types.chain(tables).chain(views).chain(sequences.map(|s| ("sequence", s.name.clone()))).collect();
        let mut outside: Vec<Arc<ViewDef>> = Vec::new();
        for (_, name) in &objects {
            for view in self.dependents_of(name) {
                if view.name.schema != schema && !outside.iter().any(|v| v.id == view.id) {
                    outside.push(view);
                }
            }
        }
        let mut dropped: Vec<String> = objects.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
        for (_, name) in &objects {
            if let Some(table) = self.catalog.tables.get(name) {
                dropped.extend(self.referring(table, |child, _| child.name.schema != schema));
            }
        }
        dropped.extend(outside.iter().map(|view| format!("view {}", view.name.name)));
        self.cascade(&format!("schema {schema}"), Vec::new(), dropped, true)?;
        outside.iter().try_for_each(|view| self.catalog.drop_view(&view.name).map(drop))?;
        self.drop_routines_inside(schema)
    }
}

//! Materialized views: tables whose rows are what a query gave when they were last refreshed.
//!
//! Each refresh is a commit like any other, so the rows of every earlier one can be read as of their time.

use std::sync::Arc;

use super::super::roles::authority;
use super::super::{Reply, Session};
use super::{Change, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, MaterializedDef, TableDef};
use crate::sql::{AlterTable, CreateTableAs, Name, RelationAction, Statement};

impl Session {
    pub(super) async fn create_materialized_view(&mut self, create: &CreateTableAs, query_text: &str) -> Result<Reply> {
        let change = self.change().await?;
        if create.if_not_exists && change.catalog.has_relation(&change.new_name(&create.name)?) {
            change.notice(format!("relation \"{}\" already exists, skipping", create.name.name));
            return Ok(Reply::Command("CREATE MATERIALIZED VIEW".to_owned()));
        }
        let made = self.table_of_query(create).await?;
        let name = made.name.clone();
        let reply = match create.with_data {
            true => self.fill(&name, made.source.clone()).await?,
            false => Reply::Command("CREATE MATERIALIZED VIEW".to_owned()),
        };
        let mut change = self.change().await?;
        let Some(table) = change.catalog.tables.get(&name) else { return Err(SqlError::internal("a new table is not there")) };
        let mut table = TableDef::clone(table);
        if table.is_temporary() {
            let message = "materialized views must not use temporary tables or views";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        let outputs: Vec<_> = table.live_columns().map(|column| (column.name.clone(), column.ty)).collect();
        let (query, bound) = match change.bound_text(&made.source, &outputs).await {
            Some(text) => (text, true),
            None => (query_text.to_owned(), false),
        };
        table.materialized = Some(MaterializedDef { query, bound, populated: create.with_data });
        change.catalog.replace_table(table)?;
        change.apply()?;
        Ok(reply)
    }

    /// Takes all rows away and, unless told otherwise, puts those in that the query has now. Readers of other transactions
    /// keep the old ones until the commit, so CONCURRENTLY asks for nothing more than it does anyway.
    pub(super) async fn refresh(&mut self, name: &Name, concurrently: bool, with_data: bool) -> Result<Reply> {
        let mut change = self.change().await?;
        let table = change.own_materialized(name)?;
        let Some(materialized) = table.materialized.clone() else { return Err(SqlError::internal("a view lost its query")) };
        if concurrently && !materialized.populated {
            let message = "CONCURRENTLY cannot be used when the materialized view is not populated";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        if concurrently && table.uniques.is_empty() {
            let full = format!("{}.{}", table.name.schema, table.name.name);
            let message = format!("cannot refresh materialized view \"{full}\" concurrently");
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .hint("Create a unique index with no WHERE clause on one or more columns of the materialized view."));
        }
        let (id, full) = (table.id, table.name.clone());
        // While it is filled it is a table like any other.
        change.catalog.replace_table(TableDef { materialized: None, ..table })?;
        change.ctx.transaction.lock().truncate(id);
        change.apply()?;
        if with_data {
            let parsed = crate::sql::parse(&materialized.query)?.pop().map(|parsed| parsed.statement);
            let Some(Statement::Query(query)) = parsed else { return Err(SqlError::internal("a view's query cannot be read")) };
            self.fill(&full, query).await?;
        }
        let mut change = self.change().await?;
        let table = TableDef::clone(&*change.table_now(id)?);
        let materialized = Some(MaterializedDef { populated: with_data, ..materialized });
        change.catalog.replace_table(TableDef { materialized, ..table })?;
        change.apply()?;
        Ok(Reply::Command("REFRESH MATERIALIZED VIEW".to_owned()))
    }

    pub(super) async fn change(&mut self) -> Result<Change> {
        let ctx = self.context().await?;
        let catalog = Catalog::clone(&ctx.transaction.lock().catalog);
        let authority = authority(&self.shared.tenancy, ctx.database.name(), &ctx.current_user);
        Ok(Change { ctx, engine: Arc::clone(&self.shared.engine), authority, catalog })
    }
}

impl Change {
    /// The materialized view of this name, owned by the current role; 42P01, 42809, 42501.
    pub(super) fn own_materialized(&self, name: &Name) -> Result<TableDef> {
        let Some(table) = self.find_table(name).filter(|table| table.materialized.is_some()) else {
            return Err(match self.find(name, Catalog::has_relation) {
                Some(_) => SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a materialized view", name.name)),
                None => undefined("relation", name),
            });
        };
        self.require_owner("materialized view", &table.name.name, &table.owner)?;
        Ok(TableDef::clone(&table))
    }

    /// The table or materialized view of this name, owned by the current role.
    pub(super) fn own_stored(&self, name: &Name) -> Result<TableDef> {
        let materialized = self.find_table(name).is_some_and(|table| table.materialized.is_some());
        if materialized { self.own_materialized(name) } else { self.own_table(name) }
    }

    pub(super) async fn alter_materialized_view(&mut self, name: &Name, action: &RelationAction) -> Result<()> {
        let table = self.own_materialized(name)?;
        let action = match action {
            RelationAction::Rename(to) => AlterTable::RenameTable { to: to.clone() },
            RelationAction::SetSchema(schema) => AlterTable::SetSchema { schema: schema.clone() },
            RelationAction::OwnerTo(role) => AlterTable::OwnerTo { role: role.clone() },
        };
        Box::pin(self.alter_each(table.id, &[action])).await
    }

    pub(super) fn drop_materialized_view(&mut self, name: &Name, if_exists: bool, cascade: bool) -> Result<()> {
        let found = self.find_table(name).filter(|table| table.materialized.is_some());
        let Some(table) = found else { return self.missing("materialized view", name, if_exists) };
        self.require_owner("materialized view", &table.name.name, &table.owner)?;
        self.drop_dependents("materialized view", &table.name, Vec::new(), cascade, &[])?;
        self.catalog.drop_table(&table.name).map(drop)?;
        Ok(())
    }
}

/// 42809 for a statement about tables that names a materialized view.
pub(super) fn refuse_materialized(table: &TableDef) -> Result<()> {
    if table.materialized.is_none() {
        return Ok(());
    }
    Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", table.name.name))
        .hint("It is a materialized view: use the statements for those."))
}

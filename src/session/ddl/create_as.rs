//! CREATE TABLE … AS and SELECT … INTO: a table of a query's columns, filled with its rows.

use std::sync::Arc;

use super::super::dispatch::cancellable;
use super::super::roles::authority;
use super::super::{Reply, Session};
use super::Change;
use crate::error::{Result, SqlError, SqlState};
use crate::history::Catalog;
use crate::plan::{Execution, ResultColumn};
use crate::sql::{ColumnSpec, CreateTable, CreateTableAs, Statement, insert_from};

impl Session {
    pub(super) async fn create_table_as(&mut self, create: &CreateTableAs) -> Result<Reply> {
        let ctx = self.context().await?;
        let catalog = Catalog::clone(&ctx.transaction.lock().catalog);
        let authority = authority(&self.shared.tenancy, ctx.database.name(), &ctx.current_user);
        let engine = Arc::clone(&self.shared.engine);
        let mut change = Change { ctx: ctx.clone(), engine: Arc::clone(&engine), authority, catalog };
        let name = change.new_name(&create.name)?;
        let is_there = change.catalog.has_relation(&name);
        if is_there && create.if_not_exists {
            change.notice(format!("relation \"{}\" already exists, skipping", name.name));
            return Ok(Reply::Command("CREATE TABLE AS".to_owned()));
        }
        let query = Statement::Query(create.query.clone());
        let prepared = cancellable(&ctx, engine.prepare(&ctx, &query, &[])).await?;
        if !prepared.parameters.is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        let columns = columns(prepared.columns.as_deref().unwrap_or_default(), &create.columns)?;
        let table = CreateTable { name: create.name.clone(), if_not_exists: false, columns, constraints: Vec::new() };
        change.create_table(&table).await?;
        change.apply()?;
        if !create.with_data {
            return Ok(Reply::Command("CREATE TABLE AS".to_owned()));
        }
        let ctx = self.context().await?;
        let insert = Statement::Insert(insert_from(&name, create.query.clone())?);
        let prepared = cancellable(&ctx, engine.prepare(&ctx, &insert, &[])).await?;
        match cancellable(&ctx, engine.execute(&ctx, &prepared, Vec::new())).await? {
            Execution::Modified { count, .. } => Ok(Reply::Command(format!("SELECT {count}"))),
            Execution::Rows(_) => Err(SqlError::internal("an INSERT gave rows")),
        }
    }
}

/// The table's columns: the query's, under the names given for the first of them.
fn columns(found: &[ResultColumn], names: &[String]) -> Result<Vec<ColumnSpec>> {
    if names.len() > found.len() {
        return Err(SqlError::syntax("too many column names were specified"));
    }
    let mut columns: Vec<ColumnSpec> = Vec::with_capacity(found.len());
    for (n, column) in found.iter().enumerate() {
        let name = names.get(n).unwrap_or(&column.name).clone();
        if columns.iter().any(|other| other.name == name) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        columns.push(ColumnSpec {
            name,
            ty: column.ty,
            own: None,
            domain: None,
            not_null: false,
            default: None,
            generated: None,
            identity: None,
            serial: false,
        });
    }
    Ok(columns)
}

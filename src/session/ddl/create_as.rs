//! CREATE TABLE … AS and SELECT … INTO: a table of a query's columns, filled with its rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};

use super::super::dispatch::cancellable;
use super::super::{Reply, Session};
use super::Change;
use super::relations::relations_of;
use crate::error::{Result, SqlError, SqlState};
use crate::history::Catalog;
use crate::plan::modify::fold;
use crate::plan::{Execution, ResultColumn};
use crate::sql::{ColumnSpec, CreateTable, CreateTableAs, Name, Statement, insert_from};
use crate::types::Qualified;

/// A table that a query has given its columns.
pub(super) struct Made {
    pub name: Qualified,
    /// The query, with which no name leads to the new table.
    pub source: Box<ast::Query>,
}

impl Session {
    pub(super) async fn create_table_as(&mut self, create: &CreateTableAs) -> Result<Reply> {
        let change = self.change().await?;
        let name = change.new_name(&create.name)?;
        if create.if_not_exists && change.catalog.has_relation(&name) {
            change.notice(format!("relation \"{}\" already exists, skipping", name.name));
            return Ok(Reply::Command("CREATE TABLE AS".to_owned()));
        }
        let made = self.table_of_query(create).await?;
        match create.with_data {
            true => self.fill(&made.name, made.source).await,
            false => Ok(Reply::Command("CREATE TABLE AS".to_owned())),
        }
    }

    /// A table with the columns of the query, and no rows.
    pub(super) async fn table_of_query(&mut self, create: &CreateTableAs) -> Result<Made> {
        let mut change = self.change().await?;
        let (ctx, engine) = (change.ctx.clone(), Arc::clone(&change.engine));
        let name = change.new_name(&create.name)?;
        let source = change.apart_from_new(&create.query, &name)?;
        let query = Statement::Query(source.clone());
        let prepared = cancellable(&ctx, engine.prepare(&ctx, &query, &[])).await?;
        if !prepared.parameters.is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        let columns = columns(prepared.columns.as_deref().unwrap_or_default(), &create.columns)?;
        let (name_given, on_commit) = (create.name.clone(), create.on_commit);
        let (constraints, likes) = (Vec::new(), Vec::new());
        let table = CreateTable { name: name_given, if_not_exists: false, columns, constraints, on_commit, likes };
        change.create_table(&table).await?;
        change.apply()?;
        Ok(Made { name, source })
    }

    /// Puts the rows of a query into a table; the tag is `SELECT` with their number.
    pub(super) async fn fill(&mut self, name: &Qualified, source: Box<ast::Query>) -> Result<Reply> {
        let (ctx, engine) = (self.context().await?, Arc::clone(&self.shared.engine));
        let insert = Statement::Insert(insert_from(name, source)?);
        let prepared = cancellable(&ctx, engine.prepare(&ctx, &insert, &[])).await?;
        match cancellable(&ctx, engine.execute(&ctx, &prepared, Vec::new())).await? {
            Execution::Modified { count, .. } => Ok(Reply::Command(format!("SELECT {count}"))),
            Execution::Rows(_) => Err(SqlError::internal("an INSERT gave rows")),
        }
    }
}

impl Change {
    /// The query with full names for relations that are called like the table to be made: by the time the rows are
    /// read, the name alone might lead to the new table. 0A000 where such a name may be that of a WITH query.
    fn apart_from_new(&self, query: &ast::Query, new: &Qualified) -> Result<Box<ast::Query>> {
        let mut query = Box::new(query.clone());
        let named: Vec<Name> = relations_of(&query).into_iter().filter(|read| read.name == new.name).collect();
        let Some(read) = named.into_iter().find(|read| read.schema.is_none()) else { return Ok(query) };
        let Some(found) = self.find(&read, Catalog::has_relation) else { return Ok(query) };
        let full = ast::ObjectName::from(vec![quoted(&found.schema), quoted(&found.name)]);
        if query.visit(&mut FullNames { name: &new.name, full }).is_break() {
            let message = format!("the query reads a relation that is called \"{}\" like the new table", new.name);
            return Err(SqlError::unsupported(message, "Name its schema."));
        }
        Ok(query)
    }
}

/// Writes a relation's full name, under its bare one as alias; breaks off where a WITH query has the name.
struct FullNames<'a> {
    name: &'a str,
    full: ast::ObjectName,
}

impl VisitorMut for FullNames<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        match query.with.iter().flat_map(|with| &with.cte_tables).any(|cte| fold(&cte.alias.name) == self.name) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Table { name, alias, args: None, .. } = factor
            && let [part] = name.0.as_slice()
            && part.as_ident().is_some_and(|ident| fold(ident) == self.name)
        {
            *name = self.full.clone();
            alias.get_or_insert_with(|| ast::TableAlias { explicit: true, name: quoted(self.name), columns: vec![], at: None });
        }
        ControlFlow::Continue(())
    }
}

fn quoted(name: &str) -> ast::Ident {
    ast::Ident::with_quote('"', name)
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
        columns.push(ColumnSpec::plain(&name, column.ty));
    }
    Ok(columns)
}

//! CREATE TABLE … AS and SELECT … INTO: a table of a query's columns, and its rows.

use datafusion::sql::sqlparser::ast;

use super::super::dispatch::cancellable;
use super::Change;
use super::view::settled;
use crate::error::{Result, SqlError, SqlState};
use crate::history::TableDef;
use crate::plan::Execution;
use crate::sql::{ColumnSpec, CreateTableAs, Statement};
use crate::types::Qualified;
use crate::versions::TableId;

impl Change {
    /// Answers the command's tag.
    pub(super) async fn create_table_as(&mut self, create: &CreateTableAs) -> Result<String> {
        let name = self.new_name(&create.name)?;
        if self.catalog.has_relation(&name) {
            if create.if_not_exists {
                self.notice(format!("relation \"{}\" already exists, skipping", name.name));
                return Ok("CREATE TABLE AS".to_owned());
            }
            return Err(crate::history::CatalogError::RelationExists(name.name).into());
        }
        let statement = Statement::Query(create.query.clone());
        let prepared = cancellable(&self.ctx, self.engine.prepare(&self.ctx, &statement, &[])).await?;
        if !prepared.parameters.is_empty() {
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"));
        }
        let given = prepared.columns.as_deref().unwrap_or_default();
        if create.columns.len() > given.len() {
            return Err(SqlError::syntax("too many column names were specified"));
        }
        let mut table = self.empty_table(name.clone());
        for (n, column) in given.iter().enumerate() {
            let spec = ColumnSpec {
                name: create.columns.get(n).unwrap_or(&column.name).clone(),
                ty: settled(column.ty),
                not_null: false,
                default: None,
                generated: None,
                identity: None,
                serial: false,
            };
            self.add_column_def(&mut table, &spec)?;
        }
        self.catalog.create_table(table)?;
        self.apply()?;
        if !create.with_data {
            return Ok("CREATE TABLE AS".to_owned());
        }
        let insert = Statement::Insert(Box::new(insert_into(&name, create.query.clone())?));
        let prepared = cancellable(&self.ctx, self.engine.prepare(&self.ctx, &insert, &[])).await?;
        match cancellable(&self.ctx, self.engine.execute(&self.ctx, &prepared, Vec::new())).await? {
            Execution::Modified { count, .. } => Ok(format!("SELECT {count}")),
            Execution::Rows(_) => Err(SqlError::internal("an INSERT gave rows")),
        }
    }

    /// A table of this name without columns.
    pub(super) fn empty_table(&self, name: Qualified) -> TableDef {
        TableDef {
            id: TableId(self.catalog.ids.next()),
            name,
            owner: self.ctx.current_user.clone(),
            columns: Vec::new(),
            primary_key: None,
            row_counter: self.catalog.ids.next(),
            uniques: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            computed_indexes: Vec::new(),
            comments: Default::default(),
            grants: Default::default(),
        }
    }
}

/// `INSERT INTO name query`, as a tree.
fn insert_into(name: &Qualified, query: Box<ast::Query>) -> Result<ast::Insert> {
    let parsed = crate::sql::parse("INSERT INTO t SELECT 1")?.pop().map(|parsed| parsed.statement);
    let Some(Statement::Insert(mut insert)) = parsed else { return Err(SqlError::internal("an INSERT does not parse")) };
    let quoted = |text: &str| ast::Ident::with_quote('"', text);
    insert.table = ast::TableObject::TableName(ast::ObjectName::from(vec![quoted(&name.schema), quoted(&name.name)]));
    insert.source = Some(query);
    Ok(*insert)
}

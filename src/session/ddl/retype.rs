//! ALTER COLUMN … TYPE where the values have to be computed anew: rows get a new state with the new value, and the
//! past keeps the old one under the column's old type.

use super::alter::column_mut;
use super::{Change, quoted, quoted_name};
use crate::error::{Result, SqlError};
use crate::history::{ColumnDef, TableDef};
use crate::sql::ColumnSpec;
use crate::types::PgType;
use crate::versions::IndexId;

/// What the column is called while both are there.
const DRAFT: &str = "__retyped";

/// What ALTER COLUMN … TYPE asks for.
#[derive(Clone, Copy)]
pub(super) struct NewType<'a> {
    pub ty: PgType,
    pub domain: Option<u32>,
    /// The expression that gives the values.
    pub using: Option<&'a str>,
}

impl Change {
    /// Without an expression the column is cast. The column must not be in the primary key
    /// nor in a foreign key.
    pub(super) async fn retype(&mut self, mut table: TableDef, column: &str, new: NewType<'_>) -> Result<()> {
        let old = table.column(column).cloned().ok_or_else(|| super::alter::no_column(&table, column))?;
        let NewType { ty, domain, using } = new;
        let spec = ColumnSpec { domain, ..ColumnSpec::plain(DRAFT, ty) };
        let draft = self.add_column_def(&mut table, &spec)?;
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        let value = match using {
            Some(using) => format!("({using})"),
            None => format!("CAST({} AS {})", quoted(column), ty.full_name()),
        };
        self.write(&format!("UPDATE {} SET {} = {value}", quoted_name(&table.name), quoted(DRAFT))).await?;
        let mut after = TableDef::clone(&*self.table_now(table.id)?);
        let field = after.column_by_id(draft).map(|c| c.field.clone()).unwrap_or_default();
        if let Some(place) = after.columns.iter_mut().find(|c| c.id == draft) {
            // The values of the past stay readable under the number that the draft had.
            *place = ColumnDef {
                id: draft,
                dropped: true,
                not_null: false,
                default: None,
                identity: None,
                generated: None,
                ..old.clone()
            };
        }
        let column = column_mut(&mut after, column)?;
        column.ty = ty;
        column.domain = domain;
        column.field = field;
        column.missing = None;
        let id = column.id;
        // Entries are of the new values from here on.
        let mut renewed: Vec<IndexId> = Vec::new();
        for unique in after.uniques.iter_mut().filter(|u| u.columns.contains(&id)) {
            unique.id = IndexId(self.catalog.ids.next());
            renewed.push(unique.id);
        }
        for index in after.indexes.iter_mut().filter(|i| i.columns.contains(&id)) {
            index.id = IndexId(self.catalog.ids.next());
            renewed.push(index.id);
        }
        self.catalog.replace_table(after.clone())?;
        self.apply()?;
        if old.not_null {
            self.verify_not_null(&after, &old.name).await?;
        }
        for unique in after.uniques.iter().filter(|u| renewed.contains(&u.id)) {
            let names: Vec<&str> =
                unique.columns.iter().filter_map(|c| after.column_by_id(*c)).map(|c| c.name.as_str()).collect();
            self.verify_unique(&after, &unique.name, &names).await?;
        }
        for index in renewed {
            self.fill_index(&after, index).await?;
        }
        self.verify_expressions(&after).await
    }

    /// Runs a write that we wrote; how many rows it changed.
    pub(super) async fn write(&self, text: &str) -> Result<u64> {
        let (_, prepared) = self.analyse(text).await?;
        let work = self.engine.execute(&self.ctx, &prepared, Vec::new());
        match super::super::dispatch::cancellable(&self.ctx, work).await? {
            crate::plan::Execution::Modified { count, .. } => Ok(count),
            crate::plan::Execution::Rows(_) => Err(SqlError::internal("a write gave rows")),
        }
    }
}

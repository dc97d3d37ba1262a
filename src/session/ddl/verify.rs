//! Questions that a change of definitions asks of the data before it is made.
//!
//! Asked as queries of the transaction, under the definitions that it has by then. Answers hold at commit or
//! the commit fails: a definition that changed meanwhile is a conflict.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;

use super::super::dispatch::cancellable;
use super::column::columns_in;
use super::{Change, quoted, quoted_name};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ColumnDef, SequenceDef, TableDef};
use crate::plan::{Execution, Prepared};
use crate::sql::Statement;
use crate::store::ScanRequest;
use crate::types::PgType;
use crate::versions::{KeyFilter, Scope, TableId};

impl Change {
    /// Parses and analyses a query that we wrote, as far as a user's expression in it allows.
    pub(super) async fn analyse(&self, text: &str) -> Result<(Statement, Prepared)> {
        let parsed = crate::sql::parse(text).map_err(without_position)?.pop();
        let Some(parsed) = parsed else { return Err(SqlError::syntax("an expression is missing")) };
        let prepared = cancellable(&self.ctx, self.engine.prepare(&self.ctx, &parsed.statement, &[])).await;
        Ok((parsed.statement, prepared.map_err(without_position)?))
    }

    /// The value of an expression without columns.
    pub(super) async fn evaluate(&self, expression: &str, ty: PgType) -> Result<ScalarValue> {
        let expression = parse_expression(expression)?;
        cancellable(&self.ctx, self.engine.evaluate(&self.ctx, &expression, ty)).await.map_err(without_position)
    }

    async fn rows(&self, text: &str) -> Result<Vec<RecordBatch>> {
        let (_, prepared) = self.analyse(text).await?;
        let work = async {
            match self.engine.execute(&self.ctx, &prepared, Vec::new()).await? {
                Execution::Rows(rows) => rows.batches.try_collect().await.map_err(crate::plan::diagnose),
                Execution::Modified { .. } => Ok(Vec::new()),
            }
        };
        cancellable(&self.ctx, work).await
    }

    /// The values of the first row, as text; every column must be text.
    pub(super) async fn first_row(&self, text: &str) -> Result<Option<Vec<String>>> {
        let batches = self.rows(text).await?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        let value = |column: &Arc<dyn datafusion::arrow::array::Array>| {
            ScalarValue::try_from_array(column, 0).map(|v| v.to_string()).unwrap_or_default()
        };
        Ok(Some(batch.columns().iter().map(value).collect()))
    }

    pub(super) async fn any_row(&self, text: &str) -> Result<bool> {
        Ok(self.rows(text).await?.iter().any(|batch| batch.num_rows() > 0))
    }

    /// Whether the table has a live row in this transaction.
    pub(super) async fn has_rows(&self, table: &TableDef) -> Result<bool> {
        self.any_row(&format!("SELECT 1 FROM {} LIMIT 1", quoted_name(&table.name))).await
    }

    /// Whether the table has, or ever had, a row.
    pub(super) async fn has_versions(&self, table: TableId) -> Result<bool> {
        let request = {
            let transaction = self.ctx.transaction.lock();
            if transaction.overlay(table).is_some_and(|writes| !writes.rows.is_empty()) {
                return Ok(true);
            }
            ScanRequest {
                table,
                snapshot: transaction.snapshot,
                scope: Scope::All,
                keys: KeyFilter::All,
                candidates: None,
                payloads: false,
                limit: Some(1),
            }
        };
        let first = self.ctx.database.scan(request).try_next().await?;
        Ok(first.is_some_and(|batch| !batch.is_empty()))
    }

    /// 23502 when a live row has no value in this column.
    pub(super) async fn verify_not_null(&self, table: &TableDef, column: &str) -> Result<()> {
        let text = format!("SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1", quoted_name(&table.name), quoted(column));
        if self.any_row(&text).await? {
            return Err(contains_nulls(table, column));
        }
        Ok(())
    }

    /// 23514 when a live row does not meet the condition.
    pub(super) async fn verify_check(&self, table: &TableDef, name: &str, expression: &str) -> Result<()> {
        let text = format!("SELECT 1 FROM {} WHERE NOT ({expression}) LIMIT 1", quoted_name(&table.name));
        if !self.any_row(&text).await? {
            return Ok(());
        }
        let message = format!("check constraint \"{name}\" of relation \"{}\" is violated by some row", table.name.name);
        Err(SqlError::new(SqlState::CHECK_VIOLATION, message)
            .table(table.name.schema.as_str(), table.name.name.as_str())
            .constraint(name))
    }

    /// 23505 when two live rows agree in these columns.
    pub(super) async fn verify_unique(&self, table: &TableDef, name: &str, columns: &[&str]) -> Result<()> {
        let parts: Vec<String> = columns.iter().map(|c| quoted(c)).collect();
        self.verify_unique_parts(table, name, columns, &parts, None).await
    }

    /// As [`Self::verify_unique`], of expressions over the rows of which the condition holds; `columns` is how a
    /// message calls them.
    pub(super) async fn verify_unique_parts(
        &self,
        table: &TableDef,
        name: &str,
        columns: &[&str],
        parts: &[String],
        condition: Option<&str>,
    ) -> Result<()> {
        let list = parts.join(", ");
        let known = parts.iter().map(|part| format!("{part} IS NOT NULL")).collect::<Vec<_>>().join(" AND ");
        let known = condition.map_or_else(|| known.clone(), |condition| format!("({condition}) AND {known}"));
        let shown = parts.iter().map(|part| format!("{part}::text")).collect::<Vec<_>>().join(", ");
        let of = quoted_name(&table.name);
        let text = format!("SELECT {shown} FROM {of} WHERE {known} GROUP BY {list} HAVING count(*) > 1 LIMIT 1");
        let Some(values) = self.first_row(&text).await? else { return Ok(()) };
        let values = values.join(", ");
        Err(SqlError::new(SqlState::UNIQUE_VIOLATION, format!("could not create unique index \"{name}\""))
            .detail(format!("Key ({})=({values}) is duplicated.", columns.join(", ")))
            .table(table.name.schema.as_str(), table.name.name.as_str())
            .constraint(name))
    }

    /// Analyses the conditions and defaults of a table's definition, so that a bad one is refused now and not
    /// at the first row. The definition must have been applied.
    pub(super) async fn verify_expressions(&self, table: &TableDef) -> Result<()> {
        for check in &table.checks {
            let text = format!("SELECT 1 FROM {} WHERE ({}) LIMIT 0", quoted_name(&table.name), check.expression);
            self.analyse(&text).await?;
        }
        for column in table.live_columns() {
            if let Some(generated) = &column.generated {
                self.verify_generated(table, column, generated).await?;
            }
            // What a serial column takes from its own sequence was written by us.
            let owns = |sequence: &Arc<SequenceDef>| sequence.owned_by == Some((table.id, column.id));
            if let Some(default) = &column.default
                && !self.catalog.sequences.values().any(owns)
            {
                self.analyse(&format!("SELECT CAST(({default}) AS {})", column.ty.full_name())).await?;
            }
        }
        Ok(())
    }
}

impl Change {
    /// 42P17 for a value that would not follow from the row's other columns alone.
    async fn verify_generated(&self, table: &TableDef, column: &ColumnDef, expression: &str) -> Result<()> {
        let refuse = |message: String| Err(SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message));
        for name in columns_in(table, expression)? {
            if table.column(&name).is_some_and(|other| other.generated.is_some()) {
                let message = format!("cannot use generated column \"{name}\" in column generation expression");
                let detail = "A generated column cannot reference another generated column.";
                return refuse(message).map_err(|e| e.detail(detail));
            }
        }
        if unsteady(&parse_expression(expression)?) {
            return refuse("generation expression is not immutable".to_owned());
        }
        let (of, ty) = (quoted_name(&table.name), column.ty.full_name());
        self.analyse(&format!("SELECT CAST(({expression}) AS {ty}) FROM {of} LIMIT 0")).await?;
        Ok(())
    }
}

/// Whether it asks for something beside the row.
fn unsteady(expression: &ast::Expr) -> bool {
    const UNSTEADY: &[&str] = &[
        "now",
        "current_timestamp",
        "current_date",
        "current_time",
        "localtime",
        "localtimestamp",
        "clock_timestamp",
        "statement_timestamp",
        "transaction_timestamp",
        "random",
        "gen_random_uuid",
        "uuid_generate_v4",
        "nextval",
        "currval",
        "lastval",
        "timeofday",
        "current_user",
        "session_user",
        "current_setting",
        "txid_current",
    ];
    let found = ast::visit_expressions(expression, |expr| match expr {
        ast::Expr::Function(call) => {
            let name = call.name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
            match name {
                Some(name) if UNSTEADY.contains(&name.as_str()) => std::ops::ControlFlow::Break(()),
                _ => std::ops::ControlFlow::Continue(()),
            }
        }
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    });
    found.is_break()
}

pub(super) fn contains_nulls(table: &TableDef, column: &str) -> SqlError {
    let message = format!("column \"{column}\" of relation \"{}\" contains null values", table.name.name);
    SqlError::new(SqlState::NOT_NULL_VIOLATION, message)
        .table(table.name.schema.as_str(), table.name.name.as_str())
        .column(column)
}

/// An expression by itself.
pub(super) fn parse_expression(text: &str) -> Result<ast::Expr> {
    let mut parsed = crate::sql::parse(&format!("SELECT {text}")).map_err(without_position)?;
    let Some(Statement::Query(query)) = parsed.pop().map(|p| p.statement) else {
        return Err(SqlError::syntax("an expression was expected"));
    };
    let ast::SetExpr::Select(select) = *query.body else { return Err(SqlError::syntax("an expression was expected")) };
    match select.projection.into_iter().next() {
        Some(ast::SelectItem::UnnamedExpr(expression)) => Ok(expression),
        _ => Err(SqlError::syntax("an expression was expected")),
    }
}

/// The text was ours: a position in it means nothing to the client.
fn without_position(mut error: SqlError) -> SqlError {
    error.fields_mut().position = None;
    error
}

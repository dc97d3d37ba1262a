//! What the WITH queries of a statement have returned that write: relations of that statement alone.
//!
//! A plan knows their columns only; the rows are those of the execution at hand, in the statement's surroundings.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::table::statement_of;

/// By the WITH query's name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Returned(Arc<BTreeMap<String, Rows>>);

#[derive(Clone, Debug)]
struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Returned {
    /// These, and those of one more. While a statement is only analysed there are no batches.
    pub fn with(&self, name: &str, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let mut all = BTreeMap::clone(&self.0);
        all.insert(name.to_owned(), Rows { schema, batches });
        Self(Arc::new(all))
    }

    pub fn provider(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let rows = self.0.get(name)?;
        Some(Arc::new(ReturnedTable { name: name.to_owned(), schema: Arc::clone(&rows.schema) }))
    }
}

#[derive(Debug)]
struct ReturnedTable {
    name: String,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for ReturnedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let ctx = statement_of(state)?;
        let Some(rows) = ctx.returned.0.get(&self.name) else {
            return internal_err!("a WITH query was read before it ran");
        };
        MemTable::try_new(Arc::clone(&self.schema), vec![rows.batches.clone()])?.scan(state, projection, filters, limit).await
    }
}

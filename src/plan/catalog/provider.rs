//! A relation of the catalogue in a plan: its rows as of the statement, held in memory, narrowed by equality.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, BooleanArray, RecordBatch, Scalar};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::spec::Spec;
use crate::plan::StatementContext;
use crate::plan::scan::external;

#[derive(Debug)]
pub struct CatalogueTable {
    pub spec: &'static Spec,
}

#[async_trait]
impl TableProvider for CatalogueTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.spec.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Applied here only to make what follows smaller.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(ctx) = session.config().get_extension::<StatementContext>() else {
            return internal_err!("a scan was planned outside a statement");
        };
        let mut batch = super::rows_of(&ctx, self.spec).map_err(external)?;
        for filter in filters {
            if let Some(kept) = kept(&batch, filter) {
                batch = filter_record_batch(&batch, &kept)?;
            }
        }
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?;
        Ok(plan)
    }
}

/// Which rows a comparison of a column with a constant keeps; `None` for every other filter.
fn kept(batch: &RecordBatch, filter: &Expr) -> Option<BooleanArray> {
    let Expr::BinaryExpr(binary) = filter else { return None };
    if binary.op != Operator::Eq {
        return None;
    }
    let (column, value) = match (binary.left.as_ref(), binary.right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => (column, value),
        _ => return None,
    };
    let array = batch.column_by_name(&column.name)?;
    let value = value.to_array().ok()?;
    if value.data_type() != array.data_type() {
        return None;
    }
    cmp::eq(array, &Scalar::new(value)).ok()
}

//! A sequence as a relation of one row: `SELECT last_value, log_cnt, is_called FROM sequence`.
//!
//! Always of now: a sequence's counter is part of no snapshot.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{BooleanArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::StatementContext;
use super::diagnose::diagnose;
use super::scan::external;
use crate::history::SequenceDef;
use crate::types::PgType;

#[derive(Debug)]
pub struct SequenceTable {
    sequence: Arc<SequenceDef>,
    schema: SchemaRef,
}

impl SequenceTable {
    pub fn new(sequence: Arc<SequenceDef>) -> Self {
        let columns = [("last_value", PgType::INT8), ("log_cnt", PgType::INT8), ("is_called", PgType::BOOL)];
        let fields: Vec<_> = columns.iter().map(|(name, ty)| ty.field(*name, false)).collect();
        Self { sequence, schema: Arc::new(Schema::new(fields)) }
    }
}

#[async_trait]
impl TableProvider for SequenceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(ctx) = session.config().get_extension::<StatementContext>() else {
            return internal_err!("a sequence was read outside a statement");
        };
        let (last, called) = match ctx.database.last_value(&self.sequence).await {
            Ok(state) => state,
            Err(error) => return Err(external(crate::error::Diagnose::diagnose(&error))),
        };
        let columns: Vec<datafusion::arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from_value(last, 1)),
            Arc::new(Int64Array::from_value(0, 1)),
            Arc::new(BooleanArray::from(vec![called])),
        ];
        let batch = RecordBatch::try_new(self.schema(), columns).map_err(|e| external(diagnose(e.into())))?;
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?;
        Ok(plan)
    }
}

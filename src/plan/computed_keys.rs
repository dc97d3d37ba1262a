//! Unique indexes over expressions and over part of the rows: the entry that a row has in each.
//!
//! An entry is made from the row alone, so that old states give the same one whenever they are read. What may be such
//! an expression is for who makes the index to check.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

use super::keys::key_part;
use super::rows::{LONGEST_KEY, batch_of};
use crate::error::{Result, SqlError, SqlState};
use crate::store::IndexEntry;
use crate::types::PgType;
use crate::versions::key::encode_part;
use crate::versions::{IndexId, ItemKey};

/// One index, its expressions over the columns of a layout.
#[derive(Clone, Debug)]
pub struct ComputedKeys {
    pub index: IndexId,
    pub name: String,
    pub schema: SchemaRef,
    pub parts: Vec<(Arc<dyn PhysicalExpr>, PgType)>,
    /// Which rows it covers; `None` for all.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
}

impl ComputedKeys {
    /// The row's values in the index; `None` for one that it does not cover.
    pub fn values(&self, values: &[ArrayRef], row: usize) -> Result<Option<Vec<ArrayRef>>> {
        let one: Vec<ArrayRef> = values.iter().map(|array| array.slice(row, 1)).collect();
        let batch = batch_of(self.schema.clone(), one, 1)?;
        if let Some(predicate) = &self.predicate {
            let covered = evaluate(predicate, &batch)?;
            if !covered.as_boolean_opt().is_some_and(|covered| covered.is_valid(0) && covered.value(0)) {
                return Ok(None);
            }
        }
        self.parts.iter().map(|(part, _)| evaluate(part, &batch)).collect::<Result<Vec<_>>>().map(Some)
    }

    /// The row's entry, one with a NULL in it not being unique; `None` for a row that is not covered.
    pub fn entry(&self, values: &[ArrayRef], row: usize) -> Result<Option<IndexEntry>> {
        let Some(values) = self.values(values, row)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(16);
        for (value, (_, ty)) in values.iter().zip(&self.parts) {
            encode_part(&key_part(value, 0, *ty)?, &mut bytes);
        }
        if bytes.len() > LONGEST_KEY {
            let message = format!("index row size {} exceeds maximum {LONGEST_KEY} for index \"{}\"", bytes.len(), self.name);
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let unique = values.iter().all(|value| !value.is_null(0));
        Ok(Some(IndexEntry { index: self.index, key: ItemKey::from_bytes(bytes), unique }))
    }
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    let value = expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()));
    value.map_err(super::diagnose::diagnose)
}

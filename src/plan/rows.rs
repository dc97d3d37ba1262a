//! The present shape of a table's rows as writers handle them: columns in order, their payload form, their keys.
//!
//! Joins `keys` and `payload` for one definition. Reads nothing and checks nothing.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::keys::RowKeys;
use super::payload::{PayloadColumn, PayloadDecoder, PayloadEncoder};
use crate::error::{Result, SqlError};
use crate::history::{ColumnDef, TableDef};

/// The live columns of a table in order, and everything fixed about writing rows of them.
#[derive(Clone, Debug)]
pub struct RowLayout {
    pub table: Arc<TableDef>,
    pub columns: Vec<ColumnDef>,
    /// Every field nullable: constraints are checked by who writes.
    pub schema: SchemaRef,
    pub keys: RowKeys,
    encoder: PayloadEncoder,
    stored: Vec<PayloadColumn>,
}

impl RowLayout {
    /// `missing` gives the payload form of what an absent member of a column reads as.
    pub fn new(table: Arc<TableDef>, missing: impl Fn(&ColumnDef) -> Result<Option<String>>) -> Result<Self> {
        let columns: Vec<ColumnDef> = table.live_columns().cloned().collect();
        let schema = Arc::new(Schema::new(columns.iter().map(|c| c.ty.field(&c.name, true)).collect::<Vec<_>>()));
        let keys = RowKeys::new(&table, |id| columns.iter().position(|c| c.id == id))?;
        let encoder = PayloadEncoder::new(columns.iter().map(|c| (c.field.as_str(), c.ty)));
        let stored = columns
            .iter()
            .map(|c| Ok(PayloadColumn { field: c.field.clone(), ty: c.ty, missing: missing(c)? }))
            .collect::<Result<_>>()?;
        Ok(Self { table, columns, schema, keys, encoder, stored })
    }

    /// The position of a column by its name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Positions of the primary key's columns, in its order.
    pub fn key_positions(&self) -> Vec<usize> {
        self.table.key_columns().filter_map(|key| self.columns.iter().position(|c| c.id == key.id)).collect()
    }

    pub fn encode(&self, values: &[ArrayRef], row: usize) -> Result<Bytes> {
        let mut payload = Vec::with_capacity(32 * values.len());
        self.encoder.encode(values, row, &mut payload)?;
        Ok(Bytes::from(payload))
    }

    /// The rows of these payloads, in order.
    pub fn decode<'a>(&self, payloads: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let mut decoder = PayloadDecoder::new(&self.stored)?;
        for payload in payloads {
            decoder.append(payload)?;
        }
        Ok(decoder.finish())
    }

    /// A batch of this layout; `rows` counts where there are no columns.
    pub fn batch(&self, values: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        batch_of(self.schema.clone(), values, rows)
    }
}

/// A batch whose arrays are known to fit; XX000 when they do not.
pub fn batch_of(schema: SchemaRef, values: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, values, &options)
        .map_err(|e| SqlError::internal(format!("values do not make rows of their columns: {e}")))
}

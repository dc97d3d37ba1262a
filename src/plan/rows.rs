//! The present shape of a table's rows as writers handle them: columns in order, their payload form, their keys.
//!
//! Joins `keys` and `payload` for one definition. Reads nothing and checks nothing.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::computed_keys::ComputedKeys;
use super::keys::key_part;
use super::payload::{PayloadColumn, PayloadDecoder, PayloadEncoder};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ColumnDef, ColumnId, TableDef};
use crate::store::IndexEntry;
use crate::types::PgType;
use crate::versions::key::encode_part;
use crate::versions::{IndexId, ItemKey};

/// Bytes that a key may have; longer ones would not fit the stores' indexes.
pub const LONGEST_KEY: usize = 8_000;

/// How the rows of one table become keys and index entries.
#[derive(Clone, Debug)]
pub struct RowKeys {
    /// Array and type of each key column; empty for a table without primary key.
    key: Vec<(usize, PgType)>,
    indexes: Vec<IndexColumns>,
    /// Unique indexes over expressions or part of the rows, where the rows are those of a layout.
    computed: Vec<ComputedKeys>,
}

#[derive(Clone, Debug)]
struct IndexColumns {
    index: IndexId,
    name: String,
    unique: bool,
    /// Whether a row with a NULL has no entry at all: those of foreign keys.
    skips_null: bool,
    columns: Vec<(usize, PgType)>,
}

impl RowKeys {
    /// `position` is where a column's array is among those the rows come with; XX000 when a column of the key or
    /// of an index is not among them.
    pub fn new(table: &TableDef, position: impl Fn(ColumnId) -> Option<usize>) -> Result<Self> {
        let place = |ids: &[ColumnId]| -> Result<Vec<(usize, PgType)>> {
            let places = ids.iter().map(|id| Some((position(*id)?, table.column_by_id(*id)?.ty)));
            places.collect::<Option<_>>().ok_or_else(|| SqlError::internal("a row came without its key columns"))
        };
        let key = place(table.primary_key.as_ref().map_or(&[], |(_, ids)| ids))?;
        let uniques = table.uniques.iter().map(|u| (u.id, &u.name, true, false, &u.columns));
        // Documents have entries only where those are to be unique.
        let plain = if table.is_of_documents() { &[][..] } else { &table.indexes };
        let plain = plain.iter().map(|i| (i.id, &i.name, false, false, &i.columns));
        let foreign = table.foreign_keys.iter().map(|f| (f.id, &f.name, false, true, &f.entry));
        let indexes = uniques
            .chain(plain)
            .chain(foreign)
            .map(|(index, name, unique, skips_null, ids)| {
                Ok(IndexColumns { index, name: name.clone(), unique, skips_null, columns: place(ids)? })
            })
            .collect::<Result<_>>()?;
        Ok(Self { key, indexes, computed: Vec::new() })
    }

    /// Adds unique indexes over expressions or part of the rows, whose entries come last.
    pub fn compute(&mut self, computed: Vec<ComputedKeys>) {
        self.computed = computed;
    }

    pub fn computed(&self) -> &[ComputedKeys] {
        &self.computed
    }

    /// The entries in [`Self::computed`].
    pub fn computed_entries(&self, values: &[ArrayRef], row: usize) -> Result<Vec<IndexEntry>> {
        self.computed.iter().filter_map(|index| index.entry(values, row).transpose()).collect()
    }

    /// Whether rows carry their key; else it is a hidden number, see `keys::hidden_key`.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// The item that this row is. A NULL in it is the caller's mistake and gives a key like any other.
    pub fn key(&self, values: &[ArrayRef], row: usize) -> Result<ItemKey> {
        encode(&self.key, values, row, "primary key")
    }

    /// The row's entries in every index, in the order of the definition: uniques first, then plain ones, foreign
    /// keys and those over expressions. One with a NULL in it is not unique; in a foreign key it is none.
    pub fn entries(&self, values: &[ArrayRef], row: usize) -> Result<Vec<IndexEntry>> {
        let mut entries = Vec::with_capacity(self.indexes.len());
        for index in &self.indexes {
            let has_null = index.columns.iter().any(|(at, _)| values.get(*at).is_none_or(|a| a.is_null(row)));
            if has_null && index.skips_null {
                continue;
            }
            let key = encode(&index.columns, values, row, &index.name)?;
            entries.push(IndexEntry { index: index.index, key, unique: index.unique && !has_null });
        }
        entries.extend(self.computed_entries(values, row)?);
        Ok(entries)
    }
}

fn encode(columns: &[(usize, PgType)], values: &[ArrayRef], row: usize, index: &str) -> Result<ItemKey> {
    let mut bytes = Vec::with_capacity(16);
    for (at, ty) in columns {
        let array = values.get(*at).ok_or_else(|| SqlError::internal("a row came without its key columns"))?;
        encode_part(&key_part(array, row, *ty)?, &mut bytes);
    }
    if bytes.len() > LONGEST_KEY {
        return Err(SqlError::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("index row size {} exceeds maximum {LONGEST_KEY} for index \"{index}\"", bytes.len()),
        ));
    }
    Ok(ItemKey::from_bytes(bytes))
}

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

    /// The same without the members of columns, by position, that are not to be kept.
    pub fn encode_where(&self, values: &[ArrayRef], row: usize, keeps: impl Fn(usize) -> bool) -> Result<Bytes> {
        let mut payload = Vec::with_capacity(32 * values.len());
        self.encoder.encode_where(values, row, &mut payload, keeps)?;
        Ok(Bytes::from(payload))
    }

    /// The rows of these payloads, in order.
    pub fn decode<'a>(&self, payloads: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let payloads = payloads.into_iter();
        let mut decoder = PayloadDecoder::with_room(&self.stored, payloads.size_hint().0)?;
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

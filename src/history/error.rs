//! Why history could not be read or written.

use super::{CatalogError, ColumnId, IndexPart, TableDef, Unwritable, printed_key};
use crate::error::{Diagnose, SqlError, SqlState};
use crate::store::StoreError;
use crate::versions::{CommitNo, IndexId, ItemKey};

#[derive(Clone, Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A duplicate key, with the constraint it breaks and the key as PostgreSQL would print it.
    #[error("duplicate key value violates unique constraint \"{constraint}\"")]
    Duplicate { schema: String, table: String, constraint: String, detail: String },
    /// A commit number that has not been reached.
    #[error("commit {0:?} does not exist yet")]
    CommitNotReached(CommitNo),
    /// A sequence is exhausted.
    #[error("nextval: reached {bound} value of sequence \"{sequence}\" ({limit})")]
    SequenceExhausted { sequence: String, bound: &'static str, limit: i64 },
    /// A new unique index over rows that share a key.
    #[error("could not create unique index \"{index}\"")]
    DuplicateInIndex { schema: String, table: String, index: String, detail: String },
    /// A sequence would be set to a value that it never gives.
    #[error("setval: value {value} is out of bounds for sequence \"{sequence}\" ({min}..{max})")]
    SequenceBounds { sequence: String, value: i64, min: i64, max: i64 },
    /// A definition that the catalogue cannot take in.
    #[error(transparent)]
    Catalog(CatalogError),
    /// A document had a value that its column could not hold; the column is wider now.
    #[error("column \"{column}\" of relation \"{table}\" has become wider for a value that it could not hold")]
    Widened { table: String, column: String },
    /// A row that cannot be the document that it was to become.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// A definition on disk that this program cannot read.
    #[error("definition cannot be read: {0}")]
    BadDefinition(String),
}

impl HistoryError {
    /// A second row with this primary key.
    pub fn duplicate_key(table: &TableDef, key: &ItemKey) -> Self {
        let (constraint, columns) = table.primary_key.as_ref().map_or(("", &[][..]), |(name, ids)| (name, ids));
        Self::Duplicate {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            constraint: constraint.to_owned(),
            detail: format!("Key {} already exists.", printed(table, columns, key)),
        }
    }

    /// A second live row with this key of a unique constraint or index.
    pub fn duplicate_entry(table: &TableDef, index: IndexId, key: &ItemKey) -> Self {
        let (name, shown) = unique_index(table, index, key);
        Self::Duplicate {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            constraint: name,
            detail: format!("Key {shown} already exists."),
        }
    }

    /// Two rows that a new unique index of the table would have to hold under one key.
    pub fn duplicate_in_index(table: &TableDef, index: IndexId, key: &ItemKey) -> Self {
        let (name, shown) = unique_index(table, index, key);
        Self::DuplicateInIndex {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            index: name,
            detail: format!("Key {shown} is duplicated."),
        }
    }
}

/// The name of a unique constraint or index, and a key of it. What an expression gave is not shown: its type is not
/// known here.
fn unique_index(table: &TableDef, index: IndexId, key: &ItemKey) -> (String, String) {
    if let Some(unique) = table.uniques.iter().find(|unique| unique.id == index) {
        return (unique.name.clone(), printed(table, &unique.columns, key));
    }
    let computed = table.computed_indexes.iter().find(|computed| computed.id == index);
    let part = |part: &IndexPart| match part {
        IndexPart::Column(id) => table.column_by_id(*id).map(|column| column.name.clone()).unwrap_or_default(),
        IndexPart::Expression(text) => text.clone(),
    };
    let parts: Vec<String> = computed.iter().flat_map(|computed| &computed.parts).map(part).collect();
    (computed.map(|computed| computed.name.clone()).unwrap_or_default(), format!("({})", parts.join(", ")))
}

fn printed(table: &TableDef, columns: &[ColumnId], key: &ItemKey) -> String {
    let columns: Vec<_> = columns.iter().filter_map(|id| table.column_by_id(*id)).collect();
    printed_key::print(&columns, key)
}

impl Diagnose for HistoryError {
    fn diagnose(&self) -> SqlError {
        match self {
            Self::Store(cause) => cause.diagnose(),
            Self::Duplicate { schema, table, constraint, detail } => SqlError::new(SqlState::UNIQUE_VIOLATION, self.to_string())
                .detail(detail.clone())
                .table(schema.clone(), table.clone())
                .constraint(constraint.clone()),
            Self::CommitNotReached(_) => SqlError::new(SqlState::INVALID_PARAMETER_VALUE, self.to_string()),
            Self::SequenceExhausted { .. } => SqlError::new(SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED, self.to_string()),
            Self::DuplicateInIndex { schema, table, index, detail } => {
                SqlError::new(SqlState::UNIQUE_VIOLATION, self.to_string())
                    .detail(detail.clone())
                    .table(schema.clone(), table.clone())
                    .constraint(index.clone())
            }
            Self::SequenceBounds { .. } => SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, self.to_string()),
            Self::Catalog(cause) => cause.diagnose(),
            Self::Widened { .. } => SqlError::new(SqlState::SERIALIZATION_FAILURE, self.to_string()).hint("Run it again."),
            Self::Unwritable(cause) => cause.diagnose(),
            Self::BadDefinition(_) => SqlError::new(SqlState::DATA_CORRUPTED, "a definition in the catalogue cannot be read"),
        }
    }
}

impl From<HistoryError> for SqlError {
    /// What the client is told; the rest of an engine's failure goes to the log here.
    fn from(error: HistoryError) -> Self {
        match &error {
            HistoryError::Store(StoreError::Engine(cause) | StoreError::Corrupt(cause)) | HistoryError::BadDefinition(cause) => {
                tracing::error!(%cause, "the store failed");
            }
            _ => {}
        }
        error.diagnose()
    }
}

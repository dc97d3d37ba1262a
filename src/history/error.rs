//! Why history could not be read or written.

use crate::error::{Diagnose, SqlError, SqlState};
use crate::store::StoreError;
use crate::versions::CommitNo;

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
    /// A definition on disk that this program cannot read.
    #[error("definition cannot be read: {0}")]
    BadDefinition(String),
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
            Self::BadDefinition(_) => SqlError::new(SqlState::DATA_CORRUPTED, "a definition in the catalogue cannot be read"),
        }
    }
}

impl From<HistoryError> for SqlError {
    fn from(error: HistoryError) -> Self {
        error.diagnose()
    }
}

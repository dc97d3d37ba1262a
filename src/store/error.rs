//! Why a store could not do what was asked.

use crate::error::{Diagnose, SqlError, SqlState};
use crate::versions::{IndexId, ItemKey, Refusal, TableId};

/// Each variant says what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The item changed after the snapshot the request was made under. Retry on a newer snapshot.
    #[error("item changed since the snapshot")]
    Conflict { table: TableId, key: ItemKey },
    /// A CREATE met a live item. Retrying cannot help.
    #[error("item exists already")]
    KeyExists { table: TableId, key: ItemKey },
    /// Another live item holds this key of a unique index. Retrying cannot help.
    #[error("unique index holds this key already")]
    UniqueExists { index: IndexId, key: ItemKey },
    /// Another writer has locked the item, and kept it for as long as was waited. Retry later.
    #[error("item is locked by another writer")]
    Locked { table: TableId, key: ItemKey },
    /// A document cannot be stored in its collection, for this reason. Fix the input.
    #[error("{0}")]
    Unfit(String),
    /// The catalogue changed since the request was planned. Plan again.
    #[error("catalogue changed since the snapshot")]
    CatalogConflict,
    /// Loaded periods overlap, run backwards or begin before what the item has. Fix the input.
    #[error("{reason}")]
    BadPeriod { table: TableId, key: ItemKey, reason: &'static str },
    /// A payload that a version points to is not there, or is not what was stored.
    #[error("payload {name} is missing or damaged")]
    Payload { name: String },
    /// The disk is full; nothing of the request was kept.
    #[error("no space left in the store")]
    Full,
    /// Another process has this store open.
    #[error("store is in use by another process")]
    InUse,
    /// The store was closed, or its writer has gone. Nothing of the request was kept.
    #[error("store is closed")]
    Closed,
    /// The store does not answer, or refuses for now, after it was asked again for a while. Retry later.
    #[error("the store cannot be reached; nothing of this statement was kept")]
    Unreachable,
    /// The store went away while it was told to commit, and has not come back to say whether it did.
    #[error("the store went away while committing; whether anything of this statement was kept is not known")]
    Undecided,
    /// This store cannot do it (what it cannot do is named); nothing was kept.
    #[error("not possible in this store: {0}")]
    Unsupported(&'static str),
    /// What is on disk was not written by this program, or by a newer one.
    #[error("store cannot be read: {0}")]
    Corrupt(String),
    /// Anything else of the engine below. The text is for the log, not for clients.
    #[error("store failed: {0}")]
    Engine(String),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict { table, key } => Self::Conflict { table, key },
            Refusal::KeyExists { table, key } => Self::KeyExists { table, key },
            Refusal::UniqueExists { index, key } => Self::UniqueExists { index, key },
            Refusal::CatalogConflict => Self::CatalogConflict,
            Refusal::BadPeriod { table, key, reason } => Self::BadPeriod { table, key, reason },
            Refusal::Malformed(reason) => Self::Engine(reason.to_owned()),
        }
    }
}

impl Diagnose for StoreError {
    fn diagnose(&self) -> SqlError {
        match self {
            Self::Conflict { .. } | Self::CatalogConflict => {
                SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
                    .hint("Retry the transaction.")
            }
            Self::KeyExists { .. } | Self::UniqueExists { .. } => {
                SqlError::new(SqlState::UNIQUE_VIOLATION, "duplicate key value violates unique constraint")
            }
            Self::Locked { .. } => SqlError::new(
                SqlState::LOCK_NOT_AVAILABLE,
                "could not obtain lock on row: another writer of the collection holds it",
            )
            .hint("Retry later. A writer that has gone leaves its lock for 30 seconds."),
            Self::Unfit(reason) => SqlError::new(SqlState::CHECK_VIOLATION, reason.clone()),
            Self::BadPeriod { reason, .. } => SqlError::new(SqlState::INVALID_PARAMETER_VALUE, *reason),
            Self::Payload { name } => SqlError::new(SqlState::IO_ERROR, format!("payload \"{name}\" is missing or damaged")),
            Self::Full => SqlError::new(SqlState::DISK_FULL, "no space left on the device that holds the data")
                .hint("Nothing of this statement was kept. Free some space and try again."),
            Self::InUse => SqlError::new(SqlState::OBJECT_IN_USE, "the data directory is in use by another process"),
            Self::Unreachable => {
                SqlError::new(SqlState::CONNECTION_FAILURE, "the store cannot be reached; nothing of this statement was kept")
            }
            Self::Undecided => SqlError::new(
                SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
                "the store went away while committing; whether anything of this statement was kept is not known",
            )
            .hint("Look whether the change is there before you repeat it."),
            Self::Unsupported(what) => {
                SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported by this store"))
            }
            Self::Closed => SqlError::new(SqlState::CANNOT_CONNECT_NOW, "the database is shutting down"),
            Self::Corrupt(_) => {
                SqlError::new(SqlState::DATA_CORRUPTED, "the store cannot be read; the server's log has the cause")
            }
            Self::Engine(_) => SqlError::new(SqlState::IO_ERROR, "the store failed; the server's log has the cause"),
        }
    }
}

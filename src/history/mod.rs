//! The one door to a database's data: read a scope, append a commit, table definitions, sequences.
//!
//! Knows keys, payload bytes and definitions. Never SQL text beyond the opaque expressions that
//! definitions carry, and never a DataFusion plan.

pub mod catalog;
pub mod database;
pub mod error;
pub mod transaction;

pub use catalog::{
    Catalog, CheckDef, ColumnDef, ColumnId, IndexDef, RoleDef, SchemaDef, SequenceDef, TableDef, UniqueDef, ViewDef,
};
pub use database::{Database, RowBatch, RowScan, StateRow};
pub use error::HistoryError;
pub use transaction::{PendingRow, Transaction};

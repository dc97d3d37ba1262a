//! The one door to a database's data: read a scope, append a commit, table definitions, sequences.
//!
//! Knows keys, payload bytes and definitions. Never SQL text beyond the opaque expressions that
//! definitions carry, and never a DataFusion plan.

pub mod catalog;
pub mod database;
pub mod error;
pub mod privilege;
pub mod transaction;

mod adoption;
mod commit_log;
mod ddl;
mod definition;
mod documents;
mod indexing;
mod member_indexes;
mod object_id;
mod printed_key;
mod reads;
mod references;
mod request;
mod routine;
mod savepoint;
mod sequences;
mod shapes;
mod temporary;
mod timeline;
mod user_type;
mod written;

pub use catalog::{
    Catalog, CheckDef, CheckOption, CollectionDef, ColumnDef, ColumnId, ComputedIndexDef, ExtensionDef, ForeignKeyDef,
    Identification, Ids, IndexDef, IndexOrder, IndexPart, IndexShape, MaterializedDef, ReferentialAction, RoleDef, SchemaDef,
    SequenceDef, TableComments, TableDef, UniqueDef, ViewDef,
};
pub use database::{Database, Document, OnMissing, RowBatch, RowScan, StateRow};
pub use ddl::{CatalogError, SYSTEM_COLUMNS, TEMPORARY, is_system_schema, is_temporary_schema};
pub use documents::{document_id, jsonb as document_jsonb};
pub use error::HistoryError;
pub use indexing::{Build, Building};
pub use member_indexes::{can_be_indexed, member_part};
pub use object_id::{object_id, object_ids};
pub use printed_key::print_reference;
pub use privilege::{Authority, Grants, PUBLIC};
pub use reads::{ReadMark, Reads};
pub use routine::{ArgumentDef, BodyForm, Language, RoutineDef, RoutineType, TriggerDef};
pub use savepoint::Savepoint;
pub use shapes::{DOCUMENT_ID, member_name};
pub use temporary::Temporary;
pub use transaction::{Base, PendingRow, TableWrites, Timing, Transaction};
pub use user_type::{CompositeDef, DomainDef, EnumValue, NamedType, TypeDef, TypeKind};
pub use written::{Unwritable, check_row as check_document};

#[cfg(test)]
mod tests;

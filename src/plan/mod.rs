//! Statement to rows: DataFusion with versioned tables, our DML nodes, functions and system relations.
//!
//! Names no concrete store and no socket; reads and writes go through `history`.

pub mod casts;
pub mod context;
pub mod engine;
pub mod functions;
pub mod keys;
pub mod modify;
pub mod payload;
pub mod point;
pub mod rows;
pub mod type_planner;

pub use context::{DefaultScope, Notices, SchemaAt, SequenceValues, SettingsAccess, StatementContext};
pub use engine::{Engine, EngineConfig, Execution, Prepared, ResultColumn, RowStream};

//! Statement to rows: DataFusion with versioned tables, our DML nodes, functions and system relations.
//!
//! Names no concrete store and no socket; reads and writes go through `history`.

pub mod casts;
pub mod catalog;
mod columns;
mod compound;
pub mod computed_keys;
mod constant;
pub mod context;
mod correlated;
mod diagnose;
mod distinct_casts;
pub mod domains;
pub mod engine;
mod expand;
mod explain;
pub mod functions;
mod in_order;
pub mod keys;
mod late_keys;
mod literals;
mod locate;
mod marker;
mod member_filters;
mod memory;
pub mod modify;
mod names;
mod ordered;
mod ordering;
mod outer_names;
mod output;
mod parameters;
pub mod payload;
pub mod point;
mod precedence;
mod pushdown;
mod query;
mod relations;
mod resolution;
mod returned;
pub mod routines;
mod row_forms;
pub mod rows;
mod scan;
mod scope;
mod select_forms;
mod select_literals;
mod sequence;
mod set_operations;
mod set_returning;
mod system;
mod table;
mod text_arguments;
mod traits;
pub mod type_planner;
mod using;
mod void_arguments;
mod whole_rows;
mod wildcards;
mod windows;
mod worker;

pub use catalog::CatalogueCache;
pub use context::{
    AdvisoryKey, AdvisoryLocks, Authorities, CursorInfo, DatabaseFacts, DefaultScope, LockFacts, LockedThing, Message, Messages,
    Notices, PreparedInfo, SchemaAt, SequenceValues, ServerView, SessionFacts, SessionObjects, SettingFacts, SettingsAccess,
    StatementContext,
};
pub use diagnose::diagnose;
pub use engine::{Engine, EngineConfig, Execution, Pattern, Prepared, ResultColumn, RowStream};
pub use locate::located;
pub use memory::Held;
pub use returned::Returned;

#[cfg(test)]
mod tests;

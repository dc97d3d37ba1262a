//! PostgreSQL's types: OIDs, modifiers, names, text and binary formats, and the Arrow type that stands for
//! each. One Arrow type per PostgreSQL type, and field metadata where Arrow cannot tell two apart.
//!
//! Ground for `wire`, `plan`, `session` and `history`. Knows no table, no SQL statement and no socket.

pub mod name;
pub mod pg_type;

pub use name::{Identity, Qualified};
pub use pg_type::{Oid, PgType, TypeName};

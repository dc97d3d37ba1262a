//! PostgreSQL's types: OIDs, modifiers, names, text and binary formats, and the Arrow type that stands for
//! each. One Arrow type per PostgreSQL type, and field metadata where Arrow cannot tell two apart.
//!
//! Ground for `wire`, `plan`, `session` and `history`. Knows no table, no SQL statement and no socket.

pub mod array;

pub mod calendar;
pub mod complaint;
pub mod datetime;
pub mod decode;
pub mod encode;
pub mod interval;
pub mod json;
pub mod jsonpath;
pub mod members;
pub mod name;
pub mod nested;
pub mod number;
pub mod numeric;
pub mod order;
pub mod pg_type;
pub mod plain;
pub mod precision;
pub mod record;
pub mod text;
pub mod user;
pub mod written;
pub mod zone;

pub use decode::decode_parameter;
pub use encode::RowEncoder;
pub use name::{ArgumentMode, Identity, OnCommit, Qualified, TriggerTiming, Volatility};
pub use pg_type::{Oid, PgType, TypeName};
pub use text::{scalar_from_text, write_value};
pub use user::UserType;
pub use written::Written;
pub use zone::Zone;

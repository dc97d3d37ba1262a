//! The stored format of the library Chronos-DB, as pure code: what its documents and objects mean and how its bytes are
//! made.
//!
//! Nothing here opens a connection or a file, and nothing knows a driver: documents come in as plain values and go out as
//! plain values.

pub mod backoff;
pub mod base64_props;
pub mod counters;
pub mod hrw;
pub mod indexes;
pub mod json;
pub mod keys;
pub mod life;
pub mod merge;
pub mod meta;
pub mod sweep;
pub mod system;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
pub(crate) use tests::samples;

pub use life::{Anomaly, Head, Life, Presence, Row, State, Step, Written};

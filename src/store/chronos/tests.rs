//! The format held against what the library made: its vectors, its documents, its objects.

mod data_set;
pub(crate) mod samples;
mod vectors;

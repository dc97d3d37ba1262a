//! Statements about one item, named by its whole primary key: compiled once, run without a planner.
//!
//! Gives exactly the answers of the general path, and leaves every statement it is not sure about to it.

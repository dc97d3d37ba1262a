//! Statements about one item, named by its whole primary key: compiled once, run without a planner.
//!
//! Gives exactly the answers of the general path, and leaves every statement it is not sure about to it.
//! Writes of one item are `modify`'s own, see [`super::modify::Modify::is_compiled`]; the read is here.

mod read;
mod shape;
mod template;

pub use read::PointRead;
pub use shape::KeyMatch;
pub use template::Template;

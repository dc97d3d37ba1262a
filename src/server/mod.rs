//! The composition root: names the concrete stores, puts everything together, starts it and stops it.
//!
//! Owns the data directory and the order of starting and stopping. Nothing above `main` names it, and it decides
//! nothing that a module below could.

mod data;
pub mod demo;
mod running;

pub use data::{DataDirectory, DataError};
pub use running::{Opened, Password, Running, Settings, StartError};

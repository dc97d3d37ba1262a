//! The composition root: names the concrete stores, puts everything together, starts it and stops it.
//!
//! Owns the data directory and the order of starting and stopping. Nothing above `main` names it, and it decides
//! nothing that a module below could.

pub mod check;
pub mod copy;
mod data;
pub mod demo;
mod deployment;
mod running;

pub use data::{DataDirectory, DataError};
pub use deployment::DeploymentError;
pub use running::{Opened, Password, Running, Settings, StartError};

//! Everything that is tested through a socket, or over the sources as a whole.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets what it did not expect fails")]

mod admission;
mod client_queries;
mod clients;
mod copy;
mod crash;
mod demo;
mod deployments;
mod docker;
mod examples;
mod harness;
mod histories;
mod layers;
mod lifecycle;
mod protocol;
mod psql;
mod raw;
mod session;
mod slt;
mod store_crash;

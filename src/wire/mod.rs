//! The PostgreSQL protocol, version 3: startup, TLS, SCRAM, simple and extended queries, COPY, cancel, rows as bytes.
//!
//! Knows sessions and what they reply. Never SQL, a plan or a store. What is sent is encoded by pgwire, and SCRAM is
//! pgwire's; what is received is decoded here, because a frame must be bounded before memory is taken for it, its
//! text must be UTF-8 rather than replaced, and no frame, however malformed, may be more than an error of its own
//! connection.

mod backend;
mod channel;
mod connection;
mod copy;
mod frontend;
mod guard;
mod listener;
mod registry;
mod rows;
mod scram;
mod shutdown;
mod startup;
mod tls;

pub use listener::{Server, WireOptions};
pub use shutdown::Shutdown;
pub use tls::{Tls, TlsError};

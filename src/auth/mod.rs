//! Who a client is and what a role may do: SCRAM-SHA-256 verifiers, role membership, privileges.
//!
//! Knows roles and grants. Never SQL text, the wire or a store.

pub mod membership;
pub mod scram;

pub use crate::history::privilege::{Authority, Grants, PUBLIC, denied, not_owner};
pub use membership::{DATABASE_OWNER, authority, authority_in};
pub use scram::{Verifier, stored_password};

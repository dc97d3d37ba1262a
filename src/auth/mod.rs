//! Who a client is and what a role may do: SCRAM-SHA-256 verifiers, role membership, privileges.
//!
//! Knows roles and grants. Never SQL text, the wire or a store.

//! Background work: each kind a pure `step(now) -> Result<Progress>` in a supervised loop, callable by hand.
//!
//! What belongs here works on databases through `history` and `tenancy` and answers no statement:
//! compaction, retention, scheduled work, the change feed. What a store does to keep itself in order
//! (checkpoints, group commit) is the store's own.

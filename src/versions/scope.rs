//! What part of a table's history one table reference reads.

use super::{CommitNo, Timestamp};

/// An upper bound on everything a statement reads: the newest commit it may see.
///
/// Fixed at a transaction's first statement. `time` is that commit's time, so that a later instant in a
/// clause reads the state at the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    pub commit: CommitNo,
    pub time: Timestamp,
}

/// The part of a table's history that one table reference reads, always under a [`Snapshot`].
///
/// A version is visible on the half-open span `[from, to)`: at `to` the next one is already the one seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The state at the snapshot.
    Current,
    /// The state at this instant. No version yet means no row, not an error.
    AsOf(Timestamp),
    /// The state when this commit had just been made.
    AsOfCommit(CommitNo),
    /// Every state visible at some instant of `[from, until)`; empty when `from >= until`.
    FromTo { from: Timestamp, until: Timestamp },
    /// Every state visible at some instant of `[from, until]`; empty when `from > until`.
    Between { from: Timestamp, until: Timestamp },
    /// Every state that began and ended within `[from, until]`.
    ContainedIn { from: Timestamp, until: Timestamp },
    /// Every state that is kept.
    All,
}

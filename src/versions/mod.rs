//! The pure domain: identifiers, time, scopes, versions, commits and which version a reader sees.
//!
//! No IO, no clock, no async, no Arrow, no driver: functions of values, testable without a runtime.
//! `model` is the whole of it in a BTreeMap, the oracle that every store is compared with.

pub mod change;
pub mod commit;
pub mod ids;
pub mod key;
pub mod members;
pub mod model;
pub mod scope;
pub mod version;

pub use change::{
    Candidates, CatalogChange, CatalogRow, CommitRequest, HeadCheck, IndexBackfill, IndexCandidates, IndexEntry, Refusal,
    Requirement, RowChange, RowState, ScanRequest, StoredVersion,
};
pub use commit::{CommitInfo, CommitStamp, Context};
pub use ids::{CommitNo, IndexId, ItemKey, TableId, Timestamp, VersionNo};
pub use key::{KeyFilter, KeyPart, encode_key};
pub use members::{MemberFilter, MemberForm, MemberIndex, MemberPart, MemberTest, MemberValue};
pub use scope::{Scope, Snapshot};
pub use version::{Op, Period, PeriodEnd, Version};

//! Where bytes live: the contracts of index and payload stores, their implementations and one
//! conformance suite per contract.
//!
//! Knows versions, commits and opaque bytes. Knows nothing of schemas, SQL or what a payload means.

pub mod checksum;
pub mod chronos;
pub mod collections;
pub mod conformance;
pub mod error;
pub mod index;
mod loading;
pub mod memory;
pub mod mongo;
pub mod object;
pub mod payload;
pub mod sqlite;

pub use checksum::Checksum;
pub use collections::{AnomalyBatch, Collection, Collections, Progress};
pub use error::StoreError;
pub use index::{
    Candidates, CatalogChange, CatalogRow, CommitRequest, HeadCheck, IndexBackfill, IndexCandidates, IndexEntry, IndexStore,
    LoadRequest, Requirement, RowChange, RowState, ScanRequest, StoredVersion, VersionBatch, VersionName,
};
pub use object::{DiskCacheSettings, NewObject, ObjectPayloads, ObjectSettings, Occupied, presence};
pub use payload::{InlinePayloads, PayloadRef, PayloadStore, readable};

//! What a writer asks for and a reader gets: changes, loads, reads and refusals, as plain values.
//!
//! Generic over the payload `P`: the oracle keeps whatever it is given, stores keep references to bytes.
//! What a key, a payload or a definition means is decided above.

use std::fmt::Debug;

use super::{
    CommitNo, CommitStamp, Context, IndexId, ItemKey, KeyFilter, MemberFilter, Op, Scope, Snapshot, TableId, Timestamp, Version,
    VersionNo,
};

/// What a commit does to one item. At most one per item and commit.
#[derive(Clone, Debug)]
pub struct RowChange<P> {
    pub table: TableId,
    pub key: ItemKey,
    /// What the writer believed the item to be; the commit fails when it is not so.
    pub check: HeadCheck,
    /// `Create` goes with `HeadCheck::Absent`, `Update` and the ops that end an item with `HeadCheck::At`,
    /// `Restore` with either.
    pub op: Op,
    /// The new state's payload; `None` exactly when `op.ends_item()`.
    pub payload: Option<P>,
    /// Entries of the state that is replaced, removed from unique indexes.
    pub old_entries: Vec<IndexEntry>,
    /// Entries of the new state, added to their indexes.
    pub new_entries: Vec<IndexEntry>,
}

/// What must hold of an item's head for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadCheck {
    /// No live state: else [`Refusal::KeyExists`].
    Absent,
    /// The live state is this one: else [`Refusal::Conflict`].
    At(VersionNo),
}

/// One row's entry in one index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IndexEntry {
    pub index: IndexId,
    /// The indexed values, encoded as a key.
    pub key: ItemKey,
    /// Whether at most one live item may hold it. (An entry with a NULL in it is never unique.)
    pub unique: bool,
}

/// A change of the catalogue: `Some` sets the definition of `(kind, id)`, `None` drops it. History of
/// definitions is kept like that of rows; of several changes of one definition in a commit the last counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogChange {
    pub kind: String,
    pub id: u32,
    pub definition: Option<String>,
}

/// One state of one definition, current or past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogRow {
    pub kind: String,
    pub id: u32,
    pub definition: String,
    pub begun: CommitStamp,
    pub ended: Option<CommitStamp>,
}

/// Entries for states that exist already, made together with a new index.
#[derive(Clone, Debug)]
pub struct IndexBackfill {
    pub table: TableId,
    /// The snapshot the states were read under: [`Refusal::Conflict`] when a later commit changed the table.
    pub seen: CommitNo,
    /// Items with their entries. `unique` only on entries of live states.
    pub entries: Vec<(ItemKey, IndexEntry)>,
}

/// What must hold of items that a commit does not change itself: what a reference between rows stands on. Where it
/// does not, the refusal is [`Refusal::Conflict`] about the item, or about the whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The item is live once the commit is made.
    Live { table: TableId, key: ItemKey },
    /// Some live item of the table holds this key of a unique index once the commit is made.
    Held { table: TableId, index: IndexId, key: ItemKey },
    /// Before the commit, no live item of the table that ever had this entry is in a state begun after `seen`.
    Unclaimed { table: TableId, index: IndexId, key: ItemKey, seen: CommitNo },
}

/// An atomic set of changes. Applied whole, durable before it is acknowledged, or not at all.
///
/// Checks are made in this order, the first that fails is the refusal: catalogue, truncated and backfilled
/// tables, what must be unclaimed, heads in order of `rows`, unique entries of `rows` (after the removal of every
/// old entry, so that rows may exchange values), unique entries of `backfill`, what must be live or held.
#[derive(Clone, Debug)]
pub struct CommitRequest<P> {
    pub context: Context,
    /// Names for the commit log, see [`super::CommitInfo::tables`].
    pub tables: Vec<String>,
    pub rows: Vec<RowChange<P>>,
    /// Tables whose every live item ends with [`Op::Truncate`] before `rows` are applied (to `rows` they are
    /// absent); with the newest commit that may have changed them ([`Refusal::Conflict`] when a later one did).
    pub truncate: Vec<(TableId, CommitNo)>,
    pub catalog: Vec<CatalogChange>,
    pub backfill: Vec<IndexBackfill>,
    /// What else must hold for the commit to be made.
    pub requires: Vec<Requirement>,
    /// The newest catalogue commit the request was planned under; `None` skips the check.
    pub catalog_seen: Option<CommitNo>,
    /// The commit's time. `None` takes the store's clock; given (by loaders), it must be later than the
    /// last commit's. Either way the time used is `max(this, last + 1 µs)`.
    pub time: Option<Timestamp>,
}

impl<P> CommitRequest<P> {
    /// Whether nothing would change; such a request makes no commit.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.truncate.is_empty() && self.catalog.is_empty() && self.backfill.is_empty()
    }

    /// The first row that no store could make sense of, as a refusal. Whatever the store holds, it would refuse it.
    pub fn check_form(&self) -> Result<(), Refusal> {
        self.rows.iter().try_for_each(RowChange::check_form)
    }
}

impl<P> RowChange<P> {
    fn check_form(&self) -> Result<(), Refusal> {
        let matches = match (self.op, self.check) {
            (Op::Create, HeadCheck::At(_)) | (Op::Update, HeadCheck::Absent) => false,
            (op, HeadCheck::Absent) => !op.ends_item(),
            (_, HeadCheck::At(_)) => true,
        };
        if !matches {
            return Err(Refusal::Malformed("a change's op does not go with its check"));
        }
        if self.payload.is_none() != self.op.ends_item() {
            return Err(Refusal::Malformed("a change has a payload exactly when it leaves a state"));
        }
        Ok(())
    }
}

impl<P> Default for CommitRequest<P> {
    fn default() -> Self {
        Self {
            context: Context::default(),
            tables: Vec::new(),
            rows: Vec::new(),
            truncate: Vec::new(),
            catalog: Vec::new(),
            backfill: Vec::new(),
            requires: Vec::new(),
            catalog_seen: None,
            time: None,
        }
    }
}

/// One state with the period it is to have. States of one item must come in order of time.
///
/// A load is refused as a whole with [`Refusal::BadPeriod`] when a period is empty, reversed or reaches
/// beyond the load's own commit time, when periods of one item overlap or run backwards (among themselves
/// or with what the item has), or when a state follows an open one.
///
/// A state that begins where the item's last loaded one ended is an UPDATE, and so is that end; after a gap,
/// at first, or where the item was ended by a commit, it is a CREATE. An end that no later state continues,
/// in this load or another, is a DELETE.
#[derive(Clone, Debug)]
pub struct RowState<P> {
    pub key: ItemKey,
    pub from: Timestamp,
    /// `None` is open.
    pub to: Option<Timestamp>,
    pub payload: P,
    /// Unique ones are held only by an open state.
    pub entries: Vec<IndexEntry>,
}

/// A read of one table.
#[derive(Clone, Debug)]
pub struct ScanRequest {
    pub table: TableId,
    pub snapshot: Snapshot,
    pub scope: Scope,
    pub keys: KeyFilter,
    /// Only these items; a help: a superset may be returned.
    pub candidates: Option<Candidates>,
    /// Without payloads the versions' `payload` is empty and unusable.
    pub payloads: bool,
    /// Stop after this many versions.
    pub limit: Option<usize>,
}

impl ScanRequest {
    /// The candidates that an index names.
    pub fn index_candidates(&self) -> Option<&IndexCandidates> {
        match &self.candidates {
            Some(Candidates::Index(wanted)) => Some(wanted),
            Some(Candidates::Members(_)) | None => None,
        }
    }
}

/// What is known of the items that are wanted, besides their keys.
#[derive(Clone, Debug)]
pub enum Candidates {
    Index(IndexCandidates),
    /// Items whose document has, in any version, members that pass all of these.
    Members(Vec<MemberFilter>),
}

impl From<IndexCandidates> for Candidates {
    fn from(wanted: IndexCandidates) -> Self {
        Self::Index(wanted)
    }
}

/// Items that had, in any version, an entry of `index` whose key satisfies `keys`.
#[derive(Clone, Debug)]
pub struct IndexCandidates {
    pub index: IndexId,
    pub keys: KeyFilter,
}

/// One state as it is stored, its period as the request's snapshot sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion<P> {
    pub key: ItemKey,
    pub version: Version,
    pub payload: P,
}

/// Why a change was not made. Nothing of the request was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The item (with an empty key: the table) changed after what the request was made under.
    Conflict { table: TableId, key: ItemKey },
    /// A change that needs an absent item met a live one.
    KeyExists { table: TableId, key: ItemKey },
    /// Another live item holds this key of a unique index.
    UniqueExists { index: IndexId, key: ItemKey },
    /// The catalogue changed after what the request was planned under.
    CatalogConflict,
    /// A loaded period cannot be.
    BadPeriod { table: TableId, key: ItemKey, reason: &'static str },
    /// The request contradicts itself.
    Malformed(&'static str),
}

/// The reasons that [`Refusal::BadPeriod`] gives, one wording for every store.
pub mod bad_period {
    pub const EMPTY: &str = "a version's period must end after it begins";
    pub const FUTURE: &str = "a version's period must not reach into the future";
    pub const AFTER_OPEN: &str = "a version follows one that has not ended";
    pub const OVERLAP: &str = "a version begins before the end of the one before it";
}

/// The key that a [`Refusal::Conflict`] about a whole table carries.
pub fn whole_table() -> ItemKey {
    ItemKey::from_bytes([])
}

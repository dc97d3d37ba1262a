//! What every index store must do, as tests that any implementation can be put through.
//!
//! [`rules`] states the contract rule by rule, [`random`] compares long random histories with the model. Both
//! take a way to make an empty store over a given clock and panic where the store is wrong. [`payloads`] does so for a
//! payload store.

pub mod payloads;
pub mod random;
pub mod rules;

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::{
    CommitRequest, HeadCheck, IndexEntry, IndexStore, LoadRequest, PayloadRef, RowChange, RowState, ScanRequest, StoreError,
    StoredVersion,
};
use crate::versions::{
    CommitStamp, Context, IndexId, ItemKey, KeyFilter, KeyPart, Op, Scope, Snapshot, TableId, Timestamp, VersionNo, encode_key,
};

/// Puts a store through every rule. `make` gives an empty one.
pub async fn index_store(make: &impl AsyncFn(Arc<dyn crate::runtime::Clock>) -> Arc<dyn IndexStore>) {
    rules::all(make).await;
}

pub(crate) const TABLE: TableId = TableId(7);

pub(crate) fn key(name: &str) -> ItemKey {
    encode_key([KeyPart::Text(name)])
}

pub(crate) fn doc(text: &str) -> PayloadRef {
    PayloadRef::Inline(Bytes::copy_from_slice(text.as_bytes()))
}

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub(crate) fn change(name: &str, check: HeadCheck, op: Op, text: Option<&str>) -> RowChange {
    RowChange { table: TABLE, key: key(name), check, op, payload: text.map(doc), old_entries: vec![], new_entries: vec![] }
}

pub(crate) fn create(name: &str, text: &str) -> RowChange {
    change(name, HeadCheck::Absent, Op::Create, Some(text))
}

pub(crate) fn update(name: &str, number: u64, text: &str) -> RowChange {
    change(name, HeadCheck::At(VersionNo(number)), Op::Update, Some(text))
}

pub(crate) fn delete(name: &str, number: u64) -> RowChange {
    change(name, HeadCheck::At(VersionNo(number)), Op::Delete, None)
}

pub(crate) fn rows(rows: Vec<RowChange>) -> CommitRequest {
    CommitRequest { rows, tables: vec!["public.t".to_owned()], ..CommitRequest::default() }
}

pub(crate) fn entry(index: u32, value: &str, unique: bool) -> IndexEntry {
    IndexEntry { index: IndexId(index), key: key(value), unique }
}

pub(crate) fn state(name: &str, from: i64, to: Option<i64>, text: &str) -> RowState {
    RowState { key: key(name), from: at(from), to: to.map(at), payload: doc(text), entries: vec![] }
}

pub(crate) fn snapshot(stamp: CommitStamp) -> Snapshot {
    Snapshot { commit: stamp.commit, time: stamp.time }
}

pub(crate) fn whole(scope: Scope, snapshot: Snapshot) -> ScanRequest {
    ScanRequest { table: TABLE, snapshot, scope, keys: KeyFilter::All, candidates: None, payloads: true, limit: None }
}

pub(crate) async fn scan(store: &dyn IndexStore, request: ScanRequest) -> Result<Vec<StoredVersion>, StoreError> {
    let mut found = Vec::new();
    let mut batches = store.scan(request);
    while let Some(batch) = batches.next().await {
        found.extend(batch?);
    }
    Ok(found)
}

/// Loads these batches; an `Err` among them abandons the load.
pub(crate) async fn load(
    store: &dyn IndexStore,
    table: TableId,
    batches: Vec<Result<Vec<RowState>, StoreError>>,
) -> Result<(CommitStamp, u64), StoreError> {
    let (send, states) = tokio::sync::mpsc::channel(batches.len().max(1));
    for batch in batches {
        // The channel has room for all of them.
        let _ = send.try_send(batch);
    }
    drop(send);
    store.load(LoadRequest { context: Context::default(), table, table_name: "public.t".to_owned(), states }).await
}

//! One database: its stores, its definitions through time, and the only way to read or change either.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;

use super::{Catalog, HistoryError, TableDef, Transaction};
use crate::runtime::Clock;
use crate::store::{IndexStore, PayloadStore, RowState, ScanRequest};
use crate::versions::{CommitInfo, CommitNo, CommitStamp, Context, ItemKey, Scope, Snapshot, TableId, Timestamp, Version};

/// One state with its payload's bytes.
#[derive(Clone, Debug)]
pub struct StateRow {
    pub key: ItemKey,
    pub version: Version,
    pub payload: Bytes,
}

pub type RowBatch = Vec<StateRow>;
pub type RowScan = BoxStream<'static, Result<RowBatch, HistoryError>>;

/// A database that is open. Shared by all its connections.
#[derive(Debug)]
pub struct Database {
    name: String,
    #[expect(dead_code)]
    index: Arc<dyn IndexStore>,
    #[expect(dead_code)]
    payloads: Arc<dyn PayloadStore>,
    #[expect(dead_code)]
    clock: Arc<dyn Clock>,
}

#[expect(unused_variables)]
impl Database {
    /// Opens over these stores; reads every definition. A new database gets the schema `public`.
    pub async fn open(
        name: &str,
        index: Arc<dyn IndexStore>,
        payloads: Arc<dyn PayloadStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, HistoryError> {
        todo!()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Microseconds now, never earlier than the newest commit.
    pub fn now(&self) -> Timestamp {
        todo!()
    }

    /// Definitions at the newest commit.
    pub fn catalog(&self) -> Arc<Catalog> {
        todo!()
    }

    /// Definitions as they were in `scope` (`Current` and the ranges: at the snapshot).
    pub fn catalog_at(&self, scope: Scope, snapshot: Snapshot) -> Arc<Catalog> {
        todo!()
    }

    /// Every definition this table ever had with the commit it began at, oldest first.
    pub fn table_states(&self, table: TableId) -> Vec<(CommitStamp, Arc<TableDef>)> {
        todo!()
    }

    /// The newest acknowledged commit, as a bound for reads.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// A transaction on the newest snapshot.
    pub fn begin(&self, context: Context) -> Transaction {
        todo!()
    }

    /// Makes the transaction's changes one commit. `Ok(None)` when it changed nothing.
    pub async fn commit(&self, transaction: Transaction) -> Result<Option<CommitStamp>, HistoryError> {
        todo!()
    }

    /// See [`crate::store::LoadRequest`].
    pub async fn load(
        &self,
        context: Context,
        table: &TableDef,
        states: tokio::sync::mpsc::Receiver<Result<Vec<RowState>, crate::store::StoreError>>,
    ) -> Result<u64, HistoryError> {
        todo!()
    }

    /// States of one table with their payloads, ordered by (key, from). Own writes of a transaction are not
    /// in it: who scans lays them over.
    pub fn scan(&self, request: ScanRequest) -> RowScan {
        todo!()
    }

    /// The state of each item in a scope that picks at most one, in order.
    pub async fn get(
        &self,
        table: TableId,
        keys: &[ItemKey],
        scope: Scope,
        snapshot: Snapshot,
    ) -> Result<Vec<Option<StateRow>>, HistoryError> {
        todo!()
    }

    /// The live item that holds this key of a unique index at the newest commit.
    pub async fn unique_holder(&self, index: crate::versions::IndexId, key: &ItemKey) -> Result<Option<ItemKey>, HistoryError> {
        todo!()
    }

    pub async fn live_count(&self, table: TableId, snapshot: Snapshot) -> Result<Option<u64>, HistoryError> {
        todo!()
    }

    /// Commits with `from <= number <= to`, ascending.
    pub fn commits(&self, from: CommitNo, to: CommitNo) -> BoxStream<'static, Result<Vec<CommitInfo>, HistoryError>> {
        todo!()
    }

    /// The commit's stamp, or [`HistoryError::CommitNotReached`].
    pub async fn commit_stamp(&self, commit: CommitNo) -> Result<CommitStamp, HistoryError> {
        todo!()
    }

    /// The next value of a sequence; never given twice, whatever becomes of the transaction.
    pub async fn next_value(&self, sequence: &super::SequenceDef) -> Result<i64, HistoryError> {
        todo!()
    }

    /// `setval`: the next value is `value` itself when `is_called` is false, else the one after it.
    pub async fn set_value(&self, sequence: &super::SequenceDef, value: i64, is_called: bool) -> Result<(), HistoryError> {
        todo!()
    }

    /// `count` hidden row numbers of a table without primary key; returns the first.
    pub async fn row_numbers(&self, table: &TableDef, count: u64) -> Result<u64, HistoryError> {
        todo!()
    }

    /// Finishes what was accepted and refuses what comes after.
    pub async fn close(&self) -> Result<(), HistoryError> {
        todo!()
    }
}

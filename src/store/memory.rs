//! The reference implementations of both contracts: everything in maps, nothing on disk.
//!
//! [`MemoryIndex`] is [`Model`] behind a lock. It forgets everything when it is dropped, and refuses to be
//! fast: scans go through all of a table.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::{
    CatalogRow, CommitRequest, IndexStore, LoadRequest, PayloadRef, PayloadStore, ScanRequest, StoreError, StoredVersion,
    VersionBatch,
};
use crate::runtime::{Clock, meter};
use crate::versions::model::Model;
use crate::versions::{CommitInfo, CommitNo, CommitStamp, IndexId, ItemKey, KeyFilter, Scope, Snapshot, TableId, Timestamp};

/// How many rows of anything one batch holds.
const BATCH: usize = 1024;

/// Fewer live items than this are not parted.
const WORTH_PARTING: usize = if cfg!(test) { 64 } else { 20_000 };

/// An index in memory.
#[derive(Debug)]
pub struct MemoryIndex {
    model: RwLock<Model<PayloadRef>>,
    clock: Arc<dyn Clock>,
    closed: AtomicBool,
}

impl MemoryIndex {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { model: RwLock::default(), clock, closed: AtomicBool::new(false) }
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) { Err(StoreError::Closed) } else { Ok(()) }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.now_micros())
    }
}

#[async_trait]
impl IndexStore for MemoryIndex {
    fn last_commit(&self) -> CommitStamp {
        self.model.read().last_commit()
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitStamp, StoreError> {
        self.check_open()?;
        let now = self.now();
        Ok(self.model.write().commit(request, now)?)
    }

    async fn load(&self, mut request: LoadRequest) -> Result<(CommitStamp, u64), StoreError> {
        self.check_open()?;
        let mut states = Vec::new();
        while let Some(batch) = request.states.recv().await {
            states.extend(batch?);
        }
        let now = self.now();
        Ok(self.model.write().load(request.context, request.table, request.table_name, states, now)?)
    }

    async fn get(
        &self,
        table: TableId,
        keys: &[ItemKey],
        scope: Scope,
        snapshot: Snapshot,
    ) -> Result<Vec<Option<StoredVersion>>, StoreError> {
        self.check_open()?;
        meter::index_is_called();
        Ok(self.model.read().get(table, keys, scope, snapshot))
    }

    fn scan(&self, request: ScanRequest) -> BoxStream<'static, Result<VersionBatch, StoreError>> {
        if let Err(closed) = self.check_open() {
            return stream::iter([Err(closed)]).boxed();
        }
        let mut found = self.model.read().scan(&request);
        if !request.payloads {
            found.iter_mut().for_each(|v| v.payload = PayloadRef::Inline(Bytes::new()));
        }
        let asked = async move {
            meter::index_is_called();
            batches(found)
        };
        stream::once(asked).flatten().boxed()
    }

    async fn unique_holder(&self, index: IndexId, key: &ItemKey) -> Result<Option<ItemKey>, StoreError> {
        self.check_open()?;
        Ok(self.model.read().unique_holder(index, key))
    }

    async fn live_count(&self, table: TableId, snapshot: Snapshot) -> Result<Option<u64>, StoreError> {
        self.check_open()?;
        Ok(Some(self.model.read().live_count(table, snapshot)))
    }

    async fn borders(&self, table: TableId, shares: usize) -> Result<Vec<ItemKey>, StoreError> {
        self.check_open()?;
        let snapshot = Snapshot { commit: CommitNo::MAX, time: Timestamp::MAX };
        let (scope, keys) = (Scope::Current, KeyFilter::All);
        let all = ScanRequest { table, snapshot, scope, keys, candidates: None, payloads: false, limit: None };
        let live = self.model.read().scan(&all);
        if live.len() < WORTH_PARTING {
            return Ok(Vec::new());
        }
        let mut borders: Vec<ItemKey> =
            (1..shares).filter_map(|n| live.get(n * live.len() / shares)).map(|v| v.key.clone()).collect();
        borders.dedup();
        Ok(borders)
    }

    async fn last_change(&self, table: TableId) -> Result<CommitNo, StoreError> {
        self.check_open()?;
        Ok(self.model.read().last_change(table))
    }

    fn commits(&self, from: CommitNo, to: CommitNo) -> BoxStream<'static, Result<Vec<CommitInfo>, StoreError>> {
        match self.check_open() {
            Ok(()) => batches(self.model.read().commits(from, to)),
            Err(closed) => stream::iter([Err(closed)]).boxed(),
        }
    }

    async fn commit_at(&self, at: Timestamp) -> Result<Option<CommitStamp>, StoreError> {
        self.check_open()?;
        Ok(self.model.read().commit_at(at))
    }

    async fn commit_stamp(&self, commit: CommitNo) -> Result<Option<CommitStamp>, StoreError> {
        self.check_open()?;
        Ok(self.model.read().commit_stamp(commit))
    }

    async fn catalog(&self) -> Result<Vec<CatalogRow>, StoreError> {
        self.check_open()?;
        Ok(self.model.read().catalog())
    }

    async fn reserve(&self, counter: u32, count: u64) -> Result<u64, StoreError> {
        self.check_open()?;
        Ok(self.model.write().reserve(counter, count))
    }

    async fn counter(&self, counter: u32) -> Result<u64, StoreError> {
        self.check_open()?;
        Ok(self.model.read().counter(counter))
    }

    async fn set_counter(&self, counter: u32, next: u64) -> Result<(), StoreError> {
        self.check_open()?;
        self.model.write().set_counter(counter, next);
        Ok(())
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.closed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

fn batches<T: Send + 'static>(mut rows: Vec<T>) -> BoxStream<'static, Result<Vec<T>, StoreError>> {
    stream::iter(std::iter::from_fn(move || {
        let rest = rows.split_off(rows.len().min(BATCH));
        let batch = std::mem::replace(&mut rows, rest);
        (!batch.is_empty()).then_some(Ok(batch))
    }))
    .boxed()
}

/// A payload store in memory, with names, sizes and digests as an object store has them.
#[derive(Debug, Default)]
pub struct MemoryPayloads {
    objects: Mutex<HashMap<String, Bytes>>,
    next: AtomicU64,
}

impl MemoryPayloads {
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces what is stored under a name (`None` loses it): damage, for tests of those who read.
    pub fn damage(&self, name: &str, bytes: Option<Bytes>) {
        let mut objects = self.objects.lock();
        match bytes {
            Some(bytes) => objects.insert(name.to_owned(), bytes),
            None => objects.remove(name),
        };
    }

    fn fetch(&self, name: &str, size: u64, sha256: &[u8; 32]) -> Result<Bytes, StoreError> {
        let found = self.objects.lock().get(name).cloned();
        found
            .filter(|bytes| bytes.len() as u64 == size && <[u8; 32]>::from(Sha256::digest(bytes)) == *sha256)
            .ok_or_else(|| StoreError::Payload { name: name.to_owned() })
    }
}

#[async_trait]
impl PayloadStore for MemoryPayloads {
    async fn put(&self, payloads: Vec<Bytes>) -> Result<Vec<PayloadRef>, StoreError> {
        let mut objects = self.objects.lock();
        Ok(payloads
            .into_iter()
            .map(|bytes| {
                let name = format!("{:016x}", self.next.fetch_add(1, Ordering::SeqCst));
                let reference =
                    PayloadRef::Object { name: name.clone(), size: bytes.len() as u64, sha256: Sha256::digest(&bytes).into() };
                objects.insert(name, bytes);
                reference
            })
            .collect())
    }

    async fn get(&self, refs: &[PayloadRef]) -> Result<Vec<Bytes>, StoreError> {
        refs.iter()
            .map(|r| match r {
                PayloadRef::Inline(bytes) => Ok(bytes.clone()),
                PayloadRef::Object { name, size, sha256 } => self.fetch(name, *size, sha256),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[tokio::test]
    async fn keeps_the_contract() {
        conformance::index_store(&async |clock| Arc::new(MemoryIndex::new(clock)) as Arc<dyn IndexStore>).await;
    }

    #[tokio::test]
    async fn agrees_with_the_model() {
        for seed in 0..4 {
            let make = async |clock| Arc::new(MemoryIndex::new(clock)) as Arc<dyn IndexStore>;
            conformance::random::history(seed, 100, &make).await;
        }
    }
}

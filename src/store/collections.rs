//! The contract of collections that another program wrote beside a database's own tables.
//!
//! Tells what there is and gives samples to infer columns from. Reading them is the index store's business, once a
//! table has been defined over one.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::chronos::Anomaly;
use super::{PayloadRef, StoreError};
use crate::versions::{ItemKey, MemberIndex, TableId};

/// What documents say that they should not, each with the item it is of.
pub type AnomalyBatch = Vec<(ItemKey, Anomaly)>;

/// One collection of documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Collection {
    /// Which of the database's places it is in: the schema that its table belongs to.
    pub place: String,
    /// As it is spelt there.
    pub name: String,
}

/// How far some work is.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress {
    /// There is this much to do, about.
    pub fn expect(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// So much more is done.
    pub fn add(&self, done: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }

    /// What there is to do, and how much of it is done.
    pub fn get(&self) -> (u64, u64) {
        let (total, done) = (self.total.load(Ordering::Relaxed), self.done.load(Ordering::Relaxed));
        (total.max(done), done)
    }
}

/// The collections of a database.
#[async_trait]
pub trait Collections: Send + Sync + Debug {
    /// All there are now, in order of place and name.
    async fn list(&self) -> Result<Vec<Collection>, StoreError>;

    /// Where the documents of up to `most` versions are, the newest items first; fewer only when there are no more.
    async fn sample(&self, collection: &Collection, most: usize) -> Result<Vec<PayloadRef>, StoreError>;

    /// What is odd in the collection that this table is over, in order of keys; nothing for a table of ours.
    async fn anomalies(&self, table: TableId) -> Result<BoxStream<'static, Result<AnomalyBatch, StoreError>>, StoreError>;

    /// Keeps the members of an index beside every document there is of a table, and has them indexed there. Nothing that a
    /// read gives depends on it, and it may be repeated.
    async fn index(&self, table: TableId, index: &MemberIndex, progress: &Progress) -> Result<(), StoreError>;
}

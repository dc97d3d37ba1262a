//! The library's collections in the places of a database, as tables can be defined over them.

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::{Identity, MongoIndex};
use crate::store::{AnomalyBatch, Collection, Collections, PayloadRef, Progress, StoreError};
use crate::versions::{MemberIndex, TableId};

/// What the names of collections of heads end in.
pub(super) const HEADS: &str = "_head";

/// MongoDB databases that are the servers' own.
pub(super) const SYSTEM: [&str; 3] = ["admin", "config", "local"];

#[async_trait]
impl Collections for MongoIndex {
    async fn list(&self) -> Result<Vec<Collection>, StoreError> {
        let found = self.collections().await?.into_iter().filter(|collection| collection.identity == Identity::ObjectId);
        Ok(found.map(|collection| Collection { place: collection.place, name: collection.name }).collect())
    }

    async fn sample(&self, collection: &Collection, most: usize) -> Result<Vec<PayloadRef>, StoreError> {
        let mut sample = MongoIndex::sample(self, &collection.place, &collection.name, most).await?;
        sample.payloads.truncate(most);
        Ok(sample.payloads)
    }

    async fn anomalies(&self, table: TableId) -> Result<BoxStream<'static, Result<AnomalyBatch, StoreError>>, StoreError> {
        MongoIndex::anomalies(self, table).await
    }

    async fn index(&self, table: TableId, index: &MemberIndex, progress: &Progress) -> Result<(), StoreError> {
        self.core.check_open()?;
        let home = self.core.home(table).await?;
        match home.identity {
            Identity::Key => Ok(()),
            Identity::ObjectId => super::joint::indexing::build(&self.core, &home, index, progress).await,
        }
    }
}

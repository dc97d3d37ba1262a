//! The library's collections in the places of a database, as tables can be defined over them.

use std::time::Duration;

use async_trait::async_trait;

use super::server::Server;
use super::{Identity, MongoIndex};
use crate::store::{Collection, Collections, PayloadRef, StoreError};

/// MongoDB databases that are the servers' own.
const SYSTEM: [&str; 3] = ["admin", "config", "local"];

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
}

/// The databases of a server that have collections of the library, by name.
pub async fn databases_with_collections(uri: &str, patience: Duration) -> Result<Vec<String>, StoreError> {
    let server = Server::connect(uri, patience).await?;
    let mut found = Vec::new();
    for database in server.databases().await?.into_iter().filter(|name| !SYSTEM.contains(&name.as_str())) {
        if server.collections(&database).await?.iter().any(|name| name.ends_with("_head")) {
            found.push(database);
        }
    }
    found.sort();
    server.shutdown().await;
    Ok(found)
}

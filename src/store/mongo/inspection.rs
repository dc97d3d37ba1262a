//! What a MongoDB server is and holds, found out without opening a database: for `chronogate check`.
//!
//! Only reads, and makes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ClientOptions;

use super::collections::{HEADS, SYSTEM};
use super::server::{Find, Namespace, Server, raw};
use crate::store::StoreError;

/// Collections that are looked at at a time.
const CONCURRENCY: usize = 8;

/// A server under inspection.
#[derive(Debug)]
pub struct Inspection(Server);

/// What the server says of itself.
#[derive(Clone, Debug)]
pub struct MongoServer {
    pub version: String,
    pub transactions: bool,
    /// Its clock, in milliseconds since 1970; `None` where it does not tell.
    pub clock_ms: Option<i64>,
}

/// The documents of one collection of the library.
#[derive(Clone, Debug)]
pub struct CollectionFacts {
    pub name: String,
    /// Estimated, as the next.
    pub items: u64,
    /// `None` where there is no collection of versions.
    pub versions: Option<u64>,
    /// The library's counter, and the greatest `cv` of any version.
    pub counter: Option<i64>,
    pub newest_cv: Option<i64>,
    /// Names of the indexes of heads and of versions.
    pub head_indexes: BTreeSet<String>,
    pub version_indexes: BTreeSet<String>,
}

/// The hosts of a connection string, which are no secret; `None` where it is none.
pub async fn hosts(uri: &str) -> Option<String> {
    let options = ClientOptions::parse(uri).await.ok()?;
    let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    Some(hosts.join(","))
}

impl Inspection {
    /// Connects; fails as [`super::MongoIndex::open`] does.
    pub async fn begin(uri: &str, patience: Duration) -> Result<Self, StoreError> {
        Server::connect(uri, patience).await.map(Self)
    }

    pub async fn server(&self) -> Result<MongoServer, StoreError> {
        let build = self.0.command("admin", doc! { "buildInfo": 1 }).await?;
        let hello = self.0.command("admin", doc! { "hello": 1 }).await?;
        Ok(MongoServer {
            version: build.get_str("version").unwrap_or("unknown").to_owned(),
            transactions: self.0.transactions(),
            clock_ms: hello.get_datetime("localTime").ok().map(|time| time.timestamp_millis()),
        })
    }

    /// The databases that have collections of the library, by name.
    pub async fn databases(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for database in self.0.databases().await?.into_iter().filter(|name| !SYSTEM.contains(&name.as_str())) {
            if self.0.collections(&database).await?.iter().any(|name| name.ends_with(HEADS)) {
                found.push(database);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The library's collections in a database, by name; none where there is no such database.
    pub async fn collections(&self, database: &str) -> Result<Vec<CollectionFacts>, StoreError> {
        let there: BTreeSet<String> = self.0.collections(database).await?.into_iter().collect();
        let names: Vec<&str> = there.iter().filter_map(|name| name.strip_suffix(HEADS)).collect();
        let looks = names.into_iter().map(|name| self.collection(database, name, &there));
        stream::iter(looks).buffered(CONCURRENCY).try_collect().await
    }

    async fn collection(&self, database: &str, name: &str, there: &BTreeSet<String>) -> Result<CollectionFacts, StoreError> {
        let within = |suffix: &str| Namespace::new(database, format!("{name}{suffix}"));
        let (heads, versions) = (within(HEADS), within("_ver"));
        let has_versions = there.contains(&versions.collection);
        let counter = self.0.find_one(&within("_counter"), Find::new(doc! { "_id": "cv" })).await?;
        let newest = Find::new(doc! {}).sort(doc! { "cv": -1 }).only(doc! { "cv": 1 });
        let newest = self.0.find_one(&versions, newest).await?;
        Ok(CollectionFacts {
            name: name.to_owned(),
            items: self.0.estimate(&heads).await?,
            versions: if has_versions { Some(self.0.estimate(&versions).await?) } else { None },
            counter: whole(counter.as_ref(), "value")?,
            newest_cv: whole(newest.as_ref(), "cv")?,
            head_indexes: self.index_names(&heads).await?,
            version_indexes: self.index_names(&versions).await?,
        })
    }

    async fn index_names(&self, ns: &Namespace) -> Result<BTreeSet<String>, StoreError> {
        let indexes = self.0.indexes(ns).await?;
        Ok(indexes.iter().filter_map(|index| index.get_str("name").ok().map(str::to_owned)).collect())
    }

    pub async fn end(self) {
        self.0.shutdown().await;
    }
}

/// A whole number of a document, in whatever type the driver of its writer chose.
fn whole(document: Option<&bytes::Bytes>, member: &str) -> Result<Option<i64>, StoreError> {
    let Some(document) = document else { return Ok(None) };
    let document = Document::try_from(raw(document)?).map_err(|_| StoreError::Engine("a document is damaged".to_owned()))?;
    Ok(match document.get(member) {
        Some(Bson::Int32(value)) => Some(i64::from(*value)),
        Some(Bson::Int64(value)) => Some(*value),
        Some(Bson::Double(value)) if value.fract() == 0.0 => Some(*value as i64),
        _ => None,
    })
}

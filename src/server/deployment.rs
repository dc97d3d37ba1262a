//! The stores of a deployment that the Chronos-DB library wrote: its MongoDB databases as indexes, its buckets as payloads.
//!
//! Names concrete stores. Decides nothing about what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::deployment::{CollectionMap, CounterRule, Database, Databases, Deployment, Objects, Place};
use crate::config::{ConfigError, Payloads};
use crate::error::{Diagnose, Result, SqlError, SqlState};
use crate::runtime::{Clock, Entropy};
use crate::store::chronos::counters::Rule;
use crate::store::chronos::json::{self, Form, Json};
use crate::store::mongo::{self, Counters, Inspection, LINGER, Layout, MongoIndex, MongoOptions, PlaceLayout};
use crate::store::{ObjectPayloads, ObjectSettings, PayloadStore, StoreError};
use crate::tenancy::{GIVEN, Stores};

/// How long a MongoDB server may take to answer at the start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a deployment cannot be served. The text is for the operator and never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot list the databases of a MongoDB server: {0}")]
    Listing(StoreError),
    #[error("{0} MongoDB servers are configured; databases spread over several servers are not supported")]
    ManyServers(usize),
    #[error("the schemas of database \"{database}\" lie on several MongoDB servers, which is not supported")]
    Scattered { database: String },
}

/// Opens the databases that a deployment's configuration names.
pub struct DeploymentStores {
    databases: BTreeMap<String, Database>,
    /// Where databases of our own are kept, if not in files.
    home: Option<Place>,
    collections: BTreeMap<String, CollectionMap>,
    rules: Vec<Rule>,
    payloads: Payloads,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for DeploymentStores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeploymentStores").field("databases", &self.databases.keys()).finish_non_exhaustive()
    }
}

impl DeploymentStores {
    /// Finds out which databases there are; asks the servers only where the configuration leaves that to them.
    pub async fn new(deployment: &Deployment, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self, DeploymentError> {
        let databases = match &deployment.databases {
            Databases::Named(databases) => databases.clone(),
            Databases::Found(backends) => match &backends.list[..] {
                [only] => {
                    let uri = only.mongo.reveal()?;
                    let found = databases_of(&uri).await.map_err(DeploymentError::Listing)?;
                    let database = |name: String| Database { places: vec![only.place(&name)], name };
                    found.into_iter().map(database).collect()
                }
                many => return Err(DeploymentError::ManyServers(many.len())),
            },
        };
        for database in &databases {
            if database.mongo().is_none() {
                return Err(DeploymentError::Scattered { database: database.name.clone() });
            }
        }
        let databases = databases.into_iter().map(|database| (database.name.clone(), database)).collect();
        let collections = deployment.collections.clone();
        let rules = deployment.counter_rules.iter().filter_map(rule).collect();
        let (home, payloads) = (deployment.home.clone(), deployment.own.payloads.clone());
        Ok(Self { databases, home, collections, rules, payloads, clock, entropy })
    }

    /// Names, each with what its stores are opened under.
    pub fn given(&self) -> Vec<(String, String)> {
        self.databases.keys().map(|name| (name.clone(), format!("{GIVEN}{name}"))).collect()
    }

    /// Whether databases of our own are kept here.
    pub fn keeps_own(&self) -> bool {
        self.home.is_some()
    }

    /// The stores of a database of our own.
    pub async fn open_own(&self, file: &str) -> Result<Stores> {
        let Some(home) = &self.home else { return Err(SqlError::internal("databases are kept in files")) };
        let payloads = self.payloads(&[(home.bucket.clone(), home.objects.clone())], file)?;
        let index = self.index(home, &format!("{}_{file}", home.mongo_database), |options| options).await?;
        Ok(Stores { index, payloads: Arc::new(payloads), collections: None })
    }

    /// Drops the documents of a database of our own. Its payloads stay, and nothing points to them.
    pub async fn remove_own(&self, file: &str) -> Result<()> {
        let Some(home) = &self.home else { return Ok(()) };
        let removed = mongo::remove(&secret(home)?, &format!("{}_{file}", home.mongo_database), PATIENCE).await;
        removed.map_err(|error| {
            tracing::error!(%error, file, "cannot remove a dropped database");
            error.diagnose()
        })
    }

    /// The stores of what [`Self::given`] named so.
    pub async fn open(&self, file: &str) -> Result<Stores> {
        let database = file.strip_prefix(GIVEN).and_then(|name| self.databases.get(name));
        let Some(database) = database else {
            return Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, "the configuration does not name this database"));
        };
        let Some(first) = database.places.first() else { return Err(SqlError::internal("a database without places")) };
        let payloads = self.payloads(&database.buckets(), &database.name)?;
        let layout = self.layout(database, payloads.clone());
        let payloads: Arc<dyn PayloadStore> = Arc::new(payloads);
        let in_place = |options| MongoOptions {
            places: database.places.iter().map(mongo_place).collect(),
            payloads: Some(Arc::clone(&payloads)),
            layout: Some(layout),
            ..options
        };
        let index = self.index(first, &first.mongo_database, in_place).await?;
        Ok(Stores { index: Arc::clone(&index) as _, payloads, collections: Some(index) })
    }

    fn payloads(&self, buckets: &[(String, Objects)], database: &str) -> Result<ObjectPayloads> {
        let settings = ObjectSettings::of(&self.payloads, database);
        let opened = ObjectPayloads::open(buckets, settings, Arc::clone(&self.entropy));
        opened.map_err(|error| refused(&error, database))
    }

    async fn index(
        &self,
        place: &Place,
        database: &str,
        further: impl FnOnce(MongoOptions) -> MongoOptions,
    ) -> Result<Arc<MongoIndex>> {
        let entropy = Arc::clone(&self.entropy);
        let options = further(MongoOptions { entropy, ..MongoOptions::new(secret(place)?, database) });
        let opened = MongoIndex::open(options, Arc::clone(&self.clock)).await;
        opened.map(Arc::new).map_err(|error| refused(&error, database))
    }
}

fn refused(error: &StoreError, database: &str) -> SqlError {
    tracing::error!(%error, database, "cannot open a database in MongoDB or its payloads");
    error.diagnose()
}

/// The databases of a server that have collections of the library, by name.
async fn databases_of(uri: &str) -> std::result::Result<Vec<String>, StoreError> {
    let server = Inspection::begin(uri, PATIENCE).await?;
    let found = server.databases().await;
    server.end().await;
    found
}

impl DeploymentStores {
    /// How the library lays out what is written to the places of a database.
    fn layout(&self, database: &Database, objects: ObjectPayloads) -> Layout {
        let place = |place: &Place| {
            let form = match place.objects {
                Objects::Folder(_) => Form::Indented,
                Objects::Service(_) => Form::Compact,
            };
            let counters = |analytics: &String| Counters { database: analytics.clone(), tenant: database.name.clone() };
            let layout = PlaceLayout {
                bucket: place.bucket.clone(),
                content_bucket: place.content_bucket.clone(),
                form,
                counters: place.analytics.as_ref().map(counters),
            };
            (place.schema.clone(), layout)
        };
        let places = database.places.iter().map(place).collect();
        Layout { objects, places, collections: self.collections.clone(), rules: self.rules.clone(), linger: LINGER }
    }
}

/// A rule as the format has it.
fn rule(rule: &CounterRule) -> Option<Rule> {
    let Ok(Json::Object(when)) = json::parse(rule.when.to_string().as_bytes()) else { return None };
    Some(Rule { name: rule.name.clone(), on: rule.on.clone(), when })
}

fn mongo_place(place: &Place) -> mongo::Place {
    mongo::Place { schema: place.schema.clone(), database: place.mongo_database.clone() }
}

fn secret(place: &Place) -> Result<String> {
    place.mongo.reveal().map_err(|error| {
        tracing::error!(%error, "a MongoDB connection string cannot be read");
        SqlError::new(SqlState::IO_ERROR, "the configuration's connection string cannot be read")
    })
}

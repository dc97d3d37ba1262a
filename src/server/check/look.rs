//! Asks the servers of a deployment what there is. Changes nothing on them, and fails for none of them: why something could
//! not be found out is a fact too.

use std::sync::Arc;
use std::time::Duration;

use super::{BucketFacts, Facts, MongoServer, PlaceFacts};
use crate::config::deployment::{Database, Databases, Deployment, Objects};
use crate::config::{Payloads, Secret};
use crate::runtime::{Clock, Entropy};
use crate::store::mongo::{self, Inspection};
use crate::store::{ObjectPayloads, ObjectSettings, StoreError};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at everything that a deployment names. `step` is told what is looked at next.
pub async fn look(
    deployment: &Deployment,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    step: &(dyn Fn(String) + Sync),
) -> Facts {
    let mut facts = Facts { spread: spread(&deployment.databases), ..Facts::default() };
    let mut databases = match &deployment.databases {
        Databases::Named(databases) => databases.clone(),
        Databases::Found(_) => Vec::new(),
    };
    for secret in servers(&deployment.databases) {
        let (name, found) = connect(secret, step).await;
        let inspection = match found {
            Ok(inspection) => inspection,
            Err(why) => {
                facts.servers.push((name, Err(why)));
                continue;
            }
        };
        facts.servers.push((name, ask(&inspection, clock).await));
        if let Databases::Found(backends) = &deployment.databases {
            let found = inspection.databases().await.unwrap_or_default();
            let backend = backends.list.iter().find(|backend| backend.mongo.is_same(secret));
            let database = |name: &String| Some(Database { name: name.clone(), places: vec![backend?.place(name)] });
            databases.extend(found.iter().filter_map(database));
        }
        for database in &databases {
            for place in database.places.iter().filter(|place| place.mongo.is_same(secret)) {
                step(format!("{}.{}", database.name, place.schema));
                let collections = inspection.collections(&place.mongo_database).await.map_err(|why| why.to_string());
                facts.places.push(PlaceFacts { database: database.name.clone(), schema: place.schema.clone(), collections });
            }
        }
        inspection.end().await;
    }
    facts.buckets = buckets(&databases, &deployment.own.payloads, entropy, step).await;
    facts
}

/// Each connection string once, in the file's order.
fn servers(databases: &Databases) -> Vec<&Secret> {
    let mut servers: Vec<&Secret> = Vec::new();
    let all: Vec<&Secret> = match databases {
        Databases::Named(databases) => databases.iter().flat_map(|database| &database.places).map(|place| &place.mongo).collect(),
        Databases::Found(backends) => backends.list.iter().map(|backend| &backend.mongo).collect(),
    };
    for secret in all {
        if !servers.iter().any(|known| known.is_same(secret)) {
            servers.push(secret);
        }
    }
    servers
}

/// Why the deployment's data is spread so that it cannot be served.
fn spread(databases: &Databases) -> Vec<String> {
    match databases {
        Databases::Named(databases) => {
            let scattered = databases.iter().filter(|database| database.mongo().is_none());
            scattered
                .map(|database| format!("the schemas of database \"{}\" lie on several MongoDB servers", database.name))
                .collect()
        }
        Databases::Found(backends) if backends.list.len() > 1 => {
            vec![format!("databases are spread over {} MongoDB servers", backends.list.len())]
        }
        Databases::Found(_) => Vec::new(),
    }
}

/// The server's name for the reader, and the connection to it.
async fn connect(secret: &Secret, step: &(dyn Fn(String) + Sync)) -> (String, Result<Inspection, String>) {
    let uri = match secret.reveal() {
        Ok(uri) => uri,
        Err(why) => return ("server".to_owned(), Err(why.to_string())),
    };
    let name = mongo::hosts(&uri).await.unwrap_or_else(|| "server".to_owned());
    step(format!("MongoDB {name}"));
    let inspection = Inspection::begin(&uri, PATIENCE).await.map_err(|why| match why {
        StoreError::Unreachable => "does not answer".to_owned(),
        other => other.to_string(),
    });
    (name, inspection)
}

async fn ask(inspection: &Inspection, clock: &dyn Clock) -> Result<MongoServer, String> {
    let before = clock.now_micros();
    let server = inspection.server().await.map_err(|why| why.to_string())?;
    let ours = (before + clock.now_micros()) / 2 / 1000;
    let mongo::MongoServer { version, transactions, clock_ms } = server;
    Ok(MongoServer { version, transactions, ahead_ms: clock_ms.map(|theirs| theirs - ours) })
}

/// Every bucket of every holder once, in order of the databases.
async fn buckets(
    databases: &[Database],
    config: &Payloads,
    entropy: &Arc<dyn Entropy>,
    step: &(dyn Fn(String) + Sync),
) -> Vec<BucketFacts> {
    // A look leaves nothing behind, a cache neither.
    let settings = ObjectSettings { disk_cache: None, ..ObjectSettings::of(config, "") };
    let mut facts: Vec<BucketFacts> = Vec::new();
    for (bucket, objects) in databases.iter().flat_map(Database::buckets) {
        let holder = match &objects {
            Objects::Folder(path) => path.display().to_string(),
            Objects::Service(service) => service.endpoint.clone(),
        };
        if facts.iter().any(|known| known.bucket == bucket && known.holder == holder) {
            continue;
        }
        step(format!("bucket {bucket}"));
        let reached = match ObjectPayloads::open(&[(bucket.clone(), objects)], settings.clone(), Arc::clone(entropy)) {
            Ok(payloads) => payloads.probe(&bucket).await.map_err(|why| why.to_string()),
            Err(why) => Err(why.to_string()),
        };
        facts.push(BucketFacts { bucket, holder, reached });
    }
    facts
}

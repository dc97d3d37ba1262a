//! A 1.x configuration: pairs of a MongoDB server and a place for objects, between which databases are spread.

use std::path::Path;

use super::member::{Member, Unfit};
use super::{ConfigError, Objects, Place, Secret, Service, local_folder, tiers};

/// The servers of a 1.x deployment.
#[derive(Clone, Debug)]
pub struct Backends {
    /// In the file's order, which routing counts by. At least one.
    pub list: Vec<Backend>,
    /// How routing chooses its key; `None` is the library's default.
    pub choose_key: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Backend {
    pub mongo: Secret,
    pub objects: Objects,
    /// Where payloads are; `json` on local disk.
    pub records_bucket: String,
    /// Where base64 properties are; `content` on local disk.
    pub content_bucket: String,
}

impl Backend {
    /// One of this server's databases.
    pub fn place(&self, mongo_database: &str) -> Place {
        Place {
            schema: "public".to_owned(),
            mongo: self.mongo.clone(),
            mongo_database: mongo_database.to_owned(),
            bucket: self.records_bucket.clone(),
            content_bucket: self.content_bucket.clone(),
            objects: self.objects.clone(),
            shared: false,
            analytics: None,
        }
    }

    /// What routing scores it by. Holds the connection string, secrets and all: not to be shown.
    pub fn identity(&self) -> Result<String, ConfigError> {
        let mongo = self.mongo.reveal()?;
        Ok(match &self.objects {
            Objects::Folder(_) => format!("{mongo}|localhost|local"),
            Objects::Service(service) => format!("{mongo}|{}|{}", service.endpoint, self.records_bucket),
        })
    }
}

/// As many as the library takes.
const MOST: usize = 10;

pub(super) fn read(root: &Member<'_>, folder: &Path, warnings: &mut Vec<String>) -> Result<Backends, Unfit> {
    let uris = root.get("mongoUris");
    let mongos: Vec<Secret> =
        uris.elements()?.iter().map(|uri| uri.secret("a MongoDB connection string")).collect::<Result<_, _>>()?;
    if mongos.is_empty() || mongos.len() > MOST {
        let found = format!("{} of them", mongos.len());
        return Err(Unfit { member: uris.path().to_owned(), found, expected: format!("1 to {MOST} connection strings") });
    }
    let list = match local_folder(root, folder, warnings)? {
        Some(folder) => mongos.into_iter().map(|mongo| on_disk(mongo, &folder)).collect(),
        None => with_services(mongos, &root.get("spacesConns"), warnings)?,
    };
    Ok(Backends { choose_key: tiers::routing(root, list.len(), warnings)?, list })
}

fn on_disk(mongo: Secret, folder: &Path) -> Backend {
    let [records_bucket, content_bucket] = ["json", "content"].map(str::to_owned);
    Backend { mongo, objects: Objects::Folder(folder.to_owned()), records_bucket, content_bucket }
}

fn with_services(mongos: Vec<Secret>, services: &Member<'_>, warnings: &mut Vec<String>) -> Result<Vec<Backend>, Unfit> {
    let entries = services.elements()?;
    if entries.len() != mongos.len() {
        let found = format!("{} of them", entries.len());
        return Err(Unfit {
            member: services.path().to_owned(),
            found,
            expected: format!("{}, one for each of mongoUris", mongos.len()),
        });
    }
    let pairs = mongos.into_iter().zip(entries);
    pairs
        .map(|(mongo, entry)| {
            Ok(Backend {
                mongo,
                objects: Objects::Service(tiers::service(&entry, &["jsonBucket", "contentBucket", "backupsBucket"], warnings)?),
                records_bucket: entry.get("jsonBucket").text("a bucket's name")?,
                content_bucket: entry.get("contentBucket").text("a bucket's name")?,
            })
        })
        .collect()
}

impl Service {
    /// Whether connections to it are not encrypted.
    pub fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://")
    }
}

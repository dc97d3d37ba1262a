//! The configuration of a Chronos-DB deployment, as that library reads it (1.x, 2.x, 3.x): where data is, by which names
//! it is served, and what is indexed.
//!
//! Plain data; connects to nothing. Members that the library would drop silently are ignored with a warning, members of the
//! `chronogate` section, which is ours, are refused when unknown. Errors name the member, what was found and what was
//! expected, and never a secret.

mod backends;
mod collections;
mod counters;
mod member;
mod names;
#[cfg(test)]
mod tests;
mod tiers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::member::{Member, Unfit};
use super::{Config, ConfigError, Secret};

pub use self::backends::{Backend, Backends};
pub use self::collections::{Base64Property, CollectionMap};
pub use self::counters::CounterRule;
pub use self::names::is_database_name;

/// What a configuration file turned out to be.
#[derive(Clone, Debug)]
pub enum ConfigFile {
    /// Ours, without a deployment.
    Own(Box<Config>),
    /// The library's, told by its `dbConnections` or `mongoUris`.
    Deployment(Box<Deployment>),
}

/// A deployment, with our own settings beside it.
#[derive(Clone, Debug)]
pub struct Deployment {
    pub databases: Databases,
    /// Where databases of our own are kept, if not in the data directory: the MongoDB database of each is this one's name, `_`
    /// and what the cluster calls its store.
    pub home: Option<Place>,
    /// By the collection's name as written. Of the whole deployment: a collection of this name in any database.
    pub collections: BTreeMap<String, CollectionMap>,
    /// In the file's order.
    pub counter_rules: Vec<CounterRule>,
    /// Whether the library keeps versions. Where it does not, heads may be newer than any version.
    pub versioning: bool,
    /// Whether the library's deletes leave the item's versions.
    pub logical_delete: bool,
    /// The section `chronogate`, or defaults.
    pub own: Config,
    /// One line for each member that is ignored, in the file's order.
    pub warnings: Vec<String>,
}

/// Which databases there are.
#[derive(Clone, Debug)]
pub enum Databases {
    /// 2.x and later: the file names them. By name, ascending.
    Named(Vec<Database>),
    /// 1.x: every MongoDB database that has `*_head` collections is one of its own name; only the servers know them.
    Found(Backends),
}

/// What a client connects to.
#[derive(Clone, Debug)]
pub struct Database {
    pub name: String,
    /// At least one; schemas differ.
    pub places: Vec<Place>,
}

/// Where the tables of one schema are.
#[derive(Clone, Debug)]
pub struct Place {
    pub schema: String,
    /// A MongoDB connection string; the database in its path counts for nothing but authentication.
    pub mongo: Secret,
    pub mongo_database: String,
    /// Where new payloads go; documents name the bucket of each payload themselves.
    pub bucket: String,
    /// Where base64 properties go.
    pub content_bucket: String,
    pub objects: Objects,
    /// Seen from several databases: readable by all, writable by grant.
    pub shared: bool,
    /// The MongoDB database of the library's counters.
    pub analytics: Option<String>,
}

/// What holds the buckets.
#[derive(Clone, Debug)]
pub enum Objects {
    /// `<folder>/<bucket>/<key>`; payloads are indented.
    Folder(PathBuf),
    /// An S3 service; payloads are compact.
    Service(Service),
}

#[derive(Clone, Debug)]
pub struct Service {
    /// `http://…` or `https://…`.
    pub endpoint: String,
    pub region: String,
    pub access_key: Secret,
    pub secret_key: Secret,
    /// Buckets in the path, not in the host's name.
    pub path_style: bool,
}

impl Database {
    /// The one connection string of all its places; `None` where they are on several servers, between which no commit can be
    /// atomic.
    pub fn mongo(&self) -> Option<&Secret> {
        let first = &self.places.first()?.mongo;
        self.places.iter().all(|place| place.mongo.is_same(first)).then_some(first)
    }

    /// The buckets of its places with what holds each, those of the first place first, none twice in a row.
    pub fn buckets(&self) -> Vec<(String, Objects)> {
        let of_place =
            |place: &Place| [&place.bucket, &place.content_bucket].map(|bucket| (bucket.clone(), place.objects.clone()));
        let mut buckets: Vec<_> = self.places.iter().flat_map(of_place).collect();
        buckets.dedup_by(|one, other| one.0 == other.0);
        buckets
    }
}

impl ConfigFile {
    /// Reads a file. In a deployment, folders are relative to the file's own.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(path, &text)
    }

    /// Parses JSON; `path` names it in errors and is what relative folders start from.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        match serde_json::from_str::<Value>(text) {
            Ok(file) if Deployment::is_one(&file) => Ok(Self::Deployment(Box::new(Deployment::from_json(path, &file)?))),
            // What is no JSON at all is refused here with its place.
            Ok(_) | Err(_) => Ok(Self::Own(Box::new(Config::parse(path, text)?))),
        }
    }
}

impl Deployment {
    fn is_one(file: &Value) -> bool {
        ["dbConnections", "mongoUris"].into_iter().any(|member| file.get(member).is_some())
    }

    fn from_json(path: &Path, file: &Value) -> Result<Self, ConfigError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let refuse = |unfit: Unfit| {
            let Unfit { member, found, expected } = unfit;
            ConfigError::Unfit { path: path.to_owned(), member, found, expected }
        };
        let root = Member::root(file);
        let (own, tenants) = own_section(path, &root)?;
        let mut warnings = Vec::new();
        let (databases, home) = databases(&root, folder, &tenants, &mut warnings).map_err(refuse)?;
        let switch = |name: &str| -> Result<bool, Unfit> {
            let section = root.get(name);
            section.only(&["enabled"], &mut warnings)?;
            Ok(section.get("enabled").optional_flag()?.unwrap_or(true))
        };
        let [versioning, logical_delete] = ["versioning", "logicalDelete"].map(switch);
        let collections = collections::read(&root.get("collectionMaps"), &mut warnings).map_err(refuse)?;
        let counter_rules = counters::read(&root, &mut warnings).map_err(refuse)?;
        let (versioning, logical_delete) = (versioning.map_err(refuse)?, logical_delete.map_err(refuse)?);
        Ok(Self { databases, home, collections, counter_rules, versioning, logical_delete, own, warnings })
    }
}

/// Settings of the library that say nothing about where data is or what it means.
const OF_THE_LIBRARY_ALONE: [&str; 6] = ["retention", "rollup", "devShadow", "fallback", "writeOptimization", "transactions"];

fn databases(
    root: &Member<'_>,
    folder: &Path,
    tenants: &names::TenantDomains,
    warnings: &mut Vec<String>,
) -> Result<(Databases, Option<Place>), Unfit> {
    let old = root.get("mongoUris").is_there();
    let of_version: &[&str] = if old {
        &["mongoUris", "spacesConns", "counters"]
    } else {
        &["dbConnections", "spacesConnections", "databases", "hardDeleteEnabled"]
    };
    let common = ["localStorage", "routing", "collectionMaps", "counterRules", "analytics", "versioning", "logicalDelete"];
    let known = of_version.iter().copied().chain(common).chain(OF_THE_LIBRARY_ALONE).chain(["chronogate"]);
    let known: Vec<&str> = known.collect();
    root.only(&known, warnings)?;
    if old {
        tenants.none_configured()?;
        let own = root.get("chronogate").get("databases");
        if own.is_there() {
            return Err(own.unfit("nothing: a 1.x configuration has no connections by name"));
        }
        return Ok((Databases::Found(backends::read(root, folder, warnings)?), None));
    }
    let (tiers, home) = tiers::read(root, folder, warnings)?;
    Ok((Databases::Named(names::databases(tiers, tenants, warnings)?), home))
}

/// The folder of payloads when they are on local disk.
fn local_folder(root: &Member<'_>, folder: &Path, warnings: &mut Vec<String>) -> Result<Option<PathBuf>, Unfit> {
    let local = root.get("localStorage");
    if !local.is_there() {
        return Ok(None);
    }
    local.only(&["basePath", "enabled"], warnings)?;
    let enabled = local.get("enabled").optional_flag()?.unwrap_or(true);
    let base = local.get("basePath").text("a folder")?;
    Ok(enabled.then(|| folder.join(base)))
}

/// Our own section: all of [`Config`], and `tenants`; `databases` is read with the connections that it names.
fn own_section(path: &Path, root: &Member<'_>) -> Result<(Config, names::TenantDomains), ConfigError> {
    let refuse = |member: String, cause| ConfigError::Member { path: path.to_owned(), member, cause };
    let Some(section) = root.get("chronogate").value().cloned() else { return Ok(Default::default()) };
    let mut section = section;
    let tenants = section.as_object_mut().and_then(|members| members.shift_remove("tenants"));
    let _ = section.as_object_mut().and_then(|members| members.shift_remove("databases"));
    let own: Config = serde_path_to_error::deserialize(section)
        .map_err(|error| refuse(format!("chronogate.{}", error.path()), error.into_inner()))?;
    own.check()?;
    let tenants = match tenants {
        None => names::TenantDomains::default(),
        Some(tenants) => serde_path_to_error::deserialize(tenants)
            .map_err(|error| refuse(format!("chronogate.tenants.{}", error.path()), error.into_inner()))?,
    };
    Ok((own, tenants))
}

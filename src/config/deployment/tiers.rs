//! A 2.x or 3.x configuration: connections by name, and databases by type and tier.

use std::collections::BTreeMap;
use std::path::Path;

use super::member::{Member, Unfit};
use super::{Objects, Place, Secret, Service, local_folder};

/// One entry of `databases`, its schema not yet named.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path in the file.
    pub member: String,
    pub tier: Tier,
    pub place: Place,
}

/// What the entry holds, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Runtime { tenant: String },
    Logs,
    Generic(Kind),
    Domain(Kind, String),
    Tenant(Kind, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Metadata,
    Knowledge,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Knowledge => "knowledge",
        }
    }
}

struct Connections {
    mongo: BTreeMap<String, Secret>,
    /// Connections are checked even where payloads are on disk, as the library does; `None` there.
    services: BTreeMap<String, Service>,
    local: Option<std::path::PathBuf>,
}

/// The entries, and where databases of our own are kept if not in the data directory.
pub(super) fn read(root: &Member<'_>, folder: &Path, warnings: &mut Vec<String>) -> Result<(Vec<Entry>, Option<Place>), Unfit> {
    let connections = Connections {
        mongo: mongo_connections(&root.get("dbConnections"), warnings)?,
        services: services(&root.get("spacesConnections"), warnings)?,
        local: local_folder(root, folder, warnings)?,
    };
    routing(root, 1, warnings)?;
    let databases = root.get("databases");
    warn_of_unserved(&databases, warnings)?;
    let mut entries = Vec::new();
    for kind in [Kind::Metadata, Kind::Knowledge] {
        three_tiers(&databases.get(kind.name()), kind, &connections, warnings, &mut entries)?;
    }
    let runtime = databases.get("runtime");
    runtime.only(&["tenantDatabases"], warnings)?;
    for member in runtime.get("tenantDatabases").elements()? {
        let tier = Tier::Runtime { tenant: member.get("tenantId").text("a tenant's name")? };
        entries.push(entry(&member, tier, &["tenantId", "analyticsDbName"], &connections, warnings)?);
    }
    let logs = databases.get("logs");
    if logs.members()?.iter().any(|_| true) {
        entries.push(entry(&logs, Tier::Logs, &[], &connections, warnings)?);
    }
    let own = own(&root.get("chronogate").get("databases"), &connections, &entries)?;
    if entries.is_empty() && own.is_none() {
        return Err(databases.unfit("at least one of metadata, knowledge, runtime and logs"));
    }
    Ok((entries, own))
}

/// `chronogate.databases`: an entry like the others, whose `dbName` is what the MongoDB databases' names begin with.
fn own(member: &Member<'_>, connections: &Connections, entries: &[Entry]) -> Result<Option<Place>, Unfit> {
    if !member.is_there() {
        return Ok(None);
    }
    let known = ["dbConnRef", "spaceConnRef", "bucket", "dbName"];
    if let Some((name, unknown)) = member.members()?.into_iter().find(|(name, _)| !known.contains(name)) {
        let expected = format!("one of {}", known.join(", "));
        return Err(Unfit { member: unknown.path().to_owned(), found: format!("{name:?}"), expected });
    }
    let own = entry(member, Tier::Logs, &[], connections, &mut Vec::new())?.place;
    let name = &own.mongo_database;
    let theirs = |entry: &&Entry| {
        let of_entry = &entry.place.mongo_database;
        of_entry.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('_')) && entry.place.mongo.is_same(&own.mongo)
    };
    match entries.iter().find(theirs) {
        Some(entry) => Err(member.get("dbName").unfit(format!("a name that the dbName of {} does not begin with", entry.member))),
        None => Ok(Some(own)),
    }
}

fn warn_of_unserved(databases: &Member<'_>, warnings: &mut Vec<String>) -> Result<(), Unfit> {
    let unserved = ["messaging", "identities", "dynamicTenants"];
    for (name, member) in databases.members()? {
        if unserved.contains(&name) {
            warnings.push(format!("{} is not served", member.path()));
        }
    }
    databases.only(&["metadata", "knowledge", "runtime", "logs", "messaging", "identities", "dynamicTenants"], warnings)
}

fn three_tiers(
    section: &Member<'_>,
    kind: Kind,
    connections: &Connections,
    warnings: &mut Vec<String>,
    entries: &mut Vec<Entry>,
) -> Result<(), Unfit> {
    section.only(&["genericDatabase", "domainsDatabases", "tenantDatabases"], warnings)?;
    let generic = section.get("genericDatabase");
    if generic.is_there() {
        entries.push(entry(&generic, Tier::Generic(kind), &[], connections, warnings)?);
    }
    for member in section.get("domainsDatabases").elements()? {
        let tier = Tier::Domain(kind, member.get("domain").text("a domain's name")?);
        entries.push(entry(&member, tier, &["domain"], connections, warnings)?);
    }
    for member in section.get("tenantDatabases").elements()? {
        let tier = Tier::Tenant(kind, member.get("tenantId").text("a tenant's name")?);
        entries.push(entry(&member, tier, &["tenantId"], connections, warnings)?);
    }
    Ok(())
}

/// Later versions accept these buckets and use none of them.
const UNUSED_BUCKETS: [&str; 3] = ["versionsBucket", "contentBucket", "backupsBucket"];

fn entry(
    member: &Member<'_>,
    tier: Tier,
    more: &[&str],
    connections: &Connections,
    warnings: &mut Vec<String>,
) -> Result<Entry, Unfit> {
    let known = ["dbConnRef", "spaceConnRef", "bucket", "recordsBucket", "dbName"];
    let known: Vec<&str> = known.into_iter().chain(UNUSED_BUCKETS).chain(more.iter().copied()).collect();
    member.only(&known, warnings)?;
    let records = member.get("recordsBucket").optional_text("a bucket's name")?;
    let bucket = match records {
        Some(bucket) => bucket,
        None => member.get("bucket").text("a bucket's name, here or as recordsBucket")?,
    };
    let place = Place {
        schema: String::new(),
        mongo: referenced(&member.get("dbConnRef"), &connections.mongo, "dbConnections")?.clone(),
        mongo_database: member.get("dbName").text("a MongoDB database's name")?,
        content_bucket: bucket.clone(),
        bucket,
        objects: connections.objects(&member.get("spaceConnRef"))?,
        shared: false,
        analytics: member.get("analyticsDbName").optional_text("a MongoDB database's name")?,
    };
    Ok(Entry { member: member.path().to_owned(), tier, place })
}

impl Connections {
    fn objects(&self, reference: &Member<'_>) -> Result<Objects, Unfit> {
        match &self.local {
            // On disk no service is needed; a reference to none is a mistake all the same.
            Some(folder) if !reference.is_there() => Ok(Objects::Folder(folder.clone())),
            Some(folder) => referenced(reference, &self.services, "spacesConnections").map(|_| Objects::Folder(folder.clone())),
            None => referenced(reference, &self.services, "spacesConnections").cloned().map(Objects::Service),
        }
    }
}

fn referenced<'c, T>(reference: &Member<'_>, connections: &'c BTreeMap<String, T>, of: &str) -> Result<&'c T, Unfit> {
    let expected = || match connections.len() {
        0 => format!("a connection of {of}, which has none"),
        _ => format!("one of {of}: {}", connections.keys().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")),
    };
    let name = reference.text(&expected())?;
    connections.get(&name).ok_or_else(|| reference.unfit(expected()))
}

fn mongo_connections(section: &Member<'_>, warnings: &mut Vec<String>) -> Result<BTreeMap<String, Secret>, Unfit> {
    let one = |(name, connection): (&str, Member<'_>)| {
        connection.only(&["mongoUri"], warnings)?;
        Ok((name.to_owned(), connection.get("mongoUri").secret("a MongoDB connection string")?))
    };
    section.members()?.into_iter().map(one).collect()
}

fn services(section: &Member<'_>, warnings: &mut Vec<String>) -> Result<BTreeMap<String, Service>, Unfit> {
    section.members()?.into_iter().map(|(name, member)| Ok((name.to_owned(), service(&member, &[], warnings)?))).collect()
}

/// An S3 service, and members of the same object that are read elsewhere.
pub(super) fn service(member: &Member<'_>, more: &[&str], warnings: &mut Vec<String>) -> Result<Service, Unfit> {
    let known = ["endpoint", "region", "accessKey", "secretKey", "forcePathStyle"];
    let known: Vec<&str> = known.into_iter().chain(more.iter().copied()).collect();
    member.only(&known, warnings)?;
    let endpoint = member.get("endpoint");
    let url = endpoint.text("the URL of an S3 service")?;
    let host = ["http://", "https://"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        return Err(endpoint.unfit("the URL of an S3 service, http://… or https://…"));
    }
    if url.contains("blob.core.windows.net") {
        return Err(endpoint.unfit("an S3 service; Azure's blobs are not served"));
    }
    Ok(Service {
        endpoint: url.trim_end_matches('/').to_owned(),
        region: member.get("region").text("a region's name")?,
        access_key: member.get("accessKey").secret("an access key")?,
        secret_key: member.get("secretKey").secret("a secret key")?,
        path_style: member.get("forcePathStyle").optional_flag()?.unwrap_or(false),
    })
}

/// What chooses the key of routing. Over several backends only rendezvous hashing ever laid out data.
pub(super) fn routing(root: &Member<'_>, backends: usize, warnings: &mut Vec<String>) -> Result<Option<String>, Unfit> {
    let routing = root.get("routing");
    routing.only(&["hashAlgo", "chooseKey"], warnings)?;
    let algorithm = routing.get("hashAlgo");
    match algorithm.optional_text("\"rendezvous\" or \"jump\"")?.as_deref() {
        None | Some("rendezvous") => {}
        Some("jump") if backends == 1 => {}
        Some("jump") => return Err(algorithm.unfit("\"rendezvous\": the library cannot route over several servers otherwise")),
        Some(_) => return Err(algorithm.unfit("\"rendezvous\" or \"jump\"")),
    }
    routing.get("chooseKey").optional_text("a routing key's template")
}

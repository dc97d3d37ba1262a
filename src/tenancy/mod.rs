//! Which databases there are, which of them a connection may reach, and opening each once.
//!
//! Owns the cluster's catalogue: the list of databases and the roles. Knows no SQL and no wire.

mod cluster;

pub use cluster::DatabaseDef;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};

use cluster::{Cluster, DEFAULT_DATABASE, no_database, no_role};

use crate::auth::{self, Authority, Verifier, stored_password};
use crate::error::{Diagnose, Result, SqlError, SqlState};
use crate::history::{Catalog, Database, HistoryError, RoleDef};
use crate::runtime::{Clock, Entropy};
use crate::store::{Collections, CommitRequest, IndexStore, PayloadStore, StoreError};

/// What the cluster's own catalogue is opened under.
const CLUSTER_FILE: &str = "cluster";

/// What the stores of databases of the configuration are opened under begins so; no other's do.
pub const GIVEN: &str = "given:";

/// The stores of one database.
#[derive(Debug)]
pub struct Stores {
    pub index: Arc<dyn IndexStore>,
    pub payloads: Arc<dyn PayloadStore>,
    /// What another program keeps beside the database's own tables.
    pub collections: Option<Arc<dyn Collections>>,
}

/// Opens the stores of a database; implemented by the composition root, which alone names concrete stores.
#[async_trait]
pub trait StoreOpener: Send + Sync + std::fmt::Debug {
    /// `file` is unique to the database (lower-case letters, digits, `_` and `-`), or `cluster` for the
    /// cluster's own catalogue. Makes what is not there.
    async fn open(&self, file: &str) -> Result<Stores>;

    /// Databases that the configuration gives: their names, each with what its stores are opened under, which begins
    /// with [`GIVEN`].
    fn given(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Forgets the stores of a dropped database, which are closed. Nothing to forget is no error.
    async fn remove(&self, file: &str) -> Result<()>;
}

/// The databases and roles of one server.
#[derive(Debug)]
pub struct Tenancy {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    opener: Arc<dyn StoreOpener>,
    clock: Arc<dyn Clock>,
    store: Arc<dyn IndexStore>,
    cluster: RwLock<Arc<Cluster>>,
    /// Held by the one change of the cluster's catalogue.
    turn: tokio::sync::Mutex<()>,
    /// By the database's number.
    slots: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<Slot>>>>,
    closing: AtomicBool,
}

/// The cluster's definitions at one moment; equal while none of them has changed.
#[derive(Clone, Debug)]
pub struct RolesSeen(Arc<Cluster>);

impl PartialEq for RolesSeen {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// One database's place; locked while it is opened, dropped or closed.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Unopened,
    Open(Arc<Database>),
    Gone,
}

impl Tenancy {
    /// Reads the cluster's catalogue; a new one gets the databases `chronogate` and `postgres` and the superuser.
    /// A superuser password given here replaces the stored verifier.
    pub async fn open(
        opener: Arc<dyn StoreOpener>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        superuser: &str,
        superuser_password: Option<&str>,
    ) -> Result<Arc<Self>> {
        let store = opener.open(CLUSTER_FILE).await?.index;
        let given = opener.given();
        let rows = store.catalog().await.map_err(HistoryError::from)?;
        let (cluster, dropped) = Cluster::read(rows)?;
        for file in dropped {
            opener.remove(&file).await?;
        }
        let stored = cluster.roles.get(superuser).and_then(|role| role.verifier.clone());
        let inner = Inner {
            opener,
            clock,
            store,
            cluster: RwLock::new(Arc::new(cluster)),
            turn: tokio::sync::Mutex::default(),
            slots: Mutex::default(),
            closing: AtomicBool::new(false),
        };
        let tenancy = Self { inner: Arc::new(inner) };
        let verifier = new_verifier(superuser_password, stored.as_deref(), entropy.as_ref())?;
        let superuser = superuser.to_owned();
        tenancy
            .change(move |cluster| {
                cluster.ensure_basics(&superuser, verifier);
                cluster.ensure_given(&given, &superuser)
            })
            .await?;
        Ok(Arc::new(tenancy))
    }

    /// The database of this name, opened at first use; 3D000 when there is none.
    pub async fn database(&self, name: &str) -> Result<Arc<Database>> {
        let def = self.inner.cluster.read().databases.get(name).cloned().ok_or_else(|| no_database(name))?;
        let slot = self.inner.slot(def.id);
        let mut slot = slot.lock().await;
        match &*slot {
            Slot::Open(database) => {
                database.adopt(&def.owner).await?;
                return Ok(Arc::clone(database));
            }
            Slot::Gone => return Err(no_database(name)),
            Slot::Unopened => {}
        }
        if self.inner.closing.load(Ordering::SeqCst) {
            return Err(StoreError::Closed.diagnose());
        }
        let Stores { index, payloads, collections } = self.inner.opener.open(&def.file).await?;
        let database = Database::open(name, index, payloads, Arc::clone(&self.inner.clock)).await?;
        if let Some(collections) = collections {
            database.attach(collections);
            database.adopt(&def.owner).await?;
        }
        *slot = Slot::Open(Arc::clone(&database));
        Ok(database)
    }

    /// Number and name of every database, by name.
    pub fn databases(&self) -> Vec<(u32, String)> {
        self.inner.cluster.read().databases.values().map(|def| (def.id, def.name.clone())).collect()
    }

    pub fn database_def(&self, name: &str) -> Option<Arc<DatabaseDef>> {
        self.inner.cluster.read().databases.get(name).cloned()
    }

    /// 42P04 when there is one of the name.
    pub async fn create_database(&self, name: &str, owner: &str) -> Result<()> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.change(move |cluster| cluster.add_database(&name, &owner)).await
    }

    /// Drops the database with all its data, past included. Refused with 55006 while `in_use`, and for the
    /// default database.
    pub async fn drop_database(&self, name: &str, in_use: bool) -> Result<()> {
        let def = self.database_def(name).ok_or_else(|| no_database(name))?;
        if name == DEFAULT_DATABASE {
            let message = format!("database \"{name}\" cannot be dropped");
            return Err(SqlError::unsupported(message, "It is the one that a server always has."));
        }
        if def.file.starts_with(GIVEN) {
            let message = format!("database \"{name}\" cannot be dropped");
            return Err(SqlError::unsupported(message, "It is there as long as the server's configuration names it."));
        }
        if in_use {
            let message = format!("database \"{name}\" is being accessed by other users");
            return Err(SqlError::new(SqlState::OBJECT_IN_USE, message));
        }
        let inner = Arc::clone(&self.inner);
        finish(tokio::spawn(async move { inner.drop_database(&def).await })).await
    }

    pub fn role(&self, name: &str) -> Option<Arc<RoleDef>> {
        self.inner.cluster.read().roles.get(name).cloned()
    }

    /// Every role and database as they are now, to be compared later.
    pub fn roles_seen(&self) -> RolesSeen {
        RolesSeen(Arc::clone(&self.inner.cluster.read()))
    }

    /// By name.
    pub fn roles(&self) -> Vec<Arc<RoleDef>> {
        self.inner.cluster.read().roles.values().cloned().collect()
    }

    /// What a role may act as within a database: for privilege checks.
    pub fn authority(&self, role: &str, database: &str) -> Authority {
        let cluster = Arc::clone(&self.inner.cluster.read());
        let find = |name: &str| cluster.roles.get(name).cloned();
        match cluster.databases.get(database) {
            Some(def) => auth::authority_in(&def.owner, role, find),
            None => auth::authority(role, find),
        }
    }

    /// Makes a role, whatever number the definition has; 42710 when there is one of the name, 42704 for an
    /// unknown role to be a member of.
    pub async fn create_role(&self, role: RoleDef) -> Result<()> {
        self.change(move |cluster| cluster.add_role(role)).await
    }

    /// Creates or replaces a role's definition.
    pub async fn put_role(&self, role: RoleDef) -> Result<()> {
        self.change(move |cluster| match cluster.roles.contains_key(&role.name) {
            true => cluster.replace_role(role),
            false => cluster.add_role(role),
        })
        .await
    }

    /// Changes a role as it is at that moment, nobody coming between; 42704 when there is none.
    pub async fn alter_role(&self, name: &str, alter: impl FnOnce(&mut RoleDef) + Send + 'static) -> Result<()> {
        let name = name.to_owned();
        self.change(move |cluster| {
            let mut role = cluster.roles.get(&name).map(|def| RoleDef::clone(def)).ok_or_else(|| no_role(&name))?;
            alter(&mut role);
            cluster.replace_role(role)
        })
        .await
    }

    /// 2BP01 while the role owns a database or anything in one, or holds a grant.
    pub async fn drop_role(&self, name: &str) -> Result<()> {
        self.role(name).ok_or_else(|| no_role(name))?;
        let dependents = self.dependents(name).await?;
        if !dependents.is_empty() {
            let message = format!("role \"{name}\" cannot be dropped because some objects depend on it");
            let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
            return Err(error.detail(dependents.join("\n")));
        }
        let name = name.to_owned();
        self.change(move |cluster| cluster.remove_role(&name)).await
    }

    /// Whether any role has a password: then nobody is let in without one.
    pub fn any_password(&self) -> bool {
        self.inner.cluster.read().roles.values().any(|role| role.verifier.is_some())
    }

    /// Closes every open database. All are tried; the first error is told.
    pub async fn close(&self) -> Result<()> {
        self.inner.closing.store(true, Ordering::SeqCst);
        let slots: Vec<_> = self.inner.slots.lock().values().cloned().collect();
        let mut outcome = Ok(());
        for slot in slots {
            let mut slot = slot.lock().await;
            if let Slot::Open(database) = std::mem::replace(&mut *slot, Slot::Unopened) {
                outcome = outcome.and(database.close().await.map_err(SqlError::from));
            }
        }
        let _turn = self.inner.turn.lock().await;
        outcome.and(self.inner.store.close().await.map_err(|error| HistoryError::from(error).into()))
    }

    /// Makes a change of the catalogue, whole and durable or not at all, even when the caller is dropped.
    async fn change(&self, change: impl FnOnce(&mut Cluster) -> Result<()> + Send + 'static) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        finish(tokio::spawn(async move { inner.change(change).await })).await
    }

    /// What keeps a role from being dropped, a line each, in every database.
    async fn dependents(&self, role: &str) -> Result<Vec<String>> {
        let cluster = Arc::clone(&self.inner.cluster.read());
        let mut lines: Vec<String> = cluster
            .databases
            .values()
            .filter(|def| def.owner == role)
            .map(|def| format!("owner of database {}", def.name))
            .collect();
        for name in cluster.databases.keys() {
            let database = self.database(name).await?;
            let inside = owned_or_granted(&database.catalog(), role);
            lines.extend(inside.into_iter().map(|line| format!("{line} in database {name}")));
        }
        Ok(lines)
    }
}

impl Inner {
    fn slot(&self, id: u32) -> Arc<tokio::sync::Mutex<Slot>> {
        Arc::clone(self.slots.lock().entry(id).or_default())
    }

    async fn change(&self, change: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
        let _turn = self.turn.lock().await;
        let before = Arc::clone(&self.cluster.read());
        let mut after = Cluster::clone(&before);
        change(&mut after)?;
        let catalog = after.changes_since(&before)?;
        if catalog.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.store.commit(CommitRequest { catalog, ..CommitRequest::default() }).await {
            self.believe_the_store().await;
            return Err(HistoryError::from(error).into());
        }
        *self.cluster.write() = Arc::new(after);
        Ok(())
    }

    /// After a failure that may leave open what was made.
    async fn believe_the_store(&self) {
        let Ok(rows) = self.store.catalog().await else { return };
        match Cluster::read(rows) {
            Ok((cluster, _)) => *self.cluster.write() = Arc::new(cluster),
            Err(cause) => tracing::error!(%cause, "the cluster's catalogue cannot be read again after a failed commit"),
        }
    }

    async fn drop_database(&self, def: &DatabaseDef) -> Result<()> {
        let slot = self.slot(def.id);
        let mut slot = slot.lock().await;
        let name = def.name.clone();
        let remove = |cluster: &mut Cluster| cluster.databases.remove(&name).map(drop).ok_or_else(|| no_database(&name));
        self.change(remove).await?;
        if let Slot::Open(database) = std::mem::replace(&mut *slot, Slot::Gone) {
            database.close().await?;
        }
        self.opener.remove(&def.file).await
    }
}

/// The verifier to store for a password given at start: none when there is none or it is the stored one.
fn new_verifier(password: Option<&str>, stored: Option<&str>, entropy: &dyn Entropy) -> Result<Option<String>> {
    let Some(password) = password else { return Ok(None) };
    if stored.and_then(Verifier::parse).is_some_and(|verifier| verifier.matches(password)) {
        return Ok(None);
    }
    stored_password(password, entropy).map(Some)
}

fn owned_or_granted(catalog: &Catalog, role: &str) -> Vec<String> {
    let schemas = catalog.schemas.values().map(|def| (format!("schema {}", def.name), &def.owner, &def.grants));
    let tables = catalog.tables.values().map(|def| (format!("table {}", def.name.name), &def.owner, &def.grants));
    let views = catalog.views.values().map(|def| (format!("view {}", def.name.name), &def.owner, &def.grants));
    let sequences = catalog.sequences.values().map(|def| (format!("sequence {}", def.name.name), &def.owner, &def.grants));
    let objects = schemas.chain(tables).chain(views).chain(sequences);
    objects
        .filter_map(|(object, owner, grants)| match (owner == role, grants.contains_key(role)) {
            (true, _) => Some(format!("owner of {object}")),
            (false, true) => Some(format!("privileges for {object}")),
            (false, false) => None,
        })
        .collect()
}

async fn finish(task: tokio::task::JoinHandle<Result<()>>) -> Result<()> {
    match task.await {
        Ok(outcome) => outcome,
        Err(cause) => Err(HistoryError::from(StoreError::Engine(cause.to_string())).into()),
    }
}

#[cfg(test)]
mod tests;

//! The cluster's catalogue: databases and roles, as values and as catalogue rows. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Result, SqlError, SqlState};
use crate::history::{HistoryError, Ids, RoleDef};
use crate::store::{CatalogChange, CatalogRow};

/// The database that is always there.
pub(super) const DEFAULT_DATABASE: &str = "chronogate";
/// Where createdb, test runners and administration tools connect to make other databases.
const MAINTENANCE_DATABASE: &str = "postgres";
/// PostgreSQL's OID of the superuser that a cluster begins with.
const FIRST_SUPERUSER_ID: u32 = 10;
/// PostgreSQL's limit on names, in bytes.
const NAME_BYTES: usize = 63;

const DATABASE: &str = "database";
const ROLE: &str = "role";

/// One database of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseDef {
    pub id: u32,
    pub name: String,
    pub owner: String,
    /// What its stores are opened under; never that of another database, past ones included.
    pub file: String,
}

/// One state of the cluster's catalogue.
#[derive(Clone, Debug, Default)]
pub(super) struct Cluster {
    pub databases: BTreeMap<String, Arc<DatabaseDef>>,
    pub roles: BTreeMap<String, Arc<RoleDef>>,
    next_id: u32,
}

impl Cluster {
    /// The newest state, with the files of databases that have been dropped.
    pub fn read(rows: Vec<CatalogRow>) -> Result<(Self, Vec<String>), HistoryError> {
        let mut cluster = Self { next_id: Ids::FIRST, ..Self::default() };
        let mut dropped = Vec::new();
        for row in rows {
            cluster.next_id = cluster.next_id.max(row.id.saturating_add(1));
            match row.kind.as_str() {
                DATABASE => {
                    let def: DatabaseDef = parse(&row.definition)?;
                    dropped.push(def.file.clone());
                    if row.ended.is_none() {
                        cluster.databases.insert(def.name.clone(), Arc::new(def));
                    }
                }
                ROLE if row.ended.is_none() => {
                    let def: RoleDef = parse(&row.definition)?;
                    cluster.roles.insert(def.name.clone(), Arc::new(def));
                }
                ROLE => {}
                other => return Err(HistoryError::BadDefinition(format!("unknown kind \"{other}\" in the cluster"))),
            }
        }
        dropped.retain(|file| !file.starts_with(super::GIVEN) && cluster.databases.values().all(|def| def.file != *file));
        dropped.sort_unstable();
        dropped.dedup();
        Ok((cluster, dropped))
    }

    /// The changes that lead from `before` to `self`.
    pub fn changes_since(&self, before: &Self) -> Result<Vec<CatalogChange>, HistoryError> {
        let databases = changes(DATABASE, before.databases.values(), self.databases.values(), |def| def.id)?;
        let roles = changes(ROLE, before.roles.values(), self.roles.values(), |def| def.id)?;
        Ok([databases, roles].concat())
    }

    /// Adds what a new cluster has and what the superuser must have. `verifier` replaces the stored one.
    pub fn ensure_basics(&mut self, superuser: &str, verifier: Option<String>) {
        let known = self.roles.get(superuser).map(|def| RoleDef::clone(def));
        let mut def = known.unwrap_or_else(|| RoleDef {
            id: self.superuser_id(),
            name: superuser.to_owned(),
            superuser: true,
            login: true,
            create_database: true,
            create_role: true,
            load_history: true,
            verifier: None,
            member_of: Vec::new(),
            settings: BTreeMap::new(),
        });
        def.superuser = true;
        def.login = true;
        def.verifier = verifier.or(def.verifier);
        self.roles.insert(superuser.to_owned(), Arc::new(def));
        let is_new = self.databases.is_empty();
        if !self.databases.contains_key(DEFAULT_DATABASE) {
            self.add_basic(DEFAULT_DATABASE, superuser);
        }
        if is_new {
            self.add_basic(MAINTENANCE_DATABASE, superuser);
        }
    }

    /// Adds the databases that the configuration gives and forgets those it does not give any more. 42P04 for one
    /// whose name another database has.
    pub fn ensure_given(&mut self, given: &[(String, String)], owner: &str) -> Result<()> {
        let is_given = |file: &str| given.iter().any(|(_, given)| given == file);
        self.databases.retain(|_, def| !def.file.starts_with(super::GIVEN) || is_given(&def.file));
        for (name, file) in given {
            match self.databases.get(name) {
                Some(def) if def.file == *file => {}
                Some(_) => {
                    let message = format!("database \"{name}\" already exists");
                    let detail = "The configuration gives one of this name, and the data directory has another.";
                    return Err(SqlError::new(SqlState::DUPLICATE_DATABASE, message).detail(detail));
                }
                None => {
                    check_name(name)?;
                    let id = self.take_id();
                    let def = DatabaseDef { id, name: name.clone(), owner: owner.to_owned(), file: file.clone() };
                    self.databases.insert(name.clone(), Arc::new(def));
                }
            }
        }
        Ok(())
    }

    fn add_basic(&mut self, name: &str, owner: &str) {
        let (id, name, owner) = (self.take_id(), name.to_owned(), owner.to_owned());
        let def = DatabaseDef { id, file: name.clone(), name: name.clone(), owner };
        self.databases.insert(name, Arc::new(def));
    }

    /// A new database: 42P04 when there is one of the name, 42602 for a name it cannot have.
    pub fn add_database(&mut self, name: &str, owner: &str) -> Result<()> {
        check_name(name)?;
        if name.contains('@') {
            let message = format!("invalid database name \"{name}\"");
            return Err(SqlError::new(SqlState::INVALID_NAME, message)
                .hint("What follows an @ in a database name is the time at which it is read."));
        }
        if self.databases.contains_key(name) {
            return Err(SqlError::new(SqlState::DUPLICATE_DATABASE, format!("database \"{name}\" already exists")));
        }
        let id = self.take_id();
        let def = DatabaseDef { id, name: name.to_owned(), owner: owner.to_owned(), file: file_name(name, id) };
        self.databases.insert(name.to_owned(), Arc::new(def));
        Ok(())
    }

    /// A new role, which gets its number here: 42710 when there is one of the name.
    pub fn add_role(&mut self, mut role: RoleDef) -> Result<()> {
        check_role_name(&role.name)?;
        if self.roles.contains_key(&role.name) {
            return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, format!("role \"{}\" already exists", role.name)));
        }
        self.check_groups(&role)?;
        role.id = self.take_id();
        self.roles.insert(role.name.clone(), Arc::new(role));
        Ok(())
    }

    /// Gives a role that exists another definition; it keeps its number.
    pub fn replace_role(&mut self, mut role: RoleDef) -> Result<()> {
        let old = self.roles.get(&role.name).ok_or_else(|| no_role(&role.name))?;
        self.check_groups(&role)?;
        role.id = old.id;
        self.roles.insert(role.name.clone(), Arc::new(role));
        Ok(())
    }

    /// Removes the role, from the roles that were its members too.
    pub fn remove_role(&mut self, name: &str) -> Result<()> {
        let role = self.roles.get(name).ok_or_else(|| no_role(name))?;
        if role.id == FIRST_SUPERUSER_ID {
            let message = format!("cannot drop role {name} because it is required by the database system");
            return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message));
        }
        self.roles.remove(name);
        for role in self.roles.values_mut().filter(|role| role.member_of.iter().any(|group| group == name)) {
            Arc::make_mut(role).member_of.retain(|group| group != name);
        }
        Ok(())
    }

    fn check_groups(&self, role: &RoleDef) -> Result<()> {
        let unknown = role.member_of.iter().find(|group| !self.roles.contains_key(*group));
        unknown.map_or(Ok(()), |group| Err(no_role(group)))
    }

    fn superuser_id(&mut self) -> u32 {
        let taken = self.roles.values().any(|role| role.id == FIRST_SUPERUSER_ID);
        if taken { self.take_id() } else { FIRST_SUPERUSER_ID }
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        id
    }
}

pub(super) fn no_role(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
}

pub(super) fn no_database(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist"))
}

fn check_role_name(name: &str) -> Result<()> {
    check_name(name)?;
    let reserved = SqlError::new(SqlState::RESERVED_NAME, format!("role name \"{name}\" is reserved"));
    if name.starts_with("pg_") {
        return Err(reserved.detail("Role names starting with \"pg_\" are reserved."));
    }
    if name == crate::history::PUBLIC || name == "none" {
        return Err(reserved);
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(SqlError::syntax("zero-length delimited identifier"));
    }
    if name.len() > NAME_BYTES {
        return Err(SqlError::new(SqlState::NAME_TOO_LONG, format!("identifier \"{name}\" is too long")));
    }
    Ok(())
}

/// A file name that shows the database's and belongs to it alone.
fn file_name(name: &str, id: u32) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' });
    plain.take(32).chain(format!("-{id}").chars()).collect()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, HistoryError> {
    serde_json::from_str(text).map_err(|cause| HistoryError::BadDefinition(cause.to_string()))
}

fn changes<'a, T: Serialize + PartialEq + 'a>(
    kind: &str,
    before: impl Iterator<Item = &'a Arc<T>>,
    after: impl Iterator<Item = &'a Arc<T>>,
    id: impl Fn(&T) -> u32,
) -> Result<Vec<CatalogChange>, HistoryError> {
    let before: BTreeMap<u32, &Arc<T>> = before.map(|def| (id(def), def)).collect();
    let after: BTreeMap<u32, &Arc<T>> = after.map(|def| (id(def), def)).collect();
    let change = |id: u32, definition| CatalogChange { kind: kind.to_owned(), id, definition };
    let ended = before.keys().filter(|id| !after.contains_key(id)).map(|id| Ok(change(*id, None)));
    let set = after.iter().filter(|(id, def)| before.get(id) != Some(def)).map(|(id, def)| {
        let text = serde_json::to_string(def.as_ref()).map_err(|cause| HistoryError::BadDefinition(cause.to_string()))?;
        Ok(change(*id, Some(text)))
    });
    ended.chain(set).collect()
}

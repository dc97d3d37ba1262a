//! What a role may do: membership, ownership, grants, and the refusals in PostgreSQL's words.
//!
//! Pure over the cluster's roles. A member has what the roles it is a member of have.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Result, SqlError, SqlState};
use crate::history::{SchemaDef, SequenceDef, TableDef, ViewDef};
use crate::tenancy::Tenancy;

/// Grants to everybody are kept under this name.
pub(super) const PUBLIC: &str = "public";

/// Whether `who` is `role` or, directly or not, a member of it.
pub(super) fn is_member(tenancy: &Tenancy, who: &str, role: &str) -> bool {
    roles_of(tenancy, who).contains(role)
}

fn roles_of(tenancy: &Tenancy, who: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![who.to_owned()];
    while let Some(name) = waiting.pop() {
        if let Some(role) = tenancy.role(&name) {
            waiting.extend(role.member_of.iter().filter(|r| !found.contains(*r)).cloned());
        }
        found.insert(name);
    }
    found
}

/// One object, as far as privileges go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guarded<'a> {
    /// `table`, `view`, `sequence`, `schema`: as messages name it.
    pub kind: &'static str,
    pub name: &'a str,
    pub owner: &'a str,
    pub grants: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> From<&'a TableDef> for Guarded<'a> {
    fn from(def: &'a TableDef) -> Self {
        Self { kind: "table", name: &def.name.name, owner: &def.owner, grants: &def.grants }
    }
}

impl<'a> From<&'a ViewDef> for Guarded<'a> {
    fn from(def: &'a ViewDef) -> Self {
        Self { kind: "view", name: &def.name.name, owner: &def.owner, grants: &def.grants }
    }
}

impl<'a> From<&'a SequenceDef> for Guarded<'a> {
    fn from(def: &'a SequenceDef) -> Self {
        Self { kind: "sequence", name: &def.name.name, owner: &def.owner, grants: &def.grants }
    }
}

impl<'a> From<&'a SchemaDef> for Guarded<'a> {
    fn from(def: &'a SchemaDef) -> Self {
        Self { kind: "schema", name: &def.name, owner: &def.owner, grants: &def.grants }
    }
}

/// Who asks. A superuser may everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub tenancy: &'a Tenancy,
    pub role: &'a str,
    pub superuser: bool,
}

impl Asker<'_> {
    pub fn may(&self, privilege: &str, object: Guarded<'_>) -> bool {
        if self.superuser || self.owns(object) {
            return true;
        }
        let granted = |role: &str| object.grants.get(role).is_some_and(|p| p.iter().any(|p| p == privilege));
        granted(PUBLIC) || roles_of(self.tenancy, self.role).iter().any(|role| granted(role))
    }

    pub fn owns(&self, object: Guarded<'_>) -> bool {
        self.superuser || is_member(self.tenancy, self.role, object.owner)
    }

    /// 42501 `permission denied for table t`.
    pub fn require(&self, privilege: &str, object: Guarded<'_>) -> Result<()> {
        if self.may(privilege, object) {
            return Ok(());
        }
        Err(denied(format!("permission denied for {} {}", object.kind, object.name)))
    }

    /// 42501 `must be owner of table t`.
    pub fn require_owner(&self, object: Guarded<'_>) -> Result<()> {
        if self.owns(object) { Ok(()) } else { Err(denied(format!("must be owner of {} {}", object.kind, object.name))) }
    }
}

pub(super) fn denied(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
}

//! What a role may do with an object, by its owner and its grants.
//!
//! Pure. Which roles a client acts as is found by `auth`, which objects a statement needs by `plan`.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{SqlError, SqlState};

/// Role to its privileges, in upper case.
pub type Grants = BTreeMap<String, Vec<String>>;

/// The role that stands for everybody in [`Grants`].
pub const PUBLIC: &str = "public";

/// A role with all that it inherits: what privileges are checked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    pub superuser: bool,
    /// The role itself and every role that it is a member of, directly or not.
    pub roles: BTreeSet<String>,
}

impl Authority {
    /// Whether it owns what this role owns.
    pub fn owns(&self, owner: &str) -> bool {
        self.superuser || self.roles.contains(owner)
    }

    /// Whether it may use this privilege (in upper case) on an object: as superuser, as owner, or by a grant
    /// to one of its roles or to everybody.
    pub fn may(&self, privilege: &str, grants: &Grants, owner: &str) -> bool {
        let granted = |role: &str| grants.get(role).is_some_and(|held| held.iter().any(|p| p == privilege));
        self.owns(owner) || granted(PUBLIC) || self.roles.iter().any(|role| granted(role))
    }
}

/// `permission denied for table t`; `kind` is `table`, `view`, `sequence`, `schema`, `database` …
pub fn denied(kind: &str, name: &str) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied for {kind} {name}"))
}

/// `must be owner of table t`.
pub fn not_owner(kind: &str, name: &str) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("must be owner of {kind} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(roles: &[&str], superuser: bool, privilege: &str, expected: bool) {
        let authority = Authority { superuser, roles: roles.iter().map(|r| (*r).to_owned()).collect() };
        let grants =
            Grants::from([("reader".to_owned(), vec!["SELECT".to_owned()]), (PUBLIC.to_owned(), vec!["USAGE".to_owned()])]);
        assert_eq!(authority.may(privilege, &grants, "ann"), expected);
    }

    #[test]
    fn superusers_owners_grantees_and_everybody_may() {
        check(&["bob"], true, "DELETE", true);
        check(&["ann"], false, "DELETE", true);
        check(&["bob"], false, "SELECT", false);
        check(&["bob", "reader"], false, "SELECT", true);
        check(&["bob", "reader"], false, "INSERT", false);
        check(&["bob"], false, "USAGE", true);
    }
}

//! What a role is a member of, and so what it may act as.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::history::{Authority, RoleDef};

/// The role with everything it inherits. A role that `find` does not know has its own name and nothing else;
/// a ring of memberships ends where it began. Being a superuser is not inherited.
pub fn authority(role: &str, find: impl Fn(&str) -> Option<Arc<RoleDef>>) -> Authority {
    let superuser = find(role).is_some_and(|def| def.superuser);
    let mut roles = BTreeSet::from([role.to_owned()]);
    let mut open = vec![role.to_owned()];
    while let Some(name) = open.pop() {
        let Some(def) = find(&name) else { continue };
        let new = def.member_of.iter().filter(|group| roles.insert((*group).clone()));
        open.extend(new.cloned());
    }
    Authority { superuser, roles }
}

/// The role that stands for the owner of whichever database is asked about.
pub const DATABASE_OWNER: &str = "pg_database_owner";

/// [`authority`] within a database: who owns it acts as [`DATABASE_OWNER`] too, to which `public` belongs.
pub fn authority_in(database_owner: &str, role: &str, find: impl Fn(&str) -> Option<Arc<RoleDef>>) -> Authority {
    let mut authority = authority(role, find);
    if authority.roles.contains(database_owner) {
        authority.roles.insert(DATABASE_OWNER.to_owned());
    }
    authority
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[track_caller]
    fn check(roles: &[(&str, &[&str])], of: &str, expected: &[&str]) {
        let def = |name: &str, member_of: &[&str]| RoleDef {
            id: 1,
            name: name.to_owned(),
            superuser: name == "root",
            login: true,
            create_database: false,
            create_role: false,
            load_history: false,
            verifier: None,
            member_of: member_of.iter().map(|g| (*g).to_owned()).collect(),
            settings: BTreeMap::new(),
        };
        let find = |name: &str| roles.iter().find(|(n, _)| *n == name).map(|(n, groups)| Arc::new(def(n, groups)));
        let found = authority(of, find);
        assert_eq!(found.roles.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert_eq!(found.superuser, of == "root");
    }

    #[test]
    fn membership_is_inherited_through_any_number_of_roles() {
        check(&[("a", &["b"]), ("b", &["c", "d"])], "a", &["a", "b", "c", "d"]);
    }

    #[test]
    fn rings_end_and_unknown_roles_are_themselves() {
        check(&[("a", &["b"]), ("b", &["a"])], "a", &["a", "b"]);
        check(&[], "nobody", &["nobody"]);
    }

    #[test]
    fn the_owner_of_the_database_owns_what_is_its_owners() {
        let find = |_: &str| None;
        assert!(authority_in("ann", "ann", find).owns(DATABASE_OWNER));
        assert!(!authority_in("ann", "bob", find).owns(DATABASE_OWNER));
    }

    #[test]
    fn members_of_a_superuser_are_not_superusers() {
        check(&[("a", &["root"]), ("root", &[])], "a", &["a", "root"]);
        check(&[("root", &[])], "root", &["root"]);
    }
}

//! Who a role is with all it inherits, for the checks of this module.

use std::collections::BTreeSet;

use crate::history::Authority;
use crate::tenancy::Tenancy;

/// The role, every role that it is a member of, and whether it may everything. Being a member of a superuser
/// does not make one.
pub(super) fn authority(tenancy: &Tenancy, role: &str) -> Authority {
    let mut roles = BTreeSet::new();
    let mut waiting = vec![role.to_owned()];
    while let Some(name) = waiting.pop() {
        if let Some(role) = tenancy.role(&name) {
            waiting.extend(role.member_of.iter().filter(|r| !roles.contains(*r)).cloned());
        }
        roles.insert(name);
    }
    Authority { superuser: tenancy.role(role).is_some_and(|role| role.superuser), roles }
}

/// Whether `who` is `role` or, directly or not, a member of it.
pub(super) fn is_member(tenancy: &Tenancy, who: &str, role: &str) -> bool {
    authority(tenancy, who).roles.contains(role)
}

//! Who a role is with all it inherits, for the checks of this module.

use crate::history::Authority;
use crate::tenancy::Tenancy;

/// The role in one database, whose owner may do more there.
pub(super) fn authority(tenancy: &Tenancy, database: &str, role: &str) -> Authority {
    tenancy.authority(role, database)
}

/// Whether `who` is `role` or, directly or not, a member of it.
pub(super) fn is_member(tenancy: &Tenancy, who: &str, role: &str) -> bool {
    crate::auth::authority(who, |name| tenancy.role(name)).roles.contains(role)
}

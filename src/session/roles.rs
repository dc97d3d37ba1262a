//! Who a role is with all it inherits, for the checks of this module.

use crate::history::Authority;
use crate::tenancy::Tenancy;

pub(super) fn authority(tenancy: &Tenancy, role: &str) -> Authority {
    crate::auth::authority(role, |name| tenancy.role(name))
}

/// Whether `who` is `role` or, directly or not, a member of it.
pub(super) fn is_member(tenancy: &Tenancy, who: &str, role: &str) -> bool {
    authority(tenancy, who).roles.contains(role)
}

//! Who a role is with all it inherits, for the checks of this module.

use std::sync::Arc;

use crate::history::{Authority, Database};
use crate::plan::Authorities;
use crate::tenancy::Tenancy;

/// The roles of the server as one database sees them.
#[derive(Debug)]
pub(super) struct Roles {
    pub tenancy: Arc<Tenancy>,
    pub database: Arc<Database>,
}

impl Authorities for Roles {
    fn of(&self, role: &str) -> Authority {
        authority(&self.tenancy, self.database.name(), role)
    }
}

/// The role in one database, whose owner may do more there.
pub(super) fn authority(tenancy: &Tenancy, database: &str, role: &str) -> Authority {
    tenancy.authority(role, database)
}

/// Whether `who` is `role` or, directly or not, a member of it.
pub(super) fn is_member(tenancy: &Tenancy, who: &str, role: &str) -> bool {
    crate::auth::authority(who, |name| tenancy.role(name)).roles.contains(role)
}

//! `information_schema`: the SQL standard's view of definitions, as PostgreSQL 15 gives it.
//!
//! Shows a role what it owns or has a privilege on, so its rows are made for every statement.

mod columns;
mod constraints;
mod domains;
mod privileges;
mod relations;
mod routines;

use super::Source;
use crate::history::{Authority, Grants};

/// Where the rows of one of its relations come from.
pub fn source(name: &str) -> Source {
    match name {
        "tables" => Source::Live(relations::tables),
        "views" => Source::Live(relations::views),
        "schemata" => Source::Live(relations::schemata),
        "sequences" => Source::Live(relations::sequences),
        "information_schema_catalog_name" => Source::Live(relations::catalog_name),
        "character_sets" => Source::Live(relations::character_sets),
        "view_table_usage" => Source::Live(relations::view_table_usage),
        "columns" => Source::Live(columns::columns),
        "routines" => Source::Live(routines::routines),
        "parameters" => Source::Live(routines::parameters),
        "triggers" => Source::Live(routines::triggers),
        "domains" => Source::Live(domains::domains),
        "domain_constraints" => Source::Live(domains::constraints),
        "column_domain_usage" => Source::Live(domains::column_usage),
        "table_constraints" => Source::Live(constraints::table_constraints),
        "key_column_usage" => Source::Live(constraints::key_column_usage),
        "constraint_column_usage" => Source::Live(constraints::constraint_column_usage),
        "constraint_table_usage" => Source::Live(constraints::constraint_table_usage),
        "referential_constraints" => Source::Live(constraints::referential_constraints),
        "check_constraints" => Source::Live(constraints::check_constraints),
        "table_privileges" | "role_table_grants" => Source::Live(privileges::tables),
        "column_privileges" | "role_column_grants" => Source::Live(privileges::columns),
        "enabled_roles" => Source::Live(privileges::enabled_roles),
        "applicable_roles" | "administrable_role_authorizations" => Source::Live(privileges::applicable_roles),
        _ => Source::Fixed,
    }
}

/// Whether a role sees an object: it owns it or has some privilege on it.
fn sees(authority: &Authority, owner: &str, grants: &Grants) -> bool {
    let any = |role: &str| grants.get(role).is_some_and(|held| !held.is_empty());
    authority.owns(owner) || any(crate::history::PUBLIC) || authority.roles.iter().any(|role| any(role))
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "YES" } else { "NO" }
}

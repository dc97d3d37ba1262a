//! table_privileges, column_privileges and the roles that are in force.

use datafusion::arrow::array::RecordBatch;

use super::yes_or_no;
use crate::error::Result;
use crate::history::{Authority, Grants, PUBLIC};
use crate::plan::StatementContext;
use crate::plan::catalog::rows::Rows;
use crate::plan::catalog::spec::Spec;
use crate::plan::catalog::state::Catalogue;
use crate::types::Qualified;

/// What an owner has on its table.
const OWNERS: [&str; 7] = ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
/// Those that a column can have.
const OF_COLUMNS: [&str; 4] = ["INSERT", "SELECT", "UPDATE", "REFERENCES"];

/// One privilege on a table or view.
struct Held<'a> {
    name: &'a Qualified,
    owner: &'a str,
    grantee: &'a str,
    privilege: &'a str,
}

/// Every privilege of which the role is grantor or grantee.
fn held<'a>(authority: &Authority, state: &'a Catalogue) -> Vec<(Held<'a>, Vec<&'a str>)> {
    let tables = state
        .catalog
        .base_tables()
        .map(|t| (&t.name, t.owner.as_str(), &t.grants, t.live_columns().map(|c| c.name.as_str()).collect::<Vec<_>>()));
    let views = state
        .catalog
        .views
        .values()
        .map(|v| (&v.name, v.owner.as_str(), &v.grants, v.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()));
    let mut all = Vec::new();
    for (name, owner, grants, columns) in tables.chain(views) {
        for (grantee, privilege) in of_object(owner, grants) {
            let seen = authority.owns(owner) || grantee == PUBLIC || authority.roles.contains(grantee);
            if seen {
                all.push((Held { name, owner, grantee, privilege }, columns.clone()));
            }
        }
    }
    all
}

fn of_object<'a>(owner: &'a str, grants: &'a Grants) -> Vec<(&'a str, &'a str)> {
    let own = OWNERS.iter().map(|privilege| (owner, *privilege));
    let granted = grants.iter().filter(|(role, _)| role.as_str() != owner);
    let granted = granted.flat_map(|(role, held)| held.iter().map(move |p| (role.as_str(), p.as_str())));
    own.chain(granted).collect()
}

fn shown(grantee: &str) -> &str {
    if grantee == PUBLIC { "PUBLIC" } else { grantee }
}

pub fn tables(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["grantor", "grantee", "table_schema", "table_name", "privilege_type", "is_grantable", "with_hierarchy"];
    let mut rows = Rows::new(spec, &columns).always("table_catalog", state.database.clone());
    let roles_only = spec.name == "role_table_grants";
    for (Held { name, owner, grantee, privilege }, _) in held(&ctx.authority(), state) {
        if roles_only && grantee == PUBLIC {
            continue;
        }
        rows.push(&[
            owner.into(),
            shown(grantee).into(),
            (&name.schema).into(),
            (&name.name).into(),
            privilege.into(),
            yes_or_no(grantee == owner).into(),
            yes_or_no(privilege == "SELECT").into(),
        ]);
    }
    rows.finish()
}

pub fn columns(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let names = ["grantor", "grantee", "table_schema", "table_name", "column_name", "privilege_type", "is_grantable"];
    let mut rows = Rows::new(spec, &names).always("table_catalog", state.database.clone());
    let roles_only = spec.name == "role_column_grants";
    for (Held { name, owner, grantee, privilege }, columns) in held(&ctx.authority(), state) {
        if !OF_COLUMNS.contains(&privilege) || (roles_only && grantee == PUBLIC) {
            continue;
        }
        for column in columns {
            rows.push(&[
                owner.into(),
                shown(grantee).into(),
                (&name.schema).into(),
                (&name.name).into(),
                column.into(),
                privilege.into(),
                yes_or_no(grantee == owner).into(),
            ]);
        }
    }
    rows.finish()
}

pub fn enabled_roles(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["role_name"]);
    let authority = ctx.authority();
    for role in state.roles.iter().filter(|role| authority.owns(&role.name)) {
        rows.push(&[(&role.name).into()]);
    }
    rows.finish()
}

pub fn applicable_roles(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["grantee", "role_name"]).always("is_grantable", "NO");
    let authority = ctx.authority();
    if spec.name == "applicable_roles" {
        for member in state.roles.iter().filter(|role| authority.owns(&role.name)) {
            for group in &member.member_of {
                rows.push(&[(&member.name).into(), group.into()]);
            }
        }
    }
    rows.finish()
}

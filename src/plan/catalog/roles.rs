//! Roles and memberships under their several names. Never a verifier.

use datafusion::arrow::array::RecordBatch;

use super::rows::{Cell, Rows};
use super::spec::{BOOTSTRAP_ROLE, Spec};
use super::state::Catalogue;
use crate::error::Result;
use crate::history::RoleDef;
use crate::types::Oid;

/// The role that stands for a database's owner; owns `public`.
pub const DATABASE_OWNER: (Oid, &str) = (6171, "pg_database_owner");

/// The roles that PostgreSQL has from the beginning, for whoever looks for them; nobody else is a member.
const PREDEFINED: &[(Oid, &str)] = &[
    (3373, "pg_monitor"),
    (3374, "pg_read_all_settings"),
    (3375, "pg_read_all_stats"),
    (3377, "pg_stat_scan_tables"),
    (4200, "pg_signal_backend"),
    (4544, "pg_checkpoint"),
    (4569, "pg_read_server_files"),
    (4570, "pg_write_server_files"),
    (4571, "pg_execute_server_program"),
    (6181, "pg_read_all_data"),
    (6182, "pg_write_all_data"),
];

/// The name of a role that PostgreSQL has from the beginning.
pub fn predefined_name(oid: Oid) -> Option<&'static str> {
    std::iter::once(&DATABASE_OWNER).chain(PREDEFINED).find(|role| role.0 == oid).map(|role| role.1)
}

pub fn predefined_oid(name: &str) -> Option<Oid> {
    std::iter::once(&DATABASE_OWNER).chain(PREDEFINED).find(|role| role.1 == name).map(|role| role.0)
}

/// Which of them are members of which: group, member.
const PREDEFINED_MEMBERS: [(Oid, Oid); 3] = [(3374, 3373), (3375, 3373), (3377, 3373)];

/// What a verifier or its absence is shown as.
const HIDDEN: &str = "********";

fn settings(role: &RoleDef) -> Option<Vec<String>> {
    let items: Vec<String> = role.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (!items.is_empty()).then_some(items)
}

fn predefined((oid, name): (Oid, &str)) -> RoleDef {
    RoleDef {
        id: oid,
        name: name.to_owned(),
        superuser: false,
        login: false,
        create_database: false,
        create_role: false,
        load_history: false,
        verifier: None,
        member_of: Vec::new(),
        settings: Default::default(),
    }
}

/// pg_authid, with passwords as pg_roles shows them, and pg_roles.
pub fn roles(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "oid",
        "rolname",
        "rolsuper",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolbypassrls",
        "rolpassword",
    ];
    let roles = spec.name == "pg_roles";
    let all: Vec<&str> = columns.into_iter().chain(roles.then_some("rolconfig")).collect();
    let mut rows = Rows::new(spec, &all).always("rolinherit", true).always("rolconnlimit", -1);
    let system: Vec<RoleDef> = std::iter::once(&DATABASE_OWNER).chain(PREDEFINED).map(|role| predefined(*role)).collect();
    for role in state.roles.iter().map(AsRef::as_ref).chain(&system) {
        let password = if roles { Some(HIDDEN) } else { None };
        // The first superuser may do all that PostgreSQL's may.
        let first = role.id == BOOTSTRAP_ROLE;
        let mut row: Vec<Cell<'_>> = vec![
            role.id.into(),
            (&role.name).into(),
            role.superuser.into(),
            (role.create_role || first).into(),
            (role.create_database || first).into(),
            role.login.into(),
            first.into(),
            first.into(),
            password.into(),
        ];
        row.extend(roles.then(|| settings(role).into()));
        rows.push(&row);
    }
    rows.finish()
}

/// pg_user and pg_shadow: roles that may log in.
pub fn users(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["usename", "usesysid", "usecreatedb", "usesuper", "passwd", "useconfig", "userepl", "usebypassrls"];
    let mut rows = Rows::new(spec, &columns);
    for role in state.roles.iter().filter(|role| role.login) {
        let password = if spec.name == "pg_user" { Some(HIDDEN) } else { None };
        let first = role.id == BOOTSTRAP_ROLE;
        rows.push(&[
            (&role.name).into(),
            role.id.into(),
            (role.create_database || first).into(),
            role.superuser.into(),
            password.into(),
            settings(role).into(),
            first.into(),
            first.into(),
        ]);
    }
    rows.finish()
}

/// pg_db_role_setting: what ALTER ROLE … SET has given, in every database.
pub fn role_settings(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["setrole", "setconfig"]).always("setdatabase", Oid::default());
    for role in state.roles.iter().filter(|role| !role.settings.is_empty()) {
        rows.push(&[role.id.into(), settings(role).into()]);
    }
    rows.finish()
}

/// pg_group: roles that may not log in, with their members.
pub fn groups(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["groname", "grosysid", "grolist"]);
    for group in state.roles.iter().filter(|role| !role.login) {
        let members = state.roles.iter().filter(|role| role.member_of.contains(&group.name));
        rows.push(&[(&group.name).into(), group.id.into(), members.map(|m| i64::from(m.id)).collect::<Vec<_>>().into()]);
    }
    rows.finish()
}

pub fn members(state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["roleid", "member", "grantor", "admin_option"]);
    for (group, member) in PREDEFINED_MEMBERS {
        rows.push(&[group.into(), member.into(), BOOTSTRAP_ROLE.into(), false.into()]);
    }
    for member in &state.roles {
        for group in &member.member_of {
            rows.push(&[state.role_oid(group).into(), member.id.into(), BOOTSTRAP_ROLE.into(), false.into()]);
        }
    }
    rows.finish()
}

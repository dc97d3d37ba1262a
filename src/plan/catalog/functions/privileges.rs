//! `has_…_privilege` and `pg_has_role`: what privileges a role has, found as statements find them.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, ListBuilder, StringBuilder};

use super::{View, number};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Authority, Grants};
use crate::plan::catalog::acl;
use crate::plan::catalog::objects::Relation;
use crate::plan::functions::define::{Call, Function, INT8, Returns, TEXT, Want};
use crate::types::{Oid, PgType, TypeName};

const BOOL: Returns = Returns::Fixed(PgType::BOOL);
const TWO: &[Want] = &[Want::Any, Want::Any, Want::Any];
const THREE: &[Want] = &[Want::Any, Want::Any, Want::Any, Want::Any];

const fn privilege(name: &'static str, body: fn(&Call<'_>) -> Result<ArrayRef>) -> Function {
    Function::new(name, TWO, BOOL, body).optional(1).stable()
}

pub const FUNCTIONS: &[Function] = &[
    privilege("has_table_privilege", |c| each(c, relation)),
    privilege("has_sequence_privilege", |c| each(c, relation)),
    privilege("has_schema_privilege", |c| each(c, schema)),
    privilege("has_database_privilege", |c| each(c, database)),
    privilege("has_function_privilege", |c| each(c, everybody)),
    privilege("has_language_privilege", |c| each(c, everybody)),
    privilege("has_type_privilege", |c| each(c, everybody)),
    privilege("has_tablespace_privilege", |c| each(c, owner_only)),
    privilege("has_foreign_data_wrapper_privilege", |c| each(c, owner_only)),
    privilege("has_server_privilege", |c| each(c, owner_only)),
    privilege("pg_has_role", role),
    Function::new("acldefault", &[TEXT, INT8], Returns::Fixed(PgType::new(TypeName::Aclitem).array_of()), default_items).stable(),
    Function::new("has_any_column_privilege", TWO, BOOL, |c| each(c, relation)).optional(1).stable(),
    Function::new("has_column_privilege", THREE, BOOL, column).optional(1).stable(),
    Function::new("has_parameter_privilege", TWO, BOOL, |c| each(c, everybody)).optional(1).stable(),
    Function::new("row_security_active", &[Want::Any], BOOL, |c| c.map::<bool, BooleanArray>(|_| Ok(Some(false)))).stable(),
];

/// `acldefault(kind, owner)`.
fn default_items(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    let item = PgType::new(TypeName::Aclitem).field("item", true);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item);
    for row in 0..call.rows {
        let (Some(kind), Some(owner)) = (call.text(0, row), number(call, 1, row)) else {
            lists.append_null();
            continue;
        };
        let owner = view.catalogue.role_name(owner).map_or_else(|| owner.to_string(), str::to_owned);
        let Some(items) = acl::default_items(kind, &owner) else {
            let message = format!("unrecognized object type abbreviation: {kind}");
            return Err(SqlError::internal(message));
        };
        lists.append_value(items.into_iter().map(Some));
    }
    Ok(Arc::new(lists.finish()))
}

/// Whether an object of the argument at this place allows a privilege; `None` where there is no such object.
type Check = fn(&View<'_>, &Call<'_>, usize, usize, &Authority, &str) -> Result<Option<bool>>;

/// The arguments are `[role,] object, privileges`.
fn each(call: &Call<'_>, check: Check) -> Result<ArrayRef> {
    let view = View::of(call)?;
    let named = call.args.len() - 2;
    call.map::<bool, BooleanArray>(|row| {
        let Some(authority) = authority(&view, call, row, named == 1)? else { return Ok(None) };
        let Some(privileges) = call.text(named + 1, row) else { return Ok(None) };
        any(privileges, |privilege| check(&view, call, named, row, &authority, privilege))
    })
}

/// `SELECT, INSERT WITH GRANT OPTION`: whether any of them is held.
fn any(privileges: &str, mut check: impl FnMut(&str) -> Result<Option<bool>>) -> Result<Option<bool>> {
    let mut held = Some(false);
    for privilege in privileges.split(',') {
        let privilege = privilege.trim().to_ascii_uppercase();
        let plain = privilege.strip_suffix(" WITH GRANT OPTION").unwrap_or(&privilege).trim_end();
        match check(plain)? {
            Some(true) => return Ok(Some(true)),
            Some(false) => {}
            None => held = None,
        }
    }
    Ok(held)
}

/// The role that the first argument names, or the current one.
fn authority(view: &View<'_>, call: &Call<'_>, row: usize, named: bool) -> Result<Option<Authority>> {
    if !named {
        return Ok(Some(view.ctx.authority()));
    }
    if call.args[0].is_null(row) {
        return Ok(None);
    }
    if call.text(0, row) == Some("public") {
        return Ok(Some(Authority::default()));
    }
    let Some(oid) = role_oid(view, call, 0, row)? else { return Ok(None) };
    let name = view.catalogue.role(oid).map(|role| role.name.clone());
    Ok(Some(name.map(|name| view.ctx.authorities.of(&name)).unwrap_or_default()))
}

/// A role by number or by its name as it is, without folding.
fn role_oid(view: &View<'_>, call: &Call<'_>, arg: usize, row: usize) -> Result<Option<Oid>> {
    let Some(name) = call.text(arg, row) else { return Ok(number(call, arg, row)) };
    match view.catalogue.role_oid(name) {
        0 => Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))),
        oid => Ok(Some(oid)),
    }
}

fn relation(
    view: &View<'_>,
    call: &Call<'_>,
    arg: usize,
    row: usize,
    authority: &Authority,
    privilege: &str,
) -> Result<Option<bool>> {
    let Some(oid) = view.oid(call, arg, row, TypeName::Regclass)? else { return Ok(None) };
    known(privilege, &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "USAGE"])?;
    Ok(view.relation(oid).map(|relation| may(authority, privilege, &relation)))
}

fn may(authority: &Authority, privilege: &str, relation: &Relation) -> bool {
    let (grants, owner): (&Grants, &str) = match relation {
        Relation::Table(def) | Relation::Index(def, _) => (&def.grants, &def.owner),
        Relation::View(def) => (&def.grants, &def.owner),
        Relation::Sequence(def) => (&def.grants, &def.owner),
        Relation::System(_) | Relation::Ours(_) => return authority.superuser || privilege == "SELECT",
    };
    authority.may(privilege, grants, owner)
}

fn known(privilege: &str, all: &[&str]) -> Result<()> {
    if all.contains(&privilege) {
        return Ok(());
    }
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unrecognized privilege type: \"{privilege}\"")))
}

fn schema(
    view: &View<'_>,
    call: &Call<'_>,
    arg: usize,
    row: usize,
    authority: &Authority,
    privilege: &str,
) -> Result<Option<bool>> {
    let Some(oid) = view.oid(call, arg, row, TypeName::Regnamespace)? else { return Ok(None) };
    known(privilege, &["USAGE", "CREATE"])?;
    let Some(name) = view.catalogue.namespace_name(oid) else { return Ok(None) };
    Ok(Some(match view.catalogue.catalog.schemas.get(name) {
        Some(def) => authority.may(privilege, &def.grants, &def.owner),
        None => authority.superuser || privilege == "USAGE",
    }))
}

/// Everybody may connect; who may create is the owner.
fn database(
    view: &View<'_>,
    call: &Call<'_>,
    arg: usize,
    row: usize,
    authority: &Authority,
    privilege: &str,
) -> Result<Option<bool>> {
    known(privilege, &["CREATE", "CONNECT", "TEMPORARY", "TEMP"])?;
    let databases = view.ctx.server.databases();
    let wanted = |d: &&crate::plan::context::DatabaseFacts| match call.text(arg, row) {
        Some(name) => d.name == name,
        None => number(call, arg, row) == Some(d.oid),
    };
    if call.args[arg].is_null(row) {
        return Ok(None);
    }
    match databases.iter().find(wanted) {
        Some(found) => Ok(Some(privilege != "CREATE" || authority.owns(&found.owner))),
        None => match call.text(arg, row) {
            Some(name) => Err(SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist"))),
            None => Ok(None),
        },
    }
}

fn everybody(_: &View<'_>, call: &Call<'_>, arg: usize, row: usize, _: &Authority, _: &str) -> Result<Option<bool>> {
    Ok((!call.args[arg].is_null(row)).then_some(true))
}

fn owner_only(_: &View<'_>, call: &Call<'_>, arg: usize, row: usize, who: &Authority, _: &str) -> Result<Option<bool>> {
    Ok((!call.args[arg].is_null(row)).then_some(who.superuser))
}

/// `[role,] table, column, privileges`; a column has the privileges of its table.
fn column(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    let named = call.args.len() - 3;
    call.map::<bool, BooleanArray>(|row| {
        let Some(authority) = authority(&view, call, row, named == 1)? else { return Ok(None) };
        let Some(privileges) = call.text(named + 2, row) else { return Ok(None) };
        any(privileges, |privilege| relation(&view, call, named, row, &authority, privilege))
    })
}

/// `[member,] role, MEMBER|USAGE`.
fn role(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    let named = call.args.len() - 2;
    call.map::<bool, BooleanArray>(|row| {
        let Some(authority) = authority(&view, call, row, named == 1)? else { return Ok(None) };
        let is_null = call.args[named].is_null(row);
        if is_null {
            return Ok(None);
        }
        let Some(oid) = role_oid(&view, call, named, row)? else { return Ok(None) };
        let held = view.catalogue.role(oid).is_some_and(|role| authority.owns(&role.name));
        Ok(Some(held || authority.superuser))
    })
}

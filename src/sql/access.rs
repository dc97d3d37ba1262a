//! Roles and privileges: CREATE and ALTER ROLE, GRANT and REVOKE.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::settings;
use super::statement::{AlterRoutine, AlterTable, AlterType, Ddl, Grant, GrantObjects, RelationAction, RoleOptions};
use crate::error::{Result, SqlError, SqlState};

/// Reads what follows CREATE ROLE or CREATE USER; a user may log in unless told otherwise.
pub fn create_role(cursor: &mut Cursor<'_>, login: bool) -> Result<Ddl> {
    let name = role(cursor)?;
    cursor.accept("WITH");
    let mut options = role_options(cursor)?;
    if login {
        options.login.get_or_insert(true);
    }
    Ok(Ddl::CreateRole { name, options })
}

/// Reads what follows ALTER ROLE or ALTER USER.
pub fn alter_role(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    if cursor.sees("ALL") {
        return Err(cursor.unsupported("ALTER ROLE ALL is not supported", "Alter each role by its name."));
    }
    let name = role(cursor)?;
    if cursor.sees_all(&["IN", "DATABASE"]) {
        let hint = "Settings of a role hold in every database: leave IN DATABASE out.";
        return Err(cursor.unsupported("ALTER ROLE … IN DATABASE is not supported", hint));
    }
    if cursor.accept("SET") {
        if cursor.sees_all(&["TIME", "ZONE"]) || !from_current_follows(cursor) {
            let (setting, value) = settings::assignment(cursor)?;
            return Ok(Ddl::AlterRoleSet { name, setting: Some(setting), value });
        }
        return Err(cursor.unsupported("SET … FROM CURRENT is not supported", "Write the value."));
    }
    if cursor.accept("RESET") {
        return Ok(Ddl::AlterRoleSet { name, setting: settings::named(cursor)?, value: None });
    }
    if cursor.sees("RENAME") {
        return Err(cursor.unsupported("ALTER ROLE … RENAME is not supported", "Create the role under its new name."));
    }
    cursor.accept("WITH");
    Ok(Ddl::AlterRole { name, options: role_options(cursor)? })
}

fn from_current_follows(cursor: &Cursor<'_>) -> bool {
    let mut next = *cursor;
    settings::setting_name(&mut next).is_ok() && next.sees_all(&["FROM", "CURRENT"])
}

/// A role's name; `CURRENT_USER` and the like stand for the session's own ([`Ddl::with_roles`]).
pub fn role(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(keyword) = cursor.accept_any(&["CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"]) {
        return Ok(role_mark(keyword));
    }
    cursor.ident()
}

/// What stands for a role that only the session knows; no name begins so.
fn role_mark(keyword: &str) -> String {
    format!("\u{1}{keyword}")
}

impl Ddl {
    /// The statement with these roles in place of CURRENT_USER, CURRENT_ROLE and SESSION_USER; `None` where it names none.
    pub fn with_roles(&self, current: &str, session: &str) -> Option<Self> {
        let mut named = self.clone();
        let mut found = false;
        for role in named.roles_mut() {
            if *role == role_mark("SESSION_USER") {
                session.clone_into(role);
            } else if *role == role_mark("CURRENT_USER") || *role == role_mark("CURRENT_ROLE") {
                current.clone_into(role);
            } else {
                continue;
            }
            found = true;
        }
        found.then_some(named)
    }

    fn roles_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Grant(grant) | Self::Revoke(grant) => grant.roles.iter_mut().collect(),
            Self::CreateRole { options, .. } => options.in_roles.iter_mut().collect(),
            Self::AlterRole { name, options } => std::iter::once(name).chain(&mut options.in_roles).collect(),
            Self::AlterRoleSet { name, .. } => vec![name],
            Self::CreateSchema { name, owner, .. } => std::iter::once(name).chain(owner).collect(),
            Self::SchemaOwner { role, .. }
            | Self::AlterType { action: AlterType::OwnerTo(role), .. }
            | Self::AlterRelation { action: RelationAction::OwnerTo(role), .. }
            | Self::AlterRoutine { action: AlterRoutine::OwnerTo(role), .. } => vec![role],
            Self::AlterTable { actions, .. } => actions
                .iter_mut()
                .filter_map(|action| match action {
                    AlterTable::OwnerTo { role } => Some(role),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn role_options(cursor: &mut Cursor<'_>) -> Result<RoleOptions> {
    let mut options = RoleOptions::default();
    while !cursor.is_at_end() {
        role_option(cursor, &mut options)?;
    }
    Ok(options)
}

fn role_option(cursor: &mut Cursor<'_>, options: &mut RoleOptions) -> Result<()> {
    const SWITCHES: &[&str] = &[
        "SUPERUSER",
        "NOSUPERUSER",
        "LOGIN",
        "NOLOGIN",
        "CREATEDB",
        "NOCREATEDB",
        "CREATEROLE",
        "NOCREATEROLE",
        "LOADHISTORY",
        "NOLOADHISTORY",
    ];
    let position = cursor.position();
    if let Some(switch) = cursor.accept_any(SWITCHES) {
        let on = !switch.starts_with("NO");
        let slot = match switch.trim_start_matches("NO") {
            "SUPERUSER" => &mut options.superuser,
            "LOGIN" => &mut options.login,
            "CREATEDB" => &mut options.create_database,
            "CREATEROLE" => &mut options.create_role,
            _ => &mut options.load_history,
        };
        return match slot.replace(on) {
            None => Ok(()),
            Some(_) => Err(super::utility::repeated(position)),
        };
    }
    let encrypted = cursor.accept("ENCRYPTED");
    if cursor.accept("PASSWORD") {
        let password = if cursor.accept("NULL") { None } else { Some(cursor.string()?) };
        options.password = Some(password);
        return Ok(());
    }
    if encrypted {
        return Err(cursor.syntax());
    }
    if cursor.accept("INHERIT") || cursor.accept("NOREPLICATION") || cursor.accept("NOBYPASSRLS") {
        // What every role is here.
        return Ok(());
    }
    if cursor.accept_all(&["IN", "ROLE"]) || cursor.accept_all(&["IN", "GROUP"]) {
        options.in_roles = cursor.list(role)?;
        return Ok(());
    }
    for word in ["NOINHERIT", "REPLICATION", "BYPASSRLS", "CONNECTION", "VALID", "ADMIN", "ROLE", "USER", "SYSID"] {
        if cursor.sees(word) {
            return Err(cursor.unsupported(format!("role option {word} is not supported"), "Leave the option out."));
        }
    }
    Err(cursor.syntax())
}

pub fn grant(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    cursor.expect("GRANT")?;
    let (privileges, objects) = what(cursor, "TO")?;
    let roles = cursor.list(grantee)?;
    for words in [&["WITH", "GRANT", "OPTION"][..], &["WITH", "ADMIN", "OPTION"]] {
        if cursor.sees_all(words) {
            let hint = "Only an object's owner and superusers grant on it.";
            return Err(cursor.unsupported(format!("{} is not supported", words.join(" ")), hint));
        }
    }
    granted_by(cursor, &objects)?;
    Ok(Ddl::Grant(Grant { privileges, objects, roles }))
}

pub fn revoke(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    cursor.expect("REVOKE")?;
    if cursor.sees_all(&["GRANT", "OPTION", "FOR"]) || cursor.sees_all(&["ADMIN", "OPTION", "FOR"]) {
        let hint = "There are no grant options to revoke.";
        return Err(cursor.unsupported("REVOKE … OPTION FOR is not supported", hint));
    }
    let (privileges, objects) = what(cursor, "FROM")?;
    let roles = cursor.list(grantee)?;
    granted_by(cursor, &objects)?;
    // Nothing depends on a grant: CASCADE and RESTRICT are one.
    cursor.accept_any(&["CASCADE", "RESTRICT"]);
    Ok(Ddl::Revoke(Grant { privileges, objects, roles }))
}

/// GRANTED BY of a membership says what the catalogue does not keep: which superuser gave it.
fn granted_by(cursor: &mut Cursor<'_>, objects: &GrantObjects) -> Result<()> {
    if !cursor.sees("GRANTED") {
        return Ok(());
    }
    if !matches!(objects, GrantObjects::Roles(_)) {
        return Err(cursor.unsupported("GRANTED BY is not supported", "Leave GRANTED BY out."));
    }
    cursor.expect_all(&["GRANTED", "BY"])?;
    role(cursor).map(drop)
}

fn grantee(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.accept("GROUP");
    role(cursor)
}

/// Privileges and objects, or roles, up to and with TO or FROM.
fn what(cursor: &mut Cursor<'_>, until: &str) -> Result<(Vec<String>, GrantObjects)> {
    let start = cursor.position();
    if cursor.accept("ALL") {
        cursor.accept("PRIVILEGES");
        refuse_columns(cursor)?;
        cursor.expect("ON")?;
        let objects = objects(cursor)?;
        cursor.expect(until)?;
        return Ok((vec!["ALL".to_owned()], objects));
    }
    let words = cursor.list(|next| {
        let word = next.word()?;
        refuse_columns(next)?;
        Ok(word)
    })?;
    if cursor.accept(until) {
        return Ok((Vec::new(), GrantObjects::Roles(words)));
    }
    cursor.expect("ON")?;
    let objects = objects(cursor)?;
    cursor.expect(until)?;
    let privileges: Vec<_> = words.into_iter().map(|word| word.to_ascii_uppercase()).collect();
    check_privileges(&privileges, &objects).map_err(|e| e.at(start))?;
    Ok((privileges, objects))
}

fn refuse_columns(cursor: &Cursor<'_>) -> Result<()> {
    match cursor.sees_token(&Token::LParen) {
        true => Err(cursor.unsupported("privileges on columns are not supported", "Grant on a view of those columns.")),
        false => Ok(()),
    }
}

fn objects(cursor: &mut Cursor<'_>) -> Result<GrantObjects> {
    if cursor.accept_all(&["ALL", "TABLES", "IN", "SCHEMA"]) {
        return Ok(GrantObjects::AllTablesIn(cursor.list(Cursor::ident)?));
    }
    if cursor.accept_all(&["ALL", "SEQUENCES", "IN", "SCHEMA"]) {
        return Ok(GrantObjects::AllSequencesIn(cursor.list(Cursor::ident)?));
    }
    if cursor.accept("SEQUENCE") {
        return Ok(GrantObjects::Sequences(cursor.list(Cursor::name)?));
    }
    if cursor.accept("SCHEMA") {
        return Ok(GrantObjects::Schemas(cursor.list(Cursor::ident)?));
    }
    if cursor.accept("DATABASE") {
        return Ok(GrantObjects::Databases(cursor.list(Cursor::ident)?));
    }
    for word in
        ["FUNCTION", "PROCEDURE", "ROUTINE", "LANGUAGE", "TYPE", "DOMAIN", "FOREIGN", "TABLESPACE", "LARGE", "PARAMETER", "ALL"]
    {
        if cursor.sees(word) && !matches!(cursor.peek_at(1), Some(Token::Comma | Token::Period)) {
            let message = format!("privileges on {word} are not supported");
            return Err(cursor.unsupported(message, "Grant on tables, sequences, schemas or databases."));
        }
    }
    cursor.accept("TABLE");
    Ok(GrantObjects::Tables(cursor.list(Cursor::name)?))
}

/// Each kind of object has its own privileges.
fn check_privileges(privileges: &[String], objects: &GrantObjects) -> Result<()> {
    let (kind, allowed): (&str, &[&str]) = match objects {
        GrantObjects::Tables(_) | GrantObjects::AllTablesIn(_) => {
            ("relation", &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"])
        }
        GrantObjects::Sequences(_) | GrantObjects::AllSequencesIn(_) => ("sequence", &["USAGE", "SELECT", "UPDATE"]),
        GrantObjects::Schemas(_) => ("schema", &["USAGE", "CREATE"]),
        GrantObjects::Databases(_) => ("database", &["CONNECT", "CREATE", "TEMP", "TEMPORARY"]),
        GrantObjects::Roles(_) => return Ok(()),
    };
    let Some(wrong) = privileges.iter().find(|p| !allowed.contains(&p.as_str())) else { return Ok(()) };
    let message = format!("invalid privilege type {wrong} for {kind}");
    Err(SqlError::new(SqlState::INVALID_GRANT_OPERATION, message))
}

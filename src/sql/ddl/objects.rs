//! Views, schemas, databases; DROP and TRUNCATE.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{cascade, if_exists, if_not_exists, refused};
use crate::error::{Result, SqlError};
use crate::sql::access;
use crate::sql::cursor::Cursor;
use crate::sql::lex::Slice;
use crate::sql::query;
use crate::sql::statement::{Ddl, Name, ObjectKind};

/// Reads what follows CREATE [OR REPLACE] VIEW.
pub fn create_view(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Ddl> {
    let name = cursor.name()?;
    let columns = if cursor.sees_token(&Token::LParen) { cursor.idents()? } else { Vec::new() };
    if cursor.sees("WITH") {
        return Err(cursor.unsupported("options of a view are not supported", "Leave WITH (…) out."));
    }
    cursor.expect("AS")?;
    let query = cursor.rest();
    if query.is_empty() {
        return Err(cursor.syntax());
    }
    let (query, check_option) = without_check_option(query);
    let parsed = query::parse_query(query)?;
    cursor.seek(cursor.slice().len());
    Ok(Ddl::CreateView { name, or_replace, columns, query_text: query.text().to_owned(), query: parsed, check_option })
}

/// The query, and WITH CHECK OPTION behind it: `Some(true)` where it is LOCAL.
fn without_check_option(query: Slice<'_>) -> (Slice<'_>, Option<bool>) {
    let forms = [
        (&["WITH", "LOCAL", "CHECK", "OPTION"][..], true),
        (&["WITH", "CASCADED", "CHECK", "OPTION"], false),
        (&["WITH", "CHECK", "OPTION"], false),
    ];
    let found = forms.into_iter().find_map(|(words, local)| query.without_last(words).map(|rest| (rest, Some(local))));
    found.unwrap_or((query, None))
}

pub fn create_schema(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_not_exists = if_not_exists(cursor);
    let named = if cursor.sees("AUTHORIZATION") { None } else { Some(cursor.ident()?) };
    let owner = if cursor.accept("AUTHORIZATION") { Some(access::role(cursor)?) } else { None };
    let Some(name) = named.or_else(|| owner.clone()) else { return Err(cursor.syntax()) };
    if !cursor.is_at_end() {
        let hint = "Create the schema first, then its objects.";
        return Err(cursor.unsupported("CREATE SCHEMA with elements is not supported", hint));
    }
    Ok(Ddl::CreateSchema { name, if_not_exists, owner })
}

pub fn create_database(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_not_exists = if_not_exists(cursor);
    let name = cursor.ident()?;
    cursor.accept("WITH");
    while !cursor.is_at_end() {
        database_option(cursor)?;
    }
    Ok(Ddl::CreateDatabase { name, if_not_exists })
}

/// Options that ask for what every database has; others are refused.
fn database_option(cursor: &mut Cursor<'_>) -> Result<()> {
    const ACCEPTED: &[(&str, &[&str])] = &[
        ("encoding", &["utf8", "utf-8", "unicode"]),
        ("template", &["template0", "template1", "default"]),
        ("lc_collate", &["c", "posix", "c.utf-8", "c.utf8"]),
        ("lc_ctype", &["c", "posix", "c.utf-8", "c.utf8"]),
        ("locale", &["c", "posix", "c.utf-8", "c.utf8"]),
        ("tablespace", &["pg_default", "default"]),
        ("allow_connections", &["true", "default"]),
    ];
    let position = cursor.position();
    let option = cursor.word()?.to_ascii_lowercase();
    cursor.accept_token(&Token::Eq);
    let value = match cursor.accept_string() {
        Some(value) => value,
        None => cursor.word()?,
    };
    let known = ACCEPTED.iter().find(|(name, _)| *name == option);
    match known {
        Some((_, values)) if values.contains(&value.to_ascii_lowercase().as_str()) => Ok(()),
        _ => {
            let message = format!("CREATE DATABASE option {} {value} is not supported", option.to_ascii_uppercase());
            Err(SqlError::unsupported(message, "Leave the option out: a database is UTF-8 with text ordered by its bytes.")
                .at(position))
        }
    }
}

/// Reads a whole DROP statement.
pub fn drop(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    cursor.expect("DROP")?;
    if let Some(kind) = super::routine::kind(cursor) {
        return super::routine::drop(cursor, kind);
    }
    if cursor.accept("TRIGGER") {
        return super::trigger::drop(cursor);
    }
    if cursor.accept("EXTENSION") {
        return super::extension::drop(cursor);
    }
    let kind = match cursor.accept_any(&[
        "TABLE",
        "VIEW",
        "MATERIALIZED",
        "INDEX",
        "SCHEMA",
        "SEQUENCE",
        "TYPE",
        "DOMAIN",
        "DATABASE",
        "ROLE",
        "GROUP",
    ]) {
        Some("TABLE") => ObjectKind::Table,
        Some("VIEW") => ObjectKind::View,
        Some("MATERIALIZED") => {
            cursor.expect("VIEW")?;
            ObjectKind::MaterializedView
        }
        Some("INDEX") => ObjectKind::Index,
        Some("SCHEMA") => ObjectKind::Schema,
        Some("SEQUENCE") => ObjectKind::Sequence,
        Some("TYPE") => ObjectKind::Type,
        Some("DOMAIN") => ObjectKind::Domain,
        Some("DATABASE") => ObjectKind::Database,
        Some(_) => ObjectKind::Role,
        None if cursor.sees("USER") && !cursor.sees_all(&["USER", "MAPPING"]) => {
            cursor.accept("USER");
            ObjectKind::Role
        }
        None if cursor.sees("OWNED") => {
            return Err(cursor.unsupported("DROP OWNED is not supported", "Drop the objects by name, and REVOKE the rest."));
        }
        None => return Err(refused("DROP", cursor)),
    };
    if kind == ObjectKind::Index {
        cursor.accept("CONCURRENTLY");
    }
    let if_exists = if_exists(cursor);
    let names = cursor.list(|next| dropped_name(next, kind))?;
    if kind == ObjectKind::Database && names.len() > 1 {
        return Err(SqlError::syntax("only one database can be dropped at a time").at(cursor.position()));
    }
    let cascade = match kind {
        ObjectKind::Role | ObjectKind::Database => false,
        _ => cascade(cursor),
    };
    Ok(Ddl::Drop { kind, names, if_exists, cascade })
}

/// Roles, schemas and databases have no schema.
fn dropped_name(cursor: &mut Cursor<'_>, kind: ObjectKind) -> Result<Name> {
    match kind {
        ObjectKind::Schema | ObjectKind::Role | ObjectKind::Database => Ok(Name { schema: None, name: cursor.ident()? }),
        ObjectKind::Table
        | ObjectKind::View
        | ObjectKind::MaterializedView
        | ObjectKind::Index
        | ObjectKind::Sequence
        | ObjectKind::Type
        | ObjectKind::Domain => cursor.name(),
    }
}

/// Reads a whole TRUNCATE statement.
pub fn truncate(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    cursor.expect("TRUNCATE")?;
    cursor.accept("TABLE");
    let tables = cursor.list(|next| {
        next.accept("ONLY");
        let name = next.name()?;
        next.accept_token(&Token::Mul);
        Ok(name)
    })?;
    let restart_identity = cursor.accept_all(&["RESTART", "IDENTITY"]);
    if !restart_identity {
        cursor.accept_all(&["CONTINUE", "IDENTITY"]);
    }
    Ok(Ddl::Truncate { tables, restart_identity, cascade: cascade(cursor) })
}

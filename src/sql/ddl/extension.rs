//! CREATE, ALTER and DROP EXTENSION.

use super::{cascade, if_exists, if_not_exists};
use crate::error::Result;
use crate::sql::cursor::Cursor;
use crate::sql::statement::{CreateExtension, Ddl};

/// Reads what follows CREATE EXTENSION.
pub fn create(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_not_exists = if_not_exists(cursor);
    let mut create = CreateExtension { name: cursor.ident()?, if_not_exists, schema: None, version: None };
    cursor.accept("WITH");
    while !cursor.is_at_end() {
        if cursor.accept("SCHEMA") {
            create.schema = Some(cursor.ident()?);
        } else if cursor.accept("VERSION") {
            create.version = Some(version(cursor)?);
        } else if !cursor.accept("CASCADE") {
            return Err(cursor.syntax());
        }
    }
    Ok(Ddl::CreateExtension(create))
}

/// Reads what follows ALTER EXTENSION.
pub fn alter(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let name = cursor.ident()?;
    if !cursor.accept("UPDATE") {
        let hint = "Drop the extension and create it anew.";
        return Err(cursor.unsupported("ALTER EXTENSION takes only UPDATE", hint));
    }
    let version = if cursor.accept("TO") { Some(version(cursor)?) } else { None };
    Ok(Ddl::UpdateExtension { name, version })
}

/// Reads what follows DROP EXTENSION.
pub fn drop(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_exists = if_exists(cursor);
    let names = cursor.list(Cursor::ident)?;
    // Nothing depends on an extension: what it brings is built in.
    cascade(cursor);
    Ok(Ddl::DropExtension { names, if_exists })
}

fn version(cursor: &mut Cursor<'_>) -> Result<String> {
    match cursor.accept_string() {
        Some(version) => Ok(version),
        None => cursor.ident(),
    }
}

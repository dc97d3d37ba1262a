//! CREATE, ALTER, DROP and TRUNCATE, each object in a file of its own. Checks form only: whether names exist
//! and expressions have a type is for those who know the catalogue.

mod alter;
mod column;
mod comment;
mod extension;
mod index;
mod objects;
pub(super) mod routine;
mod sequence;
mod table;
mod trigger;
mod user_type;

use super::access;
use super::cursor::Cursor;
use super::statement::Ddl;
use crate::error::{Result, SqlError};

pub use comment::comment;
pub use objects::{drop, truncate};
pub use table::refresh;

/// What CREATE, ALTER and DROP can name and nothing here has, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("ACCESS METHOD", "Tables are stored as versions, always."),
    ("AGGREGATE", "Compute the aggregate in the query."),
    ("CAST", "Cast in the query."),
    ("COLLATION", "Text is ordered by its bytes."),
    ("CONVERSION", "Text is UTF-8."),
    ("EVENT TRIGGER", "Follow chronogate.changes from the client."),
    ("FOREIGN", "Copy the data in with COPY."),
    ("LANGUAGE", "Compute in the query or in the client."),
    ("OPERATOR", "Compute in the query."),
    ("POLICY", "Use views and GRANT."),
    ("PUBLICATION", "Follow chronogate.changes from the client."),
    ("RULE", "Use a view."),
    ("SERVER", "Copy the data in with COPY."),
    ("STATISTICS", "Statistics need no upkeep here: leave the statement out."),
    ("SUBSCRIPTION", "Load data with COPY."),
    ("SYSTEM", "Settings of the server are in its configuration file."),
    ("TABLESPACE", "All data is under one data directory."),
    ("TEXT", "Use LIKE or regular expressions."),
    ("TRANSFORM", "Compute in the query or in the client."),
    ("USER MAPPING", "Copy the data in with COPY."),
];

pub fn create(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    cursor.expect("CREATE")?;
    let or_replace = cursor.accept_all(&["OR", "REPLACE"]);
    let position = cursor.position();
    let scoped = cursor.accept("GLOBAL") || cursor.accept("LOCAL");
    let temporary = cursor.accept_any(&["TEMP", "TEMPORARY"]).is_some();
    let routine = !scoped && !temporary && (cursor.sees("FUNCTION") || cursor.sees("PROCEDURE"));
    if routine {
        return routine::create(cursor, or_replace);
    }
    if !scoped && !temporary && cursor.accept("TRIGGER") {
        return trigger::create(cursor, or_replace);
    }
    if cursor.sees_all(&["CONSTRAINT", "TRIGGER"]) {
        return Err(cursor.unsupported("constraint triggers are not supported", "Use an AFTER trigger."));
    }
    let replaceable = cursor.sees("VIEW") && (temporary || !scoped);
    if or_replace && !replaceable {
        return Err(refused("CREATE OR REPLACE", cursor));
    }
    if temporary {
        let mut ddl = if cursor.accept("TABLE") {
            table::create(cursor, true)?
        } else if cursor.accept("VIEW") {
            objects::create_view(cursor, or_replace)?
        } else if cursor.accept("SEQUENCE") {
            sequence::create(cursor)?
        } else {
            return Err(cursor.syntax());
        };
        make_temporary(&mut ddl).map_err(|e| e.at(position))?;
        return Ok(ddl);
    }
    // UNLOGGED promises less than a plain table, which may stand for it.
    cursor.accept("UNLOGGED");
    if cursor.accept("TABLE") {
        table::create(cursor, false)
    } else if cursor.accept("VIEW") {
        objects::create_view(cursor, or_replace)
    } else if cursor.accept_all(&["MATERIALIZED", "VIEW"]) {
        table::create_materialized_view(cursor)
    } else if cursor.sees("INDEX") || cursor.sees_all(&["UNIQUE", "INDEX"]) {
        index::create(cursor)
    } else if cursor.accept("SEQUENCE") {
        sequence::create(cursor)
    } else if cursor.accept("SCHEMA") {
        objects::create_schema(cursor)
    } else if cursor.accept("TYPE") {
        user_type::create(cursor)
    } else if cursor.accept("DOMAIN") {
        user_type::create_domain(cursor)
    } else if cursor.accept("EXTENSION") {
        extension::create(cursor)
    } else if cursor.accept("DATABASE") {
        objects::create_database(cursor)
    } else if cursor.accept_any(&["ROLE", "GROUP"]).is_some() {
        access::create_role(cursor, false)
    } else if cursor.sees("USER") && !cursor.sees_all(&["USER", "MAPPING"]) {
        cursor.accept("USER");
        access::create_role(cursor, true)
    } else {
        Err(refused("CREATE", cursor))
    }
}

/// Puts what is created into the session's own schema. 42P16 when another one was written.
fn make_temporary(ddl: &mut Ddl) -> Result<()> {
    let name = match ddl {
        Ddl::CreateTable(create) => &mut create.name,
        Ddl::CreateTableAs(create) => &mut create.name,
        Ddl::CreateView { name, .. } | Ddl::CreateSequence { name, .. } => name,
        _ => return Err(SqlError::internal("TEMPORARY went astray")),
    };
    name.temporary()
}

pub fn alter(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    cursor.expect("ALTER")?;
    if cursor.accept("TABLE") {
        alter::table(cursor)
    } else if cursor.accept("VIEW") {
        alter::view(cursor)
    } else if cursor.accept_all(&["MATERIALIZED", "VIEW"]) {
        alter::materialized_view(cursor)
    } else if cursor.accept("INDEX") {
        alter::index(cursor)
    } else if cursor.accept("SEQUENCE") {
        sequence::alter(cursor)
    } else if cursor.accept("TYPE") {
        user_type::alter(cursor)
    } else if cursor.accept("DOMAIN") {
        user_type::alter_domain(cursor)
    } else if let Some(kind) = routine::kind(cursor) {
        routine::alter(cursor, kind)
    } else if cursor.accept("EXTENSION") {
        extension::alter(cursor)
    } else if cursor.accept("TRIGGER") {
        trigger::alter(cursor)
    } else if cursor.accept("SCHEMA") {
        alter::schema(cursor)
    } else if cursor.sees_all(&["USER", "MAPPING"]) {
        Err(refused("ALTER", cursor))
    } else if cursor.accept_any(&["ROLE", "USER", "GROUP"]).is_some() {
        access::alter_role(cursor)
    } else if cursor.sees("DATABASE") {
        Err(cursor.unsupported("ALTER DATABASE is not supported", "Set defaults for a role with ALTER ROLE … SET."))
    } else if cursor.sees_all(&["DEFAULT", "PRIVILEGES"]) {
        let hint = "GRANT on the objects once they are there.";
        Err(cursor.unsupported("ALTER DEFAULT PRIVILEGES is not supported", hint))
    } else {
        Err(refused("ALTER", cursor))
    }
}

/// The error for an object that CREATE, ALTER or DROP cannot have: 0A000 when PostgreSQL knows it, else 42601.
pub fn refused(verb: &str, cursor: &Cursor<'_>) -> SqlError {
    let known = REFUSED.iter().find(|(words, _)| {
        let words: Vec<_> = words.split(' ').collect();
        cursor.sees_all(&words)
    });
    match known {
        Some((object, hint)) => cursor.unsupported(format!("{verb} {object} is not supported"), hint),
        None => cursor.syntax(),
    }
}

/// `IF NOT EXISTS`.
fn if_not_exists(cursor: &mut Cursor<'_>) -> bool {
    cursor.accept_all(&["IF", "NOT", "EXISTS"])
}

/// `IF EXISTS`.
fn if_exists(cursor: &mut Cursor<'_>) -> bool {
    cursor.accept_all(&["IF", "EXISTS"])
}

/// `CASCADE` or `RESTRICT`, which is the default.
fn cascade(cursor: &mut Cursor<'_>) -> bool {
    let cascade = cursor.accept("CASCADE");
    if !cascade {
        cursor.accept("RESTRICT");
    }
    cascade
}

//! ALTER TABLE, VIEW, INDEX and SCHEMA.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::column::{self, default_text, definition, table_constraint};
use super::sequence;
use super::{cascade, if_exists, if_not_exists};
use crate::error::{Result, SqlError};
use crate::sql::access;
use crate::sql::cursor::{Cursor, expression};
use crate::sql::statement::{AlterTable, Ddl, Name, ObjectKind, RelationAction, SequenceOptions};
use crate::sql::type_name::{ColumnType, type_name};
use crate::types::Identity;

/// Reads what follows ALTER TABLE.
pub fn table(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    if cursor.sees_all(&["ALL", "IN", "TABLESPACE"]) {
        return Err(cursor.unsupported("tablespaces are not supported", "All data is under one data directory."));
    }
    let if_exists = if_exists(cursor);
    cursor.accept("ONLY");
    let name = cursor.name()?;
    cursor.accept_token(&Token::Mul);
    let actions = match rename(cursor)? {
        Some(action) => vec![action],
        None => cursor.list(|next| action(next, &name))?,
    };
    Ok(Ddl::AlterTable { name, if_exists, actions })
}

/// Renaming stands alone in its statement.
fn rename(cursor: &mut Cursor<'_>) -> Result<Option<AlterTable>> {
    if cursor.accept_all(&["SET", "SCHEMA"]) {
        return Ok(Some(AlterTable::SetSchema { schema: cursor.ident()? }));
    }
    if !cursor.accept("RENAME") {
        return Ok(None);
    }
    if cursor.accept("TO") {
        return Ok(Some(AlterTable::RenameTable { to: cursor.ident()? }));
    }
    if cursor.accept("CONSTRAINT") {
        let from = cursor.ident()?;
        cursor.expect("TO")?;
        return Ok(Some(AlterTable::RenameConstraint { from, to: cursor.ident()? }));
    }
    cursor.accept("COLUMN");
    let from = cursor.ident()?;
    cursor.expect("TO")?;
    Ok(Some(AlterTable::RenameColumn { from, to: cursor.ident()? }))
}

/// A trigger's name; `None` for all of them.
fn trigger(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept_any(&["ALL", "USER"]).is_some() {
        return Ok(None);
    }
    cursor.ident().map(Some)
}

fn action(cursor: &mut Cursor<'_>, table: &Name) -> Result<AlterTable> {
    if cursor.accept("ADD") {
        add(cursor, table)
    } else if cursor.accept("DROP") {
        drop(cursor)
    } else if cursor.accept_all(&["VALIDATE", "CONSTRAINT"]) {
        Ok(AlterTable::ValidateConstraint { name: cursor.ident()? })
    } else if cursor.accept_all(&["ALTER", "CONSTRAINT"]) {
        Ok(AlterTable::AlterConstraint { name: cursor.ident()?, timing: column::timing_alone(cursor)? })
    } else if cursor.accept("ALTER") {
        cursor.accept("COLUMN");
        alter_column(cursor)
    } else if cursor.accept_all(&["OWNER", "TO"]) {
        Ok(AlterTable::OwnerTo { role: access::role(cursor)? })
    } else if cursor.accept_all(&["ENABLE", "TRIGGER"]) {
        Ok(AlterTable::SetTrigger { name: trigger(cursor)?, enabled: true })
    } else if cursor.accept_all(&["DISABLE", "TRIGGER"]) {
        Ok(AlterTable::SetTrigger { name: trigger(cursor)?, enabled: false })
    } else if cursor.sees_all(&["REPLICA", "IDENTITY"]) || cursor.sees_all(&["CLUSTER", "ON"]) {
        cursor.until(|token, _| *token == Token::Comma);
        Ok(AlterTable::Nothing)
    } else if cursor.accept_all(&["SET", "WITHOUT", "CLUSTER"])
        || cursor.accept_all(&["SET", "WITHOUT", "OIDS"])
        || cursor.accept_all(&["SET", "LOGGED"])
        || cursor.accept_all(&["SET", "UNLOGGED"])
    {
        Ok(AlterTable::Nothing)
    } else if cursor.sees("SET") && cursor.peek_at(1) == Some(&Token::LParen) {
        cursor.accept("SET");
        column::storage_parameters(cursor)?;
        Ok(AlterTable::Nothing)
    } else if cursor.sees("RESET") && cursor.peek_at(1) == Some(&Token::LParen) {
        cursor.accept("RESET");
        cursor.balanced()?;
        Ok(AlterTable::Nothing)
    } else {
        Err(refused(cursor))
    }
}

fn refused(cursor: &mut Cursor<'_>) -> SqlError {
    for (words, hint) in [
        (&["ENABLE"][..], "Triggers, rules and row security are not there."),
        (&["DISABLE"], "Triggers, rules and row security are not there."),
        (&["INHERIT"], "Use a table with all the columns, or a view."),
        (&["NO"], "Leave the statement out."),
        (&["ATTACH"], "Use one table: history is kept apart by itself."),
        (&["DETACH"], "Use one table: history is kept apart by itself."),
        (&["FORCE"], "Row security is not there."),
        (&["SET"], "Leave the storage parameter out."),
        (&["RESET"], "Leave the storage parameter out."),
    ] {
        if cursor.sees_all(words) {
            return cursor.unsupported(format!("ALTER TABLE … {} is not supported", words.join(" ")), hint);
        }
    }
    cursor.syntax()
}

fn add(cursor: &mut Cursor<'_>, table: &Name) -> Result<AlterTable> {
    let constraint = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].iter().any(|word| cursor.sees(word));
    if constraint || cursor.sees_all(&["EXCLUDE", "USING"]) {
        return Ok(AlterTable::AddConstraint(table_constraint(cursor)?));
    }
    cursor.accept("COLUMN");
    let if_not_exists = if_not_exists(cursor);
    let (column, constraints) = definition(cursor, &table.name)?;
    Ok(AlterTable::AddColumn { column, constraints, if_not_exists })
}

fn drop(cursor: &mut Cursor<'_>) -> Result<AlterTable> {
    let constraint = cursor.accept("CONSTRAINT");
    if !constraint {
        cursor.accept("COLUMN");
    }
    let if_exists = if_exists(cursor);
    let name = cursor.ident()?;
    let cascade = cascade(cursor);
    Ok(match constraint {
        true => AlterTable::DropConstraint { name, if_exists, cascade },
        false => AlterTable::DropColumn { name, if_exists, cascade },
    })
}

fn alter_column(cursor: &mut Cursor<'_>) -> Result<AlterTable> {
    let column = cursor.ident()?;
    if cursor.accept_all(&["SET", "DEFAULT"]) {
        return Ok(AlterTable::SetDefault { column, default: Some(default_text(cursor)?) });
    }
    if cursor.accept_all(&["DROP", "DEFAULT"]) {
        return Ok(AlterTable::SetDefault { column, default: None });
    }
    if cursor.accept_all(&["SET", "NOT", "NULL"]) {
        return Ok(AlterTable::SetNotNull { column, not_null: true });
    }
    if cursor.accept_all(&["DROP", "NOT", "NULL"]) {
        return Ok(AlterTable::SetNotNull { column, not_null: false });
    }
    if cursor.accept("TYPE") || cursor.accept_all(&["SET", "DATA", "TYPE"]) {
        return set_type(cursor, column);
    }
    if cursor.accept_all(&["ADD", "GENERATED"]) {
        let kind = identity_kind(cursor)?;
        cursor.expect_all(&["AS", "IDENTITY"])?;
        let options = sequence::options_in_parentheses(cursor)?;
        return Ok(AlterTable::AddIdentity { column, kind, options });
    }
    if cursor.accept_all(&["DROP", "IDENTITY"]) {
        return Ok(AlterTable::DropIdentity { column, if_exists: if_exists(cursor) });
    }
    if cursor.accept_all(&["DROP", "EXPRESSION"]) {
        return Ok(AlterTable::DropExpression { column, if_exists: if_exists(cursor) });
    }
    for words in [&["SET", "STATISTICS"][..], &["SET", "STORAGE"], &["SET", "COMPRESSION"]] {
        if cursor.accept_all(words) {
            cursor.accept_token(&Token::Minus);
            cursor.advance();
            return Ok(AlterTable::Nothing);
        }
    }
    if cursor.sees("RESTART") || (cursor.sees("SET") && cursor.peek_at(1) != Some(&Token::LParen)) {
        return set_identity(cursor, column);
    }
    if cursor.accept("SET") || cursor.accept("RESET") {
        cursor.balanced()?;
        return Ok(AlterTable::Nothing);
    }
    Err(cursor.syntax())
}

fn identity_kind(cursor: &mut Cursor<'_>) -> Result<Identity> {
    if cursor.accept_all(&["BY", "DEFAULT"]) {
        return Ok(Identity::ByDefault);
    }
    cursor.expect("ALWAYS")?;
    Ok(Identity::Always)
}

/// `SET GENERATED …`, `SET option` and `RESTART`, one after the other.
fn set_identity(cursor: &mut Cursor<'_>, column: String) -> Result<AlterTable> {
    let mut kind = None;
    let mut options = SequenceOptions::default();
    loop {
        if cursor.accept_all(&["SET", "GENERATED"]) {
            kind = Some(identity_kind(cursor)?);
        } else if cursor.sees("RESTART") || cursor.accept("SET") {
            let before = cursor.index();
            options = sequence::more_options(cursor, options)?;
            if cursor.index() == before {
                return Err(cursor.syntax());
            }
        } else {
            return Ok(AlterTable::SetIdentity { column, kind, options });
        }
    }
}

fn set_type(cursor: &mut Cursor<'_>, column: String) -> Result<AlterTable> {
    let ColumnType { ty, own, .. } = type_name(cursor)?;
    if cursor.accept("COLLATE") {
        column::collation(cursor)?;
    }
    let using = if cursor.accept("USING") {
        let slice = cursor.until(|token, _| *token == Token::Comma);
        if slice.is_empty() {
            return Err(cursor.syntax());
        }
        expression(slice)?;
        Some(slice.text().to_owned())
    } else {
        None
    };
    Ok(AlterTable::SetType { column, ty, own, using })
}

/// `RENAME TO`, `SET SCHEMA` or `OWNER TO`.
pub fn relation_action(cursor: &mut Cursor<'_>) -> Result<Option<RelationAction>> {
    Ok(if cursor.accept_all(&["RENAME", "TO"]) {
        Some(RelationAction::Rename(cursor.ident()?))
    } else if cursor.accept_all(&["SET", "SCHEMA"]) {
        Some(RelationAction::SetSchema(cursor.ident()?))
    } else if cursor.accept_all(&["OWNER", "TO"]) {
        Some(RelationAction::OwnerTo(access::role(cursor)?))
    } else {
        None
    })
}

fn relation(cursor: &mut Cursor<'_>, kind: ObjectKind, what: &str) -> Result<Ddl> {
    let if_exists = if_exists(cursor);
    let name = cursor.name()?;
    match relation_action(cursor)? {
        Some(action) => Ok(Ddl::AlterRelation { kind, name, if_exists, action }),
        None if cursor.is_at_end() => Err(cursor.syntax()),
        None => {
            let message = format!("ALTER {what} takes only RENAME TO, SET SCHEMA and OWNER TO");
            Err(cursor.unsupported(message, "Drop the object and create it anew."))
        }
    }
}

pub fn view(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    relation(cursor, ObjectKind::View, "VIEW")
}

pub fn materialized_view(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    relation(cursor, ObjectKind::MaterializedView, "MATERIALIZED VIEW")
}

pub fn index(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    relation(cursor, ObjectKind::Index, "INDEX")
}

pub fn schema(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let name = cursor.ident()?;
    if cursor.accept_all(&["OWNER", "TO"]) {
        return Ok(Ddl::SchemaOwner { name, role: access::role(cursor)? });
    }
    cursor.expect_all(&["RENAME", "TO"])?;
    Ok(Ddl::RenameSchema { name, to: cursor.ident()? })
}

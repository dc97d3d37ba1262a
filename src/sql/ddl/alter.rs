//! ALTER TABLE, VIEW, INDEX and SCHEMA.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::column::{self, default_text, definition, table_constraint};
use super::{cascade, if_exists, if_not_exists};
use crate::error::{Result, SqlError};
use crate::sql::cursor::{Cursor, expression};
use crate::sql::statement::{AlterTable, Ddl, Name};
use crate::sql::type_name::type_name;

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
        Ok(AlterTable::OwnerTo { role: cursor.ident()? })
    } else {
        Err(refused(cursor))
    }
}

fn refused(cursor: &mut Cursor<'_>) -> SqlError {
    for (words, hint) in [
        (&["ENABLE"][..], "Triggers, rules and row security are not there."),
        (&["DISABLE"], "Triggers, rules and row security are not there."),
        (&["REPLICA", "IDENTITY"], "Changes carry whole rows always: leave the statement out."),
        (&["CLUSTER"], "Storage order needs no upkeep here: leave the statement out."),
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
    for words in [&["SET", "GENERATED"][..], &["ADD", "GENERATED"], &["DROP", "IDENTITY"], &["DROP", "EXPRESSION"], &["RESTART"]]
    {
        if cursor.sees_all(words) {
            let message = format!("ALTER COLUMN … {} is not supported", words.join(" "));
            return Err(cursor.unsupported(message, "Declare identity columns when the table is created."));
        }
    }
    if cursor.sees("SET") || cursor.sees("RESET") {
        let hint = "Storage and statistics of a column need no upkeep here: leave the statement out.";
        return Err(cursor.unsupported("this form of ALTER COLUMN is not supported", hint));
    }
    Err(cursor.syntax())
}

fn set_type(cursor: &mut Cursor<'_>, column: String) -> Result<AlterTable> {
    let ty = type_name(cursor)?;
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
    Ok(AlterTable::SetType { column, ty, using })
}

/// `RENAME TO name`.
fn rename_to(cursor: &mut Cursor<'_>, what: &str) -> Result<String> {
    if cursor.accept_all(&["RENAME", "TO"]) {
        return cursor.ident();
    }
    match cursor.is_at_end() {
        true => Err(cursor.syntax()),
        false => {
            let message = format!("ALTER {what} takes only RENAME TO");
            Err(cursor.unsupported(message, "Drop the object and create it anew."))
        }
    }
}

fn refuse_if_exists(cursor: &mut Cursor<'_>) -> Result<()> {
    match cursor.sees_all(&["IF", "EXISTS"]) {
        true => Err(cursor.unsupported("IF EXISTS is not supported here", "Leave IF EXISTS out.")),
        false => Ok(()),
    }
}

pub fn view(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    refuse_if_exists(cursor)?;
    let name = cursor.name()?;
    Ok(Ddl::RenameView { name, to: rename_to(cursor, "VIEW")? })
}

pub fn index(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    refuse_if_exists(cursor)?;
    let name = cursor.name()?;
    Ok(Ddl::RenameIndex { name, to: rename_to(cursor, "INDEX")? })
}

pub fn schema(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let name = cursor.ident()?;
    Ok(Ddl::RenameSchema { name, to: rename_to(cursor, "SCHEMA")? })
}

//! CREATE and ALTER of types that users define: enumerations, domains and composite types.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::column::{check_text, default_text};
use super::{cascade, if_exists, if_not_exists};
use crate::error::{Result, SqlError};
use crate::sql::access;
use crate::sql::cursor::Cursor;
use crate::sql::statement::{AlterType, CreateDomain, Ddl, Name};
use crate::sql::type_name::type_name;

/// Reads what follows CREATE TYPE.
pub fn create(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let name = cursor.name()?;
    if cursor.accept_all(&["AS", "ENUM"]) {
        cursor.expect_token(&Token::LParen)?;
        let labels = if cursor.sees_token(&Token::RParen) { Vec::new() } else { cursor.list(Cursor::string)? };
        cursor.expect_token(&Token::RParen)?;
        return Ok(Ddl::CreateEnum { name, labels });
    }
    if cursor.sees("AS") && cursor.peek_at(1) == Some(&Token::LParen) {
        cursor.expect("AS")?;
        return composite(cursor, name);
    }
    if cursor.sees_all(&["AS", "RANGE"]) {
        return Err(cursor.unsupported("range types are not supported", "Use two columns, one for each bound."));
    }
    if cursor.is_at_end() || cursor.sees_token(&Token::LParen) {
        return Err(cursor.unsupported("base types are not supported", "Use an enumeration or a domain."));
    }
    Err(cursor.syntax())
}

fn composite(cursor: &mut Cursor<'_>, name: Name) -> Result<Ddl> {
    cursor.expect_token(&Token::LParen)?;
    let field = |next: &mut Cursor<'_>| {
        let name = next.ident()?;
        let written = type_name(next)?;
        if next.accept("COLLATE") {
            super::column::collation(next)?;
        }
        Ok((name, written.ty, written.own))
    };
    let fields = if cursor.sees_token(&Token::RParen) { Vec::new() } else { cursor.list(field)? };
    cursor.expect_token(&Token::RParen)?;
    Ok(Ddl::CreateComposite { name, fields })
}

/// Reads what follows ALTER TYPE.
pub fn alter(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let name = cursor.name()?;
    let action = if cursor.accept_all(&["ADD", "VALUE"]) {
        let if_not_exists = if_not_exists(cursor);
        let label = cursor.string()?;
        let place = match cursor.accept_any(&["BEFORE", "AFTER"]) {
            Some(word) => Some((word == "BEFORE", cursor.string()?)),
            None => None,
        };
        AlterType::AddValue { label, if_not_exists, place }
    } else if cursor.accept_all(&["RENAME", "VALUE"]) {
        let from = cursor.string()?;
        cursor.expect("TO")?;
        AlterType::RenameValue { from, to: cursor.string()? }
    } else {
        match common(cursor)? {
            Some(action) => action,
            None if ["ADD", "DROP", "ALTER", "RENAME"].iter().any(|word| cursor.sees(word)) => {
                let hint = "Drop the type and create it anew.";
                return Err(cursor.unsupported("changes of a composite type's attributes are not supported", hint));
            }
            None => return Err(cursor.syntax()),
        }
    };
    Ok(Ddl::AlterType { name, domain: false, action })
}

/// `RENAME TO`, `SET SCHEMA` and `OWNER TO`.
fn common(cursor: &mut Cursor<'_>) -> Result<Option<AlterType>> {
    Ok(if cursor.accept_all(&["RENAME", "TO"]) {
        Some(AlterType::Rename(cursor.ident()?))
    } else if cursor.accept_all(&["SET", "SCHEMA"]) {
        Some(AlterType::SetSchema(cursor.ident()?))
    } else if cursor.accept_all(&["OWNER", "TO"]) {
        Some(AlterType::OwnerTo(access::role(cursor)?))
    } else {
        None
    })
}

/// Reads what follows CREATE DOMAIN.
pub fn create_domain(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let name = cursor.name()?;
    cursor.accept("AS");
    let written = type_name(cursor)?;
    let mut domain = CreateDomain { name, ty: written.ty, own: written.own, default: None, not_null: false, checks: Vec::new() };
    let mut nullable = false;
    while !cursor.is_at_end() {
        if cursor.accept("COLLATE") {
            super::column::collation(cursor)?;
            continue;
        }
        let named = if cursor.accept("CONSTRAINT") { Some(cursor.ident()?) } else { None };
        let position = cursor.position();
        if cursor.accept_all(&["NOT", "NULL"]) {
            domain.not_null = true;
        } else if cursor.accept("NULL") {
            nullable = true;
        } else if cursor.accept("DEFAULT") {
            if domain.default.is_some() {
                return Err(SqlError::syntax("multiple default expressions").at(position));
            }
            domain.default = Some(default_text(cursor)?);
        } else if cursor.accept("CHECK") {
            domain.checks.push((named, check_text(cursor)?));
        } else if let Some(what) = ["UNIQUE", "PRIMARY", "REFERENCES", "EXCLUDE"].iter().find(|word| cursor.sees(word)) {
            let what = match *what {
                "PRIMARY" => "primary key",
                "UNIQUE" => "unique",
                "REFERENCES" => "foreign key",
                _ => "exclusion",
            };
            return Err(SqlError::syntax(format!("{what} constraints not possible for domains")).at(position));
        } else {
            return Err(cursor.syntax());
        }
        if domain.not_null && nullable {
            return Err(SqlError::syntax("conflicting NULL/NOT NULL constraints").at(position));
        }
    }
    Ok(Ddl::CreateDomain(domain))
}

/// Reads what follows ALTER DOMAIN.
pub fn alter_domain(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let name = cursor.name()?;
    let action = if cursor.accept_all(&["SET", "DEFAULT"]) {
        AlterType::SetDefault(Some(default_text(cursor)?))
    } else if cursor.accept_all(&["DROP", "DEFAULT"]) {
        AlterType::SetDefault(None)
    } else if cursor.accept_all(&["SET", "NOT", "NULL"]) {
        AlterType::SetNotNull(true)
    } else if cursor.accept_all(&["DROP", "NOT", "NULL"]) {
        AlterType::SetNotNull(false)
    } else if cursor.accept("ADD") {
        let named = if cursor.accept("CONSTRAINT") { Some(cursor.ident()?) } else { None };
        cursor.expect("CHECK")?;
        let expression = check_text(cursor)?;
        let not_valid = cursor.accept_all(&["NOT", "VALID"]);
        AlterType::AddCheck { name: named, expression, not_valid }
    } else if cursor.accept_all(&["DROP", "CONSTRAINT"]) {
        let if_exists = if_exists(cursor);
        let constraint = cursor.ident()?;
        cascade(cursor);
        AlterType::DropConstraint { name: constraint, if_exists }
    } else if cursor.accept_all(&["RENAME", "CONSTRAINT"]) {
        let from = cursor.ident()?;
        cursor.expect("TO")?;
        AlterType::RenameConstraint { from, to: cursor.ident()? }
    } else if cursor.accept_all(&["VALIDATE", "CONSTRAINT"]) {
        AlterType::ValidateConstraint(cursor.ident()?)
    } else {
        match common(cursor)? {
            Some(action) => action,
            None => return Err(cursor.syntax()),
        }
    };
    if !cursor.is_at_end() {
        return Err(cursor.syntax());
    }
    Ok(Ddl::AlterType { name, domain: true, action })
}

//! COMMENT ON.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::Result;
use crate::sql::cursor::Cursor;
use crate::sql::statement::{Commented, Ddl, Name, ObjectKind};

/// Reads a whole COMMENT statement.
pub fn comment(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    cursor.expect_all(&["COMMENT", "ON"])?;
    let object = object(cursor)?;
    cursor.expect("IS")?;
    let text = if cursor.accept("NULL") { None } else { Some(cursor.string()?) };
    Ok(Ddl::Comment { object, text: text.filter(|text| !text.is_empty()) })
}

fn object(cursor: &mut Cursor<'_>) -> Result<Commented> {
    let kinds = [
        ("TABLE", ObjectKind::Table),
        ("VIEW", ObjectKind::View),
        ("INDEX", ObjectKind::Index),
        ("SEQUENCE", ObjectKind::Sequence),
    ];
    if let Some((_, kind)) = kinds.into_iter().find(|(word, _)| cursor.accept(word)) {
        return Ok(Commented::Relation(kind, cursor.name()?));
    }
    if cursor.accept_all(&["MATERIALIZED", "VIEW"]) {
        return Ok(Commented::Relation(ObjectKind::MaterializedView, cursor.name()?));
    }
    if cursor.accept("COLUMN") {
        return column(cursor);
    }
    if cursor.accept("CONSTRAINT") {
        let name = cursor.ident()?;
        cursor.expect("ON")?;
        if cursor.sees("DOMAIN") {
            return Err(cursor.unsupported("comments on constraints of domains are not supported", "Comment on the domain."));
        }
        return Ok(Commented::Constraint { table: cursor.name()?, name });
    }
    if let Some(kind) = cursor.accept_any(&["TYPE", "DOMAIN"]) {
        return Ok(Commented::Type { name: cursor.name()?, domain: kind == "DOMAIN" });
    }
    if let Some(kind) = super::routine::kind(cursor) {
        return Ok(Commented::Routine(kind, super::routine::routine_name(cursor)?));
    }
    if cursor.accept("TRIGGER") {
        let name = cursor.ident()?;
        cursor.expect("ON")?;
        return Ok(Commented::Trigger { name, table: cursor.name()? });
    }
    if cursor.accept("SCHEMA") {
        return Ok(Commented::Schema(cursor.ident()?));
    }
    if cursor.accept("EXTENSION") {
        return Ok(Commented::Extension(cursor.ident()?));
    }
    let what = cursor.peek_keyword().unwrap_or_default();
    Err(cursor.unsupported(format!("COMMENT ON {what} is not supported"), "Keep the description in a table of your own."))
}

/// `table.column` or `schema.table.column`.
fn column(cursor: &mut Cursor<'_>) -> Result<Commented> {
    let first = cursor.ident()?;
    cursor.expect_token(&Token::Period)?;
    let second = cursor.word()?;
    Ok(match cursor.accept_token(&Token::Period) {
        true => Commented::Column(Name::qualified(first, second), cursor.word()?),
        false => Commented::Column(Name { schema: None, name: first }, second),
    })
}

//! CREATE and ALTER SEQUENCE, and the options that identity columns share with them.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::alter::relation_action;
use super::{if_exists, if_not_exists};
use crate::error::{Result, SqlError, SqlState};
use crate::sql::cursor::Cursor;
use crate::sql::statement::{Ddl, Name, ObjectKind, SequenceOptions};
use crate::sql::type_name::plain_type_name;
use crate::types::TypeName;

pub fn create(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_not_exists = if_not_exists(cursor);
    let name = cursor.name()?;
    Ok(Ddl::CreateSequence { name, if_not_exists, options: options(cursor)? })
}

pub fn alter(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_exists = if_exists(cursor);
    let name = cursor.name()?;
    if let Some(action) = relation_action(cursor)? {
        return Ok(Ddl::AlterRelation { kind: ObjectKind::Sequence, name, if_exists, action });
    }
    if cursor.is_at_end() {
        return Err(cursor.syntax());
    }
    Ok(Ddl::AlterSequence { name, if_exists, options: options(cursor)? })
}

/// The options of an identity column's sequence, if parentheses with them come next.
pub fn options_in_parentheses(cursor: &mut Cursor<'_>) -> Result<SequenceOptions> {
    if !cursor.accept_token(&Token::LParen) {
        return Ok(SequenceOptions::default());
    }
    let options = options(cursor)?;
    cursor.expect_token(&Token::RParen)?;
    Ok(options)
}

/// Options as long as one comes next.
pub fn options(cursor: &mut Cursor<'_>) -> Result<SequenceOptions> {
    more_options(cursor, SequenceOptions::default())
}

/// Those that come next, beside some that were read before.
pub fn more_options(cursor: &mut Cursor<'_>, mut options: SequenceOptions) -> Result<SequenceOptions> {
    let mut bounds = None;
    while option(cursor, &mut options, &mut bounds)? {}
    if let Some((min, max)) = bounds {
        // A narrower type bounds the sequence on the side where it would otherwise be unbounded.
        if options.increment.unwrap_or(1) < 0 {
            options.min = Some(options.min.flatten().or(Some(min)));
        } else {
            options.max = Some(options.max.flatten().or(Some(max)));
        }
    }
    Ok(options)
}

fn option(cursor: &mut Cursor<'_>, options: &mut SequenceOptions, bounds: &mut Option<(i64, i64)>) -> Result<bool> {
    let position = cursor.position();
    if cursor.accept("AS") {
        *bounds = as_type(cursor)?;
    } else if cursor.accept("START") {
        cursor.accept("WITH");
        once(&mut options.start, cursor.integer()?, position)?;
    } else if cursor.accept("INCREMENT") {
        cursor.accept("BY");
        once(&mut options.increment, cursor.integer()?, position)?;
    } else if cursor.accept("MINVALUE") {
        once(&mut options.min, Some(cursor.integer()?), position)?;
    } else if cursor.accept_all(&["NO", "MINVALUE"]) {
        once(&mut options.min, None, position)?;
    } else if cursor.accept("MAXVALUE") {
        once(&mut options.max, Some(cursor.integer()?), position)?;
    } else if cursor.accept_all(&["NO", "MAXVALUE"]) {
        once(&mut options.max, None, position)?;
    } else if cursor.accept("CYCLE") {
        once(&mut options.cycle, true, position)?;
    } else if cursor.accept_all(&["NO", "CYCLE"]) {
        once(&mut options.cycle, false, position)?;
    } else if cursor.accept("CACHE") {
        // Numbers are handed out one by one, whatever a session would like to keep.
        cursor.integer()?;
    } else if cursor.accept("RESTART") {
        let with = cursor.accept("WITH");
        let number = with || matches!(cursor.peek(), Some(Token::Number(..) | Token::Minus | Token::Plus));
        let start = if number { Some(cursor.integer()?) } else { None };
        once(&mut options.restart, start, position)?;
    } else if cursor.accept_all(&["OWNED", "BY"]) {
        once(&mut options.owned_by, owner(cursor)?, position)?;
    } else if cursor.accept_all(&["SEQUENCE", "NAME"]) {
        once(&mut options.name, cursor.name()?, position)?;
    } else if cursor.accept("LOGGED") || cursor.accept("UNLOGGED") {
        // A sequence is durable, whatever its table is.
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn once<T>(slot: &mut Option<T>, value: T, position: usize) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(crate::sql::utility::repeated(position)),
    }
}

/// The bounds of a type narrower than bigint.
fn as_type(cursor: &mut Cursor<'_>) -> Result<Option<(i64, i64)>> {
    let position = cursor.position();
    let ty = plain_type_name(cursor)?;
    match (ty.name, ty.array) {
        (TypeName::Int2, false) => Ok(Some((i16::MIN.into(), i16::MAX.into()))),
        (TypeName::Int4, false) => Ok(Some((i32::MIN.into(), i32::MAX.into()))),
        (TypeName::Int8, false) => Ok(None),
        _ => {
            let message = "sequence type must be smallint, integer, or bigint";
            Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).at(position))
        }
    }
}

/// `table.column`, `schema.table.column` or NONE.
fn owner(cursor: &mut Cursor<'_>) -> Result<Option<(Name, String)>> {
    if cursor.accept("NONE") {
        return Ok(None);
    }
    let first = cursor.ident()?;
    cursor.expect_token(&Token::Period)?;
    let second = cursor.word()?;
    if !cursor.accept_token(&Token::Period) {
        return Ok(Some((Name { schema: None, name: first }, second)));
    }
    Ok(Some((Name::qualified(first, second), cursor.word()?)))
}

//! EXPLAIN, PREPARE, EXECUTE, DEALLOCATE, DISCARD, LISTEN and NOTIFY.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::classify;
use super::cursor::{Cursor, expression};
use super::statement::{Discard, ExplainOptions, Statement};
use super::transaction;
use super::type_name::type_name;
use crate::error::{Result, SqlError, SqlState};

pub fn explain(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("EXPLAIN")?;
    let mut options = ExplainOptions::default();
    if options_follow(cursor) {
        cursor.parenthesised(|option| explain_option(option, &mut options))?;
    } else {
        options.analyze = cursor.accept("ANALYZE") || cursor.accept("ANALYSE");
        options.verbose = cursor.accept("VERBOSE");
    }
    let position = cursor.position();
    let inner = classify::statement(nested(cursor)?)?;
    match inner {
        Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) => {
            Ok(Statement::Explain { options, inner: Box::new(inner) })
        }
        _ => {
            let hint = "Explain a SELECT, INSERT, UPDATE or DELETE.";
            Err(SqlError::unsupported("EXPLAIN of this statement is not supported", hint).at(position))
        }
    }
}

/// A parenthesis after EXPLAIN opens options, unless a query stands in it.
fn options_follow(cursor: &Cursor<'_>) -> bool {
    let mut inside = *cursor;
    inside.accept_token(&Token::LParen)
        && !["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| inside.sees(word))
        && !inside.sees_token(&Token::LParen)
}

fn explain_option(cursor: &mut Cursor<'_>, options: &mut ExplainOptions) -> Result<()> {
    let position = cursor.position();
    let name = cursor.word()?;
    match name.as_str() {
        "analyze" => options.analyze = switch(cursor)?,
        "verbose" => options.verbose = switch(cursor)?,
        "costs" | "buffers" | "wal" | "timing" | "summary" | "settings" | "generic_plan" | "memory" => {
            // What they would add or leave out is not part of the plans shown here.
            switch(cursor)?;
        }
        "format" => {
            let format = cursor.word().or_else(|_| cursor.string())?;
            options.json = match format.to_ascii_lowercase().as_str() {
                "text" => false,
                "json" => true,
                "xml" | "yaml" => {
                    let message = format!("EXPLAIN FORMAT {} is not supported", format.to_ascii_uppercase());
                    return Err(SqlError::unsupported(message, "Plans are shown as text or JSON.").at(position));
                }
                other => {
                    let message = format!("unrecognized value for EXPLAIN option \"format\": \"{other}\"");
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).at(position));
                }
            };
        }
        _ => return Err(SqlError::syntax(format!("unrecognized EXPLAIN option \"{name}\"")).at(position)),
    }
    Ok(())
}

/// An option's truth value; an option alone is true.
pub fn switch(cursor: &mut Cursor<'_>) -> Result<bool> {
    if let Some(on) = cursor.accept_any(&["TRUE", "ON", "FALSE", "OFF"]) {
        return Ok(matches!(on, "TRUE" | "ON"));
    }
    match cursor.peek() {
        Some(Token::Number(n, _)) if n == "0" || n == "1" => {
            cursor.advance();
            Ok(n == "1")
        }
        Some(Token::SingleQuotedString(_)) => {
            let position = cursor.position();
            match cursor.string()?.to_ascii_lowercase().as_str() {
                "true" | "on" => Ok(true),
                "false" | "off" => Ok(false),
                _ => Err(SqlError::syntax("option requires a Boolean value").at(position)),
            }
        }
        _ => Ok(true),
    }
}

/// The statement that the rest of this one is.
fn nested<'a>(cursor: &mut Cursor<'a>) -> Result<super::lex::Slice<'a>> {
    let rest = cursor.rest();
    if rest.is_empty() {
        return Err(cursor.syntax());
    }
    cursor.seek(cursor.slice().len());
    Ok(rest)
}

pub fn prepare(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("PREPARE")?;
    if cursor.sees("TRANSACTION") {
        return Err(transaction::no_two_phase().at(cursor.position()));
    }
    let name = cursor.ident()?;
    let types = if cursor.sees_token(&Token::LParen) {
        cursor.parenthesised(|next| type_name(next).map(|read| (read.ty, read.own)))?
    } else {
        Vec::new()
    };
    cursor.expect("AS")?;
    let position = cursor.position();
    let statement = Box::new(classify::parsed(nested(cursor)?)?);
    match statement.statement {
        Statement::Query(_)
        | Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_)
        | Statement::With { .. } => Ok(Statement::Prepare { name, types, statement }),
        _ => Err(SqlError::syntax("only SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES can be prepared").at(position)),
    }
}

pub fn execute(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("EXECUTE")?;
    let name = cursor.ident()?;
    let arguments = if cursor.sees_token(&Token::LParen) {
        cursor.parenthesised(|argument| {
            let slice = argument.until(|token, _| *token == Token::Comma);
            if slice.is_empty() { Err(argument.syntax()) } else { expression(slice) }
        })?
    } else {
        Vec::new()
    };
    Ok(Statement::Execute { name, arguments })
}

pub fn deallocate(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("DEALLOCATE")?;
    cursor.accept("PREPARE");
    if cursor.accept("ALL") {
        return Ok(Statement::Deallocate(None));
    }
    Ok(Statement::Deallocate(Some(cursor.ident()?)))
}

pub fn discard(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("DISCARD")?;
    let what = match cursor.accept_any(&["ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY"]) {
        Some("ALL") => Discard::All,
        Some("PLANS") => Discard::Plans,
        Some("SEQUENCES") => Discard::Sequences,
        Some(_) => Discard::Temp,
        None => return Err(cursor.syntax()),
    };
    Ok(Statement::Discard(what))
}

/// LISTEN, UNLISTEN and NOTIFY.
pub fn notification(cursor: &mut Cursor<'_>) -> Result<Statement> {
    /// Bytes of a payload, as PostgreSQL bounds it.
    const LONGEST_PAYLOAD: usize = 7999;
    match cursor.accept_any(&["LISTEN", "UNLISTEN", "NOTIFY"]) {
        Some("LISTEN") => Ok(Statement::Listen(cursor.ident()?)),
        Some("UNLISTEN") if cursor.accept_token(&Token::Mul) => Ok(Statement::Unlisten(None)),
        Some("UNLISTEN") => Ok(Statement::Unlisten(Some(cursor.ident()?))),
        Some(_) => {
            let channel = cursor.ident()?;
            let payload = if cursor.accept_token(&Token::Comma) { cursor.string()? } else { String::new() };
            if payload.len() > LONGEST_PAYLOAD {
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "payload string too long"));
            }
            Ok(Statement::Notify { channel, payload })
        }
        None => Err(cursor.syntax()),
    }
}

/// The error for an option given twice.
pub fn repeated(position: usize) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").at(position)
}

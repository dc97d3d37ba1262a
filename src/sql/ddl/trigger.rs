//! CREATE and DROP of triggers.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{cascade, if_exists};
use crate::error::{Result, SqlError};
use crate::sql::cursor::{Cursor, expression};
use crate::sql::statement::{CreateTrigger, Ddl, TriggerTiming};

/// Reads what follows CREATE [OR REPLACE] TRIGGER.
pub fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Ddl> {
    let name = cursor.ident()?;
    let timing = if cursor.accept("BEFORE") {
        TriggerTiming::Before
    } else if cursor.accept("AFTER") {
        TriggerTiming::After
    } else if cursor.sees_all(&["INSTEAD", "OF"]) {
        return Err(cursor.unsupported("INSTEAD OF triggers are not supported", "Write to the tables of the view."));
    } else {
        return Err(cursor.syntax());
    };
    let mut trigger = CreateTrigger {
        name,
        or_replace,
        table: crate::sql::Name { schema: None, name: String::new() },
        timing,
        insert: false,
        update: None,
        delete: false,
        row: false,
        when: None,
        function: crate::sql::Name { schema: None, name: String::new() },
        arguments: Vec::new(),
    };
    loop {
        if cursor.accept("INSERT") {
            trigger.insert = true;
        } else if cursor.accept("DELETE") {
            trigger.delete = true;
        } else if cursor.accept("UPDATE") {
            let columns = if cursor.accept("OF") { cursor.list(Cursor::ident)? } else { Vec::new() };
            trigger.update = Some(columns);
        } else if cursor.sees("TRUNCATE") {
            return Err(cursor.unsupported("TRUNCATE triggers are not supported", "Delete the rows instead."));
        } else {
            return Err(cursor.syntax());
        }
        if !cursor.accept("OR") {
            break;
        }
    }
    cursor.expect("ON")?;
    trigger.table = cursor.name()?;
    options(cursor, &mut trigger)?;
    cursor.expect("EXECUTE")?;
    if cursor.accept_any(&["FUNCTION", "PROCEDURE"]).is_none() {
        return Err(cursor.syntax());
    }
    trigger.function = cursor.name()?;
    cursor.expect_token(&Token::LParen)?;
    if !cursor.accept_token(&Token::RParen) {
        trigger.arguments = cursor.list(argument)?;
        cursor.expect_token(&Token::RParen)?;
    }
    Ok(Ddl::CreateTrigger(Box::new(trigger)))
}

fn options(cursor: &mut Cursor<'_>, trigger: &mut CreateTrigger) -> Result<()> {
    if cursor.sees("FROM") || cursor.sees("DEFERRABLE") || cursor.sees_all(&["NOT", "DEFERRABLE"]) {
        return Err(cursor.unsupported("constraint triggers are not supported", "Use an AFTER trigger."));
    }
    if cursor.sees("REFERENCING") {
        return Err(cursor.unsupported("transition tables are not supported", "Use a trigger FOR EACH ROW."));
    }
    if cursor.accept("FOR") {
        cursor.accept("EACH");
        match cursor.accept_any(&["ROW", "STATEMENT"]) {
            Some(word) => trigger.row = word == "ROW",
            None => return Err(cursor.syntax()),
        }
    }
    if cursor.accept("WHEN") {
        let condition = cursor.balanced()?;
        expression(condition)?;
        if !trigger.row {
            let message = "WHEN of a trigger FOR EACH STATEMENT is not supported";
            return Err(SqlError::unsupported(message, "Ask in the function."));
        }
        trigger.when = Some(condition.text().to_owned());
    }
    Ok(())
}

/// A literal, or a word, as text.
fn argument(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(text) = cursor.accept_string() {
        return Ok(text);
    }
    if let Some(Token::Number(digits, _)) = cursor.peek() {
        cursor.advance();
        return Ok(digits.clone());
    }
    cursor.word()
}

/// Reads what follows DROP TRIGGER.
pub fn drop(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_exists = if_exists(cursor);
    let name = cursor.ident()?;
    cursor.expect("ON")?;
    let table = cursor.name()?;
    Ok(Ddl::DropTrigger { name, table, if_exists, cascade: cascade(cursor) })
}

/// Reads what follows ALTER TRIGGER.
pub fn alter(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let name = cursor.ident()?;
    cursor.expect("ON")?;
    let table = cursor.name()?;
    cursor.expect_all(&["RENAME", "TO"])?;
    Ok(Ddl::RenameTrigger { name, table, to: cursor.ident()? })
}

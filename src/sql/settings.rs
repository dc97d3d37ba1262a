//! SET, SHOW and RESET in all their forms. Knows no setting: names and values are checked by the session.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{Cursor, fold};
use super::statement::{SetStatement, ShowStatement, Statement, TransactionStatement};
use super::transaction;
use crate::error::{Result, SqlError, SqlState};

pub fn set(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("SET")?;
    if cursor.accept_all(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        return Ok(Statement::Transaction(TransactionStatement::SetSession(transaction::modes(cursor)?)));
    }
    if cursor.accept("TRANSACTION") || cursor.accept_all(&["LOCAL", "TRANSACTION"]) {
        let modes = transaction::modes(cursor)?;
        return Ok(Statement::Transaction(TransactionStatement::Set(modes)));
    }
    if cursor.accept("CONSTRAINTS") {
        let names = if cursor.accept("ALL") { Vec::new() } else { cursor.list(Cursor::name)? };
        let deferred = cursor.accept("DEFERRED");
        if !deferred {
            cursor.expect("IMMEDIATE")?;
        }
        return Ok(Statement::Transaction(TransactionStatement::SetConstraints { names, deferred }));
    }
    let local = cursor.accept("LOCAL");
    if !local && cursor.sees("SESSION") && !cursor.sees_all(&["SESSION", "AUTHORIZATION"]) {
        cursor.accept("SESSION");
    }
    let (name, value) = assignment(cursor)?;
    Ok(Statement::Set(SetStatement { local, name, value }))
}

/// `name TO value` and the forms with words of their own; `None` for DEFAULT.
pub fn assignment(cursor: &mut Cursor<'_>) -> Result<(String, Option<String>)> {
    if cursor.accept_all(&["TIME", "ZONE"]) {
        return Ok(("timezone".to_owned(), time_zone(cursor)?));
    }
    if cursor.accept("NAMES") {
        let value = if cursor.is_at_end() || cursor.accept("DEFAULT") { None } else { Some(cursor.string()?) };
        return Ok(("client_encoding".to_owned(), value));
    }
    if cursor.accept("SCHEMA") {
        return Ok(("search_path".to_owned(), Some(quote_if_needed(&cursor.string()?))));
    }
    if cursor.accept("ROLE") {
        let value = if cursor.accept("NONE") { "none".to_owned() } else { word_or_string(cursor)? };
        return Ok(("role".to_owned(), Some(value)));
    }
    if cursor.accept_all(&["SESSION", "AUTHORIZATION"]) {
        let value = if cursor.accept("DEFAULT") { None } else { Some(word_or_string(cursor)?) };
        return Ok(("session_authorization".to_owned(), value));
    }
    let name = setting_name(cursor)?;
    if !cursor.accept("TO") {
        cursor.expect_token(&Token::Eq)?;
    }
    if cursor.accept("DEFAULT") {
        return Ok((name, None));
    }
    let values = cursor.list(|item| value(item, name == "search_path"))?;
    Ok((name, Some(values.join(", "))))
}

/// `a.b`, in lower case.
pub fn setting_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut name = cursor.ident()?.to_ascii_lowercase();
    while cursor.accept_token(&Token::Period) {
        name.push('.');
        name.push_str(&cursor.word()?.to_ascii_lowercase());
    }
    Ok(name)
}

/// One value: a word, a string, or a number with its sign. In a list of names each keeps what quotes it needs.
fn value(cursor: &mut Cursor<'_>, names: bool) -> Result<String> {
    if let Some(text) = cursor.accept_string() {
        return Ok(if names { quote_if_needed(&text) } else { text });
    }
    if cursor.accept("ON") {
        return Ok("on".to_owned());
    }
    match cursor.peek() {
        Some(Token::Word(word)) => {
            cursor.advance();
            let text = fold(word);
            Ok(if names { quote_if_needed(&text) } else { text })
        }
        _ => number(cursor),
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<String> {
    let sign = if cursor.accept_token(&Token::Minus) {
        "-"
    } else {
        cursor.accept_token(&Token::Plus);
        ""
    };
    match cursor.peek() {
        Some(Token::Number(digits, _)) => {
            cursor.advance();
            Ok(format!("{sign}{digits}"))
        }
        _ => Err(cursor.syntax()),
    }
}

fn time_zone(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept("DEFAULT") || cursor.accept("LOCAL") {
        return Ok(None);
    }
    if cursor.sees("INTERVAL") {
        return interval_zone(cursor).map(Some);
    }
    value(cursor, false).map(Some)
}

/// `INTERVAL '+02:00' HOUR TO MINUTE`: hours and minutes east of Greenwich, as the zone `<+02>-02`.
fn interval_zone(cursor: &mut Cursor<'_>) -> Result<String> {
    cursor.expect("INTERVAL")?;
    let position = cursor.position();
    let text = cursor.string()?;
    if cursor.accept("HOUR") && cursor.accept("TO") {
        cursor.expect("MINUTE")?;
    }
    let (sign, digits) = match text.trim().split_at_checked(1) {
        Some(("-", digits)) => ('-', digits),
        Some(("+", digits)) => ('+', digits),
        _ => ('+', text.trim()),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
    let within = |part: &str, most: u32| part.parse::<u32>().is_ok_and(|n| part.len() <= 2 && n <= most);
    if !within(hours, 15) || !within(minutes, 59) {
        let hint = "Write hours and minutes east of Greenwich, such as INTERVAL '+02:00' HOUR TO MINUTE.";
        let message = format!("invalid input syntax for type interval: \"{text}\"");
        return Err(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message).hint(hint).at(position));
    }
    // POSIX counts westward, and shows the name before it.
    let name = if minutes == "00" { format!("{hours:0>2}") } else { format!("{hours:0>2}:{minutes}") };
    let west = if sign == '-' { '+' } else { '-' };
    Ok(format!("<{sign}{name}>{west}{name}"))
}

fn word_or_string(cursor: &mut Cursor<'_>) -> Result<String> {
    match cursor.accept_string() {
        Some(text) => Ok(text),
        None => cursor.ident(),
    }
}

/// A name as it must be written in a list so that reading it gives the same name.
fn quote_if_needed(name: &str) -> String {
    let plain = |(i, c): (usize, char)| c == '_' || c.is_ascii_lowercase() || (i > 0 && (c.is_ascii_digit() || c == '$'));
    if !name.is_empty() && name.chars().enumerate().all(plain) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

pub fn show(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("SHOW")?;
    Ok(Statement::Show(match named(cursor)? {
        None => ShowStatement::All,
        Some(name) => ShowStatement::Name(name),
    }))
}

pub fn reset(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("RESET")?;
    Ok(Statement::Reset(named(cursor)?))
}

/// A setting by its name or by words of its own; `None` for ALL.
pub fn named(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept("ALL") {
        return Ok(None);
    }
    for (words, name) in [
        (&["TIME", "ZONE"][..], "timezone"),
        (&["TRANSACTION", "ISOLATION", "LEVEL"], "transaction_isolation"),
        (&["SESSION", "AUTHORIZATION"], "session_authorization"),
    ] {
        if cursor.accept_all(words) {
            return Ok(Some(name.to_owned()));
        }
    }
    setting_name(cursor).map(Some)
}

//! BEGIN, COMMIT, ROLLBACK and their other names, savepoints, and the modes of a transaction.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{Statement, TransactionModes, TransactionStatement};
use super::temporal::transaction_as_of;
use crate::error::{Result, SqlError, SqlState};

pub fn statement(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let word = cursor.accept_any(&["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"]);
    let transaction = match word {
        Some("BEGIN") => {
            work(cursor);
            TransactionStatement::Begin(modes(cursor)?)
        }
        Some("START") => {
            cursor.expect("TRANSACTION")?;
            TransactionStatement::Begin(modes(cursor)?)
        }
        Some("COMMIT" | "END") => {
            refuse_prepared(cursor)?;
            work(cursor);
            TransactionStatement::Commit { chain: chain(cursor)? }
        }
        Some("SAVEPOINT") => TransactionStatement::Savepoint(cursor.ident()?),
        Some("RELEASE") => {
            savepoint_word(cursor);
            TransactionStatement::Release(cursor.ident()?)
        }
        Some(word) => {
            refuse_prepared(cursor)?;
            work(cursor);
            if word == "ROLLBACK" && cursor.accept("TO") {
                savepoint_word(cursor);
                TransactionStatement::RollbackTo(cursor.ident()?)
            } else {
                TransactionStatement::Rollback { chain: chain(cursor)? }
            }
        }
        None => return Err(cursor.syntax()),
    };
    Ok(Statement::Transaction(transaction))
}

/// SAVEPOINT, where it is not itself the name.
fn savepoint_word(cursor: &mut Cursor<'_>) {
    if cursor.peek_at(1).is_some() {
        cursor.accept("SAVEPOINT");
    }
}

fn work(cursor: &mut Cursor<'_>) {
    cursor.accept_any(&["WORK", "TRANSACTION"]);
}

fn refuse_prepared(cursor: &Cursor<'_>) -> Result<()> {
    match cursor.sees("PREPARED") {
        true => Err(no_two_phase().at(cursor.position())),
        false => Ok(()),
    }
}

/// What PostgreSQL says with `max_prepared_transactions = 0`, its default.
pub fn no_two_phase() -> SqlError {
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "prepared transactions are disabled")
        .hint("Commit the transaction with COMMIT.")
}

/// `AND [NO] CHAIN`.
fn chain(cursor: &mut Cursor<'_>) -> Result<bool> {
    if !cursor.accept("AND") {
        return Ok(false);
    }
    let chain = !cursor.accept("NO");
    cursor.expect("CHAIN")?;
    Ok(chain)
}

/// Modes to the end of the statement, with or without commas between them.
pub fn modes(cursor: &mut Cursor<'_>) -> Result<TransactionModes> {
    let mut modes = TransactionModes::default();
    while !cursor.is_at_end() {
        mode(cursor, &mut modes)?;
        if cursor.accept_token(&Token::Comma) && cursor.is_at_end() {
            return Err(cursor.syntax());
        }
    }
    Ok(modes)
}

fn mode(cursor: &mut Cursor<'_>, modes: &mut TransactionModes) -> Result<()> {
    if cursor.accept_all(&["ISOLATION", "LEVEL"]) {
        modes.isolation = Some(isolation(cursor)?);
    } else if cursor.accept_all(&["READ", "ONLY"]) {
        modes.read_only = Some(true);
    } else if cursor.accept_all(&["READ", "WRITE"]) {
        modes.read_only = Some(false);
    } else if cursor.accept("DEFERRABLE") || cursor.accept_all(&["NOT", "DEFERRABLE"]) {
        // Reads never wait for a safe snapshot: deferring them changes nothing.
    } else if cursor.accept("SNAPSHOT") {
        modes.snapshot = Some(cursor.string()?);
    } else if cursor.sees("WITH") {
        let hint = "Write BEGIN READ ONLY AS OF SYSTEM TIME '…'.";
        return Err(cursor.unsupported("BEGIN … WITH is not supported", hint));
    } else if cursor.sees("AS") {
        if modes.as_of.is_some() {
            return Err(cursor.syntax());
        }
        modes.as_of = Some(transaction_as_of(cursor)?.ok_or_else(|| cursor.syntax())?);
    } else {
        return Err(cursor.syntax());
    }
    Ok(())
}

fn isolation(cursor: &mut Cursor<'_>) -> Result<&'static str> {
    const LEVELS: &[(&[&str], &str)] = &[
        (&["READ", "COMMITTED"], "read committed"),
        (&["READ", "UNCOMMITTED"], "read uncommitted"),
        (&["REPEATABLE", "READ"], "repeatable read"),
        (&["SERIALIZABLE"], "serializable"),
    ];
    let level = LEVELS.iter().find(|(words, _)| cursor.accept_all(words));
    level.map(|(_, name)| *name).ok_or_else(|| cursor.syntax())
}

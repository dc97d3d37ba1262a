//! Which statement a run of tokens is, by its first words.
//!
//! Known forms that are not served are refused here with 0A000 and what to do instead; first words that no
//! statement has are 42601.

use super::cursor::Cursor;
use super::lex::Slice;
use super::statement::{Ddl, Parsed, Statement};
use super::{access, copy, ddl, fetch, lock_table, procedural, query, settings, transaction, upkeep, utility};
use crate::error::{Result, SqlError};

pub fn parsed(slice: Slice<'_>) -> Result<Parsed> {
    Ok(Parsed {
        text: slice.text().to_owned(),
        offset: slice.offset(),
        statement: statement(slice)?,
        context: None,
        notices: Vec::new(),
    })
}

pub fn statement(slice: Slice<'_>) -> Result<Statement> {
    let mut cursor = Cursor::new(slice);
    let Some(word) = cursor.peek_keyword() else { return query::parse(slice) };
    let statement = match word.as_str() {
        "DELETE" if cursor.sees_all(&["DELETE", "HISTORY"]) => {
            let hint = "History is kept whole: DELETE ends a row, its past stays.";
            return Err(cursor.unsupported("DELETE HISTORY is not supported", hint));
        }
        "SELECT" | "WITH" | "VALUES" | "TABLE" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" => return query::parse(slice),
        "EXPLAIN" => utility::explain(&mut cursor)?,
        "PREPARE" => utility::prepare(&mut cursor)?,
        "EXECUTE" => utility::execute(&mut cursor)?,
        "DEALLOCATE" => utility::deallocate(&mut cursor)?,
        "DISCARD" => utility::discard(&mut cursor)?,
        "COPY" => copy::copy(&mut cursor)?,
        "SET" => settings::set(&mut cursor)?,
        "SHOW" => settings::show(&mut cursor)?,
        "RESET" => settings::reset(&mut cursor)?,
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => {
            transaction::statement(&mut cursor)?
        }
        "DECLARE" => fetch::declare(&mut cursor)?,
        "FETCH" | "MOVE" => fetch::fetch(&mut cursor)?,
        "CLOSE" => fetch::close(&mut cursor)?,
        "LISTEN" | "UNLISTEN" | "NOTIFY" => utility::notification(&mut cursor)?,
        "LOCK" => lock_table::statement(&mut cursor)?,
        "DO" => procedural::statement(&mut cursor)?,
        "CALL" => ddl::routine::call(&mut cursor)?,
        "REFRESH" => data_definition(ddl::refresh(&mut cursor)?),
        "CREATE" => data_definition(ddl::create(&mut cursor)?),
        "ALTER" => data_definition(ddl::alter(&mut cursor)?),
        "DROP" => data_definition(ddl::drop(&mut cursor)?),
        "TRUNCATE" => data_definition(ddl::truncate(&mut cursor)?),
        "COMMENT" => data_definition(ddl::comment(&mut cursor)?),
        "GRANT" => data_definition(access::grant(&mut cursor)?),
        "REVOKE" => data_definition(access::revoke(&mut cursor)?),
        "VACUUM" | "ANALYZE" | "ANALYSE" | "REINDEX" | "CLUSTER" | "CHECKPOINT" => upkeep::statement(&mut cursor)?,
        other => return Err(refused(other, &cursor)),
    };
    cursor.end()?;
    Ok(statement)
}

fn data_definition(ddl: Ddl) -> Statement {
    Statement::Ddl(Box::new(ddl))
}

/// First words of statements that are known and not served, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("ERASE", "DELETE ends a row; its history stays."),
    ("FLASHBACK", "INSERT … SELECT … FOR SYSTEM_TIME AS OF brings rows of the past back."),
    ("IMPORT", "Load data with COPY."),
    ("LOAD", "Extensions cannot be loaded."),
    ("REASSIGN", "Change owners one by one with ALTER … OWNER TO."),
    ("RESTORE", "INSERT … SELECT … FOR SYSTEM_TIME AS OF brings rows of the past back."),
    ("SECURITY", "Use GRANT and REVOKE."),
    ("SUBSCRIBE", "Read the table's __changes view from the last commit you have seen."),
    ("UNDROP", "A dropped table can still be read FOR SYSTEM_TIME AS OF an instant before the drop."),
];

fn refused(word: &str, cursor: &Cursor<'_>) -> SqlError {
    match REFUSED.iter().find(|(name, _)| *name == word) {
        Some((name, hint)) => cursor.unsupported(format!("{name} is not supported"), hint),
        None => cursor.syntax(),
    }
}

//! LOCK TABLE.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{LockTable, Statement, TableLock};
use crate::error::Result;

pub fn statement(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("LOCK")?;
    cursor.accept("TABLE");
    let tables = cursor.list(|table| {
        table.accept("ONLY");
        let name = table.name()?;
        table.accept_token(&Token::Mul);
        Ok(name)
    })?;
    let mode = if cursor.accept("IN") { mode(cursor)? } else { TableLock::AccessExclusive };
    Ok(Statement::Lock(LockTable { tables, mode, no_wait: cursor.accept("NOWAIT") }))
}

fn mode(cursor: &mut Cursor<'_>) -> Result<TableLock> {
    const MODES: &[(&[&str], TableLock)] = &[
        (&["ACCESS", "SHARE"], TableLock::AccessShare),
        (&["ROW", "SHARE"], TableLock::RowShare),
        (&["ROW", "EXCLUSIVE"], TableLock::RowExclusive),
        (&["SHARE", "UPDATE", "EXCLUSIVE"], TableLock::ShareUpdateExclusive),
        (&["SHARE", "ROW", "EXCLUSIVE"], TableLock::ShareRowExclusive),
        (&["SHARE"], TableLock::Share),
        (&["EXCLUSIVE"], TableLock::Exclusive),
        (&["ACCESS", "EXCLUSIVE"], TableLock::AccessExclusive),
    ];
    let found = MODES.iter().find(|(words, _)| cursor.accept_all(words)).map(|(_, mode)| *mode);
    let mode = found.ok_or_else(|| cursor.syntax())?;
    cursor.expect("MODE")?;
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_read() {
        let lock = |text: &str| match crate::sql::parse(text).unwrap().remove(0).statement {
            Statement::Lock(lock) => (lock.tables.len(), lock.mode, lock.no_wait),
            other => panic!("{text} is {other:?}"),
        };
        assert_eq!(lock("LOCK t"), (1, TableLock::AccessExclusive, false));
        assert_eq!(lock("LOCK TABLE ONLY a.t, u IN ACCESS SHARE MODE"), (2, TableLock::AccessShare, false));
        assert_eq!(lock("LOCK t IN SHARE MODE NOWAIT"), (1, TableLock::Share, true));
        assert_eq!(lock("LOCK t IN SHARE ROW EXCLUSIVE MODE"), (1, TableLock::ShareRowExclusive, false));
        assert_eq!(lock("LOCK t IN SHARE UPDATE EXCLUSIVE MODE"), (1, TableLock::ShareUpdateExclusive, false));
    }
}

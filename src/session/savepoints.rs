//! SAVEPOINT, RELEASE and ROLLBACK TO: names for places in a block, and what beside its writes goes back to them.
//!
//! Settings, modes, cursors, waiting notifications and the context of the commit are the session's and are put
//! back here; writes and definitions by `history`.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Session;
use super::settings::SettingsMark;
use super::transaction::{Block, Modes, aborted};
use crate::error::{Result, SqlError, SqlState};
use crate::history::Savepoint;

/// One savepoint that can be gone back to.
#[derive(Debug)]
pub(super) struct Named {
    name: String,
    place: Savepoint,
    settings: SettingsMark,
    modes: Modes,
    comment: Option<String>,
    /// Portals and cursors of later numbers were made after it.
    born: u64,
    /// Notifications that waited for the commit.
    messages: usize,
    /// Locks that the transaction had.
    locks: usize,
}

impl Session {
    pub(super) fn savepoint(&mut self, name: String) -> Result<()> {
        self.require_block("SAVEPOINT")?;
        self.mark(name);
        Ok(())
    }

    /// Marks a place to return to; names that cannot be written are those of the server's own.
    pub(super) fn mark(&mut self, name: String) {
        let current = self.current();
        let place = current.lock().savepoint();
        self.transaction.savepoints.push(Named {
            name,
            place,
            settings: self.settings.mark(),
            modes: self.transaction.modes.clone(),
            comment: self.transaction.comment.clone(),
            born: self.born,
            messages: self.messages.len(),
            locks: self.transaction.locks.len(),
        });
    }

    /// Forgets the last mark and keeps what was done since.
    pub(super) fn unmark(&mut self) {
        if let (Some(last), Some(current)) = (self.transaction.savepoints.pop(), &self.transaction.current) {
            current.lock().release(last.place);
        }
    }

    pub(super) fn release(&mut self, name: &str) -> Result<()> {
        self.require_block("RELEASE SAVEPOINT")?;
        let at = self.find_savepoint(name)?;
        let current = self.current();
        if let Some(found) = self.transaction.savepoints.get(at) {
            current.lock().release(found.place);
        }
        self.transaction.savepoints.truncate(at);
        Ok(())
    }

    /// Works in a failed block too, and mends it.
    pub(super) fn roll_back_to(&mut self, name: &str) -> Result<()> {
        if self.transaction.block != Block::Failed {
            self.require_block("ROLLBACK TO SAVEPOINT")?;
        }
        let at = self.find_savepoint(name)?;
        self.transaction.savepoints.truncate(at + 1);
        self.return_to_last();
        self.transaction.block = Block::Explicit;
        Ok(())
    }

    /// Undoes everything since the last savepoint; whether there is one. What a cancelled statement may still be
    /// doing on another thread is done to a transaction that is not ours any more.
    pub(super) fn return_to_last(&mut self) -> bool {
        let (Some(last), Some(current)) = (self.transaction.savepoints.last(), &self.transaction.current) else { return false };
        let mut transaction = current.lock().clone();
        transaction.roll_back_to(last.place);
        self.settings.return_to(&last.settings);
        self.transaction.modes = last.modes.clone();
        self.transaction.comment.clone_from(&last.comment);
        let (born, locks) = (last.born, last.locks);
        self.messages.truncate(last.messages);
        self.transaction.current = Some(Arc::new(Mutex::new(transaction)));
        self.transaction.locks.truncate(locks);
        self.portals.retain(|_, portal| portal.born <= born);
        self.cursors.retain(|_, cursor| cursor.born <= born);
        self.show_cursors();
        self.show_modes();
        self.show_role();
        true
    }

    fn require_block(&self, statement: &str) -> Result<()> {
        match self.transaction.block {
            Block::Explicit => Ok(()),
            Block::Failed => Err(aborted()),
            Block::None | Block::Implicit => Err(only_in_blocks(statement)),
        }
    }

    fn find_savepoint(&self, name: &str) -> Result<usize> {
        let found = self.transaction.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        found.ok_or_else(|| {
            SqlError::new(SqlState::INVALID_SAVEPOINT_SPECIFICATION, format!("savepoint \"{name}\" does not exist"))
        })
    }
}

/// 25P01.
pub(super) fn only_in_blocks(statement: &str) -> SqlError {
    SqlError::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, format!("{statement} can only be used in transaction blocks"))
}

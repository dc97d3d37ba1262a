//! Statements of a block that change rows: they wait for who is changing the same rows, and go on from what that left.
//!
//! What a statement has changed is locked when it is done, and looked at again: where somebody else has changed it
//! since the snapshot, the statement is undone and runs again on a newer snapshot, provided that the transaction has
//! read nothing that is different there. It then is as if it had begun later; else it is 40001. So transactions that
//! only meet in their writes follow one another, and none of them reads two snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dispatch::Work;
use super::locks::{LockKey, Strength, Wait};
use super::transaction::Block;
use super::{Reply, Session};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{ReadMark, Savepoint};
use crate::sql::Statement;
use crate::versions::{ItemKey, Scope, TableId, VersionNo};

/// A statement that changes more rows than this locks none: its commit tells whether it lost.
const MOST_LOCKED: usize = 10_000;

/// Attempts of one statement.
const ATTEMPTS: u32 = 100;

/// What a statement that is to run again goes back to.
pub(super) struct Before {
    place: Savepoint,
    reads: Option<ReadMark>,
    messages: usize,
    /// Nothing had run in the transaction: its snapshot may still be chosen.
    fresh: bool,
}

impl Before {
    pub fn place(&self) -> Savepoint {
        self.place
    }
}

/// Whether a statement may change rows that are there.
pub(super) fn changes_rows(statement: &Statement) -> bool {
    match statement {
        Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) | Statement::With { .. } => true,
        Statement::Insert(insert) => insert.on.is_some(),
        _ => false,
    }
}

pub(super) fn lost_race() -> SqlError {
    SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
        .hint("What the transaction has read has changed since; retry the transaction.")
}

impl Session {
    /// Whether a statement is to lock what it changes and may be undone and run again: those of a block that has defined
    /// nothing, and a lone one that has lost before.
    pub(super) fn may_run_again(&self) -> bool {
        let plain = |current: &Arc<parking_lot::Mutex<crate::history::Transaction>>| {
            let transaction = current.lock();
            transaction.catalog_changes.is_empty() && transaction.backfill.is_empty()
        };
        let locks = self.transaction.block == Block::Explicit || self.transaction.insists;
        locks && self.transaction.current.as_ref().is_none_or(plain)
    }

    pub(super) async fn perform_write(&mut self, work: Work<'_>) -> Result<Reply> {
        for _ in 0..ATTEMPTS {
            let before = self.before();
            let lost = match self.perform_once(work).await {
                Ok(reply) => {
                    if self.lock_written(&before).await? {
                        self.current().lock().release(before.place);
                        return Ok(reply);
                    }
                    lost_race()
                }
                Err(error) if error.code() == SqlState::SERIALIZATION_FAILURE => error,
                Err(error) => return Err(error),
            };
            self.cancel.check()?;
            if !self.renew(before).await? {
                return Err(lost);
            }
        }
        Err(lost_race())
    }

    /// Remembers where a statement begins that may have to run again.
    pub(super) fn before(&mut self) -> Before {
        let fresh = self.transaction.current.is_none();
        let messages = self.messages.len();
        let current = self.current();
        let mut transaction = current.lock();
        Before { place: transaction.savepoint(), reads: transaction.read_mark(), messages, fresh }
    }

    /// Undoes what was done since and takes a newer snapshot; `false` where the transaction has seen what is
    /// different in it, or keeps a cursor open over its own.
    pub(super) async fn renew(&mut self, before: Before) -> Result<bool> {
        let current = self.current();
        {
            let mut transaction = current.lock();
            transaction.roll_back_to(before.place);
            transaction.release(before.place);
            transaction.forget_reads(before.reads);
        }
        self.messages.truncate(before.messages);
        if before.fresh {
            self.transaction.current = None;
            self.settings.snapshot_is(0);
            return Ok(true);
        }
        let suspended = self.portals.values().any(|portal| portal.rest.lock().is_some());
        if suspended || !self.cursors.is_empty() || self.keeps_its_snapshot() {
            return Ok(false);
        }
        let transaction = current.lock().clone();
        let Some(snapshot) = self.database.newer_snapshot(&transaction).await? else { return Ok(false) };
        current.lock().snapshot = snapshot;
        self.settings.snapshot_is(snapshot.commit.0);
        Ok(true)
    }

    /// REPEATABLE READ and SERIALIZABLE promise the snapshot of the first statement.
    fn keeps_its_snapshot(&self) -> bool {
        let default = || self.settings.show("default_transaction_isolation").map(|(_, level)| level).unwrap_or_default();
        let level = self.transaction.modes.isolation.map_or_else(default, str::to_owned);
        matches!(level.as_str(), "repeatable read" | "serializable")
    }

    /// Locks the rows that were changed since; whether all of them are at the newest commit as they were seen.
    async fn lock_written(&mut self, before: &Before) -> Result<bool> {
        let changed = self.current().lock().changed_since(before.place, MOST_LOCKED);
        let Some(changed) = changed else { return Ok(true) };
        let wait = Wait::Up(self.settings.effective().lock_timeout);
        let owner = Arc::clone(&self.locks);
        let mut by_table: BTreeMap<TableId, (Vec<ItemKey>, Vec<Option<VersionNo>>)> = BTreeMap::new();
        let mut patient = true;
        for (table, key, base) in changed {
            let row = LockKey::Row(table, key.clone());
            if patient && !owner.holds(&row, Strength::Written) {
                // Patience is lost once: the first of them to commit wins.
                patient = owner.take(&row, Strength::Written, wait, &self.cancel).await?;
                if patient {
                    self.transaction.locks.push(&owner, row, Strength::Written);
                }
            }
            let (keys, bases) = by_table.entry(table).or_default();
            keys.push(key);
            bases.push(Some(base));
        }
        let newest = self.database.snapshot();
        if newest.commit == self.current().lock().snapshot.commit {
            return Ok(true);
        }
        for (table, (keys, bases)) in by_table {
            let now = self.database.get(table, &keys, Scope::Current, newest).await?;
            if now.iter().map(|row| row.as_ref().map(|row| row.version.number)).ne(bases) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

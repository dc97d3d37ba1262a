//! Snapshots that a transaction has exported, for others to read the same state.
//!
//! A name is good as long as the transaction that exported it is open, as in PostgreSQL; the state itself is never gone.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::Session;
use super::transaction::Block;
use crate::error::{Result, SqlError, SqlState};
use crate::history::Transaction;

/// The snapshots that may be imported on one server.
#[derive(Debug, Default)]
pub struct ExportedSnapshots(Mutex<Exports>);

#[derive(Debug, Default)]
struct Exports {
    count: u64,
    /// By name: the database and a transaction that has done nothing.
    known: HashMap<String, (String, Transaction)>,
}

impl ExportedSnapshots {
    pub(super) fn export(&self, database: &str, transaction: &Transaction) -> String {
        let mut exports = self.0.lock();
        exports.count += 1;
        let commit = transaction.snapshot.commit.0;
        let name = format!("{:08X}-{:08X}-{}", commit >> 32, commit & 0xFFFF_FFFF, exports.count);
        exports.known.insert(name.clone(), (database.to_owned(), transaction.reader()));
        name
    }

    fn import(&self, database: &str, name: &str) -> Result<Transaction> {
        let invalid = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
        let exports = self.0.lock();
        match exports.known.get(name) {
            Some((of, transaction)) if of == database => Ok(transaction.clone()),
            Some(_) => {
                let message = "cannot import a snapshot from a different database";
                Err(SqlError::unsupported(message, "Connect to the database that it was exported in."))
            }
            None => Err(invalid(format!("invalid snapshot identifier: \"{name}\""))),
        }
    }

    fn forget(&self, names: &[String]) {
        let mut exports = self.0.lock();
        for name in names {
            exports.known.remove(name);
        }
    }
}

impl Session {
    /// SET TRANSACTION SNAPSHOT.
    pub(super) fn import_snapshot(&mut self, name: &str) -> Result<()> {
        if self.transaction.block != Block::Explicit || self.transaction.current.is_some() {
            let message = "SET TRANSACTION SNAPSHOT must be called before any query";
            return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        let level = self.settings.show("transaction_isolation").map(|(_, level)| level).unwrap_or_default();
        if !matches!(level.as_str(), "repeatable read" | "serializable") {
            let message = "a snapshot-importing transaction must have isolation level SERIALIZABLE or REPEATABLE READ";
            return Err(SqlError::unsupported(message, "Begin it with ISOLATION LEVEL REPEATABLE READ."));
        }
        let transaction = self.shared.snapshots.import(self.database.name(), name)?;
        // It is the exporter's snapshot as long as this transaction lasts.
        self.read_from(transaction).lock().has_read_more();
        Ok(())
    }

    /// The transaction is over, and with it the names of its snapshot.
    pub(super) fn withdraw_snapshots(&self) {
        let names = std::mem::take(&mut self.objects.lock().exported);
        if !names.is_empty() {
            self.shared.snapshots.forget(&names);
        }
    }
}

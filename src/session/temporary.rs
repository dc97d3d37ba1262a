//! A session's temporary relations between its transactions: in memory, within the server's limit, gone with the session.
//!
//! A transaction takes them along when it begins and leaves them changed when it commits; one that fails leaves them as
//! they were.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Session;
use crate::error::Result;
use crate::history::{Catalog, Database, Temporary, Transaction};
use crate::plan::Held;
use crate::types::OnCommit;

/// What one session has.
#[derive(Debug)]
pub(super) struct Kept {
    database: Arc<Database>,
    held: Held,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Temporary,
    /// About how many bytes its rows take.
    bytes: usize,
    /// The database's definitions with these beside them, made for the one that was there last.
    joined: Option<(Arc<Catalog>, Arc<Catalog>)>,
}

/// What a transaction leaves behind, to be kept once it is committed.
#[derive(Debug)]
pub(super) struct Left {
    next: Temporary,
    bytes: usize,
}

impl Kept {
    pub fn new(database: &Arc<Database>, held: Held) -> Self {
        Self { database: Arc::clone(database), held, state: Mutex::default() }
    }

    /// Gives what there is to a transaction that begins.
    pub fn enter(&self, transaction: &mut Transaction) {
        let mut state = self.state.lock();
        if !state.now.is_empty() {
            let joined = state.beside(Arc::clone(&transaction.catalog));
            transaction.bring(&state.now, joined);
        }
    }

    /// The definitions that a transaction has which begins with these of the database.
    pub fn beside(&self, catalog: Arc<Catalog>) -> Arc<Catalog> {
        let mut state = self.state.lock();
        if state.now.is_empty() { catalog } else { state.beside(catalog) }
    }

    /// Takes it out of a transaction that is about to commit; 53200 where it would not fit.
    pub fn leave(&self, transaction: &mut Transaction) -> Result<Option<Left>> {
        let Some(next) = transaction.part() else { return Ok(None) };
        let state = self.state.lock();
        let bytes = next.bytes(&state.now, state.bytes);
        self.held.grow(bytes.saturating_sub(state.bytes))?;
        Ok(Some(Left { next, bytes }))
    }

    /// The transaction is committed.
    pub fn keep(&self, left: Option<Left>) {
        let Some(Left { next, bytes }) = left else { return };
        let mut state = self.state.lock();
        self.held.shrink(state.bytes.saturating_sub(bytes));
        let gone: Vec<u32> = state.now.counters().difference(&next.counters()).copied().collect();
        self.database.forget_counters(gone);
        *state = State { now: next, bytes, joined: None };
    }

    /// The transaction was not committed after all.
    pub fn give_up(&self, left: Option<Left>) {
        let Some(Left { bytes, .. }) = left else { return };
        self.held.shrink(bytes.saturating_sub(self.state.lock().bytes));
    }
}

impl State {
    fn beside(&mut self, catalog: Arc<Catalog>) -> Arc<Catalog> {
        if let Some((base, joined)) = &self.joined
            && Arc::ptr_eq(base, &catalog)
        {
            return Arc::clone(joined);
        }
        let joined = Arc::new(self.now.beside(&catalog));
        self.joined = Some((catalog, Arc::clone(&joined)));
        joined
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.database.forget_counters(self.state.lock().now.counters());
    }
}

impl Session {
    /// Drops the tables that are to go with the commit, and what depends on them.
    pub(super) async fn drop_on_commit(&mut self) -> Result<()> {
        let Some(current) = &self.transaction.current else { return Ok(()) };
        let catalog = Arc::clone(&current.lock().catalog);
        if catalog.temporary_schema().is_none() {
            return Ok(());
        }
        let going: Vec<_> = catalog
            .tables
            .values()
            .filter(|t| t.is_temporary() && t.on_commit == OnCommit::Drop)
            .map(|t| t.name.clone())
            .collect();
        if going.is_empty() { Ok(()) } else { self.drop_tables(&going).await }
    }

    /// DISCARD TEMP.
    pub(super) fn discard_temporary(&mut self) {
        self.current().lock().drop_temporary();
    }
}

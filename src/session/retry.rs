//! A statement that stands alone and loses against another commit runs again, on a newer snapshot; so does a query that has
//! met a document which its table's columns had to grow for.
//!
//! Owns the order among those that keep losing. Never repeats a statement of a block, nor one whose rows have
//! been sent.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::RwLock;

use super::dispatch::Work;
use super::reply::begun;
use super::{Reply, Session};
use crate::error::{Result, SqlError, SqlState};
use crate::sql::Statement;

/// Attempts that run beside everybody else's; later ones run with no other lone statement writing.
const SIDE_BY_SIDE: u32 = 4;

/// How often columns may turn out to be too narrow for one query.
const WIDENINGS: u32 = 50;

/// Bytes of a query's first rows that are waited for.
const FIRST_ROWS: usize = 4 << 20;

/// One queue per database: lone writes share it, and one that lost too often takes it for itself. First come,
/// first served, so that each of them is done in the end.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<String, Arc<RwLock<()>>>>);

impl Turns {
    fn of(&self, database: &str) -> Arc<RwLock<()>> {
        let mut queues = self.0.lock();
        if let Some(queue) = queues.get(database) {
            return Arc::clone(queue);
        }
        Arc::clone(queues.entry(database.to_owned()).or_default())
    }
}

impl Session {
    /// Runs a statement as a transaction of its own.
    pub(super) async fn alone(&mut self, work: Work<'_>) -> Result<Reply> {
        if !work.statement().is_some_and(writes) && !self.calls_routines(work) {
            let reply = match work.statement() {
                Some(Statement::Query(_)) if self.database.has_collections() => Box::pin(self.read_documents(work)).await?,
                _ => self.perform(work).await?,
            };
            self.commit().await?;
            return Ok(reply);
        }
        let queue = self.shared.turns.of(self.database.name());
        let mut attempt = 0;
        loop {
            let turn = async {
                match attempt {
                    0..SIDE_BY_SIDE => (Some(queue.read().await), None),
                    _ => (None, Some(queue.write().await)),
                }
            };
            let turn = tokio::select! {
                turn = turn => turn,
                () = self.cancel.cancelled() => return Err(self.cancel.error()),
            };
            self.transaction.alone = true;
            self.transaction.insists = attempt > 0;
            let done = match self.perform(work).await {
                Ok(reply) => self.commit().await.map(|_| reply).map_err(|error| (error, true)),
                Err(error) => Err((error, false)),
            };
            drop(turn);
            match done {
                Ok(reply) => return Ok(reply),
                Err((error, at_commit)) if is_lost_race(&error, at_commit && attempt <= SIDE_BY_SIDE, work.statement()) => {
                    self.cancel.check()?;
                    self.forget(false);
                    self.notices.drain();
                    attempt += 1;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

impl Session {
    /// Runs a query that may meet documents unlike those its columns were inferred from. What it meets among its first rows
    /// makes the columns wider and has it begin again, before anything of it is sent.
    async fn read_documents(&mut self, work: Work<'_>) -> Result<Reply> {
        for _ in 0..WIDENINGS {
            let done = match self.perform(work).await {
                Ok(reply) => begun(reply, FIRST_ROWS).await,
                Err(error) => Err(error),
            };
            match done {
                Err(error) if error.code() == SqlState::SERIALIZATION_FAILURE => {
                    self.cancel.check()?;
                    self.forget(false);
                    self.notices.drain();
                }
                done => return done,
            }
        }
        self.perform(work).await
    }
}

fn writes(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_)
        | Statement::With { .. }
        | Statement::Ddl(_)
        | Statement::Execute { .. }
        | Statement::Call(_)
        | Statement::Do(_) => true,
        Statement::Explain { options, inner } => options.analyze && writes(inner),
        Statement::Query(_)
        | Statement::Copy(_)
        | Statement::Transaction(_)
        | Statement::Set(_)
        | Statement::Show(_)
        | Statement::Reset(_)
        | Statement::Discard(_)
        | Statement::Prepare { .. }
        | Statement::Deallocate(_)
        | Statement::Declare(_)
        | Statement::Fetch(_)
        | Statement::Close(_)
        | Statement::Listen(_)
        | Statement::Unlisten(_)
        | Statement::Notify { .. }
        | Statement::Lock(_)
        | Statement::Upkeep(_) => false,
    }
}

/// 40001 always. A duplicate key found by the commit only where the statement says what to do about one: it
/// met a row that came after its snapshot.
fn is_lost_race(error: &SqlError, at_commit: bool, statement: Option<&Statement>) -> bool {
    match statement {
        _ if error.code() == SqlState::SERIALIZATION_FAILURE => true,
        Some(Statement::Insert(insert)) => at_commit && error.code() == SqlState::UNIQUE_VIOLATION && insert.on.is_some(),
        _ => false,
    }
}

//! Which sessions there are and what each is doing: for pg_stat_activity, pg_cancel_backend and
//! pg_terminate_backend.
//!
//! Every session writes its own place; nobody waits for anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::TransactionStatus;
use crate::plan::SessionFacts;
use crate::runtime::Cancel;
use crate::runtime::cancel::Reason;
use crate::versions::Timestamp;

/// Bytes of a statement that are kept, as PostgreSQL keeps them.
const QUERY_BYTES: usize = 1023;

/// The sessions of one server.
#[derive(Debug)]
pub struct Activity {
    started: Timestamp,
    places: Mutex<BTreeMap<i32, Arc<Mutex<Doing>>>>,
}

#[derive(Debug)]
struct Doing {
    facts: SessionFacts,
    running: Option<Cancel>,
    /// Cancelled when the session is to end.
    ending: CancellationToken,
}

impl Activity {
    /// Of a server that began to listen then.
    pub fn new(started: Timestamp) -> Arc<Self> {
        Arc::new(Self { started, places: Mutex::default() })
    }

    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// By process number.
    pub fn sessions(&self) -> Vec<SessionFacts> {
        self.places.lock().values().map(|place| place.lock().facts.clone()).collect()
    }

    /// Cancels the statement that a session runs. False when there is no such session.
    pub fn cancel(&self, pid: i32) -> bool {
        let place = self.places.lock().get(&pid).cloned();
        let Some(place) = place else { return false };
        if let Some(running) = &place.lock().running {
            running.cancel(Reason::UserRequest);
        }
        true
    }
}

impl Activity {
    /// Ends a session: its statement at once, itself before the next. False when there is no such session.
    pub fn terminate(&self, pid: i32) -> bool {
        let place = self.places.lock().get(&pid).cloned();
        let Some(place) = place else { return false };
        let doing = place.lock();
        doing.ending.cancel();
        if let Some(running) = &doing.running {
            running.cancel(Reason::Shutdown);
        }
        true
    }
}

/// One session's place; given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    activity: Arc<Activity>,
    pid: i32,
    doing: Arc<Mutex<Doing>>,
}

impl Place {
    pub fn new(activity: &Arc<Activity>, facts: SessionFacts) -> Self {
        let pid = facts.pid;
        let doing = Arc::new(Mutex::new(Doing { facts, running: None, ending: CancellationToken::new() }));
        activity.places.lock().insert(pid, Arc::clone(&doing));
        Self { activity: Arc::clone(activity), pid, doing }
    }

    /// Cancelled when somebody ends the session.
    pub fn ending(&self) -> CancellationToken {
        self.doing.lock().ending.clone()
    }

    /// A statement begins.
    pub fn begin(&self, query: &str, application_name: &str, transaction: Option<Timestamp>, now: Timestamp, cancel: &Cancel) {
        let end = (0..=QUERY_BYTES.min(query.len())).rev().find(|end| query.is_char_boundary(*end)).unwrap_or(0);
        let mut doing = self.doing.lock();
        doing.running = Some(cancel.clone());
        let facts = &mut doing.facts;
        facts.query.clear();
        facts.query.push_str(query.get(..end).unwrap_or_default());
        if facts.application_name != application_name {
            application_name.clone_into(&mut facts.application_name);
        }
        facts.transaction_started = Some(transaction.unwrap_or(now));
        facts.query_started = Some(now);
        facts.state_changed = Some(now);
        facts.state = "active";
    }

    /// The client is to speak next.
    pub fn rest(&self, status: TransactionStatus, now: impl FnOnce() -> Timestamp) {
        let mut doing = self.doing.lock();
        if doing.running.take().is_none() {
            return;
        }
        doing.facts.state = match status {
            TransactionStatus::Idle => "idle",
            TransactionStatus::InBlock => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        };
        if status == TransactionStatus::Idle {
            doing.facts.transaction_started = None;
        }
        doing.facts.state_changed = Some(now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.activity.places.lock().remove(&self.pid);
    }
}

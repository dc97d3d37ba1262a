//! Which connections there are, for CancelRequest and for shutdown: process number, secret, running statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::runtime::cancel::Reason;
use crate::runtime::{Cancel, Entropy};

/// The statement that a connection is running, if any: what a cancel reaches.
#[derive(Debug, Default)]
pub struct Running(Mutex<Option<Cancel>>);

impl Running {
    pub fn begin(&self, cancel: Cancel) {
        *self.0.lock() = Some(cancel);
    }

    /// A cancel that comes after this finds nothing and is forgotten, as PostgreSQL does.
    pub fn end(&self) {
        *self.0.lock() = None;
    }

    fn cancel(&self, reason: Reason) {
        if let Some(cancel) = self.0.lock().as_ref() {
            cancel.cancel(reason);
        }
    }
}

#[derive(Debug)]
struct Entry {
    secret: Vec<u8>,
    running: Arc<Running>,
}

/// The connections of one server that have been authenticated.
#[derive(Debug)]
pub struct Registry {
    entries: RwLock<HashMap<i32, Entry>>,
    next_pid: AtomicI32,
    entropy: Arc<dyn Entropy>,
}

/// A connection's place in the registry; dropping it gives the place up.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    pub pid: i32,
    pub secret: Vec<u8>,
    pub running: Arc<Running>,
}

impl Registry {
    pub fn new(entropy: Arc<dyn Entropy>) -> Arc<Self> {
        Arc::new(Self { entries: RwLock::default(), next_pid: AtomicI32::new(1), entropy })
    }

    /// Gives a process number that no present connection has, and a secret of `secret_length` bytes.
    pub fn register(self: &Arc<Self>, secret_length: usize) -> Registration {
        let mut secret = vec![0; secret_length];
        self.entropy.fill(&mut secret);
        let running = Arc::new(Running::default());
        let entry = Entry { secret: secret.clone(), running: running.clone() };
        let mut entries = self.entries.write();
        let pid = loop {
            let pid = self.next_pid.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if pid != 0 && !entries.contains_key(&pid) {
                break pid;
            }
        };
        entries.insert(pid, entry);
        Registration { registry: self.clone(), pid, secret, running }
    }

    /// Cancels what the connection runs when the secret is right; says nothing either way.
    pub fn cancel(&self, pid: i32, secret: &[u8]) {
        let entries = self.entries.read();
        if let Some(entry) = entries.get(&pid)
            && same(&entry.secret, secret)
        {
            entry.running.cancel(Reason::UserRequest);
        }
    }

    pub fn cancel_all(&self, reason: Reason) {
        self.entries.read().values().for_each(|entry| entry.running.cancel(reason));
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.entries.write().remove(&self.pid);
    }
}

/// Compares without telling by its time where two secrets differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SeededEntropy;

    #[test]
    fn a_cancel_needs_the_secret_and_a_running_statement() {
        let registry = Registry::new(Arc::new(SeededEntropy::new(7)));
        let connection = registry.register(4);
        let statement = Cancel::new();
        connection.running.begin(statement.clone());

        registry.cancel(connection.pid, b"guessed");
        assert!(!statement.is_cancelled());
        registry.cancel(connection.pid, &connection.secret);
        assert!(statement.is_cancelled());

        let next = Cancel::new();
        connection.running.end();
        registry.cancel(connection.pid, &connection.secret);
        connection.running.begin(next.clone());
        assert!(!next.is_cancelled(), "a late cancel does not reach the next statement");

        let (pid, secret) = (connection.pid, connection.secret.clone());
        drop(connection);
        registry.cancel(pid, &secret);
        assert!(registry.entries.read().is_empty());
    }
}

//! LISTEN, UNLISTEN and NOTIFY: short messages between the sessions of one database, sent when their
//! transaction commits.
//!
//! Nothing is stored: who does not listen when a message is sent never gets it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Session;
use crate::plan::Message;

/// One message as its receiver gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The sender's process number.
    pub pid: i32,
    pub channel: String,
    pub payload: String,
}

type Listeners = BTreeMap<u64, UnboundedSender<Notification>>;

/// Who listens to what, in all databases of a server.
#[derive(Debug, Default)]
pub struct Channels {
    /// By database and channel.
    listeners: Mutex<HashMap<(String, String), Listeners>>,
    sessions: AtomicU64,
}

impl Channels {
    fn send(&self, database: &str, notification: &Notification) {
        let listeners = self.listeners.lock();
        let Some(to) = listeners.get(&(database.to_owned(), notification.channel.clone())) else { return };
        for receiver in to.values() {
            // A session that is ending does not mind.
            let _ = receiver.send(notification.clone());
        }
    }
}

/// One session's end of it.
#[derive(Debug)]
pub(super) struct Mailbox {
    channels: Arc<Channels>,
    database: String,
    id: u64,
    sender: UnboundedSender<Notification>,
    receiver: UnboundedReceiver<Notification>,
    listening: BTreeSet<String>,
}

impl Mailbox {
    pub fn new(channels: Arc<Channels>, database: &str) -> Self {
        let id = channels.sessions.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = unbounded_channel();
        Self { channels, database: database.to_owned(), id, sender, receiver, listening: BTreeSet::new() }
    }

    fn listen(&mut self, channel: &str) {
        if self.listening.insert(channel.to_owned()) {
            let place = (self.database.clone(), channel.to_owned());
            self.channels.listeners.lock().entry(place).or_default().insert(self.id, self.sender.clone());
        }
    }

    fn unlisten(&mut self, channel: &str) {
        if self.listening.remove(channel) {
            let place = (self.database.clone(), channel.to_owned());
            let mut listeners = self.channels.listeners.lock();
            if let Some(of_channel) = listeners.get_mut(&place) {
                of_channel.remove(&self.id);
                if of_channel.is_empty() {
                    listeners.remove(&place);
                }
            }
        }
    }

    fn unlisten_all(&mut self) {
        for channel in std::mem::take(&mut self.listening).iter() {
            self.listening.insert(channel.clone());
            self.unlisten(channel);
        }
    }

    /// What has come since the last call.
    pub fn take(&mut self) -> Vec<Notification> {
        std::iter::from_fn(|| self.receiver.try_recv().ok()).collect()
    }

    /// The next message, however long it takes.
    pub async fn next(&mut self) -> Option<Notification> {
        self.receiver.recv().await
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.unlisten_all();
    }
}

impl Session {
    /// The transaction has committed: its messages go out, each once.
    pub(super) fn send_messages(&mut self) {
        let messages = self.messages.take();
        if messages.is_empty() {
            return;
        }
        let mut sent = BTreeSet::new();
        for message in messages {
            match message {
                Message::Listen(channel) => self.mailbox.listen(&channel),
                Message::Unlisten(Some(channel)) => self.mailbox.unlisten(&channel),
                Message::Unlisten(None) => self.mailbox.unlisten_all(),
                Message::Notify { channel, payload } => {
                    if sent.insert((channel.clone(), payload.clone())) {
                        let notification = Notification { pid: self.backend_pid, channel, payload };
                        self.mailbox.channels.send(&self.mailbox.database, &notification);
                    }
                }
            }
        }
        self.objects.lock().channels.clone_from(&self.mailbox.listening);
    }
}

//! Stopping a statement that runs: asked for by the client, by its time limit or by shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio_util::sync::CancellationToken;

use crate::error::{SqlError, SqlState};

/// Why a statement was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    UserRequest = 1,
    StatementTimeout = 2,
    Shutdown = 3,
}

/// Shared by a statement and whoever may stop it. The first reason given stays.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    token: CancellationToken,
    reason: Arc<AtomicU8>,
}

impl Cancel {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn cancel(&self, reason: Reason) {
        let _ = self.reason.compare_exchange(0, reason as u8, Ordering::SeqCst, Ordering::SeqCst);
        self.token.cancel();
    }

    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when somebody cancels; never otherwise.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// `Err` with 57014 (57P01 on shutdown) once cancelled.
    pub fn check(&self) -> Result<(), SqlError> {
        if self.is_cancelled() { Err(self.error()) } else { Ok(()) }
    }

    /// The error that a cancelled statement ends with.
    pub fn error(&self) -> SqlError {
        match self.reason.load(Ordering::SeqCst) {
            2 => SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout"),
            3 => SqlError::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command"),
            _ => SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request"),
        }
    }
}

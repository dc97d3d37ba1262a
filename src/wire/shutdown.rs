//! The two moments of stopping: nothing new from now on, and everything ends now.

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Shared by the listener and every connection. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    expired: CancellationToken,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// No new connections, idle ones end; what runs may go on until [`Shutdown::expire`].
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// What still runs is cancelled. Implies [`Shutdown::drain`].
    pub fn expire(&self) {
        self.draining.cancel();
        self.expired.cancel();
    }

    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    pub fn is_expired(&self) -> bool {
        self.expired.is_cancelled()
    }

    pub fn draining(&self) -> WaitForCancellationFutureOwned {
        self.draining.clone().cancelled_owned()
    }

    pub fn expired(&self) -> WaitForCancellationFutureOwned {
        self.expired.clone().cancelled_owned()
    }
}

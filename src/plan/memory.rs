//! Bytes held beside running plans: what a transaction has written, what a cursor keeps.
//!
//! They count against the same limit as plans do, so that a large one fails with 53200 instead of taking the
//! server with it.

use std::sync::Arc;

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use super::diagnose::diagnose;
use crate::error::Result;

/// A share of the server's memory; given back when its last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Held(Option<Arc<MemoryReservation>>);

impl Held {
    pub(super) fn of(pool: &Arc<dyn MemoryPool>, what: &str) -> Self {
        Self(Some(Arc::new(MemoryConsumer::new(what).register(pool))))
    }

    /// Takes so many bytes more; 53200 when there are not as many.
    pub fn grow(&self, bytes: usize) -> Result<()> {
        let Some(reservation) = &self.0 else { return Ok(()) };
        reservation.try_grow(bytes).map_err(diagnose)
    }

    /// Gives so many bytes back.
    pub fn shrink(&self, bytes: usize) {
        let Some(reservation) = &self.0 else { return };
        reservation.shrink(bytes.min(reservation.size()));
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::FairSpillPool;

    use super::*;
    use crate::error::SqlState;

    #[test]
    fn what_is_held_is_bounded_and_comes_back() {
        let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(1000));
        let first = Held::of(&pool, "a");
        first.grow(800).unwrap();
        let second = Held::of(&pool, "b");
        assert_eq!(second.grow(300).unwrap_err().code(), SqlState::OUT_OF_MEMORY);
        first.shrink(200);
        second.grow(300).unwrap();
        drop(first.clone());
        assert_eq!(second.grow(200).unwrap_err().code(), SqlState::OUT_OF_MEMORY, "a clone gives nothing back");
        drop(first);
        second.grow(700).unwrap();
        assert_eq!(pool.reserved(), 1000);
        drop(second);
        assert_eq!(pool.reserved(), 0);
    }
}

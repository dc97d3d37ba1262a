//! Limits of the object store; what of them is configured has its reasons and defaults there.

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::hex;
use crate::config::Payloads;

#[derive(Clone, Debug)]
pub struct ObjectSettings {
    /// Bytes of payloads that may be on their way at a time, over all statements.
    pub budget_bytes: usize,
    /// Objects that one read fetches at a time.
    pub concurrency: usize,
    /// Bytes of payloads kept in memory.
    pub memory_cache_bytes: usize,
    pub disk_cache: Option<DiskCacheSettings>,
    /// 3 s: a service that is there accepts at once.
    pub connect_timeout: Duration,
    /// For one request, its body included.
    pub request_timeout: Duration,
    /// How often a request that fails is made. 7: with the pauses between, over six seconds.
    pub attempts: u32,
    /// Before the second attempt; doubles from there. 100 ms.
    pub first_pause: Duration,
    /// For all attempts together.
    pub give_up_after: Duration,
}

#[derive(Clone, Debug)]
pub struct DiskCacheSettings {
    /// Made when it is not there; one process owns it, and everything in it.
    pub folder: PathBuf,
    pub bytes: u64,
}

impl ObjectSettings {
    /// As configured, for the database of this name, which has a folder of its own in the cache on disk.
    pub fn of(config: &Payloads, database: &str) -> Self {
        // Not the name itself: what a database may be called need not be fit for a folder.
        let own = &hex(&Sha256::digest(database))[..16];
        let cache = |folder: &PathBuf| DiskCacheSettings { folder: folder.join(own), bytes: config.disk_cache_bytes };
        Self {
            budget_bytes: config.in_flight_bytes,
            concurrency: config.concurrency,
            memory_cache_bytes: config.memory_cache_bytes,
            disk_cache: config.disk_cache.as_ref().map(cache),
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_millis(config.request_timeout_ms),
            attempts: 7,
            first_pause: Duration::from_millis(100),
            give_up_after: Duration::from_millis(config.give_up_ms),
        }
    }
}

impl Default for ObjectSettings {
    fn default() -> Self {
        Self::of(&Payloads::default(), "")
    }
}

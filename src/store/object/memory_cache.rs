//! Payloads in memory: bounded by bytes, those not used for longest go first.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Wanted;

pub(super) struct MemoryCache {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    payloads: HashMap<Wanted, (Bytes, u64)>,
    /// By the time of last use, counted in uses.
    by_use: BTreeMap<u64, Wanted>,
    uses: u64,
    bytes: usize,
}

/// What an entry takes beside its bytes, roughly.
const OVERHEAD: usize = 256;

impl MemoryCache {
    pub fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    pub fn get(&self, wanted: &Wanted) -> Option<Bytes> {
        let mut kept = self.kept.lock();
        let kept = &mut *kept;
        let (bytes, used) = kept.payloads.get_mut(wanted)?;
        let before = std::mem::replace(used, kept.uses);
        let bytes = bytes.clone();
        if let Some(wanted) = kept.by_use.remove(&before) {
            kept.by_use.insert(kept.uses, wanted);
        }
        kept.uses += 1;
        Some(bytes)
    }

    /// A payload that would drive out more than a quarter of what is kept is not kept itself.
    pub fn put(&self, wanted: Wanted, bytes: Bytes) {
        let size = bytes.len() + OVERHEAD;
        let mut kept = self.kept.lock();
        if size > self.limit / 4 || kept.payloads.contains_key(&wanted) {
            return;
        }
        while kept.bytes + size > self.limit {
            let Some((_, oldest)) = kept.by_use.pop_first() else { break };
            if let Some((bytes, _)) = kept.payloads.remove(&oldest) {
                kept.bytes -= bytes.len() + OVERHEAD;
            }
        }
        let used = kept.uses;
        kept.uses += 1;
        kept.bytes += size;
        kept.by_use.insert(used, wanted.clone());
        kept.payloads.insert(wanted, (bytes, used));
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }
}

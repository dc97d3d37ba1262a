//! Ids of new documents, and chance where writers need some.

use std::fmt;
use std::sync::Arc;

use mongodb::bson::oid::ObjectId;

use crate::runtime::{Clock, Entropy};

/// Makes ids: the seconds of the time first, as MongoDB has it, then what no other has.
#[derive(Clone)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Ids {
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    pub fn make(&self) -> ObjectId {
        let mut bytes = [0; 12];
        let (seconds, rest) = bytes.split_at_mut(4);
        let now = self.clock.now_micros().div_euclid(1_000_000);
        seconds.copy_from_slice(&u32::try_from(now).unwrap_or(0).to_be_bytes());
        self.entropy.fill(rest);
        ObjectId::from_bytes(bytes)
    }

    /// A number below 256.
    pub fn chance(&self) -> u64 {
        let mut byte = [0];
        self.entropy.fill(&mut byte);
        u64::from(byte[0])
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").finish_non_exhaustive()
    }
}

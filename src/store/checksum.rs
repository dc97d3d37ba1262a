//! What tells whether two stores hold the same states.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::versions::{ItemKey, Version};

/// The sum of the digests of a set of states: the same whatever order they are met in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum([u64; 4]);

impl Checksum {
    /// Adds a state: its item, its number and op, its period with the commits that began and ended it, and its payload
    /// where that is known.
    pub fn add(&mut self, key: &ItemKey, version: &Version, payload: &[u8]) {
        let mut digest = Sha256::new();
        let key = key.as_bytes();
        digest.update(key.len().to_le_bytes());
        digest.update(key);
        let period = version.period;
        digest.update(version.number.0.to_le_bytes());
        digest.update([version.op as u8]);
        digest.update(period.from.micros().to_le_bytes());
        digest.update(period.begun.0.to_le_bytes());
        if let Some(end) = period.end {
            digest.update(end.to.micros().to_le_bytes());
            digest.update(end.commit.0.to_le_bytes());
            digest.update([end.op as u8]);
        }
        digest.update(payload);
        let digest: [u8; 32] = digest.finalize().into();
        for (sum, bytes) in self.0.iter_mut().zip(digest.chunks_exact(8)) {
            let part = bytes.iter().fold(0_u64, |part, byte| (part << 8) | u64::from(*byte));
            *sum = sum.wrapping_add(part);
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| write!(f, "{part:016x}"))
    }
}

/// The inverse of its text.
impl FromStr for Checksum {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut sum = Self::default();
        for (at, part) in sum.0.iter_mut().enumerate() {
            let digits = text.get(16 * at..16 * at + 16).ok_or(())?;
            *part = u64::from_str_radix(digits, 16).map_err(|_| ())?;
        }
        if text.len() == 64 { Ok(sum) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::{CommitNo, Op, Period, PeriodEnd, Timestamp, VersionNo};

    fn state(number: u64, end: Option<i64>) -> Version {
        let end = end.map(|to| PeriodEnd { to: Timestamp::from_micros(to), commit: CommitNo(9), op: Op::Delete });
        let period = Period { from: Timestamp::from_micros(5), begun: CommitNo(2), end };
        Version { number: VersionNo(number), op: Op::Create, period, collection: None }
    }

    #[test]
    fn a_sum_is_of_states_in_any_order_and_of_everything_in_them() {
        let keys = [ItemKey::from_bytes([1]), ItemKey::from_bytes([2])];
        let states = [(&keys[0], state(0, Some(7)), &b"{}"[..]), (&keys[1], state(1, None), b"{\"a\":1}")];
        let sum = |states: &[(&ItemKey, Version, &[u8])]| {
            let mut sum = Checksum::default();
            states.iter().for_each(|(key, version, payload)| sum.add(key, version, payload));
            sum
        };
        let both = sum(&states);
        assert_eq!(both, sum(&[states[1], states[0]]));
        assert_eq!(both.to_string().parse(), Ok(both));
        for other in [
            (&keys[1], states[0].1, states[0].2),
            (&keys[0], state(1, Some(7)), states[0].2),
            (&keys[0], state(0, Some(8)), states[0].2),
            (&keys[0], state(0, None), states[0].2),
            (&keys[0], states[0].1, &b"{} "[..]),
        ] {
            assert_ne!(both, sum(&[other, states[1]]));
        }
        assert_ne!(both, sum(&states[..1]));
    }
}

//! Names of new documents: MongoDB's 12 bytes, which begin with the second and are random else.

use crate::runtime::Entropy;

/// Digits of a name.
const DIGITS: usize = 24;

/// So many new names as 24 hexadecimal digits, ascending; `now` is in microseconds. Different calls share a name with the
/// odds of 63 random bits.
pub fn object_ids(now: i64, entropy: &dyn Entropy, count: usize) -> Vec<String> {
    let seconds = u32::try_from(now.div_euclid(1_000_000)).unwrap_or(u32::MAX);
    // Half of the numbers are left for those that follow.
    let first = entropy.next_u64() >> 1;
    (0..count as u64).map(|n| format!("{seconds:08x}{:016x}", first.saturating_add(n))).collect()
}

/// The name in small letters; `None` for what is none.
pub fn object_id(text: &str) -> Option<String> {
    let sound = text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    sound.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::SeededEntropy;

    #[test]
    fn names_begin_with_the_second_and_ascend() {
        let entropy = SeededEntropy::new(7);
        let names = object_ids(1_735_689_600_999_999, &entropy, 300);
        assert!(names.iter().all(|name| name.starts_with("67748580") && object_id(name).as_ref() == Some(name)), "{names:?}");
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert_ne!(object_ids(1_735_689_600_999_999, &entropy, 1)[0], names[0]);
    }

    #[test]
    fn a_name_has_24_hexadecimal_digits() {
        assert_eq!(object_id("67748580ABCDEF0123456789").as_deref(), Some("67748580abcdef0123456789"));
        for text in ["", "67748580abcdef012345678", "67748580abcdef0123456789a", "67748580abcdef012345678g", "６７７４８５８０"]
        {
            assert_eq!(object_id(text), None, "{text}");
        }
    }
}

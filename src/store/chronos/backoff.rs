//! When the library's fallback queue tries an operation again.

/// Milliseconds from now: the base, doubled for each attempt made, at most the maximum, then up to a tenth more or less.
/// `chance` is evenly spread over -1..=1.
pub fn pause(attempt: u32, base_ms: u64, most_ms: u64, chance: f64) -> u64 {
    let doubled = base_ms.saturating_mul(1u64.checked_shl(attempt).unwrap_or(u64::MAX));
    let pause = doubled.min(most_ms) as f64;
    (pause * (1.0 + 0.1 * chance.clamp(-1.0, 1.0))).round() as u64
}

//! The ground every module stands on: time, randomness, cancellation and shutdown, all handed in; and what counts calls.
//!
//! Owns no policy and knows no other module. Nothing outside this folder reads the system clock or a
//! random generator (clippy.toml bans it), so a failing run can be replayed.

pub mod cancel;
pub mod clock;
pub mod entropy;
pub mod meter;

pub use cancel::Cancel;
pub use clock::{Clock, ManualClock, SystemClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use meter::Meter;

//! Everything that is tested through a socket, or over the sources as a whole.

mod admission;
mod harness;
mod layers;
mod lifecycle;
mod protocol;
mod raw;
mod slt;

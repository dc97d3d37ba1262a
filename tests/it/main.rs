//! Everything that is tested through a socket, or over the sources as a whole.

mod layers;

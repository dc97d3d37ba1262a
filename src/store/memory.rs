//! The reference implementation of the index contract: everything in maps, nothing on disk.

//! The embedded index: one SQLite file, one writer thread with group commit, readers that never block.

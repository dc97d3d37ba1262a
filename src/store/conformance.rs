//! What every index store must do, as tests that any implementation can be put through.

//! Moves committed pages from the write-ahead log into the file, on a thread of its own.
//!
//! Neither readers nor the writer wait for it. It goes to work when enough was written or writing pauses;
//! closing the store moves the rest.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;

/// About this many pages make a checkpoint worth it.
const PAGES: usize = 8192;

/// What was written is moved after this long without another group, however little it is.
const PAUSE: Duration = Duration::from_secs(1);

/// Works until the writer is gone. `written` brings the number of pages of each group.
pub fn run(conn: &Connection, written: &Receiver<usize>) {
    let mut waiting = 0_usize;
    loop {
        let due = match written.recv_timeout(PAUSE) {
            Ok(pages) => {
                waiting += pages;
                waiting >= PAGES
            }
            Err(RecvTimeoutError::Timeout) => waiting > 0,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if due {
            checkpoint(conn);
            waiting = 0;
        }
    }
}

fn checkpoint(conn: &Connection) {
    let moved = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
    match moved {
        Ok((logged, moved)) => tracing::trace!(logged, moved, "checkpoint"),
        Err(error) => tracing::warn!(%error, "checkpoint failed; the log grows until one succeeds"),
    }
}

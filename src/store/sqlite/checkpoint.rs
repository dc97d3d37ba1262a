//! Moves committed pages from the write-ahead log into the file, on a thread of its own.
//!
//! Neither readers nor the writer wait for it. It goes to work when enough was written or writing pauses;
//! closing the store moves the rest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;

use super::readers::Readers;

/// About this many pages make a checkpoint worth it.
const PAGES: usize = 8192;

/// What was written is moved after this long without another group, however little it is.
const PAUSE: Duration = Duration::from_secs(1);

/// A log of this many pages must begin anew, which it can only between two groups: see [`run`].
const LONG: i64 = 32_768;

/// Works until the writer is gone. `written` brings the number of pages of each group.
/// A writer that never pauses always leaves something unmoved, and then the log cannot begin anew: once it is
/// long, `finish` asks the writer to move that rest itself.
pub fn run(conn: &Connection, readers: &Readers, written: &Receiver<usize>, finish: &AtomicBool) {
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
            if passive(conn, readers) > LONG {
                finish.store(true, Ordering::Release);
            }
            waiting = 0;
        }
    }
}

/// Moves what can be moved without waiting for anybody; the length of the log in pages.
pub fn passive(conn: &Connection, readers: &Readers) -> i64 {
    readers.let_go();
    match conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1)) {
        Ok(logged) => logged,
        Err(error) => {
            tracing::warn!(%error, "a checkpoint failed; the log grows until one succeeds");
            0
        }
    }
}

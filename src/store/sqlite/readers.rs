//! The connections that read, as many as there are readers at one time.
//!
//! A connection that reads again while no commit has come in between keeps its read transaction for the reads that
//! follow: beginning one costs as much as looking an item up. The next commit ends it, and so does a checkpoint,
//! which a transaction left open would hold back. Never shows a read less than the newest commit there was when
//! it began.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;

use super::apply::execute;
use super::schema::open_reader;
use crate::runtime::meter;
use crate::store::StoreError;
use crate::versions::{CommitNo, CommitStamp};

/// More idle connections than this are closed.
const IDLE: usize = 32;

#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    /// The newest commit that reads may see; everything up to it is in the file.
    published: Arc<RwLock<CommitStamp>>,
    idle: Mutex<Vec<Reader>>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Reader {
    conn: Connection,
    /// The newest commit when it was last used.
    seen: Option<CommitNo>,
    /// Whether a transaction is open that has all of `seen`.
    is_open: bool,
}

impl Reader {
    /// Makes sure that the next statement sees everything up to `newest`.
    fn turn_to(&mut self, newest: CommitNo) -> Result<(), StoreError> {
        if self.seen != Some(newest) {
            self.end()?;
            self.seen = Some(newest);
        } else if !self.is_open {
            execute(&self.conn, "BEGIN", [])?;
            self.is_open = true;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        if self.is_open {
            execute(&self.conn, "COMMIT", [])?;
            self.is_open = false;
        }
        Ok(())
    }
}

impl Readers {
    pub fn new(path: &Path, published: Arc<RwLock<CommitStamp>>) -> Self {
        Self { path: path.to_owned(), published, idle: Mutex::default(), closed: AtomicBool::new(false) }
    }

    /// Lends a connection that nobody else uses, for reads of what commits have written.
    pub fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut reader = self.take()?;
        // Read before a transaction begins: what it sees may be more than this, never less.
        let newest = self.published.read().commit;
        reader.turn_to(newest)?;
        // A panic in between costs the connection and nothing else; so does an error.
        let result = read(&reader.conn)?;
        self.give_back(reader);
        Ok(result)
    }

    /// The same with no transaction open: for reads that begin one themselves, and for what changes without a commit.
    pub fn with_fresh<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut reader = self.take()?;
        reader.end()?;
        let result = read(&reader.conn)?;
        self.give_back(reader);
        Ok(result)
    }

    fn take(&self) -> Result<Reader, StoreError> {
        meter::index_is_called();
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let idle = self.idle.lock().pop();
        match idle {
            Some(reader) => Ok(reader),
            None => Ok(Reader { conn: open_reader(&self.path)?, seen: None, is_open: false }),
        }
    }

    fn give_back(&self, reader: Reader) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE && !self.closed.load(Ordering::Acquire) {
            idle.push(reader);
        }
    }

    /// Ends the transactions of connections that nobody uses.
    pub fn let_go(&self) {
        self.idle.lock().retain_mut(|reader| reader.end().is_ok());
    }

    /// Refuses every read from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.idle.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema::{open_checkpointer, open_writer};
    use crate::versions::Timestamp;

    fn rows(conn: &Connection) -> Result<i64, StoreError> {
        let count = conn.query_row("SELECT count(*) FROM counter", [], |row| row.get(0));
        count.map_err(crate::store::sqlite::schema::failure)
    }

    /// Frames of the log, and how many of them a checkpoint could move.
    fn checkpoint(conn: &Connection) -> (i64, i64) {
        conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap()
    }

    #[test]
    fn a_transaction_is_kept_until_a_commit_or_a_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sqlite");
        let writer = open_writer(&path).unwrap();
        let published = Arc::new(RwLock::new(CommitStamp { commit: CommitNo(1), time: Timestamp::MIN }));
        let readers = Readers::new(&path, published.clone());
        let write = |id: i64| writer.execute("INSERT INTO counter VALUES (?1, 0)", [id]).unwrap();
        write(1);
        for _ in 0..3 {
            assert_eq!(readers.with(rows).unwrap(), 1);
        }
        write(2);
        assert_eq!(readers.with(rows).unwrap(), 1, "its transaction is the one of the commit it knows");
        assert_eq!(readers.with_fresh(rows).unwrap(), 2);
        assert_eq!(readers.with(rows).unwrap(), 2);
        write(3);
        published.write().commit = CommitNo(2);
        assert_eq!(readers.with(rows).unwrap(), 3, "a commit is seen at once");
        assert_eq!(readers.with(rows).unwrap(), 3);
        write(4);
        let checkpointer = open_checkpointer(&path).unwrap();
        let (logged, moved) = checkpoint(&checkpointer);
        assert!(moved < logged, "an open transaction holds the log: {moved} of {logged}");
        readers.let_go();
        let (logged, moved) = checkpoint(&checkpointer);
        assert_eq!(moved, logged);
    }

    #[test]
    fn a_connection_whose_read_failed_is_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sqlite");
        let _writer = open_writer(&path).unwrap();
        let readers = Readers::new(&path, Arc::new(RwLock::new(CommitStamp { commit: CommitNo(1), time: Timestamp::MIN })));
        readers.with(rows).unwrap();
        assert_eq!(readers.idle.lock().len(), 1);
        let failed: Result<(), _> = readers.with(|_| Err(StoreError::Closed));
        assert!(failed.is_err());
        assert_eq!(readers.idle.lock().len(), 0);
        assert_eq!(readers.with(rows).unwrap(), 0);
    }
}

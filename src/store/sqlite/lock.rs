//! One process owns a store: a locked file beside it says so, and its text says which process.
//!
//! The lock is the operating system's (it ends with the process, however that ends); the file stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Held until dropped.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Locks `<store>.lock`; [`StoreError::InUse`] when somebody else holds it, this process included.
    pub fn acquire(store: &Path) -> Result<Self, StoreError> {
        let failed = |e: std::io::Error| StoreError::Engine(format!("cannot lock the store: {e}"));
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(lock_path(store)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let named = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .and_then(|()| file.flush());
        named.map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// The process that opened this store last, as its lock file tells: for the message of who was refused.
pub fn holder(store: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(lock_path(store)).and_then(|mut f| f.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

fn lock_path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

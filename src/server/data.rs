//! The data directory: one process at a time, one SQLite file per database and one for the cluster.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Diagnose, Result};
use crate::runtime::Clock;
use crate::store::sqlite::SqliteIndex;
use crate::store::{IndexStore, InlinePayloads, PayloadStore};
use crate::tenancy::StoreOpener;

/// Why a data directory cannot be used. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("the data directory {} is in use by another process{}", path.display(), owner(holder))]
    InUse { path: PathBuf, holder: String },
    #[error("cannot use the data directory {}: {cause}", path.display())]
    Unusable { path: PathBuf, cause: std::io::Error },
}

fn owner(holder: &str) -> String {
    if holder.is_empty() { String::new() } else { format!(" (process {holder})") }
}

/// A directory that this process owns until it is dropped, or ends in whatever way: the lock is the system's.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory where there is none, readable by its owner only, and takes it.
    pub fn take(path: &Path) -> Result<Self, DataError> {
        let unusable = |cause| DataError::Unusable { path: path.to_owned(), cause };
        make(path).map_err(unusable)?;
        let path = path.canonicalize().map_err(unusable)?;
        let mut options = File::options();
        let mut lock = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("LOCK"))
            .map_err(|cause| DataError::Unusable { path: path.clone(), cause })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Err(DataError::InUse { path, holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(cause)) => return Err(DataError::Unusable { path, cause }),
        }
        let noted = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        noted.map_err(|cause| DataError::Unusable { path: path.clone(), cause })?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where statements spill; emptied at every start.
    pub fn spill(&self) -> Result<PathBuf, DataError> {
        let path = self.path.join("spill");
        let made = match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::create_dir(&path),
        };
        made.map_err(|cause| DataError::Unusable { path: path.clone(), cause })?;
        Ok(path)
    }

    /// Opens the directory's SQLite files.
    pub fn opener(&self, clock: Arc<dyn Clock>) -> Arc<dyn StoreOpener> {
        Arc::new(SqliteFiles { folder: self.path.clone(), clock })
    }
}

fn make(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[derive(Debug)]
struct SqliteFiles {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl StoreOpener for SqliteFiles {
    async fn open(&self, file: &str) -> Result<(Arc<dyn IndexStore>, Arc<dyn PayloadStore>)> {
        let path = self.folder.join(format!("{}.sqlite", file_name(file)));
        let clock = self.clock.clone();
        let opening = tokio::task::spawn_blocking(move || SqliteIndex::open(&path, clock));
        match opening.await {
            Ok(Ok(store)) => Ok((Arc::new(store), Arc::new(InlinePayloads))),
            Ok(Err(error)) => {
                tracing::error!(%error, file, "cannot open a store");
                Err(error.diagnose())
            }
            Err(error) => Err(crate::error::SqlError::internal(format!("opening a store failed: {error}"))),
        }
    }
}

/// A file name for a database of any name: what is not a lower-case letter, digit, `_` or `-` is written `%` and hex.
fn file_name(database: &str) -> String {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    let encode = |b: u8| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    database.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_by_name_until_the_first_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/er");
        let first = DataDirectory::take(&path).expect("free");
        let refused = DataDirectory::take(&path).expect_err("taken").to_string();
        assert!(refused.contains("deep/er is in use by another process"), "{refused}");
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        DataDirectory::take(&path).expect("free again");
    }

    #[test]
    fn no_database_name_leaves_the_directory_or_meets_another() {
        assert_eq!(file_name("shop_1-a"), "shop_1-a");
        assert_eq!(file_name("../Shop"), "%2E%2E%2F%53hop");
        assert_ne!(file_name("a%2E"), file_name("a."));
    }
}

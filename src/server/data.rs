//! The data directory: one process at a time, one SQLite file per database and one for the cluster.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::deployment::DeploymentStores;
use crate::error::{Diagnose, Result, SqlError, SqlState};
use crate::runtime::Clock;
use crate::store::InlinePayloads;
use crate::store::sqlite::SqliteIndex;
use crate::tenancy::{GIVEN, StoreOpener, Stores};

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
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => std::fs::create_dir(&path),
        };
        made.map_err(|cause| DataError::Unusable { path: path.clone(), cause })?;
        Ok(path)
    }

    /// Opens the directory's SQLite files, and the databases of a deployment where there is one.
    pub fn opener(&self, clock: Arc<dyn Clock>, deployment: Option<DeploymentStores>) -> Arc<dyn StoreOpener> {
        Arc::new(Opener { files: SqliteFiles { folder: self.path.clone(), clock }, deployment })
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
struct Opener {
    files: SqliteFiles,
    deployment: Option<DeploymentStores>,
}

#[async_trait]
impl StoreOpener for Opener {
    async fn open(&self, file: &str) -> Result<Stores> {
        match &self.deployment {
            Some(deployment) if file.starts_with(GIVEN) => deployment.open(file).await,
            _ => self.files.open(file).await,
        }
    }

    fn given(&self) -> Vec<(String, String)> {
        self.deployment.as_ref().map(DeploymentStores::given).unwrap_or_default()
    }

    async fn remove(&self, file: &str) -> Result<()> {
        self.files.remove(file).await
    }
}

#[derive(Debug)]
struct SqliteFiles {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

impl SqliteFiles {
    async fn open(&self, file: &str) -> Result<Stores> {
        let path = self.path(file);
        let clock = self.clock.clone();
        let opening = tokio::task::spawn_blocking(move || SqliteIndex::open(&path, clock));
        match opening.await {
            Ok(Ok(store)) => Ok(Stores { index: Arc::new(store), payloads: Arc::new(InlinePayloads), collections: None }),
            Ok(Err(error)) => {
                tracing::error!(%error, file, "cannot open a store");
                Err(error.diagnose())
            }
            Err(error) => Err(SqlError::internal(format!("opening a store failed: {error}"))),
        }
    }

    async fn remove(&self, file: &str) -> Result<()> {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.path(file).into_os_string();
            path.push(suffix);
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::error!(%error, path = %path.display(), "cannot remove a dropped database's file");
                    return Err(SqlError::new(SqlState::IO_ERROR, "the files of a dropped database could not be removed"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl SqliteFiles {
    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(format!("{file}.sqlite"))
    }
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
}

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
    #[error("the data directory {} is an unfinished copy of {origin}: finish it with `chronogate copy`, or remove it", path.display())]
    Unfinished { path: PathBuf, origin: String },
    #[error("{} is not empty and is no unfinished copy of {origin}: name a directory that is not there yet", path.display())]
    NotEmpty { path: PathBuf, origin: String },
}

fn owner(holder: &str) -> String {
    if holder.is_empty() { String::new() } else { format!(" (process {holder})") }
}

/// What the cluster's own catalogue is opened under.
pub(super) const CLUSTER: &str = "cluster";

/// A file that names what the directory is an unfinished copy of.
const UNFINISHED: &str = "COPYING";

/// What any process that opens a directory makes in it.
const OF_OPENING: [&str; 2] = ["LOCK", "spill"];

/// A directory that this process owns until it is dropped, or ends in whatever way: the lock is the system's.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory where there is none, readable by its owner only, and takes it. Refused while it is an unfinished
    /// copy.
    pub fn take(path: &Path) -> Result<Self, DataError> {
        let taken = Self::lock(path)?;
        match taken.origin()? {
            None => Ok(taken),
            Some(origin) => Err(DataError::Unfinished { path: taken.path, origin }),
        }
    }

    /// Takes a directory that is to become a copy of `origin`: a new or empty one, or one that has been begun as that.
    pub fn take_for_copy(path: &Path, origin: &str) -> Result<Self, DataError> {
        let taken = Self::lock(path)?;
        let unusable = |cause| DataError::Unusable { path: taken.path.clone(), cause };
        match taken.origin()? {
            Some(begun) if begun == origin => return Ok(taken),
            Some(other) => return Err(DataError::Unfinished { path: taken.path.clone(), origin: other }),
            None => {}
        }
        for entry in std::fs::read_dir(&taken.path).map_err(unusable)? {
            let name = entry.map_err(unusable)?.file_name();
            if !OF_OPENING.iter().any(|known| name == *known) {
                return Err(DataError::NotEmpty { path: taken.path.clone(), origin: origin.to_owned() });
            }
        }
        let mut marker = File::create(taken.path.join(UNFINISHED)).map_err(unusable)?;
        marker.write_all(origin.as_bytes()).and_then(|()| marker.sync_all()).map_err(unusable)?;
        Ok(taken)
    }

    /// What it is an unfinished copy of, where it is one.
    fn origin(&self) -> Result<Option<String>, DataError> {
        match std::fs::read_to_string(self.path.join(UNFINISHED)) {
            Ok(origin) => Ok(Some(origin)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(DataError::Unusable { path: self.path.clone(), cause }),
        }
    }

    /// The copy is whole.
    pub fn finish_copy(&self) -> Result<(), DataError> {
        let removed = std::fs::remove_file(self.path.join(UNFINISHED));
        removed.map_err(|cause| DataError::Unusable { path: self.path.clone(), cause })
    }

    /// The file of a store that was opened under this name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.sqlite"))
    }

    fn lock(path: &Path) -> Result<Self, DataError> {
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
            Some(deployment) if self.is_in_mongo(deployment, file) => deployment.open_own(file).await,
            _ => self.files.open(file).await,
        }
    }

    fn given(&self) -> Vec<(String, String)> {
        self.deployment.as_ref().map(DeploymentStores::given).unwrap_or_default()
    }

    async fn remove(&self, file: &str) -> Result<()> {
        match &self.deployment {
            Some(deployment) if self.is_in_mongo(deployment, file) => deployment.remove_own(file).await,
            _ => self.files.remove(file).await,
        }
    }
}

impl Opener {
    /// The cluster's own catalogue is always a file, and a database that is in one stays there.
    fn is_in_mongo(&self, deployment: &DeploymentStores, file: &str) -> bool {
        deployment.keeps_own() && file != CLUSTER && !self.files.path(file).exists()
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

    #[test]
    fn a_copy_goes_on_in_its_own_directory_and_in_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let [copy, full] = ["copy", "full"].map(|name| folder.path().join(name));
        drop(DataDirectory::take_for_copy(&copy, "/a").expect("new"));
        drop(DataDirectory::take_for_copy(&copy, "/a").expect("its own"));
        let served = DataDirectory::take(&copy).expect_err("unfinished").to_string();
        assert!(served.contains("is an unfinished copy of /a"), "{served}");
        assert!(DataDirectory::take_for_copy(&copy, "/b").is_err(), "another's");
        std::fs::create_dir(&full).expect("made");
        drop(DataDirectory::take(&full).expect("free").spill().expect("made"));
        drop(DataDirectory::take_for_copy(&full, "/a").expect("nothing in it but what opening makes"));
        let begun = DataDirectory::take_for_copy(&full, "/a").expect("its own");
        begun.finish_copy().expect("finished");
        drop(begun);
        std::fs::write(full.join("x.sqlite"), "").expect("written");
        let refused = DataDirectory::take_for_copy(&full, "/a").expect_err("not empty").to_string();
        assert!(refused.contains("is not empty and is no unfinished copy of /a"), "{refused}");
    }
}

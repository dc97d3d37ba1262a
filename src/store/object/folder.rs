//! Buckets in a local folder: `<folder>/<bucket>/<key>`.
//!
//! A file is written beside its place, synced, and moved there, so that a name never means half an object, also after a
//! crash. A name that would lead out of the folder names nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::fault::Fault;
use super::{Occupied, blocking};

#[derive(Debug)]
pub(super) struct Folder {
    base: PathBuf,
    /// Tells unfinished files of this process apart.
    written: AtomicU64,
}

impl Folder {
    pub fn new(base: &Path) -> Self {
        Self { base: base.to_owned(), written: AtomicU64::new(0) }
    }

    pub async fn get(&self, bucket: &str, key: &str, size: u64) -> Result<Bytes, Fault> {
        let path = self.path(bucket, key).ok_or(Fault::Missing)?;
        let base = self.base.clone();
        blocking(move || read(&path, size).map_err(|cause| fault(&base, cause))?.ok_or(Fault::Damaged)).await
    }

    pub async fn put(&self, bucket: &str, key: &str, bytes: Bytes, occupied: Occupied) -> Result<(), Fault> {
        let path = self.path(bucket, key).ok_or_else(|| Fault::Failed("this cannot be a file's name".to_owned()))?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_extension(format!("{}-{number}.unfinished", std::process::id()));
        let base = self.base.clone();
        blocking(move || {
            let written = write(&base, &unfinished, &path, &bytes, occupied);
            let _ = written.is_err().then(|| fs::remove_file(&unfinished));
            written.map_err(|cause| match cause.kind() {
                io::ErrorKind::AlreadyExists => Fault::Occupied,
                _ => fault(&base, cause),
            })
        })
        .await
    }

    pub async fn probe(&self, bucket: &str) -> Result<(), Fault> {
        let path = self.path(bucket, "probe").ok_or(Fault::Missing)?;
        let base = self.base.clone();
        blocking(move || match path.parent().map(fs::metadata) {
            Some(Ok(about)) if about.is_dir() => Ok(()),
            Some(Err(cause)) => Err(fault(&base, cause)),
            Some(Ok(_)) | None => Err(Fault::Missing),
        })
        .await
    }

    fn path(&self, bucket: &str, key: &str) -> Option<PathBuf> {
        let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']);
        let mut parts = std::iter::once(bucket).chain(key.split('/'));
        (!bucket.contains('/') && parts.clone().all(sound))
            .then(|| parts.try_fold(self.base.clone(), |path, part| Some(path.join(part))))?
    }
}

/// `None` where it has another size; then nothing of it is read.
fn read(path: &Path, size: u64) -> io::Result<Option<Bytes>> {
    use io::Read;
    let file = File::open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::ErrorKind::NotFound.into());
    }
    if about.len() != size {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(size).read_to_end(&mut bytes)?;
    Ok(Some(Bytes::from(bytes)))
}

fn write(base: &Path, unfinished: &Path, path: &Path, bytes: &[u8], occupied: Occupied) -> io::Result<()> {
    let folder = path.parent().unwrap_or(base);
    make_folder(base, folder)?;
    let mut file = File::create(unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match occupied {
        Occupied::Replace => fs::rename(unfinished, path)?,
        Occupied::Refuse => {
            fs::hard_link(unfinished, path)?;
            fs::remove_file(unfinished)?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Makes what is missing of a folder below the base, each name synced in its parent.
fn make_folder(base: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent().filter(|_| folder != base) else { return Err(io::ErrorKind::NotFound.into()) };
    make_folder(base, parent)?;
    match fs::create_dir(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        Ok(()) | Err(_) => {}
    }
    File::open(parent)?.sync_all()
}

/// A file that is not there is missing only while the folder of all of them is: else a disk is not mounted.
fn fault(base: &Path, cause: io::Error) -> Fault {
    match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if base.is_dir() => Fault::Missing,
        io::ErrorKind::NotFound => Fault::Unreachable(format!("{} is not there", base.display())),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::Full,
        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::StaleNetworkFileHandle => {
            Fault::Unreachable(cause.to_string())
        }
        _ => Fault::Failed(cause.to_string()),
    }
}

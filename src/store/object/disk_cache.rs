//! Payloads on disk: one file each, bounded by bytes, those not used for longest go first; survives a restart.
//!
//! Nothing here is believed: a file's bytes are verified like those of a service, so files need not be synced, and one that
//! is damaged is thrown away. A cache that cannot be written is only slow.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{DiskCacheSettings, Wanted, blocking, hex};
use crate::store::StoreError;

#[derive(Clone)]
pub(super) struct DiskCache(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    limit: u64,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    /// Size and time of last use, counted in uses.
    by_name: HashMap<String, (u64, u64)>,
    by_use: BTreeMap<u64, String>,
    uses: u64,
    bytes: u64,
}

const UNFINISHED: &str = "unfinished";

impl DiskCache {
    /// Takes over what an earlier process left, most recently written files being the most recently used.
    pub fn open(settings: &DiskCacheSettings) -> Result<Self, StoreError> {
        let folder = settings.folder.clone();
        let failed = |cause: io::Error| StoreError::Engine(format!("payload cache {}: {cause}", folder.display()));
        let unfinished = folder.join(UNFINISHED);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(failed)?;
        }
        fs::create_dir_all(&unfinished).map_err(failed)?;
        let mut left = files_of(&folder).map_err(failed)?;
        left.sort();
        let cache = Self(Arc::new(Inner { folder, limit: settings.bytes, files: Mutex::default() }));
        for (_, name, size) in left {
            cache.0.admit(name, size);
        }
        Ok(cache)
    }

    pub async fn get(&self, wanted: &Wanted) -> Option<Bytes> {
        let name = file_name(wanted);
        if !self.0.files.lock().touch(&name) {
            return None;
        }
        let cache = self.clone();
        let read = blocking(move || Ok(fs::read(cache.0.path(&name)).map_err(|_| name)));
        match read.await {
            Ok(Ok(bytes)) => Some(Bytes::from(bytes)),
            Ok(Err(name)) => {
                self.0.files.lock().forget(&name);
                None
            }
            Err(_) => None,
        }
    }

    pub async fn put(&self, wanted: &Wanted, bytes: Bytes) {
        let (cache, name) = (self.clone(), file_name(wanted));
        if bytes.len() as u64 > self.0.limit / 4 || self.0.files.lock().by_name.contains_key(&name) {
            return;
        }
        let written = blocking(move || {
            let written = cache.0.write(&name, &bytes);
            if written.is_ok() {
                cache.0.admit(name, bytes.len() as u64);
            }
            Ok(written)
        });
        if let Ok(Err(cause)) = written.await {
            tracing::debug!(%cause, "a payload cannot be cached on disk");
        }
    }

    pub async fn throw_away(&self, wanted: &Wanted) {
        let (cache, name) = (self.clone(), file_name(wanted));
        tracing::warn!(name = &*wanted.name, "a cached payload is damaged and thrown away");
        let _ = blocking(move || {
            cache.0.files.lock().forget(&name);
            let _ = fs::remove_file(cache.0.path(&name));
            Ok(())
        })
        .await;
    }

    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.0.files.lock().bytes
    }
}

impl Inner {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(&name[..2]).join(name)
    }

    /// Whole or not at all: a reader never meets half a file.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(UNFINISHED).join(format!("{name}-{:?}", std::thread::current().id()));
        let path = self.path(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path)).inspect_err(|_| {
            let _ = fs::remove_file(&unfinished);
        })
    }

    /// Counts a file that is there, and removes the oldest ones until all fit.
    fn admit(&self, name: String, size: u64) {
        let mut files = self.files.lock();
        files.forget(&name);
        let used = files.uses;
        files.uses += 1;
        files.bytes += size;
        files.by_use.insert(used, name.clone());
        files.by_name.insert(name, (size, used));
        while files.bytes > self.limit {
            let Some(oldest) = files.by_use.first_key_value().map(|(_, name)| name.clone()) else { break };
            files.forget(&oldest);
            let _ = fs::remove_file(self.path(&oldest));
        }
    }
}

impl Files {
    fn touch(&mut self, name: &str) -> bool {
        let Some((_, used)) = self.by_name.get_mut(name) else { return false };
        let before = std::mem::replace(used, self.uses);
        if let Some(name) = self.by_use.remove(&before) {
            self.by_use.insert(self.uses, name);
        }
        self.uses += 1;
        true
    }

    fn forget(&mut self, name: &str) {
        if let Some((size, used)) = self.by_name.remove(name) {
            self.by_use.remove(&used);
            self.bytes -= size;
        }
    }
}

/// The object's name and digest, as a name that any file system takes.
fn file_name(wanted: &Wanted) -> String {
    let mut digest = Sha256::new();
    digest.update(wanted.sha256);
    digest.update(wanted.size.to_be_bytes());
    digest.update(wanted.name.as_bytes());
    hex(&digest.finalize())
}

/// Files of the cache with the time they were written and their size. Whatever else lies there is left alone.
fn files_of(folder: &Path) -> io::Result<Vec<(SystemTime, String, u64)>> {
    let mut files = Vec::new();
    for shelf in fs::read_dir(folder)? {
        let shelf = shelf?.path();
        let of_ours = shelf.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.len() == 2);
        if !of_ours || !shelf.is_dir() {
            continue;
        }
        for file in fs::read_dir(shelf)? {
            let file = file?;
            let Ok(name) = file.file_name().into_string() else { continue };
            if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
                let about = file.metadata()?;
                files.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, about.len()));
            }
        }
    }
    Ok(files)
}

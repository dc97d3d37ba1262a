//! Payloads as objects of their own: on an S3 service or in a local folder, in front of them caches.
//!
//! A name is `<bucket>/<key>`. Bytes are believed only when they have the size and digest the index gave; what is not there
//! is [`StoreError::Payload`], what does not answer [`StoreError::Unreachable`], and the two are never mistaken for each
//! other. Objects are immutable, so nothing cached ever needs to be looked at again.

mod disk_cache;
mod fault;
mod folder;
mod memory_cache;
mod service;
mod settings;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use self::disk_cache::DiskCache;
use self::fault::Fault;
use self::folder::Folder;
use self::memory_cache::MemoryCache;
use self::service::S3;
use super::chronos::Presence;
use super::chronos::keys::OWN_PAYLOADS;
use super::{PayloadRef, PayloadStore, StoreError};
use crate::config::deployment::Objects;
use crate::runtime::{Entropy, meter};

pub use settings::{DiskCacheSettings, ObjectSettings};

/// The payload store of one database.
#[derive(Clone)]
pub struct ObjectPayloads(Arc<Inner>);

struct Inner {
    /// By the name of the bucket.
    holders: BTreeMap<String, Arc<Holder>>,
    /// Where buckets are looked for that no place of the database names, and the bucket of new payloads.
    default: (Arc<Holder>, String),
    settings: ObjectSettings,
    memory: MemoryCache,
    disk: Option<DiskCache>,
    /// One permit for each KiB that may be on its way.
    budget: Semaphore,
    entropy: Arc<dyn Entropy>,
    counts: Counters,
}

/// What holds buckets.
#[derive(Debug)]
enum Holder {
    Folder(Folder),
    S3(Box<S3>),
}

/// How payloads were found, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests to a service or reads of a file, repeated ones too.
    pub requests: u64,
    pub memory_hits: u64,
    pub disk_hits: u64,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
}

/// What to do where an object of the name exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// The old one is garbage: no version can point to it.
    Replace,
    /// Fail, with nothing changed, unless it holds the same bytes.
    Refuse,
}

/// An object that is to be made.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// `<bucket>/<key>`.
    pub name: String,
    pub bytes: Bytes,
    /// Kept where the service keeps such things, as the digest is.
    pub content_type: String,
}

impl NewObject {
    /// A payload.
    pub fn json(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), bytes: bytes.into(), content_type: "application/json; charset=utf-8".to_owned() }
    }
}

/// One version's bytes, as the index describes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    name: Arc<str>,
    size: u64,
    sha256: [u8; 32],
}

impl ObjectPayloads {
    /// Over these buckets; the first is where new payloads go and names its service or folder for buckets not listed.
    /// Connects to nothing yet. Refused where one bucket's name is to mean two services, and where a secret or the cache's
    /// folder cannot be read.
    pub fn open(buckets: &[(String, Objects)], settings: ObjectSettings, entropy: Arc<dyn Entropy>) -> Result<Self, StoreError> {
        let mut holders: BTreeMap<String, Arc<Holder>> = BTreeMap::new();
        let mut made: Vec<(String, Arc<Holder>)> = Vec::new();
        for (bucket, objects) in buckets {
            let identity = identity(objects);
            let known = made.iter().find(|(made, _)| *made == identity).map(|(_, holder)| holder.clone());
            let holder = match known {
                Some(holder) => holder,
                None => Arc::new(Holder::of(objects, &settings)?),
            };
            made.push((identity, holder.clone()));
            let before = holders.insert(bucket.clone(), holder.clone());
            if before.is_some_and(|before| !Arc::ptr_eq(&before, &holder)) {
                return Err(StoreError::Engine(format!("bucket {bucket:?} is to be found in two places")));
            }
        }
        let Some((bucket, (_, holder))) = buckets.first().map(|(bucket, _)| bucket.clone()).zip(made.into_iter().next()) else {
            return Err(StoreError::Engine("no bucket is configured".to_owned()));
        };
        let inner = Inner {
            holders,
            default: (holder, bucket),
            memory: MemoryCache::new(settings.memory_cache_bytes),
            disk: settings.disk_cache.as_ref().map(DiskCache::open).transpose()?,
            budget: Semaphore::new(kibibytes(settings.budget_bytes as u64) as usize),
            entropy,
            counts: Counters::default(),
            settings,
        };
        Ok(Self(Arc::new(inner)))
    }

    pub fn counts(&self) -> Counts {
        let Counters { requests, memory_hits, disk_hits } = &self.0.counts;
        let [requests, memory_hits, disk_hits] = [requests, memory_hits, disk_hits].map(|n| n.load(Ordering::Relaxed));
        Counts { requests, memory_hits, disk_hits }
    }

    /// Whether the bucket answers; its objects need not.
    pub async fn probe(&self, bucket: &str) -> Result<(), StoreError> {
        let holder = self.0.holder(bucket);
        self.0.retrying(|| async { holder.probe(bucket).await }).await.map_err(|fault| fault.as_error(bucket))
    }

    /// Makes an object durable where none of its name is; `None`, with nothing changed, where one holds other bytes.
    pub async fn put_new(&self, object: NewObject) -> Result<Option<PayloadRef>, StoreError> {
        let name = object.name.clone();
        match self.0.try_put(object, Occupied::Refuse).await? {
            Ok(made) => Ok(Some(made)),
            Err(Fault::Occupied) => Ok(None),
            Err(fault) => Err(fault.as_error(&name)),
        }
    }

    /// Makes these objects durable, concurrently, and returns where each is, in order. All or an error; what was made before
    /// an error stays.
    pub async fn put_at(&self, objects: Vec<NewObject>, occupied: Occupied) -> Result<Vec<PayloadRef>, StoreError> {
        let made = objects.into_iter().map(|object| self.0.put(object, occupied));
        futures::stream::iter(made).buffered(self.0.settings.concurrency.max(1)).try_collect().await
    }
}

impl fmt::Debug for ObjectPayloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectPayloads").field("holders", &self.0.holders).field("settings", &self.0.settings).finish()
    }
}

#[async_trait]
impl PayloadStore for ObjectPayloads {
    async fn put(&self, payloads: Vec<Bytes>) -> Result<Vec<PayloadRef>, StoreError> {
        let named = payloads.into_iter().map(|bytes| NewObject::json(self.0.new_name(), bytes)).collect();
        // Nobody else has these names: a request that is repeated may meet only its own first try.
        self.put_at(named, Occupied::Replace).await
    }

    async fn get(&self, refs: &[PayloadRef]) -> Result<Vec<Bytes>, StoreError> {
        // Versions that point to one object (a restored one, say) read it once.
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut places: HashMap<Wanted, usize> = HashMap::new();
        for reference in refs {
            if let Some(one) = Wanted::of(reference) {
                places.entry(one.clone()).or_insert_with(|| {
                    wanted.push(one);
                    wanted.len() - 1
                });
            }
        }
        let reads = wanted.into_iter().map(|wanted| self.0.read(wanted));
        let found: Vec<Bytes> = futures::stream::iter(reads).buffered(self.0.settings.concurrency.max(1)).try_collect().await?;
        let bytes_of = |reference: &PayloadRef| match reference {
            PayloadRef::Inline(bytes) => Ok(bytes.clone()),
            PayloadRef::Object { name, .. } => Wanted::of(reference)
                .and_then(|wanted| found.get(*places.get(&wanted)?).cloned())
                .ok_or_else(|| StoreError::Payload { name: name.clone() }),
        };
        refs.iter().map(bytes_of).collect()
    }
}

/// For each reference whether its payload is there and is the one meant: what [`Presence`] wants to know of rows that compete
/// for one number.
pub async fn presence(payloads: &dyn PayloadStore, refs: &[PayloadRef]) -> Result<Vec<Presence>, StoreError> {
    let looks = refs.iter().map(|reference| async move {
        match payloads.get(std::slice::from_ref(reference)).await {
            Ok(_) => Ok(Presence::There),
            Err(StoreError::Payload { .. }) => Ok(Presence::Missing),
            Err(cause) => Err(cause),
        }
    });
    futures::stream::iter(looks).buffered(16).try_collect().await
}

impl Wanted {
    fn of(reference: &PayloadRef) -> Option<Self> {
        match reference {
            PayloadRef::Inline(_) => None,
            PayloadRef::Object { name, size, sha256 } => {
                Some(Self { name: Arc::from(name.as_str()), size: *size, sha256: *sha256 })
            }
        }
    }

    fn matches(&self, bytes: &Bytes) -> bool {
        bytes.len() as u64 == self.size && <[u8; 32]>::from(Sha256::digest(bytes)) == self.sha256
    }

    /// As [`Self::matches`], large ones off the threads that serve everybody.
    async fn verify(&self, bytes: Bytes) -> Result<Bytes, Fault> {
        const LARGE: usize = 256 << 10;
        let sound = if bytes.len() < LARGE {
            self.matches(&bytes)
        } else {
            let (wanted, bytes) = (self.clone(), bytes.clone());
            blocking(move || Ok(wanted.matches(&bytes))).await?
        };
        if sound { Ok(bytes) } else { Err(Fault::Damaged) }
    }
}

impl Inner {
    fn holder(&self, bucket: &str) -> &Arc<Holder> {
        self.holders.get(bucket).unwrap_or(&self.default.0)
    }

    fn is_remote(&self, name: &str) -> bool {
        let bucket = name.split_once('/').map_or("", |(bucket, _)| bucket);
        matches!(**self.holder(bucket), Holder::S3(_))
    }

    async fn read(&self, wanted: Wanted) -> Result<Bytes, StoreError> {
        if let Some(bytes) = self.memory.get(&wanted) {
            self.counts.memory_hits.fetch_add(1, Ordering::Relaxed);
            return Ok(bytes);
        }
        let permits = kibibytes(wanted.size).min(kibibytes(self.settings.budget_bytes as u64));
        let _permit = self.budget.acquire_many(permits).await.map_err(|_| StoreError::Closed)?;
        if let Some(bytes) = self.on_disk(&wanted).await {
            self.counts.disk_hits.fetch_add(1, Ordering::Relaxed);
            self.memory.put(wanted, bytes.clone());
            return Ok(bytes);
        }
        // What came over a network may have been damaged on the way: that is worth one more look.
        let mut doubts = u32::from(self.is_remote(&wanted.name));
        let may_pass = |fault: &Fault| match fault {
            Fault::Damaged => std::mem::take(&mut doubts) > 0,
            fault => fault.may_pass(),
        };
        let read = self.retrying_while(|| self.fetch(&wanted), may_pass).await;
        let bytes = read.map_err(|fault| fault.as_error(&wanted.name))?;
        if let Some(disk) = &self.disk {
            disk.put(&wanted, bytes.clone()).await;
        }
        self.memory.put(wanted, bytes.clone());
        Ok(bytes)
    }

    async fn on_disk(&self, wanted: &Wanted) -> Option<Bytes> {
        let disk = self.disk.as_ref()?;
        let bytes = disk.get(wanted).await?;
        match wanted.verify(bytes).await {
            Ok(bytes) => Some(bytes),
            Err(_) => {
                disk.throw_away(wanted).await;
                None
            }
        }
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Bytes, Fault> {
        let (bucket, key) = wanted.name.split_once('/').ok_or(Fault::Missing)?;
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        meter::payload_is_read();
        let bytes = self.holder(bucket).get(bucket, key, wanted.size).await?;
        wanted.verify(bytes).await
    }

    async fn put(&self, object: NewObject, occupied: Occupied) -> Result<PayloadRef, StoreError> {
        let name = object.name.clone();
        self.try_put(object, occupied).await?.map_err(|fault| fault.as_error(&name))
    }

    async fn try_put(&self, object: NewObject, occupied: Occupied) -> Result<Result<PayloadRef, Fault>, StoreError> {
        let NewObject { name, bytes, content_type } = object;
        let wanted = Wanted { name: Arc::from(name.as_str()), size: bytes.len() as u64, sha256: Sha256::digest(&bytes).into() };
        let permits = kibibytes(wanted.size).min(kibibytes(self.settings.budget_bytes as u64));
        let _permit = self.budget.acquire_many(permits).await.map_err(|_| StoreError::Closed)?;
        let (bucket, key) = name.split_once('/').ok_or_else(|| StoreError::Engine(format!("{name:?} names no object")))?;
        let holder = self.holder(bucket);
        let put = self.retrying(|| {
            self.counts.requests.fetch_add(1, Ordering::Relaxed);
            holder.put(bucket, key, bytes.clone(), &content_type, wanted.sha256, occupied)
        });
        match put.await {
            Ok(()) => {}
            // A repeated request may meet what the first one made.
            Err(Fault::Occupied) if self.fetch(&wanted).await.is_ok() => {}
            Err(fault) => return Ok(Err(fault)),
        }
        let Wanted { size, sha256, .. } = wanted;
        self.memory.put(Wanted { name: Arc::from(name.as_str()), size, sha256 }, bytes);
        Ok(Ok(PayloadRef::Object { name, size, sha256 }))
    }

    async fn retrying<T, F: Future<Output = Result<T, Fault>>>(&self, attempt: impl FnMut() -> F) -> Result<T, Fault> {
        self.retrying_while(attempt, Fault::may_pass).await
    }

    /// Tries again, with growing pauses, what may go better the next time; gives up by number and by time.
    async fn retrying_while<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        mut attempt: impl FnMut() -> F,
        mut may_pass: impl FnMut(&Fault) -> bool,
    ) -> Result<T, Fault> {
        let settings = &self.settings;
        let give_up = tokio::time::Instant::now() + settings.give_up_after;
        let mut pause = settings.first_pause;
        for left in (0..settings.attempts.max(1)).rev() {
            let fault = match tokio::time::timeout_at(give_up, attempt()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(fault)) => fault,
                Err(_) => return Err(Fault::Unreachable("no answer in time".to_owned())),
            };
            if left == 0 || !may_pass(&fault) || tokio::time::Instant::now() + pause >= give_up {
                return Err(fault);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(Fault::Unreachable("no attempt was made".to_owned()))
    }

    /// A name that nothing has: no key of the library begins like this.
    fn new_name(&self) -> String {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        format!("{}/{OWN_PAYLOADS}/{:02x}/{}.json", self.default.1, id[0], hex(&id))
    }
}

impl Holder {
    fn of(objects: &Objects, settings: &ObjectSettings) -> Result<Self, StoreError> {
        Ok(match objects {
            Objects::Folder(folder) => Self::Folder(Folder::new(folder)),
            Objects::Service(service) => Self::S3(Box::new(S3::new(service, settings)?)),
        })
    }

    /// The object's bytes; [`Fault::Damaged`] where it is not of this size.
    async fn get(&self, bucket: &str, key: &str, size: u64) -> Result<Bytes, Fault> {
        match self {
            Self::Folder(folder) => folder.get(bucket, key, size).await,
            Self::S3(s3) => s3.get(bucket, key, size).await,
        }
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        sha256: [u8; 32],
        occupied: Occupied,
    ) -> Result<(), Fault> {
        match self {
            Self::Folder(folder) => folder.put(bucket, key, bytes, occupied).await,
            Self::S3(s3) => s3.put(bucket, key, bytes, content_type, &hex(&sha256), occupied).await,
        }
    }

    async fn probe(&self, bucket: &str) -> Result<(), Fault> {
        match self {
            Self::Folder(folder) => folder.probe(bucket).await,
            Self::S3(s3) => s3.probe(bucket).await,
        }
    }
}

/// Tells services apart without a secret.
fn identity(objects: &Objects) -> String {
    match objects {
        Objects::Folder(folder) => format!("folder {}", folder.display()),
        Objects::Service(service) => {
            format!("service {} {} {} {:?}", service.endpoint, service.region, service.path_style, service.access_key)
        }
    }
}

fn kibibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, 1 << 28)
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Runs what waits for a disk, or takes long, on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(cause) => Err(Fault::Failed(cause.to_string())),
    }
}

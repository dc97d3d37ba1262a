//! Against a real S3 server over sockets, a proxy that spoils what passes, and folders on disk.

mod folders;
mod proxy;
pub(crate) mod s3_server;
mod services;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::Secret;
use crate::config::deployment::Service;
use crate::runtime::SeededEntropy;
use crate::store::chronos::samples;

const BUCKET: &str = "s3-acme-runtime";

/// Patient enough for a busy machine, but soon done with what is refused.
pub(crate) fn settings() -> ObjectSettings {
    ObjectSettings {
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(4),
        attempts: 3,
        first_pause: Duration::from_millis(20),
        give_up_after: Duration::from_secs(15),
        ..ObjectSettings::default()
    }
}

pub(crate) fn service(address: std::net::SocketAddr) -> Objects {
    Objects::Service(Service {
        endpoint: format!("http://{address}"),
        region: "us-east-1".to_owned(),
        access_key: Secret::Plain(s3_server::ACCESS_KEY.to_owned()),
        secret_key: Secret::Plain(s3_server::SECRET_KEY.to_owned()),
        path_style: true,
    })
}

fn open(objects: Objects, settings: ObjectSettings) -> ObjectPayloads {
    let entropy = Arc::new(SeededEntropy::new(7));
    ObjectPayloads::open(&[(BUCKET.to_owned(), objects)], settings, entropy).expect("opened")
}

fn reference(name: &str, bytes: &[u8]) -> PayloadRef {
    PayloadRef::Object { name: name.to_owned(), size: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
}

/// Every object of a bucket's folder with its name, as they are on disk.
fn objects_in(bucket: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![bucket.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let key =
                    path.strip_prefix(bucket.parent().expect("a folder")).expect("below").to_str().expect("text").to_owned();
                found.push((key, std::fs::read(&path).expect("bytes")));
            }
        }
    }
    found.sort();
    assert!(found.len() > 40, "{} objects", found.len());
    found
}

fn sample() -> Vec<(String, Vec<u8>)> {
    objects_in(&samples::folder("s3-sample").join("payload").join(BUCKET))
}

fn references(objects: &[(String, Vec<u8>)]) -> Vec<PayloadRef> {
    objects.iter().map(|(name, bytes)| reference(name, bytes)).collect()
}

fn is_missing<T: std::fmt::Debug>(answer: Result<T, StoreError>, name: &str) {
    assert!(matches!(&answer, Err(StoreError::Payload { name: named }) if named == name), "{answer:?}");
}

fn is_unreachable<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unreachable)), "{answer:?}");
}

#[test]
fn the_memory_cache_keeps_its_bound_and_what_was_used_last() {
    let wanted = |n: u8| Wanted { name: Arc::from(format!("b/{n}")), size: 1000, sha256: [n; 32] };
    let cache = MemoryCache::new(8000);
    for n in 0..6 {
        cache.put(wanted(n), Bytes::from(vec![n; 1000]));
    }
    assert_eq!(cache.get(&wanted(0)), Some(Bytes::from(vec![0; 1000])));
    cache.put(wanted(6), Bytes::from(vec![6; 1000]));
    assert!(cache.get(&wanted(0)).is_some() && cache.get(&wanted(1)).is_none() && cache.get(&wanted(2)).is_some());
    cache.put(wanted(7), Bytes::from(vec![7; 3000]));
    assert!(cache.get(&wanted(7)).is_none(), "too large to be worth what it would drive out");
    assert!(cache.bytes() <= 8000);
    assert!(cache.get(&Wanted { sha256: [9; 32], ..wanted(0) }).is_none(), "the digest is part of the name");
}

#[test]
fn each_database_has_its_own_folder_in_the_cache() {
    let config = crate::config::Payloads { disk_cache: Some("/cache".into()), ..Default::default() };
    let folder = |database: &str| ObjectSettings::of(&config, database).disk_cache.map(|cache| cache.folder).expect("a cache");
    assert_ne!(folder("acme"), folder("globex"));
    for database in ["../etc", "/etc", "a/b", ""] {
        let folder = folder(database);
        assert_eq!(folder.parent(), Some(Path::new("/cache")), "{database}");
        assert!(folder.file_name().is_some_and(|name| name.len() == 16));
    }
}

//! Buckets of an S3 service, through the crate `object_store`, which signs and speaks HTTP.
//!
//! One request for one call: repeating, verifying and caching are done above.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, Error, GetOptions, ObjectStore, PutMode, PutOptions, PutPayload, RetryConfig,
};
use parking_lot::Mutex;

use super::fault::Fault;
use super::{ObjectSettings, Occupied};
use crate::config::deployment::Service;
use crate::store::StoreError;

pub(super) struct S3 {
    endpoint: String,
    path_style: bool,
    /// Everything but the bucket, which decides the endpoint too.
    builder: AmazonS3Builder,
    buckets: Mutex<HashMap<String, Arc<AmazonS3>>>,
}

impl S3 {
    pub fn new(service: &Service, settings: &ObjectSettings) -> Result<Self, StoreError> {
        let reveal = |secret: &crate::config::Secret| secret.reveal().map_err(|cause| StoreError::Engine(cause.to_string()));
        let options = ClientOptions::new()
            .with_allow_http(service.is_plain())
            .with_connect_timeout(settings.connect_timeout)
            .with_timeout(settings.request_timeout)
            .with_pool_max_idle_per_host(settings.concurrency);
        let builder = AmazonS3Builder::new()
            .with_region(&service.region)
            .with_access_key_id(reveal(&service.access_key)?)
            .with_secret_access_key(reveal(&service.secret_key)?)
            .with_client_options(options)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        let (endpoint, path_style) = (service.endpoint.clone(), service.path_style);
        Ok(Self { endpoint, path_style, builder, buckets: Mutex::default() })
    }

    /// A payload of another size is [`Fault::Damaged`], its body unread.
    pub async fn get(&self, bucket: &str, key: &str, size: u64) -> Result<Bytes, Fault> {
        let (store, path) = (self.bucket(bucket)?, path(key)?);
        let found = store.get_opts(&path, GetOptions::default()).await.map_err(fault)?;
        if found.meta.size != size {
            return Err(Fault::Damaged);
        }
        found.bytes().await.map_err(fault)
    }

    /// The metadata holds the content type too, as the library has it.
    pub async fn put(
        &self,
        bucket: &str,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        sha256: &str,
        occupied: Occupied,
    ) -> Result<(), Fault> {
        let (store, path) = (self.bucket(bucket)?, path(key)?);
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, content_type.to_owned().into());
        attributes.insert(Attribute::Metadata("content-type".into()), content_type.to_owned().into());
        attributes.insert(Attribute::Metadata("sha256".into()), sha256.to_owned().into());
        let mode = match occupied {
            Occupied::Replace => PutMode::Overwrite,
            Occupied::Refuse => PutMode::Create,
        };
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        store.put_opts(&path, PutPayload::from_bytes(bytes), options).await.map(|_| ()).map_err(fault)
    }

    /// An object that is not there is answer enough; a bucket that is not there is missing.
    pub async fn probe(&self, bucket: &str) -> Result<(), Fault> {
        // Not by listing: only that would have the crate parse XML, with a library that is better not given any.
        match self.bucket(bucket)?.get_opts(&path("__probe__")?, GetOptions::default()).await {
            Err(Error::NotFound { source, .. }) if brief(&*source).contains("NoSuchBucket") => Err(Fault::Missing),
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(fault(cause)),
        }
    }

    fn bucket(&self, bucket: &str) -> Result<Arc<AmazonS3>, Fault> {
        if let Some(store) = self.buckets.lock().get(bucket) {
            return Ok(store.clone());
        }
        let builder = self.builder.clone().with_bucket_name(bucket);
        let builder = match self.with_host_of(bucket) {
            Some(endpoint) => builder.with_endpoint(endpoint).with_virtual_hosted_style_request(true),
            None => builder.with_endpoint(&self.endpoint).with_virtual_hosted_style_request(false),
        };
        let store = Arc::new(builder.build().map_err(|cause| Fault::Failed(cause.to_string()))?);
        self.buckets.lock().insert(bucket.to_owned(), store.clone());
        Ok(store)
    }

    /// The endpoint with the bucket in its host, where a bucket can be there: as the AWS clients decide it.
    pub fn with_host_of(&self, bucket: &str) -> Option<String> {
        let (scheme, host) = self.endpoint.split_once("://")?;
        let name = host.split([':', '/']).next().unwrap_or(host);
        let is_domain = name.contains('.') && name.contains(|c: char| c.is_ascii_alphabetic());
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (3..=63).contains(&bucket.len()) && bucket.chars().all(label);
        (!self.path_style && is_domain && fits).then(|| format!("{scheme}://{bucket}.{host}"))
    }
}

impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3").field("endpoint", &self.endpoint).field("path_style", &self.path_style).finish_non_exhaustive()
    }
}

/// Taken as it is; a key that the crate would change has no object.
fn path(key: &str) -> Result<Path, Fault> {
    Path::parse(key).ok().filter(|path| path.as_ref() == key).ok_or(Fault::Missing)
}

fn fault(cause: Error) -> Fault {
    match cause {
        Error::NotFound { .. } => Fault::Missing,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => Fault::Occupied,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Fault::Failed("the service refused access".to_owned()),
        Error::InvalidPath { .. } => Fault::Missing,
        Error::NotSupported { .. } | Error::NotImplemented { .. } | Error::UnknownConfigurationKey { .. } => {
            Fault::Failed(brief(&cause))
        }
        // Whatever else came back, or did not.
        _ => Fault::Unreachable(brief(&cause)),
    }
}

/// The cause and what was below it, without the pages some services answer with.
fn brief(cause: &dyn std::error::Error) -> String {
    let mut text = cause.to_string();
    let mut below = cause.source();
    while let Some(cause) = below {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        below = cause.source();
    }
    text.chars().take(500).collect()
}

//! The contract of a place for payloads: the bytes of versions, written once and never changed.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;

/// Where the bytes of one version are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadRef {
    /// In the index itself, beside the version: read and committed with it.
    Inline(Bytes),
    /// In a payload store, under this name. Size and digest are checked on every read.
    Object { name: String, size: u64, sha256: [u8; 32] },
}

impl PayloadRef {
    /// What it is called in errors.
    pub fn name(&self) -> &str {
        match self {
            Self::Inline(_) => "(inline)",
            Self::Object { name, .. } => name,
        }
    }
}

/// Immutable bytes by reference.
///
/// `put` happens before the index commit that points to the result. What is put and never pointed to is
/// garbage, what is pointed to is never removed.
#[async_trait]
pub trait PayloadStore: Send + Sync + Debug {
    /// Makes these payloads durable (an inline store leaves that to the index commit) and returns where
    /// each is, in order. All or an error.
    async fn put(&self, payloads: Vec<Bytes>) -> Result<Vec<PayloadRef>, StoreError>;

    /// The bytes of each reference, in order; [`StoreError::Payload`] names the first that is missing or
    /// does not match its size and digest.
    async fn get(&self, refs: &[PayloadRef]) -> Result<Vec<Bytes>, StoreError>;
}

/// The bytes of each reference, in order; `None` for those that are missing or damaged.
pub async fn readable(payloads: &dyn PayloadStore, refs: &[PayloadRef]) -> Result<Vec<Option<Bytes>>, StoreError> {
    match payloads.get(refs).await {
        Ok(all) => Ok(all.into_iter().map(Some).collect()),
        Err(StoreError::Payload { .. }) => {
            let mut some = Vec::with_capacity(refs.len());
            for one in refs {
                some.push(match payloads.get(std::slice::from_ref(one)).await {
                    Ok(bytes) => bytes.into_iter().next(),
                    Err(StoreError::Payload { name }) => {
                        tracing::warn!(name, "a payload is missing or damaged");
                        None
                    }
                    Err(error) => return Err(error),
                });
            }
            Ok(some)
        }
        Err(error) => Err(error),
    }
}

/// Keeps every payload in the index: the embedded default.
#[derive(Clone, Copy, Debug, Default)]
pub struct InlinePayloads;

#[async_trait]
impl PayloadStore for InlinePayloads {
    async fn put(&self, payloads: Vec<Bytes>) -> Result<Vec<PayloadRef>, StoreError> {
        Ok(payloads.into_iter().map(PayloadRef::Inline).collect())
    }

    async fn get(&self, refs: &[PayloadRef]) -> Result<Vec<Bytes>, StoreError> {
        refs.iter()
            .map(|r| match r {
                PayloadRef::Inline(bytes) => Ok(bytes.clone()),
                PayloadRef::Object { name, .. } => Err(StoreError::Payload { name: name.clone() }),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn inline_payloads_keep_the_contract() {
        crate::store::conformance::payloads::all(&super::InlinePayloads).await;
    }
}

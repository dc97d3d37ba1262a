//! Why an object could not be read or made, and whether asking again may help.

use crate::store::StoreError;

#[derive(Debug)]
pub(super) enum Fault {
    /// No such object.
    Missing,
    /// Another size or digest than the index gives.
    Damaged,
    /// An object of this name exists.
    Occupied,
    /// No answer, or one that makes no sense. The text is for the log.
    Unreachable(String),
    /// No space left.
    Full,
    /// It answers, and will say the same the next time. The text is for the log.
    Failed(String),
}

impl Fault {
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Missing | Self::Damaged | Self::Occupied | Self::Full | Self::Failed(_) => false,
        }
    }

    /// What callers are told; the cause goes to the log here.
    pub fn as_error(&self, name: &str) -> StoreError {
        match self {
            Self::Missing | Self::Damaged => {
                tracing::warn!(name, fault = ?self, "a payload cannot be read");
                StoreError::Payload { name: name.to_owned() }
            }
            Self::Unreachable(cause) => {
                tracing::warn!(name, cause, "an object store does not answer");
                StoreError::Unreachable
            }
            Self::Full => StoreError::Full,
            Self::Occupied => StoreError::Engine(format!("object {name:?} exists and holds something else")),
            Self::Failed(cause) => StoreError::Engine(format!("object {name:?}: {cause}")),
        }
    }
}

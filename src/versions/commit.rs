//! An atomic set of row changes, and what is remembered about it.

use serde::{Deserialize, Serialize};

use super::{CommitNo, Timestamp};

/// Number and time of a commit: one names the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitStamp {
    pub commit: CommitNo,
    pub time: Timestamp,
}

/// Who made a commit, through what, and why. Kept with the commit for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The role that the connection was authenticated as.
    pub user: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub application_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_address: String,
    /// `chronogate.actor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// `chronogate.reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `chronogate.context`: a JSON object's text, valid JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// One row of the commit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    pub stamp: CommitStamp,
    pub context: Context,
    /// Names of the tables it changed, as they were called then, `schema.table`, sorted.
    pub tables: Vec<String>,
    /// How many items it changed.
    pub rows: u64,
}

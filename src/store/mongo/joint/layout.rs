//! Where and how versions of collections that the library writes too are laid out.
//!
//! Plain data, from a deployment's configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::deployment::CollectionMap;
use crate::store::ObjectPayloads;
use crate::store::chronos::counters::Rule;
use crate::store::chronos::json::Form;

/// How long a lock outlives the commit it was taken for. A writer of the library that read a head just before that commit
/// would else lock the item just after it, and then write over the new payload and remove it.
pub const LINGER: Duration = Duration::from_millis(250);

/// What writing to collections of the library needs to know.
#[derive(Clone, Debug)]
pub struct Layout {
    pub objects: ObjectPayloads,
    /// By the schema of the place. Collections of other places are only read.
    pub places: BTreeMap<String, PlaceLayout>,
    /// By the collection's name.
    pub collections: BTreeMap<String, CollectionMap>,
    /// By which writes are counted, beside all of them.
    pub rules: Vec<Rule>,
    /// See [`LINGER`].
    pub linger: Duration,
}

#[derive(Clone, Debug)]
pub struct PlaceLayout {
    pub bucket: String,
    /// Of base64 properties.
    pub content_bucket: String,
    pub form: Form,
    /// Where the library counts writes; it does so for a tenant's own data only.
    pub counters: Option<Counters>,
}

#[derive(Clone, Debug)]
pub struct Counters {
    /// A MongoDB database of the same server.
    pub database: String,
    pub tenant: String,
}

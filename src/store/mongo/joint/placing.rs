//! Payloads of new versions: what the library's layout makes of a row's document, put where it belongs.
//!
//! No object is ever written over. Where one of the usual name is there already, though no version points to it (a write that
//! failed left it, or one that takes no lock is on its way), the new one gets a name with the time in place of the number.

use futures::{FutureExt, StreamExt, TryStreamExt};
use mongodb::bson::RawDocumentBuf;
use mongodb::bson::oid::ObjectId;

use super::documents;
use super::layout::{Layout, PlaceLayout};
use crate::config::deployment::CollectionMap;
use crate::store::chronos::base64_props::{self, Blob, Owner};
use crate::store::chronos::json::{self, Json, Object};
use crate::store::chronos::system::{self, Lineage};
use crate::store::chronos::{keys, meta};
use crate::store::mongo::home::Home;
use crate::store::{NewObject, PayloadRef, StoreError};

/// How many documents of one request are put at a time; the objects' own limits come on top.
const AT_ONCE: usize = 64;

/// A new version's document with everything that its bytes depend on.
#[derive(Debug)]
pub struct Draft<'d> {
    pub layout: &'d Layout,
    pub place: &'d PlaceLayout,
    pub home: &'d Home,
    pub id: ObjectId,
    pub number: u64,
    /// When the item was created, in milliseconds; `None` for one that is new.
    pub created: Option<i64>,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// A JSON object; a `_system` in it gives way to a new one.
    pub document: &'d [u8],
}

/// A version's payload, as it is stored.
#[derive(Debug)]
pub struct Placed {
    pub number: u64,
    pub at: i64,
    pub payload: PayloadRef,
    pub meta: RawDocumentBuf,
}

/// Puts the payloads of one request, each with what it refers to before it. All or an error; what was put stays.
pub async fn place(drafts: Vec<Draft<'_>>) -> Result<Vec<Placed>, StoreError> {
    let puts: Vec<_> = drafts.into_iter().map(|draft| async move { draft.place().await }.boxed()).collect();
    futures::stream::iter(puts).buffered(AT_ONCE).try_collect().await
}

/// A payload before it is put.
struct Rendered {
    object: Object,
    meta: RawDocumentBuf,
}

impl Draft<'_> {
    async fn place(&self) -> Result<Placed, StoreError> {
        let rendered = self.render()?;
        let usual = i64::try_from(self.number).map_err(|_| StoreError::Unsupported("so great a version number"))?;
        let payload = match self.put(&rendered.object, usual).await? {
            Some(payload) => payload,
            None => self.put(&rendered.object, self.at.max(0)).await?.ok_or_else(|| occupied(self))?,
        };
        Ok(Placed { number: self.number, at: self.at, payload, meta: rendered.meta })
    }

    fn render(&self) -> Result<Rendered, StoreError> {
        let object = match json::parse(self.document) {
            Ok(Json::Object(object)) => object,
            Ok(_) | Err(_) => return Err(StoreError::Unfit("a document must be a JSON object".to_owned())),
        };
        let nothing = CollectionMap::default();
        let map = self.map().unwrap_or(&nothing);
        if let Some(path) = meta::missing_required(&map.required, &object) {
            return Err(StoreError::Unfit(format!(
                "property \"{path}\" must have a value in collection \"{}\"",
                self.home.collection
            )));
        }
        let indexed = meta::document(&meta::extract(&self.layout.indexed(self.home), &object))
            .map_err(|cause| StoreError::Unfit(cause.to_string()))?;
        let header = match self.created {
            None => system::created(self.at, &Lineage::default()),
            Some(created) => system::updated(object.get("_system"), created, self.at),
        };
        Ok(Rendered { object: system::with_header(object, header), meta: documents::meta(indexed)? })
    }

    fn map(&self) -> Option<&CollectionMap> {
        self.layout.collections.get(&self.home.collection)
    }

    /// Puts everything under names with this number; `None` when one of them is taken.
    async fn put(&self, object: &Object, number: i64) -> Result<Option<PayloadRef>, StoreError> {
        let id = self.id.to_hex();
        let owner =
            Owner { collection: &self.home.collection, id: &id, version: number, content_bucket: &self.place.content_bucket };
        let properties = self.map().map_or(&[][..], |map| &map.base64);
        let externalized = base64_props::externalize(object.clone(), properties, owner);
        let (object, blobs) = externalized.map_err(|cause| StoreError::Unfit(cause.to_string()))?;
        for blob in blobs.into_iter().flat_map(|blob| self.objects_of(blob)) {
            if self.layout.objects.put_new(blob).await?.is_none() {
                return Ok(None);
            }
        }
        let key = keys::payload(&self.home.collection, &id, number).map_err(|cause| StoreError::Unfit(cause.to_string()))?;
        let text = Json::Object(object).written(self.place.form);
        self.layout.objects.put_new(NewObject::json(format!("{}/{key}", self.place.bucket), text)).await
    }

    fn objects_of(&self, blob: Blob) -> Vec<NewObject> {
        let named = |key: &str| format!("{}/{key}", self.place.content_bucket);
        let bytes = NewObject { name: named(&blob.key), bytes: blob.bytes.into(), content_type: blob.content_type };
        let text = blob.text.map(|(key, text)| NewObject {
            name: named(&key),
            bytes: text.into(),
            content_type: "text/plain; charset=utf-8".to_owned(),
        });
        std::iter::once(bytes).chain(text).collect()
    }
}

fn occupied(draft: &Draft<'_>) -> StoreError {
    StoreError::Engine(format!("{}: names for version {} of {} are taken", draft.home.collection, draft.number, draft.id))
}

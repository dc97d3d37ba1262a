//! Items of the library's collections: their documents as values that [`Life`] understands, and what a reader of some
//! scope sees of an item.
//!
//! A head that nothing speaks against is believed alone; else all of the item's versions are asked.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawBsonRef, doc};

use super::Core;
use super::home::{Home, Own};
use super::row;
use super::server::Namespace;
use crate::store::chronos::life::{self, Life, Presence, Row, Written};
use crate::store::{PayloadRef, PayloadStore, StoreError, StoredVersion};
use crate::versions::{
    CommitNo, ItemKey, KeyFilter, KeyPart, Op, Period, Scope, Snapshot, Timestamp, Version, VersionNo, encode_key,
};

/// How many items' versions one query asks for.
pub const ITEMS: usize = if cfg!(test) { 20 } else { 200 };

const ID_DIGITS: usize = 24;

/// The key of the item with this id.
pub fn key_of(id: ObjectId) -> ItemKey {
    encode_key([KeyPart::Text(&id.to_hex())])
}

/// The id that a key is of; `None` for a key that no item has.
pub fn id_of(key: &ItemKey) -> Option<ObjectId> {
    let [0x01, digits @ .., 0, 0] = key.as_bytes() else { return None };
    let text = std::str::from_utf8(digits).ok().filter(|text| !text.bytes().any(|b| b.is_ascii_uppercase()))?;
    ObjectId::parse_str(text).ok().filter(|_| text.len() == ID_DIGITS)
}

/// Ids of the items that a filter may name: a superset.
pub fn range_of(keys: &KeyFilter) -> Document {
    let KeyFilter::Range { low, high } = keys else { return Document::new() };
    let mut range = Document::new();
    if let Some(id) = edge(low, '0') {
        range.insert("$gte", id);
    }
    if let Some(id) = edge(high, 'f') {
        range.insert("$lte", id);
    }
    range
}

/// An id at or beyond a bound: as many of the bound's digits as are some, and then `rest`.
fn edge(bound: &Bound<ItemKey>, rest: char) -> Option<ObjectId> {
    let (Bound::Included(key) | Bound::Excluded(key)) = bound else { return None };
    let digits = key.as_bytes().iter().skip(1).take(ID_DIGITS).map(|b| char::from(*b));
    let mut text: String = digits.take_while(|c| matches!(c, '0'..='9' | 'a'..='f')).collect();
    while text.len() < ID_DIGITS {
        text.push(rest);
    }
    ObjectId::parse_str(text).ok()
}

/// What of a head or version is read.
pub fn columns() -> Document {
    doc! { "metaIndexed": 0, "fullShadow": 0 }
}

/// A head, as far as it can be believed alone.
pub struct ObjectHead {
    pub id: ObjectId,
    head: life::Head<PayloadRef>,
    written: Option<(CommitNo, Timestamp, Op)>,
}

/// What a head alone tells a reader of the present.
pub enum Told {
    State(Box<StoredVersion>),
    /// The versions have to be asked.
    Unclear,
}

impl ObjectHead {
    pub fn read(own: &Own, ns: &Namespace, bytes: &Bytes) -> Result<Self, StoreError> {
        let document = row::Document::new(ns, bytes)?;
        let deleted = match document.get("deletedAt") {
            None | Some(RawBsonRef::Null) => None,
            Some(_) => Some(document.date("deletedAt")?),
        };
        let head = life::Head {
            number: document.counted("ov")?,
            cv: document.number("cv")?,
            created: document.date("createdAt")?,
            updated: document.date("updatedAt")?,
            deleted,
            payload: pointer(&document)?,
        };
        let written = written(own, &document)?;
        Ok(Self { id: document.id("_id")?, head, written })
    }

    pub fn number(&self) -> u64 {
        self.head.number
    }

    /// When it was created, and changed last, in milliseconds.
    pub fn created(&self) -> i64 {
        self.head.created
    }

    pub fn updated(&self) -> i64 {
        self.head.updated
    }

    pub fn is_deleted(&self) -> bool {
        self.head.deleted.is_some()
    }

    pub fn payload(&self) -> &PayloadRef {
        &self.head.payload
    }

    /// Commit, time and op of the newest change, where it is ours.
    pub fn written(&self) -> Option<(CommitNo, Timestamp, Op)> {
        self.written
    }

    /// The item's state at the present of a snapshot. Unclear for what was deleted (it may have been restored since), for
    /// restored and newer items, and where several versions may have been written within one millisecond.
    pub fn tell(&self, snapshot: Snapshot) -> Told {
        let number = self.head.number;
        let (begun, from, op) = match self.written {
            Some(written) => written,
            None => {
                let from = Timestamp::from_micros(self.head.updated.saturating_mul(1000));
                let begun = CommitNo(u64::try_from(from.micros()).unwrap_or(0).max(1));
                (begun, from, if number == 0 { Op::Create } else { Op::Update })
            }
        };
        let own_payload = match &self.head.payload {
            PayloadRef::Object { name, .. } => name.ends_with(&format!("/{}/v{number}/item.json", self.id.to_hex())),
            PayloadRef::Inline(_) => true,
        };
        let at_once = number > 0 && self.head.created == self.head.updated;
        // Of what we wrote the head says all.
        let is_open = self.written.is_none() && (!own_payload || at_once);
        if self.head.deleted.is_some() || op.ends_item() || is_open || begun > snapshot.commit {
            return Told::Unclear;
        }
        let collection = u64::try_from(self.head.cv).ok();
        let version = Version { number: VersionNo(number), op, period: Period { from, begun, end: None }, collection };
        Told::State(Box::new(StoredVersion { key: key_of(self.id), version, payload: self.head.payload.clone() }))
    }
}

/// What we say of a change, if it is this database's: the library carries `cg` along when it changes a document, and then
/// it is about another `cv`.
pub fn written(own: &Own, document: &row::Document<'_>) -> Result<Option<(CommitNo, Timestamp, Op)>, StoreError> {
    if document.get("cg").is_none() {
        return Ok(None);
    }
    let cg = document.part("cg")?;
    if cg.text("h")? != own.home() || cg.number("v")? != document.number("cv")? {
        return Ok(None);
    }
    Ok(Some((cg.commit("n")?, cg.time("t")?, cg.op("o")?)))
}

/// Where a document's payload is. What has neither size nor digest cannot be checked, and fails as damaged when fetched.
pub fn pointer(document: &row::Document<'_>) -> Result<PayloadRef, StoreError> {
    let is_told = |name: &str| !matches!(document.get(name), None | Some(RawBsonRef::Null));
    if is_told("jsonKey") && !(is_told("size") && is_told("checksum")) {
        let bucket = document.text("jsonBucket")?;
        let name = format!("{bucket}/{}", document.text("jsonKey")?);
        return Ok(PayloadRef::Object { name, size: 0, sha256: [0; 32] });
    }
    if let Some(object) = document.object()? {
        return Ok(object);
    }
    match document.part("cg")?.get("p") {
        Some(RawBsonRef::Binary(binary)) => Ok(PayloadRef::Inline(document.bytes.slice_ref(binary.bytes))),
        _ => Err(document.corrupt("jsonKey")),
    }
}

/// The documents of one item, as they are gathered.
#[derive(Default)]
pub struct Item {
    pub rows: Vec<Row<PayloadRef>>,
    pub head: Option<life::Head<PayloadRef>>,
}

/// Items by id, in the order of their keys.
pub type Items = BTreeMap<[u8; 12], Item>;

/// Adds a version document; whose it is.
pub fn add_row(own: &Own, items: &mut Items, ns: &Namespace, bytes: &Bytes) -> Result<[u8; 12], StoreError> {
    let document = row::Document::new(ns, bytes)?;
    let id = document.id("itemId")?.bytes();
    let (op, written) = match written(own, &document)? {
        Some((commit, from, op)) => (op, Written::Ours { commit, from }),
        None => (op_of(&document)?, Written::Library { millis: document.date("at")? }),
    };
    let payload = if op.ends_item() { row::no_payload() } else { pointer(&document)? };
    let (number, cv) = (document.counted("ov")?, document.number("cv")?);
    items.entry(id).or_default().rows.push(Row { number, cv, op, written, presence: Presence::Unknown, payload });
    Ok(id)
}

pub fn add_head(items: &mut Items, head: ObjectHead) {
    items.entry(head.id.bytes()).or_default().head = Some(head.head);
}

fn op_of(document: &row::Document<'_>) -> Result<Op, StoreError> {
    match document.text("op")? {
        "CREATE" => Ok(Op::Create),
        "UPDATE" => Ok(Op::Update),
        "DELETE" => Ok(Op::Delete),
        "RESTORE" => Ok(Op::Restore),
        _ => Err(document.corrupt("op")),
    }
}

impl Item {
    /// The item's life. Where rows compete for a number, `payloads` is asked which of theirs are there.
    pub async fn live(mut self, payloads: Option<&Arc<dyn PayloadStore>>) -> Result<Life<PayloadRef>, StoreError> {
        if let Some(payloads) = payloads {
            let contested = life::contested(&self.rows);
            for row in self.rows.iter_mut().filter(|row| !row.op.ends_item() && contested.contains(&row.number)) {
                row.presence = match payloads.get(std::slice::from_ref(&row.payload)).await {
                    Ok(_) => Presence::There,
                    Err(StoreError::Payload { .. }) => Presence::Missing,
                    Err(other) => return Err(other),
                };
            }
        }
        Ok(Life::of(self.rows, self.head.as_ref()))
    }
}

/// The states of a life that a reader sees.
pub fn seen(id: [u8; 12], life: Life<PayloadRef>, (scope, snapshot): (Scope, Snapshot)) -> impl Iterator<Item = StoredVersion> {
    let key = key_of(ObjectId::from_bytes(id));
    life.states.into_iter().filter_map(move |state| {
        let mut version = state.version;
        if !version.period.is_visible(scope, snapshot) {
            return None;
        }
        version.period = version.period.under(snapshot)?;
        Some(StoredVersion { key: key.clone(), version, payload: state.payload })
    })
}

/// The documents of these items, in one round trip.
pub async fn items(core: &Core, home: &Home, ids: &[ObjectId]) -> Result<Items, StoreError> {
    let mut items = Items::new();
    for ids in ids.chunks(ITEMS) {
        let wanted = match ids {
            [one] => doc! { "$eq": one },
            many => doc! { "$in": many },
        };
        let heads = vec![doc! { "$match": { "_id": wanted.clone() } }];
        let pipeline = vec![
            doc! { "$match": { "itemId": wanted } },
            doc! { "$unionWith": { "coll": &home.heads.collection, "pipeline": heads } },
            doc! { "$project": columns() },
        ];
        for bytes in core.server.aggregate(&home.versions, pipeline).await? {
            let is_version = row::Document::new(&home.versions, &bytes)?.get("op").is_some();
            match is_version {
                true => drop(add_row(&core.own, &mut items, &home.versions, &bytes)?),
                false => add_head(&mut items, ObjectHead::read(&core.own, &home.heads, &bytes)?),
            }
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ids_in_hexadecimal_and_nothing_else() {
        let id = ObjectId::parse_str("6b01561105c832cf9e2cf9c2").unwrap();
        assert_eq!(id_of(&key_of(id)), Some(id));
        for text in
            ["", "6b01561105c832cf9e2cf9c", "6b01561105c832cf9e2cf9c22", "6B01561105C832CF9E2CF9C2", "gb01561105c832cf9e2cf9c2"]
        {
            assert_eq!(id_of(&encode_key([KeyPart::Text(text)])), None, "{text}");
        }
        assert_eq!(id_of(&encode_key([KeyPart::Int(7)])), None);
    }

    #[test]
    fn a_range_of_keys_loses_no_id() {
        let ids =
            ["000000000000000000000000", "6b01561105c832cf9e2cf9c2", "a00000000000000000000000", "ffffffffffffffffffffffff"];
        let ids = ids.map(|text| ObjectId::parse_str(text).unwrap());
        let bounds = ["", "6", "6b01561105c832cf9e2cf9c2", "6B", "zz", "a", "f", "0", "\u{ff}"];
        for low in bounds {
            for high in bounds {
                let bound = |text: &str| Bound::Included(encode_key([KeyPart::Text(text)]));
                let keys = KeyFilter::Range { low: bound(low), high: bound(high) };
                let range = range_of(&keys);
                for id in ids.into_iter().filter(|id| keys.contains(&key_of(*id))) {
                    let above = range.get_object_id("$gte").is_ok_and(|low| low.bytes() <= id.bytes());
                    let below = range.get_object_id("$lte").is_ok_and(|high| high.bytes() >= id.bytes());
                    assert!(above && below, "{low}..{high} loses {id}");
                }
            }
        }
    }
}

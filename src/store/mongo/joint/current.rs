//! Items as their next versions have to know them: read from heads, and from all versions where a head does not tell.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, RawBsonRef, RawDocumentBuf, doc};

use crate::store::StoreError;
use crate::store::chronos::Written as WrittenBy;
use crate::store::mongo::Core;
use crate::store::mongo::home::Home;
use crate::store::mongo::library;
use crate::store::mongo::object::{self, Items, ObjectHead};
use crate::store::mongo::row::{self, Head};
use crate::store::mongo::server::{Find, Namespace, Server, Transaction, Trouble};
use crate::versions::{CommitNo, CommitStamp, ItemKey, Op};

/// How many items one query asks for.
const SOME: usize = if cfg!(test) { 20 } else { 500 };

/// An item that has versions.
#[derive(Clone, Debug)]
pub struct Current {
    /// Its newest version, whatever the head says.
    pub head: Head,
    /// The head document's number; `None` where there is no head.
    pub head_number: Option<i64>,
    /// `metaIndexed` of the newest version.
    pub meta: RawDocumentBuf,
    /// When the library would say that it was changed last, in milliseconds.
    pub updated: i64,
    /// Every commit of the item's next versions is greater.
    pub newest: CommitStamp,
    /// Whether the library wrote it last.
    pub by_library: bool,
}

/// What is read through.
pub enum Source<'s, 't> {
    Server(&'s Server),
    Transaction(&'s mut Transaction<'t>),
}

impl Source<'_, '_> {
    pub(super) async fn find(&mut self, ns: &Namespace, find: Find) -> Result<Vec<Bytes>, Trouble> {
        match self {
            Self::Server(server) => Ok(server.find(ns, find).await?),
            Self::Transaction(transaction) => transaction.find(ns, find).await,
        }
    }
}

/// Those of these items that have a head or versions.
pub async fn read(
    core: &Core,
    source: &mut Source<'_, '_>,
    home: &Home,
    keys: impl Iterator<Item = &ItemKey>,
) -> Result<Vec<(ItemKey, Current)>, Trouble> {
    let ids: Vec<ObjectId> = keys.filter_map(object::id_of).collect();
    let mut found = Vec::with_capacity(ids.len());
    for some in ids.chunks(SOME) {
        let items = read_some(core, source, home, some).await?;
        found.extend(items.into_iter().map(|(id, current)| (object::key_of(ObjectId::from_bytes(id)), current)));
    }
    Ok(found)
}

type Currents = BTreeMap<[u8; 12], Current>;

async fn read_some(core: &Core, source: &mut Source<'_, '_>, home: &Home, ids: &[ObjectId]) -> Result<Currents, Trouble> {
    let find = Find::new(doc! { "_id": { "$in": ids } }).only(doc! { "fullShadow": 0 });
    let mut documents: HashMap<[u8; 12], Bytes> = HashMap::new();
    let mut found = Currents::new();
    let mut unclear: Vec<ObjectId> = Vec::new();
    let mut newer: Vec<Document> = Vec::new();
    for bytes in source.find(&home.heads, find).await? {
        let head = ObjectHead::read(&core.own, &home.heads, &bytes)?;
        newer.push(doc! { "itemId": head.id, "ov": { "$gt": row::stored(head.number()) } });
        match of_head(home, &head, &bytes)? {
            Some(current) => drop(found.insert(head.id.bytes(), current)),
            None => unclear.push(head.id),
        }
        documents.insert(head.id.bytes(), bytes);
    }
    let headless: Vec<ObjectId> = ids.iter().filter(|id| !documents.contains_key(&id.bytes())).copied().collect();
    if !headless.is_empty() {
        newer.push(doc! { "itemId": { "$in": headless } });
    }
    // A write that did not finish, or one that took no lock, leaves versions that the head does not know of.
    let find = Find::new(doc! { "$or": newer }).only(doc! { "itemId": 1 });
    for bytes in source.find(&home.versions, find).await? {
        unclear.push(row::Document::new(&home.versions, &bytes)?.id("itemId")?);
    }
    unclear.sort_unstable_by_key(|id| id.bytes());
    unclear.dedup();
    if !unclear.is_empty() {
        found.extend(lives(core, source, home, &unclear, &documents).await?);
    }
    Ok(found)
}

/// What a head alone tells; nothing about what the library deleted.
fn of_head(home: &Home, head: &ObjectHead, bytes: &Bytes) -> Result<Option<Current>, StoreError> {
    let document = row::Document::new(&home.heads, bytes)?;
    let (stamp, op) = match head.written() {
        Some((commit, time, op)) => (CommitStamp { commit, time }, op),
        None if head.is_deleted() => return Ok(None),
        None => (library::end_of_millis(head.updated()), if head.number() == 0 { Op::Create } else { Op::Update }),
    };
    Ok(Some(Current {
        head: newest(head.id, (head.number(), op, stamp), head.created(), head.payload().clone()),
        head_number: Some(row::stored(head.number())),
        meta: meta(&document),
        updated: head.updated(),
        newest: stamp,
        by_library: head.written().is_none(),
    }))
}

fn newest(id: ObjectId, (number, op, stamp): (u64, Op, CommitStamp), created_at: i64, payload: crate::store::PayloadRef) -> Head {
    Head {
        id,
        number,
        op,
        changed: stamp.commit,
        time: stamp.time,
        begun: stamp.commit,
        first: CommitNo::ZERO,
        created_at,
        payload,
    }
}

fn meta(document: &row::Document<'_>) -> RawDocumentBuf {
    let meta = document.get("metaIndexed").and_then(RawBsonRef::as_document);
    meta.map_or_else(RawDocumentBuf::new, |meta| meta.to_owned())
}

/// Items as all of their versions tell.
async fn lives(
    core: &Core,
    source: &mut Source<'_, '_>,
    home: &Home,
    ids: &[ObjectId],
    heads: &HashMap<[u8; 12], Bytes>,
) -> Result<Currents, Trouble> {
    let mut items = Items::new();
    let mut metas: HashMap<([u8; 12], u64), RawDocumentBuf> = HashMap::new();
    let find = Find::new(doc! { "itemId": { "$in": ids } });
    for bytes in source.find(&home.versions, find).await? {
        let document = row::Document::new(&home.versions, &bytes)?;
        let id = object::add_row(&core.own, &mut items, &home.versions, &bytes)?;
        metas.insert((id, document.counted("ov")?), meta(&document));
    }
    for bytes in ids.iter().filter_map(|id| heads.get(&id.bytes())) {
        let head = ObjectHead::read(&core.own, &home.heads, bytes)?;
        metas.insert((head.id.bytes(), head.number()), meta(&row::Document::new(&home.heads, bytes)?));
        object::add_head(&mut items, head);
    }
    let mut found = Currents::new();
    for (id, item) in items {
        let head = item.head.clone();
        let newest_row = item.rows.iter().max_by_key(|row| row.number);
        let by_library = newest_row.is_none_or(|row| matches!(row.written, WrittenBy::Library { .. }));
        let life = item.live(core.payloads.as_ref()).await?;
        let Some(step) = life.newest else { continue };
        let state = life.states.last();
        let first = life.states.first().map_or(step.from, |state| state.version.period.from);
        let payload = state.map(|state| state.payload.clone()).or_else(|| head.as_ref().map(|head| head.payload.clone()));
        let stamp = CommitStamp { commit: step.commit, time: step.from };
        let created = head.as_ref().map_or_else(|| row::millis(first), |head| head.created);
        let newest =
            newest(ObjectId::from_bytes(id), (step.number.0, step.op, stamp), created, payload.unwrap_or_else(row::no_payload));
        let updated = head.as_ref().map_or(i64::MIN, |head| head.updated).max(row::millis(step.from));
        let current = Current {
            head: newest,
            head_number: head.as_ref().map(|head| row::stored(head.number)),
            meta: metas.remove(&(id, step.number.0)).unwrap_or_default(),
            updated,
            newest: if by_library { stamp.max(library::end_of_millis(updated)) } else { stamp },
            by_library,
        };
        found.insert(id, current);
    }
    Ok(found)
}

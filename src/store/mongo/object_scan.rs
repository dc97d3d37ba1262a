//! Scans of the library's collections, in order of ids, which is that of keys.
//!
//! The present is read from heads, and from versions only for items whose heads leave something open. Everything else is
//! read from heads and versions of the same span of ids.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};

use super::home::Home;
use super::members;
use super::object::{self, Items, ObjectHead, Told};
use super::server::Find;
use super::{Core, object::ITEMS};
use crate::store::{Candidates, ScanRequest, StoreError, StoredVersion};
use crate::versions::{ItemKey, KeyFilter, Scope, Snapshot};

/// How far a scan of ids has come.
#[derive(Debug, Default)]
pub struct Position {
    /// Everything up to this id, inclusive, has been returned.
    pub after: Option<ObjectId>,
    /// How many of the request's points have been read.
    pub points: usize,
}

/// The states that the request sees of about `rows` documents, and whether there may be more.
pub async fn piece(
    core: &Core,
    home: &Home,
    request: &ScanRequest,
    position: &mut Position,
    rows: usize,
) -> Result<(Vec<StoredVersion>, bool), StoreError> {
    let view = (request.scope, request.snapshot);
    let wanted = match &request.candidates {
        Some(Candidates::Members(filters)) => members::conditions(filters),
        Some(Candidates::Index(_)) | None => None,
    };
    let is_present = super::reader::Moment::of(request.scope, request.snapshot).is_some_and(|moment| moment.is_present);
    let (mut states, more) = match &request.keys {
        KeyFilter::Points(keys) => {
            let some: Vec<ItemKey> = keys.iter().skip(position.points).take(ITEMS).cloned().collect();
            position.points += some.len();
            let more = position.points < keys.len();
            (points(core, home, &some, view, is_present).await?, more)
        }
        KeyFilter::All | KeyFilter::Range { .. } if is_present => present(core, home, request, wanted, position, rows).await?,
        KeyFilter::All | KeyFilter::Range { .. } => match wanted {
            Some(wanted) => wanted_lives(core, home, request, wanted, position, rows).await?,
            None => lives(core, home, request, position, rows).await?,
        },
    };
    states.retain(|state| request.keys.contains(&state.key));
    Ok((states, more))
}

/// The states of these items, in order.
pub async fn points(
    core: &Core,
    home: &Home,
    keys: &[ItemKey],
    view: (Scope, Snapshot),
    is_present: bool,
) -> Result<Vec<StoredVersion>, StoreError> {
    let mut ids: Vec<ObjectId> = keys.iter().filter_map(object::id_of).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut states = Vec::with_capacity(ids.len());
    if is_present {
        let wanted = match ids.as_slice() {
            [one] => doc! { "_id": one },
            many => doc! { "_id": { "$in": many } },
        };
        let find = Find::new(wanted).only(object::columns()).limit(ids.len());
        ids.clear();
        for bytes in core.server.find(&home.heads, find).await? {
            let head = ObjectHead::read(&core.own, &home.heads, &bytes)?;
            match head.tell(view.1) {
                Told::State(state) => states.push(*state),
                Told::Unclear => ids.push(head.id),
            }
        }
    }
    states.extend(asked(core, home, &ids, view).await?);
    states.sort_by(|a, b| (&a.key, a.version.number).cmp(&(&b.key, b.version.number)));
    Ok(states)
}

/// What all versions of these items tell.
async fn asked(core: &Core, home: &Home, ids: &[ObjectId], view: (Scope, Snapshot)) -> Result<Vec<StoredVersion>, StoreError> {
    let mut states = Vec::new();
    if !ids.is_empty() {
        for (id, item) in object::items(core, home, ids).await? {
            states.extend(object::seen(id, item.live(core.payloads.as_ref()).await?, view));
        }
    }
    Ok(states)
}

fn span(request: &ScanRequest, position: &Position) -> Document {
    let mut range = object::range_of(&request.keys);
    if let Some(after) = position.after {
        range.remove("$gte");
        range.insert("$gt", after);
    }
    if range.is_empty() {
        range.insert("$gte", ObjectId::from_bytes([0; 12]));
    }
    range
}

/// Heads that meet the conditions, and those that do not tell by themselves what the state is.
fn or_unclear(wanted: Vec<Document>, snapshot: Snapshot) -> Vec<Document> {
    let commit = i64::try_from(snapshot.commit.0).unwrap_or(i64::MAX);
    vec![
        doc! { "$and": wanted },
        doc! { "deletedAt": { "$type": "date" } },
        doc! { "updatedAt": { "$gt": DateTime::from_millis(commit / 1000) } },
        doc! { "cg.n": { "$gt": commit } },
    ]
}

async fn present(
    core: &Core,
    home: &Home,
    request: &ScanRequest,
    wanted: Option<Vec<Document>>,
    position: &mut Position,
    rows: usize,
) -> Result<(Vec<StoredVersion>, bool), StoreError> {
    let mut filter = doc! { "_id": span(request, position) };
    if let Some(wanted) = wanted {
        filter.insert("$or", or_unclear(wanted, request.snapshot));
    }
    let find = Find::new(filter).sort(doc! { "_id": 1 });
    let found = core.server.find(&home.heads, find.only(object::columns()).limit(rows)).await?;
    let mut states = Vec::with_capacity(found.len());
    let mut unclear = Vec::new();
    for bytes in &found {
        let head = ObjectHead::read(&core.own, &home.heads, bytes)?;
        position.after = Some(head.id);
        match head.tell(request.snapshot) {
            Told::State(state) => states.push(*state),
            Told::Unclear => unclear.push(head.id),
        }
    }
    if !unclear.is_empty() {
        states.extend(asked(core, home, &unclear, (request.scope, request.snapshot)).await?);
        states.sort_by(|a, b| a.key.cmp(&b.key));
    }
    Ok((states, found.len() >= rows))
}

async fn lives(
    core: &Core,
    home: &Home,
    request: &ScanRequest,
    position: &mut Position,
    rows: usize,
) -> Result<(Vec<StoredVersion>, bool), StoreError> {
    let (items, more) = page(core, home, span(request, position), rows, position).await?;
    let mut states = Vec::new();
    for (id, item) in items {
        let life = item.live(core.payloads.as_ref()).await?;
        states.extend(object::seen(id, life, (request.scope, request.snapshot)));
    }
    Ok((states, more))
}

/// The same of items that have, in any version, what is wanted.
async fn wanted_lives(
    core: &Core,
    home: &Home,
    request: &ScanRequest,
    wanted: Vec<Document>,
    position: &mut Position,
    rows: usize,
) -> Result<(Vec<StoredVersion>, bool), StoreError> {
    let span = span(request, position);
    let ids = async |ns, id: &str| {
        let find =
            Find::new(doc! { id: span.clone(), "$and": wanted.clone() }).sort(doc! { id: 1 }).only(doc! { id: 1 }).limit(rows);
        let found = core.server.find(ns, find).await?;
        let read = |bytes| super::row::Document::new(ns, bytes)?.id(id);
        found.iter().map(read).collect::<Result<Vec<ObjectId>, StoreError>>()
    };
    let (heads, versions) = (ids(&home.heads, "_id").await?, ids(&home.versions, "itemId").await?);
    // Beyond the last of a full page there may be more, of both.
    let full = |page: &[ObjectId]| page.last().copied().filter(|_| page.len() >= rows).map(|id| id.bytes());
    let cut = [full(&heads), full(&versions)].into_iter().flatten().min();
    let mut found: Vec<ObjectId> = heads.into_iter().chain(versions).collect();
    found.retain(|id| cut.is_none_or(|cut| id.bytes() <= cut));
    found.sort_by_key(ObjectId::bytes);
    found.dedup();
    let more = cut.is_some() || found.len() > ITEMS;
    found.truncate(ITEMS);
    position.after = if found.len() == ITEMS { found.last().copied() } else { cut.map(ObjectId::from_bytes) }.or(position.after);
    let states = asked(core, home, &found, (request.scope, request.snapshot)).await?;
    Ok((states, more))
}

/// Whole items of a span of ids, of about `rows` documents; whether there are more.
pub async fn page(
    core: &Core,
    home: &Home,
    range: Document,
    rows: usize,
    position: &mut Position,
) -> Result<(Items, bool), StoreError> {
    // Heads first: what is written meanwhile makes versions newer than heads, not heads newer than versions.
    let find = Find::new(doc! { "_id": range.clone() }).sort(doc! { "_id": 1 });
    let heads = core.server.find(&home.heads, find.only(object::columns()).limit(rows)).await?;
    let find = Find::new(doc! { "itemId": range }).sort(doc! { "itemId": 1, "ov": -1 });
    let versions = core.server.find(&home.versions, find.only(object::columns()).limit(rows)).await?;
    let mut items = Items::new();
    let mut last_head = None;
    for bytes in &heads {
        let head = ObjectHead::read(&core.own, &home.heads, bytes)?;
        last_head = Some(head.id.bytes());
        object::add_head(&mut items, head);
    }
    let mut last_item = None;
    for bytes in &versions {
        last_item = Some(object::add_row(&core.own, &mut items, &home.versions, bytes)?);
    }
    // Of the last item of a full page versions may be missing: it is read by itself.
    let full = |count: usize, last: Option<[u8; 12]>| last.filter(|_| count >= rows);
    let cut = match (full(heads.len(), last_head), full(versions.len(), last_item)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let Some(cut) = cut else { return Ok((items, false)) };
    items.retain(|id, _| *id <= cut);
    let last = ObjectId::from_bytes(cut);
    items.remove(&cut);
    items.extend(object::items(core, home, &[last]).await?);
    position.after = Some(last);
    Ok((items, true))
}

//! Scans: the states of one table in order of (key, from), in pieces that can stop and go on.
//!
//! A piece is one or two queries. Between pieces nothing is held: the snapshot fixes the answer, so the next piece goes
//! on after the last item whatever was written since. Within a piece heads are read before versions, so that a state
//! that is not in its head any more is found among those that ended.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::{Bson, Document, doc};

use super::apply;
use super::home::{Home, Identity};
use super::reader::{Moment, Reader, columns};
use super::row::{self, OPEN, stored};
use super::server::Find;
use super::turn::{KEYS, live_ops};
use super::{Core, Pieces, object_scan};
use crate::store::{PayloadRef, ScanRequest, StoreError, StoredVersion};
use crate::versions::{IndexCandidates, ItemKey, KeyFilter, Scope, Timestamp};

/// A piece is about this many bytes, and at most this many states. (Tests have small pieces, so that small histories
/// take every path.)
const PIECE_BYTES: usize = 512 << 10;
const PIECE_ROWS: usize = if cfg!(test) { 61 } else { 4096 };

/// The first piece of a scan: what follows is as large as its rows allow.
const FIRST_ROWS: usize = if cfg!(test) { 3 } else { 256 };

/// Documents of the library's collections have no payloads in them: so many make a piece.
const OBJECT_ROWS: usize = if cfg!(test) { 41 } else { 2048 };

/// Candidates are looked up one by one up to this many; beyond, scanning all is cheaper.
const FEW_CANDIDATES: usize = if cfg!(test) { 3 } else { 4096 };

/// A scan and how far it has come.
pub struct Scan {
    core: Arc<Core>,
    request: ScanRequest,
    /// Everything of items up to this key, inclusive, has been returned; with a number, of that item only states up to it.
    after: Option<(String, Option<u64>)>,
    /// How many of the request's points have been read.
    points: usize,
    left: usize,
    /// Whether candidates were looked for already.
    narrowed: bool,
    /// How many rows the next piece asks for.
    rows: usize,
    /// The time of the moment's commit, once known.
    since: Option<Timestamp>,
    /// How far it has come in a collection of the library.
    position: object_scan::Position,
}

/// What a piece found.
struct Piece {
    states: Vec<StoredVersion>,
    more: bool,
}

impl Scan {
    pub fn new(core: Arc<Core>, request: ScanRequest) -> Self {
        let left = request.limit.unwrap_or(usize::MAX);
        Self {
            core,
            request,
            after: None,
            points: 0,
            left,
            narrowed: false,
            rows: FIRST_ROWS,
            since: None,
            position: Default::default(),
        }
    }

    async fn piece(&mut self) -> Result<Piece, StoreError> {
        let home = self.core.home(self.request.table).await?;
        if home.identity == Identity::ObjectId {
            // Items that the library wrote have no entries of indexes: those candidates would lose them.
            let (core, rows) = (self.core.clone(), OBJECT_ROWS);
            let (states, more) = object_scan::piece(&core, &home, &self.request, &mut self.position, rows).await?;
            return Ok(Piece { states, more });
        }
        if !self.narrowed {
            self.narrow().await?;
        }
        let moment = Moment::of(self.request.scope, self.request.snapshot);
        match (&self.request.keys, moment) {
            (KeyFilter::Points(keys), Some(moment)) => {
                let keys: Vec<ItemKey> = keys.iter().skip(self.points).take(self.rows.clamp(16, KEYS)).cloned().collect();
                self.single(&home, keys, moment).await
            }
            (KeyFilter::Points(keys), None) => {
                let keys: Vec<String> = keys.iter().skip(self.points).take(KEYS).map(|k| row::hex(k.as_bytes())).collect();
                self.several(&home, keys).await
            }
            (KeyFilter::All | KeyFilter::Range { .. }, Some(moment)) if moment.is_present => self.present(&home, moment).await,
            (KeyFilter::All | KeyFilter::Range { .. }, Some(moment)) => self.past(&home, moment).await,
            (KeyFilter::All | KeyFilter::Range { .. }, None) => {
                let range = self.range(true);
                self.states(&home, range).await
            }
        }
    }

    /// Replaces candidates by the items they name, unless they are too many to be of use.
    async fn narrow(&mut self) -> Result<(), StoreError> {
        self.narrowed = true;
        let Some(wanted) = self.request.index_candidates() else { return Ok(()) };
        if let Some(mut items) = candidates(&self.core, wanted).await? {
            items.retain(|item| self.request.keys.contains(item));
            self.request.keys = KeyFilter::points(items);
        }
        Ok(())
    }

    /// The one state of each of these items.
    async fn single(&mut self, home: &Home, keys: Vec<ItemKey>, moment: Moment) -> Result<Piece, StoreError> {
        if keys.is_empty() {
            return Ok(Piece { states: Vec::new(), more: false });
        }
        self.points += keys.len();
        let view = (self.request.scope, self.request.snapshot);
        let mut states = Reader::new(&self.core).points(home, &keys, moment, view, self.request.payloads).await?;
        states.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(Piece { states, more: self.has_points() })
    }

    fn has_points(&self) -> bool {
        matches!(&self.request.keys, KeyFilter::Points(keys) if keys.len() > self.points)
    }

    /// All states of these items that the scope has.
    async fn several(&mut self, home: &Home, keys: Vec<String>) -> Result<Piece, StoreError> {
        if keys.is_empty() {
            return Ok(Piece { states: Vec::new(), more: false });
        }
        let count = keys.len();
        let mut piece = self.states(home, doc! { "$in": keys }).await?;
        if !piece.more {
            self.points += count;
            self.after = None;
            piece.more = self.has_points();
        }
        Ok(piece)
    }

    /// A condition on keys: those of the request that have not been read, or (`inclusive`) not wholly.
    fn range(&self, inclusive: bool) -> Document {
        let mut range = Document::new();
        if let KeyFilter::Range { low, high } = &self.request.keys {
            add_bound(&mut range, low, ("$gte", "$gt"));
            add_bound(&mut range, high, ("$lte", "$lt"));
        }
        if let Some((key, _)) = &self.after {
            range.remove("$gte");
            range.remove("$gt");
            range.insert(if inclusive { "$gte" } else { "$gt" }, key);
        }
        if range.is_empty() {
            range.insert("$gte", "");
        }
        range
    }

    /// Open states: heads, and the versions before those that are newer than the snapshot.
    async fn present(&mut self, home: &Home, moment: Moment) -> Result<Piece, StoreError> {
        let live = doc! { "cg.o": { "$in": live_ops() } };
        let newer = doc! { "cg.n": { "$gt": stored(moment.commit.0) } };
        let filter = doc! { "cg.k": self.range(false), "$or": [live, newer] };
        let (found, more) = self.find(&home.heads, Find::new(filter).sort(doc! { "cg.k": 1 })).await?;
        let mut states = Vec::with_capacity(found.len());
        let mut later = Vec::new();
        for bytes in &found {
            let (key, head) = row::head(&home.heads, bytes)?;
            let hex = row::hex(key.as_bytes());
            if head.changed <= moment.commit {
                states.push(head.state(key));
            } else if head.first <= moment.commit {
                later.push(hex.clone());
            }
            self.after = Some((hex, None));
        }
        let view = (self.request.scope, self.request.snapshot);
        for keys in later.chunks(KEYS) {
            let reader = Reader::new(&self.core);
            states.extend(reader.versions(home, keys.to_vec(), moment, view, self.request.payloads).await?);
        }
        if !later.is_empty() {
            states.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        }
        Ok(Piece { states, more })
    }

    /// States at an earlier moment: heads that are as old, and versions that have ended since.
    async fn past(&mut self, home: &Home, moment: Moment) -> Result<Piece, StoreError> {
        let since = self.since(moment).await?;
        let mut filter = doc! { "cg.k": self.range(false), "cg.n": { "$lte": stored(moment.commit.0) } };
        filter.insert("cg.o", doc! { "$in": live_ops() });
        if moment.at < Timestamp::MAX {
            filter.insert("cg.t", doc! { "$lte": moment.at.micros() });
        }
        let (heads, more_heads) = self.find(&home.heads, Find::new(filter).sort(doc! { "cg.k": 1 })).await?;
        let heads = heads.iter().map(|bytes| row::head(&home.heads, bytes)).collect::<Result<Vec<_>, _>>()?;
        let mut range = self.range(false);
        let last_head = heads.last().map(|(key, _)| row::hex(key.as_bytes())).filter(|_| more_heads);
        if let Some(last) = &last_head {
            range.remove("$lt");
            range.insert("$lte", last);
        }
        let mut ended = moment.versions();
        ended.insert("cg.k", range);
        ended.insert("cg.to", doc! { "$gt": since.micros(), "$lt": OPEN });
        let (versions, more_versions) = self.find(&home.versions, Find::new(ended).sort(doc! { "cg.k": 1, "ov": 1 })).await?;
        let mut states = Vec::with_capacity(heads.len() + versions.len());
        for bytes in &versions {
            states.extend(row::state(&home.versions, bytes)?);
        }
        let cut = match states.last() {
            Some(state) if more_versions => Some(row::hex(state.key.as_bytes())),
            _ => last_head,
        };
        let (scope, snapshot) = (self.request.scope, self.request.snapshot);
        states.retain_mut(|state| {
            let visible = state.version.period.is_visible(scope, snapshot);
            state.version.period = state.version.period.under(snapshot).unwrap_or(state.version.period);
            visible
        });
        states.extend(heads.into_iter().map(|(key, head)| head.state(key)));
        states.sort_by(|a, b| a.key.cmp(&b.key));
        // A head that changed between the two queries was found twice. The version knows how its state ended.
        states.dedup_by(|b, a| a.key == b.key);
        if let Some(cut) = &cut {
            states.retain(|state| row::hex(state.key.as_bytes()) <= *cut);
        }
        let more = cut.is_some();
        self.after = cut.map(|key| (key, None));
        Ok(Piece { states, more })
    }

    /// When the newest commit of the moment was made, or the moment itself: what ended since ended after this.
    async fn since(&mut self, moment: Moment) -> Result<Timestamp, StoreError> {
        if let Some(since) = self.since {
            return Ok(since);
        }
        let since = match moment.at {
            Timestamp::MAX => {
                let stamp = Reader::new(&self.core).commit_stamp(moment.commit).await?;
                stamp.map_or(Timestamp::MIN, |stamp| stamp.time)
            }
            at => at,
        };
        self.since = Some(since);
        Ok(since)
    }

    /// States of a scope that may have several of one item, of items whose keys are like this.
    async fn states(&mut self, home: &Home, keys: Document) -> Result<Piece, StoreError> {
        let (scope, snapshot) = (self.request.scope, self.request.snapshot);
        let known = stored(snapshot.commit.0);
        let mut filter = doc! { "cg.k": keys, "cg.n": { "$lte": known }, "cg.o": { "$in": live_ops() } };
        let mut either = Vec::new();
        match scope {
            Scope::FromTo { from, until } | Scope::Between { from, until } => {
                filter.insert("cg.t", doc! { "$lte": until.micros() });
                // What the snapshot does not know as ended is open to it.
                either.push(doc! { "$or": [{ "cg.to": { "$gt": from.micros() } }, { "cg.en": { "$gt": known } }] });
            }
            Scope::ContainedIn { until, .. } => {
                filter.insert("cg.t", doc! { "$lte": until.micros() });
            }
            Scope::All | Scope::Current | Scope::AsOf(_) | Scope::AsOfCommit(_) => {}
        }
        if let Some((key, number)) = &self.after {
            let rest = doc! { "cg.k": key, "ov": { "$gt": stored(number.unwrap_or(u64::MAX)) } };
            either.push(doc! { "$or": [{ "cg.k": { "$gt": key } }, rest] });
        }
        if !either.is_empty() {
            filter.insert("$and", either);
        }
        let (found, more) = self.find(&home.versions, Find::new(filter).sort(doc! { "cg.k": 1, "ov": 1 })).await?;
        let mut states = Vec::with_capacity(found.len());
        for bytes in &found {
            let Some(mut state) = row::state(&home.versions, bytes)? else { continue };
            self.after = Some((row::hex(state.key.as_bytes()), Some(state.version.number.0)));
            if state.version.period.is_visible(scope, snapshot) {
                state.version.period = state.version.period.under(snapshot).unwrap_or(state.version.period);
                states.push(state);
            }
        }
        Ok(Piece { states, more })
    }

    /// A page of documents, and whether there are more. Learns how many of them make a piece.
    async fn find(&mut self, ns: &super::server::Namespace, find: Find) -> Result<(Vec<bytes::Bytes>, bool), StoreError> {
        let limit = self.rows.min(self.left);
        let find = find.only(columns(self.request.payloads)).limit(limit);
        let found = self.core.server.find_some(ns, find, 2 * PIECE_BYTES).await?;
        let bytes: usize = found.iter().map(bytes::Bytes::len).sum();
        let more = found.len() >= limit || bytes >= 2 * PIECE_BYTES;
        if !found.is_empty() {
            self.rows = (PIECE_BYTES * found.len() / bytes.max(1)).clamp(1, PIECE_ROWS).min(self.rows * 8);
        }
        Ok((found, more))
    }
}

#[async_trait]
impl Pieces for Scan {
    type Row = StoredVersion;

    async fn next(&mut self) -> Result<(Vec<StoredVersion>, bool), StoreError> {
        if self.left == 0 {
            return Ok((Vec::new(), false));
        }
        let mut piece = self.piece().await?;
        if !self.request.payloads {
            // Where an object is costs nothing to tell.
            let inline = piece.states.iter_mut().filter(|state| matches!(state.payload, PayloadRef::Inline(_)));
            inline.for_each(|state| state.payload = PayloadRef::Inline(bytes::Bytes::new()));
        }
        piece.states.truncate(self.left);
        self.left -= piece.states.len();
        Ok((piece.states, piece.more && self.left > 0))
    }
}

fn add_bound(range: &mut Document, bound: &Bound<ItemKey>, (included, excluded): (&str, &str)) {
    match bound {
        Bound::Included(key) => range.insert(included, row::hex(key.as_bytes())),
        Bound::Excluded(key) => range.insert(excluded, row::hex(key.as_bytes())),
        Bound::Unbounded => None,
    };
}

/// The items with an entry as wanted, or `None` when they are many or no restriction at all.
async fn candidates(core: &Core, wanted: &IndexCandidates) -> Result<Option<Vec<ItemKey>>, StoreError> {
    let index = wanted.index;
    let slot = |key: &ItemKey| apply::slot_id(index, key);
    let all = format!("{:08x}", index.0);
    let conditions: Vec<Document> = match &wanted.keys {
        KeyFilter::All => return Ok(None),
        KeyFilter::Points(keys) if keys.len() > FEW_CANDIDATES => return Ok(None),
        KeyFilter::Points(keys) => keys
            .iter()
            .map(|key| doc! { "_id": { "$gt": format!("{}.", slot(key)), "$lt": format!("{}/", slot(key)) } })
            .collect(),
        KeyFilter::Range { low, high } => {
            let low = match low {
                Bound::Included(key) => format!("{}.", slot(key)),
                Bound::Excluded(key) => format!("{}/", slot(key)),
                Bound::Unbounded => format!("{all}."),
            };
            let high = match high {
                Bound::Included(key) => format!("{}/", slot(key)),
                Bound::Excluded(key) => format!("{}.", slot(key)),
                Bound::Unbounded => format!("{all}/"),
            };
            vec![doc! { "_id": { "$gt": low, "$lt": high } }]
        }
    };
    let ns = &core.own.entries;
    let mut items = Vec::new();
    for some in conditions.chunks(100) {
        let filter = match some {
            [one] => one.clone(),
            many => doc! { "$or": many.iter().cloned().map(Bson::Document).collect::<Vec<_>>() },
        };
        let find = Find::new(filter).only(doc! { "_id": 1 }).limit(FEW_CANDIDATES + 1 - items.len());
        for bytes in core.server.find(ns, find).await? {
            let document = row::Document::new(ns, &bytes)?;
            let item = document.text("_id")?.rsplit('.').next().and_then(row::unhex);
            items.push(ItemKey::from_bytes(item.ok_or_else(|| document.corrupt("_id"))?));
        }
        if items.len() > FEW_CANDIDATES {
            return Ok(None);
        }
    }
    Ok(Some(items))
}

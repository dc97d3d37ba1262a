//! What the library wrote, as a whole: its collections, its newest writes, and its writes as commits.
//!
//! The library has no commits. Versions of one instant count as one, whose number is that instant in microseconds; what it
//! writes within the same millisecond later joins it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::try_join_all;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, RawBsonRef, RawDocument, doc};

use super::Core;
use super::apply::TIMED;
use super::home::{Home, Identity};
use super::object;
use super::row;
use super::server::{Find, Namespace, raw};
use crate::store::chronos::Anomaly;
use crate::store::{PayloadRef, StoreError, VersionName};
use crate::versions::{CommitInfo, CommitNo, CommitStamp, Context, Timestamp};

/// How many versions one query asks who wrote.
const TOLD: usize = 500;

/// How many versions one query for commits reads.
const VERSIONS: usize = if cfg!(test) { 50 } else { 4096 };

/// A collection of items, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The schema of its place.
    pub place: String,
    /// Without `_head`.
    pub name: String,
    pub identity: Identity,
    /// About how many items it has.
    pub items: u64,
    /// Of its heads.
    pub indexes: Vec<CollectionIndex>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionIndex {
    pub name: String,
    /// Members, with their paths, and whether each ascends.
    pub keys: Vec<(String, bool)>,
    pub is_unique: bool,
}

/// Some of a collection's newest items, to guess from what its rows look like.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Newest first, each once.
    pub payloads: Vec<PayloadRef>,
    /// Members of `metaIndexed` by their paths (parted by dots, arrays not entered), and what was found there.
    pub indexed: BTreeMap<String, BTreeSet<Shape>>,
}

/// What a BSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    Null,
    Bool,
    Integer,
    Double,
    Text,
    Date,
    ObjectId,
    Array,
    Document,
    Other,
}

/// The stamp that a snapshot needs to see everything the library wrote in this millisecond. Versions of one item in one
/// millisecond get a microsecond each.
pub fn end_of_millis(millis: i64) -> CommitStamp {
    let micros = millis.saturating_mul(1000).saturating_add(999).max(1);
    CommitStamp { commit: CommitNo(micros.cast_unsigned()), time: Timestamp::from_micros(micros) }
}

/// The commit that a timed number is of.
pub fn stamp_of(commit: CommitNo) -> CommitStamp {
    CommitStamp { commit, time: Timestamp::from_micros(row::stored(commit.0)) }
}

fn nothing() -> CommitStamp {
    CommitStamp { commit: CommitNo::ZERO, time: Timestamp::MIN }
}

/// Finds the library's collections anew.
pub async fn refresh(core: &Core) -> Result<(), StoreError> {
    let mut found = Vec::new();
    for place in core.homes.places() {
        for name in heads_of(core, &place.database).await? {
            let home = Home::new(place, &name, Identity::ObjectId);
            let known = core.found.read().iter().find(|known| known.heads == home.heads).cloned();
            match known {
                Some(known) => found.push(known),
                None if is_of_the_library(core, &home).await? => found.push(Arc::new(home)),
                None => {}
            }
        }
    }
    *core.found.write() = found;
    Ok(())
}

/// Whether there are documents, and they are not those of a table of ours. (Its indexes are made after a collection of
/// ours is, and do not tell until then.)
async fn is_of_the_library(core: &Core, home: &Home) -> Result<bool, StoreError> {
    for ns in [&home.heads, &home.versions] {
        if let Some(bytes) = core.server.find_one(ns, Find::new(Document::new()).only(doc! { "cg.k": 1 })).await? {
            let found = raw(&bytes)?.get_document("cg").ok();
            return Ok(found.is_none_or(|cg| cg.get("k").ok().flatten().is_none()));
        }
    }
    Ok(false)
}

/// Names of collections of items.
async fn heads_of(core: &Core, database: &str) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = core.server.collections(database).await?;
    names.sort_unstable();
    Ok(names.iter().filter_map(|name| name.strip_suffix(super::collections::HEADS)).map(str::to_owned).collect())
}

fn is_ours(indexes: &[Document]) -> bool {
    indexes.iter().any(|index| index.get_str("name").is_ok_and(|name| name == "cg_key"))
}

/// See [`super::MongoIndex::collections`].
pub async fn collections(core: &Core) -> Result<Vec<Collection>, StoreError> {
    let mut found = Vec::new();
    for place in core.homes.places() {
        for name in heads_of(core, &place.database).await? {
            let heads = Home::new(place, &name, Identity::ObjectId).heads;
            let indexes = core.server.indexes(&heads).await?;
            let identity = if is_ours(&indexes) { Identity::Key } else { Identity::ObjectId };
            let items = core.server.estimate(&heads).await?;
            let indexes = indexes.iter().map(index).collect();
            found.push(Collection { place: place.schema.clone(), name, identity, items, indexes });
        }
    }
    Ok(found)
}

fn index(found: &Document) -> CollectionIndex {
    let keys = found.get_document("key").ok().into_iter().flatten();
    let descends = |value: &Bson| matches!(value, Bson::Int32(n) if *n < 0) || matches!(value, Bson::Double(x) if *x < 0.0);
    CollectionIndex {
        name: found.get_str("name").unwrap_or_default().to_owned(),
        keys: keys.map(|(name, value)| (name.clone(), !descends(value))).collect(),
        is_unique: found.get_bool("unique").unwrap_or(false),
    }
}

/// See [`super::MongoIndex::sample`].
pub async fn sample(core: &Core, home: &Home, most: usize) -> Result<Sample, StoreError> {
    let mut sample = Sample::default();
    let mut names = BTreeSet::new();
    for (ns, newest) in [(&home.heads, "updatedAt"), (&home.versions, "at")] {
        let find = Find::new(Document::new()).sort(doc! { newest: -1 }).limit(most);
        for bytes in core.server.find(ns, find.only(doc! { "fullShadow": 0, "cg": 0 })).await? {
            let document = row::Document::new(ns, &bytes)?;
            if let Some(PayloadRef::Object { name, size, sha256 }) = document.object()?
                && names.insert((name.clone(), sha256))
            {
                sample.payloads.push(PayloadRef::Object { name, size, sha256 });
            }
            if let Some(indexed) = document.get("metaIndexed").and_then(RawBsonRef::as_document) {
                shapes(indexed, "", &mut sample.indexed);
            }
        }
    }
    Ok(sample)
}

fn shapes(document: &RawDocument, above: &str, found: &mut BTreeMap<String, BTreeSet<Shape>>) {
    for (name, value) in document.iter().filter_map(Result::ok) {
        let path = if above.is_empty() { name.as_str().to_owned() } else { format!("{above}.{}", name.as_str()) };
        if let RawBsonRef::Document(inner) = value {
            shapes(inner, &path, found);
        }
        found.entry(path).or_default().insert(shape(value));
    }
}

fn shape(value: RawBsonRef<'_>) -> Shape {
    match value {
        RawBsonRef::Null | RawBsonRef::Undefined => Shape::Null,
        RawBsonRef::Boolean(_) => Shape::Bool,
        RawBsonRef::Int32(_) | RawBsonRef::Int64(_) => Shape::Integer,
        RawBsonRef::Double(_) => Shape::Double,
        RawBsonRef::String(_) | RawBsonRef::Symbol(_) => Shape::Text,
        RawBsonRef::DateTime(_) => Shape::Date,
        RawBsonRef::ObjectId(_) => Shape::ObjectId,
        RawBsonRef::Array(_) => Shape::Array,
        RawBsonRef::Document(_) => Shape::Document,
        _ => Shape::Other,
    }
}

/// The newest write of the library to one of its collections, if it is not before the millisecond of `since`. What we
/// wrote ourselves is passed over one by one, so that the bound is worth giving.
pub async fn newest(core: &Core, home: &Home, since: Timestamp) -> Result<CommitStamp, StoreError> {
    let from = DateTime::from_millis(row::millis(since));
    // A head may be newer than every version, where versioning was off.
    let heads = newest_of(core, &home.heads, "updatedAt", doc! { "updatedAt": { "$gte": from } });
    let versions = newest_of(core, &home.versions, "at", doc! { "at": { "$gte": from } });
    let (head, version) = futures::try_join!(heads, versions)?;
    Ok(head.max(version).map_or_else(nothing, end_of_millis))
}

/// The greatest date that documents the library wrote have, in milliseconds.
async fn newest_of(core: &Core, ns: &Namespace, date: &str, mut filter: Document) -> Result<Option<i64>, StoreError> {
    filter.insert("cg.h", doc! { "$ne": core.own.home() });
    let find = Find::new(filter).sort(doc! { date: -1 }).only(doc! { date: 1 });
    let found = core.server.find_one(ns, find).await?;
    found.map(|bytes| row::Document::new(ns, &bytes)?.date(date)).transpose()
}

/// The newest write to any of the library's collections, if it is not before the millisecond of `since`.
pub async fn newest_of_all(core: &Core, since: Timestamp) -> Result<CommitStamp, StoreError> {
    let homes = core.found.read().clone();
    let stamps = try_join_all(homes.iter().map(|home| newest(core, home, since))).await?;
    Ok(stamps.into_iter().max().unwrap_or_else(nothing))
}

/// The newest commit of the library with `since <= time <= at`.
pub async fn newest_at(core: &Core, since: Timestamp, at: Timestamp) -> Result<Option<CommitStamp>, StoreError> {
    let homes = core.found.read().clone();
    let (from, until) = (DateTime::from_millis(row::millis(since)), DateTime::from_millis(row::millis(at)));
    let span = || doc! { "at": { "$gte": from, "$lte": until } };
    let before = homes.iter().map(|home| newest_of(core, &home.versions, "at", span()));
    let newest = try_join_all(before).await?.into_iter().flatten().max();
    Ok(newest.map(|millis| {
        let end = end_of_millis(millis);
        if end.time <= at { end } else { stamp_of(CommitNo(at.micros().max(1).cast_unsigned())) }
    }))
}

/// Commits of the library with `from <= number <= to`, some of the first of them; and up to which number they are all
/// there, if not up to `to`.
pub async fn commits(
    core: &Core,
    from: CommitNo,
    to: CommitNo,
) -> Result<(BTreeMap<CommitNo, CommitInfo>, Option<CommitNo>), StoreError> {
    let mut merged: BTreeMap<CommitNo, CommitInfo> = BTreeMap::new();
    let homes = core.found.read().clone();
    if to.0 < TIMED || homes.is_empty() {
        return Ok((merged, None));
    }
    let some = try_join_all(homes.iter().map(|home| commits_of(core, home, from, to))).await?;
    let cut = some.iter().filter_map(|(_, until)| *until).min();
    for (home, (groups, _)) in homes.iter().zip(some) {
        let table = format!("{}.{}", home.place.schema, home.collection);
        for (millis, group) in groups {
            let number = CommitNo(millis.saturating_mul(1000).max(1).cast_unsigned());
            if cut.is_none_or(|cut| number <= cut) {
                group.join(merged.entry(number).or_insert_with(|| empty(stamp_of(number))), &table);
            }
        }
    }
    Ok((merged, cut))
}

/// Who wrote each of these versions, and why, out of their own documents; of several of one number the one that counts.
pub async fn told(core: &Core, home: &Home, versions: &[VersionName]) -> Result<Vec<Option<Context>>, StoreError> {
    let mut found: HashMap<([u8; 12], u64), Vec<(u64, Context)>> = HashMap::new();
    let mut own: HashMap<CommitNo, Vec<([u8; 12], u64, u64)>> = HashMap::new();
    for some in versions.chunks(TOLD) {
        let ids: BTreeSet<ObjectId> = some.iter().filter_map(|version| object::id_of(&version.key)).collect();
        let numbers: BTreeSet<i64> = some.iter().map(|version| row::stored(version.number.0)).collect();
        let ids: Vec<ObjectId> = ids.into_iter().collect();
        let numbers: Vec<i64> = numbers.into_iter().collect();
        let find = Find::new(doc! { "itemId": { "$in": ids }, "ov": { "$in": numbers } });
        let columns = doc! { "itemId": 1, "ov": 1, "cv": 1, "actor": 1, "reason": 1, "cg": 1 };
        for bytes in core.server.find(&home.versions, find.only(columns)).await? {
            let document = row::Document::new(&home.versions, &bytes)?;
            let text = |name| document.get(name).and_then(RawBsonRef::as_str).map(str::to_owned);
            let context = Context { actor: text("actor"), reason: text("reason"), ..Context::default() };
            let name = (document.id("itemId")?.bytes(), document.counted("ov")?);
            if let Some((commit, _, _)) = object::written(&core.own, &document)? {
                own.entry(commit).or_default().push((name.0, name.1, document.counted("cv")?));
            }
            found.entry(name).or_default().push((document.counted("cv")?, context));
        }
    }
    for (commit, context) in contexts(core, own.keys().copied()).await? {
        for (id, number, cv) in own.get(&commit).into_iter().flatten() {
            let rows = found.entry((*id, *number)).or_default().iter_mut();
            rows.filter(|(known, _)| known == cv).for_each(|(_, of_version)| *of_version = context.clone());
        }
    }
    let of = |version: &VersionName| {
        let rows = found.get(&(object::id_of(&version.key)?.bytes(), version.number.0))?;
        let same = rows.iter().find(|(cv, _)| version.collection == Some(*cv));
        same.or_else(|| rows.iter().max_by_key(|(cv, _)| *cv)).map(|(_, context)| context.clone())
    };
    Ok(versions.iter().map(of).collect())
}

/// What our own log has of these commits.
async fn contexts(core: &Core, commits: impl Iterator<Item = CommitNo>) -> Result<Vec<(CommitNo, Context)>, StoreError> {
    let ns = &core.own.commits;
    let numbers: Vec<i64> = commits.map(|commit| row::stored(commit.0)).collect();
    let mut found = Vec::with_capacity(numbers.len());
    for some in numbers.chunks(TOLD) {
        let find = Find::new(doc! { "_id": { "$in": some } }).only(doc! { "context": 1 });
        for bytes in core.server.find(ns, find).await? {
            let document = row::Document::new(ns, &bytes)?;
            let context = document.part("context")?;
            let context = context.deserialize().ok_or_else(|| document.corrupt("context"))?;
            found.push((document.commit("_id")?, context));
        }
    }
    Ok(found)
}

fn empty(stamp: CommitStamp) -> CommitInfo {
    CommitInfo { stamp, context: Context::default(), tables: Vec::new(), rows: 0 }
}

/// Versions of one instant.
#[derive(Default)]
struct Instant {
    rows: u64,
    actors: BTreeSet<String>,
    reasons: BTreeSet<String>,
}

impl Instant {
    fn add(&mut self, document: &row::Document<'_>) {
        self.rows += 1;
        let text = |name| document.get(name).and_then(RawBsonRef::as_str).map(str::to_owned);
        self.actors.extend(text("actor"));
        self.reasons.extend(text("reason"));
    }

    fn join(self, commit: &mut CommitInfo, table: &str) {
        commit.rows += self.rows;
        commit.tables.push(table.to_owned());
        commit.tables.sort();
        add_all(&mut commit.context.actor, self.actors);
        add_all(&mut commit.context.reason, self.reasons);
    }
}

/// Several writers of one instant are named one after the other.
fn add_all(text: &mut Option<String>, more: BTreeSet<String>) {
    for one in more {
        match text {
            Some(all) if all.split(", ").any(|known| known == one) => {}
            Some(all) => {
                all.push_str(", ");
                all.push_str(&one);
            }
            None => *text = Some(one),
        }
    }
}

async fn commits_of(
    core: &Core,
    home: &Home,
    from: CommitNo,
    to: CommitNo,
) -> Result<(BTreeMap<i64, Instant>, Option<CommitNo>), StoreError> {
    let date = |millis: i64| DateTime::from_millis(millis);
    let (first, last) = (row::stored(from.0.div_ceil(1000)), row::stored(to.0 / 1000));
    let range = doc! { "at": { "$gte": date(first), "$lte": date(last) }, "cg.h": { "$ne": core.own.home() } };
    let columns = doc! { "at": 1, "actor": 1, "reason": 1 };
    let find = Find::new(range).sort(doc! { "at": 1 }).only(columns.clone()).limit(VERSIONS);
    let found = core.server.find(&home.versions, find).await?;
    let mut groups: BTreeMap<i64, Instant> = BTreeMap::new();
    for bytes in &found {
        let document = row::Document::new(&home.versions, bytes)?;
        groups.entry(document.date("at")?).or_default().add(&document);
    }
    if found.len() < VERSIONS {
        return Ok((groups, None));
    }
    let Some((millis, _)) = groups.pop_last() else { return Ok((groups, None)) };
    // The last instant may not be whole.
    let rest = Find::new(doc! { "at": date(millis), "cg.h": { "$ne": core.own.home() } }).only(columns);
    let group = groups.entry(millis).or_default();
    for bytes in core.server.find(&home.versions, rest).await? {
        group.add(&row::Document::new(&home.versions, &bytes)?);
    }
    Ok((groups, Some(CommitNo(millis.saturating_mul(1000).max(1).cast_unsigned()))))
}

/// What of a change stream's events tells of the library's writes.
pub fn watched(home: &str) -> Vec<Document> {
    vec![
        doc! { "$match": {
            "operationType": { "$in": ["insert", "replace", "update"] },
            "fullDocument.cg.h": { "$ne": home },
        } },
        doc! { "$project": {
            "ns": 1,
            "at": "$fullDocument.at",
            "updated": "$fullDocument.updatedAt",
            "changed": "$updateDescription.updatedFields.updatedAt",
        } },
    ]
}

/// The stamp that an event of such a stream gives, and the collection it is of, when it is one of items.
pub fn noticed(event: &Document) -> Option<(String, CommitStamp)> {
    let collection = event.get_document("ns").ok()?.get_str("coll").ok()?;
    if !collection.ends_with("_head") && !collection.ends_with("_ver") {
        return None;
    }
    let dates = ["at", "updated", "changed"].into_iter().filter_map(|name| event.get_datetime(name).ok());
    let newest = dates.map(|date| date.timestamp_millis()).max()?;
    Some((collection.to_owned(), end_of_millis(newest)))
}

/// Whole items of a collection, some at a time: see [`super::MongoIndex::anomalies`].
pub struct Anomalies {
    core: Arc<Core>,
    home: Arc<Home>,
    position: super::object_scan::Position,
    /// Whether all items were looked at one by one; then what they have in common is.
    alone: bool,
}

impl Anomalies {
    pub fn new(core: Arc<Core>, home: Arc<Home>) -> Self {
        Self { core, home, position: Default::default(), alone: false }
    }

    /// Items that agree where no two should.
    async fn doubled(&self) -> Result<Vec<(crate::versions::ItemKey, Anomaly)>, StoreError> {
        let mut found = Vec::new();
        for index in self.home.indexes.iter().filter(|index| index.unique) {
            let members = index.paths().collect::<Vec<_>>().join(", ");
            for (item, number, other) in super::joint::unique::doubled(&self.core, &self.home, index).await? {
                let other = super::joint::unique::shown(&other);
                found.push((item, Anomaly::NotUnique { number, members: members.clone(), other }));
            }
        }
        Ok(found)
    }
}

#[async_trait::async_trait]
impl super::Pieces for Anomalies {
    type Row = (crate::versions::ItemKey, Anomaly);

    async fn next(&mut self) -> Result<(Vec<Self::Row>, bool), StoreError> {
        if self.alone {
            return Ok((self.doubled().await?, false));
        }
        let after = self.position.after.unwrap_or(mongodb::bson::oid::ObjectId::from_bytes([0; 12]));
        let range = doc! { if self.position.after.is_some() { "$gt" } else { "$gte" }: after };
        let (items, more) = super::object_scan::page(&self.core, &self.home, range, VERSIONS, &mut self.position).await?;
        let mut found = Vec::new();
        for (id, item) in items {
            let key = object::key_of(mongodb::bson::oid::ObjectId::from_bytes(id));
            let life = item.live(self.core.payloads.as_ref()).await?;
            found.extend(life.anomalies.into_iter().map(|anomaly| (key.clone(), anomaly)));
        }
        self.alone = !more;
        Ok((found, true))
    }
}

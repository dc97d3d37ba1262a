//! Reads that answer at once: single items, counters, stamps, definitions.
//!
//! What is read without a transaction may be newer than the snapshot asked for. A head that is says so, and then the
//! versions are asked, which never change but for how they ended.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use parking_lot::Mutex;

use super::home::{Home, Identity};
use super::row::{self, stored};
use super::server::Find;
use super::turn::{KEYS, live_ops};
use super::{Core, Pieces, apply, library, object, object_scan};
use crate::store::{CatalogRow, StoreError, StoredVersion};
use crate::versions::{CommitInfo, CommitNo, CommitStamp, Context, IndexId, ItemKey, Scope, Snapshot, TableId, Timestamp};

/// How many commits one batch of the log holds.
const COMMITS: usize = 1024;

/// Fewer live items than this are not parted. (Tests part small tables.)
const WORTH_PARTING: u64 = if cfg!(test) { 8 } else { 20_000 };

/// The newest state that a reader of one moment can have: of those begun by `commit`, the newest begun at or
/// before `at`.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub commit: CommitNo,
    pub at: Timestamp,
    /// Whether it is that of the snapshot, so that most heads are of it.
    pub is_present: bool,
}

impl Moment {
    /// `None` for scopes that may have several states of one item.
    pub fn of(scope: Scope, snapshot: Snapshot) -> Option<Self> {
        let (commit, at) = match scope {
            Scope::Current => (snapshot.commit, Timestamp::MAX),
            // Loaded periods end in the past, so that the present is that of the snapshot for them too.
            Scope::AsOf(at) if at >= snapshot.time => (snapshot.commit, Timestamp::MAX),
            Scope::AsOf(at) => (snapshot.commit, at),
            Scope::AsOfCommit(commit) => (commit.min(snapshot.commit), Timestamp::MAX),
            Scope::FromTo { .. } | Scope::Between { .. } | Scope::ContainedIn { .. } | Scope::All => return None,
        };
        Some(Self { commit, at, is_present: commit == snapshot.commit && at == Timestamp::MAX })
    }

    /// Which versions are of it: at most one for each item.
    pub fn versions(&self) -> Document {
        let mut filter = doc! { "cg.n": { "$lte": stored(self.commit.0) } };
        match self.at {
            Timestamp::MAX => {
                filter.insert("cg.en", doc! { "$gt": stored(self.commit.0) });
            }
            at => {
                filter.insert("cg.t", doc! { "$lte": at.micros() });
                // What the snapshot does not know as ended has ended after it, hence after this instant.
                filter.insert("cg.to", doc! { "$gt": at.micros() });
            }
        }
        filter
    }
}

/// What is kept about a table as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableState {
    pub changed: CommitNo,
    pub live: u64,
}

/// The borders found last, by table and number of shares, with the number of live items there were.
#[derive(Debug, Default)]
pub struct Borders(Mutex<HashMap<(TableId, usize), (u64, Vec<ItemKey>)>>);

pub struct Reader<'c> {
    core: &'c Core,
}

impl<'c> Reader<'c> {
    pub fn new(core: &'c Core) -> Self {
        Self { core }
    }

    /// See [`crate::store::IndexStore::get`].
    pub async fn get(
        &self,
        table: TableId,
        keys: &[ItemKey],
        (scope, snapshot): (Scope, Snapshot),
    ) -> Result<Vec<Option<StoredVersion>>, StoreError> {
        let moment = Moment::of(scope, snapshot)
            .ok_or_else(|| StoreError::Engine("a read of single states was asked for a range of them".to_owned()))?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let home = self.core.home(table).await?;
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in keys.chunks(KEYS) {
            let view = (scope, snapshot);
            let states = match home.identity {
                Identity::Key => self.points(&home, chunk, moment, view, true).await?,
                Identity::ObjectId => object_scan::points(self.core, &home, chunk, view, moment.is_present).await?,
            };
            found.extend(states.into_iter().map(|state| (state.key.clone(), state)));
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    /// The states that these items (at most [`KEYS`]) have at a moment, in no order.
    pub async fn points(
        &self,
        home: &Home,
        keys: &[ItemKey],
        moment: Moment,
        view: (Scope, Snapshot),
        payloads: bool,
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let wanted: Vec<String> = keys.iter().map(|key| row::hex(key.as_bytes())).collect();
        if !moment.is_present {
            return self.versions(home, wanted, moment, view, payloads).await;
        }
        let find = Find::new(doc! { "cg.k": one_of(&wanted) }).only(columns(payloads)).limit(wanted.len());
        let mut found = Vec::with_capacity(keys.len());
        let mut later = Vec::new();
        for bytes in self.core.server.find(&home.heads, find).await? {
            let (key, head) = row::head(&home.heads, &bytes)?;
            if head.changed <= moment.commit {
                found.extend(head.is_live().then(|| head.state(key)));
            } else if head.first <= moment.commit {
                later.push(row::hex(key.as_bytes()));
            }
        }
        if !later.is_empty() {
            found.extend(self.versions(home, later, moment, view, payloads).await?);
        }
        Ok(found)
    }

    /// The same from the versions alone.
    pub async fn versions(
        &self,
        home: &Home,
        keys: Vec<String>,
        moment: Moment,
        (scope, snapshot): (Scope, Snapshot),
        payloads: bool,
    ) -> Result<Vec<StoredVersion>, StoreError> {
        let mut filter = moment.versions();
        filter.insert("cg.k", one_of(&keys));
        let find = Find::new(filter).only(columns(payloads)).limit(keys.len());
        let mut found = Vec::new();
        for bytes in self.core.server.find(&home.versions, find).await? {
            let Some(mut state) = row::state(&home.versions, &bytes)? else { continue };
            if !state.version.period.is_visible(scope, snapshot) {
                continue;
            }
            state.version.period = state.version.period.under(snapshot).unwrap_or(state.version.period);
            if !payloads {
                state.payload = row::no_payload();
            }
            found.push(state);
        }
        Ok(found)
    }

    pub async fn unique_holder(&self, index: IndexId, key: &ItemKey) -> Result<Option<ItemKey>, StoreError> {
        if let Some((_, home)) = self.core.homes.of_index(index, &self.core.server, &self.core.own).await?
            && let Some(index) = home.indexes.iter().find(|known| known.id == index)
        {
            let mut source = super::joint::Source::Server(&self.core.server);
            let held = super::joint::unique::holders(self.core, &mut source, &home, index, &[key]).await;
            return Ok(held.map_err(super::server::settled)?.into_values().flatten().next());
        }
        let ns = &self.core.own.holders;
        let find = Find::new(doc! { "_id": apply::slot_id(index, key) });
        let Some(bytes) = self.core.server.find_one(ns, find).await? else { return Ok(None) };
        let document = row::Document::new(ns, &bytes)?;
        let item = row::unhex(document.text("item")?).ok_or_else(|| document.corrupt("item"))?;
        Ok(Some(ItemKey::from_bytes(item)))
    }

    /// `None` where others write too, who count nothing.
    pub async fn live_count(&self, table: TableId, snapshot: Snapshot) -> Result<Option<u64>, StoreError> {
        if self.core.home(table).await?.identity == Identity::ObjectId {
            return Ok(None);
        }
        let state = self.table_state(table).await?;
        Ok((state.changed <= snapshot.commit).then_some(state.live))
    }

    pub async fn last_change(&self, table: TableId) -> Result<CommitNo, StoreError> {
        let home = self.core.home(table).await?;
        let own = self.table_state(table).await?.changed;
        let library = match home.identity {
            Identity::Key => CommitNo::ZERO,
            Identity::ObjectId => {
                let since = if own.0 < apply::TIMED { Timestamp::MIN } else { library::stamp_of(own).time };
                library::newest(self.core, &home, since).await?.commit
            }
        };
        Ok(own.max(library).min(self.core.last_commit().commit))
    }

    pub async fn table_state(&self, table: TableId) -> Result<TableState, StoreError> {
        let ns = &self.core.own.tables;
        let find = Find::new(doc! { "_id": i64::from(table.0) });
        let Some(bytes) = self.core.server.find_one(ns, find).await? else { return Ok(TableState::default()) };
        let document = row::Document::new(ns, &bytes)?;
        Ok(TableState { changed: document.commit("changed")?, live: document.counted("live")? })
    }

    /// See [`crate::store::IndexStore::borders`]. Found by counting along the live items, and so remembered until the
    /// table's size has changed much.
    pub async fn borders(&self, table: TableId, shares: usize) -> Result<Vec<ItemKey>, StoreError> {
        let home = self.core.home(table).await?;
        let live = match home.identity {
            Identity::Key => self.table_state(table).await?.live,
            Identity::ObjectId => self.core.server.estimate(&home.heads).await?,
        };
        if live < WORTH_PARTING || shares < 2 {
            return Ok(Vec::new());
        }
        if let Some((then, borders)) = self.core.borders.0.lock().get(&(table, shares))
            && live.abs_diff(*then) < live / 4
        {
            return Ok(borders.clone());
        }
        let step = i64::try_from(live / shares as u64).unwrap_or(i64::MAX);
        let mut borders: Vec<ItemKey> = Vec::with_capacity(shares - 1);
        for _ in 1..shares {
            let Some(key) = self.key_after(&home, borders.last(), step).await? else { break };
            borders.push(key);
        }
        borders.dedup();
        self.core.borders.0.lock().insert((table, shares), (live, borders.clone()));
        Ok(borders)
    }

    /// The key of the live item that is `step` of them after one.
    async fn key_after(&self, home: &Home, from: Option<&ItemKey>, step: i64) -> Result<Option<ItemKey>, StoreError> {
        let (name, wanted) = match home.identity {
            Identity::Key => {
                let from = from.map_or_else(String::new, |key| row::hex(key.as_bytes()));
                ("cg.k", doc! { "cg.k": { "$gte": from }, "cg.o": { "$in": live_ops() } })
            }
            Identity::ObjectId => {
                let from = from.and_then(object::id_of).unwrap_or(ObjectId::from_bytes([0; 12]));
                ("_id", doc! { "_id": { "$gte": from } })
            }
        };
        let [sort, only] = [doc! { name: 1 }, doc! { name: 1 }];
        let pipeline = vec![
            doc! { "$match": wanted },
            doc! { "$sort": sort },
            doc! { "$skip": step },
            doc! { "$limit": 1 },
            doc! { "$project": only },
        ];
        let found = self.core.server.aggregate(&home.heads, pipeline).await?;
        let Some(bytes) = found.first() else { return Ok(None) };
        let document = row::Document::new(&home.heads, bytes)?;
        match home.identity {
            Identity::Key => document.part("cg")?.key().map(Some),
            Identity::ObjectId => Ok(Some(object::key_of(document.id("_id")?))),
        }
    }

    /// See [`crate::store::IndexStore::commit_at`].
    pub async fn commit_at(&self, at: Timestamp) -> Result<Option<CommitStamp>, StoreError> {
        let last = self.core.last_commit();
        if last.commit == CommitNo::ZERO {
            return Ok(None);
        }
        if last.time <= at {
            return Ok(Some(last));
        }
        let own = self.stamp(Find::new(doc! { "t": { "$lte": at.micros() } }).sort(doc! { "t": -1 })).await?;
        let library = library::newest_at(self.core, own.map_or(Timestamp::MIN, |own| own.time), at).await?;
        Ok(own.max(library))
    }

    pub async fn commit_stamp(&self, commit: CommitNo) -> Result<Option<CommitStamp>, StoreError> {
        let last = self.core.last_commit();
        if commit > last.commit {
            return Ok(None);
        }
        let own = self.stamp(Find::new(doc! { "_id": stored(commit.0) })).await?;
        // Numbers of the library's commits are instants, and any instant is good for a reader.
        Ok(own.or_else(|| (commit.0 >= apply::TIMED).then(|| library::stamp_of(commit))))
    }

    async fn stamp(&self, find: Find) -> Result<Option<CommitStamp>, StoreError> {
        let ns = &self.core.own.commits;
        let found = self.core.server.find_one(ns, find.only(doc! { "t": 1 })).await?;
        found.map(|bytes| stamp(&row::Document::new(ns, &bytes)?, "_id", "t")).transpose()
    }

    /// Every state of every definition, as known at the newest commit.
    pub async fn catalog(&self) -> Result<Vec<CatalogRow>, StoreError> {
        let last = self.core.last_commit().commit;
        let ns = &self.core.own.catalog;
        let find = Find::new(doc! { "begun": { "$lte": stored(last.0) } }).sort(doc! { "begun": 1, "kind": 1, "id": 1 });
        let found = self.core.server.find(ns, find).await?;
        found.iter().map(|bytes| definition(&row::Document::new(ns, bytes)?, last)).collect()
    }

    pub async fn reserve(&self, counter: u32, count: u64) -> Result<u64, StoreError> {
        let ns = &self.core.own.counters;
        let id = doc! { "_id": i64::from(counter) };
        let by = doc! { "$inc": { "next": count.cast_signed() } };
        match self.core.server.find_and_update(ns, id, by).await {
            Ok(after) => Ok(next_of(&after).wrapping_sub(count)),
            // A sum that MongoDB cannot hold.
            Err(StoreError::Engine(_)) => self.reserve_near_the_end(counter, count).await,
            Err(other) => Err(other),
        }
    }

    async fn reserve_near_the_end(&self, counter: u32, count: u64) -> Result<u64, StoreError> {
        let ns = &self.core.own.counters;
        loop {
            let first = self.counter(counter).await?;
            let update = doc! { "$set": { "next": first.saturating_add(count).cast_signed() } };
            let query = doc! { "_id": i64::from(counter), "next": first.cast_signed() };
            let command = doc! { "findAndModify": &ns.collection, "query": query, "update": update };
            let reply = self.core.server.command(&ns.database, command).await?;
            if reply.get_document("value").is_ok() {
                return Ok(first);
            }
        }
    }

    pub async fn counter(&self, counter: u32) -> Result<u64, StoreError> {
        let ns = &self.core.own.counters;
        let found = self.core.server.find_one(ns, Find::new(doc! { "_id": i64::from(counter) })).await?;
        found.map_or(Ok(0), |bytes| Ok(row::Document::new(ns, &bytes)?.number("next")?.cast_unsigned()))
    }

    pub async fn set_counter(&self, counter: u32, next: u64) -> Result<(), StoreError> {
        let ns = &self.core.own.counters;
        let set = doc! { "$set": { "next": next.cast_signed() } };
        self.core.server.find_and_update(ns, doc! { "_id": i64::from(counter) }, set).await.map(|_| ())
    }
}

fn next_of(counter: &Document) -> u64 {
    match counter.get("next") {
        Some(Bson::Int64(n)) => n.cast_unsigned(),
        Some(Bson::Int32(n)) => i64::from(*n).cast_unsigned(),
        _ => 0,
    }
}

/// A condition on one value, in the form that is cheapest to plan.
fn one_of(keys: &[String]) -> Bson {
    match keys {
        [one] => Bson::String(one.clone()),
        many => Bson::Document(doc! { "$in": many }),
    }
}

/// What of a head or version is read.
pub fn columns(payloads: bool) -> Document {
    if payloads {
        return doc! { "metaIndexed": 0, "fullShadow": 0 };
    }
    doc! { "metaIndexed": 0, "fullShadow": 0, "cg.p": 0, "jsonKey": 0 }
}

fn stamp(document: &row::Document<'_>, number: &str, time: &str) -> Result<CommitStamp, StoreError> {
    Ok(CommitStamp { commit: document.commit(number)?, time: document.time(time)? })
}

fn definition(document: &row::Document<'_>, last: CommitNo) -> Result<CatalogRow, StoreError> {
    let ended = match document.number_or_none("ended")? {
        Some(_) => Some(stamp(document, "ended", "et")?).filter(|stamp| stamp.commit <= last),
        None => None,
    };
    let id = u32::try_from(document.number("id")?).map_err(|_| document.corrupt("id"))?;
    Ok(CatalogRow {
        kind: document.text("kind")?.to_owned(),
        id,
        definition: document.text("definition")?.to_owned(),
        begun: stamp(document, "begun", "bt")?,
        ended,
    })
}

/// The log, read piece by piece.
pub struct Log {
    core: Arc<Core>,
    from: CommitNo,
    to: CommitNo,
}

impl Log {
    pub fn new(core: Arc<Core>, from: CommitNo, to: CommitNo) -> Self {
        Self { core, from, to }
    }
}

#[async_trait]
impl Pieces for Log {
    type Row = CommitInfo;

    async fn next(&mut self) -> Result<(Vec<CommitInfo>, bool), StoreError> {
        if self.from > self.to {
            return Ok((Vec::new(), false));
        }
        let (mut commits, library) = library::commits(&self.core, self.from, self.to).await?;
        let ns = &self.core.own.commits;
        let range = doc! { "_id": { "$gte": stored(self.from.0), "$lte": stored(self.to.0) } };
        let found = self.core.server.find(ns, Find::new(range).sort(doc! { "_id": 1 }).limit(COMMITS)).await?;
        let mut own = None;
        for bytes in &found {
            let info = commit(&row::Document::new(ns, bytes)?)?;
            own = Some(info.stamp.commit).filter(|_| found.len() == COMMITS);
            commits.insert(info.stamp.commit, info);
        }
        let cut = [own, library].into_iter().flatten().min();
        if let Some(cut) = cut {
            commits.retain(|number, _| *number <= cut);
            self.from = cut.next();
        }
        Ok((commits.into_values().collect(), cut.is_some()))
    }
}

fn commit(document: &row::Document<'_>) -> Result<CommitInfo, StoreError> {
    let context = document.part("context")?;
    let context: Context = context.deserialize().ok_or_else(|| document.corrupt("context"))?;
    let tables = document.texts("tables")?;
    Ok(CommitInfo { stamp: stamp(document, "_id", "t")?, context, tables, rows: document.counted("rows")? })
}

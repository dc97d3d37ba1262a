//! Commits that change items of collections which the library writes too.
//!
//! One group goes through these steps: lock its items (`locks`), read them (`current`), put the payloads of their next
//! versions (`placing`), and then one transaction (`turn`) that inserts versions, replaces heads (`documents`) and releases
//! the locks. Whatever fails before the transaction leaves nothing but objects that no version points to. What a request
//! cannot have (another's lock, a changed item, an unfit document) refuses that request alone.

pub mod counts;
mod current;
pub mod documents;
pub mod indexing;
mod layout;
pub mod locks;
mod placing;
#[cfg(test)]
mod tests;
pub mod unique;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use mongodb::bson::doc;
use mongodb::bson::oid::ObjectId;

pub use current::{Current, Source, read};
pub use layout::{Counters, LINGER, Layout, PlaceLayout};

use self::documents::Written;
use self::locks::{Held, Wanted};
use self::placing::{Draft, Placed};
use super::Core;
use super::apply::Item;
use super::home::{Home, Identity};
use super::object;
use super::row::{self, NewVersion};
use super::server::{Namespace, Trouble, settled};
use super::writer::{self, Back, Pending};
use crate::store::{CommitRequest, HeadCheck, PayloadRef, RowChange, StoreError};
use crate::versions::{TableId, Timestamp};

/// How many requests put their payloads at a time; the objects' own limits come on top.
const AT_ONCE: usize = 64;

/// How often locks are renewed while payloads are put.
const RENEWING: Duration = Duration::from_secs(8);

/// What a turn needs to know of a group whose locks are held and whose payloads are put.
#[derive(Debug)]
pub struct Joint {
    pub held: Held,
    /// The commit's time, unless commits of others are later.
    pub now: Timestamp,
    /// What is there of the payload of each changed item: its version's number, and what its documents say.
    placed: HashMap<Item, (u64, Written)>,
    pub linger: Duration,
}

impl Joint {
    /// What the documents of a version say; [`StoreError::Conflict`] when the version is another than the payload was put for.
    pub fn written(&self, table: TableId, version: &NewVersion, current: Option<&Current>) -> Result<Written, Trouble> {
        let item = (table, version.key.clone());
        let changed = || Trouble::from(StoreError::Conflict { table, key: version.key.clone() });
        if version.op.ends_item() {
            let current = current.ok_or_else(changed)?;
            return Ok(Written { at: at(self.now, Some(current)), meta: current.meta.clone() });
        }
        let placed = self.placed.get(&item).filter(|(number, _)| *number == version.number);
        placed.map(|(_, written)| written.clone()).ok_or_else(changed)
    }
}

/// The milliseconds that a version says it is of. Those of one item do not run back.
fn at(now: Timestamp, current: Option<&Current>) -> i64 {
    row::millis(now).max(current.map_or(i64::MIN, |current| current.updated))
}

const READ_ONLY: StoreError = StoreError::Unsupported("writing to a collection of the library");

/// Makes a collection ready to be written: the library makes its indexes when it creates the first item.
pub async fn ensure(core: &Core, home: &Home) -> Result<(), StoreError> {
    let layout = core.layout.as_ref().ok_or(READ_ONLY)?;
    if !layout.places.contains_key(&home.place.schema) {
        return Err(READ_ONLY);
    }
    if !core.server.transactions() {
        return Err(StoreError::Unsupported("writing to a MongoDB server without transactions"));
    }
    claim(core, &home.place.database).await?;
    let server = &core.server;
    let map = layout.collections.get(&home.collection);
    let indexes = crate::store::chronos::indexes::head(map);
    tolerant(server.ensure(&home.heads, &super::home::models(&indexes)).await, home)?;
    let indexes = crate::store::chronos::indexes::versions();
    tolerant(server.ensure(&home.versions, &super::home::models(&indexes)).await, home)?;
    server.ensure(&home.counter, &[]).await?;
    if let Some(counters) = layout.places.get(&home.place.schema).and_then(|place| place.counters.as_ref()) {
        server.ensure(&counters.namespace(), &[]).await?;
    }
    // Without the first of these there are no locks.
    server.ensure(&home.locks, &super::home::models(&crate::store::chronos::indexes::locks())).await
}

/// Indexes to search by may be there in another form.
fn tolerant(made: Result<(), StoreError>, home: &Home) -> Result<(), StoreError> {
    match made {
        Err(StoreError::Engine(cause)) => {
            tracing::warn!(collection = home.collection, cause, "indexes of a collection cannot be made");
            Ok(())
        }
        other => other,
    }
}

/// One Chronogate database writes in a MongoDB database: two would number their commits without regard to each other.
async fn claim(core: &Core, database: &str) -> Result<(), StoreError> {
    let ns = Namespace::new(database, "chronogate_owner");
    let own = core.own.home();
    let first = doc! { "$setOnInsert": { "home": own } };
    let owner = core.server.find_and_update(&ns, doc! { "_id": "owner" }, first).await?;
    match owner.get_str("home") {
        Ok(home) if home == own => Ok(()),
        _ => Err(StoreError::Unsupported("writing to a collection that another database writes to")),
    }
}

/// Turns each truncation of a collection into changes of all its living items.
pub async fn spell_out(core: &Arc<Core>, request: &mut CommitRequest) -> Result<(), StoreError> {
    let mut rest = Vec::new();
    for (table, seen) in std::mem::take(&mut request.truncate) {
        if core.home(table).await?.identity != Identity::ObjectId {
            rest.push((table, seen));
            continue;
        }
        let last = core.last_commit();
        if super::reader::Reader::new(core).last_change(table).await? > seen {
            return Err(StoreError::Conflict { table, key: crate::versions::change::whole_table() });
        }
        let keys = crate::versions::KeyFilter::All;
        let snapshot = crate::versions::Snapshot { commit: last.commit, time: last.time };
        let scope = crate::versions::Scope::Current;
        let scan = crate::store::ScanRequest { table, snapshot, scope, keys, candidates: None, payloads: false, limit: None };
        let mut states = super::pieces(super::scan::Scan::new(core.clone(), scan));
        while let Some(piece) = states.next().await {
            for state in piece? {
                request.rows.push(RowChange {
                    table,
                    key: state.key,
                    check: HeadCheck::At(state.version.number),
                    op: crate::versions::Op::Truncate,
                    payload: None,
                    old_entries: Vec::new(),
                    new_entries: Vec::new(),
                });
            }
            if request.rows.len() > MOST {
                return Err(StoreError::Unsupported("TRUNCATE of a collection with so many documents"));
            }
        }
    }
    request.truncate = rest;
    Ok(())
}

/// Items that one commit may change: a transaction of MongoDB's ends after a minute.
const MOST: usize = 50_000;

/// Commits a group; each request is answered when it is durable, refused, or given back to wait for a lock.
pub async fn commit(core: &Arc<Core>, mut group: Vec<Pending>, back: &Back) {
    while !group.is_empty() {
        let later = take_repeated(&mut group);
        round(core, group, back).await;
        group = later;
    }
}

/// Requests about an item that an earlier one is about: they have to see its outcome.
fn take_repeated(group: &mut Vec<Pending>) -> Vec<Pending> {
    let mut seen: HashSet<Item> = HashSet::new();
    let mut later = Vec::new();
    for pending in std::mem::take(group) {
        let items: Vec<Item> = pending.request.rows.iter().map(|row| (row.table, row.key.clone())).collect();
        if items.iter().any(|item| seen.contains(item)) {
            later.push(pending);
        } else {
            seen.extend(items);
            group.push(pending);
        }
    }
    later
}

/// A request with what its rows in collections need.
struct Asked {
    pending: Pending,
    wanted: Vec<Wanted>,
}

impl Asked {
    async fn of(core: &Core, pending: Pending) -> Result<Self, (Pending, StoreError)> {
        let mut wanted = Vec::new();
        for row in &pending.request.rows {
            let home = match core.home(row.table).await {
                Ok(home) => home,
                Err(error) => return Err((pending, error)),
            };
            if home.identity == Identity::Key {
                continue;
            }
            let Some(id) = object::id_of(&row.key) else {
                return Err((pending, StoreError::Unfit("_id must be 24 hexadecimal digits".to_owned())));
            };
            wanted.push(Wanted { home, item: (row.table, row.key.clone()), id, op: row.op });
        }
        if wanted.len() > MOST {
            return Err((pending, StoreError::Unsupported("one commit of so many documents of collections")));
        }
        Ok(Self { pending, wanted })
    }

    fn items(&self) -> Vec<Item> {
        self.wanted.iter().map(|wanted| wanted.item.clone()).collect()
    }

    fn refuse(self, error: StoreError) {
        let _ = self.pending.reply.send(Err(error));
    }
}

async fn round(core: &Arc<Core>, group: Vec<Pending>, back: &Back) {
    let mut asked = Vec::with_capacity(group.len());
    for pending in group {
        match Asked::of(core, pending).await {
            Ok(one) => asked.push(one),
            Err((pending, error)) => drop(pending.reply.send(Err(error))),
        }
    }
    let wanted: Vec<Wanted> = asked.iter().flat_map(|one| one.wanted.iter().cloned()).collect();
    let held = match locks::acquire(core, &wanted).await {
        Ok(held) => held,
        Err(error) => return asked.into_iter().for_each(|one| one.refuse(error.clone())),
    };
    let has_all = |one: &Asked| one.wanted.iter().all(|wanted| held.has(&wanted.item));
    let (asked, blocked): (Vec<Asked>, Vec<Asked>) = asked.into_iter().partition(has_all);
    let given_up: Vec<Item> = blocked.iter().flat_map(Asked::items).collect();
    locks::release(core, &held, &given_up).await;
    for one in blocked {
        let (table, key) = one
            .wanted
            .iter()
            .find(|wanted| !held.has(&wanted.item))
            .map_or_else(|| (TableId(0), crate::versions::change::whole_table()), |wanted| wanted.item.clone());
        back.later(core, one.pending, StoreError::Locked { table, key });
    }
    if !asked.is_empty() {
        locked(core, asked, held).await;
    }
}

/// Goes on with requests that have all their locks.
async fn locked(core: &Arc<Core>, mut asked: Vec<Asked>, mut held: Held) {
    let fresh = match fresh(core, &asked).await {
        Ok(fresh) => fresh,
        Err(error) => return give_up(core, &held, asked, &error).await,
    };
    let now = Timestamp::from_micros(core.clock.now_micros());
    let mut placed = HashMap::new();
    let puts = put_all(core, &asked, &fresh, now);
    let outcomes = match under_locks(core, &mut held, puts).await {
        Ok(outcomes) => outcomes,
        Err(error) => return give_up(core, &held, asked, &error).await,
    };
    let mut refused = Vec::new();
    let mut kept = Vec::with_capacity(asked.len());
    for (mut one, outcome) in asked.drain(..).zip(outcomes) {
        match outcome {
            Ok(payloads) => {
                for (at, payload) in payloads {
                    let Some(row) = one.pending.request.rows.get_mut(at) else { continue };
                    let written = Written { at: payload.at, meta: payload.meta };
                    placed.insert((row.table, row.key.clone()), (payload.number, written));
                    row.payload = Some(payload.payload);
                }
                kept.push(one);
            }
            Err(error) => {
                refused.extend(one.items());
                one.refuse(error);
            }
        }
    }
    locks::release(core, &held, &refused).await;
    if kept.is_empty() {
        return;
    }
    let joint = Joint { held, now, placed, linger: core.layout.as_ref().map_or(LINGER, |layout| layout.linger) };
    finish(core, kept, &joint).await;
}

/// Commits what is put, and answers.
async fn finish(core: &Arc<Core>, kept: Vec<Asked>, joint: &Joint) {
    let mut requests = Vec::with_capacity(kept.len());
    let mut rest = Vec::with_capacity(kept.len());
    for one in kept {
        requests.push(one.pending.request);
        rest.push((one.pending.reply, one.wanted));
    }
    let outcomes = writer::outcomes(core, &requests, Some(joint)).await;
    let mut homes: BTreeMap<String, Arc<Home>> = BTreeMap::new();
    let mut unused = Vec::new();
    for ((reply, wanted), outcome) in rest.into_iter().zip(outcomes) {
        match &outcome {
            Ok(_) => homes.extend(wanted.iter().map(|one| (one.home.locks.to_string(), one.home.clone()))),
            // It may be committed yet, or there is nobody to tell: the locks expire.
            Err(StoreError::Undecided | StoreError::Unreachable) => {}
            Err(_) => unused.extend(wanted.into_iter().map(|wanted| wanted.item)),
        }
        // Nobody may be waiting any more; what was committed stays committed.
        let _ = reply.send(outcome);
    }
    locks::release(core, &joint.held, &unused).await;
    tokio::spawn(afterwards(core.clone(), homes.into_values().collect()));
}

async fn afterwards(core: Arc<Core>, homes: Vec<Arc<Home>>) {
    for home in homes {
        if core.homes.sweeps_locks(&home.locks)
            && let Err(error) = locks::sweep(&core, &home).await
        {
            tracing::debug!(%error, "released locks are left");
        }
    }
}

async fn give_up(core: &Core, held: &Held, asked: Vec<Asked>, error: &StoreError) {
    let items: Vec<Item> = asked.iter().flat_map(Asked::items).collect();
    locks::release(core, held, &items).await;
    asked.into_iter().for_each(|one| one.refuse(error.clone()));
}

/// The items of these requests, as they are under their locks.
async fn fresh(core: &Core, asked: &[Asked]) -> Result<HashMap<Item, Current>, StoreError> {
    let mut tables: BTreeMap<TableId, (Arc<Home>, Vec<crate::versions::ItemKey>)> = BTreeMap::new();
    for wanted in asked.iter().flat_map(|one| &one.wanted) {
        let (table, key) = &wanted.item;
        tables.entry(*table).or_insert_with(|| (wanted.home.clone(), Vec::new())).1.push(key.clone());
    }
    let mut fresh = HashMap::new();
    for (table, (home, keys)) in tables {
        let found = current::read(core, &mut Source::Server(&core.server), &home, keys.iter()).await;
        let found = found.map_err(settled)?;
        fresh.extend(found.into_iter().map(|(key, current)| ((table, key), current)));
    }
    Ok(fresh)
}

/// The payloads of one request, by the places of their rows.
type Payloads = Vec<(usize, Placed)>;

async fn put_all(
    core: &Core,
    asked: &[Asked],
    fresh: &HashMap<Item, Current>,
    now: Timestamp,
) -> Vec<Result<Payloads, StoreError>> {
    let puts: Vec<_> = asked.iter().map(|one| put(core, one, fresh, now).boxed()).collect();
    futures::stream::iter(puts).buffered(AT_ONCE).collect().await
}

/// Puts a request's payloads, if its items are what it takes them for.
async fn put(core: &Core, asked: &Asked, fresh: &HashMap<Item, Current>, now: Timestamp) -> Result<Payloads, StoreError> {
    let homes: HashMap<&Item, &Wanted> = asked.wanted.iter().map(|wanted| (&wanted.item, wanted)).collect();
    let mut rows = Vec::new();
    let mut drafts = Vec::new();
    for (place, row) in asked.pending.request.rows.iter().enumerate() {
        let item = (row.table, row.key.clone());
        let Some(wanted) = homes.get(&item) else { continue };
        let current = fresh.get(&item);
        if let Err(refused) = check(row, current) {
            // Whoever tries again shall see why.
            if let Some(current) = current.filter(|current| current.by_library) {
                core.publish(current.newest);
            }
            return Err(refused);
        }
        let Some(payload) = &row.payload else { continue };
        drafts.push(draft(core, wanted, payload, current, now)?);
        rows.push(place);
    }
    Ok(rows.into_iter().zip(placing::place(drafts).await?).collect())
}

fn draft<'d>(
    core: &'d Core,
    wanted: &'d Wanted,
    payload: &'d PayloadRef,
    current: Option<&Current>,
    now: Timestamp,
) -> Result<Draft<'d>, StoreError> {
    let layout = core.layout.as_ref();
    let place = layout.and_then(|layout| layout.places.get(&wanted.home.place.schema));
    let (Some(layout), Some(place)) = (layout, place) else {
        return Err(StoreError::Unsupported("writing to a collection of the library"));
    };
    let PayloadRef::Inline(document) = payload else {
        return Err(StoreError::Engine("a document of a collection was placed by another".to_owned()));
    };
    Ok(Draft {
        layout,
        place,
        home: &wanted.home,
        id: wanted.id,
        number: current.map_or(0, |current| current.head.number + 1),
        created: current.map(|current| current.head.created_at),
        at: at(now, current),
        document,
    })
}

/// The same as will be asked within the transaction, so that no payload is put in vain.
fn check(row: &RowChange, current: Option<&Current>) -> Result<(), StoreError> {
    let live = current.filter(|current| current.head.is_live());
    let (table, key) = (row.table, row.key.clone());
    match (row.check, live) {
        (HeadCheck::Absent, None) => Ok(()),
        (HeadCheck::Absent, Some(_)) => Err(StoreError::KeyExists { table, key }),
        (HeadCheck::At(expected), Some(current)) if current.head.number == expected.0 => Ok(()),
        (HeadCheck::At(_), _) => Err(StoreError::Conflict { table, key }),
    }
}

/// Waits for work that goes on under locks, and keeps them alive meanwhile.
async fn under_locks<T>(core: &Core, held: &mut Held, work: impl Future<Output = T>) -> Result<T, StoreError> {
    let mut work = std::pin::pin!(work);
    loop {
        let until = held.writable_until().into();
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(RENEWING) => {}
        }
        tokio::select! {
            done = &mut work => return Ok(done),
            renewed = locks::renew(core, held) => renewed?,
            () = tokio::time::sleep_until(until) => return Err(StoreError::Unreachable),
        }
    }
}

/// Where the newest documents of a group's items are kept until their heads are written.
#[derive(Debug, Default)]
pub struct Known {
    pub current: HashMap<Item, Current>,
    pub written: HashMap<Item, Written>,
}

/// The id of a collection's item.
pub fn id(item: &Item) -> Result<ObjectId, StoreError> {
    object::id_of(&item.1).ok_or_else(|| StoreError::Unfit("_id must be 24 hexadecimal digits".to_owned()))
}

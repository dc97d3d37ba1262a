//! Locks on items, as the library takes them: rows in `<C>_locks`, one for each item, that expire.
//!
//! Taken before an item's payload is written, because every writer gives the payload of version n the same name. A row that
//! its commit has marked `released` stays for a moment: gateways may take it over at once, the library has to wait until it
//! expires. Rows are told by a token, so that nobody's row is ever taken for another's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, cstr, doc, rawdoc};

use crate::store::StoreError;
use crate::store::mongo::Core;
use crate::store::mongo::apply::Item;
use crate::store::mongo::home::Home;
use crate::store::mongo::server::{Transaction, Trouble};
use crate::store::mongo::turn::KEYS;
use crate::versions::Op;

/// How long a row keeps others out, unless it is renewed.
const LIFE: Duration = Duration::from_secs(30);

/// With less than this left, nothing more is written under a lock.
const MARGIN: Duration = Duration::from_secs(10);

const DUPLICATE_KEY: i32 = 11000;

/// An item to lock.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub home: Arc<Home>,
    pub item: Item,
    pub id: ObjectId,
    pub op: Op,
}

/// Rows that were taken together.
#[derive(Debug)]
pub struct Held {
    pub token: ObjectId,
    rows: HashMap<Item, (Arc<Home>, ObjectId)>,
    until: Instant,
}

impl Held {
    pub fn has(&self, item: &Item) -> bool {
        self.rows.contains_key(item)
    }

    /// Until when something may be written under these locks.
    pub fn writable_until(&self) -> Instant {
        self.until - MARGIN
    }
}

type Rows<'w> = BTreeMap<&'w str, (&'w Arc<Home>, Vec<&'w Wanted>)>;

fn by_home(wanted: &[Wanted]) -> Rows<'_> {
    let mut rows = Rows::new();
    for one in wanted {
        rows.entry(&one.home.locks.collection).or_insert_with(|| (&one.home, Vec::new())).1.push(one);
    }
    rows
}

/// Locks as many of these items as nobody else has, without waiting.
pub async fn acquire(core: &Core, wanted: &[Wanted]) -> Result<Held, StoreError> {
    let mut held = Held { token: core.ids.make(), rows: HashMap::new(), until: Instant::now() + LIFE };
    // Collections of one name may be in several places.
    let mut places: BTreeMap<&str, Vec<Wanted>> = BTreeMap::new();
    wanted.iter().for_each(|one| places.entry(&one.home.place.database).or_default().push(one.clone()));
    for wanted in places.values() {
        for (home, wanted) in by_home(wanted).into_values() {
            for some in wanted.chunks(KEYS) {
                if let Err(error) = lock(core, home, some, &mut held).await {
                    let items: Vec<Item> = wanted.iter().map(|one| one.item.clone()).chain(held.rows.keys().cloned()).collect();
                    release(core, &held, &items).await;
                    return Err(error);
                }
            }
        }
    }
    Ok(held)
}

async fn lock(core: &Core, home: &Arc<Home>, wanted: &[&Wanted], held: &mut Held) -> Result<(), StoreError> {
    let mut refused = insert(core, home, held.token, wanted).await?;
    if !refused.is_empty() {
        // As the library does: whoever finds expired rows removes them.
        let expired = doc! { "q": { "expiresAt": { "$lt": DateTime::from_millis(millis(core)) } }, "limit": 0 };
        let command = doc! { "delete": &home.locks.collection, "deletes": [expired] };
        core.server.command(&home.locks.database, command).await?;
        refused = insert(core, home, held.token, &refused).await?;
    }
    let taken = wanted.iter().filter(|one| !refused.iter().any(|refused| refused.id == one.id));
    held.rows.extend(taken.map(|one| (one.item.clone(), (home.clone(), one.id))));
    Ok(())
}

/// Inserts rows, or takes over those that are released; the items whose rows others hold.
async fn insert<'w>(core: &Core, home: &Home, token: ObjectId, wanted: &[&'w Wanted]) -> Result<Vec<&'w Wanted>, StoreError> {
    let now = millis(core);
    let updates: Vec<Document> = wanted
        .iter()
        .map(|one| {
            let set = doc! {
                "collection": &home.collection,
                "dbName": &home.place.database,
                "operation": operation(one.op),
                "lockedAt": DateTime::from_millis(now),
                "expiresAt": DateTime::from_millis(now + as_millis(LIFE)),
                "serverId": &core.gateway,
                "token": token,
            };
            // With the token it may be repeated when no answer was heard.
            let free = doc! { "itemId": one.id, "$or": [{ "token": token }, { "released": true }] };
            doc! { "q": free, "u": { "$set": set, "$unset": { "released": "" } }, "upsert": true }
        })
        .collect();
    let command = doc! {
        "update": &home.locks.collection,
        "updates": updates,
        "ordered": false,
        "writeConcern": { "w": "majority" },
    };
    let reply = core.server.command(&home.locks.database, command).await?;
    let mut refused = Vec::new();
    for error in reply.get_array("writeErrors").ok().into_iter().flatten().filter_map(|error| error.as_document()) {
        let place = error.get_i32("index").ok().and_then(|index| usize::try_from(index).ok());
        let one = place.and_then(|place| wanted.get(place));
        match (error.get_i32("code"), one) {
            (Ok(DUPLICATE_KEY), Some(one)) => refused.push(*one),
            _ => return Err(StoreError::Engine(format!("{}: {error}", home.locks))),
        }
    }
    Ok(refused)
}

/// Makes the rows live as long again; [`StoreError::Conflict`] when one was lost meanwhile.
pub async fn renew(core: &Core, held: &mut Held) -> Result<(), StoreError> {
    let until = Instant::now() + LIFE;
    for (home, items) in rows_of(held, None) {
        let ids: Vec<ObjectId> = items.iter().map(|(_, id)| *id).collect();
        for some in ids.chunks(KEYS) {
            let filter = doc! { "token": held.token, "itemId": { "$in": some } };
            let set = doc! { "$set": { "expiresAt": DateTime::from_millis(millis(core) + as_millis(LIFE)) } };
            let command = doc! {
                "update": &home.locks.collection,
                "updates": [{ "q": filter, "u": set, "multi": true }],
                "writeConcern": { "w": "majority" },
            };
            let reply = core.server.command(&home.locks.database, command).await?;
            if reply.get_i32("n").ok().and_then(|n| usize::try_from(n).ok()) != Some(some.len()) {
                return Err(lost(items.first().map(|(item, _)| item)));
            }
        }
    }
    held.until = until;
    Ok(())
}

/// Within the transaction that commits: the rows of these items are still there, and are released by the commit.
pub async fn release_within(
    core: &Core,
    transaction: &mut Transaction<'_>,
    held: &Held,
    items: &[Item],
    linger: Duration,
) -> Result<(), Trouble> {
    for (home, items) in rows_of(held, Some(items)) {
        let ids: Vec<ObjectId> = items.iter().map(|(_, id)| *id).collect();
        for some in ids.chunks(KEYS) {
            let expires = DateTime::from_millis(millis(core) + as_millis(linger));
            let set = doc! { "$set": { "expiresAt": expires, "released": true } };
            let update = doc! { "q": { "token": held.token, "itemId": { "$in": some } }, "u": set, "multi": true };
            let mut command = rawdoc! { "update": home.locks.collection.as_str() };
            let updates = mongodb::bson::serialize_to_raw_document_buf(&update);
            let updates = updates.map_err(|cause| StoreError::Engine(cause.to_string()))?;
            command.append(cstr!("updates"), [updates].into_iter().collect::<mongodb::bson::RawArrayBuf>());
            let reply = transaction.command(&home.locks.database, command).await?;
            if reply.get_i32("n").ok().and_then(|n| usize::try_from(n).ok()) != Some(some.len()) {
                return Err(lost(items.first().map(|(item, _)| item)).into());
            }
        }
    }
    Ok(())
}

/// Gives up rows under which nothing can be committed any more. What cannot be told to the server expires.
pub async fn release(core: &Core, held: &Held, items: &[Item]) {
    for (home, items) in rows_of(held, Some(items)) {
        let ids: Vec<ObjectId> = items.iter().map(|(_, id)| *id).collect();
        let filter = doc! { "token": held.token, "itemId": { "$in": ids } };
        let command = doc! { "delete": &home.locks.collection, "deletes": [{ "q": filter, "limit": 0 }] };
        if let Err(error) = core.server.command(&home.locks.database, command).await {
            tracing::debug!(%error, "locks are left to expire");
        }
    }
}

/// Removes rows that gateways have released and that keep nobody out any more.
pub async fn sweep(core: &Core, home: &Home) -> Result<(), StoreError> {
    let filter = doc! { "released": true, "expiresAt": { "$lt": DateTime::from_millis(millis(core)) } };
    let command = doc! { "delete": &home.locks.collection, "deletes": [{ "q": filter, "limit": 0 }] };
    core.server.command(&home.locks.database, command).await.map(drop)
}

type OfHome = (Arc<Home>, Vec<(Item, ObjectId)>);

/// Rows by collection; all of them, or those of some items.
fn rows_of(held: &Held, items: Option<&[Item]>) -> Vec<OfHome> {
    let mut homes: Vec<OfHome> = Vec::new();
    let mut add = |item: &Item, (home, id): &(Arc<Home>, ObjectId)| match homes.iter_mut().find(|(known, _)| known == home) {
        Some((_, rows)) => rows.push((item.clone(), *id)),
        None => homes.push((home.clone(), vec![(item.clone(), *id)])),
    };
    match items {
        None => held.rows.iter().for_each(|(item, row)| add(item, row)),
        Some(items) => items.iter().for_each(|item| {
            if let Some(row) = held.rows.get(item) {
                add(item, row);
            }
        }),
    }
    homes
}

/// Work took longer than the lock lived, and another has the item.
fn lost(item: Option<&Item>) -> StoreError {
    match item.cloned() {
        Some((table, key)) => StoreError::Conflict { table, key },
        None => StoreError::Unreachable,
    }
}

fn operation(op: Op) -> &'static str {
    match op {
        Op::Create => "CREATE",
        Op::Update | Op::Restore => "UPDATE",
        Op::Delete | Op::Truncate | Op::Erase => "DELETE",
    }
}

fn millis(core: &Core) -> i64 {
    core.clock.now_micros().div_euclid(1000)
}

fn as_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

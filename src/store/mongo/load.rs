//! History loads: states with their own periods, checked against what the items have as they are written.
//!
//! Runs with the writer, in one transaction, on what [`loading::feed`] hands it. MongoDB gives up a transaction that stays open for too long (by default a
//! minute), which bounds how much one load can bring.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{cstr, rawdoc};
use tokio::sync::mpsc;

use super::Core;
use super::apply::{self, Slot};
use super::home::{Home, Identity};
use super::row::{self, Head, NewVersion};
use super::server::Trouble;
use super::turn::Turn;
use super::writer::pause;
use crate::store::loading::{self, Feed, LoadHeader, QueuedLoad};
use crate::store::{RowState, StoreError};
use crate::versions::change::bad_period;
use crate::versions::{CommitStamp, Context, ItemKey, Op, PeriodEnd, TableId};

/// Makes the load and answers its caller.
pub async fn serve(core: &Core, queued: QueuedLoad) {
    let QueuedLoad { header, mut batches, reply } = queued;
    let done = make(core, &header, &mut batches).await;
    if let Ok((stamp, _)) = &done {
        core.publish(*stamp);
    }
    let _ = reply.send(done);
}

async fn make(core: &Core, header: &LoadHeader, batches: &mut mpsc::Receiver<Feed>) -> Result<(CommitStamp, u64), StoreError> {
    if core.home(header.table).await?.identity == Identity::ObjectId {
        return Err(StoreError::Unsupported("loading history into a collection of the library"));
    }
    let home = core.writable(header.table).await?;
    let turn = begin(core).await?;
    let stamp = apply::next_stamp(turn.last, turn.now);
    let mut loader = Loader::new(turn, header.table, home, stamp);
    let loaded = match loader.run(header, batches).await {
        Ok(()) => Ok(()),
        Err(Trouble::Store(error)) => Err(error),
        Err(Trouble::Again | Trouble::Gone | Trouble::Undecided) => Err(StoreError::Unreachable),
    };
    if let Err(error) = loaded {
        loader.turn.transaction.abort().await;
        return Err(error);
    }
    let (token, count) = (loader.turn.token, loader.count);
    match loader.turn.transaction.commit().await {
        Ok(()) => Ok((stamp, count)),
        Err(Trouble::Store(error)) => Err(error),
        Err(Trouble::Again | Trouble::Gone) => Err(StoreError::Unreachable),
        Err(Trouble::Undecided) => decide(core, token, stamp).await.map(|()| (stamp, count)),
    }
}

/// A load's turn. It cannot be taken again once states have been read, so it is waited for here.
async fn begin(core: &Core) -> Result<Turn<'_>, StoreError> {
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        match Turn::begin(core, None).await {
            Ok(turn) => return Ok(turn),
            Err(Trouble::Store(error)) => return Err(error),
            Err(Trouble::Again | Trouble::Gone | Trouble::Undecided) => {
                if begun.elapsed() > core.server.patience() {
                    return Err(StoreError::Unreachable);
                }
                pause(core, tries).await;
                tries += 1;
            }
        }
    }
}

/// Waits for another turn, by which the load was made or will not be any more.
async fn decide(core: &Core, token: ObjectId, stamp: CommitStamp) -> Result<(), StoreError> {
    let mut turn = begin(core).await.map_err(|_| StoreError::Undecided)?;
    let earlier = super::turn::Done { token, first: Some(stamp.commit), last: stamp, outcomes: Vec::new() };
    let made = turn.was_made(&earlier).await;
    turn.transaction.abort().await;
    match made {
        Ok(true) => Ok(()),
        Ok(false) => Err(StoreError::Unreachable),
        Err(_) => Err(StoreError::Undecided),
    }
}

struct Loader<'c> {
    turn: Turn<'c>,
    table: TableId,
    home: Arc<Home>,
    stamp: CommitStamp,
    count: u64,
    opened: i64,
}

/// One batch, over the heads of its items.
struct Batch {
    heads: HashMap<ItemKey, Head>,
    known: HashSet<ItemKey>,
    versions: Vec<NewVersion>,
    /// Where the newest state of each item stands among `versions`, when it is there.
    newest: HashMap<ItemKey, usize>,
    /// States of earlier batches and loads that go on: their key and number.
    go_on: Vec<(ItemKey, u64)>,
    /// Ends of them that are none any more, by number.
    undone: BTreeSet<(ItemKey, u64)>,
    entries: BTreeSet<String>,
    /// Who holds unique keys that the batch claims, and what it adds to them.
    held: apply::Group,
}

impl Batch {
    fn new(turn: &Turn<'_>) -> Self {
        Self {
            heads: HashMap::new(),
            known: HashSet::new(),
            versions: Vec::new(),
            newest: HashMap::new(),
            go_on: Vec::new(),
            undone: BTreeSet::new(),
            entries: BTreeSet::new(),
            held: apply::Group::new(turn.last, turn.catalog, turn.core.ids.clone()),
        }
    }
}

impl<'c> Loader<'c> {
    fn new(turn: Turn<'c>, table: TableId, home: Arc<Home>, stamp: CommitStamp) -> Self {
        Self { turn, table, home, stamp, count: 0, opened: 0 }
    }

    async fn run(&mut self, header: &LoadHeader, batches: &mut mpsc::Receiver<Feed>) -> Result<(), Trouble> {
        loop {
            match batches.recv().await {
                Some(Feed::States(states)) => self.add(states, &header.context).await?,
                Some(Feed::End) => break,
                Some(Feed::Failed(error)) => return Err(error.into()),
                None => return Err(loading::abandoned().into()),
            }
        }
        self.turn.touch(self.table, self.stamp.commit, self.opened, true);
        self.turn.log(self.stamp, &header.context, &BTreeSet::from([header.table_name.as_str()]), self.count)?;
        self.turn.write_state(self.stamp, false);
        self.turn.writes.flush(&mut self.turn.transaction).await
    }

    async fn add(&mut self, states: Vec<RowState>, context: &Context) -> Result<(), Trouble> {
        if states.is_empty() {
            return Ok(());
        }
        self.count += states.len() as u64;
        let mut batch = Batch::new(&self.turn);
        let keys: BTreeSet<&ItemKey> = states.iter().map(|state| &state.key).collect();
        let keys: Vec<&ItemKey> = keys.into_iter().collect();
        batch.heads.extend(self.turn.heads(self.table, &keys).await?);
        batch.known = batch.heads.keys().cloned().collect();
        let unique = states.iter().filter(|s| s.to.is_none()).flat_map(|s| &s.entries).filter(|e| e.unique);
        let slots: BTreeSet<Slot> = unique.map(|e| (e.index, e.key.clone())).collect();
        let slots: Vec<&Slot> = slots.iter().collect();
        for chunk in slots.chunks(super::turn::KEYS) {
            self.turn.holders(&mut batch.held, chunk).await?;
        }
        for state in &states {
            self.append(&mut batch, state)?;
        }
        self.write(batch, context).await
    }

    fn append(&mut self, batch: &mut Batch, state: &RowState) -> Result<(), StoreError> {
        loading::check_period(self.table, state, self.stamp.time)?;
        let (op, number, first) = self.follow(batch, state)?;
        for entry in &state.entries {
            batch.entries.insert(apply::entry_id(entry.index, &entry.key, &state.key));
        }
        if state.to.is_none() {
            self.opened += 1;
            self.claim(batch, state)?;
        }
        let before = batch.heads.get(&state.key);
        let (commit, time) = (self.stamp.commit, state.from);
        let id = before.map_or_else(|| self.turn.core.ids.make(), |h| h.id);
        let end = state.to.map(|to| PeriodEnd { to, commit, op: Op::Delete });
        let version = NewVersion {
            id,
            key: state.key.clone(),
            number,
            op,
            commit,
            time,
            end,
            payload: state.payload.clone(),
            follows: before.is_some(),
        };
        let after = Head {
            id,
            number: if end.is_some() { number + 1 } else { number },
            op: if end.is_some() { Op::Delete } else { op },
            changed: commit,
            time: state.to.unwrap_or(time),
            begun: commit,
            first,
            created_at: before.map_or_else(|| row::millis(time), |h| h.created_at),
            payload: state.payload.clone(),
        };
        batch.newest.insert(state.key.clone(), batch.versions.len());
        batch.versions.push(version);
        batch.heads.insert(state.key.clone(), after);
        Ok(())
    }

    /// Checks the state against the one before it: the op and number it gets, and the item's first commit. Tells the one
    /// before when it goes on.
    fn follow(&self, batch: &mut Batch, state: &RowState) -> Result<(Op, u64, crate::versions::CommitNo), StoreError> {
        let Some(head) = batch.heads.get(&state.key) else { return Ok((Op::Create, 0, self.stamp.commit)) };
        if head.is_live() {
            return Err(loading::refusal(self.table, state, bad_period::AFTER_OPEN));
        }
        if head.time > state.from {
            return Err(loading::refusal(self.table, state, bad_period::OVERLAP));
        }
        // An end that another commit than the one that began the state made, a change made: it stays.
        if head.time < state.from || head.changed != head.begun {
            return Ok((Op::Create, head.number + 1, head.first));
        }
        let (number, first) = (head.number, head.first);
        match batch.newest.get(&state.key).and_then(|place| batch.versions.get_mut(*place)) {
            Some(version) => version.end = version.end.map(|end| PeriodEnd { op: Op::Update, ..end }),
            None => {
                batch.go_on.push((state.key.clone(), number.saturating_sub(1)));
                batch.undone.insert((state.key.clone(), number));
            }
        }
        Ok((Op::Update, number, first))
    }

    fn claim(&self, batch: &mut Batch, state: &RowState) -> Result<(), StoreError> {
        let item = (self.table, state.key.clone());
        for entry in state.entries.iter().filter(|e| e.unique) {
            let slot = (entry.index, entry.key.clone());
            match batch.held.holders.get(&slot).and_then(Option::as_ref) {
                Some(holder) if *holder == item => {}
                Some(_) => return Err(StoreError::UniqueExists { index: entry.index, key: entry.key.clone() }),
                None => {
                    batch.held.new_holders.insert(slot.clone());
                    batch.held.holders.insert(slot, Some(item.clone()));
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, batch: Batch, context: &Context) -> Result<(), Trouble> {
        let gaps = batch.versions.iter().filter(|v| ends_item(v)).count();
        let mut cv = self.turn.take_cv(&self.home, batch.versions.len() + gaps).await?;
        let mut newest = HashMap::new();
        for (key, number) in &batch.go_on {
            let mut filter = rawdoc! { "cg.k": row::hex(key.as_bytes()) };
            row::append_number(&mut filter, cstr!("ov"), *number);
            let set = rawdoc! { "cg.eo": Op::Update as i32 };
            self.turn.writes.update(&self.home.versions, filter, rawdoc! { "$set": set });
        }
        for version in batch.versions {
            let end = ends_item(&version).then(|| end_of(&version)).flatten();
            // What stood there said that the item had ended.
            let replaces = batch.undone.contains(&(version.key.clone(), version.number));
            self.write_version(&version, cv, context, replaces);
            cv += 1;
            if let Some(end) = end {
                self.write_version(&end, cv, context, false);
                cv += 1;
            }
            newest.insert(version.key, cv - 1);
        }
        for (key, head) in &batch.heads {
            let Some(cv) = newest.get(key) else { continue };
            self.turn.write_head(&self.home, key, head, *cv, batch.known.contains(key));
        }
        self.turn.write_holders(&batch.held);
        self.turn.write_entries(batch.entries.iter(), self.stamp.commit);
        // The next batch reads what this one wrote.
        self.turn.writes.flush(&mut self.turn.transaction).await
    }

    fn write_version(&mut self, version: &NewVersion, cv: u64, context: &Context, replaces: bool) {
        if replaces {
            let mut filter = rawdoc! { "cg.k": row::hex(version.key.as_bytes()) };
            row::append_number(&mut filter, cstr!("ov"), version.number);
            self.turn.writes.delete_all(&self.home.versions, filter);
        }
        self.turn.writes.insert(&self.home.versions, row::version_document(self.turn.core.ids.make(), version, cv, context));
    }
}

/// Whether a state's end is that of the item, as far as is known.
fn ends_item(version: &NewVersion) -> bool {
    version.end.is_some_and(|end| end.op.ends_item())
}

/// The version that says so.
fn end_of(version: &NewVersion) -> Option<NewVersion> {
    let end = version.end?;
    let number = version.number + 1;
    Some(NewVersion { number, op: end.op, time: end.to, end: None, follows: true, ..version.clone() })
}

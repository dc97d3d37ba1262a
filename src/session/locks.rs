//! Locks between the sessions of one database: rows that a SELECT … FOR UPDATE asked for, and advisory ones.
//!
//! Rows that a transaction has changed are locked too, until it ends or those who wait lose patience.
//!
//! Nothing is stored: one process owns a database, and a lock ends with its transaction or its session. Reads
//! never wait. A commit waits for the locks of others on the rows that it changes, so that what is locked stays as
//! it was seen; see [`Locks::pass`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};

use crate::error::{Result, SqlError, SqlState};
use crate::history::Transaction;
use crate::plan::{AdvisoryKey, LockFacts, LockedThing};
use crate::runtime::Cancel;
use crate::sql::TableLock;
use crate::versions::{ItemKey, TableId};

/// What can be locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum LockKey {
    Table(TableId),
    Row(TableId, ItemKey),
    Advisory(AdvisoryKey),
}

/// Shared locks go together; any other goes with none of another session. Tables have modes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    Shared,
    /// Of a row that a transaction has changed and not committed. Who waits for it loses patience when it does not
    /// change hands: then the first of them to commit wins.
    Written,
    Exclusive,
    Table(TableLock),
}

impl Strength {
    fn excludes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Table(one), Self::Table(other)) => conflict(one, other),
            (one, other) => one != Self::Shared || other != Self::Shared,
        }
    }

    /// As pg_locks calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Shared => "ShareLock",
            Self::Written | Self::Exclusive => "ExclusiveLock",
            Self::Table(TableLock::AccessShare) => "AccessShareLock",
            Self::Table(TableLock::RowShare) => "RowShareLock",
            Self::Table(TableLock::RowExclusive) => "RowExclusiveLock",
            Self::Table(TableLock::ShareUpdateExclusive) => "ShareUpdateExclusiveLock",
            Self::Table(TableLock::Share) => "ShareLock",
            Self::Table(TableLock::ShareRowExclusive) => "ShareRowExclusiveLock",
            Self::Table(TableLock::Exclusive) => "ExclusiveLock",
            Self::Table(TableLock::AccessExclusive) => "AccessExclusiveLock",
        }
    }
}

/// PostgreSQL's table of which modes cannot be had together.
fn conflict(one: TableLock, other: TableLock) -> bool {
    use TableLock::{
        AccessExclusive, AccessShare, Exclusive, RowExclusive, RowShare, Share, ShareRowExclusive, ShareUpdateExclusive,
    };
    match one.min(other) {
        AccessShare => one.max(other) == AccessExclusive,
        RowShare => one.max(other) >= Exclusive,
        RowExclusive => one.max(other) >= Share,
        ShareUpdateExclusive => one.max(other) >= ShareUpdateExclusive,
        Share => one.max(other) != Share,
        ShareRowExclusive | Exclusive | AccessExclusive => true,
    }
}

/// How long a lock of a written row is waited for while nobody gives it back.
const PATIENCE: Duration = Duration::from_secs(2);

/// How waiting for a lock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    Free,
    Busy,
    /// Patience was lost.
    Overlong,
}

/// The locks of every database of a server.
#[derive(Debug, Default)]
pub struct LockTables {
    tables: Mutex<HashMap<String, Arc<Locks>>>,
    owners: AtomicU64,
}

impl LockTables {
    /// A session's way to the locks of its database.
    pub(super) fn owner(&self, database: &str, pid: i32) -> Owner {
        let mut tables = self.tables.lock();
        let locks = Arc::clone(tables.entry(database.to_owned()).or_default());
        let id = self.owners.fetch_add(1, Ordering::Relaxed);
        locks.state.lock().pids.insert(id, pid);
        Owner { locks, id }
    }

    /// What is held and waited for, for pg_locks.
    pub(super) fn facts(&self) -> Vec<LockFacts> {
        let tables = self.tables.lock();
        let mut facts = Vec::new();
        for (database, locks) in tables.iter() {
            let state = locks.state.lock();
            let held = state.held.iter().flat_map(|(key, holders)| holders.iter().map(move |h| (key, h.owner, h.strength, true)));
            let waiting = state.waiting.iter().map(|(owner, (key, strength))| (key, *owner, *strength, false));
            for (key, owner, strength, granted) in held.chain(waiting) {
                let thing = match key {
                    LockKey::Table(table) => LockedThing::Table(table.0),
                    LockKey::Row(table, _) => LockedThing::Row(table.0),
                    LockKey::Advisory(key) => LockedThing::Advisory(*key),
                };
                let pid = state.pids.get(&owner).copied().unwrap_or_default();
                facts.push(LockFacts { database: database.clone(), thing, mode: strength.name(), granted, pid });
            }
        }
        facts
    }
}

/// The locks of one database.
#[derive(Debug, Default)]
pub(super) struct Locks {
    state: Mutex<State>,
    /// Told whenever a lock is given back.
    changed: Notify,
    /// Held by commits on their way; taken whole by who has got row locks and wants to know what they protect.
    commits: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<LockKey, Vec<Holder>>,
    /// How many of `held` are rows or tables.
    rows: usize,
    /// The process number of each session.
    pids: HashMap<u64, i32>,
    waiting: HashMap<u64, (LockKey, Strength)>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    owner: u64,
    strength: Strength,
    count: u32,
}

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// `None` for as long as it takes.
    Up(Option<Duration>),
    Not,
}

impl State {
    fn opponents<'a>(&'a self, owner: u64, key: &LockKey, strength: Strength) -> impl Iterator<Item = u64> + 'a {
        self.holders_against(owner, key, strength).map(|h| h.owner)
    }

    fn holders_against<'a>(&'a self, owner: u64, key: &LockKey, strength: Strength) -> impl Iterator<Item = &'a Holder> + 'a {
        let holders = self.held.get(key).map_or(&[][..], Vec::as_slice);
        holders.iter().filter(move |h| h.owner != owner && h.strength.excludes(strength))
    }

    fn add(&mut self, owner: u64, key: &LockKey, strength: Strength) {
        let rows = usize::from(!matches!(key, LockKey::Advisory(_)) && !self.held.contains_key(key));
        self.rows += rows;
        let holders = self.held.entry(key.clone()).or_default();
        match holders.iter_mut().find(|h| h.owner == owner && h.strength == strength) {
            Some(holder) => holder.count += 1,
            None => holders.push(Holder { owner, strength, count: 1 }),
        }
    }

    /// Whether there was one to give back.
    fn remove(&mut self, owner: u64, key: &LockKey, strength: Strength) -> bool {
        let Some(holders) = self.held.get_mut(key) else { return false };
        let Some(at) = holders.iter().position(|h| h.owner == owner && h.strength == strength) else { return false };
        if let Some(holder) = holders.get_mut(at) {
            holder.count -= 1;
            if holder.count == 0 {
                holders.swap_remove(at);
            }
        }
        if holders.is_empty() {
            self.held.remove(key);
            self.rows -= usize::from(!matches!(key, LockKey::Advisory(_)));
        }
        true
    }

    /// Whether those that `owner` waits for wait, one for the other, for `owner`.
    fn is_circle(&self, owner: u64) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = vec![owner];
        while let Some(one) = next.pop() {
            let Some((key, strength)) = self.waiting.get(&one) else { continue };
            for opponent in self.opponents(one, key, *strength) {
                if opponent == owner {
                    return true;
                }
                if seen.insert(opponent) {
                    next.push(opponent);
                }
            }
        }
        false
    }
}

/// One session among those that lock.
#[derive(Debug)]
pub(super) struct Owner {
    locks: Arc<Locks>,
    id: u64,
}

impl Owner {
    /// Takes a lock; `false` when it cannot be had and `wait` says not to wait, or, of a written row, when patience was
    /// lost. 40P01 where waiting would never end, 55P03 when it took too long.
    pub async fn take(&self, key: &LockKey, strength: Strength, wait: Wait, cancel: &Cancel) -> Result<bool> {
        Ok(match self.wait_until_free(key, strength, wait, cancel, true).await? {
            Waited::Free => true,
            Waited::Overlong => strength != Strength::Written,
            Waited::Busy => false,
        })
    }

    /// The same without waiting.
    pub fn try_take(&self, key: &LockKey, strength: Strength) -> bool {
        let mut state = self.locks.state.lock();
        let free = state.opponents(self.id, key, strength).next().is_none();
        if free {
            state.add(self.id, key, strength);
        }
        free
    }

    pub fn give_back(&self, key: &LockKey, strength: Strength) -> bool {
        let given = self.locks.state.lock().remove(self.id, key, strength);
        if given {
            self.locks.changed.notify_waiters();
        }
        given
    }

    pub fn holds(&self, key: &LockKey, strength: Strength) -> bool {
        let state = self.locks.state.lock();
        state.held.get(key).is_some_and(|all| all.iter().any(|h| h.owner == self.id && h.strength >= strength))
    }

    async fn wait_until_free(
        &self,
        key: &LockKey,
        strength: Strength,
        wait: Wait,
        cancel: &Cancel,
        take: bool,
    ) -> Result<Waited> {
        let waiting = Waiting { locks: &self.locks, owner: self.id };
        let limit = async {
            match wait {
                Wait::Up(Some(limit)) => tokio::time::sleep(limit).await,
                Wait::Up(None) | Wait::Not => std::future::pending().await,
            }
        };
        tokio::pin!(limit);
        let mut in_the_way: Vec<u64> = Vec::new();
        let mut since = Instant::now();
        loop {
            let changed = self.locks.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let patience = {
                let mut state = self.locks.state.lock();
                let mut opponents: Vec<u64> = state.opponents(self.id, key, strength).collect();
                opponents.sort_unstable();
                if opponents.is_empty() {
                    state.waiting.remove(&self.id);
                    if take {
                        state.add(self.id, key, strength);
                    }
                    return Ok(Waited::Free);
                }
                if wait == Wait::Not {
                    return Ok(Waited::Busy);
                }
                if opponents != in_the_way {
                    (in_the_way, since) = (opponents, Instant::now());
                }
                let soft = state.holders_against(self.id, key, strength).all(|h| h.strength == Strength::Written);
                if soft && since.elapsed() >= PATIENCE {
                    state.waiting.remove(&self.id);
                    if take && strength != Strength::Written {
                        state.add(self.id, key, strength);
                    }
                    return Ok(Waited::Overlong);
                }
                state.waiting.insert(self.id, (key.clone(), strength));
                if state.is_circle(self.id) {
                    // A commit need not wait for somebody who waits for it.
                    if soft && !take {
                        return Ok(Waited::Overlong);
                    }
                    return Err(SqlError::new(SqlState::DEADLOCK_DETECTED, "deadlock detected")
                        .detail("Sessions wait for each other's locks in a circle."));
                }
                soft.then(|| PATIENCE.saturating_sub(since.elapsed()))
            };
            let impatient = async {
                match patience {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(cancel.error()),
                () = &mut limit => {
                    return Err(SqlError::new(SqlState::LOCK_NOT_AVAILABLE, "canceling statement due to lock timeout"));
                }
                () = changed => {}
                () = impatient => {}
            }
            let _ = &waiting;
        }
    }

    /// Waits until no other session has a lock on what the transaction changes. While the answer is kept, nobody
    /// who gets such a lock believes that the rows are as they were; to be dropped when the commit is done.
    pub async fn pass(&self, transaction: &Transaction, wait: Wait, cancel: &Cancel) -> Result<OwnedRwLockReadGuard<()>> {
        let mut patient = true;
        loop {
            let pass = Arc::clone(&self.locks.commits).read_owned().await;
            let Some(locked) = self.locked_by_others(transaction, patient) else { return Ok(pass) };
            drop(pass);
            let strength = match locked {
                LockKey::Table(_) => WRITING,
                LockKey::Row(..) | LockKey::Advisory(_) => Strength::Exclusive,
            };
            self.wait_until_free(&locked, strength, wait, cancel, false).await?;
            // Who has changed the row has ended by now, or will not: the commit finds out.
            patient = false;
        }
    }

    /// Rows that are only written count where there is `patience` for them.
    fn locked_by_others(&self, transaction: &Transaction, patience: bool) -> Option<LockKey> {
        let state = self.locks.state.lock();
        if state.rows == 0 {
            return None;
        }
        let tables = transaction.writes.keys().map(|table| LockKey::Table(*table));
        let mut of_tables = tables.filter(|key| state.opponents(self.id, key, WRITING).next().is_some());
        if let Some(table) = of_tables.next() {
            return Some(table);
        }
        let foreign = |key: &LockKey| {
            state.holders_against(self.id, key, Strength::Exclusive).any(|h| patience || h.strength != Strength::Written)
        };
        let truncated = |table: &TableId| transaction.writes.get(table).is_some_and(|writes| writes.truncated);
        let of_truncated =
            state.held.keys().find(|key| matches!(key, LockKey::Row(table, _) if truncated(table)) && foreign(key));
        if let Some(key) = of_truncated {
            return Some(key.clone());
        }
        let written = transaction.writes.iter().flat_map(|(table, writes)| writes.rows.keys().map(|key| (*table, key)));
        // Whichever is fewer is gone through.
        let written_rows: usize = transaction.writes.values().map(|writes| writes.rows.len()).sum();
        if written_rows <= state.rows {
            return written.map(|(table, key)| LockKey::Row(table, key.clone())).find(foreign);
        }
        let is_written = |key: &LockKey| match key {
            LockKey::Row(table, key) => transaction.writes.get(table).is_some_and(|writes| writes.rows.contains_key(key)),
            LockKey::Table(_) | LockKey::Advisory(_) => false,
        };
        state.held.keys().find(|key| is_written(key) && foreign(key)).cloned()
    }

    /// Waits for the commits that are on their way: what they change is there to be seen afterwards.
    pub async fn settled(&self) {
        drop(self.locks.commits.write().await);
    }
}

/// What a commit needs of the tables that it changes.
const WRITING: Strength = Strength::Table(TableLock::RowExclusive);

impl Drop for Owner {
    fn drop(&mut self) {
        self.locks.state.lock().pids.remove(&self.id);
    }
}

/// Forgets that somebody waits, however waiting ends.
struct Waiting<'a> {
    locks: &'a Locks,
    owner: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.locks.state.lock().waiting.remove(&self.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advisory(n: i64) -> LockKey {
        LockKey::Advisory(AdvisoryKey::One(n))
    }

    #[tokio::test]
    async fn exclusive_locks_wait_and_shared_ones_go_together() {
        let tables = LockTables::default();
        let (a, b, other) = (tables.owner("d", 1), tables.owner("d", 1), tables.owner("e", 1));
        assert!(a.try_take(&advisory(1), Strength::Exclusive));
        assert!(a.try_take(&advisory(1), Strength::Exclusive), "its own lock is in nobody's way");
        assert!(!b.try_take(&advisory(1), Strength::Shared));
        assert!(other.try_take(&advisory(1), Strength::Exclusive), "databases have locks of their own");
        let cancel = Cancel::new();
        let short = Wait::Up(Some(Duration::from_millis(20)));
        let late = b.take(&advisory(1), Strength::Shared, short, &cancel).await.unwrap_err();
        assert_eq!(late.code(), SqlState::LOCK_NOT_AVAILABLE);
        assert!(a.give_back(&advisory(1), Strength::Exclusive));
        assert!(!b.try_take(&advisory(1), Strength::Shared), "it was taken twice");
        let one = advisory(1);
        let (got, given) = tokio::join!(b.take(&one, Strength::Shared, Wait::Up(None), &cancel), async {
            tokio::task::yield_now().await;
            a.give_back(&advisory(1), Strength::Exclusive)
        });
        assert!(got.unwrap() && given);
        assert!(a.try_take(&advisory(1), Strength::Shared));
        assert!(!a.give_back(&advisory(2), Strength::Shared));
    }

    /// Who waits for a written row does so as long as it changes hands, and not for ever.
    #[tokio::test(flavor = "current_thread")]
    async fn a_written_row_is_waited_for_with_patience() {
        let tables = LockTables::default();
        let (a, b) = (tables.owner("d", 1), tables.owner("d", 1));
        let row = LockKey::Row(TableId(1), ItemKey::from_bytes([1]));
        let cancel = Cancel::new();
        assert!(a.take(&row, Strength::Written, Wait::Up(None), &cancel).await.unwrap());
        assert!(!b.take(&row, Strength::Exclusive, Wait::Not, &cancel).await.unwrap());
        let (got, given) = tokio::join!(b.take(&row, Strength::Written, Wait::Up(None), &cancel), async {
            tokio::task::yield_now().await;
            a.give_back(&row, Strength::Written)
        });
        assert!(got.unwrap() && given);
    }

    #[tokio::test]
    async fn who_would_close_a_circle_is_refused() {
        let tables = LockTables::default();
        let (a, b) = (tables.owner("d", 1), tables.owner("d", 1));
        assert!(a.try_take(&advisory(1), Strength::Exclusive) && b.try_take(&advisory(2), Strength::Exclusive));
        let cancel = Cancel::new();
        let (one, two) = (advisory(1), advisory(2));
        let waits = a.take(&two, Strength::Exclusive, Wait::Up(None), &cancel);
        let closes = async {
            tokio::task::yield_now().await;
            let refused = b.take(&one, Strength::Exclusive, Wait::Up(None), &cancel).await;
            b.give_back(&two, Strength::Exclusive);
            refused.map_err(|error| error.code())
        };
        let (got, refused) = tokio::join!(waits, closes);
        assert_eq!(refused, Err(SqlState::DEADLOCK_DETECTED));
        assert!(got.unwrap());
    }
}

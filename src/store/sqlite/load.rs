//! History loads: states with their own periods, checked against what the item has as they are written.
//!
//! Runs with the writer, in one transaction, on what [`loading::feed`] hands it.

use std::collections::BTreeSet;

use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::mpsc;

use super::apply::{self, State};
use super::row::{self, Doc};
use super::schema::{failure, stored};
use crate::store::loading::{self, Feed, LoadHeader};
use crate::store::{IndexEntry, RowState, StoreError};
use crate::versions::change::bad_period;
use crate::versions::{CommitStamp, Context, IndexId, ItemKey, Op, Period, PeriodEnd, TableId, Timestamp, Version, VersionNo};

/// Index entries are written in sorted runs of this many.
const ENTRY_RUN: usize = if cfg!(test) { 3 } else { 1 << 15 };

/// Writes every state of a load into the open transaction; the commit with its number of states, and how many
/// bytes they weigh. On an error the caller rolls back.
pub fn run(
    conn: &Connection,
    state: &mut State,
    header: &LoadHeader,
    mut batches: mpsc::Receiver<Feed>,
    now: Timestamp,
) -> Result<((CommitStamp, u64), usize), StoreError> {
    let mut loader = Loader::new(conn, header.table, state.next_stamp(now))?;
    let mut bytes = 0;
    loop {
        match batches.blocking_recv() {
            Some(Feed::States(batch)) => {
                for row in batch {
                    bytes += loading::weight(&row);
                    loader.append(state.take_payload(), row)?;
                }
            }
            Some(Feed::End) => break,
            Some(Feed::Failed(error)) => return Err(error),
            None => return Err(loading::abandoned()),
        }
    }
    let (stamp, count) = loader.finish(&header.context, &header.table_name)?;
    state.last = stamp;
    Ok(((stamp, count), bytes))
}

/// The newest state of the item at hand, not written yet because the next one may change how it ended.
struct Pending {
    key: ItemKey,
    version: Version,
    pid: i64,
    entries: Vec<IndexEntry>,
}

struct Loader<'c> {
    conn: &'c Connection,
    table: TableId,
    stamp: CommitStamp,
    pending: Option<Pending>,
    /// While keys arrive in order in a table that had no states, no item can have any yet.
    fresh: bool,
    entries: Vec<(IndexId, ItemKey, ItemKey)>,
    indexes: BTreeSet<IndexId>,
    count: u64,
    opened: i64,
    add_payload: CachedStatement<'c>,
    add_version: CachedStatement<'c>,
    add_head: CachedStatement<'c>,
    add_entry: CachedStatement<'c>,
}

impl<'c> Loader<'c> {
    fn new(conn: &'c Connection, table: TableId, stamp: CommitStamp) -> Result<Self, StoreError> {
        let prepare = |sql| conn.prepare_cached(sql).map_err(failure);
        Ok(Self {
            conn,
            table,
            stamp,
            pending: None,
            fresh: !apply::has_states(conn, table)?,
            entries: Vec::new(),
            indexes: BTreeSet::new(),
            count: 0,
            opened: 0,
            add_payload: prepare("INSERT INTO payload (pid, doc) VALUES (?1, ?2)")?,
            add_version: prepare(
                "INSERT INTO version (tab, key, from_, to_, begun, ended, number, op, end_op, pid)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9)",
            )?,
            add_head: prepare("INSERT INTO head (tab, key, from_, begun, number, op, pid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?,
            add_entry: prepare("INSERT OR IGNORE INTO entry (idx, key, item) VALUES (?1, ?2, ?3)")?,
        })
    }

    fn append(&mut self, pid: i64, state: RowState) -> Result<(), StoreError> {
        loading::check_period(self.table, &state, self.stamp.time)?;
        let (op, number) = self.follow(&state)?;
        self.add_payload.execute(params![pid, Doc(&state.payload)]).map_err(failure)?;
        let end = state.to.map(|to| PeriodEnd { to, commit: self.stamp.commit, op: Op::Delete });
        let period = Period { from: state.from, begun: self.stamp.commit, end };
        let repeats = self.pending.as_ref().is_some_and(|p| p.key == state.key && p.entries == state.entries);
        if !repeats {
            for entry in &state.entries {
                self.indexes.insert(entry.index);
                self.entries.push((entry.index, entry.key.clone(), state.key.clone()));
            }
        }
        if state.to.is_none() {
            for entry in state.entries.iter().filter(|e| e.unique) {
                apply::hold(self.conn, &state.key, entry)?;
            }
        }
        self.flush_state()?;
        self.pending = Some(Pending {
            key: state.key,
            version: Version { number, op, period, collection: None },
            pid,
            entries: state.entries,
        });
        self.count += 1;
        if self.entries.len() >= ENTRY_RUN { self.flush_entries() } else { Ok(()) }
    }

    /// Checks the state against the one before it; the op and number it gets. Tells that one when it goes on.
    fn follow(&mut self, state: &RowState) -> Result<(Op, VersionNo), StoreError> {
        let same_item = self.pending.as_ref().is_some_and(|p| p.key == state.key);
        let last = if same_item { self.pending.as_ref().map(|p| p.version) } else { self.last_of(&state.key)? };
        let Some(last) = last else { return Ok((Op::Create, VersionNo(0))) };
        let Some(end) = last.period.end else { return Err(loading::refusal(self.table, state, bad_period::AFTER_OPEN)) };
        if end.to > state.from {
            return Err(loading::refusal(self.table, state, bad_period::OVERLAP));
        }
        if end.to < state.from || end.commit != last.period.begun {
            return Ok((Op::Create, last.number.next().next()));
        }
        match self.pending.as_mut().filter(|_| same_item) {
            Some(pending) => pending.version.period.end = Some(PeriodEnd { op: Op::Update, ..end }),
            None => {
                let sql = "UPDATE version SET end_op = ?4 WHERE tab = ?1 AND key = ?2 AND from_ = ?3";
                let from = last.period.from.micros();
                apply::execute(self.conn, sql, params![self.table.0, state.key.as_bytes(), from, Op::Update as u8])?;
            }
        }
        Ok((Op::Update, last.number.next()))
    }

    /// The newest state of an item other than the one at hand.
    fn last_of(&mut self, key: &ItemKey) -> Result<Option<Version>, StoreError> {
        self.fresh &= self.pending.as_ref().is_none_or(|p| p.key < *key);
        if self.fresh {
            return Ok(None);
        }
        let item = params![self.table.0, key.as_bytes()];
        let sql = "SELECT from_, begun, number, op FROM head WHERE tab = ?1 AND key = ?2";
        if let Some(open) = apply::query(self.conn, sql, item, |r| row::open_version(r, 0))? {
            return Ok(Some(open));
        }
        let sql = "SELECT from_, begun, number, op, to_, ended, end_op FROM version WHERE tab = ?1 AND key = ?2
             ORDER BY from_ DESC LIMIT 1";
        apply::query(self.conn, sql, item, |r| row::closed_version(r, 0, 4))
    }

    fn flush_state(&mut self) -> Result<(), StoreError> {
        let Some(Pending { key, version, pid, .. }) = self.pending.take() else { return Ok(()) };
        let (tab, key, from) = (self.table.0, key.as_bytes(), version.period.from.micros());
        let (commit, number, op) = (stored(self.stamp.commit.0), stored(version.number.0), version.op as u8);
        match version.period.end {
            Some(end) => {
                self.add_version.execute(params![tab, key, from, end.to.micros(), commit, number, op, end.op as u8, pid])
            }
            None => {
                self.opened += 1;
                self.add_head.execute(params![tab, key, from, commit, number, op, pid])
            }
        }
        .map_err(failure)?;
        Ok(())
    }

    fn flush_entries(&mut self) -> Result<(), StoreError> {
        self.entries.sort_unstable();
        self.entries.dedup();
        for (index, key, item) in self.entries.drain(..) {
            self.add_entry.execute(params![index.0, key.as_bytes(), item.as_bytes()]).map_err(failure)?;
        }
        Ok(())
    }

    fn finish(mut self, context: &Context, table_name: &str) -> Result<(CommitStamp, u64), StoreError> {
        self.flush_state()?;
        self.flush_entries()?;
        for index in &self.indexes {
            apply::learn(self.conn, (self.table, *index))?;
        }
        apply::touch(self.conn, self.table, self.stamp.commit, self.opened, true)?;
        apply::log(self.conn, self.stamp, context, &BTreeSet::from([table_name]), self.count)?;
        Ok((self.stamp, self.count))
    }
}

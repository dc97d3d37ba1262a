//! One commit request as statements on the writer's connection, inside a transaction that is already open.
//!
//! Decides nothing about groups, durability or who waits: a refusal leaves what was done so far to be undone
//! by the caller's savepoint.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rusqlite::{Connection, Row, params};

use super::row::{self, Doc};
use super::schema::{counted, failure, stored};
use crate::store::{CommitRequest, IndexEntry, PayloadRef, Requirement, RowChange, StoreError};
use crate::versions::change::whole_table;
use crate::versions::{
    CatalogChange, CommitNo, CommitStamp, Context, HeadCheck, IndexId, ItemKey, Op, Refusal, TableId, Timestamp, Version,
    VersionNo,
};

/// What the writer knows of the file without asking it. Describes the open transaction, ahead of what is durable.
#[derive(Debug)]
pub struct State {
    pub last: CommitStamp,
    /// The newest commit that changed a definition.
    pub catalog: CommitNo,
    next_payload: i64,
    /// Rows of `table_index`.
    known: HashSet<(TableId, IndexId)>,
}

impl State {
    pub fn read(conn: &Connection) -> Result<Self, StoreError> {
        let last = query(conn, "SELECT number, time FROM commits ORDER BY number DESC LIMIT 1", [], row::stamp)?;
        let largest = |sql| query(conn, sql, [], |row| row::int(row, 0)).map(Option::unwrap_or_default);
        let mut known = HashSet::new();
        let mut statement = conn.prepare("SELECT tab, idx FROM table_index").map_err(failure)?;
        let mut rows = statement.query([]).map_err(failure)?;
        while let Some(row) = rows.next().map_err(failure)? {
            known.insert((TableId(row.get(0).map_err(failure)?), IndexId(row.get(1).map_err(failure)?)));
        }
        Ok(Self {
            last: last.unwrap_or(CommitStamp { commit: CommitNo::ZERO, time: Timestamp::MIN }),
            catalog: CommitNo(counted(largest("SELECT coalesce(max(coalesce(ended, begun)), 0) FROM catalog")?)),
            next_payload: largest("SELECT coalesce(max(pid), 0) FROM payload")? + 1,
            known,
        })
    }

    /// The stamp that a commit of this time gets.
    pub fn next_stamp(&self, time: Timestamp) -> CommitStamp {
        CommitStamp { commit: self.last.commit.next(), time: time.max(self.last.time.next()) }
    }

    pub fn take_payload(&mut self) -> i64 {
        let pid = self.next_payload;
        self.next_payload += 1;
        pid
    }
}

/// Runs a cached statement that gives at most one row.
pub fn query<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql).map_err(failure)?;
    let mut rows = statement.query(params).map_err(failure)?;
    rows.next().map_err(failure)?.map(read).transpose()
}

/// Runs a cached statement that changes rows; how many.
pub fn execute(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<usize, StoreError> {
    conn.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).map_err(failure)
}

/// Applies a request; `now` is its time unless it brings one. On an error the caller rolls back to where it began.
pub fn commit(conn: &Connection, state: &mut State, request: &CommitRequest, now: Timestamp) -> Result<CommitStamp, StoreError> {
    if request.is_empty() {
        return Ok(state.last);
    }
    request.check_form()?;
    let stamp = state.next_stamp(request.time.unwrap_or(now));
    let mut apply = Apply { conn, state, stamp, changes: 0, touched: BTreeMap::new(), learned: Vec::new() };
    apply.check_unchanged(request)?;
    request.requires.iter().try_for_each(|requirement| apply.check_unclaimed(requirement))?;
    request.truncate.iter().try_for_each(|(table, _)| apply.truncate(*table))?;
    request.rows.iter().try_for_each(|row| apply.change(row))?;
    apply.entries(request)?;
    request.requires.iter().try_for_each(|requirement| apply.check_there(requirement))?;
    let defined = apply.define(&request.catalog)?;
    apply.finish(request)?;
    let learned = apply.learned;
    state.known.extend(learned);
    state.last = stamp;
    if defined {
        state.catalog = stamp.commit;
    }
    Ok(stamp)
}

struct Apply<'a> {
    conn: &'a Connection,
    state: &'a mut State,
    stamp: CommitStamp,
    changes: u64,
    /// By how much each table's number of live items grows.
    touched: BTreeMap<TableId, i64>,
    learned: Vec<(TableId, IndexId)>,
}

impl Apply<'_> {
    fn check_unchanged(&self, request: &CommitRequest) -> Result<(), StoreError> {
        if request.catalog_seen.is_some_and(|seen| self.state.catalog > seen) {
            return Err(StoreError::CatalogConflict);
        }
        let truncated = request.truncate.iter().copied();
        let backfilled = request.backfill.iter().map(|b| (b.table, b.seen));
        for (table, seen) in truncated.chain(backfilled) {
            let sql = "SELECT changed FROM table_state WHERE tab = ?1";
            let changed = query(self.conn, sql, [table.0], |r| row::commit(r, 0))?.unwrap_or_default();
            if changed > seen {
                return Err(StoreError::Conflict { table, key: whole_table() });
            }
        }
        Ok(())
    }

    fn check_unclaimed(&self, requirement: &Requirement) -> Result<(), StoreError> {
        let Requirement::Unclaimed { table, index, key, seen } = requirement else { return Ok(()) };
        let sql = "SELECT head.key FROM entry JOIN head ON head.tab = ?1 AND head.key = entry.item
             WHERE entry.idx = ?2 AND entry.key = ?3 AND head.begun > ?4 ORDER BY entry.item LIMIT 1";
        let params = params![table.0, index.0, key.as_bytes(), stored(seen.0)];
        match query(self.conn, sql, params, |r| row::key(r, 0))? {
            Some(item) => Err(StoreError::Conflict { table: *table, key: item }),
            None => Ok(()),
        }
    }

    fn check_there(&self, requirement: &Requirement) -> Result<(), StoreError> {
        match requirement {
            Requirement::Live { table, key } => {
                let sql = "SELECT 1 FROM head WHERE tab = ?1 AND key = ?2";
                match query(self.conn, sql, params![table.0, key.as_bytes()], |_| Ok(()))? {
                    Some(()) => Ok(()),
                    None => Err(StoreError::Conflict { table: *table, key: key.clone() }),
                }
            }
            Requirement::Held { table, index, key } => {
                let sql = "SELECT 1 FROM holder WHERE idx = ?1 AND key = ?2";
                match query(self.conn, sql, params![index.0, key.as_bytes()], |_| Ok(()))? {
                    Some(()) => Ok(()),
                    None => Err(StoreError::Conflict { table: *table, key: whole_table() }),
                }
            }
            Requirement::Unclaimed { .. } => Ok(()),
        }
    }

    fn truncate(&mut self, table: TableId) -> Result<(), StoreError> {
        let ended = execute(
            self.conn,
            "INSERT INTO version (tab, key, from_, to_, begun, ended, number, op, end_op, pid)
             SELECT tab, key, from_, ?2, begun, ?3, number, op, ?4, pid FROM head WHERE tab = ?1",
            params![table.0, self.stamp.time.micros(), stored(self.stamp.commit.0), Op::Truncate as u8],
        )?;
        execute(self.conn, "DELETE FROM head WHERE tab = ?1", [table.0])?;
        execute(self.conn, "DELETE FROM holder WHERE idx IN (SELECT idx FROM table_index WHERE tab = ?1)", [table.0])?;
        self.changes += ended as u64;
        *self.touched.entry(table).or_default() -= i64::try_from(ended).unwrap_or(i64::MAX);
        Ok(())
    }

    fn change(&mut self, row: &RowChange) -> Result<(), StoreError> {
        let head = self.head(row.table, &row.key)?;
        if head.is_some_and(|(version, _)| version.period.begun == self.stamp.commit) {
            return Err(Refusal::Malformed("an item is changed twice in one commit").into());
        }
        match (row.check, head) {
            (HeadCheck::Absent, Some(_)) => return Err(StoreError::KeyExists { table: row.table, key: row.key.clone() }),
            (HeadCheck::Absent, None) => {
                let number = self.next_number(row.table, &row.key)?;
                self.begin(row, number)?;
            }
            (HeadCheck::At(expected), Some((version, pid))) if version.number == expected => {
                self.end(row, version, pid)?;
                self.replace(row, version.number.next())?;
            }
            (HeadCheck::At(_), _) => return Err(StoreError::Conflict { table: row.table, key: row.key.clone() }),
        }
        self.changes += 1;
        Ok(())
    }

    fn head(&self, table: TableId, key: &ItemKey) -> Result<Option<(Version, i64)>, StoreError> {
        let sql = "SELECT from_, begun, number, op, pid FROM head WHERE tab = ?1 AND key = ?2";
        query(self.conn, sql, params![table.0, key.as_bytes()], |r| Ok((row::open_version(r, 0)?, row::int(r, 4)?)))
    }

    /// The number of the first state after those the item had; its last end took one too.
    fn next_number(&self, table: TableId, key: &ItemKey) -> Result<VersionNo, StoreError> {
        let sql = "SELECT number FROM version WHERE tab = ?1 AND key = ?2 ORDER BY from_ DESC LIMIT 1";
        let last = query(self.conn, sql, params![table.0, key.as_bytes()], |r| row::int(r, 0))?;
        Ok(last.map_or(VersionNo(0), |n| VersionNo(counted(n)).next().next()))
    }

    fn end(&self, row: &RowChange, version: Version, pid: i64) -> Result<(), StoreError> {
        execute(
            self.conn,
            "INSERT INTO version (tab, key, from_, to_, begun, ended, number, op, end_op, pid)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                row.table.0,
                row.key.as_bytes(),
                version.period.from.micros(),
                self.stamp.time.micros(),
                stored(version.period.begun.0),
                stored(self.stamp.commit.0),
                stored(version.number.0),
                version.op as u8,
                row.op as u8,
                pid
            ],
        )?;
        Ok(())
    }

    fn begin(&mut self, row: &RowChange, number: VersionNo) -> Result<(), StoreError> {
        let sql = "INSERT INTO head (tab, key, from_, begun, number, op, pid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.write_head(sql, row, number)?;
        *self.touched.entry(row.table).or_default() += 1;
        Ok(())
    }

    /// The head after a change of a live item: the next state, or none.
    fn replace(&mut self, row: &RowChange, number: VersionNo) -> Result<(), StoreError> {
        let live = self.touched.entry(row.table).or_default();
        if row.op.ends_item() {
            *live -= 1;
            execute(self.conn, "DELETE FROM head WHERE tab = ?1 AND key = ?2", params![row.table.0, row.key.as_bytes()])?;
            return Ok(());
        }
        let sql = "UPDATE head SET from_ = ?3, begun = ?4, number = ?5, op = ?6, pid = ?7 WHERE tab = ?1 AND key = ?2";
        self.write_head(sql, row, number)
    }

    fn write_head(&mut self, sql: &str, row: &RowChange, number: VersionNo) -> Result<(), StoreError> {
        let Some(payload) = &row.payload else { return Ok(()) };
        let pid = add_payload(self.conn, self.state, payload)?;
        let (time, commit) = (self.stamp.time.micros(), stored(self.stamp.commit.0));
        let params = params![row.table.0, row.key.as_bytes(), time, commit, stored(number.0), row.op as u8, pid];
        execute(self.conn, sql, params)?;
        Ok(())
    }

    fn entries(&mut self, request: &CommitRequest) -> Result<(), StoreError> {
        for row in &request.rows {
            // What the item keeps it need not give away first.
            for entry in row.old_entries.iter().filter(|e| e.unique && !row.new_entries.contains(e)) {
                let sql = "DELETE FROM holder WHERE idx = ?1 AND key = ?2 AND item = ?3";
                execute(self.conn, sql, params![entry.index.0, entry.key.as_bytes(), row.key.as_bytes()])?;
            }
        }
        for row in &request.rows {
            row.new_entries
                .iter()
                .filter(|e| !row.old_entries.contains(e))
                .try_for_each(|e| self.add_entry(row.table, &row.key, e))?;
        }
        for backfill in &request.backfill {
            self.touched.entry(backfill.table).or_default();
            backfill.entries.iter().try_for_each(|(item, e)| self.add_entry(backfill.table, item, e))?;
        }
        Ok(())
    }

    fn add_entry(&mut self, table: TableId, item: &ItemKey, entry: &IndexEntry) -> Result<(), StoreError> {
        let pair = (table, entry.index);
        if !self.state.known.contains(&pair) && !self.learned.contains(&pair) {
            learn(self.conn, pair)?;
            self.learned.push(pair);
        }
        let sql = "INSERT OR IGNORE INTO entry (idx, key, item) VALUES (?1, ?2, ?3)";
        execute(self.conn, sql, params![entry.index.0, entry.key.as_bytes(), item.as_bytes()])?;
        if entry.unique { hold(self.conn, item, entry) } else { Ok(()) }
    }

    fn define(&self, changes: &[CatalogChange]) -> Result<bool, StoreError> {
        let last_of_each: BTreeMap<_, _> = changes.iter().map(|c| ((&c.kind, c.id), &c.definition)).collect();
        let commit = stored(self.stamp.commit.0);
        let mut changed = 0;
        for ((kind, id), definition) in last_of_each {
            let sql = "UPDATE catalog SET ended = ?3 WHERE kind = ?1 AND id = ?2 AND ended IS NULL";
            changed += execute(self.conn, sql, params![kind, id, commit])?;
            if let Some(definition) = definition {
                let sql = "INSERT INTO catalog (kind, id, begun, definition) VALUES (?1, ?2, ?3, ?4)";
                changed += execute(self.conn, sql, params![kind, id, commit, definition])?;
            }
        }
        Ok(changed > 0)
    }

    fn finish(&self, request: &CommitRequest) -> Result<(), StoreError> {
        for (table, grown) in &self.touched {
            touch(self.conn, *table, self.stamp.commit, *grown, false)?;
        }
        let tables: BTreeSet<&str> = request.tables.iter().map(String::as_str).collect();
        log(self.conn, self.stamp, &request.context, &tables, self.changes)
    }
}

/// Appends a payload; its number.
pub fn add_payload(conn: &Connection, state: &mut State, payload: &PayloadRef) -> Result<i64, StoreError> {
    let pid = state.take_payload();
    execute(conn, "INSERT INTO payload (pid, doc) VALUES (?1, ?2)", params![pid, Doc(payload)])?;
    Ok(pid)
}

/// Makes an item the holder of a unique key, unless another one is.
pub fn hold(conn: &Connection, item: &ItemKey, entry: &IndexEntry) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO holder (idx, key, item) VALUES (?1, ?2, ?3)";
    if execute(conn, sql, params![entry.index.0, entry.key.as_bytes(), item.as_bytes()])? == 1 {
        return Ok(());
    }
    let sql = "SELECT item FROM holder WHERE idx = ?1 AND key = ?2";
    let held = query(conn, sql, params![entry.index.0, entry.key.as_bytes()], |r| row::key(r, 0))?;
    match held {
        Some(holder) if holder == *item => Ok(()),
        _ => Err(StoreError::UniqueExists { index: entry.index, key: entry.key.clone() }),
    }
}

/// Remembers that a table has entries in an index.
pub fn learn(conn: &Connection, (table, index): (TableId, IndexId)) -> Result<(), StoreError> {
    execute(conn, "INSERT OR IGNORE INTO table_index (tab, idx) VALUES (?1, ?2)", params![table.0, index.0])?;
    Ok(())
}

/// Notes that a commit changed a table.
pub fn touch(conn: &Connection, table: TableId, commit: CommitNo, grown: i64, loaded: bool) -> Result<(), StoreError> {
    let sql = "INSERT INTO table_state (tab, changed, live, loaded) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (tab) DO UPDATE SET changed = ?2, live = live + ?3, loaded = max(loaded, ?4)";
    execute(conn, sql, params![table.0, stored(commit.0), grown, loaded])?;
    Ok(())
}

/// Writes a commit's row of the log.
pub fn log(
    conn: &Connection,
    stamp: CommitStamp,
    context: &Context,
    tables: &BTreeSet<&str>,
    changes: u64,
) -> Result<(), StoreError> {
    let text = |e: serde_json::Error| StoreError::Engine(e.to_string());
    let context = serde_json::to_string(context).map_err(text)?;
    let tables = serde_json::to_string(tables).map_err(text)?;
    let sql = "INSERT INTO commits (number, time, context, tables, changes) VALUES (?1, ?2, ?3, ?4, ?5)";
    execute(conn, sql, params![stored(stamp.commit.0), stamp.time.micros(), context, tables, stored(changes)])?;
    Ok(())
}

/// Takes `count` numbers of a counter; the first of them.
pub fn reserve(conn: &Connection, counter: u32, count: u64) -> Result<u64, StoreError> {
    let first =
        query(conn, "SELECT next FROM counter WHERE id = ?1", [counter], |r| row::int(r, 0))?.map_or(0, i64::cast_unsigned);
    set_counter(conn, counter, first.saturating_add(count))?;
    Ok(first)
}

pub fn set_counter(conn: &Connection, counter: u32, next: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO counter (id, next) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET next = ?2";
    execute(conn, sql, params![counter, next.cast_signed()])?;
    Ok(())
}

/// Whether there is a table of any states of this number.
pub fn has_states(conn: &Connection, table: TableId) -> Result<bool, StoreError> {
    Ok(query(conn, "SELECT 1 FROM table_state WHERE tab = ?1", [table.0], |_| Ok(()))?.is_some())
}

//! Reads that answer at once: single items, counters, stamps, definitions.
//!
//! Each of them is one statement, hence of one read transaction, except where commits cannot change what a second
//! one finds. Scans are in `scan`, the connections they all read through in `readers`.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::apply::query;
use super::row;
use super::schema::{counted, failure, stored};
use crate::store::{CatalogRow, StoreError, StoredVersion};
use crate::versions::{CommitInfo, CommitNo, CommitStamp, IndexId, ItemKey, Scope, Snapshot, TableId, Timestamp};

/// The newest state that a reader of one moment can have: of those begun by `commit`, the newest begun at or
/// before `at`.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub commit: CommitNo,
    pub at: Timestamp,
}

impl Moment {
    /// `None` for scopes that may have several states of one item.
    pub fn of(scope: Scope, snapshot: Snapshot) -> Option<Self> {
        match scope {
            Scope::Current => Some(Self { commit: snapshot.commit, at: Timestamp::MAX }),
            Scope::AsOf(at) => Some(Self { commit: snapshot.commit, at }),
            Scope::AsOfCommit(commit) => Some(Self { commit: commit.min(snapshot.commit), at: Timestamp::MAX }),
            Scope::FromTo { .. } | Scope::Between { .. } | Scope::ContainedIn { .. } | Scope::All => None,
        }
    }
}

/// The state of one item in a scope that picks at most one. One statement, hence one read transaction.
pub fn get(
    conn: &Connection,
    table: TableId,
    key: &ItemKey,
    (scope, snapshot): (Scope, Snapshot),
    payloads: bool,
) -> Result<Option<StoredVersion>, StoreError> {
    let moment = Moment::of(scope, snapshot)
        .ok_or_else(|| StoreError::Engine("a read of single states was asked for a range of them".to_owned()))?;
    let sql = if payloads { NEWEST_WITH_PAYLOAD } else { NEWEST };
    let params = params![table.0, key.as_bytes(), moment.at.micros(), stored(moment.commit.0)];
    let newest = query(conn, sql, params, |r| {
        let ended = r.get_ref(4).map_err(failure)? != ValueRef::Null;
        let mut version = if ended { row::closed_version(r, 0, 4)? } else { row::open_version(r, 0)? };
        if !version.period.is_visible(scope, snapshot) {
            return Ok(None);
        }
        version.period = version.period.under(snapshot).unwrap_or(version.period);
        let payload = if payloads { row::payload(r.get_ref(7).map_err(failure)?)? } else { row::no_payload() };
        Ok(Some(StoredVersion { key: key.clone(), version, payload }))
    })?;
    Ok(newest.flatten())
}

/// The open state if it is of the moment, else the newest closed one that is: states begin in the order of the
/// commits that brought them. The second half runs only when the first finds nothing.
macro_rules! newest {
    ($doc:literal, $join:literal) => {
        concat!(
            "SELECT s.from_, s.begun, s.number, s.op, NULL, NULL, NULL, ",
            $doc,
            " FROM head s ",
            $join,
            " WHERE s.tab = ?1 AND s.key = ?2 AND s.from_ <= ?3 AND s.begun <= ?4
             UNION ALL SELECT * FROM (
                 SELECT s.from_, s.begun, s.number, s.op, s.to_, s.ended, s.end_op, ",
            $doc,
            " FROM version s ",
            $join,
            "    WHERE s.tab = ?1 AND s.key = ?2 AND s.from_ <= ?3 AND s.begun <= ?4 ORDER BY s.from_ DESC LIMIT 1
             ) LIMIT 1"
        )
    };
}

const NEWEST: &str = newest!("NULL", "");
const NEWEST_WITH_PAYLOAD: &str = newest!("p.doc", "LEFT JOIN payload p ON p.pid = s.pid");

pub fn unique_holder(conn: &Connection, index: IndexId, key: &ItemKey) -> Result<Option<ItemKey>, StoreError> {
    let sql = "SELECT item FROM holder WHERE idx = ?1 AND key = ?2";
    query(conn, sql, params![index.0, key.as_bytes()], |r| row::key(r, 0))
}

/// What is kept about a table as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableState {
    pub changed: CommitNo,
    pub live: u64,
    pub loaded: bool,
}

/// All zero for a table without states.
pub fn table_state(conn: &Connection, table: TableId) -> Result<TableState, StoreError> {
    let sql = "SELECT changed, live, loaded FROM table_state WHERE tab = ?1";
    let state = query(conn, sql, [table.0], |r| {
        Ok(TableState { changed: row::commit(r, 0)?, live: counted(row::int(r, 1)?), loaded: row::int(r, 2)? != 0 })
    })?;
    Ok(state.unwrap_or_default())
}

pub fn commit_stamp(conn: &Connection, commit: CommitNo) -> Result<Option<CommitStamp>, StoreError> {
    query(conn, "SELECT number, time FROM commits WHERE number = ?1", [stored(commit.0)], row::stamp)
}

/// The newest of the commits up to `last` with `time <= at`: times grow with numbers, so halving finds it without an index.
/// (Numbers have gaps where they are those of a deployment that was copied.)
pub fn commit_at(conn: &Connection, at: Timestamp, last: CommitStamp) -> Result<Option<CommitStamp>, StoreError> {
    if last.commit == CommitNo::ZERO || last.time <= at {
        return Ok(Some(last).filter(|last| last.commit > CommitNo::ZERO));
    }
    let (mut found, mut above) = (None, last.commit.0);
    let mut below = 0;
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        match newest_within(conn, below, middle)? {
            Some(stamp) if stamp.time > at => above = stamp.commit.0,
            newest => {
                found = newest.or(found);
                below = middle;
            }
        }
    }
    Ok(found)
}

/// The newest commit with `below < number <= to`.
fn newest_within(conn: &Connection, below: u64, to: u64) -> Result<Option<CommitStamp>, StoreError> {
    let sql = "SELECT number, time FROM commits WHERE number > ?1 AND number <= ?2 ORDER BY number DESC LIMIT 1";
    query(conn, sql, params![stored(below), stored(to)], row::stamp)
}

/// At most `limit` commits of `from..=to`, ascending.
pub fn commits(conn: &Connection, from: CommitNo, to: CommitNo, limit: usize) -> Result<Vec<CommitInfo>, StoreError> {
    let sql =
        "SELECT number, time, context, tables, changes FROM commits WHERE number BETWEEN ?1 AND ?2 ORDER BY number LIMIT ?3";
    let mut statement = conn.prepare_cached(sql).map_err(failure)?;
    let mut rows = statement.query(params![stored(from.0), stored(to.0), stored(limit as u64)]).map_err(failure)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        let text = |column| row.get_ref(column).map_err(failure)?.as_str().map_err(|_| row::corrupt("text"));
        found.push(CommitInfo {
            stamp: row::stamp(row)?,
            context: serde_json::from_str(text(2)?).map_err(|_| row::corrupt("context"))?,
            tables: serde_json::from_str(text(3)?).map_err(|_| row::corrupt("list of tables"))?,
            rows: counted(row::int(row, 4)?),
        });
    }
    Ok(found)
}

/// Every state of every definition, as known at `last`.
pub fn catalog(conn: &Connection, last: CommitNo) -> Result<Vec<CatalogRow>, StoreError> {
    let sql = "SELECT b.number, b.time, e.number, e.time, c.kind, c.id, c.definition FROM catalog c
         JOIN commits b ON b.number = c.begun LEFT JOIN commits e ON e.number = c.ended AND e.number <= ?1
         WHERE c.begun <= ?1 ORDER BY c.begun, c.kind, c.id";
    let mut statement = conn.prepare_cached(sql).map_err(failure)?;
    let mut rows = statement.query([stored(last.0)]).map_err(failure)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        let ended: Option<i64> = row.get(2).map_err(failure)?;
        let ended = match ended {
            Some(_) => Some(CommitStamp { commit: row::commit(row, 2)?, time: row::time(row, 3)? }),
            None => None,
        };
        found.push(CatalogRow {
            kind: row.get(4).map_err(failure)?,
            id: row.get(5).map_err(failure)?,
            definition: row.get(6).map_err(failure)?,
            begun: row::stamp(row)?,
            ended,
        });
    }
    Ok(found)
}

pub fn counter(conn: &Connection, counter: u32) -> Result<u64, StoreError> {
    let next = query(conn, "SELECT next FROM counter WHERE id = ?1", [counter], |r| row::int(r, 0))?;
    Ok(next.map_or(0, i64::cast_unsigned))
}

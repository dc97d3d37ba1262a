//! A file that is filled with what another store has: a file of ours table by table, any other store state by state.
//!
//! It lies under a name of its own, which no server opens, until it is whole. Everything is added in order, in short
//! transactions that note how far they came, so that a copy that was interrupted goes on where it ended.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::apply::{execute, query, set_counter};
use super::lock::StoreLock;
use super::row::{self, Doc};
use super::schema::{self, failure, stored};
use crate::store::checksum::Checksum;
use crate::store::{CatalogRow, PayloadRef, StoreError};
use crate::versions::{CommitInfo, ItemKey, KeyFilter, TableId, Version};

/// Rows that one transaction takes over.
const PIECE: usize = 5_000;

/// How far a copy is.
const NOTES: &str = "CREATE TABLE IF NOT EXISTS importing (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT";

/// A table of the file: what its rows are in the order of, and all its columns.
struct Part {
    name: &'static str,
    order: &'static str,
    columns: &'static str,
}

const PARTS: [Part; 10] = [
    Part { name: "commits", order: "number", columns: "number, time, context, tables, changes" },
    Part { name: "payload", order: "pid", columns: "pid, doc" },
    Part { name: "version", order: "tab, key, from_", columns: "tab, key, from_, to_, begun, ended, number, op, end_op, pid" },
    Part { name: "head", order: "tab, key", columns: "tab, key, from_, begun, number, op, pid" },
    Part { name: "entry", order: "idx, key, item", columns: "idx, key, item" },
    Part { name: "holder", order: "idx, key", columns: "idx, key, item" },
    Part { name: "table_index", order: "tab, idx", columns: "tab, idx" },
    Part { name: "table_state", order: "tab", columns: "tab, changed, live, loaded" },
    Part { name: "catalog", order: "rowid", columns: "rowid, kind, id, begun, ended, definition" },
    Part { name: "counter", order: "id", columns: "id, next" },
];

/// A state with its payload's bytes.
pub type State = (ItemKey, Version, bytes::Bytes);

/// How far the states of a table are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The newest state of the last item, none of the first.
    pub last: Option<(ItemKey, u64)>,
    pub states: u64,
    /// Of all that were added, as they were handed over.
    pub sum: Checksum,
}

impl Reached {
    /// The keys that are still to come, the last item's among them.
    pub fn keys(&self) -> KeyFilter {
        match &self.last {
            None => KeyFilter::All,
            Some((key, _)) => {
                let low = std::ops::Bound::Included(key.clone());
                KeyFilter::Range { low, high: std::ops::Bound::Unbounded }
            }
        }
    }

    /// Whether a state was added already.
    pub fn has(&self, key: &ItemKey, version: &Version) -> bool {
        self.last.as_ref().is_some_and(|(last, number)| key < last || (key == last && version.number.0 <= *number))
    }

    fn text(&self) -> String {
        let (key, number) = self.last.as_ref().map_or((String::new(), 0), |(key, number)| (hex(key.as_bytes()), *number));
        format!("{key},{number},{},{}", self.states, self.sum)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let key = parts.next()?;
        let (number, states) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let sum = parts.next()?.parse().ok()?;
        let last = match key.is_empty() {
            true => None,
            false => Some((ItemKey::from_bytes(unhex(key)?), number)),
        };
        Some(Self { last, states, sum })
    }
}

/// An unfinished copy. One process has it open.
pub struct Import {
    conn: Connection,
    path: PathBuf,
    /// The number of the next payload.
    next: i64,
    _lock: StoreLock,
}

impl Import {
    /// Where the unfinished copy of a file lies.
    pub fn unfinished(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".copying");
        PathBuf::from(name)
    }

    /// Goes on with the unfinished copy that is to be the file at `path`, or begins it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let unfinished = Self::unfinished(path);
        let lock = StoreLock::acquire(&unfinished)?;
        let conn = schema::open_writer(&unfinished)?;
        // Nobody reads beside it, and what is lost with the machine is copied again.
        for (name, value) in [("wal_autocheckpoint", "4000"), ("synchronous", "NORMAL")] {
            conn.pragma_update(None, name, value).map_err(failure)?;
        }
        conn.execute_batch(NOTES).map_err(failure)?;
        let next = query(&conn, "SELECT coalesce(max(pid), 0) + 1 FROM payload", [], |r| row::int(r, 0))?.unwrap_or(1);
        Ok(Self { conn, path: path.to_owned(), next, _lock: lock })
    }

    pub fn note(&self, name: &str) -> Result<Option<String>, StoreError> {
        query(&self.conn, "SELECT value FROM importing WHERE name = ?1", [name], |r| r.get(0).map_err(failure))
    }

    pub fn set_note(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO importing (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
        execute(&self.conn, sql, [name, value]).map(drop)
    }

    /// Makes another file of ours the one that [`Self::take_piece`] reads; how many rows of it are to be copied yet.
    pub fn attach(&mut self, source: &Path) -> Result<u64, StoreError> {
        let source = source.to_str().ok_or_else(|| StoreError::Engine("a path that is not UTF-8".to_owned()))?;
        execute(&self.conn, "ATTACH DATABASE ?1 AS source", [source])?;
        let mut left = 0;
        for Part { name, .. } in PARTS {
            let sql = format!("SELECT (SELECT count(*) FROM source.{name}) - (SELECT count(*) FROM main.{name})");
            left += query(&self.conn, &sql, [], |r| row::int(r, 0))?.unwrap_or(0);
        }
        Ok(u64::try_from(left).unwrap_or(0))
    }

    /// Copies the next rows of the attached file; 0 when there are none left.
    pub fn take_piece(&mut self) -> Result<u64, StoreError> {
        for part in &PARTS {
            let copied = self.take_rows(part)?;
            if copied > 0 {
                return Ok(copied as u64);
            }
        }
        Ok(0)
    }

    fn take_rows(&self, Part { name, order, columns }: &Part) -> Result<usize, StoreError> {
        let width = order.split(", ").count();
        let newest = order.split(", ").map(|column| format!("{column} DESC")).collect::<Vec<_>>().join(", ");
        let last = query(&self.conn, &format!("SELECT {order} FROM main.{name} ORDER BY {newest} LIMIT 1"), [], |r| {
            (0..width).map(|at| r.get::<_, Value>(at).map_err(failure)).collect::<Result<Vec<Value>, StoreError>>()
        })?;
        let places = (1..=width).map(|at| format!("?{at}")).collect::<Vec<_>>().join(", ");
        let rest = if last.is_some() { format!("WHERE ({order}) > ({places})") } else { String::new() };
        let sql = format!(
            "INSERT INTO main.{name} ({columns}) SELECT {columns} FROM source.{name} {rest} ORDER BY {order} LIMIT {PIECE}"
        );
        execute(&self.conn, &sql, params_from_iter(last.unwrap_or_default()))
    }

    /// How far the states of a table are.
    pub fn reached(&self, table: TableId) -> Result<Reached, StoreError> {
        let corrupt = || StoreError::Corrupt("its notes cannot be read".to_owned());
        match self.note(&format!("table {}", table.0))? {
            None => Ok(Reached::default()),
            Some(text) => Reached::parse(&text).ok_or_else(corrupt),
        }
    }

    /// Adds states in order of key and number; how far that is.
    pub fn add_states(&mut self, table: TableId, reached: &Reached, states: &[State]) -> Result<Reached, StoreError> {
        let mut reached = reached.clone();
        let mut next = self.next;
        self.whole(|import| {
            for (key, version, payload) in states {
                import.add_state(table, key, version, (next, payload))?;
                reached.sum.add(key, version, payload);
                next += 1;
            }
            reached.states += states.len() as u64;
            reached.last = states.last().map(|(key, version, _)| (key.clone(), version.number.0)).or(reached.last.take());
            import.set_note(&format!("table {}", table.0), &reached.text())
        })?;
        self.next = next;
        Ok(reached)
    }

    fn add_state(
        &self,
        table: TableId,
        key: &ItemKey,
        version: &Version,
        (pid, payload): (i64, &bytes::Bytes),
    ) -> Result<(), StoreError> {
        let payload = PayloadRef::Inline(payload.clone());
        execute(&self.conn, "INSERT INTO payload (pid, doc) VALUES (?1, ?2)", params![pid, Doc(&payload)])?;
        let (from, begun) = (version.period.from.micros(), stored(version.period.begun.0));
        let (number, op) = (stored(version.number.0), version.op as u8);
        let done = match version.period.end {
            None => {
                let sql = "INSERT INTO head (tab, key, from_, begun, number, op, pid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                execute(&self.conn, sql, params![table.0, key.as_bytes(), from, begun, number, op, pid])
            }
            Some(end) => {
                let sql = "INSERT INTO version (tab, key, from_, to_, begun, ended, number, op, end_op, pid)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
                let (to, ended, end_op) = (end.to.micros(), stored(end.commit.0), end.op as u8);
                execute(&self.conn, sql, params![table.0, key.as_bytes(), from, to, begun, ended, number, op, end_op, pid])
            }
        };
        done.map(drop)
    }

    /// Takes back every state of a table.
    pub fn forget_states(&mut self, table: TableId) -> Result<(), StoreError> {
        self.whole(|import| {
            for part in ["head", "version"] {
                let sql = format!("DELETE FROM payload WHERE pid IN (SELECT pid FROM {part} WHERE tab = ?1)");
                execute(&import.conn, &sql, [table.0])?;
                execute(&import.conn, &format!("DELETE FROM {part} WHERE tab = ?1"), [table.0])?;
            }
            execute(&import.conn, "DELETE FROM importing WHERE name = ?1", [format!("table {}", table.0)]).map(drop)
        })
    }

    /// Adds rows of the log, those that are there already left as they are.
    pub fn add_commits(&mut self, commits: &[CommitInfo]) -> Result<(), StoreError> {
        let text = |e: serde_json::Error| StoreError::Engine(e.to_string());
        self.whole(|import| {
            for commit in commits {
                let context = serde_json::to_string(&commit.context).map_err(text)?;
                let tables = serde_json::to_string(&commit.tables).map_err(text)?;
                let sql = "INSERT OR IGNORE INTO commits (number, time, context, tables, changes) VALUES (?1, ?2, ?3, ?4, ?5)";
                let (number, time) = (stored(commit.stamp.commit.0), commit.stamp.time.micros());
                execute(&import.conn, sql, params![number, time, context, tables, stored(commit.rows)])?;
            }
            Ok(())
        })
    }

    /// Gives the file these definitions and counters, and no others, and finishes what follows from the states: the commits
    /// that the log does not have, and what is kept of tables.
    pub fn complete(&mut self, definitions: &[CatalogRow], counters: &[(u32, u64)]) -> Result<(), StoreError> {
        self.whole(|import| {
            execute(&import.conn, "DELETE FROM catalog", [])?;
            for row in definitions {
                let sql = "INSERT INTO catalog (kind, id, begun, ended, definition) VALUES (?1, ?2, ?3, ?4, ?5)";
                let ended = row.ended.map(|stamp| stored(stamp.commit.0));
                execute(&import.conn, sql, params![row.kind, row.id, stored(row.begun.commit.0), ended, row.definition])?;
            }
            counters.iter().try_for_each(|(id, next)| set_counter(&import.conn, *id, *next))?;
            // A second version of one instant has a commit of its own, a microsecond later.
            let context = serde_json::to_string(&crate::versions::Context::default()).unwrap_or_default();
            for sql in [
                "INSERT OR IGNORE INTO commits SELECT begun, min(from_), ?1, '[]', count(*) FROM version GROUP BY begun",
                "INSERT OR IGNORE INTO commits SELECT begun, min(from_), ?1, '[]', count(*) FROM head GROUP BY begun",
                "INSERT OR IGNORE INTO commits SELECT ended, min(to_), ?1, '[]', count(*) FROM version GROUP BY ended",
            ] {
                execute(&import.conn, sql, [&context])?;
            }
            execute(&import.conn, "DELETE FROM table_state", [])?;
            execute(
                &import.conn,
                "INSERT INTO table_state (tab, changed, live, loaded)
                 SELECT tab, max(changed), sum(live), max(loaded) FROM (
                     SELECT tab, max(begun) AS changed, count(*) AS live, max(from_ <> time) AS loaded
                     FROM head JOIN commits ON commits.number = begun GROUP BY tab
                     UNION ALL SELECT tab, max(ended), 0, max(from_ <> time)
                     FROM version JOIN commits ON commits.number = begun GROUP BY tab
                 ) GROUP BY tab",
                [],
            )
            .map(drop)
        })
    }

    /// Lets go of the file, all of it written out, so that it can be looked at under its unfinished name.
    pub fn rest(self) -> Result<(), StoreError> {
        self.conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA main.wal_checkpoint(TRUNCATE)").map_err(failure)
    }

    /// Makes the copy the file that it is to be.
    pub fn finish(self) -> Result<(), StoreError> {
        let Self { conn, path, .. } = self;
        let failed = |cause: std::io::Error| StoreError::Engine(format!("{}: {cause}", path.display()));
        conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA main.wal_checkpoint(TRUNCATE)").map_err(failure)?;
        conn.close().map_err(|(_, cause)| failure(cause))?;
        let unfinished = Self::unfinished(&path);
        std::fs::rename(&unfinished, &path).map_err(failed)?;
        let mut lock = unfinished.into_os_string();
        lock.push(".lock");
        let _ = std::fs::remove_file(lock);
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        // From here on the notes are nothing but in the way.
        schema::open_writer(&path)?.execute_batch("DROP TABLE importing; PRAGMA main.wal_checkpoint(TRUNCATE)").map_err(failure)
    }

    /// One transaction.
    fn whole(&mut self, work: impl FnOnce(&Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(failure)?;
        match work(self) {
            Ok(()) => self.conn.execute_batch("COMMIT").map_err(failure),
            Err(error) => {
                let _ = self.conn.execute_batch("ROLLBACK");
                Err(error)
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digits).collect()
}

//! What the SQLite file looks like, how a connection to it is set up, and how its numbers become ours.
//!
//! | table | one row per | clustered by |
//! |---|---|---|
//! | `commits` | commit | number |
//! | `head` | live item: its open state | table, key |
//! | `version` | closed state | table, key, begin |
//! | `payload` | state of either: its bytes; only ever appended to | the order of writing |
//! | `entry` | index, key and item that were ever together | the same |
//! | `holder` | held key of a unique index | index, key |
//! | `table_index` | index that a table has entries in | table, index |
//! | `table_state` | table: newest commit, live items, whether it has loaded states | table |
//! | `catalog` | state of a definition | the order of writing |
//! | `counter` | counter | id |
//!
//! An update moves a small row from `head` to `version` and leaves the bytes where they are. `version_ended`
//! has only states that a commit ended, so that a loaded history does not pay for it.
//! `payload.doc` is a BLOB (the bytes) or a TEXT (`size:sha256:name` of an object elsewhere).

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::store::StoreError;

/// "CGat": marks the file as ours.
const APPLICATION_ID: i64 = 0x4347_6174;

/// Raised when a file of the version before cannot be read any more.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE commits (
    number INTEGER PRIMARY KEY, time INTEGER NOT NULL, context TEXT NOT NULL, tables TEXT NOT NULL, changes INTEGER NOT NULL
) STRICT;
CREATE TABLE head (
    tab INTEGER NOT NULL, key BLOB NOT NULL, from_ INTEGER NOT NULL, begun INTEGER NOT NULL,
    number INTEGER NOT NULL, op INTEGER NOT NULL, pid INTEGER NOT NULL,
    PRIMARY KEY (tab, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE version (
    tab INTEGER NOT NULL, key BLOB NOT NULL, from_ INTEGER NOT NULL, to_ INTEGER NOT NULL, begun INTEGER NOT NULL,
    ended INTEGER NOT NULL, number INTEGER NOT NULL, op INTEGER NOT NULL, end_op INTEGER NOT NULL, pid INTEGER NOT NULL,
    PRIMARY KEY (tab, key, from_)
) STRICT, WITHOUT ROWID;
CREATE INDEX version_ended ON version (tab, ended) WHERE ended > begun;
CREATE TABLE payload (pid INTEGER PRIMARY KEY, doc ANY NOT NULL) STRICT;
CREATE TABLE entry (
    idx INTEGER NOT NULL, key BLOB NOT NULL, item BLOB NOT NULL, PRIMARY KEY (idx, key, item)
) STRICT, WITHOUT ROWID;
CREATE TABLE holder (
    idx INTEGER NOT NULL, key BLOB NOT NULL, item BLOB NOT NULL, PRIMARY KEY (idx, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE table_index (tab INTEGER NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (tab, idx)) STRICT, WITHOUT ROWID;
CREATE TABLE table_state (
    tab INTEGER PRIMARY KEY, changed INTEGER NOT NULL, live INTEGER NOT NULL, loaded INTEGER NOT NULL
) STRICT;
CREATE TABLE catalog (
    kind TEXT NOT NULL, id INTEGER NOT NULL, begun INTEGER NOT NULL, ended INTEGER, definition TEXT NOT NULL
) STRICT;
CREATE INDEX catalog_current ON catalog (kind, id) WHERE ended IS NULL;
CREATE TABLE counter (id INTEGER PRIMARY KEY, next INTEGER NOT NULL) STRICT;
";

/// The connection that writes. Makes the tables in a new file; refuses a file of something else.
pub fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    check_format(&conn)?;
    let settings = [
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        // The checkpointer decides when, off the path of commits.
        ("wal_autocheckpoint", "0"),
        ("journal_size_limit", "67108864"),
        ("temp_store", "MEMORY"),
        // At a commit after which pages were parted, SQLite goes through all of it.
        ("cache_size", "-16384"),
        ("foreign_keys", "OFF"),
    ];
    set(&conn, &settings)?;
    Ok(conn)
}

/// A connection that reads, beside the writer and others like it.
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let settings = [("query_only", "ON"), ("temp_store", "MEMORY"), ("cache_size", "-4096"), ("mmap_size", "17179869184")];
    set(&conn, &settings)?;
    Ok(conn)
}

/// The connection of the checkpointer.
pub fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set(&conn, &[("synchronous", "FULL"), ("wal_autocheckpoint", "0")])?;
    Ok(conn)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    // Each connection is used by one thread at a time.
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failure)?;
    conn.busy_timeout(Duration::from_secs(10)).map_err(failure)?;
    // Without this, a statement may be prepared anew each time that its parameters are bound.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failure)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn set(conn: &Connection, settings: &[(&str, &str)]) -> Result<(), StoreError> {
    settings.iter().try_for_each(|(name, value)| conn.pragma_update(None, name, value).map_err(failure))
}

fn check_format(conn: &Connection) -> Result<(), StoreError> {
    let read = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failure);
    let things: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failure)?;
    match (read("application_id")?, read("user_version")?, things) {
        (APPLICATION_ID, FORMAT, _) => Ok(()),
        (APPLICATION_ID, newer, _) if newer > FORMAT => {
            Err(StoreError::Corrupt(format!("its format {newer} is newer than {FORMAT}")))
        }
        (0, 0, 0) => create(conn),
        _ => Err(StoreError::Corrupt("it is not a store of this program".to_owned())),
    }
}

fn create(conn: &Connection) -> Result<(), StoreError> {
    conn.pragma_update(None, "page_size", "4096").map_err(failure)?;
    let sql = format!("BEGIN; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;");
    conn.execute_batch(&sql).map_err(failure)
}

/// What an error of SQLite means to the caller.
pub fn failure(error: rusqlite::Error) -> StoreError {
    match &error {
        rusqlite::Error::SqliteFailure(cause, _) => match cause.code {
            ErrorCode::DiskFull => StoreError::Full,
            ErrorCode::SystemIoFailure if cause.extended_code == ffi::SQLITE_IOERR_SHMSIZE => StoreError::Full,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(error.to_string()),
            _ => StoreError::Engine(error.to_string()),
        },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..) => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Engine(error.to_string()),
    }
}

/// A number of ours as SQLite keeps it. Numbers beyond `i64` are never reached by counting.
pub fn stored(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A number that is never negative as SQLite keeps it.
pub fn counted(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

//! What a statement is planned and run under: handed in by the session, the same for every part of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;

use super::catalog::CatalogueCache;
use super::memory::Held;
use super::returned::Returned;
use crate::error::{Result, SqlError};
use crate::history::privilege::denied;
use crate::history::{Authority, Database, Grants, RoleDef, TEMPORARY, TableWrites, Transaction, is_temporary_schema};
use crate::runtime::Cancel;
use crate::types::{Oid, PgType, Qualified};
use crate::versions::{CommitNo, ItemKey, TableId, Timestamp};

/// How far ahead of our clock a pinned time may lie, for clients whose clock runs fast. Microseconds.
pub const GRACE: i64 = 2_000_000;

/// The scope of relations that have no clause of their own (`chronogate.as_of` in all its forms).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultScope {
    AsOf(Timestamp),
    AsOfCommit(CommitNo),
}

/// Which columns the past shows (`chronogate.schema_at`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaAt {
    /// Every column the table ever had.
    #[default]
    Union,
    /// The columns of that time.
    Then,
    /// The columns of today.
    Now,
}

/// Settings as `current_setting`, `set_config` and SHOW see them.
pub trait SettingsAccess: Send + Sync + Debug {
    /// `None` when there is no such setting.
    fn get(&self, name: &str) -> Option<String>;
    fn set(&self, name: &str, value: &str, local: bool) -> Result<()>;
}

/// What each role may do, with all it inherits.
pub trait Authorities: Send + Sync + Debug {
    fn of(&self, role: &str) -> Authority;
}

/// Everybody is this one.
impl Authorities for Authority {
    fn of(&self, _: &str) -> Authority {
        self.clone()
    }
}

/// One database, as pg_database shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    pub oid: Oid,
    pub name: String,
    pub owner: String,
}

/// One setting, as pg_settings shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingFacts {
    pub name: String,
    pub value: String,
    pub description: String,
    /// What RESET goes back to.
    pub reset: String,
    /// What it is when nobody has set it.
    pub boot: String,
    /// `bool`, `integer`, `real`, `enum` or `string`.
    pub kind: &'static str,
    /// `internal`, `superuser` or `user`.
    pub context: &'static str,
    pub unit: Option<&'static str>,
    pub least: Option<String>,
    pub greatest: Option<String>,
    pub choices: Vec<String>,
}

/// One session of the server, as pg_stat_activity shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    pub pid: i32,
    pub database: String,
    pub user: String,
    pub application_name: String,
    /// Without port; `None` for one that is not known.
    pub client_address: Option<String>,
    pub started: Timestamp,
    pub transaction_started: Option<Timestamp>,
    pub query_started: Option<Timestamp>,
    pub state_changed: Option<Timestamp>,
    /// `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`.
    pub state: &'static str,
    pub query: String,
}

/// What a lock is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockedThing {
    /// By OID.
    Table(Oid),
    /// A row of this table.
    Row(Oid),
    Advisory(AdvisoryKey),
}

/// One lock, as pg_locks shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFacts {
    pub database: String,
    pub thing: LockedThing,
    /// `ShareLock` …
    pub mode: &'static str,
    pub granted: bool,
    pub pid: i32,
}

/// What a statement may learn of its session and of the server around its database. What is not given is nothing.
pub trait ServerView: Send + Sync + Debug {
    fn roles(&self) -> Vec<Arc<RoleDef>> {
        Vec::new()
    }

    fn databases(&self) -> Vec<DatabaseFacts> {
        Vec::new()
    }

    fn settings(&self) -> Vec<SettingFacts> {
        Vec::new()
    }

    fn sessions(&self) -> Vec<SessionFacts> {
        Vec::new()
    }

    /// When the server began to listen.
    fn started(&self) -> Timestamp {
        Timestamp::MIN
    }

    /// Cancels what a session runs; false when there is no such session.
    fn cancel(&self, _pid: i32) -> bool {
        false
    }

    /// Ends a session; false when there is no such session.
    fn terminate(&self, _pid: i32) -> bool {
        false
    }

    /// The locks that sessions have or wait for.
    fn locks(&self) -> Vec<LockFacts> {
        Vec::new()
    }

    /// Makes a transaction's snapshot known under a name, for as long as the transaction lasts.
    fn export_snapshot(&self, _database: &str, _transaction: &Transaction) -> Result<String> {
        Err(SqlError::unsupported("snapshots cannot be exported here", "Read as of one instant."))
    }
}

/// Of a server that nobody asks about.
impl ServerView for () {}

/// NOTICEs and WARNINGs that a statement gave rise to, drained by the session.
#[derive(Clone, Debug, Default)]
pub struct Notices(Arc<Mutex<Vec<SqlError>>>);

impl Notices {
    pub fn push(&self, notice: SqlError) {
        self.0.lock().push(notice);
    }

    pub fn drain(&self) -> Vec<SqlError> {
        std::mem::take(&mut self.0.lock())
    }
}

/// What `currval` and `lastval` answer; one per session, shared by its statements.
#[derive(Clone, Debug, Default)]
pub struct SequenceValues(Arc<Mutex<Taken>>);

/// The value last taken from each sequence, by its id, and the sequence that was last asked.
type Taken = (HashMap<u32, i64>, Option<u32>);

impl SequenceValues {
    /// Remembers what `nextval` (or `setval`) gave for the sequence of this id.
    pub fn record(&self, sequence: u32, value: i64) {
        let mut state = self.0.lock();
        state.0.insert(sequence, value);
        state.1 = Some(sequence);
    }

    /// The session's newest value of the sequence.
    pub fn current(&self, sequence: u32) -> Option<i64> {
        self.0.lock().0.get(&sequence).copied()
    }

    /// The newest value of whichever sequence was used last.
    pub fn last(&self) -> Option<i64> {
        let state = self.0.lock();
        state.1.and_then(|id| state.0.get(&id).copied())
    }

    /// DISCARD SEQUENCES.
    pub fn clear(&self) {
        *self.0.lock() = Default::default();
    }
}

/// What an advisory lock is about; the two forms never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdvisoryKey {
    One(i64),
    Two(i32, i32),
}

/// The advisory locks of a session.
pub trait AdvisoryLocks: Send + Sync + Debug {
    /// Takes a lock, of the transaction or of the session; `false` when another session has it. With `wait`, 55P03
    /// instead, and the statement is run again when the lock can be had.
    fn lock(&self, key: AdvisoryKey, shared: bool, transaction: bool, wait: bool) -> Result<bool>;
    /// Gives back a lock of the session; whether it had it.
    fn unlock(&self, key: AdvisoryKey, shared: bool) -> bool;
    fn unlock_all(&self);
}

/// Locks where there is one session only: every one can be had.
#[derive(Debug)]
pub struct Unlocked;

impl AdvisoryLocks for Unlocked {
    fn lock(&self, _: AdvisoryKey, _: bool, _: bool, _: bool) -> Result<bool> {
        Ok(true)
    }

    fn unlock(&self, _: AdvisoryKey, _: bool) -> bool {
        false
    }

    fn unlock_all(&self) {}
}

/// What a transaction is going to say or do about channels when it commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Listen(String),
    /// `None` is all.
    Unlisten(Option<String>),
    Notify {
        channel: String,
        payload: String,
    },
}

/// The messages of the transaction that is open, in order; shared by its statements.
#[derive(Clone, Debug, Default)]
pub struct Messages(Arc<Mutex<Vec<Message>>>);

impl Messages {
    pub fn push(&self, message: Message) {
        self.0.lock().push(message);
    }

    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn truncate(&self, len: usize) {
        self.0.lock().truncate(len);
    }

    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock())
    }
}

/// One prepared statement, as `pg_prepared_statements` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedInfo {
    pub statement: String,
    pub prepared_at: Timestamp,
    pub parameters: Vec<PgType>,
    /// By PREPARE; else by the protocol.
    pub from_sql: bool,
}

/// One open cursor, as `pg_cursors` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorInfo {
    pub statement: String,
    pub holdable: bool,
    pub binary: bool,
    pub scrollable: bool,
    pub created_at: Timestamp,
}

/// What a session keeps under names, for the catalogue to show; the session changes it, statements read it.
#[derive(Debug, Default)]
pub struct SessionObjects {
    pub prepared: BTreeMap<String, PreparedInfo>,
    pub cursors: BTreeMap<String, CursorInfo>,
    /// Channels that are listened to.
    pub channels: BTreeSet<String>,
    /// Names of the snapshots that the open transaction has exported.
    pub exported: Vec<String>,
}

/// One statement's surroundings.
#[derive(Clone, Debug)]
pub struct StatementContext {
    pub database: Arc<Database>,
    /// Snapshot, own writes and own definitions; shared by the statements of a transaction.
    pub transaction: Arc<Mutex<Transaction>>,
    /// Role names: what `session_user` and `current_user` say and privileges are checked for.
    pub session_user: String,
    pub current_user: String,
    pub superuser: bool,
    pub authorities: Arc<dyn Authorities>,
    pub server: Arc<dyn ServerView>,
    /// What catalogues the server has at hand.
    pub catalogues: CatalogueCache,
    /// Schemas searched for unqualified names; `pg_catalog` is searched first without being in it.
    pub search_path: Vec<String>,
    /// The session's TimeZone, an IANA name or a fixed offset as PostgreSQL writes it.
    pub time_zone: String,
    pub default_scope: Option<DefaultScope>,
    pub schema_at: SchemaAt,
    /// The past is being read or the transaction is READ ONLY: writes are refused with 25006.
    pub read_only: bool,
    /// What the statement writes is committed before anybody is told of its success: checks that the commit makes
    /// again need not be made before it.
    pub commits_alone: bool,
    /// What now() answers: the transaction's start.
    pub transaction_time: Timestamp,
    pub statement_time: Timestamp,
    pub settings: Arc<dyn SettingsAccess>,
    pub notices: Notices,
    pub sequences: SequenceValues,
    pub messages: Messages,
    pub advisory: Arc<dyn AdvisoryLocks>,
    pub objects: Arc<Mutex<SessionObjects>>,
    /// What the transaction's writes hold in memory until it ends.
    pub held: Held,
    pub cancel: Cancel,
    /// Backend process number, for pg_backend_pid().
    pub backend_pid: i32,
    /// Own writes as they were before the statement, where a part of it may have written already.
    pub seen: Option<Arc<Writes>>,
    /// What WITH queries of the statement have returned that write.
    pub returned: Returned,
    /// Calls of routines around.
    pub depth: u32,
    /// Held by the call that is running: calls of one statement follow one another.
    pub calls: Arc<tokio::sync::Mutex<()>>,
}

/// Own writes of a transaction by table.
pub type Writes = BTreeMap<TableId, Arc<TableWrites>>;

impl StatementContext {
    /// The transaction's own writes that a read of this table lies under; `None` for none.
    pub fn overlay(&self, table: TableId) -> Option<Arc<TableWrites>> {
        match &self.seen {
            Some(seen) => seen.get(&table).filter(|writes| !writes.is_empty()).cloned(),
            None => self.transaction.lock().overlay(table),
        }
    }

    /// Whether another part of the statement has changed the item already.
    pub fn has_changed(&self, table: TableId, item: &ItemKey) -> bool {
        let Some(seen) = &self.seen else { return false };
        let transaction = self.transaction.lock();
        let (before, now) = (seen.get(&table), transaction.writes.get(&table));
        let row = |writes: Option<&Arc<TableWrites>>| writes.and_then(|writes| writes.rows.get(item)).cloned();
        row(before) != row(now)
    }

    /// What the current role may do.
    pub fn authority(&self) -> Authority {
        self.authorities.of(&self.current_user)
    }

    /// The schema that a name was written with: the session's own where that is called `pg_temp`.
    pub fn schema_named<'a>(&'a self, schema: &'a str) -> &'a str {
        if schema != TEMPORARY {
            return schema;
        }
        self.search_path.iter().map(String::as_str).find(|s| is_temporary_schema(s)).unwrap_or(schema)
    }

    /// 42501 unless `authority` may use this privilege on a relation of `kind`, and its schema at all.
    pub fn require(
        &self,
        authority: &Authority,
        privilege: &str,
        kind: &str,
        name: &Qualified,
        grants: &Grants,
        owner: &str,
    ) -> Result<()> {
        if authority.superuser {
            return Ok(());
        }
        let catalog = Arc::clone(&self.transaction.lock().catalog);
        if let Some(schema) = catalog.schemas.get(&name.schema)
            && !authority.may("USAGE", &schema.grants, &schema.owner)
        {
            return Err(denied("schema", &name.schema));
        }
        if authority.may(privilege, grants, owner) { Ok(()) } else { Err(denied(kind, &name.name)) }
    }
}

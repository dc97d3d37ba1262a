//! Which settings there are: name, kind, default, who may change it, whether clients are told.
//!
//! A setting that only exists because clients set it says so in its description.

use std::collections::HashMap;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    None,
    Milliseconds,
    Seconds,
    Minutes,
    Kilobytes,
    /// Pages of 8 kB.
    Blocks,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Bool,
    /// Bounds inclusive, in the unit.
    Int(i64, i64, Unit),
    Real(f64, f64),
    Enum(&'static [&'static str]),
    Text,
    /// Only these values work here; every other one that PostgreSQL has is refused with 0A000.
    Only(&'static [&'static str]),
    TimeZone,
    DateStyle,
    Encoding,
    List,
    JsonObject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Anyone,
    Superuser,
    /// Of the transaction that is open.
    Transaction,
    /// Fixed when the server was built or the session began.
    Nobody,
}

#[derive(Debug)]
pub struct Definition {
    /// As SHOW heads its column.
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub access: Access,
    /// Told to clients by ParameterStatus.
    pub reported: bool,
    /// A change can alter how a statement is planned.
    pub planning: bool,
    /// Not in SHOW ALL.
    pub hidden: bool,
    pub description: &'static str,
}

impl Definition {
    /// The name in lower case, under which values are kept.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    const fn reported(mut self) -> Self {
        self.reported = true;
        self
    }

    const fn planning(mut self) -> Self {
        self.planning = true;
        self
    }

    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
}

const fn setting(name: &'static str, kind: Kind, default: &'static str, access: Access, description: &'static str) -> Definition {
    Definition { name, kind, default, access, reported: false, planning: false, hidden: false, description }
}

const fn user(name: &'static str, kind: Kind, default: &'static str, description: &'static str) -> Definition {
    setting(name, kind, default, Access::Anyone, description)
}

const fn fixed(name: &'static str, default: &'static str, description: &'static str) -> Definition {
    setting(name, Kind::Text, default, Access::Nobody, description)
}

/// Accepted and kept because clients set it; nothing here depends on it.
const fn accepted(name: &'static str, kind: Kind, default: &'static str) -> Definition {
    setting(name, kind, default, Access::Anyone, "Accepted for compatibility; it changes nothing here.")
}

const MAX: i64 = i32::MAX as i64;
const ISOLATION: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];
const MESSAGES: &[&str] = &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];
const MILLIS: Kind = Kind::Int(0, MAX, Unit::Milliseconds);
const KILOBYTES: Kind = Kind::Int(64, MAX, Unit::Kilobytes);
const COST: Kind = Kind::Real(0.0, f64::MAX);

/// Names in alphabetical order without regard to case, as SHOW ALL lists them.
pub static ALL: &[Definition] = &[
    user("application_name", Kind::Text, "", "The application's name, recorded with every commit.").reported(),
    accepted("array_nulls", Kind::Only(&["on"]), "on"),
    accepted("backslash_quote", Kind::Enum(&["safe_encoding", "on", "off"]), "safe_encoding"),
    fixed("block_size", "8192", "Size of a disk block, for clients that compute with it."),
    user("bytea_output", Kind::Only(&["hex"]), "hex", "Text format of bytea."),
    accepted("check_function_bodies", Kind::Bool, "on"),
    user("chronogate.actor", Kind::Text, "", "Who acts, recorded with every commit."),
    user("chronogate.as_of", Kind::Text, "", "The time this session reads; empty for the present.").reported().planning(),
    user("chronogate.clock", Kind::Enum(&["real", "as_of"]), "real", "Whether now() follows chronogate.as_of.").planning(),
    user("chronogate.context", Kind::JsonObject, "", "A JSON object recorded with every commit."),
    user(
        "chronogate.on_missing_payload",
        Kind::Enum(&["error", "null", "skip"]),
        "error",
        "What a read does where a document is missing or damaged.",
    ),
    user("chronogate.reason", Kind::Text, "", "Why, recorded with every commit."),
    user("chronogate.schema_at", Kind::Enum(&["union", "then", "now"]), "union", "Which columns the past shows.").planning(),
    fixed("chronogate.snapshot", "", "The commit that the transaction reads, or the newest."),
    user("chronogate.strict_version", Kind::Only(&["off"]), "off", "Whether a stale _version is an error."),
    user("client_encoding", Kind::Encoding, "UTF8", "The client's character set.").reported(),
    user("client_min_messages", Kind::Enum(MESSAGES), "notice", "The least of the messages that are sent."),
    accepted("constraint_exclusion", Kind::Enum(&["partition", "on", "off"]), "partition"),
    accepted("cpu_index_tuple_cost", COST, "0.005"),
    accepted("cpu_operator_cost", COST, "0.0025"),
    accepted("cpu_tuple_cost", COST, "0.01"),
    accepted("cursor_tuple_fraction", Kind::Real(0.0, 1.0), "0.1"),
    user("DateStyle", Kind::DateStyle, "ISO, MDY", "How dates are written and read.").reported().planning(),
    accepted("deadlock_timeout", Kind::Int(1, MAX, Unit::Milliseconds), "1s"),
    accepted("default_statistics_target", Kind::Int(1, 10000, Unit::None), "100"),
    accepted("default_table_access_method", Kind::Text, "heap"),
    accepted("default_tablespace", Kind::Text, ""),
    accepted("default_text_search_config", Kind::Text, "pg_catalog.simple"),
    accepted("default_toast_compression", Kind::Enum(&["pglz", "lz4"]), "pglz"),
    accepted("default_transaction_deferrable", Kind::Bool, "off"),
    user("default_transaction_isolation", Kind::Enum(ISOLATION), "read committed", "Isolation of new transactions."),
    user("default_transaction_read_only", Kind::Bool, "off", "Whether new transactions are read-only.").reported(),
    accepted("effective_cache_size", Kind::Int(1, MAX, Unit::Blocks), "4GB"),
    accepted("effective_io_concurrency", Kind::Int(0, 1000, Unit::None), "1"),
    accepted("enable_bitmapscan", Kind::Bool, "on"),
    accepted("enable_hashagg", Kind::Bool, "on"),
    accepted("enable_hashjoin", Kind::Bool, "on"),
    accepted("enable_indexonlyscan", Kind::Bool, "on"),
    accepted("enable_indexscan", Kind::Bool, "on"),
    accepted("enable_material", Kind::Bool, "on"),
    accepted("enable_memoize", Kind::Bool, "on"),
    accepted("enable_mergejoin", Kind::Bool, "on"),
    accepted("enable_nestloop", Kind::Bool, "on"),
    accepted("enable_partition_pruning", Kind::Bool, "on"),
    accepted("enable_partitionwise_aggregate", Kind::Bool, "off"),
    accepted("enable_partitionwise_join", Kind::Bool, "off"),
    accepted("enable_seqscan", Kind::Bool, "on"),
    accepted("enable_sort", Kind::Bool, "on"),
    accepted("enable_tidscan", Kind::Bool, "on"),
    accepted("escape_string_warning", Kind::Bool, "on"),
    user("extra_float_digits", Kind::Int(1, 3, Unit::None), "1", "Floats are written with the digits that give them back."),
    accepted("force_parallel_mode", Kind::Enum(&["off", "on", "regress"]), "off"),
    accepted("from_collapse_limit", Kind::Int(1, MAX, Unit::None), "8"),
    accepted("geqo", Kind::Bool, "on"),
    accepted("geqo_threshold", Kind::Int(2, MAX, Unit::None), "12"),
    accepted("gin_fuzzy_search_limit", Kind::Int(0, MAX, Unit::None), "0"),
    accepted("hash_mem_multiplier", Kind::Real(1.0, 1000.0), "2"),
    user("idle_in_transaction_session_timeout", MILLIS, "0", "How long a transaction may wait for its client."),
    user("idle_session_timeout", MILLIS, "0", "How long a session may wait outside a transaction."),
    fixed("in_hot_standby", "off", "Whether this is a standby.").reported(),
    fixed("integer_datetimes", "on", "Times are whole microseconds.").reported(),
    user("IntervalStyle", Kind::Only(&["postgres"]), "postgres", "How intervals are written.").reported().planning(),
    fixed("is_superuser", "off", "Whether the current role is a superuser.").reported(),
    accepted("jit", Kind::Bool, "on"),
    accepted("jit_above_cost", Kind::Real(-1.0, f64::MAX), "100000"),
    accepted("join_collapse_limit", Kind::Int(1, MAX, Unit::None), "8"),
    fixed("lc_collate", "C", "Text is ordered by its bytes."),
    fixed("lc_ctype", "C.UTF-8", "How characters are classed."),
    accepted("lc_messages", Kind::Text, "C"),
    accepted("lc_monetary", Kind::Text, "C"),
    accepted("lc_numeric", Kind::Text, "C"),
    accepted("lc_time", Kind::Text, "C"),
    accepted("lo_compat_privileges", Kind::Bool, "off"),
    user("lock_timeout", MILLIS, "0", "How long a statement may wait for a lock."),
    accepted("maintenance_work_mem", Kind::Int(1024, MAX, Unit::Kilobytes), "64MB"),
    fixed("max_connections", "100", "For clients that read it; the server's configuration decides."),
    fixed("max_function_args", "100", "The most arguments a function takes."),
    fixed("max_identifier_length", "63", "The longest name, in bytes."),
    fixed("max_index_keys", "32", "The most columns an index has."),
    accepted("max_parallel_maintenance_workers", Kind::Int(0, 1024, Unit::None), "2"),
    accepted("max_parallel_workers", Kind::Int(0, 1024, Unit::None), "8"),
    accepted("max_parallel_workers_per_gather", Kind::Int(0, 1024, Unit::None), "2"),
    accepted("max_stack_depth", Kind::Int(100, MAX, Unit::Kilobytes), "2MB"),
    accepted("min_parallel_index_scan_size", Kind::Int(0, MAX, Unit::Blocks), "512kB"),
    accepted("min_parallel_table_scan_size", Kind::Int(0, MAX, Unit::Blocks), "8MB"),
    accepted("parallel_leader_participation", Kind::Bool, "on"),
    accepted("parallel_setup_cost", COST, "1000"),
    accepted("parallel_tuple_cost", COST, "0.1"),
    user("password_encryption", Kind::Only(&["scram-sha-256"]), "scram-sha-256", "How passwords are kept."),
    accepted("plan_cache_mode", Kind::Enum(&["auto", "force_generic_plan", "force_custom_plan"]), "auto"),
    accepted("quote_all_identifiers", Kind::Bool, "off"),
    accepted("random_page_cost", COST, "4"),
    accepted("restrict_nonsystem_relation_kind", Kind::Text, ""),
    user("role", Kind::Text, "none", "The role whose privileges count.").planning().hidden(),
    user("row_security", Kind::Bool, "on", "Accepted; there are no row policies."),
    user("search_path", Kind::List, "\"$user\", public", "Schemas that are searched for unqualified names.").planning(),
    accepted("seq_page_cost", COST, "1"),
    fixed("server_encoding", "UTF8", "The character set of stored text.").reported(),
    fixed("server_version", "15.12", "The PostgreSQL version whose behaviour is followed.").reported(),
    fixed("server_version_num", "150012", "The same as a number."),
    user("session_authorization", Kind::Text, "", "The role of the session.").planning().reported().hidden(),
    setting(
        "session_replication_role",
        Kind::Only(&["origin"]),
        "origin",
        Access::Superuser,
        "Accepted for compatibility; there are no triggers to switch off.",
    ),
    fixed("ssl", "off", "Whether the server speaks TLS."),
    user("standard_conforming_strings", Kind::Only(&["on"]), "on", "Backslashes in '…' are ordinary characters.").reported(),
    user("statement_timeout", MILLIS, "0", "How long a statement may run."),
    accepted("synchronize_seqscans", Kind::Bool, "on"),
    user(
        "synchronous_commit",
        Kind::Enum(&["on", "remote_apply", "remote_write", "local", "off"]),
        "on",
        "Accepted; a commit is always durable before it is acknowledged.",
    ),
    accepted("tcp_keepalives_count", Kind::Int(0, MAX, Unit::None), "0"),
    accepted("tcp_keepalives_idle", Kind::Int(0, MAX, Unit::Seconds), "0"),
    accepted("tcp_keepalives_interval", Kind::Int(0, MAX, Unit::Seconds), "0"),
    accepted("temp_buffers", Kind::Int(100, MAX, Unit::Blocks), "8MB"),
    accepted("temp_tablespaces", Kind::Text, ""),
    user("TimeZone", Kind::TimeZone, "UTC", "The zone that times are shown and read in.").reported().planning(),
    accepted("timezone_abbreviations", Kind::Only(&["Default"]), "Default"),
    accepted("trace_notify", Kind::Bool, "off"),
    setting("transaction_deferrable", Kind::Bool, "off", Access::Transaction, "Accepted; nothing is ever deferred."),
    setting(
        "transaction_isolation",
        Kind::Enum(ISOLATION),
        "read committed",
        Access::Transaction,
        "Isolation of this transaction: whatever its name, it reads one snapshot.",
    ),
    setting("transaction_read_only", Kind::Bool, "off", Access::Transaction, "Whether this transaction is read-only."),
    accepted("transform_null_equals", Kind::Only(&["off"]), "off"),
    accepted("vacuum_cost_delay", Kind::Int(0, 100, Unit::Milliseconds), "0"),
    fixed("wal_block_size", "8192", "For clients that compute with it."),
    accepted("work_mem", KILOBYTES, "4MB"),
    accepted("xmlbinary", Kind::Enum(&["base64", "hex"]), "base64"),
    accepted("xmloption", Kind::Enum(&["content", "document"]), "content"),
];

/// The setting of this name in any case; `system_versioning_asof` is MariaDB's for `chronogate.as_of`.
pub fn find(name: &str) -> Option<&'static Definition> {
    static BY_KEY: LazyLock<HashMap<String, &'static Definition>> =
        LazyLock::new(|| ALL.iter().map(|definition| (definition.key(), definition)).collect());
    let key = name.to_ascii_lowercase();
    let key = if key == "system_versioning_asof" { "chronogate.as_of" } else { key.as_str() };
    BY_KEY.get(key).copied()
}

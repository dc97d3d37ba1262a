//! Scans: the states of one table in order of (key, from), in pieces that can stop and go on.
//!
//! A piece is one short read transaction over `head` and `version`, merged. Between pieces nothing is held:
//! the snapshot fixes the answer, so the next piece goes on after the last state whatever was written since,
//! and a reader that pauses keeps no log from being checkpointed.

use std::ops::Bound;

use bytes::Bytes;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Rows, params_from_iter, types::Value};

use super::reader::{self, TableState};
use super::row;
use super::schema::{failure, stored};
use crate::store::{PayloadRef, ScanRequest, StoreError, StoredVersion, VersionBatch};
use crate::versions::{CommitNo, CommitStamp, IndexCandidates, ItemKey, KeyFilter, Scope, Snapshot, Timestamp, Version};

/// A piece ends at this many states or bytes of payload. (Tests have small pieces, so that small histories
/// take every path.)
const PIECE_ROWS: usize = if cfg!(test) { 7 } else { 2048 };
const PIECE_BYTES: usize = 384 << 10;

/// States ended since the moment asked for are looked up one by one up to this many; beyond, reading all
/// states in order is cheaper.
const FEW_ENDED: usize = if cfg!(test) { 3 } else { 4096 };

/// Candidates are looked up one by one up to this many, or half the live items; beyond, so is scanning all.
const FEW_CANDIDATES: usize = if cfg!(test) { 3 } else { 4096 };

/// A scan and how far it has come.
#[derive(Debug)]
pub struct Scan {
    request: ScanRequest,
    /// Everything up to here, inclusive, has been returned.
    after: Option<(ItemKey, Timestamp)>,
    left: usize,
    /// Whether candidates were looked for already.
    narrowed: bool,
    /// Whether too many states have ended since to look for them one by one, which only gets truer.
    many_ended: bool,
    /// Bytes of the last piece's payloads, which the next one's will be about.
    bytes: usize,
}

impl Scan {
    pub fn new(request: ScanRequest) -> Self {
        let left = request.limit.unwrap_or(usize::MAX);
        Self { request, after: None, left, narrowed: false, many_ended: false, bytes: 0 }
    }

    /// The next states, and whether there may be more.
    pub fn piece(&mut self, conn: &Connection) -> Result<(VersionBatch, bool), StoreError> {
        let transaction = conn.unchecked_transaction().map_err(failure)?;
        let state = reader::table_state(&transaction, self.request.table)?;
        if !self.narrowed {
            self.narrow(&transaction, state)?;
        }
        let mut piece = Piece::new(self.left.min(PIECE_ROWS), self.request.payloads, self.bytes);
        let more = match &self.request.keys {
            KeyFilter::Points(keys) if self.picks_one() => self.single(&transaction, keys, &mut piece)?,
            _ => {
                let view = View::new(&transaction, self.request.scope, self.request.snapshot, state)?;
                let closed = match self.many_ended {
                    true => Closed::Many,
                    false => view.closed(&transaction, self.request.table.0, state)?,
                };
                self.many_ended = closed == Closed::Many;
                self.states(&transaction, (&view, closed), &mut piece)?
            }
        };
        transaction.finish().map_err(failure)?;
        self.bytes = piece.bytes.len();
        let batch = piece.finish();
        self.left -= batch.len();
        self.after = batch.last().map(|v| (v.key.clone(), v.version.period.from)).or(self.after.take());
        Ok((batch, more && self.left > 0))
    }

    /// Replaces candidates by the items they name, unless they are too many to be of use.
    fn narrow(&mut self, conn: &Connection, state: TableState) -> Result<(), StoreError> {
        self.narrowed = true;
        let Some(wanted) = self.request.index_candidates() else { return Ok(()) };
        let few = FEW_CANDIDATES.max(usize::try_from(state.live / 2).unwrap_or(usize::MAX));
        if let Some(mut items) = candidates(conn, wanted, few)? {
            items.retain(|item| self.request.keys.contains(item));
            self.request.keys = KeyFilter::points(items);
        }
        Ok(())
    }

    fn picks_one(&self) -> bool {
        reader::Moment::of(self.request.scope, self.request.snapshot).is_some()
    }

    /// Adds the one state of each of these items until the piece is full; whether there may be more.
    fn single(&self, conn: &Connection, keys: &[ItemKey], piece: &mut Piece) -> Result<bool, StoreError> {
        let view = (self.request.scope, self.request.snapshot);
        let first = self.after.as_ref().map_or(0, |(key, _)| keys.partition_point(|k| k <= key));
        for key in keys.iter().skip(first) {
            if piece.is_full() {
                return Ok(true);
            }
            let found = reader::get(conn, self.request.table, key, view, self.request.payloads)?;
            found.into_iter().for_each(|version| piece.take(version));
        }
        Ok(false)
    }

    fn states(&self, conn: &Connection, states: (&View, Closed), piece: &mut Piece) -> Result<bool, StoreError> {
        match &self.request.keys {
            KeyFilter::All => self.range(conn, states, Span::all(), piece),
            KeyFilter::Range { low, high } => self.range(conn, states, Span::new(low, high), piece),
            KeyFilter::Points(keys) => {
                let first = self.after.as_ref().map_or(0, |(key, _)| keys.partition_point(|k| k < key));
                for key in keys.iter().skip(first) {
                    if piece.is_full() || self.range(conn, states, Span::of(key), piece)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Adds states of a span of keys until the piece is full; whether there may be more.
    fn range(
        &self,
        conn: &Connection,
        (view, closed): (&View, Closed),
        span: Span,
        piece: &mut Piece,
    ) -> Result<bool, StoreError> {
        let Some((key, from)) = &self.after else { return self.merged(conn, view, closed, &span, piece) };
        // First the rest of the item at which the last piece ended.
        if span.contains(key) {
            let rest = Span { from: Some(from.micros()), ..Span::of(key) };
            if self.merged(conn, view, closed, &rest, piece)? {
                return Ok(true);
            }
        }
        self.merged(conn, view, closed, &span.above(key), piece)
    }

    fn merged(&self, conn: &Connection, view: &View, closed: Closed, span: &Span, piece: &mut Piece) -> Result<bool, StoreError> {
        let ScanRequest { table, scope, snapshot, payloads, .. } = &self.request;
        let select = view.heads(table.0, span, *payloads);
        let mut heads = conn.prepare_cached(&select.sql).map_err(failure)?;
        let heads = heads.query(params_from_iter(select.params)).map_err(failure)?;
        if closed == Closed::None {
            return merge(heads, None, (*scope, *snapshot), piece);
        }
        let select = view.versions(table.0, span, *payloads, closed);
        let mut versions = conn.prepare_cached(&select.sql).map_err(failure)?;
        let versions = Some(versions.query(params_from_iter(select.params)).map_err(failure)?);
        merge(heads, versions, (*scope, *snapshot), piece)
    }
}

/// The items with an entry as wanted, or `None` when they are more than `few` or no restriction at all.
fn candidates(conn: &Connection, wanted: &IndexCandidates, few: usize) -> Result<Option<Vec<ItemKey>>, StoreError> {
    let mut items = Vec::new();
    let spans = match &wanted.keys {
        KeyFilter::All => return Ok(None),
        KeyFilter::Points(keys) => keys.iter().map(Span::of).collect(),
        KeyFilter::Range { low, high } => vec![Span::new(low, high)],
    };
    for span in spans {
        let bound = if span.high.is_some() { "AND key < ?4" } else { "" };
        let sql = format!("SELECT item FROM entry WHERE idx = ?1 AND key >= ?2 {bound} LIMIT ?3");
        let limit = stored((few - items.len() + 1) as u64);
        let mut params = vec![Value::from(wanted.index.0), Value::from(span.low), Value::from(limit)];
        params.extend(span.high.map(Value::from));
        let mut statement = conn.prepare_cached(&sql).map_err(failure)?;
        let mut rows = statement.query(params_from_iter(params)).map_err(failure)?;
        while let Some(found) = rows.next().map_err(failure)? {
            items.push(row::key(found, 0)?);
        }
        if items.len() > few {
            return Ok(None);
        }
    }
    Ok(Some(items))
}

/// A span of keys: `low` and above, below `high`; of states that begin after `from`.
#[derive(Clone, Debug)]
struct Span {
    low: Vec<u8>,
    high: Option<Vec<u8>>,
    from: Option<i64>,
}

impl Span {
    fn all() -> Self {
        Self { low: Vec::new(), high: None, from: None }
    }

    fn of(key: &ItemKey) -> Self {
        Self { low: key.as_bytes().to_vec(), high: Some(least_above(key)), from: None }
    }

    fn new(low: &Bound<ItemKey>, high: &Bound<ItemKey>) -> Self {
        let low = match low {
            Bound::Included(key) => key.as_bytes().to_vec(),
            Bound::Excluded(key) => least_above(key),
            Bound::Unbounded => Vec::new(),
        };
        let high = match high {
            Bound::Included(key) => Some(least_above(key)),
            Bound::Excluded(key) => Some(key.as_bytes().to_vec()),
            Bound::Unbounded => None,
        };
        Self { low, high, from: None }
    }

    fn contains(&self, key: &ItemKey) -> bool {
        key.as_bytes() >= self.low.as_slice() && self.high.as_deref().is_none_or(|high| key.as_bytes() < high)
    }

    /// What of the span lies above a key.
    fn above(mut self, key: &ItemKey) -> Self {
        self.low = self.low.max(least_above(key));
        self
    }
}

/// The least key above another is that key with a zero byte behind it.
fn least_above(key: &ItemKey) -> Vec<u8> {
    [key.as_bytes(), &[0]].concat()
}

/// How a scope is read: conditions that SQLite checks on every state. They lose nothing that is visible; what
/// else they let through, [`crate::versions::Period::is_visible`] stops.
struct View {
    /// Only states begun by this commit: `None` where all are.
    begun: Option<CommitNo>,
    /// Only states that a later commit than this ended.
    ended_after: Option<CommitNo>,
    /// Only states that begin at or before this instant.
    from_until: Option<Timestamp>,
    /// Only states that end after this instant, or by a commit that the snapshot does not know.
    to_after: Option<Timestamp>,
    /// `None` when it knows all that is there.
    snapshot: Option<CommitNo>,
}

/// How closed states are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// There can be none.
    None,
    /// Through the index of ends.
    Few,
    /// In order, all of them.
    Many,
}

impl View {
    fn new(conn: &Connection, scope: Scope, snapshot: Snapshot, state: TableState) -> Result<Self, StoreError> {
        let bound = |commit: CommitNo| Some(commit).filter(|commit| state.changed > *commit);
        let known = bound(snapshot.commit);
        let all = Self { begun: known, ended_after: None, from_until: None, to_after: None, snapshot: known };
        let at_commit = |commit: CommitNo| Self { begun: bound(commit), ended_after: Some(commit), ..all };
        Ok(match scope {
            Scope::Current => at_commit(snapshot.commit),
            Scope::AsOfCommit(commit) => at_commit(commit.min(snapshot.commit)),
            // Loaded periods end in the past, so that the present is that of the snapshot for them too.
            Scope::AsOf(at) if at >= snapshot.time => at_commit(snapshot.commit),
            // Without loaded periods an instant is what the commits before it have left.
            Scope::AsOf(at) if !state.loaded => {
                let last = CommitStamp { commit: snapshot.commit, time: snapshot.time };
                at_commit(reader::commit_at(conn, at, last)?.map_or(CommitNo::ZERO, |stamp| stamp.commit))
            }
            Scope::AsOf(at) => Self { from_until: Some(at), to_after: Some(at), ..all },
            Scope::FromTo { from, until } | Scope::Between { from, until } => {
                Self { from_until: Some(until), to_after: Some(from), ..all }
            }
            Scope::ContainedIn { until, .. } => Self { from_until: Some(until), ..all },
            Scope::All => all,
        })
    }

    fn closed(&self, conn: &Connection, table: u32, state: TableState) -> Result<Closed, StoreError> {
        let Some(commit) = self.ended_after else { return Ok(Closed::Many) };
        if state.changed <= commit {
            return Ok(Closed::None);
        }
        let sql = "SELECT count(*) FROM (SELECT 1 FROM version WHERE tab = ?1 AND ended > ?2 AND ended > begun LIMIT ?3)";
        let params = [i64::from(table), stored(commit.0), stored(FEW_ENDED as u64 + 1)];
        let ended = super::apply::query(conn, sql, params, |r| row::int(r, 0))?.unwrap_or_default();
        Ok(if ended > stored(FEW_ENDED as u64) { Closed::Many } else { Closed::Few })
    }

    /// Open states of a span.
    fn heads(&self, table: u32, span: &Span, payloads: bool) -> Select {
        let mut select = Select::new(table, span);
        select.condition("s.from_ <= ?", self.from_until.map(Timestamp::micros));
        select.condition("s.begun <= ?", self.begun.map(|c| stored(c.0)));
        let (doc, join) = doc_sql(payloads);
        select.sql = format!(
            "SELECT s.key, s.from_, s.begun, s.number, s.op, {doc} FROM head s {join} WHERE {} ORDER BY s.key",
            select.sql
        );
        select
    }

    /// Closed states of a span.
    fn versions(&self, table: u32, span: &Span, payloads: bool, closed: Closed) -> Select {
        let mut select = Select::new(table, span);
        select.condition("s.from_ <= ?", self.from_until.map(Timestamp::micros));
        match (self.to_after, self.snapshot) {
            (Some(to), Some(known)) => {
                select.sql.push_str(" AND (s.to_ > ? OR s.ended > ?)");
                select.params.extend([to.micros().into(), stored(known.0).into()]);
            }
            (to, _) => select.condition("s.to_ > ?", to.map(Timestamp::micros)),
        }
        select.condition("s.ended > ?", self.ended_after.map(|c| stored(c.0)));
        select.condition("s.begun <= ?", self.begun.map(|c| stored(c.0)));
        let (doc, join) = doc_sql(payloads);
        let by_end = closed == Closed::Few;
        let (index, partial) = if by_end { ("INDEXED BY version_ended", " AND s.ended > s.begun") } else { ("", "") };
        select.sql = format!(
            "SELECT s.key, s.from_, s.begun, s.number, s.op, {doc}, s.to_, s.ended, s.end_op FROM version s {index} {join}
             WHERE {}{partial} ORDER BY s.key, s.from_",
            select.sql
        );
        select
    }
}

/// Conditions with their parameters, and then the statement that has them.
struct Select {
    sql: String,
    params: Vec<Value>,
}

impl Select {
    fn new(table: u32, span: &Span) -> Self {
        let mut select = Self { sql: "s.tab = ? AND s.key >= ?".to_owned(), params: vec![table.into(), span.low.clone().into()] };
        if let Some(high) = &span.high {
            select.sql.push_str(" AND s.key < ?");
            select.params.push(high.clone().into());
        }
        select.condition("s.from_ > ?", span.from);
        select
    }

    fn condition(&mut self, sql: &str, param: Option<i64>) {
        if let Some(param) = param {
            self.sql.push_str(" AND ");
            self.sql.push_str(sql);
            self.params.push(param.into());
        }
    }
}

fn doc_sql(payloads: bool) -> (&'static str, &'static str) {
    if payloads { ("p.doc", "LEFT JOIN payload p ON p.pid = s.pid") } else { ("NULL", "") }
}

/// Merges the two in order of (key, from) until the piece is full; whether there may be more.
fn merge(
    mut heads: Rows<'_>,
    versions: Option<Rows<'_>>,
    view: (Scope, Snapshot),
    piece: &mut Piece,
) -> Result<bool, StoreError> {
    heads.advance().map_err(failure)?;
    if let Some(mut versions) = versions {
        versions.advance().map_err(failure)?;
        while let Some(version) = versions.get() {
            if piece.is_full() {
                return Ok(true);
            }
            match heads.get() {
                Some(head) if position(head)? < position(version)? => {
                    piece.add(head, row::open_version(head, 1)?, view)?;
                    heads.advance().map_err(failure)?;
                }
                _ => {
                    piece.add(version, row::closed_version(version, 1, 6)?, view)?;
                    versions.advance().map_err(failure)?;
                }
            }
        }
    }
    while let Some(head) = heads.get() {
        if piece.is_full() {
            return Ok(true);
        }
        piece.add(head, row::open_version(head, 1)?, view)?;
        heads.advance().map_err(failure)?;
    }
    Ok(false)
}

fn position<'r>(row: &'r Row<'_>) -> Result<(&'r [u8], i64), StoreError> {
    Ok((row::bytes(row, 0)?, row::int(row, 1)?))
}

/// A batch in the making: the bytes of its payloads lie in one buffer that they share when it is done.
struct Piece {
    rows: Vec<(StoredVersion, std::ops::Range<usize>)>,
    bytes: Vec<u8>,
    /// Bytes of payloads that are not in `bytes`.
    other_bytes: usize,
    limit: usize,
    payloads: bool,
}

impl Piece {
    fn new(limit: usize, payloads: bool, bytes: usize) -> Self {
        // Where there was much before there will be much again: growing step by step would copy it each time.
        let (rows, bytes) = if bytes == 0 { (0, 0) } else { (limit, bytes + bytes / 16) };
        Self { rows: Vec::with_capacity(rows), bytes: Vec::with_capacity(bytes), other_bytes: 0, limit, payloads }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit || self.bytes.len() + self.other_bytes >= PIECE_BYTES
    }

    /// Adds the state in a row (columns `key` first, `doc` sixth) when the reader may see it.
    fn add(&mut self, row: &Row<'_>, mut version: Version, (scope, snapshot): (Scope, Snapshot)) -> Result<(), StoreError> {
        if !version.period.is_visible(scope, snapshot) {
            return Ok(());
        }
        let Some(period) = version.period.under(snapshot) else { return Ok(()) };
        version.period = period;
        let start = self.bytes.len();
        let payload = match row.get_ref(5).map_err(failure)? {
            ValueRef::Blob(bytes) => {
                self.bytes.extend_from_slice(bytes);
                row::no_payload()
            }
            ValueRef::Null if !self.payloads => row::no_payload(),
            other => row::payload(other)?,
        };
        self.rows.push((StoredVersion { key: row::key(row, 0)?, version, payload }, start..self.bytes.len()));
        Ok(())
    }

    fn take(&mut self, version: StoredVersion) {
        if let PayloadRef::Inline(bytes) = &version.payload {
            self.other_bytes += bytes.len();
        }
        self.rows.push((version, 0..0));
    }

    fn finish(self) -> VersionBatch {
        let shared = Bytes::from(self.bytes);
        let with_bytes = |(mut version, range): (StoredVersion, std::ops::Range<usize>)| {
            if !range.is_empty() {
                version.payload = PayloadRef::Inline(shared.slice(range));
            }
            version
        };
        self.rows.into_iter().map(with_bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::open_writer;
    use super::*;

    /// Every way to read a span goes along a key and sorts nothing, except what is found through its end.
    #[test]
    fn scans_go_along_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let conn = open_writer(&dir.path().join("s.sqlite")).unwrap();
        let plan = |select: Select| {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {}", select.sql)).unwrap();
            let rows = statement.query_map(params_from_iter(select.params), |row| row.get::<_, String>(3)).unwrap();
            rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
        };
        let key = ItemKey::from_bytes([1, 2]);
        let view = View {
            begun: Some(CommitNo(3)),
            ended_after: Some(CommitNo(2)),
            from_until: Some(Timestamp::MAX),
            to_after: Some(Timestamp::MIN),
            snapshot: Some(CommitNo(5)),
        };
        for span in [Span::all(), Span::of(&key), Span::all().above(&key), Span { from: Some(7), ..Span::of(&key) }] {
            let heads = plan(view.heads(1, &span, true));
            assert!(heads.starts_with("SEARCH s USING PRIMARY KEY (tab=? AND key>?"), "{heads}");
            let versions = plan(view.versions(1, &span, true, Closed::Many));
            assert!(versions.starts_with("SEARCH s USING PRIMARY KEY (tab=? AND key>?"), "{versions}");
            assert!(!format!("{heads}{versions}").contains("TEMP B-TREE"), "{heads} {versions}");
            let ended = plan(view.versions(1, &span, true, Closed::Few));
            assert!(ended.starts_with("SEARCH s USING INDEX version_ended (tab=? AND ended>?)"), "{ended}");
        }
    }
}

//! DECLARE, FETCH, MOVE and CLOSE: the rows of a query, taken a few at a time from where the cursor stands.
//!
//! A cursor reads the snapshot of its transaction as it was when it was declared. Rows that may be asked for again
//! are kept and count against the server's memory limit; a cursor that did not say SCROLL keeps only as many as
//! [`KEPT`] allows and goes forward only from then on.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use parking_lot::Mutex;

use super::dispatch::cancellable;
use super::savepoints::only_in_blocks;
use super::transaction::Block;
use super::{Reply, Session};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::{CursorInfo, Execution, Held, ResultColumn, diagnose};
use crate::runtime::Cancel;
use crate::sql::{Declare, Fetch, FetchTo, Statement};
use crate::types::PgType;
use crate::versions::Timestamp;

/// Bytes of passed rows that a cursor without SCROLL keeps for going back.
const KEPT: usize = 4 << 20;

pub(super) struct Cursor {
    /// What it was declared as.
    statement: String,
    created_at: Timestamp,
    pub columns: Arc<[ResultColumn]>,
    /// Its number among the portals and cursors of the session.
    pub born: u64,
    hold: bool,
    binary: bool,
    scroll: Option<bool>,
    /// What has not been read yet; `None` when all has.
    rest: Mutex<Option<SendableRecordBatchStream>>,
    kept: VecDeque<RecordBatch>,
    /// Rows that were before those kept, and rows seen in all.
    dropped: u64,
    seen: u64,
    /// 0 is before the first row, `seen + 1` at the end behind the last.
    position: u64,
    memory: Held,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("position", &self.position).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Cursor {
    /// Its columns and the format that FETCH gives each, which Describe of a portal of its name tells.
    pub fn description(&self) -> (Arc<[ResultColumn]>, Vec<i16>) {
        (Arc::clone(&self.columns), vec![i16::from(self.binary); self.columns.len()])
    }
}

/// Rows from `first` to `last`, counted from 1; empty when `first > last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: u64,
    last: u64,
    backwards: bool,
}

impl Span {
    const NONE: Self = Self { first: 1, last: 0, backwards: false };

    fn one(row: u64) -> Self {
        Self { first: row, last: row, backwards: false }
    }

    fn count(self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

impl Session {
    /// `bound` are the types and values of the parameters that Bind gave the statement.
    pub(super) async fn declare(&mut self, declare: &Declare, text: &str, bound: (&[PgType], &[ScalarValue])) -> Result<Reply> {
        if !declare.hold && self.transaction.block == Block::None {
            return Err(only_in_blocks("DECLARE CURSOR"));
        }
        if self.cursors.contains_key(&declare.name) || self.portals.contains_key(&declare.name) {
            return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{}\" already exists", declare.name)));
        }
        let statement = Statement::Query(declare.query.clone());
        let ctx = self.context().await?;
        let engine = Arc::clone(&self.shared.engine);
        let (types, values) = bound;
        let declared: Vec<Option<PgType>> = types.iter().copied().map(Some).collect();
        let prepared = cancellable(&ctx, engine.prepare(&ctx, &statement, &declared)).await?;
        if prepared.parameters.len() > values.len() {
            let message = format!("there is no parameter ${}", values.len() + 1);
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, message));
        }
        let Execution::Rows(rows) = cancellable(&ctx, engine.execute(&ctx, &prepared, values.to_vec())).await? else {
            return Err(SqlError::internal("a query gave no rows"));
        };
        self.born += 1;
        let cursor = Cursor {
            statement: text.to_owned(),
            created_at: ctx.statement_time,
            columns: rows.columns,
            born: self.born,
            hold: declare.hold,
            binary: declare.binary,
            scroll: declare.scroll,
            rest: Mutex::new(Some(rows.batches)),
            kept: VecDeque::new(),
            dropped: 0,
            seen: 0,
            position: 0,
            memory: self.shared.engine.hold("cursor"),
        };
        self.cursors.insert(declare.name.clone(), cursor);
        self.show_cursors();
        Ok(Reply::Command("DECLARE CURSOR".to_owned()))
    }

    /// `formats` as Bind gave them; none for those of the cursor itself.
    pub(super) async fn fetch(&mut self, fetch: &Fetch, formats: &[i16]) -> Result<Reply> {
        if !self.cursors.contains_key(&fetch.cursor) && self.portals.contains_key(&fetch.cursor) {
            return self.fetch_of_portal(fetch, formats).await;
        }
        let cancel = self.cancel.clone();
        let time_zone = self.settings.effective().time_zone.clone();
        let cursor = self.cursors.get_mut(&fetch.cursor).ok_or_else(|| no_such_cursor(&fetch.cursor))?;
        let span = cursor.go(fetch.to, &cancel).await?;
        cursor.answer(fetch, span, formats, cancel, time_zone)
    }

    /// The rows of a portal that Bind made, from where Execute left it; Execute goes on behind them. It only goes
    /// forward, as PostgreSQL's portals do.
    async fn fetch_of_portal(&mut self, fetch: &Fetch, formats: &[i16]) -> Result<Reply> {
        match fetch.to {
            FetchTo::Rows(n) if n > 0 => {}
            FetchTo::Relative(n) if n > 0 => {}
            FetchTo::AllForward => {}
            FetchTo::Absolute(n) if n > 0 => {
                return Err(SqlError::unsupported(
                    "FETCH ABSOLUTE from a portal of the protocol is not supported",
                    "Declare a cursor with DECLARE.",
                ));
            }
            FetchTo::Rows(_) | FetchTo::Relative(_) | FetchTo::Absolute(_) | FetchTo::AllBackward => return Err(only_forward()),
        }
        let wire_formats = self.portal(&fetch.cursor)?.formats().to_vec();
        let reply = Box::pin(self.execute_portal(&fetch.cursor, false)).await?;
        let Reply::Rows { columns, batches, tag, count_rows, cancel, time_zone, .. } = reply else {
            let message = format!("cursor \"{}\" gives no rows", fetch.cursor);
            return Err(SqlError::new(SqlState::INVALID_CURSOR_STATE, message));
        };
        let memory = self.shared.engine.hold("cursor");
        let mut cursor = Cursor::over(columns, batches, memory);
        let span = cursor.go(fetch.to, &cancel).await?;
        let answer = cursor.answer(fetch, span, formats, cancel.clone(), time_zone.clone())?;
        let columns = Arc::clone(&cursor.columns);
        let formats = super::prepared::each_format(&wire_formats, columns.len());
        let rest = Reply::Rows { columns, formats, batches: cursor.into_rest()?, tag, count_rows, cancel, time_zone };
        self.suspend(&fetch.cursor, rest);
        Ok(answer)
    }
    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<Reply> {
        let tag = match name {
            None => {
                self.cursors.clear();
                "CLOSE CURSOR ALL"
            }
            Some(name) if self.cursors.remove(name).is_some() || self.portals.remove(name).is_some() => "CLOSE CURSOR",
            Some(name) => return Err(no_such_cursor(name)),
        };
        self.show_cursors();
        Ok(Reply::Command(tag.to_owned()))
    }

    /// Reads cursors that are to outlive the transaction to their end, since its snapshot ends with it.
    pub(super) async fn keep_held_cursors(&mut self) -> Result<()> {
        let cancel = self.cancel.clone();
        for cursor in self.cursors.values_mut().filter(|cursor| cursor.hold) {
            // Rows that were passed are not needed where the cursor cannot go back.
            while cursor.pull(&cancel).await? {}
        }
        Ok(())
    }

    /// The transaction is over: cursors end with it, but for those that were held through a commit.
    pub(super) fn end_cursors(&mut self, committed: bool) {
        let before = self.born_before;
        self.cursors.retain(|_, cursor| cursor.hold && (committed || cursor.born <= before));
        self.born_before = self.born;
        self.show_cursors();
    }

    /// Tells the catalogue which cursors are open.
    pub(super) fn show_cursors(&self) {
        let mut objects = self.objects.lock();
        if self.cursors.is_empty() && objects.cursors.is_empty() {
            return;
        }
        objects.cursors = self.cursors.iter().map(|(name, cursor)| (name.clone(), cursor.info())).collect();
    }
}

fn no_such_cursor(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}

fn only_forward() -> SqlError {
    let message = "cursor can only scan forward";
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        .hint("Declare it with SCROLL option to enable backward scan.")
}

impl Cursor {
    /// Over rows that nobody has seen, forward only.
    fn over(columns: Arc<[ResultColumn]>, batches: SendableRecordBatchStream, memory: Held) -> Self {
        Self {
            statement: String::new(),
            created_at: Timestamp::MIN,
            columns,
            born: 0,
            hold: false,
            binary: false,
            scroll: Some(false),
            rest: Mutex::new(Some(batches)),
            kept: VecDeque::new(),
            dropped: 0,
            seen: 0,
            position: 0,
            memory,
        }
    }

    /// What comes after the row that it stands on.
    fn into_rest(self) -> Result<SendableRecordBatchStream> {
        let after = Span { first: self.position + 1, last: self.seen, backwards: false };
        let read = if after.first > after.last { Vec::new() } else { self.rows(after)? };
        let rest = self.rest.into_inner();
        let schema = match (&rest, read.first()) {
            (Some(rest), _) => rest.schema(),
            (None, Some(batch)) => batch.schema(),
            (None, None) => Arc::new(Schema::empty()),
        };
        let memory = self.memory;
        let read = futures::stream::iter(read.into_iter().map(Ok)).inspect(move |_| drop(memory.clone()));
        let all = match rest {
            Some(rest) => read.chain(rest).boxed(),
            None => read.boxed(),
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, all)))
    }

    /// The rows of a span as the answer of FETCH, or how many they are as that of MOVE.
    fn answer(&mut self, fetch: &Fetch, span: Span, formats: &[i16], cancel: Cancel, time_zone: String) -> Result<Reply> {
        if fetch.only_move {
            return Ok(Reply::Command(format!("MOVE {}", span.count())));
        }
        let batches = self.rows(span)?;
        let formats = match formats {
            [] if self.binary => vec![1; self.columns.len()],
            formats => super::prepared::each_format(formats, self.columns.len()),
        };
        let schema = match batches.first() {
            Some(batch) => batch.schema(),
            None => Arc::new(Schema::empty()),
        };
        self.forget_passed();
        let stream = MemoryStream::try_new(batches, schema, None).map_err(diagnose)?;
        Ok(Reply::Rows {
            columns: Arc::clone(&self.columns),
            formats,
            batches: Box::pin(stream),
            tag: "FETCH".to_owned(),
            count_rows: true,
            cancel,
            time_zone,
        })
    }

    fn info(&self) -> CursorInfo {
        CursorInfo {
            statement: self.statement.clone(),
            holdable: self.hold,
            binary: self.binary,
            scrollable: self.scroll == Some(true),
            created_at: self.created_at,
        }
    }

    /// Moves, and says which rows were met on the way.
    async fn go(&mut self, to: FetchTo, cancel: &Cancel) -> Result<Span> {
        let here = self.position;
        match to {
            FetchTo::Rows(0) => self.relative(0, cancel).await,
            FetchTo::Rows(n) if n > 0 => self.forward(n.unsigned_abs(), cancel).await,
            FetchTo::AllForward => self.forward(u64::MAX, cancel).await,
            FetchTo::Rows(n) => self.backward(n.unsigned_abs()),
            FetchTo::AllBackward => self.backward(here),
            FetchTo::Absolute(n) if n >= 0 => self.move_to_row(n.unsigned_abs(), cancel).await,
            FetchTo::Absolute(n) => {
                self.see(u64::MAX, cancel).await?;
                let row = (self.seen + 1).saturating_sub(n.unsigned_abs());
                self.move_to_row(row, cancel).await
            }
            FetchTo::Relative(n) => self.relative(n, cancel).await,
        }
    }

    async fn forward(&mut self, n: u64, cancel: &Cancel) -> Result<Span> {
        let first = self.position + 1;
        let last = self.position.saturating_add(n);
        self.see(last, cancel).await?;
        if last > self.seen {
            let span = Span { first, last: self.seen, backwards: false };
            self.position = self.seen + 1;
            return Ok(if first > self.seen { Span::NONE } else { span });
        }
        self.position = last;
        Ok(Span { first, last, backwards: false })
    }

    fn backward(&mut self, n: u64) -> Result<Span> {
        if self.scroll == Some(false) {
            return Err(only_forward());
        }
        let last = self.position.saturating_sub(1);
        let first = self.position.saturating_sub(n).max(1);
        self.require_kept(first.min(last))?;
        self.position = self.position.saturating_sub(n);
        Ok(if last == 0 { Span::NONE } else { Span { first, last, backwards: true } })
    }

    async fn relative(&mut self, n: i64, cancel: &Cancel) -> Result<Span> {
        if n <= 0 && self.scroll == Some(false) {
            return Err(only_forward());
        }
        let row = self.position.saturating_add_signed(n);
        self.move_to_row(row, cancel).await
    }

    /// Stands on this row, or before the first or behind the last.
    async fn move_to_row(&mut self, row: u64, cancel: &Cancel) -> Result<Span> {
        if row < self.position && self.scroll == Some(false) {
            return Err(only_forward());
        }
        self.see(row, cancel).await?;
        if row > self.seen {
            self.position = self.seen + 1;
            return Ok(Span::NONE);
        }
        if row == 0 {
            self.position = 0;
            return Ok(Span::NONE);
        }
        self.require_kept(row)?;
        self.position = row;
        Ok(Span::one(row))
    }

    fn require_kept(&self, row: u64) -> Result<()> {
        if row > 0 && row <= self.dropped { Err(only_forward()) } else { Ok(()) }
    }

    /// Reads on until this row has been seen, or the last.
    async fn see(&mut self, row: u64, cancel: &Cancel) -> Result<()> {
        while self.seen < row && self.pull(cancel).await? {}
        Ok(())
    }

    /// Reads the next batch; whether there was one.
    async fn pull(&mut self, cancel: &Cancel) -> Result<bool> {
        let Some(rest) = self.rest.get_mut() else { return Ok(false) };
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancel.error()),
            next = rest.next() => next.transpose().map_err(diagnose)?,
        };
        let Some(batch) = next else {
            *self.rest.get_mut() = None;
            return Ok(false);
        };
        if batch.num_rows() > 0 {
            self.memory.grow(batch.get_array_memory_size())?;
            self.seen += batch.num_rows() as u64;
            self.kept.push_back(batch);
        }
        Ok(true)
    }

    /// The rows of a span, in the order they were met.
    fn rows(&self, span: Span) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        let mut before = self.dropped;
        for batch in &self.kept {
            let (first, last) = (before + 1, before + batch.num_rows() as u64);
            before = last;
            let (from, to) = (span.first.max(first), span.last.min(last));
            if from <= to {
                batches.push(batch.slice((from - first) as usize, (to + 1 - from) as usize));
            }
        }
        if !span.backwards {
            return Ok(batches);
        }
        batches.reverse();
        batches.iter().map(reversed).collect()
    }

    /// Drops rows that were passed and that nobody may ask for again.
    fn forget_passed(&mut self) {
        let allowed = match self.scroll {
            Some(true) => return,
            Some(false) => 0,
            None => KEPT,
        };
        let mut held: usize = self.kept.iter().map(RecordBatch::get_array_memory_size).sum();
        while let Some(first) = self.kept.front() {
            let rows = first.num_rows() as u64;
            let passed = self.dropped + rows < self.position;
            if !passed || held <= allowed {
                return;
            }
            let bytes = first.get_array_memory_size();
            held -= bytes;
            self.memory.shrink(bytes);
            self.dropped += rows;
            self.kept.pop_front();
        }
    }
}

fn reversed(batch: &RecordBatch) -> Result<RecordBatch> {
    let order: UInt32Array = (0..batch.num_rows() as u32).rev().collect::<Vec<_>>().into();
    take_record_batch(batch, &order).map_err(|e| diagnose(e.into()))
}

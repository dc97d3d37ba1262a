//! COPY into a table, and COPY of a history: rows of text fields, in chunks of bounded size.
//!
//! Knows nothing of the format of COPY's data: who feeds it has split lines and fields already.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::documents::Given;
use super::fire::{self, Firing};
use super::target::{Target, find_relation};
use super::text_rows::{OpenRow, TextRow, TextRows};
use super::write::{Edit, NewRow, write, write_new};
use super::{Queries, Run, allow, refuse_read_only};
use crate::error::{Diagnose, Result, SqlError, SqlState};
use crate::history::HistoryError;
use crate::plan::StatementContext;
use crate::plan::routines::{Event, Triggers};
use crate::store::{PayloadRef, RowState, StoreError};
use crate::types::{PgType, datetime};
use crate::versions::Timestamp;

/// Rows, and bytes of payload, that are gathered before they are handed on.
const CHUNK_ROWS: usize = 8_192;
const CHUNK_BYTES: usize = 4 << 20;

/// 9999-12-31 00:00 UTC: an end from here on is open.
const OPEN_END: i64 = 253_402_214_400_000_000;

/// COPY t (columns) FROM STDIN: rows for a table.
#[derive(Debug)]
pub struct CopyInsert {
    ctx: StatementContext,
    queries: Arc<dyn Queries>,
    target: Target,
    rows: TextRows,
    /// Position of each field's column.
    given: Vec<usize>,
    /// The others.
    absent: Vec<usize>,
    pending: Vec<OpenRow>,
    bytes: usize,
    count: u64,
}

impl CopyInsert {
    /// `columns` empty for all. 42P01, 42703, 25006 and their kin.
    pub fn new(
        ctx: &StatementContext,
        queries: Arc<dyn Queries>,
        schema: Option<&str>,
        table: &str,
        columns: &[String],
    ) -> Result<Self> {
        refuse_read_only(ctx, "COPY FROM")?;
        let target = Target::new(ctx, queries.as_ref(), find_relation(ctx, schema, table, "copy to")?)?;
        allow(ctx, target.table(), "INSERT")?;
        let given = given_columns(&target, columns)?;
        for position in &given {
            let column = target.column(*position)?;
            if column.generated.is_some() {
                let message = format!("column \"{}\" is a generated column", column.name);
                return Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)
                    .detail("Generated columns cannot be used in COPY."));
            }
        }
        let absent = (0..target.layout.columns.len()).filter(|p| !given.contains(p)).collect();
        let rows = TextRows::new(&target)?;
        Ok(Self { ctx: ctx.clone(), queries, target, rows, given, absent, pending: Vec::new(), bytes: 0, count: 0 })
    }

    /// Types of the columns that fields go to, in their order.
    pub fn types(&self) -> impl Iterator<Item = PgType> {
        self.given.iter().filter_map(|p| self.target.layout.columns.get(*p)).map(|c| c.ty)
    }

    /// Names of the columns that fields go to, in their order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.given.iter().filter_map(|p| self.target.layout.columns.get(*p)).map(|c| c.name.as_str())
    }

    fn run(&self) -> Run<'_> {
        Run::planned(&self.ctx, self.queries.as_ref(), &[])
    }

    /// Takes one row. `true` says that [`Self::flush`] is due.
    pub fn row(&mut self, fields: &[Option<&str>]) -> Result<bool> {
        check_width(fields.len(), self.given.len(), || self.columns().nth(fields.len()).unwrap_or_default().to_owned())?;
        let mut row = self.rows.open();
        for (position, field) in self.given.iter().zip(fields) {
            self.rows.add(&mut row, *position, *field).map_err(|e| of_field(e, &self.target, *position, *field))?;
            self.bytes += field.map_or(8, str::len);
        }
        self.pending.push(row);
        // Triggers see one statement.
        let whole = self.target.triggers.is_some();
        Ok(!whole && (self.pending.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES))
    }

    /// Checks the rows taken and writes them to the transaction.
    pub async fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        if let Some(triggers) = self.target.firing(&[Event::Insert]) {
            return Box::pin(self.flush_firing(&triggers)).await;
        }
        let mut open = std::mem::take(&mut self.pending);
        for position in &self.absent {
            let values = self.target.default_values(self.run(), *position, open.len()).await?;
            for (at, row) in open.iter_mut().enumerate() {
                self.rows.add_value(row, *position, &values, at).map_err(|e| of_table(e, &self.target))?;
            }
        }
        let mut rows = open.into_iter().map(|row| self.rows.close(row)).collect::<Result<Vec<_>>>()?;
        if self.target.has_generated() || self.target.table().is_of_documents() {
            let count = rows.len();
            let values = self.target.layout.decode(rows.iter().map(|row| row.payload.as_ref()))?;
            let values = self.target.generate(self.run(), values, count)?;
            self.target.check(self.run(), &values, count)?;
            self.count += count as u64;
            let given: Given = Some(self.given.iter().copied().collect());
            let edits = (0..count).map(|n| Edit { old: None, new: Some(n), given: given.clone() }).collect();
            return write(self.run(), &self.target, edits, &values).await;
        }
        check_rows(&self.target, self.run(), &rows)?;
        add_computed(&self.target, &mut rows)?;
        self.count += rows.len() as u64;
        let rows = rows.into_iter().map(|r| NewRow { key: r.key, payload: r.payload, entries: r.entries }).collect();
        write_new(self.run(), &self.target, rows).await
    }

    /// The same, row by row between triggers.
    async fn flush_firing(&mut self, triggers: &Triggers) -> Result<()> {
        let mut open = std::mem::take(&mut self.pending);
        for position in &self.absent {
            let values = self.target.default_values(self.run(), *position, open.len()).await?;
            for (at, row) in open.iter_mut().enumerate() {
                self.rows.add_value(row, *position, &values, at).map_err(|e| of_table(e, &self.target))?;
            }
        }
        let payloads = open.into_iter().map(|row| Ok(self.rows.close(row)?.payload)).collect::<Result<Vec<_>>>()?;
        let values = self.target.layout.decode(payloads.iter().map(|payload| payload.as_ref()))?;
        let count = {
            let run = self.run();
            let within = fire::surroundings(run);
            let mut firing = Firing::begin(run, &self.target, triggers, &within, vec![Event::Insert], Vec::new()).await?;
            for at in 0..payloads.len() {
                if let Some(new) = firing.before_insert(&values, at).await? {
                    firing.write(None, Some(new), None).await?;
                }
            }
            firing.end().await?.0
        };
        self.count += count as u64;
        Ok(())
    }

    /// Writes the rest; returns how many rows there were.
    pub async fn finish(mut self) -> Result<u64> {
        self.flush().await?;
        Ok(self.count)
    }
}

/// Gives rows their entries in indexes over expressions or part of the rows.
fn add_computed(target: &Target, rows: &mut [TextRow]) -> Result<()> {
    if target.layout.keys.computed().is_empty() {
        return Ok(());
    }
    let values = target.layout.decode(rows.iter().map(|row| row.payload.as_ref()))?;
    for (n, row) in rows.iter_mut().enumerate() {
        row.entries.extend(target.layout.keys.computed_entries(&values, n)?);
    }
    Ok(())
}

/// COPY t__history (columns, _system_from, _system_to) FROM STDIN: states with their periods, in one commit of
/// its own.
///
/// Dropped before [`Self::finish`] returned, nothing of it is kept.
#[derive(Debug)]
pub struct HistoryLoad {
    ctx: StatementContext,
    queries: Arc<dyn Queries>,
    target: Target,
    rows: TextRows,
    fields: Vec<HistoryField>,
    /// Columns that no field gives: NULL in every state.
    absent: Vec<usize>,
    pending: Vec<(TextRow, Timestamp, Option<Timestamp>)>,
    bytes: usize,
    states: Option<mpsc::Sender<Result<Vec<RowState>, StoreError>>>,
    load: Option<JoinHandle<Result<u64, HistoryError>>>,
}

#[derive(Clone, Copy, Debug)]
enum HistoryField {
    Column(usize),
    From,
    To,
}

impl HistoryLoad {
    /// `table` is the table's own name; `columns` are those of its history, empty for all of the table's and
    /// then `_system_from` and `_system_to`.
    pub fn new(
        ctx: &StatementContext,
        queries: Arc<dyn Queries>,
        schema: Option<&str>,
        table: &str,
        columns: &[String],
    ) -> Result<Self> {
        refuse_read_only(ctx, "COPY FROM")?;
        let target = Target::new(ctx, queries.as_ref(), find_relation(ctx, schema, table, "copy to")?)?;
        allow(ctx, target.table(), "INSERT")?;
        if target.table().is_temporary() {
            return Err(crate::plan::names::without_past(table));
        }
        if target.table().is_of_documents() {
            return Err(SqlError::unsupported(
                format!("history cannot be loaded into \"{table}\", which is a collection of a deployment"),
                "Load it into a table of your own.",
            ));
        }
        if !target.layout.keys.has_key() {
            return Err(SqlError::unsupported(
                format!("history cannot be loaded into table \"{table}\", which has no primary key"),
                "Without a key, nothing says which states are of one row. Add a primary key first.",
            ));
        }
        if !target.table().foreign_keys.is_empty() {
            return Err(SqlError::unsupported(
                format!("history cannot be loaded into table \"{table}\", which has foreign keys"),
                "Load the history first and add the constraints afterwards.",
            ));
        }
        let fields = history_fields(&target, columns)?;
        let given = |p: &usize| fields.iter().any(|f| matches!(f, HistoryField::Column(at) if at == p));
        let absent = (0..target.layout.columns.len()).filter(|p| !given(p)).collect();
        let rows = TextRows::new(&target)?;
        let (sender, receiver) = mpsc::channel(4);
        let (database, context) = (ctx.database.clone(), ctx.transaction.lock().context.clone());
        let def = target.layout.table.clone();
        let load = tokio::spawn(async move { database.load(context, &def, receiver).await });
        let (ctx, pending) = (ctx.clone(), Vec::new());
        Ok(Self { ctx, queries, target, rows, fields, absent, pending, bytes: 0, states: Some(sender), load: Some(load) })
    }

    /// How many fields a row has.
    pub fn width(&self) -> usize {
        self.fields.len()
    }

    /// Takes one state. `true` says that [`Self::flush`] is due.
    pub fn row(&mut self, fields: &[Option<&str>]) -> Result<bool> {
        check_width(fields.len(), self.fields.len(), || field_name(&self.target, self.fields.get(fields.len())))?;
        let mut row = self.rows.open();
        let (mut from, mut to) = (None, None);
        for (what, field) in self.fields.iter().zip(fields) {
            self.bytes += field.map_or(8, str::len);
            match what {
                HistoryField::Column(position) => {
                    let refused = |e| of_field(e, &self.target, *position, *field);
                    self.rows.add(&mut row, *position, *field).map_err(refused)?;
                }
                HistoryField::From => from = field.map(|text| self.instant(text)).transpose()?,
                HistoryField::To => to = field.map(|text| self.end(text)).transpose()?.flatten(),
            }
        }
        for position in &self.absent {
            self.rows.add(&mut row, *position, None).map_err(|e| of_table(e, &self.target))?;
        }
        let from = from.ok_or_else(|| {
            SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "\"_system_from\" of a state that is loaded cannot be null")
        })?;
        self.pending.push((self.rows.close(row)?, from, to));
        Ok(self.pending.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES)
    }

    fn run(&self) -> Run<'_> {
        Run::planned(&self.ctx, self.queries.as_ref(), &[])
    }

    fn instant(&self, text: &str) -> Result<Timestamp> {
        datetime::parse_timestamptz(text, self.target.zone).map(Timestamp::from_micros)
    }

    /// `None` is open.
    fn end(&self, text: &str) -> Result<Option<Timestamp>> {
        if text.trim().eq_ignore_ascii_case("infinity") {
            return Ok(None);
        }
        Ok(Some(self.instant(text)?).filter(|end| end.micros() < OPEN_END))
    }

    /// Hands the states taken on to the store. An error may be that of an earlier state.
    pub async fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.ctx.cancel.check()?;
        self.bytes = 0;
        let mut pending = std::mem::take(&mut self.pending);
        for (row, ..) in &mut pending {
            add_computed(&self.target, std::slice::from_mut(row))?;
        }
        if self.target.has_conditions() {
            let rows: Vec<&TextRow> = pending.iter().map(|(row, ..)| row).collect();
            check_constraints(&self.target, self.run(), &rows)?;
        }
        let states: Option<Vec<RowState>> = pending.into_iter().map(|(row, from, to)| state(row, from, to)).collect();
        let states = states.ok_or_else(|| SqlError::internal("a state has no key"))?;
        let sent = match &self.states {
            Some(sender) => sender.send(Ok(states)).await.is_ok(),
            None => false,
        };
        // The store has given up: its reason is what the load returns.
        if sent { Ok(()) } else { self.outcome().await.map(|_| ()) }
    }

    /// Makes the load's commit; returns the number of states.
    pub async fn finish(mut self) -> Result<u64> {
        self.flush().await?;
        self.states = None;
        self.outcome().await
    }

    async fn outcome(&mut self) -> Result<u64> {
        let Some(load) = self.load.take() else { return Err(StoreError::Closed.diagnose()) };
        match load.await {
            Ok(outcome) => Ok(outcome?),
            Err(cause) => Err(HistoryError::Store(StoreError::Engine(cause.to_string())).into()),
        }
    }
}

impl Drop for HistoryLoad {
    /// A sender that is merely dropped would say that the load is complete.
    fn drop(&mut self) {
        let Some(sender) = self.states.take() else { return };
        if let Err(mpsc::error::TrySendError::Full(refusal)) = sender.try_send(Err(StoreError::Closed)) {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { sender.send(refusal).await })),
                Err(_) => drop(sender.blocking_send(refusal)),
            }
        }
    }
}

fn state(row: TextRow, from: Timestamp, to: Option<Timestamp>) -> Option<RowState> {
    Some(RowState { key: row.key?, from, to, payload: PayloadRef::Inline(row.payload), entries: row.entries })
}

fn given_columns(target: &Target, columns: &[String]) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..target.layout.columns.len()).filter(|at| target.layout.columns[*at].generated.is_none()).collect());
    }
    let mut given = Vec::with_capacity(columns.len());
    for name in columns {
        let position = target.position(name)?;
        if given.contains(&position) {
            return Err(twice(name));
        }
        given.push(position);
    }
    Ok(given)
}

fn twice(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
}

fn history_fields(target: &Target, columns: &[String]) -> Result<Vec<HistoryField>> {
    let own = || (0..target.layout.columns.len()).map(HistoryField::Column);
    if columns.is_empty() {
        return Ok(own().chain([HistoryField::From, HistoryField::To]).collect());
    }
    let mut fields = Vec::with_capacity(columns.len());
    for (n, name) in columns.iter().enumerate() {
        if columns[..n].contains(name) {
            return Err(twice(name));
        }
        fields.push(match name.as_str() {
            "_system_from" => HistoryField::From,
            "_system_to" => HistoryField::To,
            other if crate::history::SYSTEM_COLUMNS.contains(&other) => {
                return Err(SqlError::unsupported(
                    format!("column \"{other}\" cannot be loaded"),
                    "A load gives the table's columns, \"_system_from\" and \"_system_to\"; the rest follows from them.",
                ));
            }
            other => HistoryField::Column(target.position(other)?),
        });
    }
    if !fields.iter().any(|f| matches!(f, HistoryField::From)) {
        return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, "a load of history needs the column \"_system_from\""));
    }
    Ok(fields)
}

fn field_name(target: &Target, field: Option<&HistoryField>) -> String {
    match field {
        Some(HistoryField::Column(position)) => target.column(*position).map(|c| c.name.clone()).unwrap_or_default(),
        Some(HistoryField::From) => "_system_from".to_owned(),
        Some(HistoryField::To) => "_system_to".to_owned(),
        None => String::new(),
    }
}

fn check_width(got: usize, wanted: usize, first_missing: impl FnOnce() -> String) -> Result<()> {
    if got > wanted {
        return Err(SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, "extra data after last expected column"));
    }
    if got < wanted {
        let message = format!("missing data for column \"{}\"", first_missing());
        return Err(SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message));
    }
    Ok(())
}

/// NOT NULL in PostgreSQL's words, which name the table too.
fn of_table(error: SqlError, target: &Target) -> SqlError {
    let Some(column) = error.fields().column.clone().filter(|_| error.code() == SqlState::NOT_NULL_VIOLATION) else {
        return error;
    };
    let table = &target.table().name;
    let message = format!("null value in column \"{column}\" of relation \"{}\" violates not-null constraint", table.name);
    SqlError::new(SqlState::NOT_NULL_VIOLATION, message).table(&table.schema, &table.name).column(column)
}

/// Says which field it was that could not be read, as `column a: "x"`; who knows the line goes on from there.
fn of_field(error: SqlError, target: &Target, position: usize, field: Option<&str>) -> SqlError {
    match (target.column(position), field) {
        (Ok(column), Some(text)) => {
            let shown: String = text.chars().take(100).collect();
            let more = if shown.len() < text.len() { "..." } else { "" };
            error.context(format!("column {}: \"{shown}{more}\"", column.name))
        }
        _ => of_table(error, target),
    }
}

fn check_rows(target: &Target, run: Run<'_>, rows: &[TextRow]) -> Result<()> {
    if !target.has_conditions() {
        return Ok(());
    }
    check_constraints(target, run, &rows.iter().collect::<Vec<_>>())
}

fn check_constraints(target: &Target, run: Run<'_>, rows: &[&TextRow]) -> Result<()> {
    let values: Vec<ArrayRef> = target.layout.decode(rows.iter().map(|row| row.payload.as_ref()))?;
    target.check(run, &values, rows.len())
}

//! Changes as events: `t__changes` for one table, `chronogate.changes` for all in the shape Bemi's users know.
//!
//! One event per version, DELETE and TRUNCATE included, made from states in the order of items. Events of one
//! commit have no order among them, so `position` is the commit's number.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use datafusion::arrow::datatypes::SchemaRef;
use futures::stream::Fuse;
use futures::{StreamExt, TryStreamExt, stream};

use super::{Batches, Horizon};
use crate::error::{Result, SqlError};
use crate::history::{RowScan, StateRow, TableDef};
use crate::plan::StatementContext;
use crate::plan::columns::SystemColumn;
use crate::plan::names::Planning;
use crate::plan::payload::{PayloadColumn, PayloadDecoder, shown_json};
use crate::plan::scan::BATCH_ROWS;
use crate::store::{ScanRequest, VersionName};
use crate::types::json::Json;
use crate::types::{PgType, TypeName};
use crate::versions::{CommitInfo, CommitNo, Context, ItemKey, KeyFilter, Op, Scope, Snapshot, Timestamp, VersionNo};

/// System columns that `t__changes` has beside its own.
const HIDDEN: [SystemColumn; 5] =
    [SystemColumn::Version, SystemColumn::Commit, SystemColumn::Op, SystemColumn::Actor, SystemColumn::Reason];

/// Those of the named columns that `*` of `t__changes` leaves out.
pub fn hidden_of_changes(named: &[SystemColumn]) -> Vec<String> {
    named.iter().filter(|c| HIDDEN.contains(c)).map(|c| c.name().to_owned()).collect()
}

pub fn columns(exposed: &[SystemColumn]) -> Vec<(&'static str, PgType)> {
    let mut columns = vec![
        ("primary_key", PgType::TEXT),
        ("operation", PgType::TEXT),
        ("before", PgType::JSONB),
        ("after", PgType::JSONB),
        ("context", PgType::JSONB),
        ("committed_at", PgType::TIMESTAMPTZ),
        ("transaction_id", PgType::INT8),
        ("position", PgType::INT8),
    ];
    columns.extend(HIDDEN.iter().filter(|c| exposed.contains(c)).map(|c| (c.name(), c.ty())));
    columns
}

pub fn bemi_columns() -> Vec<(&'static str, PgType)> {
    vec![
        ("id", PgType::new(TypeName::Uuid)),
        ("created_at", PgType::TIMESTAMPTZ),
        ("primary_key", PgType::TEXT),
        ("before", PgType::JSONB),
        ("after", PgType::JSONB),
        ("context", PgType::JSONB),
        ("database", PgType::TEXT),
        ("schema", PgType::TEXT),
        ("table", PgType::TEXT),
        ("operation", PgType::TEXT),
        ("committed_at", PgType::TIMESTAMPTZ),
        ("queued_at", PgType::TIMESTAMPTZ),
        ("transaction_id", PgType::INT8),
        ("position", PgType::INT8),
    ]
}

/// One table whose changes are read: plain data.
#[derive(Clone, Debug)]
pub struct ChangedTable {
    table: Arc<TableDef>,
    /// Name and payload member of every column.
    columns: Vec<(String, PayloadColumn)>,
    /// Which of them are the key, in its order.
    key: Vec<usize>,
}

pub fn changed_table(planning: &Planning, table: &Arc<TableDef>) -> Result<ChangedTable> {
    let shown = planning.history_table(table)?;
    let mut columns = Vec::new();
    for column in table.union_columns() {
        let missing = shown.missing.get(&column.id).cloned();
        columns.push((column.name, PayloadColumn { field: column.field, ty: column.ty, missing }));
    }
    let key = table.key_columns().filter_map(|k| columns.iter().position(|(_, c)| c.field == k.field)).collect();
    Ok(ChangedTable { table: Arc::clone(table), columns, key })
}

/// The tables of the present whose changes the client may read.
pub fn readable_tables(planning: &Planning) -> Result<Vec<ChangedTable>> {
    let ctx = &planning.ctx;
    let authority = ctx.authority();
    let catalog = Arc::clone(&ctx.transaction.lock().catalog);
    let readable = catalog.tables.values().filter(|t| !t.is_temporary() && authority.may("SELECT", &t.grants, &t.owner));
    readable.map(|table| changed_table(planning, table)).collect()
}

/// One change of one item.
struct Event {
    key: ItemKey,
    op: Op,
    before: Option<Bytes>,
    after: Option<Bytes>,
    commit: CommitNo,
    at: Timestamp,
    number: VersionNo,
    /// Of a version that left a state, see `Version::collection`.
    collection: Option<u64>,
}

/// States in order, turned into events.
struct Events {
    ctx: Arc<StatementContext>,
    horizon: Horizon,
    /// Asked again after its end.
    states: Fuse<RowScan>,
    /// The state before, of the same item or the one before it.
    last: Option<StateRow>,
}

impl Events {
    fn new(ctx: Arc<StatementContext>, table: &TableDef) -> Self {
        let horizon = Horizon::of(&ctx);
        let snapshot = ctx.transaction.lock().snapshot;
        ctx.transaction.lock().has_read_more();
        let states = ctx.database.scan(ScanRequest {
            table: table.id,
            snapshot: Snapshot { commit: horizon.commit, time: snapshot.time },
            scope: Scope::All,
            keys: KeyFilter::All,
            candidates: None,
            payloads: true,
            limit: None,
        });
        Self { ctx, horizon, states: states.fuse(), last: None }
    }

    /// Events of some states; none at the end.
    async fn next(&mut self) -> Result<Option<Vec<Event>>> {
        let mut events = Vec::new();
        while events.len() < BATCH_ROWS {
            self.ctx.cancel.check()?;
            match self.states.try_next().await? {
                Some(states) => states.into_iter().for_each(|state| self.state(state, &mut events)),
                None => {
                    self.end_last(None, &mut events);
                    break;
                }
            }
        }
        events.retain(|event| self.horizon.shows(event.at));
        let done = events.is_empty() && self.last.is_none();
        Ok((!done).then_some(events))
    }

    fn state(&mut self, state: StateRow, events: &mut Vec<Event>) {
        let before = self.end_last(Some(&state), events);
        let (number, op) = (state.version.number, state.version.op);
        let period = state.version.period;
        events.push(Event {
            key: state.key.clone(),
            op,
            before,
            after: Some(state.payload.clone()),
            commit: period.begun,
            at: period.from,
            number,
            collection: state.version.collection,
        });
        self.last = Some(state);
    }

    /// Settles how the state before ended: by its successor, whose `before` is returned, or by itself.
    fn end_last(&mut self, next: Option<&StateRow>, events: &mut Vec<Event>) -> Option<Bytes> {
        let last = self.last.take()?;
        let end = last.version.period.end?;
        let continued = next.is_some_and(|n| n.key == last.key && n.version.period.from == end.to);
        if continued && !end.op.ends_item() {
            return Some(last.payload);
        }
        events.push(Event {
            key: last.key,
            op: end.op,
            before: Some(last.payload),
            after: None,
            commit: end.commit,
            at: end.to,
            number: last.version.number.next(),
            collection: None,
        });
        None
    }
}

/// JSON values of one payload, by column.
struct Row {
    values: Vec<String>,
}

impl ChangedTable {
    fn row(&self, payload: &Bytes) -> Result<Row> {
        let columns: Vec<PayloadColumn> = self.columns.iter().map(|(_, c)| c.clone()).collect();
        let mut decoder = PayloadDecoder::new(&columns)?;
        decoder.append(payload)?;
        let arrays = decoder.finish();
        let values = arrays.iter().zip(&columns).map(|(array, column)| shown_json(array, 0, column.ty));
        Ok(Row { values: values.collect::<Result<_, _>>()? })
    }

    /// The row as jsonb, its members the columns' names.
    fn jsonb(&self, row: &Row) -> Result<String> {
        let members = self.columns.iter().zip(&row.values).map(|((name, _), value)| Ok((name.clone(), Json::stored(value)?)));
        let mut out = String::new();
        Json::object(members.collect::<Result<_>>()?).write(&mut out);
        Ok(out)
    }

    /// The key: its value for one column, a JSON array for more, the hidden number where there is no key.
    fn key_text(&self, row: &Row, key: &ItemKey) -> String {
        let plain = |json: &String| match serde_json::from_str::<String>(json) {
            Ok(text) => text,
            Err(_) => json.clone(),
        };
        let values: Vec<&String> = self.key.iter().filter_map(|i| row.values.get(*i)).collect();
        match &values[..] {
            [] => hidden_number(key),
            [only] => plain(only),
            many => format!("[{}]", many.iter().map(|v| v.as_str()).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// The number that names an item without a key.
fn hidden_number(key: &ItemKey) -> String {
    match key.as_bytes() {
        [2, 1, number @ ..] | [1, number @ ..] if number.len() == 8 => {
            let number = number.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b)) ^ (1 << 63);
            (number as i64).to_string()
        }
        _ => String::new(),
    }
}

/// A stored context as jsonb prints it.
pub fn normalised(context: &str) -> String {
    crate::types::json::normalise(context).unwrap_or_else(|_| context.to_owned())
}

/// Values of one batch of events.
struct Cells {
    keys: Vec<String>,
    before: Vec<Option<String>>,
    after: Vec<Option<String>>,
    commits: HashMap<CommitNo, Arc<CommitInfo>>,
    /// Beside the events, where versions say themselves who made them.
    told: Option<Vec<Option<Context>>>,
    events: Vec<Event>,
}

impl Cells {
    async fn of(ctx: &StatementContext, table: &ChangedTable, events: Vec<Event>) -> Result<Self> {
        let commits = ctx.database.commit_infos(events.iter().map(|e| e.commit)).await?;
        let (mut keys, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for event in &events {
            let old = event.before.as_ref().map(|payload| table.row(payload)).transpose()?;
            let new = event.after.as_ref().map(|payload| table.row(payload)).transpose()?;
            keys.push(new.as_ref().or(old.as_ref()).map(|row| table.key_text(row, &event.key)).unwrap_or_default());
            before.push(old.as_ref().map(|row| table.jsonb(row)).transpose()?);
            after.push(new.as_ref().map(|row| table.jsonb(row)).transpose()?);
        }
        let told = match table.table.is_of_documents() {
            true => {
                let name =
                    |event: &Event| VersionName { key: event.key.clone(), number: event.number, collection: event.collection };
                let names: Vec<VersionName> = events.iter().map(name).collect();
                ctx.database.told(table.table.id, &names).await?
            }
            false => None,
        };
        Ok(Self { keys, before, after, commits, told, events })
    }

    fn context(&self, at: usize, event: &Event) -> Option<&Context> {
        match &self.told {
            Some(told) => told.get(at)?.as_ref(),
            None => self.commits.get(&event.commit).map(|commit| &commit.context),
        }
    }

    fn text<'a>(&'a self, value: impl Fn(usize, &'a Event) -> Option<std::borrow::Cow<'a, str>>) -> ArrayRef {
        let mut builder = StringBuilder::new();
        self.events.iter().enumerate().for_each(|(i, event)| builder.append_option(value(i, event)));
        Arc::new(builder.finish())
    }

    fn column(&self, name: &str, empty: Option<&'static str>, place: (&str, &TableDef)) -> Option<ArrayRef> {
        let (database, table) = place;
        let or_empty = |json: &Option<String>| json.clone().or_else(|| empty.map(str::to_owned)).map(Into::into);
        Some(match name {
            "primary_key" => self.text(|i, _| Some(self.keys[i].as_str().into())),
            "operation" => self.text(|i, event| Some(operation(event.op, self.before[i].is_some()).into())),
            "before" => self.text(|i, _| or_empty(&self.before[i])),
            "after" => self.text(|i, _| or_empty(&self.after[i])),
            "context" => self.text(|i, event| {
                let given = self.context(i, event).and_then(|c| c.context.as_deref()).map(normalised);
                given.or_else(|| empty.map(str::to_owned)).map(Into::into)
            }),
            "committed_at" | "created_at" | "queued_at" => self.times(),
            "transaction_id" | "position" | "_commit" => self.numbers(|event| event.commit.0),
            "_version" => self.numbers(|event| event.number.0),
            "_op" => self.text(|_, event| Some(event.op.name().into())),
            "_actor" => self.text(|i, event| self.context(i, event)?.actor.as_deref().map(Into::into)),
            "_reason" => self.text(|i, event| self.context(i, event)?.reason.as_deref().map(Into::into)),
            "database" => self.text(|_, _| Some(database.to_owned().into())),
            "schema" => self.text(|_, _| Some(table.name.schema.clone().into())),
            "table" => self.text(|_, _| Some(table.name.name.clone().into())),
            "id" => self.text(|_, event| Some(change_id(event, table).into())),
            _ => return None,
        })
    }

    fn times(&self) -> ArrayRef {
        let mut builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
        self.events.iter().for_each(|event| builder.append_value(event.at.micros()));
        Arc::new(builder.finish())
    }

    fn numbers(&self, value: impl Fn(&Event) -> u64) -> ArrayRef {
        let mut builder = Int64Builder::new();
        self.events.iter().for_each(|event| builder.append_value(i64::try_from(value(event)).unwrap_or(i64::MAX)));
        Arc::new(builder.finish())
    }

    fn batch(&self, schema: &SchemaRef, empty: Option<&'static str>, place: (&str, &TableDef)) -> Result<RecordBatch> {
        let columns = schema.fields().iter().map(|field| self.column(field.name(), empty, place));
        let columns: Option<Vec<ArrayRef>> = columns.collect();
        let columns = columns.ok_or_else(|| SqlError::internal("a column of the changes is unknown"))?;
        RecordBatch::try_new(Arc::clone(schema), columns).map_err(|cause| {
            tracing::error!(%cause, "changes do not fit their columns");
            SqlError::internal("changes do not fit their columns")
        })
    }
}

/// Bemi's word for it: a RESTORE is an UPDATE, or a CREATE where nothing was.
fn operation(op: Op, had_state: bool) -> &'static str {
    match op {
        Op::Restore if had_state => "UPDATE",
        Op::Restore => "CREATE",
        Op::Create | Op::Update | Op::Delete | Op::Truncate | Op::Erase => op.name(),
    }
}

/// A name for the change that is the same whenever it is read.
fn change_id(event: &Event, table: &TableDef) -> String {
    // FNV-1a, twice with different beginnings: a name, no protection.
    let hash = |seed: u64| {
        let head = [event.commit.0.to_be_bytes(), u64::from(table.id.0).to_be_bytes(), event.number.0.to_be_bytes()];
        let bytes = head.iter().flatten().chain(event.key.as_bytes());
        bytes.fold(seed, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x9ae1_6a3b_2f90_404f));
    // The bits of a version 8 uuid: custom content.
    let high = (high & !0xf000) | 0x8000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

fn table_batches(ctx: Arc<StatementContext>, table: ChangedTable, schema: SchemaRef, empty: Option<&'static str>) -> Batches {
    let events = Events::new(Arc::clone(&ctx), &table.table);
    let state = (events, ctx, table, schema);
    stream::try_unfold(state, move |(mut events, ctx, table, schema)| async move {
        let Some(found) = events.next().await? else { return Ok(None) };
        let cells = Cells::of(&ctx, &table, found).await?;
        let batch = cells.batch(&schema, empty, (ctx.database.name(), &table.table))?;
        Ok::<_, SqlError>(Some((batch, (events, ctx, table, schema))))
    })
    .boxed()
}

pub fn batches(ctx: Arc<StatementContext>, table: Arc<ChangedTable>, schema: SchemaRef) -> Batches {
    table_batches(ctx, table.as_ref().clone(), schema, None)
}

pub fn bemi_batches(ctx: Arc<StatementContext>, tables: Arc<[ChangedTable]>, schema: SchemaRef) -> Batches {
    let each = tables.iter().cloned().map(move |table| table_batches(Arc::clone(&ctx), table, Arc::clone(&schema), Some("{}")));
    stream::iter(each.collect::<Vec<_>>()).flatten().boxed()
}

//! The physical node that reads versions and gives rows.
//!
//! Holds plain data only (table, scope, snapshot, keys, columns); the database, the transaction's own writes and
//! the cancel handle come from the session configuration of the task that runs it.

use std::collections::HashMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, Int64Builder, RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};

use super::columns::SystemColumn;
use super::late_keys::LateKeys;
use super::payload::{PayloadColumn, PayloadDecoder};
use super::{StatementContext, system};
use crate::error::SqlError;
use crate::history::{Document, HistoryError, OnMissing, RowBatch, RowScan, StateRow, document_id};
use crate::plan::traits::plan_without_inputs;
use crate::runtime::Meter;
use crate::store::{Candidates, ScanRequest, VersionName};
use crate::versions::{
    CommitInfo, CommitNo, CommitStamp, Context, ItemKey, KeyFilter, Op, Scope, Snapshot, TableId, Timestamp, Version, VersionNo,
};

/// Rows per batch, at most.
pub const BATCH_ROWS: usize = 8_192;

/// One column to read.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadColumn {
    Payload(PayloadColumn),
    /// The text that names the item, out of its key.
    DocumentId,
    System(SystemColumn),
}

/// What one scan reads.
#[derive(Clone, Debug)]
pub struct ScanSpec {
    pub table: TableId,
    /// The relation's name, for EXPLAIN.
    pub name: String,
    pub scope: Scope,
    pub snapshot: Snapshot,
    pub keys: KeyFilter,
    pub candidates: Option<Candidates>,
    /// In the order of the output.
    pub columns: Vec<ReadColumn>,
    /// Stop after so many rows.
    pub limit: Option<usize>,
    /// Lay the transaction's own writes over what is read; only with `Scope::Current`.
    pub own_writes: bool,
    /// Ends later than this are shown as open.
    pub known_until: Option<Timestamp>,
    /// Columns that came to the table with a value for rows from before: their members, and when they came. What
    /// is read of a time before that has no such value.
    pub came: Vec<(String, CommitStamp)>,
    /// Filters that are checked again above, for EXPLAIN.
    pub rechecked: Vec<String>,
    /// How many rows there are, when that is known without reading them.
    pub rows: Option<u64>,
    /// Filters that name items only when the scan runs, by the row around it.
    pub late: Option<LateKeys>,
}

impl ScanSpec {
    fn reads_payloads(&self) -> bool {
        let of_payload = |c: &ReadColumn| matches!(c, ReadColumn::Payload(_) | ReadColumn::System(SystemColumn::Document));
        self.columns.iter().any(of_payload)
    }

    /// Whether a state is shown as of before this.
    fn is_before(&self, came: CommitStamp, version: Option<&Version>) -> bool {
        match self.scope {
            Scope::Current => false,
            Scope::AsOf(at) => at < came.time,
            Scope::AsOfCommit(commit) => commit < came.commit,
            Scope::FromTo { .. } | Scope::Between { .. } | Scope::ContainedIn { .. } | Scope::All => {
                version.and_then(|v| v.period.end).is_some_and(|end| end.to <= came.time)
            }
        }
    }

    fn picks_one(&self) -> bool {
        matches!(self.scope, Scope::Current | Scope::AsOf(_) | Scope::AsOfCommit(_))
    }
}

#[derive(Debug)]
pub struct VersionScanExec {
    spec: Arc<ScanSpec>,
    /// What each partition reads: the whole, or each a span of its keys.
    partitions: Vec<Arc<ScanSpec>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl VersionScanExec {
    /// `borders`, ascending, part the keys into as many partitions and one more. Rows of one partition come in the
    /// order of their keys; between partitions there is no order.
    pub fn new(spec: ScanSpec, schema: SchemaRef, borders: Vec<ItemKey>) -> Self {
        let spec = Arc::new(spec);
        let partitions = match borders.is_empty() {
            true => vec![Arc::clone(&spec)],
            false => spans(&borders).map(|keys| Arc::new(ScanSpec { keys, ..ScanSpec::clone(&spec) })).collect(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { spec, partitions, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }
}

/// All keys below the first border, from each to the next, and from the last one on.
fn spans(borders: &[ItemKey]) -> impl Iterator<Item = KeyFilter> {
    let from = std::iter::once(Bound::Unbounded).chain(borders.iter().map(|key| Bound::Included(key.clone())));
    let below = borders.iter().map(|key| Bound::Excluded(key.clone())).chain([Bound::Unbounded]);
    from.zip(below).map(|(low, high)| KeyFilter::Range { low, high })
}

impl DisplayAs for VersionScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.spec;
        write!(f, "VersionScan: {} scope={}", spec.name, scope_text(spec.scope))?;
        match &spec.keys {
            KeyFilter::All => {}
            KeyFilter::Points(keys) => write!(f, ", keys={} points", keys.len())?,
            KeyFilter::Range { .. } => f.write_str(", keys=range")?,
        }
        match &spec.candidates {
            Some(Candidates::Index(candidates)) => write!(f, ", index={}", candidates.index.0)?,
            Some(Candidates::Members(filters)) => {
                let filters: Vec<String> = filters.iter().map(ToString::to_string).collect();
                write!(f, ", members=[{}]", filters.join(", "))?;
            }
            None => {}
        }
        if spec.late.is_some() {
            f.write_str(", keys=by outer row")?;
        }
        if !spec.rechecked.is_empty() {
            write!(f, ", rechecked=[{}]", spec.rechecked.join(", "))?;
        }
        if let Some(limit) = spec.limit {
            write!(f, ", limit={limit}")?;
        }
        if !spec.reads_payloads() {
            f.write_str(", no payloads")?;
        }
        if self.partitions.len() > 1 {
            write!(f, ", partitions={}", self.partitions.len())?;
        }
        Ok(())
    }
}

/// A scope as EXPLAIN shows it.
pub fn scope_text(scope: Scope) -> String {
    let time = |at: Timestamp| match chrono::DateTime::from_timestamp_micros(at.micros()) {
        Some(at) => at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        None => "-".to_owned(),
    };
    match scope {
        Scope::Current => "current".to_owned(),
        Scope::AsOf(at) => format!("as of {}", time(at)),
        Scope::AsOfCommit(commit) => format!("as of commit {}", commit.0),
        Scope::FromTo { from, until } => format!("from {} to {}", time(from), time(until)),
        Scope::Between { from, until } => format!("between {} and {}", time(from), time(until)),
        Scope::ContainedIn { from, until } => format!("contained in ({}, {})", time(from), time(until)),
        Scope::All => "all".to_owned(),
    }
}

impl ExecutionPlan for VersionScanExec {
    plan_without_inputs!("VersionScanExec");

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(ctx) = context.session_config().get_extension::<StatementContext>() else {
            return internal_err!("a scan ran outside a statement");
        };
        let Some(spec) = self.partitions.get(partition) else { return internal_err!("a scan has no partition {partition}") };
        let counts = Counts::new(&self.metrics, partition);
        let spec = match &self.spec.late {
            Some(late) => Arc::new(late.applied(spec)?),
            None => Arc::clone(spec),
        };
        let reader = Reader::new(ctx, spec, self.schema(), counts)?;
        let batches = stream::try_unfold(reader, |mut reader| async move {
            let batch = reader.metered_batch().await.map_err(external)?;
            Ok(batch.map(|batch| (batch, reader)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if let Some(rows) = self.spec.rows {
            statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        Ok(Arc::new(statistics))
    }
}

/// An error of ours on its way through DataFusion.
pub fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// What EXPLAIN ANALYZE shows of a scan.
struct Counts {
    rows: Count,
    /// Round trips to the index, and reads of payloads that no cache had.
    index_calls: Count,
    payload_reads: Count,
    versions_read: Count,
    payload_bytes: Count,
}

impl Counts {
    fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            rows: MetricBuilder::new(metrics).output_rows(partition),
            index_calls: counter("index_calls"),
            payload_reads: counter("payload_reads"),
            versions_read: counter("versions_read"),
            payload_bytes: counter("payload_bytes"),
        }
    }
}

/// A state on its way into a batch: its version, or none for a row this transaction wrote.
struct SystemRow {
    key: ItemKey,
    version: Option<Version>,
    number: VersionNo,
    document: Option<Document>,
}

struct Reader {
    ctx: Arc<StatementContext>,
    spec: Arc<ScanSpec>,
    schema: SchemaRef,
    counts: Counts,
    meter: Arc<Meter>,
    /// What of the meter has been told.
    told: (usize, usize),
    /// What is still to come from the store.
    stored: Option<RowScan>,
    own: Option<Arc<crate::history::transaction::TableWrites>>,
    /// Where the transaction's own rows go on, once the store's have been given.
    own_from: Option<Bound<ItemKey>>,
    decoder: PayloadDecoder,
    /// `ScanSpec::came` by position among the decoder's columns.
    came: Vec<(usize, CommitStamp)>,
    payload_columns: bool,
    system: Vec<SystemRow>,
    keeps_system: bool,
    rows: usize,
    /// Rows that may still be given.
    left: usize,
    waiting: std::vec::IntoIter<StateRow>,
}

impl Reader {
    fn new(ctx: Arc<StatementContext>, spec: Arc<ScanSpec>, schema: SchemaRef, counts: Counts) -> Result<Self> {
        let payload: Vec<PayloadColumn> = spec
            .columns
            .iter()
            .filter_map(|c| if let ReadColumn::Payload(column) = c { Some(column.clone()) } else { None })
            .collect();
        let place = |(field, came): &(String, CommitStamp)| Some((payload.iter().position(|c| c.field == *field)?, *came));
        let came = spec.came.iter().filter_map(place).collect();
        let decoder = PayloadDecoder::new(&payload).map_err(|e| external(e.into()))?;
        let own = if spec.own_writes { ctx.overlay(spec.table) } else { None };
        let stored = Self::open(&ctx, &spec, own.as_deref());
        Ok(Self {
            stored,
            own_from: own.as_ref().map(|_| Bound::Unbounded),
            own,
            decoder,
            came,
            payload_columns: !payload.is_empty(),
            system: Vec::new(),
            keeps_system: spec.columns.iter().any(|c| !matches!(c, ReadColumn::Payload(_))),
            rows: 0,
            left: spec.limit.unwrap_or(usize::MAX),
            waiting: Vec::new().into_iter(),
            ctx,
            spec,
            schema,
            counts,
            meter: Arc::default(),
            told: (0, 0),
        })
    }

    fn open(
        ctx: &Arc<StatementContext>,
        spec: &ScanSpec,
        own: Option<&crate::history::transaction::TableWrites>,
    ) -> Option<RowScan> {
        if own.is_some_and(|own| own.truncated) {
            return None;
        }
        let on_missing = ctx.settings.get("chronogate.on_missing_payload");
        let on_missing = OnMissing::named(on_missing.as_deref().unwrap_or_default());
        if let (KeyFilter::Points(keys), true) = (&spec.keys, spec.picks_one()) {
            let (database, keys) = (Arc::clone(&ctx.database), keys.clone());
            let (table, scope, snapshot) = (spec.table, spec.scope, spec.snapshot);
            let found = async move {
                let rows = database.get_with(table, &keys, scope, snapshot, on_missing).await?;
                Ok::<RowBatch, HistoryError>(rows.into_iter().flatten().collect())
            };
            return Some(stream::once(found).boxed());
        }
        let hidden = own.map_or(0, |own| own.rows.len());
        let request = ScanRequest {
            table: spec.table,
            snapshot: spec.snapshot,
            scope: spec.scope,
            keys: spec.keys.clone(),
            candidates: spec.candidates.clone(),
            payloads: spec.reads_payloads(),
            limit: spec.limit.map(|limit| limit.saturating_add(hidden)),
        };
        Some(ctx.database.scan_with(request, on_missing))
    }

    async fn metered_batch(&mut self) -> crate::error::Result<Option<RecordBatch>> {
        let meter = Arc::clone(&self.meter);
        let batch = meter.over(self.next_batch()).await;
        // Pieces are read ahead, so that calls come between batches too.
        let (calls, reads) = (meter.index_calls(), meter.payload_reads());
        self.counts.index_calls.add(calls - std::mem::replace(&mut self.told.0, calls));
        self.counts.payload_reads.add(reads - std::mem::replace(&mut self.told.1, reads));
        batch
    }

    async fn next_batch(&mut self) -> crate::error::Result<Option<RecordBatch>> {
        while self.rows < BATCH_ROWS && self.left > 0 {
            if let Some(row) = self.waiting.next() {
                self.take_stored(row)?;
            } else if let Some(stored) = &mut self.stored {
                self.ctx.cancel.check()?;
                match stored.try_next().await? {
                    Some(batch) => self.waiting = batch.into_iter(),
                    None => self.stored = None,
                }
            } else if !self.take_own()? {
                break;
            }
        }
        if self.rows == 0 {
            return Ok(None);
        }
        self.ctx.cancel.check()?;
        self.flush().await.map(Some)
    }

    fn take_stored(&mut self, row: StateRow) -> crate::error::Result<()> {
        self.counts.versions_read.add(1);
        if self.own.as_ref().is_some_and(|own| own.rows.contains_key(&row.key)) {
            return Ok(());
        }
        let number = row.version.number;
        let system = SystemRow { key: row.key, version: Some(row.version), number, document: row.document };
        self.take(system, &row.payload)
    }

    fn take(&mut self, system: SystemRow, payload: &[u8]) -> crate::error::Result<()> {
        if self.payload_columns {
            self.counts.payload_bytes.add(payload.len());
            let before = self.came.iter().filter(|(_, came)| self.spec.is_before(*came, system.version.as_ref()));
            let lacking: Vec<usize> = before.map(|(at, _)| *at).collect();
            self.decoder.append_lacking(payload, &lacking)?;
        }
        if self.keeps_system {
            self.system.push(system);
        }
        self.rows += 1;
        self.left -= 1;
        Ok(())
    }

    /// Takes the next row this transaction wrote; `false` when there is none left.
    fn take_own(&mut self) -> crate::error::Result<bool> {
        let (Some(own), Some(from)) = (self.own.clone(), self.own_from.take()) else { return Ok(false) };
        let Some((key, pending)) = own.rows.range((from, Bound::Unbounded)).next() else { return Ok(false) };
        self.own_from = Some(Bound::Excluded(key.clone()));
        if let Some((payload, _)) = &pending.state
            && self.spec.keys.contains(key)
        {
            let number = pending.base.map_or(VersionNo(0), VersionNo::next);
            self.take(SystemRow { key: key.clone(), version: None, number, document: None }, payload)?;
        }
        Ok(true)
    }

    async fn flush(&mut self) -> crate::error::Result<RecordBatch> {
        let mut payload = self.decoder.finish().into_iter();
        let system = std::mem::take(&mut self.system);
        let contexts = Contexts::of(&self.ctx, &self.spec, &system).await?;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.spec.columns.len());
        for column in &self.spec.columns {
            let array = match column {
                ReadColumn::Payload(_) => payload.next(),
                ReadColumn::DocumentId => Some(texts(system.iter().map(|row| document_id(&row.key)))),
                ReadColumn::System(column) => Some(system_array(*column, &system, &contexts, self.spec.known_until)),
            };
            arrays.push(array.ok_or_else(|| SqlError::internal("a scan lost one of its columns"))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.counts.rows.add(self.rows);
        self.rows = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(|cause| {
            tracing::error!(%cause, table = self.spec.name, "rows do not fit their table");
            SqlError::internal(format!("rows of \"{}\" do not fit its columns", self.spec.name))
        })
    }
}

/// Who made the rows' versions, and why, where their columns ask for that.
#[derive(Default)]
struct Contexts {
    /// Beside the rows, where versions say so themselves.
    told: Option<Vec<Option<Context>>>,
    log: HashMap<CommitNo, Arc<CommitInfo>>,
}

impl Contexts {
    async fn of(ctx: &StatementContext, spec: &ScanSpec, rows: &[SystemRow]) -> crate::error::Result<Self> {
        if !spec.columns.iter().any(|c| matches!(c, ReadColumn::System(c) if c.is_of_commit())) {
            return Ok(Self::default());
        }
        let name = |row: &SystemRow| VersionName {
            key: row.key.clone(),
            number: row.number,
            collection: row.version.and_then(|version| version.collection),
        };
        if rows.iter().any(|row| row.document.is_some()) {
            let names: Vec<VersionName> = rows.iter().map(name).collect();
            if let Some(told) = ctx.database.told(spec.table, &names).await? {
                return Ok(Self { told: Some(told), ..Self::default() });
            }
        }
        let commits: Vec<CommitNo> = rows.iter().filter_map(|row| row.version.map(|v| v.period.begun)).collect();
        Ok(Self { told: None, log: ctx.database.commit_infos(commits).await? })
    }

    fn get(&self, at: usize, row: &SystemRow) -> Option<&Context> {
        match &self.told {
            Some(told) => told.get(at)?.as_ref(),
            None => self.log.get(&row.version?.period.begun).map(|commit| &commit.context),
        }
    }
}

fn system_array(column: SystemColumn, rows: &[SystemRow], contexts: &Contexts, known_until: Option<Timestamp>) -> ArrayRef {
    let versions = || rows.iter().map(|row| row.version);
    let end = |v: Version| v.period.end.filter(|end| known_until.is_none_or(|until| end.to <= until));
    let contexts = || rows.iter().enumerate().map(|(at, row)| contexts.get(at, row));
    match column {
        SystemColumn::Key => {
            let mut keys = BinaryBuilder::new();
            rows.iter().for_each(|row| keys.append_value(row.key.as_bytes()));
            Arc::new(keys.finish())
        }
        SystemColumn::From => times(versions().map(|v| v.map(|v| v.period.from.micros()))),
        SystemColumn::To => times(versions().map(|v| v.and_then(end).map(|end| end.to.micros()))),
        SystemColumn::Version => numbers(rows.iter().map(|row| Some(row.number.0))),
        SystemColumn::Commit => numbers(versions().map(|v| v.map(|v| v.period.begun.0))),
        SystemColumn::EndCommit => numbers(versions().map(|v| v.and_then(end).map(|end| end.commit.0))),
        SystemColumn::Op => texts(rows.iter().map(|row| {
            let pending = if row.number == VersionNo(0) { Op::Create } else { Op::Update };
            Some(row.version.map_or(pending, |v| v.op).name())
        })),
        SystemColumn::EndOp => texts(versions().map(|v| v.and_then(end).map(|end| end.op.name()))),
        SystemColumn::Actor => texts(contexts().map(|context| context?.actor.as_deref())),
        SystemColumn::Reason => texts(contexts().map(|context| context?.reason.as_deref())),
        SystemColumn::Context => {
            let mut builder = StringBuilder::new();
            let contexts = contexts().map(|context| context?.context.as_deref().map(system::normalised));
            contexts.for_each(|context| builder.append_option(context));
            Arc::new(builder.finish())
        }
        SystemColumn::Document => {
            let mut builder = StringBuilder::new();
            let whole = |row: &SystemRow| {
                let text = std::str::from_utf8(&row.document.as_ref()?.text).ok()?;
                Some(crate::history::document_jsonb(text))
            };
            rows.iter().for_each(|row| builder.append_option(whole(row)));
            Arc::new(builder.finish())
        }
        SystemColumn::CollectionVersion => numbers(versions().map(|v| v?.collection)),
        SystemColumn::PayloadKey => texts(rows.iter().map(|row| row.document.as_ref().map(Document::key))),
        SystemColumn::Checksum => {
            let mut builder = StringBuilder::new();
            rows.iter().for_each(|row| builder.append_option(row.document.as_ref().map(Document::checksum)));
            Arc::new(builder.finish())
        }
        SystemColumn::Size => numbers(rows.iter().map(|row| row.document.as_ref().map(|document| document.size))),
    }
}

fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    let mut builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

fn numbers(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    let mut builder = Int64Builder::new();
    values.for_each(|value| builder.append_option(value.map(|n| i64::try_from(n).unwrap_or(i64::MAX))));
    Arc::new(builder.finish())
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringBuilder::new();
    values.for_each(|value| builder.append_option(value));
    Arc::new(builder.finish())
}

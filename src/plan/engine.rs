//! The door of this module: prepare a statement, run it.
//!
//! Owns the configuration that all statements share and the runtime that plans run on. What a statement
//! needs of its own goes into a copy of that configuration, never into a plan.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;
use futures::{FutureExt, TryStreamExt};
use parking_lot::Mutex;

use super::compound::Compound;
use super::correlated::SubqueryPlanner;
use super::diagnose::diagnose;
use super::in_order::KeepOrder;
use super::modify::{self, Modify, Queries};
use super::ordered::SortsStay;
use super::point::{PointRead, Template};
use super::query::{self, PlannedQuery};
use super::scan::BATCH_ROWS;
use super::worker::Worker;
use super::{
    CatalogueCache, DefaultScope, Held, SchemaAt, StatementContext, catalog, constant, explain, functions, output, table,
};
use crate::error::{Result, SqlError, SqlState};
use crate::history::Catalog;
use crate::runtime::SystemEntropy;
use crate::sql::shape::{Literal, Shape};
use crate::sql::{ExplainOptions, Statement};
use crate::types::{Oid, PgType};

/// Limits of one server.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Bytes that all running statements may hold together; above it they spill or fail with 53200.
    pub memory_limit: usize,
    /// Parallel partitions of one statement.
    pub partitions: usize,
    /// Where sorts and joins spill.
    pub spill_directory: std::path::PathBuf,
}

/// Everything that plans and runs statements; one per server.
pub struct Engine {
    base: Arc<SessionState>,
    catalogues: CatalogueCache,
    worker: Worker,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// One output column, as RowDescription tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultColumn {
    /// PostgreSQL's name for it: `?column?`, `count`, the column's own.
    pub name: String,
    pub ty: PgType,
    /// Table and attribute number where the column is a table's, else 0.
    pub table_oid: Oid,
    pub attribute: i16,
}

/// A statement that has been analysed. Bound to definitions, not to data: it may be run many times, under
/// different snapshots and parameters, until the catalogue changes.
#[derive(Clone)]
pub struct Prepared {
    /// Types of `$1` …, inferred where the client did not declare them.
    pub parameters: Vec<PgType>,
    /// `None` for a statement without result rows.
    pub columns: Option<Arc<[ResultColumn]>>,
    statement: Written,
    /// The analysis, made again when definitions have changed.
    current: Arc<Mutex<Arc<Analysed>>>,
}

/// Where a prepared statement's tree comes from, should it be wanted again.
#[derive(Clone)]
enum Written {
    Tree(Arc<Statement>),
    /// The text of one statement that has been known by its shape.
    Text(Arc<str>),
}

impl Written {
    fn tree(&self) -> Result<Arc<Statement>> {
        match self {
            Self::Tree(statement) => Ok(Arc::clone(statement)),
            Self::Text(text) => match crate::sql::parse(text)?.pop() {
                Some(parsed) => Ok(Arc::new(parsed.statement)),
                None => Err(SqlError::internal("a statement lost its text")),
            },
        }
    }
}

/// What statements that differ in their literals only have in common; see [`Engine::pattern`].
#[derive(Clone)]
pub struct Pattern {
    under: Arc<Definitions>,
    template: Arc<Template>,
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pattern").field(&self.template).finish()
    }
}

impl Pattern {
    /// The statement with these literals, whose text this is; `None` when it has to be analysed by itself. Good
    /// for the surroundings that the pattern was made in.
    pub fn prepare(&self, literals: &[Literal<'_>], text: &str) -> Option<Prepared> {
        let read = self.template.fill(literals)?;
        let analysed = Analysed { under: Arc::clone(&self.under), work: Work::Point(read) };
        Some(Prepared::of(analysed, Written::Text(text.into())))
    }
}

#[cfg(test)]
impl Prepared {
    /// Whether it was recognised as being about single items.
    pub fn is_short(&self) -> bool {
        match &self.current.lock().work {
            Work::Point(_) => true,
            Work::Modify(modify) => modify.is_compiled(),
            Work::Query(_) | Work::Constant(_) | Work::Explain { .. } | Work::Compound(_) => false,
        }
    }
}

impl Prepared {
    /// Whether it reads one item by its key without a planner.
    pub fn is_lookup(&self) -> bool {
        matches!(self.current.lock().work, Work::Point(_))
    }

    fn of(analysed: Analysed, statement: Written) -> Self {
        Self {
            parameters: analysed.parameters().to_vec(),
            columns: analysed.columns(),
            statement,
            current: Arc::new(Mutex::new(Arc::new(analysed))),
        }
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("parameters", &self.parameters).field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// A statement's analysis and what it depends on.
pub(super) struct Analysed {
    under: Arc<Definitions>,
    work: Work,
}

enum Work {
    Query(PlannedQuery),
    /// Rows that are the same at every execution.
    Constant(Constant),
    Point(PointRead),
    Modify(Modify),
    Compound(Compound),
    Explain {
        options: ExplainOptions,
        of: Explained,
    },
}

/// What EXPLAIN is about.
enum Explained {
    Query(PlannedQuery),
    Modify(Modify),
}

struct Constant {
    columns: Arc<[ResultColumn]>,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Constant {
    fn rows(&self) -> Result<RowStream> {
        let batches = MemoryStream::try_new(self.batches.clone(), Arc::clone(&self.schema), None).map_err(diagnose)?;
        Ok(RowStream { columns: Arc::clone(&self.columns), batches: Box::pin(batches) })
    }
}

/// What an analysis depends on: while these are the same, so is its result.
struct Definitions {
    catalog: Arc<Catalog>,
    default_scope: Option<DefaultScope>,
    schema_at: SchemaAt,
    search_path: Vec<String>,
    current_user: String,
}

impl Definitions {
    fn of(ctx: &StatementContext) -> Self {
        Self {
            catalog: Arc::clone(&ctx.transaction.lock().catalog),
            default_scope: ctx.default_scope,
            schema_at: ctx.schema_at,
            search_path: ctx.search_path.clone(),
            current_user: ctx.current_user.clone(),
        }
    }

    fn are_those_of(&self, ctx: &StatementContext) -> bool {
        Arc::ptr_eq(&self.catalog, &ctx.transaction.lock().catalog)
            && self.default_scope == ctx.default_scope
            && self.schema_at == ctx.schema_at
            && self.search_path == ctx.search_path
            && self.current_user == ctx.current_user
    }
}

/// Result rows. Batches' columns are in the order of `columns`; their Arrow types are `columns[i].ty.arrow()`,
/// except that a numeric without precision may have any scale.
pub struct RowStream {
    pub columns: Arc<[ResultColumn]>,
    pub batches: SendableRecordBatchStream,
}

/// What running a statement gave.
pub enum Execution {
    Rows(RowStream),
    /// Rows inserted, updated or deleted into the transaction (not yet committed), with RETURNING's rows.
    Modified {
        count: u64,
        returning: Option<RowStream>,
    },
}

impl Engine {
    pub fn new(config: EngineConfig) -> Result<Arc<Self>> {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![config.spill_directory.clone()]));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(config.memory_limit)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(diagnose)?;
        let session = SessionConfig::new()
            .with_target_partitions(config.partitions.max(1))
            .with_batch_size(BATCH_ROWS)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false);
        let mut rules = PhysicalOptimizer::default().rules;
        rules.insert(0, Arc::new(SortsStay));
        rules.push(Arc::new(KeepOrder));
        let builder = SessionStateBuilder::new()
            .with_config(functions::configure(session))
            .with_runtime_env(runtime)
            .with_default_features()
            .with_physical_optimizer_rules(rules)
            .with_query_planner(Arc::new(SubqueryPlanner));
        let builder = functions::install(builder, Arc::new(SystemEntropy));
        let worker = Worker::new(config.partitions)?;
        Ok(Arc::new(Self { base: Arc::new(builder.build()), catalogues: CatalogueCache::default(), worker }))
    }

    /// Where the server keeps its catalogues: for the surroundings of every statement.
    pub fn catalogues(&self) -> CatalogueCache {
        self.catalogues.clone()
    }

    /// Analyses a Query, Insert, Update, Delete, Merge, With or Explain. `declared` are the parameter types that the client gave.
    pub async fn prepare(
        self: &Arc<Self>,
        ctx: &StatementContext,
        statement: &Statement,
        declared: &[Option<PgType>],
    ) -> Result<Prepared> {
        let analysed = match point(ctx, statement, declared) {
            Some(analysed) => analysed,
            None => Box::pin(self.analyse(ctx, Arc::new(statement.clone()), declared.to_vec())).await?,
        };
        Ok(Prepared::of(analysed, Written::Tree(Arc::new(statement.clone()))))
    }

    /// What `prepared`, made in these surroundings from a text of this shape, has in common with other texts of it.
    /// `None` for a statement that is not known to mean the same but for the values its literals stand for.
    pub fn pattern(
        &self,
        ctx: &StatementContext,
        prepared: &Prepared,
        shape: &Shape<'_>,
        declared: &[Option<PgType>],
    ) -> Option<Pattern> {
        let analysed = Arc::clone(&prepared.current.lock());
        let Work::Point(read) = &analysed.work else { return None };
        let template = Arc::new(Template::of(ctx, read, shape, declared)?);
        Some(Pattern { under: Arc::clone(&analysed.under), template })
    }

    async fn analyse(
        self: &Arc<Self>,
        ctx: &StatementContext,
        statement: Arc<Statement>,
        declared: Vec<Option<PgType>>,
    ) -> Result<Analysed> {
        let run = self.run_of(ctx);
        self.worker.run(&ctx.cancel, async move { run.analyse_planned(&statement, &declared).await }).await
    }

    /// Runs it. Parameters must have the Arrow types of `prepared.parameters`. Writes go to `ctx.transaction`,
    /// whole or not at all; the session commits.
    pub async fn execute(
        self: &Arc<Self>,
        ctx: &StatementContext,
        prepared: &Prepared,
        parameters: Vec<ScalarValue>,
    ) -> Result<Execution> {
        let analysed = self.current(ctx, prepared).await?;
        let parameters = catalog::names::resolved(ctx, &prepared.parameters, parameters)?;
        if let Work::Modify(modify) = &analysed.work
            && modify.is_compiled()
        {
            return here(modify.execute(modify::Run::compiled(ctx, &parameters, diagnose))).await;
        }
        if let Work::Constant(constant) = &analysed.work {
            return constant.rows().map(Execution::Rows);
        }
        let mut analysed = analysed;
        if let Work::Point(read) = &analysed.work {
            if let Some(rows) = here(read.execute(ctx, &parameters)).await? {
                return Ok(Execution::Rows(rows));
            }
            let declared = prepared.parameters.iter().map(|ty| Some(*ty)).collect();
            analysed = Arc::new(Box::pin(self.analyse(ctx, prepared.statement.tree()?, declared)).await?);
        }
        // Boxed, so that statements which need no planner do not carry its future about.
        Box::pin(self.run_planned(ctx, analysed, parameters)).await
    }

    async fn run_planned(
        self: &Arc<Self>,
        ctx: &StatementContext,
        analysed: Arc<Analysed>,
        parameters: Vec<ScalarValue>,
    ) -> Result<Execution> {
        let run = self.run_of(ctx);
        let engine = Arc::clone(self);
        self.worker
            .run(&ctx.cancel, async move {
                match &analysed.work {
                    Work::Point(_) | Work::Constant(_) => Err(SqlError::internal("a statement without a plan was planned")),
                    Work::Query(query) => {
                        let plan = run.physical(&query.plan, parameters).await?;
                        let rows = engine.worker.stream(run.ctx.cancel.clone(), plan, run.state.task_ctx())?;
                        let batches = output::conformed(&run.ctx, &query.columns, rows);
                        Ok(Execution::Rows(RowStream { columns: Arc::clone(&query.columns), batches }))
                    }
                    Work::Modify(modify) => {
                        let ctx = Arc::clone(&run.ctx);
                        modify.execute(modify::Run::planned(&ctx, &run, &parameters)).await
                    }
                    Work::Compound(compound) => compound.execute(&run, &parameters).await,
                    Work::Explain { options, of } => run.explain(*options, of, parameters).await.map(Execution::Rows),
                }
            })
            .await
    }

    /// The analysis of a prepared statement under the definitions of now.
    async fn current(self: &Arc<Self>, ctx: &StatementContext, prepared: &Prepared) -> Result<Arc<Analysed>> {
        let analysed = Arc::clone(&prepared.current.lock());
        if analysed.under.are_those_of(ctx) {
            return Ok(analysed);
        }
        let declared: Vec<Option<PgType>> = prepared.parameters.iter().map(|ty| Some(*ty)).collect();
        let statement = prepared.statement.tree()?;
        let fresh = match point(ctx, &statement, &declared) {
            Some(fresh) => fresh,
            None => Box::pin(self.analyse(ctx, statement, declared)).await?,
        };
        let fresh = Arc::new(fresh);
        let types = |columns: &Option<Arc<[ResultColumn]>>| {
            columns.as_ref().map(|c| c.iter().map(|c| (c.name.clone(), c.ty)).collect::<Vec<_>>())
        };
        if types(&fresh.columns()) != types(&prepared.columns) {
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "cached plan must not change result type"));
        }
        *prepared.current.lock() = Arc::clone(&fresh);
        Ok(fresh)
    }

    /// Evaluates an expression without columns (DEFAULT of a setting, AS OF of a BEGIN, EXECUTE's arguments).
    pub async fn evaluate(self: &Arc<Self>, ctx: &StatementContext, expression: &ast::Expr, ty: PgType) -> Result<ScalarValue> {
        let run = self.run_of(ctx);
        let expression = expression.clone();
        self.worker
            .run(&ctx.cancel, async move {
                let expr = query::constant_expr(&run.ctx, &run.state, expression, ty)?;
                constant::value_of(&run.state, expr)
            })
            .await
    }

    /// Checks the deferred foreign keys that `which` picks against what the transaction has written. 23503.
    pub async fn check_deferred(
        self: &Arc<Self>,
        ctx: &StatementContext,
        which: impl Fn(&crate::history::ForeignKeyDef) -> bool,
    ) -> Result<()> {
        modify::check_deferred(ctx, self.queries(ctx).as_ref(), which).await
    }

    /// What is wrong with the body of a routine that is to be created.
    pub async fn check_routine(self: &Arc<Self>, ctx: &StatementContext, routine: super::routines::Routine) -> Result<()> {
        let run = self.run_of(ctx);
        self.worker
            .run(&ctx.cancel, async move {
                let mut within = super::routines::Within::new(&run, &routine.def)?;
                routine.check(&mut within).await
            })
            .await
    }

    /// Memory to be held beside plans, of the server's limit.
    pub fn hold(&self, what: &str) -> Held {
        Held::of(&self.base.runtime_env().memory_pool, what)
    }

    /// What COPY needs to write rows in these surroundings.
    pub fn queries(self: &Arc<Self>, ctx: &StatementContext) -> Arc<dyn Queries> {
        Arc::new(self.run_of(ctx))
    }

    fn run_of(self: &Arc<Self>, ctx: &StatementContext) -> Run {
        let ctx = Arc::new(ctx.clone());
        let state = query::statement_state(&self.base, &ctx);
        Run { ctx, state }
    }
}

/// Runs a statement that needs no planner on the caller's thread; a panic is its error.
async fn here<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match std::panic::AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => done,
        Err(_) => Err(SqlError::internal("the statement failed inside the query engine; the server's log has the cause")),
    }
}

/// The analysis of a statement that reads one item by its key.
fn point(ctx: &StatementContext, statement: &Statement, declared: &[Option<PgType>]) -> Option<Analysed> {
    let Statement::Query(query) = statement else { return None };
    let read = PointRead::recognise(ctx, query, declared)?;
    Some(Analysed { under: Arc::new(Definitions::of(ctx)), work: Work::Point(read) })
}

impl Analysed {
    /// Whether it still holds in these surroundings.
    pub(super) fn is_under(&self, ctx: &StatementContext) -> bool {
        self.under.are_those_of(ctx)
    }

    pub(super) fn parameters(&self) -> &[PgType] {
        match &self.work {
            Work::Query(query) | Work::Explain { of: Explained::Query(query), .. } => &query.parameters,
            Work::Constant(_) => &[],
            Work::Modify(modify) | Work::Explain { of: Explained::Modify(modify), .. } => modify.parameters(),
            Work::Point(read) => &read.parameters,
            Work::Compound(compound) => &compound.parameters,
        }
    }

    pub(super) fn columns(&self) -> Option<Arc<[ResultColumn]>> {
        match &self.work {
            Work::Query(query) => Some(Arc::clone(&query.columns)),
            Work::Constant(constant) => Some(Arc::clone(&constant.columns)),
            Work::Modify(modify) => modify.columns(),
            Work::Point(read) => Some(Arc::clone(&read.columns)),
            Work::Explain { options, .. } => Some(explain::columns(*options)),
            Work::Compound(compound) => compound.columns(),
        }
    }
}

fn not_planned() -> SqlError {
    SqlError::internal("a statement came to the planner that is not a query")
}

/// One statement on its way: its surroundings and the configuration made for it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) ctx: Arc<StatementContext>,
    pub(super) state: SessionState,
}

impl Run {
    /// Of a plan that is running.
    pub(super) fn nested(nested: &super::correlated::Nested) -> Self {
        Self { ctx: nested.shared(), state: SessionState::clone(&nested.state()) }
    }

    /// Runs a statement of a routine's body, which is in the tasks of its caller.
    pub(super) async fn perform(
        &self,
        analysed: &Analysed,
        statement: &Statement,
        parameters: Vec<ScalarValue>,
    ) -> Result<Execution> {
        let parameters = catalog::names::resolved(&self.ctx, analysed.parameters(), parameters)?;
        match &analysed.work {
            Work::Point(read) => {
                if let Some(rows) = read.execute(&self.ctx, &parameters).await? {
                    return Ok(Execution::Rows(rows));
                }
                let declared: Vec<Option<PgType>> = analysed.parameters().iter().map(|ty| Some(*ty)).collect();
                let planned = Box::pin(self.analyse_planned(statement, &declared)).await?;
                match &planned.work {
                    Work::Point(_) => Err(SqlError::internal("a lookup was planned as one again")),
                    _ => Box::pin(self.perform(&planned, statement, parameters)).await,
                }
            }
            Work::Constant(constant) => constant.rows().map(Execution::Rows),
            Work::Query(query) => {
                let plan = self.physical(&query.plan, parameters).await?;
                let rows = datafusion::physical_plan::execute_stream(plan, self.state.task_ctx()).map_err(diagnose)?;
                let batches = output::conformed(&self.ctx, &query.columns, rows);
                Ok(Execution::Rows(RowStream { columns: Arc::clone(&query.columns), batches }))
            }
            Work::Modify(modify) => modify.execute(modify::Run::planned(&self.ctx, self, &parameters)).await,
            Work::Compound(compound) => compound.execute(self, &parameters).await,
            Work::Explain { .. } => Err(not_planned()),
        }
    }

    /// The analysis of a statement, by its key where it is a lookup.
    pub(super) async fn analyse(&self, statement: &Statement, declared: &[Option<PgType>]) -> Result<Analysed> {
        match point(&self.ctx, statement, declared) {
            Some(analysed) => Ok(analysed),
            None => self.analyse_planned(statement, declared).await,
        }
    }

    async fn analyse_planned(&self, statement: &Statement, declared: &[Option<PgType>]) -> Result<Analysed> {
        let under = Arc::new(Definitions::of(&self.ctx));
        let work = match statement {
            Statement::Query(query) => {
                let query = self.query(query, declared)?;
                match self.constant(&query).await {
                    Some(constant) => Work::Constant(constant),
                    None => Work::Query(query),
                }
            }
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) => {
                Work::Modify(self.modify(statement, declared).await?)
            }
            Statement::With { writes, main } => Work::Compound(Compound::analyse(self, writes, main, declared).await?),
            Statement::Explain { options, inner } => {
                let of = match inner.as_ref() {
                    Statement::Query(query) => Explained::Query(self.query(query, declared)?),
                    write => Explained::Modify(self.modify(write, declared).await?),
                };
                Work::Explain { options: *options, of }
            }
            _ => return Err(not_planned()),
        };
        Ok(Analysed { under, work })
    }

    /// The same configuration in other surroundings.
    pub(super) fn under(&self, ctx: StatementContext) -> Self {
        let ctx = Arc::new(ctx);
        let state = query::statement_state(&Arc::new(self.state.clone()), &ctx);
        Self { ctx, state }
    }

    pub(super) async fn modify(&self, statement: &Statement, declared: &[Option<PgType>]) -> Result<Modify> {
        match statement {
            Statement::Insert(insert) => modify::plan_insert(&self.ctx, self, insert, declared).await,
            Statement::Update(update) => modify::plan_update(&self.ctx, self, update, declared).await,
            Statement::Delete(delete) => modify::plan_delete(&self.ctx, self, delete, declared).await,
            Statement::Merge(merge) => modify::plan_merge(&self.ctx, self, merge, declared).await,
            _ => Err(not_planned()),
        }
    }

    /// Plans, and for ANALYZE runs: a write that is analysed is done.
    async fn explain(&self, options: ExplainOptions, of: &Explained, parameters: Vec<ScalarValue>) -> Result<RowStream> {
        match of {
            Explained::Query(query) => {
                let plan = self.physical(&query.plan, parameters).await?;
                if options.analyze {
                    datafusion::physical_plan::collect(Arc::clone(&plan), self.state.task_ctx()).await.map_err(diagnose)?;
                }
                explain::rows(None, Some(&plan), options)
            }
            Explained::Modify(modify) => {
                let mut head = explain::Write { verb: modify.verb(), table: modify.table().name.name.clone(), rows: None };
                let plan = match modify.source() {
                    Some(source) => Some(self.physical(source, parameters.clone()).await?),
                    None => None,
                };
                if options.analyze {
                    let done = modify.execute(modify::Run::planned(&self.ctx, self, &parameters)).await?;
                    head.rows = Some(match done {
                        Execution::Modified { count, .. } => count,
                        Execution::Rows(_) => 0,
                    });
                }
                // The write has planned its source itself: counts of what it read are not those of this plan.
                explain::rows(Some(head), plan.as_ref(), ExplainOptions { analyze: false, ..options })
            }
        }
    }

    pub(super) fn query(&self, query: &ast::Query, declared: &[Option<PgType>]) -> Result<PlannedQuery> {
        query::plan(&self.ctx, &self.state, query, declared)
    }

    /// The row of a query of literals, such as `SELECT 1`.
    async fn constant(&self, query: &PlannedQuery) -> Option<Constant> {
        if !query.parameters.is_empty() || !constant::is_row_of_literals(&query.plan) {
            return None;
        }
        let plan = self.physical(&query.plan, Vec::new()).await.ok()?;
        let rows = datafusion::physical_plan::execute_stream(plan, self.state.task_ctx()).ok()?;
        let rows = output::conformed(&self.ctx, &query.columns, rows);
        let schema = rows.schema();
        let batches = rows.try_collect().await.ok()?;
        Some(Constant { columns: Arc::clone(&query.columns), schema, batches })
    }

    pub(super) async fn physical(&self, plan: &LogicalPlan, parameters: Vec<ScalarValue>) -> Result<Arc<dyn ExecutionPlan>> {
        let bound;
        let plan = if parameters.is_empty() {
            plan
        } else {
            bound = plan.clone().replace_params_with_values(&parameters.into()).map_err(diagnose)?;
            &bound
        };
        let optimised = self.state.optimize(plan).map_err(diagnose)?;
        let mut state = Cow::Borrowed(&self.state);
        if table::looks_at_few(&optimised) || table::shows_order(&optimised) {
            // Exchanging a handful of rows between partitions costs more than it can win; and would show in lists.
            state.to_mut().config_mut().options_mut().execution.target_partitions = 1;
        }
        state.query_planner().create_physical_plan(&optimised, &*state).await.map_err(diagnose)
    }
}

#[async_trait]
impl Queries for Run {
    fn state(&self) -> &SessionState {
        &self.state
    }

    async fn plan(&self, query: ast::Query, known: &[Option<PgType>]) -> Result<LogicalPlan> {
        query::plan_inner(&self.ctx, &self.state, query, known)
    }

    fn expression(&self, expression: ast::Expr, schema: &DFSchema, known: &[Option<PgType>]) -> Result<Expr> {
        query::row_expr(&self.ctx, &self.state, expression, schema, known)
    }

    async fn collect(&self, plan: &LogicalPlan, parameters: &[ScalarValue]) -> Result<Vec<RecordBatch>> {
        let plan = self.physical(plan, parameters.to_vec()).await?;
        datafusion::physical_plan::collect(plan, self.state.task_ctx()).await.map_err(diagnose)
    }

    fn diagnose(&self, error: DataFusionError) -> SqlError {
        diagnose(error)
    }

    fn within(&self, routine: &crate::history::RoutineDef) -> Result<super::routines::Within> {
        super::routines::Within::new(self, routine)
    }
}

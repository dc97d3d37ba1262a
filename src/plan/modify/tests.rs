//! The rules of writing, over the memory store and with plain DataFusion as the planner of the SELECTs.

mod cases;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::{ITEM_KEY, Modify, Queries, Run, plan_delete, plan_insert, plan_update};
use crate::error::{Result, SqlError};
use crate::history::{Database, TableDef};
use crate::plan::rows::RowLayout;
use crate::plan::{Execution, Notices, SettingsAccess, StatementContext};
use crate::runtime::{Cancel, ManualClock};
use crate::store::ScanRequest;
use crate::store::memory::MemoryIndex;
use crate::store::payload::InlinePayloads;
use crate::types::{PgType, Zone, write_value};
use crate::versions::{Context, KeyFilter, Scope};

/// Plans with DataFusion alone, over tables that hold what the transaction sees.
#[derive(Debug)]
struct PlainQueries {
    state: SessionState,
}

#[async_trait]
impl Queries for PlainQueries {
    fn within(&self, _: &crate::history::RoutineDef) -> Result<crate::plan::routines::Within> {
        Err(SqlError::internal("no routine runs here"))
    }

    fn state(&self) -> &SessionState {
        &self.state
    }

    async fn plan(&self, query: ast::Query, _: &[Option<PgType>]) -> Result<LogicalPlan> {
        let statement = DfStatement::Statement(Box::new(ast::Statement::Query(Box::new(query))));
        self.state.statement_to_plan(statement).await.map_err(|e| self.diagnose(e))
    }

    fn expression(&self, expression: ast::Expr, schema: &DFSchema, _: &[Option<PgType>]) -> Result<Expr> {
        let expression = ast::ExprWithAlias { expr: expression, alias: None };
        self.state.create_logical_expr_from_sql_expr(expression, schema).map_err(|e| self.diagnose(e))
    }

    async fn collect(&self, plan: &LogicalPlan, parameters: &[ScalarValue]) -> Result<Vec<RecordBatch>> {
        let values = ParamValues::from(parameters.to_vec());
        let plan = plan.clone().replace_params_with_values(&values).map_err(|e| self.diagnose(e))?;
        let plan = self.state.create_physical_plan(&plan).await.map_err(|e| self.diagnose(e))?;
        datafusion::physical_plan::collect(plan, self.state.task_ctx()).await.map_err(|e| self.diagnose(e))
    }

    fn diagnose(&self, error: DataFusionError) -> SqlError {
        SqlError::internal(error.to_string())
    }
}

#[derive(Debug)]
struct NoSettings;

impl SettingsAccess for NoSettings {
    fn get(&self, _: &str) -> Option<String> {
        None
    }

    fn set(&self, _: &str, _: &str, _: bool) -> Result<()> {
        Ok(())
    }
}

/// A database with one client, who commits every statement unless told otherwise.
pub struct Client {
    pub ctx: StatementContext,
    pub autocommit: bool,
    /// Whether the last statement ran without a planner.
    pub compiled: bool,
}

/// What a statement did: rows written, and RETURNING's rows as text.
#[derive(Debug, PartialEq)]
pub struct Done(pub u64, pub Vec<String>);

impl Client {
    pub async fn with_tables(tables: Vec<TableDef>) -> Self {
        let clock = Arc::new(ManualClock::at(1_790_000_000_000_000));
        let index = Arc::new(MemoryIndex::new(clock.clone()));
        let database = Database::open("d", index, Arc::new(InlinePayloads), clock).await.unwrap();
        let mut transaction = database.begin(Context::default());
        let mut catalog = (*transaction.catalog).clone();
        for table in tables {
            catalog.create_table(table).unwrap();
        }
        transaction.apply_catalog(catalog).unwrap();
        database.commit(transaction).await.unwrap();
        let ctx = cases::context(database);
        Self { ctx, autocommit: true, compiled: false }
    }

    pub async fn begin(&mut self) {
        self.ctx.transaction = Arc::new(Mutex::new(self.ctx.database.begin(Context::default())));
    }

    pub async fn commit(&mut self) -> Result<()> {
        let transaction = self.ctx.transaction.lock().clone();
        self.ctx.database.commit(transaction).await?;
        self.begin().await;
        Ok(())
    }

    pub async fn run(&mut self, sql: &str, parameters: &[ScalarValue]) -> Result<Done> {
        if self.autocommit {
            self.begin().await;
        }
        let queries = self.queries().await;
        let modify = self.plan(&queries, sql).await?;
        self.compiled = modify.is_compiled();
        let types = modify.parameters().iter();
        let parameters: Vec<_> = parameters.iter().zip(types).map(|(v, ty)| v.cast_to(&ty.arrow()).unwrap()).collect();
        let parameters = &parameters;
        let run = match self.compiled {
            true => Run::compiled(&self.ctx, parameters, |e| SqlError::internal(e.to_string())),
            false => Run::planned(&self.ctx, &queries, parameters),
        };
        let done = match modify.execute(run).await? {
            Execution::Modified { count, returning: None } => Done(count, Vec::new()),
            Execution::Modified { count, returning: Some(rows) } => {
                let types: Vec<PgType> = rows.columns.iter().map(|c| c.ty).collect();
                let batches: Vec<RecordBatch> = rows.batches.try_collect().await.unwrap();
                Done(count, batches.iter().flat_map(|b| shown(b.columns(), &types)).collect())
            }
            Execution::Rows(_) => unreachable!("a write gives no plain rows"),
        };
        if self.autocommit {
            self.commit().await?;
        }
        Ok(done)
    }

    pub async fn plan(&self, queries: &dyn Queries, sql: &str) -> Result<Modify> {
        let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
        match statement {
            ast::Statement::Insert(insert) => plan_insert(&self.ctx, queries, &insert, &[]).await,
            ast::Statement::Update(update) => plan_update(&self.ctx, queries, &update, &[]).await,
            ast::Statement::Delete(delete) => plan_delete(&self.ctx, queries, &delete, &[]).await,
            other => panic!("not a write: {other}"),
        }
    }

    /// The table's rows as text, ordered by key.
    pub async fn rows(&mut self, table: &str) -> Vec<String> {
        if self.autocommit {
            self.begin().await;
        }
        let catalog = self.ctx.transaction.lock().catalog.clone();
        let table = catalog.tables.values().find(|t| t.name.name == table).cloned().unwrap();
        let types: Vec<PgType> = table.live_columns().map(|c| c.ty).collect();
        shown(&self.read(table).await.columns()[..types.len()], &types)
    }

    async fn queries(&self) -> PlainQueries {
        let mut config = SessionConfig::new().with_target_partitions(1);
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        config.options_mut().catalog.default_schema = "public".into();
        let session = SessionContext::new_with_config(config);
        let catalog = self.ctx.transaction.lock().catalog.clone();
        for table in catalog.tables.values() {
            let batch = self.read(table.clone()).await;
            let provider = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
            session.register_table(table.name.name.as_str(), Arc::new(provider)).unwrap();
        }
        PlainQueries { state: session.state() }
    }

    /// All that the transaction sees of a table, with `_version` and the key.
    async fn read(&self, table: Arc<TableDef>) -> RecordBatch {
        let (snapshot, overlay) = {
            let transaction = self.ctx.transaction.lock();
            (transaction.snapshot, transaction.overlay(table.id).unwrap_or_default())
        };
        let request = ScanRequest {
            table: table.id,
            snapshot,
            scope: Scope::Current,
            keys: KeyFilter::All,
            candidates: None,
            payloads: true,
            limit: None,
        };
        let stored: Vec<_> = self.ctx.database.scan(request).try_collect::<Vec<_>>().await.unwrap().concat();
        let mut rows: Vec<_> = stored
            .into_iter()
            .filter(|row| !overlay.truncated && !overlay.rows.contains_key(&row.key))
            .map(|row| (row.key, row.version.number.0 as i64, row.payload))
            .collect();
        rows.extend(overlay.rows.iter().filter_map(|(key, row)| Some((key.clone(), 0, row.state.as_ref()?.0.clone()))));
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        let layout = RowLayout::new(table, |_| Ok(None)).unwrap();
        let mut columns = layout.decode(rows.iter().map(|r| r.2.as_ref())).unwrap();
        columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1))));
        columns.push(Arc::new(BinaryArray::from_iter_values(rows.iter().map(|r| r.0.as_bytes()))));
        let mut fields: Vec<Arc<Field>> = layout.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("_version", DataType::Int64, false)));
        fields.push(Arc::new(Field::new(ITEM_KEY, DataType::Binary, false)));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }
}

fn shown(columns: &[ArrayRef], types: &[PgType]) -> Vec<String> {
    let rows = columns.first().map_or(0, |c| c.len());
    (0..rows)
        .map(|row| {
            let mut line = Vec::new();
            for (array, ty) in columns.iter().zip(types) {
                let mut value = String::new();
                if !write_value(&mut value, *ty, array, row, Zone::UTC).unwrap() {
                    value.push('~');
                }
                line.push(value);
            }
            line.join("|")
        })
        .collect()
}

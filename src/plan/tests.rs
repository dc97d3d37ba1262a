//! Statements from their text to rows, over the memory store.

mod functions;
mod output;
mod past;
mod point;
mod present;
mod relations;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::{
    DefaultScope, Engine, EngineConfig, Execution, Notices, RowStream, SchemaAt, SettingsAccess, StatementContext, diagnose,
};
use crate::error::Result;
use crate::history::{ColumnDef, ColumnId, Database, IndexDef, TableDef, ViewDef};
use crate::runtime::{Cancel, ManualClock};
use crate::store::memory::MemoryIndex;
use crate::store::payload::InlinePayloads;
use crate::types::{PgType, Qualified, TypeName, Zone, write_value};
use crate::versions::{Context, IndexId, TableId, Timestamp};

const DAY: i64 = 86_400_000_000;
/// 2025-01-01T00:00:00Z; every [`World::day`] is counted from it.
const START: i64 = 1_735_689_600_000_000;

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

/// A database with one client who commits every statement, and a clock that is moved by hand.
struct World {
    engine: Arc<Engine>,
    clock: Arc<ManualClock>,
    ctx: StatementContext,
    autocommit: bool,
}

fn column(id: u16, name: &str, ty: PgType) -> ColumnDef {
    ColumnDef::plain(ColumnId(id), name, ty)
}

fn price() -> PgType {
    PgType::new(TypeName::Numeric).with_modifier(((10 << 16) | 2) + 4)
}

/// `orders(id int4 primary key, state text, amount numeric(10,2), data jsonb)` with an index on state.
fn orders(id: u32) -> TableDef {
    TableDef {
        id: TableId(id),
        name: Qualified::new("public", "orders"),
        owner: "chronogate".into(),
        columns: vec![
            column(1, "id", PgType::INT4),
            column(2, "state", PgType::TEXT),
            column(3, "amount", price()),
            column(4, "data", PgType::JSONB),
        ],
        primary_key: Some(("orders_pkey".into(), vec![ColumnId(1)])),
        row_counter: 1,
        uniques: vec![],
        indexes: vec![IndexDef {
            id: IndexId(id + 1),
            name: "orders_state".into(),
            columns: vec![ColumnId(2)],
            shape: Default::default(),
        }],
        checks: vec![],
        foreign_keys: vec![],
        triggers: vec![],
        computed_indexes: vec![],
        comments: Default::default(),
        on_commit: Default::default(),
        materialized: None,
        collection: None,
        grants: BTreeMap::new(),
    }
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let index = Arc::new(MemoryIndex::new(clock.clone()));
        let database = Database::open("d", index, Arc::new(InlinePayloads), clock.clone()).await.unwrap();
        let spill_directory = std::env::temp_dir().join("chronogate-plan-tests");
        let engine = Engine::new(EngineConfig { memory_limit: 64 << 20, partitions: 2, spill_directory }).unwrap();
        let ctx = StatementContext {
            transaction: Arc::new(Mutex::new(database.begin(Context::default()))),
            database,
            session_user: "chronogate".into(),
            current_user: "chronogate".into(),
            superuser: true,
            authorities: Arc::new(crate::history::Authority { superuser: true, ..Default::default() }),
            server: Arc::new(()),
            catalogues: Default::default(),
            search_path: vec!["public".into()],
            time_zone: "UTC".into(),
            default_scope: None,
            schema_at: SchemaAt::Union,
            read_only: false,
            commits_alone: false,
            transaction_time: Timestamp::from_micros(START),
            statement_time: Timestamp::from_micros(START),
            settings: Arc::new(NoSettings),
            notices: Notices::default(),
            sequences: Default::default(),
            messages: Default::default(),
            advisory: std::sync::Arc::new(crate::plan::context::Unlocked),
            objects: Default::default(),
            held: Default::default(),
            cancel: Cancel::new(),
            backend_pid: 1,
            seen: None,
            returned: Default::default(),
            depth: 0,
            calls: Default::default(),
        };
        Self { engine, clock, ctx, autocommit: true }
    }

    /// With orders, and on days 1, 2 and 3 one change each:
    /// 1 is created (`new`), 1 becomes `paid` and 2 is created, 1 is deleted.
    async fn with_orders() -> Self {
        let mut world = Self::new().await;
        world.create(orders(20_000)).await;
        world.day(1);
        world.run("INSERT INTO orders VALUES (1, 'new', 10.50, '{\"b\": 1, \"a\": 2}')").await;
        world.day(2);
        world.autocommit = false;
        world.begin();
        world.run("UPDATE orders SET state = 'paid' WHERE id = 1").await;
        world.run("INSERT INTO orders (id, state) VALUES (2, 'new')").await;
        world.commit().await;
        world.autocommit = true;
        world.day(3);
        world.run("DELETE FROM orders WHERE id = 1").await;
        world
    }

    async fn create(&mut self, table: TableDef) {
        self.change(|catalog| catalog.create_table(table).unwrap()).await;
    }

    async fn change(&mut self, change: impl FnOnce(&mut crate::history::Catalog)) {
        self.begin();
        let mut catalog = (*self.ctx.transaction.lock().catalog).clone();
        change(&mut catalog);
        self.ctx.transaction.lock().apply_catalog(catalog).unwrap();
        self.commit().await;
    }

    async fn create_view(&mut self, name: &str, owner: &str, query: &str, columns: &[(&str, PgType)]) {
        let view = ViewDef {
            check_option: None,
            id: 30_000,
            name: Qualified::new("public", name),
            owner: owner.into(),
            query: query.into(),
            bound: false,
            columns: columns.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect(),
            comment: None,
            column_comments: BTreeMap::new(),
            grants: BTreeMap::new(),
        };
        self.change(|catalog| catalog.create_view(view).unwrap()).await;
    }

    /// Noon of a day from the start.
    fn day(&self, day: i64) {
        self.clock.set(START + day * DAY);
    }

    fn begin(&mut self) {
        self.ctx.transaction = Arc::new(Mutex::new(self.ctx.database.begin(Context::default())));
        self.ctx.statement_time = self.ctx.database.now();
        self.ctx.transaction_time = self.ctx.statement_time;
    }

    async fn commit(&mut self) {
        let transaction = self.ctx.transaction.lock().clone();
        self.ctx.database.commit(transaction).await.unwrap();
        self.begin();
    }

    /// Runs a statement; `t` for true, an empty text for NULL, columns apart by `|`.
    async fn run(&mut self, sql: &str) -> Vec<String> {
        self.try_run(sql, vec![]).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    async fn fails(&mut self, sql: &str) -> (String, String) {
        match self.try_run(sql, vec![]).await {
            Ok(rows) => panic!("{sql} gave {rows:?}"),
            Err(error) => (error.code().to_string(), error.message().to_owned()),
        }
    }

    async fn try_run(&mut self, sql: &str, parameters: Vec<ScalarValue>) -> Result<Vec<String>> {
        if self.autocommit {
            self.begin();
        }
        let parsed = crate::sql::parse(sql)?.remove(0);
        let prepared = self.engine.prepare(&self.ctx, &parsed.statement, &[]).await?;
        let rows = match self.engine.execute(&self.ctx, &prepared, parameters).await? {
            Execution::Rows(rows) => text_of(rows).await?,
            Execution::Modified { returning: Some(rows), .. } => text_of(rows).await?,
            Execution::Modified { count, returning: None } => vec![count.to_string()],
        };
        if self.autocommit {
            self.commit().await;
        }
        Ok(rows)
    }

    async fn check(&mut self, sql: &str, expected: &[&str]) {
        assert_eq!(self.run(sql).await, expected, "{sql}");
    }

    fn as_of_day(&mut self, day: i64) {
        self.ctx.default_scope = Some(DefaultScope::AsOf(Timestamp::from_micros(START + day * DAY)));
    }
}

async fn text_of(rows: RowStream) -> Result<Vec<String>> {
    let types: Vec<PgType> = rows.columns.iter().map(|c| c.ty).collect();
    let batches: Vec<RecordBatch> = rows.batches.try_collect().await.map_err(diagnose)?;
    let mut lines = Vec::new();
    for batch in batches {
        for (column, ty) in batch.columns().iter().zip(&types) {
            // A numeric without precision may have any scale.
            let any_scale = ty.name == TypeName::Numeric && ty.modifier == -1;
            assert!(any_scale || column.data_type() == &ty.arrow(), "{}", ty.sql_name());
        }
        for row in 0..batch.num_rows() {
            let mut cells = Vec::new();
            for (column, ty) in batch.columns().iter().zip(&types) {
                let mut cell = String::new();
                write_value(&mut cell, *ty, column, row, Zone::UTC)?;
                cells.push(cell);
            }
            lines.push(cells.join("|"));
        }
    }
    Ok(lines)
}

//! SELECT … FOR UPDATE and its kin, and advisory locks: what a session has locked, and for how long.
//!
//! The rows of a locking SELECT are read, locked, and then looked at again: where one has changed meanwhile, they are
//! read again on a newer snapshot if the transaction may take one (see `writing`); else it gets 40001.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::dispatch::cancellable;
use super::locks::{LockKey, Owner, Strength, Wait};
use super::savepoints::only_in_blocks;
use super::transaction::Block;
use super::{Reply, Session};
use crate::error::{Result, SqlError, SqlState};
use crate::history::TableDef;
use crate::plan::modify::{ITEM_KEY, allow, find_relation};
use crate::plan::{AdvisoryKey, AdvisoryLocks, Execution, StatementContext, diagnose};
use crate::sql::{LockTable, LockedTable, Statement, TableLock, locked_tables};
use crate::types::PgType;
use crate::versions::{ItemKey, Scope, VersionNo};

/// Locks of the transaction, given back when it is dropped; the newest last.
#[derive(Debug, Default)]
pub(super) struct TransactionLocks {
    taken: Vec<(LockKey, Strength)>,
    owner: Option<Arc<Owner>>,
}

impl TransactionLocks {
    pub fn push(&mut self, owner: &Arc<Owner>, key: LockKey, strength: Strength) {
        self.owner.get_or_insert_with(|| Arc::clone(owner));
        self.taken.push((key, strength));
    }

    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Gives back what was taken beyond the first `len`.
    pub fn truncate(&mut self, len: usize) {
        let later = self.taken.split_off(len.min(self.taken.len()));
        for (key, strength) in later.into_iter().rev() {
            if let Some(owner) = &self.owner {
                owner.give_back(&key, strength);
            }
        }
    }
}

impl Drop for TransactionLocks {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

/// One row of a locking SELECT: where it is among the batches, and what must be locked for it.
struct Row {
    batch: usize,
    at: usize,
    items: Vec<(usize, ItemKey, VersionNo)>,
}

/// How one table's rows are locked.
struct Target {
    table: Arc<TableDef>,
    strength: Strength,
    wait: Wait,
    skip: bool,
    name: String,
}

impl Session {
    /// Answers a SELECT with locking clauses; `types` and `values` are its parameters.
    pub(super) async fn select_locking(
        &mut self,
        query: &ast::Query,
        types: &[PgType],
        values: &[ScalarValue],
        formats: &[i16],
    ) -> Result<Reply> {
        let locked = locked_tables(query)?;
        loop {
            let before = self.before();
            let ctx = self.context().await?;
            let targets = self.targets(&ctx, &locked)?;
            let statement = Statement::Query(Box::new(with_keys(query, &locked)));
            let declared: Vec<Option<PgType>> = types.iter().copied().map(Some).collect();
            let engine = Arc::clone(&self.shared.engine);
            let prepared = cancellable(&ctx, engine.prepare(&ctx, &statement, &declared)).await?;
            let Execution::Rows(rows) = cancellable(&ctx, engine.execute(&ctx, &prepared, values.to_vec())).await? else {
                return Err(SqlError::internal("a query gave no rows"));
            };
            let width = rows.columns.len().saturating_sub(2 * locked.len());
            let schema = rows.batches.schema();
            let memory = engine.hold("locked rows");
            let mut batches: Vec<RecordBatch> = Vec::new();
            let mut stream = rows.batches;
            while let Some(batch) = cancellable(&ctx, async { stream.try_next().await.map_err(diagnose) }).await? {
                memory.grow(batch.get_array_memory_size())?;
                batches.push(batch);
            }
            let found = rows_of(&batches, width, targets.len())?;
            let Some(kept) = self.lock_rows(&ctx, &targets, &found).await? else {
                match self.renew(before).await? {
                    true => continue,
                    false => return Err(super::writing::lost_race()),
                }
            };
            self.current().lock().release(before.place());
            let positions: Vec<usize> = (0..width).collect();
            let shown = schema.project(&positions).map(Arc::new).map_err(|e| diagnose(e.into()))?;
            let mut answer = Vec::with_capacity(batches.len());
            for (n, batch) in batches.iter().enumerate() {
                let wanted: BooleanArray = (0..batch.num_rows()).map(|at| Some(kept.contains(&(n, at)))).collect();
                let batch = batch.project(&positions).and_then(|batch| filter_record_batch(&batch, &wanted));
                answer.push(Ok(batch.map_err(|e| diagnose(e.into()))?));
            }
            let columns: Arc<[_]> = rows.columns.iter().take(width).cloned().collect();
            let held = futures::stream::iter(answer).inspect_ok(move |_| drop(memory.clone()));
            return Ok(Reply::Rows {
                formats: super::prepared::each_format(formats, width),
                columns,
                batches: Box::pin(RecordBatchStreamAdapter::new(shown, held)),
                tag: "SELECT".to_owned(),
                count_rows: true,
                cancel: ctx.cancel.clone(),
                time_zone: ctx.time_zone.clone(),
            });
        }
    }

    fn targets(&self, ctx: &StatementContext, locked: &[LockedTable]) -> Result<Vec<Target>> {
        let limit = self.settings.effective().lock_timeout;
        let target = |lock: &LockedTable| {
            let table = find_relation(ctx, lock.schema.as_deref(), &lock.name, "lock rows in")?;
            allow(ctx, &table, "UPDATE")?;
            Ok(Target {
                strength: if lock.shared { Strength::Shared } else { Strength::Exclusive },
                wait: if lock.no_wait || lock.skip_locked { Wait::Not } else { Wait::Up(limit) },
                skip: lock.skip_locked,
                name: table.name.name.clone(),
                table,
            })
        };
        locked.iter().map(target).collect()
    }

    /// Locks what the rows came from: which rows may be given, or `None` when they must be read again.
    async fn lock_rows(
        &mut self,
        ctx: &StatementContext,
        targets: &[Target],
        rows: &[Row],
    ) -> Result<Option<HashSet<(usize, usize)>>> {
        let mut kept = HashSet::with_capacity(rows.len());
        let mut locked: Vec<Vec<(ItemKey, VersionNo)>> = targets.iter().map(|_| Vec::new()).collect();
        for row in rows {
            let before = self.transaction.locks.len();
            let mut all = true;
            for (n, key, _) in &row.items {
                let Some(target) = targets.get(*n) else { continue };
                if !self.lock_row(target, key, &ctx.cancel).await? {
                    all = false;
                    break;
                }
            }
            if !all {
                self.transaction.locks.truncate(before);
                continue;
            }
            kept.insert((row.batch, row.at));
            for (n, key, version) in &row.items {
                if let Some(of_table) = locked.get_mut(*n) {
                    of_table.push((key.clone(), *version));
                }
            }
        }
        self.locks.settled().await;
        for (target, items) in targets.iter().zip(&locked) {
            if !self.are_unchanged(ctx, &target.table, items).await? {
                return Ok(None);
            }
        }
        Ok(Some(kept))
    }

    /// `false` for a row that is to be skipped.
    async fn lock_row(&mut self, target: &Target, key: &ItemKey, cancel: &crate::runtime::Cancel) -> Result<bool> {
        let key = LockKey::Row(target.table.id, key.clone());
        if self.locks.holds(&key, target.strength) {
            return Ok(true);
        }
        let owner = Arc::clone(&self.locks);
        if owner.take(&key, target.strength, target.wait, cancel).await? {
            self.transaction.locks.push(&owner, key, target.strength);
            return Ok(true);
        }
        if target.skip {
            return Ok(false);
        }
        let message = format!("could not obtain lock on row in relation \"{}\"", target.name);
        Err(SqlError::new(SqlState::LOCK_NOT_AVAILABLE, message))
    }

    /// Whether the newest states of these items are those that were read.
    async fn are_unchanged(&self, ctx: &StatementContext, table: &TableDef, items: &[(ItemKey, VersionNo)]) -> Result<bool> {
        let own = ctx.transaction.lock().overlay(table.id);
        let written = |key: &ItemKey| own.as_ref().is_some_and(|own| own.truncated || own.rows.contains_key(key));
        let items: Vec<&(ItemKey, VersionNo)> = items.iter().filter(|(key, _)| !written(key)).collect();
        if items.is_empty() {
            return Ok(true);
        }
        let keys: Vec<ItemKey> = items.iter().map(|(key, _)| key.clone()).collect();
        let now = self.database.get(table.id, &keys, Scope::Current, self.database.snapshot()).await?;
        Ok(items.iter().zip(now).all(|((_, seen), now)| now.is_some_and(|now| now.version.number == *seen)))
    }
}

impl Session {
    /// LOCK TABLE, until the transaction ends. Commits that change the table wait as long; reads never do.
    pub(super) async fn lock_tables(&mut self, lock: &LockTable) -> Result<Reply> {
        if self.transaction.block != Block::Explicit {
            return Err(only_in_blocks("LOCK TABLE"));
        }
        // Nothing has been read or written yet: the snapshot is to be one of after the lock.
        let fresh = self.transaction.current.is_none();
        let ctx = self.context().await?;
        let wait = if lock.no_wait { Wait::Not } else { Wait::Up(self.settings.effective().lock_timeout) };
        let wanted: &[&str] = match lock.mode {
            TableLock::AccessShare => &["SELECT", "UPDATE", "DELETE", "TRUNCATE"],
            _ => &["UPDATE", "DELETE", "TRUNCATE"],
        };
        for name in &lock.tables {
            let table = find_relation(&ctx, name.schema.as_deref(), &name.name, "lock")?;
            let allowed = wanted.iter().map(|privilege| allow(&ctx, &table, privilege));
            allowed.reduce(|one, other| one.or(other)).unwrap_or(Ok(()))?;
            let (key, strength) = (LockKey::Table(table.id), Strength::Table(lock.mode));
            let owner = Arc::clone(&self.locks);
            if !owner.take(&key, strength, wait, &ctx.cancel).await? {
                let message = format!("could not obtain lock on relation \"{}\"", table.name.name);
                return Err(SqlError::new(SqlState::LOCK_NOT_AVAILABLE, message));
            }
            self.transaction.locks.push(&owner, key, strength);
        }
        self.locks.settled().await;
        if fresh {
            self.transaction.current = None;
            self.settings.snapshot_is(0);
        }
        Ok(Reply::Command("LOCK TABLE".to_owned()))
    }
}

/// The query without its locks, and with the key and version of every row that is to be locked behind its columns.
fn with_keys(query: &ast::Query, locked: &[LockedTable]) -> ast::Query {
    let mut query = query.clone();
    query.locks.clear();
    let quoted = |name: &str| ast::Ident::with_quote('"', name);
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        for (n, table) in locked.iter().enumerate() {
            for (column, alias) in [(ITEM_KEY, format!("__key_{n}")), ("_version", format!("__version_{n}"))] {
                let expr = ast::Expr::CompoundIdentifier(vec![quoted(&table.alias), quoted(column)]);
                select.projection.push(ast::SelectItem::ExprWithAlias { expr, alias: quoted(&alias) });
            }
        }
    }
    query
}

fn rows_of(batches: &[RecordBatch], width: usize, tables: usize) -> Result<Vec<Row>> {
    let broken = || SqlError::internal("a locking SELECT gave no keys of its rows");
    let mut rows = Vec::new();
    for (n, batch) in batches.iter().enumerate() {
        let mut columns = Vec::with_capacity(tables);
        for table in 0..tables {
            let at = width + 2 * table;
            let keys = batch.columns().get(at).and_then(|c| c.as_binary_opt::<i32>()).ok_or_else(broken)?;
            let versions = batch.columns().get(at + 1).and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(broken)?;
            columns.push((keys, versions));
        }
        for at in 0..batch.num_rows() {
            let mut items = Vec::with_capacity(tables);
            for (table, (keys, versions)) in columns.iter().enumerate() {
                if keys.is_valid(at) {
                    items.push((table, ItemKey::from_bytes(keys.value(at)), VersionNo(versions.value(at).cast_unsigned())));
                }
            }
            rows.push(Row { batch: n, at, items });
        }
    }
    Ok(rows)
}

/// The advisory locks of one session, as functions reach them.
#[derive(Debug)]
pub(super) struct Advisory {
    owner: Arc<Owner>,
    state: Mutex<AdvisoryState>,
}

#[derive(Debug, Default)]
struct AdvisoryState {
    /// Held until they are unlocked or the session ends.
    session: Vec<(AdvisoryKey, Strength)>,
    /// Taken by the statement that runs, to be given back if it has to run again; `true` for the transaction's.
    run: Vec<(AdvisoryKey, Strength, bool)>,
    /// What the statement could not go on without.
    wanted: Option<(AdvisoryKey, Strength)>,
}

fn strength(shared: bool) -> Strength {
    if shared { Strength::Shared } else { Strength::Exclusive }
}

impl Advisory {
    pub fn new(owner: Arc<Owner>) -> Self {
        Self { owner, state: Mutex::default() }
    }

    pub fn give_back_all(&self) {
        for (key, strength) in std::mem::take(&mut self.state.lock().session) {
            self.owner.give_back(&LockKey::Advisory(key), strength);
        }
    }
}

impl Drop for Advisory {
    fn drop(&mut self) {
        self.give_back_all();
    }
}

impl AdvisoryLocks for Advisory {
    fn lock(&self, key: AdvisoryKey, shared: bool, transaction: bool, wait: bool) -> Result<bool> {
        let strength = strength(shared);
        if self.owner.try_take(&LockKey::Advisory(key), strength) {
            self.state.lock().run.push((key, strength, transaction));
            return Ok(true);
        }
        if wait {
            self.state.lock().wanted = Some((key, strength));
            return Err(SqlError::new(SqlState::LOCK_NOT_AVAILABLE, "an advisory lock is held by another session"));
        }
        Ok(false)
    }

    fn unlock(&self, key: AdvisoryKey, shared: bool) -> bool {
        let strength = strength(shared);
        let mut state = self.state.lock();
        if let Some(at) = state.run.iter().rposition(|(k, s, transaction)| (*k, *s) == (key, strength) && !transaction) {
            state.run.remove(at);
        } else if let Some(at) = state.session.iter().rposition(|held| *held == (key, strength)) {
            state.session.remove(at);
        } else {
            return false;
        }
        self.owner.give_back(&LockKey::Advisory(key), strength)
    }

    fn unlock_all(&self) {
        self.give_back_all();
    }
}

impl Session {
    /// Whether a statement may take advisory locks, and so has to be run to its end at once.
    pub(super) fn mentions_locks(text: &str) -> bool {
        text.as_bytes().windows(11).any(|w| w.eq_ignore_ascii_case(b"pg_advisory"))
            || text.to_ascii_lowercase().contains("try_advisory")
    }

    /// Keeps what the statement that ran has taken.
    pub(super) fn keep_advisory(&mut self) {
        let run = std::mem::take(&mut self.advisory.state.lock().run);
        for (key, strength, transaction) in run {
            match transaction {
                true => self.transaction.locks.push(&self.locks, LockKey::Advisory(key), strength),
                false => self.advisory.state.lock().session.push((key, strength)),
            }
        }
    }

    /// After a statement failed: waits for the lock it failed for; whether it is to run again.
    pub(super) async fn wait_for_advisory(&mut self) -> Result<bool> {
        let (run, wanted) = {
            let mut state = self.advisory.state.lock();
            (std::mem::take(&mut state.run), state.wanted.take())
        };
        for (key, strength, _) in run.iter().rev() {
            self.locks.give_back(&LockKey::Advisory(*key), *strength);
        }
        let Some((key, strength)) = wanted else { return Ok(false) };
        let key = LockKey::Advisory(key);
        let wait = Wait::Up(self.settings.effective().lock_timeout);
        self.locks.take(&key, strength, wait, &self.cancel).await?;
        self.locks.give_back(&key, strength);
        Ok(true)
    }
}

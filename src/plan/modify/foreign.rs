//! Foreign keys: once a statement has written its rows, what they refer to must be there, and whatever refers to
//! what they took away is refused, or changed along with it in the same transaction.
//!
//! Looks at the newest commit and this transaction's own writes. What others do until the commit is for the store
//! to check: see `history::references`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, UInt32Array, new_null_array};
use datafusion::arrow::compute::take;
use futures::TryStreamExt;

use super::assign::assign;
use super::conflict::old_of;
use super::existing::{Existing, Old};
use super::fire::{self, Firing};
use super::target::Target;
use super::write::{Edit, write_edits};
use super::{Queries, Run};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, ForeignKeyDef, ReferentialAction, TableDef, Timing, print_reference};
use crate::plan::StatementContext;
use crate::plan::routines::{Event, Triggers};
use crate::store::{IndexCandidates, ScanRequest};
use crate::versions::{IndexId, ItemKey, KeyFilter, Scope, TableId};

/// The tables that a change of one table's keys may reach, ready to be written to.
#[derive(Debug)]
pub struct Family {
    members: BTreeMap<TableId, Target>,
    pub compiled: bool,
}

impl Family {
    pub fn of(ctx: &StatementContext, queries: &dyn Queries, table: TableId) -> Result<Self> {
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        let mut family = Self { members: BTreeMap::new(), compiled: true };
        let mut reached = BTreeSet::from([table]);
        let mut waiting = vec![table];
        while let Some(id) = waiting.pop() {
            for (child, key) in catalog.references_to(id) {
                if !family.members.contains_key(&child.id) {
                    let mut target = Target::new(ctx, queries, Arc::clone(child))?;
                    family.compiled &= target.compile(queries)?;
                    family.members.insert(child.id, target);
                }
                if (changes_rows(key.on_delete) || changes_rows(key.on_update)) && reached.insert(child.id) {
                    waiting.push(child.id);
                }
            }
        }
        Ok(family)
    }
}

fn changes_rows(action: ReferentialAction) -> bool {
    match action {
        ReferentialAction::NoAction | ReferentialAction::Restrict => false,
        ReferentialAction::Cascade | ReferentialAction::SetNull | ReferentialAction::SetDefault => true,
    }
}

/// What a write did that foreign keys are about.
#[derive(Debug)]
pub struct Touched {
    table: TableId,
    /// Keys that rows refer to now and did not before, by foreign key.
    claims: BTreeMap<IndexId, BTreeSet<ItemKey>>,
    releases: Vec<Release>,
}

/// A key that a row had and has no more.
#[derive(Debug)]
struct Release {
    /// The unique index; `None` for the primary key.
    index: Option<IndexId>,
    key: ItemKey,
    /// The row's new state; `None` when it was deleted.
    replaced: Option<Bytes>,
}

/// One row before and after: its key and entries, and the payload that it has now.
pub struct Before<'a>(pub &'a ItemKey, pub &'a [crate::store::IndexEntry]);
pub struct After<'a>(pub &'a ItemKey, pub &'a [crate::store::IndexEntry], pub &'a Bytes);

impl Touched {
    /// For a table that has foreign keys or is referred to; `None` for others.
    pub fn begin(catalog: &Catalog, table: &TableDef) -> Option<Self> {
        let concerned = !table.foreign_keys.is_empty() || catalog.is_referenced(table.id);
        concerned.then(|| Self { table: table.id, claims: BTreeMap::new(), releases: Vec::new() })
    }

    /// Adds what one row's change means. `targets` are the keys that others refer to.
    pub fn add(
        &mut self,
        table: &TableDef,
        targets: &BTreeSet<Option<IndexId>>,
        old: Option<Before<'_>>,
        new: Option<After<'_>>,
    ) {
        if let Some(After(_, entries, _)) = &new {
            let had = old.as_ref().map_or(&[][..], |old| old.1);
            for key in &table.foreign_keys {
                for entry in entries.iter().filter(|e| e.index == key.id && !had.contains(e)) {
                    self.claims.entry(key.id).or_default().insert(entry.key.clone());
                }
            }
        }
        let Some(Before(key, entries)) = old else { return };
        let replaced = || new.as_ref().map(|new| new.2.clone());
        for target in targets {
            match target {
                None if new.as_ref().is_none_or(|new| new.0 != key) => {
                    self.releases.push(Release { index: None, key: key.clone(), replaced: replaced() });
                }
                None => {}
                Some(index) => {
                    let kept = new.as_ref().map_or(&[][..], |new| new.1);
                    for gone in entries.iter().filter(|e| e.index == *index && e.unique && !kept.contains(e)) {
                        self.releases.push(Release { index: *target, key: gone.key.clone(), replaced: replaced() });
                    }
                }
            }
        }
    }
}

/// The keys of this table that others refer to.
pub fn targets(catalog: &Catalog, table: TableId) -> BTreeSet<Option<IndexId>> {
    catalog.references_to(table).into_iter().map(|(_, key)| key.index).collect()
}

/// Checks what a write to `root` refers to and does what it sets in motion. 23503.
pub async fn settle(run: Run<'_>, root: &Target, first: Touched) -> Result<()> {
    let (catalog, timing) = {
        let transaction = run.ctx.transaction.lock();
        (Arc::clone(&transaction.catalog), transaction.timing.clone())
    };
    let mut queue = VecDeque::from([first]);
    while let Some(touched) = queue.pop_front() {
        run.ctx.cancel.check()?;
        let Some(table) = catalog.table_by_id(touched.table) else { continue };
        for key in table.foreign_keys.iter().filter(|key| !timing.defers(key)) {
            if let Some(claims) = touched.claims.get(&key.id) {
                check_claims(run.ctx, &catalog, table, key, claims).await?;
            }
        }
        if touched.releases.is_empty() {
            continue;
        }
        let settling = Settling { run, root, catalog: &catalog, timing: &timing };
        for (child, key) in catalog.references_to(touched.table) {
            let (updates, deletes): (Vec<&Release>, Vec<&Release>) =
                touched.releases.iter().filter(|r| r.index == key.index).partition(|r| r.replaced.is_some());
            queue.extend(settling.act(table, child, key, key.on_delete, &deletes).await?);
            queue.extend(settling.act(table, child, key, key.on_update, &updates).await?);
        }
    }
    Ok(())
}

struct Settling<'a> {
    run: Run<'a>,
    root: &'a Target,
    catalog: &'a Catalog,
    timing: &'a Timing,
}

impl Settling<'_> {
    async fn act(
        &self,
        parent: &TableDef,
        child: &TableDef,
        key: &ForeignKeyDef,
        action: ReferentialAction,
        releases: &[&Release],
    ) -> Result<Option<Touched>> {
        if releases.is_empty() || (action == ReferentialAction::NoAction && self.timing.defers(key)) {
            return Ok(None);
        }
        let target = self.member(child.id)?.in_zone_of(self.run.ctx)?;
        let gone: BTreeSet<&ItemKey> = releases.iter().map(|release| &release.key).collect();
        if !changes_rows(action) {
            let again = action == ReferentialAction::NoAction;
            refuse_referring(self.run.ctx, self.catalog, parent, &target, key, &gone, again).await?;
            return Ok(None);
        }
        let children = children(self.run.ctx, &target, key, &gone).await?;
        if children.items.is_empty() {
            return Ok(None);
        }
        let count = children.items.len();
        let mut olds = Vec::with_capacity(count);
        for (n, item) in children.items.iter().enumerate() {
            olds.push(Some(old_of(&target, item, &children.values, n)?));
        }
        let deleted = action == ReferentialAction::Cascade && releases.iter().all(|r| r.replaced.is_none());
        let event = if deleted { Event::Delete } else { Event::Update };
        if let Some(triggers) = target.firing(&[event]) {
            let new = match deleted {
                true => None,
                false => Some(self.changed(parent, &target, key, action, releases, &children).await?),
            };
            let olds = olds.into_iter().flatten().collect();
            Box::pin(self.act_firing(&target, &triggers, key, event, (olds, &children.values), new)).await?;
            return Ok(None);
        }
        if deleted {
            let edits = olds.into_iter().map(|old| Edit { old, ..Edit::default() }).collect();
            return write_edits(self.run.ctx, &target, edits, &children.values).await;
        }
        let values = self.changed(parent, &target, key, action, releases, &children).await?;
        target.check(self.run, &values, count)?;
        let edits = olds.into_iter().enumerate().map(|(n, old)| Edit { old, new: Some(n), given: None }).collect();
        write_edits(self.run.ctx, &target, edits, &values).await
    }

    /// Writes the children row by row between their triggers, which see to their own foreign keys.
    async fn act_firing(
        &self,
        target: &Target,
        triggers: &Triggers,
        key: &ForeignKeyDef,
        event: Event,
        (olds, before): (Vec<Old>, &[ArrayRef]),
        new: Option<Vec<ArrayRef>>,
    ) -> Result<()> {
        let within = fire::surroundings(self.run);
        let mut firing = Firing::begin(self.run, target, triggers, &within, vec![event], key.columns.clone()).await?;
        for (at, item) in olds.into_iter().enumerate() {
            let old = fire::slice(before, at);
            let after = match &new {
                None => firing.before_delete(&old, 0).await?.then_some(None),
                Some(new) => firing.before_update(&old, &fire::slice(new, at), 0).await?.map(Some),
            };
            let Some(after) = after else {
                let message = format!("a trigger of \"{}\" kept a row that a foreign key must change", target.table().name.name);
                return Err(SqlError::new(SqlState::FOREIGN_KEY_VIOLATION, message));
            };
            firing.write(Some((item, old)), after, None).await?;
        }
        firing.end().await.map(drop)
    }

    /// The children's columns after the action.
    async fn changed(
        &self,
        parent: &TableDef,
        target: &Target,
        key: &ForeignKeyDef,
        action: ReferentialAction,
        releases: &[&Release],
        children: &Children,
    ) -> Result<Vec<ArrayRef>> {
        let count = children.items.len();
        let mut values = children.values.clone();
        let from_parent = match action {
            ReferentialAction::Cascade => Some(self.new_keys(parent, releases, children)?),
            _ => None,
        };
        let on_delete = releases.iter().all(|r| r.replaced.is_none());
        for (own, other) in key.columns.iter().zip(&key.referenced) {
            if on_delete && !key.set_columns.is_empty() && !key.set_columns.contains(own) {
                continue;
            }
            let Some(position) = target.layout.columns.iter().position(|c| c.id == *own) else { continue };
            let ty = target.column(position)?.ty;
            let new = match &from_parent {
                Some((layout, columns)) => {
                    let at = layout.layout.columns.iter().position(|c| c.id == *other);
                    let column = at.and_then(|at| columns.get(at)).ok_or_else(|| SqlError::internal("a key lost a column"))?;
                    let from = at.map_or(ty, |at| layout.layout.columns[at].ty);
                    assign(column, from, ty, target.zone)?
                }
                None if action == ReferentialAction::SetDefault => target.default_values(self.run, position, count).await?,
                None => new_null_array(&ty.arrow(), count),
            };
            if let Some(place) = values.get_mut(position) {
                *place = new;
            }
        }
        target.generate(self.run, values, count)
    }

    /// The columns of the parent's new state, one row per child.
    fn new_keys(&self, parent: &TableDef, releases: &[&Release], children: &Children) -> Result<(&Target, Vec<ArrayRef>)> {
        let layout = if parent.id == self.root.table().id { self.root } else { self.member(parent.id)? };
        let columns = layout.layout.decode(releases.iter().filter_map(|r| r.replaced.as_deref()))?;
        let row_of = |key: &ItemKey| releases.iter().position(|r| r.key == *key).map(|n| n as u32);
        let rows = UInt32Array::from(children.keys.iter().filter_map(row_of).collect::<Vec<_>>());
        let taken = columns.iter().map(|column| take(column, &rows, None));
        let taken = taken.collect::<std::result::Result<_, _>>();
        Ok((layout, taken.map_err(|e| SqlError::internal(format!("keys cannot be taken over: {e}")))?))
    }

    fn member(&self, table: TableId) -> Result<&Target> {
        let family = self.root.family.as_ref().and_then(|family| family.members.get(&table));
        family.ok_or_else(|| SqlError::internal("a referring table was not planned for"))
    }
}

/// 23503 when one of the keys is not there.
async fn check_claims(
    ctx: &StatementContext,
    catalog: &Catalog,
    table: &TableDef,
    key: &ForeignKeyDef,
    claims: &BTreeSet<ItemKey>,
) -> Result<()> {
    let keys: Vec<ItemKey> = claims.iter().cloned().collect();
    let there = are_there(ctx, key, &keys).await?;
    let Some((missing, _)) = keys.iter().zip(there).find(|(_, there)| !there) else { return Ok(()) };
    let parent = catalog.table_by_id(key.table).ok_or_else(|| SqlError::internal("a referenced table is missing"))?;
    let shown = print_reference(key, table, parent, false, missing);
    let message = format!("insert or update on table \"{}\" violates foreign key constraint \"{}\"", table.name.name, key.name);
    Err(violation(message, table, key).detail(format!("Key {shown} is not present in table \"{}\".", parent.name.name)))
}

/// 23503 when a row refers to one of the keys; with `again`, not to one that is there all the same.
async fn refuse_referring(
    ctx: &StatementContext,
    catalog: &Catalog,
    parent: &TableDef,
    child: &Target,
    key: &ForeignKeyDef,
    gone: &BTreeSet<&ItemKey>,
    again: bool,
) -> Result<()> {
    let children = children(ctx, child, key, gone).await?;
    let mut referred: Vec<ItemKey> = children.keys;
    referred.dedup();
    let there = if again && !referred.is_empty() { are_there(ctx, key, &referred).await? } else { vec![false; referred.len()] };
    let Some((broken, _)) = referred.iter().zip(there).find(|(_, there)| !there) else { return Ok(()) };
    let table = catalog.table_by_id(child.table().id).map_or(child.table(), |def| def.as_ref());
    let shown = print_reference(key, table, parent, true, broken);
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.name.name, key.name, table.name.name
    );
    Err(violation(message, table, key).detail(format!("Key {shown} is still referenced from table \"{}\".", table.name.name)))
}

fn violation(message: String, child: &TableDef, key: &ForeignKeyDef) -> SqlError {
    SqlError::new(SqlState::FOREIGN_KEY_VIOLATION, message)
        .table(child.name.schema.as_str(), child.name.name.as_str())
        .constraint(key.name.as_str())
}

/// Which of the referenced keys live rows have: at the newest commit, under this transaction's own writes.
async fn are_there(ctx: &StatementContext, key: &ForeignKeyDef, keys: &[ItemKey]) -> Result<Vec<bool>> {
    let overlay = ctx.transaction.lock().overlay(key.table);
    let truncated = overlay.as_ref().is_some_and(|o| o.truncated);
    let own = |item: &ItemKey| overlay.as_ref().and_then(|o| o.rows.get(item));
    match key.index {
        None => {
            let asked: Vec<ItemKey> = keys.iter().filter(|k| !truncated && own(k).is_none()).cloned().collect();
            let stored = match asked.is_empty() {
                true => Vec::new(),
                false => ctx.database.get(key.table, &asked, Scope::Current, ctx.database.snapshot()).await?,
            };
            let live: BTreeSet<&ItemKey> =
                asked.iter().zip(&stored).filter(|(_, state)| state.is_some()).map(|(key, _)| key).collect();
            Ok(keys.iter().map(|k| own(k).map_or_else(|| live.contains(k), |row| row.state.is_some())).collect())
        }
        Some(index) => {
            let states = overlay.iter().flat_map(|o| o.rows.values()).filter_map(|row| row.state.as_ref());
            let entries = states.flat_map(|(_, entries)| entries.iter().filter(|e| e.index == index && e.unique));
            let held: BTreeSet<&ItemKey> = entries.map(|e| &e.key).collect();
            let mut there = Vec::with_capacity(keys.len());
            for k in keys {
                let stored = match held.contains(k) || truncated {
                    true => None,
                    false => ctx.database.unique_holder(index, k).await?,
                };
                there.push(held.contains(k) || stored.is_some_and(|item| own(&item).is_none()));
            }
            Ok(there)
        }
    }
}

/// Live rows of a table that refer to some keys, as the transaction sees them.
struct Children {
    items: Vec<Existing>,
    /// The layout's columns.
    values: Vec<ArrayRef>,
    /// What each of them refers to.
    keys: Vec<ItemKey>,
}

async fn children(ctx: &StatementContext, child: &Target, key: &ForeignKeyDef, gone: &BTreeSet<&ItemKey>) -> Result<Children> {
    let table = child.table().id;
    let (snapshot, overlay) = {
        let transaction = ctx.transaction.lock();
        (transaction.snapshot, transaction.overlay(table))
    };
    let (mut items, mut keys) = (Vec::new(), Vec::new());
    for (item, row) in overlay.iter().flat_map(|o| &o.rows) {
        let Some((payload, entries)) = &row.state else { continue };
        if let Some(entry) = entries.iter().find(|e| e.index == key.id && gone.contains(&e.key)) {
            keys.push(entry.key.clone());
            items.push(Existing {
                key: item.clone(),
                version: row.base,
                payload: payload.clone(),
                own_entries: Some(entries.clone()),
            });
        }
    }
    if !overlay.as_ref().is_some_and(|o| o.truncated) {
        ctx.transaction.lock().has_read_table(table);
        let points = KeyFilter::points(gone.iter().map(|key| (*key).clone()).collect());
        let mut scan = ctx.database.scan(ScanRequest {
            table,
            snapshot,
            scope: Scope::Current,
            keys: KeyFilter::All,
            candidates: Some(IndexCandidates { index: key.id, keys: points }.into()),
            payloads: true,
            limit: None,
        });
        while let Some(batch) = scan.try_next().await? {
            ctx.cancel.check()?;
            let values = child.layout.decode(batch.iter().map(|state| state.payload.as_ref()))?;
            for (n, state) in batch.into_iter().enumerate() {
                if overlay.as_ref().is_some_and(|o| o.rows.contains_key(&state.key)) {
                    continue;
                }
                let entries = child.layout.keys.entries(&values, n)?;
                if let Some(entry) = entries.into_iter().find(|e| e.index == key.id && gone.contains(&e.key)) {
                    keys.push(entry.key);
                    let version = Some(state.version.number);
                    items.push(Existing { key: state.key, version, payload: state.payload, own_entries: None });
                }
            }
        }
    }
    let values = child.layout.decode(items.iter().map(|item| item.payload.as_ref()))?;
    Ok(Children { items, values, keys })
}

/// Checks the deferred foreign keys that `which` picks against what the transaction has written so far. 23503.
pub async fn check_deferred(ctx: &StatementContext, queries: &dyn Queries, which: impl Fn(&ForeignKeyDef) -> bool) -> Result<()> {
    let (catalog, writes) = {
        let transaction = ctx.transaction.lock();
        (Arc::clone(&transaction.catalog), transaction.writes.clone())
    };
    for (id, rows) in &writes {
        let Some(table) = catalog.table_by_id(*id) else { continue };
        let Some(mut touched) = Touched::begin(&catalog, table) else { continue };
        let targets = targets(&catalog, *id);
        for (item, row) in &rows.rows {
            let old = row.base.map(|_| Before(item, &row.base_entries));
            touched.add(table, &targets, old, row.state.as_ref().map(|(payload, entries)| After(item, entries, payload)));
        }
        for key in table.foreign_keys.iter().filter(|key| which(key)) {
            if let Some(claims) = touched.claims.get(&key.id) {
                check_claims(ctx, &catalog, table, key, claims).await?;
            }
        }
        for (child, key) in catalog.references_to(*id).into_iter().filter(|(_, key)| which(key)) {
            let waits = |r: &&Release| {
                let action = if r.replaced.is_some() { key.on_update } else { key.on_delete };
                r.index == key.index && action == ReferentialAction::NoAction
            };
            let gone: BTreeSet<&ItemKey> = touched.releases.iter().filter(waits).map(|r| &r.key).collect();
            if !gone.is_empty() {
                let target = Target::new(ctx, queries, Arc::clone(child))?;
                refuse_referring(ctx, &catalog, table, &target, key, &gone, true).await?;
            }
        }
    }
    Ok(())
}

/// What a row replaces, as foreign keys see it.
pub fn before(old: &Old) -> Before<'_> {
    Before(&old.key, &old.entries)
}

//! What a transaction has read of its database: enough to tell whether a newer snapshot would have shown it the same.
//!
//! A superset of what was read, by item where that is known and by table else. Reads of the past count like reads of
//! the table, since a load may bring old states.

use std::collections::{BTreeMap, BTreeSet};

use super::{HistoryError, Transaction};
use crate::versions::{ItemKey, TableId};

/// More than this is not looked at again.
const MOST: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// In the order they were read, with repeats.
    items: Vec<(TableId, ItemKey)>,
    tables: BTreeSet<TableId>,
    /// Something was read that is neither, or more than is kept.
    more: bool,
}

/// A place among the reads of a transaction.
#[derive(Clone, Debug)]
pub struct ReadMark {
    items: usize,
    tables: BTreeSet<TableId>,
    more: bool,
}

impl Transaction {
    /// Remembers from here on what it reads. Nothing may have been read before.
    pub fn watch_reads(&mut self) {
        self.reads = Some(Reads::default());
    }

    pub fn read_mark(&self) -> Option<ReadMark> {
        let reads = self.reads.as_ref()?;
        Some(ReadMark { items: reads.items.len(), tables: reads.tables.clone(), more: reads.more })
    }

    /// Forgets what was read since.
    pub fn forget_reads(&mut self, mark: Option<ReadMark>) {
        if let (Some(reads), Some(mark)) = (&mut self.reads, mark) {
            reads.items.truncate(mark.items);
            (reads.tables, reads.more) = (mark.tables, mark.more);
        }
    }

    pub fn has_read_items<'a>(&mut self, table: TableId, items: impl IntoIterator<Item = &'a ItemKey>) {
        let Some(reads) = &mut self.reads else { return };
        if reads.more || reads.tables.contains(&table) {
            return;
        }
        reads.items.extend(items.into_iter().map(|item| (table, item.clone())));
        reads.more = reads.items.len() > MOST;
    }

    pub fn has_read_table(&mut self, table: TableId) {
        if let Some(reads) = &mut self.reads {
            reads.tables.insert(table);
        }
    }

    /// Something of the database beside tables, such as its commits.
    pub fn has_read_more(&mut self) {
        if let Some(reads) = &mut self.reads {
            reads.more = true;
        }
    }

    /// Whether a newer snapshot may be taken at all, were what was read the same in it.
    pub(super) fn may_be_renewed(&self) -> bool {
        let plain = self.catalog_changes.is_empty() && self.backfill.is_empty();
        let writes = self.writes.iter().filter(|(id, _)| !self.is_temporary(**id));
        let (mut count, mut truncated) = (0, false);
        for (_, writes) in writes {
            truncated |= writes.truncated;
            count += writes.rows.len();
        }
        plain && !truncated && count <= MOST && self.reads.as_ref().is_some_and(|reads| !reads.more)
    }
}

impl super::Database {
    /// The newest snapshot, when it shows the transaction what its own has shown it and has the states that it has
    /// written over: then the transaction is as one that began there.
    pub async fn newer_snapshot(&self, transaction: &Transaction) -> Result<Option<crate::versions::Snapshot>, HistoryError> {
        let newest = self.begin(crate::versions::Context::default());
        let (Some(reads), true) = (&transaction.reads, transaction.may_be_renewed()) else { return Ok(None) };
        if newest.catalog.commit != transaction.catalog_seen {
            return Ok(None);
        }
        let scope = crate::versions::Scope::Current;
        for (table, writes) in transaction.writes.iter().filter(|(id, _)| !transaction.is_temporary(**id)) {
            let (keys, bases): (Vec<ItemKey>, Vec<_>) =
                writes.rows.iter().filter_map(|(key, row)| row.base.map(|base| (key.clone(), Some(base)))).unzip();
            let now = self.get(*table, &keys, scope, newest.snapshot).await?;
            if now.iter().map(|row| row.as_ref().map(|row| row.version.number)).ne(bases) {
                return Ok(None);
            }
        }
        let mut items: BTreeMap<TableId, BTreeSet<&ItemKey>> = BTreeMap::new();
        for (table, item) in reads.items.iter().filter(|(id, _)| !transaction.is_temporary(*id) && !reads.tables.contains(id)) {
            items.entry(*table).or_default().insert(item);
        }
        for (table, items) in items {
            let keys: Vec<ItemKey> = items.into_iter().cloned().collect();
            let then = self.get(table, &keys, scope, transaction.snapshot).await?;
            let now = self.get(table, &keys, scope, newest.snapshot).await?;
            let same = |(a, b): (&Option<super::StateRow>, &Option<super::StateRow>)| {
                a.as_ref().map(|row| row.version.number) == b.as_ref().map(|row| row.version.number)
            };
            if !then.iter().zip(&now).all(same) {
                return Ok(None);
            }
        }
        match self.are_untouched(transaction, &reads.tables, newest.snapshot).await? {
            true => Ok(Some(newest.snapshot)),
            false => Ok(None),
        }
    }

    /// Whether no commit between the transaction's snapshot and this one changed any of the tables.
    async fn are_untouched(
        &self,
        transaction: &Transaction,
        tables: &BTreeSet<TableId>,
        until: crate::versions::Snapshot,
    ) -> Result<bool, HistoryError> {
        use futures::TryStreamExt;
        let named = tables.iter().filter_map(|id| transaction.catalog.table_by_id(*id));
        let names: BTreeSet<String> = named.filter(|def| !def.is_temporary()).map(|def| def.name.to_string()).collect();
        let between = until.commit.0.saturating_sub(transaction.snapshot.commit.0);
        if names.is_empty() || between == 0 {
            return Ok(true);
        }
        if between > MOST as u64 {
            return Ok(false);
        }
        let mut commits = self.commits(transaction.snapshot.commit.next(), until.commit);
        while let Some(batch) = commits.try_next().await? {
            if batch.iter().flat_map(|commit| &commit.tables).any(|table| names.contains(table)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

//! A table under another primary key, or under none: every live row ends under the key it had and begins under its
//! new one, in the commit that changes the definition. What was stays as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;

use super::Change;
use crate::error::{Result, SqlError};
use crate::history::transaction::Base;
use crate::history::{ColumnId, TableDef};
use crate::plan::keys::hidden_key;
use crate::plan::modify::computed_keys;
use crate::plan::payload::value_json;
use crate::plan::rows::RowLayout;
use crate::store::{IndexBackfill, ScanRequest};
use crate::versions::{ItemKey, KeyFilter, Scope};

impl Change {
    /// The rows of `before` become those of `after`, which has another key. Keys must be known not to repeat.
    pub(super) async fn rekey(&self, before: &TableDef, after: &TableDef) -> Result<()> {
        let (old, new) = (self.layout(before).await?, self.layout(after).await?);
        let rows = self.live_rows(&old).await?;
        let mut numbers = 0..0;
        if !new.keys.has_key() && !rows.is_empty() {
            let count = rows.len() as u64;
            let first = self.ctx.database.row_numbers(after, count).await?;
            numbers = first..first + count;
        }
        let mut moved = Vec::with_capacity(rows.len());
        for (_, _, payload) in &rows {
            let values = new.decode([payload.as_ref()])?;
            let key = match new.keys.has_key() {
                true => new.keys.key(&values, 0)?,
                false => hidden_key(numbers.next().ok_or_else(|| SqlError::internal("row numbers ran out"))?),
            };
            moved.push((key, payload.clone(), new.keys.entries(&values, 0)?));
        }
        let mut transaction = self.ctx.transaction.lock();
        for (key, base, _) in rows {
            transaction.delete(before.id, key, base);
        }
        for (key, payload, entries) in moved {
            transaction.write(after.id, key, None, payload, entries);
        }
        // Rows that come meanwhile would come under the old key.
        let seen = transaction.snapshot.commit;
        transaction.backfill.push(IndexBackfill { table: after.id, seen, entries: Vec::new() });
        Ok(())
    }

    async fn live_rows(&self, layout: &RowLayout) -> Result<Vec<(ItemKey, Option<Base>, Bytes)>> {
        let table = layout.table.id;
        let (snapshot, overlay) = {
            let transaction = self.ctx.transaction.lock();
            (transaction.snapshot, transaction.overlay(table))
        };
        let mut rows = Vec::new();
        for (key, row) in overlay.iter().flat_map(|o| &o.rows) {
            if let Some((payload, _)) = &row.state {
                rows.push((key.clone(), None, payload.clone()));
            }
        }
        if overlay.as_ref().is_some_and(|o| o.truncated) {
            return Ok(rows);
        }
        let mut scan = self.ctx.database.scan(ScanRequest {
            table,
            snapshot,
            scope: Scope::Current,
            keys: KeyFilter::All,
            candidates: None,
            payloads: true,
            limit: None,
        });
        while let Some(batch) = scan.try_next().await? {
            self.ctx.cancel.check()?;
            let values = layout.decode(batch.iter().map(|state| state.payload.as_ref()))?;
            for (n, state) in batch.into_iter().enumerate() {
                if overlay.as_ref().is_none_or(|o| !o.rows.contains_key(&state.key)) {
                    let entries = layout.keys.entries(&values, n)?;
                    let base = Base { version: state.version.number, entries };
                    rows.push((state.key, Some(base), state.payload));
                }
            }
        }
        Ok(rows)
    }

    /// How the table's rows are read and keyed.
    pub(super) async fn layout(&self, table: &TableDef) -> Result<RowLayout> {
        let mut missing: BTreeMap<ColumnId, String> = BTreeMap::new();
        for column in table.live_columns() {
            if let Some(text) = &column.missing {
                let value = self.evaluate(text, column.ty).await?;
                let array = value.to_array().map_err(|_| SqlError::internal("a column's missing value has no array"))?;
                missing.insert(column.id, value_json(&array, 0, column.ty)?);
            }
        }
        let mut layout = RowLayout::new(Arc::new(table.clone()), |column| Ok(missing.get(&column.id).cloned()))?;
        if table.computed_indexes.iter().any(|index| index.unique) {
            layout.keys.compute(computed_keys(self.engine.queries(&self.ctx).as_ref(), &layout)?);
        }
        Ok(layout)
    }
}

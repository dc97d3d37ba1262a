//! Items as the transaction sees them: its snapshot, and its own writes over that.

use std::sync::Arc;

use bytes::Bytes;

use super::target::Target;
use crate::error::Result;
use crate::history::transaction::Base;
use crate::history::{PendingRow, TableWrites};
use crate::plan::StatementContext;
use crate::store::IndexEntry;
use crate::versions::{ItemKey, Scope, VersionNo};

/// A live item.
#[derive(Clone, Debug)]
pub struct Existing {
    pub key: ItemKey,
    /// Its state at the snapshot, `None` for an item that this transaction made. Its entries are left out
    /// where the transaction has written the item already and knows them.
    pub version: Option<VersionNo>,
    pub payload: Bytes,
    /// Known for items that this transaction has written.
    pub own_entries: Option<Vec<IndexEntry>>,
}

/// What a statement replaces or ends.
#[derive(Clone, Debug)]
pub struct Old {
    pub key: ItemKey,
    /// For the transaction's first write of the item.
    pub base: Option<Base>,
    /// The index entries of the state that the transaction sees.
    pub entries: Vec<IndexEntry>,
}

impl Old {
    /// Of a row that a scan gave: `version` is what the scan said, `entries` are its own.
    pub fn new(key: ItemKey, version: VersionNo, entries: Vec<IndexEntry>) -> Self {
        Self { key, base: Some(Base { version, entries: entries.clone() }), entries }
    }
}

/// The live state of each item, in order, after what the statement itself has written so far.
pub async fn read_items(ctx: &StatementContext, target: &Target, keys: &[ItemKey]) -> Result<Vec<Option<Existing>>> {
    let overlay = ctx.transaction.lock().overlay(target.table().id);
    read_under(ctx, target, keys, overlay).await
}

/// The live state of each item, in order, as the statement sees it.
pub async fn see_items(ctx: &StatementContext, target: &Target, keys: &[ItemKey]) -> Result<Vec<Option<Existing>>> {
    read_under(ctx, target, keys, ctx.overlay(target.table().id)).await
}

async fn read_under(
    ctx: &StatementContext,
    target: &Target,
    keys: &[ItemKey],
    overlay: Option<Arc<TableWrites>>,
) -> Result<Vec<Option<Existing>>> {
    let id = target.table().id;
    let snapshot = ctx.transaction.lock().snapshot;
    let own = |key: &ItemKey| overlay.as_ref().and_then(|o| o.rows.get(key));
    let truncated = overlay.as_ref().is_some_and(|o| o.truncated);
    if truncated {
        return Ok(keys.iter().map(|key| own(key).and_then(|row| of_pending(key, row))).collect());
    }
    if keys.iter().all(|key| own(key).is_some()) {
        return Ok(keys.iter().map(|key| own(key).and_then(|row| of_pending(key, row))).collect());
    }
    ctx.transaction.lock().has_read_items(id, keys);
    let stored = ctx.database.get(id, keys, Scope::Current, snapshot).await?;
    let items = keys.iter().zip(stored).map(|(key, stored)| match own(key) {
        Some(row) => of_pending(key, row),
        None => stored.map(|state| Existing {
            key: state.key,
            version: Some(state.version.number),
            payload: state.payload,
            own_entries: None,
        }),
    });
    Ok(items.collect())
}

fn of_pending(key: &ItemKey, row: &PendingRow) -> Option<Existing> {
    let (payload, entries) = row.state.as_ref()?;
    Some(Existing { key: key.clone(), version: row.base, payload: payload.clone(), own_entries: Some(entries.clone()) })
}

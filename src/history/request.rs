//! A transaction as the store's commit request, and the store's refusal in terms of definitions.

use std::collections::HashMap;

use bytes::Bytes;

use super::written::document_of;
use super::{HistoryError, PendingRow, TableDef, TableWrites, Transaction, references};
use crate::store::{CommitRequest, HeadCheck, IndexEntry, IndexStore, PayloadRef, PayloadStore, RowChange, StoreError};
use crate::versions::{CommitNo, IndexId, ItemKey, Op, Scope, TableId};

/// Makes the payloads durable and the request whole. Rows of documents are documents in it; where those go is for the index
/// store to say.
pub(super) async fn assemble(
    transaction: &Transaction,
    index: &dyn IndexStore,
    payloads: &dyn PayloadStore,
    catalog_seen: CommitNo,
) -> Result<CommitRequest, HistoryError> {
    let mut rows = Vec::with_capacity(transaction.writes.values().map(|writes| writes.rows.len()).sum());
    let mut bytes = Vec::with_capacity(rows.capacity());
    for (id, writes) in &transaction.writes {
        let documents = table(transaction, *id).filter(|def| def.is_of_documents());
        let old = match documents {
            Some(_) => documents_before(transaction, index, payloads, *id, writes).await?,
            None => HashMap::new(),
        };
        for (key, row) in &writes.rows {
            let Some((mut change, payload)) = change(*id, writes, key, row) else { continue };
            match documents {
                Some(def) => {
                    let old = old.get(key).map(AsRef::as_ref);
                    let document = payload.map(|payload| document_of(def, old, &payload)).transpose()?;
                    change.payload = document.map(PayloadRef::Inline);
                }
                None => bytes.extend(payload),
            }
            rows.push(change);
        }
    }
    let requires = rows.iter().flat_map(|row| references::requirements(transaction, row)).collect();
    if !bytes.is_empty() {
        let mut placed = payloads.put(bytes).await?.into_iter();
        for row in rows.iter_mut().filter(|row| !row.op.ends_item() && row.payload.is_none()) {
            row.payload = placed.next();
        }
    }
    let truncated = transaction.writes.iter().filter(|(_, writes)| writes.truncated);
    Ok(CommitRequest {
        context: transaction.context.clone(),
        tables: changed_tables(transaction),
        rows,
        truncate: truncated.map(|(table, _)| (*table, transaction.snapshot.commit)).collect(),
        catalog: transaction.catalog_changes.clone(),
        backfill: transaction.backfill.clone(),
        requires,
        catalog_seen: Some(catalog_seen),
        time: transaction.time,
    })
}

/// The documents that the transaction changes, as they are at its snapshot. A conflict where one has another version there
/// than the transaction knows.
async fn documents_before(
    transaction: &Transaction,
    index: &dyn IndexStore,
    payloads: &dyn PayloadStore,
    table: TableId,
    writes: &TableWrites,
) -> Result<HashMap<ItemKey, Bytes>, HistoryError> {
    let goes_on = |row: &PendingRow| row.state.is_some() && !row.anew && !writes.truncated;
    let changed = writes.rows.iter().filter(|(_, row)| goes_on(row));
    let (keys, bases): (Vec<ItemKey>, Vec<_>) = changed.filter_map(|(key, row)| Some((key.clone(), row.base?))).unzip();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let found = index.get(table, &keys, Scope::Current, transaction.snapshot).await?;
    let mut refs = Vec::with_capacity(keys.len());
    for ((found, base), key) in found.into_iter().zip(bases).zip(&keys) {
        match found {
            Some(version) if version.version.number == base => refs.push(version.payload),
            _ => return Err(StoreError::Conflict { table, key: key.clone() }.into()),
        }
    }
    let documents = payloads.get(&refs).await?;
    Ok(keys.into_iter().zip(documents).collect())
}

/// What the commit does to one item, its payload apart; `None` for an item that is as it was.
fn change(table: TableId, writes: &TableWrites, key: &ItemKey, row: &PendingRow) -> Option<(RowChange, Option<Bytes>)> {
    let base = row.base.filter(|_| !writes.truncated);
    let op = match (base, &row.state) {
        (None, None) => return None,
        (None, Some(_)) => Op::Create,
        (Some(_), Some(_)) => Op::Update,
        (Some(_), None) => Op::Delete,
    };
    let (payload, new_entries) = row.state.clone().map_or((None, Vec::new()), |(payload, entries)| (Some(payload), entries));
    let change = RowChange {
        table,
        key: key.clone(),
        check: base.map_or(HeadCheck::Absent, HeadCheck::At),
        op,
        payload: None,
        old_entries: if base.is_some() { row.base_entries.clone() } else { Vec::new() },
        new_entries,
    };
    Some((change, payload))
}

/// Names of tables whose rows or definitions change, sorted.
fn changed_tables(transaction: &Transaction) -> Vec<String> {
    let written = transaction.writes.iter().filter(|(_, writes)| !writes.is_empty()).map(|(table, _)| *table);
    let changes = transaction.catalog_changes.iter();
    let defined = changes.filter(|change| change.kind == super::definition::Kind::Table.name()).map(|change| TableId(change.id));
    let mut names: Vec<String> =
        written.chain(defined).filter_map(|id| table(transaction, id)).map(|t| t.name.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The table as the transaction defines it, or as it was before the transaction dropped it.
fn table(transaction: &Transaction, id: TableId) -> Option<&TableDef> {
    let def = transaction.catalog.table_by_id(id).or_else(|| transaction.base_catalog.table_by_id(id));
    def.map(AsRef::as_ref)
}

/// What the store's refusal means for the tables of this transaction.
pub(super) fn explain(transaction: &Transaction, error: StoreError) -> HistoryError {
    let explained = match &error {
        StoreError::KeyExists { table: id, key } => {
            table(transaction, *id).filter(|def| def.primary_key.is_some()).map(|def| HistoryError::duplicate_key(def, key))
        }
        StoreError::UniqueExists { index, key } => explain_unique(transaction, *index, key),
        _ => None,
    };
    explained.unwrap_or(HistoryError::Store(error))
}

fn explain_unique(transaction: &Transaction, index: IndexId, key: &ItemKey) -> Option<HistoryError> {
    let is_it = |entry: &IndexEntry| entry.index == index && entry.key == *key;
    let filled = transaction.backfill.iter().find(|fill| fill.entries.iter().any(|(_, entry)| is_it(entry)));
    if let Some(def) = filled.and_then(|fill| table(transaction, fill.table)) {
        return Some(HistoryError::duplicate_in_index(def, index, key));
    }
    let has_index = |id: &&TableId| table(transaction, **id).is_some_and(|def| def.has_index_id(index));
    let def = transaction.writes.keys().find(has_index).and_then(|id| table(transaction, *id))?;
    Some(HistoryError::duplicate_entry(def, index, key))
}

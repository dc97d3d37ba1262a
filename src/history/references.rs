//! What the foreign keys of this transaction's tables ask of a commit.
//!
//! Pure: reads the changes and the definitions, no row. That each reference holds as far as the transaction can
//! see is checked before, with words for the client; here is only what others may have done meanwhile.

use super::{ForeignKeyDef, Transaction};
use crate::store::{Requirement, RowChange};
use crate::versions::ItemKey;

/// What must hold for this change: the keys it refers to are there, and nobody refers to the keys it takes away.
pub(super) fn requirements(transaction: &Transaction, row: &RowChange) -> Vec<Requirement> {
    let catalog = &transaction.catalog;
    let mut found = Vec::new();
    if let Some(def) = catalog.table_by_id(row.table) {
        for key in &def.foreign_keys {
            let new = row.new_entries.iter().filter(|entry| entry.index == key.id && !row.old_entries.contains(entry));
            found.extend(new.map(|entry| target(key, &entry.key)));
        }
    }
    if !catalog.is_referenced(row.table) {
        return found;
    }
    for (child, key) in catalog.references_to(row.table) {
        let unclaimed = |gone: &ItemKey| Requirement::Unclaimed {
            table: child.id,
            index: key.id,
            key: gone.clone(),
            seen: transaction.snapshot.commit,
        };
        match key.index {
            None => found.extend(row.op.ends_item().then(|| unclaimed(&row.key))),
            Some(index) => {
                let gone = row.old_entries.iter().filter(|e| e.index == index && e.unique && !row.new_entries.contains(e));
                found.extend(gone.map(|entry| unclaimed(&entry.key)));
            }
        }
    }
    found
}

fn target(key: &ForeignKeyDef, referenced: &ItemKey) -> Requirement {
    match key.index {
        None => Requirement::Live { table: key.table, key: referenced.clone() },
        Some(index) => Requirement::Held { table: key.table, index, key: referenced.clone() },
    }
}

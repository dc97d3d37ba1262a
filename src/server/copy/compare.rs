//! Whether a copy has what it was made of: numbers and checksums of every table's present and history.

use std::collections::BTreeMap;
use std::path::Path;

use futures::TryStreamExt;

use super::{Copied, CopyError};
use crate::history::{HistoryError, TableDef};
use crate::store::{CatalogRow, Checksum, IndexStore, PayloadRef, ScanRequest, StoreError};
use crate::versions::{CommitNo, KeyFilter, Scope, Snapshot, TableId};

/// One of the two that are compared, as of a snapshot.
#[derive(Clone, Copy)]
pub struct Side<'s> {
    pub index: &'s dyn IndexStore,
    pub snapshot: Snapshot,
}

impl<'s> Side<'s> {
    /// As it is now.
    pub fn of(index: &'s dyn IndexStore) -> Self {
        let last = index.last_commit();
        Self { index, snapshot: Snapshot { commit: last.commit, time: last.time } }
    }
}

/// What a table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub states: u64,
    pub history: Checksum,
    pub present: u64,
    pub living: Checksum,
}

impl Facts {
    /// Reads the table twice, payloads included where they are asked for.
    pub async fn of(side: Side<'_>, table: TableId, payloads: bool) -> Result<Self, StoreError> {
        let (states, history) = counted(side, table, Scope::All, payloads).await?;
        let (present, living) = counted(side, table, Scope::Current, payloads).await?;
        Ok(Self { states, history, present, living })
    }
}

async fn counted(side: Side<'_>, table: TableId, scope: Scope, payloads: bool) -> Result<(u64, Checksum), StoreError> {
    let keys = KeyFilter::All;
    let request = ScanRequest { table, snapshot: side.snapshot, scope, keys, candidates: None, payloads, limit: None };
    let (mut count, mut sum) = (0, Checksum::default());
    let mut scan = side.index.scan(request);
    while let Some(batch) = scan.try_next().await? {
        for state in batch {
            let bytes = match (&state.payload, payloads) {
                (_, false) => &[][..],
                (PayloadRef::Inline(bytes), true) => bytes,
                (PayloadRef::Object { name, .. }, true) => name.as_bytes(),
            };
            sum.add(&state.key, &state.version, bytes);
            count += 1;
        }
    }
    Ok((count, sum))
}

/// The tables that there ever were, with the names that they had last.
pub fn tables(rows: &[CatalogRow]) -> Result<BTreeMap<TableId, TableDef>, HistoryError> {
    let of_tables = rows.iter().filter(|row| row.kind == "table");
    let read = |row: &CatalogRow| {
        let def: Result<TableDef, _> = serde_json::from_str(&row.definition);
        def.map(|def| (TableId(row.id), def)).map_err(|cause| HistoryError::BadDefinition(cause.to_string()))
    };
    of_tables.map(read).collect()
}

/// Compares two files of ours: definitions, log and tables.
pub async fn files(database: &str, target: &Path, [source, copy]: [Side<'_>; 2]) -> Result<Vec<Copied>, CopyError> {
    let failed = CopyError::failed(database);
    let definitions = source.index.catalog().await.map_err(&failed)?;
    if definitions != copy.index.catalog().await.map_err(&failed)? {
        return Err(differs(database, target, "the definitions"));
    }
    if log(source).await.map_err(&failed)? != log(copy).await.map_err(&failed)? {
        return Err(differs(database, target, "the commit log"));
    }
    let mut copied = Vec::new();
    for (id, def) in tables(&definitions).map_err(CopyError::stopped(database))? {
        let facts = Facts::of(source, id, true).await.map_err(&failed)?;
        if facts != Facts::of(copy, id, true).await.map_err(&failed)? {
            return Err(differs(database, target, &format!("table {}", def.name)));
        }
        copied.push(line(database, &def, facts, 0));
    }
    Ok(copied)
}

pub fn differs(database: &str, target: &Path, what: &str) -> CopyError {
    let target = target.parent().unwrap_or(target).to_owned();
    CopyError::Differs { database: database.to_owned(), what: what.to_owned(), target }
}

pub fn line(database: &str, def: &TableDef, facts: Facts, missing: u64) -> Copied {
    Copied {
        database: database.to_owned(),
        table: def.name.to_string(),
        states: facts.states,
        present: facts.present,
        checksum: facts.history,
        missing,
    }
}

/// How many commits there are, the first and the last of them, and how many changes they made.
async fn log(side: Side<'_>) -> Result<(u64, u64, Option<u64>), StoreError> {
    let mut commits = side.index.commits(CommitNo(0), side.snapshot.commit);
    let (mut count, mut changes, mut last) = (0, 0_u64, None);
    while let Some(batch) = commits.try_next().await? {
        for commit in batch {
            count += 1;
            changes = changes.wrapping_add(commit.rows);
            last = Some(commit.stamp.commit.0);
        }
    }
    Ok((count, changes, last))
}

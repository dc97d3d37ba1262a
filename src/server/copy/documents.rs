//! A database of a deployment: its collections become tables of our own, state by state, with the numbers and times that
//! their versions and commits have there.
//!
//! A row has its document's members, all that a column can be named after; what the library keeps in `_system` stays
//! behind. A version whose payload is missing has its id alone.

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;

use super::compare::{self, Facts, Side};
use super::{Copied, CopyError, Settings, Step, Tell};
use crate::history::{DOCUMENT_ID, Database, HistoryError, OnMissing, SequenceDef, StateRow, TableDef};
use crate::store::sqlite::SqliteIndex;
use crate::store::sqlite::import::{Import, State};
use crate::store::{CatalogRow, IndexStore, ScanRequest, StoreError};
use crate::tenancy::Stores;
use crate::versions::{CommitInfo, CommitNo, CommitStamp, Context, Scope, Snapshot, TableId, Timestamp};

/// The default of the column that names a document, as the collection gave new ones theirs.
const NEW_ID: &str = "chronogate.object_id()";

pub struct Copy<'c> {
    pub database: &'c str,
    pub to: &'c Path,
    pub settings: &'c Settings,
    pub tell: Tell<'c>,
}

/// What became of one look at a table's documents.
enum Outcome {
    /// All states are copied; so many of them had no payload.
    Done(u64),
    /// The table has got other columns, so its rows have other forms.
    Widened,
}

impl Copy<'_> {
    pub async fn run(self, stores: Stores) -> Result<Vec<Copied>, CopyError> {
        if self.to.is_file() {
            // Compared before it got its name.
            return stores.index.close().await.map(|()| Vec::new()).map_err(CopyError::failed(self.database));
        }
        let index = Arc::clone(&stores.index);
        let copied = self.copy(stores).await;
        index.close().await.map_err(CopyError::failed(self.database))?;
        copied
    }

    async fn copy(&self, stores: Stores) -> Result<Vec<Copied>, CopyError> {
        let (failed, stopped) = (CopyError::failed(self.database), CopyError::stopped(self.database));
        let index = Arc::clone(&stores.index);
        let clock = Arc::clone(&self.settings.clock);
        let database = Database::open(self.database, stores.index, stores.payloads, clock).await.map_err(&stopped)?;
        if let Some(collections) = stores.collections {
            database.attach(collections);
            database.adopt(&self.settings.superuser).await.map_err(&stopped)?;
        }
        let mut import = Import::open(self.to).map_err(&failed)?;
        let snapshot = snapshot_of(&import, &database).map_err(&failed)?;
        (self.tell)(Step::Database { name: self.database, rows: None });
        let tables = compare::tables(&index.catalog().await.map_err(&failed)?).map_err(&stopped)?;
        let mut missing = Vec::new();
        for (id, def) in &tables {
            self.check_own(def)?;
            missing.push(self.table(&database, &mut import, *id, snapshot).await.map_err(&stopped)?);
        }
        self.rest(index.as_ref(), &mut import, snapshot).await.map_err(&stopped)?;
        (self.tell)(Step::Comparing { name: self.database });
        self.compare(Side { index: index.as_ref(), snapshot }, import, tables.into_iter().zip(missing)).await
    }

    /// Entries of indexes are not copied, and a table of our own is nothing without them.
    fn check_own(&self, def: &TableDef) -> Result<(), CopyError> {
        let is_plain = def.uniques.is_empty() && def.indexes.is_empty() && def.computed_indexes.is_empty();
        if is_plain || def.is_of_documents() {
            return Ok(());
        }
        Err(CopyError::Indexed { database: self.database.to_owned(), table: def.name.to_string() })
    }

    /// Copies a table's states, anew whenever a document asks for other columns; how many had no payload.
    async fn table(
        &self,
        database: &Database,
        import: &mut Import,
        table: TableId,
        snapshot: Snapshot,
    ) -> Result<u64, HistoryError> {
        loop {
            match self.states(database, import, table, snapshot).await? {
                Outcome::Done(missing) => return Ok(missing),
                Outcome::Widened => import.forget_states(table)?,
            }
        }
    }

    async fn states(
        &self,
        database: &Database,
        import: &mut Import,
        table: TableId,
        snapshot: Snapshot,
    ) -> Result<Outcome, HistoryError> {
        let mut reached = import.reached(table)?;
        let note = format!("missing {}", table.0);
        let mut missing: u64 =
            import.note(&note)?.and_then(|count| count.parse().ok()).filter(|_| reached.states > 0).unwrap_or(0);
        let (scope, keys) = (Scope::All, reached.keys());
        let request = ScanRequest { table, snapshot, scope, keys, candidates: None, payloads: true, limit: None };
        let mut scan = database.scan_with(request, OnMissing::Null);
        loop {
            let batch = match scan.try_next().await {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(Outcome::Done(missing)),
                Err(HistoryError::Widened { .. }) => return Ok(Outcome::Widened),
                Err(error) => return Err(error),
            };
            let batch: Vec<StateRow> = batch.into_iter().filter(|row| !reached.has(&row.key, &row.version)).collect();
            let documents = batch.iter().filter_map(|row| row.document.as_ref()).map(|document| &document.text);
            missing += documents.clone().filter(|text| text.is_empty()).count() as u64;
            if database.cover(table, documents.map(|text| text.as_ref())).await? {
                return Ok(Outcome::Widened);
            }
            let states: Vec<State> = batch.into_iter().map(|row| (row.key, row.version, row.payload)).collect();
            reached = import.add_states(table, &reached, &states)?;
            import.set_note(&note, &missing.to_string())?;
            (self.tell)(Step::Rows(states.len() as u64));
        }
    }

    /// The log, definitions and counters.
    async fn rest(&self, index: &dyn IndexStore, import: &mut Import, snapshot: Snapshot) -> Result<(), HistoryError> {
        let mut commits = index.commits(CommitNo(0), snapshot.commit);
        while let Some(batch) = commits.try_next().await? {
            import.add_commits(&batch)?;
        }
        let definitions = index.catalog().await?;
        let defined = definitions.iter().flat_map(|row| std::iter::once(row.begun).chain(row.ended));
        let defined: Vec<CommitInfo> = defined.map(commit_of_definitions).collect();
        import.add_commits(&defined)?;
        let mut counters = Vec::new();
        for id in counters_of(&definitions)? {
            counters.push((id, index.counter(id).await?));
        }
        let own: Result<Vec<CatalogRow>, HistoryError> = definitions.into_iter().map(as_own).collect();
        Ok(import.complete(&own?, &counters)?)
    }

    async fn compare(
        &self,
        source: Side<'_>,
        import: Import,
        tables: impl Iterator<Item = ((TableId, TableDef), u64)>,
    ) -> Result<Vec<Copied>, CopyError> {
        let failed = CopyError::failed(self.database);
        let mut expected = Vec::new();
        for ((id, def), missing) in tables {
            let reached = import.reached(id).map_err(&failed)?;
            // What was written since is not of the snapshot; of tables of our own it may have been entries and counters.
            let changed = source.index.last_change(id).await.map_err(&failed)?;
            if !def.is_of_documents() && changed > source.snapshot.commit {
                let target = self.to.parent().unwrap_or(self.to).to_owned();
                return Err(CopyError::Changed { database: self.database.to_owned(), target });
            }
            expected.push((id, def, reached, missing));
        }
        import.rest().map_err(&failed)?;
        let copy = SqliteIndex::open(&Import::unfinished(self.to), Arc::clone(&self.settings.clock)).map_err(&failed)?;
        let mut copied = Vec::new();
        for (id, def, reached, missing) in expected {
            let whole = Facts::of(Side::of(&copy), id, true).await.map_err(&failed)?;
            let [bare, there] = [Facts::of(Side::of(&copy), id, false).await, Facts::of(source, id, false).await];
            let is_same = bare.map_err(&failed)? == there.map_err(&failed)?;
            if !is_same || (whole.states, whole.history) != (reached.states, reached.sum) {
                return Err(compare::differs(self.database, self.to, &format!("table {}", def.name)));
            }
            copied.push(compare::line(self.database, &def, whole, missing));
        }
        copy.close().await.map_err(&failed)?;
        Import::open(self.to).and_then(Import::finish).map_err(&failed)?;
        Ok(copied)
    }
}

/// What is copied: the newest snapshot there was when the copy was begun.
fn snapshot_of(import: &Import, database: &Database) -> Result<Snapshot, StoreError> {
    let corrupt = || StoreError::Corrupt("its notes cannot be read".to_owned());
    match import.note("snapshot")? {
        Some(text) => {
            let (commit, time) = text.split_once(' ').ok_or_else(corrupt)?;
            let (commit, time) = (commit.parse().map_err(|_| corrupt())?, time.parse().map_err(|_| corrupt())?);
            Ok(Snapshot { commit: CommitNo(commit), time: Timestamp::from_micros(time) })
        }
        None => {
            let snapshot = database.snapshot();
            import.set_note("snapshot", &format!("{} {}", snapshot.commit.0, snapshot.time.micros()))?;
            Ok(snapshot)
        }
    }
}

fn commit_of_definitions(stamp: CommitStamp) -> CommitInfo {
    CommitInfo { stamp, context: Context::default(), tables: Vec::new(), rows: 0 }
}

fn read<T: serde::de::DeserializeOwned>(row: &CatalogRow) -> Result<T, HistoryError> {
    serde_json::from_str(&row.definition).map_err(|cause| HistoryError::BadDefinition(cause.to_string()))
}

/// The counters that definitions name.
fn counters_of(definitions: &[CatalogRow]) -> Result<Vec<u32>, HistoryError> {
    let mut counters = Vec::new();
    for row in definitions {
        match row.kind.as_str() {
            "table" => counters.push(read::<TableDef>(row)?.row_counter),
            "sequence" => counters.push(read::<SequenceDef>(row)?.id),
            _ => {}
        }
    }
    counters.sort_unstable();
    counters.dedup();
    Ok(counters)
}

/// The definition as it is without the collection: a table over one is a table of our own.
fn as_own(row: CatalogRow) -> Result<CatalogRow, HistoryError> {
    if row.kind != "table" {
        return Ok(row);
    }
    let mut def: TableDef = read(&row)?;
    if def.collection.take().is_none() {
        return Ok(row);
    }
    // Their entries are the deployment's.
    def.uniques.clear();
    def.indexes.clear();
    def.computed_indexes.clear();
    for column in def.columns.iter_mut().filter(|column| column.name == DOCUMENT_ID) {
        column.default = Some(NEW_ID.to_owned());
    }
    let definition = serde_json::to_string(&def).map_err(|cause| HistoryError::BadDefinition(cause.to_string()))?;
    Ok(CatalogRow { definition, ..row })
}

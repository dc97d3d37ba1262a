//! Every state of every definition, and the catalogue as of any commit.
//!
//! Pure: fed with catalogue rows, reads no store. `public` exists from before the first commit, so that a
//! new database needs none and loaders of old data may date theirs freely.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::catalog::Ids;
use super::definition::{Definition, Kind};
use super::{Catalog, HistoryError, SchemaDef, TableDef};
use crate::store::{CatalogChange, CatalogRow};
use crate::types::Qualified;
use crate::versions::{CommitNo, CommitStamp, Scope, Snapshot, TableId, Timestamp};

/// PostgreSQL's OID of the schema `public`.
pub(super) const PUBLIC_ID: u32 = 2200;

/// How many catalogues of the past are kept at hand.
const PAST_KEPT: usize = 16;

#[derive(Debug)]
struct State {
    definition: Definition,
    begun: CommitStamp,
    ended: Option<CommitStamp>,
}

impl State {
    fn is_live_at(&self, commit: CommitNo) -> bool {
        self.begun.commit <= commit && self.ended.is_none_or(|ended| ended.commit > commit)
    }

    fn table(&self) -> Option<&Arc<TableDef>> {
        match &self.definition {
            Definition::Table(def) => Some(def),
            _ => None,
        }
    }

    fn is_named(&self, name: &Qualified) -> bool {
        self.table().is_some_and(|def| def.name == *name)
    }
}

#[derive(Debug)]
pub(super) struct Timeline {
    current: Arc<Catalog>,
    /// States of each definition, oldest first.
    states: BTreeMap<(Kind, u32), Vec<State>>,
    /// Tables that ever had the name, in order of their numbers.
    named: HashMap<Qualified, Vec<TableId>>,
    /// Commits that changed a definition, ascending.
    commits: Vec<CommitStamp>,
    past: Mutex<VecDeque<Arc<Catalog>>>,
}

impl Timeline {
    /// From every row of the catalogue, ascending by begin. With `ids` of an earlier timeline of the same
    /// database its numbers go on.
    pub(super) fn read(rows: Vec<CatalogRow>, ids: Option<Ids>) -> Result<Self, HistoryError> {
        let mut timeline = Self::empty();
        let mut last_id = 0;
        for row in rows {
            let definition = Definition::read(Kind::from_name(&row.kind)?, &row.definition)?;
            last_id = last_id.max(definition.last_id());
            timeline.commits.push(row.begun);
            timeline.commits.extend(row.ended);
            timeline.end(definition.kind(), definition.id(), row.begun);
            timeline.push(State { definition, begun: row.begun, ended: row.ended });
        }
        timeline.commits.sort_unstable();
        timeline.commits.dedup();
        let newest = timeline.commits.last().map_or(CommitNo::ZERO, |stamp| stamp.commit);
        let ids = ids.unwrap_or_else(|| Ids::from(last_id.saturating_add(1)));
        timeline.current = Arc::new(timeline.build(newest, ids));
        Ok(timeline)
    }

    fn empty() -> Self {
        let public = SchemaDef {
            id: PUBLIC_ID,
            name: "public".to_owned(),
            owner: "pg_database_owner".to_owned(),
            comment: None,
            grants: BTreeMap::from([(super::PUBLIC.to_owned(), vec!["USAGE".to_owned()])]),
        };
        let before_all = CommitStamp { commit: CommitNo::ZERO, time: Timestamp::MIN };
        let state = State { definition: Definition::Schema(Arc::new(public)), begun: before_all, ended: None };
        Self {
            current: Arc::default(),
            states: BTreeMap::from([((Kind::Schema, PUBLIC_ID), vec![state])]),
            named: HashMap::new(),
            commits: Vec::new(),
            past: Mutex::default(),
        }
    }

    /// Adds what one commit did. `catalog` is the outcome; its number becomes the commit's.
    pub(super) fn apply(&mut self, stamp: CommitStamp, changes: &[CatalogChange], catalog: Catalog) -> Result<(), HistoryError> {
        for change in changes {
            let kind = Kind::from_name(&change.kind)?;
            self.end(kind, change.id, stamp);
            if let Some(text) = &change.definition {
                self.push(State { definition: Definition::read(kind, text)?, begun: stamp, ended: None });
            }
        }
        self.commits.push(stamp);
        self.current = Arc::new(Catalog { commit: stamp.commit, ..catalog });
        Ok(())
    }

    /// Closes the open state, if there is one.
    fn end(&mut self, kind: Kind, id: u32, at: CommitStamp) {
        if let Some(last) = self.states.get_mut(&(kind, id)).and_then(|states| states.last_mut()) {
            last.ended.get_or_insert(at);
        }
    }

    fn push(&mut self, state: State) {
        if let Some(def) = state.table() {
            let ids = self.named.entry(def.name.clone()).or_default();
            if !ids.contains(&def.id) {
                ids.push(def.id);
            }
        }
        self.states.entry((state.definition.kind(), state.definition.id())).or_default().push(state);
    }

    fn build(&self, commit: CommitNo, ids: Ids) -> Catalog {
        let mut catalog = Catalog { commit, ids, ..Catalog::default() };
        for state in self.states.values().filter_map(|states| states.iter().find(|s| s.is_live_at(commit))) {
            catalog.put(state.definition.clone());
        }
        catalog
    }

    pub(super) fn current(&self) -> &Arc<Catalog> {
        &self.current
    }

    /// Whether the definition's present state comes from a catalogue row.
    pub(super) fn is_stored(&self, kind: Kind, id: u32) -> bool {
        let last = self.states.get(&(kind, id)).and_then(|states| states.last());
        last.is_some_and(|state| state.ended.is_none() && state.begun.commit > CommitNo::ZERO)
    }

    /// The newest commit that changed a definition, of those the scope may see.
    fn newest_in(&self, scope: Scope, snapshot: Snapshot) -> CommitNo {
        let within = |stamp: &CommitStamp| {
            stamp.commit <= snapshot.commit
                && match scope {
                    Scope::AsOf(at) => stamp.time <= at,
                    Scope::AsOfCommit(commit) => stamp.commit <= commit,
                    Scope::Current | Scope::FromTo { .. } | Scope::Between { .. } | Scope::ContainedIn { .. } | Scope::All => {
                        true
                    }
                }
        };
        let seen = self.commits.partition_point(within);
        seen.checked_sub(1).and_then(|last| self.commits.get(last)).map_or(CommitNo::ZERO, |stamp| stamp.commit)
    }

    pub(super) fn catalog_at(&self, scope: Scope, snapshot: Snapshot) -> Arc<Catalog> {
        let commit = self.newest_in(scope, snapshot);
        if commit == self.current.commit {
            return Arc::clone(&self.current);
        }
        let mut past = self.past.lock();
        if let Some(known) = past.iter().find(|catalog| catalog.commit == commit) {
            return Arc::clone(known);
        }
        let catalog = Arc::new(self.build(commit, self.current.ids.clone()));
        past.truncate(PAST_KEPT - 1);
        past.push_front(Arc::clone(&catalog));
        catalog
    }

    pub(super) fn table_states(&self, table: TableId) -> impl Iterator<Item = (CommitStamp, &Arc<TableDef>)> {
        self.table_history(table).iter().filter_map(|state| Some((state.begun, state.table()?)))
    }

    fn table_history(&self, table: TableId) -> &[State] {
        self.states.get(&(Kind::Table, table.0)).map_or(&[], Vec::as_slice)
    }

    /// See `Database::table_at`.
    pub(super) fn table_at(&self, name: &Qualified, scope: Scope, snapshot: Snapshot) -> Option<Arc<TableDef>> {
        let at = self.newest_in(scope, snapshot);
        if let Some(state) = self.live_named(name, at) {
            return state.table().cloned();
        }
        if let Some(present) = self.live_named(name, snapshot.commit).and_then(State::table) {
            let then = self.table_history(present.id).iter().find(|state| state.is_live_at(at));
            return then.and_then(State::table).or(Some(present)).cloned();
        }
        let named = self.all_named(name).filter(|state| state.begun.commit <= snapshot.commit);
        let other = match scope {
            Scope::Current => None,
            Scope::AsOf(_) | Scope::AsOfCommit(_) => {
                named.filter(|state| state.begun.commit > at).min_by_key(|state| state.begun)
            }
            Scope::FromTo { .. } | Scope::Between { .. } | Scope::ContainedIn { .. } | Scope::All => {
                named.max_by_key(|state| state.begun)
            }
        };
        other.and_then(State::table).cloned()
    }

    fn all_named(&self, name: &Qualified) -> impl Iterator<Item = &State> {
        let ids = self.named.get(name).map_or(&[][..], Vec::as_slice);
        ids.iter().flat_map(|id| self.table_history(*id)).filter(move |state| state.is_named(name))
    }

    fn live_named(&self, name: &Qualified, at: CommitNo) -> Option<&State> {
        self.all_named(name).find(|state| state.is_live_at(at))
    }
}

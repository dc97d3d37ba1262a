//! Temporary relations: definitions and rows that one session has beside its database.
//!
//! A transaction reads and changes them like its own uncommitted writes, which nothing in the store lies under. When it
//! commits, they are taken out of it and go back to the session; nothing of them reaches a store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::definition::Definition;
use super::transaction::TableWrites;
use super::{Catalog, SchemaDef, Transaction, is_temporary_schema};
use crate::types::OnCommit;
use crate::versions::TableId;

/// The temporary relations of one session as of its last commit.
#[derive(Clone, Debug, Default)]
pub struct Temporary {
    definitions: Vec<Definition>,
    writes: BTreeMap<TableId, Arc<TableWrites>>,
}

impl Temporary {
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// The database's definitions and these.
    pub fn beside(&self, catalog: &Catalog) -> Catalog {
        let mut joined = catalog.clone();
        self.definitions.iter().for_each(|definition| joined.put(definition.clone()));
        joined
    }

    /// Numbers of the counters that its sequences and tables have.
    pub fn counters(&self) -> BTreeSet<u32> {
        let counter = |definition: &Definition| match definition {
            Definition::Table(def) => Some(def.row_counter),
            Definition::Sequence(def) => Some(def.id),
            _ => None,
        };
        self.definitions.iter().filter_map(counter).collect()
    }

    /// About how many bytes its rows take. `known` are those of an earlier state with what was said of them.
    pub fn bytes(&self, before: &Self, known: usize) -> usize {
        let size = |writes: &Arc<TableWrites>| writes.bytes();
        let is_same = |id: &TableId, writes: &Arc<TableWrites>| before.writes.get(id).is_some_and(|old| Arc::ptr_eq(old, writes));
        let gone = |(id, old): (&TableId, &Arc<TableWrites>)| match self.writes.get(id) {
            Some(new) if Arc::ptr_eq(new, old) => 0,
            _ => size(old),
        };
        let less: usize = before.writes.iter().map(gone).sum();
        let more: usize = self.writes.iter().filter(|(id, writes)| !is_same(id, writes)).map(|(_, writes)| size(writes)).sum();
        known.saturating_sub(less) + more
    }
}

impl Catalog {
    /// The schema of temporary relations, once there are any.
    pub fn temporary_schema(&self) -> Option<&Arc<SchemaDef>> {
        let first = self.schemas.range(super::TEMPORARY.to_owned()..).find(|(name, _)| is_temporary_schema(name));
        first.map(|(_, def)| def)
    }

    fn temporary(&self) -> Vec<Definition> {
        if self.temporary_schema().is_none() {
            return Vec::new();
        }
        self.definitions().filter(Definition::is_temporary).collect()
    }

    fn without(&self, definitions: &[Definition]) -> Self {
        let mut left = self.clone();
        definitions.iter().for_each(|definition| left.take(definition));
        left
    }
}

impl Transaction {
    /// Adds what the session has; `catalog` is [`Temporary::beside`] the transaction's own.
    pub fn bring(&mut self, temporary: &Temporary, catalog: Arc<Catalog>) {
        self.permanent = Some(Arc::clone(&self.catalog));
        self.catalog = Arc::clone(&catalog);
        self.base_catalog = catalog;
        self.writes.extend(temporary.writes.iter().map(|(id, writes)| (*id, Arc::clone(writes))));
    }

    /// Takes what is temporary out of the transaction, as it is to be once the rest is committed; `None` where there
    /// is nothing. Tables that are to go with the commit have gone before.
    pub fn part(&mut self) -> Option<Temporary> {
        if self.permanent.is_none() && self.catalog.temporary_schema().is_none() {
            return None;
        }
        let definitions = self.catalog.temporary();
        let mut kept = BTreeMap::new();
        for definition in &definitions {
            if let Definition::Table(def) = definition
                && let Some(writes) = self.writes.remove(&def.id)
                && def.on_commit != OnCommit::DeleteRows
            {
                kept.insert(def.id, writes);
            }
        }
        let gone: Vec<TableId> = self.writes.keys().copied().filter(|id| self.is_temporary(*id)).collect();
        gone.iter().for_each(|id| drop(self.writes.remove(id)));
        self.backfill.retain(|fill| {
            !definitions.iter().any(|definition| matches!(definition, Definition::Table(def) if def.id == fill.table))
        });
        let unchanged = Arc::ptr_eq(&self.catalog, &self.base_catalog);
        match self.permanent.take().filter(|_| unchanged) {
            Some(permanent) => {
                self.catalog = Arc::clone(&permanent);
                self.base_catalog = permanent;
            }
            None => {
                self.catalog = Arc::new(self.catalog.without(&definitions));
                self.base_catalog = Arc::new(self.base_catalog.without(&self.base_catalog.temporary()));
            }
        }
        Some(Temporary { definitions, writes: kept })
    }

    /// Drops every temporary relation.
    pub fn drop_temporary(&mut self) {
        let definitions = self.catalog.temporary();
        for definition in &definitions {
            if let Definition::Table(def) = definition {
                self.undo.table(def.id, self.writes.get(&def.id));
                self.writes.remove(&def.id);
            }
        }
        if !definitions.is_empty() {
            self.catalog = Arc::new(self.catalog.without(&definitions));
        }
    }

    /// Whether the table is a temporary one, of now or of the transaction's beginning.
    pub(super) fn is_temporary(&self, table: TableId) -> bool {
        let def = self.catalog.table_by_id(table).or_else(|| self.base_catalog.table_by_id(table));
        def.is_some_and(|def| def.is_temporary())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::history::catalog::{ColumnId, TableDef};
    use crate::types::Qualified;
    use crate::versions::{CommitNo, Context, KeyPart, Snapshot, Timestamp, encode_key};

    fn table(id: u32, schema: &str, name: &str, on_commit: OnCommit) -> TableDef {
        TableDef {
            id: TableId(id),
            name: Qualified::new(schema, name),
            owner: "o".to_owned(),
            columns: Vec::new(),
            primary_key: None::<(String, Vec<ColumnId>)>,
            row_counter: id + 1,
            uniques: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            triggers: Vec::new(),
            computed_indexes: Vec::new(),
            comments: Default::default(),
            on_commit,
            materialized: None,
            collection: None,
            grants: Default::default(),
        }
    }

    fn begin() -> Transaction {
        let snapshot = Snapshot { commit: CommitNo(7), time: Timestamp::from_micros(7) };
        let mut catalog = Catalog::default();
        catalog.put(Definition::Table(Arc::new(table(10, "public", "p", OnCommit::default()))));
        Transaction::new(snapshot, Arc::new(catalog), Context::default())
    }

    fn with_temporary(tx: &mut Transaction, tables: &[(u32, OnCommit)]) {
        let mut catalog = Catalog::clone(&tx.catalog);
        let schema =
            SchemaDef { id: 5, name: "pg_temp_1".to_owned(), owner: "o".to_owned(), comment: None, grants: Default::default() };
        catalog.put(Definition::Schema(Arc::new(schema)));
        for (id, on_commit) in tables {
            catalog.put(Definition::Table(Arc::new(table(*id, "pg_temp_1", &format!("t{id}"), *on_commit))));
        }
        tx.apply_catalog(catalog).unwrap();
    }

    fn write(tx: &mut Transaction, table: u32, n: i64) {
        tx.write(TableId(table), encode_key([KeyPart::Int(n)]), None, Bytes::from_static(b"{}"), Vec::new());
    }

    #[test]
    fn temporary_relations_make_no_change_of_the_database_and_come_back_in_the_next_transaction() {
        let mut tx = begin();
        with_temporary(&mut tx, &[(20, OnCommit::PreserveRows), (30, OnCommit::DeleteRows)]);
        write(&mut tx, 20, 1);
        write(&mut tx, 30, 1);
        assert!(tx.is_empty(), "nothing is for the database");
        let kept = tx.part().unwrap();
        assert!(tx.is_empty() && tx.catalog.temporary_schema().is_none() && tx.writes.is_empty());
        assert!(tx.catalog.table_by_id(TableId(10)).is_some());
        assert_eq!(kept.counters(), BTreeSet::from([21, 31]));

        let mut tx = begin();
        let joined = Arc::new(kept.beside(&tx.catalog));
        tx.bring(&kept, joined);
        assert_eq!(tx.overlay(TableId(20)).unwrap().rows.len(), 1);
        assert!(tx.overlay(TableId(30)).is_none(), "its rows ended with the commit");
        write(&mut tx, 10, 1);
        let again = tx.part().unwrap();
        assert_eq!(tx.writes.keys().copied().collect::<Vec<_>>(), [TableId(10)]);
        assert!(!tx.is_empty());
        assert_eq!(again.bytes(&kept, 100), 100, "what has not changed is not counted again");
    }

    #[test]
    fn what_was_dropped_is_gone_and_comes_back_with_a_rollback() {
        let mut tx = begin();
        with_temporary(&mut tx, &[(20, OnCommit::PreserveRows)]);
        write(&mut tx, 20, 1);
        let place = tx.savepoint();
        tx.drop_temporary();
        assert!(tx.catalog.temporary_schema().is_none() && tx.overlay(TableId(20)).is_none());
        tx.roll_back_to(place);
        assert_eq!(tx.overlay(TableId(20)).unwrap().rows.len(), 1);
        tx.drop_temporary();
        assert!(tx.part().is_none_or(|left| left.is_empty()));
    }
}

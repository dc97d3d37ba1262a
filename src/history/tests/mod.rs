//! A whole database over the reference store: definitions through time, commits, sequences.

mod ddl;
mod on_disk;
mod sequences;

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;

use super::*;
use crate::error::{Diagnose, SqlError, SqlState};
use crate::runtime::{Entropy, ManualClock, SeededEntropy};
use crate::store::memory::{MemoryIndex, MemoryPayloads};
use crate::store::{IndexBackfill, IndexEntry, InlinePayloads, PayloadRef, PayloadStore, RowState, ScanRequest, StoreError};
use crate::types::{PgType, Qualified};
use crate::versions::{
    CommitNo, CommitStamp, Context, IndexId, ItemKey, KeyFilter, KeyPart, Op, Scope, Snapshot, TableId, Timestamp, encode_key,
};

/// One store, and a database that can be opened over it again, as after a crash.
struct Fixture {
    clock: Arc<ManualClock>,
    index: Arc<MemoryIndex>,
    db: Arc<Database>,
}

impl Fixture {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let index = Arc::new(MemoryIndex::new(clock.clone()));
        let db = Self::open(&index, &clock, Arc::new(InlinePayloads)).await;
        Self { clock, index, db }
    }

    async fn open(index: &Arc<MemoryIndex>, clock: &Arc<ManualClock>, payloads: Arc<dyn PayloadStore>) -> Arc<Database> {
        Database::open("shop", index.clone(), payloads, clock.clone()).await.unwrap()
    }

    async fn crash(&mut self) {
        self.db = Self::open(&self.index, &self.clock, Arc::new(InlinePayloads)).await;
    }

    /// Commits a change of definitions a second after the last commit.
    async fn ddl<E: std::fmt::Debug>(&self, change: impl FnOnce(&mut Catalog) -> Result<(), E>) -> CommitStamp {
        self.clock.advance(1_000_000);
        let tx = defining(&self.db, change);
        self.db.commit(tx).await.unwrap().unwrap()
    }

    async fn create(&self, name: &str) -> Arc<TableDef> {
        self.ddl(|catalog| catalog.create_table(table(catalog, name))).await;
        self.db.catalog().tables[&public(name)].clone()
    }

    /// Commits one row a second after the last commit.
    async fn put(&self, table: &TableDef, id: i64, name: &str) -> Result<CommitStamp, HistoryError> {
        self.clock.advance(1_000_000);
        let mut tx = self.db.begin(Context::default());
        write(&self.db, &mut tx, table, id, name).await;
        self.db.commit(tx).await.map(|stamp| stamp.unwrap())
    }

    async fn names(&self, table: TableId, scope: Scope) -> Vec<String> {
        let request = ScanRequest {
            table,
            snapshot: self.db.snapshot(),
            scope,
            keys: KeyFilter::All,
            candidates: None,
            payloads: true,
            limit: None,
        };
        let batches: Vec<RowBatch> = self.db.scan(request).try_collect().await.unwrap();
        batches.into_iter().flatten().map(|row| String::from_utf8(row.payload.to_vec()).unwrap()).collect()
    }
}

fn public(name: &str) -> Qualified {
    Qualified::new("public", name)
}

fn column(id: u16, name: &str, ty: PgType) -> ColumnDef {
    ColumnDef::plain(ColumnId(id), name, ty)
}

/// `CREATE TABLE name (id bigint PRIMARY KEY, name text UNIQUE)`.
fn table(catalog: &Catalog, name: &str) -> TableDef {
    TableDef {
        id: TableId(catalog.ids.next()),
        name: public(name),
        owner: "ann".to_owned(),
        columns: vec![column(1, "id", PgType::INT8), column(2, "name", PgType::TEXT)],
        primary_key: Some((format!("{name}_pkey"), vec![ColumnId(1)])),
        row_counter: catalog.ids.next(),
        uniques: vec![UniqueDef {
            id: IndexId(catalog.ids.next()),
            name: format!("{name}_name_key"),
            columns: vec![ColumnId(2)],
            constraint: true,
            deferrable: false,
            deferred: false,
            shape: Default::default(),
        }],
        indexes: Vec::new(),
        checks: Vec::new(),
        foreign_keys: vec![],
        triggers: vec![],
        computed_indexes: vec![],
        comments: Default::default(),
        on_commit: Default::default(),
        materialized: None,
        collection: None,
        grants: Grants::new(),
    }
}

fn sequence(catalog: &Catalog, name: &str, increment: i64) -> SequenceDef {
    let (start, min, max) = if increment > 0 { (1, 1, i64::MAX) } else { (-1, i64::MIN, -1) };
    SequenceDef {
        id: catalog.ids.next(),
        name: public(name),
        owner: "ann".to_owned(),
        start,
        increment,
        min,
        max,
        cycle: false,
        owned_by: None,
        comment: None,
        grants: Grants::new(),
    }
}

fn schema(catalog: &Catalog, name: &str) -> SchemaDef {
    SchemaDef { id: catalog.ids.next(), name: name.to_owned(), owner: "ann".to_owned(), comment: None, grants: Grants::new() }
}

fn defining<E: std::fmt::Debug>(db: &Database, change: impl FnOnce(&mut Catalog) -> Result<(), E>) -> Transaction {
    let mut tx = db.begin(Context::default());
    let mut catalog = Catalog::clone(&tx.catalog);
    change(&mut catalog).unwrap();
    tx.apply_catalog(catalog).unwrap();
    tx
}

fn key(id: i64) -> ItemKey {
    encode_key([KeyPart::Int(id)])
}

fn entries(table: &TableDef, name: &str) -> Vec<IndexEntry> {
    vec![IndexEntry { index: table.uniques[0].id, key: encode_key([KeyPart::Text(name)]), unique: true }]
}

/// Sets the row in the transaction over whatever the item is at its snapshot.
async fn write(db: &Database, tx: &mut Transaction, table: &TableDef, id: i64, name: &str) {
    let base = base_of(db, tx, table, id).await;
    tx.write(table.id, key(id), base, Bytes::copy_from_slice(name.as_bytes()), entries(table, name));
}

async fn base_of(db: &Database, tx: &Transaction, table: &TableDef, id: i64) -> Option<Base> {
    let mut found = db.get(table.id, &[key(id)], Scope::Current, tx.snapshot).await.unwrap();
    let row = found.remove(0)?;
    let name = std::str::from_utf8(&row.payload).unwrap();
    Some(Base { version: row.version.number, entries: entries(table, name) })
}

fn as_of(stamp: CommitStamp) -> Scope {
    Scope::AsOf(stamp.time)
}

#[tokio::test]
async fn a_new_database_has_the_schema_public_and_no_commit() {
    let f = Fixture::new().await;
    assert_eq!(f.db.catalog().schemas.keys().collect::<Vec<_>>(), ["public"]);
    assert_eq!(f.db.snapshot().commit, CommitNo::ZERO);
    assert_eq!(f.db.now(), Timestamp::from_micros(1_000_000));
}

#[tokio::test]
async fn definitions_of_the_past_are_found_by_time_and_by_commit() {
    let mut f = Fixture::new().await;
    let first = f.ddl(|c| c.create_table(table(c, "t"))).await;
    let added = f
        .ddl(|c| {
            let mut def = TableDef::clone(&c.tables[&public("t")]);
            def.columns.push(column(3, "price", PgType::INT4));
            c.replace_table(def)
        })
        .await;
    let dropped = f.ddl(|c| c.drop_table(&public("t")).map(drop)).await;
    for _ in 0..2 {
        let now = f.db.snapshot();
        let columns = |scope| f.db.catalog_at(scope, now).tables.get(&public("t")).map(|t| t.columns.len());
        assert_eq!(columns(Scope::AsOf(Timestamp::from_micros(first.time.micros() - 1))), None);
        assert_eq!(columns(as_of(first)), Some(2));
        assert_eq!(columns(Scope::AsOfCommit(first.commit)), Some(2));
        assert_eq!(columns(as_of(added)), Some(3));
        assert_eq!(columns(as_of(dropped)), None);
        assert_eq!(columns(Scope::Current), None);
        let before_drop = Snapshot { commit: added.commit, time: added.time };
        assert_eq!(f.db.catalog_at(Scope::AsOf(Timestamp::MAX), before_drop).tables.len(), 1);
        let id = f.db.catalog_at(as_of(first), now).tables[&public("t")].id;
        let states = f.db.table_states(id);
        assert_eq!(states.iter().map(|(stamp, def)| (*stamp, def.columns.len())).collect::<Vec<_>>(), [(first, 2), (added, 3)]);
        f.crash().await;
    }
}

#[tokio::test]
async fn a_name_that_was_dropped_and_made_again_reads_its_old_table_in_the_past() {
    let f = Fixture::new().await;
    let old = f.create("t").await;
    let put = f.put(&old, 1, "old").await.unwrap();
    let dropped = f.ddl(|c| c.drop_table(&public("t")).map(drop)).await;
    assert_eq!(f.db.table_at(&public("t"), Scope::Current, f.db.snapshot()), None);
    assert_eq!(f.db.table_at(&public("t"), Scope::All, f.db.snapshot()).map(|t| t.id), Some(old.id));
    let new = f.create("t").await;
    assert_ne!(old.id, new.id);
    let found = |scope| f.db.table_at(&public("t"), scope, f.db.snapshot()).map(|t| t.id);
    assert_eq!(found(as_of(put)), Some(old.id));
    assert_eq!(found(Scope::AsOfCommit(put.commit)), Some(old.id));
    assert_eq!(found(as_of(dropped)), Some(new.id));
    assert_eq!(found(Scope::Current), Some(new.id));
    assert_eq!(found(Scope::All), Some(new.id));
    assert_eq!(f.names(old.id, as_of(put)).await, ["old"]);
    assert!(f.names(new.id, Scope::All).await.is_empty());
}

#[tokio::test]
async fn an_instant_before_the_table_reads_the_present_one() {
    let f = Fixture::new().await;
    f.create("t").await;
    f.ddl(|c| c.drop_table(&public("t")).map(drop)).await;
    let present = f.create("t").await;
    let long_ago = Scope::AsOf(Timestamp::from_micros(5));
    assert_eq!(f.db.table_at(&public("t"), long_ago, f.db.snapshot()).map(|t| t.id), Some(present.id));
    assert_eq!(f.db.table_at(&public("u"), long_ago, f.db.snapshot()), None);
}

#[tokio::test]
async fn a_renamed_table_is_found_in_the_past_by_either_name() {
    let f = Fixture::new().await;
    let before = f.create("t").await;
    let put = f.put(&before, 1, "a").await.unwrap();
    f.ddl(|c| c.replace_table(TableDef { name: public("u"), ..TableDef::clone(&c.tables[&public("t")]) })).await;
    for name in ["t", "u"] {
        let found = f.db.table_at(&public(name), as_of(put), f.db.snapshot()).unwrap();
        assert_eq!((found.id, &found.name), (before.id, &public("t")), "{name}");
    }
    assert_eq!(f.db.table_at(&public("t"), Scope::Current, f.db.snapshot()), None);
    assert_eq!(f.db.catalog().table_by_id(before.id).map(|t| &t.name), Some(&public("u")));
}

#[tokio::test]
async fn union_has_every_column_ever_under_names_of_their_own() {
    let f = Fixture::new().await;
    let def = f.create("t").await;
    f.ddl(|c| {
        let mut def = TableDef::clone(&c.tables[&public("t")]);
        def.columns[1].dropped = true;
        def.uniques.clear();
        let mut again = column(def.next_column_id().0, "name", PgType::INT4);
        again.field = def.free_field("name");
        def.columns.push(again);
        c.replace_table(def)
    })
    .await;
    let union = f.db.union_columns(def.id);
    let shown: Vec<_> = union.iter().map(|c| (c.name.as_str(), c.field.as_str())).collect();
    assert_eq!(shown, [("id", "id"), ("name__2", "name"), ("name", "name_2")]);
}

#[tokio::test]
async fn public_can_be_dropped_before_anything_else_and_stays_dropped() {
    let mut f = Fixture::new().await;
    f.ddl(|c| c.drop_schema("public", false)).await;
    f.crash().await;
    assert!(f.db.catalog().schemas.is_empty());
    assert_eq!(f.db.catalog_at(Scope::AsOf(Timestamp::from_micros(1)), f.db.snapshot()).schemas.len(), 1);
    f.ddl(|c| c.create_schema(schema(c, "public"))).await;
    f.crash().await;
    assert_eq!(f.db.catalog().schemas.len(), 1);
    f.create("t").await;
}

#[tokio::test]
async fn numbers_of_definitions_are_never_given_twice() {
    let mut f = Fixture::new().await;
    let failed = defining(&f.db, |c| c.create_table(table(c, "never")));
    let lost = failed.catalog.tables[&public("never")].uniques[0].id.0;
    drop(failed);
    let first = f.create("t").await;
    assert!(first.id.0 > lost && lost >= Ids::FIRST);
    f.ddl(|c| c.drop_table(&public("t")).map(drop)).await;
    f.crash().await;
    let second = f.create("t").await;
    assert!(second.id.0 > first.uniques[0].id.0);
}

#[tokio::test]
async fn rows_are_versions_and_an_update_that_changes_nothing_is_one_too() {
    let f = Fixture::new().await;
    let t = f.create("t").await;
    let created = f.put(&t, 1, "a").await.unwrap();
    let same = f.put(&t, 1, "a").await.unwrap();
    assert_eq!(same.commit, created.commit.next());
    assert_eq!(f.names(t.id, Scope::All).await, ["a", "a"]);
    let mut tx = f.db.begin(Context::default());
    let base = base_of(&f.db, &tx, &t, 1).await;
    tx.delete(t.id, key(1), base);
    let deleted = f.db.commit(tx).await.unwrap().unwrap();
    assert!(f.names(t.id, Scope::Current).await.is_empty());
    assert_eq!(f.names(t.id, as_of(same)).await, ["a"]);
    let again = f.put(&t, 1, "b").await.unwrap();
    let keys = [key(2), key(1)];
    let got = f.db.get(t.id, &keys, Scope::Current, f.db.snapshot()).await.unwrap();
    assert!(got[0].is_none());
    let version = got[1].as_ref().unwrap().version;
    assert_eq!((version.number.0, version.op, version.period.begun), (3, Op::Create, again.commit));
    assert_eq!(f.db.commit_at(deleted.time).await.unwrap(), Some(deleted));
}

#[tokio::test]
async fn a_transaction_without_changes_is_no_commit() {
    let f = Fixture::new().await;
    let t = f.create("t").await;
    let before = f.db.snapshot();
    let mut tx = f.db.begin(Context::default());
    write(&f.db, &mut tx, &t, 1, "a").await;
    tx.delete(t.id, key(1), None);
    assert_eq!(f.db.commit(tx).await.unwrap(), None);
    assert_eq!(f.db.snapshot(), before);
}

#[tokio::test]
async fn truncate_ends_every_item_and_the_same_keys_may_come_again() {
    let f = Fixture::new().await;
    let t = f.create("t").await;
    f.put(&t, 1, "a").await.unwrap();
    let before = f.put(&t, 2, "b").await.unwrap();
    let mut tx = f.db.begin(Context::default());
    write(&f.db, &mut tx, &t, 3, "c").await;
    tx.truncate(t.id);
    write(&f.db, &mut tx, &t, 1, "b").await;
    f.db.commit(tx).await.unwrap();
    assert_eq!(f.names(t.id, Scope::Current).await, ["b"]);
    assert_eq!(f.names(t.id, as_of(before)).await, ["a", "b"]);
}

#[tokio::test]
async fn whatever_a_transaction_does_to_an_item_is_one_change_of_it() {
    let seed = 20;
    println!("seed {seed}");
    let entropy = SeededEntropy::new(seed);
    let below = |n: u64| entropy.next_u64() % n;
    let f = Fixture::new().await;
    let t = f.create("t").await;
    let mut expected = std::collections::BTreeMap::new();
    for round in 0..300u64 {
        let mut tx = f.db.begin(Context::default());
        for step in 0..1 + below(8) {
            let id = below(4) as i64;
            match below(9) {
                0 => {
                    tx.truncate(t.id);
                    expected.clear();
                }
                1..4 => {
                    let base = base_of(&f.db, &tx, &t, id).await;
                    tx.delete(t.id, key(id), base);
                    expected.remove(&id);
                }
                _ => {
                    let name = format!("{id} in {round}.{step}");
                    write(&f.db, &mut tx, &t, id, &name).await;
                    expected.insert(id, name);
                }
            }
        }
        let before = f.names(t.id, Scope::All).await.len();
        f.db.commit(tx).await.unwrap();
        let names: Vec<String> = expected.values().cloned().collect();
        assert_eq!(f.names(t.id, Scope::Current).await, names, "round {round}");
        assert!(f.names(t.id, Scope::All).await.len() <= before + names.len(), "round {round}");
    }
}

#[tokio::test]
async fn one_of_two_writers_of_an_item_loses() {
    let f = Fixture::new().await;
    let t = f.create("t").await;
    f.put(&t, 1, "a").await.unwrap();
    let (mut one, mut two) = (f.db.begin(Context::default()), f.db.begin(Context::default()));
    write(&f.db, &mut one, &t, 1, "one").await;
    write(&f.db, &mut two, &t, 1, "two").await;
    f.db.commit(one).await.unwrap();
    let lost = f.db.commit(two).await.unwrap_err().diagnose();
    assert_eq!(lost.code(), SqlState::SERIALIZATION_FAILURE);
}

#[track_caller]
fn check_duplicate(error: HistoryError, constraint: &str, detail: &str) {
    let error: SqlError = error.into();
    let fields = error.fields();
    assert_eq!(fields.code, SqlState::UNIQUE_VIOLATION);
    assert_eq!(fields.message, format!("duplicate key value violates unique constraint \"{constraint}\""));
    assert_eq!(fields.detail.as_deref(), Some(detail));
    assert_eq!(fields.constraint.as_deref(), Some(constraint));
    assert_eq!((fields.schema.as_deref(), fields.table.as_deref()), (Some("public"), Some("t")));
}

#[tokio::test]
async fn duplicates_name_the_constraint_and_the_key() {
    let f = Fixture::new().await;
    let t = f.create("t").await;
    let mut late = f.db.begin(Context::default());
    write(&f.db, &mut late, &t, 1, "b").await;
    f.put(&t, 1, "a").await.unwrap();
    check_duplicate(f.db.commit(late).await.unwrap_err(), "t_pkey", "Key (id)=(1) already exists.");
    check_duplicate(f.put(&t, 2, "a").await.unwrap_err(), "t_name_key", "Key (name)=(a) already exists.");
    assert_eq!(f.names(t.id, Scope::All).await, ["a"]);
}

#[tokio::test]
async fn a_unique_index_over_duplicates_is_refused() {
    let f = Fixture::new().await;
    let mut plain = None;
    f.ddl(|c| {
        let mut def = table(c, "t");
        def.uniques.clear();
        plain = Some(def.clone());
        c.create_table(def)
    })
    .await;
    let plain = plain.unwrap();
    let index = IndexId(f.db.catalog().ids.next());
    let mut tx = f.db.begin(Context::default());
    for id in [1, 2] {
        tx.write(plain.id, key(id), None, Bytes::from_static(b"x"), Vec::new());
    }
    f.db.commit(tx).await.unwrap();
    let mut tx = defining(&f.db, |c| {
        let mut def = plain.clone();
        def.uniques.push(UniqueDef {
            id: index,
            name: "t_x".to_owned(),
            columns: vec![ColumnId(2)],
            constraint: false,
            deferrable: false,
            deferred: false,
            shape: Default::default(),
        });
        c.replace_table(def)
    });
    let entry = IndexEntry { index, key: encode_key([KeyPart::Text("x")]), unique: true };
    let entries = [1, 2].map(|id| (key(id), entry.clone())).to_vec();
    tx.backfill.push(IndexBackfill { table: plain.id, seen: tx.snapshot.commit, entries });
    let refused: SqlError = f.db.commit(tx).await.unwrap_err().into();
    assert_eq!(refused.message(), "could not create unique index \"t_x\"");
    assert_eq!(refused.fields().detail.as_deref(), Some("Key (name)=(x) is duplicated."));
    assert!(f.db.catalog().tables[&public("t")].uniques.is_empty());
}

#[tokio::test]
async fn of_two_changes_of_definitions_one_is_refused() {
    let f = Fixture::new().await;
    let one = defining(&f.db, |c| c.create_table(table(c, "one")));
    let two = defining(&f.db, |c| c.create_table(table(c, "two")));
    f.db.commit(one).await.unwrap();
    let lost = f.db.commit(two).await.unwrap_err();
    assert!(matches!(lost, HistoryError::Store(StoreError::CatalogConflict)));
    assert_eq!(lost.diagnose().code(), SqlState::SERIALIZATION_FAILURE);
    assert_eq!(f.db.catalog().tables.len(), 1);
}

#[tokio::test]
async fn rows_meet_only_changes_of_their_own_tables() {
    let f = Fixture::new().await;
    let t = f.create("t").await;
    let (mut unrelated, mut related) = (f.db.begin(Context::default()), f.db.begin(Context::default()));
    write(&f.db, &mut unrelated, &t, 1, "a").await;
    write(&f.db, &mut related, &t, 2, "b").await;
    f.create("other").await;
    f.db.commit(unrelated).await.unwrap();
    f.ddl(|c| {
        let mut def = TableDef::clone(&c.tables[&public("t")]);
        def.columns.push(column(3, "price", PgType::INT4));
        c.replace_table(def)
    })
    .await;
    let lost = f.db.commit(related).await.unwrap_err();
    assert!(matches!(lost, HistoryError::Store(StoreError::CatalogConflict)));
}

#[tokio::test]
async fn definitions_and_rows_of_one_transaction_are_one_commit() {
    let f = Fixture::new().await;
    let mut tx = defining(&f.db, |c| c.create_table(table(c, "t")));
    let t = tx.catalog.tables[&public("t")].clone();
    tx.write(t.id, key(1), None, Bytes::from_static(b"a"), entries(&t, "a"));
    tx.context = Context { user: "ann".to_owned(), reason: Some("start".to_owned()), ..Context::default() };
    let stamp = f.db.commit(tx).await.unwrap().unwrap();
    assert_eq!(f.names(t.id, Scope::AsOfCommit(stamp.commit)).await, ["a"]);
    for _ in 0..2 {
        let infos = f.db.commit_infos([stamp.commit, CommitNo(99), stamp.commit]).await.unwrap();
        assert_eq!(infos.len(), 1);
        let info = &infos[&stamp.commit];
        assert_eq!((info.tables.as_slice(), info.rows), (&["public.t".to_owned()][..], 1));
        assert_eq!(info.context.reason.as_deref(), Some("start"));
    }
    assert_eq!(f.db.commit_stamp(stamp.commit).await.unwrap(), stamp);
    let later = f.db.commit_stamp(stamp.commit.next()).await.unwrap_err();
    assert_eq!(later.diagnose().code(), SqlState::INVALID_PARAMETER_VALUE);
}

#[tokio::test]
async fn a_load_brings_its_own_periods() {
    let f = Fixture::new().await;
    let t = f.create("t").await;
    let (sender, states) = tokio::sync::mpsc::channel(2);
    let state = |from, to: Option<i64>, name: &'static str| RowState {
        key: key(1),
        from: Timestamp::from_micros(from),
        to: to.map(Timestamp::from_micros),
        payload: PayloadRef::Inline(Bytes::from_static(name.as_bytes())),
        entries: entries(&t, name),
    };
    sender.send(Ok(vec![state(10, Some(20), "a"), state(20, None, "b")])).await.unwrap();
    drop(sender);
    assert_eq!(f.db.load(Context::default(), &t, states).await.unwrap(), 2);
    assert_eq!(f.names(t.id, Scope::AsOf(Timestamp::from_micros(19))).await, ["a"]);
    assert_eq!(f.names(t.id, Scope::Current).await, ["b"]);
}

#[tokio::test]
async fn payloads_outside_of_the_index_are_fetched_and_never_missed_silently() {
    let clock = Arc::new(ManualClock::at(1));
    let index = Arc::new(MemoryIndex::new(clock.clone()));
    let payloads = Arc::new(MemoryPayloads::new());
    let db = Fixture::open(&index, &clock, payloads.clone()).await;
    let f = Fixture { clock, index, db };
    let t = f.create("t").await;
    f.put(&t, 1, "a").await.unwrap();
    assert_eq!(f.names(t.id, Scope::All).await, ["a"]);
    let got = f.db.get(t.id, &[key(9), key(1)], Scope::Current, f.db.snapshot()).await.unwrap();
    assert!(got[0].is_none());
    assert_eq!(got[1].as_ref().unwrap().payload, "a");
    f.crash_into_inline().await;
}

impl Fixture {
    /// Reads through a payload store that has none of the objects.
    async fn crash_into_inline(mut self) {
        self.crash().await;
        let t = self.db.catalog().tables[&public("t")].clone();
        let lost = self.db.get(t.id, &[key(1)], Scope::Current, self.db.snapshot()).await.unwrap_err();
        assert_eq!(lost.diagnose().code(), SqlState::IO_ERROR);
    }
}

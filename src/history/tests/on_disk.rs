//! What only shows over a store with a writer of its own.

use super::*;
use crate::store::sqlite::SqliteIndex;

async fn open(folder: &tempfile::TempDir) -> Arc<Database> {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let index = SqliteIndex::open(&folder.path().join("shop.sqlite"), clock.clone()).unwrap();
    Database::open("shop", Arc::new(index), Arc::new(InlinePayloads), clock).await.unwrap()
}

#[tokio::test]
async fn a_clean_restart_keeps_definitions_and_loses_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    let tx = defining(&db, |c| {
        c.create_table(table(c, "t"))?;
        c.create_sequence(sequence(c, "up", 1))?;
        c.create_sequence(sequence(c, "down", -5))
    });
    db.commit(tx).await.unwrap();
    let mut db = db;
    for round in 0..3 {
        let catalog = db.catalog();
        assert!(catalog.tables.contains_key(&public("t")));
        assert_eq!(db.next_value(&catalog.sequences[&public("up")]).await.unwrap(), 1 + round);
        let down = db.next_value(&catalog.sequences[&public("down")]).await.unwrap();
        assert_eq!(down, -1 - 5 * round);
        db.close().await.unwrap();
        drop(db);
        db = open(&folder).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_is_never_newer_than_the_definitions_beside_it() {
    const TABLES: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    db.commit(defining(&db, |c| c.create_table(table(c, "t0")))).await.unwrap();
    let rows = db.catalog().tables[&public("t0")].clone();
    let watcher = tokio::spawn({
        let db = Arc::clone(&db);
        async move {
            let mut seen = Vec::new();
            while db.catalog().tables.len() < TABLES {
                let tx = db.begin(Context::default());
                tokio::task::yield_now().await;
                let known = tx.catalog.tables.len();
                seen.push((tx.snapshot, known));
            }
            for (snapshot, known) in seen {
                assert_eq!(db.catalog_at(Scope::Current, snapshot).tables.len(), known, "at {snapshot:?}");
            }
        }
    });
    let writer = tokio::spawn({
        let db = Arc::clone(&db);
        async move {
            for id in 0.. {
                if db.catalog().tables.len() == TABLES {
                    return;
                }
                let mut tx = db.begin(Context::default());
                tx.write(rows.id, key(id), None, Bytes::from_static(b"x"), Vec::new());
                match db.commit(tx).await {
                    Ok(stamp) => assert!(db.snapshot().commit >= stamp.unwrap().commit, "an acknowledged commit is not seen"),
                    Err(HistoryError::Store(StoreError::CatalogConflict)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    });
    for n in 1..TABLES {
        db.commit(defining(&db, |c| c.create_table(table(c, &format!("t{n}"))))).await.unwrap();
    }
    watcher.await.unwrap();
    writer.await.unwrap();
}

#[tokio::test]
async fn after_close_no_value_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder).await;
    let tx = defining(&db, |c| c.create_sequence(sequence(c, "s", 1)));
    db.commit(tx).await.unwrap();
    let def = db.catalog().sequences[&public("s")].clone();
    assert_eq!(db.next_value(&def).await.unwrap(), 1);
    db.close().await.unwrap();
    assert!(matches!(db.next_value(&def).await, Err(HistoryError::Store(StoreError::Closed))));
}

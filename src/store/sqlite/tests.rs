//! What only this store promises: reopening, locking, full disks, plans of its statements.

use std::sync::Arc;

use super::*;
use crate::store::conformance;

/// Makes an empty store per call, all in one directory that ends with the closure.
fn maker(dir: &tempfile::TempDir) -> impl AsyncFn(Arc<dyn Clock>) -> Arc<dyn IndexStore> {
    let path = dir.path().to_owned();
    let made = std::sync::atomic::AtomicU32::new(0);
    async move |clock| {
        let n = made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Arc::new(SqliteIndex::open(&path.join(format!("{n}.sqlite")), clock).unwrap()) as Arc<dyn IndexStore>
    }
}

#[tokio::test]
async fn keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    conformance::index_store(&maker(&dir)).await;
}

#[tokio::test]
async fn agrees_with_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let make = maker(&dir);
    for seed in 0..12 {
        conformance::random::history(seed, 120, &make).await;
    }
}

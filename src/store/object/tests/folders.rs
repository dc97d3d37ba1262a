//! Rules about local folders and the cache on disk.

use super::*;

fn folder(path: &Path) -> Objects {
    Objects::Folder(path.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_the_contract_with_caches_and_without() {
    let base = tempfile::tempdir().expect("a folder");
    crate::store::conformance::payloads::all(&open(folder(base.path()), settings())).await;
    let disk_cache = Some(DiskCacheSettings { folder: base.path().join("cache"), bytes: 50_000 });
    let cached = ObjectSettings { memory_cache_bytes: 0, disk_cache, ..settings() };
    crate::store::conformance::payloads::all(&open(folder(base.path()), cached)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_the_main_sample_is_read_from_its_folder() {
    let base = samples::folder("main").join("payload");
    let store = open(folder(&base), settings());
    let mut objects = Vec::new();
    for bucket in ["acme-runtime", "globex-runtime", "shared-meta"] {
        objects.extend(objects_in(&base.join(bucket)));
    }
    let bytes = store.get(&references(&objects)).await.expect("read");
    assert!(bytes.iter().zip(&objects).all(|(read, (_, written))| read == written));
    assert!(objects.len() > 1000, "{}", objects.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_damaged_or_outside_is_named_and_a_folder_that_is_gone_is_unreachable() {
    let base = tempfile::tempdir().expect("a folder");
    let store = open(folder(base.path()), ObjectSettings { memory_cache_bytes: 0, ..settings() });
    std::fs::write(base.path().join("secret"), b"secret").expect("written");
    let [made] = &store.put(vec![Bytes::from_static(b"{}")]).await.expect("put")[..] else { panic!("one") };
    assert_eq!(store.get(std::slice::from_ref(made)).await.expect("read"), [Bytes::from_static(b"{}")]);
    let PayloadRef::Object { name, .. } = made else { panic!("an object") };
    std::fs::write(base.path().join(name), b"[]").expect("written");
    is_missing(store.get(std::slice::from_ref(made)).await, name);
    std::fs::write(base.path().join(name), b"{} ").expect("written");
    is_missing(store.get(std::slice::from_ref(made)).await, name);
    for outside in ["b/../secret", "../secret", "b//secret", "b/./../secret", "/secret", "b/\u{0}", "b/..", "b/a\\..\\secret"] {
        is_missing(store.get(&[reference(outside, b"secret")]).await, outside);
        let put = store.put_at(vec![NewObject::json(outside, &b"x"[..])], Occupied::Replace).await;
        assert!(matches!(put, Err(StoreError::Engine(_))), "{outside}: {put:?}");
    }
    assert_eq!(std::fs::read(base.path().join("secret")).expect("there"), b"secret");
    let gone = base.path().to_owned();
    drop(base);
    is_unreachable(store.get(std::slice::from_ref(made)).await);
    is_unreachable(store.put(vec![Bytes::from_static(b"{}")]).await);
    assert!(!gone.exists(), "a base that is not there is not made up");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_is_whole_and_nothing_is_left_beside_it() {
    let base = tempfile::tempdir().expect("a folder");
    let store = open(folder(base.path()), settings());
    let payloads: Vec<Bytes> = (0..50).map(|n| Bytes::from(vec![b'a'; n * 40])).collect();
    let refs = store.put(payloads.clone()).await.expect("put");
    assert_eq!(open(folder(base.path()), settings()).get(&refs).await.expect("read"), payloads);
    let name = format!("{BUCKET}/users/x/v0/item.json");
    let at = |text: &'static str| vec![NewObject::json(name.clone(), text.as_bytes())];
    store.put_at(at("one"), Occupied::Refuse).await.expect("made");
    store.put_at(at("one"), Occupied::Refuse).await.expect("the same again");
    assert!(matches!(store.put_at(at("two"), Occupied::Refuse).await, Err(StoreError::Engine(_))));
    assert_eq!(std::fs::read(base.path().join(&name)).expect("there"), b"one");
    store.put_at(at("two"), Occupied::Replace).await.expect("replaced");
    assert_eq!(std::fs::read(base.path().join(&name)).expect("there"), b"two");
    let objects = objects_in(&base.path().join(BUCKET));
    assert_eq!(objects.len(), 51);
    assert!(objects.iter().all(|(name, _)| !name.contains("unfinished")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_on_disk_survives_a_restart_keeps_its_bound_and_throws_away_what_is_damaged() {
    let base = tempfile::tempdir().expect("a folder");
    let kept = tempfile::tempdir().expect("a folder");
    let cached = |bytes| ObjectSettings {
        memory_cache_bytes: 0,
        disk_cache: Some(DiskCacheSettings { folder: kept.path().join("cache"), bytes }),
        ..settings()
    };
    let store = open(folder(base.path()), cached(100_000));
    let payloads: Vec<Bytes> = (0..60u8).map(|n| Bytes::from(vec![n; 1000])).collect();
    let refs = store.put(payloads.clone()).await.expect("put");
    assert_eq!(store.get(&refs).await.expect("read"), payloads);
    assert_eq!(store.0.disk.as_ref().map(DiskCache::bytes), Some(60_000));
    std::fs::write(kept.path().join("cache/unfinished/half"), b"x").expect("written");

    // Restarted, with the objects themselves gone.
    std::fs::rename(base.path().join(BUCKET), base.path().join("away")).expect("renamed");
    let store = open(folder(base.path()), cached(100_000));
    assert_eq!(store.get(&refs).await.expect("kept"), payloads);
    assert_eq!((store.counts().disk_hits, store.counts().requests), (60, 0));
    assert!(!kept.path().join("cache/unfinished/half").exists());

    // Damaged: asked for again, where it is missing now, and thrown away.
    let file =
        walk(&kept.path().join("cache")).into_iter().find(|file| std::fs::read(file).is_ok_and(|b| b[0] == 7)).expect("a file");
    std::fs::write(&file, vec![8; 1000]).expect("written");
    let PayloadRef::Object { name, .. } = &refs[7] else { panic!("an object") };
    is_missing(store.get(&refs[7..8]).await, name);
    assert!(!file.exists());
    std::fs::rename(base.path().join("away"), base.path().join(BUCKET)).expect("renamed");
    assert_eq!(store.get(&refs[7..8]).await.expect("read"), payloads[7..8]);

    // A smaller bound holds from the start; the files beyond it are gone.
    let store = open(folder(base.path()), cached(20_000));
    assert_eq!(store.0.disk.as_ref().map(DiskCache::bytes), Some(20_000));
    assert_eq!(store.get(&refs).await.expect("read"), payloads);
    let on_disk: u64 = walk(&kept.path().join("cache")).iter().map(|file| file.metadata().expect("there").len()).sum();
    assert_eq!(on_disk, 20_000);
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

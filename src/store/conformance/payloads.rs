//! The contract of a payload store, rule by rule.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a suite of tests: what fails ends it")]

use bytes::Bytes;

use crate::store::{PayloadRef, PayloadStore, StoreError};

/// Puts a store through every rule. It need not be empty.
pub async fn all(store: &dyn PayloadStore) {
    what_is_put_is_got_in_order(store).await;
    equal_payloads_and_repeated_references_are_each_answered(store).await;
    sizes_do_not_matter(store).await;
    nothing_asked_is_nothing_got(store).await;
    inline_payloads_need_no_store(store).await;
    what_was_never_put_is_missing_by_name(store).await;
    many_at_a_time_do_not_mix(store).await;
}

async fn put(store: &dyn PayloadStore, payloads: &[Bytes]) -> Vec<PayloadRef> {
    let refs = store.put(payloads.to_vec()).await.expect("put");
    assert_eq!(refs.len(), payloads.len());
    refs
}

fn numbered(count: usize) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(format!("{{\"n\":{n}}}"))).collect()
}

async fn what_is_put_is_got_in_order(store: &dyn PayloadStore) {
    let payloads = numbered(100);
    let mut refs = put(store, &payloads).await;
    assert_eq!(store.get(&refs).await.expect("got"), payloads);
    refs.reverse();
    let reversed: Vec<Bytes> = payloads.into_iter().rev().collect();
    assert_eq!(store.get(&refs).await.expect("got"), reversed);
}

async fn equal_payloads_and_repeated_references_are_each_answered(store: &dyn PayloadStore) {
    let payloads = vec![Bytes::from_static(b"{\"same\":1}"); 3];
    let refs = put(store, &payloads).await;
    let repeated: Vec<PayloadRef> = refs.iter().chain(&refs).cloned().collect();
    assert_eq!(store.get(&repeated).await.expect("got"), vec![payloads[0].clone(); 6]);
}

async fn sizes_do_not_matter(store: &dyn PayloadStore) {
    let payloads: Vec<Bytes> = [0, 1, 1023, 1024, 1025, 300_000, 5_000_000].map(|size| Bytes::from(vec![b'x'; size])).to_vec();
    let refs = put(store, &payloads).await;
    assert!(store.get(&refs).await.expect("got") == payloads, "payloads of many sizes come back as they were");
}

async fn nothing_asked_is_nothing_got(store: &dyn PayloadStore) {
    assert!(put(store, &[]).await.is_empty());
    assert!(store.get(&[]).await.expect("got").is_empty());
}

async fn inline_payloads_need_no_store(store: &dyn PayloadStore) {
    let inline = PayloadRef::Inline(Bytes::from_static(b"{\"inline\":true}"));
    assert_eq!(store.get(&[inline]).await.expect("got"), [Bytes::from_static(b"{\"inline\":true}")]);
}

async fn what_was_never_put_is_missing_by_name(store: &dyn PayloadStore) {
    let there = put(store, &numbered(2)).await;
    let never = |name: &str| PayloadRef::Object { name: name.to_owned(), size: 2, sha256: [7; 32] };
    let asked = [there[0].clone(), never("bucket/never/one"), never("bucket/never/two"), there[1].clone()];
    let answer = store.get(&asked).await;
    assert!(matches!(&answer, Err(StoreError::Payload { name }) if name == "bucket/never/one"), "{answer:?}");
    assert!(store.get(&there).await.is_ok());
}

async fn many_at_a_time_do_not_mix(store: &dyn PayloadStore) {
    let one = |writer: usize| async move {
        let payloads: Vec<Bytes> = (0..20).map(|n| Bytes::from(format!("{{\"writer\":{writer},\"n\":{n}}}"))).collect();
        let refs = put(store, &payloads).await;
        assert_eq!(store.get(&refs).await.expect("got"), payloads);
    };
    futures::future::join_all((0..8).map(one)).await;
}

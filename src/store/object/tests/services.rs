//! Rules about S3 services.

use std::time::Instant;

use super::proxy::{Mode, Proxy};
use super::s3_server::S3Server;
use super::*;

/// A server with the objects of the library's S3 sample.
fn server(root: &Path) -> S3Server {
    S3Server::over(&samples::folder("s3-sample").join("payload"), root)
}

fn check_all(bytes: &[Bytes], objects: &[(String, Vec<u8>)]) {
    assert_eq!(bytes.len(), objects.len());
    for (read, (name, written)) in bytes.iter().zip(objects) {
        assert_eq!(read, written, "{name}");
    }
}

/// On the service that `CHRONOGATE_TEST_S3_ENDPOINT` names (with `_ACCESS_KEY`, `_SECRET_KEY` and `_BUCKET`), else on our own.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_keeps_the_contract() {
    let root = tempfile::tempdir().expect("a folder");
    let own = server(root.path());
    let patient = ObjectSettings { memory_cache_bytes: 0, ..ObjectSettings::default() };
    let Ok(endpoint) = std::env::var("CHRONOGATE_TEST_S3_ENDPOINT") else {
        return crate::store::conformance::payloads::all(&open(service(own.address), patient)).await;
    };
    let of = |name: &str| std::env::var(format!("CHRONOGATE_TEST_S3_{name}")).unwrap_or_else(|_| panic!("{name} is not set"));
    let named = Objects::Service(Service {
        endpoint,
        region: "us-east-1".to_owned(),
        access_key: Secret::Plain(of("ACCESS_KEY")),
        secret_key: Secret::Plain(of("SECRET_KEY")),
        path_style: true,
    });
    let entropy = Arc::new(crate::runtime::SystemEntropy);
    let store = ObjectPayloads::open(&[(of("BUCKET"), named)], patient, entropy).expect("opened");
    store.probe(&of("BUCKET")).await.expect("the bucket is there");
    crate::store::conformance::payloads::all(&store).await;
    is_missing(store.probe("chronogate-no-such-bucket").await, "chronogate-no-such-bucket");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_the_sample_is_read_back_and_then_kept() {
    let root = tempfile::tempdir().expect("a folder");
    let server = server(root.path());
    let (store, objects) = (open(service(server.address), settings()), sample());
    let mut refs = references(&objects);
    refs.push(PayloadRef::Inline(Bytes::from_static(b"inline")));
    refs.push(refs[0].clone());
    let bytes = store.get(&refs).await.expect("read");
    check_all(&bytes[..objects.len()], &objects);
    assert_eq!((&bytes[objects.len()][..], &bytes[objects.len() + 1]), (&b"inline"[..], &bytes[0]));
    let requests = objects.len() as u64;
    assert_eq!(store.counts(), Counts { requests, memory_hits: 0, disk_hits: 0 });
    drop(server);
    check_all(&store.get(&references(&objects)).await.expect("kept"), &objects);
    assert_eq!(store.counts(), Counts { requests, memory_hits: requests, disk_hits: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_another_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    let server = server(root.path());
    let (store, objects) = (open(service(server.address), settings()), sample());
    let [(gone, _), (cut, _), (changed, bytes), (sound, _)] = &objects[..4] else { panic!("objects") };
    let path = |name: &String| server.bucket(BUCKET).parent().expect("a folder").join(name);
    std::fs::remove_file(path(gone)).expect("removed");
    std::fs::write(path(cut), b"{").expect("written");
    let mut other = bytes.clone();
    other[5] ^= 1;
    std::fs::write(path(changed), other).expect("written");
    let refs = references(&objects[..4]);
    for (reference, name) in refs.iter().zip([gone, cut, changed]) {
        is_missing(store.get(std::slice::from_ref(reference)).await, name);
    }
    // The first in order is named, whichever was found out first.
    is_missing(store.get(&[refs[3].clone(), refs[2].clone(), refs[0].clone()]).await, changed);
    assert!(store.get(&refs[3..]).await.is_ok(), "{sound}");
    let looked = presence(&store, &refs).await.expect("looked");
    assert_eq!(looked, [Presence::Missing, Presence::Missing, Presence::Missing, Presence::There]);
    is_missing(store.get(&[reference("no-such-bucket/x", b"")]).await, "no-such-bucket/x");
    is_missing(store.get(&[reference("nobucket", b"")]).await, "nobucket");
    is_missing(store.get(&[reference(&format!("{BUCKET}/a/../b"), b"")]).await, &format!("{BUCKET}/a/../b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_is_unreachable_and_works_again_when_it_is_back() {
    let root = tempfile::tempdir().expect("a folder");
    let mut server = server(root.path());
    let objects = sample();
    let store = open(service(server.address), ObjectSettings { memory_cache_bytes: 0, ..settings() });
    check_all(&store.get(&references(&objects)).await.expect("read"), &objects);
    server.kill();
    is_unreachable(store.get(&references(&objects)).await);
    is_unreachable(store.put(vec![Bytes::from_static(b"{}")]).await);
    server.start();
    check_all(&store.get(&references(&objects)).await.expect("read again"), &objects);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_killed_under_a_read_and_soon_back_is_not_noticed() {
    let root = tempfile::tempdir().expect("a folder");
    let mut server = server(root.path());
    let objects = sample();
    let patient = ObjectSettings {
        attempts: 8,
        first_pause: Duration::from_millis(50),
        memory_cache_bytes: 0,
        concurrency: 2,
        ..settings()
    };
    let store = open(service(server.address), patient);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let read = {
        let (store, refs, stop) = (store.clone(), references(&objects), stop.clone());
        tokio::spawn(async move {
            let (mut rounds, mut all) = (0, Vec::new());
            while !stop.load(Ordering::SeqCst) {
                all = store.get(&refs).await?;
                rounds += 1;
            }
            Ok::<_, StoreError>((rounds, all))
        })
    };
    while store.counts().requests < 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.kill();
    tokio::time::sleep(Duration::from_millis(150)).await;
    server.start();
    stop.store(true, Ordering::SeqCst);
    let (rounds, all) = read.await.expect("no panic").expect("read");
    check_all(&all, &objects);
    assert!(store.counts().requests > rounds * objects.len() as u64, "some were asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_what_stays_is_given_up() {
    let root = tempfile::tempdir().expect("a folder");
    let server = server(root.path());
    let proxy = Proxy::before(server.address).await;
    let objects = sample();
    let (name, bytes) = objects.iter().max_by_key(|(_, bytes)| bytes.len()).expect("an object");
    let refs = [reference(name, bytes)];
    // A new store each time, for its connections are new then.
    let fresh = || open(service(proxy.address), settings());
    let impatient = ObjectSettings { request_timeout: Duration::from_millis(500), ..settings() };
    for (mode, answers) in [
        (Mode::Pass, true),
        (Mode::Late(Duration::from_millis(200)), true),
        (Mode::Busy(2), true),
        (Mode::Late(Duration::from_secs(2)), false),
        (Mode::Silent, false),
        (Mode::Cut(40), false),
        (Mode::Cut(400), false),
        (Mode::Noise, false),
        (Mode::Busy(99), false),
    ] {
        proxy.set(mode);
        let store = if answers { fresh() } else { open(service(proxy.address), impatient.clone()) };
        let begun = Instant::now();
        let answer = store.get(&refs).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "{mode:?} took {:?}", begun.elapsed());
        if answers {
            assert_eq!(answer.unwrap_or_else(|e| panic!("{mode:?}: {e}"))[0], bytes, "{mode:?}");
        } else {
            is_unreachable(answer);
        }
    }
    proxy.set(Mode::Lie(bytes.len()));
    let store = fresh();
    is_missing(store.get(&refs).await, name);
    assert_eq!(store.counts().requests, 2, "damage on the way is worth one more look");
    proxy.set(Mode::Pass);
    assert!(fresh().get(&refs).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_refused_and_never_shown() {
    let root = tempfile::tempdir().expect("a folder");
    let server = server(root.path());
    let Objects::Service(right) = service(server.address) else { panic!("a service") };
    let wrong = Objects::Service(Service { secret_key: Secret::Plain("hunter2".to_owned()), ..right });
    let (store, objects) = (open(wrong, settings()), sample());
    let answer = store.get(&references(&objects[..1])).await;
    assert!(matches!(&answer, Err(StoreError::Engine(cause)) if cause.contains("refused access")), "{answer:?}");
    assert!(!format!("{store:?} {answer:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_is_there_for_another_with_type_and_digest_beside_it() {
    let root = tempfile::tempdir().expect("a folder");
    let server = server(root.path());
    let store = open(service(server.address), settings());
    let payloads: Vec<Bytes> = (0..40).map(|n| Bytes::from(format!("{{\"n\":{n}}}"))).collect();
    let refs = store.put(payloads.clone()).await.expect("put");
    let another = open(service(server.address), settings());
    assert_eq!(another.get(&refs).await.expect("read"), payloads);

    let name = format!("{BUCKET}/users/0123456789abcdef01234567/v0/item.json");
    let put = |text: &'static str, occupied| {
        let name = name.clone();
        let store = store.clone();
        async move { store.put_at(vec![NewObject::json(name, text.as_bytes())], occupied).await }
    };
    let made = put("{\"a\":1}", Occupied::Refuse).await.expect("made");
    assert_eq!(made, [reference(&name, b"{\"a\":1}")]);
    assert_eq!(put("{\"a\":1}", Occupied::Refuse).await.expect("the same again"), made);
    assert!(matches!(put("{\"a\":2}", Occupied::Refuse).await, Err(StoreError::Engine(_))));
    assert_eq!(another.get(&made).await.expect("unchanged")[0], "{\"a\":1}");
    let replaced = put("{\"a\":2}", Occupied::Replace).await.expect("replaced");
    assert_eq!(another.get(&replaced).await.expect("read")[0], "{\"a\":2}");

    let s3 = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", server.address))
        .with_allow_http(true)
        .with_bucket_name(BUCKET)
        .with_access_key_id(s3_server::ACCESS_KEY)
        .with_secret_access_key(s3_server::SECRET_KEY)
        .build()
        .expect("a client");
    let key = object_store::path::Path::from(name.split_once('/').expect("a key").1);
    let found = object_store::ObjectStoreExt::get(&s3, &key).await.expect("found");
    let about: std::collections::BTreeMap<String, String> =
        found.attributes.iter().map(|(name, value)| (format!("{name:?}"), value.to_string())).collect();
    let of = |text: &str| about.iter().find(|(name, _)| name.contains(text)).map(|(_, value)| value.as_str());
    assert_eq!(of("ContentType"), Some("application/json; charset=utf-8"));
    assert_eq!(of("\"sha256\"").map(str::to_owned), Some(hex(&Sha256::digest(b"{\"a\":2}"))));
    assert_eq!(of("\"content-type\""), Some("application/json; charset=utf-8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_larger_than_the_budget_pass_one_by_one() {
    let root = tempfile::tempdir().expect("a folder");
    let server = server(root.path());
    let objects = sample();
    let tight = ObjectSettings { budget_bytes: 512, memory_cache_bytes: 0, ..settings() };
    let store = open(service(server.address), tight);
    let refs = references(&objects);
    let (one, other) = tokio::join!(store.get(&refs), store.get(&refs));
    check_all(&one.expect("read"), &objects);
    check_all(&other.expect("read"), &objects);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_a_bucket_from_none_and_from_no_service() {
    let root = tempfile::tempdir().expect("a folder");
    let mut server = server(root.path());
    let proxy = Proxy::before(server.address).await;
    let store = open(service(server.address), settings());
    store.probe(BUCKET).await.expect("there");
    // The server of these tests tells no bucket from no object; others do.
    proxy.set(Mode::NoBucket);
    is_missing(open(service(proxy.address), settings()).probe("no-such-bucket").await, "no-such-bucket");
    server.kill();
    is_unreachable(store.probe(BUCKET).await);
}

#[test]
fn a_bucket_goes_into_the_host_where_it_can() {
    let at = |endpoint: &str, path_style, bucket: &str| {
        let Objects::Service(service) = service(([127, 0, 0, 1], 1).into()) else { panic!("a service") };
        let service = Service { endpoint: endpoint.to_owned(), path_style, ..service };
        S3::new(&service, &settings()).expect("a client").with_host_of(bucket)
    };
    assert_eq!(at("https://s3.eu.example", false, "acme-b").as_deref(), Some("https://acme-b.s3.eu.example"));
    assert_eq!(at("https://s3.eu.example:99", false, "acme").as_deref(), Some("https://acme.s3.eu.example:99"));
    for (endpoint, path_style, bucket) in [
        ("https://s3.eu.example", true, "acme"),
        ("https://s3.eu.example", false, "a.dotted.one"),
        ("https://s3.eu.example", false, "Capital"),
        ("http://127.0.0.1:9000", false, "acme"),
        ("http://localhost:9000", false, "acme"),
    ] {
        assert_eq!(at(endpoint, path_style, bucket), None, "{endpoint} {bucket}");
    }
}

#[test]
fn one_bucket_cannot_be_in_two_places() {
    let [one, other] = [1, 2].map(|port| service(([127, 0, 0, 1], port).into()));
    let open = |buckets: &[(String, Objects)]| ObjectPayloads::open(buckets, settings(), Arc::new(SeededEntropy::new(7)));
    assert!(open(&[("a".to_owned(), one.clone()), ("b".to_owned(), other.clone()), ("a".to_owned(), one.clone())]).is_ok());
    assert!(open(&[("a".to_owned(), one), ("a".to_owned(), other)]).is_err());
    assert!(open(&[]).is_err());
}

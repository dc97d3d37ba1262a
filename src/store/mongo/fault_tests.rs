//! Servers that go away, refuse, stall or talk nonsense: a proxy between the store and the real server does it all.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::tests::{Maker, clock, uri};
use super::*;
use crate::store::conformance::{TABLE, create, key, rows, scan, snapshot, update, whole};

/// What a proxy does with what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mood {
    Honest,
    /// Ends connections at once.
    Refusing,
    /// Takes everything and answers nothing.
    Silent,
    /// Answers with bytes of no protocol.
    Babbling,
    /// Passes a commit on and ends the connection before the answer; then is honest.
    HidingOneCommit,
    /// Ends the connection in place of passing a commit on; then is honest.
    LosingOneCommit,
}

pub(super) struct Proxy {
    pub(super) uri: String,
    mood: Arc<AtomicU8>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// A proxy to the server that the URI names, and the URI of that.
    pub(super) async fn to(uri: &str) -> Self {
        let rest = uri.strip_prefix("mongodb://").unwrap();
        let (host, options) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = host.rsplit_once('@').map_or(("", host), |(login, host)| (login, host));
        let target = host.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        // Else the driver asks the server for its address, and goes past the proxy.
        let direct =
            if options.contains("directConnection") { options.to_owned() } else { format!("{options}?directConnection=true") };
        let mood = Arc::new(AtomicU8::new(Mood::Honest as u8));
        let shared = mood.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), shared.clone()));
            }
        });
        Self { uri: format!("mongodb://{login}{address}/{direct}"), mood, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }
}

async fn pass(mut client: TcpStream, target: String, mood: Arc<AtomicU8>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut from_client, mut from_server) = ([0; 65536], [0; 65536]);
    let is = |wanted: Mood| mood.load(Ordering::SeqCst) == wanted as u8;
    let mut hiding = false;
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(count @ 1..) = read else { return };
                let sent = &from_client[..count];
                let commits = sent.windows(17).any(|part| part == b"commitTransaction");
                if is(Mood::Refusing) {
                    return;
                }
                if is(Mood::Babbling) {
                    let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\nwhat?").await;
                    continue;
                }
                if commits && is(Mood::LosingOneCommit) {
                    mood.store(Mood::Honest as u8, Ordering::SeqCst);
                    return;
                }
                hiding |= commits && is(Mood::HidingOneCommit);
                if !is(Mood::Silent) && server.write_all(sent).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(count @ 1..) = read else { return };
                if hiding {
                    mood.store(Mood::Honest as u8, Ordering::SeqCst);
                    return;
                }
                if is(Mood::Silent) || is(Mood::Babbling) {
                    continue;
                }
                if is(Mood::Refusing) || client.write_all(&from_server[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(2);

/// Every call fails with 08006 in bounded time while the server cannot be reached, keeps nothing, and goes on by itself
/// when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_reached_is_waited_for_and_comes_back() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri.clone());
    maker.make(clock()).await.commit(rows(vec![create("a", "0")])).await.unwrap();
    let proxy = Proxy::to(&uri).await;
    let store = maker.another(&proxy.uri, PATIENCE).await;
    let mut number = 0;
    let keys = [key("a")];
    for mood in [Mood::Refusing, Mood::Silent, Mood::Babbling] {
        let before = store.last_commit();
        proxy.be(mood);
        let begun = Instant::now();
        let (committed, got, scanned, reserved) = futures::join!(
            store.commit(rows(vec![update("a", number, "lost")])),
            store.get(TABLE, &keys, Scope::Current, snapshot(before)),
            scan(&*store, whole(Scope::All, snapshot(before))),
            store.reserve(1, 1),
        );
        assert!(matches!(committed, Err(StoreError::Unreachable)), "{committed:?}");
        assert!(matches!(got, Err(StoreError::Unreachable)), "{got:?}");
        assert!(matches!(scanned, Err(StoreError::Unreachable)), "{scanned:?}");
        assert!(matches!(reserved, Err(StoreError::Unreachable)), "{reserved:?}");
        assert!(begun.elapsed() < PATIENCE * 4, "in bounded time: {:?}", begun.elapsed());
        proxy.be(Mood::Honest);
        let back = Instant::now();
        let stamp = loop {
            match store.commit(rows(vec![update("a", number, "kept")])).await {
                Ok(stamp) => break stamp,
                Err(StoreError::Unreachable) => assert!(back.elapsed() < PATIENCE * 10, "it comes back after {mood:?}"),
                Err(other) => panic!("{other}"),
            }
        };
        number += 1;
        assert_eq!(stamp.commit, before.commit.next(), "what failed took no number");
        let found = scan(&*store, whole(Scope::All, snapshot(stamp))).await.unwrap();
        assert_eq!(found.len() as u64, number + 1, "and left no state");
    }
    maker.clean().await;
}

/// A commit whose answer is lost, or that is lost itself, is made once, whoever asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_made_once() {
    let Some(uri) = uri() else { return };
    let maker = Maker::new(uri.clone());
    let first = maker.make(clock()).await.commit(rows(vec![create("a", "0")])).await.unwrap();
    let proxy = Proxy::to(&uri).await;
    let store = maker.another(&proxy.uri, PATIENCE * 3).await;
    let mut last = first;
    for (number, mood) in [Mood::HidingOneCommit, Mood::LosingOneCommit, Mood::HidingOneCommit].into_iter().enumerate() {
        proxy.be(mood);
        let stamp = store.commit(rows(vec![update("a", number as u64, "1"), create(&format!("b{number}"), "1")])).await.unwrap();
        assert!(proxy.mood.load(Ordering::SeqCst) == Mood::Honest as u8, "it was tried");
        assert_eq!(stamp.commit, last.commit.next());
        last = stamp;
    }
    let found = scan(&*store, whole(Scope::All, snapshot(last))).await.unwrap();
    assert_eq!(found.len(), 4 + 3);
    assert_eq!(store.last_commit(), last);
    maker.clean().await;
}

//! A server behind a line that takes its time, and a record of what was sent over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mongodb::bson::{RawBsonRef, RawDocument};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Where one request ends and the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Messages that begin with their length.
    Mongo,
    /// Requests come one at a time on a connection: whatever arrives together.
    Http,
}

/// Listens on a free loopback port; every request reaches the server this much later than it came, and as many as come are
/// on their way at a time.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Shared {
    target: SocketAddr,
    framing: Framing,
    delay_micros: AtomicU64,
    requests: Mutex<Vec<Vec<u8>>>,
}

impl Proxy {
    pub async fn before(target: SocketAddr, framing: Framing) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared { target, framing, delay_micros: AtomicU64::new(0), requests: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    pub fn delay(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).expect("short");
        self.shared.delay_micros.store(micros, Ordering::Relaxed);
    }

    /// Forgets what was sent so far.
    pub fn forget(&self) {
        self.shared.requests.lock().clear();
    }

    /// What was sent since about this, each request by its first words; forgets everything.
    pub fn take_about(&self, subject: &[u8]) -> Vec<String> {
        let requests = std::mem::take(&mut *self.shared.requests.lock());
        let about = requests.iter().filter(|request| request.windows(subject.len()).any(|part| part == subject));
        about.map(|request| self.shared.framing.title(request)).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(shared.target).await else { continue };
        for socket in [&client, &server] {
            let _ = socket.set_nodelay(true);
        }
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (sender, mut waiting) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        tokio::spawn(receive(from_client, sender, shared.clone()));
        tokio::spawn(async move {
            while let Some((due, bytes)) = waiting.recv().await {
                tokio::time::sleep_until(due).await;
                if to_server.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    }
}

async fn receive(mut from: OwnedReadHalf, to: mpsc::UnboundedSender<(Instant, Vec<u8>)>, shared: Arc<Shared>) {
    let mut unread = Vec::new();
    while from.read_buf(&mut unread).await.is_ok_and(|count| count > 0) {
        while let Some(length) = shared.framing.first(&unread) {
            let request: Vec<u8> = unread.drain(..length).collect();
            shared.requests.lock().push(request.clone());
            let delay = Duration::from_micros(shared.delay_micros.load(Ordering::Relaxed));
            if to.send((Instant::now() + delay, request)).is_err() {
                return;
            }
        }
    }
}

impl Framing {
    /// How many bytes the first request has, once it is all there.
    fn first(self, bytes: &[u8]) -> Option<usize> {
        let length = match self {
            Self::Http => bytes.len(),
            Self::Mongo => i32::from_le_bytes(bytes.get(..4)?.try_into().ok()?).try_into().ok()?,
        };
        (length > 0 && bytes.len() >= length).then_some(length)
    }

    fn title(self, request: &[u8]) -> String {
        match self {
            Self::Http => String::from_utf8_lossy(request).split(' ').next().unwrap_or_default().to_owned(),
            Self::Mongo => command(request).unwrap_or_else(|| "?".to_owned()),
        }
    }
}

/// The command of an OP_MSG and what it is run on: after the header of 16 bytes come 4 of flags and 1 for the kind of the
/// section.
fn command(message: &[u8]) -> Option<String> {
    let section = message.get(21..)?;
    let length = usize::try_from(i32::from_le_bytes(section.get(..4)?.try_into().ok()?)).ok()?;
    let document = RawDocument::from_bytes(section.get(..length)?).ok()?;
    let (name, value) = document.iter().next()?.ok()?;
    Some(match value {
        RawBsonRef::String(collection) => format!("{name} {collection}"),
        _ => name.to_string(),
    })
}

//! Accepts connections, bounds their number and their time to come in, and sees them out on shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::channel::{Channel, Ended};
use super::registry::Registry;
use super::scram::Decoy;
use super::shutdown::Shutdown;
use super::startup::{Started, start};
use super::{Tls, backend};
use crate::runtime::Entropy;
use crate::runtime::cancel::Reason;
use crate::session::Shared;

/// Sockets beyond `max_connections` that are still listened to, so that they can be told 53300 and cancel requests
/// get through.
const CROWD: usize = 64;
/// How long a client that is being told goodbye may take to read it.
const FAREWELL: Duration = Duration::from_secs(2);
/// What cancelled statements get to roll back before their connections are cut.
const AFTER_GRACE: Duration = Duration::from_secs(5);

/// Bounds of one server.
#[derive(Clone, Debug)]
pub struct WireOptions {
    pub max_connections: usize,
    /// The largest message that is read, its header aside.
    pub max_message_bytes: usize,
    /// From the first byte to a session; PostgreSQL's default is a minute.
    pub authentication_timeout: Duration,
    /// What running transactions get after a shutdown was asked for.
    pub shutdown_grace: Duration,
    pub tls: Option<Tls>,
}

impl Default for WireOptions {
    fn default() -> Self {
        Self {
            max_connections: 100,
            max_message_bytes: 256 * 1024 * 1024,
            authentication_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(30),
            tls: None,
        }
    }
}

/// What all connections of one listener share.
#[derive(Debug)]
pub struct Server {
    pub(super) options: WireOptions,
    pub(super) sessions: Shared,
    pub(super) registry: Arc<Registry>,
    pub(super) shutdown: Shutdown,
    pub(super) decoy: Decoy,
    connections: AtomicUsize,
}

/// One of the sockets that are counted.
struct Seat(Arc<Server>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    pub fn new(options: WireOptions, sessions: Shared, entropy: Arc<dyn Entropy>, shutdown: Shutdown) -> Arc<Self> {
        let decoy = Decoy::new(entropy.as_ref());
        let registry = Registry::new(entropy);
        Arc::new(Self { options, sessions, registry, shutdown, decoy, connections: AtomicUsize::new(0) })
    }

    /// Serves until [`Shutdown::drain`], then returns when the last connection has ended: by itself, cancelled after
    /// `shutdown_grace`, or cut a few seconds later.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let draining = self.shutdown.draining();
        tokio::pin!(draining);
        loop {
            tokio::select! {
                biased;
                () = &mut draining => break,
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => self.seat(&mut connections, socket, peer),
                    Err(error) => {
                        // Out of descriptors, most likely: waiting lets some come free.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(ended) = connections.join_next() => log_panic(ended),
            }
        }
        drop(listener);
        self.see_out(connections).await;
    }

    fn seat(self: &Arc<Self>, connections: &mut JoinSet<()>, socket: TcpStream, peer: SocketAddr) {
        let seat = Seat(self.clone());
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        if taken >= self.options.max_connections + CROWD {
            return;
        }
        let _ = socket.set_nodelay(true);
        let crowded = taken >= self.options.max_connections;
        let span = tracing::info_span!("connection", peer = %peer);
        connections.spawn(
            async move {
                seat.0.clone().connection(socket, peer, crowded).await;
                drop(seat);
            }
            .instrument(span),
        );
    }

    async fn connection(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, crowded: bool) {
        let started = tokio::select! {
            biased;
            started = start(&self, socket, peer, crowded) => started,
            () = self.shutdown.draining() => Started::Closed,
            () = tokio::time::sleep(self.options.authentication_timeout) => {
                tracing::debug!("authentication timed out");
                Started::Closed
            }
        };
        match started {
            Started::Open(connection) => connection.run().await,
            Started::Refused(channel, ended) => farewell(channel, ended).await,
            Started::Closed => {}
        }
    }

    async fn see_out(&self, mut connections: JoinSet<()>) {
        let all_gone = async |connections: &mut JoinSet<()>| {
            while let Some(ended) = connections.join_next().await {
                log_panic(ended);
            }
        };
        let grace = async {
            tokio::select! {
                () = tokio::time::sleep(self.options.shutdown_grace) => {}
                () = self.shutdown.expired() => {}
            }
        };
        tokio::select! {
            () = all_gone(&mut connections) => return,
            () = grace => {}
        }
        tracing::info!(connections = connections.len(), "cancelling what still runs");
        self.shutdown.expire();
        self.registry.cancel_all(Reason::Shutdown);
        if tokio::time::timeout(AFTER_GRACE, all_gone(&mut connections)).await.is_err() {
            tracing::warn!(connections = connections.len(), "cutting connections that did not end");
            connections.shutdown().await;
        }
    }
}

/// Tells a client why its connection ends, if it is there to be told, and closes.
pub(super) async fn farewell(mut channel: Channel, ended: Ended) {
    let tell = async {
        if let Ended::Fatal(error) = &ended {
            tracing::debug!(%error, "connection ends");
            backend::report(&mut channel.out, error);
            let _ = channel.flush().await;
        }
        channel.close().await;
    };
    let _ = tokio::time::timeout(FAREWELL, tell).await;
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection panicked");
    }
}

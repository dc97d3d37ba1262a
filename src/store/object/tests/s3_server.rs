//! An S3 server over a folder, in this process but with a runtime of its own, so that it can be killed like another one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, JoinSet};

pub const ACCESS_KEY: &str = "test";
pub const SECRET_KEY: &str = "test-secret";

/// Every request must be signed with the keys above.
pub struct S3Server {
    pub address: SocketAddr,
    root: PathBuf,
    runtime: Option<Runtime>,
    /// Accepts connections; they and it have a share of `alive`.
    accepting: Option<AbortHandle>,
    alive: Arc<()>,
}

impl S3Server {
    /// Serves a copy of this folder's buckets, made below `root`.
    pub fn over(buckets: &Path, root: &Path) -> Self {
        let copied = std::process::Command::new("cp").arg("-r").arg(buckets).arg(root).status().expect("cp runs");
        assert!(copied.success());
        let root = root.join(buckets.file_name().expect("a name"));
        let mut server =
            Self { address: ([127, 0, 0, 1], 0).into(), root, runtime: None, accepting: None, alive: Arc::default() };
        server.start();
        server
    }

    pub fn bucket(&self, bucket: &str) -> PathBuf {
        self.root.join(bucket)
    }

    /// Starts, or starts again at the same address.
    pub fn start(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = self.listen();
        self.address = listener.local_addr().expect("an address");
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&self.root).expect("a file system"));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let alive = self.alive.clone();
        let accepting = runtime.spawn(async move {
            let mut connections = JoinSet::new();
            let listener = TcpListener::from_std(listener).expect("a listener");
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            while let Ok((socket, _)) = listener.accept().await {
                let connection = server.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
                let alive = alive.clone();
                connections.spawn(async move {
                    let _ = connection.await;
                    drop(alive);
                });
            }
        });
        self.accepting = Some(accepting.abort_handle());
        self.runtime = Some(runtime);
    }

    fn listen(&self) -> std::net::TcpListener {
        // The address may be held a moment longer by the one that was killed.
        for _ in 0..100 {
            match std::net::TcpListener::bind(self.address) {
                Ok(listener) => {
                    listener.set_nonblocking(true).expect("set");
                    return listener;
                }
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
        panic!("{} stays taken", self.address)
    }

    /// Every connection breaks, and new ones are refused.
    pub fn kill(&mut self) {
        // Connections first: one that outlives what reads files for it answers that there is no such object.
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            while Arc::strong_count(&self.alive) > 1 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

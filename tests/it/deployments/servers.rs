//! MongoDB-wire servers and an S3 server for tests, on free loopback ports.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::doc;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;

pub const ACCESS_KEY: &str = "chronogate";
pub const SECRET_KEY: &str = "chronogate-secret";

/// A MongoDB-wire server; one that was started here is killed when dropped.
pub struct Mongo {
    pub uri: String,
    server: Option<(Child, TempDir)>,
}

impl Mongo {
    /// The one that the environment names, else one of our own: for tests whose databases have names of their own.
    pub async fn start() -> Self {
        match std::env::var("CHRONOGATE_TEST_MONGODB_URI") {
            Ok(uri) => Self { uri, server: None },
            Err(_) => Self::own().await,
        }
    }

    /// One that no other test uses: the databases of a sample have the names that its configuration gives them.
    pub async fn own() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/secantus/bin/secantusd-rs");
        let child = Command::new(&program)
            .arg("--port")
            .arg(port.to_string())
            .arg("--storage-path")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|cause| panic!("{}: {cause}; ./scripts/test installs it", program.display()));
        let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=2000");
        let mongo = Self { uri, server: Some((child, folder)) };
        mongo.await_answer().await;
        mongo
    }

    pub async fn client(&self) -> Client {
        Client::with_uri_str(&self.uri).await.expect("a URI")
    }

    async fn await_answer(&self) {
        let client = self.client().await;
        let begun = Instant::now();
        while client.database("admin").run_command(doc! { "ping": 1 }).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the MongoDB server does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.server {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// An S3 server over a folder, with signatures checked, in this process.
pub struct S3 {
    pub address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl S3 {
    pub async fn over(folder: PathBuf) -> Self {
        let files = s3s_fs::FileSystem::new(folder).expect("a folder");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                    let _ = http.serve_connection(hyper_util::rt::TokioIo::new(socket), service).await;
                });
            }
        });
        Self { address, serving }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

//! A loopback proxy that spoils what passes through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Answers come this late.
    Late(Duration),
    /// Accepts, and never answers.
    Silent,
    /// The connection breaks after so many bytes of answers.
    Cut(usize),
    /// The answer is no HTTP.
    Noise,
    /// There is no such bucket, in the words of S3.
    NoBucket,
    /// A success, with a body of this length that is no object's.
    Lie(usize),
    /// 503 for this many connections, then as `Pass`.
    Busy(u64),
}

pub struct Proxy {
    pub address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mode = Arc::new(Mutex::new(Mode::Pass));
        let of_all = mode.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mode = of_all.clone();
                tokio::spawn(async move {
                    let _ = pass(client, server, mode).await;
                });
            }
        });
        Self { address, mode }
    }

    pub fn set(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, mode: Arc<Mutex<Mode>>) -> std::io::Result<()> {
    let now = {
        let mut mode = mode.lock();
        let now = *mode;
        if let Mode::Busy(left) = now {
            *mode = if left > 1 { Mode::Busy(left - 1) } else { Mode::Pass };
        }
        now
    };
    match now {
        Mode::Pass => {
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut client, &mut server).await.map(|_| ())
        }
        Mode::Late(by) => {
            tokio::time::sleep(by).await;
            let mut server = TcpStream::connect(server).await?;
            copy_bidirectional(&mut client, &mut server).await.map(|_| ())
        }
        Mode::Silent => std::future::pending().await,
        Mode::Cut(after) => {
            let mut server = TcpStream::connect(server).await?;
            let mut request = vec![0; 64 << 10];
            let length = client.read(&mut request).await?;
            server.write_all(&request[..length]).await?;
            let mut answer = vec![0; after];
            server.read_exact(&mut answer).await?;
            client.write_all(&answer).await
        }
        Mode::Noise => answer(&mut client, b"\x16\x03\x01 what is this?\r\n\r\n").await,
        Mode::Busy(_) => answer(&mut client, b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await,
        Mode::NoBucket => {
            let body = "<Error><Code>NoSuchBucket</Code></Error>";
            let head = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            answer(&mut client, format!("{head}{body}").as_bytes()).await
        }
        Mode::Lie(length) => {
            let head = "HTTP/1.1 200 OK\r\netag: \"1\"\r\nlast-modified: Sat, 21 Nov 2026 08:00:00 GMT\r\nconnection: close\r\n";
            let body = "x".repeat(length);
            answer(&mut client, format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await
        }
    }
}

async fn answer(client: &mut TcpStream, text: &[u8]) -> std::io::Result<()> {
    let mut request = vec![0; 64 << 10];
    let _ = client.read(&mut request).await?;
    client.write_all(text).await
}

//! A socket, plain or TLS, as frames in and bytes out.
//!
//! Owns both buffers and every bound on them. Refuses a frame by its length field, before memory is taken for it,
//! and gives a frame whole or not at all. Never looks into a frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::error::{SqlError, SqlState};

/// Output beyond this is written before more is produced.
pub const FLUSH_AT: usize = 64 * 1024;
/// A buffer that one large message left behind is given back above this.
const KEEP_CAPACITY: usize = 1024 * 1024;
/// Taken at once for a frame that announces more; what really comes then grows it.
const READ_STEP: usize = 1024 * 1024;
const READ_SMALL: usize = 8 * 1024;

/// Why a connection ends.
#[derive(Debug)]
pub enum Ended {
    /// The client hung up, said goodbye, or cannot be reached: nobody is there to tell.
    Gone,
    /// The client is told, and then the connection closes.
    Fatal(SqlError),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "connection lost");
        Self::Gone
    }
}

/// FATAL 08P01: what came is not this protocol.
pub fn violation(message: impl Into<String>) -> Ended {
    Ended::Fatal(SqlError::fatal(SqlState::PROTOCOL_VIOLATION, message))
}

#[derive(Debug)]
pub enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// While a handshake runs, or after one failed: reads end, writes fail.
    Closed,
}

/// One message: its type byte and what follows the length.
#[derive(Debug)]
pub struct Frame {
    pub tag: u8,
    pub body: Bytes,
}

#[derive(Debug)]
pub struct Channel {
    io: Transport,
    input: BytesMut,
    /// Whole messages that wait to be written.
    pub out: BytesMut,
    max_body: usize,
}

impl Channel {
    pub fn new(io: Transport, max_body: usize) -> Self {
        Self { io, input: BytesMut::new(), out: BytesMut::new(), max_body }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.io, Transport::Tls(_))
    }

    pub fn set_max_body(&mut self, bytes: usize) {
        self.max_body = bytes;
    }

    /// What direct TLS agreed to speak.
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.io {
            Transport::Tls(io) => io.get_ref().1.alpn_protocol(),
            Transport::Plain(_) | Transport::Closed => None,
        }
    }

    /// Takes the plain socket out, so that TLS can be laid over it; nothing may have been read beyond it.
    pub fn take_plain(&mut self) -> Option<TcpStream> {
        match std::mem::replace(&mut self.io, Transport::Closed) {
            Transport::Plain(io) => Some(io),
            other => {
                self.io = other;
                None
            }
        }
    }

    /// The next frame if all of it has been read.
    pub fn buffered_frame(&mut self) -> Result<Option<Frame>, Ended> {
        let Some((&tag, rest)) = self.input.split_first() else { return Ok(None) };
        if !super::frontend::is_known(tag) {
            return Err(violation(format!("invalid frontend message type {tag}")));
        }
        let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
        let body = match i32::from_be_bytes(*length).checked_sub(4).map(usize::try_from) {
            Some(Ok(body)) => body,
            _ => return Err(violation("invalid message length")),
        };
        if body > self.max_body {
            return Err(Ended::Fatal(
                SqlError::fatal(SqlState::PROGRAM_LIMIT_EXCEEDED, "message is too large")
                    .detail(format!("The message has {body} bytes; {} are allowed.", self.max_body))
                    .hint("The limit is limits.max_message_bytes in the server's configuration."),
            ));
        }
        if rest.len() - 4 < body {
            self.input.reserve((5 + body).saturating_sub(self.input.len()).min(READ_STEP));
            return Ok(None);
        }
        let mut frame = self.input.split_to(5 + body);
        let body = frame.split_off(5).freeze();
        Ok(Some(Frame { tag, body }))
    }

    /// The next frame; [`Ended::Gone`] at the end of the stream. Dropped before it is ready, it loses nothing.
    pub async fn frame(&mut self) -> Result<Frame, Ended> {
        loop {
            if let Some(frame) = self.buffered_frame()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Whether the next message is a Sync, waiting for it to begin. Dropped before it is ready, it loses nothing.
    pub async fn sync_is_next(&mut self) -> Result<bool, Ended> {
        loop {
            if let Some(tag) = self.input.first() {
                return Ok(*tag == b'S');
            }
            self.fill().await?;
        }
    }

    /// A packet of the startup phase, which has no type byte: what follows its length field.
    pub async fn startup_packet(&mut self, max: usize) -> Result<Bytes, Ended> {
        loop {
            if let Some(length) = self.input.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
                if length < 8 || length > max {
                    return Err(violation("invalid length of startup packet"));
                }
                if self.input.len() >= length {
                    return Ok(self.input.split_to(length).freeze().slice(4..));
                }
            }
            self.fill().await?;
        }
    }

    /// Whether bytes wait that nobody has asked for.
    pub fn has_unread(&self) -> bool {
        !self.input.is_empty()
    }

    async fn fill(&mut self) -> Result<(), Ended> {
        if self.input.is_empty() && self.input.capacity() > KEEP_CAPACITY {
            self.input = BytesMut::new();
        }
        self.input.reserve(READ_SMALL);
        match self.io.read_buf(&mut self.input).await? {
            0 => Err(Ended::Gone),
            _ => Ok(()),
        }
    }

    /// Writes everything out. Dropped before it is ready, it has written a prefix and keeps the rest.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        while !self.out.is_empty() {
            if self.io.write_buf(&mut self.out).await? == 0 {
                return Err(Ended::Gone);
            }
        }
        if self.is_tls() {
            self.io.flush().await?;
        }
        if self.out.capacity() > KEEP_CAPACITY {
            self.out = BytesMut::new();
        }
        Ok(())
    }

    pub async fn close(&mut self) {
        let _ = self.io.shutdown().await;
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

//! From an accepted socket to a session: encryption, cancel requests, the startup packet, who it is.
//!
//! Owns who is let in: SCRAM as soon as any role has a password; until then only this machine, without one.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::channel::{Channel, Ended, Transport, violation};
use super::connection::Connection;
use super::frontend::Reader;
use super::listener::Server;
use super::registry::Registration;
use super::{backend, scram, tls};
use crate::error::{SqlError, SqlState};
use crate::session::{Session, SessionStart};

/// PostgreSQL's bound on what anyone may send before they are known.
const MAX_STARTUP_PACKET: usize = 10_000;
const MAX_PASSWORD_MESSAGE: usize = 65_535;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
const NEWEST_MINOR: u16 = 2;
const TLS_HANDSHAKE: u8 = 0x16;

/// A startup packet, read.
#[derive(Debug)]
struct Hello {
    minor: u16,
    user: String,
    database: String,
    parameters: Vec<(String, String)>,
    /// `_pq_.` options, none of which is known.
    unrecognised: Vec<String>,
}

/// What became of a socket before it was a connection.
pub enum Started {
    Open(Box<Connection>),
    /// A cancel request, or a client that hung up: there is nothing to do.
    Closed,
    /// The client is told why, where it can be reached.
    Refused(Channel, Ended),
}

/// Leads a socket to its session. `crowded` refuses everybody but cancel requests with 53300.
pub async fn start(server: &Arc<Server>, socket: TcpStream, peer: SocketAddr, crowded: bool) -> Started {
    let mut channel = match encrypt(server, socket).await {
        Ok(channel) => channel,
        Err(Refusal::Closed) => return Started::Closed,
        Err(Refusal::Told(channel, ended)) => return Started::Refused(channel, ended),
    };
    match greet(server, &mut channel, peer, crowded).await {
        Ok(Some((session, registration))) => {
            Started::Open(Box::new(Connection::new(server.clone(), channel, session, registration)))
        }
        Ok(None) => Started::Closed,
        Err(ended) => Started::Refused(channel, ended),
    }
}

enum Refusal {
    Closed,
    Told(Channel, Ended),
}

/// A client may begin with TLS at once (PostgreSQL 17's direct TLS) or ask for it first.
async fn encrypt(server: &Server, socket: TcpStream) -> Result<Channel, Refusal> {
    let mut first = [0];
    if !matches!(socket.peek(&mut first).await, Ok(1)) {
        return Err(Refusal::Closed);
    }
    if first[0] == TLS_HANDSHAKE {
        let channel = handshake(server, socket).await?;
        return match channel.alpn() {
            Some(name) if name == tls::ALPN => Ok(channel),
            _ => Err(Refusal::Told(channel, violation("direct TLS needs the ALPN protocol \"postgresql\""))),
        };
    }
    Ok(Channel::new(Transport::Plain(socket), MAX_PASSWORD_MESSAGE))
}

async fn handshake(server: &Server, socket: TcpStream) -> Result<Channel, Refusal> {
    let Some(tls) = &server.options.tls else { return Err(Refusal::Closed) };
    match tls.acceptor.accept(socket).await {
        Ok(stream) => Ok(Channel::new(Transport::Tls(Box::new(stream)), MAX_PASSWORD_MESSAGE)),
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            Err(Refusal::Closed)
        }
    }
}

async fn greet(
    server: &Arc<Server>,
    channel: &mut Channel,
    peer: SocketAddr,
    crowded: bool,
) -> Result<Option<(Session, Registration)>, Ended> {
    let Some(packet) = startup_packet(server, channel).await? else { return Ok(None) };
    let hello = Hello::read(&packet)?;
    if crowded {
        return Err(fatal(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already"));
    }
    admit(server, channel, peer, &hello).await?;

    backend::authentication_ok(&mut channel.out);
    let registration = server.registry.register(if hello.minor >= 2 { 32 } else { 4 });
    let start = SessionStart {
        user: hello.user,
        database: hello.database,
        client_address: peer.ip().to_string(),
        parameters: hello.parameters,
        backend_pid: registration.pid,
    };
    let opening = super::guard::guarded(Session::open(server.sessions.clone(), start));
    let session = opening.await.map_err(|mut error| {
        error.fields_mut().severity = crate::error::Severity::Fatal;
        Ended::Fatal(error)
    })?;
    Ok(Some((session, registration)))
}

/// The startup packet, after any requests for encryption. `None` when it was a cancel request, which is done.
async fn startup_packet(server: &Arc<Server>, channel: &mut Channel) -> Result<Option<Bytes>, Ended> {
    let (mut asked_tls, mut asked_gss) = (channel.is_tls(), false);
    loop {
        let packet = channel.startup_packet(MAX_STARTUP_PACKET).await?;
        match code(&packet) {
            SSL_REQUEST if !asked_tls => {
                asked_tls = true;
                if channel.has_unread() {
                    return Err(violation("received unencrypted data after SSL request"));
                }
                let answer: &[u8] = if server.options.tls.is_some() { b"S" } else { b"N" };
                channel.out.extend_from_slice(answer);
                channel.flush().await?;
                if server.options.tls.is_some() {
                    let socket = channel.take_plain().ok_or(Ended::Gone)?;
                    *channel = handshake(server, socket).await.map_err(|_| Ended::Gone)?;
                }
            }
            GSS_REQUEST if !asked_gss => {
                asked_gss = true;
                channel.out.extend_from_slice(b"N");
                channel.flush().await?;
            }
            CANCEL_REQUEST => {
                cancel(server, &packet);
                return Ok(None);
            }
            _ => return Ok(Some(packet)),
        }
    }
}

fn code(packet: &Bytes) -> u32 {
    packet.first_chunk::<4>().map_or(0, |c| u32::from_be_bytes(*c))
}

fn cancel(server: &Server, packet: &Bytes) {
    if let Some((pid, secret)) = packet.get(4..).and_then(|rest| rest.split_first_chunk::<4>()) {
        server.registry.cancel(i32::from_be_bytes(*pid), secret);
    }
}

impl Hello {
    fn read(packet: &Bytes) -> Result<Self, Ended> {
        let version = code(packet);
        let (major, minor) = ((version >> 16) as u16, (version & 0xffff) as u16);
        if major != 3 {
            let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}");
            return Err(fatal(SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        let body = packet.slice(4..);
        let mut reader = Reader::new(&body);
        let mut hello =
            Self { minor, user: String::new(), database: String::new(), parameters: Vec::new(), unrecognised: Vec::new() };
        loop {
            let name = reader.text().map_err(invalid_layout)?;
            if name.is_empty() {
                break;
            }
            let value = reader.text().map_err(invalid_layout)?.to_owned();
            match name {
                "user" => hello.user = value,
                "database" => hello.database = value,
                "replication" if is_replication(&value) => {
                    return Err(fatal(SqlState::FEATURE_NOT_SUPPORTED, "replication connections are not supported"));
                }
                "replication" => {}
                option if option.starts_with("_pq_.") => hello.unrecognised.push(option.to_owned()),
                other => hello.parameters.push((other.to_owned(), value)),
            }
        }
        reader.finish().map_err(invalid_layout)?;
        if hello.user.is_empty() {
            let message = "no PostgreSQL user name specified in startup packet";
            return Err(fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message));
        }
        if hello.database.is_empty() {
            hello.database.clone_from(&hello.user);
        }
        Ok(hello)
    }
}

fn is_replication(value: &str) -> bool {
    !["false", "off", "no", "0"].contains(&value.to_ascii_lowercase().as_str())
}

fn invalid_layout(_: super::frontend::Unreadable) -> Ended {
    violation("invalid startup packet layout")
}

fn fatal(code: SqlState, message: impl Into<String>) -> Ended {
    Ended::Fatal(SqlError::fatal(code, message))
}

/// Agrees on a protocol version, then authenticates. `Ok` is a role that exists and may log in.
async fn admit(server: &Server, channel: &mut Channel, peer: SocketAddr, hello: &Hello) -> Result<(), Ended> {
    let newer = hello.minor > NEWEST_MINOR || hello.minor == 1;
    if newer || !hello.unrecognised.is_empty() {
        let minor = if hello.minor == 1 { 0 } else { hello.minor.min(NEWEST_MINOR) };
        backend::negotiate(&mut channel.out, 3 << 16 | i32::from(minor), hello.unrecognised.clone());
    }
    let local = peer.ip().to_canonical().is_loopback();
    let tls = server.options.tls.as_ref();
    if tls.is_some_and(|tls| tls.required) && !local && !channel.is_tls() {
        return Err(fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "connections from other hosts must use TLS"));
    }
    let tenancy = &server.sessions.tenancy;
    let role = tenancy.role(&hello.user);
    if tenancy.any_password() {
        let verifier = role.as_ref().filter(|r| r.login).and_then(|r| r.verifier.as_deref());
        scram::authenticate(channel, &hello.user, verifier, &server.decoy, tls).await?;
    } else if !local {
        return Err(Ended::Fatal(
            SqlError::fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "connections from other hosts need a password")
                .hint("Give a role a password first: ALTER ROLE … PASSWORD …"),
        ));
    }
    match role {
        None => Err(fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, format!("role \"{}\" does not exist", hello.user))),
        Some(role) if !role.login => Err(fatal(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            format!("role \"{}\" is not permitted to log in", hello.user),
        )),
        Some(_) => Ok(()),
    }
}

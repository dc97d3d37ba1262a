//! A client that speaks the protocol byte by byte, and so can also speak it wrongly.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub tag: char,
    pub body: Vec<u8>,
}

/// An ErrorResponse, by field code.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerError(pub BTreeMap<char, String>);

impl ServerError {
    pub fn field(&self, code: char) -> &str {
        self.0.get(&code).map_or("", String::as_str)
    }

    pub fn code(&self) -> &str {
        self.field('C')
    }
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.field('S'), self.code(), self.field('M'))?;
        ["D", "H", "P"].iter().try_for_each(|code| {
            let value = self.field(code.chars().next().unwrap_or(' '));
            if value.is_empty() { Ok(()) } else { write!(f, " [{code} {value}]") }
        })
    }
}

impl std::error::Error for ServerError {}

impl Message {
    pub fn error(&self) -> Option<ServerError> {
        if self.tag != 'E' {
            return None;
        }
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let fields = text.split('\0').filter_map(|f| Some((f.chars().next()?, f.get(1..)?.to_owned())));
        Some(ServerError(fields.collect()))
    }

    /// The fields of a DataRow as text; `None` is NULL.
    pub fn row(&self) -> Vec<Option<String>> {
        assert_eq!(self.tag, 'D');
        let mut rest = &self.body[2..];
        let mut fields = Vec::new();
        for _ in 0..i16::from_be_bytes([self.body[0], self.body[1]]) {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            fields.push((length >= 0).then(|| {
                let (value, after) = rest.split_at(length as usize);
                rest = after;
                String::from_utf8(value.to_vec()).expect("text")
            }));
        }
        fields
    }

    /// The tag of a CommandComplete.
    pub fn command(&self) -> String {
        assert_eq!(self.tag, 'C');
        String::from_utf8_lossy(&self.body).trim_end_matches('\0').to_owned()
    }
}

/// One message as bytes.
pub fn message(tag: char, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag as u8];
    bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub fn query(sql: &str) -> Vec<u8> {
    message('Q', format!("{sql}\0").as_bytes())
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message('P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// Bind with parameters and results in text.
pub fn bind(portal: &str, statement: &str, parameters: &[Option<&str>]) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0\0\0").into_bytes();
    body.extend_from_slice(&(parameters.len() as i16).to_be_bytes());
    for parameter in parameters {
        match parameter {
            Some(text) => {
                body.extend_from_slice(&(text.len() as i32).to_be_bytes());
                body.extend_from_slice(text.as_bytes());
            }
            None => body.extend_from_slice(&(-1i32).to_be_bytes()),
        }
    }
    body.extend_from_slice(&[0, 0]);
    message('B', &body)
}

pub fn describe(kind: char, name: &str) -> Vec<u8> {
    message('D', format!("{kind}{name}\0").as_bytes())
}

pub fn execute(portal: &str, max_rows: i32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend_from_slice(&max_rows.to_be_bytes());
    message('E', &body)
}

pub fn sync() -> Vec<u8> {
    message('S', &[])
}

pub struct Raw {
    pub socket: TcpStream,
    pub pid: i32,
    pub secret: Vec<u8>,
}

impl Raw {
    /// A socket without a startup packet.
    pub async fn open(address: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(address).await.expect("connects"), pid: 0, secret: Vec::new() }
    }

    /// Connected as the superuser to `database`, ready for queries.
    pub async fn connect(address: SocketAddr, database: &str) -> Result<Self, ServerError> {
        let mut raw = Self::open(address).await;
        raw.startup(&[("user", "chronogate"), ("database", database)]).await;
        for message in raw.until_ready().await {
            if let Some(error) = message.error() {
                return Err(error);
            }
            if message.tag == 'K' {
                raw.pid = i32::from_be_bytes(message.body[..4].try_into().unwrap());
                raw.secret = message.body[4..].to_vec();
            }
        }
        Ok(raw)
    }

    pub async fn startup(&mut self, parameters: &[(&str, &str)]) {
        let mut body = 196_608i32.to_be_bytes().to_vec();
        parameters.iter().for_each(|(name, value)| body.extend_from_slice(format!("{name}\0{value}\0").as_bytes()));
        body.push(0);
        let mut packet = (body.len() as i32 + 4).to_be_bytes().to_vec();
        packet.extend_from_slice(&body);
        self.send(&packet).await;
    }

    /// Sends what there is; a server that has hung up is seen at the next read.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    /// The next message; `None` when the server has closed.
    pub async fn next(&mut self) -> Option<Message> {
        let tag = self.socket.read_u8().await.ok()?;
        let length = self.socket.read_i32().await.ok()?;
        let mut body = vec![0; length as usize - 4];
        self.socket.read_exact(&mut body).await.ok()?;
        Some(Message { tag: tag as char, body })
    }

    /// Messages up to ReadyForQuery, which is the last, or to the end of the connection.
    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            let last = message.tag == 'Z';
            messages.push(message);
            if last {
                break;
            }
        }
        messages
    }

    pub async fn simple(&mut self, sql: &str) -> Vec<Message> {
        self.send(&query(sql)).await;
        self.until_ready().await
    }

    /// Parse, Bind, Describe, Execute and Sync of one statement without parameters.
    pub async fn extended(&mut self, sql: &str) -> Vec<Message> {
        self.send(&[parse("", sql), bind("", "", &[]), describe('P', ""), execute("", 0), sync()].concat()).await;
        self.until_ready().await
    }

    /// Rows as text; the first error otherwise.
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, ServerError> {
        rows(&self.simple(sql).await)
    }

    /// Reads the rest: what the server said, and that it closed.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }
}

pub fn rows(messages: &[Message]) -> Result<Vec<Vec<Option<String>>>, ServerError> {
    match messages.iter().find_map(Message::error) {
        Some(error) => Err(error),
        None => Ok(messages.iter().filter(|m| m.tag == 'D').map(Message::row).collect()),
    }
}

/// The tags of messages in order, runs of DataRow as one.
pub fn tags(messages: &[Message]) -> String {
    let mut tags: Vec<char> = messages.iter().map(|m| m.tag).collect();
    tags.dedup_by(|a, b| a == b && *a == 'D');
    tags.into_iter().collect()
}

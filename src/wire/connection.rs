//! One client after startup: reads messages, lets the session answer them, keeps the protocol's order.
//!
//! Replies to pipelined messages are written together at Sync, at Flush, or when they fill the buffer. Knows what
//! a message means to the protocol, never what a statement means.

use std::pin::Pin;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::channel::{Channel, Ended, FLUSH_AT, Frame, violation};
use super::frontend::{Bind, Message, Target, Unreadable, is_extended};
use super::guard::{guarded, to_its_end};
use super::listener::{Server, farewell};
use super::registry::Registration;
use super::rows::{self, Sent};
use super::{backend, copy};
use crate::error::{Result, Severity, SqlError, SqlState};
use crate::runtime::Cancel;
use crate::session::{Reply, Session, TransactionStatus};

/// Why a reply was not sent to its end.
#[derive(Debug)]
pub enum Stopped {
    /// The statement failed; the connection goes on.
    Statement(SqlError),
    Connection(Ended),
}

impl From<SqlError> for Stopped {
    fn from(error: SqlError) -> Self {
        if error.fields().severity == Severity::Fatal {
            return Self::Connection(Ended::Fatal(error));
        }
        Self::Statement(error)
    }
}

impl From<Ended> for Stopped {
    fn from(ended: Ended) -> Self {
        Self::Connection(ended)
    }
}

/// Who asked for a reply, which decides what is said around it.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Simple,
    /// Execute of this portal for so many rows; 0 is all.
    Extended {
        portal: &'a str,
        max_rows: u32,
    },
}

pub struct Connection {
    server: Arc<Server>,
    channel: Channel,
    session: Session,
    registration: Registration,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    expired: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Another session ends this one.
    ended: CancellationToken,
    /// An extended-query message failed: what comes is dropped until Sync.
    skipping: bool,
    /// ReadyForQuery was the last thing said and nothing has come since.
    idle: bool,
}

impl Connection {
    pub fn new(server: Arc<Server>, mut channel: Channel, session: Session, registration: Registration) -> Self {
        channel.set_max_body(server.options.max_message_bytes);
        let draining = Box::pin(server.shutdown.draining());
        let expired = Box::pin(server.shutdown.expired());
        let ended = session.ending();
        Self { server, channel, session, registration, draining, expired, ended, skipping: false, idle: false }
    }

    /// Serves the client until it leaves or must.
    pub async fn run(mut self) {
        let Err(ended) = self.serve().await;
        self.registration.running.end();
        // A panic here has been logged; the session ends either way.
        let _ = to_its_end(self.session.end()).await;
        farewell(self.channel, ended).await;
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Ended> {
        self.tell_parameters();
        backend::backend_key(&mut self.channel.out, self.registration.pid, &self.registration.secret);
        self.ready().await?;
        loop {
            let frame = self.next_frame().await?;
            self.idle = false;
            self.dispatch(&frame).await?;
            if self.channel.out.len() >= FLUSH_AT {
                self.channel.flush().await?;
            }
        }
    }

    async fn next_frame(&mut self) -> Result<Frame, Ended> {
        if self.ended.is_cancelled() {
            return Err(shutting_down());
        }
        if let Some(frame) = self.channel.buffered_frame()? {
            return Ok(frame);
        }
        let resting = self.idle && self.session.transaction_status() == TransactionStatus::Idle;
        if (resting && self.server.shutdown.is_draining()) || self.server.shutdown.is_expired() {
            return Err(shutting_down());
        }
        let limit = self.session.idle_limit().filter(|_| self.idle);
        let silent = async {
            match limit {
                Some((limit, error)) => {
                    tokio::time::sleep(limit).await;
                    Err(Ended::Fatal(error))
                }
                None => std::future::pending().await,
            }
        };
        tokio::pin!(silent);
        loop {
            let notification = tokio::select! {
                biased;
                frame = self.channel.frame() => return frame,
                () = &mut self.draining, if resting => return Err(shutting_down()),
                () = &mut self.expired => return Err(shutting_down()),
                () = self.ended.cancelled() => return Err(shutting_down()),
                ended = &mut silent => return ended,
                Some(notification) = self.session.notified(), if resting => notification,
            };
            backend::notification(&mut self.channel.out, notification);
            self.channel.flush().await?;
        }
    }

    async fn dispatch(&mut self, frame: &Frame) -> Result<(), Ended> {
        if self.skipping && !matches!(frame.tag, b'S' | b'X') {
            return Ok(());
        }
        let message = match Message::read(frame) {
            Ok(message) => message,
            Err(Unreadable::Malformed(ended)) => return Err(ended),
            Err(Unreadable::NotText(error)) => return self.refuse(frame.tag, error).await,
        };
        match message {
            Message::Query(text) => self.query(text).await,
            Message::FunctionCall => self.refuse(frame.tag, function_call()).await,
            Message::Sync => self.sync().await,
            Message::Flush => self.channel.flush().await,
            Message::Terminate => Err(Ended::Gone),
            Message::Password => Err(violation("unexpected password message")),
            // What a client still sends of a COPY that has failed.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => Ok(()),
            Message::Parse { .. }
            | Message::Bind(_)
            | Message::Describe { .. }
            | Message::Execute { .. }
            | Message::Close { .. } => match self.extended(message).await {
                Ok(()) => Ok(()),
                Err(Stopped::Statement(error)) => self.refuse(frame.tag, error).await,
                Err(Stopped::Connection(ended)) => Err(ended),
            },
        }
    }

    /// An error in answer to a message of this kind.
    async fn refuse(&mut self, tag: u8, error: SqlError) -> Result<(), Ended> {
        self.fail(error).await?;
        if is_extended(tag) {
            self.skipping = true;
            // A client may wait for this before it sends Sync, with a Flush that is skipped now.
            return self.channel.flush().await;
        }
        self.ready().await
    }

    async fn fail(&mut self, error: SqlError) -> Result<(), Ended> {
        self.registration.running.end();
        if error.fields().severity == Severity::Fatal {
            return Err(Ended::Fatal(error));
        }
        tracing::debug!(%error, "statement failed");
        to_its_end(self.session.failed(&error)).await.map_err(Ended::Fatal)?;
        self.tell_notices();
        backend::report(&mut self.channel.out, &error);
        Ok(())
    }

    async fn query(&mut self, text: &str) -> Result<(), Ended> {
        match self.statements(text).await {
            Ok(()) => {}
            Err(Stopped::Statement(error)) => self.fail(error).await?,
            Err(Stopped::Connection(ended)) => return Err(ended),
        }
        self.registration.running.end();
        self.ready().await
    }

    async fn statements(&mut self, text: &str) -> Result<(), Stopped> {
        let statements = super::guard::guarded_now(|| self.session.split(text))?;
        if statements.is_empty() {
            self.channel.out.extend_from_slice(&backend::EMPTY_QUERY);
        }
        let count = statements.len();
        for (i, statement) in statements.into_iter().enumerate() {
            let cancel = self.begin();
            let reply = guarded(self.session.run(statement, i + 1 == count)).await?;
            self.answer(reply, Asked::Simple, &cancel).await?;
        }
        if count > 1 {
            guarded(self.session.sync()).await?;
        }
        Ok(())
    }

    /// A handle for the statement that runs from here on, and the only one that a cancel request reaches.
    fn begin(&mut self) -> Cancel {
        let cancel = self.session.canceller();
        self.registration.running.begin(cancel.clone());
        cancel
    }

    async fn extended(&mut self, message: Message<'_>) -> Result<(), Stopped> {
        match message {
            Message::Parse { statement, text, types } => {
                self.begin();
                guarded(self.session.parse(statement, text, &types)).await?;
                self.channel.out.extend_from_slice(&backend::PARSE_COMPLETE);
            }
            Message::Bind(bind) => self.bind(bind).await?,
            Message::Describe { target: Target::Statement, name } => self.describe_statement(name)?,
            Message::Describe { target: Target::Portal, name } => {
                let described = self.session.describe_portal(name)?;
                self.describe(described.as_ref().map(|(columns, formats)| (&columns[..], &formats[..])))?;
            }
            Message::Execute { portal, max_rows } => {
                // Nothing is sent before the next message asks for it, so that message may be waited for: a
                // statement that Sync follows stands alone and may try again by itself.
                let last = tokio::select! {
                    biased;
                    next = self.channel.sync_is_next() => next?,
                    () = &mut self.expired => return Err(shutting_down().into()),
                };
                let cancel = self.begin();
                let reply = match last {
                    true => guarded(self.session.execute_last(portal)).await?,
                    false => guarded(self.session.execute(portal)).await?,
                };
                self.answer(reply, Asked::Extended { portal, max_rows }, &cancel).await?;
                self.registration.running.end();
            }
            Message::Close { target, name } => {
                match target {
                    Target::Statement => self.session.close_statement(name),
                    Target::Portal => self.session.close_portal(name),
                }
                self.channel.out.extend_from_slice(&backend::CLOSE_COMPLETE);
            }
            _ => {}
        }
        Ok(())
    }

    async fn bind(&mut self, bind: Bind<'_>) -> Result<(), Stopped> {
        let Bind { portal, statement, parameter_formats, parameters, result_formats } = bind;
        guarded(self.session.bind(portal, statement, &parameter_formats, &parameters, &result_formats)).await?;
        self.channel.out.extend_from_slice(&backend::BIND_COMPLETE);
        Ok(())
    }

    fn describe_statement(&mut self, name: &str) -> Result<(), Stopped> {
        let described = self.session.describe_statement(name)?;
        backend::parameter_description(&mut self.channel.out, described.parameters);
        self.describe(described.columns.as_deref().map(|columns| (columns, &[][..])))
    }

    fn describe(&mut self, columns: Option<(&[crate::plan::ResultColumn], &[i16])>) -> Result<(), Stopped> {
        match columns {
            Some((columns, formats)) => {
                backend::row_description(&mut self.channel.out, columns, formats)?;
            }
            None => self.channel.out.extend_from_slice(&backend::NO_DATA),
        }
        Ok(())
    }

    async fn answer(&mut self, reply: Reply, asked: Asked<'_>, cancel: &Cancel) -> Result<(), Stopped> {
        let tag = match reply {
            Reply::Empty => {
                self.channel.out.extend_from_slice(&backend::EMPTY_QUERY);
                return Ok(());
            }
            Reply::Command(tag) => tag,
            Reply::Rows { columns, formats, batches, tag, count_rows, cancel, time_zone } => {
                if let Asked::Simple = asked {
                    self.describe(Some((&columns, &formats)))?;
                }
                let rows = rows::Rows { columns, formats, batches, tag, count_rows, cancel, time_zone };
                match rows.send(&mut self.channel, asked.limit()).await? {
                    Sent::All(tag) => tag,
                    Sent::Some(rest) => {
                        if let Asked::Extended { portal, .. } = asked {
                            self.session.suspend(portal, rest);
                        }
                        self.tell_notices();
                        self.channel.out.extend_from_slice(&backend::PORTAL_SUSPENDED);
                        return Ok(());
                    }
                }
            }
            Reply::CopyIn { columns, binary, sink } => {
                backend::copy_in(&mut self.channel.out, columns, binary);
                copy::receive(&mut self.channel, sink, cancel).await?
            }
            Reply::CopyOut { columns, binary, chunks, cancel } => {
                backend::copy_out(&mut self.channel.out, columns, binary);
                copy::send(&mut self.channel, chunks, &cancel).await?
            }
        };
        self.tell_notices();
        backend::command_complete(&mut self.channel.out, tag);
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), Ended> {
        self.skipping = false;
        if let Err(error) = guarded(self.session.sync()).await {
            self.fail(error).await?;
        }
        self.ready().await
    }

    /// Ends an answer: what changed, ReadyForQuery, and everything is written out.
    async fn ready(&mut self) -> Result<(), Ended> {
        self.tell_notices();
        self.tell_parameters();
        if self.session.transaction_status() == TransactionStatus::Idle {
            for notification in self.session.notifications() {
                backend::notification(&mut self.channel.out, notification);
            }
        }
        backend::ready(&mut self.channel.out, self.session.transaction_status());
        self.channel.flush().await?;
        self.idle = true;
        Ok(())
    }

    fn tell_notices(&mut self) {
        for notice in self.session.notices() {
            backend::report(&mut self.channel.out, &notice);
        }
    }

    fn tell_parameters(&mut self) {
        for (name, value) in self.session.changed_parameters() {
            backend::parameter_status(&mut self.channel.out, &name, &value);
        }
    }
}

impl Asked<'_> {
    fn limit(self) -> Option<u64> {
        match self {
            Self::Simple | Self::Extended { max_rows: 0, .. } => None,
            Self::Extended { max_rows, .. } => Some(u64::from(max_rows)),
        }
    }
}

fn shutting_down() -> Ended {
    let message = "terminating connection due to administrator command";
    Ended::Fatal(SqlError::fatal(SqlState::ADMIN_SHUTDOWN, message))
}

fn function_call() -> SqlError {
    SqlError::unsupported("function calls through the protocol are not supported", "Call the function in a SELECT.")
}

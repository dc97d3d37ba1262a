//! COPY FROM STDIN and COPY TO STDOUT: data through the protocol, unopened.

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::backend;
use super::channel::{Channel, Ended, FLUSH_AT, violation};
use super::connection::Stopped;
use super::frontend::{Message, Unreadable};
use super::guard::{guarded, to_its_end};
use crate::error::{Result, SqlError, SqlState};
use crate::runtime::Cancel;
use crate::session::CopyInSink;

/// Feeds the sink until the client is done; returns the command's tag. When this fails, nothing was written.
pub async fn receive(channel: &mut Channel, mut sink: Box<dyn CopyInSink>, cancel: &Cancel) -> Result<String, Stopped> {
    channel.flush().await?;
    let received = feed(channel, sink.as_mut(), cancel).await;
    if let Err(stopped) = &received {
        let why = match stopped {
            Stopped::Statement(error) => error.message().to_owned(),
            Stopped::Connection(_) => "connection lost".to_owned(),
        };
        to_its_end(sink.fail(&why)).await?;
    }
    received
}

async fn feed(channel: &mut Channel, sink: &mut dyn CopyInSink, cancel: &Cancel) -> Result<String, Stopped> {
    loop {
        let frame = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancel.error().into()),
            frame = channel.frame() => frame?,
        };
        let message = Message::read(&frame).map_err(|unreadable| match unreadable {
            Unreadable::Malformed(ended) => Stopped::Connection(ended),
            Unreadable::NotText(error) => Stopped::Statement(error),
        })?;
        match message {
            Message::CopyData(data) => guarded(sink.data(data)).await?,
            Message::CopyDone => return Ok(guarded(sink.done()).await?),
            Message::CopyFail(why) => return Err(given_up(&why).into()),
            // A client may have sent these ahead, before it knew that a COPY began.
            Message::Flush | Message::Sync => {}
            Message::Terminate => return Err(Ended::Gone.into()),
            _ => return Err(unexpected(frame.tag).into()),
        }
    }
}

fn given_up(why: &str) -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, format!("COPY from stdin failed: {why}"))
}

fn unexpected(tag: u8) -> Ended {
    violation(format!("unexpected message type 0x{tag:02X} during COPY from stdin"))
}

/// Sends the chunks, never more of them ahead of the client than the socket takes; returns the command's tag.
pub async fn send(
    channel: &mut Channel,
    mut chunks: BoxStream<'static, Result<(Bytes, u64)>>,
    cancel: &Cancel,
) -> Result<String, Stopped> {
    let mut rows = 0;
    loop {
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(cancel.error().into()),
            next = guarded(async { chunks.next().await.transpose() }) => next?,
        };
        let Some((data, count)) = next else { break };
        put_rows(channel, &data, count);
        rows += count;
        if channel.out.len() >= FLUSH_AT {
            flush(channel, cancel).await?;
        }
    }
    channel.out.extend_from_slice(&backend::COPY_DONE);
    Ok(format!("COPY {rows}"))
}

/// A message per row, which some clients rely on. A chunk that has line breaks within its rows goes as one.
fn put_rows(channel: &mut Channel, data: &[u8], rows: u64) {
    let lines = data.iter().filter(|b| **b == b'\n').count() as u64;
    if lines == rows && data.ends_with(b"\n") {
        data.split_inclusive(|b| *b == b'\n').for_each(|row| backend::copy_data(&mut channel.out, row));
    } else {
        backend::copy_data(&mut channel.out, data);
    }
}

/// Writes everything out, unless the statement is cancelled first: the rest then stays in the buffer.
pub async fn flush(channel: &mut Channel, cancel: &Cancel) -> Result<(), Stopped> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(cancel.error().into()),
        flushed = channel.flush() => Ok(flushed?),
    }
}

//! What the server says, appended to a connection's output as whole messages.
//!
//! Never writes to a socket. Text that would break the framing (a zero byte) is cut out of it.

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::copy::{CopyInResponse, CopyOutResponse};
use pgwire::messages::data::ParameterDescription;
use pgwire::messages::response::{CommandComplete, ErrorResponse, NoticeResponse, NotificationResponse, ReadyForQuery};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};

use crate::error::{Result, Severity, SqlError, SqlState};
use crate::plan::ResultColumn;
use crate::session::{Notification, TransactionStatus};
use crate::types::Oid;

/// PostgreSQL's bound on the columns of a result.
const MAX_COLUMNS: u16 = 1664;

pub const BIND_COMPLETE: [u8; 5] = *b"2\0\0\0\x04";
pub const CLOSE_COMPLETE: [u8; 5] = *b"3\0\0\0\x04";
pub const COPY_DONE: [u8; 5] = *b"c\0\0\0\x04";
pub const EMPTY_QUERY: [u8; 5] = *b"I\0\0\0\x04";
pub const NO_DATA: [u8; 5] = *b"n\0\0\0\x04";
pub const PARSE_COMPLETE: [u8; 5] = *b"1\0\0\0\x04";
pub const PORTAL_SUSPENDED: [u8; 5] = *b"s\0\0\0\x04";

/// Appends a message, or nothing when it is beyond the protocol's bound for its kind.
fn put(out: &mut BytesMut, message: &impl Message) {
    let before = out.len();
    if let Err(error) = message.encode(out) {
        out.truncate(before);
        tracing::warn!(%error, "a message could not be sent");
    }
}

fn text(value: &str) -> String {
    if value.contains('\0') { value.replace('\0', "") } else { value.to_owned() }
}

pub fn authentication_ok(out: &mut BytesMut) {
    put(out, &Authentication::Ok);
}

pub fn sasl_mechanisms(out: &mut BytesMut, names: &[&str]) {
    put(out, &Authentication::SASL(names.iter().map(|n| (*n).to_owned()).collect()));
}

pub fn sasl_continue(out: &mut BytesMut, message: String) {
    put(out, &Authentication::SASLContinue(message.into()));
}

pub fn sasl_final(out: &mut BytesMut, message: String) {
    put(out, &Authentication::SASLFinal(message.into()));
}

pub fn backend_key(out: &mut BytesMut, pid: i32, secret: &[u8]) {
    put(out, &BackendKeyData::new(pid, SecretKey::Bytes(Bytes::copy_from_slice(secret))));
}

pub fn negotiate(out: &mut BytesMut, newest: i32, unrecognised: Vec<String>) {
    put(out, &NegotiateProtocolVersion::new(newest, unrecognised));
}

pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    put(out, &ParameterStatus::new(text(name), text(value)));
}

pub fn ready(out: &mut BytesMut, status: TransactionStatus) {
    use pgwire::messages::response::TransactionStatus as Wire;
    let status = match status {
        TransactionStatus::Idle => Wire::Idle,
        TransactionStatus::InBlock => Wire::Transaction,
        TransactionStatus::Failed => Wire::Error,
    };
    put(out, &ReadyForQuery::new(status));
}

pub fn notification(out: &mut BytesMut, Notification { pid, channel, payload }: Notification) {
    put(out, &NotificationResponse::new(pid, text(&channel), text(&payload)));
}

pub fn command_complete(out: &mut BytesMut, tag: String) {
    put(out, &CommandComplete::new(tag));
}

pub fn parameter_description(out: &mut BytesMut, types: Vec<Oid>) {
    put(out, &ParameterDescription::new(types));
}

/// Appends a message whose body is written in place; 54000 beyond 2 GiB. What a failed one has left in the buffer is
/// the caller's to take out.
pub fn framed(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut) -> Result<()>) -> Result<()> {
    out.put_u8(tag);
    let start = out.len();
    out.put_i32(0);
    body(out)?;
    let length = i32::try_from(out.len() - start)
        .map_err(|_| SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a row of the result is larger than 2 GB"))?;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// How many columns a row has; 54000 for more than one can have.
pub fn column_count(columns: &[ResultColumn]) -> Result<u16> {
    u16::try_from(columns.len()).ok().filter(|count| *count <= MAX_COLUMNS).ok_or_else(|| {
        let message = format!("target lists can have at most {MAX_COLUMNS} entries");
        SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
    })
}

/// `formats` as the protocol has them: none is all text, one is for all, else one each. 54000 for more columns than a
/// row can have.
pub fn row_description(out: &mut BytesMut, columns: &[ResultColumn], formats: &[i16]) -> Result<()> {
    let count = column_count(columns)?;
    framed(out, b'T', |out| {
        out.put_u16(count);
        for (i, column) in columns.iter().enumerate() {
            out.extend(column.name.bytes().filter(|byte| *byte != 0));
            out.put_u8(0);
            out.put_u32(column.table_oid);
            out.put_i16(column.attribute);
            out.put_u32(column.ty.oid());
            out.put_i16(column.ty.length());
            out.put_i32(column.ty.modifier);
            out.put_i16(format_of(formats, i));
        }
        Ok(())
    })
}

/// The format of one column, 0 text or 1 binary.
pub fn format_of(formats: &[i16], column: usize) -> i16 {
    match formats {
        [] => 0,
        [all] => *all,
        each => each.get(column).copied().unwrap_or(0),
    }
}

pub fn copy_in(out: &mut BytesMut, columns: usize, binary: bool) {
    let (columns, format) = (i16::try_from(columns).unwrap_or(i16::MAX), i16::from(binary));
    put(out, &CopyInResponse::new(i8::from(binary), columns, vec![format; columns.max(0) as usize]));
}

pub fn copy_out(out: &mut BytesMut, columns: usize, binary: bool) {
    let (columns, format) = (i16::try_from(columns).unwrap_or(i16::MAX), i16::from(binary));
    put(out, &CopyOutResponse::new(i8::from(binary), columns, vec![format; columns.max(0) as usize]));
}

/// CopyData. `data` must be shorter than 2 GiB, which any chunk of whole rows is.
pub fn copy_data(out: &mut BytesMut, data: &[u8]) {
    out.reserve(5 + data.len());
    out.put_u8(b'd');
    out.put_i32(i32::try_from(data.len() + 4).unwrap_or(i32::MAX));
    out.put_slice(data);
}

/// ErrorResponse or NoticeResponse, after its severity.
pub fn report(out: &mut BytesMut, error: &SqlError) {
    match error.fields().severity {
        Severity::Debug | Severity::Log | Severity::Info | Severity::Notice | Severity::Warning => {
            put(out, &NoticeResponse::new(fields(error)))
        }
        Severity::Error | Severity::Fatal => put(out, &ErrorResponse::new(fields(error))),
    }
}

/// PostgreSQL's name for where an error arose, of which drivers look at one: a statement to prepare again.
fn routine(message: &str) -> &'static str {
    if message == "cached plan must not change result type" { "RevalidateCachedQuery" } else { "report" }
}

fn fields(error: &SqlError) -> Vec<(u8, String)> {
    let f = error.fields();
    let severity = f.severity.name();
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', f.code.code().to_owned()),
        (b'M', text(&f.message)),
    ];
    let optional = [
        (b'D', &f.detail),
        (b'H', &f.hint),
        (b'W', &f.context),
        (b's', &f.schema),
        (b't', &f.table),
        (b'c', &f.column),
        (b'd', &f.data_type),
        (b'n', &f.constraint),
    ];
    fields.extend(optional.into_iter().filter_map(|(code, value)| Some((code, text(value.as_deref()?)))));
    fields.extend(f.position.map(|position| (b'P', position.to_string())));
    fields.push((b'R', routine(&f.message).to_owned()));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_an_error_is_sent_and_none_breaks_the_frame() {
        let mut error = SqlError::new(SqlState::UNIQUE_VIOLATION, "mes\0sage")
            .detail("d")
            .hint("h")
            .at(7)
            .table("s", "t")
            .column("c")
            .constraint("n")
            .context("w");
        error.fields_mut().data_type = Some("ty".to_owned());
        let mut out = BytesMut::new();
        report(&mut out, &error);
        assert_eq!(out[0], b'E');
        assert_eq!(i32::from_be_bytes([out[1], out[2], out[3], out[4]]) as usize, out.len() - 1);
        let sent = String::from_utf8_lossy(&out[5..]).into_owned();
        let mut parts: Vec<&str> = sent.split('\0').filter(|p| !p.is_empty()).collect();
        parts.sort_unstable();
        let expected =
            ["C23505", "Dd", "Hh", "Mmessage", "P7", "Rreport", "SERROR", "VERROR", "Ww", "cc", "dty", "nn", "ss", "tt"];
        assert_eq!(parts, expected);
    }
}

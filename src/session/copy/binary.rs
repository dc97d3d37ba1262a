//! COPY's binary format: a signature, rows of counted fields in the types' binary formats, an end mark.
//!
//! Pure. A row that comes in is handed on as text fields, as those of the other formats are.

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::arrow::array::RecordBatch;

use super::input::Row;
use crate::error::{Result, SqlError, SqlState};
use crate::types::decode::decode_parameter;
use crate::types::encode::{Column, RowEncoder};
use crate::types::{PgType, Zone};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// The signature, flags and the length of what else the header holds.
const HEADER: usize = SIGNATURE.len() + 8;
const END: i16 = -1;
const BINARY: i16 = 1;

/// Takes rows out of what is pushed, cut anywhere.
#[derive(Debug)]
pub struct TupleReader {
    types: Vec<PgType>,
    zone: Zone,
    data: Vec<u8>,
    start: usize,
    header_read: bool,
    finished: bool,
    /// The end mark was read: what follows is not looked at.
    ended: bool,
    rows: u64,
    row: Row,
}

impl TupleReader {
    /// `types` are those of the columns that fields go to, in their order.
    pub fn new(types: Vec<PgType>, zone: Zone) -> Self {
        Self {
            types,
            zone,
            data: Vec::new(),
            start: 0,
            header_read: false,
            finished: false,
            ended: false,
            rows: 0,
            row: Row::default(),
        }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        if self.ended {
            return;
        }
        self.data.drain(..self.start);
        self.start = 0;
        self.data.extend_from_slice(chunk);
    }

    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The number of the row that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.rows
    }

    /// The next row that is whole; `None` until more is pushed, or at the end. 22P04 for what is not COPY's format, and what
    /// the types' binary formats refuse.
    pub fn next_row(&mut self) -> Result<Option<&Row>> {
        if self.ended || (!self.header_read && !self.read_header()?) {
            return Ok(None);
        }
        let rest = self.data.get(self.start..).unwrap_or_default();
        let Some((count, mut fields)) = rest.split_first_chunk::<2>() else { return self.incomplete(rest.is_empty()) };
        let count = i16::from_be_bytes(*count);
        if count == END {
            self.ended = true;
            return Ok(None);
        }
        if usize::try_from(count) != Ok(self.types.len()) {
            return Err(malformed(format!("row field count is {count}, expected {}", self.types.len())));
        }
        self.row.clear();
        let mut text = String::new();
        for ty in &self.types {
            let Some((size, after)) = fields.split_first_chunk::<4>() else { return self.incomplete(false) };
            let size = i32::from_be_bytes(*size);
            if size == -1 {
                self.row.push(None);
                fields = after;
                continue;
            }
            let Ok(size) = usize::try_from(size) else { return Err(malformed("invalid field size".to_owned())) };
            let Some((value, after)) = after.split_at_checked(size) else { return self.incomplete(false) };
            text.clear();
            write_text(*ty, value, self.zone, &mut text)?;
            self.row.push(Some(&text));
            fields = after;
        }
        self.start = self.data.len() - fields.len();
        self.rows += 1;
        Ok(Some(&self.row))
    }

    /// Between rows the data may end without its mark, within one it may not.
    fn incomplete(&self, between_rows: bool) -> Result<Option<&Row>> {
        if self.finished && !between_rows { Err(malformed("unexpected EOF in COPY data".to_owned())) } else { Ok(None) }
    }

    /// Whether the header was whole.
    fn read_header(&mut self) -> Result<bool> {
        let known = self.data.len().min(SIGNATURE.len());
        if self.data[..known] != SIGNATURE[..known] || (self.finished && known < SIGNATURE.len()) {
            return Err(malformed("COPY file signature not recognized".to_owned()));
        }
        let header = self.data.get(SIGNATURE.len()..HEADER).and_then(|words| words.split_first_chunk::<4>());
        let Some((flags, more)) = header else {
            return if self.finished { Err(malformed("invalid COPY file header (missing flags)".to_owned())) } else { Ok(false) };
        };
        if u32::from_be_bytes(*flags) >> 16 != 0 {
            return Err(malformed("unrecognized critical flags in COPY file header".to_owned()));
        }
        let more = more.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        if self.data.len() - HEADER < more {
            return Ok(false);
        }
        self.start = HEADER + more;
        self.header_read = true;
        Ok(true)
    }
}

fn write_text(ty: PgType, value: &[u8], zone: Zone, text: &mut String) -> Result<()> {
    let value = decode_parameter(ty.with_modifier(-1), BINARY, Some(value), zone)?;
    let array = value.to_array().map_err(|e| SqlError::internal(e.to_string()))?;
    Column::new(ty.with_modifier(-1), &array, zone)?.write_text(0, text);
    Ok(())
}

fn malformed(message: String) -> SqlError {
    SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

/// Writes rows, each as a chunk of its own: there are clients that read a row per message.
#[derive(Debug)]
pub struct TupleWriter {
    encoder: RowEncoder,
    header_written: bool,
}

impl TupleWriter {
    pub fn new(types: &[PgType], zone: Zone) -> Self {
        Self { encoder: RowEncoder::new(types, &[BINARY], zone), header_written: false }
    }

    /// The rows of a batch; the first of all carries the header.
    pub fn chunks(&mut self, batch: &RecordBatch) -> Result<Vec<(Bytes, u64)>> {
        let mut chunks = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let mut chunk = self.begun();
            self.encoder.encode(batch, row, &mut chunk)?;
            chunks.push((chunk.freeze(), 1));
        }
        Ok(chunks)
    }

    /// The end mark.
    pub fn end(&mut self) -> (Bytes, u64) {
        let mut chunk = self.begun();
        chunk.put_i16(END);
        (chunk.freeze(), 0)
    }

    fn begun(&mut self) -> BytesMut {
        let mut chunk = BytesMut::new();
        if !std::mem::replace(&mut self.header_written, true) {
            chunk.put_slice(SIGNATURE);
            chunk.put_u64(0);
        }
        chunk
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::*;

    fn types() -> Vec<PgType> {
        vec![PgType::INT4, PgType::TEXT]
    }

    /// Two rows as the writer writes them, the end mark included.
    fn written() -> Vec<u8> {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\nb"), Some("")]));
        let batch = RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)]).unwrap();
        let mut writer = TupleWriter::new(&types(), Zone::UTC);
        let mut chunks = writer.chunks(&batch).unwrap();
        chunks.push(writer.end());
        chunks.iter().flat_map(|(chunk, _)| chunk.to_vec()).collect()
    }

    fn read(pieces: impl Iterator<Item = Vec<u8>>) -> Result<Vec<Vec<Option<String>>>> {
        let mut reader = TupleReader::new(types(), Zone::UTC);
        let mut rows = Vec::new();
        for piece in pieces.map(Some).chain([None]) {
            match piece {
                Some(piece) => reader.push(&piece),
                None => reader.finish(),
            }
            while let Some(row) = reader.next_row()? {
                rows.push(row.fields().into_iter().map(|field| field.map(str::to_owned)).collect());
            }
        }
        Ok(rows)
    }

    #[test]
    fn rows_are_read_as_they_were_written_however_the_data_is_cut() {
        let data = written();
        let expected = [vec![Some("7".to_owned()), Some("a\nb".to_owned())], vec![None, Some(String::new())]];
        for size in [1, 2, 3, 7, data.len()] {
            assert_eq!(read(data.chunks(size).map(<[u8]>::to_vec)).unwrap(), expected, "cut every {size} bytes");
        }
    }

    #[test]
    fn what_is_not_the_format_is_refused() {
        let data = written();
        let mut flags = data.clone();
        flags[SIGNATURE.len()] = 1;
        let mut width = data.clone();
        width[HEADER + 1] = 3;
        for (bad, why) in
            [(b"1\tx\n".to_vec(), "text"), (flags, "flags"), (width, "width"), (data[..HEADER + 9].to_vec(), "cut off")]
        {
            let refused = read(std::iter::once(bad)).unwrap_err();
            assert_eq!(refused.code(), SqlState::BAD_COPY_FILE_FORMAT, "{why}");
        }
    }
}

//! How COPY's data becomes rows: chunks cut anywhere go in, rows of fields come out.
//!
//! Pure. Knows line ends, escapes, quotes, NULL and the end mark; not columns.

use crate::error::{Result, SqlError, SqlState};
use crate::sql::{CopyFormat, CopyOptions};
use crate::types::decode::utf8;

/// A line beyond this is not data. Bytes.
const LONGEST_LINE: usize = 1 << 30;

/// One row's fields.
#[derive(Debug, Default)]
pub struct Row {
    text: String,
    /// Where each field ends in `text`, and whether it is NULL.
    ends: Vec<(usize, bool)>,
}

impl Row {
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Adds a field; `None` is NULL.
    pub fn push(&mut self, field: Option<&str>) {
        self.text.push_str(field.unwrap_or_default());
        self.ends.push((self.text.len(), field.is_none()));
    }

    /// `None` is NULL.
    pub fn fields(&self) -> Vec<Option<&str>> {
        let mut from = 0;
        let field = |&(to, null): &(usize, bool)| {
            let text = self.text.get(from..to).unwrap_or_default();
            from = to;
            (!null).then_some(text)
        };
        self.ends.iter().map(field).collect()
    }
}

/// Splits what is pushed into rows.
#[derive(Debug)]
pub struct LineReader {
    options: CopyOptions,
    data: Vec<u8>,
    /// Where the line that is read next begins, and how far its end has been looked for.
    start: usize,
    seen: usize,
    quoted: bool,
    escaped: bool,
    finished: bool,
    /// The end mark was read: what follows is not looked at.
    ended: bool,
    line: u64,
    skip_header: bool,
    row: Row,
}

impl LineReader {
    pub fn new(options: CopyOptions) -> Self {
        let skip_header = options.header;
        Self {
            options,
            data: Vec::new(),
            start: 0,
            seen: 0,
            quoted: false,
            escaped: false,
            finished: false,
            ended: false,
            line: 0,
            skip_header,
            row: Row::default(),
        }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        if self.ended {
            return;
        }
        if self.start > 0 {
            self.data.drain(..self.start);
            self.seen -= self.start;
            self.start = 0;
        }
        self.data.extend_from_slice(chunk);
    }

    /// No more will be pushed: a last line without an end is a line too.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The number of the line that was read last, from 1; the lines within a quoted value count.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next row that is whole; `None` until more is pushed, or at the end. 22P04 for what is not COPY's
    /// format, 22021 for what is not UTF-8.
    pub fn next_row(&mut self) -> Result<Option<&Row>> {
        loop {
            let Some((from, to)) = self.next_line()? else { return Ok(None) };
            if self.skip_header {
                self.skip_header = false;
                continue;
            }
            if self.data.get(from..to) == Some(b"\\.") {
                self.ended = true;
                self.data.clear();
                (self.start, self.seen) = (0, 0);
                return Ok(None);
            }
            let line = self.data.get(from..to).unwrap_or_default();
            match self.options.format {
                CopyFormat::Text => read_text(line, &self.options, &mut self.row)?,
                CopyFormat::Csv | CopyFormat::Binary => read_csv(line, &self.options, &mut self.row)?,
            }
            return Ok(Some(&self.row));
        }
    }

    /// Where the next line is, without its end.
    fn next_line(&mut self) -> Result<Option<(usize, usize)>> {
        let end = match self.find_end() {
            Some(end) => end,
            None if self.data.len() - self.start > LONGEST_LINE => {
                return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "COPY line is too long"));
            }
            None if self.finished && self.quoted => {
                return Err(SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
            }
            None if self.finished && self.start < self.data.len() => self.data.len(),
            None => return Ok(None),
        };
        let from = self.start;
        self.start = (end + 1).min(self.data.len());
        self.seen = self.start;
        self.line += 1;
        let to = if end > from && self.data.get(end - 1) == Some(&b'\r') && end < self.data.len() { end - 1 } else { end };
        Ok(Some((from, to)))
    }

    /// The line feed that ends the line, beyond what has been looked at.
    fn find_end(&mut self) -> Option<usize> {
        let rest = self.data.get(self.seen..)?;
        let found = match self.options.format {
            CopyFormat::Text => rest.iter().position(|b| {
                let ends = *b == b'\n' && !self.escaped;
                self.escaped = *b == b'\\' && !self.escaped;
                ends
            }),
            CopyFormat::Csv | CopyFormat::Binary => {
                let (quote, escape) = (self.options.quote, self.options.escape);
                let mut inner = 0;
                let found = rest.iter().position(|b| {
                    if self.escaped {
                        self.escaped = false;
                    } else if self.quoted && *b == escape && escape != quote {
                        self.escaped = true;
                    } else if *b == quote {
                        self.quoted = !self.quoted;
                    } else if *b == b'\n' {
                        inner += u64::from(self.quoted);
                        return !self.quoted;
                    }
                    false
                });
                self.line += inner;
                found
            }
        };
        match found {
            Some(at) => Some(self.seen + at),
            None => {
                self.seen = self.data.len();
                None
            }
        }
    }
}

fn read_text(line: &[u8], options: &CopyOptions, row: &mut Row) -> Result<()> {
    row.ends.clear();
    if !line.contains(&b'\\') {
        let text = utf8(line)?;
        let delimiter = char::from(options.delimiter);
        row.text.clear();
        for field in text.split(delimiter) {
            row.text.push_str(field);
            row.ends.push((row.text.len(), field == options.null));
        }
        return Ok(());
    }
    let mut out = Vec::with_capacity(line.len());
    let mut from = 0;
    let mut at = 0;
    loop {
        let ends = at >= line.len() || line[at] == options.delimiter;
        if ends {
            // NULL is recognised as it is written, before escapes mean anything.
            let null = line.get(from..at) == Some(options.null.as_bytes());
            row.ends.push((out.len(), null));
            if at >= line.len() {
                break;
            }
            at += 1;
            from = at;
        } else if line[at] == b'\\' {
            at = unescape(line, at + 1, &mut out);
        } else {
            out.push(line[at]);
            at += 1;
        }
    }
    utf8(&out)?.clone_into(&mut row.text);
    check_ends(row)
}

/// Appends what the escape after the backslash stands for; returns where the text goes on.
fn unescape(line: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let Some(letter) = line.get(at) else {
        out.push(b'\\');
        return at;
    };
    let digits = |from: usize, most: usize, radix: u32| {
        let is_digit = |b: &&u8| char::from(**b).is_digit(radix);
        let run = line.get(from..).unwrap_or_default().iter().take(most).take_while(is_digit);
        run.fold((0u32, 0), |(value, n), b| (value * radix + char::from(*b).to_digit(radix).unwrap_or(0), n + 1))
    };
    let plain = match letter {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'0'..=b'7' => {
            let (value, n) = digits(at, 3, 8);
            out.push((value & 0xff) as u8);
            return at + n;
        }
        b'x' => match digits(at + 1, 2, 16) {
            (_, 0) => b'x',
            (value, n) => {
                out.push(value as u8);
                return at + 1 + n;
            }
        },
        other => *other,
    };
    out.push(plain);
    at + 1
}

fn read_csv(line: &[u8], options: &CopyOptions, row: &mut Row) -> Result<()> {
    let CopyOptions { delimiter, quote, escape, null, .. } = options;
    row.ends.clear();
    if !line.contains(quote) {
        let text = utf8(line)?;
        row.text.clear();
        for field in text.split(char::from(*delimiter)) {
            row.text.push_str(field);
            row.ends.push((row.text.len(), field == null));
        }
        return Ok(());
    }
    let mut out = Vec::with_capacity(line.len());
    let mut bytes = line.iter().copied().peekable();
    let (mut from, mut was_quoted, mut inside) = (0, false, false);
    loop {
        match bytes.next() {
            Some(b) if inside => {
                let next = bytes.peek().copied();
                if b == *escape && next.is_some_and(|n| n == *quote || n == *escape) {
                    out.extend(bytes.next());
                } else if b == *quote {
                    inside = false;
                } else {
                    out.push(b);
                }
            }
            Some(b) if b == *quote => (inside, was_quoted) = (true, true),
            Some(b) if b != *delimiter => out.push(b),
            end => {
                let is_null = !was_quoted && out.get(from..) == Some(null.as_bytes());
                row.ends.push((out.len(), is_null));
                (from, was_quoted) = (out.len(), false);
                if end.is_none() {
                    break;
                }
            }
        }
    }
    if inside {
        return Err(SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, "unterminated CSV quoted field"));
    }
    utf8(&out)?.clone_into(&mut row.text);
    check_ends(row)
}

/// Escapes may have put half a character at the end of a field.
fn check_ends(row: &Row) -> Result<()> {
    match row.ends.iter().all(|(end, _)| row.text.is_char_boundary(*end)) {
        true => Ok(()),
        false => Err(SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn text() -> CopyOptions {
        CopyOptions {
            format: CopyFormat::Text,
            delimiter: b'\t',
            null: "\\N".to_owned(),
            header: false,
            quote: b'"',
            escape: b'"',
            force_quote: Vec::new(),
        }
    }

    pub fn csv() -> CopyOptions {
        CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text() }
    }

    type Rows = Vec<(u64, Vec<Option<String>>)>;

    fn read(options: &CopyOptions, chunks: impl Iterator<Item = Vec<u8>>) -> Result<Rows> {
        let mut reader = LineReader::new(options.clone());
        let mut rows = Vec::new();
        let mut drain = |reader: &mut LineReader| -> Result<()> {
            while let Some(row) = reader.next_row()? {
                let fields = row.fields().into_iter().map(|f| f.map(str::to_owned)).collect();
                rows.push((reader.line(), fields));
            }
            Ok(())
        };
        for chunk in chunks {
            reader.push(&chunk);
            drain(&mut reader)?;
        }
        reader.finish();
        drain(&mut reader)?;
        Ok(rows)
    }

    /// Wherever the data is cut, the rows are the same.
    #[track_caller]
    fn check(options: &CopyOptions, data: &str, expected: &[(u64, &[Option<&str>])]) {
        let expected: Rows =
            expected.iter().map(|(line, row)| (*line, row.iter().map(|f| f.map(str::to_owned)).collect())).collect();
        for size in 1..=data.len().max(1) {
            let chunks = data.as_bytes().chunks(size).map(<[u8]>::to_vec);
            assert_eq!(read(options, chunks).unwrap(), expected, "cut every {size} bytes");
        }
    }

    #[test]
    fn text_lines_are_cut_and_unescaped() {
        check(
            &text(),
            "1\ta\n2\t\\N\r\n3\tx\\ty\\\\\\n",
            &[(1, &[Some("1"), Some("a")]), (2, &[Some("2"), None]), (3, &[Some("3"), Some("x\ty\\\n")])],
        );
        check(&text(), "\\x41\\101\\q\ta\\\nb\n", &[(1, &[Some("AAq"), Some("a\nb")])]);
    }

    #[test]
    fn the_end_mark_ends_the_data() {
        check(&text(), "1\n\\.\nnot data\n", &[(1, &[Some("1")])]);
        check(&csv(), "1\n\\.\nnot data\n", &[(1, &[Some("1")])]);
    }

    #[test]
    fn csv_quotes_hide_delimiters_and_line_ends() {
        check(
            &csv(),
            "1,\"a,\"\"b\"\"\nc\",,\"\"\n2,x\"y\"z,,\n",
            &[(2, &[Some("1"), Some("a,\"b\"\nc"), None, Some("")]), (3, &[Some("2"), Some("xyz"), None, None])],
        );
    }

    #[test]
    fn the_header_is_skipped_and_counted() {
        let options = CopyOptions { header: true, ..csv() };
        check(&options, "a,b\n1,2\n", &[(2, &[Some("1"), Some("2")])]);
    }

    #[test]
    fn what_is_no_format_is_refused() {
        let code = |options: &CopyOptions, data: &[u8]| read(options, std::iter::once(data.to_vec())).unwrap_err().code();
        assert_eq!(code(&csv(), b"1,\"open\n"), SqlState::BAD_COPY_FILE_FORMAT);
        assert_eq!(code(&text(), b"\xff\n"), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        assert_eq!(code(&text(), b"\\xc3\t\\xa9\n"), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    }
}

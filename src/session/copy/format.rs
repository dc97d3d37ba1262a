//! How COPY writes one row as a line.
//!
//! Pure. A line ends with a line feed.

use crate::sql::{CopyFormat, CopyOptions};

/// Appends fields to a line by the rules of one COPY.
#[derive(Debug)]
pub struct LineWriter {
    options: CopyOptions,
    /// Columns whose values are always quoted.
    forced: Vec<bool>,
}

impl LineWriter {
    pub fn new(options: CopyOptions, columns: &[String]) -> Self {
        let all = options.force_quote.iter().any(|name| name == "*");
        let forced = columns.iter().map(|name| all || options.force_quote.contains(name)).collect();
        Self { options, forced }
    }

    /// The names of the columns as a line.
    pub fn header(&self, columns: &[String], out: &mut Vec<u8>) {
        for (n, name) in columns.iter().enumerate() {
            self.begin(n, out);
            match self.options.format {
                CopyFormat::Text => escaped(name, self.options.delimiter, out),
                CopyFormat::Csv | CopyFormat::Binary => self.csv(name, false, columns.len() == 1, out),
            }
        }
        out.push(b'\n');
    }

    /// Appends field `n` of `width`; `None` is NULL.
    pub fn field(&self, n: usize, width: usize, value: Option<&str>, out: &mut Vec<u8>) {
        self.begin(n, out);
        match (value, self.options.format) {
            (None, _) => out.extend_from_slice(self.options.null.as_bytes()),
            (Some(value), CopyFormat::Text) => escaped(value, self.options.delimiter, out),
            (Some(value), CopyFormat::Csv | CopyFormat::Binary) => {
                let forced = self.forced.get(n).copied().unwrap_or(false);
                self.csv(value, forced, width == 1, out);
            }
        }
    }

    fn begin(&self, n: usize, out: &mut Vec<u8>) {
        if n > 0 {
            out.push(self.options.delimiter);
        }
    }

    fn csv(&self, value: &str, forced: bool, alone: bool, out: &mut Vec<u8>) {
        let CopyOptions { delimiter, quote, escape, null, .. } = &self.options;
        let special = |b: u8| b == *delimiter || b == *quote || b == b'\n' || b == b'\r';
        // A value that looks like NULL, or alone on its line like the end of the data, is told apart by quotes.
        let needs_quotes = forced || value == null || value.bytes().any(special) || (alone && value == "\\.");
        if !needs_quotes {
            out.extend_from_slice(value.as_bytes());
            return;
        }
        out.push(*quote);
        for b in value.bytes() {
            if b == *quote || b == *escape {
                out.push(*escape);
            }
            out.push(b);
        }
        out.push(*quote);
    }
}

fn escaped(value: &str, delimiter: u8, out: &mut Vec<u8>) {
    for b in value.bytes() {
        let letter = match b {
            b'\\' => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b if b == delimiter => b,
            b => {
                out.push(b);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::{
        LineReader,
        tests::{csv, text},
    };
    use super::*;

    /// What is written is read back as it was, whatever the values hold.
    #[track_caller]
    fn check(options: &CopyOptions, values: &[Option<&str>], expected: &str) {
        let columns: Vec<String> = (0..values.len()).map(|n| format!("c{n}")).collect();
        let writer = LineWriter::new(options.clone(), &columns);
        let mut line = Vec::new();
        for (n, value) in values.iter().enumerate() {
            writer.field(n, values.len(), *value, &mut line);
        }
        line.push(b'\n');
        assert_eq!(String::from_utf8(line.clone()).unwrap(), expected);
        let mut reader = LineReader::new(options.clone());
        reader.push(&line);
        reader.finish();
        let row = reader.next_row().unwrap().unwrap();
        assert_eq!(row.fields(), values);
    }

    #[test]
    fn text_escapes_what_would_end_a_field_or_a_line() {
        check(&text(), &[Some("a\tb"), None, Some("x\\y\n\r"), Some("")], "a\\tb\t\\N\tx\\\\y\\n\\r\t\n");
        let mut options = text();
        options.delimiter = b'|';
        check(&options, &[Some("a|b"), Some("\\N")], "a\\|b|\\\\N\n");
    }

    #[test]
    fn csv_quotes_only_what_needs_it() {
        check(
            &csv(),
            &[Some("a,b"), None, Some("say \"hi\""), Some(""), Some("x\ny")],
            "\"a,b\",,\"say \"\"hi\"\"\",\"\",\"x\ny\"\n",
        );
        check(&csv(), &[Some("\\.")], "\"\\.\"\n");
        let mut options = csv();
        options.force_quote = vec!["c1".to_owned()];
        check(&options, &[Some("1"), Some("2"), Some("3")], "1,\"2\",3\n");
        options.force_quote = Vec::new();
        options.escape = b'\\';
        check(&options, &[Some("a\"\\b")], "\"a\\\"\\\\b\"\n");
    }
}

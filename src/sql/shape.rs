//! A statement's text with its plain literals taken out, so that texts which differ in nothing else are known to.
//!
//! Reads bytes once and understands no grammar. Whatever could be read in two ways (comments, escapes, dollar
//! quotes, text beyond ASCII) has no shape: such a text takes the general road.

use std::ops::Range;

/// Longer texts are not looked at: they are rarely sent twice, and reading them costs.
const LONGEST: usize = 4_096;

/// A statement of more literals than this is none of those that shapes are for.
const MOST_LITERALS: usize = 16;

const NUMBER_MARK: u8 = 1;
const TEXT_MARK: u8 = 2;

/// Digits without sign, point or exponent; or what stands between two quotes, with neither a quote nor a
/// backslash in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal<'a> {
    Number(&'a str),
    Text(&'a str),
}

/// A text with at least one literal in it.
#[derive(Debug)]
pub struct Shape<'a> {
    text: &'a str,
    /// Equal for two texts exactly when they are the same but for their literals, and those are of the same kinds.
    pub key: Vec<u8>,
    pub literals: Vec<Literal<'a>>,
    /// Where each literal stands, with its quotes, and a word TIMESTAMP that makes it a typed one.
    places: Vec<Range<usize>>,
    /// The greatest `$n` in the text.
    parameters: usize,
}

/// `None` for a text without literals, or with anything in it that is not plain.
pub fn shape(text: &str) -> Option<Shape<'_>> {
    if text.len() > LONGEST {
        return None;
    }
    let shape = Shape { text, key: Vec::with_capacity(text.len()), literals: Vec::new(), places: Vec::new(), parameters: 0 };
    let mut scanner = Scanner { shape, at: 0, typed_from: None };
    while scanner.at < text.len() {
        scanner.step()?;
    }
    Some(scanner.shape).filter(|shape| !shape.literals.is_empty())
}

impl Shape<'_> {
    /// The greatest number of a parameter that the text has itself.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The text with `$first`, `$first + 1` … in place of its literals.
    pub fn parametrised(&self, first: usize) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut copied = 0;
        for (n, place) in self.places.iter().enumerate() {
            out.push_str(&self.text[copied..place.start]);
            out.push('$');
            out.push_str(&(first + n).to_string());
            copied = place.end;
        }
        out.push_str(&self.text[copied..]);
        out
    }
}

struct Scanner<'a> {
    shape: Shape<'a>,
    at: usize,
    /// Where the word TIMESTAMP began, when only white space has come since.
    typed_from: Option<usize>,
}

impl Scanner<'_> {
    /// Takes what begins here; `None` for what is not plain.
    fn step(&mut self) -> Option<()> {
        let bytes = self.shape.text.as_bytes();
        let next = bytes.get(self.at + 1).copied();
        match bytes[self.at] {
            b'\'' => return self.text(bytes),
            b'0'..=b'9' => return self.number(bytes),
            b'"' => {
                let end = self.at + 1 + bytes[self.at + 1..].iter().position(|b| *b == b'"')?;
                self.keep(bytes, end + 1)?;
            }
            b'$' => {
                let end = end_of(bytes, self.at + 1, |b| b.is_ascii_digit());
                let number = self.shape.text[self.at + 1..end].parse().ok().filter(|n| (1..1_000).contains(n))?;
                self.shape.parameters = self.shape.parameters.max(number);
                self.keep(bytes, end)?;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {
                self.shape.key.push(bytes[self.at]);
                self.at += 1;
                return Some(());
            }
            b if b.is_ascii_alphabetic() || b == b'_' => return self.word(bytes),
            b'-' if next == Some(b'-') => return None,
            b'/' if next == Some(b'*') => return None,
            b'&' if matches!(next, Some(b'\'' | b'"')) => return None,
            b'\\' => return None,
            b'!'..=b'~' => {
                self.shape.key.push(bytes[self.at]);
                self.at += 1;
            }
            _ => return None,
        }
        self.typed_from = None;
        Some(())
    }

    fn keep(&mut self, bytes: &[u8], end: usize) -> Option<()> {
        let kept = bytes.get(self.at..end)?;
        self.shape.key.extend_from_slice(kept);
        self.at = end;
        kept.iter().all(|b| (b' '..=b'~').contains(b)).then_some(())
    }

    fn word(&mut self, bytes: &[u8]) -> Option<()> {
        let start = self.at;
        let end = end_of(bytes, start, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$');
        // A letter right before a quote makes another kind of string of it.
        if bytes.get(end) == Some(&b'\'') {
            return None;
        }
        self.typed_from = bytes[start..end].eq_ignore_ascii_case(b"timestamp").then_some(start);
        self.keep(bytes, end)
    }

    fn number(&mut self, bytes: &[u8]) -> Option<()> {
        let end = end_of(bytes, self.at, |b| b.is_ascii_digit());
        let after = bytes.get(end).copied().unwrap_or(b' ');
        let before = self.at.checked_sub(1).and_then(|at| bytes.get(at)).copied().unwrap_or(b' ');
        if after.is_ascii_alphanumeric() || matches!(after, b'_' | b'.' | b'$' | b'\'' | b'"') || before == b'.' {
            return None;
        }
        let literal = Literal::Number(&self.shape.text[self.at..end]);
        self.typed_from = None;
        self.literal(literal, self.at..end, NUMBER_MARK)
    }

    fn text(&mut self, bytes: &[u8]) -> Option<()> {
        let start = self.at + 1;
        let end = end_of(bytes, start, |b| (b' '..=b'~').contains(&b) && b != b'\'' && b != b'\\');
        if bytes.get(end) != Some(&b'\'') || bytes.get(end + 1) == Some(&b'\'') {
            return None;
        }
        let place = self.typed_from.take().unwrap_or(self.at)..end + 1;
        self.literal(Literal::Text(&self.shape.text[start..end]), place, TEXT_MARK)
    }
}

impl<'a> Scanner<'a> {
    fn literal(&mut self, literal: Literal<'a>, place: Range<usize>, mark: u8) -> Option<()> {
        if self.shape.literals.len() == MOST_LITERALS {
            return None;
        }
        self.at = place.end;
        self.shape.key.push(mark);
        self.shape.literals.push(literal);
        self.shape.places.push(place);
        Some(())
    }
}

fn end_of(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|b| !belongs(*b)).map_or(bytes.len(), |n| from + n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_taken_out_and_the_rest_stays() {
        let text = "SELECT a1, \"B 2\" FROM t$3 FOR SYSTEM_TIME AS OF TIMESTAMP  '2025-01-02' WHERE id = 77 AND k=$2";
        let shape = shape(text).unwrap();
        assert_eq!(shape.literals, [Literal::Text("2025-01-02"), Literal::Number("77")]);
        assert_eq!(shape.parameters(), 2);
        let expected = "SELECT a1, \"B 2\" FROM t$3 FOR SYSTEM_TIME AS OF $3 WHERE id = $4 AND k=$2";
        assert_eq!(shape.parametrised(3), expected);
    }

    #[test]
    fn only_literals_of_the_same_kind_are_exchangeable() {
        let key = |text| shape(text).unwrap().key;
        assert_eq!(key("select 1, 'a'"), key("select 999, ''"));
        assert_ne!(key("select 1, 'a'"), key("select 'a', 1"));
        assert_ne!(key("select 1"), key("SELECT 1"));
        assert_ne!(key("select 1"), key("select  1"));
        assert_ne!(key("select timestamp 'a'"), key("select 'a'"));
        assert_ne!(key("select \"a\", 1"), key("select \"b\", 1"));
    }

    #[test]
    fn what_may_be_read_in_two_ways_has_no_shape() {
        for text in [
            "select a",
            "select 1 -- x",
            "select 1 /* x */",
            "select E'a'",
            "select n'a'",
            "select U&'a', 1",
            "select $$a$$, 1",
            "select $a$ 1 $a$",
            "select 'it''s'",
            "select 'a\\b'",
            "select 'open",
            "select \"open, 1",
            "select 'é'",
            "select é, 1",
            "select 1.5",
            "select .5",
            "select 1.",
            "select 1e3",
            "select 0x1F",
            "select 1_000",
            "select 1a",
            "select 'a\nb'",
            "select '\u{1}'",
            "select 1 \u{1}",
            "select $0, 1",
            "select 1'a'",
        ] {
            assert!(shape(text).is_none(), "{text}");
        }
        assert!(shape(&format!("select '{}'", "x".repeat(LONGEST))).is_none());
        assert!(shape(&format!("select {}", "1,".repeat(MOST_LITERALS + 1))).is_none());
    }
}

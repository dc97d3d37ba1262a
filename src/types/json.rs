//! JSON text: checking it, PostgreSQL's normal form of jsonb, and walking through valid text without
//! building a tree.
//!
//! jsonb travels as its normal form: members ordered by the length of their names and then by their bytes,
//! the last of equal names kept, numbers without exponent, `", "` and `": "` between the parts.

use std::borrow::Cow;

use crate::error::{Result, SqlError, SqlState};

/// Deeper values are refused with 54001.
const MAX_DEPTH: usize = 512;
/// Digits that a number may have once its exponent is written out.
const MAX_DIGITS: i64 = 16_383;

/// A jsonb value as a tree, in normal form.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// Decimal digits without exponent.
    Number(String),
    String(String),
    Array(Vec<Json>),
    /// Ordered as the normal form is.
    Object(Vec<(String, Json)>),
}

/// 22P02 with PostgreSQL's detail when the text is not JSON.
pub fn validate(text: &str) -> Result<()> {
    Reader::new(text).document(&mut Discard)
}

/// The normal form. 22P02 when the text is not JSON, 22P05 for `\u0000`.
pub fn normalise(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len() + 8);
    Json::parse(text)?.write(&mut out);
    Ok(out)
}

impl Json {
    /// Of a value that is stored: what jsonb cannot hold, and a document of another program may have, reads as U+FFFD.
    pub fn stored(text: &str) -> Result<Self> {
        Self::parse(text).or_else(|error| match readable(text) {
            Cow::Owned(text) => Self::parse(&text),
            Cow::Borrowed(_) => Err(error),
        })
    }

    pub fn parse(text: &str) -> Result<Self> {
        let mut tree = Tree { done: None };
        Reader::new(text).document(&mut tree)?;
        tree.done.ok_or_else(|| SqlError::internal("JSON text without a value"))
    }

    /// An object in normal form; of equal names the last is kept.
    pub fn object(mut members: Vec<(String, Json)>) -> Self {
        members.sort_by(|(a, _), (b, _)| (a.len(), a.as_bytes()).cmp(&(b.len(), b.as_bytes())));
        // The sort is stable, so the last of equal names stands last.
        let mut kept: Vec<(String, Json)> = Vec::with_capacity(members.len());
        for member in members {
            match kept.last_mut() {
                Some(last) if last.0 == member.0 => *last = member,
                _ => kept.push(member),
            }
        }
        Self::Object(kept)
    }

    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Number(digits) => out.push_str(digits),
            Self::String(s) => write_string(out, s),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (i, (name, value)) in members.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    write_string(out, name);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// A JSON string with PostgreSQL's choice of escapes.
pub fn write_string(out: &mut String, s: &str) {
    use std::fmt::Write;
    out.push('"');
    let mut from = 0;
    for (at, b) in s.bytes().enumerate() {
        let escape = match b {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&s[from..at]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{b:04x}");
        } else {
            out.push_str(escape);
        }
        from = at + 1;
    }
    out.push_str(&s[from..]);
    out.push('"');
}

/// Takes what a [`Reader`] finds.
trait Sink {
    type Value;
    fn scalar(&mut self, value: Scalar<'_>) -> Result<Self::Value>;
    fn array(&mut self, items: Vec<Self::Value>) -> Self::Value;
    fn object(&mut self, members: Vec<(String, Self::Value)>) -> Self::Value;
    fn name(&mut self, raw: &str) -> Result<String>;
    fn keeps_parts(&self) -> bool;
    fn finish(&mut self, value: Self::Value);
}

enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    /// With its quotes.
    String(&'a str),
}

/// Checks only.
struct Discard;

impl Sink for Discard {
    type Value = ();

    fn scalar(&mut self, _: Scalar<'_>) -> Result<()> {
        Ok(())
    }

    fn array(&mut self, _: Vec<()>) {}

    fn object(&mut self, _: Vec<(String, ())>) {}

    fn name(&mut self, _: &str) -> Result<String> {
        Ok(String::new())
    }

    fn keeps_parts(&self) -> bool {
        false
    }

    fn finish(&mut self, (): ()) {}
}

struct Tree {
    done: Option<Json>,
}

impl Sink for Tree {
    type Value = Json;

    fn scalar(&mut self, value: Scalar<'_>) -> Result<Json> {
        Ok(match value {
            Scalar::Null => Json::Null,
            Scalar::Bool(b) => Json::Bool(b),
            Scalar::Number(digits) => Json::Number(plain_number(digits)?),
            Scalar::String(raw) => Json::String(decode_string(raw)?),
        })
    }

    fn array(&mut self, items: Vec<Json>) -> Json {
        Json::Array(items)
    }

    fn object(&mut self, members: Vec<(String, Json)>) -> Json {
        Json::object(members)
    }

    fn name(&mut self, raw: &str) -> Result<String> {
        decode_string(raw)
    }

    fn keeps_parts(&self) -> bool {
        true
    }

    fn finish(&mut self, value: Json) {
        self.done = Some(value);
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn document<S: Sink>(mut self, sink: &mut S) -> Result<()> {
        let value = self.value(sink, 0)?;
        sink.finish(value);
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("end of input")),
        }
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn value<S: Sink>(&mut self, sink: &mut S, depth: usize) -> Result<S::Value> {
        if depth > MAX_DEPTH {
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "JSON value is nested too deeply")
                .hint(format!("At most {MAX_DEPTH} levels are supported.")));
        }
        match self.peek() {
            Some(b'{') => self.object(sink, depth),
            Some(b'[') => self.array(sink, depth),
            Some(b'"') => {
                let raw = self.string()?;
                sink.scalar(Scalar::String(raw))
            }
            Some(b'-' | b'0'..=b'9') => {
                let digits = self.number()?;
                sink.scalar(Scalar::Number(digits))
            }
            Some(b'a'..=b'z') => self.word(sink),
            _ => Err(self.unexpected("JSON value")),
        }
    }

    fn word<S: Sink>(&mut self, sink: &mut S) -> Result<S::Value> {
        let token = self.token();
        let value = match token {
            "null" => Scalar::Null,
            "true" => Scalar::Bool(true),
            "false" => Scalar::Bool(false),
            _ => return Err(self.invalid_token()),
        };
        self.at += token.len();
        sink.scalar(value)
    }

    fn object<S: Sink>(&mut self, sink: &mut S, depth: usize) -> Result<S::Value> {
        let mut members = Vec::new();
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(sink.object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected(if members.is_empty() { "string or \"}\"" } else { "string" }));
            }
            let raw = self.string()?;
            let name = sink.name(raw)?;
            if self.peek() != Some(b':') {
                return Err(self.unexpected("\":\""));
            }
            self.at += 1;
            let value = self.value(sink, depth + 1)?;
            if sink.keeps_parts() {
                members.push((name, value));
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(sink.object(members));
                }
                _ => return Err(self.unexpected("\",\" or \"}\"")),
            }
        }
    }

    fn array<S: Sink>(&mut self, sink: &mut S, depth: usize) -> Result<S::Value> {
        let mut items = Vec::new();
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(sink.array(items));
        }
        loop {
            let value = self.value(sink, depth + 1)?;
            if sink.keeps_parts() {
                items.push(value);
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(sink.array(items));
                }
                _ => return Err(self.unexpected("\",\" or \"]\"")),
            }
        }
    }

    /// The string at the cursor with its quotes, its escapes checked.
    fn string(&mut self) -> Result<&'a str> {
        let begin = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[begin..self.at]);
                }
                Some(b'\\') => self.escape(begin)?,
                Some(0..=0x1f) => {
                    let detail = format!("Character with value 0x{:02x} must be escaped.", bytes[self.at]);
                    return Err(self.error(detail));
                }
                Some(_) => self.at += 1,
                None => {
                    self.at = begin;
                    return Err(self.invalid_token());
                }
            }
        }
    }

    fn escape(&mut self, begin: usize) -> Result<()> {
        let rest = &self.text[self.at + 1..];
        match rest.chars().next() {
            Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => self.at += 2,
            Some('u') if rest.len() > 4 && rest.as_bytes()[1..5].iter().all(u8::is_ascii_hexdigit) => self.at += 6,
            Some('u') => return Err(self.error("\"\\u\" must be followed by four hexadecimal digits.")),
            Some(c) => return Err(self.error(format!("Escape sequence \"\\{c}\" is invalid."))),
            None => {
                self.at = begin;
                return Err(self.invalid_token());
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str> {
        let token = self.token();
        if !is_number(token) {
            return Err(self.invalid_token());
        }
        self.at += token.len();
        Ok(token)
    }

    /// What PostgreSQL's lexer would take as one token at the cursor.
    fn token(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | '$') || !c.is_ascii();
        &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())]
    }

    fn invalid_token(&self) -> SqlError {
        let rest = &self.text[self.at..];
        let token = match rest.chars().next() {
            Some('"') => rest,
            Some(c) if self.token().is_empty() => &rest[..c.len_utf8()],
            _ => self.token(),
        };
        self.error(format!("Token \"{token}\" is invalid."))
    }

    fn unexpected(&mut self, expected: &str) -> SqlError {
        let found = match self.peek() {
            None => return self.error("The input string ended unexpectedly."),
            Some(b @ (b'{' | b'}' | b'[' | b']' | b':' | b',')) => (b as char).to_string(),
            Some(b'"') => match self.string() {
                Ok(raw) => raw.trim_matches('"').to_owned(),
                Err(error) => return error,
            },
            Some(_) => {
                let token = self.token();
                if !(is_number(token) || matches!(token, "true" | "false" | "null")) {
                    return self.invalid_token();
                }
                token.to_owned()
            }
        };
        self.error(format!("Expected {expected}, but found \"{found}\"."))
    }

    fn error(&self, detail: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json").detail(detail)
    }
}

/// `-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?`
fn is_number(token: &str) -> bool {
    let unsigned = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

/// The number with its exponent written out, as PostgreSQL's numeric prints it.
fn plain_number(text: &str) -> Result<String> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |t| (true, t));
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i64>().unwrap_or(i64::MAX)),
        None if negative && unsigned.bytes().all(|b| matches!(b, b'0' | b'.')) => (unsigned, 0),
        None => return Ok(text.to_owned()),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if exponent.abs() > MAX_DIGITS {
        return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format"));
    }
    let digits = [whole, fraction].concat();
    let point = whole.len() as i64 + exponent;
    let scale = (fraction.len() as i64 - exponent).max(0) as usize;
    let mut integer: String = if point > 0 { digits.chars().take(point as usize).collect() } else { String::new() };
    integer.extend(std::iter::repeat_n('0', (point.max(0) as usize).saturating_sub(integer.len())));
    let integer = match integer.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    let mut tail = "0".repeat((-point).max(0) as usize);
    tail.extend(digits.chars().skip(point.max(0) as usize));
    tail.truncate(scale);
    let zero = integer == "0" && tail.bytes().all(|b| b == b'0');
    let sign = if negative && !zero { "-" } else { "" };
    Ok(if tail.is_empty() { format!("{sign}{integer}") } else { format!("{sign}{integer}.{tail}") })
}

/// The text that a JSON string (with its quotes) stands for. 22P05 for `\u0000`, 22P02 for lone surrogates.
pub fn decode_string(raw: &str) -> Result<String> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Ok(inner.to_owned());
    }
    let bad =
        |detail: &str| SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json").detail(detail);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    let mut high: Option<u32> = None;
    while let Some(c) = chars.next() {
        let escape = if c == '\\' { chars.next() } else { None };
        if escape == Some('u') {
            let code = chars.by_ref().take(4).fold(0, |n, c| n * 16 + c.to_digit(16).unwrap_or(0));
            match (high.take(), code) {
                (None, 0xd800..0xdc00) => high = Some(code),
                (Some(_), 0xd800..0xdc00) => return Err(bad("Unicode high surrogate must not follow a high surrogate.")),
                (Some(high), 0xdc00..0xe000) => {
                    let combined = 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00);
                    out.extend(char::from_u32(combined));
                }
                (None, 0xdc00..0xe000) | (Some(_), _) => {
                    return Err(bad("Unicode low surrogate must follow a high surrogate."));
                }
                (None, 0) => {
                    let message = "unsupported Unicode escape sequence";
                    return Err(
                        SqlError::new(SqlState::UNTRANSLATABLE_CHARACTER, message).detail("\\u0000 cannot be converted to text.")
                    );
                }
                (None, code) => out.extend(char::from_u32(code)),
            }
            continue;
        }
        if high.is_some() {
            return Err(bad("Unicode low surrogate must follow a high surrogate."));
        }
        out.push(match escape {
            None => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(other) => other,
        });
    }
    if high.is_some() { Err(bad("Unicode low surrogate must follow a high surrogate.")) } else { Ok(out) }
}

/// JSON text with the escape of U+FFFD for every one of a NUL or of half a surrogate pair, which text cannot hold.
pub fn readable(text: &str) -> Cow<'_, str> {
    let code = |at: usize| {
        let escape = text.get(at..at + 6).filter(|escape| escape.starts_with("\\u"))?;
        u32::from_str_radix(&escape[2..], 16).ok()
    };
    let mut out: Option<String> = None;
    let (mut from, mut at) = (0, 0);
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += next;
        let pair = |at: usize| code(at + 6).is_some_and(|low| (0xdc00..0xe000).contains(&low));
        at += match code(at) {
            Some(0xd800..0xdc00) if pair(at) => 12,
            Some(0 | 0xd800..0xe000) => {
                let out = out.get_or_insert_default();
                out.push_str(&text[from..at]);
                out.push_str("\\ufffd");
                from = at + 6;
                6
            }
            Some(_) => 6,
            None => 2,
        };
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.push_str(text.get(from..).unwrap_or_default());
            Cow::Owned(out)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// As `jsonb_typeof` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

/// What valid JSON text holds at its top.
pub fn kind(text: &str) -> Kind {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'-' | b'0'..=b'9') => Kind::Number,
        _ => Kind::Null,
    }
}

/// The members of valid JSON text that is an object, in order, values as their text; nothing for the rest.
pub fn members(text: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut walk = Walk::into(text, b'{');
    std::iter::from_fn(move || {
        let name = walk.next_value()?;
        let value = walk.next_value()?;
        let name = if name.contains('\\') {
            Cow::Owned(decode_string(name).unwrap_or_default())
        } else {
            Cow::Borrowed(name.trim_matches('"'))
        };
        Some((name, value))
    })
}

/// The elements of valid JSON text that is an array; nothing for the rest.
pub fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut walk = Walk::into(text, b'[');
    std::iter::from_fn(move || walk.next_value())
}

/// The member of this name, as its text; of equal names the last.
pub fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    members(text).filter(|(n, _)| n == name).map(|(_, v)| v).last()
}

/// The element at this place, counted from the end when negative.
pub fn element(text: &str, index: i64) -> Option<&str> {
    match usize::try_from(index) {
        Ok(index) => elements(text).nth(index),
        Err(_) => {
            let all: Vec<&str> = elements(text).collect();
            let from_end = usize::try_from(index.unsigned_abs()).ok()?;
            all.len().checked_sub(from_end).and_then(|i| all.get(i).copied())
        }
    }
}

/// One step of a path: a member's name, or an element's place where the text is an array.
pub fn step<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    match kind(text) {
        Kind::Object => member(text, key),
        Kind::Array => element(text, key.trim().parse().ok()?),
        _ => None,
    }
}

/// What `->>` shows: strings without quotes and escapes, NULL for null.
pub fn as_text(text: &str) -> Result<Option<Cow<'_, str>>> {
    let text = text.trim();
    match kind(text) {
        Kind::Null => Ok(None),
        Kind::String if text.contains('\\') => decode_string(text).map(|s| Some(Cow::Owned(s))),
        Kind::String => Ok(Some(Cow::Borrowed(text.trim_matches('"')))),
        _ => Ok(Some(Cow::Borrowed(text))),
    }
}

/// Steps through the values inside valid JSON text. Never panics on text that is not valid.
struct Walk<'a> {
    rest: &'a str,
}

impl<'a> Walk<'a> {
    fn into(text: &'a str, open: u8) -> Self {
        let text = text.trim_start();
        let inside = text.as_bytes().first() == Some(&open);
        Self { rest: if inside { &text[1..] } else { "" } }
    }

    fn next_value(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
        let end = value_end(rest.as_bytes())?;
        let (value, tail) = rest.split_at_checked(end)?;
        self.rest = tail;
        Some(value)
    }
}

/// Bytes of the value at the beginning; `None` at a closing bracket or the end.
fn value_end(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            _ if depth > 0 => {
                at += 1;
                continue;
            }
            _ => {
                let len = bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')).count();
                return (len > 0).then_some(at + len);
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

fn string_end(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonb_has_one_normal_form() {
        for (text, expected) in [
            (r#" {"bb":1,"a":2,"c":[1,2 ,3]} "#, r#"{"a": 2, "c": [1, 2, 3], "bb": 1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
            (r#"[]"#, "[]"),
            (r#"{}"#, "{}"),
            ("1e5", "100000"),
            ("1.50", "1.50"),
            ("1.5e-3", "0.0015"),
            ("1.0e1", "10"),
            ("1.00e1", "10.0"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            ("0e3", "0"),
            (r#""aé\n\/😀""#, "\"aé\\n/😀\""),
            (r#""\u001f""#, r#""\u001f""#),
        ] {
            assert_eq!(normalise(text).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_not_json_is_refused_with_a_detail() {
        for (text, detail) in [
            ("", "The input string ended unexpectedly."),
            ("{", "The input string ended unexpectedly."),
            ("hello", "Token \"hello\" is invalid."),
            ("{a:1}", "Token \"a\" is invalid."),
            ("[1,]", "Expected JSON value, but found \"]\"."),
            ("{\"a\" 1}", "Expected \":\", but found \"1\"."),
            ("[1 2]", "Expected \",\" or \"]\", but found \"2\"."),
            ("1 2", "Expected end of input, but found \"2\"."),
            ("01", "Token \"01\" is invalid."),
            ("\"a", "Token \"\"a\" is invalid."),
            (r#""\x""#, "Escape sequence \"\\x\" is invalid."),
            (r#""\u12""#, "\"\\u\" must be followed by four hexadecimal digits."),
            (r#""\ud83d""#, "Unicode low surrogate must follow a high surrogate."),
        ] {
            let error = normalise(text).unwrap_err();
            assert_eq!(error.code(), SqlState::INVALID_TEXT_REPRESENTATION, "{text}");
            assert_eq!(error.fields().detail.as_deref(), Some(detail), "{text}");
        }
        assert_eq!(normalise("\"\\u0000\"").unwrap_err().code(), SqlState::UNTRANSLATABLE_CHARACTER);
        assert!(matches!(readable(r#"{"a": "\\u0000 \ud83d\ude00 \u00e9"}"#), Cow::Borrowed(_)));
        let kept = readable(r#"["\u0000", "\ud83d!", "\udE00\ud83d\ude00", "\ud83d\ud83d\ude00"]"#);
        assert_eq!(kept, r#"["\ufffd", "\ufffd!", "\ufffd\ud83d\ude00", "\ufffd\ud83d\ude00"]"#);
        assert_eq!(Json::stored(r#""\u0000""#).unwrap(), Json::String("\u{fffd}".to_owned()));
        let deep = "[".repeat(100_000);
        assert_eq!(validate(&deep).unwrap_err().code(), SqlState::STATEMENT_TOO_COMPLEX);
    }

    #[test]
    fn text_is_walked_without_a_tree() {
        let text = r#"{"a": {"b": [1, "x\"]", null]}, "c\n": -1.5}"#;
        assert_eq!(member(text, "c\n"), Some("-1.5"));
        let inner = step(text, "a").and_then(|a| step(a, "b")).unwrap();
        assert_eq!(elements(inner).collect::<Vec<_>>(), ["1", "\"x\\\"]\"", "null"]);
        assert_eq!(element(inner, -2).and_then(|e| as_text(e).unwrap()).as_deref(), Some("x\"]"));
        assert_eq!(element(inner, 3), None);
        assert_eq!(element(inner, -4), None);
        assert_eq!(as_text("null").unwrap(), None);
        assert_eq!(members("[1]").count(), 0);
    }
}

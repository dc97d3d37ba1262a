//! From text to values.

use super::{Json, Number, Object, Text};

/// A text that is no JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}: expected {expected}")]
pub struct BadJson {
    pub at: usize,
    pub expected: &'static str,
}

/// Deeper values are refused: they would exhaust the stack.
const DEEPEST: usize = 512;

/// One value and nothing after it, as strict as JavaScript's `JSON.parse`.
pub fn parse(text: &[u8]) -> Result<Json, BadJson> {
    let text = std::str::from_utf8(text).map_err(|cause| BadJson { at: cause.valid_up_to(), expected: "UTF-8" })?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at == text.len() { Ok(value) } else { Err(reader.bad("the end")) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn bad(&self, expected: &'static str) -> BadJson {
        BadJson { at: self.at, expected }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), BadJson> {
        if self.peek() != Some(byte) {
            return Err(self.bad(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, BadJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.bad("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Json, BadJson> {
        if depth > DEEPEST {
            return Err(self.bad("a shallower value"));
        }
        self.skip_space();
        match self.peek() {
            Some(b'n') => self.word("null", Json::Null),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'"') => self.string().map(Json::String),
            Some(b'[') => self.array(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) | None => Err(self.bad("a value")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, BadJson> {
        let mut elements = Vec::new();
        self.list(b'[', b']', |reader| {
            elements.push(reader.value(depth + 1)?);
            Ok(())
        })?;
        Ok(Json::Array(elements))
    }

    fn object(&mut self, depth: usize) -> Result<Json, BadJson> {
        let mut members = Vec::new();
        self.list(b'{', b'}', |reader| {
            reader.skip_space();
            let name = reader.string()?;
            reader.skip_space();
            reader.take(b':', "\":\"")?;
            members.push((name, reader.value(depth + 1)?));
            Ok(())
        })?;
        Ok(Json::Object(Object::from_members(members)))
    }

    fn list(&mut self, open: u8, close: u8, mut one: impl FnMut(&mut Self) -> Result<(), BadJson>) -> Result<(), BadJson> {
        self.take(open, "a value")?;
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            one(self)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => break,
                Some(_) | None => return Err(self.bad("\",\" or the end of the list")),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn digits(&mut self) -> Result<(), BadJson> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(self.bad("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Json, BadJson> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Json::Number(Number::from_digits(&self.text[from..self.at])))
    }

    fn string(&mut self) -> Result<Text, BadJson> {
        self.take(b'"', "a string")?;
        let from = self.at;
        // The usual string has no escape and is taken as it stands.
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(Text::from(text));
                }
                Some(b'\\') => return self.escaped(from),
                Some(0..=0x1f) | None => return Err(self.bad("the end of the string")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escaped(&mut self, from: usize) -> Result<Text, BadJson> {
        let mut units: Vec<u16> = self.text[from..self.at].encode_utf16().collect();
        loop {
            let plain = self.at;
            while matches!(self.peek(), Some(byte) if byte != b'"' && byte != b'\\' && byte > 0x1f) {
                self.at += 1;
            }
            units.extend(self.text[plain..self.at].encode_utf16());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text::from_units(units));
                }
                Some(b'\\') => units.push(self.escape()?),
                Some(_) | None => return Err(self.bad("the end of the string")),
            }
        }
    }

    fn escape(&mut self) -> Result<u16, BadJson> {
        self.at += 1;
        let unit = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => u16::from(byte),
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => 10,
            Some(b'r') => 13,
            Some(b't') => 9,
            Some(b'u') => {
                let digits = self.text.get(self.at + 1..self.at + 5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                self.at += 4;
                unit.ok_or_else(|| self.bad("four hexadecimal digits"))?
            }
            Some(_) | None => return Err(self.bad("an escape")),
        };
        self.at += 1;
        Ok(unit)
    }
}

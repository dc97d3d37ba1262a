//! From values to the library's bytes.

use std::fmt::Write;

use super::{Json, Object, Text, Units};

/// How a payload is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// On local disk: two spaces a level, `[]` and `{}` for what is empty, no line break at the end.
    Indented,
    /// On an S3 service.
    Compact,
}

impl Json {
    /// As JavaScript's `JSON.stringify`.
    pub fn written(&self, form: Form) -> String {
        let mut writer = Writer { text: String::new(), form };
        writer.value(self, 0);
        writer.text
    }
}

struct Writer {
    text: String,
    form: Form,
}

impl Writer {
    fn value(&mut self, value: &Json, depth: usize) {
        match value {
            Json::Null => self.text.push_str("null"),
            Json::Bool(value) => self.text.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => self.text.push_str(&number.written()),
            Json::String(text) => self.string(text),
            Json::Array(elements) => {
                self.list('[', ']', depth, elements.iter(), |writer, element| writer.value(element, depth + 1));
            }
            Json::Object(object) => self.object(object, depth),
        }
    }

    fn object(&mut self, object: &Object, depth: usize) {
        self.list('{', '}', depth, object.iter(), |writer, (name, value)| {
            writer.string(name);
            writer.text.push_str(match writer.form {
                Form::Indented => ": ",
                Form::Compact => ":",
            });
            writer.value(value, depth + 1);
        });
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        depth: usize,
        elements: impl Iterator<Item = T>,
        mut one: impl FnMut(&mut Self, T),
    ) {
        self.text.push(open);
        let mut any = false;
        for element in elements {
            if any {
                self.text.push(',');
            }
            any = true;
            self.line(depth + 1);
            one(self, element);
        }
        if any {
            self.line(depth);
        }
        self.text.push(close);
    }

    fn line(&mut self, depth: usize) {
        if self.form == Form::Indented {
            self.text.push('\n');
            (0..depth).for_each(|_| self.text.push_str("  "));
        }
    }

    fn string(&mut self, text: &Text) {
        self.text.push('"');
        match &text.0 {
            Units::Utf8(text) => text.chars().for_each(|c| self.char(c)),
            Units::Wide(units) => {
                for unit in char::decode_utf16(units.iter().copied()) {
                    match unit {
                        Ok(c) => self.char(c),
                        Err(lone) => self.unit(u32::from(lone.unpaired_surrogate())),
                    }
                }
            }
        }
        self.text.push('"');
    }

    fn char(&mut self, c: char) {
        match c {
            '"' => self.text.push_str("\\\""),
            '\\' => self.text.push_str("\\\\"),
            '\u{8}' => self.text.push_str("\\b"),
            '\u{c}' => self.text.push_str("\\f"),
            '\n' => self.text.push_str("\\n"),
            '\r' => self.text.push_str("\\r"),
            '\t' => self.text.push_str("\\t"),
            '\0'..='\u{1f}' => self.unit(u32::from(c)),
            _ => self.text.push(c),
        }
    }

    fn unit(&mut self, unit: u32) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "\\u{unit:04x}");
    }
}

//! Rows as values: the text of a record, `(1,"a b",)`, to its fields' texts and back. Binary is in `encode`.

use std::iter::Peekable;
use std::str::Chars;

use crate::error::{Result, SqlError, SqlState};

/// The fields' texts, `None` for NULL: a field of which nothing is written. 22P02 with PostgreSQL's detail when malformed.
pub fn parse_record(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = |detail: &str| {
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed record literal: \"{text}\"")).detail(detail)
    };
    let inner = text.trim_start().strip_prefix('(').ok_or_else(|| malformed("Missing left parenthesis."))?;
    let mut chars = inner.chars().peekable();
    let mut fields = Vec::new();
    loop {
        fields.push(field(&mut chars).ok_or_else(|| malformed("Unexpected end of input."))?);
        match chars.next() {
            Some(',') => {}
            Some(')') => break,
            _ => return Err(malformed("Unexpected end of input.")),
        }
    }
    if chars.any(|c| !c.is_ascii_whitespace()) {
        return Err(malformed("Junk after right parenthesis."));
    }
    Ok(fields)
}

/// One field up to the comma or parenthesis behind it; `None` where the text ends before.
fn field(chars: &mut Peekable<Chars<'_>>) -> Option<Option<String>> {
    let mut out = String::new();
    let mut given = false;
    let mut quoted = false;
    loop {
        let c = *chars.peek()?;
        if !quoted && matches!(c, ',' | ')') {
            return Some(given.then_some(out));
        }
        chars.next();
        given = true;
        match c {
            '\\' => out.push(chars.next()?),
            '"' if !quoted => quoted = true,
            '"' if chars.peek() == Some(&'"') => {
                chars.next();
                out.push('"');
            }
            '"' => quoted = false,
            c => out.push(c),
        }
    }
}

/// Writes one field as it stands inside parentheses, quoted where it must be.
pub fn write_field(out: &mut String, field: &str) {
    let plain = |c: char| !(c.is_ascii_whitespace() || matches!(c, '(' | ')' | ',' | '"' | '\\'));
    if !field.is_empty() && field.chars().all(plain) {
        out.push_str(field);
        return;
    }
    out.push('"');
    for c in field.chars() {
        if matches!(c, '"' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_quoting() {
        let some = |s: &str| Some(s.to_owned());
        for (text, expected) in [
            ("()", vec![None]),
            (" (1,a)", vec![some("1"), some("a")]),
            ("(,)", vec![None, None]),
            (r#"("","a b",a b,"q""\"\\")"#, vec![some(""), some("a b"), some("a b"), some("q\"\"\\")]),
            ("(a\"b\"c)", vec![some("abc")]),
        ] {
            assert_eq!(parse_record(text).unwrap(), expected, "{text}");
        }
        for text in ["", "1,2", "(1", "(1) x", "(\"a)"] {
            assert_eq!(parse_record(text).unwrap_err().code().code(), "22P02", "{text}");
        }
        let mut out = String::new();
        for field in ["a", "", "a b", "q\"\\", "(x)"] {
            write_field(&mut out, field);
            out.push('|');
        }
        assert_eq!(out, r#"a|""|"a b"|"q""\\"|"(x)"|"#);
    }
}

//! Text of booleans, byte strings, uuids and padded characters, in and out.

use std::borrow::Cow;

use super::complaint::{bad_syntax, too_long};
use super::number::trim;
use super::pg_type::PgType;
use crate::error::{Result, SqlError, SqlState};

/// Any unambiguous beginning of true, false, yes, no, on, off, or 1, 0.
pub fn parse_bool(text: &str) -> Result<bool> {
    let word = trim(text).to_ascii_lowercase();
    let is = |full: &str, least: usize| word.len() >= least && full.starts_with(&word);
    if is("true", 1) || is("yes", 1) || is("on", 2) || word == "1" {
        return Ok(true);
    }
    if is("false", 1) || is("no", 1) || is("off", 2) || word == "0" {
        return Ok(false);
    }
    Err(bad_syntax("boolean", text))
}

/// `\x` and hex digits (white space between pairs), or the escape form.
pub fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix("\\x") {
        Some(hex) => parse_hex(hex),
        None => parse_escaped(text),
    }
}

fn parse_hex(hex: &str) -> Result<Vec<u8>> {
    let bad = |message: String| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut out = Vec::with_capacity(hex.len() / 2);
    let mut chars = hex.chars().filter(|c| !c.is_ascii_whitespace());
    let digit = |c: char| c.to_digit(16).ok_or_else(|| bad(format!("invalid hexadecimal digit: \"{c}\"")));
    while let Some(high) = chars.next() {
        let high = digit(high)?;
        let low = chars.next().ok_or_else(|| bad("invalid hexadecimal data: odd number of digits".to_owned()))?;
        out.push((high * 16 + digit(low)?) as u8);
    }
    Ok(out)
}

fn parse_escaped(text: &str) -> Result<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(b) = bytes.get(at) {
        if *b != b'\\' {
            out.push(*b);
            at += 1;
            continue;
        }
        match bytes.get(at + 1..) {
            Some([b'\\', ..]) => {
                out.push(b'\\');
                at += 2;
            }
            Some([a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                at += 4;
            }
            _ => {
                let message = "invalid input syntax for type bytea";
                return Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
            }
        }
    }
    Ok(out)
}

pub fn write_bytea(out: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2 + 2);
    out.push_str("\\x");
    for b in bytes {
        out.push(HEX[usize::from(b >> 4)] as char);
        out.push(HEX[usize::from(b & 15)] as char);
    }
}

/// 32 hex digits in any case, with a hyphen after any group of four, in braces or not.
pub fn parse_uuid(text: &str) -> Result<[u8; 16]> {
    let bad = || bad_syntax("uuid", text);
    let body = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or_else(bad)?,
        None => text,
    };
    let mut uuid = [0u8; 16];
    let mut digits = 0;
    let mut hyphen_allowed = false;
    for c in body.chars() {
        if c == '-' && hyphen_allowed {
            hyphen_allowed = false;
            continue;
        }
        let value = c.to_digit(16).ok_or_else(bad)? as u8;
        let byte = uuid.get_mut(digits / 2).ok_or_else(bad)?;
        *byte = *byte << 4 | value;
        digits += 1;
        hyphen_allowed = digits % 4 == 0 && digits < 32;
    }
    if digits == 32 && !body.ends_with('-') { Ok(uuid) } else { Err(bad()) }
}

/// The canonical lower-case text.
pub fn write_uuid(out: &mut String, uuid: &[u8; 16]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (i, b) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(HEX[usize::from(b >> 4)] as char);
        out.push(HEX[usize::from(b & 15)] as char);
    }
}

/// How text that is too long for its type is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Stored in a column: 22001 unless only blanks are too much.
    Assign,
    /// An explicit cast: cut.
    Cast,
}

/// The text as varchar(n), char(n) or name keep it: cut or refused when too long, char(n) padded with blanks.
pub fn fit_text<'a>(ty: PgType, text: &'a str, fit: Fit) -> Result<Cow<'a, str>> {
    use super::TypeName;
    match ty.name {
        TypeName::Name => return Ok(Cow::Borrowed(cut_bytes(text, 63))),
        TypeName::Char => return Ok(Cow::Borrowed(cut_bytes(text, 1))),
        _ => {}
    }
    let Some(max) = ty.max_chars() else { return Ok(Cow::Borrowed(text)) };
    if text.len() <= max && ty.name == TypeName::Varchar {
        return Ok(Cow::Borrowed(text));
    }
    let fitted = match text.char_indices().nth(max) {
        Some((end, _)) => {
            if fit == Fit::Assign && text[end..].chars().any(|c| c != ' ') {
                return Err(too_long(ty));
            }
            &text[..end]
        }
        None => text,
    };
    if ty.name == TypeName::Varchar {
        return Ok(Cow::Borrowed(fitted));
    }
    let chars = fitted.chars().count();
    if chars == max {
        return Ok(Cow::Borrowed(fitted));
    }
    let mut padded = String::with_capacity(fitted.len() + max - chars);
    padded.push_str(fitted);
    padded.extend(std::iter::repeat_n(' ', max - chars));
    Ok(Cow::Owned(padded))
}

/// At most `max` bytes, whole characters.
fn cut_bytes(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::super::TypeName;
    use super::*;

    #[test]
    fn booleans_by_any_beginning_of_their_words() {
        for text in ["t", "TRUE", " yes ", "on", "1", "tr"] {
            assert!(parse_bool(text).unwrap(), "{text}");
        }
        for text in ["f", "False", "n", "of", "0"] {
            assert!(!parse_bool(text).unwrap(), "{text}");
        }
        for text in ["o", "", "2", "truee"] {
            assert_eq!(parse_bool(text).unwrap_err().code().code(), "22P02", "{text}");
        }
    }

    #[test]
    fn bytea_in_both_forms() {
        assert_eq!(parse_bytea("\\x00fF 10").unwrap(), [0, 255, 16]);
        assert_eq!(parse_bytea("a\\\\b\\000").unwrap(), b"a\\b\0");
        assert_eq!(parse_bytea("\\xz0").unwrap_err().message(), "invalid hexadecimal digit: \"z\"");
        assert!(parse_bytea("\\x0").is_err());
        assert!(parse_bytea("a\\9").is_err());
        let mut out = String::new();
        write_bytea(&mut out, &[0, 255]);
        assert_eq!(out, "\\x00ff");
    }

    #[test]
    fn uuid_in_every_accepted_spelling() {
        let canonical = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
        for text in [
            canonical,
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
        ] {
            let mut out = String::new();
            write_uuid(&mut out, &parse_uuid(text).unwrap());
            assert_eq!(out, canonical);
        }
        for text in
            ["", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "{a0eebc999c0b4ef8bb6d6bb9bd380a11", "g0eebc999c0b4ef8bb6d6bb9bd380a11"]
        {
            assert!(parse_uuid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sized_text_is_cut_by_casts_and_refused_in_columns() {
        let varchar = PgType::new(TypeName::Varchar).with_modifier(3 + 4);
        let bpchar = PgType::new(TypeName::Bpchar).with_modifier(3 + 4);
        assert_eq!(fit_text(varchar, "äöüß", Fit::Cast).unwrap(), "äöü");
        assert_eq!(fit_text(varchar, "abc  ", Fit::Assign).unwrap(), "abc");
        let refused = fit_text(varchar, "abcd", Fit::Assign).unwrap_err();
        assert_eq!(refused.message(), "value too long for type character varying(3)");
        assert_eq!(fit_text(bpchar, "a", Fit::Assign).unwrap(), "a  ");
    }
}

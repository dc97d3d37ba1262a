//! Text of arrays: `{1,2,NULL,"a b"}`. One dimension; more are refused with 0A000.

use crate::error::{Result, SqlError, SqlState};

/// The elements' texts with this character between them, `None` for NULL. 22P02 with PostgreSQL's detail when malformed.
pub fn parse_array(text: &str, delimiter: char) -> Result<Vec<Option<String>>> {
    let body = text.trim();
    let body = if body.starts_with('[') { without_bounds(body, text)? } else { body };
    let malformed = |detail: &str| malformed(text, detail);
    let inner = body.strip_prefix('{').ok_or_else(|| malformed("Array value must start with \"{\" or dimension information."))?;
    let mut elements = Vec::new();
    let mut chars = inner.chars().peekable();
    let blank = |c: &char| c.is_ascii_whitespace();
    loop {
        while chars.next_if(blank).is_some() {}
        let (element, end) = match chars.peek() {
            None => return Err(malformed("Unexpected end of input.")),
            Some('{') => {
                return Err(SqlError::unsupported("multidimensional arrays are not supported", "Use jsonb for nested lists."));
            }
            Some('}') if elements.is_empty() => {
                chars.next();
                break;
            }
            Some(&found) if found == delimiter || found == '}' => {
                return Err(malformed(&format!("Unexpected \"{found}\" character.")));
            }
            Some('"') => {
                chars.next();
                let element = quoted(&mut chars).ok_or_else(|| malformed("Unexpected end of input."))?;
                while chars.next_if(blank).is_some() {}
                (Some(element), chars.next())
            }
            Some(_) => bare(&mut chars, delimiter),
        };
        elements.push(element);
        match end {
            Some(c) if c == delimiter => {}
            Some('}') => break,
            None => return Err(malformed("Unexpected end of input.")),
            Some(_) => return Err(malformed("Unexpected array element.")),
        }
    }
    if chars.all(|c| c.is_ascii_whitespace()) { Ok(elements) } else { Err(malformed("Junk after closing right brace.")) }
}

fn malformed(text: &str, detail: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\"")).detail(detail)
}

/// `[1:3]={…}`: bounds other than from 1 are refused, since they could not be kept.
fn without_bounds<'a>(body: &'a str, text: &str) -> Result<&'a str> {
    match body.split_once('=') {
        Some((bounds, rest)) if bounds.trim().starts_with("[1:") => Ok(rest.trim()),
        Some(_) => Err(SqlError::unsupported("array bounds other than from 1 are not supported", "Leave the bounds out.")),
        None => Err(malformed(text, "Missing \"=\" after array dimensions.")),
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn quoted(chars: &mut Chars<'_>) -> Option<String> {
    let mut out = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => out.push(chars.next()?),
            c => out.push(c),
        }
    }
}

/// An element without quotes, blanks at its end cut, and the delimiter after it.
fn bare(chars: &mut Chars<'_>, delimiter: char) -> (Option<String>, Option<char>) {
    let mut out = String::new();
    let mut kept = 0;
    let end = loop {
        match chars.next() {
            Some('\\') => {
                out.extend(chars.next());
                kept = out.len();
            }
            Some(c) if c == delimiter || matches!(c, '}' | '"' | '{') => break Some(c),
            Some(c) => {
                out.push(c);
                if !c.is_ascii_whitespace() {
                    kept = out.len();
                }
            }
            None => break None,
        }
    };
    out.truncate(kept);
    let null = out.eq_ignore_ascii_case("null");
    ((!null).then_some(out), end)
}

/// Writes one element as it stands inside braces, quoted where it must be.
pub fn write_element(out: &mut String, element: &str, delimiter: char) {
    let plain = |c: char| !(c.is_ascii_whitespace() || c == delimiter || matches!(c, '{' | '}' | '"' | '\\'));
    if !element.is_empty() && element.chars().all(plain) && !element.eq_ignore_ascii_case("null") {
        out.push_str(element);
        return;
    }
    out.push('"');
    for c in element.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_every_quoting() {
        let some = |s: &str| Some(s.to_owned());
        for (text, expected) in [
            ("{}", vec![]),
            (" { } ", vec![]),
            ("{1,2,NULL}", vec![some("1"), some("2"), None]),
            (r#"{"a b", c d ,"NULL","q\"\\"}"#, vec![some("a b"), some("c d"), some("NULL"), some("q\"\\")]),
            ("[1:2]={1,2}", vec![some("1"), some("2")]),
        ] {
            assert_eq!(parse_array(text, ',').unwrap(), expected, "{text}");
        }
        for text in ["", "1,2", "{1,2", "{1,}", "{,1}", "{1}x", "{\"a", "{a\"b\"}"] {
            assert_eq!(parse_array(text, ',').unwrap_err().code().code(), "22P02", "{text}");
        }
        assert_eq!(parse_array("{{1}}", ',').unwrap_err().code().code(), "0A000");
    }

    #[test]
    fn elements_are_quoted_where_they_must_be() {
        for (element, expected) in
            [("a", "a"), ("", "\"\""), ("a b", "\"a b\""), ("null", "\"null\""), ("a\"\\", "\"a\\\"\\\\\"")]
        {
            let mut out = String::new();
            write_element(&mut out, element, ',');
            assert_eq!(out, expected);
        }
    }
}

//! Context that libraries append to statements as comments: Bemi's `/*Bemi {…} Bemi*/` and sqlcommenter's
//! `/*key='value',…*/`.
//!
//! Bemi's is cut out of the raw text, since its JSON may hold anything, `*/` included; what stands inside
//! its markers is never run.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::scan;

const OPENING: &str = "/*Bemi ";
const CLOSING: &str = "Bemi*/";

/// A text with Bemi's comments blanked, so that every position in it, in characters, is still the client's.
#[derive(Debug)]
pub struct Cut<'a> {
    pub text: Cow<'a, str>,
    /// Where each comment that counts begins, in characters, with its JSON object.
    pub contexts: Vec<(usize, String)>,
    pub notices: Vec<String>,
}

/// Cuts every Bemi comment that stands outside quotes. One counts when only white space and `;` follow it
/// within its statement; one whose JSON does not parse gives a notice and no context.
pub fn cut(text: &str) -> Cut<'_> {
    let mut cut = Cut { text: Cow::Borrowed(text), contexts: Vec::new(), notices: Vec::new() };
    if !text.contains(OPENING) {
        return cut;
    }
    let mut left = String::with_capacity(text.len());
    let (mut at, mut copied) = (0, 0);
    while let Some(start) = scan::find_outside_quotes(text, at, OPENING) {
        let (end, json) = match comment_at(text, start) {
            Comment::Object { json, end } => (end, Some(json)),
            Comment::Broken { end } => (end, None),
            Comment::Ordinary { end } => {
                at = end;
                continue;
            }
        };
        match json {
            Some(json) if ends_statement(&text[end..]) => cut.contexts.push((text[..start].chars().count(), json)),
            Some(_) => {}
            None => cut.notices.push("context comment ignored: it does not hold a JSON object".to_owned()),
        }
        left.push_str(&text[copied..start]);
        left.extend(text[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        (at, copied) = (end, end);
    }
    left.push_str(&text[copied..]);
    cut.text = Cow::Owned(left);
    cut
}

enum Comment {
    Object { json: String, end: usize },
    Broken { end: usize },
    Ordinary { end: usize },
}

fn comment_at(text: &str, start: usize) -> Comment {
    let body = &text[start + OPENING.len()..];
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<Box<RawValue>>();
    if let Some(Ok(value)) = values.next() {
        let rest = &body[values.byte_offset()..];
        let closing = rest.trim_start();
        if closing.starts_with(CLOSING) && value.get().starts_with('{') {
            let end = text.len() - closing.len() + CLOSING.len();
            return Comment::Object { json: value.get().to_owned(), end };
        }
    }
    let statement = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    if statement.len() > start + OPENING.len() && statement.ends_with(CLOSING) {
        return Comment::Broken { end: statement.len() };
    }
    Comment::Ordinary { end: scan::piece(text, start).1 }
}

fn ends_statement(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with(';')
}

/// A sqlcommenter comment's pairs as a JSON object; `None` for every other comment.
pub fn sqlcommenter(comment: &str) -> Option<String> {
    let mut rest = comment.trim();
    let mut object = serde_json::Map::new();
    loop {
        let (key, after) = rest.split_once("='")?;
        if key.is_empty() || key.contains([' ', '\'', ',']) {
            return None;
        }
        let end = closing_quote(after)?;
        object.insert(url_decode(key)?, url_decode(&after[..end].replace("\\'", "'"))?.into());
        rest = after[end + 1..].trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if rest.is_empty() => return serde_json::to_string(&object).ok(),
            None => return None,
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|&i| bytes[i] == b'\'' && (i == 0 || bytes[i - 1] != b'\\'))
}

fn url_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let code = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, contexts: &[&str], left: &str, notices: usize) {
        let cut = cut(text);
        let found: Vec<_> = cut.contexts.iter().map(|(_, json)| json.as_str()).collect();
        assert_eq!(found, contexts, "{text}");
        assert_eq!(cut.text.trim_end_matches(|c: char| c == ';' || c.is_whitespace()), left, "{text}");
        assert_eq!(cut.text.chars().count(), text.chars().count(), "{text}");
        assert_eq!(cut.notices.len(), notices, "{text}");
    }

    #[test]
    fn a_comment_counts_only_at_the_end_of_a_statement() {
        check("select 1 /*Bemi {\"a\":1} Bemi*/", &["{\"a\":1}"], "select 1", 0);
        check("select 1; /*Bemi {\"a\":1} Bemi*/ ", &["{\"a\":1}"], "select 1", 0);
        check("select 1 /*Bemi {\"a\":1} Bemi*/ ;", &["{\"a\":1}"], "select 1", 0);
        check("/*Bemi {\"a\":1} Bemi*/", &["{\"a\":1}"], "", 0);
        check("a /*Bemi {\"a\":1} Bemi*/; b /*Bemi {} Bemi*/", &["{\"a\":1}", "{}"], "a                      ; b", 0);
        check("/*Bemi {\"a\":1} Bemi*/ select 1", &[], "                      select 1", 0);
    }

    #[test]
    fn the_json_may_hold_anything() {
        let nasty = r#"{"a":"*/ drop table t; /* $$ ' \" Bemi*/ ; é€𝄞"}"#;
        check(&format!("select 1 /*Bemi {nasty} Bemi*/"), &[nasty], "select 1", 0);
    }

    #[test]
    fn broken_json_is_cut_with_a_notice() {
        check("select 1 /*Bemi {\"a\": Bemi*/;", &[], "select 1", 1);
        check("select 1 /*Bemi [1] Bemi*/", &[], "select 1", 1);
        check("select 1 /*Bemi {\"a\":1}} */ drop table t /*x Bemi*/", &[], "select 1", 1);
    }

    #[test]
    fn a_marker_inside_quotes_is_text() {
        for text in ["select '/*Bemi {} Bemi*/'", "select $$ /*Bemi {} Bemi*/ $$", "/* /*Bemi {} Bemi*/ */ select 1"] {
            check(text, &[], text, 0);
        }
    }

    #[test]
    fn sqlcommenter_pairs_are_decoded() {
        for (comment, expected) in [
            ("action='%2Fa%20b',db='x'", Some(r#"{"action":"/a b","db":"x"}"#)),
            (r"name='it\'s'", Some(r#"{"name":"it's"}"#)),
            (" plain comment ", None),
            ("a='b' c", None),
            ("a='%zz'", None),
            ("+ AS_OF('x')", None),
        ] {
            assert_eq!(sqlcommenter(comment).as_deref(), expected, "{comment}");
        }
    }
}

//! Reads SQL as far as needed to know what is quoted: strings, quoted identifiers, dollar quotes, comments.
//!
//! Used where the tokenizer cannot be: before context comments are cut, and to say where an unterminated
//! literal begins. Knows no keyword.

/// What an unterminated piece of text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    String,
    Identifier,
    Dollar,
    Comment,
}

/// One step over the text: a plain character or word, or a quoted piece or comment as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    Plain,
    Quoted,
    Comment,
    Unterminated(Open),
}

/// The piece that begins at byte `at`, and the byte after it. `at` must be a character boundary before the end.
pub fn piece(text: &str, at: usize) -> (Piece, usize) {
    let bytes = text.as_bytes();
    match bytes[at] {
        b'\'' => quoted(bytes, at, b'\'', false, Open::String),
        b'"' => quoted(bytes, at, b'"', false, Open::Identifier),
        b'$' => dollar(text, at),
        b'-' if bytes.get(at + 1) == Some(&b'-') => (Piece::Comment, line_end(bytes, at)),
        b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment(bytes, at),
        first if is_word(first) => word(bytes, at),
        _ => (Piece::Plain, at + 1),
    }
}

/// Where the first unterminated piece begins.
pub fn unterminated(text: &str) -> Option<(Open, usize)> {
    let mut at = 0;
    while at < text.len() {
        let (piece, end) = piece(text, at);
        if let Piece::Unterminated(open) = piece {
            return Some((open, at));
        }
        at = end;
    }
    None
}

/// The first `needle` from byte `from` on that stands outside quotes and comments; `needle` may itself
/// begin a comment.
pub fn find_outside_quotes(text: &str, from: usize, needle: &str) -> Option<usize> {
    let mut at = from;
    while at < text.len() {
        if text.as_bytes()[at..].starts_with(needle.as_bytes()) {
            return Some(at);
        }
        let (piece, end) = piece(text, at);
        if matches!(piece, Piece::Unterminated(_)) {
            return None;
        }
        at = end;
    }
    None
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// A word as a whole, so that a `$` inside it opens nothing; `E'…'` is one quoted piece.
fn word(bytes: &[u8], at: usize) -> (Piece, usize) {
    let end = (at..bytes.len()).find(|&i| !is_word(bytes[i]) && bytes[i] != b'$').unwrap_or(bytes.len());
    let escape = end == at + 1 && bytes[at].eq_ignore_ascii_case(&b'e') && bytes.get(end) == Some(&b'\'');
    if escape { quoted(bytes, end, b'\'', true, Open::String) } else { (Piece::Plain, end) }
}

fn quoted(bytes: &[u8], at: usize, quote: u8, backslash: bool, open: Open) -> (Piece, usize) {
    let mut i = at + 1;
    while i < bytes.len() {
        if backslash && bytes[i] == b'\\' {
            i += 2;
        } else if bytes[i] != quote {
            i += 1;
        } else if bytes.get(i + 1) == Some(&quote) {
            i += 2;
        } else {
            return (Piece::Quoted, i + 1);
        }
    }
    (Piece::Unterminated(open), bytes.len())
}

fn dollar(text: &str, at: usize) -> (Piece, usize) {
    let bytes = text.as_bytes();
    let tag_end = (at + 1..bytes.len()).find(|&i| !is_word(bytes[i]));
    let tag = match tag_end {
        Some(end) if bytes[end] == b'$' && !bytes[at + 1].is_ascii_digit() => &text[at..=end],
        _ => return (Piece::Plain, at + 1),
    };
    match text[at + tag.len()..].find(tag) {
        Some(offset) => (Piece::Quoted, at + offset + 2 * tag.len()),
        None => (Piece::Unterminated(Open::Dollar), bytes.len()),
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    (at..bytes.len()).find(|&i| bytes[i] == b'\n').unwrap_or(bytes.len())
}

fn block_comment(bytes: &[u8], at: usize) -> (Piece, usize) {
    let (mut i, mut depth) = (at, 0usize);
    while i + 1 < bytes.len() {
        match &bytes[i..i + 2] {
            b"/*" => (depth, i) = (depth + 1, i + 2),
            b"*/" if depth == 1 => return (Piece::Comment, i + 2),
            b"*/" => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    (Piece::Unterminated(Open::Comment), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unterminated_piece_is_found_where_it_begins() {
        for (text, expected) in [
            ("select 1", None),
            ("select 'a''b'", None),
            ("select 'a", Some((Open::String, 7))),
            (r"select E'a\'", Some((Open::String, 7))),
            (r"select 'a\'", None),
            ("select \"a", Some((Open::Identifier, 7))),
            ("select $x$ ' $x$", None),
            ("select $x$ ' $y$", Some((Open::Dollar, 7))),
            ("select a$x$ + 'b", Some((Open::String, 14))),
            ("select $1, 'b", Some((Open::String, 11))),
            ("/* /* */ select", Some((Open::Comment, 0))),
            ("-- ' \nselect 1", None),
        ] {
            assert_eq!(unterminated(text), expected, "{text}");
        }
    }

    #[test]
    fn a_needle_inside_quotes_is_not_found() {
        for (text, expected) in [
            ("a /*Bemi x", Some(2)),
            ("'/*Bemi ' /*Bemi ", Some(10)),
            ("$$/*Bemi $$", None),
            ("E'\\'/*Bemi ' ", None),
            ("/* /*Bemi */ */ /*Bemi ", Some(16)),
            ("é /*Bemi ", Some(3)),
        ] {
            assert_eq!(find_outside_quotes(text, 0, "/*Bemi "), expected, "{text}");
        }
    }
}

//! Text of arrays: `{1,2,NULL,"a b"}`, `{{1,2},{3,4}}`, `[0:1]={1,2}`. Knows no types of elements.

use super::nested::{Bounds, MOST_DIMENSIONS, plain, shown, too_many_dimensions};
use crate::error::{Result, SqlError, SqlState};

/// An array as its text has it.
#[derive(Debug, PartialEq, Eq)]
pub struct ArrayText {
    /// None of an empty array.
    pub bounds: Bounds,
    /// The elements' texts, `None` for NULL; the last subscript changes first.
    pub items: Vec<Option<String>>,
}

/// Reads an array with this character between its elements. 22P02 with PostgreSQL's detail when malformed, 54000 for
/// more than six dimensions, 2202E for bounds the wrong way round.
pub fn parse_array(text: &str, delimiter: char) -> Result<ArrayText> {
    let (stated, body) = stated_bounds(text.trim_ascii_start(), text)?;
    let mut reader = Reader { text, rest: body, delimiter, lengths: Vec::new(), items: Vec::new() };
    reader.level(0)?;
    if !reader.rest.trim_ascii().is_empty() {
        return Err(malformed(text, "Junk after closing right brace."));
    }
    let Reader { lengths, items, .. } = reader;
    if items.is_empty() {
        return match stated {
            Some(_) => Err(malformed(text, "Specified array dimensions do not match array contents.")),
            None => Ok(ArrayText { bounds: Vec::new(), items }),
        };
    }
    let lengths: Vec<i32> = lengths.into_iter().flatten().map(|n| i32::try_from(n).unwrap_or(i32::MAX)).collect();
    let bounds = match stated {
        None if lengths.len() == 1 => plain(items.len()),
        None => lengths.into_iter().map(|length| (1, length)).collect(),
        Some(stated) if stated.iter().map(|(_, n)| *n).eq(lengths.iter().copied()) => stated,
        Some(_) => return Err(malformed(text, "Specified array dimensions do not match array contents.")),
    };
    Ok(ArrayText { bounds, items })
}

fn malformed(text: &str, detail: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed array literal: \"{text}\"")).detail(detail)
}

/// `[1:2][0:3]=` before an array, and what follows.
fn stated_bounds<'a>(body: &'a str, text: &str) -> Result<(Option<Bounds>, &'a str)> {
    if !body.starts_with('[') {
        return Ok((None, body));
    }
    let missing = || malformed(text, "Missing \"=\" after array dimensions.");
    let (bounds, rest) = body.split_once('=').ok_or_else(missing)?;
    let mut stated = Vec::new();
    for part in bounds.trim_ascii().split_inclusive(']') {
        let inner = part.trim_ascii().strip_prefix('[').and_then(|part| part.strip_suffix(']')).ok_or_else(missing)?;
        let (first, last) = inner.split_once(':').unwrap_or(("1", inner));
        let number = |s: &str| {
            s.trim_ascii()
                .parse::<i32>()
                .map_err(|_| malformed(text, "\"[\" must introduce explicitly-specified array dimensions."))
        };
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(SqlError::new(SqlState::ARRAY_SUBSCRIPT_ERROR, "upper bound cannot be less than lower bound"));
        }
        let length = i64::from(last) - i64::from(first) + 1;
        let length = i32::try_from(length)
            .ok()
            .filter(|_| last < i32::MAX)
            .ok_or_else(|| SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("array upper bound is too large: {last}")))?;
        stated.push((first, length));
    }
    if stated.len() > MOST_DIMENSIONS {
        return Err(too_many_dimensions(stated.len()));
    }
    Ok((Some(stated), rest.trim_ascii_start()))
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    delimiter: char,
    /// Of each level how many parts it has, as far as that is known.
    lengths: Vec<Option<usize>>,
    items: Vec<Option<String>>,
}

impl Reader<'_> {
    fn bad(&self, detail: &str) -> SqlError {
        malformed(self.text, detail)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// One pair of braces and what is in it.
    fn level(&mut self, level: usize) -> Result<()> {
        self.blanks();
        if self.next() != Some('{') {
            return Err(self.bad("Array value must start with \"{\" or dimension information."));
        }
        if level >= MOST_DIMENSIONS {
            return Err(too_many_dimensions(level + 1));
        }
        let seen = self.lengths.iter().any(Option::is_some);
        if self.lengths.len() <= level {
            self.lengths.push(None);
        }
        self.blanks();
        if level == 0 && self.rest.starts_with('}') {
            self.next();
            return Ok(());
        }
        let deeper = self.rest.starts_with('{');
        if deeper != (self.lengths.len() > level + 1) && seen {
            return Err(self.uneven());
        }
        let mut count = 0;
        loop {
            self.blanks();
            match (deeper, self.rest.starts_with('{')) {
                (true, true) => self.level(level + 1)?,
                (false, false) => self.item()?,
                _ => return Err(self.uneven()),
            }
            count += 1;
            self.blanks();
            match self.next() {
                Some(c) if c == self.delimiter => {}
                Some('}') => break,
                None => return Err(self.bad("Unexpected end of input.")),
                Some(_) => return Err(self.bad("Unexpected array element.")),
            }
        }
        self.counted(level, count)
    }

    /// All levels of one depth have as many parts.
    fn counted(&mut self, level: usize, count: usize) -> Result<()> {
        match self.lengths.get_mut(level) {
            Some(known @ None) => *known = Some(count),
            Some(Some(known)) if *known == count => {}
            _ => return Err(self.uneven()),
        }
        Ok(())
    }

    fn uneven(&self) -> SqlError {
        self.bad("Multidimensional arrays must have sub-arrays with matching dimensions.")
    }

    fn item(&mut self) -> Result<()> {
        let mut out = String::new();
        if self.rest.starts_with('"') {
            self.next();
            loop {
                match self.next() {
                    Some('"') => break,
                    Some('\\') => out.extend(self.next()),
                    Some(c) => out.push(c),
                    None => return Err(self.bad("Unexpected end of input.")),
                }
            }
            self.items.push(Some(out));
            return Ok(());
        }
        let delimiter = self.delimiter;
        let (mut kept, mut escaped) = (0, false);
        let ends = |c: &char| *c == delimiter || matches!(c, '}' | '{' | '"');
        while let Some(c) = self.rest.chars().next().filter(|c| !ends(c)) {
            self.next();
            match c {
                '\\' => {
                    out.extend(self.next());
                    kept = out.len();
                    escaped = true;
                }
                c => {
                    out.push(c);
                    if !c.is_ascii_whitespace() {
                        kept = out.len();
                    }
                }
            }
        }
        out.truncate(kept);
        if out.is_empty() {
            let Some(found) = self.rest.chars().next() else { return Err(self.bad("Unexpected end of input.")) };
            return Err(self.bad(&format!("Unexpected \"{found}\" character.")));
        }
        self.items.push(if !escaped && out.eq_ignore_ascii_case("null") { None } else { Some(out) });
        Ok(())
    }
}

/// Writes the braces and delimiters of an array with these bounds around its elements, which `item` writes by their
/// places. Bounds stand before it where they do not begin at 1.
pub fn write_array(out: &mut String, bounds: &[(i32, i32)], delimiter: char, item: &mut dyn FnMut(usize, &mut String)) {
    if bounds.is_empty() {
        out.push_str("{}");
        return;
    }
    if bounds.iter().any(|(first, _)| *first != 1) {
        out.push_str(&shown(bounds));
        out.push('=');
    }
    write_level(out, bounds, delimiter, &mut 0, item);
}

fn write_level(
    out: &mut String,
    bounds: &[(i32, i32)],
    delimiter: char,
    at: &mut usize,
    item: &mut dyn FnMut(usize, &mut String),
) {
    let length = bounds.first().map_or(0, |(_, length)| *length);
    out.push('{');
    for i in 0..length {
        if i > 0 {
            out.push(delimiter);
        }
        if bounds.len() > 1 {
            write_level(out, &bounds[1..], delimiter, at, item);
        } else {
            item(*at, out);
            *at += 1;
        }
    }
    out.push('}');
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
            assert_eq!(parse_array(text, ',').unwrap().items, expected, "{text}");
        }
        for text in ["", "1,2", "{1,2", "{1,}", "{,1}", "{1}x", "{\"a", "{a\"b\"}"] {
            assert_eq!(parse_array(text, ',').unwrap_err().code().code(), "22P02", "{text}");
        }
    }

    #[test]
    fn dimensions_are_read_and_written() {
        for (text, expected) in [
            ("{{1,2},{3,4}}", "{{1,2},{3,4}}"),
            (" { {1, NULL}, {3,4} } ", "{{1,NULL},{3,4}}"),
            ("{{{1},{2}}}", "{{{1},{2}}}"),
            ("[0:1]={1,2}", "[0:1]={1,2}"),
            ("[1:2]={1,2}", "{1,2}"),
            ("[2:3][1:2]={{1,2},{3,4}}", "[2:3][1:2]={{1,2},{3,4}}"),
            ("{{1,2},{3}}", "22P02"),
            ("{{1,2},3}", "22P02"),
            ("{1,{2}}", "22P02"),
            ("{{1},{{2}}}", "22P02"),
            ("{{1},{}}", "22P02"),
            ("{{1,2},{3,4}", "22P02"),
            ("{{1,2}}x", "22P02"),
            ("[1:3]={1,2}", "22P02"),
            ("[2:1]={1,2}", "2202E"),
            ("{{{{{{{1}}}}}}}", "54000"),
        ] {
            let shown = match parse_array(text, ',') {
                Err(e) => e.code().code().to_owned(),
                Ok(array) => {
                    let mut out = String::new();
                    write_array(&mut out, &array.bounds, ',', &mut |at, out| {
                        out.push_str(array.items[at].as_deref().unwrap_or("NULL"));
                    });
                    out
                }
            };
            assert_eq!(shown, expected, "{text}");
        }
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

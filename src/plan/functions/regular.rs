//! Regular expressions as PostgreSQL reads them: the longest of the matches that begin first, its escapes and its
//! flags; SIMILAR TO.
//!
//! Back references and looking ahead or behind are refused with 0A000.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use regex::{Captures, Regex, RegexBuilder};
use regex_automata::hybrid::dfa::DFA;
use regex_automata::{Anchored, Input, MatchKind};

use super::arrays::text_lists;
use super::define::{Call, Function, INT4, Returns, TEXT, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::types::PgType;
use crate::types::nested::carrying;

const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const INT4_RESULT: Returns = Returns::Fixed(PgType::INT4);
const BOOL: Returns = Returns::Fixed(PgType::BOOL);
const TEXTS: Returns = Returns::Fixed(PgType::TEXT.array_of());

pub const SIMILAR: &str = "pg_similar";
pub const SIMILAR_PART: &str = "pg_similar_part";
/// `pg_match(text, pattern, flags)`: the operators `~` and `~*`.
pub const MATCH: &str = "pg_match";

pub const FUNCTIONS: &[Function] = &[
    Function::new("regexp_replace", &[TEXT, TEXT, TEXT, Want::Any, Want::Any, TEXT], TEXT_RESULT, replace).scalar().optional(3),
    Function::new("regexp_match", &[TEXT, TEXT, TEXT], TEXTS, first_match).optional(1),
    Function::new("pg_regexp_matches", &[TEXT, TEXT, TEXT], Returns::Arrow(lists_of_texts), all_matches).optional(1),
    Function::new("regexp_split_to_array", &[TEXT, TEXT, TEXT], TEXTS, split).optional(1),
    Function::new("regexp_like", &[TEXT, TEXT, TEXT], BOOL, |c| matches(c, c.args.get(2).map(|_| 2))).optional(1),
    Function::new(MATCH, &[TEXT, TEXT, TEXT], BOOL, |c| matches(c, Some(2))),
    Function::new("regexp_count", &[TEXT, TEXT, INT4, TEXT], INT4_RESULT, count).optional(2),
    Function::new("regexp_substr", &[TEXT, TEXT, INT4, INT4, TEXT, INT4], TEXT_RESULT, part).optional(4),
    Function::new("regexp_instr", &[TEXT, TEXT, INT4, INT4, INT4, TEXT, INT4], INT4_RESULT, place).optional(5),
    Function::new(SIMILAR, &[TEXT, TEXT, TEXT], BOOL, similar).optional(1),
    Function::new(SIMILAR_PART, &[TEXT, TEXT, TEXT], TEXT_RESULT, similar_part),
];

/// A pattern ready to run.
struct Pattern {
    regex: Regex,
    /// Finds where the longest match ends and, anchored at both ends, its groups: where alternatives make the match
    /// found first differ from it.
    longest: Option<(DFA, Regex)>,
    all: bool,
}

impl Pattern {
    fn new(pattern: &str, flags: &str) -> Result<Self> {
        let mut options = Options { all: false, ..Options::default() };
        for flag in flags.chars() {
            match flag {
                'g' => options.all = true,
                'i' => options.ignore_case = true,
                'c' => options.ignore_case = false,
                'm' | 'n' => (options.multi_line, options.dot_new_line) = (true, false),
                's' => (options.multi_line, options.dot_new_line) = (false, true),
                'p' => (options.multi_line, options.dot_new_line) = (false, false),
                'w' => (options.multi_line, options.dot_new_line) = (true, true),
                'x' => options.extended = true,
                'q' => options.literal = true,
                'e' | 't' => {}
                'b' => return Err(SqlError::unsupported("basic regular expressions are not supported", "Leave out the flag b.")),
                other => {
                    let message = format!("invalid regular expression option: \"{other}\"");
                    return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
                }
            }
        }
        let source = if options.literal { regex::escape(pattern) } else { translate(pattern)? };
        // Where one alternative may begin another, or a lazy part ends early, the longest has to be sought.
        let ambiguous = source.contains('|') && !["*?", "+?", "??", "}?"].iter().any(|lazy| source.contains(lazy));
        let regex = options.build(&source, pattern)?;
        let longest = if ambiguous {
            Some((options.build_longest(&source, pattern)?, options.build(&format!("\\A(?:{source})\\z"), pattern)?))
        } else {
            None
        };
        Ok(Self { regex, longest, all: options.all })
    }

    /// The match that begins first, at `from` or later, and the places of its groups.
    fn find(&self, text: &str, from: usize) -> Option<Vec<Option<(usize, usize)>>> {
        let captures = self.regex.captures_at(text, from)?;
        let places = |captures: &Captures<'_>, shift: usize| {
            captures.iter().map(|m| m.map(|m| (m.start() + shift, m.end() + shift))).collect::<Vec<_>>()
        };
        let Some((dfa, whole)) = &self.longest else { return Some(places(&captures, 0)) };
        let start = captures.get(0)?.start();
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        let end = dfa.try_search_fwd(&mut dfa.create_cache(), &input).ok().flatten().map(|m| m.offset());
        match end.and_then(|end| whole.captures(&text[start..end])) {
            Some(longest) => Some(places(&longest, start)),
            None => Some(places(&captures, 0)),
        }
    }

    /// Matches one after the other; an empty one is followed by the next character.
    fn find_all(&self, text: &str, from: usize) -> Vec<Vec<Option<(usize, usize)>>> {
        let mut found = Vec::new();
        let mut at = from;
        while at <= text.len() {
            let Some(groups) = self.find(text, at) else { break };
            let Some((start, end)) = groups.first().copied().flatten() else { break };
            at = if end > start { end } else { end + text[end..].chars().next().map_or(1, char::len_utf8) };
            found.push(groups);
        }
        found
    }
}

#[derive(Default)]
struct Options {
    all: bool,
    ignore_case: bool,
    multi_line: bool,
    dot_new_line: bool,
    extended: bool,
    literal: bool,
}

impl Options {
    fn build_longest(&self, source: &str, pattern: &str) -> Result<DFA> {
        let syntax = regex_automata::util::syntax::Config::new()
            .case_insensitive(self.ignore_case)
            .multi_line(self.multi_line)
            .dot_matches_new_line(self.dot_new_line || !self.multi_line)
            .ignore_whitespace(self.extended);
        DFA::builder()
            .configure(DFA::config().match_kind(MatchKind::All).unicode_word_boundary(true))
            .syntax(syntax)
            .build(source)
            .map_err(|_| invalid(pattern))
    }

    fn build(&self, source: &str, pattern: &str) -> Result<Regex> {
        RegexBuilder::new(source)
            .case_insensitive(self.ignore_case)
            .multi_line(self.multi_line)
            // Without newline-sensitive matching a dot matches a newline.
            .dot_matches_new_line(self.dot_new_line || !self.multi_line)
            .ignore_whitespace(self.extended)
            .size_limit(4 << 20)
            .build()
            .map_err(|_| invalid(pattern))
    }
}

fn invalid(pattern: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_REGULAR_EXPRESSION, format!("invalid regular expression: \"{pattern}\""))
}

/// PostgreSQL's advanced regular expression in the words of the engine.
fn translate(pattern: &str) -> Result<String> {
    let refused =
        |what: &str| SqlError::unsupported(format!("{what} in regular expressions are not supported"), "Match in several steps.");
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.strip_prefix("***:").unwrap_or(pattern).chars().peekable();
    let mut class = 0;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('y') if class == 0 => out.push_str("\\b"),
                Some('Y') if class == 0 => out.push_str("\\B"),
                Some('m') if class == 0 => out.push_str("\\b{start}"),
                Some('M') if class == 0 => out.push_str("\\b{end}"),
                Some('Z') if class == 0 => out.push_str("\\z"),
                Some('e') => out.push_str("\\x1b"),
                Some('B') => out.push_str("\\\\"),
                Some('1'..='9') if class == 0 => return Err(refused("back references")),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
                None => out.push('\\'),
            },
            '(' if class == 0 && chars.peek() == Some(&'?') => {
                let mut ahead = chars.clone();
                ahead.next();
                match ahead.next() {
                    Some('=' | '!' | '<') => return Err(refused("constraints that look ahead or behind")),
                    _ => out.push('('),
                }
            }
            '[' if class == 0 => {
                class = 1;
                out.push('[');
                if let Some(negation) = chars.next_if_eq(&'^') {
                    out.push(negation);
                }
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            '[' => match chars.peek() {
                // A named class: copied with its brackets.
                Some(':') => {
                    out.push('[');
                    while let Some(inner) = chars.next() {
                        out.push(inner);
                        if inner == ':' && chars.next_if_eq(&']').is_some() {
                            out.push(']');
                            break;
                        }
                    }
                }
                Some('.' | '=') => return Err(refused("collating elements")),
                _ => out.push_str("\\["),
            },
            ']' if class > 0 => {
                class = 0;
                out.push(']');
            }
            '&' | '~' if class > 0 => {
                out.push('\\');
                out.push(c);
            }
            // A brace that begins no bound is itself.
            '{' if class == 0 && !chars.peek().is_some_and(char::is_ascii_digit) => out.push_str("\\{"),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// Patterns of one call, each compiled once.
#[derive(Default)]
struct Cache(HashMap<(String, String), Arc<Pattern>>);

impl Cache {
    fn get(&mut self, pattern: &str, flags: &str) -> Result<Arc<Pattern>> {
        let key = (pattern.to_owned(), flags.to_owned());
        if let Some(known) = self.0.get(&key) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Pattern::new(pattern, flags)?);
        self.0.insert(key, Arc::clone(&made));
        Ok(made)
    }
}

/// Flags of an argument: none where it is left out, `None` for NULL.
fn flags<'a>(call: &'a Call<'_>, arg: usize, row: usize) -> Option<&'a str> {
    if arg < call.args.len() { call.text(arg, row) } else { Some("") }
}

fn number(call: &Call<'_>, arg: usize, row: usize, default: i32) -> Option<i32> {
    if arg < call.args.len() { call.int4(arg, row) } else { Some(default) }
}

/// Bytes before the character at this place, counted from 1; the end for one beyond it. 22023 below 1.
fn start_at(text: &str, start: i32) -> Result<usize> {
    let before = usize::try_from(start - 1).map_err(|_| positive("start", start))?;
    Ok(text.char_indices().nth(before).map_or(text.len() + usize::from(before > text.chars().count()), |(at, _)| at))
}

fn positive(name: &str, value: i32) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{name}\": {value}"))
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    let rows = (0..call.rows).map(|row| {
        let (Some(text), Some(pattern), Some(by)) = (call.text(0, row), call.text(1, row), call.text(2, row)) else {
            return Ok(None);
        };
        // (text, pattern, new, flags) or (text, pattern, new, start, n, flags).
        let plain = call.args.get(3).is_none_or(|a| *a.data_type() == DataType::Utf8);
        let (start, nth, flag) = if plain {
            (Some(1), None, flags(call, 3, row))
        } else {
            (number(call, 3, row, 1), call.int4(4, row).or(Some(1).filter(|_| call.args.len() < 5)), flags(call, 5, row))
        };
        let (Some(start), Some(flag)) = (start, flag) else { return Ok(None) };
        let pattern = cache.get(pattern, flag)?;
        let found = pattern.find_all(text, start_at(text, start)?.min(text.len()));
        let chosen: Vec<_> = match nth {
            Some(0) => found,
            Some(n) => found.into_iter().skip(n.max(1) as usize - 1).take(1).collect(),
            None if pattern.all => found,
            None => found.into_iter().take(1).collect(),
        };
        let mut out = String::with_capacity(text.len());
        let mut last = 0;
        for groups in chosen {
            let Some((from, to)) = groups.first().copied().flatten() else { continue };
            out.push_str(&text[last..from]);
            expand(&mut out, by, text, &groups);
            last = to;
        }
        out.push_str(&text[last..]);
        Ok(Some(out))
    });
    let rows = rows.collect::<Result<Vec<Option<String>>>>()?;
    Ok(Arc::new(rows.into_iter().collect::<datafusion::arrow::array::StringArray>()))
}

/// `\1` … are groups, `\&` the match, `\\` a backslash.
fn expand(out: &mut String, by: &str, text: &str, groups: &[Option<(usize, usize)>]) {
    let mut chars = by.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let group = match chars.clone().next() {
            Some('&') => Some(0),
            Some(d @ '1'..='9') => d.to_digit(10),
            _ => None,
        };
        match group {
            Some(group) => {
                chars.next();
                if let Some((from, to)) = groups.get(group as usize).copied().flatten() {
                    out.push_str(&text[from..to]);
                }
            }
            None => {
                out.push('\\');
                if chars.clone().next() == Some('\\') {
                    chars.next();
                }
            }
        }
    }
}

/// The groups of a match, or the match where it has none.
fn groups_of(text: &str, groups: &[Option<(usize, usize)>]) -> Vec<Option<String>> {
    let shown = if groups.len() > 1 { &groups[1..] } else { groups };
    shown.iter().map(|g| g.map(|(from, to)| text[from..to].to_owned())).collect()
}

fn first_match(call: &Call<'_>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    text_lists((0..call.rows).map(|row| {
        let (Some(text), Some(pattern), Some(flags)) = (call.text(0, row), call.text(1, row), flags(call, 2, row)) else {
            return Ok(None);
        };
        if flags.contains('g') {
            let message = "regexp_match() does not support the \"global\" option";
            return Err(
                SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).hint("Use the regexp_matches function instead.")
            );
        }
        Ok(cache.get(pattern, flags)?.find(text, 0).map(|groups| groups_of(text, &groups)))
    }))
}

fn lists_of_texts(_: &[DataType]) -> Result<DataType> {
    let inner = PgType::TEXT.array_of().field("item", true);
    Ok(DataType::List(Arc::new(inner)))
}

fn all_matches(call: &Call<'_>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    let inner = ListBuilder::new(StringBuilder::new()).with_field(PgType::TEXT.field("item", true));
    let mut out = ListBuilder::new(inner);
    for row in 0..call.rows {
        if let (Some(text), Some(pattern), Some(flags)) = (call.text(0, row), call.text(1, row), flags(call, 2, row)) {
            let pattern = cache.get(pattern, flags)?;
            let found = if pattern.all { pattern.find_all(text, 0) } else { pattern.find(text, 0).into_iter().collect() };
            for groups in found {
                for group in groups_of(text, &groups) {
                    out.values().values().append_option(group);
                }
                out.values().append(true);
            }
        }
        out.append(true);
    }
    let lists = out.finish();
    let item = Arc::new(PgType::TEXT.array_of().field("item", true));
    let arrays = carrying(Arc::clone(lists.values()))?;
    let lists = ListArray::try_new(item, lists.offsets().clone(), arrays, lists.nulls().cloned());
    Ok(Arc::new(lists.map_err(|_| SqlError::internal("matches without an array form"))?))
}

fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    text_lists((0..call.rows).map(|row| {
        let (Some(text), Some(pattern), Some(flags)) = (call.text(0, row), call.text(1, row), flags(call, 2, row)) else {
            return Ok(None);
        };
        let pattern = cache.get(pattern, flags)?;
        let mut parts = Vec::new();
        let mut last = 0;
        for groups in pattern.find_all(text, 0) {
            let Some((from, to)) = groups.first().copied().flatten() else { continue };
            // An empty match at the beginning, at the end or right after another splits nothing.
            if from == to && (from == last || from >= text.len()) {
                continue;
            }
            parts.push(Some(text[last..from].to_owned()));
            last = to;
        }
        parts.push(Some(text[last..].to_owned()));
        Ok(Some(parts))
    }))
}

fn matches(call: &Call<'_>, flag: Option<usize>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    call.map::<bool, BooleanArray>(|row| {
        let flags = flag.map_or(Some(""), |arg| call.text(arg, row));
        let (Some(text), Some(pattern), Some(flags)) = (call.text(0, row), call.text(1, row), flags) else { return Ok(None) };
        Ok(Some(cache.get(pattern, flags)?.regex.is_match(text)))
    })
}

fn count(call: &Call<'_>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    call.map::<i32, Int32Array>(|row| {
        let (Some(text), Some(pattern)) = (call.text(0, row), call.text(1, row)) else { return Ok(None) };
        let (Some(start), Some(flags)) = (number(call, 2, row, 1), flags(call, 3, row)) else { return Ok(None) };
        Ok(Some(cache.get(pattern, flags)?.find_all(text, start_at(text, start)?).len() as i32))
    })
}

/// The nth match, or a group of it.
fn nth_place(pattern: &Pattern, text: &str, start: i32, nth: i32, group: i32) -> Result<Option<(usize, usize)>> {
    let nth = usize::try_from(nth - 1).map_err(|_| positive("n", nth))?;
    let group = usize::try_from(group).map_err(|_| positive("subexpr", group))?;
    let found = pattern.find_all(text, start_at(text, start)?);
    Ok(found.get(nth).and_then(|groups| groups.get(group).copied().flatten()))
}

fn part(call: &Call<'_>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    let rows = (0..call.rows).map(|row| {
        let (Some(text), Some(pattern)) = (call.text(0, row), call.text(1, row)) else { return Ok(None) };
        let (Some(start), Some(nth)) = (number(call, 2, row, 1), number(call, 3, row, 1)) else { return Ok(None) };
        let (Some(flags), Some(group)) = (flags(call, 4, row), number(call, 5, row, 0)) else { return Ok(None) };
        let place = nth_place(&*cache.get(pattern, flags)?, text, start, nth, group)?;
        Ok(place.map(|(from, to)| text[from..to].to_owned()))
    });
    let rows = rows.collect::<Result<Vec<Option<String>>>>()?;
    Ok(Arc::new(rows.into_iter().collect::<datafusion::arrow::array::StringArray>()))
}

fn place(call: &Call<'_>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    call.map::<i32, Int32Array>(|row| {
        let (Some(text), Some(pattern)) = (call.text(0, row), call.text(1, row)) else { return Ok(None) };
        let (Some(start), Some(nth), Some(end)) = (number(call, 2, row, 1), number(call, 3, row, 1), number(call, 4, row, 0))
        else {
            return Ok(None);
        };
        let (Some(flags), Some(group)) = (flags(call, 5, row), number(call, 6, row, 0)) else { return Ok(None) };
        let place = nth_place(&*cache.get(pattern, flags)?, text, start, nth, group)?;
        let at = place.map(|(from, to)| if end == 1 { to } else { from });
        Ok(Some(at.map_or(0, |at| text[..at].chars().count() as i32 + 1)))
    })
}

/// `substring(text from pattern)`: the first group, or the match where there is none.
pub fn substring(call: &Call<'_>) -> Result<ArrayRef> {
    let mut cache = Cache::default();
    let texts = call.args[0].as_string_opt::<i32>();
    let rows = (0..call.rows).map(|row| {
        let text = texts.filter(|t| t.is_valid(row)).map(|t| t.value(row));
        let (Some(text), Some(pattern)) = (text, call.text(1, row)) else { return Ok(None) };
        let groups = cache.get(pattern, "")?.find(text, 0);
        let place = groups.and_then(|groups| if groups.len() > 1 { groups[1] } else { groups[0] });
        Ok(place.map(|(from, to)| text[from..to].to_owned()))
    });
    let rows = rows.collect::<Result<Vec<Option<String>>>>()?;
    Ok(Arc::new(rows.into_iter().collect::<datafusion::arrow::array::StringArray>()))
}

/// SIMILAR TO's pattern as a regular expression for the whole text; `#"` marks parts.
fn similar_source(pattern: &str, escape: Option<char>) -> Result<(String, usize)> {
    let mut out = String::from("^(?:");
    let mut chars = pattern.chars();
    let (mut marks, mut class) = (0, false);
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some('"') => {
                    marks += 1;
                    out.push_str(if marks == 1 { "){1,1}?(" } else { ")(?:" });
                }
                Some(other) => out.push_str(&regex::escape(&other.to_string())),
                None => {
                    return Err(SqlError::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape sequence")
                        .hint("A pattern cannot end with its escape character."));
                }
            }
            continue;
        }
        match c {
            '[' if !class => {
                class = true;
                out.push('[');
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            c if class => {
                if matches!(c, '\\' | '&' | '~' | '[') {
                    out.push('\\');
                }
                out.push(c);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '.' | '^' | '$' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    out.push_str(")$");
    Ok((out, marks))
}

fn escape_of(call: &Call<'_>, row: usize) -> Result<Option<char>> {
    let Some(escape) = (if call.args.len() > 2 { call.text(2, row) } else { Some("\\") }) else { return Ok(None) };
    let mut chars = escape.chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => Err(SqlError::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
            .hint("Escape string must be empty or one character.")),
    }
}

fn similar(call: &Call<'_>) -> Result<ArrayRef> {
    let mut known: HashMap<String, Regex> = HashMap::new();
    call.map::<bool, BooleanArray>(|row| {
        let (Some(text), Some(pattern)) = (call.text(0, row), call.text(1, row)) else { return Ok(None) };
        let (source, _) = similar_source(pattern, escape_of(call, row)?)?;
        if !known.contains_key(&source) {
            let regex = Options { dot_new_line: true, ..Options::default() }.build(&source, pattern)?;
            known.insert(source.clone(), regex);
        }
        Ok(known.get(&source).map(|regex| regex.is_match(text)))
    })
}

fn similar_part(call: &Call<'_>) -> Result<ArrayRef> {
    call.map_text(|row| {
        let (Some(text), Some(pattern)) = (call.text(0, row), call.text(1, row)) else { return Ok(None) };
        let (source, marks) = similar_source(pattern, escape_of(call, row)?)?;
        let regex = Options { dot_new_line: true, ..Options::default() }.build(&source, pattern)?;
        let found = regex.captures(text).and_then(|c| c.get(usize::from(marks == 2)));
        Ok(found.map(|m| m.as_str().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> Option<String> {
        Pattern::new(pattern, "").unwrap().find(text, 0).and_then(|g| g[0]).map(|(a, b)| text[a..b].to_owned())
    }

    #[test]
    fn the_longest_of_the_first_matches_is_found() {
        assert_eq!(found("a|ab", "xabc").as_deref(), Some("ab"));
        assert_eq!(found("(a|ab)(c|bcd)", "abcd").as_deref(), Some("abcd"));
        assert_eq!(found("x*", "aax").as_deref(), Some(""));
    }

    #[test]
    fn escapes_are_those_of_postgresql_and_the_rest_is_refused() {
        assert_eq!(found("\\mfoo\\M", "a foo b").as_deref(), Some("foo"));
        assert_eq!(found("[[:digit:]]+", "ab12c").as_deref(), Some("12"));
        assert_eq!(found("[]a]+", "x]a]").as_deref(), Some("]a]"));
        assert_eq!(Pattern::new("(a)\\1", "").err().map(|e| e.code()), Some(SqlState::FEATURE_NOT_SUPPORTED));
        assert_eq!(Pattern::new("(", "").err().map(|e| e.code()), Some(SqlState::INVALID_REGULAR_EXPRESSION));
    }
}

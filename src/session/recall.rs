//! Statements that come again: with the same text, or with other literals in it.
//!
//! Clients that do not prepare send their texts anew each time. What was analysed under definitions and settings
//! that still hold is not analysed again; what it means is never taken from anywhere but an analysis.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::Session;
use super::prepared::{PlannedUnder, PreparedStatement};
use crate::plan::{Pattern, StatementContext};
use crate::sql::Parsed;
use crate::sql::shape::{Shape, shape};
use crate::types::{Oid, PgType};

/// Kept of each kind; when there are more, all are forgotten.
const MOST: usize = 64;

/// Longer texts are not kept.
const LONGEST: usize = 4_096;

/// Texts seen once, of which the ones that come again are kept.
const SEEN: usize = 64;

#[derive(Debug)]
pub(super) struct Recall {
    texts: HashMap<Box<str>, Known>,
    /// By shape and parameter types; `None` for one that has no pattern.
    patterns: HashMap<Box<[u8]>, Option<Alike>>,
    seen: [u64; SEEN],
    next: usize,
}

#[derive(Debug)]
struct Known {
    types: Box<[Oid]>,
    statement: Arc<PreparedStatement>,
}

/// Statements of one shape.
#[derive(Debug)]
struct Alike {
    under: PlannedUnder,
    /// One of them: what it is besides its literals, all are.
    first: Arc<Parsed>,
    declared: Vec<Option<PgType>>,
    pattern: Pattern,
}

impl Default for Recall {
    fn default() -> Self {
        Self { texts: HashMap::new(), patterns: HashMap::new(), seen: [0; SEEN], next: 0 }
    }
}

impl Recall {
    /// DISCARD PLANS.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether this text has come before, as far as is remembered. A wrong yes costs nothing but room.
    fn is_again(&mut self, text: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        if self.seen.contains(&hash) {
            return true;
        }
        self.seen[self.next] = hash;
        self.next = (self.next + 1) % SEEN;
        false
    }
}

impl Session {
    /// The statement of this text with these parameter types, as it would be analysed now.
    pub(super) fn recall(&mut self, text: &str, types: &[Oid]) -> Option<Arc<PreparedStatement>> {
        if text.len() > LONGEST || (self.recall.texts.is_empty() && self.recall.patterns.is_empty()) {
            return None;
        }
        // As analysing does: the statement's time begins here.
        self.started();
        let under = self.planned_under();
        if let Some(known) = self.recall.texts.get(text)
            && *known.types == *types
        {
            if known.statement.is_planned_under(&under) {
                return Some(Arc::clone(&known.statement));
            }
            self.recall.texts.remove(text);
            return None;
        }
        let shape = shape(text)?;
        let alike = self.recall.patterns.get(key(&shape, types).as_slice())?.as_ref()?;
        if !alike.under.still(&under) {
            return None;
        }
        let prepared = alike.pattern.prepare(&shape.literals, text)?;
        let statement = PreparedStatement::recalled(Arc::clone(&alike.first), text, alike.declared.clone(), under, prepared);
        Some(Arc::new(statement))
    }

    /// Keeps what an analysis of this text gave, if that may serve again.
    pub(super) fn remember(&mut self, ctx: &StatementContext, text: &str, types: &[Oid], statement: &Arc<PreparedStatement>) {
        if text.len() > LONGEST {
            return;
        }
        if self.remember_pattern(ctx, text, types, statement) || !is_timeless(text) || !self.recall.is_again(text) {
            return;
        }
        if self.recall.texts.len() == MOST {
            self.recall.texts.clear();
        }
        self.recall.texts.insert(text.into(), Known { types: types.into(), statement: Arc::clone(statement) });
    }

    /// Whether the text is one of many that differ in their literals only.
    fn remember_pattern(&mut self, ctx: &StatementContext, text: &str, types: &[Oid], statement: &PreparedStatement) -> bool {
        let Some((under, prepared)) = statement.planned() else { return false };
        if !prepared.is_lookup() {
            return false;
        }
        let (Some(shape), Some(first)) = (shape(text), &statement.parsed) else { return false };
        let key = key(&shape, types);
        match self.recall.patterns.get(key.as_slice()) {
            Some(None) => return false,
            Some(Some(alike)) if alike.under.still(&under) => return true,
            _ => {}
        }
        let pattern = self.shared.engine.pattern(ctx, &prepared, &shape, &statement.declared);
        let alike = pattern.map(|pattern| {
            let (first, declared) = (Arc::clone(first), statement.declared.clone());
            Alike { under, first, declared, pattern }
        });
        let is_pattern = alike.is_some();
        if self.recall.patterns.len() == MOST {
            self.recall.patterns.clear();
        }
        self.recall.patterns.insert(key.into(), alike);
        is_pattern
    }
}

/// Whether an analysis of this text means the same whenever it is made, definitions and settings being the same:
/// nothing in it reads the past by a clause or a function, names a day relative to today, or looks at relations
/// that are not tables. Says no too often rather than too rarely.
fn is_timeless(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "of",
        "at",
        "before",
        "version",
        "versions",
        "system_time",
        "timestamp",
        "today",
        "tomorrow",
        "yesterday",
        "information_schema",
        "chronogate",
        "prepare",
        "execute",
    ];
    const MADE_NAMES: &[&str] = &["__as_of", "__between", "__from_to", "__diff", "__changes"];
    let plain = text.bytes().all(|b| b.is_ascii() && b != b'\\');
    let quoting = text.contains("&'")
        || text.contains("$$")
        || text.split('$').skip(1).any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    if !plain || quoting {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let mut rest = lower.as_str();
    while let Some(start) = rest.find(is_of_word) {
        let word_on = &rest[start..];
        let end = word_on.find(|c| !is_of_word(c)).unwrap_or(word_on.len());
        let (word, after) = word_on.split_at(end);
        let is_call = after.trim_start().starts_with('(');
        let made = MADE_NAMES.iter().any(|suffix| word.ends_with(suffix));
        if WORDS.contains(&word) || made || word.starts_with("pg_") || (word == "now" && !is_call) {
            return false;
        }
        rest = after;
    }
    true
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What texts must share to be alike: their shape, and the types that the client declared.
fn key(shape: &Shape<'_>, types: &[Oid]) -> Vec<u8> {
    let mut key = Vec::with_capacity(shape.key.len() + 4 * types.len() + 1);
    key.extend_from_slice(&shape.key);
    // Stands in no shape.
    key.push(0);
    types.iter().for_each(|oid| key.extend_from_slice(&oid.to_be_bytes()));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_time_could_change_is_not_kept_as_a_text() {
        for text in [
            "SELECT 1",
            "INSERT INTO t VALUES ($1, now())",
            "UPDATE t SET state = 'known' WHERE id = $1",
            "SELECT * FROM t__history WHERE id = $1 ORDER BY _version",
        ] {
            assert!(is_timeless(text), "{text}");
        }
        for text in [
            "SELECT * FROM t AS OF $1",
            "SELECT * FROM t FOR SYSTEM_TIME ALL",
            "SELECT * FROM t__as_of('2024-01-01')",
            "SELECT * FROM t__diff($1, $2)",
            "SELECT 'now'::date",
            "SELECT date ' Today'",
            "SELECT '12:00 tomorrow'",
            "SELECT E'n\\x6fw'",
            "SELECT U&'now'",
            "SELECT $$now$$",
            "SELECT $a$now$a$",
            "SELECT * FROM pg_class",
            "SELECT * FROM chronogate.commits",
            "SELECT 'é'",
        ] {
            assert!(!is_timeless(text), "{text}");
        }
    }

    #[test]
    fn a_text_is_again_while_it_is_remembered() {
        let mut recall = Recall::default();
        assert!(!recall.is_again("a"));
        assert!(recall.is_again("a"));
        assert!((0..SEEN).all(|n| !recall.is_again(&n.to_string())));
        assert!(!recall.is_again("a"));
    }
}

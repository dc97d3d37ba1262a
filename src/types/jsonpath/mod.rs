//! jsonpath: expressions that select parts of a jsonb value, read once and run over many values.
//!
//! Numbers stay decimal digits throughout. Of PostgreSQL's language `datetime()` and `keyvalue()` are refused.

mod parse;
mod run;

use std::collections::HashMap;

pub use run::{exists, matches, query};

/// A path that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Structural mismatches are errors.
    pub strict: bool,
    root: Node,
}

impl Path {
    /// 42601 for a text that is no path.
    pub fn parse(text: &str) -> crate::error::Result<Self> {
        parse::path(text)
    }
}

/// Paths by their texts, so that one that comes with every row is read once.
#[derive(Default)]
pub struct Paths(HashMap<String, Path>);

impl Paths {
    pub fn get(&mut self, text: &str) -> crate::error::Result<&Path> {
        if !self.0.contains_key(text) {
            self.0.insert(text.to_owned(), Path::parse(text)?);
        }
        self.0.get(text).ok_or_else(|| crate::error::SqlError::internal("a path that was read is gone"))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Null,
    Bool(bool),
    /// Decimal digits.
    Number(String),
    Text(String),
    /// `$`
    Root,
    /// `@`
    Current,
    /// `last`
    Last,
    /// `$name`
    Variable(String),
    /// Something and the steps from it.
    Steps(Box<Node>, Vec<Step>),
    Negative(Box<Node>),
    Positive(Box<Node>),
    Arithmetic(char, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    IsUnknown(Box<Node>),
    Exists(Box<Node>),
    StartsWith(Box<Node>, Box<Node>),
    LikeRegex(Box<Node>, Pattern),
}

#[derive(Clone, Debug)]
struct Pattern(regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    AnyMember,
    /// Each level from the first to the last of these, `None` being the deepest.
    Descend(Option<u32>, Option<u32>),
    /// Single places and ranges of places.
    Places(Vec<(Node, Option<Node>)>),
    AnyPlace,
    Filter(Node),
    Method(Method),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Type,
    Size,
    Double,
    Ceiling,
    Floor,
    Abs,
}

impl Node {
    /// Whether it is true, false or unknown, and no sequence of values.
    fn is_predicate(&self) -> bool {
        matches!(
            self,
            Self::Compare(..)
                | Self::And(..)
                | Self::Or(..)
                | Self::Not(_)
                | Self::IsUnknown(_)
                | Self::Exists(_)
                | Self::StartsWith(..)
                | Self::LikeRegex(..)
        )
    }
}

#[cfg(test)]
mod tests;

//! What is known of the documents that a reader wants, member by member, and which members are indexed: for stores that
//! keep some of a document's members beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::IndexId;

/// What one member has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberFilter {
    /// Names from the outermost member in, as they are in the document, escapes resolved. Arrays are not entered.
    pub path: Vec<String>,
    pub test: MemberTest,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MemberTest {
    /// One of these, which are of one kind.
    OneOf(Vec<MemberValue>),
    /// A value that reads as one of these texts: a string as itself, any other as JSON writes it.
    ReadsAs(Vec<String>),
    /// A number from `low` to `high`, both inclusive and finite; `None` is unbounded.
    Within { low: Option<f64>, high: Option<f64> },
}

#[derive(Clone, Debug, PartialEq)]
pub enum MemberValue {
    Bool(bool),
    /// Finite.
    Number(f64),
    Text(String),
}

/// An index over members of documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberIndex {
    pub id: IndexId,
    /// Whether no two live items may agree in it, those aside that lack one of its members.
    #[serde(default)]
    pub unique: bool,
    pub parts: Vec<MemberPart>,
}

impl MemberIndex {
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.path.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPart {
    /// Names from the outermost member in, parted by dots. No name has a dot or is a number.
    pub path: String,
    pub form: MemberForm,
}

/// What a member's value is as part of an index's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberForm {
    Bool,
    Integer,
    Number,
    Text,
    /// The text of its normal form.
    Json,
    /// The text it reads as, see [`MemberTest::ReadsAs`].
    AsText,
}

impl fmt::Display for MemberFilter {
    /// As EXPLAIN shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (member, test) = (self.path.join("."), &self.test);
        let several = |f: &mut fmt::Formatter<'_>, values: &[String]| match values {
            [one] => write!(f, "{member} = {one}"),
            many => write!(f, "{member} in ({})", many.join(", ")),
        };
        match test {
            MemberTest::OneOf(values) => several(f, &values.iter().map(ToString::to_string).collect::<Vec<_>>()),
            MemberTest::ReadsAs(texts) => {
                several(f, &texts.iter().map(|text| MemberValue::Text(text.clone()).to_string()).collect::<Vec<_>>())
            }
            MemberTest::Within { low: Some(low), high: Some(high) } => write!(f, "{member} between {low} and {high}"),
            MemberTest::Within { low: Some(low), high: None } => write!(f, "{member} >= {low}"),
            MemberTest::Within { low: None, high: Some(high) } => write!(f, "{member} <= {high}"),
            MemberTest::Within { low: None, high: None } => write!(f, "{member} is a number"),
        }
    }
}

impl fmt::Display for MemberValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => write!(f, "'{}'", value.replace('\'', "''")),
        }
    }
}

//! What is known of the documents that a reader wants, member by member: for stores that keep some of a document's members
//! beside it.

use std::fmt;

/// What one member of the top level has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberFilter {
    /// The member's name as it is in the document, escapes resolved.
    pub member: String,
    pub test: MemberTest,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MemberTest {
    /// One of these, which are of one kind.
    OneOf(Vec<MemberValue>),
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

impl fmt::Display for MemberFilter {
    /// As EXPLAIN shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { member, test } = self;
        match test {
            MemberTest::OneOf(values) => match &values[..] {
                [one] => write!(f, "{member} = {one}"),
                many => {
                    let many: Vec<String> = many.iter().map(ToString::to_string).collect();
                    write!(f, "{member} in ({})", many.join(", "))
                }
            },
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

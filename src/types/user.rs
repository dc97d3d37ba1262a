//! Types that users of a database define, as handles that are copied like any other type's name.
//!
//! A handle shows one *shape*: the type's numbers and name, and for an enumeration its labels in their order, for a
//! composite type its fields, as one state of the definitions has them. Equal shapes are one: they are kept for as long as the program runs, one for
//! every state of a type that any catalogue ever had, which the catalogues keep as well. Two handles are equal when
//! they name the same type, whichever shapes they show; a statement sees one shape of a type at a time.
//!
//! Knows no catalogue: who defines types gives them their shapes, and a handle that was read from a definition shows
//! nothing but its number until a catalogue has given it its shape.
//!
//! A label is *stored* under a word that never changes: the label that the value was created with, or that and a
//! number where an earlier value of the type has the word already. So payloads are read without a catalogue as long
//! as nothing is renamed, keys and index entries stay where they are, and a renamed value has its new name in every
//! version, those of the past included, which is what a value's identity asks for; a label that is given to another
//! value later does not change what old rows say.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use parking_lot::RwLock;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::name::Qualified;
use super::pg_type::{Oid, PgType, TypeName};
use crate::error::{Result, SqlError, SqlState};

/// What a type is in one state of the definitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub oid: Oid,
    pub array_oid: Oid,
    pub name: Qualified,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Known by its number only.
    Unknown,
    /// Labels in their order.
    Enum(Vec<Label>),
    /// Names and types of a row's fields.
    Composite(Vec<(String, PgType)>),
}

/// One value of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    pub label: String,
    /// The word it is stored under.
    pub stored: String,
}

/// A shape that is kept, with what is looked up in it.
struct Kept {
    shape: Shape,
    number: usize,
    by_label: HashMap<String, usize>,
    by_stored: HashMap<String, usize>,
    renamed: bool,
}

#[derive(Default)]
struct Shapes {
    all: Vec<&'static Kept>,
    numbers: HashMap<&'static Shape, usize>,
}

static SHAPES: LazyLock<RwLock<Shapes>> = LazyLock::new(RwLock::default);

/// A type of a user's; see the module.
#[derive(Clone, Copy)]
pub struct UserType(&'static Kept);

impl UserType {
    pub fn of(shape: Shape) -> Self {
        if let Some(kept) = SHAPES.read().find(&shape) {
            return Self(kept);
        }
        let mut shapes = SHAPES.write();
        match shapes.find(&shape) {
            Some(kept) => Self(kept),
            None => Self(shapes.keep(shape)),
        }
    }

    /// The type of this number, of which nothing else is known.
    pub fn numbered(oid: Oid) -> Self {
        let name = Qualified::new("", oid.to_string());
        Self::of(Shape { oid, array_oid: 0, name, kind: Kind::Unknown })
    }

    /// The inverse of [`UserType::tag`].
    pub fn from_tag(tag: &str) -> Option<Self> {
        let number: usize = tag.strip_prefix(TAG)?.parse().ok()?;
        SHAPES.read().all.get(number).map(|kept| Self(kept))
    }

    /// Names this very shape within the running program; for metadata of fields.
    pub fn tag(self) -> String {
        format!("{TAG}{}", self.0.number)
    }

    pub fn oid(self) -> Oid {
        self.0.shape.oid
    }

    pub fn array_oid(self) -> Oid {
        self.0.shape.array_oid
    }

    pub fn name(self) -> &'static Qualified {
        &self.0.shape.name
    }

    /// The name as messages show it: without its schema where that is `public`.
    pub fn shown_name(self) -> String {
        let Qualified { schema, name } = self.name();
        if schema == "public" || schema.is_empty() { quoted(name) } else { format!("{}.{}", quoted(schema), quoted(name)) }
    }

    /// The name as SQL text that every search path reads alike.
    pub fn full_name(self) -> String {
        let Qualified { schema, name } = self.name();
        format!("\"{}\".\"{}\"", schema.replace('"', "\"\""), name.replace('"', "\"\""))
    }

    /// Whether its values are known: else any text is one.
    pub fn is_known(self) -> bool {
        self.0.shape.kind != Kind::Unknown
    }

    /// Labels in their order.
    pub fn labels(self) -> &'static [Label] {
        match &self.0.shape.kind {
            Kind::Enum(labels) => labels,
            Kind::Composite(_) | Kind::Unknown => &[],
        }
    }

    /// Names and types of a composite type's fields.
    pub fn fields(self) -> &'static [(String, PgType)] {
        match &self.0.shape.kind {
            Kind::Composite(fields) => fields,
            Kind::Enum(_) | Kind::Unknown => &[],
        }
    }

    /// What a column of the type has for its type's name.
    pub fn type_name(self) -> TypeName {
        match &self.0.shape.kind {
            Kind::Composite(_) => TypeName::Composite(self),
            Kind::Enum(_) | Kind::Unknown => TypeName::Enum(self),
        }
    }

    /// Whether a label differs from the word it is stored under.
    pub fn has_renamed(self) -> bool {
        self.0.renamed
    }

    /// 22P02 for a text that is no label.
    pub fn check(self, text: &str) -> Result<()> {
        if !self.is_known() || self.0.by_label.contains_key(text) {
            return Ok(());
        }
        let message = format!("invalid input value for enum {}: \"{text}\"", self.shown_name());
        Err(SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message))
    }

    /// The place of a label in the type's order, from 0; what is none comes last.
    pub fn rank(self, label: &str) -> usize {
        self.0.by_label.get(label).copied().unwrap_or(usize::MAX >> 33)
    }

    /// The label of a stored word; the word itself where the type does not know it.
    pub fn label_of(self, stored: &str) -> &str {
        self.0.by_stored.get(stored).and_then(|at| self.labels().get(*at)).map_or(stored, |known| known.label.as_str())
    }

    /// The stored word of a label; the label itself where the type does not know it.
    pub fn stored_of(self, label: &str) -> &str {
        self.0.by_label.get(label).and_then(|at| self.labels().get(*at)).map_or(label, |known| known.stored.as_str())
    }
}

const TAG: &str = "user:";

fn quoted(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

impl Shapes {
    fn find(&self, shape: &Shape) -> Option<&'static Kept> {
        self.numbers.get(shape).and_then(|number| self.all.get(*number)).copied()
    }

    fn keep(&mut self, shape: Shape) -> &'static Kept {
        let labels: &[Label] = match &shape.kind {
            Kind::Enum(labels) => labels,
            Kind::Composite(_) | Kind::Unknown => &[],
        };
        let by_label = labels.iter().enumerate().map(|(at, known)| (known.label.clone(), at)).collect();
        let by_stored = labels.iter().enumerate().map(|(at, known)| (known.stored.clone(), at)).collect();
        let renamed = labels.iter().any(|known| known.label != known.stored);
        let number = self.all.len();
        let kept: &'static Kept = Box::leak(Box::new(Kept { shape, number, by_label, by_stored, renamed }));
        self.numbers.insert(&kept.shape, number);
        self.all.push(kept);
        kept
    }
}

impl PartialEq for UserType {
    fn eq(&self, other: &Self) -> bool {
        self.oid() == other.oid()
    }
}

impl Eq for UserType {}

impl Hash for UserType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.oid().hash(state);
    }
}

impl std::fmt::Debug for UserType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.name(), self.oid())
    }
}

impl Serialize for UserType {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.oid())
    }
}

impl<'de> Deserialize<'de> for UserType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self::numbered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mood(labels: &[(&str, &str)]) -> UserType {
        let labels = labels.iter().map(|(label, stored)| Label { label: (*label).into(), stored: (*stored).into() }).collect();
        UserType::of(Shape { oid: 90_001, array_oid: 90_002, name: Qualified::new("public", "mood"), kind: Kind::Enum(labels) })
    }

    #[test]
    fn equal_shapes_are_one_and_types_are_equal_by_their_numbers() {
        let (first, again) = (mood(&[("sad", "sad")]), mood(&[("sad", "sad")]));
        assert_eq!(first.tag(), again.tag());
        let renamed = mood(&[("blue", "sad")]);
        assert_ne!(first.tag(), renamed.tag());
        assert_eq!(first, renamed);
        assert_eq!(UserType::from_tag(&renamed.tag()).unwrap().labels(), renamed.labels());
        assert_eq!(UserType::from_tag("user:x").map(UserType::oid), None);
    }

    #[test]
    fn a_definition_keeps_the_number_only() {
        let text = serde_json::to_string(&mood(&[("sad", "sad")])).unwrap();
        assert_eq!(text, "90001");
        let read: UserType = serde_json::from_str(&text).unwrap();
        assert_eq!(read, mood(&[]));
        assert!(!read.is_known());
        assert!(read.check("anything").is_ok());
    }

    #[test]
    fn stored_words_outlive_labels() {
        // sad was renamed to blue, and another value is called sad now.
        let ty = mood(&[("blue", "sad"), ("sad", "sad 2")]);
        assert_eq!((ty.label_of("sad"), ty.stored_of("blue")), ("blue", "sad"));
        assert_eq!((ty.label_of("sad 2"), ty.stored_of("sad")), ("sad", "sad 2"));
        assert!(ty.rank("blue") < ty.rank("sad"));
        assert_eq!(ty.check("happy").unwrap_err().message(), "invalid input value for enum mood: \"happy\"");
    }
}

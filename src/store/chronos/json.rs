//! JSON as the library reads and writes it: JavaScript's objects, strings and numbers, byte for byte.
//!
//! Keeps what `serde_json` cannot: strings with lone surrogates, numbers by their digits, members in JavaScript's order.
//! For whole payloads that are to be written or compared; columns are read from the bytes elsewhere.

mod number;
mod parse;
mod write;

use std::collections::HashMap;
use std::fmt;

pub use number::{Number, is_double};
pub use parse::{BadJson, parse};
pub use write::Form;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    String(Text),
    Array(Vec<Json>),
    Object(Object),
}

/// A JavaScript string: UTF-16, in which a surrogate may stand alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Units);

/// One spelling for each string, so that comparing spellings compares strings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Units {
    Utf8(Box<str>),
    /// Only strings with a lone surrogate.
    Wide(Box<[u16]>),
}

/// Members in the order JavaScript keeps them: names that are array indexes first, ascending, then the others as they came.
/// No name twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(Text, Json)>);

impl Text {
    pub fn from_units(units: Vec<u16>) -> Self {
        match String::from_utf16(&units) {
            Ok(text) => Self(Units::Utf8(text.into())),
            Err(_) => Self(Units::Wide(units.into())),
        }
    }

    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Units::Utf8(text) => Some(text),
            Units::Wide(_) => None,
        }
    }

    /// The text with U+FFFD for every lone surrogate.
    pub fn to_lossy(&self) -> String {
        match &self.0 {
            Units::Utf8(text) => text.to_string(),
            Units::Wide(units) => String::from_utf16_lossy(units),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.as_str() == Some("")
    }

    /// The number that JavaScript orders it by among members, if it is an array index.
    fn index(&self) -> Option<u32> {
        let text = self.as_str()?;
        let plain = text == "0" || (text.starts_with(|c: char| c != '0') && text.bytes().all(|b| b.is_ascii_digit()));
        plain.then(|| text.parse().ok())?.filter(|index| *index != u32::MAX)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Units::Utf8(text.into()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Units::Utf8(text.into()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Units::Utf8(text) => write!(f, "{text:?}"),
            Units::Wide(units) => write!(f, "{units:04x?}"),
        }
    }
}

impl Object {
    /// Of several members of one name the last gives the value, the first the place.
    pub fn from_members(members: Vec<(Text, Json)>) -> Self {
        let mut places: HashMap<Text, usize> = HashMap::with_capacity(members.len());
        let mut kept: Vec<(Text, Json)> = Vec::with_capacity(members.len());
        for (name, value) in members {
            match places.get(&name) {
                Some(&place) => kept[place].1 = value,
                None => {
                    places.insert(name.clone(), kept.len());
                    kept.push((name, value));
                }
            }
        }
        kept.sort_by_key(|(name, _)| name.index().map_or((true, 0), |index| (false, index)));
        Self(kept)
    }

    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(own, _)| own.as_str() == Some(name)).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, name: &Text) -> Option<&mut Json> {
        self.0.iter_mut().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// A member that is there keeps its place.
    pub fn set(&mut self, name: impl Into<Text>, value: Json) {
        let name = name.into();
        if let Some(member) = self.get_mut(&name) {
            *member = value;
            return;
        }
        let place = match name.index() {
            None => self.0.len(),
            Some(index) => self.0.iter().take_while(|(own, _)| own.index().is_some_and(|own| own < index)).count(),
        };
        self.0.insert(place, (name, value));
    }

    pub fn iter(&self) -> impl Iterator<Item = &(Text, Json)> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Text>> FromIterator<(N, Json)> for Object {
    fn from_iter<I: IntoIterator<Item = (N, Json)>>(members: I) -> Self {
        Self::from_members(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl IntoIterator for Object {
    type Item = (Text, Json);
    type IntoIter = std::vec::IntoIter<(Text, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<f64> for Json {
    /// JavaScript's: what is not finite becomes null.
    fn from(value: f64) -> Self {
        Number::from_f64(value).map_or(Self::Null, Self::Number)
    }
}

impl Json {
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        self.as_text().and_then(Text::as_str)
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number.as_f64()),
            _ => None,
        }
    }

    /// The member of an object, the element of an array by its decimal number.
    pub fn step(&self, segment: &str) -> Option<&Json> {
        match self {
            Self::Object(object) => object.get(segment),
            Self::Array(elements) => elements.get(index(segment)?),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => None,
        }
    }

    /// As [`Self::step`].
    pub fn step_mut(&mut self, segment: &str) -> Option<&mut Json> {
        match self {
            Self::Object(object) => object.get_mut(&segment.into()),
            Self::Array(elements) => elements.get_mut(index(segment)?),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => None,
        }
    }

    /// What a dotted path leads to.
    pub fn at(&self, path: &str) -> Option<&Json> {
        path.split('.').try_fold(self, |value, segment| value.step(segment))
    }

    /// JavaScript's `===` for what is no object and no array; those are equal to nothing.
    pub fn is_identical_scalar(&self, other: &Json) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.as_f64() == other.as_f64(),
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::String(one), Self::String(other)) => one == other,
            _ => false,
        }
    }

    /// Equal throughout, whatever the order of members.
    pub fn is_deeply_equal(&self, other: &Json) -> bool {
        match (self, other) {
            (Self::Array(one), Self::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_deeply_equal(other))
            }
            (Self::Object(one), Self::Object(other)) => {
                let same = |(name, value): &(Text, Json)| {
                    other.iter().find(|(own, _)| own == name).is_some_and(|(_, own)| own.is_deeply_equal(value))
                };
                one.len() == other.len() && one.iter().all(same)
            }
            _ => self.is_identical_scalar(other),
        }
    }
}

fn index(segment: &str) -> Option<usize> {
    segment.bytes().all(|b| b.is_ascii_digit()).then(|| segment.parse().ok())?
}

#[cfg(test)]
mod tests;

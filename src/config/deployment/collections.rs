//! What a deployment says of single collections: indexed paths, base64 properties, what must be given.

use std::collections::BTreeMap;

use super::member::{Member, Unfit};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectionMap {
    /// Dotted paths, in the file's order; a trailing `[]` asks for a whole array. Empty: every top-level member.
    pub indexed: Vec<String>,
    /// By dotted path, in the file's order.
    pub base64: Vec<(String, Base64Property)>,
    /// Paths that a new or updated object must have, neither null nor empty.
    pub required: Vec<String>,
}

/// A property whose value, base64 in the object as given, is kept as an object of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base64Property {
    pub content_type: String,
    /// Keep a text rendition also where the content type is no text.
    pub preferred_text: bool,
    /// How bytes become that text, by Node's names; `None` is UTF-8.
    pub charset: Option<String>,
}

pub(super) fn read(maps: &Member<'_>, warnings: &mut Vec<String>) -> Result<BTreeMap<String, CollectionMap>, Unfit> {
    maps.members()?.into_iter().map(|(name, map)| Ok((name.to_owned(), one(&map, warnings)?))).collect()
}

fn one(map: &Member<'_>, warnings: &mut Vec<String>) -> Result<CollectionMap, Unfit> {
    map.only(&["indexedProps", "base64Props", "validation"], warnings)?;
    let validation = map.get("validation");
    validation.only(&["requiredIndexed"], warnings)?;
    let base64 = map.get("base64Props").members()?.into_iter();
    Ok(CollectionMap {
        indexed: paths(&map.get("indexedProps"))?,
        base64: base64
            .map(|(path, property)| Ok((path.to_owned(), base64_property(&property, warnings)?)))
            .collect::<Result<_, _>>()?,
        required: paths(&validation.get("requiredIndexed"))?,
    })
}

fn paths(list: &Member<'_>) -> Result<Vec<String>, Unfit> {
    list.elements()?.iter().map(|path| path.text("a property's path")).collect()
}

fn base64_property(property: &Member<'_>, warnings: &mut Vec<String>) -> Result<Base64Property, Unfit> {
    property.only(&["contentType", "preferredText", "textCharset"], warnings)?;
    Ok(Base64Property {
        content_type: property.get("contentType").text("a media type")?,
        preferred_text: property.get("preferredText").optional_flag()?.unwrap_or(false),
        charset: property.get("textCharset").optional_text("a character set's name")?,
    })
}

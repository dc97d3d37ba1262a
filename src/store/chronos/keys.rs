//! Names in object storage: which key an item's payload, blob or text has.
//!
//! For writing only. Readers follow the key a document gives: a restored version points to an older one's object.

/// A key that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("a collection, property or item without a name has no object")]
    Nameless,
    #[error("the number of a version is not negative")]
    NegativeVersion,
}

/// Of an item's payload.
pub fn payload(collection: &str, id: &str, version: i64) -> Result<String, BadKey> {
    Ok(format!("{}/{}/{}/item.json", part(collection)?, part(id)?, number(version)?))
}

/// Of the bytes of a base64 property.
pub fn blob(collection: &str, property: &str, id: &str, version: i64) -> Result<String, BadKey> {
    Ok(format!("{}/{}/{}/{}/blob.bin", part(collection)?, part(property)?, part(id)?, number(version)?))
}

/// Of a base64 property's rendition as text.
pub fn text(collection: &str, property: &str, id: &str, version: i64) -> Result<String, BadKey> {
    Ok(format!("{}/{}/{}/{}/text.txt", part(collection)?, part(property)?, part(id)?, number(version)?))
}

/// Of a manifest, which the library names and never writes.
pub fn manifest(collection: &str, year: u16, month: u8, collection_version: u64) -> Result<String, BadKey> {
    Ok(format!("__manifests__/{}/{year:04}/{month:02}/snapshot-{collection_version}.json.gz", part(collection)?))
}

fn part(name: &str) -> Result<String, BadKey> {
    let name = name.trim_matches(is_javascript_space).to_lowercase();
    if name.is_empty() { Err(BadKey::Nameless) } else { Ok(name) }
}

fn number(version: i64) -> Result<String, BadKey> {
    if version < 0 { Err(BadKey::NegativeVersion) } else { Ok(format!("v{version}")) }
}

/// What JavaScript's `trim` takes away.
fn is_javascript_space(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

/// What a key names, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'k> {
    Payload {
        collection: &'k str,
        id: &'k str,
        version: u64,
    },
    Blob {
        collection: &'k str,
        property: &'k str,
        id: &'k str,
        version: u64,
    },
    Text {
        collection: &'k str,
        property: &'k str,
        id: &'k str,
        version: u64,
    },
    /// A payload that we placed without regard to the library.
    Own,
}

/// Where we place payloads that no item of the library's has.
pub const OWN_PAYLOADS: &str = "__payloads__";

/// `None` for a key of another form than the functions above give with the id of a document.
pub fn named(key: &str) -> Option<Named<'_>> {
    let parts: Vec<&str> = key.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    match parts.as_slice() {
        [OWN_PAYLOADS, _, name] if name.ends_with(".json") => Some(Named::Own),
        [first, ..] if first.starts_with("__") => None,
        [collection, id, version, "item.json"] => {
            let version = parsed(id, version)?;
            Some(Named::Payload { collection, id, version })
        }
        [collection, property, id, version, "blob.bin"] => {
            let version = parsed(id, version)?;
            Some(Named::Blob { collection, property, id, version })
        }
        [collection, property, id, version, "text.txt"] => {
            let version = parsed(id, version)?;
            Some(Named::Text { collection, property, id, version })
        }
        _ => None,
    }
}

fn parsed(id: &str, version: &str) -> Option<u64> {
    let is_id = id.len() == 24 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let number: u64 = version.strip_prefix('v')?.parse().ok()?;
    (is_id && version == format!("v{number}")).then_some(number)
}

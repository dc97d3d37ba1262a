//! Base64 properties: values that the library moves out of the object into objects of their own.
//!
//! Says what is to be stored under which key and what stays in the object; stores nothing.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::json::{Json, Object};
use super::keys::{self, BadKey};
use crate::config::deployment::Base64Property;

/// A value that cannot be moved out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProperty {
    #[error("property \"{path}\" is not canonical base64")]
    NotBase64 { path: String },
    /// One property is given anew, so all are looked at, and this one (a reference, say) is no string.
    #[error("property \"{path}\" must be base64 text or null")]
    NotText { path: String },
    #[error("property \"{path}\": {cause}")]
    NoKey { path: String, cause: BadKey },
}

/// What is to be stored of one property, in the content bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub key: String,
    pub bytes: Vec<u8>,
    pub content_type: String,
    /// Key and text of the rendition, where there is one.
    pub text: Option<(String, String)>,
}

/// Whose object it is, for keys.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'o> {
    pub collection: &'o str,
    pub id: &'o str,
    pub version: i64,
    pub content_bucket: &'o str,
}

/// The object with references in place of its base64 values, and what they refer to, in the order of the configuration.
/// Unchanged where no configured property is a string.
pub fn externalize(
    object: Object,
    properties: &[(String, Base64Property)],
    owner: Owner<'_>,
) -> Result<(Object, Vec<Blob>), BadProperty> {
    let mut json = Json::Object(object);
    let given = properties.iter().any(|(path, _)| json.at(path).is_some_and(|value| value.as_text().is_some()));
    let mut blobs = Vec::new();
    for (path, property) in properties.iter().filter(|_| given) {
        let bytes = match json.at(path) {
            None | Some(Json::Null) => continue,
            Some(Json::String(text)) => {
                text.as_str().and_then(decode).ok_or_else(|| BadProperty::NotBase64 { path: path.clone() })?
            }
            Some(_) => return Err(BadProperty::NotText { path: path.clone() }),
        };
        let blob = blob(path, property, bytes, owner).map_err(|cause| BadProperty::NoKey { path: path.clone(), cause })?;
        if let Some(value) = path.split('.').try_fold(&mut json, |value, segment| value.step_mut(segment)) {
            *value = reference(owner.content_bucket, &blob);
        }
        blobs.push(blob);
    }
    match json {
        Json::Object(object) => Ok((object, blobs)),
        _ => Ok((Object::default(), blobs)),
    }
}

fn blob(path: &str, property: &Base64Property, bytes: Vec<u8>, owner: Owner<'_>) -> Result<Blob, BadKey> {
    let Owner { collection, id, version, .. } = owner;
    let wanted = property.preferred_text || property.content_type.starts_with("text/");
    let text = wanted.then(|| text_rendition(&bytes, property.charset.as_deref().unwrap_or("utf8"))).flatten();
    let text = text.map(|text| Ok((keys::text(collection, path, id, version)?, text))).transpose()?;
    let key = keys::blob(collection, path, id, version)?;
    Ok(Blob { key, bytes, content_type: property.content_type.clone(), text })
}

fn reference(bucket: &str, blob: &Blob) -> Json {
    let mut reference: Object = [("contentBucket", bucket.into()), ("blobKey", blob.key.as_str().into())].into_iter().collect();
    if let Some((key, _)) = &blob.text {
        reference.set("textKey", key.as_str().into());
    }
    Json::Object([("ref", Json::Object(reference))].into_iter().collect())
}

/// The bytes of standard base64 with its padding, spelled in the one way there is; `None` for anything else.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok().filter(|bytes| STANDARD.encode(bytes) == text)
}

/// The bytes as text: `None` when there are none, when the charset is not known to Node, or when more than one UTF-16 unit in
/// twenty is a control character other than tab and line ends.
pub fn text_rendition(bytes: &[u8], charset: &str) -> Option<String> {
    let units = decoded(bytes, charset)?;
    let control = units.iter().filter(|unit| **unit < 0x20 && !matches!(**unit, 9 | 10 | 13)).count();
    let readable = !units.is_empty() && control * 20 <= units.len();
    readable.then(|| String::from_utf16_lossy(&units))
}

fn decoded(bytes: &[u8], charset: &str) -> Option<Vec<u16>> {
    let utf16 = |text: &str| text.encode_utf16().collect();
    Some(match charset.to_ascii_lowercase().as_str() {
        "utf8" | "utf-8" => utf16(&String::from_utf8_lossy(bytes)),
        "latin1" | "binary" => bytes.iter().map(|byte| u16::from(*byte)).collect(),
        "ascii" => bytes.iter().map(|byte| u16::from(byte & 0x7f)).collect(),
        "utf16le" | "utf-16le" | "ucs2" | "ucs-2" => {
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
        }
        "hex" => utf16(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        "base64" => utf16(&STANDARD.encode(bytes)),
        "base64url" => utf16(&URL_SAFE_NO_PAD.encode(bytes)),
        _ => return None,
    })
}

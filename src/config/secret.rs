//! A secret in a configuration: itself, or where it is. Never shown, not even in an error.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::ConfigError;

/// `"…"`, `{"$file": "path"}` (a trailing line break is not part of it) or `{"$env": "NAME"}`.
#[derive(Clone)]
pub enum Secret {
    Plain(String),
    File(PathBuf),
    Environment(String),
}

impl Secret {
    /// Reads it from where it is.
    pub fn reveal(&self) -> Result<String, ConfigError> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::File(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.clone(), cause })?;
                Ok(text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t)).to_owned())
            }
            Self::Environment(name) => std::env::var(name).map_err(|_| ConfigError::NoVariable(name.clone())),
        }
    }
}

impl Secret {
    /// Whether both say the same, without looking at where they are: two files may still hold one secret.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(other)) | (Self::Environment(one), Self::Environment(other)) => one == other,
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Plain(_) | Self::Environment(_) | Self::File(_), _) => false,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("Secret"),
            Self::File(path) => write!(f, "Secret in {}", path.display()),
            Self::Environment(name) => write!(f, "Secret in ${name}"),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, {\"$file\": path} or {\"$env\": name}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Plain(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let secret = match map.next_key::<String>()?.as_deref() {
            Some("$file") => Secret::File(map.next_value()?),
            Some("$env") => Secret::Environment(map.next_value()?),
            _ => return Err(A::Error::custom("expected exactly one member, \"$file\" or \"$env\"")),
        };
        match map.next_key::<String>()? {
            None => Ok(secret),
            Some(_) => Err(A::Error::custom("expected exactly one member, \"$file\" or \"$env\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_a_file_without_its_line_break() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "s3cret\r\n").expect("written");
        assert_eq!(Secret::File(path).reveal().expect("read"), "s3cret");
        assert!(Secret::Environment("CHRONOGATE_NO_SUCH_VARIABLE".to_owned()).reveal().is_err());
    }
}

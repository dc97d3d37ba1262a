//! A member of a JSON document together with its path, for errors that name what was found and what was expected.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Secret;

/// A member that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub member: String,
    pub found: String,
    pub expected: String,
}

/// One member, there or not. A null is not there.
#[derive(Clone, Debug)]
pub(super) struct Member<'v> {
    path: String,
    value: Option<&'v Value>,
}

impl<'v> Member<'v> {
    pub fn root(value: &'v Value) -> Self {
        Self { path: String::new(), value: Some(value) }
    }

    /// Not there when this is no object.
    pub fn get(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { path, value: self.value.and_then(|value| value.get(name)).filter(|value| !value.is_null()) }
    }

    pub fn is_there(&self) -> bool {
        self.value.is_some()
    }

    pub fn value(&self) -> Option<&'v Value> {
        self.value
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// A string that is not empty; `expected` says of what.
    pub fn text(&self, expected: &str) -> Result<String, Unfit> {
        match self.value.and_then(Value::as_str) {
            Some("") | None => Err(self.unfit(expected)),
            Some(text) => match environment_token(text) {
                None => Ok(text.to_owned()),
                Some(name) => std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| self.unset(name)),
            },
        }
    }

    pub fn optional_text(&self, expected: &str) -> Result<Option<String>, Unfit> {
        self.is_there().then(|| self.text(expected)).transpose()
    }

    pub fn flag(&self) -> Result<bool, Unfit> {
        self.value.and_then(Value::as_bool).ok_or_else(|| self.unfit("true or false"))
    }

    pub fn optional_flag(&self) -> Result<Option<bool>, Unfit> {
        self.is_there().then(|| self.flag()).transpose()
    }

    /// A string, `{"$file": …}` or `{"$env": …}`; what it says is kept out of errors.
    pub fn secret(&self, expected: &str) -> Result<Secret, Unfit> {
        let expected = format!("{expected}, {{\"$file\": path}} or {{\"$env\": name}}");
        let unfit = || Unfit { member: self.path.clone(), found: self.kind().to_owned(), expected: expected.clone() };
        let value = self.value.filter(|value| value.as_str() != Some("")).ok_or_else(&unfit)?;
        match value.as_str().and_then(environment_token) {
            Some(name) => Ok(Secret::Environment(name.to_owned())),
            None => serde_json::from_value(value.clone()).map_err(|_| unfit()),
        }
    }

    /// An array's elements; none when it is not there.
    pub fn elements(&self) -> Result<Vec<Self>, Unfit> {
        let Some(value) = self.value else { return Ok(Vec::new()) };
        let elements = value.as_array().ok_or_else(|| self.unfit("an array"))?;
        let element = |(place, value)| Self { path: format!("{}[{place}]", self.path), value: Some(value) };
        Ok(elements.iter().enumerate().map(element).collect())
    }

    /// An object's members by name; none when it is not there.
    pub fn members(&self) -> Result<Vec<(&'v str, Self)>, Unfit> {
        let Some(value) = self.value else { return Ok(Vec::new()) };
        let members = value.as_object().ok_or_else(|| self.unfit("an object"))?;
        Ok(members.keys().map(|name| (name.as_str(), self.get(name))).collect())
    }

    /// Warns of members that have another name than these. Not an error when it is not there, but when it is no object.
    pub fn only(&self, known: &[&str], warnings: &mut Vec<String>) -> Result<(), Unfit> {
        let unknown = self.members()?.into_iter().filter(|(name, _)| !known.contains(name));
        warnings.extend(unknown.map(|(_, member)| format!("{} is not known and is ignored", member.path)));
        Ok(())
    }

    pub fn unfit(&self, expected: impl Into<String>) -> Unfit {
        let found = match self.value {
            Some(Value::String(text)) if !text.is_empty() => format!("{text:?}"),
            _ => self.kind().to_owned(),
        };
        Unfit { member: self.path.clone(), found, expected: expected.into() }
    }

    fn unset(&self, variable: &str) -> Unfit {
        let found = format!("ENV.{variable}, which is not set");
        Unfit { member: self.path.clone(), found, expected: "a variable of the environment with a value".to_owned() }
    }

    fn kind(&self) -> &'static str {
        match self.value {
            None | Some(Value::Null) => "nothing",
            Some(Value::Bool(true)) => "true",
            Some(Value::Bool(false)) => "false",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(text)) if text.is_empty() => "an empty string",
            Some(Value::String(_)) => "a string",
            Some(Value::Array(_)) => "an array",
            Some(Value::Object(_)) => "an object",
        }
    }
}

/// The library's 3.x way to say that a value is in the environment: `ENV.NAME`.
fn environment_token(text: &str) -> Option<&str> {
    static TOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("^ENV\\.[A-Z0-9_]+$").ok());
    TOKEN.as_ref().filter(|token| token.is_match(text)).and_then(|_| text.strip_prefix("ENV."))
}

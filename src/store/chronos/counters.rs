//! The library's counters: which rule counts an event.

use regex::Regex;

use super::json::{Json, Object};

/// A rule of counting.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    /// As versions name what they do; `None` is everything that is counted.
    pub on: Option<Vec<String>>,
    /// Paths of indexed members with their conditions.
    pub when: Object,
}

impl Rule {
    /// Whether it counts an event (`CREATE`, `UPDATE` or `DELETE`) of an item with these indexed members.
    pub fn counts(&self, event: &str, indexed: &Object) -> bool {
        self.on.as_ref().is_none_or(|on| on.iter().any(|known| known == event)) && counts(&self.when, indexed)
    }
}

/// Whether every path of `when` satisfies its condition in `data` (an item's `metaIndexed`).
///
/// A condition that is an object is made of operators, all of which must hold and an unknown one does not; anything else is
/// compared as JavaScript's `===`, so that no array ever equals another.
pub fn counts(when: &Object, data: &Object) -> bool {
    let data = Json::Object(data.clone());
    when.iter().all(|(path, condition)| {
        let found = path.as_str().and_then(|path| data.at(path));
        match condition {
            Json::Object(operators) => operators.iter().all(|(name, operand)| holds(name.as_str(), operand, found)),
            value => found.is_some_and(|found| found.is_identical_scalar(value)),
        }
    })
}

fn holds(operator: Option<&str>, operand: &Json, found: Option<&Json>) -> bool {
    let equals = |value: &Json| found.is_some_and(|found| found.is_identical_scalar(value));
    let among = || operand.as_array().map(|values| values.iter().any(equals));
    let numbers = || Some((found?.as_f64()?, operand.as_f64()?));
    match operator {
        Some("$eq") => equals(operand),
        Some("$ne") => !equals(operand),
        Some("$in") => among() == Some(true),
        Some("$nin") => among() == Some(false),
        Some("$exists") => *operand == Json::Bool(found.is_some()),
        Some("$gt") => numbers().is_some_and(|(found, bound)| found > bound),
        Some("$gte") => numbers().is_some_and(|(found, bound)| found >= bound),
        Some("$lt") => numbers().is_some_and(|(found, bound)| found < bound),
        Some("$lte") => numbers().is_some_and(|(found, bound)| found <= bound),
        Some("$regex") => {
            let pattern = operand.as_str().and_then(|pattern| Regex::new(pattern).ok());
            pattern.zip(found.and_then(Json::as_str)).is_some_and(|(pattern, text)| pattern.is_match(text))
        }
        Some(_) | None => false,
    }
}

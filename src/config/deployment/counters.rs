//! Rules by which the library counts writes.

use serde_json::Value;

use super::member::{Member, Unfit};

/// A rule of counting. What it asks of a document's indexed members is for the format to understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterRule {
    pub name: String,
    /// `CREATE`, `UPDATE` or `DELETE`; `None` is all of them.
    pub on: Option<Vec<String>>,
    /// A JSON object of paths with their conditions.
    pub when: Value,
}

/// Those of 1.x and 2.x, or those of 3.x, which has them elsewhere.
pub(super) fn read(root: &Member<'_>, warnings: &mut Vec<String>) -> Result<Vec<CounterRule>, Unfit> {
    let mut rules = Vec::new();
    for section in [root.get("counterRules"), root.get("analytics").get("counterRules")] {
        let list = if section.value().is_some_and(Value::is_array) { section } else { section.get("rules") };
        for rule in list.elements()? {
            rules.extend(one(&rule, warnings)?);
        }
    }
    Ok(rules)
}

/// `None`, with a warning, for a rule whose counts could not be kept under its name.
fn one(rule: &Member<'_>, warnings: &mut Vec<String>) -> Result<Option<CounterRule>, Unfit> {
    rule.only(&["name", "on", "scope", "when"], warnings)?;
    let name = rule.get("name").text("a rule's name")?;
    if name.starts_with('$') || name.split('.').any(str::is_empty) || name.contains('\0') {
        warnings.push(format!("{} cannot be counted under its name and is ignored", rule.path()));
        return Ok(None);
    }
    let on = rule.get("on");
    let events = on.elements()?.iter().map(|event| event.text("CREATE, UPDATE or DELETE")).collect::<Result<Vec<_>, _>>()?;
    let when = rule.get("when");
    when.members()?;
    let when = when.value().cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    Ok(Some(CounterRule { name, on: on.is_there().then_some(events), when }))
}

//! Grants as the catalogue writes them: `role=letters/grantor`.

use crate::history::Grants;
use crate::history::privilege::PUBLIC;

/// Letter of each privilege, in the order in which an item lists them.
const LETTERS: &[(&str, char)] = &[
    ("INSERT", 'a'),
    ("SELECT", 'r'),
    ("UPDATE", 'w'),
    ("DELETE", 'd'),
    ("TRUNCATE", 'D'),
    ("REFERENCES", 'x'),
    ("TRIGGER", 't'),
    ("EXECUTE", 'X'),
    ("USAGE", 'U'),
    ("CREATE", 'C'),
    ("TEMPORARY", 'T'),
    ("CONNECT", 'c'),
];

/// What the owner of an object of each kind may do.
pub const TABLE: &str = "arwdDxt";
pub const SEQUENCE: &str = "rwU";
pub const SCHEMA: &str = "UC";

/// What everybody and the owner may do with a new object of a kind, by the letter that `acldefault` calls it.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("c", "", ""),
    ("r", "", TABLE),
    ("s", "", SEQUENCE),
    ("d", "Tc", "CTc"),
    ("f", "X", "X"),
    ("l", "U", "U"),
    ("L", "", "rw"),
    ("n", "", SCHEMA),
    ("p", "", "sA"),
    ("t", "", "C"),
    ("F", "", "U"),
    ("S", "", "U"),
    ("T", "U", "U"),
];

/// The items that stand for no grant at all; `None` for a kind that there is not.
pub fn default_items(kind: &str, owner: &str) -> Option<Vec<String>> {
    let (_, everybody, own) = DEFAULTS.iter().find(|(letter, ..)| *letter == kind)?;
    let item = |role: &str, letters: &str| (!letters.is_empty()).then(|| format!("{role}={letters}/{}", quoted(owner)));
    Some([item("", everybody), item(&quoted(owner), own)].into_iter().flatten().collect())
}

/// The items of an object; `None` while nothing was granted on it. The owner's own comes first.
pub fn items(owner: &str, grants: &Grants, all: &str) -> Option<Vec<String>> {
    if grants.values().all(Vec::is_empty) {
        return None;
    }
    let item = |role: &str, letters: &str| format!("{}={letters}/{}", quoted(role), quoted(owner));
    let own = std::iter::once(item(owner, all));
    let granted = grants.iter().filter(|(role, held)| role.as_str() != owner && !held.is_empty());
    let granted = granted.map(|(role, held)| {
        let letters: String = LETTERS.iter().filter(|(name, _)| held.iter().any(|h| h == name)).map(|(_, c)| c).collect();
        item(if role == PUBLIC { "" } else { role }, &letters)
    });
    Some(own.chain(granted).collect())
}

fn quoted(role: &str) -> String {
    let plain = role.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { role.to_owned() } else { format!("\"{}\"", role.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_comes_first_and_everybody_has_no_name() {
        let held = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let grants = Grants::from([("bob".to_owned(), held(&["SELECT", "INSERT"])), (PUBLIC.to_owned(), held(&["SELECT"]))]);
        assert_eq!(items("ann", &grants, TABLE).unwrap(), ["ann=arwdDxt/ann", "bob=ar/ann", "=r/ann"]);
        assert_eq!(items("ann", &Grants::new(), TABLE), None);
    }

    #[test]
    fn defaults_are_postgresqls() {
        let check = |kind: &str, expected: &[&str]| assert_eq!(default_items(kind, "ann").unwrap(), expected, "{kind}");
        check("c", &[]);
        check("r", &["ann=arwdDxt/ann"]);
        check("d", &["=Tc/ann", "ann=CTc/ann"]);
        check("T", &["=U/ann", "ann=U/ann"]);
        assert_eq!(default_items("?", "ann"), None);
    }
}

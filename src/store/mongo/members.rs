//! Members that the library keeps beside its documents (`metaIndexed`), as conditions that a server checks.
//!
//! The document is the truth and `metaIndexed` an aid: a path may have been added to it after a document was written, and
//! values that JSON does not have are another kind of value there. So whatever is not of the kind asked for is kept, to
//! be judged by its document.

use mongodb::bson::{Bson, Document, doc};

use super::joint::unique::reads_as;
use crate::versions::{MemberFilter, MemberTest, MemberValue};

/// Kinds of values that read as a text without being an object or an array.
const SCALARS: [&str; 6] = ["bool", "int", "long", "double", "decimal", "string"];

/// Kinds of numbers.
const NUMBERS: [&str; 4] = ["int", "long", "double", "decimal"];

/// The conditions, all of which a document that passes the filters meets; `None` where nothing can be asked.
pub fn conditions(filters: &[MemberFilter]) -> Option<Vec<Document>> {
    let found: Vec<Document> = filters.iter().filter_map(condition).collect();
    (!found.is_empty()).then_some(found)
}

fn condition(filter: &MemberFilter) -> Option<Document> {
    let MemberFilter { path, test } = filter;
    // Such a member cannot be named by a path, and one that is a number may lead into an array.
    let (first, below) = path.split_first()?;
    let has_name = |name: &String| !name.is_empty() && !name.starts_with('$') && !name.contains(['.', '\0']);
    let is_number = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
    if !has_name(first) || !below.iter().all(|name| has_name(name) && !is_number(name)) {
        return None;
    }
    let path = format!("metaIndexed.{}", path.join("."));
    let (kinds, wanted): (&[&str], _) = match test {
        MemberTest::OneOf(values) => {
            let kinds: &[&str] = match values.first() {
                Some(MemberValue::Bool(_)) => &["bool"],
                Some(MemberValue::Number(_)) => &NUMBERS,
                Some(MemberValue::Text(_)) => &["string"],
                None => return None,
            };
            (kinds, doc! { "$in": values.iter().map(bson).collect::<Vec<_>>() })
        }
        MemberTest::ReadsAs(texts) => {
            let values = texts.iter().map(|text| reads_as(text)).collect::<Option<Vec<_>>>()?;
            (&SCALARS, doc! { "$in": values.concat() })
        }
        MemberTest::Within { low, high } => {
            let mut range = Document::new();
            low.map(|low| range.insert("$gte", low));
            high.map(|high| range.insert("$lte", high));
            if range.is_empty() {
                return None;
            }
            (&NUMBERS, range)
        }
    };
    let told: Vec<&str> = kinds.iter().copied().chain(["null"]).collect();
    Some(doc! { "$or": [{ &path: wanted }, { &path: { "$not": { "$type": told } } }] })
}

fn bson(value: &MemberValue) -> Bson {
    match value {
        MemberValue::Bool(value) => Bson::Boolean(*value),
        MemberValue::Number(value) => Bson::Double(*value),
        MemberValue::Text(value) => Bson::String(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_no_path_names_are_not_asked_for() {
        let of = |member: &str| MemberFilter {
            path: vec![member.to_owned()],
            test: MemberTest::OneOf(vec![MemberValue::Text("x".to_owned())]),
        };
        assert!(conditions(&["", "a.b", "$a", "a\0"].map(of)).is_none());
        assert_eq!(conditions(&["a.b", "größe"].map(of)).unwrap().len(), 1);
    }
}

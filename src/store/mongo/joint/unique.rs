//! Who holds the keys of unique indexes over members of documents.
//!
//! Asked of `metaIndexed` and settled by the documents: what is found there may be more than reads as the key, and is not
//! less where the index was made ready and every writer since keeps its members. A turn asks within its transaction, and
//! turns of all gateways follow one another; so no two of them give a key away. What the library writes at the same time is
//! not seen.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::current::{self, Source};
use crate::store::mongo::Core;
use crate::store::mongo::home::Home;
use crate::store::mongo::object;
use crate::store::mongo::row;
use crate::store::mongo::server::{Find, Trouble, settled};
use crate::store::{PayloadRef, StoreError, readable};
use crate::types::json;
use crate::versions::key::{escaped, float, integer, take};
use crate::versions::{ItemKey, KeyPart, MemberForm, MemberIndex, encode_key};

/// How many keys one query asks for.
const SOME: usize = 200;

/// The live items that hold each of these keys, in order of their ids; nothing for a key that is free.
pub async fn holders(
    core: &Core,
    source: &mut Source<'_, '_>,
    home: &Home,
    index: &MemberIndex,
    keys: &[&ItemKey],
) -> Result<HashMap<ItemKey, Vec<ItemKey>>, Trouble> {
    let mut held: HashMap<ItemKey, Vec<ItemKey>> = HashMap::new();
    for some in keys.chunks(SOME) {
        let find = Find::new(wanted(index, some)?).only(doc! { "_id": 1 }).sort(doc! { "_id": 1 });
        let mut items = Vec::new();
        for bytes in source.find(&home.heads, find).await? {
            items.push(object::key_of(row::Document::new(&home.heads, &bytes)?.id("_id")?));
        }
        for (item, key) in keys_of(core, source, home, index, &items).await? {
            match key {
                Some(key) if some.contains(&&key) => held.entry(key).or_default().push(item),
                Some(_) => {}
                // What cannot be read may be any of them; of one it is certain.
                None => {
                    if let [only] = some {
                        held.entry((*only).clone()).or_default().push(item);
                    }
                }
            }
        }
    }
    Ok(held)
}

/// Live items among these with their keys, in order; `None` for one whose document cannot be read. One without a key is
/// left out.
pub async fn keys_of(
    core: &Core,
    source: &mut Source<'_, '_>,
    home: &Home,
    index: &MemberIndex,
    items: &[ItemKey],
) -> Result<Vec<(ItemKey, Option<ItemKey>)>, Trouble> {
    let found = current::read(core, source, home, items.iter()).await?;
    let live: BTreeMap<ItemKey, PayloadRef> = found
        .into_iter()
        .filter(|(_, current)| current.head.is_live())
        .map(|(item, current)| (item, current.head.payload))
        .collect();
    let refs: Vec<PayloadRef> = live.values().cloned().collect();
    let documents = match &core.payloads {
        Some(payloads) => readable(payloads.as_ref(), &refs).await?,
        None => vec![None; refs.len()],
    };
    let key = |document: Option<Bytes>| match document {
        None => Some(None),
        Some(document) => key_of(index, &document).map(Some),
    };
    Ok(live.into_keys().zip(documents).filter_map(|(item, document)| Some((item, key(document)?))).collect())
}

/// The key of a document; `None` where one of its members is missing or null, or is no value of its column's.
pub fn key_of(index: &MemberIndex, document: &[u8]) -> Option<ItemKey> {
    let document = std::str::from_utf8(document).ok()?;
    let mut key = Vec::new();
    for part in &index.parts {
        let value = part.path.split('.').try_fold(document, |value, name| match json::kind(value) {
            json::Kind::Object => json::member(value, name),
            _ => None,
        });
        let value = value?.trim();
        if value == "null" {
            return None;
        }
        let text;
        let part = match part.form {
            MemberForm::Bool => KeyPart::Bool(value.parse().ok()?),
            MemberForm::Integer => KeyPart::Int(value.parse().ok()?),
            MemberForm::Number => KeyPart::Float(value.parse().ok()?),
            MemberForm::Text => {
                text = json::decode_string(&json::readable(value)).ok()?;
                KeyPart::Text(&text)
            }
            MemberForm::Json => {
                text = normal(value);
                KeyPart::Text(&text)
            }
            MemberForm::AsText => {
                text = json::as_text(&normal(value)).ok()??.into_owned();
                KeyPart::Text(&text)
            }
        };
        key.extend_from_slice(encode_key([part]).as_bytes());
    }
    Some(ItemKey::from_bytes(key))
}

fn normal(value: &str) -> String {
    json::normalise(value).unwrap_or_else(|_| json::readable(value).into_owned())
}

/// Heads that one of these keys may be of. [`StoreError::CatalogConflict`] for keys of a form that the index does not have:
/// they were made under other definitions.
fn wanted(index: &MemberIndex, keys: &[&ItemKey]) -> Result<Document, StoreError> {
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        let mut rest = key.as_bytes();
        let values = index.parts.iter().map(|part| Some((part, values(part.form, &mut rest)?)));
        all.push(values.collect::<Option<Vec<_>>>().ok_or(StoreError::CatalogConflict)?);
    }
    let path = |path: &str| format!("metaIndexed.{path}");
    if let [part] = &index.parts[..] {
        let values: Option<Vec<Vec<Bson>>> = all.iter().flatten().map(|(_, values)| values.clone()).collect();
        return Ok(doc! { path(&part.path): values.map_or(doc! { "$exists": true }, |some| doc! { "$in": some.concat() }) });
    }
    let of_one = |parts: Vec<(&crate::versions::MemberPart, Option<Vec<Bson>>)>| -> Document {
        let conditions = parts.into_iter().map(|(part, values)| {
            (path(&part.path), Bson::Document(values.map_or(doc! { "$exists": true }, |some| doc! { "$in": some })))
        });
        conditions.collect()
    };
    Ok(doc! { "$or": all.into_iter().map(of_one).collect::<Vec<_>>() })
}

/// What a member may be beside a document whose key goes on so, `None` where that cannot be listed. `rest` is left at the
/// next part; nothing for a NULL or a key of another form.
fn values(form: MemberForm, rest: &mut &[u8]) -> Option<Option<Vec<Bson>>> {
    let [0x01] = take::<1>(rest)? else { return None };
    let mut text = || String::from_utf8(escaped(rest)).ok();
    Some(match form {
        MemberForm::Bool => Some(vec![Bson::Boolean(take::<1>(rest)? == [1])]),
        MemberForm::Integer => Some(vec![Bson::Double(integer(rest)? as f64)]),
        MemberForm::Number => Some(vec![Bson::Double(float(rest)?)]),
        MemberForm::Text => of_text(text()?),
        MemberForm::Json => {
            let text = text()?;
            match json::kind(&text) {
                json::Kind::String => of_text(json::decode_string(&text).ok()?),
                json::Kind::Number => text.parse().ok().map(|number| vec![Bson::Double(number)]),
                json::Kind::Bool => Some(vec![Bson::Boolean(text == "true")]),
                json::Kind::Object | json::Kind::Array | json::Kind::Null => None,
            }
        }
        MemberForm::AsText => reads_as(&text()?),
    })
}

/// A string, or the date that it is the text of, as the library's driver stores dates.
fn of_text(text: String) -> Option<Vec<Bson>> {
    // A column of text reads several characters so.
    if text.contains('\u{fffd}') {
        return None;
    }
    let date = DateTime::parse_rfc3339_str(&text).ok().map(Bson::DateTime);
    Some(std::iter::once(Bson::String(text)).chain(date).collect())
}

/// Values whose text, as JSON writes them or without quotes, is this; `None` where they cannot be listed.
pub fn reads_as(text: &str) -> Option<Vec<Bson>> {
    if text.starts_with(['{', '[']) {
        return None;
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Bson::Double);
    let truth = text.parse::<bool>().ok().map(Bson::Boolean);
    Some(of_text(text.to_owned())?.into_iter().chain(number).chain(truth).collect())
}

/// Items that agree in a unique index with others, each with one of those.
pub async fn doubled(core: &Core, home: &Home, index: &MemberIndex) -> Result<Vec<(ItemKey, u64, ItemKey)>, StoreError> {
    let told: Document =
        index.paths().map(|path| (format!("metaIndexed.{path}"), Bson::from(doc! { "$exists": true }))).collect();
    let values: Document =
        (0..).zip(index.paths()).map(|(n, path)| (format!("p{n}"), Bson::from(format!("$metaIndexed.{path}")))).collect();
    let pipeline = vec![
        doc! { "$match": told },
        doc! { "$group": { "_id": values, "items": { "$push": "$_id" }, "count": { "$sum": 1 } } },
        doc! { "$match": { "count": { "$gt": 1 } } },
    ];
    let mut found = Vec::new();
    for bytes in core.server.aggregate(&home.heads, pipeline).await? {
        let group: Document =
            mongodb::bson::deserialize_from_slice(&bytes).map_err(|cause| StoreError::Corrupt(cause.to_string()))?;
        let ids = group.get_array("items").ok().into_iter().flatten().filter_map(Bson::as_object_id);
        let items: Vec<ItemKey> = ids.map(object::key_of).collect();
        found.extend(doubled_among(core, home, index, &items).await?);
    }
    found.sort();
    Ok(found)
}

async fn doubled_among(
    core: &Core,
    home: &Home,
    index: &MemberIndex,
    items: &[ItemKey],
) -> Result<Vec<(ItemKey, u64, ItemKey)>, StoreError> {
    let mut source = Source::Server(&core.server);
    let mut by_key: BTreeMap<ItemKey, Vec<ItemKey>> = BTreeMap::new();
    for (item, key) in keys_of(core, &mut source, home, index, items).await.map_err(settled)? {
        if let Some(key) = key {
            by_key.entry(key).or_default().push(item);
        }
    }
    let numbers: HashMap<ItemKey, u64> = current::read(core, &mut source, home, items.iter())
        .await
        .map_err(settled)?
        .into_iter()
        .map(|(item, current)| (item, current.head.number))
        .collect();
    let mut found = Vec::new();
    for items in by_key.into_values().filter(|items| items.len() > 1) {
        for (at, item) in items.iter().enumerate() {
            let other = items.get(if at == 0 { 1 } else { 0 });
            found.extend(other.map(|other| (item.clone(), numbers.get(item).copied().unwrap_or(0), other.clone())));
        }
    }
    Ok(found)
}

/// The id of an item as text.
pub fn shown(item: &ItemKey) -> String {
    object::id_of(item).map(ObjectId::to_hex).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versions::{IndexId, MemberPart};

    fn index(parts: &[(&str, MemberForm)]) -> MemberIndex {
        let part = |(path, form): &(&str, MemberForm)| MemberPart { path: (*path).to_owned(), form: *form };
        MemberIndex { id: IndexId(1), unique: true, parts: parts.iter().map(part).collect() }
    }

    #[test]
    fn keys_of_documents_are_those_of_their_rows() {
        use MemberForm::{AsText, Bool, Integer, Json, Number, Text};
        let check = |form, document: &str, part: Option<KeyPart<'_>>| {
            let key = key_of(&index(&[("a.b", form)]), format!("{{ \"z\": 1, \"a\": {{ \"b\" : {document} }} }}").as_bytes());
            assert_eq!(key, part.map(|part| encode_key([part])), "{form:?} {document}");
        };
        check(Text, "\"x\\u0000\\ud800\"", Some(KeyPart::Text("x\u{fffd}\u{fffd}")));
        check(Integer, "-7", Some(KeyPart::Int(-7)));
        check(Number, "5", Some(KeyPart::Float(5.0)));
        check(Bool, "true", Some(KeyPart::Bool(true)));
        check(Json, "{\"bb\": 1,\"a\":[ ]}", Some(KeyPart::Text("{\"a\": [], \"bb\": 1}")));
        check(AsText, "\"x\"", Some(KeyPart::Text("x")));
        check(AsText, "1e3", Some(KeyPart::Text("1000")));
        check(AsText, "[1,2]", Some(KeyPart::Text("[1, 2]")));
        check(Text, "null", None);
        check(Integer, "\"7\"", None);
        assert_eq!(key_of(&index(&[("a.b", Text)]), b"{\"a\": [{\"b\": \"x\"}]}"), None);
    }

    #[test]
    fn what_is_asked_for_has_every_value_that_reads_as_the_key() {
        use MemberForm::{AsText, Integer, Json, Text};
        let of = |form, part: KeyPart<'_>| wanted(&index(&[("a", form)]), &[&encode_key([part])]).unwrap();
        let among = |values: Vec<Bson>| doc! { "metaIndexed.a": { "$in": values } };
        assert_eq!(of(Integer, KeyPart::Int(5)), among(vec![Bson::Double(5.0)]));
        assert_eq!(of(Text, KeyPart::Text("x")), among(vec!["x".into()]));
        let date = DateTime::from_millis(1_577_836_800_123);
        assert_eq!(
            of(Text, KeyPart::Text("2020-01-01T00:00:00.123Z")),
            among(vec!["2020-01-01T00:00:00.123Z".into(), date.into()])
        );
        assert_eq!(of(Text, KeyPart::Text("\u{fffd}")), doc! { "metaIndexed.a": { "$exists": true } });
        assert_eq!(of(AsText, KeyPart::Text("5")), among(vec!["5".into(), Bson::Double(5.0)]));
        assert_eq!(of(AsText, KeyPart::Text("true")), among(vec!["true".into(), true.into()]));
        assert_eq!(of(AsText, KeyPart::Text("{}")), doc! { "metaIndexed.a": { "$exists": true } });
        assert_eq!(of(Json, KeyPart::Text("\"5\"")), among(vec!["5".into()]));
        let two = index(&[("a", Text), ("b.c", Integer)]);
        let key = encode_key([KeyPart::Text("x"), KeyPart::Int(2)]);
        let one = doc! { "metaIndexed.a": { "$in": ["x"] }, "metaIndexed.b.c": { "$in": [2.0] } };
        assert_eq!(wanted(&two, &[&key]).unwrap(), doc! { "$or": [one] });
        assert!(wanted(&two, &[&encode_key([KeyPart::Text("x"), KeyPart::Null])]).is_err());
    }
}

//! The library's counters of writes, `cnt_total` in a tenant's analytics database: all of a collection, and those that each
//! of its rules asks for. They change with what they count, in one transaction.

use std::collections::BTreeMap;

use mongodb::bson::{DateTime, RawBsonRef, RawDocument, RawDocumentBuf, cstr, rawdoc};

use super::layout::{Counters, Layout};
use crate::store::StoreError;
use crate::store::chronos::json::{Json, Number, Object};
use crate::store::mongo::home::Home;
use crate::store::mongo::server::Namespace;
use crate::versions::Op;

/// Writes to one collection, by the member that counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, i32>);

impl Counts {
    /// Counts one write of a version with this `metaIndexed`. Restored items are not counted.
    pub fn add(&mut self, layout: &Layout, op: Op, meta: &RawDocument) -> Result<(), StoreError> {
        let (event, member) = match op {
            Op::Create => ("CREATE", "create"),
            Op::Update => ("UPDATE", "update"),
            Op::Delete | Op::Truncate | Op::Erase => ("DELETE", "delete"),
            Op::Restore => return Ok(()),
        };
        *self.0.entry(member.to_owned()).or_default() += 1;
        if layout.rules.is_empty() {
            return Ok(());
        }
        let indexed = object(meta)?;
        for rule in layout.rules.iter().filter(|rule| rule.counts(event, &indexed)) {
            *self.0.entry(format!("rules.{}.{member}", rule.name)).or_default() += 1;
        }
        Ok(())
    }

    /// Where they are kept, and how that document changes, at `now` in milliseconds; `None` when there is nothing to add.
    pub fn change(&self, to: &Counters, home: &Home, now: i64) -> Option<(Namespace, RawDocumentBuf, RawDocumentBuf)> {
        if self.0.is_empty() {
            return None;
        }
        let mut by = RawDocumentBuf::new();
        for (member, count) in &self.0 {
            // Names with a NUL are none of a rule's.
            let Ok(name) = <&mongodb::bson::raw::CStr>::try_from(member.as_str()) else { continue };
            by.append(name, *count);
        }
        let (database, collection) = (home.place.database.as_str(), home.collection.as_str());
        let id = format!("tenant:{}|db:{database}|coll:{collection}", to.tenant);
        let first = rawdoc! {
            "tenant": to.tenant.as_str(), "dbName": database, "collection": collection, "created": 0, "updated": 0, "deleted": 0,
        };
        let mut update = rawdoc! { "$inc": by, "$set": { "lastAt": DateTime::from_millis(now) } };
        update.append(cstr!("$setOnInsert"), first);
        Some((to.namespace(), rawdoc! { "_id": id }, update))
    }
}

impl Counters {
    pub fn namespace(&self) -> Namespace {
        Namespace::new(&self.database, "cnt_total")
    }
}

/// `metaIndexed` as the library's rules see it.
fn object(meta: &RawDocument) -> Result<Object, StoreError> {
    let mut members = Vec::new();
    for member in meta {
        let (name, value) = member.map_err(|cause| StoreError::Corrupt(format!("metaIndexed: {cause}")))?;
        members.push((name.as_str().into(), json(value)?));
    }
    Ok(Object::from_members(members))
}

/// What JSON does not have (dates, NaN) is there and equal to nothing, as it is in the library's rules; so is an array.
fn json(value: RawBsonRef<'_>) -> Result<Json, StoreError> {
    let number = |value: f64| Number::from_f64(value).map_or_else(|| Json::Array(Vec::new()), Json::Number);
    Ok(match value {
        RawBsonRef::Null => Json::Null,
        RawBsonRef::Boolean(value) => Json::Bool(value),
        RawBsonRef::Int32(value) => number(value.into()),
        RawBsonRef::Int64(value) => number(value as f64),
        RawBsonRef::Double(value) => number(value),
        RawBsonRef::String(text) => Json::String(text.into()),
        RawBsonRef::Document(document) => Json::Object(object(document)?),
        RawBsonRef::Array(elements) => {
            let mut all = Vec::new();
            for element in elements {
                all.push(json(element.map_err(|cause| StoreError::Corrupt(format!("metaIndexed: {cause}")))?)?);
            }
            Json::Array(all)
        }
        _ => Json::Array(Vec::new()),
    })
}

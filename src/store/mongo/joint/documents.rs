//! Documents of heads and versions in collections that the library writes too: all it needs, and in `cg` what it cannot say.
//!
//! `cg` has `n`, `t` and `o` as in our own collections; `v`, the `cv` of the write that it is about; and `h`, the home of the
//! database that wrote it. The library keeps members that it does not know when it deletes or restores an item, so a `cg`
//! with another `v` than the document's `cv` says nothing; and to a database with another home, whose commits are numbered
//! otherwise, the library might as well have written it.

use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, RawDocumentBuf, cstr, rawdoc};

use crate::store::chronos::meta::Value;
use crate::store::mongo::row::{self, Head, NewVersion, append_number, stored};
use crate::store::{PayloadRef, StoreError};
use crate::versions::{CommitNo, Context, Op, Timestamp};

/// What of a version is not in the value that all stores have of it.
#[derive(Clone, Debug)]
pub struct Written {
    /// Milliseconds since the epoch: `_system.updatedAt` of the payload.
    pub at: i64,
    pub meta: RawDocumentBuf,
}

/// A version as it is inserted, under an id of its own; `by` is its `cv`, and the home of its database.
pub fn version(
    (own, item): (ObjectId, ObjectId),
    version: &NewVersion,
    written: &Written,
    by: (u64, &str),
    context: &Context,
) -> RawDocumentBuf {
    let mut document = rawdoc! { "_id": own, "itemId": item };
    append_number(&mut document, cstr!("ov"), version.number);
    append_number(&mut document, cstr!("cv"), by.0);
    document.append(cstr!("op"), row::op_name(version.op));
    document.append(cstr!("at"), DateTime::from_millis(written.at));
    for (name, text) in [(cstr!("actor"), &context.actor), (cstr!("reason"), &context.reason)] {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            document.append(name, text);
        }
    }
    append_pointer(&mut document, &version.payload, &written.meta);
    if version.follows && version.op != Op::Create {
        append_number(&mut document, cstr!("prevOv"), version.number.saturating_sub(1));
    }
    document.append(cstr!("cg"), own_part(version.commit, version.time, version.op, by));
    document
}

/// A head as it replaces what there was.
pub fn head(id: ObjectId, head: &Head, created: i64, written: &Written, by: (u64, &str)) -> RawDocumentBuf {
    let mut document = rawdoc! { "_id": id, "itemId": id };
    append_number(&mut document, cstr!("ov"), head.number);
    append_number(&mut document, cstr!("cv"), by.0);
    append_pointer(&mut document, &head.payload, &written.meta);
    document.append(cstr!("createdAt"), DateTime::from_millis(created));
    document.append(cstr!("updatedAt"), DateTime::from_millis(written.at));
    if !head.is_live() {
        document.append(cstr!("deletedAt"), DateTime::from_millis(written.at));
    }
    document.append(cstr!("cg"), own_part(head.changed, head.time, head.op, by));
    document
}

fn own_part(commit: CommitNo, time: Timestamp, op: Op, (cv, home): (u64, &str)) -> RawDocumentBuf {
    let mut cg = rawdoc! { "n": stored(commit.0), "t": time.micros(), "o": i32::from(op as u8) };
    append_number(&mut cg, cstr!("v"), cv);
    cg.append(cstr!("h"), home);
    cg
}

/// Where the payload is and what is indexed of it, in the order that the library writes them in.
fn append_pointer(document: &mut RawDocumentBuf, payload: &PayloadRef, meta: &RawDocumentBuf) {
    let object = match payload {
        PayloadRef::Object { name, size, sha256 } => name.split_once('/').map(|name| (name, *size, *sha256)),
        PayloadRef::Inline(_) => None,
    };
    if let Some(((bucket, key), _, _)) = object {
        document.append(cstr!("jsonBucket"), bucket);
        document.append(cstr!("jsonKey"), key);
    }
    document.append(cstr!("metaIndexed"), meta.clone());
    match object {
        // A pointer of the library's without size and digest.
        Some((_, 0, digest)) if digest == [0; 32] => {
            document.append(cstr!("size"), mongodb::bson::RawBson::Null);
            document.append(cstr!("checksum"), mongodb::bson::RawBson::Null);
        }
        Some((_, size, digest)) => {
            append_number(document, cstr!("size"), size);
            document.append(cstr!("checksum"), row::hex(&digest).as_str());
        }
        None => {}
    }
}

/// `metaIndexed` in BSON.
pub fn meta(members: Vec<(String, Value)>) -> Result<RawDocumentBuf, StoreError> {
    let document = nested(members);
    mongodb::bson::serialize_to_raw_document_buf(&document).map_err(|cause| StoreError::Engine(cause.to_string()))
}

fn nested(members: Vec<(String, Value)>) -> Document {
    members.into_iter().map(|(name, value)| (name, bson(value))).collect()
}

/// A value in BSON.
pub fn bson(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(value),
        Value::Int32(value) => Bson::Int32(value),
        Value::Double(value) => Bson::Double(value),
        Value::String(text) => Bson::String(text),
        Value::Array(elements) => Bson::Array(elements.into_iter().map(bson).collect()),
        Value::Document(members) => Bson::Document(nested(members)),
    }
}

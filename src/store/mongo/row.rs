//! Documents of heads and versions as values, and the other way round.
//!
//! Both have the members of the Chronos layout, and what that cannot say in `cg`:
//!
//! | member | in a head | in a version |
//! |---|---|---|
//! | `k` | the item's key, in hexadecimal: MongoDB orders binary values by length first | the same |
//! | `n`, `t` | commit and time (µs) of the newest change | of the change that this version is |
//! | `o` | its op | its op |
//! | `b`, `c` | the commit that began the newest state, the item's first one | |
//! | `to`, `en`, `eo` | | a state's end: time, commit, op; greatest numbers while it is open |
//! | `p` | the state's bytes, where they are inline | the same |
//!
//! A change that ends an item is a version too, without `to`; its head stays, without bytes.

use bytes::Bytes;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::raw::CStr;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, RawBsonRef, RawDocument, RawDocumentBuf, cstr, rawdoc};

use super::server::{self, Namespace};
use crate::store::{PayloadRef, StoreError, StoredVersion};
use crate::versions::{CommitNo, Context, ItemKey, Op, Period, PeriodEnd, Timestamp, Version, VersionNo};

/// Ends of states that have none.
pub const OPEN: i64 = i64::MAX;

/// An item's newest change.
#[derive(Clone, Debug)]
pub struct Head {
    pub id: ObjectId,
    pub number: u64,
    pub op: Op,
    pub changed: CommitNo,
    pub time: Timestamp,
    /// The commit that began the newest state, whether it has ended or not.
    pub begun: CommitNo,
    /// The commit that brought the item's first state.
    pub first: CommitNo,
    /// What `createdAt` says, in milliseconds.
    pub created_at: i64,
    /// The newest state's payload; empty when it was not asked for.
    pub payload: PayloadRef,
}

impl Head {
    pub fn is_live(&self) -> bool {
        !self.op.ends_item()
    }

    /// The state that it is, as long as it is live.
    pub fn state(&self, key: ItemKey) -> StoredVersion {
        let period = Period { from: self.time, begun: self.changed, end: None };
        let version = Version { number: VersionNo(self.number), op: self.op, period, collection: None };
        StoredVersion { key, version, payload: self.payload.clone() }
    }
}

/// One version to be written.
#[derive(Clone, Debug)]
pub struct NewVersion {
    pub id: ObjectId,
    pub key: ItemKey,
    pub number: u64,
    pub op: Op,
    pub commit: CommitNo,
    pub time: Timestamp,
    pub end: Option<PeriodEnd>,
    /// The state's, or of the state that it ends.
    pub payload: PayloadRef,
    /// Whether the item had a version before.
    pub follows: bool,
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS.get(usize::from(n & 15)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |c: &u8| char::from(*c).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
            _ => None,
        })
        .collect()
}

/// Milliseconds of a time, as documents of the library have it.
pub fn millis(time: Timestamp) -> i64 {
    time.micros().div_euclid(1000)
}

/// A version's op as the library calls it.
pub fn op_name(op: Op) -> &'static str {
    match op {
        Op::Create => "CREATE",
        Op::Update => "UPDATE",
        Op::Restore => "RESTORE",
        Op::Delete | Op::Truncate | Op::Erase => "DELETE",
    }
}

/// A commit number as BSON keeps it.
pub fn stored(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Appends a number as JavaScript would leave it: int32 where that holds it, else double.
pub fn append_number(document: &mut RawDocumentBuf, name: &CStr, n: u64) {
    match i32::try_from(n) {
        Ok(n) => document.append(name, n),
        Err(_) => document.append(name, n as f64),
    }
}

/// Appends where a payload is. Inline bytes go into `cg`.
fn append_payload(document: &mut RawDocumentBuf, cg: &mut RawDocumentBuf, payload: &PayloadRef, inline: bool) {
    match payload {
        PayloadRef::Inline(bytes) if inline => {
            cg.append(cstr!("p"), Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() });
        }
        PayloadRef::Inline(_) => {}
        PayloadRef::Object { name, size, sha256 } => {
            match name.split_once('/') {
                Some((bucket, key)) => {
                    document.append(cstr!("jsonBucket"), bucket);
                    document.append(cstr!("jsonKey"), key);
                }
                None => document.append(cstr!("jsonKey"), name.as_str()),
            }
            append_number(document, cstr!("size"), *size);
            document.append(cstr!("checksum"), hex(sha256).as_str());
        }
    }
}

/// A version as it is inserted, under an id of its own.
pub fn version_document(own: ObjectId, version: &NewVersion, cv: u64, context: &Context) -> RawDocumentBuf {
    let mut cg = rawdoc! {
        "k": hex(version.key.as_bytes()),
        "n": stored(version.commit.0),
        "t": version.time.micros(),
        "o": i32::from(version.op as u8),
    };
    let is_state = !version.op.ends_item();
    if is_state {
        let (to, en, eo) = version.end.map_or((OPEN, OPEN, 0), |e| (e.to.micros(), stored(e.commit.0), i32::from(e.op as u8)));
        cg.append(cstr!("to"), to);
        cg.append(cstr!("en"), en);
        cg.append(cstr!("eo"), eo);
    }
    let mut document = rawdoc! { "_id": own, "itemId": version.id };
    append_number(&mut document, cstr!("ov"), version.number);
    append_number(&mut document, cstr!("cv"), cv);
    document.append(cstr!("op"), op_name(version.op));
    document.append(cstr!("at"), DateTime::from_millis(millis(version.time)));
    for (name, text) in [(cstr!("actor"), &context.actor), (cstr!("reason"), &context.reason)] {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            document.append(name, text);
        }
    }
    append_payload(&mut document, &mut cg, &version.payload, is_state);
    document.append(cstr!("metaIndexed"), RawDocumentBuf::new());
    if version.follows {
        append_number(&mut document, cstr!("prevOv"), version.number.saturating_sub(1));
    }
    document.append(cstr!("cg"), cg);
    document
}

/// A head as it replaces what there was.
pub fn head_document(key: &ItemKey, head: &Head, cv: u64) -> RawDocumentBuf {
    let mut cg = rawdoc! {
        "k": hex(key.as_bytes()),
        "n": stored(head.changed.0),
        "t": head.time.micros(),
        "o": i32::from(head.op as u8),
        "b": stored(head.begun.0),
        "c": stored(head.first.0),
    };
    let mut document = rawdoc! { "_id": head.id, "itemId": head.id };
    append_number(&mut document, cstr!("ov"), head.number);
    append_number(&mut document, cstr!("cv"), cv);
    append_payload(&mut document, &mut cg, &head.payload, head.is_live());
    document.append(cstr!("metaIndexed"), RawDocumentBuf::new());
    document.append(cstr!("createdAt"), DateTime::from_millis(head.created_at));
    document.append(cstr!("updatedAt"), DateTime::from_millis(millis(head.time)));
    if !head.is_live() {
        document.append(cstr!("deletedAt"), DateTime::from_millis(millis(head.time)));
    }
    document.append(cstr!("cg"), cg);
    document
}

/// A document that came from the server, and where from: so that damage can be named.
pub struct Document<'a> {
    pub ns: &'a Namespace,
    pub bytes: &'a Bytes,
    raw: &'a RawDocument,
    /// Of what this is a part, or itself.
    whole: &'a RawDocument,
}

impl<'a> Document<'a> {
    pub fn new(ns: &'a Namespace, bytes: &'a Bytes) -> Result<Self, StoreError> {
        let raw = server::raw(bytes)?;
        Ok(Self { ns, bytes, raw, whole: raw })
    }

    pub fn get(&self, name: &str) -> Option<RawBsonRef<'a>> {
        self.raw.get(name).ok().flatten()
    }

    /// Damage of this document: what of it is not as it must be.
    pub fn corrupt(&self, what: &str) -> StoreError {
        let id = match self.whole.get("_id").ok().flatten() {
            Some(RawBsonRef::ObjectId(id)) => id.to_hex(),
            Some(other) => format!("{other:?}"),
            None => "(none)".to_owned(),
        };
        StoreError::Corrupt(format!("{}: document {id}: unexpected {what}", self.ns))
    }

    pub fn part(&self, name: &str) -> Result<Document<'a>, StoreError> {
        let raw = self.get(name).and_then(RawBsonRef::as_document).ok_or_else(|| self.corrupt(name))?;
        Ok(Document { raw, ..*self })
    }

    /// A whole number of whatever BSON type; `None` where there is none.
    pub fn number_or_none(&self, name: &str) -> Result<Option<i64>, StoreError> {
        match self.get(name) {
            None | Some(RawBsonRef::Null) => Ok(None),
            Some(value) => whole(value).map(Some).ok_or_else(|| self.corrupt(name)),
        }
    }

    pub fn number(&self, name: &str) -> Result<i64, StoreError> {
        self.number_or_none(name)?.ok_or_else(|| self.corrupt(name))
    }

    pub fn counted(&self, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.number(name)?).map_err(|_| self.corrupt(name))
    }

    pub fn commit(&self, name: &str) -> Result<CommitNo, StoreError> {
        self.counted(name).map(CommitNo)
    }

    pub fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        self.number(name).map(Timestamp::from_micros)
    }

    pub fn text(&self, name: &str) -> Result<&'a str, StoreError> {
        self.get(name).and_then(RawBsonRef::as_str).ok_or_else(|| self.corrupt(name))
    }

    pub fn id(&self, name: &str) -> Result<ObjectId, StoreError> {
        self.get(name).and_then(RawBsonRef::as_object_id).ok_or_else(|| self.corrupt(name))
    }

    /// A date, in milliseconds.
    pub fn date(&self, name: &str) -> Result<i64, StoreError> {
        let date = self.get(name).and_then(RawBsonRef::as_datetime).ok_or_else(|| self.corrupt(name))?;
        Ok(date.timestamp_millis())
    }

    pub fn op(&self, name: &str) -> Result<Op, StoreError> {
        let op = u8::try_from(self.number(name)?).ok().and_then(Op::from_u8);
        op.ok_or_else(|| self.corrupt(name))
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let list = self.get(name).and_then(RawBsonRef::as_array).ok_or_else(|| self.corrupt(name))?;
        let text = |value: Result<RawBsonRef<'_>, _>| value.ok().and_then(RawBsonRef::as_str).map(str::to_owned);
        list.into_iter().map(|value| text(value).ok_or_else(|| self.corrupt(name))).collect()
    }

    pub fn deserialize<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        mongodb::bson::deserialize_from_slice(self.raw.as_bytes()).ok()
    }

    pub fn key(&self) -> Result<ItemKey, StoreError> {
        let bytes = unhex(self.text("k")?).ok_or_else(|| self.corrupt("k"))?;
        Ok(ItemKey::from_bytes(bytes))
    }

    /// Where an object that the document points to is; `None` when it points to none.
    pub fn object(&self) -> Result<Option<PayloadRef>, StoreError> {
        let Some(key) = self.get("jsonKey").and_then(RawBsonRef::as_str) else { return Ok(None) };
        let name = match self.get("jsonBucket").and_then(RawBsonRef::as_str) {
            Some(bucket) => format!("{bucket}/{key}"),
            None => key.to_owned(),
        };
        let digest = unhex(self.text("checksum")?).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let sha256 = digest.ok_or_else(|| self.corrupt("checksum"))?;
        Ok(Some(PayloadRef::Object { name, size: self.counted("size")?, sha256 }))
    }

    /// The payload of a state of ours; empty when it was left out of the read.
    fn payload(&self, cg: &Document<'a>) -> Result<PayloadRef, StoreError> {
        match cg.get("p") {
            Some(RawBsonRef::Binary(binary)) => Ok(PayloadRef::Inline(self.bytes.slice_ref(binary.bytes))),
            Some(_) => Err(self.corrupt("p")),
            None => Ok(self.object()?.unwrap_or_else(no_payload)),
        }
    }
}

pub fn whole(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(n) => Some(i64::from(n)),
        RawBsonRef::Int64(n) => Some(n),
        // Beyond 2^53 a double is no number of anything that was counted.
        RawBsonRef::Double(x) if x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0 => Some(x as i64),
        _ => None,
    }
}

/// What a state that was read without its payload carries.
pub fn no_payload() -> PayloadRef {
    PayloadRef::Inline(Bytes::new())
}

/// A head of ours with its key.
pub fn head(ns: &Namespace, bytes: &Bytes) -> Result<(ItemKey, Head), StoreError> {
    let document = Document::new(ns, bytes)?;
    let cg = document.part("cg")?;
    let head = Head {
        id: document.id("_id")?,
        number: document.counted("ov")?,
        op: cg.op("o")?,
        changed: cg.commit("n")?,
        time: cg.time("t")?,
        begun: cg.commit("b")?,
        first: cg.commit("c")?,
        created_at: document.date("createdAt")?,
        payload: document.payload(&cg)?,
    };
    Ok((cg.key()?, head))
}

/// A state of ours; `None` for a version that is none, because it ended the item.
pub fn state(ns: &Namespace, bytes: &Bytes) -> Result<Option<StoredVersion>, StoreError> {
    let document = Document::new(ns, bytes)?;
    let cg = document.part("cg")?;
    let op = cg.op("o")?;
    if op.ends_item() {
        return Ok(None);
    }
    let end = match cg.number("en")? {
        OPEN => None,
        _ => Some(PeriodEnd { to: cg.time("to")?, commit: cg.commit("en")?, op: cg.op("eo")? }),
    };
    let period = Period { from: cg.time("t")?, begun: cg.commit("n")?, end };
    let version = Version { number: VersionNo(document.counted("ov")?), op, period, collection: None };
    Ok(Some(StoredVersion { key: cg.key()?, version, payload: document.payload(&cg)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_keeps_bytes_and_their_order() {
        let keys: [&[u8]; 6] = [&[], &[0], &[0, 0], &[9, 255], &[10], &[255, 0]];
        assert!(keys.map(hex).is_sorted());
        assert!(keys.iter().all(|key| unhex(&hex(key)).as_deref() == Some(*key)));
        assert_eq!(unhex("abc"), None);
        assert_eq!(unhex("zz"), None);
    }

    #[test]
    fn numbers_are_read_whatever_their_type() {
        for (value, expected) in [
            (RawBsonRef::Int32(7), Some(7)),
            (RawBsonRef::Int64(1 << 60), Some(1 << 60)),
            (RawBsonRef::Double(2_147_483_648.0), Some(2_147_483_648)),
            (RawBsonRef::Double(1.5), None),
            (RawBsonRef::Double(f64::NAN), None),
            (RawBsonRef::Double(1e300), None),
            (RawBsonRef::String("7"), None),
        ] {
            assert_eq!(whole(value), expected, "{value:?}");
        }
    }
}

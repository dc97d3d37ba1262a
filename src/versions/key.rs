//! Keys as bytes whose order is the order of the values.
//!
//! Every part is one marker byte (`0x01` a value, `0x02` NULL, which sorts last) and then: integers as eight
//! big-endian bytes with the sign bit flipped; numerics as sixteen; floats likewise with negative ones
//! inverted; booleans as one byte; text and bytes with `0x00` written `0x00 0xff` and ended by `0x00 0x00`.
//! So a prefix of the parts is a prefix of the bytes. Text orders by its UTF-8 bytes (the C collation).

use std::ops::Bound;

use super::ItemKey;

/// One column's value within a key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyPart<'a> {
    Null,
    Bool(bool),
    /// Integers of every width, dates (days), times and timestamps (microseconds).
    Int(i64),
    /// A numeric as its mantissa; all keys of one column share one scale.
    Decimal(i128),
    Float(f64),
    /// Text of every kind, uuid in its canonical lower-case text.
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Appends one part; see the module's rule.
pub fn encode_part(part: &KeyPart<'_>, out: &mut Vec<u8>) {
    if matches!(part, KeyPart::Null) {
        out.push(0x02);
        return;
    }
    out.push(0x01);
    match part {
        KeyPart::Null => {}
        KeyPart::Bool(b) => out.push(u8::from(*b)),
        KeyPart::Int(n) => out.extend_from_slice(&((*n as u64) ^ (1 << 63)).to_be_bytes()),
        KeyPart::Decimal(n) => out.extend_from_slice(&((*n as u128) ^ (1 << 127)).to_be_bytes()),
        KeyPart::Float(x) => {
            // -0 and 0 are one key; NaN is one key and greater than every number, as in PostgreSQL.
            let x = if *x == 0.0 {
                0.0
            } else if x.is_nan() {
                f64::NAN
            } else {
                *x
            };
            let bits = x.to_bits();
            let ordered = if bits >> 63 == 1 { !bits } else { bits ^ (1 << 63) };
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        KeyPart::Text(s) => escape(s.as_bytes(), out),
        KeyPart::Bytes(b) => escape(b, out),
    }
}

/// The key of these parts, in order.
pub fn encode_key<'a>(parts: impl IntoIterator<Item = KeyPart<'a>>) -> ItemKey {
    let mut bytes = Vec::with_capacity(16);
    for part in parts {
        encode_part(&part, &mut bytes);
    }
    ItemKey::from_bytes(bytes)
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for b in bytes {
        out.push(*b);
        if *b == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Which items a read is about. Never loses an item it should name; what else it names is filtered later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFilter {
    All,
    /// These items, sorted and without repeats.
    Points(Vec<ItemKey>),
    /// Items whose key bytes lie between the bounds.
    Range {
        low: Bound<ItemKey>,
        high: Bound<ItemKey>,
    },
}

impl KeyFilter {
    /// Points in the order and uniqueness that the contract asks for.
    pub fn points(mut keys: Vec<ItemKey>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self::Points(keys)
    }

    /// Every key that begins with these bytes.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut above = prefix.to_vec();
        while above.last() == Some(&0xff) {
            above.pop();
        }
        let high = match above.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(ItemKey::from_bytes(above))
            }
            None => Bound::Unbounded,
        };
        Self::Range { low: Bound::Included(ItemKey::from_bytes(prefix)), high }
    }

    pub fn contains(&self, key: &ItemKey) -> bool {
        match self {
            Self::All => true,
            Self::Points(keys) => keys.binary_search(key).is_ok(),
            Self::Range { low, high } => {
                let above = match low {
                    Bound::Included(k) => key >= k,
                    Bound::Excluded(k) => key > k,
                    Bound::Unbounded => true,
                };
                let below = match high {
                    Bound::Included(k) => key <= k,
                    Bound::Excluded(k) => key < k,
                    Bound::Unbounded => true,
                };
                above && below
            }
        }
    }
}

//! Keys as bytes whose order is the order of the values.
//!
//! Every part is one marker byte (`0x01` a value, `0x02` NULL, which sorts last) and then: integers as eight
//! big-endian bytes with the sign bit flipped; numerics as sixteen, and `0x03` with bytes of their own where those do
//! not hold them; floats likewise with negative ones
//! inverted; booleans as one byte; text and bytes with `0x00` written `0x00 0xff` and ended by `0x00 0x00`.
//! So a prefix of the parts is a prefix of the bytes. Text orders by its UTF-8 bytes (the C collation).

use std::borrow::Cow;
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
    /// A numeric that the column's scale cannot hold: the greatest mantissa below it, and bytes that order it among the
    /// values between this one and the next.
    Between(i128, Cow<'a, [u8]>),
    Float(f64),
    /// Text of every kind, uuid in its canonical lower-case text.
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Digits after the point of the mantissas of numerics without precision.
pub const NUMERIC_SCALE: u32 = 10;
/// Follows a mantissa above which the value lies.
pub const BETWEEN: u8 = 0x03;

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
        KeyPart::Between(below, rest) => {
            out.extend_from_slice(&((*below as u128) ^ (1 << 127)).to_be_bytes());
            // Above every marker, so that it comes after the mantissa itself, whatever parts follow that.
            out.push(BETWEEN);
            escape(rest, out);
        }
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

/// The next bytes of an encoded key, which is left at what follows them.
pub fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

/// The integer that an encoded part goes on with after its marker.
pub fn integer(rest: &mut &[u8]) -> Option<i64> {
    take::<8>(rest).map(|bytes| (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64)
}

/// The float likewise.
pub fn float(rest: &mut &[u8]) -> Option<f64> {
    let ordered = take::<8>(rest).map(u64::from_be_bytes)?;
    Some(f64::from_bits(if ordered >> 63 == 1 { ordered ^ (1 << 63) } else { !ordered }))
}

/// Text or bytes up to their end mark.
pub fn escaped(rest: &mut &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((byte, tail)) = rest.split_first() {
        *rest = tail;
        if *byte != 0 {
            out.push(*byte);
            continue;
        }
        let mark = take::<1>(rest);
        if mark != Some([0xff]) {
            break;
        }
        out.push(0);
    }
    out
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

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Value {
        Null,
        Bool(bool),
        Int(i64),
        Decimal(i128),
        Float(f64),
        Text(String),
        Bytes(Vec<u8>),
    }

    impl Value {
        fn part(&self) -> KeyPart<'_> {
            match self {
                Self::Null => KeyPart::Null,
                Self::Bool(b) => KeyPart::Bool(*b),
                Self::Int(n) => KeyPart::Int(*n),
                Self::Decimal(n) => KeyPart::Decimal(*n),
                Self::Float(x) => KeyPart::Float(*x),
                Self::Text(s) => KeyPart::Text(s),
                Self::Bytes(b) => KeyPart::Bytes(b),
            }
        }

        /// PostgreSQL's order within one type: NULL last, NaN above every number, -0 equal to 0.
        fn order(&self, other: &Self) -> Ordering {
            match (self, other) {
                (Self::Null, Self::Null) => Ordering::Equal,
                (Self::Null, _) => Ordering::Greater,
                (_, Self::Null) => Ordering::Less,
                (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
                (Self::Int(a), Self::Int(b)) => a.cmp(b),
                (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
                (Self::Float(a), Self::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
                (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
                (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
                _ => unreachable!("one column has one type"),
            }
        }
    }

    fn column(kind: u8) -> BoxedStrategy<Value> {
        let zeros = || prop::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0..6);
        let value = match kind {
            0 => any::<bool>().prop_map(Value::Bool).boxed(),
            1 => prop_oneof![any::<i64>(), -2_i64..3, Just(i64::MIN)].prop_map(Value::Int).boxed(),
            2 => prop_oneof![any::<i128>(), -2_i128..3].prop_map(Value::Decimal).boxed(),
            3 => prop_oneof![prop::num::f64::ANY, Just(0.0), Just(-0.0), Just(f64::NAN)].prop_map(Value::Float).boxed(),
            4 => "[\\x00ab\u{ff}é]{0,5}".prop_map(Value::Text).boxed(),
            _ => zeros().prop_map(Value::Bytes).boxed(),
        };
        prop_oneof![9 => value, 1 => Just(Value::Null)].boxed()
    }

    /// Two rows of the same one to three columns.
    fn rows() -> impl Strategy<Value = (Vec<Value>, Vec<Value>)> {
        prop::collection::vec(0_u8..6, 1..4).prop_flat_map(|kinds| {
            let row = || kinds.iter().map(|kind| column(*kind)).collect::<Vec<_>>();
            (row(), row())
        })
    }

    fn encoded(row: &[Value]) -> ItemKey {
        encode_key(row.iter().map(Value::part))
    }

    proptest! {
        #[test]
        fn the_order_of_the_bytes_is_the_order_of_the_values((a, b) in rows()) {
            let by_value = a.iter().zip(&b).map(|(a, b)| a.order(b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal);
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), by_value);
        }

        #[test]
        fn leading_columns_are_a_prefix((a, b) in rows(), n in 0_usize..3) {
            let first = encoded(&a[..n.min(a.len())]);
            let filter = KeyFilter::prefix(first.as_bytes());
            prop_assert!(filter.contains(&encoded(&a)));
            prop_assert_eq!(filter.contains(&encoded(&b)), encoded(&b).as_bytes().starts_with(first.as_bytes()));
        }

        #[test]
        fn a_prefix_filter_has_what_begins_with_it(prefix in prop::collection::vec(prop_oneof![Just(0xff_u8), any::<u8>()], 0..4), key in prop::collection::vec(prop_oneof![Just(0xff_u8), any::<u8>()], 0..6)) {
            let begins = key.starts_with(&prefix);
            prop_assert_eq!(KeyFilter::prefix(&prefix).contains(&ItemKey::from_bytes(key)), begins);
        }
    }
}

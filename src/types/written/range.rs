//! Ranges of numbers, days and times: two bounds, each there or not and with its value inside or not.
//!
//! Ranges of whole numbers and days have one form: the lower bound inside, the upper one outside.

use std::cmp::Ordering;

use bytes::{BufMut, BytesMut};

use crate::error::{Result, SqlError, SqlState};
use crate::types::calendar::{write_date, write_timestamp, write_timestamptz};
use crate::types::complaint::{bad_binary, bad_message_length};
use crate::types::numeric::Numeric;
use crate::types::zone::Zone;
use crate::types::{PgType, TypeName, datetime, decode, encode, number};

/// What a range is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subtype {
    Int4,
    Int8,
    Numeric,
    Timestamp,
    Timestamptz,
    Date,
}

/// A value of a range's subtype; days and microseconds as they are stored, the ends of their range the infinities.
#[derive(Clone, Debug)]
pub enum Value {
    Whole(i64),
    Number(Numeric),
}

/// One end of a range that is not empty.
#[derive(Clone, Debug)]
pub struct Bound {
    /// `None`: the range has no end on this side.
    pub value: Option<Value>,
    pub inclusive: bool,
}

/// A range in its canonical form.
#[derive(Clone, Debug)]
pub struct Range {
    pub subtype: Subtype,
    /// `None` for the empty range.
    pub bounds: Option<(Bound, Bound)>,
}

const EMPTY: u8 = 0x01;
const LOWER_INSIDE: u8 = 0x02;
const UPPER_INSIDE: u8 = 0x04;
const NO_LOWER: u8 = 0x08;
const NO_UPPER: u8 = 0x10;

impl Subtype {
    pub const fn ty(self) -> PgType {
        PgType::new(match self {
            Self::Int4 => TypeName::Int4,
            Self::Int8 => TypeName::Int8,
            Self::Numeric => TypeName::Numeric,
            Self::Timestamp => TypeName::Timestamp,
            Self::Timestamptz => TypeName::Timestamptz,
            Self::Date => TypeName::Date,
        })
    }

    fn read(self, text: &str, zone: Zone) -> Result<Value> {
        Ok(match self {
            Self::Int4 => Value::Whole(number::parse_int4(text)?.into()),
            Self::Int8 => Value::Whole(number::parse_int8(text)?),
            Self::Numeric => Value::Number(Numeric::parse(text)?),
            Self::Timestamp => Value::Whole(datetime::parse_timestamp(text)?),
            Self::Timestamptz => Value::Whole(datetime::parse_timestamptz(text, zone)?),
            Self::Date => Value::Whole(datetime::parse_date(text)?.into()),
        })
    }

    /// The next value of a subtype that has one; 22003 and 22008 where it ends.
    fn next(self, value: &Value) -> Result<Option<Value>> {
        let Value::Whole(n) = value else { return Ok(None) };
        let too_large = |name: &str| crate::types::complaint::out_of_range(name);
        match self {
            Self::Int4 if *n >= i64::from(i32::MAX) => Err(too_large("integer")),
            Self::Int8 => n.checked_add(1).map(|n| Some(Value::Whole(n))).ok_or_else(|| too_large("bigint")),
            Self::Date if is_infinite_day(*n) => Ok(None),
            Self::Date => match datetime::in_date_range(n + 1, "") {
                Ok(day) => Ok(Some(Value::Whole(day.into()))),
                Err(_) => Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range")),
            },
            Self::Int4 => Ok(Some(Value::Whole(n + 1))),
            Self::Numeric | Self::Timestamp | Self::Timestamptz => Ok(None),
        }
    }
}

fn is_infinite_day(n: i64) -> bool {
    n == i64::from(i32::MAX) || n == i64::from(i32::MIN)
}

impl Value {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(b),
            _ => self.key().cmp(&other.key()),
        }
    }

    fn key(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Whole(n) => out.extend_from_slice(&((*n as u64) ^ (1 << 63)).to_be_bytes()),
            Self::Number(n) => n.write_key(&mut out),
        }
        out
    }

    /// As the subtype's type prints it.
    pub fn write(&self, subtype: Subtype, zone: Zone) -> String {
        let mut out = String::new();
        match (self, subtype) {
            (Self::Number(n), _) => n.write(&mut out),
            (Self::Whole(n), Subtype::Date) => write_date(&mut out, *n as i32),
            (Self::Whole(n), Subtype::Timestamp) => write_timestamp(&mut out, *n),
            (Self::Whole(n), Subtype::Timestamptz) => write_timestamptz(&mut out, *n, zone),
            (Self::Whole(n), _) => out.push_str(&n.to_string()),
        }
        out
    }
}

impl Bound {
    pub const OPEN: Bound = Bound { value: None, inclusive: false };
}

/// Two bounds of one side by their places; of bounds with one value the upper of two is the one that has it inside,
/// the lower of two likewise the lesser.
fn compare_bounds(a: (&Bound, bool), b: (&Bound, bool)) -> Ordering {
    let ((a, a_lower), (b, b_lower)) = (a, b);
    let end = |lower: bool| if lower { Ordering::Less } else { Ordering::Greater };
    match (&a.value, &b.value) {
        (None, None) if a_lower == b_lower => Ordering::Equal,
        (None, _) => end(a_lower),
        (_, None) => end(b_lower).reverse(),
        (Some(x), Some(y)) => x.compare(y).then_with(|| match (a.inclusive, b.inclusive) {
            (true, true) => Ordering::Equal,
            (false, false) if a_lower == b_lower => Ordering::Equal,
            (false, false) => end(!a_lower),
            // Outside: a lower bound is a little above its value, an upper one a little below.
            (false, true) => end(!a_lower),
            (true, false) => end(b_lower),
        }),
    }
}

fn malformed(text: &str, detail: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("malformed range literal: \"{text}\"")).detail(detail)
}

impl Range {
    pub const fn empty(subtype: Subtype) -> Self {
        Self { subtype, bounds: None }
    }

    /// The range with these bounds in its canonical form. 22000 for a lower bound above the upper one.
    pub fn new(subtype: Subtype, mut lower: Bound, mut upper: Bound) -> Result<Self> {
        for bound in [&mut lower, &mut upper] {
            bound.inclusive &= bound.value.is_some();
        }
        if let (Some(a), Some(b)) = (&lower.value, &upper.value)
            && a.compare(b) == Ordering::Greater
        {
            let message = "range lower bound must be less than or equal to range upper bound";
            return Err(SqlError::new(SqlState::DATA_EXCEPTION, message));
        }
        if is_void(&lower, &upper) {
            return Ok(Self::empty(subtype));
        }
        if !lower.inclusive
            && let Some(next) = lower.value.as_ref().map(|value| subtype.next(value)).transpose()?.flatten()
        {
            lower = Bound { value: Some(next), inclusive: true };
        }
        if upper.inclusive
            && let Some(next) = upper.value.as_ref().map(|value| subtype.next(value)).transpose()?.flatten()
        {
            upper = Bound { value: Some(next), inclusive: false };
        }
        if is_void(&lower, &upper) { Ok(Self::empty(subtype)) } else { Ok(Self { subtype, bounds: Some((lower, upper)) }) }
    }

    /// From `[1,5)`, `empty` and their like.
    pub fn parse(subtype: Subtype, text: &str, zone: Zone) -> Result<Self> {
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("empty") {
            return Ok(Self::empty(subtype));
        }
        if trimmed.len() > 5 && trimmed.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("empty")) {
            return Err(malformed(text, "Junk after \"empty\" key word."));
        }
        let mut rest = trimmed.chars();
        let lower_inside = match rest.next() {
            Some('[') => true,
            Some('(') => false,
            _ => return Err(malformed(text, "Missing left parenthesis or bracket.")),
        };
        let unfinished = || malformed(text, "Unexpected end of input.");
        let (lower, mark) = bound_text(&mut rest).ok_or_else(unfinished)?;
        if mark != ',' {
            return Err(malformed(text, "Missing comma after lower bound."));
        }
        let (upper, mark) = bound_text(&mut rest).ok_or_else(unfinished)?;
        if mark == ',' {
            return Err(malformed(text, "Too many commas."));
        }
        if !rest.as_str().is_empty() {
            return Err(malformed(text, "Junk after right parenthesis or bracket."));
        }
        let value = |text: Option<String>| text.map(|text| subtype.read(&text, zone)).transpose();
        let lower = Bound { value: value(lower)?, inclusive: lower_inside };
        Self::new(subtype, lower, Bound { value: value(upper)?, inclusive: mark == ']' })
    }

    pub fn write(&self, zone: Zone) -> String {
        let Some((lower, upper)) = &self.bounds else { return "empty".to_owned() };
        let mut out = String::from(if lower.inclusive { "[" } else { "(" });
        if let Some(value) = &lower.value {
            write_bound(&mut out, &value.write(self.subtype, zone));
        }
        out.push(',');
        if let Some(value) = &upper.value {
            write_bound(&mut out, &value.write(self.subtype, zone));
        }
        out.push(if upper.inclusive { ']' } else { ')' });
        out
    }

    /// Flags, then length and bytes of each bound that is there.
    pub fn put(&self, out: &mut BytesMut) -> Result<()> {
        let Some((lower, upper)) = &self.bounds else {
            out.put_u8(EMPTY);
            return Ok(());
        };
        let mut flags = 0;
        for (bound, inside, none) in [(lower, LOWER_INSIDE, NO_LOWER), (upper, UPPER_INSIDE, NO_UPPER)] {
            flags |= if bound.inclusive { inside } else { 0 };
            flags |= if bound.value.is_none() { none } else { 0 };
        }
        out.put_u8(flags);
        for value in [lower, upper].into_iter().filter_map(|bound| bound.value.as_ref()) {
            let at = out.len();
            out.put_i32(0);
            match (value, self.subtype) {
                (Value::Number(n), _) => encode::put_any_numeric(out, n),
                (Value::Whole(n), Subtype::Int4) => out.put_i32(*n as i32),
                (Value::Whole(n), Subtype::Date) => out.put_i32(encode::binary_date(*n as i32)),
                (Value::Whole(n), Subtype::Timestamp | Subtype::Timestamptz) => out.put_i64(encode::binary_timestamp(*n)),
                (Value::Whole(n), _) => out.put_i64(*n),
            }
            let len = i32::try_from(out.len() - at - 4).unwrap_or_default();
            out[at..at + 4].copy_from_slice(&len.to_be_bytes());
        }
        Ok(())
    }

    pub fn from_binary(subtype: Subtype, bytes: &[u8]) -> Result<Self> {
        let (flags, mut rest) = bytes.split_first().ok_or_else(bad_message_length)?;
        if flags & EMPTY != 0 {
            return if rest.is_empty() { Ok(Self::empty(subtype)) } else { Err(bad_binary("incorrect binary data format")) };
        }
        let mut bound = |none: u8, inside: u8| -> Result<Bound> {
            if flags & none != 0 {
                return Ok(Bound::OPEN);
            }
            let (len, tail) = rest.split_first_chunk::<4>().ok_or_else(bad_message_length)?;
            let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| bad_message_length())?;
            let (value, tail) = tail.split_at_checked(len).ok_or_else(bad_message_length)?;
            rest = tail;
            Ok(Bound { value: Some(binary_value(subtype, value)?), inclusive: flags & inside != 0 })
        };
        let (lower, upper) = (bound(NO_LOWER, LOWER_INSIDE)?, bound(NO_UPPER, UPPER_INSIDE)?);
        if !rest.is_empty() {
            return Err(bad_binary("incorrect binary data format"));
        }
        Self::new(subtype, lower, upper)
    }

    /// The empty range first, then by lower and by upper bound.
    pub fn push_key(&self, out: &mut Vec<u8>) {
        let Some((lower, upper)) = &self.bounds else {
            out.push(0);
            return;
        };
        out.push(1);
        for (bound, is_lower) in [(lower, true), (upper, false)] {
            match &bound.value {
                None => out.push(if is_lower { 0 } else { 2 }),
                Some(value) => {
                    out.push(1);
                    out.extend_from_slice(&value.key());
                    out.push(u8::from(bound.inclusive != is_lower));
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.bounds.is_none()
    }

    pub fn lower(&self) -> Option<&Bound> {
        self.bounds.as_ref().map(|(lower, _)| lower)
    }

    pub fn upper(&self) -> Option<&Bound> {
        self.bounds.as_ref().map(|(_, upper)| upper)
    }

    pub fn contains(&self, other: &Self) -> bool {
        match (&self.bounds, &other.bounds) {
            (_, None) => true,
            (None, _) => false,
            (Some(a), Some(b)) => {
                compare_bounds((&a.0, true), (&b.0, true)).is_le() && compare_bounds((&a.1, false), (&b.1, false)).is_ge()
            }
        }
    }

    pub fn contains_value(&self, value: &Value) -> bool {
        let point = || Bound { value: Some(value.clone()), inclusive: true };
        self.contains(&Self { subtype: self.subtype, bounds: Some((point(), point())) })
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.bounds, &other.bounds) else { return false };
        compare_bounds((&a.0, true), (&b.1, false)).is_le() && compare_bounds((&b.0, true), (&a.1, false)).is_le()
    }

    /// Strictly left of the other.
    pub fn before(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.bounds, &other.bounds) else { return false };
        compare_bounds((&a.1, false), (&b.0, true)).is_lt()
    }

    /// Ends no later than the other.
    pub fn ends_within(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.bounds, &other.bounds) else { return false };
        compare_bounds((&a.1, false), (&b.1, false)).is_le()
    }

    /// Begins no earlier than the other.
    pub fn begins_within(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.bounds, &other.bounds) else { return false };
        compare_bounds((&a.0, true), (&b.0, true)).is_ge()
    }

    /// Whether nothing lies between the two and they have nothing in common.
    pub fn adjacent(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (&self.bounds, &other.bounds) else { return false };
        touch(&a.1, &b.0) || touch(&b.1, &a.0)
    }

    /// What is in either, and with `strict` nothing else: 22000 where something lies between them.
    pub fn union(&self, other: &Self, strict: bool) -> Result<Self> {
        let (Some(a), Some(b)) = (&self.bounds, &other.bounds) else {
            return Ok(if self.is_empty() { other.clone() } else { self.clone() });
        };
        if strict && !self.overlaps(other) && !self.adjacent(other) {
            let message = "result of range union would not be contiguous";
            return Err(SqlError::new(SqlState::DATA_EXCEPTION, message));
        }
        let lower = if compare_bounds((&a.0, true), (&b.0, true)).is_le() { &a.0 } else { &b.0 };
        let upper = if compare_bounds((&a.1, false), (&b.1, false)).is_ge() { &a.1 } else { &b.1 };
        Self::new(self.subtype, lower.clone(), upper.clone())
    }

    pub fn intersection(&self, other: &Self) -> Result<Self> {
        let (Some(a), Some(b)) = (&self.bounds, &other.bounds) else { return Ok(Self::empty(self.subtype)) };
        if !self.overlaps(other) {
            return Ok(Self::empty(self.subtype));
        }
        let lower = if compare_bounds((&a.0, true), (&b.0, true)).is_ge() { &a.0 } else { &b.0 };
        let upper = if compare_bounds((&a.1, false), (&b.1, false)).is_le() { &a.1 } else { &b.1 };
        Self::new(self.subtype, lower.clone(), upper.clone())
    }

    /// What is in this one only; 22000 where that would be two ranges.
    pub fn difference(&self, other: &Self) -> Result<Self> {
        let (Some(a), Some(b)) = (&self.bounds, &other.bounds) else { return Ok(self.clone()) };
        if !self.overlaps(other) {
            return Ok(self.clone());
        }
        let begins = compare_bounds((&b.0, true), (&a.0, true)).is_le();
        let ends = compare_bounds((&b.1, false), (&a.1, false)).is_ge();
        let turned = |bound: &Bound| Bound { value: bound.value.clone(), inclusive: !bound.inclusive };
        match (begins, ends) {
            (true, true) => Ok(Self::empty(self.subtype)),
            (true, false) => Self::new(self.subtype, turned(&b.1), a.1.clone()),
            (false, true) => Self::new(self.subtype, a.0.clone(), turned(&b.0)),
            (false, false) => Err(SqlError::new(SqlState::DATA_EXCEPTION, "result of range difference would not be contiguous")),
        }
    }
}

/// Whether an upper bound and a lower one have one value, which is in exactly one of their ranges.
fn touch(upper: &Bound, lower: &Bound) -> bool {
    match (&upper.value, &lower.value) {
        (Some(a), Some(b)) => a.compare(b).is_eq() && upper.inclusive != lower.inclusive,
        _ => false,
    }
}

/// Whether nothing lies between the bounds.
fn is_void(lower: &Bound, upper: &Bound) -> bool {
    let (Some(a), Some(b)) = (&lower.value, &upper.value) else { return false };
    match a.compare(b) {
        Ordering::Less => false,
        Ordering::Equal => !(lower.inclusive && upper.inclusive),
        Ordering::Greater => true,
    }
}

fn binary_value(subtype: Subtype, bytes: &[u8]) -> Result<Value> {
    use datafusion::common::ScalarValue;
    Ok(match decode::binary(subtype.ty(), bytes)? {
        ScalarValue::Int32(Some(n)) | ScalarValue::Date32(Some(n)) => Value::Whole(n.into()),
        ScalarValue::Int64(Some(n)) | ScalarValue::TimestampMicrosecond(Some(n), _) => Value::Whole(n),
        ScalarValue::LargeBinary(Some(bytes)) => Value::Number(Numeric::decode(&bytes)),
        _ => return Err(bad_binary("incorrect binary data format")),
    })
}

/// A bound as it was written, `None` for none, and the mark behind it; nothing where the text ends before.
fn bound_text(rest: &mut std::str::Chars<'_>) -> Option<(Option<String>, char)> {
    let (mut out, mut quoted, mut given) = (String::new(), false, false);
    loop {
        match rest.next()? {
            mark @ (',' | ')' | ']') if !quoted => return Some((given.then_some(out), mark)),
            '\\' => out.push(rest.next()?),
            '"' if !quoted => quoted = true,
            '"' if rest.as_str().starts_with('"') => {
                rest.next();
                out.push('"');
            }
            '"' => quoted = false,
            c => out.push(c),
        }
        given = true;
    }
}

fn write_bound(out: &mut String, value: &str) {
    let special = |c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\\' | '(' | ')' | '[' | ']' | ',');
    if !value.is_empty() && !value.contains(special) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('"');
}

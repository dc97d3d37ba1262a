//! Payload bytes to Arrow columns, in one pass over the JSON and without an intermediate value.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, LargeBinaryBuilder, ListArray, NullBufferBuilder,
    StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{FieldRef, IntervalMonthDayNano};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{PayloadError, calendar};
use crate::types::members::Members;
use crate::types::nested::{self, Bounds, Parts};
use crate::types::numeric::Numeric;
use crate::types::{PgType, TypeName, UserType};

/// One column to read from payloads.
#[derive(Clone, Debug, PartialEq)]
pub struct PayloadColumn {
    /// The member's name.
    pub field: String,
    pub ty: PgType,
    /// What an absent member reads as, as the payload would hold it; `None` is NULL.
    pub missing: Option<String>,
}

/// Appends payloads to columns; `finish` gives them, in the order they were asked for.
pub struct PayloadDecoder {
    columns: Vec<Column>,
    rows: usize,
}

struct Column {
    field: String,
    cells: Cells,
    missing: Option<String>,
    /// The row (from 1) that has its value already.
    filled: usize,
}

impl PayloadDecoder {
    pub fn new(columns: &[PayloadColumn]) -> Result<Self, PayloadError> {
        Self::with_room(columns, 0)
    }

    /// With room for so many rows, until `finish` for the first time.
    pub fn with_room(columns: &[PayloadColumn], rows: usize) -> Result<Self, PayloadError> {
        let column = |c: &PayloadColumn| {
            Ok(Column { field: c.field.clone(), cells: Cells::new(c.ty, rows)?, missing: c.missing.clone(), filled: 0 })
        };
        let columns = columns.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Self { columns, rows: 0 })
    }

    /// Rows appended since the last `finish`.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Appends one row. After an error the decoder must not be used any more.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        self.append_lacking(payload, &[])
    }

    /// The same, where absent members of these columns, by position, are NULL whatever they read as elsewhere.
    pub fn append_lacking(&mut self, payload: &[u8], lacking: &[usize]) -> Result<(), PayloadError> {
        self.rows += 1;
        self.read_members(payload)?;
        for (at, column) in self.columns.iter_mut().enumerate().filter(|(_, c)| c.filled != self.rows) {
            column.filled = self.rows;
            match column.missing.as_ref().filter(|_| !lacking.contains(&at)) {
                None => column.cells.append_null(),
                Some(json) => {
                    let mut json = serde_json::Deserializer::from_str(json);
                    CellSeed(&mut column.cells).deserialize(&mut json).map_err(|e| PayloadError::Unreadable(e.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// Fills every column whose member is there; stops at the last of them.
    fn read_members(&mut self, payload: &[u8]) -> Result<(), PayloadError> {
        let malformed = |_| PayloadError::Unreadable("not an object".to_owned());
        let mut members = Members::new(payload).map_err(malformed)?;
        let mut left = self.columns.len();
        // Members mostly come in the order of the columns.
        let mut expected = 0;
        // The member without a name comes first: which json members' `null` is JSON's own.
        let mut json_nulls: Vec<String> = Vec::new();
        while left > 0
            && let Some((name, value)) = members.next_member().map_err(malformed)?
        {
            if name.is_empty() {
                json_nulls = serde_json::from_slice(value).map_err(|e| PayloadError::Unreadable(e.to_string()))?;
            } else if let Some(index) = self.wanted(name, expected)? {
                let column = &mut self.columns[index];
                column.filled = self.rows;
                expected = index + 1;
                left -= 1;
                if let Cells::Json(texts) = &mut column.cells
                    && json_nulls.contains(&column.field)
                {
                    texts.append_value("null");
                    continue;
                }
                let unreadable = |e| PayloadError::Unreadable(format!("member {:?}: {e}", column.field));
                column.cells.append_json(value).map_err(unreadable)?;
            }
        }
        Ok(())
    }

    /// Which column a member belongs to; none for a member nobody asked for, or one given twice.
    fn wanted(&self, name: &[u8], expected: usize) -> Result<Option<usize>, PayloadError> {
        let unescaped: String;
        let name = if name.contains(&b'\\') {
            let quoted = [b"\"", name, b"\""].concat();
            unescaped = serde_json::from_slice(&quoted).map_err(|e| PayloadError::Unreadable(e.to_string()))?;
            unescaped.as_bytes()
        } else {
            name
        };
        let wanted = |column: &Column| column.field.as_bytes() == name && column.filled != self.rows;
        if self.columns.get(expected).is_some_and(wanted) {
            return Ok(Some(expected));
        }
        Ok(self.columns.iter().position(wanted))
    }

    pub fn finish(&mut self) -> Vec<ArrayRef> {
        self.rows = 0;
        self.columns
            .iter_mut()
            .map(|column| {
                column.filled = 0;
                column.cells.finish()
            })
            .collect()
    }
}

/// The values of one column so far.
enum Cells {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float32Builder),
    Float8(Float64Builder),
    Decimal(Decimal128Builder, i8),
    Numeric(LargeBinaryBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    Json(StringBuilder),
    /// Labels, which the payload has under their stored words.
    Labels(StringBuilder, UserType),
    List {
        item: Box<Cells>,
        field: FieldRef,
        ends: Vec<i32>,
        nulls: NullBufferBuilder,
        /// By row, of values that are not plain.
        bounds: Vec<(usize, Bounds)>,
    },
}

/// One statement per kind of builder, the same for all.
macro_rules! with_builder {
    ($cells:expr, $b:ident => $each:expr, $($list:tt)*) => {
        match $cells {
            Cells::Bool($b) => $each,
            Cells::Int2($b) => $each,
            Cells::Int4($b) => $each,
            Cells::Int8($b) => $each,
            Cells::Float4($b) => $each,
            Cells::Float8($b) => $each,
            Cells::Decimal($b, _) => $each,
            Cells::Numeric($b) => $each,
            Cells::Text($b) => $each,
            Cells::Bytes($b) => $each,
            Cells::Date($b) => $each,
            Cells::Time($b) => $each,
            Cells::Timestamp($b) => $each,
            Cells::Interval($b) => $each,
            Cells::Json($b) => $each,
            Cells::Labels($b, _) => $each,
            $($list)*
        }
    };
}

impl Cells {
    fn new(ty: PgType, rows: usize) -> Result<Self, PayloadError> {
        if ty.array {
            let field = Arc::new(ty.element().field("item", true));
            let item = Box::new(Self::new(ty.element(), rows)?);
            return Ok(Self::List { item, field, ends: vec![0], nulls: NullBufferBuilder::new(rows), bounds: Vec::new() });
        }
        Ok(match ty.name {
            TypeName::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            TypeName::Int2 => Self::Int2(Int16Builder::with_capacity(rows)),
            TypeName::Int4 => Self::Int4(Int32Builder::with_capacity(rows)),
            TypeName::Int8
            | TypeName::Oid
            | TypeName::Xid
            | TypeName::Regclass
            | TypeName::Regtype
            | TypeName::Regproc
            | TypeName::Regprocedure
            | TypeName::Regoper
            | TypeName::Regoperator
            | TypeName::Regnamespace
            | TypeName::Regrole => Self::Int8(Int64Builder::with_capacity(rows)),
            TypeName::Float4 => Self::Float4(Float32Builder::with_capacity(rows)),
            TypeName::Float8 => Self::Float8(Float64Builder::with_capacity(rows)),
            TypeName::Numeric => {
                let Some((precision, scale)) = ty.numeric_precision() else {
                    return Ok(Self::Numeric(LargeBinaryBuilder::with_capacity(rows, rows * 8)));
                };
                let builder = Decimal128Builder::with_capacity(rows)
                    .with_precision_and_scale(precision, scale)
                    .map_err(|_| PayloadError::Unstorable(ty.sql_name()))?;
                Self::Decimal(builder, scale)
            }
            TypeName::Text
            | TypeName::Varchar
            | TypeName::Bpchar
            | TypeName::Name
            | TypeName::Char
            | TypeName::Uuid
            | TypeName::Aclitem
            | TypeName::NodeTree
            | TypeName::Written(_)
            | TypeName::Unknown => Self::Text(StringBuilder::with_capacity(rows, 16 * rows)),
            TypeName::Enum(user) if user.has_renamed() => Self::Labels(StringBuilder::with_capacity(rows, 16 * rows), user),
            TypeName::Enum(_) => Self::Text(StringBuilder::with_capacity(rows, 16 * rows)),
            TypeName::Json | TypeName::Jsonb => Self::Json(StringBuilder::with_capacity(rows, 16 * rows)),
            TypeName::Bytea => Self::Bytes(BinaryBuilder::with_capacity(rows, 16 * rows)),
            TypeName::Date => Self::Date(Date32Builder::with_capacity(rows)),
            TypeName::Time => Self::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            TypeName::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
            TypeName::Timestamptz => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")),
            TypeName::Interval => Self::Interval(IntervalMonthDayNanoBuilder::with_capacity(rows)),
            TypeName::Composite(_) | TypeName::Record | TypeName::Void | TypeName::Int2vector | TypeName::Oidvector => {
                return Err(PayloadError::Unstorable(ty.sql_name()));
            }
        })
    }

    fn append_null(&mut self) {
        with_builder!(self, b => b.append_null(), Cells::List { ends, nulls, .. } => {
            ends.push(ends.last().copied().unwrap_or(0));
            nulls.append_null();
        });
    }

    fn finish(&mut self) -> ArrayRef {
        with_builder!(self, b => Arc::new(b.finish()), Cells::List { item, field, ends, nulls, bounds } => {
            let ends = std::mem::replace(ends, vec![0]);
            let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
            let rows = offsets.len() - 1;
            let lists = ListArray::new(field.clone(), offsets, item.finish(), nulls.finish());
            put_together(lists, std::mem::take(bounds), rows)
        })
    }

    /// Appends a value as it stands in the payload.
    fn append_json(&mut self, value: &[u8]) -> Result<(), serde_json::Error> {
        if !self.append_plain(value) {
            let mut json = serde_json::Deserializer::from_slice(value);
            CellSeed(self).deserialize(&mut json)?;
            json.end()?;
        }
        Ok(())
    }

    /// Appends a plain number, a string without escapes or a null; `false`, and nothing appended, for all else and
    /// for what does not fit.
    fn append_plain(&mut self, value: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(value) else { return false };
        match (&mut *self, value) {
            (Self::List { .. } | Self::Json(_), _) => false,
            (_, b"null") => {
                self.append_null();
                true
            }
            (_, [b'"', inner @ .., b'"']) if !inner.iter().any(|b| *b == b'\\' || *b < b' ') => {
                self.append_text(&text[1..text.len() - 1])
            }
            (Self::Int2(_) | Self::Int4(_) | Self::Int8(_), [b'0'..=b'9' | b'-', ..]) => {
                text.parse().is_ok_and(|n| self.append_integer(n))
            }
            (Self::Float4(_) | Self::Float8(_) | Self::Decimal(..) | Self::Numeric(_), [b'0'..=b'9' | b'-', ..]) => {
                self.append_number(text)
            }
            _ => false,
        }
    }

    /// Appends a number as it stands in the JSON text.
    fn append_number(&mut self, text: &str) -> bool {
        match self {
            Self::Float4(b) => text.parse().map(|x| b.append_value(x)).is_ok(),
            Self::Float8(b) => text.parse().map(|x| b.append_value(x)).is_ok(),
            Self::Decimal(b, scale) => decimal(text, *scale).map(|n| b.append_value(n)).is_some(),
            Self::Numeric(b) => Numeric::parse(text).map(|n| b.append_value(n.to_bytes())).is_ok(),
            _ => false,
        }
    }

    fn append_integer(&mut self, n: i64) -> bool {
        match self {
            Self::Int2(b) => i16::try_from(n).map(|n| b.append_value(n)).is_ok(),
            Self::Int4(b) => i32::try_from(n).map(|n| b.append_value(n)).is_ok(),
            Self::Int8(b) => {
                b.append_value(n);
                true
            }
            Self::Text(b) => {
                b.append_value(n.to_string());
                true
            }
            _ => false,
        }
    }

    fn append_text(&mut self, text: &str) -> bool {
        match self {
            Self::Text(b) => {
                b.append_value(text);
                true
            }
            Self::Labels(b, user) => {
                b.append_value(user.label_of(text));
                true
            }
            Self::Date(b) => calendar::read_date(text).map(|d| b.append_value(d)).is_some(),
            Self::Time(b) => calendar::read_time(text).map(|t| b.append_value(t)).is_some(),
            Self::Timestamp(b) => calendar::read_timestamp(text).map(|t| b.append_value(t)).is_some(),
            Self::Interval(b) => calendar::read_interval(text)
                .map(|(months, days, nanos)| b.append_value(IntervalMonthDayNano::new(months, days, nanos)))
                .is_some(),
            Self::Bytes(b) => bytes(text).map(|bytes| b.append_value(bytes)).is_some(),
            // A column that was text before it became a number or a boolean.
            Self::Bool(b) => text.parse().map(|x| b.append_value(x)).is_ok(),
            Self::Int2(_) | Self::Int4(_) | Self::Int8(_) => text.parse().is_ok_and(|n| self.append_integer(n)),
            Self::Float4(_) | Self::Float8(_) | Self::Decimal(..) | Self::Numeric(_) => self.append_number(text),
            Self::Json(_) | Self::List { .. } => false,
        }
    }
}

/// Arrays of these lists. Bounds that were read with as many items as they have room for always fit.
fn put_together(lists: ListArray, bounds: Vec<(usize, Bounds)>, rows: usize) -> ArrayRef {
    let arrow = nested::carried(Array::data_type(&lists));
    let bounds = (!bounds.is_empty()).then(|| {
        let mut all = vec![None; rows];
        for (row, own) in bounds {
            all[row] = Some(own);
        }
        all
    });
    Parts { lists, bounds }.put_together().unwrap_or_else(|_| new_null_array(&arrow, rows))
}

/// The mantissa of a JSON number at this scale, rounded half away from zero where it has more digits.
pub(super) fn decimal(text: &str, scale: i8) -> Option<i128> {
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut mantissa: i128 = 0;
    for b in whole.bytes().chain(fraction.bytes()) {
        if !b.is_ascii_digit() {
            return None;
        }
        mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(b - b'0'))?;
    }
    let shift = i32::from(scale) + exponent - i32::try_from(fraction.len()).ok()?;
    let mantissa = if shift >= 0 {
        mantissa.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?
    } else {
        match 10_i128.checked_pow(shift.unsigned_abs()) {
            Some(unit) => mantissa / unit + i128::from(mantissa % unit >= unit / 2),
            None => 0,
        }
    };
    Some(if negative { -mantissa } else { mantissa })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let hex = text.strip_prefix("\\x")?.as_bytes();
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let (pairs, rest) = hex.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8)).collect()
}

struct CellSeed<'a>(&'a mut Cells);

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            // The digits as written count, which a parsed number has lost.
            Cells::Float4(_) | Cells::Float8(_) | Cells::Decimal(..) | Cells::Numeric(_) => self.raw_number(deserializer),
            Cells::Json(b) => {
                let raw: &RawValue = de::Deserialize::deserialize(deserializer)?;
                match raw.get() {
                    "null" => b.append_null(),
                    json => b.append_value(json),
                }
                Ok(())
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl CellSeed<'_> {
    fn raw_number<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let raw: &RawValue = de::Deserialize::deserialize(deserializer)?;
        let text: Cow<'_, str> = match raw.get() {
            "null" => {
                self.0.append_null();
                return Ok(());
            }
            // NaN and the infinities, or a column that was text.
            quoted if quoted.starts_with('"') => serde_json::from_str(quoted).map_err(de::Error::custom)?,
            number => number.into(),
        };
        if self.0.append_number(&text) { Ok(()) } else { Err(de::Error::custom("not a number of the column's type")) }
    }
}

impl<'de> Visitor<'de> for CellSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the column's type")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        match self.0 {
            Cells::Bool(b) => b.append_value(value),
            Cells::Text(b) => b.append_value(if value { "true" } else { "false" }),
            _ => return Err(de::Error::invalid_type(de::Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        if self.0.append_integer(value) { Ok(()) } else { Err(de::Error::custom("number out of the column's range")) }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        let value = i64::try_from(value).map_err(|_| de::Error::custom("number out of the column's range"))?;
        self.visit_i64(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        // A column that was a fraction before it became an integer or text.
        if let Cells::Text(b) = self.0 {
            b.append_value(value.to_string());
            return Ok(());
        }
        let rounded = value.round_ties_even();
        if rounded.abs() < 9.2e18 && self.0.append_integer(rounded as i64) {
            return Ok(());
        }
        Err(de::Error::custom("number out of the column's range"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        if self.0.append_text(value) { Ok(()) } else { Err(de::Error::custom("text that the column's type does not read")) }
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.0.append_null();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Cells::List { item, ends, nulls, .. } = self.0 else {
            return Err(de::Error::invalid_type(de::Unexpected::Seq, &self));
        };
        let mut end = ends.last().copied().unwrap_or(0);
        while seq.next_element_seed(CellSeed(item))?.is_some() {
            end = end.checked_add(1).ok_or_else(|| de::Error::custom("too many array elements in one batch"))?;
        }
        ends.push(end);
        nulls.append_non_null();
        Ok(())
    }

    /// An array that is not plain: its bounds and then its items.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if !matches!(self.0, Cells::List { .. }) {
            return Err(de::Error::invalid_type(de::Unexpected::Map, &self));
        }
        let shape = || de::Error::custom("an array without its bounds");
        if map.next_key::<Cow<'_, str>>()?.as_deref() != Some("bounds") {
            return Err(shape());
        }
        let own: Bounds = map.next_value()?;
        if map.next_key::<Cow<'_, str>>()?.as_deref() != Some("items") {
            return Err(shape());
        }
        map.next_value_seed(CellSeed(self.0))?;
        let Cells::List { ends, bounds, .. } = self.0 else { return Err(shape()) };
        let row = ends.len() - 2;
        let length = usize::try_from(ends[row + 1] - ends[row]).unwrap_or_default();
        if nested::items_within(&own).ok() != Some(length) || map.next_key::<de::IgnoredAny>()?.is_some() {
            return Err(shape());
        }
        bounds.push((row, own));
        Ok(())
    }
}

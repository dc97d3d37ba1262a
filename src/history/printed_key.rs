//! A key's bytes back as the text that PostgreSQL shows of it: `(id)=(1)`.
//!
//! For messages only: values that are compared or returned are read from payloads.

use chrono::{DateTime, Days, NaiveDate, NaiveTime};

use super::{ColumnDef, ColumnId, ForeignKeyDef, TableDef};
use crate::types::numeric::Numeric;
use crate::types::{PgType, TypeName};
use crate::versions::ItemKey;
use crate::versions::key::{BETWEEN, NUMERIC_SCALE, escaped, float, integer, take};

/// `(a, b)=(1, x)`. Parts that cannot be read, because the key was made under other types, show as `?`.
pub(super) fn print(columns: &[&ColumnDef], key: &ItemKey) -> String {
    let mut rest = key.as_bytes();
    let values: Vec<String> = columns.iter().map(|c| value(c.ty, &mut rest).unwrap_or_else(|| "?".to_owned())).collect();
    let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}

/// A foreign key's entry as PostgreSQL shows it: the columns in the order they were written, those of the other
/// table where `referenced`.
pub fn print_reference(key: &ForeignKeyDef, child: &TableDef, parent: &TableDef, referenced: bool, entry: &ItemKey) -> String {
    let mut rest = entry.as_bytes();
    let values: Vec<(ColumnId, String)> = key
        .entry
        .iter()
        .map(|id| (*id, child.column_by_id(*id).and_then(|c| value(c.ty, &mut rest)).unwrap_or_else(|| "?".to_owned())))
        .collect();
    let name = |table: &TableDef, id: &ColumnId| table.column_by_id(*id).map(|c| c.name.clone()).unwrap_or_default();
    let names: Vec<String> = match referenced {
        true => key.referenced.iter().map(|id| name(parent, id)).collect(),
        false => key.columns.iter().map(|id| name(child, id)).collect(),
    };
    let shown = key.columns.iter().filter_map(|id| values.iter().find(|(of, _)| of == id)).map(|(_, text)| text.as_str());
    format!("({})=({})", names.join(", "), shown.collect::<Vec<_>>().join(", "))
}

/// The first value of `rest`, which is left at the next one.
fn value(ty: PgType, rest: &mut &[u8]) -> Option<String> {
    let (marker, bytes) = rest.split_first()?;
    *rest = bytes;
    if *marker == 0x02 {
        return Some("null".to_owned());
    }
    if ty.array {
        return Some(String::from_utf8_lossy(&escaped(rest)).into_owned());
    }
    match ty.name {
        TypeName::Bool => take::<1>(rest).map(|[b]| if b == 0 { "f" } else { "t" }.to_owned()),
        TypeName::Int2
        | TypeName::Int4
        | TypeName::Int8
        | TypeName::Oid
        | TypeName::Xid
        | TypeName::Regclass
        | TypeName::Regtype
        | TypeName::Regproc
        | TypeName::Regprocedure
        | TypeName::Regoper
        | TypeName::Regoperator
        | TypeName::Regnamespace
        | TypeName::Regrole => integer(rest).map(|n| n.to_string()),
        TypeName::Float4 | TypeName::Float8 => float(rest).map(|x| x.to_string()),
        TypeName::Numeric => numeric(ty, rest),
        TypeName::Date => date(integer(rest)?),
        TypeName::Time => time(integer(rest)?),
        TypeName::Timestamp => instant(integer(rest)?),
        TypeName::Timestamptz => instant(integer(rest)?).map(|text| text + "+00"),
        TypeName::Bytea => Some(hex(&escaped(rest))),
        TypeName::Enum(user) => {
            let stored = String::from_utf8_lossy(&escaped(rest)).into_owned();
            Some(user.label_of(&stored).to_owned())
        }
        TypeName::Text
        | TypeName::Varchar
        | TypeName::Bpchar
        | TypeName::Name
        | TypeName::Char
        | TypeName::Interval
        | TypeName::Uuid
        | TypeName::Written(_)
        | TypeName::Json
        | TypeName::Jsonb
        | TypeName::Int2vector
        | TypeName::Oidvector
        | TypeName::Aclitem
        | TypeName::NodeTree
        | TypeName::Composite(_)
        | TypeName::Record
        | TypeName::Void
        | TypeName::Unknown => Some(String::from_utf8_lossy(&escaped(rest)).into_owned()),
    }
}

/// The value; without zeros at its end where its type does not say how many digits it shows.
fn numeric(ty: PgType, rest: &mut &[u8]) -> Option<String> {
    let mantissa = (u128::from_be_bytes(take::<16>(rest)?) ^ (1 << 127)) as i128;
    if let Some((_, scale)) = ty.numeric_precision() {
        return Some(Numeric::of_i128(mantissa, scale.unsigned_abs().into()).to_string());
    }
    let value = match rest.split_first() {
        Some((&BETWEEN, tail)) => {
            *rest = tail;
            Numeric::of_key(&escaped(rest))?
        }
        _ => Numeric::of_i128(mantissa, NUMERIC_SCALE).trim_scale().ok()?,
    };
    Some(value.to_string())
}

fn date(days: i64) -> Option<String> {
    let step = Days::new(days.unsigned_abs());
    let day = if days < 0 { NaiveDate::default().checked_sub_days(step) } else { NaiveDate::default().checked_add_days(step) };
    day.map(|day| day.to_string())
}

fn time(micros: i64) -> Option<String> {
    let seconds = u32::try_from(micros.div_euclid(1_000_000)).ok()?;
    let nanos = u32::try_from(micros.rem_euclid(1_000_000)).ok()? * 1000;
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
    Some(without_zeros(time.format("%H:%M:%S%.6f").to_string()))
}

fn instant(micros: i64) -> Option<String> {
    let instant = DateTime::from_timestamp_micros(micros)?;
    Some(without_zeros(instant.format("%Y-%m-%d %H:%M:%S%.6f").to_string()))
}

/// Without the zeros that end a fraction of a second.
fn without_zeros(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::super::ColumnId;
    use super::*;
    use crate::versions::{KeyPart, encode_key};

    fn check(ty: PgType, part: KeyPart<'_>, expected: &str) {
        let column = |n: u16, name: &str, ty| ColumnDef::plain(ColumnId(n), name, ty);
        let (first, second) = (column(1, "a", ty), column(2, "b", PgType::INT4));
        let key = encode_key([part, KeyPart::Int(-5)]);
        assert_eq!(print(&[&first, &second], &key), format!("(a, b)=({expected}, -5)"));
    }

    #[test]
    fn values_print_as_postgresql_shows_them() {
        let plain = PgType::new;
        check(PgType::INT8, KeyPart::Int(i64::MIN), "-9223372036854775808");
        check(PgType::TEXT, KeyPart::Text("x\0y, z"), "x\0y, z");
        check(PgType::TEXT, KeyPart::Null, "null");
        check(PgType::BOOL, KeyPart::Bool(true), "t");
        check(plain(TypeName::Float8), KeyPart::Float(-1.5), "-1.5");
        check(plain(TypeName::Numeric).with_modifier(((10 << 16) | 2) + 4), KeyPart::Decimal(-5), "-0.05");
        check(plain(TypeName::Numeric), KeyPart::Decimal(123_000_000_000), "12.3");
        check(plain(TypeName::Numeric), KeyPart::Decimal(10_000_000_000), "1");
        let mut tail = Vec::new();
        Numeric::parse("0.000000000012").unwrap().write_key(&mut tail);
        check(plain(TypeName::Numeric), KeyPart::Between(0, tail.into()), "0.000000000012");
        check(plain(TypeName::Date), KeyPart::Int(-1), "1969-12-31");
        check(plain(TypeName::Time), KeyPart::Int(3_600_000_001), "01:00:00.000001");
        check(plain(TypeName::Timestamp), KeyPart::Int(500_000), "1970-01-01 00:00:00.5");
        check(PgType::TIMESTAMPTZ, KeyPart::Int(-1_000_000), "1969-12-31 23:59:59+00");
        check(plain(TypeName::Bytea), KeyPart::Bytes(&[0, 255]), "\\x00ff");
    }
}

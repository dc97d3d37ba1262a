//! Rows that were written, as the documents that they become: whatever another program put there stays as it is spelt,
//! but for the members that have another value now.
//!
//! Pure. The library reads numbers as doubles: one that a double does not give back is refused, never rounded.

use bytes::Bytes;

use super::TableDef;
use super::documents::jsonb;
use super::shapes::{DOCUMENT_ID, Shape, member_name};
use crate::error::{Diagnose, SqlError, SqlState};
use crate::store::chronos::json::is_double;
use crate::types::members::Members;
use crate::types::{PgType, json};

/// Why a row cannot be a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    #[error("number {digits} in column \"{column}\" cannot be kept exactly by a document")]
    Inexact { column: String, digits: String },
    #[error("value {value} in column \"{column}\" cannot be kept by a document")]
    NotFinite { column: String, value: String },
    /// In a document there is but one null.
    #[error("JSON null in column \"{column}\" cannot be kept by a document")]
    JsonNull { column: String },
    /// The document that was there, or the row, is no JSON object.
    #[error("a document that is to be changed cannot be read")]
    Malformed,
    /// The document that was there has a value that its column does not hold.
    #[error("a document that is to be changed has another value in \"{field}\" than its column holds")]
    Surprise { field: String, shape: Shape },
}

impl Diagnose for Unwritable {
    fn diagnose(&self) -> SqlError {
        let out_of_range = || SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, self.to_string());
        match self {
            Self::Inexact { .. } => out_of_range()
                .hint("Documents hold numbers in double precision: whole ones up to 9007199254740992. Write it as text."),
            Self::NotFinite { .. } => out_of_range().hint("JSON has no such number. Write NULL."),
            Self::JsonNull { .. } => SqlError::unsupported(self.to_string(), "It would read as NULL. Write NULL."),
            Self::Malformed => SqlError::new(SqlState::DATA_CORRUPTED, self.to_string()),
            Self::Surprise { .. } => SqlError::new(SqlState::SERIALIZATION_FAILURE, self.to_string()).hint("Run it again."),
        }
    }
}

/// The document of a row in the payload's form, compact. Members of `old` stay where they are, those that no column is for
/// among them; new ones follow in the order of the columns. A column whose member the row lacks is left out, one that
/// is `null` there becomes `null`; a value that `old` has already keeps its spelling.
pub fn document_of(table: &TableDef, old: Option<&[u8]>, row: &[u8]) -> Result<Bytes, Unwritable> {
    let mut given = members_of(table, row)?;
    let mut out = Writer::with_room(row.len() + old.map_or(0, <[u8]>::len));
    let mut seen = vec![false; table.columns.len()];
    if let Some(old) = old {
        let mut members = Members::new(old).map_err(|_| Unwritable::Malformed)?;
        while let Some((name, value)) = members.next_member().map_err(|_| Unwritable::Malformed)? {
            let Some((at, column)) = position(table, name).and_then(|at| Some((at, table.columns.get(at)?))) else {
                out.member(name, |out| compact(value, out));
                continue;
            };
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let new = given[at].take().unwrap_or(&b"null"[..]);
            let shape = Shape::of(value);
            if !shape.fits(column.ty) {
                return Err(Unwritable::Surprise { field: column.field.clone(), shape });
            }
            match is_same(column.ty, shape, value, new) {
                true => out.member(name, |out| compact(value, out)),
                false => {
                    check(&column.name, column.ty, new)?;
                    out.member(name, |out| compact(new, out));
                }
            }
        }
    }
    for (column, value) in table.columns.iter().zip(given) {
        let Some(value) = value else { continue };
        check(&column.name, column.ty, value)?;
        let mut quoted = String::new();
        json::write_string(&mut quoted, &column.field);
        let name = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        out.member(name.as_bytes(), |out| compact(value, out));
    }
    Ok(out.finish())
}

/// Whether a document can keep the row's values of these columns, by position.
pub fn check_row(table: &TableDef, row: &[u8], columns: impl Fn(usize) -> bool) -> Result<(), Unwritable> {
    for (at, (column, value)) in table.columns.iter().zip(members_of(table, row)?).enumerate() {
        if let Some(value) = value.filter(|_| columns(at)) {
            check(&column.name, column.ty, value)?;
        }
    }
    Ok(())
}

/// The row's values by the place of their column; the document's name is not among them.
fn members_of<'a>(table: &TableDef, row: &'a [u8]) -> Result<Vec<Option<&'a [u8]>>, Unwritable> {
    let mut values = vec![None; table.columns.len()];
    let mut members = Members::new(row).map_err(|_| Unwritable::Malformed)?;
    while let Some((name, value)) = members.next_member().map_err(|_| Unwritable::Malformed)? {
        if name.is_empty() {
            let fields: Vec<String> = serde_json::from_slice(value).map_err(|_| Unwritable::Malformed)?;
            let field = fields.into_iter().next().unwrap_or_default();
            let column = table.columns.iter().find(|column| column.field == field);
            return Err(Unwritable::JsonNull { column: column.map_or(field, |column| column.name.clone()) });
        }
        if let Some(place) = position(table, name).and_then(|at| values.get_mut(at)) {
            *place = Some(value);
        }
    }
    Ok(values)
}

/// The column that a member is for, given what stands between the quotes of its name.
fn position(table: &TableDef, name: &[u8]) -> Option<usize> {
    let field = member_name(name).filter(|field| *field != DOCUMENT_ID)?;
    table.columns.iter().position(|column| !column.dropped && column.field == field)
}

/// Whether a document's value reads as the row's.
fn is_same(ty: PgType, shape: Shape, old: &[u8], new: &[u8]) -> bool {
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else { return false };
    let text = |json: &str| serde_json::from_str::<String>(json).ok();
    match shape {
        Shape::Null => new == "null",
        _ if ty == PgType::JSONB => jsonb(old) == new,
        Shape::Bool => old == new,
        Shape::Integer | Shape::Number if ty == PgType::INT8 => old.parse::<i64>() == new.parse::<i64>(),
        Shape::Integer | Shape::Number => matches!((old.parse::<f64>(), new.parse::<f64>()), (Ok(a), Ok(b)) if a == b),
        Shape::Text => matches!((text(&json::readable(old)), text(new)), (Some(a), Some(b)) if a == b),
        Shape::Nested => false,
    }
}

/// A value of a row must be one that a document can keep.
fn check(column: &str, ty: PgType, value: &[u8]) -> Result<(), Unwritable> {
    if Shape::of(value) == Shape::Text && matches!(ty, PgType::FLOAT8 | PgType::INT8) {
        let value = String::from_utf8_lossy(value).trim_matches('"').to_owned();
        return Err(Unwritable::NotFinite { column: column.to_owned(), value });
    }
    match tokens(value).find(|token| is_number(token) && !std::str::from_utf8(token).is_ok_and(is_double)) {
        None => Ok(()),
        Some(digits) => {
            let digits = String::from_utf8_lossy(digits).into_owned();
            Err(Unwritable::Inexact { column: column.to_owned(), digits })
        }
    }
}

fn is_number(token: &[u8]) -> bool {
    token.first().is_some_and(|b| *b == b'-' || b.is_ascii_digit())
}

/// Without the white space between its parts.
fn compact(value: &[u8], out: &mut Vec<u8>) {
    tokens(value).for_each(|token| out.extend_from_slice(token));
}

/// The parts of valid JSON: strings with their quotes, words and numbers, single signs.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        let length = match rest.first()? {
            b'"' => string_length(rest),
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            _ => rest.iter().position(|b| b"{}[],:\" \t\r\n".contains(b)).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        Some(token)
    })
}

/// Of the string that these bytes begin with, its quotes counted.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Puts an object together, member by member.
struct Writer(Vec<u8>);

impl Writer {
    fn with_room(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes + 2);
        out.push(b'{');
        Self(out)
    }

    /// `name` is what stands between its quotes.
    fn member(&mut self, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(b"\":");
        value(&mut self.0);
    }

    fn finish(mut self) -> Bytes {
        self.0.push(b'}');
        Bytes::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::shapes::Shapes;
    use crate::history::{CollectionDef, ColumnDef, ColumnId, Identification};
    use crate::types::Qualified;
    use crate::versions::{ItemKey, KeyPart, TableId, encode_key};

    fn table(columns: &[(&str, PgType)]) -> TableDef {
        let collection =
            CollectionDef { place: "public".into(), name: "c".into(), identity: Identification::ObjectId, indexes: vec![] };
        let mut all = Shapes::default().columns();
        all.extend(columns.iter().zip(2..).map(|((name, ty), id)| ColumnDef::plain(ColumnId(id), name, *ty)));
        super::super::adoption::table(TableId(9), 10, Qualified::new("public", "c"), "ann", collection, all)
    }

    fn sample() -> TableDef {
        table(&[("n", PgType::INT8), ("x", PgType::FLOAT8), ("t", PgType::TEXT), ("b", PgType::BOOL), ("j", PgType::JSONB)])
    }

    fn key() -> ItemKey {
        encode_key([KeyPart::Text("6b01561105c832cf9e2cf9c1")])
    }

    fn document(old: Option<&str>, row: &str) -> Result<String, Unwritable> {
        let document = document_of(&sample(), old.map(str::as_bytes), row.as_bytes())?;
        Ok(String::from_utf8(document.to_vec()).expect("UTF-8"))
    }

    #[test]
    fn a_new_document_has_the_members_of_the_row_in_order_of_the_columns() {
        let row = "{\"j\":{\"a\": [1, 2.50]},\"_id\":\"6b01561105c832cf9e2cf9c1\",\"t\":\"é \\\" \\\\\",\"n\":7,\"b\":null}";
        let expected = "{\"n\":7,\"t\":\"é \\\" \\\\\",\"b\":null,\"j\":{\"a\":[1,2.50]}}";
        assert_eq!(document(None, row).as_deref(), Ok(expected));
        assert_eq!(document(None, "{}").as_deref(), Ok("{}"));
    }

    #[test]
    fn what_has_not_changed_keeps_its_spelling_and_its_place() {
        let old = "{\n  \"more\": {\"x\": [1e3, \"\\ud800\"]},\n  \"x\": 1.50e1,\n  \"t\": \"\\u00e9\\u0000\",\n  \"_system\": {\"state\": \"new\"},\n  \
                   \"n\": -0,\n  \"j\": {\"b\": 1,  \"a\": \"\\ud800\"},\n  \"_id\": 3\n}";
        let row = row_of(old);
        let same = "{\"more\":{\"x\":[1e3,\"\\ud800\"]},\"x\":1.50e1,\"t\":\"\\u00e9\\u0000\",\"_system\":{\"state\":\"new\"},\
                    \"n\":-0,\"j\":{\"b\":1,\"a\":\"\\ud800\"},\"_id\":3}";
        assert_eq!(document(Some(old), &row).as_deref(), Ok(same));
        let row = "{\"n\":1,\"x\":15.0,\"t\":\"é\u{fffd}\",\"b\":true,\"j\":null}";
        let changed = "{\"more\":{\"x\":[1e3,\"\\ud800\"]},\"x\":1.50e1,\"t\":\"\\u00e9\\u0000\",\"_system\":{\"state\":\"new\"},\
                       \"n\":1,\"j\":null,\"_id\":3,\"b\":true}";
        assert_eq!(document(Some(old), row).as_deref(), Ok(changed));
    }

    fn row_of(document: &str) -> String {
        let row = super::super::documents::row_of(&sample(), &key(), document.as_bytes()).expect("fits");
        String::from_utf8(row.to_vec()).expect("UTF-8")
    }

    #[test]
    fn absent_and_null_are_told_apart() {
        assert_eq!(document(Some("{\"t\":null}"), "{\"n\":null}").as_deref(), Ok("{\"t\":null,\"n\":null}"));
        // A value that has gone is a NULL, said or not.
        assert_eq!(document(Some("{\"t\":\"a\",\"n\":1}"), "{\"n\":null}").as_deref(), Ok("{\"t\":null,\"n\":null}"));
    }

    #[test]
    fn of_members_of_one_name_one_is_left() {
        assert_eq!(
            document(Some("{\"n\":1,\"t\":\"a\",\"n\":2}"), "{\"n\":3,\"t\":\"a\"}").as_deref(),
            Ok("{\"n\":3,\"t\":\"a\"}")
        );
    }

    #[test]
    fn only_numbers_that_a_double_gives_back_are_written() {
        let inexact = |column: &str, digits: &str| Err(Unwritable::Inexact { column: column.into(), digits: digits.into() });
        for number in ["9007199254740992", "-9007199254740992", "1152921504606847000", "0"] {
            assert_eq!(document(None, &format!("{{\"n\":{number}}}")), Ok(format!("{{\"n\":{number}}}")));
        }
        for number in ["9007199254740993", "-9223372036854775807", "1152921504606846976"] {
            assert_eq!(document(None, &format!("{{\"n\":{number}}}")), inexact("n", number));
            assert_eq!(document(None, &format!("{{\"j\":{{\"a\": [{number}]}}}}")), inexact("j", number));
            // One that was there already is not looked at.
            let old = format!("{{\"n\":{number}}}");
            assert_eq!(
                document(Some(&old), &format!("{{\"n\":{number},\"t\":\"a\"}}")),
                Ok(format!("{{\"n\":{number},\"t\":\"a\"}}"))
            );
        }
        assert_eq!(document(None, "{\"j\":[1e400]}"), inexact("j", "1e400"));
        assert_eq!(
            document(None, "{\"j\":[\"9007199254740993\",0.1,12.30]}").as_deref(),
            Ok("{\"j\":[\"9007199254740993\",0.1,12.30]}")
        );
        let not_finite = Err(Unwritable::NotFinite { column: "x".into(), value: "-Infinity".into() });
        assert_eq!(document(None, "{\"x\":\"-Infinity\"}"), not_finite);
        assert_eq!(document(None, "{\"\":[\"j\"],\"j\":null}"), Err(Unwritable::JsonNull { column: "j".into() }));
    }

    #[test]
    fn only_the_columns_asked_for_are_checked() {
        let row = b"{\"n\":9007199254740993,\"x\":1.5}";
        let table = sample();
        let at = |name: &str| table.columns.iter().position(|column| column.name == name);
        assert_eq!(check_row(&table, row, |column| Some(column) == at("x")), Ok(()));
        assert!(check_row(&table, row, |column| Some(column) == at("n")).is_err());
    }

    #[test]
    fn a_document_that_does_not_fit_the_table_is_not_overwritten() {
        let surprise = Err(Unwritable::Surprise { field: "n".into(), shape: Shape::Text });
        assert_eq!(document(Some("{\"n\":\"a\"}"), "{\"n\":1}"), surprise);
        assert_eq!(document(Some("[]"), "{\"n\":1}"), Err(Unwritable::Malformed));
    }

    /// The row of a document that was made of a row is that row.
    #[test]
    fn what_is_written_reads_as_it_was() {
        let values = [
            ("n", vec!["null", "0", "-5", "9007199254740992"]),
            ("x", vec!["null", "0.5", "-1e300", "3.0", "1e-7"]),
            ("t", vec!["null", "\"\"", "\"a\\\\\\\"\\n\"", "\"漢🙂\\u0001\""]),
            ("b", vec!["null", "true", "false"]),
            ("j", vec!["null", "{}", "[1, {\"a\": null}]", "\"x\"", "12", "{\"a\": \"\\n\", \"bb\": [true]}"]),
        ];
        let olds = [None, Some("{\"zz\":[ ],\"t\":\"old\",\"x\":1}"), Some("{\"j\":{\"k\":1},\"b\":false,\"n\":3}")];
        let mut state = 11_u64;
        let mut next = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for _ in 0..2_000 {
            let members: Vec<String> =
                values.iter().map(|(name, values)| format!("\"{name}\":{}", values[next(values.len())])).collect();
            let row = format!("{{{}}}", members.join(","));
            let old = olds[next(olds.len())];
            let written = document(old, &row).unwrap_or_else(|error| panic!("{row}: {error}"));
            let parsed = |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).expect("JSON");
            let (mut back, wanted) = (parsed(&row_of(&written)), parsed(&row));
            back.remove("_id");
            assert_eq!(back, wanted, "{old:?} and {row} gave {written}");
            assert!(old.is_none() || !old.is_some_and(|old| old.contains("zz")) || written.contains("\"zz\":[]"), "{written}");
        }
    }
}

//! Documents of another program as rows of a table: the members that its columns are for, in the payload's form.
//!
//! The document is the truth and stays as it is; what is made here lives as long as a read. Text that PostgreSQL's
//! text cannot hold reads as U+FFFD, a value that its column's type does not hold is told apart and never dropped.

use bytes::Bytes;

use super::TableDef;
use super::shapes::{DOCUMENT_ID, Shape, member_name};
use crate::types::members::Members;
use crate::types::{PgType, json};
use crate::versions::ItemKey;

/// Why a document is no row of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The bytes are no JSON object.
    Malformed,
    /// A value that the column does not hold as it is.
    Surprise { field: String, shape: Shape },
}

/// The row of one document. Columns whose member is absent are absent.
pub fn row_of(table: &TableDef, key: &ItemKey, document: &[u8]) -> Result<Bytes, Unfit> {
    let mut out = String::with_capacity(document.len() + 48);
    out.push('{');
    json::write_string(&mut out, DOCUMENT_ID);
    out.push(':');
    json::write_string(&mut out, document_id(key).unwrap_or_default());
    let malformed = |_| Unfit::Malformed;
    let mut members = Members::new(document).map_err(malformed)?;
    let mut expected = 0;
    while let Some((name, value)) = members.next_member().map_err(malformed)? {
        // A member called as the id's column is not what names the document.
        let Some(name) = member_name(name).filter(|name| *name != DOCUMENT_ID) else { continue };
        let is_it = |at: &usize| table.columns.get(*at).is_some_and(|column| column.field == name);
        let Some(at) = Some(expected).filter(is_it).or_else(|| (0..table.columns.len()).find(is_it)) else { continue };
        expected = at + 1;
        let Some(column) = table.columns.get(at) else { continue };
        let shape = Shape::of(value);
        if !shape.fits(column.ty) {
            return Err(Unfit::Surprise { field: name.into_owned(), shape });
        }
        let value = std::str::from_utf8(value).map_err(|_| Unfit::Malformed)?;
        out.push(',');
        json::write_string(&mut out, &column.field);
        out.push(':');
        write_value(column.ty, shape, value, &mut out);
    }
    out.push('}');
    Ok(Bytes::from(out))
}

/// The row of a document that is not there: its id.
pub fn without_document(key: &ItemKey) -> Bytes {
    let mut out = String::from("{");
    json::write_string(&mut out, DOCUMENT_ID);
    out.push(':');
    json::write_string(&mut out, document_id(key).unwrap_or_default());
    out.push('}');
    Bytes::from(out)
}

/// The name of a document, out of its item's key.
pub fn document_id(key: &ItemKey) -> Option<&str> {
    match key.as_bytes() {
        [1, id @ .., 0, 0] => std::str::from_utf8(id).ok(),
        _ => None,
    }
}

fn write_value(ty: PgType, shape: Shape, value: &str, out: &mut String) {
    match shape {
        Shape::Null => out.push_str("null"),
        _ if ty == PgType::JSONB => out.push_str(&jsonb(value)),
        Shape::Bool | Shape::Integer | Shape::Number | Shape::Text | Shape::Nested => out.push_str(&json::readable(value)),
    }
}

/// The normal form, or the text as it stands where it has escapes that the normal form cannot have.
pub fn jsonb(value: &str) -> String {
    json::normalise(value).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::shapes::Shapes;
    use crate::history::{CollectionDef, Identification};
    use crate::types::Qualified;
    use crate::versions::{KeyPart, TableId, encode_key};

    const ID: &str = "6b01561105c832cf9e2cf9c1";

    fn table(documents: &[&str]) -> TableDef {
        let mut shapes = Shapes::default();
        documents.iter().for_each(|document| shapes.see(document.as_bytes()).expect("an object"));
        let collection =
            CollectionDef { place: "public".into(), name: "c".into(), identity: Identification::ObjectId, indexes: vec![] };
        super::super::adoption::table(TableId(9), 10, Qualified::new("public", "c"), "ann", collection, shapes.columns())
    }

    fn row(table: &TableDef, document: &str) -> Result<String, Unfit> {
        let key = encode_key([KeyPart::Text(ID)]);
        row_of(table, &key, document.as_bytes()).map(|row| String::from_utf8(row.to_vec()).expect("UTF-8"))
    }

    #[test]
    fn members_come_under_their_columns_and_the_id_from_the_key() {
        let table = table(&["{\"a\": 1, \"j\": {\"y\": 1}, \"t\": \"x\"}"]);
        let document =
            "{\n  \"t\": \"é\\n\",\n  \"_id\": \"own\",\n  \"j\": {\"bb\": 1, \"a\": [ ]},\n  \"more\": 1,\n  \"a\": null\n}";
        let expected = format!("{{\"_id\":\"{ID}\",\"t\":\"é\\n\",\"j\":{{\"a\": [], \"bb\": 1}},\"a\":null}}");
        assert_eq!(row(&table, document), Ok(expected));
    }

    #[test]
    fn text_that_cannot_be_reads_as_the_replacement_character() {
        let table = table(&["{\"t\": \"x\"}"]);
        let shown = |text: &str| row(&table, &format!("{{\"t\": \"{text}\"}}")).map(|row| row[39..row.len() - 2].to_owned());
        assert_eq!(shown("a\\u0000b"), Ok("a\\ufffdb".to_owned()));
        assert_eq!(shown("\\ud83d\\ude00 \\ud83d!"), Ok("\\ud83d\\ude00 \\ufffd!".to_owned()));
        assert_eq!(shown("\\udE00\\u00e9\\\"\\\\"), Ok("\\ufffd\\u00e9\\\"\\\\".to_owned()));
    }

    #[test]
    fn a_jsonb_value_keeps_escapes_that_its_normal_form_cannot_have() {
        let table = table(&["{\"j\": [1]}"]);
        assert!(row(&table, "{\"j\": [\"\\u0000\",  1]}").is_ok_and(|row| row.ends_with(",\"j\":[\"\\u0000\",  1]}")));
    }

    #[test]
    fn a_value_of_another_shape_is_a_surprise() {
        let table = table(&["{\"a\": 1, \"t\": \"x\"}"]);
        let surprise = |field: &str, shape| Err(Unfit::Surprise { field: field.to_owned(), shape });
        assert_eq!(row(&table, "{\"a\": 1.5}"), surprise("a", Shape::Number));
        assert_eq!(row(&table, "{\"t\": 3}"), surprise("t", Shape::Integer));
        assert_eq!(row(&table, "[1]"), Err(Unfit::Malformed));
    }
}

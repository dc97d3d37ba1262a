//! Columns for documents that nobody declared: which types hold the values that were seen.
//!
//! Pure. A column is as narrow as everything seen in it allows and only ever grows wider: whole numbers, then
//! fractions, then jsonb, which holds whatever there is.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{ColumnDef, ColumnId, ddl::SYSTEM_COLUMNS};
use crate::types::PgType;
use crate::types::members::{Malformed, Members};

/// The column that names a document.
pub const DOCUMENT_ID: &str = "_id";

/// The member that the library keeps for itself in every document.
const LIBRARY_OWN: &str = "_system";

/// Columns that a table may have at most, those of the system not counted.
const MOST_COLUMNS: usize = 1_500;

/// What a JSON value is, as far as types of columns go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Null,
    Bool,
    /// A number without fraction or exponent that a bigint holds.
    Integer,
    Number,
    Text,
    /// An object or an array.
    Nested,
}

impl Shape {
    /// Of a value as it stands in valid JSON.
    pub fn of(value: &[u8]) -> Self {
        match value.first() {
            Some(b'"') => Self::Text,
            Some(b'{' | b'[') => Self::Nested,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') | None => Self::Null,
            Some(_) => match std::str::from_utf8(value).map(str::parse::<i64>) {
                Ok(Ok(_)) => Self::Integer,
                _ => Self::Number,
            },
        }
    }

    /// The narrowest type for values like this; none for a NULL, which every type holds.
    fn narrowest(self) -> Option<PgType> {
        match self {
            Self::Null => None,
            Self::Bool => Some(PgType::BOOL),
            Self::Integer => Some(PgType::INT8),
            Self::Number => Some(PgType::FLOAT8),
            Self::Text => Some(PgType::TEXT),
            Self::Nested => Some(PgType::JSONB),
        }
    }

    /// Whether a column of this type shows such a value as it is.
    pub fn fits(self, ty: PgType) -> bool {
        let narrowest = self.narrowest();
        narrowest.is_none() || ty == PgType::JSONB || narrowest == Some(ty) || (self == Self::Integer && ty == PgType::FLOAT8)
    }

    /// The type for a column of this type once it has such a value too.
    pub fn widened(self, ty: PgType) -> PgType {
        match self {
            _ if self.fits(ty) => ty,
            Self::Number if ty == PgType::INT8 => PgType::FLOAT8,
            _ => PgType::JSONB,
        }
    }
}

/// What was seen of the documents of one collection.
#[derive(Debug, Default)]
pub struct Shapes {
    /// Members in the order they were first met, with their types; none where only NULL was seen.
    members: Vec<(String, Option<PgType>)>,
    positions: HashMap<String, usize>,
}

impl Shapes {
    /// Takes one document in. Members that no column can be named after are left to `_doc`.
    pub fn see(&mut self, document: &[u8]) -> Result<(), Malformed> {
        let mut members = Members::new(document)?;
        while let Some((name, value)) = members.next_member()? {
            if let Some(name) = column_name(name) {
                self.see_member(name, Shape::of(value));
            }
        }
        Ok(())
    }

    fn see_member(&mut self, name: String, shape: Shape) {
        let at = match self.positions.get(&name) {
            Some(at) => *at,
            None if self.members.len() >= MOST_COLUMNS => return,
            None => {
                self.positions.insert(name.clone(), self.members.len());
                self.members.push((name, None));
                self.members.len() - 1
            }
        };
        if let Some((_, ty)) = self.members.get_mut(at) {
            *ty = ty.map(|ty| shape.widened(ty)).or_else(|| shape.narrowest());
        }
    }

    /// `_id`, then a column for every member.
    pub fn columns(&self) -> Vec<ColumnDef> {
        let id = ColumnDef { not_null: true, ..ColumnDef::plain(ColumnId(1), DOCUMENT_ID, PgType::TEXT) };
        let number = |at: usize| ColumnId(u16::try_from(at + 2).unwrap_or(u16::MAX));
        let member =
            |(at, (name, ty)): (usize, &(String, Option<PgType>))| ColumnDef::plain(number(at), name, ty.unwrap_or(PgType::TEXT));
        std::iter::once(id).chain(self.members.iter().enumerate().map(member)).collect()
    }

    /// What these columns become so that they hold all that was seen, new ones behind them; `None` where they do.
    pub fn widen(&self, columns: &[ColumnDef]) -> Option<Vec<ColumnDef>> {
        let mut wider = columns.to_vec();
        for (name, seen) in &self.members {
            let known = wider.iter_mut().find(|column| column.field == *name);
            match (known, seen) {
                (Some(column), Some(seen)) => column.ty = wider_of(column.ty, *seen),
                (Some(_), None) => {}
                (None, _) => {
                    let last = wider.iter().map(|c| c.id.0).max().unwrap_or(0);
                    wider.push(ColumnDef::plain(ColumnId(last.saturating_add(1)), name, seen.unwrap_or(PgType::TEXT)));
                }
            }
        }
        (wider != columns).then_some(wider)
    }
}

fn wider_of(a: PgType, b: PgType) -> PgType {
    match (a, b) {
        _ if a == b => a,
        (PgType::INT8, PgType::FLOAT8) | (PgType::FLOAT8, PgType::INT8) => PgType::FLOAT8,
        _ => PgType::JSONB,
    }
}

/// The name of a member, given what stands between its quotes; none where no text is such a name.
pub fn member_name(name: &[u8]) -> Option<Cow<'_, str>> {
    match name.contains(&b'\\') {
        true => serde_json::from_slice(&[b"\"", name, b"\""].concat()).ok().map(Cow::Owned),
        false => std::str::from_utf8(name).ok().map(Cow::Borrowed),
    }
}

/// The column for a member; none where no column can have the name.
fn column_name(name: &[u8]) -> Option<String> {
    let name = member_name(name)?;
    let taken = name == DOCUMENT_ID || name == LIBRARY_OWN || SYSTEM_COLUMNS.contains(&name.as_ref());
    (!name.is_empty() && !taken && !name.contains('\0')).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(documents: &[&str]) -> Vec<(String, PgType)> {
        let mut shapes = Shapes::default();
        documents.iter().for_each(|document| shapes.see(document.as_bytes()).expect("an object"));
        shapes.columns().into_iter().skip(1).map(|column| (column.name, column.ty)).collect()
    }

    fn one(values: &[&str]) -> PgType {
        let documents: Vec<String> = values.iter().map(|value| format!("{{\"a\": {value}}}")).collect();
        columns(&documents.iter().map(String::as_str).collect::<Vec<_>>())[0].1
    }

    #[test]
    fn a_column_is_as_narrow_as_all_that_was_seen() {
        assert_eq!(one(&["1", "null", "-9223372036854775808"]), PgType::INT8);
        assert_eq!(one(&["1", "9223372036854775808"]), PgType::FLOAT8);
        assert_eq!(one(&["1.5", "2"]), PgType::FLOAT8);
        assert_eq!(one(&["1e3"]), PgType::FLOAT8);
        assert_eq!(one(&["\"1\"", "null"]), PgType::TEXT);
        assert_eq!(one(&["true", "false"]), PgType::BOOL);
        assert_eq!(one(&["null"]), PgType::TEXT);
        for mixed in [["1", "\"a\""], ["true", "0"], ["\"a\"", "[]"], ["{}", "1.5"]] {
            assert_eq!(one(&mixed), PgType::JSONB, "{mixed:?}");
        }
    }

    #[test]
    fn members_become_columns_in_the_order_they_were_met() {
        let found = columns(&["{\"b\": 1, \"A b\": \"x\"}", "{\"c\": null, \"b\": 2, \"é\\n\": true}"]);
        let expected = [("b", PgType::INT8), ("A b", PgType::TEXT), ("c", PgType::TEXT), ("é\n", PgType::BOOL)]
            .map(|(n, t)| (n.to_owned(), t));
        assert_eq!(found, expected);
    }

    #[test]
    fn members_that_no_column_can_be_named_after_are_left_out() {
        let document = "{\"\": 1, \"_id\": 2, \"_system\": {}, \"_version\": 3, \"a\\u0000\": 4, \"\\ud800\": 5, \"x\": 6}";
        assert_eq!(columns(&[document]), [("x".to_owned(), PgType::INT8)]);
    }

    #[test]
    fn widening_keeps_columns_and_their_numbers() {
        let mut shapes = Shapes::default();
        shapes.see(b"{\"a\": 1, \"b\": \"x\"}").expect("an object");
        let narrow = shapes.columns();
        assert_eq!(shapes.widen(&narrow), None);
        shapes.see(b"{\"b\": [1], \"new\": 2}").expect("an object");
        let wide = shapes.widen(&narrow).expect("wider");
        let seen: Vec<_> = wide.iter().map(|c| (c.id.0, c.name.as_str(), c.ty)).collect();
        let expected = [(1, "_id", PgType::TEXT), (2, "a", PgType::INT8), (3, "b", PgType::JSONB), (4, "new", PgType::INT8)];
        assert_eq!(seen, expected);
    }
}

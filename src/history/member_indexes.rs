//! Which members of documents the indexes of a table over a collection are over.

use super::{ColumnDef, ColumnId, DOCUMENT_ID, TableDef};
use crate::types::PgType;
use crate::versions::{MemberForm, MemberIndex, MemberPart};

/// Tells the collection what the table's definition says. Indexes over expressions stay as they are, as long as they are
/// there.
pub(super) fn follow(def: &mut TableDef) {
    if !def.is_of_documents() {
        return;
    }
    let Some(mut collection) = def.collection.take() else { return };
    let parts = |ids: &[ColumnId]| ids.iter().map(|id| def.column_by_id(*id).map(member_part)).collect::<Option<Vec<_>>>();
    let uniques = def.uniques.iter().map(|unique| (unique.id, true, &unique.columns));
    let plain = def.indexes.iter().map(|index| (index.id, false, &index.columns));
    let over_columns = uniques.chain(plain).filter_map(|(id, unique, columns)| {
        let parts = parts(columns)?;
        Some(MemberIndex { id, unique, parts })
    });
    let over_columns: Vec<MemberIndex> = over_columns.collect();
    collection.indexes.retain(|index| def.computed_indexes.iter().any(|c| c.id == index.id));
    for part in collection.indexes.iter_mut().flat_map(|index| &mut index.parts) {
        if let Some(column) = def.columns.iter().find(|column| column.field == part.path) {
            *part = member_part(column);
        }
    }
    collection.indexes.splice(0..0, over_columns);
    def.collection = Some(collection);
}

/// The member that a column shows.
pub fn member_part(column: &ColumnDef) -> MemberPart {
    let form = match column.ty {
        PgType::BOOL => MemberForm::Bool,
        PgType::INT8 => MemberForm::Integer,
        PgType::FLOAT8 => MemberForm::Number,
        PgType::JSONB => MemberForm::Json,
        _ => MemberForm::Text,
    };
    MemberPart { path: column.field.clone(), form }
}

/// Whether a member of this name, of the top level or below, can be kept beside a document: the path that leads to it has
/// dots between names, and a number leads into arrays.
pub fn can_be_indexed(name: &str) -> bool {
    let is_number = name.bytes().all(|b| b.is_ascii_digit());
    !is_number && name != DOCUMENT_ID && !name.starts_with('$') && !name.contains(['.', '\0', '[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{CollectionDef, ComputedIndexDef, Identification, IndexDef, IndexPart, UniqueDef};
    use crate::types::Qualified;
    use crate::versions::{IndexId, TableId};

    fn table() -> TableDef {
        let (place, name) = ("public".to_owned(), "c".to_owned());
        let collection = CollectionDef { place, name, identity: Identification::ObjectId, indexes: vec![] };
        let columns = [("_id", PgType::TEXT), ("n", PgType::INT8), ("j", PgType::JSONB)];
        let columns = (1..).zip(columns).map(|(id, (name, ty))| ColumnDef::plain(ColumnId(id), name, ty)).collect();
        super::super::adoption::table(TableId(9), 10, Qualified::new("public", "c"), "ann", collection, columns)
    }

    fn told(def: &TableDef) -> Vec<(u32, bool, String)> {
        let indexes = &def.collection.as_ref().expect("a collection").indexes;
        indexes
            .iter()
            .map(|i| (i.id.0, i.unique, format!("{:?}", i.parts.iter().map(|p| (&p.path, p.form)).collect::<Vec<_>>())))
            .collect()
    }

    #[test]
    fn the_collection_knows_what_the_indexes_are_over() {
        let mut def = table();
        def.indexes.push(IndexDef { id: IndexId(1), name: "a".into(), columns: vec![ColumnId(2)], shape: Default::default() });
        let (constraint, deferrable, deferred, shape) = (true, false, false, Default::default());
        def.uniques.push(UniqueDef {
            id: IndexId(2),
            name: "b".into(),
            columns: vec![ColumnId(3)],
            constraint,
            deferrable,
            deferred,
            shape,
        });
        let parts = vec![IndexPart::Expression("j->>'x'".into())];
        let (name, unique, predicate, shape) = ("e".into(), true, None, Default::default());
        def.computed_indexes.push(ComputedIndexDef { id: IndexId(3), name, unique, parts, predicate, shape });
        let part = MemberPart { path: "j.x".into(), form: MemberForm::AsText };
        if let Some(collection) = &mut def.collection {
            collection.indexes = [3, 4].map(|id| MemberIndex { id: IndexId(id), unique: true, parts: vec![part.clone()] }).into();
        }
        follow(&mut def);
        let expected = [
            (2, true, "[(\"j\", Json)]".to_owned()),
            (1, false, "[(\"n\", Integer)]".to_owned()),
            (3, true, "[(\"j.x\", AsText)]".to_owned()),
        ];
        assert_eq!(told(&def), expected);
        // A column that became wider, and indexes that are gone.
        def.columns.iter_mut().for_each(|column| column.ty = PgType::JSONB);
        (def.uniques, def.computed_indexes) = (vec![], vec![]);
        follow(&mut def);
        assert_eq!(told(&def), [(1, false, "[(\"n\", Json)]".to_owned())]);
    }

    #[test]
    fn what_no_path_leads_to_cannot_be_indexed() {
        for name in ["", "a.b", "$a", "a\0", "0", "17", "_id", "tags[]"] {
            assert!(!can_be_indexed(name), "{name}");
        }
        assert!(can_be_indexed("größe") && can_be_indexed("a1") && can_be_indexed("_x y"));
    }
}

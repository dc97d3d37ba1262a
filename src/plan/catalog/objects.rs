//! What has an OID in one database: its definitions under their numbers, and the parts of them under numbers made
//! from those. Never from an order, so that an OID is the same after every restart.
//!
//! A definition's number is its OID. Parts that have none of their own get the number of what they belong to in a
//! range of their own; definitions' numbers stay below [`RANGE`].

use std::collections::HashMap;
use std::sync::Arc;

use super::operator_class::{self, Method};
use super::spec::{self, Spec};
use crate::history::{
    Catalog, ColumnDef, ColumnId, ForeignKeyDef, IndexOrder, IndexPart, IndexShape, SequenceDef, TableDef, ViewDef,
};
use crate::plan::system::SystemTable;
use crate::types::{Oid, Qualified};

/// The first number above those of definitions.
const RANGE: Oid = 1 << 27;

/// The composite type of a table's or view's rows.
pub fn row_type(relation: Oid) -> Oid {
    RANGE + relation % RANGE
}

/// The array of [`row_type`].
pub fn row_array(relation: Oid) -> Oid {
    2 * RANGE + relation % RANGE
}

/// The constraint that an index stands for.
pub fn index_constraint(index: Oid) -> Oid {
    3 * RANGE + index % RANGE
}

/// The rule that makes a view a view.
pub fn view_rule(view: Oid) -> Oid {
    4 * RANGE + view % RANGE
}

/// The table that a number made by [`row_type`] or [`row_array`] belongs to, and whether it is the array's.
pub fn relation_of_type(oid: Oid) -> Option<(Oid, bool)> {
    match oid / RANGE {
        1 => Some((oid % RANGE, false)),
        2 => Some((oid % RANGE, true)),
        _ => None,
    }
}

/// The default of a column: a number among pg_attrdef's only.
pub fn column_default(table: Oid, column: ColumnId) -> Oid {
    8 * RANGE + (table.wrapping_mul(1600).wrapping_add(Oid::from(column.0))) % (8 * RANGE)
}

/// One index of a table, its primary key and unique constraints among them.
#[derive(Clone, Debug, Default)]
pub struct Index {
    pub oid: Oid,
    pub name: String,
    /// How it is kept; `None` for a btree.
    pub method: Option<String>,
    pub parts: Vec<IndexPart>,
    /// How each part is ordered; empty when all are as usual.
    pub orders: Vec<IndexOrder>,
    /// Columns that it carries along.
    pub include: Vec<ColumnId>,
    /// SQL text of which rows it covers.
    pub predicate: Option<String>,
    pub unique: bool,
    pub primary: bool,
    /// It stands for a constraint of its name.
    pub constraint: bool,
    pub deferrable: bool,
    pub deferred: bool,
}

impl Index {
    pub fn method_name(&self) -> &str {
        self.method.as_deref().unwrap_or(operator_class::BTREE)
    }

    pub fn method(&self) -> Option<&'static Method> {
        operator_class::method(self.method_name())
    }

    /// The columns among its parts.
    pub fn columns(&self) -> Vec<ColumnId> {
        let column = |part: &IndexPart| match part {
            IndexPart::Column(id) => Some(*id),
            IndexPart::Expression(_) => None,
        };
        self.parts.iter().filter_map(column).collect()
    }

    /// Parts and columns carried along: how many columns it has as a relation.
    pub fn width(&self) -> usize {
        self.parts.len() + self.include.len()
    }

    fn over(oid: Oid, name: &str, columns: &[ColumnId], shape: Option<&IndexShape>) -> Self {
        let shape = shape.cloned().unwrap_or_default();
        let parts = columns.iter().map(|id| IndexPart::Column(*id)).collect();
        let IndexShape { method, orders, include } = shape;
        Self { oid, name: name.to_owned(), method, parts, orders, include, ..Self::default() }
    }
}

/// A table's indexes: the primary key's first.
pub fn indexes(table: &TableDef) -> Vec<Index> {
    let key = table.primary_key.iter().map(|(name, columns)| {
        // A table with a primary key has no use for the number of its row counter.
        let index = Index::over(table.row_counter, name, columns, None);
        Index { unique: true, primary: true, constraint: true, ..index }
    });
    let uniques = table.uniques.iter().map(|u| {
        let index = Index::over(u.id.0, &u.name, &u.columns, Some(&u.shape));
        Index { unique: true, constraint: u.constraint, deferrable: u.deferrable, deferred: u.deferred, ..index }
    });
    let plain = table.indexes.iter().map(|i| Index::over(i.id.0, &i.name, &i.columns, Some(&i.shape)));
    let computed = table.computed_indexes.iter().map(|i| {
        let index = Index::over(i.id.0, &i.name, &[], Some(&i.shape));
        Index { parts: i.parts.clone(), predicate: i.predicate.clone(), unique: i.unique, ..index }
    });
    key.chain(uniques).chain(plain).chain(computed).collect()
}

/// The index that a foreign key's referenced columns are.
pub fn referenced_index(key: &ForeignKeyDef, table: &TableDef) -> Oid {
    key.index.map_or(table.row_counter, |index| index.0)
}

/// What a name in a schema, or an OID of pg_class, stands for.
#[derive(Clone, Debug)]
pub enum Relation {
    Table(Arc<TableDef>),
    Index(Arc<TableDef>, Arc<Index>),
    View(Arc<ViewDef>),
    Sequence(Arc<SequenceDef>),
    System(&'static Spec),
    /// In schema `chronogate`.
    Ours(SystemTable),
}

impl Relation {
    pub fn oid(&self) -> Oid {
        match self {
            Self::Table(def) => def.id.0,
            Self::Index(_, index) => index.oid,
            Self::View(def) => def.id,
            Self::Sequence(def) => def.id,
            Self::System(spec) => spec.oid,
            Self::Ours(table) => table.oid(),
        }
    }

    pub fn name(&self) -> Qualified {
        match self {
            Self::Table(def) => def.name.clone(),
            Self::Index(table, index) => Qualified::new(table.name.schema.as_str(), index.name.as_str()),
            Self::View(def) => def.name.clone(),
            Self::Sequence(def) => def.name.clone(),
            Self::System(spec) => Qualified::new(spec.schema_name, spec.name),
            Self::Ours(table) => Qualified::new("chronogate", table.name()),
        }
    }

    /// A column's name by its number.
    pub fn column_name(&self, number: i64) -> Option<String> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        match self {
            Self::Table(def) => def.columns.iter().find(|c| i64::from(c.id.0) == number).map(|c| c.name.clone()),
            Self::Index(table, index) => index_column_name(table, index, at),
            Self::View(def) => def.columns.get(at).map(|(name, _)| name.clone()),
            Self::Sequence(_) => ["last_value", "log_cnt", "is_called"].get(at).map(|name| (*name).to_owned()),
            Self::System(spec) => spec.columns.get(at).map(|c| c.name.to_owned()),
            Self::Ours(table) => table.columns().get(at).map(|(name, _)| (*name).to_owned()),
        }
    }
}

/// What an index calls its column at a place, from 0: that of the table's, a function's name, or `expr`.
pub fn index_column_name(table: &TableDef, index: &Index, at: usize) -> Option<String> {
    let of_table = |id: ColumnId| table.column_by_id(id).map(|c| c.name.clone());
    match index.parts.get(at) {
        Some(IndexPart::Column(id)) => of_table(*id),
        Some(IndexPart::Expression(text)) => {
            let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let call = !name.is_empty() && text[name.len()..].starts_with('(');
            Some(if call { name.to_lowercase() } else { "expr".to_owned() })
        }
        None => of_table(*index.include.get(at - index.parts.len())?),
    }
}

/// Every relation of one catalogue by OID and by name.
#[derive(Debug, Default)]
pub struct Objects {
    relations: HashMap<Oid, Relation>,
    by_name: HashMap<Qualified, Oid>,
}

impl Objects {
    pub fn of(catalog: &Catalog) -> Self {
        let mut objects = Self::default();
        for table in catalog.tables.values() {
            objects.add(Relation::Table(Arc::clone(table)));
            for index in indexes(table) {
                objects.add(Relation::Index(Arc::clone(table), Arc::new(index)));
            }
        }
        catalog.views.values().for_each(|view| objects.add(Relation::View(Arc::clone(view))));
        SystemTable::ALL.into_iter().for_each(|table| objects.add(Relation::Ours(table)));
        catalog.sequences.values().for_each(|sequence| objects.add(Relation::Sequence(Arc::clone(sequence))));
        objects
    }

    fn add(&mut self, relation: Relation) {
        let oid = relation.oid();
        self.by_name.insert(relation.name(), oid);
        self.relations.insert(oid, relation);
    }

    pub fn relation(&self, oid: Oid) -> Option<Relation> {
        self.relations.get(&oid).cloned().or_else(|| spec::by_oid(oid).map(Relation::System))
    }

    pub fn relation_named(&self, schema: &str, name: &str) -> Option<Relation> {
        let own = self.by_name.get(&Qualified::new(schema, name)).and_then(|oid| self.relations.get(oid)).cloned();
        own.or_else(|| spec::find(schema, name).map(Relation::System))
    }
}

/// The live columns of a table, with what pg_attribute calls them.
pub fn attribute_name(column: &ColumnDef) -> String {
    match column.dropped {
        true => format!("........pg.dropped.{}........", column.id.0),
        false => column.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_parts_lead_back_and_never_meet_those_of_definitions() {
        for oid in [16384, 20000, RANGE - 1] {
            assert_eq!(relation_of_type(row_type(oid)), Some((oid, false)));
            assert_eq!(relation_of_type(row_array(oid)), Some((oid, true)));
            assert_eq!(relation_of_type(oid), None);
            let parts = [row_type(oid), row_array(oid), index_constraint(oid), view_rule(oid), column_default(oid, ColumnId(1))];
            assert!(parts.iter().all(|part| *part >= RANGE && *part <= i32::MAX as Oid), "{parts:?}");
        }
        assert_ne!(column_default(16384, ColumnId(1600)), column_default(16385, ColumnId(1)));
    }
}

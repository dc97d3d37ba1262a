//! Definitions of schemas, tables, views, sequences and roles, now and at every past commit.
//!
//! A `Catalog` is one immutable state of all of them; DDL makes a new one and the `CatalogChange`s that
//! lead to it. Expressions are SQL text here, given meaning by `plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::{RoutineDef, TriggerDef, TypeDef};
use crate::error::SqlError;
use crate::types::{Identity, OnCommit, PgType, Qualified};
use crate::versions::{CommitNo, IndexId, MemberIndex, TableId};

/// A column's number within its table, never reused: PostgreSQL's attnum, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ColumnId(pub u16);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDef {
    pub id: ColumnId,
    pub name: String,
    /// The member of the payload that holds the value; stays when the column is renamed.
    pub field: String,
    #[serde(rename = "type")]
    pub ty: PgType,
    /// The domain that it was declared with; `ty` is what that comes down to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<u32>,
    #[serde(default)]
    pub not_null: bool,
    /// SQL text of the default, such as `now()` or `nextval('public.t_id_seq')`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// SQL text of what the column is computed from (`GENERATED ALWAYS AS (…) STORED`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    /// SQL text of the value that rows written before the column existed read as (`ADD COLUMN … DEFAULT`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Dropped: not a column of the present any more, kept for the past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
}

impl ColumnDef {
    /// A live column that may be NULL and has nothing but its type, kept under its own name.
    pub fn plain(id: ColumnId, name: &str, ty: PgType) -> Self {
        Self {
            id,
            name: name.to_owned(),
            field: name.to_owned(),
            ty,
            domain: None,
            not_null: false,
            default: None,
            identity: None,
            generated: None,
            missing: None,
            dropped: false,
        }
    }
}

/// A PRIMARY KEY or UNIQUE constraint, or a unique index (then `constraint` is false).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UniqueDef {
    pub id: IndexId,
    pub name: String,
    pub columns: Vec<ColumnId>,
    pub constraint: bool,
    /// DEFERRABLE, and whether a transaction begins with it deferred; of constraints only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferrable: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
    #[serde(default, skip_serializing_if = "IndexShape::is_plain")]
    pub shape: IndexShape,
}

/// What was written of an index beside its columns and changes no answer: kept to be shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexShape {
    /// The access method; `None` for a btree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// One per column; empty when all are the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<IndexOrder>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<ColumnId>,
}

impl IndexShape {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// How one column of an index is ordered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexOrder {
    #[serde(default)]
    pub descending: bool,
    /// As it takes effect: a descending column has it unless NULLS LAST was written.
    #[serde(default)]
    pub nulls_first: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_class: Option<String>,
}

/// An index over expressions, or over some of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComputedIndexDef {
    pub id: IndexId,
    pub name: String,
    /// Whether no two live rows that it covers may agree in it; else it is a definition only.
    pub unique: bool,
    pub parts: Vec<IndexPart>,
    /// SQL text of which rows it covers; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
    #[serde(default, skip_serializing_if = "IndexShape::is_plain")]
    pub shape: IndexShape,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IndexPart {
    Column(ColumnId),
    /// SQL text.
    Expression(String),
}

/// What becomes of rows that refer to a key which goes or changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReferentialAction {
    /// Refused, unless the key is there again by the time of the check.
    #[default]
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

/// A FOREIGN KEY constraint. Rows have entries in an index of the same number, one for each row whose key has no NULL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignKeyDef {
    pub id: IndexId,
    pub name: String,
    /// In the order written; `referenced` beside them.
    pub columns: Vec<ColumnId>,
    pub table: TableId,
    pub referenced: Vec<ColumnId>,
    /// The unique constraint or index that the referenced columns are; `None` for the primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexId>,
    /// `columns` in the order that the referenced key has its own: what entries are made of.
    pub entry: Vec<ColumnId>,
    #[serde(default)]
    pub on_delete: ReferentialAction,
    #[serde(default)]
    pub on_update: ReferentialAction,
    /// Columns that ON DELETE SET NULL or SET DEFAULT sets; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_columns: Vec<ColumnId>,
    /// MATCH FULL, which for one column is as MATCH SIMPLE.
    #[serde(default)]
    pub full: bool,
    #[serde(default)]
    pub deferrable: bool,
    /// Whether a transaction begins with it deferred.
    #[serde(default)]
    pub deferred: bool,
    /// Whether rows from before the constraint are known to keep to it.
    pub validated: bool,
}

/// What COMMENT ON said of a table and its parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableComments {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<ColumnId, String>,
    /// By the constraint's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub constraints: BTreeMap<String, String>,
    /// By the index's name; that of a constraint is beside the constraint's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub indexes: BTreeMap<String, String>,
}

impl TableComments {
    /// Constraints and indexes share names: what has this one has another now.
    pub fn rename(&mut self, from: &str, to: &str) {
        for comments in [&mut self.constraints, &mut self.indexes] {
            if let Some(text) = comments.remove(from) {
                comments.insert(to.to_owned(), text);
            }
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckDef {
    /// From the same row of numbers as tables and indexes.
    #[serde(default)]
    pub id: u32,
    pub name: String,
    /// SQL text of the condition.
    pub expression: String,
}

/// A secondary index that is not unique.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexDef {
    pub id: IndexId,
    pub name: String,
    pub columns: Vec<ColumnId>,
    #[serde(default, skip_serializing_if = "IndexShape::is_plain")]
    pub shape: IndexShape,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableDef {
    pub id: TableId,
    pub name: Qualified,
    pub owner: String,
    /// In order of their ids, dropped ones included.
    pub columns: Vec<ColumnDef>,
    /// Columns of the primary key with its constraint's name; without one, items are keyed by a hidden
    /// number from the counter `row_counter`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<(String, Vec<ColumnId>)>,
    pub row_counter: u32,
    #[serde(default)]
    pub uniques: Vec<UniqueDef>,
    #[serde(default)]
    pub indexes: Vec<IndexDef>,
    #[serde(default)]
    pub checks: Vec<CheckDef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKeyDef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub computed_indexes: Vec<ComputedIndexDef>,
    /// In order of their names, which is the order that they run in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerDef>,
    #[serde(default, skip_serializing_if = "TableComments::is_empty")]
    pub comments: TableComments,
    #[serde(default, skip_serializing_if = "preserves_rows")]
    pub on_commit: OnCommit,
    /// Of a materialized view: what its rows are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub materialized: Option<MaterializedDef>,
    /// The collection that holds its items, where another program laid that out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionDef>,
    /// role → privileges granted, in upper case: SELECT, INSERT, UPDATE, DELETE, TRUNCATE …
    #[serde(default)]
    pub grants: BTreeMap<String, Vec<String>>,
}

/// What makes a table a materialized view: its rows are those that the query had when it was last refreshed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterializedDef {
    /// The SELECT.
    pub query: String,
    /// Whether the SELECT names relations and columns in full; else it is as it was written.
    pub bound: bool,
    /// Whether there are rows to be read; not before the first refresh of one that was created WITH NO DATA.
    pub populated: bool,
}

/// Where a table's items are: a collection of documents that its columns were inferred from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionDef {
    /// Which of the database's places it is in.
    pub place: String,
    /// As it is spelt there.
    pub name: String,
    pub identity: Identification,
    /// Which members the table's indexes are over. Follows the other definitions of the table, save what the expressions of
    /// an index read, which who makes the index has to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<MemberIndex>,
}

/// What names an item of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identification {
    /// The document's own 12 bytes, as 24 hexadecimal digits in the column `_id`.
    ObjectId,
    /// The table's primary key.
    Key,
}

fn preserves_rows(on_commit: &OnCommit) -> bool {
    *on_commit == OnCommit::PreserveRows
}

impl TableDef {
    /// Whether its rows are documents of another program, named by their `_id`.
    pub fn is_of_documents(&self) -> bool {
        self.collection.as_ref().is_some_and(|collection| collection.identity == Identification::ObjectId)
    }

    /// 0A000 where its rows are documents of another program, which know of no definition.
    pub fn check_definable(&self) -> Result<(), SqlError> {
        if !self.is_of_documents() {
            return Ok(());
        }
        Err(SqlError::unsupported(
            format!("cannot alter \"{}\": it is a collection of a deployment", self.name.name),
            "Its columns follow from its documents; those that are to come may be added, as boolean, bigint, double precision, text or jsonb.",
        ))
    }

    /// A materialized view as the view that its query is.
    pub fn as_view(&self) -> Option<ViewDef> {
        let materialized = self.materialized.as_ref()?;
        Some(ViewDef {
            id: self.id.0,
            name: self.name.clone(),
            owner: self.owner.clone(),
            query: materialized.query.clone(),
            bound: materialized.bound,
            check_option: None,
            columns: self.live_columns().map(|column| (column.name.clone(), column.ty)).collect(),
            comment: None,
            column_comments: BTreeMap::new(),
            grants: self.grants.clone(),
        })
    }

    /// Whether it is one session's only, and has no past.
    pub fn is_temporary(&self) -> bool {
        super::is_temporary_schema(&self.name.schema)
    }

    /// Columns of the present, in order.
    pub fn live_columns(&self) -> impl Iterator<Item = &ColumnDef> {
        self.columns.iter().filter(|c| !c.dropped)
    }

    /// A column of the present by its name.
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.live_columns().find(|c| c.name == name)
    }

    pub fn column_by_id(&self, id: ColumnId) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.id == id)
    }

    /// Columns that name the item, empty for a table without primary key.
    pub fn key_columns(&self) -> impl Iterator<Item = &ColumnDef> {
        let ids: &[ColumnId] = self.primary_key.as_ref().map_or(&[], |(_, ids)| ids);
        ids.iter().filter_map(|id| self.column_by_id(*id))
    }

    /// Whether the name is that of its primary key, a unique constraint or an index.
    pub fn has_index(&self, name: &str) -> bool {
        self.primary_key.as_ref().is_some_and(|(key, _)| key == name)
            || self.uniques.iter().any(|u| u.name == name)
            || self.indexes.iter().any(|i| i.name == name)
            || self.computed_indexes.iter().any(|i| i.name == name)
    }

    /// The name of an index, unique or not.
    pub fn index_name(&self, index: IndexId) -> Option<&str> {
        let uniques = self.uniques.iter().map(|u| (u.id, &u.name));
        let plain = self.indexes.iter().map(|i| (i.id, &i.name));
        let computed = self.computed_indexes.iter().map(|i| (i.id, &i.name));
        uniques.chain(plain).chain(computed).find(|(id, _)| *id == index).map(|(_, name)| name.as_str())
    }

    /// Whether a constraint, of any kind, has the name.
    pub fn has_constraint(&self, name: &str) -> bool {
        self.primary_key.as_ref().is_some_and(|(key, _)| key == name)
            || self.uniques.iter().any(|u| u.constraint && u.name == name)
            || self.checks.iter().any(|c| c.name == name)
            || self.foreign_keys.iter().any(|f| f.name == name)
    }

    /// Whether it has a unique constraint or an index of this number.
    pub fn has_index_id(&self, index: IndexId) -> bool {
        self.uniques.iter().any(|u| u.id == index)
            || self.indexes.iter().any(|i| i.id == index)
            || self.computed_indexes.iter().any(|i| i.unique && i.id == index)
            || self.foreign_keys.iter().any(|key| key.id == index)
    }

    /// The number of a column to be added.
    pub fn next_column_id(&self) -> ColumnId {
        ColumnId(self.columns.iter().map(|c| c.id.0).max().unwrap_or(0).saturating_add(1))
    }

    /// A payload member for a new column of this name, one that no column has or ever had.
    pub fn free_field(&self, name: &str) -> String {
        let taken = |field: &str| self.columns.iter().any(|c| c.field == field);
        if !taken(name) {
            return name.to_owned();
        }
        (2u32..).map(|n| format!("{name}_{n}")).find(|field| !taken(field)).unwrap_or_default()
    }

    /// Every column the table ever had, in order of their numbers, each under a name of its own: those of
    /// the present by their name, a dropped one by its last name, or where that is taken again by
    /// `name__` and its number.
    pub fn union_columns(&self) -> Vec<ColumnDef> {
        let taken = |column: &ColumnDef| {
            let others = self.columns.iter().filter(|c| c.id != column.id && c.name == column.name);
            others.into_iter().any(|c| !c.dropped || c.id > column.id)
        };
        let named = |column: &ColumnDef| match column.dropped && taken(column) {
            true => ColumnDef { name: format!("{}__{}", column.name, column.id.0), ..column.clone() },
            false => column.clone(),
        };
        self.columns.iter().map(named).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewDef {
    pub id: u32,
    pub name: Qualified,
    pub owner: String,
    /// The SELECT.
    pub query: String,
    /// Whether the SELECT names relations and columns in full; else it is as it was written.
    #[serde(default)]
    pub bound: bool,
    /// Whether rows written through it must be rows that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_option: Option<CheckOption>,
    /// Output columns with their types, fixed at creation.
    pub columns: Vec<(String, PgType)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// By the column's number, from 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub column_comments: BTreeMap<u16, String>,
    #[serde(default)]
    pub grants: BTreeMap<String, Vec<String>>,
}

/// WITH CHECK OPTION; of a view over a table both kinds are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOption {
    Local,
    Cascaded,
}

/// An extension that was created: its functions are built in and need no definition of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionDef {
    pub id: u32,
    pub name: String,
    pub schema: String,
    pub owner: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequenceDef {
    pub id: u32,
    pub name: Qualified,
    pub owner: String,
    pub start: i64,
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    pub cycle: bool,
    /// The column it belongs to (serial, identity): dropped with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned_by: Option<(TableId, ColumnId)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default)]
    pub grants: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaDef {
    pub id: u32,
    pub name: String,
    pub owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default)]
    pub grants: BTreeMap<String, Vec<String>>,
}

/// A role of the whole server; kept in the cluster's own catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleDef {
    pub id: u32,
    pub name: String,
    pub superuser: bool,
    pub login: bool,
    pub create_database: bool,
    pub create_role: bool,
    /// May load history (`COPY t__history FROM`).
    #[serde(default)]
    pub load_history: bool,
    /// A SCRAM-SHA-256 verifier in PostgreSQL's form; never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier: Option<String>,
    #[serde(default)]
    pub member_of: Vec<String>,
    /// `ALTER ROLE … SET name = value`.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// Gives every definition its number: tables, indexes, views, sequences and schemas share one row of
/// numbers, which serve as OIDs. A number is given once, also when the transaction that took it fails.
#[derive(Clone, Debug)]
pub struct Ids(Arc<AtomicU32>);

impl Ids {
    /// Numbers below are PostgreSQL's own.
    pub const FIRST: u32 = 16384;

    /// Numbers from `next` up, but never one below [`Ids::FIRST`].
    pub fn from(next: u32) -> Self {
        Self(Arc::new(AtomicU32::new(next.max(Self::FIRST))))
    }

    pub fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::from(Self::FIRST)
    }
}

/// All definitions as of one commit. Cloning copies maps of pointers: hold it in an `Arc`.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The newest commit that changed a definition.
    pub commit: CommitNo,
    pub schemas: BTreeMap<String, Arc<SchemaDef>>,
    pub tables: BTreeMap<Qualified, Arc<TableDef>>,
    pub views: BTreeMap<Qualified, Arc<ViewDef>>,
    pub sequences: BTreeMap<Qualified, Arc<SequenceDef>>,
    /// By their numbers: several may have one name.
    pub routines: BTreeMap<u32, Arc<RoutineDef>>,
    /// By their names, which belong to no schema.
    pub extensions: BTreeMap<String, Arc<ExtensionDef>>,
    pub(super) types: BTreeMap<Qualified, Arc<TypeDef>>,
    /// Dropped ones as well.
    pub(super) types_by_id: BTreeMap<u32, Arc<TypeDef>>,
    /// Where new definitions take their numbers from; shared by all catalogues of a database.
    pub ids: Ids,
    pub(super) by_id: BTreeMap<TableId, Arc<TableDef>>,
    /// Tables that refer to a table by a foreign key, itself perhaps among them.
    pub(super) referring: BTreeMap<TableId, BTreeSet<TableId>>,
}

impl Catalog {
    /// The table with this id, under whatever name.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<TableDef>> {
        self.by_id.get(&id)
    }

    /// Whether a foreign key refers to the table.
    pub fn is_referenced(&self, table: TableId) -> bool {
        self.referring.contains_key(&table)
    }

    /// Foreign keys that refer to the table, each with the table it belongs to, in order of their numbers.
    pub fn references_to(&self, table: TableId) -> Vec<(&Arc<TableDef>, &ForeignKeyDef)> {
        let referring = self.referring.get(&table).into_iter().flatten().filter_map(|id| self.by_id.get(id));
        let keys = referring.flat_map(|def| def.foreign_keys.iter().map(move |key| (def, key)));
        let mut found: Vec<_> = keys.filter(|(_, key)| key.table == table).collect();
        found.sort_by_key(|(_, key)| key.id);
        found
    }

    /// The table that has this index or unique constraint, by the name in the table's schema.
    pub fn table_of_index(&self, name: &Qualified) -> Option<&Arc<TableDef>> {
        self.tables.values().find(|t| t.name.schema == name.schema && t.has_index(&name.name))
    }

    /// Tables that are no materialized views.
    pub fn base_tables(&self) -> impl Iterator<Item = &Arc<TableDef>> {
        self.tables.values().filter(|table| table.materialized.is_none())
    }

    /// Views, materialized ones among them: everything that is a query.
    pub fn queries(&self) -> impl Iterator<Item = Arc<ViewDef>> {
        let materialized = self.tables.values().filter_map(|table| table.as_view()).map(Arc::new);
        self.views.values().cloned().chain(materialized)
    }

    pub fn view_by_id(&self, id: u32) -> Option<&Arc<ViewDef>> {
        self.views.values().find(|v| v.id == id)
    }

    pub fn sequence_by_id(&self, id: u32) -> Option<&Arc<SequenceDef>> {
        self.sequences.values().find(|s| s.id == id)
    }

    /// Sets a definition without asking whether it may be so.
    pub(super) fn put(&mut self, definition: Definition) {
        match self.shaped_definition(definition) {
            Definition::Type(def) => {
                let id = def.id;
                if !def.dropped {
                    self.types.insert(def.name.clone(), Arc::clone(&def));
                }
                self.types_by_id.insert(id, def);
                self.reshape(id);
            }
            Definition::Schema(def) => drop(self.schemas.insert(def.name.clone(), def)),
            Definition::Table(def) => {
                self.unlink(def.id);
                for key in &def.foreign_keys {
                    self.referring.entry(key.table).or_default().insert(def.id);
                }
                self.by_id.insert(def.id, Arc::clone(&def));
                self.tables.insert(def.name.clone(), def);
            }
            Definition::View(def) => drop(self.views.insert(def.name.clone(), def)),
            Definition::Sequence(def) => drop(self.sequences.insert(def.name.clone(), def)),
            Definition::Routine(def) => drop(self.routines.insert(def.id, def)),
            Definition::Extension(def) => drop(self.extensions.insert(def.name.clone(), def)),
        }
    }

    /// Removes a definition from under its name; other names are not looked at.
    pub(super) fn take(&mut self, definition: &Definition) {
        match definition {
            Definition::Type(def) => {
                self.types.remove(&def.name);
                self.types_by_id.remove(&def.id);
            }
            Definition::Schema(def) => drop(self.schemas.remove(&def.name)),
            Definition::Table(def) => {
                self.unlink(def.id);
                self.by_id.remove(&def.id);
                self.tables.remove(&def.name);
            }
            Definition::View(def) => drop(self.views.remove(&def.name)),
            Definition::Sequence(def) => drop(self.sequences.remove(&def.name)),
            Definition::Routine(def) => drop(self.routines.remove(&def.id)),
            Definition::Extension(def) => drop(self.extensions.remove(&def.name)),
        }
    }

    /// Forgets what the table that has this number refers to.
    fn unlink(&mut self, id: TableId) {
        let Some(old) = self.by_id.get(&id) else { return };
        for key in &old.foreign_keys {
            if let Some(referring) = self.referring.get_mut(&key.table) {
                referring.remove(&id);
                if referring.is_empty() {
                    self.referring.remove(&key.table);
                }
            }
        }
    }

    /// Every definition, schemas first.
    pub(super) fn definitions(&self) -> impl Iterator<Item = Definition> {
        let schemas = self.schemas.values().cloned().map(Definition::Schema);
        let tables = self.tables.values().cloned().map(Definition::Table);
        let views = self.views.values().cloned().map(Definition::View);
        let sequences = self.sequences.values().cloned().map(Definition::Sequence);
        let types = self.types_by_id.values().cloned().map(Definition::Type);
        let routines = self.routines.values().cloned().map(Definition::Routine);
        let extensions = self.extensions.values().cloned().map(Definition::Extension);
        schemas.chain(types).chain(tables).chain(views).chain(sequences).chain(routines).chain(extensions)
    }
}

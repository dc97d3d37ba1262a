//! Definitions of schemas, tables, views, sequences and roles, now and at every past commit.
//!
//! A `Catalog` is one immutable state of all of them; DDL makes a new one and the `CatalogChange`s that
//! lead to it. Expressions are SQL text here, given meaning by `plan`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{Identity, PgType, Qualified};
use crate::versions::{CommitNo, IndexId, TableId};

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
    #[serde(default)]
    pub not_null: bool,
    /// SQL text of the default, such as `now()` or `nextval('public.t_id_seq')`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// SQL text of the value that rows written before the column existed read as (`ADD COLUMN … DEFAULT`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// Dropped: not a column of the present any more, kept for the past.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
}

/// A PRIMARY KEY or UNIQUE constraint, or a unique index (then `constraint` is false).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UniqueDef {
    pub id: IndexId,
    pub name: String,
    pub columns: Vec<ColumnId>,
    pub constraint: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckDef {
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
    /// role → privileges granted, in upper case: SELECT, INSERT, UPDATE, DELETE, TRUNCATE …
    #[serde(default)]
    pub grants: BTreeMap<String, Vec<String>>,
}

impl TableDef {
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewDef {
    pub id: u32,
    pub name: Qualified,
    pub owner: String,
    /// The SELECT as it was written.
    pub query: String,
    /// Output columns with their types, fixed at creation.
    pub columns: Vec<(String, PgType)>,
    #[serde(default)]
    pub grants: BTreeMap<String, Vec<String>>,
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
    #[serde(default)]
    pub grants: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaDef {
    pub id: u32,
    pub name: String,
    pub owner: String,
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

/// All definitions as of one commit. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// The newest commit that changed a definition.
    pub commit: CommitNo,
    pub schemas: BTreeMap<String, Arc<SchemaDef>>,
    pub tables: BTreeMap<Qualified, Arc<TableDef>>,
    pub views: BTreeMap<Qualified, Arc<ViewDef>>,
    pub sequences: BTreeMap<Qualified, Arc<SequenceDef>>,
    /// Every definition a table of this id ever had is reachable through `Database::table_at`.
    pub next_id: u32,
}

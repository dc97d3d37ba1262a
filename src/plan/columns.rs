//! Columns of a versioned relation: those of its table, at whichever time, and the system columns beside them.
//!
//! Decides names, types and order. Reads no rows.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};

use crate::history::{ColumnDef, TableDef};
use crate::types::{PgType, TypeName};

/// A column that every versioned relation has beside its table's own, hidden from `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SystemColumn {
    /// The item's key, as bytes: for writing, not shown in history.
    Key,
    From,
    To,
    Version,
    Commit,
    Op,
    EndCommit,
    EndOp,
    Actor,
    Reason,
    Context,
    /// The whole document, of tables over collections, as the other four.
    Document,
    /// The collection's number of the version.
    CollectionVersion,
    PayloadKey,
    Checksum,
    Size,
}

impl SystemColumn {
    /// What tables over collections have beside those that `t__history` shows.
    pub const OF_DOCUMENTS: [SystemColumn; 5] =
        [Self::Document, Self::CollectionVersion, Self::PayloadKey, Self::Checksum, Self::Size];

    /// As `t__history` shows them, in order.
    pub const SHOWN: [SystemColumn; 10] = [
        Self::From,
        Self::To,
        Self::Version,
        Self::Commit,
        Self::Op,
        Self::EndCommit,
        Self::EndOp,
        Self::Actor,
        Self::Reason,
        Self::Context,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Key => super::modify::ITEM_KEY,
            Self::From => "_system_from",
            Self::To => "_system_to",
            Self::Version => "_version",
            Self::Commit => "_commit",
            Self::Op => "_op",
            Self::EndCommit => "_end_commit",
            Self::EndOp => "_end_op",
            Self::Actor => "_actor",
            Self::Reason => "_reason",
            Self::Context => "_context",
            Self::Document => "_doc",
            Self::CollectionVersion => "_cv",
            Self::PayloadKey => "_payload_key",
            Self::Checksum => "_checksum",
            Self::Size => "_size",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        if name == Self::Key.name() {
            return Some(Self::Key);
        }
        Self::SHOWN.into_iter().chain(Self::OF_DOCUMENTS).find(|c| c.name() == name)
    }

    /// Whether rows of the table have it.
    pub fn is_of(self, table: &TableDef) -> bool {
        !Self::OF_DOCUMENTS.contains(&self) || table.is_of_documents()
    }

    pub fn ty(self) -> PgType {
        match self {
            Self::Key => PgType::new(TypeName::Bytea),
            Self::From | Self::To => PgType::TIMESTAMPTZ,
            Self::Version | Self::Commit | Self::EndCommit | Self::CollectionVersion | Self::Size => PgType::INT8,
            Self::Op | Self::EndOp | Self::Actor | Self::Reason | Self::PayloadKey | Self::Checksum => PgType::TEXT,
            Self::Context | Self::Document => PgType::JSONB,
        }
    }

    /// Whether the commit log has to be asked for it.
    pub fn is_of_commit(self) -> bool {
        matches!(self, Self::Actor | Self::Reason | Self::Context)
    }
}

/// Where a shown column's values come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Column(ColumnDef),
    System(SystemColumn),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ShownColumn {
    pub name: String,
    pub source: Source,
}

impl ShownColumn {
    pub fn ty(&self) -> PgType {
        match &self.source {
            Source::Column(column) => column.ty,
            Source::System(column) => column.ty(),
        }
    }

    fn of_column(column: ColumnDef) -> Self {
        Self { name: column.name.clone(), source: Source::Column(column) }
    }

    fn of_system(column: SystemColumn) -> Self {
        Self { name: column.name().to_owned(), source: Source::System(column) }
    }

    pub fn field(&self, table: &TableDef) -> Field {
        let key = match &self.source {
            Source::Column(column) => table.key_columns().any(|k| k.id == column.id),
            Source::System(_) => false,
        };
        self.ty().field(&self.name, !key)
    }
}

/// The columns one relation shows, in order.
#[derive(Clone, Debug)]
pub struct Shown {
    pub columns: Arc<[ShownColumn]>,
    pub schema: SchemaRef,
}

impl Shown {
    /// The table's columns, then these system columns. A user's column of the same name hides the system's.
    pub fn new(table: &TableDef, columns: Vec<ColumnDef>, system: impl IntoIterator<Item = SystemColumn>) -> Self {
        let mut shown: Vec<ShownColumn> = columns.into_iter().map(ShownColumn::of_column).collect();
        for column in system.into_iter().filter(|column| column.is_of(table)) {
            if !shown.iter().any(|c| c.name == column.name()) {
                shown.push(ShownColumn::of_system(column));
            }
        }
        let fields: Vec<Field> = shown.iter().map(|c| c.field(table)).collect();
        Self { columns: shown.into(), schema: Arc::new(Schema::new(fields)) }
    }

    pub fn position_of(&self, column: SystemColumn) -> Option<usize> {
        self.columns.iter().position(|c| c.source == Source::System(column))
    }
}

/// The columns of the present, in order.
pub fn present(table: &TableDef) -> Vec<ColumnDef> {
    table.live_columns().cloned().collect()
}

//! Definitions as catalogue rows: a kind, a number and a JSON text.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Catalog, ExtensionDef, HistoryError, RoutineDef, SchemaDef, SequenceDef, TableDef, TypeDef, ViewDef};
use crate::store::CatalogChange;

/// What a definition defines. The order is the one in which a catalogue is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Schema,
    Type,
    Table,
    View,
    Sequence,
    Routine,
    Extension,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Type => "type",
            Self::Table => "table",
            Self::View => "view",
            Self::Sequence => "sequence",
            Self::Routine => "routine",
            Self::Extension => "extension",
        }
    }

    pub(super) fn from_name(name: &str) -> Result<Self, HistoryError> {
        [Self::Schema, Self::Type, Self::Table, Self::View, Self::Sequence, Self::Routine, Self::Extension]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| HistoryError::BadDefinition(format!("unknown kind \"{name}\"")))
    }
}

/// One state of one definition.
#[derive(Clone, Debug)]
pub(super) enum Definition {
    Schema(Arc<SchemaDef>),
    Type(Arc<TypeDef>),
    Table(Arc<TableDef>),
    View(Arc<ViewDef>),
    Sequence(Arc<SequenceDef>),
    Routine(Arc<RoutineDef>),
    Extension(Arc<ExtensionDef>),
}

impl Definition {
    /// Reads what [`Definition::text`] wrote.
    pub(super) fn read(kind: Kind, text: &str) -> Result<Self, HistoryError> {
        fn parse<T: DeserializeOwned>(text: &str) -> Result<Arc<T>, HistoryError> {
            serde_json::from_str(text).map(Arc::new).map_err(|cause| HistoryError::BadDefinition(cause.to_string()))
        }
        Ok(match kind {
            Kind::Schema => Self::Schema(parse(text)?),
            Kind::Type => Self::Type(parse(text)?),
            Kind::Table => Self::Table(parse(text)?),
            Kind::View => Self::View(parse(text)?),
            Kind::Sequence => Self::Sequence(parse(text)?),
            Kind::Routine => Self::Routine(parse(text)?),
            Kind::Extension => Self::Extension(parse(text)?),
        })
    }

    pub(super) fn text(&self) -> Result<String, HistoryError> {
        fn print<T: Serialize>(def: &T) -> Result<String, HistoryError> {
            serde_json::to_string(def).map_err(|cause| HistoryError::BadDefinition(cause.to_string()))
        }
        match self {
            Self::Schema(def) => print(def.as_ref()),
            Self::Type(def) => print(def.as_ref()),
            Self::Table(def) => print(def.as_ref()),
            Self::View(def) => print(def.as_ref()),
            Self::Sequence(def) => print(def.as_ref()),
            Self::Routine(def) => print(def.as_ref()),
            Self::Extension(def) => print(def.as_ref()),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Schema(_) => Kind::Schema,
            Self::Type(_) => Kind::Type,
            Self::Table(_) => Kind::Table,
            Self::View(_) => Kind::View,
            Self::Sequence(_) => Kind::Sequence,
            Self::Routine(_) => Kind::Routine,
            Self::Extension(_) => Kind::Extension,
        }
    }

    pub(super) fn id(&self) -> u32 {
        match self {
            Self::Schema(def) => def.id,
            Self::Type(def) => def.id,
            Self::Table(def) => def.id.0,
            Self::View(def) => def.id,
            Self::Sequence(def) => def.id,
            Self::Routine(def) => def.id,
            Self::Extension(def) => def.id,
        }
    }

    /// The greatest number that the definition uses, for itself or for a part of it.
    pub(super) fn last_id(&self) -> u32 {
        if let Self::Type(def) = self {
            return def.last_id();
        }
        let Self::Table(def) = self else { return self.id() };
        let indexes = def.indexes.iter().map(|i| i.id.0);
        let uniques = def.uniques.iter().map(|u| u.id.0);
        let keys = def.foreign_keys.iter().map(|f| f.id.0);
        let computed = def.computed_indexes.iter().map(|i| i.id.0);
        let indexes = indexes.chain(keys).chain(computed);
        let checks = def.checks.iter().map(|c| c.id);
        let triggers = def.triggers.iter().map(|t| t.id);
        indexes.chain(uniques).chain(checks).chain(triggers).chain([def.id.0, def.row_counter]).max().unwrap_or(def.id.0)
    }

    /// Whether it belongs to one session and is never stored.
    pub(super) fn is_temporary(&self) -> bool {
        super::is_temporary_schema(match self {
            Self::Schema(def) => &def.name,
            Self::Type(def) => &def.name.schema,
            Self::Table(def) => &def.name.schema,
            Self::View(def) => &def.name.schema,
            Self::Sequence(def) => &def.name.schema,
            Self::Routine(def) => &def.name.schema,
            Self::Extension(def) => &def.schema,
        })
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Schema(a), Self::Schema(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Type(a), Self::Type(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Table(a), Self::Table(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::View(a), Self::View(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Sequence(a), Self::Sequence(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Routine(a), Self::Routine(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Extension(a), Self::Extension(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

/// The changes that lead from one catalogue to another: one per definition that differs, drops first. Temporary
/// definitions are none of the database's and make no change.
pub(super) fn changes(from: &Catalog, to: &Catalog) -> Result<Vec<CatalogChange>, HistoryError> {
    let by_number = |catalog: &Catalog| -> std::collections::BTreeMap<(Kind, u32), Definition> {
        catalog.definitions().filter(|d| !d.is_temporary()).map(|d| ((d.kind(), d.id()), d)).collect()
    };
    let (before, after) = (by_number(from), by_number(to));
    let change = |(kind, id): &(Kind, u32), definition| CatalogChange { kind: kind.name().to_owned(), id: *id, definition };
    let mut changes: Vec<CatalogChange> =
        before.keys().filter(|number| !after.contains_key(number)).map(|number| change(number, None)).collect();
    for (number, definition) in &after {
        if before.get(number).is_none_or(|old| !old.same(definition)) {
            changes.push(change(number, Some(definition.text()?)));
        }
    }
    Ok(changes)
}

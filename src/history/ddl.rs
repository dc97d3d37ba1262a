//! Changes of a catalogue: each leaves it whole or, with an error, as it was.
//!
//! Pure. Takes definitions as they are to be; what a clause of SQL means is settled before. Does not know
//! what the expressions in definitions refer to: who drops a column or table looks for views first.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::definition::Definition;
use super::{
    Catalog, ExtensionDef, ForeignKeyDef, RoutineDef, SchemaDef, SequenceDef, TableDef, TypeDef, ViewDef, member_indexes,
};
use crate::error::{Diagnose, SqlError, SqlState};
use crate::types::Qualified;
use crate::versions::TableId;

/// PostgreSQL's limit.
const MAX_COLUMNS: usize = 1600;

/// Columns that every table has beside its own.
pub const SYSTEM_COLUMNS: [&str; 10] =
    ["_system_from", "_system_to", "_version", "_commit", "_op", "_end_commit", "_end_op", "_actor", "_reason", "_context"];

/// Ends of names that every table lends to relations of its past.
const RESERVED_SUFFIXES: [&str; 2] = ["__history", "__changes"];

/// Why a catalogue cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("relation \"{0}\" already exists")]
    RelationExists(String),
    #[error("type \"{0}\" already exists")]
    TypeExists(String),
    #[error("type \"{0}\" does not exist")]
    NoType(String),
    /// A relation would have the name of a type.
    #[error("type \"{0}\" already exists")]
    RelationLikeType(String),
    #[error("schema \"{0}\" already exists")]
    SchemaExists(String),
    #[error("schema \"{0}\" does not exist")]
    NoSchema(String),
    /// `kind` is `table`, `view`, `sequence` or `index`.
    #[error("{kind} \"{name}\" does not exist")]
    NoRelation { kind: &'static str, name: String },
    #[error("unacceptable schema name \"{0}\"")]
    ReservedSchema(String),
    /// Something would be made in a schema of the system.
    #[error("permission denied to create \"{0}\"")]
    SystemSchema(Qualified),
    #[error("relation name \"{0}\" is reserved")]
    ReservedRelation(String),
    #[error("column \"{0}\" specified more than once")]
    ColumnTwice(String),
    #[error("column name \"{0}\" conflicts with a system column name")]
    SystemColumn(String),
    #[error("tables can have at most {MAX_COLUMNS} columns")]
    TooManyColumns,
    #[error("constraint \"{constraint}\" for relation \"{table}\" already exists")]
    ConstraintExists { table: String, constraint: String },
    #[error("function \"{name}\" already exists with same argument types")]
    RoutineExists { kind: &'static str, name: String },
    /// A definition says something that cannot be so.
    #[error("{0}")]
    BadSequence(String),
    #[error("cannot drop {object} because other objects depend on it")]
    Needed { object: String, detail: String },
}

impl Diagnose for CatalogError {
    fn diagnose(&self) -> SqlError {
        let error = |code| SqlError::new(code, self.to_string());
        match self {
            Self::RelationExists(_) => error(SqlState::DUPLICATE_TABLE),
            Self::TypeExists(_) => error(SqlState::DUPLICATE_OBJECT),
            Self::NoType(_) => error(SqlState::UNDEFINED_OBJECT),
            Self::RelationLikeType(_) => error(SqlState::DUPLICATE_OBJECT).hint(
                "A relation has an associated type of the same name, so you must use a name that doesn't conflict with any existing type.",
            ),
            Self::SchemaExists(_) => error(SqlState::DUPLICATE_SCHEMA),
            Self::NoSchema(_) => error(SqlState::INVALID_SCHEMA_NAME),
            Self::NoRelation { kind: "index", .. } => error(SqlState::UNDEFINED_OBJECT),
            Self::NoRelation { .. } => error(SqlState::UNDEFINED_TABLE),
            Self::ReservedSchema(_) => error(SqlState::RESERVED_NAME).detail("The name is that of a system schema."),
            Self::SystemSchema(_) => {
                error(SqlState::INSUFFICIENT_PRIVILEGE).detail("System catalog modifications are currently disallowed.")
            }
            Self::ReservedRelation(_) => {
                error(SqlState::RESERVED_NAME).hint("Names that end in __history and __changes belong to the past of tables.")
            }
            Self::ColumnTwice(_) | Self::SystemColumn(_) => error(SqlState::DUPLICATE_COLUMN),
            Self::TooManyColumns => error(SqlState::PROGRAM_LIMIT_EXCEEDED),
            Self::ConstraintExists { .. } => error(SqlState::DUPLICATE_OBJECT),
            Self::RoutineExists { .. } => error(SqlState::DUPLICATE_FUNCTION),
            Self::BadSequence(_) => error(SqlState::INVALID_PARAMETER_VALUE),
            Self::Needed { detail, .. } => error(SqlState::DEPENDENT_OBJECTS_STILL_EXIST)
                .detail(detail.clone())
                .hint("Use DROP ... CASCADE to drop the dependent objects too."),
        }
    }
}

impl From<CatalogError> for SqlError {
    fn from(error: CatalogError) -> Self {
        error.diagnose()
    }
}

/// How a session calls the schema of its temporary relations, whatever that is called in the catalogue.
pub const TEMPORARY: &str = "pg_temp";

/// Whether the schema is one of temporary relations, which one session has and no database keeps.
pub fn is_temporary_schema(name: &str) -> bool {
    name.strip_prefix(TEMPORARY).is_some_and(|rest| rest.starts_with('_'))
}

/// Whether the schema is the system's own: always there, never changed, no place for definitions.
pub fn is_system_schema(name: &str) -> bool {
    name.starts_with("pg_") || name == "information_schema" || name == "chronogate"
}

impl Catalog {
    pub fn create_schema(&mut self, def: SchemaDef) -> Result<(), CatalogError> {
        if is_system_schema(&def.name) {
            return Err(CatalogError::ReservedSchema(def.name));
        }
        if self.schemas.contains_key(&def.name) {
            return Err(CatalogError::SchemaExists(def.name));
        }
        self.put(Definition::Schema(Arc::new(def)));
        Ok(())
    }

    /// The schema of one session's temporary relations.
    pub fn create_temporary_schema(&mut self, def: SchemaDef) -> Result<(), CatalogError> {
        if !is_temporary_schema(&def.name) {
            return Err(CatalogError::NoSchema(def.name));
        }
        if self.schemas.contains_key(&def.name) {
            return Err(CatalogError::SchemaExists(def.name));
        }
        self.put(Definition::Schema(Arc::new(def)));
        Ok(())
    }

    /// Gives the schema of this name another definition. Under a new name everything in it moves along.
    pub fn replace_schema(&mut self, name: &str, def: SchemaDef) -> Result<(), CatalogError> {
        let old = self.schemas.get(name).cloned().ok_or_else(|| CatalogError::NoSchema(name.to_owned()))?;
        if def.name != name {
            self.create_schema(def.clone())?;
            self.move_relations(name, &def.name);
            self.take(&Definition::Schema(old));
        }
        self.put(Definition::Schema(Arc::new(def)));
        Ok(())
    }

    /// Without `cascade` only an empty one.
    pub fn drop_schema(&mut self, name: &str, cascade: bool) -> Result<(), CatalogError> {
        let def = self.schemas.get(name).cloned().ok_or_else(|| CatalogError::NoSchema(name.to_owned()))?;
        let inside = self.in_schema(name);
        if !cascade && !inside.is_empty() {
            let lines: Vec<String> = inside.iter().map(|d| format!("{} depends on schema {name}", described(d))).collect();
            return Err(CatalogError::Needed { object: format!("schema {name}"), detail: lines.join("\n") });
        }
        for definition in &inside {
            if let Definition::Table(def) = definition {
                self.drop_foreign_keys_to(def.id, |_| true);
            }
        }
        // What was inside may have changed by that.
        for definition in self.in_schema(name) {
            match definition {
                Definition::Type(def) => self.drop_type(&def.name)?,
                definition => self.take(&definition),
            }
        }
        self.take(&Definition::Schema(def));
        Ok(())
    }

    pub fn create_table(&mut self, def: TableDef) -> Result<(), CatalogError> {
        self.check_new_name(&def.name)?;
        self.check_no_type(&def.name)?;
        check_table(&def)?;
        self.check_index_names(&def)?;
        self.put(Definition::Table(Arc::new(def)));
        Ok(())
    }

    /// Gives the table with the definition's id this definition, which may have another name.
    pub fn replace_table(&mut self, mut def: TableDef) -> Result<(), CatalogError> {
        member_indexes::follow(&mut def);
        let missing = || CatalogError::NoRelation { kind: "table", name: def.name.name.clone() };
        let old = self.table_by_id(def.id).cloned().ok_or_else(missing)?;
        check_table(&def)?;
        if def.name != old.name {
            self.check_new_name(&def.name)?;
        }
        self.check_index_names(&def)?;
        self.take(&Definition::Table(old));
        self.put(Definition::Table(Arc::new(def)));
        Ok(())
    }

    /// Drops the table with its indexes and the sequences that its columns own.
    ///
    /// Foreign keys of other tables that refer to it go first: [`Catalog::drop_foreign_keys_to`].
    pub fn drop_table(&mut self, name: &Qualified) -> Result<Arc<TableDef>, CatalogError> {
        let missing = || CatalogError::NoRelation { kind: "table", name: name.name.clone() };
        let def = self.tables.get(name).cloned().ok_or_else(missing)?;
        let of = format!("table {}", def.name.name);
        let referring = self.references_to(def.id).into_iter().filter(|(table, _)| table.id != def.id);
        let lines: Vec<String> = referring
            .map(|(table, key)| format!("constraint {} on table {} depends on {of}", key.name, table.name.name))
            .collect();
        if !lines.is_empty() {
            return Err(CatalogError::Needed { object: of, detail: lines.join("\n") });
        }
        for sequence in self.owned_sequences(def.id) {
            self.take(&Definition::Sequence(sequence));
        }
        self.take(&Definition::Table(Arc::clone(&def)));
        Ok(def)
    }

    /// Drops the foreign keys of other tables that refer to this one and satisfy the condition.
    pub fn drop_foreign_keys_to(&mut self, table: TableId, which: impl Fn(&ForeignKeyDef) -> bool) {
        let referring: Vec<Arc<TableDef>> =
            self.references_to(table).into_iter().map(|(def, _)| Arc::clone(def)).filter(|def| def.id != table).collect();
        for def in referring {
            let mut def = TableDef::clone(self.table_by_id(def.id).unwrap_or(&def));
            def.foreign_keys.retain(|key| key.table != table || !which(key));
            self.put(Definition::Table(Arc::new(def)));
        }
    }

    /// Sequences that belong to a column of the table.
    pub fn owned_sequences(&self, table: TableId) -> Vec<Arc<SequenceDef>> {
        self.sequences.values().filter(|s| s.owned_by.is_some_and(|(owner, _)| owner == table)).cloned().collect()
    }

    pub fn create_view(&mut self, def: ViewDef) -> Result<(), CatalogError> {
        self.check_new_name(&def.name)?;
        self.check_no_type(&def.name)?;
        check_columns(def.columns.iter().map(|(name, _)| name.as_str()))?;
        self.put(Definition::View(Arc::new(def)));
        Ok(())
    }

    /// Gives the view with the definition's id this definition, which may have another name. Of a materialized view it
    /// takes the query.
    pub fn replace_view(&mut self, def: ViewDef) -> Result<(), CatalogError> {
        if let Some(table) = self.table_by_id(TableId(def.id)) {
            let mut table = TableDef::clone(table);
            if let Some(materialized) = &mut table.materialized {
                materialized.query = def.query;
            }
            return self.replace_table(table);
        }
        let missing = || CatalogError::NoRelation { kind: "view", name: def.name.name.clone() };
        let old = self.view_by_id(def.id).cloned().ok_or_else(missing)?;
        check_columns(def.columns.iter().map(|(name, _)| name.as_str()))?;
        if def.name != old.name {
            self.check_new_name(&def.name)?;
        }
        self.take(&Definition::View(old));
        self.put(Definition::View(Arc::new(def)));
        Ok(())
    }

    /// Drops a view, materialized or not.
    pub fn drop_view(&mut self, name: &Qualified) -> Result<(), CatalogError> {
        if self.tables.get(name).is_some_and(|table| table.materialized.is_some()) {
            return self.drop_table(name).map(drop);
        }
        let missing = || CatalogError::NoRelation { kind: "view", name: name.name.clone() };
        let def = self.views.get(name).cloned().ok_or_else(missing)?;
        self.take(&Definition::View(def));
        Ok(())
    }

    /// Puts an extension in the place of the one of its name, if there is one.
    pub fn put_extension(&mut self, def: ExtensionDef) {
        self.put(Definition::Extension(Arc::new(def)));
    }

    pub fn drop_extension(&mut self, name: &str) -> Option<Arc<ExtensionDef>> {
        let def = self.extensions.get(name).cloned()?;
        self.take(&Definition::Extension(Arc::clone(&def)));
        Some(def)
    }

    pub fn create_sequence(&mut self, def: SequenceDef) -> Result<(), CatalogError> {
        self.check_new_name(&def.name)?;
        check_sequence(&def)?;
        self.put(Definition::Sequence(Arc::new(def)));
        Ok(())
    }

    /// Gives the sequence with the definition's id this definition, which may have another name.
    pub fn replace_sequence(&mut self, def: SequenceDef) -> Result<(), CatalogError> {
        let missing = || CatalogError::NoRelation { kind: "sequence", name: def.name.name.clone() };
        let old = self.sequence_by_id(def.id).cloned().ok_or_else(missing)?;
        check_sequence(&def)?;
        if def.name != old.name {
            self.check_new_name(&def.name)?;
        }
        self.take(&Definition::Sequence(old));
        self.put(Definition::Sequence(Arc::new(def)));
        Ok(())
    }

    /// A sequence that belongs to an identity column is dropped with the column only; whether a default
    /// calls it is for the caller to know.
    pub fn drop_sequence(&mut self, name: &Qualified) -> Result<Arc<SequenceDef>, CatalogError> {
        let missing = || CatalogError::NoRelation { kind: "sequence", name: name.name.clone() };
        let def = self.sequences.get(name).cloned().ok_or_else(missing)?;
        if let Some((table, column)) = self.identity_of(&def) {
            let object = format!("sequence {}", name.name);
            let detail = format!("column {column} of table {table} requires {object}");
            return Err(CatalogError::Needed { object, detail });
        }
        self.take(&Definition::Sequence(Arc::clone(&def)));
        Ok(def)
    }

    /// Removes an index or unique constraint that is not the primary key; answers the table as it is then.
    pub fn drop_index(&mut self, name: &Qualified) -> Result<Arc<TableDef>, CatalogError> {
        let missing = || CatalogError::NoRelation { kind: "index", name: name.name.clone() };
        let table = self.table_of_index(name).cloned().ok_or_else(missing)?;
        let is_constraint = table.primary_key.as_ref().is_some_and(|(key, _)| *key == name.name)
            || table.uniques.iter().any(|u| u.constraint && u.name == name.name);
        if is_constraint {
            let object = format!("index {}", name.name);
            let detail = format!("constraint {} on table {} requires {object}", name.name, table.name.name);
            return Err(CatalogError::Needed { object, detail });
        }
        let mut def = TableDef::clone(&table);
        def.uniques.retain(|u| u.name != name.name);
        def.indexes.retain(|i| i.name != name.name);
        def.computed_indexes.retain(|i| i.name != name.name);
        member_indexes::follow(&mut def);
        let def = Arc::new(def);
        self.put(Definition::Table(Arc::clone(&def)));
        Ok(def)
    }

    /// Whether a table, view, sequence or index has the name.
    pub fn has_relation(&self, name: &Qualified) -> bool {
        self.tables.contains_key(name)
            || self.views.contains_key(name)
            || self.sequences.contains_key(name)
            || self.table_of_index(name).is_some()
    }

    /// The first of `base`, `base1`, `base2` … that no relation of the schema has, cut to PostgreSQL's 63 bytes.
    pub fn free_relation_name(&self, schema: &str, base: &str) -> String {
        let numbered = std::iter::once(String::new()).chain((1u32..).map(|n| n.to_string()));
        let mut names = numbered.map(|number| format!("{}{number}", cut(base, 63 - number.len())));
        names.find(|name| !self.has_relation(&Qualified::new(schema, name.as_str()))).unwrap_or_default()
    }

    fn check_new_name(&self, name: &Qualified) -> Result<(), CatalogError> {
        if is_system_schema(&name.schema) && !is_temporary_schema(&name.schema) {
            return Err(CatalogError::SystemSchema(name.clone()));
        }
        if !self.schemas.contains_key(&name.schema) {
            return Err(CatalogError::NoSchema(name.schema.clone()));
        }
        if RESERVED_SUFFIXES.iter().any(|suffix| name.name.ends_with(suffix)) {
            return Err(CatalogError::ReservedRelation(name.name.clone()));
        }
        if self.has_relation(name) {
            return Err(CatalogError::RelationExists(name.name.clone()));
        }
        Ok(())
    }

    /// The rows of a table or view have a type of its name.
    fn check_no_type(&self, name: &Qualified) -> Result<(), CatalogError> {
        if self.types.contains_key(name) { Err(CatalogError::RelationLikeType(name.name.clone())) } else { Ok(()) }
    }

    /// Indexes are relations of the table's schema: no other relation may have their names.
    fn check_index_names(&self, def: &TableDef) -> Result<(), CatalogError> {
        for name in index_names(def) {
            let qualified = Qualified::new(def.name.schema.as_str(), name);
            let is_own_table = qualified == def.name;
            let of_another = self.table_of_index(&qualified).is_some_and(|table| table.id != def.id);
            let relation = self.tables.contains_key(&qualified) || self.views.contains_key(&qualified);
            if is_own_table || of_another || relation || self.sequences.contains_key(&qualified) {
                return Err(CatalogError::RelationExists(name.to_owned()));
            }
        }
        Ok(())
    }

    fn identity_of(&self, sequence: &SequenceDef) -> Option<(String, String)> {
        let (table, column) = sequence.owned_by?;
        let table = self.table_by_id(table)?;
        let column = table.column_by_id(column).filter(|c| c.identity.is_some() && !c.dropped)?;
        Some((table.name.name.clone(), column.name.clone()))
    }

    fn in_schema(&self, schema: &str) -> Vec<Definition> {
        let inside = |definition: &Definition| match definition {
            Definition::Schema(_) => false,
            Definition::Type(def) => !def.dropped && def.name.schema == schema,
            Definition::Table(def) => def.name.schema == schema,
            Definition::View(def) => def.name.schema == schema,
            Definition::Sequence(def) => def.name.schema == schema,
            Definition::Routine(def) => def.name.schema == schema,
            Definition::Extension(def) => def.schema == schema,
        };
        self.definitions().filter(inside).collect()
    }

    fn move_relations(&mut self, from: &str, to: &str) {
        for definition in self.in_schema(from) {
            self.take(&definition);
            self.put(match definition {
                Definition::Table(def) => {
                    let name = Qualified::new(to, def.name.name.as_str());
                    Definition::Table(Arc::new(TableDef { name, ..TableDef::clone(&def) }))
                }
                Definition::View(def) => {
                    let name = Qualified::new(to, def.name.name.as_str());
                    Definition::View(Arc::new(ViewDef { name, ..ViewDef::clone(&def) }))
                }
                Definition::Sequence(def) => {
                    let name = Qualified::new(to, def.name.name.as_str());
                    Definition::Sequence(Arc::new(SequenceDef { name, ..SequenceDef::clone(&def) }))
                }
                Definition::Type(def) => {
                    let name = Qualified::new(to, def.name.name.as_str());
                    Definition::Type(Arc::new(TypeDef { name, ..TypeDef::clone(&def) }))
                }
                Definition::Routine(def) => {
                    let name = Qualified::new(to, def.name.name.as_str());
                    Definition::Routine(Arc::new(RoutineDef { name, ..RoutineDef::clone(&def) }))
                }
                Definition::Extension(def) => {
                    Definition::Extension(Arc::new(ExtensionDef { schema: to.to_owned(), ..ExtensionDef::clone(&def) }))
                }
                schema @ Definition::Schema(_) => schema,
            });
        }
    }
}

fn check_table(def: &TableDef) -> Result<(), CatalogError> {
    if def.columns.len() > MAX_COLUMNS {
        return Err(CatalogError::TooManyColumns);
    }
    check_columns(def.live_columns().map(|c| c.name.as_str()))?;
    if let Some(name) = def.live_columns().map(|c| &c.name).find(|name| SYSTEM_COLUMNS.contains(&name.as_str())) {
        return Err(CatalogError::SystemColumn(name.clone()));
    }
    let mut seen = BTreeSet::new();
    let checks = def.checks.iter().map(|check| check.name.as_str());
    let keys = def.foreign_keys.iter().map(|key| key.name.as_str());
    match index_names(def).chain(checks).chain(keys).find(|name| !seen.insert(*name)) {
        Some(name) => Err(CatalogError::ConstraintExists { table: def.name.name.clone(), constraint: name.to_owned() }),
        None => Ok(()),
    }
}

fn check_columns<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), CatalogError> {
    let mut seen = BTreeSet::new();
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(CatalogError::ColumnTwice(name.to_owned())),
        None => Ok(()),
    }
}

fn check_sequence(def: &SequenceDef) -> Result<(), CatalogError> {
    let SequenceDef { start, increment, min, max, .. } = def;
    let fault = if *increment == 0 {
        "INCREMENT must not be zero".to_owned()
    } else if min >= max {
        format!("MINVALUE ({min}) must be less than MAXVALUE ({max})")
    } else if start < min {
        format!("START value ({start}) cannot be less than MINVALUE ({min})")
    } else if start > max {
        format!("START value ({start}) cannot be greater than MAXVALUE ({max})")
    } else if (*min, *max) == (i64::MIN, i64::MAX) {
        "a sequence cannot span every bigint; leave out one end".to_owned()
    } else {
        return Ok(());
    };
    Err(CatalogError::BadSequence(fault))
}

fn index_names(def: &TableDef) -> impl Iterator<Item = &str> {
    let key = def.primary_key.iter().map(|(name, _)| name.as_str());
    let uniques = def.uniques.iter().map(|u| u.name.as_str());
    let computed = def.computed_indexes.iter().map(|i| i.name.as_str());
    key.chain(uniques).chain(def.indexes.iter().map(|i| i.name.as_str())).chain(computed)
}

/// `table public.t`, as dependency messages name it.
fn described(definition: &Definition) -> String {
    let kind = definition.kind().name();
    match definition {
        Definition::Schema(def) => format!("{kind} {}", def.name),
        Definition::Type(def) => format!("{kind} {}", def.name),
        Definition::Table(def) => format!("{kind} {}", def.name),
        Definition::View(def) => format!("{kind} {}", def.name),
        Definition::Sequence(def) => format!("{kind} {}", def.name),
        Definition::Routine(def) => format!("{} {}", def.kind(), def.name),
        Definition::Extension(def) => format!("{kind} {}", def.name),
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

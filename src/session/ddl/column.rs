//! Columns and constraints as definitions: numbers, names, owned sequences.
//!
//! Makes definitions only; whether rows agree is asked in `verify`.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast;

use super::{Change, quoted_name, sequence, too_long};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{CheckDef, ColumnDef, ColumnId, IndexShape, SequenceDef, TableDef, UniqueDef};
use crate::sql::{ColumnSpec, ConstraintKind, ConstraintSpec, SequenceOptions, Statement};
use crate::types::written::Comparison;
use crate::types::{PgType, Qualified, TypeName, Written};
use crate::versions::IndexId;

impl Change {
    /// Adds a column and the sequence it owns to the definition. The table must be in the catalogue by the time
    /// the sequence is used, not before.
    pub(super) fn add_column_def(&mut self, table: &mut TableDef, spec: &ColumnSpec) -> Result<ColumnId> {
        if spec.name.len() > 63 {
            return Err(too_long(&spec.name));
        }
        check_type(&spec.name, spec.ty)?;
        let id = table.next_column_id();
        let sequence = match (&spec.identity, spec.serial) {
            (Some((_, options)), _) => Some(options.clone()),
            (None, true) => Some(SequenceOptions::default()),
            (None, false) => None,
        };
        let mut column = ColumnDef {
            id,
            name: spec.name.clone(),
            field: table.free_field(&spec.name),
            ty: spec.ty,
            domain: spec.domain,
            not_null: spec.not_null || sequence.is_some(),
            default: spec.default.clone(),
            identity: spec.identity.as_ref().map(|(kind, _)| *kind),
            generated: spec.generated.clone(),
            missing: None,
            dropped: false,
        };
        if let Some(options) = sequence {
            if !matches!(spec.ty.name, TypeName::Int2 | TypeName::Int4 | TypeName::Int8) || spec.ty.array {
                let message = "identity column type must be smallint, integer, or bigint";
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            if spec.default.is_some() {
                let message =
                    format!("both default and identity specified for column \"{}\" of table \"{}\"", spec.name, table.name.name);
                return Err(SqlError::syntax(message));
            }
            let def = self.owned_sequence(table, id, spec, &options)?;
            // An identity column takes its values from the sequence it owns, a serial one by its default.
            if spec.identity.is_none() {
                column.default = Some(format!("nextval('{}')", text_of(&def.name).replace('\'', "''")));
            }
            self.catalog.create_sequence(def)?;
        }
        table.columns.push(column);
        Ok(id)
    }

    pub(super) fn owned_sequence(
        &self,
        table: &TableDef,
        column: ColumnId,
        spec: &ColumnSpec,
        options: &SequenceOptions,
    ) -> Result<SequenceDef> {
        let name = match &options.name {
            Some(name) => self.new_name(name)?.name,
            None => {
                let base = format!("{}_{}_seq", table.name.name, spec.name);
                self.catalog.free_relation_name(&table.name.schema, &base)
            }
        };
        let new = SequenceDef {
            id: self.catalog.ids.next(),
            name: Qualified::new(table.name.schema.as_str(), name),
            owner: table.owner.clone(),
            start: 1,
            increment: 1,
            min: 1,
            max: sequence::greatest(spec.ty),
            cycle: false,
            owned_by: Some((table.id, column)),
            comment: None,
            grants: Default::default(),
        };
        sequence::with_options(new, options, spec.ty)
    }

    /// Adds a constraint to the definition; answers its name.
    pub(super) fn add_constraint_def(&self, table: &mut TableDef, spec: &ConstraintSpec) -> Result<String> {
        if let Some(name) = spec.name.as_ref().filter(|name| name.len() > 63) {
            return Err(too_long(name));
        }
        match &spec.kind {
            ConstraintKind::PrimaryKey(columns) => {
                if table.primary_key.is_some() {
                    let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name.name);
                    return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
                }
                let ids = key_columns(table, columns, "primary key")?;
                let name = self.constraint_name(table, spec, || format!("{}_pkey", table.name.name))?;
                table.columns.iter_mut().filter(|c| ids.contains(&c.id)).for_each(|c| c.not_null = true);
                table.primary_key = Some((name.clone(), ids));
                Ok(name)
            }
            ConstraintKind::Unique(columns) => {
                let ids = key_columns(table, columns, "unique")?;
                let name = self.constraint_name(table, spec, || format!("{}_{}_key", table.name.name, columns.join("_")))?;
                let id = IndexId(self.catalog.ids.next());
                let crate::sql::ConstraintTiming { deferrable, deferred } = spec.timing;
                let shape = IndexShape::default();
                table.uniques.push(UniqueDef {
                    id,
                    name: name.clone(),
                    columns: ids,
                    constraint: true,
                    deferrable,
                    deferred,
                    shape,
                });
                Ok(name)
            }
            ConstraintKind::ForeignKey(key) => self.add_foreign_key_def(table, spec, key),
            ConstraintKind::UsingIndex { .. } => {
                Err(SqlError::syntax("PRIMARY KEY/UNIQUE USING INDEX must be deferred until the table is there"))
            }
            ConstraintKind::Check { expression, column } => {
                let named = |column: &str| format!("{}_{column}_check", table.name.name);
                let base = match column {
                    Some(column) => named(column),
                    None => match only_column(table, expression)? {
                        Some(column) => named(&column),
                        None => format!("{}_check", table.name.name),
                    },
                };
                let name = match &spec.name {
                    Some(name) => name.clone(),
                    None => free_check_name(table, &base),
                };
                let id = self.catalog.ids.next();
                table.checks.push(CheckDef { id, name: name.clone(), expression: expression.clone() });
                Ok(name)
            }
        }
    }

    /// The name that was written, or the first free one of PostgreSQL's pattern.
    fn constraint_name(&self, table: &TableDef, spec: &ConstraintSpec, base: impl Fn() -> String) -> Result<String> {
        if let Some(name) = &spec.name {
            return Ok(name.clone());
        }
        self.free_index_name(table, &base())
    }

    /// Free among the relations of the schema and among what the definition itself has.
    pub(super) fn free_index_name(&self, table: &TableDef, base: &str) -> Result<String> {
        let mut tried = base.to_owned();
        for n in 1u32.. {
            let name = self.catalog.free_relation_name(&table.name.schema, &tried);
            let taken = table.has_index(&name) || table.has_constraint(&name) || table.name.name == name;
            if !taken {
                return Ok(name);
            }
            tried = format!("{base}{n}");
        }
        Err(SqlError::internal("no free name for an index"))
    }
}

/// The sequence's full name as `nextval` takes it: quoted where it must be.
pub(super) fn text_of(name: &Qualified) -> String {
    let plain = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if plain(&name.schema) && plain(&name.name) { name.to_string() } else { quoted_name(name) }
}

/// Columns of a key by name: 42703 for one that is not there, 42701 for one that comes twice, 0A000 for one that
/// has no order.
pub(super) fn key_columns(table: &TableDef, names: &[String], what: &str) -> Result<Vec<ColumnId>> {
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let Some(column) = table.column(name) else {
            let message = format!("column \"{name}\" named in key does not exist");
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        };
        if ids.contains(&column.id) {
            let message = format!("column \"{name}\" appears twice in {what} constraint");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        let comparison = column.ty.name.written().map(Written::comparison);
        if comparison == Some(Comparison::OrderedByKey) && !column.ty.array {
            let message = format!("keys and indexes of type {} are not supported", column.ty.sql_name());
            return Err(SqlError::unsupported(message, "Keep the bounds in columns of their own."));
        }
        if column.ty.array || column.ty.name == TypeName::Json || comparison == Some(Comparison::None) {
            let ty = column.ty.sql_name();
            let message = format!("data type {ty} has no default operator class for access method \"btree\"");
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message).hint("Use a column of a scalar type."));
        }
        ids.push(column.id);
    }
    Ok(ids)
}

fn check_type(column: &str, ty: PgType) -> Result<()> {
    match ty.name {
        TypeName::Void | TypeName::Unknown | TypeName::Record => {
            let message = format!("column \"{column}\" has pseudo-type {}", ty.sql_name());
            Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message))
        }
        TypeName::Composite(_) => Err(SqlError::unsupported(
            format!("column \"{column}\" cannot be of the composite type {}", ty.sql_name()),
            "Values of composite types are for queries; use a column for each part, or jsonb.",
        )),
        name if name.is_reg()
            || matches!(
                name,
                TypeName::Char
                    | TypeName::Name
                    | TypeName::Int2vector
                    | TypeName::Oidvector
                    | TypeName::Aclitem
                    | TypeName::NodeTree
            ) =>
        {
            Err(SqlError::unsupported(
                format!("column \"{column}\" cannot be of type {}", ty.sql_name()),
                "Types of the catalogue are for queries; use bigint or text.",
            ))
        }
        _ => Ok(()),
    }
}

/// The one column that a condition speaks of, when it is exactly one.
fn only_column(table: &TableDef, expression: &str) -> Result<Option<String>> {
    let mut columns = columns_in(table, expression)?.into_iter();
    let first = columns.next();
    Ok(if columns.next().is_none() { first } else { None })
}

/// Columns of the table that an expression names.
pub(super) fn columns_in(table: &TableDef, expression: &str) -> Result<BTreeSet<String>> {
    let mut parsed = crate::sql::parse(&format!("SELECT ({expression})"))?;
    let Some(Statement::Query(query)) = parsed.pop().map(|p| p.statement) else { return Ok(BTreeSet::new()) };
    let mut found = BTreeSet::new();
    let _: std::ops::ControlFlow<()> = ast::visit_expressions(query.as_ref(), |expr| {
        let ident = match expr {
            ast::Expr::Identifier(ident) => Some(ident),
            ast::Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if let Some(ident) = ident {
            let name = if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
            if table.column(&name).is_some() {
                found.insert(name);
            }
        }
        std::ops::ControlFlow::Continue(())
    });
    Ok(found)
}

fn free_check_name(table: &TableDef, base: &str) -> String {
    let taken = |name: &str| table.has_index(name) || table.has_constraint(name);
    let numbered = std::iter::once(base.to_owned()).chain((1u32..).map(|n| format!("{base}{n}")));
    numbered.into_iter().find(|name| !taken(name)).unwrap_or_default()
}

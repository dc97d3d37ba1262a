//! FOREIGN KEY constraints: what they refer to, whether the rows there are keep to them, what drops with what.
//!
//! That later writes keep to them is seen to by `plan` and, between transactions, by the commit.

use std::sync::Arc;

use super::{Change, quoted, quoted_name, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, ColumnDef, ColumnId, ForeignKeyDef, ReferentialAction, TableDef};
use crate::sql::{ConstraintSpec, ConstraintTiming, ForeignKeySpec, KeyAction};
use crate::store::IndexBackfill;
use crate::types::{PgType, TypeName};
use crate::versions::IndexId;

impl Change {
    /// Adds the constraint to the definition of the table; answers its name.
    pub(super) fn add_foreign_key_def(
        &self,
        table: &mut TableDef,
        spec: &ConstraintSpec,
        key: &ForeignKeySpec,
    ) -> Result<String> {
        let parent = self.referenced_table(table, key)?;
        if table.is_temporary() != parent.is_temporary() {
            let message = match table.is_temporary() {
                true => "constraints on temporary tables may reference only temporary tables",
                false => "constraints on permanent tables may reference only permanent tables",
            };
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        }
        let columns = columns_of(table, &key.columns)?;
        let referenced = match key.referenced.as_slice() {
            [] => match &parent.primary_key {
                Some((_, ids)) => ids.clone(),
                None => {
                    let message = format!("there is no primary key for referenced table \"{}\"", parent.name.name);
                    return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                }
            },
            names => columns_of(&parent, names)?,
        };
        if referenced.len() != columns.len() {
            let message = "number of referencing and referenced columns for foreign key disagree";
            return Err(SqlError::new(SqlState::INVALID_FOREIGN_KEY, message));
        }
        let (index, order) = target_of(&parent, &referenced)?;
        let name = match &spec.name {
            Some(name) => name.clone(),
            None => self.free_constraint_name(table, &format!("{}_{}_fkey", table.name.name, key.columns.join("_"))),
        };
        check_types(&name, table, &columns, &parent, &referenced)?;
        let beside = |id: &ColumnId| referenced.iter().position(|r| r == id).and_then(|at| columns.get(at)).copied();
        let set_columns = columns_of(table, &key.set_columns)?;
        if let Some(stray) = set_columns.iter().find(|id| !columns.contains(id)) {
            let column = table.column_by_id(*stray).map(|c| c.name.clone()).unwrap_or_default();
            let message = format!("column \"{column}\" referenced in ON DELETE SET action must be part of foreign key");
            return Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
        }
        table.foreign_keys.push(ForeignKeyDef {
            id: IndexId(self.catalog.ids.next()),
            name: name.clone(),
            table: parent.id,
            index,
            entry: order.iter().filter_map(beside).collect(),
            columns,
            referenced,
            on_delete: action(key.on_delete),
            on_update: action(key.on_update),
            set_columns,
            full: key.full,
            deferrable: spec.timing.deferrable,
            deferred: spec.timing.deferred,
            validated: !key.not_valid,
        });
        Ok(name)
    }

    /// The table that the key names: the one that is being defined, or another.
    fn referenced_table(&self, table: &TableDef, key: &ForeignKeySpec) -> Result<Arc<TableDef>> {
        let found = self.find_table(&key.table);
        let is_self = |found: &Arc<TableDef>| found.id == table.id;
        let names_self = key.table.name == table.name.name && key.table.schema.as_ref().is_none_or(|s| *s == table.name.schema);
        let parent = match found {
            Some(found) if !is_self(&found) => found,
            None if !names_self => {
                if self.find(&key.table, Catalog::has_relation).is_some() {
                    let message = format!("referenced relation \"{}\" is not a table", key.table.name);
                    return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                return Err(undefined("relation", &key.table));
            }
            _ => return Ok(Arc::new(table.clone())),
        };
        self.require("REFERENCES", "table", &parent.name.name, &parent.owner, &parent.grants)?;
        Ok(parent)
    }

    /// The first of `base`, `base1` … that no constraint of the schema's tables has.
    pub(super) fn free_constraint_name(&self, table: &TableDef, base: &str) -> String {
        let others = || self.catalog.tables.values().filter(|t| t.name.schema == table.name.schema && t.id != table.id);
        let taken = |name: &str| table.has_constraint(name) || others().any(|t| t.has_constraint(name));
        let mut names = std::iter::once(base.to_owned()).chain((1u32..).map(|n| format!("{base}{n}")));
        names.find(|name| !taken(name)).unwrap_or_default()
    }

    /// Gives the rows there are their entries, and checks them unless the constraint is NOT VALID. The definition
    /// must have been applied.
    pub(super) async fn fill_foreign_key(&self, table: &TableDef, name: &str) -> Result<()> {
        let Some(key) = table.foreign_keys.iter().find(|key| key.name == name) else {
            return Err(SqlError::internal("a new constraint is missing from its table"));
        };
        self.fill_index(table, key.id).await?;
        if key.validated { self.verify_foreign_key(table, key).await } else { Ok(()) }
    }

    /// 23503 when a live row refers to nothing. The commit fails when either table changes before it.
    async fn verify_foreign_key(&self, table: &TableDef, key: &ForeignKeyDef) -> Result<()> {
        let parent = self.table_now(key.table)?;
        let name = |table: &TableDef, id: &ColumnId| table.column_by_id(*id).map(|c| quoted(&c.name)).unwrap_or_default();
        let own: Vec<String> = key.columns.iter().map(|id| format!("c.{}", name(table, id))).collect();
        let other: Vec<String> = key.referenced.iter().map(|id| format!("p.{}", name(&parent, id))).collect();
        let equal = own.iter().zip(&other).map(|(a, b)| format!("{a} = {b}")).collect::<Vec<_>>().join(" AND ");
        let known = own.iter().map(|c| format!("{c} IS NOT NULL")).collect::<Vec<_>>().join(" AND ");
        let shown = own.iter().map(|c| format!("{c}::text")).collect::<Vec<_>>().join(", ");
        let missing = other.first().cloned().unwrap_or_default();
        let text = format!(
            "SELECT {shown} FROM {} c LEFT JOIN {} p ON {equal} WHERE {known} AND {missing} IS NULL LIMIT 1",
            quoted_name(&table.name),
            quoted_name(&parent.name),
        );
        if let Some(values) = self.first_row(&text).await? {
            let names: Vec<String> =
                key.columns.iter().filter_map(|id| table.column_by_id(*id)).map(|c| c.name.clone()).collect();
            let message =
                format!("insert or update on table \"{}\" violates foreign key constraint \"{}\"", table.name.name, key.name);
            return Err(SqlError::new(SqlState::FOREIGN_KEY_VIOLATION, message)
                .detail(format!(
                    "Key ({})=({}) is not present in table \"{}\".",
                    names.join(", "),
                    values.join(", "),
                    parent.name.name
                ))
                .table(table.name.schema.as_str(), table.name.name.as_str())
                .constraint(key.name.as_str()));
        }
        let mut transaction = self.ctx.transaction.lock();
        let seen = transaction.snapshot.commit;
        for table in [table.id, parent.id] {
            transaction.backfill.push(IndexBackfill { table, seen, entries: Vec::new() });
        }
        Ok(())
    }

    /// VALIDATE CONSTRAINT. Checks hold from the moment they are added.
    pub(super) async fn validate_constraint(&mut self, mut table: TableDef, name: &str) -> Result<()> {
        let Some(at) = table.foreign_keys.iter().position(|key| key.name == name) else {
            if table.checks.iter().any(|check| check.name == name) {
                return Ok(());
            }
            if table.has_constraint(name) {
                let of = &table.name.name;
                let message = format!("constraint \"{name}\" of relation \"{of}\" is not a foreign key or check constraint");
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            return Err(no_constraint(&table, name));
        };
        if let Some(key) = table.foreign_keys.get_mut(at)
            && !key.validated
        {
            key.validated = true;
            let key = key.clone();
            self.verify_foreign_key(&table, &key).await?;
        }
        Ok(self.catalog.replace_table(table)?)
    }

    /// ALTER CONSTRAINT.
    pub(super) fn alter_constraint(&mut self, mut table: TableDef, name: &str, timing: ConstraintTiming) -> Result<()> {
        let missing = no_constraint(&table, name);
        let is_other = table.has_constraint(name);
        let Some(key) = table.foreign_keys.iter_mut().find(|key| key.name == name) else {
            if is_other {
                let of = &table.name.name;
                let message = format!("constraint \"{name}\" of relation \"{of}\" is not a foreign key constraint");
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            return Err(missing);
        };
        key.deferrable = timing.deferrable;
        key.deferred = timing.deferred;
        Ok(self.catalog.replace_table(table)?)
    }

    /// Foreign keys of other tables that refer to this one: as `constraint c on table t`, without those of tables
    /// that go too.
    pub(super) fn referring(&self, table: &TableDef, which: impl Fn(&TableDef, &ForeignKeyDef) -> bool) -> Vec<String> {
        let keys = self.catalog.references_to(table.id).into_iter();
        keys.filter(|(child, key)| child.id != table.id && which(child, key))
            .map(|(child, key)| format!("constraint {} on table {}", key.name, child.name.name))
            .collect()
    }

    /// Before the key that `index` names (`None`: the primary key) goes: 2BP01, or with CASCADE those who refer to it go.
    pub(super) fn release_key(
        &mut self,
        table: &mut TableDef,
        object: &str,
        constraint: &str,
        index: Option<IndexId>,
        cascade: bool,
    ) -> Result<()> {
        let mut needing = self.referring(table, |_, key| key.index == index);
        let own: Vec<String> =
            table.foreign_keys.iter().filter(|f| f.table == table.id && f.index == index).map(|f| f.name.clone()).collect();
        needing.extend(own.iter().map(|name| format!("constraint {name} on table {}", table.name.name)));
        let lines = needing.iter().map(|what| format!("{what} depends on index {constraint}")).collect();
        self.cascade(object, lines, needing, cascade)?;
        self.catalog.drop_foreign_keys_to(table.id, |key| key.index == index);
        table.foreign_keys.retain(|key| !own.contains(&key.name));
        Ok(())
    }

    /// Tables that refer to these and are not among them, directly or through others, with one that they refer to.
    pub(super) fn referring_tables(&self, tables: &[Arc<TableDef>]) -> Vec<(Arc<TableDef>, Arc<TableDef>)> {
        let mut all: Vec<Arc<TableDef>> = tables.to_vec();
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(table) = all.get(at).cloned() {
            for (child, _) in self.catalog.references_to(table.id) {
                if !all.iter().any(|t| t.id == child.id) {
                    found.push((Arc::clone(child), Arc::clone(&table)));
                    all.push(Arc::clone(child));
                }
            }
            at += 1;
        }
        found
    }

    /// Whether a foreign key of this table or to it is made of the column.
    pub(super) fn is_in_foreign_key(&self, table: &TableDef, column: ColumnId) -> bool {
        table.foreign_keys.iter().any(|key| key.columns.contains(&column))
            || self.catalog.references_to(table.id).iter().any(|(_, key)| key.referenced.contains(&column))
    }
}

/// 42704.
pub(super) fn no_constraint(table: &TableDef, name: &str) -> SqlError {
    let message = format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name.name);
    SqlError::new(SqlState::UNDEFINED_OBJECT, message)
}

fn columns_of(table: &TableDef, names: &[String]) -> Result<Vec<ColumnId>> {
    let find = |name: &String| {
        table.column(name).map(|column| column.id).ok_or_else(|| {
            let message = format!("column \"{name}\" referenced in foreign key constraint does not exist");
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })
    };
    names.iter().map(find).collect()
}

/// The key of the table that these columns are, in whatever order: its index (`None` for the primary key) and its order.
fn target_of<'a>(parent: &'a TableDef, referenced: &[ColumnId]) -> Result<(Option<IndexId>, &'a [ColumnId])> {
    let same = |ids: &[ColumnId]| ids.len() == referenced.len() && referenced.iter().all(|id| ids.contains(id));
    if let Some((_, ids)) = parent.primary_key.as_ref().filter(|(_, ids)| same(ids)) {
        return Ok((None, ids));
    }
    let name = &parent.name.name;
    match parent.uniques.iter().filter(|unique| same(&unique.columns)).min_by_key(|unique| unique.deferrable) {
        Some(unique) if unique.deferrable => {
            let message = format!("cannot use a deferrable unique constraint for referenced table \"{name}\"");
            Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message))
        }
        Some(unique) => Ok((Some(unique.id), &unique.columns)),
        None => {
            let message = format!("there is no unique constraint matching given keys for referenced table \"{name}\"");
            Err(SqlError::new(SqlState::INVALID_FOREIGN_KEY, message))
        }
    }
}

fn check_types(name: &str, table: &TableDef, own: &[ColumnId], parent: &TableDef, other: &[ColumnId]) -> Result<()> {
    let pairs = own.iter().zip(other).filter_map(|(a, b)| Some((table.column_by_id(*a)?, parent.column_by_id(*b)?)));
    for (a, b) in pairs {
        if !compares(a.ty, b.ty) {
            return Err(incompatible(name, a, b));
        }
        if a.ty.name == TypeName::Numeric && scale(a.ty) != scale(b.ty) {
            return Err(SqlError::unsupported(
                format!("foreign key columns \"{}\" and \"{}\" have different scales", a.name, b.name),
                "Declare both columns with the same numeric(precision, scale).",
            ));
        }
    }
    Ok(())
}

fn incompatible(name: &str, a: &ColumnDef, b: &ColumnDef) -> SqlError {
    let message = format!("foreign key constraint \"{name}\" cannot be implemented");
    SqlError::new(SqlState::DATATYPE_MISMATCH, message).detail(format!(
        "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
        a.name,
        b.name,
        PgType::new(a.ty.name).sql_name(),
        PgType::new(b.ty.name).sql_name()
    ))
}

/// Whether equal values of both types have the same bytes as keys.
fn compares(a: PgType, b: PgType) -> bool {
    use TypeName::{Int2, Int4, Int8, Text, Varchar};
    let integer = |ty: PgType| matches!(ty.name, Int2 | Int4 | Int8);
    let text = |ty: PgType| matches!(ty.name, Text | Varchar);
    !a.array && !b.array && (a.name == b.name || (integer(a) && integer(b)) || (text(a) && text(b)))
}

fn scale(ty: PgType) -> Option<i8> {
    ty.numeric_precision().map(|(_, scale)| scale)
}

fn action(action: KeyAction) -> ReferentialAction {
    match action {
        KeyAction::NoAction => ReferentialAction::NoAction,
        KeyAction::Restrict => ReferentialAction::Restrict,
        KeyAction::Cascade => ReferentialAction::Cascade,
        KeyAction::SetNull => ReferentialAction::SetNull,
        KeyAction::SetDefault => ReferentialAction::SetDefault,
    }
}

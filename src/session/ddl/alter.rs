//! ALTER TABLE: one action after the other, each true of the data before the next.
//!
//! No stored version is ever rewritten. What would need that is refused with 0A000.

use datafusion::sql::sqlparser::ast;

use super::column::columns_in;
use super::foreign_key::no_constraint;
use super::verify::{contains_nulls, parse_expression};
use super::{Change, literal, types};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, ColumnDef, TableDef};
use crate::plan::modify::assignable;
use crate::sql::{AlterTable, ColumnSpec, ConstraintKind, ConstraintSpec, Name};
use crate::types::text::text_of_scalar;
use crate::types::{PgType, Qualified, Zone};

impl Change {
    pub(super) async fn alter_table(&mut self, name: &Name, if_exists: bool, actions: &[AlterTable]) -> Result<()> {
        if if_exists && self.find(name, Catalog::has_relation).is_none() {
            self.notice(format!("relation \"{name}\" does not exist, skipping"));
            return Ok(());
        }
        let id = self.own_table(name)?.id;
        for action in actions {
            let table = TableDef::clone(&*self.table_now(id)?);
            self.alter(table, action).await?;
            self.apply()?;
        }
        Ok(())
    }

    async fn alter(&mut self, mut table: TableDef, action: &AlterTable) -> Result<()> {
        match action {
            AlterTable::AddColumn { column, constraints, if_not_exists } => {
                return self.add_column(table, column, constraints, *if_not_exists).await;
            }
            AlterTable::DropColumn { name, if_exists, cascade } => {
                return self.drop_column(table, name, *if_exists, *cascade).await;
            }
            AlterTable::AddConstraint(constraint) => return self.add_constraint(table, constraint).await,
            AlterTable::DropConstraint { name, if_exists, cascade } => {
                return self.drop_constraint(table, name, *if_exists, *cascade).await;
            }
            AlterTable::ValidateConstraint { name } => return self.validate_constraint(table, name).await,
            AlterTable::AlterConstraint { name, timing } => return self.alter_constraint(table, name, *timing),
            AlterTable::RenameColumn { from, to } => return self.rename_column(table, from, to),
            AlterTable::RenameTable { to } => {
                self.refuse_dependents_of_rename("table", &table.name)?;
                to.clone_into(&mut table.name.name);
            }
            AlterTable::SetSchema { schema } => return self.set_schema(table, schema),
            AlterTable::SetDefault { column, default } => return self.set_default(table, column, default.as_deref()).await,
            AlterTable::SetNotNull { column, not_null } => return self.set_not_null(table, column, *not_null).await,
            AlterTable::SetType { column, ty, using } => return self.set_type(table, column, *ty, using.as_deref()).await,
            AlterTable::RenameConstraint { from, to } => rename_constraint(&mut table, from, to)?,
            AlterTable::OwnerTo { role } => {
                if !self.authority.owns(role) {
                    let message = format!("must be member of role \"{role}\"");
                    return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
                }
                role.clone_into(&mut table.owner);
            }
        }
        Ok(self.catalog.replace_table(table)?)
    }

    async fn add_column(
        &mut self,
        mut table: TableDef,
        spec: &ColumnSpec,
        constraints: &[ConstraintSpec],
        if_not_exists: bool,
    ) -> Result<()> {
        if table.column(&spec.name).is_some() {
            let message = format!("column \"{}\" of relation \"{}\" already exists", spec.name, table.name.name);
            if if_not_exists {
                self.notice(format!("{message}, skipping"));
                return Ok(());
            }
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        let altered = table.id;
        let has_versions = self.has_versions(altered).await?;
        if has_versions && (spec.serial || spec.identity.is_some()) {
            return Err(needs_rewrite("a column that counts", &table.name.name));
        }
        let id = self.add_column_def(&mut table, spec)?;
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        self.verify_expressions(&table).await?;
        if has_versions {
            let missing = match &spec.default {
                Some(default) => self.missing_value(&table, default, spec.ty).await?,
                None => None,
            };
            if missing.is_none() && spec.not_null && self.has_rows(&table).await? {
                return Err(contains_nulls(&table, &spec.name));
            }
            table.columns.iter_mut().filter(|c| c.id == id).for_each(|c| c.missing.clone_from(&missing));
            self.catalog.replace_table(table)?;
            self.apply()?;
        }
        for constraint in constraints {
            let table = TableDef::clone(&*self.table_now(altered)?);
            self.add_constraint(table, constraint).await?;
            self.apply()?;
        }
        Ok(())
    }

    /// What rows from before the column read as: the default, evaluated once now. `None` for NULL.
    async fn missing_value(&self, table: &TableDef, default: &str, ty: PgType) -> Result<Option<String>> {
        if let Some(name) = volatile_call(&parse_expression(default)?) {
            let what = format!("a column whose default calls {name}()");
            return Err(needs_rewrite(&what, &table.name.name));
        }
        let value = self.evaluate(default, ty).await?;
        if value.is_null() {
            return Ok(None);
        }
        let text = text_of_scalar(ty, &value, Zone::UTC)?.unwrap_or_default();
        Ok(Some(format!("CAST({} AS {})", literal(&text), ty.sql_name())))
    }

    /// Views that would break are dropped with CASCADE, else 2BP01. The values stay in the past.
    async fn drop_column(&mut self, mut table: TableDef, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let Some(column) = table.column(name).cloned() else {
            if if_exists {
                self.notice(format!("column \"{name}\" of relation \"{}\" does not exist, skipping", table.name.name));
                return Ok(());
            }
            return Err(no_column(&table, name));
        };
        let in_key = table.primary_key.as_ref().is_some_and(|(_, ids)| ids.contains(&column.id));
        if in_key && self.has_versions(table.id).await? {
            return Err(needs_rekey(&table, "drop a column of the primary key of"));
        }
        let of = format!("column {name} of table {}", table.name.name);
        let needing = self.referring(&table, |_, key| key.referenced.contains(&column.id));
        let lines = needing.iter().map(|what| format!("{what} depends on {of}")).collect();
        self.cascade(&of, lines, needing, cascade)?;
        self.catalog.drop_foreign_keys_to(table.id, |key| key.referenced.contains(&column.id));
        let own = table.id;
        table
            .foreign_keys
            .retain(|key| !(key.columns.contains(&column.id) || (key.table == own && key.referenced.contains(&column.id))));
        if in_key {
            table.primary_key = None;
        }
        let mut checks = Vec::new();
        for check in std::mem::take(&mut table.checks) {
            if !columns_in(&table, &check.expression)?.contains(name) {
                checks.push(check);
            }
        }
        table.checks = checks;
        table.uniques.retain(|unique| !unique.columns.contains(&column.id));
        table.indexes.retain(|index| !index.columns.contains(&column.id));
        table.comments.columns.remove(&column.id);
        for column in table.columns.iter_mut().filter(|c| c.id == column.id) {
            column.dropped = true;
            column.not_null = false;
            column.default = None;
            column.identity = None;
        }
        let owned = self.catalog.owned_sequences(table.id).into_iter().filter(|s| s.owned_by == Some((table.id, column.id)));
        let owned: Vec<Qualified> = owned.map(|sequence| sequence.name.clone()).collect();
        self.catalog.replace_table(table.clone())?;
        for sequence in owned {
            self.catalog.drop_sequence(&sequence)?;
        }
        self.apply()?;
        let broken = self.broken_views(&table.name).await?;
        let of = format!("column {name} of table {}", table.name.name);
        let lines = broken.iter().map(|view| format!("view {} depends on {of}", view.name)).collect();
        self.cascade(&of, lines, broken.iter().map(|view| format!("view {}", view.name)).collect(), cascade)?;
        broken.iter().try_for_each(|view| self.catalog.drop_view(view).map(drop))?;
        Ok(())
    }

    /// Views over the relation that no longer give the columns they were made with.
    async fn broken_views(&self, name: &Qualified) -> Result<Vec<Qualified>> {
        let mut broken = Vec::new();
        for view in self.dependents_of(name) {
            let whole = match self.analyse(&view.query).await {
                Ok((_, prepared)) => {
                    let columns = prepared.columns.as_deref().unwrap_or_default();
                    columns.len() == view.columns.len() && columns.iter().zip(&view.columns).all(|(now, (_, ty))| now.ty == *ty)
                }
                Err(_) => false,
            };
            if !whole {
                broken.push(view.name.clone());
            }
        }
        Ok(broken)
    }

    async fn add_constraint(&mut self, mut table: TableDef, spec: &ConstraintSpec) -> Result<()> {
        if matches!(spec.kind, ConstraintKind::PrimaryKey(_)) && self.has_versions(table.id).await? {
            if table.primary_key.is_some() {
                let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name.name);
                return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
            }
            return Err(needs_rekey(&table, "add a primary key to"));
        }
        let name = self.add_constraint_def(&mut table, spec)?;
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        match &spec.kind {
            ConstraintKind::PrimaryKey(_) => Ok(()),
            ConstraintKind::ForeignKey(_) => self.fill_foreign_key(&table, &name).await,
            ConstraintKind::Check { expression, .. } => {
                self.verify_expressions(&table).await?;
                self.verify_check(&table, &name, expression).await
            }
            ConstraintKind::Unique(columns) => {
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                self.verify_unique(&table, &name, &columns).await?;
                match table.uniques.iter().find(|unique| unique.name == name) {
                    Some(unique) => self.fill_index(&table, unique.id).await,
                    None => Err(SqlError::internal("a new constraint is missing from its table")),
                }
            }
        }
    }

    async fn drop_constraint(&mut self, mut table: TableDef, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let object = format!("constraint {name} on table {}", table.name.name);
        if table.primary_key.as_ref().is_some_and(|(key, _)| key == name) {
            if self.has_versions(table.id).await? {
                return Err(needs_rekey(&table, "drop the primary key of"));
            }
            self.release_key(&mut table, &object, name, None, cascade)?;
            table.primary_key = None;
        } else if let Some(id) = table.uniques.iter().find(|u| u.constraint && u.name == name).map(|u| u.id) {
            self.release_key(&mut table, &object, name, Some(id), cascade)?;
            table.uniques.retain(|unique| unique.id != id);
        } else if table.has_constraint(name) {
            table.checks.retain(|check| check.name != name);
            table.foreign_keys.retain(|key| key.name != name);
        } else if if_exists {
            let message = format!("constraint \"{name}\" of relation \"{}\" does not exist, skipping", table.name.name);
            self.notice(message);
            return Ok(());
        } else {
            return Err(no_constraint(&table, name));
        }
        table.comments.constraints.remove(name);
        table.comments.indexes.remove(name);
        Ok(self.catalog.replace_table(table)?)
    }

    fn rename_column(&mut self, mut table: TableDef, from: &str, to: &str) -> Result<()> {
        if table.column(from).is_none() {
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{from}\" does not exist")));
        }
        if table.column(to).is_some() {
            let message = format!("column \"{to}\" of relation \"{}\" already exists", table.name.name);
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        for check in &table.checks {
            if columns_in(&table, &check.expression)?.contains(from) {
                return Err(SqlError::unsupported(
                    format!("column \"{from}\" cannot be renamed while constraint \"{}\" names it", check.name),
                    "Drop the constraint first and add it again with the new name.",
                ));
            }
        }
        self.refuse_dependents_of_rename("column of table", &table.name)?;
        table.columns.iter_mut().filter(|c| c.name == from && !c.dropped).for_each(|c| to.clone_into(&mut c.name));
        Ok(self.catalog.replace_table(table)?)
    }

    fn set_schema(&mut self, mut table: TableDef, schema: &str) -> Result<()> {
        self.new_name(&Name::qualified(schema, table.name.name.as_str()))?;
        self.refuse_dependents_of_rename("table", &table.name)?;
        if !self.catalog.owned_sequences(table.id).is_empty() {
            return Err(SqlError::unsupported(
                format!("table \"{}\" cannot move to another schema while its columns own sequences", table.name.name),
                "Make the table in the other schema and copy its rows.",
            ));
        }
        schema.clone_into(&mut table.name.schema);
        Ok(self.catalog.replace_table(table)?)
    }

    async fn set_default(&mut self, mut table: TableDef, column: &str, default: Option<&str>) -> Result<()> {
        let found = column_mut(&mut table, column)?;
        if found.identity.is_some() {
            let message = format!("column \"{column}\" of relation \"{}\" is an identity column", table.name.name);
            return Err(SqlError::syntax(message));
        }
        found.default = default.map(str::to_owned);
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        self.verify_expressions(&table).await
    }

    async fn set_not_null(&mut self, mut table: TableDef, column: &str, not_null: bool) -> Result<()> {
        let id = column_mut(&mut table, column)?.id;
        if not_null {
            self.verify_not_null(&table, column).await?;
        } else if table.primary_key.as_ref().is_some_and(|(_, ids)| ids.contains(&id)) {
            let message = format!("column \"{column}\" is in a primary key");
            return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        } else if table.column_by_id(id).is_some_and(|c| c.identity.is_some()) {
            let message = format!("column \"{column}\" of relation \"{}\" is an identity column", table.name.name);
            return Err(SqlError::syntax(message));
        }
        column_mut(&mut table, column)?.not_null = not_null;
        Ok(self.catalog.replace_table(table)?)
    }

    async fn set_type(&mut self, mut table: TableDef, column: &str, ty: PgType, using: Option<&str>) -> Result<()> {
        let found = column_mut(&mut table, column)?.clone();
        let keys = table.primary_key.iter().map(|(_, ids)| ids);
        let mut keyed = keys.chain(table.uniques.iter().map(|u| &u.columns)).chain(table.indexes.iter().map(|i| &i.columns));
        let keyed = keyed.any(|ids| ids.contains(&found.id)) || self.is_in_foreign_key(&table, found.id);
        if using.is_none() && !assignable(found.ty, ty) {
            let (name, to) = (&found.name, ty.sql_name());
            let message = format!("column \"{name}\" cannot be cast automatically to type {to}");
            let hint = format!("You might need to specify \"USING {name}::{to}\".");
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message).hint(hint));
        }
        let readable = types::reads_unchanged(found.ty, ty, keyed) && using.is_none_or(|using| is_plain(using, column));
        if !readable && self.has_versions(table.id).await? {
            return Err(SqlError::unsupported(
                format!("cannot change the type of column \"{column}\" from {} to {}", found.ty.sql_name(), ty.sql_name()),
                "Stored versions are never rewritten. Add a column of the new type and fill it by UPDATE.",
            ));
        }
        if !self.views_on(&table.name).is_empty() && found.ty != ty {
            let message = "cannot alter type of a column used by a view or rule";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).hint("Drop the view first."));
        }
        column_mut(&mut table, column)?.ty = ty;
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        self.verify_expressions(&table).await
    }
}

fn column_mut<'a>(table: &'a mut TableDef, name: &str) -> Result<&'a mut ColumnDef> {
    let missing = no_column(table, name);
    table.columns.iter_mut().find(|c| c.name == name && !c.dropped).ok_or(missing)
}

fn no_column(table: &TableDef, name: &str) -> SqlError {
    let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name.name);
    SqlError::new(SqlState::UNDEFINED_COLUMN, message)
}

fn rename_constraint(table: &mut TableDef, from: &str, to: &str) -> Result<()> {
    let is_unique = table.uniques.iter().any(|u| u.constraint && u.name == from);
    let is_key = table.primary_key.as_ref().is_some_and(|(name, _)| name == from);
    if is_unique || is_key {
        super::index::rename(table, from, to);
        return Ok(());
    }
    let check = table.checks.iter_mut().find(|check| check.name == from).map(|check| &mut check.name);
    let key = table.foreign_keys.iter_mut().find(|key| key.name == from).map(|key| &mut key.name);
    match check.or(key) {
        Some(name) => {
            to.clone_into(name);
            Ok(())
        }
        None => {
            let message = format!("constraint \"{from}\" for table \"{}\" does not exist", table.name.name);
            Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message))
        }
    }
}

/// Whether USING only names the column, with or without a cast.
fn is_plain(using: &str, column: &str) -> bool {
    let bare = |expression: &ast::Expr| matches!(expression, ast::Expr::Identifier(ident) if ident.value == column);
    match parse_expression(using) {
        Ok(ast::Expr::Cast { expr, .. }) => bare(&expr),
        Ok(expression) => bare(&expression),
        Err(_) => false,
    }
}

/// The first function in the expression that gives another value at every call.
fn volatile_call(expression: &ast::Expr) -> Option<String> {
    const VOLATILE: &[&str] =
        &["nextval", "random", "gen_random_uuid", "uuid_generate_v4", "clock_timestamp", "timeofday", "setval", "lastval"];
    let mut found = None;
    let _: std::ops::ControlFlow<()> = ast::visit_expressions(expression, |expr| {
        if let ast::Expr::Function(call) = expr {
            let name = call.name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
            found = found.take().or(name.filter(|name| VOLATILE.contains(&name.as_str())));
        }
        std::ops::ControlFlow::Continue(())
    });
    found
}

fn needs_rewrite(what: &str, table: &str) -> SqlError {
    SqlError::unsupported(
        format!("cannot add {what} to table \"{table}\", which has rows"),
        "Stored versions are never rewritten. Add the column without it, fill it by UPDATE, then set the default.",
    )
}

fn needs_rekey(table: &TableDef, what: &str) -> SqlError {
    SqlError::unsupported(
        format!("cannot {what} table \"{}\", which has rows", table.name.name),
        "Rows of the past are known by their key. Make a new table and copy the rows.",
    )
}

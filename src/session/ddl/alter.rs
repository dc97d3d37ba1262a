//! ALTER TABLE: one action after the other, each true of the data before the next.
//!
//! No stored version is ever rewritten: where rows need other values, or other keys, they get new states.

use datafusion::sql::sqlparser::ast;

use super::column::columns_in;
use super::foreign_key::no_constraint;
use super::retype::NewType;
use super::verify::{contains_nulls, parse_expression};
use super::{Change, literal, quoted, quoted_name, types};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, ColumnDef, IndexPart, SequenceDef, TableDef, TriggerDef};
use crate::plan::modify::assignable;
use crate::sql::rename::rename_column;
use crate::sql::{AlterTable, ColumnSpec, ConstraintKind, ConstraintSpec, Name};
use crate::types::text::text_of_scalar;
use crate::types::{PgType, Qualified, Zone};
use crate::versions::TableId;

impl Change {
    pub(super) async fn alter_table(&mut self, name: &Name, if_exists: bool, actions: &[AlterTable]) -> Result<()> {
        if if_exists && self.find(name, Catalog::has_relation).is_none() {
            self.notice(format!("relation \"{name}\" does not exist, skipping"));
            return Ok(());
        }
        if self.alter_other_relation(name, actions)? {
            return Ok(());
        }
        let collection = self.find_table(name).filter(|table| table.is_of_documents());
        if let Some(table) = collection.filter(|_| !actions.is_empty() && actions.iter().all(fits_documents)) {
            self.require_owner("table", &table.name.name, &table.owner)?;
            return Box::pin(self.alter_each(table.id, actions)).await;
        }
        let of_any_relation = |action: &AlterTable| {
            matches!(action, AlterTable::RenameTable { .. } | AlterTable::SetSchema { .. } | AlterTable::OwnerTo { .. })
        };
        let table = match actions.iter().all(of_any_relation) {
            true => self.own_stored(name)?,
            false => self.own_table(name)?,
        };
        self.alter_each(table.id, actions).await
    }

    pub(super) async fn alter_each(&mut self, id: TableId, actions: &[AlterTable]) -> Result<()> {
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
                let column = self.resolved(column)?;
                return Box::pin(self.add_column(table, &column, constraints, *if_not_exists)).await;
            }
            AlterTable::DropColumn { name, if_exists, cascade } => {
                return Box::pin(self.drop_column(table, name, *if_exists, *cascade)).await;
            }
            AlterTable::AddConstraint(constraint) => return Box::pin(self.add_constraint(table, constraint)).await,
            AlterTable::DropConstraint { name, if_exists, cascade } => {
                return Box::pin(self.drop_constraint(table, name, *if_exists, *cascade)).await;
            }
            AlterTable::ValidateConstraint { name } => return Box::pin(self.validate_constraint(table, name)).await,
            AlterTable::AddIdentity { column, kind, options } => return self.add_identity(table, column, *kind, options),
            AlterTable::SetIdentity { column, kind, options } => {
                return Box::pin(self.set_identity(table, column, *kind, options)).await;
            }
            AlterTable::DropIdentity { column, if_exists } => return self.drop_identity(table, column, *if_exists),
            AlterTable::DropExpression { column, if_exists } => return self.drop_expression(table, column, *if_exists),
            AlterTable::SetTrigger { name, enabled } => return self.set_trigger(table, name.as_deref(), *enabled),
            AlterTable::Nothing => return Ok(()),
            AlterTable::AlterConstraint { name, timing } => return self.alter_constraint(table, name, *timing),
            AlterTable::RenameColumn { from, to } => return self.rename_column(table, from, to),
            AlterTable::RenameTable { to } => {
                let new = crate::types::Qualified::new(table.name.schema.as_str(), to.as_str());
                self.follow_rename("table", &table.name, &new)?;
                table.name = new;
            }
            AlterTable::SetSchema { schema } => return self.set_schema(table, schema),
            AlterTable::SetDefault { column, default } => {
                return Box::pin(self.set_default(table, column, default.as_deref())).await;
            }
            AlterTable::SetNotNull { column, not_null } => return Box::pin(self.set_not_null(table, column, *not_null)).await,
            AlterTable::SetType { column, ty, own, using } => {
                let (ty, domain) = self.written_type(*ty, own.as_ref())?;
                return Box::pin(self.set_type(table, column, NewType { ty, domain, using: using.as_deref() })).await;
            }
            AlterTable::RenameConstraint { from, to } => rename_constraint(&mut table, from, to)?,
            AlterTable::OwnerTo { role } => {
                self.require_membership(role)?;
                for sequence in self.catalog.owned_sequences(table.id) {
                    let owner = role.clone();
                    self.catalog.replace_sequence(SequenceDef { owner, ..SequenceDef::clone(&sequence) })?;
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
        let counted = spec.serial || spec.identity.is_some();
        let volatile = match &spec.default {
            Some(default) => volatile_call(&parse_expression(default)?).is_some(),
            None => false,
        };
        let filled = has_versions && (counted || volatile || spec.generated.is_some());
        let id = self.add_column_def(&mut table, spec)?;
        let required = table.column_by_id(id).is_some_and(|c| c.not_null);
        if filled {
            table.columns.iter_mut().filter(|c| c.id == id).for_each(|c| c.not_null = false);
        }
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        self.verify_expressions(&table).await?;
        if filled {
            // Every row gets a value of its own, in a new state.
            let (of, column) = (quoted_name(&table.name), quoted(&spec.name));
            self.write(&format!("UPDATE {of} SET {column} = DEFAULT")).await?;
            if required {
                self.verify_not_null(&table, &spec.name).await?;
                table.columns.iter_mut().filter(|c| c.id == id).for_each(|c| c.not_null = true);
                self.catalog.replace_table(table)?;
                self.apply()?;
            }
        } else if has_versions {
            let missing = match &spec.default {
                Some(default) => self.missing_value(default, spec.ty).await?,
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
            Box::pin(self.add_constraint(table, constraint)).await?;
            self.apply()?;
        }
        Ok(())
    }

    /// What rows from before the column read as: the default, evaluated once now. `None` for NULL.
    async fn missing_value(&self, default: &str, ty: PgType) -> Result<Option<String>> {
        let value = self.evaluate(default, ty).await?;
        if value.is_null() {
            return Ok(None);
        }
        let text = text_of_scalar(ty, &value, Zone::UTC)?.unwrap_or_default();
        // A label is renamed in its definitions only where it stands alone.
        Ok(Some(match ty.name.user() {
            Some(_) => literal(&text),
            None => format!("CAST({} AS {})", literal(&text), ty.sql_name()),
        }))
    }

    /// Views that would break are dropped with CASCADE, else 2BP01. The values stay in the past.
    pub(super) async fn drop_column(&mut self, mut table: TableDef, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
        let Some(column) = table.column(name).cloned() else {
            if if_exists {
                self.notice(format!("column \"{name}\" of relation \"{}\" does not exist, skipping", table.name.name));
                return Ok(());
            }
            return Err(no_column(&table, name));
        };
        for other in table.live_columns().filter(|c| c.id != column.id) {
            if let Some(text) = &other.generated
                && columns_in(&table, text)?.contains(name)
            {
                let of = format!("column {name} of table {}", table.name.name);
                let what = format!("column {} of table {}", other.name, table.name.name);
                self.cascade(&of, vec![format!("{what} depends on {of}")], vec![what], cascade)?;
                let dependent = other.name.clone();
                Box::pin(self.drop_column(table.clone(), &dependent, false, cascade)).await?;
                let table = TableDef::clone(&*self.table_now(table.id)?);
                return Box::pin(self.drop_column(table, name, if_exists, cascade)).await;
            }
        }
        let in_key = table.primary_key.as_ref().is_some_and(|(_, ids)| ids.contains(&column.id));
        let before = table.clone();
        let of = format!("column {name} of table {}", table.name.name);
        let needing = self.referring(&table, |_, key| key.referenced.contains(&column.id));
        let lines = needing.iter().map(|what| format!("{what} depends on {of}")).collect();
        self.cascade(&of, lines, needing, cascade)?;
        self.catalog.drop_foreign_keys_to(table.id, |key| key.referenced.contains(&column.id));
        let needs = |trigger: &TriggerDef| trigger.columns.contains(&column.id) || super::trigger::names_column(trigger, name);
        let needing: Vec<String> = table
            .triggers
            .iter()
            .filter(|trigger| needs(trigger))
            .map(|trigger| format!("trigger {} on table {}", trigger.name, table.name.name))
            .collect();
        let lines = needing.iter().map(|what| format!("{what} depends on {of}")).collect();
        self.cascade(&of, lines, needing, cascade)?;
        table.triggers.retain(|trigger| !needs(trigger));
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
        let mut computed = Vec::new();
        for index in std::mem::take(&mut table.computed_indexes) {
            let texts = index.parts.iter().filter_map(|part| match part {
                IndexPart::Expression(text) => Some(text),
                IndexPart::Column(_) => None,
            });
            let mut names = false;
            for text in texts.chain(&index.predicate) {
                names |= columns_in(&table, text)?.contains(name);
            }
            if !names && !index.parts.contains(&IndexPart::Column(column.id)) {
                computed.push(index);
            }
        }
        table.computed_indexes = computed;
        table.comments.columns.remove(&column.id);
        for column in table.columns.iter_mut().filter(|c| c.id == column.id) {
            column.dropped = true;
            column.not_null = false;
            column.default = None;
            column.identity = None;
            column.generated = None;
        }
        let owned = self.catalog.owned_sequences(table.id).into_iter().filter(|s| s.owned_by == Some((table.id, column.id)));
        let owned: Vec<Qualified> = owned.map(|sequence| sequence.name.clone()).collect();
        self.catalog.replace_table(table.clone())?;
        for sequence in owned {
            self.catalog.drop_sequence(&sequence)?;
        }
        self.apply()?;
        if in_key {
            self.rekey(&before, &table).await?;
        }
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

    pub(super) async fn add_constraint(&mut self, mut table: TableDef, spec: &ConstraintSpec) -> Result<()> {
        if let ConstraintKind::UsingIndex { primary, index } = &spec.kind {
            return Box::pin(self.constrain_by_index(table, spec.name.as_ref(), *primary, index, spec.timing)).await;
        }
        if let ConstraintKind::Unique(columns) = &spec.kind
            && table.is_of_documents()
        {
            super::member_index::check_columns(&table, columns)?;
        }
        let before = table.clone();
        let name = self.add_constraint_def(&mut table, spec)?;
        if let ConstraintKind::PrimaryKey(columns) = &spec.kind {
            // Under the definition that the rows still keep to.
            for column in columns {
                self.verify_not_null(&before, column).await?;
            }
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            self.verify_unique(&before, &name, &columns).await?;
        }
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        match &spec.kind {
            ConstraintKind::UsingIndex { .. } => Ok(()),
            ConstraintKind::PrimaryKey(_) => self.rekey(&before, &table).await,
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
            table.check_definable()?;
            let before = table.clone();
            self.release_key(&mut table, &object, name, None, cascade)?;
            table.primary_key = None;
            table.comments.constraints.remove(name);
            table.comments.indexes.remove(name);
            self.catalog.replace_table(table.clone())?;
            self.apply()?;
            return self.rekey(&before, &table).await;
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
        if to.len() > 63 {
            return Err(super::too_long(to));
        }
        if let Some(trigger) = table.triggers.iter().find(|trigger| super::trigger::names_column(trigger, from)) {
            let message =
                format!("column \"{from}\" cannot be renamed while the condition of trigger \"{}\" names it", trigger.name);
            return Err(SqlError::unsupported(message, "Drop the trigger first and make it again afterwards."));
        }
        for check in &mut table.checks {
            check.expression = rename_column(&check.expression, from, to)?;
        }
        for text in table.columns.iter_mut().filter_map(|c| c.generated.as_mut()) {
            *text = rename_column(text, from, to)?;
        }
        for index in &mut table.computed_indexes {
            let texts = index.parts.iter_mut().filter_map(|part| match part {
                IndexPart::Expression(text) => Some(text),
                IndexPart::Column(_) => None,
            });
            for text in texts.chain(&mut index.predicate) {
                *text = rename_column(text, from, to)?;
            }
        }
        self.follow_column_rename(&table.name, from, to)?;
        table.columns.iter_mut().filter(|c| c.name == from && !c.dropped).for_each(|c| to.clone_into(&mut c.name));
        Ok(self.catalog.replace_table(table)?)
    }

    fn set_schema(&mut self, table: TableDef, schema: &str) -> Result<()> {
        super::refuse_move(&table.name, schema)?;
        self.new_name(&Name::qualified(schema, table.name.name.as_str()))?;
        self.follow_rename("table", &table.name, &Qualified::new(schema, table.name.name.as_str()))?;
        for sequence in self.catalog.owned_sequences(table.id) {
            let to = Qualified::new(schema, sequence.name.name.as_str());
            self.move_sequence(SequenceDef::clone(&sequence), to)?;
        }
        // Its defaults may have changed with the sequences.
        let mut table = TableDef::clone(&*self.table_now(table.id)?);
        schema.clone_into(&mut table.name.schema);
        Ok(self.catalog.replace_table(table)?)
    }

    async fn set_default(&mut self, mut table: TableDef, column: &str, default: Option<&str>) -> Result<()> {
        let of = table.name.name.clone();
        let found = column_mut(&mut table, column)?;
        if found.identity.is_some() {
            let message = format!("column \"{column}\" of relation \"{}\" is an identity column", table.name.name);
            return Err(SqlError::syntax(message));
        }
        if found.generated.is_some() {
            let message = format!("column \"{column}\" of relation \"{of}\" is a generated column");
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

    async fn set_type(&mut self, mut table: TableDef, column: &str, new: NewType<'_>) -> Result<()> {
        let NewType { ty, domain, using } = new;
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
        let readable =
            types::reads_unchanged(found.ty, ty, keyed) && domain.is_none() && using.is_none_or(|using| is_plain(using, column));
        if found.ty != ty
            && let Some(index) = computed_over(&table, &found)?
        {
            let message = format!("cannot change the type of column \"{column}\": unique index \"{index}\" is over it");
            return Err(SqlError::unsupported(message, "Drop the index first and make it again afterwards."));
        }
        if !self.views_on(&table.name).is_empty() && found.ty != ty {
            let message = "cannot alter type of a column used by a view or rule";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).hint("Drop the view first."));
        }
        if !readable && self.has_versions(table.id).await? {
            let in_key = table.primary_key.as_ref().is_some_and(|(_, ids)| ids.contains(&found.id));
            if in_key || self.is_in_foreign_key(&table, found.id) {
                return Err(SqlError::unsupported(
                    format!("cannot change the type of column \"{column}\" from {} to {}", found.ty.sql_name(), ty.sql_name()),
                    "The column is part of a key. Drop the constraint first and add it again afterwards.",
                ));
            }
            for other in table.live_columns() {
                if let Some(text) = &other.generated
                    && columns_in(&table, text)?.contains(column)
                {
                    let message = "cannot alter type of a column used by a generated column";
                    return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                        .detail(format!("Column \"{column}\" is used by generated column \"{}\".", other.name)));
                }
            }
            return Box::pin(self.retype(table, column, new)).await;
        }
        let changed = column_mut(&mut table, column)?;
        (changed.ty, changed.domain) = (ty, domain);
        self.catalog.replace_table(table.clone())?;
        self.apply()?;
        self.verify_expressions(&table).await
    }
}

pub(super) fn column_mut<'a>(table: &'a mut TableDef, name: &str) -> Result<&'a mut ColumnDef> {
    let missing = no_column(table, name);
    table.columns.iter_mut().find(|c| c.name == name && !c.dropped).ok_or(missing)
}

pub(super) fn no_column(table: &TableDef, name: &str) -> SqlError {
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
    table.comments.rename(from, to);
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
/// A unique index over expressions or part of the rows that looks at the column.
fn computed_over(table: &TableDef, column: &ColumnDef) -> Result<Option<String>> {
    for index in table.computed_indexes.iter().filter(|index| index.unique) {
        let texts = index.parts.iter().filter_map(|part| match part {
            IndexPart::Expression(text) => Some(text),
            IndexPart::Column(_) => None,
        });
        let mut named = index.parts.contains(&IndexPart::Column(column.id));
        for text in texts.chain(&index.predicate) {
            named |= columns_in(table, text)?.contains(&column.name);
        }
        if named {
            return Ok(Some(index.name.clone()));
        }
    }
    Ok(None)
}

/// Whether a table over a collection can be changed so: by a column that is as one of those that follow from documents, or
/// by what is unique among them.
fn fits_documents(action: &AlterTable) -> bool {
    match action {
        AlterTable::AddColumn { column, constraints, .. } => {
            let bare = !column.not_null && column.default.is_none() && column.identity.is_none() && column.generated.is_none();
            let known = [PgType::BOOL, PgType::INT8, PgType::FLOAT8, PgType::TEXT, PgType::JSONB].contains(&column.ty);
            bare && known && column.name != "_system" && !column.serial && column.own.is_none() && constraints.is_empty()
        }
        AlterTable::AddConstraint(spec) => {
            matches!(spec.kind, ConstraintKind::Unique(_) | ConstraintKind::UsingIndex { primary: false, .. })
        }
        AlterTable::DropConstraint { .. } => true,
        _ => false,
    }
}

fn is_plain(using: &str, column: &str) -> bool {
    let bare = |expression: &ast::Expr| matches!(expression, ast::Expr::Identifier(ident) if ident.value == column);
    match parse_expression(using) {
        Ok(ast::Expr::Cast { expr, .. }) => bare(&expr),
        Ok(expression) => bare(&expression),
        Err(_) => false,
    }
}

/// Functions that give another value at every call.
const VOLATILE: &[&str] =
    &["nextval", "random", "gen_random_uuid", "uuid_generate_v4", "clock_timestamp", "timeofday", "setval", "lastval"];

/// Functions that give another value to another transaction or session.
const STABLE: &[&str] = &[
    "now",
    "current_timestamp",
    "transaction_timestamp",
    "statement_timestamp",
    "localtimestamp",
    "current_date",
    "current_time",
    "localtime",
    "current_user",
    "session_user",
    "user",
    "current_role",
    "current_schema",
    "current_database",
    "current_setting",
    "to_char",
    "currval",
];

/// The first function in the expression that does not always give the same value for the same arguments.
pub(super) fn changing_call(expression: &ast::Expr) -> Option<String> {
    call_among(expression, &|name| VOLATILE.contains(&name) || STABLE.contains(&name))
}

/// The first function in the expression that gives another value at every call.
fn volatile_call(expression: &ast::Expr) -> Option<String> {
    call_among(expression, &|name| VOLATILE.contains(&name))
}

fn call_among(expression: &ast::Expr, is_among: &dyn Fn(&str) -> bool) -> Option<String> {
    let mut found = None;
    let _: std::ops::ControlFlow<()> = ast::visit_expressions(expression, |expr| {
        if let ast::Expr::Function(call) = expr {
            let name = call.name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
            found = found.take().or(name.filter(|name| is_among(name)));
        }
        std::ops::ControlFlow::Continue(())
    });
    found
}

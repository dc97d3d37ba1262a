//! ALTER COLUMN … ADD, SET and DROP of IDENTITY, DROP EXPRESSION.

use super::alter::{column_mut, no_column};
use super::{Change, sequence};
use crate::error::{Result, SqlError, SqlState};
use crate::history::TableDef;
use crate::sql::{ColumnSpec, SequenceOptions};
use crate::types::{Identity, TypeName};

impl Change {
    pub(super) fn add_identity(
        &mut self,
        mut table: TableDef,
        column: &str,
        kind: Identity,
        options: &SequenceOptions,
    ) -> Result<()> {
        let def = table.column(column).cloned().ok_or_else(|| no_column(&table, column))?;
        let of = format!("column \"{column}\" of relation \"{}\"", table.name.name);
        let refuse = |message: String| Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        if !def.not_null {
            return refuse(format!("{of} must be declared NOT NULL before identity can be added"));
        }
        if def.identity.is_some() {
            return refuse(format!("{of} is already an identity column"));
        }
        if def.default.is_some() {
            return refuse(format!("{of} already has a default value"));
        }
        if !matches!(def.ty.name, TypeName::Int2 | TypeName::Int4 | TypeName::Int8) || def.ty.array {
            let message = "identity column type must be smallint, integer, or bigint";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        let spec = ColumnSpec {
            name: def.name.clone(),
            ty: def.ty,
            own: None,
            domain: None,
            not_null: true,
            default: None,
            generated: None,
            identity: None,
            serial: false,
        };
        let owned = self.owned_sequence(&table, def.id, &spec, options)?;
        self.catalog.create_sequence(owned)?;
        column_mut(&mut table, column)?.identity = Some(kind);
        Ok(self.catalog.replace_table(table)?)
    }

    /// RESTART takes effect at once, as it does for ALTER SEQUENCE.
    pub(super) async fn set_identity(
        &mut self,
        mut table: TableDef,
        column: &str,
        kind: Option<Identity>,
        options: &SequenceOptions,
    ) -> Result<()> {
        let def = table.column(column).cloned().ok_or_else(|| no_column(&table, column))?;
        if def.identity.is_none() {
            return Err(no_identity(&table, column));
        }
        let owned = self.catalog.owned_sequences(table.id).into_iter().find(|s| s.owned_by == Some((table.id, def.id)));
        if let Some(owned) = owned {
            let new = sequence::with_options(crate::history::SequenceDef::clone(&owned), options, def.ty)?;
            if let Some(restart) = options.restart {
                self.ctx.database.set_value(&new, restart.unwrap_or(new.start), false).await?;
            }
            self.catalog.replace_sequence(new)?;
        }
        if kind.is_some() {
            column_mut(&mut table, column)?.identity = kind;
        }
        Ok(self.catalog.replace_table(table)?)
    }

    pub(super) fn drop_identity(&mut self, mut table: TableDef, column: &str, if_exists: bool) -> Result<()> {
        let def = table.column(column).cloned().ok_or_else(|| no_column(&table, column))?;
        if def.identity.is_none() {
            if !if_exists {
                return Err(no_identity(&table, column));
            }
            let of = &table.name.name;
            self.notice(format!("column \"{column}\" of relation \"{of}\" is not an identity column, skipping"));
            return Ok(());
        }
        let owned = self.catalog.owned_sequences(table.id).into_iter().find(|s| s.owned_by == Some((table.id, def.id)));
        column_mut(&mut table, column)?.identity = None;
        self.catalog.replace_table(table)?;
        if let Some(owned) = owned {
            self.catalog.drop_sequence(&owned.name)?;
        }
        Ok(())
    }

    /// The values that were computed stay.
    pub(super) fn drop_expression(&mut self, mut table: TableDef, column: &str, if_exists: bool) -> Result<()> {
        let of = table.name.name.clone();
        let def = column_mut(&mut table, column)?;
        if def.generated.take().is_none() {
            let message = format!("column \"{column}\" of relation \"{of}\" is not a stored generated column");
            if !if_exists {
                return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
            }
            self.notice(format!("{message}, skipping"));
        }
        Ok(self.catalog.replace_table(table)?)
    }
}

fn no_identity(table: &TableDef, column: &str) -> SqlError {
    let message = format!("column \"{column}\" of relation \"{}\" is not an identity column", table.name.name);
    SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}

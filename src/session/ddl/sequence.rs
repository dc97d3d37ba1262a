//! CREATE, ALTER and RENAME SEQUENCE.

use super::{Change, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, SequenceDef};
use crate::sql::{Name, SequenceOptions};
use crate::types::{PgType, TypeName};

impl Change {
    pub(super) fn create_sequence(&mut self, name: &Name, if_not_exists: bool, options: &SequenceOptions) -> Result<()> {
        let name = self.new_name(name)?;
        if if_not_exists && self.catalog.has_relation(&name) {
            self.notice(format!("relation \"{}\" already exists, skipping", name.name));
            return Ok(());
        }
        self.prepare_schema(&name)?;
        let new = SequenceDef {
            id: self.catalog.ids.next(),
            name,
            owner: self.ctx.current_user.clone(),
            start: 1,
            increment: 1,
            min: 1,
            max: i64::MAX,
            cycle: false,
            owned_by: None,
            comment: None,
            grants: Default::default(),
        };
        let mut def = with_options(new, options, PgType::INT8)?;
        self.set_owner_column(&mut def, options)?;
        Ok(self.catalog.create_sequence(def)?)
    }

    /// RESTART takes effect at once and stays when the transaction is rolled back, as `setval` does.
    pub(super) async fn alter_sequence(&mut self, name: &Name, if_exists: bool, options: &SequenceOptions) -> Result<()> {
        let Some(old) = self.find_sequence(name) else {
            if if_exists {
                self.notice(format!("relation \"{name}\" does not exist, skipping"));
                return Ok(());
            }
            return Err(undefined("relation", name));
        };
        self.require_owner("sequence", &old.name.name, &old.owner)?;
        let mut def = with_options(old, options, PgType::INT8)?;
        self.set_owner_column(&mut def, options)?;
        if let Some(restart) = options.restart {
            let value = restart.unwrap_or(def.start);
            if value < def.min || value > def.max {
                let message = if value < def.min {
                    format!("RESTART value ({value}) cannot be less than MINVALUE ({})", def.min)
                } else {
                    format!("RESTART value ({value}) cannot be greater than MAXVALUE ({})", def.max)
                };
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            self.ctx.database.set_value(&def, value, false).await?;
        }
        Ok(self.catalog.replace_sequence(def)?)
    }

    pub(super) fn find_sequence(&self, name: &Name) -> Option<SequenceDef> {
        let found = self.find(name, |catalog: &Catalog, q| catalog.sequences.contains_key(q))?;
        self.catalog.sequences.get(&found).map(|def| SequenceDef::clone(def))
    }

    fn set_owner_column(&self, def: &mut SequenceDef, options: &SequenceOptions) -> Result<()> {
        match &options.owned_by {
            None => {}
            Some(None) => def.owned_by = None,
            Some(Some((table, column))) => {
                let table = self.own_table(table)?;
                let Some(column) = table.column(column) else {
                    let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name.name);
                    return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
                };
                def.owned_by = Some((table.id, column.id));
            }
        }
        Ok(())
    }
}

/// The greatest value of an integer type.
pub(super) fn greatest(ty: PgType) -> i64 {
    match ty.name {
        TypeName::Int2 => i16::MAX.into(),
        TypeName::Int4 => i32::MAX.into(),
        _ => i64::MAX,
    }
}

fn least(ty: PgType) -> i64 {
    match ty.name {
        TypeName::Int2 => i16::MIN.into(),
        TypeName::Int4 => i32::MIN.into(),
        // One value is left out: a sequence may not span every bigint.
        _ => i64::MIN + 1,
    }
}

/// The definition with these options over what it had. A descending sequence counts from -1 down.
pub(super) fn with_options(mut def: SequenceDef, options: &SequenceOptions, ty: PgType) -> Result<SequenceDef> {
    let was_ascending = def.increment > 0;
    def.increment = options.increment.unwrap_or(def.increment);
    let ascending = def.increment > 0;
    let turned = ascending != was_ascending;
    let default_min = if ascending { 1 } else { least(ty) };
    let default_max = if ascending { greatest(ty) } else { -1 };
    match options.min {
        Some(min) => def.min = min.unwrap_or(default_min),
        None if turned => def.min = default_min,
        None => {}
    }
    match options.max {
        Some(max) => def.max = max.unwrap_or(default_max),
        None if turned => def.max = default_max,
        None => {}
    }
    def.cycle = options.cycle.unwrap_or(def.cycle);
    def.start = match options.start {
        Some(start) => start,
        // A start that was only the default follows the bounds.
        None if turned || def.start < def.min || def.start > def.max => {
            if ascending {
                def.min
            } else {
                def.max
            }
        }
        None => def.start,
    };
    Ok(def)
}

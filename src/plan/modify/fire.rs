//! Writes to tables with triggers: row by row, each after its BEFORE triggers, so that they see what the statement has
//! written so far; AFTER triggers run when all of it is written and its foreign keys are seen to.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::concat;
use datafusion::common::ScalarValue;

use super::Run;
use super::existing::Old;
use super::later::Later;
use super::returning::Returning;
use super::target::Target;
use super::write::{Edit, write};
use crate::error::{Result, SqlError};
use crate::history::{ColumnId, RoutineDef};
use crate::plan::Execution;
use crate::plan::functions::define::scalar_at;
use crate::plan::routines::{Event, Field, Fire, Row, Triggers, Value, Within, cast};
use crate::types::TriggerTiming;

/// One row that has been written, for the triggers after it.
type Written = (Event, Option<Row>, Option<Row>);

/// A statement that is written row by row.
pub struct Firing<'a> {
    run: Run<'a>,
    target: &'a Target,
    fire: Fire<'a>,
    events: Vec<Event>,
    /// Foreign keys to be seen to, where nobody else does it.
    later: Later,
    written: Vec<Written>,
    /// The layout's columns of each row written, and of what RETURNING shows beside them.
    shown: Vec<Vec<ArrayRef>>,
}

/// Makes the surroundings of trigger functions.
pub fn surroundings<'a>(run: Run<'a>) -> impl Fn(&RoutineDef) -> Result<Within> + Send + Sync + 'a {
    move |routine| match run.queries {
        Some(queries) => queries.within(routine),
        None => Err(SqlError::internal("a trigger was met without a planner")),
    }
}

impl<'a> Firing<'a> {
    /// `assigned` are the columns that an UPDATE sets. 0A000 within WITH queries that write.
    pub async fn begin(
        run: Run<'a>,
        target: &'a Target,
        triggers: &'a Triggers,
        within: &'a (dyn Fn(&RoutineDef) -> Result<Within> + Send + Sync),
        events: Vec<Event>,
        assigned: Vec<ColumnId>,
    ) -> Result<Self> {
        if run.later.is_some() && triggers.run_after(&events) {
            return Err(SqlError::unsupported(
                format!("a WITH query that writes \"{}\", which has AFTER triggers, is not supported", target.table().name.name),
                "Write to the table in a statement of its own.",
            ));
        }
        let mut fire = Fire::new(triggers, within, assigned);
        for event in &events {
            fire.statement(TriggerTiming::Before, *event).await?;
        }
        Ok(Self { run, target, fire, events, later: Later::default(), written: Vec::new(), shown: Vec::new() })
    }

    /// The row to insert; `None` for none.
    pub async fn before_insert(&mut self, values: &[ArrayRef], at: usize) -> Result<Option<Vec<ArrayRef>>> {
        let new = row_of(self.target, values, at)?;
        let new = self.fire.before(Event::Insert, None, Some(without_generated(self.target, new)?)).await?;
        self.finished(new)
    }

    /// The row to put in the place of another; `None` where that stays.
    pub async fn before_update(&mut self, old: &[ArrayRef], new: &[ArrayRef], at: usize) -> Result<Option<Vec<ArrayRef>>> {
        let old = row_of(self.target, old, at)?;
        let new = row_of(self.target, new, at)?;
        let new = self.fire.before(Event::Update, Some(&old), Some(without_generated(self.target, new)?)).await?;
        self.finished(new)
    }

    /// Whether the row goes.
    pub async fn before_delete(&mut self, old: &[ArrayRef], at: usize) -> Result<bool> {
        let old = row_of(self.target, old, at)?;
        Ok(self.fire.before(Event::Delete, Some(&old), None).await?.is_some())
    }

    fn finished(&self, row: Option<Row>) -> Result<Option<Vec<ArrayRef>>> {
        let Some(row) = row else { return Ok(None) };
        let values = arrays_of(self.target, row)?;
        let values = self.target.generate(self.run, values, 1)?;
        self.target.check(self.run, &values, 1)?;
        Ok(Some(values))
    }

    /// Writes one row: `new` in the place of `old`, with what RETURNING shows of it.
    pub async fn write(
        &mut self,
        old: Option<(Old, Vec<ArrayRef>)>,
        new: Option<Vec<ArrayRef>>,
        shown: Option<Vec<ArrayRef>>,
    ) -> Result<()> {
        let event = match (&old, &new) {
            (None, _) => Event::Insert,
            (Some(_), Some(_)) => Event::Update,
            (Some(_), None) => Event::Delete,
        };
        let before = old.as_ref().map(|(_, values)| row_of(self.target, values, 0)).transpose()?;
        let after = new.as_ref().map(|values| row_of(self.target, values, 0)).transpose()?;
        let edit = Edit { old: old.map(|(old, _)| old), new: new.as_ref().map(|_| 0), given: None };
        let values = new.unwrap_or_default();
        let run = if self.run.later.is_some() { self.run } else { self.run.leaving(&self.later) };
        write(run, self.target, vec![edit], &values).await?;
        self.written.push((event, before, after));
        self.shown.extend(shown);
        Ok(())
    }

    /// Sees to foreign keys and runs the AFTER triggers; how many rows were written, and what RETURNING shows of them.
    pub async fn end(mut self) -> Result<(usize, Vec<Vec<ArrayRef>>)> {
        self.later.settle(self.run).await?;
        for (event, old, new) in &self.written {
            self.fire.after(*event, old.as_ref(), new.as_ref()).await?;
        }
        for event in &self.events {
            self.fire.statement(TriggerTiming::After, *event).await?;
        }
        Ok((self.written.len(), self.shown))
    }

    /// The same as the statement's answer.
    pub async fn answer(self, returning: Option<&Returning>) -> Result<Execution> {
        let run = self.run;
        let (count, shown) = self.end().await?;
        let returning = match (returning, together(&shown)?) {
            (None, _) => None,
            (Some(returning), Some(shown)) => Some(returning.rows(run, shown, count)?),
            (Some(returning), None) => Some(returning.none()?),
        };
        Ok(Execution::Modified { count: count as u64, returning })
    }
}

/// Rows one under the other; `None` for none.
fn together(rows: &[Vec<ArrayRef>]) -> Result<Option<Vec<ArrayRef>>> {
    let Some(first) = rows.first() else { return Ok(None) };
    let column = |at: usize| -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = rows.iter().filter_map(|row| row.get(at)).map(AsRef::as_ref).collect();
        concat(&parts).map_err(|e| SqlError::internal(format!("rows do not fit together: {e}")))
    };
    (0..first.len()).map(column).collect::<Result<_>>().map(Some)
}

/// One row of columns.
pub fn slice(values: &[ArrayRef], at: usize) -> Vec<ArrayRef> {
    values.iter().map(|array| array.slice(at, 1)).collect()
}

pub fn row_of(target: &Target, values: &[ArrayRef], at: usize) -> Result<Row> {
    let columns = target.layout.columns.iter().zip(values);
    columns
        .map(|(column, array)| {
            let scalar = scalar_at(array, at).map_err(crate::plan::diagnose)?;
            Ok(Field { name: column.name.clone(), value: Value { ty: column.ty, scalar } })
        })
        .collect()
}

/// Generated columns have no value before the triggers have run.
fn without_generated(target: &Target, row: Row) -> Result<Row> {
    let fields = row.into_iter().zip(&target.layout.columns).map(|(field, column)| match column.generated {
        Some(_) => Ok(Field { name: field.name, value: Value::null(column.ty)? }),
        None => Ok(field),
    });
    fields.collect()
}

fn arrays_of(target: &Target, row: Row) -> Result<Vec<ArrayRef>> {
    let columns = target.layout.columns.iter().zip(row);
    columns
        .map(|(column, field)| {
            let scalar = cast(field.value, column.ty, target.zone)?;
            let array = ScalarValue::iter_to_array([scalar]).map_err(crate::plan::diagnose)?;
            Ok(array)
        })
        .collect()
}

impl Target {
    /// The triggers that a statement of these events has to run.
    pub fn firing(&self, events: &[Event]) -> Option<Arc<Triggers>> {
        self.triggers.as_ref().filter(|triggers| triggers.run_for(events)).cloned()
    }
}

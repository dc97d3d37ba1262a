//! Triggers ready to run: which of a table's run when, and one run of one.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::ScalarValue;

use super::interpret::{Conflicts, Interpreter, Learnt};
use super::run::Within;
use super::variables::{Row, Value};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, ColumnId, RoutineDef, TableDef, TriggerDef};
use crate::sql::procedural::{CodeBlock, Expression, Returning, condition, routine_code};
use crate::types::{PgType, TriggerTiming};

/// What happens to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Insert,
    Update,
    Delete,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// The triggers of a table that are enabled, in the order that they run in.
#[derive(Debug)]
pub struct Triggers {
    table: Arc<TableDef>,
    all: Vec<Trigger>,
}

#[derive(Debug)]
struct Trigger {
    def: TriggerDef,
    function: Arc<RoutineDef>,
    code: CodeBlock,
    when: Option<Expression>,
}

/// Arguments that a function may ask for by number; those that are not given are NULL.
const MOST_ARGUMENTS: usize = 32;

impl Triggers {
    /// `None` for a table without any.
    pub fn of(catalog: &Catalog, table: &Arc<TableDef>) -> Result<Option<Self>> {
        let mut all = Vec::new();
        for def in table.triggers.iter().filter(|trigger| !trigger.disabled) {
            let gone = || SqlError::internal("the function of a trigger is gone");
            let function = Arc::clone(catalog.routine(def.function).ok_or_else(gone)?);
            let code = routine_code(&function.body, Returning::Value)?;
            let when = def.when.as_deref().map(condition).transpose()?;
            all.push(Trigger { def: def.clone(), function, code, when });
        }
        Ok((!all.is_empty()).then(|| Self { table: Arc::clone(table), all }))
    }

    /// Whether any runs for these events.
    pub fn run_for(&self, events: &[Event]) -> bool {
        self.all.iter().any(|trigger| events.iter().any(|event| trigger.is_about(*event)))
    }

    /// Whether any runs after these events.
    pub fn run_after(&self, events: &[Event]) -> bool {
        let after = |trigger: &&Trigger| trigger.def.timing == TriggerTiming::After;
        self.all.iter().filter(after).any(|trigger| events.iter().any(|event| trigger.is_about(*event)))
    }
}

impl Trigger {
    fn is_about(&self, event: Event) -> bool {
        match event {
            Event::Insert => self.def.insert,
            Event::Update => self.def.update,
            Event::Delete => self.def.delete,
        }
    }

    /// Whether it runs for this, where these columns were assigned.
    fn is_for(&self, timing: TriggerTiming, event: Event, row: bool, assigned: &[ColumnId]) -> bool {
        let columns = &self.def.columns;
        self.def.timing == timing
            && self.def.row == row
            && self.is_about(event)
            && (event != Event::Update || columns.is_empty() || columns.iter().any(|column| assigned.contains(column)))
    }
}

/// The runs of one statement's triggers.
pub struct Fire<'a> {
    triggers: &'a Triggers,
    /// Makes the surroundings of a function.
    within: &'a (dyn Fn(&RoutineDef) -> Result<Within> + Send + Sync),
    known: HashMap<u32, (Within, Learnt)>,
    assigned: Arc<[ColumnId]>,
}

impl<'a> Fire<'a> {
    pub fn new(
        triggers: &'a Triggers,
        within: &'a (dyn Fn(&RoutineDef) -> Result<Within> + Send + Sync),
        assigned: Vec<ColumnId>,
    ) -> Self {
        Self { triggers, within, known: HashMap::new(), assigned: assigned.into() }
    }

    /// Triggers FOR EACH STATEMENT.
    pub async fn statement(&mut self, timing: TriggerTiming, event: Event) -> Result<()> {
        let (triggers, assigned) = (self.triggers, Arc::clone(&self.assigned));
        for trigger in triggers.all.iter().filter(|trigger| trigger.is_for(timing, event, false, &assigned)) {
            self.run(trigger, event, None, None).await?;
        }
        Ok(())
    }

    /// Triggers before a row is written: the row to write instead of `new`, or for a DELETE `old`; `None` where it is to
    /// be left as it is.
    pub async fn before(&mut self, event: Event, old: Option<&Row>, new: Option<Row>) -> Result<Option<Row>> {
        let (triggers, assigned) = (self.triggers, Arc::clone(&self.assigned));
        let mut new = new;
        for trigger in triggers.all.iter().filter(|t| t.is_for(TriggerTiming::Before, event, true, &assigned)) {
            let Some(answer) = self.run(trigger, event, old, new.as_ref()).await? else { continue };
            let Some(row) = answer.fields()? else { return Ok(None) };
            if event != Event::Delete {
                if new.as_ref().is_some_and(|new| new.len() != row.len()) {
                    let message = "returned row structure does not match the structure of the triggering table";
                    return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
                }
                new = Some(row);
            }
        }
        Ok(match event {
            Event::Delete => old.cloned(),
            Event::Insert | Event::Update => new,
        })
    }

    /// Triggers after a row has been written.
    pub async fn after(&mut self, event: Event, old: Option<&Row>, new: Option<&Row>) -> Result<()> {
        let (triggers, assigned) = (self.triggers, Arc::clone(&self.assigned));
        for trigger in triggers.all.iter().filter(|t| t.is_for(TriggerTiming::After, event, true, &assigned)) {
            self.run(trigger, event, old, new).await?;
        }
        Ok(())
    }

    /// One run; what it returned, `None` where its WHEN does not hold.
    async fn run(&mut self, trigger: &Trigger, event: Event, old: Option<&Row>, new: Option<&Row>) -> Result<Option<Value>> {
        if !self.known.contains_key(&trigger.def.id) {
            let within = (self.within)(&trigger.function)?;
            self.known.insert(trigger.def.id, (within, Learnt::default()));
        }
        let Some((within, learnt)) = self.known.get_mut(&trigger.def.id) else {
            return Err(SqlError::internal("a trigger has no surroundings"));
        };
        let table = &self.triggers.table;
        let mut interpreter = Interpreter::new(within, learnt, Conflicts::Refused)?;
        interpreter.variables.open(Some(&trigger.function.name.name));
        let shape: Vec<(String, PgType)> = table.live_columns().map(|c| (c.name.clone(), c.ty)).collect();
        interpreter.variables.set_row("new", shape.clone(), new.cloned());
        interpreter.variables.set_row("old", shape, old.cloned());
        if let Some(when) = &trigger.when
            && !interpreter.condition(when).await?
        {
            return Ok(None);
        }
        let row = trigger.def.row;
        let texts = [
            ("tg_name", trigger.def.name.as_str()),
            ("tg_when", if trigger.def.timing == TriggerTiming::Before { "BEFORE" } else { "AFTER" }),
            ("tg_level", if row { "ROW" } else { "STATEMENT" }),
            ("tg_op", event.word()),
            ("tg_relname", &table.name.name),
            ("tg_table_name", &table.name.name),
            ("tg_table_schema", &table.name.schema),
        ];
        for (name, text) in texts {
            interpreter.variables.set_text(name, text);
        }
        let number = |n: i64| Value { ty: PgType::INT8, scalar: ScalarValue::Int64(Some(n)) };
        interpreter.variables.fix("tg_relid", number(i64::from(table.id.0)));
        interpreter.variables.fix("tg_nargs", number(trigger.def.arguments.len() as i64));
        let arguments = (0..MOST_ARGUMENTS).map(|at| {
            let value = match trigger.def.arguments.get(at) {
                Some(text) => Value::text(text),
                None => Value::null(PgType::TEXT)?,
            };
            Ok(super::variables::Field { name: at.to_string(), value })
        });
        let arguments = arguments.collect::<Result<Row>>()?;
        let shape = arguments.iter().map(|field| (field.name.clone(), PgType::TEXT)).collect();
        interpreter.variables.set_row("tg_argv", shape, Some(arguments));
        if !interpreter.body(&trigger.code).await? {
            let message = "control reached end of trigger procedure without RETURN";
            return Err(SqlError::new(SqlState::FUNCTION_EXECUTED_NO_RETURN_STATEMENT, message));
        }
        let returned = interpreter.returned.unwrap_or(Value { ty: PgType::TEXT, scalar: ScalarValue::Null });
        if row && trigger.def.timing == TriggerTiming::Before && !returned.scalar.is_null() && returned.fields()?.is_none() {
            let message = "cannot return non-composite value from function returning composite type";
            return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        }
        Ok(Some(returned))
    }
}

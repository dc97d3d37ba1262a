//! Runs the body of DO inside the transaction that is open.
//!
//! Variables become parameters of the SQL within; a block that handles errors is a place to go back to. Answers
//! nothing but its tag: rows that nobody takes are an error, as in PL/pgSQL.

mod variables;

use futures::TryStreamExt;
use futures::future::BoxFuture;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;

use super::dispatch::Work;
use super::transaction::Block;
use super::{Reply, Session, reply};
use crate::error::{Result, Severity, SqlError, SqlState};
use crate::plan::diagnose;
use crate::sql::procedural::{
    CodeBlock, Condition, Expression, Handler, Into, Raise, RaiseLevel, RaiseOption, RowSource, Step, bind, may_stand_in_a_block,
};
use crate::sql::{Parsed, Statement};
use crate::types::{PgType, TypeName};
use variables::{Field, Row, Value, Variables};

/// Whether the block goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Return,
}

/// What a statement gave.
struct Outcome {
    /// Rows, of a query or of RETURNING; an empty row list has its columns in `columns`.
    rows: Option<Vec<Row>>,
    /// The columns, each with a NULL.
    columns: Row,
    affected: u64,
}

struct Inline<'s> {
    session: &'s mut Session,
    variables: Variables,
    /// Errors whose handlers are running, the innermost last.
    handled: Vec<SqlError>,
}

impl Session {
    /// DO. What it has done is undone by the caller when it fails.
    pub(super) async fn run_inline(&mut self, block: &CodeBlock) -> Result<Reply> {
        let around = std::mem::replace(&mut self.transaction.block, Block::Explicit);
        self.transaction.alone = false;
        let variables = Variables::new(self.zone()?);
        let done = Inline { session: self, variables, handled: Vec::new() }.block(block).await;
        self.transaction.block = around;
        match done {
            Ok(_) => Ok(Reply::Command("DO".to_owned())),
            Err(mut error) => {
                error.fields_mut().position = None;
                Err(error)
            }
        }
    }
}

impl Inline<'_> {
    fn block<'b>(&'b mut self, block: &'b CodeBlock) -> BoxFuture<'b, Result<Flow>> {
        Box::pin(async move {
            let outside = self.variables.depth();
            self.variables.open();
            let done = match self.declare(block).await {
                Ok(()) if block.handlers.is_empty() => self.steps(&block.body).await,
                Ok(()) => self.guarded(block).await,
                Err(error) => Err(error),
            };
            self.variables.close_to(outside);
            done
        })
    }

    async fn declare(&mut self, block: &CodeBlock) -> Result<()> {
        for variable in &block.variables {
            let initial = match &variable.initial {
                Some(expression) => Some(self.value(expression).await?),
                None => None,
            };
            self.variables.declare(variable, initial)?;
        }
        Ok(())
    }

    /// The body of a block that handles errors: undone when one of its handlers takes over.
    async fn guarded(&mut self, block: &CodeBlock) -> Result<Flow> {
        let depth = self.variables.depth();
        // No name that can be written is empty.
        self.session.mark(String::new());
        let error = match self.steps(&block.body).await {
            Ok(flow) => {
                self.session.unmark();
                return Ok(flow);
            }
            Err(error) => error,
        };
        self.variables.close_to(depth);
        let takes = |handler: &&Handler| handler.conditions.iter().any(|condition| condition.is_met_by(error.code()));
        let Some(handler) = block.handlers.iter().find(takes) else { return Err(error) };
        self.session.return_to_last();
        self.session.unmark();
        self.variables.open();
        self.variables.set_text("sqlstate", error.code().code());
        self.variables.set_text("sqlerrm", error.message());
        self.handled.push(error);
        let done = self.steps(&handler.body).await;
        self.handled.pop();
        done
    }

    fn steps<'b>(&'b mut self, steps: &'b [Step]) -> BoxFuture<'b, Result<Flow>> {
        Box::pin(async move {
            for step in steps {
                self.session.cancel.check()?;
                if self.step(step).await? == Flow::Return {
                    return Ok(Flow::Return);
                }
            }
            Ok(Flow::On)
        })
    }

    async fn step(&mut self, step: &Step) -> Result<Flow> {
        match step {
            Step::Nothing => {}
            Step::Block(block) => return self.block(block).await,
            Step::Return => return Ok(Flow::Return),
            Step::Sql { statement, into } => {
                let outcome = self.run(statement).await?;
                let found = outcome.found();
                self.place(outcome, into.as_ref(), &statement.statement)?;
                self.variables.found(found);
            }
            Step::Perform(query) => {
                let outcome = self.run(query).await?;
                self.variables.found(outcome.found());
            }
            Step::Execute { text, into, using } => {
                if let Some((outcome, statement)) = self.dynamic(text, using).await?
                    && let Some(into) = into
                {
                    self.place(outcome, Some(into), &statement)?;
                }
            }
            Step::Assign { variable, value } => {
                let value = self.value(value).await?;
                self.variables.assign(variable, value)?;
            }
            Step::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.holds(condition).await? {
                        return self.steps(body).await;
                    }
                }
                return self.steps(otherwise).await;
            }
            Step::ForEachRow { variable, source, body } => return self.for_each_row(variable, source, body).await,
            Step::Raise(raise) => self.raise(raise).await?,
            Step::RaiseAgain => {
                let message = "RAISE without parameters cannot be used outside an exception handler";
                let outside = SqlError::new(SqlState::STACKED_DIAGNOSTICS_ACCESSED_WITHOUT_ACTIVE_HANDLER, message);
                return Err(self.handled.last().cloned().unwrap_or(outside));
            }
        }
        Ok(Flow::On)
    }

    async fn for_each_row(&mut self, variable: &str, source: &RowSource, body: &[Step]) -> Result<Flow> {
        let outcome = match source {
            RowSource::Query(query) => Some(self.run(query).await?),
            RowSource::Execute { text, using } => self.dynamic(text, using).await?.map(|(outcome, _)| outcome),
        };
        let rows =
            outcome.and_then(|outcome| outcome.rows).ok_or_else(|| SqlError::syntax("cannot open a query that gives no rows"))?;
        let found = !rows.is_empty();
        for row in rows {
            self.variables.assign_row(&[variable.to_owned()], row)?;
            if self.steps(body).await? == Flow::Return {
                return Ok(Flow::Return);
            }
        }
        self.variables.found(found);
        Ok(Flow::On)
    }

    async fn holds(&mut self, condition: &Expression) -> Result<bool> {
        let value = self.value(condition).await?;
        let value = self.variables.cast(value, PgType::new(TypeName::Bool))?;
        Ok(value == ScalarValue::Boolean(Some(true)))
    }

    /// The value of an expression: of the one column of the one row; NULL without a row.
    async fn value(&mut self, expression: &Expression) -> Result<Value> {
        let outcome = self.run(expression).await?;
        let mut rows = outcome.rows.unwrap_or_default();
        if rows.len() > 1 {
            return Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, "query returned more than one row"));
        }
        let mut row = rows.pop().unwrap_or(outcome.columns);
        let width = row.len();
        match row.pop() {
            Some(field) if width == 1 => Ok(field.value),
            _ => Err(SqlError::syntax(format!("query returned {width} columns"))),
        }
    }

    async fn text(&mut self, expression: &Expression) -> Result<Option<String>> {
        let value = self.value(expression).await?;
        self.variables.text(&value)
    }

    /// EXECUTE: what its last statement gave, and that statement; `None` for a text without any.
    async fn dynamic(&mut self, text: &Expression, using: &[Expression]) -> Result<Option<(Outcome, Statement)>> {
        let null = || SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "query string argument of EXECUTE is null");
        let text = self.text(text).await?.ok_or_else(null)?;
        let mut values = Vec::with_capacity(using.len());
        for expression in using {
            values.push(self.value(expression).await?);
        }
        let mut last = None;
        for parsed in crate::sql::parse(&text)? {
            may_stand_in_a_block(&parsed.statement)?;
            last = Some((self.run_bound(&parsed, &values).await?, parsed.statement));
        }
        Ok(last)
    }

    /// Runs a statement of the body, its variables bound.
    async fn run(&mut self, parsed: &Parsed) -> Result<Outcome> {
        let mut found: Vec<(Vec<String>, Value)> = Vec::new();
        let bound = self.bound(parsed, &mut found, None)?;
        let values: Vec<Value> = found.iter().map(|(_, value)| value.clone()).collect();
        for (path, _) in &found {
            self.refuse_ambiguous(parsed, path, &values).await?;
        }
        self.run_bound(&bound, &values).await
    }

    /// The statement with parameters in the place of variables, all but `left`; which they are is added to `found`.
    fn bound(&self, parsed: &Parsed, found: &mut Vec<(Vec<String>, Value)>, left: Option<&[String]>) -> Result<Parsed> {
        let mut bound = parsed.clone();
        let mut failed = None;
        bind(&mut bound.statement, |path| {
            let known = found.iter().position(|(known, _)| known == path);
            if known.is_none() {
                match self.variables.get(path) {
                    Ok(Some(value)) => found.push((path.to_vec(), value)),
                    Ok(None) => {}
                    Err(error) => failed = Some(error),
                }
            }
            let at = found.iter().position(|(known, _)| known == path)?;
            (left != Some(path)).then_some(at + 1)
        });
        failed.map_or(Ok(bound), Err)
    }

    /// 42702 for a name that is a variable and, in this statement, a column as well.
    async fn refuse_ambiguous(&mut self, parsed: &Parsed, path: &[String], values: &[Value]) -> Result<()> {
        let mut found = Vec::new();
        let as_column = self.bound(parsed, &mut found, Some(path))?;
        let declared = values.iter().map(|value| Some(value.ty)).collect();
        match self.session.prepare_statement(Some(as_column), declared).await {
            Err(error) if matches!(error.code(), SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_TABLE) => Ok(()),
            _ => {
                let message = format!("column reference \"{}\" is ambiguous", path.join("."));
                let detail = "It could refer to either a PL/pgSQL variable or a table column.";
                Err(SqlError::new(SqlState::AMBIGUOUS_COLUMN, message).detail(detail))
            }
        }
    }

    async fn run_bound(&mut self, parsed: &Parsed, values: &[Value]) -> Result<Outcome> {
        if values.is_empty() || !super::prepared::is_planned(&parsed.statement) {
            let reply = self.session.perform(Work::Text(parsed)).await?;
            return self.outcome(reply).await;
        }
        let declared = values.iter().map(|value| Some(value.ty)).collect();
        let (kept, _) = self.session.prepare_statement(Some(parsed.clone()), declared).await?;
        let wanted = kept.parameters();
        if wanted.len() > values.len() {
            let message = format!("there is no parameter ${}", values.len() + 1);
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, message));
        }
        let parameters: Vec<ScalarValue> = values.iter().take(wanted.len()).map(|value| value.scalar.clone()).collect();
        let reply = self.session.perform(Work::Bound { statement: &kept, parameters: &parameters, formats: &[] }).await?;
        self.outcome(reply).await
    }

    async fn outcome(&self, reply: Reply) -> Result<Outcome> {
        match reply::collected(reply).await? {
            Reply::Command(tag) => {
                let affected = tag.rsplit_once(' ').and_then(|(_, count)| count.parse().ok()).unwrap_or(0);
                Ok(Outcome { rows: None, columns: Vec::new(), affected })
            }
            Reply::Rows { columns, batches, .. } => {
                let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(diagnose)?;
                let rows = self.variables.rows(&columns, &batches)?;
                let nulls = columns.iter().map(Field::null).collect::<Result<_>>()?;
                Ok(Outcome { affected: rows.len() as u64, rows: Some(rows), columns: nulls })
            }
            Reply::Empty => Ok(Outcome { rows: None, columns: Vec::new(), affected: 0 }),
            Reply::CopyIn { .. } | Reply::CopyOut { .. } => Err(SqlError::internal("COPY ran inside a block")),
        }
    }

    /// Puts the first row where INTO wants it; without INTO there must be no rows to put anywhere.
    fn place(&mut self, outcome: Outcome, into: Option<&Into>, statement: &Statement) -> Result<()> {
        let Some(into) = into else {
            return match outcome.rows {
                None => Ok(()),
                Some(_) => Err(SqlError::syntax("query has no destination for result data")
                    .hint("If you want to discard the results of a SELECT, use PERFORM instead.")),
            };
        };
        let Some(mut rows) = outcome.rows else {
            return Err(SqlError::syntax("INTO used with a command that cannot return data"));
        };
        let only_one = into.strict || !matches!(statement, Statement::Query(_));
        if rows.len() > 1 && only_one {
            return Err(SqlError::new(SqlState::TOO_MANY_ROWS, "query returned more than one row")
                .hint("Make sure the query returns a single row, or use LIMIT 1."));
        }
        if rows.is_empty() && into.strict {
            return Err(SqlError::new(SqlState::NO_DATA_FOUND, "query returned no rows"));
        }
        let row = if rows.is_empty() { outcome.columns } else { rows.swap_remove(0) };
        self.variables.assign_row(&into.variables, row)
    }

    async fn raise(&mut self, raise: &Raise) -> Result<()> {
        let mut state = raise.condition.as_ref().and_then(|(condition, _)| condition.state());
        let mut message = match &raise.format {
            Some(format) => Some(self.formatted(format, &raise.arguments).await?),
            None => None,
        };
        let mut named = raise.condition.as_ref().map(|(_, name)| name.clone());
        let mut others = Vec::new();
        for (option, expression) in &raise.options {
            let null = || SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "RAISE statement option cannot be null");
            let text = self.text(expression).await?.ok_or_else(null)?;
            match option {
                RaiseOption::Errcode if state.is_none() => {
                    let condition = Condition::of_code(&text).or_else(|_| Condition::named(&text))?;
                    state = condition.state();
                    named = Some(text);
                }
                RaiseOption::Message if message.is_none() => message = Some(text),
                RaiseOption::Errcode => return Err(given_twice("ERRCODE")),
                RaiseOption::Message => return Err(given_twice("MESSAGE")),
                option => others.push((*option, text)),
            }
        }
        let (severity, default) = severity(raise.level);
        let message = message.or(named).unwrap_or_else(|| default.code().to_owned());
        let mut error = SqlError::with_severity(severity, state.unwrap_or(default), message);
        for (option, text) in others {
            tell(&mut error, option, text);
        }
        match severity {
            Severity::Error => Err(error),
            _ => {
                self.session.notices.push(error);
                Ok(())
            }
        }
    }

    /// The format with the arguments' texts in the place of its signs; there are as many as arguments.
    async fn formatted(&mut self, format: &str, arguments: &[Expression]) -> Result<String> {
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            texts.push(self.text(argument).await?.unwrap_or_else(|| "<NULL>".to_owned()));
        }
        let mut texts = texts.into_iter();
        let mut message = String::with_capacity(format.len());
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '%' if chars.next_if_eq(&'%').is_some() => message.push('%'),
                '%' => message.push_str(&texts.next().unwrap_or_default()),
                c => message.push(c),
            }
        }
        Ok(message)
    }
}

impl Outcome {
    fn found(&self) -> bool {
        self.affected > 0
    }
}

fn severity(level: RaiseLevel) -> (Severity, SqlState) {
    match level {
        RaiseLevel::Debug => (Severity::Debug, SqlState::SUCCESSFUL_COMPLETION),
        RaiseLevel::Log => (Severity::Log, SqlState::SUCCESSFUL_COMPLETION),
        RaiseLevel::Info => (Severity::Info, SqlState::SUCCESSFUL_COMPLETION),
        RaiseLevel::Notice => (Severity::Notice, SqlState::SUCCESSFUL_COMPLETION),
        RaiseLevel::Warning => (Severity::Warning, SqlState::WARNING),
        RaiseLevel::Exception => (Severity::Error, SqlState::RAISE_EXCEPTION),
    }
}

fn tell(error: &mut SqlError, option: RaiseOption, text: String) {
    let fields = error.fields_mut();
    let place = match option {
        RaiseOption::Detail => &mut fields.detail,
        RaiseOption::Hint => &mut fields.hint,
        RaiseOption::Column => &mut fields.column,
        RaiseOption::Constraint => &mut fields.constraint,
        RaiseOption::Datatype => &mut fields.data_type,
        RaiseOption::Table => &mut fields.table,
        RaiseOption::Schema => &mut fields.schema,
        RaiseOption::Errcode | RaiseOption::Message => return,
    };
    *place = Some(text);
}

fn given_twice(option: &str) -> SqlError {
    SqlError::syntax(format!("RAISE option already specified: {option}"))
}

//! Runs a body's statements: flow, variables, handlers, and what it returns.
//!
//! Knows no planner: a [`Host`] runs the SQL. Variables become parameters of the SQL within; a block that handles
//! errors is a place to go back to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Expr};
use futures::future::BoxFuture;

use super::host::{Host, Outcome};
use super::kinds::{Kind, parts_of, without_suffix};
use super::variables::{Field, Row, Value, Variables};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::expand::fold;
use crate::sql::procedural::{
    CodeBlock, Condition, Expression, Handler, Into, Path, RowSource, Step, Variable, bind, may_stand_in_a_block,
};
use crate::sql::{Parsed, Statement};
use crate::types::{PgType, TypeName};

/// Whether a body goes on after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    Return,
    /// EXIT of the loop around, or of the loop or block of this name.
    Exit(Option<String>),
    Continue(Option<String>),
}

/// What is known of a body's statements from run to run.
#[derive(Debug, Default)]
pub struct Learnt {
    bound: HashMap<usize, Arc<Bound>>,
}

/// A statement with parameters in the place of variables.
#[derive(Debug)]
struct Bound {
    key: u64,
    parsed: Parsed,
    paths: Vec<Path>,
    types: Vec<PgType>,
}

/// Numbers of bound statements, of which no two are alike.
static KEYS: AtomicU64 = AtomicU64::new(1);

/// How names that are both a variable's and a column's are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// 42702, as PL/pgSQL.
    Refused,
    /// The column, as functions in SQL.
    Column,
}

pub struct Interpreter<'h> {
    pub(super) host: &'h mut dyn Host,
    pub variables: Variables,
    learnt: &'h mut Learnt,
    conflicts: Conflicts,
    /// Errors whose handlers are running, the innermost last.
    pub(super) handled: Vec<SqlError>,
    row_count: u64,
    /// RETURN's value.
    pub returned: Option<Value>,
    /// Rows of RETURN NEXT and RETURN QUERY.
    pub results: Vec<Row>,
    /// The variables that RETURN NEXT without a value takes.
    pub outputs: Vec<String>,
}

impl<'h> Interpreter<'h> {
    pub fn new(host: &'h mut dyn Host, learnt: &'h mut Learnt, conflicts: Conflicts) -> Result<Self> {
        let variables = Variables::new(host.zone()?);
        let (handled, results, outputs) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { host, variables, learnt, conflicts, handled, row_count: 0, returned: None, results, outputs })
    }

    /// Runs the body; whether it came to a RETURN.
    pub async fn body(&mut self, block: &CodeBlock) -> Result<bool> {
        Ok(self.block(block).await? == Flow::Return)
    }

    pub(super) fn block<'b>(&'b mut self, block: &'b CodeBlock) -> BoxFuture<'b, Result<Flow>> {
        Box::pin(async move {
            let outside = self.variables.depth();
            self.variables.open(block.label.as_deref());
            let done = match self.declare(block).await {
                Ok(()) if block.handlers.is_empty() => self.steps(&block.body).await,
                Ok(()) => self.guarded(block).await,
                Err(error) => Err(error),
            };
            self.variables.close_to(outside);
            match done? {
                Flow::Exit(Some(label)) if block.label.as_ref() == Some(&label) => Ok(Flow::On),
                flow => Ok(flow),
            }
        })
    }

    async fn declare(&mut self, block: &CodeBlock) -> Result<()> {
        for variable in &block.variables {
            let initial = match &variable.initial {
                Some(expression) => Some(self.value(expression).await?),
                None => None,
            };
            let kind = self.kind_of(variable)?;
            self.variables.declare(&variable.name, &kind, variable.constant, variable.not_null, initial)?;
        }
        Ok(())
    }

    fn kind_of(&mut self, variable: &Variable) -> Result<Kind> {
        if let Some(other) = without_suffix(&variable.ty, "type")
            && let Some(ty) = parts_of(other).and_then(|path| self.variables.type_of(&path))
        {
            return Ok(Kind::Plain(ty));
        }
        let mut found = None;
        self.host.names(&mut |names| {
            found = Some(names.variable(&variable.ty)?);
            Ok(())
        })?;
        found.ok_or_else(|| SqlError::internal("a type was not looked up"))
    }

    /// The body of a block that handles errors: undone when one of its handlers takes over.
    async fn guarded(&mut self, block: &CodeBlock) -> Result<Flow> {
        let depth = self.variables.depth();
        let results = self.results.len();
        self.host.mark();
        let error = match self.steps(&block.body).await {
            Ok(flow) => {
                self.host.unmark();
                return Ok(flow);
            }
            Err(error) => error,
        };
        self.variables.close_to(depth);
        let takes = |handler: &&Handler| handler.conditions.iter().any(|condition: &Condition| condition.is_met_by(error.code()));
        let Some(handler) = block.handlers.iter().find(takes) else {
            self.host.unmark();
            return Err(error);
        };
        self.host.return_to_last();
        self.host.unmark();
        self.results.truncate(results);
        self.variables.open(None);
        self.variables.set_text("sqlstate", error.code().code());
        self.variables.set_text("sqlerrm", error.message());
        self.handled.push(error);
        let done = self.steps(&handler.body).await;
        self.handled.pop();
        done
    }

    pub(super) fn steps<'b>(&'b mut self, steps: &'b [Step]) -> BoxFuture<'b, Result<Flow>> {
        Box::pin(async move {
            for step in steps {
                self.host.interrupted()?;
                match self.step(step).await? {
                    Flow::On => {}
                    flow => return Ok(flow),
                }
            }
            Ok(Flow::On)
        })
    }

    async fn step(&mut self, step: &Step) -> Result<Flow> {
        match step {
            Step::Nothing => {}
            Step::Block(block) => return self.block(block).await,
            Step::Return(value) => {
                self.returned = match value {
                    Some(value) => Some(self.value(value).await?),
                    None => None,
                };
                return Ok(Flow::Return);
            }
            Step::Sql { statement, into } => {
                let outcome = self.run(statement).await?;
                let found = outcome.found();
                self.row_count = outcome.affected;
                if let Statement::Call(call) = &statement.statement {
                    self.place_outputs(call, outcome)?;
                } else {
                    self.place(outcome, into.as_ref(), &statement.statement)?;
                }
                self.variables.found(found);
            }
            Step::Perform(query) => {
                let outcome = self.run(query).await?;
                self.row_count = outcome.affected;
                self.variables.found(outcome.found());
            }
            Step::Execute { text, into, using } => {
                if let Some((outcome, statement)) = self.dynamic(text, using).await? {
                    self.row_count = outcome.affected;
                    if into.is_some() {
                        self.place(outcome, into.as_ref(), &statement)?;
                    }
                }
            }
            Step::Assign { target, value } => {
                let value = self.value(value).await?;
                self.variables.assign(target, value)?;
            }
            Step::If { branches, otherwise } => {
                for (condition, body) in branches {
                    if self.holds(condition).await? {
                        return self.steps(body).await;
                    }
                }
                return self.steps(otherwise).await;
            }
            Step::NoCase => {
                let error = SqlError::new(SqlState::CASE_NOT_FOUND, "case not found");
                return Err(error.hint("CASE statement is missing ELSE part."));
            }
            Step::Loop { label, kind, body } => return self.repeat(label.as_ref(), kind, body).await,
            Step::Leave { label, again, when } => {
                let leaves = match when {
                    Some(condition) => self.holds(condition).await?,
                    None => true,
                };
                return Ok(match (leaves, again) {
                    (false, _) => Flow::On,
                    (true, true) => Flow::Continue(label.clone()),
                    (true, false) => Flow::Exit(label.clone()),
                });
            }
            Step::Raise(raise) => self.raise(raise).await?,
            Step::RaiseAgain => {
                let message = "RAISE without parameters cannot be used outside an exception handler";
                let outside = SqlError::new(SqlState::STACKED_DIAGNOSTICS_ACCESSED_WITHOUT_ACTIVE_HANDLER, message);
                return Err(self.handled.last().cloned().unwrap_or(outside));
            }
            Step::Assert { condition, message } => self.assert(condition, message.as_ref()).await?,
            Step::ReturnNext(value) => self.return_next(value.as_ref()).await?,
            Step::ReturnQuery(source) => {
                let outcome = self.source(source).await?;
                let rows = outcome.rows.ok_or_else(|| SqlError::syntax("cannot open a query that gives no rows"))?;
                self.row_count = rows.len() as u64;
                self.variables.found(!rows.is_empty());
                self.results.extend(rows);
            }
            Step::Diagnostics { stacked, items } => self.diagnostics(*stacked, items)?,
        }
        Ok(Flow::On)
    }

    async fn assert(&mut self, condition: &Expression, message: Option<&Expression>) -> Result<()> {
        if self.holds(condition).await? {
            return Ok(());
        }
        let text = match message {
            Some(message) => self.text(message).await?,
            None => None,
        };
        Err(SqlError::new(SqlState::ASSERT_FAILURE, text.unwrap_or_else(|| "assertion failed".to_owned())))
    }

    async fn return_next(&mut self, value: Option<&Expression>) -> Result<()> {
        let row = match value {
            Some(value) => {
                let value = self.value(value).await?;
                match value.fields()? {
                    Some(fields) => fields,
                    None => vec![Field { name: String::new(), value }],
                }
            }
            None => {
                let outputs = self.outputs.clone();
                let field = |name: &String| {
                    let value = self.variables.get(std::slice::from_ref(name))?;
                    let value = value.ok_or_else(|| SqlError::internal("a result column has no variable"))?;
                    Ok(Field { name: name.clone(), value })
                };
                outputs.iter().map(field).collect::<Result<_>>()?
            }
        };
        self.results.push(row);
        Ok(())
    }

    fn diagnostics(&mut self, stacked: bool, items: &[(Path, String)]) -> Result<()> {
        for (target, item) in items {
            let value = if stacked {
                let message = "GET STACKED DIAGNOSTICS cannot be used outside an exception handler";
                let outside = || SqlError::new(SqlState::STACKED_DIAGNOSTICS_ACCESSED_WITHOUT_ACTIVE_HANDLER, message);
                let error = self.handled.last().ok_or_else(outside)?;
                let fields = error.fields();
                let code = error.code();
                let text = match item.as_str() {
                    "returned_sqlstate" => Some(code.code()),
                    "message_text" => Some(error.message()),
                    "pg_exception_detail" => fields.detail.as_deref(),
                    "pg_exception_hint" => fields.hint.as_deref(),
                    "column_name" => fields.column.as_deref(),
                    "constraint_name" => fields.constraint.as_deref(),
                    "pg_datatype_name" => fields.data_type.as_deref(),
                    "table_name" => fields.table.as_deref(),
                    "schema_name" => fields.schema.as_deref(),
                    _ => None,
                };
                Value::text(text.unwrap_or_default())
            } else if item == "row_count" {
                let count = i64::try_from(self.row_count).unwrap_or(i64::MAX);
                Value { ty: PgType::INT8, scalar: ScalarValue::Int64(Some(count)) }
            } else {
                Value::text("")
            };
            self.variables.assign(target, value)?;
        }
        Ok(())
    }

    pub(super) async fn source(&mut self, source: &RowSource) -> Result<Outcome> {
        let outcome = match source {
            RowSource::Query(query) => Some(self.run(query).await?),
            RowSource::Execute { text, using } => self.dynamic(text, using).await?.map(|(outcome, _)| outcome),
        };
        outcome.ok_or_else(|| SqlError::syntax("cannot open a query that gives no rows"))
    }

    pub(super) async fn holds(&mut self, condition: &Expression) -> Result<bool> {
        let value = self.value(condition).await?;
        let value = self.variables.cast(value, PgType::new(TypeName::Bool))?;
        Ok(value == ScalarValue::Boolean(Some(true)))
    }

    /// The value of an expression: of the one column of the one row; NULL without a row.
    pub(super) async fn value(&mut self, expression: &Expression) -> Result<Value> {
        if let Some(path) = bare_name(expression)
            && let Some(value) = self.variables.get(&path)?
        {
            return Ok(value);
        }
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

    pub(super) async fn text(&mut self, expression: &Expression) -> Result<Option<String>> {
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
            last = Some((self.host.run(&parsed, &values, None).await?, parsed.statement));
        }
        Ok(last)
    }

    /// Runs a statement of the body, its variables bound.
    pub(super) async fn run(&mut self, parsed: &Parsed) -> Result<Outcome> {
        let (bound, values) = self.bound(parsed).await?;
        self.host.run(&bound.parsed, &values, Some(bound.key)).await
    }

    /// The statement with its variables bound, and their values.
    async fn bound(&mut self, parsed: &Parsed) -> Result<(Arc<Bound>, Vec<Value>)> {
        let place = std::ptr::from_ref(parsed).addr();
        if let Some(known) = self.learnt.bound.get(&place).cloned()
            && let Some(values) = self.values_of(&known)?
        {
            return Ok((known, values));
        }
        let mut left = HashSet::new();
        let mut paths = Vec::new();
        let mut bound = self.with_parameters(parsed, &mut paths, &left)?;
        let mut values = self.values(&paths)?;
        for path in paths.clone() {
            if path.first().is_some_and(|name| name.starts_with('$')) || !self.is_column(parsed, &path, &values).await? {
                continue;
            }
            if self.conflicts == Conflicts::Refused {
                let message = format!("column reference \"{}\" is ambiguous", path.join("."));
                let detail = "It could refer to either a PL/pgSQL variable or a table column.";
                return Err(SqlError::new(SqlState::AMBIGUOUS_COLUMN, message).detail(detail));
            }
            left.insert(path);
        }
        if !left.is_empty() {
            paths.clear();
            bound = self.with_parameters(parsed, &mut paths, &left)?;
            values = self.values(&paths)?;
        }
        let types = values.iter().map(|value| value.ty).collect();
        let known = Arc::new(Bound { key: KEYS.fetch_add(1, Ordering::Relaxed), parsed: bound, paths, types });
        self.learnt.bound.insert(place, Arc::clone(&known));
        Ok((known, values))
    }

    fn values(&self, paths: &[Path]) -> Result<Vec<Value>> {
        let value = |path: &Path| self.variables.get(path)?.ok_or_else(|| SqlError::internal("a variable has gone"));
        paths.iter().map(value).collect()
    }

    /// The values for a statement that was bound before; `None` when its variables are of other types now.
    fn values_of(&self, known: &Bound) -> Result<Option<Vec<Value>>> {
        let mut values = Vec::with_capacity(known.paths.len());
        for (path, ty) in known.paths.iter().zip(&known.types) {
            match self.variables.get(path) {
                Ok(Some(value)) if value.ty == *ty => values.push(value),
                _ => return Ok(None),
            }
        }
        Ok(Some(values))
    }

    /// The statement with parameters in the place of variables, all but `left`; which they are is put into `paths`.
    fn with_parameters(&self, parsed: &Parsed, paths: &mut Vec<Path>, left: &HashSet<Path>) -> Result<Parsed> {
        let mut bound = parsed.clone();
        let mut failed = None;
        bind(&mut bound.statement, |path| {
            if left.contains(path) {
                return None;
            }
            let number = |path: &[String]| match paths.iter().position(|known| known == path) {
                Some(at) => at + 1,
                None => {
                    paths.push(path.to_vec());
                    paths.len()
                }
            };
            match self.variables.meaning(path, number) {
                Ok(meaning) => meaning,
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        failed.map_or(Ok(bound), Err)
    }

    /// Whether a name that is a variable is, in this statement, a column as well.
    async fn is_column(&mut self, parsed: &Parsed, path: &Path, values: &[Value]) -> Result<bool> {
        if !reads_relations(&parsed.statement) {
            return Ok(false);
        }
        let mut paths = Vec::new();
        let left = HashSet::from([path.clone()]);
        let as_column = self.with_parameters(parsed, &mut paths, &left)?;
        // A field of a whole row, whose name stands nowhere.
        if paths.contains(path) {
            return Ok(false);
        }
        let others = self.values(&paths).unwrap_or_else(|_| values.to_vec());
        match self.host.check(&as_column, &others).await {
            Err(error) => Ok(!matches!(error.code(), SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_TABLE)),
            Ok(_) => Ok(true),
        }
    }

    /// Whether a condition holds.
    pub async fn condition(&mut self, condition: &Expression) -> Result<bool> {
        self.holds(condition).await
    }

    /// Analyses a statement with its variables bound.
    pub async fn check(&mut self, parsed: &Parsed) -> Result<Option<Vec<PgType>>> {
        let (bound, values) = self.bound(parsed).await?;
        self.host.check(&bound.parsed, &values).await
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
        self.variables.assign_row(&into.targets, row)
    }

    /// What CALL gave goes to the variables among its arguments, the last of them first come.
    fn place_outputs(&mut self, call: &Expr, outcome: Outcome) -> Result<()> {
        let Some(row) = outcome.rows.and_then(|mut rows| rows.pop()) else { return Ok(()) };
        let Expr::Function(function) = call else { return Ok(()) };
        let ast::FunctionArguments::List(list) = &function.args else { return Ok(()) };
        let names = list.args.iter().filter_map(|arg| match arg {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(Expr::Identifier(name))) => Some(vec![fold(name)]),
            _ => None,
        });
        let known: Vec<Path> = names.filter(|path| self.variables.get(path).is_ok_and(|value| value.is_some())).collect();
        let skip = known.len().saturating_sub(row.len());
        for (path, field) in known.into_iter().skip(skip).zip(row) {
            self.variables.assign(&path, field.value)?;
        }
        Ok(())
    }
}

/// The name that an expression is, and nothing more.
fn bare_name(expression: &Parsed) -> Option<Path> {
    let Statement::Query(query) = &expression.statement else { return None };
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return None };
    let plain = select.from.is_empty() && select.selection.is_none() && query.limit_clause.is_none() && query.with.is_none();
    match (&select.projection[..], plain) {
        ([ast::SelectItem::UnnamedExpr(Expr::Identifier(name))], true) => Some(vec![fold(name)]),
        ([ast::SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names))], true) => Some(names.iter().map(fold).collect()),
        _ => None,
    }
}

/// Whether a statement names any relation, so that names in it may be columns.
fn reads_relations(statement: &Statement) -> bool {
    match statement {
        Statement::Query(query) => ast::visit_relations(query.as_ref(), |_| std::ops::ControlFlow::Break(())).is_break(),
        Statement::Call(_) => false,
        _ => true,
    }
}

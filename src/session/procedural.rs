//! Runs the body of DO and of procedures inside the transaction that is open, as statements of the session.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field as ArrowField, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;

use super::dispatch::Work;
use super::transaction::Block;
use super::{Reply, Session, reply};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, RoutineDef};
use crate::plan::routines::{
    Conflicts, Field, Host, Interpreter, Kind, Learnt, Names, Outcome, Routine, Row, Value, arranged_call, cast, field_of,
    rows_of, typed_argument,
};
use crate::plan::{ResultColumn, StatementContext, diagnose};
use crate::sql::procedural::CodeBlock;
use crate::sql::{Parsed, Statement};
use crate::types::{ArgumentMode, PgType, Zone};

impl Session {
    /// DO. What it has done is undone by the caller when it fails.
    pub(super) async fn run_inline(&mut self, block: &CodeBlock) -> Result<Reply> {
        let around = std::mem::replace(&mut self.transaction.block, Block::Explicit);
        self.transaction.alone = false;
        let mut learnt = Learnt::default();
        let done = match Interpreter::new(self, &mut learnt, Conflicts::Refused) {
            Ok(mut interpreter) => interpreter.body(block).await,
            Err(error) => Err(error),
        };
        self.transaction.block = around;
        done.map(|_| Reply::Command("DO".to_owned())).map_err(unplaced)
    }

    async fn outcome(&mut self, reply: Reply) -> Result<Outcome> {
        match reply::collected(reply).await? {
            Reply::Command(tag) => {
                let affected = tag.rsplit_once(' ').and_then(|(_, count)| count.parse().ok()).unwrap_or(0);
                Ok(Outcome { rows: None, columns: Vec::new(), affected })
            }
            Reply::Rows { columns, batches, .. } => {
                let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(diagnose)?;
                let rows = rows_of(&columns, &batches, self.zone()?)?;
                let nulls = columns.iter().map(Field::null).collect::<Result<_>>()?;
                Ok(Outcome { affected: rows.len() as u64, rows: Some(rows), columns: nulls })
            }
            Reply::Empty => Ok(Outcome::default()),
            Reply::CopyIn { .. } | Reply::CopyOut { .. } => Err(SqlError::internal("COPY ran inside a block")),
        }
    }
}

/// Positions are in a text that the client has not sent.
fn unplaced(mut error: SqlError) -> SqlError {
    error.fields_mut().position = None;
    error
}

#[async_trait]
impl Host for Session {
    async fn run(&mut self, parsed: &Parsed, values: &[Value], _: Option<u64>) -> Result<Outcome> {
        if let Statement::Call(call) = &parsed.statement {
            let rows = Box::pin(self.call_procedure(call, values)).await?;
            let affected = rows.len() as u64;
            return Ok(Outcome { rows: Some(rows).filter(|rows| !rows.is_empty()), columns: Vec::new(), affected });
        }
        if values.is_empty() || !super::prepared::is_planned(&parsed.statement) {
            let reply = self.perform(Work::Text(parsed)).await?;
            return self.outcome(reply).await;
        }
        let declared = values.iter().map(|value| Some(value.ty)).collect();
        let (kept, _) = self.prepare_statement(Some(parsed.clone()), declared).await?;
        let wanted = kept.parameters();
        if wanted.len() > values.len() {
            let message = format!("there is no parameter ${}", values.len() + 1);
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, message));
        }
        let parameters: Vec<ScalarValue> = values.iter().take(wanted.len()).map(|value| value.scalar.clone()).collect();
        let reply = self.perform(Work::Bound { statement: &kept, parameters: &parameters, formats: &[] }).await?;
        self.outcome(reply).await
    }

    async fn check(&mut self, parsed: &Parsed, values: &[Value]) -> Result<Option<Vec<PgType>>> {
        let declared = values.iter().map(|value| Some(value.ty)).collect();
        let (kept, _) = self.prepare_statement(Some(parsed.clone()), declared).await?;
        Ok(kept.description().columns.map(|columns| columns.iter().map(|column| column.ty).collect()))
    }

    fn mark(&mut self) {
        // No name that can be written is empty.
        Session::mark(self, String::new());
    }

    fn unmark(&mut self) {
        Session::unmark(self);
    }

    fn return_to_last(&mut self) {
        Session::return_to_last(self);
    }

    fn notice(&mut self, notice: SqlError) {
        self.notices.push(notice);
    }

    fn interrupted(&self) -> Result<()> {
        self.cancel.check()
    }

    fn zone(&self) -> Result<Zone> {
        Session::zone(self)
    }

    fn names(&mut self, with: &mut (dyn for<'a> FnMut(Names<'a>) -> Result<()> + Send)) -> Result<()> {
        let catalog = Arc::clone(&self.current().lock().catalog);
        let effective = self.settings.effective();
        let user = effective.role.clone().unwrap_or_else(|| effective.session_user.clone());
        let path = super::dispatch::searched(&effective.search_path, &user, &catalog);
        with(Names { catalog: &catalog, path: &path })
    }
}

impl Session {
    /// CALL, with the parameters that Bind gave.
    pub(super) async fn call(&mut self, call: &ast::Expr, work: Work<'_>) -> Result<Reply> {
        let (types, scalars) = work.bound();
        let values: Vec<Value> =
            types.iter().zip(scalars).map(|(ty, scalar)| Value { ty: *ty, scalar: scalar.clone() }).collect();
        let around = std::mem::replace(&mut self.transaction.block, Block::Explicit);
        self.transaction.alone = false;
        let done = self.call_procedure(call, &values).await;
        self.transaction.block = around;
        done.and_then(|rows| self.call_reply(rows, work.formats())).map_err(unplaced)
    }
}

/// A procedure and the query that gives its arguments.
struct CalledProcedure {
    routine: Routine,
    arguments: Option<Box<ast::Query>>,
}

impl Session {
    async fn call_procedure(&mut self, call: &ast::Expr, values: &[Value]) -> Result<Vec<Row>> {
        let ctx = self.context().await?;
        let called = called_procedure(&ctx, call)?;
        let mut arguments = Vec::new();
        if let Some(query) = called.arguments {
            let statement = Statement::Query(query);
            let parsed = Parsed { text: String::new(), offset: 0, statement, context: None, notices: Vec::new() };
            let outcome = Box::pin(Host::run(self, &parsed, values, None)).await?;
            let row = outcome.rows.and_then(|mut rows| rows.pop()).unwrap_or_default();
            let zone = Session::zone(self)?;
            for (field, (_, kind)) in row.into_iter().zip(&called.routine.inputs) {
                let Kind::Plain(ty) = kind else { return Err(SqlError::internal("an argument that is no value")) };
                arguments.push(cast(field.value, *ty, zone)?);
            }
        }
        let mut learnt = Learnt::default();
        let rows = Box::pin(called.routine.call(self, &mut learnt, arguments)).await?;
        let row = |values: Vec<ScalarValue>| -> Row {
            let named = values.into_iter().zip(&called.routine.shape.columns);
            named
                .map(|(scalar, (name, kind))| {
                    let ty = PgType::of_field(&field_of(kind, name));
                    Field { name: name.clone(), value: Value { ty, scalar } }
                })
                .collect()
        };
        let rows: Vec<Row> = rows.into_iter().map(row).collect();
        Ok(if called.routine.shape.columns.is_empty() { Vec::new() } else { rows })
    }

    /// What Parse is told of a CALL: the query that gives its arguments, and the columns of its answer.
    pub(super) fn described_call(
        ctx: &StatementContext,
        call: &ast::Expr,
    ) -> Result<(Option<Statement>, Option<Arc<[ResultColumn]>>)> {
        let called = called_procedure(ctx, call)?;
        let columns = called.routine.shape.columns.iter().map(|(name, kind)| ResultColumn {
            name: name.clone(),
            ty: PgType::of_field(&field_of(kind, name)),
            table_oid: 0,
            attribute: 0,
        });
        let columns: Arc<[ResultColumn]> = columns.collect();
        Ok((called.arguments.map(Statement::Query), Some(columns).filter(|columns| !columns.is_empty())))
    }

    fn call_reply(&self, mut rows: Vec<Row>, formats: &[i16]) -> Result<Reply> {
        let Some(row) = rows.pop() else { return Ok(Reply::Command("CALL".to_owned())) };
        let mut arrays = Vec::with_capacity(row.len());
        let mut fields = Vec::with_capacity(row.len());
        for field in &row {
            let array = field.value.scalar.to_array().map_err(diagnose)?;
            fields.push(arrow_field(field, array.data_type()));
            arrays.push(array);
        }
        let columns: Arc<[ResultColumn]> = row
            .iter()
            .map(|field| ResultColumn { name: field.name.clone(), ty: field.value.ty, table_oid: 0, attribute: 0 })
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays);
        let batch = batch.map_err(|_| SqlError::internal("results of a procedure do not fit their columns"))?;
        let batches = Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)])));
        Ok(Reply::Rows {
            formats: super::prepared::each_format(formats, columns.len()),
            columns,
            batches,
            tag: "CALL".to_owned(),
            count_rows: false,
            cancel: self.cancel.clone(),
            time_zone: self.settings.effective().time_zone.clone(),
        })
    }
}

fn arrow_field(field: &Field, arrow: &DataType) -> ArrowField {
    let typed = field.value.ty.field(field.name.as_str(), true);
    match typed.data_type() == arrow {
        true => typed,
        false => ArrowField::new(field.name.as_str(), arrow.clone(), true),
    }
}

fn called_procedure(ctx: &StatementContext, call: &ast::Expr) -> Result<CalledProcedure> {
    let ast::Expr::Function(function) = call else { return Err(SqlError::syntax("syntax error in CALL")) };
    let ast::FunctionArguments::List(list) = &function.args else { return Err(SqlError::syntax("syntax error in CALL")) };
    let catalog = Arc::clone(&ctx.transaction.lock().catalog);
    let names = Names { catalog: &catalog, path: &ctx.search_path };
    let (name, def) = named_procedure(ctx, &catalog, function)?;
    // Every parameter takes an argument in CALL; what OUT ones are given is looked at by nobody.
    let mut all = RoutineDef::clone(&def);
    for argument in &mut all.arguments {
        argument.mode = ArgumentMode::In;
    }
    let (_, mut values) = arranged_call(&name, vec![Arc::new(all)], &list.args)?;
    let mut at = 0;
    values.retain(|_| {
        at += 1;
        def.arguments.get(at - 1).is_some_and(|argument| argument.mode.is_input())
    });
    let routine = Routine::new(Arc::clone(&def), names)?;
    let items = values.into_iter().zip(def.inputs()).enumerate().map(|(at, (value, argument))| ast::SelectItem::ExprWithAlias {
        expr: typed_argument(argument, value),
        alias: ast::Ident::with_quote('"', format!("argument{at}")),
    });
    let items: Vec<ast::SelectItem> = items.collect();
    if items.is_empty() {
        return Ok(CalledProcedure { routine, arguments: None });
    }
    let mut parsed = crate::sql::parse("SELECT 1")?;
    let Some(Statement::Query(mut query)) = parsed.pop().map(|parsed| parsed.statement) else {
        return Err(SqlError::internal("SELECT does not parse"));
    };
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.projection = items;
    }
    Ok(CalledProcedure { routine, arguments: Some(query) })
}

/// The procedure that a call names: 42883, 42809 for a function.
fn named_procedure(ctx: &StatementContext, catalog: &Catalog, function: &ast::Function) -> Result<(String, Arc<RoutineDef>)> {
    let parts: Vec<String> = function
        .name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() })
        .collect();
    let (schema, name) = match &parts[..] {
        [name] => (None, name),
        [schema, name] => (Some(ctx.schema_named(schema)), name),
        _ => return Err(SqlError::syntax("syntax error in CALL")),
    };
    let schemas: Vec<&str> = match schema {
        Some(schema) => vec![schema],
        None => ctx.search_path.iter().map(String::as_str).collect(),
    };
    let found: Vec<&Arc<RoutineDef>> = schemas.iter().flat_map(|schema| catalog.routines_named(schema, name)).collect();
    let given = match &function.args {
        ast::FunctionArguments::List(list) => list.args.len(),
        _ => 0,
    };
    let takes = |def: &&&Arc<RoutineDef>| {
        let least = def.arguments.iter().filter(|argument| argument.default.is_none()).count();
        def.procedure && (least..=def.arguments.len()).contains(&given)
    };
    let mut fitting = found.iter().filter(takes);
    match (fitting.next(), fitting.next()) {
        (Some(def), None) => Ok((name.clone(), Arc::clone(def))),
        (Some(_), Some(_)) => Err(SqlError::unsupported(
            format!("procedure {name} with several definitions of as many parameters is not supported"),
            "Give one of them another name.",
        )),
        (None, _) if found.iter().any(|def| !def.procedure) => {
            let message = format!("{name}() is not a procedure");
            Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).hint("To call a function, use SELECT."))
        }
        (None, _) => {
            let message = format!("procedure {name} does not exist");
            Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                .hint("No procedure matches the given name and argument types. You might need to add explicit type casts."))
        }
    }
}

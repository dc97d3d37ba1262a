//! Bodies that run inside a plan or a write: their statements are planned and run in the transaction of the statement
//! that called.
//!
//! Refuses what only a session can do (definitions, settings) with 0A000.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::TryStreamExt;

use super::host::{Host, Outcome};
use super::kinds::Names;
use super::variables::{Field, Value, rows_of};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{RoutineDef, Savepoint};
use crate::plan::engine::{Analysed, Run};
use crate::plan::{Execution, StatementContext, diagnose};
use crate::sql::{Parsed, Statement};
use crate::types::{PgType, Volatility, Zone};

/// Calls within calls.
const DEEPEST: u32 = 64;

pub struct Within {
    run: Run,
    /// Analysed statements by their keys.
    known: HashMap<u64, Arc<Analysed>>,
    marks: Vec<Savepoint>,
    /// Its function is not volatile, and must not write.
    steady: bool,
}

impl Within {
    /// The surroundings of a routine called by `caller`. 54001 where calls are too deep.
    pub(in crate::plan) fn new(caller: &Run, routine: &RoutineDef) -> Result<Self> {
        let outer = &caller.ctx;
        if outer.depth >= DEEPEST {
            let error = SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded");
            return Err(error.hint(format!("Calls of functions may be {DEEPEST} deep.")));
        }
        let mut ctx = StatementContext {
            seen: None,
            returned: Default::default(),
            commits_alone: false,
            depth: outer.depth + 1,
            calls: Default::default(),
            ..StatementContext::clone(outer)
        };
        if routine.security_definer && routine.owner != ctx.current_user {
            ctx.superuser = ctx.authorities.of(&routine.owner).superuser;
            ctx.current_user.clone_from(&routine.owner);
        }
        if let Some(path) = &routine.search_path {
            ctx.search_path.clone_from(path);
        }
        let steady = routine.volatility != Volatility::Volatile;
        ctx.read_only |= steady;
        Ok(Self { run: caller.under(ctx), known: HashMap::new(), marks: Vec::new(), steady })
    }

    async fn analysed(&mut self, statement: &Statement, values: &[Value], key: Option<u64>) -> Result<Arc<Analysed>> {
        if let Some(known) = key.and_then(|key| self.known.get(&key))
            && known.is_under(&self.run.ctx)
        {
            return Ok(Arc::clone(known));
        }
        let declared: Vec<Option<PgType>> = values.iter().map(|value| Some(value.ty)).collect();
        let analysed = Arc::new(Box::pin(self.run.analyse(statement, &declared)).await?);
        if let Some(key) = key {
            self.known.insert(key, Arc::clone(&analysed));
        }
        Ok(analysed)
    }
}

impl Within {
    /// 0A000 for a write in a function that said it makes none.
    fn refuse_write(&self, statement: &Statement) -> Result<()> {
        let verb = match statement {
            Statement::Insert(_) => "INSERT",
            Statement::Update(_) => "UPDATE",
            Statement::Delete(_) => "DELETE",
            Statement::Merge(_) => "MERGE",
            Statement::With { .. } => "WITH",
            _ => return Ok(()),
        };
        match self.steady {
            true => Err(SqlError::unsupported(
                format!("{verb} is not allowed in a non-volatile function"),
                "Make the function VOLATILE.",
            )),
            false => Ok(()),
        }
    }
}

/// 0A000 for what needs a session.
fn refuse(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Query(_)
        | Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_)
        | Statement::With { .. } => Ok(()),
        _ => Err(SqlError::unsupported(
            "only queries and writes can run in a function that a query or a trigger calls",
            "Definitions, settings and CALL can run in a DO block, or in a procedure.",
        )),
    }
}

#[async_trait]
impl Host for Within {
    async fn run(&mut self, parsed: &Parsed, values: &[Value], key: Option<u64>) -> Result<Outcome> {
        refuse(&parsed.statement)?;
        self.refuse_write(&parsed.statement)?;
        let analysed = self.analysed(&parsed.statement, values, key).await?;
        let wanted = analysed.parameters().len();
        if wanted > values.len() {
            let message = format!("there is no parameter ${}", values.len() + 1);
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, message));
        }
        let zone = self.zone()?;
        let mut parameters: Vec<ScalarValue> = Vec::with_capacity(wanted);
        for (value, ty) in values.iter().zip(analysed.parameters()) {
            parameters.push(super::variables::cast(value.clone(), *ty, zone)?);
        }
        let columns = analysed.columns();
        let rows = match self.run.perform(&analysed, &parsed.statement, parameters).await? {
            Execution::Rows(rows) => (rows, None),
            Execution::Modified { count, returning: Some(rows) } => (rows, Some(count)),
            Execution::Modified { count, returning: None } => {
                return Ok(Outcome { rows: None, columns: Vec::new(), affected: count });
            }
        };
        let (stream, count) = rows;
        let batches: Vec<RecordBatch> = stream.batches.try_collect().await.map_err(diagnose)?;
        let columns = columns.unwrap_or(stream.columns);
        let rows = rows_of(&columns, &batches, zone)?;
        let nulls = columns.iter().map(Field::null).collect::<Result<_>>()?;
        Ok(Outcome { affected: count.unwrap_or(rows.len() as u64), rows: Some(rows), columns: nulls })
    }

    async fn check(&mut self, parsed: &Parsed, values: &[Value]) -> Result<Option<Vec<PgType>>> {
        refuse(&parsed.statement)?;
        let analysed = self.analysed(&parsed.statement, values, None).await?;
        Ok(analysed.columns().map(|columns| columns.iter().map(|column| column.ty).collect()))
    }

    fn mark(&mut self) {
        let place = self.run.ctx.transaction.lock().savepoint();
        self.marks.push(place);
    }

    fn unmark(&mut self) {
        if let Some(place) = self.marks.pop() {
            self.run.ctx.transaction.lock().release(place);
        }
    }

    fn return_to_last(&mut self) {
        if let Some(place) = self.marks.last() {
            self.run.ctx.transaction.lock().roll_back_to(*place);
        }
    }

    fn notice(&mut self, notice: SqlError) {
        self.run.ctx.notices.push(notice);
    }

    fn interrupted(&self) -> Result<()> {
        self.run.ctx.cancel.check()
    }

    fn zone(&self) -> Result<Zone> {
        Zone::parse(&self.run.ctx.time_zone)
    }

    fn names(&mut self, with: &mut (dyn for<'a> FnMut(Names<'a>) -> Result<()> + Send)) -> Result<()> {
        let catalog = Arc::clone(&self.run.ctx.transaction.lock().catalog);
        with(Names { catalog: &catalog, path: &self.run.ctx.search_path })
    }
}

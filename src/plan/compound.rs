//! A statement behind WITH queries that write: all parts see the snapshot and the transaction as they were before the
//! statement, and of each other what RETURNING gives.
//!
//! Each part runs once and to its end. Those whose rows are wanted run before who wants them, the others last. Keys and
//! unique entries are looked for among what the parts have written so far; foreign keys when all have run.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;

use super::StatementContext;
use super::context::Writes;
use super::diagnose::diagnose;
use super::engine::{Execution, ResultColumn, RowStream, Run};
use super::modify::{self, Later, Modify};
use super::output;
use super::query::PlannedQuery;
use super::returned::Returned;
use crate::error::{Result, SqlError};
use crate::sql::{RETURNED, Statement, WithWrite};
use crate::types::PgType;

/// The whole statement, analysed.
pub struct Compound {
    pub parameters: Vec<PgType>,
    parts: Vec<Part>,
    main: Main,
    /// Parts that run before the main statement and those after it, in order.
    before: Vec<usize>,
    after: Vec<usize>,
}

struct Part {
    name: String,
    modify: Modify,
    /// What RETURNING gives.
    schema: Option<SchemaRef>,
    /// Parts whose rows it reads.
    reads: BTreeSet<usize>,
}

enum Main {
    Query(Box<PlannedQuery>),
    Modify(Box<Modify>),
}

impl Compound {
    pub async fn analyse(run: &Run, writes: &[WithWrite], main: &Statement, declared: &[Option<PgType>]) -> Result<Self> {
        let first = Self::planned(run, writes, main, declared).await?;
        if first.parameters.is_empty() {
            return Ok(first);
        }
        // What one part says of a parameter holds in all.
        let known: Vec<Option<PgType>> = first.parameters.iter().copied().map(Some).collect();
        Self::planned(run, writes, main, &known).await
    }

    async fn planned(run: &Run, writes: &[WithWrite], main: &Statement, declared: &[Option<PgType>]) -> Result<Self> {
        let mut known = declared.to_vec();
        let mut returned = Returned::default();
        let mut parts = Vec::with_capacity(writes.len());
        for write in writes {
            let under = run.under(StatementContext { returned: returned.clone(), ..StatementContext::clone(&run.ctx) });
            let modify = Box::pin(under.modify(&write.statement, &known)).await?;
            known = modify.known().to_vec();
            let schema = modify.columns().map(|columns| schema_of(&columns));
            if let Some(schema) = &schema {
                returned = returned.with(&write.name, Arc::clone(schema), Vec::new());
            }
            parts.push(Part { name: write.name.clone(), modify, schema, reads: read_by(&write.statement, writes) });
        }
        let under = run.under(StatementContext { returned, ..StatementContext::clone(&run.ctx) });
        let reads = read_by(main, writes);
        let (main, last) = match main {
            Statement::Query(query) => {
                let query = under.query(query, &known)?;
                let types = query.parameters.clone();
                (Main::Query(Box::new(query)), types)
            }
            write => {
                let modify = Box::pin(under.modify(write, &known)).await?;
                let types = modify.parameters().to_vec();
                (Main::Modify(Box::new(modify)), types)
            }
        };
        let count = known.len().max(last.len());
        let of = |n: usize| known.get(n).copied().flatten().or_else(|| last.get(n).copied()).unwrap_or(PgType::TEXT);
        let parameters = (0..count).map(of).collect();
        let (before, after) = order(&parts, &reads);
        Ok(Self { parameters, parts, main, before, after })
    }

    pub fn columns(&self) -> Option<Arc<[ResultColumn]>> {
        match &self.main {
            Main::Query(query) => Some(Arc::clone(&query.columns)),
            Main::Modify(modify) => modify.columns(),
        }
    }

    /// Runs all of it. The main statement's rows are at hand when it is done, so that an error in them undoes the rest.
    pub async fn execute(&self, run: &Run, parameters: &[ScalarValue]) -> Result<Execution> {
        let seen: Arc<Writes> = Arc::new(run.ctx.transaction.lock().writes.clone());
        let ctx = StatementContext { seen: Some(seen), commits_alone: false, ..StatementContext::clone(&run.ctx) };
        let later = Later::default();
        let mut returned = Returned::default();
        for part in self.before.iter().filter_map(|at| self.parts.get(*at)) {
            returned = part.execute(run, &ctx, returned, parameters, &later).await?;
        }
        let under = run.under(StatementContext { returned: returned.clone(), ..ctx.clone() });
        let done = match &self.main {
            Main::Modify(modify) => {
                let run = modify::Run::planned(&under.ctx, &under, parameters).leaving(&later);
                modify.execute(run).await?
            }
            Main::Query(query) => Execution::Rows(all_rows(&under, query, parameters).await?),
        };
        for part in self.after.iter().filter_map(|at| self.parts.get(*at)) {
            returned = part.execute(run, &ctx, returned, parameters, &later).await?;
        }
        later.settle(modify::Run::planned(&run.ctx, run, parameters)).await?;
        Ok(done)
    }
}

impl Part {
    async fn execute(
        &self,
        run: &Run,
        ctx: &StatementContext,
        returned: Returned,
        parameters: &[ScalarValue],
        later: &Later,
    ) -> Result<Returned> {
        let under = run.under(StatementContext { returned: returned.clone(), ..ctx.clone() });
        let done = self.modify.execute(modify::Run::planned(&under.ctx, &under, parameters).leaving(later)).await?;
        match (done, &self.schema) {
            (Execution::Modified { returning: Some(rows), .. }, Some(schema)) => {
                let batches: Vec<RecordBatch> = rows.batches.try_collect().await.map_err(diagnose)?;
                let typed = batches.into_iter().map(|batch| batch.with_schema(Arc::clone(schema)));
                let batches = typed.collect::<std::result::Result<_, _>>();
                let batches = batches.map_err(|e| SqlError::internal(format!("returned rows do not fit their columns: {e}")))?;
                Ok(returned.with(&self.name, Arc::clone(schema), batches))
            }
            _ => Ok(returned),
        }
    }
}

async fn all_rows(run: &Run, query: &PlannedQuery, parameters: &[ScalarValue]) -> Result<RowStream> {
    let plan = run.physical(&query.plan, parameters.to_vec()).await?;
    let rows = datafusion::physical_plan::execute_stream(plan, run.state.task_ctx()).map_err(diagnose)?;
    let mut rows = output::conformed(&run.ctx, &query.columns, rows);
    let schema = rows.schema();
    let mut batches: Vec<RecordBatch> = Vec::new();
    while let Some(batch) = rows.try_next().await.map_err(diagnose)? {
        run.ctx.cancel.check()?;
        run.ctx.held.grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    let stream = MemoryStream::try_new(batches, schema, None).map_err(diagnose)?;
    Ok(RowStream { columns: Arc::clone(&query.columns), batches: Box::pin(stream) })
}

fn schema_of(columns: &[ResultColumn]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|c| c.ty.field(&c.name, true)).collect::<Vec<_>>()))
}

/// The parts whose rows a statement may read: those that it, or a WITH query it carries along, names.
fn read_by(statement: &Statement, writes: &[WithWrite]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut note = |relation: &ast::ObjectName| {
        let parts: Vec<&str> = relation.0.iter().filter_map(|part| part.as_ident()).map(|i| i.value.as_str()).collect();
        if let [RETURNED, name] = parts.as_slice() {
            found.extend(writes.iter().position(|write| write.name == *name));
        }
        std::ops::ControlFlow::<()>::Continue(())
    };
    let _ = match statement {
        Statement::Query(query) => ast::visit_relations(query.as_ref(), &mut note),
        Statement::Insert(insert) => ast::visit_relations(insert.as_ref(), &mut note),
        Statement::Update(update) => ast::visit_relations(update.as_ref(), &mut note),
        Statement::Delete(delete) => ast::visit_relations(delete.as_ref(), &mut note),
        Statement::Merge(merge) => ast::visit_relations(&merge.source, &mut note),
        _ => std::ops::ControlFlow::Continue(()),
    };
    found
}

/// What the main statement reads runs before it, in the order written; the rest after it, the last one first, each
/// with what it reads before it.
fn order(parts: &[Part], main: &BTreeSet<usize>) -> (Vec<usize>, Vec<usize>) {
    let mut done = Vec::new();
    main.iter().for_each(|at| with_reads(parts, *at, &mut done));
    let before = done.clone();
    (0..parts.len()).rev().for_each(|at| with_reads(parts, at, &mut done));
    let after = done.split_off(before.len());
    (before, after)
}

fn with_reads(parts: &[Part], at: usize, done: &mut Vec<usize>) {
    if done.contains(&at) {
        return;
    }
    if let Some(part) = parts.get(at) {
        part.reads.iter().filter(|read| **read < at).for_each(|read| with_reads(parts, *read, done));
        done.push(at);
    }
}

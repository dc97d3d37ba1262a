//! Rows of one versioned table under one scope, as a DataFusion table.
//!
//! Bound to definitions, never to data: scope, snapshot and own writes are read from the statement when it is
//! scanned, so a prepared plan may run many times. The clause's filter is taken in exactly; every other filter
//! only narrows which items are read and is checked again above. A payload that is missing fails the scan with
//! 58030; it never drops the row.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Constraint, Constraints, Result, internal_err};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::columns::{Shown, Source};
use super::late_keys::LateKeys;
use super::marker::Clause;
use super::payload::PayloadColumn;
use super::scan::{ReadColumn, ScanSpec, VersionScanExec, external};
use super::{DefaultScope, StatementContext, catalog, constant, member_filters, pushdown, scope};
use crate::error::SqlError;
use crate::history::{ColumnDef, ColumnId, TableDef};
use crate::versions::{Candidates, CommitNo, CommitStamp, KeyFilter, Scope, Snapshot, Timestamp};

/// Where a scan takes its scope from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// The statement: the present with own writes, or what `chronogate.as_of` says.
    Statement,
    /// The relation's clause, found among the filters; without one every state.
    Clause,
    /// Every state that was known at the time the statement reads.
    History,
}

#[derive(Debug)]
pub struct ScopedTable {
    /// The incarnation that is read, with its keys and indexes.
    pub table: Arc<TableDef>,
    pub shown: Shown,
    pub reads: Reads,
    /// What absent members of columns read as, in the payload's form.
    pub missing: HashMap<ColumnId, String>,
    constraints: Constraints,
}

impl ScopedTable {
    pub fn new(table: Arc<TableDef>, shown: Shown, reads: Reads, missing: HashMap<ColumnId, String>) -> Self {
        // With one state per item the key names the row, which GROUP BY may rely on.
        let key = table.key_columns().map(|k| shown.columns.iter().position(|c| is_column(&c.source, k.id)));
        let key: Option<Vec<usize>> = key.collect();
        let constraints = match (reads, key) {
            (Reads::Statement, Some(key)) if !key.is_empty() => Constraints::new_unverified(vec![Constraint::PrimaryKey(key)]),
            _ => Constraints::default(),
        };
        Self { table, shown, reads, missing, constraints }
    }

    /// Whether these filters say which items a scan has to look at.
    pub fn finds_items(&self, filters: &[Expr]) -> bool {
        let (keys, candidates) = pushdown::keys_of(&self.table, filters, |name| self.column(name));
        keys != KeyFilter::All || candidates.is_some()
    }

    fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.shown.columns.iter().find(|c| c.name == name).and_then(|c| match &c.source {
            Source::Column(column) => Some(column),
            Source::System(_) => None,
        })
    }

    fn read_column(&self, index: usize) -> Option<ReadColumn> {
        Some(match &self.shown.columns.get(index)?.source {
            Source::System(column) => ReadColumn::System(*column),
            Source::Column(column) if self.names_documents(column) => ReadColumn::DocumentId,
            Source::Column(column) => ReadColumn::Payload(PayloadColumn {
                field: column.field.clone(),
                ty: column.ty,
                missing: self.missing.get(&column.id).cloned(),
            }),
        })
    }

    fn names_documents(&self, column: &ColumnDef) -> bool {
        self.table.is_of_documents() && self.table.key_columns().any(|key| key.id == column.id)
    }

    /// When each column came that reads as something where older rows lack it; nothing for the present.
    fn came(&self, ctx: &StatementContext, scope: Scope) -> Vec<(String, CommitStamp)> {
        if self.missing.is_empty() || scope == Scope::Current {
            return Vec::new();
        }
        let states = ctx.database.table_states(self.table.id);
        let columns = self.shown.columns.iter().filter_map(|c| match &c.source {
            Source::Column(column) if self.missing.contains_key(&column.id) => Some(column),
            Source::Column(_) | Source::System(_) => None,
        });
        let of_column = |column: &ColumnDef| {
            let first = states.iter().find(|(_, def)| def.columns.iter().any(|c| c.id == column.id));
            // A column of this very transaction comes with its commit.
            let yet_to_come = CommitStamp { commit: CommitNo::MAX, time: Timestamp::MAX };
            (column.field.clone(), first.map_or(yet_to_come, |(stamp, _)| *stamp))
        };
        columns.map(of_column).collect()
    }

    async fn scope(&self, ctx: &StatementContext, state: &dyn Session, filters: &[Expr]) -> crate::error::Result<Scope> {
        match self.reads {
            Reads::Statement => Ok(scope::default_scope(ctx)),
            Reads::History => Ok(match ctx.default_scope {
                Some(DefaultScope::AsOf(until)) => Scope::Between { from: Timestamp::MIN, until },
                Some(DefaultScope::AsOfCommit(_)) | None => Scope::All,
            }),
            Reads::Clause => {
                let Some(clause) = filters.iter().find_map(Clause::of_filter) else { return Ok(Scope::All) };
                let mut instants = Vec::with_capacity(clause.instants.len());
                for (kind, expr) in &clause.instants {
                    instants.push((*kind, constant::value_in(state, expr)?));
                }
                scope::clause_scope(ctx, clause.kind, &instants).await
            }
        }
    }

    /// Whether several partitions may read it side by side: all items, as many as there are.
    fn is_worth_parting(&self, spec: &ScanSpec) -> bool {
        let whole = spec.keys == KeyFilter::All && spec.candidates.is_none() && spec.late.is_none();
        whole && spec.limit.is_none() && spec.rows.is_none()
    }

    fn names_few(&self, filters: &[Expr]) -> bool {
        let others: Vec<Expr> = filters.iter().filter(|f| Clause::of_filter(f).is_none()).cloned().collect();
        match pushdown::keys_of(&self.table, &others, |name| self.column(name)) {
            (KeyFilter::Points(keys), _) => keys.len() <= FEW,
            (KeyFilter::All | KeyFilter::Range { .. }, candidates) => candidates.is_some(),
        }
    }

    /// Refuses an instant at which the name meant another table than the one planned for.
    fn check_incarnation(&self, ctx: &StatementContext, scope: Scope, snapshot: Snapshot) -> crate::error::Result<()> {
        if self.reads != Reads::Clause || !matches!(scope, Scope::AsOf(_) | Scope::AsOfCommit(_)) {
            return Ok(());
        }
        match ctx.database.table_at(&self.table.name, scope, snapshot) {
            Some(then) if then.id != self.table.id => Err(SqlError::unsupported(
                format!("\"{}\" was another table at that instant", self.table.name.name),
                "Write the instant as a constant in the statement.",
            )),
            Some(then) if self.shown.columns.iter().any(|c| is_stored_elsewhere(&c.source, &then)) => Err(SqlError::unsupported(
                format!("a column of \"{}\" had another type at that instant", self.table.name.name),
                "Write the instant as a constant in the statement.",
            )),
            _ => Ok(()),
        }
    }
}

/// Whether that definition keeps the column's values under another member than the one that is read.
fn is_stored_elsewhere(source: &Source, then: &TableDef) -> bool {
    match source {
        Source::Column(column) => then.column_by_id(column.id).is_some_and(|old| !old.dropped && old.field != column.field),
        Source::System(_) => false,
    }
}

fn is_column(source: &Source, id: ColumnId) -> bool {
    matches!(source, Source::Column(column) if column.id == id)
}

/// The statement that a plan is made or run for.
pub fn statement_of(state: &dyn Session) -> Result<Arc<StatementContext>> {
    match state.config().get_extension::<StatementContext>() {
        Some(ctx) => Ok(ctx),
        None => internal_err!("a table was scanned outside a statement"),
    }
}

/// Tells the transaction what is going to be read.
fn note_read(ctx: &StatementContext, spec: &ScanSpec) {
    let mut transaction = ctx.transaction.lock();
    match &spec.keys {
        KeyFilter::Points(keys) if spec.scope == Scope::Current => transaction.has_read_items(spec.table, keys),
        KeyFilter::Points(_) | KeyFilter::All | KeyFilter::Range { .. } => transaction.has_read_table(spec.table),
    }
}

/// At most so many items, each found by its key or through an index, are few.
const FEW: usize = 64;

/// Whether every table that an optimised plan reads is narrowed to some named items, or to those that an index
/// names for an equality, or is one of the catalogue's, which are in memory.
pub fn looks_at_few(plan: &LogicalPlan) -> bool {
    let mut few = true;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            few &= match provider.downcast_ref::<ScopedTable>() {
                Some(table) => table.names_few(&scan.filters),
                None => catalog::relation_oid(provider.as_ref()).is_some(),
            };
        }
        Ok(if few { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && few
}

/// Whether the order in which rows come shows in what the plan gives: lists of values without an order of their own.
pub fn shows_order(plan: &LogicalPlan) -> bool {
    let lists = |expr: &Expr| match expr {
        Expr::AggregateFunction(call) => {
            call.params.order_by.is_empty() && matches!(call.func.name(), "array_agg" | "string_agg")
        }
        _ => false,
    };
    plan.exists(|node| match node {
        LogicalPlan::Aggregate(aggregate) => {
            Ok(aggregate.aggr_expr.iter().any(|expr| expr.exists(|e| Ok(lists(e))).unwrap_or(true)))
        }
        _ => Ok(false),
    })
    .unwrap_or(true)
}

#[async_trait]
impl TableProvider for ScopedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.shown.schema)
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match Clause::of_filter(filter) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let ctx = statement_of(state)?;
        let mut snapshot = ctx.transaction.lock().snapshot;
        let scope = self.scope(&ctx, state, filters).await.map_err(external)?;
        self.check_incarnation(&ctx, scope, snapshot).map_err(external)?;
        let mut known_until = None;
        if self.reads == Reads::History {
            match ctx.default_scope {
                Some(DefaultScope::AsOf(until)) => known_until = Some(until),
                Some(DefaultScope::AsOfCommit(commit)) => snapshot.commit = snapshot.commit.min(commit),
                None => {}
            }
        }
        let all: Vec<usize> = (0..self.shown.columns.len()).collect();
        let projection = projection.unwrap_or(&all);
        let columns: Option<Vec<ReadColumn>> = projection.iter().map(|i| self.read_column(*i)).collect();
        let Some(columns) = columns else { return internal_err!("a scan was asked for a column it does not have") };
        let schema: Schema = self.shown.schema.project(projection)?;
        let others: Vec<Expr> = filters.iter().filter(|f| Clause::of_filter(f).is_none()).cloned().collect();
        let (keys, candidates) = pushdown::keys_of(&self.table, &others, |name| self.column(name));
        let members = || member_filters::of(&self.table, &others, |name| self.column(name)).map(Candidates::Members);
        let candidates = candidates.map(Candidates::Index).or_else(members);
        let own_writes = self.reads == Reads::Statement && scope == Scope::Current;
        let counts = columns.is_empty() && limit.is_none() && scope == Scope::Current;
        let mut spec = ScanSpec {
            table: self.table.id,
            name: self.table.name.name.clone(),
            scope,
            snapshot,
            keys,
            candidates,
            columns,
            limit: if others.is_empty() { limit } else { None },
            own_writes,
            known_until,
            came: self.came(&ctx, scope),
            rechecked: others.iter().map(|f| f.human_display().to_string()).collect(),
            rows: None,
            late: LateKeys::of(&self.table, &self.shown, &others),
        };
        note_read(&ctx, &spec);
        if counts && others.is_empty() && ctx.overlay(self.table.id).is_none() {
            spec.rows = ctx.database.live_count(self.table.id, snapshot).await.map_err(|e| external(e.into()))?;
        }
        let parts = match self.is_worth_parting(&spec) {
            true => ctx.database.parts(self.table.id, state.config_options().execution.target_partitions).await,
            false => Ok(Vec::new()),
        };
        let parts = parts.map_err(|e| external(e.into()))?;
        Ok(Arc::new(VersionScanExec::new(spec, Arc::new(schema), parts)))
    }
}

//! MERGE: the rows of the source, each beside the target's row that it matches or none, and what becomes of them.
//!
//! One SELECT gives the pairs. Conditions and values are evaluated only for the rows that a clause is about; a
//! subquery in them is 0A000.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat, concat_batches, take_record_batch};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast;

use super::assigned::Assigned;
use super::documents::Given;
use super::insert::named_columns;
use super::parameters::Parameters;
use super::program::{RowProgram, rows_where};
use super::select::{column_of, fold, plan_typed, select};
use super::set::{self, AssignedValue, Assignment};
use super::target::{Target, find_table, refuse_given_identity};
use super::update::{layout_columns, old_items, relation_names, returning_schema, wildcard_of};
use super::write::{Edit, write};
use super::{ITEM_KEY, Queries, Run};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::rows::batch_of;
use crate::plan::{Execution, StatementContext};
use crate::sql::{self, MergeAction};
use crate::versions::ItemKey;

/// A MERGE, planned.
#[derive(Debug)]
pub struct Merge {
    target: Target,
    /// Gives the target's columns, its version, its key (NULL where nothing matches), then the source's columns.
    source: Box<LogicalPlan>,
    /// The target's columns, then the source's; and the latter alone.
    both: DFSchemaRef,
    alone: DFSchemaRef,
    clauses: Vec<Clause>,
}

#[derive(Debug)]
struct Clause {
    matched: bool,
    condition: Option<RowProgram>,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Nothing,
    Delete,
    Update(Assigned),
    /// Columns that are given come from the assignments, the others by default.
    Insert {
        given: HashSet<usize>,
        assigned: Assigned,
    },
}

/// The rows of a MERGE in the making.
#[derive(Default)]
struct Changes {
    edits: Vec<Edit>,
    /// Batches of the layout's columns, and how many rows they have together.
    values: Vec<Vec<ArrayRef>>,
    rows: usize,
    touched: HashSet<ItemKey>,
}

impl Merge {
    pub async fn plan(
        ctx: &StatementContext,
        queries: &dyn Queries,
        merge: &sql::Merge,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let ast::TableFactor::Table { name, alias, .. } = &merge.table else {
            return Err(SqlError::syntax("a table's name is expected after MERGE INTO"));
        };
        let mut target = Target::new(ctx, queries, find_table(ctx, name, "merge into")?)?;
        let alias = alias.as_ref().map_or_else(|| target.table().name.name.clone(), |alias| fold(&alias.name));
        refuse_same_name(&alias, &merge.source)?;
        target.reach(ctx, queries, None)?;
        let query = pairs(&target, &alias, merge)?;
        let plan = plan_typed(queries, query, parameters, |_| Ok(Vec::new())).await?;
        let own = target.layout.columns.len();
        let both = returning_schema(&target, &alias, &plan, own + 2)?;
        let alone = without_first(&both, own)?;
        let mut clauses = Vec::with_capacity(merge.clauses.len());
        for clause in &merge.clauses {
            let schema = if clause.matched { &both } else { &alone };
            let condition = match &clause.condition {
                None => None,
                Some(condition) => {
                    let items = std::slice::from_ref(condition);
                    let program = RowProgram::plan(queries, items, schema.clone(), parameters, "MERGE WHEN");
                    let program = program.map_err(|e| out_of_reach(e, &alias, clause.matched))?;
                    parameters.of_plan(queries, program.logical_plan())?;
                    Some(program)
                }
            };
            let action = Action::plan(queries, &target, &clause.action, schema, parameters);
            let action = action.map_err(|e| out_of_reach(e, &alias, clause.matched))?;
            clauses.push(Clause { matched: clause.matched, condition, action });
        }
        Ok(Self { target, source: Box::new(plan), both, alone, clauses })
    }

    pub fn source(&self) -> &LogicalPlan {
        &self.source
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Those that the actions take, and SELECT, since rows are compared.
    pub fn privileges(&self) -> Vec<&'static str> {
        let of = |clause: &Clause| match clause.action {
            Action::Nothing => None,
            Action::Delete => Some("DELETE"),
            Action::Update(_) => Some("UPDATE"),
            Action::Insert { .. } => Some("INSERT"),
        };
        self.clauses.iter().filter_map(of).chain(["SELECT"]).collect()
    }

    pub async fn execute(&self, run: Run<'_>) -> Result<Execution> {
        let nothing = || Ok(Execution::Modified { count: 0, returning: None });
        let target = self.target.in_zone_of(run.ctx)?;
        let target = target.as_ref();
        let batches = run.collect(&self.source).await?;
        let Some(schema) = batches.first().map(RecordBatch::schema) else { return nothing() };
        let all = concat_batches(&schema, &batches).map_err(too_many)?;
        let keys = all.columns().get(target.layout.columns.len() + 1).and_then(|c| c.as_binary_opt::<i32>());
        let keys = keys.ok_or_else(|| SqlError::internal("a scan gave no keys of its rows"))?.clone();
        let (mut left, mut unmatched): (Vec<u32>, Vec<u32>) =
            (0..keys.len() as u32).partition(|row| keys.is_valid(*row as usize));
        let mut changes = Changes::default();
        for clause in &self.clauses {
            let waiting = if clause.matched { &mut left } else { &mut unmatched };
            if waiting.is_empty() {
                continue;
            }
            let rows = take_record_batch(&all, &UInt32Array::from(waiting.clone())).map_err(too_many)?;
            let seen = self.seen(target, clause.matched, &rows)?;
            let chosen: Vec<u32> = match &clause.condition {
                None => (0..waiting.len() as u32).collect(),
                Some(condition) => rows_where(condition, run, &seen)?,
            };
            let picked = UInt32Array::from(chosen.clone());
            let rows = take_record_batch(&rows, &picked).map_err(too_many)?;
            let seen = take_record_batch(&seen, &picked).map_err(too_many)?;
            clause.action.run(run, target, &rows, &seen, &mut changes).await?;
            let chosen: HashSet<u32> = chosen.into_iter().collect();
            let rest = waiting.iter().enumerate().filter(|(n, _)| !chosen.contains(&(*n as u32))).map(|(_, row)| *row);
            *waiting = rest.collect();
        }
        if target.triggers.is_some() {
            return Err(SqlError::unsupported(
                format!("MERGE into \"{}\", which has triggers, is not supported", target.table().name.name),
                "Use INSERT … ON CONFLICT, UPDATE and DELETE.",
            ));
        }
        let count = changes.edits.len() as u64;
        let values = changes.columns(target)?;
        write(run, target, changes.edits, &values).await?;
        Ok(Execution::Modified { count, returning: None })
    }

    /// The rows as the expressions of a clause see them.
    fn seen(&self, target: &Target, matched: bool, rows: &RecordBatch) -> Result<RecordBatch> {
        let own = target.layout.columns.len();
        let beside = rows.columns().get(own + 2..).unwrap_or(&[]);
        let mut columns = if matched { layout_columns(target, rows)? } else { Vec::new() };
        columns.extend_from_slice(beside);
        let schema = if matched { &self.both } else { &self.alone };
        batch_of(Arc::new(schema.as_arrow().clone()), columns, rows.num_rows())
    }
}

impl Action {
    fn plan(
        queries: &dyn Queries,
        target: &Target,
        action: &MergeAction,
        schema: &DFSchemaRef,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        Ok(match action {
            MergeAction::Nothing => Self::Nothing,
            MergeAction::Delete => Self::Delete,
            MergeAction::Update(list) => Self::Update(Assigned::plan(queries, target, list, schema, parameters, "MERGE")?),
            MergeAction::Insert { columns, values, overriding } => {
                let (assignments, expressions) = inserted(target, columns, values.as_deref(), *overriding)?;
                let given = assignments.iter().map(|assignment| assignment.position).collect();
                let assigned = Assigned::of(queries, target, (assignments, &expressions), schema, parameters, "MERGE")?;
                Self::Insert { given, assigned }
            }
        })
    }

    async fn run(
        &self,
        run: Run<'_>,
        target: &Target,
        rows: &RecordBatch,
        seen: &RecordBatch,
        changes: &mut Changes,
    ) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        match self {
            Self::Nothing => Ok(()),
            Self::Delete => {
                let old = layout_columns(target, rows)?;
                for old in old_items(target, rows, &old)? {
                    changes.touch(run.ctx, target, &old.key)?;
                    changes.edits.push(Edit { old: Some(old), ..Edit::default() });
                }
                Ok(())
            }
            Self::Update(assigned) => {
                let old = layout_columns(target, rows)?;
                let olds = old_items(target, rows, &old)?;
                olds.iter().try_for_each(|old| changes.touch(run.ctx, target, &old.key))?;
                let new = assigned.apply(run, target, seen, &old).await?;
                target.check(run, &new, rows.num_rows())?;
                let (first, given) = (changes.rows, Some(assigned.positions().collect()));
                let edit = |(n, old)| Edit { old: Some(old), new: Some(first + n), given: Given::clone(&given) };
                changes.edits.extend(olds.into_iter().enumerate().map(edit));
                changes.add(new, rows.num_rows());
                Ok(())
            }
            Self::Insert { given, assigned } => {
                let mut defaults = Vec::with_capacity(target.layout.columns.len());
                for (position, column) in target.layout.columns.iter().enumerate() {
                    defaults.push(match given.contains(&position) {
                        true => datafusion::arrow::array::new_null_array(&column.ty.arrow(), rows.num_rows()),
                        false => target.default_values(run, position, rows.num_rows()).await?,
                    });
                }
                let new = assigned.apply(run, target, seen, &defaults).await?;
                target.check(run, &new, rows.num_rows())?;
                let (first, given) = (changes.rows, Some(assigned.expressed().collect()));
                let edit = |n| Edit { old: None, new: Some(first + n), given: Given::clone(&given) };
                changes.edits.extend((0..rows.num_rows()).map(edit));
                changes.add(new, rows.num_rows());
                Ok(())
            }
        }
    }
}

impl Changes {
    fn add(&mut self, values: Vec<ArrayRef>, rows: usize) {
        self.values.push(values);
        self.rows += rows;
    }

    /// 21000 for an item that has been changed already.
    fn touch(&mut self, ctx: &StatementContext, target: &Target, key: &ItemKey) -> Result<()> {
        if self.touched.insert(key.clone()) && !ctx.has_changed(target.table().id, key) {
            return Ok(());
        }
        let message = "MERGE command cannot affect row a second time";
        Err(SqlError::new(SqlState::CARDINALITY_VIOLATION, message)
            .hint("Ensure that not more than one source row matches any one target row."))
    }

    /// The layout's columns of all rows.
    fn columns(&self, target: &Target) -> Result<Vec<ArrayRef>> {
        let column = |(position, column): (usize, &crate::history::ColumnDef)| -> Result<ArrayRef> {
            let parts: Vec<&dyn Array> =
                self.values.iter().filter_map(|values| values.get(position)).map(AsRef::as_ref).collect();
            if parts.is_empty() {
                return Ok(datafusion::arrow::array::new_empty_array(&column.ty.arrow()));
            }
            concat(&parts).map_err(too_many)
        };
        target.layout.columns.iter().enumerate().map(column).collect()
    }
}

/// `SELECT target, source FROM source LEFT JOIN target ON condition`; only pairs where no clause wants more.
fn pairs(target: &Target, alias: &str, merge: &sql::Merge) -> Result<ast::Query> {
    let mut items: Vec<ast::SelectItem> = target.layout.columns.iter().map(|c| column_of(alias, &c.name)).collect();
    items.push(column_of(alias, "_version"));
    items.push(column_of(alias, ITEM_KEY));
    items.extend(relation_names(&merge.source).iter().map(wildcard_of));
    let on = ast::JoinConstraint::On(merge.on.clone());
    let join_operator = match merge.clauses.iter().any(|clause| !clause.matched) {
        true => ast::JoinOperator::LeftOuter(on),
        false => ast::JoinOperator::Inner(on),
    };
    let join = ast::Join { relation: merge.table.clone(), global: false, join_operator };
    select(items, vec![ast::TableWithJoins { relation: merge.source.clone(), joins: vec![join] }], None)
}

/// 42712, as PostgreSQL says it here.
fn refuse_same_name(alias: &str, source: &ast::TableFactor) -> Result<()> {
    let names = relation_names(source);
    let last = |name: &ast::ObjectName| name.0.last().and_then(|part| part.as_ident()).map(fold);
    if names.iter().any(|name| last(name).as_deref() == Some(alias)) {
        let message = format!("name \"{alias}\" specified more than once");
        return Err(SqlError::new(SqlState::DUPLICATE_ALIAS, message)
            .detail("The name is used both as MERGE target table and data source."));
    }
    Ok(())
}

/// A clause about rows that match nothing cannot name the target.
fn out_of_reach(error: SqlError, alias: &str, matched: bool) -> SqlError {
    let names_target = error.message().contains(&format!("\"{alias}\"")) || error.message().contains(&format!(" {alias}."));
    if matched || error.code() != SqlState::UNDEFINED_TABLE || !names_target {
        return error;
    }
    let message = format!("invalid reference to FROM-clause entry for table \"{alias}\"");
    SqlError::new(SqlState::UNDEFINED_TABLE, message)
        .hint(format!("There is an entry for table \"{alias}\", but it cannot be referenced from this part of the query."))
}

fn without_first(schema: &DFSchemaRef, count: usize) -> Result<DFSchemaRef> {
    let fields = schema.iter().skip(count).map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    let schema = DFSchema::new_with_metadata(fields, Default::default());
    schema.map(Arc::new).map_err(|e| SqlError::internal(format!("columns have no schema: {e}")))
}

/// The columns that an INSERT action gives, each with its value; `values` is `None` for DEFAULT VALUES.
fn inserted(
    target: &Target,
    columns: &[ast::ObjectName],
    values: Option<&[ast::Expr]>,
    overriding: bool,
) -> Result<(Vec<Assignment>, Vec<ast::Expr>)> {
    let Some(values) = values else { return Ok((Vec::new(), Vec::new())) };
    let positions = match named_columns(target, columns)? {
        Some(positions) => positions,
        None => (0..target.layout.columns.len().min(values.len())).collect(),
    };
    if values.len() > positions.len() {
        return Err(SqlError::syntax("INSERT has more expressions than target columns"));
    }
    if values.len() < positions.len() {
        return Err(SqlError::syntax("INSERT has more target columns than expressions"));
    }
    let (mut assignments, mut expressions) = (Vec::new(), Vec::new());
    for (position, value) in positions.into_iter().zip(values) {
        if set::is_default(value) {
            continue;
        }
        refuse_given_identity(target.column(position)?, overriding)?;
        expressions.push(value.clone());
        assignments.push(Assignment { position, value: AssignedValue::Expression(expressions.len() - 1) });
    }
    Ok((assignments, expressions))
}

fn too_many(e: datafusion::arrow::error::ArrowError) -> SqlError {
    SqlError::new(SqlState::OUT_OF_MEMORY, format!("the rows to merge do not fit one batch: {e}"))
}

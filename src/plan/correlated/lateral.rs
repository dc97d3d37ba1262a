//! LATERAL: for every row on the left, the rows of a subquery that names its columns.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use datafusion::arrow::compute::{concat_batches, take};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, JoinType, Result, TableReference, not_impl_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::logical_plan::{Join, SubqueryAlias};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, Subquery, UserDefinedLogicalNodeCore, build_join_schema,
};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::{TryStreamExt, stream};

use super::alone;
use super::nested::Nested;
use super::run::{Correlated, Runner};
use crate::plan::functions::define::scalar_at;
use crate::plan::scan::BATCH_ROWS;
use crate::plan::traits::plan_over_one_input;

/// The join as an [`Apply`] where its right side is LATERAL.
pub fn applied(join: Join) -> Result<Transformed<LogicalPlan>> {
    let Some((subquery, alias)) = lateral(&join.right) else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        return not_impl_err!("LATERAL on the nullable side of a join");
    }
    let mut right = LogicalPlanBuilder::from(alone(subquery.subquery.as_ref().clone())?);
    if let Some(alias) = alias {
        right = right.alias(alias)?;
    }
    let left = join.left.schema();
    // What joins the sides is a filter of the right one; the left one's columns are outer columns there.
    let equal = join.on.into_iter().map(|(l, r)| l.eq(r));
    if let Some(condition) = conjunction(equal.chain(join.filter)) {
        let condition = condition.transform_up(|expr| match expr {
            Expr::Column(column) if left.has_column(&column) => {
                let (_, field) = left.qualified_field_from_column(&column)?;
                Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        right = right.filter(condition.data)?;
    }
    let right = right.build()?;
    let schema = Arc::new(build_join_schema(left, right.schema(), &join.join_type)?);
    let (subquery, outer) = Correlated::new(right, left)?;
    let node = Apply { input: join.left, subquery: Arc::new(subquery), outer, kind: join.join_type, schema };
    Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
}

fn lateral(right: &LogicalPlan) -> Option<(&Subquery, Option<TableReference>)> {
    match right {
        LogicalPlan::Subquery(subquery) => Some((subquery, None)),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, .. }) => match input.as_ref() {
            LogicalPlan::Subquery(subquery) => Some((subquery, Some(alias.clone()))),
            _ => None,
        },
        _ => None,
    }
}

/// The rows of `input`, each with the rows that the subquery gives for it; of a left join those without any too.
#[derive(Debug)]
pub struct Apply {
    pub input: Arc<LogicalPlan>,
    subquery: Arc<Correlated>,
    /// What the subquery's outer columns are, over the input.
    pub outer: Vec<Expr>,
    kind: JoinType,
    schema: DFSchemaRef,
}

impl Apply {
    pub fn physical(&self, input: Arc<dyn ExecutionPlan>, outer: Vec<Arc<dyn PhysicalExpr>>) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::clone(self.schema.inner());
        Arc::new(ApplyExec::new(input, Arc::clone(&self.subquery), outer, self.kind, schema))
    }
}

impl PartialEq for Apply {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.subquery, &other.subquery) && self.input == other.input && self.outer == other.outer
    }
}

impl Eq for Apply {}

impl PartialOrd for Apply {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl Hash for Apply {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.outer.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for Apply {
    fn name(&self) -> &str {
        "Apply"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.outer.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Apply: {}", self.kind)
    }

    fn with_exprs_and_inputs(&self, outer: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.into_iter().next().map_or_else(|| Arc::clone(&self.input), Arc::new);
        let schema = Arc::new(build_join_schema(input.schema(), self.subquery.schema(), &self.kind)?);
        Ok(Self { input, subquery: Arc::clone(&self.subquery), outer, kind: self.kind, schema })
    }

    /// A condition on the left side alone is asked before the right side runs, which may fail for rows that it rules out.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.subquery.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// All of the input's columns are given, so that those of the subquery stay where they are.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }
}

#[derive(Debug)]
struct ApplyExec {
    input: Arc<dyn ExecutionPlan>,
    subquery: Arc<Correlated>,
    outer: Vec<Arc<dyn PhysicalExpr>>,
    kind: JoinType,
    properties: Arc<PlanProperties>,
}

impl ApplyExec {
    fn new(
        input: Arc<dyn ExecutionPlan>,
        subquery: Arc<Correlated>,
        outer: Vec<Arc<dyn PhysicalExpr>>,
        kind: JoinType,
        schema: SchemaRef,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, subquery, outer, kind, properties: Arc::new(properties) }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self::new(input, Arc::clone(&self.subquery), self.outer.clone(), self.kind, self.schema()))
    }
}

impl DisplayAs for ApplyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outer: Vec<String> = self.outer.iter().map(|e| e.to_string()).collect();
        write!(f, "Apply: {}, for each ({})", self.kind, outer.join(", "))
    }
}

impl ExecutionPlan for ApplyExec {
    plan_over_one_input!("ApplyExec");

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for expr in &self.outer {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let nested = Nested::of(context.session_config().options())?;
        let applying = Applying {
            runner: self.subquery.prepare(&nested)?.runner(),
            input: self.input.execute(partition, context)?,
            outer: self.outer.clone(),
            kind: self.kind,
            schema: self.schema(),
            left: None,
        };
        let batches =
            stream::try_unfold(applying, |mut applying| async move { Ok(applying.next().await?.map(|batch| (batch, applying))) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

struct Applying {
    runner: Runner,
    input: SendableRecordBatchStream,
    outer: Vec<Arc<dyn PhysicalExpr>>,
    kind: JoinType,
    schema: SchemaRef,
    left: Option<Left>,
}

/// A batch of the left side on its way, with its outer values.
struct Left {
    batch: RecordBatch,
    outer: Vec<ArrayRef>,
    row: usize,
}

impl Applying {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.left.is_none() {
                let Some(batch) = self.input.try_next().await? else { return Ok(None) };
                let rows = batch.num_rows();
                let outer = self.outer.iter().map(|e| e.evaluate(&batch)?.into_array(rows)).collect::<Result<_>>()?;
                self.left = Some(Left { batch, outer, row: 0 });
            }
            let Some(mut left) = self.left.take() else { continue };
            let batch = self.rows_of(&mut left).await?;
            if left.row < left.batch.num_rows() {
                self.left = Some(left);
            }
            if batch.num_rows() > 0 {
                return Ok(Some(batch));
            }
        }
    }

    /// Rows for the next rows of the left side: enough to fill a batch, or all there are.
    async fn rows_of(&mut self, left: &mut Left) -> Result<RecordBatch> {
        let right_schema = self.right_schema(left);
        let (mut lefts, mut rights): (Vec<u32>, Vec<RecordBatch>) = (Vec::new(), Vec::new());
        while left.row < left.batch.num_rows() && lefts.len() < BATCH_ROWS {
            let row = left.row;
            let values = left.outer.iter().map(|a| scalar_at(a, row)).collect::<Result<_>>()?;
            let mut found = self.runner.run(values).await?;
            let before = lefts.len();
            while let Some(batch) = found.try_next().await? {
                lefts.extend(std::iter::repeat_n(row as u32, batch.num_rows()));
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                rights.push(RecordBatch::try_new_with_options(Arc::clone(&right_schema), batch.columns().to_vec(), &options)?);
            }
            if lefts.len() == before && self.kind == JoinType::Left {
                lefts.push(row as u32);
                let nulls = right_schema.fields().iter().map(|f| new_null_array(f.data_type(), 1)).collect();
                let options = RecordBatchOptions::new().with_row_count(Some(1));
                rights.push(RecordBatch::try_new_with_options(Arc::clone(&right_schema), nulls, &options)?);
            }
            left.row += 1;
        }
        let rows = lefts.len();
        let lefts = UInt32Array::from(lefts);
        let mut columns = left.batch.columns().iter().map(|c| take(c, &lefts, None)).collect::<Result<Vec<_>, _>>()?;
        columns.extend(concat_batches(&right_schema, &rights)?.columns().iter().cloned());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// The right side's columns; nullable, since a left join has rows without.
    fn right_schema(&self, left: &Left) -> SchemaRef {
        let fields = self.schema.fields().iter().skip(left.batch.num_columns());
        let fields: Vec<_> = fields.map(|f| f.as_ref().clone().with_nullable(true)).collect();
        Arc::new(datafusion::arrow::datatypes::Schema::new(fields))
    }
}

//! Expressions compiled once for all executions: parameters and `now()` are columns of their input.
//!
//! Refuses whatever may differ from one execution to the next by anything else: functions that are not
//! immutable, casts that depend on the time zone.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, TableReference};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{EmptyRelation, Expr, ExprSchemable, LogicalPlan, Projection, Volatility};
use datafusion::physical_expr::PhysicalExpr;

use super::parameters::number;
use super::program::simplifier;
use super::target::repeat;
use super::{Queries, Run};
use crate::error::{Result, SqlError};
use crate::plan::rows::batch_of;
use crate::types::PgType;

/// The column that stands for `now()`.
const NOW: &str = "now()";

/// Compiled expressions over a row's columns, then the parameters, then the time.
#[derive(Debug)]
pub struct Compiled {
    schema: SchemaRef,
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    parameters: usize,
}

impl Compiled {
    /// `None` when the expressions cannot be compiled for good.
    pub fn new(queries: &dyn Queries, expressions: &[Expr], row: &DFSchemaRef, parameters: &[PgType]) -> Result<Option<Self>> {
        let mut fields: Vec<(Option<TableReference>, FieldRef)> =
            row.iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone())).collect();
        let inputs = parameters.iter().enumerate().map(|(n, ty)| (format!("${}", n + 1), *ty));
        for (name, ty) in inputs.chain([(NOW.to_owned(), PgType::TIMESTAMPTZ)]) {
            fields.push((None, Arc::new(ty.field(name, true))));
        }
        let schema = DFSchema::new_with_metadata(fields, HashMap::new()).map_err(|e| queries.diagnose(e))?;
        let schema = Arc::new(schema);
        let mut replaced = Vec::with_capacity(expressions.len());
        for expr in expressions {
            replaced.push(expr.clone().transform_up(as_column).map_err(|e| queries.diagnose(e))?.data);
        }
        let Some(analysed) = analyse(queries, replaced, &schema)? else { return Ok(None) };
        let simplifier = simplifier(queries.state(), &schema);
        let mut compiled = Vec::with_capacity(analysed.len());
        for expr in analysed {
            let expr = expr.unalias_nested().data;
            if !is_lasting(&expr, &schema) {
                return Ok(None);
            }
            // Some functions exist only to be rewritten by it.
            let expr = simplifier.simplify(expr).map_err(|e| queries.diagnose(e))?;
            compiled.push(queries.state().create_physical_expr(expr, &schema).map_err(|e| queries.diagnose(e))?);
        }
        let schema = Arc::new(schema.as_arrow().clone());
        Ok(Some(Self { schema, expressions: compiled, parameters: parameters.len() }))
    }

    /// Each expression's value for every row of the batch.
    pub fn run(&self, run: Run<'_>, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let rows = batch.num_rows();
        if self.expressions.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = batch.columns().to_vec();
        for n in 0..self.parameters {
            let value = run.parameters.get(n).ok_or_else(|| SqlError::internal(format!("there is no parameter ${}", n + 1)))?;
            columns.push(repeat(value, rows)?);
        }
        let now = TimestampMicrosecondArray::from_value(run.ctx.transaction_time.micros(), rows).with_timezone("UTC");
        columns.push(Arc::new(now));
        let batch = batch_of(self.schema.clone(), columns, rows)?;
        let values = self.expressions.iter().map(|e| e.evaluate(&batch).and_then(|v| v.into_array(rows)));
        values.collect::<datafusion::error::Result<_>>().map_err(|e| run.diagnose(e))
    }
}

fn as_column(expr: Expr) -> datafusion::error::Result<Transformed<Expr>> {
    let name = match &expr {
        Expr::Placeholder(Placeholder { id, .. }) if number(id).is_some() => id.clone(),
        Expr::ScalarFunction(call) if call.args.is_empty() && is_now(call.func.name()) => NOW.to_owned(),
        _ => return Ok(Transformed::no(expr)),
    };
    Ok(Transformed::yes(Expr::Column(Column::from_name(name))))
}

fn is_now(name: &str) -> bool {
    matches!(name, "now" | "current_timestamp" | "transaction_timestamp")
}

/// The expressions after the analyzer's rules; `None` when it made something else of them.
fn analyse(queries: &dyn Queries, expressions: Vec<Expr>, schema: &DFSchemaRef) -> Result<Option<Vec<Expr>>> {
    let named = expressions.into_iter().enumerate().map(|(n, e)| e.unalias_nested().data.alias(format!("__{n}")));
    let input = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: schema.clone() });
    let projection = Projection::try_new(named.collect(), Arc::new(input)).map_err(|e| queries.diagnose(e))?;
    let state = queries.state();
    let plan = state.analyzer().execute_and_check(LogicalPlan::Projection(projection), state.config_options(), |_, _| {});
    match plan.map_err(|e| queries.diagnose(e))? {
        LogicalPlan::Projection(projection) if matches!(*projection.input, LogicalPlan::EmptyRelation(_)) => {
            Ok(Some(projection.expr))
        }
        _ => Ok(None),
    }
}

/// Whether nothing in it depends on when, or in which session, it is run.
fn is_lasting(expr: &Expr, schema: &DFSchema) -> bool {
    let mut lasting = true;
    let walked = expr.apply(|e| {
        lasting &= match e {
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            Expr::Cast(cast) => !crosses_zone(&cast.expr, cast.field.data_type(), schema),
            Expr::TryCast(cast) => !crosses_zone(&cast.expr, cast.field.data_type(), schema),
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::InList(_)
            | Expr::Alias(_) => true,
            _ => false,
        };
        Ok(if lasting { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && lasting
}

/// Between a type with a zone and one without, through the session's.
fn crosses_zone(from: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    let zoned = |ty: &DataType| matches!(ty, DataType::Timestamp(_, Some(_)));
    match from.get_type(schema) {
        Ok(from) => zoned(&from) != zoned(to),
        Err(_) => true,
    }
}

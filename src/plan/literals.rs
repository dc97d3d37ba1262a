//! Whole numbers as PostgreSQL types them: a literal that fits is an integer.
//!
//! The planner gives every literal eight bytes; before types are settled those that fit get four.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Values};

/// The plan with every whole literal that fits in four bytes typed so.
pub fn narrow(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        // Row counts stay as the planner wants them.
        LogicalPlan::Limit(_) => Ok(Transformed::no(plan)),
        LogicalPlan::Values(values) => narrow_values(values).map(Transformed::yes),
        plan => {
            let names = NamePreserver::new(&plan);
            let narrowed = plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let narrowed = expr.transform_up(|e| Ok(narrow_literal(e)))?;
                Ok(narrowed.update_data(|e| name.restore(e)))
            })?;
            // Even where no expression changed, an input may have.
            narrowed.data.recompute_schema().map(Transformed::yes)
        }
    })
    .map(|t| t.data)
}

fn narrow_literal(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(n)), metadata) if i32::try_from(n).is_ok() => {
            Transformed::yes(Expr::Literal(ScalarValue::Int32(i32::try_from(n).ok()), metadata))
        }
        // Beyond bigint a whole literal is a numeric.
        Expr::Literal(ScalarValue::UInt64(Some(n)), metadata) => {
            Transformed::yes(Expr::Literal(ScalarValue::Decimal128(Some(i128::from(n)), 20, 0), metadata))
        }
        other => Transformed::no(other),
    }
}

/// VALUES: a column of whole literals that all fit is one of integers.
fn narrow_values(values: Values) -> Result<LogicalPlan> {
    let Values { schema, mut values } = values;
    let mut fields = Vec::with_capacity(schema.fields().len());
    for (index, (qualifier, field)) in schema.iter().enumerate() {
        let fits = |row: &Vec<Expr>| match row.get(index) {
            Some(Expr::Literal(ScalarValue::Int64(Some(n)), _)) => i32::try_from(*n).is_ok(),
            Some(Expr::Literal(value, _)) => value.is_null(),
            _ => false,
        };
        let narrow = field.data_type() == &DataType::Int64 && values.iter().all(fits);
        if narrow {
            for row in &mut values {
                row[index] = match &row[index] {
                    Expr::Literal(ScalarValue::Int64(Some(n)), metadata) => {
                        Expr::Literal(ScalarValue::Int32(i32::try_from(*n).ok()), metadata.clone())
                    }
                    other => Expr::Literal(ScalarValue::Int32(None), metadata_of(other)),
                };
            }
            let narrowed = field.as_ref().clone().with_data_type(DataType::Int32);
            fields.push((qualifier.cloned(), Arc::new(narrowed)));
        } else {
            fields.push((qualifier.cloned(), Arc::clone(field)));
        }
    }
    let schema = DFSchema::new_with_metadata(fields, schema.metadata().clone())?;
    Ok(LogicalPlan::Values(Values { schema: Arc::new(schema), values }))
}

fn metadata_of(literal: &Expr) -> Option<FieldMetadata> {
    match literal {
        Expr::Literal(_, metadata) => metadata.clone(),
        _ => None,
    }
}

//! Casts of whole literals to integer, as `select_literals` writes them, made literals of that type.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// The plan with every cast of a whole literal to integer folded.
pub fn narrow(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| match plan {
        // Row counts stay as the planner wants them.
        LogicalPlan::Limit(_) => Ok(Transformed::no(plan)),
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
        // Beyond bigint a whole literal is a numeric.
        Expr::Literal(ScalarValue::UInt64(Some(n)), metadata) => {
            Transformed::yes(Expr::Literal(ScalarValue::Decimal128(Some(i128::from(n)), 20, 0), metadata))
        }
        Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Int32 => match *expr {
            Expr::Literal(ScalarValue::Int64(Some(n)), _) if i32::try_from(n).is_ok() => {
                let metadata = FieldMetadata::from(field.metadata().clone());
                Transformed::yes(Expr::Literal(ScalarValue::Int32(i32::try_from(n).ok()), Some(metadata)))
            }
            other => Transformed::no(Expr::Cast(Cast { expr: Box::new(other), field })),
        },
        other => Transformed::no(other),
    }
}

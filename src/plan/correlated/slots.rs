//! Outer columns inside a subquery: placeholders while it is optimised, so that they move like constants, and
//! slots once it is planned, filled anew for every run.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, internal_datafusion_err, internal_err};
use datafusion::logical_expr::expr::{Cast, Placeholder, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use parking_lot::Mutex;

/// Begins the names of placeholders that stand for outer columns; no parameter of a client is called so.
const OUTER: &str = "$outer";

/// The values of one plan's outer columns in the run that is under way.
#[derive(Debug, Default)]
pub struct Slots(Mutex<Vec<ScalarValue>>);

impl Slots {
    pub fn fill(&self, values: Vec<ScalarValue>) {
        *self.0.lock() = values;
    }

    fn value(&self, index: usize) -> Result<ScalarValue> {
        let value = self.0.lock().get(index).cloned();
        value.ok_or_else(|| internal_datafusion_err!("a subquery ran without its outer row"))
    }
}

/// The plan with its references to outer columns as placeholders, and what each stands for: the column of
/// `schema`, or the reference as it is where `schema` has no such column.
pub fn detach(plan: LogicalPlan, schema: &DFSchema) -> Result<(LogicalPlan, Vec<FieldRef>, Vec<Expr>)> {
    let mut found: Vec<Expr> = Vec::new();
    let mut fields: Vec<FieldRef> = Vec::new();
    let plan = map_exprs(plan, &mut |expr| match expr {
        Expr::OuterReferenceColumn(field, column) => {
            let inner = Expr::Column(column.clone());
            let outer = if schema.has_column(&column) { inner } else { Expr::OuterReferenceColumn(Arc::clone(&field), column) };
            let index = found.iter().position(|e| *e == outer).unwrap_or_else(|| {
                found.push(outer);
                fields.push(Arc::clone(&field));
                found.len() - 1
            });
            Ok(Transformed::yes(placeholder(index, field)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok((plan, fields, found))
}

/// The placeholder of the outer column in this place.
pub fn placeholder(index: usize, field: FieldRef) -> Expr {
    Expr::Placeholder(Placeholder::new_with_field(format!("{OUTER}{index}"), Some(field)))
}

fn index_of(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Placeholder(Placeholder { id, .. }) => id.strip_prefix(OUTER)?.parse().ok(),
        _ => None,
    }
}

/// Whether an outer column is part of the expression.
pub fn depends(expr: &Expr) -> bool {
    expr.exists(|e| Ok(index_of(e).is_some())).unwrap_or(true)
}

/// The plan with slots in place of the placeholders.
pub fn into_slots(plan: LogicalPlan, slots: &Arc<Slots>) -> Result<LogicalPlan> {
    map_exprs(plan, &mut |expr| match (index_of(&expr), expr) {
        (Some(index), Expr::Placeholder(Placeholder { field: Some(field), .. })) => {
            let slot = Slot { slots: Arc::clone(slots), index, field, signature: Signature::nullary(Volatility::Volatile) };
            Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::from(slot)), vec![]))))
        }
        (_, other) => Ok(Transformed::no(other)),
    })
}

/// The plan with these values in place of the placeholders.
pub fn with_values(plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan> {
    map_exprs(plan, &mut |expr| with_value(expr, values))
}

fn with_value(expr: Expr, values: &[ScalarValue]) -> Result<Transformed<Expr>> {
    match (index_of(&expr), &expr) {
        (Some(index), Expr::Placeholder(Placeholder { field: Some(field), .. })) => match values.get(index) {
            Some(value) => {
                let metadata = FieldMetadata::from(field.metadata().clone());
                Ok(Transformed::yes(Expr::Literal(value.clone(), Some(metadata))))
            }
            None => internal_err!("a subquery ran without its outer row"),
        },
        _ => Ok(Transformed::no(expr)),
    }
}

/// Rewrites every expression of the plan, subqueries in expressions left out; columns keep their names.
fn map_exprs(plan: LogicalPlan, rewrite: &mut impl FnMut(Expr) -> Result<Transformed<Expr>>) -> Result<LogicalPlan> {
    let mapped = plan.transform_up(|plan| {
        let names = NamePreserver::new(&plan);
        let mapped = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(&mut *rewrite)?.update_data(|e| name.restore(e)))
        })?;
        if mapped.transformed { mapped.map_data(|plan| plan.recompute_schema()) } else { Ok(mapped) }
    })?;
    Ok(mapped.data)
}

/// Whether a slot is part of the expression.
pub fn has_slot(expr: &Expr) -> bool {
    expr.exists(|e| Ok(slot_of(e).is_some())).unwrap_or(true)
}

fn slot_of(expr: &Expr) -> Option<&Slot> {
    match expr {
        Expr::ScalarFunction(call) => (call.func.inner().as_ref() as &dyn Any).downcast_ref::<Slot>(),
        _ => None,
    }
}

/// The expression with what its slots hold at this moment, casts of it done.
pub fn filled(expr: &Expr) -> Result<Expr> {
    let filled = expr.clone().transform_up(|expr| {
        if let Some(slot) = slot_of(&expr) {
            return Ok(Transformed::yes(Expr::Literal(slot.slots.value(slot.index)?, None)));
        }
        match expr {
            Expr::Cast(Cast { expr, field }) => match *expr {
                Expr::Literal(value, metadata) => match value.cast_to(field.data_type()) {
                    Ok(cast) => Ok(Transformed::yes(Expr::Literal(cast, None))),
                    Err(_) => Ok(Transformed::no(Expr::Cast(Cast { expr: Box::new(Expr::Literal(value, metadata)), field }))),
                },
                inner => Ok(Transformed::no(Expr::Cast(Cast { expr: Box::new(inner), field }))),
            },
            other => Ok(Transformed::no(other)),
        }
    })?;
    Ok(filled.data)
}

/// Whether any expression of the plan, inputs included and subqueries in expressions left out, passes the test.
pub fn any_expr(plan: &LogicalPlan, test: &impl Fn(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            found |= test(expr);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// One outer column, read when the plan runs.
#[derive(Debug)]
struct Slot {
    slots: Arc<Slots>,
    index: usize,
    field: FieldRef,
    signature: Signature,
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.slots, &other.slots) && self.index == other.index
    }
}

impl Eq for Slot {}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}

impl ScalarUDFImpl for Slot {
    fn name(&self) -> &str {
        "outer_column"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(self.field.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.slots.value(self.index)?))
    }
}

//! The types of values taken out of lists. DataFusion's unnesting keeps an element's Arrow type and forgets its
//! metadata, which tells a uuid or jsonb from text; here it is put back.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Unnest, Volatility,
};

/// Gives every unnested column of the plan the type that its list names.
pub fn typed(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut wanted = false;
    plan.apply_with_subqueries(|node| {
        wanted |= matches!(node, LogicalPlan::Unnest(unnest) if !forgotten(unnest).is_empty());
        Ok(if wanted { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !wanted {
        return Ok(plan);
    }
    let rebuilt = plan.transform_up_with_subqueries(|node| {
        let node = node.recompute_schema()?;
        let LogicalPlan::Unnest(unnest) = &node else { return Ok(Transformed::yes(node)) };
        let forgotten = forgotten(unnest);
        if forgotten.is_empty() { Ok(Transformed::yes(node)) } else { Ok(Transformed::yes(retyped(node.clone(), &forgotten)?)) }
    });
    Ok(rebuilt?.data)
}

/// The places of columns whose elements had metadata, with the elements' fields.
fn forgotten(unnest: &Unnest) -> Vec<(usize, FieldRef)> {
    let input = unnest.input.schema();
    let element = |(place, _): (usize, _)| {
        let list = input.field(*unnest.dependency_indices.get(place)?);
        match list.data_type() {
            DataType::List(item) if unnest.schema.field(place).data_type() == item.data_type() => Some((place, Arc::clone(item))),
            _ => None,
        }
    };
    let elements = unnest.schema.fields().iter().enumerate().filter_map(element);
    elements.filter(|(place, item)| item.metadata() != unnest.schema.field(*place).metadata()).collect()
}

fn retyped(unnest: LogicalPlan, elements: &[(usize, FieldRef)]) -> Result<LogicalPlan> {
    let column = |(place, (qualifier, field)): (usize, (Option<&_>, &FieldRef))| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match elements.iter().find(|(wanted, _)| *wanted == place) {
            Some((_, item)) => As::call(column, item).alias_qualified(qualifier.cloned(), field.name()),
            None => column,
        }
    };
    let columns: Vec<Expr> = unnest.schema().iter().enumerate().map(column).collect();
    LogicalPlanBuilder::from(unnest).project(columns)?.build()
}

/// `pg_as(value)`: the value, as being of the type of a field.
#[derive(Debug, PartialEq, Eq, Hash)]
struct As {
    field: FieldRef,
    signature: Signature,
}

impl As {
    fn call(value: Expr, field: &FieldRef) -> Expr {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::new_from_impl(Self { field: Arc::clone(field), signature }).call(vec![value])
    }
}

impl ScalarUDFImpl for As {
    fn name(&self) -> &'static str {
        "pg_as"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(self.field.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.pop() {
            Some(value) => Ok(value),
            None => datafusion::common::internal_err!("pg_as without a value"),
        }
    }
}

//! Whole numbers as PostgreSQL types them: a literal that fits is an integer, and integers do not wrap.
//!
//! The planner gives every literal eight bytes; before types are settled those that fit get four. After types
//! are settled, `+`, `-` and `*` over integers become calls that fail with 22003 where the sum would wrap.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::try_binary;
use datafusion::arrow::datatypes::{ArrowNativeTypeOp, ArrowPrimitiveType, DataType, Int16Type, Int32Type, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Values, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::scan::external;
use crate::error::{SqlError, SqlState};
use crate::types::PgType;

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
                    other => Expr::Literal(ScalarValue::Int32(None), other.metadata_of_literal()),
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

trait LiteralMetadata {
    fn metadata_of_literal(&self) -> Option<datafusion::common::metadata::FieldMetadata>;
}

impl LiteralMetadata for Expr {
    fn metadata_of_literal(&self) -> Option<datafusion::common::metadata::FieldMetadata> {
        match self {
            Expr::Literal(_, metadata) => metadata.clone(),
            _ => None,
        }
    }
}

/// Makes arithmetic over integers fail rather than wrap; to be run after type coercion.
#[derive(Debug, Default)]
pub struct CheckedIntegers;

impl AnalyzerRule for CheckedIntegers {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = DFSchema::empty();
            for input in plan.inputs() {
                schema.merge(input.schema());
            }
            if let LogicalPlan::TableScan(scan) = &plan {
                schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let checked = expr.transform_up(|e| Ok(checked(e, &schema)))?;
                Ok(checked.update_data(|e| name.restore(e)))
            })
        })
        .map(|t| t.data)
    }

    fn name(&self) -> &str {
        "checked_integers"
    }
}

fn checked(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Transformed::no(expr) };
    let integer =
        |e: &Expr| e.get_type(schema).ok().filter(|ty| matches!(ty, DataType::Int16 | DataType::Int32 | DataType::Int64));
    let function = match op {
        Operator::Plus => Some(&*ADD),
        Operator::Minus => Some(&*SUBTRACT),
        Operator::Multiply => Some(&*MULTIPLY),
        _ => None,
    };
    match (function, integer(&left), integer(&right)) {
        (Some(function), Some(l), Some(r)) if l == r => {
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![*left, *right])))
        }
        _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
    }
}

static ADD: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::from(Arithmetic::new("int_add", Operator::Plus))));
static SUBTRACT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(Arithmetic::new("int_subtract", Operator::Minus))));
static MULTIPLY: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(Arithmetic::new("int_multiply", Operator::Multiply))));

/// One operator over two integers of the same width.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    name: &'static str,
    op: Operator,
    signature: Signature,
}

impl Arithmetic {
    fn new(name: &'static str, op: Operator) -> Self {
        Self { name, op, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn apply<T: ArrowPrimitiveType>(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let op = |a: T::Native, b: T::Native| match self.op {
            Operator::Plus => a.add_checked(b),
            Operator::Minus => a.sub_checked(b),
            _ => a.mul_checked(b),
        };
        let result: PrimitiveArray<T> = try_binary(left.as_primitive::<T>(), right.as_primitive::<T>(), op).map_err(|e| {
            let out_of_range = format!("{} out of range", PgType::of_arrow(left.data_type()).sql_name());
            match e {
                ArrowError::ArithmeticOverflow(_) => external(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, out_of_range)),
                other => DataFusionError::from(other),
            }
        })?;
        Ok(Arc::new(result))
    }
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args {
            [left, _] => Ok(left.clone()),
            _ => internal_err!("{} takes two arguments", self.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let mut arrays = Vec::with_capacity(2);
        for arg in args.args {
            arrays.push(arg.into_array(rows)?);
        }
        let [left, right] = &arrays[..] else { return internal_err!("{} takes two arguments", self.name) };
        let result = match left.data_type() {
            DataType::Int16 => self.apply::<Int16Type>(left, right)?,
            DataType::Int32 => self.apply::<Int32Type>(left, right)?,
            DataType::Int64 => self.apply::<Int64Type>(left, right)?,
            other => return internal_err!("{} over {other}", self.name),
        };
        if scalar {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?))
        } else {
            Ok(ColumnarValue::Array(result))
        }
    }
}

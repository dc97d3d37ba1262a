//! Subqueries that depend on the row around them, wherever they stand.
//!
//! The last rule of the analyzer. What DataFusion makes an exact join of stays with it (`shape` says what that
//! is); every other subquery becomes a call that runs it per outer row (`call`), every LATERAL a node that does
//! (`lateral`). After it no expression but those names an outer column; 42803 for one that GROUP BY has hidden.

mod call;
mod defer;
mod lateral;
mod nested;
mod once;
mod planner;
mod run;
mod shape;
mod slots;

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, internal_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Subquery, Volatility, binary_expr, not,
};
use datafusion::optimizer::AnalyzerRule;

use self::call::Asked;
use self::run::Correlated;
use crate::error::{SqlError, SqlState};
use crate::plan::functions::typed_arrays;
use crate::plan::scan::external;

pub use call::blocking;
pub use nested::Nested;
pub use planner::SubqueryPlanner;
pub use slots::{filled, has_slot};

/// The function that `ARRAY(SELECT …)` is planned as; its argument is the subquery.
pub const ARRAY_OF: &str = "__array_of_subquery";

static ARRAY_FUNCTION: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| Arc::new(ScalarUDF::from(ArrayOf { signature: Signature::any(1, Volatility::Stable) })));

/// The function for `ARRAY(SELECT …)`, to be registered with the planner.
pub fn array_function() -> Arc<ScalarUDF> {
    Arc::clone(&ARRAY_FUNCTION)
}

#[derive(Debug, Default)]
pub struct CorrelatedSubqueries;

impl AnalyzerRule for CorrelatedSubqueries {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = rewrite(plan)?;
        check_resolved(&plan)?;
        Ok(plan)
    }

    fn name(&self) -> &str {
        "correlated_subqueries"
    }
}

fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    alone(plan.transform_up(rewrite_node)?.data)
}

/// A LATERAL with nothing on its left depends on the query around, as any subquery does.
fn alone(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up(|node| match node {
        LogicalPlan::Subquery(lateral) => Ok(Transformed::yes(Arc::unwrap_or_clone(lateral.subquery))),
        other => Ok(Transformed::no(other)),
    })?;
    let plan = if plan.transformed {
        plan.data.transform_up(|node| node.recompute_schema().map(Transformed::yes))?.data
    } else {
        plan.data
    };
    plan.transform_down(defer::deferred).map(|t| t.data)
}

fn rewrite_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Join(join) => lateral::applied(join)?,
        other => Transformed::no(other),
    };
    plan.transform_data(rewrite_exprs)
}

fn rewrite_exprs(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut any = false;
    plan.apply_expressions(|expr| {
        any |= has_subquery(expr);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !any {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let place = match &plan {
        LogicalPlan::Filter(_) => Place::Filter,
        LogicalPlan::Projection(_) => Place::Projection,
        _ => Place::Other,
    };
    let rewriter = Rewriter { schema: &schema, place };
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = match place {
            Place::Filter => {
                let conjuncts = split_conjunction_owned(expr).into_iter().map(|c| rewriter.conjunct(c));
                let all = conjunction(conjuncts.collect::<Result<Vec<_>>>()?);
                all.map_or_else(|| internal_err!("a filter without a condition"), Ok)?
            }
            Place::Projection | Place::Other => rewriter.expr(expr)?,
        };
        Ok(Transformed::yes(name.restore(expr)))
    })?;
    rewritten.map_data(LogicalPlan::recompute_schema)
}

fn has_subquery(expr: &Expr) -> bool {
    let is = |e: &Expr| matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_));
    expr.exists(|e| Ok(is(e))).unwrap_or(true)
}

/// Where an expression stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Filter,
    Projection,
    Other,
}

/// Rewrites subqueries in expressions over `schema`.
struct Rewriter<'a> {
    schema: &'a DFSchema,
    place: Place,
}

impl Rewriter<'_> {
    /// One of the conditions that a filter's rows must all meet.
    fn conjunct(&self, expr: Expr) -> Result<Expr> {
        match expr {
            Expr::Not(inner) => match *inner {
                Expr::Exists(e) => self.conjunct(Expr::Exists(Exists { negated: !e.negated, ..e })),
                Expr::InSubquery(i) => self.conjunct(Expr::InSubquery(InSubquery { negated: !i.negated, ..i })),
                other => self.expr(not(other)),
            },
            Expr::Exists(Exists { subquery, negated }) => {
                let subquery = inside(subquery)?;
                match shape::joins(&subquery, self.schema)? {
                    true => Ok(Expr::Exists(Exists { subquery, negated })),
                    false => self.exists(subquery, negated),
                }
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let subquery = inside(subquery)?;
                let plain = !has_subquery(&expr) && (!negated || subquery.outer_ref_columns.is_empty());
                match plain && shape::joins(&subquery, self.schema)? {
                    true => Ok(Expr::InSubquery(InSubquery { expr, subquery, negated })),
                    false => self.member(*expr, subquery, negated),
                }
            }
            other => self.expr(other),
        }
    }

    fn expr(&self, expr: Expr) -> Result<Expr> {
        expr.transform_down(|expr| match expr {
            Expr::ScalarFunction(mut call) if call.func.name() == ARRAY_OF => match call.args.pop() {
                Some(Expr::ScalarSubquery(subquery)) => self.array(inside(subquery)?).map(Transformed::yes),
                _ => internal_err!("ARRAY without its subquery"),
            },
            Expr::ScalarSubquery(subquery) => {
                let subquery = inside(subquery)?;
                let here = self.place != Place::Other && shape::is_joined_value(&subquery, self.schema)?;
                match here {
                    true => Ok(Transformed::new(Expr::ScalarSubquery(subquery), true, TreeNodeRecursion::Jump)),
                    false => self.value(subquery).map(Transformed::yes),
                }
            }
            Expr::Exists(Exists { subquery, negated }) => self.exists(inside(subquery)?, negated).map(Transformed::yes),
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                self.member(*expr, inside(subquery)?, negated).map(Transformed::yes)
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let asked = if quantifier == SetQuantifier::Any { Asked::Any } else { Asked::All };
                self.compared(*expr, op, inside(subquery)?, asked).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|t| t.data)
    }

    fn correlated(&self, subquery: Subquery) -> Result<(Correlated, Vec<Expr>)> {
        Correlated::new(Arc::unwrap_or_clone(subquery.subquery), self.schema)
    }

    fn value(&self, subquery: Subquery) -> Result<Expr> {
        let field = only_field(&subquery.subquery)?;
        let (subquery, args) = self.correlated(subquery)?;
        Ok(call::call(subquery, Asked::Value(field), args))
    }

    fn array(&self, subquery: Subquery) -> Result<Expr> {
        let field = array_field(only_field(&subquery.subquery)?.as_ref());
        let (subquery, args) = self.correlated(subquery)?;
        Ok(call::call(subquery, Asked::Array(field), args))
    }

    fn exists(&self, subquery: Subquery, negated: bool) -> Result<Expr> {
        let (subquery, args) = self.correlated(subquery)?;
        let exists = call::call(subquery, Asked::Exists, args);
        Ok(if negated { not(exists) } else { exists })
    }

    fn member(&self, wanted: Expr, subquery: Subquery, negated: bool) -> Result<Expr> {
        let field = only_field(&subquery.subquery)?;
        let (_, wanted_field) = wanted.to_field(self.schema)?;
        let alike = wanted_field.data_type() == field.data_type() && call::is_plain(&field);
        let member = if alike {
            let (subquery, mut args) = self.correlated(subquery)?;
            args.insert(0, wanted);
            call::call(subquery, Asked::Member, args)
        } else {
            self.compared(wanted, Operator::Eq, subquery, Asked::Any)?
        };
        Ok(if negated { not(member) } else { member })
    }

    /// `value op ANY (subquery)`: the subquery makes the comparison, the value being one of its outer columns.
    fn compared(&self, value: Expr, op: Operator, subquery: Subquery, asked: Asked) -> Result<Expr> {
        let (_, field) = value.to_field(self.schema)?;
        let plan = Arc::unwrap_or_clone(subquery.subquery);
        let Some((qualifier, inner)) = plan.schema().iter().next() else { return internal_err!("a subquery without a column") };
        let inner = Expr::Column(Column::from((qualifier, inner)));
        // Under a name that no column has, so that it is told from the others.
        let outer = Expr::OuterReferenceColumn(field, Column::from_name("\u{1}compared"));
        let compared = binary_expr(outer.clone(), op, inner).alias("compared");
        let plan = LogicalPlanBuilder::from(plan).project(vec![compared])?.build()?;
        let (correlated, args) = Correlated::new(plan, self.schema)?;
        let args = args.into_iter().map(|arg| if arg == outer { value.clone() } else { arg });
        Ok(call::call(correlated, asked, args.collect()))
    }
}

/// The subquery with those inside it rewritten.
fn inside(subquery: Subquery) -> Result<Subquery> {
    let plan = rewrite(Arc::unwrap_or_clone(subquery.subquery))?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    Ok(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans })
}

fn only_field(plan: &LogicalPlan) -> Result<FieldRef> {
    match &plan.schema().fields()[..] {
        [field] => Ok(Arc::clone(field)),
        _ => Err(external(SqlError::new(SqlState::SYNTAX_ERROR, "subquery must return only one column"))),
    }
}

/// The field of an array of such values.
fn array_field(element: &Field) -> FieldRef {
    Arc::new(typed_arrays::array_field(element, ARRAY_OF))
}

/// An outer column that no query around has any more was one of a row that GROUP BY has taken away.
fn check_resolved(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| match expr {
                Expr::OuterReferenceColumn(_, column) => {
                    let name = column.relation.as_ref().map_or_else(String::new, |r| format!("{}.", r.table()));
                    let message = format!("subquery uses ungrouped column \"{name}{}\" from outer query", column.name);
                    Err(external(SqlError::new(SqlState::GROUPING_ERROR, message)))
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })
    .map(|_| ())
}

/// Has the type of the array while the query is analysed; never runs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOf {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOf {
    fn name(&self) -> &str {
        ARRAY_OF
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of an array depends on its subquery's field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [element] => Ok(array_field(element)),
            _ => internal_err!("ARRAY without its subquery"),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("ARRAY of a subquery was not rewritten")
    }
}

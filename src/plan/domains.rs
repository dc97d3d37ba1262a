//! Domains: the conditions that a value keeps to, for assignments (`modify`) and for casts (`pg_domain`).
//!
//! A value of a domain travels as one of the base type; what makes it one of the domain is asked where it becomes
//! one, and nowhere else.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, Projection, lit};

use super::correlated::Nested;
use super::functions::define::{Call, Function, INT8, Returns, Want};
use super::rows::batch_of;
use super::{diagnose, query};
use crate::error::{Result, SqlError, SqlState};
use crate::history::Catalog;
use crate::sql::rename::with_value;
use crate::types::{PgType, Qualified};

/// The name of the function that casts to domains become.
pub const PG_DOMAIN: &str = "pg_domain";

/// What VALUE is called where it is a column.
const VALUE: &str = "value";

/// One condition of a domain.
#[derive(Clone, Debug)]
pub struct Rule {
    pub domain: Qualified,
    /// The constraint's name and its SQL text; `None` for NOT NULL.
    pub check: Option<(String, String)>,
}

impl Rule {
    /// The condition as a text over `value`, which is SQL text; true where it holds, NULL where it is not known.
    pub fn condition(&self, value: &str) -> Result<String> {
        match &self.check {
            None => Ok(format!("({value}) IS NOT NULL")),
            Some((_, text)) => with_value(text, value),
        }
    }

    /// 23514, or 23502, for a value that breaks it.
    pub fn broken(&self) -> SqlError {
        let shown = match self.domain.schema.as_str() {
            "public" => self.domain.name.clone(),
            _ => self.domain.to_string(),
        };
        match &self.check {
            None => SqlError::new(SqlState::NOT_NULL_VIOLATION, format!("domain {shown} does not allow null values")),
            Some((name, _)) => {
                let message = format!("value for domain {shown} violates check constraint \"{name}\"");
                SqlError::new(SqlState::CHECK_VIOLATION, message).constraint(name)
            }
        }
    }
}

/// All conditions of a domain, those of the domains that it is over first.
pub fn rules(catalog: &Catalog, domain: u32) -> Vec<Rule> {
    let Some(def) = catalog.type_by_id(domain) else { return Vec::new() };
    let Some(own) = def.domain() else { return Vec::new() };
    let mut all = own.over.map(|over| rules(catalog, over)).unwrap_or_default();
    let name = &def.name;
    if own.not_null {
        all.insert(0, Rule { domain: name.clone(), check: None });
    }
    let mut checks: Vec<_> = own.checks.iter().map(|check| (check.name.clone(), check.expression.clone())).collect();
    checks.sort();
    all.extend(checks.into_iter().map(|check| Rule { domain: name.clone(), check: Some(check) }));
    all
}

/// The default of a domain, or of the nearest one that it is over and that has one.
pub fn default_of(catalog: &Catalog, domain: u32) -> Option<String> {
    let own = catalog.type_by_id(domain)?.domain()?;
    own.default.clone().or_else(|| default_of(catalog, own.over?))
}

/// `pg_domain(value, domain's number)`: the value, once it is known to be one of the domain.
pub fn function() -> Function {
    // Conditions are planned where it runs.
    Function::new(PG_DOMAIN, &[Want::Any, INT8], Returns::Field(same), run).stable()
}

fn same(types: &[PgType], arrow: &[DataType], _: &[Option<&ScalarValue>]) -> Result<Field> {
    let field = types.first().copied().unwrap_or(PgType::TEXT).field(PG_DOMAIN, true);
    Ok(arrow.first().map_or_else(|| field.clone(), |arrow| field.clone().with_data_type(arrow.clone())))
}

/// A value of the base type as one of the domain.
pub fn domain_call(value: Expr, domain: u32) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function().udf(), vec![value, lit(i64::from(domain))]))
}

fn run(call: &Call<'_>) -> Result<ArrayRef> {
    let values = &call.args[0];
    let nested = Nested::of(call.options).map_err(diagnose)?;
    let domain = call.int8(1, 0).and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
    let catalog = Arc::clone(&nested.ctx().transaction.lock().catalog);
    let rules = rules(&catalog, domain);
    check(&nested, &rules, values, call.types[0])?;
    Ok(Arc::clone(values))
}

fn check(nested: &Nested, rules: &[Rule], values: &ArrayRef, ty: PgType) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let field = ty.field(VALUE, true).with_data_type(values.data_type().clone());
    let schema = Arc::new(Schema::new(vec![field]));
    let rows = Arc::new(DFSchema::try_from(Arc::clone(&schema)).map_err(diagnose)?);
    let batch = batch_of(schema, vec![Arc::clone(values)], values.len())?;
    let state = nested.state();
    let ctx = nested.shared();
    for rule in rules {
        let expression = super::modify::parse_expression(&rule.condition(VALUE)?)?;
        let condition = query::row_expr(&ctx, &state, expression, &rows, &[])?;
        let input = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: Arc::clone(&rows) });
        let plan = Projection::try_new(vec![condition.alias("holds")], Arc::new(input)).map_err(diagnose)?;
        let plan = super::literals::narrow(LogicalPlan::Projection(plan)).map_err(diagnose)?;
        let analysed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).map_err(diagnose)?;
        let LogicalPlan::Projection(projection) = analysed else {
            return Err(SqlError::internal("analysis changed the shape of a condition"));
        };
        let simplifier = super::modify::simplifier(&state, &rows);
        for expr in projection.expr {
            let expr = simplifier.simplify(expr.unalias()).map_err(diagnose)?;
            let physical = state.create_physical_expr(expr, &rows).map_err(diagnose)?;
            let holds = physical.evaluate(&batch).and_then(|v| v.into_array(batch.num_rows())).map_err(diagnose)?;
            let Some(holds) = holds.as_boolean_opt() else { continue };
            // NULL passes: only false breaks a condition.
            if (0..holds.len()).any(|row| holds.is_valid(row) && !holds.value(row)) {
                return Err(rule.broken());
            }
        }
    }
    Ok(())
}

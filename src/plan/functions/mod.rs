//! PostgreSQL's functions, operators, casts and types, put into a DataFusion state by one call, the same on
//! every node that plans or runs statements.
//!
//! A function of DataFusion that bears a PostgreSQL name and answers otherwise is replaced here, or refused.

mod advisory;
mod aggregate;
pub mod ambient;
mod arithmetic;
mod array_shapes;
pub mod arrays;
mod calendar;
mod collections;
mod date_input;
mod datetime;
pub mod define;
mod digests;
mod enumerations;
pub mod extremes;
pub mod forms;
pub mod json_arrays;
mod json_paths;
mod jsonb;
mod mixed;
mod network;
mod number_text;
mod numeric;
pub mod numeric_distinct;
mod numeric_sum;
mod operators;
pub mod order_key;
mod ordered_set;
mod pattern_lists;
mod patterns;
mod random;
mod ranges;
mod regular;
pub mod session;
mod spread;
mod strings;
mod temporal;
mod text;
pub mod typed_arrays;
mod widened;
mod written;

use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::optimizer::Analyzer;
use datafusion::prelude::SessionConfig;

pub use ambient::{Ambient, client_error, external};
pub use jsonb::ROW_JSON;
pub use mixed::is_mixed;
pub use numeric::NEGATE;
pub use operators::numerics;
pub use session::SERVER_VERSION;
pub use temporal::plus_interval;

use super::casts::{self, PostgresCasts};
use super::correlated::{self, CorrelatedSubqueries};
use super::ordering::PostgresOrder;
use super::set_returning;
use super::type_planner::PostgresTypes;
use crate::runtime::Entropy;

/// Options under which SQL means what PostgreSQL means by it.
pub fn configure(config: SessionConfig) -> SessionConfig {
    config
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        // The check is about nullability that a UNION states more strictly than its branches do; values are the same.
        .set_bool("datafusion.execution.skip_physical_aggregate_schema_check", true)
        .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
        .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
        .set_bool("datafusion.sql_parser.enable_subquery_sort_elimination", false)
        .set_str("datafusion.sql_parser.dialect", "postgresql")
        .set_str("datafusion.sql_parser.default_null_ordering", "nulls_max")
}

/// DataFusion's functions, planners and analyzer rules with PostgreSQL's over them.
pub fn install(builder: SessionStateBuilder, entropy: Arc<dyn Entropy>) -> SessionStateBuilder {
    let scalar = scalar_functions(entropy);
    let mut functions = SessionStateDefaults::default_scalar_functions();
    functions.retain(|function| !is_of_lists(function.name()));
    functions.extend(scalar.iter().cloned());
    functions.push(typed_arrays::make_array());
    let functions = mixed::wrapped(functions);
    let mut aggregates = SessionStateDefaults::default_aggregate_functions();
    aggregates.extend(aggregate_functions());
    let operators = operators::PostgresOperators::new(operator_functions(&functions));
    let mut planners: Vec<Arc<dyn datafusion::logical_expr::planner::ExprPlanner>> = vec![Arc::new(operators)];
    planners.extend(SessionStateDefaults::default_expr_planners());
    // Before coercion for casts that were written, after it for those it adds.
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(PostgresOrder::default()));
    rules.insert(0, Arc::new(PostgresCasts::default()));
    rules.push(Arc::new(PostgresCasts::default()));
    rules.push(Arc::new(CorrelatedSubqueries));
    builder
        .with_scalar_functions(functions)
        .with_aggregate_functions(aggregates)
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_expr_planners(planners)
        .with_type_planner(Arc::new(PostgresTypes::default()))
        .with_analyzer_rules(rules)
        .with_optimizer_rules(widened::optimizer_rules())
}

/// DataFusion's functions of lists, which know no arrays; none of them is PostgreSQL's.
fn is_of_lists(name: &str) -> bool {
    name.starts_with("array_") || name.starts_with("arrays_") || name.starts_with("list_") || matches!(name, "flatten" | "empty")
}

/// Our scalar functions; each takes the place of DataFusion's of the same name.
pub fn scalar_functions(entropy: Arc<dyn Entropy>) -> Vec<Arc<ScalarUDF>> {
    let tables = [
        arithmetic::FUNCTIONS,
        arrays::FUNCTIONS,
        temporal::FUNCTIONS,
        calendar::FUNCTIONS,
        datetime::FUNCTIONS,
        text::FUNCTIONS,
        regular::FUNCTIONS,
        session::FUNCTIONS,
        advisory::FUNCTIONS,
        jsonb::FUNCTIONS,
        json_arrays::FUNCTIONS,
        strings::FUNCTIONS,
        numeric::FUNCTIONS,
        enumerations::FUNCTIONS,
        ranges::FUNCTIONS,
        network::FUNCTIONS,
        written::FUNCTIONS,
        json_paths::FUNCTIONS,
        collections::FUNCTIONS,
        digests::FUNCTIONS,
    ];
    let tables = tables.into_iter().flatten().chain(super::catalog::functions::all());
    let mut functions: Vec<Arc<ScalarUDF>> = tables.map(|f| f.clone().udf()).collect();
    functions.push(casts::function().udf());
    functions.push(super::domains::function().udf());
    functions.push(super::distinct_casts::function());
    functions.push(order_key::function().udf());
    functions.push(correlated::array_function());
    functions.extend(set_returning::functions());
    functions.extend(random::functions(&entropy));
    functions
}

/// Our aggregates; each takes the place of DataFusion's of the same name.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let mut all = aggregate::functions();
    all.push(typed_arrays::function());
    all
}

/// Every function that an operator may become, by its name.
fn operator_functions(functions: &[Arc<ScalarUDF>]) -> Vec<(&'static str, Arc<ScalarUDF>)> {
    const NAMES: &[&str] = &["extract", "starts_with", "make_array"];
    let tables = [
        arithmetic::FUNCTIONS,
        arrays::FUNCTIONS,
        temporal::FUNCTIONS,
        jsonb::FUNCTIONS,
        text::FUNCTIONS,
        regular::FUNCTIONS,
        written::FUNCTIONS,
        json_paths::FUNCTIONS,
    ];
    let own = tables.into_iter().flatten().map(|f| f.name);
    own.chain(NAMES.iter().copied())
        .filter_map(|name| {
            let named = |f: &&Arc<ScalarUDF>| f.name() == name || f.aliases().iter().any(|a| a == name);
            functions.iter().rev().find(named).map(|f| (name, Arc::clone(f)))
        })
        .collect()
}

#[cfg(test)]
mod tests;

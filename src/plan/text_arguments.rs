//! Functions of text refuse values that only happen to be carried as text: labels of enumerations, uuids, json and
//! types with a text of their own. PostgreSQL has no such functions of them: 42883.

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::scan::external;
use crate::error::{SqlError, SqlState};
use crate::types::{PgType, TypeName, Written};

/// Functions whose first argument is text.
const FUNCTIONS: &[&str] = &[
    "ascii",
    "bit_length",
    "btrim",
    "character_length",
    "char_length",
    "initcap",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "md5",
    "octet_length",
    "overlay",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "translate",
    "upper",
];

/// 42883 for a call whose first argument is no text.
pub fn check(call: &ScalarFunction, schema: &DFSchema) -> Result<()> {
    let name = call.name();
    if !FUNCTIONS.contains(&name) {
        return Ok(());
    }
    let types: Vec<PgType> = call.args.iter().filter_map(|arg| type_of(arg, schema)).collect();
    let Some(first) = types.first().filter(|_| types.len() == call.args.len()) else { return Ok(()) };
    let bits = matches!(first.name, TypeName::Written(Written::Bit | Written::Varbit));
    let other =
        matches!(first.name, TypeName::Enum(_) | TypeName::Uuid | TypeName::Json | TypeName::Jsonb | TypeName::Written(_));
    let ranges = first.name.written().is_some_and(|kind| kind.subtype().is_some()) && matches!(name, "lower" | "upper");
    if first.array || !other || ranges || (bits && name == "length") {
        return Ok(());
    }
    let shown: Vec<String> = types.iter().map(|ty| ty.with_modifier(-1).sql_name()).collect();
    let message = format!("function {name}({}) does not exist", shown.join(", "));
    Err(external(
        SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
            .hint("No function matches the given name and argument types. You might need to add explicit type casts."),
    ))
}

/// A cast that Arrow has nothing to do for would show the type of what it casts.
fn type_of(arg: &Expr, schema: &DFSchema) -> Option<PgType> {
    match arg {
        Expr::Cast(cast) => Some(PgType::of_field(&cast.field)),
        arg => arg.to_field(schema).ok().map(|(_, field)| PgType::of_field(&field)),
    }
}

//! What a client is told about an error of DataFusion: SQLSTATE and PostgreSQL's wording.
//!
//! Errors of ours pass through as they are. What is not recognised becomes XX000 with a message that names
//! nothing internal; its cause goes to the log.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, DataFusionError, SchemaError};

use super::wildcards::REPEAT;
use crate::error::{Diagnose, SqlError, SqlState};
use crate::history::HistoryError;
use crate::types::PgType;

/// The error as a client sees it.
pub fn diagnose(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => diagnose(*inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => diagnose(first),
            None => unknown("an empty list of errors"),
        },
        DataFusionError::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
            Ok(inner) => diagnose(inner),
            Err(shared) => by_reference(&shared),
        },
        DataFusionError::External(cause) => external(cause.as_ref()),
        DataFusionError::ArrowError(cause, _) => arrow(*cause),
        other => by_reference(&other),
    }
}

/// An error that several streams share, and so cannot be taken apart.
fn by_reference(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => by_reference(inner),
        DataFusionError::Shared(inner) => by_reference(inner),
        DataFusionError::Collection(errors) => errors.first().map_or_else(|| unknown("an empty list of errors"), by_reference),
        DataFusionError::External(cause) => external(cause.as_ref()),
        DataFusionError::ArrowError(cause, _) => by_text(&cause.to_string()),
        DataFusionError::SchemaError(cause, _) => schema(cause),
        DataFusionError::SQL(cause, _) => SqlError::syntax(cause.to_string().trim_start_matches("sql parser error: ").to_owned()),
        DataFusionError::NotImplemented(what) => shape(what).unwrap_or_else(|| not_implemented(what)),
        DataFusionError::ResourcesExhausted(what) => exhausted(what),
        DataFusionError::Plan(what) | DataFusionError::Execution(what) => by_text(what),
        DataFusionError::ExecutionJoin(cause) => unknown(&cause.to_string()),
        other => by_text(&other.to_string()),
    }
}

fn external(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> SqlError {
    if let Some(ours) = cause.downcast_ref::<SqlError>() {
        return ours.clone();
    }
    if let Some(ours) = cause.downcast_ref::<HistoryError>() {
        return ours.diagnose();
    }
    if let Some(inner) = cause.downcast_ref::<DataFusionError>() {
        return by_reference(inner);
    }
    if let Some(ArrowError::ExternalError(inner)) = cause.downcast_ref::<ArrowError>() {
        return external(inner.as_ref());
    }
    by_text(&cause.to_string())
}

fn arrow(error: ArrowError) -> SqlError {
    match error {
        ArrowError::ExternalError(cause) => external(cause.as_ref()),
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(what) => overflow(&what),
        ArrowError::MemoryError(what) => exhausted(&what),
        other => by_text(&other.to_string()),
    }
}

fn schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } if valid_fields.iter().any(|f| repeats(f, field)) => {
            SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::FieldNotFound { field, valid_fields } => match &field.relation {
            Some(relation) if !valid_fields.iter().any(|f| f.relation.as_ref().is_some_and(|r| r.resolved_eq(relation))) => {
                SqlError::new(SqlState::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{}\"", relation.table()))
            }
            Some(relation) => {
                let message = format!("column {}.{} does not exist", relation.table(), field.name);
                SqlError::new(SqlState::UNDEFINED_COLUMN, message)
            }
            None => SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{}\" does not exist", field.name)),
        },
        SchemaError::AmbiguousReference { field } => {
            SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            SqlError::new(SqlState::DUPLICATE_ALIAS, format!("table name \"{}\" specified more than once", qualifier.table()))
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
        }
    }
}

/// Whether `known` is one of several columns that have the name of `wanted`.
fn repeats(known: &Column, wanted: &Column) -> bool {
    let (Some(relation), of) = (&wanted.relation, &known.relation) else {
        return known.name.strip_prefix(&wanted.name).is_some_and(|rest| rest.starts_with(REPEAT));
    };
    let same = of.as_ref().is_some_and(|of| of.resolved_eq(relation));
    same && known.name.strip_prefix(&wanted.name).is_some_and(|rest| rest.starts_with(REPEAT))
}

fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

fn overflow(what: &str) -> SqlError {
    tracing::debug!(what, "arithmetic overflow");
    SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range")
}

fn exhausted(what: &str) -> SqlError {
    tracing::warn!(what, "a statement ran out of memory");
    SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
        .detail("The statement needs more memory than the server allows.")
        .hint("Read less at once, or raise the server's memory limit.")
}

fn not_implemented(what: &str) -> SqlError {
    let what = what.lines().next().unwrap_or_default().trim_start_matches("Unsupported ");
    SqlError::unsupported(format!("not supported: {what}"), "Write the statement without it.")
}

fn unknown(cause: &str) -> SqlError {
    tracing::error!(cause, "unexpected error of the query engine");
    SqlError::internal("the statement failed inside the query engine; the server's log has the cause")
}

/// Errors that DataFusion and Arrow tell apart by their text only.
fn by_text(text: &str) -> SqlError {
    let text = text.trim_start_matches("Error during planning: ").trim_start_matches("Arrow error: ");
    reference(text).or_else(|| value(text)).or_else(|| shape(text)).unwrap_or_else(|| unknown(text))
}

/// Names of functions, operators and relations.
fn reference(text: &str) -> Option<SqlError> {
    if let Some(name) = quoted_after(text, "Invalid function '").or_else(|| quoted_after(text, "table function '")) {
        return Some(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not exist")).hint(ADD_CASTS));
    }
    if let Some(operands) = after(text, "Cannot infer common argument type for comparison operation ")
        .or_else(|| after(text, "Cannot coerce arithmetic expression "))
    {
        let operands = operands.split(" to valid types").next().unwrap_or(operands).trim_end_matches('.');
        let operands = as_postgres(operands);
        return Some(
            SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {operands}")).hint(ADD_OPERATOR_CASTS),
        );
    }
    if text.contains("No function matches the given name and argument types")
        || text.contains("does not support zero arguments")
        || text.contains("Failed to coerce arguments")
        || text.contains("failed to match any signature")
        || (text.contains("Function '") && text.contains("arguments but received"))
    {
        let call = between(text, "'", "'").map(as_postgres).unwrap_or_else(|| "of that name".to_owned());
        return Some(SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {call} does not exist")).hint(ADD_CASTS));
    }
    if let Some(name) = quoted_after(text, "table '") {
        let name = name.rsplit('.').next().unwrap_or(name);
        return Some(SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")));
    }
    if let Some(name) = after(text, "Invalid qualifier ") {
        return Some(SqlError::new(SqlState::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{name}\"")));
    }
    if let Some(rest) = after(text, "No value found for placeholder with id ") {
        return Some(SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {}", first_word(rest))));
    }
    None
}

const ADD_CASTS: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";
const ADD_OPERATOR_CASTS: &str =
    "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// Values that a type does not hold.
fn value(text: &str) -> Option<SqlError> {
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Some(division_by_zero());
    }
    if let (Some(value), Some(ty)) = (between(text, "Cannot cast string '", "'"), after(text, "' to value of ")) {
        let ty = sql_name(first_word(ty));
        return Some(invalid_input(&ty, value));
    }
    if let Some(value) = between(text, "Error parsing timestamp from '", "'") {
        return Some(SqlError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type timestamp: \"{value}\""),
        ));
    }
    if lower.contains("overflow") || text.contains("Can't cast value") || text.contains("is too large to store in a Decimal") {
        return Some(overflow(text));
    }
    if lower.contains("regular expression") || lower.contains("regex parse error") {
        return Some(SqlError::new(SqlState::INVALID_REGULAR_EXPRESSION, "invalid regular expression"));
    }
    None
}

fn invalid_input(ty: &str, value: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {ty}: \"{value}\""))
}

/// How a statement is put together.
fn shape(text: &str) -> Option<SqlError> {
    let lower = text.to_ascii_lowercase();
    if let Some(rest) = after(text, "Column in SELECT must be in GROUP BY or an aggregate function") {
        let column = between(rest, "column \"", "\"").or_else(|| between(rest, "expression \"", "\""));
        let column = column.unwrap_or("of the select list");
        let message = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
        return Some(SqlError::new(SqlState::GROUPING_ERROR, message));
    }
    if text.contains("LATERAL syntax is not supported for") {
        let message = "invalid reference to a FROM-clause entry";
        return Some(
            SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)
                .detail("The combining JOIN type must be INNER or LEFT for a LATERAL reference."),
        );
    }
    if let Some(position) = after(text, "Order by column out of bounds, specified: ") {
        let position = position.split(',').next().unwrap_or(position);
        return Some(not_in_list(format!("ORDER BY position {position} is not in select list")));
    }
    if let Some(position) = after(text, "Cannot find column with position ") {
        return Some(not_in_list(format!("GROUP BY position {} is not in select list", first_word(position))));
    }
    if text.contains("For SELECT DISTINCT, ORDER BY expressions") {
        return Some(not_in_list("for SELECT DISTINCT, ORDER BY expressions must appear in select list".to_owned()));
    }
    if text.contains("Aggregate functions are not allowed in the WHERE clause") {
        return Some(SqlError::new(SqlState::GROUPING_ERROR, "aggregate functions are not allowed in WHERE"));
    }
    if text.contains("Aggregate function calls cannot be nested") {
        return Some(SqlError::new(SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested"));
    }
    if lower.contains("must appear in the group by clause")
        || lower.contains("aggregate function") && lower.contains("not allowed")
    {
        return Some(SqlError::new(SqlState::GROUPING_ERROR, first_line(text)));
    }
    if lower.contains("window function") && lower.contains("not allowed") {
        return Some(SqlError::new(SqlState::WINDOWING_ERROR, first_line(text)));
    }
    if lower.contains("more than one row") || lower.contains("produced more than one") {
        let message = "more than one row returned by a subquery used as an expression";
        return Some(SqlError::new(SqlState::CARDINALITY_VIOLATION, message));
    }
    if lower.contains("scalar subquery should only return one column")
        || lower.contains("subquery should only return one column")
        || lower.contains("too many columns")
    {
        return Some(SqlError::new(SqlState::SYNTAX_ERROR, "subquery must return only one column"));
    }
    if lower.contains("queries have different number of columns") || lower.contains("same number of columns") {
        return Some(SqlError::new(SqlState::SYNTAX_ERROR, "each UNION query must have the same number of columns"));
    }
    if lower.contains("limit must be >= 0") || lower.contains("limit must not be negative") {
        return Some(SqlError::new(SqlState::INVALID_ROW_COUNT_IN_LIMIT, "LIMIT must not be negative"));
    }
    if lower.contains("offset must be >=0") || lower.contains("offset must be >= 0") {
        return Some(SqlError::new(SqlState::INVALID_ROW_COUNT_IN_OFFSET, "OFFSET must not be negative"));
    }
    if let Some(rest) = after(text, "Cannot automatically convert ").or_else(|| after(text, "Unsupported CAST from ")) {
        return Some(SqlError::new(SqlState::CANNOT_COERCE, format!("cannot cast type {}", as_postgres(rest))));
    }
    if text.contains("Cannot create filter with non-boolean predicate") {
        return Some(SqlError::new(SqlState::DATATYPE_MISMATCH, "argument of WHERE must be type boolean"));
    }
    if text.contains("Projections require unique expression names") {
        return Some(SqlError::unsupported(
            "two output columns of a subquery have the same name",
            "Give each an alias of its own.",
        ));
    }
    if text.contains("Physical plan does not support logical expression") || lower.contains("not supported") {
        return Some(not_implemented(first_line(text).as_str()));
    }
    None
}

fn not_in_list(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)
}

fn first_line(text: &str) -> String {
    let mut line = text.lines().next().unwrap_or_default().to_owned();
    if let Some(first) = line.get(..1).map(str::to_lowercase) {
        line.replace_range(..1, &first);
    }
    line
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.find(words).map(|at| &text[at + words.len()..])
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let rest = after(text, open)?;
    rest.find(close).map(|end| &rest[..end])
}

fn quoted_after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    between(text, words, "'")
}

/// Arrow's type names replaced by PostgreSQL's, wherever they stand as a word.
fn as_postgres(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        out.push_str(&sql_name(&word));
        word.clear();
        out.push(c);
    }
    out.trim_end().to_owned()
}

fn sql_name(arrow: &str) -> String {
    use crate::types::TypeName::*;
    let ty = match arrow {
        "Int8" | "Int16" => Int2,
        "Int32" => Int4,
        "Int64" | "UInt64" => Int8,
        "Float32" => Float4,
        "Float64" => Float8,
        "Utf8" | "Utf8View" | "LargeUtf8" => Text,
        "Boolean" => Bool,
        "Date32" => Date,
        "Time64" => Time,
        "Timestamp" => Timestamp,
        "Interval" => Interval,
        "Decimal128" | "LargeBinary" => Numeric,
        "Binary" => Bytea,
        "Null" => Unknown,
        other => return other.to_owned(),
    };
    PgType::new(ty).sql_name()
}

#[cfg(test)]
mod tests {
    use datafusion::common::Column;

    use super::*;

    #[track_caller]
    fn check(error: DataFusionError, code: SqlState, message: &str) {
        let seen = diagnose(error);
        assert_eq!((seen.code(), seen.message()), (code, message));
    }

    #[test]
    fn names_that_are_not_there() {
        let missing = |relation: Option<&str>| {
            let field = Box::new(Column::new(relation, "x"));
            let valid_fields = vec![Column::new(Some("t"), "a")];
            DataFusionError::SchemaError(Box::new(SchemaError::FieldNotFound { field, valid_fields }), Box::new(None))
        };
        check(missing(None), SqlState::UNDEFINED_COLUMN, "column \"x\" does not exist");
        check(missing(Some("t")), SqlState::UNDEFINED_COLUMN, "column t.x does not exist");
        check(missing(Some("u")), SqlState::UNDEFINED_TABLE, "missing FROM-clause entry for table \"u\"");
        let function = DataFusionError::Plan("Invalid function 'foo'.\nDid you mean 'floor'?".into());
        check(function, SqlState::UNDEFINED_FUNCTION, "function foo does not exist");
        let operator = DataFusionError::Plan("Cannot infer common argument type for comparison operation Utf8 = Boolean".into());
        check(operator, SqlState::UNDEFINED_FUNCTION, "operator does not exist: text = boolean");
    }

    #[test]
    fn values_that_do_not_fit() {
        check(
            DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None),
            SqlState::DIVISION_BY_ZERO,
            "division by zero",
        );
        let cast = ArrowError::CastError("Cannot cast string 'abc' to value of Int32 type".into());
        let cast = DataFusionError::ArrowError(Box::new(cast), None);
        check(cast, SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type integer: \"abc\"");
        let memory = DataFusionError::ResourcesExhausted("Failed to allocate".into());
        check(memory, SqlState::OUT_OF_MEMORY, "out of memory");
    }

    #[test]
    fn errors_of_ours_come_through_every_wrapping() {
        let ours = SqlError::new(SqlState::SNAPSHOT_TOO_OLD, "too old");
        let wrapped = DataFusionError::Shared(std::sync::Arc::new(DataFusionError::Context(
            "scan".into(),
            Box::new(DataFusionError::External(Box::new(ours))),
        )));
        check(wrapped, SqlState::SNAPSHOT_TOO_OLD, "too old");
        let hidden = diagnose(DataFusionError::Internal("panicked at /home/x/secret.rs".into()));
        assert_eq!(hidden.code(), SqlState::INTERNAL_ERROR);
        assert!(!hidden.message().contains("secret"));
    }
}

//! What may stand as an instant, and what each shape means: a time, a commit number, or whichever a
//! parameter's value says.

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value,
};

use super::InstantExpr;
use super::relative;
use crate::error::{Result, SqlError, SqlState};
use crate::sql::call::call;

/// What the words around an instant say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// `FOR SYSTEM_TIME AS OF x`, `AS OF x`: numbers and `vN` are commits, all else times.
    Any,
    /// `AS OF TIMESTAMP x`, `AT (TIMESTAMP => x)`.
    Time,
    /// `AS OF SCN n`, `FOR VERSION AS OF n`, `AT (VERSION => n)`.
    Commit,
    /// `AS OF SYSTEM TIME x`: numbers are nanoseconds, spans are relative to now.
    SystemTime,
}

/// Functions whose value is the same all through a statement when their arguments are.
const STABLE: &[&str] = &[
    "now",
    "current_timestamp",
    "localtimestamp",
    "current_date",
    "transaction_timestamp",
    "statement_timestamp",
    "date_trunc",
    "to_timestamp",
    "make_timestamptz",
    "make_timestamp",
    "make_date",
    "make_interval",
    "date",
    "timezone",
    "greatest",
    "least",
    "coalesce",
    "current_setting",
];

/// Reads an instant. 0A000 for a column, a subquery or a volatile function; 22023, 42704 or 42804 for a constant of the wrong kind.
pub fn instant(expr: Expr, expected: Expected) -> Result<InstantExpr> {
    check(&expr)?;
    match expr {
        Expr::Nested(inner) => instant(*inner, expected),
        Expr::Value(value) => match value.value {
            Value::Placeholder(_) => Ok(parameter(Expr::Value(value), expected)),
            Value::Number(ref number, _) => numeric(number.clone(), Expr::Value(value), expected),
            Value::Null => Ok(InstantExpr::Time(Expr::Value(value))),
            other => match text_of(&other) {
                Some(text) => literal(text, expected),
                None => Err(wrong_type(expected)),
            },
        },
        Expr::TypedString(ref typed) if is_timestamp(&typed.data_type) => match text_of(&typed.value.value) {
            Some(text) if expected != Expected::Commit => Ok(InstantExpr::Time(string(text))),
            _ => Err(wrong_type(expected)),
        },
        Expr::Interval(interval) => from_now_by(interval, expected),
        expr if is_integer(&expr) => match expected {
            Expected::Any | Expected::Commit => Ok(InstantExpr::Commit(expr)),
            Expected::Time | Expected::SystemTime => Err(wrong_type(expected)),
        },
        expr if is_ambiguous(&expr) => Err(SqlError::unsupported(
            "cannot tell whether the instant is a time or a commit number",
            "Cast the expression to timestamptz or to bigint.",
        )),
        Expr::Cast { ref data_type, .. } if is_text(data_type) => Ok(parameter(expr, expected)),
        _ if expected == Expected::Commit => Err(wrong_type(expected)),
        expr => Ok(InstantExpr::Time(expr)),
    }
}

/// Seconds from now, as Snowflake's OFFSET has them; only a constant, since its value is an interval's text.
pub fn seconds_from_now(expr: &Expr) -> Result<InstantExpr> {
    let seconds = constant_seconds(expr).ok_or_else(|| {
        SqlError::unsupported(
            "OFFSET must be a constant number of seconds",
            "Write AT (TIMESTAMP => now() - interval '…') instead.",
        )
    })?;
    let micros = (seconds * 1_000_000.0).round();
    if !micros.is_finite() || micros.abs() > 9e15 {
        return Err(SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range"));
    }
    Ok(InstantExpr::Time(now_plus(&format!("{} microseconds", micros as i64))))
}

fn constant_seconds(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Nested(inner) => constant_seconds(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse().ok(),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(-constant_seconds(expr)?),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => constant_seconds(expr),
        Expr::BinaryOp { left, op, right } => {
            let (left, right) = (constant_seconds(left)?, constant_seconds(right)?);
            match op {
                BinaryOperator::Plus => Some(left + right),
                BinaryOperator::Minus => Some(left - right),
                BinaryOperator::Multiply => Some(left * right),
                _ => None,
            }
        }
        _ => None,
    }
}

fn parameter(expr: Expr, expected: Expected) -> InstantExpr {
    match expected {
        Expected::Time => InstantExpr::Time(expr),
        Expected::Commit => InstantExpr::Commit(expr),
        Expected::Any | Expected::SystemTime => InstantExpr::Either(expr),
    }
}

fn numeric(number: String, expr: Expr, expected: Expected) -> Result<InstantExpr> {
    match expected {
        Expected::Any | Expected::Commit if number.bytes().all(|b| b.is_ascii_digit()) => match number.parse::<i64>() {
            Ok(_) => Ok(InstantExpr::Commit(expr)),
            Err(_) => Err(invalid(format!("commit {number} does not exist yet"))),
        },
        Expected::Any | Expected::Commit => Err(invalid(format!("invalid commit number: {number}"))),
        Expected::Time => Err(wrong_type(expected)),
        Expected::SystemTime => match relative::clock_value(&number) {
            Some(time) => Ok(InstantExpr::Time(string(time))),
            None => Err(invalid(format!("AS OF SYSTEM TIME: {number} is not a time in nanoseconds"))
                .hint(format!("For a commit number write 'v{number}'."))),
        },
    }
}

fn literal(text: String, expected: Expected) -> Result<InstantExpr> {
    let number = text.strip_prefix('v').or_else(|| text.strip_prefix('V'));
    let number = number.filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    match (expected, number) {
        (Expected::Time, _) => Ok(InstantExpr::Time(string(text))),
        (_, Some(number)) => numeric(number.to_owned(), number_literal(number), Expected::Commit),
        (Expected::Any, None) => Ok(InstantExpr::Time(string(text))),
        (Expected::Commit, None) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            numeric(text.clone(), number_literal(&text), expected)
        }
        (Expected::Commit, None) => {
            Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("named point \"{text}\" does not exist"))
                .hint("A version is a commit number, such as 12 or 'v12'."))
        }
        (Expected::SystemTime, None) => system_time(text),
    }
}

fn system_time(text: String) -> Result<InstantExpr> {
    if let Some(time) = relative::clock_value(&text) {
        return Ok(InstantExpr::Time(string(time)));
    }
    match relative::span(&text) {
        Some(span) if span.is_future() => {
            Err(invalid(format!("AS OF SYSTEM TIME: \"{text}\" is in the future")).hint("Begin the interval with a minus sign."))
        }
        Some(span) => Ok(InstantExpr::Time(now_plus(&span.interval()))),
        None => Ok(InstantExpr::Time(string(text))),
    }
}

fn from_now_by(interval: ast::Interval, expected: Expected) -> Result<InstantExpr> {
    if expected != Expected::SystemTime {
        return Err(wrong_type(expected));
    }
    if let (Expr::Value(value), None) = (&*interval.value, &interval.leading_field)
        && let Some(text) = text_of(&value.value)
        && let Some(span) = relative::span(&text)
    {
        return match span.is_future() {
            true => system_time(text),
            false => Ok(InstantExpr::Time(now_plus(&span.interval()))),
        };
    }
    let right = Box::new(Expr::Interval(interval));
    Ok(InstantExpr::Time(Expr::BinaryOp { left: Box::new(call("now", vec![])), op: BinaryOperator::Plus, right }))
}

fn invalid(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn wrong_type(expected: Expected) -> SqlError {
    let message = match expected {
        Expected::Any => "an instant must be a timestamp or a commit number",
        Expected::Time | Expected::SystemTime => "an instant must be a timestamp",
        Expected::Commit => "a version must be a commit number",
    };
    SqlError::new(SqlState::DATATYPE_MISMATCH, message)
}

/// Refuses everything whose value is not settled before the first row of its relation is read. A qualified column
/// is let through: the planner takes one of the rows around a subquery, and refuses any other.
fn check(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Value(_) | Expr::TypedString(_) => Ok(()),
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::UnaryOp { expr: inner, .. } => check(inner),
        Expr::BinaryOp { left, right, .. } => check(left).and_then(|()| check(right)),
        Expr::AtTimeZone { timestamp, time_zone } => check(timestamp).and_then(|()| check(time_zone)),
        Expr::Interval(interval) => check(&interval.value),
        Expr::Function(function) => check_function(function),
        Expr::CompoundIdentifier(_) => Ok(()),
        Expr::Identifier(_) | Expr::CompoundFieldAccess { .. } => {
            Err(not_constant(format!("cannot use column {expr} as an instant")))
        }
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            Err(not_constant("cannot use a subquery as an instant".to_owned()))
        }
        _ => Err(not_constant(format!("cannot use {expr} as an instant"))),
    }
}

fn check_function(function: &ast::Function) -> Result<()> {
    let name = match &function.name.0[..] {
        [name] => name.as_ident(),
        [schema, name] if schema.as_ident().is_some_and(|s| s.value.eq_ignore_ascii_case("pg_catalog")) => name.as_ident(),
        _ => None,
    };
    let stable = name.is_some_and(|name| STABLE.iter().any(|s| name.value.eq_ignore_ascii_case(s)));
    let plain = function.over.is_none() && function.filter.is_none() && function.within_group.is_empty();
    if !stable || !plain {
        return Err(not_constant(format!("cannot use function {} in an instant", function.name)));
    }
    let FunctionArguments::List(list) = &function.args else { return Ok(()) };
    list.args.iter().try_for_each(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) | FunctionArg::Named { arg: FunctionArgExpr::Expr(e), .. } => check(e),
        _ => Err(not_constant(format!("cannot use {argument} in an instant"))),
    })
}

fn not_constant(message: String) -> SqlError {
    SqlError::unsupported(
        message,
        "An instant is a literal, a parameter, or an expression of those such as now() - interval '1 day'.",
    )
}

/// A number, or arithmetic that certainly gives one.
fn is_integer(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => is_integer(inner),
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        Expr::Cast { data_type, .. } => is_integer_type(data_type),
        Expr::BinaryOp { left, right, .. } => {
            (is_integer(left) && (is_integer(right) || is_parameter(right))) || (is_parameter(left) && is_integer(right))
        }
        _ => false,
    }
}

/// Arithmetic over parameters alone.
fn is_ambiguous(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { expr: inner, .. } => is_parameter(inner),
        Expr::BinaryOp { left, right, .. } => is_parameter(left) && is_parameter(right),
        _ => false,
    }
}

fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_parameter(inner),
        Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        _ => false,
    }
}

fn is_integer_type(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::SmallInt(_)
            | DataType::Int(_)
            | DataType::Integer(_)
            | DataType::BigInt(_)
            | DataType::Int2(_)
            | DataType::Int4(_)
            | DataType::Int8(_)
            | DataType::Numeric(_)
            | DataType::Decimal(_)
    )
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Text | DataType::Varchar(_) | DataType::CharacterVarying(_))
}

fn is_timestamp(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(..) | DataType::TimestampNtz(_))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::SingleQuotedString(s)
        | Value::EscapedStringLiteral(s)
        | Value::UnicodeStringLiteral(s)
        | Value::NationalStringLiteral(s) => Some(s.clone()),
        Value::DollarQuotedString(s) => Some(s.value.clone()),
        _ => None,
    }
}

pub fn string(text: String) -> Expr {
    Expr::value(Value::SingleQuotedString(text))
}

pub fn number_literal(number: &str) -> Expr {
    Expr::value(Value::Number(number.to_owned(), false))
}

/// `now() + interval 'text'`.
fn now_plus(text: &str) -> Expr {
    let interval = ast::Interval {
        value: Box::new(string(text.to_owned())),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    };
    let (left, right) = (Box::new(call("now", vec![])), Box::new(Expr::Interval(interval)));
    Expr::BinaryOp { left, op: BinaryOperator::Plus, right }
}

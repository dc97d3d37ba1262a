//! Rows in brackets where values are compared: `(a, b) = (1, 2)`, `IN`, `IS NULL`, `OVERLAPS`, as comparisons of their values.
//!
//! Knows no types: what two values compare by is settled when they are planned.

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, SetExpr, TableFactor, Value,
};

use super::expand::{quoted, split};
use super::functions::ROW_JSON;
use super::functions::forms::{DISTINCT_FROM, NOT_DISTINCT_FROM};
use super::select_forms::{plain_query, select_all};
use crate::sql::call::call;

/// The expression without the rows that it compares; `None` where it compares none.
pub fn written(expr: &Expr) -> Option<Expr> {
    let negated = |found: Expr, negated: bool| if negated { not(found) } else { found };
    match expr {
        Expr::InList { expr: wanted, list, negated: no } => row_in_list(wanted, list).map(|found| negated(found, *no)),
        Expr::InSubquery { expr: wanted, subquery, negated: no } => match wanted.as_ref() {
            Expr::Tuple(values) => Some(negated(row_among(values, subquery), *no)),
            _ => None,
        },
        Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } => overlaps(values_of(left)?, values_of(right)?),
        Expr::BinaryOp { left, op, right } => rows_compared(&values_of(left)?, op, &values_of(right)?),
        Expr::Function(function) => row_json(function),
        Expr::IsNull(row) => each_is(values_of(row)?, |value| Expr::IsNull(Box::new(nested(value)))),
        Expr::IsNotNull(row) => each_is(values_of(row)?, |value| Expr::IsNotNull(Box::new(nested(value)))),
        _ => None,
    }
}

/// The values of `(a, b)` or `ROW(a, b)`.
fn values_of(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(values) => Some(values.clone()),
        Expr::Function(function) if split(&function.name).is_some_and(|(schema, name)| schema.is_none() && name == "row") => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let values = list.args.iter().map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
                _ => None,
            });
            values.collect()
        }
        _ => None,
    }
}

/// `row_to_json(ROW(a, b))` with the names that columns without names have.
fn row_json(function: &ast::Function) -> Option<Expr> {
    let maker = match split(&function.name)?.1.as_str() {
        "row_to_json" | "to_json" => ROW_JSON,
        "to_jsonb" => "jsonb_build_object",
        _ => return None,
    };
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(row))] = &list.args[..] else { return None };
    let name = |at: usize| Expr::value(Value::SingleQuotedString(format!("f{}", at + 1)));
    let members = values_of(row)?.into_iter().enumerate().flat_map(|(at, value)| [name(at), value]);
    Some(call(maker, members))
}

/// A row is NULL, or not, when each of its values is.
fn each_is(values: Vec<Expr>, test: impl Fn(Expr) -> Expr) -> Option<Expr> {
    values.into_iter().map(test).reduce(|a, b| binary(a, BinaryOperator::And, b)).map(nested)
}

/// `(start, end) OVERLAPS (start, length)` as a function of four ends.
fn overlaps(left: Vec<Expr>, right: Vec<Expr>) -> Option<Expr> {
    let (left, right) = (<[Expr; 2]>::try_from(left).ok()?, <[Expr; 2]>::try_from(right).ok()?);
    let ends = [left, right].into_iter().flat_map(|[start, end]| {
        let start = as_instant(start);
        let end = if is_length(&end) { binary(nested(start.clone()), BinaryOperator::Plus, end) } else { as_instant(end) };
        [start, end]
    });
    Some(call("overlaps", ends))
}

/// A literal in quotes is a point in time.
fn as_instant(expr: Expr) -> Expr {
    if !matches!(&expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_))) {
        return expr;
    }
    let data_type = ast::DataType::Timestamp(None, ast::TimezoneInfo::None);
    Expr::Cast { kind: ast::CastKind::DoubleColon, expr: Box::new(expr), data_type, array: false, format: None }
}

/// Whether it is written as an interval.
fn is_length(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_length(inner),
        Expr::Interval(_) | Expr::Cast { data_type: ast::DataType::Interval { .. }, .. } => true,
        Expr::TypedString(typed) => matches!(typed.data_type, ast::DataType::Interval { .. }),
        Expr::BinaryOp { left, op: BinaryOperator::Plus | BinaryOperator::Minus, right } => is_length(left) && is_length(right),
        Expr::Function(function) => split(&function.name).is_some_and(|(_, name)| name == "make_interval"),
        _ => false,
    }
}

/// `(a, b) IN ((1, 2), …)` as comparisons of rows.
fn row_in_list(wanted: &Expr, list: &[Expr]) -> Option<Expr> {
    let Expr::Tuple(wanted) = wanted else { return None };
    let equal = list.iter().map(|row| match row {
        Expr::Tuple(values) => rows_compared(wanted, &BinaryOperator::Eq, values),
        _ => None,
    });
    let equal = equal.collect::<Option<Vec<_>>>()?;
    equal.into_iter().reduce(|a, b| binary(a, BinaryOperator::Or, b)).map(nested)
}

/// A comparison of rows as comparisons of their values, the first that differs deciding.
fn rows_compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    use BinaryOperator::{And, Custom, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    if left.len() != right.len() || left.is_empty() {
        return None;
    }
    let pairs = || left.iter().zip(right);
    let each = |op: &BinaryOperator| pairs().map(|(l, r)| binary(l.clone(), op.clone(), r.clone())).collect::<Vec<_>>();
    let strict = match op {
        Eq => return each(&Eq).into_iter().reduce(|a, b| binary(a, And, b)).map(nested),
        Custom(name) if name == DISTINCT_FROM => return each(op).into_iter().reduce(|a, b| binary(a, Or, b)).map(nested),
        Custom(name) if name == NOT_DISTINCT_FROM => return each(op).into_iter().reduce(|a, b| binary(a, And, b)).map(nested),
        NotEq => return each(&NotEq).into_iter().reduce(|a, b| binary(a, Or, b)).map(nested),
        Lt | LtEq => Lt,
        Gt | GtEq => Gt,
        _ => return None,
    };
    let (last, before) = each(op).pop().zip(Some(left.len() - 1))?;
    pairs().take(before).rev().try_fold(last, |rest, (l, r)| {
        let decided = binary(l.clone(), strict.clone(), r.clone());
        let equal = binary(l.clone(), Eq, r.clone());
        Some(nested(binary(decided, Or, nested(binary(equal, And, rest)))))
    })
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

/// `(a, b) IN (SELECT …)`: true where a row is equal, NULL where one may be, else false.
fn row_among(values: &[Expr], subquery: &Query) -> Expr {
    let column = |n: usize| quoted(&format!("\u{1}{n}"));
    let equal = values.iter().enumerate();
    let equal = equal.map(|(n, value)| binary(Expr::Identifier(column(n)), BinaryOperator::Eq, nested(value.clone())));
    let Some(all) = equal.reduce(|a, b| binary(a, BinaryOperator::And, b)) else {
        return Expr::value(ast::Value::Boolean(false));
    };
    let columns = (0..values.len()).map(|n| ast::TableAliasColumnDef { name: column(n), data_type: None }).collect();
    let alias = ast::TableAlias { explicit: true, name: quoted("\u{1}rows"), columns, at: None };
    let among = |condition: Expr| {
        let subquery = Box::new(subquery.clone());
        let factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias.clone()), sample: None };
        let mut select = select_all(factor);
        select.selection = Some(condition);
        Expr::Exists { subquery: Box::new(plain_query(SetExpr::Select(Box::new(select)))), negated: false }
    };
    let maybe = Expr::IsNull(Box::new(nested(all.clone())));
    let when = |condition, result| ast::CaseWhen { condition, result: Expr::value(result) };
    Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![when(among(all), ast::Value::Boolean(true)), when(among(maybe), ast::Value::Null)],
        else_result: Some(Box::new(Expr::value(ast::Value::Boolean(false)))),
    }
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: ast::UnaryOperator::Not, expr: Box::new(expr) }
}

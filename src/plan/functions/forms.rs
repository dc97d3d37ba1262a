//! Forms of SQL that the planner has no way to override, brought to calls and casts that it has: `AT TIME ZONE`,
//! interval literals, ANY and ALL of arrays, SIMILAR TO, bounds left out of slices.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CaseWhen, CastKind, DataType, DateTimeField, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident, Interval, ObjectName, OrderByExpr,
    OrderByOptions, Subscript, UnaryOperator, Value, VisitMut, VisitorMut, WindowFrameBound, WindowSpec, WindowType,
};

use super::{arrays, ordered_set, regular};
use crate::plan::precedence;
use crate::sql::call::call;

/// Rewrites every expression inside, before it is planned.
pub fn rewrite(node: &mut impl VisitMut) {
    let _ = node.visit(&mut Forms);
}

/// `IS DISTINCT FROM` and its opposite as operators, so that the types of both sides settle it as they do `=`.
pub const DISTINCT_FROM: &str = "IS DISTINCT FROM";
pub const NOT_DISTINCT_FROM: &str = "IS NOT DISTINCT FROM";

struct Forms;

impl VisitorMut for Forms {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        precedence::settle_prefix(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::IsDistinctFrom(left, right) => *expr = operator(DISTINCT_FROM, left, right),
            Expr::IsNotDistinctFrom(left, right) => *expr = operator(NOT_DISTINCT_FROM, left, right),
            Expr::AtTimeZone { timestamp, time_zone } => {
                let args = [time_zone, timestamp].map(|arg| std::mem::replace(arg.as_mut(), Expr::value(Value::Null)));
                *expr = call("timezone", args);
            }
            Expr::Function(function) => {
                plain_sequence_name(function);
                plain_bounds(function);
                positional(function);
                ordered(function);
                let replaced = percentiles(function).or_else(|| json_array(function));
                if let Some(replaced) = replaced {
                    *expr = replaced;
                    return ControlFlow::Continue(());
                }
                within_group(function);
            }
            Expr::AnyOp { left, compare_op, right, .. } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
                *expr = quantified(arrays::ANY, left, compare_op, right);
            }
            Expr::AllOp { left, compare_op, right } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
                *expr = quantified(arrays::ALL, left, compare_op, right);
            }
            Expr::UnaryOp { op, expr: operand } => {
                let name = match op {
                    UnaryOperator::BitwiseNot => "pg_bit_not",
                    UnaryOperator::PGSquareRoot => "dsqrt",
                    UnaryOperator::PGCubeRoot => "cbrt",
                    UnaryOperator::PGAbs => "abs",
                    _ => return ControlFlow::Continue(()),
                };
                *expr = call(name, [taken(operand)]);
            }
            Expr::SimilarTo { negated, expr: text, pattern, escape_char } => {
                let mut args = vec![taken(text), taken(pattern)];
                args.extend(escape_char.take().map(Expr::Value));
                let similar = call(regular::SIMILAR, args);
                *expr = if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(similar) } } else { similar };
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                // Subscripts in parentheses are done with before those behind them.
                if matches!(unwrapped(root), Expr::CompoundFieldAccess { .. }) {
                    **root = call(arrays::WHOLE, [taken(root)]);
                }
                access_chain.iter_mut().for_each(bounds);
            }
            Expr::Collate { expr: inner, collation } if orders_by_bytes(collation) => {
                *expr = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
            }
            Expr::Case { operand: operand @ Some(_), conditions, .. } if conditions.iter().any(|c| is_text(&c.condition)) => {
                compare_with_operand(operand, conditions);
            }
            Expr::Value(value) => {
                let digits = match &value.value {
                    Value::SingleQuotedByteStringLiteral(digits) => format!("B{digits}"),
                    Value::HexStringLiteral(digits) => format!("X{digits}"),
                    _ => return ControlFlow::Continue(()),
                };
                *expr = bits_of(digits);
            }
            Expr::Interval(interval) => {
                if let Some(cast) = interval_cast(interval) {
                    *expr = cast;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The expression, leaving NULL in its place.
fn taken(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(Value::Null))
}

fn operator(name: &str, left: &mut Expr, right: &mut Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(taken(left)), op: BinaryOperator::Custom(name.to_owned()), right: Box::new(taken(right)) }
}

fn quantified(name: &str, left: &mut Expr, op: &BinaryOperator, right: &mut Expr) -> Expr {
    let (value, array) = (taken(left), taken(right));
    if name == arrays::ANY && *op == BinaryOperator::Eq {
        return call("array_has", [array, value]);
    }
    call(name, [array, value, Expr::value(Value::SingleQuotedString(op.to_string()))])
}

/// What stands in parentheses.
fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unwrapped(inner),
        other => other,
    }
}

/// Bounds left out of a slice are those of every array.
fn bounds(access: &mut AccessExpr) {
    let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) = access else { return };
    let number = |n: i64| Expr::value(Value::Number(n.to_string(), false));
    let least = || Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number(1 << 31)) };
    lower_bound.get_or_insert_with(least);
    upper_bound.get_or_insert_with(|| number(i64::from(i32::MAX)));
}

/// `make_interval(days => 2)` with its arguments in their places.
fn positional(function: &mut Function) {
    const PARTS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    if !function.name.to_string().eq_ignore_ascii_case("make_interval") {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    if !list.args.iter().any(|arg| matches!(arg, FunctionArg::Named { .. } | FunctionArg::ExprNamed { .. })) {
        return;
    }
    let mut placed: Vec<Expr> = PARTS.iter().map(|_| Expr::value(Value::Number("0".to_owned(), false))).collect();
    for (at, arg) in list.args.iter().enumerate() {
        let (place, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(at), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                (PARTS.iter().position(|part| name.value.eq_ignore_ascii_case(part)), value)
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                (PARTS.iter().position(|part| name.value.eq_ignore_ascii_case(part)), value)
            }
            _ => return,
        };
        let Some(slot) = place.and_then(|place| placed.get_mut(place)) else { return };
        *slot = value.clone();
    }
    list.args = placed.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))).collect();
}

/// `mode() WITHIN GROUP (ORDER BY x)` with its value as an argument. Descending orders stay, to be refused.
fn within_group(function: &mut Function) {
    let name = match function.name.to_string().to_ascii_lowercase().as_str() {
        "mode" => ordered_set::MODE,
        "percentile_disc" => ordered_set::PERCENTILE,
        _ => return,
    };
    let ([sort], FunctionArguments::List(list)) = (&function.within_group[..], &mut function.args) else { return };
    if sort.options.asc == Some(false) {
        return;
    }
    list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(sort.expr.clone())));
    function.within_group.clear();
    function.name = ObjectName::from(vec![Ident::new(name)]);
}

/// A frame's distance of time as an interval, which the planner takes and no cast.
fn plain_bounds(function: &mut Function) {
    let Some(WindowType::WindowSpec(WindowSpec { window_frame: Some(frame), .. })) = &mut function.over else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
        if let WindowFrameBound::Preceding(Some(distance)) | WindowFrameBound::Following(Some(distance)) = bound {
            let length = match distance.as_mut() {
                Expr::Cast { expr, data_type: DataType::Interval { .. }, .. } if is_text(expr) => taken(expr),
                text if is_text(text) => taken(text),
                _ => continue,
            };
            **distance = Expr::Interval(Interval {
                value: Box::new(length),
                leading_field: None,
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            });
        }
    }
}

/// `percentile_cont(ARRAY[a, b]) WITHIN GROUP (…)` as an array of the percentiles, one for each fraction.
fn percentiles(function: &Function) -> Option<Expr> {
    let name = function.name.to_string();
    if !["percentile_cont", "percentile_disc"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(fractions))] = &list.args[..] else { return None };
    let each = fractions_of(fractions)?.into_iter().map(|fraction| {
        if matches!(&fraction, Expr::Value(value) if value.value == Value::Null) {
            return fraction;
        }
        let mut one = function.clone();
        if let FunctionArguments::List(list) = &mut one.args {
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(fraction))];
        }
        within_group(&mut one);
        Expr::Function(one)
    });
    Some(Expr::Array(Array { elem: each.collect(), named: true }))
}

/// The elements of a constant array.
fn fractions_of(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Array(array) => Some(array.elem.clone()),
        Expr::Nested(inner) => fractions_of(inner),
        Expr::Cast { expr, data_type: DataType::Array(_), .. } => fractions_of(expr).or_else(|| written_fractions(expr)),
        _ => None,
    }
}

/// Those of `'{0.1,0.9}'`.
fn written_fractions(expr: &Expr) -> Option<Vec<Expr>> {
    let Expr::Value(value) = expr else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let number = |part: &str| {
        let part = part.trim();
        if part.eq_ignore_ascii_case("null") {
            return Some(Expr::value(Value::Null));
        }
        part.parse::<f64>().ok().map(|_| Expr::value(Value::Number(part.to_owned(), false)))
    };
    inner.split(',').map(number).collect()
}

/// `array_agg(DISTINCT x)` and `string_agg(DISTINCT x, d)` give their values in order.
fn ordered(function: &mut Function) {
    if !matches!(function.name.to_string().to_ascii_lowercase().as_str(), "array_agg" | "string_agg") {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    let sorted = list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
    if list.duplicate_treatment != Some(DuplicateTreatment::Distinct) || sorted {
        return;
    }
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(value))) = list.args.first() {
        let options = OrderByOptions { asc: None, nulls_first: None };
        let by = OrderByExpr { expr: value.clone(), options, with_fill: None };
        list.clauses.push(FunctionArgumentClause::OrderBy(vec![by]));
    }
}

/// `jsonb_agg(x ORDER BY y)` as an array of JSON values: that keeps the order across partitions, and each value is
/// written under the session's settings.
fn json_array(function: &mut Function) -> Option<Expr> {
    let (one, all) = match function.name.to_string().to_ascii_lowercase().as_str() {
        "jsonb_agg" => ("to_jsonb", "pg_jsonb_array"),
        "json_agg" => ("to_json", "pg_json_array"),
        _ => return None,
    };
    let FunctionArguments::List(list) = &mut function.args else { return None };
    if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
        if all != "pg_jsonb_array" {
            return None;
        }
        // What is distinct, and in which order, the values decide and not their JSON.
        function.name = ObjectName::from(vec![Ident::new("array_agg")]);
        ordered(function);
        return Some(call(one, [Expr::Function(function.clone())]));
    }
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = &mut list.args[..] else { return None };
    *value = call(one, [taken(value)]);
    function.name = ObjectName::from(vec![Ident::new("array_agg")]);
    Some(call(all, [Expr::Function(function.clone())]))
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
}

/// `CASE x WHEN 't'` as `CASE WHEN x = 't'`, so that the text takes the type of what it is compared with.
fn compare_with_operand(operand: &mut Option<Box<Expr>>, conditions: &mut [CaseWhen]) {
    let Some(compared) = operand.take() else { return };
    for when in conditions {
        let value = std::mem::replace(&mut when.condition, Expr::value(Value::Null));
        when.condition = Expr::BinaryOp { left: compared.clone(), op: BinaryOperator::Eq, right: Box::new(value) };
    }
}

/// Text is ordered by its bytes: what these collations say, the default one too.
fn orders_by_bytes(collation: &ObjectName) -> bool {
    let name = collation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.as_str());
    name.is_some_and(|name| ["default", "c", "posix", "ucs_basic"].iter().any(|known| name.eq_ignore_ascii_case(known)))
}

/// `nextval('s'::regclass)` names the sequence by its text, as `nextval('s')` does.
fn plain_sequence_name(function: &mut Function) {
    let name = function.name.to_string().to_ascii_lowercase();
    if !matches!(name.as_str(), "nextval" | "currval" | "setval") {
        return;
    }
    let FunctionArguments::List(list) = &mut function.args else { return };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut() else { return };
    if let Expr::Cast { expr, data_type: DataType::Regclass, .. } = first {
        *first = std::mem::replace(expr.as_mut(), Expr::value(Value::Null));
    }
}

/// `INTERVAL '1 day'` as a cast; `INTERVAL '1' DAY` with the unit in the text. Ranges of units stay.
fn interval_cast(interval: &Interval) -> Option<Expr> {
    let Expr::Value(value) = interval.value.as_ref() else { return None };
    let text = value.value.clone().into_string()?;
    if interval.leading_precision.is_some() || interval.fractional_seconds_precision.is_some() {
        return None;
    }
    let number = text.trim().parse::<f64>().is_ok();
    use DateTimeField::{Day, Hour, Minute, Month, Second, Year};
    if let Some(last) = &interval.last_field {
        // Only where the text reads the same without the fields being named.
        let seconds = text.matches(':').count() == 2;
        let plain = match (interval.leading_field.as_ref()?, last) {
            (Year, Month) | (Day | Hour, Second) => !number,
            (Day | Hour, Minute) => !number && !seconds,
            _ => false,
        };
        return plain.then(|| interval_of(text));
    }
    let text = match &interval.leading_field {
        Some(unit) if number => format!("{text} {unit}"),
        Some(_) => return None,
        None => text,
    };
    Some(interval_of(text))
}

/// A string of bits as a cast to bit of its length.
fn bits_of(digits: String) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(digits))),
        data_type: DataType::Custom(ObjectName::from(vec![Ident::with_quote('"', "bit")]), vec![]),
        array: false,
        format: None,
    }
}

fn interval_of(text: String) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(text))),
        data_type: DataType::Interval { fields: None, precision: None },
        array: false,
        format: None,
    }
}

//! Whole literals as PostgreSQL types them, before they are planned: integer where they fit, bigint above,
//! numeric beyond that.
//!
//! The planner gives every literal eight bytes and types what is around it by that. So each is written as a cast
//! to its type; `literals` folds the casts once the query is planned. Positions (`ORDER BY 1`) and row counts stay.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Distinct, ExactNumberInfo, Expr, Function, GroupByExpr, LimitClause, NamedWindowExpr, OrderByKind, Query,
    Select, SelectItem, SetExpr, UnaryOperator, Value, VisitMut, VisitorMut, WindowFrameBound, WindowSpec, WindowType,
};

use super::functions::NEGATE;
use crate::sql::call::call;

/// Tells our casts from those a client wrote: a display width, which PostgreSQL's integers have not.
const OURS: Option<u64> = Some(32);

/// Types every whole literal inside.
pub fn type_literals(node: &mut impl VisitMut) {
    let _ = node.visit(&mut Literals);
}

struct Literals;

impl VisitorMut for Literals {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Value(value) => {
                if let Value::Number(digits, _) = &value.value
                    && let Some(typed) = typed(digits)
                {
                    *expr = typed;
                }
            }
            // A minus sign belongs to its literal.
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } if is_ours(inner) => {
                plain(inner);
                *expr = cast(expr.clone());
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => *expr = std::mem::replace(inner, Expr::value(Value::Null)),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } if !is_literal(inner) => {
                let operand = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
                *expr = negation(operand);
            }
            Expr::Function(function) => window(function),
            Expr::Interval(interval) => plain(&mut interval.value),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(position);
        }
        if let Some(Distinct::On(exprs)) = &mut select.distinct {
            exprs.iter_mut().for_each(position);
        }
        for named in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut named.1 {
                bounds(spec);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(with) = query.with.as_mut().filter(|with| with.recursive) {
            with.cte_tables.iter_mut().for_each(|cte| first_numerics(&mut cte.query.body));
        }
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(exprs) = &mut order_by.kind
        {
            exprs.iter_mut().for_each(|e| plain(&mut e.expr));
        }
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter_mut().for_each(plain);
                offset.iter_mut().for_each(|o| plain(&mut o.value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                plain(offset);
                plain(limit);
            }
            None => {}
        }
        if let Some(fetch) = &mut query.fetch {
            fetch.quantity.iter_mut().for_each(plain);
        }
        ControlFlow::Continue(())
    }
}

/// The literal with its type; `None` for one that the planner types so by itself.
fn typed(digits: &str) -> Option<Expr> {
    let whole = digits.bytes().all(|b| b.is_ascii_digit());
    if whole && digits.parse::<i32>().is_ok() {
        return Some(cast(Expr::value(Value::Number(digits.to_owned(), false))));
    }
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let fits = plain && digits.bytes().filter(u8::is_ascii_digit).count() <= 38;
    if (whole && digits.parse::<i64>().is_ok()) || (fits && !whole) {
        return None;
    }
    let precision = u64::try_from(digits.len()).ok().filter(|_| fits);
    let digits_of_its_own = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    digits_of_its_own.then(|| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(digits.to_owned()))),
        data_type: DataType::Numeric(precision.map_or(ExactNumberInfo::None, |p| ExactNumberInfo::PrecisionAndScale(p, 0))),
        array: false,
        format: None,
    })
}

fn cast(literal: Expr) -> Expr {
    let expr = Box::new(literal);
    Expr::Cast { kind: CastKind::Cast, expr, data_type: DataType::Int4(OURS), array: false, format: None }
}

/// Numerics that a recursive query begins with: those that follow show digits of their own.
fn first_numerics(body: &mut SetExpr) {
    let SetExpr::SetOperation { left, .. } = body else { return };
    let SetExpr::Select(select) = left.as_mut() else { return };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let literal = match &*expr {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_literal(expr),
            other => is_literal(other),
        };
        if literal && !matches!(expr, Expr::Interval(_)) {
            let literal = Box::new(std::mem::replace(expr, Expr::value(Value::Null)));
            let data_type = DataType::Numeric(ExactNumberInfo::None);
            *expr = Expr::Cast { kind: CastKind::Cast, expr: literal, data_type, array: false, format: None };
        }
    }
}

/// What the planner negates as it reads it.
fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..))) || matches!(expr, Expr::Interval(_))
}

/// A minus sign before anything else, as a call: the planner has none for numerics.
fn negation(operand: Expr) -> Expr {
    call(NEGATE, [operand])
}

fn is_ours(expr: &Expr) -> bool {
    matches!(expr, Expr::Cast { data_type: DataType::Int4(width), .. } if *width == OURS)
}

/// Takes our cast off again.
fn plain(expr: &mut Expr) {
    if is_ours(expr)
        && let Expr::Cast { expr: inner, .. } = expr
    {
        *expr = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
    }
}

/// A position, by itself or inside grouping sets.
fn position(expr: &mut Expr) {
    match expr {
        Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => sets.iter_mut().flatten().for_each(plain),
        other => plain(other),
    }
}

fn window(function: &mut Function) {
    if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
        bounds(spec);
    }
}

fn bounds(spec: &mut WindowSpec) {
    let Some(frame) = &mut spec.window_frame else { return };
    let bound = |bound: &mut WindowFrameBound| match bound {
        WindowFrameBound::Preceding(Some(count)) | WindowFrameBound::Following(Some(count)) => plain(count),
        _ => {}
    };
    bound(&mut frame.start_bound);
    frame.end_bound.iter_mut().for_each(bound);
}

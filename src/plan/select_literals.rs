//! Whole literals as PostgreSQL types them, before they are planned: integer where they fit, bigint above,
//! numeric beyond that.
//!
//! The planner gives every literal eight bytes and types what is around it by that. So each is written as a cast
//! to its type; `literals` folds the casts once the query is planned. Positions (`ORDER BY 1`) and row counts stay.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Distinct, ExactNumberInfo, Expr, Function, GroupByExpr, LimitClause, NamedWindowExpr, OrderByKind, Query,
    Select, UnaryOperator, Value, VisitMut, VisitorMut, WindowFrameBound, WindowSpec, WindowType,
};

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

/// The literal with its type; `None` for one with a point or an exponent.
fn typed(digits: &str) -> Option<Expr> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.parse::<i32>().is_ok() {
        return Some(cast(Expr::value(Value::Number(digits.to_owned(), false))));
    }
    if digits.parse::<i64>().is_ok() {
        return None;
    }
    let precision = u64::try_from(digits.len()).ok().filter(|p| *p <= 38)?;
    Some(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(digits.to_owned()))),
        data_type: DataType::Numeric(ExactNumberInfo::PrecisionAndScale(precision, 0)),
        array: false,
        format: None,
    })
}

fn cast(literal: Expr) -> Expr {
    let expr = Box::new(literal);
    Expr::Cast { kind: CastKind::Cast, expr, data_type: DataType::Int4(OURS), array: false, format: None }
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

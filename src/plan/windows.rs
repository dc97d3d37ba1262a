//! Windows that take over what another one says: `OVER (w …)` and `WINDOW w2 AS (w1 …)`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, NamedWindowDefinition, NamedWindowExpr, Select, WindowSpec, WindowType};

use super::expand::fold;

/// Writes out what windows of a SELECT take over: PARTITION BY, and ORDER BY where they have none of their own.
pub fn inherit(select: &mut Select) {
    let mut known: Vec<(String, WindowSpec)> = Vec::with_capacity(select.named_window.len());
    for NamedWindowDefinition(name, window) in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(spec) = window {
            take_over(spec, &known);
            known.push((fold(name), spec.clone()));
        }
    }
    if known.is_empty() {
        return;
    }
    let _: ControlFlow<()> = ast::visit_expressions_mut(select, |expr| {
        if let Expr::Function(call) = expr
            && let Some(WindowType::WindowSpec(spec)) = &mut call.over
        {
            take_over(spec, &known);
        }
        ControlFlow::Continue(())
    });
}

fn take_over(spec: &mut WindowSpec, known: &[(String, WindowSpec)]) {
    let Some(base) = spec.window_name.as_ref().map(fold) else { return };
    let Some((_, base)) = known.iter().find(|(name, _)| *name == base) else { return };
    spec.partition_by.clone_from(&base.partition_by);
    if spec.order_by.is_empty() {
        spec.order_by.clone_from(&base.order_by);
    }
    spec.window_name = None;
}

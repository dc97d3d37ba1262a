//! Aggregates and groups that differ in nothing but casts: `array_agg(x), array_agg(x::text)`.
//!
//! The planner names what it computes without its casts, and two things of one name are one too many. Such casts get a
//! function around them that gives what it is given and is gone when the plan is optimised.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr as Planned, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::{
    self, Expr, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, VisitMut, VisitorMut,
};

use super::expand::{fold, quoted, split};
use super::names::Planning;

use crate::sql::call::call;
use crate::sql::columns::item_name;

/// The function around a cast; its second argument says what it casts to, and nothing else.
const APART: &str = "__cast_apart";

/// Tells such casts apart in every query inside.
pub fn rewrite(planning: &Planning, query: &mut Query) {
    let _ = query.visit(&mut Casts { planning });
}

struct Casts<'a> {
    planning: &'a Planning,
}

impl VisitorMut for Casts<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        let mut apart = Apart { casts: self.alike(select), known: Vec::new() };
        if apart.casts.is_empty() {
            return ControlFlow::Continue(());
        }
        select.projection.iter_mut().for_each(|item| rewrite_item(item, &mut apart));
        let _ = select.group_by.visit(&mut apart);
        let _ = select.having.visit(&mut apart);
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(sorts) = &mut order_by.kind
        {
            let _ = sorts.visit(&mut apart);
        }
        ControlFlow::Continue(())
    }
}

impl Casts<'_> {
    /// The texts of casts inside of what differs in casts alone.
    fn alike(&self, select: &mut Select) -> BTreeSet<String> {
        let mut calls = Calls { planning: self.planning, found: Vec::new() };
        let _ = select.projection.visit(&mut calls);
        let _ = select.having.visit(&mut calls);
        let mut casts = BTreeSet::new();
        add_alike(calls.found, &mut casts);
        add_alike(groups_of(select), &mut casts);
        casts
    }
}

/// The expressions that a select groups by, places and aliases resolved.
fn groups_of(select: &Select) -> Vec<Expr> {
    let GroupByExpr::Expressions(groups, _) = &select.group_by else { return Vec::new() };
    let item = |at: usize| match select.projection.get(at)? {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    let aliased = |name: &str| {
        let named = |item: &SelectItem| matches!(item, SelectItem::ExprWithAlias { alias, .. } if fold(alias) == name);
        select.projection.iter().position(named).and_then(item)
    };
    let resolved = |group: &Expr| match group {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(digits, _) => digits.parse::<usize>().ok().and_then(|n| item(n.checked_sub(1)?)),
            _ => None,
        },
        Expr::Identifier(name) => aliased(&fold(name)),
        _ => None,
    };
    groups.iter().map(|group| resolved(group).unwrap_or_else(|| group.clone())).collect()
}

fn add_alike(exprs: Vec<Expr>, casts: &mut BTreeSet<String>) {
    let mut by_name: BTreeMap<String, Vec<Expr>> = BTreeMap::new();
    for expr in exprs {
        let mut bare = expr.clone();
        let _ = bare.visit(&mut Bare);
        by_name.entry(bare.to_string()).or_default().push(expr);
    }
    for exprs in by_name.into_values() {
        if exprs.iter().any(|expr| *expr != exprs[0]) {
            let mut found = Found(casts);
            for mut expr in exprs {
                let _ = expr.visit(&mut found);
            }
        }
    }
}

/// Takes every cast away.
struct Bare;

impl VisitorMut for Bare {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
            *expr = std::mem::replace(inner.as_mut(), Expr::value(ast::Value::Null));
        }
        ControlFlow::Continue(())
    }
}

/// Collects the texts of all casts.
struct Found<'a>(&'a mut BTreeSet<String>);

impl VisitorMut for Found<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Cast { .. }) {
            self.0.insert(expr.to_string());
        }
        ControlFlow::Continue(())
    }
}

/// Collects calls of aggregates, and calls over a window.
struct Calls<'a> {
    planning: &'a Planning,
    found: Vec<Expr>,
}

impl VisitorMut for Calls<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            let is_aggregate = |name: &str| self.planning.state.aggregate_functions().contains_key(name);
            if function.over.is_some() || split(&function.name).is_some_and(|(_, name)| is_aggregate(&name)) {
                self.found.push(expr.clone());
            }
        }
        ControlFlow::Continue(())
    }
}

/// Puts the function around these casts.
struct Apart {
    casts: BTreeSet<String>,
    /// For the expressions around, whether each is one of them.
    known: Vec<bool>,
}

impl VisitorMut for Apart {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.known.push(matches!(expr, Expr::Cast { .. }) && self.casts.contains(&expr.to_string()));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.known.pop() == Some(true)
            && let Expr::Cast { data_type, .. } = expr
        {
            let to = Expr::value(ast::Value::SingleQuotedString(data_type.to_string()));
            let cast = std::mem::replace(expr, Expr::value(ast::Value::Null));
            *expr = call(APART, vec![cast, to]);
        }
        ControlFlow::Continue(())
    }
}

/// An item that changes keeps the name that it has without a name given.
fn rewrite_item(item: &mut SelectItem, apart: &mut Apart) {
    let name = item_name(item);
    let before = item.clone();
    let _ = item.visit(apart);
    let changed = *item != before;
    if let (SelectItem::UnnamedExpr(expr), Some(name), true) = (&mut *item, name, changed) {
        let expr = std::mem::replace(expr, Expr::value(ast::Value::Null));
        *item = SelectItem::ExprWithAlias { expr, alias: quoted(&name) };
    }
}

/// The function, to be registered with the planner.
pub fn function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::from(CastApart { signature: Signature::any(2, Volatility::Immutable) }))
}

/// Gives its first argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CastApart {
    signature: Signature,
}

impl ScalarUDFImpl for CastApart {
    fn name(&self) -> &str {
        APART
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [ty, _] => Ok(ty.clone()),
            _ => internal_err!("{APART} without its argument"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [field, _] => Ok(Arc::clone(field)),
            _ => internal_err!("{APART} without its argument"),
        }
    }

    fn simplify(&self, args: Vec<Planned>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match args.into_iter().next() {
            Some(cast) => Ok(ExprSimplifyResult::Simplified(cast)),
            None => internal_err!("{APART} without its argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(value) => Ok(value),
            None => internal_err!("{APART} without its argument"),
        }
    }
}

//! Forms of SELECT that the planner has no way to take as they are, brought to forms that it has and that mean
//! the same.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, JoinOperator, ObjectName, Query, Select, SelectItem,
    SetExpr, SetOperator, SetQuantifier, TableFactor, VisitMut, VisitorMut,
};

use super::correlated::ARRAY_OF;
use super::expand::{fold, quoted, split};
use super::functions::arrays::ITEMS;
use super::names::Planning;
use super::precedence;
use super::row_forms;
use super::select_literals;
use super::set_operations::{EXCEPT_ALL, INTERSECT_ALL, VALUES};
use super::set_returning::{self, IDENTITY};
use super::windows;
use crate::sql::call::{arguments, call, unnamed};
use crate::sql::columns::item_name;
use crate::sql::token_forms::ROWS_FROM;

/// Rewrites every such form inside, before it is planned.
pub fn rewrite(node: &mut impl VisitMut) {
    let _ = node.visit(&mut Forms);
    select_literals::type_literals(node);
}

struct Forms;

impl VisitorMut for Forms {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_sorted(query);
        counted_sets(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        name_beside_rows(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            keep_name(item);
        }
        windows::inherit(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { lateral: true, subquery, .. } = factor {
            lateral_values(subquery);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(written) = row_forms::written(expr) {
            *expr = written;
            return ControlFlow::Continue(());
        }
        precedence::settle_sign(expr);
        if let Expr::Function(function) = expr
            && let Some(converted) = named_type(function)
        {
            *expr = converted;
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Function(function) if is_of_unknown(function) => {
                let name = Expr::value(ast::Value::SingleQuotedString("unknown".to_owned()));
                let regtype = ObjectName::from(vec![Ident::new("regtype")]);
                *expr = cast(name, ast::DataType::Custom(regtype, Vec::new()));
            }
            Expr::Function(function) if is_ntile(function) => {
                let ntile = Expr::Function(function.clone());
                *expr = cast(ntile, ast::DataType::Int4(None));
            }
            Expr::Between { expr: value, negated, low, high } if !has_subquery(value) => {
                let low = Expr::BinaryOp {
                    left: value.clone(),
                    op: if *negated { ast::BinaryOperator::Lt } else { ast::BinaryOperator::GtEq },
                    right: std::mem::replace(low, Box::new(Expr::value(ast::Value::Null))),
                };
                let high = Expr::BinaryOp {
                    left: value.clone(),
                    op: if *negated { ast::BinaryOperator::Gt } else { ast::BinaryOperator::LtEq },
                    right: std::mem::replace(high, Box::new(Expr::value(ast::Value::Null))),
                };
                let op = if *negated { ast::BinaryOperator::Or } else { ast::BinaryOperator::And };
                *expr = Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(low), op, right: Box::new(high) }));
            }
            Expr::InSubquery { subquery, .. } => {
                if matches!(subquery.body.as_ref(), SetExpr::Values(_)) {
                    let all = vec![SelectItem::Wildcard(Default::default())];
                    let placeholder = SetExpr::Select(Box::new(select_all(function("", vec![]))));
                    let values = std::mem::replace(subquery.body.as_mut(), placeholder);
                    *subquery.body = over_derived(all, values);
                }
            }
            Expr::Function(function) => {
                array_subquery(function);
                if let Some(rows) = rows_of(function) {
                    *expr = rows;
                }
            }
            Expr::Cast { expr: row, .. } => {
                if let Expr::Tuple(values) = row.as_mut() {
                    **row = call("row", std::mem::take(values));
                }
            }
            // Behind a name, the first dot leads to a column.
            Expr::CompoundFieldAccess { root, access_chain }
                if !matches!(root.as_ref(), Expr::Identifier(_) | Expr::CompoundIdentifier(_)) =>
            {
                named_fields(access_chain);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `SELECT d::date … ORDER BY d`: the name is the cast's, which the planner takes for a column below. And ORDER BY its
/// place finds a cast or a call over a window only under a name.
fn name_sorted(query: &mut Query) {
    let Query { body, order_by: Some(order_by), .. } = query else { return };
    let (SetExpr::Select(select), ast::OrderByKind::Expressions(sorts)) = (body.as_mut(), &order_by.kind) else { return };
    let by_place = sorts.iter().any(|sort| matches!(&sort.expr, Expr::Value(_)));
    let grouped = is_grouped(select);
    let names: Vec<String> = select.projection.iter().filter_map(item_name).collect();
    for item in &mut select.projection {
        let Some(name) = item_name(item) else { continue };
        let sorted = || sorts.iter().any(|sort| matches!(&sort.expr, Expr::Identifier(by) if fold(by) == name));
        let named = match item {
            SelectItem::UnnamedExpr(Expr::Function(call)) if call.over.is_some() => true,
            SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_)) => false,
            SelectItem::UnnamedExpr(Expr::Cast { .. }) => by_place || sorted(),
            SelectItem::UnnamedExpr(_) => sorted() || (by_place && grouped && names.iter().filter(|n| **n == name).count() == 1),
            _ => false,
        };
        let old = std::mem::replace(item, SelectItem::Wildcard(Default::default()));
        *item = match old {
            SelectItem::UnnamedExpr(expr) if named => SelectItem::ExprWithAlias { expr, alias: quoted(&name) },
            other => other,
        };
    }
}

/// What a column is called below the select list that names it.
const BESIDE_ROWS: &str = "__beside_rows_";

/// Beside `unnest` in a select list the planner takes a name that is given for one of the columns below: such names are
/// given one level up.
fn name_beside_rows(query: &mut Query) {
    if query.order_by.is_some() {
        return;
    }
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    if is_grouped(select) || select.distinct.is_some() || select.having.is_some() || select.into.is_some() {
        return;
    }
    let named_beside = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr, alias } => !gives_rows(expr) && !alias.value.starts_with(BESIDE_ROWS),
        _ => false,
    };
    let rows = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => gives_rows(expr),
        _ => false,
    };
    if !select.projection.iter().any(rows) || !select.projection.iter().any(named_beside) {
        return;
    }
    let Some(names) = select.projection.iter().map(item_name).collect::<Option<Vec<_>>>() else { return };
    if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
        return;
    }
    let below = |at: usize| quoted(&format!("{BESIDE_ROWS}{at}"));
    for (at, item) in select.projection.iter_mut().enumerate() {
        let (SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr)) = item else { return };
        let expr = std::mem::replace(expr, Expr::value(ast::Value::Null));
        *item = SelectItem::ExprWithAlias { expr, alias: below(at) };
    }
    let outer = names
        .iter()
        .enumerate()
        .map(|(at, name)| SelectItem::ExprWithAlias { expr: Expr::Identifier(below(at)), alias: quoted(name) });
    let outer = outer.collect();
    let placeholder = SetExpr::Select(Box::new(select_all(function("", vec![]))));
    let inner = std::mem::replace(query.body.as_mut(), placeholder);
    *query.body = over_derived(outer, inner);
}

fn is_grouped(select: &Select) -> bool {
    !matches!(&select.group_by, ast::GroupByExpr::Expressions(by, _) if by.is_empty())
}

/// These items of a query in brackets.
fn over_derived(items: Vec<SelectItem>, inner: SetExpr) -> SetExpr {
    let alias = ast::TableAlias { explicit: true, name: quoted("\u{1}beside"), columns: vec![], at: None };
    let subquery = Box::new(plain_query(inner));
    let mut select = select_all(TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None });
    select.projection = items;
    SetExpr::Select(Box::new(select))
}

fn gives_rows(expr: &Expr) -> bool {
    let found = ast::visit_expressions(expr, |e| match e {
        Expr::Function(call) if split(&call.name).is_some_and(|(_, name)| name == "unnest") => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// `pg_typeof` of a literal in quotes or of NULL, which has no type of its own.
fn is_of_unknown(function: &ast::Function) -> bool {
    let FunctionArguments::List(list) = &function.args else { return false };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] = &list.args[..] else { return false };
    let bare = matches!(value.value, ast::Value::SingleQuotedString(_) | ast::Value::Null);
    bare && split(&function.name).is_some_and(|(_, name)| name == "pg_typeof")
}

/// `ntile`, which the planner counts in a wider type than PostgreSQL, and has not been seen here before.
fn is_ntile(function: &ast::Function) -> bool {
    function.over.is_some() && split(&function.name).is_some_and(|(_, name)| name == "ntile")
}

fn cast(expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast { kind: ast::CastKind::DoubleColon, expr: Box::new(expr), data_type, array: false, format: None }
}

/// `ARRAY(SELECT …)` as a call over a subquery.
fn array_subquery(function: &mut ast::Function) {
    let FunctionArguments::Subquery(_) = &function.args else { return };
    if !function.name.to_string().eq_ignore_ascii_case("array") {
        return;
    }
    let FunctionArguments::Subquery(query) = std::mem::replace(&mut function.args, FunctionArguments::None) else { return };
    function.name = ObjectName::from(vec![Ident::new(ARRAY_OF)]);
    function.args = arguments(vec![Expr::Subquery(query)]);
}

/// Whether an expression looks into a table.
pub fn has_subquery(expr: &Expr) -> bool {
    let found = ast::visit_expressions(expr, |expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// What [`named_type`] knows.
const CONVERSIONS: [&str; 14] = [
    "current_timestamp",
    "localtimestamp",
    "current_time",
    "localtime",
    "date",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "bool",
    "text",
    "timestamptz",
    "timestamp",
];

/// `date(x)`, `int4(x)`: the conversion that has the name of its type; and `current_timestamp(3)` and its kin, which keep so
/// many digits of their seconds.
fn named_type(function: &ast::Function) -> Option<Expr> {
    use ast::DataType as Type;
    let (schema, name) = split(&function.name)?;
    if !CONVERSIONS.contains(&name.as_str()) {
        return None;
    }
    let plain = function.over.is_none() && function.filter.is_none() && schema.is_none_or(|schema| schema == "pg_catalog");
    let [value] = <[Expr; 1]>::try_from(plain_arguments(function).filter(|_| plain)?).ok()?;
    let digits = match &value {
        Expr::Value(number) => match &number.value {
            ast::Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    let now = |zone| Some(cast(call("now", []), Type::Timestamp(digits, zone)));
    match name.as_str() {
        "current_timestamp" if digits.is_some() => now(ast::TimezoneInfo::WithTimeZone),
        "localtimestamp" if digits.is_some() => now(ast::TimezoneInfo::None),
        "current_time" | "localtime" if digits.is_some() => {
            let local = cast(call("now", []), Type::Timestamp(None, ast::TimezoneInfo::None));
            Some(cast(local, Type::Time(digits, ast::TimezoneInfo::None)))
        }
        "date" => Some(cast(value, Type::Date)),
        "int2" => Some(cast(value, Type::Int2(None))),
        "int4" => Some(cast(value, Type::Int4(None))),
        "int8" => Some(cast(value, Type::Int8(None))),
        "float4" => Some(cast(value, Type::Float4)),
        "float8" => Some(cast(value, Type::Float8)),
        "bool" => Some(cast(value, Type::Bool)),
        "text" => Some(cast(value, Type::Text)),
        "timestamptz" => Some(cast(value, Type::Timestamp(None, ast::TimezoneInfo::WithTimeZone))),
        "timestamp" => Some(cast(value, Type::Timestamp(None, ast::TimezoneInfo::None))),
        _ => None,
    }
}

/// A function that gives rows, in a select list: `unnest` of its list.
fn rows_of(function: &mut ast::Function) -> Option<Expr> {
    let (_, name) = split(&function.name)?;
    if name == set_returning::EXPAND_ARRAY {
        return Some(rows(call(set_returning::EXPANDED, plain_arguments(function)?)));
    }
    if name == "unnest" && function.over.is_none() {
        let [array] = <[Expr; 1]>::try_from(plain_arguments(function)?).ok()?;
        let listed = matches!(&array, Expr::Function(inner) if split(&inner.name).is_some_and(|(_, name)| name == ITEMS));
        return (!listed).then(|| rows(array));
    }
    let [(_, list)] = set_returning::columns_of(&name)? else { return None };
    if *list == IDENTITY || function.over.is_some() {
        return None;
    }
    Some(rows(call(list, plain_arguments(function)?)))
}

/// A row for each item of an array.
fn rows(array: Expr) -> Expr {
    // The planner takes calls that show alike for one, and all subqueries do.
    let text = has_subquery(&array).then(|| Expr::value(ast::Value::SingleQuotedString(array.to_string())));
    call("unnest", [call(ITEMS, std::iter::once(array).chain(text))])
}

/// The arguments of a call that has nothing else in its parentheses.
fn plain_arguments(function: &ast::Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(args) = &function.args else { return None };
    let args = args.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    args.collect()
}

/// A select item that is such a call keeps the name that it has as one.
fn keep_name(item: &mut SelectItem) {
    let SelectItem::UnnamedExpr(Expr::Function(function)) = &*item else { return };
    let gives_rows = split(&function.name).is_some_and(|(_, name)| set_returning::columns_of(&name).is_some());
    let Some(name) = item_name(item).filter(|_| gives_rows) else { return };
    let old = std::mem::replace(item, SelectItem::Wildcard(Default::default()));
    if let SelectItem::UnnamedExpr(expr) = old {
        *item = SelectItem::ExprWithAlias { expr, alias: quoted(&name) };
    }
}

/// `(row).field`: the planner takes the name as a text.
fn named_fields(access: &mut [ast::AccessExpr]) {
    for access in access {
        if let ast::AccessExpr::Dot(name) = access
            && let Expr::Identifier(ident) = name
        {
            *name = Expr::value(ast::Value::SingleQuotedString(fold(ident)));
        }
    }
}

/// Rows of VALUES that mix literals of several kinds in a column, as queries of which each has one row.
fn mixed_values(body: &mut SetExpr) {
    let SetExpr::Values(values) = &*body else { return };
    let width = values.rows.first().map_or(0, |row| row.content.len());
    let even = values.rows.iter().all(|row| row.content.len() == width);
    if !even || values.rows.len() > MOST_MIXED || !(0..width).any(|n| is_mixed(&values.rows, n)) {
        return;
    }
    let sides = values.rows.iter().map(|row| {
        let mut select = select_all(function("", vec![]));
        select.from.clear();
        select.projection = row
            .content
            .iter()
            .enumerate()
            .map(|(n, e)| SelectItem::ExprWithAlias { expr: e.clone(), alias: quoted(&format!("column{}", n + 1)) })
            .collect();
        Expr::Subquery(Box::new(plain_query(SetExpr::Select(Box::new(select)))))
    });
    let relation = function(VALUES, sides.collect());
    *body = SetExpr::Select(Box::new(select_all(relation)));
}

/// LATERAL (VALUES …) as a query for each row, whose columns of several types come to one type.
fn lateral_values(query: &mut Query) {
    let SetExpr::Values(values) = query.body.as_mut() else { return };
    if values.rows.len() < 2 || values.rows.len() > MOST_MIXED {
        return;
    }
    let rows = std::mem::take(&mut values.rows).into_iter().map(|row| {
        let mut select = select_all(function("", vec![]));
        select.from.clear();
        let named = row.content.into_iter().enumerate();
        let items = named.map(|(n, expr)| SelectItem::ExprWithAlias { expr, alias: quoted(&format!("column{}", n + 1)) });
        select.projection = items.collect();
        SetExpr::Select(Box::new(select))
    });
    let together = rows.reduce(|left, right| SetExpr::SetOperation {
        op: SetOperator::Union,
        set_quantifier: SetQuantifier::All,
        left: Box::new(left),
        right: Box::new(right),
    });
    if let Some(together) = together {
        *query.body = together;
    }
}

/// Rows of VALUES that are planned one by one.
const MOST_MIXED: usize = 256;

fn is_mixed(rows: &[ast::Parens<Vec<Expr>>], column: usize) -> bool {
    let kind = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            ast::Value::Null => None,
            ast::Value::SingleQuotedString(_) => Some('s'),
            ast::Value::Number(digits, _) if digits.bytes().all(|b| b.is_ascii_digit()) => Some('i'),
            ast::Value::Number(..) => Some('d'),
            _ => Some('o'),
        },
        _ => Some('o'),
    };
    let mut kinds: Vec<char> = rows.iter().filter_map(|row| kind(row.content.get(column)?)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len() > 1 && (kinds.contains(&'s') || kinds.contains(&'d'))
}

/// EXCEPT ALL and INTERSECT ALL as functions of their two queries.
fn counted_sets(body: &mut SetExpr) {
    mixed_values(body);
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return };
    counted_sets(left);
    counted_sets(right);
    let name = match (op, set_quantifier) {
        (SetOperator::Except, SetQuantifier::All) => EXCEPT_ALL,
        (SetOperator::Intersect, SetQuantifier::All) => INTERSECT_ALL,
        _ => return,
    };
    let side = |side: &mut Box<SetExpr>| {
        let body = std::mem::replace(
            side.as_mut(),
            SetExpr::Values(ast::Values { explicit_row: false, value_keyword: false, rows: vec![] }),
        );
        Expr::Subquery(Box::new(plain_query(body)))
    };
    let args = vec![side(left), side(right)];
    *body = SetExpr::Select(Box::new(select_all(function(name, args))));
}

/// A function in FROM.
fn function(name: &str, args: Vec<Expr>) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::new(name)]),
        alias: None,
        args: Some(ast::TableFunctionArgs { args: unnamed(args), settings: None }),
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

pub fn plain_query(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    }
}

pub fn select_all(relation: TableFactor) -> Select {
    Select {
        select_token: ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: vec![],
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![SelectItem::Wildcard(Default::default())],
        exclude: None,
        into: None,
        from: vec![ast::TableWithJoins { relation, joins: vec![] }],
        lateral_views: vec![],
        prewhere: None,
        selection: None,
        connect_by: vec![],
        group_by: ast::GroupByExpr::Expressions(vec![], vec![]),
        cluster_by: vec![],
        distribute_by: vec![],
        sort_by: vec![],
        having: None,
        named_window: vec![],
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
    }
}

/// Functions in FROM see what stands before them: each is LATERAL, save where a join does not allow it.
pub fn lateral_functions(planning: &Planning, query: &mut Query) {
    let _ = query.visit(&mut Laterals { planning });
}

struct Laterals<'a> {
    planning: &'a Planning,
}

impl VisitorMut for Laterals<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut scalars = Vec::new();
        for from in &mut select.from {
            self.lateral(&mut from.relation, &mut scalars);
            for join in &mut from.joins {
                if !matches!(
                    join.join_operator,
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
                ) {
                    self.lateral(&mut join.relation, &mut scalars);
                }
            }
        }
        if !scalars.is_empty() {
            let mut values = Values { scalars: &scalars };
            let _ = select.projection.visit(&mut values);
            let _ = select.selection.visit(&mut values);
            let _ = select.group_by.visit(&mut values);
            let _ = select.having.visit(&mut values);
            let _ = select.from.visit(&mut values);
        }
        ControlFlow::Continue(())
    }
}

/// Before the name of a function within ROWS FROM, which is not to be taken for one in a select list.
pub const WITHIN: char = '\u{2}';

fn apart(arg: &mut FunctionArg) {
    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(function))) = arg
        && let Some((_, name)) = split(&function.name)
    {
        function.name = ObjectName::from(vec![quoted(&format!("{WITHIN}{name}"))]);
    }
}

impl Laterals<'_> {
    /// Also notes the aliases that mean the one value of their function.
    fn lateral(&self, factor: &mut TableFactor, scalars: &mut Vec<(String, &'static str)>) {
        if let TableFactor::UNNEST { array_exprs, with_ordinality, alias, .. } = factor {
            *factor = TableFactor::Function {
                lateral: true,
                name: ObjectName::from(vec![Ident::new("unnest")]),
                args: unnamed(std::mem::take(array_exprs)),
                with_ordinality: *with_ordinality,
                alias: alias.take(),
            };
            return;
        }
        let TableFactor::Table { name, alias, args: Some(args), version: None, with_ordinality, .. } = factor else { return };
        let Some((schema, function)) = split(name) else { return };
        let known = set_returning::columns_of(&function);
        let scalar = function == ROWS_FROM || self.planning.state.scalar_functions().contains_key(&function);
        if self.planning.history_function(schema.as_deref(), &function).is_some() || (known.is_none() && !scalar) {
            return;
        }
        if function == ROWS_FROM {
            args.args.iter_mut().for_each(apart);
        }
        if let (Some([(column, _)]), Some(alias)) = (known, &alias)
            && *column != function
            && alias.columns.is_empty()
        {
            scalars.push((fold(&alias.name), column));
        }
        *factor = TableFactor::Function {
            lateral: true,
            name: name.clone(),
            args: std::mem::take(&mut args.args),
            with_ordinality: *with_ordinality,
            alias: alias.take(),
        };
    }
}

/// The alias of a function whose one column has a name of its own, as that column.
struct Values<'a> {
    scalars: &'a [(String, &'static str)],
}

impl VisitorMut for Values<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(name) = expr
            && let Some((alias, column)) = self.scalars.iter().find(|(alias, _)| *alias == fold(name))
        {
            *expr = Expr::CompoundIdentifier(vec![quoted(alias), quoted(column)]);
        }
        ControlFlow::Continue(())
    }
}

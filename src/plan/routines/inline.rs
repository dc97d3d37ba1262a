//! Functions in SQL that are one query, put in the place of their calls.
//!
//! What such a query reads, it reads as the statement around does: in the statement's scope, with the caller's rights. A
//! body that names outer columns within its own relations, or whose arguments would be worked out twice, is left to run.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, CastKind, DataType, Expr, Query, SelectItem, SetExpr, Value, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::kinds::Kind;
use super::rewrite::{Routines, rewrite_at};
use super::routine::{Shape, shape_of, statements};
use crate::error::{Result, SqlError};
use crate::history::{ArgumentDef, Language, RoutineDef, RoutineType};
use crate::plan::expand::{fold, split};
use crate::plan::functions::session::quote_ident;
use crate::plan::set_returning;
use crate::sql::Statement;
use crate::types::PgType;

/// Stands for a call in a query that is made around it.
const CALL: &str = "\u{1}call";

/// The value as one of this type.
fn cast(value: Expr, ty: PgType) -> Expr {
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(&ty.full_name()).and_then(|mut p| p.parse_data_type());
    // A name that does not parse is left to be looked up, and refused.
    let data_type =
        parsed.unwrap_or_else(|_| DataType::Custom(ast::ObjectName::from(vec![ast::Ident::new(ty.full_name())]), vec![]));
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(Expr::Nested(Box::new(value))), data_type, array: false, format: None }
}

/// An argument as a value of its declared type.
pub fn typed(argument: &ArgumentDef, value: Expr) -> Expr {
    match argument.ty {
        RoutineType::Plain(ty) => cast(value, ty.with_modifier(-1)),
        _ => value,
    }
}

/// The same for a bare parameter, which takes its type from it; any other argument has one.
pub fn typed_parameter(argument: &ArgumentDef, value: Expr) -> Expr {
    match &value {
        Expr::Value(inner) if matches!(inner.value, Value::Placeholder(_)) => typed(argument, value),
        _ => value,
    }
}

/// The query that a function is; `None` for any other.
fn query_of(def: &RoutineDef) -> Option<Box<Query>> {
    let plain = def.language == Language::Sql && !def.security_definer && def.search_path.is_none();
    let mut parsed = if plain { statements(def).ok()? } else { return None };
    match (parsed.pop()?.statement, parsed.is_empty()) {
        (Statement::Query(query), true) if query.locks.is_empty() => Some(query),
        _ => None,
    }
}

/// What the call gives, as an expression; `None` where the function has to run.
pub fn expression(routines: &Routines<'_>, def: &RoutineDef, arguments: &[Expr], depth: u32) -> Result<Option<Expr>> {
    let Some(shape) = shape_of(def, routines.names())? else { return Ok(None) };
    let [(_, Kind::Plain(ty))] = &shape.columns[..] else { return Ok(None) };
    if shape.set || shape.row || shape.is_void() || calls_itself(def) {
        return Ok(None);
    }
    let Some(mut query) = query_of(def) else { return Ok(None) };
    let simple = arguments.iter().all(is_simple);
    if def.strict && !simple {
        return Ok(None);
    }
    if let Some(value) = plain_value(routines, &query) {
        let mut value = value.clone();
        let mut put = Put::new(def, arguments);
        let _ = value.visit(&mut put);
        if put.used.iter().zip(arguments).any(|(used, argument)| *used > 1 && !is_simple(argument)) {
            return Ok(None);
        }
        rewrite_at(routines, &mut value, depth + 1)?;
        let value = cast(value, *ty);
        return Ok(Some(if def.strict { unless_null(value, arguments) } else { value }));
    }
    if !routines.subqueries || def.strict || !fits_around(routines, def, &query, arguments) {
        return Ok(None);
    }
    let _ = query.visit(&mut Put::new(def, arguments));
    if query.limit_clause.is_none() && query.fetch.is_none() {
        let limit = Some(Expr::value(Value::Number("1".to_owned(), false)));
        query.limit_clause = Some(ast::LimitClause::LimitOffset { limit, offset: None, limit_by: vec![] });
    }
    rewrite_at(routines, query.as_mut(), depth + 1)?;
    Ok(Some(cast(Expr::Subquery(query), *ty)))
}

/// The rows of a call, as a query; `None` where the function has to run.
pub fn relation(
    routines: &Routines<'_>,
    def: &RoutineDef,
    shape: &Shape,
    arguments: &[Expr],
    depth: u32,
) -> Result<Option<Box<Query>>> {
    if !shape.set || def.strict || shape.is_void() || calls_itself(def) {
        return Ok(None);
    }
    let Some(mut query) = query_of(def) else { return Ok(None) };
    if !fits_around(routines, def, &query, arguments) {
        return Ok(None);
    }
    let _ = query.visit(&mut Put::new(def, arguments));
    rewrite_at(routines, query.as_mut(), depth + 1)?;
    let mut items = Vec::new();
    let mut names = Vec::new();
    for (at, (name, kind)) in shape.columns.iter().enumerate() {
        let Kind::Plain(ty) = kind else { return Ok(None) };
        items.push(format!("CAST(body.c{at} AS {}) AS {}", ty.full_name(), quote_ident(name)));
        names.push(format!("c{at}"));
    }
    let text = format!("SELECT {} FROM (SELECT 1) AS body({})", items.join(", "), names.join(", "));
    let mut around = parsed(&text)?;
    if let SetExpr::Select(select) = around.body.as_mut()
        && let Some(ast::TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|from| &mut from.relation)
    {
        *subquery = query;
    }
    Ok(Some(around))
}

/// The rows of a call that gives them as a list.
pub fn rows_of(shape: &Shape, rows: Expr, ordinality: bool) -> Result<Box<Query>> {
    let mut items: Vec<String> =
        shape.columns.iter().map(|(name, _)| format!("(item.x).{0} AS {0}", quote_ident(name))).collect();
    let from = match ordinality {
        true => {
            items.push("item.n AS ordinality".to_owned());
            format!("unnest(\"{CALL}\") WITH ORDINALITY AS item(x, n)")
        }
        false => format!("unnest(\"{CALL}\") AS item(x)"),
    };
    let text = format!("SELECT {} FROM {from}", items.join(", "));
    let mut query = parsed(&text)?;
    let _ = query.visit(&mut Around { call: &rows });
    Ok(query)
}

fn parsed(text: &str) -> Result<Box<Query>> {
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).and_then(|mut parser| parser.parse_query());
    parsed.map_err(|_| SqlError::internal("the columns of a function cannot be written as a query"))
}

/// Puts the call where the query around it names it.
struct Around<'a> {
    call: &'a Expr,
}

impl VisitorMut for Around<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(name) if name.value == CALL) {
            *expr = self.call.clone();
        }
        ControlFlow::Continue(())
    }
}

/// Whether the body names itself: then it runs, since nobody knows how deep.
fn calls_itself(def: &RoutineDef) -> bool {
    def.body.to_lowercase().contains(&format!("{}(", def.name.name.to_lowercase()))
        || def.body.to_lowercase().contains(&format!("{} (", def.name.name.to_lowercase()))
}

/// The only value of a query that has nothing but it.
fn plain_value<'q>(routines: &Routines<'_>, query: &'q Query) -> Option<&'q Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let grouped = !matches!(&select.group_by, ast::GroupByExpr::Expressions(by, _) if by.is_empty());
    let more = query.with.is_some()
        || query.order_by.is_some()
        || query.limit_clause.is_some()
        || query.fetch.is_some()
        || !select.from.is_empty()
        || select.selection.is_some()
        || select.having.is_some()
        || select.distinct.is_some()
        || grouped;
    let value = match (&select.projection[..], more) {
        ([SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }], false) => value,
        _ => return None,
    };
    let bad = visit_expressions(value, |expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. } => {
            ControlFlow::Break(())
        }
        Expr::Function(function) => {
            let name = split(&function.name).map(|(_, name)| name).unwrap_or_default();
            let several = function.over.is_some()
                || !matches!(function.args, ast::FunctionArguments::List(_) | ast::FunctionArguments::None)
                || (routines.aggregates)(&name)
                || set_returning::columns_of(&name).is_some();
            if several { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    });
    bad.is_continue().then_some(value)
}

/// Whether the query, with the arguments in it, means the same in another statement: no argument names a column, and no
/// argument's name is that of a column in the query.
fn fits_around(routines: &Routines<'_>, def: &RoutineDef, query: &Query, arguments: &[Expr]) -> bool {
    let constant = |argument: &Expr| {
        let found = visit_expressions(argument, |expr| match expr {
            Expr::Value(_) | Expr::Cast { .. } | Expr::Nested(_) | Expr::UnaryOp { .. } | Expr::TypedString(_) => {
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        });
        found.is_continue()
    };
    if !arguments.iter().all(constant) {
        return false;
    }
    let names: Vec<&String> = def.inputs().filter_map(|input| input.name.as_ref()).collect();
    let named = visit_expressions(query, |expr| match expr {
        Expr::Identifier(name) if names.contains(&&fold(name)) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    if named.is_continue() {
        return true;
    }
    if query.with.is_some() {
        return false;
    }
    let clash = ast::visit_relations(query, |relation| {
        let columns = split(relation).and_then(|(schema, name)| (routines.columns)(schema.as_deref(), &name));
        match columns {
            Some(columns) if !columns.iter().any(|column| names.contains(&column)) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    let derived = matches!(query.body.as_ref(), SetExpr::Select(select) if select.from.iter().any(|from| {
        let factors = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
        factors.into_iter().any(|factor| !matches!(factor, ast::TableFactor::Table { args: None, .. }))
    }));
    clash.is_continue() && !derived && matches!(query.body.as_ref(), SetExpr::Select(_))
}

/// Whether working out an expression twice costs nothing and gives the same.
fn is_simple(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) | Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::TypedString(_) => true,
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::UnaryOp { expr: inner, .. } => is_simple(inner),
        _ => false,
    }
}

fn unless_null(value: Expr, arguments: &[Expr]) -> Expr {
    let or = |a, b| Expr::BinaryOp { left: Box::new(a), op: ast::BinaryOperator::Or, right: Box::new(b) };
    let nulls = arguments.iter().map(|argument| Expr::IsNull(Box::new(Expr::Nested(Box::new(argument.clone())))));
    let Some(any) = nulls.reduce(or) else { return value };
    Expr::Case {
        case_token: ast::helpers::attached_token::AttachedToken::empty(),
        end_token: ast::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![ast::CaseWhen { condition: any, result: Expr::value(Value::Null) }],
        else_result: Some(Box::new(value)),
    }
}

/// Puts arguments in the place of their names.
struct Put<'a> {
    def: &'a RoutineDef,
    arguments: &'a [Expr],
    used: Vec<usize>,
}

impl<'a> Put<'a> {
    fn new(def: &'a RoutineDef, arguments: &'a [Expr]) -> Self {
        Self { def, arguments, used: vec![0; arguments.len()] }
    }

    fn place(&self, expr: &Expr) -> Option<usize> {
        let named = |wanted: &str| self.def.inputs().position(|input| input.name.as_deref() == Some(wanted));
        match expr {
            Expr::Identifier(name) => named(&fold(name)),
            Expr::CompoundIdentifier(names) => match &names[..] {
                [function, name] if fold(function) == self.def.name.name => named(&fold(name)),
                _ => None,
            },
            Expr::Value(value) => match &value.value {
                Value::Placeholder(number) => {
                    let number: usize = number.strip_prefix('$')?.parse().ok()?;
                    number.checked_sub(1)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

impl VisitorMut for Put<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(at) = self.place(expr)
            && let (Some(argument), Some(input)) = (self.arguments.get(at), self.def.inputs().nth(at))
        {
            *expr = typed(input, argument.clone());
            self.used[at] += 1;
        }
        ControlFlow::Continue(())
    }
}

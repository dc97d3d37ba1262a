//! Rewrites that change a statement's form and never its meaning.
//!
//! Knows no catalogue: what depends on a table's columns or on types is left to `plan`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, ObjectNamePart, SelectItem, SetExpr, TableFactor, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::call::call;
use super::columns::{self, UNNAMED};
use super::{precedence, token_forms};

/// Brings a statement to the form that the planner reads: plain string literals, operators by their sign,
/// functions of pg_catalog by their name alone, LIKE patterns with a backslash.
pub fn rewrite(statement: &mut ast::Statement) {
    let _ = statement.visit(&mut Rewrite { depth: 0 });
}

struct Rewrite {
    /// Queries around the present one.
    depth: usize,
}

impl VisitorMut for Rewrite {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        rewrite_expr(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => unqualify(name),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        fetch_as_limit(query);
        if self.depth > 0 {
            name_columns(&mut query.body);
        }
        ControlFlow::Continue(())
    }
}

/// BETWEEN SYMMETRIC: between the bounds in either order.
fn symmetric(value: &Expr, negated: bool, low: &Expr, high: &Expr) -> Option<Expr> {
    let Expr::Function(function) = low else { return None };
    let [ObjectNamePart::Identifier(name)] = &function.name.0[..] else { return None };
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(low))] = &list.args[..] else { return None };
    if name.value != token_forms::SYMMETRIC {
        return None;
    }
    let between = |low: &Expr, high: &Expr| {
        let copy = |expr: &Expr| Box::new(expr.clone());
        Box::new(Expr::Between { expr: copy(value), negated, low: copy(low), high: copy(high) })
    };
    let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
    let either = Expr::BinaryOp { left: between(low, high), op, right: between(high, low) };
    Some(Expr::Nested(Box::new(either)))
}

/// FETCH FIRST n ROWS ONLY is LIMIT n, and one row where it names no number. Beside a LIMIT it stays.
fn fetch_as_limit(query: &mut ast::Query) {
    if query.fetch.as_ref().is_none_or(|fetch| fetch.with_ties || fetch.percent) {
        return;
    }
    let offset = match &mut query.limit_clause {
        None => None,
        Some(ast::LimitClause::LimitOffset { limit: None, offset, limit_by }) if limit_by.is_empty() => offset.take(),
        Some(_) => return,
    };
    let Some(fetch) = query.fetch.take() else { return };
    let one = || Expr::value(Value::Number("1".to_owned(), false));
    let limit = Some(fetch.quantity.unwrap_or_else(one));
    query.limit_clause = Some(ast::LimitClause::LimitOffset { limit, offset, limit_by: Vec::new() });
}

fn rewrite_expr(expr: &mut Expr) {
    precedence::settle(expr);
    match expr {
        Expr::Between { expr: value, negated, low, high } => {
            if let Some(either) = symmetric(value, *negated, low, high) {
                *expr = either;
            }
        }
        Expr::Function(function) => unqualify(&mut function.name),
        Expr::BinaryOp { op, .. } | Expr::AnyOp { compare_op: op, .. } | Expr::AllOp { compare_op: op, .. } => {
            if let BinaryOperator::PGCustomBinaryOperator(path) = op
                && let Some(plain) = plain_operator(path)
            {
                *op = plain;
            }
        }
        Expr::Value(value) => {
            if let Some(text) = plain_string(&value.value) {
                value.value = Value::SingleQuotedString(text);
            }
        }
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            backslash_pattern(pattern, escape_char);
        }
        _ => {}
    }
}

/// `pg_catalog.f` is `f`.
fn unqualify(name: &mut ast::ObjectName) {
    let catalogue = |part: &ObjectNamePart| part.as_ident().is_some_and(|i| i.value.eq_ignore_ascii_case("pg_catalog"));
    if name.0.len() == 2 && catalogue(&name.0[0]) {
        name.0.remove(0);
    }
}

fn plain_operator(path: &[String]) -> Option<BinaryOperator> {
    let sign = match path {
        [sign] => sign,
        [schema, sign] if schema.eq_ignore_ascii_case("pg_catalog") => sign,
        _ => return None,
    };
    let operator = match sign.as_str() {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        _ => return None,
    };
    Some(operator)
}

fn plain_string(value: &Value) -> Option<String> {
    match value {
        Value::EscapedStringLiteral(s) | Value::UnicodeStringLiteral(s) | Value::NationalStringLiteral(s) => Some(s.clone()),
        Value::DollarQuotedString(s) => Some(s.value.clone()),
        _ => None,
    }
}

/// Writes a pattern with the backslash as its escape, the only one the engine has: a literal at once, any other by
/// `like_escape`.
fn backslash_pattern(pattern: &mut Expr, escape: &mut Option<ast::ValueWithSpan>) {
    let Some(chosen) = escape.as_ref().and_then(|e| e.value.clone().into_string()) else { return };
    let literal = match &*pattern {
        Expr::Value(value) => value.value.clone().into_string(),
        _ => None,
    };
    let mut escapes = chosen.chars();
    let (Some(text), (escape_char, None)) = (literal, (escapes.next(), escapes.next())) else {
        let text = std::mem::replace(pattern, Expr::value(Value::Null));
        let arguments = [text, Expr::value(Value::SingleQuotedString(chosen))];
        *pattern = call("like_escape", arguments);
        *escape = None;
        return;
    };
    let mut rewritten = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape_char {
            let Some(escaped) = chars.next() else { return };
            rewritten.extend(['\\', escaped]);
        } else if c == '\\' {
            rewritten.push_str("\\\\");
        } else {
            rewritten.push(c);
        }
    }
    *pattern = Expr::value(Value::SingleQuotedString(rewritten));
    *escape = None;
}

/// Gives the unnamed expressions of an inner query the names that the query around it may use (`x.count`),
/// where those are unique.
fn name_columns(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            let names: Vec<_> = select.projection.iter().map(columns::item_name).collect();
            let grouped = names_in_grouping(select);
            for (item, name) in select.projection.iter_mut().zip(&names) {
                let unique = names.iter().filter(|other| *other == name).count() == 1;
                if let (SelectItem::UnnamedExpr(expr), Some(name)) = (&*item, name)
                    && unique
                    && name != UNNAMED
                    && !grouped.contains(name)
                    && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
                {
                    let (expr, alias) = (expr.clone(), ast::Ident::with_quote('"', name.clone()));
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left);
            name_columns(right);
        }
        _ => {}
    }
}

/// Names that GROUP BY and HAVING use: PostgreSQL reads them as input columns first, the planner as aliases.
fn names_in_grouping(select: &ast::Select) -> HashSet<String> {
    struct Names(HashSet<String>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Identifier(ident) = expr {
                self.0.insert(ident.value.to_ascii_lowercase());
                self.0.insert(ident.value.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(HashSet::new());
    let _ = select.group_by.visit(&mut names);
    let _ = select.having.visit(&mut names);
    names.0
}

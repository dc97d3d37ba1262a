//! The pseudocolumns of VERSIONS BETWEEN, which are names of Oracle's for our system columns.
//!
//! They are renamed in the tree and keep their names in the result. A statement without that clause has none of
//! them. Rows are states: a DELETE ends one (`versions_endtime`) and is no row of its own.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, SelectItem, VisitMut, VisitorMut};

use crate::error::{Result, SqlError};
use crate::sql::lex::{self, Slice};

/// Oracle's name, and ours.
const NAMES: &[(&str, &str)] = &[
    ("versions_starttime", "_system_from"),
    ("versions_endtime", "_system_to"),
    ("versions_startscn", "_commit"),
    ("versions_endscn", "_end_commit"),
    ("versions_operation", "_op"),
];

/// Puts our names for the pseudocolumns into a statement with a VERSIONS BETWEEN; `versions_xid` is 0A000.
pub fn name_pseudocolumns(statement: &mut ast::Statement, slice: Slice<'_>) -> Result<()> {
    let is = |at: usize, word: &str| slice.get(at).is_some_and(|token| crate::sql::cursor::is_keyword(token, word));
    if !(0..slice.len()).any(|at| is(at, "VERSIONS") && is(at + 1, "BETWEEN")) {
        return Ok(());
    }
    match statement.visit(&mut Renaming { slice }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Renaming<'a> {
    slice: Slice<'a>,
}

impl VisitorMut for Renaming<'_> {
    type Break = SqlError;

    /// Names of results, before the expressions lose theirs.
    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        for item in &mut select.projection {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            if let Some((name, _)) = last(expr).and_then(pseudocolumn) {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(*name) };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Some(ident) = last(expr) else { return ControlFlow::Continue(()) };
        if ident.value.eq_ignore_ascii_case("versions_xid") {
            let error =
                SqlError::unsupported("versions_xid is not supported", "Use versions_startscn: a commit is a transaction.");
            let position = self.slice.position_of(ident.span.start);
            return ControlFlow::Break(position.map_or(error.clone(), |position| error.at(position)));
        }
        let Some((name, own)) = pseudocolumn(ident) else { return ControlFlow::Continue(()) };
        let renamed = Ident { value: (*own).to_owned(), ..ident.clone() };
        match expr {
            Expr::Identifier(ident) => *ident = renamed,
            Expr::CompoundIdentifier(parts) => {
                if let Some(last) = parts.last_mut() {
                    *last = renamed;
                }
            }
            _ => {}
        }
        if *name == "versions_operation" {
            match letter(expr) {
                Ok(letter) => *expr = letter,
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }
}

fn last(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

fn pseudocolumn(ident: &Ident) -> Option<&'static (&'static str, &'static str)> {
    let is = |name: &str| match ident.quote_style {
        Some(_) => ident.value == name,
        None => ident.value.eq_ignore_ascii_case(name),
    };
    NAMES.iter().find(|(name, _)| is(name))
}

/// `CASE _op WHEN 'CREATE' THEN 'I' ELSE 'U' END`.
fn letter(operation: &Expr) -> Result<Expr> {
    let lexed = lex::lex("CASE x WHEN 'CREATE' THEN 'I' ELSE 'U' END")?;
    let parsed = lex::parser(lexed.lexemes.into_iter().map(|l| l.token).collect()).parse_expr();
    let mut case = parsed.map_err(|_| SqlError::internal("a CASE does not parse"))?;
    if let Expr::Case { operand, .. } = &mut case {
        *operand = Some(Box::new(operation.clone()));
    }
    Ok(case)
}

//! WITH before INSERT, UPDATE and DELETE: moved to where a write has room for it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, SetExpr, TableFactor, VisitMut, VisitorMut};

use super::lex;
use crate::error::{Result, SqlError};

/// Moves the WITH queries before INSERT into its source. Without a source nothing can read them.
pub fn into_source(insert: &mut ast::Insert, with: ast::With) -> Result<()> {
    let Some(source) = insert.source.as_deref_mut() else { return Ok(()) };
    match &mut source.with {
        None => source.with = Some(with),
        Some(inner) if !inner.recursive && !with.recursive => {
            let own = std::mem::take(&mut inner.cte_tables);
            inner.cte_tables = with.cte_tables.into_iter().chain(own).collect();
        }
        Some(_) => {
            let hint = "Put all WITH queries before INSERT, or all after it.";
            return Err(SqlError::unsupported("WITH RECURSIVE on both sides of INSERT is not supported", hint));
        }
    }
    Ok(())
}

/// Turns every reference to a WITH query into a subquery that carries all of them.
pub fn into_references<T: VisitMut>(with: &ast::With, write: &mut T) -> Result<()> {
    match write.visit(&mut Inline { with }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Inline<'a> {
    with: &'a ast::With,
}

impl VisitorMut for Inline<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        let hides =
            |inner: &ast::Cte| self.with.cte_tables.iter().any(|cte| folded(&cte.alias.name) == folded(&inner.alias.name));
        let hidden = query.with.as_ref().is_some_and(|with| with.cte_tables.iter().any(hides));
        if hidden {
            let message = "a WITH query of the same name inside a write is not supported";
            return ControlFlow::Break(SqlError::unsupported(message, "Rename one of the WITH queries."));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let TableFactor::Table { name, alias, args: None, .. } = &*factor else { return ControlFlow::Continue(()) };
        let [part] = &name.0[..] else { return ControlFlow::Continue(()) };
        let Some(ident) = part.as_ident() else { return ControlFlow::Continue(()) };
        if self.with.cte_tables.iter().any(|cte| folded(&cte.alias.name) == folded(ident)) {
            let alias = alias.clone().unwrap_or_else(|| ast::TableAlias {
                explicit: true,
                name: ident.clone(),
                columns: vec![],
                at: None,
            });
            match select_all(self.with, name) {
                Ok(subquery) => *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None },
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }
}

/// `WITH … SELECT * FROM name`.
fn select_all(with: &ast::With, name: &ast::ObjectName) -> Result<Box<ast::Query>> {
    let lexed = lex::lex("SELECT * FROM x")?;
    let parsed = lex::parser(lexed.lexemes.into_iter().map(|l| l.token).collect()).parse_query();
    let mut query = parsed.map_err(|_| SqlError::internal("SELECT * does not parse"))?;
    query.with = Some(with.clone());
    if let SetExpr::Select(select) = &mut *query.body
        && let Some(table) = select.from.first_mut()
        && let TableFactor::Table { name: placeholder, .. } = &mut table.relation
    {
        *placeholder = name.clone();
    }
    Ok(query)
}

fn folded(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

//! Puts the clauses of a statement onto the relations of its tree, and holds that none is lost or misplaced.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Spanned, TableFactor, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::canonical::Canonical;
use super::{ScopeClause, version_of};
use crate::error::{Result, SqlError};
use crate::sql::lex::Slice;

/// Gives every relation its clause: its own, else that of the innermost statement-wide clause around it.
/// Relations that name a CTE take none, and neither do functions.
pub fn place(canonical: &Canonical, statement: &mut ast::Statement, slice: Slice<'_>) -> Result<()> {
    if canonical.relations.is_empty() && canonical.statements.is_empty() {
        return Ok(());
    }
    let relations = canonical.relations.iter().map(|(at, scope)| (*at, scope)).collect();
    let mut placing = Placing { relations, statements: &canonical.statements, ctes: Vec::new(), targets: Vec::new(), slice };
    if let ControlFlow::Break(error) = statement.visit(&mut placing) {
        return Err(error);
    }
    match placing.relations.into_keys().next() {
        None => Ok(()),
        Some(lost) => {
            let error = SqlError::unsupported("this relation takes no time", "Put the clause on a table or view in FROM.");
            Err(slice.position_of(lost).map_or(error.clone(), |position| error.at(position)))
        }
    }
}

struct Placing<'a> {
    /// By the place of the relation's name; taken out when placed.
    relations: HashMap<Location, &'a ScopeClause>,
    statements: &'a [(Location, Location, ScopeClause)],
    ctes: Vec<Vec<Cte>>,
    targets: Vec<Location>,
    slice: Slice<'a>,
}

struct Cte {
    name: String,
    /// From where on the name stands for the CTE; the start of the text in WITH RECURSIVE.
    visible: Location,
}

impl Placing<'_> {
    fn names_cte(&self, name: &ast::ObjectName, at: Location) -> bool {
        let [part] = &name.0[..] else { return false };
        let Some(ident) = part.as_ident() else { return false };
        let folded = folded(ident);
        self.ctes.iter().flatten().any(|cte| cte.name == folded && cte.visible <= at)
    }

    fn statement_wide(&self, at: Location) -> Option<&ScopeClause> {
        let around = self.statements.iter().filter(|(start, end, _)| *start <= at && at < *end);
        around.max_by_key(|(start, _, _)| *start).map(|(_, _, scope)| scope)
    }

    fn relation(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, version, args, .. } = factor else { return Ok(()) };
        let at = name.0.first().map_or(Location::empty(), |part| part.span().start);
        let is_cte = self.names_cte(name, at);
        if let Some(own) = self.relations.remove(&at) {
            if is_cte {
                let message = format!("WITH query \"{name}\" takes no time");
                let error = SqlError::unsupported(message, "Put the clause on the tables inside the WITH query.");
                return Err(self.slice.position_of(at).map_or(error.clone(), |position| error.at(position)));
            }
            *version = Some(version_of(own));
        } else if args.is_none()
            && !is_cte
            && !self.targets.contains(&at)
            && let Some(scope) = self.statement_wide(at)
        {
            *version = Some(version_of(scope));
        }
        Ok(())
    }

    fn target(&mut self, factor: &TableFactor) {
        if let TableFactor::Table { name, .. } = factor {
            self.targets.extend(name.0.first().map(|part| part.span().start));
        }
    }
}

fn folded(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

impl VisitorMut for Placing<'_> {
    type Break = SqlError;

    fn pre_visit_statement(&mut self, statement: &mut ast::Statement) -> ControlFlow<SqlError> {
        match statement {
            ast::Statement::Update(update) => self.target(&update.table.relation),
            ast::Statement::Merge(merge) => self.target(&merge.table),
            ast::Statement::Delete(delete) => {
                let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
                from.iter().for_each(|table| self.target(&table.relation));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        let ctes = query.with.iter().flat_map(|with| {
            with.cte_tables.iter().map(|cte| Cte {
                name: folded(&cte.alias.name),
                visible: if with.recursive { Location::empty() } else { cte.closing_paren_token.0.span.start },
            })
        });
        self.ctes.push(ctes.collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<SqlError> {
        self.ctes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        match self.relation(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

//! `n.id` inside a subquery whose own relations have a column `n`: the relation `n` around it is meant.
//!
//! The planner would look for a field `id` of that column first. Names of relations around get a schema before them,
//! behind which no column is looked for.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Query, Select, TableFactor, VisitMut, VisitorMut};

use super::expand::{fold, quoted};

/// A schema for relations that are named without one: the planner compares it with none.
const AROUND: &str = "\u{1}around";

/// Marks the names of relations around in every subquery.
pub fn mark(query: &mut Query) {
    let _ = query.visit(&mut Marks { scopes: Vec::new() });
}

/// What one query in brackets has in FROM: the names, and the schemas that they were written with.
type Names = Vec<(String, Option<Ident>)>;

struct Marks {
    scopes: Vec<Names>,
}

impl VisitorMut for Marks {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scopes.push(Vec::new());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let Some(scope) = self.scopes.last_mut() {
            for from in &select.from {
                add(&from.relation, scope);
                from.joins.iter().for_each(|join| add(&join.relation, scope));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [relation, _] = &parts[..]
            && let Some(schema) = self.around(&fold(relation))
        {
            parts.insert(0, schema);
        }
        ControlFlow::Continue(())
    }
}

impl Marks {
    /// The schema for a relation that only a query around has.
    fn around(&self, name: &str) -> Option<Ident> {
        let (own, around) = self.scopes.split_last()?;
        if own.iter().any(|(relation, _)| relation == name) {
            return None;
        }
        let (_, schema) = around.iter().rev().flatten().find(|(relation, _)| relation == name)?;
        Some(schema.clone().unwrap_or_else(|| quoted(AROUND)))
    }
}

fn add(factor: &TableFactor, names: &mut Names) {
    let alias = match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } => alias,
        TableFactor::Table { name, alias: None, .. } | TableFactor::Function { name, alias: None, .. } => {
            let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
            if let [schemas @ .., table] = &parts[..] {
                names.push((fold(table), schemas.last().map(|schema| (*schema).clone())));
            }
            return;
        }
        TableFactor::NestedJoin { table_with_joins, alias: None } => {
            add(&table_with_joins.relation, names);
            table_with_joins.joins.iter().for_each(|join: &ast::Join| add(&join.relation, names));
            return;
        }
        _ => return,
    };
    names.push((fold(&alias.name), None));
}

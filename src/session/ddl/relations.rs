//! Which relations a query's text names: what a view depends on.
//!
//! Pure. Knows how WITH hides a relation, not what a name leads to.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, ObjectName, Query, TableFactor, Visit, Visitor};

use crate::sql::Name;

/// Relations that a query names, in order, without those that its own WITH defines.
pub(super) fn relations_of(query: &Query) -> Vec<Name> {
    let mut visitor = Relations::default();
    let _: ControlFlow<()> = query.visit(&mut visitor);
    visitor.found
}

/// Relations that a tree names, without those that a WITH in reach defines.
#[derive(Default)]
struct Relations {
    found: Vec<Name>,
    /// Names that each enclosing query's WITH defines, and how many of them are in reach here.
    scopes: Vec<(Vec<String>, usize)>,
    /// Which scope is cut short inside the body of a common table expression, and to what.
    bodies: HashMap<*const Query, (usize, usize)>,
    /// What the cuts replaced, to be put back.
    cut: Vec<Option<(usize, usize)>>,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let cut = self.bodies.get(&std::ptr::from_ref(query)).copied().map(|(scope, reach)| {
            let before = self.scopes.get(scope).map_or(0, |s| s.1);
            if let Some(scope) = self.scopes.get_mut(scope) {
                scope.1 = reach;
            }
            (scope, before)
        });
        self.cut.push(cut);
        let mut names = Vec::new();
        if let Some(with) = &query.with {
            for (n, cte) in with.cte_tables.iter().enumerate() {
                names.push(folded(&cte.alias.name));
                let reach = if with.recursive { with.cte_tables.len() } else { n };
                self.bodies.insert(std::ptr::from_ref(cte.query.as_ref()), (self.scopes.len(), reach));
            }
        }
        let reach = names.len();
        self.scopes.push((names, reach));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some(Some((scope, reach))) = self.cut.pop()
            && let Some(scope) = self.scopes.get_mut(scope)
        {
            scope.1 = reach;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let (name, versioned) = match factor {
            TableFactor::Table { name, version, .. } => (name, version.is_some()),
            TableFactor::Function { name, .. } => (name, true),
            _ => return ControlFlow::Continue(()),
        };
        if let Some(name) = name_of(name)
            // A time clause never applies to a common table expression: such a name is a table's.
            && (versioned || !self.is_common(&name))
        {
            self.found.push(name);
        }
        ControlFlow::Continue(())
    }
}

impl Relations {
    fn is_common(&self, name: &Name) -> bool {
        let in_reach = |(names, reach): &(Vec<String>, usize)| names.iter().take(*reach).any(|n| *n == name.name);
        name.schema.is_none() && self.scopes.iter().any(in_reach)
    }
}

fn folded(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The last two parts of a name; a database in front of them is this one or an error elsewhere.
fn name_of(name: &ObjectName) -> Option<Name> {
    let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident());
    let relation = parts.next()?;
    Some(Name { schema: parts.next().map(folded), name: folded(relation) })
}

//! Views' definitions: their text, and the relations that it names.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast;

use super::objects::Relation;
use super::state::Catalogue;
use crate::history::ViewDef;
use crate::sql::Statement;

/// The relations that a view's query names, each once.
pub fn relations(state: &Catalogue, view: &ViewDef) -> Vec<Relation> {
    let Ok(mut parsed) = crate::sql::parse(&view.query) else { return Vec::new() };
    let Some(Statement::Query(query)) = parsed.pop().map(|p| p.statement) else { return Vec::new() };
    let mut found: Vec<Relation> = Vec::new();
    let _: ControlFlow<()> = ast::visit_relations(query.as_ref(), |name| {
        let relation = crate::plan::expand::split(name).and_then(|(schema, name)| {
            let schemas = [schema.unwrap_or_else(|| view.name.schema.clone()), "public".to_owned(), "pg_catalog".to_owned()];
            state.relation_named(&schemas, &name)
        });
        if let Some(relation) = relation
            && !found.iter().any(|r| r.oid() == relation.oid())
        {
            found.push(relation);
        }
        ControlFlow::Continue(())
    });
    found
}

/// The query of a view, as `pg_get_viewdef` gives it.
pub fn definition(view: &ViewDef) -> String {
    format!(" {};", view.query.trim().trim_end_matches(';'))
}

//! Whether a role may run a statement: which relations it names, and what it does to each.
//!
//! Reads the statement, not the plan, so that nothing is planned for somebody who may not know of it. A relation
//! that is not there is the planner's to refuse. History and changes of a table count as the table; what a view
//! reads is checked for the view's owner.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, ObjectName, Query, TableFactor, Visit, Visitor};

use super::roles::authority;
use crate::error::{Result, SqlError, SqlState};
use crate::history::privilege::denied;
use crate::history::{Authority, Catalog, Grants};
use crate::plan::StatementContext;
use crate::sql::{CopyDirection, CopySource, Name, Statement};
use crate::tenancy::Tenancy;
use crate::types::Qualified;

/// Views within views beyond this are somebody's mistake.
const VIEW_DEPTH: usize = 32;

/// 42501 when the current role may not read or change what the statement names.
pub(super) fn check_statement(tenancy: &Tenancy, ctx: &StatementContext, statement: &Statement) -> Result<()> {
    if ctx.superuser {
        return Ok(());
    }
    let catalog = Arc::clone(&ctx.transaction.lock().catalog);
    let database = ctx.database.name();
    let asker = authority(tenancy, database, &ctx.current_user);
    Check { tenancy, database, asker, catalog: &catalog, search_path: &ctx.search_path, depth: 0 }.statement(statement)
}

struct Check<'a> {
    tenancy: &'a Tenancy,
    database: &'a str,
    asker: Authority,
    catalog: &'a Catalog,
    search_path: &'a [String],
    depth: usize,
}

impl Check<'_> {
    fn statement(&self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::Query(query) => self.reads(query.as_ref()),
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Explain { inner, .. } => self.statement(inner),
            Statement::Copy(copy) => match (&copy.source, copy.direction) {
                (CopySource::Query(query), _) => self.reads(query.as_ref()),
                (CopySource::Relation { name, .. }, CopyDirection::ToStdout) => self.relation(name, "SELECT"),
                (CopySource::Relation { name, .. }, CopyDirection::FromStdin) => self.relation(name, "INSERT"),
            },
            Statement::Ddl(_)
            | Statement::Transaction(_)
            | Statement::Set(_)
            | Statement::Show(_)
            | Statement::Reset(_)
            | Statement::Discard(_)
            | Statement::Prepare { .. }
            | Statement::Execute { .. }
            | Statement::Deallocate(_) => Ok(()),
        }
    }

    fn reads(&self, node: &impl Visit) -> Result<()> {
        let mut visitor = Relations::default();
        let _: ControlFlow<()> = node.visit(&mut visitor);
        visitor.found.iter().try_for_each(|name| self.relation(name, "SELECT"))
    }

    fn insert(&self, insert: &ast::Insert) -> Result<()> {
        if let ast::TableObject::TableName(name) = &insert.table
            && let Some(name) = name_of(name)
        {
            self.relation(&name, "INSERT")?;
            if insert.returning.is_some() || insert.on.is_some() {
                self.relation(&name, "SELECT")?;
            }
            if matches!(&insert.on, Some(ast::OnInsert::OnConflict(on)) if matches!(on.action, ast::OnConflictAction::DoUpdate(_)))
            {
                self.relation(&name, "UPDATE")?;
            }
        }
        self.reads(&insert.source)?;
        self.reads(&insert.on)?;
        self.reads(&insert.returning)
    }

    fn update(&self, update: &ast::Update) -> Result<()> {
        self.target(&update.table, "UPDATE")?;
        // What is read to find or to make the new rows.
        let constant = update.selection.is_none() && update.from.is_none() && update.returning.is_none();
        if !constant {
            self.target(&update.table, "SELECT")?;
        }
        self.reads(&update.table.joins)?;
        self.reads(&update.assignments)?;
        self.reads(&update.from)?;
        self.reads(&update.selection)?;
        self.reads(&update.returning)
    }

    fn delete(&self, delete: &ast::Delete) -> Result<()> {
        let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) = &delete.from;
        for target in from {
            self.target(target, "DELETE")?;
            if delete.selection.is_some() || delete.returning.is_some() {
                self.target(target, "SELECT")?;
            }
        }
        self.reads(&delete.using)?;
        self.reads(&delete.selection)?;
        self.reads(&delete.returning)
    }

    fn target(&self, table: &ast::TableWithJoins, privilege: &str) -> Result<()> {
        match &table.relation {
            TableFactor::Table { name, .. } => name_of(name).map_or(Ok(()), |name| self.relation(&name, privilege)),
            _ => Ok(()),
        }
    }

    fn relation(&self, name: &Name, privilege: &str) -> Result<()> {
        let Some(found) = self.resolve(name) else { return Ok(()) };
        if name.schema.is_some()
            && let Some(schema) = self.catalog.schemas.get(&found.schema)
        {
            self.require("USAGE", "schema", &schema.name, &schema.owner, &schema.grants)?;
        }
        if let Some(table) = self.catalog.tables.get(&found) {
            return self.require(privilege, "table", &found.name, &table.owner, &table.grants);
        }
        if let Some(sequence) = self.catalog.sequences.get(&found) {
            return self.require(privilege, "sequence", &found.name, &sequence.owner, &sequence.grants);
        }
        if let Some(view) = self.catalog.views.get(&found) {
            self.require(privilege, "view", &found.name, &view.owner, &view.grants)?;
            return self.inside_view(&view.owner, &view.query);
        }
        // The changes of all tables are readable by who may read each of them.
        let mut tables = self.catalog.tables.values();
        tables.try_for_each(|table| self.require("SELECT", "view", &found.name, &table.owner, &table.grants))
    }

    fn require(&self, privilege: &str, kind: &str, name: &str, owner: &str, grants: &Grants) -> Result<()> {
        if self.asker.may(privilege, grants, owner) { Ok(()) } else { Err(denied(kind, name)) }
    }

    fn inside_view(&self, owner: &str, query: &str) -> Result<()> {
        if self.depth >= VIEW_DEPTH {
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "views are nested too deeply"));
        }
        let asker = authority(self.tenancy, self.database, owner);
        if asker.superuser {
            return Ok(());
        }
        let inside = Check { asker, depth: self.depth + 1, ..*self };
        crate::sql::parse(query)?.iter().try_for_each(|parsed| inside.statement(&parsed.statement))
    }

    /// The definition that a name leads to; `chronogate.changes` to itself; `None` for what is not guarded.
    fn resolve(&self, name: &Name) -> Option<Qualified> {
        let schemas: Vec<&str> = match &name.schema {
            Some(schema) => vec![schema],
            None => self.search_path.iter().map(String::as_str).collect(),
        };
        schemas.into_iter().find_map(|schema| {
            let exact = Qualified::new(schema, name.name.as_str());
            if self.exists(&exact) || (schema == "chronogate" && name.name == "changes") {
                return Some(exact);
            }
            // orders__history, orders__changes, orders__as_of(…)
            let (base, _) = name.name.rsplit_once("__")?;
            Some(Qualified::new(schema, base)).filter(|base| self.exists(base))
        })
    }

    fn exists(&self, name: &Qualified) -> bool {
        self.catalog.tables.contains_key(name)
            || self.catalog.views.contains_key(name)
            || self.catalog.sequences.contains_key(name)
    }
}

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

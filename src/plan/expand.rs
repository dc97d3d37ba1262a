//! Views, privileges and hidden columns of a query, settled in its tree before it is planned.
//!
//! A view becomes its query in parentheses, its relations under full names (so that no WITH query of the
//! statement can take their place) and read with the rights of the view's owner; a clause on the view goes to
//! those of its relations that have none. Changes no meaning otherwise and plans nothing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, ObjectName, Query, TableFactor, VisitMut, VisitorMut};

use super::columns::SystemColumn;
use super::names::{Planning, Relation};
use crate::error::{Result, SqlError, SqlState};
use crate::history::privilege::{Authority, Grants};
use crate::history::{TableDef, ViewDef};
use crate::sql::{CARRIED, RETURNED, Statement};
use crate::types::Qualified;
use crate::versions::Scope;

/// Views within views.
const DEEPEST: usize = 32;

/// What a statement's tree turned out to need.
#[derive(Debug, Default)]
pub struct Expanded {
    /// System columns that are named anywhere.
    pub named: Vec<SystemColumn>,
    /// A relation has a clause about system time.
    pub clauses: bool,
}

/// Expands views, checks SELECT privileges and collects the system columns named. 42P01 for a relation that
/// is not there, 42501 for one that may not be read, 0A000 for a clause on a WITH query.
pub fn expand(planning: &Planning, query: &mut Query) -> Result<Expanded> {
    let authority = planning.ctx.authority();
    let mut expander = Expander {
        planning,
        authority,
        view: None,
        depth: 0,
        ctes: Vec::new(),
        withs: Vec::new(),
        replaced: Vec::new(),
        named: BTreeSet::new(),
        clauses: false,
    };
    expander.run(query)?;
    let named = expander.named.into_iter().filter_map(SystemColumn::of_name).collect();
    Ok(Expanded { named, clauses: expander.clauses })
}

/// The view whose query is being expanded.
struct Inside<'a> {
    view: &'a ViewDef,
    clause: Option<ast::TableVersion>,
}

struct Expander<'a> {
    planning: &'a Planning,
    /// Whose rights count: the client's, or those of the view's owner.
    authority: Authority,
    view: Option<Inside<'a>>,
    depth: usize,
    /// WITH queries in reach, innermost last.
    ctes: Vec<String>,
    /// For every query around: its WITH, taken out while it is visited, and how many names were in reach before.
    withs: Vec<(Option<ast::With>, usize)>,
    /// For every table factor around: whether it has been expanded, so that what is inside is done already.
    replaced: Vec<bool>,
    named: BTreeSet<&'static str>,
    clauses: bool,
}

impl Expander<'_> {
    fn run(&mut self, query: &mut Query) -> Result<()> {
        match query.visit(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn is_done(&self) -> bool {
        self.replaced.contains(&true)
    }

    /// A query's WITH queries, each with those before it in reach.
    fn with_queries(&mut self, with: &mut ast::With) -> Result<()> {
        for cte in &mut with.cte_tables {
            let name = fold(&cte.alias.name);
            if with.recursive {
                self.ctes.push(name.clone());
            }
            self.run(&mut cte.query)?;
            if !with.recursive {
                self.ctes.push(name);
            }
        }
        Ok(())
    }

    /// Settles one relation; `true` when it was replaced.
    fn relation(&mut self, factor: &mut TableFactor) -> Result<bool> {
        let TableFactor::Table { name, alias, args, version, .. } = factor else { return Ok(false) };
        let Some((schema, table)) = split(name) else { return Ok(false) };
        if args.is_some() {
            if let Some((table, _)) = self.planning.history_function(schema.as_deref(), &table) {
                self.may_read_table(&table)?;
            }
            return Ok(false);
        }
        if schema.is_none() && self.ctes.contains(&table) {
            return match version {
                None => Ok(false),
                Some(_) => Err(SqlError::unsupported(
                    format!("WITH query \"{table}\" cannot take a clause about system time"),
                    "Give the clause to the tables inside the WITH query.",
                )),
            };
        }
        if schema.as_deref() == Some(RETURNED) {
            return Ok(false);
        }
        // The table under a view that is written through: its rights are asked for with those to write.
        if let Some(schema) = schema.as_deref().and_then(|schema| schema.strip_prefix(CARRIED)) {
            *name = full_name(schema, &table);
            return Ok(false);
        }
        let relation = self.lookup(schema.as_deref(), &table, version.is_some())?;
        if let (None, Some(Inside { clause: Some(clause), .. })) = (&version, &self.view)
            && !matches!(relation, Relation::System(_) | Relation::Catalogue(_) | Relation::Sequence(_))
        {
            *version = Some(clause.clone());
        }
        self.clauses |= version.is_some();
        match relation {
            Relation::Table(def) | Relation::History(def) | Relation::Changes(def) => {
                self.may_read_table(&def)?;
                if def.materialized.as_ref().is_some_and(|materialized| !materialized.populated) {
                    let message = format!("materialized view \"{}\" has not been populated", def.name.name);
                    return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                        .hint("Use the REFRESH MATERIALIZED VIEW command."));
                }
                if self.view.is_some() {
                    let base = alias.get_or_insert_with(|| plain_alias(&table)).clone();
                    *name = full_name(&def.name.schema, &table);
                    *alias = Some(base);
                }
                Ok(false)
            }
            Relation::System(_) | Relation::Catalogue(_) => Ok(false),
            Relation::Sequence(def) => {
                self.may_read("sequence", &def.name, &def.grants, &def.owner)?;
                if self.view.is_some() {
                    let base = alias.get_or_insert_with(|| plain_alias(&table)).clone();
                    *name = full_name(&def.name.schema, &table);
                    *alias = Some(base);
                }
                Ok(false)
            }
            Relation::View(view) => {
                let version = version.take();
                let alias = alias.take();
                *factor = self.expand_view(&view, alias, version)?;
                Ok(true)
            }
        }
    }

    fn lookup(&self, schema: Option<&str>, name: &str, clause: bool) -> Result<Relation> {
        let found = match (&self.view, schema) {
            // A view's own schema comes first.
            (Some(inside), None) => {
                self.planning.relation(Some(&inside.view.name.schema), name).or_else(|_| self.planning.relation(None, name))
            }
            _ => self.planning.relation(schema, name),
        };
        match found {
            Err(_) if clause => self.planning.relation_in(schema, name, Scope::All),
            found => found,
        }
    }

    fn may_read_table(&self, table: &TableDef) -> Result<()> {
        self.may_read("table", &table.name, &table.grants, &table.owner)
    }

    fn may_read(&self, kind: &str, name: &Qualified, grants: &Grants, owner: &str) -> Result<()> {
        self.planning.ctx.require(&self.authority, "SELECT", kind, name, grants, owner)
    }

    fn expand_view(
        &mut self,
        view: &ViewDef,
        alias: Option<ast::TableAlias>,
        clause: Option<ast::TableVersion>,
    ) -> Result<TableFactor> {
        self.may_read("view", &view.name, &view.grants, &view.owner)?;
        if self.depth >= DEEPEST {
            let message = format!("infinite recursion detected in rules for relation \"{}\"", view.name.name);
            return Err(SqlError::new(SqlState::INVALID_OBJECT_DEFINITION, message));
        }
        let broken = || SqlError::internal(format!("definition of view \"{}\" cannot be read", view.name.name));
        let mut parsed = crate::sql::parse(&view.query)?.into_iter();
        let Some(Statement::Query(mut query)) = parsed.next().map(|p| p.statement) else { return Err(broken()) };
        super::routines::rewrite_calls(self.planning, query.as_mut(), true)?;
        let mut inner = Expander {
            planning: self.planning,
            authority: self.planning.ctx.authorities.of(&view.owner),
            view: Some(Inside { view, clause }),
            depth: self.depth + 1,
            ctes: Vec::new(),
            withs: Vec::new(),
            replaced: Vec::new(),
            named: BTreeSet::new(),
            clauses: false,
        };
        inner.run(&mut query)?;
        self.clauses |= inner.clauses;
        self.named.append(&mut inner.named);
        let mut alias = alias.unwrap_or_else(|| plain_alias(&view.name.name));
        let given = alias.columns.len();
        let rest = view.columns.iter().skip(given);
        alias.columns.extend(rest.map(|(name, _)| ast::TableAliasColumnDef { name: quoted(name), data_type: None }));
        Ok(TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample: None })
    }
}

impl VisitorMut for Expander<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if self.is_done() {
            return ControlFlow::Continue(());
        }
        let before = self.ctes.len();
        let mut with = query.with.take();
        if let Some(with) = &mut with
            && let Err(error) = self.with_queries(with)
        {
            return ControlFlow::Break(error);
        }
        self.withs.push((with, before));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if !self.is_done()
            && let Some((with, before)) = self.withs.pop()
        {
            query.with = with;
            self.ctes.truncate(before);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let replaced = if self.is_done() { Ok(false) } else { self.relation(factor) };
        match replaced {
            Ok(replaced) => {
                self.replaced.push(replaced);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_table_factor(&mut self, _: &mut TableFactor) -> ControlFlow<SqlError> {
        self.replaced.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let name = match expr {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(names) => names.last_mut(),
            _ => None,
        };
        if let Some(column) = name.and_then(|name| SystemColumn::of_name(&fold(name))) {
            self.named.insert(column.name());
        }
        ControlFlow::Continue(())
    }
}

/// The name an identifier means: folded unless it was quoted.
pub fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Schema and name of a relation; a database's name before them is left to the planner.
pub fn split(name: &ObjectName) -> Option<(Option<String>, String)> {
    let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(fold)).collect();
    match parts?.as_slice() {
        [table] => Some((None, table.clone())),
        [.., schema, table] => Some((Some(schema.clone()), table.clone())),
        [] => None,
    }
}

pub fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn plain_alias(name: &str) -> ast::TableAlias {
    ast::TableAlias { explicit: true, name: quoted(name), columns: vec![], at: None }
}

fn full_name(schema: &str, name: &str) -> ObjectName {
    ObjectName::from(vec![quoted(schema), quoted(name)])
}

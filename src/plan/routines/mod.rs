//! Functions, procedures and triggers: what a call means, and running it.
//!
//! A function in SQL that is one query takes the place of its call (`inline`); any other is a function of the plan whose
//! body is interpreted (`call`, `interpret`). Who interprets needs somebody to run statements: a session does it for DO
//! and CALL, `run` for calls inside a plan and for triggers.

mod call;
mod host;
mod inline;
mod interpret;
pub mod kinds;
mod loops;
mod raise;
mod rewrite;
mod routine;
mod run;
mod trigger;
mod variables;

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, TableFactor, Visit, VisitMut, Visitor};

pub use call::no_such_function;
pub use host::{Host, Outcome};
pub use inline::typed as typed_argument;
pub use interpret::{Conflicts, Interpreter, Learnt};
pub use kinds::{Kind, Names, type_text};
pub use rewrite::{Routines, any, arranged_call};
pub use routine::{Routine, Shape, field_of, shape_of};
pub use run::Within;
pub use trigger::{Event, Fire, Triggers};
pub use variables::{Field, Row, Value, cast, rows_of};

use super::StatementContext;
use super::names::{Planning, Relation};
use crate::error::Result;
use crate::history::{Catalog, RoutineDef};
use crate::sql::Statement;
use crate::types::Volatility;

/// Settles the calls of users' functions in a tree. `subqueries` says whether a query may stand there.
pub fn rewrite_calls(planning: &Planning, node: &mut impl VisitMut, subqueries: bool) -> Result<()> {
    if !any(&planning.ctx) {
        return Ok(());
    }
    let catalog = Arc::clone(&planning.ctx.transaction.lock().catalog);
    let state = &planning.state;
    let own = |name: &str| {
        state.scalar_functions().contains_key(name)
            || state.aggregate_functions().contains_key(name)
            || state.window_functions().contains_key(name)
            || state.table_functions().contains_key(name)
            || super::set_returning::columns_of(name).is_some()
    };
    let aggregates = |name: &str| state.aggregate_functions().contains_key(name);
    let columns = |schema: Option<&str>, name: &str| match planning.relation(schema, name).ok()? {
        Relation::Table(def) => Some(def.live_columns().map(|c| c.name.clone()).collect()),
        Relation::View(def) => Some(def.columns.iter().map(|(name, _)| name.clone()).collect()),
        _ => None,
    };
    let routines = Routines {
        catalog: &catalog,
        path: &planning.ctx.search_path,
        own: &own,
        columns: &columns,
        aggregates: &aggregates,
        subqueries,
    };
    rewrite::rewrite(&routines, node)
}

/// The planner's function for a name that [`rewrite_calls`] made.
pub fn function(ctx: &StatementContext, name: &str) -> Option<Arc<ScalarUDF>> {
    if !name.starts_with('\u{1}') {
        return None;
    }
    let catalog = Arc::clone(&ctx.transaction.lock().catalog);
    call::function(name, Names { catalog: &catalog, path: &ctx.search_path })
}

/// Whether a query calls, by name, a routine that may write: itself, or in a view that it reads.
pub fn may_write(catalog: &Catalog, statement: &Statement) -> bool {
    let Statement::Query(query) = statement else { return false };
    let volatile = |def: &&Arc<RoutineDef>| def.volatility == Volatility::Volatile;
    let routines: Vec<&str> = catalog.routines.values().filter(volatile).map(|def| def.name.name.as_str()).collect();
    if routines.is_empty() {
        return false;
    }
    let in_views = catalog.queries().any(|view| routines.iter().any(|name| view.query.contains(name)));
    query.visit(&mut Calls { routines, catalog, in_views }).is_break()
}

/// Looks for calls of these.
struct Calls<'a> {
    routines: Vec<&'a str>,
    catalog: &'a Catalog,
    /// Some view may call one.
    in_views: bool,
}

impl Calls<'_> {
    fn is_one(&self, name: &ObjectName) -> bool {
        super::expand::split(name).is_some_and(|(_, name)| self.routines.contains(&name.as_str()))
    }

    fn is_view(&self, name: &ObjectName) -> bool {
        let views = || self.catalog.views.keys();
        self.in_views && super::expand::split(name).is_some_and(|(_, name)| views().any(|view| view.name == name))
    }
}

impl Visitor for Calls<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if self.is_one(&function.name) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let found = match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => self.is_one(name),
            TableFactor::Table { name, args: None, .. } => self.is_view(name),
            _ => false,
        };
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

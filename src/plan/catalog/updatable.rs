//! Views that can be written through: which column of which table each of their columns is. The rules are those of
//! PostgreSQL's automatically updatable views, for views over one table.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use datafusion::sql::sqlparser::ast::{self, Expr, GroupByExpr, SelectItem, SetExpr, TableFactor};

use super::spec;
use crate::history::{Catalog, TableDef, ViewDef};
use crate::sql::Statement;
use crate::types::Qualified;

/// A view over some rows and columns of one table.
#[derive(Clone, Debug)]
pub struct UpdatableView {
    pub view: Arc<ViewDef>,
    pub table: Arc<TableDef>,
    /// What the view's query calls the table.
    pub alias: String,
    /// The view's columns in order.
    pub columns: Vec<ViewColumn>,
    /// Which rows it shows.
    pub predicate: Option<Expr>,
}

#[derive(Clone, Debug)]
pub struct ViewColumn {
    pub name: String,
    /// Over the table under the query's name for it.
    pub value: Expr,
    /// The table's column that it is; `None` for what is computed and can only be read.
    pub base: Option<String>,
}

/// How a view can be written through, or why not, as PostgreSQL says it.
pub fn updatable(catalog: &Catalog, view: &Arc<ViewDef>) -> Result<UpdatableView, &'static str> {
    const SINGLE: &str = "Views that do not select from a single table or view are not automatically updatable.";
    let parsed = crate::sql::parse(&view.query).ok().and_then(|mut parsed| parsed.pop()).map(|parsed| parsed.statement);
    let Some(Statement::Query(query)) = parsed.filter(|_| view.bound) else { return Err(SINGLE) };
    let select = plain_select(&query)?;
    let [from] = select.from.as_slice() else { return Err(SINGLE) };
    let TableFactor::Table { name, alias: Some(alias), args: None, version: None, sample: None, .. } = &from.relation else {
        return Err(SINGLE);
    };
    let names: Vec<&str> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect();
    let [schema, relation] = names[..] else { return Err(SINGLE) };
    let table = catalog.tables.get(&Qualified::new(schema, relation)).filter(|table| table.materialized.is_none());
    let Some(table) = table.filter(|_| from.joins.is_empty() && alias.columns.is_empty()) else { return Err(SINGLE) };
    let alias = alias.name.value.clone();
    let mut columns: Vec<ViewColumn> = Vec::with_capacity(view.columns.len());
    for ((name, _), item) in view.columns.iter().zip(&select.projection) {
        let (SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) = item else { return Err(SINGLE) };
        refuse_special(value)?;
        let base = base_column(value, &alias, table);
        // The same column twice: only the first can be written.
        let taken = base.is_some() && columns.iter().any(|column| column.base == base);
        columns.push(ViewColumn { name: name.clone(), value: value.clone(), base: base.filter(|_| !taken) });
    }
    if columns.len() != view.columns.len() {
        return Err(SINGLE);
    }
    if columns.iter().all(|column| column.base.is_none()) {
        return Err("Views that have no updatable columns are not automatically updatable.");
    }
    let predicate = select.selection.clone();
    Ok(UpdatableView { view: Arc::clone(view), table: Arc::clone(table), alias, columns, predicate })
}

impl UpdatableView {
    pub fn column(&self, name: &str) -> Option<&ViewColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

fn plain_select(query: &ast::Query) -> Result<&ast::Select, &'static str> {
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { .. } => {
            return Err("Views containing UNION, INTERSECT, or EXCEPT are not automatically updatable.");
        }
        _ => return Err("Views that do not select from a single table or view are not automatically updatable."),
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let refusals = [
        (query.with.is_some(), "Views containing WITH are not automatically updatable."),
        (
            query.limit_clause.is_some() || query.fetch.is_some(),
            "Views containing LIMIT or OFFSET are not automatically updatable.",
        ),
        (select.distinct.is_some(), "Views containing DISTINCT are not automatically updatable."),
        (grouped, "Views containing GROUP BY are not automatically updatable."),
        (select.having.is_some(), "Views containing HAVING are not automatically updatable."),
    ];
    match refusals.into_iter().find(|(refused, _)| *refused) {
        Some((_, reason)) => Err(reason),
        None => Ok(select),
    }
}

/// The table's column that an expression is, and nothing else.
fn base_column(value: &Expr, alias: &str, table: &TableDef) -> Option<String> {
    let Expr::CompoundIdentifier(parts) = value else { return None };
    let [qualifier, column] = parts.as_slice() else { return None };
    let is_own = qualifier.value == alias && table.column(&column.value).is_some();
    is_own.then(|| column.value.clone())
}

struct Special {
    aggregates: HashSet<&'static str>,
    set_returning: HashSet<&'static str>,
}

static SPECIAL: LazyLock<Special> = LazyLock::new(|| {
    let mut special = Special { aggregates: HashSet::new(), set_returning: HashSet::new() };
    for line in spec::fixed_text("pg_proc").lines() {
        let fields: Vec<&'static str> = line.split('\t').collect();
        let (Some(name), Some(kind), Some(set)) = (fields.get(1), fields.get(8), fields.get(12)) else { continue };
        if *kind == "a" {
            special.aggregates.insert(name);
        } else if *set == "t" {
            special.set_returning.insert(name);
        }
    }
    special
});

fn refuse_special(value: &Expr) -> Result<(), &'static str> {
    let found = ast::visit_expressions(value, |expr| {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let name =
            call.name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()).unwrap_or_default();
        if call.over.is_some() {
            return ControlFlow::Break("Views that return window functions are not automatically updatable.");
        }
        if SPECIAL.aggregates.contains(name.as_str()) {
            return ControlFlow::Break("Views that return aggregate functions are not automatically updatable.");
        }
        if SPECIAL.set_returning.contains(name.as_str()) {
            return ControlFlow::Break("Views that return set-returning functions are not automatically updatable.");
        }
        ControlFlow::Continue(())
    });
    match found {
        ControlFlow::Break(reason) => Err(reason),
        ControlFlow::Continue(()) => Ok(()),
    }
}

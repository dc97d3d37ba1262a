//! Views' definitions: their text as it is kept and as it is shown, and the relations that it names.
//!
//! What is kept names relations and columns in full, so that neither a search path nor a new name of what it reads
//! changes what a view means ([`bound`], [`renamed_relations`], [`renamed_column`]). What is shown is laid out as
//! PostgreSQL does ([`definition`]).

mod bind;
mod scope;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, ObjectName, TableFactor, VisitMut, VisitorMut};

use self::bind::{Binder, Purpose, Relations};
use self::scope::Output;
use super::deparse::{self, Style, typing::UNKNOWN};
use super::objects::Relation;
use super::state::Catalogue;
use crate::history::{TableDef, ViewDef, is_temporary_schema};
use crate::plan::columns::SystemColumn;
use crate::plan::expand::{quoted, split};
use crate::sql::Statement;
use crate::types::{PgType, Qualified};

/// The relations that a view's query names, each once.
pub fn relations(state: &Catalogue, view: &ViewDef) -> Vec<Relation> {
    let Some(query) = parsed(&view.query) else { return Vec::new() };
    let mut found: Vec<Relation> = Vec::new();
    let _: ControlFlow<()> = ast::visit_relations(&query, |name| {
        let relation = split(name).and_then(|(schema, name)| {
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

/// The query of a view, as `pg_get_viewdef` gives it to who finds relations along the path.
pub fn definition(state: &Catalogue, path: &[String], view: &ViewDef, style: Style) -> String {
    laid_out(state, path, view, style).unwrap_or_else(|| format!(" {};", view.query.trim().trim_end_matches(';')))
}

fn laid_out(state: &Catalogue, path: &[String], view: &ViewDef, style: Style) -> Option<String> {
    let mut query = parsed(&view.query)?;
    let own_path: Vec<String> = std::iter::once(view.name.schema.clone()).chain(path.iter().cloned()).collect();
    // What was kept in full needs no path, what was kept as written has that of the view.
    let known = Known { state, path: if view.bound { path } else { &own_path } };
    let columns: Vec<String> = view.columns.iter().map(|(name, _)| name.clone()).collect();
    Binder { relations: &known, purpose: Purpose::Show, renamed: None }.view(&mut query, &columns)?;
    let visible = |schema: &str, name: &str| is_visible(state, path, schema, name);
    deparse::definition(&query, style, &visible)
}

/// Whether a name without its schema leads to the one in this schema.
pub fn is_visible(state: &Catalogue, path: &[String], schema: &str, name: &str) -> bool {
    match state.relation_named(path, name) {
        Some(relation) => relation.name().schema == schema,
        None => path.iter().any(|in_path| in_path == schema),
    }
}

/// The text to keep for a view over this query with result columns of these names; `None` for a query that is to be
/// kept as it was written.
pub fn bound(state: &Catalogue, path: &[String], query: &ast::Query, columns: &[String]) -> Option<String> {
    let mut query = query.clone();
    Binder { relations: &Known { state, path }, purpose: Purpose::Store, renamed: None }.view(&mut query, columns)?;
    Some(query.to_string())
}

/// The kept text of a view when relations get new names.
pub fn renamed_relations(view: &ViewDef, new_name: &dyn Fn(&Qualified) -> Option<Qualified>) -> Option<String> {
    struct Renaming<'a>(&'a dyn Fn(&Qualified) -> Option<Qualified>);
    impl VisitorMut for Renaming<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            let version = match factor {
                TableFactor::Table { name, version, .. } => {
                    self.rename(name);
                    version.as_mut()
                }
                TableFactor::Function { name, .. } => {
                    self.rename(name);
                    None
                }
                _ => None,
            };
            if let Some(clause) = version {
                match crate::sql::temporal::spelled(clause) {
                    Some(spelled) => *clause = spelled,
                    None => return ControlFlow::Break(()),
                }
            }
            ControlFlow::Continue(())
        }
    }
    impl Renaming<'_> {
        fn rename(&self, name: &mut ObjectName) {
            if let Some((Some(schema), relation)) = split(name)
                && let Some(new) = (self.0)(&Qualified::new(schema, relation))
            {
                *name = ObjectName::from(vec![quoted(&new.schema), quoted(&new.name)]);
            }
        }
    }
    if !view.bound {
        return None;
    }
    let mut query = parsed(&view.query)?;
    query.visit(&mut Renaming(new_name)).is_continue().then(|| query.to_string())
}

/// The kept text of a view when a column of a table gets a new name: the view's own columns keep theirs. `None` where
/// the name cannot go without changing what the view means.
pub fn renamed_column(state: &Catalogue, view: &ViewDef, table: &Qualified, from: &str, to: &str) -> Option<String> {
    if !view.bound {
        return None;
    }
    let mut query = parsed(&view.query)?;
    let columns: Vec<String> = view.columns.iter().map(|(name, _)| name.clone()).collect();
    let relations = Known { state, path: &[] };
    Binder { relations: &relations, purpose: Purpose::Store, renamed: Some((table, from, to)) }.view(&mut query, &columns)?;
    Some(query.to_string())
}

fn parsed(text: &str) -> Option<ast::Query> {
    match crate::sql::parse(text).ok()?.pop()?.statement {
        Statement::Query(query) => Some(*query),
        _ => None,
    }
}

/// Ends of names that a table lends to relations of its past.
const PAST: &[&str] = &["__history", "__changes"];
const PAST_CALLS: &[&str] = &["__as_of", "__between", "__from_to", "__diff"];

/// The name that a relation of a table's past has once the table is called otherwise, and the table's own name too.
pub fn follows(name: &Qualified, from: &Qualified, to: &Qualified) -> Option<Qualified> {
    if name.schema != from.schema {
        return None;
    }
    let rest = name.name.strip_prefix(from.name.as_str())?;
    let known = rest.is_empty() || PAST.contains(&rest) || PAST_CALLS.contains(&rest);
    known.then(|| Qualified::new(to.schema.as_str(), format!("{}{rest}", to.name)))
}

/// Relations of a catalogue along a path.
struct Known<'a> {
    state: &'a Catalogue,
    path: &'a [String],
}

impl Known<'_> {
    fn find(&self, schema: Option<&str>, name: &str) -> Option<Relation> {
        match schema {
            Some(schema) => self.state.relation_named(&[schema.to_owned()], name),
            None => self.state.relation_named(self.path, name),
        }
    }

    /// The table that a name ending in one of these belongs to.
    fn base(&self, schema: Option<&str>, name: &str, ends: &[&str]) -> Option<(Qualified, std::sync::Arc<TableDef>)> {
        let base = ends.iter().find_map(|end| name.strip_suffix(end))?;
        match self.find(schema, base)? {
            Relation::Table(table) => Some((Qualified::new(table.name.schema.as_str(), name), table)),
            _ => None,
        }
    }
}

fn output(name: impl Into<String>, ty: PgType) -> Output {
    Output { name: name.into(), ty }
}

fn past_columns(table: &TableDef) -> Vec<Output> {
    table.union_columns().into_iter().map(|column| output(column.name, column.ty)).collect()
}

fn with_system(mut columns: Vec<Output>) -> Vec<Output> {
    columns.extend(SystemColumn::SHOWN.into_iter().map(|column| output(column.name(), UNKNOWN)));
    columns
}

impl Relations for Known<'_> {
    fn relation(&self, schema: Option<&str>, name: &str, past: bool) -> Option<(Qualified, Vec<Output>)> {
        let Some(relation) = self.find(schema, name) else {
            let (full, table) = self.base(schema, name, PAST)?;
            let history = name.ends_with("__history");
            return Some((full, if history { with_system(past_columns(&table)) } else { Vec::new() }));
        };
        let columns = match &relation {
            Relation::Table(table) if past => past_columns(table),
            Relation::Table(table) => table.live_columns().map(|column| output(&column.name, column.ty)).collect(),
            Relation::View(view) => view.columns.iter().map(|(name, ty)| output(name, *ty)).collect(),
            Relation::System(spec) => spec.columns.iter().map(|column| output(column.name, column.ty)).collect(),
            Relation::Ours(table) => table.columns().iter().map(|(name, _)| output(*name, UNKNOWN)).collect(),
            Relation::Sequence(_) => {
                let long = |name: &str| output(name, PgType::INT8);
                vec![long("last_value"), long("log_cnt"), output("is_called", PgType::BOOL)]
            }
            Relation::Index(..) => return None,
        };
        Some((relation.name(), columns))
    }

    fn past_of(&self, schema: Option<&str>, name: &str) -> Option<(Qualified, Vec<Output>)> {
        let (full, table) = self.base(schema, name, PAST_CALLS)?;
        let columns = if name.ends_with("__diff") { Vec::new() } else { past_columns(&table) };
        Some((full, columns))
    }

    fn function(&self, schema: Option<&str>, name: &str) -> Option<Qualified> {
        if schema.is_none() && super::names::FUNCTIONS.has(name) {
            return None;
        }
        let path: Vec<String> = self.path.iter().filter(|schema| !is_temporary_schema(schema)).cloned().collect();
        super::routine::named(self.state, &path, schema, name).first().map(|def| def.name.clone())
    }

    fn own_type(&self, schema: Option<&str>, name: &str) -> Option<(Qualified, Option<PgType>)> {
        let found = self.state.catalog.type_named(self.path, schema, name)?;
        let ty = found.def.domain().is_none().then(|| found.def.ty());
        Some((found.def.name.clone(), ty.filter(|_| !found.array)))
    }
}

//! WITH queries that write: taken out of the statement that they stand before, each a statement of its own.
//!
//! What they return is a relation of the schema [`RETURNED`] to whatever may name them. Only a WITH at the top of a
//! statement may have them; anywhere else they are left for the statement's checks to refuse.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, SetExpr, Statement as Ast, TableFactor, Visit, Visitor};

use super::lex::{self, Slice};
use crate::error::{Result, SqlError, SqlState};

/// The schema of relations that hold what a statement's own WITH queries have returned: no name that anybody would give.
pub const RETURNED: &str = "(returned)";

/// One of them.
pub struct Taken {
    pub name: String,
    /// As a query, with the WITH queries that it may name.
    pub query: ast::Query,
}

/// Takes them out; the rest reads what they return. 0A000 for a name without RETURNING that is read, and for MERGE.
pub fn take(statement: &mut Ast, slice: Slice<'_>) -> Result<Vec<Taken>> {
    let Ast::Query(query) = statement else { return Ok(Vec::new()) };
    let Some(with) = query.with.as_mut() else { return Ok(Vec::new()) };
    if !with.cte_tables.iter().any(|cte| writes(&cte.query)) {
        return Ok(Vec::new());
    }
    let mut taken = Vec::new();
    let mut silent: Vec<String> = Vec::new();
    let mut readable: Vec<ast::Cte> = Vec::with_capacity(with.cte_tables.len());
    for mut cte in std::mem::take(&mut with.cte_tables) {
        let name = folded(&cte.alias.name);
        let position = slice.position_of(cte.alias.name.span.start);
        let at = |error: SqlError| position.map_or(error.clone(), |position| error.at(position));
        refuse_silent(&silent, cte.query.as_ref()).map_err(at)?;
        if !writes(&cte.query) {
            readable.push(cte);
            continue;
        }
        if matches!(*cte.query.body, SetExpr::Merge(_)) {
            return Err(at(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "MERGE not supported in WITH query")));
        }
        if with.recursive && names(cte.query.as_ref(), &name) {
            let message = format!("recursive query \"{name}\" must not contain data-modifying statements");
            return Err(at(SqlError::new(SqlState::INVALID_RECURSION, message)));
        }
        if let Some(reader) = readable.iter().find(|reader| names(reader.query.as_ref(), &name)) {
            let message =
                format!("WITH query \"{}\" reads a relation called \"{name}\" like a later one that writes", reader.alias.name);
            return Err(at(SqlError::unsupported(message, "Rename one of them.")));
        }
        let returns = has_returning(&cte.query.body);
        let reads = select_all(&name)?;
        let mut written = std::mem::replace(&mut cte.query, reads);
        add_queries(&mut written, &with.with_token, with.recursive, readable.clone());
        taken.push(Taken { name: name.clone(), query: *written });
        match returns {
            true => readable.push(cte),
            false => silent.push(name),
        }
    }
    with.cte_tables = readable;
    if with.cte_tables.is_empty() {
        query.with = None;
    }
    refuse_silent(&silent, query.as_ref()).map_err(|error| error.at(slice.position(0)))?;
    Ok(taken)
}

fn writes(query: &ast::Query) -> bool {
    matches!(*query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_))
}

fn has_returning(body: &SetExpr) -> bool {
    match body {
        SetExpr::Insert(Ast::Insert(insert)) => insert.returning.is_some(),
        SetExpr::Update(Ast::Update(update)) => update.returning.is_some(),
        SetExpr::Delete(Ast::Delete(delete)) => delete.returning.is_some(),
        _ => false,
    }
}

/// Puts WITH queries before those that the query has itself.
fn add_queries(
    query: &mut ast::Query,
    token: &ast::helpers::attached_token::AttachedToken,
    recursive: bool,
    before: Vec<ast::Cte>,
) {
    if before.is_empty() {
        return;
    }
    match &mut query.with {
        None => query.with = Some(ast::With { with_token: token.clone(), recursive, cte_tables: before }),
        Some(own) => {
            own.recursive |= recursive;
            let inner = std::mem::take(&mut own.cte_tables);
            own.cte_tables = before.into_iter().chain(inner).collect();
        }
    }
}

fn refuse_silent<T: Visit>(silent: &[String], tree: &T) -> Result<()> {
    match silent.iter().find(|name| names(tree, name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("WITH query \"{name}\" does not have a RETURNING clause");
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message))
        }
    }
}

/// Whether a relation without a schema is called so anywhere in the tree; the target of a write is none that is read.
fn names<T: Visit>(tree: &T, name: &str) -> bool {
    tree.visit(&mut Names { name }).is_break()
}

struct Names<'a> {
    name: &'a str,
}

impl Visitor for Names<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, .. } => match &name.0[..] {
                [part] if part.as_ident().is_some_and(|ident| folded(ident) == self.name) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

/// `SELECT *` of what the WITH query of this name has returned.
fn select_all(name: &str) -> Result<Box<ast::Query>> {
    let text = format!("SELECT * FROM \"{RETURNED}\".\"{}\"", name.replace('"', "\"\""));
    let lexed = lex::lex(&text)?;
    let parsed = lex::parser(lexed.lexemes.into_iter().map(|l| l.token).collect()).parse_query();
    parsed.map_err(|_| SqlError::internal("SELECT * does not parse"))
}

fn folded(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

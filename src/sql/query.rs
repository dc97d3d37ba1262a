//! SELECT, VALUES, INSERT, UPDATE and DELETE: parsed by sqlparser from tokens without time-travel clauses,
//! checked for what would otherwise be dropped in silence, and rewritten where two dialects differ in form only.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, SetExpr, Statement as Ast, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::cursor::{is_keyword, is_reserved_name};
use super::lex::{self, Slice};
use super::statement::{CreateTableAs, Ddl, Name, Statement, WithWrite};
use super::{compat, element_assignments, hoist, inference, locking, merge, temporal, token_forms, writes};
use crate::error::{Result, SqlError, SqlState};
use crate::types::{OnCommit, Qualified};

/// Parses one query or data-modifying statement.
pub fn parse(slice: Slice<'_>) -> Result<Statement> {
    let mut canonical = temporal::canonicalise(slice)?;
    merge::spell(&mut canonical.tokens);
    let overriding = take_overriding(&mut canonical.tokens, slice)?;
    locking::without_keys(&mut canonical.tokens);
    locking::behind_limits(&mut canonical.tokens);
    let tokens = plain_quantified_operators(std::mem::take(&mut canonical.tokens));
    let mut parser =
        lex::parser(token_forms::rewritten(element_assignments::rewritten(inference::named(trimmed_spaces(tokens)))));
    let mut statement = parser.parse_statement().map_err(|e| slice.parse_error(&e))?;
    let next = parser.peek_token_ref();
    if next.token != Token::EOF {
        let at = next.span.start;
        return Err(slice.parse_error(&ParserError::ParserError(format!("unexpected token{at}"))));
    }
    temporal::place(&canonical, &mut statement, slice)?;
    temporal::name_pseudocolumns(&mut statement, slice)?;
    let into = take_into(&mut statement)?;
    let written = writes::take(&mut statement, slice)?;
    if !written.is_empty() {
        if overriding || into.is_some() {
            let hint = "Run the statements one after the other in one transaction.";
            let what = if overriding { "OVERRIDING SYSTEM VALUE" } else { "SELECT INTO" };
            let message = format!("{what} beside data-modifying statements in WITH is not supported");
            return Err(SqlError::unsupported(message, hint).at(slice.position(0)));
        }
        return with_writes(written, statement, slice);
    }
    let mut statement = checked(statement, slice)?;
    if let (Some(name), Statement::Query(query)) = (&into, &statement) {
        let (name, query) = (name.clone(), query.clone());
        let create = CreateTableAs {
            name,
            if_not_exists: false,
            columns: Vec::new(),
            query,
            with_data: true,
            on_commit: OnCommit::default(),
        };
        return Ok(Statement::Ddl(Box::new(Ddl::CreateTableAs(create))));
    }
    if let Statement::Insert(insert) = &mut statement {
        // A field that no dialect of ours sets otherwise; `plan` reads it so.
        insert.overwrite = overriding;
    } else if overriding {
        return Err(slice.syntax(0));
    }
    Ok(statement)
}

/// A statement whose form is settled.
fn checked(mut statement: Ast, slice: Slice<'_>) -> Result<Statement> {
    let locks = matches!(statement, Ast::Query(_));
    if let ControlFlow::Break(error) = statement.visit(&mut Refusals { slice, depth: 0, locks }) {
        return Err(error.at(slice.position(0)));
    }
    compat::rewrite(&mut statement);
    classify(statement, slice)
}

fn with_writes(written: Vec<writes::Taken>, main: Ast, slice: Slice<'_>) -> Result<Statement> {
    let writes = written.into_iter().map(|taken| {
        let statement = checked(Ast::Query(Box::new(taken.query)), slice)?;
        Ok(WithWrite { name: taken.name, statement })
    });
    let writes = writes.collect::<Result<Vec<_>>>()?;
    let main = checked(main, slice)?;
    if matches!(&main, Statement::Query(query) if !query.locks.is_empty()) {
        return Err(locks_refused().at(slice.position(0)));
    }
    Ok(Statement::With { writes, main: Box::new(main) })
}

/// `OPERATOR(pg_catalog.=) ANY` as `= ANY`: the parser takes only an operator's sign before a quantifier.
fn plain_quantified_operators(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|t| is_keyword(&t.token, "OPERATOR")) {
        return tokens;
    }
    let mut plain = Vec::with_capacity(tokens.len());
    let mut rest = &tokens[..];
    while let Some((first, tail)) = rest.split_first() {
        let qualified = |t: &[TokenWithSpan]| is_keyword(&t[0].token, "pg_catalog") && t[1].token == Token::Period;
        let (sign, after) = match tail {
            [open, inner @ ..] if is_keyword(&first.token, "OPERATOR") && open.token == Token::LParen => {
                let inner = if inner.len() > 2 && qualified(inner) { &inner[2..] } else { inner };
                match inner {
                    [sign, close, after @ ..] if close.token == Token::RParen => (sign, after),
                    _ => (first, tail),
                }
            }
            _ => (first, tail),
        };
        let quantified = after.first().is_some_and(|t| ["ANY", "ALL", "SOME"].iter().any(|q| is_keyword(&t.token, q)));
        plain.push(if quantified { sign.clone() } else { first.clone() });
        rest = if quantified { after } else { tail };
    }
    plain
}

/// `TRIM(TRAILING FROM x)` as `TRIM(TRAILING ' ' FROM x)`: the parser wants to be told what is trimmed.
fn trimmed_spaces(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const SIDES: [&str; 3] = ["BOTH", "LEADING", "TRAILING"];
    let mut told = Vec::with_capacity(tokens.len());
    for token in tokens {
        let untold = is_keyword(&token.token, "FROM")
            && matches!(&told[..], [.., trim, open, side]
                if is_trim(trim, open) && SIDES.iter().any(|s| is_keyword(&side.token, s)));
        if untold {
            let space = Token::SingleQuotedString(" ".to_owned());
            told.push(TokenWithSpan { token: space, span: token.span });
        }
        told.push(token);
    }
    told
}

fn is_trim(word: &TokenWithSpan, open: &TokenWithSpan) -> bool {
    is_keyword(&word.token, "TRIM") && open.token == Token::LParen
}

/// Takes OVERRIDING SYSTEM VALUE, for which the parser has no word, out of the tokens of an INSERT; whether it was
/// there. OVERRIDING USER VALUE is 0A000: to drop what a statement gives is better said by not giving it.
fn take_overriding(tokens: &mut Vec<TokenWithSpan>, slice: Slice<'_>) -> Result<bool> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|t| is_keyword(&t.token, word));
    let found =
        (0..tokens.len()).find(|i| is(*i, "OVERRIDING") && (is(i + 1, "SYSTEM") || is(i + 1, "USER")) && is(i + 2, "VALUE"));
    let Some(at) = found.filter(|at| (0..*at).any(|i| is(i, "INSERT"))) else { return Ok(false) };
    if is(at + 1, "USER") {
        let error = SqlError::unsupported(
            "OVERRIDING USER VALUE is not supported",
            "Leave the identity column out of the list of columns, or give DEFAULT.",
        );
        let position = tokens.get(at).and_then(|t| slice.position_of(t.span.start));
        return Err(position.map_or(error.clone(), |position| error.at(position)));
    }
    tokens.drain(at..at + 3);
    Ok(true)
}

/// Takes the table's name out of SELECT … INTO; a further INTO is left to be refused.
fn take_into(statement: &mut Ast) -> Result<Option<Name>> {
    let Ast::Query(query) = statement else { return Ok(None) };
    let SetExpr::Select(select) = query.body.as_mut() else { return Ok(None) };
    let Some(into) = &select.into else { return Ok(None) };
    let parts: Option<Vec<String>> = into.name.0.iter().map(|part| part.as_ident().map(folded)).collect();
    let mut name = match parts.as_deref() {
        Some([name]) => Name { schema: None, name: name.clone() },
        Some([schema, name]) => Name::qualified(schema.clone(), name.clone()),
        _ => return Ok(None),
    };
    if !query.locks.is_empty() {
        return Ok(None);
    }
    if into.temporary {
        name.temporary()?;
    }
    select.into = None;
    Ok(Some(name))
}

pub(super) fn folded(ident: &ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

/// `INSERT INTO table query`.
pub fn insert_from(table: &Qualified, query: Box<ast::Query>) -> Result<Box<ast::Insert>> {
    let broken = || SqlError::internal("an INSERT does not parse");
    let Some(Statement::Insert(mut insert)) = super::parse("INSERT INTO x SELECT 1")?.pop().map(|p| p.statement) else {
        return Err(broken());
    };
    let quoted = |name: &str| ast::Ident::with_quote('"', name);
    let name = ast::ObjectName::from(vec![quoted(&table.schema), quoted(&table.name)]);
    insert.table = ast::TableObject::TableName(name);
    insert.source = Some(query);
    Ok(insert)
}

/// Parses a query alone, for COPY (…), CREATE VIEW and the like.
pub fn parse_query(slice: Slice<'_>) -> Result<Box<ast::Query>> {
    match parse(slice)? {
        Statement::Query(query) if query.locks.is_empty() => Ok(query),
        Statement::Query(_) => Err(locks_refused().at(slice.position(0))),
        Statement::With { .. } => Err(SqlError::unsupported(
            "a query within another statement must not contain data-modifying statements in WITH",
            "Run it as a statement of its own.",
        )
        .at(slice.position(0))),
        _ => Err(slice.syntax(0)),
    }
}

fn locks_refused() -> SqlError {
    SqlError::unsupported(
        "FOR UPDATE and FOR SHARE within another statement are not supported",
        "Lock the rows with a SELECT … FOR UPDATE of its own.",
    )
}

fn classify(statement: Ast, slice: Slice<'_>) -> Result<Statement> {
    match statement {
        Ast::Query(query) => query_or_write(*query, slice),
        Ast::Insert(insert) => insert_statement(insert, None, slice),
        Ast::Update(update) => update_statement(update, slice),
        Ast::Delete(delete) => delete_statement(delete, slice),
        Ast::Merge(merge) => merge::statement(merge, slice),
        _ => Err(slice.syntax(0)),
    }
}

/// A query, or a write that stands behind WITH.
fn query_or_write(mut query: ast::Query, slice: Slice<'_>) -> Result<Statement> {
    if !matches!(*query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)) {
        return Ok(Statement::Query(Box::new(query)));
    }
    let with = query.with.take();
    match *query.body {
        SetExpr::Insert(Ast::Insert(insert)) => insert_statement(insert, with, slice),
        SetExpr::Update(Ast::Update(mut update)) => {
            if let Some(with) = with {
                hoist::into_references(&with, &mut update).map_err(|e| e.at(slice.position(0)))?;
            }
            update_statement(update, slice)
        }
        SetExpr::Delete(Ast::Delete(mut delete)) => {
            if let Some(with) = with {
                hoist::into_references(&with, &mut delete).map_err(|e| e.at(slice.position(0)))?;
            }
            delete_statement(delete, slice)
        }
        SetExpr::Merge(Ast::Merge(mut merge)) => {
            if let Some(with) = with {
                if with.recursive {
                    let message = "WITH RECURSIVE is not supported for MERGE statement";
                    return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(slice.position(0)));
                }
                hoist::into_references(&with, &mut merge).map_err(|e| e.at(slice.position(0)))?;
            }
            merge::statement(merge, slice)
        }
        _ => Err(slice.syntax(0)),
    }
}

fn insert_statement(mut insert: ast::Insert, with: Option<ast::With>, slice: Slice<'_>) -> Result<Statement> {
    let foreign = insert.or.is_some()
        || insert.ignore
        || !insert.into
        || insert.overwrite
        || insert.has_table_keyword
        || insert.replace_into
        || insert.priority.is_some()
        || insert.insert_alias.is_some()
        || insert.settings.is_some()
        || insert.format_clause.is_some()
        || insert.output.is_some()
        || insert.partitioned.is_some()
        || insert.multi_table_insert_type.is_some()
        || !insert.after_columns.is_empty()
        || !insert.assignments.is_empty()
        || !matches!(insert.table, ast::TableObject::TableName(_))
        || matches!(insert.on, Some(ast::OnInsert::DuplicateKeyUpdate(_)));
    if foreign {
        return Err(slice.syntax(0));
    }
    if let Some(with) = with {
        hoist::into_source(&mut insert, with).map_err(|e| e.at(slice.position(0)))?;
    }
    Ok(Statement::Insert(Box::new(insert)))
}

fn update_statement(update: ast::Update, slice: Slice<'_>) -> Result<Statement> {
    let foreign = update.or.is_some()
        || update.output.is_some()
        || update.limit.is_some()
        || !update.order_by.is_empty()
        || !update.table.joins.is_empty()
        || matches!(update.from, Some(ast::UpdateTableFromKind::BeforeSet(_)))
        || !is_plain_target(&update.table.relation);
    if foreign {
        return Err(slice.syntax(0));
    }
    Ok(Statement::Update(Box::new(update)))
}

fn delete_statement(delete: ast::Delete, slice: Slice<'_>) -> Result<Statement> {
    let plain = match &delete.from {
        ast::FromTable::WithFromKeyword(from) => match &from[..] {
            [table] => table.joins.is_empty() && is_plain_target(&table.relation),
            _ => false,
        },
        ast::FromTable::WithoutKeyword(_) => false,
    };
    let foreign = !delete.tables.is_empty() || delete.output.is_some() || delete.limit.is_some() || !delete.order_by.is_empty();
    if !plain || foreign {
        return Err(slice.syntax(0));
    }
    Ok(Statement::Delete(Box::new(delete)))
}

/// A table by its name, with at most an alias: in particular without a time.
fn is_plain_target(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Table { args: None, version: None, .. })
}

/// Refuses what the planner would drop without a word.
struct Refusals<'a> {
    slice: Slice<'a>,
    /// Queries around the present node, itself included.
    depth: usize,
    /// Whether the outermost query may lock rows.
    locks: bool,
}

impl Visitor for Refusals<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        match refused_query(query, self.depth, self.locks && self.depth == 1) {
            Some(error) => ControlFlow::Break(error),
            None => ControlFlow::Continue(()),
        }
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<SqlError> {
        match reserved_name(relation).and_then(|at| self.slice.index_of(at)) {
            Some(index) => ControlFlow::Break(self.slice.syntax(index)),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<SqlError> {
        match &select.into {
            Some(_) => ControlFlow::Break(SqlError::unsupported("SELECT INTO is not supported here", "Use CREATE TABLE … AS.")),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        match refused_factor(factor) {
            Some(error) => ControlFlow::Break(error),
            None => ControlFlow::Continue(()),
        }
    }
}

/// Where a relation is called by a word that begins a clause, which the parser lets pass.
fn reserved_name(relation: &ast::ObjectName) -> Option<Location> {
    const CALLABLE: &[&str] = &["current_", "session_user", "user", "localtime"];
    let [part] = &relation.0[..] else { return None };
    let ident = part.as_ident().filter(|ident| ident.quote_style.is_none())?;
    let name = ident.value.to_ascii_lowercase();
    let reserved = is_reserved_name(&name) && !CALLABLE.iter().any(|c| name.starts_with(c));
    reserved.then_some(ident.span.start)
}

fn refused_query(query: &ast::Query, depth: usize, locks: bool) -> Option<SqlError> {
    if !query.locks.is_empty() && !locks {
        return Some(locks_refused());
    }
    if let Err(error) = locking::locked_tables(query) {
        return Some(error);
    }
    if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty()
    {
        return Some(SqlError::syntax("syntax error: not a PostgreSQL query"));
    }
    if query.fetch.as_ref().is_some_and(|fetch| fetch.with_ties || fetch.percent) {
        return Some(SqlError::unsupported("FETCH … WITH TIES is not supported", "Use rank() OVER (…) in a subquery."));
    }
    let writes = matches!(*query.body, SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_));
    (writes && depth > 1).then(|| {
        let message = "WITH clause containing a data-modifying statement must be at the top level";
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    })
}

fn refused_factor(factor: &TableFactor) -> Option<SqlError> {
    let TableFactor::Table { sample, with_hints, index_hints, partitions, json_path, .. } = factor else {
        return None;
    };
    if sample.is_some() {
        return Some(SqlError::unsupported("TABLESAMPLE is not supported", "Filter with WHERE random() < fraction."));
    }
    let foreign = !with_hints.is_empty() || !index_hints.is_empty() || !partitions.is_empty() || json_path.is_some();
    foreign.then(|| SqlError::syntax("syntax error: not a PostgreSQL table reference"))
}

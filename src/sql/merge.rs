//! MERGE: brought to plain values, its forms that the parser has no words for among them.

use datafusion::sql::sqlparser::ast::{self, MergeAction as AstAction, MergeClauseKind, MergeInsertKind, TableFactor};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::cursor::is_keyword;
use super::lex::Slice;
use super::statement::{Merge, MergeAction, MergeClause, Statement};
use crate::error::{Result, SqlError, SqlState};

/// Columns that stand for DO NOTHING, DEFAULT VALUES and OVERRIDING SYSTEM VALUE: names that nobody gives.
const NOTHING: &str = "(do nothing)";
const DEFAULTS: &str = "(default values)";
const OVERRIDING: &str = "(overriding)";

/// Writes DO NOTHING and INSERT DEFAULT VALUES of a MERGE as forms that the parser has.
pub fn spell(tokens: &mut Vec<TokenWithSpan>) {
    if !tokens.iter().any(|t| is_keyword(&t.token, "MERGE")) || !tokens.iter().any(|t| is_keyword(&t.token, "MATCHED")) {
        return;
    }
    let mut spelt: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 8);
    // Whether the WHEN clause at hand is of rows that match.
    let mut matched = true;
    let mut rest = &tokens[..];
    while let Some((first, tail)) = rest.split_first() {
        let sees = |words: &[&str]| words.iter().enumerate().all(|(n, w)| rest.get(n).is_some_and(|t| is_keyword(&t.token, w)));
        if sees(&["WHEN", "MATCHED"]) {
            matched = true;
        } else if sees(&["WHEN", "NOT", "MATCHED"]) {
            matched = false;
        }
        let span = first.span;
        let mut put = |token: Token| spelt.push(TokenWithSpan { token, span });
        if sees(&["THEN", "DO", "NOTHING"]) {
            put(first.token.clone());
            match matched {
                true => assignment(&mut put),
                false => insert(&mut put, NOTHING),
            }
            rest = rest.get(3..).unwrap_or(&[]);
            continue;
        }
        if sees(&["INSERT", "DEFAULT", "VALUES"]) {
            insert(&mut put, DEFAULTS);
            rest = rest.get(3..).unwrap_or(&[]);
            continue;
        }
        if sees(&["OVERRIDING", "SYSTEM", "VALUE"]) {
            // Behind the columns: one more, which the clause is read without.
            if let Some(close) = spelt.last().filter(|t| t.token == Token::RParen).cloned() {
                spelt.pop();
                let name = Token::Word(Word { value: OVERRIDING.to_owned(), quote_style: Some('"'), keyword: no_keyword() });
                spelt.push(TokenWithSpan { token: Token::Comma, span });
                spelt.push(TokenWithSpan { token: name, span });
                spelt.push(close);
                rest = rest.get(3..).unwrap_or(&[]);
                continue;
            }
        }
        spelt.push(first.clone());
        rest = tail;
    }
    *tokens = spelt;
}

fn no_keyword() -> datafusion::sql::sqlparser::keywords::Keyword {
    datafusion::sql::sqlparser::keywords::Keyword::NoKeyword
}

fn quoted(name: &str) -> Token {
    Token::Word(Word { value: name.to_owned(), quote_style: Some('"'), keyword: no_keyword() })
}

/// `UPDATE SET nothing = 1`.
fn assignment(put: &mut impl FnMut(Token)) {
    put(Token::make_keyword("UPDATE"));
    put(Token::make_keyword("SET"));
    put(quoted(NOTHING));
    put(Token::Eq);
    put(Token::Number("1".to_owned(), false));
}

/// `INSERT (name) VALUES (1)`.
fn insert(put: &mut impl FnMut(Token), name: &str) {
    put(Token::make_keyword("INSERT"));
    put(Token::LParen);
    put(quoted(name));
    put(Token::RParen);
    put(Token::make_keyword("VALUES"));
    put(Token::LParen);
    put(Token::Number("1".to_owned(), false));
    put(Token::RParen);
}

/// The statement, checked for forms of other dialects: those are 42601, what PostgreSQL 15 has not 0A000.
pub fn statement(merge: ast::Merge, slice: Slice<'_>) -> Result<Statement> {
    if merge.output.is_some() {
        let error = SqlError::unsupported("MERGE … RETURNING is not supported", "Read the rows with a SELECT afterwards.");
        return Err(error.at(slice.position(0)));
    }
    if !merge.into || merge.clauses.is_empty() {
        return Err(slice.syntax(0));
    }
    match &merge.table {
        TableFactor::Table { version: Some(_), .. } => {
            let error = SqlError::unsupported(
                "cannot merge into a table as of a past time",
                "The past cannot be changed; a FOR SYSTEM_TIME clause belongs to the tables that a write reads from.",
            );
            return Err(error.at(slice.position(0)));
        }
        TableFactor::Table { args: None, .. } => {}
        _ => return Err(slice.syntax(0)),
    }
    let clauses = merge.clauses.into_iter().map(|clause| read_clause(clause, slice)).collect::<Result<Vec<_>>>()?;
    refuse_unreachable(&clauses).map_err(|e| e.at(slice.position(0)))?;
    let merge = Merge { table: merge.table, source: merge.source, on: *merge.on, clauses };
    Ok(Statement::Merge(Box::new(merge)))
}

fn read_clause(clause: ast::MergeClause, slice: Slice<'_>) -> Result<MergeClause> {
    let matched = match clause.clause_kind {
        MergeClauseKind::Matched => true,
        MergeClauseKind::NotMatched => false,
        MergeClauseKind::NotMatchedByTarget | MergeClauseKind::NotMatchedBySource => return Err(slice.syntax(0)),
    };
    let action = match clause.action {
        AstAction::Delete { .. } => MergeAction::Delete,
        AstAction::Update(update) => {
            if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                return Err(slice.syntax(0));
            }
            match is_named(&update.assignments, NOTHING) {
                true => MergeAction::Nothing,
                false => MergeAction::Update(update.assignments),
            }
        }
        AstAction::Insert(insert) => {
            if insert.insert_predicate.is_some() {
                return Err(slice.syntax(0));
            }
            read_insert(insert.columns, insert.kind, slice)?
        }
    };
    Ok(MergeClause { matched, condition: clause.predicate, action })
}

fn read_insert(mut columns: Vec<ast::ObjectName>, kind: MergeInsertKind, slice: Slice<'_>) -> Result<MergeAction> {
    let last = |columns: &[ast::ObjectName], name: &str| columns.last().is_some_and(|column| is_column(column, name));
    if last(&columns, NOTHING) {
        return Ok(MergeAction::Nothing);
    }
    if last(&columns, DEFAULTS) {
        return Ok(MergeAction::Insert { columns: Vec::new(), values: None, overriding: false });
    }
    let overriding = last(&columns, OVERRIDING);
    if overriding {
        columns.pop();
    }
    let MergeInsertKind::Values(values) = kind else { return Err(slice.syntax(0)) };
    let mut rows = values.rows.into_iter();
    match (rows.next(), rows.next()) {
        (Some(row), None) => Ok(MergeAction::Insert { columns, values: Some(row.content), overriding }),
        _ => Err(slice.syntax(0)),
    }
}

fn is_named(assignments: &[ast::Assignment], name: &str) -> bool {
    matches!(assignments, [only] if matches!(&only.target, ast::AssignmentTarget::ColumnName(column) if is_column(column, name)))
}

fn is_column(column: &ast::ObjectName, name: &str) -> bool {
    matches!(column.0.as_slice(), [part] if part.as_ident().is_some_and(|ident| ident.value == name))
}

/// 42601 for a clause behind one of its kind that has no condition.
fn refuse_unreachable(clauses: &[MergeClause]) -> Result<()> {
    for matched in [true, false] {
        let mut of_kind = clauses.iter().filter(|clause| clause.matched == matched);
        if of_kind.by_ref().any(|clause| clause.condition.is_none()) && of_kind.next().is_some() {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
    }
    Ok(())
}

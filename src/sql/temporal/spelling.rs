//! One clause, in any accepted spelling, from tokens to a [`ScopeClause`].
//!
//! A spelling that is known and refused fails here with 0A000; tokens that only look like a clause (an alias
//! called `at`, `of`, `version` …) are left alone.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::instant::{Expected, instant, number_literal, seconds_from_now, string};
use super::{InstantExpr, ScopeClause};
use crate::error::{Result, SqlError};
use crate::sql::cursor::{Cursor, expression as whole_expression, is_keyword, is_reserved};
use crate::sql::lex::{DIALECT, Slice};
use crate::sql::statement::AsOfValue;

/// Longest instant, in tokens: keeps a statement of many clauses linear.
const WINDOW: usize = 500;

/// A clause and whom it concerns.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    Relation(ScopeClause),
    /// Cockroach's `AS OF SYSTEM TIME`: every relation of the query without a clause of its own.
    Statement(ScopeClause),
}

/// Reads the clause that begins at the cursor; `None`, and nothing read, when none does.
pub fn clause(cursor: &mut Cursor<'_>) -> Result<Option<Clause>> {
    let start = *cursor;
    let read = read_clause(cursor).map_err(|e| e.at(start.position()))?;
    if read.is_none() {
        *cursor = start;
    }
    Ok(read)
}

fn read_clause(cursor: &mut Cursor<'_>) -> Result<Option<Clause>> {
    let scope = match cursor.peek() {
        Some(Token::Word(word)) if word.quote_style.is_none() => match word.value.to_ascii_uppercase().as_str() {
            "FOR" => for_clause(cursor)?,
            "AS" => return as_of(cursor),
            "TIMESTAMP" | "VERSION" => timestamp_or_version(cursor)?,
            "AT" | "BEFORE" => at_or_before(cursor)?,
            "VERSIONS" => versions_between(cursor)?,
            "CHANGES" | "END" if named_argument_follows(cursor) => {
                return Err(cursor.unsupported("CHANGES clause is not supported", "Read the table's __changes view instead."));
            }
            _ => None,
        },
        _ => None,
    };
    Ok(scope.map(Clause::Relation))
}

/// `AS OF SYSTEM TIME x`, `AS OF TIMESTAMP x` after BEGIN or SET TRANSACTION; `None` when none stands there.
pub fn transaction_as_of(cursor: &mut Cursor<'_>) -> Result<Option<AsOfValue>> {
    let position = cursor.position();
    let Some(clause) = clause(cursor)? else { return Ok(None) };
    let (Clause::Relation(scope) | Clause::Statement(scope)) = clause;
    match scope {
        ScopeClause::AsOf(InstantExpr::Time(e)) | ScopeClause::Pinned(InstantExpr::Time(e)) => Ok(Some(AsOfValue::Time(e))),
        ScopeClause::AsOf(InstantExpr::Commit(e)) | ScopeClause::Pinned(InstantExpr::Commit(e)) => Ok(Some(AsOfValue::Commit(e))),
        _ => {
            let message = "a transaction reads one instant";
            Err(SqlError::unsupported(message, "Write BEGIN AS OF SYSTEM TIME '…'.").at(position))
        }
    }
}

fn for_clause(cursor: &mut Cursor<'_>) -> Result<Option<ScopeClause>> {
    cursor.expect("FOR")?;
    if cursor.accept_all(&["ALL", "SYSTEM_TIME"]) {
        return Ok(Some(ScopeClause::All));
    }
    if cursor.accept("SYSTEM_TIME") {
        return system_time(cursor).map(Some);
    }
    for (word, expected) in [("TIMESTAMP", Expected::Time), ("VERSION", Expected::Commit)] {
        if cursor.accept_all(&[word, "AS", "OF"]) {
            return as_of_instant(cursor, expected).map(Some);
        }
        if cursor.sees(word) {
            let message = format!("FOR {word} takes only AS OF");
            return Err(cursor.unsupported(message, "For a range write FOR SYSTEM_TIME FROM … TO …."));
        }
    }
    if ["BUSINESS_TIME", "APPLICATION_TIME", "VALID_TIME", "PORTION"].iter().any(|w| cursor.sees(w)) {
        let hint = "Only system time is kept: write FOR SYSTEM_TIME, and filter your own period columns with WHERE.";
        return Err(cursor.unsupported("application time periods are not supported", hint));
    }
    Ok(None)
}

fn system_time(cursor: &mut Cursor<'_>) -> Result<ScopeClause> {
    if cursor.accept("ALL") {
        return Ok(ScopeClause::All);
    }
    if cursor.accept_all(&["AS", "OF"]) {
        return as_of_instant(cursor, Expected::Any);
    }
    if cursor.accept("FROM") {
        let from = before_to(cursor)?;
        cursor.expect("TO")?;
        return Ok(ScopeClause::FromTo { from, to: whole(cursor, Expected::Any)? });
    }
    if cursor.accept("BETWEEN") {
        let from = operand(cursor, Expected::Any)?;
        cursor.expect("AND")?;
        return Ok(ScopeClause::Between { from, to: operand(cursor, Expected::Any)? });
    }
    if cursor.accept_all(&["CONTAINED", "IN"]) {
        cursor.expect_token(&Token::LParen)?;
        let from = whole(cursor, Expected::Any)?;
        cursor.expect_token(&Token::Comma)?;
        let to = whole(cursor, Expected::Any)?;
        cursor.expect_token(&Token::RParen)?;
        return Ok(ScopeClause::ContainedIn { from, to });
    }
    if cursor.sees("BEFORE") {
        let hint = "Write BEFORE (TIMESTAMP => …) for the state just before an instant.";
        return Err(cursor.unsupported("FOR SYSTEM_TIME BEFORE is not supported", hint));
    }
    Err(cursor.syntax())
}

fn as_of(cursor: &mut Cursor<'_>) -> Result<Option<Clause>> {
    if !cursor.accept_all(&["AS", "OF"]) {
        return Ok(None);
    }
    if cursor.accept_all(&["SYSTEM", "TIME"]) {
        let at = whole(cursor, Expected::SystemTime)?;
        return Ok(Some(Clause::Statement(ScopeClause::Pinned(at))));
    }
    // TIMESTAMP '…' alone is a typed literal; with the literal's zone honoured both readings are one.
    let expected = if cursor.accept("TIMESTAMP") {
        let _ = cursor.accept_all(&["WITH", "TIME", "ZONE"]) || cursor.accept_all(&["WITHOUT", "TIME", "ZONE"]);
        Expected::Time
    } else if cursor.accept("SCN") {
        Expected::Commit
    } else if instant_follows(cursor) {
        Expected::Any
    } else {
        return Ok(None);
    };
    as_of_instant(cursor, expected).map(|scope| Some(Clause::Relation(scope)))
}

/// Whether what follows `AS OF` is an instant, and `of` not an alias with or without column names.
fn instant_follows(cursor: &Cursor<'_>) -> bool {
    match cursor.peek() {
        Some(Token::Word(word)) => {
            let call = cursor.peek_at(1) == Some(&Token::LParen) && !is_reserved(word);
            let literal = matches!(cursor.peek_at(1), Some(Token::SingleQuotedString(_)));
            let constant = ["current_timestamp", "current_date", "localtimestamp", "cast", "null"];
            let names_column = word.quote_style.is_some() || word.keyword == Keyword::NoKeyword;
            call || literal || names_column || constant.iter().any(|c| word.value.eq_ignore_ascii_case(c))
        }
        Some(Token::LParen) => !names_follow(cursor),
        Some(
            Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::Number(..)
            | Token::Placeholder(_)
            | Token::Minus
            | Token::Plus,
        ) => true,
        _ => false,
    }
}

/// `(a, b)` with plain names only.
fn names_follow(cursor: &Cursor<'_>) -> bool {
    cursor.clone().parenthesised(Cursor::ident).is_ok()
}

fn timestamp_or_version(cursor: &mut Cursor<'_>) -> Result<Option<ScopeClause>> {
    let expected = if cursor.accept("TIMESTAMP") { Expected::Time } else { Expected::Commit };
    if expected == Expected::Commit {
        cursor.expect("VERSION")?;
    }
    if !cursor.accept_all(&["AS", "OF"]) || !instant_follows(cursor) {
        return Ok(None);
    }
    as_of_instant(cursor, expected).map(Some)
}

fn named_argument_follows(cursor: &Cursor<'_>) -> bool {
    cursor.peek_at(1) == Some(&Token::LParen)
        && matches!(cursor.peek_at(2), Some(Token::Word(_)))
        && cursor.peek_at(3) == Some(&Token::RArrow)
}

fn at_or_before(cursor: &mut Cursor<'_>) -> Result<Option<ScopeClause>> {
    if !named_argument_follows(cursor) {
        return Ok(None);
    }
    let before = cursor.accept("BEFORE");
    if !before {
        cursor.expect("AT")?;
    }
    cursor.expect_token(&Token::LParen)?;
    let kind = cursor.accept_any(&["TIMESTAMP", "OFFSET", "VERSION", "STATEMENT", "STREAM"]).ok_or_else(|| cursor.syntax())?;
    cursor.expect_token(&Token::RArrow)?;
    let at = match kind {
        "TIMESTAMP" => whole(cursor, Expected::Time)?,
        "VERSION" => whole(cursor, Expected::Commit)?,
        "OFFSET" => seconds_from_now(&expression(cursor, Parser::parse_expr)?)?,
        _ => {
            let message = format!("{kind} => is not supported");
            return Err(cursor.unsupported(message, "Write TIMESTAMP => or VERSION => with a commit number."));
        }
    };
    cursor.expect_token(&Token::RParen)?;
    Ok(Some(ScopeClause::AsOf(if before { at.before() } else { at })))
}

fn versions_between(cursor: &mut Cursor<'_>) -> Result<Option<ScopeClause>> {
    if !cursor.accept_all(&["VERSIONS", "BETWEEN"]) {
        return Ok(None);
    }
    let expected = match cursor.accept_any(&["TIMESTAMP", "SCN"]) {
        Some("TIMESTAMP") => Expected::Time,
        Some(_) => Expected::Commit,
        None => return Err(cursor.syntax()),
    };
    let from = if cursor.accept("MINVALUE") { None } else { Some(operand(cursor, expected)?) };
    cursor.expect("AND")?;
    let to = if cursor.accept("MAXVALUE") { None } else { Some(operand(cursor, expected)?) };
    let first = || match expected {
        Expected::Commit => InstantExpr::Commit(number_literal("0")),
        _ => InstantExpr::Time(string("0001-01-01 00:00:00+00".to_owned())),
    };
    let last = || InstantExpr::Time(string("9999-12-31 23:59:59.999999+00".to_owned()));
    Ok(Some(match (from, to) {
        (None, None) => ScopeClause::All,
        (from, to) => ScopeClause::Between { from: from.unwrap_or_else(first), to: to.unwrap_or_else(last) },
    }))
}

fn as_of_instant(cursor: &mut Cursor<'_>, expected: Expected) -> Result<ScopeClause> {
    whole(cursor, expected).map(ScopeClause::AsOf)
}

/// An instant that may be any expression.
fn whole(cursor: &mut Cursor<'_>, expected: Expected) -> Result<InstantExpr> {
    let position = cursor.position();
    let expr = expression(cursor, Parser::parse_expr)?;
    instant(expr, expected).map_err(|e| e.at(position))
}

/// An instant that ends before TO, which an interval before it would otherwise take for its own.
fn before_to(cursor: &mut Cursor<'_>) -> Result<InstantExpr> {
    const UNITS: &[&str] = &["MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];
    let position = cursor.position();
    let unit = |token: &Token| UNITS.iter().any(|u| is_keyword(token, u));
    let window = cursor.until(|token, next| is_keyword(token, "TO") && !next.is_some_and(unit));
    instant(whole_expression(window)?, Expected::Any).map_err(|e| e.at(position))
}

/// An instant that ends before AND.
fn operand(cursor: &mut Cursor<'_>, expected: Expected) -> Result<InstantExpr> {
    let position = cursor.position();
    let expr = expression(cursor, |parser| parser.parse_subexpr(DIALECT.prec_value(Precedence::Between)))?;
    instant(expr, expected).map_err(|e| e.at(position))
}

/// Reads an expression and moves the cursor past it.
fn expression(cursor: &mut Cursor<'_>, parse: impl Fn(&mut Parser<'static>) -> Result<Expr, ParserError>) -> Result<Expr> {
    let window: Slice<'_> = cursor.rest().part(0, WINDOW);
    let mut parser = super::canonical::parser(window);
    let expr = parse(&mut parser).map_err(|e| window.parse_error(&e))?;
    cursor.seek(cursor.index() + parser.index().min(window.len()));
    Ok(expr)
}

/// Whether a token ends a FROM list, so that nothing of it can follow.
pub fn ends_from(token: &Token) -> bool {
    const ENDS: &[&str] = &[
        "WHERE",
        "GROUP",
        "HAVING",
        "WINDOW",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "UNION",
        "INTERSECT",
        "EXCEPT",
        "RETURNING",
        "FOR",
        "SET",
        "ON",
    ];
    *token == Token::RParen || ENDS.iter().any(|keyword| is_keyword(token, keyword))
}

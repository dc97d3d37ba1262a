//! Finds the time-travel clauses of a statement and takes them out of its tokens.
//!
//! Walks the tokens with a stack of parentheses and knows, for each, whether it stands in a FROM list and
//! what came last there; that tells `FROM t at` (an alias) from `FROM t AT (TIMESTAMP => …)`. What it does not
//! recognise stays in the tokens, where PostgreSQL's grammar refuses it.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::ScopeClause;
use super::spelling::{self, Clause};
use crate::error::{Result, SqlError};
use crate::sql::cursor::{Cursor, is_keyword, is_reserved};
use crate::sql::lex::{self, Slice};

/// A statement's tokens without clauses, and the clauses.
#[derive(Debug, Default)]
pub struct Canonical {
    pub tokens: Vec<TokenWithSpan>,
    /// Each clause with the place of the relation it belongs to.
    pub relations: Vec<(Location, ScopeClause)>,
    /// Each statement-wide clause with the places of the first and last token of its query.
    pub statements: Vec<(Location, Location, ScopeClause)>,
}

/// Words without which a statement has no clause, and needs no other change.
const TELLTALES: &[&str] = &["system_time", "of", "at", "before", "changes", "versions", "table", "only"];

pub fn canonicalise(slice: Slice<'_>) -> Result<Canonical> {
    let suspicious = slice.lexemes().iter().any(|l| TELLTALES.iter().any(|t| is_keyword(&l.token.token, t)));
    if !suspicious {
        let tokens = slice.lexemes().iter().map(|l| l.token.clone()).collect();
        return Ok(Canonical { tokens, ..Canonical::default() });
    }
    let mut walk = Walk::new(slice);
    while !walk.cursor.is_at_end() {
        walk.step()?;
    }
    Ok(walk.out)
}

/// A parser for which `at` is a name unless `TIME ZONE` follows.
pub fn parser(slice: Slice<'_>) -> Parser<'static> {
    let lexemes = slice.lexemes();
    let tokens = (0..lexemes.len()).map(|i| plain_token(slice, i));
    lex::parser(tokens.collect())
}

fn plain_token(slice: Slice<'_>, index: usize) -> TokenWithSpan {
    let mut token = slice.lexemes()[index].token.clone();
    let zone = slice.get(index + 1).is_some_and(|t| is_keyword(t, "TIME") || is_keyword(t, "LOCAL"));
    if let Token::Word(word) = &mut token.token
        && word.keyword == Keyword::AT
        && !zone
    {
        word.keyword = Keyword::NoKeyword;
    }
    token
}

/// Where a parenthesis level stands with regard to FROM.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Outside,
    /// A relation comes next.
    Expect(Place),
    /// A relation, or its alias, was just read.
    After(Relation),
    /// In a join's condition.
    Condition,
    /// Behind a statement-wide clause.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Source,
    /// The target of INSERT, UPDATE, DELETE, MERGE.
    Target,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Relation {
    place: Place,
    kind: Kind,
    aliased: bool,
    claused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Table(Location),
    Function,
    /// A subquery or a join in parentheses.
    Parenthesised,
}

#[derive(Debug)]
struct Frame {
    /// Whether FROM begins a FROM list here (and does not belong to a function's argument).
    query: bool,
    from: From,
    first: usize,
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    frames: Vec<Frame>,
    out: Canonical,
    writes: bool,
    /// Statement-wide clauses of open frames: index in `out.statements` and depth of the frame.
    open: Vec<(usize, usize)>,
}

impl<'a> Walk<'a> {
    fn new(slice: Slice<'a>) -> Self {
        let top = Frame { query: true, from: From::Outside, first: 0 };
        Self { cursor: Cursor::new(slice), frames: vec![top], out: Canonical::default(), writes: false, open: Vec::new() }
    }

    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            // More parentheses closed than opened: the parser will say so.
            self.frames.push(Frame { query: true, from: From::Outside, first: 0 });
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn step(&mut self) -> Result<()> {
        match self.frame().from {
            From::Expect(place) => self.expect_relation(place),
            From::After(relation) => self.after_relation(relation),
            From::Condition => self.condition(),
            From::Ended => self.ended(),
            From::Outside => self.outside(),
        }
    }

    /// Copies the next token.
    fn keep(&mut self) {
        if self.cursor.is_at_end() {
            return;
        }
        self.out.tokens.push(plain_token(self.cursor.slice(), self.cursor.index()));
        self.cursor.advance();
    }

    fn keep_to(&mut self, from: From) -> Result<()> {
        self.keep();
        self.frame().from = from;
        Ok(())
    }

    fn open_parenthesis(&mut self, from: From) {
        self.keep();
        self.frames.push(Frame { query: false, from, first: self.cursor.index() });
    }

    fn close_parenthesis(&mut self) {
        self.close_statement_clauses();
        self.keep();
        self.frames.pop();
        let frame = self.frame();
        if let From::Expect(place) = frame.from {
            frame.from = From::After(Relation { place, kind: Kind::Parenthesised, aliased: false, claused: false });
        }
    }

    fn expect_relation(&mut self, place: Place) -> Result<()> {
        let Some(token) = self.cursor.peek() else { return Ok(()) };
        match token {
            Token::LParen => {
                self.open_parenthesis(From::Expect(Place::Source));
                Ok(())
            }
            Token::Word(word) if is_reserved(word) && !is_keyword(token, "ONLY") && !is_keyword(token, "LATERAL") => {
                // SELECT in parentheses, or an error.
                self.frame().from = From::Outside;
                Ok(())
            }
            Token::Word(_) if is_keyword(token, "LATERAL") || is_keyword(token, "ONLY") => {
                if is_keyword(token, "ONLY") {
                    // There is no inheritance: the table alone is the table.
                    self.cursor.advance();
                } else {
                    self.keep();
                }
                Ok(())
            }
            Token::Word(_) if is_keyword(token, "VALUES") => {
                self.frame().from = From::Outside;
                Ok(())
            }
            Token::Word(_) => self.relation_name(place),
            _ => {
                self.frame().from = From::Outside;
                Ok(())
            }
        }
    }

    fn relation_name(&mut self, place: Place) -> Result<()> {
        let location = self.cursor.lexeme().map_or(Location::empty(), |l| l.token.span.start);
        self.keep();
        while self.cursor.sees_token(&Token::Period) && matches!(self.cursor.peek_at(1), Some(Token::Word(_))) {
            self.keep();
            self.keep();
        }
        let call = place == Place::Source && self.cursor.sees_token(&Token::LParen);
        let kind = if call { Kind::Function } else { Kind::Table(location) };
        self.frame().from = From::After(Relation { place, kind, aliased: false, claused: false });
        if call {
            self.open_parenthesis(From::Outside);
        }
        Ok(())
    }

    fn after_relation(&mut self, relation: Relation) -> Result<()> {
        let position = self.cursor.position();
        if let Some(clause) = spelling::clause(&mut self.cursor)? {
            return self.take(relation, clause, position);
        }
        let Some(token) = self.cursor.peek() else { return Ok(()) };
        if is_keyword(token, "WITH") && self.cursor.peek_at(1).is_some_and(|t| is_keyword(t, "ORDINALITY")) {
            self.keep();
            self.keep();
            return Ok(());
        }
        if self.continue_from(token)? {
            return Ok(());
        }
        if is_keyword(token, "AS") && !relation.aliased {
            self.keep();
            return self.alias(relation);
        }
        match token {
            Token::Word(word) if !relation.aliased && !is_reserved(word) && !ends_relation(word.keyword) => self.alias(relation),
            Token::Mul => {
                // There is no inheritance: `t *` is `t`.
                self.cursor.advance();
                Ok(())
            }
            _ => {
                self.frame().from = From::Outside;
                Ok(())
            }
        }
    }

    /// Copies an alias with its column names.
    fn alias(&mut self, relation: Relation) -> Result<()> {
        if !self.cursor.sees_token(&Token::LParen) {
            self.keep();
        }
        let columns = relation.place == Place::Source || relation.kind == Kind::Parenthesised;
        if columns && self.cursor.sees_token(&Token::LParen) {
            let mut end = self.cursor;
            end.balanced()?;
            while self.cursor.index() < end.index() {
                self.keep();
            }
        }
        self.frame().from = From::After(Relation { aliased: true, ..relation });
        Ok(())
    }

    /// Tokens that lead from one relation of a FROM list to the next, or out of it.
    fn continue_from(&mut self, token: &Token) -> Result<bool> {
        const JOINS: &[&str] = &["NATURAL", "INNER", "LEFT", "RIGHT", "FULL", "OUTER", "CROSS"];
        if *token == Token::Comma || is_keyword(token, "JOIN") {
            self.keep_to(From::Expect(Place::Source))?;
        } else if JOINS.iter().any(|j| is_keyword(token, j)) {
            self.keep_to(From::Condition)?;
        } else if is_keyword(token, "USING") && self.is_delete_target() {
            self.keep_to(From::Expect(Place::Source))?;
        } else if is_keyword(token, "ON") || is_keyword(token, "USING") || is_keyword(token, "TABLESAMPLE") {
            self.keep_to(From::Condition)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn is_delete_target(&mut self) -> bool {
        matches!(self.frame().from, From::After(Relation { place: Place::Target, .. }))
    }

    fn condition(&mut self) -> Result<()> {
        let position = self.cursor.position();
        if self.cursor.sees_all(&["AS", "OF", "SYSTEM", "TIME"])
            && let Some(Clause::Statement(scope)) = spelling::clause(&mut self.cursor)?
        {
            return self.take_statement(scope, position);
        }
        let Some(token) = self.cursor.peek() else { return Ok(()) };
        if self.continue_from(token)? {
            return Ok(());
        }
        match token {
            Token::LParen => self.open_parenthesis(From::Outside),
            Token::RParen => self.close_parenthesis(),
            _ if spelling::ends_from(token) => self.frame().from = From::Outside,
            _ => self.keep(),
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<()> {
        let fits = self.cursor.peek().is_none_or(spelling::ends_from);
        if !fits {
            return Err(self.cursor.syntax());
        }
        self.frame().from = From::Outside;
        Ok(())
    }

    fn outside(&mut self) -> Result<()> {
        let Some(token) = self.cursor.peek() else { return Ok(()) };
        match token {
            Token::LParen => self.open_parenthesis(From::Outside),
            Token::RParen => self.close_parenthesis(),
            Token::Word(word) if word.quote_style.is_none() => return self.outside_word(token),
            _ => self.keep(),
        }
        Ok(())
    }

    fn outside_word(&mut self, token: &Token) -> Result<()> {
        let before = self.cursor.index().checked_sub(1).and_then(|i| self.cursor.slice().get(i));
        let after = |keywords: &[&str]| before.is_some_and(|b| keywords.iter().any(|k| is_keyword(b, k)));
        let member = before == Some(&Token::Period);
        let starts = self.cursor.index() == self.frame().first;
        if member {
            self.keep();
        } else if is_keyword(token, "SELECT") || is_keyword(token, "WITH") {
            self.frame().query = true;
            self.keep();
        } else if is_keyword(token, "FROM") && self.frame().query && !after(&["DISTINCT"]) {
            let place = if after(&["DELETE"]) { Place::Target } else { Place::Source };
            self.keep_to(From::Expect(place))?;
        } else if is_keyword(token, "INTO") && after(&["INSERT", "MERGE"]) {
            self.keep_to(From::Expect(Place::Target))?;
        } else if is_keyword(token, "UPDATE") && (starts || before == Some(&Token::RParen)) {
            self.writes = true;
            self.keep_to(From::Expect(Place::Target))?;
        } else if is_keyword(token, "DELETE") && (starts || before == Some(&Token::RParen)) {
            self.writes = true;
            self.frame().query = true;
            self.keep();
        } else if is_keyword(token, "TABLE") && (starts || after(&["UNION", "ALL", "INTERSECT", "EXCEPT"])) {
            self.select_all();
        } else {
            self.keep();
        }
        Ok(())
    }

    /// `TABLE t` is `SELECT * FROM t`.
    fn select_all(&mut self) {
        if let Some(lexeme) = self.cursor.lexeme() {
            let span = lexeme.token.span;
            let words = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")];
            self.out.tokens.extend(words.map(|token| TokenWithSpan { token, span }));
        }
        self.cursor.advance();
        let frame = self.frame();
        frame.query = true;
        frame.from = From::Expect(Place::Source);
    }

    fn take(&mut self, relation: Relation, clause: Clause, position: usize) -> Result<()> {
        if relation.place == Place::Target {
            let hint = "Only what is read can have a time: put the clause on the source of INSERT … SELECT.";
            return Err(SqlError::unsupported("cannot change the past: the target of a write takes no time", hint).at(position));
        }
        let scope = match clause {
            Clause::Statement(scope) => return self.take_statement(scope, position),
            Clause::Relation(scope) => scope,
        };
        let refused = match relation.kind {
            Kind::Table(location) if !relation.claused => {
                self.out.relations.push((location, scope));
                self.frame().from = From::After(Relation { claused: true, ..relation });
                return Ok(());
            }
            Kind::Table(_) => return Err(SqlError::syntax("a relation can have only one time").at(position)),
            Kind::Function => SqlError::unsupported(
                "a function in FROM takes no time",
                "Put the clause on the tables themselves, or use the table's __as_of function.",
            ),
            Kind::Parenthesised => SqlError::unsupported(
                "a subquery or join in FROM takes no time",
                "Put the clause on the tables inside it, or end its FROM with AS OF SYSTEM TIME.",
            ),
        };
        Err(refused.at(position))
    }

    fn take_statement(&mut self, scope: ScopeClause, position: usize) -> Result<()> {
        if self.writes && self.frames.len() == 1 {
            let message = "AS OF SYSTEM TIME cannot stand on a statement that writes";
            return Err(SqlError::unsupported(message, "Put FOR SYSTEM_TIME AS OF on each source instead.").at(position));
        }
        if !self.frame().query {
            return Err(self.cursor.slice().syntax(self.cursor.index()));
        }
        let depth = self.frames.len();
        if self.open.last().is_some_and(|(_, d)| *d == depth) {
            return Err(SqlError::syntax("AS OF SYSTEM TIME stands twice").at(position));
        }
        let first = self.frame().first;
        let start = self.cursor.slice().lexemes().get(first).map_or(Location::empty(), |l| l.token.span.start);
        self.open.push((self.out.statements.len(), depth));
        self.out.statements.push((start, Location::new(u64::MAX, u64::MAX), scope));
        self.frame().from = From::Ended;
        Ok(())
    }

    /// The query of the innermost frame ends here, and so does the reach of its clause.
    fn close_statement_clauses(&mut self) {
        let depth = self.frames.len();
        let end = self.cursor.lexeme().map_or(Location::new(u64::MAX, u64::MAX), |l| l.token.span.start);
        while let Some((index, _)) = self.open.pop_if(|(_, d)| *d >= depth) {
            self.out.statements[index].1 = end;
        }
    }
}

/// Unreserved words that cannot be an alias written without AS.
fn ends_relation(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::SET
            | Keyword::VALUES
            | Keyword::TABLESAMPLE
            | Keyword::NATURAL
            | Keyword::JOIN
            | Keyword::INNER
            | Keyword::LEFT
            | Keyword::RIGHT
            | Keyword::FULL
            | Keyword::CROSS
            | Keyword::OUTER
    )
}

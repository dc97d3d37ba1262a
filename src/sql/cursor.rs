//! A reader over the tokens of one statement, for the forms that sqlparser does not read as PostgreSQL does.
//!
//! Every failure is 42601 at the token that did not fit.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use super::lex::{Lexeme, Slice};
use super::statement::Name;
use crate::error::{Result, SqlError, SqlState};

#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    slice: Slice<'a>,
    at: usize,
}

/// Words that PostgreSQL never reads as a name unless they are quoted.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// Whether a token is this keyword: unquoted, in any case.
pub fn is_keyword(token: &Token, keyword: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(keyword))
}

/// A name as PostgreSQL folds it: lower case unless quoted.
pub fn fold(word: &Word) -> String {
    match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_ascii_lowercase(),
    }
}

/// Whether a word, as it is written, cannot be a name.
pub fn is_reserved(word: &Word) -> bool {
    word.quote_style.is_none() && RESERVED.iter().any(|r| word.value.eq_ignore_ascii_case(r))
}

/// Whether an unquoted word, in lower case, cannot be a name.
pub fn is_reserved_name(name: &str) -> bool {
    RESERVED.contains(&name)
}

impl<'a> Cursor<'a> {
    pub fn new(slice: Slice<'a>) -> Self {
        Self { slice, at: 0 }
    }

    pub fn index(&self) -> usize {
        self.at
    }

    pub fn seek(&mut self, index: usize) {
        self.at = index;
    }

    pub fn slice(&self) -> Slice<'a> {
        self.slice
    }

    /// What has not been read yet.
    pub fn rest(&self) -> Slice<'a> {
        self.slice.skip(self.at)
    }

    /// The text between two indexes.
    pub fn text(&self, from: usize, to: usize) -> &'a str {
        self.slice.part(from, to).text()
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.slice.get(self.at)
    }

    pub fn peek_at(&self, ahead: usize) -> Option<&'a Token> {
        self.slice.get(self.at + ahead)
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.slice.len()
    }

    pub fn advance(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    pub fn position(&self) -> usize {
        self.slice.position(self.at)
    }

    /// The syntax error at the next token.
    pub fn syntax(&self) -> SqlError {
        self.slice.syntax(self.at)
    }

    /// 0A000 at the next token.
    pub fn unsupported(&self, message: impl Into<String>, hint: &str) -> SqlError {
        SqlError::unsupported(message, hint).at(self.position())
    }

    pub fn end(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.syntax()) }
    }

    /// The next token in upper case when it is an unquoted word.
    pub fn peek_keyword(&self) -> Option<String> {
        match self.peek()? {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
            _ => None,
        }
    }

    pub fn sees(&self, keyword: &str) -> bool {
        self.peek().is_some_and(|t| is_keyword(t, keyword))
    }

    pub fn sees_all(&self, keywords: &[&str]) -> bool {
        keywords.iter().enumerate().all(|(i, k)| self.peek_at(i).is_some_and(|t| is_keyword(t, k)))
    }

    /// Reads the keyword when it comes next.
    pub fn accept(&mut self, keyword: &str) -> bool {
        self.accept_all(&[keyword])
    }

    /// Reads all the keywords, or none.
    pub fn accept_all(&mut self, keywords: &[&str]) -> bool {
        let seen = self.sees_all(keywords);
        if seen {
            self.at += keywords.len();
        }
        seen
    }

    /// Reads one of the keywords and says which.
    pub fn accept_any<'k>(&mut self, keywords: &[&'k str]) -> Option<&'k str> {
        let found = keywords.iter().find(|k| self.sees(k))?;
        self.at += 1;
        Some(found)
    }

    pub fn expect(&mut self, keyword: &str) -> Result<()> {
        self.expect_all(&[keyword])
    }

    pub fn expect_all(&mut self, keywords: &[&str]) -> Result<()> {
        for keyword in keywords {
            if !self.accept(keyword) {
                return Err(self.syntax());
            }
        }
        Ok(())
    }

    pub fn sees_token(&self, token: &Token) -> bool {
        self.peek() == Some(token)
    }

    pub fn accept_token(&mut self, token: &Token) -> bool {
        let seen = self.sees_token(token);
        self.at += usize::from(seen);
        seen
    }

    pub fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.accept_token(token) { Ok(()) } else { Err(self.syntax()) }
    }

    /// A name: quoted, or any word that is not reserved.
    pub fn ident(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(word)) if !is_reserved(word) => {
                if word.value.is_empty() {
                    return Err(SqlError::syntax("zero-length delimited identifier at or near \"\"\"\"").at(self.position()));
                }
                self.at += 1;
                Ok(fold(word))
            }
            _ => Err(self.syntax()),
        }
    }

    /// Any word, reserved or not.
    pub fn word(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(fold(word))
            }
            _ => Err(self.syntax()),
        }
    }

    /// `name` or `schema.name`.
    pub fn name(&mut self) -> Result<Name> {
        let start = self.position();
        let first = self.ident()?;
        if !self.accept_token(&Token::Period) {
            return Ok(Name { schema: None, name: first });
        }
        let second = self.word()?;
        if !self.accept_token(&Token::Period) {
            return Ok(Name::qualified(first, second));
        }
        let third = self.word()?;
        let message = format!("cross-database references are not implemented: \"{first}.{second}.{third}\"");
        Err(SqlError::unsupported(message, "Name the relation by its schema and name only.").at(start))
    }

    /// One or more of what `read` reads, separated by commas.
    pub fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![read(self)?];
        while self.accept_token(&Token::Comma) {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// The same within parentheses.
    pub fn parenthesised<T>(&mut self, read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let items = self.list(read)?;
        self.expect_token(&Token::RParen)?;
        Ok(items)
    }

    pub fn idents(&mut self) -> Result<Vec<String>> {
        self.parenthesised(Self::ident)
    }

    /// A string literal of any spelling.
    pub fn accept_string(&mut self) -> Option<String> {
        let value = match self.peek()? {
            Token::SingleQuotedString(s) | Token::EscapedStringLiteral(s) | Token::UnicodeStringLiteral(s) => s.clone(),
            Token::DollarQuotedString(s) => s.value.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(value)
    }

    pub fn string(&mut self) -> Result<String> {
        self.accept_string().ok_or_else(|| self.syntax())
    }

    /// A whole number with an optional sign.
    pub fn integer(&mut self) -> Result<i64> {
        let start = *self;
        let negative = self.accept_token(&Token::Minus);
        if !negative {
            self.accept_token(&Token::Plus);
        }
        let Some(Token::Number(digits, false)) = self.advance() else {
            self.at = (start.at + usize::from(self.at > start.at + 1)).min(self.slice.len());
            return Err(self.syntax());
        };
        let digits = if negative { format!("-{digits}") } else { digits.clone() };
        digits.parse().map_err(|_| {
            let message = format!("value \"{digits}\" is out of range for type bigint");
            SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message).at(start.position())
        })
    }

    /// Moves past a balanced `( … )` and returns what stands between.
    pub fn balanced(&mut self) -> Result<Slice<'a>> {
        self.expect_token(&Token::LParen)?;
        let from = self.at;
        let mut depth = 1;
        while let Some(token) = self.advance() {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(self.slice.part(from, self.at - 1));
            }
        }
        Err(self.syntax())
    }

    /// Moves on to the first token outside parentheses and brackets that `stop` wants, and returns what was passed.
    pub fn until(&mut self, stop: impl Fn(&Token, Option<&Token>) -> bool) -> Slice<'a> {
        let from = self.at;
        let mut depth = 0usize;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth > 0 => depth -= 1,
                Token::RParen => break,
                _ if depth == 0 && stop(token, self.peek_at(1)) => break,
                _ => {}
            }
            self.at += 1;
        }
        self.slice.part(from, self.at)
    }

    pub fn lexeme(&self) -> Option<&'a Lexeme> {
        self.slice.lexemes().get(self.at)
    }
}

/// The expression that a slice is, to its last token.
pub fn expression(slice: Slice<'_>) -> Result<Expr> {
    let mut parser = slice.parser();
    let expr = parser.parse_expr().map_err(|e| slice.parse_error(&e))?;
    match parser.peek_token_ref().token {
        Token::EOF => Ok(expr),
        _ => Err(slice.syntax(parser.index())),
    }
}

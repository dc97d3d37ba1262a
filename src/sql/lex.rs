//! A query text as tokens with their places, and the errors that name a place.
//!
//! Tokens come from sqlparser's tokenizer; white space and comments are dropped, string literals that
//! continue on the next line are joined. Every position is 1-based and counts characters of the client's text.

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::cursor::is_keyword;
use super::scan::{self, Open};
use crate::error::{Result, SqlError, SqlState};

pub static DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// What names that no text can have begin with: of what a statement carries along unseen.
pub const CARRIED: char = '\u{2}';

/// How deep expressions and subqueries may nest; beyond it the statement is 54001.
const NESTING: usize = 128;

/// How many operators may stand in one chain; beyond it the statement is 54001. Each is a step deeper into the expression.
const CHAIN: usize = 1200;

/// A token and where it stands: bytes of the text, and characters before it.
#[derive(Clone, Debug)]
pub struct Lexeme {
    pub token: TokenWithSpan,
    pub start: usize,
    pub end: usize,
    pub at: usize,
}

/// A whole query text in tokens.
#[derive(Debug)]
pub struct Lexed<'a> {
    pub text: &'a str,
    pub lexemes: Vec<Lexeme>,
    /// `/* … */` comments, each with the number of the lexeme it stands before.
    pub comments: Vec<(usize, String)>,
}

/// A run of lexemes of one text: a statement or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    lexed: &'a Lexed<'a>,
    from: usize,
    to: usize,
}

pub fn lex(text: &str) -> Result<Lexed<'_>> {
    let tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location().map_err(|e| unreadable(text, e.location))?;
    let mut lexed = Lexed { text, lexemes: Vec::with_capacity(tokens.len() / 2), comments: Vec::new() };
    let mut place = Place::default();
    let mut line_break = false;
    for token in tokens {
        let (start, at) = place.advance(text, token.span.start);
        let (end, _) = place.advance(text, token.span.end);
        match &token.token {
            Token::Whitespace(Whitespace::Newline) => line_break = true,
            Token::Whitespace(Whitespace::SingleLineComment { .. }) => line_break = true,
            Token::Whitespace(Whitespace::MultiLineComment(comment)) => {
                lexed.comments.push((lexed.lexemes.len(), comment.clone()));
            }
            Token::Whitespace(_) | Token::EOF => {}
            Token::Word(word) if word.value.starts_with(CARRIED) => {
                return Err(
                    SqlError::new(SqlState::INVALID_NAME, "a name must not begin with the control character 2").at(at + 1)
                );
            }
            Token::CustomBinaryOperator(name) if signs_behind(name) > 0 => {
                lexed.part_operator(name, &token, (start, at));
                line_break = false;
            }
            _ => {
                let joined = line_break && lexed.join_string(&token, end);
                if !line_break && lexed.follows_string(&token) {
                    return Err(SqlError::syntax(format!("syntax error at or near \"{}\"", &text[start..end])).at(at + 1));
                }
                if !joined {
                    lexed.lexemes.push(Lexeme { token, start, end, at });
                }
                line_break = false;
            }
        }
    }
    lexed.check_chains()?;
    Ok(lexed)
}

/// Whether a token makes one expression of two.
fn is_operator(token: &Token) -> bool {
    use Token::{Div, DoubleEq, Eq, Gt, GtEq, Lt, LtEq, Minus, Mod, Mul, Neq, Plus, StringConcat};
    matches!(token, Plus | Minus | Mul | Div | Mod | StringConcat | Eq | DoubleEq | Neq | Lt | LtEq | Gt | GtEq)
        || matches!(token, Token::CustomBinaryOperator(_))
        || ["AND", "OR"].iter().any(|word| is_keyword(token, word))
}

/// How many signs stand behind an operator without being of it: an operator ends with one only if it has a character that
/// those of SQL do not have.
fn signs_behind(operator: &str) -> usize {
    if operator.contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?']) {
        return 0;
    }
    let signs = operator.len() - operator.trim_end_matches(['+', '-']).len();
    signs.min(operator.len().saturating_sub(1))
}

/// A place in the text that only moves forward.
struct Place {
    location: Location,
    byte: usize,
    chars: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { location: Location::new(1, 1), byte: 0, chars: 0 }
    }
}

impl Place {
    /// Byte and character offset of `to`; the end of the text when it lies beyond.
    fn advance(&mut self, text: &str, to: Location) -> (usize, usize) {
        for c in text[self.byte..].chars() {
            if self.location >= to {
                break;
            }
            self.byte += c.len_utf8();
            self.chars += 1;
            self.location = match c {
                '\n' => Location::new(self.location.line + 1, 1),
                _ => Location::new(self.location.line, self.location.column + 1),
            };
        }
        (self.byte, self.chars)
    }
}

impl Lexed<'_> {
    /// 54001 for an expression of so many operators that going through it would take all of the stack.
    fn check_chains(&self) -> Result<()> {
        let mut chains = vec![0_usize];
        for lexeme in &self.lexemes {
            match &lexeme.token.token {
                Token::LParen | Token::LBracket => chains.push(0),
                Token::RParen | Token::RBracket if chains.len() > 1 => drop(chains.pop()),
                Token::Comma | Token::SemiColon => chains.last_mut().into_iter().for_each(|chain| *chain = 0),
                token if is_operator(token) => {
                    let Some(chain) = chains.last_mut() else { continue };
                    *chain += 1;
                    if *chain > CHAIN {
                        return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                            .hint("Use IN or a list in VALUES in place of so many operators.")
                            .at(lexeme.at + 1));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds an operator and the signs behind it one by one.
    fn part_operator(&mut self, name: &str, token: &TokenWithSpan, (start, at): (usize, usize)) {
        let (operator, signs) = name.split_at(name.len() - signs_behind(name));
        let parsed = Tokenizer::new(&DIALECT, operator).tokenize().ok().filter(|tokens| tokens.len() == 1);
        let first = parsed.and_then(|tokens| tokens.into_iter().next());
        let first = first.unwrap_or_else(|| Token::CustomBinaryOperator(operator.to_owned()));
        let signs = signs.chars().map(|sign| if sign == '-' { Token::Minus } else { Token::Plus });
        let mut from = 0;
        for (part, length) in std::iter::once((first, operator.len())).chain(signs.map(|sign| (sign, 1))) {
            let mut span = token.span;
            span.start.column += from as u64;
            span.end = Location::new(span.start.line, span.start.column + length as u64);
            let token = TokenWithSpan { token: part, span };
            self.lexemes.push(Lexeme { token, start: start + from, end: start + from + length, at: at + from });
            from += length;
        }
    }

    /// Appends a string to the string before it, as the standard has it for literals on successive lines.
    fn join_string(&mut self, next: &TokenWithSpan, end: usize) -> bool {
        let Some(last) = self.lexemes.last_mut() else { return false };
        match (&mut last.token.token, &next.token) {
            (Token::SingleQuotedString(first), Token::SingleQuotedString(second)) => {
                first.push_str(second);
                last.token.span.end = next.span.end;
                last.end = end;
                true
            }
            _ => false,
        }
    }

    /// Whether it is a string literal behind another one: on the same line nothing joins the two.
    fn follows_string(&self, next: &TokenWithSpan) -> bool {
        let string = |token: &Token| matches!(token, Token::SingleQuotedString(_));
        string(&next.token) && self.lexemes.last().is_some_and(|last| string(&last.token.token))
    }

    /// The whole text, `;` and all.
    pub fn whole(&self) -> Slice<'_> {
        Slice { lexed: self, from: 0, to: self.lexemes.len() }
    }

    /// The statements of the text, in order; empty ones are left out.
    pub fn statements(&self) -> Vec<Slice<'_>> {
        let mut inside = Atomic::default();
        let ends = self.lexemes.iter().enumerate();
        let ends = ends.filter(|(at, l)| {
            inside.pass(&l.token.token, self.lexemes.get(at + 1).map(|next| &next.token.token));
            l.token == Token::SemiColon && !inside.open
        });
        let ends: Vec<usize> = ends.map(|(at, _)| at).collect();
        let mut statements = Vec::new();
        let mut from = 0;
        for to in ends.into_iter().chain([self.lexemes.len()]) {
            if from < to {
                statements.push(Slice { lexed: self, from, to });
            }
            from = to + 1;
        }
        statements
    }
}

/// Whether a token stands within `BEGIN ATOMIC … END`, where a `;` ends no statement of the text.
#[derive(Default)]
struct Atomic {
    open: bool,
    /// CASE expressions, which have an END of their own.
    cases: usize,
}

impl Atomic {
    fn pass(&mut self, token: &Token, next: Option<&Token>) {
        let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
        if !self.open {
            self.open = is(token, "BEGIN") && next.is_some_and(|next| is(next, "ATOMIC"));
        } else if is(token, "CASE") {
            self.cases += 1;
        } else if is(token, "END") && self.cases > 0 {
            self.cases -= 1;
        } else if is(token, "END") {
            self.open = false;
        }
    }
}

impl<'a> Slice<'a> {
    pub fn lexemes(self) -> &'a [Lexeme] {
        &self.lexed.lexemes[self.from..self.to]
    }

    pub fn len(self) -> usize {
        self.to - self.from
    }

    pub fn is_empty(self) -> bool {
        self.from == self.to
    }

    pub fn get(self, index: usize) -> Option<&'a Token> {
        self.lexemes().get(index).map(|l| &l.token.token)
    }

    /// The part from `from` up to, and not including, `to`; both are clamped.
    pub fn part(self, from: usize, to: usize) -> Slice<'a> {
        let to = self.to.min(self.from + to);
        Slice { lexed: self.lexed, from: to.min(self.from + from), to }
    }

    pub fn skip(self, from: usize) -> Slice<'a> {
        self.part(from, self.len())
    }

    /// What is before these words, if it ends with them.
    pub fn without_last(self, words: &[&str]) -> Option<Slice<'a>> {
        let from = self.len().checked_sub(words.len())?;
        let is = |(n, word): (usize, &&str)| self.get(from + n).is_some_and(|token| is_keyword(token, word));
        words.iter().enumerate().all(is).then(|| self.part(0, from))
    }

    /// The text as written, from the first lexeme to the last.
    pub fn text(self) -> &'a str {
        match (self.lexemes().first(), self.lexemes().last()) {
            (Some(first), Some(last)) => &self.lexed.text[first.start..last.end],
            _ => "",
        }
    }

    /// Characters of the whole text before this slice.
    pub fn offset(self) -> usize {
        self.lexemes().first().map_or(0, |l| l.at)
    }

    /// The comment after the last lexeme, before the `;` or the end of the text.
    pub fn trailing_comment(self) -> Option<&'a str> {
        if self.lexed.comments.is_empty() {
            return None;
        }
        let last = self.lexed.lexemes[self.to..].iter().all(|l| l.token == Token::SemiColon);
        let belongs = |at: usize| at == self.to || (last && at == self.lexed.lexemes.len());
        self.lexed.comments.iter().rev().find(|(at, _)| belongs(*at)).map(|(_, comment)| comment.as_str())
    }

    /// Position of a lexeme, or of the end.
    pub fn position(self, index: usize) -> usize {
        match self.lexed.lexemes.get(self.from + index) {
            Some(lexeme) => lexeme.at + 1,
            None => self.lexed.text.chars().count() + 1,
        }
    }

    /// The lexeme that begins at a place the parser named.
    pub fn index_of(self, location: Location) -> Option<usize> {
        self.lexemes().binary_search_by(|l| l.token.span.start.cmp(&location)).ok()
    }

    /// The position of a place the parser named.
    pub fn position_of(self, location: Location) -> Option<usize> {
        self.index_of(location).map(|index| self.position(index))
    }

    /// `syntax error at or near "x"` for the lexeme at `index`; past the slice it is what follows, or the end of input.
    pub fn syntax(self, index: usize) -> SqlError {
        let error = match self.lexed.lexemes.get(self.from + index) {
            Some(lexeme) => {
                SqlError::syntax(format!("syntax error at or near \"{}\"", &self.lexed.text[lexeme.start..lexeme.end]))
            }
            None => SqlError::syntax("syntax error at end of input"),
        };
        error.at(self.position(index))
    }

    /// A parser over this slice.
    pub fn parser(self) -> Parser<'static> {
        parser(self.lexemes().iter().map(|l| l.token.clone()).collect())
    }

    /// What a client is told of a parser's failure.
    pub fn parse_error(self, error: &ParserError) -> SqlError {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded")
                    .hint("Nest expressions and subqueries less deeply.");
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let index = location_in(message).and_then(|at| self.index_of(at)).unwrap_or(self.len());
        self.syntax(index)
    }
}

pub fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&DIALECT).with_recursion_limit(NESTING).with_tokens_with_locations(tokens)
}

/// The place at the end of a parser's message: ` at Line: 1, Column: 8`.
fn location_in(message: &str) -> Option<Location> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location::new(line.parse().ok()?, column.parse().ok()?))
}

/// The error for a text that cannot be split into tokens.
fn unreadable(text: &str, location: Location) -> SqlError {
    let Some((open, start)) = scan::unterminated(text) else {
        let (byte, chars) = Place::default().advance(text, location);
        let near: String = text[byte..].chars().take(1).collect();
        return SqlError::syntax(format!("syntax error at or near \"{near}\"")).at(chars + 1);
    };
    let what = match open {
        Open::String => "quoted string",
        Open::Identifier => "quoted identifier",
        Open::Dollar => "dollar-quoted string",
        Open::Comment => "/* comment",
    };
    let position = text[..start].chars().count() + 1;
    SqlError::syntax(format!("unterminated {what} at or near \"{}\"", &text[start..])).at(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lexeme_knows_its_own_text() {
        let text = "SELECT 'é''x',\r\n\t\"Ä\".b -- c\n, $$ ' $$ /* /* */ */ , E'\\n', $1::int ; x";
        let lexed = lex(text).unwrap();
        let found: Vec<_> = lexed.lexemes.iter().map(|l| &text[l.start..l.end]).collect();
        let expected =
            ["SELECT", "'é''x'", ",", "\"Ä\"", ".", "b", ",", "$$ ' $$", ",", "E'\\n'", ",", "$1", "::", "int", ";", "x"];
        assert_eq!(found, expected);
        for lexeme in &lexed.lexemes {
            assert_eq!(lexeme.at, text[..lexeme.start].chars().count());
        }
        assert_eq!(lexed.statements().len(), 2);
    }

    #[test]
    fn strings_on_successive_lines_are_one() {
        let lexed = lex("SELECT 'a'\n 'b', 'c' AS").unwrap();
        assert_eq!(lexed.lexemes[1].token, Token::SingleQuotedString("ab".into()));
        assert_eq!(lexed.lexemes.len(), 5);
    }

    #[test]
    fn unreadable_texts_say_what_is_open_and_where() {
        for (text, message, position) in [
            ("select 'a", "unterminated quoted string at or near \"'a\"", 8),
            ("select é, \"a", "unterminated quoted identifier at or near \"\"a\"", 11),
            ("select $a$ x", "unterminated dollar-quoted string at or near \"$a$ x\"", 8),
            ("select 1 /* x", "unterminated /* comment at or near \"/* x\"", 10),
            ("select 'é' 'b'", "syntax error at or near \"'b'\"", 12),
        ] {
            let error = lex(text).unwrap_err();
            assert_eq!((error.message(), error.fields().position), (message, Some(position)), "{text}");
        }
    }
}

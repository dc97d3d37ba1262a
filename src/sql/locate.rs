//! Where in a statement's text the thing stands that an error is about.
//!
//! Errors that are found after parsing know names, not places. A place is looked for among the tokens, so that
//! nothing in a string or a comment is taken for a name.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{fold, is_keyword};
use super::lex::{self, Lexeme};

/// What an error complains about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought<'a> {
    /// A column by its bare name.
    Column(&'a str),
    /// `qualifier.column`.
    Member(&'a str, &'a str),
    /// A relation, with its schema where one was written.
    Relation(Option<&'a str>, &'a str),
    /// A name before a column's.
    Qualifier(&'a str),
    Function(&'a str),
    /// A type, or whatever else is called so.
    Name(&'a str),
    /// A string literal of this value.
    Literal(&'a str),
    /// `$n`.
    Parameter(&'a str),
    /// An operator; found only where the text has one such.
    Operator(&'a str),
}

/// The first place that fits, 1-based in characters of `text`.
pub fn place_of(text: &str, sought: Sought<'_>) -> Option<usize> {
    let lexed = lex::lex(text).ok()?;
    let tokens = Tokens(&lexed.lexemes);
    let at = match sought {
        Sought::Relation(schema, name) => tokens.relation(schema, name)?,
        Sought::Operator(sign) => {
            let mut all = (0..tokens.0.len()).filter(|i| tokens.0[*i].token.token.to_string() == sign);
            let first = all.next()?;
            all.next().is_none().then_some(first)?
        }
        other => (0..tokens.0.len()).find(|i| tokens.fits(*i, other))?,
    };
    tokens.0.get(at).map(|lexeme| lexeme.at + 1)
}

struct Tokens<'a>(&'a [Lexeme]);

impl Tokens<'_> {
    fn token(&self, at: usize) -> Option<&Token> {
        self.0.get(at).map(|lexeme| &lexeme.token.token)
    }

    fn is_name(&self, at: usize, name: &str) -> bool {
        matches!(self.token(at), Some(Token::Word(word)) if fold(word) == name)
    }

    fn is(&self, at: usize, token: &Token) -> bool {
        self.token(at) == Some(token)
    }

    fn before(&self, at: usize) -> Option<&Token> {
        at.checked_sub(1).and_then(|at| self.token(at))
    }

    fn fits(&self, at: usize, sought: Sought<'_>) -> bool {
        let member = self.before(at) == Some(&Token::Period);
        let alias = self.before(at).is_some_and(|token| is_keyword(token, "AS"));
        match sought {
            Sought::Column(name) => {
                self.is_name(at, name)
                    && !member
                    && !alias
                    && !self.is(at + 1, &Token::Period)
                    && !self.is(at + 1, &Token::LParen)
            }
            Sought::Member(qualifier, name) => {
                self.is_name(at, qualifier) && self.is(at + 1, &Token::Period) && self.is_name(at + 2, name)
            }
            Sought::Qualifier(name) => self.is_name(at, name) && self.is(at + 1, &Token::Period) && !member,
            Sought::Function(name) => {
                let schema = self.is(at + 1, &Token::Period);
                let last = if schema { at + 2 } else { at };
                !member && self.is_name(last, name) && self.is(last + 1, &Token::LParen)
            }
            Sought::Name(name) => self.is_name(at, name),
            Sought::Literal(value) => match self.token(at) {
                Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => text == value,
                Some(Token::DollarQuotedString(text)) => text.value == value,
                _ => false,
            },
            Sought::Parameter(name) => matches!(self.token(at), Some(Token::Placeholder(text)) if text == name),
            Sought::Relation(..) | Sought::Operator(_) => false,
        }
    }

    /// A relation stands behind FROM, a join, a comma or the verb of a write; failing that, anywhere.
    fn relation(&self, schema: Option<&str>, name: &str) -> Option<usize> {
        const INTRODUCED: &[&str] = &["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "ONLY", "USING", "LATERAL"];
        let named = |at: usize| match schema {
            Some(schema) => self.is_name(at, schema) && self.is(at + 1, &Token::Period) && self.is_name(at + 2, name),
            None => self.is_name(at, name) && self.before(at) != Some(&Token::Period) && !self.is(at + 1, &Token::Period),
        };
        let introduced = |at: usize| {
            let before = self.before(at);
            before == Some(&Token::Comma)
                || before == Some(&Token::LParen)
                || before.is_some_and(|token| INTRODUCED.iter().any(|word| is_keyword(token, word)))
        };
        let all = || 0..self.0.len();
        all().find(|at| named(*at) && introduced(*at)).or_else(|| all().find(|at| named(*at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, sought: Sought<'_>, place: Option<&str>) {
        let found = place_of(text, sought).map(|at| text.chars().skip(at - 1).collect::<String>());
        assert_eq!(found.as_deref(), place, "{text}");
    }

    #[test]
    fn places_are_those_of_tokens() {
        check("SELECT 'x', /* x */ \"é\", x FROM t", Sought::Column("x"), Some("x FROM t"));
        check("SELECT 1 AS x, t.x, x FROM t", Sought::Column("x"), Some("x FROM t"));
        check("SELECT X(1), x", Sought::Column("x"), Some("x"));
        check("SELECT a.id, t.id FROM t", Sought::Member("t", "id"), Some("t.id FROM t"));
        check("SELECT t.a FROM s JOIN T ON true", Sought::Relation(None, "t"), Some("T ON true"));
        check("SELECT * FROM S.\"t\"", Sought::Relation(Some("s"), "t"), Some("S.\"t\""));
        check("SELECT u.a FROM t", Sought::Qualifier("u"), Some("u.a FROM t"));
        check("SELECT s.f(1)", Sought::Function("f"), Some("s.f(1)"));
        check("SELECT '1', 'é', 'abc'::int", Sought::Literal("abc"), Some("'abc'::int"));
        check("SELECT 1 = 'a'::text, 1 < 2", Sought::Operator("="), Some("= 'a'::text, 1 < 2"));
        check("SELECT 1 = 'a'::text, 1 = 2", Sought::Operator("="), None);
        check("SELECT $1, $2", Sought::Parameter("$2"), Some("$2"));
        check("SELECT a", Sought::Column("b"), None);
    }
}

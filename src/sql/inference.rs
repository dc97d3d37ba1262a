//! ON CONFLICT over expressions, or with a condition, which the parser does not know: written as the name of a constraint,
//! which says all of it. What index is meant is for `plan` to find.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use super::cursor::is_keyword;

/// Before the parts of an index and, after another `\u{1}`, a condition.
pub const INFERRED: &str = "\u{1}inferred:";

pub fn named(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let after_conflict = |tokens: &[TokenWithSpan], at: usize| tokens.get(at).is_some_and(|t| is_keyword(&t.token, "CONFLICT"));
    let mut at = 1;
    while at < tokens.len() {
        if after_conflict(&tokens, at - 1)
            && let Some((name, end)) = inference(&tokens, at)
        {
            let span = tokens.get(at).map_or_else(Span::empty, |token| token.span);
            let name = Token::Word(Word { value: name, quote_style: Some('"'), keyword: Keyword::NoKeyword });
            let target = [Token::make_keyword("ON"), Token::make_keyword("CONSTRAINT"), name];
            tokens.splice(at..end, target.map(|token| TokenWithSpan { token, span }));
        }
        at += 1;
    }
    tokens
}

/// The target of ON CONFLICT that begins here, when it is more than names of columns: as one name, and where DO stands.
fn inference(tokens: &[TokenWithSpan], from: usize) -> Option<(String, usize)> {
    if tokens.get(from).map(|t| &t.token) != Some(&Token::LParen) {
        return None;
    }
    let mut depth = 0usize;
    let close = tokens.iter().enumerate().skip(from).find_map(|(at, token)| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })?;
    let parts = tokens.get(from + 1..close)?;
    let filtered = tokens.get(close + 1).is_some_and(|t| is_keyword(&t.token, "WHERE"));
    let names = parts.iter().all(|t| matches!(t.token, Token::Word(_) | Token::Comma));
    if names && !filtered {
        return None;
    }
    let ends = |t: &TokenWithSpan| is_keyword(&t.token, "DO");
    let end = close + 1 + tokens.get(close + 1..)?.iter().position(ends)?;
    let text = |tokens: &[TokenWithSpan]| tokens.iter().map(|t| t.token.to_string()).collect::<Vec<_>>().join(" ");
    let condition = if filtered { text(tokens.get(close + 2..end)?) } else { String::new() };
    Some((format!("{INFERRED}{}\u{1}{condition}", text(parts)), end))
}

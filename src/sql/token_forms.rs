//! Forms that the parser does not know, written in tokens that it does: SELECT of nothing, BETWEEN SYMMETRIC, ROWS FROM,
//! literals behind the names of types, LIKE ANY, `current_schema` without parentheses.
//!
//! Each keeps the place of what it replaces. What they mean is settled in the tree: `compat` and `plan` know the marks.

use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};

use super::cursor::is_keyword;
use crate::types::{PgType, Written};

/// A function around the lower bound of BETWEEN SYMMETRIC.
pub const SYMMETRIC: &str = "\u{1}symmetric";
/// ROWS FROM as a function of the functions within.
pub const ROWS_FROM: &str = "\u{1}rows from";

pub fn rewritten(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !(0..tokens.len()).any(|at| is_form(&tokens, at)) {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 8);
    let mut closing: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let span = token.span;
        let put = |out: &mut Vec<TokenWithSpan>, token: Token| out.push(TokenWithSpan { token, span });
        if closing.last() == Some(&at) {
            closing.pop();
            put(&mut out, Token::RParen);
        }
        let follows = |word: &str| at > 0 && tokens.get(at - 1).is_some_and(|t| is_keyword(&t.token, word));
        if is_keyword(&token.token, "ASYMMETRIC") && follows("BETWEEN") {
            at += 1;
            continue;
        }
        if is_keyword(&token.token, "SYMMETRIC")
            && follows("BETWEEN")
            && let Some(end) = end_of_bound(&tokens, at + 1)
        {
            put(&mut out, quoted(SYMMETRIC));
            put(&mut out, Token::LParen);
            closing.push(end);
            at += 1;
            continue;
        }
        let next = |ahead: usize| tokens.get(at + ahead).map(|t| &t.token);
        if is_keyword(&token.token, "ROWS") && next(1).is_some_and(|t| is_keyword(t, "FROM")) && next(2) == Some(&Token::LParen) {
            put(&mut out, quoted(ROWS_FROM));
            at += 2;
            continue;
        }
        if let Some((operator, words)) = quantified_pattern(&tokens, at) {
            put(&mut out, operator);
            at += words;
            continue;
        }
        if is_bare_call(&tokens, at) {
            out.push(token.clone());
            put(&mut out, Token::LParen);
            put(&mut out, Token::RParen);
            at += 1;
            continue;
        }
        if let Some(literal) = typed_literal(&tokens, at) {
            let name = token.token.clone();
            for token in
                [Token::make_keyword("CAST"), Token::LParen, literal.clone(), Token::make_keyword("AS"), name, Token::RParen]
            {
                put(&mut out, token);
            }
            at += 2;
            continue;
        }
        out.push(token.clone());
        if selects_nothing(&tokens, at) {
            from_one_row(&mut out, span);
        }
        at += 1;
    }
    out
}

/// Whether one of these forms may begin here.
fn is_form(tokens: &[TokenWithSpan], at: usize) -> bool {
    let is_word = |word: &&str| tokens.get(at).is_some_and(|t| is_keyword(&t.token, word));
    ["SYMMETRIC", "ASYMMETRIC", "ROWS"].iter().any(is_word)
        || selects_nothing(tokens, at)
        || typed_literal(tokens, at).is_some()
        || quantified_pattern(tokens, at).is_some()
        || is_bare_call(tokens, at)
}

/// `[NOT] LIKE` or `ILIKE` before ANY, SOME or ALL, as the operator that it is, and how many words that were.
fn quantified_pattern(tokens: &[TokenWithSpan], at: usize) -> Option<(Token, usize)> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|t| is_keyword(&t.token, word));
    let negated = is(at, "NOT");
    let like = at + usize::from(negated);
    let operator = match (is(like, "LIKE"), is(like, "ILIKE"), negated) {
        (true, _, false) => Token::DoubleTilde,
        (true, _, true) => Token::ExclamationMarkDoubleTilde,
        (_, true, false) => Token::DoubleTildeAsterisk,
        (_, true, true) => Token::ExclamationMarkDoubleTildeAsterisk,
        _ => return None,
    };
    let quantifier = ["ANY", "SOME", "ALL"].iter().any(|word| is(like + 1, word));
    let open = tokens.get(like + 2).is_some_and(|t| t.token == Token::LParen);
    (quantifier && open).then_some((operator, like + 1 - at))
}

/// Whether `current_schema` or `current_role` stands for its call.
fn is_bare_call(tokens: &[TokenWithSpan], at: usize) -> bool {
    let called = ["CURRENT_SCHEMA", "CURRENT_ROLE"].iter().any(|word| tokens.get(at).is_some_and(|t| is_keyword(&t.token, word)));
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    let named = before.is_some_and(|t| t.token == Token::Period || is_keyword(&t.token, "AS"));
    let open = tokens.get(at + 1).is_some_and(|t| matches!(t.token, Token::LParen | Token::Period));
    called && !named && !open
}

/// The literal of `inet '10.0.0.1'` and its like, where the name of the type stands.
fn typed_literal(tokens: &[TokenWithSpan], at: usize) -> Option<&Token> {
    let (Token::Word(word), literal @ Token::SingleQuotedString(_)) = (&tokens.get(at)?.token, &tokens.get(at + 1)?.token) else {
        return None;
    };
    if word.quote_style.is_some() {
        return None;
    }
    let ty = PgType::from_internal_name(&word.value.to_ascii_lowercase()).filter(|ty| !ty.array)?;
    // The parser has a form of its own for times; a name behind AS or a point is none of a type.
    let other = matches!(ty.name.written()?, Written::Timetz | Written::Bit | Written::Varbit);
    let named = at > 0 && tokens.get(at - 1).is_some_and(|t| t.token == Token::Period || is_keyword(&t.token, "AS"));
    (!other && !named).then_some(literal)
}

fn quoted(name: &str) -> Token {
    Token::Word(Word {
        value: name.to_owned(),
        quote_style: Some('"'),
        keyword: datafusion::sql::sqlparser::keywords::Keyword::NoKeyword,
    })
}

/// SELECT without a list of columns, where there is no FROM either.
fn selects_nothing(tokens: &[TokenWithSpan], at: usize) -> bool {
    const AFTER: [&str; 9] = ["UNION", "EXCEPT", "INTERSECT", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET"];
    if !tokens.get(at).is_some_and(|t| is_keyword(&t.token, "SELECT")) {
        return false;
    }
    match tokens.get(at + 1).map(|t| &t.token) {
        None | Some(Token::EOF | Token::RParen) => true,
        Some(token) => AFTER.iter().any(|word| is_keyword(token, word)),
    }
}

/// `FROM (VALUES (1)) AS "…"`
fn from_one_row(out: &mut Vec<TokenWithSpan>, span: Span) {
    let word = |text: &str| Token::make_word(text, None);
    let one = Token::Number("1".to_owned(), false);
    let tokens = [
        word("FROM"),
        Token::LParen,
        word("VALUES"),
        Token::LParen,
        one,
        Token::RParen,
        Token::RParen,
        word("AS"),
        quoted("\u{1}nothing"),
    ];
    out.extend(tokens.into_iter().map(|token| TokenWithSpan { token, span }));
}

/// Where the AND after the lower bound stands.
fn end_of_bound(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.checked_sub(1)?,
            token if is_keyword(token, "CASE") => depth += 1,
            token if is_keyword(token, "END") => depth = depth.checked_sub(1)?,
            token if depth == 0 && is_keyword(token, "AND") => return Some(at),
            _ => {}
        }
    }
    None
}

//! `SET a[1][2] = x` of UPDATE, which the parser does not know, as the assignment of a whole array:
//! `SET a = pg_array_assigned(a, x, 1, 2)`.
//!
//! Slices stay as they are, to be refused as what the parser does not know.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::cursor::is_keyword;

/// `pg_array_assigned(array, value, subscript, …)`: the array with another value in one place.
pub const ASSIGNED: &str = "pg_array_assigned";

pub fn rewritten(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let Some(update) = tokens.iter().position(|t| is_keyword(&t.token, "UPDATE")) else { return tokens };
    let mut changes = Vec::new();
    for at in update..tokens.len() {
        if is_keyword(&tokens[at].token, "SET") {
            find(&tokens, at + 1, &mut changes);
        }
    }
    if changes.is_empty() {
        return tokens;
    }
    let mut out = Vec::with_capacity(tokens.len() + 8 * changes.len());
    let mut done = 0;
    for change in changes {
        out.extend_from_slice(&tokens[done..change.column]);
        write(&tokens, &change, &mut out);
        done = change.end;
    }
    out.extend_from_slice(&tokens[done..]);
    out
}

struct Change {
    column: usize,
    /// The tokens of each subscript, from the first to behind the last.
    subscripts: Vec<(usize, usize)>,
    value: usize,
    end: usize,
}

/// The assignments to elements in a list that begins here.
fn find(tokens: &[TokenWithSpan], mut at: usize, changes: &mut Vec<Change>) {
    let token = |at: usize| tokens.get(at).map(|t| &t.token);
    loop {
        let column = at;
        let mut subscripts = Vec::new();
        at += 1;
        while token(at) == Some(&Token::LBracket) {
            let end = end_of(tokens, at + 1, |t| *t == Token::RBracket);
            if (at + 1..end).any(|at| token(at) == Some(&Token::Colon)) || token(end).is_none() {
                return;
            }
            subscripts.push((at + 1, end));
            at = end + 1;
        }
        let assigned = matches!(token(column), Some(Token::Word(_))) && token(at) == Some(&Token::Eq);
        let value = at + 1;
        let end = end_of_value(tokens, value);
        if assigned && !subscripts.is_empty() {
            changes.push(Change { column, subscripts, value, end });
        }
        if token(end) != Some(&Token::Comma) {
            return;
        }
        at = end + 1;
    }
}

/// The first token outside of all brackets and CASEs that `ends` accepts, or that closes what was not opened here.
fn end_of(tokens: &[TokenWithSpan], from: usize, ends: impl Fn(&Token) -> bool) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match &token.token {
            found if depth == 0 && ends(found) => return at,
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return at,
            Token::RParen | Token::RBracket => depth -= 1,
            word if is_keyword(word, "CASE") => depth += 1,
            word if is_keyword(word, "END") => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    tokens.len()
}

fn end_of_value(tokens: &[TokenWithSpan], mut from: usize) -> usize {
    const BEHIND: [&str; 4] = ["WHERE", "FROM", "RETURNING", "WHEN"];
    loop {
        let end = end_of(tokens, from, |t| {
            matches!(t, Token::Comma | Token::SemiColon | Token::EOF) || BEHIND.iter().any(|word| is_keyword(t, word))
        });
        // The FROM of IS DISTINCT FROM ends nothing.
        let before = end.checked_sub(1).and_then(|at| tokens.get(at));
        if !before.is_some_and(|t| is_keyword(&t.token, "DISTINCT")) {
            return end;
        }
        from = end + 1;
    }
}

fn write(tokens: &[TokenWithSpan], change: &Change, out: &mut Vec<TokenWithSpan>) {
    let column = &tokens[change.column];
    let put = |out: &mut Vec<TokenWithSpan>, token: Token| out.push(TokenWithSpan { token, span: column.span });
    out.push(column.clone());
    put(out, Token::Eq);
    put(out, Token::make_word(ASSIGNED, None));
    put(out, Token::LParen);
    out.push(column.clone());
    put(out, Token::Comma);
    out.extend_from_slice(&tokens[change.value..change.end]);
    for (from, end) in &change.subscripts {
        put(out, Token::Comma);
        out.extend_from_slice(&tokens[*from..*end]);
    }
    put(out, Token::RParen);
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn shown(sql: &str) -> String {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location().unwrap();
        let words = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_)));
        let tokens = rewritten(words.collect());
        tokens.iter().map(|t| t.token.to_string()).collect::<Vec<_>>().concat()
    }

    #[test]
    fn elements_are_assigned_as_whole_arrays() {
        for (sql, expected) in [
            ("update t set a[1] = 5 where id = 1", "a=pg_array_assigned(a,5,1)"),
            ("update t set b = 1, a[1][i+1] = (select 1, 2 from x)", "a=pg_array_assigned(a,(select1,2fromx),1,i+1)"),
            ("update t set a[1] = case when b then 1 else 2 end, c = 3", "a=pg_array_assigned(a,casewhenbthen1else2end,1),c=3"),
            ("update t set a[1] = x is distinct from y returning a", "a=pg_array_assigned(a,xisdistinctfromy,1)returninga"),
        ] {
            let found = shown(sql).replace(' ', "");
            assert!(found.contains(&expected.replace(' ', "")), "{sql}: {found}");
        }
        for sql in ["update t set a[1:2] = b", "select a[1] = 5", "update t set a = b[1]", "set x = 'update'"] {
            assert!(!shown(sql).contains(ASSIGNED), "{sql}");
        }
    }
}

//! A column's new name in the text of an expression over one table.
//!
//! Goes by tokens: a word that is the column's name and neither calls a function nor qualifies another. Text of
//! other languages and of queries is not for it.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{fold, is_reserved_name};
use super::lex;
use crate::error::Result;

/// The expression with every mention of the column `from` made one of `to`.
pub fn rename_column(expression: &str, from: &str, to: &str) -> Result<String> {
    let lexed = lex::lex(expression)?;
    let mut renamed = String::with_capacity(expression.len());
    let mut copied = 0;
    for (n, lexeme) in lexed.lexemes.iter().enumerate() {
        let Token::Word(word) = &lexeme.token.token else { continue };
        let next = lexed.lexemes.get(n + 1).map(|l| &l.token.token);
        if fold(word) != from || matches!(next, Some(Token::LParen | Token::Period)) {
            continue;
        }
        renamed.push_str(expression.get(copied..lexeme.start).unwrap_or_default());
        renamed.push_str(&written(to));
        copied = lexeme.end;
    }
    renamed.push_str(expression.get(copied..).unwrap_or_default());
    Ok(renamed)
}

/// A name as it must be written.
fn written(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_reserved_name(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_renamed_where_it_is_meant() {
        let check = |text: &str, expected: &str| assert_eq!(rename_column(text, "a", "b").unwrap(), expected);
        check("a > 0 AND A < 9", "b > 0 AND b < 9");
        check("\"a\" > 0 OR \"A\" > 0", "b > 0 OR \"A\" > 0");
        check("t.a = a(1) + 'a'", "t.b = a(1) + 'a'");
        assert_eq!(rename_column("a IS NULL", "a", "Order").unwrap(), "\"Order\" IS NULL");
    }
}

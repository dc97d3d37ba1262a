//! New names in texts of definitions: of a column in an expression over one table, of a type or a label in casts.
//!
//! A column goes by tokens: a word that is the column's name and neither calls a function nor qualifies another. Text
//! of other languages and of queries is not for it. Types and labels go by the tree, of expressions and of queries.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, ArrayElemTypeDef, DataType, Expr, Ident, ObjectName, Value};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::{fold, is_reserved_name};
use super::lex;
use crate::error::Result;
use crate::types::Qualified;

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

/// A domain's condition with VALUE replaced by another expression, which comes in parentheses unless it is a name.
pub fn with_value(condition: &str, value: &str) -> Result<String> {
    let lexed = lex::lex(condition)?;
    let mut out = String::with_capacity(condition.len() + value.len());
    let mut copied = 0;
    for (n, lexeme) in lexed.lexemes.iter().enumerate() {
        let Token::Word(word) = &lexeme.token.token else { continue };
        let next = lexed.lexemes.get(n + 1).map(|l| &l.token.token);
        if fold(word) != "value" || word.quote_style.is_some() || matches!(next, Some(Token::LParen | Token::Period)) {
            continue;
        }
        out.push_str(condition.get(copied..lexeme.start).unwrap_or_default());
        out.push_str(value);
        copied = lexeme.end;
    }
    out.push_str(condition.get(copied..).unwrap_or_default());
    Ok(out)
}

/// A name as it must be written.
fn written(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_reserved_name(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Whether a type's schema and name, as written, mean the type in question.
pub type IsType<'a> = &'a dyn Fn(Option<&str>, &str) -> bool;

/// Schema and name of a type that is not spelled as one of PostgreSQL's.
pub fn own_name(ty: &DataType) -> Option<(Option<String>, String)> {
    match ty {
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::AngleBracket(inner)) => own_name(inner),
        DataType::Custom(name, _) => {
            let mut parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
            let name = parts.pop()?;
            Some((parts.pop(), name))
        }
        _ => None,
    }
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

fn is_type(ty: &DataType, is_it: IsType<'_>) -> bool {
    own_name(ty).is_some_and(|(schema, name)| is_it(schema.as_deref(), &name))
}

/// An expression or a query with `change` applied to every expression in it; `None` for a text that is neither.
fn rewritten(text: &str, mut change: impl FnMut(&mut Expr)) -> Option<String> {
    let parser = || Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok();
    let mut visit = |expr: &mut Expr| {
        change(expr);
        ControlFlow::<()>::Continue(())
    };
    let whole = |parser: &mut Parser<'_>| parser.peek_token().token == Token::EOF;
    let mut as_expression = parser()?;
    if let Ok(mut expr) = as_expression.parse_expr()
        && whole(&mut as_expression)
    {
        let _ = ast::visit_expressions_mut(&mut expr, &mut visit);
        return Some(expr.to_string());
    }
    let mut as_query = parser()?;
    let mut query = as_query.parse_query().ok().filter(|_| whole(&mut as_query))?;
    let _ = ast::visit_expressions_mut(&mut query, &mut visit);
    Some(query.to_string())
}

/// Whether the text casts to the type. False for a text that cannot be read.
pub fn mentions_type(text: &str, is_it: IsType<'_>) -> bool {
    let mut found = false;
    let read = rewritten(text, |expr| {
        if let Expr::Cast { data_type, .. } = expr {
            found |= is_type(data_type, is_it);
        }
    });
    read.is_some() && found
}

/// The text with casts to the type made ones to its new name; as it is where it has none.
pub fn rename_type(text: &str, is_it: IsType<'_>, to: &Qualified) -> String {
    if !mentions_type(text, is_it) {
        return text.to_owned();
    }
    let renamed = rewritten(text, |expr| {
        if let Expr::Cast { data_type, .. } = expr
            && is_type(data_type, is_it)
        {
            set_name(data_type, to);
        }
    });
    renamed.unwrap_or_else(|| text.to_owned())
}

/// Gives a type that is a user's, or an array of such, this name.
pub fn set_name(ty: &mut DataType, to: &Qualified) {
    match ty {
        DataType::Array(ArrayElemTypeDef::SquareBracket(inner, _) | ArrayElemTypeDef::AngleBracket(inner)) => set_name(inner, to),
        DataType::Custom(name, _) => {
            *name = ObjectName::from(vec![Ident::with_quote('"', &to.schema), Ident::with_quote('"', &to.name)]);
        }
        _ => {}
    }
}

/// The text with the label `from` of the type renamed, where it stands in a cast to it; a text that is nothing but the
/// label is one as well.
pub fn rename_label(text: &str, is_it: IsType<'_>, from: &str, to: &str) -> String {
    let renames = |expr: &mut Expr| {
        if let Expr::Value(value) = expr
            && let Value::SingleQuotedString(label) | Value::EscapedStringLiteral(label) = &mut value.value
            && label == from
        {
            to.clone_into(label);
        }
    };
    let mut depth = 0;
    let renamed = rewritten(text, |expr| {
        depth += 1;
        match expr {
            Expr::Cast { expr: inner, data_type, .. } if is_type(data_type, is_it) => renames(inner),
            // The last to be visited is the whole.
            _ => {}
        }
    });
    let renamed = renamed.unwrap_or_else(|| text.to_owned());
    if depth != 1 {
        return renamed;
    }
    rewritten(&renamed, renames).unwrap_or(renamed)
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

    #[test]
    fn types_and_labels_are_renamed_in_casts() {
        let is_it = |schema: Option<&str>, name: &str| schema.is_none_or(|s| s == "public") && name == "mood";
        let to = Qualified::new("public", "state of mind");
        let check = |text: &str, expected: &str| assert_eq!(rename_type(text, &is_it, &to), expected);
        check("'sad'::mood", "'sad'::\"public\".\"state of mind\"");
        check("CAST(x AS public.mood[])", "CAST(x AS \"public\".\"state of mind\"[])");
        check("SELECT 'a'::mood AS mood", "SELECT 'a'::\"public\".\"state of mind\" AS mood");
        check("'sad'::other.mood  ", "'sad'::other.mood  ");
        let check = |text: &str, expected: &str| assert_eq!(rename_label(text, &is_it, "sad", "it's"), expected);
        check("'sad'::mood", "'it''s'::mood");
        check("'sad'", "'it''s'");
        check("lower('sad')", "lower('sad')");
        check("m <> 'sad'::mood AND t <> 'sad'::text", "m <> 'it''s'::mood AND t <> 'sad'::TEXT");
        assert_eq!(with_value("VALUE > 0 AND value(1) < \"value\"", "x").unwrap(), "x > 0 AND value(1) < \"value\"");
    }
}

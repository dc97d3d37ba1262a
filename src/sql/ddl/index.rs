//! CREATE INDEX. What only changes an index's layout is kept to be shown, or read over.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::column::{collation, index_parameters};
use super::if_not_exists;
use crate::error::Result;
use crate::sql::cursor::{Cursor, expression};
use crate::sql::statement::{CreateIndex, Ddl, IndexElement, IndexKey};

pub fn create(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let unique = cursor.accept("UNIQUE");
    cursor.expect("INDEX")?;
    cursor.accept("CONCURRENTLY");
    let if_not_exists = if_not_exists(cursor);
    let name = if cursor.sees("ON") { None } else { Some(cursor.ident()?) };
    cursor.expect("ON")?;
    cursor.accept("ONLY");
    let table = cursor.name()?;
    let method = if cursor.accept("USING") { Some(cursor.ident()?) } else { None };
    let parts = cursor.parenthesised(element)?;
    if cursor.sees_all(&["NULLS", "NOT", "DISTINCT"]) {
        return Err(cursor.unsupported("NULLS NOT DISTINCT is not supported", "Declare the columns NOT NULL."));
    }
    cursor.accept_all(&["NULLS", "DISTINCT"]);
    let include = if cursor.accept("INCLUDE") { cursor.idents()? } else { Vec::new() };
    index_parameters(cursor)?;
    if cursor.accept("TABLESPACE") {
        cursor.ident()?;
    }
    let predicate = if cursor.accept("WHERE") {
        let slice = cursor.rest();
        expression(slice)?;
        cursor.seek(cursor.slice().len());
        Some(slice.text().to_owned())
    } else {
        None
    };
    Ok(Ddl::CreateIndex(CreateIndex { name, if_not_exists, table, method, parts, include, predicate, unique }))
}

fn element(cursor: &mut Cursor<'_>) -> Result<IndexElement> {
    let start = cursor.index();
    let key = if cursor.sees_token(&Token::LParen) {
        let inner = cursor.balanced()?;
        expression(inner)?;
        IndexKey::Expression(inner.text().to_owned())
    } else {
        let call = cursor.peek_at(1) == Some(&Token::LParen) || cursor.peek_at(1) == Some(&Token::Period);
        if call {
            while cursor.word().is_ok() && cursor.accept_token(&Token::Period) {}
            cursor.balanced()?;
            let slice = cursor.slice().part(start, cursor.index());
            expression(slice)?;
            IndexKey::Expression(slice.text().to_owned())
        } else {
            IndexKey::Column(cursor.ident()?)
        }
    };
    if cursor.accept("COLLATE") {
        collation(cursor)?;
    }
    // An operator class chooses how to compare; the default compares as the type does, patterns as bytes.
    let mut class = None;
    if let Some(word) = cursor.peek_keyword()
        && !["ASC", "DESC", "NULLS"].contains(&word.as_str())
    {
        class = Some(cursor.name()?.name);
        if cursor.sees_token(&Token::LParen) {
            let hint = "Leave the parameters of the operator class out.";
            return Err(cursor.unsupported("parameters of an operator class are not supported", hint));
        }
    }
    let ordered = ["ASC", "DESC", "NULLS"].iter().any(|word| cursor.sees(word));
    let descending = cursor.accept_any(&["ASC", "DESC"]) == Some("DESC");
    let nulls_first = match cursor.accept("NULLS") {
        false => descending,
        true => match cursor.accept_any(&["FIRST", "LAST"]) {
            Some(which) => which == "FIRST",
            None => return Err(cursor.syntax()),
        },
    };
    Ok(IndexElement { key, ordered, descending, nulls_first, operator_class: class })
}

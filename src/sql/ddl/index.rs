//! CREATE INDEX over columns. Everything that would change what an index answers is refused; what only
//! changes its layout is read over.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::column::{collation, index_parameters};
use super::if_not_exists;
use crate::error::{Result, SqlError};
use crate::sql::cursor::Cursor;
use crate::sql::statement::{CreateIndex, Ddl};

pub fn create(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let unique = cursor.accept("UNIQUE");
    cursor.expect("INDEX")?;
    cursor.accept("CONCURRENTLY");
    let if_not_exists = if_not_exists(cursor);
    let name = if cursor.sees("ON") { None } else { Some(cursor.ident()?) };
    cursor.expect("ON")?;
    cursor.accept("ONLY");
    let table = cursor.name()?;
    if cursor.accept("USING") {
        let position = cursor.position();
        let method = cursor.ident()?;
        if method != "btree" {
            let message = format!("access method \"{method}\" is not supported");
            return Err(SqlError::unsupported(message, "Use btree, the default.").at(position));
        }
    }
    let columns = cursor.parenthesised(|next| column(next, unique))?;
    if cursor.sees_all(&["NULLS", "NOT", "DISTINCT"]) {
        return Err(cursor.unsupported("NULLS NOT DISTINCT is not supported", "Declare the columns NOT NULL."));
    }
    index_parameters_in_order(cursor)?;
    if cursor.sees("WHERE") {
        return Err(cursor.unsupported("partial indexes are not supported", "Leave WHERE out: the index then serves all rows."));
    }
    Ok(Ddl::CreateIndex(CreateIndex { name, if_not_exists, table, columns, unique }))
}

fn index_parameters_in_order(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.accept_all(&["NULLS", "DISTINCT"]);
    index_parameters(cursor)?;
    if cursor.accept("TABLESPACE") {
        cursor.ident()?;
    }
    Ok(())
}

fn column(cursor: &mut Cursor<'_>, unique: bool) -> Result<String> {
    let call = cursor.peek_at(1) == Some(&Token::LParen);
    if call || cursor.sees_token(&Token::LParen) {
        let hint = match unique {
            true => "Keep the value in a column of its own, with UNIQUE on it.",
            false => "Index the columns themselves.",
        };
        return Err(cursor.unsupported("indexes on expressions are not supported", hint));
    }
    let name = cursor.ident()?;
    if cursor.accept("COLLATE") {
        collation(cursor)?;
    }
    // An operator class chooses how to compare; the default compares as the type does, patterns as bytes.
    if let Some(word) = cursor.peek_keyword()
        && !["ASC", "DESC", "NULLS"].contains(&word.as_str())
    {
        operator_class(cursor)?;
    }
    cursor.accept_any(&["ASC", "DESC"]);
    if cursor.accept("NULLS") && cursor.accept_any(&["FIRST", "LAST"]).is_none() {
        return Err(cursor.syntax());
    }
    Ok(name)
}

fn operator_class(cursor: &mut Cursor<'_>) -> Result<()> {
    let position = cursor.position();
    let class = cursor.name()?.name;
    if class.ends_with("_ops") && !class.contains("gin") && !class.contains("gist") && !class.contains("trgm") {
        return Ok(());
    }
    let message = format!("operator class \"{class}\" is not supported");
    Err(SqlError::unsupported(message, "Leave the operator class out.").at(position))
}

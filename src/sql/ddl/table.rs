//! CREATE TABLE.

use std::collections::HashSet;

use datafusion::sql::sqlparser::tokenizer::Token;

use super::column;
use super::if_not_exists;
use crate::error::{Result, SqlError, SqlState};
use crate::sql::cursor::Cursor;
use crate::sql::query;
use crate::sql::statement::{ConstraintKind, ConstraintSpec, CreateTable, CreateTableAs, Ddl, Name};

/// Reads what follows CREATE TABLE.
pub fn create(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_not_exists = if_not_exists(cursor);
    let position = cursor.position();
    let name = cursor.name()?;
    refuse_other_sources(cursor)?;
    if let Some(columns) = columns_before_as(cursor)? {
        return create_as(cursor, name, if_not_exists, columns);
    }
    let mut table = CreateTable { name, if_not_exists, columns: Vec::new(), constraints: Vec::new() };
    cursor.expect_token(&Token::LParen)?;
    if !cursor.accept_token(&Token::RParen) {
        cursor.list(|element| table_element(element, &mut table))?;
        cursor.expect_token(&Token::RParen)?;
    }
    table_options(cursor)?;
    refuse_other_sources(cursor)?;
    check(&mut table).map_err(|e| e.at(position))?;
    Ok(Ddl::CreateTable(table))
}

/// The names before AS where this is CREATE TABLE … AS; otherwise the cursor stays where it is.
fn columns_before_as(cursor: &mut Cursor<'_>) -> Result<Option<Vec<String>>> {
    let start = *cursor;
    let columns = if cursor.sees_token(&Token::LParen) { cursor.idents() } else { Ok(Vec::new()) };
    if let Ok(columns) = columns {
        let options = table_options(cursor);
        if cursor.accept("AS") {
            options?;
            return Ok(Some(columns));
        }
    }
    *cursor = start;
    Ok(None)
}

/// Reads the query, and `WITH [NO] DATA` behind it.
fn create_as(cursor: &mut Cursor<'_>, name: Name, if_not_exists: bool, columns: Vec<String>) -> Result<Ddl> {
    if cursor.sees("EXECUTE") {
        let hint = "Write the query out after AS.";
        return Err(cursor.unsupported("CREATE TABLE … AS EXECUTE is not supported", hint));
    }
    let (from, end) = (cursor.index(), cursor.slice().len());
    let ends_with = |words: &[&str]| {
        let mut tail = *cursor;
        tail.seek(end.saturating_sub(words.len()));
        tail.sees_all(words)
    };
    let (to, with_data) = if ends_with(&["WITH", "NO", "DATA"]) {
        (end - 3, false)
    } else if ends_with(&["WITH", "DATA"]) {
        (end - 2, true)
    } else {
        (end, true)
    };
    if to <= from {
        return Err(cursor.syntax());
    }
    let query = query::parse_query(cursor.slice().part(from, to))?;
    cursor.seek(end);
    Ok(Ddl::CreateTableAs(Box::new(CreateTableAs { name, if_not_exists, columns, query, with_data, into: false })))
}

fn refuse_other_sources(cursor: &Cursor<'_>) -> Result<()> {
    for (words, message, hint) in [
        (&["PARTITION"][..], "partitioned tables are not supported", "Use one table: history is kept apart by itself."),
        (&["OF"], "typed tables are not supported", "Name the columns."),
        (&["INHERITS"], "inheritance is not supported", "Use a table with all the columns, or a view."),
        (&["ON", "COMMIT"], "ON COMMIT is not supported", "Use a plain table and drop it."),
    ] {
        if cursor.sees_all(words) {
            return Err(cursor.unsupported(message, hint));
        }
    }
    Ok(())
}

fn table_element(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    if cursor.sees("LIKE") {
        return Err(cursor.unsupported("CREATE TABLE … LIKE is not supported", "Name the columns."));
    }
    if is_table_constraint(cursor) {
        table.constraints.push(column::table_constraint(cursor)?);
        return Ok(());
    }
    let (column, constraints) = column::definition(cursor, &table.name.name)?;
    table.columns.push(column);
    table.constraints.extend(constraints);
    Ok(())
}

/// Whether a constraint comes next, and not a column (of which `exclude`, say, may be the name).
fn is_table_constraint(cursor: &Cursor<'_>) -> bool {
    ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].iter().any(|word| cursor.sees(word))
        || cursor.sees_all(&["EXCLUDE", "USING"])
}

fn table_options(cursor: &mut Cursor<'_>) -> Result<()> {
    loop {
        if cursor.accept_all(&["WITHOUT", "OIDS"]) {
            continue;
        }
        if cursor.sees("WITH") {
            column::storage_options(cursor)?;
        } else if cursor.accept("USING") {
            let position = cursor.position();
            let method = cursor.ident()?;
            if method != "heap" {
                let message = format!("access method \"{method}\" is not supported");
                return Err(SqlError::unsupported(message, "Leave USING out.").at(position));
            }
        } else if cursor.accept("TABLESPACE") {
            // There is one place for data, whatever its name.
            cursor.ident()?;
        } else {
            return Ok(());
        }
    }
}

/// The rules between a table's elements that need no catalogue.
fn check(table: &mut CreateTable) -> Result<()> {
    let mut names = HashSet::new();
    for column in &table.columns {
        if !names.insert(column.name.as_str()) {
            return Err(specified_twice(&column.name));
        }
    }
    let keys: Vec<_> = table.constraints.iter().filter_map(primary_key).collect();
    if keys.len() > 1 {
        let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name.name);
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
    }
    for constraint in &table.constraints {
        let (ConstraintKind::PrimaryKey(columns) | ConstraintKind::Unique(columns)) = &constraint.kind else { continue };
        if let Some(missing) = columns.iter().find(|c| !names.contains(c.as_str())) {
            let message = format!("column \"{missing}\" named in key does not exist");
            return Err(SqlError::new(SqlState::UNDEFINED_COLUMN, message));
        }
    }
    let key: Vec<String> = keys.into_iter().flatten().cloned().collect();
    for column in table.columns.iter_mut().filter(|c| key.contains(&c.name)) {
        column.not_null = true;
    }
    Ok(())
}

fn primary_key(constraint: &ConstraintSpec) -> Option<&Vec<String>> {
    match &constraint.kind {
        ConstraintKind::PrimaryKey(columns) => Some(columns),
        ConstraintKind::Unique(_)
        | ConstraintKind::Check { .. }
        | ConstraintKind::ForeignKey(_)
        | ConstraintKind::UsingIndex { .. } => None,
    }
}

fn specified_twice(column: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{column}\" specified more than once"))
}

//! CREATE TABLE, with columns or AS a query.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::column;
use super::if_not_exists;
use crate::error::{Result, SqlError, SqlState};
use crate::sql::cursor::{Cursor, is_keyword};
use crate::sql::query;
use crate::sql::statement::{ConstraintKind, ConstraintSpec, CreateTable, CreateTableAs, Ddl, Name};

/// Reads what follows CREATE TABLE.
pub fn create(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_not_exists = if_not_exists(cursor);
    let position = cursor.position();
    let name = cursor.name()?;
    if let Some(columns) = columns_before_as(cursor)? {
        return create_as(cursor, name, if_not_exists, columns);
    }
    refuse_other_sources(cursor)?;
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

/// The names in parentheses that come before AS; `None` where no AS comes.
fn columns_before_as(cursor: &mut Cursor<'_>) -> Result<Option<Vec<String>>> {
    if cursor.accept("AS") {
        return Ok(Some(Vec::new()));
    }
    let mut ahead = *cursor;
    match ahead.idents() {
        Ok(columns) if ahead.accept("AS") => {
            *cursor = ahead;
            Ok(Some(columns))
        }
        _ => Ok(None),
    }
}

fn create_as(cursor: &mut Cursor<'_>, name: Name, if_not_exists: bool, columns: Vec<String>) -> Result<Ddl> {
    let rest = cursor.rest();
    let ends_with = |words: &[&str]| {
        let from = rest.len().checked_sub(words.len())?;
        let all = words.iter().enumerate().all(|(n, word)| rest.get(from + n).is_some_and(|token| is_keyword(token, word)));
        all.then_some(from)
    };
    let (to, with_data) = match (ends_with(&["WITH", "NO", "DATA"]), ends_with(&["WITH", "DATA"])) {
        (Some(to), _) => (to, false),
        (None, Some(to)) => (to, true),
        (None, None) => (rest.len(), true),
    };
    if to == 0 {
        return Err(cursor.syntax());
    }
    let query = query::parse_query(rest.part(0, to))?;
    refuse_own_name(&name, &query).map_err(|e| e.at(rest.position(0)))?;
    cursor.seek(cursor.slice().len());
    Ok(Ddl::CreateTableAs(CreateTableAs { name, if_not_exists, columns, query, with_data }))
}

/// A relation of the new table's name that the query reads would be the new table itself by the time it is read.
pub fn refuse_own_name(name: &Name, query: &ast::Query) -> Result<()> {
    let found = ast::visit_relations(query, |relation| match &relation.0[..] {
        [part] if part.as_ident().is_some_and(|ident| ident.value.eq_ignore_ascii_case(&name.name)) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    match found.is_break() {
        true => Err(SqlError::unsupported(
            format!("the query reads a relation that is called \"{}\" like the new table", name.name),
            "Name its schema.",
        )),
        false => Ok(()),
    }
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

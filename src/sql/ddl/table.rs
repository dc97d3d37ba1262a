//! CREATE TABLE, with columns or AS a query.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::column;
use super::if_not_exists;
use crate::error::{Result, SqlError, SqlState};
use crate::sql::cursor::Cursor;
use crate::sql::query;
use crate::sql::statement::{ConstraintKind, ConstraintSpec, CreateTable, CreateTableAs, Ddl, Including, LikeSpec, Name};
use crate::types::OnCommit;

/// Reads what follows CREATE [TEMPORARY] TABLE.
pub fn create(cursor: &mut Cursor<'_>, temporary: bool) -> Result<Ddl> {
    let if_not_exists = if_not_exists(cursor);
    let position = cursor.position();
    let name = cursor.name()?;
    let temporary = temporary || name.schema.as_deref() == Some("pg_temp");
    if let Some((columns, on_commit)) = columns_before_as(cursor, temporary)? {
        return create_as(cursor, name, if_not_exists, columns, on_commit);
    }
    refuse_other_sources(cursor)?;
    let on_commit = OnCommit::default();
    let mut table =
        CreateTable { name, if_not_exists, columns: Vec::new(), constraints: Vec::new(), on_commit, likes: Vec::new() };
    cursor.expect_token(&Token::LParen)?;
    if !cursor.accept_token(&Token::RParen) {
        cursor.list(|element| table_element(element, &mut table))?;
        cursor.expect_token(&Token::RParen)?;
    }
    table.on_commit = table_options(cursor, temporary)?;
    refuse_other_sources(cursor)?;
    check(&mut table).map_err(|e| e.at(position))?;
    Ok(Ddl::CreateTable(table))
}

/// The names in parentheses and the options that come before AS; `None` where no AS comes.
fn columns_before_as(cursor: &mut Cursor<'_>, temporary: bool) -> Result<Option<(Vec<String>, OnCommit)>> {
    let mut ahead = *cursor;
    let columns = match ahead.sees_token(&Token::LParen) {
        true => ahead.idents(),
        false => Ok(Vec::new()),
    };
    let Ok(columns) = columns else { return Ok(None) };
    let options = table_options(&mut ahead, temporary);
    if !ahead.accept("AS") {
        return Ok(None);
    }
    *cursor = ahead;
    Ok(Some((columns, options?)))
}

fn create_as(cursor: &mut Cursor<'_>, name: Name, if_not_exists: bool, columns: Vec<String>, on_commit: OnCommit) -> Result<Ddl> {
    let (query, _, with_data) = query_with_data(cursor)?;
    Ok(Ddl::CreateTableAs(CreateTableAs { name, if_not_exists, columns, query, with_data, on_commit }))
}

/// Reads what follows CREATE MATERIALIZED VIEW.
pub fn create_materialized_view(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    let if_not_exists = if_not_exists(cursor);
    let name = cursor.name()?;
    let columns = if cursor.sees_token(&Token::LParen) { cursor.idents()? } else { Vec::new() };
    access_method(cursor)?;
    if cursor.sees("WITH") {
        column::storage_options(cursor)?;
    }
    if cursor.accept("TABLESPACE") {
        cursor.ident()?;
    }
    cursor.expect("AS")?;
    let (query, query_text, with_data) = query_with_data(cursor)?;
    let create = CreateTableAs { name, if_not_exists, columns, query, with_data, on_commit: OnCommit::default() };
    Ok(Ddl::CreateMaterializedView { create, query_text })
}

/// Reads a whole REFRESH statement.
pub fn refresh(cursor: &mut Cursor<'_>) -> Result<Ddl> {
    cursor.expect_all(&["REFRESH", "MATERIALIZED", "VIEW"])?;
    let concurrently = cursor.accept("CONCURRENTLY");
    let name = cursor.name()?;
    let with_data = !cursor.accept_all(&["WITH", "NO", "DATA"]);
    cursor.accept_all(&["WITH", "DATA"]);
    if concurrently && !with_data {
        return Err(SqlError::syntax("REFRESH options CONCURRENTLY and WITH NO DATA cannot be used together"));
    }
    Ok(Ddl::Refresh { name, concurrently, with_data })
}

/// The query to the end of the statement, its text, and whether it is to be run.
fn query_with_data(cursor: &mut Cursor<'_>) -> Result<(Box<ast::Query>, String, bool)> {
    let rest = cursor.rest();
    let (text, with_data) = match (rest.without_last(&["WITH", "NO", "DATA"]), rest.without_last(&["WITH", "DATA"])) {
        (Some(query), _) => (query, false),
        (None, Some(query)) => (query, true),
        (None, None) => (rest, true),
    };
    if text.is_empty() {
        return Err(cursor.syntax());
    }
    let query = query::parse_query(text)?;
    cursor.seek(cursor.slice().len());
    Ok((query, text.text().to_owned(), with_data))
}

fn refuse_other_sources(cursor: &Cursor<'_>) -> Result<()> {
    for (words, message, hint) in [
        (&["PARTITION"][..], "partitioned tables are not supported", "Use one table: history is kept apart by itself."),
        (&["OF"], "typed tables are not supported", "Name the columns."),
        (&["INHERITS"], "inheritance is not supported", "Use a table with all the columns, or a view."),
    ] {
        if cursor.sees_all(words) {
            return Err(cursor.unsupported(message, hint));
        }
    }
    Ok(())
}

fn table_element(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    if cursor.accept("LIKE") {
        let like = LikeSpec { at: table.columns.len(), table: cursor.name()?, including: including(cursor)? };
        table.likes.push(like);
        return Ok(());
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

/// `INCLUDING …` and `EXCLUDING …`, later ones over earlier ones.
fn including(cursor: &mut Cursor<'_>) -> Result<Including> {
    let mut chosen = Including::default();
    loop {
        let on = if cursor.accept("INCLUDING") {
            true
        } else if cursor.accept("EXCLUDING") {
            false
        } else {
            return Ok(chosen);
        };
        let position = cursor.position();
        match cursor.word()?.as_str() {
            "all" => {
                chosen = Including { comments: on, constraints: on, defaults: on, generated: on, identity: on, indexes: on };
            }
            "comments" => chosen.comments = on,
            "constraints" => chosen.constraints = on,
            "defaults" => chosen.defaults = on,
            "generated" => chosen.generated = on,
            "identity" => chosen.identity = on,
            "indexes" => chosen.indexes = on,
            // What tunes PostgreSQL's storage and changes no answer.
            "compression" | "statistics" | "storage" => {}
            other => return Err(SqlError::syntax(format!("syntax error at or near \"{other}\"")).at(position)),
        }
    }
}

/// Whether a constraint comes next, and not a column (of which `exclude`, say, may be the name).
fn is_table_constraint(cursor: &Cursor<'_>) -> bool {
    ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].iter().any(|word| cursor.sees(word))
        || cursor.sees_all(&["EXCLUDE", "USING"])
}

fn table_options(cursor: &mut Cursor<'_>, temporary: bool) -> Result<OnCommit> {
    let mut on_commit = OnCommit::default();
    loop {
        if cursor.sees_all(&["ON", "COMMIT"]) {
            on_commit = on_commit_action(cursor, temporary)?;
            continue;
        }
        if cursor.accept_all(&["WITHOUT", "OIDS"]) {
            continue;
        }
        if cursor.sees("WITH") {
            column::storage_options(cursor)?;
        } else if cursor.sees("USING") {
            access_method(cursor)?;
        } else if cursor.accept("TABLESPACE") {
            // There is one place for data, whatever its name.
            cursor.ident()?;
        } else {
            return Ok(on_commit);
        }
    }
}

/// `USING heap`, which may be left out: there is one way to store rows, whatever its name.
fn access_method(cursor: &mut Cursor<'_>) -> Result<()> {
    if !cursor.accept("USING") {
        return Ok(());
    }
    let position = cursor.position();
    let method = cursor.ident()?;
    if method == "heap" {
        return Ok(());
    }
    let message = format!("access method \"{method}\" is not supported");
    Err(SqlError::unsupported(message, "Leave USING out.").at(position))
}

/// `ON COMMIT …`; 42P16 for a table that is not temporary.
fn on_commit_action(cursor: &mut Cursor<'_>, temporary: bool) -> Result<OnCommit> {
    let position = cursor.position();
    cursor.expect_all(&["ON", "COMMIT"])?;
    let action = if cursor.accept_all(&["PRESERVE", "ROWS"]) {
        OnCommit::PreserveRows
    } else if cursor.accept_all(&["DELETE", "ROWS"]) {
        OnCommit::DeleteRows
    } else {
        cursor.expect("DROP")?;
        OnCommit::Drop
    };
    if !temporary {
        let message = "ON COMMIT can only be used on temporary tables";
        return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(position));
    }
    Ok(action)
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
        // A column may be one that LIKE brings.
        if !table.likes.is_empty() {
            continue;
        }
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

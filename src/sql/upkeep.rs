//! VACUUM, ANALYZE, REINDEX, CLUSTER and CHECKPOINT: what PostgreSQL's storage needs and this one does not.
//!
//! Their syntax and the names in them are checked; there is nothing to do for them.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::statement::{Statement, Upkeep};
use crate::error::Result;

pub fn statement(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let word = cursor.accept_any(&["VACUUM", "ANALYZE", "ANALYSE", "REINDEX", "CLUSTER", "CHECKPOINT"]);
    let upkeep = match word {
        Some("VACUUM") => {
            options(cursor, &["FULL", "FREEZE", "VERBOSE", "ANALYZE", "ANALYSE"])?;
            Upkeep { tag: "VACUUM", alone: true, relations: relations(cursor)?, indexes: Vec::new() }
        }
        Some("ANALYZE" | "ANALYSE") => {
            options(cursor, &["VERBOSE"])?;
            Upkeep { tag: "ANALYZE", alone: false, relations: relations(cursor)?, indexes: Vec::new() }
        }
        Some("REINDEX") => reindex(cursor)?,
        Some("CLUSTER") => {
            options(cursor, &["VERBOSE"])?;
            let relations = if cursor.is_at_end() { Vec::new() } else { vec![cursor.name()?] };
            if cursor.accept("USING") {
                cursor.ident()?;
            }
            Upkeep { tag: "CLUSTER", alone: relations.is_empty(), relations, indexes: Vec::new() }
        }
        Some("CHECKPOINT") => Upkeep { tag: "CHECKPOINT", alone: false, relations: Vec::new(), indexes: Vec::new() },
        _ => return Err(cursor.syntax()),
    };
    Ok(Statement::Upkeep(upkeep))
}

/// Words, or a list in parentheses.
fn options(cursor: &mut Cursor<'_>, words: &[&'static str]) -> Result<()> {
    if cursor.sees_token(&Token::LParen) {
        cursor.balanced()?;
        return Ok(());
    }
    while cursor.accept_any(words).is_some() {}
    Ok(())
}

/// Tables, each with the columns that are meant.
fn relations(cursor: &mut Cursor<'_>) -> Result<Vec<super::Name>> {
    if cursor.is_at_end() {
        return Ok(Vec::new());
    }
    cursor.list(|cursor| {
        let name = cursor.name()?;
        if cursor.sees_token(&Token::LParen) {
            cursor.idents()?;
        }
        Ok(name)
    })
}

fn reindex(cursor: &mut Cursor<'_>) -> Result<Upkeep> {
    options(cursor, &[])?;
    let Some(what) = cursor.accept_any(&["INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM"]) else {
        return Err(cursor.syntax());
    };
    cursor.accept("CONCURRENTLY");
    let name = if cursor.is_at_end() { None } else { Some(cursor.name()?) };
    let (mut relations, mut indexes) = (Vec::new(), Vec::new());
    match what {
        "TABLE" => relations.extend(name),
        "INDEX" => indexes.extend(name),
        _ => {}
    }
    Ok(Upkeep { tag: "REINDEX", alone: !matches!(what, "INDEX" | "TABLE"), relations, indexes })
}

#[cfg(test)]
mod tests {
    use crate::sql::{Statement, parse};

    #[track_caller]
    fn check(text: &str, tag: &str, relations: &[&str]) {
        let parsed = parse(text).unwrap().pop().unwrap();
        let Statement::Upkeep(upkeep) = parsed.statement else { panic!("{text} is something else") };
        let names: Vec<&str> = upkeep.relations.iter().map(|name| name.name.as_str()).collect();
        assert_eq!((upkeep.tag, &names[..]), (tag, relations), "{text}");
    }

    #[test]
    fn every_form_that_tools_send_is_read() {
        check("VACUUM", "VACUUM", &[]);
        check("vacuum analyze pgbench_branches", "VACUUM", &["pgbench_branches"]);
        check("VACUUM (FULL, ANALYZE) a, s.b (c, d)", "VACUUM", &["a", "b"]);
        check("ANALYZE VERBOSE t", "ANALYZE", &["t"]);
        check("ANALYZE", "ANALYZE", &[]);
        check("REINDEX (VERBOSE) TABLE CONCURRENTLY s.t", "REINDEX", &["t"]);
        check("REINDEX INDEX i", "REINDEX", &[]);
        check("CLUSTER t USING i", "CLUSTER", &["t"]);
        check("CHECKPOINT", "CHECKPOINT", &[]);
    }

    #[test]
    fn anything_else_is_a_syntax_error() {
        for text in ["VACUUM a b", "ANALYZE (", "REINDEX t", "CHECKPOINT now"] {
            assert_eq!(parse(text).unwrap_err().code().code(), "42601", "{text}");
        }
    }
}

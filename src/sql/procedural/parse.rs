//! The text of a body to its tree.
//!
//! What PL/pgSQL has and the tree has not is 0A000 that names it; the SQL within is parsed here too, so that nothing
//! runs of a body with a mistake in it. Errors carry no position: the body's text is not what the client counts in.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{CodeBlock, Condition, Expression, Handler, Into, Path, Variable};
use crate::error::{Result, SqlError, SqlState};
use crate::sql::cursor::{Cursor, is_keyword};
use crate::sql::lex::{self, Slice};
use crate::sql::statement::{Parsed, Statement};
use crate::sql::utility::repeated;

/// Blocks, branches and loops within each other; more is 54001.
pub(super) const NESTING: usize = 64;

const WITHOUT: &str = "Run the statements from the client.";

/// What RETURN may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returning {
    /// Nothing: DO, procedures and functions that return void.
    Nothing,
    /// A value.
    Value,
    /// Nothing: OUT parameters have it.
    Parameters,
    /// Rows, one by one or a query's.
    Rows,
    /// Rows, of OUT parameters where RETURN NEXT says nothing.
    ParameterRows,
}

/// DO [LANGUAGE name] 'body'.
pub fn statement(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("DO")?;
    let (mut body, mut language) = (None, None);
    while !cursor.is_at_end() {
        let position = cursor.position();
        let again = if cursor.accept("LANGUAGE") {
            let name = match cursor.accept_string() {
                Some(name) => name,
                None => cursor.ident()?,
            };
            language.replace(name).is_some()
        } else {
            body.replace(cursor.string()?).is_some()
        };
        if again {
            return Err(repeated(position));
        }
    }
    match language.as_deref() {
        None | Some("plpgsql") => {}
        Some(name @ ("sql" | "c" | "internal")) => {
            let message = format!("language \"{name}\" does not support inline code execution");
            return Err(SqlError::unsupported(message, "Leave LANGUAGE out."));
        }
        Some(name) => {
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("language \"{name}\" does not exist")));
        }
    }
    let body = body.ok_or_else(|| SqlError::syntax("no inline code specified"))?;
    Ok(Statement::Do(Box::new(inline_code(&body)?)))
}

/// The tree of a DO body.
pub fn inline_code(body: &str) -> Result<CodeBlock> {
    routine_code(body, Returning::Nothing)
}

/// The tree of a routine's body.
pub fn routine_code(body: &str, returning: Returning) -> Result<CodeBlock> {
    let read = || {
        let lexed = lex::lex(body)?;
        let mut reader = Reader { cursor: Cursor::new(lexed.whole()), depth: 0, returning, loops: 0 };
        let label = reader.label()?;
        let block = reader.block(label)?;
        reader.cursor.accept_token(&Token::SemiColon);
        reader.cursor.end()?;
        Ok(block)
    };
    read().map_err(|mut error: SqlError| {
        error.fields_mut().position = None;
        error
    })
}

pub(super) struct Reader<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) depth: usize,
    pub(super) returning: Returning,
    /// Loops around.
    pub(super) loops: usize,
}

impl Reader<'_> {
    /// `<<name>>`.
    pub(super) fn label(&mut self) -> Result<Option<String>> {
        let twice = self.cursor.sees_token(&Token::Lt) && self.cursor.peek_at(1) == Some(&Token::Lt);
        if !self.cursor.accept_token(&Token::ShiftLeft) {
            if !twice {
                return Ok(None);
            }
            self.cursor.advance();
            self.cursor.advance();
        }
        let name = self.cursor.ident()?;
        if !self.cursor.accept_token(&Token::ShiftRight) {
            self.cursor.expect_token(&Token::Gt)?;
            self.cursor.expect_token(&Token::Gt)?;
        }
        Ok(Some(name))
    }

    /// The label behind END, which must be that of the beginning.
    pub(super) fn end_label(&mut self, label: Option<&str>) -> Result<()> {
        if self.cursor.is_at_end() || self.cursor.sees_token(&Token::SemiColon) {
            return Ok(());
        }
        let name = self.cursor.ident()?;
        match label {
            Some(label) if label == name => Ok(()),
            Some(label) => Err(SqlError::syntax(format!("end label \"{name}\" differs from block's label \"{label}\""))),
            None => Err(SqlError::syntax(format!("end label \"{name}\" specified for unlabeled block"))),
        }
    }

    pub(super) fn block(&mut self, label: Option<String>) -> Result<CodeBlock> {
        let variables = if self.cursor.accept("DECLARE") { self.declarations()? } else { Vec::new() };
        self.cursor.expect("BEGIN")?;
        if self.cursor.sees("ATOMIC") {
            return Err(self.cursor.syntax());
        }
        let body = self.steps(&["END", "EXCEPTION"])?;
        let mut handlers = Vec::new();
        if self.cursor.accept("EXCEPTION") {
            while self.cursor.accept("WHEN") {
                let mut conditions = vec![self.condition()?];
                while self.cursor.accept("OR") {
                    conditions.push(self.condition()?);
                }
                self.cursor.expect("THEN")?;
                handlers.push(Handler { conditions, body: self.steps(&["WHEN", "END"])? });
            }
            if handlers.is_empty() {
                return Err(self.cursor.syntax());
            }
        }
        self.cursor.expect("END")?;
        self.end_label(label.as_deref())?;
        Ok(CodeBlock { label, variables, body, handlers })
    }

    fn condition(&mut self) -> Result<Condition> {
        if self.cursor.accept("SQLSTATE") {
            return Condition::of_code(&self.cursor.string()?);
        }
        Condition::named(&self.cursor.ident()?)
    }

    fn declarations(&mut self) -> Result<Vec<Variable>> {
        let mut variables: Vec<Variable> = Vec::new();
        while !self.cursor.sees("BEGIN") {
            if self.cursor.accept("DECLARE") {
                continue;
            }
            let variable = self.declaration()?;
            if variables.iter().any(|known| known.name == variable.name) {
                return Err(SqlError::syntax(format!("duplicate declaration at or near \"{}\"", variable.name)));
            }
            variables.push(variable);
        }
        Ok(variables)
    }

    fn declaration(&mut self) -> Result<Variable> {
        let name = self.cursor.ident()?;
        if self.cursor.sees("ALIAS") || self.cursor.sees("CURSOR") || self.cursor.sees_all(&["NO", "SCROLL"]) {
            return Err(self.refused("this kind of declaration"));
        }
        let constant = self.cursor.accept("CONSTANT");
        let ends = |token: &Token, _: Option<&Token>| {
            matches!(token, Token::SemiColon | Token::Assignment | Token::Eq)
                || ["NOT", "DEFAULT", "COLLATE"].iter().any(|word| is_keyword(token, word))
        };
        let ty = self.cursor.until(ends);
        if ty.is_empty() {
            return Err(self.cursor.syntax());
        }
        let ty = ty.text().to_owned();
        if self.cursor.accept("COLLATE") {
            return Err(self.refused("COLLATE of a variable"));
        }
        let not_null = self.cursor.accept_all(&["NOT", "NULL"]);
        let initial = match self.cursor.accept_token(&Token::Assignment)
            || self.cursor.accept_token(&Token::Eq)
            || self.cursor.accept("DEFAULT")
        {
            true => Some(self.expression(|token| *token == Token::SemiColon)?),
            false => None,
        };
        self.semicolon()?;
        if not_null && initial.is_none() {
            let message = format!("variable \"{name}\" must have a default value, since it's declared NOT NULL");
            return Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
        }
        Ok(Variable { name, ty, constant, not_null, initial })
    }

    /// What stands before the first token that `stop` wants, as the query that gives its value.
    pub(super) fn expression(&mut self, stop: impl Fn(&Token) -> bool) -> Result<Expression> {
        let slice = self.cursor.until(|token, _| stop(token));
        if slice.is_empty() {
            return Err(self.cursor.syntax());
        }
        value_of(slice.text())
    }

    pub(super) fn expressions(&mut self, stop: impl Fn(&Token) -> bool) -> Result<Vec<Expression>> {
        let mut all = vec![self.expression(|token| stop(token) || *token == Token::Comma)?];
        while self.cursor.accept_token(&Token::Comma) {
            all.push(self.expression(|token| stop(token) || *token == Token::Comma)?);
        }
        Ok(all)
    }

    pub(super) fn semicolon(&mut self) -> Result<()> {
        self.cursor.expect_token(&Token::SemiColon)
    }

    pub(super) fn refused(&self, what: &str) -> SqlError {
        SqlError::unsupported(format!("{what} in PL/pgSQL is not supported"), WITHOUT)
    }
}

/// The condition of a trigger.
pub fn condition(text: &str) -> Result<Expression> {
    value_of(text).map_err(|mut error| {
        error.fields_mut().position = None;
        error
    })
}

/// An expression's text as the query that gives its value.
pub(super) fn value_of(text: &str) -> Result<Expression> {
    let parsed = sql_of(&format!("SELECT {text}"))?;
    match parsed.statement {
        Statement::Query(_) => Ok(Box::new(parsed)),
        _ => Err(SqlError::syntax("an expression is expected")),
    }
}

/// `x`, or `r.field`. An element of an array is none.
pub(super) fn path(cursor: &mut Cursor<'_>) -> Result<Path> {
    let path = name(cursor)?;
    if cursor.sees_token(&Token::LBracket) {
        return Err(SqlError::unsupported("an element of an array as a target in PL/pgSQL is not supported", WITHOUT));
    }
    Ok(path)
}

/// `x`, or `r.field`, with whatever behind it.
pub(super) fn name(cursor: &mut Cursor<'_>) -> Result<Path> {
    let mut path = vec![match cursor.peek() {
        Some(Token::Placeholder(name)) => {
            cursor.advance();
            name.clone()
        }
        _ => cursor.ident()?,
    }];
    while cursor.accept_token(&Token::Period) {
        path.push(cursor.word()?);
    }
    Ok(path)
}

/// `[STRICT] variable, …`
pub(super) fn targets(cursor: &mut Cursor<'_>) -> Result<Into> {
    let strict = cursor.accept("STRICT");
    Ok(Into { strict, targets: cursor.list(path)? })
}

/// The statement's text without its INTO, and that. The INTO of INSERT and MERGE names the table.
pub(super) fn without_into(slice: Slice<'_>) -> Result<(String, Option<Into>)> {
    let mut cursor = Cursor::new(slice);
    let writes_rows = ["SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "VALUES"].iter().any(|word| cursor.sees(word));
    if !writes_rows {
        return Ok((slice.text().to_owned(), None));
    }
    loop {
        cursor.until(|token, _| is_keyword(token, "INTO"));
        if cursor.is_at_end() {
            return Ok((slice.text().to_owned(), None));
        }
        let at = cursor.index();
        cursor.advance();
        let after_insert = at.checked_sub(1).and_then(|before| slice.get(before)).is_some_and(|t| is_keyword(t, "INSERT"));
        if after_insert || slice.get(at).is_none_or(|token| !is_keyword(token, "INTO")) {
            continue;
        }
        let into = targets(&mut cursor)?;
        let text = format!("{} {}", slice.part(0, at).text(), cursor.rest().text());
        return Ok((text, Some(into)));
    }
}

/// One SQL statement that may stand in a block.
pub(super) fn sql_of(text: &str) -> Result<Parsed> {
    let mut statements = crate::sql::parse(text)?;
    let (Some(parsed), true) = (statements.pop(), statements.is_empty()) else {
        return Err(SqlError::syntax("syntax error at end of input"));
    };
    may_stand_in_a_block(&parsed.statement)?;
    Ok(parsed)
}

/// 0A000 for statements that talk to the client or end the transaction.
pub fn may_stand_in_a_block(statement: &Statement) -> Result<()> {
    let what = match statement {
        Statement::Transaction(_) => "transaction control",
        Statement::Copy(_) => "COPY",
        Statement::Prepare { .. } | Statement::Execute { .. } | Statement::Deallocate(_) => "a prepared statement",
        Statement::Declare(_) | Statement::Fetch(_) | Statement::Close(_) => "a cursor",
        Statement::Show(_) => "SHOW",
        Statement::Explain { .. } => "EXPLAIN",
        Statement::Discard(_) => "DISCARD",
        Statement::Query(_)
        | Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_)
        | Statement::With { .. }
        | Statement::Ddl(_)
        | Statement::Set(_)
        | Statement::Reset(_)
        | Statement::Listen(_)
        | Statement::Unlisten(_)
        | Statement::Notify { .. }
        | Statement::Upkeep(_)
        | Statement::Lock(_)
        | Statement::Call(_)
        | Statement::Do(_) => return Ok(()),
    };
    Err(SqlError::unsupported(format!("{what} in PL/pgSQL is not supported"), WITHOUT))
}

/// 42601 unless the format has a place for every argument and no more.
pub(super) fn check_arguments(format: &str, arguments: usize) -> Result<()> {
    let places = format.replace("%%", "").matches('%').count();
    match places.cmp(&arguments) {
        std::cmp::Ordering::Less => Err(SqlError::syntax("too many parameters specified for RAISE")),
        std::cmp::Ordering::Greater => Err(SqlError::syntax("too few parameters specified for RAISE")),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::procedural::{LoopKind, Step};

    #[track_caller]
    fn refused(body: &str, code: &str, mentions: &str) {
        let error = inline_code(body).unwrap_err();
        assert_eq!(error.code().code(), code, "{body}: {error}");
        assert!(error.message().contains(mentions), "{body}: {error}");
    }

    #[test]
    fn what_is_not_served_is_named() {
        refused("DECLARE c CURSOR FOR SELECT 1; BEGIN NULL; END", "0A000", "declaration");
        refused("BEGIN OPEN c; END", "0A000", "OPEN");
        refused("BEGIN FOR r IN c LOOP NULL; END LOOP; END", "0A000", "FOR over");
        refused("BEGIN COMMIT; END", "0A000", "COMMIT");
        refused("BEGIN COPY t TO STDOUT; END", "0A000", "COPY");
        refused("BEGIN a[1:2] := b; END", "0A000", "slice of an array");
        refused("BEGIN SELECT 1 INTO a[1]; END", "0A000", "element of an array");
    }

    #[test]
    fn mistakes_are_found_before_anything_runs() {
        refused("BEGIN SELEC 1; END", "42601", "SELEC");
        refused("BEGIN NULL END", "42601", "END");
        refused("BEGIN IF true NULL; END IF; END", "42601", "");
        refused("BEGIN RAISE NOTICE '%'; END", "42601", "too few");
        refused("BEGIN RAISE NOTICE '%%', 1; END", "42601", "too many");
        refused("BEGIN NULL; EXCEPTION WHEN nonsense THEN NULL; END", "42704", "nonsense");
        refused("DECLARE a int; a int; BEGIN NULL; END", "42601", "duplicate");
        refused("BEGIN RETURN 1; END", "42804", "RETURN cannot have a parameter");
        refused("BEGIN RETURN NEXT 1; END", "42804", "RETURN NEXT");
        refused("BEGIN EXIT; END", "42601", "EXIT cannot be used outside a loop");
        refused("<<a>> BEGIN NULL; END b", "42601", "end label");
    }

    #[test]
    fn loops_and_their_labels() {
        let body = "<<a>> FOR i IN REVERSE 10..f(1, 2) BY 2 LOOP WHILE i > 1 LOOP CONTINUE a WHEN i = 3; END LOOP; END LOOP a;";
        let mut block = inline_code(&format!("BEGIN {body} FOR x IN 1..3 LOOP EXIT; END LOOP; END")).unwrap();
        let Step::Loop { label, kind: LoopKind::Range { from, to, by, reverse, .. }, .. } = block.body.remove(0) else {
            panic!()
        };
        assert_eq!(
            (label.as_deref(), from.text.as_str(), to.text.as_str(), reverse),
            (Some("a"), "SELECT 10", "SELECT f(1, 2)", true)
        );
        assert_eq!(by.unwrap().text, "SELECT 2");
    }

    #[test]
    fn an_element_is_assigned_as_a_whole_array() {
        let step = inline_code("BEGIN \"A b\".c[1][i + 1] = x || y; END").unwrap().body.remove(0);
        let Step::Assign { target, value } = step else { panic!() };
        assert_eq!(target, ["A b", "c"]);
        assert_eq!(value.text, "SELECT pg_array_assigned(\"A b\".\"c\", (x || y), 1, i + 1)");
    }

    #[test]
    fn into_of_insert_names_the_table() {
        let step = |body: &str| inline_code(&format!("BEGIN {body}; END")).unwrap().body.remove(0);
        let into = |body: &str| match step(body) {
            Step::Sql { statement, into } => (statement.text, into.map(|into| (into.strict, into.targets.concat().join(",")))),
            other => panic!("{other:?}"),
        };
        assert_eq!(into("INSERT INTO t VALUES (1)"), ("INSERT INTO t VALUES (1)".into(), None));
        assert_eq!(into("SELECT a, b INTO STRICT x, y FROM t"), ("SELECT a, b FROM t".into(), Some((true, "x,y".into()))));
        let (text, target) = into("INSERT INTO t VALUES (1) RETURNING id INTO x");
        assert_eq!((text.trim(), target), ("INSERT INTO t VALUES (1) RETURNING id", Some((false, "x".into()))));
    }
}

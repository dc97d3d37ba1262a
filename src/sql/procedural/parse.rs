//! The text of a DO body to its tree.
//!
//! What PL/pgSQL has and the tree has not is 0A000 that names it; the SQL within is parsed here too, so that nothing
//! runs of a body with a mistake in it. Errors carry no position: the body's text is not what the client counts in.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{CodeBlock, Condition, Expression, Handler, Into, Raise, RaiseLevel, RaiseOption, RowSource, Step, Variable};
use crate::error::{Result, SqlError, SqlState};
use crate::sql::cursor::{Cursor, is_keyword};
use crate::sql::lex::{self, Slice};
use crate::sql::statement::{Parsed, Statement};
use crate::sql::type_name::plain_type_name;
use crate::sql::utility::repeated;

/// Blocks, branches and loops within each other; more is 54001.
const NESTING: usize = 64;

const WITHOUT: &str = "Run the block's statements from the client.";

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

/// The tree of a body.
pub fn inline_code(body: &str) -> Result<CodeBlock> {
    let read = || {
        let lexed = lex::lex(body)?;
        let mut reader = Reader { cursor: Cursor::new(lexed.whole()), depth: 0 };
        let block = reader.block()?;
        reader.cursor.accept_token(&Token::SemiColon);
        reader.cursor.end()?;
        Ok(block)
    };
    read().map_err(|mut error: SqlError| {
        error.fields_mut().position = None;
        error
    })
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn block(&mut self) -> Result<CodeBlock> {
        if self.cursor.sees_token(&Token::ShiftLeft) || self.cursor.sees_token(&Token::Lt) {
            return Err(self.refused("a label"));
        }
        let variables = if self.cursor.accept("DECLARE") { self.declarations()? } else { Vec::new() };
        self.cursor.expect("BEGIN")?;
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
        Ok(CodeBlock { variables, body, handlers })
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
            self.cursor.accept("DECLARE");
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
        let ty = match self.cursor.accept("RECORD") {
            true => None,
            false => Some(self.variable_type()?),
        };
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

    fn variable_type(&mut self) -> Result<crate::types::PgType> {
        let mut ahead = self.cursor;
        let copied = ahead.until(|token, _| matches!(token, Token::SemiColon | Token::Assignment | Token::Eq));
        if copied.lexemes().iter().any(|lexeme| lexeme.token.token == Token::Mod) {
            return Err(self.refused("%TYPE"));
        }
        plain_type_name(&mut self.cursor)
    }

    /// Statements up to one of these words, which is left to be read.
    fn steps(&mut self, ends: &[&str]) -> Result<Vec<Step>> {
        self.depth += 1;
        if self.depth > NESTING {
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded"));
        }
        let mut steps = Vec::new();
        while !ends.iter().any(|end| self.cursor.sees(end)) {
            steps.push(self.step()?);
        }
        self.depth -= 1;
        Ok(steps)
    }

    fn step(&mut self) -> Result<Step> {
        const REFUSED: &[&str] = &[
            "LOOP", "WHILE", "FOREACH", "CASE", "EXIT", "CONTINUE", "OPEN", "FETCH", "MOVE", "CLOSE", "GET", "ASSERT", "CALL",
            "COMMIT", "ROLLBACK",
        ];
        let Some(word) = self.cursor.peek_keyword() else {
            let label = self.cursor.sees_token(&Token::ShiftLeft);
            return Err(if label { self.refused("a label") } else { self.cursor.syntax() });
        };
        if matches!(self.cursor.peek_at(1), Some(Token::Assignment | Token::Eq)) {
            let step = self.assignment()?;
            self.semicolon()?;
            return Ok(step);
        }
        if matches!(self.cursor.peek_at(1), Some(Token::Period | Token::LBracket)) {
            return Err(self.refused("assignment to a part of a variable"));
        }
        if let Some(refused) = REFUSED.iter().find(|refused| **refused == word) {
            return Err(self.refused(refused));
        }
        let step = match word.as_str() {
            "NULL" => {
                self.cursor.advance();
                Step::Nothing
            }
            "BEGIN" | "DECLARE" => {
                self.depth += 1;
                let block = self.block()?;
                self.depth -= 1;
                Step::Block(Box::new(block))
            }
            "IF" => self.branches()?,
            "FOR" => self.for_each_row()?,
            "RAISE" => self.raise()?,
            "RETURN" => {
                self.cursor.advance();
                if !self.cursor.sees_token(&Token::SemiColon) {
                    let message = "RETURN cannot have a parameter in function returning void";
                    return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
                }
                Step::Return
            }
            "PERFORM" => {
                self.cursor.advance();
                Step::Perform(self.expression(|token| *token == Token::SemiColon)?)
            }
            "EXECUTE" => self.dynamic()?,
            _ => self.sql()?,
        };
        self.semicolon()?;
        Ok(step)
    }

    fn assignment(&mut self) -> Result<Step> {
        let variable = self.cursor.ident()?;
        self.cursor.advance();
        Ok(Step::Assign { variable, value: self.expression(|token| *token == Token::SemiColon)? })
    }

    fn branches(&mut self) -> Result<Step> {
        let (mut branches, mut otherwise) = (Vec::new(), Vec::new());
        while self.cursor.accept_any(&["IF", "ELSIF", "ELSEIF"]).is_some() {
            let condition = self.expression(|token| is_keyword(token, "THEN"))?;
            self.cursor.expect("THEN")?;
            branches.push((condition, self.steps(&["ELSIF", "ELSEIF", "ELSE", "END"])?));
        }
        if self.cursor.accept("ELSE") {
            otherwise = self.steps(&["END"])?;
        }
        self.cursor.expect_all(&["END", "IF"])?;
        Ok(Step::If { branches, otherwise })
    }

    fn for_each_row(&mut self) -> Result<Step> {
        self.cursor.expect("FOR")?;
        let variable = self.cursor.ident()?;
        self.cursor.expect("IN")?;
        let source = if self.cursor.sees("EXECUTE") {
            let Step::Execute { text, using, into: None } = self.dynamic()? else { return Err(self.cursor.syntax()) };
            RowSource::Execute { text, using }
        } else {
            let queries = ["SELECT", "WITH", "VALUES", "TABLE"];
            if !self.cursor.sees_token(&Token::LParen) && !queries.iter().any(|word| self.cursor.sees(word)) {
                return Err(self.refused("FOR over anything but a query"));
            }
            let query = sql_of(self.cursor.until(|token, _| is_keyword(token, "LOOP")).text())?;
            if !matches!(query.statement, Statement::Query(_)) {
                return Err(SqlError::syntax("syntax error in the query of FOR"));
            }
            RowSource::Query(Box::new(query))
        };
        self.cursor.expect("LOOP")?;
        let body = self.steps(&["END"])?;
        self.cursor.expect_all(&["END", "LOOP"])?;
        Ok(Step::ForEachRow { variable, source, body })
    }

    fn dynamic(&mut self) -> Result<Step> {
        self.cursor.expect("EXECUTE")?;
        let ends =
            |token: &Token| *token == Token::SemiColon || ["INTO", "USING", "LOOP"].iter().any(|word| is_keyword(token, word));
        let text = self.expression(ends)?;
        let (mut into, mut using) = (None, Vec::new());
        loop {
            if into.is_none() && self.cursor.accept("INTO") {
                into = Some(targets(&mut self.cursor)?);
            } else if using.is_empty() && self.cursor.accept("USING") {
                using = self.expressions(ends)?;
            } else {
                return Ok(Step::Execute { text, into, using });
            }
        }
    }

    fn raise(&mut self) -> Result<Step> {
        self.cursor.expect("RAISE")?;
        if self.cursor.sees_token(&Token::SemiColon) {
            return Ok(Step::RaiseAgain);
        }
        let level = match self.cursor.accept_any(&["DEBUG", "LOG", "INFO", "NOTICE", "WARNING", "EXCEPTION"]) {
            Some("DEBUG") => RaiseLevel::Debug,
            Some("LOG") => RaiseLevel::Log,
            Some("INFO") => RaiseLevel::Info,
            Some("NOTICE") => RaiseLevel::Notice,
            Some("WARNING") => RaiseLevel::Warning,
            _ => RaiseLevel::Exception,
        };
        let mut raise = Raise { level, condition: None, format: None, arguments: Vec::new(), options: Vec::new() };
        let ends = |token: &Token| *token == Token::SemiColon || is_keyword(token, "USING");
        if let Some(format) = self.cursor.accept_string() {
            if self.cursor.accept_token(&Token::Comma) {
                raise.arguments = self.expressions(ends)?;
            }
            check_arguments(&format, raise.arguments.len())?;
            raise.format = Some(format);
        } else if self.cursor.accept("SQLSTATE") {
            let code = self.cursor.string()?;
            raise.condition = Some((Condition::of_code(&code)?, code));
        } else if !self.cursor.sees("USING") {
            let name = self.cursor.ident()?;
            raise.condition = Some((Condition::named(&name)?, name));
        }
        if self.cursor.accept("USING") {
            raise.options = self.raise_options()?;
        }
        Ok(Step::Raise(Box::new(raise)))
    }

    fn raise_options(&mut self) -> Result<Vec<(RaiseOption, Expression)>> {
        const OPTIONS: &[(&str, RaiseOption)] = &[
            ("ERRCODE", RaiseOption::Errcode),
            ("MESSAGE", RaiseOption::Message),
            ("DETAIL", RaiseOption::Detail),
            ("HINT", RaiseOption::Hint),
            ("COLUMN", RaiseOption::Column),
            ("CONSTRAINT", RaiseOption::Constraint),
            ("DATATYPE", RaiseOption::Datatype),
            ("TABLE", RaiseOption::Table),
            ("SCHEMA", RaiseOption::Schema),
        ];
        let mut options: Vec<(RaiseOption, Expression)> = Vec::new();
        loop {
            let named = OPTIONS.iter().find(|(word, _)| self.cursor.accept(word));
            let (word, option) = *named.ok_or_else(|| SqlError::syntax("unrecognized RAISE statement option"))?;
            if options.iter().any(|(given, _)| *given == option) {
                return Err(SqlError::syntax(format!("RAISE option already specified: {word}")));
            }
            if !self.cursor.accept_token(&Token::Eq) {
                self.cursor.expect_token(&Token::Assignment)?;
            }
            options.push((option, self.expression(|token| matches!(token, Token::SemiColon | Token::Comma))?));
            if !self.cursor.accept_token(&Token::Comma) {
                return Ok(options);
            }
        }
    }

    fn sql(&mut self) -> Result<Step> {
        let whole = self.cursor.until(|token, _| *token == Token::SemiColon);
        let (text, into) = without_into(whole)?;
        Ok(Step::Sql { statement: Box::new(sql_of(&text)?), into })
    }

    /// What stands before the first token that `stop` wants, as the query that gives its value.
    fn expression(&mut self, stop: impl Fn(&Token) -> bool) -> Result<Expression> {
        let slice = self.cursor.until(|token, _| stop(token));
        if slice.is_empty() {
            return Err(self.cursor.syntax());
        }
        let parsed = sql_of(&format!("SELECT {}", slice.text()))?;
        match parsed.statement {
            Statement::Query(_) => Ok(Box::new(parsed)),
            _ => Err(slice.syntax(0)),
        }
    }

    fn expressions(&mut self, stop: impl Fn(&Token) -> bool) -> Result<Vec<Expression>> {
        let mut all = vec![self.expression(|token| stop(token) || *token == Token::Comma)?];
        while self.cursor.accept_token(&Token::Comma) {
            all.push(self.expression(|token| stop(token) || *token == Token::Comma)?);
        }
        Ok(all)
    }

    fn semicolon(&mut self) -> Result<()> {
        self.cursor.expect_token(&Token::SemiColon)
    }

    fn refused(&self, what: &str) -> SqlError {
        SqlError::unsupported(format!("{what} in DO is not supported"), WITHOUT)
    }
}

/// `[STRICT] variable, …`
fn targets(cursor: &mut Cursor<'_>) -> Result<Into> {
    let strict = cursor.accept("STRICT");
    let variables = cursor.list(Cursor::ident)?;
    if cursor.sees_token(&Token::Period) || cursor.sees_token(&Token::LBracket) {
        return Err(SqlError::unsupported("INTO a part of a variable in DO is not supported", WITHOUT));
    }
    Ok(Into { strict, variables })
}

/// The statement's text without its INTO, and that. The INTO of INSERT names the table.
fn without_into(slice: Slice<'_>) -> Result<(String, Option<Into>)> {
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
fn sql_of(text: &str) -> Result<Parsed> {
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
        | Statement::Do(_) => return Ok(()),
    };
    Err(SqlError::unsupported(format!("{what} in DO is not supported"), WITHOUT))
}

/// 42601 unless the format has a place for every argument and no more.
fn check_arguments(format: &str, arguments: usize) -> Result<()> {
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

    #[track_caller]
    fn refused(body: &str, code: &str, mentions: &str) {
        let error = inline_code(body).unwrap_err();
        assert_eq!(error.code().code(), code, "{body}: {error}");
        assert!(error.message().contains(mentions), "{body}: {error}");
    }

    #[test]
    fn what_is_not_served_is_named() {
        refused("BEGIN WHILE true LOOP NULL; END LOOP; END", "0A000", "WHILE");
        refused("BEGIN LOOP EXIT; END LOOP; END", "0A000", "LOOP");
        refused("BEGIN FOR i IN 1..3 LOOP NULL; END LOOP; END", "0A000", "FOR over");
        refused("DECLARE x t.c%TYPE; BEGIN NULL; END", "0A000", "%TYPE");
        refused("<<a>> BEGIN NULL; END", "0A000", "label");
        refused("BEGIN COMMIT; END", "0A000", "COMMIT");
        refused("BEGIN GET DIAGNOSTICS x = ROW_COUNT; END", "0A000", "GET");
        refused("BEGIN COPY t TO STDOUT; END", "0A000", "COPY");
        refused("BEGIN r.a := 1; END", "0A000", "part of a variable");
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
    }

    #[test]
    fn into_of_insert_names_the_table() {
        let step = |body: &str| inline_code(&format!("BEGIN {body}; END")).unwrap().body.remove(0);
        let into = |body: &str| match step(body) {
            Step::Sql { statement, into } => (statement.text, into.map(|into| (into.strict, into.variables.join(",")))),
            other => panic!("{other:?}"),
        };
        assert_eq!(into("INSERT INTO t VALUES (1)"), ("INSERT INTO t VALUES (1)".into(), None));
        assert_eq!(into("SELECT a, b INTO STRICT x, y FROM t"), ("SELECT a, b FROM t".into(), Some((true, "x,y".into()))));
        let (text, target) = into("INSERT INTO t VALUES (1) RETURNING id INTO x");
        assert_eq!((text.trim(), target), ("INSERT INTO t VALUES (1) RETURNING id", Some((false, "x".into()))));
    }
}

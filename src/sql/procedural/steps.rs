//! The statements of a body.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::parse::{NESTING, Reader, Returning, check_arguments, name, path, sql_of, targets, value_of, without_into};
use super::{Condition, Expression, LoopKind, Path, Raise, RaiseLevel, RaiseOption, RowSource, Step};
use crate::error::{Result, SqlError, SqlState};
use crate::sql::cursor::{Cursor, is_keyword};
use crate::sql::element_assignments::ASSIGNED;
use crate::sql::statement::Statement;

fn at_semicolon(token: &Token) -> bool {
    *token == Token::SemiColon
}

/// A variable's name as SQL has it; that of a parameter is its number.
fn quoted(name: &str) -> String {
    if name.starts_with('$') { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

impl Reader<'_> {
    /// Statements up to one of these words, which is left to be read.
    pub(super) fn steps(&mut self, ends: &[&str]) -> Result<Vec<Step>> {
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
        const REFUSED: &[&str] = &["OPEN", "FETCH", "MOVE", "CLOSE", "COMMIT", "ROLLBACK"];
        let label = self.label()?;
        let Some(word) = self.cursor.peek_keyword() else {
            return match self.cursor.peek() {
                Some(Token::Placeholder(_) | Token::Word(_)) => self.assignment(),
                _ => Err(self.cursor.syntax()),
            };
        };
        if matches!(self.cursor.peek_at(1), Some(Token::Assignment | Token::Eq | Token::Period | Token::LBracket)) {
            return self.assignment();
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
                let block = self.block(label)?;
                self.depth -= 1;
                Step::Block(Box::new(block))
            }
            "LOOP" | "WHILE" | "FOR" | "FOREACH" => self.repeated(label)?,
            _ if label.is_some() => return Err(self.cursor.syntax()),
            "IF" => self.branches()?,
            "CASE" => self.cases()?,
            "EXIT" | "CONTINUE" => self.leave()?,
            "RAISE" => self.raise()?,
            "ASSERT" => self.assertion()?,
            "RETURN" => self.returned()?,
            "GET" => self.diagnostics()?,
            "PERFORM" => {
                self.cursor.advance();
                Step::Perform(self.expression(at_semicolon)?)
            }
            "EXECUTE" => self.dynamic()?,
            _ => self.sql()?,
        };
        self.semicolon()?;
        Ok(step)
    }

    fn assignment(&mut self) -> Result<Step> {
        let target = name(&mut self.cursor)?;
        let subscripts = self.subscripts()?;
        if !self.cursor.accept_token(&Token::Assignment) {
            self.cursor.expect_token(&Token::Eq)?;
        }
        let value = match subscripts.is_empty() {
            true => self.expression(at_semicolon)?,
            false => {
                let value = self.cursor.until(|token, _| at_semicolon(token));
                if value.is_empty() {
                    return Err(self.cursor.syntax());
                }
                let array = target.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(".");
                value_of(&format!("{ASSIGNED}({array}, ({}), {})", value.text(), subscripts.join(", ")))?
            }
        };
        self.semicolon()?;
        Ok(Step::Assign { target, value })
    }

    /// `[1][i + 1]`, each as its text.
    fn subscripts(&mut self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        while self.cursor.accept_token(&Token::LBracket) {
            let subscript = self.cursor.until(|token, _| matches!(token, Token::RBracket | Token::Colon));
            if self.cursor.sees_token(&Token::Colon) {
                return Err(self.refused("assignment to a slice of an array"));
            }
            if subscript.is_empty() {
                return Err(self.cursor.syntax());
            }
            all.push(subscript.text().to_owned());
            self.cursor.expect_token(&Token::RBracket)?;
        }
        Ok(all)
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

    /// CASE as the branches that it says.
    fn cases(&mut self) -> Result<Step> {
        self.cursor.expect("CASE")?;
        let operand = self.cursor.until(|token, _| is_keyword(token, "WHEN")).text().to_owned();
        let (mut branches, mut otherwise) = (Vec::new(), vec![Step::NoCase]);
        while self.cursor.accept("WHEN") {
            let text = self.cursor.until(|token, _| is_keyword(token, "THEN")).text().to_owned();
            let condition = match operand.is_empty() {
                true => value_of(&text)?,
                false => value_of(&format!("({operand}) IN ({text})"))?,
            };
            self.cursor.expect("THEN")?;
            branches.push((condition, self.steps(&["WHEN", "ELSE", "END"])?));
        }
        if branches.is_empty() {
            return Err(self.cursor.syntax());
        }
        if self.cursor.accept("ELSE") {
            otherwise = self.steps(&["END"])?;
        }
        self.cursor.expect_all(&["END", "CASE"])?;
        Ok(Step::If { branches, otherwise })
    }

    fn repeated(&mut self, label: Option<String>) -> Result<Step> {
        let kind = if self.cursor.accept("WHILE") {
            LoopKind::While(self.expression(|token| is_keyword(token, "LOOP"))?)
        } else if self.cursor.accept("FOREACH") {
            let targets = self.cursor.list(path)?;
            let slice = if self.cursor.accept("SLICE") { self.cursor.integer()? } else { 0 };
            self.cursor.expect_all(&["IN", "ARRAY"])?;
            LoopKind::Elements { targets, slice, array: self.expression(|token| is_keyword(token, "LOOP"))? }
        } else if self.cursor.accept("FOR") {
            self.for_each()?
        } else {
            LoopKind::Forever
        };
        self.cursor.expect("LOOP")?;
        self.loops += 1;
        let body = self.steps(&["END"])?;
        self.loops -= 1;
        self.cursor.expect_all(&["END", "LOOP"])?;
        self.end_label(label.as_deref())?;
        Ok(Step::Loop { label, kind, body })
    }

    fn for_each(&mut self) -> Result<LoopKind> {
        let targets = self.cursor.list(path)?;
        self.cursor.expect("IN")?;
        if self.cursor.sees("EXECUTE") {
            let Step::Execute { text, using, into: None } = self.dynamic()? else { return Err(self.cursor.syntax()) };
            return Ok(LoopKind::Rows { targets, source: RowSource::Execute { text, using } });
        }
        let queries = ["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE"];
        let is_query = queries.iter().any(|word| self.cursor.sees(word));
        let reverse = !is_query && self.cursor.accept("REVERSE");
        let slice = self.cursor.until(|token, _| is_keyword(token, "LOOP"));
        if !is_query && let Some((from, to)) = around_dots(slice.text()) {
            let mut by = None;
            let mut to = to.to_owned();
            if let Some(at) = to.to_ascii_lowercase().rfind(" by ") {
                by = Some(value_of(&to[at + 4..])?);
                to.truncate(at);
            }
            let [target] = &targets[..] else {
                return Err(SqlError::syntax("integer FOR loop must have only one target variable"));
            };
            let [variable] = &target[..] else {
                return Err(SqlError::syntax("integer FOR loop must have only one target variable"));
            };
            let variable = variable.clone();
            return Ok(LoopKind::Range { variable, from: value_of(from)?, to: value_of(&to)?, by, reverse });
        }
        if !is_query && !slice.text().trim_start().starts_with('(') {
            return Err(self.refused("FOR over anything but a query or a range of integers"));
        }
        Ok(LoopKind::Rows { targets, source: RowSource::Query(Box::new(sql_of(slice.text())?)) })
    }

    fn leave(&mut self) -> Result<Step> {
        let again = self.cursor.accept("CONTINUE");
        if !again {
            self.cursor.expect("EXIT")?;
        }
        let bare = self.cursor.sees_token(&Token::SemiColon) || self.cursor.sees("WHEN");
        let label = if bare { None } else { Some(self.cursor.ident()?) };
        if self.loops == 0 && (again || label.is_none()) {
            let word = if again { "CONTINUE" } else { "EXIT" };
            return Err(SqlError::syntax(format!("{word} cannot be used outside a loop, unless it has a label")));
        }
        let when = match self.cursor.accept("WHEN") {
            true => Some(self.expression(at_semicolon)?),
            false => None,
        };
        Ok(Step::Leave { label, again, when })
    }

    fn assertion(&mut self) -> Result<Step> {
        self.cursor.expect("ASSERT")?;
        let condition = self.expression(|token| matches!(token, Token::SemiColon | Token::Comma))?;
        let message = match self.cursor.accept_token(&Token::Comma) {
            true => Some(self.expression(at_semicolon)?),
            false => None,
        };
        Ok(Step::Assert { condition, message })
    }

    fn returned(&mut self) -> Result<Step> {
        self.cursor.expect("RETURN")?;
        let rows = matches!(self.returning, Returning::Rows | Returning::ParameterRows);
        let mismatch = |message: &str| Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message));
        for (words, message) in [
            ("NEXT", "cannot use RETURN NEXT in a non-SETOF function"),
            ("QUERY", "cannot use RETURN QUERY in a non-SETOF function"),
        ] {
            if self.cursor.sees(words) && !rows {
                return mismatch(message);
            }
        }
        if self.cursor.accept("NEXT") {
            let bare = self.cursor.sees_token(&Token::SemiColon);
            if self.returning == Returning::ParameterRows && !bare {
                return mismatch("RETURN NEXT cannot have a parameter in function with OUT parameters");
            }
            return Ok(Step::ReturnNext(if bare { None } else { Some(self.expression(at_semicolon)?) }));
        }
        if self.cursor.accept("QUERY") {
            if self.cursor.sees("EXECUTE") {
                let Step::Execute { text, using, into: None } = self.dynamic()? else { return Err(self.cursor.syntax()) };
                return Ok(Step::ReturnQuery(RowSource::Execute { text, using }));
            }
            let slice = self.cursor.until(|token, _| at_semicolon(token));
            return Ok(Step::ReturnQuery(RowSource::Query(Box::new(sql_of(slice.text())?))));
        }
        let bare = self.cursor.sees_token(&Token::SemiColon);
        match self.returning {
            Returning::Value if bare => Err(SqlError::syntax("missing expression at or near \";\"")),
            Returning::Value => Ok(Step::Return(Some(self.expression(at_semicolon)?))),
            _ if bare => Ok(Step::Return(None)),
            Returning::Nothing => mismatch("RETURN cannot have a parameter in function returning void"),
            Returning::Parameters => mismatch("RETURN cannot have a parameter in function with OUT parameters"),
            Returning::Rows | Returning::ParameterRows => mismatch("RETURN cannot have a parameter in function returning set"),
        }
    }

    fn diagnostics(&mut self) -> Result<Step> {
        self.cursor.expect("GET")?;
        let stacked = self.cursor.accept("STACKED");
        self.cursor.accept("CURRENT");
        self.cursor.expect("DIAGNOSTICS")?;
        let known: &[&str] = match stacked {
            false => &["row_count", "pg_context"],
            true => &[
                "returned_sqlstate",
                "message_text",
                "pg_exception_detail",
                "pg_exception_hint",
                "pg_exception_context",
                "column_name",
                "constraint_name",
                "pg_datatype_name",
                "table_name",
                "schema_name",
            ],
        };
        let items = self.cursor.list(|cursor: &mut Cursor<'_>| -> Result<(Path, String)> {
            let target = path(cursor)?;
            if !cursor.accept_token(&Token::Assignment) {
                cursor.expect_token(&Token::Eq)?;
            }
            let item = cursor.ident()?;
            if !known.contains(&item.as_str()) {
                return Err(SqlError::syntax(format!("unrecognized GET DIAGNOSTICS item at or near \"{item}\"")));
            }
            Ok((target, item))
        })?;
        Ok(Step::Diagnostics { stacked, items })
    }

    fn dynamic(&mut self) -> Result<Step> {
        self.cursor.expect("EXECUTE")?;
        let ends = |token: &Token| at_semicolon(token) || ["INTO", "USING", "LOOP"].iter().any(|word| is_keyword(token, word));
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
        let ends = |token: &Token| at_semicolon(token) || is_keyword(token, "USING");
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
        let whole = self.cursor.until(|token, _| at_semicolon(token));
        let (text, into) = without_into(whole)?;
        let statement = Box::new(sql_of(&text)?);
        if let Statement::Call(_) = statement.statement {
            return Ok(Step::Sql { statement, into: None });
        }
        Ok(Step::Sql { statement, into })
    }
}

/// What stands before and behind the `..` of a range.
fn around_dots(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quote) = (0usize, None);
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if open == *byte => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(*byte),
            (None, b'(' | b'[') => depth += 1,
            (None, b')' | b']') => depth = depth.saturating_sub(1),
            (None, b'.') if depth == 0 && bytes.get(at + 1) == Some(&b'.') => return Some((&text[..at], &text[at + 2..])),
            _ => {}
        }
    }
    None
}

//! COPY between a client and a table, a query or a history view, with the options of both syntaxes.
//!
//! Files and programs of the server are refused: a connection reaches its database and nothing else.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::cursor::Cursor;
use super::query;
use super::statement::{Copy, CopyDirection, CopyFormat, CopyOptions, CopySource, Statement};
use super::utility::{repeated, switch};
use crate::error::{Result, SqlError, SqlState};

pub fn copy(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("COPY")?;
    let binary = cursor.sees("BINARY") && matches!(cursor.peek_at(1), Some(Token::Word(_))) && !after_binary_is_clause(cursor);
    if binary {
        cursor.advance();
    }
    let source = source(cursor)?;
    let direction = direction(cursor, &source)?;
    let options = Options::read(cursor, direction, binary)?;
    Ok(Statement::Copy(Box::new(Copy { source, direction, options })))
}

/// `COPY binary FROM …`: a table called binary.
fn after_binary_is_clause(cursor: &Cursor<'_>) -> bool {
    let mut next = *cursor;
    next.advance();
    next.sees("FROM") || next.sees("TO")
}

fn source(cursor: &mut Cursor<'_>) -> Result<CopySource> {
    if cursor.sees_token(&Token::LParen) {
        let position = cursor.position();
        let inner = cursor.balanced()?;
        if inner.is_empty() {
            return Err(SqlError::syntax("syntax error at or near \")\"").at(position + 1));
        }
        let writes = ["INSERT", "UPDATE", "DELETE"].iter().any(|word| Cursor::new(inner).sees(word));
        if writes {
            let hint = "Run the statement with RETURNING by itself.";
            return Err(SqlError::unsupported("COPY of a data-modifying statement is not supported", hint).at(position));
        }
        return Ok(CopySource::Query(query::parse_query(inner)?));
    }
    let name = cursor.name()?;
    let columns = if cursor.sees_token(&Token::LParen) { cursor.idents()? } else { Vec::new() };
    if cursor.sees("FOR") || cursor.sees("AS") {
        return Err(cursor
            .unsupported("COPY of a table takes no time", "Write COPY (SELECT * FROM … FOR SYSTEM_TIME AS OF …) TO STDOUT."));
    }
    Ok(CopySource::Relation { name, columns })
}

fn direction(cursor: &mut Cursor<'_>, source: &CopySource) -> Result<CopyDirection> {
    let direction = match cursor.accept_any(&["FROM", "TO"]) {
        Some("FROM") if matches!(source, CopySource::Relation { .. }) => CopyDirection::FromStdin,
        Some("TO") => CopyDirection::ToStdout,
        Some(_) => {
            cursor.seek(cursor.index() - 1);
            return Err(cursor.syntax());
        }
        None => return Err(cursor.syntax()),
    };
    if cursor.accept("STDIN") || cursor.accept("STDOUT") {
        // PostgreSQL reads either word in either direction.
        return Ok(direction);
    }
    if cursor.sees("PROGRAM") || matches!(cursor.peek(), Some(Token::SingleQuotedString(_))) {
        let position = cursor.position();
        let message = "COPY to or from a file or program of the server is not allowed";
        return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
            .hint("Use COPY … FROM STDIN or TO STDOUT; psql's \\copy does that with files of the client.")
            .at(position));
    }
    Err(cursor.syntax())
}

/// Options as they were given.
#[derive(Default)]
struct Options {
    format: Option<CopyFormat>,
    delimiter: Option<u8>,
    null: Option<String>,
    header: Option<bool>,
    quote: Option<u8>,
    escape: Option<u8>,
    force_quote: Option<Vec<String>>,
}

impl Options {
    /// `binary` was said before the table's name.
    fn read(cursor: &mut Cursor<'_>, direction: CopyDirection, binary: bool) -> Result<CopyOptions> {
        let position = cursor.position();
        let mut options = Options { format: binary.then_some(CopyFormat::Binary), ..Options::default() };
        cursor.accept("WITH");
        if cursor.sees_token(&Token::LParen) {
            cursor.parenthesised(|option| options.new_option(option))?;
        } else {
            while !cursor.is_at_end() && !cursor.sees("WHERE") {
                options.old_option(cursor)?;
            }
        }
        if cursor.sees("WHERE") {
            return Err(cursor.unsupported("COPY … WHERE is not supported", "Filter the rows before sending them."));
        }
        options.finish(direction).map_err(|e| e.at(position))
    }

    fn new_option(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let position = cursor.position();
        let name = cursor.word()?;
        match name.as_str() {
            "format" => {
                let format = word_or_string(cursor)?;
                let format = match format.to_ascii_lowercase().as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    other => return Err(invalid(format!("COPY format \"{other}\" not recognized")).at(position)),
                };
                set(&mut self.format, format, position)
            }
            "delimiter" => set(&mut self.delimiter, byte(cursor, "delimiter")?, position),
            "null" => set(&mut self.null, cursor.string()?, position),
            "header" => {
                if cursor.sees("MATCH") {
                    let hint = "Write HEADER true; the header line is skipped unread.";
                    return Err(cursor.unsupported("COPY … HEADER MATCH is not supported", hint));
                }
                set(&mut self.header, switch(cursor)?, position)
            }
            "quote" => set(&mut self.quote, byte(cursor, "quote")?, position),
            "escape" => set(&mut self.escape, byte(cursor, "escape")?, position),
            "force_quote" => set(&mut self.force_quote, columns_or_all(cursor)?, position),
            "encoding" => encoding(&cursor.string()?, position),
            "freeze" => {
                // Rows are visible by their commit alone: there is nothing to freeze.
                switch(cursor).map(|_| ())
            }
            "force_not_null" | "force_null" | "on_error" | "default" | "log_verbosity" | "oids" => {
                let message = format!("COPY option {} is not supported", name.to_ascii_uppercase());
                Err(SqlError::unsupported(message, "Convert the values before sending them.").at(position))
            }
            _ => Err(SqlError::syntax(format!("option \"{name}\" not recognized")).at(position)),
        }
    }

    /// The syntax before PostgreSQL 9: words without parentheses.
    fn old_option(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let position = cursor.position();
        if cursor.accept("CSV") {
            set(&mut self.format, CopyFormat::Csv, position)
        } else if cursor.accept("HEADER") {
            set(&mut self.header, true, position)
        } else if cursor.accept("DELIMITER") || cursor.accept("DELIMITERS") {
            cursor.accept("AS");
            set(&mut self.delimiter, byte(cursor, "delimiter")?, position)
        } else if cursor.accept("NULL") {
            cursor.accept("AS");
            set(&mut self.null, cursor.string()?, position)
        } else if cursor.accept("QUOTE") {
            cursor.accept("AS");
            set(&mut self.quote, byte(cursor, "quote")?, position)
        } else if cursor.accept("ESCAPE") {
            cursor.accept("AS");
            set(&mut self.escape, byte(cursor, "escape")?, position)
        } else if cursor.accept_all(&["FORCE", "QUOTE"]) {
            let columns = if cursor.accept_token(&Token::Mul) { vec!["*".into()] } else { cursor.list(Cursor::ident)? };
            set(&mut self.force_quote, columns, position)
        } else if cursor.accept("ENCODING") {
            encoding(&cursor.string()?, position)
        } else if cursor.accept("FREEZE") {
            Ok(())
        } else if cursor.accept("BINARY") {
            set(&mut self.format, CopyFormat::Binary, position)
        } else if cursor.sees("FORCE") {
            Err(cursor.unsupported("COPY … FORCE NULL is not supported", "Convert the values before sending them."))
        } else {
            Err(cursor.syntax())
        }
    }

    /// Fills in defaults and holds PostgreSQL's rules between options.
    fn finish(self, direction: CopyDirection) -> Result<CopyOptions> {
        let format = self.format.unwrap_or(CopyFormat::Text);
        let csv = format == CopyFormat::Csv;
        let not_binary = [("DELIMITER", self.delimiter.is_some()), ("NULL", self.null.is_some())];
        if let Some((name, _)) = not_binary.iter().find(|(_, given)| *given && format == CopyFormat::Binary) {
            return Err(SqlError::syntax(format!("cannot specify {name} in BINARY mode")));
        }
        if self.header == Some(true) && format == CopyFormat::Binary {
            return Err(SqlError::unsupported("cannot specify HEADER in BINARY mode", "Leave HEADER out."));
        }
        let only_csv =
            [("quote", self.quote.is_some()), ("escape", self.escape.is_some()), ("force quote", self.force_quote.is_some())];
        for (name, given) in only_csv {
            if given && !csv {
                return Err(SqlError::unsupported(format!("COPY {name} available only in CSV mode"), "Add FORMAT csv."));
            }
        }
        if self.force_quote.is_some() && direction == CopyDirection::FromStdin {
            return Err(SqlError::unsupported("COPY force quote only available using COPY TO", "Leave FORCE_QUOTE out."));
        }
        let quote = self.quote.unwrap_or(b'"');
        let options = CopyOptions {
            format,
            delimiter: self.delimiter.unwrap_or(if csv { b',' } else { b'\t' }),
            null: self.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() }),
            header: self.header.unwrap_or(false),
            quote,
            escape: self.escape.unwrap_or(quote),
            force_quote: self.force_quote.unwrap_or_default(),
        };
        check(&options, csv)?;
        Ok(options)
    }
}

fn check(options: &CopyOptions, csv: bool) -> Result<()> {
    let delimiter = options.delimiter;
    if matches!(delimiter, b'\n' | b'\r') {
        return Err(invalid("COPY delimiter cannot be newline or carriage return".into()));
    }
    if options.null.contains(['\n', '\r']) {
        return Err(invalid("COPY null representation cannot use newline or carriage return".into()));
    }
    if !csv && (delimiter == b'\\' || delimiter == b'.' || delimiter.is_ascii_lowercase() || delimiter.is_ascii_digit()) {
        return Err(invalid(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
    }
    if csv && delimiter == options.quote {
        return Err(invalid("COPY delimiter and quote must be different".into()));
    }
    if options.null.as_bytes().contains(&delimiter) {
        return Err(invalid("COPY delimiter must not appear in the NULL specification".into()));
    }
    if csv && options.null.as_bytes().contains(&options.quote) {
        return Err(invalid("CSV quote character must not appear in the NULL specification".into()));
    }
    Ok(())
}

fn invalid(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn set<T>(slot: &mut Option<T>, value: T, position: usize) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated(position)),
    }
}

fn word_or_string(cursor: &mut Cursor<'_>) -> Result<String> {
    match cursor.accept_string() {
        Some(text) => Ok(text),
        None => cursor.word(),
    }
}

fn byte(cursor: &mut Cursor<'_>, what: &str) -> Result<u8> {
    let position = cursor.position();
    match cursor.string()?.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("COPY {what} must be a single one-byte character"))
            .hint("Use one ASCII character.")
            .at(position)),
    }
}

fn columns_or_all(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    if cursor.accept_token(&Token::Mul) { Ok(vec!["*".to_owned()]) } else { cursor.idents() }
}

fn encoding(name: &str, position: usize) -> Result<()> {
    match name.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok(()),
        _ => {
            let message = format!("COPY encoding \"{name}\" is not supported");
            Err(SqlError::unsupported(message, "Send and read UTF-8.").at(position))
        }
    }
}

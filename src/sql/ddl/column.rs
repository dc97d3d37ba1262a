//! A column's definition and the constraints of columns and tables.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::sequence;
use crate::error::{Result, SqlError, SqlState};
use crate::sql::cursor::{Cursor, expression, is_keyword};
use crate::sql::statement::{ColumnSpec, ConstraintKind, ConstraintSpec, ConstraintTiming, ForeignKeySpec, KeyAction};
use crate::sql::type_name::column_type;
use crate::types::Identity;

/// A column being read: what has been said about it so far.
struct Column<'t> {
    table: &'t str,
    spec: ColumnSpec,
    null: Option<bool>,
    constraints: Vec<ConstraintSpec>,
}

/// Reads `name type constraint…`. Constraints that could stand on the table come back beside the column.
pub fn definition(cursor: &mut Cursor<'_>, table: &str) -> Result<(ColumnSpec, Vec<ConstraintSpec>)> {
    let name = cursor.ident()?;
    let ty = column_type(cursor)?;
    let spec = ColumnSpec {
        name,
        ty: ty.ty,
        own: ty.own,
        domain: None,
        not_null: ty.serial,
        default: None,
        generated: None,
        identity: None,
        serial: ty.serial,
    };
    let mut column = Column { table, spec, null: ty.serial.then_some(false), constraints: Vec::new() };
    while !ends_definition(cursor) {
        column.constraint(cursor)?;
    }
    Ok((column.spec, column.constraints))
}

fn ends_definition(cursor: &Cursor<'_>) -> bool {
    cursor.is_at_end() || cursor.sees_token(&Token::Comma) || cursor.sees_token(&Token::RParen)
}

impl Column<'_> {
    fn constraint(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let named = if cursor.accept("CONSTRAINT") { Some(cursor.ident()?) } else { None };
        let position = cursor.position();
        if cursor.accept_all(&["NOT", "NULL"]) {
            self.nullable(false, position)
        } else if cursor.accept("NULL") {
            self.nullable(true, position)
        } else if cursor.accept("DEFAULT") {
            let text = default_text(cursor)?;
            self.default(text, position)
        } else if cursor.accept("CHECK") {
            let expression = check_text(cursor)?;
            let column = Some(self.spec.name.clone());
            self.add(named, ConstraintKind::Check { expression, column }, cursor)
        } else if cursor.accept_all(&["PRIMARY", "KEY"]) {
            self.spec.not_null = true;
            index_parameters(cursor)?;
            self.add(named, ConstraintKind::PrimaryKey(vec![self.spec.name.clone()]), cursor)
        } else if cursor.accept("UNIQUE") {
            nulls_distinct(cursor)?;
            index_parameters(cursor)?;
            self.add(named, ConstraintKind::Unique(vec![self.spec.name.clone()]), cursor)
        } else if cursor.accept("GENERATED") {
            self.generated(cursor, position)
        } else if cursor.accept("REFERENCES") {
            let key = references(cursor, vec![self.spec.name.clone()])?;
            self.add(named, ConstraintKind::ForeignKey(Box::new(key)), cursor)
        } else if cursor.accept("COLLATE") {
            collation(cursor)
        } else if cursor.accept("STORAGE") || cursor.accept("COMPRESSION") {
            // How a value is laid out on disk changes no answer.
            cursor.word().map(|_| ())
        } else {
            Err(cursor.syntax())
        }
    }

    fn add(&mut self, name: Option<String>, kind: ConstraintKind, cursor: &mut Cursor<'_>) -> Result<()> {
        let timing = timing(cursor, &kind, &mut false)?;
        self.constraints.push(ConstraintSpec { name, kind, timing });
        Ok(())
    }

    fn nullable(&mut self, nullable: bool, position: usize) -> Result<()> {
        if self.null.is_some_and(|null| null != nullable) {
            let message =
                format!("conflicting NULL/NOT NULL declarations for column \"{}\" of table \"{}\"", self.spec.name, self.table);
            return Err(SqlError::syntax(message).at(position));
        }
        self.null = Some(nullable);
        self.spec.not_null |= !nullable;
        Ok(())
    }

    fn default(&mut self, text: String, position: usize) -> Result<()> {
        if self.spec.default.is_some() || self.spec.serial {
            return Err(self.twice("multiple default values specified", position));
        }
        if self.spec.generated.is_some() {
            return Err(self.twice("both default and generation expression specified", position));
        }
        if self.spec.identity.is_some() {
            return Err(self.twice("both default and identity specified", position));
        }
        self.spec.default = Some(text);
        Ok(())
    }

    fn generated(&mut self, cursor: &mut Cursor<'_>, position: usize) -> Result<()> {
        let identity = if cursor.accept_all(&["BY", "DEFAULT"]) { Identity::ByDefault } else { Identity::Always };
        if identity == Identity::Always {
            cursor.expect("ALWAYS")?;
        }
        cursor.expect("AS")?;
        if cursor.sees_token(&Token::LParen) {
            let text = check_text(cursor)?;
            cursor.expect("STORED")?;
            return self.computed(text, identity, position);
        }
        cursor.expect("IDENTITY")?;
        if self.spec.identity.is_some() {
            return Err(self.twice("multiple identity specifications", position));
        }
        if self.spec.default.is_some() || self.spec.serial {
            return Err(self.twice("both default and identity specified", position));
        }
        let ty = self.spec.ty;
        if ty.array || !matches!(ty.internal_name().as_str(), "int2" | "int4" | "int8") {
            let message = "identity column type must be smallint, integer, or bigint";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).at(position));
        }
        let options = sequence::options_in_parentheses(cursor)?;
        self.spec.identity = Some((identity, options));
        self.nullable(false, position)
    }

    /// GENERATED ALWAYS AS (…) STORED.
    fn computed(&mut self, text: String, kind: Identity, position: usize) -> Result<()> {
        if kind == Identity::ByDefault {
            return Err(SqlError::syntax("for a generated column, GENERATED ALWAYS must be specified").at(position));
        }
        if self.spec.generated.is_some() {
            return Err(self.twice("multiple generation clauses specified", position));
        }
        if self.spec.default.is_some() || self.spec.serial {
            return Err(self.twice("both default and generation expression specified", position));
        }
        if self.spec.identity.is_some() {
            return Err(self.twice("both identity and generation expression specified", position));
        }
        self.spec.generated = Some(text);
        Ok(())
    }

    fn twice(&self, what: &str, position: usize) -> SqlError {
        let message = format!("{what} for column \"{}\" of table \"{}\"", self.spec.name, self.table);
        SqlError::syntax(message).at(position)
    }
}

/// The text of an expression that runs up to the next constraint.
pub fn default_text(cursor: &mut Cursor<'_>) -> Result<String> {
    const STARTS: &[&str] = &["CHECK", "PRIMARY", "UNIQUE", "REFERENCES", "CONSTRAINT", "GENERATED", "DEFAULT", "COLLATE"];
    let start = cursor.index();
    let slice = cursor.until(|token, next| {
        let follows = |keyword: &str| next.is_some_and(|t| is_keyword(t, keyword));
        let null = is_keyword(token, "NULL") || (is_keyword(token, "NOT") && (follows("NULL") || follows("DEFERRABLE")));
        *token == Token::Comma || STARTS.iter().any(|s| is_keyword(token, s)) || null
    });
    // NULL itself may be the default.
    let slice = if slice.is_empty() && cursor.accept("NULL") {
        cursor.until(|token, next| {
            *token == Token::Comma
                || STARTS.iter().any(|s| is_keyword(token, s))
                || is_keyword(token, "NULL")
                || (is_keyword(token, "NOT") && next.is_some_and(|t| is_keyword(t, "NULL")))
        });
        cursor.slice().part(start, cursor.index())
    } else {
        slice
    };
    if slice.is_empty() {
        return Err(cursor.syntax());
    }
    expression(slice)?;
    Ok(slice.text().to_owned())
}

/// The text of a condition in parentheses.
pub fn check_text(cursor: &mut Cursor<'_>) -> Result<String> {
    let at = cursor.index();
    let condition = cursor.balanced()?;
    if condition.is_empty() {
        cursor.seek(at + 1);
        return Err(cursor.syntax());
    }
    expression(condition)?;
    cursor.accept_all(&["NO", "INHERIT"]);
    Ok(condition.text().to_owned())
}

/// A constraint of a table: `[CONSTRAINT name] PRIMARY KEY (…) | UNIQUE (…) | CHECK (…)`.
pub fn table_constraint(cursor: &mut Cursor<'_>) -> Result<ConstraintSpec> {
    let name = if cursor.accept("CONSTRAINT") { Some(cursor.ident()?) } else { None };
    let mut kind = if cursor.accept_all(&["PRIMARY", "KEY"]) {
        match using_index(cursor)? {
            Some(index) => ConstraintKind::UsingIndex { primary: true, index },
            None => ConstraintKind::PrimaryKey(key_columns(cursor)?),
        }
    } else if cursor.accept("UNIQUE") {
        nulls_distinct(cursor)?;
        match using_index(cursor)? {
            Some(index) => ConstraintKind::UsingIndex { primary: false, index },
            None => ConstraintKind::Unique(key_columns(cursor)?),
        }
    } else if cursor.accept("CHECK") {
        ConstraintKind::Check { expression: check_text(cursor)?, column: None }
    } else if cursor.accept_all(&["FOREIGN", "KEY"]) {
        let columns = named_once(cursor)?;
        cursor.expect("REFERENCES")?;
        ConstraintKind::ForeignKey(Box::new(references(cursor, columns)?))
    } else if cursor.sees("EXCLUDE") {
        let hint = "Use UNIQUE, or check in the client's transaction.";
        return Err(cursor.unsupported("exclusion constraints are not supported", hint));
    } else {
        return Err(cursor.syntax());
    };
    let mut not_valid = false;
    let timing = timing(cursor, &kind, &mut not_valid)?;
    if let ConstraintKind::ForeignKey(key) = &mut kind {
        key.not_valid = not_valid;
    }
    if !ends_definition(cursor) {
        return Err(cursor.syntax());
    }
    Ok(ConstraintSpec { name, kind, timing })
}

/// `USING INDEX name`.
fn using_index(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept_all(&["USING", "INDEX"]) { cursor.ident().map(Some) } else { Ok(None) }
}

fn key_columns(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let columns = named_once(cursor)?;
    index_parameters(cursor)?;
    Ok(columns)
}

/// Names in parentheses, none of them twice.
fn named_once(cursor: &mut Cursor<'_>) -> Result<Vec<String>> {
    let position = cursor.position();
    let columns = cursor.idents()?;
    for (i, column) in columns.iter().enumerate() {
        if columns[..i].contains(column) {
            let message = format!("column \"{column}\" appears twice in constraint");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message).at(position));
        }
    }
    Ok(columns)
}

/// What follows REFERENCES.
fn references(cursor: &mut Cursor<'_>, columns: Vec<String>) -> Result<ForeignKeySpec> {
    let table = cursor.name()?;
    let referenced = if cursor.sees_token(&Token::LParen) { cursor.idents()? } else { Vec::new() };
    let mut key = ForeignKeySpec {
        columns,
        table,
        referenced,
        on_delete: KeyAction::NoAction,
        on_update: KeyAction::NoAction,
        set_columns: Vec::new(),
        full: false,
        not_valid: false,
    };
    if cursor.accept("MATCH") {
        match cursor.accept_any(&["SIMPLE", "FULL", "PARTIAL"]) {
            Some("SIMPLE") => {}
            Some("FULL") if key.columns.len() == 1 => key.full = true,
            Some("FULL") => {
                let hint = "Use MATCH SIMPLE with NOT NULL on the columns, or a CHECK that all or none are null.";
                return Err(cursor.unsupported("MATCH FULL over several columns is not supported", hint));
            }
            Some(_) => return Err(cursor.unsupported("MATCH PARTIAL not yet implemented", "Use MATCH SIMPLE.")),
            None => return Err(cursor.syntax()),
        }
    }
    while cursor.accept("ON") {
        if cursor.accept("DELETE") {
            key.on_delete = key_action(cursor)?;
            if matches!(key.on_delete, KeyAction::SetNull | KeyAction::SetDefault) && cursor.sees_token(&Token::LParen) {
                key.set_columns = cursor.idents()?;
            }
        } else {
            cursor.expect("UPDATE")?;
            key.on_update = key_action(cursor)?;
        }
    }
    Ok(key)
}

fn key_action(cursor: &mut Cursor<'_>) -> Result<KeyAction> {
    const ACTIONS: &[(&[&str], KeyAction)] = &[
        (&["NO", "ACTION"], KeyAction::NoAction),
        (&["RESTRICT"], KeyAction::Restrict),
        (&["CASCADE"], KeyAction::Cascade),
        (&["SET", "NULL"], KeyAction::SetNull),
        (&["SET", "DEFAULT"], KeyAction::SetDefault),
    ];
    let action = ACTIONS.iter().find(|(words, _)| cursor.accept_all(words));
    action.map(|(_, action)| *action).ok_or_else(|| cursor.syntax())
}

fn nulls_distinct(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.sees_all(&["NULLS", "NOT", "DISTINCT"]) {
        return Err(cursor.unsupported("NULLS NOT DISTINCT is not supported", "Declare the columns NOT NULL."));
    }
    cursor.accept_all(&["NULLS", "DISTINCT"]);
    Ok(())
}

/// What may follow a key: none of it changes an answer.
pub fn index_parameters(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.accept("INCLUDE") {
        cursor.idents()?;
    }
    if cursor.sees("WITH") {
        storage_options(cursor)?;
    }
    if cursor.accept_all(&["USING", "INDEX", "TABLESPACE"]) {
        cursor.ident()?;
    }
    Ok(())
}

/// `WITH (name [= value], …)`: storage parameters that only tune PostgreSQL's own storage.
pub fn storage_options(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.expect("WITH")?;
    storage_parameters(cursor)
}

/// The parameters in their parentheses.
pub fn storage_parameters(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.parenthesised(|option| {
        let position = option.position();
        let name = option.word()?;
        let harmless =
            ["fillfactor", "toast_tuple_target", "parallel_workers", "deduplicate_items", "toast", "user_catalog_table"];
        if !harmless.contains(&name.as_str()) && !name.starts_with("autovacuum_") {
            let message = format!("storage parameter \"{name}\" is not supported");
            return Err(SqlError::unsupported(message, "Leave the parameter out.").at(position));
        }
        option.until(|token, _| *token == Token::Comma);
        Ok(())
    })?;
    Ok(())
}

/// `[NOT] DEFERRABLE`, `INITIALLY …` and `NOT VALID`, in any order. Primary keys and checks hold at once, always.
fn timing(cursor: &mut Cursor<'_>, kind: &ConstraintKind, not_valid: &mut bool) -> Result<ConstraintTiming> {
    let (mut deferrable, mut deferred) = (None, None);
    loop {
        let position = cursor.position();
        let (slot, value) = if cursor.accept_all(&["NOT", "VALID"]) {
            *not_valid = true;
            continue;
        } else if cursor.accept_all(&["NOT", "DEFERRABLE"]) {
            (&mut deferrable, false)
        } else if cursor.accept("DEFERRABLE") {
            (&mut deferrable, true)
        } else if cursor.accept_all(&["INITIALLY", "DEFERRED"]) {
            (&mut deferred, true)
        } else if cursor.accept_all(&["INITIALLY", "IMMEDIATE"]) {
            (&mut deferred, false)
        } else {
            break;
        };
        if slot.replace(value).is_some() {
            return Err(SqlError::syntax("multiple DEFERRABLE or INITIALLY clauses not allowed").at(position));
        }
        let later = deferrable == Some(true) || deferred == Some(true);
        match kind {
            ConstraintKind::Check { .. } if later => {
                let message = "CHECK constraints cannot be marked DEFERRABLE";
                return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message).at(position));
            }
            ConstraintKind::PrimaryKey(_) | ConstraintKind::UsingIndex { primary: true, .. } if later => {
                let hint = "Rows are known by their primary key: use a UNIQUE constraint.";
                return Err(SqlError::unsupported("deferrable primary keys are not supported", hint).at(position));
            }
            _ => {}
        }
        if deferrable == Some(false) && deferred == Some(true) {
            return Err(SqlError::syntax("constraint declared INITIALLY DEFERRED must be DEFERRABLE").at(position));
        }
    }
    let deferred = deferred.unwrap_or(false);
    Ok(ConstraintTiming { deferrable: deferrable.unwrap_or(false) || deferred, deferred })
}

/// The same where the constraint is only named.
pub fn timing_alone(cursor: &mut Cursor<'_>) -> Result<ConstraintTiming> {
    let kind = ConstraintKind::Unique(Vec::new());
    timing(cursor, &kind, &mut false)
}

/// Text is compared by its bytes: the collations that say so are accepted.
pub fn collation(cursor: &mut Cursor<'_>) -> Result<()> {
    let position = cursor.position();
    let name = cursor.name()?.name;
    if ["C", "POSIX", "default", "ucs_basic", "C.UTF-8", "C.utf8"].contains(&name.as_str()) {
        return Ok(());
    }
    let message = format!("collation \"{name}\" is not supported");
    Err(SqlError::unsupported(message, "Text is ordered by its bytes, as COLLATE \"C\" has it.").at(position))
}

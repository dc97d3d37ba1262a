//! CREATE, ALTER and DROP of functions and procedures; CALL.
//!
//! Types stay as they were written: what they mean depends on a catalogue.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::if_exists;
use crate::error::{Result, SqlError, SqlState};
use crate::sql::access;
use crate::sql::cursor::{Cursor, is_keyword};
use crate::sql::lex::Slice;
use crate::sql::statement::{
    AlterRoutine, ArgumentMode, ArgumentSpec, CreateRoutine, Ddl, RoutineBody, RoutineKind, RoutineName, Statement, Volatility,
};
use crate::sql::type_name::type_name;
use crate::sql::utility::repeated;

/// Words that begin an option of a routine, or end its type.
const OPTIONS: &[&str] = &[
    "LANGUAGE",
    "AS",
    "IMMUTABLE",
    "STABLE",
    "VOLATILE",
    "STRICT",
    "CALLED",
    "RETURNS",
    "RETURN",
    "BEGIN",
    "SECURITY",
    "EXTERNAL",
    "LEAKPROOF",
    "NOT",
    "PARALLEL",
    "COST",
    "ROWS",
    "SET",
    "WINDOW",
    "TRANSFORM",
    "SUPPORT",
];

/// Reads what follows CREATE [OR REPLACE], from FUNCTION or PROCEDURE.
pub fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Ddl> {
    let procedure = cursor.accept("PROCEDURE");
    if !procedure {
        cursor.expect("FUNCTION")?;
    }
    let name = cursor.name()?;
    let arguments = arguments(cursor, true)?;
    let mut routine = CreateRoutine {
        name,
        or_replace,
        procedure,
        arguments,
        set: false,
        returns: None,
        language: None,
        body: None,
        strict: false,
        volatility: None,
        security_definer: false,
        leakproof: false,
        parallel: None,
        cost: None,
        rows: None,
        settings: Vec::new(),
    };
    while !cursor.is_at_end() {
        option(cursor, &mut routine)?;
    }
    Ok(Ddl::CreateRoutine(Box::new(routine)))
}

fn option(cursor: &mut Cursor<'_>, routine: &mut CreateRoutine) -> Result<()> {
    let position = cursor.position();
    let once = |again: bool| if again { Err(repeated(position)) } else { Ok(()) };
    if cursor.accept_all(&["RETURNS", "NULL", "ON", "NULL", "INPUT"]) || cursor.accept("STRICT") {
        routine.strict = true;
    } else if cursor.accept("RETURNS") {
        once(routine.returns.is_some())?;
        returns(cursor, routine)?;
    } else if cursor.accept("LANGUAGE") {
        let name = match cursor.accept_string() {
            Some(name) => name.to_lowercase(),
            None => cursor.word()?,
        };
        once(routine.language.replace(name).is_some())?;
    } else if cursor.accept("AS") {
        let text = cursor.string()?;
        if cursor.sees_token(&Token::Comma) {
            return Err(
                cursor.unsupported("functions of object files are not supported", "Write the function in SQL or PL/pgSQL.")
            );
        }
        once(routine.body.replace(RoutineBody::Text(text)).is_some())?;
    } else if cursor.accept("RETURN") {
        let value = cursor.rest();
        if value.is_empty() {
            return Err(cursor.syntax());
        }
        once(routine.body.replace(RoutineBody::Return(value.text().to_owned())).is_some())?;
        cursor.seek(cursor.slice().len());
    } else if cursor.accept_all(&["BEGIN", "ATOMIC"]) {
        once(routine.body.is_some())?;
        routine.body = Some(atomic(cursor)?);
    } else if let Some(word) = cursor.accept_any(&["IMMUTABLE", "STABLE", "VOLATILE"]) {
        let volatility = match word {
            "IMMUTABLE" => Volatility::Immutable,
            "STABLE" => Volatility::Stable,
            _ => Volatility::Volatile,
        };
        once(routine.volatility.replace(volatility).is_some())?;
    } else if cursor.accept_all(&["CALLED", "ON", "NULL", "INPUT"]) {
        routine.strict = false;
    } else if cursor.sees("SECURITY") || cursor.sees_all(&["EXTERNAL", "SECURITY"]) {
        cursor.accept("EXTERNAL");
        cursor.expect("SECURITY")?;
        routine.security_definer = match cursor.accept_any(&["DEFINER", "INVOKER"]) {
            Some(word) => word == "DEFINER",
            None => return Err(cursor.syntax()),
        };
    } else if cursor.accept("LEAKPROOF") {
        routine.leakproof = true;
    } else if cursor.accept_all(&["NOT", "LEAKPROOF"]) {
        routine.leakproof = false;
    } else if cursor.accept("PARALLEL") {
        let level = cursor.word()?;
        if !["safe", "unsafe", "restricted"].contains(&level.as_str()) {
            let message = "parameter \"parallel\" must be SAFE, RESTRICTED, or UNSAFE";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(position));
        }
        routine.parallel = Some(level);
    } else if cursor.accept("COST") {
        routine.cost = Some(positive(cursor, "COST")?);
    } else if cursor.accept("ROWS") {
        routine.rows = Some(positive(cursor, "ROWS")?);
    } else if cursor.accept("SET") {
        setting(cursor, routine)?;
    } else if cursor.sees("WINDOW") || cursor.sees("TRANSFORM") || cursor.sees("SUPPORT") {
        let word = cursor.peek_keyword().unwrap_or_default();
        return Err(cursor.unsupported(format!("{word} functions are not supported"), "Write the function in SQL or PL/pgSQL."));
    } else {
        return Err(cursor.syntax());
    }
    Ok(())
}

fn positive(cursor: &mut Cursor<'_>, what: &str) -> Result<f64> {
    let position = cursor.position();
    let digits = match cursor.advance() {
        Some(Token::Number(digits, false)) => digits.parse::<f64>().unwrap_or(0.0),
        _ => return Err(SqlError::syntax(format!("a number is expected after {what}")).at(position)),
    };
    if digits > 0.0 {
        return Ok(digits);
    }
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("{what} must be positive")).at(position))
}

/// `search_path = a, b`: nothing else is set for the time of a call.
fn setting(cursor: &mut Cursor<'_>, routine: &mut CreateRoutine) -> Result<()> {
    let position = cursor.position();
    let name = cursor.ident()?;
    if name != "search_path" {
        return Err(SqlError::unsupported(
            format!("SET {name} of a function is not supported"),
            "Only search_path can be set for a function; set the rest for the session.",
        )
        .at(position));
    }
    if !cursor.accept("TO") {
        cursor.expect_token(&Token::Eq)?;
    }
    let values = cursor.list(|next| match next.accept_string() {
        Some(text) => Ok(text),
        None => next.word(),
    })?;
    routine.settings.push((name, values.into_iter().filter(|value| !value.is_empty()).collect()));
    Ok(())
}

fn returns(cursor: &mut Cursor<'_>, routine: &mut CreateRoutine) -> Result<()> {
    if cursor.sees("TABLE") && cursor.peek_at(1) == Some(&Token::LParen) {
        cursor.accept("TABLE");
        let columns = cursor.parenthesised(|next| {
            let name = next.ident()?;
            let ty = next.until(|token, _| *token == Token::Comma).text().to_owned();
            if ty.is_empty() {
                Err(next.syntax())
            } else {
                Ok(ArgumentSpec { mode: ArgumentMode::Table, name: Some(name), ty, default: None })
            }
        })?;
        routine.arguments.extend(columns);
        routine.set = true;
        routine.returns = Some("record".to_owned());
        return Ok(());
    }
    routine.set = cursor.accept("SETOF");
    let ty = cursor.until(|token, _| OPTIONS.iter().any(|word| is_keyword(token, word)));
    if ty.is_empty() {
        return Err(cursor.syntax());
    }
    routine.returns = Some(ty.text().to_owned());
    Ok(())
}

/// `BEGIN ATOMIC statement; … END`.
fn atomic(cursor: &mut Cursor<'_>) -> Result<RoutineBody> {
    let mut statements = Vec::new();
    loop {
        if cursor.accept("END") {
            return Ok(RoutineBody::Atomic(statements));
        }
        let statement = cursor.until(|token, _| *token == Token::SemiColon);
        if statement.is_empty() {
            return Err(cursor.syntax());
        }
        statements.push(statement.text().to_owned());
        cursor.expect_token(&Token::SemiColon)?;
    }
}

/// `([mode] [name] type [DEFAULT value], …)`
fn arguments(cursor: &mut Cursor<'_>, defaults: bool) -> Result<Vec<ArgumentSpec>> {
    cursor.expect_token(&Token::LParen)?;
    if cursor.accept_token(&Token::RParen) {
        return Ok(Vec::new());
    }
    let arguments = cursor.list(|next| argument(next, defaults))?;
    cursor.expect_token(&Token::RParen)?;
    Ok(arguments)
}

fn argument(cursor: &mut Cursor<'_>, defaults: bool) -> Result<ArgumentSpec> {
    let position = cursor.position();
    let ends = |token: &Token, _: Option<&Token>| matches!(token, Token::Comma | Token::Eq) || is_keyword(token, "DEFAULT");
    let mut slice = cursor.until(ends);
    let mut mode = mode_at(slice, 0);
    if mode.is_some() {
        slice = slice.skip(1);
    }
    let mut named = name_of(slice);
    // The mode may stand behind the name.
    if mode.is_none() && named.is_some() {
        mode = mode_at(slice, 1).filter(|_| slice.len() > 2);
        if mode.is_some() {
            let rest = slice.skip(2);
            named = Some((named.map(|(name, _)| name).unwrap_or_default(), rest));
        }
    }
    let (name, ty) = match named {
        Some((name, ty)) => (Some(name), ty),
        None => (None, slice),
    };
    if ty.is_empty() {
        return Err(cursor.syntax());
    }
    if mode == Some(ArgumentMode::Variadic) {
        let message = "VARIADIC parameters are not supported";
        return Err(SqlError::unsupported(message, "Take an array.").at(position));
    }
    let default = match cursor.accept("DEFAULT") || cursor.accept_token(&Token::Eq) {
        true if defaults => Some(cursor.until(|token, _| *token == Token::Comma).text().to_owned()),
        true => return Err(cursor.syntax()),
        false => None,
    };
    Ok(ArgumentSpec { mode: mode.unwrap_or(ArgumentMode::In), name, ty: ty.text().to_owned(), default })
}

fn mode_at(slice: Slice<'_>, at: usize) -> Option<ArgumentMode> {
    let token = slice.get(at)?;
    // A parameter may be called as a mode is.
    slice.get(at + 1)?;
    let modes = [
        ("IN", ArgumentMode::In),
        ("OUT", ArgumentMode::Out),
        ("INOUT", ArgumentMode::InOut),
        ("VARIADIC", ArgumentMode::Variadic),
    ];
    modes.into_iter().find(|(word, _)| is_keyword(token, word)).map(|(_, mode)| mode)
}

/// The name before a type and the type; `None` where all of it is a type.
fn name_of(slice: Slice<'_>) -> Option<(String, Slice<'_>)> {
    let copied = slice.len() > 2 && slice.get(slice.len() - 2) == Some(&Token::Mod);
    let ty = if copied { slice.part(0, slice.len() - 2) } else { slice };
    let mut whole = Cursor::new(ty);
    if slice.len() < 2 || (type_name(&mut whole).is_ok() && whole.is_at_end()) {
        return None;
    }
    let mut cursor = Cursor::new(slice);
    let name = cursor.word().ok()?;
    Some((name, slice.skip(1)))
}

/// A routine by its name, and by the types of its arguments where several have it.
pub fn routine_name(cursor: &mut Cursor<'_>) -> Result<RoutineName> {
    let name = cursor.name()?;
    let arguments = match cursor.sees_token(&Token::LParen) {
        true => Some(arguments(cursor, false)?),
        false => None,
    };
    let input = |spec: &ArgumentSpec| !matches!(spec.mode, ArgumentMode::Out | ArgumentMode::Table);
    Ok(RoutineName { name, arguments: arguments.map(|all| all.into_iter().filter(input).map(|spec| spec.ty).collect()) })
}

/// FUNCTION, PROCEDURE or ROUTINE.
pub fn kind(cursor: &mut Cursor<'_>) -> Option<RoutineKind> {
    match cursor.accept_any(&["FUNCTION", "PROCEDURE", "ROUTINE"])? {
        "FUNCTION" => Some(RoutineKind::Function),
        "PROCEDURE" => Some(RoutineKind::Procedure),
        _ => Some(RoutineKind::Routine),
    }
}

/// Reads what follows DROP FUNCTION and its like.
pub fn drop(cursor: &mut Cursor<'_>, kind: RoutineKind) -> Result<Ddl> {
    let if_exists = if_exists(cursor);
    let routines = cursor.list(routine_name)?;
    Ok(Ddl::DropRoutine { kind, routines, if_exists, cascade: super::cascade(cursor) })
}

/// Reads what follows ALTER FUNCTION and its like.
pub fn alter(cursor: &mut Cursor<'_>, kind: RoutineKind) -> Result<Ddl> {
    let routine = routine_name(cursor)?;
    let action = if cursor.accept_all(&["RENAME", "TO"]) {
        AlterRoutine::Rename(cursor.ident()?)
    } else if cursor.accept_all(&["OWNER", "TO"]) {
        AlterRoutine::OwnerTo(access::role(cursor)?)
    } else if cursor.accept_all(&["SET", "SCHEMA"]) {
        AlterRoutine::SetSchema(cursor.ident()?)
    } else {
        return Err(cursor.unsupported(
            "this form of ALTER FUNCTION is not supported",
            "CREATE OR REPLACE FUNCTION gives a function other properties.",
        ));
    };
    Ok(Ddl::AlterRoutine { kind, routine, action })
}

/// CALL procedure(arguments).
pub fn call(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("CALL")?;
    let rest = cursor.rest();
    let expression = crate::sql::cursor::expression(rest)?;
    if !matches!(expression, datafusion::sql::sqlparser::ast::Expr::Function(_)) {
        return Err(cursor.syntax());
    }
    cursor.seek(cursor.slice().len());
    Ok(Statement::Call(Box::new(expression)))
}

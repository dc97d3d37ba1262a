//! Functions that speak of the session: who, where, which settings, sequences, and the catalogue's small ones.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, ListBuilder, NullArray, StringArray, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::ambient::statement;
use super::define::{Call, Function, INT8, Returns, TEXT, Want};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{SequenceDef, is_temporary_schema};
use crate::plan::{Message, StatementContext};
use crate::types::{PgType, Qualified, TypeName};

const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const NAME: Returns = Returns::of(TypeName::Name);
const INT8_RESULT: Returns = Returns::Fixed(PgType::INT8);

/// What `version()` and `server_version` tell clients that ask for PostgreSQL.
pub const SERVER_VERSION: &str = "15.0";

pub const FUNCTIONS: &[Function] = &[
    Function::new("version", &[], TEXT_RESULT, |c| {
        let version = format!("PostgreSQL {SERVER_VERSION} (Chronogate {})", env!("CARGO_PKG_VERSION"));
        constant(c, |_| Ok(Some(version.clone())))
    }),
    Function::new("current_setting", &[TEXT, Want::Type(TypeName::Bool)], TEXT_RESULT, current_setting).optional(1).stable(),
    Function::new("set_config", &[TEXT, TEXT, Want::Type(TypeName::Bool)], TEXT_RESULT, set_config).volatile(),
    Function::new("current_schema", &[], NAME, |c| {
        constant(c, |s| Ok(s.search_path.iter().find(|schema| !is_temporary_schema(schema)).cloned()))
    })
    .stable(),
    Function::new(
        "current_schemas",
        &[Want::Type(TypeName::Bool)],
        Returns::Fixed(PgType::new(TypeName::Name).array_of()),
        schemas,
    )
    .stable(),
    Function::new("current_database", &[], NAME, |c| constant(c, |s| Ok(Some(s.database.name().to_owned()))))
        .stable()
        .aliases(&["current_catalog"]),
    Function::new("session_user", &[], NAME, |c| constant(c, |s| Ok(Some(s.session_user.clone())))).stable(),
    Function::new("current_user", &[], NAME, |c| constant(c, |s| Ok(Some(s.current_user.clone()))))
        .stable()
        .aliases(&["user", "current_role"]),
    Function::new("pg_backend_pid", &[], Returns::Fixed(PgType::INT4), |c| {
        Ok(Arc::new(Int32Array::from_value(statement(c.options)?.backend_pid, c.rows)))
    })
    .stable(),
    Function::new("nextval", &[TEXT], INT8_RESULT, nextval).volatile(),
    Function::new("currval", &[TEXT], INT8_RESULT, currval).volatile(),
    Function::new("lastval", &[], INT8_RESULT, lastval).volatile(),
    Function::new("setval", &[TEXT, INT8, Want::Type(TypeName::Bool)], INT8_RESULT, setval).optional(1).volatile(),
    Function::new("quote_ident", &[TEXT], TEXT_RESULT, |c| c.map_text(|row| Ok(c.text(0, row).map(quote_ident)))),
    Function::new("pg_client_encoding", &[], NAME, |c| constant(c, |_| Ok(Some("UTF8".to_owned())))),
    Function::new("txid_current", &[], INT8_RESULT, transaction_number).stable().aliases(&["pg_current_xact_id"]),
    #[cfg(test)]
    Function::new("panic_on_purpose", &[INT8], Returns::Fixed(PgType::BOOL), |_| panic!("on purpose")).volatile(),
    Function::new("pg_notify", &[TEXT, TEXT], Returns::of(TypeName::Void), pg_notify).volatile(),
    Function::new("pg_sleep", &[Want::Type(TypeName::Float8)], Returns::of(TypeName::Void), pg_sleep).volatile(),
];

/// One text of the statement, for every row.
fn constant(call: &Call<'_>, text: impl Fn(&StatementContext) -> Result<Option<String>>) -> Result<ArrayRef> {
    let value = match statement(call.options) {
        Ok(statement) => text(statement)?,
        Err(error) => return Err(error),
    };
    Ok(Arc::new(StringArray::from(vec![value; call.rows])))
}

fn current_setting(call: &Call<'_>) -> Result<ArrayRef> {
    let settings = &statement(call.options)?.settings;
    call.map_text(|row| {
        let Some(name) = call.text(0, row) else { return Ok(None) };
        match settings.get(name) {
            Some(value) => Ok(Some(value)),
            None if call.bool(1, row) == Some(true) => Ok(None),
            None => Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))),
        }
    })
}

fn set_config(call: &Call<'_>) -> Result<ArrayRef> {
    let settings = &statement(call.options)?.settings;
    call.map_text(|row| {
        let Some(name) = call.text(0, row) else {
            return Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "SET requires parameter name"));
        };
        settings.set(name, call.text(1, row).unwrap_or_default(), call.bool(2, row).unwrap_or(false))?;
        Ok(settings.get(name))
    })
}

/// Waits so many seconds for each row, or until the statement is cancelled. The thread is given back to other plans meanwhile.
fn pg_sleep(call: &Call<'_>) -> Result<ArrayRef> {
    const STEP: Duration = Duration::from_millis(5);
    let cancel = &statement(call.options)?.cancel;
    let wait = || {
        for row in 0..call.rows {
            let seconds = call.float8(0, row).filter(|seconds| *seconds > 0.0).unwrap_or_default();
            let end = Duration::try_from_secs_f64(seconds).ok().and_then(|wait| Instant::now().checked_add(wait));
            while end.is_none_or(|end| Instant::now() < end) {
                cancel.check()?;
                std::thread::sleep(STEP);
            }
        }
        cancel.check()
    };
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait)?,
        _ => wait()?,
    }
    Ok(Arc::new(NullArray::new(call.rows)))
}

/// NOTIFY with a channel and a payload that are computed; NULLs are as empty.
fn pg_notify(call: &Call<'_>) -> Result<ArrayRef> {
    let messages = &statement(call.options)?.messages;
    for row in 0..call.rows {
        let (channel, payload) = (call.text(0, row).unwrap_or_default(), call.text(1, row).unwrap_or_default());
        let invalid = |message: &str| Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        match (channel.len(), payload.len()) {
            (0, _) => return invalid("channel name cannot be empty"),
            (64.., _) => return invalid("channel name too long"),
            (_, 8000..) => return invalid("payload string too long"),
            _ => messages.push(Message::Notify { channel: channel.to_owned(), payload: payload.to_owned() }),
        }
    }
    Ok(Arc::new(NullArray::new(call.rows)))
}

fn schemas(call: &Call<'_>) -> Result<ArrayRef> {
    let path = &statement(call.options)?.search_path;
    let DataType::List(item) = call.returns.data_type() else {
        return Err(SqlError::internal("schemas without an array form"));
    };
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(Arc::clone(item));
    let (temporary, path): (Vec<&str>, Vec<&str>) = path.iter().map(String::as_str).partition(|s| is_temporary_schema(s));
    for row in 0..call.rows {
        let implicit = call.bool(0, row) == Some(true);
        let system = (implicit && !path.contains(&"pg_catalog")).then_some("pg_catalog");
        let first = temporary.iter().copied().filter(|_| implicit).chain(system);
        lists.append_value(first.chain(path.iter().copied()).map(Some));
    }
    Ok(Arc::new(lists.finish()))
}

/// The sequence of a name as `nextval` takes it: quoted or not, with its schema or by the search path.
fn sequence(statement: &StatementContext, name: &str) -> Result<Arc<SequenceDef>> {
    let (schema, bare) = split_name(name);
    let catalog = Arc::clone(&statement.transaction.lock().catalog);
    let schemas = schema.map_or_else(|| statement.search_path.clone(), |s| vec![statement.schema_named(&s).to_owned()]);
    let found = schemas.iter().find_map(|schema| catalog.sequences.get(&Qualified::new(schema.as_str(), bare.as_str())));
    found.cloned().ok_or_else(|| SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")))
}

/// Schema and name, folded to lower case where they are not quoted.
pub fn split_name(text: &str) -> (Option<String>, String) {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => {
                if let Some(last) = parts.last_mut() {
                    last.extend(if quoted { vec![c] } else { c.to_lowercase().collect() });
                }
            }
        }
    }
    let name = parts.pop().unwrap_or_default();
    (parts.pop(), name)
}

fn nextval(call: &Call<'_>) -> Result<ArrayRef> {
    let statement = statement(call.options)?;
    if statement.read_only {
        return Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, "cannot execute nextval() in a read-only transaction"));
    }
    call.map::<i64, Int64Array>(|row| {
        let Some(name) = call.text(0, row) else { return Ok(None) };
        statement.cancel.check()?;
        let sequence = sequence(statement, name)?;
        // The answer comes from the store's own thread, so that waiting here cannot hold it up.
        let value = futures::executor::block_on(statement.database.next_value(&sequence))?;
        statement.sequences.record(sequence.id, value);
        Ok(Some(value))
    })
}

fn currval(call: &Call<'_>) -> Result<ArrayRef> {
    let statement = statement(call.options)?;
    call.map::<i64, Int64Array>(|row| {
        let Some(name) = call.text(0, row) else { return Ok(None) };
        let sequence = sequence(statement, name)?;
        let value = statement.sequences.current(sequence.id);
        let missing = || {
            let message = format!("currval of sequence \"{}\" is not yet defined in this session", sequence.name.name);
            SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        };
        value.ok_or_else(missing).map(Some)
    })
}

fn lastval(call: &Call<'_>) -> Result<ArrayRef> {
    let missing = || SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "lastval is not yet defined in this session");
    let value = statement(call.options)?.sequences.last().ok_or_else(missing)?;
    Ok(Arc::new(Int64Array::from_value(value, call.rows)))
}

fn setval(call: &Call<'_>) -> Result<ArrayRef> {
    let statement = statement(call.options)?;
    if statement.read_only {
        return Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, "cannot execute setval() in a read-only transaction"));
    }
    call.map::<i64, Int64Array>(|row| {
        let (Some(name), Some(value)) = (call.text(0, row), call.int8(1, row)) else { return Ok(None) };
        let called = if call.args.len() == 3 { call.bool(2, row) } else { Some(true) };
        let Some(called) = called else { return Ok(None) };
        let sequence = sequence(statement, name)?;
        if !(sequence.min..=sequence.max).contains(&value) {
            let (name, min, max) = (&sequence.name.name, sequence.min, sequence.max);
            let message = format!("setval: value {value} is out of bounds for sequence \"{name}\" ({min}..{max})");
            return Err(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message));
        }
        futures::executor::block_on(statement.database.set_value(&sequence, value, called))?;
        if called {
            statement.sequences.record(sequence.id, value);
        }
        Ok(Some(value))
    })
}

fn transaction_number(call: &Call<'_>) -> Result<ArrayRef> {
    let next = statement(call.options)?.transaction.lock().snapshot.commit.next();
    Ok(Arc::new(Int64Array::from_value(next.0 as i64, call.rows)))
}

/// Words that are names only in quotes: all of PostgreSQL's keywords but the unreserved ones.
static RESERVED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let keywords = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/pg_catalog/keywords.tsv"));
    let words = keywords.lines().filter_map(|line| line.split_once('\t'));
    words.filter(|(_, kind)| !kind.starts_with('U')).map(|(word, _)| word).collect()
});

pub fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '$')
        && !RESERVED.contains(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

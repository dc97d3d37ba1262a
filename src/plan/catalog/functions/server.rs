//! Sizes, encodings, addresses and what else clients ask of a server.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array, TimestampMicrosecondArray};

use super::{View, nulls, number};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::catalog::objects::Relation;
use crate::plan::catalog::updatable::updatable;
use crate::plan::functions::ambient::statement;
use crate::plan::functions::define::{Call, Function, INT4, INT8, Returns, TEXT, Want};
use crate::types::{PgType, TypeName};

const TEXT_RESULT: Returns = Returns::Fixed(PgType::TEXT);
const NAME: Returns = Returns::of(TypeName::Name);
const BOOL: Returns = Returns::Fixed(PgType::BOOL);
const INT4_RESULT: Returns = Returns::Fixed(PgType::INT4);
const INT8_RESULT: Returns = Returns::Fixed(PgType::INT8);
const OID: Returns = Returns::of(TypeName::Oid);

pub const FUNCTIONS: &[Function] = &[
    Function::new("pg_get_userbyid", &[INT8], NAME, user_by_id).stable(),
    Function::new("pg_relation_size", &[Want::Any, TEXT], INT8_RESULT, relation_size).optional(1).stable(),
    Function::new("pg_table_size", &[Want::Any], INT8_RESULT, relation_size).stable(),
    Function::new("pg_indexes_size", &[Want::Any], INT8_RESULT, relation_size).stable(),
    Function::new("pg_total_relation_size", &[Want::Any], INT8_RESULT, relation_size).stable(),
    Function::new("pg_database_size", &[Want::Any], INT8_RESULT, database_size).stable(),
    Function::new("pg_tablespace_size", &[Want::Any], INT8_RESULT, database_size).stable(),
    Function::new("pg_size_pretty", &[INT8], TEXT_RESULT, size_pretty),
    Function::new("pg_encoding_to_char", &[INT4], NAME, |c| {
        c.map_text(|row| Ok(c.int4(0, row).map(|n| ENCODINGS.get(n.max(0) as usize).copied().unwrap_or(""))))
    }),
    Function::new("pg_char_to_encoding", &[TEXT], INT4_RESULT, |c| {
        c.map::<i32, Int32Array>(|row| Ok(c.text(0, row).map(encoding_number)))
    }),
    Function::new("getdatabaseencoding", &[], NAME, |c| {
        Ok(Arc::new(datafusion::arrow::array::StringArray::from(vec!["UTF8"; c.rows])))
    }),
    Function::new("pg_my_temp_schema", &[], OID, |c| {
        let view = View::of(c)?;
        let schema = view.catalogue.catalog.temporary_schema().map_or(0, |schema| i64::from(schema.id));
        Ok(Arc::new(Int64Array::from_value(schema, c.rows)))
    })
    .stable(),
    Function::new("pg_is_other_temp_schema", &[INT8], BOOL, no).stable(),
    Function::new("pg_is_in_recovery", &[], BOOL, no).stable(),
    Function::new("pg_is_wal_replay_paused", &[], BOOL, no).stable(),
    Function::new("pg_jit_available", &[], BOOL, no).stable(),
    Function::new("pg_postmaster_start_time", &[], Returns::Fixed(PgType::TIMESTAMPTZ), started).stable(),
    Function::new("pg_conf_load_time", &[], Returns::Fixed(PgType::TIMESTAMPTZ), started).stable(),
    Function::new("inet_server_addr", &[], TEXT_RESULT, nulls).stable(),
    Function::new("inet_server_port", &[], INT4_RESULT, no_number).stable(),
    Function::new("inet_client_addr", &[], TEXT_RESULT, nulls).stable(),
    Function::new("inet_client_port", &[], INT4_RESULT, no_number).stable(),
    Function::new("pg_tablespace_location", &[INT8], TEXT_RESULT, |c| c.map_text(|row| Ok(number(c, 0, row).map(|_| "")))),
    Function::new("pg_relation_filenode", &[Want::Any], OID, |c| {
        let view = View::of(c)?;
        c.map::<i64, Int64Array>(|row| Ok(view.oid(c, 0, row, TypeName::Regclass)?.map(i64::from)))
    })
    .stable(),
    Function::new("pg_relation_is_updatable", &[Want::Any, Want::Type(TypeName::Bool)], INT4_RESULT, writes_of).stable(),
    Function::new("pg_relation_is_publishable", &[Want::Any], BOOL, no).stable(),
    Function::new("pg_stat_get_numscans", &[INT8], INT8_RESULT, zero).stable(),
    Function::new("pg_sequence_last_value", &[Want::Any], INT8_RESULT, sequence_last_value).volatile(),
    Function::new("pg_column_size", &[Want::Any], INT4_RESULT, column_size),
    Function::new("pg_cancel_backend", &[INT4], BOOL, cancel).volatile(),
    Function::new("pg_terminate_backend", &[INT4, INT8], BOOL, terminate).optional(1).volatile(),
    Function::new("pg_export_snapshot", &[], TEXT_RESULT, export_snapshot).volatile(),
    Function::new("pg_stat_get_snapshot_timestamp", &[], Returns::Fixed(PgType::TIMESTAMPTZ), |c| {
        Ok(Arc::new(TimestampMicrosecondArray::new_null(c.rows).with_timezone("UTC")))
    })
    .stable(),
];

/// Which writes a relation takes: 4 UPDATE, 8 INSERT, 16 DELETE.
fn writes_of(call: &Call<'_>) -> Result<ArrayRef> {
    const ALL: i32 = 4 | 8 | 16;
    let view = View::of(call)?;
    call.map::<i32, Int32Array>(|row| {
        let Some(oid) = view.oid(call, 0, row, TypeName::Regclass)? else { return Ok(None) };
        Ok(Some(match view.relation(oid) {
            Some(Relation::Table(table)) if table.materialized.is_none() => ALL,
            Some(Relation::View(def)) if updatable(&view.catalogue.catalog, &def).is_ok() => ALL,
            _ => 0,
        }))
    })
}

fn no(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(BooleanArray::from(vec![false; call.rows])))
}

fn no_number(call: &Call<'_>) -> Result<ArrayRef> {
    Ok(Arc::new(Int32Array::new_null(call.rows)))
}

fn zero(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<i64, Int64Array>(|row| Ok(number(call, 0, row).map(|_| 0)))
}

fn user_by_id(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    call.map_text(|row| {
        let Some(oid) = number(call, 0, row) else { return Ok(None) };
        let name = view.catalogue.role_name(oid).map(str::to_owned);
        Ok(Some(name.unwrap_or_else(|| format!("unknown (OID={oid})"))))
    })
}

/// No size is known of a single relation: versions of all tables share one store.
fn relation_size(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    call.map::<i64, Int64Array>(|row| {
        let Some(oid) = view.oid(call, 0, row, TypeName::Regclass)? else { return Ok(None) };
        Ok(view.relation(oid).map(|_| 0))
    })
}

fn database_size(call: &Call<'_>) -> Result<ArrayRef> {
    call.map::<i64, Int64Array>(|row| Ok((!call.args[0].is_null(row)).then_some(0)))
}

/// Halves round up, as PostgreSQL's do; a unit is left when the number has grown to ten thousand of it.
fn size_pretty(call: &Call<'_>) -> Result<ArrayRef> {
    call.map_text(|row| Ok(call.int8(0, row).map(pretty)))
}

fn pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let limit = 10 * 1024;
    if bytes.unsigned_abs() < limit {
        return format!("{bytes} bytes");
    }
    // One bit is kept to round by.
    let mut size = i128::from(bytes) / 512;
    let halved = |size: i128| (size + size.signum()) / 2;
    for (place, unit) in UNITS.iter().enumerate().skip(1) {
        if halved(size).unsigned_abs() < u128::from(limit) || place == UNITS.len() - 1 {
            return format!("{} {unit}", halved(size));
        }
        size /= 1024;
    }
    String::new()
}

/// PostgreSQL's encodings by their numbers, as far as clients meet them.
const ENCODINGS: &[&str] = &[
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
];

/// Case, hyphens and underscores mean nothing; -1 for a name that is none.
fn encoding_number(name: &str) -> i32 {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    let wanted = plain(name);
    let wanted = if wanted == "UNICODE" { "UTF8".to_owned() } else { wanted };
    ENCODINGS.iter().position(|e| plain(e) == wanted).map_or(-1, |n| n as i32)
}

fn started(call: &Call<'_>) -> Result<ArrayRef> {
    let time = statement(call.options)?.server.started().micros();
    Ok(Arc::new(TimestampMicrosecondArray::from_value(time, call.rows).with_timezone("UTC")))
}

/// The value last taken in this session; what others took is known to the store alone.
fn sequence_last_value(call: &Call<'_>) -> Result<ArrayRef> {
    let view = View::of(call)?;
    call.map::<i64, Int64Array>(|row| {
        let oid = view.oid(call, 0, row, TypeName::Regclass)?;
        Ok(oid.and_then(|oid| view.ctx.sequences.current(oid)))
    })
}

/// Bytes of the value's binary form, with a byte of length before one that varies.
fn column_size(call: &Call<'_>) -> Result<ArrayRef> {
    let ty = call.types[0];
    let mut text = String::new();
    call.map::<i32, Int32Array>(|row| {
        if call.args[0].is_null(row) {
            return Ok(None);
        }
        if ty.length() > 0 {
            return Ok(Some(i32::from(ty.length())));
        }
        text.clear();
        crate::types::write_value(&mut text, ty, &call.args[0], row, call.zone())?;
        let header = if text.len() < 127 { 1 } else { 4 };
        Ok(Some(i32::try_from(text.len()).unwrap_or(i32::MAX).saturating_add(header)))
    })
}

fn terminate(call: &Call<'_>) -> Result<ArrayRef> {
    let message = "must be a member of the role whose process is being terminated or member of pg_signal_backend";
    signal(call, message, |ctx, pid| ctx.server.terminate(pid))
}

fn cancel(call: &Call<'_>) -> Result<ArrayRef> {
    let message = "must be a member of the role whose query is being canceled or member of pg_signal_backend";
    signal(call, message, |ctx, pid| ctx.server.cancel(pid))
}

/// Tells a session something: 42501 with this message to who may not.
fn signal(call: &Call<'_>, denied: &str, tell: fn(&crate::plan::StatementContext, i32) -> bool) -> Result<ArrayRef> {
    let ctx = statement(call.options)?;
    call.map::<bool, BooleanArray>(|row| {
        let Some(pid) = call.int4(0, row) else { return Ok(None) };
        let Some(session) = ctx.server.sessions().into_iter().find(|s| s.pid == pid) else {
            ctx.notices.push(SqlError::warning(SqlState::WARNING, format!("PID {pid} is not a PostgreSQL server process")));
            return Ok(Some(false));
        };
        if !ctx.authority().owns(&session.user) {
            return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, denied));
        }
        Ok(Some(tell(ctx, pid)))
    })
}

/// The same name for every call in a transaction would do; each gets its own, as PostgreSQL's do.
fn export_snapshot(call: &Call<'_>) -> Result<ArrayRef> {
    let ctx = statement(call.options)?;
    call.map_text(|_| {
        let mut transaction = ctx.transaction.lock();
        // Others read it now: it must stay where it is.
        transaction.has_read_more();
        let name = ctx.server.export_snapshot(ctx.database.name(), &transaction)?;
        ctx.objects.lock().exported.push(name.clone());
        Ok(Some(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_change_unit_at_ten_thousand() {
        // PostgreSQL 15's answers.
        for (bytes, expected) in [
            (0, "0 bytes"),
            (10239, "10239 bytes"),
            (10240, "10 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (-10240, "-10 kB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(pretty(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn encodings_are_known_by_any_spelling() {
        assert_eq!((encoding_number("utf-8"), encoding_number("LATIN1"), encoding_number("x")), (6, 8, -1));
    }
}

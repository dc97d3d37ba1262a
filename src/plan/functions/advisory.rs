//! Advisory locks: keys that mean what clients agree on. Who holds which is the session's to know.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, NullArray};

use super::ambient::statement;
use super::define::{Call, Function, INT4, INT8, Returns, Want};
use crate::error::Result;
use crate::plan::AdvisoryKey;
use crate::types::{PgType, TypeName};

const VOID: Returns = Returns::of(TypeName::Void);
const BOOL: Returns = Returns::Fixed(PgType::BOOL);

/// Shared or exclusive, of the session or of the transaction, waiting or not.
#[derive(Clone, Copy)]
struct Manner {
    shared: bool,
    transaction: bool,
    wait: bool,
}

const fn manner(shared: bool, transaction: bool, wait: bool) -> Manner {
    Manner { shared, transaction, wait }
}

/// A key of one bigint or of two integers.
const KEY: &[Want] = &[INT8, INT4];

const fn function(name: &'static str, returns: Returns, run: fn(&Call<'_>) -> Result<ArrayRef>) -> Function {
    Function::new(name, KEY, returns, run).optional(1).volatile()
}

pub const FUNCTIONS: &[Function] = &[
    function("pg_advisory_lock", VOID, |c| lock(c, manner(false, false, true))),
    function("pg_advisory_lock_shared", VOID, |c| lock(c, manner(true, false, true))),
    function("pg_advisory_xact_lock", VOID, |c| lock(c, manner(false, true, true))),
    function("pg_advisory_xact_lock_shared", VOID, |c| lock(c, manner(true, true, true))),
    function("pg_try_advisory_lock", BOOL, |c| lock(c, manner(false, false, false))),
    function("pg_try_advisory_lock_shared", BOOL, |c| lock(c, manner(true, false, false))),
    function("pg_try_advisory_xact_lock", BOOL, |c| lock(c, manner(false, true, false))),
    function("pg_try_advisory_xact_lock_shared", BOOL, |c| lock(c, manner(true, true, false))),
    function("pg_advisory_unlock", BOOL, |c| unlock(c, false)),
    function("pg_advisory_unlock_shared", BOOL, |c| unlock(c, true)),
    Function::new("pg_advisory_unlock_all", &[], VOID, |c| {
        statement(c.options)?.advisory.unlock_all();
        Ok(Arc::new(NullArray::new(c.rows)))
    })
    .volatile(),
];

/// `None` where a part of the key is NULL: then nothing happens.
fn key(call: &Call<'_>, row: usize) -> Option<AdvisoryKey> {
    let first = call.int8(0, row)?;
    if call.args.len() < 2 {
        return Some(AdvisoryKey::One(first));
    }
    Some(AdvisoryKey::Two(i32::try_from(first).ok()?, call.int4(1, row)?))
}

fn lock(call: &Call<'_>, manner: Manner) -> Result<ArrayRef> {
    let advisory = &statement(call.options)?.advisory;
    let mut answers = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        answers.push(match key(call, row) {
            Some(key) => Some(advisory.lock(key, manner.shared, manner.transaction, manner.wait)?),
            None => None,
        });
    }
    Ok(if manner.wait { Arc::new(NullArray::new(call.rows)) } else { Arc::new(BooleanArray::from(answers)) })
}

fn unlock(call: &Call<'_>, shared: bool) -> Result<ArrayRef> {
    let statement = statement(call.options)?;
    let mut answers = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let unlocked = key(call, row).map(|key| statement.advisory.unlock(key, shared));
        if unlocked == Some(false) {
            let mode = if shared { "ShareLock" } else { "ExclusiveLock" };
            let message = format!("you don't own a lock of type {mode}");
            statement.notices.push(crate::error::SqlError::warning(crate::error::SqlState::WARNING, message));
        }
        answers.push(unlocked);
    }
    Ok(Arc::new(BooleanArray::from(answers)))
}

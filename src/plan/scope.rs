//! Instants as values: which `Scope` a clause means under one statement's snapshot.
//!
//! NULL is 22004, text that is no time 22007, a commit that has not been made 22023. An instant in the future
//! reads the snapshot and says so in a NOTICE, as does a range that runs backwards.

use datafusion::common::ScalarValue;

use super::context::GRACE;
use super::marker::{ClauseKind, InstantKind, Names};
use super::{DefaultScope, StatementContext};
use crate::error::{Result, SqlError, SqlState};
use crate::types::datetime::parse_timestamptz;
use crate::types::{PgType, Zone};
use crate::versions::{CommitNo, Scope, Timestamp};

/// One instant, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instant {
    Time(Timestamp),
    Commit(CommitNo),
}

/// The scope of relations without a clause of their own.
pub fn default_scope(ctx: &StatementContext) -> Scope {
    match ctx.default_scope {
        None => Scope::Current,
        Some(DefaultScope::AsOf(at)) => Scope::AsOf(at),
        Some(DefaultScope::AsOfCommit(commit)) => Scope::AsOfCommit(commit),
    }
}

/// The scope that a clause of this kind with these instants means.
pub async fn clause_scope(ctx: &StatementContext, kind: ClauseKind, instants: &[(InstantKind, ScalarValue)]) -> Result<Scope> {
    let mut resolved = Vec::with_capacity(instants.len());
    for (what, value) in instants {
        resolved.push(resolve(ctx, *what, value)?);
    }
    match (kind, &resolved[..]) {
        (ClauseKind::AsOf, [at]) => Ok(as_of(ctx, *at)),
        (ClauseKind::Pinned, [at]) => pinned(ctx, *at),
        (ClauseKind::All, []) => Ok(Scope::All),
        (_, [from, until]) => {
            let (from, until) = (time_of(ctx, *from).await?, time_of(ctx, *until).await?);
            if from > until {
                ctx.notices.push(SqlError::notice("the range of system time ends before it begins; it has no rows"));
            }
            Ok(match kind {
                ClauseKind::FromTo | ClauseKind::AsOf | ClauseKind::Pinned | ClauseKind::All => Scope::FromTo { from, until },
                ClauseKind::Between => Scope::Between { from, until },
                ClauseKind::ContainedIn => Scope::ContainedIn { from, until },
            })
        }
        _ => Err(SqlError::internal("a clause about system time came without its instants")),
    }
}

/// The scope of an AS OF with this instant, without a word about one in the future.
pub fn as_of_scope(ctx: &StatementContext, what: InstantKind, value: &ScalarValue) -> Result<Scope> {
    Ok(match resolve(ctx, what, value)? {
        Instant::Commit(commit) => Scope::AsOfCommit(commit),
        Instant::Time(at) => Scope::AsOf(at),
    })
}

/// The scope of a clause that pins a whole statement: 22023 where the answer could not be repeated.
fn pinned(ctx: &StatementContext, at: Instant) -> Result<Scope> {
    match at {
        Instant::Time(at) if at.micros() > ctx.database.now().max(ctx.statement_time).micros().saturating_add(GRACE) => {
            let message = "AS OF SYSTEM TIME: cannot read the future";
            let hint = "FOR SYSTEM_TIME AS OF reads the present in place of a future instant.";
            Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).hint(hint))
        }
        Instant::Time(at) => Ok(Scope::AsOf(at)),
        Instant::Commit(commit) => Ok(Scope::AsOfCommit(commit)),
    }
}

fn as_of(ctx: &StatementContext, at: Instant) -> Scope {
    match at {
        Instant::Commit(commit) => Scope::AsOfCommit(commit),
        Instant::Time(at) => {
            let now = ctx.database.now().max(ctx.statement_time);
            if at > now && at != Timestamp::MAX {
                let message = "the instant is in the future; reading the state at the statement's snapshot";
                ctx.notices.push(SqlError::notice(message));
            }
            Scope::AsOf(at)
        }
    }
}

fn resolve(ctx: &StatementContext, what: InstantKind, value: &ScalarValue) -> Result<Instant> {
    let at = match value {
        v if v.is_null() => {
            return Err(SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "an instant of system time must not be null"));
        }
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Instant::Time(Timestamp::from_micros(*micros)),
        v => match (what.names, whole(v), v.try_as_str().flatten()) {
            (_, Some(number), _) if what.names != Names::Time => Instant::Commit(commit_number(number)?),
            (Names::Either | Names::Commit, _, Some(text)) if commit_text(text).is_some() => {
                Instant::Commit(commit_number(commit_text(text).unwrap_or_default())?)
            }
            (Names::Time | Names::Either, _, Some(text)) => Instant::Time(read_time(ctx, text)?),
            _ => return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, "an instant must be a timestamp or a commit number")),
        },
    };
    if let Instant::Commit(commit) = at
        && commit > ctx.database.snapshot().commit
    {
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("commit {} does not exist yet", commit.0)));
    }
    Ok(match at {
        Instant::Time(at) if what.before => Instant::Time(Timestamp::from_micros(at.micros().saturating_sub(1))),
        Instant::Commit(commit) if what.before => Instant::Commit(CommitNo(commit.0.saturating_sub(1))),
        at => at,
    })
}

/// A text as a timestamptz; without a zone of its own it is in the session's.
fn read_time(ctx: &StatementContext, text: &str) -> Result<Timestamp> {
    match text.trim().to_ascii_lowercase().as_str() {
        "infinity" => return Ok(Timestamp::MAX),
        "-infinity" => return Ok(Timestamp::MIN),
        _ => {}
    }
    let zone = Zone::parse(&ctx.time_zone)?;
    Ok(Timestamp::from_micros(parse_timestamptz(text, zone)?))
}

fn whole(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int16(Some(n)) => Some(i64::from(*n)),
        ScalarValue::Int32(Some(n)) => Some(i64::from(*n)),
        ScalarValue::Int64(Some(n)) => Some(*n),
        _ => None,
    }
}

/// `v12` or `12`.
fn commit_text(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['v', 'V']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) { None } else { digits.parse().ok() }
}

fn commit_number(number: i64) -> Result<CommitNo> {
    u64::try_from(number)
        .map(CommitNo)
        .map_err(|_| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid commit number: {number}")))
}

async fn time_of(ctx: &StatementContext, at: Instant) -> Result<Timestamp> {
    match at {
        Instant::Time(at) => Ok(at),
        Instant::Commit(CommitNo::ZERO) => Ok(Timestamp::MIN),
        Instant::Commit(commit) => Ok(ctx.database.commit_stamp(commit).await?.time),
    }
}

/// The type a parameter gets where an instant is wanted and nobody said more.
pub const INSTANT: PgType = PgType::TIMESTAMPTZ;

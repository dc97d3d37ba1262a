//! The time that a whole session or transaction reads: how it is written, kept, resolved and refused.
//!
//! Pure: the clock and the newest commit are handed in. Which of several ways to set it wins is decided by the
//! layers of `settings` and by `transaction`.

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::error::{Result, SqlError, SqlState};
use crate::plan::DefaultScope;
use crate::plan::context::GRACE;
use crate::types::calendar::write_timestamptz;
use crate::types::datetime::parse_timestamptz;
use crate::types::interval::parse_interval;
use crate::types::zone::Zone;
use crate::versions::{CommitNo, Timestamp};

/// A pinned time as it was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AsOf {
    Instant(Timestamp),
    Commit(CommitNo),
    /// So long before the start of each transaction.
    Ago(IntervalMonthDayNano),
}

impl AsOf {
    /// `v12` and whole numbers are commits; `-1h`, `5 minutes ago` and `1 hour` are distances into the past;
    /// everything else is an instant, in `zone` where it names none. 22007 when it is none of them.
    pub fn parse(text: &str, zone: Zone) -> Result<Self> {
        let text = text.trim();
        if let Some(commit) = commit_number(text) {
            return Ok(Self::Commit(commit));
        }
        match parse_timestamptz(text, zone) {
            Ok(micros) => Ok(Self::Instant(Timestamp::from_micros(micros))),
            Err(error) => parse_interval(text).map(Self::Ago).map_err(|_| error),
        }
    }

    /// Reads back what [`AsOf::canonical`] wrote.
    pub fn from_canonical(text: &str) -> Option<Self> {
        Self::parse(text, Zone::UTC).ok()
    }

    /// A text that means the same whatever TimeZone is set later; distances stay as they were written.
    pub fn canonical(self, written: &str) -> String {
        match self {
            Self::Instant(at) => shown(at),
            Self::Commit(commit) => format!("v{}", commit.0),
            Self::Ago(_) => written.trim().to_owned(),
        }
    }

    /// Refuses what has not happened: 22023. A distance is in the past by its nature.
    pub fn check(self, now: Timestamp, newest: CommitNo) -> Result<Self> {
        match self {
            Self::Instant(at) if at.micros() > now.micros().saturating_add(GRACE) => {
                let message = format!("cannot read as of {}, which lies in the future", shown(at));
                Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message))
            }
            Self::Commit(commit) if commit > newest => {
                let message = format!("commit {} does not exist yet", commit.0);
                let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
                Err(error.detail(format!("The newest commit is {}.", newest.0)))
            }
            Self::Instant(_) | Self::Commit(_) | Self::Ago(_) => Ok(self),
        }
    }

    /// What statements of a transaction that began at `start` read.
    pub fn scope(self, start: Timestamp) -> DefaultScope {
        match self {
            Self::Instant(at) => DefaultScope::AsOf(at),
            Self::Commit(commit) => DefaultScope::AsOfCommit(commit),
            Self::Ago(distance) => DefaultScope::AsOf(before(start, distance)),
        }
    }
}

/// `v12` or `12`; `None` for anything else.
fn commit_number(text: &str) -> Option<CommitNo> {
    let digits = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // A number too great for a commit is one that has not been reached either.
    all_digits.then(|| CommitNo(digits.parse().unwrap_or(CommitNo::MAX.0)))
}

/// `at` in UTC, as timestamptz is written.
pub fn shown(at: Timestamp) -> String {
    let mut text = String::new();
    write_timestamptz(&mut text, at.micros(), Zone::UTC);
    text
}

/// `distance` before `start`, whichever sign it was written with. Months are calendar months of UTC.
fn before(start: Timestamp, distance: IntervalMonthDayNano) -> Timestamp {
    let forward =
        distance.months > 0 || (distance.months == 0 && (distance.days > 0 || (distance.days == 0 && distance.nanoseconds > 0)));
    let sign: i64 = if forward { -1 } else { 1 };
    let micros = start.micros();
    let months = sign * i64::from(distance.months);
    let shifted = chrono::DateTime::from_timestamp_micros(micros).and_then(|at| {
        let step = chrono::Months::new(u32::try_from(months.unsigned_abs()).ok()?);
        if months < 0 { at.checked_sub_months(step) } else { at.checked_add_months(step) }
    });
    let micros = shifted.map_or(i64::MIN, |at| at.timestamp_micros());
    let days = sign * i64::from(distance.days) * 86_400_000_000;
    Timestamp::from_micros(micros.saturating_add(days).saturating_add(sign * (distance.nanoseconds / 1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_704_110_400_000_000; // 2024-01-01T12:00:00Z

    fn scope(text: &str) -> DefaultScope {
        AsOf::parse(text, Zone::UTC).unwrap().scope(Timestamp::from_micros(NOON))
    }

    #[test]
    fn distances_reach_back_whatever_their_sign() {
        let hour_ago = DefaultScope::AsOf(Timestamp::from_micros(NOON - 3_600_000_000));
        for text in ["-1h", "1 hour", "-1 hour", "1 hour ago", "-60 minutes"] {
            assert_eq!(scope(text), hour_ago, "{text}");
        }
    }

    #[test]
    fn numbers_are_commits_and_dates_are_instants() {
        assert_eq!(scope("v12"), DefaultScope::AsOfCommit(CommitNo(12)));
        assert_eq!(scope("12"), DefaultScope::AsOfCommit(CommitNo(12)));
        assert_eq!(scope("2024-01-01T12:00Z"), DefaultScope::AsOf(Timestamp::from_micros(NOON)));
        assert_eq!(AsOf::parse("last tuesday", Zone::UTC).unwrap_err().code(), SqlState::INVALID_DATETIME_FORMAT);
    }

    #[test]
    fn the_canonical_form_means_the_same_in_every_zone() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let given = AsOf::parse("2024-01-01 13:00", berlin).unwrap();
        let kept = given.canonical("2024-01-01 13:00");
        assert_eq!(AsOf::from_canonical(&kept), Some(AsOf::Instant(Timestamp::from_micros(NOON))));
    }

    #[test]
    fn what_has_not_happened_is_refused_beyond_the_grace() {
        let now = Timestamp::from_micros(NOON);
        let check = |as_of: AsOf| as_of.check(now, CommitNo(7)).map(drop).map_err(|e| e.code());
        let refused = Err(SqlState::INVALID_PARAMETER_VALUE);
        assert_eq!(check(AsOf::Instant(Timestamp::from_micros(NOON + GRACE))), Ok(()));
        assert_eq!(check(AsOf::Instant(Timestamp::from_micros(NOON + GRACE + 1))), refused);
        assert_eq!(check(AsOf::Commit(CommitNo(7))), Ok(()));
        assert_eq!(check(AsOf::Commit(CommitNo(8))), refused);
    }
}

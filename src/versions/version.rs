//! One state of one item, and which readers see it.

use serde::{Deserialize, Serialize};

use super::{CommitNo, Scope, Snapshot, Timestamp, VersionNo};

/// What a commit did to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[repr(u8)]
pub enum Op {
    Create = 1,
    Update = 2,
    Delete = 3,
    Restore = 4,
    Truncate = 5,
    Erase = 6,
}

impl Op {
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Restore => "RESTORE",
            Self::Truncate => "TRUNCATE",
            Self::Erase => "ERASE",
        }
    }

    /// The inverse of `self as u8`; `None` for a number no version has.
    pub fn from_u8(n: u8) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete, Self::Restore, Self::Truncate, Self::Erase]
            .into_iter()
            .find(|op| *op as u8 == n)
    }

    /// Whether the item has no state after it.
    pub fn ends_item(self) -> bool {
        match self {
            Self::Delete | Self::Truncate | Self::Erase => true,
            Self::Create | Self::Update | Self::Restore => false,
        }
    }
}

/// When a state began and ended, and through which commits.
///
/// For states that were loaded with their periods (`COPY t__history`), `from` and `to` are the given
/// instants while `begun` and `ended` are the commit that loaded them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    pub from: Timestamp,
    pub begun: CommitNo,
    pub end: Option<PeriodEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeriodEnd {
    pub to: Timestamp,
    pub commit: CommitNo,
    pub op: Op,
}

/// One state of one item, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    pub number: VersionNo,
    pub op: Op,
    pub period: Period,
    /// The number that the item's collection gave it, where another program keeps such.
    pub collection: Option<u64>,
}

impl Period {
    /// The period as a reader under `snapshot` sees it: an end that the snapshot does not know is open.
    /// `None` when the state itself began after the snapshot.
    pub fn under(mut self, snapshot: Snapshot) -> Option<Period> {
        if self.begun > snapshot.commit {
            return None;
        }
        self.end = self.end.filter(|end| end.commit <= snapshot.commit);
        Some(self)
    }

    /// Whether a reader under `snapshot` with this scope sees the state.
    pub fn is_visible(self, scope: Scope, snapshot: Snapshot) -> bool {
        let Some(period) = self.under(snapshot) else { return false };
        let to = period.end.map_or(Timestamp::MAX, |end| end.to);
        match scope {
            Scope::Current => period.end.is_none(),
            Scope::AsOf(at) => period.from <= at && (period.end.is_none() || at < to),
            Scope::AsOfCommit(commit) => {
                self.under(Snapshot { commit: commit.min(snapshot.commit), time: snapshot.time }).is_some_and(|p| p.end.is_none())
            }
            Scope::FromTo { from, until } => from < until && period.from < until && from < to,
            Scope::Between { from, until } => from <= until && period.from <= until && from < to,
            Scope::ContainedIn { from, until } => from <= period.from && period.end.is_some_and(|end| end.to <= until),
            Scope::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    /// `[20, 30)`, begun by commit 2 and ended by commit 3.
    fn closed() -> Period {
        let end = PeriodEnd { to: at(30), commit: CommitNo(3), op: Op::Update };
        Period { from: at(20), begun: CommitNo(2), end: Some(end) }
    }

    fn check(scope: Scope, snapshot: u64, seen: bool) {
        let snapshot = Snapshot { commit: CommitNo(snapshot), time: at(i64::try_from(snapshot).unwrap() * 10) };
        assert_eq!(closed().is_visible(scope, snapshot), seen, "{scope:?} under {snapshot:?}");
    }

    #[test]
    fn a_state_is_seen_from_its_begin_until_before_its_end() {
        for (micros, seen) in [(19, false), (20, true), (29, true), (30, false), (i64::MAX, false)] {
            check(Scope::AsOf(at(micros)), 9, seen);
        }
        for (commit, seen) in [(1, false), (2, true), (3, false), (99, false)] {
            check(Scope::AsOfCommit(CommitNo(commit)), 9, seen);
        }
    }

    #[test]
    fn a_snapshot_does_not_know_what_came_after_it() {
        check(Scope::All, 1, false);
        check(Scope::Current, 1, false);
        check(Scope::Current, 2, true);
        check(Scope::Current, 3, false);
        check(Scope::AsOf(at(35)), 2, true);
        check(Scope::AsOf(at(i64::MAX)), 2, true);
        check(Scope::AsOfCommit(CommitNo(9)), 2, true);
        check(Scope::ContainedIn { from: at(0), until: at(99) }, 2, false);
        check(Scope::FromTo { from: at(50), until: at(60) }, 2, true);
    }

    #[test]
    fn ranges_have_their_bounds() {
        for (from, until, from_to, between, contained) in [
            (0, 20, false, true, false),
            (0, 21, true, true, false),
            (29, 99, true, true, false),
            (30, 99, false, false, false),
            (25, 25, false, true, false),
            (26, 25, false, false, false),
            (20, 30, true, true, true),
            (21, 30, true, true, false),
            (20, 29, true, true, false),
        ] {
            let (from, until) = (at(from), at(until));
            check(Scope::FromTo { from, until }, 9, from_to);
            check(Scope::Between { from, until }, 9, between);
            check(Scope::ContainedIn { from, until }, 9, contained);
        }
    }
}

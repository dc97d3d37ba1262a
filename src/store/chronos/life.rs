//! One item's life: from its head and version documents to states with periods.
//!
//! Decides what the documents mean where they are late, doubled, missing or at odds, and says what was odd. Reads nothing:
//! whether a payload is there is told to it, and a payload's pointer is whatever the caller keeps.

use crate::versions::{CommitNo, Op, Period, PeriodEnd, Timestamp, Version, VersionNo};

/// One version document. `P` is where its payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<P> {
    /// The object's version, `ov`.
    pub number: u64,
    /// The collection's version, `cv`.
    pub cv: i64,
    pub op: Op,
    pub written: Written,
    /// Of an op that ends the item it is not looked at.
    pub presence: Presence,
    pub payload: P,
}

/// By whom a document was written, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    /// By the library: milliseconds since the epoch. The commit's number is its time in microseconds.
    Library { millis: i64 },
    /// By us: the commit's number, and the instant from which the row holds (the commit's own time, save in a history load).
    Ours { commit: CommitNo, from: Timestamp },
}

/// What is known about a row's payload. Asked for only where rows compete for one number ([`contested`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Nobody looked; taken to be there.
    #[default]
    Unknown,
    /// It is there and has the row's size and digest.
    There,
    /// It is not there, or is another one.
    Missing,
}

/// The head document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<P> {
    pub number: u64,
    pub cv: i64,
    /// Milliseconds since the epoch, as the three are.
    pub created: i64,
    pub updated: i64,
    /// `None` for a null as for an absent member.
    pub deleted: Option<i64>,
    pub payload: P,
}

/// What an item has been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life<P> {
    /// Ascending in number and time, periods without overlap; the last is open exactly when the item lives.
    pub states: Vec<State<P>>,
    /// What the newest version did; `None` when there is no document at all. The next version's number is greater.
    pub newest: Option<Step>,
    /// Ascending in number.
    pub anomalies: Vec<Anomaly>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State<P> {
    pub version: Version,
    pub payload: P,
}

/// One version's place in time, be it a state or an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub number: VersionNo,
    pub op: Op,
    pub from: Timestamp,
    pub commit: CommitNo,
}

/// Something the documents should not say. Readers go on; `chronogate.anomalies` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// Several rows have this number; the row with `cv` counts, those with `passed_over` (ascending) do not.
    DuplicateNumber { number: u64, cv: i64, passed_over: Vec<i64> },
    /// The row that counts points to a payload that is not there, or is not its own.
    MissingPayload { number: u64, cv: i64 },
    /// The head is newer than every row: written while versioning was off. What lay between is not known.
    HeadAhead { head: u64, newest_row: Option<u64> },
    /// The head was left behind by a write that did not finish.
    HeadBehind { head: u64, newest_row: u64 },
    /// Rows without a head.
    NoHead { newest_row: u64 },
    /// The head says deleted, the newest version (restored or enriched since) says it lives; the version counts.
    HeadDeleted { newest: u64 },
    /// The newest version is a deletion of which the head knows nothing; the version counts.
    HeadNotDeleted { newest: u64 },
    /// Two items agree in members of which an index says that no two do: the library knows of no such index.
    NotUnique { number: u64, members: String, other: String },
}

impl Anomaly {
    /// The version it is about.
    pub fn number(&self) -> u64 {
        match self {
            Self::DuplicateNumber { number, .. } | Self::MissingPayload { number, .. } | Self::NotUnique { number, .. } => {
                *number
            }
            Self::HeadAhead { head, .. } => *head,
            Self::HeadBehind { newest_row, .. } | Self::NoHead { newest_row } => *newest_row,
            Self::HeadDeleted { newest } | Self::HeadNotDeleted { newest } => *newest,
        }
    }

    /// Its name in `chronogate.anomalies`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DuplicateNumber { .. } => "duplicate_version",
            Self::MissingPayload { .. } => "missing_payload",
            Self::HeadAhead { .. } => "head_ahead",
            Self::HeadBehind { .. } => "head_behind",
            Self::NoHead { .. } => "head_missing",
            Self::HeadDeleted { .. } => "head_deleted",
            Self::HeadNotDeleted { .. } => "head_not_deleted",
            Self::NotUnique { .. } => "not_unique",
        }
    }
}

/// Numbers that several rows have, ascending: the only rows whose [`Presence`] can change which of them counts.
pub fn contested<P>(rows: &[Row<P>]) -> Vec<u64> {
    let mut numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
    numbers.sort_unstable();
    let mut twice: Vec<u64> = numbers.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    twice.dedup();
    twice
}

impl<P: Clone> Life<P> {
    /// The life these documents tell, whatever order the rows come in.
    ///
    /// Of rows with one number the one counts whose payload is not known to be missing, then (for the head's number) the
    /// one with the head's `cv`, then the greatest `cv`. Rows follow each other by number: one that claims an earlier
    /// instant than its predecessor's, or the same, begins a microsecond after it. Two of our own may share an instant: a
    /// table emptied and filled again by one commit, a loaded state that begins where the one before it ended.
    pub fn of(rows: Vec<Row<P>>, head: Option<&Head<P>>) -> Self {
        let mut anomalies = Vec::new();
        let mut rows = chosen(rows, head, &mut anomalies);
        let newest_row = rows.last().map(|row| row.number);
        if let Some(head) = head {
            rows.extend(written_unversioned(head, newest_row, &mut anomalies));
        }
        let mut life = Self { states: Vec::with_capacity(rows.len()), newest: None, anomalies };
        let mut after_library = false;
        for row in rows {
            let by_library = matches!(row.written, Written::Library { .. });
            life.follow(row, after_library);
            after_library = by_library;
        }
        life.compare_with(head, newest_row);
        life.anomalies.sort_by_key(Anomaly::number);
        life
    }

    /// Whether there is a state now.
    pub fn lives(&self) -> bool {
        self.states.last().is_some_and(|state| state.version.period.end.is_none())
    }

    fn follow(&mut self, row: Row<P>, after_library: bool) {
        let step = step(&row, self.newest, after_library);
        if let Some(state) = self.states.last_mut() {
            state.version.period.end.get_or_insert(PeriodEnd { to: step.from, commit: step.commit, op: step.op });
        }
        self.newest = Some(step);
        if step.op.ends_item() {
            return;
        }
        if row.presence == Presence::Missing {
            self.anomalies.push(Anomaly::MissingPayload { number: row.number, cv: row.cv });
        }
        let period = Period { from: step.from, begun: step.commit, end: None };
        let collection = u64::try_from(row.cv).ok();
        let version = Version { number: step.number, op: step.op, period, collection };
        self.states.push(State { version, payload: row.payload });
    }

    fn compare_with(&mut self, head: Option<&Head<P>>, newest_row: Option<u64>) {
        let Some(newest) = self.newest.map(|step| step.number.0) else { return };
        let odd = match (head, newest_row) {
            (None, _) => Some(Anomaly::NoHead { newest_row: newest }),
            (Some(head), Some(newest_row)) if head.number < newest_row => {
                Some(Anomaly::HeadBehind { head: head.number, newest_row })
            }
            (Some(head), _) => match (head.deleted.is_some(), self.lives()) {
                (true, true) => Some(Anomaly::HeadDeleted { newest }),
                (false, false) => Some(Anomaly::HeadNotDeleted { newest }),
                (true, false) | (false, true) => None,
            },
        };
        self.anomalies.extend(odd);
    }
}

/// One row for each number, ascending.
fn chosen<P>(mut rows: Vec<Row<P>>, head: Option<&Head<P>>, anomalies: &mut Vec<Anomaly>) -> Vec<Row<P>> {
    let standing = |row: &Row<P>| {
        let missing = row.presence == Presence::Missing && !row.op.ends_item();
        let headed = head.is_some_and(|head| head.number == row.number && head.cv == row.cv);
        (!missing, headed, row.cv, row.written)
    };
    rows.sort_by_key(|row| (row.number, standing(row)));
    let mut kept: Vec<Row<P>> = Vec::with_capacity(rows.len());
    let mut passed_over: Vec<i64> = Vec::new();
    for row in rows {
        if kept.last().is_some_and(|last| last.number == row.number) {
            passed_over.extend(kept.pop().map(|last| last.cv));
        } else {
            anomalies.extend(kept.last().and_then(|last| duplicate(last, &mut passed_over)));
        }
        kept.push(row);
    }
    anomalies.extend(kept.last().and_then(|last| duplicate(last, &mut passed_over)));
    kept
}

fn duplicate<P>(row: &Row<P>, passed_over: &mut Vec<i64>) -> Option<Anomaly> {
    let mut passed_over = std::mem::take(passed_over);
    passed_over.sort_unstable();
    (!passed_over.is_empty()).then_some(Anomaly::DuplicateNumber { number: row.number, cv: row.cv, passed_over })
}

/// What only the head tells: the version (and the deletion) made while versioning was off.
fn written_unversioned<P: Clone>(head: &Head<P>, newest_row: Option<u64>, anomalies: &mut Vec<Anomaly>) -> Vec<Row<P>> {
    if newest_row.is_some_and(|newest| newest >= head.number) {
        return Vec::new();
    }
    anomalies.push(Anomaly::HeadAhead { head: head.number, newest_row });
    let row = |number, op, millis| Row {
        number,
        cv: head.cv,
        op,
        written: Written::Library { millis },
        presence: Presence::Unknown,
        payload: head.payload.clone(),
    };
    // A deletion sets both instants; one that came before the newest write no longer holds.
    let deletion = head.deleted.filter(|deleted| *deleted >= head.updated).map(|at| row(head.number, Op::Delete, at));
    match (newest_row, deletion) {
        (Some(_), Some(deletion)) => vec![deletion],
        (Some(_), None) => vec![row(head.number, Op::Update, head.updated)],
        (None, Some(deletion)) if head.number == 0 => vec![deletion],
        (None, Some(deletion)) => vec![row(head.number - 1, Op::Create, head.created), deletion],
        (None, None) => vec![row(head.number, Op::Create, head.created)],
    }
}

/// Times beyond this (some 280,000 years from now) are cut to it, so that microseconds of every instant can be counted.
const LATEST_MILLIS: i64 = 9_000_000_000_000_000;

fn step<P>(row: &Row<P>, before: Option<Step>, after_library: bool) -> Step {
    let (own, own_commit) = match row.written {
        Written::Library { millis } => {
            (Timestamp::from_micros(millis.clamp(-LATEST_MILLIS, LATEST_MILLIS) * 1000), CommitNo::ZERO)
        }
        Written::Ours { commit, from } => (from, commit),
    };
    let by_library = own_commit == CommitNo::ZERO;
    let from = match before {
        None => own,
        Some(before) if by_library || after_library => own.max(before.from.next()),
        Some(before) => own.max(before.from),
    };
    // The library's commits are numbered by their time; ours after one of them are too.
    let commit = if by_library { CommitNo(u64::try_from(from.micros()).unwrap_or(0).max(1)) } else { own_commit };
    let commit = before.map_or(commit, |before| commit.max(before.commit));
    Step { number: VersionNo(row.number), op: row.op, from, commit }
}

#[cfg(test)]
mod tests;

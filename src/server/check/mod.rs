//! `chronogate check`: what is found out about a deployment, what of it is wrong, and how that prints.
//!
//! [`look`] finds out; here are the facts as values and the rules that judge them.

mod look;

use std::fmt;

use crate::config::Deployment;
use crate::store::chronos::indexes;

pub use self::look::look;
pub use crate::store::mongo::CollectionFacts;

/// What looking at a deployment found. A text in place of a fact says why it could not be had, and holds no secret.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Why the data is spread so that it cannot be served.
    pub spread: Vec<String>,
    pub servers: Vec<(String, Result<MongoServer, String>)>,
    pub places: Vec<PlaceFacts>,
    pub buckets: Vec<BucketFacts>,
}

#[derive(Clone, Debug)]
pub struct MongoServer {
    pub version: String,
    pub transactions: bool,
    /// How far its clock is ahead of ours, in milliseconds; `None` where it does not tell.
    pub ahead_ms: Option<i64>,
}

/// One schema of one database.
#[derive(Clone, Debug)]
pub struct PlaceFacts {
    pub database: String,
    pub schema: String,
    pub collections: Result<Vec<CollectionFacts>, String>,
}

#[derive(Clone, Debug)]
pub struct BucketFacts {
    pub bucket: String,
    /// The service's address, or the folder.
    pub holder: String,
    pub reached: Result<(), String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Sound,
    /// It works, slower or less than it could.
    Warning,
    /// Something will fail.
    Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub level: Level,
    pub subject: String,
    pub finding: String,
}

/// The table, in the order in which things depend on each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report(Vec<Line>);

impl Report {
    pub fn of(deployment: &Deployment, facts: &Facts) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        let ignored = deployment.warnings.iter().map(|warning| line(Level::Warning, "configuration", warning));
        lines.extend(ignored);
        let spread =
            facts.spread.iter().map(|why| line(Level::Problem, "configuration", format!("{why}, which is not supported")));
        lines.extend(spread);
        facts.servers.iter().for_each(|(name, server)| of_server(name, server, &mut lines));
        facts.buckets.iter().for_each(|bucket| lines.push(of_bucket(bucket)));
        facts.places.iter().for_each(|place| of_place(deployment, place, &mut lines));
        Self(lines)
    }

    pub fn lines(&self) -> &[Line] {
        &self.0
    }

    /// Whether nothing will fail; warnings do not count.
    pub fn is_sound(&self) -> bool {
        self.count(Level::Problem) == 0
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|line| line.level == level).count()
    }
}

fn line(level: Level, subject: impl Into<String>, finding: impl Into<String>) -> Line {
    Line { level, subject: subject.into(), finding: finding.into() }
}

/// Clocks that differ by more than this make times of different writers hard to compare.
const SKEW_MS: i64 = 1000;

fn of_server(name: &str, server: &Result<MongoServer, String>, lines: &mut Vec<Line>) {
    let subject = format!("MongoDB {name}");
    let server = match server {
        Ok(server) => server,
        Err(why) => return lines.push(line(Level::Problem, subject, why)),
    };
    let transactions = if server.transactions { "with transactions" } else { "without transactions" };
    lines.push(line(Level::Sound, &subject, format!("version {}, {transactions}", server.version)));
    if !server.transactions {
        lines.push(line(Level::Warning, &subject, "is no replica set: a commit that is interrupted has to be repaired"));
    }
    if let Some(ahead) = server.ahead_ms.filter(|ahead| ahead.abs() > SKEW_MS) {
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        let finding = format!("its clock is {} ms {direction} this machine's", ahead.abs());
        lines.push(line(Level::Warning, subject, finding));
    }
}

fn of_bucket(facts: &BucketFacts) -> Line {
    let subject = format!("bucket {}", facts.bucket);
    match &facts.reached {
        Ok(()) => line(Level::Sound, subject, format!("there, in {}", facts.holder)),
        Err(why) => line(Level::Problem, subject, format!("{}: {why}", facts.holder)),
    }
}

fn of_place(deployment: &Deployment, place: &PlaceFacts, lines: &mut Vec<Line>) {
    let subject = format!("{}.{}", place.database, place.schema);
    match &place.collections {
        Err(why) => lines.push(line(Level::Problem, subject, why)),
        Ok(collections) if collections.is_empty() => lines.push(line(Level::Warning, subject, "has no collections")),
        Ok(collections) => {
            for collection in collections {
                of_collection(deployment, &format!("{subject}.{}", collection.name), collection, lines);
            }
        }
    }
}

fn of_collection(deployment: &Deployment, subject: &str, facts: &CollectionFacts, lines: &mut Vec<Line>) {
    let items = counted(facts.items, "item");
    match facts.versions {
        Some(versions) => lines.push(line(Level::Sound, subject, format!("{items}, {}", counted(versions, "version")))),
        None => lines.push(line(Level::Warning, subject, format!("{items}, no versions: the past begins with the newest state"))),
    }
    if let Some(newest) = facts.newest_cv.filter(|newest| facts.counter.unwrap_or(0) < *newest) {
        let counter = facts.counter.map_or("missing".to_owned(), |counter| format!("at {counter}"));
        let finding = format!("its counter is {counter}, its newest version has {newest}: numbers would be given twice");
        lines.push(line(Level::Problem, subject, finding));
    }
    let expected = [
        ("head", indexes::head(deployment.collections.get(&facts.name)), &facts.head_indexes, true),
        ("ver", indexes::versions(), &facts.version_indexes, facts.versions.is_some()),
    ];
    for (suffix, expected, there, _) in expected.iter().filter(|(.., looked_at)| *looked_at) {
        let missing: Vec<&str> = expected.iter().map(|index| index.name.as_str()).filter(|name| !there.contains(*name)).collect();
        if !missing.is_empty() {
            let finding = format!("{}_{suffix} has no {}: reads may be slow", facts.name, missing.join(", "));
            lines.push(line(Level::Warning, subject, finding));
        }
    }
}

/// `1,234 items`.
fn counted(count: u64, what: &str) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{} {what}{}", groups.join(","), if count == 1 { "" } else { "s" })
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Sound => "ok",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        }
    }
}

impl fmt::Display for Report {
    /// One line each, columns under each other, and a summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|line| line.subject.chars().count()).max().unwrap_or(0);
        for Line { level, subject, finding } in &self.0 {
            writeln!(f, "{:<7}  {subject:<width$}  {finding}", level.name())?;
        }
        let [warnings, problems] = [Level::Warning, Level::Problem].map(|level| self.count(level) as u64);
        writeln!(f, "{}, {}", counted(problems, "problem"), counted(warnings, "warning"))
    }
}

#[cfg(test)]
mod tests;

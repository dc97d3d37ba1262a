//! The statements of tests/it/client_queries asked here, the answers compared with PostgreSQL 15's.
//!
//! Prints how many answers per client are equal, different and refused, and fails when one is worse than
//! `verdicts.tsv` says or lacks its reason. CHRONOGATE_PIN=1 writes the verdicts instead of failing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{TestServer, run};
use crate::raw::{Message, Raw, bind, describe, execute, parse, sync};

type Row = Vec<Option<String>>;

/// What PostgreSQL answered, or we.
#[derive(Debug, PartialEq)]
enum Answer {
    Error(String),
    Rows { columns: Vec<(String, u32)>, rows: Vec<Row> },
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Equal,
    Different,
    Refused,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::Refused => "refused",
        }
    }
}

/// By client and line: the verdict and its reason.
type Pins = BTreeMap<(String, usize), (Verdict, String)>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/client_queries")
}

fn pins() -> Pins {
    let text = std::fs::read_to_string(folder().join("verdicts.tsv")).unwrap_or_default();
    let pin = |line: &str| match line.split('\t').collect::<Vec<_>>()[..] {
        [client, number, word, reason] => {
            let verdict = if word == "refused" { Verdict::Refused } else { Verdict::Different };
            Some(((client.to_owned(), number.parse().ok()?), (verdict, reason.to_owned())))
        }
        _ => None,
    };
    text.lines().filter_map(pin).collect()
}

#[test]
fn clients_are_answered_as_postgresql_answers_them() {
    run(replay_all());
}

async fn replay_all() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    if let Ok(only) = std::env::var("CHRONOGATE_CLIENT") {
        files.retain(|file| file.to_string_lossy().contains(&only));
    }
    let (pinned, mut found, mut complaints) = (pins(), Pins::new(), String::new());
    println!("{:<12} {:>6} {:>10} {:>8}", "client", "equal", "different", "refused");
    for file in &files {
        let client = file.file_stem().unwrap().to_string_lossy().into_owned();
        let counts = replay(file, &client, &pinned, &mut found, &mut complaints).await;
        println!("{client:<12} {:>6} {:>10} {:>8}", counts[0], counts[1], counts[2]);
    }
    if std::env::var("CHRONOGATE_PIN").is_ok() {
        let lines = found
            .iter()
            .map(|((client, number), (verdict, reason))| format!("{client}\t{number}\t{}\t{reason}\n", verdict.word()));
        std::fs::write(folder().join("verdicts.tsv"), lines.collect::<String>()).expect("written");
        println!("{complaints}");
        return;
    }
    assert!(complaints.is_empty(), "answers that are worse than pinned:\n{complaints}");
}

async fn replay(file: &Path, client: &str, pinned: &Pins, found: &mut Pins, complaints: &mut String) -> [usize; 3] {
    let server = TestServer::start().await;
    let mut side = Side { raw: Raw::connect(server.address(), "chronogate").await.expect("connects"), last: "0".to_owned() };
    let mut counts = [0; 3];
    let text = std::fs::read_to_string(file).expect("readable");
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        let sql = entry["sql"].as_str().expect("a statement");
        let values = entry["parameters"]
            .as_array()
            .map(|values| values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Vec<_>>());
        let answer = match side.ask(sql, values.as_deref()).await {
            Some(answer) => answer,
            None => {
                side.raw = Raw::connect(server.address(), "chronogate").await.expect("connects again");
                Answer::Error("connection lost".to_owned())
            }
        };
        if entry["setup"] == true {
            continue;
        }
        let (verdict, what) = judge(&entry, sql, &answer);
        counts[verdict as usize] += 1;
        if verdict == Verdict::Equal {
            continue;
        }
        let key = (client.to_owned(), number);
        let (expected, reason) = pinned.get(&key).cloned().unwrap_or((Verdict::Equal, String::new()));
        if verdict > expected || reason.is_empty() {
            let _ = writeln!(
                complaints,
                "{client} {number} is {}, pinned as {} ({reason}): {what}\n  {sql}\n",
                verdict.word(),
                expected.word()
            );
        }
        found.insert(key, (verdict, reason));
    }
    server.stop().await;
    counts
}

fn judge(entry: &Value, sql: &str, answer: &Answer) -> (Verdict, String) {
    let expected_error = entry["error"].as_str();
    let (columns, rows) = match (answer, expected_error) {
        (Answer::Error(code), Some(expected)) if code == expected => return (Verdict::Equal, String::new()),
        (Answer::Error(code), _) => return (Verdict::Refused, format!("error {code}")),
        (_, Some(expected)) => return (Verdict::Different, format!("no error {expected}")),
        (Answer::Done, None) if entry["columns"].is_null() => return (Verdict::Equal, String::new()),
        (Answer::Done, None) => return (Verdict::Different, "no rows".to_owned()),
        (Answer::Rows { columns, rows }, None) => (columns, rows),
    };
    let wanted: Vec<(String, u32)> = entry["columns"]
        .as_array()
        .map(|all| {
            all.iter().map(|c| (c[0].as_str().unwrap_or_default().to_owned(), c[1].as_u64().unwrap_or(0) as u32)).collect()
        })
        .unwrap_or_default();
    // Types of the client's own have numbers of their own.
    let same_type = |a: u32, b: u32| a == b || (a >= 12000 && b >= 12000);
    let same_columns =
        columns.len() == wanted.len() && columns.iter().zip(&wanted).all(|(a, b)| a.0 == b.0 && same_type(a.1, b.1));
    if !same_columns {
        return (Verdict::Different, format!("columns {columns:?} instead of {wanted:?}"));
    }
    if entry["unstable"] == true {
        return (Verdict::Equal, String::new());
    }
    let rows = normal(columns, rows, sql);
    if let Some(count) = entry["count"].as_u64() {
        let digest = digest(&rows);
        let same = rows.len() as u64 == count && entry["digest"] == digest.as_str();
        let what = format!("{} rows of digest {digest} instead of {count} of {}", rows.len(), entry["digest"]);
        return (if same { Verdict::Equal } else { Verdict::Different }, what);
    }
    let mut wanted: Vec<Row> = entry["rows"].as_array().map(|rows| rows.iter().map(cells).collect()).unwrap_or_default();
    let mut rows = rows;
    if !is_ordered(sql) {
        sort(&mut rows);
        sort(&mut wanted);
    }
    if rows == wanted {
        return (Verdict::Equal, String::new());
    }
    let missing: Vec<_> = wanted.iter().filter(|row| !rows.contains(row)).take(3).collect();
    let surplus: Vec<_> = rows.iter().filter(|row| !wanted.contains(row)).take(3).collect();
    let what = format!("{} rows instead of {}; missing {missing:?}; surplus {surplus:?}", rows.len(), wanted.len());
    (Verdict::Different, what)
}

fn cells(row: &Value) -> Row {
    row.as_array().map(|row| row.iter().map(|cell| cell.as_str().map(str::to_owned)).collect()).unwrap_or_default()
}

struct Side {
    raw: Raw,
    /// What statements that name an object by another server's OID mean: the one looked up last.
    last: String,
}

impl Side {
    /// `None` when the connection is lost.
    async fn ask(&mut self, sql: &str, values: Option<&[Option<String>]>) -> Option<Answer> {
        let sql = with_oids(sql, &self.last);
        let messages = match values {
            None => self.raw.simple(&sql).await,
            Some(values) => {
                let stands = |value: &str| value.len() == 5 && value.parse::<u32>().is_ok_and(|n| n >= 16000);
                let values: Vec<Option<&str>> =
                    values.iter().map(|value| value.as_deref().map(|v| if stands(v) { self.last.as_str() } else { v })).collect();
                let request = [parse("", &sql), bind("", "", &values), describe('P', ""), execute("", 0), sync()].concat();
                self.raw.send(&request).await;
                self.raw.until_ready().await
            }
        };
        messages.last().filter(|m| m.tag == 'Z')?;
        let answer = answer(&messages);
        if let Answer::Rows { columns, rows } = &answer
            && columns.first().is_some_and(|c| c.1 == 26)
            && let Some(Some(oid)) = rows.first().and_then(|row| row.first())
            && oid.parse::<u32>().is_ok_and(|n| n >= 16384)
        {
            self.last.clone_from(oid);
        }
        Some(answer)
    }
}

fn answer(messages: &[Message]) -> Answer {
    if let Some(error) = messages.iter().find_map(Message::error) {
        return Answer::Error(error.code().to_owned());
    }
    let Some(at) = messages.iter().rposition(|m| m.tag == 'T') else { return Answer::Done };
    let rows = messages[at..].iter().filter(|m| m.tag == 'D').map(Message::row).collect();
    Answer::Rows { columns: columns(&messages[at].body), rows }
}

fn columns(body: &[u8]) -> Vec<(String, u32)> {
    let mut rest = &body[2..];
    let mut found = Vec::new();
    while let Some(end) = rest.iter().position(|b| *b == 0) {
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let fixed = &rest[end + 1..];
        found.push((name, u32::from_be_bytes([fixed[6], fixed[7], fixed[8], fixed[9]])));
        rest = &fixed[18..];
    }
    found
}

/// `'16498'` names what was looked up last.
fn with_oids(sql: &str, last: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(at) = rest.find('\'') {
        let (head, tail) = rest.split_at(at + 1);
        out.push_str(head);
        let digits: String = tail.chars().take_while(char::is_ascii_digit).collect();
        let stands = digits.len() == 5 && digits.parse::<u32>().is_ok_and(|n| n >= 16000) && tail[5..].starts_with('\'');
        if stands {
            out.push_str(last);
            rest = &tail[5..];
        } else {
            rest = tail;
        }
    }
    out + rest
}

/// Whether the statement itself asks for an order, not only a query within it.
fn is_ordered(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    let mut clauses = lower.match_indices("order").filter(|(at, word)| {
        let tail = &lower[at + word.len()..];
        tail.trim_start().starts_with("by") && tail != tail.trim_start()
    });
    clauses.any(|(at, _)| lower[..at].matches('(').count() <= lower[..at].matches(')').count())
}

fn sort(rows: &mut [Row]) {
    rows.sort_by_key(|row| row.iter().map(|value| value.clone().unwrap_or_default()).collect::<Vec<_>>());
}

/// As `capture.py` has it: without numbers that every server gives out by itself, sorted where no order was asked for.
fn normal(columns: &[(String, u32)], rows: &[Row], sql: &str) -> Vec<Row> {
    const OIDS: [u32; 5] = [24, 26, 28, 2205, 2206];
    const NUMBERED: [u32; 6] = [20, 23, 25, 30, 1028, 2211];
    let cell = |value: &str, ty: u32| {
        if OIDS.contains(&ty) {
            let own = value.parse::<u64>().is_ok_and(|n| n >= 12000);
            return if own { "<oid>".to_owned() } else { value.to_owned() };
        }
        if NUMBERED.contains(&ty) { without_numbers(value) } else { value.to_owned() }
    };
    let mut rows: Vec<Row> = rows
        .iter()
        .map(|row| row.iter().zip(columns).map(|(value, c)| value.as_deref().map(|v| cell(v, c.1))).collect())
        .collect();
    let lower = sql.to_ascii_lowercase();
    let ordered = lower.split("order").skip(1).any(|tail| tail.trim_start().starts_with("by") && tail != tail.trim_start());
    if !ordered {
        sort(&mut rows);
    }
    rows
}

/// Runs of digits that look like OIDs (12000 to 99999, or nine digits and more) as `<n>`.
fn without_numbers(text: &str) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut out = String::new();
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(c) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (run, after) = rest.split_at(digits.max(c.len_utf8()));
        let alone = digits > 0 && !before.is_some_and(word) && !after.chars().next().is_some_and(word);
        let like_oid = match digits {
            5 => run >= "12000",
            9 | 10 => true,
            _ => false,
        };
        out.push_str(if alone && like_oid { "<n>" } else { run });
        before = run.chars().last();
        rest = after;
    }
    out
}

/// FNV-1a over the rows as JSON.
fn digest(rows: &[Row]) -> String {
    let text = serde_json::to_string(rows).expect("texts");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |n, byte| (n ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

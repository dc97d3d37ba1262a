//! The demo: a database filled with the European Central Bank's reference rates since 1999, and what to ask it.

mod load;
mod rates;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{Opened, Running, Settings, StartError};
use crate::error::SqlError;
use crate::runtime::Clock;
use crate::versions::Timestamp;

/// Where the demo keeps its data unless told otherwise.
pub const FOLDER: &str = "./chronogate-demo";

/// The embedded store's first database.
const DATABASE: &str = "chronogate";

/// Why the demo did not start. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the rates that the program carries cannot be read: {0}")]
    Rates(String),
    #[error("loading the rates failed: {}", .0.message())]
    Load(SqlError),
    #[error("the demo's data directory holds other commits and only some of the rates; remove it and start again")]
    Changed,
}

impl From<SqlError> for DemoError {
    fn from(error: SqlError) -> Self {
        Self::Load(error)
    }
}

/// Opens the demo's databases, loads the rates that are not there yet, and serves. An interrupted load goes on where
/// it stopped: every fixing day is one commit.
pub async fn start(settings: &Settings) -> Result<Running, DemoError> {
    let days = rates::days()?;
    let Some(first) = days.first() else { return Err(DemoError::Rates("no days".to_owned())) };
    let clock = Arc::new(PastClock::until_released(first.time, settings.clock.clone()));
    let settings = Settings { clock: clock.clone(), ..settings.clone() };
    let opened = Opened::open(&settings).await?;
    load::load(&opened.sessions, &settings.superuser, &days).await?;
    clock.release();
    Ok(Running::serve(&settings, opened).await?)
}

/// Stands an hour before the first rate, so that the table is there when it comes, until the load is done.
#[derive(Debug)]
struct PastClock {
    /// `i64::MAX` once released.
    past: AtomicI64,
    present: Arc<dyn Clock>,
}

impl PastClock {
    fn until_released(first: Timestamp, present: Arc<dyn Clock>) -> Self {
        Self { past: AtomicI64::new(first.micros() - 3_600_000_000), present }
    }

    fn release(&self) {
        self.past.store(i64::MAX, Ordering::SeqCst);
    }
}

impl Clock for PastClock {
    fn now_micros(&self) -> i64 {
        match self.past.load(Ordering::SeqCst) {
            i64::MAX => self.present.now_micros(),
            past => past,
        }
    }
}

/// What to do next, for people.
pub fn welcome(address: SocketAddr) -> String {
    let (host, port) = (address.ip(), address.port());
    let connect = format!("psql \"host={host} port={port} user=chronogate dbname={DATABASE}");
    format!(
        r#"
The European Central Bank's reference rates since 1999: one euro in each currency, one version per currency and
fixing day, committed at that day's 16:00 in Frankfurt. Connect with

    {connect}"

and ask

  1. The dollar on the day Lehman Brothers failed:

{}

  2. Currencies that existed then and do not today:

{}

  3. The ten largest one-day moves:

{}

A connection can live in the past; its SQL needs no clause then (this one, on the evening of that day, in UTC):

    {connect}@2008-09-15T18:00Z" -c "SELECT * FROM exchange_rates ORDER BY currency"

Stop with Ctrl-C."#,
        indent(QUESTIONS[0]),
        indent(QUESTIONS[1]),
        indent(QUESTIONS[2]),
    )
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Questions worth asking, as they are printed.
pub const QUESTIONS: [&str; 3] = [
    "SELECT currency, fixing_date, rate FROM exchange_rates FOR SYSTEM_TIME AS OF '2008-09-15 18:00'
WHERE currency = 'USD';",
    "SELECT past.currency, past.rate
FROM exchange_rates FOR SYSTEM_TIME AS OF '2008-09-15 18:00' AS past
LEFT JOIN exchange_rates AS today ON today.currency = past.currency
WHERE today.currency IS NULL ORDER BY 1;",
    "SELECT currency, fixing_date, rate, round(100 * (rate / before - 1), 2) AS percent
FROM (SELECT currency, fixing_date, rate, _op, lag(rate) OVER (PARTITION BY currency ORDER BY _system_from) AS before
      FROM exchange_rates__history) AS moves
WHERE _op = 'UPDATE' ORDER BY abs(rate / before - 1) DESC LIMIT 10;",
];

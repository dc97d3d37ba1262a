//! Makes one commit per fixing day out of the rates, many of them in flight.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IsTerminal;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, poll};
use indicatif::{ProgressBar, ProgressStyle};

use super::rates::Day;
use super::{DATABASE, DemoError};
use crate::error::{Result, SqlError};
use crate::history::transaction::Base;
use crate::history::{Database, HistoryError, TableDef};
use crate::session::{Session, SessionStart, Shared};
use crate::store::ScanRequest;
use crate::types::Qualified;
use crate::versions::{CommitStamp, Context, ItemKey, KeyFilter, KeyPart, Scope, VersionNo, encode_key};

const CREATE: &str = "CREATE TABLE exchange_rates (currency text PRIMARY KEY, rate numeric NOT NULL, fixing_date date NOT NULL)";
/// Commits that are under way together: one group commit takes many of them.
const IN_FLIGHT: usize = 512;

/// A currency's item: its next version's number, and whether it has a state now.
#[derive(Clone, Copy, Debug, Default)]
struct Item {
    next: VersionNo,
    alive: bool,
}

/// Brings the table up to the newest of `days`; does nothing when it is there already.
pub async fn load(sessions: &Shared, superuser: &str, days: &[Day]) -> Result<(), DemoError> {
    let database = sessions.tenancy.database(DATABASE).await?;
    let Some(newest) = days.last() else { return Ok(()) };
    let at = database.snapshot().time;
    let table = match find(&database) {
        Some(_) if at >= newest.time => return Ok(()),
        Some(table) if at < days[0].time || days.iter().any(|day| day.time == at) => table,
        None if at < days[0].time => create(sessions, superuser, &database).await?,
        Some(_) | None => return Err(DemoError::Changed),
    };
    let left = &days[days.partition_point(|day| day.time <= at)..];
    let mut loader = Loader { items: items(&database, &table).await?, database, table, user: superuser.to_owned() };
    loader.run(left).await
}

fn find(database: &Database) -> Option<Arc<TableDef>> {
    database.catalog().tables.get(&Qualified::new("public", "exchange_rates")).cloned()
}

async fn create(sessions: &Shared, superuser: &str, database: &Database) -> Result<Arc<TableDef>, DemoError> {
    let start = SessionStart {
        user: superuser.to_owned(),
        database: DATABASE.to_owned(),
        client_address: String::new(),
        parameters: vec![("application_name".to_owned(), "chronogate demo".to_owned())],
        backend_pid: 0,
    };
    let mut session = Session::open(sessions.clone(), start).await?;
    for statement in session.split(CREATE)? {
        session.canceller();
        session.run(statement, true).await?;
    }
    session.end().await;
    find(database).ok_or_else(|| SqlError::internal("the table is not there after it was created").into())
}

/// The state of every currency's item after what was loaded before.
async fn items(database: &Database, table: &TableDef) -> Result<BTreeMap<ItemKey, Item>, DemoError> {
    let request = ScanRequest {
        table: table.id,
        snapshot: database.snapshot(),
        scope: Scope::All,
        keys: KeyFilter::All,
        candidates: None,
        payloads: true,
        limit: None,
    };
    let mut items: BTreeMap<ItemKey, Item> = BTreeMap::new();
    let mut states = database.scan(request);
    while let Some(batch) = states.next().await {
        for state in batch.map_err(SqlError::from)? {
            let ended = state.version.period.end.is_some();
            let after = state.version.number.next();
            // A DELETE takes a number of its own; an update's is the next state's.
            items.insert(state.key, Item { next: if ended { after.next() } else { after }, alive: !ended });
        }
    }
    Ok(items)
}

struct Loader {
    database: Arc<Database>,
    table: Arc<TableDef>,
    items: BTreeMap<ItemKey, Item>,
    user: String,
}

type Commit = BoxFuture<'static, Result<Option<CommitStamp>, HistoryError>>;

impl Loader {
    async fn run(&mut self, days: &[Day]) -> Result<(), DemoError> {
        let progress = Progress::new(days.len());
        let mut under_way: VecDeque<Commit> = VecDeque::with_capacity(IN_FLIGHT);
        for day in days {
            let mut commit = self.commit(day);
            // Polled once now, so that commits are taken in the order of their days.
            match poll!(&mut commit) {
                std::task::Poll::Ready(done) => {
                    done.map_err(SqlError::from)?;
                    progress.step();
                }
                std::task::Poll::Pending => under_way.push_back(commit),
            }
            if under_way.len() == IN_FLIGHT
                && let Some(oldest) = under_way.pop_front()
            {
                oldest.await.map_err(SqlError::from)?;
                progress.step();
            }
        }
        let rest = futures::stream::iter(under_way).then(|commit| commit).inspect_ok(|_| progress.step());
        rest.try_for_each(async |_| Ok(())).await.map_err(SqlError::from)?;
        progress.finish();
        Ok(())
    }

    /// One fixing: a new version of every currency that has a rate, an end for every one that had and has not.
    fn commit(&mut self, day: &Day) -> Commit {
        let mut transaction = self.database.begin(self.context());
        transaction.time = Some(day.time);
        let mut fixed = BTreeSet::new();
        for (currency, rate) in &day.rates {
            let key = encode_key([KeyPart::Text(currency)]);
            let item = self.items.entry(key.clone()).or_default();
            let payload = payload(&self.table, currency, rate, day);
            transaction.write(self.table.id, key.clone(), item.base(), payload, Vec::new());
            *item = Item { next: item.next.next(), alive: true };
            fixed.insert(key);
        }
        for (key, item) in self.items.iter_mut().filter(|(key, item)| item.alive && !fixed.contains(*key)) {
            transaction.delete(self.table.id, key.clone(), item.base());
            *item = Item { next: item.next.next(), alive: false };
        }
        let database = self.database.clone();
        Box::pin(async move { database.commit(transaction).await })
    }

    fn context(&self) -> Context {
        Context {
            user: self.user.clone(),
            application_name: "chronogate demo".to_owned(),
            actor: Some("European Central Bank".to_owned()),
            reason: Some("daily reference rates".to_owned()),
            ..Context::default()
        }
    }
}

impl Item {
    /// The number of the live state that a change is checked against.
    fn base(self) -> Option<Base> {
        let version = VersionNo(self.next.0.checked_sub(1)?);
        self.alive.then(|| Base { version, entries: Vec::new() })
    }
}

/// A row as it is stored.
fn payload(table: &TableDef, currency: &str, rate: &str, day: &Day) -> Bytes {
    let field = |name: &'static str| table.column(name).map_or(name, |column| column.field.as_str());
    let (c, r, d) = (field("currency"), field("rate"), field("fixing_date"));
    Bytes::from(format!("{{\"{c}\":\"{currency}\",\"{r}\":{rate},\"{d}\":\"{}\"}}", day.date))
}

/// A bar on a terminal, a line every tenth elsewhere.
struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    fn new(days: usize) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let bar = if lines { ProgressBar::hidden() } else { ProgressBar::new(days as u64) };
        bar.set_length(days as u64);
        if let Ok(style) = ProgressStyle::with_template("loading exchange rates {wide_bar} {pos}/{len} fixing days, {eta} left") {
            bar.set_style(style);
        }
        Self { bar, lines }
    }

    fn step(&self) {
        self.bar.inc(1);
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0).max(1));
        if self.lines && done * 10 / all > (done - 1) * 10 / all {
            eprintln!("loading exchange rates: {}%", done * 100 / all);
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

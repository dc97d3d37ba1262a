//! Sessions over a real database in memory, without a socket: statements in, tags, rows and errors out.

mod copying;
mod defining;
mod extended;
mod reading_the_past;
mod recalling;
mod rights;
mod transactions;

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::*;
use crate::plan::EngineConfig;
use crate::runtime::{ManualClock, SeededEntropy};
use crate::store::InlinePayloads;
use crate::store::memory::MemoryIndex;
use crate::tenancy::{StoreOpener, Stores, Tenancy};
use crate::types::text::write_value;

/// 2024-01-01T00:00:00Z
const NEW_YEAR: i64 = 1_704_067_200_000_000;

#[derive(Debug)]
struct InMemory {
    clock: Arc<ManualClock>,
    files: Mutex<BTreeMap<String, Arc<MemoryIndex>>>,
}

#[async_trait]
impl StoreOpener for InMemory {
    async fn open(&self, file: &str) -> Result<Stores> {
        let mut files = self.files.lock();
        let index = files.entry(file.to_owned()).or_insert_with(|| Arc::new(MemoryIndex::new(self.clock.clone())));
        Ok(Stores { index: index.clone(), payloads: Arc::new(InlinePayloads), collections: None })
    }

    async fn remove(&self, file: &str) -> Result<()> {
        self.files.lock().remove(file);
        Ok(())
    }
}

/// A server without a socket, its clock standing at New Year 2024 until it is moved.
struct World {
    shared: Shared,
    clock: Arc<ManualClock>,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NEW_YEAR));
        let opener = Arc::new(InMemory { clock: clock.clone(), files: Mutex::default() });
        let entropy = Arc::new(SeededEntropy::new(7));
        let tenancy = Tenancy::open(opener, clock.clone(), entropy.clone(), "chief", None).await.unwrap();
        let engine =
            Engine::new(EngineConfig { memory_limit: 64 << 20, partitions: 1, spill_directory: std::env::temp_dir() }).unwrap();
        let shared = Shared {
            engine,
            tenancy,
            clock: clock.clone(),
            entropy,
            activity: super::Activity::new(crate::versions::Timestamp::MIN),
            turns: Arc::default(),
            channels: Arc::default(),
            locks: Arc::default(),
            snapshots: Arc::default(),
            defaults: Arc::default(),
        };
        Self { shared, clock }
    }

    async fn open(&self, user: &str, database: &str, parameters: &[(&str, &str)]) -> Result<Client> {
        let start = SessionStart {
            user: user.to_owned(),
            database: database.to_owned(),
            client_address: "127.0.0.1".to_owned(),
            parameters: parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            backend_pid: 42,
        };
        Session::open(self.shared.clone(), start).await.map(|session| Client { session })
    }

    async fn client(&self) -> Client {
        self.open("chief", "chronogate", &[]).await.unwrap()
    }
}

struct Client {
    session: Session,
}

/// What one statement answered: its tag, and its rows as text with fields between bars.
type Answer = (String, Vec<String>);

impl Client {
    /// Runs a query text as the simple protocol does.
    async fn answers(&mut self, text: &str) -> Result<Vec<Answer>> {
        let statements = self.session.split(text)?;
        let count = statements.len();
        let mut answers = Vec::new();
        for (n, statement) in statements.into_iter().enumerate() {
            self.session.canceller();
            let reply = self.session.run(statement, n + 1 == count).await;
            let answer = match reply {
                Ok(reply) => collect(reply).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => {
                    self.session.failed(&error).await;
                    return Err(error);
                }
            }
        }
        Ok(answers)
    }

    /// Runs a text and gives the last statement's answer.
    #[track_caller]
    fn answer<'a>(&'a mut self, text: &'a str) -> impl Future<Output = Answer> + 'a {
        let place = std::panic::Location::caller();
        async move {
            match self.answers(text).await {
                Ok(answers) => answers.last().cloned().unwrap_or_default(),
                Err(error) => panic!("{place}: {text}: {error} {:?}", error.fields()),
            }
        }
    }

    async fn tag(&mut self, text: &str) -> String {
        self.answer(text).await.0
    }

    async fn rows(&mut self, text: &str) -> Vec<String> {
        self.answer(text).await.1
    }

    async fn run(&mut self, text: &str) {
        self.answer(text).await;
    }

    async fn error(&mut self, text: &str) -> SqlError {
        match self.answers(text).await {
            Ok(answers) => panic!("{text} answered {answers:?}"),
            Err(error) => error,
        }
    }

    /// SQLSTATE and message of the error that a text must give.
    async fn refused(&mut self, text: &str) -> String {
        let error = self.error(text).await;
        format!("{} {}", error.code(), error.message())
    }

    fn notices(&mut self) -> Vec<String> {
        let notices = self.session.notices();
        notices.iter().map(|n| format!("{} {}", n.fields().severity.name(), n.message())).collect()
    }
}

async fn collect(reply: Reply) -> Result<Answer> {
    match reply {
        Reply::Empty => Ok((String::new(), Vec::new())),
        Reply::Command(tag) => Ok((tag, Vec::new())),
        Reply::Rows { columns, batches, tag, count_rows, time_zone, .. } => {
            let zone = Zone::parse(&time_zone)?;
            let batches: Vec<_> = batches.try_collect().await.map_err(crate::plan::diagnose)?;
            let mut rows = Vec::new();
            for batch in &batches {
                for row in 0..batch.num_rows() {
                    let mut fields = Vec::new();
                    for (column, array) in columns.iter().zip(batch.columns()) {
                        let mut text = String::new();
                        let known = write_value(&mut text, column.ty, array, row, zone)?;
                        fields.push(if known { text } else { "null".to_owned() });
                    }
                    rows.push(fields.join("|"));
                }
            }
            let tag = if count_rows { format!("{tag} {}", rows.len()) } else { tag };
            Ok((tag, rows))
        }
        Reply::CopyIn { .. } => Ok(("COPY IN".to_owned(), Vec::new())),
        Reply::CopyOut { chunks, .. } => {
            let chunks: Vec<(Bytes, u64)> = chunks.try_collect().await?;
            let text: Vec<u8> = chunks.iter().flat_map(|(bytes, _)| bytes.to_vec()).collect();
            let lines = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
            Ok((format!("COPY {}", chunks.iter().map(|(_, n)| n).sum::<u64>()), lines))
        }
    }
}

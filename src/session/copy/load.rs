//! COPY … FROM STDIN: into a table, or into a table's history.
//!
//! Outside a block the sink commits by itself when the data is complete; nothing of it is kept otherwise.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::super::locks::{Owner, Wait};
use super::super::temporary::Kept;
use super::super::transaction::Block;
use super::super::{CopyInSink, Reply, Session, roles};
use super::binary::TupleReader;
use super::input::{LineReader, Row};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Database, Transaction};
use crate::plan::StatementContext;
use crate::plan::modify::{CopyInsert, HistoryLoad};
use crate::runtime::Cancel;
use crate::sql::{Copy, CopyFormat, CopySource, Name};
use crate::types::{PgType, Qualified};

/// What COPY … FROM a query's name ends with when it is the past that is loaded.
const HISTORY: &str = "__history";

impl Session {
    pub(super) fn copy_in(&mut self, ctx: StatementContext, copy: &Copy) -> Result<Reply> {
        let CopySource::Relation { name, columns } = &copy.source else {
            return Err(SqlError::syntax("COPY query FROM is not possible"));
        };
        let transaction = Arc::clone(&ctx.transaction);
        transaction.lock().context = self.commit_context();
        let queries = self.shared.engine.queries(&ctx);
        let (schema, table) = (name.schema.as_deref(), name.name.as_str());
        let binary = copy.options.format == CopyFormat::Binary;
        let (rows, types) = match history_of(&ctx, name) {
            Some(_) if binary => {
                let hint = "Use FORMAT text or csv.";
                return Err(SqlError::unsupported("COPY of a history in binary format is not supported", hint));
            }
            Some(table) => {
                self.permit_history_load(&ctx, &transaction)?;
                let load = HistoryLoad::new(&ctx, queries, schema, table, columns)?;
                let types = vec![PgType::TEXT; load.width()];
                (Rows::History(load), types)
            }
            None => {
                let insert = CopyInsert::new(&ctx, queries, schema, table, columns)?;
                let types = insert.types().collect();
                (Rows::Table(insert), types)
            }
        };
        let commit = (self.transaction.block != Block::Explicit).then(|| Arc::clone(&self.database));
        if commit.is_some() {
            // The sink ends the transaction, so it is not the session's any more.
            self.transaction.current = None;
        }
        let width = types.len();
        let reader = match binary {
            true => Reader::Tuples(TupleReader::new(types, self.zone()?)),
            false => Reader::Lines(LineReader::new(copy.options.clone())),
        };
        let sink = Sink {
            rows: Some(rows),
            reader,
            table: name.name.clone(),
            cancel: ctx.cancel.clone(),
            commit,
            transaction,
            locks: Arc::clone(&self.locks),
            temporary: Arc::clone(&self.temporary),
            wait: Wait::Up(self.settings.effective().lock_timeout),
        };
        Ok(Reply::CopyIn { columns: width, binary, sink: Box::new(sink) })
    }

    /// A load is one commit of its own, by a role that was trusted with the past.
    fn permit_history_load(&self, ctx: &StatementContext, transaction: &Mutex<Transaction>) -> Result<()> {
        let authority = roles::authority(&self.shared.tenancy, self.database.name(), &ctx.current_user);
        let trusted = |role: &String| self.shared.tenancy.role(role).is_some_and(|role| role.load_history);
        if !authority.superuser && !authority.roles.iter().any(trusted) {
            return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, "permission denied to load history")
                .hint("ALTER ROLE … LOAD_HISTORY allows it."));
        }
        if self.transaction.block == Block::Explicit || !transaction.lock().is_empty() {
            let message = "COPY into a history cannot run inside a transaction block";
            return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message)
                .hint("A load of history is one commit of its own. Switch autocommit on."));
        }
        Ok(())
    }
}

/// The table whose history the name means; `None` when it means a relation of its own.
fn history_of<'a>(ctx: &StatementContext, name: &'a Name) -> Option<&'a str> {
    let table = name.name.strip_suffix(HISTORY)?;
    let catalog = Arc::clone(&ctx.transaction.lock().catalog);
    let schemas: Vec<&str> = match &name.schema {
        Some(schema) => vec![schema],
        None => ctx.search_path.iter().map(String::as_str).collect(),
    };
    schemas.iter().any(|schema| catalog.tables.contains_key(&Qualified::new(*schema, table))).then_some(table)
}

#[derive(Debug)]
enum Rows {
    Table(CopyInsert),
    History(HistoryLoad),
}

impl Rows {
    fn row(&mut self, fields: &[Option<&str>]) -> Result<bool> {
        match self {
            Self::Table(insert) => insert.row(fields),
            Self::History(load) => load.row(fields),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        match self {
            Self::Table(insert) => insert.flush().await,
            Self::History(load) => load.flush().await,
        }
    }

    async fn finish(self) -> Result<u64> {
        match self {
            Self::Table(insert) => insert.finish().await,
            Self::History(load) => load.finish().await,
        }
    }
}

/// Rows out of data in either kind of format.
enum Reader {
    Lines(LineReader),
    Tuples(TupleReader),
}

impl Reader {
    fn push(&mut self, chunk: &[u8]) {
        match self {
            Self::Lines(reader) => reader.push(chunk),
            Self::Tuples(reader) => reader.push(chunk),
        }
    }

    fn finish(&mut self) {
        match self {
            Self::Lines(reader) => reader.finish(),
            Self::Tuples(reader) => reader.finish(),
        }
    }

    fn next_row(&mut self) -> Result<Option<&Row>> {
        match self {
            Self::Lines(reader) => reader.next_row(),
            Self::Tuples(reader) => reader.next_row(),
        }
    }

    fn line(&self) -> u64 {
        match self {
            Self::Lines(reader) => reader.line(),
            Self::Tuples(reader) => reader.line(),
        }
    }
}

struct Sink {
    /// Gone once the data was complete or refused.
    rows: Option<Rows>,
    reader: Reader,
    table: String,
    cancel: Cancel,
    /// The database to commit in, when the statement stands alone.
    commit: Option<Arc<Database>>,
    transaction: Arc<Mutex<Transaction>>,
    locks: Arc<Owner>,
    temporary: Arc<Kept>,
    wait: Wait,
}

impl Sink {
    /// Hands every whole row on.
    async fn take_rows(&mut self) -> Result<()> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        loop {
            let due = match self.reader.next_row() {
                Ok(None) => return Ok(()),
                Ok(Some(row)) => rows.row(&row.fields()),
                Err(error) => Err(error),
            };
            let line = self.reader.line();
            if due.map_err(|error| located(error, &self.table, line))? {
                self.cancel.check()?;
                rows.flush().await.map_err(|error| located(error, &self.table, line))?;
            }
        }
    }

    async fn complete(&mut self) -> Result<String> {
        self.reader.finish();
        self.take_rows().await?;
        let line = self.reader.line();
        let count = match self.rows.take() {
            Some(rows) => rows.finish().await.map_err(|error| located(error, &self.table, line))?,
            None => 0,
        };
        if let Some(database) = self.commit.take() {
            let mut transaction = self.transaction.lock().clone();
            let left = self.temporary.leave(&mut transaction)?;
            let pass = self.locks.pass(&transaction, self.wait, &self.cancel).await?;
            database.commit(transaction).await?;
            self.temporary.keep(left);
            drop(pass);
        }
        Ok(format!("COPY {count}"))
    }
}

#[async_trait]
impl CopyInSink for Sink {
    async fn data(&mut self, chunk: Bytes) -> Result<()> {
        self.cancel.check()?;
        self.reader.push(&chunk);
        let taken = self.take_rows().await;
        if taken.is_err() {
            self.rows = None;
        }
        taken
    }

    async fn done(&mut self) -> Result<String> {
        let done = self.complete().await;
        self.rows = None;
        done
    }

    async fn fail(&mut self, message: &str) {
        tracing::debug!(message, table = self.table, "COPY given up");
        self.rows = None;
        self.commit = None;
    }
}

/// `COPY t, line 3` before what the error says of its column.
fn located(mut error: SqlError, table: &str, line: u64) -> SqlError {
    let within = error.fields_mut().context.take();
    let place = match within {
        Some(within) => format!("COPY {table}, line {line}, {within}"),
        None => format!("COPY {table}, line {line}"),
    };
    error.context(place)
}

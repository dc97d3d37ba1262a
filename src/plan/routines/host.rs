//! What a running body needs of who runs it.

use async_trait::async_trait;

use super::kinds::Names;
use super::variables::{Row, Value};
use crate::error::{Result, SqlError};
use crate::sql::Parsed;
use crate::types::{PgType, Zone};

/// What a statement gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows, of a query or of RETURNING; an empty row list has its columns in `columns`.
    pub rows: Option<Vec<Row>>,
    /// The columns, each with a NULL.
    pub columns: Row,
    pub affected: u64,
}

impl Outcome {
    pub fn found(&self) -> bool {
        self.affected > 0
    }
}

/// Runs statements in the transaction that is open.
#[async_trait]
pub trait Host: Send {
    /// Runs a statement whose parameters have these values. `key` stands for the same statement with values of the same
    /// types at every run; `None` for a statement that does not come again.
    async fn run(&mut self, parsed: &Parsed, values: &[Value], key: Option<u64>) -> Result<Outcome>;

    /// Analyses a statement and says what is wrong with it; else the types of its columns, `None` without any.
    async fn check(&mut self, parsed: &Parsed, values: &[Value]) -> Result<Option<Vec<PgType>>>;

    /// Marks a place to go back to.
    fn mark(&mut self);
    /// Forgets the last mark and keeps what was done since.
    fn unmark(&mut self);
    /// Undoes what was done since the last mark, which stays.
    fn return_to_last(&mut self);

    fn notice(&mut self, notice: SqlError);
    /// The error of a statement that is to end.
    fn interrupted(&self) -> Result<()>;
    fn zone(&self) -> Result<Zone>;
    /// Calls `with` with what types and relations are called.
    fn names(&mut self, with: &mut (dyn for<'a> FnMut(Names<'a>) -> Result<()> + Send)) -> Result<()>;
}

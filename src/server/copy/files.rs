//! A database of a data directory: its file is copied table by table.

use std::path::Path;
use std::sync::Arc;

use super::compare::{self, Side};
use super::{Copied, CopyError, Settings, Step, Tell};
use crate::store::sqlite::SqliteIndex;
use crate::store::sqlite::import::Import;
use crate::store::{IndexStore, StoreError};
use crate::versions::CommitStamp;

pub struct Copy<'c> {
    pub database: &'c str,
    pub from: &'c Path,
    pub to: &'c Path,
    pub settings: &'c Settings,
    pub tell: Tell<'c>,
}

/// A commit's number and time as a copy notes them.
fn text(stamp: CommitStamp) -> String {
    format!("{} {}", stamp.commit.0, stamp.time.micros())
}

impl Copy<'_> {
    pub async fn run(self) -> Result<Vec<Copied>, CopyError> {
        let failed = CopyError::failed(self.database);
        let source = self.open(self.from).map_err(&failed)?;
        let copied = match self.to.is_file() {
            // Compared before it got its name.
            true => self.is_unchanged(&source).await.map(|()| Vec::new()),
            false => self.copy(&source).await,
        };
        source.close().await.map_err(&failed)?;
        copied
    }

    fn open(&self, path: &Path) -> Result<SqliteIndex, StoreError> {
        SqliteIndex::open(path, Arc::clone(&self.settings.clock))
    }

    fn changed(&self) -> CopyError {
        let target = self.to.parent().unwrap_or(self.to).to_owned();
        CopyError::Changed { database: self.database.to_owned(), target }
    }

    async fn is_unchanged(&self, source: &SqliteIndex) -> Result<(), CopyError> {
        let failed = CopyError::failed(self.database);
        let copy = self.open(self.to).map_err(&failed)?;
        let is_same = copy.last_commit() == source.last_commit();
        copy.close().await.map_err(&failed)?;
        if is_same { Ok(()) } else { Err(self.changed()) }
    }

    async fn copy(&self, source: &SqliteIndex) -> Result<Vec<Copied>, CopyError> {
        let failed = CopyError::failed(self.database);
        let now = text(source.last_commit());
        let is_same = tokio::task::block_in_place(|| self.take_all(&now)).map_err(&failed)?;
        if !is_same {
            return Err(self.changed());
        }
        (self.tell)(Step::Comparing { name: self.database });
        let copy = self.open(&Import::unfinished(self.to)).map_err(&failed)?;
        let sides = [Side::of(source), Side::of(&copy)];
        let compared = compare::files(self.database, self.to, sides).await;
        copy.close().await.map_err(&failed)?;
        let copied = compared?;
        tokio::task::block_in_place(|| Import::open(self.to).and_then(Import::finish)).map_err(&failed)?;
        Ok(copied)
    }

    /// Copies every row that is not there yet; whether the source is what it was when the copy was begun.
    fn take_all(&self, now: &str) -> Result<bool, StoreError> {
        let mut import = Import::open(self.to)?;
        match import.note("source")? {
            Some(begun) if begun != now => return Ok(false),
            Some(_) => {}
            None => import.set_note("source", now)?,
        }
        let rows = import.attach(self.from)?;
        (self.tell)(Step::Database { name: self.database, rows: Some(rows) });
        loop {
            match import.take_piece()? {
                0 => break,
                copied => (self.tell)(Step::Rows(copied)),
            }
        }
        import.rest()?;
        Ok(true)
    }
}

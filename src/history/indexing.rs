//! Indexes that are being built: how far each is, for whoever asks.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Database, HistoryError};
use crate::store::{Progress, StoreError};
use crate::versions::{IndexId, MemberIndex, TableId};

/// One build.
#[derive(Clone, Debug)]
pub struct Build {
    /// The session that builds.
    pub pid: i32,
    pub table: TableId,
    pub index: IndexId,
    /// In rows.
    pub progress: Arc<Progress>,
}

/// Those that are on their way.
#[derive(Debug, Default)]
pub(super) struct Builds(Mutex<Vec<Build>>);

/// A build that others see for as long as this lives.
#[derive(Debug)]
pub struct Building {
    build: Build,
    database: Database,
}

impl Building {
    pub fn progress(&self) -> &Arc<Progress> {
        &self.build.progress
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        self.database.builds().0.lock().retain(|build| !Arc::ptr_eq(&build.progress, &self.build.progress));
    }
}

impl Database {
    /// Says that a session builds an index, until what is returned is dropped.
    pub fn building(&self, pid: i32, table: TableId, index: IndexId) -> Building {
        let build = Build { pid, table, index, progress: Arc::default() };
        self.builds().0.lock().push(build.clone());
        Building { build, database: self.clone() }
    }

    /// Indexes that are being built now.
    pub fn being_built(&self) -> Vec<Build> {
        self.builds().0.lock().clone()
    }

    /// Makes the members of an index ready where the table's documents are. May be repeated.
    pub async fn index_members(&self, table: TableId, index: &MemberIndex, progress: &Progress) -> Result<(), HistoryError> {
        match self.collections() {
            Some(collections) => Ok(collections.index(table, index, progress).await?),
            None => Err(StoreError::Unsupported("an index of members where there are no collections").into()),
        }
    }
}

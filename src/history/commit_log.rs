//! Commits near at hand: a bounded cache in front of the store's commit log.

use std::collections::HashMap;
use std::sync::Arc;

use futures::TryStreamExt;
use parking_lot::Mutex;

use super::HistoryError;
use crate::store::IndexStore;
use crate::versions::{CommitInfo, CommitNo};

/// Commits kept; each has one place, by its number.
const PLACES: usize = 1 << 14;
/// Missing commits closer than this are read in one go, with those between them.
const WORTH_READING: u64 = 64;

/// Commits never change, so nothing is ever invalidated.
#[derive(Debug)]
pub(super) struct CommitLog {
    places: Mutex<Vec<Option<Arc<CommitInfo>>>>,
}

impl Default for CommitLog {
    fn default() -> Self {
        Self { places: Mutex::new(vec![None; PLACES]) }
    }
}

impl CommitLog {
    /// What is known of these commits, those that have not been made left out.
    pub(super) async fn read(
        &self,
        store: &dyn IndexStore,
        commits: impl IntoIterator<Item = CommitNo>,
    ) -> Result<HashMap<CommitNo, Arc<CommitInfo>>, HistoryError> {
        let mut found = HashMap::new();
        let mut missing = self.take_known(commits, &mut found);
        missing.sort_unstable();
        missing.dedup();
        for run in missing.chunk_by(|a, b| b.0 - a.0 <= WORTH_READING) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let mut batches = store.commits(*first, *last);
            while let Some(batch) = batches.try_next().await? {
                let batch: Vec<_> = batch.into_iter().map(Arc::new).collect();
                self.keep(&batch);
                let asked = batch.into_iter().filter(|info| run.binary_search(&info.stamp.commit).is_ok());
                found.extend(asked.map(|info| (info.stamp.commit, info)));
            }
        }
        Ok(found)
    }

    /// Moves what is cached to `found`, returns the rest.
    fn take_known(
        &self,
        commits: impl IntoIterator<Item = CommitNo>,
        found: &mut HashMap<CommitNo, Arc<CommitInfo>>,
    ) -> Vec<CommitNo> {
        let places = self.places.lock();
        let mut missing = Vec::new();
        for commit in commits {
            match places.get(place(commit)).and_then(Option::as_ref).filter(|info| info.stamp.commit == commit) {
                Some(info) => drop(found.insert(commit, Arc::clone(info))),
                None => missing.push(commit),
            }
        }
        missing
    }

    fn keep(&self, batch: &[Arc<CommitInfo>]) {
        let mut places = self.places.lock();
        for info in batch {
            if let Some(slot) = places.get_mut(place(info.stamp.commit)) {
                *slot = Some(Arc::clone(info));
            }
        }
    }
}

fn place(commit: CommitNo) -> usize {
    (commit.0 % PLACES as u64) as usize
}

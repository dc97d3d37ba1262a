//! What foreign keys have to be asked once all parts of a statement have written.

use parking_lot::Mutex;

use super::Run;
use super::foreign::{Touched, settle};
use super::target::Target;
use crate::error::Result;

/// Writes whose foreign keys have not been seen to yet.
#[derive(Debug, Default)]
pub struct Later(Mutex<Vec<(Target, Touched)>>);

impl Later {
    pub(super) fn push(&self, target: &Target, touched: Touched) {
        self.0.lock().push((target.clone(), touched));
    }

    /// 23503 where a reference does not hold after all.
    pub async fn settle(&self, run: Run<'_>) -> Result<()> {
        let waiting = std::mem::take(&mut *self.0.lock());
        for (target, touched) in waiting {
            Box::pin(settle(run, &target, touched)).await?;
        }
        Ok(())
    }
}

//! What a piece of work asks of stores, counted where they are asked.
//!
//! A store's calls have no parameter for it: the meter belongs to the task, and goes along to the tasks that work for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

tokio::task_local! {
    static CURRENT: Arc<Meter>;
}

/// Counts that only grow.
#[derive(Debug, Default)]
pub struct Meter {
    index_calls: AtomicUsize,
    payload_reads: AtomicUsize,
}

impl Meter {
    /// Does work whose calls are counted here.
    pub async fn over<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        CURRENT.scope(Arc::clone(self), work).await
    }

    /// Round trips to a server of the index, or short reads of its file.
    pub fn index_calls(&self) -> usize {
        self.index_calls.load(Ordering::Relaxed)
    }

    /// Requests to a service of payloads, or reads of their files. What a cache has is not asked for.
    pub fn payload_reads(&self) -> usize {
        self.payload_reads.load(Ordering::Relaxed)
    }
}

/// The index is asked something.
pub fn index_is_called() {
    let _ = CURRENT.try_with(|meter| meter.index_calls.fetch_add(1, Ordering::Relaxed));
}

/// A payload is fetched.
pub fn payload_is_read() {
    let _ = CURRENT.try_with(|meter| meter.payload_reads.fetch_add(1, Ordering::Relaxed));
}

/// The same work, counted where this one is although another task does it.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let current = CURRENT.try_with(Arc::clone).ok();
    async move {
        match current {
            Some(meter) => CURRENT.scope(meter, work).await,
            None => work.await,
        }
    }
}

/// The same for work on a thread of its own.
pub fn carried_over<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let current = CURRENT.try_with(Arc::clone).ok();
    move || match current {
        Some(meter) => CURRENT.sync_scope(meter, work),
        None => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_other_tasks_do_for_a_work_is_counted_with_it_and_nothing_else() {
        let meter = Arc::new(Meter::default());
        index_is_called();
        let work = async {
            index_is_called();
            tokio::spawn(carried(async { index_is_called() })).await.expect("done");
            tokio::task::spawn_blocking(carried_over(payload_is_read)).await.expect("done");
            tokio::spawn(async { payload_is_read() }).await.expect("done");
        };
        meter.over(work).await;
        index_is_called();
        assert_eq!((meter.index_calls(), meter.payload_reads()), (2, 1));
    }
}

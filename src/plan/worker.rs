//! Where plans run: a runtime of its own with big stacks, never the protocol's.
//!
//! A task that panics is an error of its statement. A stream handed out ends with the cancel's error soon after
//! it was given, whatever the operators below are doing, and dropping it ends the work.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{Stream, StreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinHandle};

use super::diagnose::diagnose;
use super::scan::external;
use crate::error::{Result, SqlError};
use crate::runtime::Cancel;

/// Bytes of stack per worker: deep expressions recurse in planning.
const STACK_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub struct Worker {
    runtime: Option<Runtime>,
}

impl Worker {
    pub fn new(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("plan")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => Ok(Self { runtime: Some(runtime) }),
            Err(cause) => {
                tracing::error!(%cause, "threads for plans could not be started");
                Err(SqlError::internal("threads for plans could not be started"))
            }
        }
    }

    fn spawn<F>(&self, work: F) -> Result<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => Ok(runtime.spawn(work)),
            None => Err(SqlError::internal("the query engine is shutting down")),
        }
    }

    /// Runs this to its end, or until the statement is cancelled.
    pub async fn run<T: Send + 'static>(
        &self,
        cancel: &Cancel,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut task = AbortOnDrop(self.spawn(work)?);
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancel.error()),
            done = &mut task.0 => done.unwrap_or_else(|cause| Err(lost(cause))),
        }
    }

    /// Rows of a plan, as they come.
    pub fn stream(
        &self,
        cancel: Cancel,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = plan.schema();
        let (sender, receiver) = mpsc::channel(2);
        let task = self.spawn(async move {
            let mut batches = match execute_stream(plan, context) {
                Ok(batches) => batches,
                Err(cause) => {
                    let _ = sender.send(Err(external(diagnose(cause)))).await;
                    return;
                }
            };
            while let Some(batch) = batches.next().await {
                let failed = batch.is_err();
                let batch = batch.map_err(|cause| external(diagnose(cause)));
                if sender.send(batch).await.is_err() || failed {
                    return;
                }
            }
        })?;
        let cancelled = cancel.clone();
        Ok(Box::pin(Rows {
            schema,
            receiver,
            abort: task.abort_handle(),
            task: Some(task),
            cancelled: Box::pin(async move { cancelled.cancelled().await }),
            cancel,
            ended: false,
        }))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Dropping a runtime blocks, which a task of another one must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What became of a task that did not end by itself.
fn lost(cause: JoinError) -> SqlError {
    tracing::error!(%cause, "a statement's task ended early");
    match cause.is_panic() {
        true => SqlError::internal("the statement failed inside the query engine; the server's log has the cause"),
        false => SqlError::internal("the query engine is shutting down"),
    }
}

/// The receiving end of a running plan.
struct Rows {
    schema: SchemaRef,
    receiver: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    abort: AbortHandle,
    task: Option<JoinHandle<()>>,
    cancelled: Pin<Box<dyn Future<Output = ()> + Send>>,
    cancel: Cancel,
    ended: bool,
}

impl Rows {
    fn end(&mut self, error: SqlError) -> Poll<Option<Result<RecordBatch, DataFusionError>>> {
        self.ended = true;
        self.abort.abort();
        Poll::Ready(Some(Err(external(error))))
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.cancelled.as_mut().poll(cx).is_ready() {
            let error = self.cancel.error();
            return self.end(error);
        }
        match self.receiver.poll_recv(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(batch)) => return Poll::Ready(Some(batch)),
            Poll::Ready(None) => {}
        }
        // Nothing more comes: by its end, or because the task panicked.
        let Some(task) = &mut self.task else { return Poll::Ready(None) };
        match Pin::new(task).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Err(cause)) => self.end(lost(cause)),
        }
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

//! A panic inside a statement becomes that statement's error.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::error::{Result, SqlError};

/// Awaits the future; a panic in it is XX000. What the panic left behind is the session's to roll back.
pub async fn guarded<T>(statement: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(statement).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic)))
}

/// The same for a future that cannot fail otherwise.
pub async fn to_its_end(work: impl Future<Output = ()>) -> Result<()> {
    guarded(work.map(Ok)).await
}

/// The same for code that does not wait.
pub fn guarded_now<T>(code: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| Err(panicked(panic)))
}

fn panicked(panic: Box<dyn Any + Send>) -> SqlError {
    let message = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    tracing::error!(panic = message, "a statement panicked");
    SqlError::internal("the statement ended in an internal error").hint("The server's log has the cause.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error_of_the_statement() {
        let failed = guarded::<()>(async { panic!("on purpose") }).await;
        assert_eq!(failed.expect_err("panicked").code().code(), "XX000");
        assert_eq!(guarded(async { Ok(1) }).await.expect("no panic"), 1);
    }
}

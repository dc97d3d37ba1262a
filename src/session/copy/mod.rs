//! COPY: rows as lines of text or csv or in binary, in and out.
//!
//! Owns the formats and where an error was. Checking and writing rows is `plan`'s, the protocol `wire`'s.

mod binary;
mod format;
mod input;
mod load;
mod output;

use super::{Reply, Session};
use crate::error::Result;
use crate::sql::{Copy, CopyDirection, Statement};

impl Session {
    pub(super) async fn copy(&mut self, copy: &Copy) -> Result<Reply> {
        let statement = Statement::Copy(Box::new(copy.clone()));
        self.refuse_write(&statement)?;
        let ctx = self.context().await?;
        match copy.direction {
            CopyDirection::FromStdin => self.copy_in(ctx, copy),
            CopyDirection::ToStdout => self.copy_out(ctx, copy).await,
        }
    }
}

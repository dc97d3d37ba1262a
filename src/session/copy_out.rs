//! COPY … TO STDOUT.

use super::{Reply, Session};
use crate::error::{Result, SqlError};
use crate::sql::Copy;

impl Session {
    pub(super) async fn copy(&mut self, _: &Copy) -> Result<Reply> {
        Err(SqlError::unsupported("COPY is not supported", "Use INSERT and SELECT."))
    }
}

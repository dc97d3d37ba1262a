//! The statement that a function runs in: reached through DataFusion's options, so that it is there when an
//! expression is folded at planning and when it runs.

use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::common::config::ConfigOptions;

use crate::error::{Result, SqlError};
use crate::plan::StatementContext;
use crate::plan::traits::carried_in_options;
use crate::types::Zone;

/// Carries the statement. Put it into the options of the state that plans *and* runs the statement; a plan
/// that was optimised under another statement may have that one's `now()` folded into it.
#[derive(Clone, Debug)]
pub struct Ambient(pub Arc<StatementContext>);

carried_in_options!(Ambient, "chronogate_statement");

/// The statement of these options; an internal error where none was put in.
pub fn statement(options: &ConfigOptions) -> Result<&StatementContext> {
    let ambient = options.extensions.get::<Ambient>();
    ambient.map(|a| a.0.as_ref()).ok_or_else(|| SqlError::internal("a function was called outside a statement"))
}

/// The session's time zone; UTC outside a statement.
pub fn zone(options: &ConfigOptions) -> Zone {
    let ambient = options.extensions.get::<Ambient>();
    ambient.and_then(|a| Zone::parse(&a.0.time_zone).ok()).unwrap_or(Zone::UTC)
}

/// A client's error as DataFusion carries it; whoever answers the client takes it out again with [`client_error`].
pub fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The error meant for the client, if DataFusion's error carries one, however deep.
pub fn client_error(error: &DataFusionError) -> Option<&SqlError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<SqlError>() {
            return Some(found);
        }
        next = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Diagnostic(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            _ => error.source(),
        };
    }
    None
}

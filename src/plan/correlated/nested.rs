//! The configuration that subqueries are planned under while their statement runs: the statement's own, with one
//! partition and nothing that a second run would find changed by the first.

use std::sync::{Arc, OnceLock};

use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::SessionState;

use crate::plan::StatementContext;
use crate::plan::query::statement_state;
use crate::plan::traits::carried_in_options;

/// Reached through DataFusion's options, which every function call carries. The state is made when a subquery
/// first runs; most statements have none.
#[derive(Clone)]
pub struct Nested(Arc<Inner>);

struct Inner {
    base: Arc<SessionState>,
    ctx: Arc<StatementContext>,
    state: OnceLock<Arc<SessionState>>,
}

impl Nested {
    pub fn new(base: Arc<SessionState>, ctx: Arc<StatementContext>) -> Self {
        Self(Arc::new(Inner { base, ctx, state: OnceLock::new() }))
    }

    /// The one of these options; an internal error outside a statement.
    pub fn of(options: &ConfigOptions) -> Result<Self> {
        let found = options.extensions.get::<Nested>();
        found.cloned().ok_or_else(|| internal_datafusion_err!("a subquery ran outside a statement"))
    }

    pub fn ctx(&self) -> &StatementContext {
        &self.0.ctx
    }

    pub fn shared(&self) -> Arc<StatementContext> {
        Arc::clone(&self.0.ctx)
    }

    pub fn state(&self) -> Arc<SessionState> {
        let make = || {
            let mut state = statement_state(&self.0.base, &self.0.ctx);
            let options = state.config_mut().options_mut();
            options.execution.target_partitions = 1;
            // A filter that a join hands to a scan while it runs would still hold in the next run.
            options.optimizer.enable_dynamic_filter_pushdown = false;
            options.optimizer.enable_topk_dynamic_filter_pushdown = false;
            options.optimizer.enable_join_dynamic_filter_pushdown = false;
            options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
            Arc::new(state)
        };
        Arc::clone(self.0.state.get_or_init(make))
    }

    /// Whether both stand for the same run of the same statement.
    pub fn is(&self, other: &Nested) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Nested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nested")
    }
}

carried_in_options!(Nested, "chronogate_nested");

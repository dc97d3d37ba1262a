//! The contract of an index store, rule by rule.

use std::sync::Arc;

use crate::store::IndexStore;

/// Every rule, in order.
pub async fn all(_make: &impl AsyncFn(Arc<dyn crate::runtime::Clock>) -> Arc<dyn IndexStore>) {}

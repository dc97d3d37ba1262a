//! Keys of a scan inside a subquery that its outer row decides: known only when the scan runs.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::Expr;

use super::columns::{Shown, Source};
use super::correlated::{filled, has_slot};
use super::pushdown;
use super::scan::ScanSpec;
use crate::history::TableDef;
use crate::versions::KeyFilter;

#[derive(Clone, Debug)]
pub struct LateKeys {
    table: Arc<TableDef>,
    shown: Shown,
    filters: Vec<Expr>,
}

impl LateKeys {
    /// `None` where no filter waits for an outer row.
    pub fn of(table: &Arc<TableDef>, shown: &Shown, filters: &[Expr]) -> Option<Self> {
        let waits = filters.iter().any(has_slot);
        waits.then(|| Self { table: Arc::clone(table), shown: shown.clone(), filters: filters.to_vec() })
    }

    /// What the scan reads for the outer row of this moment.
    pub fn applied(&self, spec: &ScanSpec) -> Result<ScanSpec> {
        let filters = self.filters.iter().map(filled).collect::<Result<Vec<_>>>()?;
        let column = |name: &str| {
            self.shown.columns.iter().find(|c| c.name == name).and_then(|c| match &c.source {
                Source::Column(column) => Some(column),
                Source::System(_) => None,
            })
        };
        let (keys, candidates) = pushdown::keys_of(&self.table, &filters, column);
        let mut spec = spec.clone();
        if keys != KeyFilter::All || candidates.is_some() {
            spec.keys = keys;
            spec.candidates = candidates.map(Into::into);
        }
        Ok(spec)
    }
}

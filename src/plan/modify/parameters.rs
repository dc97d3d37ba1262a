//! Types of a statement's parameters, gathered from all of its parts.

use std::collections::BTreeMap;

use datafusion::logical_expr::LogicalPlan;

use super::Queries;
use crate::error::Result;
use crate::types::{PgType, TypeName};

/// What is known of `$1` … so far. What the client declared stands; else the first use that tells a type.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    declared: Vec<Option<PgType>>,
    found: BTreeMap<usize, PgType>,
    /// The greatest number that occurs.
    last: usize,
}

impl Parameters {
    pub fn new(declared: &[Option<PgType>]) -> Self {
        Self { declared: declared.to_vec(), found: BTreeMap::new(), last: declared.len() }
    }

    /// `$number` is used where this type is wanted.
    pub fn wants(&mut self, number: usize, ty: PgType) {
        self.last = self.last.max(number);
        self.found.entry(number).or_insert(ty.with_modifier(-1));
    }

    /// The type that `$number` has so far.
    pub fn get(&self, number: usize) -> Option<PgType> {
        let declared = number.checked_sub(1).and_then(|at| self.declared.get(at)).copied().flatten();
        declared.filter(|ty| ty.name != TypeName::Unknown).or_else(|| self.found.get(&number).copied())
    }

    /// What is known so far of all of them, in order.
    pub fn known(&self) -> Vec<Option<PgType>> {
        (1..=self.last).map(|n| self.get(n)).collect()
    }

    /// Every placeholder of a plan, with the types it was given there.
    pub fn of_plan(&mut self, queries: &dyn Queries, plan: &LogicalPlan) -> Result<()> {
        let (found, last) = crate::plan::parameters::found(plan).map_err(|e| queries.diagnose(e))?;
        self.last = self.last.max(last);
        for (number, ty) in found {
            self.wants(number, ty);
        }
        Ok(())
    }

    /// All of them in order; those that nothing tells are text.
    pub fn finish(self) -> Vec<PgType> {
        (1..=self.last).map(|n| self.get(n).unwrap_or(PgType::TEXT)).collect()
    }
}

/// The number in `$n`.
pub fn number(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse().ok().filter(|n| *n > 0)
}

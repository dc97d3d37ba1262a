//! Deferred constraints: SET CONSTRAINTS, and the check that comes before a commit.

use super::Session;
use super::transaction::Block;
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, Timing};
use crate::sql::Name;
use crate::types::Qualified;
use crate::versions::IndexId;

impl Session {
    /// 23503 where a deferred foreign key does not hold by now.
    pub(super) async fn check_deferred(&mut self) -> Result<()> {
        let Some(current) = &self.transaction.current else { return Ok(()) };
        let timing = {
            let transaction = current.lock();
            if !transaction.has_deferred() {
                return Ok(());
            }
            transaction.timing.clone()
        };
        let ctx = self.context().await?;
        self.shared.engine.check_deferred(&ctx, |key| timing.defers(key)).await
    }

    /// SET CONSTRAINTS: no names for all. What becomes immediate is checked now.
    pub(super) async fn set_constraints(&mut self, names: &[Name], deferred: bool) -> Result<()> {
        if matches!(self.transaction.block, Block::None) {
            self.warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET CONSTRAINTS can only be used in transaction blocks");
            return Ok(());
        }
        let ctx = self.context().await?;
        let catalog = ctx.transaction.lock().catalog.clone();
        let before = ctx.transaction.lock().timing.clone();
        let mut after = before.clone();
        if names.is_empty() {
            after.set_all(deferred);
        }
        for name in names {
            for id in named(&catalog, &ctx.search_path, name)? {
                after.set(id, deferred);
            }
        }
        if !deferred {
            self.shared.engine.check_deferred(&ctx, |key| before.defers(key) && !after.defers(key)).await?;
            refuse_pending_uniques(&catalog, &before, &after)?;
        }
        ctx.transaction.lock().timing = after;
        Ok(())
    }
}

/// Duplicates of a deferred unique constraint come to light at the commit only.
fn refuse_pending_uniques(catalog: &Catalog, before: &Timing, after: &Timing) -> Result<()> {
    let uniques = catalog.tables.values().flat_map(|table| &table.uniques);
    match uniques.into_iter().find(|u| before.defers_unique(u) && !after.defers_unique(u)) {
        None => Ok(()),
        Some(unique) => Err(SqlError::unsupported(
            format!("constraint \"{}\" cannot be made immediate within the transaction that deferred it", unique.name),
            "Name the foreign keys in SET CONSTRAINTS, or leave the statement out: the commit checks.",
        )),
    }
}

/// The constraints of this name in the first schema of the path that has one. 42704, and 42809 for one that cannot wait.
fn named(catalog: &Catalog, path: &[String], name: &Name) -> Result<Vec<IndexId>> {
    let in_schema = |schema: &str| -> Vec<(IndexId, bool)> {
        let tables = catalog.tables.range(Qualified::new(schema, "")..).take_while(|(q, _)| q.schema == schema);
        let parts = tables.flat_map(|(_, table)| {
            let keys = table.foreign_keys.iter().map(|k| (&k.name, k.id, k.deferrable));
            let uniques = table.uniques.iter().filter(|u| u.constraint).map(|u| (&u.name, u.id, u.deferrable));
            let checks = table.checks.iter().map(|c| (&c.name, IndexId(0), false));
            let primary = table.primary_key.iter().map(|(name, _)| (name, IndexId(0), false));
            keys.chain(uniques).chain(checks).chain(primary)
        });
        parts.filter(|(of, ..)| **of == name.name).map(|(_, id, deferrable)| (id, deferrable)).collect()
    };
    let schemas: Vec<&str> = match &name.schema {
        Some(schema) => vec![schema.as_str()],
        None => path.iter().map(String::as_str).collect(),
    };
    let Some(found) = schemas.into_iter().map(in_schema).find(|found| !found.is_empty()) else {
        let message = format!("constraint \"{}\" does not exist", name.name);
        return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
    };
    if found.iter().any(|(_, deferrable)| !deferrable) {
        let message = format!("constraint \"{}\" is not deferrable", name.name);
        return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    Ok(found.into_iter().map(|(id, _)| id).collect())
}

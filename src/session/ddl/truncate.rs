//! TRUNCATE: every row of the tables ends in one commit.

use futures::TryStreamExt;

use super::{Change, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Base, TableDef};
use crate::sql::Name;
use crate::store::ScanRequest;
use crate::versions::{KeyFilter, Scope};

impl Change {
    /// RESTART IDENTITY takes effect at once and stays when the transaction is rolled back, as `setval` does.
    pub(super) async fn truncate(&mut self, names: &[Name], restart_identity: bool, cascade: bool) -> Result<()> {
        let mut tables = Vec::with_capacity(names.len());
        for name in names {
            let Some(table) = self.find_table(name) else {
                let error = self.not_a_table(name);
                return Err(if self.find(name, crate::history::Catalog::has_relation).is_some() {
                    error
                } else {
                    undefined("relation", name)
                });
            };
            self.require("TRUNCATE", "table", &table.name.name, &table.owner, &table.grants)?;
            tables.push(table);
        }
        let referring = self.referring_tables(&tables);
        if let Some((child, parent)) = referring.first().filter(|_| !cascade) {
            let message = "cannot truncate a table referenced in a foreign key constraint";
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message)
                .detail(format!("Table \"{}\" references \"{}\".", child.name.name, parent.name.name))
                .hint(format!("Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.", child.name.name)));
        }
        for (child, _) in referring {
            self.require("TRUNCATE", "table", &child.name.name, &child.owner, &child.grants)?;
            self.notice(format!("truncate cascades to table \"{}\"", child.name.name));
            tables.push(child);
        }
        if restart_identity {
            for sequence in tables.iter().flat_map(|table| self.catalog.owned_sequences(table.id)) {
                self.ctx.database.set_value(&sequence, sequence.start, false).await?;
            }
        }
        for table in tables {
            match table.is_of_documents() {
                true => self.delete_all(&table).await?,
                false => self.ctx.transaction.lock().truncate(table.id),
            }
        }
        Ok(())
    }

    /// Ends documents one by one: what they belong to knows of no other way.
    async fn delete_all(&self, table: &TableDef) -> Result<()> {
        /// About what an end takes in the transaction.
        const BYTES: usize = 256;
        let (snapshot, own) = {
            let transaction = self.ctx.transaction.lock();
            (transaction.snapshot, transaction.overlay(table.id))
        };
        let mut stored = self.ctx.database.scan(ScanRequest {
            table: table.id,
            snapshot,
            scope: Scope::Current,
            keys: KeyFilter::All,
            candidates: None,
            payloads: false,
            limit: None,
        });
        while let Some(batch) = stored.try_next().await? {
            self.ctx.cancel.check()?;
            self.ctx.held.grow(batch.len() * BYTES)?;
            let mut transaction = self.ctx.transaction.lock();
            for row in batch {
                transaction.delete(table.id, row.key, Some(Base { version: row.version.number, entries: Vec::new() }));
            }
        }
        let mut transaction = self.ctx.transaction.lock();
        for key in own.iter().flat_map(|own| own.rows.keys()) {
            transaction.delete(table.id, key.clone(), None);
        }
        Ok(())
    }
}

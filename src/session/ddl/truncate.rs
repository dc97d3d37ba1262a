//! TRUNCATE: every row of the tables ends in one commit.

use super::{Change, undefined};
use crate::error::{Result, SqlError, SqlState};
use crate::sql::Name;

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
            table.check_writable()?;
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
        let mut transaction = self.ctx.transaction.lock();
        tables.iter().for_each(|table| transaction.truncate(table.id));
        Ok(())
    }
}

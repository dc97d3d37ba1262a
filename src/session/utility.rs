//! SET, SHOW, RESET, DISCARD and the SQL forms of prepared statements: what never touches data.
//!
//! All of it works whatever time is pinned; only VACUUM and its like take a snapshot, to look for the tables they name.

use std::sync::Arc;

use super::settings::{Settings, Source};
use super::transaction::Block;
use super::{Reply, Session, reply};
use crate::error::{Result, SqlError, SqlState};
use crate::plan::{Message, ResultColumn};
use crate::sql::{Discard, Name, SetStatement, ShowStatement, Statement, TransactionModes, Upkeep};
use crate::types::Qualified;

impl Session {
    pub(super) async fn utility(&mut self, statement: &Statement) -> Result<Reply> {
        match statement {
            Statement::Set(set) => self.set(set).await,
            Statement::Show(show) => self.show(show),
            Statement::Reset(name) => self.reset(name.as_deref()),
            Statement::Discard(what) => self.discard(*what),
            Statement::Prepare { name, types, statement } => self.prepare_named(name, types, statement).await,
            Statement::Deallocate(name) => self.deallocate(name.as_deref()),
            Statement::Listen(channel) => Ok(self.message(Message::Listen(channel.clone()), "LISTEN")),
            Statement::Unlisten(channel) => Ok(self.message(Message::Unlisten(channel.clone()), "UNLISTEN")),
            Statement::Notify { channel, payload } => {
                let (channel, payload) = (channel.clone(), payload.clone());
                Ok(self.message(Message::Notify { channel, payload }, "NOTIFY"))
            }
            Statement::Upkeep(upkeep) => self.upkeep(upkeep).await,
            Statement::Lock(lock) => self.lock_tables(lock).await,
            Statement::Close(name) => self.close_cursor(name.as_deref()),
            Statement::Declare(_)
            | Statement::Fetch(_)
            | Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Merge(_)
            | Statement::With { .. }
            | Statement::Explain { .. }
            | Statement::Copy(_)
            | Statement::Ddl(_)
            | Statement::Transaction(_)
            | Statement::Do(_)
            | Statement::Call(_)
            | Statement::Execute { .. } => Err(SqlError::internal("a statement went astray")),
        }
    }

    /// Nothing is done, save that REINDEX sees to the members of collections; 25001 in a block and 42P01 for what is not
    /// there, as where there is something to do.
    async fn upkeep(&mut self, upkeep: &Upkeep) -> Result<Reply> {
        if upkeep.alone && self.transaction.block != Block::None {
            let message = format!("{} cannot run inside a transaction block", upkeep.tag);
            return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        if upkeep.relations.is_empty() && upkeep.indexes.is_empty() {
            return Ok(Reply::Command(upkeep.tag.to_owned()));
        }
        let ctx = self.context().await?;
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        for name in &upkeep.relations {
            let system = matches!(name.schema.as_deref(), Some("pg_catalog" | "information_schema"));
            let table = |schema: &str| catalog.tables.contains_key(&Qualified::new(schema, name.name.as_str()));
            let known = match &name.schema {
                Some(schema) => table(schema),
                None => ctx.search_path.iter().any(|schema| table(schema)),
            };
            if !known && !system {
                let shown = name.schema.iter().map(|schema| format!("{schema}.")).collect::<String>() + &name.name;
                return Err(SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist")));
            }
        }
        if upkeep.tag == "REINDEX" {
            self.reindex_collections(upkeep).await?;
        }
        Ok(Reply::Command(upkeep.tag.to_owned()))
    }

    /// REINDEX of collections: documents that another program wrote without the members of an index get them.
    async fn reindex_collections(&mut self, upkeep: &Upkeep) -> Result<()> {
        let ctx = self.context().await?;
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        let names = |name: &Name, found: &Qualified| {
            let is_in = |schema: &String| *schema == found.schema;
            name.name == found.name && name.schema.as_ref().map_or_else(|| ctx.search_path.iter().any(is_in), is_in)
        };
        for table in catalog.tables.values().filter(|table| table.is_of_documents()) {
            let whole = upkeep.relations.iter().any(|name| names(name, &table.name));
            let is_asked = |index: &str| {
                let full = Qualified::new(table.name.schema.as_str(), index);
                upkeep.indexes.iter().any(|name| names(name, &full))
            };
            for index in table.collection.iter().flat_map(|collection| &collection.indexes) {
                if !whole && !table.index_name(index.id).is_some_and(is_asked) {
                    continue;
                }
                if !ctx.authority().owns(&table.owner) {
                    return Err(crate::history::privilege::not_owner("table", &table.name.name));
                }
                let building = ctx.database.building(ctx.backend_pid, table.id, index.id);
                let work = async { Ok(ctx.database.index_members(table.id, index, building.progress()).await?) };
                super::dispatch::cancellable(&ctx, work).await?;
            }
        }
        Ok(())
    }

    /// What is said and done about channels waits for the commit.
    fn message(&mut self, message: Message, tag: &str) -> Reply {
        self.messages.push(message);
        Reply::Command(tag.to_owned())
    }

    async fn set(&mut self, set: &SetStatement) -> Result<Reply> {
        let done = || Ok(Reply::Command("SET".to_owned()));
        if matches!(set.name.as_str(), "transaction_isolation" | "transaction_read_only" | "transaction_deferrable") {
            let modes = modes_of(&set.name, set.value.as_deref().unwrap_or_default())?;
            return self.control(crate::sql::TransactionStatement::Set(modes)).await;
        }
        if set.local && self.transaction.block != Block::Explicit {
            self.warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET LOCAL can only be used in transaction blocks");
        }
        let source = if set.local { Source::Local } else { Source::Session };
        match &set.value {
            Some(value) => drop(self.settings.assign(&set.name, value, source)?),
            None if set.local => self.settings.reset_local(&set.name)?,
            None => self.settings.reset(&set.name)?,
        }
        if set.name == "session_authorization" {
            self.settings.assign("role", "none", source)?;
        }
        self.after_change(&set.name);
        done()
    }

    /// What a changed setting means to the session itself.
    fn after_change(&mut self, name: &str) {
        match name {
            "role" | "session_authorization" => self.show_role(),
            "default_transaction_isolation" | "default_transaction_read_only" => self.show_modes(),
            "chronogate.as_of" | "system_versioning_asof" => {
                if let Ok((_, shown)) = self.settings.show("chronogate.as_of")
                    && !shown.is_empty()
                {
                    self.notice(format!("reading the past as of {shown}"));
                }
                self.show_modes();
            }
            _ => {}
        }
    }

    /// Lets SHOW is_superuser answer for the current role.
    pub(super) fn show_role(&self) {
        let effective = self.settings.effective();
        let role = effective.role.as_deref().unwrap_or(&effective.session_user);
        let superuser = self.shared.tenancy.role(role).is_some_and(|role| role.superuser);
        self.settings.fix("is_superuser", if superuser { "on" } else { "off" });
    }

    fn show(&mut self, show: &ShowStatement) -> Result<Reply> {
        let columns = show_columns(&self.settings, show)?;
        let rows = match show {
            ShowStatement::Name(name) => vec![vec![Some(self.settings.show(name)?.1)]],
            ShowStatement::All => {
                let all = self.settings.show_all().into_iter();
                all.map(|s| vec![Some(s.name), Some(s.value), Some(s.description.to_owned())]).collect()
            }
        };
        reply::text_rows(columns, rows, "SHOW", &self.cancel)
    }

    fn reset(&mut self, name: Option<&str>) -> Result<Reply> {
        match name {
            Some(name) => {
                self.settings.reset(name)?;
                if name == "session_authorization" {
                    self.settings.reset("role")?;
                }
                self.after_change(name);
            }
            None => {
                self.settings.reset_all();
                self.show_modes();
            }
        }
        Ok(Reply::Command("RESET".to_owned()))
    }

    fn discard(&mut self, what: Discard) -> Result<Reply> {
        let tag = match what {
            Discard::All => {
                self.refuse_in_block("DISCARD ALL")?;
                self.portals.clear();
                self.cursors.clear();
                self.show_cursors();
                self.forget_statements();
                self.advisory.give_back_all();
                self.messages.push(Message::Unlisten(None));
                self.discard_temporary();
                self.settings.reset("session_authorization")?;
                self.settings.reset("role")?;
                self.settings.reset_all();
                self.show_role();
                self.show_modes();
                self.sequences.clear();
                "DISCARD ALL"
            }
            Discard::Sequences => {
                self.sequences.clear();
                "DISCARD SEQUENCES"
            }
            // Plans follow definitions by themselves.
            Discard::Plans => {
                self.recall.clear();
                "DISCARD PLANS"
            }
            Discard::Temp => {
                self.discard_temporary();
                "DISCARD TEMP"
            }
        };
        Ok(Reply::Command(tag.to_owned()))
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<Reply> {
        match name {
            Some(name) if !self.statements.contains_key(name) => {
                let message = format!("prepared statement \"{name}\" does not exist");
                Err(SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message))
            }
            Some(name) => {
                self.close_statement(name);
                Ok(Reply::Command("DEALLOCATE".to_owned()))
            }
            None => {
                self.forget_statements();
                Ok(Reply::Command("DEALLOCATE ALL".to_owned()))
            }
        }
    }

    fn forget_statements(&mut self) {
        self.statements.clear();
        self.objects.lock().prepared.clear();
    }

    /// 25001 for what cannot be part of a transaction with anything else.
    pub(super) fn refuse_in_block(&self, statement: &str) -> Result<()> {
        match self.transaction.block {
            Block::None => Ok(()),
            Block::Implicit | Block::Explicit | Block::Failed => {
                let message = format!("{statement} cannot run inside a transaction block");
                Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message))
            }
        }
    }
}

/// SET transaction_isolation and its like, as SET TRANSACTION says it.
fn modes_of(name: &str, value: &str) -> Result<TransactionModes> {
    let definition = super::settings::table::find(name);
    let Some(definition) = definition else { return Err(super::settings::unrecognized(name)) };
    let value = super::settings::value::check(definition, value)?;
    let levels = ["serializable", "repeatable read", "read committed", "read uncommitted"];
    Ok(match name {
        "transaction_isolation" => {
            TransactionModes { isolation: levels.into_iter().find(|level| *level == value), ..TransactionModes::default() }
        }
        "transaction_read_only" => TransactionModes { read_only: Some(value == "on"), ..TransactionModes::default() },
        _ => TransactionModes::default(),
    })
}

/// The columns that SHOW answers with; 42704 for a setting nobody knows.
pub(super) fn show_columns(settings: &Settings, show: &ShowStatement) -> Result<Arc<[ResultColumn]>> {
    Ok(match show {
        ShowStatement::Name(name) => reply::text_columns(&[settings.show(name)?.0.as_str()]),
        ShowStatement::All => reply::text_columns(&["name", "setting", "description"]),
    })
}

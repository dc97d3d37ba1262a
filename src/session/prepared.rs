//! Prepared statements and portals, those of the protocol and those of PREPARE in one name space.
//!
//! A statement is planned once and again only when definitions or the settings that planning depends on have
//! changed. A portal lives as long as the transaction it was bound in.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use parking_lot::Mutex;

use super::dispatch::{Work, cancellable};
use super::transaction::{Block, aborted};
use super::{Reply, Session, StatementDescription};
use crate::error::{Result, SqlError, SqlState};
use crate::history::Catalog;
use crate::plan::{DefaultScope, Prepared, PreparedInfo, ResultColumn, StatementContext};
use crate::sql::{OwnType, Parsed, Statement};
use crate::tenancy::RolesSeen;
use crate::types::{Oid, PgType, TypeName, decode::decode_parameter};

#[derive(Debug)]
pub(super) struct PreparedStatement {
    /// `None` is an empty query.
    pub parsed: Option<Arc<Parsed>>,
    /// Where `parsed` is another statement that differs from this one in its literals: this one's own text.
    own_text: Option<Box<str>>,
    pub declared: Vec<Option<PgType>>,
    /// What Parse told the client; later plans must keep to it.
    parameters: Vec<PgType>,
    columns: Option<Arc<[ResultColumn]>>,
    plan: Mutex<Option<Planned>>,
}

#[derive(Clone, Debug)]
struct Planned {
    under: PlannedUnder,
    prepared: Arc<Prepared>,
}

/// What a plan is good for.
#[derive(Clone, Debug)]
pub(super) struct PlannedUnder {
    catalog: Arc<Catalog>,
    settings: u64,
    scope: Option<DefaultScope>,
    user: String,
    /// Who may act as whom.
    roles: RolesSeen,
}

impl PlannedUnder {
    pub fn still(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalog, &other.catalog)
            && self.settings == other.settings
            && self.scope == other.scope
            && self.user == other.user
            && self.roles == other.roles
    }
}

#[derive(Debug)]
pub(super) struct Portal {
    statement: Arc<PreparedStatement>,
    parameters: Vec<ScalarValue>,
    formats: Vec<i16>,
    /// Its number among the portals and cursors of the session.
    pub born: u64,
    /// The rows that are still to come after PortalSuspended.
    pub rest: Mutex<Option<Reply>>,
}

impl PreparedStatement {
    /// The types that Parse told the client.
    pub fn parameters(&self) -> &[PgType] {
        &self.parameters
    }

    /// One that differs from `first` in its literals only.
    pub fn recalled(
        first: Arc<Parsed>,
        text: &str,
        declared: Vec<Option<PgType>>,
        under: PlannedUnder,
        prepared: Prepared,
    ) -> Self {
        Self {
            parsed: Some(first),
            own_text: Some(text.into()),
            declared,
            parameters: prepared.parameters.clone(),
            columns: prepared.columns.clone(),
            plan: Mutex::new(Some(Planned { under, prepared: Arc::new(prepared) })),
        }
    }

    #[cfg(test)]
    pub fn is_recalled(&self) -> bool {
        self.own_text.is_some()
    }

    /// The plan at hand and what it is good for.
    pub fn planned(&self) -> Option<(PlannedUnder, Arc<Prepared>)> {
        self.plan.lock().as_ref().map(|planned| (planned.under.clone(), Arc::clone(&planned.prepared)))
    }

    pub fn is_planned_under(&self, under: &PlannedUnder) -> bool {
        self.plan.lock().as_ref().is_some_and(|planned| planned.under.still(under))
    }

    /// The statement's own text.
    fn text(&self) -> &str {
        let parsed = || self.parsed.as_ref().map_or("", |parsed| parsed.text.as_str());
        self.own_text.as_deref().map_or_else(parsed, |text| text.trim().trim_end_matches(';'))
    }

    /// The statement's own tree.
    pub fn tree(&self) -> Result<Arc<Parsed>> {
        let own = match &self.own_text {
            None => self.parsed.clone(),
            Some(text) => crate::sql::parse(text)?.pop().map(Arc::new),
        };
        own.ok_or_else(|| SqlError::internal("an empty statement has no plan"))
    }

    pub fn description(&self) -> StatementDescription {
        StatementDescription { parameters: self.parameters.iter().map(|ty| ty.oid()).collect(), columns: self.columns.clone() }
    }
}

impl Portal {
    /// Formats that Bind asked for.
    pub fn formats(&self) -> &[i16] {
        &self.formats
    }

    pub fn description(&self) -> Option<(Arc<[ResultColumn]>, Vec<i16>)> {
        let columns = self.statement.columns.clone()?;
        let formats = each_format(&self.formats, columns.len());
        Some((columns, formats))
    }
}

/// The protocol's none, one or all, as one per column.
pub(super) fn each_format(formats: &[i16], columns: usize) -> Vec<i16> {
    match formats {
        [] => vec![0; columns],
        [one] => vec![*one; columns],
        all => all.to_vec(),
    }
}

impl Session {
    pub(super) fn statement(&self, name: &str) -> Result<&Arc<PreparedStatement>> {
        self.statements.get(name).ok_or_else(|| match name {
            "" => SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, "unnamed prepared statement does not exist"),
            name => no_such_statement(name),
        })
    }

    pub(super) fn portal(&self, name: &str) -> Result<&Portal> {
        self.portals.get(name).ok_or_else(|| no_such_portal(name))
    }

    pub(super) async fn parse_statement(&mut self, name: &str, text: &str, types: &[Oid]) -> Result<()> {
        if !name.is_empty() && self.statements.contains_key(name) {
            return Err(exists_already(name));
        }
        if self.transaction.block != Block::Failed
            && let Some(known) = self.recall(text, types)
        {
            self.keep_statement(name, known, false);
            return Ok(());
        }
        let mut statements = crate::sql::parse(text)?;
        if statements.len() > 1 {
            return Err(SqlError::syntax("cannot insert multiple commands into a prepared statement"));
        }
        let parsed = statements.pop();
        let ends_block = matches!(parsed.as_ref().map(|p| &p.statement), None | Some(Statement::Transaction(_)));
        if self.transaction.block == Block::Failed && !ends_block {
            return Err(aborted());
        }
        let declared = self.declared_types(types).await?;
        let told = parsed.clone();
        let prepared = self.prepare_statement(parsed, declared).await;
        let (statement, ctx) = prepared.map_err(|error| match &told {
            Some(parsed) => super::placed(error, parsed),
            None => error,
        })?;
        let statement = Arc::new(statement);
        if let Some(ctx) = ctx {
            self.remember(&ctx, text, types, &statement);
        }
        self.keep_statement(name, statement, false);
        Ok(())
    }

    fn keep_statement(&mut self, name: &str, statement: Arc<PreparedStatement>, from_sql: bool) {
        if !name.is_empty() {
            let info = PreparedInfo {
                statement: statement.text().to_owned(),
                prepared_at: self.database.now(),
                parameters: statement.parameters.clone(),
                from_sql,
            };
            self.objects.lock().prepared.insert(name.to_owned(), info);
        }
        self.statements.insert(name.to_owned(), statement);
    }

    /// Analyses a statement to be kept; with the surroundings it was planned in, if it was. Takes no snapshot that
    /// the transaction does not have already.
    pub(super) async fn prepare_statement(
        &mut self,
        parsed: Option<Parsed>,
        declared: Vec<Option<PgType>>,
    ) -> Result<(PreparedStatement, Option<StatementContext>)> {
        let parsed = parsed.map(Arc::new);
        let (parameters, plan) = (Vec::new(), Mutex::new(None));
        let mut kept = PreparedStatement { parsed, own_text: None, declared, parameters, columns: None, plan };
        let mut surroundings = None;
        match kept.parsed.as_ref().map(|p| &p.statement) {
            Some(statement) if is_planned(statement) => {
                let (ctx, prepared) = self.analysed(&kept, None).await?;
                kept.parameters.clone_from(&prepared.parameters);
                kept.columns.clone_from(&prepared.columns);
                surroundings = Some(ctx);
            }
            Some(Statement::Declare(declare)) => {
                let query = Statement::Query(declare.query.clone());
                kept.parameters.clone_from(&self.analysed(&kept, Some(&query)).await?.1.parameters);
            }
            Some(Statement::Call(call)) => {
                let had_snapshot = self.transaction.current.is_some();
                let ctx = self.context().await?;
                let described = Self::described_call(&ctx, call);
                if !had_snapshot {
                    self.transaction.current = None;
                    self.settings.snapshot_is(0);
                }
                let (query, columns) = described?;
                kept.columns = columns;
                if let Some(query) = query {
                    kept.parameters.clone_from(&self.analysed(&kept, Some(&query)).await?.1.parameters);
                }
            }
            Some(Statement::Show(show)) => kept.columns = Some(super::utility::show_columns(&self.settings, show)?),
            Some(Statement::Execute { name, .. }) => kept.columns.clone_from(&self.statement(name)?.columns),
            Some(Statement::Fetch(fetch)) if !fetch.only_move => {
                let of_portal = || self.portals.get(&fetch.cursor).and_then(|portal| portal.statement.columns.clone());
                let of_cursor = self.cursors.get(&fetch.cursor).map(|cursor| Arc::clone(&cursor.columns));
                kept.columns = of_cursor.or_else(of_portal);
            }
            _ => {}
        }
        Ok((kept, surroundings))
    }

    /// What a plan made now would be good for.
    pub(super) fn planned_under(&mut self) -> PlannedUnder {
        let catalog = match &self.transaction.current {
            Some(current) => Arc::clone(&current.lock().catalog),
            None => self.temporary.beside(self.database.catalog()),
        };
        let scope = self.default_scope();
        let effective = self.settings.effective();
        let user = effective.role.clone().unwrap_or_else(|| effective.session_user.clone());
        PlannedUnder { catalog, settings: effective.planning, scope, user, roles: self.shared.tenancy.roles_seen() }
    }

    /// The analysis of a statement to be kept, or of the query within it, and the surroundings it was made in.
    async fn analysed(
        &mut self,
        kept: &PreparedStatement,
        within: Option<&Statement>,
    ) -> Result<(StatementContext, Arc<Prepared>)> {
        let had_snapshot = self.transaction.current.is_some();
        let ctx = self.context().await?;
        let analysed = match within {
            Some(query) => {
                let engine = Arc::clone(&self.shared.engine);
                cancellable(&ctx, engine.prepare(&ctx, query, &kept.declared)).await.map(Arc::new)
            }
            None => self.plan_kept(&ctx, kept).await,
        };
        if !had_snapshot {
            self.transaction.current = None;
            self.settings.snapshot_is(0);
        }
        Ok((ctx, analysed?))
    }

    /// The statement's plan for these surroundings. 0A000 when it would answer with other columns than the
    /// client was told of.
    pub(super) async fn plan_kept(&self, ctx: &StatementContext, kept: &PreparedStatement) -> Result<Arc<Prepared>> {
        let under = PlannedUnder {
            catalog: Arc::clone(&ctx.transaction.lock().catalog),
            settings: self.settings.effective().planning,
            scope: ctx.default_scope,
            user: ctx.current_user.clone(),
            roles: self.shared.tenancy.roles_seen(),
        };
        let planned = kept.plan.lock().clone();
        if let Some(planned) = &planned
            && planned.under.still(&under)
        {
            return Ok(Arc::clone(&planned.prepared));
        }
        let declared: Vec<Option<PgType>> = match planned {
            Some(_) => kept.parameters.iter().copied().map(Some).collect(),
            None => kept.declared.clone(),
        };
        let parsed = kept.tree()?;
        let prepared = cancellable(ctx, self.shared.engine.prepare(ctx, &parsed.statement, &declared)).await?;
        if planned.is_some() && !same_columns(kept.columns.as_deref(), prepared.columns.as_deref()) {
            return Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "cached plan must not change result type"));
        }
        let prepared = Arc::new(prepared);
        *kept.plan.lock() = Some(Planned { under, prepared: Arc::clone(&prepared) });
        Ok(prepared)
    }

    pub(super) async fn bind_portal(
        &mut self,
        portal: &str,
        statement: &str,
        parameter_formats: &[i16],
        parameters: &[Option<Bytes>],
        result_formats: &[i16],
    ) -> Result<()> {
        let kept = Arc::clone(self.statement(statement)?);
        let ends_block = matches!(kept.parsed.as_ref().map(|p| &p.statement), None | Some(Statement::Transaction(_)));
        if self.transaction.block == Block::Failed && !ends_block {
            return Err(aborted());
        }
        if !portal.is_empty() && (self.portals.contains_key(portal) || self.cursors.contains_key(portal)) {
            return Err(SqlError::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{portal}\" already exists")));
        }
        check_counts(statement, &kept, parameter_formats, parameters.len(), result_formats)?;
        let zone = self.zone()?;
        let mut values = Vec::with_capacity(parameters.len());
        for (n, (bytes, ty)) in parameters.iter().zip(&kept.parameters).enumerate() {
            let format = match parameter_formats {
                [] => 0,
                [one] => *one,
                all => all.get(n).copied().unwrap_or(0),
            };
            values.push(decode_parameter(*ty, format, bytes.as_deref(), zone)?);
        }
        self.born += 1;
        let (formats, born) = (result_formats.to_vec(), self.born);
        let bound = Portal { statement: kept, parameters: values, formats, born, rest: Mutex::new(None) };
        self.portals.insert(portal.to_owned(), bound);
        Ok(())
    }

    pub(super) async fn execute_portal(&mut self, name: &str, last: bool) -> Result<Reply> {
        let Some(portal) = self.portals.get_mut(name) else { return Err(no_such_portal(name)) };
        if let Some(rest) = portal.rest.get_mut().take() {
            return Ok(rest);
        }
        let kept = Arc::clone(&portal.statement);
        let parameters = std::mem::take(&mut portal.parameters);
        let formats = portal.formats.clone();
        let work = Work::Bound { statement: &kept, parameters: &parameters, formats: &formats };
        let reply = self.run_work(work, last).await;
        // A portal may be run once more from its beginning only by clients that bind it again; its values stay
        // for the sake of those that do not.
        if let Some(portal) = self.portals.get_mut(name) {
            portal.parameters = parameters;
        }
        reply.map_err(|error| {
            self.abort();
            match kept.tree() {
                Ok(parsed) => super::placed(error, &parsed),
                Err(_) => error,
            }
        })
    }

    /// PREPARE.
    pub(super) async fn prepare_named(
        &mut self,
        name: &str,
        types: &[(PgType, Option<OwnType>)],
        statement: &Parsed,
    ) -> Result<Reply> {
        if self.statements.contains_key(name) {
            return Err(exists_already(name));
        }
        if !is_planned(&statement.statement) || matches!(statement.statement, Statement::Explain { .. }) {
            return Err(SqlError::syntax("only SELECT, INSERT, UPDATE, DELETE and VALUES can be prepared"));
        }
        let ctx = self.context().await?;
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        let written = |(ty, own): &(PgType, Option<OwnType>)| {
            super::ddl::user_type::written_type(&catalog, &ctx.search_path, *ty, own.as_ref()).map(|(ty, _)| Some(ty))
        };
        let declared = types.iter().map(written).collect::<Result<Vec<_>>>()?;
        let (kept, _) = self.prepare_statement(Some(statement.clone()), declared).await?;
        self.keep_statement(name, Arc::new(kept), true);
        Ok(Reply::Command("PREPARE".to_owned()))
    }

    /// EXECUTE: the prepared statement answers, under its own tag.
    pub(super) async fn execute_named(&mut self, name: &str, arguments: &[ast::Expr]) -> Result<Reply> {
        let Some(kept) = self.statements.get(name).cloned() else { return Err(no_such_statement(name)) };
        let Some(Parsed { statement, .. }) = kept.parsed.as_deref() else { return Ok(Reply::Empty) };
        if arguments.len() != kept.parameters.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            let detail = format!("Expected {} parameters but got {}.", kept.parameters.len(), arguments.len());
            return Err(SqlError::syntax(message).detail(detail));
        }
        self.refuse_write(statement)?;
        if !is_planned(statement) {
            return Err(SqlError::unsupported(
                format!("EXECUTE of prepared statement \"{name}\" is not supported"),
                "EXECUTE runs SELECT, INSERT, UPDATE, DELETE and VALUES.",
            ));
        }
        let ctx = self.context().await?;
        let mut values = Vec::with_capacity(arguments.len());
        for (argument, ty) in arguments.iter().zip(&kept.parameters) {
            values.push(self.shared.engine.evaluate(&ctx, argument, *ty).await?);
        }
        if let Statement::Query(query) = statement
            && !query.locks.is_empty()
        {
            return self.select_locking(query, &kept.parameters, &values, &[]).await;
        }
        let prepared = self.plan_kept(&ctx, &kept).await?;
        let reply = self.run_prepared(&ctx, statement, &prepared, values, &[]).await?;
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        // What its functions write is written when all its rows are there.
        match crate::plan::routines::may_write(&catalog, statement) {
            true => super::reply::collected(reply).await,
            false => Ok(reply),
        }
    }
}

pub(super) fn is_planned(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Merge(_)
            | Statement::With { .. }
            | Statement::Explain { .. }
    )
}

fn same_columns(told: Option<&[ResultColumn]>, now: Option<&[ResultColumn]>) -> bool {
    match (told, now) {
        (None, None) => true,
        (Some(told), Some(now)) => told.len() == now.len() && told.iter().zip(now).all(|(a, b)| a.name == b.name && a.ty == b.ty),
        _ => false,
    }
}

impl Session {
    /// The types that a client declared by their numbers; 42704 where there is none of a number.
    async fn declared_types(&mut self, types: &[Oid]) -> Result<Vec<Option<PgType>>> {
        // Only types of users need a catalogue, and with it a transaction.
        if types.iter().all(|oid| *oid == 0 || PgType::from_oid(*oid).is_some()) {
            return types.iter().map(|oid| declared_type(*oid, None)).collect();
        }
        let ctx = self.context().await?;
        let catalog = Arc::clone(&ctx.transaction.lock().catalog);
        types.iter().map(|oid| declared_type(*oid, catalog.user_type(*oid))).collect()
    }
}

/// 0 and `unknown` leave the type to inference.
fn declared_type(oid: Oid, own: Option<PgType>) -> Result<Option<PgType>> {
    if oid == 0 {
        return Ok(None);
    }
    match PgType::from_oid(oid).or(own) {
        Some(ty) if ty.name == TypeName::Unknown => Ok(None),
        Some(ty) => Ok(Some(ty)),
        None => Err(SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type with OID {oid} does not exist"))),
    }
}

fn check_counts(
    name: &str,
    kept: &PreparedStatement,
    parameter_formats: &[i16],
    parameters: usize,
    result_formats: &[i16],
) -> Result<()> {
    let violation = |message: String| Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message));
    if parameter_formats.len() > 1 && parameter_formats.len() != parameters {
        let formats = parameter_formats.len();
        return violation(format!("bind message has {formats} parameter formats but {parameters} parameters"));
    }
    let wanted = kept.parameters.len();
    if wanted != parameters {
        return violation(format!(
            "bind message supplies {parameters} parameters, but prepared statement \"{name}\" requires {wanted}"
        ));
    }
    let columns = kept.columns.as_ref().map_or(0, |columns| columns.len());
    if result_formats.len() > 1 && result_formats.len() != columns {
        let formats = result_formats.len();
        return violation(format!("bind message has {formats} result formats but query has {columns} columns"));
    }
    match parameter_formats.iter().chain(result_formats).find(|f| !matches!(f, 0 | 1)) {
        Some(format) => Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("unsupported format code: {format}"))),
        None => Ok(()),
    }
}

fn no_such_portal(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn no_such_statement(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, format!("prepared statement \"{name}\" does not exist"))
}

fn exists_already(name: &str) -> SqlError {
    SqlError::new(SqlState::DUPLICATE_PREPARED_STATEMENT, format!("prepared statement \"{name}\" already exists"))
}

//! `SELECT columns FROM t [AS OF …] WHERE key = …`: one lookup, one decoded row.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::sql::sqlparser::ast;

use super::shape::{KeyMatch, column, plain_select};
use crate::error::{Result, SqlError};
use crate::history::{ColumnDef, TableDef};
use crate::plan::modify::{allow, find_relation, fold};
use crate::plan::payload::{PayloadColumn, PayloadDecoder};
use crate::plan::rows::batch_of;
use crate::plan::{DefaultScope, ResultColumn, RowStream, StatementContext};
use crate::sql::temporal::{InstantExpr, ScopeClause, scope_of};
use crate::types::{PgType, TypeName, Zone, datetime};
use crate::versions::{ItemKey, Scope, Timestamp};

/// A recognised read of one item.
#[derive(Clone, Debug)]
pub struct PointRead {
    pub parameters: Vec<PgType>,
    pub columns: Arc<[ResultColumn]>,
    table: Arc<TableDef>,
    pub(super) key: KeyMatch,
    pub(super) at: At,
    stored: Arc<[PayloadColumn]>,
    output: SchemaRef,
}

/// The instant that the table is read at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum At {
    /// No clause: the statement's own scope.
    Statement,
    Time(Timestamp),
    /// A timestamptz parameter.
    Parameter(usize),
}

impl PointRead {
    /// `None` for a statement that is not one, or that the general path must answer.
    pub fn recognise(ctx: &StatementContext, query: &ast::Query, declared: &[Option<PgType>]) -> Option<Self> {
        let (relation, condition, items) = plain_select(query)?;
        let (schema, name, alias, version) = plain_table(relation)?;
        // System relations come before the search path.
        if name.starts_with("pg_") || schema.as_deref().is_some_and(crate::history::is_system_schema) {
            return None;
        }
        let table = find_relation(ctx, schema.as_deref(), &name, "read").ok()?;
        let zone = Zone::parse(&ctx.time_zone).ok()?;
        let key = KeyMatch::of(&table, &alias, condition, zone).filter(|key| key.rest.is_empty())?;
        let at = match version {
            None => At::Statement,
            Some(version) => instant(version, zone)?,
        };
        // What becomes of a document that is missing is for the general path to say.
        if table.is_of_documents() {
            return None;
        }
        // That there is no past to read is for the general path to say.
        if table.is_temporary() && (at != At::Statement || ctx.default_scope.is_some()) {
            return None;
        }
        let parameters = parameter_types(&key, at, declared)?;
        let shown = outputs(&table, &alias, items)?;
        // A member of the payload is read once.
        if shown.iter().enumerate().any(|(n, (column, _))| shown[..n].iter().any(|(before, _)| before.id == column.id)) {
            return None;
        }
        let result = |(column, name): &(ColumnDef, String)| ResultColumn {
            name: name.clone(),
            ty: column.ty,
            table_oid: table.id.0,
            attribute: i16::try_from(column.id.0).unwrap_or(0),
        };
        let columns: Arc<[ResultColumn]> = shown.iter().map(result).collect();
        let output = Arc::new(Schema::new(columns.iter().map(|c| c.ty.field(&c.name, true)).collect::<Vec<_>>()));
        // Values of columns that came later are expressions, which take a planner.
        if shown.iter().any(|(column, _)| column.missing.is_some()) || !has_one_shape(ctx, &table) {
            return None;
        }
        let stored = shown.iter().map(|(column, _)| PayloadColumn { field: column.field.clone(), ty: column.ty, missing: None });
        let stored = stored.collect();
        Some(Self { parameters, columns, table, key, at, stored, output })
    }

    /// Whether the two read the same and answer alike, whatever their parameters are.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
            && self.parameters == other.parameters
            && self.columns == other.columns
            && self.key == other.key
            && self.at == other.at
            && self.stored == other.stored
    }

    /// `None` when it turned out to be a case for the general path.
    pub async fn execute(&self, ctx: &StatementContext, parameters: &[ScalarValue]) -> Result<Option<RowStream>> {
        allow(ctx, &self.table, "SELECT")?;
        let snapshot = ctx.transaction.lock().snapshot;
        let overlay = ctx.overlay(self.table.id);
        let Some(scope) = self.scope(ctx, parameters) else { return Ok(None) };
        if scope != Scope::Current {
            let then = ctx.database.table_at(&self.table.name, scope, snapshot);
            if then.is_some_and(|then| then.id != self.table.id) {
                return Ok(None);
            }
        }
        let Ok(key) = self.key.key(parameters) else { return Ok(None) };
        let Some(key) = key else { return self.rows(None).map(Some) };
        if scope == Scope::Current
            && let Some(overlay) = overlay
        {
            match overlay.rows.get(&key) {
                Some(row) => return self.rows(row.state.as_ref().map(|(payload, _)| payload.as_ref())).map(Some),
                None if overlay.truncated => return self.rows(None).map(Some),
                None => {}
            }
        }
        let keys: [ItemKey; 1] = [key];
        match scope {
            Scope::Current => ctx.transaction.lock().has_read_items(self.table.id, &keys),
            _ => ctx.transaction.lock().has_read_table(self.table.id),
        }
        let found = ctx.database.get(self.table.id, &keys, scope, snapshot).await?;
        let payload = found.first().and_then(Option::as_ref).map(|row| row.payload.as_ref());
        self.rows(payload).map(Some)
    }

    /// `None` where the general path has something to say: a NULL, a notice, an error.
    fn scope(&self, ctx: &StatementContext, parameters: &[ScalarValue]) -> Option<Scope> {
        let at = match self.at {
            At::Statement => match ctx.default_scope {
                None => return Some(Scope::Current),
                Some(DefaultScope::AsOf(at)) => at,
                Some(DefaultScope::AsOfCommit(commit)) => return Some(Scope::AsOfCommit(commit)),
            },
            At::Time(at) => at,
            At::Parameter(n) => match n.checked_sub(1).and_then(|n| parameters.get(n))? {
                ScalarValue::TimestampMicrosecond(Some(micros), Some(_)) => Timestamp::from_micros(*micros),
                _ => return None,
            },
        };
        (at <= ctx.database.now().max(ctx.statement_time)).then_some(Scope::AsOf(at))
    }

    fn rows(&self, payload: Option<&[u8]>) -> Result<RowStream> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        if let Some(payload) = payload {
            let mut decoder = PayloadDecoder::with_room(&self.stored, 1)?;
            decoder.append(payload)?;
            batches.push(batch_of(self.output.clone(), decoder.finish(), 1)?);
        }
        let stream = MemoryStream::try_new(batches, self.output.clone(), None)
            .map_err(|e| SqlError::internal(format!("rows cannot be returned: {e}")))?;
        Ok(RowStream { columns: self.columns.clone(), batches: Box::pin(stream) })
    }
}

/// Whether every definition that the table ever had has the columns and the key of now, so that any state of it
/// is found and read in one way.
fn has_one_shape(ctx: &StatementContext, table: &TableDef) -> bool {
    let states = ctx.database.table_states(table.id);
    states.iter().all(|(_, state)| state.columns == table.columns && state.primary_key == table.primary_key)
}

type Version<'a> = Option<&'a ast::TableVersion>;

/// Schema, name, alias and clause of a relation that is a table by its looks.
fn plain_table(relation: &ast::TableFactor) -> Option<(Option<String>, String, String, Version<'_>)> {
    let ast::TableFactor::Table {
        name,
        alias,
        args: None,
        with_hints,
        version,
        with_ordinality: false,
        partitions,
        json_path: None,
        sample: None,
        index_hints,
    } = relation
    else {
        return None;
    };
    if !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
        return None;
    }
    let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(fold)).collect::<Option<_>>()?;
    let (schema, name) = match parts.as_slice() {
        [name] => (None, name.clone()),
        [schema, name] => (Some(schema.clone()), name.clone()),
        _ => return None,
    };
    let alias = match alias {
        None => name.clone(),
        Some(alias) if alias.columns.is_empty() => fold(&alias.name),
        Some(_) => return None,
    };
    Some((schema, name, alias, version.as_ref()))
}

fn instant(version: &ast::TableVersion, zone: Zone) -> Option<At> {
    let Ok(ScopeClause::AsOf(InstantExpr::Time(expr) | InstantExpr::Either(expr))) = scope_of(version) else { return None };
    let literal = match &expr {
        ast::Expr::TypedString(typed) => match (&typed.data_type, &typed.value.value) {
            (ast::DataType::Timestamp(None, _), ast::Value::SingleQuotedString(text)) => text,
            _ => return None,
        },
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => text,
            ast::Value::Placeholder(id) => {
                let number = id.strip_prefix('$')?.parse().ok().filter(|n| *n > 0)?;
                return Some(At::Parameter(number));
            }
            _ => return None,
        },
        _ => return None,
    };
    dated_instant(literal, zone).map(|micros| At::Time(Timestamp::from_micros(micros)))
}

/// The microseconds of an instant that is written with its date first: what else one may be (`v12`, `12`, `-1h`,
/// a name) is read elsewhere.
pub(super) fn dated_instant(literal: &str, zone: Zone) -> Option<i64> {
    let bytes = literal.as_bytes();
    let dated = bytes.len() >= 10 && bytes.get(4) == Some(&b'-') && bytes[..4].iter().all(u8::is_ascii_digit);
    if dated { datetime::parse_timestamptz(literal, zone).ok() } else { None }
}

/// Types of all parameters; `None` when one is not comparable with what it is compared with.
fn parameter_types(key: &KeyMatch, at: At, declared: &[Option<PgType>]) -> Option<Vec<PgType>> {
    let mut wanted: Vec<(usize, PgType)> = key.parameters().map(|(n, ty)| (n, ty.with_modifier(-1))).collect();
    if let At::Parameter(n) = at {
        wanted.push((n, PgType::TIMESTAMPTZ));
    }
    let count = wanted.iter().map(|(n, _)| *n).max().unwrap_or(0).max(declared.len());
    let types: Vec<PgType> = (1..=count)
        .map(|n| {
            let given = declared.get(n - 1).copied().flatten().filter(|ty| ty.name != TypeName::Unknown);
            given.or_else(|| wanted.iter().find(|(at, _)| *at == n).map(|(_, ty)| *ty)).unwrap_or(PgType::TEXT)
        })
        .collect();
    if let At::Parameter(n) = at
        && types.get(n - 1).is_none_or(|ty| *ty != PgType::TIMESTAMPTZ)
    {
        return None;
    }
    key.fits(&types).then_some(types)
}

/// The table's columns that the items name, and the names they go by.
fn outputs(table: &TableDef, alias: &str, items: &[ast::SelectItem]) -> Option<Vec<(ColumnDef, String)>> {
    let mut shown = Vec::new();
    for item in items {
        match item {
            ast::SelectItem::Wildcard(options) if *options == ast::WildcardAdditionalOptions::default() => {
                shown.extend(table.live_columns().map(|c| (c.clone(), c.name.clone())));
            }
            ast::SelectItem::UnnamedExpr(expr) => {
                let found = table.column(&column(expr, alias)?)?;
                shown.push((found.clone(), found.name.clone()));
            }
            ast::SelectItem::ExprWithAlias { expr, alias: name } => {
                shown.push((table.column(&column(expr, alias)?)?.clone(), fold(name)));
            }
            _ => return None,
        }
    }
    Some(shown)
}

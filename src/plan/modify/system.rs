//! System columns in RETURNING: what is known of a version before its commit.
//!
//! A version's number and what made it are known; its commit and its time are not, and are refused rather than
//! guessed. DELETE returns the state that it ends, so it tells that state's number only.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, new_null_array};
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::sql::sqlparser::ast;
use futures::TryStreamExt;

use super::select::fold;
use super::target::{Target, parse_expression};
use super::write::Edit;
use crate::error::{Result, SqlError};
use crate::plan::StatementContext;
use crate::plan::columns::SystemColumn;
use crate::store::ScanRequest;
use crate::versions::{ItemKey, KeyFilter, Op, Scope, VersionNo};

/// System columns that a RETURNING list names, in no particular order; 0A000 for one that is not known yet.
pub fn named(target: &Target, items: &[ast::SelectItem], deletes: bool) -> Result<Vec<SystemColumn>> {
    let mut found = Vec::new();
    for item in items {
        let (ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        let _: ControlFlow<()> = ast::visit_expressions(expr, |expr| {
            let ident = match expr {
                ast::Expr::Identifier(ident) => Some(ident),
                ast::Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            let name = ident.map(fold).unwrap_or_default();
            let column = SystemColumn::of_name(&name)
                .filter(|column| column.is_of(target.table()) && target.layout.position(&name).is_none());
            found.extend(column.filter(|column| !found.contains(column)));
            ControlFlow::Continue(())
        });
    }
    match found.iter().find(|column| !is_known(**column, deletes)) {
        None => Ok(found),
        Some(column) => Err(SqlError::unsupported(
            format!("RETURNING {} is not supported", column.name()),
            "It is known when the transaction has committed: read it from the table then.",
        )),
    }
}

/// The list with PostgreSQL's `xmax` as what it tells those who ask for it here: 0 of a row that is new, and the transaction's
/// number of one that ON CONFLICT changed.
pub fn with_xmax<'a>(target: &Target, items: &'a [ast::SelectItem]) -> Cow<'a, [ast::SelectItem]> {
    const XMAX: &str = "xmax";
    if target.layout.position(XMAX).is_some() {
        return Cow::Borrowed(items);
    }
    let is_xmax = |expr: &ast::Expr| match expr {
        ast::Expr::Identifier(ident) => fold(ident) == XMAX,
        ast::Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|ident| fold(ident) == XMAX),
        _ => false,
    };
    let mut shown = items.to_vec();
    let mut found = false;
    for item in &mut shown {
        // What is replaced keeps its name.
        if let ast::SelectItem::UnnamedExpr(expr) = item
            && is_xmax(expr)
        {
            *item = ast::SelectItem::ExprWithAlias { expr: expr.clone(), alias: ast::Ident::new(XMAX) };
        }
        let _: ControlFlow<()> = ast::visit_expressions_mut(item, |expr| {
            if is_xmax(expr)
                && let Ok(value) = parse_expression(XMAX_VALUE)
            {
                *expr = value;
                found = true;
            }
            ControlFlow::Continue(())
        });
    }
    if found { Cow::Owned(shown) } else { Cow::Borrowed(items) }
}

const XMAX_VALUE: &str = "CAST(CASE WHEN _op = 'CREATE' THEN 0 ELSE mod(txid_current(), 4294967296) END AS xid)";

fn is_known(column: SystemColumn, deletes: bool) -> bool {
    use SystemColumn::{Actor, Commit, Context, EndCommit, EndOp, From, Key, Op, Reason, To, Version};
    use SystemColumn::{Checksum, CollectionVersion, Document, PayloadKey, Size};
    match column {
        Version => true,
        Op | To | EndCommit | EndOp => !deletes,
        Key | From | Commit | Actor | Reason | Context => false,
        Document | CollectionVersion | PayloadKey | Checksum | Size => false,
    }
}

/// The schema with these columns behind its own.
pub fn extended(schema: &DFSchemaRef, alias: &str, columns: &[SystemColumn]) -> Result<DFSchemaRef> {
    if columns.is_empty() {
        return Ok(Arc::clone(schema));
    }
    let mut fields: Vec<_> = schema.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    let qualifier = TableReference::bare(alias.to_owned());
    fields.extend(columns.iter().map(|c| (Some(qualifier.clone()), Arc::new(c.ty().field(c.name(), true)))));
    DFSchema::new_with_metadata(fields, HashMap::default())
        .map(Arc::new)
        .map_err(|e| SqlError::internal(format!("columns have no schema: {e}")))
}

/// The values of these columns for the rows that the edits write, or end.
pub async fn values(
    ctx: &StatementContext,
    target: &Target,
    columns: &[SystemColumn],
    edits: &[Edit],
    rows: &[ArrayRef],
) -> Result<Vec<ArrayRef>> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let facts = facts(ctx, target, edits, rows).await?;
    let array = |column: &SystemColumn| -> ArrayRef {
        match column {
            SystemColumn::Version => {
                Arc::new(Int64Array::from_iter_values(facts.iter().map(|(number, _)| number.0.cast_signed())))
            }
            SystemColumn::Op => Arc::new(StringArray::from_iter_values(facts.iter().map(|(_, op)| op.name()))),
            other => new_null_array(&other.ty().arrow(), facts.len()),
        }
    };
    Ok(columns.iter().map(array).collect())
}

/// The number and operation of each row's version once it is committed; of an end, the number of what it ends.
async fn facts(ctx: &StatementContext, target: &Target, edits: &[Edit], rows: &[ArrayRef]) -> Result<Vec<(VersionNo, Op)>> {
    let overlay = ctx.transaction.lock().overlay(target.table().id);
    let mut facts = Vec::with_capacity(edits.len());
    for edit in edits {
        let key = match (edit.new, &edit.old) {
            (Some(row), _) if target.layout.keys.has_key() => Some(target.layout.keys.key(rows, row)?),
            (_, old) => old.as_ref().map(|old| old.key.clone()),
        };
        // What the transaction did before decides first: its changes of an item make one version.
        let own = key.as_ref().and_then(|key| overlay.as_ref()?.rows.get(key));
        let truncated = overlay.as_ref().is_some_and(|overlay| overlay.truncated);
        let old = edit.old.as_ref().filter(|old| Some(&old.key) == key.as_ref());
        let stored = match own {
            Some(pending) => pending.base.filter(|_| !truncated),
            None => old.and_then(|old| old.base.as_ref()).map(|base| base.version),
        };
        facts.push(match (stored, edit.new) {
            (Some(number), None) if own.is_none() => (number, Op::Delete),
            (Some(number), _) => (number.next(), Op::Update),
            (None, _) => (first_number(ctx, target, key).await?, Op::Create),
        });
    }
    Ok(facts)
}

/// The number that a new item's first version gets: the one behind those that the key has had.
async fn first_number(ctx: &StatementContext, target: &Target, key: Option<ItemKey>) -> Result<VersionNo> {
    let Some(key) = key.filter(|_| target.layout.keys.has_key()) else { return Ok(VersionNo(0)) };
    let mut states = ctx.database.scan(ScanRequest {
        table: target.table().id,
        snapshot: ctx.database.snapshot(),
        scope: Scope::All,
        keys: KeyFilter::Points(vec![key]),
        candidates: None,
        payloads: false,
        limit: None,
    });
    let mut last = None;
    while let Some(batch) = states.try_next().await? {
        last = batch.iter().map(|state| state.version.number).max().max(last);
    }
    // Each end took a number too.
    Ok(last.map_or(VersionNo(0), |number| number.next().next()))
}

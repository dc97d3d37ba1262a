//! table_constraints, key_column_usage and their kin.

use datafusion::arrow::array::RecordBatch;

use super::{sees, yes_or_no};
use crate::error::Result;
use crate::history::{ColumnId, ForeignKeyDef, TableDef};
use crate::plan::StatementContext;
use crate::plan::catalog::definition::action_name;
use crate::plan::catalog::rows::Rows;
use crate::plan::catalog::spec::Spec;
use crate::plan::catalog::state::Catalogue;
use crate::plan::catalog::{deparse, objects};

/// Tables that the role sees.
fn tables<'a>(ctx: &StatementContext, state: &'a Catalogue) -> Vec<&'a TableDef> {
    let authority = ctx.authority();
    state.catalog.tables.values().map(AsRef::as_ref).filter(|def| sees(&authority, &def.owner, &def.grants)).collect()
}

/// The name by which a column's NOT NULL goes here: it is a check without a name.
fn not_null_name(state: &Catalogue, table: &TableDef, number: u16) -> String {
    let namespace = state.namespace_oid(&table.name.schema).unwrap_or_default();
    format!("{namespace}_{}_{number}_not_null", table.id.0)
}

pub fn table_constraints(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "constraint_schema",
        "constraint_name",
        "table_schema",
        "table_name",
        "constraint_type",
        "nulls_distinct",
        "is_deferrable",
        "initially_deferred",
    ];
    let mut rows = Rows::new(spec, &columns)
        .always("constraint_catalog", state.database.clone())
        .always("table_catalog", state.database.clone())
        .always("enforced", "YES");
    for table in tables(ctx, state) {
        let (schema, name) = (&table.name.schema, &table.name.name);
        let mut push = |constraint: &str, kind: &'static str, deferrable: bool, deferred: bool| {
            let distinct = (kind == "UNIQUE").then_some("YES");
            rows.push(&[
                schema.into(),
                constraint.into(),
                schema.into(),
                name.into(),
                kind.into(),
                distinct.into(),
                yes_or_no(deferrable).into(),
                yes_or_no(deferred).into(),
            ]);
        };
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
            push(&index.name, kind, index.deferrable, index.deferred);
        }
        table.foreign_keys.iter().for_each(|key| push(&key.name, "FOREIGN KEY", key.deferrable, key.deferred));
        table.checks.iter().for_each(|check| push(&check.name, "CHECK", false, false));
        for column in table.live_columns().filter(|column| column.not_null) {
            push(&not_null_name(state, table, column.id.0), "CHECK", false, false);
        }
    }
    rows.finish()
}

pub fn key_column_usage(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "constraint_schema",
        "constraint_name",
        "table_schema",
        "table_name",
        "column_name",
        "ordinal_position",
        "position_in_unique_constraint",
    ];
    let mut rows = Rows::new(spec, &columns)
        .always("constraint_catalog", state.database.clone())
        .always("table_catalog", state.database.clone());
    for table in tables(ctx, state) {
        let (schema, name) = (&table.name.schema, &table.name.name);
        for key in &table.foreign_keys {
            let target = state.catalog.table_by_id(key.table).map(|target| key_order(target, key)).unwrap_or_default();
            for (position, (id, referenced)) in (1i64..).zip(key.columns.iter().zip(&key.referenced)) {
                let Some(column) = table.column_by_id(*id) else { continue };
                let in_unique = target.iter().position(|id| id == referenced).and_then(|at| i64::try_from(at + 1).ok());
                rows.push(&[
                    schema.into(),
                    (&key.name).into(),
                    schema.into(),
                    name.into(),
                    (&column.name).into(),
                    position.into(),
                    in_unique.into(),
                ]);
            }
        }
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            for (position, column) in (1i64..).zip(index.columns().iter().filter_map(|id| table.column_by_id(*id))) {
                rows.push(&[
                    schema.into(),
                    (&index.name).into(),
                    schema.into(),
                    name.into(),
                    (&column.name).into(),
                    position.into(),
                    None::<i64>.into(),
                ]);
            }
        }
    }
    rows.finish()
}

/// Which columns a constraint is about: of tables that the role owns.
pub fn constraint_column_usage(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["table_schema", "table_name", "column_name", "constraint_schema", "constraint_name"];
    let mut rows = Rows::new(spec, &columns)
        .always("constraint_catalog", state.database.clone())
        .always("table_catalog", state.database.clone());
    let authority = ctx.authority();
    let mut references = Vec::new();
    for table in state.catalog.tables.values().filter(|def| authority.owns(&def.owner)) {
        let (schema, name) = (&table.name.schema, &table.name.name);
        let mut push = |column: &str, constraint: &str| {
            rows.push(&[schema.into(), name.into(), column.into(), schema.into(), constraint.into()]);
        };
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            index.columns().iter().filter_map(|id| table.column_by_id(*id)).for_each(|c| push(&c.name, &index.name));
        }
        for key in &table.foreign_keys {
            let Some(target) = state.catalog.table_by_id(key.table) else { continue };
            let columns = key.referenced.iter().filter_map(|id| target.column_by_id(*id));
            references.extend(columns.map(|c| (target.name.clone(), c.name.clone(), schema.clone(), key.name.clone())));
        }
        for check in &table.checks {
            let columns = deparse::columns_of(table, &check.expression);
            columns.iter().filter_map(|id| table.column_by_id(*id)).for_each(|c| push(&c.name, &check.name));
        }
    }
    for (table, column, schema, constraint) in &references {
        rows.push(&[(&table.schema).into(), (&table.name).into(), column.into(), schema.into(), constraint.into()]);
    }
    rows.finish()
}

pub fn constraint_table_usage(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = ["table_schema", "table_name", "constraint_schema", "constraint_name"];
    let mut rows = Rows::new(spec, &columns)
        .always("constraint_catalog", state.database.clone())
        .always("table_catalog", state.database.clone());
    let authority = ctx.authority();
    for table in state.catalog.tables.values().filter(|def| authority.owns(&def.owner)) {
        let (schema, name) = (&table.name.schema, &table.name.name);
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            rows.push(&[schema.into(), name.into(), schema.into(), (&index.name).into()]);
        }
    }
    rows.finish()
}

/// The referenced columns in the order that their key has.
fn key_order(target: &TableDef, key: &ForeignKeyDef) -> Vec<ColumnId> {
    let oid = objects::referenced_index(key, target);
    let index = objects::indexes(target).into_iter().find(|index| index.oid == oid);
    index.map(|index| index.columns()).unwrap_or_default()
}

pub fn referential_constraints(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let columns = [
        "constraint_schema",
        "constraint_name",
        "unique_constraint_schema",
        "unique_constraint_name",
        "match_option",
        "update_rule",
        "delete_rule",
    ];
    let mut rows = Rows::new(spec, &columns)
        .always("constraint_catalog", state.database.clone())
        .always("unique_constraint_catalog", state.database.clone());
    for table in tables(ctx, state) {
        for key in &table.foreign_keys {
            let Some(target) = state.catalog.table_by_id(key.table) else { continue };
            let oid = objects::referenced_index(key, target);
            let index = objects::indexes(target).into_iter().find(|index| index.oid == oid && index.constraint);
            rows.push(&[
                (&table.name.schema).into(),
                (&key.name).into(),
                (&target.name.schema).into(),
                index.map(|index| index.name).into(),
                if key.full { "FULL" } else { "NONE" }.into(),
                action_name(key.on_update).into(),
                action_name(key.on_delete).into(),
            ]);
        }
    }
    rows.finish()
}

pub fn check_constraints(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["constraint_schema", "constraint_name", "check_clause"])
        .always("constraint_catalog", state.database.clone());
    let authority = ctx.authority();
    for table in state.catalog.tables.values().filter(|def| authority.owns(&def.owner)) {
        let schema = &table.name.schema;
        for check in &table.checks {
            let clause = format!("({})", deparse::check(table, &check.expression));
            rows.push(&[schema.into(), (&check.name).into(), clause.into()]);
        }
        for column in table.live_columns().filter(|column| column.not_null) {
            let name = not_null_name(state, table, column.id.0);
            rows.push(&[schema.into(), name.into(), format!("{} IS NOT NULL", column.name).into()]);
        }
    }
    rows.finish()
}

//! table_constraints, key_column_usage and their kin.

use datafusion::arrow::array::RecordBatch;

use super::sees;
use crate::error::Result;
use crate::history::TableDef;
use crate::plan::StatementContext;
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
    let columns = ["constraint_schema", "constraint_name", "table_schema", "table_name", "constraint_type", "nulls_distinct"];
    let mut rows = Rows::new(spec, &columns)
        .always("constraint_catalog", state.database.clone())
        .always("table_catalog", state.database.clone())
        .always("is_deferrable", "NO")
        .always("initially_deferred", "NO")
        .always("enforced", "YES");
    for table in tables(ctx, state) {
        let (schema, name) = (&table.name.schema, &table.name.name);
        let mut push = |constraint: &str, kind: &'static str| {
            let distinct = (kind == "UNIQUE").then_some("YES");
            rows.push(&[schema.into(), constraint.into(), schema.into(), name.into(), kind.into(), distinct.into()]);
        };
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            push(&index.name, if index.primary { "PRIMARY KEY" } else { "UNIQUE" });
        }
        table.checks.iter().for_each(|check| push(&check.name, "CHECK"));
        for column in table.live_columns().filter(|column| column.not_null) {
            push(&not_null_name(state, table, column.id.0), "CHECK");
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
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            for (position, column) in (1i64..).zip(index.columns.iter().filter_map(|id| table.column_by_id(*id))) {
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
    for table in state.catalog.tables.values().filter(|def| authority.owns(&def.owner)) {
        let (schema, name) = (&table.name.schema, &table.name.name);
        let mut push = |column: &str, constraint: &str| {
            rows.push(&[schema.into(), name.into(), column.into(), schema.into(), constraint.into()]);
        };
        for index in objects::indexes(table).iter().filter(|index| index.constraint) {
            index.columns.iter().filter_map(|id| table.column_by_id(*id)).for_each(|c| push(&c.name, &index.name));
        }
        for check in &table.checks {
            let columns = deparse::columns_of(table, &check.expression);
            columns.iter().filter_map(|id| table.column_by_id(*id)).for_each(|c| push(&c.name, &check.name));
        }
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

pub fn referential_constraints(_: &StatementContext, _: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    Rows::new(spec, &[]).finish()
}

pub fn check_constraints(ctx: &StatementContext, state: &Catalogue, spec: &'static Spec) -> Result<RecordBatch> {
    let mut rows = Rows::new(spec, &["constraint_schema", "constraint_name", "check_clause"])
        .always("constraint_catalog", state.database.clone());
    let authority = ctx.authority();
    for table in state.catalog.tables.values().filter(|def| authority.owns(&def.owner)) {
        let schema = &table.name.schema;
        for check in &table.checks {
            let clause = deparse::check(table, &check.expression);
            rows.push(&[schema.into(), (&check.name).into(), clause.into()]);
        }
        for column in table.live_columns().filter(|column| column.not_null) {
            let name = not_null_name(state, table, column.id.0);
            rows.push(&[schema.into(), name.into(), format!("{} IS NOT NULL", column.name).into()]);
        }
    }
    rows.finish()
}
